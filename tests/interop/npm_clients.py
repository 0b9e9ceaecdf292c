#!/usr/bin/env python3
"""The npm packages ws, eventsource and consul as clients, unchanged."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import herald  # noqa: E402


def node(script, *args):
    if not os.path.isdir(os.path.join(HERE, "node_modules")):
        raise herald.Skip("npm ci has not run: sh tests/interop/setup.sh DIR")
    return ["node", os.path.join(HERE, script)] + list(args)


def test_npm_ws_receives_changes_and_pongs():
    with herald.Server() as s:
        url = "ws://127.0.0.1:%d/v1/stream" % s.port
        with herald.Program(node("ws.mjs", url, "app/")) as ws:
            ws.line_with("open protocol=herald.v1.json")
            ws.line_with("message subscribed")
            s.put("/v1/kv/other", b"no")
            s.put("/v1/kv/app/a", "grün".encode())
            assert ws.line_with("event") == "event set app/a grün"
            s.delete("/v1/kv/app/a")
            assert ws.line_with("event") == "event delete app/a "
            s.put("/v1/kv/app/b/1", b"1")
            s.delete("/v1/kv/app/b/?recurse")
            assert ws.line_with("event") == "event set app/b/1 1"
            assert ws.line_with("event") == "event delete-prefix app/b/ "
            ws.process.stdin.write(b"ping\n")
            ws.line_with("pong")


def test_npm_ws_large_value_comes_whole():
    with herald.Server() as s:
        url = "ws://127.0.0.1:%d/v1/stream" % s.port
        with herald.Program(node("ws.mjs", url, "big")) as ws:
            ws.line_with("message subscribed")
            s.put("/v1/kv/big", b"x" * 524288)
            assert len(ws.line_with("event set big ")) == len("event set big ") + 524288


def test_npm_ws_resumes_after_a_restart():
    resume(lambda s: node("ws.mjs", "ws://127.0.0.1:%d/v1/stream" % s.port, "app/"),
           ready="message subscribed", lost="close")


def test_npm_ws_by_the_urls_query_alone():
    code = """
        import WebSocket from 'ws';
        const socket = new WebSocket(process.argv[1]);
        socket.on('message', (data) => console.log(data.toString()));
    """
    with herald.Server() as s:
        s.put("/v1/kv/q/1", b"1")
        url = "ws://127.0.0.1:%d/v1/stream?topic=kv&prefix=q/&index=0" % s.port
        with herald.Program(["node", "--input-type=module", "-e", code, url], cwd=HERE) as ws:
            batch = json.loads(ws.line_with('"events"', '"q/1"'))
            assert batch["id"] == 0 and batch["events"][0]["op"] == "set", batch


def test_npm_eventsource_receives_changes():
    with herald.Server() as s:
        url = s.url("/v1/stream?topic=kv&prefix=app/")
        with herald.Program(node("eventsource.mjs", url)) as source:
            source.line_with("open")
            s.put("/v1/kv/app/a", b"1")
            index = s.get("/v1/kv/app/a").index()
            line = source.line_with("event set app/a 1 id=")
            assert line.endswith(":%d" % index), line


def test_npm_eventsource_resumes_after_a_restart():
    resume(lambda s: node("eventsource.mjs", s.url("/v1/stream?topic=kv&prefix=app/")),
           ready="open", lost="error")


def resume(command, ready, lost):
    """Nothing is missed and nothing comes twice, over two restarts of the server, one of them a
    kill -9; the writes made while nobody was subscribed come too."""
    with tempfile.TemporaryDirectory() as d, herald.Server(data_dir=os.path.join(d, "data")) as s:
        with herald.Program(command(s)) as client:
            client.line_with(ready)
            number = 0
            for end in (s.stop, s.kill):
                for _ in range(3):
                    number += 1
                    s.put("/v1/kv/app/n", b"%d" % number)
                    assert client.line_with("event set app/n ").split()[3] == str(number)
                end()
                client.line_with(lost)
                s.start()
                number += 1
                s.put("/v1/kv/app/n", b"%d" % number)
                assert client.line_with("event set app/n ").split()[3] == str(number)


def test_npm_consul_watches_follow_over_restarts():
    """Each watch shows each state of what it watches; restarts, one of them a kill -9, cost none
    of them more than a few errors, and what changed right after is seen."""
    with tempfile.TemporaryDirectory() as d, herald.Server(data_dir=os.path.join(d, "data")) as s:
        with herald.Program(node("npm_watch.mjs", str(s.port))) as client:
            shows(client, key="none", prefix="", health="", passing="")
            for number, end in enumerate((s.stop, s.kill, None)):
                s.put("/v1/kv/w/key", b"%d" % number)
                shows(client, key=str(number), prefix="w/key=%d" % number)
                name = "n%d" % number
                register(s, name, "passing")
                shows(client, health=name + "=passing", passing=name, nodes=name)
                register(s, name, "critical")
                shows(client, health=name + "=critical", passing="")
                remove = json.dumps({"Node": name})
                assert s.put("/v1/catalog/deregister", remove).status == 200
                shows(client, health="")
                if end:
                    end()
                    client.line_with("error key")
                    s.start()


def shows(client, **wanted):
    """Reads lines of npm_watch.mjs until each kind has shown this; errors are passed over."""
    while wanted:
        kind, _, what = client.line().partition(" ")
        # Of the nodes one is the server itself, whose name is the machine's.
        if kind in wanted and wanted[kind] in (what.split(",") if kind == "nodes" else [what]):
            del wanted[kind]


def register(s, name, status):
    r = s.put("/v1/catalog/register", json.dumps(
        {"Node": name, "Address": "127.0.0.1",
         "Service": {"Service": "api", "ID": name, "Port": 1},
         "Check": {"CheckID": "c", "Name": "c", "Status": status, "ServiceID": name}}))
    assert r.status == 200, r


def npm_consul():
    with herald.Server() as s:
        got = subprocess.run(node("consul.mjs", str(s.port)), stdout=subprocess.PIPE, text=True)
        sys.stdout.write(got.stdout)
        if got.returncode != 0 and "not ok" not in got.stdout:
            print("not ok npm_consul as a whole (exit code %d)" % got.returncode)
        return got.returncode


if __name__ == "__main__":
    failed = npm_consul() if not sys.argv[1:] else 0
    try:
        herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
    except SystemExit as end:
        sys.exit(end.code or failed)
