# memsnap-test: timeout=600
"""RSS accounted for: what a process takes turns up in the right part, and the parts are the RSS."""

import glob
import json
import os
import pathlib
import re
import signal
import time
import unittest

import harness
from harness import PYTHON, Target, differences, fingerprint, memsnap

PARTS = ["python objects", "pymalloc free", "malloc in use", "malloc free", "thread stacks", "mapped files", "shared", "other"]
IN_CHROOT = "chroot" in PYTHON[0]
MIB = 1 << 20


def rollup(pid, key="Rss"):
    text = pathlib.Path("/proc/%d/smaps_rollup" % pid).read_text()
    return 1024 * sum(int(number) for number in re.findall(r"(?m)^%s: +(\d+) kB" % key, text))


def call_when_at_rest(pid, task):
    """Of proc_pid_syscall(5), once the thread waits: just let go, it may still be "running"."""
    deadline = time.monotonic() + harness.PATIENCE
    while True:
        words = pathlib.Path("/proc/%d/task/%s/syscall" % (pid, task)).read_text().split()
        if len(words) > 7 or time.monotonic() > deadline:
            return words
        time.sleep(0.01)


def resident_stacks(pid, size):
    """Bytes of the mappings that threads' stack pointers are in, and whether each is a stack alone: from glibc 2.42 on
    there is no guard mapping between stacks and other memory. Only of threads that wait in a system call."""
    mappings = []
    for line in pathlib.Path("/proc/%d/smaps" % pid).read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if head:
            mappings.append([int(head.group(1), 16), int(head.group(2), 16), 0])
        elif line.startswith("Rss:"):
            mappings[-1][2] = 1024 * int(line.split()[1])
    found = set()
    for task in os.listdir("/proc/%d/task" % pid):
        pointer = int(call_when_at_rest(pid, task)[7], 16)
        found.update(tuple(mapping) for mapping in mappings if mapping[0] <= pointer < mapping[1])
    return sum(rss for _, _, rss in found), all(end - begin <= size for begin, end, _ in found)


class MemoryTest(harness.LiveTest):
    def all(self, pid, *options):
        result = memsnap("memory", pid, "--metric", "all", "--json", *options)
        self.assertEqual(0, result.status, str(result))
        answer = result.json()
        self.assertEqual("memsnap.memory/1", answer["schema"])
        names = [part["name"] for part in answer["parts"]]
        self.assertEqual(PARTS, [name for name in names if name != "huge page padding"])
        self.assertTrue(all(part["bytes"] >= 0 for part in answer["parts"]))
        total = sum(part["bytes"] for part in answer["parts"])
        self.assertLess(abs(total - answer["rss"]), 0.005 * answer["rss"], answer)
        answer["part"] = {part["name"]: part["bytes"] for part in answer["parts"]}
        self.assertAlmostEqual(1 - answer["part"]["other"] / answer["rss"], answer["accounted"], places=6)
        return answer

    def took(self, target, kind):
        target.say(kind.encode() + b"\n")
        return json.loads(target.expect(b"took"))


class Parts(MemoryTest):
    def check(self, kind, accounted=0.97, environment=None, slack=400000, **more):
        """What the target says it took is what is seen, within 1 % and what the interpreter itself needs meanwhile."""
        with Target("hoarder.py", environment=environment) as target:
            before = self.all(target.pid)
            took = self.took(target, kind)
            if not took:
                self.skipTest("not on this interpreter")
            took.update(more)
            rss = rollup(target.pid)
            after = self.all(target.pid)
            self.assertLess(abs(after["rss"] - rss), 0.005 * rss, after)
            self.assertGreaterEqual(after["accounted"], accounted, after)
            self.assertEqual(0, after["damaged"], after)
            for name, size in took.items():
                grown = after["part"][name] - before["part"][name]
                self.assertLess(abs(grown - size), 0.01 * size + slack, "%s: %s\n%s\n%s" % (name, took, before, after))
            return before, after

    def test_native_blocks_in_use_and_free(self):
        before, after = self.check("native")
        self.assertEqual("glibc", after["allocator"])
        self.assertLess(abs(after["native_blocks"] - before["native_blocks"] - 10000), 500)

    def test_small_native_blocks_on_lists_are_free(self):
        self.check("small_native")

    def test_native_blocks_with_mappings_of_their_own(self):
        self.check("mapped_native")

    def test_memory_that_was_never_touched_is_not_resident(self):
        self.check("untouched")

    def test_arenas_of_threads(self):
        self.check("in_threads", slack=600000)

    def test_blocks_that_python_objects_own_are_theirs(self):
        self.check("buffers", slack=600000)

    def test_free_blocks_of_pymalloc(self):
        self.check("arenas")

    def test_arrays_of_numpy(self):
        self.check("arrays", slack=12 * MIB)  # importing it takes some of everything

    def test_interpreters_with_arenas_of_their_own(self):
        _, after = self.check("interpreters", slack=12 * MIB)  # their own modules and types
        self.assertGreater(after["accounted"], 0.99, after)

    def test_stacks_of_ended_threads(self):
        self.check("ended_threads")

    def test_shared_memory(self):
        self.check("shared")

    def test_a_mapping_of_the_programs_own_is_other(self):
        self.check("own_mapping", accounted=0.5)

    def test_without_pymalloc_all_is_mallocs(self):
        _, after = self.check("buffers", environment={"PYTHONMALLOC": "malloc"}, slack=1500000)
        self.assertEqual(0, after["part"]["pymalloc free"])
        self.assertEqual(0, after["pymalloc_arenas"])

    def test_stacks(self):
        with Target("hoarder.py") as target:
            before = self.all(target.pid)
            target.say(b"stacks\n")
            target.expect(b"took")
            after = self.all(target.pid)
            expected, alone = resident_stacks(target.pid, 4 << 20)
            # Beside them there are the frames of Python code: 16 KiB for each thread from 3.11 on.
            if alone:
                self.assertGreaterEqual(after["part"]["thread stacks"], 0.98 * expected, after)
            self.assertLess(after["part"]["thread stacks"], expected + 8 * 32768, after)
            self.assertGreater(after["part"]["thread stacks"], before["part"]["thread stacks"] + 6 * 65536)

    def test_everything_at_once_without_a_trace(self):
        with Target("hoarder.py") as target:
            for kind in ("native", "arenas", "in_threads", "buffers", "shared", "mapped_native"):
                self.took(target, kind)
            mark = fingerprint(target.pid)
            answer = self.all(target.pid)
            self.assertGreaterEqual(answer["accounted"], 0.97, answer)
            self.assertEqual([], differences(mark, fingerprint(target.pid)))
            advice = " ".join(answer["advice"])
            self.assertRegex(advice, r"malloc keeps \d+\.\d MiB free: fragmentation or a missing trim")
            self.assertRegex(advice, r"arenas \d+ % empty: returned only when a whole arena empties")

    def test_other_methods_give_the_same(self):
        with Target("hoarder.py") as target:
            self.took(target, "native")
            frozen = self.all(target.pid)
            for method in ("stop", "read"):
                answer = self.all(target.pid, "--method", method)
                self.assertGreaterEqual(answer["accounted"], 0.97, answer)
                for name in ("malloc in use", "malloc free", "pymalloc free"):
                    self.assertLess(abs(answer["part"][name] - frozen["part"][name]), 0.02 * frozen["rss"], (method, name))

    def test_a_snapshot_keeps_the_parts(self):
        with Target("hoarder.py") as target:
            self.took(target, "native")
            taken = self.snapshot(target.pid)
            parts = [part["name"] for part in taken["memory"]["parts"]]
            self.assertEqual(PARTS, [name for name in parts if name != "huge page padding"])
            summary = memsnap("summary", taken["file"], "--json").json()
            self.assertEqual(taken["memory"], summary["memory"])
            text = memsnap("summary", taken["file"]).out.splitlines()
            self.assertRegex(text[1], r"^RSS \S+ MiB = objects .* \+ pymalloc free .* \+ malloc free .* \+ native .* \+ other ")


