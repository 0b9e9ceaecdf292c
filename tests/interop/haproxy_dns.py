#!/usr/bin/env python3
"""Debian's HAProxy with `server-template` on SRV records of Herald's DNS: 20 backends that answer
with their names come, turn critical, go and come again; HAProxy follows, and its clients see no
error."""
import http.client
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import herald  # noqa: E402
from haproxy import HAPROXY, Backend  # noqa: E402

BACKENDS = 20
CONFIG = """global
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
resolvers herald
    nameserver one 127.0.0.1:%d
    accepted_payload_size 8192
    resolve_retries 3
    timeout resolve 100ms
    timeout retry 200ms
    hold valid 100ms
    hold obsolete 0s
    hold nx 0s
frontend front
    bind 127.0.0.1:%d
    default_backend api
backend api
    balance roundrobin
    server-template s 1-30 _api._tcp.service.consul resolvers herald init-addr none
"""


def register(s, backend, status="passing"):
    body = {"Node": "host", "Address": "127.0.0.1",
            "Service": {"ID": backend.name, "Service": "api", "Address": "127.0.0.1",
                        "Port": backend.port},
            "Check": {"CheckID": "c-" + backend.name, "Name": "c", "Status": status,
                      "ServiceID": backend.name}}
    r = s.put("/v1/catalog/register", json.dumps(body))
    assert r.status == 200, r


def answers(port, count):
    """The names that answer so many requests; "" for an error."""
    names = set()
    for _ in range(count):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * herald.SLOW)
        try:
            c.request("GET", "/")
            r = c.getresponse()
            names.add(r.read().decode() if r.status == 200 else "")
        except (OSError, http.client.HTTPException):
            names.add("")
        finally:
            c.close()
    return names


def test_haproxy_follows_srv_records():
    if not os.path.exists(HAPROXY):
        raise herald.Skip("no haproxy")
    dns, port = herald.free_port(), herald.free_port()
    backends = [Backend("b%02d" % i) for i in range(BACKENDS)]
    late = [Backend("late%d" % i) for i in range(3)]
    with herald.Server(args=["-dns-port=%d" % dns]) as s, tempfile.TemporaryDirectory() as scratch:
        for b in backends:
            register(s, b)
        path = os.path.join(scratch, "haproxy.cfg")
        with open(path, "w", encoding="ascii") as f:
            f.write(CONFIG % (dns, port))
        process = subprocess.Popen([HAPROXY, "-db", "-f", path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            def follow(want, what):
                herald.eventually(lambda: answers(port, 60) == want, what, 30)

            everyone = {b.name for b in backends}
            follow(everyone, "all backends get requests")
            for b in backends[:5]:
                register(s, b, "critical")
            left = everyone - {b.name for b in backends[:5]}
            follow(left, "critical ones get none")
            for b in backends[:5]:
                b.stop()
            assert answers(port, 60) == left
            for b in late:
                register(s, b)
            follow(left | {b.name for b in late}, "new ones get requests")
            for b in backends[5:]:
                r = s.put("/v1/catalog/deregister",
                          json.dumps({"Node": "host", "ServiceID": b.name}))
                assert r.status == 200, r
            follow({b.name for b in late}, "deregistered ones get none")
        finally:
            process.kill()
            process.wait()
            for b in backends[5:] + late:
                b.stop()


if __name__ == "__main__":
    herald.main([test_haproxy_follows_srv_records])
