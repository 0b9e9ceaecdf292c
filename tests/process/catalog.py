#!/usr/bin/env python3
"""The catalog and health endpoints against a real server: the recording of Consul 1.8.7
(tests/golden/catalog.txt), who is woken by what, filters, what is refused and in which words.

Differences from the recording that are meant:
  * rows of the recording's own node n1 are passed over: its services came from its agent, ours has
    others;
  * indexes differ: only their order is the contract's;
  * X-Consul-Knownleader of a refused filter says what is so; Consul says false there;
  * /v1/health/ingress and /v1/catalog/connect show another index: there is no mesh;
  * the first ?cached is a HIT, too: what is asked is the server's own copy, as new as any.
"""

import json
import os
import re
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402

GOLDEN = os.path.join(HERE, "..", "golden", "catalog.txt")
COMPARED = ["content-type", "vary", "x-consul-lastcontact", "x-consul-effective-consistency"]


def register(s, node="n", service=None, check=None, **more):
    body = {"Node": node, "Address": "10.0.0.1"}
    body.update({k: v for k, v in (("Service", service), ("Check", check)) if v is not None})
    body.update(more)
    r = s.request("PUT", "/v1/catalog/register", json.dumps(body))
    assert (r.status, r.body) == (200, b"true"), r


def deregister(s, **what):
    r = s.request("PUT", "/v1/catalog/deregister", json.dumps(what))
    assert (r.status, r.body) == (200, b"true"), r


def filtered(s, path, expression):
    return s.get("%s?filter=%s" % (path, urllib.parse.quote(expression)))


# --- the recording ---------------------------------------------------------------------------

