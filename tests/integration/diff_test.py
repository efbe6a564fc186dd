"""What changed between snapshots of a real process: the figures are those the process itself knows."""

import os

import harness
from harness import Target, memsnap

PROGRAM = """
import gc, os, sys
class Entry:
    __slots__ = ("number", "text")
    def __init__(self, number):
        self.number, self.text = number + 1000000, "entry-%d" % number
class Sleeper:
    __slots__ = ("a",)
CACHE = {}
SLEEPERS = [Sleeper() for _ in range(5000)]
LIST = []
gc.collect()
os.write(1, b"ready\\n")
while True:
    command = os.read(0, 100).split()
    if not command:
        break
    if command[0] == b"grow":
        for _ in range(int(command[1])):
            CACHE[len(CACHE)] = Entry(len(CACHE))
    if command[0] == b"list":
        LIST.extend([None] * 100000)
    if command[0] == b"drop":
        del SLEEPERS[:1000]
    del command
    gc.collect()
    os.write(1, b"done %d %d\\n" % (sys.getsizeof(CACHE), sys.getsizeof(CACHE[0]) if CACHE else 0))
"""


class DiffCase(harness.LiveTest):
    def setUp(self):
        super().setUp()
        self.target = Target(PROGRAM)
        self.addCleanup(self.target.close)

    def do(self, command):
        self.target.say(command)
        return [int(word) for word in self.target.expect(b"done").split()]

    def take(self, name, *options):
        file = self.folder / name
        done = memsnap("snapshot", self.target.pid, "-o", file, "--json", *options)
        self.assertEqual(0, done.status, str(done))
        return file

    def diff(self, *arguments, status=0):
        done = memsnap("diff", *arguments, "--json")
        self.assertEqual(status, done.status, str(done))
        return done.json()



class Diff(DiffCase):
    def test_types_that_are_new_gone_and_larger(self):
        old = self.take("old.msnap")
        self.do(b"grow 3000")
        self.do(b"drop")
        new = self.take("new.msnap")
        answer = self.diff(old, new, "-n", "0")
        self.assertEqual("memsnap.diff/1", answer["schema"])
        self.assertTrue(answer["same_process"])
        types = {row["type"]: row for row in answer["types"]}
        entry, sleeper = types["__main__.Entry"], types["__main__.Sleeper"]
        self.assertEqual({"count": 0, "size": 0}, entry["old"])
        self.assertEqual(3000, entry["new"]["count"])
        self.assertEqual(entry["new"], entry["delta"])
        self.assertEqual((5000, 4000, -1000), (sleeper["old"]["count"], sleeper["new"]["count"], sleeper["delta"]["count"]))
        self.assertEqual(sleeper["new"]["size"] - sleeper["old"]["size"], sleeper["delta"]["size"])
        for row in answer["types"]:
            self.assertNotEqual(row["old"], row["new"])
        # The same types, counted by each file's own summary.
        for name, file in (("old", old), ("new", new)):
            summary = memsnap("summary", file, "-n", "0", "--json").json()["types"]
            for row in summary:
                if row["type"] in types:
                    self.assertEqual({"count": row["count"], "size": row["size"]}, types[row["type"]][name], row["type"])
        objects = answer["objects"]
        self.assertGreaterEqual(objects["new"]["count"], 9000)  # an Entry, its number and its text
        self.assertGreaterEqual(objects["gone"]["count"], 1000)
        self.assertIn("CACHE", answer["held_by"]["path"])
        self.assertEqual("builtins.dict", answer["held_by"]["type"])
        self.assertGreaterEqual(answer["held_by"]["count"], 9000)
        text = memsnap("diff", old, new)
        self.assertEqual(0, text.status, str(text))
        self.assertIn("CACHE", text.out)
        self.assertIn("__main__.Entry", text.out)

    def test_reuse_of_an_address_is_not_survival(self):
        program = PROGRAM.replace('LIST.extend([None] * 100000)', 'c = "xy"[TEXT[0][0] == "x"]; TEXT[0] = None; TEXT[0] = c * int("400")').replace(
            "LIST = []", 'TEXT = ["x" * int("400")]')
        with Target(program) as target:
            new = {}
            for strings in ("names", "hash"):
                files = [self.folder / ("%s-%d" % (strings, turn)) for turn in range(2)]
                for file in files:
                    done = memsnap("snapshot", target.pid, "-o", file, "--strings", strings, "--json")
                    self.assertEqual(0, done.status, str(done))
                    target.say(b"list")
                    target.expect(b"done")
                new[strings] = self.diff(*files)["objects"]["new"]["size"]
        # The new text took the place of the old one at once: only its hash tells them apart.
        self.assertLess(new["names"], 400)
        self.assertGreaterEqual(new["hash"], 400)

    def test_what_holds_more(self):
        self.do(b"grow 2000")
        old = self.take("old.msnap")
        self.do(b"grow 4000")
        self.do(b"list")
        new = self.take("new.msnap")
        paths = {row["path"]: row for row in self.diff(old, new, "--by", "path", "-n", "0")["paths"]}
        # An entry's own bytes: some 48 + 32 + 59, and the dict's table.
        self.assertGreater(paths["module __main__.CACHE"]["delta"]["size"], 4000 * 120)
        self.assertGreaterEqual(paths["module __main__.LIST"]["delta"]["size"], 800000)
        self.assertEqual("builtins.list", paths["module __main__.LIST"]["type"])
        modules = {row["module"]: row for row in self.diff(old, new, "--by", "module", "-n", "0")["modules"]}
        total = paths["module __main__.CACHE"]["delta"]["size"] + paths["module __main__.LIST"]["delta"]["size"]
        self.assertGreaterEqual(modules["module __main__"]["delta"]["size"], total - 1000)
        memory = {row["part"]: row for row in self.diff(old, new, "--by", "memory")["parts"]}
        self.assertGreaterEqual(memory["python objects"]["delta"]["size"], 0.95 * total)
        self.assertIn("rss", memory)

    def test_exit_codes_and_names_of_processes(self):
        self.take("a.msnap")
        self.do(b"list")
        self.take("b.msnap")
        pid = self.target.pid
        for arguments, status in (
                ([pid], 0), (["%d@-2" % pid, "%d@-1" % pid], 0), ([pid, "--fail-on", "delta > 100KiB"], 1),
                ([pid, "--fail-on", "delta > 100MiB"], 0), ([pid, "--exit-code"], 1), ([pid, "--fail-on", "delta >"], 2),
                (["%d@-1" % pid, "%d@-1" % pid, "--exit-code"], 0), (["%d@-3" % pid, "%d@-1" % pid], 10), (["1@0", "1@-1"], 2),
                ([], 2), ([pid, pid], 2), ([pid, "--fail-on", "delta_percent > 1 and largest > 500KiB"], 1)):
            done = memsnap("diff", *arguments, directory=self.folder)
            self.assertEqual(status, done.status, "%s\n%s" % (arguments, done))
            self.assertEqual("delta > 100KiB" in done.err, arguments[1:] == ["--fail-on", "delta > 100KiB"], str(done))

    def test_two_processes_are_said_to_be_two(self):
        old = self.take("a.msnap")
        with Target(PROGRAM) as other:
            new = self.folder / "b.msnap"
            self.assertEqual(0, memsnap("snapshot", other.pid, "-o", new, "-q").status)
        answer = self.diff(old, new)
        self.assertFalse(answer["same_process"])
        self.assertNotIn("objects", answer)
        self.assertIn("two processes", memsnap("diff", old, new).out)

    def test_types_only_files_compare_by_type(self):
        old = self.take("a.msnap", "--kind", "types")
        self.do(b"grow 100")
        new = self.take("b.msnap", "--kind", "types")
        types = {row["type"]: row for row in self.diff(old, new, "-n", "0")["types"]}
        self.assertEqual(100, types["__main__.Entry"]["delta"]["count"])
        self.diff(old, new, "--by", "path", status=2)

    def test_damaged_file(self):
        old = self.take("a.msnap")
        damaged = self.folder / "damaged.msnap"
        damaged.write_bytes(old.read_bytes()[:-300])
        for pair in ((old, damaged), (damaged, old)):
            self.diff(*pair, status=10)


