# memsnap-test: timeout=300
"""memsnap and its keeper are killed at any moment: the target lives on, and the next memsnap cleans up."""

import os
import random
import signal
import subprocess
import time

import harness
from background_harness import BackgroundTest, alive, traces, wait_until
from harness import MEMSNAP, memsnap

ROUNDS = 8


def memsnaps_of(pid):
    """Processes that run memsnap attach on a target."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[1:3] == [b"attach", b"%d" % pid]:
            found.append(int(entry))
    return found


class KeeperKilled(BackgroundTest):
    def setUp(self):
        super().setUp()
        self.start_target()

    def kill_all(self):
        for pid in memsnaps_of(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_until(lambda pid=pid: not alive(pid), "its end")

    def test_at_any_moment(self):
        chance = random.Random(self.pid)
        for round_number in range(ROUNDS):
            started = subprocess.Popen([MEMSNAP, "attach", str(self.pid), "--background", "-q", "-f", "-o", self.folder / "session.msnap"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, 0.4))
            if round_number % 2:
                self.kill_all()
                self.kill_all()  # one that was being forked
            started.kill() if round_number % 4 == 2 else None
            started.wait()
            self.kill_all()
            self.assertTrue(self.target.alive())
            clean = ["attach", self.pid, "--for", "100ms", "--no-save", "-q"] if round_number % 3 == 0 else ["detach", self.pid]
            result = memsnap(*clean)
            self.assertEqual(0, result.status, str(result))
            self.assertEqual([], traces(self.pid))
        self.check_healthy()

    def test_the_command_is_killed_and_the_keeper_goes_on(self):
        answer = self.background("--sample", "1")
        self.assertTrue(alive(answer["keeper"]))  # the command has ended long ago
        self.kill_all()
        self.assertNotEqual([], traces(self.pid))
        again = self.background("--sample", "1", name="again.msnap")  # cleans up first
        self.assertNotEqual(answer["keeper"], again["keeper"])
        self.assertEqual(str(self.folder / "again.msnap"), self.detach()["file"])
        self.check_healthy()


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
