#!/usr/bin/env python3
"""Sessions, locks and what expires, on three servers: any of them answers for all, a change of
leader ends nothing early, and neither do clocks that jump by an hour.

The servers are real, on loopback addresses of their own. `locks.py [NAME...]`.
"""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from cluster import Cluster  # noqa: E402
from report import check, equal  # noqa: E402

CONFIG = {"session_ttl_min": "1s"}


def servers(**kw):
    return Cluster("herald", 3, network="loopback", config=CONFIG, **kw)


def call(node, method, path, body=None, timeout=15.0):
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    r = node.request(method, path, body=data, timeout=timeout)
    check(r.status == 200, "%s %s: %s %s" % (method, path, r.status, r.text()))
    return r.json()


def node_of(c):
    """A node to hang sessions on; its name."""
    call(c.nodes[c.wait_leader()], "PUT", "/v1/catalog/register",
         {"Node": "w1", "Address": "10.0.0.1"})
    return "w1"


def create(node, **body):
    return call(node, "PUT", "/v1/session/create",
                dict({"Node": "w1", "NodeChecks": [], "LockDelay": "0s"}, **body))["ID"]


def there(c, session):
    """Whether the session is there, as a majority knows it."""
    def ask():
        try:
            r = c.nodes[c.wait_leader()].get("/v1/session/info/%s?consistent" % session)
            return [r.json() != []] if r.status == 200 else None
        except (OSError, EOFError, ValueError):
            return None
    return herald.eventually(ask, "an answer", 30)[0]


def test_every_server_answers_for_all():
    with servers() as c:
        node_of(c)
        for n in c.nodes:
            session = create(n, TTL="30s")
            equal(call(n, "PUT", "/v1/kv/k?acquire=" + session, "x"), True)
            for other in c.nodes:
                rows = call(other, "PUT", "/v1/session/renew/" + session)
                equal(rows[0]["ID"], session)
            got = call(n, "PUT", "/v1/txn", [
                {"KV": {"Verb": "check-session", "Key": "k", "Session": session}},
                {"KV": {"Verb": "set", "Key": "t", "Value": "eA=="}}])
            equal(len(got["Results"]), 2)
            equal(call(n, "PUT", "/v1/kv/k?release=" + session, "x"), True)
            equal(call(n, "PUT", "/v1/event/fire/e", "x")["Name"], "e")


def test_a_new_leader_ends_nothing_early():
    with servers() as c:
        node_of(c)
        leader = c.wait_leader()
        session = create(c.nodes[leader], TTL="5s")
        call(c.nodes[leader], "PUT", "/v1/kv/k?ttl=5s", "x")
        call(c.nodes[leader], "PUT", "/v1/session/renew/" + session)
        # The old one has counted for a while when it dies.
        began = time.monotonic()
        herald.eventually(lambda: time.monotonic() - began > 2, "two seconds")
        c.nodes[leader].kill()
        c.wait_leader()
        led = time.monotonic()
        check(there(c, session), "the session ended with the leader")
        while there(c, session):
            check(time.monotonic() - led < 20, "the session does not end")
        # The full time anew: of when it began to lead only the moment that we saw is known.
        check(time.monotonic() - began >= 5 + 2 - 0.5,
              "it ended %.1f s after its renewal" % (time.monotonic() - began))


def test_a_renewal_during_an_election():
    """It waits for the new leader, or is told to try again; the session lives on either way."""
    with servers() as c:
        node_of(c)
        leader = c.wait_leader()
        session = create(c.nodes[leader], TTL="6s")
        other = c.nodes[(leader + 1) % 3]
        c.nodes[leader].kill()

        def renewed():
            r = other.request("PUT", "/v1/session/renew/" + session)
            check(r.status in (200, 500, 503, 504), "%s %s" % (r.status, r.text()))
            return r.status == 200
        herald.eventually(renewed, "a renewal", 20)
        renewal = time.monotonic()
        while there(c, session):
            check(time.monotonic() - renewal < 20, "the session does not end")
        check(time.monotonic() - renewal >= 5.5, "it ended early")


def test_clocks_that_jump_end_nothing():
    with servers(clock=True) as c:
        node_of(c)
        leader = c.wait_leader()
        n = c.nodes[leader]
        a, b = create(n, TTL="8s", LockDelay="4s"), create(n)
        equal(call(n, "PUT", "/v1/kv/k?acquire=" + b, "x"), True)
        equal(call(n, "PUT", "/v1/kv/d?acquire=" + a, "x"), True)
        began = time.monotonic()
        call(n, "PUT", "/v1/session/renew/" + a)
        call(n, "PUT", "/v1/kv/t?ttl=8s", "x")
        for hours in (1, -1, 1):
            for m in c.nodes:
                m.clock.set(hours * 3600)
            # The new time is there about a second later.
            jumped = time.monotonic()
            herald.eventually(lambda: time.monotonic() - jumped > 1.3, "a jump")
            call(c.nodes[c.wait_leader()], "PUT", "/v1/kv/touch", "x")
        if time.monotonic() - began < 7.5:
            check(there(c, a), "a jump ended the session")
            equal(c.nodes[c.wait_leader()].get("/v1/kv/t").status, 200)
        while there(c, a):
            check(time.monotonic() - began < 20, "the session does not end")
        ended = time.monotonic()
        check(ended - began >= 8, "it ended after %.2f s" % (ended - began))
        for m in c.nodes:
            m.clock.set(-3600)
        while not call(c.nodes[c.wait_leader()], "PUT", "/v1/kv/d?acquire=" + b, "x"):
            check(time.monotonic() - ended < 20, "the delay does not end")
        check(time.monotonic() - ended >= 3.5, "the delay was cut short")


if __name__ == "__main__":
    herald.main([value for name, value in sorted(globals().items())
                 if name.startswith("test_")])
