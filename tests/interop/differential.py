#!/usr/bin/env python3
"""The same requests to Debian's real consul (1.8.7) and to Herald, one after the other: status,
headers and bodies must be the same, but for what is listed in DIFFERENCES, each with its reason.

What cannot be the same is made equal first: indexes, random ids, the order of a service's tags (1.8.7
has none). Rows of the server's own node are passed over: it runs other software.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import herald  # noqa: E402

# Header fields that must have the same value, and those that must both be there or not.
SAME = ["content-type", "vary", "allow", "x-consul-lastcontact", "x-consul-knownleader",
        "x-consul-effective-consistency", "x-consul-translate-addresses",
        "x-content-type-options", "content-security-policy"]
PRESENT = ["x-consul-index"]

# Method and path (a pattern for the whole of it), part, reason.
DIFFERENCES = [
    (r"GET .*filter=.*", "x-consul-knownleader",
     "a refused filter: Consul says that there is no leader, which is not so"),
    (r"GET .*(session/info|session/node)/(bogus|x).*", "x-consul-knownleader",
     "the same for a refused session id"),
    (r".*", "x-content-type-options", "Herald forbids sniffing on every answer"),
    (r".*", "content-security-policy", "Herald sandboxes every answer it did not write itself"),
    (r"GET /v1/(nope|kv2/a|)", "body|content-type",
     "newer Consul says what is wrong with the path; 1.8.7 says nothing"),
    (r"GET /v1/catalog/nodes\?filter=Meta.zz.*matches.*", "body",
     "what is not there matches nothing (1.8.7: everything)"),
    (r"GET /v1/catalog/services\?filter=.*", "all",
     "filters of services as in newer Consul; 1.8.7 does not look at them"),
    (r"GET /v1/internal/ui/.*", "null", "empty tags are [], as everywhere else"),
    (r"GET /v1/catalog/node-services/.*", "null", "no services are [], not null"),
    (r"GET /v1/session/info/bogus", "x-consul-.*", "a refused id has no index"),
    (r"PUT /v1/kv/lock-(first|second)\?acquire={id} gone", "all",
     "a session that is gone is said to be, also where the key's lock is delayed"),
    (r"PUT /v1/session/create \[\]", "body", "the type has a name; in 1.8.7 it is a decoder's"),
    (r"PUT /v1/txn \[({\"KV\":[^}]*}}(, )?){65}\]", "all",
     "more operations than 64 are taken, as newer Consul does"),
    (r"PUT /v1/agent/service/register {\"Name\":1}", "body", "a wrong type, in other words"),
    (r"GET /v1/event/list", "x-consul-.*", "the headers of every other read that can wait"),
    (r"GET /v1/coordinate/node/zz", "x-consul-.*", "what can be waited for has an index"),
    (r"PUT /v1/txn ({}|\[{\"KV\":{\"Value\":1}}\])", "body",
     "what is no transaction, in other words"),
    (r"PUT /v1/catalog/register .*\"Status\":\"zz\".*", "all",
     "a status is passing, warning or critical; 1.8.7 keeps any word"),
    (r"PUT /v1/catalog/register .*\"(Port|Passing)\":(-1|99999).*", "all",
     "a port or a weight is between 0 and 65535; 1.8.7 keeps any number"),
    (r"PUT /v1/catalog/register .*\"(Service|Check)\":\{\}.*", "body",
     "a row without a name: refused before it is written, in clearer words"),
    (r"GET /v1/health/service/.*\?.*cached.*", "cache", "there is no cache that could be stale"),
    (r"GET /v1/(catalog|health)/connect/w2", "body", "there is no mesh, so nothing is part of it"),
    (r"GET /v1/(catalog|health)/.*dc=zz", "x-consul-.*",
     "an error about another datacenter has no index of this one"),
    (r"GET /v1/internal/ui/node/nope", "x-consul-.*", "what can be waited for has an index"),
    (r"PUT /v1/catalog/deregister (\[\]|1|\"x\"|{\"Node\":1})", "body",
     "the type has a name; in 1.8.7 it is the inside of a decoder"),
    (r"GET /v1/status/.*", "body", "addresses are the server's own"),
    (r"GET /v1/agent/(self|members).*", "body", "other software runs there"),
]


def kv():
    yield "PUT", "/v1/kv/a", "1"
    for path in ("a", "a?raw", "a?pretty", "a?keys", "?keys", "?recurse", "a?recurse", "nope",
                 "nope?raw", "nope?recurse", "nope?keys", "", "a?index=zz", "a?wait=zz", "a?dc=zz",
                 "a?stale", "a?consistent", "a?stale&consistent", "a?cached&consistent",
                 "a?max_stale=zz", "a?index=0", "a?separator=/"):
        yield "GET", "/v1/kv/" + path, None
    for path, body in (("a?flags=42", "2"), ("a?flags=xx", "2"), ("a?cas=0", "3"), ("b?cas=0", "3"),
                       ("b?cas=zz", "3"), ("a?cas=0&acquire=x", "1"), ("", "1"), ("d/e/f", ""),
                       ("d/e/g", "\u00e4"), ("d/h", "x" * 100), ("a?acquire=", "1"),
                       ("a?acquire=bogus", "1"), ("a?release=bogus", "1"),
                       ("a?acquire=00000000-0000-0000-0000-000000000000", "1"),
                       ("big", "x" * 524289), ("fits", "x" * 524288)):
        yield "PUT", "/v1/kv/" + path, body
    for path in ("d/?keys", "d/?keys&separator=/", "d/?recurse", "d/e/f", "d/e/g", "d/e/g?raw",
                 "?keys&separator=/", "d?keys&separator=/"):
        yield "GET", "/v1/kv/" + path, None
    for path in ("fits", "b?cas=0", "b?cas=1", "d/?recurse&cas=1", "d/e?recurse", "nope", "", "a"):
        yield "DELETE", "/v1/kv/" + path, None
    for method in ("POST", "HEAD", "PATCH", "OPTIONS"):
        yield method, "/v1/kv/a", None


def catalog_writes():
    register = [
        {"Node": "e1", "Address": "1.1.1.1"},
        {"Node": "e2", "Address": "2.2.2.2", "NodeMeta": {"k": "v", "rack": "1"},
         "TaggedAddresses": {"lan": "9.9.9.9"},
         "Service": {"Service": "web", "ID": "web1", "Tags": ["v1", "Prime"], "Port": 80,
                     "Meta": {"x": "y"}, "TaggedAddresses": {"lan": {"Address": "q", "Port": 7}}},
         "Check": {"Name": "alive", "Status": "passing", "ServiceID": "web1", "Notes": "some"}},
        {"Node": "e3", "Address": "3.3.3.3", "Service": {"Service": "web", "ID": "web2"},
         "Checks": [{"Name": "alive", "Status": "critical", "ServiceID": "web2"},
                    {"Name": "disk", "Status": "warning"}]},
        {"Node": "e3", "Address": "3.3.3.3",
         "Check": {"Name": "http", "Definition": {"HTTP": "http://x", "Interval": "5s",
                                                  "Timeout": 1000000000, "TLSSkipVerify": True,
                                                  "Header": {"b": ["1"], "a": ["2", "3"]},
                                                  "Method": "PUT", "Body": "b"}}},
        {"Node": "e3", "Address": "3.3.3.3",
         "Check": {"CheckID": "ttl", "Name": "t", "Definition": {"TTL": "90m"}}},
        {"Node": "e4", "Address": "4.4.4.4", "Service": {
            "Service": "w2", "Kind": "typical", "Weights": {"Passing": 3}, "Address": "5.5.5.5",
            "EnableTagOverride": True, "Connect": {"Native": True},
            "Proxy": {"Config": {"a": 1}}}},
        {"Node": "e4", "SkipNodeUpdate": True, "Service": {"Service": "w3"}},
        {"Node": "x", "SkipNodeUpdate": False}, {"Address": "1"}, {},
        {"Node": "x", "Address": "1", "Service": {"ID": "q"}},
        {"Node": "x", "Address": "1", "Datacenter": "zz"},
        {"Node": "x", "Address": "1", "ID": "zz"},
        {"Node": "x", "Address": "1", "Check": {"Node": "other", "Name": "c"}},
        {"Node": "x", "Address": "1", "Check": {"Name": "c", "Definition": {"Interval": "zz"}}},
        {"Node": "e1", "Address": "1.1.1.1", "Check": {"Name": "q", "ServiceID": "nope"}},
        {"Node": "dirty", "Address": "1.1.1.1", "Check": {"Name": "c", "Status": "zz"}},
        {"Node": "e1", "Address": "1.1.1.1", "Check": {}},
        {"Node": "e1", "Address": "1.1.1.1", "Service": {}},
        {"Node": "dirty", "Address": "1.1.1.1", "Service": {"Service": "p", "Port": -1}},
        {"Node": "e1", "Address": "1.1.1.1", "Service": {"Service": "p", "Port": "80"}},
        {"Node": "e1", "Address": "1.1.1.1", "Service": {"Service": "p", "Port": 1.5}},
        {"Node": "e1", "Bogus": 1}, {"Node": 1}, {"Node": "x", "NodeMeta": {"a": 1}},
        {"Node": "x", "Service": {"Tags": "x"}}, {"Node": "x", "Service": 1},
        {"Node": "x", "node_meta": {}},
    ]
    for body in register:
        yield "PUT", "/v1/catalog/register", json.dumps(body)
    for body in ("", " ", "{", "{bad", "[]", "null", '{"Node":"x"', '{"a" 1}', '{"Node":tru}',
                 "[1 2]", '{"Node":"x",}', '"x"', "1"):
        yield "PUT", "/v1/catalog/register", body
        yield "PUT", "/v1/catalog/deregister", body
    # What 1.8.7 kept of what we refuse.
    yield "PUT", "/v1/catalog/deregister", json.dumps({"Node": "dirty"})
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        yield method, "/v1/catalog/register", None


NODE_FILTERS = [
    'Node==e1', 'Node == "e1"', '  ( Node == e1 )  ', 'not Node==e1', 'Meta.k==v', 'Meta["k"]==v',
    'Meta[`k`]==v', 'Meta.k != v and Node!=n1', 'Meta.zz != v', 'Meta.zz == v', 'Meta.zz is empty',
    'Meta.zz not matches x', 'Meta is empty', 'Meta is not empty', 'k in Meta', '"k" not in Meta',
    'Meta contains k', 'Node contains e', 'e in Node', 'Node in e1', 'Node matches "^e"',
    'Node not matches "^e"', 'Node matches "("', 'Node is empty', 'TaggedAddresses.lan=="9.9.9.9"',
    'Node==e1 or Node==n1', 'Node==e1 OR Node==n1', 'Node==1', 'CreateIndex==1', 'CreateIndex > 3',
    'node==e1', 'Node', 'Node==', '==x', '(Node==e1', 'Node==e1)', 'Node==e1 Node==n1',
    'Meta.k.z==v', 'Node.x==v', 'Meta==v', 'Node==-1', 'Node==1.5', 'Node=="a',
    'not (Node==e1 or Node==n1)', 'Node==e1 and not ID!=""', 'Datacenter==dc1 and Node==e1',
    'Address matches `^1`', 'Meta.k contains v', '"v" in Meta.k', 'ID==""',
    'Node matches "a**"', 'Node matches "[a"',
]
INSTANCE_FILTERS = [
    'Service.Port==80', 'Service.Port==x', 'Service.Port!=80', 'Service.Tags contains v1',
    'v1 in Service.Tags', 'Service.Tags==a', 'Service.Tags is empty', 'Node.Meta.k==v',
    'Checks is empty', 'Checks.Status==passing', 'Checks.Status!=passing', 'Service.Meta.x==y',
    'Service.EnableTagOverride==false', 'Service.EnableTagOverride==zz',
    'Service.Weights.Passing==1', 'Service.TaggedAddresses.lan.Address==q',
    'Service.TaggedAddresses.lan.Port==7', 'Service.TaggedAddresses.zz.Port==7',
    'Service.TaggedAddresses is not empty', 'Service.Proxy.Mode==x',
    'Service.Connect.Native==false', 'Service.Nope==1', 'Service==x', 'Service.Tags matches a',
    'Service.Proxy.Upstreams is empty', 'Service.TaggedAddresses["lan"].Address==q',
]
CHECK_FILTERS = ['Status==critical', 'Name==alive', 'CheckID==alive', 'ServiceTags contains v1',
                 'Definition.HTTP==""', 'Notes matches "so"', 'ServiceName==web', 'Type==http']


def quoted(expression):
    return urllib.parse.quote(expression)


def reads():
    names = ["e1", "e2", "e3", "e4", "nope", "E2", ""]
    services = ["web", "w2", "w3", "nope", "WEB", ""]
    queries = ["", "?passing", "?passing=false", "?passing=zz", "?tag=v1", "?tag=V1&tag=prime",
               "?tag=zz", "?node-meta=k:v", "?node-meta=zz", "?near=_agent", "?near=nope", "?pretty",
               "?stale", "?consistent", "?dc=zz", "?index=zz", "?wait=zz"]
    for name in names:
        for path in ("catalog/node/", "catalog/node-services/", "health/node/",
                     "internal/ui/node/"):
            yield "GET", "/v1/%s%s" % (path, name), None
    for service in services:
        for path in ("catalog/service/", "health/service/", "health/checks/", "catalog/connect/",
                     "health/connect/"):
            yield "GET", "/v1/%s%s" % (path, service), None
    for query in queries:
        for path in ("catalog/service/web", "health/service/web", "catalog/nodes",
                     "health/state/any", "catalog/services", "health/checks/web"):
            yield "GET", "/v1/%s%s" % (path, query), None
    for state in ("any", "passing", "warning", "critical", "bogus", ""):
        yield "GET", "/v1/health/state/" + state, None
    for expression in NODE_FILTERS:
        yield "GET", "/v1/catalog/nodes?filter=" + quoted(expression), None
    for expression in INSTANCE_FILTERS:
        yield "GET", "/v1/health/service/web?filter=" + quoted(expression), None
    for expression in CHECK_FILTERS:
        yield "GET", "/v1/health/node/e3?filter=" + quoted(expression), None
        yield "GET", "/v1/health/state/any?filter=" + quoted(expression), None
    for expression in ('ServicePort==80', 'NodeMeta.k==v', 'Meta.x==1', 'ServiceName==web'):
        yield "GET", "/v1/catalog/service/web?filter=" + quoted(expression), None
    for expression in ('Service==web', 'Port==80', 'Node==e2', 'v1 in Tags'):
        yield "GET", "/v1/catalog/node/e2?filter=" + quoted(expression), None
    for path in ("internal/ui/services", "internal/ui/nodes", "catalog/datacenters"):
        yield "GET", "/v1/" + path, None


def catalog_ends():
    for body in ({"Node": "e2", "ServiceID": "web1"}, {"Node": "e3", "CheckID": "disk"},
                 {"Node": "nope"}, {"Node": "e1", "ServiceID": "nope"},
                 {"Node": "e1", "CheckID": "nope"}, {"Node": "e1", "Bogus": 1}, {"Node": 1},
                 {"Node": "e1", "Datacenter": "zz"}):
        yield "PUT", "/v1/catalog/deregister", json.dumps(body)
    for path in ("health/service/web", "health/node/e2", "health/node/e3", "catalog/node/e2"):
        yield "GET", "/v1/" + path, None
    for node in ("e1", "e2", "e3", "e4"):
        yield "PUT", "/v1/catalog/deregister", json.dumps({"Node": node})
    for path in ("catalog/services", "health/service/web", "catalog/node/e1"):
        yield "GET", "/v1/" + path, None


def sessions():
    nobody = "00000000-0000-0000-0000-000000000000"
    for body in ('{"TTL":"5s"}', '{"TTL":"zz"}', '{"Behavior":"zz"}', '{"Checks":["nope"]}',
                 '{bad', '{"Node":"nope"}', '{"Bogus":1}', '[]'):
        yield "PUT", "/v1/session/create", body
    for path in ("info/" + nobody, "info/bogus", "info/", "node/nope", "node/"):
        yield "GET", "/v1/session/" + path, None
    for path in ("renew/" + nobody, "renew/", "destroy/" + nobody, "destroy/bogus", "destroy/"):
        yield "PUT", "/v1/session/" + path, None


def locks():
    """`{id}` is the last session that each server made."""
    yield "PUT", "/v1/catalog/register", json.dumps({"Node": "e9", "Address": "9.9.9.9"})
    new = {"Node": "e9", "Checks": [], "NodeChecks": []}
    for more in ({"Name": "first", "TTL": "20s", "Behavior": "delete"}, {"Name": "second"}):
        # Keys of its own: those of the first are delayed when it goes.
        key = "/v1/kv/lock-" + more["Name"]
        yield "PUT", "/v1/session/create", json.dumps(dict(new, **more))
        yield "GET", "/v1/session/info/{id}", None
        yield "PUT", "/v1/session/renew/{id}", None
        yield "GET", "/v1/session/node/e9", None
        yield "PUT", key + "?acquire={id}&flags=7", "me"
        yield "GET", key, None
        yield "PUT", key + "?acquire={id}", "me again"
        yield "PUT", key, "plain"
        yield "GET", key, None
        yield "PUT", "/v1/txn", json.dumps([
            {"KV": {"Verb": "check-session", "Key": key[7:], "Session": "{id}"}},
            {"KV": {"Verb": "lock", "Key": key[7:] + "-2", "Value": "YQ==", "Session": "{id}"}}])
        yield "GET", key + "-2", None
        yield "PUT", key + "?release={id}", "done"
        yield "GET", key, None
        yield "PUT", key + "?acquire={id}", "last"
        yield "PUT", "/v1/session/destroy/{id}", None
        yield "GET", key, None
        yield "GET", key + "-2", None
        yield "GET", "/v1/session/info/{id}", None
        yield "PUT", key + "?acquire={id}", "gone"
    yield "PUT", "/v1/catalog/deregister", json.dumps({"Node": "e9"})


def transactions():
    def op(**kv):
        return {"KV": kv}

    ops = [
        [], [op(Verb="set", Key="t/a", Value="YQ==")], [op(Verb="get", Key="t/a")],
        [op(Verb="get", Key="t/nope")], [op(Verb="get-tree", Key="t/")],
        [op(Verb="cas", Key="t/a", Value="eA==", Index=1)],
        [op(Verb="check-index", Key="t/a", Index=1)], [op(Verb="check-not-exists", Key="t/a")],
        [op(Verb="check-not-exists", Key="t/zz")], [op(Verb="zz", Key="t/a")],
        [op(Verb="lock", Key="t/a", Session="00000000-0000-0000-0000-000000000000")],
        [op(Verb="unlock", Key="t/a", Session="00000000-0000-0000-0000-000000000000")],
        [op(Verb="set", Key="t/b", Value="YQ=="), op(Verb="get", Key="t/nope")],
        [op(Verb="get", Key="t/b")], [op(Verb="delete", Key="t/nope")],
        [op(Verb="delete-tree", Key="t/")], [op(Verb="delete-cas", Key="t/a", Index=1)],
        [op(Verb="set", Key="t/a", Value="YQ==")] * 65,
        [{"Node": {"Verb": "get", "Node": {"Node": "nope"}}}],
        [{"Service": {"Verb": "get", "Node": "nope", "Service": {"ID": "x"}}}],
        [{"Check": {"Verb": "get", "Check": {"Node": "nope", "CheckID": "x"}}}],
    ]
    for body in ops:
        yield "PUT", "/v1/txn", json.dumps(body)
    for body in ("", "{", "{}", '[{"KV":{"Value":1}}]'):
        yield "PUT", "/v1/txn", body


def agent():
    for body in ('{"Name":""}', '{bad', '', '{"Name":"x","Check":{"HTTP":"http://x"}}',
                 '{"Name":"x","Check":{"Status":"bogus","TTL":"3s"}}',
                 '{"Name":"x","Address":"0.0.0.0"}', '{"Name":"x","bogus":1}', '{"Name":1}',
                 '{"Name":"ag","Tags":["a"],"Port":8,"Check":{"TTL":"1h","Status":"passing"}}'):
        yield "PUT", "/v1/agent/service/register", body
    for path in ("services", "service/ag", "service/nope", "health/service/id/ag",
                 "health/service/name/ag", "health/service/name/nope", "health/service/id/nope",
                 'services?filter=Service=="ag"', "services?filter=bad",
                 "health/service/name/ag?format=text"):
        yield "GET", "/v1/agent/" + path, None
    for path in ("check/pass/service:ag", "check/warn/service:ag?note=hey", "check/pass/nope",
                 "check/fail/service:ag", "service/maintenance/ag",
                 "service/maintenance/ag?enable=zz", "service/maintenance/nope?enable=true",
                 "maintenance", "force-leave/nope"):
        yield "PUT", "/v1/agent/" + path, None
    for body in ('{"Status":"passing","Output":"ok"}', '{"Status":"bogus"}', '{bad'):
        yield "PUT", "/v1/agent/check/update/service:ag", body
    for body in ('{"Name":""}', '{"Name":"mem","TTL":"15m"}',
                 '{"Name":"z","ServiceID":"nope","TTL":"5s"}', '{bad', '{"Name":"q","bogus":1}'):
        yield "PUT", "/v1/agent/check/register", body
    for path in ("check/deregister/mem", "service/deregister/ag"):
        yield "PUT", "/v1/agent/" + path, None


def rest():
    for path in ("status/leader", "status/peers", "event/list", "coordinate/node/zz"):
        yield "GET", "/v1/" + path, None
    for path in ("nope", "kv2/a", ""):
        yield "GET", "/v1/" + path, None
    yield "PUT", "/v1/event/fire/", ""
    yield "PUT", "/v1/event/fire/x?tag=a", ""
    for path in ("catalog/nodes", "health/service/web", "session/list", "txn", "status/leader",
                 "agent/services", "event/list"):
        for method in ("POST", "OPTIONS"):
            yield method, "/v1/" + path, None


# --- two servers -----------------------------------------------------------------------------

class Consul:
    """Debian's, a server of its own."""

    def __init__(self):
        self.program = shutil.which("consul")
        if self.program is None:
            raise herald.Skip("no consul program: the mirror has no Debian 11")
        self.dir = tempfile.mkdtemp(prefix="consul-test-")
        ports = {name: herald.free_port() for name in ("http", "server", "serf_lan", "serf_wan")}
        ports.update(dns=-1, grpc=-1)
        config = os.path.join(self.dir, "c.json")
        with open(config, "w") as f:
            json.dump({"ports": ports, "limits": {"http_max_conns_per_client": 1000}}, f)
        self.port = ports["http"]
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [self.program, "agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-node=n1",
                 "-data-dir=" + os.path.join(self.dir, "data"), "-config-file=" + config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        herald.eventually(self.ready, "consul is ready", 60)

    def ready(self):
        try:
            return self.request("GET", "/v1/catalog/service/consul").json() != []
        except (OSError, EOFError, ValueError):
            return False

    def request(self, method, path, body=None):
        with herald.Connection(self.port, timeout=20) as c:
            c.send_request(method, path, body, {"Connection": "close"})
            return c.read_response(method)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def plain_text(text):
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "uuid", text)
    return re.sub(r"modify index [0-9]+", "modify index", text)


