# memsnap-test: once timeout=600
"""A process near its memory limit lives on, whatever it writes while it is looked at: unasked no copy of it is made.

With memory.oom.group=1, which cgroup v2 alone has, also not on request.
"""

import contextlib
import os
import pathlib
import re
import tempfile
import unittest

import harness
from harness import Target, memsnap

MIB = 1 << 20
LIMIT, HELD = 260 * MIB, 130 * MIB
DONE, GAVE_UP = 0, 7

# Writes to all of its memory all the time; counts its rounds.
PROGRAM = """
import os, sys, threading
with open(sys.argv[1], "w") as group:
    group.write(str(os.getpid()))
class Session:
    pass
kept = [Session() for _ in range(20000)]
data = bytearray(int(sys.argv[2]))
rounds = 0
def write():
    global rounds
    while True:
        data[rounds % 4096::4096] = bytes([rounds % 251]) * len(range(rounds % 4096, len(data), 4096))
        rounds += 1
threading.Thread(target=write, daemon=True).start()
os.write(1, b"ready\\n")
while os.read(0, 1):
    before = rounds
    while rounds == before:
        pass
    os.write(1, b"alive\\n")
"""


class OomGroup(harness.LiveTest):
    def setUp(self):
        super().setUp()
        for root, name in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
            if not os.access(root, os.W_OK) or not os.path.exists(root + "/cgroup.procs"):
                continue
            self.group = pathlib.Path(tempfile.mkdtemp(dir=root, prefix="memsnap-test-"))
            self.addCleanup(self.remove_group)
            if (self.group / name).exists():
                (self.group / name).write_text(str(LIMIT))
                self.kills_group = (self.group / "memory.oom.group").exists()
                if self.kills_group:
                    (self.group / "memory.oom.group").write_text("1")
                return
        raise unittest.SkipTest("no memory cgroup can be made here")

    def remove_group(self):
        with contextlib.suppress(OSError):
            self.group.rmdir()

    def group_kills(self):
        events = (self.group / "memory.events").read_text().split()
        return int(dict(zip(events[::2], events[1::2])).get("oom_group_kill", 0))

    def test_a_target_that_writes_all_its_memory(self):
        with Target(PROGRAM, self.group / "cgroup.procs", HELD) as target:
            for method in ("auto", "freeze", "auto") if self.kills_group else ("auto", "auto"):
                result = memsnap("snapshot", target.pid, "--json", "-o", self.file_name(), "--method", method)
                self.assertIn(result.status, (DONE, GAVE_UP), str(result))
                if result.status == DONE:
                    self.assertEqual("stop", result.json()["method"])
                target.say(b"x")
                target.expect(b"alive")
            if self.kills_group:
                self.assertEqual(0, self.group_kills())

    def test_what_the_refusal_hints_at_works(self):
        with Target(PROGRAM, self.group / "cgroup.procs", HELD) as target:
            refused = memsnap("snapshot", target.pid, "-q", "-o", self.file_name(), "--max-pause", "20ms")
            self.assertEqual(GAVE_UP, refused.status, str(refused))
            pause = re.search(r"--method stop --max-pause (\d+)ms", refused.err).group(1)
            options = ("--method", "stop", "--max-pause", "%dms" % (10 * int(pause)))  # what is said is for a machine that has time for it
            result = memsnap("snapshot", target.pid, "-q", "-o", self.file_name(), *options)
            self.assertEqual(DONE, result.status, str(result))
            target.say(b"x")
            target.expect(b"alive")

    def test_doctor_says_what_a_snapshot_would_do(self):
        def said(*options):
            answer = memsnap("doctor", target.pid, "--json", *options)
            [check] = [check for check in answer.json()["checks"] if check["check"] == "room"]
            return answer.status, check["verdict"], check["text"] + check["hint"]

        with Target(PROGRAM, self.group / "cgroup.procs", HELD) as target:
            status, verdict, text = said()
            self.assertEqual((DONE, "warn"), (status, verdict))
            self.assertRegex(text, r"a snapshot stops it instead, for about \d+ ms")
            status, verdict, text = said("--max-pause", "20ms")
            self.assertEqual((GAVE_UP, "bad"), (status, verdict))
            self.assertIn("more than --max-pause 20 ms", text)
            self.assertRegex(text, r"--method stop --max-pause \d+ms")
            self.assertEqual(GAVE_UP, memsnap("snapshot", target.pid, "-q", "-o", self.file_name(), "--max-pause", "20ms").status)
            plan = memsnap("snapshot", target.pid, "-o", self.file_name(), "--max-pause", "20ms", "--dry-run")
            self.assertEqual(GAVE_UP, plan.status, str(plan))


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
