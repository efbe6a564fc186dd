# memsnap-test: once
"""The command line without a process to look at: help, usage errors, streams, exit codes."""

import json
import os
import re
import subprocess
import unittest

import harness
from harness import MEMSNAP, memsnap

COMMANDS = ("ps", "doctor", "memory", "attach", "snapshot", "watch", "detach", "live", "point", "log", "summary", "tree", "table", "stats", "roots", "objects", "inspect", "diff",
            "growth", "threads", "info", "export", "prune", "help")
USAGE, CANNOT_WRITE, BAD_FILE = 2, 9, 10


class Help(unittest.TestCase):
    def test_every_command_has_help_with_an_example_and_exit_codes(self):
        for command in COMMANDS:
            with self.subTest(command):
                by_option, by_command = memsnap(command, "--help"), memsnap("help", command)
                self.assertEqual((0, ""), (by_option.status, by_option.err))
                self.assertEqual(by_option.out, by_command.out)
                self.assertRegex(by_option.out, r"Examples:\n  (sudo )?memsnap %s" % command)
                self.assertRegex(by_option.out, r"Exit codes:\n  0 ")
                self.assertTrue(all(len(line) <= 100 for line in by_option.out.splitlines()))

    def test_the_overview_names_every_command(self):
        text = memsnap("--help").out
        for command in COMMANDS:
            self.assertRegex(text, r"(?m)^  %s " % command)
        self.assertEqual(text, memsnap("help").out)

    def test_help_wins_over_options_that_are_wrong(self):
        self.assertEqual(0, memsnap("snapshot", "--nonsense", "--help").status)

    def test_version_has_the_build_and_the_interpreters(self):
        self.assertRegex(memsnap("--version").out, r"^memsnap \d+\.\d+\.\d+\nbuild [0-9a-f]{8,}\nCPython 3\.8 to 3\.15")

    def test_the_manual_page_and_the_reference_have_every_option(self):
        manual, markdown = memsnap("help", "--man").out, memsnap("help", "--markdown").out
        for command in COMMANDS:
            self.assertIn("\n.SS %s\n" % command, manual)
            self.assertIn("\n## %s\n" % command, markdown)
            for option in re.findall(r"--[a-z][a-z-]+", memsnap(command, "--help").out.split("\nExamples:")[0]):
                self.assertIn(option, markdown)
                self.assertIn(option.replace("-", "\\-"), manual)


