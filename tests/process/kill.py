#!/usr/bin/env python3
"""kill -9 under load, again and again, on one data directory.

    kill.py [ROUNDS] [--seed N] [--max-seconds N]

Each worker owns some keys (set, delete, recursive delete, compare-and-set) and has one write under
way at a time; all workers together raise one counter by compare-and-set. After every kill:

  * each worker's keys are as the last acknowledged write left them, or as the one that was under
    way would have; a recursive delete took all or nothing; flags fit their value
  * no index belongs to two writes, ever; the index of the table does not fall

and at the end the change stream, replayed from the beginning, must hold every acknowledged write
exactly once, each unknown one at most once, each worker's in its order, the counter's without a
gap, and exactly the events that a subscriber saw who resumed across all kills.
"""

import argparse
import base64
import os
import random
import sys
import tempfile
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from report import Fail, Report, check, equal  # noqa: E402

R = Report()
COUNTER = "counter"
DIRS = ["", "d/", "d/e/"]


class Worker:
    """Survives the rounds; its load() runs in a thread of its own each round."""

    def __init__(self, number, seed):
        self.prefix = "w%d/" % number
        self.dice = random.Random(seed)
        self.rows = {}       # key -> value, as acknowledged
        self.pending = None  # the write whose answer never came: (kind, key, value)
        self.serial = 0
        self.acked = []      # values, in order
        self.unknown = set()
        self.counted = []    # values of the counter that were acknowledged
        self.problem = None
        self.conn = None

    def load(self, port, stop):
        try:
            self.conn = herald.Connection(port, timeout=20)
            while not stop.is_set():
                if self.dice.random() < 0.1:
                    self.count()
                else:
                    self.write()
        except (OSError, EOFError):
            pass
        except Exception as e:
            self.problem = "%s: %r" % (self.prefix, e)
        finally:
            if self.conn:
                self.conn.close()

    def value(self):
        self.serial += 1
        pad = "." * self.dice.choice([0, 0, 0, 100, 5000])
        return "%s%d%s" % (self.prefix, self.serial, pad)

    def write(self):
        kind = self.dice.random()
        key = self.prefix + self.dice.choice(DIRS) + self.dice.choice("abc")
        if kind < 0.6:
            self.do(("set", key, self.value()))
        elif kind < 0.75:
            self.do(("cas", key, self.value()))
        elif kind < 0.92:
            self.do(("delete", key, None))
        else:
            self.do(("delete-prefix", self.prefix + self.dice.choice(["d/", "d/e/", "d"]), None))

    def do(self, op):
        kind, key, value = op
        query = "?flags=%d" % zlib.crc32((value or "").encode())
        if kind == "cas":
            res = self.conn.request("GET", "/v1/kv/" + key)
            query += "&cas=%d" % (res.json()[0]["ModifyIndex"] if res.status == 200 else 0)
        self.pending = op
        if value is not None:
            self.unknown.add(value)
        if kind in ("set", "cas"):
            res = self.conn.request("PUT", "/v1/kv/" + key + query, value)
        else:
            res = self.conn.request("DELETE", "/v1/kv/" + key
                                    + ("?recurse" if kind == "delete-prefix" else ""))
        if (res.status, res.body) != (200, b"true"):
            if res.status in (500, 503):
                raise EOFError("unknown outcome")
            raise Fail("%s %s: answered %r" % (kind, key, res))
        self.rows = after(self.rows, op)
        self.pending = None
        if value is not None:
            self.unknown.discard(value)
            self.acked.append(value)

    def count(self):
        res = self.conn.request("GET", "/v1/kv/" + COUNTER)
        number, at = 0, 0
        if res.status == 200:
            row = res.json()[0]
            number, at = int(base64.b64decode(row["Value"]).split(b" ")[0]), row["ModifyIndex"]
        self.serial += 1
        value = "%d %s%d" % (number + 1, self.prefix, self.serial)
        flags = zlib.crc32(value.encode())
        res = self.conn.request("PUT", "/v1/kv/%s?cas=%d&flags=%d" % (COUNTER, at, flags), value)
        if res.status == 200 and res.body == b"true":
            self.counted.append(value)

    def settle(self, rows):
        """Holds what is there after a kill against what was promised."""
        if self.problem:
            raise Fail(self.problem)
        mine = {k: v for k, v in rows.items() if k.startswith(self.prefix)}
        wants = [self.rows]
        if self.pending:
            wants.append(after(self.rows, self.pending))
        if mine not in wants:
            short = {k: v[:20] for k, v in mine.items()}
            raise Fail("%s holds %s; acknowledged %s; under way %s"
                       % (self.prefix, short, {k: v[:20] for k, v in self.rows.items()},
                          self.pending))
        self.rows, self.pending = mine, None


