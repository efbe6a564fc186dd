# memsnap-test: timeout=300
"""A whole session: memsnap attach tracks, looks again, leaves; detach and live; memsnap killed, the target killed."""

import json
import pathlib
import signal
import subprocess
import time

import harness
from harness import MEMSNAP, Target, differences, fingerprint, memsnap

PROGRAM = """
import os, sys, threading, time
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
BUSY = 6


def traces(pid):
    return [line for line in pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines() if "/memfd:memsnap" in line]


class Session(harness.LiveTest):
    def setUp(self):
        super().setUp()
        self.target = Target(PROGRAM)
        self.addCleanup(self.target.close)
        self.pid = self.target.pid

    def attach(self, *options, status=0):
        result = memsnap("attach", self.pid, "-f", "-o", self.folder / "session.msnap", "--json", *options)
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def wait_until_tracked(self):
        deadline = time.monotonic() + harness.PATIENCE
        while not traces(self.pid):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        time.sleep(0.2)

    def start_session(self, *options):
        process = subprocess.Popen([MEMSNAP, "attach", str(self.pid), "-f", "-o", self.folder / "session.msnap", "--json", *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.wait_until_tracked()
        return process

    def check_healthy(self):
        self.assertEqual([], traces(self.pid))
        again = memsnap("snapshot", self.pid, "-f", "-o", self.folder / "again.msnap", "--json").json()
        self.assertTrue(again["consistent"])
        self.target.say(b"x")
        self.assertEqual(7, self.target.process.wait(timeout=harness.PATIENCE))

    def test_every_block_is_recorded_where_it_was_allocated(self):
        before = fingerprint(self.pid)
        answer = self.attach("--for", "1s", "--sample", "1")
        changed = [line for line in differences(before, fingerprint(self.pid)) if not line.startswith("maps:")]  # its heap grows
        self.assertEqual([], changed)
        self.assertEqual(("memsnap.capture/1", True, []), (answer["schema"], answer["tracked"], answer["left_behind"]))
        self.assertGreater(answer["allocations"], 100)
        self.assertGreaterEqual(answer["bytes"], answer["live_bytes"])
        rows = memsnap("summary", answer["file"], "--by", "line", "--leaks", "--json").json()
        [own] = [row["own"] for row in rows["lines"] if row["line"] == 5 and row["function"].endswith("__init__")]
        self.assertGreater(own, 0.9 * answer["live_bytes"])
        functions = {row["function"].split(".")[-1]: row for row in
                     memsnap("summary", answer["file"], "--by", "function", "--leaks", "-n", "0", "--json").json()["functions"]}
        self.assertGreaterEqual(functions["grow"]["total"], own)
        self.assertNotIn("__init__", {row["file"] for row in rows["lines"]})  # a frame of the interpreter's own
        self.assertGreaterEqual(functions["work"]["total"], functions["grow"]["total"])
        first, last = (memsnap("info", answer[key], "--json").json() for key in ("first_file", "file"))
        self.assertLessEqual(first["snapshot"]["taken_at"], last["snapshot"]["taken_at"])
        self.check_healthy()

    def test_sampling_is_right_on_average(self):
        answer = self.attach("--for", "1500ms", "--sample", "100KiB")
        kept = answer["live_bytes"]
        rows = memsnap("summary", answer["file"], "--by", "type", "-n", "0", "--json").json()["types"]
        of_first = memsnap("summary", answer["first_file"], "--by", "type", "-n", "0", "--json").json()["types"]
        grown = sum(row["size"] for row in rows if row["type"].endswith("bytearray")) - sum(
            row["size"] for row in of_first if row["type"].endswith("bytearray"))
        # Between the first snapshot and the tables nothing was recorded: what grew then, at most a second of it.
        self.assertLess(kept, 1.5 * grown + 6 * answer["live_error"])
        self.assertGreater(kept, 0.3 * grown - 6 * answer["live_error"])
        self.check_healthy()

    def test_nothing_is_loaded_when_nothing_shall_be(self):
        for options in (["--no-inject"], ["--for", "0"]):
            answer = self.attach(*options)
            self.assertEqual("memsnap.attach/1", answer["schema"])
            self.assertEqual([], traces(self.pid))
        self.check_healthy()

    def test_detach_ends_a_session_with_its_result(self):
        session = self.start_session("--for", "10m")
        ended = memsnap("detach", self.pid, "--json")
        self.assertEqual(0, ended.status, str(ended))
        self.assertEqual((True, session.pid), (ended.json()["found"], ended.json()["ended_session"]))
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, True), (session.returncode, json.loads(out)["tracked"]), err)
        self.assertFalse(memsnap("detach", self.pid, "--json").json()["found"])
        self.check_healthy()

    def test_a_killed_session_is_cleaned_up(self):
        for clean in (["detach", self.pid], ["attach", self.pid, "--for", "300ms", "--no-save"]):
            session = self.start_session("--for", "10m")
            session.send_signal(signal.SIGKILL)
            session.wait()
            self.assertNotEqual([], traces(self.pid))
            result = memsnap(*clean)
            self.assertEqual(0, result.status, str(result))
            self.assertEqual([], traces(self.pid))
        self.check_healthy()

    def test_ctrl_c_ends_it_with_a_result(self):
        session = self.start_session("--for", "10m")
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, True, []), (session.returncode, json.loads(out)["tracked"], json.loads(out)["left_behind"]), err)
        self.check_healthy()

    def test_what_was_recorded_outlives_the_target(self):
        session = self.start_session("--for", "10m", "--sample", "1")
        time.sleep(0.3)
        self.target.process.send_signal(signal.SIGKILL)
        out, err = session.communicate(timeout=harness.PATIENCE)
        answer = json.loads(out)
        self.assertEqual((0, True, True), (session.returncode, answer["tracked"], answer["target_ended"]), err)
        self.assertGreater(answer["live_bytes"], 100000)
        self.assertIn("__init__", memsnap("summary", answer["file"], "--by", "line", "--leaks").out)

    def test_a_second_session_is_refused(self):
        tracer = subprocess.Popen([MEMSNAP, "attach", str(self.pid), "--for", "10m", "--no-save", "-q"], stdout=subprocess.DEVNULL)
        self.wait_until_tracked()
        try:
            for options in ([], ["--background"], ["--require-tracking"]):
                self.assertEqual("memsnap.error/1", self.attach("--for", "1s", *options, status=BUSY)["schema"])
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=harness.PATIENCE)
        self.check_healthy()

    def test_live_prints_screens_and_leaves(self):
        once = memsnap("live", self.pid, "--once", "--interval", "300ms", "--json")
        self.assertEqual(0, once.status, str(once))
        self.assertEqual("memsnap.live/1", once.json()["schema"])
        self.assertEqual([], traces(self.pid))
        live = subprocess.Popen([MEMSNAP, "live", str(self.pid), "--jsonl", "--interval", "200ms", "--sample", "1"],
                                stdout=subprocess.PIPE, text=True)
        screens = [json.loads(live.stdout.readline()) for _ in range(3)]
        live.send_signal(signal.SIGINT)
        live.communicate(timeout=harness.PATIENCE)
        self.assertEqual(0, live.returncode)
        self.assertGreater(screens[2]["live"]["bytes"], screens[0]["live"]["bytes"])
        self.check_healthy()


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
