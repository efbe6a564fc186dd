# memsnap-test: timeout=300
"""memsnap attach --background: a keeper goes on with the session, memsnap detach ends it; snapshots meanwhile."""

import os
import pathlib
import re
import resource
import signal
import subprocess
import time
import unittest

import harness
from background_harness import BackgroundTest, alive, lines_of, traces, wait_until
from harness import MEMSNAP, differences, fingerprint, memsnap

GAVE_UP, BUSY = 7, 6


# Allocates much, and then nothing any more.
QUIET = """
import os
os.write(1, b"ready\\n")
os.read(0, 1)
kept = [bytearray(100) for _ in range(100000)]
os.write(1, b"done\\n")
os.read(0, 1)
os._exit(7)
"""


class Background(BackgroundTest):
    def setUp(self):
        super().setUp()
        self.start_target()

    def test_it_returns_while_a_keeper_tracks(self):
        before = fingerprint(self.pid)
        leaked, other = os.pipe()
        self.addCleanup(os.close, leaked)
        os.set_inheritable(other, True)
        answer = self.background("--sample", "1", close_fds=False)
        os.close(other)
        self.assertEqual(("memsnap.attach/1", True), (answer["schema"], answer["tracked"]))
        keeper = answer["keeper"]
        self.assertNotEqual([], traces(self.pid))
        folder = pathlib.Path("/proc/%d" % keeper)
        self.assertEqual("/", os.readlink(folder / "cwd"))
        streams = [os.readlink(folder / "fd" / str(number)) for number in range(3)]
        self.assertEqual(["/dev/null", answer["log"], answer["log"]], streams)
        self.assertFalse([file for file in (folder / "fd").iterdir() if os.stat(file).st_ino == os.fstat(leaked).st_ino])
        self.assertNotEqual(os.getsid(0), os.getsid(keeper))
        self.assertNotEqual(keeper, os.getsid(keeper))  # no terminal can become its own
        self.assertEqual("0077", harness.status_field(keeper, "Umask"))
        self.assertFalse(memsnap("detach", keeper, "--json").json()["found"])  # it only holds what is in another one
        time.sleep(0.5)
        ended = self.detach()
        self.assertEqual((True, keeper, []), (ended["found"], ended["ended_session"], ended["left_behind"]))
        self.assertEqual(str(self.folder / "session.msnap"), ended["file"])
        self.assertGreater(ended["hooks_undone"], 0)
        self.assertFalse(alive(keeper))
        changed = [line for line in differences(before, fingerprint(self.pid)) if not line.startswith("maps:")]
        self.assertEqual([], changed)
        rows = memsnap("summary", ended["file"], "--by", "line", "--allocations", "--json").json()["lines"]
        self.assertTrue([row for row in rows if row["line"] == 5 and row["function"].endswith("__init__")])
        info = memsnap("info", ended["file"], "--json").json()
        self.assertEqual("it was asked to end", info["tracking"]["end"])
        self.assertEqual([], info["tracking"]["left_behind"])
        self.assertEqual("memsnap.capture/1", lines_of(answer["log"])[-1]["schema"])
        self.check_healthy()

    def test_for_ends_it(self):
        answer = self.background("--for", "500ms")
        wait_until(lambda: not alive(answer["keeper"]), "the end of the keeper")
        self.assertEqual("the time was over", memsnap("info", self.folder / "session.msnap", "--json").json()["tracking"]["end"])
        self.check_healthy()

    def test_a_second_one_is_refused(self):
        first = self.background()
        self.assertEqual("memsnap.error/1", self.background(status=BUSY, name="other.msnap")["schema"])
        self.assertTrue(alive(first["keeper"]))
        self.assertFalse((self.folder / "other.msnap").exists())
        self.detach()
        self.check_healthy()

    def test_of_two_at_once_one_is_refused(self):
        command = [MEMSNAP, "attach", str(self.pid), "--background", "--json", "-o"]
        both = [subprocess.Popen([*command, self.folder / ("%d.msnap" % i)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                for i in range(2)]
        answers = [harness.json.loads(process.communicate(timeout=harness.PATIENCE)[0]) for process in both]
        for answer in answers:
            if "keeper" in answer:
                self.addCleanup(self.end_keeper, answer["keeper"])
        self.assertEqual([0, BUSY], sorted(process.returncode for process in both), answers)
        self.detach()
        self.check_healthy()

    def test_what_cannot_begin_is_told_by_the_command(self):
        size = int(harness.status_field(self.pid, "VmSize").split()[0]) << 10
        resource.prlimit(self.pid, resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
        answer = self.background(status=GAVE_UP)
        self.assertIn("RLIMIT_AS", answer["message"])
        resource.prlimit(self.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertFalse(self.detach()["found"])
        self.check_healthy()

    def test_the_target_is_killed(self):
        answer = self.background("--sample", "1")
        time.sleep(0.3)
        self.target.process.send_signal(signal.SIGKILL)
        self.target.process.wait()
        wait_until(lambda: not alive(answer["keeper"]), "the end of the keeper")
        last = lines_of(answer["log"])[-1]
        self.assertEqual((True, True, "the process ended"), (last["tracked"], last["target_ended"], last["end"]))
        self.assertGreater(last["live_bytes"], 100000)
        info = memsnap("info", self.folder / "session.msnap", "--json").json()
        self.assertTrue(info["snapshot"]["target_ended"])
        self.assertIn("__init__", memsnap("summary", self.folder / "session.msnap", "--by", "line", "--leaks").out)

    def test_snapshots_know_where_objects_were_allocated(self):
        self.background("--sample", "1", "--allocators", "malloc,python")
        time.sleep(0.5)
        taken = self.snapshot(self.pid)
        rows = memsnap("summary", taken["file"], "--by", "line", "--json").json()["lines"]
        [grown] = [row for row in rows if row["line"] == 8]  # KEPT.append(Session(...))
        kept = {row["type"]: row["count"] for row in memsnap("summary", taken["file"], "--json", "-n", "0").json()["types"]}
        self.assertGreater(grown["count"], 50)
        self.assertLess(grown["count"], kept["__main__.Session"] * 3)
        of_process = memsnap("summary", self.pid, "--by", "function", "--json").json()
        self.assertIn("grow", {row["function"] for row in of_process["functions"]})
        self.assertIn("Session", memsnap("summary", self.pid).out)
        self.assertEqual(0, memsnap("roots", self.pid, "--type", "__main__.Session").status)
        self.assertTrue(alive(memsnap("attach", self.pid, "--for", "0", "--no-save", "--json").json()["pid"]))
        self.assertNotEqual([], traces(self.pid))  # it is tracked still
        self.detach()
        self.check_healthy()

    def test_memory_of_memsnap_is_not_the_targets(self):
        self.target.close()
        self.start_target(QUIET)
        self.background("--sample", "1", "--allocators", "malloc,python")
        self.target.say(b"a")
        self.target.expect(b"done")
        tables = 0
        smaps = pathlib.Path("/proc/%d/smaps" % self.pid).read_text()
        for found in re.finditer(r"memfd:memsnap-agent.*?\nRss: +(\d+) kB", smaps.replace("Size:", "", 1), re.S):
            tables += int(found.group(1)) << 10
        self.assertGreater(tables, 1 << 20)
        taken = self.snapshot(self.pid)
        shared = {part["name"]: part["bytes"] for part in taken["memory"]["parts"]}["shared"]
        self.assertLess(shared, tables / 2)
        self.assertEqual(taken["memory"]["rss"], sum(part["bytes"] for part in taken["memory"]["parts"]))
        self.detach()
        self.check_healthy()

    def test_live_connects(self):
        keeper = self.background("--sample", "1")["keeper"]
        once = memsnap("live", self.pid, "--once", "--interval", "300ms", "--json")
        self.assertEqual(0, once.status, str(once))
        self.assertGreater(once.json()["live"]["bytes"], 0)
        self.assertTrue(alive(keeper))
        live = subprocess.Popen([MEMSNAP, "live", str(self.pid), "--jsonl", "--interval", "100ms"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(live.stdout.close)
        live.stdout.readline()
        self.detach()
        live.communicate(timeout=harness.PATIENCE)  # it ends with the session
        self.assertEqual(0, live.returncode)
        self.check_healthy()

    def test_two_detach_at_once(self):
        self.background("--sample", "1")
        command = [MEMSNAP, "detach", str(self.pid), "--json"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
        results = [process.communicate(timeout=harness.PATIENCE) for process in both]
        self.assertEqual([0, 0], [process.returncode for process in both], results)
        self.assertTrue((self.folder / "session-before.msnap").exists())
        self.check_healthy()

    def test_a_keeper_killed_during_its_last_snapshot(self):
        keeper = self.background("--sample", "1")["keeper"]
        os.kill(keeper, signal.SIGTERM)
        time.sleep(0.03)
        self.end_keeper(keeper)
        wait_until(lambda: not alive(keeper), "the end of the keeper")
        self.detach()
        self.check_healthy()

    def test_force_kills_the_keeper(self):
        for _ in range(3):  # at once: while it still looks for libraries that come
            keeper = self.background()["keeper"]
            self.assertIsNone(self.detach("--force")["ended_session"])
            self.assertFalse(alive(keeper))
            self.assertEqual([], traces(self.pid))
        self.check_healthy()


class OtherNamespace(BackgroundTest):
    # Both processes in a pid namespace of their own, as in a container.
    INSIDE = """
import json, os, subprocess, sys
target = subprocess.Popen([sys.argv[3], "-c", "import os; os.write(1, b'ready\\\\n'); os.read(0, 1); kept = [bytearray(9) for _ in range(9)]"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
target.stdout.readline()
taken = subprocess.run([sys.argv[1], "attach", str(target.pid), "--background", "-o", sys.argv[2], "--json"], stdout=subprocess.PIPE)
print(json.dumps([taken.returncode, json.loads(taken.stdout)["keeper"]]), flush=True)
sys.stdin.readline()
target.kill()
"""

    def test_its_keeper_is_found(self):
        unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no pid namespace can be made here")
        namespace = subprocess.Popen([*unshare, "/usr/bin/python3", "-c", self.INSIDE, MEMSNAP, self.folder / "inside.msnap", "/usr/bin/python3"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(namespace.stdout.close)
        self.addCleanup(namespace.communicate, "\n")
        status, inner_keeper = harness.json.loads(namespace.stdout.readline())
        self.assertEqual(0, status)
        [first] = harness.children_of(namespace.pid)
        family = harness.children_of(first)
        [self.pid] = [pid for pid in family if b"os.read" in pathlib.Path("/proc/%d/cmdline" % pid).read_bytes()]
        self.assertNotEqual([], traces(self.pid))
        ended = self.detach()
        self.assertNotEqual(inner_keeper, ended["ended_session"])
        self.assertEqual([], traces(self.pid))
        self.assertEqual("it was asked to end", memsnap("info", self.folder / "inside.msnap", "--json").json()["tracking"]["end"])


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
