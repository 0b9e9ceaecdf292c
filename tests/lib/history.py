"""Histories of operations for the linearizability checker (tests/sim/history.h says the form).

    import history
    h = history.History()                       # times are its own: a counter, or nanoseconds
    op = h.begin(client, "cas", "app/a", value=b"x", cas=12)
    ...                                         # ask
    h.end(op, "ok", index=13)                   # or "failed", "refused", "unknown"
    op = h.begin(client, "get", "app/a", mode="stale", sent=7)
    h.end(op, "ok", read=b"x", index=13, view=13)     # read=None: the key was missing
    h.learn([(13, "app/a", b"x"), ...])         # what the log says, from ?history or a stream
    verdict, text = history.linearize(h)        # "ok", "violation" or "undecided", and why

What is never ended stays unknown. All calls may come from any thread.
"""
import os
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KINDS = ("get", "set", "cas", "delete", "delete-cas")
OUTCOMES = ("ok", "failed", "refused", "unknown")


def quote(text):
    """A text as the file has it; None is `-`."""
    if text is None:
        return "-"
    text = text.encode() if isinstance(text, str) else bytes(text)
    if text == b"":
        return '""'
    return "%2D" if text == b"-" else urllib.parse.quote(text, safe="/")


def unquote(field):
    if field == "-":
        return None
    return b"" if field == '""' else urllib.parse.unquote_to_bytes(field)


def number(field):
    return None if field == "-" else int(field)


class Op:
    __slots__ = ("client", "start", "end", "kind", "key", "value", "cas", "outcome", "read", "index",
                 "mode", "view", "sent")

    def __init__(self, client, start, kind, key, value=None, cas=None, mode="consistent", sent=None):
        if kind not in KINDS:
            raise ValueError("no such kind: %s" % kind)
        self.client, self.start, self.kind = client, start, kind
        self.key = key.encode() if isinstance(key, str) else key
        self.value = value.encode() if isinstance(value, str) else value
        self.cas, self.mode, self.sent = cas, mode, sent
        self.end = self.read = self.index = self.view = None
        self.outcome = "unknown"

    def line(self):
        fields = [self.client, self.start, self.end, self.kind, quote(self.key), quote(self.value),
                  self.cas, self.outcome, quote(self.read), self.index]
        if self.mode != "consistent" or self.view or self.sent:
            fields += [self.mode, self.view or None, self.sent or None]
        return " ".join("-" if f is None else str(f) for f in fields)

    def __repr__(self):
        return self.line()


class History:
    def __init__(self):
        self.ops = []
        self.lock = threading.Lock()
        self.last = 0

    def now(self):
        """Nanoseconds; no two moments of one history are the same."""
        self.last = max(self.last + 1, time.monotonic_ns())
        return self.last

    def begin(self, client, kind, key, **more):
        with self.lock:
            op = Op(client, self.now(), kind, key, **more)
            self.ops.append(op)
            return op

    def end(self, op, outcome, read=None, index=None, view=None):
        if outcome not in OUTCOMES:
            raise ValueError("no such outcome: %s" % outcome)
        with self.lock:
            op.end, op.outcome, op.view = self.now(), outcome, view
            op.read = read.encode() if isinstance(read, str) else read
            if op.kind != "get" or read is not None:
                op.index = index or None

    def learn(self, changes):
        """Sets the index of each write whose value nobody else wrote to that key, from what the log
        says: (index, key, value) of every set. Returns how many were learned."""
        writers = {}
        for op in self.ops:
            if op.value is not None and op.outcome in ("ok", "unknown"):
                writers.setdefault((op.key, op.value), []).append(op)
        learned = 0
        for index, key, value in changes:
            key = key.encode() if isinstance(key, str) else key
            mine = writers.get((key, value), [])
            if len(mine) == 1 and mine[0].index is None:
                mine[0].index = index
                learned += 1
        return learned

    def write(self, f):
        for op in self.ops:
            f.write(op.line() + "\n")

    def save(self, path):
        with open(path, "w") as f:
            self.write(f)

    @staticmethod
    def load(path):
        h = History()
        with open(path) as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    h.ops.append(parse(line.split()))
        return h


def parse(fields):
    if len(fields) not in (10, 13):
        raise ValueError("not an operation: %s" % " ".join(fields))
    mode, view, sent = fields[10:] or ("consistent", "-", "-")
    op = Op(int(fields[0]), int(fields[1]), fields[3], unquote(fields[4]), unquote(fields[5]),
            number(fields[6]), mode, number(sent))
    op.end, op.outcome = number(fields[2]), fields[7]
    op.read, op.index, op.view = unquote(fields[8]), number(fields[9]), number(view)
    return op


def program():
    """$LINEARIZE, or the one of the build beside this tree."""
    return os.environ.get("LINEARIZE", os.path.join(ROOT, "build", "tests", "sim", "linearize"))


def linearize(history, steps=None, keep=None):
    """Judges a History, or the file of one: (verdict, text). What is not ok is saved to `keep`."""
    if isinstance(history, History):
        with tempfile.TemporaryDirectory(prefix="herald-history-") as d:
            path = os.path.join(d, "history")
            history.save(path)
            verdict, text = linearize(path, steps)
        if verdict != "ok" and keep:
            history.save(keep)
            text += "kept as %s\n" % keep
        return verdict, text
    command = [program()] + (["--steps", str(steps)] if steps else []) + [history]
    got = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if got.returncode not in (0, 1, 2):
        raise RuntimeError("linearize ended with %d: %s" % (got.returncode, got.stderr.strip()))
    verdict, _, text = got.stdout.partition("\n")
    return verdict, text
