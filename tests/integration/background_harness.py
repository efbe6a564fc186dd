"""What the tests of tracking in the background share: programs, keepers that are ended by their pids, waiting."""

import contextlib
import json
import os
import pathlib
import signal
import time

import harness
from harness import Target, memsnap

# Allocates all the time, in a thread of its own; ends when it is told to.
PROGRAM = """
import os, threading, time
class Session:
    def __init__(self, number):
        self.data = bytearray(20000)  # line 5
KEPT = []
def grow():
    KEPT.append(Session(len(KEPT)))
def work():
    while True:
        for _ in range(10):
            grow()
        time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
os.write(1, b"ready\\n")
os.read(0, 1)
os._exit(7)
"""


def traces(pid):
    return [line for line in pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines() if "/memfd:memsnap" in line]


def no_trace(pid):
    """Neither tables nor an image: memory without a file that may be executed is only the agent's here."""
    maps = pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines()
    code = [line for line in maps if line.split()[1].startswith("r-xp") and len(line.split()) < 6]
    return not traces(pid) and not code


def alive(pid):
    try:
        return harness.state_of(pid) not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, what="it"):
    deadline = time.monotonic() + harness.PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise harness.Failed("%s did not come about in %s s" % (what, harness.PATIENCE))
        time.sleep(0.02)


def lines_of(log):
    """The log of a keeper; its last line may be half written."""
    found = []
    for line in pathlib.Path(log).read_text().splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


class BackgroundTest(harness.LiveTest):
    def start_target(self, program=PROGRAM):
        self.target = Target(program)
        self.addCleanup(self.target.close)
        self.pid = self.target.pid

    def background(self, *options, status=0, name="session.msnap", **popen):
        """memsnap attach --background; its JSON. The keeper is ended with the test."""
        result = memsnap("attach", self.pid, "--background", "-f", "-o", self.folder / name, "--json", *options, **popen)
        self.assertEqual(status, result.status, str(result))
        answer = result.json()
        if status == 0:
            self.addCleanup(self.end_keeper, answer["keeper"])
        return answer

    def end_keeper(self, keeper):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if b"memsnap" in pathlib.Path("/proc/%d/cmdline" % keeper).read_bytes():
                os.kill(keeper, signal.SIGKILL)

    def detach(self, *options, status=0):
        result = memsnap("detach", self.pid, "--json", *options)
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def check_healthy(self):
        self.assertEqual([], traces(self.pid))
        again = memsnap("snapshot", self.pid, "-f", "-o", self.folder / "again.msnap", "--json").json()
        self.assertTrue(again["consistent"])
        self.target.say(b"x")
        self.assertEqual(7, self.target.process.wait(timeout=harness.PATIENCE))
