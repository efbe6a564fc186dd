# memsnap-test: once timeout=600
"""The command line on a live process: streams, files, selectors, terminals, signals, and text planted by the target."""

import csv
import io
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import time
import fcntl
import termios

import harness
from harness import MEMSNAP, Target, differences, fingerprint, memsnap

# Escape sequences, a link, direction marks, line ends, C1 and broken UTF-8 (surrogates), where a target can put them.
PLANTED = r'''
import os, sys, types
RED, LINK = "\x1b[31mred", "\x1b]8;;http://evil\x1b\\x"
BIDI, LINES, C1, LONE = "a\u202eb\u2066c", "one\r\ntwo\tthree", "\x9b31m\x7f\x07", "\udcff\ud800"
class Holder:
    pass
made = []
for number, text in enumerate((RED, LINK, BIDI, LINES, C1, LONE)):
    name = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if text is LONE else text
    kind = type(name, (), {"__module__": name})
    made.append([kind() for _ in range(3000)])
PLANTED_TREE = {text: ["x" * 100000 + text] * 1 for text in (RED, LINK, BIDI, LINES, C1, LONE)}
UNLIKE = {RED: bytes(300000), LINK: bytearray(290000), BIDI: [bytes(280000)], LINES: (bytes(270000),), C1: {1: bytes(260000)}}
module = types.ModuleType(RED)
module.kept = [bytes(200000)]
sys.modules[LINK] = module
os.write(1, b"ready\n")
os.read(0, 1)
'''
WAIT = "import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n"
GRAVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
USAGE, GAVE_UP, SOME_FAILED, CANNOT_WRITE = 2, 7, 8, 9


