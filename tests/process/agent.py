#!/usr/bin/env python3
"""The agent's own services and checks against a real server: the recording of Consul 1.8.7
(tests/golden/agent.txt), checks of every kind against small servers in here, maintenance, files,
reload, restart, and bad input.

Deliberate differences from the recording, tolerated here (DIFFERENT, by the request's text):
  * rows of services carry Datacenter, as Consul 1.9 and newer do;
  * checks in /v1/agent/health have their real Type, and no expanded Definition;
  * ?filter= with a wrong expression: the sentence behind `evaluator: ` is Herald's own;
  * /v1/agent/host says less than gopsutil does.
"""
import http.server
import json
import os
import re
import socket
import struct
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from herald import eventually  # noqa: E402

GOLDEN = os.path.join(HERE, "..", "golden", "agent.txt")


def put(s, path, body=None, expect=200):
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    r = s.put(path, data)
    assert r.status == expect, (path, r.status, r.text()[:300])
    return r


def register(s, **service):
    return put(s, "/v1/agent/service/register", service)


def status_of(s, check):
    row = s.get("/v1/agent/checks").json().get(check)
    return row and row["Status"]


def becomes(s, check, status, timeout=15):
    eventually(lambda: status_of(s, check) == status, "%s is %s" % (check, status), timeout)
    return s.get("/v1/agent/checks").json()[check]


def catalog(s, service):
    r = s.get("/v1/health/service/" + service)
    return r.json() if r.status == 200 else None


# --- the recording ----------------------------------------------------------------------------

def exchanges():
    for block in re.split(r"^(?=### )", open(GOLDEN).read(), flags=re.M)[1:]:
        head, _, rest = block.partition("\n")
        m = re.match(r"### (\S+) (\S*) ?(?:\[body (.*)\])?$", head.rstrip())
        top, _, body = rest.partition("\n\n")
        status = int(top.split()[1])
        headers = {n.lower(): v for n, v in
                   (line.split(": ", 1) for line in top.split("\n")[1:] if ": " in line)}
        length = int(headers.get("content-length", len(body.strip("\n"))))
        yield m.group(1), m.group(2), m.group(3), status, headers, body[:length]


def plain(value):
    """What a newer Consul, or Herald, adds on purpose is taken away on both sides."""
    if isinstance(value, dict):
        gone = {"Datacenter", "Definition"} | ({"Type"} if "CheckID" in value else set())
        return {k: plain(v) for k, v in value.items() if k not in gone}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def test_the_recording():
    with herald.Server(args=["-node=n1"]) as s:
        for method, path, body, status, headers, answer in exchanges():
            if "/host" in path:
                assert s.get(path).json()["CollectionTime"] > 0
                continue
            r = s.request(method, path.replace('"', "%22"), None if body is None else body.encode())
            where = "%s %s %s" % (method, path, body or "")
            assert r.status == status, (where, r.status, status, r.text()[:300])
            reason = headers.get("x-consul-reason")
            assert reason is None or r.headers.get("x-consul-reason") == reason, where
            if headers.get("content-type", "").startswith("application/json"):
                assert plain(r.json()) == plain(json.loads(answer)), (where, r.text(), answer)
            elif "filter=bad" in path:
                assert r.text().startswith("Failed to create boolean expression evaluator"), r
            else:
                assert r.text() == answer, (where, r.text(), answer)


# --- small servers ----------------------------------------------------------------------------

class Web:
    """Answers every request with `status`, or as `reply` says; remembers what it was asked."""

    def __init__(self, status=200, body=b"hello", headers=(), endless=False, silent=False):
        self.status, self.body, self.extra = status, body, headers
        self.seen, self.endless, self.silent = [], endless, silent
        self.gone = threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get("Content-Length", 0))
                web.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                if web.silent:
                    web.gone.wait(60)
                    return
                self.send_response(web.status)
                for name, value in web.extra:
                    self.send_header(name, value)
                if not web.endless:
                    self.send_header("Content-Length", str(len(web.body)))
                self.end_headers()
                try:
                    while web.endless and not web.gone.is_set():
                        self.wfile.write(b"x" * 65536)
                    self.wfile.write(web.body)
                except OSError:
                    pass

            do_GET = do_PUT = do_POST = do_HEAD = handle_any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/"):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


