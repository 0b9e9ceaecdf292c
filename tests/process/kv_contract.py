#!/usr/bin/env python3
"""The KV contract, request by request, against a real server.

First the wire recording of Consul 1.8.7 (tests/golden/kv.txt) is replayed in its order, then the
rules of the contract that the recording does not show are tested one by one.

Indexes are compared by relation: each index of the recording is bound to the index seen in its
place, and equal must stay equal, smaller smaller.

Deliberate differences, tolerated here:
  * unknown path: also the text that newer Consul gives (1.8.7: empty body);
  * `GET /`: any line of text;
  * /v1/status/*: the address is the server's own;
  * headers may be added (for instance nosniff and a sandbox policy on every answer).
"""

import argparse
import base64
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()
GOLDEN = os.path.join(HERE, "..", "golden", "kv.txt")
# Headers of the recording that must be there with the same value.
COMPARED = ["allow", "content-type", "content-security-policy", "x-content-type-options",
            "x-consul-knownleader", "x-consul-lastcontact", "vary"]
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


# --- the recording ---------------------------------------------------------------------------

class Exchange:
    def __init__(self, number, head, block):
        m = re.match(r"### (\S+) (\S*) ?(?:\[body (.*)\])?$", head)
        self.number, self.method, self.target, self.body = (number,) + m.groups()
        top, _, rest = block.partition("\n\n")
        lines = top.split("\n")
        self.status = int(lines[0].split()[1])
        self.headers = {n.lower(): v for n, v in (l.split(": ", 1) for l in lines[1:])}
        length = int(self.headers.get("content-length", len(rest)))
        self.answer = "" if self.method == "HEAD" else rest[:length]
        self.name = "golden_%02d %s %s" % (number, self.method, self.target)


def read_golden(path):
    blocks = re.split(r"^(?=### )", open(path).read(), flags=re.M)[1:]
    out = []
    for i, block in enumerate(blocks, 1):
        head, _, rest = block.partition("\n")
        out.append(Exchange(i, head.rstrip(), rest))
    return out


class Indexes:
    """Binds each index of the recording to the one seen; keeps the order."""

    def __init__(self):
        self.bound = {}

    def bind(self, golden, seen, where):
        if golden in self.bound:
            equal(seen, self.bound[golden], "%s: index bound to golden %d" % (where, golden))
            return
        for g, s in self.bound.items():
            check((g < golden) == (s < seen) and s != seen,
                  "%s: index %d stands for golden %d, but %d already for %d",
                  where, seen, golden, s, g)
        self.bound[golden] = seen


INDEX_FIELD = re.compile(r'("(?:CreateIndex|ModifyIndex)": ?)(\d+)')


def replay_one(c, x, indexes):
    body = x.body or ("" if x.method in ("PUT", "POST") else None)
    res = c.request(x.method, x.target, body)
    equal(res.status, x.status, "status (body %r)" % res.body[:120])
    for name in COMPARED:
        if name in x.headers:
            equal(res.headers.get(name), x.headers[name], name)
    if "x-consul-index" in x.headers:
        check(res.headers.get("x-consul-index"), "no X-Consul-Index")
        indexes.bind(int(x.headers["x-consul-index"]), res.index(), "X-Consul-Index")
    else:
        check(res.headers.get("x-consul-index") is None, "an X-Consul-Index where Consul gives none")
    if x.method == "HEAD":
        equal(res.headers.get("content-length"), x.headers["content-length"], "Content-Length")
    replay_body(x, res, indexes)


def replay_body(x, res, indexes):
    got, want = res.body.decode(), x.answer
    if x.target == "/":
        check(got.strip(), "no text")
        return
    if x.target.startswith("/v1/status/") and x.status == 200:
        got = re.sub(r'"[^"]*:\d+"', '"ADDRESS"', got)
        want = re.sub(r'"[^"]*:\d+"', '"ADDRESS"', want)
    if x.status == 404 and not x.target.startswith("/v1/kv") and got != want:
        check(got.startswith("Invalid URL path: "), "text %r", got)
        return
    equal(INDEX_FIELD.sub(r"\1N", got), INDEX_FIELD.sub(r"\1N", want), "body")
    for g, w in zip(INDEX_FIELD.findall(got), INDEX_FIELD.findall(want)):
        indexes.bind(int(w[1]), int(g[1]), "body")