def equalised(value):
    """Without what cannot be the same."""
    if isinstance(value, list):
        if value and all(isinstance(v, str) for v in value):
            return sorted(equalised(v) for v in value)
        return [equalised(v) for v in value if not is_own(v)]
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if not is_own(v)}
        if "EnableTagOverride" in value:
            value.pop("Datacenter", None)  # newer Consul says it of a service
        return {k: "index" if k.endswith("Index") and k != "OpIndex" else equalised(v)
                for k, v in value.items() if k not in ("consul", "Date", "ContentHash")}
    if isinstance(value, str):
        return plain_text(value)
    return value


def is_own(row):
    if not isinstance(row, dict):
        return False
    node = row.get("Node")
    name = node.get("Node") if isinstance(node, dict) else node
    return name == "n1" or row.get("Name") == "consul"


def body_of(r):
    if r.headers.get("content-type") == "application/json" and r.body:
        try:
            return equalised(r.json())
        except ValueError:
            pass
    return plain_text(r.text()).strip()


def with_nulls_empty(value):
    return json.loads(json.dumps(value).replace("null", "[]"))


def compare(theirs, ours):
    """The parts that differ, with what they are."""
    found = {}
    if theirs.status != ours.status:
        found["status"] = (theirs.status, ours.status)
    for name in SAME:
        if theirs.headers.get(name) != ours.headers.get(name):
            found[name] = (theirs.headers.get(name), ours.headers.get(name))
    for name in PRESENT:
        if (name in theirs.headers) != (name in ours.headers):
            found[name] = (theirs.headers.get(name), ours.headers.get(name))
    if body_of(theirs) != body_of(ours):
        found["body"] = (theirs.text()[:400], ours.text()[:400])
        if body_of(theirs) not in ("", None) and isinstance(body_of(theirs), (list, dict)) and \
                with_nulls_empty(body_of(theirs)) == with_nulls_empty(body_of(ours)):
            found["null"] = found.pop("body")
    return found


