"""Figures of three servers beside Consul's and etcd's three, each server in a network namespace of
its own (tests/lib/cluster.py), the clients outside on the bridge.

Consul runs with raft_multiplier 1, as its manual advises for production; how its default of 5
behaves is a line of its own.
"""

import os
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import herald  # noqa: E402
import machine  # noqa: E402
from words import number, verdict  # noqa: E402

SERVERS = 3
LABELS = {"herald": "Herald", "consul": "Consul", "etcd": "etcd", "consul-5":
          "Consul with its default raft_multiplier"}
MULTIPLIERS = {"consul": 1, "consul-5": 5}


def start(run, name):
    os.environ["HERALD"] = os.path.join(run.build, "herald")
    c = cluster.Cluster(name.partition("-")[0], SERVERS, multiplier=MULTIPLIERS.get(name))
    c.label = name
    return c


class Clusters:
    """Those that can be had here; gone at the end."""

    def __init__(self, run, *names):
        self.all = {}
        self.problem = None
        try:
            for name in names:
                self.add(run, name)
        except BaseException:
            self.close()
            raise

    def add(self, run, name):
        try:
            self.all[name] = start(run, name)
        except herald.Skip as why:
            print("    %s is left out: %s" % (name, why))

    def __enter__(self):
        return self.all

    def __exit__(self, *exc):
        self.close()

    def close(self):
        for c in self.all.values():
            c.close()


def load(run, c, hosts, *args):
    """The load tool on these servers; the CPU is that of all servers."""
    mode = "etcd-put" if c.label == "etcd" else "put"
    before = sum(n.cpu() for n in c.nodes)
    got = run.tool("load", "--port", cluster.HTTP, "--hosts", ",".join(hosts), "--mode", mode,
                   "--ms", run.ms, *args)
    got["server_us"] = (sum(n.cpu() for n in c.nodes) - before) * 1e6 / max(1, got["answered"])
    return got


def everywhere(c):
    return [n.address for n in c.nodes]


def at_leader(c):
    return [c.nodes[c.wait_leader()].address]


def figure_put3(run):
    with Clusters(run, "herald", "consul", "etcd") as all_:
        for name, hosts, targets in (("put3-spread", everywhere, (3, 6)),
                                     ("put3-leader", at_leader, (3, 6))):
            where = "spread over all" if hosts is everywhere else "at the leader"
            print("  " + where)
            m = run.turns(name, {n: (lambda c=c: load(run, c, hosts(c))) for n, c in all_.items()})
            rows_beside(run, m, "durable KV PUT on 3 servers, 64 connections %s, writes/s" % where,
                        "per_s", targets)


def rows_beside(run, m, figure, key, targets=None):
    """One row for each peer; `targets`: how many times Consul it must be, and is to be."""
    for name in [n for n in m if n != "herald"]:
        r = m["herald"][key] / m[name][key] if "herald" in m and m[name][key] else 0.0
        must, aim = targets if targets and name == "consul" else (None, None)
        ours = number(m["herald"][key]) if "herald" in m else ""
        run.row(figure, ours, "%s %s" % (LABELS[name], number(m[name][key])), "%.2fx" % r,
                verdict("%gx Consul" % must, r >= must) if must else "",
                verdict("%gx Consul" % aim, r >= aim) if aim else "")


# --- the leader dies, or goes --------------------------------------------------------------------

class Writers:
    """Writes on the given servers from go() on, several at a time, none waiting for long: some
    servers hold what comes while there is no leader, and forget it."""
    PER_SERVER = 6

    def __init__(self, nodes, serial):
        self.go = threading.Event()
        self.end = threading.Event()
        self.first = threading.Event()
        self.acks = []  # when, in order of each thread
        self.threads = [threading.Thread(target=self.write, args=(n, i, serial), daemon=True)
                        for n in nodes for i in range(self.PER_SERVER)]
        for t in self.threads:
            t.start()

    def write(self, node, number_, serial):
        dice = random.Random()
        self.go.wait()
        conn = None
        count = 0
        while not self.end.is_set():
            count += 1
            try:
                conn = conn or node.connect(timeout=dice.uniform(0.1, 0.3))
                done = node.kind.put_done(conn.request(*node.kind.put(
                    "bench/failover/%s/%d" % (node.name, number_), "%s.%d" % (serial, count))))
            except (OSError, EOFError, ValueError):
                conn, done = None, False
            if done:
                self.acks.append(time.monotonic())
                self.first.set()
            self.end.wait(dice.uniform(0.002, 0.01))
        if conn:
            conn.close()

    def stop(self):
        self.go.set()
        self.end.set()
        for t in self.threads:
            t.join()


HARMS = {
    "kill -9": lambda c, leader: leader.process.kill(),
    "SIGSTOP": lambda c, leader: leader.pause(),
    "cut off": lambda c, leader: c.net.cut(machine.isolate(SERVERS, leader.number)),
    "heard by nobody": lambda c, leader: c.net.cut(machine.mute(SERVERS, leader.number)),
    "hears nobody": lambda c, leader: c.net.cut(machine.deaf(SERVERS, leader.number)),
}


