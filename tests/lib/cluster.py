"""Several real servers that are one cluster: Herald's, and its peers' for comparison.

    with Cluster("herald", 3) as c:           # three agents in network namespaces of their own
        leader = c.wait_leader()
        c.nodes[leader].kill()                # kill -9;  .start() again;  .pause(), .go_on()
        c.net.cut(machine.isolate(3, 0))      # see machine.py for what can be done to them
        c.whole()                             # all heal, all run, all have the last write

Kinds: herald, consul, etcd. Networks: netns, loopback. Disks: dir, tmpfs:MIB, ext4:MIB. Whatever
was started or made is gone after the `with`, also when the test is killed (undo.py).
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

import herald
import machine
from undo import Undo

HTTP, RPC, SERF = 8500, 8300, 8301
# Servers that gossip beyond loopback have a key; this one is nobody's.
KEY = base64.b64encode(b"the tests' gossip key, 32 bytes.").decode()
CONNECTIONS_PER_CLIENT = 10000


class Herald:
    """What of a server depends on whose it is."""
    name = "herald"
    stream = True          # it has a change stream
    clock = True           # asks libc for the time

    def __init__(self, config=None, multiplier=None):
        self.config = config or {}
        self.multiplier = multiplier

    def program(self):
        return herald.program()

    def settings(self, cluster):
        got = {"limits": {"http_max_conns_per_client": CONNECTIONS_PER_CLIENT}}
        if not cluster.net.private:
            got["encrypt"] = KEY
        if self.multiplier:
            got["performance"] = {"raft_multiplier": self.multiplier}
        for key, value in self.config.items():
            got[key] = dict(got.get(key, {}), **value) if isinstance(value, dict) else value
        return got

    def ports(self):
        return ["-http-port=%d" % HTTP, "-server-port=%d" % RPC, "-serf-lan-port=%d" % SERF]

    def command(self, node):
        c = node.cluster
        return [self.program(), "agent", "-server", "-bootstrap-expect=%d" % c.expect,
                "-data-dir=" + node.disk.data(), "-node=" + node.name, "-bind=" + node.address,
                "-client=" + node.address, "-config-file=" + node.config_file] + self.ports() + \
            ["-retry-join=" + other.address for other in c.nodes if other is not node]

    def leader(self, node):
        """The address of whom `node` takes for the leader; "" for none."""
        r = node.get("/v1/status/leader", timeout=1.0)
        return r.json().rsplit(":", 1)[0] if r.status == 200 and r.json() else ""

    def put(self, key, value):
        """(method, path, body) of a write."""
        return "PUT", "/v1/kv/" + key, value

    def put_done(self, response):
        return response.status == 200 and response.body.strip() == b"true"

    def get(self, key):
        """Of a read of what this server itself has."""
        return "GET", "/v1/kv/%s?stale" % urllib.parse.quote(key), None

    def value(self, response):
        if response.status != 200:
            return None
        return base64.b64decode(response.json()[0]["Value"] or "")

    def transfer(self, node, target):
        """Hands the leadership over; None where it cannot be asked for."""
        return node.request("POST", "/v1/operator/raft/transfer-leader?id=" + target.id(), b"")


class Consul(Herald):
    name = "consul"
    stream = False
    clock = False

    def program(self):
        return "consul"

    def ports(self):
        return super().ports() + ["-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1",
                                  "-log-level=warn"]

    def transfer(self, node, target):
        return None


class Etcd(Herald):
    name = "etcd"
    stream = False
    clock = False

    def program(self):
        return "etcd"

    def command(self, node):
        client, peer = ("http://%s:%d" % (node.address, port) for port in (HTTP, RPC))
        members = ",".join("%s=http://%s:%d" % (n.name, n.address, RPC) for n in node.cluster.nodes)
        return ["etcd", "--name", node.name, "--data-dir", node.disk.data(),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", members, "--initial-cluster-token", node.cluster.dir,
                "--logger", "zap", "--log-level", "error"]

    def status(self, node):
        return node.request("POST", "/v3/maintenance/status", b"{}", timeout=1.0).json()

    def leader(self, node):
        leader = self.status(node).get("leader", "0")
        for other in node.cluster.nodes:
            if other.member is None and other.reachable():
                other.member = self.status(other)["header"]["member_id"]
        return next((n.address for n in node.cluster.nodes if n.member == leader), "")

    def put(self, key, value):
        return "POST", "/v3/kv/put", json.dumps({"key": text64(key), "value": text64(value)})

    def put_done(self, response):
        return response.status == 200 and b'"revision"' in response.body

    def get(self, key):
        return "POST", "/v3/kv/range", json.dumps({"key": text64(key), "serializable": True})

    def value(self, response):
        rows = response.json().get("kvs") if response.status == 200 else None
        return base64.b64decode(rows[0].get("value", "")) if rows else None

    def transfer(self, node, target):
        return node.request("POST", "/v3/maintenance/transfer-leadership",
                            json.dumps({"targetID": target.member}))


KINDS = {"herald": Herald, "consul": Consul, "etcd": Etcd}


def text64(value):
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


class Node:
    """One server: its process, its place in the network, its disk."""

    def __init__(self, cluster, number, disk):
        self.cluster, self.number, self.disk = cluster, number, disk
        self.kind = cluster.kind
        self.name = "s%d" % (number + 1)
        self.address = cluster.net.address(number)
        self.log_path = os.path.join(cluster.dir, self.name + ".log")
        self.config_file = os.path.join(cluster.dir, self.name + ".json")
        self.clock = None
        self.process = None
        self.paused = False
        self.expected = False  # it is meant to be running
        self.member = None     # etcd's number of it
        with open(self.config_file, "w", encoding="utf-8") as f:
            json.dump(self.kind.settings(cluster), f)

    # --- its process ------------------------------------------------------------------------

    def start(self):
        env = dict(os.environ, **(self.clock.env() if self.clock else {}))
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                self.cluster.net.prefix(self.number) + self.kind.command(self), env=env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.cluster.undo.kill_later(self.process.pid)
        self.paused, self.expected = False, True

    def running(self):
        return self.process is not None and self.process.poll() is None

    def reachable(self):
        return self.running() and not self.paused

    def kill(self):
        """kill -9, and gone."""
        self.expected = False
        if self.running():
            self.process.kill()
            self.process.wait()

    def stop(self, timeout=20.0):
        """SIGTERM, and gone; whoever hangs is killed, and that is an error."""
        self.expected = False
        if not self.running():
            return self.process.returncode if self.process else 0
        self.go_on()
        self.process.terminate()
        try:
            return self.process.wait(timeout * herald.SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not end within %.0f s of SIGTERM"
                                 % (self.name, timeout)) from None

    def pause(self):
        if self.running():
            self.process.send_signal(signal.SIGSTOP)
            self.paused = True

    def go_on(self):
        if self.running():
            self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def wipe(self):
        """A stopped server's data is gone."""
        shutil.rmtree(self.disk.data(), ignore_errors=True)

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace", encoding="utf-8") as f:
            return f.read()

    def cpu(self):
        """Seconds of CPU that its threads have used."""
        total = 0
        base = "/proc/%d/task" % self.process.pid
        for thread in os.listdir(base):
            try:
                with open("%s/%s/schedstat" % (base, thread), encoding="ascii") as f:
                    total += int(f.read().split()[0])
            except OSError:
                continue
        return total / 1e9

    def memory(self):
        """Resident bytes."""
        with open("/proc/%d/statm" % self.process.pid, encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    # --- talking to it ----------------------------------------------------------------------

    def connect(self, **kw):
        return herald.Connection(HTTP, host=self.address, **kw)

    def request(self, method, path, body=None, headers=None, timeout=15.0):
        with self.connect(timeout=timeout) as c:
            return c.request(method, path, body, dict({"Connection": "close"}, **(headers or {})))

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, body=b"", **kw):
        return self.request("PUT", path, body, **kw)

    def id(self):
        """Its id in the Raft configuration."""
        return self.get("/v1/agent/self").json()["Config"]["NodeID"]

    def write(self, key, value, timeout=5.0):
        """True when this server has acknowledged the write."""
        try:
            r = self.request(*self.kind.put(key, value), timeout=timeout)
        except (OSError, EOFError, ValueError):
            return False
        return self.kind.put_done(r)

    def has(self, key, value, timeout=2.0):
        """True when the server itself has the key with this value."""
        try:
            got = self.kind.value(self.request(*self.kind.get(key), timeout=timeout))
        except (OSError, EOFError, ValueError):
            return False
        return got == (value if isinstance(value, bytes) else value.encode())


