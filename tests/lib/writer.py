"""Writers for the validators: each owns a prefix and is the only one who writes there, so that
after every write the index of the newest change under the prefix says which index it got, or, by
not moving, that nothing was changed. An answer that never came (the server was killed) is resolved
in the same way."""

import random
import threading
import time
import traceback

import herald
from truth import Change

NAMES = ["a", "a/1", "a/2", "ab", "b", "b/x/1", "b/x/2", "c"]


class Writer(threading.Thread):
    def __init__(self, world, truth, prefix, seed, rate):
        super().__init__(name="writer " + prefix, daemon=True)
        self.world, self.truth, self.prefix, self.rate = world, truth, prefix, rate
        self.dice = random.Random(seed)
        self.rows = {}      # key -> Change that set it
        self.index = 0      # of the newest change under the prefix
        self.serial = 0
        self.conn = None
        self.end = threading.Event()
        self.unknown = 0
        self.writes = 0

    def run(self):
        try:
            self.set(self.prefix + "a")
            while not self.end.is_set():
                self.step()
                if self.rate and self.dice.random() < 0.2:
                    time.sleep(self.dice.expovariate(self.rate / 5.0))
        except Exception:
            self.world.problem("%s crashed: %s", self.name, traceback.format_exc())
        finally:
            if self.conn:
                self.conn.close()

    def step(self):
        kind = self.dice.random()
        key = self.prefix + self.dice.choice(NAMES)
        if kind < 0.45:
            self.set(key)
        elif kind < 0.55:
            self.cas(key)
        elif kind < 0.60:
            self.same(key)
        elif kind < 0.90:
            self.delete(key)
        else:
            self.delete_prefix(self.prefix + self.dice.choice(["a", "a/", "b/", "b/x", "zzz", ""]))

    # --- the operations ---------------------------------------------------------------------

    def value(self):
        self.serial += 1
        text = "%s%d" % (self.prefix, self.serial)
        if self.dice.random() < 0.1:
            text += "." * self.dice.choice([500, 2000, 8000])
        return text.encode()

    def set(self, key):
        value, flags = self.value(), self.dice.choice([0, 0, 7])
        self.write("PUT", key, "?flags=%d" % flags, value, True,
                   lambda index: self.did_set(index, key, value, flags))

    def cas(self, key):
        row = self.rows.get(key)
        at = row.index if row else 0
        good = self.dice.random() < 0.7
        value = self.value()
        self.write("PUT", key, "?cas=%d" % (at if good else at + 1000000), value, good,
                   lambda index: self.did_set(index, key, value, 0))

    def same(self, key):
        row = self.rows.get(key)
        if row:
            self.write("PUT", key, "?flags=%d" % row.flags, row.value, False, None)

    def delete(self, key):
        self.write("DELETE", key, "", None, key in self.rows,
                   lambda index: self.did_delete(index, "delete", key, [key]))

    def delete_prefix(self, prefix):
        gone = [k for k in self.rows if k.startswith(prefix)]
        self.write("DELETE", prefix, "?recurse", None, bool(gone),
                   lambda index: self.did_delete(index, "delete-prefix", prefix, gone))

    def did_set(self, index, key, value, flags):
        old = self.rows.get(key)
        change = Change(index, "set", key, value, flags, old.create_index if old else index)
        self.rows[key] = change
        self.truth.add(change)

    def did_delete(self, index, op, key, gone):
        for k in gone:
            self.rows.pop(k, None)
        self.truth.add(Change(index, op, key, removed=gone))

    # --- sending and finding out ------------------------------------------------------------

    def write(self, method, key, query, body, changes, done):
        """`changes`: what our own knowledge says the write will do; `done` gets its index."""
        self.writes += 1
        answer = None
        try:
            answer = self.request(method, "/v1/kv/" + key + query, body)
        except (OSError, EOFError):
            self.unknown += 1
        index = self.newest()
        if answer is not None and answer.status != 200:
            if answer.status not in (500, 503):
                self.world.problem("%s %s: answered %r", method, key, answer)
            answer = None  # the server is on its way down: the outcome is unknown
        moved = index > self.index
        if answer is not None and moved != changes:
            self.world.problem("%s %s%s: answered %r, and the newest index under %s went from %d "
                               "to %d", method, key, query, answer, self.prefix, self.index, index)
        if index < self.index:
            self.world.problem("the index of %s fell from %d to %d", self.prefix, self.index, index)
        if moved and done:
            done(index)
        self.index = index

    def newest(self):
        while True:
            try:
                res = self.request("GET", "/v1/kv/%s?keys" % self.prefix)
                if res.status in (200, 404):
                    return res.index()
            except (OSError, EOFError):
                pass
            if self.end.is_set() and not self.world.server.running():
                raise RuntimeError("the server is gone")
            time.sleep(0.01)

    def request(self, method, path, body=None):
        if self.conn is None:
            self.conn = herald.Connection(self.world.server.port, timeout=20)
        try:
            res = self.conn.request(method, path, body)
            if res.headers.get("connection", "").lower() == "close":
                self.forget()
            return res
        except (OSError, EOFError):
            self.forget()
            raise

    def forget(self):
        if self.conn:
            self.conn.close()
        self.conn = None
