# memsnap-test: timeout=600
"""memsnap run: a program is tracked from its first instruction, and otherwise runs as if memsnap were not there."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import harness  # noqa: E402
from harness import MEMSNAP, PATIENCE, PYTHON  # noqa: E402

# 1000 blocks of 3000 bytes and more from one function, 200 from the top level: line 1 is the first of user code.
EXACT = """first = [bytearray(2000) for _ in range(200)]
def work():
    return [bytearray(3000) for _ in range(1000)]
kept = work()
"""

ECHO = """
import os, signal, sys
names = ("SIGPIPE", "SIGCHLD", "SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP", "SIGUSR1")
print(repr(sys.argv[1:]), os.getcwd(), os.environ.get("RUN_TEST"), sep="|")
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
print([(name, str(signal.getsignal(getattr(signal, name)))) for name in names if name != "SIGINT"])
print(os.getpgrp() == os.getpgid(os.getppid()), os.getsid(0) == os.getsid(os.getppid()))
print(sys.stdin.read().upper())
print("to stderr", file=sys.stderr)
"""

class RunTest(harness.LiveTest):
    def run_it(self, *words, options=(), stdin=None, file=None, prefix=(), **popen):
        """Runs to the end. Returns status, stdout, stderr."""
        command = [*prefix, MEMSNAP, "run", "-o", file or self.file_name(), *options, *words]
        done = subprocess.run(command, input=stdin if stdin is not None else "", capture_output=True, text=True, timeout=PATIENCE,
                              **popen)
        return done.returncode, done.stdout, done.stderr

    def code(self, source, *arguments, **more):
        return self.run_it("--", *PYTHON, "-c", source, *arguments, **more)

    @contextlib.contextmanager
    def started(self, source, *options, file=None, command=None, **popen):
        """A program under memsnap run that has said `ready`: the process of memsnap, and the program's pid."""
        words = [MEMSNAP, "run", "-o", file or self.file_name(), *options, "--", *(command or [*PYTHON, "-c", source])]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **popen)
        pid = None
        try:
            line = process.stdout.readline().split()
            self.assertEqual("ready", line[0] if line else None, "the program said nothing")
            pid = harness.children_of(process.pid)[0]
            yield process, pid
        finally:
            for left in (process.pid, pid):
                if left is not None and (left == process.pid or process.poll() is None):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(left, signal.SIGKILL)
            with contextlib.suppress(Exception):
                process.communicate(timeout=PATIENCE)

    def lines_of(self, file, of="<string>"):
        """{line: (blocks, bytes)} that lines of one file allocated themselves."""
        result = harness.memsnap("table", file, "--allocations", "-n", "0", "--json")
        self.assertEqual(0, result.status, str(result))
        lines = {}
        for row in result.json()["rows"]:
            if row["file"].endswith(of):
                count, size = lines.get(row["line"], (0, 0))
                lines[row["line"]] = (count + row["count"], size + row["size"])
        return lines

    def wait_until(self, true, what):
        deadline = time.monotonic() + PATIENCE
        while not true():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.005)


