"""What the tests with hostile clients share: one server, a good client beside the bad ones, and the
loop that runs every test and then looks whether the server is well."""

import argparse
import os
import random
import subprocess
import time

import herald
from report import check, equal

MIB = 1024 * 1024
CONFIG = {"limits": {"http_max_conns_per_client": 15000},
          "telemetry": {"prometheus_retention_time": "60s"}}
HOST = b"Host: h\r\n"


class Scene:
    def __init__(self, server, args, report):
        self.server, self.args, self.report = server, args, report
        self.port = server.port
        self.dice = random.Random(args.seed)
        self.serial = 0
        maps = open("/proc/%d/maps" % server.process.pid).read()
        self.sanitized = "libasan" in maps or "libtsan" in maps
        self.good()
        self.rss = server.resident_bytes()

    def good(self):
        """A well-behaved client beside the others: writes, reads it back, watches."""
        self.serial += 1
        began = time.monotonic()
        value = str(self.serial)
        with self.connect() as c:
            equal(c.request("PUT", "/v1/kv/good", value).body, b"true", "the good client's write")
            equal(c.request("GET", "/v1/kv/good?raw").body, value.encode(), "what it reads")
        took = time.monotonic() - began
        if took > 1:
            self.report.note("the good client waited %.1f s" % took)
        check(took < 10 * herald.SLOW, "the good client waited %.1f s", took)

    def after(self):
        check(self.server.running(), "the server is dead:\n%s", self.server.log()[-2000:])
        self.good()
        grown = self.server.resident_bytes() - self.rss
        # AddressSanitizer keeps what was freed for a while.
        bound = (1536 if self.sanitized else 256) * MIB
        check(grown < bound, "memory grew by %d MiB", grown // MIB)

    def connect(self, **kw):
        kw.setdefault("timeout", 60)
        return herald.Connection(self.port, **kw)

    def raw(self, data, timeout=30):
        """Sends bytes, gives all that comes back until the server closes."""
        with self.connect(timeout=timeout) as c:
            try:
                c.send(data)
            except OSError:
                pass
            return c.read_all()

    def one(self, data):
        """Sends bytes, gives the first answer; the connection may stay open."""
        with self.connect() as c:
            try:
                c.send(data)
            except OSError:
                pass
            return c.read_response()

    def websocket(self, **kw):
        ws = self.server.websocket(timeout=30, **kw)
        equal(ws.response.status, 101, "handshake")
        return ws


def statuses(data):
    """The status lines in what a connection said."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


def close_code(ws):
    """Reads until the server closes; gives its code, 1005 if it says none, 1006 if it vanished."""
    try:
        while ws.next_text() is not None:
            pass
        return ws.close_code or 1005
    except (EOFError, ConnectionError):
        return 1006


def refused_start(arguments, names):
    """Runs the program; it must end by itself, without a crash, and say what is wrong."""
    got = subprocess.run([herald.program()] + arguments, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60 * herald.SLOW)
    text = got.stdout.decode("utf-8", "replace")
    check(0 < got.returncode < 100, "exit code %d: %s", got.returncode, text[-500:])
    check(names in text, "does not name %s: %s", names, text[-500:])
    check("Sanitizer" not in text, "%s", text[-2000:])
    return text


def options(text):
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10000, help="silent ones")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("only", nargs="*", help="run only tests whose name contains one of these")
    return parser.parse_args()


def run(report, args, background=None):
    """All tests of `report` against one server; `background(scene)` gives a test for the end."""
    report.note("seed %d" % args.seed)
    server = herald.Server(config=CONFIG)
    try:
        s = Scene(server, args, report)
        last = background(s) if background and not args.only else None
        for function in report.tests:
            if args.only and not any(o in function.__name__ for o in args.only):
                continue
            report.run(function.__name__, lambda f=function: (f(s), s.after()))
            if not server.running():
                report.note("the server is started again")
                server.start()
                s.rss = server.resident_bytes()
        if last:
            report.run(last.__name__, last)
    finally:
        report.run("server_ends_cleanly", server.end)
    report.end()
