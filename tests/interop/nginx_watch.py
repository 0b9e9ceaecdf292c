#!/usr/bin/env python3
"""Debian's nginx through `herald watch -type=service` and examples/nginx: what passes gets
requests, what turns critical or leaves gets none, and no client sees an error for it."""
import os
import shutil
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import herald  # noqa: E402
from haproxy import Backend  # noqa: E402
from haproxy_dns import answers, register  # noqa: E402

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
EXAMPLE = os.path.join(herald.ROOT, "examples", "nginx")
HANDLER = [sys.executable, os.path.join(EXAMPLE, "upstream.py"), "api"]


class Nginx:
    """The example's configuration in a directory of its own, on a free port."""

    def __init__(self, directory):
        self.dir, self.port = directory, herald.free_port()
        self.file = os.path.join(directory, "upstream.conf")
        with open(os.path.join(EXAMPLE, "nginx.conf"), encoding="ascii") as f:
            config = f.read()
        assert config.count("127.0.0.1:8080") == 1
        with open(os.path.join(directory, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(config.replace("127.0.0.1:8080", "127.0.0.1:%d" % self.port))
        self.command = [NGINX, "-p", directory, "-c", os.path.join(directory, "nginx.conf")]

    def __enter__(self):
        self.process = herald.Program(self.command + ["-g", "daemon off;"])
        herald.eventually(lambda: answers(self.port, 1) != {""}, "nginx answers")
        return self

    def __exit__(self, *exc):
        self.process.__exit__(*exc)

    def servers(self):
        with open(self.file, encoding="ascii") as f:
            return f.read().count("server 127.0.0.1:")


class Load:
    """One client that never rests: the answers that were errors."""

    def __init__(self, port):
        self.port, self.going, self.count, self.failed = port, True, 0, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.going:
            self.count += 1
            self.failed += answers(self.port, 1) == {""}

    def stop(self):
        self.going = False
        self.thread.join()


def watch(s, *handler):
    return [herald.program(), "watch", "-http-addr=127.0.0.1:%d" % s.port, "-type=service",
            "-service=api", "-passingonly=true"] + list(handler)


def deregister(s, backend):
    r = s.put("/v1/catalog/deregister", '{"Node": "host", "ServiceID": "%s"}' % backend.name)
    assert r.status == 200, r


def follows(nginx, backends, what):
    """So many requests that each of the servers has its turn, whichever worker has it."""
    want = {b.name for b in backends}
    herald.eventually(lambda: answers(nginx.port, 4 * len(want) + 4) == want, what, 20)


def test_nginx_follows_the_service():
    if not os.path.exists(NGINX):
        raise herald.Skip("nginx is not installed")
    backends = [Backend("b%d" % i) for i in range(5)]
    load = None
    with tempfile.TemporaryDirectory() as d, \
            herald.Server(data_dir=os.path.join(d, "data")) as s:
        try:
            nginx = Nginx(d)
            for b in backends[:3]:
                register(s, b)
            code, out, err = herald.run(watch(s))
            assert code == 0, err
            code, out, err = herald.run(HANDLER + [nginx.file], stdin=out)
            assert code == 0 and nginx.servers() == 3, (out, err)
            handler = HANDLER + [nginx.file] + nginx.command + ["-s", "reload"]
            with nginx, herald.Program(watch(s, *handler)) as program:
                follows(nginx, backends[:3], "the first three")
                load = Load(nginx.port)
                register(s, backends[3])
                follows(nginx, backends[:4], "one comes")
                register(s, backends[0], "critical")
                follows(nginx, backends[1:4], "one turns critical")
                deregister(s, backends[1])
                follows(nginx, backends[2:4], "one leaves")
                register(s, backends[0], "passing")
                follows(nginx, [backends[0]] + backends[2:4], "one passes again")
                s.kill()
                follows(nginx, [backends[0]] + backends[2:4], "Herald is away")
                s.start()
                register(s, backends[4])
                follows(nginx, [backends[0]] + backends[2:5], "after Herald's restart")
                load.stop()
                assert load.failed == 0, "%d of %d" % (load.failed, load.count)
                print("# %d requests, none failed" % load.count)
                for b in [backends[0]] + backends[2:5]:
                    deregister(s, b)
                herald.eventually(lambda: answers(nginx.port, 1) == {""}, "none is left")
                assert program.process.poll() is None
        finally:
            if load:
                load.stop()
            for b in backends:
                b.stop()


def test_nginx_handler_writes_addresses_only():
    """What a service says of itself does not become configuration, and a list that the command
    refuses is taken back."""
    hostile = "127.0.0.1:1; } http { x"
    rows = ",".join(
        '{"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "i", "Address": "%s", "Port": %d}}'
        % pair for pair in ((hostile, 80), ("", 80), ("::1", 81), ("web.example", 82), ("", 0),
                            ("a\\nb", 83), ("", 70000)))
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "u")
        code, out, err = herald.run(HANDLER + [path], stdin="[%s]" % rows)
        with open(path, encoding="ascii") as f:
            text = f.read()
        assert text == ("upstream api {\n    server 10.0.0.1:80;\n    server [::1]:81;\n"
                        "    server web.example:82;\n}\n"), text
        assert code == 0 and err.count("no address") == 4, err
        assert herald.run(HANDLER + [path, "false"], stdin="[]")[0] == 1
        with open(path, encoding="ascii") as f:
            assert f.read() == text
        assert herald.run(HANDLER + [path, "true"], stdin="[]")[0] == 0
        assert herald.run(HANDLER + [path, "false"], stdin="[]")[0] == 0, "nothing changed"


if __name__ == "__main__":
    herald.main([test_nginx_follows_the_service, test_nginx_handler_writes_addresses_only])
