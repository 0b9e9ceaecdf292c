#!/usr/bin/env python3
"""Client agents: three servers and two agents as processes, each at an address of its own.

What a client of an agent sees: reads, writes, blocking queries, change streams as from a server;
another server when its own dies; what was known, said to be stale, when all are gone.
"""
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import cluster  # noqa: E402
import herald  # noqa: E402

WATCHERS = 500
world = None


class Agent(cluster.Node):
    """A client agent beside a cluster's servers."""

    def __init__(self, servers, number):
        super().__init__(servers, servers.count + number, None)
        self.name = "a%d" % (number + 1)
        self.log_path = os.path.join(servers.dir, self.name + ".log")
        self.config_file = os.path.join(servers.dir, self.name + ".json")
        with open(self.config_file, "w", encoding="utf-8") as f:
            json.dump({"server": False, "limits": {"http_max_conns_per_client": 10000}}, f)

    def start(self):
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                [herald.program(), "agent", "-config-file=" + self.config_file,
                 "-data-dir=" + os.path.join(self.cluster.dir, self.name), "-node=" + self.name,
                 "-bind=" + self.address, "-client=" + self.address] +
                ["-retry-join=" + n.address for n in self.cluster.nodes],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.cluster.undo.kill_later(self.process.pid)
        self.expected = True

    def ready(self):
        try:
            return self.get("/v1/kv/nothing", timeout=5).status == 404
        except (OSError, EOFError):
            return False

    def server(self):
        """The node of the server that it uses, as its log says."""
        lines = [line for line in self.log().splitlines() if "rpc: Connected to a server" in line]
        name = lines[-1].split("server=")[1].split()[0]
        return next(n for n in self.cluster.nodes if n.name == name)

    def metric(self, name):
        for kind in ("Gauges", "Counters"):
            for row in self.get("/v1/agent/metrics").json()[kind]:
                if row["Name"] == "consul." + name:
                    return row.get("Value", row.get("Count"))
        return 0


class World:
    def __init__(self):
        self.servers = cluster.Cluster("herald", 3, network="loopback")
        self.agents = [Agent(self.servers, 0), Agent(self.servers, 1)]
        for a in self.agents:
            a.start()
        for a in self.agents:
            herald.eventually(a.ready, "agent %s is ready" % a.name, 30)

    def close(self):
        for a in self.agents:
            log = a.log()
            a.kill()
            assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log, log[-4000:]
        self.servers.close()


def server_metric(node, name):
    return Agent.metric(node, name)


def test_kv_through_an_agent():
    a, b = world.agents
    assert a.put("/v1/kv/x/one", b"1").json() is True
    got = b.get("/v1/kv/x/one?raw")
    assert got.status == 200 and got.body == b"1", got
    assert got.headers["x-consul-knownleader"] == "true" and got.index() > 0
    assert got.headers["content-security-policy"] == "sandbox"
    assert b.request("DELETE", "/v1/kv/x/one").json() is True
    assert a.get("/v1/kv/x/one").status == 404
    assert a.put("/v1/kv/%C3%A4%20b%2Fc?flags=7", b"uml").json() is True
    row = b.get("/v1/kv/?recurse").json()[-1]
    assert row["Key"] == "\u00e4 b/c" and row["Flags"] == 7, row


def test_agent_speaks_for_itself():
    a = world.agents[0]
    self_ = a.get("/v1/agent/self").json()
    assert self_["Config"]["NodeName"] == "a1" and self_["Config"]["Server"] is False
    herald.eventually(lambda: a.get("/v1/agent/self").json()["Stats"]["consul"]["known_servers"]
                      == "3", "it knows three servers")
    roles = {"s1": "consul", "s2": "consul", "s3": "consul", "a1": "node", "a2": "node"}
    herald.eventually(lambda: roles == {
        m["Name"]: m["Tags"]["role"] for m in a.get("/v1/agent/members").json()}, "all are there")
    assert a.get("/v1/status/leader").json() == world.servers.nodes[0].get("/v1/status/leader").json()
    assert a.get("/v1/nothing").status == 404
    assert a.request("POST", "/v1/status/leader", b"").status == 405


def test_errors_are_the_servers():
    a = world.agents[0]
    s = world.servers.nodes[0]
    for path in ("/v1/kv/a?index=x", "/v1/kv/a?wait=x&index=1", "/v1/kv/a?stale&consistent",
                 "/v1/kv/a?dc=moon"):
        mine, theirs = a.get(path), s.get(path)
        assert (mine.status, mine.body) == (theirs.status, theirs.body), (path, mine, theirs)
    assert a.put("/v1/kv/big", b"x" * 600000).status == 413


