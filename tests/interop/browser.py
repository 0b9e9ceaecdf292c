#!/usr/bin/env python3
"""A page in headless Chromium that subscribes by WebSocket and by EventSource and shows changes.

The page (page.html) is written into a document of the server's own origin through the browser's
debugging protocol, so origin checks see what they would see of a page that Herald served itself.
"""
import contextlib
import json
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import herald  # noqa: E402

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--remote-allow-origins=*", "--remote-debugging-port=0"]


class Page:
    """One tab, spoken to over its debugging WebSocket."""

    def __init__(self, socket):
        self.socket, self.calls = socket, 0

    def call(self, method, **params):
        self.calls += 1
        self.socket.send({"id": self.calls, "method": method, "params": params})
        while True:
            got = json.loads(self.socket.next_text())
            if got.get("id") == self.calls:
                assert "error" not in got, got
                return got["result"]

    def evaluate(self, expression):
        got = self.call("Runtime.evaluate", expression=expression)
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def text(self, way):
        return self.evaluate("document.getElementById('%s').textContent" % way)

    def shows(self, words):
        for way in ("websocket", "eventsource"):
            want = "%s: %s" % (way, words)
            try:
                herald.eventually(lambda: self.text(way) == want, "the page shows " + want)
            except AssertionError as late:
                raise AssertionError("%s; it shows %r" % (late, self.text(way))) from None


@contextlib.contextmanager
def page_of(server):
    """Chromium with page.html at the server's origin."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise herald.Skip("no chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, herald.Program(
            [chromium] + FLAGS + ["--user-data-dir=" + profile, "about:blank"]) as browser:
        line = browser.line_with("DevTools listening on", timeout=60)
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        with herald.Connection(port) as c:
            tabs = c.request("GET", "/json/list", headers={"Connection": "close"}).json()
        path = [t for t in tabs if t["type"] == "page"][0]["webSocketDebuggerUrl"].split("/", 3)[3]
        with herald.WebSocket(herald.Connection(port, timeout=60), "/" + path, ()) as socket:
            page = Page(socket)
            page.call("Page.navigate", url=server.url("/v1/status/leader"))
            herald.eventually(
                lambda: page.evaluate("location.port + document.readyState")
                == "%dcomplete" % server.port, "the browser is at the server's origin")
            with open(os.path.join(HERE, "page.html")) as f:
                page.evaluate("document.open(); document.write(%s); document.close()"
                              % json.dumps(f.read()))
            yield page


def test_chromium_page_shows_changes_and_resumes():
    with tempfile.TemporaryDirectory() as d, herald.Server(data_dir=os.path.join(d, "data")) as s:
        with page_of(s) as page:
            page.shows("subscribed")
            s.put("/v1/kv/elsewhere", b"no")
            s.put("/v1/kv/page/a", "grün".encode())
            page.shows("set page/a grün (1)")
            s.delete("/v1/kv/page/a")
            page.shows("delete page/a  (2)")
            s.stop()
            s.start()
            s.put("/v1/kv/page/b", b"after the restart")
            page.shows("set page/b after the restart (3)")


if __name__ == "__main__":
    herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
