#!/usr/bin/env python3
"""The command line: every command against a real server, with the exact output and exit status of
Consul 1.8.7 where it has the command. The same script of commands is run by our program (as
`consul`) and by the real one, against our server and against a real one: four times the same
answers."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402

SCRATCH = tempfile.mkdtemp(prefix="herald-cli-")
# Not the scratch directory's own name: our program speaks Consul's command line by its name.
OURS = os.path.join(SCRATCH, "consul")


def run(args, port=None, stdin=None, env=None, timeout=30):
    """(exit status, standard output, standard error)"""
    full = {k: v for k, v in os.environ.items() if not re.match("(CONSUL|HERALD)_", k)}
    full.update({"SHELL": "/bin/sh"})
    if port is not None:
        full["CONSUL_HTTP_ADDR"] = "127.0.0.1:%d" % port
    full.update(env or {})
    done = subprocess.run(args, input=(stdin or "").encode(), capture_output=True, env=full,
                          timeout=timeout * herald.SLOW)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def ours(server, *args, **kw):
    return run([herald.program()] + list(args), port=server.port, **kw)


def as_consul(server, *args, **kw):
    return run([OURS] + list(args), port=server.port, **kw)


def expect(got, code, out=None, err=None):
    assert got[0] == code, "exit status %d, not %d: %r" % (got[0], code, got)
    assert out is None or got[1] == out, "printed %r, not %r (%r)" % (got[1], out, got[2])
    assert err is None or got[2] == err, "complained %r, not %r" % (got[2], err)


class RealConsul:
    """A `consul agent -dev` on free loopback ports."""

    def __init__(self):
        if real_consul() is None:
            raise herald.Skip("no consul program of another make in PATH")
        self.port = herald.free_port()
        ports = ["-%s-port=%d" % (name, herald.free_port())
                 for name in ("server", "serf-lan", "serf-wan")]
        self.log = open(os.path.join(SCRATCH, "consul.log"), "wb")
        self.process = subprocess.Popen(
            [real_consul(), "agent", "-dev", "-http-port=%d" % self.port, "-grpc-port=-1",
             "-dns-port=-1", "-disable-host-node-id"] + ports, stdout=self.log, stderr=self.log)

    def __enter__(self):
        herald.eventually(lambda: run([real_consul(), "kv", "put", "ready"], self.port)[0] == 0,
                          "consul is ready", 30)
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.log.close()


def real_consul():
    """The real program, not our link to ourselves."""
    path = shutil.which("consul")
    if path is None or os.path.realpath(path) == os.path.realpath(herald.program()):
        return None
    return path


# --- the goldens ----------------------------------------------------------------------------------

def test_cli_goldens_of_the_contract():
    with herald.Server() as s:
        def c(*args, **kw):
            return as_consul(s, *args, **kw)
        expect(c("kv", "put", "a/b", "hello"), 0, "Success! Data written to: a/b\n", "")
        expect(c("kv", "put", "a/c", "world"), 0, "Success! Data written to: a/c\n", "")
        expect(c("kv", "get", "a/b"), 0, "hello\n", "")
        index = s.get("/v1/kv/a/b").json()[0]["ModifyIndex"]
        expect(c("kv", "get", "-detailed", "a/b"), 0,
               "CreateIndex      %d\nFlags            0\nKey              a/b\n"
               "LockIndex        0\nModifyIndex      %d\nSession          -\n"
               "Value            hello\n" % (index, index), "")
        expect(c("kv", "get", "-recurse", "a/"), 0, "a/b:hello\na/c:world\n", "")
        expect(c("kv", "get", "-keys", "a"), 0, "a/\n", "")
        expect(c("kv", "get", "-keys"), 0, "a/\n", "")
        expect(c("kv", "get", "nope"), 1, "", "Error! No key exists at: nope\n")
        expect(c("kv", "put", "-cas", "-modify-index=1", "a/b", "x"), 1, "",
               "Error! Did not write to a/b: CAS failed\n")
        expect(c("kv", "delete", "a/b"), 0, "Success! Deleted key: a/b\n", "")
        expect(c("kv", "delete", "-recurse", "a"), 0, "Success! Deleted keys with prefix: a\n", "")
        expect(c("kv", "export", ""), 0, "[]\n", "")
        expect(c("kv", "export"), 0, "[]\n", "")
        expect(c("reload"), 0, "Configuration reload triggered\n", "")
        expect(c("watch", "-type=key", "-key=zz"), 0, "null\n", "")
        code, out, _ = c("version")
        assert code == 0 and out.splitlines()[0] == "Consul v1.8.7", out
        version = json.loads(c("version", "-format=json")[1])
        assert version["Version"] == "1.8.7" and version["RPC"]["Default"] == 2, version
        expect(c("version", "-format=zz"), 1, "", "Unknown format: zz\n")


def test_cli_members_info_monitor_leave():
    with herald.Server() as s:
        code, out, _ = as_consul(s, "members")
        head, row = out.splitlines()
        assert code == 0 and head.split() == ["Node", "Address", "Status", "Type", "Build",
                                              "Protocol", "DC", "Segment"], out
        assert row.split()[2:4] == ["alive", "server"] and row.split()[-1] == "<all>", out
        expect(as_consul(s, "members", "-status=zz"), 2, "", "")
        code, out, _ = as_consul(s, "members", "-detailed")
        assert code == 0 and "role=consul" in out and out.split()[3] == "Tags", out
        code, _, err = as_consul(s, "members", "-status=[")
        assert code == 1 and err.startswith("Failed to compile status regexp:"), err
        code, out, _ = as_consul(s, "info")
        assert code == 0 and "\nraft:\n" in out and "\tleader = true\n" in out, out
        program = subprocess.Popen([herald.program(), "monitor", "-log-level=debug",
                                    "-http-addr=127.0.0.1:%d" % s.port], stdout=subprocess.PIPE)
        try:
            line = read_line_while(program, lambda: s.get("/v1/kv/x"))
            assert "[DEBUG]" in line or "[INFO]" in line, line
        finally:
            program.kill()
            program.wait()
            program.stdout.close()
        expect(as_consul(s, "leave"), 0, "Graceful leave complete\n", "")
        assert s.wait() == 0


def read_line_while(program, poke):
    """The program's next line; `poke` is done until it comes."""
    lines = []
    reader = threading.Thread(target=lambda: lines.append(program.stdout.readline()), daemon=True)
    reader.start()

    def there():
        if not lines:
            poke()
        return lines
    return herald.eventually(there, "a line of the program")[0].decode()


