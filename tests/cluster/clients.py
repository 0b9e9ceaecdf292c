"""Clients of a cluster under fire: they write, compare-and-set, delete and read on all servers, and
note everything in the form of tests/sim/history.h, so that the checker can judge it.

An answer that never came, and one that says so, is unknown. A value is written once in a run, so
that the log tells later which write got which index.
"""

import base64
import random
import threading
import time
import traceback
import urllib.parse

import herald
from report import Fail

KEYS = 8               # at a time; each generation has its own
GENERATION_S = 4.0
# With these a write was not done and never will be (store/store.h).
REFUSALS = ("No cluster leader", "too many requests in progress", "no space left")


class Op:
    __slots__ = ("client", "start", "end", "kind", "key", "value", "cas", "outcome", "read",
                 "index", "mode", "view", "sent")

    def __init__(self, client, kind, key, value=None, cas=None, mode=None, sent=None):
        self.client, self.kind, self.key, self.value, self.cas = client, kind, key, value, cas
        self.mode, self.sent = mode, sent
        self.start = self.end = self.outcome = self.read = self.index = self.view = None

    def line(self):
        def text(t):
            if t is None:
                return "-"
            return '""' if t == "" else "%2D" if t == "-" else urllib.parse.quote(t)

        def number(n):
            return "-" if n is None else "%d" % n
        # Only what was asked for as consistent is held to it.
        mode = "stale" if self.mode in ("stale", "default") else "consistent"
        return " ".join(("%d" % self.client, "%d" % self.start, number(self.end), self.kind,
                         text(self.key), text(self.value), number(self.cas), self.outcome,
                         text(self.read), number(self.index), mode, number(self.view),
                         number(self.sent)))


class Shared:
    """What the clients of one run have in common."""

    def __init__(self, cluster, rate, pads):
        self.cluster = cluster
        self.pads = pads
        self.rate = rate
        self.began = time.monotonic()
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.ops = []
        self.numbers = 0
        self.problems = []
        self.acknowledged = 0        # writes; rises while the cluster makes progress
        self.refused = self.unknown = 0

    def number(self):
        with self.lock:
            self.numbers += 1
            return self.numbers

    def note(self, op):
        with self.lock:
            self.ops.append(op)
            if op.kind != "get":
                self.acknowledged += op.outcome in ("ok", "failed")
                self.refused += op.outcome == "refused"
                self.unknown += op.outcome == "unknown"

    def problem(self, why, *args):
        with self.lock:
            self.problems.append(why % args)

    def generation(self):
        return int((time.monotonic() - self.began) / GENERATION_S)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            for op in sorted(self.ops, key=lambda op: op.start):
                if op.outcome != "never":
                    f.write(op.line() + "\n")