class Transparent(RunTest):
    def test_exit_statuses(self):
        for source, wanted in (("pass", 0), ("raise SystemExit(3)", 3), ("raise SystemExit('text')", 1), ("1/0", 1),
                               ("import os; os._exit(200)", 200)):
            status, _, err = self.code(source)
            self.assertEqual(wanted, status, source + "\n" + err)
            self.assertIn("exit status %d" % wanted, err)

    def test_ended_by_signals(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT):
            status, _, err = self.code("import os; os.kill(os.getpid(), %d)" % number)
            self.assertEqual(128 + number, status, err)
            self.assertIn("ended by " + number.name, err)

    def test_everything_it_is_given_is_untouched(self):
        environment = dict(os.environ, RUN_TEST="a b")
        arguments = ["-x", "--json", "a b", "--", "-o", ""]
        plain = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *PYTHON, "-c", ECHO, *arguments], input="some text",
                               capture_output=True, text=True, env=environment, cwd=self.folder, timeout=PATIENCE, check=True)
        status, out, err = self.code(ECHO, *arguments, stdin="some text", env=environment, cwd=self.folder)
        self.assertEqual(0, status, err)
        self.assertEqual(plain.stdout, out)
        self.assertIn("to stderr\n", err)

    def test_no_descriptor_is_handed_on(self):
        source = ("import fcntl\nfound = []\nfor n in range(256):\n    try:\n        fcntl.fcntl(n, fcntl.F_GETFD)\n"
                  "        found.append(n)\n    except OSError:\n        pass\nprint(found)")
        plain = subprocess.run([*PYTHON, "-c", source], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        status, out, err = self.code(source)
        self.assertEqual((0, plain.stdout), (status, out), err)

    def test_a_signal_mask_and_ignored_signals_are_handed_on(self):
        source = ("import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, "
                  "signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []))")

        def prepare():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

        status, out, err = self.code(source, preexec_fn=prepare)
        self.assertEqual((0, "True True\n"), (status, out), err)

    def test_quiet_says_nothing(self):
        status, out, err = self.code("print('hello')", options=("-q",))
        self.assertEqual((0, "hello\n", ""), (status, out, err))


class Forms(RunTest):
    def test_script_and_module(self):
        if PYTHON[0] == "chroot":
            self.skipTest("--python names one program")
        (self.folder / "app.py").write_text(EXACT + "import sys; print(sys.argv[1:])\n")
        for words in (("app.py", "--help", "-m"), ("-m", "app", "--help", "-m")):
            file = self.file_name()
            status, out, err = self.run_it(*words, options=("--python", PYTHON[0]), file=file, cwd=self.folder)
            self.assertEqual((0, "['--help', '-m']\n"), (status, out), err)
            own = self.lines_of(file, "app.py")
            self.assertGreaterEqual(own[3][1], 1000 * 3000)

    def test_failures_of_memsnap_itself(self):
        folder = str(self.folder)
        plain = self.folder / "plain"
        plain.write_text("no program")
        for words, wanted in ((("--", folder + "/missing"), 127), (("--", "no-such-program-anywhere"), 127), (("--", str(plain)), 126),
                              (("--", folder), 126), ((), 125), (("--no-such-option", "x.py"), 125), (("--sample", "0", "x.py"), 125),
                              (("--json", "x.py"), 125), (("--snapshot-on-signal", "KILL", "x.py"), 125)):
            status, out, err = self.run_it(*words)
            self.assertEqual((wanted, ""), (status, out), err)
            self.assertTrue(err.startswith("memsnap: "), err)
            self.assertEqual([], list(self.folder.glob("*.msnap")))
        taken = self.file_name()
        pathlib.Path(taken).write_text("precious")
        status, out, _ = self.code("print('never')", file=taken)
        self.assertEqual((125, "", "precious"), (status, out, pathlib.Path(taken).read_text()))

    def test_a_command_that_is_not_python(self):
        file = self.file_name()
        status, out, err = self.run_it("--", "sh", "-c", "echo one; exit 9", file=file)
        self.assertEqual((9, "one\n"), (status, out))
        self.assertIn("not tracked", err)
        self.assertFalse(pathlib.Path(file).exists())

    def test_a_wrapper_that_becomes_python(self):
        wrapper = self.folder / "wrapper"
        wrapper.write_text("#!/bin/sh\nsleep 0.1\nexec /usr/bin/env \"$@\"\n")
        wrapper.chmod(0o755)
        file = self.file_name()
        status, _, err = self.run_it("--", str(wrapper), *PYTHON, "-c", EXACT, file=file)
        self.assertEqual(0, status, err)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[3][1], 1000 * 3000)

    def test_json_report(self):
        file = self.file_name()
        report = self.folder / "report.json"
        status, out, _ = self.code(EXACT + "raise SystemExit(4)", options=("--json", "--report", str(report)), file=file)
        self.assertEqual((4, ""), (status, out))
        answer = json.loads(report.read_text())
        self.assertEqual("memsnap.capture/1", answer["schema"])
        self.assertEqual((file, True, 4, None), (answer["file"], answer["tracked"], answer["exit_status"], answer["signal"]))
        self.assertEqual([], answer["left_behind"])
        self.assertTrue(answer["from_start"])
        self.assertGreaterEqual(answer["bytes"], 1000 * 3000 + 200 * 2000)

    def test_reports_on_a_file_without_objects(self):
        file = self.file_name()
        self.assertEqual(0, self.code(EXACT, file=file)[0])
        other = self.file_name()
        self.assertEqual(0, self.code(EXACT, file=other)[0])
        for command in (("summary",), ("summary", "--by", "function"), ("tree",), ("tree", "--allocations"), ("table",), ("stats",),
                        ("info",)):
            result = harness.memsnap(*command, file)
            self.assertEqual(0, result.status, str(result))
        result = harness.memsnap("diff", file, other)
        self.assertEqual(0, result.status, str(result))
        for command in (("objects",), ("roots", "--largest"), ("threads",)):
            result = harness.memsnap(*command, file)
            self.assertNotIn(result.status, (0, 70), str(result))


