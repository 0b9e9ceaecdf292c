#!/usr/bin/env python3
"""What the README tells operators to do at night, with real servers, case by case.

    steps.py [NAME...]     all, or those whose name contains one of the words

Only what an operator has is used: signals, the command line, files in the data directory.
"""

import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from cluster import HTTP, RPC, Cluster  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()
SETTINGS = {"leave_on_terminate": True, "autopilot": {"server_stabilization_time": "1s"},
            "performance": {"leave_drain_time": "100ms"}}


def cluster(count, expect=None, **settings):
    """`expect` of them run and are a cluster; the rest are for later."""
    c = Cluster("herald", count, network="loopback", expect=expect or count, start=False,
                config=dict(SETTINGS, **settings))
    try:
        for n in c.nodes[:c.expect]:
            n.start()
        wait_voters(c.nodes[0], c.nodes[:c.expect])
    except BaseException:
        c.close()
        raise
    return c


def cli(node, *words):
    """(exit code, what it said)"""
    env = dict(os.environ, HERALD_HTTP_ADDR="%s:%d" % (node.address, HTTP))
    got = subprocess.run([herald.program()] + list(words), env=env, text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return got.returncode, got.stdout


def voters(node):
    """Addresses, as the command line shows them."""
    code, said = cli(node, "operator", "raft", "list-peers")
    rows = [line.split() for line in said.splitlines()[1:]] if code == 0 else []
    return {row[2] for row in rows if len(row) >= 5 and row[4] == "true"}


def rpc(nodes):
    return {"%s:%d" % (n.address, RPC) for n in nodes}


def wait_voters(node, nodes, timeout=60.0):
    try:
        herald.eventually(lambda: voters(node) == rpc(nodes), "the voters", timeout)
    except AssertionError:
        raise AssertionError("the voters are %s, wanted %s\n%s" % (
            sorted(voters(node)), sorted(rpc(nodes)), node.cluster.tails(12))) from None


def write(node, key, value, timeout=30.0):
    herald.eventually(lambda: node.write(key, value), "a write by " + node.name, timeout)


def everywhere(nodes, key, value):
    for n in nodes:
        herald.eventually(lambda n=n: n.has(key, value), "%s has %s" % (n.name, key))


def lose(node):
    """The machine is gone, and its disk."""
    node.kill()
    node.wipe()


def raft_file(node, name):
    return os.path.join(node.disk.data(), "raft", name)


def node_id(node):
    with open(os.path.join(node.disk.data(), "node-id"), encoding="ascii") as f:
        return f.read().strip()


def write_peers(node, content):
    with open(raft_file(node, "peers.json"), "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))


def peer(node):
    return {"id": node_id(node), "address": "%s:%d" % (node.address, RPC)}


def recover(nodes, content):
    """The steps of the README: all are stopped; the same file on each; all are started."""
    for n in nodes:
        check(not n.running(), "%s runs", n.name)
        write_peers(n, content)
    for n in nodes:
        n.start()
    for n in nodes:
        herald.eventually(lambda n=n: not os.path.exists(raft_file(n, "peers.json")),
                          "%s applied the file" % n.name)


# --- one is lost -------------------------------------------------------------------------------

@R.test
def one_lost_comes_back():
    with cluster(3) as c:
        a, b, lost = c.nodes
        write(a, "k", "1")
        lost.kill()
        write(a, "k", "2")
        lost.start()
        everywhere([a, b, lost], "k", "2")
        write(lost, "k", "3")
        wait_voters(a, c.nodes)


@R.test
def one_lost_is_replaced():
    """The new one gets the vote, and the dead one's is taken away."""
    with cluster(4, expect=3) as c:
        a, b, lost, new = c.nodes
        write(a, "k", "1")
        lose(lost)
        new.start()
        wait_voters(a, [a, b, new])
        everywhere([new], "k", "1")
        write(new, "k", "2")


@R.test
def one_lost_is_removed_by_hand():
    """Without a replacement, and without waiting for autopilot."""
    with cluster(3) as c:
        a, b, lost = c.nodes
        identity = node_id(lost)
        lose(lost)
        write(a, "k", "1")
        herald.eventually(lambda: cli(a, "operator", "raft", "remove-peer", "-id=" + identity)[0]
                          == 0, "the order is taken")
        wait_voters(a, [a, b])
        write(b, "k", "2")


@R.test
def one_disk_is_lost():
    """The same machine, the same address, a new disk: a new server."""
    with cluster(3) as c:
        a, b, lost = c.nodes
        write(a, "k", "1")
        before = node_id(lost)
        lose(lost)
        write(a, "k", "2")
        lost.start()
        herald.eventually(lambda: lost.has("k", "2"), "the newcomer has it all")
        check(node_id(lost) != before, "it has its old id")
        write(lost, "k", "3")
        wait_voters(a, c.nodes)
        herald.eventually(lambda: len(cli(a, "operator", "raft", "list-peers")[1].splitlines())
                          == 4, "the lost one's old self is gone", 30)


@R.test
def a_minority_of_five_is_replaced():
    with cluster(7, expect=5) as c:
        a, b, d, lost1, lost2, new1, new2 = c.nodes
        write(a, "k", "1")
        lose(lost1)
        lose(lost2)
        write(a, "k", "2")
        new1.start()
        new2.start()
        wait_voters(a, [a, b, d, new1, new2])
        everywhere([new1, new2], "k", "2")


# --- quorum is lost ------------------------------------------------------------------------------

def refused_start(node, content, *words):
    """A wrong file: the server ends, says what is wrong, and leaves the file alone."""
    write_peers(node, content)
    offset = len(node.log())
    node.start()
    node.expected = False
    code = node.process.wait(20 * herald.SLOW)
    said = node.log()[offset:]
    equal(code, 1, "exit code with %r" % (content,))
    check("peers.json" in said and "Error starting agent" in said, "it says: %s", said[-400:])
    for word in words:
        check(word in said, "no %r in: %s", word, said[-400:])
    check(os.path.exists(raft_file(node, "peers.json")), "the file is gone")


@R.test
def a_wrong_peers_json_changes_nothing():
    with cluster(3) as c:
        a, b, d = c.nodes
        write(a, "k", "1")
        a.kill()
        refused_start(a, "[{", "line 1")
        refused_start(a, {"id": 1}, "not a list")
        refused_start(a, [], "0 servers")
        refused_start(a, [{"id": "server-1", "address": "127.0.0.1:8300"}], "UUID")
        refused_start(a, [dict(peer(a), address="here")], "host:port")
        refused_start(a, [dict(peer(a), voter=True)], "'voter'")
        refused_start(a, [dict(peer(a), non_voter=True)], "votes")
        refused_start(a, [peer(b), peer(d)], node_id(a))
        refused_start(a, [peer(a), peer(a)], "one server")
        refused_start(a, [peer(a)["address"], "127.0.0.1:1"], "127.0.0.1:1")
        os.unlink(raft_file(a, "peers.json"))
        write(b, "k", "2")
        a.start()
        everywhere([a], "k", "2")
        wait_voters(a, c.nodes)


@R.test
def quorum_lost_to_a_single_survivor():
    """It says so; the file makes it a cluster of one; new ones make it three again."""
    with cluster(5, expect=3) as c:
        a, lost1, lost2, new1, new2 = c.nodes
        write(a, "k", "1")
        everywhere([a], "k", "1")
        lose(lost1)
        lose(lost2)
        herald.eventually(lambda: "voters=3 reachable=1 needed=2" in a.log(),
                          "the survivor says it in plain words", 60)
        check("peers.info" in a.log(), "it does not say what to do")
        r = a.put("/v1/kv/k", b"lost?")
        equal(r.status, 500, "a write without a leader")
        check("1 of 3 voters can be reached, 2 are needed" in r.text(), "it says %s", r.text())
        check(a.has("k", "1"), "a stale read fails")
        with open(raft_file(a, "peers.info"), encoding="utf-8") as f:
            check("peers.json" in f.read(), "peers.info does not explain")
        equal(a.stop(), 0, "exit code of the survivor")
        recover([a], [peer(a)])
        write(a, "k", "2")
        wait_voters(a, [a])
        new1.start()
        new2.start()
        wait_voters(a, [a, new1, new2])
        everywhere([a, new1, new2], "k", "2")
        a.kill()
        write(new1, "k", "3")


@R.test
def quorum_lost_two_of_five_are_left():
    """By addresses alone, and one of them was not stopped but died."""
    with cluster(5) as c:
        a, b, *lost = c.nodes
        write(a, "k", "1")
        everywhere([a, b], "k", "1")
        for n in lost:
            lose(n)
        a.kill()
        b.stop()
        recover([a, b], sorted(rpc([a, b])))
        write(a, "k", "2")
        wait_voters(b, [a, b])
        everywhere([a, b], "k", "2")
        for n in lost:  # new disks, new servers
            n.start()
        wait_voters(a, c.nodes)
        everywhere(lost, "k", "2")


@R.test
def all_disks_but_one_are_lost():
    """The others come back empty: they found nothing new, and join who has the data."""
    with cluster(3) as c:
        a, b, d = c.nodes
        write(a, "k", "1")
        everywhere([a], "k", "1")
        a.kill()
        lose(b)
        lose(d)
        for n in c.nodes:
            n.start()
        herald.eventually(lambda: all(cli(n, "members")[1].count(" alive ") == 3
                                      for n in c.nodes), "all three gossip")
        check(not b.write("k", "other") and not d.write("k", "other"),
              "the empty ones founded a cluster of their own")
        a.stop()
        recover([a], [peer(a)])
        wait_voters(a, c.nodes)
        everywhere(c.nodes, "k", "1")
        write(d, "k", "2")


@R.test
def a_peers_json_at_the_first_start_is_ignored():
    c = Cluster("herald", 1, network="loopback", start=False, config=SETTINGS)
    with c:
        n = c.nodes[0]
        os.makedirs(os.path.dirname(raft_file(n, "")))
        write_peers(n, "nonsense")
        n.start()
        write(n, "k", "1")
        check(not os.path.exists(raft_file(n, "peers.json")), "it is still there")
        check(os.path.exists(raft_file(n, "peers.info")), "no peers.info")
        check("was ignored and removed" in n.log(), "the log does not say so")


# --- told to leave ---------------------------------------------------------------------------

def told_to_leave(nodes):
    """TERM to all at one time; their exit codes."""
    for n in nodes:
        n.expected = False
        n.process.terminate()
    return [n.process.wait(60 * herald.SLOW) for n in nodes]


@R.test
def all_are_told_to_leave_at_once():
    """Five TERM at one time: the voters become fewer one at a time, and all come back."""
    with cluster(5) as c:
        write(c.nodes[0], "k", "1")
        began = time.monotonic()
        equal(told_to_leave(c.nodes), [0] * 5, "exit codes")
        R.note("all five had left after %.1f s" % (time.monotonic() - began))
        left = sum("voters_changed=true" in n.log() for n in c.nodes)
        R.note("%d of them gave their vote back" % left)
        for n in c.nodes:
            n.start()
        wait_voters(c.nodes[0], c.nodes)
        everywhere(c.nodes, "k", "1")
        write(c.nodes[4], "k", "2")


@R.test
def the_last_two_are_a_cluster():
    """Three of five leave at once; the two that stay go on."""
    with cluster(5) as c:
        write(c.nodes[0], "k", "1")
        equal(told_to_leave(c.nodes[2:]), [0] * 3, "exit codes")
        wait_voters(c.nodes[0], c.nodes[:2])
        write(c.nodes[1], "k", "2")


class Steady(threading.Thread):
    """Writes one key after another to whoever takes it, and remembers what was acknowledged."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.done, self.over = nodes, [], threading.Event()
        self.longest = 0.0

    def run(self):
        number, last = 0, time.monotonic()
        while not self.over.is_set():
            for n in [n for n in self.nodes if n.reachable()]:
                if n.write("steady/%d" % number, "%d" % number, timeout=2.0):
                    now = time.monotonic()
                    self.longest, last = max(self.longest, now - last), now
                    self.done.append(number)
                    break
            number += 1


@R.test
def a_group_is_replaced_one_by_one():
    """As an autoscaling group does it: a new one starts, an old one is told to end; five times."""
    with cluster(10, expect=5) as c:
        old, new = c.nodes[:5], c.nodes[5:]
        writer = Steady(c.nodes)
        writer.start()
        for o, n in zip(old, new):
            n.start()
            herald.eventually(lambda n=n: rpc([n]) <= voters(n), n.name + " has a vote", 60)
            equal(o.stop(60), 0, "exit code of " + o.name)
        wait_voters(new[0], new)
        writer.over.set()
        writer.join(30)
        check(len(writer.done) > 100, "only %d writes were acknowledged", len(writer.done))
        got = new[0].get("/v1/kv/steady/?keys&consistent").json()
        missing = {"steady/%d" % n for n in writer.done} - set(got)
        check(not missing, "%d acknowledged writes are lost: %s", len(missing), missing)
        R.note("%d writes were acknowledged meanwhile, with at most %.2f s between two"
               % (len(writer.done), writer.longest))


if __name__ == "__main__":
    R.run_all(sys.argv[1:])
    R.end()
