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


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