def replay(port):
    indexes = Indexes()
    c = herald.Connection(port)
    for x in read_golden(GOLDEN):
        if not R.run(x.name, replay_one, c, x, indexes):
            c.close()
            c = herald.Connection(port)
    c.close()


# --- the rules that the recording does not show ----------------------------------------------

def row(c, key):
    res = c.request("GET", "/v1/kv/" + key)
    equal(res.status, 200)
    rows = res.json()
    equal(len(rows), 1)
    return rows[0]


def put(c, key, body=b"x", query=""):
    res = c.request("PUT", "/v1/kv/" + key + query, body)
    equal(res.status, 200, "PUT %s (%r)" % (key, res.body[:100]))
    check(res.body in (b"true", b"false"), "body %r", res.body)
    return res.body == b"true"


def delete(c, key, query=""):
    res = c.request("DELETE", "/v1/kv/" + key + query)
    equal(res.status, 200)
    return res.body == b"true"


@R.test
def options_says_what_an_endpoint_can(c):
    for path, allow in [("/v1/kv/a/b", "OPTIONS,GET,PUT,DELETE"),
                        ("/v1/status/peers", "OPTIONS,GET"),
                        ("/v1/agent/self", "OPTIONS,GET")]:
        res = c.request("OPTIONS", path)
        equal((res.status, res.headers.get("allow"), res.body), (200, allow, b""), path)


@R.test
def wrong_method_is_405_with_allow(c):
    for method in ["POST", "PATCH"]:
        res = c.request(method, "/v1/kv/a", b"")
        equal((res.status, res.headers.get("allow")), (405, "OPTIONS,GET,PUT,DELETE"))
        equal(res.text(), "method %s not allowed" % method)
    res = c.request("DELETE", "/v1/status/peers")
    equal((res.status, res.headers.get("allow")), (405, "OPTIONS,GET"))


@R.test
def header_names_are_the_canonical_ones(c):
    put(c, "canon")
    c.send("GET /v1/kv/canon HTTP/1.1\r\nHost: h\r\n\r\n")
    names = [line.split(":")[0] for line in c.read_until(b"\r\n\r\n").decode().split("\r\n")]
    for want in ["X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact", "Vary"]:
        check(want in names, "%s is not among %s", want, names)


@R.test
def row_has_the_fields_in_order(c):
    put(c, "fields", "v", "?flags=7")
    text = c.request("GET", "/v1/kv/fields").text()
    check(re.fullmatch(r'\[{"LockIndex":0,"Key":"fields","Flags":7,"Value":"dg==",'
                       r'"CreateIndex":(\d+),"ModifyIndex":\1}\]', text), "%s", text)


@R.test
def put_without_flags_resets_them(c):
    put(c, "flagged", "v", "?flags=9")
    put(c, "flagged", "w")
    equal(row(c, "flagged")["Flags"], 0)


@R.test
def flags_take_the_whole_range_of_u64(c):
    top = 2 ** 64 - 1
    put(c, "flags64", "v", "?flags=%d" % top)
    equal(row(c, "flags64")["Flags"], top)
    for bad in ["18446744073709551616", "-1", "0x10", "1.5", "%201"]:
        res = c.request("PUT", "/v1/kv/flags64?flags=" + bad, b"v")
        equal(res.status, 500, bad)
        check(res.text().startswith("strconv.ParseUint: parsing "), "%s", res.text())
    res = c.request("PUT", "/v1/kv/flags64?flags=18446744073709551616", b"v")
    equal(res.text(), 'strconv.ParseUint: parsing "18446744073709551616": value out of range')
    equal(row(c, "flags64")["Flags"], top)


