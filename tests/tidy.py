#!/usr/bin/env python3
"""The rules of the house that no compiler holds: `python3 tests/tidy.py [BUILD]`.

Include direction, one owner per library, banned functions, clocks only through the environment,
lengths, a contract at the head of each header, formatting (clang-format); with the directory of a
clang build (its compile_commands.json) clang-tidy too. One line `ok NAME` or `not ok NAME` for
each rule, with `# file:line: what` before it.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)

TOP = {"core", "examples", "store", "stream", "webhook", "tests", ".ci", ".clang-format",
       ".clang-tidy", ".gitignore", "LICENSE", "README.md", "meson.build"}

STORE_PUBLIC = {"store/view.h", "store/change.h", "store/acl.h", "store/fleet.h", "store/row.h",
                "store/row_json.h", "store/acl_rows.h", "store/acl_resolve.h"}
STORE_ALL = STORE_PUBLIC | {"store/store.h", "store/backup.h", "store/command.h", "store/command.tbl.h",
                            "store/txn.h"}
# What each room may include of the others (design.md, section 1); its own headers always.
MAY = {
    "base": set(),
    "store": {"core/base/"},
    "stream": {"core/base/"} | STORE_PUBLIC,
    "webhook": {"core/base/", "stream/stream.h", "store/hook.h"} | STORE_ALL,
    "core": {"core/base/", "stream/stream.h", "webhook/webhook.h", "store/hook.h"} | STORE_ALL,
    "tests": {"core/", "store/", "stream/", "webhook/"},
}
OWNERS = {
    r"rocksdb/": r"store/rocks\.[ch]",
    r"raft\.h$": r"store/replica/(engine|guard)\w*\.[ch]",
    r"event2/": r"core/base/loop\.[ch]",
    r"(libwebsockets\.h|uv\.h)$": r"core/front/websocket\.[ch]",
    r"curl/": r"webhook/client\.[ch]|core/cli/http_client\.c|core/agent/cloud_http\.c|"
               r"core/agent/check/http\.c",
    r"jansson\.h$": r"core/(?!base/).*|stream/protocol.*",
    r"libknot/": r"core/dns/packet\.[ch]",
    r"zlib\.h$": r"core/.*",
    r"openssl/": r"core/api/(sha256|connect_ca)\.c|store/acl_hash\.c|core/gossip/keyring\.c|"
                 r"core/agent/cloud_sign\.c",
}
BANNED = {
    r"strcpy|stpcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|strtok_r": None,
    r"atoi|atol|atoll|atof|rand|srand|random|alloca|setjmp|longjmp|system|popen": None,
    r"time|clock_gettime|gettimeofday|clock|getrandom|getentropy|arc4random": r"core/base/env_real\.c",
    # The disk thread may wait for room on the disk: nobody else is on that thread.
    r"sleep|usleep|nanosleep": r"core/cli/.*|store/disk\.c",
}

failures = {}


def rule(name):
    failures.setdefault(name, [])


def fail(name, where, what):
    failures.setdefault(name, []).append("%s: %s" % (where, what))


def sources():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], text=True,
                            stdout=subprocess.PIPE, check=True).stdout.split("\n")
    return [f for f in listed if f and os.path.isfile(f)]


def room(path):
    if path.startswith("core/base/"):
        return "base"
    return path.split("/")[0]


def without_comments_and_strings(text):
    """The code alone, line for line."""
    def blank(found):
        return re.sub(r"[^\n]", " ", found.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_includes(path, text):
    home = room(path)
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        kind, name = found.groups()
        where = "%s:%d" % (path, number)
        if kind == '"':
            beside = home == "tests" and os.path.isfile(os.path.dirname(path) + "/" + name)
            if not os.path.isfile(name) and not beside:
                fail("include_direction", where, "%s is not a path from the root" % name)
            elif not beside and room(name) != home and home in MAY and not any(
                    name.startswith(m) if m.endswith("/") else name == m for m in MAY[home]):
                fail("include_direction", where, "%s/ must not include %s" % (home, name))
        for library, owner in OWNERS.items():
            if re.match(library, name) and home != "tests" and not re.fullmatch(owner, path):
                fail("library_owner", where, "%s belongs to %s" % (name, owner))


def check_code(path, text):
    if path.startswith("tests/"):
        return
    code = without_comments_and_strings(text).split("\n")
    for names, allowed in BANNED.items():
        call = re.compile(r"(?<![\w.>])(%s)\s*\(" % names)
        for number, line in enumerate(code, 1):
            found = call.search(line)
            if found and not (allowed and re.fullmatch(allowed, path)):
                fail("banned_functions", "%s:%d" % (path, number), found.group(1) + "()")


def check_text(path, text):
    lines = text.split("\n")
    ours = re.search(r"\.(c|h|py|sh|mjs|html|build|txt)$", path)
    table = path.endswith((".tbl.h", ".txt"))
    limit = 300 if path.endswith(".h") and not path.startswith("tests/") else 800
    if ours and not table and len(lines) > limit:
        fail("lengths", path, "%d lines, at most %d" % (len(lines), limit))
    for number, line in enumerate(lines, 1):
        where = "%s:%d" % (path, number)
        # A table is data: one row is one line, however long its text.
        columns = 100 if re.search(r"\.[ch]$", path) else 120
        if ours and not table and len(line) > columns:
            fail("lengths", where, "%d columns, at most %d" % (len(line), columns))
        if ours and path != "tests/tidy.py" and re.search(r"\b(FIXME|TODO|XXX)\b", line):
            fail("nothing_unfinished", where, line.strip())
        if re.search(r"(^|[\s\"'=(])/(home|root|work|Users)/\w", line):
            fail("no_machine_paths", where, line.strip())
        if line.rstrip() != line and ours and not table:
            fail("lengths", where, "blanks at the end of the line")
    if path.endswith(".h") and not text.startswith("/* "):
        fail("header_contracts", path, "a header begins with its contract, a comment")


def check_format(paths):
    rule("clang_format")
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    got = subprocess.run([tool, "--dry-run", "-Werror"] + paths, stderr=subprocess.PIPE, text=True)
    for line in got.stderr.splitlines():
        if "error:" in line:
            fail("clang_format", *line.split(": error: "))


def check_clang_tidy(build):
    rule("clang_tidy")
    tool = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    with open(os.path.join(build, "compile_commands.json")) as f:
        units = {os.path.normpath(os.path.join(e["directory"], e["file"])): e for e in json.load(f)}
    with open(".clang-tidy", "rb") as f:
        settings = f.read()
    kept = os.path.join(build, "tidy")
    os.makedirs(kept, exist_ok=True)

    def one(unit):
        # What was found is kept for as long as nothing that the compiler sees has changed.
        seen = re.sub(r" -o \S+ -c | -M\w+ \S+( \S+\.o)?| -MD", " -E ", units[unit]["command"])
        text = subprocess.run(seen, shell=True, cwd=units[unit]["directory"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        with open(unit, "rb") as f:
            name = os.path.join(kept, hashlib.sha256(settings + text + f.read()).hexdigest())
        if not os.path.exists(name) or not text:
            got = subprocess.run([tool, "-p", build, "--quiet", unit], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
            with open(name, "w") as f:
                f.write(got.stdout)
        with open(name) as f:
            return f.read()

    # Criterion's macros are not ours to tidy, and the simulator stands in for libraries under their
    # own names; everything else is.
    units = {u: e for u, e in units.items()
             if not os.path.relpath(u).startswith(("tests/unit/", "tests/sim/", ".."))}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = set()
        for text in pool.map(one, sorted(units)):
            for line in text.splitlines():
                found = re.match(r"(\S+?:\d+):\d+: (?:error|warning): (.*)", line)
                if found and line not in seen:
                    seen.add(line)
                    at = os.path.relpath(os.path.join(build, found.group(1)))
                    fail("clang_tidy", at, found.group(2).replace(",-warnings-as-errors", ""))


def main():
    for name in ("include_direction", "library_owner", "banned_functions", "lengths",
                 "nothing_unfinished", "no_machine_paths", "header_contracts", "top_level"):
        rule(name)
    paths = sources()
    c_paths = [p for p in paths if re.search(r"\.[ch]$", p)]
    for path in paths:
        if path.split("/")[0] not in TOP:
            fail("top_level", path, "not a name of the top level")
        with open(path, errors="replace") as f:
            text = f.read()
        check_text(path, text)
        if path in c_paths:
            check_includes(path, text)
            check_code(path, text)
    check_format([p for p in c_paths if not p.endswith(".tbl.h")])
    if len(sys.argv) > 1:
        check_clang_tidy(sys.argv[1])
    for name, found in failures.items():
        for line in found:
            print("# " + line)
        print("%s %s" % ("not ok" if found else "ok", name))
    sys.exit(any(failures.values()))


main()
