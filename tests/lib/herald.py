"""What the tests that speak to a real server share: start, stop, raw requests, streams, a report.

    import herald
    with herald.Server() as s:                      # in memory, on a free port
        assert s.put("/v1/kv/a", b"1").json() is True
    with herald.Server(data_dir=d) as s: ...        # durable; s.kill() is kill -9, s.start() again

    herald.main([test_a, test_b])   # prints `ok a`, `not ok b`, `skip c reason`; exits 1 on failure

The program is $HERALD, or build/herald beside this tree. Everything runs on 127.0.0.1. Python's
standard library only. Waiting is always for a thing (a line, a byte, an exit), with a deadline.
"""
import base64
import collections
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Sanitizers and a busy two-core machine slow everything: one factor for every deadline.
SLOW = float(os.environ.get("HERALD_TEST_SLOW", "1"))


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


def program():
    return os.environ.get("HERALD", os.path.join(ROOT, "build", "herald"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(check, what, timeout=10.0):
    """Calls `check` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError("not within %.0f s: %s" % (timeout * SLOW, what))
        time.sleep(0.01)


class Response:
    """One answer: status, reason, headers (names in small letters), body as bytes."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode("utf-8", "replace")

    def index(self):
        return int(self.headers["x-consul-index"])

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.reason, self.body[:200])


class Connection:
    """A raw socket with just enough HTTP/1.1 to send anything and read answers one at a time."""

    def __init__(self, port=None, unix=None, timeout=15.0, receive_buffer=None, host="127.0.0.1"):
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout * SLOW)
        self.sock.connect(unix if unix else (host, port))
        if not unix:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a TCP reset, as a crashed client's machine would."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def readable(self, seconds=0.0):
        """Whether bytes, or the end, are here (or come within `seconds`)."""
        if self.held:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _more(self):
        data = self.sock.recv(65536)
        self.held += data
        return bool(data)

    def read_exactly(self, count):
        # A large body is not copied with each piece that comes.
        held = bytearray(self.held)
        try:
            while len(held) < count:
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError("closed after %d of %d bytes" % (len(held), count))
                held += data
        finally:
            self.held = bytes(held)
        out, self.held = self.held[:count], self.held[count:]
        return out

    def read_until(self, mark):
        while mark not in self.held:
            if not self._more():
                raise EOFError("closed; unread: %r" % self.held[:200])
        out, self.held = self.held.split(mark, 1)
        return out

    def read_all(self):
        """Everything until the peer closes (or resets)."""
        with contextlib.suppress(ConnectionResetError):
            while self._more():
                pass
        out, self.held = self.held, b""
        return out

    def read_head(self):
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        headers = collections.OrderedDict()
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        return Response(int(status), reason, headers, b"")

    def read_chunk(self):
        """One chunk of a chunked body; b"" is the last, and trailers are passed over."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while self.read_until(b"\r\n"):
                pass
            return b""
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_response(self, method="GET"):
        r = self.read_head()
        if method == "HEAD" or r.status in (204, 304) or 100 <= r.status < 200:
            return r
        if r.headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while True:
                part = self.read_chunk()
                if not part:
                    break
                parts.append(part)
            r.body = b"".join(parts)
        elif "content-length" in r.headers:
            r.body = self.read_exactly(int(r.headers["content-length"]))
        else:
            r.body = self.read_all()
        return r

    def send_request(self, method, path, body=None, headers=None):
        head = "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n" % (method, path)
        if body is not None:
            body = body if isinstance(body, bytes) else body.encode()
            head += "Content-Length: %d\r\n" % len(body)
        for name, value in (headers or {}).items():
            head += "%s: %s\r\n" % (name, value)
        self.send(head.encode("latin-1") + b"\r\n" + (body or b""))

    def request(self, method, path, body=None, headers=None):
        self.send_request(method, path, body, headers)
        return self.read_response(method)


class LineStream:
    """A response that goes on (NDJSON, SSE): lines of a chunked or plain body."""

    def __init__(self, connection, path, headers=None):
        self.c = connection
        self.c.send_request("GET", path, headers=headers)
        self.response = self.c.read_head()
        self.chunked = self.response.headers.get("transfer-encoding", "").lower() == "chunked"
        self.held = b""
        self.ended = False

    def _more(self):
        if self.ended:
            return False
        if self.chunked:
            data = self.c.read_chunk()
        else:
            data, self.c.held = self.c.held, b""
            data = data or self.c.sock.recv(65536)
        self.ended = not data
        self.held += data
        return not self.ended

    def line(self):
        """The next line without its end; None when the stream has ended."""
        while b"\n" not in self.held:
            if not self._more():
                return None
        line, self.held = self.held.split(b"\n", 1)
        return line.rstrip(b"\r").decode()

    def close(self):
        self.c.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Ndjson(LineStream):
    """`for object in stream`: one JSON object per line; heartbeat newlines are passed over."""

    def next(self):
        while True:
            line = self.line()
            if line is None:
                return None
            if line:
                return json.loads(line)

    def next_event(self):
        """The next object that is an event, not a control message."""
        while True:
            got = self.next()
            if got is None or "op" in got:
                return got


SseEvent = collections.namedtuple("SseEvent", "event id data")


class Sse(LineStream):
    """`next()` is one dispatched event, as the WHATWG text says a browser would."""

    def __init__(self, connection, path, headers=None):
        super().__init__(connection, path, dict({"Accept": "text/event-stream"}, **(headers or {})))
        self.last_id = ""
        self.retry = None
        self.comments = []

    def next(self, comments=False):
        """The next event; with `comments` each comment (a heartbeat) is one, too."""
        event, data = "", []
        while True:
            line = self.line()
            if line is None:
                return None
            if line == "":
                if data:
                    return SseEvent(event or "message", self.last_id, "\n".join(data))
                event = ""
                continue
            if line.startswith(":"):
                self.comments.append(line[1:].strip())
                if comments and not data:
                    return SseEvent("comment", self.last_id, self.comments[-1])
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                event = value
            elif field == "data":
                data.append(value)
            elif field == "id" and "\0" not in value:
                self.last_id = value
            elif field == "retry" and value.isdigit():
                self.retry = int(value)


class WebSocket:
    """RFC 6455 by hand, so that tests can also send what is not allowed."""

    def __init__(self, connection, path="/v1/stream", protocols=("herald.v1.json",), headers=None):
        self.c = connection
        self.key = base64.b64encode(os.urandom(16)).decode()
        head = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": self.key}
        if protocols:
            head["Sec-WebSocket-Protocol"] = ", ".join(protocols)
        head.update(headers or {})
        self.c.send_request("GET", path, headers=head)
        self.response = self.c.read_head()
        self.close_code = None
        self.close_reason = ""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.c.close()

    def send_frame(self, opcode, payload=b"", fin=True, masked=True, rsv=0):
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if masked else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
        if masked:
            mask = os.urandom(4)
            stream = mask * (len(payload) // 4 + 1)
            payload = bytes(a ^ b for a, b in zip(payload, stream))
            head += mask
        self.c.send(head + payload)

    def send(self, message):
        """A dict goes as JSON, a string as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_frame(1, text.encode())

    def read_frame(self):
        a, b = self.c.read_exactly(2)
        length = b & 0x7F
        if length == 126:
            length = struct.unpack(">H", self.c.read_exactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.c.read_exactly(8))[0]
        assert not b & 0x80, "a server must not mask"
        return bool(a & 0x80), a & 0x0F, self.c.read_exactly(length)

    def next_text(self):
        """The next whole text message; answers pings; None after the peer's close frame."""
        whole = b""
        while True:
            fin, opcode, payload = self.read_frame()
            if opcode == 9:
                self.send_frame(10, payload)
            elif opcode == 8:
                if len(payload) >= 2:
                    self.close_code = struct.unpack(">H", payload[:2])[0]
                    self.close_reason = payload[2:].decode()
                return None
            elif opcode in (0, 1):
                whole += payload
                if fin:
                    return whole.decode()

    def next(self):
        text = self.next_text()
        return None if text is None else json.loads(text)

    def next_of(self, *types):
        """The next message of one of these types; others are passed over."""
        while True:
            got = self.next()
            if got is None or got.get("type") in types:
                return got

    def close(self, code=1000):
        with contextlib.suppress(OSError):
            self.send_frame(8, struct.pack(">H", code))
        self.c.close()


