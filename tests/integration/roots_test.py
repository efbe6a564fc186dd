"""What keeps an object alive, on a real process: the chain of holders, by name, from a named root."""

import os

import harness
from harness import Target, memsnap

PROGRAM = """
import os, sys, weakref
class Entry:
    def __init__(self):
        self.payload = Payload("x" * 100000)
class Payload:
    def __init__(self, text):
        self.text = text
class Static:
    def __init__(self):
        self.encoding, self.cache = bytearray(70001), bytearray(70002)
STATIC = Static()
CACHE = {"first": [None, Entry()]}
WEAK = weakref.ref(CACHE["first"][1].payload)
os.write(1, b"ready\\n")
os.read(0, 1)
"""


class Roots(harness.LiveTest):
    def setUp(self):
        super().setUp()
        with Target(PROGRAM) as target:
            self.file = self.snapshot(target.pid)["file"]

    def roots(self, *options, status=0):
        result = memsnap("roots", self.file, *options, "--json")
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def test_the_path_names_each_holder(self):
        answer = self.roots("--type", "__main__.Payload")
        self.assertEqual("memsnap.roots/1", answer["schema"])
        self.assertEqual(1, len(answer["paths"]), answer)
        names = [step["name"] for step in answer["paths"][0]]
        types = [step["type"] for step in answer["paths"][0]]
        self.assertEqual("module __main__", names[0])
        self.assertEqual("__main__.Payload", types[-1])
        self.assertIn("__main__.Entry", types)
        self.assertTrue([name for name in names if "CACHE" in name], names)
        self.assertIn("['first']", names)
        self.assertIn("[1]", names)

    def test_names_that_live_in_the_interpreters_own_program(self):
        bytearrays = self.roots("--type", "bytearray")["paths"][0]
        self.assertEqual(".cache", bytearrays[-1]["name"].replace("['cache']", ".cache"), bytearrays)

    def test_by_address_it_is_the_same(self):
        by_type = self.roots("--type", "__main__.Payload")["paths"]
        self.assertEqual(by_type, self.roots(by_type[0][-1]["address"])["paths"])
        text = memsnap("why", self.file, by_type[0][-1]["address"])
        self.assertEqual(0, text.status, str(text))
        self.assertIn("module __main__", text.out)
        self.assertIn("__main__.Payload", text.out)

    def test_weak_references_count_only_when_asked(self):
        self.assertEqual(1, len(self.roots("--type", "__main__.Payload", "--paths", "5")["paths"]))
        weak = self.roots("--type", "__main__.Payload", "--paths", "5", "--via-weak")["paths"]
        self.assertIn("weakref", " ".join(path[-2]["type"] for path in weak))

    def test_the_largest_of_the_newest_file(self):
        newest = memsnap("why", "--largest", "--paths", "1", "--json", directory=self.folder)
        self.assertEqual(0, newest.status, str(newest))
        self.assertEqual(1, len(newest.json()["paths"]))
        self.assertEqual(newest.json(), self.roots("--largest", "--paths", "1"))

    def test_wrong_questions(self):
        for wrong in (["0x1"], ["nonsense"], ["--type", "no.such.Type"], []):
            self.roots(*wrong, status=2)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
