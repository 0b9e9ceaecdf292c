#!/usr/bin/env python3
"""Hostile and broken HTTP clients. After each of them the server lives, its memory is bounded, and a
good client beside it is answered.

    bad_input.py [--connections N] [--seed N] [TEST...]

WebSocket clients are in bad_websocket.py, directories and disks in bad_disk.py.
"""

import json
import os
import resource
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from hostile import HOST, MIB, close_code, options, refused_start, run, statuses  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()


# --- connections and bytes ---------------------------------------------------------------------

@R.test
def half_a_request_then_silence(s):
    """Closed at the deadline of a whole head; nobody else notices."""
    halves = [b"GET /v1/kv/a HT", b"GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX: ", b"G", b"\r\n",
              b"PUT /v1/kv/a HTTP/1.1\r\n", b"GET /v1/kv/a HTTP/1.1\r"]
    parked = []
    for i in range(60):
        c = s.connect()
        c.send(halves[i % len(halves)])
        parked.append(c)
    s.good()
    for c in parked:
        answer = c.read_all()
        check(not answer or statuses(answer)[0] in (400, 408), "%r", answer[:80])
        c.close()


@R.test
def head_that_drips_is_cut_off(s):
    """A slow loris never finishes: the deadline is for the head as a whole."""
    slow = [s.connect() for _ in range(100)]
    for c in slow:
        c.send(b"GET /v1/kv/a HTTP/1.1\r\n" + HOST)
    deadline = time.monotonic() + 40 * herald.SLOW
    n = 0
    while slow:
        check(time.monotonic() < deadline, "%d drips are still open", len(slow))
        n += 1
        for c in list(slow):
            try:
                c.send(b"X-%d: 1\r\n" % n if n % 3 else b"X")
                if n % 3 == 0:
                    c.send(b"-Y: 1\r\n")
                gone = c.readable()
            except OSError:
                gone = True
            if gone:
                slow.remove(c)
                c.close()
        if n == 3:
            s.good()
        time.sleep(0.5)


@R.test
def thousands_of_silent_connections(s):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(s.args.connections, hard - 300)
    before = s.server.resident_bytes()
    silent = []
    try:
        for _ in range(wanted):
            silent.append(s.connect())
        for c in silent[::7]:
            c.send(b"GET /v1/kv/a HTTP/1.1\r\n")
        s.good()
        each = (s.server.resident_bytes() - before) / len(silent)
        R.note("%d silent connections, %.1f KiB each" % (len(silent), each / 1024))
        check(s.sanitized or each < 25 * 1024, "%d bytes for each", each)
    finally:
        for i, c in enumerate(silent):
            c.reset() if i % 2 else c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@R.test
def no_descriptor_left(s):
    """With all descriptors taken the old clients are served, and new ones as soon as some go."""
    wrap = ["sh", "-c", 'ulimit -n 300; exec "$@"', "sh"]
    with herald.Server(wrap=wrap, config={"limits": {"http_max_conns_per_client": 250}}) as server:
        with server.connect(timeout=60) as old:
            equal(old.request("PUT", "/v1/kv/a", b"1").body, b"true")
            crowd = []
            for _ in range(400):
                try:
                    crowd.append(server.connect(timeout=5))
                except OSError:
                    break
            equal(old.request("GET", "/v1/kv/a?raw").body, b"1")
            for c in crowd:
                c.close()
            herald.eventually(lambda: answered(server), "new clients are served", 20)


def answered(server):
    try:
        return server.get("/v1/kv/a?raw", timeout=5).body == b"1"
    except (OSError, EOFError):
        return False


@R.test
def too_many_connections_of_one_client_are_429(s):
    with herald.Server(config={"limits": {"http_max_conns_per_client": 20}}) as server:
        held = [server.connect() for _ in range(20)]
        for c in held:
            equal(c.request("GET", "/v1/status/leader").status, 200)
        with server.connect() as one_more:
            try:
                one_more.send_request("GET", "/v1/status/leader")
                equal(one_more.read_response().status, 429)
            except (OSError, EOFError):
                check(False, "closed without a word")
        equal(held[0].request("GET", "/v1/status/leader").status, 200)
        for c in held:
            c.close()
        herald.eventually(lambda: leads(server), "the places are free again", 20)


def leads(server):
    try:
        return server.get("/v1/status/leader", timeout=5).status == 200
    except (OSError, EOFError):
        return False


