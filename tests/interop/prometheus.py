#!/usr/bin/env python3
"""Prometheus with `consul_sd_configs` (Debian 11's: Debian 12 builds its own without): targets come
and go, also over a restart of Herald, with what Herald knows of them as labels."""
import json
import os
import shutil
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import herald  # noqa: E402
from haproxy import Backend  # noqa: E402

PROMETHEUS = os.path.realpath(shutil.which("prometheus") or "/usr/bin/prometheus")
PROMTOOL = os.path.join(os.path.dirname(PROMETHEUS), "promtool")
CONFIG = """global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
scrape_configs:
  - job_name: fleet
    consul_sd_configs:
      - server: 127.0.0.1:%d
        tags: [metrics]
        refresh_interval: 100ms
    relabel_configs:
      - source_labels: [__meta_consul_health]
        regex: passing
        action: keep
      - source_labels: [__meta_consul_service_id]
        target_label: instance
      - source_labels: [__meta_consul_service, __meta_consul_node, __meta_consul_dc]
        target_label: from
      - source_labels: [__meta_consul_service_metadata_version]
        target_label: version
"""


def register(s, target, ident, status="passing", tags=("metrics",)):
    r = s.put("/v1/catalog/register", json.dumps(
        {"Node": "host", "Address": "127.0.0.1",
         "Service": {"Service": "api", "ID": ident, "Port": target.port, "Tags": list(tags),
                     "Meta": {"version": "v" + ident}},
         "Check": {"CheckID": "c-" + ident, "Name": "c", "Status": status, "ServiceID": ident}}))
    assert r.status == 200, r


def targets(port):
    """Instance -> the others of its labels, of those that are scraped without an error."""
    url = "http://127.0.0.1:%d/api/v1/targets?state=active" % port
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            active = json.load(answer)["data"]["activeTargets"]
    except OSError:
        return None
    assert all("127.0.0.1" in t["scrapeUrl"] for t in active), active
    return {t["labels"]["instance"]: (t["labels"].get("from"), t["labels"].get("version"))
            for t in active if t["health"] == "up"}


def test_prometheus_finds_and_loses_targets():
    if not os.path.exists(PROMETHEUS):
        raise herald.Skip("prometheus is not installed")
    port = herald.free_port()
    target = Backend("herald_interop 1\n")
    with tempfile.TemporaryDirectory() as d, \
            herald.Server(data_dir=os.path.join(d, "data")) as s:
        path = os.path.join(d, "prometheus.yml")
        with open(path, "w", encoding="ascii") as f:
            f.write(CONFIG % s.port)
        code, out, err = herald.run([PROMTOOL, "check", "config", path])
        if "consul_sd_configs not found" in out + err:
            raise herald.Skip("this prometheus is built without Consul")
        command = [PROMETHEUS, "--config.file=" + path, "--log.level=error",
                   "--storage.tsdb.path=" + os.path.join(d, "tsdb"),
                   "--web.listen-address=127.0.0.1:%d" % port]
        try:
            with herald.Program(command):
                def follow(want, what):
                    want = {i: ("api;host;dc1", "v" + i) for i in want}
                    # It takes up to 5 s to act on what it heard, and 15 s to ask again after an
                    # error.
                    herald.eventually(lambda: targets(port) == want, what, 60)

                register(s, target, "a")
                register(s, target, "b")
                register(s, target, "other", tags=["quiet"])
                follow(["a", "b"], "two come, the one without the tag does not")
                register(s, target, "b", "critical")
                follow(["a"], "one turns critical")
                register(s, target, "b", "passing")
                register(s, target, "c")
                follow(["a", "b", "c"], "it passes again, and one comes")
                s.kill()
                s.start()
                for ident in ("a", "c"):
                    r = s.put("/v1/catalog/deregister",
                              json.dumps({"Node": "host", "ServiceID": ident}))
                    assert r.status == 200, r
                follow(["b"], "two leave after a restart of Herald")
                assert s.put("/v1/catalog/deregister", '{"Node": "host"}').status == 200
                follow([], "the node is gone")
        finally:
            target.stop()


if __name__ == "__main__":
    herald.main([test_prometheus_finds_and_loses_targets])
