#!/usr/bin/env python3
"""Sessions, locks, transactions, events and keys that expire, against a real server.

The words are those of Consul 1.8.7 (contracts, sections 4 to 7 and 13). The last test is about
fencing: 16 workers that are stopped and go on in the middle of their work never write twice into
a store that compares tokens.
"""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402

JSON = "application/json"
NODE = {"Node": "w1", "Address": "10.0.0.1",
        "Check": {"Node": "w1", "CheckID": "up", "Name": "up", "Status": "passing"}}
UNKNOWN = "11111111-2222-3333-4444-555555555555"


class Agent(herald.Server):
    """A server with a node and a check of it, to hang sessions on."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.node()

    def node(self, status="passing"):
        body = dict(NODE, Check=dict(NODE["Check"], Status=status))
        self.ok("PUT", "/v1/catalog/register", body)

    def ok(self, method, path, body=None):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        r = self.request(method, path, body=data)
        assert r.status == 200, (method, path, r.status, r.text())
        return r

    def create(self, **body):
        body = dict({"Node": "w1", "NodeChecks": ["up"], "LockDelay": "0s"}, **body)
        return self.ok("PUT", "/v1/session/create", body).json()["ID"]

    def acquire(self, key, session, value="v"):
        r = self.ok("PUT", "/v1/kv/%s?acquire=%s" % (key, session), value)
        return r.json(), int(r.headers.get("x-herald-fence", 0))

    def row(self, key):
        r = self.get("/v1/kv/" + key)
        return r.json()[0] if r.status == 200 else None

    def says(self, status, text, method, path, body=None):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        r = self.request(method, path, body=data)
        assert (r.status, r.text()) == (status, text), (method, path, r.status, r.text())


def equal(have, want):
    assert have == want, "have %r, want %r" % (have, want)


# --- sessions --------------------------------------------------------------------------------

def test_session_errors_are_consuls():
    with Agent() as s:
        create = "/v1/session/create"
        s.says(500, "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]", "PUT",
               create, {"Node": "w1", "TTL": "5s"})
        s.says(500, "Session TTL 'zz' invalid: time: invalid duration \"zz\"", "PUT", create,
               {"Node": "w1", "TTL": "zz"})
        s.says(500, "Invalid Behavior setting 'zz'", "PUT", create,
               {"Node": "w1", "Behavior": "zz"})
        s.says(500, "Missing check 'x' registration", "PUT", create,
               {"Node": "w1", "NodeChecks": ["x"]})
        s.says(500, "Missing node registration", "PUT", create, {"Node": "w9", "Checks": []})
        s.node("critical")
        s.says(500, "Check 'up' is in critical state", "PUT", create,
               {"Node": "w1", "NodeChecks": ["up"]})
        r = s.put(create, b"{bad")
        assert r.status == 400 and r.text().startswith("Request decode failed: "), r
        s.says(400, "Missing session", "PUT", "/v1/session/destroy/")
        s.says(500, "failed session lookup: index error: UUID must be 36 characters", "PUT",
               "/v1/session/renew/zz")
        s.says(404, "Session id '%s' not found" % UNKNOWN, "PUT", "/v1/session/renew/" + UNKNOWN)
        s.says(200, "true", "PUT", "/v1/session/destroy/" + UNKNOWN)
        s.says(200, "[]", "GET", "/v1/session/info/" + UNKNOWN)
        s.says(400, "Missing node name", "GET", "/v1/session/node/")


def test_session_rows_and_blocking():
    with Agent() as s:
        a = s.create(Name="a", LockDelay=5, TTL="20s", Behavior="delete",
                     ServiceChecks=[{"ID": "up"}])
        row = s.get("/v1/session/info/" + a).json()[0]
        equal(row["LockDelay"], 5000000000)
        equal([row[k] for k in ("Name", "Node", "Behavior", "TTL", "NodeChecks")],
              ["a", "w1", "delete", "20s", ["up"]])
        equal(row["CreateIndex"], row["ModifyIndex"])
        equal(len(s.get("/v1/session/node/w1").json()), 1)
        equal(s.get("/v1/session/node/w2").json(), [])
        # A renewal is no change: it wakes nobody.
        index = s.get("/v1/session/list").index()
        answers = {}

        def wait(name, path):
            answers[name] = s.get(path + "?index=%d&wait=20s" % index)
        waiters = [threading.Thread(target=wait, args=x) for x in
                   (("info", "/v1/session/info/" + a), ("list", "/v1/session/list"))]
        for w in waiters:
            w.start()
        s.ok("PUT", "/v1/session/renew/" + a)
        s.ok("PUT", "/v1/kv/other", "x")
        assert not answers, answers
        s.ok("PUT", "/v1/session/destroy/" + a)
        for w in waiters:
            w.join(15)
        equal([answers[n].json() for n in ("info", "list")], [[], []])
        assert all(r.index() > index for r in answers.values()), answers


def test_a_check_ends_sessions_and_frees_keys():
    with Agent() as s:
        keep, drop = s.create(), s.create(Behavior="delete")
        other = s.create(NodeChecks=[])
        equal(s.acquire("keep", keep)[0], True)
        equal(s.acquire("drop", drop)[0], True)
        before = s.row("keep")["ModifyIndex"]
        s.node("critical")
        row = s.row("keep")
        assert "Session" not in row and row["ModifyIndex"] > before, row
        equal(s.row("drop"), None)
        equal([x["ID"] for x in s.get("/v1/session/list").json()], [other])


# --- locks -----------------------------------------------------------------------------------

def test_lock_words():
    with Agent() as s:
        a, b = s.create(), s.create()
        equal(s.acquire("k", a, "1")[0], True)
        equal(s.acquire("k", b, "2")[0], False)
        row = s.row("k")
        equal((row["LockIndex"], row["Session"]), (1, a))
        equal(s.acquire("k", a, "3")[0], True)
        equal(s.row("k")["LockIndex"], 1)
        equal(s.ok("PUT", "/v1/kv/k?release=" + b, "4").json(), False)
        equal(s.ok("PUT", "/v1/kv/k?release=" + a, "4").json(), True)
        row = s.row("k")
        equal((row["LockIndex"], row.get("Session"), base64.b64decode(row["Value"])),
              (1, None, b"4"))
        equal(s.acquire("k", b, "5")[0], True)
        equal(s.row("k")["LockIndex"], 2)
        s.ok("PUT", "/v1/kv/k", "6")
        row = s.row("k")
        equal((row["LockIndex"], row["Session"]), (0, b))
        s.says(500, 'invalid session "%s"' % UNKNOWN, "PUT", "/v1/kv/k2?acquire=" + UNKNOWN, "x")


def test_fencing_tokens_grow():
    with Agent() as s:
        seen = 0
        for _ in range(5):
            session = s.create()
            done, token = s.acquire("k", session)
            assert done and token > seen, (token, seen)
            row = s.row("k")
            assert seen < row["ModifyIndex"] <= token, row
            seen = token
            s.ok("PUT", "/v1/kv/k", "resets LockIndex")
            s.ok("PUT", "/v1/session/destroy/" + session)


def test_lock_delay_is_never_early():
    with Agent() as s:
        a, b = s.create(LockDelay="1s"), s.create()
        equal(s.acquire("k", a)[0], True)
        # A release has none.
        s.ok("PUT", "/v1/kv/k?release=" + a)
        equal(s.acquire("k", a)[0], True)
        began = time.monotonic()
        s.ok("PUT", "/v1/session/destroy/" + a)
        while not s.acquire("k", b)[0]:
            assert time.monotonic() - began < 10
            s.get("/v1/kv/k?index=%d&wait=20ms" % s.row("k")["ModifyIndex"])
        took = time.monotonic() - began
        assert took >= 1.0, took
        r = s.put("/v1/txn", json.dumps([{"KV": {"Verb": "get", "Key": "k"}}]).encode())
        equal(r.json()["Results"][0]["KV"]["Session"], b)


def test_ttl_is_never_early_nor_doubled():
    with Agent(config={"session_ttl_min": "1s"}) as s:
        a = s.create(TTL="2s", Behavior="delete")
        equal(s.acquire("k", a)[0], True)
        for _ in range(3):
            s.get("/v1/kv/k?index=%d&wait=700ms" % s.row("k")["ModifyIndex"])
            began = time.monotonic()
            s.ok("PUT", "/v1/session/renew/" + a)
        answered = time.monotonic()
        r = s.get("/v1/kv/k?index=%d&wait=20s" % s.row("k")["ModifyIndex"])
        now = time.monotonic()
        equal(r.status, 404)
        assert now - began >= 2.0 and now - answered < 3.5, (now - began, now - answered)
        equal(s.get("/v1/session/info/" + a).json(), [])


def test_ttl_outlives_a_restart():
    with tempfile.TemporaryDirectory() as data:
        with Agent(config={"session_ttl_min": "1s"}, data_dir=data) as s:
            a = s.create(TTL="2s")
            s.ok("PUT", "/v1/kv/t?ttl=2s", "x")
            s.stop()
            s.start()
            began = time.monotonic()
            herald.eventually(lambda: s.get("/v1/session/info/" + a).json() == [], "its end")
            herald.eventually(lambda: s.row("t") is None, "the key's end")
            assert time.monotonic() - began < 8


# --- keys that expire ------------------------------------------------------------------------

def test_keys_expire():
    with Agent() as s:
        began = time.monotonic()
        equal(s.ok("PUT", "/v1/kv/a?ttl=1s", "x").json(), True)
        equal(s.ok("PUT", "/v1/kv/b?ttl=1s", "x").json(), True)
        s.ok("PUT", "/v1/kv/b", "x")
        r = s.get("/v1/kv/a?index=%d&wait=20s" % s.row("a")["ModifyIndex"])
        equal(r.status, 404)
        assert time.monotonic() - began >= 1.0
        assert s.row("b") is not None
        equal(s.ok("PUT", "/v1/kv/c?ttl=1s&cas=7", "x").json(), False)
        r = s.put("/v1/kv/c?ttl=zz", b"x")
        assert r.status == 400 and "Invalid ttl" in r.text(), r
        r = s.put("/v1/kv/c?ttl=1s&acquire=" + UNKNOWN, b"x")
        equal(r.status, 400)


# --- transactions ----------------------------------------------------------------------------

def txn(s, *ops):
    r = s.put("/v1/txn", json.dumps(ops).encode())
    return r.status, r.json()


def kv(verb, key, value=None, **more):
    op = dict({"Verb": verb, "Key": key}, **more)
    if value is not None:
        op["Value"] = base64.b64encode(value.encode()).decode()
    return {"KV": op}


def whats(answer):
    return [(e["OpIndex"], e["What"]) for e in answer["Errors"]]


def test_txn_of_keys():
    with Agent() as s:
        a, b = s.create(), s.create()
        status, got = txn(s, kv("set", "p/1", "x", Flags=2**64 - 1), kv("get", "p/1"),
                          kv("set", "p/2", "y"), kv("get-tree", "p/"),
                          kv("get-or-empty", "nope"), kv("check-not-exists", "nope"),
                          kv("lock", "p/l", "z", Session=a), kv("check-session", "p/l", Session=a))
        equal(status, 200)
        rows = [r["KV"] for r in got["Results"]]
        equal([r["Key"] for r in rows], ["p/1", "p/1", "p/2", "p/1", "p/2", "nope", "p/l", "p/l"])
        equal(rows[0]["Value"], None)
        equal(rows[0]["Flags"], 2**64 - 1)
        equal(rows[1]["Value"], "eA==")
        equal(rows[6]["Session"], a)
        equal(len({r["ModifyIndex"] for r in rows if r["ModifyIndex"]}), 1)
        index = rows[0]["ModifyIndex"]
        status, got = txn(
            s, kv("cas", "p/1", "n", Index=1), kv("delete-cas", "p/1", Index=1),
            kv("check-index", "p/1", Index=1), kv("check-index", "nope", Index=1),
            kv("check-not-exists", "p/1"), kv("get", "nope"),
            kv("lock", "p/l", "n", Session=b), kv("unlock", "p/l", "n", Session=b),
            kv("check-session", "p/l", Session=b), kv("lock", "q", "n"),
            kv("lock", "q", "n", Session=UNKNOWN), kv("bogus", "q"), kv("set", "q", "written?"))
        equal(status, 409)
        equal(got["Results"], None)
        equal(whats(got), [
            (0, 'failed to set key "p/1", index is stale'),
            (1, 'failed to delete key "p/1", index is stale'),
            (2, 'failed index check for key "p/1", current modify index %d != 1' % index),
            (3, 'key "nope" doesn\'t exist'),
            (4, 'key "p/1" exists'),
            (5, 'key "nope" doesn\'t exist'),
            (6, 'failed to lock key "p/l", lock is already held'),
            (7, 'failed to unlock key "p/l", lock isn\'t held, or is held by another session'),
            (8, 'failed session check for key "p/l", current session "%s" != "%s"' % (a, b)),
            (9, 'missing session'),
            (10, 'invalid session "%s"' % UNKNOWN),
            (11, 'unknown KV verb "bogus"')])
        equal(s.row("q"), None)
        equal(s.row("p/1")["ModifyIndex"], index)
        equal(whats(txn(s, kv("lock", "q", "n", Session="bogus"))[1]), [
            (0, "failed session lookup: index error: UUID must be 36 characters")])
        status, got = txn(s, kv("unlock", "p/l", "n", Session=a), kv("delete", "p/1"),
                          kv("delete-tree", "p/"), kv("get-tree", "p/"))
        equal((status, len(got["Results"])), (200, 1))
        equal(s.get("/v1/kv/p/?recurse").status, 404)


def test_txn_of_the_catalog():
    with Agent() as s:
        node = {"Node": "n2", "Address": "1.2.3.4"}
        service = {"ID": "s1", "Service": "s", "Port": 1}
        check = {"Node": "n2", "CheckID": "c1", "Name": "c", "Status": "passing",
                 "ServiceID": "s1"}
        one = {"Node": {"Verb": "set", "Node": node}}
        two = {"Service": {"Verb": "set", "Node": "n2", "Service": service}}
        three = {"Check": {"Verb": "set", "Check": check}}
        equal(txn(s, two)[0], 409)
        equal(whats(txn(s, two)[1]), [(0, "Missing node registration")])
        equal(whats(txn(s, one, three)[1]), [(1, "Missing service registration")])
        equal(s.get("/v1/catalog/node/n2").json(), None)
        status, got = txn(s, one, two, three)
        equal(status, 200)
        equal(got["Results"][0]["Node"]["Datacenter"], "dc1")
        equal(got["Results"][1]["Service"]["Tags"], None)
        equal(got["Results"][2]["Check"]["ServiceName"], "s")
        equal(len(s.get("/v1/health/service/s").json()), 1)
        status, got = txn(
            s, {"Node": {"Verb": "get", "Node": {"Node": "zz"}}},
            {"Service": {"Verb": "get", "Node": "n2", "Service": {"ID": "zz"}}},
            {"Check": {"Verb": "get", "Check": {"Node": "n2", "CheckID": "zz"}}},
            {"Node": {"Verb": "cas", "Node": dict(node, ModifyIndex=1)}},
            {"Service": {"Verb": "delete-cas", "Node": "n2",
                         "Service": dict(service, ModifyIndex=1)}},
            {"Check": {"Verb": "bogus", "Check": check}})
        equal(status, 409)
        equal(whats(got), [
            (0, 'node "zz" doesn\'t exist'),
            (1, 'service "zz" on node "n2" doesn\'t exist'),
            (2, 'check "zz" on node "n2" doesn\'t exist'),
            (3, 'failed to set node "n2", index is stale'),
            (4, 'failed to delete service "s1" on node "n2", index is stale'),
            (5, 'unknown Check verb "bogus"')])
        session = s.create(Node="n2", NodeChecks=["c1"])
        status, got = txn(s, {"Session": {"Verb": "delete", "Session": {"ID": session}}},
                          {"Node": {"Verb": "delete", "Node": {"Node": "n2"}}})
        equal((status, got["Results"]), (200, []))
        equal(s.get("/v1/health/service/s").json(), [])
        equal(s.get("/v1/session/info/" + session).json(), [])


def test_txn_limits():
    with Agent(config={"herald": {"txn_ops_max": 64}, "limits": {"txn_max_req_len": 100000}}) as s:
        ops = [kv("set", "k%d" % i, "x") for i in range(65)]
        s.says(413, "Transaction contains too many operations (65 > 64)", "PUT", "/v1/txn", ops)
        equal(txn(s, *ops[:64])[0], 200)
        r = s.put("/v1/txn", b"[" + b" " * 100000 + b"]")
        equal(r.status, 413)
        assert r.text().startswith("Request body(100002 bytes) too large, max size: 100000"), r
        s.says(400, "Failed to parse body: invalid character 'b' looking for beginning of object "
               "key string", "PUT", "/v1/txn", "{bad")
        equal(txn(s)[1]["Results"], [])
        equal(s.put("/v1/txn", b'[{"KV":{"Verb":"set","Key":"a","Value":"!"}}]').status, 400)
        equal(s.put("/v1/txn", b'[{"Zz":{}}]').status, 400)


def test_txn_is_one_step_of_the_stream():
    with Agent() as s:
        with s.ndjson("topic=kv&prefix=t/") as stream:
            equal(txn(s, kv("set", "t/1", "a"), kv("set", "t/2", "b"), kv("delete", "t/1"))[0], 200)
            events = [stream.next_event() for _ in range(3)]
        equal(len({e["index"] for e in events}), 1)


# --- events ----------------------------------------------------------------------------------

def test_events():
    with Agent() as s:
        s.says(400, "Missing name", "PUT", "/v1/event/fire/")
        s.says(500, "Cannot provide tag filter without service filter", "PUT",
               "/v1/event/fire/deploy?tag=v1")
        r = s.put("/v1/event/fire/big", b"x" * 513)
        assert r.status == 500 and "exceeds configured limit of 512 bytes" in r.text(), r
        r = s.get("/v1/event/list")
        equal((r.json(), r.index()), ([], 1))
        one = s.ok("PUT", "/v1/event/fire/deploy", "payload").json()
        equal((one["Payload"], one["Version"], one["LTime"]), ("cGF5bG9hZA==", 1, 0))
        r = s.get("/v1/event/list")
        digits = one["ID"].replace("-", "")
        equal(r.index(), int(digits[:16], 16) ^ int(digits[16:], 16))
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(
            s.get("/v1/event/list?index=%d&wait=20s" % r.index())))
        waiter.start()
        s.ok("PUT", "/v1/kv/other", "x")
        two = s.ok("PUT", "/v1/event/fire/other?node=n.*&service=web&tag=v1").json()
        equal((two["NodeFilter"], two["ServiceFilter"], two["TagFilter"]), ("n.*", "web", "v1"))
        waiter.join(15)
        equal([e["ID"] for e in answers[0].json()], [one["ID"], two["ID"]])
        equal([e["ID"] for e in s.get("/v1/event/list?name=other").json()], [two["ID"]])


def test_coordinates():
    with Agent() as s:
        where = {"Vec": [0.5, 1, 2, 3, 4, 5, 6, 7], "Error": 1.5, "Adjustment": 0, "Height": 1e-05}
        s.ok("PUT", "/v1/coordinate/update", {"Node": "w1", "Segment": "", "Coord": where})
        equal(s.get("/v1/coordinate/node/w1").json()[0]["Coord"], where)
        equal(len(s.get("/v1/coordinate/nodes").json()), 1)
        equal(s.get("/v1/coordinate/node/zz").status, 404)
        equal(s.get("/v1/coordinate/datacenters").json()[0]["Datacenter"], "dc1")


# --- the command line ------------------------------------------------------------------------

def command(s, *args, **kw):
    return herald.run([herald.program()] + list(args),
                      env={"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port}, **kw)


def test_command_event():
    with Agent() as s:
        code, out, err = command(s, "event", "-name=deploy", "payload")
        assert code == 0 and out.startswith("Event ID: "), (code, out, err)
        equal(command(s, "event")[0], 1)


def test_command_lock():
    with Agent() as s:
        own = s.get("/v1/agent/self").json()["Config"]["NodeName"]
        s.ok("PUT", "/v1/catalog/register",
             {"Node": own, "Address": "127.0.0.1",
              "Check": {"Node": own, "CheckID": "serfHealth", "Name": "s", "Status": "passing"}})
        code, out, err = command(s, "lock", "-verbose", "lk", "echo", "hi;", "echo",
                                 "$CONSUL_LOCK_HELD")
        equal((code, out.splitlines()),
              (0, ["Setting up lock at path: lk/.lock", "Attempting lock acquisition",
                   "Starting handler", "hi", "true", "Child terminated, releasing lock"]))
        equal(s.row("lk/.lock")["Flags"], 0x2ddccbc058a50c18)
        equal(command(s, "lock", "-child-exit-code", "lk", "exit 3")[0], 2)
        # Held by another: it waits, and gives up.
        session = s.create()
        equal(s.acquire("lk/.lock", session)[0], True)
        code, out, err = command(s, "lock", "-try=1s", "lk", "echo", "never")
        assert code == 1 and "never" not in out, (code, out, err)
        # Two slots: two at a time, and both come to their end.
        for _ in range(2):
            equal(command(s, "lock", "-n=2", "sem", "echo", "in")[0], 0)
        equal(command(s, "lock", "-n=3", "sem", "echo", "in")[0], 1)
        equal(s.row("sem/.lock")["Flags"], 0xe0f69a2baa414de0)


def test_command_lock_lost():
    with Agent() as s:
        own = s.get("/v1/agent/self").json()["Config"]["NodeName"]
        s.ok("PUT", "/v1/catalog/register",
             {"Node": own, "Address": "127.0.0.1",
              "Check": {"Node": own, "CheckID": "serfHealth", "Name": "s", "Status": "passing"}})
        env = {"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port}
        with herald.Program([herald.program(), "lock", "lk", "echo held; sleep 60"], env=env) as p:
            p.line_with("held")
            s.ok("PUT", "/v1/session/destroy/" + s.row("lk/.lock")["Session"])
            equal(p.process.wait(20), 1)


def test_command_lock_interrupted():
    with Agent() as s:
        own = s.get("/v1/agent/self").json()["Config"]["NodeName"]
        s.ok("PUT", "/v1/catalog/register",
             {"Node": own, "Address": "127.0.0.1",
              "Check": {"Node": own, "CheckID": "serfHealth", "Name": "s", "Status": "passing"}})
        env = {"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port}
        with herald.Program([herald.program(), "lock", "lk", "echo held; sleep 60"], env=env) as p:
            p.line_with("held")
            p.process.send_signal(signal.SIGTERM)
            equal(p.process.wait(20), 1)
        assert "Session" not in s.row("lk/.lock")
        # Given back, not lost: there is no delay.
        equal(s.acquire("lk/.lock", s.create())[0], True)


# --- fencing ---------------------------------------------------------------------------------

WORKER = r"""
import json, sys, urllib.request
port, store, number = sys.argv[1:4]
base = "http://127.0.0.1:%s/v1/" % port
def call(path, body=b"", method="PUT"):
    r = urllib.request.urlopen(urllib.request.Request(base + path, data=body, method=method))
    return json.loads(r.read()), r.headers
