#!/usr/bin/env python3
"""attach --native: the C functions between Python's, in the stacks of what is allocated."""

import json
import signal
import subprocess

import agent_harness
import harness

PROGRAM = '''
import ctypes, json, queue, sys, threading, zlib
library = ctypes.CDLL(sys.argv[1])
library.take.restype = library.give.restype = ctypes.c_void_p
NOTIFY = ctypes.CFUNCTYPE(None)
DATA = {str(i): [i * 1.5, None] for i in range(300)}
TEXT = b"hello" * 20000
def compress():
    return zlib.compress(TEXT)
def encode():
    return json.dumps(DATA)
def down(n):
    if n == 0:
        return compress()
    return sorted([1], key=lambda x: len(down(n - 1)))
def deep():
    return down(60)
def in_thread():
    return compress()
def thread(work, done):
    while work.get():
        done.put(len(in_thread()))
def called_back():
    compress()
def without_tables():
    return library.take(ctypes.c_size_t(5000))
def with_tables():
    return library.give(ctypes.c_size_t(6000), NOTIFY(called_back))
threading.stack_size(128 << 10)
work, done = queue.SimpleQueue(), queue.SimpleQueue()
threading.Thread(target=thread, args=(work, done), daemon=True).start()
def round():
    compress(), encode(), down(12), deep(), without_tables(), with_tables()
    work.put(1)
    done.get()
round()
print("ready", flush=True)
while sys.stdin.readline():
    for i in range(3):
        round()
    print("done", flush=True)
'''

LIBRARY = '''
#include <stdlib.h>
void* give(size_t size, void (*notify)(void)) { notify(); char* block = malloc(size); block[0] = 1; return block; }
'''
WITHOUT_TABLES = '''
#include <stdlib.h>
void* take(size_t size) { char* block = malloc(size); if (block) block[0] = 1; return block; }
'''
CUT = "(further out)"


