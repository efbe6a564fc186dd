#!/usr/bin/env python3
# memsnap-test: timeout=600
"""Stacks of native and Python frames that the agent records: each is walked again from nothing by the CHECK build."""

import collections
import sys

import agent_harness
import agent_stacks_test
import harness

# Native code that calls Python code that allocates.
NATIVE_CALLBACKS = '''
import ctypes, functools
libc = ctypes.CDLL(None)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
CALL = ctypes.CFUNCTYPE(None, ctypes.c_int)
def compare(a, b):
    bytearray(700 + a[0])
    return a[0] - b[0]
def again(n, keep):
    def call(left):
        keep.append(bytearray(900 + left))
        if n:
            again(n - 1, keep)
    agent.in_process_throw(n, CALL(call))
def program():
    keep = []
    for i in range(6):
        numbers = (ctypes.c_int * 20)(*[j * 7 % (11 + i) for j in range(20)])
        libc.qsort(numbers, ctypes.c_size_t(20), ctypes.c_size_t(4), COMPARE(compare))
        again(i % 3, keep)
        keep.append(sorted(range(30), key=functools.partial(lambda n, x: len(bytearray(600 + n)) * -x, i)))
    return keep
'''

# memsnap finds out where the stacks are while they are in use.
STACKS_KNOWN_LATE = '''
import threading
def down(n, keep):
    keep.append(bytearray(600))
    if n:
        sorted([1, 2], key=lambda x: (down(n - 1, keep) and 0, x))
def body(keep):
    for i in range(40):
        agent.in_process_stacks(i % 3)
        down(i % 5, keep)
def program():
    keep = []
    for i in range(2):
        body(keep)
        thread = threading.Thread(target=body, args=(keep,))
        thread.start()
        thread.join()
    agent.in_process_stacks(1)
    return keep
'''

# Up to 3.10 each call is several native frames, and a stack of more than are kept is walked as a whole each time.
LESS_DEEP = agent_stacks_test.RECURSION.replace("(5, 200, 900, 100, 1500, 3)", "(5, 200, 60, 300, 3)")

NATIVE_PROGRAMS = {**agent_stacks_test.PROGRAMS, "native callbacks": NATIVE_CALLBACKS, "stacks known late": STACKS_KNOWN_LATE}


def python_part(stack):
    return [frame for frame in stack if frame[0] not in ("native", "cut")]