class KernelFigures(harness.LiveTest):
    def figure(self, pid, metric):
        result = memsnap("memory", pid, "--metric", metric, "--units", "bytes")
        self.assertEqual((0, ""), (result.status, result.err), str(result))
        return int(result.out)

    def document(self, pid, metric):
        answer = memsnap("memory", pid, "--metric", metric, "--json").json()
        self.assertEqual(("memsnap.memory/1", pid), (answer["schema"], answer["pid"]))
        return answer[metric]

    def test_rss_alone_needs_no_stop(self):
        with Target("hoarder.py") as target:
            os.kill(target.pid, signal.SIGSTOP)
            for metric, key in (("rss", "Rss"), ("pss", "Pss"), ("uss", "Private_(?:Clean|Dirty)")):
                # PSS and USS change when another process with the same libraries comes or goes.
                for _ in range(20):
                    text, kernel, answer = self.figure(target.pid, metric), rollup(target.pid, key), self.document(target.pid, metric)
                    if max(abs(text - kernel), abs(answer - text)) < 300000:
                        break
                self.assertLess(abs(text - kernel), 300000, metric)
                self.assertLess(abs(answer - text), 300000, metric)
            self.assertRegex(memsnap("memory", target.pid).out, r"^\d+\.\d+ MiB\n$")

    def test_objects_and_heap(self):
        with Target("hoarder.py") as target:
            answer = memsnap("memory", target.pid, "--metric", "all", "--json").json()
            objects = int(memsnap("memory", target.pid, "--metric", "pyobj", "--units", "bytes").out)
            heap = int(memsnap("memory", target.pid, "--metric", "heap", "--units", "bytes").out)
        self.assertLess(abs(objects - answer["python_objects"]), 0.01 * objects)
        part = {entry["name"]: entry["bytes"] for entry in answer["parts"]}
        wanted = part["python objects"] + part["pymalloc free"] + part["malloc in use"] + part["malloc free"]
        self.assertLess(abs(heap - wanted), 0.02 * wanted)

    def test_wrong_questions(self):
        self.assertEqual(2, memsnap("memory").status)
        self.assertEqual(2, memsnap("memory", os.getpid(), "--metric", "everything").status)
        self.assertEqual(3, memsnap("memory", 4000000).status)


@unittest.skipIf(IN_CHROOT, "the libraries are not in the tree")
class ForeignMalloc(MemoryTest):
    def preload(self, pattern, name):
        found = glob.glob("/usr/lib/x86_64-linux-gnu/" + pattern)
        if not found:
            self.skipTest(pattern + " is not installed")
        with Target("hoarder.py", environment={"LD_PRELOAD": found[0]}) as target:
            self.took(target, "buffers")
            answer = self.all(target.pid)
            self.assertEqual(name, answer["allocator"])
            self.assertRegex(" ".join(answer["advice"]), "malloc is %s's" % name)
            # Sizes of objects are known all the same.
            self.assertGreater(answer["part"]["python objects"], 0.95 * answer["python_objects"], answer)

    def test_jemalloc_is_named(self):
        self.preload("libjemalloc.so.2", "jemalloc")

    def test_tcmalloc_is_named(self):
        self.preload("libtcmalloc_minimal.so.4", "tcmalloc")


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
