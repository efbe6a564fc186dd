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


class Secrets(harness.LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.target = Target("secrets.py")
        cls.addClassCleanup(cls.target.close)

    def contents(self, *options):
        """All that is in a file, as it lies there and unpacked."""
        file = self.snapshot(self.target.pid, *options)["file"]
        unpacked = subprocess.run([BUILD / "bin" / "file_text", file], stdout=subprocess.PIPE, check=True).stdout
        return pathlib.Path(file).read_bytes() + unpacked

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
                content = self.contents("--redact", "zz*never", "--redact", MARK.decode() + "[a-z]*" + TAIL.decode(), *options)
                self.assertEqual(set(), self.shapes(content))
                self.assertIn(b"[redacted]", content)

    def test_redacted_text_is_not_printed(self):
        for command in (["summary", "-n", "0"], ["inspect", "@1"], ["snapshot", "-o", self.file_name(), "--json"]):
            result = memsnap(command[0], self.target.pid, *command[1:], "--redact", MARK.decode() + "[a-z]*" + TAIL.decode())
            self.assertEqual(0, result.status, str(result))
            self.assertEqual(set(), self.shapes((result.out + result.err).encode()), command)


if __name__ == "__main__":
    harness.require_supported_python()
    if not harness.PYTHON_NAME.startswith(INTERPRETERS):
        print("skipped: the same as on other interpreters")
        raise SystemExit(77)
    harness.main()
