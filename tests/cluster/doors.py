#!/usr/bin/env python3
"""What clients see of three servers: who leads, how new a read is, what its headers say, blocking
queries and streams across servers, orders about members and servers, and their commands.

The servers are real, on 127.0.0.1, each on ports of its own. `doors.py [NAME...]` runs those tests
whose name holds one of the words; a cluster is shared by the tests that leave it whole.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from herald import eventually  # noqa: E402
from report import check, equal  # noqa: E402

KEY = "jvpf7z2li/R9GFlDoO7ZAi0HvRyXGUdGvedUYtuHQaw="
KEY_2 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
FAST = {"performance": {"leave_drain_time": "100ms"}, "autopilot": {
    "server_stabilization_time": "200ms"}}


class Node(herald.Server):
    """One server of a cluster."""

    def __init__(self, name, expect, join, config=None, extra=()):
        self.name = name
        self.serf, self.rpc = herald.free_port(), herald.free_port()
        self.cluster = ["-server", "-node=" + name, "-bind=127.0.0.1", "-encrypt=" + KEY,
                        "-server-port=%d" % self.rpc, "-serf-lan-port=%d" % self.serf]
        if expect:
            self.cluster.append("-bootstrap-expect=%d" % expect)
        self.cluster += ["-retry-join=%s" % j for j in join] + ["-retry-interval=1s"]
        data = tempfile.mkdtemp(prefix="herald-doors-")
        super().__init__(data_dir=data, config=dict(FAST, **(config or {})), args=extra,
                         start=False)

    def command(self):
        return [herald.program(), "agent"] + self.cluster + [
            "-data-dir=" + self.data_dir, "-config-file=" + self.config,
            "-http-port=%d" % self.port] + self.args

    def end(self):
        if self.running():
            self.send_signal(signal.SIGCONT)
        try:
            super().end()
        finally:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def cli(self, *args, rc=0):
        got = subprocess.run([herald.program()] + list(args), stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.STDOUT, timeout=60 * herald.SLOW,
                             env=dict(os.environ, HERALD_HTTP_ADDR="127.0.0.1:%d" % self.port))
        equal(got.returncode, rc, "%s: %s" % (" ".join(args), got.stdout))
        return got.stdout

    def leads(self):
        return self.get("/v1/agent/self").json()["Stats"]["raft"]["state"] == "Leader"

    def peers(self):
        return sorted(self.get("/v1/status/peers").json())

    def members(self):
        return {m["Name"]: m for m in self.get("/v1/agent/members").json()}

    def applied(self):
        return int(self.get("/v1/agent/self").json()["Stats"]["raft"]["applied_index"])


class Cluster:
    def __init__(self, size=3, config=None):
        self.nodes = []
        self.config = config
        try:
            for i in range(size):
                join = ["127.0.0.1:%d" % n.serf for n in self.nodes]
                self.nodes.append(Node("n%d" % (i + 1), size, join, config))
            for n in self.nodes:
                n.start(ready=False)
            for n in self.nodes:
                eventually(n._ready, n.name + " has a leader", 30)
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            for n in self.nodes:
                print("# %s:" % n.name)
                for line in n.log().splitlines()[-12:]:
                    print("#   " + line)
        self.end()

    def end(self):
        """Ends all of them, whatever one of them does, and then says what was wrong."""
        wrong = None
        for n in self.nodes:
            try:
                n.end()
            except AssertionError as e:
                wrong = wrong or e
        if wrong:
            raise wrong

    def running(self):
        return [n for n in self.nodes if n.running()]

    def leader(self):
        def one():
            leading = [n for n in self.running() if n.leads()]
            return leading[0] if len(leading) == 1 else None
        return eventually(one, "one server leads", 20)

    def followers(self):
        leader = self.leader()
        return [n for n in self.running() if n is not leader]


WHOLE = None


def whole():
    """The cluster that tests share which leave it as it was."""
    global WHOLE
    if WHOLE is None:
        WHOLE = Cluster()
    return WHOLE


# --- who is there ------------------------------------------------------------------------------

def test_every_server_names_the_same_leader_and_peers():
    c = whole()
    leader = c.leader()
    want = sorted("127.0.0.1:%d" % n.rpc for n in c.nodes)
    for n in c.nodes:
        equal(n.get("/v1/status/leader").json(), "127.0.0.1:%d" % leader.rpc)
        equal(n.peers(), want)
        eventually(lambda: len(n.members()) == 3, n.name + " knows three members")
        for m in n.members().values():
            equal(m["Status"], 1)
            equal(m["Tags"]["role"], "consul")
            equal(m["Tags"]["dc"], "dc1")
        rows = n.get("/v1/operator/raft/configuration").json()["Servers"]
        equal(sorted(r["Node"] for r in rows), ["n1", "n2", "n3"])
        equal([r["Node"] for r in rows if r["Leader"]], [leader.name])
        check(all(r["Voter"] for r in rows), "%r", rows)


def test_the_commands_show_what_consuls_do():
    c = whole()
    leader = c.leader()
    out = c.followers()[0].cli("members")
    head, *rows = out.splitlines()
    equal(head.split(), ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC",
                         "Segment"])
    equal(sorted(r.split()[0] for r in rows), ["n1", "n2", "n3"])
    check(all(r.split()[2:4] == ["alive", "server"] for r in rows), out)
    head, *rows = c.followers()[0].cli("operator", "raft", "list-peers").splitlines()
    equal(head.split(), ["Node", "ID", "Address", "State", "Voter", "RaftProtocol"])
    states = {r.split()[0]: r.split()[3] for r in rows}
    equal(states[leader.name], "leader")
    equal(sorted(states.values()), ["follower", "follower", "leader"])
    check("left" not in leader.cli("members", "-status=alive"), "only the alive")
    leader.cli("members", "-status=nothing", rc=2)
    out = leader.cli("operator", "raft", "remove-peer", "-id=zz", rc=1)
    equal(out.strip(), 'Error removing peer: Unexpected response code: 500 (id "zz" was not found '
          "in the Raft configuration)")
    out = leader.cli("force-leave", "nope", rc=1)
    equal(out.strip(), "Error force leaving: Unexpected response code: 500 (agent: No node found "
          "with name 'nope')")
    out = leader.cli("join", "127.0.0.1:9", rc=1)
    check(out.startswith("Error joining address '127.0.0.1:9'"), out)
    check("Failed to join any nodes." in out, out)
    out = leader.cli("join", "127.0.0.1:%d" % c.followers()[0].serf)
    equal(out.strip(), "Successfully joined cluster by contacting 1 nodes.")
    check("Healthy:                      true" in leader.cli("operator", "autopilot", "state"),
          "the cluster is healthy")


# --- how new a read is -------------------------------------------------------------------------

def test_a_write_through_any_server_is_read_at_once_on_every_server():
    c = whole()
    for i in range(60):
        writer = c.nodes[i % 3]
        value = b"%d" % i
        equal(writer.put("/v1/kv/fresh", value).body, b"true")
        for n in c.nodes:
            for mode in ("", "&consistent"):
                got = n.get("/v1/kv/fresh?raw" + mode)
                equal((got.status, got.body), (200, value), "%s%s" % (n.name, mode))
                equal(got.headers["x-consul-knownleader"], "true")
                check(int(got.headers["x-consul-lastcontact"]) < 1000, "%r", got.headers)


def test_the_index_never_falls_from_server_to_server():
    c = whole()
    last = 0
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            c.nodes[i % 3].put("/v1/kv/climb", b"%d" % i)
            i += 1
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for i in range(300):
            got = c.nodes[i % 3].get("/v1/kv/climb?index=%d&wait=5s&stale" % last)
            if got.status == 404:
                continue
            equal(got.status, 200, got.text())
            check(got.index() >= last, "%d fell to %d", last, got.index())
            last = got.index()
    finally:
        stop.set()
        writer.join()


def test_a_blocking_query_wakes_on_every_server():
    c = whole()
    c.leader().put("/v1/kv/wake", b"1")
    at = c.leader().get("/v1/kv/wake").index()
    answers = {}

    def wait(n):
        answers[n.name] = n.get("/v1/kv/wake?index=%d&wait=20s" % at, timeout=30)
    threads = [threading.Thread(target=wait, args=(n,)) for n in c.nodes]
    for t in threads:
        t.start()
    for n in c.nodes:
        eventually(lambda: waiting(n) > 0, "a query waits on " + n.name)
    c.followers()[0].put("/v1/kv/wake", b"2")
    for t in threads:
        t.join()
    for n in c.nodes:
        equal((answers[n.name].status, answers[n.name].json()[0]["Value"]), (200, "Mg=="))
        check(answers[n.name].index() > at, "newer")


def waiting(n):
    return int(n.get("/v1/agent/self").json()["Stats"]["stream"]["waiting_queries"])


def test_an_index_that_nobody_has_is_answered_after_the_wait():
    c = whole()
    c.leader().put("/v1/kv/far", b"1")
    at = c.leader().get("/v1/kv/far").index()
    for n in c.nodes:
        for mode in ("", "&stale"):
            began = time.monotonic()
            got = n.get("/v1/kv/far?index=%d&wait=1s%s" % (at + 10 ** 9, mode))
            equal((got.status, got.index()), (200, at), n.name + mode)
            check(0.9 < time.monotonic() - began < 8, "waited %.1f s", time.monotonic() - began)


def test_a_server_that_was_away_answers_no_older_index():
    c = whole()
    slow, leader = c.followers()[0], c.leader()
    for turn in range(5):
        slow.send_signal(signal.SIGSTOP)
        for i in range(20):
            leader.put("/v1/kv/away", b"%d.%d" % (turn, i))
        at = leader.get("/v1/kv/away").index()
        answers = []

        def ask(query):
            answers.append(slow.get("/v1/kv/away?index=%d&wait=100ms%s" % (at, query),
                                    timeout=40))
        threads = [threading.Thread(target=ask, args=(q,)) for q in ("", "&stale") * 4]
        for t in threads:
            t.start()
        slow.send_signal(signal.SIGCONT)
        for t in threads:
            t.join()
        equal(len(answers), 8)
        for got in answers:
            check(got.status == 503 or (got.status == 200 and got.index() >= at),
                  "%d at %s, %d was known: %s", got.status, got.headers.get("x-consul-index"), at,
                  got.text())
        eventually(lambda: slow.get("/v1/kv/away?stale&raw").body == b"%d.19" % turn, "caught up")


# --- streams -----------------------------------------------------------------------------------

def test_a_stream_goes_on_at_another_server_by_its_cursor():
    c = whole()
    epochs = {n.get("/v1/agent/self").json()["Stats"]["stream"]["epoch"] for n in c.nodes}
    equal(len(epochs), 1, "one epoch")
    base = c.leader().get("/v1/kv/?keys").index()
    for i in range(30):
        c.nodes[i % 3].put("/v1/kv/s/%d" % i, b"x")
    cursor, seen = base, []
    for turn in range(6):
        n = c.nodes[turn % 3]
        lines = n.ndjson("prefix=s/&index=%d&epoch=%s&limit=5&consistent" % (
            cursor, next(iter(epochs))))
        for m in iter(lines.next, None):
            if "op" in m:
                seen.append(m["key"])
                cursor = m["index"]
            elif m.get("type") == "mark":
                break
        lines.c.close()
    equal(seen, ["s/%d" % i for i in range(30)])


def test_bye_names_another_server():
    with Cluster() as c:
        n = c.followers()[0]
        eventually(lambda: len(n.members()) == 3, "three members")
        ws = n.websocket()
        ws.send({"type": "subscribe", "id": 1})
        ws.next_of("subscribed")
        n.send_signal(signal.SIGTERM)
        bye = ws.next_of("bye")
        ws.close()
        check(bye["hint"] in ["127.0.0.1:%d" % o.port for o in c.nodes if o is not n], "%r", bye)
        equal(n.wait(), 0)


def test_a_restored_backup_wakes_everybody_and_begins_an_epoch():
    with Cluster() as c:
        leader = c.leader()
        leader.put("/v1/kv/r/a", b"old")
        backup = leader.get("/v1/snapshot")
        equal(backup.status, 200)
        leader.put("/v1/kv/r/a", b"new")
        leader.put("/v1/kv/r/b", b"new")
        at = leader.get("/v1/kv/r/?recurse").index()
        epoch = leader.get("/v1/agent/self").json()["Stats"]["stream"]["epoch"]
        answers, sockets = {}, {}

        def wait(n):
            answers[n.name] = n.get("/v1/kv/r/?recurse&index=%d&wait=60s" % at, timeout=90)
        threads = [threading.Thread(target=wait, args=(n,)) for n in c.nodes]
        for n in c.nodes:
            sockets[n.name] = n.websocket()
            sockets[n.name].send({"type": "subscribe", "id": 1})
            sockets[n.name].next_of("subscribed")
        for t in threads:
            t.start()
        for n in c.nodes:
            eventually(lambda: waiting(n) > 0, "a query waits on " + n.name)
        equal(c.followers()[0].put("/v1/snapshot", backup.body, timeout=60).status, 200)
        for t in threads:
            t.join(60)
        for n in c.nodes:
            equal((answers[n.name].status, [r["Key"] for r in answers[n.name].json()]),
                  (200, ["r/a"]), n.name)
            end = sockets[n.name].next_of("compacted")
            equal((end or {}).get("why"), "epoch", n.name)
            got = n.get("/v1/kv/r/a?raw")
            equal(got.body, b"old")
        epochs = {n.get("/v1/agent/self").json()["Stats"]["stream"]["epoch"] for n in c.nodes}
        check(len(epochs) == 1 and epoch not in epochs, "%r after %s", epochs, epoch)
        answer = c.nodes[1].get("/v1/stream?format=ndjson&index=%d&epoch=%s" % (at, epoch))
        equal(answer.status, 410, answer.text())
        for ws in sockets.values():
            ws.close()


# --- without a leader --------------------------------------------------------------------------

def test_without_a_leader_only_stale_is_answered_and_says_so():
    with Cluster() as c:
        c.leader().put("/v1/kv/a", b"1")
        last = c.nodes[0]
        eventually(lambda: last.get("/v1/kv/a?stale").status == 200, "the write is everywhere")
        at = last.get("/v1/kv/a?stale").index()
        for n in c.nodes[1:]:
            n.kill()
        eventually(lambda: last.get("/v1/kv/a", timeout=30).status == 500, "no leader", 30)
        said = last.get("/v1/kv/a", timeout=30).text()
        check(said.startswith("No cluster leader"), "it says %s", said)
        check(last.get("/v1/kv/a?consistent", timeout=30).status == 500, "consistent")
        got = last.get("/v1/kv/a?stale")
        equal((got.status, got.headers["x-consul-knownleader"]), (200, "false"))
        check(int(got.headers["x-consul-lastcontact"]) > 0, "%r", got.headers)
        equal(last.get("/v1/kv/a?max_stale=1ms", timeout=30).status, 500)
        equal(last.get("/v1/kv/a?max_stale=10m").status, 200)
        got = last.get("/v1/kv/a?stale&index=%d&wait=500ms" % (at + 100))
        equal(got.status, 503, got.text())
        check("has not reached index %d" % (at + 100) in got.text(), got.text())
        equal(last.get("/v1/status/leader").json(), "")
        equal(last.get("/v1/operator/raft/configuration").status, 500)
        equal(len(last.get("/v1/operator/raft/configuration?stale").json()["Servers"]), 3)
        ws = last.websocket(timeout=30)
        ws.send({"type": "subscribe", "id": 1, "consistent": True})
        equal(ws.next_of("error", "subscribed").get("code"), "not_ready")
        check(last.put("/v1/kv/a", b"2", timeout=30).status >= 500, "no write")
        for n in c.nodes[1:]:
            n.start(ready=False)
        eventually(lambda: last.put("/v1/kv/a", b"3", timeout=30).status == 200, "writes", 30)


# --- orders ------------------------------------------------------------------------------------

def test_leadership_goes_where_it_is_sent():
    c = whole()
    for via in c.nodes:
        target = c.followers()[0]
        rows = via.get("/v1/operator/raft/configuration").json()["Servers"]
        id = [r["ID"] for r in rows if r["Node"] == target.name][0]
        equal(via.cli("operator", "raft", "transfer-leader", "-id=" + id).strip(), "Success")
        eventually(target.leads, target.name + " leads")
        equal(c.leader().name, target.name)
    got = c.nodes[0].request("POST", "/v1/operator/raft/transfer-leader")
    equal(got.json(), {"Success": True})
    c.leader()


def test_autopilots_configuration_is_the_clusters():
    c = whole()
    out = c.followers()[0].cli("operator", "autopilot", "set-config", "-max-trailing-logs=321",
                               "-cleanup-dead-servers=true")
    equal(out.strip(), "Configuration updated!")
    for n in c.nodes:
        row = n.get("/v1/operator/autopilot/configuration?consistent").json()
        equal((row["MaxTrailingLogs"], row["LastContactThreshold"]), (321, "200ms"))
        check(row["ModifyIndex"] >= row["CreateIndex"] > 0, "%r", row)
        check("MaxTrailingLogs = 321" in n.cli("operator", "autopilot", "get-config"), n.name)
    path = "/v1/operator/autopilot/configuration"
    equal(c.nodes[0].put(path + "?cas=1", b'{"MaxTrailingLogs": 1}').body, b"false")
    equal(c.nodes[0].put(path + "?cas=%d" % row["ModifyIndex"],
                         b'{"MaxTrailingLogs": 250}').body, b"true")
    equal(c.nodes[0].put(path, b'{"MaxTrailingLogs": "x"}').status, 400)
    health = c.leader().get("/v1/operator/autopilot/health")
    equal((health.status, health.json()["FailureTolerance"]), (200, 1))
    equal(len(c.leader().get("/v1/operator/autopilot/state").json()["Voters"]), 3)
    other = c.followers()[0].get("/v1/operator/autopilot/health")
    equal(other.status, 500)
    check("127.0.0.1:%d" % c.leader().port in other.text(), other.text())


def test_keys_are_exchanged_while_the_servers_run():
    c = whole()
    n = c.nodes[0]
    check("%s [3/3]" % KEY in n.cli("keyring", "-list"), n.cli("keyring", "-list"))
    n.cli("keyring", "-install=" + KEY_2)
    check("%s [3/3]" % KEY_2 in c.nodes[1].cli("keyring", "-list"), "installed everywhere")
    n.cli("keyring", "-use=" + KEY_2)
    n.cli("keyring", "-remove=" + KEY)
    out = c.nodes[2].cli("keyring", "-list")
    check(KEY not in out and "%s [3/3]" % KEY_2 in out, out)
    c.nodes[1].cli("keyring", "-install=" + KEY)
    c.nodes[1].cli("keyring", "-use=" + KEY)
    c.nodes[1].cli("keyring", "-remove=" + KEY_2)
    n.cli("keyring", "-remove=" + KEY, rc=1)


def test_who_leaves_is_no_voter_any_more():
    with Cluster() as c:
        for gone in (c.leader(), None):
            gone = gone or c.followers()[0]
            kept = [n for n in c.running() if n is not gone]
            if len(kept) < 2:
                break
            equal(gone.cli("leave").strip(), "Graceful leave complete")
            equal(gone.wait(), 0)
            for n in kept:
                eventually(lambda: len(n.peers()) == len(kept), "the voters are %d" % len(kept), 20)
                eventually(lambda: n.members()[gone.name]["Status"] == 3, gone.name + " left", 20)
            eventually(lambda: kept[0].put("/v1/kv/x", b"1").status == 200, "writes go on", 20)


def test_leave_on_terminate_shrinks_the_voters_one_at_a_time():
    with Cluster(5, {"leave_on_terminate": True}) as c:
        leader = c.leader()
        gone = [leader] + [n for n in c.nodes if n is not leader][:1]
        kept = [n for n in c.nodes if n not in gone]
        for n in gone:
            n.send_signal(signal.SIGTERM)
        for n in gone:
            equal(n.wait(60), 0)
        for n in kept:
            eventually(lambda: len(n.peers()) == 3, "three voters are left", 30)
        eventually(lambda: kept[0].put("/v1/kv/x", b"1").status == 200, "writes go on", 30)
        equal(kept[1].get("/v1/kv/x?consistent&raw").body, b"1")


def dead_follower(c):
    """One that was killed, and that gossip has given up; and its id."""
    dead = c.followers()[0]
    rows = dead.get("/v1/operator/raft/configuration").json()["Servers"]
    dead.kill()
    leader = c.leader()
    eventually(lambda: leader.members()[dead.name]["Status"] == 4, "it is failed", 60)
    return dead, [r["ID"] for r in rows if r["Node"] == dead.name][0]


def test_a_dead_server_is_removed_by_order():
    with Cluster(config={"autopilot": {"cleanup_dead_servers": False}}) as c:
        dead, id = dead_follower(c)
        leader = c.leader()
        health = leader.get("/v1/operator/autopilot/health")
        equal((health.status, health.json()["Healthy"]), (429, False))
        out = c.followers()[0].cli("operator", "raft", "remove-peer", "-id=" + id)
        equal(out.strip(), 'Removed peer with id "%s"' % id)
        equal(len(leader.peers()), 2)
        dead.start(ready=False)
        eventually(lambda: len(leader.peers()) == 3, "it comes back by itself", 30)


def test_a_dead_server_is_forced_to_leave():
    with Cluster() as c:
        dead, _ = dead_follower(c)
        leader = c.leader()
        leader.cli("force-leave", dead.name)
        eventually(lambda: leader.members()[dead.name]["Status"] == 3, "it is left")
        eventually(lambda: len(leader.peers()) == 2, "two are left")
        leader.cli("force-leave", "-prune", dead.name)
        eventually(lambda: dead.name not in leader.members(), "it is forgotten")


# --- starting ----------------------------------------------------------------------------------

def start_error(*args):
    data = tempfile.mkdtemp(prefix="herald-doors-")
    try:
        got = subprocess.run([herald.program(), "agent", "-data-dir=" + data] + list(args),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=30 * herald.SLOW)
        check(got.returncode == 1, "rc %d: %s", got.returncode, got.stdout)
        return got.stdout
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_what_cannot_be_joined_or_found_is_said():
    ports = ["-bind=127.0.0.1", "-server-port=0", "-serf-lan-port=0",
             "-http-port=%d" % herald.free_port()]
    out = start_error("-server", "-bootstrap-expect=3", "-join=127.0.0.1:9", *ports)
    check("start_join: none of the agents could be joined" in out, out)
    out = start_error("-server", "-bootstrap-expect=3", "-retry-join=127.0.0.1:9", "-retry-max=2",
                      "-retry-interval=1s", *ports)
    check("retry_max tries were made" in out, out)
    check(len(re.findall("No agent could be joined", out)) == 2, out)
    out = start_error("-server", "-bootstrap-expect=3")
    check("encrypt is not set" in out, out)
    out = start_error("-server", "-retry-join=provider=aws tag_key=a", *ports)
    check("provider=aws" in out and "tag_value= are needed" in out, out)
    out = start_error("-server", "-retry-join=provider=gce tag_value=a", *ports)
    check("provider=gce" in out, out)


if __name__ == "__main__":
    try:
        herald.main([test for name, test in sorted(globals().items()) if name[:5] == "test_"])
    finally:
        if WHOLE is not None:
            WHOLE.end()
