# memsnap-test: once
"""Snapshots again and again: rounds, conditions, locks, what is kept, and a watch for too much memory."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import MEMSNAP, Target, memsnap

USAGE, NO_PROCESS, NO_PERMISSION, BUSY, GAVE_UP, SOME_FAILED, CANNOT_WRITE, BAD_FILE = 2, 3, 4, 6, 7, 8, 9, 10
SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n"
# Grows by a block for each line it is sent, and says when it has.
GROWER = """
import sys
kept = []
print('ready', flush=True)
for line in sys.stdin:
    kept.append(b'x' * int(line))
    print('grown', flush=True)
"""


def memory_group(limit):
    """A memory cgroup (v1 or v2, whichever is there) with a limit; None when none can be made."""
    for root, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = pathlib.Path(tempfile.mkdtemp(dir=root)) if os.access(root, os.W_OK) and os.path.exists(root + "/cgroup.procs") else None
        if folder and (folder / name).exists():
            (folder / name).write_text(str(limit))
            return folder
        if folder:
            folder.rmdir()
    return None


class Periodic(harness.LiveTest):
    def files(self):
        return sorted(self.folder.glob("*.msnap"))

    def take(self, *arguments, status=0):
        result = memsnap("snapshot", *arguments, "-o", "%s/" % self.folder, "--jsonl")
        self.assertEqual(status, result.status, str(result))
        return [json.loads(line) for line in result.out.splitlines()]


class Rounds(Periodic):
    def test_as_many_as_asked_for(self):
        with Target(SLEEPER) as target:
            answers = self.take(target.pid, "--every", "1s", "--count", "3")
            self.assertEqual(3, len(answers))
            self.assertEqual(sorted(answer["file"] for answer in answers), [str(file) for file in self.files()])

    def test_until_the_target_ends(self):
        with Target(SLEEPER) as target:
            process = subprocess.Popen([MEMSNAP, "snapshot", str(target.pid), "--every", "1s", "-o", "%s/" % self.folder, "--jsonl"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(target.pid, json.loads(process.stdout.readline())["pid"])
            target.close()
            out, err = process.communicate(timeout=harness.PATIENCE)
            self.assertEqual(0, process.returncode, out + err)
            self.assertRegex(err, "no process|has ended")  # it was seen between two looks, or in one

    def test_until_ctrl_c(self):
        with Target(SLEEPER) as target:
            process = subprocess.Popen([MEMSNAP, "snapshot", str(target.pid), "--every", "1h", "-o", "%s/" % self.folder, "--jsonl"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=harness.PATIENCE)
            self.assertEqual(0, process.returncode)

    def test_names_within_a_second_are_numbered(self):
        with Target(SLEEPER) as target:
            files = {self.take(target.pid, "--kind", "session")[0]["file"] for _ in range(5)}
            self.assertEqual(files, {str(file) for file in self.files()})
            self.assertEqual(5, len(files))
            one = self.folder / "one.msnap"
            self.assertEqual(0, memsnap("snapshot", target.pid, "-o", one).status)
            self.assertEqual(CANNOT_WRITE, memsnap("snapshot", target.pid, "-o", one).status)  # a name that was given stays it

    def test_wrong_questions(self):
        for arguments in (["--every", "10ms"], ["--count", "3"], ["--every", "1s", "--count", "0"], ["--every", "1s", "--json"],
                          ["--every", "1s", "-o", "one.msnap"], ["--keep", "0"]):
            result = memsnap("snapshot", os.getpid(), *arguments)
            self.assertEqual(USAGE, result.status, str(result))

    def test_a_jitter_is_waited_for_and_ended(self):
        process = subprocess.Popen([MEMSNAP, "snapshot", str(os.getpid()), "--jitter", "1000h"], stderr=subprocess.PIPE)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=harness.PATIENCE)
        self.assertEqual(128 + signal.SIGTERM, process.returncode)


class Conditions(Periodic):
    def test_rss(self):
        with Target(SLEEPER) as target:
            (answer,) = self.take(target.pid, "--if-rss-over", "1TiB")
            self.assertEqual({"schema", "pid", "skipped"}, set(answer))
            self.assertEqual([], self.files())
            (answer,) = self.take(target.pid, "--if-rss-over", "1MiB")
            self.assertEqual(1, len(self.files()))

    def test_growth_since_the_last_one(self):
        with Target(GROWER) as target:
            (first,) = self.take(target.pid, "--if-grew", "50MiB")
            self.assertIn("file", first)  # there was none before
            (answer,) = self.take(target.pid, "--if-grew", "50MiB")
            self.assertIn("its last snapshot", answer["skipped"])
            target.say(b"80000000\n")
            target.expect(b"grown")
            (answer,) = self.take(target.pid, "--if-grew", "50MiB")
            self.assertIn("file", answer)
            (answer,) = self.take(target.pid, "--if-grew", "50%")
            self.assertIn("skipped", answer)


class Locks(Periodic):
    def test_of_the_target_itself(self):
        with Target(SLEEPER) as target, Target(SLEEPER) as other:
            fd = os.open("/proc/%d" % target.pid, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(fd, fcntl.LOCK_EX)
            result = memsnap("snapshot", target.pid, "--lock", "auto", "-o", "%s/" % self.folder)
            self.assertEqual(BUSY, result.status, str(result))
            self.assertEqual([], self.files())
            self.take(other.pid, "--lock", "auto")
            os.close(fd)
            self.take(target.pid, "--lock", "auto")

    def test_of_a_file(self):
        lock = self.folder / "lock"
        with Target(SLEEPER) as target:
            self.take(target.pid, "--lock", lock)
            self.assertEqual(0o600, lock.stat().st_mode & 0o777)
            with open(lock) as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                self.assertEqual(BUSY, memsnap("snapshot", target.pid, "--lock", lock, "-o", "%s/" % self.folder).status)
            link = self.folder / "link"
            link.symlink_to("/tmp/does-not-exist-memsnap")
            self.assertEqual(CANNOT_WRITE, memsnap("snapshot", target.pid, "--lock", link).status)
            self.assertFalse(os.path.exists("/tmp/does-not-exist-memsnap"))


class Kept(Periodic):
    def test_the_newest_of_each_process(self):
        with Target(SLEEPER) as one, Target(SLEEPER) as two:
            for name in ("a", "b", "c"):
                for target in (one, two):
                    result = memsnap("snapshot", target.pid, "-o", self.folder / ("%s-%d.msnap" % (name, target.pid)), "--keep", 2, "--json")
                    self.assertEqual(0, result.status, str(result))
            self.assertEqual(1, result.json()["pruned"])
            self.assertEqual(["b", "b", "c", "c"], [file.name[0] for file in self.files()])

    def test_all_together_below_a_total_and_nothing_else_is_touched(self):
        (self.folder / "notes.txt").write_text("x" * 100000)
        (self.folder / "odd.msnap").write_text("no snapshot")
        (self.folder / "link.msnap").symlink_to("/etc/hostname")
        with Target(SLEEPER) as target:
            size = self.take(target.pid)[0]["file_bytes"]
            for name in range(6):
                memsnap("snapshot", target.pid, "-o", self.folder / ("%d.msnap" % name), "--max-total", 3 * size + size // 2)
                total = sum(file.stat().st_size for file in self.files() if file.name not in ("odd.msnap", "link.msnap"))
                self.assertLessEqual(total, 3 * size + size // 2)
        self.assertEqual({"3.msnap", "4.msnap", "5.msnap", "odd.msnap", "link.msnap"}, {file.name for file in self.files()})
        self.assertTrue((self.folder / "notes.txt").exists())

    def test_prune(self):
        with Target(SLEEPER) as target:
            for name in range(4):
                memsnap("snapshot", target.pid, "-o", self.folder / ("%d.msnap" % name))
        pretended = memsnap("prune", self.folder, "--keep", 1, "--dry-run", "--json").json()
        self.assertEqual((True, 1, 3), (pretended["dry_run"], pretended["kept"], len(pretended["removed"])))
        self.assertEqual(4, len(self.files()))
        done = memsnap("prune", self.folder, "--keep", 1, "--json").json()
        self.assertEqual(pretended["removed"], done["removed"])
        self.assertEqual(["3.msnap"], [file.name for file in self.files()])
        self.assertEqual(USAGE, memsnap("prune", self.folder).status)
        self.assertEqual(BAD_FILE, memsnap("prune", self.folder / "missing", "--keep", 1).status)
        self.assertEqual(USAGE, memsnap("prune", self.folder, "--thin", "1h").status)


    def test_prune_takes_what_a_killed_memsnap_left(self):
        old = time.time() - 3700
        for name in ("a.msnap.tmp.77", "b.msnap.tmp.77.1", "written.msnap.tmp.78", "new.msnap.tmp.79", "c.msnap.tmp.7x", "d.txt.tmp.80",
                     "e.msnap.tmp.", "other.msnap.tmp.81"):
            (self.folder / name).write_bytes(b"half")
            os.utime(self.folder / name, (old, old) if name != "new.msnap.tmp.79" else None)
        os.symlink("d.txt.tmp.80", self.folder / "link.msnap.tmp.82")
        os.mkfifo(self.folder / "fifo.msnap.tmp.83")
        os.utime(self.folder / "fifo.msnap.tmp.83", (old, old))
        gone = ["a.msnap.tmp.77", "b.msnap.tmp.77.1"]
        if os.geteuid() == 0:
            os.chown(self.folder / "other.msnap.tmp.81", 65534, 65534)
        else:
            gone.append("other.msnap.tmp.81")
        before = {file.name for file in self.folder.iterdir()}
        with open(self.folder / "written.msnap.tmp.78", "rb") as being_written:
            fcntl.flock(being_written, fcntl.LOCK_EX)
            for option, left in (("--dry-run", before), ("-q", before - set(gone))):
                removed = memsnap("prune", self.folder, "--keep", 1, option, "--json").json()["removed"]
                self.assertEqual(gone, [os.path.basename(row["file"]) for row in removed])
                self.assertEqual(left, {file.name for file in self.folder.iterdir()})

    def test_prune_takes_logs_of_points_that_are_over(self):
        here = self.folder
        with Target(SLEEPER) as running:
            with Target(SLEEPER) as ended:
                for target in (running, ended):
                    self.assertEqual(0, memsnap("point", target.pid, directory=here).status)
                chosen = self.folder / "chosen.points"
                self.assertEqual(0, memsnap("point", ended.pid, "--log", chosen).status)
            (self.folder / ("%d-1-abc.points" % ended.pid)).write_text("no log")
            before = {file.name for file in self.folder.iterdir()}
            for option, gone in (("--keep-for=1d", 0), ("--keep=1", 0), ("--keep-for=1ms", 1)):
                pretended = memsnap("prune", option, "--dry-run", "--json", directory=here).json()["removed"]
                self.assertEqual(before, {file.name for file in self.folder.iterdir()})
                done = memsnap("prune", option, "--json", directory=here).json()["removed"]
                self.assertEqual((gone, pretended), (len(done), done))
            self.assertEqual(ended.pid, done[0]["pid"])
            self.assertEqual(before - {os.path.basename(done[0]["file"])}, {file.name for file in self.folder.iterdir()})
            self.assertEqual(0, memsnap("log", running.pid, directory=here).status)


class Selectors(Periodic):
    def test_children_and_trees(self):
        parent = """
