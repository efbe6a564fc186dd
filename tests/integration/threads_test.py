"""Stacks, names, waits and locks of threads, against what Python says of itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import LiveTest, Target, memsnap

VERSION, _ = harness.python_facts()

DEADLOCK = """
import os, threading, time
one, two = threading.RLock(), threading.RLock()
both = threading.Barrier(2)
def take(mine, other):
    with mine:
        both.wait()
        other.acquire()
threads = [threading.Thread(target=take, args=pair, name=name) for pair, name in (((one, two), "first"), ((two, one), "second"))]
for thread in threads:
    thread.start()
time.sleep(0.5)
print("ready %d %d" % (threads[0].native_id, threads[1].native_id), flush=True)
threads[0].join()
"""

SLOW_JOIN = """
import os, threading, time
go = threading.Lock()
go.acquire()
thread = threading.Thread(target=go.acquire, name="joined", daemon=True)
thread.start()
time.sleep(0.2)
print("ready %d" % thread.native_id, flush=True)
thread.join()
"""

MUTEX = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
attribute, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
libc.pthread_mutexattr_init(attribute)
{SET}
libc.pthread_mutex_init(mutex, attribute)
libc.pthread_mutex_lock(mutex)
thread = threading.Thread(target=lambda: libc.pthread_mutex_lock(mutex), daemon=True)
thread.start()
time.sleep(0.3)
print("ready %d" % thread.native_id, flush=True)
os.read(0, 1)
"""

REGEX = """
import os, re, threading, time
def work():
    re.match(r"(a+)+$", "a" * 60 + "b")
thread = threading.Thread(target=work, name="stuck", daemon=True)
waiting = threading.Thread(target=time.sleep, args=(10000,), daemon=True)
waiting.start()
print("ready", flush=True)
thread.start()
print("impossible", flush=True)
"""

LOCALS = """
import os, threading
def work(rows):
    mine = [("row", number) for number in range(100000)]
    def inner():
        return mine2
    mine2 = list(range(1000, 5000))
    print("ready", flush=True)
    os.read(0, 1)
def main():
    rows = [str(number) for number in range(20000)]
    work(rows)
main()
"""

SUB_INTERPRETER = """
import os, threading, time
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create()
CODE = '''
import time
def inside():
    time.sleep(10000)

inside()
'''
def run():
    interpreters.run_string(made, CODE)
thread = threading.Thread(target=run, name="runs another", daemon=True)
thread.start()
time.sleep(0.5)
print("ready %d" % thread.native_id, flush=True)
os.read(0, 1)
"""

COLLECTING = """
import gc, os, threading
lock = threading.Lock()
lock.acquire()
class Blocking:
    def __init__(self):
        self.itself = self
    def __del__(self):
        lock.acquire()
Blocking()
print("ready", flush=True)
gc.collect()
"""


def threads(testcase, *arguments, status=0):
    result = memsnap("threads", *arguments, "--json")
    testcase.assertEqual(status, result.status, str(result))
    answer = result.json()
    testcase.assertEqual("memsnap.threads/1", answer["schema"])
    return answer


def by_tid(answer):
    return {thread["tid"]: thread for thread in answer["threads"]}


def plain(name):
    """One function has several names in the C library: __GI___libc_read, __read, read."""
    return re.sub(r"^(__GI_)?_*(libc_)?|_impl$", "", name.split("@")[0])


def python_frames(thread):
    return [[frame["function"], frame["file"], frame["line"]] for frame in thread["frames"] if not frame["native"]]


def innermost_of(thread, function):
    return [frame["function"] for frame in thread["frames"]][:1] == [function]


