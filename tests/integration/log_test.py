# memsnap-test: once
# memsnap-test: timeout=1200
"""The log of memory points: many writers at once, writers that are killed, files that are damaged, a disk that is full, and what
memsnap log shows."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import LiveTest, memsnap
from sleeper import Sleeper

USAGE, CANNOT_WRITE, BAD_FILE = 2, 9, 10


class LogTest(LiveTest):
    def setUp(self):
        super().setUp()
        self.log = str(self.folder / "a.points")

    def points(self, *arguments, log=None):
        result = memsnap("log", log or self.log, "--json", *arguments)
        self.assertEqual(0, result.status, str(result))
        return result.json()["points"]

    def made(self, target, ids, log=None):
        for id_ in ids:
            result = memsnap("point", target.pid, id_, "--log", log or self.log)
            self.assertEqual(0, result.status, str(result))


class Writers(LogTest):
    def write_at_once(self, target, writers, points, *options):
        """Each writer makes its points one after the other; what went wrong."""
        failures = []

        def write(writer):
            for number in range(points):
                result = memsnap("point", target.pid, "%d/%d" % (writer, number), "--log", self.log, *options, timeout=900)
                if result.status != 0:
                    failures.append(str(result))

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return failures

    def check_all_there(self, writers, points):
        made = self.points()
        self.assertEqual(list(range(writers * points + 1)), [point["i"] for point in made])
        self.assertEqual("memsnap attach", made[0]["id"])
        for writer in range(writers):
            own = [point["id"] for point in made if point["id"].startswith("%d/" % writer)]
            self.assertEqual(["%d/%d" % (writer, number) for number in range(points)], own)
        times = [point["time"] for point in made]
        self.assertEqual(sorted(times), times)  # measured in the order in which they are there
        return made

    def test_a_hundred_writers_at_once_lose_none_of_a_thousand_points(self):
        with Sleeper() as target:
            self.assertEqual([], self.write_at_once(target, 100, 10))
        self.check_all_there(100, 10)
        self.assertEqual([pathlib.Path(self.log)], sorted(self.folder.iterdir()))  # nothing stays beside it

    def test_writers_with_objects_wait_for_each_other(self):
        with Sleeper() as target:
            before = harness.fingerprint(target.pid)
            self.assertEqual([], self.write_at_once(target, 100, 2, "--objects"))
            self.assertEqual([], harness.differences(before, harness.fingerprint(target.pid)))
        made = self.check_all_there(100, 2)
        self.assertEqual(1, len({point["pyobj"] for point in made}))

    def test_different_logs_of_one_process_wait_too(self):
        with Sleeper() as target:
            logs = [str(self.folder / ("%d.points" % i)) for i in range(8)]
            running = [subprocess.Popen([harness.MEMSNAP, "point", str(target.pid), "--objects", "--log", log], stderr=subprocess.PIPE)
                       for log in logs]
            for process in running:
                err = process.communicate(timeout=harness.PATIENCE)[1]
                self.assertEqual(0, process.returncode, err)
            for log in logs:
                self.assertEqual(2, len(self.points(log=log)))

    def test_a_thousand_points_of_one_id_are_numbered(self):
        with Sleeper() as target:
            threads = [threading.Thread(target=lambda: [memsnap("point", target.pid, "--log", self.log) for _ in range(10)])
                       for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(["memsnap attach", "None"] + ["None-%d" % i for i in range(2, 51)], [p["id"] for p in self.points()])

    def test_a_writer_that_is_killed_loses_its_own_point_at_most(self):
        kill = random.Random(5)
        kept = []
        with Sleeper() as target:
            self.made(target, ["begin"])
            for number in range(60):
                process = subprocess.Popen([harness.MEMSNAP, "point", str(target.pid), "killed/%d" % number, "--log", self.log])
                time.sleep(kill.uniform(0, 0.03))
                process.kill()
                if process.wait() == 0:
                    kept.append("killed/%d" % number)
                if number % 10 == 0:
                    self.made(target, ["between/%d" % number])
                    kept.append("between/%d" % number)
            self.made(target, ["end"])
        ids = [point["id"] for point in self.points()]
        self.assertEqual(["memsnap attach", "begin"], ids[:2])
        self.assertEqual("end", ids[-1])
        self.assertLessEqual(set(kept), set(ids))
        self.assertLessEqual(set(ids), set(kept) | {"memsnap attach", "begin", "end"} | {"killed/%d" % i for i in range(60)})
        self.assertEqual(len(ids), len(set(ids)))

    def test_a_writer_that_waits_can_be_ended(self):
        with Sleeper() as target:
            self.made(target, ["a"])
            holder = subprocess.Popen([*HOLDER, self.log], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            with holder:
                self.assertEqual(b"held\n", holder.stdout.readline())
                waiting = subprocess.Popen([harness.MEMSNAP, "point", str(target.pid), "b", "--log", self.log], stderr=subprocess.PIPE)
                time.sleep(0.3)
                self.assertIsNone(waiting.poll())
                self.assertEqual(["memsnap attach", "a"], [p["id"] for p in self.points()])  # readers do not wait
                waiting.send_signal(signal.SIGTERM)
                waiting.communicate(timeout=harness.PATIENCE)
                self.assertEqual(128 + signal.SIGTERM, waiting.returncode)
                holder.stdin.close()
            self.made(target, ["c"])
        self.assertEqual(["memsnap attach", "a", "c"], [p["id"] for p in self.points()])


HOLDER = ["/usr/bin/python3", "-c", """
import sqlite3, sys
log = sqlite3.connect(sys.argv[1], isolation_level=None)
log.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""]


