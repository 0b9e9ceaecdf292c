#!/usr/bin/env python3
"""curl as a client: what a person types. KV, streams with -N, a unix socket."""
import base64
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402


def curl(*args, stdin=None):
    code, out, err = herald.run(["curl", "-sS", "--max-time", "20"] + list(args), stdin=stdin)
    assert code == 0, "curl ended with %d: %s" % (code, err)
    return out.removesuffix("\n")


def test_curl_puts_gets_and_deletes_a_key():
    with herald.Server() as s:
        assert curl("-X", "PUT", "-d", "hello", s.url("/v1/kv/app/a?flags=7")) == "true"
        row, = json.loads(curl(s.url("/v1/kv/app/a")))
        assert base64.b64decode(row["Value"]) == b"hello" and row["Flags"] == 7, row
        assert curl(s.url("/v1/kv/app/a?raw")) == "hello"
        assert json.loads(curl(s.url("/v1/kv/?keys"))) == ["app/a"]
        assert curl("-X", "DELETE", s.url("/v1/kv/app/a")) == "true"
        assert curl("-o", "/dev/null", "-w", "%{http_code}", s.url("/v1/kv/app/a")) == "404"


def test_curl_uploads_a_file_with_expect_100_continue():
    with herald.Server() as s, tempfile.NamedTemporaryFile() as f:
        f.write(os.urandom(300000))
        f.flush()
        assert curl("-H", "Expect: 100-continue", "-T", f.name, s.url("/v1/kv/big")) == "true"
        with open(f.name, "rb") as same:
            assert s.get("/v1/kv/big?raw").body == same.read()


def test_curl_sends_a_chunked_body_and_reuses_its_connection():
    with herald.Server() as s:
        out = curl("-H", "Transfer-Encoding: chunked", "-T", "-", s.url("/v1/kv/c"), stdin="x" * 9)
        assert out == "true", out
        urls = [s.url("/v1/kv/c?raw")] * 3
        out = curl("-w", " %{num_connects}\n", *urls)
        assert out.split() == ["x" * 9, "1", "x" * 9, "0", "x" * 9, "0"], out


def test_curl_reads_gzip():
    with herald.Server() as s:
        s.put("/v1/kv/z", b"z" * 20000)
        out = curl("--compressed", "-i", s.url("/v1/kv/z"))
        head, body = out.split("\n\n" if "\r\n" not in out else "\r\n\r\n", 1)
        assert "content-encoding: gzip" in head.lower(), head
        assert base64.b64decode(json.loads(body)[0]["Value"]) == b"z" * 20000


def test_curl_waits_in_a_blocking_query():
    with herald.Server() as s:
        s.put("/v1/kv/w", b"1")
        index = s.get("/v1/kv/w").index()
        with herald.Program(["curl", "-sS", s.url("/v1/kv/w?raw&wait=20s&index=%d" % index),
                             "-w", "\n"]) as waiting:
            time.sleep(0.2)  # long enough to be waiting; being late would only hide the wake-up
            s.put("/v1/kv/w", b"2")
            assert waiting.line() == "2"


def test_curl_N_follows_ndjson():
    with herald.Server() as s:
        s.put("/v1/kv/app/old", b"0")
        with herald.Program(["curl", "-sSN", s.url(
                "/v1/stream?topic=kv&prefix=app/&index=0&format=ndjson")]) as stream:
            assert json.loads(stream.line_with('"subscribed"'))["type"] == "subscribed"
            assert json.loads(stream.line_with('"op"'))["key"] == "app/old"
            s.put("/v1/kv/other", b"no")
            s.put("/v1/kv/app/new", b"1")
            event = json.loads(stream.line_with('"op"'))
            assert (event["op"], event["key"]) == ("set", "app/new"), event
            assert base64.b64decode(event["value"]) == b"1", event
            s.delete("/v1/kv/app/new")
            event = json.loads(stream.line_with('"op"'))
            assert (event["op"], event["key"]) == ("delete", "app/new"), event


def test_curl_N_follows_server_sent_events():
    with herald.Server() as s:
        with herald.Program(["curl", "-sSNi", "-H", "Accept: text/event-stream", s.url(
                "/v1/stream?topic=kv&prefix=app/")]) as stream:
            stream.line_with("200 OK")
            stream.line_with("text/event-stream")
            stream.line_with("retry: ")
            s.put("/v1/kv/app/x", b"1")
            stream.line_with("event: events")
            epoch, _, through = stream.line_with("id: ")[4:].strip().partition(":")
            assert epoch and int(through) > 0
            event, = json.loads(stream.line_with("data: ")[6:])["events"]
            assert event["key"] == "app/x" and event["index"] == int(through), event


def test_curl_resumes_where_it_stopped():
    with herald.Server() as s:
        s.put("/v1/kv/r/1", b"1")
        seen = s.get("/v1/kv/r/1").index()
        for n in (2, 3):
            s.put("/v1/kv/r/%d" % n, b"%d" % n)
        last = s.get("/v1/kv/r/3").index()
        out = curl("-N", s.url("/v1/stream?topic=kv&prefix=r/&format=ndjson&index=%d&until=%d"
                               % (seen, last)))
        events = [json.loads(line) for line in out.splitlines() if '"op"' in line]
        assert [e["key"] for e in events] == ["r/2", "r/3"], events


def test_curl_speaks_over_a_unix_socket():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "http.sock")
        with herald.Server(config={"addresses": {"http": "127.0.0.1 unix://" + path}}) as s:
            s.put("/v1/kv/u", b"same store")
            assert curl("--unix-socket", path, "http://localhost/v1/kv/u?raw") == "same store"


if __name__ == "__main__":
    herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
