# memsnap-test: timeout=600
"""A core file gives the snapshot that the living process gave just before: the same objects at the same addresses.

By gcore, and by the kernel where /proc/sys/kernel/core_pattern names a plain file (a pipe or a folder is somebody else's:
skipped then). Both leave out what a file has: /proc/PID/coredump_filter is 0x33.
"""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from exact_test import quiet
from harness import PYTHON, ROOT, TARGETS, Target, memsnap

USAGE, UNSUPPORTED, BAD_FILE = 2, 5, 10
OBJECTS = 5000
KINDS = 20
NO_OBJECT = 2 | 32  # a thread, a running frame, or memory of malloc, which a core's snapshot has not: nodes that are no objects
LIST_OBJECTS = pathlib.Path(os.environ.get("MEMSNAP_BUILD", ROOT / "build" / "release")) / "bin" / "list_objects"
ZOO = (ROOT / "tests" / "oracle" / "reference.py").read_text() + (TARGETS / "zoo.py").read_text()
SLEEPER = "import sys, time\nprint('ready', flush=True)\ntime.sleep(1000)\n"


def objects_of(file):
    """{address: type} of a snapshot file."""
    listed = subprocess.run([LIST_OBJECTS, file], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in listed.splitlines():
        if line.startswith("root "):
            continue
        address, _, rest = line.partition(" ")
        # The name of a type may have blanks: size and flags are the first two numbers side by side.
        words = rest.split(" ")
        at = next(i for i in range(1, len(words)) if words[i].isdigit() and words[i + 1].isdigit())
        name, flags = " ".join(words[:at]), int(words[at + 1])
        if not flags & NO_OBJECT:
            found[address] = name
    return found


def gcore(pid, folder):
    result = subprocess.run(["gcore", "-o", str(folder / "core"), str(pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, text=True, timeout=harness.PATIENCE)
    core = folder / ("core.%d" % pid)
    if not core.exists():
        raise harness.Failed("gcore: %s" % result.stdout)
    return core


def kernel_writes_files():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    allowed = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY
    return allowed and bool(pattern) and not pattern.startswith("|") and "/" not in pattern


def there(folder):
    """A folder of the interpreter's own, as it sees it: the kernel writes a core where the process is, under one name."""
    if PYTHON[0] != "chroot":
        return str(folder), lambda: None
    inside = tempfile.mkdtemp(dir=PYTHON[1] + "/tmp", prefix="memsnap-test-")
    return "/tmp/" + os.path.basename(inside), lambda: shutil.rmtree(inside)


def abort(target, folder, end=lambda target: os.kill(target.pid, signal.SIGABRT)):
    """Ends the process; the core the kernel wrote."""
    where = pathlib.Path(os.readlink("/proc/%d/cwd" % target.pid))
    before = set(os.listdir(where))
    resource.prlimit(target.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    end(target)
    target.process.wait(timeout=harness.PATIENCE)
    cores = [name for name in set(os.listdir(where)) - before if "core" in name]
    if len(cores) != 1:
        raise harness.Failed("the kernel wrote %s in %s" % (cores, where))
    core = folder / "kernel.core"
    shutil.move(where / cores[0], core)
    return core


def sysroot_options():
    return ("--sysroot", PYTHON[1]) if PYTHON[0] == "chroot" else ()


# Aborts while the collector has the objects in lists of its own, on a thread that is not the first.
IN_A_COLLECTION = """
import gc, os, threading
class Marker: pass
class Last:
    def __del__(self): os.abort()
KEPT = [Marker() for _ in range(1000)]
def crash():
    last = Last()
    last.itself = last
    del last
    gc.collect()
input()
threading.Thread(target=crash).start()
"""
IN_C = """
import ctypes, threading
class Marker: pass
KEPT = [Marker() for _ in range(1000)]
input()
threading.Thread(target=ctypes.string_at, args=(16,)).start()
"""


class CoreTest(harness.LiveTest):
    def take(self, core, *options, status=0):
        result = memsnap("snapshot", "--core", core, "-o", self.file_name(), "--json", *options)
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def refused(self, status, *options, **more):
        result = memsnap("snapshot", "-o", self.file_name(), *options, **more)
        self.assertEqual((status, ""), (result.status, result.out), str(result))
        return result.err

    def check_same(self, live, core):
        """At least 99 % of the objects by address, and of each type as many but for 1 %."""
        expected, found = objects_of(live["file"]), objects_of(core["file"])
        same = sum(1 for address, name in expected.items() if found.get(address) == name)
        print("%s %s: %d objects live, %d in the core, missing %.4f %%, orphans %d" % (
            harness.PYTHON_NAME, self.id().split(".")[-1], len(expected), len(found), 100 - 100 * same / len(expected),
            core["orphans"]), file=sys.stderr)
        self.assertGreater(len(expected), 30000)
        self.assertGreaterEqual(same, 0.99 * len(expected))
        self.assertLessEqual(len(found), 1.01 * len(expected))
        live_types, core_types = self.types(live["file"]), self.types(core["file"])
        self.assertGreater(len(live_types), KINDS)
        for name, (count, _) in live_types.items():
            # One object may be on a stack alone, and be gone by the time of the core.
            self.assertLessEqual(abs(core_types.get(name, (0, 0))[0] - count), max(1, count * 0.01), name)
        self.assertEqual(self.stacks(live["file"]), self.stacks(core["file"]))
        self.assertGreater(core["orphans"], 0)  # the scan ran: every interpreter has some that only C refers to
        self.assertLess(core["orphans"], 0.1 * len(expected))

    def stacks(self, file):
        """{tid: its Python calls} of a snapshot's threads."""
        threads = memsnap("threads", file, "--json").json()["threads"]
        return {thread["tid"]: [(frame["function"], frame["file"], frame["line"]) for frame in thread["frames"]] for thread in threads}

    def check_header(self, answer, pid, name, live):
        self.assertEqual(("core", True, False, pid), (answer["method"], answer["consistent"], answer["partial"], answer["pid"]))
        self.assertEqual(live["python"], answer["python"])
        self.assertEqual(name, answer["core"]["signal_name"])
        text = memsnap("info", answer["file"]).out
        self.assertRegex(text, r"signal +%s" % (name or "none: a copy of a running process"))
        self.assertIn("core of ", memsnap("summary", answer["file"]).out)

    def start(self, source, *arguments, **more):
        place, remove = there(self.folder)
        self.addCleanup(remove)
        target = Target("import os\nos.chdir(%r)\n%s" % (place, source), *arguments, **more)
        self.addCleanup(target.close)
        return target

    def resting(self):
        target = self.start(ZOO, OBJECTS)
        target.say(b"r\n")
        target.line()
        quiet(target.pid)
        # Anonymous memory and the first pages of ELF files: no text, no read-only data.
        self.assertEqual(0x33, int(pathlib.Path("/proc/%d/coredump_filter" % target.pid).read_text(), 16))
        return target

    def test_a_copy_by_gcore(self):
        target = self.resting()
        live = self.snapshot(target.pid)
        core = self.take(gcore(target.pid, self.folder))
        self.check_header(core, target.pid, None, live)
        self.check_same(live, core)

    def test_a_reference_that_only_a_c_field_holds_is_found_and_says_so(self):
        source = "import itertools\nclass Marker: pass\nKEPT = itertools.repeat(Marker())\n" + SLEEPER
        with Target(source, "first", "second") as target:
            core = self.take(gcore(target.pid, self.folder))
        path = memsnap("roots", core["file"], "--type", "__main__.Marker", "--json").json()["paths"][0]
        self.assertEqual(["['KEPT']", ".field+16"], [step["name"] for step in path[-2:]])
        # A core's own note has 79 bytes of the command line, gcore's fewer.
        self.assertTrue(json.loads(memsnap("info", core["file"], "--json").out)["target"]["command_line"].endswith(" first second"))

    @unittest.skipUnless(kernel_writes_files(), "core_pattern is no plain file name")
    def test_a_core_by_the_kernel_of_an_aborted_process(self):
        target = self.resting()
        live = self.snapshot(target.pid)
        core = abort(target, self.folder)
        answer = self.take(core, *sysroot_options())
        self.check_header(answer, target.pid, "SIGABRT", live)
        self.check_same(live, answer)
        self.check_cut_off(core, answer)

    def check_cut_off(self, core, whole):
        """A core on a disk that ran full: what is there is shown, what is not is counted."""
        size = core.stat().st_size
        os.truncate(core, size - (48 << 10))  # of the stack, the last that is stored
        answer = self.take(core, *sysroot_options())
        self.assertTrue(answer["partial"])
        self.assertTrue(0 < answer["core"]["bytes_cut_off"] <= 48 << 10, answer["core"])
        self.assertGreater(answer["objects"], 0.9 * whole["objects"])
        self.assertIn("cut off", memsnap("summary", answer["file"]).out)
        strict = self.refused(7, "--core", core, "--require-complete", *sysroot_options())
        self.assertIn("partial", strict)
        os.truncate(core, size // 4)
        result = memsnap("snapshot", "--core", core, "-o", self.file_name(), "--json", *sysroot_options())
        if result.status == 0:
            self.assertTrue(result.json()["partial"])
            self.assertLess(result.json()["objects"], whole["objects"])
        else:
            self.assertEqual(BAD_FILE, result.status, str(result))
            self.assertIn("cut off", result.json()["message"])
        os.truncate(core, 100)
        self.assertIn("cut off", self.refused(BAD_FILE, "--core", core))

    @unittest.skipUnless(kernel_writes_files(), "core_pattern is no plain file name")
    def test_a_crash_in_a_collection_and_one_in_c(self):
        for source, name, address in ((IN_A_COLLECTION, "SIGABRT", 0), (IN_C, "SIGSEGV", 16)):
            with self.subTest(name):
                target = self.start("print('ready', flush=True)" + source)
                core = abort(target, self.folder, lambda target: target.say(b"\n"))
                answer = self.take(core, *sysroot_options())
                self.assertEqual((name, address), (answer["core"]["signal_name"], answer["core"]["fault_address"]))
                self.assertEqual(name == "SIGABRT", answer["during_collection"])
                self.assertNotIn(answer["core"]["signal_thread"], (0, target.pid))
                self.assertEqual(1000, self.types(answer["file"])["__main__.Marker"][0])
                self.check_ended_thread(answer, ["__del__", "crash"] if name == "SIGABRT" else ["string_at"])

    def check_ended_thread(self, answer, innermost):
        tid = answer["core"]["signal_thread"]
        functions = [function for function, _, _ in self.stacks(answer["file"])[tid]]
        self.assertEqual(innermost, [function.split(".")[-1] for function in functions[:len(innermost)]])
        self.assertRegex(memsnap("threads", answer["file"]).out, r"%d Thread-1.* ended by %s" % (tid, answer["core"]["signal_name"]))

    @unittest.skipUnless(kernel_writes_files() and PYTHON[0] == "chroot", "for an interpreter in a chroot, and a kernel's core")
    def test_files_of_another_root_are_asked_for_by_build_id(self):
        core = abort(self.start(SLEEPER), self.folder)
        text = self.refused(BAD_FILE, "--core", core)
        self.assertRegex(text, r"no file for \S*python\S* \(build id [0-9a-f]{16,}\)")
        self.assertIn("--sysroot", text)
        self.assertGreater(self.take(core, *sysroot_options())["objects"], 5000)

    def test_another_program_is_refused(self):
        with Target(SLEEPER) as target:
            core = gcore(target.pid, self.folder)
        text = self.refused(BAD_FILE, "--core", core, "--exe", "/bin/true")
        self.assertRegex(text, r"/bin/true is not the program of this core: it has build id [0-9a-f]+, .*python.* has build id")
        self.assertFalse(list(self.folder.glob("*.msnap")))

    @unittest.skipIf(PYTHON[0] == "chroot", "needs the interpreter's file")
    def test_a_program_that_was_replaced_is_named_and_not_used(self):
        copy = self.folder / "python3-copy"
        shutil.copy(os.path.realpath(shutil.which(PYTHON[0])), copy)
        prefix = subprocess.run([*PYTHON, "-c", "import sys; print(sys.prefix)"], stdout=subprocess.PIPE, text=True, check=True)
        with Target("import os\nos.environ\n" + SLEEPER, python=[str(copy)], prefix=["env", "PYTHONHOME=" + prefix.stdout.strip()]) as target:
            core = gcore(target.pid, self.folder)
        complete = self.take(core)
        os.remove(copy)
        shutil.copy("/bin/true", copy)
        result = memsnap("snapshot", "--core", core, "-o", self.file_name(), "--json")
        said = result.json()["message"] if result.status else " ".join(result.json()["warnings"])
        self.assertRegex(said, r"no file for \S*/python3-copy \(build id [0-9a-f]+\); \S*/python3-copy has build id")
        if result.status:  # the interpreter is in the program itself
            self.assertEqual(BAD_FILE, result.status)
        else:  # it is in libpython
            self.assertGreater(result.json()["objects"], 0.99 * complete["objects"])
        given = self.take(core, "--exe", os.path.realpath(shutil.which(PYTHON[0])))
        self.assertEqual((complete["objects"], []), (given["objects"], given["warnings"]))

    def test_what_is_no_core_of_a_python(self):
        sleeper = subprocess.Popen(["/bin/sleep", "1000"])
        try:
            time.sleep(0.2)
            core = gcore(sleeper.pid, self.folder)
        finally:
            sleeper.kill()
            sleeper.wait()
        self.assertIn("not Python", self.refused(UNSUPPORTED, "--core", core))
        data = bytearray(core.read_bytes())
        data[18:20] = struct.pack("<H", 183)  # e_machine: AArch64
        core.write_bytes(data)
        self.assertIn("another machine", self.refused(UNSUPPORTED, "--core", core))
        self.assertIn("not a core", self.refused(BAD_FILE, "--core", "/bin/true"))
        self.assertIn("not an ELF file", self.refused(BAD_FILE, "--core", __file__))
        self.assertIn("No such file", self.refused(BAD_FILE, "--core", self.folder / "none"))
        self.assertIn("not a file", self.refused(BAD_FILE, "--core", self.folder))
        self.assertIn("not a file", self.refused(BAD_FILE, "--core", "/dev/null"))

    def test_options_that_do_not_go_together(self):
        self.refused(USAGE, "--core", "core", os.getpid())
        self.refused(USAGE, os.getpid(), "--exe", "/bin/true")
        self.refused(USAGE, os.getpid(), "--sysroot", "/")
        self.refused(USAGE, "--core", "core", "--method", "stop")
        self.refused(USAGE, "--core", "core", "--dry-run")

    def test_damaged_headers_and_notes_end_in_an_answer(self):
        with Target(SLEEPER) as target:
            core = gcore(target.pid, self.folder)
        data = core.read_bytes()
        offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
        ends = offset + 56 * count
        note_at, note_size = struct.unpack_from("<Q", data, offset + 8)[0], struct.unpack_from("<Q", data, offset + 32)[0]
        chance = random.Random(8)
        for _ in range(30):
            spoiled = bytearray(data)
            for _ in range(chance.randrange(1, 20)):
                at = chance.choice((chance.randrange(64), chance.randrange(ends), note_at + chance.randrange(note_size)))
                spoiled[at] = chance.choice((0, 1, 0x7f, 0xff, chance.randrange(256)))
            core.write_bytes(spoiled)
            result = memsnap("snapshot", "--core", core, "-o", self.file_name(), "--kind", "types")
            self.assertIn(result.status, (0, UNSUPPORTED, BAD_FILE), str(result))


if __name__ == "__main__":
    harness.require_supported_python()
    if not shutil.which("gcore"):
        print("skipped: gcore is not installed (scripts/setup gets it)")
        sys.exit(77)
    harness.main()