def exchanges():
    for block in re.split(r"^(?=### )", open(GOLDEN).read(), flags=re.M)[1:]:
        head, _, rest = block.partition("\n")
        m = re.match(r"### (\S+) (\S*) ?(?:\[body (.*)\])?$", head.rstrip())
        top, _, body = rest.partition("\n\n")
        lines = top.split("\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines[1:])}
        yield m.groups(), int(lines[0].split()[1]), headers, body[:int(headers["content-length"])]


def plain(value):
    """Without indexes, and without the rows of the recording's own node."""
    if isinstance(value, list):
        return [plain(v) for v in value if not of_own_node(v)]
    if isinstance(value, dict):
        return [(k, plain(v)) for k, v in value.items() if k not in ("CreateIndex", "ModifyIndex")]
    return value


def of_own_node(row):
    node = row.get("Node") if isinstance(row, dict) else None
    return (node.get("Node") if isinstance(node, dict) else node) == "n1"


def test_the_recording_is_answered_as_consul_did():
    with herald.Server(args=["-node=n1"]) as s:
        for (method, target, sent), status, headers, body in exchanges():
            what = "%s %s" % (method, target)
            got = s.request(method, target, sent)
            assert got.status == status, (what, got)
            for name in COMPARED:
                assert name not in headers or got.headers.get(name) == headers[name], \
                    (what, name, got.headers)
            assert ("x-consul-index" in headers) == ("x-consul-index" in got.headers), what
            if headers["content-type"] != "application/json":
                assert got.text() == body, (what, got)
            elif "/services" not in target and "/n1" not in target and "/web" not in target:
                assert plain(got.json()) == plain(json.loads(body)), (what, got.text())


def test_rows_have_consuls_members_in_its_order():
    rows = {t: json.loads(b) for (_, t, _), _, h, b in exchanges()
            if h["content-type"] == "application/json"}
    with herald.Server() as s:
        register(s, "a", {"Service": "web", "Address": "1.1.1.1",
                          "TaggedAddresses": {"lan": {"Address": "x", "Port": 1}}},
                 NodeMeta={"k": "v"}, TaggedAddresses={"lan": "1"})
        for path, golden in (("/v1/catalog/service/web", "/v1/catalog/service/web"),
                             ("/v1/catalog/nodes", "/v1/catalog/nodes")):
            row = [r for r in s.get(path).json() if r["Node"] == "a"][0]
            assert list(row) == list(rows[golden][0]), (path, row)
        ours = s.get("/v1/catalog/node/a").json()["Services"]["web"]
        assert list(ours) == list(rows["/v1/catalog/node/n1"]["Services"]["web1"]), ours


# --- writing ---------------------------------------------------------------------------------

# What is sent, the status, the text: as Consul 1.8.7 answered.
REFUSED = [
    ("register", '', 400, "Request decode failed: EOF"),
    ("register", '{', 400, "Request decode failed: unexpected EOF"),
    ("register", '{bad', 400, "Request decode failed: invalid character 'b' looking for beginning "
                              "of object key string"),
    ("register", '[]', 400, "Request decode failed: json: cannot unmarshal array into Go value of "
                            "type structs.RegisterRequest"),
    ("register", 'null', 500, "Must provide node"),
    ("register", '{"Node":1}', 400, "Request decode failed: json: cannot unmarshal number into Go "
                                    "struct field RegisterRequest.Node of type string"),
    ("register", '{"Node":"x","Bogus":1}', 400, 'Request decode failed: json: unknown field '
                                                '"Bogus"'),
    ("register", '{"Node":"x"}', 500, "Must provide address if SkipNodeUpdate is not set"),
    ("register", '{"Node":"x","Address":"1","Service":{"ID":"q"}}', 500,
     "Must provide service name with ID"),
    ("register", '{"Node":"x","Address":"1","Datacenter":"zz"}', 500, "No path to datacenter"),
    ("register", '{"Node":"x","Address":"1","ID":"zz"}', 500,
     "Bad node ID: uuid string is wrong length"),
    ("register", '{"Node":"x","Address":"1","Check":{"Node":"other","Name":"c"}}', 500,
     'check node "other" does not match node "x"'),
    ("register", '{"Node":"x","Address":"1","Check":{"Name":"c","Definition":{"Interval":"zz"}}}',
     400, 'Request decode failed: time: invalid duration "zz"'),
    ("deregister", '', 400, "Request decode failed: EOF"),
    ("deregister", '{}', 500, "Must provide node"),
    ("deregister", '{"Node":"x","Datacenter":"zz"}', 500, "No path to datacenter"),
]


def test_what_is_refused_is_refused_in_consuls_words():
    with herald.Server() as s:
        for what, body, status, text in REFUSED:
            r = s.request("PUT", "/v1/catalog/" + what, body)
            assert (r.status, r.text()) == (status, text), (body, r)
        assert all(n["Node"] != "x" for n in s.get("/v1/catalog/nodes").json())


def test_a_check_of_a_service_that_is_not_there_is_refused():
    with herald.Server() as s:
        r = s.request("PUT", "/v1/catalog/register", json.dumps(
            {"Node": "x", "Address": "1", "Check": {"Name": "q", "ServiceID": "nope"}}))
        assert r.status == 500 and "Missing service registration" in r.text(), r


def test_what_is_left_out_has_consuls_defaults():
    with herald.Server() as s:
        register(s, "x", {"service": "low", "TAGS": ["a"], "enabletagoverride": True},
                 {"name": "c"})
        row = s.get("/v1/health/service/low").json()[0]
        assert row["Service"]["ID"] == "low" and row["Service"]["EnableTagOverride"] is True
        assert row["Service"]["Weights"] == {"Passing": 1, "Warning": 1}
        assert (row["Checks"][0]["CheckID"], row["Checks"][0]["Status"]) == ("c", "critical")


def test_names_compare_without_case():
    with herald.Server() as s:
        register(s, "Node1", {"Service": "Web"}, {"Name": "c", "Status": "passing"})
        for path in ("health/service/WEB", "catalog/service/web", "health/node/node1",
                     "health/checks/web"):
            rows = s.get("/v1/" + path).json()
            assert len(rows) == (0 if "checks" in path else 1), (path, rows)
        assert s.get("/v1/catalog/node/NODE1").json()["Node"]["Node"] == "Node1"


# --- reading ---------------------------------------------------------------------------------

def fleet(s):
    register(s, "a", {"Service": "web", "ID": "web1", "Tags": ["v1", "Prime"], "Port": 80,
                      "Meta": {"x": "y"}},
             {"Name": "alive", "ServiceID": "web1", "Status": "passing"}, NodeMeta={"rack": "1"})
    register(s, "b", {"Service": "web", "ID": "web2", "Tags": ["v2"], "Port": 81},
             {"Name": "alive", "ServiceID": "web2", "Status": "critical"}, NodeMeta={"rack": "2"})
    register(s, "c", {"Service": "db"}, {"Name": "disk", "Status": "warning"})


def names(rows):
    return [r["Service"]["ID"] for r in rows]


def test_parameters_choose_among_the_instances():
    with herald.Server() as s:
        fleet(s)
        for query, expected in (
                ("", ["web1", "web2"]), ("?passing", ["web1"]), ("?passing=1", ["web1"]),
                ("?passing=false", ["web1", "web2"]), ("?tag=v1", ["web1"]),
                ("?tag=V1&tag=prime", ["web1"]), ("?tag=v1&tag=v2", []),
                ("?node-meta=rack:2", ["web2"]), ("?node-meta=rack:1&passing", ["web1"]),
                ("?node-meta=zz", []), ("?near=_agent", ["web1", "web2"])):
            assert names(s.get("/v1/health/service/web" + query).json()) == expected, query
        assert s.get("/v1/catalog/services").json()["web"] == ["v1", "Prime", "v2"]
        assert list(s.get("/v1/catalog/services?node-meta=rack:2").json()) == ["web"]
        assert [c["Node"] for c in s.get("/v1/health/state/critical").json()
                if c["Node"] in "abc"] == ["b"]
        assert s.get("/v1/health/service/web?passing=zz").status == 400


# Path, expression, how many rows (of nodes a, b, c) or the error; errors as Consul 1.8.7 says them.
FILTERS = [
    ("catalog/nodes", 'Node==a', 1),
    ("catalog/nodes", '  ( Node == "a" )  ', 1),
    ("catalog/nodes", 'Node==a or Node==b and Node==c', 1),
    ("catalog/nodes", '(Node==a or Node==b) and Meta.rack==2', 1),
    ("catalog/nodes", 'Meta["rack"]==`1`', 1),
    ("catalog/nodes", '"rack" in Meta', 2),
    ("catalog/nodes", 'Meta contains rack and not Node==a', 1),
    ("catalog/nodes", 'Node matches "^[ab]$"', 2),
    ("catalog/nodes", 'Node matches "^[ab]$" and Meta.rack != 1', 1),
    ("health/service/web", 'Service.Port==80', 1),
    ("health/service/web", 'Service.Port!=80', 1),
    ("health/service/web", '"v1" in Service.Tags', 1),
    ("health/service/web", 'Service.Tags is empty', 0),
    ("health/service/web", 'Service.Tags is not empty', 2),
    ("health/service/web", 'Checks.Status==passing', 1),
    ("health/service/web", 'Checks is empty', 0),
    ("health/service/web", 'Node.Meta.rack==2 and Service.Weights.Passing==1', 1),
    ("health/service/web", 'Service.EnableTagOverride==false', 2),
    ("catalog/service/web", 'ServicePort==80', 1),
    ("catalog/service/web", 'ServiceMeta.x==y', 1),
    ("health/node/b", 'Status==critical', 1),
    ("health/node/b", 'Name==zz', 0),
    ("catalog/nodes", 'Nope==v', 'Selector "Nope" is not valid'),
    ("catalog/nodes", 'Meta.k.z==v', 'Selector "Meta.k.z" is not valid'),
    ("catalog/nodes", 'CreateIndex==1', 'Selector "CreateIndex" is not valid'),
    ("catalog/nodes", 'Meta==v', 'Invalid match operator "Equal" for selector "Meta"'),
    ("catalog/nodes", 'Node is empty', 'Invalid match operator "Is Empty" for selector "Node"'),
    ("catalog/nodes", 'Node', '1:5 (4): no match found, expected: "!=", ".", "==", "[", '
                              '[ \\t\\r\\n] or [a-zA-Z0-9_]'),
    ("catalog/nodes", 'Node==f1 OR Node==n1', '1:10 (9): no match found, expected: "and", "or", '
                                              '[ \\t\\r\\n] or EOF'),
    ("catalog/nodes", '(Node==f1', '1:10 (9): rule "grouping": Unmatched parentheses'),
    ("catalog/nodes", 'Node=="a', '1:9 (8): rule "string": Unterminated string literal'),
    ("catalog/nodes", 'Node matches "("', 'Failed to compile regular expression "(": error parsing '
                                          'regexp: missing closing ): `(`'),
    ("health/service/web", 'Service.Port==x', 'Failed to coerce value "x" for selector '
     '"Service.Port": strconv.ParseInt: parsing "x": invalid syntax'),
    ("health/service/web", 'Service.Nope==1', 'Selector "Service.Nope" is not valid'),
]


def row_node(row):
    return row["Node"]["Node"] if isinstance(row["Node"], dict) else row["Node"]


def test_filters_choose_rows_and_bad_ones_say_why():
    with herald.Server() as s:
        fleet(s)
        for path, expression, expected in FILTERS:
            r = filtered(s, "/v1/" + path, expression)
            if isinstance(expected, str):
                said = "Failed to create boolean expression evaluator: " + expected
                assert (r.status, r.text()) == (500, said), (expression, r)
                assert r.index() == 1
            else:
                assert r.status == 200, (expression, r)
                found = [x for x in r.json() if row_node(x) in "abc"]
                assert len(found) == expected, (expression, found)
        services = filtered(s, "/v1/catalog/node/a", "Port==81").json()
        assert services["Node"]["Node"] == "a" and services["Services"] == {}


def test_headers_say_how_fresh_and_consistent_an_answer_is():
    with herald.Server() as s:
        fleet(s)
        for query, expected in (("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")):
            r = s.get("/v1/health/service/web" + query)
            assert r.headers["x-consul-effective-consistency"] == expected, r.headers
        r = s.get("/v1/health/service/web?cached")
        assert (r.headers["x-cache"], r.headers["age"]) == ("HIT", "0"), r.headers
        assert s.get("/v1/health/service/web?cached&consistent").status == 400
        assert s.get("/v1/catalog/nodes?dc=zz").text() == "No path to datacenter"


def test_the_ui_sees_nodes_and_sums_of_services():
    with herald.Server() as s:
        fleet(s)
        web = [x for x in s.get("/v1/internal/ui/services").json() if x["Name"] == "web"][0]
        assert (web["Nodes"], web["InstanceCount"]) == (["a", "b"], 2), web
        assert (web["ChecksPassing"], web["ChecksCritical"]) == (1, 1), web
        assert web["Tags"] == ["Prime", "v1", "v2"]
        node = s.get("/v1/internal/ui/node/a").json()
        assert [x["ID"] for x in node["Services"]] == ["web1"] and len(node["Checks"]) == 1
        assert s.get("/v1/internal/ui/node/nope").status == 404
        assert "a" in [n["Node"] for n in s.get("/v1/internal/ui/nodes").json()]


# --- waiting ---------------------------------------------------------------------------------

class Watcher:
    """A blocking query that is parked: what it is answered must show the state behind `done`."""

    def __init__(self, s, path):
        self.c = s.connect(timeout=30)
        index = self.c.request("GET", path).index()
        mark = "&" if "?" in path else "?"
        self.c.send_request("GET", "%s%sindex=%d&wait=60s" % (path, mark, index))
        self.path = path

    def answer(self):
        r = self.c.read_response()
        self.c.close()
        return r

    def asleep(self):
        assert not self.c.readable(0), "%s was woken: %r" % (self.path, self.c.read_response())


def past(s):
    """Every front has seen all writes so far: it has answered for a marker written behind them."""
    past.count += 1
    key = "/v1/kv/marker-%d" % past.count
    waiting = [s.connect(timeout=30) for _ in range(16)]
    for c in waiting:
        c.send_request("GET", key + "?index=1&wait=30s")
    s.request("PUT", key, "x")
    for c in waiting:
        assert c.read_response().status == 200
        c.close()


past.count = 0


def web(s, **more):
    register(s, "a", dict({"Service": "web", "ID": "web1", "Port": 80}, **more))


def test_who_is_woken_by_what():
    """The catalog's rows of the wake-up matrix: what must not wake, then what must."""
    other = lambda s: register(s, "a", {"Service": "other", "Port": 1})  # noqa: E731
    kv = lambda s: s.request("PUT", "/v1/kv/x", "1")  # noqa: E731
    port = lambda s: web(s, Port=81)  # noqa: E731
    check = lambda s: register(s, "a", None, {  # noqa: E731
        "Name": "c", "ServiceID": "web1", "Status": "warning"})
    node = lambda s: register(s, "a", None, None, NodeMeta={"new": "1"})  # noqa: E731
    gone = lambda s: deregister(s, Node="a", ServiceID="web1")  # noqa: E731
    lost = lambda s: deregister(s, Node="a")  # noqa: E731
    there = lambda s: register(s, "z", {"Service": "missing"})  # noqa: E731
    matrix = [
        ("health/service/web", [other, kv, web], port),
        ("health/service/web", [other, web], check),
        ("health/service/web", [kv], node),
        ("health/service/web", [other], gone),
        ("health/service/web", [other], lost),
        ("health/service/web?passing", [other, web], port),
        ("catalog/service/web", [other, web], port),
        ("health/checks/web", [other, web], check),
        ("health/service/missing", [other, port, check, gone], there),
        ("catalog/service/missing", [other, gone], there),
        ("catalog/services", [kv, web, node], port),
        ("catalog/services", [kv], gone),
        ("catalog/nodes", [other, port, check, kv], node),
        ("catalog/nodes", [other], lost),
        ("health/state/any", [other, port, kv], check),
        ("health/node/a", [kv], check),
        ("catalog/node/a", [kv], port),
        ("catalog/node/a", [kv], lost),
        ("catalog/node/z", [other, kv], there),
    ]
    with herald.Server() as s:
        for path, quiet, loud in matrix:
            deregister(s, Node="a")
            deregister(s, Node="z")
            web(s)
            w = Watcher(s, "/v1/" + path)
            for write in quiet:
                write(s)
                past(s)
                w.asleep()
            before = w.c
            loud(s)
            r = w.answer()
            assert before is w.c and r.status == 200, (path, r)
            assert r.body == s.get("/v1/" + path).body, (path, r)


def test_a_query_waits_across_deregistration_and_return():
    with herald.Server() as s:
        web(s)
        w = Watcher(s, "/v1/health/service/web")
        deregister(s, Node="a", ServiceID="web1")
        r = w.answer()
        assert r.json() == []
        gone = r.index()
        w = Watcher(s, "/v1/health/service/web")
        past(s)
        w.asleep()
        web(s, Port=99)
        r = w.answer()
        assert r.json()[0]["Service"]["Port"] == 99 and r.index() > gone


def test_a_wait_that_ends_answers_what_there_is():
    with herald.Server() as s:
        web(s)
        index = s.get("/v1/health/service/web").index()
        r = s.get("/v1/health/service/web?index=%d&wait=100ms" % index)
        assert (r.status, r.index(), len(r.json())) == (200, index, 1)
        assert s.get("/v1/catalog/nodes?index=zz").text() == "Invalid index"


def test_many_instances_are_one_answer():
    with herald.Server() as s:
        with s.connect(timeout=60) as c:
            for i in range(300):
                r = c.request("PUT", "/v1/catalog/register", json.dumps(
                    {"Node": "n%03d" % i, "Address": "1", "Service": {"Service": "many", "Port": i},
                     "Check": {"Name": "c", "ServiceID": "many", "Status": "passing"}}))
                assert r.status == 200, r
            rows = c.request("GET", "/v1/health/service/many?passing").json()
        assert [r["Service"]["Port"] for r in rows] == list(range(300))


if __name__ == "__main__":
    herald.main([f for n, f in list(globals().items()) if n.startswith("test_")])
