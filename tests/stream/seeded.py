#!/usr/bin/env python3
"""The validators are tested before they are believed: each server of stream/seeded.h, which has one
bug on purpose, must be convicted, and the real one acquitted of the same charges.

    seeded.py [--rounds N] [--seed N]

The servers are built beside the one under test ($HERALD, or build/herald). A trial is a short random
workload (validate.py), followed by resumes at the edges of a cut history (edges.py); it ends with
the first proof.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)

import edges  # noqa: E402
import herald  # noqa: E402
import validate  # noqa: E402
from report import Fail, Report, check  # noqa: E402

R = Report()
BUGS = {1: "resume is off by one", 2: "a duplicate after a reconnect",
        3: "a deletion dropped at the compaction edge", 4: "a mark ahead of the stream",
        5: "a split index"}


def build():
    """The five programs, in the build directory of the real one."""
    where = os.path.dirname(herald.program())
    targets = ["tests/stream/herald-seeded-%d" % n for n in BUGS]
    got = subprocess.run(["ninja", "-C", where] + targets, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=False)
    check(got.returncode == 0, "the build failed: %s", got.stdout.decode()[-2000:])
    return {n: os.path.join(where, t) for n, t in zip(BUGS, targets)}


def workload_trial(seed):
    """What the random workload finds, or None."""
    args = validate.options().parse_args(
        ["--seconds", "4", "--restarts", "1", "--subscribers", "15", "--history", "40000"])
    problems, _ = validate.run(args, seed)
    return problems[0] if problems else None


def edges_trial(seed):
    with tempfile.TemporaryDirectory(prefix="herald-seeded-") as data:
        with herald.Server(data_dir=data, config=edges.CONFIG) as server:
            scene = edges.Scene(server, seed)
            for function in (edges.from_the_oldest, edges.from_the_current):
                try:
                    function(scene)
                except Fail as e:
                    return "edge_%s: %s" % (function.__name__, e)
    return None


def trials(args):
    """(name, proof or None) of one trial after the other."""
    for n in range(args.rounds):
        for trial in (workload_trial, edges_trial):
            yield trial.__name__, trial(args.seed + n)


def convict(args, program):
    began = time.monotonic()
    os.environ["HERALD"] = program
    for name, proof in trials(args):
        if proof:
            R.note("%s, %.1f s: %s" % (name, time.monotonic() - began, proof[:200]))
            return
    raise Fail("acquitted after %.0f s" % (time.monotonic() - began))


def acquit(args, program):
    os.environ["HERALD"] = program
    for name, proof in trials(args):
        check(proof is None, "%s: %s", name, proof)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="trials of each kind")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    args = parser.parse_args()
    R.note("seed %d" % args.seed)
    real = herald.program()
    programs = {}
    if R.run("seeded_servers_are_built", lambda: programs.update(build())):
        for n, what in BUGS.items():
            R.run("bug_%d_is_convicted (%s)" % (n, what), convict, args, programs[n])
        R.run("the_real_server_is_acquitted", acquit, args, real)
    R.end()


if __name__ == "__main__":
    main()
