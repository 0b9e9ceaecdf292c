#!/usr/bin/env python3
"""DNS of a real server, asked with dig and with packets made by hand (contracts/agent.md,
section 4): names, health, sizes, recursors, and what hostile clients send."""
import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402  pylint: disable=wrong-import-position


class Asked:
    """Who answers DNS at `host` and `dns_port`."""
    host = "127.0.0.1"
    dns_port = None

    def dig(self, *words):
        """(status, flags, {section: [lines]}) of an answer."""
        if not shutil.which("dig"):
            raise herald.Skip("no dig")
        got = subprocess.run(
            ["dig", "@" + self.host, "-p", str(self.dns_port), "+nostats", "+nocmd", "+tries=1",
             "+time=%d" % (5 * herald.SLOW), *words], stdout=subprocess.PIPE, text=True,
            check=False).stdout
        return parse_dig(got)

    def short(self, *words):
        return sorted(line.split(None, 4)[4] for line in self.dig("+noedns", *words)[2]["ANSWER"])


class DnsServer(Asked, herald.Server):
    """A server with DNS on a free port."""

    def __init__(self, config=None, args=(), host="127.0.0.1"):
        self.dns_port = herald.free_port()
        self.host = host
        super().__init__(config=config, args=["-dns-port=%d" % self.dns_port, *args])

    def register(self, **body):
        r = self.put("/v1/catalog/register", herald.json.dumps(body))
        assert r.status == 200, r


def parse_dig(text):
    status = re.search(r"status: (\w+)", text)
    assert status, text
    flags = re.search(r"flags: ([\w ]*);", text).group(1).split()
    sections = {"ANSWER": [], "AUTHORITY": [], "ADDITIONAL": [], "OPT": []}
    at = None
    for line in text.split("\n"):
        head = re.match(r";; (\w+) (?:PSEUDO)?SECTION:", line)
        if head:
            at = head.group(1)
        elif at in sections and line and not line.startswith(";"):
            sections[at].append(line)
        elif at == "OPT" and line.startswith("; EDNS"):
            sections["OPT"].append(line)
    return status.group(1), flags, sections


def apis(s):
    s.register(Node="db1", Address="10.1.1.1", NodeMeta={"rack": "r1"},
               Service={"ID": "api1", "Service": "api", "Tags": ["prod", "a.b"], "Port": 8080,
                        "Weights": {"Passing": 7, "Warning": 2}},
               Check={"CheckID": "c1", "Name": "c1", "Status": "passing", "ServiceID": "api1"})
    s.register(Node="db2", Address="10.1.1.2",
               Service={"ID": "api2", "Service": "api", "Tags": ["prod"], "Port": 8081,
                        "Address": "10.9.9.9", "Weights": {"Passing": 7, "Warning": 2}},
               Check={"CheckID": "c2", "Name": "c2", "Status": "warning", "ServiceID": "api2"})


