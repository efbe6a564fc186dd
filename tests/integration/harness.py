"""What the live tests share: targets, runs of memsnap, and what a process looks like before and after.

Environment: MEMSNAP, the program; MEMSNAP_PYTHON, the interpreter's command; both are set by ctest (tests/CMakeLists.txt).
An interpreter may run in a chroot that holds neither the checkout nor /proc: programs are handed over by -c.
"""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ROOT / "tests" / "targets"
MEMSNAP = os.environ.get("MEMSNAP", str(ROOT / "build" / "release" / "memsnap"))
PYTHON = os.environ.get("MEMSNAP_PYTHON", "/usr/bin/python3").split()
PYTHON_NAME = os.environ.get("MEMSNAP_PYTHON_NAME", "system")

# The machine may be busy with other tests: a deadline is for a hang, not for slowness.
PATIENCE = 120


class Failed(AssertionError):
    pass


def python_facts(command=None):
    """(major, minor, ...), abiflags of an interpreter."""
    text = subprocess.run([*(command or PYTHON), "-I", "-c", "import sys; print(list(sys.version_info[:3]), sys.abiflags, sep='|')"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    version, flags = text.strip().split("|")
    return tuple(json.loads(version)), flags


class Result:
    """What one run of memsnap gave."""

    def __init__(self, arguments, status, out, err, seconds):
        self.arguments, self.status, self.out, self.err, self.seconds = arguments, status, out, err, seconds

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return "memsnap %s: status %s in %.1f s\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(map(str, self.arguments)), self.status, self.seconds, self.out[:4000], self.err[:4000])


@functools.lru_cache(maxsize=None)
def copy_for_everybody():
    """The program where another user may run it: the checkout may lie in a folder that only its owner enters."""
    folder = tempfile.mkdtemp(prefix="memsnap-test-program-")
    atexit.register(shutil.rmtree, folder)
    os.chmod(folder, 0o755)
    return shutil.copy(MEMSNAP, folder)


def memsnap(*arguments, timeout=PATIENCE, prefix=(), directory=None, **popen):
    """Runs memsnap to its end. One that hangs is an error of its own, not a timeout of the whole test. `directory`: where its files are."""
    started = time.monotonic()
    program = copy_for_everybody() if "user" in popen else MEMSNAP
    command = [*prefix, program, *(["--dir", str(directory)] if directory else []), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **popen)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise Failed("memsnap %s hung for %s s\n%s\n%s" % (" ".join(map(str, arguments)), timeout, out, err)) from None
    return Result(arguments, process.returncode, out, err, time.monotonic() - started)


class Target:
    """A process that is looked at. Ended when the `with` block ends."""

    def __init__(self, program, *arguments, python=None, prefix=(), ready=b"ready", environment=None, popen=None):
        """`program`: the name of a file in tests/targets, or source text."""
        source = program
        if "\n" not in program:
            source = (TARGETS / program).read_text()
        command = [*prefix, *(python or PYTHON), "-c", source, *map(str, arguments)]
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(environment or {}))
        for name in ("PYTHONPATH", "PYTHONHOME"):
            env.pop(name, None)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0, **(popen or {}))
        self.pid = self.process.pid
        self._buffer = b""
        if ready:
            try:
                self.expect(ready)
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def line(self, timeout=PATIENCE):
        """The next line that the target prints, without its end; None when it ended."""
        deadline = time.monotonic() + timeout
        fd = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise Failed("the target said nothing for %s s" % timeout)
            got = os.read(fd, 1 << 20)
            if not got:
                return None
            self._buffer += got
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def expect(self, wanted, timeout=PATIENCE):
        line = self.line(timeout)
        if line is None or not line.startswith(wanted):
            raise Failed("the target said %r where %r was expected" % (line, wanted))
        return line[len(wanted):].strip()

    def say(self, text):
        self.process.stdin.write(text)

    def alive(self):
        return self.process.poll() is None

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def status_field(pid, name):
    for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None


def state_of(pid):
    return pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0]


def children_of(pid):
    children = []
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            children += map(int, (task / "children").read_text().split())
    return sorted(children)


def fingerprint(pid):
    """What must be the same afterwards on a target that is quiet."""
    found = {"fds": {}, "threads": {}, "children": children_of(pid), "maps": []}
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):
            found["fds"][fd] = os.readlink("/proc/%d/fd/%s" % (pid, fd))
    for task in os.listdir("/proc/%d/task" % pid):
        text = pathlib.Path("/proc/%d/task/%s/status" % (pid, task)).read_text(errors="replace")
        wanted = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "TracerPid", "Seccomp", "CapEff", "Uid")
        found["threads"][task] = {line.split(":")[0]: line.split(":")[1].strip() for line in text.splitlines()
                                  if line.split(":")[0] in wanted}
    found["maps"] = [line.split(None, 5)[:2] + line.split(None, 5)[4:] for line in
                     pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines()]
    return found


def differences(before, after):
    """Lines that name what is not the same in two fingerprints."""
    found = []
    for part in before:
        if before[part] == after[part]:
            continue
        if isinstance(before[part], dict):
            keys = sorted(set(before[part]) | set(after[part]))
            found += ["%s %s: %s -> %s" % (part, key, before[part].get(key), after[part].get(key)) for key in keys
                      if before[part].get(key) != after[part].get(key)]
        else:
            found += ["%s: gone %s" % (part, item) for item in before[part] if item not in after[part]]
            found += ["%s: new %s" % (part, item) for item in after[part] if item not in before[part]]
    return found


class LiveTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="memsnap-test-")
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)
        self._count = 0

    def file_name(self):
        self._count += 1
        return str(self.folder / ("%d.msnap" % self._count))

    def snapshot(self, pid, *options, timeout=PATIENCE, **more):
        """Takes a snapshot that must succeed; its JSON, with the name of the file."""
        result = memsnap("snapshot", pid, "-o", self.file_name(), "--json", *options, timeout=timeout, **more)
        self.assertEqual(0, result.status, str(result))
        answer = result.json()
        self.assertEqual("memsnap.snapshot/1", answer["schema"])
        answer["seconds"] = result.seconds
        answer["stderr"] = result.err
        return answer

    def types(self, file):
        """{type: (count, bytes)} of a snapshot file."""
        result = memsnap("summary", file, "--by", "type", "-n", "0", "--json")
        self.assertEqual(0, result.status, str(result))
        totals = {}
        for row in result.json()["types"]:
            count, size = totals.get(row["type"], (0, 0))
            totals[row["type"]] = (count + row["count"], size + row["size"])
        return totals


def require_supported_python():
    """A free-threaded build is refused by memsnap: a test that needs a snapshot has nothing to say about it."""
    _, flags = python_facts()
    if "t" in flags:
        print("skipped: free-threaded builds are refused (errors_test.py checks that)")
        sys.exit(77)


def main():
    """unittest.main with ctest's meaning of a skip: 77 when every test was skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(0 if result.testsRun else 1)
