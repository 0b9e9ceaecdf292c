"""Questions a second that DNS answers: dnsperf over UDP at Herald's and at Consul's, in turn."""
import json
import os
import re
import shutil
import subprocess
import urllib.request

from words import number, verdict

INSTANCES = 20
MIXES = {
    "srv": ("SRV of a service with 20 instances, EDNS", ["api.service.consul SRV"], ["-e"]),
    "a": ("A of a service with 20 instances", ["api.service.consul A"], []),
    "mix": ("A, SRV, tags, nodes, unknown names",
            ["api.service.consul A", "_api._tcp.service.consul SRV", "prod.api.service.consul A",
             "node-3.node.consul A", "nope.service.consul A", "node-7.node.consul TXT"], []),
}


def register(server):
    for i in range(INSTANCES):
        body = {"Node": "node-%d" % i, "Address": "10.0.0.%d" % (i + 1),
                "NodeMeta": {"zone": "eu-1"},
                "Service": {"ID": "api", "Service": "api", "Tags": ["prod"], "Port": 8080},
                "Check": {"CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": "api"}}
        request = urllib.request.Request(
            "http://127.0.0.1:%d/v1/catalog/register" % server.port,
            data=json.dumps(body).encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read().strip() == b"true"


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def perf(server, mix):
    _, questions, options = MIXES[mix]
    path = os.path.join(server.dir, mix)
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(questions) + "\n")
    before = cpu_ticks(server.pid)
    said = subprocess.run(
        ["dnsperf", "-s", "127.0.0.1", "-p", str(server.ports[3]), "-d", path, "-c", "16", "-T", "1",
         "-q", "256", "-l", str(max(1, server.run.ms // 1000)), *options],
        stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    ticks = cpu_ticks(server.pid) - before
    per_s = float(re.search(r"Queries per second:\s+([\d.]+)", said).group(1))
    done = int(re.search(r"Queries completed:\s+(\d+)", said).group(1))
    lost = int(re.search(r"Queries lost:\s+(\d+)", said).group(1))
    return {"per_s": per_s, "lost": lost,
            "server_us": ticks * 1e6 / os.sysconf("SC_CLK_TCK") / max(done, 1)}


def figure(run, kinds):
    """`kinds`: classes whose servers answer DNS on ports[3]."""
    if not shutil.which("dnsperf"):
        print("no dnsperf: apt-get install dnsperf", flush=True)
        return
    servers = {k.name: k(run) for k in kinds if k.name != "consul" or shutil.which("consul")}
    for s in servers.values():
        register(s)
    for mix, (label, _, _) in MIXES.items():
        m = run.turns("dns-" + mix, {n: (lambda s=s: perf(s, mix)) for n, s in servers.items()})
        ours, theirs = m["herald"], m.get("consul")
        for key, what in (("per_s", "questions/s"), ("server_us", "server CPU per question, us")):
            r = (ours[key] / theirs[key] if key == "per_s" else theirs[key] / ours[key]) \
                if theirs and theirs[key] and ours[key] else 0
            run.row("DNS, %s, %s" % (label, what), number(ours[key]),
                    "Consul %s" % number(theirs[key]) if theirs else "", "%.2fx" % r,
                    verdict("5x Consul", r >= 5))
    for s in servers.values():
        s.stop()
