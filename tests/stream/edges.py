#!/usr/bin/env python3
"""Resuming at the edges of the kept history, over every transport: 0, the oldest index, the one
before it, the current one, and ones of the future; and what a foreign epoch gets."""

import argparse
import json
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from report import Report, check, equal  # noqa: E402
from subscriber import KINDS as ALL_KINDS, Subscriber, World  # noqa: E402
from truth import Filter, Segment, Truth  # noqa: E402
from writer import Writer  # noqa: E402

R = Report()
KINDS = [k for k in ALL_KINDS if k != "sse-many"]  # which cannot begin at an edge of its choice
CONFIG = {"limits": {"http_max_conns_per_client": 4000},
          "herald": {"history_bytes": 40000, "stream_heartbeat": "300ms"}}


class Scene:
    """A server whose history has been cut, and the truth about it."""

    def __init__(self, server, seed):
        self.server = server
        self.world = World(server)
        self.truth = Truth()
        self.writer = Writer(self.world, self.truth, "w0/", seed, 0)
        self.writer.set("w0/a")
        self.number = 0

    def write(self, changes):
        have = len(self.truth.changes)
        while len(self.truth.changes) < have + changes:
            self.writer.step()

    def welcome(self):
        with self.server.websocket() as ws:
            ws.send({"type": "hello"})
            return ws.next_of("welcome")

    def alternate(self, pairs):
        for _ in range(pairs):
            self.writer.set("w0/c")
            self.writer.delete("w0/c")

    def cut(self):
        """Writes until some history is gone, and the cutting rests; gives `oldest`. However long the
        cutting takes, what is kept then begins among sets and deletions in turn: a deletion is as
        likely the first as a set."""
        before = self.welcome()["oldest"]
        self.alternate(120)
        deadline = time.monotonic() + 60 * herald.SLOW
        while self.welcome()["oldest"] == before:
            check(time.monotonic() < deadline, "the history is never cut")
            self.alternate(10)
            time.sleep(0.1)
        last = -1
        while last != self.welcome()["oldest"]:
            last = self.welcome()["oldest"]
            time.sleep(1.2)
        self.truth.freeze()
        return last

    def follow(self, kind, start, cursor=None, filter=None, meanwhile=None):
        """Subscribes until everything due has come; fails if it is not what it must be."""
        self.number += 1
        world = World(self.server)
        s = Subscriber(world, self.number, kind, [filter or Filter()], self.number, False, False,
                       start)
        if cursor is not None:
            s.checkers[0].segments.append(Segment(cursor, "edge"))
            s.start_mode[s.checkers[0]] = "resume"
        if meanwhile is None:
            world.truth = self.truth
        s.start()
        if meanwhile is not None:
            herald.eventually(lambda: s.connections > 0, "the subscriber connects")
            time.sleep(0.3)  # that it is there is likely; that it is not is no failure either
            meanwhile()
            self.truth.freeze()
            world.truth = self.truth
        s.join(20 * herald.SLOW)
        missing = s.checkers[0].waits_for(self.truth) if s.checkers[0].segments else "a start"
        world.stop.set()
        s.join(5)
        problems = world.problems + s.checkers[0].verdict(self.truth)
        check(not problems, "%s: %s", kind, problems and problems[0])
        check(missing is None, "%s: never got %r", kind, missing)
        return s.checkers[0]


def from_zero(scene):
    oldest = scene.cut()
    for kind in KINDS:
        c = scene.follow(kind, "zero")
        equal(c.segments[0].after, oldest, kind)
        equal(c.received, len(scene.truth.between(oldest, scene.truth.last())), kind)


def from_the_oldest(scene):
    """With a deletion first, and with a set first: both must be there."""
    seen = set()
    for _ in range(12):
        oldest = scene.cut()
        first = scene.truth.between(oldest, scene.truth.last())[0]
        seen.add(first.op)
        for kind in KINDS:
            c = scene.follow(kind, "resume", oldest)
            equal((c.resumes, c.compactions), (1, 0), kind)
            key = Filter(key=first.key) if first.op != "delete-prefix" else Filter()
            scene.follow(kind, "resume", oldest, key)
        if {"set", "delete"} <= seen:
            return
    check("delete" in seen, "the history never began with a deletion")


def from_before_the_oldest(scene):
    oldest = scene.cut()
    asked = oldest - 1
    before_the_oldest_websocket(scene, asked, oldest)
    query = "topic=kv&index=%d" % asked
    with scene.server.ndjson(query) as n:
        equal(n.response.status, 410)
        body = json.loads(n.c.read_exactly(int(n.response.headers["content-length"])))
        equal((body["error"], body["oldest"]), ("compacted", oldest))
        check(body["index"] >= scene.truth.last(), "%s", body)
    with scene.server.sse(query) as s:
        equal(s.response.status, 200)
        e = s.next()
        equal(e.event, "compacted")
        m = json.loads(e.data)
        equal((m["asked"], m["oldest"]), (asked, oldest))
        check(s.next() is None, "the stream goes on after compacted")
    with scene.server.sse(query + "&on_compacted=snapshot") as s:
        kinds = [s.next().event]
        while kinds[-1] != "snapshot":
            kinds.append(s.next().event)
        equal(kinds, ["compacted", "snapshot"])