class Client(threading.Thread):
    """Bound to one server until that fails it; then, now and then, to another one."""

    def __init__(self, shared, home, seed, share):
        super().__init__(name="client %d" % home, daemon=True)
        self.shared, self.home, self.share = shared, home, share
        self.dice = random.Random(seed)
        self.number = shared.number()
        self.serial = 0
        self.conn = None
        self.seen = {}   # key -> ModifyIndex that it saw last
        self.views = {}  # key -> X-Consul-Index that a stale read of it brought
        self.generation = 0

    def run(self):
        try:
            due = time.monotonic()
            while not self.shared.stop.is_set():
                due = max(due + self.dice.expovariate(self.shared.rate * self.share),
                          time.monotonic() - 0.5)
                time.sleep(max(0.0, due - time.monotonic()))
                self.step()
        except Exception:  # a broken client is a broken test
            self.shared.problem("%s crashed: %s", self.name, traceback.format_exc())
        finally:
            self.forget()

    def forget(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def connected(self):
        if self.conn is None:
            try:
                node = self.shared.cluster.nodes[self.home]
                self.conn = node.connect(timeout=self.dice.choice([1.0, 3.0]))
            except OSError:
                self.failed()
        return self.conn is not None

    def failed(self):
        """No connection, or not any more."""
        self.forget()
        if self.dice.random() < 0.3:
            self.home = self.dice.randrange(self.shared.cluster.count)
        self.shared.stop.wait(0.01)

    def step(self):
        if not self.connected():
            return
        generation = self.shared.generation()
        if generation != self.generation:
            self.generation, self.seen, self.views = generation, {}, {}
        key = "fire/%d/%d" % (generation, self.dice.randrange(KEYS))
        kind = self.dice.random()
        if kind < 0.28:
            self.do(Op(self.number, "set", key, self.value()))
        elif kind < 0.46:
            self.do(Op(self.number, "cas", key, self.value(), self.seen.get(key, 0)))
        elif kind < 0.49:
            self.do(Op(self.number, "delete", key))
        elif kind < 0.51 and key in self.seen:
            self.do(Op(self.number, "delete-cas", key, cas=self.seen[key]))
        elif kind < 0.77:
            self.do(Op(self.number, "get", key, mode="consistent"))
        elif kind < 0.92:
            self.do(Op(self.number, "get", key, mode="default"))
        else:
            # The peers promise that only of one and the same server.
            sent = self.views.get(key) if self.shared.cluster.kind.stream else None
            self.do(Op(self.number, "get", key, mode="stale", sent=sent))

    def value(self):
        self.serial += 1
        pad = "." * self.dice.choice(self.shared.pads)
        return "c%d-%d%s" % (self.number, self.serial, pad)

    # --- one operation ----------------------------------------------------------------------

    def do(self, op):
        method, path, body = self.request(op)
        op.start = time.monotonic_ns()
        try:
            res = self.conn.request(method, path, body)
        except (OSError, EOFError, ValueError, AssertionError):
            self.never_answered(op)
            return
        op.end = time.monotonic_ns()
        if res.headers.get("connection", "").lower() == "close":
            self.forget()
        if op.kind == "get":
            self.got(op, res)
        else:
            self.wrote(op, res)

    @staticmethod
    def request(op):
        path = "/v1/kv/" + op.key
        if op.kind == "get":
            query = {"consistent": "?consistent", "default": "", "stale": "?stale"}[op.mode]
            if op.sent:
                query += "&index=%d&wait=20ms" % op.sent
            return "GET", path + query, None
        if op.cas is not None:
            path += "?cas=%d" % op.cas
        return ("DELETE", path, None) if op.value is None else ("PUT", path, op.value)

    def never_answered(self, op):
        if op.kind != "get":
            op.outcome = "unknown"
            self.shared.note(op)
            self.number = self.shared.number()  # the old one may be at it for ever
        self.failed()

    def wrote(self, op, res):
        text = res.body.strip()
        if res.status == 200 and text in (b"true", b"false"):
            op.outcome = "ok" if text == b"true" else "failed"
            if op.outcome == "failed" and op.cas is None:
                self.shared.problem("%s %s answered false", op.kind, op.key)
                op.outcome = "refused"
        elif res.status in (500, 503, 504):
            refused = self.shared.cluster.kind.name == "herald" and \
                res.text().startswith(REFUSALS)
            op.outcome = "refused" if refused else "unknown"
            if not refused:
                op.end = None
                self.number = self.shared.number()
            self.shared.stop.wait(0.02)
        else:
            self.shared.problem("%s %s: answered %r", op.kind, op.key, res)
            return
        self.shared.note(op)
        if op.value is None and op.outcome == "ok":
            self.seen.pop(op.key, None)

    def got(self, op, res):
        if res.status in (500, 503, 504):
            self.shared.stop.wait(0.02)
            return
        op.outcome = "ok"
        op.view = res.index()
        if op.view < 1:
            self.shared.problem("X-Consul-Index of %s is %d", op.key, op.view)
        if res.status == 200:
            row = res.json()[0]
            op.read, op.index = base64.b64decode(row["Value"] or "").decode(), row["ModifyIndex"]
            self.seen[op.key] = op.index
        elif res.status == 404:
            self.seen.pop(op.key, None)
        else:
            self.shared.problem("get %s: answered %r", op.key, res)
            return
        if op.mode == "stale":
            self.views[op.key] = op.view
        self.shared.note(op)


class Waiter(threading.Thread):
    """Blocking queries on one prefix, on one server after another: the index must never go back,
    and an answer must be the prefix's state at its index."""

    def __init__(self, shared, seed):
        super().__init__(name="waiter", daemon=True)
        self.shared = shared
        self.dice = random.Random(seed)
        self.answers = []  # (prefix, index, {key: ModifyIndex}), one of some
        self.count = 0
        self.prefix, self.index = None, 0

    def run(self):
        try:
            while not self.shared.stop.is_set():
                self.ask()
        except Exception:
            self.shared.problem("%s crashed: %s", self.name, traceback.format_exc())

    def ask(self):
        node = self.dice.choice(self.shared.cluster.nodes)
        mode = self.dice.choice(["&stale", "", "&consistent"])
        prefix = "fire/%d/" % self.shared.generation()
        if prefix != self.prefix or not self.shared.cluster.kind.stream:
            self.index = 0  # the peers do not promise more than a server's own order
        self.prefix = prefix
        try:
            with node.connect(timeout=3.0) as c:
                while not self.shared.stop.is_set() and self.dice.random() < 0.9:
                    res = c.request("GET", "/v1/kv/%s?recurse&wait=500ms&index=%d%s"
                                    % (prefix, self.index, mode))
                    if res.status not in (200, 404):
                        self.shared.stop.wait(0.02)
                        return
                    if res.index() < self.index:
                        self.shared.problem("%s: a waiting query for %s sent index %d and got %d",
                                            node.name, prefix, self.index, res.index())
                    self.index = res.index()
                    self.took(prefix, self.index, res)
                    self.shared.stop.wait(0.02)
        except (OSError, EOFError, ValueError):
            self.shared.stop.wait(0.02)

    def took(self, prefix, index, res):
        self.count += 1
        if self.count % 5 == 0:
            rows = {r["Key"]: r["ModifyIndex"] for r in res.json()} if res.status == 200 else {}
            self.answers.append((prefix, index, rows))

    def judge(self, truth):
        """Against the log: each answer is what the prefix was at its index."""
        for prefix, index, rows in self.answers:
            want = truth.indexes_at(prefix, index)
            if rows != want:
                raise Fail("a waiting query's answer at %d is not %s there: %s, not %s"
                           % (index, prefix, sorted(rows.items()), sorted(want.items())))


def resolve(ops, indexes):
    """Gives writes the index that the log has for their value, and an end to doubts about those
    that are not there. Returns what does not fit."""
    problems = []
    written = {}
    for op in ops:
        if op.value is None:
            continue
        written[op.value] = op
        at = indexes.get(op.value, [])
        if len(at) > 1:
            problems.append("%s of %s was applied %d times, at %s" % (op.kind, op.value[:40],
                                                                     len(at), at))
        if op.outcome == "ok" and not at:
            problems.append("the acknowledged %s of %s (%s) is not in the log"
                            % (op.kind, op.key, op.value[:40]))
        if op.outcome in ("failed", "refused") and at:
            problems.append("the %s of %s (%s) was %s, but is in the log at %d"
                            % (op.kind, op.key, op.value[:40], op.outcome, at[0]))
        if at:
            op.index = at[0]
        elif op.outcome == "unknown":
            op.outcome = "never"  # nobody can have read it before the log's end
    strange = [v for v in indexes if v not in written]
    if strange:
        problems.append("values that nobody wrote: %s" % strange[:3])
    return problems


def staleness(ops):
    """Of default reads: how many saw what was overwritten for longer than the question's age, and
    the longest such time in ms (contracts/reliability.md, row 3)."""
    index_of = {op.value: op.index for op in ops if op.value is not None and op.index}
    index_of.update({op.read: op.index for op in ops if op.kind == "get" and op.read is not None})
    writes = {}
    for op in ops:
        if op.value is not None and op.outcome == "ok" and op.value in index_of:
            writes.setdefault(op.key, []).append((index_of[op.value], op.end))
    count, worst = 0, 0
    for op in ops:
        if op.kind == "get" and op.mode == "default" and op.read is not None:
            ages = [op.start - end for index, end in writes.get(op.key, ())
                    if index > op.index and end < op.start]
            if ages:
                count += 1
                worst = max(worst, max(ages))
    return count, worst / 1e6