class ParkedThreads(LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.target = Target("threads.py", ready=None)
        cls.addClassCleanup(cls.target.close)
        cls.names = {int(tid): name for tid, name in json.loads(cls.target.expect(b"ready")).items()}

    def ask(self, word):
        self.target.say(word + b"\n")
        return json.loads(self.target.line())

    def stacks(self):
        return {int(tid): frames for tid, frames in self.ask(b"stacks").items()}

    def check(self, answer, answering=()):
        expected = self.stacks()
        found = by_tid(answer)
        self.assertLessEqual(set(expected), set(found))
        for tid, frames in expected.items():
            self.assertTrue(found[tid]["complete"])
            if self.names[tid] != "answers":
                self.assertEqual(frames, python_frames(found[tid]), self.names[tid])
        return found

    def test_stacks_are_those_that_python_sees(self):
        answer = threads(self, self.target.pid)
        found = self.check(answer)
        self.assertTrue(answer["consistent"])
        self.assertFalse(answer["partial"])
        self.assertEqual("stop", answer["method"])
        self.assertEqual([], answer["deadlocks"])
        self.assertIs(False, answer["collecting"])
        recursing = [thread for thread in found.values() if thread["name"].startswith("in_recursion")]
        self.assertGreater(len(recursing[0]["frames"]), 900)

    def test_stacks_are_those_of_faulthandler(self):
        found = by_tid(threads(self, self.target.pid))
        tids, text = self.ask(b"faulthandler")
        compared = 0
        for block in text.split("\n\n"):
            head, *lines = block.strip().split("\n")
            ident = int(re.search(r"hread (0x[0-9a-f]+)", head).group(1), 16)
            tid = tids[str(ident)]
            if self.names[tid] == "answers":
                continue
            frames = []
            for line in lines:
                match = re.match(r'  File "(.*)", line (\d+) in (.*)$', line)
                if match:
                    frames.append([match.group(3), match.group(1), int(match.group(2))])
                elif line == "  <invalid frame>":  # 3.13.18 gives up at such a one
                    break
                elif line != "  ...":  # what the interpreter puts below an __init__ has no line; no traceback has it
                    self.assertRegex(line, r'^  File "__init__", line \S* ?in __init__$')
            self.assertTrue(frames, block)
            # It escapes what is not ASCII, and ends after 100 frames.
            ours = [[function, file.encode("ascii", "backslashreplace").decode().replace("\x1b", "\\x1b"), line]
                    for function, file, line in python_frames(found[tid])]
            self.assertEqual(frames, ours[:len(frames)] if "  <invalid frame>" in lines else ours[:100], self.names[tid])
            compared += 1
        self.assertGreaterEqual(compared, 14)

    def test_names_waits_and_durations(self):
        time.sleep(1.1)
        found = by_tid(threads(self, self.target.pid))
        for tid, name in self.names.items():
            self.assertEqual(name, found[tid]["name"])
            self.assertFalse(found[tid]["holds_gil"], name)
            if name == "answers":
                self.assertIn("read (fd 0", found[tid]["waits"])
                continue
            self.assertRegex(found[tid]["waits"], r"^futex 0x[0-9a-f]+ \(Lock, owner not recorded\)$", name)
            self.assertEqual("lock", found[tid]["wait_kind"])
            self.assertIsNone(found[tid]["owner"])
            if os.path.exists("/proc/self/sched") and found[tid]["wait_seconds"] is not None:
                self.assertGreaterEqual(found[tid]["wait_seconds"], 0)

    def test_text_is_harmless(self):
        result = memsnap("threads", self.target.pid)
        self.assertEqual(0, result.status, str(result))
        self.assertNotIn("\x1b", result.out)
        self.assertIn("in_init w\u00f6rker\\x1b]0;", result.out)
        self.assertIn("<made \u00fcp>\\x1b[31m:4", result.out)

    def test_a_snapshot_keeps_them(self):
        file = self.snapshot(self.target.pid)["file"]
        answer = threads(self, file)
        self.check(answer)
        self.assertEqual(set(self.names), set(by_tid(answer)))
        types = self.snapshot(self.target.pid, "--kind", "types")["file"]
        self.check(threads(self, types))

    def test_redacted_text_is_not_kept(self):
        file = self.snapshot(self.target.pid, "--redact", "in_[a-z_]+ w")["file"]
        names = [thread["name"] for thread in threads(self, file)["threads"]]
        self.assertFalse([name for name in names if name.startswith("in_")])
        self.assertEqual(len(self.names), len(names))

    def test_a_pause_that_is_too_short_gives_a_part(self):
        expected = self.stacks()
        for pause in ("1ms", "2ms", "4ms"):
            result = memsnap("threads", self.target.pid, "--native", "--max-pause", pause, "--json")
            if result.status != 0:  # not even the threads stopped in that time
                self.assertEqual(7, result.status, str(result))
                continue
            answer = result.json()
            for tid, thread in by_tid(answer).items():
                frames = python_frames(thread)
                if self.names[tid] == "answers":
                    continue
                if not answer["partial"]:
                    self.assertEqual(expected[tid], frames, self.names[tid])
                    self.assertTrue(thread["native_complete"])
                for frame, whole in zip(frames, expected[tid]):  # what could not be read any more is left out, not guessed
                    for seen, known in zip(frame, whole):
                        self.assertIn(seen, (known, None, "?"), self.names[tid])

    def test_read_without_a_stop(self):
        answer = threads(self, self.target.pid, "--method", "read")
        self.assertFalse(answer["consistent"])
        self.assertEqual("read", answer["method"])
        found = self.check(answer)
        for tid, name in self.names.items():
            self.assertEqual(name, found[tid]["name"])
            if name != "answers":
                self.assertIn("Lock, owner not recorded", found[tid]["waits"])

    def test_by_a_freeze_it_is_the_same(self):
        self.check(threads(self, self.target.pid, "--method", "freeze"))

    def test_a_stopped_process_stays_stopped(self):
        self.target.process.send_signal(signal.SIGSTOP)
        try:
            while harness.state_of(self.target.pid) != "T":
                time.sleep(0.01)
            answer = threads(self, self.target.pid)
            # Let go, it goes back into its stop by itself as soon as a processor is free: a moment of "R", in the kernel.
            deadline = time.monotonic() + 2
            while harness.state_of(self.target.pid) == "R" and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual("T", harness.state_of(self.target.pid))
        finally:
            self.target.process.send_signal(signal.SIGCONT)
        self.check(answer)
        self.assertIn("stopped", " ".join(answer["warnings"]))

    def test_the_target_is_as_it_was(self):
        before = harness.fingerprint(self.target.pid)
        for _ in range(5):
            threads(self, self.target.pid)
        self.assertEqual([], harness.differences(before, harness.fingerprint(self.target.pid)))


class NativeStacks(LiveTest):
    GDB = """
import gdb, json
found = {}
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame, frames = gdb.newest_frame(), []
    while frame is not None:
        if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
            frames.append([hex(frame.pc()), frame.name()])
        frame = frame.older()
    found[thread.ptid[1]] = frames
print("STACKS" + json.dumps(found))
"""

    def gdb_stacks(self, pid):
        script = self.folder / "stacks.py"
        script.write_text(self.GDB)
        done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set auto-load off", "-ex", "set backtrace limit 20000", "-p", str(pid),
                               "-x", str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE,
                              env=dict(os.environ, DEBUGINFOD_URLS=""))
        lines = [line for line in done.stdout.splitlines() if line.startswith("STACKS")]
        self.assertEqual(1, len(lines), done.stdout + done.stderr)
        return {int(tid): frames for tid, frames in json.loads(lines[0][len("STACKS"):]).items()}

    @unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
    def test_they_are_those_of_gdb(self):
        if harness.PYTHON[0] == "chroot":
            self.skipTest("gdb does not find the libraries of a process in a chroot")
        with Target("threads.py", ready=None) as target:
            names = {int(tid): name for tid, name in json.loads(target.expect(b"ready")).items()}
            found = by_tid(threads(self, target.pid, "--native"))
            expected = self.gdb_stacks(target.pid)
            self.assertEqual(set(names), set(expected))
            for tid, frames in expected.items():
                thread = found[tid]
                self.assertTrue(thread["native_complete"], names[tid])
                ours = [frame for frame in thread["frames"] if frame["native"]]
                theirs = [frame for frame in frames if not (frame[1] or "").startswith("_PyEval_EvalFrameDefault")]
                self.assertEqual([pc for pc, _ in theirs], [frame["address"] for frame in ours], names[tid])
                for (_, name), frame in zip(theirs, ours):
                    if frame["function"] != "??" and name is not None:
                        self.assertEqual(plain(name), plain(frame["function"]), names[tid])

    def test_python_frames_lie_between_those_of_c(self):
        with Target("threads.py", ready=None) as target:
            target.expect(b"ready")
            target.say(b"stacks\n")
            expected = {int(tid): frames for tid, frames in json.loads(target.line()).items()}
            file = self.snapshot(target.pid, "--native")["file"]
            for source in (target.pid, file):
                answer = threads(self, source, "--native")
                for tid, thread in by_tid(answer).items():
                    self.assertTrue(thread["native_complete"], thread["name"])
                    if thread["name"] != "answers":
                        self.assertEqual(expected[tid], python_frames(thread), thread["name"])
                        self.assertTrue(thread["frames"][0]["native"])  # the lock it is parked in
                    functions = [frame["function"] for frame in thread["frames"]]
                    if thread["name"].startswith("in_sorted"):
                        between = thread["frames"][functions.index("<lambda>") + 1:functions.index("in_sorted")]
                        self.assertTrue(between)
                        self.assertTrue(all(frame["native"] for frame in between))
                    if thread["name"].startswith("in_init") and VERSION >= (3, 11):
                        self.assertEqual(["in_init"], functions[functions.index("warm") + 1:][:1])
            plain = threads(self, file)
            self.assertFalse(any(frame["native"] for thread in plain["threads"] for frame in thread["frames"]))

    def test_what_c_function_runs(self):
        with Target(REGEX) as target:
            time.sleep(0.5)
            for _ in range(5):
                answer = threads(self, target.pid, "--native")
                holder = [thread for thread in answer["threads"] if thread["holds_gil"]][0]
                self.assertEqual("stuck", holder["name"])
                self.assertTrue(holder["native_complete"])
                python = [frame["function"] for frame in holder["frames"] if not frame["native"]]
                self.assertIn("work", python)
                self.assertTrue(holder["frames"][0]["native"])
                if holder["frames"][0]["function"] != "??":
                    self.assertEqual(holder["frames"][0]["function"], holder["runs_in"])