def test_large_values_pass():
    a, b = world.agents
    value = os.urandom(500000)
    for i in range(12):
        assert a.put("/v1/kv/large/%d" % i, value).json() is True
    assert b.get("/v1/kv/large/7?raw").body == value
    whole = b.get("/v1/kv/large/?recurse", timeout=60).json()     # 8 MB: passed on in pieces
    assert len(whole) == 12
    assert b.request("DELETE", "/v1/kv/large/?recurse").json() is True


def test_blocking_query_wakes():
    a, b = world.agents
    a.put("/v1/kv/block", b"1")
    index = b.get("/v1/kv/block").index()
    with b.connect(timeout=30) as c:
        c.send_request("GET", "/v1/kv/block?index=%d&wait=60s" % index)
        assert not c.readable(0.3)
        a.put("/v1/kv/block", b"2")
        r = c.read_response()
        assert r.status == 200 and r.index() > index and r.json()[0]["Value"] == "Mg=="
        begun = time.monotonic()
        r = c.request("GET", "/v1/kv/block?index=%d&wait=500ms" % r.index())
        assert r.status == 200 and 0.4 < time.monotonic() - begun < 10 * herald.SLOW
        assert r.json()[0]["Value"] == "Mg=="


def test_many_watchers_cost_the_servers_one():
    a, b = world.agents
    b.put("/v1/kv/many", b"1")
    index = a.get("/v1/kv/many").index()
    before = sum(server_metric(n, "query.waiting") for n in world.servers.nodes)
    watchers = [a.connect(timeout=60) for _ in range(WATCHERS)]
    for c in watchers:
        c.send_request("GET", "/v1/kv/many?index=%d&wait=120s" % index)
    herald.eventually(lambda: a.metric("forward.watchers") >= WATCHERS, "all wait", 30)
    waiting = sum(server_metric(n, "query.waiting") for n in world.servers.nodes) - before
    assert waiting == 1, waiting
    b.put("/v1/kv/many", b"2")
    seen = set()
    for c in watchers:
        r = c.read_response()
        assert r.status == 200 and r.json()[0]["Value"] == "Mg==", r
        seen.add(r.index())
        c.close()
    assert len(seen) == 1, seen


def test_other_tokens_and_arguments_are_other_queries():
    a = world.agents[0]
    index = a.put("/v1/kv/many", b"3") and a.get("/v1/kv/many").index()
    paths = ["/v1/kv/many?index=%d" % index, "/v1/kv/many?index=%d&raw" % index,
             "/v1/kv/many?index=%d&token=other" % index, "/v1/kv/many?wait=60s&index=%d" % index]
    before = a.metric("forward.upstream")
    watchers = [a.connect(timeout=30) for _ in paths]
    for c, path in zip(watchers, paths):
        c.send_request("GET", path)
    herald.eventually(lambda: a.metric("forward.watchers") >= 3, "all wait")
    # An unknown token is refused, or is nobody's where there are no tokens.
    assert a.metric("forward.upstream") - before in (2, 3)
    for c in watchers:
        c.close()


def test_streams_pass():
    a, b = world.agents
    with a.connect(timeout=30) as c:
        stream = herald.Ndjson(c, "/v1/stream?topic=kv&prefix=st/")
        assert stream.response.status == 200, stream.response
        b.put("/v1/kv/st/1", b"x")
        event = stream.next_event()
        assert "st/1" in json.dumps(event), event
    with a.connect(timeout=30) as c:
        ws = herald.WebSocket(c, "/v1/stream")
        assert ws.response.status == 101, ws.response
        ws.send({"type": "subscribe", "id": 1, "topic": "kv", "prefix": "st/", "snapshot": False})
        assert ws.next_of("subscribed", "error")["type"] == "subscribed"
        b.put("/v1/kv/st/2", b"y")
        while True:
            got = ws.next()
            if "st/2" in json.dumps(got):
                break
        ws.close()