class NativeStacks(harness.LiveTest):
    def test_every_stack_is_the_one_a_walk_from_nothing_finds(self):
        for name, source in NATIVE_PROGRAMS.items():
            for domains in (False, True):
                if domains and name == "recursion":
                    source = LESS_DEEP
                with self.subTest(program=name, domains=domains):
                    dump = agent_harness.run(source, domains=domains, check=True, native=True)["dump"]

                    self.assertEqual({"no_room": 0, "odd_address": 0, "broken_stack": 0, "mismatches": 0}, dump["lost"])
                    self.assertGreater(sum(site["count"] for site in dump["sites"]), 60)
                    if name not in ("stacks known late", "recursion"):
                        self.assertEqual(0, dump["native_cut"])

    def test_the_python_frames_of_a_stack_are_what_traceback_says(self):
        source = '''
            import ctypes, functools, json, re, sys
            expected, keep = [], []
            def note():
                frame, stack = sys._getframe(1), []
                while frame:
                    stack.append([frame.f_code.co_filename, getattr(frame.f_code, "co_qualname", frame.f_code.co_name), frame.f_lineno])
                    frame = frame.f_back
                expected.append(stack)
            def leaf(n):
                note(); keep.append(bytearray(n))
            class Odd(Exception):
                def __init__(self, n):
                    leaf(n)
            class Made:
                def __init__(self, n):
                    leaf(n)
                def __lt__(self, other):
                    leaf(70300)
                    return False
            def generate(n):
                for i in range(3):
                    yield leaf(n + i)
            def fail(n):
                try:
                    if n == 0:
                        raise Odd(70100)
                    fail(n - 1)
                finally:
                    leaf(70200 + n)
            def called(left):
                leaf(70500 + left)
            def program():
                list(map(lambda x: [leaf(x), x], [70001, 70002]))
                list(generate(70010))
                sorted([Made(70020), Made(70021), Made(70022)])
                functools.reduce(lambda a, b: leaf(b), [70030, 70031, 70032])
                re.sub("a", lambda m: leaf(70040) or "", "abaca")
                try:
                    fail(3)
                except Odd:
                    pass
                agent.in_process_throw(3, ctypes.CFUNCTYPE(None, ctypes.c_int)(called))
                json.dump(expected, open(FOLDER + "/traced.json", "w"))
            '''
        result = agent_harness.run(source, native=True, check=True, warm=False)
        recorded = [python_part(site["stack"]) for site in result["dump"]["sites"] for _ in range(site["live_blocks"])
                    if site["live_bytes"] / site["live_blocks"] > 70000]

        self.assertEqual(25, len(result["traced"]))
        self.assertEqual(sorted(result["traced"]), sorted(recorded))
        self.assertEqual(0, result["dump"]["lost"]["mismatches"])

    def test_python_frames_stand_where_their_loop_is(self):
        dump = agent_harness.run(NATIVE_CALLBACKS, native=True)["dump"]
        stacks = [site["stack"] for site in dump["sites"] if site["stack"] and any(frame[1] == "compare" for frame in site["stack"])]

        self.assertTrue(stacks)
        for stack in stacks:
            names = [frame[1] for frame in stack]
            self.assertLess(names.index("compare"), names.index("qsort") if "qsort" in names else names.index("qsort_r"))
            self.assertLess(names.index("qsort") if "qsort" in names else names.index("qsort_r"), names.index("program"))
            self.assertIn("PyEval_EvalCode", names[names.index("program"):])

    def test_a_stack_that_leads_nowhere_is_cut_and_nothing_beyond_it_is_read(self):
        source = """
            import ctypes, threading
            def wild(size):
                for i in range(11):
                    for again in range(3):
                        agent.in_process_with_wild_base(ctypes.c_size_t(size + i), i)
                    agent.in_process_on_another_stack(ctypes.c_size_t(size + 100 + i))
            def program():
                wild(200000)
                thread = threading.Thread(target=wild, args=(300000,))
                thread.start()
                thread.join()
            """
        dump = agent_harness.run(source, native=True, check=True, warm=False)["dump"]

        self.assertEqual(0, dump["lost"]["mismatches"])
        blocks = 0
        for site in dump["sites"]:
            if site["allocator"] != 0 or site["bytes"] / site["count"] < 200000:
                continue
            self.assertEqual("cut", site["stack"][-1][0], site["stack"])
            self.assertIn("wild", [frame[1] for frame in site["stack"]])
            blocks += site["count"]
        self.assertEqual(2 * 11 * 7, blocks)

    def test_callers_that_differ_by_the_frame_pointer_alone_are_told_apart(self):
        source = """
            import ctypes
            def program():
                agent.in_process_with_two_callers(ctypes.c_size_t(200000), 20)
            """
        dump = agent_harness.run(source, native=True, check=True, warm=False)["dump"]
        sites = [site for site in dump["sites"] if site["allocator"] == 0 and site["bytes"] / site["count"] == 200000]

        self.assertEqual(0, dump["lost"]["mismatches"])
        self.assertEqual([10, 10], [site["count"] for site in sites])
        self.assertTrue(all("program" in [frame[1] for frame in site["stack"]] for site in sites))
        self.assertFalse(any(frame[0] == "cut" for site in sites for frame in site["stack"]))

    def test_codes_that_share_an_address_keep_their_names(self):
        for options in ({}, {"domains": True}, {"period": 16}):
            dump = agent_harness.run(agent_stacks_test.TWINS, native=True, warm=False, **options)["dump"]
            stacks = [python_part(site["stack"]) for site in dump["sites"] for _ in range(site["live_blocks"])
                      if site["allocator"] == 0 and 777 <= site["live_bytes"] / site["live_blocks"] <= 820]

            self.assertEqual({"made-%d" % i: 1 for i in range(200)}, dict(collections.Counter(stack[0][0] for stack in stacks if stack)))

    def test_a_stack_deeper_than_is_kept_is_cut_at_its_outer_end(self):
        dump = agent_harness.run(agent_stacks_test.RECURSION, depth=100, native=True, check=True)["dump"]

        self.assertEqual(0, dump["lost"]["mismatches"])
        self.assertEqual(100, max(len(python_part(site["stack"])) for site in dump["sites"]))
        for site in dump["sites"]:
            self.assertTrue(all(frame[0] != "cut" for frame in site["stack"][:-1]))


if __name__ == "__main__":
    harness.require_supported_python()
    if "bullseye" in " ".join(harness.PYTHON):
        print("skipped: the library that stands in for memsnap needs a newer libc")
        sys.exit(77)
    harness.main()
