#!/usr/bin/env python3
"""Keeps nginx's list of servers as Herald knows it: the handler of `herald watch -type=service`.

    python3 upstream.py NAME FILE [COMMAND...]

Reads the instances of a service as JSON, writes them to FILE as nginx's upstream NAME and, if that
changed FILE, runs COMMAND, which is to make nginx read it. In a directory with nginx.conf:

    watch="herald watch -type=service -service=api -passingonly=true"
    $watch | python3 upstream.py api upstream.conf
    nginx -p . -c nginx.conf
    $watch python3 upstream.py api upstream.conf nginx -p . -c nginx.conf -s reload

The first line asks once, so that nginx can start; the last one stays and reloads nginx at each
change, which costs no request: workers finish what they have. A list that nginx refuses is taken
back, and the watch ends with an error: let a supervisor start it again.
"""
import ipaddress
import json
import os
import re
import subprocess
import sys

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def server(instance):
    """ADDRESS:PORT of an instance, or None. Who registers a service says what its address is: what
    is no address must not become a line of nginx's configuration."""
    host = instance["Service"]["Address"] or instance["Node"]["Address"]
    port = instance["Service"]["Port"]
    if not 0 < port < 65536:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "%s:%d" % (host, port) if HOST.fullmatch(host) else None
    return ("[%s]:%d" if address.version == 6 else "%s:%d") % (address, port)


def upstream(name, instances):
    servers = set()
    for instance in instances or []:
        address = server(instance)
        if address:
            servers.add(address)
        else:
            print("upstream.py: no address: %s" % instance["Service"]["ID"], file=sys.stderr)
    # nginx refuses an upstream without servers; with none but this one it answers 502.
    lines = ["    server %s;\n" % s for s in sorted(servers)] or ["    server 127.0.0.1:9 down;\n"]
    return "upstream %s {\n%s}\n" % (name, "".join(lines))


def read(path):
    try:
        with open(path, encoding="ascii") as f:
            return f.read()
    except FileNotFoundError:
        return None


def write(path, text):
    """Whole or not at all: nginx may read it at any time."""
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.replace(path + ".new", path)


def main(name, path, *command):
    before, now = read(path), upstream(name, json.load(sys.stdin))
    if now == before:
        return 0
    write(path, now)
    if not command or subprocess.call(command) == 0:
        return 0
    if before is not None:
        write(path, before)
    return 1


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: upstream.py NAME FILE [COMMAND...]")
    sys.exit(main(*sys.argv[1:]))
