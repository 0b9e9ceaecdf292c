#!/usr/bin/env python3
"""`herald sync haproxy` with Debian's HAProxy: 20 backends that answer with their names, under
load. What is registered gets requests, what goes loses them, nobody sees an error for it; restarts
of HAProxy, of Herald and of the command itself are survived."""
import http.client
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

BACKENDS = 20
SLOTS = 10  # the other servers are added at run time
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


class Backend:
    """A web server that answers every request with its name."""

    def __init__(self, name):
        body = name.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.name = name
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Haproxy:
    def __init__(self, directory, service="api", slots=SLOTS):
        self.dir = directory
        self.port = herald.free_port()
        self.socket = os.path.join(directory, "admin.sock")
        self.config = os.path.join(directory, "haproxy.cfg")
        self.process = None
        with open(self.config, "w") as f:
            f.write("""global
    stats socket %s mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
frontend front
    bind 127.0.0.1:%d
    default_backend %s
backend %s
    balance roundrobin
%s""" % (self.socket, self.port, service, service,
         "    server-template s 1-%d 127.0.0.1:1 disabled\n" % slots if slots else ""))

    def start(self):
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", self.config],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        herald.eventually(lambda: os.path.exists(self.socket) and self.ask("show info"),
                          "HAProxy answers")
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()

    def ask(self, command):
        try:
            with herald.Connection(unix=self.socket) as c:
                c.send(command.encode() + b"\n")
                return c.read_all().decode()
        except OSError:
            return ""

    def servers(self):
        """Addresses of servers that are ready."""
        rows = [r.split() for r in self.ask("show servers state").splitlines()[2:]]
        return {"%s:%s" % (r[4], r[18]) for r in rows if len(r) > 18 and int(r[6]) & ~4 == 0}


class Load:
    """A few clients in a loop: who answered when, and what failed."""

    def __init__(self, port, clients=3):
        self.port, self.going = port, True
        self.failed, self.count = [], 0
        self.first, self.last = {}, {}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def run(self):
        connection = None
        while self.going:
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port,
                                                                      timeout=10)
                connection.request("GET", "/")
                response = connection.getresponse()
                body = response.read().decode()
                error = None if response.status == 200 else "%d" % response.status
            except (OSError, http.client.HTTPException) as e:
                connection, error, body = None, repr(e), None
            now = time.monotonic()
            with self.lock:
                self.count += 1
                if error:
                    self.failed.append((now, error))
                    time.sleep(0.001)
                else:
                    self.first.setdefault(body, now)
                    self.last[body] = now

    def forget(self):
        with self.lock:
            self.first, self.last, self.failed = {}, {}, []

    def stop(self):
        self.going = False
        for t in self.threads:
            t.join()


class Scene:
    def __init__(self):
        if not os.path.exists(HAPROXY):
            raise herald.Skip("haproxy is not installed")
        self.dir = tempfile.mkdtemp(prefix="herald-haproxy-")
        self.server = herald.Server(data_dir=os.path.join(self.dir, "data"))
        self.haproxy = Haproxy(self.dir).start()
        self.sync = None
        self.load = None
        self.backends = {}

    def start_sync(self):
        self.sync = herald.Program([herald.program(), "sync", "haproxy", "-service=api",
                                    "-socket=" + self.haproxy.socket, "-drain-ms=300",
                                    "-http-addr=127.0.0.1:%d" % self.server.port])

    def put(self, backend, status="passing"):
        body = {"Node": "n-" + backend.name, "Address": "127.0.0.1",
                "Service": {"Service": "api", "ID": backend.name, "Port": backend.port,
                            "Tags": ["prod"]},
                "Check": {"CheckID": "c-" + backend.name, "Name": "alive", "Status": status,
                          "ServiceID": backend.name}}
        r = self.server.put("/v1/catalog/register", json.dumps(body).encode())
        assert r.status == 200, r

    def remove(self, backend):
        r = self.server.put("/v1/catalog/deregister", json.dumps(
            {"Node": "n-" + backend.name, "ServiceID": backend.name}).encode())
        assert r.status == 200, r

    def wanted(self):
        return {"127.0.0.1:%d" % b.port for b in self.backends.values()}

    def settled(self, what):
        herald.eventually(lambda: self.haproxy.servers() == self.wanted(),
                          "%s: %d servers" % (what, len(self.backends)), 20)

    def close(self):
        if self.load:
            self.load.stop()
        if self.sync:
            self.sync.__exit__(None, None, None)
        for b in self.backends.values():
            b.stop()
        self.haproxy.stop()
        self.server.close()
        shutil.rmtree(self.dir, ignore_errors=True)


scene = None


def say(text, *args):
    print("# " + text % args)


def twenty_backends_come():
    global scene
    scene = Scene()
    scene.start_sync()
    for i in range(BACKENDS):
        b = Backend("b%02d" % i)
        scene.backends[b.name] = b
        scene.put(b)
        if i == 0:
            # From here on it knows of each by an event, not from the snapshot.
            scene.sync.line_with("b00", "is server")
    scene.settled("all came")
    scene.load = Load(scene.haproxy.port)
    herald.eventually(lambda: len(scene.load.first) == BACKENDS, "every backend gets requests", 20)
    assert not scene.load.failed, scene.load.failed[:3]
    line = scene.sync.line_with("+", "ms after")
    say("%s", line)