@R.test
def same_value_and_flags_change_nothing(c):
    put(c, "same", "v", "?flags=3")
    before = row(c, "same")
    put(c, "same", "v", "?flags=3")
    equal(row(c, "same"), before)
    put(c, "same", "v", "?flags=4")
    after = row(c, "same")
    check(after["ModifyIndex"] > before["ModifyIndex"], "ModifyIndex stood still")
    equal(after["CreateIndex"], before["CreateIndex"])


@R.test
def create_index_stays_until_the_key_is_deleted(c):
    put(c, "life", "1")
    first = row(c, "life")
    put(c, "life", "2")
    equal(row(c, "life")["CreateIndex"], first["CreateIndex"])
    delete(c, "life")
    put(c, "life", "1")
    again = row(c, "life")
    check(again["CreateIndex"] > first["ModifyIndex"], "CreateIndex survived the deletion")
    equal(again["CreateIndex"], again["ModifyIndex"])


@R.test
def cas_zero_creates_only(c):
    equal(put(c, "cas0", "a", "?cas=0"), True)
    equal(put(c, "cas0", "b", "?cas=0"), False)
    equal(base64.b64decode(row(c, "cas0")["Value"]), b"a")


@R.test
def cas_replaces_at_the_right_index_only(c):
    put(c, "cas", "a")
    at = row(c, "cas")["ModifyIndex"]
    equal(put(c, "cas", "b", "?cas=%d" % (at - 1)), False)
    equal(put(c, "cas", "b", "?cas=%d" % (at + 1)), False)
    equal(put(c, "cas", "b", "?cas=%d" % at), True)
    equal(put(c, "cas", "c", "?cas=%d" % at), False)
    equal(base64.b64decode(row(c, "cas")["Value"]), b"b")


@R.test
def cas_on_a_missing_key_is_false(c):
    equal(put(c, "cas-missing", "a", "?cas=5"), False)
    equal(c.request("GET", "/v1/kv/cas-missing").status, 404)


@R.test
def delete_with_cas(c):
    put(c, "dcas", "a")
    at = row(c, "dcas")["ModifyIndex"]
    equal(delete(c, "dcas", "?cas=%d" % (at + 1)), False)
    equal(delete(c, "dcas", "?cas=0"), False)
    equal(delete(c, "dcas", "?cas=%d" % at), True)
    equal(c.request("GET", "/v1/kv/dcas").status, 404)


@R.test
def delete_of_a_missing_key_is_true(c):
    equal(delete(c, "never-there"), True)


@R.test
def delete_recurse_is_by_bytes(c):
    for key in ["rec", "rec/a", "recx", "re"]:
        put(c, key)
    equal(delete(c, "rec/", "?recurse"), True)
    equal(c.request("GET", "/v1/kv/re?keys").json(), ["re", "rec", "recx"])
    equal(delete(c, "rec", "?recurse"), True)
    equal(c.request("GET", "/v1/kv/re?keys").json(), ["re"])


@R.test
def recurse_is_by_bytes_and_in_byte_order(c):
    for key in ["ord/b", "ord/B", "ord/a", "ord/%C3%A9", "ord0", "ord/a/1", "ord/a-1"]:
        put(c, key)
    rows = c.request("GET", "/v1/kv/ord?recurse").json()
    got = [r["Key"].encode() for r in rows]
    equal(got, sorted(got))
    equal(len(got), 7)
    equal(len(c.request("GET", "/v1/kv/ord/a?recurse").json()), 3)


@R.test
def keys_with_a_separator(c):
    for key in ["sep/a/1", "sep/a/2", "sep/b", "sep/c--d", "sep/c--e"]:
        put(c, key)
    ask = lambda q: c.request("GET", "/v1/kv/" + q).json()  # noqa: E731
    equal(ask("sep/?keys"), ["sep/a/1", "sep/a/2", "sep/b", "sep/c--d", "sep/c--e"])
    equal(ask("sep/?keys&separator=/"), ["sep/a/", "sep/b", "sep/c--d", "sep/c--e"])
    equal(ask("sep/?keys&seperator=/"), ["sep/a/", "sep/b", "sep/c--d", "sep/c--e"])
    equal(ask("sep/?keys&separator=--"), ["sep/a/1", "sep/a/2", "sep/b", "sep/c--"])
    equal(ask("sep/a?keys&separator=/"), ["sep/a/"])
    equal(ask("sep?keys&separator=%2F"), ["sep/"])


