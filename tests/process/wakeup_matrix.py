#!/usr/bin/env python3
"""Who is woken by what: the KV rows of the wake-up matrix, and the rules of waiting.

That a waiting query is NOT woken is proven by a marker, not by sleeping: sixteen other queries,
which the kernel spreads over all fronts, wait for a marker key that is written after the write in
question. When all of them have been answered every front is past that write, and the query in
question must still have nothing to read. Then a write that does match must wake it.

Where Consul 1.8.7 wakes needlessly (a missing key, an empty prefix) Herald must not.
"""

import argparse
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import herald  # noqa: E402
from report import Report, check, equal  # noqa: E402

R = Report()
MARKERS = 16
SLACK = 3.0 * herald.SLOW  # for a busy machine; no promise is tested by it


class Watcher:
    """One blocking query, parked on a connection of its own."""

    def __init__(self, world, path, index=None, wait="120s"):
        self.c = herald.Connection(world.port, timeout=60)
        self.path = path
        self.index = self.ask() if index is None else index
        self.wait = wait
        self.park()

    def ask(self):
        return self.c.request("GET", self.path).index()

    def park(self):
        mark = "&" if "?" in self.path else "?"
        self.began = time.monotonic()
        self.c.send_request("GET", "%s%sindex=%d&wait=%s"
                            % (self.path, mark, self.index, self.wait))

    def answer(self):
        res = self.c.read_response()
        self.took = time.monotonic() - self.began
        return res

    def close(self):
        self.c.close()


class World:
    """The server, a connection that writes, and a name space of its own for each test."""

    def __init__(self, port, metrics=True):
        self.port = port
        self.metrics = metrics
        self.c = herald.Connection(port, timeout=60)
        self.serial = 0

    def fresh(self, name):
        self.serial += 1
        return "/v1/kv/%s-%d" % (name, self.serial)

    def put(self, path, value="x"):
        res = self.c.request("PUT", path, value)
        equal(res.status, 200, "PUT %s: %r" % (path, res.body))
        return res.body == b"true"

    def delete(self, path):
        equal(self.c.request("DELETE", path).body, b"true")

    def get(self, path):
        return self.c.request("GET", path)

    def waiting(self):
        return self.metric("query.waiting")

    def metric(self, name):
        return metric(self.c, name)

    def settle(self, count):
        """Returns when `count` queries more than before wait."""
        if self.metrics:
            herald.eventually(lambda: self.waiting() >= count, "%d queries wait" % count)
        else:
            time.sleep(0.3)

    def park(self, *paths, **kw):
        before = self.waiting() if self.metrics else 0
        watchers = [Watcher(self, p, **kw) for p in paths]
        self.settle(before + len(watchers))
        return watchers

    def marker(self):
        """Returns when every front is past all writes that were acknowledged before."""
        path = self.fresh("marker")
        self.put(path, "0")
        others = self.park(*[path] * MARKERS)
        self.put(path, "1")
        for w in others:
            equal(w.answer().status, 200)
            w.close()

    def not_woken(self, *watchers):
        self.marker()
        for w in watchers:
            check(not w.c.readable(), "%s was woken: %r", w.path,
                  w.answer() if w.c.readable() else None)

    def woken(self, w, status=200):
        res = w.answer()
        equal(res.status, status, "%s: %r" % (w.path, res.body[:100]))
        check(res.index() > w.index, "%s: index %d is not above %d", w.path, res.index(), w.index)
        w.index = res.index()
        return res


def metric(c, name):
    """The level of a gauge, or the total of a counter, from Prometheus' form."""
    res = c.request("GET", "/v1/agent/metrics?format=prometheus")
    equal(res.status, 200, "metrics: %r" % res.body[:100])
    base = "consul_" + name.replace(".", "_")
    for line in res.text().splitlines():
        word = line.split("{")[0].split(" ")[0]
        if word in (base, base + "_total"):
            return float(line.rsplit(" ", 1)[1])
    check(False, "there is no metric %s", name)


# --- the matrix ------------------------------------------------------------------------------

