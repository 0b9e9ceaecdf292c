#!/usr/bin/env python3
"""Hostile and broken WebSocket clients and stream subscribers, as bad_input.py does it for HTTP.

    bad_websocket.py [--seed N] [TEST...]
"""

import os
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from hostile import close_code, options, run  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()


def upgrade(**change):
    h = {"Host": "h", "Upgrade": "websocket", "Connection": "Upgrade",
         "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
         "Sec-WebSocket-Protocol": "herald.v1.json"}
    for name, value in change.items():
        h[name.replace("_", "-")] = value
    lines = ["%s: %s" % item for item in h.items() if item[1] is not None]
    return ("GET /v1/stream HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


@R.test
def bad_handshakes(s):
    for change, want in [({"Sec_WebSocket_Version": "8"}, 426), ({"Sec_WebSocket_Version": "x"}, 426),
                         ({"Sec_WebSocket_Version": None}, 426),
                         ({"Sec_WebSocket_Key": None}, 400), ({"Sec_WebSocket_Key": "short"}, 400),
                         ({"Sec_WebSocket_Key": "=" * 5000}, 400),
                         ({"Connection": "close"}, 400), ({"Connection": None}, 400)]:
        res = s.one(upgrade(**change))
        check(res.status == want or res.status in (400, 426), "%s: %r", change, res)
        if change.get("Sec_WebSocket_Version", "13") != "13":
            equal(res.headers.get("sec-websocket-version"), "13", str(change))
    for other in ["h2c", "foo", "websocket2", "", "TLS/1.0", "websocket, h2c", "\x7f"]:
        res = s.one(upgrade(Upgrade=other))
        check(res.status in (101, 400, 426, 501) or res.status == 200, "Upgrade: %s: %r", other, res)
        check(res.status != 101 or other == "websocket, h2c", "Upgrade: %s was done", other)
    for method in [b"POST", b"PUT", b"DELETE"]:
        res = s.one(method + upgrade()[3:].replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"))
        check(res.status in (400, 405), "%s: %r", method, res)
    res = s.one(upgrade(Origin="https://evil.example"))
    check(res.status == 403 or res.status == 101, "Origin: %r", res)


@R.test
def foreign_origin_is_refused(s):
    with s.connect() as c:
        c.send(upgrade(Origin="https://evil.example"))
        res = c.read_head()
        if res.status == 101:
            ws = herald.WebSocket.__new__(herald.WebSocket)
            ws.c, ws.close_code, ws.close_reason = c, None, ""
            equal(close_code(ws), 4003)
        else:
            equal(res.status, 403)


@R.test
def listed_origins_and_the_servers_own_are_taken(s):
    sites = {"herald": {"stream_allow_origins": "https://one.example https://two.example:8443"}}
    with herald.Server(config=sites) as server:
        host = "127.0.0.1:%d" % server.port
        for origin, want in [("https://two.example:8443", True), ("https://one.example", True),
                             ("http://" + host, True), ("https://two.example", False),
                             ("null", False)]:
            with server.connect() as c:
                c.send(upgrade(Origin=origin, Host=host))
                equal(c.read_head().status, 101)
                ws = herald.WebSocket.__new__(herald.WebSocket)
                ws.c, ws.close_code, ws.close_reason = c, None, ""
                if want:
                    ws.send('{"type":"hello"}')
                    check('"welcome"' in ws.next_text(), "%s is refused", origin)
                else:
                    equal(close_code(ws), 4003, origin)


@R.test
def bad_frames(s):
    text = b'{"type":"hello"}'
    for name, send, want in [
            ("unmasked", lambda w: w.send_frame(1, text, masked=False), {1002}),
            ("reserved bit", lambda w: w.send_frame(1, text, rsv=4), {1002}),
            ("reserved opcode", lambda w: w.send_frame(3, text), {1002}),
            ("reserved control", lambda w: w.send_frame(11, b""), {1002}),
            ("binary", lambda w: w.send_frame(2, b"\1\2"), {1003}),
            ("bad utf-8", lambda w: w.send_frame(1, b'"\xff\xfe"'), {1007}),
            ("surrogate", lambda w: w.send_frame(1, b'"\xed\xa0\x80"'), {1007}),
            ("cut utf-8", lambda w: w.send_frame(1, b'"\xe2\x82'), {1007, 4000}),
            ("continuation first", lambda w: w.send_frame(0, text), {1002}),
            ("text inside text", lambda w: (w.send_frame(1, b"[", fin=False),
                                            w.send_frame(1, b"]")), {1002}),
            ("long ping", lambda w: w.send_frame(9, b"x" * 126), {1002}),
            ("ping in pieces", lambda w: w.send_frame(9, b"x", fin=False), {1002}),
            ("64 KiB and 1", lambda w: w.send_frame(1, b'"' + b"x" * 65534 + b'""'), {1009}),
            ("64 KiB in pieces", lambda w: [w.send_frame(1 if i == 0 else 0, b"x" * 1000, fin=False)
                                            for i in range(80)], {1009}),
            ("length 2^63", lambda w: w.c.send(b"\x81\xff" + b"\xff" * 8 + b"abcdmore"),
             {1002, 1009}),
            ("length 2^62", lambda w: w.c.send(b"\x81\xff" + struct.pack(">Q", 2 ** 62) + b"abcd"
                                               + b"x" * 70000), {1002, 1009}),
            ("close 1005", lambda w: w.send_frame(8, struct.pack(">H", 1005)), {1002, 1005}),
            ("close of 1 byte", lambda w: w.send_frame(8, b"x"), {1002, 1005, 1000}),
            ("garbage", lambda w: w.c.send(bytes(s.dice.randrange(256) for _ in range(5000))),
             {1002, 1003, 1007, 1009})]:
        with s.websocket() as ws:
            try:
                send(ws)
            except OSError:
                pass
            code = close_code(ws)
            check(code in want or code == 1006 and name in VANISH, "%s: closed with %s", name, code)


# Where the library under the protocol hangs up without a word; the connection is over in any case.
VANISH = {"unmasked", "reserved bit", "reserved opcode", "reserved control", "continuation first",
          "text inside text", "long ping", "ping in pieces", "length 2^63", "length 2^62",
          "close 1005", "close of 1 byte", "garbage", "64 KiB and 1", "64 KiB in pieces"}


@R.test
def messages_that_end_the_connection(s):
    for text in ["", "x", "{", "[]", "1", "null", '"hello"', "{}", '{"type":1}', '{"type":"nope"}',
                 '{"type":null}', '{"type":"welcome"}', "{'type':'hello'}", '{"type":"hello"}x']:
        with s.websocket() as ws:
            ws.send(text)
            equal(close_code(ws), 4000, text)
    with s.websocket() as ws:
        ws.send({"type": "hello"})
        ws.send({"type": "hello"})
        equal(close_code(ws), 4000, "second hello")


@R.test
def messages_that_are_answered_with_an_error(s):
    sub = {"type": "subscribe", "id": 1, "topic": "kv"}
    for change, want in [({"topic": "nope"}, {"topic_unknown"}), ({"topic": 5}, None),
                         ({"id": -1}, None), ({"id": "x"}, None),
                         ({"id": 1.5}, None), ({"id": 2 ** 70}, None),
                         ({"filter": "("}, {"filter_invalid"}), ({"filter": "x" * 5000}, None),
                         ({"filter": "(" * 4000}, {"filter_invalid"}), ({"filter": 7}, None),
                         ({"prefix": 7}, None), ({"prefix": "a", "key": "b"}, None),
                         ({"key": ""}, None), ({"key": "k" * 5000}, None),
                         ({"from": 5}, None), ({"from": {"index": -1}}, None),
                         ({"from": {"index": "x"}}, None), ({"from": {"index": 1e30}}, None),
                         ({"from": {"index": 1.5}}, None), ({"from": {"index": True}}, None),
                         ({"from": {"index": 1, "epoch": 5}}, None),
                         ({"from": {"index": 1, "epoch": "e" * 5000}}, {"compacted"}),
                         ({"snapshot": 5}, None), ({"snapshot": True, "from": {"index": 1}}, None),
                         ({"credit": -5}, None), ({"credit": "x"}, None), ({"credit": 1e30}, None),
                         ({"credit": 1.5}, None), ({"batch": 5}, None), ({"batch": {"max": -1}}, None),
                         ({"batch": {"max": "x"}}, None), ({"batch": {"wait_ms": -1}}, None),
                         ({"batch": {"wait_ms": 1e30}}, None)]:
        with s.websocket() as ws:
            ws.send({**sub, **change})
            bad_message(ws, change, want or {"bad_message", "bad_request", "filter_invalid",
                                             "bad_request"})


def bad_message(ws, change, want):
    """An error message with one of the codes, or (for bad_message) the close code 4000."""
    m = ws.next_of("error", "compacted", "subscribed")
    if m is None:
        equal(ws.close_code, 4000, str(change)[:80])
        return
    got = m.get("code", m["type"])
    check(got in want, "%s: %s", str(change)[:80], m)


@R.test
def wrong_use_of_subscriptions(s):
    with s.websocket() as ws:
        ws.send({"type": "subscribe", "id": 1, "topic": "kv"})
        equal(ws.next_of("subscribed")["id"], 1)
        for message, code in [({"type": "subscribe", "id": 1, "topic": "kv"}, "sub_exists"),
                              ({"type": "unsubscribe", "id": 9}, "sub_unknown"),
                              ({"type": "credit", "id": 9, "events": 1}, "sub_unknown"),
                              ({"type": "credit", "id": 1, "events": -1}, "bad_request"),
                              ({"type": "credit", "id": 1, "events": 1e300}, "bad_request"),
                              ({"type": "credit", "id": 1, "bytes": "x"}, "bad_request")]:
            ws.send(message)
            m = ws.next_of("error")
            check(m is not None, "%s closed the connection with %s", message, ws.close_code)
            check(m["code"] in (code, "bad_message"), "%s: %s", message, m)
        ws.send({"type": "unsubscribe", "id": 1})
        equal(ws.next_of("end")["id"], 1)


@R.test
def too_many_subscriptions(s):
    """The 1025th is refused; the messages stay below the rate of 100 a second."""
    query = "/v1/stream"
    with s.server.websocket(query, timeout=60) as ws:
        refused = None
        for i in range(1, 1100):
            ws.send({"type": "subscribe", "id": i, "topic": "kv", "key": "none"})
            m = ws.next_of("subscribed", "error")
            check(m is not None, "closed with %s at %d", ws.close_code, i)
            if m["type"] == "error":
                if m["code"] == "rate_limited":
                    time.sleep(0.2)
                    continue
                refused = m
                break
            time.sleep(0.0105)
        check(refused is not None, "1,099 subscriptions were accepted")
        equal(refused["code"], "too_many_subs")


@R.test
def floods_of_messages_and_pings(s):
    with s.websocket() as ws:
        ws.send({"type": "hello"})
        for i in range(2000):
            try:
                ws.send({"type": "ping", "data": str(i)})
            except OSError:
                break
        limited = False
        try:
            while not limited:
                m = ws.next()
                limited = m is None or m.get("code") == "rate_limited"
        except (EOFError, ConnectionError):
            limited = True
        check(limited, "2,000 messages at once went through")
    with s.websocket() as ws:
        try:
            for i in range(20000):
                ws.send_frame(9, b"x" * 100)
        except OSError:
            pass


@R.test
def subscribers_that_never_read(s):
    """Twenty megabytes pass by; each such subscriber costs its buffer, not the stream."""
    deaf = []
    for i in range(60):
        ws = s.server.websocket("/v1/stream?topic=kv&index=0", timeout=30)
        deaf.append(ws)
    for i in range(10):
        c = s.connect(receive_buffer=4096)
        c.send_request("GET", "/v1/stream?topic=kv&index=0&format=" + ["sse", "ndjson"][i % 2])
        deaf.append(c)
    with s.connect() as c:
        for i in range(80):
            equal(c.request("PUT", "/v1/kv/deaf-%d" % i, os.urandom(250000)).body, b"true")
    s.after()
    for d in deaf:
        d.c.reset() if isinstance(d, herald.WebSocket) else d.reset()
    equal(s.server.delete("/v1/kv/deaf-?recurse").body, b"true")


@R.test
def silent_websocket_is_told_to_leave(s):
    with s.websocket() as ws:
        equal(close_code(ws), 4101)


if __name__ == "__main__":
    run(R, options(__doc__))
