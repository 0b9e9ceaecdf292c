#!/usr/bin/env python3
"""Runs the two compiled test programs of Consul's suite and says what came of each test:
`judge.py SOURCE PROGRAMS OUT [PATTERN]`. Called by run.sh, which has put our program, named
`consul`, on the path. Writes OUT/list.txt and the whole output to OUT/api.log, OUT/watch.log."""

import os
import re
import subprocess
import sys

SECONDS_MAX = 900
PANICS_MAX = 8
HERE = os.path.dirname(os.path.abspath(__file__))
VERDICT = re.compile(r"^--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)")


def scopes():
    """Name -> (scope, reason)."""
    table = {}
    with open(os.path.join(HERE, "scope.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, scope, *reason = line.split(None, 2)
                table[name] = (scope, reason[0].strip() if reason else "")
    return table


def names_in(program, pattern):
    listed = subprocess.run([program, "-test.list", pattern or "."], capture_output=True, text=True)
    return listed.stdout.split()


def run(program, directory, names, log):
    """Name -> (verdict, seconds). What has no verdict did not come to its end."""
    command = [program, "-test.v", "-test.parallel", "4", "-test.timeout", "%ds" % SECONDS_MAX,
               "-test.run", "^(%s)$" % "|".join(names)]
    found = {}
    with open(log, "w") as f:
        subprocess.run(command, cwd=directory, stdout=f, stderr=subprocess.STDOUT,
                       timeout=SECONDS_MAX + 60, check=False)
    with open(log, errors="replace") as f:
        for line in f:
            hit = VERDICT.match(line)
            if hit:
                found[hit.group(2)] = (hit.group(1), hit.group(3))
    return found


def culprit(log):
    """The test whose panic ended the whole program, and all others with it; or None."""
    inside = False
    with open(log, errors="replace") as f:
        for line in f:
            inside = inside or line.startswith("panic: ")
            hit = inside and re.search(r"\.(Test\w+)(?:\.func[\d.]+)*\(", line)
            if hit:
                return hit.group(1)
    return None


def run_all(program, directory, names, log):
    """run(), and again without whoever panicked, until each has its verdict."""
    found, texts, left = {}, [], list(names)
    for _ in range(PANICS_MAX):
        found.update(run(program, directory, left, log))
        with open(log, errors="replace") as f:
            texts.append(f.read())
        guilty = culprit(log)
        if guilty is None:
            break
        found[guilty] = ("FAIL", "")
        left = [n for n in left if n not in found]
        if not left:
            break
    with open(log, "w") as f:
        f.write("\n".join(texts))
    return found


def complaint(log, name):
    """The first line with which the test itself says what it missed."""
    inside = False
    with open(log, errors="replace") as f:
        for line in f:
            if re.match(r"^(---|===) .*\b%s(?:\s|$)" % re.escape(name), line):
                inside = True
            elif line.startswith(("--- ", "=== ")) and name not in line:
                inside = False
            elif inside and re.search(r"_test\.go:\d+:|Error:|panic:|\.go:\d+: ", line) \
                    and "CONFIG JSON" not in line:
                return line.strip()[:160]
    return ""


def judge(name, scope, reason, verdict, why):
    """The line for the harness and the word for the list."""
    if scope == "out":
        return "skip %s: %s" % (name, reason), "not ours: " + reason
    if verdict == "PASS":
        return "ok %s" % name, "passes"
    if verdict == "SKIP":
        return "skip %s: it skips itself" % name, "skips itself"
    word = "fails" if verdict == "FAIL" else "does not end"
    if scope == "side":
        return "skip %s: %s, %s" % (name, reason, word), word
    return "not ok %s: %s" % (name, why or word), word


def main():
    source, programs, out = sys.argv[1:4]
    pattern = sys.argv[4] if len(sys.argv) > 4 else ""
    table = scopes()
    rows = []
    for program, directory in (("api", "api"), ("watch", "api/watch")):
        path = os.path.join(programs, program + ".test")
        log = os.path.join(out, program + ".log")
        names = names_in(path, pattern)
        wanted = [n for n in names if table.get(n, ("in", ""))[0] != "out"]
        found = run_all(path, os.path.join(source, directory), wanted, log) if wanted else {}
        for name in names:
            scope, reason = table.get(name, ("in", ""))
            verdict = found.get(name, (None, ""))[0]
            why = complaint(log, name) if verdict != "PASS" and scope == "in" else ""
            said, word = judge(name, scope, reason, verdict, why)
            print(said, flush=True)
            rows.append((name, scope, word))
    inside = [r for r in rows if r[1] == "in"]
    passing = sum(1 for r in inside if r[2] == "passes")
    with open(os.path.join(out, "list.txt"), "w") as f:
        f.write("Consul 1.8.7's tests against Herald: %d of %d in scope pass\n\n"
                % (passing, len(inside)))
        for row in rows:
            f.write("%-50s %-5s %s\n" % row)
    print("# %d of %d in scope pass; the logs are %s/api.log and watch.log"
          % (passing, len(inside), out))
    return 0 if passing == len(inside) else 1


sys.exit(main())
