#!/usr/bin/env python3
"""Who may what, over sockets: every route of the table decides; every form of a read or a write
against every kind of token, judged by a plain reading of the rules; streams and revocation."""
import base64
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

ROOT = {"X-Consul-Token": "root"}
# What no answer to a stranger may contain.
MARK = "sekrit"
CONFIG = {"acl": {"enabled": True, "default_policy": "deny",
                  "tokens": {"initial_management": "root"}}, "primary_datacenter": "dc1"}


def server(**acl):
    config = json.loads(json.dumps(CONFIG))
    config["acl"].update(acl)
    s = herald.Server(config=config)
    herald.eventually(lambda: s.get("/v1/acl/token/self", headers=ROOT).status == 200,
                      "the management token is there")
    return s


def routes():
    """The table itself: path, whether it is a prefix, methods, class."""
    with open(os.path.join(herald.ROOT, "core", "front", "route.tbl.h")) as f:
        text = " ".join(f.read().split())
    found = re.findall(r'X\("([^"]+)", (ROUTE_\w+), ([A-Z_| ]+), ROUTE_ACL_(\w+), ROUTE_\w+, \w+\)',
                       text)
    assert len(found) == text.count('X("'), "a route of the table was not understood"
    return [(path, match == "ROUTE_PREFIX", [m.strip()[7:] for m in methods.split("|")], right)
            for path, match, methods, right in found]


def fill(s):
    """Something of each kind, all with MARK in it; their ids."""
    ids = {}
    assert s.put("/v1/kv/%s/a" % MARK, b"%s value" % MARK.encode(), headers=ROOT).json() is True
    body = {"Node": MARK, "Address": "10.0.0.1", "Service": {"ID": MARK, "Service": MARK},
            "Checks": [{"CheckID": MARK, "Name": MARK, "Status": "passing"}]}
    r = s.put("/v1/catalog/register", json.dumps(body).encode(), headers=ROOT)
    assert r.status == 200, r
    r = s.put("/v1/session/create", json.dumps({"Node": MARK, "Name": MARK,
                                                "Checks": []}).encode(), headers=ROOT)
    assert r.status == 200, r
    ids["session"] = r.json()["ID"]
    assert s.put("/v1/event/fire/" + MARK, b"x", headers=ROOT).status == 200
    r = s.put("/v1/agent/service/register", json.dumps({
        "Name": MARK, "Check": {"CheckID": MARK, "Name": MARK, "TTL": "1h",
                                "Status": "passing"}}).encode(), headers=ROOT)
    assert r.status == 200, r
    r = s.put("/v1/acl/policy", json.dumps({"Name": MARK}).encode(), headers=ROOT)
    ids["policy"] = r.json()["ID"]
    r = s.put("/v1/acl/token", json.dumps({"Description": MARK}).encode(), headers=ROOT)
    ids["token"], ids["secret"] = r.json()["AccessorID"], r.json()["SecretID"]
    r = s.put("/v1/acl/role", json.dumps({"Name": MARK}).encode(), headers=ROOT)
    ids["role"] = r.json()["ID"]
    return ids


def rest_of(path, ids):
    for word in ("session", "policy", "token", "role"):
        if "/%s/" % word in path and "name" not in path and "agent" not in path \
                and "node" not in path:
            return ids[word]
    return MARK + ("/a" if path == "/v1/kv/" else "")


BODIES = {
    "/v1/txn": [{"KV": {"Verb": "set", "Key": MARK, "Value": "eA=="}},
                {"KV": {"Verb": "get", "Key": MARK + "/a"}},
                {"KV": {"Verb": "delete-tree", "Key": MARK}}],
    "/v1/session/create": {"Node": MARK},
    "/v1/catalog/register": {"Node": MARK, "Address": "10.6.6.6"},
    "/v1/catalog/deregister": {"Node": MARK},
    "/v1/coordinate/update": {"Node": MARK, "Coord": {"Vec": [0] * 8, "Error": 1, "Height": 1,
                                                      "Adjustment": 0}},
    "/v1/acl/policy": {"Name": "mine"},
    "/v1/acl/token": {"Description": "mine"},
    "/v1/acl/create": {"Name": "mine"},
    "/v1/internal/acl/authorize": [{"Resource": "key", "Access": "read", "Segment": "mine"}],
    "/v1/agent/service/register": {"Name": MARK},
    "/v1/agent/check/register": {"Name": MARK, "TTL": "10s"},
}


