#!/usr/bin/env python3
"""Runs the unit tests of a build directory and reports each case: `unit.py BUILD [NAME...]`, where
a name is a part of one, or the whole with `=` before it.

One line `ok test_x suite::case` per case; a program that crashes outside its cases is one more
failure. Two programs run at a time.
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

TIMEOUT_S = 600


def run(test):
    name, command = test["name"], test["cmd"]
    tap = command[0] + ".tap"
    if os.path.exists(tap):
        os.unlink(tap)
    try:
        got = subprocess.run(command + ["--tap=" + tap], stdout=subprocess.PIPE, text=True,
                             stderr=subprocess.STDOUT, errors="replace", timeout=TIMEOUT_S)
        code, output = got.returncode, got.stdout
    except subprocess.TimeoutExpired as late:
        code, output = "none within %d s" % TIMEOUT_S, (late.stdout or b"").decode(errors="replace")
    lines, cases, failed = [], 0, 0
    if os.path.exists(tap):
        with open(tap, errors="replace") as f:
            for line in f.read().splitlines():
                found = re.match(r"(ok|not ok) - (.*?)( # SKIP.*)?$", line)
                if not found:
                    if line and not line.startswith(("#", "TAP", "1..")):
                        lines.append("# " + line)
                    continue
                cases += 1
                failed += found.group(1) == "not ok"
                kind = "skip" if found.group(3) else found.group(1)
                lines.append("%s %s %s" % (kind, name, found.group(2)))
    # Criterion prints what a sanitizer says of a case, and passes the case all the same.
    sanitizer = re.search(r"(ERROR|WARNING): \w*Sanitizer|runtime error:", output)
    if sanitizer and not failed:
        lines.append("not ok %s: %s" % (name, sanitizer.group(0)))
        failed += 1
    if failed or code != 0:
        lines = ["# " + line for line in output.splitlines()[-80:]] + lines
    if not cases or (code != 0 and not failed):
        lines.append("not ok %s ran %d cases, exit code %s" % (name, cases, code))
        failed += 1
    print("\n".join(lines), flush=True)
    return failed


def main():
    build, names = sys.argv[1], sys.argv[2:]
    listed = subprocess.run(["meson", "introspect", "--tests", build], stdout=subprocess.PIPE,
                            check=True).stdout
    tests = [t for t in json.loads(listed) if t["name"].startswith("test_")]
    tests = [t for t in tests if not names or any(
        n[1:] == t["name"] if n.startswith("=") else n in t["name"] for n in names)]
    with ThreadPoolExecutor(2) as pool:
        sys.exit(1 if not tests or sum(pool.map(run, tests)) else 0)


main()
