#!/usr/bin/env python3
"""Backups of a real server: save, inspect, restore; damage is refused; what was restored stays.

The file is looked at with Python's own tar and SHA-256, not with ours.
"""
import contextlib
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import herald  # noqa: E402

SEED = int(os.environ.get("HERALD_TEST_SEED", "20261122"))


def run(server, *args):
    """A command against the server: exit status, what it printed, its complaint."""
    env = dict(os.environ, CONSUL_HTTP_ADDR="127.0.0.1:%d" % server.port)
    done = subprocess.run([herald.program()] + list(args), env=env, timeout=60 * herald.SLOW,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def rows(server):
    return {row["Key"]: row for row in server.get("/v1/kv/?recurse").json()}


def fill(server):
    dice = random.Random(SEED)
    for i in range(40):
        assert server.put("/v1/kv/dir/%d?flags=%d" % (i, i),
                          dice.randbytes(dice.randrange(100000))).json() is True
    for i in range(0, 40, 7):
        assert server.delete("/v1/kv/dir/%d" % i).json() is True


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory(prefix="herald-test-") as path:
        yield path


def saved_state_comes_back_and_stays():
    with place() as path, herald.Server(data_dir=os.path.join(path, "data")) as s:
        fill(s)
        want = rows(s)
        name = os.path.join(path, "s.snap")
        code, out, _ = run(s, "snapshot", "save", name)
        assert (code, out) == (0, "Saved and verified snapshot to index %d\n"
                               % s.get("/v1/kv/?keys").index()), out
        assert os.listdir(path).count("s.snap.unverified") == 0
        code, out, _ = run(s, "snapshot", "inspect", name)
        assert code == 0 and out.splitlines()[4] == "Version      1", out
        assert s.delete("/v1/kv/dir?recurse").json() is True
        assert s.put("/v1/kv/later", b"x").json() is True
        before = s.get("/v1/kv/later").index()
        assert run(s, "snapshot", "restore", name)[:2] == (0, "Restored snapshot\n")
        assert rows(s) == want
        for key in ("dir/1", "later", "nothing"):
            assert s.get("/v1/kv/" + key).index() > before, key
        s.kill()
        s.start()
        assert rows(s) == want
        assert s.put("/v1/kv/later", b"y").json() is True
        assert len(rows(s)) == len(want) + 1


def archive_is_three_files_with_right_sums():
    with herald.Server() as s:
        fill(s)
        r = s.get("/v1/snapshot")
        assert r.status == 200 and r.headers["content-type"] == "application/x-gzip", r
        with tarfile.open(fileobj=io.BytesIO(r.body), mode="r:gz") as tar:
            assert tar.getnames() == ["meta.json", "state.bin", "SHA256SUMS"]
            files = {name: tar.extractfile(name).read() for name in tar.getnames()}
        meta = json.loads(files["meta.json"])
        assert meta["Version"] == 1 and meta["Size"] == len(files["state.bin"])
        assert meta["Index"] == r.index() and meta["ID"].startswith("%d-%d-" % (meta["Term"],
                                                                               meta["Index"]))
        sums = "".join("%s  %s\n" % (hashlib.sha256(files[n]).hexdigest(), n)
                       for n in ("meta.json", "state.bin"))
        assert files["SHA256SUMS"].decode() == sums


def damaged_archive_is_refused_and_changes_nothing():
    with herald.Server() as s:
        fill(s)
        want = rows(s)
        good = s.get("/v1/snapshot").body
        dice = random.Random(SEED)
        for i in range(100):
            bad = bytearray(good)
            if i % 4 == 0:
                bad = bad[:dice.randrange(len(bad))]
            else:
                bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
            r = s.put("/v1/snapshot", bytes(bad))
            assert r.status == 500, (i, r)
            assert r.text().startswith("failed to read snapshot file: "), r
        assert rows(s) == want


def client_that_goes_away_harms_nobody():
    with herald.Server() as s:
        for i in range(30):
            assert s.put("/v1/kv/large/%d" % i, os.urandom(500000)).json() is True
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", s.port)) as c:
                c.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: a\r\n\r\n")
                assert c.recv(100)
        good = s.get("/v1/snapshot")
        assert s.put("/v1/snapshot", good.body).status == 200
        assert len(rows(s)) == 30
        # A server that ends in the middle of one, read or not, ends well.
        with socket.create_connection(("127.0.0.1", s.port)) as c:
            c.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: a\r\n\r\n")
            assert c.recv(100)
            assert s.stop() == 0


def wrong_calls_say_what_is_wrong():
    with place() as path, herald.Server() as s:
        assert run(s, "snapshot", "save")[::2] == (1, "Missing FILE argument\n")
        assert run(s, "snapshot", "inspect", "a", "b")[::2] == (
            1, "Too many arguments (expected 1, got 2)\n")
        missing = os.path.join(path, "missing")
        assert run(s, "snapshot", "restore", missing)[::2] == (
            1, "Error opening snapshot file: open %s: no such file or directory\n" % missing)
        assert s.delete("/v1/snapshot").status == 405
        assert s.put("/v1/kv/a", b"x" * 3000000).status == 413


herald.main([saved_state_comes_back_and_stays, archive_is_three_files_with_right_sums,
             damaged_archive_is_refused_and_changes_nothing, client_that_goes_away_harms_nobody,
             wrong_calls_say_what_is_wrong])