def before_the_oldest_websocket(scene, asked, oldest):
    with scene.server.websocket() as ws:
        ws.send({"type": "subscribe", "id": 1, "topic": "kv", "from": {"index": asked}})
        m = ws.next_of("compacted", "events", "subscribed")
        while m["type"] == "subscribed":
            m = ws.next_of("compacted", "events", "subscribed")
        equal((m["type"], m["id"], m["asked"], m["oldest"]), ("compacted", 1, asked, oldest))
        check(m["index"] >= scene.truth.last() and m["do"] == "snapshot", "%s", m)
        # The connection lives; a snapshot on it works.
        ws.send({"type": "subscribe", "id": 2, "topic": "kv", "snapshot": True})
        m = ws.next_of("snapshot")
        equal((m["type"], m["id"]), ("snapshot", 2))


def from_the_current(scene):
    for kind in KINDS:
        current = scene.welcome()["index"]
        c = scene.follow(kind, "resume", current, meanwhile=lambda: scene.write(3))
        check(c.received >= 3, "%s: %d events", kind, c.received)


def from_a_near_future(scene):
    """An index that is not there yet is waited for; what comes after it is delivered."""
    for kind in KINDS:
        future = scene.welcome()["index"] + 2
        c = scene.follow(kind, "resume", future, meanwhile=lambda: scene.write(6))
        check(c.received >= 4, "%s: %d events", kind, c.received)
        check(c.segments[0].events[0]["index"] > future, "%s: %s", kind, c.segments[0].events[0])


def from_a_far_future(scene):
    far = scene.welcome()["index"] + 100000
    began = time.monotonic()
    with scene.server.websocket() as ws, scene.server.sse("topic=kv&index=%d" % far) as sse, \
            scene.server.ndjson("topic=kv&index=%d" % far) as nd:
        ws.send({"type": "subscribe", "id": 1, "topic": "kv", "from": {"index": far}})
        m = ws.next_of("error", "events")
        took = time.monotonic() - began
        equal((m["type"], m.get("code"), m.get("retry"), m.get("id")),
              ("error", "index_ahead", True, 1))
        check(took >= 4.5, "did not wait for the index: %.1f s", took)
        e = sse.next()
        while e.event not in ("error", "events"):
            e = sse.next()
        equal((e.event, json.loads(e.data)["code"]), ("error", "index_ahead"))
        m = nd.next()
        while m.get("type") not in ("error", None):
            m = nd.next()
        equal((m.get("type"), m.get("code")), ("error", "index_ahead"))


def from_another_epoch(scene):
    index = scene.welcome()["index"]
    with scene.server.websocket() as ws:
        ws.send({"type": "subscribe", "id": 1, "topic": "kv",
                 "from": {"index": index, "epoch": "0badc0de"}})
        m = ws.next_of("compacted", "events", "error")
        equal((m["type"], m.get("why")), ("compacted", "epoch"))
    with scene.server.sse("topic=kv", headers={"Last-Event-ID": "0badc0de:%d" % index}) as s:
        equal(s.next().event, "compacted")
    with scene.server.ndjson("topic=kv&last_event_id=0badc0de:%d" % index) as n:
        equal(n.response.status, 410)


def snapshot_then_tail(scene):
    for kind in KINDS:
        for f in [Filter(), Filter(prefix="w0/a"), Filter(key="w0/b"), Filter(prefix="none")]:
            scene.follow(kind, "snapshot", None, f, meanwhile=lambda: scene.write(5))


def after_a_restart(scene):
    """The same edges hold when the server has come back, by either way. After a kill some of what
    was cut may be back, and is then complete."""
    oldest = scene.cut()
    for how, keeps in ((scene.server.stop, True), (scene.server.kill, False)):
        how()
        scene.server.start()
        scene.writer.forget()
        again = scene.welcome()["oldest"]
        check(again == oldest if keeps else again <= oldest, "oldest is %d, was %d", again, oldest)
        for kind in KINDS:
            scene.follow(kind, "resume", oldest)
            scene.follow(kind, "zero")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("only", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()
    R.note("seed %d" % args.seed)
    with tempfile.TemporaryDirectory(prefix="herald-edges-") as data:
        server = herald.Server(data_dir=data, config=CONFIG)
        try:
            scene = Scene(server, args.seed)
            for function in [from_zero, from_the_oldest, from_before_the_oldest, from_the_current,
                             from_a_near_future, from_a_far_future, from_another_epoch,
                             snapshot_then_tail, after_a_restart]:
                if not args.only or any(o in function.__name__ for o in args.only):
                    R.run("edge_" + function.__name__, function, scene)
        finally:
            R.run("server_ends_cleanly", server.end)
    R.end()


if __name__ == "__main__":
    main()