import subprocess, sys
# They end with it: their standard input does.
children = [subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE) for _ in range(2)]
print('ready', *[child.pid for child in children], flush=True)
sys.stdin.readline()
"""
        with Target(parent, ready=b"") as target:
            children = {int(word) for word in target.expect(b"ready").split()}
            time.sleep(0.5)  # until they are what they will be
            answers = memsnap("ps", "--children", target.pid, "--json").json()["processes"]
            self.assertEqual(children, {row["pid"] for row in answers})
            taken = self.take("--children", target.pid, "--each")
            self.assertEqual(children, {answer["pid"] for answer in taken})
            self.assertEqual(children | {target.pid}, {answer["pid"] for answer in self.take("--tree", target.pid, "--each", "-f")})
            self.assertEqual(USAGE, memsnap("snapshot", "--children", target.pid).status)
            self.assertEqual(NO_PROCESS, memsnap("snapshot", "--children", target.pid, "--older-than", "1h", "--each").status)


    def test_those_of_a_unit_a_cgroup_and_a_container(self):
        group = memory_group(4 << 30)
        if not group:
            self.skipTest("no memory cgroup can be made here")
        self.addCleanup(group.rmdir)
        id_ = "5eed" * 16
        unit, container = group / "shop-memsnap.service", group / ("docker-%s.scope" % id_)
        for folder in (unit, container):
            folder.mkdir()
            self.addCleanup(folder.rmdir)
        with Target(SLEEPER) as one, Target(SLEEPER) as two:
            (unit / "cgroup.procs").write_text(str(one.pid))
            (container / "cgroup.procs").write_text(str(two.pid))
            both = "/" + group.name
            for selector, pids in ((("--unit", "shop-memsnap"), {one.pid}), (("--unit", "shop-memsnap.service"), {one.pid}),
                                   (("--container", id_[:12]), {two.pid}), (("--cgroup", both + "/shop-memsnap.service/"), {one.pid}),
                                   (("--cgroup", both), {one.pid, two.pid})):
                taken = self.take(*selector, "--each", "--kind", "session")
                self.assertEqual(pids, {answer["pid"] for answer in taken}, selector)
                rows = memsnap("memory", *selector, "--json").json()["processes"]
                self.assertEqual(pids, {row["pid"] for row in rows}, selector)
            self.assertEqual(NO_PROCESS, memsnap("snapshot", "--unit", "memsnap", "--each").status)


class Watch(Periodic):
    def start(self, pid, *arguments):
        process = subprocess.Popen([MEMSNAP, "watch", str(pid), *map(str, arguments), "-o", "%s/" % self.folder, "--jsonl"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("watching", process.stderr.readline())
        return process

    def end(self, process, status=0):
        out, err = process.communicate(timeout=harness.PATIENCE)
        self.assertEqual(status, process.returncode, out + err)
        return [json.loads(line) for line in out.splitlines()], err

    def test_resident_memory(self):
        with Target(GROWER) as target:
            told = self.folder / "told"
            process = self.start(target.pid, "--rss-over", "150MiB", "--max", 1, "--interval", "100ms",
                                 "--exec", "printf '%%s\\n' >> %s" % told)
            time.sleep(1)
            self.assertIsNone(process.poll())
            self.assertEqual([], self.files())
            target.say(b"200000000\n")
            answers, err = self.end(process)
            self.assertEqual([target.pid], [answer["pid"] for answer in answers])
            self.assertIn("is over 150.0 MiB", err)
            self.assertEqual(answers[0]["file"], told.read_text().strip())
            self.assertTrue(target.alive())

    def test_growth_and_a_pause_between_two(self):
        with Target(GROWER) as target:
            process = self.start(target.pid, "--grew", "60MiB", "--cooldown", "1s", "--max", 2, "--interval", "100ms")
            for _ in range(2):
                target.say(b"100000000\n")
                target.expect(b"grown")
                time.sleep(2.5)
            answers, _ = self.end(process)
            self.assertEqual(2, len(answers))

    def test_a_leak_is_seen_before_the_kernel_kills_for_it(self):
        group = memory_group(600 << 20)
        if not group:
            self.skipTest("no memory cgroup can be made here")
        self.addCleanup(group.rmdir)
        leak = """