# --- four times the same --------------------------------------------------------------------------

EXPORTED = json.dumps([{"key": "imp/big", "flags": 16210313421097356768, "value": "aGk="},
                       {"key": "imp/bin", "flags": 1, "value": "/3gA"},
                       {"key": "imp/<é>", "value": ""}])

# (arguments, standard input); what they print must be the same whoever runs them, wherever.
SCRIPT = [
    (["kv", "put", "t/a", "one"], None),
    (["kv", "put", "-flags=18446744073709551615", "t/b", "-"], "from\nstdin\n"),
    (["kv", "put", "-base64", "t/c", "AAECAw=="], None),
    (["kv", "put", "t/empty"], None),
    (["kv", "put", "t/x y%2f?&#", "odd"], None),
    (["kv", "put", "t/é", "<&>"], None),
    (["kv", "get", "t/a"], None),
    (["kv", "get", "/t/a"], None),
    (["kv", "get", "t/b"], None),
    (["kv", "get", "-base64", "t/c"], None),
    (["kv", "get", "t/empty"], None),
    (["kv", "get", "t/x y%2f?&#"], None),
    (["kv", "get", "t/é"], None),
    (["kv", "get", "-detailed", "t/b"], None),
    (["kv", "get", "-detailed", "t/empty"], None),
    (["kv", "get", "-detailed", "-base64", "t/c"], None),
    (["kv", "get", "-recurse", "t/"], None),
    (["kv", "get", "-recurse", "-base64", "t/"], None),
    (["kv", "get", "-recurse", "-detailed", "t/"], None),
    (["kv", "get", "-recurse", "nope"], None),
    (["kv", "get", "-keys", "t"], None),
    (["kv", "get", "-keys", "t/"], None),
    (["kv", "get", "-keys", "-separator=", "t"], None),
    (["kv", "get", "-keys", "-separator=e", "t/"], None),
    (["kv", "get", "-keys", "nope"], None),
    (["kv", "get", "-keys", "-recurse", "t"], None),
    (["kv", "get", "-recurse=false", "t/a"], None),
    (["kv", "get", "--recurse", "t/a"], None),
    (["kv", "get"], None),
    (["kv", "get", "a", "b"], None),
    (["kv", "put"], None),
    (["kv", "put", "a", "b", "c"], None),
    (["kv", "put", "/a", "b"], None),
    (["kv", "put", "a", "@/no/such/file"], None),
    (["kv", "put", "-cas", "a", "b"], None),
    (["kv", "put", "-acquire", "a", "b"], None),
    (["kv", "delete"], None),
    (["kv", "delete", "a", "b"], None),
    (["kv", "delete", "-cas", "t/a"], None),
    (["kv", "delete", "-cas", "-modify-index=1", "t/a"], None),
    (["kv", "delete", "-modify-index=1", "t/a"], None),
    (["kv", "delete", "nothing"], None),
    (["kv", "export", "t/"], None),
    (["kv", "export", "/t/e"], None),
    (["kv", "export", "nope"], None),
    (["kv", "export", "a", "b"], None),
    (["kv", "import", EXPORTED], None),
    (["kv", "import", "-"], EXPORTED),
    (["kv", "export", "imp"], None),
    (["kv", "get", "-detailed", "imp/big"], None),
    (["kv", "import", "[]"], None),
    (["kv", "import", "null"], None),
    (["kv", "import"], None),
    (["kv", "import", "a", "b"], None),
    (["kv", "import", ""], None),
    (["kv", "import", "@/no/such/file"], None),
    (["kv", "import", '[{"Key":"imp/upper","Value":"aGk="}]'], None),
    (["kv", "import", '[{"key":"/x","value":"aGk="}]'], None),
    (["watch"], None),
    (["watch", "-type=zz"], None),
    (["watch", "-type=key"], None),
    (["watch", "-type=keyprefix"], None),
    (["watch", "-type=key", "-key=t/a", "-prefix=x"], None),
    (["watch", "-type=key", "-key=t/a"], None),
    (["watch", "-type=key", "-key=nope"], None),
    (["watch", "-type=keyprefix", "-prefix=t/"], None),
    (["watch", "-type=keyprefix", "-prefix=nope"], None),
    (["watch", "-type=key", "-key=t/a", "cat; exit 3"], None),
    (["watch", "-type=key", "-key=t/a", "-shell=false", "false"], None),
    (["watch", "-type=keyprefix", "-prefix=t/", "cat; exit 1"], None),
    (["kv", "delete", "-recurse", "t/"], None),
    (["kv", "delete", "-recurse", "imp/"], None),
    (["kv", "get", "-recurse"], None),
    (["reload"], None),
    (["validate"], None),
]

