"""What really happened, and what a subscriber must therefore have seen.

`Truth` holds every change that a test's writers know of, each with the index learned by reading
it back. `Checker` takes what one subscription received, message by message, and holds it against
the rules of contracts/streaming.md:

  ordered       indexes rise, inside a batch and from batch to batch
  unique        nothing twice, also across reconnects
  atomic        all events of one index are in one batch, or in parts that say so
  complete      batches join (`after` == last `through`), and hold every matching change between
  resumable     a resume from the last `through` continues exactly there
  bookmarkable  no `through` is ahead of an event that was not delivered
  state         snapshot plus tail is what a reader of the store would see
"""

import base64
import bisect
import threading


class Change:
    __slots__ = ("index", "op", "key", "value", "flags", "create_index", "removed")

    def __init__(self, index, op, key, value=None, flags=0, create_index=0, removed=()):
        self.index, self.op, self.key, self.value = index, op, key, value
        self.flags, self.create_index = flags, create_index
        self.removed = frozenset(removed)  # the keys that a deletion took

    def __repr__(self):
        return "%s %s at %d" % (self.op, self.key, self.index)

    def seen(self):
        """As a subscriber sees it."""
        if self.op == "set":
            return (self.index, self.op, self.key, self.value, self.flags, self.create_index)
        return (self.index, self.op, self.key)


def event_seen(e):
    """An event from the wire in the form of Change.seen()."""
    if e["op"] == "set":
        value = base64.b64decode(e["value"]) if e.get("value") else b""
        return (e["index"], "set", e["key"], value, e.get("flags", 0), e.get("create_index"))
    return (e["index"], e["op"], e["key"])


class Filter:
    """What a subscription asks for: everything, a prefix, a key; perhaps an expression."""

    def __init__(self, prefix=None, key=None, op=None):
        self.prefix, self.key, self.op = prefix, key, op

    def __repr__(self):
        what = "key=%s" % self.key if self.key is not None else "prefix=%s" % (self.prefix or "")
        return what + (" op=%s" % self.op if self.op else "")

    def holds_key(self, key):
        return key == self.key if self.key is not None else key.startswith(self.prefix or "")

    def must(self, c):
        """The change must be delivered."""
        if self.op and c.op != self.op:
            return False
        if c.op == "delete-prefix":
            return any(self.holds_key(k) for k in c.removed)
        return self.holds_key(c.key)

    def may(self, c):
        """The change may be delivered: a recursive deletion reaches into the filter's range,
        whether or not it found anything there."""
        if c.op != "delete-prefix" or (self.op and c.op != self.op):
            return False
        if self.key is not None:
            return self.key.startswith(c.key)
        mine = self.prefix or ""
        return mine.startswith(c.key) or c.key.startswith(mine)


class Truth:
    def __init__(self):
        self.lock = threading.Lock()
        self.changes = []

    def add(self, change):
        with self.lock:
            self.changes.append(change)

    def freeze(self):
        """After the last write: puts the changes in order; returns what is wrong with them."""
        self.changes.sort(key=lambda c: c.index)
        self.indexes = [c.index for c in self.changes]
        return ["two writes have index %d" % a for a, b in zip(self.indexes, self.indexes[1:])
                if a == b]

    def last(self):
        return self.indexes[-1] if self.indexes else 0

    def between(self, after, through):
        a = bisect.bisect_right(self.indexes, after)
        b = bisect.bisect_right(self.indexes, through)
        return self.changes[a:b]

    def state(self, index, keep=lambda key: True):
        rows = {}
        for c in self.between(0, index):
            if c.op == "set":
                rows[c.key] = c.value
            for key in c.removed:
                rows.pop(key, None)
        return {k: v for k, v in rows.items() if keep(k)}


class Segment:
    """An unbroken claim: everything in (after, through] was delivered."""

    def __init__(self, after, why):
        # None until the first batch or bookmark says where the claim begins
        self.after, self.through, self.why = after, after, why
        self.events = []
        self.snapshot = None


