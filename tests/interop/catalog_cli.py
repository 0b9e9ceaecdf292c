#!/usr/bin/env python3
"""The catalog and what is watched of it on the command line: Debian's real consul program (1.8.7)
and Herald's own, both as clients of one Herald: the same commands, the same words and exit codes.

One difference is meant: a check's Definition is shown as the server has it, where consul's program
fills in what is empty."""

import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import herald  # noqa: E402

COMMANDS = [
    "catalog services", "catalog services -tags", "catalog services -node=a -tags",
    "catalog services -node-meta=k=v", "catalog services -node-meta=k=zz",
    "catalog nodes", "catalog nodes -detailed", "catalog nodes -service=web",
    "catalog nodes -filter=Node==zz", "catalog nodes -filter=Node==a", "catalog nodes -filter=Nope",
    "catalog nodes -node-meta=k=v", "catalog nodes -near=_agent", "catalog datacenters",
    "watch -type=services", "watch -type=nodes",
    "watch -type=service -service=web -tag=x -passingonly=true",
    "watch -type=service -service=nope", "watch -type=checks -state=passing",
    "watch -type=checks -service=web", "watch -type=event -name=x", "watch -type=service",
    "watch -type=checks -service=web -state=passing", "watch -type=zz", "watch -type=nodes -key=a",
    "watch", "watch -type=service -service=web -name=x",
]


def plain(text):
    """JSON by its values, without what consul's program adds to it; other text as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        # An error ends with what the server said, which both have from the same one.
        return text.split(": ")[-1] if text.startswith("Error") else text
    return bare(value)


def bare(value):
    if isinstance(value, list):
        return [bare(v) for v in value]
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items()
                if k not in ("Definition", "Proxy", "Connect", "Namespace")}
    return value


def test_both_programs_say_the_same():
    program = shutil.which("consul")
    if program is None:
        raise herald.Skip("no consul program: the mirror has no Debian 11")
    with herald.Server(args=["-node=n1"]) as s:
        s.request("PUT", "/v1/catalog/register", json.dumps({
            "Node": "a", "Address": "1.1.1.1", "NodeMeta": {"k": "v"},
            "TaggedAddresses": {"lan": "1"}, "ID": "2bbca727-8124-8ebe-ef86-6c09c6b3f9e0",
            "Service": {"Service": "web", "Tags": ["x", "b"]},
            "Check": {"Name": "c", "Status": "passing", "ServiceID": "web"}}))
        env = {"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port}
        for command in COMMANDS:
            theirs, ours = (herald.run([p] + command.split(), env=env)
                            for p in (program, herald.program()))
            assert theirs[0] == ours[0], (command, theirs, ours)
            if not theirs[1] and theirs[0]:
                # What follows the first line is help, which is Herald's own.
                first = [plain(x[2].strip().split("\n")[0]) for x in (theirs, ours)]
                assert first[0] == first[1], (command, first)
            else:
                assert plain(theirs[1]) == plain(ours[1]), (command, theirs[1], ours[1])


def test_a_watch_gives_its_command_what_changed():
    with herald.Server() as s:
        s.request("PUT", "/v1/catalog/register", json.dumps(
            {"Node": "a", "Address": "1", "Service": {"Service": "web"}}))
        code, out, err = herald.run(
            [herald.program(), "watch", "-type=service", "-service=web", "cat; exit 7"],
            env={"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % s.port})
        assert code == 1 and '"Service":"web"' in out, (code, out, err)
        assert "exit status 7" in err, err


if __name__ == "__main__":
    herald.main([f for n, f in list(globals().items()) if n.startswith("test_")])