def after(rows, op):
    kind, key, value = op
    if kind in ("set", "cas"):
        return {**rows, key: value}
    if kind == "delete":
        return {k: v for k, v in rows.items() if k != key}
    return {k: v for k, v in rows.items() if not k.startswith(key)}


class Follower(threading.Thread):
    """Reads the whole stream as NDJSON and resumes after each kill from what it has."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.events = []
        self.cursor = 0
        self.resumes = 0
        self.problem = None
        self.end = threading.Event()

    def run(self):
        while not self.end.is_set() and not self.problem:
            try:
                self.connection()
            except (OSError, EOFError):
                time.sleep(0.005)
            except Exception as e:
                self.problem = "the follower: %r" % e

    def connection(self):
        with herald.Connection(self.server.port, timeout=20) as c:
            n = herald.Ndjson(c, "/v1/stream?topic=kv&format=ndjson&index=%d" % self.cursor)
            equal(n.response.status, 200, "the follower at %d" % self.cursor)
            self.resumes += 1
            while not self.end.is_set():
                while b"\n" not in n.held and not c.readable(0.2):
                    if self.end.is_set():
                        return
                m = n.next()
                if m is None:
                    return
                self.take(m)

    def take(self, m):
        if "op" in m:
            if m["index"] <= self.cursor:
                raise Fail("event %s behind %d" % (str(m)[:100], self.cursor))
            self.events.append(event(m))
            self.cursor = m["index"]
        elif m["type"] == "mark":
            self.cursor = max(self.cursor, m["through"])
        elif m["type"] in ("compacted", "error"):
            raise Fail("%s" % m)


def event(m):
    value = base64.b64decode(m["value"]).decode() if m.get("value") else None
    return (m["index"], m["op"], m["key"], value)


class Campaign:
    def __init__(self, args, data):
        self.args = args
        self.dice = random.Random(args.seed)
        self.server = herald.Server(data_dir=data, config={
            "limits": {"http_max_conns_per_client": 1000}})
        self.workers = [Worker(i, self.dice.random()) for i in range(args.workers)]
        self.follower = Follower(self.server)
        self.owners = {}  # index -> (key, value): who got it
        self.table = 0
        self.rounds = 0
        self.early = 0

    def round(self):
        stop = threading.Event()
        threads = [threading.Thread(target=w.load, args=(self.server.port, stop))
                   for w in self.workers]
        for t in threads:
            t.start()
        time.sleep(self.dice.uniform(0.03, self.args.load_ms / 1000))
        check(self.server.running(), "the server died by itself:\n%s", self.server.log()[-500:])
        self.server.kill()
        stop.set()
        for t in threads:
            t.join()
        if self.dice.random() < 0.15:  # also while it recovers
            self.early += 1
            self.server.start(ready=False)
            time.sleep(self.dice.uniform(0, 0.15))
            self.server.kill()
        self.server.start()
        self.verify()
        self.rounds += 1

    def verify(self):
        res = self.server.get("/v1/kv/?recurse")
        check(res.status in (200, 404), "%r", res)
        rows = {}
        for r in res.json() if res.status == 200 else []:
            value = base64.b64decode(r["Value"] or "").decode()
            equal(r["Flags"], zlib.crc32(value.encode()), "flags of %s" % r["Key"])
            rows[r["Key"]] = value
            self.own(r["ModifyIndex"], (r["Key"], value))
        check(res.index() >= self.table, "the table's index fell from %d to %d", self.table,
              res.index())
        self.table = res.index()
        for w in self.workers:
            w.settle(rows)
        check(not self.follower.problem, "%s", self.follower.problem)

    def own(self, index, write):
        equal(write, self.owners.setdefault(index, write), "index %d" % index)

    def finish(self):
        """The end: the stream from the beginning against everything that is known."""
        events = self.replay()
        herald.eventually(lambda: self.follower.problem or self.follower.cursor >= events[-1][0],
                          "the follower has everything", 30)
        self.follower.end.set()
        self.follower.join(30)
        check(not self.follower.problem, "%s", self.follower.problem)
        seen = self.follower.events
        for a, b in zip(seen, events):
            equal(a, b, "the follower's events differ from the replay")
        equal(len(seen), len(events), "events of the follower and of the replay")
        self.judge(events)
        return events

    def replay(self):
        out = []
        with self.server.ndjson("topic=kv&index=0&until=%d" % self.table) as n:
            equal(n.response.status, 200)
            while True:
                m = n.next()
                if m is None or (m.get("type") == "mark" and m["through"] >= self.table):
                    break
                if "op" in m:
                    out.append(event(m))
                    check(len(out) < 2 or out[-2][0] < m["index"], "order at %d", m["index"])
        return out

    def judge(self, events):
        for index, op, key, value in events:
            if op == "set":
                self.own(index, (key, value))
        values = [v for _, op, k, v in events if op == "set" and k != COUNTER]
        equal(len(set(values)), len(values), "a write was applied twice")
        for w in self.workers:
            mine = [v for v in values if v.startswith(w.prefix)]
            acked = set(w.acked)
            equal([v for v in mine if v in acked], w.acked, "acknowledged writes of " + w.prefix)
            strange = set(mine) - acked - w.unknown
            check(not strange, "values that nobody wrote: %s", sorted(strange)[:3])
        counter = [v for _, op, k, v in events if op == "set" and k == COUNTER]
        equal([int(v.split(" ")[0]) for v in counter], list(range(1, len(counter) + 1)),
              "the counter")
        counted = {v for w in self.workers for v in w.counted}
        check(counted <= set(counter), "acknowledged counts are lost: %s",
              sorted(counted - set(counter))[:3])


def kill_rounds(args):
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="herald-kill-") as data:
        c = Campaign(args, data)
        try:
            c.follower.start()
            while c.rounds < args.rounds and time.monotonic() - began < args.max_seconds:
                try:
                    c.round()
                except Fail as e:
                    raise Fail("round %d: %s" % (c.rounds + 1, e)) from None
            events = c.finish()
        finally:
            c.follower.end.set()
            c.server.end()
    R.note("%d of %d rounds (%d with a second kill while recovering), %d acknowledged writes, "
           "%d unknown, %d events, %d resumes, %.0f s"
           % (c.rounds, args.rounds, c.early, sum(len(w.acked) for w in c.workers),
              sum(len(w.unknown) for w in c.workers), len(events), c.follower.resumes,
              time.monotonic() - began))
    check(c.rounds >= 1 and len(events) > c.rounds, "the run is void")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("--max-seconds", type=float, default=600, help="no new round after that")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--load-ms", type=float, default=250, help="longest load before a kill")
    args = parser.parse_args()
    R.note("seed %d" % args.seed)
    R.run("kill_9_rounds", kill_rounds, args)
    R.end()


if __name__ == "__main__":
    main()