class Locks(LiveTest):
    def test_two_rlocks_are_a_deadlock(self):
        with Target(DEADLOCK, ready=None) as target:
            first, second = map(int, target.expect(b"ready").split())
            for method in ("stop", "read", "freeze"):
                answer = threads(self, target.pid, "--method", method)
                found = by_tid(answer)
                self.assertEqual([first, second], sorted(answer["deadlocks"][0]), method)
                self.assertEqual(1, len(answer["deadlocks"]))
                self.assertTrue(answer["possible_deadlock"])
                self.assertEqual(second, found[first]["owner"])
                self.assertEqual(first, found[second]["owner"])
                self.assertIn("RLock held by %d" % second, found[first]["waits"])
                self.assertEqual("take", found[first]["frames"][0]["function"])
                self.assertEqual("thread end", found[target.pid]["wait_kind"])
                self.assertEqual(first, found[target.pid]["owner"])
            text = memsnap("threads", target.pid).out
            self.assertRegex(text, r"deadlock: %d \(first\) waits for %d \(second\), which waits for %d" % (first, second, first))
            file = self.snapshot(target.pid)["file"]
            self.assertEqual(answer["deadlocks"], threads(self, file)["deadlocks"])

    def test_a_join_names_the_thread(self):
        with Target(SLOW_JOIN, ready=None) as target:
            joined = int(target.expect(b"ready"))
            answer = threads(self, target.pid)
            self.assertEqual(joined, by_tid(answer)[target.pid]["owner"])
            self.assertIn("for the end of thread %d" % joined, by_tid(answer)[target.pid]["waits"])
            self.assertEqual([], answer["deadlocks"])
            self.assertTrue(answer["possible_deadlock"])

    def test_mutexes_of_c(self):
        kinds = {"": "mutex", "libc.pthread_mutexattr_setprotocol(attribute, 1)": "PI mutex",
                 "libc.pthread_mutexattr_setrobust(attribute, 1)": "robust mutex"}
        for make, name in kinds.items():
            with Target(MUTEX.replace("{SET}", make), ready=None) as target:
                tid = int(target.expect(b"ready"))
                waiting = by_tid(threads(self, target.pid))[tid]
                self.assertEqual(target.pid, waiting["owner"], name)
                self.assertIn("(%s held by %d)" % (name, target.pid), waiting["waits"])

    def test_who_holds_the_gil(self):
        with Target(REGEX) as target:
            time.sleep(0.5)
            for method in ("stop", "freeze"):
                answer = threads(self, target.pid, "--method", method)
                holders = [thread for thread in answer["threads"] if thread["holds_gil"]]
                self.assertEqual(["stuck"], [thread["name"] for thread in holders])
                self.assertEqual({"held": True, "holder": holders[0]["tid"]}, answer["gil"])
                self.assertEqual("runs", holders[0]["wait_kind"])
                self.assertIn(holders[0]["frames"][0]["function"], ("match", "prefixmatch"))
                self.assertEqual("work", holders[0]["frames"][1]["function"])
                main = by_tid(answer)[target.pid]
                self.assertEqual("gil", main["wait_kind"])
                self.assertEqual(holders[0]["tid"], main["owner"])
                self.assertFalse(answer["possible_deadlock"])
            self.assertIn("runs, holds the GIL", memsnap("threads", target.pid).out)

    def test_a_collection_is_told(self):
        with Target(COLLECTING) as target:
            time.sleep(0.3)
            self.assertIs(True, threads(self, target.pid)["collecting"])
            self.assertIn("in the middle of a garbage collection", memsnap("threads", target.pid).out)