@R.test
def raw_gives_the_bytes(c):
    value = bytes(range(256))
    put(c, "raw", value)
    res = c.request("GET", "/v1/kv/raw?raw")
    equal((res.status, res.body), (200, value))
    equal(res.headers.get("x-content-type-options"), "nosniff")
    equal(res.headers.get("content-security-policy"), "sandbox")
    check(res.headers.get("content-type").startswith("text/plain"), "%s", res.headers.get("content-type"))
    equal(res.index(), row(c, "raw")["ModifyIndex"])
    equal(c.request("GET", "/v1/kv/raw-missing?raw").status, 404)
    equal(base64.b64decode(row(c, "raw")["Value"]), value)


@R.test
def pretty_is_four_spaces_and_a_newline(c):
    put(c, "pretty", "v")
    text = c.request("GET", "/v1/kv/pretty?pretty=").text()
    check(text.startswith('[\n    {\n        "LockIndex": 0,\n') and text.endswith("\n]\n"),
          "%r", text)


@R.test
def value_of_524288_bytes_is_taken_one_more_is_not(c):
    put(c, "big", b"x" * 524288)
    equal(len(c.request("GET", "/v1/kv/big?raw").body), 524288)
    res = c.request("PUT", "/v1/kv/big", b"y" * 524289)
    equal(res.status, 413)
    check(re.match(r"Request body\(524289 bytes\) too large, max size: 524288 bytes\. See .+\.$",
                   res.text()), "%r", res.text())


@R.test
def keys_are_decoded_once_and_kept_as_they_are(c):
    for path, key in [("odd//x", "odd//x"), ("odd/%2f", "odd//"), ("odd/a%20b", "odd/a b"),
                      ("odd/a+b", "odd/a+b"), ("odd/%25", "odd/%"), ("odd/%C3%A9", "odd/é")]:
        res = c.request("PUT", "/v1/kv/" + path, path.encode())
        equal(res.status, 200, path)
        equal(row(c, path)["Key"], key, path)
        delete(c, path)


@R.test
def dots_in_a_key_are_not_a_way_up(c):
    res = c.request("PUT", "/v1/kv/dots/../etc", b"v")
    if res.status == 200:
        equal(row(c, "dots/../etc")["Key"], "dots/../etc")
        equal(c.request("GET", "/v1/kv/etc").status, 404)
    else:
        check(300 <= res.status < 500, "status %d", res.status)


@R.test
def non_printable_characters_are_400(c):
    for path in ["np/%00", "np/%01x", "np/%0a"]:
        res = c.request("PUT", "/v1/kv/" + path, b"v")
        equal(res.status, 400, path)


@R.test
def pairs_of_conditions_conflict(c):
    for query, text in [("cas=1&acquire=x", "acquire=x&cas=1"),
                        ("release=y&cas=1", "cas=1&release=y"),
                        ("release=y&acquire=x", "acquire=x&release=y")]:
        res = c.request("PUT", "/v1/kv/conflict?" + query, b"v")
        equal(res.status, 400, query)
        equal(res.text().rstrip("\n"), "Conflicting flags: " + text)


@R.test
def cas_must_be_a_number(c):
    put(c, "casnum")
    res = c.request("PUT", "/v1/kv/casnum?cas=zz", b"v")
    equal(res.status, 500)
    equal(res.text(), 'strconv.ParseUint: parsing "zz": invalid syntax')
    res = c.request("DELETE", "/v1/kv/casnum?cas=zz")
    equal(res.status, 500)


@R.test
def key_index_is_its_modify_index(c):
    put(c, "idx/a", "1")
    put(c, "idx/b", "1")
    res = c.request("GET", "/v1/kv/idx/a")
    equal(res.index(), res.json()[0]["ModifyIndex"])


