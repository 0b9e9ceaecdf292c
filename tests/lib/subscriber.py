"""Subscribers for the stream validators: threads that subscribe over WebSocket, SSE or NDJSON,
read slowly or fast, go away at random, come back with their last complete cursor, and give every
message to a truth.Checker."""

import json
import random
import socket
import threading
import time
import traceback
import urllib.parse

import herald
from truth import Checker, Segment

KINDS = ["websocket", "websocket-url", "sse", "sse-many", "ndjson", "ndjson-batch"]


class World:
    """What all threads of one run share."""
    passing = ("not_ready", "rate_limited")  # errors that a restart explains

    def __init__(self, server):
        self.server = server
        self.epoch = None
        self.stop = threading.Event()  # subscribers end, whatever they have
        self.truth = None              # set when the last write is done
        self.problems = []
        self.lock = threading.Lock()
        self.epochs = set()

    def problem(self, why, *args):
        with self.lock:
            self.problems.append(why % args)

    def connect(self, subscriber, **kw):
        return herald.Connection(self.server.port, timeout=30, **kw)

    def may_refuse(self, status):
        """Whether a server may answer so now; the subscriber comes back later."""
        return False


class Gone(Exception):
    """The connection ended, by us or by the server."""


class Subscriber(threading.Thread):
    """One client; over WebSocket it may have several subscriptions at once."""

    def __init__(self, world, number, kind, filters, seed, flaky, slow, start):
        super().__init__(name="%s-%d" % (kind, number), daemon=True)
        self.world, self.kind, self.flaky, self.slow = world, kind, flaky, slow
        self.dice = random.Random(seed)
        self.checkers = [Checker("%s.%d" % (self.name, i), f) for i, f in enumerate(filters)]
        self.start_mode = {c: start for c in self.checkers}
        self.first_mode = start
        self.connections = 0
        self.last_id = None  # of an SSE stream with several subscriptions

    # --- the life of the thread -------------------------------------------------------------

    def run(self):
        try:
            while not self.finished():
                self.connect_once()
        except Exception as e:  # a broken client is a broken test
            self.world.problem("%s crashed: %r, %s", self.name, e, traceback.format_exc()[-500:])

    def connect_once(self):
        talk = {"websocket": self.websocket, "websocket-url": self.websocket_url,
                "sse": self.sse, "sse-many": self.sse, "ndjson": self.ndjson, "ndjson-batch": self.ndjson}[self.kind]
        try:
            talk()
        except (OSError, EOFError, Gone):
            self.rest()
        for c in self.checkers:
            c.dropped()

    def rest(self):
        """Between two connections; long enough, now and then, for the history to be cut."""
        time.sleep(0.01 + 0.05 * self.dice.random())
        if self.world.truth is None and self.flaky and self.dice.random() < 0.05:
            deadline = time.monotonic() + self.dice.uniform(1, 6)
            while time.monotonic() < deadline and self.world.truth is None:
                time.sleep(0.05)

    def finished(self):
        """True when told to end, or when all that was written has come."""
        if self.world.stop.is_set():
            return True
        truth = self.world.truth
        if truth is None:
            return False
        return all(self.has_all(c) for c in self.checkers)

    def has_all(self, c):
        if c.cursor is None:  # with a shared id it may have begun after the last write
            return self.kind == "sse-many"
        return c.waits_for(self.world.truth) is None

    def connection(self):
        self.connections += 1
        self.conn = self.world.connect(self, receive_buffer=4096 if self.slow else None)
        return self.conn

    def pace(self, messages):
        """Between two messages: rest if slow, go away if that is the plan."""
        if self.slow and self.world.truth is None:
            time.sleep(self.dice.choice([0, 0, 0.002, 0.02]))
            if self.dice.random() < 0.01:
                time.sleep(self.dice.uniform(0.2, 1.0))
        elif self.slow:  # what the kernel holds for a small window takes minutes
            self.slow = False
            self.conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if self.flaky and messages >= self.leave_after:
            raise Gone()

    def ready(self, readable):
        """Waits for bytes; raises Gone when this thread is done."""
        while not readable(0.1):
            if self.finished():
                raise Gone()

    def met(self, epoch):
        if epoch is not None:
            self.world.epochs.add(epoch)
            self.world.epoch = epoch

    def plan(self):
        self.leave_after = self.dice.choice([1, 2, 5, 20, 60, 200])

    # --- asking -----------------------------------------------------------------------------

    def how(self, c):
        """(mode, cursor) of the next subscription of `c`."""
        if c.cursor is not None and self.start_mode[c] == "resume":
            if self.flaky and self.dice.random() < 0.05:  # goes back to see something again
                back = max(1, c.cursor - self.dice.randrange(1500))
                c.segments.append(Segment(back, "went back"))
            return "resume", c.cursor
        if self.start_mode[c] == "resume":  # began, but ended before it was told where
            return self.first_mode, None
        return self.start_mode[c], None

    def begun(self, c, mode, cursor, after):
        """The server accepted. `after` is where it says it starts, None if it does not."""
        if mode == "resume":
            c.started(cursor, after, "resumed")
        elif mode != "snapshot":
            c.started(None, after, mode)
        if mode != "snapshot":
            self.start_mode[c] = "resume"

    def lost(self, c, asked, m):
        c.compacted(asked, m["oldest"], m)
        self.start_mode[c] = self.dice.choice(["snapshot", "zero"])

    def target(self, c):
        f = c.filter
        q = {"topic": "kv"}
        if f.key is not None:
            q["key"] = f.key
        elif f.prefix is not None:
            q["prefix"] = f.prefix
        if f.op:
            q["filter"] = 'op == "%s"' % f.op
        return q

    def url_query(self, c, mode, cursor):
        q = self.target(c)
        if mode == "zero":
            q["index"] = 0
        elif mode == "snapshot":
            q["snapshot"] = "true"
        elif mode == "resume":
            if self.world.epoch and self.dice.random() < 0.5:
                q["last_event_id"] = "%s:%d" % (self.world.epoch, cursor)
            else:
                q["index"] = cursor
        return urllib.parse.urlencode(q)

    # --- messages that all forms share ------------------------------------------------------

    def message(self, c, kind, m):
        if kind == "events":
            c.batch(m["after"], m["through"], m["events"], m.get("part", False))
        elif kind == "snapshot":
            c.page(m["index"], m["items"], m["more"])
            if not m["more"]:
                self.start_mode[c] = "resume"
        elif kind in ("mark", "live", "pause"):
            if c.segments and c.pages is None:
                c.bookmark(m["through"], kind)
        elif kind == "compacted":
            self.lost(c, m["asked"], m)
            raise Gone()
        elif kind == "error":
            raise herald_error(self, m)

    # --- WebSocket --------------------------------------------------------------------------

    def websocket(self):
        with self.connection() as conn:
            ws = herald.WebSocket(conn)
            self.refused(ws.response)
            if self.dice.random() < 0.5:
                ws.send({"type": "hello", "client": self.name})
            asked = {}
            for i, c in enumerate(self.checkers, 1):
                mode, cursor = self.how(c)
                asked[i] = (c, mode, cursor)
                ws.send(self.subscribe(c, i, mode, cursor))
            self.credit = {}
            self.websocket_read(ws, asked)

    def subscribe(self, c, number, mode, cursor):
        m = {"type": "subscribe", "id": number, **self.target(c)}
        if mode == "zero":
            m["from"] = {"index": 0}
        elif mode == "resume":
            m["from"] = {"index": cursor}
            if self.world.epoch and self.dice.random() < 0.7:
                m["from"]["epoch"] = self.world.epoch
        elif mode == "snapshot":
            m["snapshot"] = True
        if self.dice.random() < 0.3:
            m["credit"] = 50
        if self.dice.random() < 0.4:
            m["batch"] = {"max": self.dice.choice([1, 3, 128]),
                          "wait_ms": self.dice.choice([0, 5, 50])}
        self.credits = getattr(self, "credits", {})
        self.credits[number] = m.get("credit")
        return m

    def websocket_url(self):
        c = self.checkers[0]
        mode, cursor = self.how(c)
        with self.connection() as conn:
            ws = herald.WebSocket(conn, "/v1/stream?" + self.url_query(c, mode, cursor))
            self.refused(ws.response)
            self.credits = {}
            self.websocket_read(ws, {0: (c, mode, cursor)})

    def refused(self, response):
        if response.status != 101:
            if not self.world.may_refuse(response.status):
                self.world.problem("%s: handshake answered %d", self.name, response.status)
            raise Gone()

    def websocket_read(self, ws, asked):
        self.plan()
        got = 0
        while True:
            self.ready(ws.c.readable)
            m = ws.next()
            if m is None:
                if ws.close_code not in (1001, 1012, 4102):
                    self.world.problem("%s: closed with %s %s", self.name, ws.close_code,
                                       ws.close_reason)
                raise Gone()
            got += 1
            kind = m["type"]
            if kind == "welcome":
                self.met(m.get("epoch"))  # a server without a cluster has none
            elif kind == "subscribed":
                c, mode, cursor = asked[m["id"]]
                self.begun(c, mode, cursor, None if mode == "snapshot" else m["from"])
            elif kind == "error" and "id" not in m:
                raise herald_error(self, m)
            elif "id" in m:
                self.message(asked[m["id"]][0], kind, m)
                self.grant(ws, m)
            if self.dice.random() < 0.02 and time.monotonic() > getattr(self, "ping_at", 0):
                self.ping_at = time.monotonic() + 1.2
                ws.send({"type": "ping", "data": "x", "mark": True})
            self.pace(got)

    def grant(self, ws, m):
        number = m["id"]
        if self.credits.get(number) is None or m["type"] not in ("events", "snapshot"):
            return
        used = len(m.get("events", m.get("items", ())))
        self.credits[number] -= used
        if self.credits[number] < 25 and time.monotonic() > getattr(self, "grant_at", 0):
            more = self.dice.choice([20, 100, 500])
            self.credits[number] += more
            ws.send({"type": "credit", "id": number, "events": more})

    # --- SSE --------------------------------------------------------------------------------

    def sse(self):
        query, headers, asked = self.sse_many() if self.kind == "sse-many" else self.sse_one()
        with self.connection() as conn:
            stream = herald.Sse(conn, "/v1/stream?" + query, headers)
            if stream.response.status != 200:
                if not self.world.may_refuse(stream.response.status):
                    self.world.problem("%s: answered %d", self.name, stream.response.status)
                raise Gone()
            self.met(stream.response.headers.get("x-herald-epoch"))
            for c, mode, cursor in asked:
                self.begun(c, mode, cursor, None)
            self.plan()
            got = 0
            while True:
                self.ready(lambda s: b"\n" in stream.held or conn.readable(s))
                e = stream.next(comments=True)
                if e is None:
                    raise Gone()
                if e.event == "comment":
                    if self.finished():
                        raise Gone()
                    continue
                got += 1
                self.sse_event(e, [c for c, _, _ in asked])
                self.pace(got)

    def sse_one(self):
        c = self.checkers[0]
        mode, cursor = self.how(c)
        headers = {}
        if mode == "resume" and self.world.epoch and self.dice.random() < 0.5:
            headers["Last-Event-ID"] = "%s:%d" % (self.world.epoch, cursor)
        return self.url_query(c, mode, cursor), headers, [(c, mode, cursor)]

    def sse_many(self):
        """Several subscriptions on one stream, which have only one id to come back with."""
        asks = [("subscribe", json.dumps({"id": i, **self.target(c)}))
                for i, c in enumerate(self.checkers)]
        headers = {}
        mode = "now"
        if self.last_id is not None:
            mode = "resume"
            headers["Last-Event-ID"] = "%s:%d" % (self.world.epoch, self.last_id)
            for c in self.checkers:  # the id is a promise to each of them
                if c.cursor is not None and self.last_id > c.cursor:
                    c.bookmark(self.last_id, "shared id")
                c.segments.append(Segment(self.last_id, "shared id"))
        return urllib.parse.urlencode(asks), headers, [(c, mode, self.last_id)
                                                      for c in self.checkers]

    def sse_event(self, e, checkers):
        m = json.loads(e.data)
        c = checkers[m.get("id", 0)]
        if self.kind == "sse-many" and e.event == "compacted":
            self.last_id = None
        self.message(c, e.event, m)
        if self.kind == "sse-many":
            if e.event in ("events", "mark") and e.id:
                self.last_id = int(e.id.split(":")[1])
        elif e.event in ("events", "mark") and not m.get("part"):
            want = "%s:%d" % (self.world.epoch, m["through"])
            if e.id != want:
                c.fail("the id of an event is %s, not %s", e.id, want)

    # --- NDJSON -----------------------------------------------------------------------------

    def ndjson(self):
        c = self.checkers[0]
        mode, cursor = self.how(c)
        query = self.url_query(c, mode, cursor) + "&format=ndjson"
        if self.kind == "ndjson-batch":
            query += "&batch=1"
        with self.connection() as conn:
            stream = herald.Ndjson(conn, "/v1/stream?" + query)
            if stream.response.status == 410:
                length = int(stream.response.headers["content-length"])
                body = json.loads(conn.read_exactly(length))
                if body["error"] != "compacted":
                    c.fail("410 says %s", body)
                self.lost(c, cursor or 0, body)
                raise Gone()
            if stream.response.status != 200:
                if not self.world.may_refuse(stream.response.status):
                    self.world.problem("%s: answered %d", self.name, stream.response.status)
                raise Gone()
            self.plan()
            got = 0
            while True:
                self.ready(lambda s: b"\n" in stream.held or conn.readable(s))
                m = stream.next()
                if m is None:
                    raise Gone()
                got += 1
                self.ndjson_line(c, m, mode, cursor)
                self.pace(got)

    def ndjson_line(self, c, m, mode, cursor):
        kind = m.get("type")
        if kind == "subscribed":
            self.met(m["epoch"])
            after = m.get("from")
            if after is None:
                after = {"now": m["index"], "zero": m["oldest"]}.get(mode)
            self.begun(c, mode, cursor, after)
        elif kind is None and "op" in m:
            c.batch(c.cursor, m["index"], [m])
        else:
            self.message(c, kind, m)


def herald_error(subscriber, m):
    """An error message ends the connection; only those that a restart explains are no problem."""
    if m.get("code") not in subscriber.world.passing:
        subscriber.world.problem("%s: error %s", subscriber.name, m)
    return Gone()