class Files(LogTest):
    def both_refuse(self, target, pattern):
        """memsnap log and memsnap point both say what is wrong, and change nothing."""
        before = pathlib.Path(self.log).read_bytes()
        for result in (memsnap("log", self.log), memsnap("point", target.pid, "x", "--log", self.log)):
            self.assertEqual(BAD_FILE, result.status, str(result))
            self.assertRegex(result.err, pattern)
        self.assertEqual(before, pathlib.Path(self.log).read_bytes())

    def test_what_is_no_log_is_left_as_it_is(self):
        with Sleeper() as target:
            for content, pattern in ((b"", "no log"), (b"text\n", "no log"), (os.urandom(5000), "no log"),
                                     (b"SQLite format 3\0" + os.urandom(5000), "damaged|no log")):
                pathlib.Path(self.log).write_bytes(content)
                self.both_refuse(target, pattern)

    def test_a_log_of_a_newer_memsnap_is_left_as_it_is(self):
        with Sleeper() as target:
            self.made(target, ["a"])
            sql(self.log, "PRAGMA user_version = 2")
            self.both_refuse(target, "newer memsnap: format 2, and this one knows 1")

    def test_a_point_that_was_changed_is_not_shown(self):
        with Sleeper() as target:
            self.made(target, ["a", "b"])
        sql(self.log, "UPDATE point SET rss = rss + 1 WHERE id = 'a'")
        result = memsnap("log", self.log)
        self.assertEqual((BAD_FILE, ""), (result.status, result.out), str(result))
        self.assertRegex(result.err, "damaged: point 2 is not as it was written")

    def test_a_point_that_was_taken_out_is_missed(self):
        with Sleeper() as target:
            self.made(target, ["a", "b"])
        sql(self.log, "DELETE FROM point WHERE id = 'a'")
        self.assertRegex(memsnap("log", self.log).err, "damaged: point 2 is missing")

    def test_tables_with_code_in_them_are_refused(self):
        with Sleeper() as target:
            self.made(target, ["a"])
            sql(self.log, "CREATE TRIGGER t AFTER INSERT ON point BEGIN DELETE FROM point; END")
            self.both_refuse(target, "damaged: its tables")

    def test_random_damage_ends_in_an_error_or_in_the_truth(self):
        with Sleeper() as target:
            self.made(target, ["point %d" % i for i in range(20)])
        truth = memsnap("log", self.log, "--json").out
        whole = pathlib.Path(self.log).read_bytes()
        damage = random.Random(7)
        for _ in range(60):
            content = bytearray(whole)
            for _ in range(damage.choice((1, 1, 5, 200))):
                content[damage.randrange(len(content))] = damage.randrange(256)
            pathlib.Path(self.log).write_bytes(bytes(content[:damage.choice((len(content), damage.randrange(len(content))))]))
            result = memsnap("log", self.log, "--json")
            self.assertIn(result.status, (0, BAD_FILE), str(result))
            if result.status == 0:
                self.assertEqual(truth, result.out)

    def test_other_things_that_are_no_files(self):
        os.mkfifo(self.folder / "fifo")
        for name in ("fifo", ".", "missing/a.points"):
            result = memsnap("log", str(self.folder / name))
            self.assertEqual(BAD_FILE, result.status, str(result))
        with Sleeper() as target:
            for name, code in (("fifo", BAD_FILE), ("missing/a.points", CANNOT_WRITE), (".", BAD_FILE)):
                result = memsnap("point", target.pid, "--log", str(self.folder / name))
                self.assertEqual(code, result.status, str(result))

    @unittest.skipUnless(os.getuid() == 0, "needs root to be another user")
    def test_a_folder_that_may_not_be_written_can_be_read(self):
        folder = tempfile.mkdtemp(prefix="memsnap-log-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        log = os.path.join(folder, "a.points")
        with Sleeper() as target:
            self.made(target, ["a"], log=log)
        os.chmod(log, 0o644)
        os.chmod(folder, 0o755)
        result = memsnap("log", log, "--ids", user=65534, group=65534, extra_groups=[])
        self.assertEqual((0, "memsnap attach\na\n"), (result.status, result.out), str(result))

    @unittest.skipUnless(os.getuid() == 0, "needs root to be another user")
    def test_root_may_add_to_a_users_log_and_not_the_other_way_round(self):
        folder = tempfile.mkdtemp(prefix="memsnap-log-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        user = dict(user=65534, group=65534, extra_groups=[])
        os.chown(folder, 65534, 65534)
        theirs, ours = os.path.join(folder, "a.points"), str(self.folder / "b.points")
        os.chmod(self.folder, 0o755)
        process = subprocess.Popen(["sleep", "1000"], **user)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for number in range(4):
            made = memsnap("point", process.pid, number, "--log", theirs, **(user if number % 2 == 0 else {}))
            self.assertEqual(0, made.status, str(made))
        self.assertEqual(65534, os.stat(theirs).st_uid)
        for reader in ({}, user):
            self.assertEqual("memsnap attach\n0\n1\n2\n3\n", memsnap("log", theirs, "--ids", **reader).out)
        self.assertEqual(0, memsnap("point", process.pid, "--log", ours).status)
        for refused in (memsnap("log", ours, **user), memsnap("point", process.pid, "--log", ours, **user)):
            self.assertEqual(BAD_FILE, refused.status, str(refused))
            self.assertIn("its maker's alone", refused.err)

    @unittest.skipUnless(os.getuid() == 0, "a small file system needs root")
    def test_a_full_disk_is_code_9_and_the_log_stays_whole(self):
        script = FULL_DISK.format(folder=self.folder / "small", memsnap=harness.MEMSNAP)
        (self.folder / "small").mkdir()
        with Sleeper() as target:
            done = subprocess.run(["unshare", "--mount", "/usr/bin/python3", "-c", script, str(target.pid)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=600)
        if done.returncode == 77:
            self.skipTest("no small file system here: " + done.stderr.strip())
        self.assertEqual(0, done.returncode, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(CANNOT_WRITE, said["status"], said)
        self.assertRegex(said["stderr"], "cannot write")
        self.assertGreater(said["made"], 20)
        self.assertEqual(said["made"] + 1, said["shown"])  # with the first point
        self.assertEqual(said["made"] + 2, said["after_room_was_made"])


# Points with long notes until the disk is full; then some room is made.
FULL_DISK = """
import json, os, subprocess, sys
folder, program, pid = "{folder}", "{memsnap}", sys.argv[1]
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", folder]).returncode:
    sys.exit(77)
log = folder + "/a.points"
with open(folder + "/ballast", "wb") as file:
    file.write(b"x" * 120000)
def memsnap(*words):
    return subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
made = 0
while made < 2000:
    done = memsnap("point", pid, "p%d" % made, "--log", log, "--note", "n" * 3000)
    if done.returncode:
        break
    made += 1
shown = json.loads(memsnap("log", log, "--json").stdout)["points"]
os.unlink(folder + "/ballast")
again = memsnap("point", pid, "again", "--log", log)
after = json.loads(memsnap("log", log, "--json").stdout)["points"]
print(json.dumps({{"status": done.returncode, "stderr": done.stderr, "made": made, "shown": len(shown),
                  "after_room_was_made": len(after) if again.returncode == 0 else again.stderr}}))
"""


def sql(log, statement):
    subprocess.run(["/usr/bin/python3", "-c", "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()",
                    log, statement], check=True)


class Showing(LogTest):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory(prefix="memsnap-test-")
        cls.shared = os.path.join(cls.kept.name, "a.points")
        with Sleeper() as target:
            cls.pid = target.pid
            for words in (("after warm-up",), ("Before rebuild_index()",), ("After rebuild_index()", "--note", "raised ValueError"),
                          ("after warm-up", "--objects")):
                done = memsnap("point", target.pid, *words, "--log", cls.shared)
                assert done.status == 0, str(done)

    @classmethod
    def tearDownClass(cls):
        cls.kept.cleanup()

    def shown(self, *arguments, status=0):
        result = memsnap("log", self.shared, *arguments)
        self.assertEqual(status, result.status, str(result))
        return result.out

    def test_the_list(self):
        lines = self.shown().splitlines()
        self.assertEqual(6, len(lines))
        self.assertRegex(lines[0], r"^ 0 +\d+\.\d\d MiB +(→|->) memsnap attach$")
        self.assertRegex(lines[2], r"^ 2 +\d+\.\d\d MiB +[+-]\d+(\.\d\d)? [KM]?i?B +(→|->) Before rebuild_index\(\)$")
        self.assertRegex(lines[3], r"After rebuild_index\(\)  raised ValueError$")
        self.assertRegex(lines[4], r"after warm-up-2$")

    def test_slices_are_those_of_python(self):
        ids = self.shown("--ids").splitlines()
        self.assertEqual(["memsnap attach", "after warm-up", "Before rebuild_index()", "After rebuild_index()", "after warm-up-2"], ids)
        for text in ("1:3", ":", "-2:", ":-1", "20:25", "3:1", "-1:", "-99:2"):
            begin, end = (int(word) if word else None for word in text.split(":"))
            self.assertEqual(ids[begin:end], self.shown("--ids", "--slice", text).splitlines(), text)
        self.shown("--slice", "1:2:3", status=USAGE)

    def test_filters_and_maps(self):
        chosen = 'id ~* "after" and i > 1 and not pyobj > 0'
        self.assertEqual("3\tafter rebuild_index()\n", self.shown("--filter", chosen, "--map", "i", "--map", "lower(id)"))
        rss = int(self.shown("--memories", "--slice", "-1:"))
        self.assertEqual("%s\n" % round(rss / 1048576, 1), self.shown("--slice", "-1:", "--map", "round(MB(rss), 1)"))
        self.assertEqual("after warm-up-2\n", self.shown("--filter", "pyobj > 0", "--map", "id"))
        self.assertEqual("", self.shown("--filter", "rss < 1"))
        self.assertEqual(5, len(self.shown("--filter", 'time > "2020-01-01" and pid == %d' % self.pid, "--ids").splitlines()))
        for wrong in ("id", "rss >", "nonsense > 1", "id > 5", "id ~ '['"):
            self.assertEqual("", self.shown("--filter", wrong, status=USAGE))

    def test_metrics(self):
        point = json.loads(self.shown("--json"))["points"][-1]
        for metric in ("rss", "pss", "uss", "pyobj"):
            self.assertEqual("%d\n" % point[metric], self.shown("--metric", metric, "--memories", "--slice", "-1:"))
        self.assertEqual("-\n", self.shown("--metric", "pyobj", "--memories", "--slice", "0:1"))

    def test_machines_get_plain_values(self):
        document = json.loads(self.shown("--json"))
        self.assertEqual("memsnap.log/1", document["schema"])
        lines = [json.loads(line) for line in self.shown("--jsonl").splitlines()]
        self.assertEqual(["header"] + ["point"] * 5, [line["kind"] for line in lines])
        rows = self.shown("--csv").splitlines()
        self.assertEqual("i,id,time,rss,pss,uss,pyobj,objects,delta,pause_ms,pid,host,name,note", rows[0])
        self.assertEqual(6, len(rows))
        self.assertEqual("id", self.shown("--csv", "--ids").splitlines()[0])
        values = json.loads(self.shown("--json", "--map", "i * 2", "--map", "upper(id)"))
        self.assertEqual(["i * 2", "upper(id)"], values["map"])
        self.assertEqual({"map1": 2, "map2": "AFTER WARM-UP"}, values["values"][1])

    def test_groups(self):
        by_id = json.loads(self.shown("--group-by", "id", "--json"))["groups"]
        self.assertEqual([("memsnap attach", 1), ("after warm-up", 2)], [(row["id"], row["count"]) for row in by_id[:2]])
        by_function = json.loads(self.shown("--group-by", "function", "--json"))["groups"]
        self.assertEqual([("rebuild_index()", 1, 1)], [(row["function"], row["calls"], row["raised"]) for row in by_function])
        self.assertIn("FUNCTION", self.shown("--group-by", "function"))

    def test_the_plot_is_a_chart(self):
        lines = self.shown("--plot", "--ascii").splitlines()
        self.assertEqual(18, len(lines))
        self.assertRegex(lines[0], r"MiB \|.*#")
        self.assertRegex(lines[-2], r"0 \+-+$")
        self.shown("--plot", "--jsonl", status=USAGE)
        self.shown("--plot", "--ids", status=USAGE)

    def test_following_shows_points_as_they_come(self):
        for option, names in ((), lambda line: line.rsplit(b" ", 1)[-1].decode()), (("--jsonl",), lambda line: json.loads(line)["points"][0]["id"]):
            log = str(self.folder / ("follow%d.points" % len(option)))
            with Sleeper() as target:
                self.made(target, ["first"], log=log)
                follower = subprocess.Popen([harness.MEMSNAP, "log", log, "--follow", *option], stdout=subprocess.PIPE)
                with follower:
                    found = [names(follower.stdout.readline().strip()) for _ in range(2)]
                    self.made(target, ["second", "third"], log=log)
                    found += [names(follower.stdout.readline().strip()) for _ in range(2)]
                    follower.send_signal(signal.SIGTERM)
                    self.assertEqual(0, follower.wait(harness.PATIENCE))
                self.assertEqual(["attach" if not option else "memsnap attach", "first", "second", "third"], found)
        self.shown("--follow", "--json", status=USAGE)

    def test_a_file_and_a_process_exclude_each_other(self):
        self.shown("--name", "x", status=USAGE)
        self.assertEqual(BAD_FILE, memsnap("log", "1", "--log", self.shared).status)

    def test_ids_are_harmless_to_a_terminal(self):
        with Sleeper() as target:
            self.made(target, ["\x1b[31mred\x07"])
        for option in ((), ("--ids",), ("--map", "id"), ("--csv",)):
            text = memsnap("log", self.log, *option).out
            self.assertNotIn("\x1b", text)
            self.assertIn("\\x1b[31mred\\x07", text)


if __name__ == "__main__":
    harness.main()
