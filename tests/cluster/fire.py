#!/usr/bin/env python3
"""Real servers under fire: clients on all of them, subscribers on all of them, and faults.

    fire.py [SEED [SECONDS]] [--servers N[,N...]] [--fault MIX[,MIX...]] [--ledger]
    fire.py --ci           the slice that runs with every change
    fire.py --list         the mixes, and the faults that each draws from

Without SEED a new one; a seed gives the same plan, not the same interleaving. Every run ends with:

  * each operation's history is linearizable (tests/sim/linearize), stale reads by their own rules
  * all servers tell the same log from its first change, and their rows are what the log makes
  * each acknowledged write is in the log once, each unknown one at most once, no refused one
  * each subscriber heard, over all its connections to all servers, exactly what the log has
  * each waiting query's index rose, and its answer was the state at that index
  * after each fault the cluster acknowledged writes again, and no server ended by itself

A run with fewer than 200 operations per second is void, and void is a failure. With --ledger the
totals are appended to tests/cluster/ledger.txt.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from clients import Client, Shared, Waiter, resolve, staleness  # noqa: E402
from cluster import Cluster  # noqa: E402
from faults import LIMITS_S, MIXES, NETWORK, POWER, Fault, Scene, clock  # noqa: E402
from report import Fail, Report, check  # noqa: E402
from watchers import ClusterWorld, drain, same_logs, same_states, subscribers  # noqa: E402

R = Report()
LEDGER = os.path.join(HERE, "ledger.txt")
KEEP = os.path.join(herald.ROOT, "build-tests", "fire")
OPS_MIN = 200          # per second; with fewer a run is void
PROGRESS_S = 30.0      # from a fault's end to the next acknowledged write
CLIENTS_PER_SERVER = 4
# (mix, servers, seconds) of the slice for every change
SLICE = [("all", 5, 40), ("snapshot", 3, 25), ("network", 3, 25), ("members", 3, 20),
         ("disk", 3, 25), ("flip", 3, 12)]
AT_ONCE = 2            # of the slice: most of a run is waiting


class Run:
    """One cluster, from its first leader to the verdict."""

    def __init__(self, args, mix, servers, seconds, seed):
        self.args, self.mix, self.servers, self.seconds = args, mix, servers, seconds
        self.dice = random.Random(seed)
        self.seed = seed
        self.cluster = Cluster(args.kind, servers, disk=MIXES[mix].disk,
                               clock=clock in MIXES[mix].faults,
                               multiplier=None if args.kind == "herald" else 1,
                               config=self.settings())
        self.faults = [f for f in MIXES[mix].faults if f.__name__ != "clock" or self.cluster.kind.clock]
        if args.kind == "consul":
            os.sync()  # it does not sync its node-id, and refuses half a one
        self.shared = Shared(self.cluster, args.rate, MIXES[mix].pads)
        self.scene = Scene(self.cluster, self.dice.random(), R.note)
        self.world = ClusterWorld(self.cluster, self.dice.random(),
                                  any(f in POWER for f in MIXES[mix].faults))
        self.slowest = 0.0
        self.clients, self.waiters, self.subs = [], [], []

    def settings(self):
        if self.args.kind != "herald":
            return None
        return dict({"herald": {"history_bytes": 1 << 30, "stream_heartbeat": "300ms"}},
                    **MIXES[self.mix].config)

    # --- the load ---------------------------------------------------------------------------

    def load(self):
        count = self.servers * CLIENTS_PER_SERVER
        self.clients = [Client(self.shared, i % self.servers, self.dice.random(), 1 / count)
                        for i in range(count)]
        self.waiters = [Waiter(self.shared, self.dice.random()) for _ in range(2)]
        if self.cluster.kind.stream:
            self.subs = subscribers(self.world, self.args.subscribers, self.dice)
        for t in self.clients + self.waiters + self.subs:
            t.start()

    def unload(self):
        self.shared.stop.set()
        for t in self.clients + self.waiters:
            t.join(30)
            check(not t.is_alive(), "%s does not end", t.name)

    # --- the fire ---------------------------------------------------------------------------

    def fire(self):
        until = time.monotonic() + self.seconds
        self.wait_progress("at the beginning")
        while time.monotonic() < until and not self.shared.problems:
            self.one_fault()
            self.pass_time(self.dice.uniform(0.3, 2.0))

    def one_fault(self):
        faults = [Fault(self.scene, self.dice.choice(self.faults))]
        if self.dice.random() < 0.25:  # and another of another family
            network = faults[0].name in [f.__name__ for f in NETWORK]
            others = [f for f in self.faults if (f in NETWORK) != network]
            # Two that both stop and start processes would meet.
            if others and (network or all(f in NETWORK for f in others)):
                self.pass_time(self.dice.uniform(0, 1))
                faults.append(Fault(self.scene, self.dice.choice(others)))
        self.pass_time(self.dice.choice([0, self.dice.uniform(0.1, 1),
                                         self.dice.uniform(1, self.args.longest)]))
        for f in sorted(reversed(faults), key=lambda f: f.patient):
            f.end()
        what = " and ".join(f.what for f in faults)
        took = self.wait_progress("after %s" % what, min(LIMITS_S.get(f.name, PROGRESS_S)
                                                         for f in faults))
        if self.args.verbose:
            R.note("%6.1f s  %s: next write after %.2f s" % (time.monotonic() - self.shared.began,
                                                           what, took))

    def wait_progress(self, when, limit=PROGRESS_S):
        """Until some writes more are acknowledged; returns how long the first took."""
        began, had = time.monotonic(), self.shared.acknowledged
        first = None
        while self.shared.acknowledged < had + 20 and not self.shared.problems:
            now = time.monotonic()
            if first is None and self.shared.acknowledged > had:
                first = now - began
            if now > began + limit * herald.SLOW:
                raise Fail("%s no write is acknowledged for %.0f s\n%s"
                           % (when, now - began, self.cluster.tails()))
            self.pass_time(0.01)
        first = first if first is not None else time.monotonic() - began
        self.slowest = max(self.slowest, first)
        return first

    def pass_time(self, seconds):
        time.sleep(seconds)
        for n in self.cluster.nodes:
            if n.expected and not n.running():
                last = "\n".join(n.log().splitlines()[-8:])
                raise Fail("%s ended by itself with %s\n%s" % (n.name, n.process.returncode, last))

    # --- the verdict ------------------------------------------------------------------------

    def judge(self):
        ops = self.shared.ops
        rate = sum(op.outcome in ("ok", "failed") for op in ops) / (self.ended - self.shared.began)
        self.cluster.whole()
        if self.cluster.kind.stream:
            log = same_logs(self.cluster)
            same_states(self.cluster, log)
            problems = resolve(ops, log.indexes_of)
            self.world.truth = log
            problems += drain(self.world, self.subs, 60)
            check(len(self.world.epochs) <= 1, "the epoch changed: %s", self.world.epochs)
            check(not problems, "%d problems, the first: %s", len(problems),
                  problems and problems[0])
            for w in self.waiters:
                w.judge(log)
        self.linearize()
        stale, worst = staleness(ops)
        figures = {"mix": self.mix, "servers": self.servers,
                   "seconds": int(self.ended - self.shared.began), "ops": len(ops),
                   "ops_per_s": int(rate),
                   "unknown": self.shared.unknown, "refused": self.shared.refused,
                   "faults": sum(self.scene.counts.values()),
                   "slowest_recovery_s": "%.2f" % self.slowest,
                   "default_reads_behind": stale, "longest_behind_ms": "%.0f" % worst}
        figures["rss_mib"] = max(n.memory() for n in self.cluster.nodes) >> 20
        figures["descriptors"] = max(n.descriptors() for n in self.cluster.nodes)
        checkers = [c for s in self.subs for c in s.checkers]
        if checkers:
            figures.update(changes=len(log.changes), events=sum(c.received for c in checkers),
                           resumes=sum(c.resumes for c in checkers), subscribers=len(checkers),
                           queries=sum(w.count for w in self.waiters))
        installed = sum(n.log().count("The fetched state is in use") for n in self.cluster.nodes)
        if installed:
            figures["states_fetched"] = installed
        if self.scene.refusals:
            figures["refused_to_start"] = len(self.scene.refusals)
        return figures, rate

    def linearize(self):
        path = os.path.join(self.cluster.dir, "history")
        self.shared.save(path)
        program = linearize_program()
        if not program:
            check(self.args.no_linearize, "no tests/sim/linearize is built")
            return
        got = subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False)
        if got.returncode == 2 and not self.cluster.kind.stream:
            R.note("not decided: without a log there are too many unknown writes")
            return
        check(got.returncode == 0, "the history is wrong (%d): %s", got.returncode,
              got.stdout[-2000:])

    def keep(self):
        """What a failure is to be understood from."""
        target = os.path.join(KEEP, "%s-%d" % (self.mix, self.seed))
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        self.shared.save(os.path.join(target, "history"))
        for n in self.cluster.nodes:
            if os.path.exists(n.log_path):
                shutil.copy(n.log_path, target)
        return os.path.relpath(target, herald.ROOT)


def linearize_program():
    beside = os.path.join(os.path.dirname(herald.program()), "tests", "sim", "linearize")
    path = os.environ.get("LINEARIZE", beside)
    return path if os.path.exists(path) else None


def run(args, mix, servers, seconds, seed):
    r = Run(args, mix, servers, seconds, seed)
    try:
        try:
            r.load()
            r.fire()
            r.cluster.heal()
            r.wait_progress("at the end")
            r.ended = time.monotonic()
        finally:
            r.unload()
        check(not r.shared.problems, "%d problems, the first: %s", len(r.shared.problems),
              (r.shared.problems + [None])[0])
        figures, rate = r.judge()
        if args.keep:
            R.note("kept in %s" % r.keep())
        r.cluster.close()
    except (Fail, AssertionError, herald.Skip) as e:
        raise Fail("%s (kept in %s)" % (e, r.keep())) from None
    finally:
        r.world.stop.set()
        r.cluster.undo.close()
    R.note(" ".join("%s=%s" % item for item in figures.items()))
    R.note("faults: " + " ".join("%s=%d" % item for item in sorted(r.scene.counts.items())))
    for at, said in r.scene.refusals:
        R.note("refused after %s: %s" % (at, said))
    check(rate >= OPS_MIN, "the run is void: %d operations per second", rate)
    check(figures["faults"] > 0, "the run is void: no fault")
    if args.ledger:
        ledger(args, seed, figures)


def commit():
    """What the servers were built from, if it is what is checked out."""
    got = subprocess.run(["git", "-C", herald.ROOT, "rev-parse", "--short", "HEAD"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return got.stdout.strip() or "-"


def ledger(args, seed, figures):
    with open(LEDGER, "a", encoding="utf-8") as f:
        f.write("%s commit=%s seed=%d %s\n" % (
            time.strftime("%Y-%m-%d"), args.commit, seed,
            " ".join("%s=%s" % item for item in figures.items())))


def plans(args):
    """(mix, servers, seconds) of each run."""
    if args.ci:
        return SLICE
    return [(mix, int(servers), args.seconds) for mix in args.fault.split(",")
            for servers in args.servers.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int, nargs="?",
                        default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("seconds", type=float, nargs="?", default=30)
    parser.add_argument("--servers", default="3", help="numbers, with commas")
    parser.add_argument("--fault", default="all", help="mixes, with commas")
    parser.add_argument("--kind", default="herald", choices=["herald", "consul"])
    parser.add_argument("--rate", type=float, default=800, help="operations per second, of all")
    parser.add_argument("--subscribers", type=int, default=9)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds of a fault")
    parser.add_argument("--no-linearize", action="store_true")
    parser.add_argument("--ledger", action="store_true")
    parser.add_argument("--keep", action="store_true", help="the logs, also when all is well")
    parser.add_argument("--verbose", action="store_true", help="a line for each fault")
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for name, mix in MIXES.items():
            print("%-12s %s (%s)" % (name, " ".join(f.__name__ for f in mix.faults), mix.disk))
        return
    for mix in args.fault.split(","):
        if mix not in MIXES:
            parser.error("no mix %s; there are: %s" % (mix, " ".join(MIXES)))
    args.commit = commit()  # others may go on while a campaign runs
    R.note("seed %d" % args.seed)
    jobs = [("fire_%s_%d" % (mix, servers), run, args, mix, servers, seconds, args.seed + number)
            for number, (mix, servers, seconds) in enumerate(plans(args))]
    with ThreadPoolExecutor(AT_ONCE if args.ci else 1) as pool:
        for job in jobs:
            pool.submit(R.run, *job)
    R.end()


if __name__ == "__main__":
    main()
