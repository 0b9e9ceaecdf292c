#!/usr/bin/env python3
"""The story of examples/load-balancer/run.sh: story.py HERALD [--once]

Backends are registered with the agent, each with a check that it runs every second (it runs none
more often): what happens to a killed one is then what happens in a real fleet. Standard library
only.
"""
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = "1s"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(text, *args):
    print("==> " + text % args, flush=True)


def until(check, what, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise SystemExit("not within %d s: %s" % (seconds, what))
        time.sleep(0.001)
    return time.monotonic()


def backend(name, port):
    """In a process of its own, so that it can be killed: answers with its name."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *args):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class Load:
    """Requests through HAProxy, one after another, and what became of them."""

    def __init__(self, port):
        self.port, self.count, self.failed, self.seen = port, 0, 0, {}
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                c.request("GET", "/")
                r = c.getresponse()
                body = r.read().decode()
                ok = r.status == 200
                c.close()
            except (OSError, http.client.HTTPException):
                ok = False
            self.count += 1
            if ok:
                self.seen[body] = time.monotonic()
            else:
                self.failed += 1
                time.sleep(0.01)


class Story:
    def __init__(self, herald):
        self.herald = herald
        self.dir = tempfile.mkdtemp(prefix="herald-story-")
        self.socket = os.path.join(self.dir, "admin.sock")
        self.port, self.http = free_port(), free_port()
        self.running = []
        self.backends = {}

    def spawn(self, args, quiet=True, **kw):
        out = open(os.path.join(self.dir, "log"), "ab") if quiet else None
        p = subprocess.Popen(args, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **kw)
        self.running.append(p)
        return p

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            c.request(method, path, None if body is None else json.dumps(body))
            r = c.getresponse()
            return r.status, r.read().decode()
        except OSError:
            return 0, ""
        finally:
            c.close()

    def haproxy(self, command):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.socket)
                s.sendall(command.encode() + b"\n")
                parts = []
                while part := s.recv(65536):
                    parts.append(part)
                return b"".join(parts).decode()
        except OSError:
            return ""

    def ready(self):
        """Ports of the servers that HAProxy gives requests."""
        rows = [r.split() for r in self.haproxy("show servers state api").splitlines()[2:]]
        return {int(r[18]) for r in rows if len(r) > 18 and int(r[6]) & ~4 == 0}

    def start(self):
        self.spawn([self.herald, "agent", "-dev", "-http-port=%d" % self.http])
        until(lambda: self.call("GET", "/v1/status/leader")[1] not in ("", '""'), "Herald is ready")
        self.spawn(["haproxy", "-db", "-f", os.path.join(HERE, "haproxy.cfg")],
                   env=dict(os.environ, DIR=self.dir, PORT=str(self.port),
                            PATH=os.environ.get("PATH", "") + ":/usr/sbin"))
        until(lambda: self.haproxy("show info"), "HAProxy answers")
        self.spawn([self.herald, "sync", "haproxy", "-service=api", "-socket=" + self.socket,
                    "-http-addr=127.0.0.1:%d" % self.http], quiet=False)

    def run_backend(self, name):
        port = free_port()
        p = self.spawn([sys.executable, os.path.abspath(__file__), "--backend", name, str(port)])

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        until(listens, "%s listens" % name)
        self.backends[name] = (p, port)
        return port

    def register(self, name):
        port = self.run_backend(name)
        at = time.monotonic()
        status, text = self.call("PUT", "/v1/agent/service/register", {
            "Name": "api", "ID": name, "Port": port, "Address": "127.0.0.1", "Tags": ["prod"],
            "Check": {"TCP": "127.0.0.1:%d" % port, "Interval": CHECK, "Timeout": "1s",
                      "Status": "passing"}})
        if status != 200:
            raise SystemExit("the agent does not register %s: %d %s" % (name, status, text))
        return port, at

    def kill(self, name):
        p, port = self.backends.pop(name)
        p.kill()
        at = time.monotonic()
        p.wait()
        return port, at

    def close(self):
        for p in reversed(self.running):
            if p.poll() is None:
                p.terminate()
        for p in self.running:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def tell(s, once):
    s.start()
    say("Herald listens on 127.0.0.1:%d, HAProxy on 127.0.0.1:%d", s.http, s.port)
    ports = [s.register("api-%d" % i)[0] for i in (1, 2, 3)]
    until(lambda: s.ready() == set(ports), "three backends are in HAProxy")
    say("three backends are in HAProxy; requests begin")
    load = Load(s.port)
    until(lambda: len(load.seen) == 3, "all three answer")

    port, at = s.register("api-4")
    came = until(lambda: port in s.ready(), "the fourth is in HAProxy")
    first = until(lambda: "api-4" in load.seen, "the fourth answers")
    say("a fourth: in HAProxy %.0f ms after it was registered, first request after %.0f ms",
        (came - at) * 1000, (first - at) * 1000)

    port, at = s.kill("api-2")
    left = until(lambda: port not in s.ready(), "the killed one is out of HAProxy")
    say("api-2 was killed: out of HAProxy %.0f ms later (its check runs every %s)",
        (left - at) * 1000, CHECK)

    at = time.monotonic()
    s.call("PUT", "/v1/agent/service/deregister/api-3")
    port = s.backends["api-3"][1]
    left = until(lambda: port not in s.ready(), "the one that leaves is out of HAProxy")
    say("api-3 says that it leaves: out of HAProxy %.0f ms later", (left - at) * 1000)
    time.sleep(0.5)
    say("%d requests in all this time, %d failed", load.count, load.failed)
    if load.failed:
        raise SystemExit("requests failed")
    if not once:
        say("go on by hand: curl http://127.0.0.1:%d/ asks a backend; Ctrl-C ends all", s.port)
        signal.pause()


def main():
    if sys.argv[1:2] == ["--backend"]:
        backend(sys.argv[2], int(sys.argv[3]))
    s = Story(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        tell(s, "--once" in sys.argv)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        s.close()


main()