# Each program words its own usage.
USAGE = re.compile(r"Usage: ")


def plain(text):
    """Indexes are each server's own, the usage is each program's."""
    text = re.sub(r"(Index\"?:?\s+)\d+", r"\1N", text)
    text = re.sub(r"(\"\w+Index\":)\d+", r"\1N", text)
    lines = text.splitlines(keepends=True)
    for i, line in enumerate(lines):
        if USAGE.match(line):
            return "".join(lines[:i]).rstrip()
    return text.rstrip()


def play(program, port):
    run([program, "kv", "delete", "-recurse", "-http-addr=127.0.0.1:%d" % port], port)
    return [(args, run([program] + args, port, stdin)) for args, stdin in SCRIPT]


def compare(a, b, names):
    wrong = []
    for (args, x), (_, y) in zip(a, b):
        for what, i in (("exit status", 0), ("output", 1), ("errors", 2)):
            p, q = (plain(v[i]) if i else v[i] for v in (x, y))
            if p != q:
                wrong.append("%s of %s: %s %r, %s %r" % (what, args, names[0], p, names[1], q))
    assert not wrong, "\n".join(wrong)


def test_cli_script_real_program_against_herald():
    """Our program and the real one, both against our server."""
    if real_consul() is None:
        raise herald.Skip("no consul program of another make in PATH")
    with herald.Server() as s:
        compare(play(OURS, s.port), play(real_consul(), s.port), ("ours", "consul"))


def test_cli_script_our_program_against_real_server():
    """Both programs against the real server; and ours sees there what it sees here."""
    with RealConsul() as real, herald.Server() as s:
        there = play(OURS, real.port)
        compare(there, play(real_consul(), real.port), ("ours", "consul"))
        compare(play(OURS, s.port), there, ("herald's server", "consul's server"))


# --- ours alone -----------------------------------------------------------------------------------