def meant(request, part):
    return any(re.fullmatch(pattern, request) and (which == "all" or re.fullmatch(which, part))
               for pattern, which, _ in DIFFERENCES)


def named(path, body, session):
    return path.replace("{id}", session), body and body.replace("{id}", session)


def run(requests):
    consul = Consul()
    wrong = []
    count = 0
    ids = ["", ""]
    try:
        with herald.Server(args=["-node=n1"]) as s:
            for method, path, body in requests:
                theirs = consul.request(method, *named(path, body, ids[0]))
                with s.connect(timeout=20) as c:
                    c.send_request(method, *named(path, body, ids[1]), {"Connection": "close"})
                    ours = c.read_response(method)
                if path == "/v1/session/create" and theirs.status == ours.status == 200:
                    ids = [theirs.json()["ID"], ours.json()["ID"]]
                count += 1
                request = "%s %s%s" % (method, path, " " + body if body else "")
                for part, (a, b) in compare(theirs, ours).items():
                    if not meant(request.replace(": ", ":"), part) and \
                            not meant("%s %s" % (method, path), part):
                        wrong.append("%s: %s\n#     consul %s\n#     herald %s"
                                     % (request[:400], part, a, b))
    finally:
        consul.close()
    print("# %d requests" % count)
    for line in wrong:
        print("# " + line)
    assert not wrong, "%d differences that are not meant" % len(wrong)