class Exactness(RunTest):
    def test_nothing_of_user_code_is_missing(self):
        """Blocks that pymalloc passes on to malloc: as many and as large as the program asked for, no fewer."""
        file = self.file_name()
        status, _, err = self.code("exec(compile(%r, 'user.py', 'exec'))" % EXACT, file=file)
        self.assertEqual(0, status, err)
        own = self.lines_of(file, "user.py")
        # A bytearray of N bytes is one block of N + 1 (from 3.15 on with the header of a bytes object); the list grows
        # by reallocations of its own.
        for line, count, size in ((1, 200, 2000), (3, 1000, 3000)):
            blocks, total = own[line]
            self.assertGreaterEqual(blocks, count)
            self.assertLessEqual(blocks, count + 40)
            self.assertGreaterEqual(total, count * (size + 1))
            self.assertLessEqual(total, count * (size + 64) + 40 * 8 * 1200)

    def test_python_objects_by_line(self):
        """With CPython's own domains: each small object."""
        source = ("import sys\n"
                  "kept = []\n"
                  "class Node:\n    __slots__ = ('a',)\n"
                  "def make(n):\n"
                  "    return [Node() for _ in [None] * n]\n"
                  "kept.append(make(5000))\n")
        source = "exec(compile(%r, 'user.py', 'exec'))" % source
        file = self.file_name()
        status, _, err = self.code(source, options=("--allocators", "malloc,python,mmap"), file=file)
        self.assertEqual(0, status, err)
        blocks, _ = self.lines_of(file, "user.py")[6]
        self.assertGreaterEqual(blocks, 5000)
        self.assertLessEqual(blocks, 5000 + 100)

    def test_imported_modules_threads_and_forks(self):
        (self.folder / "other.py").write_text("top = [bytearray(4000) for _ in range(50)]\n")
        source = """
import os, sys, threading
sys.path.insert(0, %r)
module = os.environ.get("RUN_MODULE")
namespace = {}
exec(compile(module, "other.py", "exec"), namespace)
def threaded():
    kept.append([bytearray(6000) for _ in range(30)])
kept = []
threads = [threading.Thread(target=threaded) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
pid = os.fork()
if pid == 0:
    more = [bytearray(7000) for _ in range(1000)]
    os._exit(0)
os.waitpid(pid, 0)
""" % str(self.folder)
        file = self.file_name()
        environment = dict(os.environ, RUN_MODULE=(self.folder / "other.py").read_text())
        status, _, err = self.code(source, file=file, env=environment)
        self.assertEqual(0, status, err)
        self.assertGreaterEqual(self.lines_of(file, "other.py")[1][0], 50)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[8][0], 90)
        self.assertLess(own.get(16, (0, 0))[0], 100)

    def test_becoming_another_program_ends_tracking(self):
        source = EXACT + "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(\"second\"); raise SystemExit(6)'])\n"
        file = self.file_name()
        status, out, err = self.code(source, file=file)
        self.assertEqual((6, "second\n"), (status, out), err)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[3][1], 1000 * 3000)

    def test_without_debug_registers(self):
        file = self.file_name()
        source = "import time; time.sleep(1)\n" + EXACT
        status, _, err = self.code(source, options=("--no-debug-registers",), file=file)
        self.assertEqual(0, status, err)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[4][1], 1000 * 3000)


# Blocked, so that none comes between two steps of the program.
BLOCKING = ("import signal, sys, time\nthese = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, these)\nprint('ready', flush=True)\ngot = signal.sigwait(these)\n")
WAITING = "import sys, time\nprint('ready', flush=True)\n"


