#!/usr/bin/env python3
"""The stream validators: random writers, random subscribers, a server that is stopped, killed and
started again, a history so short that it is compacted all the time; then every subscriber's log is
held against what was really written (tests/lib/truth.py says which rules).

    validate.py [--seconds N] [--seed N] [--restarts N] ...

The same seed gives the same plan (not the same interleaving).
"""

import argparse
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from report import Report, check  # noqa: E402
from subscriber import KINDS, Subscriber, World  # noqa: E402
from truth import Filter, Truth  # noqa: E402
from writer import Writer  # noqa: E402

R = Report()


def config(args):
    return {"limits": {"http_max_conns_per_client": 4000},
            "herald": {"history_bytes": args.history, "stream_heartbeat": "300ms"}}


def random_filter(dice, writers):
    w = "w%d/" % dice.randrange(writers)
    kind = dice.random()
    if kind < 0.2:
        return Filter()
    if kind < 0.65:
        return Filter(prefix=dice.choice(["w", w, w + "a", w + "b/", w + "b/x", w + "zz", ""]))
    if kind < 0.85:
        return Filter(key=w + dice.choice(["a", "a/1", "b", "b/x/1", "never"]))
    return Filter(prefix=dice.choice(["", w]), op=dice.choice(["set", "delete", "delete-prefix"]))


def make_subscribers(world, args, dice):
    subs = []
    for i in range(args.subscribers):
        kind = KINDS[i % len(KINDS)]
        count = {"websocket": dice.choice([1, 1, 3]), "sse-many": 3}.get(kind, 1)
        filters = [random_filter(dice, args.writers) for _ in range(count)]
        if i < len(KINDS):
            filters[0] = Filter()  # one of each kind hears everything
        subs.append(Subscriber(world, i, kind, filters, dice.random(), flaky=dice.random() < 0.6,
                               slow=dice.random() < 0.3,
                               start="now" if kind == "sse-many" else
                               dice.choice(["now", "zero", "zero", "snapshot"])))
    return subs


def proven(world, subs):
    """Something is wrong already; the rest of the run would tell nothing new."""
    return bool(world.problems) or any(c.problems for s in subs for c in s.checkers)


def disturb(world, args, dice, subs):
    """The middle of the run: time passes, the server is stopped and killed."""
    kills = 0
    began = time.monotonic()
    for n in range(1, args.restarts + 1):
        pass_time(world, subs, began + args.seconds * n / (args.restarts + 1))
        if proven(world, subs):
            return kills
        if dice.random() < 0.6:
            world.server.kill()
            kills += 1
        else:
            code = world.server.stop()
            if code != 0:
                world.problem("SIGTERM: the server ended with %d", code)
        world.server.start()
    pass_time(world, subs, began + args.seconds)
    return kills


def pass_time(world, subs, until):
    while time.monotonic() < until and not proven(world, subs):
        time.sleep(0.05)


def finish_writers(world, writers):
    for w in writers:
        w.end.set()
    for w in writers:
        w.join(30)
        if w.is_alive():
            world.problem("%s does not end", w.name)


def drain(world, subs, timeout):
    """Waits until every subscriber has what it must have; says who has not."""
    deadline = time.monotonic() + timeout * herald.SLOW
    while any(s.is_alive() for s in subs) and time.monotonic() < deadline:
        if proven(world, subs):
            break
        time.sleep(0.05)
    for s in subs:
        if s.is_alive() and not proven(world, subs):
            for c in s.checkers:
                if not s.has_all(c):
                    world.problem("%s (%r) at %s never got %r", c.name, c.filter, c.cursor,
                                  "a start" if c.cursor is None else c.waits_for(world.truth))
    world.stop.set()
    for s in subs:
        s.join(5)


def run(args, seed):
    """One whole run; returns (problems, figures)."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="herald-validate-") as data:
        server = herald.Server(data_dir=data, config=config(args))
        world = World(server)
        truth = Truth()
        try:
            writers = [Writer(world, truth, "w%d/" % i, dice.random(), args.rate / args.writers)
                       for i in range(args.writers)]
            subs = make_subscribers(world, args, dice)
            for t in writers + subs:
                t.start()
            kills = disturb(world, args, dice, subs)
            finish_writers(world, writers)
            for why in truth.freeze():
                world.problem("%s", why)
            world.truth = truth
            drain(world, subs, 1 if proven(world, subs) else 30)
            if len(world.epochs) > 1:
                world.problem("the epoch changed: %s", world.epochs)
            problems = world.problems + [p for s in subs for c in s.checkers
                                         for p in c.verdict(truth)]
            return problems, figures(truth, subs, kills, args)
        finally:
            world.stop.set()
            server.end()


def figures(truth, subs, kills, args):
    checkers = [c for s in subs for c in s.checkers]
    return {"changes": len(truth.changes),
            "subscriptions": len(checkers),
            "events": sum(c.received for c in checkers),
            "resumes": sum(c.resumes for c in checkers),
            "compactions": sum(c.compactions for c in checkers),
            "connections": sum(s.connections for s in subs),
            "restarts": args.restarts, "kills": kills}


def random_workload(args):
    problems, numbers = run(args, args.seed)
    R.note(" ".join("%s=%d" % item for item in numbers.items()))
    for p in problems[:12]:
        R.note(p)
    check(not problems, "%d problems, the first: %s", len(problems), problems and problems[0])
    check(numbers["changes"] > 50 and numbers["resumes"] > 0, "the run is void: %s", numbers)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=26, help="of load")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--rate", type=float, default=300, help="writes per second, of all")
    parser.add_argument("--history", type=int, default=40000, help="bytes of history kept")
    return parser


def main():
    args = options().parse_args()
    R.note("seed %d" % args.seed)
    R.run("random_workload", random_workload, args)
    R.end()


if __name__ == "__main__":
    main()
