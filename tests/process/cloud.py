#!/usr/bin/env python3
"""Cloud auto-join: a fake EC2 and its metadata service on loopback; programs; clouds that hang."""
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import cluster  # noqa: E402
import herald  # noqa: E402

SECRET, TOKEN, SESSION = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/session+token=", "imds"
world = None


def signature(headers, body, region):
    """AWS's own recipe, of the request as it came."""
    def mac(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()
    auth = headers["Authorization"]
    names = auth.split("SignedHeaders=")[1].split(",")[0].split(";")
    canonical = "POST\n/\n\n" + "".join("%s:%s\n" % (n, headers[n].strip()) for n in names) + \
        "\n" + ";".join(names) + "\n" + hashlib.sha256(body).hexdigest()
    date = headers["X-Amz-Date"]
    scope = "%s/%s/ec2/aws4_request" % (date[:8], region)
    text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (date, scope,
                                             hashlib.sha256(canonical.encode()).hexdigest())
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Ec2(http.server.BaseHTTPRequestHandler):
    seen = []
    addresses = []

    def log_message(self, *args):
        pass

    def answer(self, text, status=200):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self):
        good = self.path == "/latest/api/token" and \
            self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(SESSION if good else "", 200 if good else 400)

    def do_GET(self):
        base = "/latest/meta-data/"
        pages = {base + "placement/region": "eu-west-7",
                 base + "iam/security-credentials/": "fleet-role",
                 base + "iam/security-credentials/fleet-role": json.dumps(
                     {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": SECRET, "Token": TOKEN})}
        if self.headers.get("X-aws-ec2-metadata-token") != SESSION:
            self.answer("", 401)
        elif self.path in pages:
            self.answer(pages[self.path])
        else:
            self.answer("", 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        good = signature(self.headers, body, "eu-west-7") in self.headers["Authorization"] and \
            self.headers["X-Amz-Security-Token"] == TOKEN
        Ec2.seen.append((good, form))
        if not good:
            self.answer("<Response><Errors/></Response>", 403)
            return
        first = "NextToken" not in form
        items = "".join("<item><instancesSet><item><privateIpAddress>%s</privateIpAddress></item>"
                        "</instancesSet></item>" % a for a in ([] if first else Ec2.addresses))
        more = "<nextToken>page/2+=</nextToken>" if first else ""
        self.answer('<?xml version="1.0"?><DescribeInstancesResponse xmlns="x"><reservationSet>'
                    "%s</reservationSet>%s</DescribeInstancesResponse>" % (items, more))


class Agent(cluster.Node):
    def __init__(self, servers, number, join, env=None):
        super().__init__(servers, servers.count + number, None)
        self.name = "a%d" % (number + 1)
        self.log_path = os.path.join(servers.dir, self.name + ".log")
        self.config_file = os.path.join(servers.dir, self.name + ".json")
        with open(self.config_file, "w", encoding="utf-8") as f:
            json.dump({"server": False, "retry_join": [join]}, f)
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                [herald.program(), "agent", "-config-file=" + self.config_file,
                 "-node=" + self.name, "-bind=" + self.address, "-client=" + self.address],
                env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out)
        servers.undo.kill_later(self.process.pid)

    def sees(self, node):
        try:
            return node in [m["Name"] for m in self.get("/v1/agent/members").json()]
        except (OSError, EOFError):
            return False


def test_aws_instances_with_a_tag_are_joined():
    fake = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ec2)
    threading.Thread(target=fake.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d" % fake.server_port
    Ec2.addresses = [world.nodes[0].address]
    a = Agent(world, 0, "provider=aws tag_key=role tag_value=\"the servers\" endpoint=%s/" % url,
              {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url})
    herald.eventually(lambda: a.sees("s1"), "it has joined: " + a.log(), 30)
    assert all(good for good, _ in Ec2.seen), Ec2.seen
    form = Ec2.seen[-1][1]
    assert form["Filter.1.Name"] == "tag:role" and form["Filter.1.Value.1"] == "the servers", form
    assert form["NextToken"] == "page/2+=", form
    assert a.stop() == 0
    fake.shutdown()


def test_program_and_name_are_asked():
    b = Agent(world, 1, "provider=exec cmd=\"/bin/echo %s\"" % world.nodes[0].address)
    herald.eventually(lambda: b.sees("s1"), "it has joined", 30)
    r = b.put("/v1/agent/join/" + urllib.parse.quote("provider=exec cmd=/bin/true"))
    assert r.status == 500 and b"configuration" in r.body, r
    assert b.stop() == 0
    c = Agent(world, 2, "provider=dns host=%s" % world.nodes[0].address)
    herald.eventually(lambda: c.sees("s1"), "it has joined", 30)
    assert c.stop() == 0


def test_slow_cloud_holds_nobody_up():
    """While a program hangs, the agent answers; and it ends at once."""
    d = Agent(world, 3, "provider=exec cmd=\"/bin/sleep 60\"")
    herald.eventually(lambda: d.sees("a4"), "it answers", 30)
    assert d.put("/v1/agent/join/" + world.nodes[0].address).status == 200
    assert d.sees("s1")
    begun = time.monotonic()
    d.stop()
    assert time.monotonic() - begun < 8 * herald.SLOW


def test_unknown_clouds_are_refused():
    for text, word in (("provider=gce project_name=x", "not there"), ("provider=mars", "not known"),
                       ("provider=aws tag_key=a", "tag_value")):
        e = Agent(world, 4, text)
        assert e.process.wait(20 * herald.SLOW) == 1
        assert word in e.log(), e.log()
        os.remove(e.log_path)


if __name__ == "__main__":
    with cluster.Cluster("herald", 1, network="loopback") as world:
        herald.main([f for name, f in list(globals().items()) if name.startswith("test_")])