def test_services_reach_the_catalog():
    """What an agent has registered is in the servers' catalog, and goes from it."""
    a, server = world.agents[0], world.servers.nodes[1]

    def passing():
        rows = server.get("/v1/health/service/api?passing").json()
        return [r["Service"]["ID"] for r in rows]

    r = a.put("/v1/agent/service/register", json.dumps({
        "Name": "api", "ID": "api-1", "Tags": ["prod"], "Port": 80,
        "Check": {"CheckID": "ttl", "TTL": "600s"}}))
    assert r.status == 200, r
    herald.eventually(lambda: server.get("/v1/catalog/service/api").json(), "it is in the catalog")
    row = server.get("/v1/catalog/service/api").json()[0]
    assert row["Node"] == "a1" and row["Address"] == a.address and row["ServicePort"] == 80, row
    assert passing() == []
    index = a.get("/v1/health/service/api?passing").index()
    with a.connect(timeout=30) as c:
        c.send_request("GET", "/v1/health/service/api?passing&index=%d&wait=60s" % index)
        assert a.put("/v1/agent/check/pass/ttl").status == 200
        got = c.read_response()
        assert [r["Service"]["ID"] for r in got.json()] == ["api-1"], got
    # Another server may apply what this one has seen a moment later.
    herald.eventually(lambda: passing() == ["api-1"], "the other server has it too")
    assert a.put("/v1/agent/check/fail/ttl").status == 200
    herald.eventually(lambda: passing() == [], "it is critical")
    assert a.put("/v1/agent/service/deregister/api-1").status == 200
    herald.eventually(lambda: not server.get("/v1/catalog/service/api").json(), "it is gone")


def test_configured_service_reaches_the_catalog():
    b, server = world.agents[1], world.servers.nodes[2]
    with open(b.config_file, encoding="utf-8") as f:
        config = json.load(f)
    config["service"] = {"name": "web", "tags": ["web", "prod"], "port": 8080}
    with open(b.config_file, "w", encoding="utf-8") as f:
        json.dump(config, f)
    b.process.send_signal(1)     # SIGHUP
    row = herald.eventually(lambda: server.get("/v1/catalog/service/web").json(), "it is there")[0]
    assert row["Node"] == "a2" and row["ServiceTags"] == ["web", "prod"], row


def test_forwarded_requests_are_of_the_agents_node():
    a = world.agents[0]
    herald.eventually(lambda: a.get("/v1/catalog/node/a1").json(), "its node is known")
    made = a.put("/v1/session/create", json.dumps({"TTL": "60s", "Checks": []}))
    assert made.status == 200, made
    info = a.get("/v1/session/info/" + made.json()["ID"]).json()
    assert info[0]["Node"] == "a1", info
    assert a.put("/v1/session/destroy/" + made.json()["ID"]).json() is True


def test_agents_rows_are_for_agents():
    """Only an agent, and only of its own node."""
    server = world.servers.nodes[0]
    assert server.get("/v1/internal/agent/rows/a1").status == 403
    assert server.put("/v1/internal/agent/command", b"x").status == 403
    head = {"X-Herald-Agent": "a1"}
    assert server.request("GET", "/v1/internal/agent/rows/a1", headers=head).status == 403


def test_agent_endpoints_are_not_for_other_agents():
    """Over the RPC port nobody stops a server, or reads its metrics."""
    world.agents[0].get("/v1/kv/many")
    frames = rpc_hello("x", "dc1")
    with herald.Connection(8300, host=world.servers.nodes[0].address) as c:
        c.send(frames + rpc_request(b"PUT /v1/agent/leave HTTP/1.1\r\nHost: x\r\n"
                                    b"Connection: close\r\nContent-Length: 0\r\n\r\n"))
        assert b" 403 " in c.read_until(b"\r\n\r\n")


def test_strangers_on_the_rpc_port_are_let_go():
    address = world.servers.nodes[0].address
    for bad in (b"HRPCxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", b"GET / HTTP/1.1\r\n\r\n" * 4,
                rpc_hello("x", "mars"), rpc_hello("x", "dc1") + b"\xff" * 100,
                rpc_hello("x", "dc1")[:-1] + b"\x00" + b"\x00" * 64):
        with herald.Connection(8300, host=address) as c:
            c.send(bad)
            c.read_all()
    assert world.agents[0].get("/v1/kv/many").status == 200


def rpc_frame(payload):
    import zlib
    length = len(payload).to_bytes(4, "little")
    return length + zlib.crc32(length + payload).to_bytes(4, "little") + payload


def rpc_hello(node, dc):
    text = b"".join(len(t).to_bytes(4, "little") + t.encode() for t in (node, dc))
    return b"HRPC\x01\0\0\0" + rpc_frame(b"\x01\0\0\0\0" + text)


def rpc_request(request):
    return rpc_frame(b"\x02\x01\0\0\0") + rpc_frame(b"\x03\x01\0\0\0" + request)