@R.test
def single_key_sibling_written_does_not_wake(w):
    p = w.fresh("sib")
    w.put(p + "/a"), w.put(p + "/b")
    (a,) = w.park(p + "/a")
    w.put(p + "/b", "2"), w.put(p + "/a/child"), w.put(p + "/aa"), w.put(p + "/")
    w.delete(p + "/b")
    w.not_woken(a)
    w.put(p + "/a", "2")
    equal(w.woken(a).json()[0]["Value"], "Mg==")


@R.test
def single_key_new_value_wakes(w):
    p = w.fresh("new")
    w.put(p, "1")
    (a,) = w.park(p)
    w.put(p, "2")
    res = w.woken(a)
    equal(res.index(), res.json()[0]["ModifyIndex"])
    a.park()
    w.settle(1)
    w.put(p + "?flags=5", "2")
    equal(w.woken(a).json()[0]["Flags"], 5)


@R.test
def single_key_identical_write_does_not_wake(w):
    p = w.fresh("same")
    w.put(p + "?flags=3", "1")
    (a,) = w.park(p)
    w.put(p + "?flags=3", "1")
    w.not_woken(a)
    w.put(p, "1")
    equal(w.woken(a).json()[0]["Flags"], 0)


@R.test
def single_key_deleted_wakes_with_404(w):
    p = w.fresh("del")
    w.put(p)
    (a,) = w.park(p)
    w.delete(p)
    res = w.woken(a, 404)
    equal(res.body, b"")
    equal(res.index(), w.get(p).index())


@R.test
def missing_key_is_not_woken_by_other_keys(w):
    p = w.fresh("missing")
    a, b = w.park(p, p + "?raw")
    w.put(p + "/child"), w.put(p + "x"), w.put(w.fresh("other")), w.delete(p + "x")
    w.not_woken(a, b)
    w.put(p, "now")
    equal(w.woken(a).json()[0]["Value"], "bm93")
    equal(w.woken(b).body, b"now")


@R.test
def missing_key_that_was_deleted_before_is_not_woken_by_other_keys(w):
    p = w.fresh("was")
    w.put(p), w.delete(p)
    (a,) = w.park(p)
    w.put(w.fresh("other")), w.delete(p)
    w.not_woken(a)
    w.put(p)
    w.woken(a)


@R.test
def missing_key_created_wakes(w):
    p = w.fresh("create")
    (a,) = w.park(p)
    w.put(p)
    res = w.woken(a)
    equal(res.index(), res.json()[0]["CreateIndex"])


@R.test
def prefix_is_not_woken_by_keys_outside(w):
    p = w.fresh("out")
    w.put(p + "/in/a")
    a, b = w.park(p + "/in/?recurse", p + "/in/?keys")
    w.put(p + "/in"), w.put(p + "/io"), w.put(p), w.delete(p + "/io")
    w.not_woken(a, b)
    w.put(p + "/in/a", "2")
    w.woken(a), w.woken(b)


def prefix_child(w, change, rows):
    p = w.fresh("child")
    w.put(p + "/a", "1"), w.put(p + "/b", "1")
    watchers = w.park(p + "/?recurse", p + "/?keys", p + "/?keys&separator=/", p + "?recurse")
    change(p)
    for a in watchers:
        equal(len(w.woken(a).json()), 1 if a is watchers[3] and rows == 0 else rows, a.path)


@R.test
def prefix_child_created_wakes(w):
    prefix_child(w, lambda p: w.put(p + "/c"), 3)


@R.test
def prefix_child_changed_wakes(w):
    prefix_child(w, lambda p: w.put(p + "/a", "2"), 2)


@R.test
def prefix_child_deleted_wakes(w):
    prefix_child(w, lambda p: w.delete(p + "/a"), 1)


@R.test
def prefix_last_child_deleted_wakes_with_404(w):
    p = w.fresh("last")
    w.put(p + "/a")
    a, b = w.park(p + "/?recurse", p + "/?keys")
    w.delete(p + "/a")
    w.woken(a, 404), w.woken(b, 404)