@R.test
def garbage_on_the_port(s):
    for n in [1, 7, 100, 5000, 200000]:
        data = bytes(s.dice.randrange(256) for _ in range(n)) + b"\r\n\r\n"
        answer = s.raw(data)
        check(not answer or statuses(answer)[0] in (400, 414, 431, 501, 505), "%r", answer[:100])
    for data in [b"\r\n" * 2000, b"\0" * 5000, b"A" * 100000, b" \r\n\r\n", b"GET\r\n\r\n",
                 b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"EHLO x\r\n\r\n"]:
        answer = s.raw(data + b"\r\n\r\n")
        check(not answer or statuses(answer)[0] >= 400, "%r: %r", data[:20], answer[:100])


@R.test
def tls_hello_on_the_plain_port(s):
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(0xc5)
    answer = s.raw(hello + b"\r\n\r\n")
    check(not answer or statuses(answer)[0] == 400, "%r", answer[:100])


@R.test
def oversize_heads(s):
    cases = [b"GET /v1/kv/a HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 40000 + b"\r\n\r\n",
             b"GET /v1/kv/a HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 200 + b"\r\n",
             b"GET /v1/kv/" + b"k" * 70000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"]
    for data in cases:
        answer = s.raw(data)
        check(statuses(answer) in ([431], [414], [400]), "%r: %r", data[:30], answer[:100])
        check(len(answer.partition(b"\r\n\r\n")[2]) > 0, "no reason given")


@R.test
def malformed_requests_are_400(s):
    good = b"PUT /v1/kv/smuggled HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"
    for line, headers in [
            (b"GET /v1/kv/a HTTP/1.1", b""),                      # no Host
            (b"GET /v1/kv/a HTTP/1.1", HOST + b"Host: g\r\n"),
            (b"GET /v1/kv/a HTTP/1.1", HOST + b"X : y\r\n"),
            (b"GET /v1/kv/a HTTP/1.1", HOST + b" folded\r\n"),
            (b"GET /v1/kv/a HTTP/1.1", HOST + b"NoColon\r\n"),
            (b"GET /v1/kv/a HTTP/1.1", HOST + b"X: a\0b\r\n"),
            (b"GET /v1/kv/a HTTP/1.1", HOST + b"X\x01: a\r\n"),
            (b"GET  /v1/kv/a HTTP/1.1", HOST),
            (b"GET /v1/kv/a b HTTP/1.1", HOST),
            (b"GET v1/kv/a HTTP/1.1", HOST),
            (b"G\0T /v1/kv/a HTTP/1.1", HOST),
            (b"GET /v1/kv/a HTTP/1.1\rX", HOST)]:
        with s.connect() as c:
            c.send(line + b"\r\n" + headers + b"\r\n" + good)
            answer = c.read_response()
            equal(answer.status, 400, repr((line, headers)))
    for path in [b"%zz", b"a%4", b"%", b"a%"]:  # well-formed HTTP, so the connection goes on
        equal(s.one(b"GET /v1/kv/" + path + b" HTTP/1.1\r\n" + HOST + b"\r\n").status, 400)
    equal(s.one(b"GET /v1/kv/a HTTP/9.9\r\n" + HOST + b"\r\n").status, 505)
    equal(s.server.get("/v1/kv/smuggled").status, 404, "a smuggled write")


@R.test
def smuggling_is_400_and_the_end_of_the_connection(s):
    inner = b"PUT /v1/kv/smuggled2 HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"
    length = b"Content-Length: %d\r\n" % (len(inner) + 5)
    for headers in [
            b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\n" + length,
            b"Content-Length: 0\r\n" + length,
            b"Content-Length: 0\r\nContent-Length: 0\r\n",
            b"Content-Length: 0, 0\r\n",
            b"Content-Length: 5abc\r\n", b"Content-Length: -1\r\n", b"Content-Length: +0\r\n",
            b"Content-Length: 0x0\r\n", b"Content-Length: \r\n", b"Content-Length: 1 0\r\n",
            b"Content-Length: 99999999999999999999999\r\n",
            b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding : chunked\r\n"]:
        data = b"PUT /v1/kv/outer HTTP/1.1\r\n" + HOST + headers + b"\r\n0\r\n\r\n" + inner
        got = statuses(s.raw(data))
        check(len(got) == 1 and got[0] in (400, 413, 501), "%r: %s", headers, got)
    for chunks in [b"-1\r\n", b"zz\r\n", b"5 \r\nabcdef", b"FFFFFFFFFFFFFFFFF\r\n", b"1\r\nab\r\n",
                   b"0x1\r\na\r\n", b"\r\n", b"1" + b"0" * 50000]:
        data = (b"PUT /v1/kv/outer HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
                + chunks + b"\r\n0\r\n\r\n" + inner)
        got = statuses(s.raw(data))
        check(len(got) == 1 and got[0] in (400, 413), "chunk %r: %s", chunks[:20], got)
    equal(s.server.get("/v1/kv/smuggled2").status, 404, "a smuggled write")


@R.test
def clients_that_vanish(s):
    """In the middle of a body, of a head, of an answer, of a wait."""
    s.server.put("/v1/kv/large", b"x" * 500000)
    for i in range(300):
        c = s.connect()
        c.send([b"PUT /v1/kv/v HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc",
                b"GET /v1/kv/large HTTP/1.1\r\n" + HOST + b"\r\n",
                b"GET /v1/kv/good?index=999999999&wait=60s HTTP/1.1\r\n" + HOST + b"\r\n",
                b"GET /v1/stream?topic=kv&index=0&format=ndjson HTTP/1.1\r\n" + HOST + b"\r\n",
                b"GET /v1/stream"][i % 5])
        if i % 3 == 0:
            time.sleep(0.002)
        c.reset() if i % 2 else c.close()
    herald.eventually(lambda: gauge(s, "query_waiting") == 0, "the waiting are forgotten", 20)
    herald.eventually(lambda: gauge(s, "stream_subscribers") == 0, "subscribers are forgotten", 20)


def gauge(s, name):
    for line in s.server.get("/v1/agent/metrics?format=prometheus").text().splitlines():
        if line.split("{")[0].split(" ")[0] == "consul_" + name:
            return float(line.rsplit(" ", 1)[1])
    check(False, "there is no metric %s", name)


@R.test
def pipelined_flood_that_reads_late(s):
    """Ten thousand requests before the first answer is read: in order, and in bounded memory."""
    count = 10000
    with s.connect(timeout=120) as c:
        data = b"".join(b"GET /v1/kv/flood-%d HTTP/1.1\r\n" % i + HOST + b"\r\n"
                        for i in range(count))
        writer = threading.Thread(target=c.send, args=(data,), daemon=True)
        writer.start()
        time.sleep(0.5)
        for i in range(count):
            equal(c.read_response().status, 404)
        writer.join(30)


@R.test
def pipelined_writes_that_each_wait_for_the_disk(s):
    """Each parks its connection, so what came behind it is kept: to a limit, then not read."""
    count = 20000
    with s.connect(timeout=120) as c:
        data = b"".join(b"PUT /v1/kv/piped HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n%05d" % i
                        for i in range(count))
        writer = threading.Thread(target=c.send, args=(data,), daemon=True)
        writer.start()
        for i in range(count):
            equal(c.read_response().body, b"true")
        writer.join(30)
    equal(s.server.get("/v1/kv/piped?raw").body, b"%05d" % (count - 1))


@R.test
def answers_that_are_never_read(s):
    s.server.put("/v1/kv/large", b"x" * 524288)
    greedy = []
    for _ in range(20):
        c = s.connect(receive_buffer=4096)
        c.sock.settimeout(0.5)
        try:
            c.send((b"GET /v1/kv/large HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
        except OSError:
            pass
        greedy.append(c)
    time.sleep(0.5)
    s.after()
    for c in greedy:
        c.reset()


# --- what requests say ---------------------------------------------------------------------------

@R.test
def body_of_a_gib_is_refused_before_it_is_read(s):
    size = b"Content-Length: 1073741824\r\n"
    for extra in [b"", b"Expect: 100-continue\r\n"]:
        for path in [b"/v1/kv/gib", b"/v1/status/leader", b"/v1/stream", b"/v1/nope"]:
            res = s.one(b"PUT " + path + b" HTTP/1.1\r\n" + HOST + size + extra + b"\r\n")
            check(res.status in (404, 405, 413, 417), "%s: %r", path, res)
            check(path != b"/v1/kv/gib" or res.status in (413, 417), "%r", res)
    res = s.one(b"PUT /v1/kv/gib HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
                b"40000000\r\n" + b"x" * 70000)
    equal(res.status, 413)
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    res = s.one(b"PUT /v1/kv/gib HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
                + chunk * 40)
    equal(res.status, 413, "2.5 MiB in chunks")
    equal(s.server.get("/v1/kv/gib").status, 404)


@R.test
def strange_keys(s):
    for path in ["%00", "a%00b", "%01", "%0a", "%7f", "a%0d%0aX:1"]:
        for method, body in [("GET", None), ("PUT", b"v"), ("DELETE", None)]:
            res = s.server.request(method, "/v1/kv/strange/" + path, body)
            equal(res.status, 400, "%s %s" % (method, path))
            check(res.body, "no reason")
    for path in ["..", "../..", "a/../b", "./a", "//", "a//b", "%2e%2e/%2e%2e/etc/passwd", "%2f",
                 "%2F%2f", "%252f", "%ff", "%c3%28", "%ed%a0%80", "%f4%90%80%80", "%22%5c", "%3Cb%3E",
                 "%e2%80%ae", "?x", "%3f", "%23"]:
        res = s.server.put("/v1/kv/strange/" + path, path)
        if res.status == 400:
            check(res.body, "%s: no reason", path)
            continue
        equal(res.status, 200, path)
        if "?" in path:
            continue
        res = s.server.get("/v1/kv/strange/" + path + "?raw")
        equal((res.status, res.body), (200, path.encode()), path)
        json.loads(s.server.get("/v1/kv/strange/" + path).body)
        json.loads(s.server.get("/v1/kv/strange/?recurse").body)
        json.loads(s.server.get("/v1/kv/strange/?keys").body)
    with s.server.ndjson("topic=kv&prefix=strange/&index=0&until=%d" % s.server.index()) as n:
        while n.next() is not None:
            pass
    equal(s.server.delete("/v1/kv/strange/?recurse").body, b"true")


@R.test
def long_keys(s):
    for key in ["k" * 4096, "%6b" * 4096, "é" * 2048]:
        path = "/v1/kv/" + (key if key.isascii() else "%c3%a9" * 2048)
        equal(s.server.put(path, b"v").body, b"true", "4096 bytes")
        equal(s.server.get(path + "?raw").body, b"v")
        equal(s.server.delete(path).body, b"true")
    for path in ["/v1/kv/" + "k" * 4097, "/v1/kv/" + "%6b" * 4097, "/v1/kv/" + "k" * 20000]:
        for method, body in [("PUT", b"v"), ("GET", None), ("DELETE", None)]:
            res = s.server.request(method, path, body)
            check(res.status in (400, 404, 413, 414) and (method != "PUT" or res.body),
                  "%s of %d bytes: %r", method, len(path), res)
            check(method != "PUT" or res.status != 404, "%r", res)


@R.test
def values_at_the_limit(s):
    equal(s.server.put("/v1/kv/limit", b"x" * 524288).body, b"true")
    for size in [524289, 600000, 2 * MIB, 2 * MIB + 1]:
        res = s.one(b"PUT /v1/kv/limit HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size
                    + b"y" * size)
        equal(res.status, 413, str(size))
        check(b"too large" in res.body, "%r", res.body)
    equal(s.server.get("/v1/kv/limit?raw").body, b"x" * 524288)


NUMBERS = ["-1", "18446744073709551616", "99999999999999999999999999", "1e5", "0x10", "1.5", "NaN",
           "abc", "%00", "1%201", "%2B1", "1" * 5000]


@R.test
def numbers_out_of_range(s):
    for bad in NUMBERS:
        for method, query in [("PUT", "flags="), ("PUT", "cas="), ("GET", "index="),
                              ("DELETE", "cas="), ("GET", "index=1&wait=")]:
            res = s.server.request(method, "/v1/kv/num?" + query + bad,
                                   b"v" if method == "PUT" else None)
            check(res.status in (400, 500) and res.body, "%s?%s%.30s: %r", method, query, bad, res)
        for query in ["index=", "limit=", "until=", "timeout=", "max=", "wait_ms="]:
            res = stream_status(s, "topic=kv&format=ndjson&" + query + bad)
            equal(res.status, 400, query + bad[:30])
    equal(s.server.get("/v1/kv/num").status, 404)


def stream_status(s, query):
    """The answer to a stream request; one that is accepted is left at once."""
    with s.connect() as c:
        c.send_request("GET", "/v1/stream?" + query)
        return c.read_head()


@R.test
def stream_parameters_that_make_no_sense(s):
    for query in ["topic=nope", "topic=", "prefx=a", "key=", "key=a&prefix=b", "snapshot=maybe",
                  "snapshot=1&index=5", "filter=%28", "filter=op+%3D%3D", "last_event_id=x:y:z",
                  "last_event_id=abc", "subscribe=%7B", "subscribe=a:b", "on_compacted=what",
                  "subscribe=" + "%5B" * 3000, "key=" + "k" * 5000,
                  "filter=" + "op+==+set+or+" * 500 + "op==set", "heartbeat=never",
                  "&".join("subscribe=topic:kv" for _ in range(200))]:
        for form in ["ndjson", "sse"]:
            res = stream_status(s, query + "&format=" + form)
            equal(res.status, 400, "%s %s" % (form, query[:60]))


@R.test
def many_query_arguments(s):
    ask = lambda n: s.server.get("/v1/kv/good?" + "&".join("a%d=1" % i for i in range(n)))  # noqa
    equal(ask(120).status, 200)
    res = ask(1000)
    check(res.status == 400 and res.body, "%r", res)


@R.test
def json_ten_thousand_deep(s):
    for text in ["[" * 10000, '{"a":' * 10000, "[" * 10000 + "]" * 10000]:
        with s.websocket() as ws:
            ws.send(text)
            equal(close_code(ws), 4000)
    nested = '{"type":"subscribe","id":1,"topic":"kv","from":' + "[" * 10000 + "]" * 10000 + "}"
    with s.websocket() as ws:
        ws.send(nested)
        equal(close_code(ws), 4000)
    deep = os.path.join(s.server.dir, "deep.json")
    for text in ["[" * 10000, '{"limits":' * 10000, '{"limits":' * 10000 + "1" + "}" * 10000]:
        with open(deep, "w") as f:
            f.write(text)
        refused_start(["agent", "-dev", "-config-file=" + deep], "deep.json")


@R.test
def configuration_out_of_range(s):
    path = os.path.join(s.server.dir, "bad.json")
    for config, names in [('{"limits":{"http_max_conns_per_client":-1}}', "http_max_conns_per_client"),
                          ('{"limits":{"http_max_conns_per_client":1e40}}',
                           "http_max_conns_per_client"),
                          ('{"limits":{"kv_max_value_size":99999999999999999999}}', "bad.json"),
                          ('{"ports":{"http":70000}}', "http"),
                          ('{"ports":{"http":"x"}}', "http"),
                          ('{"herald":{"history_age":"forever"}}', "history_age"),
                          ('{"bogus":{"key":1}}', "bogus"),
                          ('{"herald":{"bogus":1}}', "herald.bogus"),
                          ('{"server":"\\ud800"}', "bad.json"), ("{}x", "bad.json"),
                          ('{"a":1,}', "bad.json"), ("\0", "bad.json"), ("[]", "bad.json")]:
        with open(path, "w") as f:
            f.write(config)
        refused_start(["agent", "-dev", "-http-port=%d" % herald.free_port(),
                       "-config-file=" + path], names)


# --- in the background -----------------------------------------------------------------------------

class SlowBody(threading.Thread):
    """A body that drips for the whole run; the deadline of a body as a whole ends it."""

    def __init__(self, scene):
        super().__init__(daemon=True)
        self.conn = scene.connect(timeout=150 * herald.SLOW)
        self.conn.send(b"PUT /v1/kv/slow-body HTTP/1.1\r\n" + HOST + b"Content-Length: 500\r\n\r\n")
        self.began = time.monotonic()
        self.took = None

    def run(self):
        while time.monotonic() - self.began < 100 * herald.SLOW:
            try:
                self.conn.send(b"x")
                if self.conn.readable(0.5):
                    break
            except OSError:
                break
        else:
            return
        self.took = time.monotonic() - self.began


def slow_body(s):
    slow = SlowBody(s)
    slow.start()

    def body_that_drips_is_cut_off():
        slow.join(120 * herald.SLOW)
        check(slow.took is not None, "the body dripped for 100 s")
        check(slow.took > 20, "cut off after only %.0f s", slow.took)
        equal(s.server.get("/v1/kv/slow-body").status, 404)
    return body_that_drips_is_cut_off


if __name__ == "__main__":
    run(R, options(__doc__), slow_body)
