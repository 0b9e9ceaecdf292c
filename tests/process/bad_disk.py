#!/usr/bin/env python3
"""Data directories that cannot be used, a disk that fills up, bytes that flip.

    bad_disk.py [--flips N] [--seed N] [TEST...]

What must never happen: a crash, a write that was acknowledged and is gone, or a server that serves
less than it acknowledged without saying so.
"""

import argparse
import base64
import ctypes
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from hostile import MIB, refused_start  # noqa: E402
from report import Report, Skip, check, equal  # noqa: E402

R = Report()
# Names that the kernel's mount(2) knows.
MS_RDONLY, MS_REMOUNT, MNT_DETACH = 1, 32, 2


def agent(data):
    return ["agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-data-dir=" + data,
            "-server-port=0", "-serf-lan-port=0", "-http-port=%d" % herald.free_port()]


def mount(path, flags=0, options="size=96m"):
    libc = ctypes.CDLL(None, use_errno=True)
    got = libc.mount(b"tmpfs", path.encode(), b"tmpfs", flags, options.encode())
    if got != 0:
        raise Skip("mount: %s" % os.strerror(ctypes.get_errno()))


def unmount(path):
    ctypes.CDLL(None).umount2(path.encode(), MNT_DETACH)


class Mounted:
    """A small file system of its own on a temporary directory."""

    def __init__(self, options="size=96m"):
        self.path = tempfile.mkdtemp(prefix="herald-disk-")
        self.options = options

    def __enter__(self):
        try:
            mount(self.path, 0, self.options)
        except Skip:
            os.rmdir(self.path)
            raise
        return self

    def __exit__(self, *exc):
        unmount(self.path)
        os.rmdir(self.path)

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize


def filled(data, count=200):
    """A stopped server's directory with `count` rows; gives {key: value}."""
    rows = {}
    with herald.Server(data_dir=data) as server, server.connect() as c:
        for i in range(count):
            key, value = "row/%d" % (i % (count // 2)), "%d." % i * (i % 50 + 1)
            equal(c.request("PUT", "/v1/kv/" + key, value).body, b"true")
            rows[key] = value
        for i in range(0, count // 2, 10):
            equal(c.request("DELETE", "/v1/kv/row/%d" % i).body, b"true")
            del rows["row/%d" % i]
    return rows


def rows_of(server):
    res = server.get("/v1/kv/?recurse")
    equal(res.status, 200, "recurse: %r" % res.body[:200])
    return {r["Key"]: base64.b64decode(r["Value"] or "").decode() for r in res.json()}


# --- directories ---------------------------------------------------------------------------------

@R.test
def directory_is_made_with_its_parents(args):
    with tempfile.TemporaryDirectory() as d:
        data = os.path.join(d, "not", "there", "yet")
        with herald.Server(data_dir=data) as server:
            equal(server.put("/v1/kv/a", b"1").body, b"true")
        check(os.path.isdir(data), "no directory")


@R.test
def file_instead_of_a_directory_is_refused(args):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "file")
        open(path, "w").write("precious")
        refused_start(agent(path), path)
        refused_start(agent(path + "/below"), path)
        equal(open(path).read(), "precious")


@R.test
def read_only_directory_is_refused(args):
    with Mounted() as disk:
        data = disk.path + "/data"
        rows = filled(data)
        mount(disk.path, MS_REMOUNT | MS_RDONLY)
        text = refused_start(agent(data), disk.path)
        check("read-only" in text, "does not say read-only: %s", text[-300:])
        refused_start(agent(disk.path + "/new"), disk.path)
        mount(disk.path, MS_REMOUNT)
        with herald.Server(data_dir=data) as server:
            equal(rows_of(server), rows)


@R.test
def directory_of_another_version_is_refused_and_left_alone(args):
    with tempfile.TemporaryDirectory() as data:
        rows = filled(data)
        path = os.path.join(data, "VERSION")
        good = open(path, "rb").read()
        for bad in [b"herald data 2\n", b"herald data 999999\n", b"", b"x" * 5000, b"\0\0\0\0",
                    b"herald data 1", b"consul\n"]:
            open(path, "wb").write(bad)
            refused_start(agent(data), path)
            equal(open(path, "rb").read(), bad, "the file was changed")
        open(path, "wb").write(good)
        with herald.Server(data_dir=data) as server:
            equal(rows_of(server), rows)


@R.test
def directory_in_use_is_refused(args):
    with tempfile.TemporaryDirectory() as data, herald.Server(data_dir=data) as server:
        equal(server.put("/v1/kv/a", b"1").body, b"true")
        text = refused_start(agent(data), data)
        check("in use" in text or "uses" in text, "does not say in use: %s", text[-300:])
        equal(server.put("/v1/kv/a", b"2").body, b"true", "the first server")
        server.kill()
        server.start()
        equal(server.get("/v1/kv/a?raw").body, b"2")


@R.test
def foreign_files_in_the_directory_are_left_alone(args):
    with tempfile.TemporaryDirectory() as data:
        open(os.path.join(data, "lost+found"), "w").write("x")
        try:
            with herald.Server(data_dir=data) as server:
                equal(server.put("/v1/kv/a", b"1").body, b"true")
        except AssertionError as e:
            check(data in str(e), "does not name the directory: %s", e)
        equal(open(os.path.join(data, "lost+found")).read(), "x")


@R.test
def missing_parts_are_never_served_as_empty(args):
    """Whoever loses a part of the directory must be told; what is left must not look whole."""
    with tempfile.TemporaryDirectory() as base:
        data = os.path.join(base, "data")
        rows = filled(data)
        for part in sorted(os.listdir(data)):
            copy = os.path.join(base, "copy")
            shutil.copytree(data, copy)
            path = os.path.join(copy, part)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            judge_damaged(copy, rows, "without " + part)
            shutil.rmtree(copy)


# --- a full disk -----------------------------------------------------------------------------------

class Ballast:
    """Fills a file system to the last byte and gives it back."""

    def __init__(self, disk):
        self.path = os.path.join(disk.path, "ballast")

    def fill(self, leave=0):
        with open(self.path, "ab", buffering=0) as f:
            for size in (MIB, 65536, 4096):
                try:
                    while True:
                        f.write(b"\0" * size)
                except OSError:
                    pass
            if leave:
                f.truncate(max(0, f.tell() - leave))

    def empty(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


def full_disk(disk, leave):
    """Fills the disk under a server that writes; reads go on, writes resume by themselves."""
    data = disk.path + "/data"
    ballast = Ballast(disk)
    acked = {}
    with herald.Server(data_dir=data) as server:
        write_some(server, acked, 50)
        with server.connect(timeout=60) as watcher:
            at = watcher.request("GET", "/v1/kv/full/0").index()
            watcher.send_request("GET", "/v1/kv/full/0?index=%d&wait=120s" % at)
            ballast.fill(leave)
            refused = herald.eventually(lambda: refusal(server, acked), "a write is refused", 30)
            equal(refused.status, 503, "%r" % refused.body)
            check(b"disk" in refused.body or b"space" in refused.body, "reason %r", refused.body)
            R.note("the reason given: %s" % refused.text())
            for _ in range(20):
                res = server.get("/v1/kv/full/1?raw")
                equal((res.status, res.body.decode()), (200, acked["full/1"]), "reads go on")
                refusal(server, acked)
            check(not watcher.readable(), "the waiting query ended")
            check(server.running(), "the server ended:\n%s", server.log()[-1500:])
            ballast.empty()
            began = time.monotonic()
            herald.eventually(lambda: accepted(server, acked), "writes are taken again", 30)
            R.note("writes are taken again after %.1f s" % (time.monotonic() - began))
            equal(watcher.read_response().status, 200, "the waiting query is woken")
        write_some(server, acked, 50)
        equal(rows_of(server), acked)
        server.kill()
        server.start()
        equal(rows_of(server), acked, "after a kill")


def write_some(server, acked, count):
    with server.connect() as c:
        for i in range(count):
            value = "%d-%d" % (i, len(acked)) + "." * 500
            equal(c.request("PUT", "/v1/kv/full/%d" % i, value).body, b"true")
            acked["full/%d" % i] = value


def refusal(server, acked):
    """The answer that refuses a write, or None when it was taken."""
    value = "x" * 100000 + str(random.random())
    res = server.put("/v1/kv/full/big", value)
    if res.status == 200:
        acked["full/big"] = value
        return None
    return res


def accepted(server, acked):
    value = "taken"
    res = server.put("/v1/kv/full/0", value)
    if res.status == 200:
        acked["full/0"] = value
    check(res.status in (200, 503), "%r", res)
    return res.status == 200


@R.test
def full_disk_to_the_last_byte(args):
    with Mounted() as disk:
        full_disk(disk, 0)


@R.test
def full_disk_with_a_little_left(args):
    with Mounted() as disk:
        full_disk(disk, 2 * MIB)


@R.test
def disk_that_our_own_writes_fill(args):
    """No ballast: the server itself fills the disk with values, under several writers."""
    with Mounted("size=160m") as disk:
        acked = {}
        with herald.Server(data_dir=disk.path + "/data") as server:
            threads = [threading.Thread(target=fill_by_writing, args=(server, i, acked))
                       for i in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join(120 * herald.SLOW)
            check(server.running(), "the server ended:\n%s", server.log()[-1500:])
            check(acked, "nothing was taken")
            R.note("%d values of 200 kB were taken on a disk of 160 MiB" % len(acked))
            equal(lengths(server), acked)
            server.kill()
            server.start()
            equal(lengths(server), acked, "after a kill on a full disk")


def fill_by_writing(server, number, acked):
    with server.connect(timeout=60) as c:
        for i in range(400):
            key, body = "own/%d/%d" % (number, i), os.urandom(200000 + i)
            res = c.request("PUT", "/v1/kv/" + key, body)
            if res.status != 200:
                check(res.status == 503, "%r", res)
                return
            acked[key] = len(body)


def lengths(server):
    return {r["Key"]: len(base64.b64decode(r["Value"]))
            for r in server.get("/v1/kv/own/?recurse", timeout=60).json()}


@R.test
def start_on_a_full_disk_says_so(args):
    with Mounted("size=16m") as disk:
        ballast = Ballast(disk)
        ballast.fill()
        text = refused_start(agent(disk.path + "/data"), disk.path)
        check("space" in text or "full" in text, "%s", text[-300:])
        ballast.empty()


# --- bytes that flip -------------------------------------------------------------------------------

def files_under(path):
    return sorted(os.path.join(top, f) for top, _, files in os.walk(path) for f in files
                  if os.path.getsize(os.path.join(top, f)) > 0)


def judge_damaged(data, rows, what):
    """Starts a server on a damaged directory: it serves everything, or says where it is hurt."""
    server = herald.Server(data_dir=data, start=False)
    try:
        try:
            server.start(timeout=30)
        except AssertionError:
            code = server.process.poll()
            log = server.log()
            check(code is not None, "%s: hangs at start:\n%s", what, log[-800:])
            check("Sanitizer" not in log, "%s:\n%s", what, log[-2000:])
            # A fatal error may abort on purpose, after it has said why; silence is a crash.
            check(code > 0 or (code == -signal.SIGABRT and data in log),
                  "%s: died by signal %d:\n%s", what, -code, log[-800:])
            check(data in log, "%s: refuses without naming a file:\n%s", what, log[-800:])
            return "refused"
        return judge_served(server, rows, what)
    finally:
        if server.running():
            server.kill()
        log = server.log()
        shutil.rmtree(server.dir, ignore_errors=True)
        check("Sanitizer" not in log, "%s: %s", what, log[-2000:])


def judge_served(server, rows, what):
    try:
        res = server.get("/v1/kv/?recurse")
        keys = server.get("/v1/kv/?keys")
    except (OSError, EOFError):
        check("corrupt" in server.log().lower(), "%s: vanished:\n%s", what, server.log()[-800:])
        return "ended"
    if res.status == 500 or keys.status == 500:
        check(res.body or keys.body, "%s: no reason", what)
        return "said so"
    equal(res.status, 200, "%s: recurse" % what)
    got = {r["Key"]: base64.b64decode(r["Value"] or "").decode() for r in res.json()}
    check(got == rows, "%s: serves %d rows of %d without a word, wrong: %s", what, len(got), len(rows),
          [k for k in set(rows) | set(got) if rows.get(k) != got.get(k)][:3])
    equal(sorted(rows), sorted(keys.json()), "%s: keys" % what)
    return "whole"


def flip(path, dice):
    size = os.path.getsize(path)
    at = dice.randrange(size)
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(1)[0]
        f.seek(at)
        f.write(bytes([old ^ (1 << dice.randrange(8))]))
    return at


def flips(args, how):
    """`how` ends the server before the damage: cleanly, or by kill -9."""
    dice = random.Random(args.seed)
    verdicts = {}
    with tempfile.TemporaryDirectory(prefix="herald-flip-") as base:
        data = os.path.join(base, "data")
        rows = filled(data, 400)
        if how == "killed":
            rows = more_and_kill(data, rows)
        copy = os.path.join(base, "copy")
        for i in range(args.flips):
            shutil.copytree(data, copy)
            path = dice.choice(files_under(copy))
            at = flip(path, dice)
            what = "%s byte %d" % (os.path.relpath(path, copy), at)
            verdict = judge_damaged(copy, rows, what)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            shutil.rmtree(copy)
    R.note("%d flips: %s" % (args.flips, json.dumps(verdicts)))


def more_and_kill(data, rows):
    rows = dict(rows)
    server = herald.Server(data_dir=data)
    with server.connect() as c:
        for i in range(200):
            value = "more %d" % i
            equal(c.request("PUT", "/v1/kv/more/%d" % (i % 30), value).body, b"true")
            rows["more/%d" % (i % 30)] = value
    server.kill()
    server.end()
    return rows


@R.test
def flipped_bytes_after_a_clean_stop(args):
    flips(args, "stopped")


@R.test
def flipped_bytes_after_a_kill(args):
    flips(args, "killed")


@R.test
def cut_files_after_a_kill(args):
    """Files that end too early: a torn tail may be cut only behind what was acknowledged."""
    dice = random.Random(args.seed)
    verdicts = {}
    with tempfile.TemporaryDirectory(prefix="herald-cut-") as base:
        data = os.path.join(base, "data")
        rows = more_and_kill(data, filled(data, 400))
        copy = os.path.join(base, "copy")
        for _ in range(args.flips // 2):
            shutil.copytree(data, copy)
            path = dice.choice(files_under(copy))
            size = os.path.getsize(path)
            os.truncate(path, dice.randrange(size))
            what = "%s cut from %d to %d" % (os.path.relpath(path, copy), size,
                                             os.path.getsize(path))
            verdict = judge_damaged(copy, rows, what)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            shutil.rmtree(copy)
    R.note("%d cuts: %s" % (args.flips // 2, json.dumps(verdicts)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=40, help="damaged directories per test")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9))
    parser.add_argument("only", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()
    R.note("seed %d" % args.seed)
    R.run_all(args.only, args)
    R.end()


if __name__ == "__main__":
    main()
