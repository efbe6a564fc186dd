# memsnap-test: once
# memsnap-test: timeout=200
"""Snapshots on demand while memsnap tracks: the key s, SIGUSR1; the terminal is as it was, however memsnap ends."""

import os
import pty
import select
import signal
import subprocess
import termios
import time

import harness
from background_harness import BackgroundTest, alive, traces, wait_until
from harness import MEMSNAP, memsnap


class OnDemand(BackgroundTest):
    def setUp(self):
        super().setUp()
        self.start_target()
        self.file = self.folder / "session.msnap"

    def on_terminal(self, *options):
        """memsnap attach on a terminal of its own: (pid, the terminal's other end)."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(MEMSNAP, [MEMSNAP, "attach", str(self.pid), "--no-pager", "-o", str(self.file), *options],
                       dict(os.environ, TERM="xterm"))
        self.addCleanup(os.close, terminal)
        self.said = b""
        self.terminal = terminal
        self.before = termios.tcgetattr(terminal)
        self.read_until(lambda: b"tracking allocations" in self.said)
        wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ICANON, "the taking of keys")
        return pid

    def read_until(self, condition):
        deadline = time.monotonic() + harness.PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.said)
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    self.said += os.read(self.terminal, 65536)
                except OSError:  # its last user has ended
                    return

    def end_of(self, pid):
        ended = []
        def look():
            ended.extend(entry for entry in [os.waitpid(pid, os.WNOHANG)] if entry[0])
            return bool(ended)
        self.read_until(look)
        return os.waitstatus_to_exitcode(ended[0][1] if ended else os.waitpid(pid, 0)[1])

    def check_snapshot(self, file):
        info = memsnap("info", file, "--json").json()
        self.assertEqual((True, "heap", None), (info["intact"], info["snapshot"]["kind"], info["tracking"]))
        self.assertIn("profile", {part["part"] for part in info["parts"]})

    def test_the_key_s(self):
        pid = self.on_terminal("--for", "10m", "--sample", "1")
        self.assertIn(b"s takes a snapshot", self.said)
        now = termios.tcgetattr(self.terminal)
        self.assertEqual(self.before[3] & ~termios.ICANON, now[3])  # nothing else has changed: not the echo, not Ctrl-C
        for number in (1, 2):
            os.write(self.terminal, b"xs")
            file = self.folder / ("session-%d.msnap" % number)
            self.read_until(lambda file=file: str(file).encode() in self.said.replace(b"\r", b"").replace(b"\n", b""))
            self.check_snapshot(file)
        os.write(self.terminal, b"\x03")
        self.assertEqual(0, self.end_of(pid), self.said)
        self.assertEqual(self.before, termios.tcgetattr(self.terminal))
        self.assertTrue(self.file.exists())
        self.check_healthy()

    def test_the_terminal_is_put_back_however_it_ends(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV):
            pid = self.on_terminal("--for", "10m", "-f")
            os.kill(pid, number)
            status = self.end_of(pid)
            self.assertIn(status, (0, -number))
            self.assertEqual(self.before, termios.tcgetattr(self.terminal), number)
            memsnap("detach", self.pid)
        self.check_healthy()

    def test_a_signal_asks_for_one(self):
        answer = self.background("--sample", "1")
        for number in (1, 2):
            os.kill(answer["keeper"], signal.SIGUSR1)
            file = self.folder / ("session-%d.msnap" % number)
            wait_until(file.exists, "the snapshot")
            self.check_snapshot(file)
        self.assertTrue(alive(answer["keeper"]))
        self.detach()
        self.check_healthy()

    def test_screens_while_it_tracks(self):
        session = subprocess.Popen([MEMSNAP, "attach", str(self.pid), "--live", "--jsonl", "--for", "10m", "--sample", "1", "-o", self.file],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(session.stdout.close)
        schemas = [harness.json.loads(session.stdout.readline())["schema"] for _ in range(2)]
        self.assertEqual(["memsnap.live/1"] * 2, schemas)
        session.send_signal(signal.SIGINT)
        rest = session.communicate(timeout=harness.PATIENCE)[0].splitlines()
        self.assertEqual((0, "memsnap.capture/1"), (session.returncode, harness.json.loads(rest[-1])["schema"]))
        self.assertEqual([], traces(self.pid))
        self.check_healthy()


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