@R.test
def missing_key_has_the_index_of_the_table(c):
    put(c, "table/a", os.urandom(4).hex())
    newest = row(c, "table/a")["ModifyIndex"]
    equal(c.request("GET", "/v1/kv/table/none").index(), newest)
    delete(c, "table/a")
    check(c.request("GET", "/v1/kv/table/none").index() > newest, "a deletion is not counted")


@R.test
def prefix_index_is_the_newest_of_rows_and_deletions(c):
    put(c, "pfx/a", "1")
    put(c, "pfx/b", "1")
    at = row(c, "pfx/b")["ModifyIndex"]
    put(c, "elsewhere", os.urandom(4).hex())
    for query in ["?recurse", "?keys"]:
        equal(c.request("GET", "/v1/kv/pfx/" + query).index(), at, query)
    delete(c, "pfx/b")
    gone = c.request("GET", "/v1/kv/pfx/?keys").index()
    check(gone > at, "the deletion did not move the index")
    put(c, "elsewhere", os.urandom(4).hex())
    equal(c.request("GET", "/v1/kv/pfx/?keys").index(), gone)
    delete(c, "pfx/", "?recurse")
    empty = c.request("GET", "/v1/kv/pfx/?keys")
    check(empty.status == 404 and empty.index() > gone, "%r %s", empty, empty.index())


@R.test
def root_has_the_index_of_the_table(c):
    put(c, "root/a", os.urandom(4).hex())
    equal(c.request("GET", "/v1/kv/?keys").index(), row(c, "root/a")["ModifyIndex"])


@R.test
def unknown_datacenter(c):
    for query in ["?dc=nodc", "?datacenter=nodc", "?dc=dc1&datacenter=nodc"]:
        res = c.request("GET", "/v1/kv/a" + query)
        equal((res.status, res.text()), (500, "No path to datacenter"), query)
    equal(c.request("GET", "/v1/kv/?keys&dc=dc1").status, 200)


@R.test
def long_answers_are_gzipped_when_asked(c):
    import gzip
    put(c, "gz", b"z" * 5000)
    plain = c.request("GET", "/v1/kv/gz")
    check(plain.headers.get("content-encoding") is None, "gzip without being asked")
    res = c.request("GET", "/v1/kv/gz", headers={"Accept-Encoding": "gzip"})
    equal(res.headers.get("content-encoding"), "gzip")
    equal(gzip.decompress(res.body), plain.body)
    equal(res.headers.get("vary"), "Accept-Encoding")
    put(c, "gz-small", b"z")
    res = c.request("GET", "/v1/kv/gz-small", headers={"Accept-Encoding": "gzip"})
    check(res.headers.get("content-encoding") is None, "a short answer was gzipped")


@R.test
def empty_body_is_an_empty_value(c):
    put(c, "nothing", b"")
    check(row(c, "nothing")["Value"] is None, "Value is not null")


@R.test
def chunked_body_is_taken(c):
    c.send(b"PUT /v1/kv/chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n")
    equal(c.read_response().body, b"true")
    equal(c.request("GET", "/v1/kv/chunked?raw").body, b"abcdefg")


@R.test
def both_consistency_modes_read(c):
    put(c, "modes")
    for query in ["?stale", "?consistent", "?leader", "?max_stale=10s", "?cached"]:
        equal(c.request("GET", "/v1/kv/modes" + query).status, 200, query)


@R.test
def token_is_accepted_wherever_it_is(c):
    put(c, "tok")
    for headers, query in [({"X-Consul-Token": ""}, ""), ({}, "?token=")]:
        equal(c.request("GET", "/v1/kv/tok" + query, headers=headers).status, 200)


def everything(port, only):
    if not only:
        replay(port)
    for function in R.tests:
        if not only or any(o in function.__name__ for o in only):
            with herald.Connection(port) as c:
                R.run(function.__name__, function, c)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, help="a fresh server that runs already")
    parser.add_argument("only", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()
    if args.port:
        everything(args.port, args.only)
    else:
        with tempfile.TemporaryDirectory() as data, herald.Server(data_dir=data) as server:
            everything(server.port, args.only)
    R.end()


if __name__ == "__main__":
    main()