def test_http_check():
    with herald.Server() as s, Web() as web:
        register(s, Name="web", Check={
            "CheckID": "c", "HTTP": web.url("/health"), "Interval": "1s", "Method": "PUT",
            "Header": {"X-A": ["1"], "Host": ["example.test"]}, "Body": "data"})
        row = becomes(s, "c", "passing")
        assert "HTTP PUT %s: 200 OK Output: hello" % web.url("/health") == row["Output"], row
        method, path, headers, body = web.seen[-1]
        assert (method, path, body) == ("PUT", "/health", b"data"), web.seen
        assert headers["User-Agent"] == "Consul Health Check", headers
        assert headers["X-A"] == "1" and headers["Host"] == "example.test", headers
        web.status = 429
        becomes(s, "c", "warning")
        web.status = 500
        becomes(s, "c", "critical")
        eventually(lambda: catalog(s, "web")[0]["Checks"][-1]["Status"] == "critical", "told")
    with herald.Server() as s:
        register(s, Name="web", Check={"CheckID": "c", "HTTP": "http://127.0.0.1:1/",
                                       "Interval": "1s", "Status": "passing"})
        assert "onnect" in becomes(s, "c", "critical")["Output"]


def test_redirects_and_metadata_are_not_followed():
    with herald.Server() as s, Web(200) as target, \
            Web(302, headers=[("Location", "http://169.254.169.254/latest/meta-data/")]) as web:
        register(s, Name="web", Checks=[
            {"CheckID": "redirect", "HTTP": web.url(), "Interval": "1s", "Status": "passing"},
            {"CheckID": "direct", "HTTP": "http://169.254.169.254/", "Interval": "1s",
             "Status": "passing"},
            {"CheckID": "mapped", "HTTP": "http://[::ffff:169.254.169.254]/", "Interval": "1s",
             "Status": "passing"},
            {"CheckID": "tcp", "TCP": "169.254.169.254:80", "Interval": "1s", "Status": "passing"}])
        assert "302" in becomes(s, "redirect", "critical")["Output"]
        for check in ("direct", "mapped", "tcp"):
            output = becomes(s, check, "critical")["Output"]
            assert "link-local" in output, (check, output)
        web.extra = [("Location", target.url())]
        web.seen.clear()
        eventually(lambda: len(web.seen) > 1, "it was asked again")
        assert not target.seen, target.seen


def test_checks_that_hang_or_print_megabytes():
    with herald.Server() as s, Web(silent=True) as silent, Web(endless=True) as endless:
        register(s, Name="web", Checks=[
            {"CheckID": "silent", "HTTP": silent.url(), "Interval": "1s", "Timeout": "500ms",
             "Status": "passing"},
            {"CheckID": "endless", "HTTP": endless.url(), "Interval": "1s", "Timeout": "5s"}])
        assert "imed out" in becomes(s, "silent", "critical")["Output"]
        row = becomes(s, "endless", "passing")
        assert len(row["Output"]) < 4096 + 200, len(row["Output"])
        # The server answers while all this goes on.
        assert s.get("/v1/status/leader", timeout=2).status == 200
        assert s.resident_bytes() < 1 << 30


def test_tcp_udp_and_h2_checks():
    with herald.Server() as s, Web() as web, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        register(s, Name="web", Checks=[
            {"CheckID": "tcp", "TCP": "127.0.0.1:%d" % web.port, "Interval": "1s"},
            {"CheckID": "named", "TCP": "localhost:%d" % web.port, "Interval": "1s"},
            {"CheckID": "closed", "TCP": "127.0.0.1:1", "Interval": "1s", "Status": "passing"},
            {"CheckID": "udp", "UDP": "127.0.0.1:%d" % port, "Interval": "1s"},
            {"CheckID": "nobody", "UDP": "127.0.0.1:1", "Interval": "1s", "Status": "passing"},
            {"CheckID": "h2", "H2PING": "127.0.0.1:%d" % web.port, "Interval": "1s",
             "Timeout": "2s", "Status": "passing"}])
        assert "Success" in becomes(s, "tcp", "passing")["Output"]
        becomes(s, "named", "passing")
        becomes(s, "closed", "critical")
        becomes(s, "udp", "passing")
        becomes(s, "nobody", "critical")
        becomes(s, "h2", "critical")


