# memsnap-test: once full timeout=300
"""What tp_traverse does not visit is found all the same: locals of suspended greenlets, elements of numpy object arrays."""

import importlib.util
import unittest

import harness
from harness import Target

GREENLETS = """
import gevent, os
class Held: pass
def request():
    held = Held()
    gevent.sleep(1000)
def outer():
    request()
waiting = [gevent.spawn(outer) for _ in range(50)]
gevent.sleep(0)
os.write(1, b"ready\\n")
gevent.sleep(1000)
"""

OBJECT_ARRAY = """
import os, time
import numpy
class Cell:
    __slots__ = ()
table = numpy.array([[Cell() for _ in range(40)] for _ in range(25)], dtype=object)
view = table[::2, ::3]
endless = numpy.broadcast_to(table, (10**9, 25, 40))  # a thousand million times the same
windows = numpy.lib.stride_tricks.sliding_window_view(table[0], 4)
os.write(1, b"ready\\n")
time.sleep(1000)
"""


class ForeignReferences(harness.LiveTest):
    def holders(self, source, held):
        """Names of the nodes from the top of the tree down to the objects of type `held`; and how many there are."""
        with Target(source, python=["/usr/bin/python3"]) as target:
            file = self.snapshot(target.pid)["file"]
        tree = harness.memsnap("tree", file, "--json", "--min", "0", "--depth", "0", "-n", "0").json()
        paths = []

        def visit(node, path):
            path = path + [node["type"]]
            if node["type"] == held:
                paths.append(path)
            for child in node["children"]:
                visit(child, path)

        for node in tree["nodes"]:
            visit(node, [])
        return self.types(file)[held][0], paths

    @unittest.skipUnless(importlib.util.find_spec("gevent"), "python3-gevent is not installed (scripts/setup --full)")
    def test_a_suspended_greenlet_holds_its_frames_locals(self):
        count, paths = self.holders(GREENLETS, "__main__.Held")
        self.assertEqual(50, count)
        self.assertTrue(any("gevent._gevent_cgreenlet.Greenlet" in path or "builtins.frame" in path for path in paths), paths)

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "python3-numpy is not installed (scripts/setup --full)")
    def test_an_object_array_holds_its_elements(self):
        count, paths = self.holders(OBJECT_ARRAY, "__main__.Cell")
        self.assertEqual(1000, count)  # no collector knows them: the array alone leads to them
        self.assertTrue(any("numpy.ndarray" in path for path in paths), paths)


if __name__ == "__main__":
    harness.main()
