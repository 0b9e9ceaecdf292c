"""The machine under a cluster of real servers: its network, its disks, its clocks, and what goes
wrong with them.

    net = Network(undo, 3)          # a namespace for each server, joined by a bridge
    net.cut({(0, 1), (1, 0)})       # server 1 hears nothing of server 0, and the other way round
    net.lose(2, 20)                 # server 2 loses 20 % of what it is sent by servers
    net.slow(2, "1mbit")            # ... and sends no faster than that
    disk = Ext4(undo, scratch, 256) # disk.power_off(), disk.remount(); disk.fill(), disk.free()

Servers are numbered from 0. Needs root; where namespaces or mounts cannot be had, Skip is raised.
"""

import fcntl
import os
import random
import socket
import struct
import subprocess
import tempfile
import time

from herald import Skip

EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_NOLOGFLUSH = 2
FAKETIME = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"]


def command(*words, text=None):
    """Runs it; the machine's refusal is a reason to skip, not a failure of what is tested."""
    got = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, check=False)
    if got.returncode != 0:
        raise Skip("%s: %s" % (" ".join(words), got.stdout.strip()[-300:]))
    return got.stdout


class Loopback:
    """No namespaces: an address of 127/8 for each server. Nothing can be cut."""

    def __init__(self, undo, count):
        self.count = count
        self.number = self.free_number()
        self.private = True

    @staticmethod
    def free_number():
        """A 127.0.N.0/24 whose first address nobody listens on at Herald's port."""
        while True:
            n = random.SystemRandom().randrange(2, 250)
            with socket.socket() as s:
                try:
                    s.bind(("127.0.%d.1" % n, 8300))
                    return n
                except OSError:
                    continue

    def address(self, server):
        return "127.0.%d.%d" % (self.number, server + 1)

    def prefix(self, server):
        return []

    def whole(self):
        pass

    def sent(self):
        return 0, 0


