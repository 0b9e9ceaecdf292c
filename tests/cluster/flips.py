#!/usr/bin/env python3
"""Flipped bits on one of three real servers: it gets what is damaged from the others, by itself, or
says what is damaged and does not start; nothing that it serves is ever wrong.

    flips.py [COUNT] [--seed N]
"""

import argparse
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import herald  # noqa: E402
from report import Report, check, equal  # noqa: E402
from steps import cluster, everywhere, rpc, voters, write  # noqa: E402

R = Report()
# One line each, which say whose directory it is: nobody else can know that.
NAMES = ("VERSION", "node-id")
# The first states are written out as files early, so that there are files to damage.
SETTINGS = {"raft_trailing_logs": 50}


def files_under(path):
    return sorted(os.path.join(top, f) for top, _, files in os.walk(path) for f in files
                  if os.path.getsize(os.path.join(top, f)) > 0 and "/damaged" not in top)


def flip(path, at, bit):
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(1)[0]
        f.seek(at)
        f.write(bytes([old ^ (1 << bit)]))


def rows_of(node):
    try:
        got = node.get("/v1/kv/?recurse&stale", timeout=10)
    except (OSError, EOFError):
        return None
    return {r["Key"]: r["Value"] for r in got.json()} if got.status == 200 else None


def whole(node, others):
    """It has what the others have, has its vote, and nothing is being repaired."""
    return (not os.path.exists(os.path.join(node.disk.data(), "repair"))
            and voters(others[0]) == rpc([node] + others)
            and rows_of(node) is not None and rows_of(node) == rows_of(others[0]))


def one(c, dice, number):
    """Damages one server; gives what became of it."""
    node = dice.choice(c.nodes)
    others = [n for n in c.nodes if n is not node]
    for i in range(dice.randrange(1, 60)):
        write(others[0], "n%d/%d" % (number, i), "x" * dice.choice([1, 50, 2000]))
    (node.kill if dice.random() < 0.5 else node.stop)()
    write(others[0], "while/%d" % number, "away")
    path = dice.choice(files_under(node.disk.data()))
    at, bit = dice.randrange(os.path.getsize(path)), dice.randrange(8)
    what = "%s byte %d" % (os.path.relpath(path, node.disk.data()), at)
    flip(path, at, bit)
    for _ in range(2):
        # Damage that is found while it runs ends it: whoever starts it again finds it repaired.
        node.start()
        herald.eventually(lambda: whole(node, others) or not node.running(),
                          what + ": it is whole, or ends", 60)
        if node.running():
            break
    if not node.running():
        log = node.log()
        check("Sanitizer" not in log and node.disk.data() in log, "%s: %s", what, log[-1000:])
        flip(path, at, bit)  # an operator has put it right
        node.start()
        herald.eventually(lambda: whole(node, others), what + ": put right, it is whole", 60)
        R.note("%s: refused: %s" % (what, log.strip().splitlines()[-1][:200]))
        return "refused" if os.path.basename(path) not in NAMES else "its name is damaged"
    everywhere(c.nodes, "while/%d" % number, "away")
    return "repaired" if os.path.isdir(os.path.join(node.disk.data(), "damaged")) else "not hurt"


def flips(args):
    dice = random.Random(args.seed)
    verdicts = {}
    with cluster(3, leave_on_terminate=False, **SETTINGS) as c:
        for i in range(args.count):
            try:
                verdict = one(c, dice, i)
            except AssertionError as e:
                raise AssertionError("%s\n%s" % (e, c.tails(12))) from None
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    R.note("%d flips: %s" % (args.count, verdicts))
    refused = verdicts.get("refused", 0)
    check(refused <= 1 + args.count // 20, "%d of %d had to be put right by hand", refused, args.count)
    equal(sum(verdicts.values()), args.count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    args = parser.parse_args()
    R.note("seed %d" % args.seed)
    R.run("flipped_bits_are_repaired_from_the_others", flips, args)
    R.end()


if __name__ == "__main__":
    main()
