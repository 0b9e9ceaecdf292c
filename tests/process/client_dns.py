#!/usr/bin/env python3
"""DNS of client agents: they have no catalog, so a server makes the answer; what is none of ours
goes to their own recursors. Real processes, each at an address of its own, asked with dig and with
packets made by hand."""
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import client  # noqa: E402  pylint: disable=wrong-import-position
import cluster  # noqa: E402  pylint: disable=wrong-import-position
import dns  # noqa: E402  pylint: disable=wrong-import-position
import herald  # noqa: E402  pylint: disable=wrong-import-position

DNS = 8600
SERVFAIL, REFUSED = 2, 5
# What a question may take when no server answers (DNS_RELAY_MS), and room for a slow machine.
BOUND = 2.5
RELAYS = 512        # how many questions may wait at once (DNS_RELAYS_MAX)
world = None


class Agent(dns.Asked, client.Agent):
    """A client agent whose DNS is asked."""
    dns_port = DNS

    def __init__(self, servers, number, config=None):
        super().__init__(servers, number)
        self.host = self.address
        with open(self.config_file, encoding="utf-8") as f:
            settings = json.load(f)
        settings.update(config or {})
        with open(self.config_file, "w", encoding="utf-8") as f:
            json.dump(settings, f)

    def register(self, **service):
        token = {"X-Consul-Token": "root"} if "acl" in self.cluster.kind.config else {}
        r = self.put("/v1/agent/service/register", json.dumps(service), headers=token)
        assert r.status == 200, r


class World:
    def __init__(self):
        self.recursor = dns.Recursor()
        # The leader confirms each answer: questions wait on servers too. They have a recursor, of
        # which agents without one say nothing.
        self.servers = cluster.Cluster("herald", 3, network="loopback", config={
            "recursors": [self.recursor.address], "dns_config": {"allow_stale": False}})
        self.agent = Agent(self.servers, 0, {"dns_config": {"udp_answer_limit": 2}})
        self.other = Agent(self.servers, 1, {"recursors": [self.recursor.address]})
        self.agents = [self.agent, self.other]
        for a in self.agents:
            a.start()
        for a in self.agents:
            herald.eventually(a.ready, "agent %s is ready" % a.name, 30)
        self.agent.register(ID="api1", Name="api", Tags=["prod"], Port=8080, Address="10.1.1.1")
        herald.eventually(lambda: self.agent.short("api.service.consul") == ["10.1.1.1"],
                          "the catalog has it", 30)

    def close(self):
        for a in self.agents:
            log = a.log()
            a.kill()
            assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log, log[-4000:]
        self.servers.close()


def test_names():
    a = world.agent
    for how in ("+notcp", "+tcp"):
        assert a.short(how, "api.service.consul") == ["10.1.1.1"], how
        assert a.short(how, "prod.api.service.dc1.consul") == ["10.1.1.1"], how
        for name in ("api.service.consul", "_api._tcp.service.consul"):
            assert a.short(how, name, "SRV") == ["1 1 8080 0a010101.addr.dc1.consul."], how
        status, flags, sections = a.dig(how, "+noedns", "api.service.consul", "SRV")
        assert status == "NOERROR" and "aa" in flags and "ra" not in flags, flags
        assert sections["ADDITIONAL"][0].split()[3:] == ["A", "10.1.1.1"], sections
        status, flags, sections = a.dig(how, "nope.service.consul")
        assert status == "NXDOMAIN" and "aa" in flags and "SOA" in sections["AUTHORITY"][0], status
        assert a.dig(how, "www.example.com")[0] == "REFUSED"
        assert a.dig(how, "-x", "10.7.7.7")[0] == "REFUSED"
        assert a.short(how, "a1.node.consul") == [a.address]
        assert a.short(how, "-x", "10.1.1.1") == ["api.service.dc1.consul."]
    same = [s.short("api.service.consul") for s in world.agents]
    assert same == [["10.1.1.1"]] * 2, same


def test_answer_is_the_servers():
    """The same message, asked of a server, has the same answer."""
    a = world.other
    server = dns.Asked()
    server.host, server.dns_port = world.servers.nodes[0].address, DNS
    for name, kind in (("api.service.consul", 1), ("api.service.consul", 33), ("nope.consul", 1),
                       ("API.Service.Consul", 255)):
        for edns in (None, 1232):
            packet = dns.query(name, kind, ident=77, edns=edns)
            # Again if a second went by: it is in the SOA.
            herald.eventually(lambda p=packet: dns.exchange(a, p) == dns.exchange(server, p),
                              "the same answer to %s, %d, EDNS %s" % (name, kind, edns))


