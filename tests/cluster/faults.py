"""What goes wrong in a cluster under fire. Each fault begins, lasts, and ends; `MIXES` says which
of them a run draws from.

A fault is a function of a `Scene` that does the harm and returns (what it did, how it ends).
"""

import random
import subprocess
import time
from typing import NamedTuple

import herald
import machine
from report import Fail
from watchers import replay

HOUR = 3600
REJOIN_S = 60.0


class Scene:
    """The cluster, the dice, and what faults must know of each other."""

    def __init__(self, cluster, seed, note):
        self.cluster, self.note = cluster, note
        self.dice = random.Random(seed)
        self.counts = {}
        self.refusals = []  # of servers whose disk was damaged
        self.last_leader = 0

    def leader(self):
        """Whoever leads; while nobody does, who did."""
        got = self.cluster.leader()
        if got is not None:
            self.last_leader = got
        return self.last_leader

    def some(self, count=1):
        return [self.cluster.nodes[i]
                for i in self.dice.sample(range(self.cluster.count), count)]

    def minority(self):
        return self.some(self.dice.randint(1, max(1, (self.cluster.count - 1) // 2)))

    def leader_node(self):
        return self.cluster.nodes[self.leader()]


def names(nodes):
    return ",".join(n.name for n in nodes)


# --- processes -----------------------------------------------------------------------------------

def killed(scene, nodes):
    for n in nodes:
        n.kill()

    def end():
        for n in nodes:
            n.start()
    return "kill -9 %s" % names(nodes), end


def kill_leader(scene):
    return killed(scene, [scene.leader_node()])


def kill_some(scene):
    return killed(scene, scene.minority())


def kill_all(scene):
    return killed(scene, scene.some(scene.cluster.count))


def paused(scene, nodes):
    for n in nodes:
        n.pause()

    def end():
        for n in nodes:
            n.go_on()
    return "SIGSTOP %s" % names(nodes), end


def pause_leader(scene):
    return paused(scene, [scene.leader_node()])


def pause_some(scene):
    return paused(scene, scene.minority())


def restart(scene):
    """A plain stop and start."""
    n = scene.some()[0]
    code = n.stop()
    if code != 0 and scene.cluster.kind.name == "herald":
        raise Fail("%s ended with %d after SIGTERM" % (n.name, code))
    return "SIGTERM %s" % n.name, n.start


def transfer(scene):
    """The leadership is handed over."""
    leader = scene.leader_node()
    target = scene.dice.choice([n for n in scene.cluster.nodes if n is not leader])
    try:
        r = scene.cluster.kind.transfer(leader, target)
        said = "%d" % r.status if r else "cannot be asked for"
    except (OSError, EOFError, ValueError, KeyError) as e:
        said = type(e).__name__
    return "transfer from %s to %s: %s" % (leader.name, target.name, said), lambda: None


# --- the network ---------------------------------------------------------------------------------

def cut(scene, name, pairs):
    scene.cluster.net.cut(pairs)
    return "%s %s" % (name, " ".join("%d>%d" % (a + 1, b + 1) for a, b in sorted(pairs))), \
        lambda: scene.cluster.net.cut(set())


def isolate_leader(scene):
    return cut(scene, "isolated", machine.isolate(scene.cluster.count, scene.leader()))


def deaf_leader(scene):
    return cut(scene, "deaf", machine.deaf(scene.cluster.count, scene.leader()))


def mute_leader(scene):
    return cut(scene, "mute", machine.mute(scene.cluster.count, scene.leader()))


def halves(scene):
    return cut(scene, "halves", machine.halves(scene.dice, scene.cluster.count))


def ring(scene):
    return cut(scene, "ring", machine.ring(scene.dice, scene.cluster.count))


def bridge(scene):
    return cut(scene, "bridge", machine.bridge(scene.dice, scene.cluster.count))


def one_way(scene):
    return cut(scene, "one way", machine.one_way(scene.dice, scene.cluster.count))


def lose(scene):
    net, percent = scene.cluster.net, scene.dice.choice([5, 20, 50])
    nodes = scene.minority()
    for n in nodes:
        net.lose(n.number, percent)

    def end():
        for n in nodes:
            net.lose(n.number, 0)
    return "%s lose %d %%" % (names(nodes), percent), end


def slow(scene):
    n, rate = scene.some()[0], scene.dice.choice(["256kbit", "1mbit", "4mbit"])
    scene.cluster.net.slow(n.number, rate)
    return "%s sends %s" % (n.name, rate), lambda: scene.cluster.net.fast(n.number)


# --- clocks --------------------------------------------------------------------------------------

def clock(scene):
    nodes, jump = scene.minority(), scene.dice.choice([-HOUR, -60, 60, HOUR])
    for n in nodes:
        n.clock.set(jump)

    def end():
        for n in nodes:
            n.clock.set(0)
    return "clock of %s %+d s" % (names(nodes), jump), end


# --- disks ---------------------------------------------------------------------------------------

def filled(scene, nodes):
    for n in nodes:
        n.disk.fill()

    def end():
        for n in nodes:
            n.disk.free()
            if not n.running():
                raise Fail("%s ended on a full disk with %s" % (n.name, n.process.returncode))
    return "full disk of %s" % names(nodes), end


def full(scene):
    return filled(scene, scene.minority())


def full_leader(scene):
    return filled(scene, [scene.leader_node()])


def full_all(scene):
    return filled(scene, scene.cluster.nodes)


def power_lost(scene, nodes):
    """What was not synced is gone, at one instant for all of them."""
    for n in nodes:
        n.expected = False
        n.disk.power_off()
    for n in nodes:
        n.kill()

    def end():
        for n in nodes:
            n.disk.remount()
            n.start()
    return "power of %s" % names(nodes), end


def power_some(scene):
    return power_lost(scene, scene.minority())


def power_all(scene):
    return power_lost(scene, scene.cluster.nodes)


def disk_error(scene):
    """Every write and sync fails from now on: the server must not acknowledge anything; it may
    end. Clients find out whether it did."""
    n = scene.leader_node() if scene.dice.random() < 0.5 else scene.some()[0]
    n.expected = False
    n.disk.power_off()

    def end():
        said = "ended by itself" if not n.running() else "was killed"
        n.kill()
        n.disk.remount()
        n.start()
        scene.note("%s, whose disk failed, %s" % (n.name, said))
    return "disk errors of %s" % n.name, end


def flip(scene):
    """One bit of a stopped server turns. It starts and is repaired, or refuses and says where;
    then it begins again without data. It must never serve what is wrong: the end of the run shows
    whether it does."""
    n = scene.some()[0]
    n.kill()
    at = machine.flip_bit(scene.dice, n.disk.data())

    def end():
        n.start()
        if survives(n):
            return
        said = [line for line in n.log().splitlines() if "corrupt" in line][-1:]
        scene.refusals.append((at, said or n.log().strip().splitlines()[-1:]))
        n.kill()
        n.wipe()
        n.start()
        # Its old self cannot vote any more: until it is replaced one more loss may be one too many.
        scene.cluster.all_vote()
    what = "bit of %s at %s:%d" % (n.name, at[0].rsplit("/data/")[-1], at[1]) if at else "no bit"
    return what, end


def survives(node):
    """Whether the server starts, and can read all that it has."""
    return starts(node) and reads_all(node)


def reads_all(node):
    """A damaged table file is noticed by whoever reads it: an error, never another value. While the
    log or the state is fetched from the others, a stream says that the server is not ready."""
    def read():
        try:
            r = node.get("/v1/kv/?recurse&stale", timeout=REJOIN_S)
            if r.status not in (200, 404):
                return ["damaged"]
            replay(node, r.index())
            return ["whole"]
        except Fail as e:
            if "not_ready" in str(e):
                return None
            if "internal" not in str(e):
                raise
            return ["damaged"]
    return herald.eventually(read, "%s reads all that it has" % node.name, REJOIN_S) == ["whole"]


def starts(node):
    """Waits until the server answers, or has ended."""
    def decided():
        if not node.running():
            return ["ended"]
        try:
            return ["answers"] if node.get("/v1/kv/?keys&stale", timeout=1.0).status in (200, 404) \
                else None
        except (OSError, EOFError):
            return None
    return herald.eventually(decided, "%s starts or refuses" % node.name, REJOIN_S) == ["answers"]


# --- members -------------------------------------------------------------------------------------

def back(scene, nodes):
    """They start, and are what they were: voters."""
    def end():
        for n in nodes:
            n.start()
        scene.cluster.all_vote()
    return end


def wipe(scene):
    """A server loses its disk, and another one, empty, takes its place and its name."""
    n = scene.some()[0]
    n.kill()
    n.wipe()
    return "%s lost its data" % n.name, back(scene, [n])


def left(scene, nodes):
    for n in nodes:
        n.expected = False
    for n in nodes:
        n.put("/v1/agent/leave", timeout=REJOIN_S)
    for n in nodes:
        try:
            code = n.process.wait(REJOIN_S)
        except subprocess.TimeoutExpired:
            raise Fail("%s does not end after it was told to leave" % n.name) from None
        if code != 0:
            raise Fail("%s ended with %d after it left" % (n.name, code))
    return "%s left" % names(nodes), back(scene, nodes)


def leave(scene):
    """A server says good-bye, ends, and is started again."""
    return left(scene, scene.some())


def leave_some(scene):
    return left(scene, scene.minority())


# --- mixes ---------------------------------------------------------------------------------------

PROCESS = [kill_leader, kill_some, kill_all, pause_leader, pause_some, restart, transfer]
NETWORK = [isolate_leader, deaf_leader, mute_leader, halves, ring, bridge, one_way, lose, slow]
FULL = [full, full_leader, full_all]
POWER = [power_some, power_all, disk_error]
ALL = {f.__name__: f for f in PROCESS + NETWORK + FULL + POWER + [clock, flip, wipe, leave, leave_some]}

class Mix(NamedTuple):
    """What a run draws its faults from, and the servers that they need."""
    faults: list
    disk: str = "dir"
    config: dict = {}
    # So many bytes more in some values. On a small disk they make the log be cut all the time.
    pads: list = [0, 0, 0, 0, 100, 1000]


# Who comes back is a voter again within seconds.
SOON = {"autopilot": {"server_stabilization_time": "200ms"},
        "performance": {"leave_drain_time": "100ms"}}
# Whoever was away for a moment needs the state: the log does not hold what it missed.
SHORT = {"raft_trailing_logs": 1}

MIXES = {
    "kill": Mix([kill_leader, kill_some, kill_all]),
    "pause": Mix([pause_leader, pause_some]),
    "process": Mix(PROCESS),
    "partition": Mix([isolate_leader, halves, ring, bridge]),
    "one-way": Mix([deaf_leader, mute_leader, one_way]),
    "network": Mix(NETWORK),
    "clock": Mix([clock, kill_leader, pause_leader]),
    "full": Mix(FULL, "ext4:192"),
    "power": Mix([power_some, power_all], "ext4:512"),
    "disk": Mix(FULL + POWER, "ext4:192"),
    "flip": Mix([flip], config=SOON),
    "members": Mix([leave, leave_some, wipe, transfer, kill_leader, pause_some, isolate_leader,
                    halves], config=SOON),
    "snapshot": Mix([kill_leader, kill_some, kill_all, pause_some, isolate_leader, halves,
                     power_some, power_all], "ext4:64", SHORT, [0, 1000, 2000, 4000]),
    "all": Mix(PROCESS + NETWORK + [clock]),
    "everything": Mix(PROCESS + NETWORK + FULL + POWER + [clock], "ext4:512"),
}

# Their end waits for a vote, which may need the whole network.
PATIENT = [flip, wipe, leave, leave_some]

# From the end of a fault to the next acknowledged write, where that is promised to be quick.
LIMITS_S = {"full": 10.0, "full_leader": 10.0, "full_all": 10.0}


class Fault:
    """One that is under way."""

    def __init__(self, scene, function):
        self.name = function.__name__
        self.patient = function in PATIENT
        self.began = time.monotonic()
        self.what, self.end = function(scene)
        scene.counts[self.name] = scene.counts.get(self.name, 0) + 1