import os, time
open(%r, 'w').write(str(os.getpid()))
class Leaked: pass
kept = []
print('ready', flush=True)
input()
while True:
    kept.append((Leaked(), bytearray(b'x' * 2000000)))
    time.sleep(0.03)
""" % str(group / "cgroup.procs")
        with Target(leak) as target:
            process = self.start(target.pid, "--cgroup-over", "60%", "--interval", "100ms", "--max", 1)
            target.say(b"\n")
            self.assertEqual(-signal.SIGKILL, target.process.wait(timeout=harness.PATIENCE))
            answers, err = self.end(process)
            self.assertIn("of its memory limit", err)
            self.assertEqual(1, len(answers), err)
        types = self.types(answers[0]["file"])
        self.assertGreater(types["__main__.Leaked"][0], 50)

    def test_near_its_limit_a_copy_is_made_that_a_snapshot_would_refuse(self):
        group = memory_group(600 << 20)
        if not group:
            self.skipTest("no memory cgroup can be made here")
        self.addCleanup(group.rmdir)
        source = "import os\nopen(%r, 'w').write(str(os.getpid()))\nkept = bytearray(b'x') * (430 << 20)\nprint('ready', flush=True)\ninput()\n"
        with Target(source % str(group / "cgroup.procs")) as target:
            asked = ["--max-pause", "40ms", "-o", str(self.folder / "asked.msnap")]  # to stop for a copy takes longer
            self.assertEqual(GAVE_UP, memsnap("snapshot", target.pid, *asked).status)
            process = self.start(target.pid, "--cgroup-over", "60%", "--interval", "100ms", "--max", 1, "--max-pause", "40ms")
            answers, err = self.end(process)
        self.assertIn("as by --method freeze", err)
        self.assertEqual(1, len(answers), err)

    @unittest.skipUnless(os.getuid() == 0, "needs root to be another user")
    def test_what_would_not_be_permitted_is_said_at_once(self):
        with Target(GROWER) as target:
            result = memsnap("watch", target.pid, "--rss-over", "1TiB", user=65534, group=65534, extra_groups=[])
            self.assertEqual(NO_PERMISSION, result.status, str(result))
        process = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        watch = subprocess.Popen([MEMSNAP, "watch", str(process.pid), "--rss-over", "1TiB"], stderr=subprocess.PIPE, text=True)
        self.assertIn("as it is now, no snapshot can be taken", watch.stderr.readline())
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=harness.PATIENCE)
        self.assertEqual(0, watch.returncode)

    def test_the_end_of_the_target_ends_it(self):
        with Target(GROWER) as target:
            process = self.start(target.pid, "--rss-over", "1TiB", "--interval", "100ms")
            target.close()
            answers, err = self.end(process)
            self.assertEqual([], answers)
            self.assertIn("has ended", err)

    def test_a_command_is_only_taken_from_the_command_line(self):
        config = self.folder / "config"
        config.write_text("[watch]\nexec = touch /tmp/x\n")
        result = memsnap("watch", os.getpid(), "--rss-over", "1TiB", "--config", config)
        self.assertEqual(USAGE, result.status)
        self.assertIn("command line alone", result.err)

    def test_wrong_questions(self):
        for arguments in ([], ["--grew", "x"], ["--rss-over", "1MiB", "--json"], ["--rss-over", "1MiB", "--each"],
                          ["--rss-over", "1MiB", "--max", "0"]):
            self.assertEqual(USAGE, memsnap("watch", os.getpid(), *arguments).status, arguments)


if __name__ == "__main__":
    unittest.main(verbosity=2)
