#!/usr/bin/env python3
"""With every block recorded, what the agent says equals what others count of the same program."""

import sys
import unittest

import agent_harness
import harness

PYMALLOC = (10, 11, 12)  # kPymallocMalloc and its kin in inject/protocol/agent_abi.h

# Nothing here frees an object whose type keeps free ones for itself (tuples of arguments, iterators, large numbers):
# tracemalloc gives such memory to who uses it again, a hook of the allocator cannot see that.
OBJECTS = '''
class Thing:
    pass
class Slotted:
    __slots__ = ("a", "b")
def thing(n):
    made = Thing()
    made.name = "thing %d" % n
    made.number = (1 << 40) + n
    return made
def slotted(n):
    made = Slotted()
    made.a = b"x" * n
    made.b = ("%d" % n) * 20
    return made
def fill(n):
    found = set()
    while n > 2:
        found.add(b"y" * n)
        n -= 1
    return found
def nested(n):
    return nested(n - 1) if n else [b"deep" * 40]
def program():
    keep = []
    i = 2
    while i < 200:
        keep.append(thing(i))
        keep.append(slotted(i))
        i += 1
    keep.append(fill(256))
    buffers = []
    while i < 256:
        buffers.append(b"z" * i * i)
        i += 1
    keep.append(buffers)
    table = {}
    while i > 0:
        table["key %d" % i] = "value" * i
        i -= 1
    keep.append(table)
    keep.append(keep[1].a + keep[3].a)
    keep.append(lambda: None)
    keep.append(nested(50))
    text = ""
    while i < 100:
        text += "some more text"
        i += 1
    keep.append(text)
    return keep
'''

MALLOC = '''
import array, json, re
def program():
    keep = [bytearray(1000 + i) for i in range(300)]
    numbers = array.array("d")
    for i in range(5000):
        numbers.append(i)
    keep.append(json.loads(json.dumps({str(i): ["x" * i] * 3 for i in range(600)})))
    keep.append(re.sub("b+", "c", "abbb" * 4000))
    keep.append(bytes(3000000))
    del keep[::2]
    keep.append(sorted(str(i) for i in range(20000)))
    keep.append({i: str(i) for i in range(3000)})
    return keep
'''