class Http2:
    """Just enough HTTP/2 without TLS: answers PINGs, and gRPC health questions with `serving`."""

    def __init__(self, serving=1):
        self.serving = serving
        self.listen = socket.create_server(("127.0.0.1", 0))
        self.port = self.listen.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listen.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(c,), daemon=True).start()

    @staticmethod
    def frame(kind, flags, stream, data):
        return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data

    def talk(self, c):
        try:
            f = c.makefile("rb")
            f.read(24)
            c.sendall(self.frame(4, 0, 0, b""))
            while True:
                head = f.read(9)
                if len(head) < 9:
                    return
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                data = f.read(int.from_bytes(head[:3], "big"))
                if kind == 4 and not flags & 1:
                    c.sendall(self.frame(4, 1, 0, b""))
                elif kind == 6 and not flags & 1:
                    c.sendall(self.frame(6, 1, 0, data))
                elif kind == 0 and flags & 1:
                    self.asked.append(data)
                    field = lambda n, v: b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v  # noqa: E731
                    c.sendall(self.frame(1, 4, stream, b"\x88"
                                         + field(b"content-type", b"application/grpc")))
                    c.sendall(self.frame(0, 0, stream, b"\0\0\0\0\2\x08" + bytes([self.serving])))
                    c.sendall(self.frame(1, 5, stream, field(b"grpc-status", b"0")))
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listen.close()


def test_grpc_and_h2_ping_checks():
    with herald.Server() as s, Http2() as good, Http2(serving=2) as bad:
        register(s, Name="web", Checks=[
            {"CheckID": "good", "GRPC": "127.0.0.1:%d/web" % good.port, "Interval": "1s"},
            {"CheckID": "bad", "GRPC": "127.0.0.1:%d" % bad.port, "Interval": "1s",
             "Status": "passing"},
            {"CheckID": "ping", "H2PING": "127.0.0.1:%d" % good.port, "Interval": "1s"}])
        assert "success" in becomes(s, "good", "passing")["Output"]
        assert "NOT_SERVING" in becomes(s, "bad", "critical")["Output"]
        becomes(s, "ping", "passing")
        assert b"\x0a\x03web" in b"".join(good.asked), good.asked


# --- scripts ----------------------------------------------------------------------------------

def script(s, check, args, **more):
    put(s, "/v1/agent/check/register",
        dict({"CheckID": check, "Name": check, "Args": args, "Interval": "1s"}, **more))


def test_scripts_are_off_unless_allowed():
    with herald.Server() as s:
        r = put(s, "/v1/agent/check/register",
                {"Name": "x", "Args": ["true"], "Interval": "1s"}, expect=500)
        assert "Scripts are disabled on this agent" in r.text(), r
        r = put(s, "/v1/agent/service/register",
                {"Name": "x", "Check": {"Args": ["true"], "Interval": "1s"}}, expect=500)
        assert s.get("/v1/agent/services").json() == {}
    with herald.Server(config={"enable_local_script_checks": True, "check": {
            "id": "mine", "name": "mine", "args": ["true"], "interval": "1s"}}) as s:
        r = put(s, "/v1/agent/check/register",
                {"Name": "x", "Args": ["true"], "Interval": "1s"}, expect=500)
        assert "from remote calls" in r.text(), r
        becomes(s, "mine", "passing")


def test_scripts():
    with herald.Server(config={"enable_script_checks": True}) as s:
        script(s, "ok", ["sh", "-c", "echo fine; exit 0"])
        script(s, "warn", ["sh", "-c", "echo hm >&2; exit 1"], Status="passing")
        script(s, "bad", ["sh", "-c", "exit 7"], Status="passing")
        script(s, "none", ["/nowhere/at/all"], Status="passing")
        script(s, "loud", ["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x"])
        script(s, "signals", ["sh", "-c", "kill -TERM $$; sleep 100"], Status="passing")
        assert becomes(s, "ok", "passing")["Output"] == "fine\n"
        assert becomes(s, "warn", "warning")["Output"] == "hm\n"
        becomes(s, "bad", "critical")
        assert "cannot be run" in becomes(s, "none", "critical")["Output"]
        row = becomes(s, "loud", "passing")
        assert 4096 <= len(row["Output"]) < 4300, len(row["Output"])
        becomes(s, "signals", "critical")