class Signals(RunTest):
    def test_ctrl_c_is_the_programs(self):
        """It gets it once, from the terminal alone, and memsnap waits for what it makes of it."""
        with self.started(BLOCKING + "time.sleep(0.3)\nsys.exit(99 if signal.sigpending() else 42)\n",
                          start_new_session=True) as (process, _):
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            self.assertEqual(42, process.returncode, err)
            self.assertIn("saved", err)

    def test_sigterm_and_sighup_are_sent_on(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            with self.started(BLOCKING + "sys.exit(100 + got)\n") as (process, _):
                process.send_signal(number)
                _, err = process.communicate(timeout=PATIENCE)
                self.assertEqual(100 + number, process.returncode, err)

    def test_a_program_that_stops_itself(self):
        source = "import os, signal\n" + WAITING + "os.kill(os.getpid(), signal.SIGSTOP)\nsys.exit(5)\n"
        with self.started(source) as (process, pid):
            self.wait_until(lambda: harness.state_of(pid) == "T", "it did not stop")
            time.sleep(0.2)
            self.assertEqual("T", harness.state_of(pid))
            os.kill(pid, signal.SIGCONT)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(5, process.returncode)

    def test_a_command_stopped_before_it_is_python(self):
        """A stop is a stop also while memsnap still traces the command."""
        command = ["sh", "-c", 'echo ready; kill -STOP $$; exec "$@"', "sh", *PYTHON, "-c", EXACT + "raise SystemExit(8)"]
        file = self.file_name()
        with self.started("", command=command, file=file) as (process, pid):
            self.wait_until(lambda: harness.state_of(pid) in "tT", "it did not stop")
            time.sleep(0.2)
            self.assertIn(harness.state_of(pid), "tT")
            os.kill(pid, signal.SIGCONT)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(8, process.returncode)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[3][1], 1000 * 3000)

    def test_ctrl_z_stops_both(self):
        with self.started(WAITING + "time.sleep(0.5)\nsys.exit(3)\n", start_new_session=True) as (process, pid):
            # An orphaned process group is not stopped by SIGTSTP of a terminal, but memsnap stops itself.
            os.kill(process.pid, signal.SIGTSTP)
            self.wait_until(lambda: harness.state_of(process.pid) == "T", "memsnap did not stop")
            os.kill(process.pid, signal.SIGCONT)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(3, process.returncode)

    def test_snapshots_on_a_signal(self):
        file = self.file_name()
        source = ("class Marked:\n    pass\nkept = [Marked() for _ in range(123)]\nbig = [bytearray(5000) for _ in range(10)]\n" + WAITING
                  + "sys.stdin.readline()\n")
        with self.started(source, "--snapshot-on-signal", "USR1", file=file) as (process, _):
            for number in (1, 2):
                process.send_signal(signal.SIGUSR1)
                snapshot = pathlib.Path(file[:-len(".msnap")] + "-%d.msnap" % number)
                self.wait_until(snapshot.exists, "there is no snapshot")
                self.assertEqual(123, self.types(snapshot)["__main__.Marked"][0])
            _, err = process.communicate("\n", timeout=PATIENCE)
            self.assertEqual(0, process.returncode, err)
        own = self.lines_of(file)
        self.assertGreaterEqual(own[4][1], 10 * 5000)