class Server:
    """A `herald agent` of its own on a free port; in memory unless given a data directory."""

    def __init__(self, data_dir=None, args=(), config=None, env=None, wrap=(), start=True):
        self.dir = tempfile.mkdtemp(prefix="herald-test-")
        self.log_path = os.path.join(self.dir, "log")
        self.data_dir, self.args, self.wrap = data_dir, list(args), list(wrap)
        self.env = dict(os.environ, **(env or {}))
        self.port = free_port()
        self.process = None
        self.config = None
        if config is not None:
            self.config = os.path.join(self.dir, "config.json")
            with open(self.config, "w") as f:
                json.dump(config, f)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
        if exc[0] is not None:
            sys.stdout.write("# the server's last lines:\n")
            for line in self.log().splitlines()[-15:]:
                sys.stdout.write("#   %s\n" % line)
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self):
        mode = ["-dev"]
        if self.data_dir:
            mode = ["-server", "-bootstrap", "-bind=127.0.0.1", "-server-port=0",
                    "-serf-lan-port=0", "-data-dir=" + self.data_dir]
        if self.config:
            mode.append("-config-file=" + self.config)
        # DNS is for the tests that ask for it: the default port is one for the whole machine.
        if not any("dns" in str(a) for a in self.args):
            mode.append("-dns-port=-1")
        return self.wrap + [program(), "agent"] + mode + ["-http-port=%d" % self.port] + self.args

    def start(self, timeout=20.0, ready=True):
        """Starts it (again) on the same port; returns when it has a leader and answers."""
        out = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out,
                                        stderr=out, env=self.env)
        out.close()
        if ready:
            eventually(self._ready, "the server is ready", timeout)
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the server ended with %s:\n%s"
                                 % (self.process.returncode, self.log()[-4000:]))
        try:
            r = self.get("/v1/status/leader")
        except (OSError, EOFError):
            return False
        return r.status == 200 and r.json() != ""

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=20.0):
        return self.process.wait(timeout * SLOW)

    def kill(self):
        """kill -9 and wait until it is gone."""
        if self.running():
            self.process.kill()
        return self.process.wait()

    def stop(self, number=signal.SIGTERM, timeout=20.0):
        """A clean end; returns the exit code. Whoever hangs is killed and that is an error."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server did not end within %.0f s of signal %d"
                                 % (timeout * SLOW, number)) from None

    def close(self):
        """The end of a test: a clean stop, and no sanitizer report in the log."""
        if self.running():
            self.stop()
        found = re.search(r"ERROR: \w+Sanitizer.*|WARNING: ThreadSanitizer.*|runtime error:.*",
                          self.log())
        if found:
            at = found.start()
            raise AssertionError("the server's log has a report:\n" + self.log()[at:at + 6000])

    def end(self):
        """close(), and its files are gone: for a server that no `with` ends."""
        try:
            self.close()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def resident_bytes(self):
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def url(self, path=""):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def connect(self, **kw):
        return Connection(self.port, **kw)

    def request(self, method, path, body=None, headers=None, timeout=15.0):
        """One request on a connection of its own."""
        with self.connect(timeout=timeout) as c:
            return c.request(method, path, body, dict({"Connection": "close"}, **(headers or {})))

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, body=b"", **kw):
        return self.request("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    def index(self):
        """The store's current index, as a read of a missing key reports it."""
        return self.get("/v1/kv/?keys").index()

    def websocket(self, path="/v1/stream", protocols=("herald.v1.json",), headers=None, **kw):
        return WebSocket(self.connect(**kw), path, protocols, headers)

    def sse(self, query, headers=None, **kw):
        return Sse(self.connect(**kw), "/v1/stream?" + query, headers)

    def ndjson(self, query, headers=None, **kw):
        return Ndjson(self.connect(**kw), "/v1/stream?" + query + "&format=ndjson", headers)


