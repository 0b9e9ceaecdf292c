"""How a test script reports: one line per test (`ok NAME`, `not ok NAME: why`, `skip NAME:
reason`), details as comments (`# ...`), and an exit status."""

import sys
import threading
import time
import traceback

from herald import Skip


class Fail(Exception):
    """The tested thing is wrong; the text says how."""


def check(condition, why, *args):
    if not condition:
        raise Fail(why % args if args else why)


def equal(got, want, what=""):
    if got != want:
        raise Fail("%s%sgot %.300r, want %.300r" % (what, ": " if what else "", got, want))


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.tests = []
        self.lock = threading.Lock()

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def note(self, text):
        self.say("# " + text)

    def ok(self, name):
        self.passed += 1
        self.say("ok " + name)

    def not_ok(self, name, why):
        self.failed += 1
        self.say("not ok %s: %s" % (name, " / ".join(str(why).splitlines()) or "failed"))

    def skip(self, name, reason):
        self.skipped += 1
        self.say("skip %s: %s" % (name, reason))

    def test(self, function):
        """Decorator: adds a test; its name is the function's."""
        self.tests.append(function)
        return function

    def run(self, name, function, *args):
        """Runs one test; True when it passed."""
        began = time.monotonic()
        try:
            function(*args)
        except Skip as e:
            self.skip(name, e)
            return False
        except Fail as e:
            self.not_ok(name, e)
            return False
        except Exception as e:  # a test that breaks has failed
            where = traceback.extract_tb(e.__traceback__)[-2:]
            at = " < ".join("%s:%d" % (f.name, f.lineno) for f in reversed(where))
            self.not_ok(name, "%s: %s (%s)" % (type(e).__name__, e, at))
            return False
        self.ok(name)
        took = time.monotonic() - began
        if took > 5:
            self.note("%s took %.1f s" % (name, took))
        return True

    def run_all(self, only, *args):
        for function in self.tests:
            if not only or any(o in function.__name__ for o in only):
                self.run(function.__name__, function, *args)

    def end(self):
        self.note("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        sys.exit(1 if self.failed else 0)