def test_a_script_that_never_ends_is_killed_with_its_children():
    with tempfile.TemporaryDirectory() as d, \
            herald.Server(config={"enable_script_checks": True}) as s:
        mark = os.path.join(d, "pids")
        script(s, "stuck", ["sh", "-c", "trap '' TERM INT; sleep 1000 & echo $! $$ >> %s; "
                            "while :; do wait; done" % mark], Timeout="1s", Interval="60s",
               Status="passing")
        assert "imed out" in becomes(s, "stuck", "critical")["Output"]
        pids = open(mark).read().split()

        def dead(pid):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    return f.read().split(")")[-1].split()[0] == "Z"
            except OSError:
                return True
        eventually(lambda: all(map(dead, pids)), "the whole group is gone")


def test_a_loud_warning_where_scripts_are_open_to_all():
    with herald.Server(config={"enable_script_checks": True}, args=["-client=0.0.0.0"]) as s:
        assert "whoever reaches this agent can run commands" in s.log()
    with herald.Server(config={"enable_script_checks": True}) as s:
        assert "can run commands" not in s.log()


# --- TTL, thresholds, alias, maintenance --------------------------------------------------------

def test_ttl():
    with herald.Server() as s:
        register(s, Name="web", Check={"CheckID": "t", "TTL": "1s"})
        assert status_of(s, "t") == "critical"
        put(s, "/v1/agent/check/pass/t?note=good")
        row = s.get("/v1/agent/checks").json()["t"]
        assert (row["Status"], row["Output"]) == ("passing", "good"), row
        eventually(lambda: [i["Service"]["ID"] for i in
                            s.get("/v1/health/service/web?passing").json()] == ["web"], "in service")
        assert becomes(s, "t", "critical")["Output"] == "TTL expired"
        eventually(lambda: s.get("/v1/health/service/web?passing").json() == [], "out of service")
        put(s, "/v1/agent/check/update/t", {"status": "warning", "output": "x" * 70000})
        assert len(s.get("/v1/agent/checks").json()["t"]["Output"]) == 4096
        put(s, "/v1/agent/check/update/t", b"[]", expect=400)
        put(s, "/v1/agent/check/update/t", b"", expect=400)
        put(s, "/v1/agent/check/pass/nope", expect=500)


def test_thresholds():
    with herald.Server() as s, Web() as web:
        register(s, Name="web", Check={
            "CheckID": "c", "HTTP": web.url(), "Interval": "1s", "SuccessBeforePassing": 2,
            "FailuresBeforeCritical": 3})
        becomes(s, "c", "passing")
        assert len(web.seen) >= 2, web.seen
        web.status = 500
        web.seen.clear()
        becomes(s, "c", "critical")
        assert len(web.seen) >= 3, web.seen


def test_alias():
    with herald.Server(args=["-node=n1"]) as s:
        register(s, Name="db", Check={"CheckID": "t", "TTL": "100s"})
        register(s, Name="web", Check={"CheckID": "follow", "AliasService": "db"})
        becomes(s, "follow", "critical")
        put(s, "/v1/agent/check/pass/t")
        becomes(s, "follow", "passing", timeout=2)
        put(s, "/v1/agent/service/deregister/db")
        becomes(s, "follow", "critical", timeout=2)
        # Two that follow each other come to rest.
        register(s, Name="a", Check={"CheckID": "a", "AliasService": "b"})
        register(s, Name="b", Check={"CheckID": "b", "AliasService": "a"})
        assert s.get("/v1/status/leader", timeout=2).status == 200
        # Of another node.
        put(s, "/v1/catalog/register", {"Node": "far", "Address": "10.0.0.9", "Check": {
            "CheckID": "up", "Name": "up", "Status": "passing"}})
        put(s, "/v1/agent/check/register", {"Name": "far", "AliasNode": "far"})
        becomes(s, "far", "passing")


def test_maintenance():
    with herald.Server() as s:
        register(s, Name="web")
        eventually(lambda: len(s.get("/v1/health/service/web?passing").json()) == 1, "passing")
        put(s, "/v1/agent/service/maintenance/web?enable=true&reason=broken")
        row = s.get("/v1/agent/checks").json()["_service_maintenance:web"]
        assert (row["Status"], row["Notes"]) == ("critical", "broken"), row
        eventually(lambda: s.get("/v1/health/service/web?passing").json() == [], "out of service")
        assert s.get("/v1/agent/health/service/id/web?format=text").text() == "maintenance"
        put(s, "/v1/agent/service/maintenance/web?enable=false")
        put(s, "/v1/agent/maintenance?enable=true")
        assert "_node_maintenance" in s.get("/v1/agent/checks").json()
        eventually(lambda: s.get("/v1/health/service/web?passing").json() == [], "node is out")
        put(s, "/v1/agent/maintenance?enable=false")
        assert s.get("/v1/agent/checks").json() == {}
        eventually(lambda: len(s.get("/v1/health/service/web?passing").json()) == 1, "back")