def state(s):
    """All that a write could have changed, as root sees it."""
    seen = {}
    for path in ("/v1/kv/?recurse", "/v1/catalog/node/" + MARK, "/v1/health/node/" + MARK,
                 "/v1/session/list", "/v1/event/list", "/v1/acl/tokens", "/v1/acl/policies",
                 "/v1/acl/roles", "/v1/coordinate/nodes", "/v1/operator/autopilot/configuration",
                 "/v1/agent/services", "/v1/agent/checks"):
        seen[path] = s.get(path, headers=ROOT).body
    return seen


def denied(response, path, right):
    """Whether an answer to somebody without rights gives nothing away."""
    if response.status in (401, 403):
        return True
    if right == "NONE":
        return True
    # What the request itself named may be named in a refusal.
    rest = path.rsplit("/", 1)[-1]
    if response.status >= 400 and MARK not in response.text().replace(path, "").replace(
            rest or path, "", 1):
        return True
    if path == "/v1/txn":
        return response.status == 409
    return MARK not in response.text()


def every_route_decides():
    wrong = []
    count = 0
    with server() as s:
        ids = fill(s)
        autopilot = "/v1/operator/autopilot/configuration"
        herald.eventually(lambda: s.get(autopilot, headers=ROOT).json()["ModifyIndex"] > 0,
                          "the leader writes autopilot's first configuration")
        before = state(s)
        for path, prefix, methods, right in routes():
            url = path + (rest_of(path, ids) if prefix else "")
            for method in methods:
                if url.startswith("/v1/stream"):
                    continue
                body = json.dumps(BODIES.get(path, {})).encode() if method != "GET" else None
                for query in ("", "?recurse", "?keys", "?history", "?raw"):
                    if query and path != "/v1/kv/":
                        continue
                    count += 1
                    r = s.request(method, url + query, body)
                    if not denied(r, url, right):
                        wrong.append("%s %s%s without a token: %r" % (method, url, query, r))
                    if right == "NONE":
                        continue
                    r = s.request(method, url + query, body, {"X-Consul-Token": "nobody"})
                    if r.status != 403 and r.status != 401:
                        wrong.append("%s %s with an unknown token: %r" % (method, url, r))
        after = state(s)
        for path, body in before.items():
            if body != after[path]:
                wrong.append("%s has changed: %r -> %r" % (path, body[:300], after[path][:300]))
    print("# %d requests" % count)
    assert not wrong, "%d wrong:\n%s" % (len(wrong), "\n".join(wrong[:20]))


# --- keys -----------------------------------------------------------------------------------------

KEYS = ["app/a", "app/b/c", "app/secret", "app/secret/x", "other", "zoo/1"]
POLICIES = {
    "nothing": [],
    "read all": [("key_prefix", "", "read")],
    "write app": [("key_prefix", "app/", "write")],
    "write app but secret": [("key_prefix", "app/", "write"),
                             ("key_prefix", "app/secret", "deny")],
    "write all, read one": [("key_prefix", "", "write"), ("key", "app/b/c", "read")],
    "one key": [("key", "app/a", "write")],
    "list app": [("key_prefix", "app/", "list")],
    "deny all but one": [("key_prefix", "", "deny"), ("key", "zoo/1", "write")],
}
LEVEL = {"deny": 0, "read": 1, "list": 2, "write": 3}


def level(rules, key):
    """The plain reading: the rule for the key itself, else the longest prefix, else deny."""
    best, length = 0, -1
    for form, name, access in rules:
        if form == "key" and name == key:
            return LEVEL[access]
        if form == "key_prefix" and key.startswith(name) and len(name) > length:
            best, length = LEVEL[access], len(name)
    return best


def may_below(rules, prefix):
    """Whether everything below may be written, keys that are not there yet too."""
    best, length = 0, -1
    for form, name, access in rules:
        if form == "key_prefix" and prefix.startswith(name) and len(name) > length:
            best, length = LEVEL[access], len(name)
    below = [LEVEL[access] for _, name, access in rules if name.startswith(prefix)]
    return best == 3 and all(b == 3 for b in below)


def token_for(s, name, rules):
    text = "".join('%s "%s" { policy = "%s" }\n' % r for r in rules)
    policy = re.sub(r"\W", "-", name)
    r = s.put("/v1/acl/policy", json.dumps({"Name": policy, "Rules": text}).encode(), headers=ROOT)
    assert r.status == 200, r
    r = s.put("/v1/acl/token", json.dumps({"Policies": [{"Name": policy}]}).encode(), headers=ROOT)
    assert r.status == 200, r
    return {"X-Consul-Token": r.json()["SecretID"]}