@R.test
def prefix_delete_of_a_missing_child_does_not_wake(w):
    p = w.fresh("nochild")
    w.put(p + "/a")
    a, b = w.park(p + "/?recurse", p + "/?keys")
    w.delete(p + "/zzz"), w.delete(p + "/zzz/?recurse")
    w.not_woken(a, b)
    w.delete(p + "/a")
    w.woken(a, 404), w.woken(b, 404)


@R.test
def prefix_identical_write_and_failed_cas_do_not_wake(w):
    p = w.fresh("noop")
    w.put(p + "/a", "1")
    a, b = w.park(p + "/?recurse", p + "/a")
    w.put(p + "/a", "1")
    equal(w.put(p + "/a?cas=1", "2"), False)
    equal(w.put(p + "/a?cas=0", "2"), False)
    w.not_woken(a, b)
    w.put(p + "/a", "2")
    w.woken(a), w.woken(b)


@R.test
def empty_prefix_is_not_woken_by_keys_elsewhere(w):
    p = w.fresh("empty")
    a, b = w.park(p + "/?recurse", p + "/?keys")
    w.put(w.fresh("other")), w.put(p), w.put(p + "0")
    w.not_woken(a, b)
    w.put(p + "/first")
    equal(w.woken(b).text(), '["%s/first"]' % p[len("/v1/kv/"):])
    w.woken(a)


@R.test
def whole_table_wakes_by_any_key(w):
    a, b = w.park("/v1/kv/?recurse", "/v1/kv/?keys")
    w.put(w.fresh("any"))
    w.woken(a), w.woken(b)


# --- deletions -------------------------------------------------------------------------------

@R.test
def deletion_is_seen_by_a_query_with_an_old_index(w):
    p = w.fresh("olddel")
    w.put(p + "/a")
    key, prefix = w.get(p + "/a").index(), w.get(p + "/?keys").index()
    w.delete(p + "/a")
    equal(Watcher(w, p + "/a", key).answer().status, 404)
    equal(Watcher(w, p + "/?keys", prefix).answer().status, 404)


@R.test
def life_and_death_of_a_missing_key_is_seen_by_a_query_with_an_old_index(w):
    p = w.fresh("brief")
    before = w.get(p).index()
    w.put(p), w.delete(p)
    res = Watcher(w, p, before).answer()
    equal(res.status, 404)
    check(res.index() > before, "the index stood still")


@R.test
def recursive_deletion_is_seen_by_queries_with_an_old_index(w):
    p = w.fresh("oldrec")
    w.put(p + "/a/1"), w.put(p + "/a/2"), w.put(p + "/b")
    asks = [p + "/a/1", p + "/a/?keys", p + "/?recurse"]
    olds = [(q, w.get(q).index()) for q in asks]
    w.delete(p + "/a?recurse")
    for q, old in olds:
        equal(Watcher(w, q, old).answer().status, 404 if "/a/" in q else 200, q)


@R.test
def recursive_deletion_wakes_exactly_the_right_ones(w):
    p = w.fresh("rec")
    for k in ["/a/1", "/a/2/x", "/ab", "/b"]:
        w.put(p + k)
    right = w.park(p + "/a/1", p + "/a/2/x", p + "/a/?keys", p + "/a/2/?recurse", p + "/?keys",
                   p + "?recurse")
    wrong = w.park(p + "/ab", p + "/b", p + "/ab?keys", p + "/b?recurse", p + "/a/3",
                   p + "/a/3/?keys", p + "/a")
    w.delete(p + "/a/?recurse")
    for a in right:
        w.woken(a, 404 if "/a/" in a.path else 200)
    w.not_woken(*wrong)
    w.put(p + "/a/3/1"), w.put(p + "/a"), w.put(p + "/ab", "2"), w.put(p + "/b", "2")
    for a in wrong:
        if not a.path.endswith("/a/3"):
            w.woken(a)
    w.put(p + "/a/3")
    w.woken([a for a in wrong if a.path.endswith("/a/3")][0])