def one_loss(c, serial, harm):
    """Seconds from the harm to the leader to the next acknowledged write at the others."""
    leader = c.nodes[c.wait_leader()]
    writers = Writers([n for n in c.nodes if n is not leader], serial)
    began = time.monotonic()
    HARMS[harm](c, leader)
    harmed = time.monotonic()
    writers.go.set()
    try:
        if not writers.first.wait(90):
            raise SystemExit("%s acknowledges nothing for 90 s: %s" % (c.label, harm))
    finally:
        writers.stop()
    # A leader that is cut off may answer for a moment: until the last rule is in force.
    took = min(writers.acks) - (harmed if "cut" in harm or "nobody" in harm else began)
    if harm == "kill -9":
        leader.kill()
    c.whole()
    return took


def shares(values):
    v = sorted(values)
    return {"p50_s": statistics.median(v), "p99_s": v[min(len(v) - 1, int(len(v) * 0.99))],
            "max_s": v[-1], "count": len(v)}


def figure_failover(run):
    kills = 5 if run.quick else 100
    m = {}
    for name, count in (("herald", kills), ("consul", kills), ("etcd", kills),
                        ("consul-5", max(3, kills // 10))):
        with Clusters(run, name) as all_:
            for c in all_.values():
                taken = [one_loss(c, i, "kill -9") for i in range(count)]
                m[name] = shares(taken)
                run.results["failover-" + name] = {"runs": taken}
                print("    %-10s %s" % (name, "  ".join("%s %s" % (k, number(v))
                                                        for k, v in m[name].items())), flush=True)
    h = m.get("herald")
    for name in [n for n in m if n != "herald"]:
        figure = "kill -9 of the leader to the next acknowledged write, %d kills, " \
            "p50 / p99 / max s" % (h or m[name])["count"]
        run.row(figure, said(h), "%s %s" % (LABELS[name], said(m[name])),
                "%.2fx" % (h["p50_s"] / m[name]["p50_s"]) if h else "",
                verdict("1.0 / 2.0", h["p50_s"] <= 1.0 and h["p99_s"] <= 2.0) if h else "",
                verdict("0.4", h["p50_s"] <= 0.4) if h else "")


def figure_cutoff(run):
    """The other ways to lose a leader, which leave its connections open."""
    rounds = 2 if run.quick else 20
    m = {}
    for name in ("herald", "consul", "etcd"):
        with Clusters(run, name) as all_:
            for c in all_.values():
                for harm in list(HARMS)[1:]:
                    taken = [one_loss(c, i, harm) for i in range(rounds)]
                    m[name, harm] = shares(taken)
                    run.results["cutoff-%s-%s" % (name, harm)] = {"runs": taken}
                    print("    %-10s %-16s %s" % (name, harm, said(m[name, harm])), flush=True)
    for harm in list(HARMS)[1:]:
        h = m.get(("herald", harm))
        for name in ("consul", "etcd"):
            if (name, harm) in m:
                run.row("the leader %s: to the next acknowledged write, p50 / p99 / max s"
                        % {"SIGSTOP": "stops (SIGSTOP)", "cut off": "is cut off"}.get(harm, harm),
                        said(h), "%s %s" % (LABELS[name], said(m[name, harm])), "",
                        verdict("2.5", h["max_s"] <= 2.5) if h else "")


def said(got):
    return "%.2f / %.2f / %.2f" % (got["p50_s"], got["p99_s"], got["max_s"]) if got else ""


def one_transfer(c, serial):
    """The longest time without an acknowledged write while the leadership is handed over."""
    leader = c.nodes[c.wait_leader()]
    target = next(n for n in c.nodes if n is not leader)
    writers = Writers(c.nodes, serial)
    writers.go.set()
    try:
        writers.first.wait(30)
        began = time.monotonic()
        said_ = c.kind.transfer(leader, target)
        if said_ is None or said_.status != 200:
            return None
        herald.eventually(lambda: c.leader() == target.number, "%s leads" % target.name, 30)
        seen = time.monotonic()
        herald.eventually(lambda: writers.acks and max(writers.acks[-20:]) > seen,
                          "a write after the transfer", 30)
    finally:
        writers.stop()
    acks = sorted(a for a in writers.acks if a > began - 0.5)
    gap = max(b - a for a, b in zip(acks, acks[1:]))
    c.caught_up()
    return {"longest_gap_ms": gap * 1000, "led_after_ms": (seen - began) * 1000}


def figure_transfer(run):
    rounds = 5 if run.quick else 30
    m = {}
    for name in ("herald", "consul", "etcd"):
        with Clusters(run, name) as all_:
            for c in all_.values():
                taken = [one_transfer(c, i) for i in range(rounds)]
                if None in taken:
                    print("    %s cannot be asked for it" % name)
                    continue
                m[name] = {k: statistics.median(t[k] for t in taken) for k in taken[0]}
                m[name]["worst_gap_ms"] = max(t["longest_gap_ms"] for t in taken)
                run.results["transfer-" + name] = {"runs": taken}
                print("    %-10s %s" % (name, "  ".join("%s %s" % (k, number(v))
                                                        for k, v in m[name].items())), flush=True)
    h = m.get("herald")
    for name in [n for n in m if n != "herald"] or ([None] if h else []):
        run.row("planned transfer of the leadership: longest time without a write, p50 / max ms",
                gaps(h), "%s %s" % (name, gaps(m[name])) if name else "", "",
                verdict("200 ms", h["worst_gap_ms"] <= 200) if h else "")


def gaps(got):
    return "%.0f / %.0f" % (got["longest_gap_ms"], got["worst_gap_ms"]) if got else ""


# --- watchers, bytes, catching up ----------------------------------------------------------------

def wake(run, c, waiters, stale):
    follower = next(n for n in c.nodes if n.number != c.wait_leader())
    return run.tool("wake", "--port", cluster.HTTP, "--hosts", follower.address, "--pid",
                    follower.process.pid, "--waiters", waiters, "--keys", "one", "--rounds", 3,
                    "--stale", "yes" if stale else "no")


def figure_wake3(run):
    waiters = 1000 if run.quick else 5000
    with Clusters(run, "herald", "consul") as all_:
        for stale in (False, True):
            what = "stale queries" if stale else "queries"
            print("  %d %s on a follower" % (waiters, what))
            m = run.turns("wake3-stale" if stale else "wake3",
                          {n: (lambda c=c: wake(run, c, waiters, stale)) for n, c in all_.items()})
            rows_beside(run, m, "one PUT on a follower wakes {:,} {} there, p99 ms".format(
                waiters, what), "p99_ms")


def wire(run, c, connections):
    """What servers send to servers for a write, beyond what they send in peace."""
    packets, size = c.net.sent()
    time.sleep(run.ms / 1000)
    idle_packets, idle = (b - a for a, b in zip((packets, size), c.net.sent()))
    packets, size = c.net.sent()
    began = time.monotonic()
    got = load(run, c, at_leader(c), "--connections", connections, "--warmup-ms", 0)
    share = (time.monotonic() - began) / (run.ms / 1000)
    more_packets, more = (b - a for a, b in zip((packets, size), c.net.sent()))
    return {"bytes_per_write": (more - idle * share) / got["answered"],
            "packets_per_write": (more_packets - idle_packets * share) / got["answered"],
            "idle_bytes_per_s": idle / (run.ms / 1000), "writes_per_s": got["per_s"]}


def figure_wire(run):
    with Clusters(run, "herald", "consul", "etcd") as all_:
        for connections in (1, 64):
            print("  %d connections" % connections)
            m = run.turns("wire-%d" % connections, {
                n: (lambda c=c: wire(run, c, connections)) for n, c in all_.items()})
            rows_beside(run, m, "bytes between 3 servers for a PUT of 100 bytes, %d connection%s"
                        % (connections, "s" if connections > 1 else ""), "bytes_per_write")


def catchup(run, c, keys, wiped):
    """A follower that was away, or lost its disk: until it has what was written meanwhile."""
    follower = next(n for n in c.nodes if n.number != c.wait_leader())
    follower.kill()
    if wiped:
        follower.wipe()
    others = [n.address for n in c.nodes if n is not follower]
    mode = "etcd-seed" if c.label == "etcd" else "seed"
    c.serial += 1
    run.tool("load", "--port", cluster.HTTP, "--hosts", ",".join(others), "--mode", mode, "--keys",
             keys, "--prefix", "bench/away/%d/" % c.serial, timeout=600)
    c.wait_leader()
    key, value = "bench/last", "%d.%d" % (os.getpid(), c.serial)
    herald.eventually(lambda: c.nodes[c.wait_leader()].write(key, value), "the last write")
    began = time.monotonic()
    follower.start()
    herald.eventually(lambda: follower.has(key, value), "the follower has it all", 300)
    took = time.monotonic() - began
    c.whole()
    return {"writes_per_s": keys / took, "seconds": took}


def figure_catchup(run):
    keys = 20000 if run.quick else 200000
    with Clusters(run, "herald", "consul", "etcd") as all_:
        for wiped in (False, True):
            what = "lost its disk" if wiped else "was away"
            print("  a follower that " + what)
            # etcd wants a member that lost its disk to be removed and added by hand.
            m = run.turns("catchup-" + ("wiped" if wiped else "away"), {
                n: (lambda c=c: catchup(run, c, keys, wiped)) for n, c in all_.items()
                if not (wiped and n == "etcd")})
            rows_beside(run, m, "a follower that {} for {:,} writes catches up, writes/s".format(
                what, keys), "writes_per_s")


FIGURES = {
    "put3": ("durable KV PUT on three servers", figure_put3),
    "failover": ("kill -9 of the leader", figure_failover),
    "cutoff": ("the leader is cut off", figure_cutoff),
    "transfer": ("planned transfer of the leadership", figure_transfer),
    "wake3": ("wake-up of blocking queries on a follower", figure_wake3),
    "wire": ("bytes between servers", figure_wire),
    "catchup": ("catching up", figure_catchup),
}