def refill(s):
    s.delete("/v1/kv/?recurse", headers=ROOT)
    for key in KEYS:
        s.put("/v1/kv/" + key, key.encode(), headers=ROOT)


def read_forms(key):
    return [("GET", "/v1/kv/%s" % key), ("GET", "/v1/kv/%s?raw" % key),
            ("GET", "/v1/kv/%s?history" % key), ("GET", "/v1/kv/%s?history&recurse" % key),
            ("GET", "/v1/kv/%s?consistent" % key), ("GET", "/v1/kv/%s?stale" % key),
            ("GET", "/v1/kv/%s?index=1&wait=1s" % key)]


def txn(s, ops, headers):
    body = [{"KV": dict({"Value": ""}, **op)} for op in ops]
    return s.put("/v1/txn", json.dumps(body).encode(), headers=headers)


def key_verbs_and_forms():
    wrong = []
    count = 0
    with server() as s:
        for name, rules in POLICIES.items():
            token = token_for(s, name, rules)
            refill(s)

            def say(what, allowed, expected):
                if allowed != expected:
                    wrong.append("%s: %s was %s" % (name, what, "allowed" if allowed else "denied"))

            for key in KEYS:
                has = level(rules, key)
                for method, url in read_forms(key):
                    count += 1
                    r = s.request(method, url, headers=token)
                    say("%s %s" % (method, url), r.status == 200, has >= 1)
                count += 4
                r = s.put("/v1/kv/" + key, key.encode(), headers=token)
                say("PUT " + key, r.status == 200, has == 3)
                r = s.put("/v1/kv/" + key + "?cas=999999", b"x", headers=token)
                say("PUT cas " + key, r.status == 200, has == 3)
                r = txn(s, [{"Verb": "get", "Key": key}], token)
                say("txn get " + key, r.status == 200 and bool(r.json()["Results"]), has >= 1)
                r = txn(s, [{"Verb": "set", "Key": key,
                             "Value": base64.b64encode(key.encode()).decode()}], token)
                say("txn set " + key, r.status == 200, has == 3)
            for prefix in ("", "app/", "app/s", "app/b/", "zoo", "nowhere"):
                below = [k for k in KEYS if k.startswith(prefix)]
                visible = [k for k in below if level(rules, k) >= 1]
                for query in ("recurse", "keys", "recurse&index=1&wait=1s"):
                    count += 1
                    r = s.get("/v1/kv/%s?%s" % (prefix, query), headers=token)
                    rows = r.json() if r.status == 200 else []
                    got = [row if isinstance(row, str) else row["Key"] for row in rows or []]
                    say("GET %s?%s %s" % (prefix, query, got), got == visible, True)
                count += 2
                r = txn(s, [{"Verb": "get-tree", "Key": prefix}], token)
                got = [x["KV"]["Key"] for x in r.json()["Results"] or []] if r.status == 200 else []
                say("txn get-tree %s %s" % (prefix, got), set(got) <= set(visible), True)
                r = txn(s, [{"Verb": "delete-tree", "Key": prefix}], token)
                say("txn delete-tree '%s'" % prefix, r.status == 200, may_below(rules, prefix))
                refill(s)
                count += 1
                r = s.delete("/v1/kv/%s?recurse" % prefix, headers=token)
                say("DELETE %s?recurse" % prefix, r.status == 200, may_below(rules, prefix))
                refill(s)
            for key in KEYS:
                count += 1
                r = s.delete("/v1/kv/" + key, headers=token)
                say("DELETE " + key, r.status == 200, level(rules, key) == 3)
            # One operation that may not be stops all of a transaction.
            refill(s)
            r = txn(s, [{"Verb": "set", "Key": "app/a", "Value": "eA=="},
                        {"Verb": "delete", "Key": "app/secret"}], token)
            may = level(rules, "app/a") == 3 and level(rules, "app/secret") == 3
            say("txn of two", r.status == 200, may)
    print("# %d decisions" % count)
    assert not wrong, "%d wrong:\n%s" % (len(wrong), "\n".join(wrong[:20]))


def listing_needs_list_where_it_is_asked_for():
    with server(enable_key_list_policy=True) as s:
        refill(s)
        reader = token_for(s, "reader", [("key_prefix", "app/", "read")])
        lister = token_for(s, "lister", [("key_prefix", "app/", "list")])
        assert s.get("/v1/kv/app/a", headers=reader).status == 200
        for query in ("recurse", "keys"):
            assert s.get("/v1/kv/app/?" + query, headers=reader).status == 403
            assert s.get("/v1/kv/app/?" + query, headers=lister).status == 200
            assert s.get("/v1/kv/?" + query, headers=lister).status == 403