class Checker:
    def __init__(self, name, filter):
        self.name, self.filter = name, filter
        self.segments = []
        self.problems = []
        self.part = []       # events of an index whose last part has not come
        self.pages = None    # of a snapshot that is not complete
        self.received = 0
        self.resumes = 0
        self.compactions = 0

    def fail(self, why, *args):
        if len(self.problems) < 5:
            self.problems.append("%s (%r): %s" % (self.name, self.filter, why % args))

    @property
    def cursor(self):
        return self.segments[-1].through if self.segments else None

    # --- what a connection brings -----------------------------------------------------------

    def started(self, asked, after, why):
        """A subscription began; `asked` is the cursor it was to resume from (None: none)."""
        self.part = []
        self.pages = None
        if not asked or self.cursor is None:
            # Index 0 is no place to resume from: it asks for the oldest that is kept.
            self.segments.append(Segment(after, why))
            return
        if after is not None and after != asked:
            self.fail("asked to resume from %d, starts from %d", asked, after)
            self.segments.append(Segment(after, "other start"))
            return
        self.resumes += 1

    def dropped(self):
        """The connection is gone: halves of indexes and snapshots are forgotten."""
        self.part = []
        self.pages = None

    def compacted(self, asked, oldest, message):
        self.compactions += 1
        if asked >= oldest:
            self.fail("compacted at %d although %d can be resumed from: %s", asked, oldest, message)
        self.dropped()

    def page(self, index, items, more):
        if self.pages is None:
            self.pages = (index, {}, None)
        at, rows, _ = self.pages
        if at != index:
            self.fail("pages of one snapshot at %d and %d", at, index)
        for row in items:
            if row["key"] in rows:
                self.fail("snapshot has %s twice", row["key"])
            rows[row["key"]] = base64.b64decode(row["value"]) if row.get("value") else b""
        if not more:
            segment = Segment(index, "snapshot")
            segment.snapshot = rows
            self.segments.append(segment)
            self.pages = None

    def batch(self, after, through, events, part=False):
        s = self.segments[-1]
        if s.after is None:
            s.after = s.through = after
        if after != s.through:
            self.fail("a batch is after %d, but the last was through %d (%s)", after, s.through,
                      s.why)
            if after < s.through:
                events = [e for e in events if e["index"] > s.through]
        if through < after:
            self.fail("a batch is after %d through %d", after, through)
        self.received += len(events)
        last = max(after, self.part[-1]["index"] if self.part else 0)
        for e in events:
            if e["index"] < last or (e["index"] == last and e["index"] <= after):
                self.fail("%s %s at %d comes behind index %d", e["op"], e["key"], e["index"], last)
            last = e["index"]
        if self.part and (not events or events[0]["index"] != self.part[0]["index"]):
            self.fail("part of index %d is followed by something else", self.part[0]["index"])
        events = self.part + events
        self.part = [e for e in events if e["index"] > through]
        if self.part and not part:
            self.fail("a batch through %d holds index %d", through, self.part[0]["index"])
            self.part = []
        if len({e["index"] for e in self.part}) > 1:
            self.fail("a part holds several open indexes")
        s.events += [e for e in events if e["index"] <= through]
        s.through = max(through, s.through)

    def bookmark(self, through, what):
        s = self.segments[-1]
        if s.after is None:
            s.after = s.through = through
        if self.part:
            self.fail("a %s between the parts of index %d", what, self.part[0]["index"])
        if through < s.through:
            self.fail("a %s through %d behind %d", what, through, s.through)
        s.through = max(through, s.through)

    # --- the verdict ------------------------------------------------------------------------

    def waits_for(self, truth):
        """The first matching change that has not come yet."""
        cursor = self.cursor
        if cursor is None:
            return None
        for c in truth.between(cursor, truth.last()):
            if self.filter.must(c):
                return c
        return None

    def verdict(self, truth):
        for s in self.segments:
            if s.after is not None:
                self.judge(truth, s)
        return self.problems

    def judge(self, truth, s):
        got = [event_seen(e) for e in s.events]
        want = truth.between(s.after, s.through)
        at = 0
        for c in want:
            must, may = self.filter.must(c), self.filter.may(c)
            here = at < len(got) and got[at][0] == c.index
            if must and not here:
                self.fail("missed %r in (%d, %d] %s; next was %s", c, s.after, s.through, s.why,
                          got[at][:3] if at < len(got) else "nothing")
                return
            if here:
                if not must and not may:
                    self.fail("%r does not match", c)
                if got[at] != c.seen():
                    self.fail("%s differs from what was written: %s", str(got[at])[:200],
                              str(c.seen())[:200])
                at += 1
        if at < len(got):
            self.fail("%s never happened, or came twice", got[at][:3])
        if s.snapshot is not None:
            self.judge_state(truth, s)

    def judge_state(self, truth, s):
        rows = dict(s.snapshot)
        # To an expression a row is a set.
        want = truth.state(s.after, self.filter.holds_key) if self.filter.op in (None, "set") else {}
        if rows != want:
            self.fail("the snapshot at %d is not the state there: %s", s.after,
                      difference(rows, want))
        if self.filter.op:
            return
        for e in s.events:
            if e["op"] == "set":
                rows[e["key"]] = base64.b64decode(e["value"]) if e.get("value") else b""
            elif e["op"] == "delete":
                rows.pop(e["key"], None)
            else:
                rows = {k: v for k, v in rows.items() if not k.startswith(e["key"])}
        if rows != truth.state(s.through, self.filter.holds_key):
            self.fail("snapshot at %d and tail to %d are not the state there: %s", s.after,
                      s.through, difference(rows, truth.state(s.through, self.filter.holds_key)))


def difference(got, want):
    lost = sorted(set(want) - set(got))[:3]
    extra = sorted(set(got) - set(want))[:3]
    other = sorted(k for k in set(got) & set(want) if got[k] != want[k])[:3]
    return "lost %s, extra %s, other %s" % (lost, extra, other)