class Growth(DiffCase):
    def test_steady_growth_is_found_and_fitted(self):
        files = []
        for step in range(5):
            self.do(b"grow 1000")
            self.do(b"list" if step % 2 else b"drop")
            files.append(self.take("%d.msnap" % step))
        done = memsnap("growth", *reversed(files), "--json", "-n", "0")
        self.assertEqual(0, done.status, str(done))
        rows = {(row["kind"], row["name"] or row["type"]): row for row in done.json()["growing"]}
        cache = rows["path", "module __main__.CACHE"]
        self.assertEqual((4, 4), (cache["grown_steps"], cache["steps"]))
        self.assertGreater(cache["bytes_per_minute"], 0)
        self.assertGreater(cache["fit"], 0.8)
        self.assertEqual((1, 1), (cache["first"]["count"], cache["last"]["count"]))
        entry = rows["type", "__main__.Entry"]
        self.assertEqual((1000, 5000), (entry["first"]["count"], entry["last"]["count"]))
        self.assertNotIn(("path", "module __main__.LIST"), rows)  # it grew in two steps of four
        self.assertNotIn(("type", "__main__.Sleeper"), rows)
        fewer = memsnap("growth", *files, "--json", "-n", "0", "--min-steps", "2").json()["growing"]
        self.assertIn("module __main__.LIST", [row["name"] for row in fewer])
        text = memsnap("growth", *files)
        self.assertIn("__main__.Entry", text.out)
        self.assertIn("4/4", text.out)
        csv = memsnap("growth", *files, "--csv").out
        self.assertTrue(csv.startswith("kind,name,type,bytes_per_minute"), csv)
        self.assertEqual(2, memsnap("growth", *files[:2]).status)
        self.assertEqual(done.json()["growing"], memsnap("growth", self.target.pid, "--json", "-n", "0", directory=self.folder).json()["growing"])


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
