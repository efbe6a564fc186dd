#!/usr/bin/env python3
"""The stacks that the agent records: each is walked again from nothing by the CHECK build, and compared with traceback's."""

import collections
import sys
import unittest

import agent_harness
import harness

VERSION, _ = harness.python_facts()

GENERATORS = '''
def inner(n):
    for i in range(n):
        yield bytearray(600 + i)
def outer(n):
    yield from inner(n)
    for piece in inner(n):
        yield [piece, bytearray(700)]
def one(g):
    return next(g)
def two(g):
    return one(g)
def program():
    keep = []
    for round in range(20):
        a, b = outer(6), outer(6)
        for i in range(10):
            keep.append(one(a))
            keep.append(two(b) if i % 3 else next(b))
        keep.append(sum(len(x) for x in (bytearray(1000 + j) for j in range(5))))
    return keep
'''

ASYNC = '''
import asyncio
async def leaf(n):
    await asyncio.sleep(0)
    return bytearray(600 + n)
async def agen(n):
    for i in range(n):
        yield await leaf(i)
async def middle(n):
    got = [await leaf(i) for i in range(n)]
    async for piece in agen(n):
        got.append(piece)
    return got
async def main():
    return await asyncio.gather(*[middle(i % 7) for i in range(40)])
def program():
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()
'''

RECURSION = '''
import sys
sys.setrecursionlimit(9000)
def down(n, keep):
    keep.append(bytearray(600))
    if n:
        down(n - 1, keep)
    if n % 10 == 0:
        keep.append(bytearray(800))
    return keep
def program():
    return [down(n, []) for n in (5, 200, 900, 100, 1500, 3)]
'''

EXCEPTIONS = '''
class Odd(Exception):
    def __init__(self, n):
        self.data = bytearray(600 + n)
def fail(n):
    if n == 0:
        raise Odd(3)
    try:
        fail(n - 1)
    except Odd as error:
        keep = bytearray(900)
        if n % 2:
            raise
        raise Odd(n) from error
    finally:
        also = bytearray(1000)
def program():
    found = []
    for i in range(60):
        try:
            fail(i % 9)
        except Odd as error:
            found.append(bytearray(700))
            found.append(error)
    return found
'''

THREADS = '''
import threading, queue
def work(n, out):
    def rec(k):
        out.append(bytearray(600 + k))
        return k and rec(k - 1)
    for i in range(50):
        rec(i % 12)
        out.append(str(i) * 300)
        sorted(range(200), key=lambda x: [x] * 100 and -x)
def program():
    out = []
    threads = [threading.Thread(target=work, args=(i, out)) for i in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    return out
'''

# Code objects that take each other's place, at the same address and with the same instruction.
CODES = '''
def program():
    keep = []
    for i in range(200):
        scope = {}
        exec(compile("def f():\\n    return bytearray(777)\\ngot = f()", "made-%d" % i, "exec"), scope)
        keep.append(scope["got"])
        del scope
    return keep
'''

# The same function, but for its file's name: called from one place, at one address, one after the other, and after another function.
TWINS = '''
import types
template = compile("def f():\\n    return bytearray(777)", "template", "exec").co_consts[0]
def other():
    return bytearray(50)
def program():
    keep = []
    for i in range(200):
        twin = types.FunctionType(template.replace(co_filename="made-%d" % i), {"bytearray": bytearray})
        for call in (other, twin):
            got = call()
        keep.append(got)
        del twin, call
    return keep
'''

CALLBACKS = '''
import functools, re
class Eq:
    def __init__(self, n): self.n = n
    def __lt__(self, other):
        bytearray(800)
        return self.n < other.n
    def __del__(self):
        bytearray(900)
    def __getattr__(self, name):
        return bytearray(1000)
def program():
    keep = sorted((Eq(i * 7 % 31) for i in range(60)))
    keep.append(list(map(lambda e: e.other, keep)))
    keep.append(functools.reduce(lambda a, b: a + bytearray(600), range(50), bytearray()))
    keep.append(re.sub("a", lambda m: "x" * 700, "abacada"))
    return keep
'''

PROGRAMS = {"generators": GENERATORS, "async": ASYNC, "recursion": RECURSION, "exceptions": EXCEPTIONS, "threads": THREADS,
            "codes": CODES, "callbacks": CALLBACKS}