class Cluster:
    def __init__(self, kind, count, network="netns", disk="dir", clock=False, config=None,
                 multiplier=None, start=True, expect=None):
        self.kind = KINDS[kind](config, multiplier)
        if not shutil.which(self.kind.program()):
            raise herald.Skip("no %s here" % self.kind.program())
        self.count, self.expect = count, expect or count
        self.serial = 0
        self.undo = Undo()
        try:
            self.dir = tempfile.mkdtemp(prefix="herald-cluster-")
            self.undo.remove_later(self.dir)
            make = {"netns": machine.Network, "loopback": machine.Loopback}[network]
            self.net = make(self.undo, count)
            self.nodes = []
            for i in range(count):
                self.nodes.append(Node(self, i, machine.disk(self.undo, self.dir, disk)))
            if clock and self.kind.clock:
                for n in self.nodes:
                    n.clock = machine.Clock(self.dir)
            if start:
                self.start()
        except BaseException:
            self.undo.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def start(self):
        for n in self.nodes:
            n.start()
        try:
            self.whole()
        except AssertionError as e:
            raise AssertionError("%s\n%s" % (e, self.tails())) from None

    def close(self):
        """Kills all that is left; a sanitizer's finding in a log is an error."""
        reports = self.reports()
        for n in self.nodes:
            n.kill()
        self.undo.close()
        if reports:
            raise AssertionError(reports)

    def reports(self):
        """What sanitizers said, and what a server said before it aborted."""
        for n in self.nodes:
            text = n.log()
            found = re.search(r"ERROR: \w+Sanitizer.*|WARNING: ThreadSanitizer.*|runtime error:.*"
                              r"|CHECK failed.*", text)
            if found:
                return "%s: %s" % (n.name, text[found.start():found.start() + 4000])
        return None

    def tails(self, lines=8):
        """The last words of every server."""
        out = []
        for n in self.nodes:
            state = "running" if n.running() else "ended: %s" % (n.process and n.process.returncode)
            out.append("--- %s (%s)" % (n.name, state))
            out += n.log().splitlines()[-lines:]
        return "\n".join(out)

    def address_of(self, address):
        return next((n.number for n in self.nodes if n.address == address), None)

    def leader(self):
        """The number of the server that most of those which answer take for their leader."""
        votes = {}
        for n in self.nodes:
            if not n.reachable():
                continue
            try:
                got = self.address_of(self.kind.leader(n))
            except (OSError, EOFError, ValueError, KeyError):
                continue
            if got is not None:
                votes[got] = votes.get(got, 0) + 1
        return max(votes, key=votes.get) if votes else None

    def wait_leader(self, timeout=60.0):
        """A leader that runs, and that more than half of the servers agree on."""
        def agreed():
            got = self.leader()
            return [got] if got is not None and self.nodes[got].reachable() else None
        return herald.eventually(agreed, "a leader", timeout)[0]

    def last_index(self):
        """Of the KV store, as a majority confirms it."""
        n = self.nodes[self.wait_leader()]
        return herald.eventually(lambda: self.confirmed_index(n), "a consistent read")

    @staticmethod
    def confirmed_index(node):
        r = node.get("/v1/kv/?keys&consistent")
        return r.index() if r.status in (200, 404) else None

    def heal(self):
        """Ends every fault, and starts what is not running."""
        self.net.whole()
        for n in self.nodes:
            n.go_on()
            if n.clock:
                n.clock.set(0)
            if not n.running():
                n.start()

    def servers(self):
        """The leader's rows of who is part of the cluster."""
        n = self.nodes[self.wait_leader()]
        return n.get("/v1/operator/raft/configuration").json()["Servers"]

    def all_vote(self, timeout=60.0):
        """Each server has a vote, as it is now, and nobody else is part of the cluster."""
        def so():
            try:
                rows = {r["ID"]: r["Voter"] for r in self.servers()}
                return rows == {n.id(): True for n in self.nodes}
            except (OSError, EOFError, ValueError, KeyError):
                return False
        try:
            herald.eventually(so, "all servers have a vote", timeout)
        except AssertionError as e:
            raise AssertionError("%s: %s\n%s" % (e, self.servers(), self.tails())) from None

    def caught_up(self, timeout=60.0):
        """A new write, acknowledged by each server, is with each server."""
        for n in self.nodes:
            self.serial += 1
            key, value = "whole/" + n.name, "%d" % self.serial
            herald.eventually(lambda n=n: n.write(key, value), "a write by " + n.name, timeout)
            for other in self.nodes:
                herald.eventually(lambda n=other: n.has(key, value),
                                  "%s has the write by %s" % (other.name, n.name), timeout)

    def whole(self, timeout=60.0):
        self.heal()
        self.wait_leader(timeout)
        self.caught_up(timeout)
