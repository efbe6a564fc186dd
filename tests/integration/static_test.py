# memsnap-test: once
"""The program as a single file: it needs nothing of the root it runs in, and finds what the dynamic one finds."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import harness
from harness import PYTHON, Target, differences, fingerprint, memsnap

STATIC = pathlib.Path(os.environ.get("MEMSNAP_BUILD", harness.ROOT / "build" / "release")) / "static" / "memsnap"
STATIC_TARGET = STATIC.parents[1] / "bin" / "static_target"
BULLSEYE = pathlib.Path(os.environ.get("MEMSNAP_PYTHONS_DIR", pathlib.Path.home() / ".cache/memsnap/pythons")) / "bullseye"
NO_SUCH_PROCESS, UNSUPPORTED = 3, 5

# Allocates all the time and keeps the same: what it has mapped stays as it is.
PROGRAM = """
import os, threading, time
class Entry:
    def __init__(self, number):
        self.number, self.text = number, "entry %d" % number
KEPT = [Entry(number) for number in range(5000)]
def work():
    while True:
        made = [bytes(700 + number) for number in range(20)]
        time.sleep(0.005)
def begin():
    for _ in range(100):
        made = [bytes(700 + number) for number in range(20)]
begin()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
os.write(1, b"ready\\n")
os.read(0, 1)
os._exit(7)
"""

# A mount namespace of its own: what is mounted there is seen by nobody else, and goes with its last process.
HOLDER = 'set -e; mount --make-rprivate /; %s; echo mounted; exec cat >/dev/null'


class Root:
    """A root folder with the program at /mnt/memsnap, /proc, and whatever is bound into it."""

    def __init__(self, test, folder, binds=()):
        self.folder = pathlib.Path(folder)
        steps = ['mount -t tmpfs none "$1/mnt"', 'cp "$2" "$1/mnt/memsnap"', 'mount -t proc none "$1/proc"']
        steps += ['mount --bind %s "$1"%s' % (source, source) for source in binds]
        self.holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", HOLDER % "; ".join(steps), "sh", self.folder, STATIC],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        test.addCleanup(self.holder.communicate)
        if self.holder.stdout.readline() != b"mounted\n":
            raise harness.Failed("cannot mount what the root needs")
        self.enter = ["nsenter", "--mount=/proc/%d/ns/mnt" % self.holder.pid, "/usr/sbin/chroot", str(self.folder)]

    def memsnap(self, *arguments):
        """As harness.memsnap, with an environment that names no home."""
        command = [*self.enter, "/mnt/memsnap", *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env={"LANG": "C"},
                              timeout=harness.PATIENCE)
        return harness.Result(arguments, done.returncode, done.stdout, done.stderr, 0)


def shared_files(program):
    """The loader and libraries of a program, with the names it knows them by."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def copy_interpreter(root):
    """Debian's interpreter alone, for a root with nothing else; the standard library is bound."""
    program = pathlib.Path(PYTHON[0]).resolve()
    for source in (str(program), *shared_files(program)):
        (root / source[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / source[1:])
    library = "/usr/lib/%s" % program.name
    (root / library[1:]).mkdir(parents=True)
    return str(program), library


class StaticTest(harness.LiveTest):
    def check_sessions(self, root, target):
        """Snapshot, reports, tracking, a session that goes on and its end, all by the program in the root."""
        before = fingerprint(target.pid)

        def run(*arguments):
            result = root.memsnap(*arguments, "--json")
            self.assertEqual(0, result.status, str(result))
            return result.json()

        taken = run("snapshot", target.pid, "-o", "/mnt/a.msnap")
        self.assertTrue(taken["consistent"])
        [entry] = [row for row in run("summary", "/mnt/a.msnap", "-n", "0")["types"] if row["type"] == "__main__.Entry"]
        self.assertEqual(5000, entry["count"])
        self.assertEqual([], differences(before, fingerprint(target.pid)))

        tracked = run("attach", target.pid, "--for", "1s", "--sample", "1", "-o", "/mnt/b.msnap", "--require-tracking", "--allocators", "malloc,python")
        self.assertEqual((True, []), (tracked["tracked"], tracked["left_behind"]))
        self.assertGreater(tracked["allocations"], 0)
        functions = {row["function"].split(".")[-1] for row in run("summary", "/mnt/b.msnap", "--by", "function", "-n", "0")["functions"]}
        self.assertIn("work", functions)

        self.assertEqual(0, root.memsnap("attach", target.pid, "--background", "-o", "/mnt/c.msnap").status)
        self.assertNotEqual([], [line for line in differences(before, fingerprint(target.pid)) if "memfd:memsnap" in line])
        run("detach", target.pid)
        self.assertEqual("it was asked to end", run("info", "/mnt/c.msnap")["tracking"]["end"])
        self.assertEqual([], differences(before, fingerprint(target.pid)))
        target.say(b"x")
        self.assertEqual(7, target.process.wait(timeout=harness.PATIENCE))

    def empty_root(self, binds=()):
        folder = self.folder / "root"
        for name in ("proc", "mnt"):
            (folder / name).mkdir(parents=True)
        return Root(self, folder, binds)

    def test_there_is_no_loader_and_no_library(self):
        headers = subprocess.run(["readelf", "--program-headers", "--dynamic", "--wide", STATIC], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertNotIn("INTERP", headers)
        self.assertNotIn("NEEDED", headers)

    def test_it_finds_what_the_dynamic_one_finds(self):
        def said(program, *arguments):
            done = subprocess.run([program, *map(str, arguments), "--json", "-q"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
            self.assertEqual(0, done.returncode, done.stdout)
            return json.loads(done.stdout)

        with Target("import os\nKEPT = [str(n) for n in range(5000)]\nos.write(1, b'ready\\n')\nos.read(0, 1)\n") as target:
            programs = (harness.MEMSNAP, STATIC)
            before = fingerprint(target.pid)
            for number, program in enumerate(programs):
                said(program, "snapshot", target.pid, "-o", self.folder / ("%d.msnap" % number))
            self.assertEqual(*(self.types(self.folder / ("%d.msnap" % number)) for number in range(2)))
            self.assertEqual(*(said(program, "summary", self.folder / "0.msnap", "-n", "0") for program in programs))
            self.assertEqual(*(said(program, "tree", self.folder / "0.msnap") for program in programs))
            # The C library's symbols and unwind tables are read by libdw and libunwind, users by the C library.
            stacks = [[[frame.get("function") for frame in thread["frames"]] for thread in said(program, "threads", target.pid, "--native")["threads"]]
                      for program in programs]
            self.assertTrue(any(stacks[0]))
            self.assertEqual(*stacks)
            users = [[row["user"] for row in said(program, "ps")["processes"] if row["pid"] == target.pid] for program in programs]
            self.assertEqual(1, len(users[0]))
            self.assertEqual(*users)
            self.assertEqual([], differences(before, fingerprint(target.pid)))

    def test_an_error_is_a_message_and_a_code(self):
        done = subprocess.run([STATIC, "snapshot", "4194304"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((NO_SUCH_PROCESS, ""), (done.returncode, done.stdout))
        self.assertTrue(done.stderr.startswith("memsnap: "), done.stderr)

    def test_in_a_root_with_nothing_but_a_static_program(self):
        root = self.empty_root()
        shutil.copy(STATIC_TARGET, root.folder)
        target = subprocess.Popen([*root.enter, "/static_target"])
        self.addCleanup(target.wait)
        self.addCleanup(target.kill)
        deadline = time.monotonic() + harness.PATIENCE
        while not os.readlink("/proc/%d/exe" % target.pid).endswith("static_target"):  # nsenter and chroot come first
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        self.assertEqual(UNSUPPORTED, root.memsnap("snapshot", target.pid, "-o", "/mnt/a.msnap").status)
        self.assertIsNone(target.poll())

    def test_in_an_empty_root_with_an_interpreter(self):
        (self.folder / "root").mkdir()
        python, library = copy_interpreter(self.folder / "root")
        root = self.empty_root([library])
        with Target(PROGRAM, python=[python, "-I", "-S"], prefix=root.enter) as target:
            self.check_sessions(root, target)

    def test_from_an_empty_root_a_process_outside(self):
        with Target(PROGRAM) as target:
            self.check_sessions(self.empty_root(), target)

    def test_in_debian_11_a_process_inside(self):
        self.require_bullseye()
        root = Root(self, BULLSEYE)
        with Target(PROGRAM, python=["/usr/bin/python3.9"], prefix=root.enter) as target:
            self.check_sessions(root, target)

    def test_in_debian_11_a_process_outside(self):
        self.require_bullseye()
        with Target(PROGRAM) as target:
            self.check_sessions(Root(self, BULLSEYE), target)

    def require_bullseye(self):
        if not (BULLSEYE / "usr/bin/python3.9").exists():
            self.skipTest("Debian 11 is not on this machine (scripts/pythons bullseye)")


if __name__ == "__main__":
    if not STATIC.exists():
        print("skipped: the static program is not built (cmake --preset static)")
        sys.exit(77)
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: needs root, and mount namespaces")
        sys.exit(77)
    harness.main()