class Stacks(harness.LiveTest):
    def test_every_stack_is_the_one_a_walk_from_nothing_finds(self):
        for name, source in PROGRAMS.items():
            for domains in (False, True):
                with self.subTest(program=name, domains=domains):
                    dump = agent_harness.run(source, domains=domains, check=True)["dump"]

                    self.assertEqual({"no_room": 0, "odd_address": 0, "broken_stack": 0, "mismatches": 0}, dump["lost"])
                    self.assertGreater(sum(site["count"] for site in dump["sites"]), 60)

    def test_a_stack_is_what_traceback_says(self):
        source = '''
            import sys
            expected = []
            def note():
                frame, stack = sys._getframe(1), []
                while frame:
                    stack.append([frame.f_code.co_filename, getattr(frame.f_code, "co_qualname", frame.f_code.co_name), frame.f_lineno])
                    frame = frame.f_back
                expected.append(stack)
            def leaf(n):
                note(); return bytearray(n)
            class Maker:
                def make(self, n):
                    return [leaf(n),
                            (lambda: leaf(n + 1))()]
            def generate(n):
                for i in range(2):
                    yield Maker().make(n + 10 * i)
            def program():
                del expected[:]
                keep = list(generate(70001)) + [leaf(80001)]
                import json
                json.dump(expected, open(FOLDER + "/traced.json", "w"))
                return keep
            '''
        result = agent_harness.run(source)
        recorded = [site["stack"] for site in result["dump"]["sites"] for _ in range(site["live_blocks"]) if site["live_bytes"] > 70000]

        self.assertEqual(5, len(result["traced"]))
        self.assertEqual(sorted(result["traced"]), sorted(recorded))

    def test_codes_that_share_an_address_keep_their_names(self):
        often = {"period": 16}  # that every large block is sampled
        for program, options in ((CODES, {}), (CODES, {"domains": True}), (TWINS, {}), (TWINS, {"domains": True}), (TWINS, often),
                                 (TWINS, often | {"domains": True})):
            dump = agent_harness.run(program, warm=False, **options)["dump"]
            files = collections.Counter(site["stack"][0][0] for site in dump["sites"] for _ in range(site["live_blocks"])
                                        if site["allocator"] == 0 and site["stack"] and 777 <= site["live_bytes"] / site["live_blocks"] <= 820)

            self.assertEqual({"made-%d" % i: 1 for i in range(200)}, dict(files))

    def test_outer_frames_of_a_stack_deeper_than_the_limit_are_cut(self):
        dump = agent_harness.run(RECURSION, depth=100, check=True)["dump"]

        self.assertEqual(0, dump["lost"]["mismatches"])
        depths = [len(site["stack"]) for site in dump["sites"]]
        self.assertEqual(101, max(depths))
        cut = [site["stack"] for site in dump["sites"] if site["stack"] and site["stack"][-1][0] == "cut"]
        self.assertGreater(len(cut), 50)
        self.assertTrue(all(50 <= len(stack) - 1 <= 100 for stack in cut))
        self.assertLess(dump["nodes"], 20000)

    def test_names_and_files_of_any_letters(self):
        source = '''
            names = {}
            exec(compile("def fünktiön():\\n    return bytearray(50001)", "ordner/δοκιμή.py", "exec"), names)
            def program():
                return names["fünktiön"]()
            '''
        dump = agent_harness.run(source)["dump"]
        stacks = [site["stack"] for site in dump["sites"] if site["live_bytes"] > 50000]

        self.assertEqual([["ordner/δοκιμή.py", "fünktiön", 2]], [stack[0] for stack in stacks])

    def test_more_threads_than_records_share_one(self):
        dump = agent_harness.run(THREADS, records=4, check=True)["dump"]

        self.assertEqual(4, len(dump["threads"]))
        self.assertEqual(0, dump["lost"]["mismatches"])
        self.assertGreater(dump["threads"][0]["allocations"], 100)
        self.assertGreater(dump["lost"]["no_room"], 0)


if __name__ == "__main__":
    harness.require_supported_python()
    if "bullseye" in " ".join(harness.PYTHON):
        print("skipped: the library that stands in for memsnap needs a newer libc")
        sys.exit(77)
    harness.main()