def test_failover():
    """The server that the agent uses dies: reads go on, who waits goes on waiting."""
    a = world.agents[0]
    index = a.get("/v1/kv/many").index()
    used = a.server()
    waiter = a.connect(timeout=60)
    waiter.send_request("GET", "/v1/kv/many?index=%d&wait=120s" % index)
    herald.eventually(lambda: a.metric("forward.upstream") >= 1, "it waits")
    used.kill()
    r = herald.eventually(lambda: (lambda r: r.status == 200 and r)(
        a.get("/v1/kv/many?stale", timeout=30)), "reads go on", 30)
    assert r.headers.get("x-cache") is None, r.headers
    assert not waiter.readable(0.1), "a waiting query hears nothing of it"
    herald.eventually(lambda: a.write("many", b"4"), "a leader takes writes", 60)
    got = waiter.read_response()
    assert got.status == 200 and got.json()[0]["Value"] == "NA==", got
    waiter.close()
    assert a.metric("rpc.failovers") >= 1
    used.start()
    world.servers.whole()


def test_paused_server_is_left():
    """A server that says nothing any more is as good as dead."""
    a = world.agents[1]
    assert a.get("/v1/kv/many?stale").status == 200
    used = a.server()
    used.pause()
    try:
        r = herald.eventually(lambda: quiet_get(a, "/v1/kv/many?stale"), "another answers", 60)
        assert r.status == 200
        assert a.server() is not used
    finally:
        used.go_on()
    world.servers.whole()


def quiet_get(node, path):
    try:
        r = node.get(path, timeout=20)
    except (OSError, EOFError):
        return None
    return r if r.status == 200 and "x-cache" not in r.headers else None


def test_stopping_server_hands_its_agents_over():
    """SIGTERM of the server in use: no request fails."""
    a = world.agents[0]
    a.put("/v1/kv/many", b"7")
    used = a.server()
    failed = []
    stop = threading.Event()

    def reads():
        while not stop.is_set():
            r = a.get("/v1/kv/many?stale", timeout=30)
            if r.status != 200 or "x-cache" in r.headers:
                failed.append(r)

    t = threading.Thread(target=reads)
    t.start()
    try:
        used.stop()
        herald.eventually(lambda: a.server() is not used, "it uses another", 30)
    finally:
        stop.set()
        t.join()
    assert not failed, failed[:3]
    used.start()
    world.servers.whole()


def test_member_leaves_on_sigterm():
    b = world.agents[1]
    assert b.stop() == 0
    status = {m["Name"]: m["Status"] for m in world.servers.nodes[0].get("/v1/agent/members").json()}
    assert status["a2"] == 3, status
    b.start()
    herald.eventually(b.ready, "it is back", 30)


def test_all_servers_lost():
    """What is known is answered, and said to be old; the rest is refused."""
    a = world.agents[0]
    known = a.get("/v1/kv/many")
    index = known.index()
    for n in world.servers.nodes:
        n.kill()
    r = herald.eventually(lambda: (lambda r: r.headers.get("x-cache") == "STALE" and r)(
        a.get("/v1/kv/many", timeout=30)), "it is said to be stale", 30)
    assert r.status == 200 and r.body == known.body and r.index() == index, r
    assert r.headers["x-consul-knownleader"] == "false", r.headers
    assert int(r.headers["x-consul-lastcontact"]) >= 0 and int(r.headers["age"]) >= 0
    older = a.get("/v1/kv/many?index=1&wait=5s", timeout=60)
    assert older.status == 200 and older.headers.get("x-cache") == "STALE", older.headers
    begun = time.monotonic()
    same = a.get("/v1/kv/many?index=%d&wait=2s" % index, timeout=60)
    assert same.status == 200 and same.headers.get("x-cache") == "STALE", same.headers
    assert time.monotonic() - begun > 1.5, "who has the newest waits"
    for r in (a.get("/v1/kv/never-asked", timeout=30), a.put("/v1/kv/x", b"1", timeout=30),
              a.get("/v1/kv/many?consistent", timeout=30), a.get("/v1/stream", timeout=30)):
        assert r.status == 500 and r.body == b"No known Consul servers", r
    assert a.get("/v1/agent/self").status == 200
    for n in world.servers.nodes:
        n.start()
    world.servers.whole()
    herald.eventually(lambda: quiet_get(a, "/v1/kv/many"), "the servers answer again", 60)


if __name__ == "__main__":
    world = World()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    try:
        herald.main(tests)
    finally:
        world.close()