def test_a_hash_waits_for_a_change():
    with herald.Server() as s:
        register(s, Name="web")
        r = s.get("/v1/agent/service/web")
        digest = r.headers["x-consul-contenthash"]
        assert r.json()["ContentHash"] == digest
        path = "/v1/agent/service/web?hash=%s&wait=" % digest
        assert s.get(path + "100ms").json() == r.json()
        with s.connect() as c:
            c.send_request("GET", path + "30s")
            assert not c.readable(0.3)
            register(s, Name="web", Port=99)
            got = c.read_response()
            assert got.json()["Port"] == 99, got
            assert got.headers["x-consul-contenthash"] != digest
        with s.connect() as c:
            c.send_request("GET", path.replace(digest, got.json()["ContentHash"]) + "60s")
            assert not c.readable(0.2)
        put(s, "/v1/agent/service/deregister/web")


# --- the catalog follows ------------------------------------------------------------------------

def test_the_catalog_follows():
    with herald.Server(args=["-node=n1"]) as s:
        register(s, Name="web", ID="w1", Tags=["a"], Port=80, Meta={"k": "v"},
                 Check={"TTL": "100s", "Status": "passing"})
        row = eventually(lambda: catalog(s, "web"), "registered")[0]
        assert row["Node"]["Node"] == "n1", row
        assert row["Service"]["ID"] == "w1" and row["Service"]["Tags"] == ["a"], row
        assert [c["CheckID"] for c in row["Checks"] if c["ServiceID"]] == ["service:w1"], row
        # A check that is replaced, and one that goes.
        put(s, "/v1/agent/service/register?replace-existing-checks=true",
            {"Name": "web", "ID": "w1", "Check": {"CheckID": "other", "TTL": "100s"}})
        assert set(s.get("/v1/agent/checks").json()) == {"other"}
        eventually(lambda: [c["CheckID"] for c in catalog(s, "web")[0]["Checks"]
                            if c["ServiceID"]] == ["other"], "replaced in the catalog")
        put(s, "/v1/agent/service/deregister/w1")
        eventually(lambda: catalog(s, "web") == [], "deregistered")


def test_registrations_for_other_nodes_are_left_alone():
    with herald.Server(args=["-node=n1"]) as s:
        put(s, "/v1/catalog/register", {"Node": "other", "Address": "10.0.0.9",
                                        "Service": {"Service": "web", "Port": 1}})
        register(s, Name="web", Port=2)
        eventually(lambda: len(catalog(s, "web") or []) == 2, "both are there")
        put(s, "/v1/agent/service/deregister/web")
        eventually(lambda: [i["Node"]["Node"] for i in catalog(s, "web")] == ["other"], "own gone")


def test_names_that_are_no_dns_labels_work_and_are_warned_about():
    with herald.Server() as s:
        register(s, Name="my service_ü", Tags=["a b"])
        assert "my service_ü" in s.get("/v1/agent/services").json()
        eventually(lambda: "is no DNS label" in s.log(), "a warning")
        put(s, "/v1/agent/service/deregister/my%20service_%C3%BC")
        assert s.get("/v1/agent/services").json() == {}


def test_a_thousand_services():
    with herald.Server() as s, s.connect(timeout=60) as c:
        for i in range(1000):
            body = json.dumps({"Name": "web", "ID": "w%d" % i, "Check": {"TTL": "900s"}})
            assert c.request("PUT", "/v1/agent/service/register", body).status == 200
        assert len(s.get("/v1/agent/services").json()) == 1000
        eventually(lambda: len(catalog(s, "web") or []) == 1000, "all are told", 60)


# --- bad input ----------------------------------------------------------------------------------

