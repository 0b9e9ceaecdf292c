#!/usr/bin/env python3
"""Debian's Patroni with PostgreSQL, two nodes whose Consul is Herald: one gets the lock and leads,
the other streams from it; the leader is killed, and when its session has ended, not before, the
other is promoted; the killed one comes back and follows."""
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

PATRONI = shutil.which("patroni") or "/usr/bin/patroni"
BIN = max(glob.glob("/usr/lib/postgresql/*/bin"), default="")
# Patroni halves its TTL for Consul, which doubles it; Herald does not, so the half is what counts:
# loop_wait + 2 * retry_timeout is to be less than that.
SESSION_S = 10
DCS = {"ttl": 2 * SESSION_S, "loop_wait": 1, "retry_timeout": 3}


def as_postgres():
    """PostgreSQL refuses to be run by root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] \
        if os.getuid() == 0 else []


class Node:
    def __init__(self, name, directory, consul_port):
        self.name, self.dir = name, os.path.join(directory, name)
        self.data = os.path.join(self.dir, "data")
        self.port, self.rest = herald.free_port(), "127.0.0.1:%d" % herald.free_port()
        self.process = None
        os.mkdir(self.dir, 0o700)
        address = "127.0.0.1:%d" % self.port
        self.config = os.path.join(self.dir, "patroni.json")
        with open(self.config, "w") as f:
            # JSON is YAML.
            json.dump({
                "scope": "db", "name": name,
                "restapi": {"listen": self.rest, "connect_address": self.rest},
                "consul": {"host": "127.0.0.1:%d" % consul_port, "register_service": True,
                           "service_check_interval": "1s"},
                "watchdog": {"mode": "off"},
                "bootstrap": {
                    "dcs": dict(DCS, postgresql={
                        "use_pg_rewind": True,
                        "parameters": {"shared_buffers": "16MB", "max_connections": 20,
                                       "fsync": "off"}}),
                    "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"]},
                "postgresql": {
                    "listen": address, "connect_address": address, "data_dir": self.data,
                    "bin_dir": BIN, "pgpass": os.path.join(self.dir, "pgpass"),
                    "parameters": {"unix_socket_directories": self.dir},
                    "pg_hba": ["host all all 127.0.0.1/32 trust",
                               "host replication all 127.0.0.1/32 trust"],
                    "authentication": {"superuser": {"username": "postgres", "password": "p"},
                                       "replication": {"username": "copy", "password": "p"}}},
            }, f)
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (self.dir, self.config):
                os.chown(path, user.pw_uid, user.pw_gid)

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(as_postgres() + [PATRONI, self.config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir)

    def log(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return f.read()

    def kill(self):
        """Patroni and its PostgreSQL at once, without a word to anybody."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as f:
                pid = int(f.readline())
            os.kill(pid, signal.SIGQUIT)
        except (OSError, ValueError):
            return
        herald.eventually(lambda: gone(pid), "PostgreSQL has ended", 20)

    def sql(self, statement):
        """What psql answers; None when it cannot ask."""
        got = subprocess.run([os.path.join(BIN, "psql"), "-XAtq", "-h", "127.0.0.1", "-p",
                              str(self.port), "-U", "postgres", "-c", statement],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                             env=dict(os.environ, PGCONNECT_TIMEOUT="5"))
        return got.stdout.strip() if got.returncode == 0 else None


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def holder(s):
    """Who has the leader's lock: (name, session), or None."""
    r = s.get("/v1/kv/service/db/leader?raw")
    row = s.get("/v1/kv/service/db/leader")
    if r.status != 200 or row.status != 200 or "Session" not in row.json()[0]:
        return None
    return r.text(), row.json()[0]["Session"]


def streams(leader):
    return leader.sql("select count(*) from pg_stat_replication where state = 'streaming'") == "1"


def passing(s, role):
    rows = s.get("/v1/health/service/db?passing&tag=" + role).json()
    return [row["Service"]["Port"] for row in rows]


def story(s, nodes):
    a, b = nodes
    a.start()
    herald.eventually(lambda: a.sql("select pg_is_in_recovery()") == "f", "the first leads", 60)
    name, session = herald.eventually(lambda: holder(s), "the first has the lock")
    assert name == "a", name
    assert s.get("/v1/session/info/" + session).json()[0]["TTL"] == "%.1fs" % SESSION_S
    b.start()
    herald.eventually(lambda: streams(a), "the second streams", 60)
    assert a.sql("create table t (n int); insert into t values (1)") is not None
    herald.eventually(lambda: b.sql("select n from t") == "1", "the second has the row")
    herald.eventually(lambda: (passing(s, "master"), passing(s, "replica")) == ([a.port], [b.port]),
                      "both are services, each with its role", 20)

    a.kill()
    began = time.monotonic()
    herald.eventually(lambda: (holder(s) or ("",))[0] == "b", "the second has the lock", 30)
    took = time.monotonic() - began
    herald.eventually(lambda: b.sql("insert into t values (2)") is not None, "it leads", 20)
    print("# the lock changed hands %.1f s after the kill, it wrote after %.1f s; sessions of %d s"
          % (took, time.monotonic() - began, SESSION_S))
    assert took > SESSION_S - DCS["loop_wait"] - 2, "the session ended early"
    assert s.get("/v1/session/info/" + session).json() == []
    herald.eventually(lambda: passing(s, "master") == [b.port], "the service says so, too", 20)

    a.start()
    herald.eventually(lambda: streams(b), "the killed one follows", 60)
    herald.eventually(lambda: a.sql("select count(*) from t") == "2", "and has what it missed")
    assert holder(s)[0] == "b"


def test_patroni_fails_over_by_herald():
    if not os.path.exists(PATRONI) or not BIN:
        raise herald.Skip("patroni or postgresql is not installed")
    directory = tempfile.mkdtemp(prefix="herald-patroni-")
    os.chmod(directory, 0o755)
    nodes = []
    with herald.Server() as s:
        try:
            nodes = [Node(name, directory, s.port) for name in ("a", "b")]
            story(s, nodes)
        except BaseException:
            for n in nodes:
                if n.process is not None:
                    print("".join("# %s: %s\n" % (n.name, line)
                                  for line in n.log().splitlines()[-30:]), end="")
            raise
        finally:
            for n in nodes:
                n.kill()
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    herald.main([test_patroni_fails_over_by_herald])