def test_cli_unreachable_server_names_the_address():
    port = herald.free_port()
    for args in (["kv", "get", "x"], ["kv", "put", "x", "y"], ["kv", "export"], ["info"],
                 ["members"], ["leave"], ["reload"], ["monitor"], ["stream"],
                 ["watch", "-type=key", "-key=x"], ["kv", "import", '[{"key":"a"}]']):
        code, out, err = run([herald.program()] + args, port)
        assert code == 1 and out == "", (args, code, out)
        assert "127.0.0.1:%d: connect: connection refused" % port in err, (args, err)


def test_cli_addresses_and_environment():
    with herald.Server() as s:
        bad = "127.0.0.1:%d" % herald.free_port()
        good = "127.0.0.1:%d" % s.port
        h = herald.program()
        expect(run([h, "kv", "put", "k", "v"], env={"HERALD_HTTP_ADDR": good,
                                                    "CONSUL_HTTP_ADDR": bad}), 0)
        expect(run([h, "kv", "get", "-http-addr", "http://" + good, "k"],
                   env={"HERALD_HTTP_ADDR": bad}), 0, "v\n", "")
        code, _, err = run([h, "kv", "get", "k"], env={"CONSUL_HTTP_ADDR": "https://" + good})
        assert code == 1 and "https is not available" in err, err
        code, _, err = run([h, "kv", "get", "-http-addr=zz://x", "k"])
        assert code == 1 and "Unknown protocol scheme: zz" in err, err
        code, _, err = run([h, "kv", "get", "-token-file=/no/such/file", "k"])
        assert code == 1 and "Error loading token file" in err, err


def test_cli_unix_socket():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "herald.sock")
        config = {"addresses": {"http": "127.0.0.1 unix://" + path},
                  "unix_sockets": {"mode": "0600"}}
        with herald.Server(config=config):
            assert os.stat(path).st_mode & 0o777 == 0o600
            at = {"CONSUL_HTTP_ADDR": "unix://" + path}
            expect(run([herald.program(), "kv", "put", "k", "v"], env=at), 0)
            expect(run([herald.program(), "kv", "get", "k"], env=at), 0, "v\n", "")


def test_cli_unknown_and_later_commands():
    code, out, err = run([herald.program(), "nope"])
    assert code == 127 and out == "" and "no command `nope`" in err, (code, err)
    code, _, err = run([OURS, "stream"])
    assert code == 127 and "no command `stream`" in err, (code, err)
    for later in ("exec", "intention", "rtt"):
        code, _, err = run([OURS, later, "x"])
        assert code == 1 and "not available in this build" in err, (code, err)


def test_cli_help_everywhere():
    for command in ("agent", "info", "kv", "kv delete", "kv export", "kv get", "kv import",
                    "kv put", "leave", "members", "monitor", "reload", "stream", "validate",
                    "version", "watch"):
        for flag in ("-h", "-help", "--help"):
            code, out, err = run([herald.program()] + command.split() + [flag])
            assert code == 0 and err == "" and "Usage: " in out, (command, flag, code, err)
            assert command.split()[0] in out.splitlines()[0], out
    code, out, _ = run([herald.program(), "--help"])
    assert code == 0 and "stream" in out and "agent" in out
    code, out, _ = run([OURS, "--help"])
    assert code == 0 and "\n    stream" not in out
    code, out, _ = run([herald.program(), "--version"])
    assert code == 0 and out.startswith("Herald v"), out
    code, _, err = run([herald.program(), "kv", "get", "-bogus"])
    assert code == 1 and err.startswith("flag provided but not defined: -bogus\n"), err


def test_cli_import_changes_nothing_when_an_entry_is_bad():
    with herald.Server() as s:
        bad = '[{"key":"a","value":"aGk="},{"key":"b","value":"!!"}]'
        code, out, err = ours(s, "kv", "import", bad)
        assert code == 1 and out == "" and "for key b" in err, (out, err)
        expect(ours(s, "kv", "get", "-keys"), 0, "", "")
        code, _, err = ours(s, "kv", "import", "[" * 100 + "]" * 100)
        assert code == 1 and "nested deeper" in err, err


def test_cli_import_says_how_far_it_is():
    with herald.Server() as s:
        keys = json.dumps([{"key": "k/%04d" % i, "value": "aGk="} for i in range(1500)])
        code, out, err = ours(s, "kv", "import", "-prefix=p/", "-", stdin=keys)
        assert code == 0 and out.count("\n") == 1500, (code, out[:100])
        assert err == "Imported 1000 of 1500 keys\nImported 1500 of 1500 keys\n", err
        assert len(s.get("/v1/kv/p/k/?keys").json()) == 1500


