# memsnap-test: timeout=600
"""Memory points of a running process: what they say, what they cost it, ids, and that the process need not be Python."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

import harness
from harness import LiveTest, Target, memsnap
from sleeper import Sleeper

NO_SUCH_PROCESS, USAGE, UNSUPPORTED, BAD_FILE = 3, 2, 5, 10

def proc_text(pid, name):
    return pathlib.Path("/proc/%d/%s" % (pid, name)).read_text()


def kernel_rss(pid):
    for line in proc_text(pid, "smaps_rollup").splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise harness.Failed("no Rss")


class PointTest(LiveTest):
    def setUp(self):
        super().setUp()
        self.log = str(self.folder / "a.points")

    def point(self, pid, *arguments, **more):
        result = memsnap("point", pid, *arguments, "--log", self.log, "--json", **more)
        self.assertEqual(0, result.status, str(result))
        answer = result.json()
        self.assertEqual("memsnap.point/1", answer["schema"])
        return answer

    def points(self, *arguments):
        result = memsnap("log", self.log, "--json", *arguments)
        self.assertEqual(0, result.status, str(result))
        return result.json()["points"]

    def ids(self):
        return [point["id"] for point in self.points()]

    def test_a_point_has_the_figures_of_the_kernel(self):
        with Sleeper() as target:
            point = self.point(target.pid, "x")
            self.assertEqual(kernel_rss(target.pid), point["rss"])
            self.assertTrue(point["rss"] >= point["pss"] >= point["uss"] > 0, point)
            self.assertEqual((None, None, None), (point["pyobj"], point["objects"], point["pause_ms"]))

    def test_a_point_without_objects_does_not_touch_the_process(self):
        with Sleeper() as target:
            before = harness.fingerprint(target.pid), proc_text(target.pid, "schedstat"), proc_text(target.pid, "task/%d/status" % target.pid)
            for _ in range(5):
                self.point(target.pid, "x")
            after = harness.fingerprint(target.pid), proc_text(target.pid, "schedstat"), proc_text(target.pid, "task/%d/status" % target.pid)
            self.assertEqual([], harness.differences(before[0], after[0]))
            # It slept all the time: it was given no processor, so it was neither stopped nor woken.
            self.assertEqual(before[1], after[1])
            switches = [[line for line in text.splitlines() if "ctxt_switches" in line] for text in (before[2], after[2])]
            self.assertEqual(switches[0], switches[1])

    def test_a_traced_process_can_have_points(self):
        with Sleeper() as target:
            tracer = Target((harness.TARGETS / "tracer.py").read_text(), target.pid, python=["/usr/bin/python3"])
            with tracer:
                self.assertGreater(self.point(target.pid, "x")["rss"], 0)
                refused = memsnap("point", target.pid, "--objects", "--log", self.log)
                self.assertEqual(6, refused.status, str(refused))
            self.assertEqual(["memsnap attach", "x"], self.ids())

    def test_objects_are_those_of_a_snapshot(self):
        with Sleeper() as target:
            point = self.point(target.pid, "x", "--objects")
            snapshot = self.snapshot(target.pid)
            self.assertEqual(snapshot["bytes"], point["pyobj"])
            self.assertEqual(snapshot["objects"], point["objects"])
            types = self.types(snapshot["file"])
            self.assertEqual(sum(size for _, size in types.values()), point["pyobj"])
            self.assertEqual(sum(count for count, _ in types.values()), point["objects"])
            session = self.snapshot(target.pid, "--kind", "session")
            self.assertEqual((point["pyobj"], point["objects"]), (session["bytes"], session["objects"]))
            memory = memsnap("memory", target.pid, "--metric", "pyobj", "--units", "bytes")
            self.assertEqual(str(point["pyobj"]), memory.out.strip(), str(memory))

    def test_a_point_with_objects_leaves_the_process_as_it_was(self):
        with Sleeper() as target:
            before = harness.fingerprint(target.pid)
            point = self.point(target.pid, "x", "--objects")
            self.assertGreater(point["pause_ms"], 0)
            self.assertEqual([], harness.differences(before, harness.fingerprint(target.pid)))
            self.assertTrue(target.alive())

    def test_print_gives_bytes_alone(self):
        with Sleeper() as target:
            rss = memsnap("point", target.pid, "--print", "--log", self.log)
            self.assertEqual("%d\n" % kernel_rss(target.pid), rss.out)
            counted = memsnap("point", target.pid, "--print", "--objects", "--log", self.log)
            self.assertEqual("%d\n" % self.points()[-1]["pyobj"], counted.out)
            silent = memsnap("point", target.pid, "--log", self.log)
            self.assertEqual((0, "", ""), (silent.status, silent.out, silent.err))

    def test_ids(self):
        with Sleeper() as target:
            for words in (("my id",), (), ("my id",), ("my id",), (), ("None-3",), (), ("--", "-x"), ("über ☃",), ("",), ("",)):
                result = memsnap("point", "--log", self.log, *([target.pid, *words] if words[:1] != ("--",) else ["--", target.pid, words[1]]))
                self.assertEqual(0, result.status, str(result))
            self.assertEqual(["memsnap attach", "my id", "None", "my id-2", "my id-3", "None-2", "None-3", "None-4", "-x", "über ☃", "", "-2"],
                             self.ids())
            for words in (("a\nb",), (b"\xff\xfe",), ("x" * 1001,), ("a", "b")):
                result = memsnap_bytes("point", str(target.pid), *words, "--log", self.log)
                self.assertEqual(USAGE, result.returncode, result)
            self.assertEqual(12, len(self.points()))

    def test_the_first_point_is_made_by_itself_and_only_once(self):
        with Sleeper() as target:
            self.point(target.pid, "x")
            self.point(target.pid, "y")
            self.assertEqual(["memsnap attach", "x", "y"], self.ids())
            first, second = self.points()[:2]
            self.assertEqual((first["rss"], first["time"]), (second["rss"], second["time"]))
        with Sleeper() as target:
            self.point(target.pid, "z", "--no-first")
            self.assertEqual(["memsnap attach", "x", "y", "z"], self.ids())

    def test_a_note_is_kept(self):
        with Sleeper() as target:
            self.point(target.pid, "x", "--note", "before the release")
            self.assertEqual(["", "before the release"], [point["note"] for point in self.points()])

    def test_what_is_not_there_makes_no_log(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        result = memsnap("point", gone.pid, "--log", self.log)
        self.assertEqual(NO_SUCH_PROCESS, result.status, str(result))
        self.assertFalse(os.path.exists(self.log))
        self.assertEqual(USAGE, memsnap("point").status)
        self.assertEqual(USAGE, memsnap("point", "./x").status)

    def test_any_program_can_have_points_without_objects(self):
        with subprocess.Popen(["sleep", "1000"]) as process:
            try:
                self.assertGreater(self.point(process.pid, "x")["rss"], 0)
                refused = memsnap("point", process.pid, "--objects", "--log", self.log)
                self.assertEqual(UNSUPPORTED, refused.status, str(refused))
                self.assertEqual(2, len(self.points()))  # nothing was added
            finally:
                process.kill()

    def test_logs_are_beside_the_snapshots_one_for_each_process(self):
        here = self.folder / "here"
        with Sleeper() as one, Sleeper() as two:
            for target in (one, two, one):
                self.assertEqual(0, memsnap("point", target.pid, directory=here).status)
            files = sorted((self.folder / "here").iterdir())
            self.assertEqual(2, len(files), files)
            for file in files:
                self.assertEqual(0o600, file.stat().st_mode & 0o777)
                self.assertEqual(".points", file.suffix)
            self.assertEqual(3, len(memsnap("log", one.pid, directory=here).out.splitlines()) - 1)
            last = memsnap("log", "--json", directory=here).json()["points"]
            self.assertEqual({one.pid}, {point["pid"] for point in last})
            nothing = memsnap("log", os.getpid(), directory=here)
            self.assertEqual(BAD_FILE, nothing.status, str(nothing))
            self.assertIn("memsnap point", nothing.err)

    def test_a_snapshot_can_make_a_point(self):
        here = self.folder / "here"
        with Sleeper() as target:
            taken = self.snapshot(target.pid, "--point", "nightly", directory=here)
            again = self.snapshot(target.pid, "--kind", "session", "--point", "nightly", directory=here)
            points = memsnap("log", target.pid, "--json", directory=here).json()["points"]
            self.assertEqual(["memsnap attach", "nightly", "nightly-2"], [point["id"] for point in points])
            self.assertEqual([taken["bytes"], again["bytes"]], [point["pyobj"] for point in points[1:]])
            self.assertEqual(USAGE, memsnap("snapshot", target.pid, "--point", "a\nb").status)

    @unittest.skipUnless(os.getuid() == 0, "another pid namespace needs root")
    def test_a_pid_that_is_used_again_is_another_process(self):
        script = REUSE.format(memsnap=harness.MEMSNAP, log=self.log)
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE)
        if "unshare" in done.stderr or "ns_last_pid" in done.stderr:
            self.skipTest("no pid namespace here: " + done.stderr.strip())
        self.assertEqual(0, done.returncode, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["first"], said["second"])
        self.assertEqual(["memsnap attach", "a", "memsnap attach", "a"], self.ids())
        self.assertEqual(2, len(said["log"]["points"]))  # of the one that ran then
        self.assertIn("another process had pid", said["stderr"])


# In a pid namespace of its own nobody else takes the number.
REUSE = """
import json, subprocess, time
def sleeper():
    return subprocess.Popen(["sleep", "1000"])
def memsnap(*words):
    return subprocess.run([{memsnap!r}, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
first = sleeper()
memsnap("point", first.pid, "a", "--log", {log!r}).check_returncode()
first.kill(); first.wait()
time.sleep(0.1)
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(first.pid - 1))
second = sleeper()
memsnap("point", second.pid, "a", "--log", {log!r}).check_returncode()
shown = memsnap("log", second.pid, "--log", {log!r}, "--json")
second.kill()
print(json.dumps({{"first": first.pid, "second": second.pid, "log": json.loads(shown.stdout), "stderr": shown.stderr}}))
"""


def memsnap_bytes(*words):
    return subprocess.run([harness.MEMSNAP, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
