"""What only a sub-interpreter, only the table of interned strings, or only C's list of modules holds is found and has its root."""

import sys

import harness
from harness import Target, memsnap

SUB_INTERPRETERS = """
import os
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
CODE = "class Inner: pass\\nKEPT = [Inner() for _ in range(%d)]\\nimport json"
made = []
for number in range(3):
    made.append(interpreters.create())
    interpreters.run_string(made[-1], CODE % (100 + number))
os.write(1, b"ready\\n")
os.read(0, 1)
"""

# Since 3.12 an interned string may live for ever; before, one more reference than Python shows is made by hand.
INTERNED = """
import ctypes, os, sys
kept = sys.intern("only-the-table-" + "holds-me" * 1000000)
ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
size = sys.getsizeof(kept)
del kept
os.write(1, b"ready %d\\n" % size)
os.read(0, 1)
"""

# _datetime finds its own module by PyState_FindModule(), to 3.12: the interpreter's list keeps it.
MODULE_STATE = """
import os, sys
import _datetime
_datetime.MARKER = ["marker-%d" % number for number in range(5000)]
del sys.modules["_datetime"], _datetime
os.write(1, b"ready\\n")
os.read(0, 1)
"""


def tree(file):
    result = memsnap("tree", file, "--json", "-n", "0", "--depth", "64", "--min", "0")
    if result.status:
        raise harness.Failed(str(result))
    return result.json()["nodes"]


def find(nodes, wanted):
    """All nodes that `wanted` accepts, wherever they are."""
    found = []
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if wanted(node):
            found.append(node)
        todo += node.get("children", [])
    return found


class RootKinds(harness.LiveTest):
    def take(self, program):
        with Target(program) as target:
            return self.snapshot(target.pid)

    def test_objects_of_sub_interpreters(self):
        taken = self.take(SUB_INTERPRETERS)
        self.assertFalse(taken["partial"], taken)
        self.assertEqual(100 + 101 + 102, self.types(taken["file"])["__main__.Inner"][0])
        inner = find(tree(taken["file"]), lambda node: node["type"] == "__main__.Inner")
        self.assertEqual(303, sum(node["count"] for node in inner), inner)
        modules = find(tree(taken["file"]), lambda node: node["name"].startswith("module json (interpreter "))
        self.assertEqual(3, len(modules), modules)

    def test_a_string_that_only_the_interned_table_holds(self):
        with Target(INTERNED) as target:
            taken = self.snapshot(target.pid)
        roots = [node for node in tree(taken["file"]) if "interned" in node["name"]]
        self.assertTrue(roots, "no root of interned strings")
        self.assertGreater(max(node["retained"] for node in roots), 8000000)

    def test_a_module_that_only_the_list_of_modules_holds(self):
        version, _ = harness.python_facts()
        if version >= (3, 13):
            self.skipTest("_datetime is not in that list from 3.13 on")
        nodes = tree(self.take(MODULE_STATE)["file"])
        held = find([node for node in nodes if node["name"] == "module state"], lambda node: "_datetime" in node["name"])
        self.assertTrue(held, nodes)
        self.assertGreater(max(node["retained"] for node in held), 5000 * 56)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