def test_limits_are_the_agents():
    """udp_answer_limit; and over TCP all of them."""
    a, b = world.agents
    for i in range(6):
        a.register(ID="many%d" % i, Name="many", Port=i + 1, Address="10.3.0.%d" % (i + 1))
    herald.eventually(lambda: len(a.short("+tcp", "many.service.consul")) == 6, "all are there", 30)
    assert len(a.short("many.service.consul")) == 2
    assert len(b.short("many.service.consul")) == 3
    assert len(a.dig("+bufsize=1232", "many.service.consul")[2]["ANSWER"]) == 6


def test_recursors_are_the_agents():
    b = world.other
    status, flags, sections = b.dig("www.example.com")
    assert status == "NOERROR" and "ra" in flags and "aa" not in flags, flags
    assert sections["ANSWER"][0].split()[-1] == "9.8.7.6"
    assert "ra" in b.dig("api.service.consul")[1]
    before = len(world.recursor.seen)
    b.dig("-x", "10.7.7.7")                     # nobody here has it: others may
    assert len(world.recursor.seen) > before
    # A name of ours that points outside: the server asks, as it makes the answer.
    world.agent.register(ID="ext", Name="ext", Port=1, Address="www.example.com")
    want = [["CNAME", "www.example.com."], ["A", "9.8.7.6"]]
    for a in world.agents:
        herald.eventually(lambda a=a: want == [
            line.split()[3:] for line in a.dig("ext.service.consul")[2]["ANSWER"]], "it is asked")


def test_garbage():
    a = world.agent
    head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    relayed = a.metric("dns.relayed")
    for tail in (b"\xc0\x0c\0\1\0\1", b"\x7f" + b"a" * 127, b"", b"\0\0\1\0\1trailing"):
        assert dns.code(dns.exchange(a, head + tail)) == 1, tail
    with dns.udp(a, 5.0) as sock:
        for silent in (b"", b"x" * 11, b"\0\7\x81\0" + dns.query("api.service.consul")[4:],
                       b"y" * 5000):
            sock.send(silent)
        assert a.metric("dns.relayed") == relayed, "nothing of it goes to a server"
        sock.send(dns.query("api.service.consul", ident=99))
        assert sock.recv(4096)[:2] == struct.pack(">H", 99)
    with dns.tcp(a) as sock:
        sock.sendall(b"\xff\xff" + b"x" * 10)
        assert dns.read_framed(sock) is None, "a question of 64 KiB is waited for"
    with dns.tcp(a) as sock:
        sock.sendall(dns.framed(dns.query("api.service.consul"))[:9])
    packet = dns.query("nope.service.consul", 255)
    assert len(dns.exchange(a, packet)) <= 3 * len(packet)


