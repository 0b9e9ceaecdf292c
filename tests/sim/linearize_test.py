#!/usr/bin/env python3
"""tests/lib/history.py and the program `linearize` together: what Python notes, C judges."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import history  # noqa: E402


def fine():
    h = history.History()
    op = h.begin(1, "set", "a b/-", value=b"x\n\xff")
    h.end(op, "ok", index=7)
    op = h.begin(2, "get", "a b/-")
    h.end(op, "ok", read=b"x\n\xff", index=7)
    op = h.begin(2, "cas", "a b/-", value="", cas=7)
    h.end(op, "ok")
    h.begin(1, "delete-cas", "-", cas=0)
    op = h.begin(2, "get", "a b/-", mode="stale", sent=7)
    h.end(op, "ok", read=b"", index=9, view=9)
    op = h.begin(2, "get", "-")
    h.end(op, "ok", read=None, index=9)
    return h


def expect(got, want, part=""):
    verdict, text = got
    if verdict != want or part not in text:
        sys.exit("%s, wanted %s with %r:\n%s" % (verdict, want, part, text))


def a_history_comes_back_from_its_file(path):
    h = fine()
    h.save(path)
    again = history.History.load(path)
    if [o.line() for o in h.ops] != [o.line() for o in again.ops]:
        sys.exit("not the same:\n%r\n%r" % (h.ops, again.ops))
    expect(history.linearize(path), "ok", "operations=6")


def a_lost_write_is_a_violation(path):
    h = fine()
    op = h.begin(3, "get", "a b/-")
    h.end(op, "ok", read=b"x\n\xff", index=7)
    expect(history.linearize(h, keep=path), "violation", 'key "a b/-"')
    expect(history.linearize(path), "violation", "> 3 ")


def a_stale_read_behind_what_was_sent_is_a_violation(_):
    h = fine()
    op = h.begin(3, "get", "a b/-", mode="stale", sent=9)
    h.end(op, "ok", read=b"x\n\xff", index=7, view=7)
    expect(history.linearize(h), "violation", "behind the index")


def the_log_tells_the_indexes(_):
    h = history.History()
    ops = [h.begin(c, "set", "k", value="v%d" % c) for c in range(3)]
    for op in ops[:2]:
        h.end(op, "ok")
    if h.learn([(5, "k", b"v2"), (6, "k", b"v0"), (8, b"k", b"v1")]) != 3:
        sys.exit("not all learned: %r" % h.ops)
    op = h.begin(9, "get", "k")
    h.end(op, "ok", read="v0", index=6)
    expect(history.linearize(h), "violation", "had replaced")
    op.read, op.index = b"v1", 8
    expect(history.linearize(h), "ok", "searched=0")


def what_is_no_history_is_refused(path):
    for text in ("1 1 2 put k a - ok - -\n", "\n1 1 2\n"):
        with open(path, "w") as f:
            f.write(text)
        try:
            got = history.linearize(path)
        except RuntimeError as e:
            if "is not an operation" in str(e):
                continue
            got = e
        sys.exit("%r: %r" % (text, got))
    got = subprocess.run([history.program()], stderr=subprocess.PIPE)
    if got.returncode != 3:
        sys.exit("without a file: %d" % got.returncode)


def main():
    with tempfile.TemporaryDirectory(prefix="herald-linearize-") as d:
        for test in (a_history_comes_back_from_its_file, a_lost_write_is_a_violation,
                     a_stale_read_behind_what_was_sent_is_a_violation, the_log_tells_the_indexes,
                     what_is_no_history_is_refused):
            test(os.path.join(d, "history"))
            print("ok", test.__name__)


main()