class Exact(harness.LiveTest):
    def test_totals_equal_what_a_counting_malloc_sees(self):
        # No arenas: the counting library does not see mappings.
        result = agent_harness.run(MALLOC, count=True, environment={"PYTHONMALLOC": "malloc"})
        counted = [int(number) for number in result["printed"][-1].strip("[]").split(",")]

        threads = result["dump"]["threads"]
        self.assertGreater(counted[0], 500)
        self.assertEqual(counted, [sum(thread[name] for thread in threads) for name in ("allocations", "frees", "bytes")])

    def test_the_sites_add_up_to_the_totals(self):
        for domains in (False, True):
            dump = agent_harness.run(MALLOC, domains=domains)["dump"]

            self.assertEqual({"no_room": 0, "odd_address": 0, "broken_stack": 0, "mismatches": 0}, dump["lost"])
            for allocator in range(13):
                sites = [site for site in dump["sites"] if site["allocator"] == allocator]
                totals = [sum(thread["by_allocator"][allocator][i] for thread in dump["threads"]) for i in range(2)]
                self.assertEqual(totals, [sum(site["count"] for site in sites), sum(site["bytes"] for site in sites)])
                self.assertEqual(totals[0], sum(site["samples"] for site in sites))
            live = sum(site["live_blocks"] for site in dump["sites"])
            passed = sum(thread["allocations"] - thread["frees"] for thread in dump["threads"])
            # A few blocks from before are freed too.
            self.assertLessEqual(abs(live - passed), 5)

    def test_live_bytes_by_line_equal_tracemallocs(self):
        mine = agent_harness.live_by_line(agent_harness.run(OBJECTS, domains=True)["dump"])
        traced = agent_harness.run(OBJECTS, body=agent_harness.TRACEMALLOC)["traced"]
        theirs = {line: (count, size) for file, line, count, size in traced if file == "program.py"}

        self.assertGreater(sum(size for _, size in theirs.values()), 100000)
        self.assertEqual(theirs, mine)

    def test_large_blocks_of_an_allocator_that_never_asks_malloc(self):
        """It maps memory, a GiB at a time, in the midst of an allocation, which is no sign that malloc gave the block."""
        if harness.python_facts()[0] < (3, 13):
            self.skipTest("mimalloc came with 3.13")
        sizes = [900 << 20] * 3 + [800 << 20, 100 << 20, 100 << 20, *range(600, 100000, 50)]
        source = (
            "import ctypes\n"
            "ask = ctypes.pythonapi.PyObject_Malloc\n"  # nothing of it is touched
            "ask.argtypes, ask.restype = [ctypes.c_size_t], ctypes.c_void_p\n"
            "def program():\n    return [ask(size) for size in %s]\n" % sizes
        )
        result = agent_harness.run(source, domains=True, warm=False, environment={"PYTHONMALLOC": "mimalloc"})

        count, size = agent_harness.live_by_line(result["dump"], allocators=PYMALLOC)[5]
        self.assertGreaterEqual(count, len(sizes))
        self.assertGreaterEqual(size, sum(sizes))

    def test_nothing_is_live_when_all_is_freed(self):
        source = OBJECTS.replace("def program", "def make").replace("nested(50)", "nested(1)") + "def program():\n    for _ in range(3):\n        make()\n"

        dump = agent_harness.run(source, domains=True)["dump"]

        self.assertGreater(sum(site["count"] for site in dump["sites"]), 3000)
        self.assertLess(sum(size for _, size in agent_harness.live_by_line(dump).values()), 20000)

    def test_a_live_block_takes_little_memory(self):
        source = '''
            class Item:
                def __init__(self, i):
                    self.name, self.values = "item %d" % i, [i, i + 0.5]
            def program():
                return [Item(i) for i in range(60000)]
            '''
        body = agent_harness.RECORD.replace("agent.in_process_dump", "print(agent.in_process_held())\nagent.in_process_dump")

        result = agent_harness.run(source, body=body, domains=True, warm=False)

        live = sum(site["live_blocks"] for site in result["dump"]["sites"])
        self.assertGreater(live, 200000)
        self.assertLessEqual(int(result["printed"][0]) / live, 45)

    def test_memory_mappings_come_and_go(self):
        source = '''
            import mmap
            def program():
                kept = mmap.mmap(-1, 5 << 20)
                gone = mmap.mmap(-1, 7 << 20)
                gone.close()
                file = open("/proc/self/exe", "rb") if __import__("os").path.exists("/proc/self/exe") else open("/bin/sh", "rb")
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                kept = mmap.mmap(-1, 9 << 20)
                return kept, mapped
            '''
        dump = agent_harness.run(source, warm=False)["dump"]
        sites = [site for site in dump["sites"] if site["allocator"] == 9 and site["stack"][0][0] == "program.py"]

        self.assertEqual([9 << 20], [site["live_bytes"] for site in sites if site["live_blocks"]])
        self.assertEqual([5 << 20, 7 << 20, 9 << 20], sorted(site["bytes"] for site in sites))

    def test_a_failed_realloc_leaves_the_block(self):
        source = '''
            import ctypes
            libc = ctypes.CDLL(None)
            for name in ("malloc", "realloc", "calloc"):
                getattr(libc, name).restype = ctypes.c_void_p
            def call(name, *arguments):
                hook = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p if i == 0 and name == "realloc" else ctypes.c_size_t
                                                           for i in range(len(arguments))])
                image = ctypes.CDLL(FOLDER + "/memsnap_agent.so")
                return hook(ctypes.cast(getattr(image, "memsnap_" + name), ctypes.c_void_p).value)(*arguments)
            def program():
                block = call("malloc", 12345)
                assert call("realloc", block, 1 << 62) is None
                moved = call("realloc", call("malloc", 23456), 34567)
                assert call("calloc", 1 << 40, 1 << 40) is None
                return block, moved
            '''
        dump = agent_harness.run(source, warm=False)["dump"]
        live = sorted(site["live_bytes"] for site in dump["sites"] if site["live_bytes"] in (12345, 23456, 34567))

        self.assertEqual([12345, 34567], live)


if __name__ == "__main__":
    harness.require_supported_python()
    if "bullseye" in harness.PYTHON_NAME or "bullseye" in " ".join(harness.PYTHON):
        print("skipped: the library that stands in for memsnap needs a newer libc")
        sys.exit(77)
    harness.main()