def one_comes_and_one_goes_without_an_error():
    for i in range(5):
        scene.load.forget()
        b = Backend("new%d" % i)
        scene.backends[b.name] = b
        before = time.monotonic()
        scene.put(b)
        known = time.monotonic()
        herald.eventually(lambda: b.name in scene.load.first, "the new one gets requests")
        came = scene.load.first[b.name]
        gone = scene.backends.pop("b%02d" % i)
        left = time.monotonic()
        scene.remove(gone)
        scene.settled("one went")
        last = scene.load.last.get(gone.name, left)
        say("first request %.1f ms after its registration (answered after %.1f ms); last request "
            "%.1f ms after its removal", (came - before) * 1000, (known - before) * 1000,
            (last - left) * 1000)
        time.sleep(0.05)
        assert scene.load.last.get(gone.name, left) == last, "a request after it had left"
        gone.stop()
    assert not scene.load.failed, scene.load.failed[:3]
    say("%d requests, none failed", scene.load.count)


def one_is_killed_and_its_check_fails():
    scene.load.forget()
    for i in range(5, 8):
        b = scene.backends.pop("b%02d" % i)
        b.stop()
        at = time.monotonic()
        scene.put(b, "critical")
        scene.settled("one died")
        say("out of HAProxy %.1f ms after its check failed", (time.monotonic() - at) * 1000)
    failed = len(scene.load.failed)
    assert failed == 0, scene.load.failed[:3]


def warning_keeps_its_server_and_recovery_comes_back():
    b = scene.backends["b08"]
    scene.put(b, "warning")
    time.sleep(0.3)
    assert scene.haproxy.servers() == scene.wanted()
    scene.backends.pop("b08")
    scene.put(b, "critical")
    scene.settled("critical")
    scene.backends["b08"] = b
    scene.put(b, "passing")
    scene.settled("passing again")


def haproxy_restarts_and_has_all_servers_again():
    for _ in range(2):
        scene.haproxy.stop()
        scene.haproxy.start()
        at = time.monotonic()
        scene.settled("HAProxy again")
        say("all %d servers %.0f ms after HAProxy answered again", len(scene.backends),
            (time.monotonic() - at) * 1000)
    herald.eventually(lambda: scene.load.count > 0, "load")
    time.sleep(0.2)
    scene.load.forget()
    time.sleep(0.3)
    assert not scene.load.failed, scene.load.failed[:3]


def herald_restarts_and_nothing_is_lost():
    scene.load.forget()
    scene.server.kill()
    time.sleep(0.3)
    scene.server.start()
    b = Backend("after")
    scene.backends[b.name] = b
    scene.put(b)
    scene.settled("after Herald's restart")
    herald.eventually(lambda: "after" in scene.load.first, "the new one gets requests")
    assert not scene.load.failed, scene.load.failed[:3]


def the_command_restarts_and_puts_right_what_changed():
    scene.load.forget()
    scene.sync.__exit__(None, None, None)
    gone = scene.backends.pop("b09")
    scene.remove(gone)
    b = Backend("later")
    scene.backends[b.name] = b
    scene.put(b)
    scene.start_sync()
    scene.settled("the command again")
    assert not scene.load.failed, scene.load.failed[:3]
    gone.stop()
    lines = len(scene.haproxy.ask("show servers state").splitlines())
    scene.sync.__exit__(None, None, None)
    scene.start_sync()
    scene.settled("the command a third time")
    assert len(scene.haproxy.ask("show servers state").splitlines()) <= lines


def once_ends_and_mistakes_are_said():
    addr = "-http-addr=127.0.0.1:%d" % scene.server.port
    sync = [herald.program(), "sync", "haproxy"]
    right = ["-service=api", "-socket=" + scene.haproxy.socket, addr]
    code, out, err = herald.run(sync + right + ["-once"])
    assert code == 0, (code, out, err)
    for args, words in [
            ([], "-service is missing"),
            (right + ["-backend=none"], "no backend"),
            (right + ["-backend=a b"], "names of HAProxy"),
            (right + ["-tag=" + "x" * 100000], "too long"),
            (["-service=api", "-socket=" + scene.server.log_path, addr], "cannot connect"),
            (["-service=api", "-socket=/" + "x" * 200, addr], "too long")]:
        code, out, err = herald.run(sync + args)
        assert code == 1 and words in err, (args, code, err)


def end_of_the_scene():
    scene.close()


if __name__ == "__main__":
    herald.main([twenty_backends_come, one_comes_and_one_goes_without_an_error,
                 one_is_killed_and_its_check_fails,
                 warning_keeps_its_server_and_recovery_comes_back,
                 haproxy_restarts_and_has_all_servers_again,
                 herald_restarts_and_nothing_is_lost,
                 the_command_restarts_and_puts_right_what_changed,
                 once_ends_and_mistakes_are_said, end_of_the_scene])
