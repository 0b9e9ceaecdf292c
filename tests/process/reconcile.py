#!/usr/bin/env python3
"""What gossip says of three real servers is in the catalog: who lives, who dies, who comes back, who
leaves; and a backup brings back what was registered.

    reconcile.py [NAME...]     all, or those whose name contains one of the words
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from cluster import Cluster  # noqa: E402
from report import Report  # noqa: E402

R = Report()
SETTINGS = {"leave_on_terminate": True, "performance": {"leave_drain_time": "100ms"}}


def health(node):
    """Each node's serfHealth, as this server knows it."""
    r = node.get("/v1/health/state/any?stale")
    return {row["Node"]: row["Status"] for row in r.json() if row["CheckID"] == "serfHealth"}


def wait_health(node, want):
    herald.eventually(lambda: health(node) == want, "serfHealth is %s" % want, timeout=60)


@R.test
def members_are_in_the_catalog():
    with Cluster("herald", 3, network="loopback", config=SETTINGS) as c:
        names = [n.name for n in c.nodes]
        alive = dict.fromkeys(names, "passing")
        wait_health(c.nodes[0], alive)
        got = c.nodes[1].get("/v1/catalog/service/consul").json()
        assert sorted(row["Node"] for row in got) == names, got
        assert all(row["ServiceMeta"]["raft_version"] == "3" for row in got), got
        nodes = {row["Node"]: row for row in c.nodes[0].get("/v1/catalog/nodes").json()}
        for n in c.nodes:
            assert nodes[n.name]["Address"] == n.address, nodes
            assert nodes[n.name]["ID"] == n.id(), nodes
        # A follower dies: it is critical, and stays registered.
        last = c.nodes[2] if c.leader() is not c.nodes[2] else c.nodes[1]
        other = c.nodes[0]
        if last is other:
            other = c.nodes[1]
        last.kill()
        wait_health(other, dict(alive, **{last.name: "critical"}))
        # It comes back.
        last.start()
        wait_health(other, alive)
        # It leaves, and is gone with all that it had.
        last.stop()
        rest = {name: "passing" for name in names if name != last.name}
        wait_health(other, rest)
        got = other.get("/v1/catalog/service/consul").json()
        assert sorted(row["Node"] for row in got) == sorted(rest), got


@R.test
def a_backup_brings_the_catalog_back():
    with herald.Server() as s:
        herald.eventually(lambda: s.get("/v1/catalog/nodes").json(), "this node is registered")
        body = json.dumps({"Node": "ext", "Address": "10.0.0.9",
                           "Service": {"Service": "db", "Port": 5432},
                           "Check": {"Name": "up", "Status": "passing", "ServiceID": "db"}})
        assert s.put("/v1/catalog/register", body.encode()).status == 200
        saved = s.get("/v1/snapshot").body
        assert s.put("/v1/catalog/deregister", b'{"Node":"ext"}').status == 200
        assert s.get("/v1/health/service/db").json() == []
        index = s.get("/v1/health/service/db").index()
        assert s.put("/v1/snapshot", saved).status == 200
        r = s.get("/v1/health/service/db")
        assert [row["Service"]["Port"] for row in r.json()] == [5432], r
        assert [check["Name"] for check in r.json()[0]["Checks"]] == ["up"], r
        assert r.index() > index, (r.index(), index)


if __name__ == "__main__":
    R.run_all(sys.argv[1:])
    R.end()
