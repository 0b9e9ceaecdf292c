#!/usr/bin/env python3
"""Runs the benchmarks of build-release (tests/bench/run.sh builds them) and prints the table.

    python3 tests/bench/run.py [--quick] [--only NAME[,NAME...]] [--json FILE] [--build DIR]

Each figure runs Herald and its peers in turn (A B C A B C ...), five times, and takes medians.
Benchmarks never fail on slowness; they fail on wrong answers. Everything that is started here is
stopped here, also when interrupted. NAMEs: get put put1 wake fresh cost fanout replay dns
fleet;
of three servers: put3 failover cutoff transfer wake3 wire catchup.
"""
import argparse
import ctypes
import itertools
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import clusters
import dns
import fleet
from words import number, verdict

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONNECTIONS_PER_CLIENT = 19000  # Consul wants some descriptors for itself
VALUE = 100                     # bytes of a value


def die_with_parent():
    """In the child: even if this script is killed, its servers are."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def say(text):
    print(text, flush=True)


class Run:
    """The options, the scratch directory and the results of one run."""

    def __init__(self, args):
        self.build = os.path.join(ROOT, args.build)
        self.quick = args.quick
        self.reps = 2 if args.quick else 5
        self.ms = 1000 if args.quick else 3000
        self.scratch = tempfile.mkdtemp(prefix="bench-", dir=self.build)
        self.running = []
        self.rows = []
        self.results = {}

    def tool(self, name, *args, timeout=120):
        """Runs a program of ours to its end; its last line is JSON."""
        command = [self.path(name)] + [str(a) for a in args]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=timeout,
                              preexec_fn=die_with_parent, check=False)
        if done.returncode != 0:
            raise SystemExit("failed (%d): %s" % (done.returncode, " ".join(command)))
        return json.loads(done.stdout.strip().split("\n")[-1])

    def path(self, name):
        return os.path.join(self.build, "tests", "bench", "bench_" + name)

    def turns(self, figure, subjects):
        """subjects: name -> function that measures once and returns a dict of numbers. Runs them
        in turn and returns name -> medians."""
        taken = {name: [] for name in subjects}
        for _ in range(self.reps):
            for name, measure in subjects.items():
                taken[name].append(measure())
        medians = {name: {k: statistics.median(t[k] for t in ts) for k in ts[0]}
                   for name, ts in taken.items()}
        self.results[figure] = {"medians": medians, "runs": taken}
        for name, m in medians.items():
            say("    %-10s %s" % (name, "  ".join("%s %s" % (k, number(v))
                                                  for k, v in m.items())))
        return medians

    def row(self, figure, ours, theirs, ratio, must="", aim=""):
        self.rows.append((figure, ours, theirs, ratio, must, aim))

    def close(self):
        for server in list(self.running):
            server.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)


# --- servers

class Server:
    """A process with an HTTP port and, maybe, a directory; fresh at each start."""
    name = "?"

    def __init__(self, run):
        self.run = run
        self.dir = tempfile.mkdtemp(dir=run.scratch)
        self.ports = free_ports(5)
        self.port = self.ports[0]
        self.log = open(os.path.join(self.dir, "log"), "w", encoding="utf-8")
        command = self.command(os.path.join(self.dir, "data"))
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        self.pid = self.process.pid
        run.running.append(self)
        self.wait_ready()

    def config(self):
        path = os.path.join(self.dir, "config.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"limits": {"http_max_conns_per_client": CONNECTIONS_PER_CLIENT}}, f)
        return path

    def ask(self):
        """True when it does its work."""
        request = urllib.request.Request("http://127.0.0.1:%d/v1/kv/bench/ready" % self.port,
                                         data=b"1", method="PUT")
        with urllib.request.urlopen(request, timeout=2) as answer:
            return answer.read().strip() == b"true"

    def wait_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.ask():
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            raise SystemExit("%s does not start:\n%s" % (self.name, f.read()[-2000:]))

    def stop(self):
        if self in self.run.running:
            self.run.running.remove(self)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def wait_alone(self):
        """Until the server has closed what its clients left: it counts them until then."""
        deadline = time.monotonic() + 20
        while len(os.listdir("/proc/%d/fd" % self.pid)) > 1000 and time.monotonic() < deadline:
            time.sleep(0.05)

    def rss_kib(self):
        with open("/proc/%d/statm" % self.pid, encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024

    def load(self, mode, *args):
        return self.run.tool("load", "--port", self.port, "--pid", self.pid, "--mode",
                             self.mode(mode), "--value", VALUE, "--ms", self.run.ms, *args)

    def mode(self, mode):
        return mode


class Herald(Server):
    name = "herald"

    def command(self, data):
        return [os.path.join(self.run.build, "herald"), "agent", "-server", "-bootstrap-expect=1",
                "-data-dir=" + data, "-http-port=%d" % self.port, "-log-level=warn",
                "-config-file=" + self.config()]


class HeraldDev(Herald):
    def command(self, data):
        return [os.path.join(self.run.build, "herald"), "agent", "-dev",
                "-http-port=%d" % self.port, "-log-level=warn", "-config-file=" + self.config()]


class Consul(Server):
    name = "consul"

    def command(self, data):
        return ["consul", "agent"] + self.kind(data) + [
            "-bind=127.0.0.1", "-http-port=%d" % self.port, "-server-port=%d" % self.ports[1],
            "-serf-lan-port=%d" % self.ports[2], "-serf-wan-port=-1", "-dns-port=-1",
            "-grpc-port=-1", "-log-level=err", "-config-file=" + self.config()]

    def kind(self, data):
        return ["-server", "-bootstrap-expect=1", "-data-dir=" + data]


class ConsulDev(Consul):
    def kind(self, data):
        return ["-dev"]


class Etcd(Server):
    name = "etcd"

    def command(self, data):
        client, peer = ("http://127.0.0.1:%d" % p for p in self.ports[:2])
        return ["etcd", "--data-dir", data, "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
                "--logger", "zap", "--log-level", "error"]

    def ask(self):
        request = urllib.request.Request("http://127.0.0.1:%d/v3/kv/put" % self.port,
                                         data=b'{"key":"Yg==","value":"Yg=="}')
        with urllib.request.urlopen(request, timeout=2) as answer:
            return b"revision" in answer.read()

    def mode(self, mode):
        return "etcd-" + mode


class Bare(Server):
    """A program that does only what physics asks for."""

    def __init__(self, run, program):
        self.name = program
        super().__init__(run)

    def command(self, data):
        return [self.run.path(self.name), "--port", str(self.port)]

    def ask(self):
        socket.create_connection(("127.0.0.1", self.port), 1).close()
        return True

    def mode(self, mode):
        return "fixed"


class HeraldDns(HeraldDev):
    def command(self, data):
        return super().command(data) + ["-dns-port=%d" % self.ports[3]]


class ConsulDns(ConsulDev):
    def command(self, data):
        return [w for w in super().command(data) if w != "-dns-port=-1"] + [
            "-dns-port=%d" % self.ports[3]]


def start(run, *kinds):
    """Those of the servers that can be had on this machine."""
    have = {Consul: "consul", ConsulDev: "consul", Etcd: "etcd"}
    servers = [kind(run) for kind in kinds if kind not in have or shutil.which(have[kind])]
    return {s.name: s for s in servers}


def stop(servers):
    for s in servers.values():
        s.stop()


# --- figures

def ratio(m, name, key):
    a, b = m["herald"][key], m[name][key]
    return a / b if a and b else 0.0


def figure_get(run):
    servers = start(run, Herald, Consul, Etcd)
    servers["bare"] = Bare(run, "bare_http")
    for s in servers.values():
        if s.name != "bare_http":
            s.load("seed")
    m = run.turns("get", {n: (lambda s=s: s.load("get")) for n, s in servers.items()})
    stop(servers)
    peers = [(n, label) for n, label in (("consul", "Consul"), ("etcd", "etcd (JSON gateway)"),
                                         ("bare", "bare HTTP program")) if n in m]
    for name, label in peers:
        r = ratio(m, name, "per_s")
        run.row("KV GET, 64 connections, requests/s", number(m["herald"]["per_s"]),
                "%s %s" % (label, number(m[name]["per_s"])), "%.2fx" % r,
                verdict("3.5x Consul", r >= 3.5) if name == "consul" else "",
                verdict("0.85x bare", r >= 0.85) if name == "bare" else "")
    for name, label in peers:
        run.row("KV GET, server CPU per request, us", number(m["herald"]["server_us"]),
                "%s %s" % (label, number(m[name]["server_us"])),
                "%.2fx" % ratio(m, name, "server_us"))


def sync_limit(run, group):
    return run.tool("bare_sync", "--dir", run.scratch, "--group", group, "--ms", run.ms)


def put_row(run, m, name, label, figure, targets):
    r = ratio(m, name, "per_s")
    must, aim = targets if name == "consul" else (None, None)
    run.row(figure, number(m["herald"]["per_s"]), "%s %s" % (label, number(m[name]["per_s"])),
            "%.2fx" % r, verdict("%gx Consul" % must, r >= must) if must else "",
            verdict("%gx Consul" % aim, r >= aim) if aim else "")


def figure_put(run):
    servers = start(run, Herald, Consul, Etcd)
    subjects = {n: (lambda s=s: s.load("put")) for n, s in servers.items()}
    subjects["sync"] = lambda: sync_limit(run, 64)
    m = run.turns("put", subjects)
    stop(servers)
    for name, label in (("consul", "Consul"), ("etcd", "etcd (JSON gateway)"),
                        ("sync", "bare write + fdatasync, groups of 64,")):
        if name in m:
            put_row(run, m, name, label, "durable KV PUT, 64 connections, writes/s", (3, 8))


def figure_put1(run):
    servers = start(run, Herald, Consul, Etcd)
    subjects = {n: (lambda s=s: s.load("put", "--connections", 1)) for n, s in servers.items()}
    subjects["sync"] = lambda: sync_limit(run, 1)
    m = run.turns("put1", subjects)
    stop(servers)
    for name, label in (("consul", "Consul"), ("etcd", "etcd (JSON gateway)"),
                        ("sync", "bare write + fdatasync")):
        if name in m:
            put_row(run, m, name, label, "durable KV PUT, 1 connection, writes/s", (None, None))


def wake(server, waiters, keys, rounds):
    server.wait_alone()
    return server.run.tool("wake", "--port", server.port, "--pid", server.pid, "--waiters",
                           waiters, "--keys", keys, "--rounds", rounds, "--check",
                           "no" if server.name == "bare_broadcast" else "yes")


def figure_wake(run):
    servers = start(run, Herald, Consul)
    servers["bare"] = Bare(run, "bare_broadcast")
    for keys in ("one", "each"):
        for waiters in (1000, 5000, 15000):
            say("  %d queries, %s" % (waiters, "one key" if keys == "one" else "a key each"))
            m = run.turns("wake-%s-%d" % (keys, waiters),
                          {n: (lambda s=s: wake(s, waiters, keys, 3))
                           for n, s in servers.items()})
            wake_rows(run, m, waiters, keys)
    stop(servers)


def wake_rows(run, m, waiters, keys):
    what = "one PUT wakes {:,} queries".format(waiters)
    if keys == "each":
        what = "{:,} PUTs wake {:,} queries, a key each".format(waiters, waiters)
    bare = "bare broadcaster" + (" (which keeps nothing)" if keys == "each" else "")
    for name, label in (("consul", "Consul"), ("bare", bare)):
        if name in m:
            r = ratio(m, name, "p99_ms")
            judged = name == "bare" and keys == "one" and waiters == 5000
            run.row(what + ", p99 ms", number(m["herald"]["p99_ms"]),
                    "%s %s" % (label, number(m[name]["p99_ms"])), "%.2fx" % r,
                    verdict("1.5x bare", r <= 1.5) if judged else "",
                    verdict("1.15x bare", r <= 1.15) if judged else "")


def fresh(run, kind, keys, waiters):
    server = kind(run)
    time.sleep(2)
    idle = server.rss_kib()
    w = wake(server, waiters, keys, 1)
    after = server.rss_kib()
    server.stop()
    return {"idle_mib": idle / 1024, "kib_per_waiter": w["kib_per_waiter"],
            "after_mib": after / 1024}


def fresh_etcd(run):
    server = Etcd(run)
    time.sleep(2)
    idle = server.rss_kib()
    server.stop()
    return {"idle_mib": idle / 1024}


def figure_fresh(run):
    waiters = 15000
    kinds = [Herald] + ([Consul] if shutil.which("consul") else [])
    for keys in ("one", "each"):
        subjects = {k.name: (lambda k=k: fresh(run, k, keys, waiters)) for k in kinds}
        if keys == "one" and shutil.which("etcd"):
            subjects["etcd"] = lambda: fresh_etcd(run)
        m = run.turns("fresh-" + keys, subjects)
        h = m["herald"]
        for name in [n for n in m if n != "herald"]:
            if keys == "one":
                run.row("idle server, resident MiB", number(h["idle_mib"]),
                        "%s %s" % ("Consul" if name == "consul" else name, number(m[name]["idle_mib"])),
                        "%.2fx" % ratio(m, name, "idle_mib"),
                        verdict("40 MiB", h["idle_mib"] <= 40),
                        verdict("20 MiB", h["idle_mib"] <= 20))
        consul = m.get("consul")
        run.row("memory per waiting query, {:,} of them on {}, KiB".format(
                    waiters, "one key" if keys == "one" else "a key each"),
                number(h["kib_per_waiter"]),
                "Consul %s" % number(consul["kib_per_waiter"]) if consul else "",
                "%.2fx" % ratio(m, "consul", "kib_per_waiter") if consul else "",
                verdict("6 KiB", h["kib_per_waiter"] <= 6),
                verdict("2 KiB", h["kib_per_waiter"] <= 2))


class Held:
    """Waiting queries that are held while something else is measured."""

    def __init__(self, server, waiters, seed):
        self.server = server
        command = [server.run.path("wake"), "--port", str(server.port), "--pid", str(server.pid),
                   "--waiters", str(waiters), "--keys", "each", "--hold", "yes",
                   "--seed", seed]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=die_with_parent)

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("the waiting queries could not be set up")
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise SystemExit("a waiting query was woken by a write to another key")
        self.server.wait_alone()


def beside(server, waiters, turn):
    """The same load without and with waiting queries, as a pair; which comes first alternates,
    because a server gets slower as it fills."""
    args = ("--prefix", "bench/other/", "--ms", 2 * server.run.ms)
    alone = server.load("put", *args) if turn % 2 == 0 else None
    with Held(server, waiters, "no"):
        loaded = server.load("put", *args)
    alone = alone or server.load("put", *args)
    return {"alone_per_s": alone["per_s"], "beside_per_s": loaded["per_s"],
            "alone_us": alone["server_us"], "beside_us": loaded["server_us"]}


def figure_cost(run):
    servers = start(run, HeraldDev, ConsulDev)
    for s in servers.values():
        with Held(s, 15000, "yes"):
            pass
    turn = {n: itertools.count() for n in servers}
    m = run.turns("cost", {n: (lambda n=n, s=s: beside(s, 15000, next(turn[n])))
                           for n, s in servers.items()})
    stop(servers)
    more = {n: {"time": (got["alone_per_s"] / got["beside_per_s"] - 1) * 100,
                "server CPU": (got["beside_us"] / got["alone_us"] - 1) * 100}
            for n, got in m.items()}
    for what, ours in more["herald"].items():
        theirs = more.get("consul", {}).get(what)
        run.row("15,000 waiting queries that do not match add to the %s of a write" % what,
                "%+.1f %%" % ours, "" if theirs is None else "Consul %+.1f %%" % theirs, "",
                verdict("+10 %", ours <= 10), verdict("+2 %", ours <= 2))


def live(server, subscribers):
    """Writers and subscribers at once; every subscriber gets every write."""
    command = [server.run.path("fanout"), "--port", str(server.port), "--pid", str(server.pid),
               "--mode", "live", "--subscribers", str(subscribers)]
    fanout = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=die_with_parent)
    if fanout.stdout.readline() != "ready\n":
        raise SystemExit("the subscribers could not be set up")
    written = server.load("put", "--prefix", "bench/fan/", "--warmup-ms", 0)
    out, _ = fanout.communicate("%d\n" % written["answered"], timeout=120)
    if fanout.returncode != 0:
        raise SystemExit("the stream was wrong")
    result = json.loads(out.strip().split("\n")[-1])
    result["writes_per_s"] = written["per_s"]
    return result


def figure_fanout(run):
    servers = {"durable": Herald(run), "in memory": HeraldDev(run)}
    m = run.turns("fanout", {n: (lambda s=s: live(s, 100)) for n, s in servers.items()})
    stop(servers)
    for name, got in m.items():
        run.row("WebSocket, 100 subscribers, events/s delivered (%s)" % name,
                number(got["per_s"]), "writes/s at the same time: " + number(got["writes_per_s"]),
                "", verdict("1 M/s", got["per_s"] >= 1e6), verdict("3 M/s", got["per_s"] >= 3e6))


def figure_replay(run):
    server = Herald(run)
    events = 50000 if run.quick else 300000
    server.load("seed", "--keys", events, "--prefix", "bench/fan/")
    m = run.turns("replay", {
        mode: (lambda mode=mode: run.tool("fanout", "--port", server.port, "--pid", server.pid,
                                          "--mode", mode, "--events", events))
        for mode in ("replay-ws", "replay-ndjson")})
    server.stop()
    for mode, label in (("replay-ws", "WebSocket"), ("replay-ndjson", "NDJSON")):
        got = m[mode]["per_s"]
        run.row("replay of {:,} changes to one subscriber, {}, events/s".format(events, label),
                number(got), "", "", verdict("300 k/s", got >= 3e5), verdict("1 M/s", got >= 1e6))


FIGURES = {
    "get": ("KV GET", figure_get),
    "put": ("durable KV PUT, 64 connections", figure_put),
    "put1": ("durable KV PUT, 1 connection", figure_put1),
    "wake": ("wake-up of blocking queries", figure_wake),
    "fresh": ("memory of a fresh server and of waiting queries", figure_fresh),
    "cost": ("cost of queries that do not match", figure_cost),
    "fanout": ("WebSocket fan-out", figure_fanout),
    "replay": ("replay of history", figure_replay),
    "dns": ("DNS questions", lambda run: dns.figure(run, (HeraldDns, ConsulDns))),
    "fleet": ("registrations and health queries", lambda run: fleet.figure(run, (Herald, Consul))),
    **clusters.FIGURES,
}


def version(*command):
    """The last word of the first line that a program says of its version; a word if it is not
    here."""
    if not shutil.which(command[0]):
        return "(not installed)"
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    return said.split("\n", maxsplit=1)[0].split()[-1].lstrip("v")


def machine(run):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = [line.split(":")[1].strip() for line in f if line.startswith("model name")]
    with open("/proc/meminfo", encoding="utf-8") as f:
        memory = int(f.readline().split()[1]) / 1048576
    sync = run.tool("bare_sync", "--dir", run.scratch, "--ms", 1000)
    return "\n".join((
        "%d x %s, %.0f GiB, Linux %s; a synced disk write of 256 bytes takes %.2f ms (p50), "
        "%.2f ms (p99)." % (os.cpu_count(), model[0] if model else platform.machine(), memory,
                            platform.release(), sync["p50_ms"], sync["p99_ms"]),
        "Server and load share the cores and talk over loopback; values of %d bytes; medians of "
        "%d turns." % (VALUE, run.reps),
        "Beside: Consul %s; etcd %s, asked through its JSON gateway (its gRPC costs less)."
        % (version("consul", "version"), version("etcd", "--version"))))


def table(run):
    head = ("figure", "Herald", "beside", "ratio", "must", "aim")
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    last = None
    for row in run.rows:
        cells = list(row)
        if row[:2] == last:
            cells[:2] = "", ""
        last = row[:2]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def interrupted(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two short turns instead of five")
    parser.add_argument("--only", default=",".join(FIGURES), help="names, with commas")
    parser.add_argument("--json", help="write all single results there")
    parser.add_argument("--build", default="build-release", help="directory of the build")
    args = parser.parse_args()
    names = args.only.split(",")
    for name in names:
        if name not in FIGURES:
            parser.error("no figure %s; there are: %s" % (name, " ".join(FIGURES)))
    signal.signal(signal.SIGTERM, interrupted)
    run = Run(args)
    try:
        about = machine(run)
        say(about)
        for name in names:
            say("==> %s (%s)" % (FIGURES[name][0], name))
            FIGURES[name][1](run)
        say("\n%s\n\n%s" % (about, table(run)))
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump({"machine": about, "results": run.results, "rows": run.rows}, f,
                          indent=1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        run.close()


if __name__ == "__main__":
    main()