def run_in_terminal(*arguments, columns=80, rows=24, environment=None, timeout=harness.PATIENCE, as_nobody=False):
    """(exit status, everything that came on the terminal) of memsnap with a terminal for all its streams."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CLICOLOR_FORCE", "COLUMNS")}
    env.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"}, **(environment or {}))
    program, user = (harness.copy_for_everybody(), 65534) if as_nobody and os.getuid() == 0 else (MEMSNAP, None)
    process = subprocess.Popen([program, *map(str, arguments)], stdin=side, stdout=side, stderr=side, env=env, user=user,
                               start_new_session=True)
    os.close(side)
    seen, deadline = b"", time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not select.select([main], [], [], 1)[0]:
            continue
        try:
            got = os.read(main, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not got:
            break
        seen += got
    os.close(main)
    return process.wait(10), seen.decode("utf-8").replace("\r\n", "\n")


def without_colours(text):
    return re.sub("\x1b\\[[0-9]*m", "", text)


class Planted(harness.LiveTest):
    """One snapshot of a target that planted all it could; every command and format shows it harmless."""

    def setUp(self):
        super().setUp()
        target = Target(PLANTED + "# \x1b[31m \u202e \x9b\n")
        self.addCleanup(target.close)
        self.pid = target.pid
        self.file = self.snapshot(target.pid)["file"]

    def check_harmless(self, text, what):
        found = GRAVE.search(text.replace("\r\n", "\n"))
        self.assertIsNone(found, "%s: %r" % (what, found and text[max(0, found.start() - 60):found.end() + 20]))

    def test_every_format_is_harmless(self):
        for command in (["summary", self.file, "-n", "0"], ["tree", self.file, "--min", "0"], ["info", self.file], ["ps"],
                        ["objects", self.file, "-n", "0"], ["objects", self.file, "-n", "0", "--cycles"],
                        ["inspect", self.file, "@1", "-n", "0", "--depth", "4"], ["roots", self.file, "--largest"]):
            for option in ([], ["--json"], ["--jsonl"], ["--csv"], ["--ascii"]):
                if option == ["--csv"] and command[0] in ("info", "inspect", "roots"):
                    continue
                result = memsnap(*command, *option)
                self.assertEqual(0, result.status, str(result))
                self.check_harmless(result.out, (command, option))
                self.assertEqual("", result.err)

    def test_what_was_planted_is_there_and_escaped(self):
        self.check_harmless(memsnap("roots", self.file, "--largest", "--dot").out, "roots --dot")
        text = memsnap("summary", self.file, "-n", "0").out
        for expected in (r"\x1b[31mred", r"\x1b]8;;http://evil", r"\u202e", r"\x07"):
            self.assertIn(expected, text)
        names = {row["type"] for row in memsnap("summary", self.file, "-n", "0", "--json").json()["types"]}
        for planted in ("\x1b[31mred", "a\u202eb\u2066c", "one\r\ntwo\tthree", "\x9b31m\x7f\x07"):
            self.assertIn("%s.%s" % (planted, planted), names)
        tree = memsnap("tree", self.file, "--min", "0", "-n", "0", "--depth", "4")
        self.assertIn(r"['\x1b[31mred']", tree.out)
        self.assertIn(r"module \x1b]8;;http://evil", tree.out)

    def test_a_terminal_gets_no_escape_but_colours(self):
        for command in ("summary", "tree"):
            status, seen = run_in_terminal(command, self.file, "--no-pager")
            self.assertEqual(0, status)
            self.assertIn("\x1b[1m", seen)
            self.check_harmless(without_colours(seen), command)

    def test_attach_and_doctor_are_harmless(self):
        for command in (["attach", self.pid, "--no-save", "--for", "300ms"], ["doctor", self.pid], ["snapshot", self.pid, "--dry-run"]):
            for option in ([], ["--json"]):
                result = memsnap(*command, *option)
                self.assertEqual(0, result.status, str(result))
                self.check_harmless(result.out + result.err, (command, option))


class Doctor(harness.LiveTest):
    def test_the_allocator_is_named(self):
        with Target(WAIT) as target:
            checks = {check["check"]: check for check in memsnap("doctor", target.pid, "--json").json()["checks"]}
        self.assertEqual("ok", checks["allocator"]["verdict"])
        self.assertIn("malloc is the C library's", checks["allocator"]["text"])


class Formats(harness.LiveTest):
    def setUp(self):
        super().setUp()
        target = Target(WAIT)
        self.addCleanup(target.close)
        self.pid = target.pid

    def test_the_json_that_scripts_rely_on(self):
        taken = self.snapshot(self.pid)
        for key, kind in {"file": str, "pid": int, "python": str, "method": str, "consistent": bool, "pause_ms": float,
                          "walk_ms": float, "walk_cpu_ms": float, "child_cpu_ms": float, "objects": int, "edges": int, "bytes": int,
                          "unreadable": int, "skipped": int, "partial": bool}.items():
            self.assertIsInstance(taken[key], (int, float) if kind is float else kind, key)
        summary = memsnap("summary", taken["file"], "--by", "type", "-n", "0", "--json").json()
        self.assertEqual("memsnap.summary/1", summary["schema"])
        self.assertEqual(self.pid, summary["target"]["pid"])
        self.assertTrue(all(summary["memory"][key] > 0 for key in ("rss", "pss", "uss", "python_objects")))
        self.assertEqual({"type", "count", "size", "retained", "native"}, set(summary["types"][0]))
        self.assertEqual((taken["objects"], taken["bytes"]), (summary["totals"]["objects"], summary["totals"]["bytes"]))
        self.assertEqual(taken["objects"], sum(row["count"] for row in summary["types"]))
        self.assertEqual(taken["bytes"], sum(row["size"] for row in summary["types"]))
        tree = memsnap("tree", taken["file"], "--json").json()
        self.assertEqual("memsnap.tree/1", tree["schema"])

        def check(node):
            self.assertLessEqual({"name", "type", "count", "size", "retained", "children"}, set(node))
            self.assertLessEqual(sum(child["retained"] for child in node["children"]), node["retained"])
            for child in node["children"]:
                check(child)
        self.assertTrue(tree["nodes"])
        for node in tree["nodes"]:
            check(node)

    def test_csv_and_json_lines_say_the_same(self):
        file = self.snapshot(self.pid)["file"]
        rows = memsnap("summary", file, "-n", "0", "--json").json()["types"]
        table = list(csv.DictReader(io.StringIO(memsnap("summary", file, "-n", "0", "--csv").out)))
        lines = [json.loads(line) for line in memsnap("summary", file, "-n", "0", "--jsonl").out.splitlines()]
        self.assertEqual([str(row["size"]) for row in rows], [row["size"] for row in table])
        self.assertEqual(("header", "memsnap.summary/1"), (lines[0]["kind"], lines[0]["schema"]))
        self.assertEqual(rows, [{key: row[key] for key in row if key != "kind"} for row in lines[1:]])

    def test_sorting_and_limits(self):
        file = self.snapshot(self.pid)["file"]
        for key, field in (("size", "size"), ("count", "count"), ("retained", "retained")):
            rows = memsnap("summary", file, "-n", "0", "--sort", key, "--json").json()["types"]
            self.assertEqual(sorted((row[field] for row in rows), reverse=True), [row[field] for row in rows])
        self.assertEqual(3, len(memsnap("summary", file, "-n", "3", "--json").json()["types"]))
        self.assertRegex(memsnap("summary", file, "-n", "3").out, r"\+ \d+ more types: .* -n 0 shows all")

    def test_types_only(self):
        file = self.snapshot(self.pid, "--kind", "types")["file"]
        text = memsnap("summary", file)
        self.assertEqual(0, text.status, str(text))
        self.assertNotIn("RETAINED", text.out)
        tree = memsnap("tree", file)
        self.assertEqual(USAGE, tree.status, str(tree))
        self.assertIn("--kind heap", tree.err)

    def test_a_fitted_table_cuts_names_and_never_numbers(self):
        file = self.snapshot(self.pid)["file"]
        whole = memsnap("summary", file).out
        status, seen = run_in_terminal("summary", file, "--no-pager", columns=72)
        self.assertEqual(0, status)
        lines = without_colours(seen).splitlines()
        at = next(i for i, line in enumerate(lines) if "COUNT" in line)
        self.assertTrue(all(len(line) <= 72 for line in lines[at:at + 26]), lines)
        numbers = re.compile(r"^ +[\d,]+ +[\d.]+ [KMGB]")
        self.assertEqual([numbers.match(line).group() for line in lines[at + 1:at + 26]],
                         [numbers.match(line).group() for line in whole.splitlines() if numbers.match(line)])
        self.assertTrue(any("…" in line for line in lines))

    def test_units_are_the_true_ones(self):
        file = self.snapshot(self.pid)["file"]
        self.assertIn("MiB", memsnap("summary", file).out)
        self.assertRegex(memsnap("summary", file, "--units", "si").out, r"\d MB")
        self.assertNotRegex(memsnap("summary", file, "--units", "bytes").out, r"[MK]i?B")

    def test_the_pager_gets_a_report_that_is_too_long_and_only_on_a_terminal(self):
        """Root's pager is not the environment's word: rights_test."""
        def seen(*options, rows=10, **pager):
            return run_in_terminal("help", *options, rows=rows, environment=pager, as_nobody=True)[1]

        pager = {"MEMSNAP_PAGER": "sed s/^/paged:/"}
        self.assertIn("paged:", seen(**pager))
        self.assertNotIn("paged:", seen("--no-pager", **pager))
        self.assertNotIn("paged:", seen(rows=200, **pager))
        self.assertIn("Commands:", seen(PAGER="/does/not/exist"))
        self.assertNotIn("paged:", memsnap("help", env=dict(os.environ, **pager)).out)


class Files(harness.LiveTest):
    def setUp(self):
        super().setUp()
        target = Target(WAIT)
        self.addCleanup(target.close)
        self.pid = target.pid
        self.kept = self.folder / "kept"

    def test_the_default_directory_holds_what_the_reports_take(self):
        taken = memsnap("snapshot", self.pid, "-q", directory=self.kept)
        self.assertEqual((0, ""), (taken.status, taken.err), str(taken))
        first, = (self.folder / "kept").iterdir()
        self.assertRegex(first.name, r"^.+-%d-\d{8}T\d{6}Z\.msnap$" % self.pid)
        self.assertEqual((0o700, 0o600), (first.parent.stat().st_mode & 0o777, first.stat().st_mode & 0o777))
        os.utime(first, (1, 1))
        time.sleep(1.1)
        attached = memsnap("attach", self.pid, "--for", "300ms", directory=self.kept)
        self.assertEqual(0, attached.status, str(attached))
        newest = re.search(r"(?m)^saved (\S+)", attached.out).group(1)
        self.assertEqual(newest, memsnap("info", "--json", directory=self.kept).json()["file"])
        for command in ("summary", "tree"):
            self.assertEqual(0, memsnap(command, directory=self.kept).status)

    def test_nothing_is_written_without_being_asked(self):
        done = memsnap("attach", self.pid, "--no-save", "--for", "300ms", directory=self.kept)
        self.assertEqual(0, done.status, str(done))
        self.assertIn("not saved", done.out)
        done = memsnap("snapshot", self.pid, "--dry-run", directory=self.kept)
        self.assertEqual(0, done.status, str(done))
        self.assertIn("Nothing was touched", done.out)
        self.assertEqual([], os.listdir(self.folder))

    def test_patterns(self):
        taken = memsnap("snapshot", self.pid, "-o", self.folder / "%p.%k.msnap", "--json").json()
        self.assertEqual(str(self.folder / ("%d.heap.msnap" % self.pid)), taken["file"])
        self.assertEqual(os.path.getsize(taken["file"]), taken["file_bytes"])

    def test_too_little_space_is_refused_before_the_target_is_touched(self):
        result = memsnap("snapshot", self.pid, "-o", self.file_name(), "--min-free", "100%")
        self.assertEqual(CANNOT_WRITE, result.status, str(result))
        self.assertIn("--min-free", result.err)

    def test_a_report_goes_to_a_file_and_replaces_none(self):
        file, report = self.snapshot(self.pid)["file"], self.folder / "report.txt"
        self.assertEqual((0, ""), (memsnap("summary", file, "-o", report).status, memsnap("tree", file, "-f", "-o", report).out))
        self.assertEqual(CANNOT_WRITE, memsnap("summary", file, "-o", report).status)
        self.assertNotIn("\x1b", report.read_text())


class Selectors(harness.LiveTest):
    def test_several_matches(self):
        program = WAIT + "# selector-test-%d\n" % os.getpid()
        name = "selector-test-%d" % os.getpid()
        with Target(program) as one, Target(program) as two:
            listed = memsnap("snapshot", "--name", name, "-o", self.file_name())
            self.assertEqual(USAGE, listed.status, str(listed))
            self.assertIn(str(one.pid), listed.err)
            self.assertIn(str(two.pid), listed.err)
            self.assertEqual(USAGE, memsnap("snapshot", "--name", name, "--each", "--json").status)
            each = memsnap("snapshot", "--name", name, "--each", "--jsonl", "-o", self.folder / "%p.msnap")
            self.assertEqual(0, each.status, str(each))
            self.assertEqual({one.pid, two.pid}, {json.loads(line)["pid"] for line in each.out.splitlines()})
            again = memsnap("snapshot", "--name", name, "--each", "--jsonl", "-o", self.folder / "%p.msnap")
            self.assertEqual(SOME_FAILED, again.status, str(again))
            self.assertEqual({"memsnap.error/1"}, {json.loads(line)["schema"] for line in again.out.splitlines()})
            newest = memsnap("snapshot", "--name", name, "--newest", "--json", "-o", self.file_name())
            self.assertEqual(max(one.pid, two.pid), newest.json()["pid"])
            rows = memsnap("ps", "--name", name, "--json").json()["processes"]
            self.assertEqual({one.pid: "ok", two.pid: "ok"}, {row["pid"]: row["attach"] for row in rows})
            tree = memsnap("snapshot", "--tree", one.pid, "--json", "-o", self.file_name())
            self.assertEqual(one.pid, tree.json()["pid"])
        self.assertEqual(3, memsnap("snapshot", "--name", name).status)

    def test_python_under_another_name(self):
        [found] = subprocess.run([*harness.PYTHON, "-c", "import os, sys; print(os.path.realpath(sys.executable))"],
                                 stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        program = shutil.copy(found, self.folder / "shopd")
        with Target(WAIT, python=[program]) as target:
            rows = memsnap("ps", "--json").json()["processes"]
            self.assertEqual(["ok"], [row["attach"] for row in rows if row["pid"] == target.pid])


class Streams(harness.LiveTest):
    def test_quiet_and_json_logs(self):
        with Target(WAIT) as target:
            loud = memsnap("snapshot", target.pid, "-o", self.file_name())
            self.assertRegex(loud.err, r"^memsnap: %d .*, CPython 3\.\d+\.\d+, stopped for [\d.]+ ms\n" % target.pid)
            quiet = memsnap("snapshot", target.pid, "-q", "-o", self.file_name())
            self.assertEqual((0, ""), (quiet.status, quiet.err))
            logged = memsnap("snapshot", target.pid, "--log-format", "json", "-vv", "-o", self.file_name())
            for line in logged.err.splitlines():
                self.assertLessEqual({"ts", "level", "event", "msg", "pid"}, set(json.loads(line)))

    def test_progress_is_drawn_on_a_terminal_only(self):
        with Target("big.py", 8000000) as target:
            self.assertNotIn("\r", memsnap("snapshot", target.pid, "-o", self.file_name()).err)
            status, seen = run_in_terminal("snapshot", target.pid, "-o", self.file_name())
            self.assertEqual(0, status, seen)
            self.assertIn("\x1b[K", seen)
        with Target(WAIT) as target:
            self.assertNotIn("\x1b[K", run_in_terminal("snapshot", target.pid, "-o", self.file_name())[1])

    def test_signals_end_it_and_leave_the_target_as_it_was(self):
        with Target("big.py", 4000000) as target:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before = fingerprint(target.pid)
                process = subprocess.Popen([MEMSNAP, "snapshot", str(target.pid), "-o", self.file_name(), "--json"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                time.sleep(0.3)
                process.send_signal(number)
                process.send_signal(number)
                out, err = process.communicate(timeout=harness.PATIENCE)
                self.assertEqual(128 + number, process.returncode, out + err)
                self.assertEqual("memsnap.error/1", json.loads(out)["schema"])
                self.assertEqual([], os.listdir(self.folder))
                self.assertEqual([], differences(before, fingerprint(target.pid)))


if __name__ == "__main__":
    harness.main()
