#!/usr/bin/env python3
"""Debian's python3-consul (0.7.1) as a client, unchanged: keys, blocking queries, sessions and
locks, the agent's services and checks, health, catalog, events, coordinates."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

try:
    import consul
except ImportError:
    # The package belongs to Debian's own interpreter, which need not be the first in PATH.
    if os.path.exists("/usr/bin/python3") and "HERALD_SYSTEM_PYTHON" not in os.environ:
        os.environ["HERALD_SYSTEM_PYTHON"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", os.path.abspath(__file__)] + sys.argv[1:])
    consul = None


def client(server):
    if consul is None:
        raise herald.Skip("python3-consul is not installed")
    return consul.Consul(host="127.0.0.1", port=server.port)


def put(c, path, **params):
    return c.http.put(consul.base.CB.bool(), path, params=params)


class Later:
    """A call in a thread of its own, for what blocks."""

    def __init__(self, call):
        self.result = None
        self.thread = threading.Thread(target=self.run, args=(call,), daemon=True)
        self.thread.start()

    def run(self, call):
        try:
            self.result = call()
        except Exception as e:  # given to whoever waits
            self.result = e

    def get(self, timeout=15.0):
        self.thread.join(timeout * herald.SLOW)
        assert not self.thread.is_alive(), "the blocking call has not come back"
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_python_consul_kv():
    with herald.Server() as s:
        c = client(s)
        assert c.kv.get("k/none")[1] is None
        assert c.kv.put("k/a", "grün".encode(), flags=7) is True
        row = c.kv.get("k/a")[1]
        assert (row["Value"], row["Flags"]) == ("grün".encode(), 7), row
        assert c.kv.put("k/b", None) is True
        assert c.kv.get("k/b")[1]["Value"] is None
        assert c.kv.put("k/raw", bytes(range(256))) is True
        assert c.kv.get("k/raw")[1]["Value"] == bytes(range(256))
        assert [r["Key"] for r in c.kv.get("k/", recurse=True)[1]] == ["k/a", "k/b", "k/raw"]
        assert c.kv.get("k", keys=True, separator="/")[1] == ["k/"]
        assert c.kv.get("k/a", consistency="consistent")[1]["Flags"] == 7
        assert c.kv.delete("k/a") is True
        assert c.kv.get("k/a")[1] is None
        assert c.kv.delete("k/", recurse=True) is True
        assert c.kv.get("k/", recurse=True)[1] is None


def test_python_consul_cas():
    with herald.Server() as s:
        c = client(s)
        assert c.kv.put("c", "1", cas=0) is True
        assert c.kv.put("c", "2", cas=0) is False
        at = c.kv.get("c")[1]["ModifyIndex"]
        assert c.kv.put("c", "2", cas=at + 1) is False
        assert c.kv.put("c", "2", cas=at) is True
        assert c.kv.delete("c", cas=at) is False
        assert c.kv.delete("c", cas=c.kv.get("c")[1]["ModifyIndex"]) is True


def test_python_consul_blocking_reads_wake():
    with herald.Server() as s:
        c, writer = client(s), client(s)
        index, row = c.kv.get("b")
        assert row is None
        for value in (b"one", b"two"):
            waiting = Later(lambda at=index: c.kv.get("b", index=at, wait="60s"))
            writer.kv.put("b", value)
            got, row = waiting.get()
            assert row["Value"] == value and int(got) > int(index), (index, got, row)
            index = got
        assert c.kv.get("b", index=index, wait="50ms")[0] == index


def test_python_consul_sessions_and_locks():
    with herald.Server() as s:
        c = client(s)
        one = c.session.create(name="one", ttl=60, lock_delay=0)
        two = c.session.create(name="two", behavior="delete", lock_delay=0)
        assert {x["ID"] for x in c.session.list()[1]} == {one, two}
        info = c.session.info(one)[1]
        assert (info["Name"], info["TTL"], info["Behavior"]) == ("one", "60s", "release"), info
        assert len(c.session.node(info["Node"])[1]) == 2
        assert c.session.renew(one)["ID"] == one
        assert c.kv.put("lock", "one", acquire=one) is True
        assert c.kv.put("lock", "two", acquire=two) is False
        held = c.kv.get("lock")[1]
        assert (held["Session"], held["LockIndex"], held["Value"]) == (one, 1, b"one"), held
        assert c.kv.put("lock", "", release=two) is False
        assert c.kv.put("lock", "", release=one) is True
        assert "Session" not in c.kv.get("lock")[1]
        assert c.kv.put("lock", "two", acquire=two) is True
        # Whoever waits for the lock is woken when its owner's session ends.
        index, held = c.kv.get("lock")
        assert (held["Session"], held["LockIndex"]) == (two, 2), held
        waiting = Later(lambda: client(s).kv.get("lock", index=index, wait="60s"))
        assert c.session.destroy(two) is True
        assert waiting.get()[1] is None, "behaviour delete"
        assert c.session.info(two)[1] is None
        try:
            c.session.renew(two)
            raise AssertionError("a session that is gone was renewed")
        except consul.NotFound:
            pass
        try:
            c.kv.put("lock", "x", acquire=two)
            raise AssertionError("a session that is gone has the lock")
        except consul.ConsulException as e:
            assert "invalid session" in str(e), e


def test_python_consul_agent_services_and_ttl_check():
    with herald.Server() as s:
        c = client(s)
        assert c.agent.service.register("api", service_id="api-1", port=8001, tags=["prod", "api"],
                                        address="127.0.0.1", check=consul.Check.ttl("60s")) is True
        services = c.agent.services()
        assert services["api-1"]["Port"] == 8001, services
        assert services["api-1"]["Tags"] == ["prod", "api"], services
        check = c.agent.checks()["service:api-1"]
        assert (check["Status"], check["ServiceName"]) == ("critical", "api"), check

        def passing():
            return [r["Service"]["ID"] for r in c.health.service("api", passing=True)[1]]

        herald.eventually(lambda: c.health.service("api")[1], "the catalog has it")
        assert passing() == []
        # This client GETs what Consul since 1.0 takes by PUT alone: both answer 405, it says False.
        assert c.agent.check.ttl_pass("service:api-1") is False
        for verb, status, rows in (("pass", "passing", ["api-1"]), ("fail", "critical", []),
                                   ("warn", "warning", [])):
            index = c.health.service("api")[0]
            waiting = Later(lambda at=index: client(s).health.service("api", index=at, wait="60s"))
            assert put(c, "/v1/agent/check/%s/service:api-1" % verb, note="said " + status)
            row = [k for k in waiting.get()[1][0]["Checks"] if k["CheckID"] == "service:api-1"][0]
            assert (row["Status"], row["Output"]) == (status, "said " + status), row
            assert passing() == rows
        assert [k["CheckID"] for k in c.health.state("warning")[1]] == ["service:api-1"]
        assert [k["CheckID"] for k in c.health.checks("api")[1]] == ["service:api-1"]
        assert c.agent.service.maintenance("api-1", "true", reason="night") is True
        assert c.agent.checks()["_service_maintenance:api-1"]["Notes"] == "night"
        assert c.agent.service.maintenance("api-1", "false") is True
        assert "_service_maintenance:api-1" not in c.agent.checks()
        assert c.agent.service.deregister("api-1") is False, "a GET, as above"
        assert put(c, "/v1/agent/service/deregister/api-1")
        assert "api-1" not in c.agent.services()
        herald.eventually(lambda: not c.health.service("api")[1], "the catalog has lost it")


def test_python_consul_checks_of_the_node():
    with herald.Server() as s, herald.Server() as target:
        c = client(s)
        check = consul.Check.http(target.url("/v1/status/leader"), "100ms", timeout="5s")
        assert c.agent.check.register("web", check=check, check_id="web") is True
        assert c.agent.check.register("port", check_id="port", check=consul.Check.tcp(
            "127.0.0.1", target.port, "100ms")) is True

        def both(status):
            checks = c.agent.checks()
            return checks["web"]["Status"] == checks["port"]["Status"] == status

        herald.eventually(lambda: both("passing"), "both pass")
        target.stop()
        herald.eventually(lambda: both("critical"), "both fail")
        assert put(c, "/v1/agent/check/deregister/web")
        assert put(c, "/v1/agent/check/deregister/port")
        assert not {"web", "port"} & set(c.agent.checks())


def test_python_consul_catalog():
    with herald.Server() as s:
        c = client(s)
        assert c.catalog.datacenters() == ["dc1"]
        for i, tag in enumerate(("prod", "test")):
            assert c.catalog.register("n%d" % i, "10.0.0.%d" % i, service={
                "service": "db", "id": "db%d" % i, "port": 5432, "tags": [tag]}, check={
                    "name": "alive", "status": "passing", "ServiceID": "db%d" % i}) is True
        assert {"n0", "n1"} <= {n["Node"] for n in c.catalog.nodes()[1]}
        assert sorted(c.catalog.services()[1]["db"]) == ["prod", "test"]
        assert [r["ServiceID"] for r in c.catalog.service("db")[1]] == ["db0", "db1"]
        rows = c.catalog.service("db", tag="test")[1]
        assert [(r["Node"], r["Address"], r["ServicePort"]) for r in rows] == [
            ("n1", "10.0.0.1", 5432)], rows
        assert list(c.catalog.node("n0")[1]["Services"]) == ["db0"]
        assert c.catalog.node("none")[1] is None
        assert [k["Name"] for k in c.health.node("n0")[1]] == ["alive"]
        index = c.catalog.service("db")[0]
        waiting = Later(lambda: client(s).catalog.service("db", index=index, wait="60s"))
        assert c.catalog.deregister("n0", service_id="db0") is True
        assert [r["ServiceID"] for r in waiting.get()[1]] == ["db1"]
        assert c.catalog.deregister("n1") is True
        assert c.catalog.service("db")[1] == []


def test_python_consul_events():
    with herald.Server() as s:
        c = client(s)
        index, events = c.event.list(name="deploy")
        assert events == [], events
        waiting = Later(lambda: client(s).event.list(name="deploy", index=index, wait="60s"))
        fired = c.event.fire("deploy", "v42")
        heard = waiting.get()[1]
        assert [(e["ID"], e["Name"], e["Payload"]) for e in heard] == [
            (fired["ID"], "deploy", b"v42")], heard
        c.event.fire("other", "x")
        assert len(c.event.list(name="deploy")[1]) == 1
        assert [e["Name"] for e in c.event.list()[1]] == ["deploy", "other"]


def test_python_consul_agent_status_and_coordinates():
    with herald.Server() as s:
        c = client(s)
        assert c.status.leader().split(":")[0] == "127.0.0.1"
        assert c.status.peers() == [c.status.leader()]
        name = c.agent.self()["Config"]["NodeName"]
        assert [m["Name"] for m in c.agent.members()] == [name]
        assert c.agent.maintenance("true", reason="n") is True
        assert "_node_maintenance" in c.agent.checks()
        assert c.agent.maintenance("false") is True
        assert isinstance(c.coordinate.nodes()[1], list)
        assert c.coordinate.datacenters()[0]["Datacenter"] == "dc1"
        assert [x["ID"] for x in c.operator.raft_config()["Servers"]]


if __name__ == "__main__":
    herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