class AtExit(RunTest):
    SOURCE = """
import atexit, threading, time
class Marked:
    pass
class Late:
    pass
late = []
kept = {number: Marked() for number in range(321)}
big = [bytearray(5000) for _ in range(10)]
def at_exit():
    late.extend(Late() for _ in range(77))
atexit.register(at_exit)
threading.Thread(target=lambda: (time.sleep(0.05), late.extend(Late() for _ in range(3)))).start()
"""

    def test_the_objects_before_anything_is_torn_down(self):
        for options in ((), ("--allocators", "malloc,python,mmap"), ("--sample", "64KiB")):
            file = self.file_name()
            status, _, err = self.code(self.SOURCE + "raise SystemExit(9)", options=("--snapshot-at-exit", *options), file=file)
            self.assertEqual(9, status, err)
            types = self.types(file)
            self.assertEqual((321, 80), (types["__main__.Marked"][0], types["__main__.Late"][0]), err)
            held = harness.memsnap("roots", file, "--type", "__main__.Marked", "--json")
            self.assertEqual(0, held.status, str(held))
            self.assertIn("__main__", held.out)
            if not options:
                own = self.lines_of(file)
                self.assertGreaterEqual(own[9][1], 10 * 5000)

    def test_other_ways_to_end_have_no_such_moment(self):
        for source, wanted in (("import os; os._exit(4)", 4), ("import os; os.kill(os.getpid(), 9)", 137)):
            file = self.file_name()
            status, _, err = self.code(self.SOURCE + "time.sleep(0.1)\n" + source, options=("--snapshot-at-exit",), file=file)
            self.assertEqual(wanted, status)
            self.assertIn("no snapshot at exit", err)
            self.assertGreaterEqual(self.lines_of(file)[9][1], 10 * 5000)

    def test_a_killed_memsnap_does_not_hold_it_up_for_ever(self):
        if PYTHON[0] == "chroot":
            self.skipTest("the program writes a file")
        done = self.folder / "done"
        source = WAITING + "sys.stdin.readline()\nopen(sys.argv[1], 'w').write('done')\n"
        with self.started("", "--snapshot-at-exit", command=[*PYTHON, "-c", source, str(done)]) as (process, pid):
            process.kill()
            process.wait(timeout=PATIENCE)
            process.stdin.write("\n")
            process.stdin.flush()
            self.wait_until(lambda: not pathlib.Path("/proc/%d" % pid).exists() or harness.state_of(pid) in "ZX", "it did not end")
            self.assertEqual("done", done.read_text())


class Untraced(RunTest):
    def test_nobody_traces_it_once_it_runs(self):
        with self.started(WAITING + "sys.stdin.readline()\n") as (process, pid):
            self.assertEqual("0", harness.status_field(pid, "TracerPid"))
            registers = subprocess.run([sys.executable, "-c", PEEK, str(pid)], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual("0 0\n", registers.stdout, registers.stderr)
            process.communicate("\n", timeout=PATIENCE)
            self.assertEqual(0, process.returncode)

    def test_killed_memsnap_leaves_a_healthy_program(self):
        source = WAITING + ("kept = [bytearray(3000) for _ in range(1000)]\nsys.stdin.readline()\n"
                            "kept = [bytearray(3000) for _ in range(1000)]\nopen(sys.argv[1], 'w').write('done')\n")
        if PYTHON[0] == "chroot":
            self.skipTest("the program writes a file")
        done = self.folder / "done"
        with self.started("", command=[*PYTHON, "-c", source, str(done)]) as (process, pid):
            process.kill()
            process.wait(timeout=PATIENCE)
            process.stdin.write("\n")
            process.stdin.flush()
            self.wait_until(lambda: done.exists() and done.read_text() == "done", "the program did not go on")

    def test_killed_at_any_time_of_the_start(self):
        """It never began, or it goes on to its end: nothing stays stopped or dies halfway through its work."""
        if PYTHON[0] == "chroot":
            self.skipTest("the program writes a file")
        source = "import os, sys\nopen(sys.argv[1], 'a').write('began\\n')\nopen(sys.argv[1], 'a').write('ended\\n')\n"
        began = 0
        for step in range(40):
            log = self.folder / ("log%d" % step)
            process = subprocess.Popen([MEMSNAP, "run", "-o", self.file_name(), "--", *PYTHON, "-c", source, str(log)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(step * 0.002)
            pids = harness.children_of(process.pid) if process.poll() is None else []
            process.kill()
            process.wait(timeout=PATIENCE)
            for pid in pids:
                self.wait_until(lambda pid=pid: not pathlib.Path("/proc/%d" % pid).exists() or harness.state_of(pid) in "ZX",
                                "it did not end")
            text = log.read_text() if log.exists() else ""
            self.assertIn(text, ("", "began\nended\n"))
            began += bool(text)
        self.assertLess(began, 40, "no run was killed before it began")


# Debug registers 7 and 0 of a process, seen by a tracer of its own.
PEEK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
ATTACH, DETACH, PEEKUSER, DEBUG = 16, 17, 3, 848
assert libc.ptrace(ATTACH, pid, None, None) == 0, os.strerror(ctypes.get_errno())
os.waitpid(pid, 0)
print(libc.ptrace(PEEKUSER, pid, DEBUG + 7 * 8, None), libc.ptrace(PEEKUSER, pid, DEBUG, None))
libc.ptrace(DETACH, pid, None, None)
"""

if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
