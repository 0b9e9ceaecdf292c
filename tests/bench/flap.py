#!/usr/bin/env python3
"""Many watchers of one service whose instances flap: what one change costs, in bytes sent and in
CPU of the server, and how long it takes until the last watcher has it.

    python3 tests/bench/flap.py [--watchers 5000] [--instances 100] [--rounds 10]
                                [--herald build/herald] [--consul consul]

herald stream     each watcher has a line of the change stream: it is sent the difference
herald blocking   each waits with a blocking query of /v1/health/service: it is sent the whole list
consul blocking   the same of Consul 1.8 (left out where it cannot be had)

A round is one change (an instance's check turns critical, or passing again) and ends when every
watcher has been told. One process reads all sockets, on the same machine: times are of both.
"""
import argparse
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

CLIENTS_PER_ADDRESS = 15000
SILENCE_S = 60


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    def __init__(self, name, program):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="herald-flap-")
        self.ports = free_ports(4)
        self.port = self.ports[0]
        config = os.path.join(self.dir, "config.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"limits": {"http_max_conns_per_client": CLIENTS_PER_ADDRESS}}, f)
        command = [program, "agent", "-dev", "-http-port=%d" % self.port, "-log-level=err",
                   "-config-file=" + config]
        if name == "consul":
            command += ["-bind=127.0.0.1", "-server-port=%d" % self.ports[1],
                        "-serf-lan-port=%d" % self.ports[2], "-serf-wan-port=-1", "-dns-port=-1",
                        "-grpc-port=-1"]
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        end = time.monotonic() + 30
        while not self.ready():
            if time.monotonic() > end:
                raise SystemExit("%s does not start" % name)
            time.sleep(0.05)

    def ready(self):
        try:
            return self.put("/v1/kv/ready", b"1") == b"true"
        except OSError:
            return False

    def put(self, path, body):
        r = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data=body,
                                   method="PUT")
        with urllib.request.urlopen(r, timeout=10) as answer:
            return answer.read().strip()

    def instance(self, i, status):
        self.put("/v1/catalog/register", json.dumps({
            "Node": "node-%03d" % i, "Address": "10.0.%d.%d" % (i // 250, i % 250 + 1),
            "Service": {"Service": "api", "ID": "api-%03d" % i, "Port": 8080,
                        "Tags": ["prod", "v1"]},
            "Check": {"CheckID": "service:api-%03d" % i, "Name": "HTTP", "Status": status,
                      "ServiceID": "api-%03d" % i, "Output": "HTTP GET /health: 200 OK"},
        }).encode())

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid, encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Watchers:
    """`count` sockets and what came on them. A watcher is through with a round when the mark of
    the round's index, or a whole answer, has come."""

    def __init__(self, server, count):
        self.server, self.bytes = server, 0
        self.poll = select.epoll()
        self.sockets = {}
        for i in range(count):
            s = socket.socket()
            s.bind(("127.0.0.%d" % (2 + i // CLIENTS_PER_ADDRESS), 0))
            s.connect(("127.0.0.1", server.port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[s.fileno()] = s
            self.poll.register(s, select.EPOLLIN)

    def close(self):
        for s in self.sockets.values():
            s.close()
        self.poll.close()

    def until_all(self, told):
        """Reads until `told(fd, data)` has said yes for each socket."""
        waiting = set(self.sockets)
        end = time.monotonic() + SILENCE_S
        while waiting:
            events = self.poll.poll(1)
            if time.monotonic() > end:
                raise SystemExit("%d watchers were not told" % len(waiting))
            for fd, _ in events:
                data = self.sockets[fd].recv(1 << 18)
                if not data:
                    raise SystemExit("a watcher lost its connection")
                self.bytes += len(data)
                if told(fd, data):
                    waiting.discard(fd)


class StreamWatchers(Watchers):
    def start(self):
        request = (b"GET /v1/stream?topic=service&key=api&status=passing&format=ndjson&batch=1 "
                   b"HTTP/1.1\r\nHost: x\r\n\r\n")
        for s in self.sockets.values():
            s.sendall(request)
        self.until_all(lambda fd, data: b'"subscribed"' in data)

    def round(self):
        self.until_all(lambda fd, data: b'"events"' in data)


class BlockingWatchers(Watchers):
    def ask(self, fd, index):
        self.held[fd] = [index, -1, b""]
        self.sockets[fd].sendall(b"GET /v1/health/service/api?passing&index=%d&wait=10m HTTP/1.1"
                                 b"\r\nHost: x\r\n\r\n" % index)

    def told(self, fd, data):
        """A whole answer; asks again. Chunked or with a length."""
        held = self.held[fd]
        held[2] += data
        if held[1] < 0:
            head, sep, rest = held[2].partition(b"\r\n\r\n")
            if not sep:
                return False
            low = head.lower()
            held[0] = int(low.split(b"x-consul-index:")[1].split(b"\r\n")[0])
            held[1] = (int(low.split(b"content-length:")[1].split(b"\r\n")[0])
                       if b"content-length:" in low else 1 << 62)
            held[2] = rest
        if not (len(held[2]) >= held[1] or (held[1] == 1 << 62 and held[2].endswith(b"0\r\n\r\n"))):
            return False
        self.ask(fd, held[0])
        return True

    def start(self):
        self.held = {}
        for fd in self.sockets:
            self.ask(fd, 0)
        self.until_all(self.told)

    def round(self):
        self.until_all(self.told)


def measure(name, server, kind, args):
    for i in range(args.instances):
        server.instance(i, "passing")
    watchers = kind(server, args.watchers)
    watchers.start()
    time.sleep(1)
    times, sent, cpu = [], watchers.bytes, server.cpu_s()
    for n in range(args.rounds):
        at = time.monotonic()
        server.instance(n // 2 % args.instances, "critical" if n % 2 == 0 else "passing")
        watchers.round()
        times.append((time.monotonic() - at) * 1000)
        time.sleep(0.2)
    time.sleep(1)
    sent = (watchers.bytes - sent) / args.rounds / args.watchers
    cpu = (server.cpu_s() - cpu) / args.rounds * 1000
    print("%-16s %6d watchers %4d instances: %9.0f bytes each, %8.1f ms CPU, %8.1f ms until the "
          "last (median of %d)" % (name, args.watchers, args.instances, sent, cpu,
                                   statistics.median(times), args.rounds), flush=True)
    watchers.close()
    return sent, cpu


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--watchers", type=int, default=5000)
    p.add_argument("--instances", type=int, default=100)
    p.add_argument("--rounds", type=int, default=10)
    p.add_argument("--herald", default="build/herald")
    p.add_argument("--consul", default="consul")
    args = p.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    subjects = [("herald stream", "herald", args.herald, StreamWatchers),
                ("herald blocking", "herald", args.herald, BlockingWatchers)]
    if shutil.which(args.consul):
        subjects.append(("consul blocking", "consul", args.consul, BlockingWatchers))
    for name, kind, program, watchers in subjects:
        server = Server(kind, program)
        try:
            measure(name, server, watchers, args)
        finally:
            server.close()


if __name__ == "__main__":
    main()