class Usage(unittest.TestCase):
    def check(self, arguments, *patterns, status=USAGE, **more):
        result = memsnap(*arguments, **more)
        self.assertEqual((status, ""), (result.status, result.out), str(result))
        first, *rest = result.err.splitlines()
        self.assertTrue(first.startswith("memsnap: "), str(result))
        self.assertTrue(rest and all(line.startswith("  ") for line in rest), str(result))
        for pattern in patterns:
            self.assertRegex(result.err, pattern)

    def test_what_is_wrong_is_named(self):
        self.check([], "no command")
        self.check(["sumary"], "unknown command 'sumary'", "did you mean summary")
        self.check(["help", "snapsot"], "did you mean snapshot")
        self.check(["summary", "--sorte", "x"], "--sorte", "did you mean --sort")
        self.check(["summary", "--js"], "unknown option --js")
        self.check(["--js", "summary"], "unknown option --js")
        self.check(["snapshot", "--out", "x", "1"], "unknown option --out")
        self.check(["summary", "-n", "-1"], "--rows|-n", "whole number")
        self.check(["summary", "-n"], "--rows|-n")
        self.check(["tree", "--min", "101"], "--min is '101'", "0 to 100")
        self.check(["snapshot", "1", "--wait", "soon"], "--wait is 'soon'")
        self.check(["snapshot", "1", "--method", "ptrace"], "--method is 'ptrace'", "auto, freeze, stop, read")
        self.check(["snapshot", "1", "--strings", "prefix=0"], "--strings")
        self.check(["snapshot", "1", "--redact", "(("], "--redact")
        self.check(["snapshot", "1", "-o", "%q"], "%")
        self.assertEqual(USAGE, memsnap("ps", "--jsonl", "--csv").status)
        self.check(["attach", "1", "--csv"], "--csv")
        self.check(["attach", "1", "--no-save", "-o", "x"], "--no-save")
        self.check(["snapshot"], "which process")
        self.check(["snapshot", "./1"], "not the number of a process")
        self.check(["snapshot", "1", "--name", "x"], "exclude each other")
        self.check(["snapshot", "--name", "(["], "--name is")
        self.check(["snapshot", "--name", "x", "--each", "--largest"], "exclude each other")
        self.check(["summary", "4242"], "./4242")
        self.check(["attach", "1", "--require-tracking", "--no-inject"], "--require-tracking")
        self.check(["attach", "1", "--sample", "0"], "--sample")
        self.check(["attach", "1", "--allocators", "heap"], "--allocators")
        self.check(["attach", "1", "--depth", "0"], "--depth")
        self.check(["live", "1"], "--once")
        self.check(["detach"], "--all")

    def test_words_of_the_user_are_escaped_too(self):
        self.check(["\x1b[31m"], r"unknown command '\\x1b\[31m'")
        self.check(["summary", "/tmp/\x1b]0;x\x07"], r"\\x1b", status=BAD_FILE)

    def test_a_failure_under_json_is_a_document(self):
        for arguments, code in ((["summary", "--json", "/does/not/exist"], BAD_FILE), (["--json", "summary", "--nonsense"], USAGE),
                                (["snapshot", "--jsonl"], USAGE)):
            result = memsnap(*arguments)
            self.assertEqual(code, result.status)
            said = result.json()
            self.assertEqual(("memsnap.error/1", code), (said["schema"], said["code"]))
            self.assertTrue(said["message"] and said["hint"])

    def test_errors_can_be_json_on_stderr(self):
        result = memsnap("summary", "--log-format", "json", "/does/not/exist")
        said = json.loads(result.err)
        self.assertEqual(("error", BAD_FILE, "bad_file"), (said["level"], said["code"], said["event"]))
        self.assertRegex(said["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


class Configuration(unittest.TestCase):
    def test_a_named_configuration_that_is_wrong_is_an_error(self):
        for text, pattern in (("nonsense = 1\n", "unknown option 'nonsense'"), ("[nonsense]\nrows = 1\n", "nonsense"),
                              ("[summary]\nrows = many\n", "rows")):
            with self.subTest(text):
                name = os.path.join(os.environ.get("TMPDIR", "/tmp"), "memsnap-cli-test-%d.ini" % os.getpid())
                with open(name, "w", encoding="utf-8") as file:
                    file.write(text)
                self.addCleanup(lambda name=name: os.path.exists(name) and os.unlink(name))
                result = memsnap("summary", "--config", name, "/does/not/exist")
                self.assertEqual(USAGE, result.status, str(result))
                self.assertIn(name, result.err)
                self.assertRegex(result.err, pattern)

    @unittest.skipUnless(os.getuid() == 0, "needs root, for whom the environment does not count")
    def test_the_environment_counts_for_users_and_not_for_root(self):
        environment = dict(os.environ, MEMSNAP_SORT="nonsense", HOME="/nonexistent")
        as_user = memsnap("summary", "/does/not/exist", env=environment, user=65534, group=65534, extra_groups=[])
        as_root = memsnap("summary", "/does/not/exist", env=environment)
        self.assertEqual(USAGE, as_user.status, str(as_user))
        self.assertIn("nonsense", as_user.err)
        self.assertEqual(BAD_FILE, as_root.status, str(as_root))


class Streams(unittest.TestCase):
    def test_a_full_disk_is_code_9(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([MEMSNAP, "help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(CANNOT_WRITE, done.returncode)
        self.assertIn("No space left", done.stderr)

    def test_a_reader_that_goes_away_is_not_told(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([MEMSNAP, "help"], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60)
        os.close(write_end)
        self.assertEqual((141, ""), (done.returncode, done.stderr))

    def test_no_colour_and_no_pager_away_from_a_terminal(self):
        environment = dict(os.environ, PAGER="false", MEMSNAP_PAGER="false", TERM="xterm")
        self.assertNotIn("\x1b", memsnap("help", env=environment).out)


if __name__ == "__main__":
    harness.main()