class Program:
    """Another program whose lines we read as they come; its standard input stays ours to write."""

    def __init__(self, args, env=None, cwd=None):
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, cwd=cwd, bufsize=0,
                                        env=dict(os.environ, **(env or {})))
        self.held = b""
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stdout.write("".join("#   %s\n" % line for line in self.lines[-20:]))
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def line(self, timeout=15.0):
        """The next line without its end; None when the program has closed its output."""
        deadline = time.monotonic() + timeout * SLOW
        while b"\n" not in self.held:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("no line within %.0f s; unread: %r" % (timeout * SLOW,
                                                                            self.held))
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self.held += data
        line, self.held = self.held.split(b"\n", 1)
        self.lines.append(line.decode("utf-8", "replace"))
        return self.lines[-1]

    def line_with(self, *words, timeout=15.0):
        """The next line that holds all the words; those before it are passed over."""
        while True:
            line = self.line(timeout)
            if line is None:
                raise AssertionError("ended before a line with %r" % (words,))
            if all(word in line for word in words):
                return line

    def rest(self, timeout=15.0):
        """Everything to the end of the output, and the exit code."""
        out = []
        while (line := self.line(timeout)) is not None:
            out.append(line)
        return out, self.process.wait(timeout * SLOW)


def run(args, stdin=None, env=None, timeout=30.0):
    """Runs a program to its end: (exit code, standard output, standard error) as text."""
    got = subprocess.run(args, input=stdin, env=dict(os.environ, **(env or {})), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SLOW)
    return got.returncode, got.stdout, got.stderr


def main(tests):
    """Runs the tests in order; with arguments only those whose name holds one of them."""
    failed = ran = 0
    for test in tests:
        name = test.__name__.removeprefix("test_")
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        began = time.monotonic()
        ran += 1
        try:
            test()
            print("ok %s (%.1f s)" % (name, time.monotonic() - began))
        except Skip as why:
            print("skip %s %s" % (name, why))
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            print("not ok %s (%.1f s)" % (name, time.monotonic() - began))
        sys.stdout.flush()
    sys.exit(1 if failed or not ran else 0)