def test_kv_is_the_same():
    run(kv())


def test_catalog_and_health_are_the_same():
    run([r for part in (catalog_writes, reads, catalog_ends) for r in part()])


def test_sessions_and_transactions_are_the_same():
    run([r for part in (sessions, locks, transactions) for r in part()])


def test_the_agent_is_the_same():
    run(agent())


def test_the_rest_is_the_same():
    run(rest())


def members(value):
    """The names of members in their order, all the way down; but for the meta and the tags that each
    server gives itself."""
    if isinstance(value, list):
        return [members(v) for v in value]
    if isinstance(value, dict):
        return [(k, None if k.endswith(("Meta", "Tags")) else members(v)) for k, v in value.items()]
    return type(value).__name__


def test_rows_of_the_servers_themselves_have_the_same_members():
    consul = Consul()
    try:
        with herald.Server(args=["-node=n1"]) as s:
            # Each writes its node first, and its addresses when it comes to them.
            for get in (s.get, lambda path: consul.request("GET", path)):
                herald.eventually(lambda: any(
                    r["TaggedAddresses"] for r in get("/v1/catalog/service/consul").json()),
                    "the server is in its own catalog", 30)
            for path in ("catalog/nodes", "catalog/service/consul", "catalog/node/n1",
                         "health/service/consul", "health/node/n1", "catalog/node-services/n1",
                         "health/state/any", "internal/ui/services", "agent/members"):
                theirs = members(consul.request("GET", "/v1/" + path).json())
                ours = members(s.get("/v1/" + path).json())
                assert theirs == ours, (path, theirs, ours)
    finally:
        consul.close()


if __name__ == "__main__":
    herald.main([f for n, f in list(globals().items()) if n.startswith("test_")])
