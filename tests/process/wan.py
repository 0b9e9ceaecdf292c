#!/usr/bin/env python3
"""The WAN pool: servers of several datacenters that know of each other, as real processes.

    wan.py [NAME...]     all, or those whose name contains one of the words
"""
import base64
import contextlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from cluster import Cluster  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()
ALIVE, LEFT = 1, 3
KEY, KEY_2 = (base64.b64encode(b"%032d" % n).decode() for n in (1, 2))


class Server(herald.Server):
    """One of datacenter `dc`, called `node`, with a port of the WAN pool unless `wan` is False."""

    def __init__(self, node, dc, wan=True, args=(), **kw):
        self.wan = herald.free_port()
        port = ["-serf-wan-port=%d" % self.wan] if wan else []
        super().__init__(args=["-node=" + node, "-datacenter=" + dc] + port + list(args), **kw)

    def address(self):
        return "127.0.0.1:%d" % self.wan

    def cli(self, *args):
        """A command against this server: exit code, output and errors as one text."""
        code, out, err = herald.run([herald.program()] + list(args),
                                    env={"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % self.port})
        return code, out + err


@contextlib.contextmanager
def two(**kw):
    with Server("a", "dc1", **kw) as a, Server("b", "dc2", **kw) as b:
        yield a, b


def members(server, query="?wan=1"):
    return {m["Name"]: m["Status"] for m in server.get("/v1/agent/members" + query).json()}


def wait_members(server, want, timeout=20):
    try:
        herald.eventually(lambda: members(server) == want, "", timeout)
    except AssertionError:
        equal(members(server), want)


def join(server, other):
    r = server.put("/v1/agent/join/%s?wan=1" % other.address())
    equal((r.status, r.body), (200, b""))


@R.test
def two_datacenters_meet_and_one_leaves():
    with two() as (a, b):
        wait_members(a, {"a.dc1": ALIVE})
        join(b, a)
        both = {"a.dc1": ALIVE, "b.dc2": ALIVE}
        equal(members(a), both)
        equal(members(b), both)
        # The datacenter's own pool knows nothing of it, and no request is passed on.
        equal(members(a, ""), {"a": ALIVE})
        equal(a.get("/v1/catalog/datacenters").json(), ["dc1", "dc2"])
        equal(b.get("/v1/catalog/datacenters").json(), ["dc2", "dc1"])
        r = a.get("/v1/kv/x?dc=dc2")
        equal((r.status, r.body), (500, b"No path to datacenter"))
        tags = next(m["Tags"] for m in a.get("/v1/agent/members?wan=1").json()
                    if m["Name"] == "b.dc2")
        equal((tags["role"], tags["dc"]), ("consul", "dc2"))
        check(tags["id"] and tags["port"] and tags["build"], "%s", tags)
        code, out = a.cli("members", "-wan")
        check(code == 0 and "b.dc2" in out and "a.dc1" in out, "%s", out)
        equal(b.put("/v1/agent/leave").status, 200)
        equal(b.wait(), 0)
        wait_members(a, {"a.dc1": ALIVE, "b.dc2": LEFT})
        equal(a.get("/v1/catalog/datacenters").json(), ["dc1"])


@R.test
def who_was_killed_finds_back():
    with Server("a", "dc1") as a, Server("b", "dc2", data_dir=os.path.join(a.dir, "b")) as b:
        join(b, a)
        herald.eventually(lambda: os.path.exists(os.path.join(b.data_dir, "gossip-members-wan")),
                          "the members are kept")
        b.kill()
        b.start()
        wait_members(b, {"a.dc1": ALIVE, "b.dc2": ALIVE})


@R.test
def it_joins_as_configured():
    with Server("a", "dc1") as a, \
            Server("b", "dc2", config={"retry_join_wan": [a.address()]}) as b, \
            Server("c", "dc3", args=["-join-wan=" + a.address()]) as c:
        for server in (a, b, c):
            wait_members(server, {"a.dc1": ALIVE, "b.dc2": ALIVE, "c.dc3": ALIVE})
        code, out = c.cli("force-leave", "-wan", "nope.dc1")
        check(code == 1 and "No node found with name 'nope.dc1'" in out, "%s", out)
        equal(c.cli("force-leave", "-wan", "b.dc2")[0], 0)
        # It is well, and says so.
        wait_members(c, {"a.dc1": ALIVE, "b.dc2": ALIVE, "c.dc3": ALIVE})


@R.test
def servers_of_a_datacenter_bring_each_other_along():
    with Cluster("herald", 2, network="loopback", config={"ports": {"serf_wan": 8302}}) as c, \
            Server("far", "dc2") as far:
        want = {n.name + ".dc1": ALIVE for n in c.nodes}
        for n in c.nodes:
            wait_members(n, want)
        want["far.dc2"] = ALIVE
        r = far.put("/v1/agent/join/%s?wan=1" % c.nodes[0].address)
        check(r.status == 500, "the port is this server's own where none is said: %s", r.body)
        r = far.put("/v1/agent/join/%s:8302?wan=1" % c.nodes[0].address)
        equal(r.status, 200)
        for server in [far] + c.nodes:
            wait_members(server, want)


@R.test
def what_cannot_be_joined_is_said():
    with two() as (a, b), Server("alone", "dc3", wan=False) as alone:
        def refused(server, address, *words):
            r = server.put("/v1/agent/join/%s?wan=1" % address)
            check(r.status == 500, "%s: %s", address, r)
            for word in words:
                check(word in r.text(), "%s: %s", address, r)
        refused(a, "127.0.0.1:1", "Failed to join 127.0.0.1", "127.0.0.1:1: ")
        refused(a, "127.0.0.1:x", "Failed to join", "the port is a number")
        refused(a, alone.address(), "Failed to join")
        refused(alone, a.address(), "no WAN pool: set ports.serf_wan")
        equal(members(alone), {"alone.dc3": ALIVE})
        equal(alone.put("/v1/agent/force-leave/a.dc1?wan=1").status, 500)
        code, out = alone.cli("join", "-wan", a.address())
        check(code == 1 and "no WAN pool: set ports.serf_wan" in out, "%s", out)
        # A port of the other pool is no way in.
        lan = a.get("/v1/agent/members").json()[0]["Port"]
        refused(b, "127.0.0.1:%d" % lan, "it belongs to another cluster (datacenter)")
        equal(members(a), {"a.dc1": ALIVE})
        equal(members(b), {"b.dc2": ALIVE})


@R.test
def keys_hold_in_both_pools():
    with two(config={"encrypt": KEY}) as (a, b), \
            Server("c", "dc3", config={"encrypt": KEY_2}) as c:
        join(b, a)
        r = c.put("/v1/agent/join/%s?wan=1" % a.address())
        equal(r.status, 500)
        equal(members(a), {"a.dc1": ALIVE, "b.dc2": ALIVE})
        for verb, key in (("-install=", KEY_2), ("-use=", KEY_2), ("-remove=", KEY)):
            equal(a.cli("keyring", verb + key)[0], 0)
        pools = a.get("/v1/operator/keyring").json()
        equal([(p["WAN"], p["NumNodes"], p["Keys"]) for p in pools],
              [(True, 2, {KEY_2: 2}), (False, 1, {KEY_2: 1})])
        check("WAN:\n  %s [2/2]" % KEY_2 in a.cli("keyring", "-list")[1], "WAN in the list")
        join(c, a)
        wait_members(c, {"a.dc1": ALIVE, "b.dc2": ALIVE, "c.dc3": ALIVE})


@R.test
def a_configuration_that_cannot_be_is_refused():
    with Server("a", "dc1") as a:
        def start(*args, config=None):
            path = os.path.join(a.dir, "other.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(config or {}, f)
            return herald.run([herald.program(), "agent", "-dev", "-http-port=0", "-dns-port=-1",
                               "-config-file=" + path] + list(args))
        code, out, err = start("-retry-join-wan=127.0.0.1")
        check(code == 1 and "has no WAN pool: set ports.serf_wan" in out + err, "%s", out + err)
        code, out, err = start(config={"ports": {"serf_wan": 70000}})
        check(code == 1 and "ports.serf_wan" in out + err, "%s", out + err)
        code, out, err = start("-serf-wan-port=%d" % a.wan)
        check(code == 1 and "the WAN pool (ports.serf_wan)" in out + err, "%s", out + err)
    # 0 and -1 are off.
    for port in ("0", "-1"):
        with Server("a", "dc1", wan=False, args=["-serf-wan-port=" + port]) as a:
            equal(members(a), {"a.dc1": ALIVE})
            check("pool=wan" not in a.log(), "%s", a.log())


if __name__ == "__main__":
    R.run_all(sys.argv[1:])
    R.end()