def test_many_at_once():
    """Each is answered, in its own name; who goes away meanwhile takes nobody along."""
    a = world.agent
    with dns.udp(a, 20.0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for i in range(200):
            sock.send(dns.query("api.service.consul" if i % 2 else "nope.consul", ident=i))
        seen = {}
        while len(seen) < 200:
            packet = sock.recv(4096)
            seen[struct.unpack(">H", packet[:2])[0]] = dns.code(packet)
    assert seen == {i: 0 if i % 2 else 3 for i in range(200)}
    with dns.tcp(a) as gone:
        gone.sendall(b"".join(dns.framed(dns.query("foo.consul", ident=i)) for i in range(150)))
    with dns.tcp(a) as sock:
        sock.sendall(b"".join(dns.framed(dns.query("foo.consul", ident=i)) for i in range(200)))
        assert sorted(idents(sock, 200)) == list(range(200))


def idents(sock, count):
    """Of so many answers of a connection."""
    held, seen = b"", []
    while len(seen) < count:
        part = sock.recv(65536)
        assert part, "it was closed"
        held += part
        while len(held) >= 2 and len(held) >= 2 + struct.unpack(">H", held[:2])[0]:
            seen.append(struct.unpack(">H", held[2:4])[0])
            held = held[2 + struct.unpack(">H", held[:2])[0]:]
    return seen


def test_internal_route_is_for_agents():
    node = world.servers.nodes[0]
    for path in ("/v1/internal/agent/dns?tcp", "/v1/internal/agent/dns"):
        r = node.request("POST", path, dns.query("api.service.consul"))
        assert r.status == 403, r
    for path, body in (("?tcp", b""), ("?tcp", b"x"), ("", dns.query("foo.consul")),
                       ("?udp=x", dns.query("foo.consul")), ("?udp=99999999", b"x" * 20),
                       ("?tcp", b"x" * 5000)):
        r = world.agent.request("POST", "/v1/internal/agent/dns" + path, body)
        assert r.status == 400, (path, r)
    r = world.agent.request("POST", "/v1/internal/agent/dns?udp=3",
                            dns.query("api.service.consul", ident=5))
    assert r.status == 200 and r.body[:2] == b"\0\5", r
    assert r.headers["content-type"] == "application/dns-message", r.headers


def test_another_server_answers():
    a = world.agent
    used = a.server()
    used.kill()
    codes = []
    herald.eventually(lambda: codes.append(dns.code(dns.exchange(
        a, dns.query("api.service.consul")))) or codes[-1] == 0, "another answers", 30)
    assert a.server() is not used
    used.start()
    world.servers.whole()


def test_silent_server():
    """It holds no question longer than the time for one."""
    a = world.agent
    assert dns.code(dns.exchange(a, dns.query("api.service.consul"))) == 0
    used = a.server()
    used.pause()
    try:
        began = time.monotonic()
        got = dns.code(dns.exchange(a, dns.query("api.service.consul")))
        assert got == SERVFAIL and time.monotonic() - began < (BOUND + 2) * herald.SLOW, got
        # More at once than may wait: those are answered at once, the others when their time is up.
        socks = [dns.tcp(a) for _ in range(10)]
        for sock in socks:
            sock.sendall(b"".join(dns.framed(dns.query("foo.consul", ident=i)) for i in range(60)))
        began = time.monotonic()
        herald.eventually(lambda: a.metric("dns.servfail") >= 1 + 600 - RELAYS, "some are refused")
        for sock in socks:
            assert sorted(idents(sock, 60)) == list(range(60))
            sock.close()
        assert time.monotonic() - began < (BOUND + 2) * herald.SLOW
        herald.eventually(lambda: dns.code(dns.exchange(a, dns.query("foo.consul"))) == 3,
                          "another answers", 60)
    finally:
        used.go_on()
    world.servers.whole()


def test_all_servers_lost():
    a, b = world.agents
    for n in world.servers.nodes:
        n.kill()
    for _ in range(3):
        for packet in (dns.query("api.service.consul"), dns.query("foo.consul", 33, edns=1232)):
            began = time.monotonic()
            assert dns.code(dns.exchange(a, packet)) == SERVFAIL
            assert time.monotonic() - began < BOUND * herald.SLOW
    with dns.tcp(a) as sock:
        sock.sendall(dns.framed(dns.query("api.service.consul")))
        assert dns.code(dns.read_framed(sock)) == SERVFAIL
    assert dns.code(dns.exchange(a, dns.query("www.example.com"))) == REFUSED
    assert b.dig("www.example.com")[0] == "NOERROR", "others' names need no server"
    for n in world.servers.nodes:
        n.start()
    world.servers.whole()
    herald.eventually(lambda: a.short("api.service.consul") == ["10.1.1.1"], "they answer again",
                      60)


def test_reload():
    b = world.other
    with open(b.config_file, encoding="utf-8") as f:
        settings = json.load(f)
    settings["recursors"] = []
    with open(b.config_file, "w", encoding="utf-8") as f:
        json.dump(settings, f)
    b.process.send_signal(signal.SIGHUP)
    herald.eventually(lambda: b.dig("www.example.com")[0] == "REFUSED", "it has no recursor now")


def test_stops_while_questions_wait():
    b = world.other
    used = b.server()
    used.pause()
    try:
        with dns.udp(b) as sock, dns.tcp(b) as stream:
            for i in range(50):
                sock.send(dns.query("foo.consul", ident=i))
            stream.sendall(dns.framed(dns.query("foo.consul")))
            herald.eventually(lambda: b.metric("dns.relayed") > 50, "they wait")
            assert b.stop() == 0
    finally:
        used.go_on()
    b.start()
    herald.eventually(b.ready, "it is back", 30)
    world.servers.whole()


def test_server_without_a_leader():
    """Questions that it would have confirmed are answered by the agent in time, and it ends well
    while others wait."""
    a = world.agent
    used = a.server()
    others = [n for n in world.servers.nodes if n is not used]
    for n in others:
        n.kill()
    packet = dns.query("api.service.consul")
    herald.eventually(lambda: dns.code(dns.exchange(a, packet)) == SERVFAIL, "no leader", 60)
    assert a.server() is used
    with dns.udp(a) as sock:
        for i in range(20):
            sock.send(dns.query("foo.consul", ident=i))
        for _ in range(20):
            assert dns.code(sock.recv(4096)) == SERVFAIL
        for i in range(20):
            sock.send(dns.query("foo.consul", ident=i))
        before = a.metric("dns.relayed")
        assert before >= 40, before
        assert used.stop() == 0
    for n in world.servers.nodes:
        n.start()
    world.servers.whole()
    herald.eventually(lambda: dns.code(dns.exchange(a, packet)) == 0, "they answer again", 60)


def test_access_control():
    """The agent's token for DNS goes along, or else its default one."""
    config = {"acl": {"enabled": True, "default_policy": "deny",
                      "tokens": {"initial_management": "root", "agent": "root"}}}
    servers = cluster.Cluster("herald", 1, network="loopback", config=config, start=False)
    agents = [Agent(servers, i, {"acl": {"enabled": True, "tokens": dict({"agent": "root"}, **t)},
                                 "ports": {"dns": DNS}})
              for i, t in enumerate(({}, {"default": "root"}, {"dns": "root"},
                                     {"default": "root", "dns": "unknown"}))]
    try:
        servers.nodes[0].start()
        head = {"X-Consul-Token": "root"}
        body = json.dumps({"Node": "db1", "Address": "10.1.1.1",
                           "Service": {"Service": "api", "Port": 1}})
        herald.eventually(lambda: quiet(lambda: servers.nodes[0].put(
            "/v1/catalog/register", body, headers=head).status == 200), "a leader", 30)
        for a in agents:
            a.start()
        for a in agents:
            herald.eventually(lambda a=a: quiet(lambda: a.get(
                "/v1/kv/nothing", headers=head).status == 404), "agent %s is ready" % a.name, 30)
        got = [dns.code(dns.exchange(a, dns.query("api.service.consul"))) for a in agents]
        assert got == [3, 0, 0, 3], got
    finally:
        for a in agents:
            a.kill()
        servers.close()


def quiet(check):
    try:
        return check()
    except (OSError, EOFError):
        return False


def test_port_is_taken():
    """Nobody asked for it: a line in the log, and all else goes on."""
    c = Agent(world.servers, 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((c.address, DNS))
        c.start()
        herald.eventually(c.ready, "it is ready", 30)
        assert "DNS is not answered" in c.log(), c.log()
        assert c.stop() == 0
        with open(c.config_file, "w", encoding="utf-8") as f:
            json.dump({"server": False, "ports": {"dns": DNS}}, f)
        c.start()
        assert c.process.wait(20 * herald.SLOW) == 1 and "cannot answer DNS" in c.log(), c.log()
        c.expected = False
    with open(c.config_file, "w", encoding="utf-8") as f:
        json.dump({"server": False, "ports": {"dns": -1}}, f)
    c.start()
    herald.eventually(c.ready, "it is ready", 30)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((c.address, DNS))
    assert c.stop() == 0


def test_leaks_no_question():
    """Many threads ask over both ways for a while: all is answered."""
    failed = []

    def asks(agent, number):
        try:
            for i in range(30):
                packet = dns.query("api.service.consul", ident=number * 100 + i)
                if number % 2:
                    with dns.tcp(agent) as sock:
                        sock.sendall(dns.framed(packet))
                        got = dns.read_framed(sock)
                else:
                    got = dns.exchange(agent, packet)
                if got[:2] != packet[:2] or dns.code(got) != 0:
                    failed.append((number, i, got))
        except (OSError, TypeError) as e:
            failed.append((number, e))
    threads = [threading.Thread(target=asks, args=(world.agents[i % 2], i)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[:3]


if __name__ == "__main__":
    world = World()
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    try:
        herald.main(tests)
    finally:
        world.close()