def test_cli_watch_runs_the_command_for_each_change():
    with herald.Server() as s, tempfile.TemporaryDirectory() as d:
        s.put("/v1/kv/w", b"1")
        seen = os.path.join(d, "seen")
        program = subprocess.Popen(
            [herald.program(), "watch", "-http-addr=127.0.0.1:%d" % s.port, "-type=key", "-key=w",
             "(cat; echo $CONSUL_INDEX) >>" + seen], env=dict(os.environ, SHELL="/bin/sh"))
        try:
            def lines():
                try:
                    with open(seen) as f:
                        return f.read().splitlines()
                except FileNotFoundError:
                    return []
            herald.eventually(lambda: len(lines()) == 2, "the first run")
            s.put("/v1/kv/other", b"x")
            s.put("/v1/kv/w", b"2")
            herald.eventually(lambda: len(lines()) == 4, "the second run")
            s.delete("/v1/kv/w")
            herald.eventually(lambda: len(lines()) == 6, "the third run")
            got = lines()
            assert json.loads(got[0])["Value"] == "MQ==", got
            assert json.loads(got[2])["Value"] == "Mg==", got
            assert got[4] == "null" and int(got[5]) > int(got[3]) > int(got[1]), got
        finally:
            program.kill()
            program.wait()


def test_cli_stream_prints_each_change_once_across_restarts():
    """The server is killed and comes back on its data; the stream goes on where it was."""
    with tempfile.TemporaryDirectory() as d, \
            herald.Server(data_dir=os.path.join(d, "data")) as s, \
            open(os.path.join(d, "err"), "w+") as err:
        program = subprocess.Popen([herald.program(), "stream", "-from=oldest", "-prefix=k",
                                    "-http-addr=127.0.0.1:%d" % s.port],
                                   stdout=subprocess.PIPE, stderr=err)
        try:
            for i in range(3):
                s.put("/v1/kv/k%d" % i, b"v")
                s.put("/v1/kv/other", b"v")
            got = [json.loads(program.stdout.readline()) for _ in range(3)]
            s.kill()
            s.start()
            s.put("/v1/kv/k3", b"w")
            s.delete("/v1/kv/k0")
            got += [json.loads(program.stdout.readline()) for _ in range(2)]
            assert [(e["op"], e["key"]) for e in got] == [
                ("set", "k0"), ("set", "k1"), ("set", "k2"), ("set", "k3"), ("delete", "k0")], got
            indexes = [e["index"] for e in got]
            assert indexes == sorted(set(indexes)), indexes
            err.seek(0)
            said = err.read()
            assert "next try in" in said and "resuming after index" in said, said
        finally:
            program.kill()
            program.wait()
            program.stdout.close()


def test_cli_stream_once_text_and_snapshot():
    with herald.Server() as s:
        s.put("/v1/kv/a", b"one")
        s.put("/v1/kv/b", b"two\nlines")
        s.put("/v1/kv/c", b"\xff")
        s.delete("/v1/kv/a")
        code, out, _ = ours(s, "stream", "-from=oldest", "-once", "-format=text")
        said = [re.sub(r"^\d+ ", "", line) for line in out.splitlines()]
        assert code == 0 and said == ["set a one", 'set b "two\\nlines"', "set c base64:/w==",
                                      "delete a"], out
        code, out, _ = ours(s, "stream", "-from=snapshot", "-once", "-format=text")
        assert code == 0 and [line.split()[1:3] for line in out.splitlines()] == [
            ["is", "b"], ["is", "c"]], out
        code, out, _ = ours(s, "stream", "-from=oldest", "-once", "-key=b")
        assert code == 0 and json.loads(out)["key"] == "b", out
        code, out, _ = ours(s, "stream", "-from=oldest", "-once", "-filter=op == \"delete\"")
        assert code == 0 and json.loads(out)["op"] == "delete", out
        code, _, err = ours(s, "stream", "-filter=((")
        assert code == 1 and "Unexpected response code: 400" in err, err
        code, _, err = ours(s, "stream", "-from=zz")
        assert code == 1 and "-from" in err, err


