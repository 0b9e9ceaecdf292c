#!/usr/bin/env python3
"""Waits for changes of keys in one of the three ways Herald offers, and prints each change.

    python3 examples/subscribe.py websocket|sse|blocking HOST:PORT PREFIX [--count N] [--stamp]

Each way keeps a cursor (the index, and for the streams the epoch), reconnects when the connection
is lost, and goes on after the last change it has seen: nothing is missed and nothing comes twice.
--count ends after N changes. --stamp prints `ready`, and the monotonic clock before each change.
Standard library only: it also shows how little a client needs.
"""
import argparse
import base64
import http.client
import json
import os
import struct
import sys
import time
from urllib.parse import quote

READY = object()


def blocking(where, prefix, cursor):
    """Consul's blocking query: ask again with the last index; the answer comes when it has grown.
    It tells the state, not the steps, so the difference to the last answer is ours to find."""
    connection = http.client.HTTPConnection(where, timeout=90)
    while True:
        seen, index = cursor.get("seen"), cursor.get("index", 0)
        connection.request("GET", "/v1/kv/%s?recurse&index=%d&wait=60s" % (quote(prefix), index))
        if seen is not None:
            yield READY
        answer = connection.getresponse()
        body = answer.read()
        rows = {r["Key"]: r for r in json.loads(body)} if answer.status == 200 else {}
        now = int(answer.headers["X-Consul-Index"])
        # An index that went backwards (a restored backup) means: start over.
        cursor.update(seen=rows, index=0 if now < index else now)
        if seen is None:
            continue
        for key, row in rows.items():
            if seen.get(key, {}).get("ModifyIndex") != row["ModifyIndex"]:
                yield "set", key, base64.b64decode(row["Value"] or "")
        for key in set(seen) - set(rows):
            yield "delete", key, b""


def events_of(message):
    for event in message.get("events", ()):
        yield event["op"], event["key"], base64.b64decode(event.get("value") or "")


def sse(where, prefix, cursor):
    """Server-Sent Events, as a browser's EventSource reads them; the id is the cursor."""
    connection = http.client.HTTPConnection(where, timeout=60)
    headers = {"Accept": "text/event-stream"}
    if "id" in cursor:
        headers["Last-Event-ID"] = cursor["id"]
    path = "/v1/stream?topic=kv&prefix=" + quote(prefix, safe="")
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit("%d %s" % (answer.status, answer.read().decode()))
    yield READY
    kind, data, last_id = "", "", ""
    for line in answer:
        field, _, value = line.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            last_id = value
        elif field == "event":
            kind = value
        elif field == "data":
            data += value
        elif not field and not value:
            if kind == "compacted":
                raise SystemExit("our cursor is older than the history kept: " + data)
            if kind == "events":
                yield from events_of(json.loads(data))
            if last_id:
                cursor["id"] = last_id
            kind, data = "", ""


def websocket(where, prefix, cursor):
    """The herald.v1 protocol (RFC 6455): one connection may hold many subscriptions; here one."""
    connection = http.client.HTTPConnection(where, timeout=60)
    connection.request("GET", "/v1/stream", headers={
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "herald.v1.json"})
    sock = connection.sock
    wire = sock.makefile("rb")
    head = wire.readline()
    if b" 101 " not in head:
        raise SystemExit(head.decode().strip())
    while wire.readline().strip():
        pass
    ask = {"type": "subscribe", "id": 1, "topic": "kv", "prefix": prefix}
    if cursor:
        ask["from"] = cursor
    websocket_send(sock, 1, json.dumps(ask).encode())
    epoch = ""
    for opcode, payload in websocket_frames(wire):
        if opcode == 9:
            websocket_send(sock, 10, payload)
        if opcode != 1:
            continue
        message = json.loads(payload)
        epoch = message.get("epoch", epoch)
        if message["type"] == "subscribed":
            cursor.update(index=message["from"], epoch=epoch)
            yield READY
        elif message["type"] in ("events", "mark", "live"):
            yield from events_of(message)
            cursor["index"] = message["through"]
        elif message["type"] == "compacted":
            raise SystemExit("our cursor is older than the history kept: %s" % message)


def websocket_send(sock, opcode, payload):
    mask = os.urandom(4)
    if len(payload) < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | len(payload))
    else:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, len(payload))
    sock.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))


def websocket_frames(wire):
    """Messages of one frame each, which is how Herald sends them; ends with the connection."""
    while len(head := wire.read(2)) == 2:
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", wire.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", wire.read(8))[0]
        payload = wire.read(size)
        if head[0] & 15 == 8:
            return
        yield head[0] & 15, payload


def main():
    ways = {"websocket": websocket, "sse": sse, "blocking": blocking}
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("way", choices=ways)
    p.add_argument("where", metavar="HOST:PORT")
    p.add_argument("prefix")
    p.add_argument("--count", type=int, default=0)
    p.add_argument("--stamp", action="store_true")
    a = p.parse_args()
    left, told, cursor = a.count, False, {}
    while True:
        try:
            for change in ways[a.way](a.where, a.prefix, cursor):
                now = time.monotonic_ns()
                if change is READY:
                    if a.stamp and not told:
                        print("ready", flush=True)
                    told = True
                    continue
                op, key, value = change
                text = "%s %s %s" % (op, key, value.decode("utf-8", "backslashreplace"))
                print("%d %s" % (now, text) if a.stamp else text, flush=True)
                left -= 1
                if left == 0:
                    return
        except (OSError, http.client.HTTPException) as error:
            print("connection lost: %s" % error, file=sys.stderr, flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
