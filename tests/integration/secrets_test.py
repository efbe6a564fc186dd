# memsnap-test: timeout=300
"""What --strings and --redact promise, by a search through the whole file for secrets that the process holds in every shape."""

import os
import pathlib
import re
import subprocess

import harness
from harness import Target, memsnap

BUILD = pathlib.Path(os.environ.get("MEMSNAP_BUILD", harness.ROOT / "build" / "release"))
# Where text is kept changed little between releases: the oldest, the system's, a new one.
INTERPRETERS = ("pyenv-3.8", "system", "sid-3.14")
MARK, TAIL = b"qz" + b"secretzq", b"0tail" + b"9"
VALUES = {"ascii", "latin", "two", "four", "bytes", "bytearray", "view", "array", "list", "tuple", "nested", "set", "interned",
          "attribute", "slot", "byteskey", "tuplekey", "environment", "argument", "global", "doc", "default", "exception", "local"}
# Names that are str objects, and names by which types, threads and functions are called whatever is kept of objects.
NAMES_OF_OBJECTS = {"key", "keytwo", "attributename", "globalname"}
NAMES_OF_CODE = {"typename", "slotname", "typemodule", "modulename", "functionname", "filename", "threadname", "localname"}
PREFIX = 12
ALL_SECRETS = MARK.decode() + "[a-z]*" + TAIL.decode()


class Secrets(harness.LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.target = Target("secrets.py")
        cls.addClassCleanup(cls.target.close)

    def contents(self, *options):
        return self.all_of(self.snapshot(self.target.pid, *options)["file"])

    @staticmethod
    def all_of(file):
        """All that is in a file, as it lies there and unpacked."""
        unpacked = subprocess.run([BUILD / "bin" / "file_text", file], stdout=subprocess.PIPE, check=True).stdout
        return pathlib.Path(file).read_bytes() + unpacked

    def session(self, *options):
        """(what is in the file of a session, what was printed)."""
        file = self.file_name()
        result = memsnap("attach", self.target.pid, "--for", "300ms", "--sample", "1", "-o", file, *options)
        self.assertEqual(0, result.status, str(result))
        return self.all_of(file), (result.out + result.err).encode()

    @staticmethod
    def shapes(content):
        """The shapes of all secrets in it, however their characters are stored."""
        found = set()
        for width in (1, 2, 4):
            for first in range(width):  # a wide text may begin anywhere
                narrow = content[first::width] if width > 1 else content
                found.update(shape.decode() for shape in re.findall(MARK + b"([a-z]+)" + TAIL, narrow))
        return found

    def test_names_are_kept_and_no_values(self):
        for options in ((), ("--strings", "hash")):
            with self.subTest(options=options):
                found = self.shapes(self.contents(*options))
                self.assertEqual(set(), found & VALUES)
                self.assertEqual(NAMES_OF_OBJECTS | NAMES_OF_CODE, found)

    def test_none_keeps_no_text_of_an_object(self):
        found = self.shapes(self.contents("--strings", "none"))
        self.assertEqual(set(), found & (VALUES | NAMES_OF_OBJECTS))
        self.assertLessEqual({"typename", "functionname", "threadname"}, found)

    def test_a_prefix_is_all_that_is_kept_of_a_value(self):
        content = self.contents("--strings", "prefix=%d" % PREFIX)
        self.assertEqual(set(), self.shapes(content) & VALUES)
        begins = set(re.findall(MARK + b"([a-z]{2})", content))
        self.assertLessEqual({b"as", b"gl", b"ex", b"la"}, begins)
        whole = self.shapes(self.contents("--strings", "prefix=200"))
        self.assertLessEqual({"ascii", "latin", "two", "four", "global", "local", "exception"}, whole)

    def test_redacted_text_is_nowhere(self):
        for options in (("--strings", "prefix=200", "--native"), ("--strings", "none"), ("--kind", "types")):
            with self.subTest(options=options):
                content = self.contents("--redact", "zz*never", "--redact", ALL_SECRETS, *options)
                self.assertEqual(set(), self.shapes(content))
                self.assertIn(b"[redacted]", content)

    def test_redacted_text_is_not_printed(self):
        for command in (["summary", "-n", "0"], ["inspect", "@1"], ["inspect", "@1", "--depth", "4"], ["roots", "--type", "__main__.Holder"], ["roots", "--largest"],
                        ["snapshot", "-o", self.file_name(), "--json"]):
            result = memsnap(command[0], self.target.pid, *command[1:], "--redact", ALL_SECRETS)
            self.assertEqual(0, result.status, str(result))
            self.assertEqual(set(), self.shapes((result.out + result.err).encode()), command)

    def test_a_session_keeps_no_more_than_a_snapshot(self):
        for strings in ("none", "names", "hash", "prefix=%d" % PREFIX):
            with self.subTest(strings=strings):
                content, printed = self.session("--strings", strings)
                self.assertIn("functionname", self.shapes(content))
                for found in (self.shapes(content), self.shapes(printed)):
                    self.assertEqual(set(), found & (VALUES | (NAMES_OF_OBJECTS if strings == "none" else set())))

    def test_redacted_text_is_in_no_session(self):
        content, printed = self.session("--strings", "prefix=200", "--native", "--redact", ALL_SECRETS)
        self.assertEqual((set(), set()), (self.shapes(content), self.shapes(printed)))
        self.assertIn(b"[redacted]", content)

    def test_a_log_of_points_has_no_text_of_the_target(self):
        log = self.folder / "a.points"
        for options in ((), ("--objects",)):
            result = memsnap("point", self.target.pid, "--log", log, *options)
            self.assertEqual(0, result.status, str(result))
        for file in (path for path in self.folder.iterdir() if path.name.startswith("a.points")):
            self.assertEqual(set(), self.shapes(file.read_bytes()), file)

    def test_reports_show_no_more_than_was_kept(self):
        file = self.snapshot(self.target.pid, "--strings", "none")["file"]
        for command in (("summary", file, "-n", "0", "--json"), ("tree", file, "--rows", "0"), ("objects", file, "--rows", "0", "--csv"),
                        ("inspect", file, "@1", "--depth", "4", "--json"), ("threads", file, "--json"), ("stats", file)):
            result = memsnap(*command)
            self.assertEqual(0, result.status, str(result))
            self.assertEqual(set(), self.shapes(result.out.encode()) & (VALUES | NAMES_OF_OBJECTS), command)


if __name__ == "__main__":
    harness.require_supported_python()
    if not harness.PYTHON_NAME.startswith(INTERPRETERS):
        print("skipped: the same as on other interpreters")
        raise SystemExit(77)
    harness.main()