@R.test
def recursive_deletion_of_everything_wakes_everybody(w):
    p = w.fresh("all")
    w.put(p + "/a")
    a, b, c = w.park(p + "/a", p + "/?keys", "/v1/kv/?recurse")
    (missing,) = w.park(p + "/never")
    w.delete("/v1/kv/?recurse")
    w.woken(a, 404), w.woken(b, 404), w.woken(c, 404)
    w.not_woken(missing)
    w.put(p + "/never")
    w.woken(missing)


# --- waiting ---------------------------------------------------------------------------------

@R.test
def index_of_the_future_waits_the_whole_time_and_gives_the_real_index(w):
    p = w.fresh("future")
    w.put(p)
    real = w.get(p).index()
    watchers = w.park(p, p + "?keys", index=real + 100000, wait="1s")
    w.put(w.fresh("other"))
    for a in watchers:
        res = a.answer()
        check(a.took >= 1.0, "came after %.3f s", a.took)
        equal((res.status, res.index()), (200, real), a.path)


@R.test
def index_zero_and_no_index_do_not_wait(w):
    p = w.fresh("zero")
    w.put(p)
    for query in ["?index=0&wait=60s", "?wait=60s", "?index=&wait=60s", "?index=0"]:
        began = time.monotonic()
        equal(w.get(p + query).status, 200, query)
        check(time.monotonic() - began < 30, "%s waited", query)
    check(w.get(w.fresh("none") + "?index=0").index() >= 1, "index 0")


@R.test
def older_index_is_answered_at_once(w):
    p = w.fresh("older")
    w.put(p, "1")
    old = w.get(p).index()
    w.put(p, "2")
    for query in ["", "?keys", "?recurse", "?raw"]:
        check(w.woken(Watcher(w, p + query, old)).index() > old, query)


@R.test
def wait_ends_in_time_with_jitter(w):
    p = w.fresh("jitter")
    w.put(p)
    at = w.get(p).index()
    watchers = w.park(*[p] * 8 + [w.fresh("none")] * 2, wait="1s")
    for a in watchers:
        res = a.answer()
        check(a.took >= 1.0, "came after %.3f s", a.took)
        check(a.took <= 1.0 + 1.0 / 16 + SLACK, "came after %.3f s", a.took)
        if a.path == p:
            equal((res.status, res.index()), (200, at))
        else:
            equal(res.status, 404)


@R.test
def wait_is_a_go_duration(w):
    p = w.fresh("units")
    w.put(p)
    for wait, least in [("300ms", 0.3), ("0.4s", 0.4), ("250000us", 0.25), ("0h0m0.3s", 0.3)]:
        a = Watcher(w, p, wait=wait)
        equal(a.answer().status, 200, wait)
        check(least <= a.took <= least + SLACK, "%s: came after %.3f s", wait, a.took)


@R.test
def bad_index_and_wait_are_400(w):
    p = w.fresh("bad")
    for query, text in [("index=abc", "Invalid index"), ("index=-1", "Invalid index"),
                        ("index=1.5", "Invalid index"), ("index=0x1", "Invalid index"),
                        ("index=18446744073709551616", "Invalid index"),
                        ("index=1&wait=abc", "Invalid wait time"),
                        ("index=1&wait=10", "Invalid wait time"),
                        ("index=1&wait=s", "Invalid wait time"),
                        ("index=1&wait=1d", "Invalid wait time"),
                        ("index=1&wait=99999999999999999999h", "Invalid wait time"),
                        ("wait=abc", "Invalid wait time")]:
        res = w.get(p + "?" + query)
        equal((res.status, res.text()), (400, text), query)


@R.test
def client_that_goes_away_is_forgotten(w):
    p = w.fresh("away")
    w.put(p)
    before = w.waiting()
    watchers = w.park(*[p] * 20)
    for i, a in enumerate(watchers):
        a.c.reset() if i % 2 else a.c.close()
    herald.eventually(lambda: w.waiting() <= before, "the queries are forgotten")
    w.put(p, "2")
    equal(w.get(p).status, 200)


