"""What is wrong with a heap, found in real processes: who holds most of it, and what could be saved."""

import harness
from harness import Target, memsnap

CROWD = """
import os
class Session:
    def __init__(self, number):
        self.number, self.text = number, "session-%d" % number
CACHE = {}
for number in range(60000):
    CACHE[number] = Session(number)
BLOB = bytearray(40000000)
os.write(1, b"ready\\n")
os.read(0, 1)
"""

CHAIN = """
import os
class Node:
    __slots__ = ("next", "payload")
HEAD = None
for number in range(200000):
    node = Node()
    node.next, node.payload = HEAD, float(number)
    HEAD = node
del node
os.write(1, b"ready\\n")
os.read(0, 1)
"""


class Suspects(harness.LiveTest):
    def summary(self, program):
        with Target(program) as target:
            done = memsnap("snapshot", target.pid, "-o", self.folder / "x.msnap", "--json")
            self.assertEqual(0, done.status, str(done))
        self.text = memsnap("summary", self.folder / "x.msnap").out
        return memsnap("summary", self.folder / "x.msnap", "--json").json()["suspects"]

    def test_the_dict_that_holds_a_crowd_and_the_one_large_object(self):
        suspects = {one["path"]: one for one in self.summary(CROWD)}
        cache, blob = suspects["module __main__.CACHE"], suspects["module __main__.BLOB"]
        self.assertEqual(("builtins.dict", "__main__.Session", 60000), (cache["type"], cache["crowd"]["type"], cache["crowd"]["count"]))
        self.assertGreater(cache["retained"], 60000 * 150)
        self.assertEqual("builtins.bytearray", blob["type"])
        self.assertGreaterEqual(blob["retained"], 40000000)
        self.assertIn("60,000 x __main__.Session", self.text)
        path = memsnap("roots", self.folder / "x.msnap", cache["address"], "--json").json()["paths"][0]
        self.assertEqual("builtins.dict", path[-1]["type"])

    def test_a_chain_is_named_by_its_head(self):
        suspects = {one["path"]: one for one in self.summary(CHAIN)}
        self.assertEqual("__main__.Node", suspects["module __main__.HEAD"]["crowd"]["type"])
        self.assertGreater(suspects["module __main__.HEAD"]["retained"], 200000 * (48 + 24) - 1)
        self.assertIn("a chain of __main__.Node", self.text)

    def test_a_small_heap_has_no_suspect(self):
        self.assertEqual([], self.summary("import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n"))


WASTE = """
import os
class Other(str):
    pass
SAME = ["equal-%d" % (number % 10) for number in range(2010)]
BYTES = [b"%d" % 12345 for _ in range(5001)]
UNEQUAL = [Other("equal-1") for _ in range(300)]
EMPTY = [dict() for _ in range(400)]
SPARSE = []
for _ in range(50):
    table = dict.fromkeys(range(1000))
    for number in range(995):
        del table[number]
    SPARSE.append(table)
FULL = [dict.fromkeys(range(1000)) for _ in range(20)]
LISTS = []
for _ in range(30):
    grown = list(range(3000))
    del grown[1600:]
    LISTS.append(grown)
SETS = [{number} for number in range(700)]
os.write(1, b"ready\\n")
os.read(0, 1)
"""


class Stats(harness.LiveTest):
    def waste(self, program):
        with Target(program) as target:
            done = memsnap("snapshot", target.pid, "-o", self.folder / "x.msnap", "-f", "--json")
            self.assertEqual(0, done.status, str(done))
        done = memsnap("stats", self.folder / "x.msnap", "--json")
        self.assertEqual(0, done.status, str(done))
        self.answer = done.json()
        return {one["name"]: one for one in self.answer["waste"]}

    def test_what_could_be_saved_is_what_was_planted(self):
        bare = self.waste("import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n")
        self.assertEqual("memsnap.stats/1", self.answer["schema"])
        planted = self.waste(WASTE)
        # (how many were planted, bytes of one at least, at most)
        expected = {"duplicate str": (2000, 48, 80), "duplicate bytes": (5000, 33, 40), "empty dicts": (400, 64, 250),
                    "sparse dicts": (50, 20000, 60000), "over-allocated lists": (30, 1400 * 8, 2000 * 8),
                    "one-entry sets": (700, 120, 200)}
        for name, (count, least, most) in expected.items():
            extra = planted[name]["count"] - bare.get(name, {"count": 0})["count"]
            bytes_of_one = (planted[name]["bytes"] - bare.get(name, {"bytes": 0})["bytes"]) / extra
            self.assertLessEqual(abs(extra - count), max(25, count / 50), (name, extra))  # code objects have some of their own
            self.assertTrue(least <= bytes_of_one <= most, (name, bytes_of_one))
        objects = sum(row["count"] for row in self.answer["sizes"])
        self.assertEqual(self.answer["totals"]["objects"], objects)
        self.assertEqual(self.answer["totals"]["bytes"], sum(row["size"] for row in self.answer["sizes"]))
        sizes = [one["size"] for one in self.answer["largest"]]
        self.assertEqual(5, len(sizes))
        self.assertEqual(sorted(sizes, reverse=True), sizes)
        text = memsnap("stats", self.folder / "x.msnap").out
        self.assertIn("sparse dicts", text)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
