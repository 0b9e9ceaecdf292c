#!/usr/bin/env python3
"""Debian's real consul program (1.8.7) as a client of Herald, and Herald's own command line beside
it: the same commands, the same answers."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402


def consul(server, *args, stdin=None, code=0):
    """One command; returns what it printed, on both channels."""
    program = shutil.which("consul")
    if program is None:
        raise herald.Skip("no consul program: the mirror has no Debian 11")
    got, out, err = herald.run([program] + list(args), stdin=stdin, env=address(server))
    assert got == code, "exit code %d, not %d: %s%s" % (got, code, out, err)
    return (out + err).strip()


def ours(server, *args, stdin=None, code=0):
    got, out, err = herald.run([herald.program()] + list(args), stdin=stdin, env=address(server))
    assert got == code, "exit code %d, not %d: %s%s" % (got, code, out, err)
    return (out + err).strip()


def address(server):
    return {"CONSUL_HTTP_ADDR": "127.0.0.1:%d" % server.port}


def test_consul_kv_put_get_delete():
    with herald.Server() as s:
        assert consul(s, "kv", "put", "a/b", "hello") == "Success! Data written to: a/b"
        assert consul(s, "kv", "get", "a/b") == "hello"
        assert consul(s, "kv", "put", "-flags=42", "a/c", "-", stdin="from stdin")
        assert consul(s, "kv", "get", "-recurse", "a") == "a/b:hello\na/c:from stdin"
        assert consul(s, "kv", "get", "-keys", "a/") == "a/b\na/c"
        detailed = consul(s, "kv", "get", "-detailed", "a/c").split()
        assert detailed[detailed.index("Flags") + 1] == "42", detailed
        assert consul(s, "kv", "delete", "a/b") == "Success! Deleted key: a/b"
        assert consul(s, "kv", "get", "a/b", code=1) == "Error! No key exists at: a/b"
        assert consul(s, "kv", "delete", "-recurse", "a") == "Success! Deleted keys with prefix: a"
        assert consul(s, "kv", "get", "-keys", "a/") == ""


def test_consul_kv_put_cas():
    with herald.Server() as s:
        consul(s, "kv", "put", "k", "1")
        index = s.get("/v1/kv/k").json()[0]["ModifyIndex"]
        said = consul(s, "kv", "put", "-cas", "-modify-index=%d" % (index + 1), "k", "2", code=1)
        assert said == "Error! Did not write to k: CAS failed", said
        consul(s, "kv", "put", "-cas", "-modify-index=%d" % index, "k", "2")
        assert consul(s, "kv", "get", "k") == "2"
        consul(s, "kv", "delete", "-cas", "-modify-index=%d" % index, "k", code=1)


def test_consul_exports_what_was_imported():
    fleet = os.path.join(herald.ROOT, "examples", "fleet.json")
    with open(fleet) as f:
        rows = json.load(f)
    with herald.Server() as s:
        said = consul(s, "kv", "import", "@" + fleet)
        assert said.count("Imported: ") == len(rows), said[-200:]
        assert json.loads(consul(s, "kv", "export", "")) == rows
        some = [r for r in rows if r["key"].startswith("features/")]
        assert json.loads(consul(s, "kv", "export", "features/")) == some


def test_our_import_and_export_are_the_same_as_consuls():
    fleet = os.path.join(herald.ROOT, "examples", "fleet.json")
    with herald.Server() as s:
        ours(s, "kv", "import", "@" + fleet)
        assert ours(s, "kv", "export") == consul(s, "kv", "export")


def test_consul_and_our_own_command_line_say_the_same():
    commands = [
        ("kv", "put", "x/1", "one"), ("kv", "get", "x/1"), ("kv", "get", "-base64", "x/1"),
        ("kv", "put", "-base64", "x/2", "dHdv"), ("kv", "get", "-recurse", "x/"),
        ("kv", "get", "-keys", "x/"), ("kv", "get", "-keys", "-separator=", "x"),
        ("kv", "put", "-cas", "x/1", "again"), ("kv", "delete", "x/1"),
        ("kv", "get", "x/1"), ("kv", "delete", "-recurse", "x"), ("kv", "get", "-recurse", "x"),
    ]
    with herald.Server() as a, herald.Server() as b:
        for command in commands:
            theirs = herald.run([shutil.which("consul") or "consul"] + list(command),
                                env=address(a)) if shutil.which("consul") else None
            if theirs is None:
                raise herald.Skip("no consul program: the mirror has no Debian 11")
            mine = herald.run([herald.program()] + list(command), env=address(b))
            assert mine == theirs, "%s: %r, consul says %r" % (" ".join(command), mine, theirs)


def test_consul_watch_runs_a_command_per_change():
    with herald.Server() as s:
        s.put("/v1/kv/w/k", b"1")
        program = shutil.which("consul")
        if program is None:
            raise herald.Skip("no consul program: the mirror has no Debian 11")
        for kind in (["-type=key", "-key=w/k"], ["-type=keyprefix", "-prefix=w/"]):
            with herald.Program([program, "watch"] + kind + ["cat; echo"],
                                env=address(s)) as watch:
                watch.line_with('"Key":"w/k"')
                s.put("/v1/kv/w/k", b"changed by " + kind[0].encode())
                row = json.loads(watch.line_with('"Key":"w/k"'))
                row = row[0] if isinstance(row, list) else row
                assert row["ModifyIndex"] == s.get("/v1/kv/w/k").index(), row


def test_our_watch_is_consuls():
    with herald.Server() as s:
        s.put("/v1/kv/w/k", b"1")
        for kind in (["-type=key", "-key=w/k"], ["-type=keyprefix", "-prefix=w/"]):
            once = ours(s, "watch", *kind)
            assert json.loads(once) == json.loads(consul(s, "watch", *kind)), once
            with herald.Program([herald.program(), "watch"] + kind + ["cat; echo"],
                                env=address(s)) as watch:
                watch.line_with('"Key":"w/k"')
                s.put("/v1/kv/w/k", b"changed by " + kind[0].encode())
                watch.line_with('"Key":"w/k"')


def test_consul_over_a_unix_socket():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "http.sock")
        with herald.Server(config={"addresses": {"http": "127.0.0.1 unix://" + path}}) as s:
            s.put("/v1/kv/u", b"same store")
            consul(s, "version")
            code, out, err = herald.run([shutil.which("consul"), "kv", "get", "u"],
                                        env={"CONSUL_HTTP_ADDR": "unix://" + path})
            assert (code, out) == (0, "same store\n"), err


if __name__ == "__main__":
    herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