@R.test
def identical_queries_share_one_evaluation(w, count=2000):
    p = w.fresh("crowd")
    w.put(p, "1")
    at = w.get(p).index()
    watchers = w.park(*[p] * count, index=at)
    fronts = os.cpu_count()
    check(w.metric("query.groups") <= fronts + 1, "%d groups", w.metric("query.groups"))
    before = [w.metric(m) for m in ("query.evaluated", "query.woken", "kvs.apply")]
    w.put(p, "2")
    bodies = {w.woken(a).body for a in watchers}
    equal(len(bodies), 1, "different answers")
    after = [w.metric(m) for m in ("query.evaluated", "query.woken", "kvs.apply")]
    evaluated, woken, writes = [b - a for a, b in zip(before, after)]
    check(1 <= evaluated <= fronts, "%d evaluations on %d fronts", evaluated, fronts)
    equal((woken, writes), (count, 1))
    for a in watchers:
        a.close()


@R.test
def different_forms_of_one_key_get_their_own_answer(w):
    p = w.fresh("forms")
    w.put(p, "1")
    json, raw, pretty, keys = w.park(p, p + "?raw", p + "?pretty", p + "?keys")
    w.put(p, "2")
    equal(w.woken(raw).body, b"2")
    check(w.woken(json).body.startswith(b'[{"LockIndex":0'), "json")
    check(w.woken(pretty).body.startswith(b"[\n    {"), "pretty")
    equal(w.woken(keys).json(), [p[len("/v1/kv/"):]])


@R.test
def followers_see_a_rising_index_and_the_last_value(w, writes=300):
    p = w.fresh("monotone")
    w.put(p + "/k", "0")
    problems = []
    threads = [threading.Thread(target=follow, args=(w.port, p + q, writes, problems))
               for q in ["/k", "/k?raw", "/?recurse", "/k", "?recurse"]]
    for t in threads:
        t.start()
    for i in range(1, writes + 1):
        w.put(p + "/k", str(i))
        if random.random() < 0.2:
            w.put(w.fresh("other"))
        if random.random() < 0.1:
            time.sleep(0.002)
    for t in threads:
        t.join(60)
    check(not any(t.is_alive() for t in threads), "a follower never saw the last value")
    check(not problems, "%s", problems)


def follow(port, path, last, problems):
    """Follows a key by blocking queries until it has its last value."""
    import base64
    index = 0
    with herald.Connection(port, timeout=60) as c:
        while True:
            mark = "&" if "?" in path else "?"
            res = c.request("GET", "%s%sindex=%d&wait=50s" % (path, mark, index))
            if res.status != 200 or res.index() <= index:
                problems.append("%s: %r index %s after %d" % (path, res, res.index(), index))
                return
            index = res.index()
            value = res.body if "raw" in path else base64.b64decode(res.json()[0]["Value"])
            if int(value) == last:
                return


def stopping_answers_the_waiting(server):
    w = World(server.port)
    p = w.fresh("stop")
    w.put(p)
    watchers = w.park(*[p] * 5)
    equal(server.stop(), 0)
    for a in watchers:
        check(a.answer().status in (200, 500, 503), "%s", a)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, help="a server that runs already")
    parser.add_argument("--no-metrics", action="store_true", help="it has none of Herald's metrics")
    parser.add_argument("only", nargs="*", help="run only tests whose name contains one of these")
    args = parser.parse_args()
    if args.port:
        R.run_all(args.only, World(args.port, not args.no_metrics))
        R.end()
    config = {"limits": {"http_max_conns_per_client": 10000},
              "telemetry": {"prometheus_retention_time": "60s"}}
    server = herald.Server(config=config)
    try:
        R.run_all(args.only, World(server.port))
        if not args.only:
            R.run("stopping_answers_the_waiting", stopping_answers_the_waiting, server)
    finally:
        R.run("server_ends_cleanly", server.end)
    R.end()


if __name__ == "__main__":
    main()