def write(line):
    with open(store, "a") as f:
        f.write(line + "\n")
while True:
    session = call("session/create", json.dumps(
        {"Node": "w1", "NodeChecks": [], "TTL": "1s", "LockDelay": "0s"}).encode())[0]["ID"]
    try:
        while True:
            done, headers = call("kv/lock?acquire=" + session, number.encode())
            if done:
                token = headers["X-Herald-Fence"]
                for step in range(10):
                    write("%s %s %d" % (token, number, step))
                    call("status/leader", None, "GET")
                call("kv/lock?release=" + session, b"")
            call("session/renew/" + session)
    except urllib.error.HTTPError:
        pass
"""


def test_fencing_with_stopped_workers():
    """16 workers take one lock in turn and append with their token; some are stopped for longer
    than their session lives, in the middle of it. What a fenced store would take is then one
    holder after the other: no token below one that came before is let in."""
    workers = []
    with tempfile.TemporaryDirectory() as folder, Agent(config={"session_ttl_min": "1s"}) as s:
        store = os.path.join(folder, "store")
        open(store, "w").close()
        try:
            for i in range(16):
                workers.append(subprocess.Popen(
                    [sys.executable, "-c", WORKER, str(s.port), store, str(i)],
                    stderr=subprocess.DEVNULL))
            dice = random.Random(4)
            stopped = {}
            end = time.monotonic() + 12 * herald.SLOW
            while time.monotonic() < end:
                now = time.monotonic()
                for w in [w for w, until in stopped.items() if until <= now]:
                    w.send_signal(signal.SIGCONT)
                    del stopped[w]
                # Mostly the one that holds it, in the middle of its work.
                row = s.row("lock")
                held = row is not None and row.get("Session")
                number = int(base64.b64decode(row["Value"])) if held and row["Value"] else None
                victim = workers[number] if number is not None else dice.choice(workers)
                if victim not in stopped and len(stopped) < 8 and dice.random() < 0.3:
                    victim.send_signal(signal.SIGSTOP)
                    stopped[victim] = now + dice.choice([0.3, 2.5, 3])
                s.get("/v1/kv/none?index=%d&wait=30ms" % s.index())
        finally:
            for w in workers:
                w.send_signal(signal.SIGKILL)
                w.wait()
        highest, holders, refused, taken = 0, {}, 0, 0
        for line in open(store).read().splitlines():
            if len(line.split()) != 3:
                continue
            token, number, _ = [int(x) for x in line.split()]
            if token < highest:
                refused += 1
                continue
            highest = token
            taken += 1
            equal(holders.setdefault(token, number), number)
        print("# fencing: %d writes taken of %d holders, %d late ones refused"
              % (taken, len(holders), refused))
        assert taken > 20 and len(set(holders.values())) > 3, (taken, holders)
        # Without tokens these would have been double writes: the test means something.
        assert refused > 0


if __name__ == "__main__":
    herald.main([value for name, value in sorted(globals().items())
                 if name.startswith("test_")])