def test_bad_input():
    big = "x" * 600
    cases = [
        (b"", "EOF"), (b"nope", "invalid character"), (b"[]", "object"), (b"{", "EOF"),
        (b'{"Name":"x","Port":"80"}', "Port"), (b'{"Name":"x","Port":99999}', "Port"),
        (b'{"Name":"x","Tags":{}}', "Tags"), (b'{"Name":"x","Meta":{"k":1}}', "Meta"),
        (b'{"Name":"x","Meta":{"bad key":""}}', "invalid characters"),
        (json.dumps({"Name": "x", "Meta": {"k%d" % i: "" for i in range(65)}}).encode(), "64"),
        (json.dumps({"Name": "x", "Meta": {"k" * 129: ""}}).encode(), "too long"),
        (json.dumps({"Name": "x", "Meta": {"k": "v" * 513}}).encode(), "too long"),
        (json.dumps({"Name": big}).encode(), ""), (json.dumps({"Name": "x", "ID": big}).encode(), ""),
        (b'{"Name":"a\\u0000b"}', ""),
        (b'{"Name":"x","Check":{"Interval":"1s","HTTP":"http://x","TTL":"1s"}}', "both"),
        (b'{"Name":"x","Check":{"TTL":"-1s"}}', "duration"),
        (b'{"Name":"x","Check":{"Script":"true","Interval":"1s"}}', "args"),
        (b'{"Name":"x","Check":' * 40 + b"1" + b"}" * 40, ""),
        (json.dumps({"Name": "x", "Tags": ["t"] * 2000}).encode(), ""),
        (json.dumps({"Name": "x", "Checks": [{"TTL": "1s"}] * 300}).encode(), ""),
    ]
    with herald.Server() as s:
        for body, says in cases:
            r = s.put("/v1/agent/service/register", body)
            assert r.status == 400, (body[:80], r)
            assert says in r.text(), (body[:80], r.text())
        assert s.get("/v1/agent/services").json() == {}
        for path in ("/v1/agent/check/pass/" + big, "/v1/agent/service/deregister/" + big,
                     "/v1/agent/service/" + big, "/v1/agent/health/service/id/a%0d%0ab"):
            method = "GET" if "service/" in path and "dereg" not in path else "PUT"
            assert s.request(method, path).status in (200, 400, 404), path
        assert s.put("/v1/agent/check/register", b'{"Name":"x"}').status == 400
        assert s.put("/v1/agent/maintenance?enable=maybe").status == 400


# --- files, reload, restart ---------------------------------------------------------------------

FIRST = {"server": True, "leave_on_terminate": True, "ui": True,
         "service": {"name": "api", "tags": ["api", "prod"], "port": 80,
                     "check": {"ttl": "100s", "status": "passing"}},
         "services": [{"id": "b", "name": "batch"}],
         "checks": [{"id": "mem", "name": "memory", "ttl": "100s"}],
         "node_meta": {"rack": "a1"}}


def write(path, value):
    with open(path + ".new", "w") as f:
        json.dump(value, f)
    os.rename(path + ".new", path)


def test_files_and_reload():
    with herald.Server(config=FIRST, args=["-node-meta=zone:z1"]) as s:
        assert set(s.get("/v1/agent/services").json()) == {"api", "b"}
        assert set(s.get("/v1/agent/checks").json()) == {"service:api", "mem"}
        eventually(lambda: catalog(s, "api"), "told")
        node = catalog(s, "api")[0]["Node"]
        assert node["Meta"]["rack"] == "a1" and node["Meta"]["zone"] == "z1", node
        register(s, Name="mine")
        after = dict(FIRST, service={"name": "api", "port": 81}, services=[],
                     checks=[{"id": "mem2", "name": "memory", "ttl": "100s"}])
        write(s.config, after)
        put(s, "/v1/agent/reload")
        services = s.get("/v1/agent/services").json()
        assert set(services) == {"api", "mine"} and services["api"]["Port"] == 81, services
        assert "mem2" in s.get("/v1/agent/checks").json()
        assert "mem" not in s.get("/v1/agent/checks").json()
        # What cannot be is said, and nothing changes.
        write(s.config, dict(FIRST, service={"name": ""}))
        put(s, "/v1/agent/reload")
        assert "Missing service name" in s.log()
        assert set(s.get("/v1/agent/services").json()) == {"api", "mine"}


