#!/usr/bin/env python3
"""How an agent begins: directories that are not there yet, and whose its pid file is."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import herald  # noqa: E402


def read(path):
    with open(path) as f:
        return f.read()


def test_missing_directories_are_made_and_may_hold_the_pid_file():
    with tempfile.TemporaryDirectory() as d:
        pid = os.path.join(d, "a", "pid")
        with herald.Server(data_dir=os.path.join(d, "a", "data"), args=["-pid-file=" + pid]) as s:
            assert read(pid) == "%d\n" % s.process.pid
        assert not os.path.exists(pid), "gone with its process"


def test_client_makes_missing_directories():
    with tempfile.TemporaryDirectory() as d:
        data, pid = os.path.join(d, "a", "b", "data"), os.path.join(d, "a", "b", "pid")
        command = [herald.program(), "agent", "-bind=127.0.0.1", "-serf-lan-port=0",
                   "-dns-port=-1", "-http-port=%d" % herald.free_port(), "-data-dir=" + data,
                   "-pid-file=" + pid]
        with herald.Program(command) as client:
            client.line_with("Herald is ready")
            assert read(pid) == "%d\n" % client.process.pid
            assert os.path.exists(os.path.join(data, "node-id"))


def test_second_agent_leaves_the_firsts_pid_file():
    with tempfile.TemporaryDirectory() as d:
        pid = os.path.join(d, "pid")
        with herald.Server(data_dir=os.path.join(d, "data"), args=["-pid-file=" + pid]) as s:
            code, _, err = herald.run(s.command())
            assert code == 1 and "in use by another process" in err, (code, err)
            assert read(pid) == "%d\n" % s.process.pid


if __name__ == "__main__":
    herald.main([t for name, t in list(globals().items()) if name.startswith("test_")])
