#!/usr/bin/env python3
"""Topics of the fleet over all three transports of a real server: what a subscriber of "api,
passing, prod" is told, from snapshot to resumption, also over a restart."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

LIST = "topic=service&key=api&tag=prod&status=passing"
server = None
directory = None


def register(ident, status="passing", tags=("prod",), port=80, node="n1", service="api"):
    r = server.put("/v1/catalog/register", json.dumps({
        "Node": node, "Address": "10.0.0.1",
        "Service": {"Service": service, "ID": ident, "Port": port, "Tags": list(tags)},
        "Check": {"CheckID": "c-" + ident, "Name": "alive", "Status": status, "ServiceID": ident},
    }).encode())
    assert r.status == 200, r


def deregister(ident, node="n1"):
    r = server.put("/v1/catalog/deregister",
                   json.dumps({"Node": node, "ServiceID": ident}).encode())
    assert r.status == 200, r


def now():
    """The newest index of all: that of keys is another one."""
    with server.ndjson("topic=service&timeout=1ms") as nd:
        return nd.next()["index"]


def brief(event):
    return event["op"], event["id"]


def server_starts():
    global server, directory
    directory = tempfile.mkdtemp(prefix="herald-topics-")
    server = herald.Server(data_dir=os.path.join(directory, "data"))


def a_list_on_every_transport():
    register("a")
    register("b", tags=["dev"])
    register("c", status="critical")
    with server.websocket() as ws, server.sse(LIST + "&snapshot=1") as sse, \
            server.ndjson(LIST + "&snapshot=1") as nd:
        ws.send({"type": "subscribe", "id": 1, "topic": "service", "key": "api", "tag": ["prod"],
                 "status": "passing", "snapshot": True})
        page = ws.next_of("snapshot")
        assert [i["id"] for i in page["items"]] == ["a"] and page["more"] is False, page
        row = page["items"][0]
        assert row["status"] == "passing" and row["row"]["Node"]["Node"] == "n1", row
        assert row["row"]["Service"]["Port"] == 80 and row["row"]["Checks"], row
        health = server.get("/v1/health/service/api?passing&tag=prod").json()
        assert [row["row"]] == health, (row, health)
        register("b", tags=["dev", "prod"])
        register("b", tags=["dev", "prod"], port=81)
        register("c", tags=["x"], status="critical")
        register("a", status="warning")
        deregister("b")
        want = [("added", "b"), ("changed", "b"), ("removed", "a"), ("removed", "b")]
        got = []
        while len(got) < 4:
            got += ws.next_of("events")["events"]
        assert [brief(e) for e in got] == want, got
        assert "row" not in got[2] and got[2]["status"] == "warning", got[2]
        assert "status" not in got[3] and got[3]["before"] == "passing", got[3]
        lines = []
        while len(lines) < 4:
            line = nd.next()
            if "op" in line:
                lines.append(line)
        assert lines == got, (lines, got)
        events, cursor = [], None
        while len(events) < 4:
            message = sse.next()
            if message.event == "events":
                events += json.loads(message.data)["events"]
                cursor = message.id
        assert events == got, (events, got)
    # The browser's way back: nothing is lost and nothing comes twice.
    register("a")
    with server.sse(LIST, headers={"Last-Event-ID": cursor}) as sse:
        message = sse.next()
        while message.event != "events":
            message = sse.next()
        assert [brief(e) for e in json.loads(message.data)["events"]] == [("added", "a")]


def resumed_over_a_restart():
    index = now()
    register("r1")
    register("r2", status="critical")
    register("r2")
    server.stop()
    server.start()
    deregister("r1")
    with server.ndjson(LIST + "&index=%d&limit=3" % index) as nd:
        got = []
        while len(got) < 3:
            line = nd.next()
            if "op" in line:
                got.append(brief(line))
    assert got == [("added", "r1"), ("added", "r2"), ("removed", "r1")], got


def nodes_and_checks():
    index = now()
    register("z", node="other", service="web")
    register("z", node="other", service="web", status="critical")
    with server.ndjson("topic=node&key=OTHER&index=%d&limit=1" % index) as nd:
        nd.next()
        event = nd.next()
        assert event["op"] == "set" and event["key"] == "other", event
        assert event["row"]["Address"] == "10.0.0.1", event
    query = 'topic=check&prefix=other/&index=%d&limit=1&filter=status%%20==%%20critical' % index
    with server.ndjson(query) as nd:
        nd.next()
        event = nd.next()
        assert event["key"] == "other/c-z" and event["row"]["Status"] == "critical", event
    with server.ndjson("topic=node&snapshot=1&until=1&batch=1") as nd:
        nd.next()
        names = [i["key"] for i in nd.next()["items"]]
        assert {"n1", "other"} <= set(names), names


def sessions_and_events():
    index = now()
    register("s", node="host")
    r = server.put("/v1/session/create", b'{"Node":"host","Name":"lock","LockDelay":"0s","Checks":[]}')
    assert r.status == 200, r
    ident = r.json()["ID"]
    assert server.put("/v1/session/destroy/" + ident).status == 200
    with server.ndjson("topic=session&node=HOST&index=%d&limit=2" % index) as nd:
        nd.next()
        made, gone = nd.next(), nd.next()
        assert (made["op"], made["key"], made["row"]["Name"]) == ("set", ident, "lock"), made
        assert (gone["op"], gone["key"]) == ("delete", ident), gone
    for name in ["deploy", "other", "deploy"]:
        assert server.put("/v1/event/fire/" + name, b"v7").status == 200
    query = "topic=event&key=deploy"
    with server.ndjson(query + "&index=%d&limit=2" % index) as nd:
        nd.next()
        events = [nd.next(), nd.next()]
        assert [e["key"] for e in events] == ["deploy", "deploy"], events
        assert events[0]["row"]["Payload"] == "djc=", events
        assert events[0]["index"] < events[1]["index"], events
    with server.ndjson(query + "&snapshot=1&until=1&batch=1") as nd:
        nd.next()
        items = nd.next()["items"]
        assert [i["row"] for i in items] == [e["row"] for e in events], items


def several_topics_on_one_connection():
    with server.websocket() as ws:
        for i, topic in enumerate(["kv", "service", "node", "check", "session", "event"]):
            ws.send({"type": "subscribe", "id": i, "topic": topic, "snapshot": True})
            while (m := ws.next_of("snapshot", "error"))["type"] == "snapshot" and m["more"]:
                pass
            assert m["type"] == "snapshot" and m["id"] == i, m
        server.put("/v1/kv/api", b"1")
        register("many", node="manifold")
        seen = {}
        while len(seen) < 4:
            m = ws.next_of("events")
            seen[m["id"]] = m
        assert {0, 1, 2, 3} == set(seen), seen
        assert seen[0]["events"][0]["key"] == "api", seen[0]
        assert {e["index"] for i in (1, 2, 3) for e in seen[i]["events"]} == {now()}


def the_command_streams_topics():
    command = [herald.program(), "stream", "-http-addr=127.0.0.1:%d" % server.port,
               "-from=snapshot", "-once", "-format=text"]
    register("cli", node="cli", service="cli")
    code, out, err = herald.run(command + ["-topic=service", "-key=cli", "-tag=prod",
                                           "-status=passing"])
    assert (code, out) == (0, "is cli cli/cli passing\n"), (code, out, err)
    code, out, err = herald.run(command + ["-topic=check", "-node=cli"])
    assert (code, out) == (0, "is cli/c-cli\n"), (code, out, err)
    code, out, err = herald.run(command + ["-topic=kv", "-tag=x"])
    assert code == 1 and "tag" in err, (code, out, err)


def mistakes_are_refused_before_anything_begins():
    for query in ["topic=services", "topic=kv&tag=a", "topic=node&status=passing",
                  "topic=event&node=x", "topic=service&status=dead",
                  "topic=service&filter=flags==1", "topic=service&filter=port==http",
                  "topic=service&" + "&".join("tag=%d" % i for i in range(17))]:
        r = server.get("/v1/stream?format=ndjson&" + query)
        assert r.status == 400, (query, r)


def server_ends_cleanly():
    server.close()
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    herald.main([server_starts, a_list_on_every_transport, resumed_over_a_restart,
                 nodes_and_checks, sessions_and_events, several_topics_on_one_connection,
                 the_command_streams_topics, mistakes_are_refused_before_anything_begins, server_ends_cleanly])