# --- the fleet ------------------------------------------------------------------------------------

def services_and_nodes_are_judged_by_name():
    with server() as s:
        for name in ("web", "db"):
            body = {"Node": "n-" + name, "Address": "10.0.0.1",
                    "Service": {"ID": name + "1", "Service": name},
                    "Checks": [{"CheckID": "c", "Name": "c", "Status": "passing",
                                "ServiceID": name + "1"}]}
            assert s.put("/v1/catalog/register", json.dumps(body).encode(),
                         headers=ROOT).status == 200
        web = token_for(s, "web", [("service", "web", "write"), ("node", "n-web", "read"),
                                   ("session", "n-web", "write")])
        assert [n["Node"] for n in s.get("/v1/catalog/nodes", headers=web).json()] == ["n-web"]
        assert list(s.get("/v1/catalog/services", headers=web).json()) == ["web"]
        assert len(s.get("/v1/health/service/web", headers=web).json()) == 1
        assert s.get("/v1/health/service/db", headers=web).json() == []
        assert s.get("/v1/health/node/n-db", headers=web).json() == []
        assert len(s.get("/v1/health/state/any", headers=web).json()) == 1

        def register(node, service, ident):
            body = {"Node": node, "Address": "10.0.0.1", "SkipNodeUpdate": True,
                    "Service": {"ID": ident, "Service": service}}
            return s.put("/v1/catalog/register", json.dumps(body).encode(), headers=web).status

        assert register("n-web", "web", "web1") == 200
        assert register("n-web", "WEB", "web1") == 200
        assert register("n-web", "db", "db2") == 403
        # Under the id of another's service, with a name of one's own.
        assert register("n-db", "web", "db1") == 403
        for body, status in (({"Node": "n-db"}, 403), ({"Node": "n-db", "ServiceID": "db1"}, 403),
                             ({"Node": "n-web"}, 403), ({"Node": "n-web", "ServiceID": "web1"}, 200)):
            r = s.put("/v1/catalog/deregister", json.dumps(body).encode(), headers=web)
            assert r.status == status, (body, r)
        assert s.put("/v1/session/create", b'{"Node":"n-db"}', headers=web).status == 403
        # In a transaction too what is there decides, not what the request calls it.
        for op in ({"Service": {"Verb": "delete", "Node": "n-db",
                                "Service": {"ID": "db1", "Service": "web"}}},
                   {"Check": {"Verb": "delete", "Check": {"Node": "n-db", "CheckID": "c",
                                                          "ServiceName": "web"}}},
                   {"Check": {"Verb": "set", "Check": {
                       "Node": "n-db", "CheckID": "c", "Name": "c", "Status": "critical",
                       "ServiceID": "db1", "ServiceName": "web"}}},
                   {"Node": {"Verb": "delete", "Node": {"Node": "n-db"}}}):
            r = s.put("/v1/txn", json.dumps([op]).encode(), headers=web)
            assert r.status == 409 and "Permission denied" in r.text(), (op, r)
        assert len(s.get("/v1/health/service/db?passing", headers=ROOT).json()) == 1


def a_waiting_query_answers_by_the_rights_of_its_end():
    with server() as s:
        s.put("/v1/kv/app/a", b"1", headers=ROOT)
        token = token_for(s, "waiting", [("key_prefix", "app/", "read")])
        index = s.get("/v1/kv/app/?recurse", headers=token).index()
        for path in ("/v1/kv/app/?recurse", "/v1/kv/app/a?raw"):
            with s.connect() as c:
                c.send_request("GET", path + ("&" if "?" in path else "?")
                               + "index=%d&wait=1s" % index, headers=token)
                # The policy goes while it waits; nothing it waits for happens.
                if path.endswith("raw"):
                    ident = [p["ID"] for p in s.get("/v1/acl/policies", headers=ROOT).json()
                             if p["Name"] == "waiting"][0]
                    s.delete("/v1/acl/policy/" + ident, headers=ROOT)
                    assert c.read_response().status == 403
                else:
                    assert c.read_response().status == 200


# --- streams --------------------------------------------------------------------------------------

def streams_deliver_what_may_be_read():
    with server() as s:
        token = token_for(s, "stream", [("key_prefix", "app/", "read")])
        refill(s)
        with s.websocket("/v1/stream?topic=kv&prefix=&snapshot=1", headers=token) as w:
            seen = set()
            while "app/secret/x" not in seen:
                for event in rows_in(w.next()):
                    seen.add(event)
            s.put("/v1/kv/other", b"1", headers=ROOT)
            s.put("/v1/kv/app/new", b"1", headers=ROOT)
            while "app/new" not in seen:
                for event in rows_in(w.next()):
                    seen.add(event)
            assert all(k.startswith("app/") for k in seen), seen