def test_cli_stream_says_compacted():
    with tempfile.TemporaryDirectory() as d, herald.Server(data_dir=d + "/data", config={
            "herald": {"history_age": "1ms", "history_bytes": 0}}) as s:
        for i in range(50):
            s.put("/v1/kv/k%d" % (i % 5), b"v" * 1000)

        def compacted():
            # What was trimmed is gone from the views that are published after it.
            s.put("/v1/kv/k0", b"v")
            got = ours(s, "stream", "-from=1", "-once")
            return got if got[0] == 1 else None
        code, _, err = herald.eventually(compacted, "old changes are trimmed", 30)
        assert "stream: compacted" in err and "-from=snapshot" in err, err
        code, out, err = ours(s, "stream", "-from=1", "-once", "-compacted=snapshot")
        assert code == 0 and "snapshot of the present state" in err, (code, err)
        assert len(out.splitlines()) == 5, out


# --- configuration --------------------------------------------------------------------------------

FLEET_SERVER = '{"ui": true, "leave_on_terminate": true, "bootstrap_expect": 5, "server": true}'
FLEET_CLIENT = ('{"server": false, "ui": false, "leave_on_terminate": true, '
                '"service": {"name": "api", "tags": ["api", "prod"]}}')


def config_file(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def test_cli_validate_the_fleets_files():
    with tempfile.TemporaryDirectory() as d:
        for text in (FLEET_SERVER, FLEET_CLIENT):
            path = config_file(d, "a.json", text)
            code, out, err = run([OURS, "validate", path])
            assert code == 0 and out == "Configuration is valid!\n", (out, err)
            assert "ui: accepted, and not used" in err, err
            expect(run([OURS, "validate", "-quiet", path]), 0, "", "")
            expect(run([OURS, "validate", d]), 0, "Configuration is valid!\n")
        bad = config_file(d, "b.json", '{"ports": {"foo": 1}}')
        expect(run([OURS, "validate", bad]), 1, "",
               "Config validation failed: %s: ports.foo: unknown key\n" % bad)
        expect(run([OURS, "validate", d]), 1)
        code, _, err = run([OURS, "validate", os.path.join(d, "nope.json")])
        assert code == 1 and "nope.json" in err, err


def test_cli_agent_refuses_what_it_cannot_be():
    with tempfile.TemporaryDirectory() as d:
        meets = FLEET_SERVER.replace("{", '{"data_dir": "%s", ' % d)
        for text, words in ((FLEET_SERVER, "data_dir cannot be empty"),
                            (meets, "encrypt is not set"),
                            (FLEET_CLIENT, "encrypt is not set"),
                            ('{"server": true, "bootstrap": true}', "data_dir cannot be empty"),
                            ('{"limits": {"http_max_conns_per_client": 3999999}}',
                             "file descriptors")):
            path = config_file(d, "a.json", text)
            dev = ["-dev"] if "limits" in text else []
            code, _, err = run([herald.program(), "agent", "-config-file=" + path] + dev)
            assert code == 1 and words in err, (code, err)
        code, _, err = run([herald.program(), "agent", "-foo"])
        assert code == 1 and "flag provided but not defined: -foo" in err, err
        code, _, err = run([herald.program(), "agent", "-dev", "extra"])
        assert code == 1 and "Unexpected extra arguments: [extra]" in err, err


def test_cli_agent_flags_win_over_files_and_reload_says_what_stays():
    with tempfile.TemporaryDirectory() as d:
        path = config_file(d, "a.json", '{"node_name": "from-file", "log_level": "info", '
                                        '"http_config": {"response_headers": {"X-Mine": "yes"}}}')
        with herald.Server(args=["-config-dir=" + d, "-node=from-flag"]) as s:
            assert s.get("/v1/agent/self").json()["Config"]["NodeName"] == "from-flag"
            assert s.get("/v1/status/leader").headers["x-mine"] == "yes"
            config_file(d, "a.json", '{"log_level": "debug", "datacenter": "dc9"}')
            expect(as_consul(s, "reload"), 0)
            herald.eventually(lambda: "datacenter: changed, and takes effect at the next start"
                              in s.log(), "the warning")
            with open(path, "w") as f:
                f.write("{")
            as_consul(s, "reload")
            herald.eventually(lambda: "Configuration was not reloaded" in s.log(), "the complaint")
            assert s.get("/v1/status/leader").status == 200


def main():
    os.symlink(os.path.abspath(herald.program()), OURS)
    try:
        herald.main([value for name, value in sorted(globals().items())
                     if name.startswith("test_")])
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)


if __name__ == "__main__":
    main()
