"""Registrations a second, and health queries of a service with 500 instances a second, at Herald
and at Consul in turn; wrk asks, 64 connections."""
import json
import os
import re
import shutil
import subprocess
import urllib.request

import dns
from words import number

CONNECTIONS = 64
INSTANCES = 500
NODES = 200
QUERY = "/v1/health/service/api?passing=1"

# Each request registers an instance that was not there before, with a check of its own.
REGISTER = """
local turn, n = "%s", 0
function request()
    n = n + 1
    return wrk.format("PUT", "/v1/catalog/register", nil, string.format(
        '{"Node":"node-%%d","Address":"10.0.0.%%d","Service":{"ID":"%%s-%%d","Service":"web-%%d",' ..
        '"Tags":["prod"],"Port":8080},"Check":{"CheckID":"%%s-%%d","Name":"up",' ..
        '"Status":"passing","ServiceID":"%%s-%%d"}}',
        n %% NODES, n %% NODES + 1, turn, n, n %% 50, turn, n, turn, n))
end
""".replace("%% NODES", "%%%% %d" % NODES)

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def wrk(server, path, script=None):
    """One thread; wrong answers and lost connections end the benchmark."""
    command = ["wrk", "-t1", "-c%d" % CONNECTIONS, "-d%ds" % max(2, server.run.ms // 1000),
               "--latency"]
    command += ["-s", script] if script else []
    before = dns.cpu_ticks(server.pid)
    said = subprocess.run(command + ["http://127.0.0.1:%d%s" % (server.port, path)],
                          stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout
    ticks = dns.cpu_ticks(server.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit("%s: wrong answers:\n%s" % (server.name, said))
    done = int(re.search(r"(\d+) requests in", said).group(1))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", said)
    return {"per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)),
            "p99_ms": float(p99.group(1)) * SECONDS[p99.group(2)] * 1000,
            "server_us": ticks * 1e6 / os.sysconf("SC_CLK_TCK") / max(done, 1)}


def register(server, turns):
    turns[server.name] = turns.get(server.name, 0) + 1
    path = os.path.join(server.dir, "register.lua")
    with open(path, "w", encoding="ascii") as f:
        f.write(REGISTER % ("t%d" % turns[server.name]))
    return wrk(server, "/v1/catalog/register", path)


def seed(server):
    for i in range(INSTANCES):
        body = {"Node": "host-%d" % i, "Address": "10.1.%d.%d" % (i // 250, i % 250 + 1),
                "Service": {"ID": "api", "Service": "api", "Tags": ["api", "prod"], "Port": 8080},
                "Check": {"CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": "api"}}
        request = urllib.request.Request(
            "http://127.0.0.1:%d/v1/catalog/register" % server.port,
            data=json.dumps(body).encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read().strip() == b"true"
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (server.port, QUERY)) as answer:
        assert len(json.load(answer)) == INSTANCES


def rows(run, m, what):
    ours, theirs = m["herald"], m.get("consul")
    for key, unit in (("per_s", "per second"), ("p99_ms", "p99 ms"),
                      ("server_us", "server CPU each, us")):
        ratio = 0
        if theirs and ours[key] and theirs[key]:
            ratio = ours[key] / theirs[key] if key == "per_s" else theirs[key] / ours[key]
        run.row("%s, %s" % (what, unit), number(ours[key]),
                "Consul %s" % number(theirs[key]) if theirs else "",
                "%.2fx" % ratio if ratio else "")


def figure(run, kinds):
    if not shutil.which("wrk"):
        print("no wrk: apt-get install wrk", flush=True)
        return
    servers = {k.name: k(run) for k in kinds if k.name != "consul" or shutil.which("consul")}
    for s in servers.values():
        seed(s)
    rows(run, run.turns("fleet-health",
                        {n: (lambda s=s: wrk(s, QUERY)) for n, s in servers.items()}),
         "health query of a service with %d instances" % INSTANCES)
    turns = {}
    rows(run, run.turns("fleet-register",
                        {n: (lambda s=s: register(s, turns)) for n, s in servers.items()}),
         "durable registration of a new instance with its check")
    for s in servers.values():
        s.stop()