class Others(LiveTest):
    def test_what_locals_retain(self):
        with Target(LOCALS) as target:
            file = self.snapshot(target.pid)["file"]
            for arguments in ((file,), (target.pid,)):
                answer = threads(self, *arguments, "--locals")
                work, main = answer["threads"][0]["frames"][:2]
                self.assertEqual(["work", "main"], [work["function"], main["function"]])
                self.assertEqual("mine", work["locals"]["largest"]["name"])
                self.assertEqual("builtins.list", work["locals"]["largest"]["type"])
                self.assertEqual(100000, work["locals"]["largest"]["items"])
                self.assertFalse(work["locals"]["largest"]["shared"])
                self.assertGreater(work["locals"]["retained"], 100000 * 56)
                self.assertLess(work["locals"]["retained"], 100000 * 200)
                self.assertEqual("rows", main["locals"]["largest"]["name"])
            self.assertRegex(memsnap("threads", file, "--locals").out, r"locals retain \d+\.\d MiB: mine \(list, 100,000\)")

    def test_a_thread_in_another_interpreter(self):
        if VERSION < (3, 9):
            self.skipTest("the module that makes interpreters is not the same in 3.8")
        with Target(SUB_INTERPRETER, ready=None) as target:
            tid = int(target.expect(b"ready"))
            thread = by_tid(threads(self, target.pid))[tid]
            functions = [frame["function"] for frame in thread["frames"]]
            self.assertEqual(["inside", "<module>", "run", "run", "_bootstrap_inner", "_bootstrap"], functions)
            self.assertEqual([4, 6, 16], [frame["line"] for frame in thread["frames"]][:3])
            self.assertGreater(thread["interpreter"], 0)
            self.assertEqual("runs another", thread["name"])

    def test_a_running_process_gives_stacks_that_exist(self):
        with tempfile.TemporaryFile() as progress, \
                Target("states.py", "allocating", str(progress.fileno()), popen={"pass_fds": [progress.fileno()]}) as target:
            for _ in range(10):
                for thread in threads(self, target.pid)["threads"]:
                    self.assertTrue(thread["complete"])
                    for frame in thread["frames"]:
                        self.assertRegex(frame["function"], r"^[\w<>]+$")
                        self.assertGreater(frame["line"] or 1, 0)
            self.assertTrue(target.alive())

    def test_files_and_wrong_arguments(self):
        self.assertEqual(10, memsnap("threads", "./no-such-file").status)
        self.assertEqual(2, memsnap("threads", "1", "2").status)
        self.assertEqual(3, memsnap("threads", "4194304").status)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