def query(name, kind=1, ident=0x1234, edns=None, klass=1):
    labels = b"".join(bytes([len(x)]) + x for x in name.encode().split(b".") if x) + b"\0"
    packet = struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 1 if edns else 0) + labels
    packet += struct.pack(">HH", kind, klass)
    return packet + (b"\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b"")


@contextlib.contextmanager
def udp(s, timeout=5.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout * herald.SLOW)
        sock.connect((getattr(s, "host", "127.0.0.1"), s.dns_port))
        yield sock


def exchange(s, packet):
    with udp(s) as sock:
        sock.send(packet)
        return sock.recv(65536)


def tcp(s):
    sock = socket.create_connection((s.host, s.dns_port), 15 * herald.SLOW)
    return sock


def framed(packet):
    return struct.pack(">H", len(packet)) + packet


def read_framed(sock):
    held = b""
    while len(held) < 2 or len(held) < 2 + struct.unpack(">H", held[:2])[0]:
        part = sock.recv(65536)
        if not part:
            return None
        held += part
    return held[2:2 + struct.unpack(">H", held[:2])[0]]


def code(packet):
    return packet[3] & 15


# --- names ----------------------------------------------------------------------------------------

def test_service_names():
    with DnsServer() as s:
        apis(s)
        assert s.short("api.service.consul") == ["10.1.1.1", "10.9.9.9"]
        assert s.short("a.b.api.service.dc1.consul") == ["10.1.1.1"]
        want = ["1 2 8081 0a090909.addr.dc1.consul.", "1 7 8080 db1.node.dc1.consul."]
        for name in ("api.service.consul", "_api._tcp.service.consul", "_api._prod.service.consul",
                     "_api._tcp.consul", "prod.api.service.dc1.consul"):
            assert s.short(name, "SRV") == want, name
        _, _, sections = s.dig("+noedns", "api.service.consul", "SRV")
        more = sorted(x.split(None, 4)[3:] for x in sections["ADDITIONAL"])
        assert more == [["A", "10.1.1.1"], ["A", "10.9.9.9"], ["TXT", '"rack=r1"']], more
        for name in ("nope.service.consul", "zz.api.service.consul", "api.service.dc9.consul",
                     "foo.consul", "x.query.consul"):
            status, flags, sections = s.dig("+noedns", name)
            assert status == "NXDOMAIN" and "aa" in flags, name
            assert re.match(r"consul\.\s+0\s+IN\s+SOA\s+ns.consul. hostmaster.consul. \d+ 3600 600 "
                            r"86400 0$", sections["AUTHORITY"][0]), sections
        status, flags, sections = s.dig("+noedns", "api.service.consul", "AAAA")
        assert status == "NOERROR" and not sections["ANSWER"] and "SOA" in sections["AUTHORITY"][0]
        assert "ra" not in flags
        assert s.dig("+noedns", "API.Service.Consul")[2]["ANSWER"][0].startswith(
            "API.Service.Consul.")


def test_health_decides():
    with DnsServer() as s:
        apis(s)
        s.register(Node="db2", Address="10.1.1.2", SkipNodeUpdate=True,
                   Check={"CheckID": "c2", "Name": "c2", "Status": "critical", "ServiceID": "api2"})
        assert s.short("api.service.consul") == ["10.1.1.1"]
        s.register(Node="db1", Address="10.1.1.1", SkipNodeUpdate=True,
                   Check={"CheckID": "serfHealth", "Name": "alive", "Status": "critical"})
        assert s.dig("api.service.consul")[0] == "NXDOMAIN"
        s.register(Node="db1", Address="10.1.1.1", SkipNodeUpdate=True,
                   Check={"CheckID": "serfHealth", "Name": "alive", "Status": "passing"})
        assert s.short("api.service.consul") == ["10.1.1.1"]
        assert s.put("/v1/catalog/deregister", b'{"Node":"db1"}').status == 200
        assert s.dig("api.service.consul")[0] == "NXDOMAIN"


def test_nodes_addresses_pointers():
    with DnsServer() as s:
        apis(s)
        s.register(Node="v6", Address="fd00::1")
        assert s.short("db1.node.consul") == ["10.1.1.1"]
        assert s.short("db1.node.consul", "TXT") == ['"rack=r1"']
        assert s.short("v6.node.dc1.consul", "AAAA") == ["fd00::1"]
        assert s.short("0a090909.addr.consul") == ["10.9.9.9"]
        assert s.short("-x", "10.1.1.1") == ["db1.node.dc1.consul."]
        assert s.short("-x", "10.9.9.9") == ["api.service.dc1.consul."]
        assert s.short("-x", "fd00::1") == ["v6.node.dc1.consul."]
        assert s.dig("-x", "10.7.7.7")[0] == "REFUSED"
        assert s.dig("example.com")[0] == "REFUSED"


def test_settings():
    config = {"domain": "Herald.Test.", "alt_domain": "consul.",
              "dns_config": {"only_passing": True, "node_ttl": "7s", "a_record_limit": 1,
                             "enable_truncate": True,
                             "service_ttl": {"api": "10s", "we*": "20s", "*": "30s"},
                             "soa": {"refresh": 1, "retry": 2, "expire": 3, "min_ttl": 4}}}
    with DnsServer(config=config) as s:
        apis(s)
        s.register(Node="db1", Address="10.1.1.1", Service={"Service": "web", "Port": 1})
        line = s.dig("+noedns", "api.service.herald.test")[2]["ANSWER"]
        assert len(line) == 1 and line[0].split()[1] == "10", line
        assert s.dig("web.service.consul")[2]["ANSWER"][0].split()[1] == "20"
        assert s.dig("db1.node.consul")[2]["ANSWER"][0].split()[1] == "7"
        assert s.dig("x.herald.test")[2]["AUTHORITY"][0].split()[-4:] == ["1", "2", "3", "4"]
        assert s.short("_api._tcp.herald.test", "SRV") == ["1 7 8080 db1.node.dc1.herald.test."]


def test_access_control():
    """Without a token that may, names are as if they were not there."""
    config = {"acl": {"enabled": True, "default_policy": "deny",
                      "tokens": {"initial_management": "root"}}}
    with DnsServer(config=config) as s:
        head = {"X-Consul-Token": "root"}
        body = {"Node": "db1", "Address": "10.1.1.1", "Service": {"Service": "api", "Port": 1}}
        herald.eventually(lambda: s.put("/v1/catalog/register", herald.json.dumps(body),
                                        headers=head).status == 200, "the token is there")
        assert s.dig("api.service.consul")[0] == "NXDOMAIN"
        assert s.dig("db1.node.consul")[0] == "NXDOMAIN"
        assert s.dig("-x", "10.1.1.1")[0] == "REFUSED"
        r = s.put("/v1/agent/token/default", b'{"Token": "root"}', headers=head)
        assert r.status == 200, r
        for name in ("api.service.consul", "db1.node.consul"):
            herald.eventually(lambda n=name: s.dig(n)[0] == "NOERROR", "the token counts")


# --- sizes ----------------------------------------------------------------------------------------

def many(s, count):
    for i in range(count):
        s.register(Node="node-%04d" % i, Address="10.2.%d.%d" % (i // 250, i % 250 + 1),
                   Service={"Service": "many", "Port": 80})


def test_sizes():
    with DnsServer() as s:
        many(s, 60)
        status, flags, sections = s.dig("+noedns", "+ignore", "many.service.consul")
        assert status == "NOERROR" and len(sections["ANSWER"]) == 3 and "tc" not in flags
        assert len(s.dig("+bufsize=4096", "many.service.consul")[2]["ANSWER"]) == 60
        assert len(s.dig("+tcp", "many.service.consul", "SRV")[2]["ANSWER"]) == 60
        assert s.dig("+bufsize=1400", "many.service.consul")[2]["OPT"]
        for edns in (None, 512, 1232, 4096, 65535):
            for kind in (1, 33):
                packet = exchange(s, query("many.service.consul", kind, edns=edns))
                assert len(packet) <= min(edns or 512, 4096), (edns, len(packet))
        first = {s.short("many.service.consul")[0] for _ in range(40)}
        assert len(first) > 5, "the order does not change"


# --- recursors ------------------------------------------------------------------------------------

class Recursor(threading.Thread):
    """A DNS server that says 9.8.7.6 to everything, or nothing."""

    def __init__(self, mute=False, forge=False):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.mute, self.forge, self.seen = mute, forge, []
        self.start()

    def run(self):
        while True:
            try:
                packet, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.seen.append((struct.unpack(">H", packet[:2])[0], peer[1]))
            if self.mute:
                continue
            end = packet.index(b"\0", 12) + 5
            answer = packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + packet[12:end]
            answer += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x09\x08\x07\x06"
            if self.forge:
                wrong = bytes([answer[0] ^ 1]) + answer[1:-1] + b"\x66"
                self.sock.sendto(wrong, peer)
                self.sock.sendto(answer[:12] + b"\3zzz" + answer[16:], peer)
                self.sock.sendto(b"x", peer)
            self.sock.sendto(answer, peer)


def test_recursors():
    mute, good = Recursor(mute=True), Recursor(forge=True)
    config = {"recursors": [mute.address, good.address],
              "dns_config": {"recursor_timeout": "200ms"}}
    with DnsServer(config=config) as s:
        status, flags, sections = s.dig("www.example.com")
        assert status == "NOERROR" and "ra" in flags and "aa" not in flags
        assert sections["ANSWER"][0].split()[-1] == "9.8.7.6"
        assert "ra" in s.dig("foo.consul")[1]
        s.register(Node="db1", Address="10.1.1.1",
                   Service={"Service": "ext", "Address": "www.example.com", "Port": 443})
        lines = s.dig("ext.service.consul")[2]["ANSWER"]
        assert [x.split()[3:] for x in lines] == [["CNAME", "www.example.com."], ["A", "9.8.7.6"]]
        for i in range(12):
            assert exchange(s, query("n%d.example.com" % i, ident=i))[:2] == struct.pack(">H", i)
        ids = {x[0] for x in good.seen}
        ports = {x[1] for x in good.seen}
        assert len(ids) > 10 and len(ports) > 10, (ids, ports)


def test_no_recursor_answers():
    mute = Recursor(mute=True)
    config = {"recursors": [mute.address, "127.0.0.1:1"],
              "dns_config": {"recursor_timeout": "100ms"}}
    with DnsServer(config=config) as s:
        assert s.dig("www.example.com")[0] == "SERVFAIL"
        assert s.dig("foo.consul")[0] == "NXDOMAIN"
        s.register(Node="db1", Address="10.1.1.1",
                   Service={"Service": "ext", "Address": "www.example.com", "Port": 443})
        assert s.short("ext.service.consul") == ["www.example.com."]


def test_a_recursor_that_is_ourselves():
    """Each question goes round once more, and the circle ends."""
    port = herald.free_port()
    config = {"recursors": ["127.0.0.1:%d" % port], "dns_config": {"recursor_timeout": "300ms"},
              "ports": {"dns": port}}
    with herald.Server(config=config, args=["-log-level=err", "-dns-port=%d" % port]) as s:
        s.dns_port = port
        with udp(s) as sock:
            sock.send(query("www.example.com"))
            assert code(sock.recv(4096)) == 2
            sock.send(query("foo.consul"))
            assert code(sock.recv(4096)) == 3


# --- hostile clients ------------------------------------------------------------------------------

def test_garbage():
    with DnsServer() as s:
        apis(s)
        head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
        bad = [b"\xc0\x0c\0\1\0\1", b"\3www\xc0\x0c\0\1\0\1", b"\x7f" + b"a" * 127, b"\x40a\0\0\1\0\1",
               b"\x3f" + b"a" * 63 + b"\x3f" * 300, b"", b"\0", b"\3www", b"\0\0\1\0\1trailing"]
        for tail in bad:
            assert code(exchange(s, head + tail)) == 1, tail
        for counts in ((0, 0, 0, 0), (2, 0, 0, 0), (1, 65535, 0, 0), (1, 0, 65535, 0), (1, 0, 0, 65535)):
            packet = struct.pack(">HHHHHH", 7, 0x0100, *counts) + query("a.consul")[12:]
            assert code(exchange(s, packet)) == 1, counts
        assert code(exchange(s, query("api.service.consul", klass=3))) == 5
        assert code(exchange(s, struct.pack(">HH", 7, 0x2900) + query("a.consul")[4:])) == 4
        with udp(s, 0.3) as sock:
            for silent in (b"", b"x" * 11, b"\0\7\x81\0" + query("api.service.consul")[4:],
                           b"y" * 5000):
                sock.send(silent)
            sock.send(query("api.service.consul", ident=99))
            assert sock.recv(4096)[:2] == struct.pack(">H", 99), "an answer to what is no question"
        import random  # pylint: disable=import-outside-toplevel
        dice = random.Random(4)
        with udp(s) as sock:
            for _ in range(2000):
                packet = bytearray(query("prod.api.service.consul", 33, edns=1232))
                for _ in range(dice.randrange(1, 6)):
                    packet[dice.randrange(len(packet))] = dice.randrange(256)
                sock.send(bytes(packet[:dice.randrange(1, len(packet) + 1)]))
        assert s.short("a.b.api.service.consul") == ["10.1.1.1"]


def test_no_amplification():
    """Beyond loopback one network gets a bounded part of what forged questions could ask for."""
    with DnsServer() as s:
        many(s, 60)
        packet = query("many.service.consul", 1)
        assert len(exchange(s, packet)) <= 3 * len(packet)
        for name in ("www.example.com", "foo.consul", "nope.service.consul"):
            packet = query(name, 255)
            assert len(exchange(s, packet)) <= 3 * len(packet), name


def own_address():
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return None
        host = sock.getsockname()[0]
        return None if host.startswith("127.") else host


def test_rate_limit_beyond_loopback():
    host = own_address()
    if host is None:
        raise herald.Skip("this machine has no address but loopback")
    config = {"addresses": {"dns": host + " 127.0.0.1"}, "herald": {"dns_rate_limit": 50}}
    with DnsServer(config=config) as s:
        counts = {}
        for at in (host, "127.0.0.1"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1.0)
                sock.connect((at, s.dns_port))
                whole = cut = 0
                for i in range(200):
                    sock.send(query("foo.consul", ident=i))
                with contextlib.suppress(TimeoutError):
                    for _ in range(200):
                        packet = sock.recv(4096)
                        whole, cut = whole + (not packet[2] & 2), cut + bool(packet[2] & 2)
                counts[at] = whole, cut
        assert counts["127.0.0.1"] == (200, 0), counts
        assert 40 <= counts[host][0] <= 120 and 30 <= counts[host][1] <= 100, counts
        s.host = host
        assert s.dig("+tcp", "foo.consul")[0] == "NXDOMAIN"


def test_reload():
    config = {"dns_config": {"node_ttl": "5s"}}
    with DnsServer(config=config) as s:
        s.register(Node="db1", Address="10.1.1.1")
        assert s.dig("db1.node.consul")[2]["ANSWER"][0].split()[1] == "5"
        with open(s.config, "w", encoding="utf-8") as f:
            herald.json.dump({"dns_config": {"node_ttl": "6s"}}, f)
        s.send_signal(1)
        herald.eventually(lambda: all(
            s.dig("db1.node.consul")[2]["ANSWER"][0].split()[1] == "6" for _ in range(6)),
                          "the new TTL is used")


def test_tcp_pipeline_and_dribble():
    with DnsServer() as s:
        apis(s)
        with tcp(s) as sock:
            names = ["a.b.api.service.consul", "foo.consul", "db1.node.consul"] * 40
            sock.sendall(b"".join(framed(query(n, ident=i)) for i, n in enumerate(names)))
            held = b""
            seen = []
            while len(seen) < len(names):
                held += sock.recv(65536)
                while len(held) >= 2 and len(held) >= 2 + struct.unpack(">H", held[:2])[0]:
                    length = struct.unpack(">H", held[:2])[0]
                    seen.append(struct.unpack(">H", held[2:4])[0])
                    held = held[2 + length:]
            assert seen == list(range(len(names)))
        with tcp(s) as sock:
            for byte in framed(query("a.b.api.service.consul")):
                sock.sendall(bytes([byte]))
            assert code(read_framed(sock)) == 0
        with tcp(s) as sock:
            sock.sendall(b"\xff\xff" + b"x" * 10)
            assert read_framed(sock) is None, "a question of 64 KiB is waited for"


def test_tcp_silence_and_crowds_end():
    with DnsServer() as s:
        slow = tcp(s)
        slow.sendall(b"\0")
        began = time.monotonic()
        crowd = [tcp(s) for _ in range(80 * 2)]
        closed = sum(1 for c in crowd if not still_open(c))
        assert closed > 0, "one address has any number of connections"
        assert read_framed(slow) is None
        assert time.monotonic() - began < 30 * herald.SLOW
        for c in crowd + [slow]:
            c.close()
        assert s.dig("+tcp", "foo.consul")[0] == "NXDOMAIN"


def still_open(sock):
    sock.settimeout(0.02)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_port_is_taken():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        s = herald.Server(args=["-dns-port=%d" % port], start=False)
        s.start(ready=False)
        assert s.wait() == 1 and "cannot answer DNS" in s.log(), s.log()


def test_both_families_and_off():
    config = {"addresses": {"dns": "127.0.0.1 ::1"}}
    with DnsServer(config=config, host="::1") as s:
        assert s.dig("foo.consul")[0] == "NXDOMAIN"
        assert s.dig("+tcp", "foo.consul")[0] == "NXDOMAIN"
        s.host = "127.0.0.1"
        assert s.dig("foo.consul")[0] == "NXDOMAIN"
        r = s.get("/v1/agent/metrics").json()
        names = {c["Name"]: c["Count"] for c in r["Counters"]}
        assert any(n.endswith("dns.queries") for n in names), sorted(names)


if __name__ == "__main__":
    herald.main([
        test_service_names, test_health_decides, test_nodes_addresses_pointers, test_settings,
        test_access_control, test_sizes, test_recursors, test_no_recursor_answers,
        test_a_recursor_that_is_ourselves, test_garbage, test_no_amplification,
        test_rate_limit_beyond_loopback, test_reload,
        test_tcp_pipeline_and_dribble, test_tcp_silence_and_crowds_end, test_port_is_taken,
        test_both_families_and_off,
    ])