def rows_in(message):
    return re.findall(r'"key": ?"([^"]*)"', json.dumps(message))


def a_revoked_token_ends_its_stream():
    with server() as s:
        r = s.put("/v1/acl/token", json.dumps({"Description": "t"}).encode(), headers=ROOT).json()
        token = {"X-Consul-Token": r["SecretID"]}
        with s.websocket("/v1/stream?topic=kv&prefix=", headers=token) as w:
            w.next_of("welcome")
            began = time.monotonic()
            assert s.delete("/v1/acl/token/" + r["AccessorID"], headers=ROOT).status == 200
            code = close_code(w)
            took = time.monotonic() - began
        assert code == 4001, code
        assert took < 1.0 * herald.SLOW, took
        assert s.get("/v1/kv/a", headers=token).status == 403
        # And of a policy that is taken away what it allowed is gone at once.
        token = token_for(s, "short", [("key_prefix", "", "read")])
        s.put("/v1/kv/a", b"1", headers=ROOT)
        assert s.get("/v1/kv/a", headers=token).status == 200
        policies = s.get("/v1/acl/policies", headers=ROOT).json()
        ident = [p["ID"] for p in policies if p["Name"] == "short"][0]
        assert s.delete("/v1/acl/policy/" + ident, headers=ROOT).status == 200
        assert s.get("/v1/kv/a", headers=token).status == 403


def close_code(w):
    while True:
        opcode, payload = w.read_frame()[-2:]
        if opcode == 8:
            return int.from_bytes(payload[:2], "big")


def unknown_tokens_open_no_stream():
    with server() as s:
        r = s.get("/v1/stream?topic=kv&prefix=&format=ndjson",
                  headers={"X-Consul-Token": "nobody"})
        assert r.status == 403, r
        bearer = base64.urlsafe_b64encode(b"nobody").decode().rstrip("=")
        with s.websocket("/v1/stream?topic=kv&prefix=",
                         protocols=("herald.v1.json", "herald.bearer." + bearer)) as w:
            assert close_code(w) == 4001


# --- tokens ---------------------------------------------------------------------------------------

def secrets_are_for_those_who_may_write():
    with server() as s:
        r = s.put("/v1/acl/policy", json.dumps({"Name": "reader",
                                                "Rules": 'acl = "read"'}).encode(), headers=ROOT)
        assert r.status == 200, r
        r = s.put("/v1/acl/token", json.dumps({"Policies": [{"Name": "reader"}]}).encode(),
                  headers=ROOT).json()
        reader = {"X-Consul-Token": r["SecretID"]}
        own = s.get("/v1/acl/token/self", headers=ROOT).json()
        seen = s.get("/v1/acl/token/" + own["AccessorID"], headers=reader).json()
        assert seen["SecretID"] == "<hidden>", seen
        assert "SecretID" not in s.get("/v1/acl/tokens", headers=reader).text()
        assert s.put("/v1/acl/token", b"{}", headers=reader).status == 403
        assert s.get("/v1/acl/token/self", headers=reader).json()["SecretID"] == r["SecretID"]
        assert "root" not in s.log() and r["SecretID"] not in s.log()


def off_means_off():
    with herald.Server() as s:
        assert s.get("/v1/acl/tokens").status == 401
        assert s.put("/v1/acl/bootstrap").status == 401
        assert s.put("/v1/kv/a", b"1", headers={"X-Consul-Token": "any"}).json() is True


def bootstrapping_happens_once():
    config = {"acl": {"enabled": True, "default_policy": "deny"}}
    with herald.Server(config=config) as s:
        r = s.put("/v1/acl/bootstrap")
        assert r.status == 200, r
        token = {"X-Consul-Token": r.json()["SecretID"]}
        assert s.put("/v1/kv/a", b"1", headers=token).json() is True
        r = s.put("/v1/acl/bootstrap")
        assert r.status == 403 and "no longer allowed (reset index: " in r.text(), r


herald.main([every_route_decides, key_verbs_and_forms, listing_needs_list_where_it_is_asked_for,
             services_and_nodes_are_judged_by_name,
             a_waiting_query_answers_by_the_rights_of_its_end, streams_deliver_what_may_be_read,
             a_revoked_token_ends_its_stream, unknown_tokens_open_no_stream,
             secrets_are_for_those_who_may_write, off_means_off, bootstrapping_happens_once])