class Network:
    """A bridge, and for each server a namespace with one interface on it. The test itself sits on
    the bridge at .254, and is never cut off."""

    def __init__(self, undo, count):
        self.count = count
        self.private = False
        self.number = self.claim(undo)
        self.cuts, self.losses, self.slowed = set(), {}, set()
        command("ip", "addr", "add", "198.18.%d.254/24" % self.number, "dev", self.bridge())
        command("ip", "link", "set", self.bridge(), "up")
        for i in range(count):
            self.add(undo, i)

    def claim(self, undo):
        """A bridge of a name that no other run has; its number is also the subnet's."""
        for n in random.SystemRandom().sample(range(1, 255), 254):
            name = "herald-%d" % n
            if not os.path.exists("/sys/class/net/" + name):
                command("ip", "link", "add", name, "type", "bridge")
                undo.later("ip", "link", "del", name)
                return n
        raise Skip("254 bridges are left of other runs")

    def bridge(self):
        return "herald-%d" % self.number

    def space(self, server):
        return "herald-%d-%d" % (self.number, server + 1)

    def address(self, server):
        return "198.18.%d.%d" % (self.number, server + 1)

    def prefix(self, server):
        """What a command begins with to run in the server's namespace. Not `ip netns exec`, which
        would give it a view of its own of the mounts, and keep unmounted ones alive."""
        return ["nsenter", "--net=/run/netns/" + self.space(server)]

    def add(self, undo, i):
        space, outer = self.space(i), "hrld-%d-%d" % (self.number, i + 1)
        undo.later("ip", "netns", "del", space)
        undo.later("ip", "link", "del", outer)
        command("ip", "netns", "add", space)
        command("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
        command("ip", "link", "set", outer, "master", self.bridge(), "up")
        command("ip", "-n", space, "addr", "add", self.address(i) + "/24", "dev", "eth0")
        command("ip", "-n", space, "link", "set", "eth0", "up")
        command("ip", "-n", space, "link", "set", "lo", "up")
        others = self.others(i) or [self.address(i)]
        self.rules(i, "table ip fire {\n"
                   " chain in { type filter hook input priority 0; }\n"
                   " chain out { type filter hook output priority 0;\n"
                   "  ip daddr { %s } counter\n }\n}\n" % ", ".join(others))

    def others(self, server):
        return [self.address(i) for i in range(self.count) if i != server]

    def rules(self, server, text):
        command(*self.prefix(server), "nft", "-f", "-", text=text)

    # --- faults -----------------------------------------------------------------------------

    def cut(self, pairs):
        """From now on exactly these (from, to) pairs of servers are cut; set() heals all."""
        changed = {to for _, to in self.cuts ^ set(pairs)}
        self.cuts = set(pairs)
        for i in changed:
            self.apply(i)

    def lose(self, server, percent):
        self.losses[server] = percent
        self.apply(server)

    def apply(self, server):
        lines = ["flush chain ip fire in"]
        for source, to in sorted(self.cuts):
            if to == server:
                lines.append("add rule ip fire in ip saddr %s drop" % self.address(source))
        if self.losses.get(server):
            lines.append("add rule ip fire in ip saddr { %s } numgen random mod 100 < %d drop"
                         % (", ".join(self.others(server)), self.losses[server]))
        self.rules(server, "\n".join(lines) + "\n")

    def slow(self, server, rate):
        command("tc", "-n", self.space(server), "qdisc", "replace", "dev", "eth0", "root", "tbf",
                "rate", rate, "burst", "16kb", "latency", "400ms")
        self.slowed.add(server)

    def fast(self, server):
        command("tc", "-n", self.space(server), "qdisc", "del", "dev", "eth0", "root")
        self.slowed.remove(server)

    def whole(self):
        """Everything is as at the start."""
        self.cut(set())
        for server in [s for s, percent in self.losses.items() if percent]:
            self.lose(server, 0)
        for server in list(self.slowed):
            self.fast(server)

    # --- figures ----------------------------------------------------------------------------

    def sent(self):
        """(packets, bytes) that servers have sent to servers, IP headers included."""
        packets = size = 0
        for i in range(self.count):
            said = command(*self.prefix(i), "nft", "list", "chain", "ip", "fire", "out").split()
            at = said.index("counter")
            packets += int(said[at + 2])
            size += int(said[at + 4])
        return packets, size


# --- shapes of partitions: each is a set of (from, to) pairs that are cut

def both(a, b):
    """Nothing passes between the two groups."""
    return {(x, y) for x in a for y in b} | {(y, x) for x in a for y in b}


def halves(dice, count):
    """A majority and a minority, at random."""
    servers = dice.sample(range(count), count)
    return both(servers[:count // 2], servers[count // 2:])


def isolate(count, server):
    return both([server], [i for i in range(count) if i != server])


def deaf(count, server):
    """It is heard, but hears nobody."""
    return {(i, server) for i in range(count) if i != server}


def mute(count, server):
    return {(server, i) for i in range(count) if i != server}


def ring(dice, count):
    """Each hears a majority, no two the same one; of three, each hears one other, around."""
    order = dice.sample(range(count), count)
    if count == 3:
        return {(order[0], order[1]), (order[1], order[2]), (order[2], order[0])}
    near = (count // 2 + 1) // 2
    return {(order[a], order[b]) for a in range(count) for b in range(count)
            if min((a - b) % count, (b - a) % count) > near}


def bridge(dice, count):
    """Two halves that only one server connects."""
    servers = dice.sample(range(count), count)
    rest = servers[1:]
    return both(rest[:len(rest) // 2], rest[len(rest) // 2:])


def one_way(dice, count):
    a, b = dice.sample(range(count), 2)
    return {(a, b)}


# --- disks

class Disk:
    """A plain directory."""

    def __init__(self, undo, scratch):
        self.path = tempfile.mkdtemp(prefix="disk-", dir=scratch)

    def data(self):
        return os.path.join(self.path, "data")


class Mounted(Disk):
    """A small file system of its own."""

    def ballast(self):
        return os.path.join(self.path, "ballast")

    def fill(self):
        """Takes all that is left."""
        with open(self.ballast(), "ab", buffering=0) as f:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        f.write(b"\0" * size)
                except OSError:
                    continue

    def free(self):
        if os.path.exists(self.ballast()):
            os.unlink(self.ballast())


class Tmpfs(Mounted):
    def __init__(self, undo, scratch, mebibytes):
        super().__init__(undo, scratch)
        undo.later("umount", "-l", self.path)
        command("mount", "-t", "tmpfs", "-o", "size=%dm" % mebibytes, "tmpfs", self.path)


class Ext4(Mounted):
    """On an image of its own, so that its power can fail: what was not synced then is gone."""

    def __init__(self, undo, scratch, mebibytes):
        super().__init__(undo, scratch)
        self.image = self.path + ".img"
        with open(self.image, "wb") as f:
            f.truncate(mebibytes << 20)
        command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", self.image)
        undo.later("umount", "-l", self.path)
        self.mount()

    def mount(self):
        command("mount", "-o", "loop,noatime", self.image, self.path)

    def power_off(self):
        """From this instant on nothing reaches the image, not even the journal's last entries."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_NOLOGFLUSH))
        finally:
            os.close(fd)

    def remount(self):
        """After power_off, with no process left on it."""
        deadline = time.monotonic() + 10
        while True:
            try:
                command("umount", self.path)
                break
            except Skip:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.mount()


def disk(undo, scratch, kind):
    """`dir`, `tmpfs:MIB` or `ext4:MIB`."""
    name, _, size = kind.partition(":")
    if name == "dir":
        return Disk(undo, scratch)
    return {"tmpfs": Tmpfs, "ext4": Ext4}[name](undo, scratch, int(size))


def flip_bit(dice, directory, names=lambda path: True):
    """Turns one bit in one of the files below; returns (path, offset) or None if all are empty.
    Files count by their size, as they would to a failing disk."""
    files = [os.path.join(base, name) for base, _, found in os.walk(directory) for name in found]
    files = [f for f in sorted(files) if names(f) and os.path.isfile(f) and os.path.getsize(f) > 0]
    if not files:
        return None
    path = dice.choices(files, [os.path.getsize(f) for f in files])[0]
    offset = dice.randrange(os.path.getsize(path))
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1 << dice.randrange(8)]))
    return path, offset


class Clock:
    """A server's wall clock (not its monotonic one), for programs that ask libc for the time."""

    def __init__(self, scratch):
        self.library = next((p for p in FAKETIME if os.path.exists(p)), None)
        if not self.library:
            raise Skip("no libfaketime here (package faketime)")
        fd, self.path = tempfile.mkstemp(prefix="clock-", dir=scratch)
        os.close(fd)
        self.set(0)

    def env(self):
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self.path,
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_RESET": "1"}

    def set(self, seconds):
        """So far from the true time, from about a second from now on."""
        new = self.path + ".new"
        with open(new, "w", encoding="ascii") as f:
            f.write("%+d\n" % seconds)
        os.rename(new, self.path)
