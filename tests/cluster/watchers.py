"""Subscribers to a cluster under fire, and what they must have heard: the log itself, replayed from
its beginning by a server that is whole again, and the same from each server."""

import base64
import random
import time

import herald
from report import Fail, check, equal
from subscriber import KINDS, Subscriber, World
from truth import Change, Filter, Truth, difference


class ClusterWorld(World):
    """The subscribers' world when it has several servers: each connection goes to one at random."""
    passing = ("not_ready", "rate_limited", "index_ahead")

    def __init__(self, cluster, seed, disks_die):
        super().__init__(None)
        if disks_die:  # between the power's end and the process's nothing can be read
            self.passing += ("internal",)
        self.cluster = cluster
        self.dice = random.Random(seed)

    def connect(self, subscriber, **kw):
        node = self.dice.choice(self.cluster.nodes)
        return node.connect(timeout=5.0, **kw)

    def may_refuse(self, status):
        return status in (500, 503, 504)


def some_filter(dice):
    kind = dice.random()
    if kind < 0.4:
        return Filter(prefix=dice.choice(["fire/", ""]))
    if kind < 0.8:
        return Filter(prefix="fire/%d" % dice.randrange(1, 5))
    return Filter(prefix="fire/", op=dice.choice(["set", "delete"]))


def subscribers(world, count, dice):
    """One of each kind hears everything; all but those go away often."""
    subs = []
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        n = {"websocket": dice.choice([1, 3]), "sse-many": 2}.get(kind, 1)
        filters = [some_filter(dice) for _ in range(n)]
        if i < len(KINDS):
            filters[0] = Filter()
        subs.append(Subscriber(world, i, kind, filters, dice.random(), flaky=dice.random() < 0.7,
                               slow=dice.random() < 0.15,
                               start="now" if kind == "sse-many"
                               else dice.choice(["now", "zero", "snapshot"])))
    return subs


# --- the log -------------------------------------------------------------------------------------

class Log(Truth):
    """Every change of a run, as one server's history tells it."""

    def __init__(self, events):
        super().__init__()
        self.events = events
        self.indexes_of = {}  # value of a write -> where it is in the log
        rows = {}
        for e in events:
            self.changes.append(self.change(e, rows))
        check(not self.freeze(), "two changes at one index in the log")

    def change(self, e, rows):
        if e["op"] == "set":
            value = base64.b64decode(e.get("value") or "")
            at = rows.setdefault(e["key"], e["index"])
            if e.get("create_index") != at:
                raise Fail("%s is set at %d with create_index %s, but was created at %d"
                           % (e["key"], e["index"], e.get("create_index"), at))
            if e["key"].startswith("fire/"):
                self.indexes_of.setdefault(value.decode(), []).append(e["index"])
            return Change(e["index"], "set", e["key"], value, e.get("flags", 0), at)
        gone = [e["key"]] if e["op"] == "delete" else [k for k in rows if k.startswith(e["key"])]
        for key in gone:
            if rows.pop(key, None) is None:
                raise Fail("%s is deleted at %d, but was not there" % (key, e["index"]))
        return Change(e["index"], e["op"], e["key"], removed=gone)

    def indexes_at(self, prefix, index):
        """{key: ModifyIndex} of what is under the prefix at `index`."""
        rows = {}
        for c in self.under(prefix):
            if c.index > index:
                break
            if c.op == "set":
                rows[c.key] = c.index
            for key in c.removed:
                rows.pop(key, None)
        return rows

    def under(self, prefix):
        if not hasattr(self, "by_prefix"):
            self.by_prefix = {}
        if prefix not in self.by_prefix:
            self.by_prefix[prefix] = [c for c in self.changes if c.key.startswith(prefix)
                                      or any(k.startswith(prefix) for k in c.removed)]
        return self.by_prefix[prefix]


def replay(node, until):
    """All events of a server's history through `until`, which it must have reached."""
    events = []
    with node.connect(timeout=30.0) as c:
        n = herald.Ndjson(c, "/v1/stream?topic=kv&index=0&until=%d&format=ndjson" % until)
        equal(n.response.status, 200, "replay by %s" % node.name)
        while True:
            m = n.next()
            if m is None:
                raise Fail("%s ended its replay at %s, before %d"
                           % (node.name, events[-1:], until))
            if "op" in m:
                check(not events or events[-1]["index"] <= m["index"], "%s: order at %d",
                      node.name, m["index"])
                events.append(m)
            elif m["type"] in ("compacted", "error"):
                raise Fail("replay by %s: %s" % (node.name, m))
            elif m["type"] == "mark" and m["through"] >= until:
                return events


def same_logs(cluster):
    """The log, if all servers tell the same."""
    until = cluster.last_index()
    first = replay(cluster.nodes[0], until)
    for node in cluster.nodes[1:]:
        events = replay(node, until)
        for a, b in zip(first, events):
            equal(b, a, "%s differs from %s" % (node.name, cluster.nodes[0].name))
        equal(len(events), len(first), "events of %s and of %s" % (node.name,
                                                                  cluster.nodes[0].name))
    log = Log(first)
    log.until = until
    return log


def same_states(cluster, log):
    """Every server's rows are what the log makes of them."""
    want = log.state(log.until)
    for node in cluster.nodes:
        res = node.get("/v1/kv/?recurse&stale")
        rows = {r["Key"]: base64.b64decode(r["Value"] or "") for r in res.json()}
        check(rows == want, "%s's rows are not the log's: %s", node.name, difference(rows, want))


def drain(world, subs, timeout):
    """Waits until each subscriber has what it must; returns what is wrong."""
    deadline = time.monotonic() + timeout
    while any(s.is_alive() for s in subs) and time.monotonic() < deadline \
            and not world.problems:
        time.sleep(0.05)
    for s in subs:
        if s.is_alive():
            for c in s.checkers:
                if not s.has_all(c):
                    world.problem("%s (%r) at %s never got %r", c.name, c.filter, c.cursor,
                                  "a start" if c.cursor is None else c.waits_for(world.truth))
    world.stop.set()
    for s in subs:
        s.join(10)
    return world.problems + [p for s in subs for c in s.checkers for p in c.verdict(world.truth)]
