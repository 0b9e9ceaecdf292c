"""What a test leaves in the machine (processes, namespaces, mounts) and how it goes away again,
also when the test is killed: a second process holds the list and works through it, last entry
first, as soon as the test closes its end of a pipe, in whatever way it ends.

    undo = Undo()
    undo.later("ip", "netns", "del", name)   # registered before the thing is made
    undo.kill_later(pid)
    undo.close()                             # waits until all is undone
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys


def started(pid):
    """When the process began, in clock ticks: tells it from a later one of the same number."""
    try:
        with open("/proc/%d/stat" % pid, encoding="latin-1") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


class Undo:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__)],
                                        stdin=subprocess.PIPE, start_new_session=True)

    def later(self, *command):
        self.say({"run": [str(word) for word in command]})

    def kill_later(self, pid):
        self.say({"kill": pid, "started": started(pid)})

    def remove_later(self, path):
        """A directory and all that is in it."""
        self.say({"remove": path})

    def say(self, entry):
        self.process.stdin.write(json.dumps(entry).encode() + b"\n")
        self.process.stdin.flush()

    def close(self):
        """Everything is undone when this returns; again is harmless."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()


def undo(entry):
    if "run" in entry:
        # Whatever is gone already is as it should be.
        subprocess.run(entry["run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       stdin=subprocess.DEVNULL, timeout=30, check=False)
    elif "remove" in entry:
        shutil.rmtree(entry["remove"], ignore_errors=True)
    elif started(entry["kill"]) == entry["started"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(entry["kill"], signal.SIGKILL)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    entries = [json.loads(line) for line in sys.stdin]
    for entry in reversed(entries):
        with contextlib.suppress(subprocess.TimeoutExpired):
            undo(entry)


if __name__ == "__main__":
    main()