def build(folder):
    for name, source, flags in (("with.o", LIBRARY, []), ("without.o", WITHOUT_TABLES, ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"])):
        subprocess.run(["gcc", "-O1", "-fPIC", "-xc", "-c", "-", "-o", folder / name, *flags], input=source, text=True, check=True)
    subprocess.run(["gcc", "-shared", "-nostartfiles", "-s", folder / "with.o", folder / "without.o", "-o", folder / "libmixed.so"], check=True)
    return "libmixed.so"


def paths(call, outer=()):
    """Every stack of a tree as a list of (function, file), the outermost call first, with its own bytes."""
    here = (*outer, (call["function"], call["file"]))
    if call["own"]:
        yield here, call["own"]
    for child in call["children"]:
        yield from paths(child, here)


class NativeStacks(harness.LiveTest):
    def test_also_of_a_program_that_memsnap_starts(self):
        with agent_harness.folder_in_reach() as (folder, inside):
            file = self.file_name()
            library = "%s/%s" % (inside, build(folder))
            started = subprocess.Popen([harness.MEMSNAP, "run", "--native", "-v", "-o", file, "--json", "--report", folder / "report", "--",
                                        *harness.PYTHON, "-c", PROGRAM, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            self.addCleanup(started.kill)
            heard = []
            wanted = ["libmixed.so are followed", "the stacks of other threads"]
            for line in started.stderr:
                heard.append(line)
                wanted = [what for what in wanted if what not in line]
                if not wanted:
                    break
            out, err = started.communicate("go\n", timeout=harness.PATIENCE)
            self.assertEqual((0, "ready\ndone\n"), (started.returncode, out), "".join(heard) + err)
            told = json.loads((folder / "report").read_text())
        self.assertTrue(told["from_start"], told)
        self.assertEqual([], told["left_behind"])
        stacks = self.stacks_of(file)
        # The first calls of a library that came just now, or of a thread, may be cut: memsnap has to look at them first.
        whole = [stack for stack in stacks if stack[0][0] != CUT or stack[-1][0] == "take"]
        self.check([stack for stack in whole if "deep" not in [function for function, _ in stack]])
        # Before there was a Python frame, and after the last.
        names = {function for stack in stacks for function, _ in stack}
        self.assertTrue(any(name.startswith(("Py_Initialize", "pymain_init")) for name in names), names)
        facts = harness.memsnap("summary", file, "--by", "function", "-n", "0", "--json").json()
        self.assertEqual(0, facts["capture"]["lost"]["mismatches"])

    def record(self, target):
        file = self.file_name()
        session = subprocess.Popen([harness.MEMSNAP, "attach", str(target.pid), "--native", "--sample", "1", "--for", "10m", "-v", "--json", "-f",
                                    "-o", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(session.kill)
        heard = []
        for line in session.stderr:
            heard.append(line)
            if "native stacks are followed" in line:
                break
        else:
            self.fail("".join(heard))
        target.say(b"go\n")
        target.expect(b"done")
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual(0, session.returncode, err)
        answer = json.loads(out)
        self.assertEqual([], answer["left_behind"])
        return file, self.stacks_of(file)

    def stacks_of(self, file):
        result = harness.memsnap("tree", file, "--allocations", "--min", "0", "-n", "0", "--depth", "0", "--json")
        self.assertEqual(0, result.status, str(result))
        return [path[1:] for path, _ in paths(result.json()["calls"][0])]

    def test_c_functions_stand_below_the_python_function_that_called_them(self):
        with agent_harness.folder_in_reach() as (folder, inside):
            library = "%s/%s" % (inside, build(folder))
            with harness.Target(PROGRAM, library) as target:
                before = harness.fingerprint(target.pid)
                file, stacks = self.record(target)
                after = harness.fingerprint(target.pid)

                self.assertEqual([], [line for line in harness.differences(before, after) if not line.startswith("maps:")])
                target.say(b"again\n")
                target.expect(b"done")
        # The JSON of a tree has so many levels, and this stack more.
        self.check([stack for stack in stacks if "deep" not in [function for function, _ in stack]])
        facts = harness.memsnap("summary", file, "--by", "function", "-n", "0", "--json").json()
        counts = {row["function"]: row["count"] for row in facts["functions"]}
        self.assertEqual(counts["take"], counts[CUT])
        self.assertGreaterEqual(counts["deep"], 9)
        self.assertTrue(facts["capture"]["native"])
        self.assertEqual(0, facts["capture"]["lost"]["mismatches"])

    def check(self, stacks):
        names = [[function for function, _ in stack] for stack in stacks]
        shown = "\n".join(" ".join(stack) for stack in names)
        self.assertFalse([name for stack in names for name in stack if name.startswith("_PyEval_EvalFrameDefault")])

        # zlib's own functions, called by Python's module, called by compress(), wherever that is called from.
        deflate = [stack for stack in names if "deflateInit2_" in stack]
        callers = set()
        for stack in deflate:
            self.assertEqual("compress", [name for name in stack[:stack.index("deflateInit2_")] if name in ("compress", "encode", "down")][-1], shown)
            self.assertNotIn(CUT, stack)
            callers |= {name for name in ("in_thread", "down", "called_back") if name in stack}
        self.assertEqual({"in_thread", "down", "called_back"}, callers, shown)
        self.assertTrue([stack for stack, files in zip(names, stacks) if "encode" in stack and files[-1][1].endswith((".so", ".0"))
                         or "encode" in stack and "python3" in files[-1][1]], shown)

        # Sorting is C code between each two calls of down().
        deepest = max(deflate, key=lambda stack: stack.count("down"))
        self.assertEqual(13, deepest.count("down"))
        places = [i for i, name in enumerate(deepest) if name == "down"]
        for begin, end in zip(places, places[1:]):
            self.assertGreater(end - begin, 3, deepest)
            self.assertTrue(any("lambda" in name for name in deepest[begin:end]), deepest)

        # The callback's frames are below the C function that called it back, and this is below the function that called it.
        for stack in deflate:
            if "called_back" in stack:
                order = [stack.index(name) for name in ("with_tables", "give", "called_back", "compress")]
                self.assertEqual(sorted(order), order)
        given = [stack for stack in names if stack[-1] == "give"]
        self.assertTrue(given and all("with_tables" in stack and CUT not in stack for stack in given), shown)

        # A library without tables ends the stack: what is known is there, and that it is not all.
        taken = [stack for stack in names if stack[-1] == "take"]
        self.assertTrue(taken, shown)
        for stack in taken:
            self.assertEqual(CUT, stack[0])
            self.assertEqual(["<module>", "round", "without_tables", "take"], stack[1:])


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