def test_a_wrong_file_is_named_with_its_path():
    for config, says in [
            ({"service": {"name": "x", "bogus": 1}}, "service.bogus: unknown key"),
            ({"services": [{"name": "x"}, {"name": "y", "check": {"htp": "z"}}]},
             "services[1].check.htp: unknown key"),
            ({"service": {"name": "x", "check": {"http": "http://x"}}}, "service: Invalid check"),
            ({"check": {"ttl": "1s"}}, "Missing check name"),
            ({"services": [1]}, "services[0]: expected an object")]:
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "c.json")
            write(path, config)
            code, out, err = herald.run([herald.program(), "agent", "-dev", "-config-file=" + path])
            assert code == 1 and says in err and "c.json" in err, (code, err)
            code, out, err = herald.run([herald.program(), "validate", path])
            assert code == 1 and says in out + err, (code, out, err)


def test_a_restart_keeps_registrations():
    with tempfile.TemporaryDirectory() as d, herald.Server(data_dir=d) as s:
        register(s, Name="web", ID="W/1", Port=80, Check={"CheckID": "t", "TTL": "100s"})
        register(s, Name="gone")
        put(s, "/v1/agent/check/register", {"Name": "own", "TTL": "100s", "Notes": "n"})
        put(s, "/v1/agent/check/pass/t")
        put(s, "/v1/agent/service/maintenance/W%2F1?enable=true&reason=why")
        put(s, "/v1/agent/service/deregister/gone")
        before = s.get("/v1/agent/services").json(), s.get("/v1/agent/checks").json()
        s.kill()
        with open(os.path.join(d, "services", "id-broken.json"), "w") as f:
            f.write("{")
        s.start()
        after = s.get("/v1/agent/services").json(), s.get("/v1/agent/checks").json()
        assert after == before, (before, after)
        assert set(after[1]) == {"t", "own", "_service_maintenance:W/1"}, after
        eventually(lambda: catalog(s, "web"), "still told")
        assert "id-broken.json" in s.log()


# --- the command line ---------------------------------------------------------------------------

def test_command_line():
    with herald.Server(args=["-node=n1"]) as s, tempfile.TemporaryDirectory() as d:
        def run(*words):
            return herald.run([herald.program()] + list(words),
                              env={"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port})
        assert run("services", "register", "-name=web", "-port=80", "-tag=x", "-meta=a=b") == \
            (0, "Registered service: web\n", "")
        row = s.get("/v1/agent/services").json()["web"]
        assert (row["Port"], row["Tags"], row["Meta"]) == (80, ["x"], {"a": "b"}), row
        assert run("services", "deregister", "-id=web") == (0, "Deregistered service: web\n", "")
        path = os.path.join(d, "s.json")
        write(path, {"services": [{"name": "a"}, {"name": "b", "id": "b1"}]})
        assert run("services", "register", path) == \
            (0, "Registered service: a\nRegistered service: b\n", "")
        assert set(s.get("/v1/agent/services").json()) == {"a", "b1"}
        assert run("services", "deregister", path)[0] == 0
        assert s.get("/v1/agent/services").json() == {}
        assert run("maint", "-enable", "-reason=x") == (0, "Node maintenance is now enabled\n", "")
        assert run("maint") == (0, "Node:\n  Name:   n1\n  Reason: x\n\n", "")
        assert run("maint", "-disable") == (0, "Node maintenance is now disabled\n", "")
        assert run("services", "register")[0] == 1
        assert run("services", "register", "-name=x", "-meta=y")[0] == 1
        code, out, err = run("maint", "-enable", "-service=nope")
        assert code == 1 and 'No service registered with ID "nope"' in err, err


herald.main([
    test_the_recording,
    test_http_check,
    test_redirects_and_metadata_are_not_followed,
    test_checks_that_hang_or_print_megabytes,
    test_tcp_udp_and_h2_checks,
    test_grpc_and_h2_ping_checks,
    test_scripts_are_off_unless_allowed,
    test_scripts,
    test_a_script_that_never_ends_is_killed_with_its_children,
    test_a_loud_warning_where_scripts_are_open_to_all,
    test_ttl,
    test_thresholds,
    test_alias,
    test_maintenance,
    test_a_hash_waits_for_a_change,
    test_the_catalog_follows,
    test_registrations_for_other_nodes_are_left_alone,
    test_names_that_are_no_dns_labels_work_and_are_warned_about,
    test_a_thousand_services,
    test_bad_input,
    test_files_and_reload,
    test_a_wrong_file_is_named_with_its_path,
    test_a_restart_keeps_registrations,
    test_command_line,
])
