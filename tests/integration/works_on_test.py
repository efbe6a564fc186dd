# memsnap-test: timeout=900
"""A snapshot works in every state a process may be in, and the process goes on as if nothing had been.

Each target keeps 1000 objects of its own class: a snapshot that does not hold exactly these has not seen the heap.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import harness
from harness import TARGETS, Target, children_of, differences, fingerprint, state_of, status_field

CONFINED = ["/usr/bin/python3", str(TARGETS / "confined.py")]


class State(Target):
    """A target in one of the states of tests/targets/states.py, with a file in which it counts its progress."""

    def __init__(self, mode, settle=0.3, **more):
        self._progress = tempfile.TemporaryFile()
        fd = self._progress.fileno()
        super().__init__("states.py", mode, fd, popen=dict(more.pop("popen", {}), pass_fds=(fd,)), **more)
        time.sleep(settle)  # from "ready" into the state

    def close(self):
        super().close()
        self._progress.close()

    def progress(self):
        text = os.pread(self._progress.fileno(), 20, 0)
        return int(text) if text else 0

    def ask(self, word):
        self.say(word.encode() + b"\n")
        return self.expect(word.encode()).decode()


def processor_ticks(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def wait_until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise harness.Failed("waited %d s for: %s" % (seconds, what))
        time.sleep(0.05)


class StateTest(harness.LiveTest):
    def take(self, pid, *options, methods=("freeze",), markers=1000, **more):
        """A snapshot with the target's own objects in it, taken in reasonable time."""
        answer = self.snapshot(pid, *options, **more)
        print("%s %s: %s" % (harness.PYTHON_NAME, self.id().split(".")[-1], {key: answer[key] for key in (
            "method", "pause_ms", "walk_ms", "objects", "unreadable", "skipped", "partial", "seconds")}), file=sys.stderr)
        self.assertEqual((markers, True), (self.types(answer["file"]).get("__main__.Marker", (0, 0))[0], answer["consistent"]))
        self.assertIn(answer["method"], methods)
        return answer

    def check_quiet(self, mode, **more):
        """A target that does nothing is the same afterwards to the last detail, and answers."""
        with State(mode, **more) as target:
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.check_answers(target)
            target.say(b"go\n")
            target.expect(b"went on")

    def check_answers(self, target, signals="[]"):
        self.assertEqual("True", target.ask("check"))
        self.assertEqual(signals, target.ask("signals"))
        self.assertEqual("none", target.ask("children"))


class WorksOn(StateTest):
    def test_waiting_for_a_pipe(self):
        self.check_quiet("waiting")

    def test_sleeping(self):
        with State("sleeping") as target:
            self.take(target.pid)
            slept = float(target.expect(b"slept"))
            self.assertGreaterEqual(slept, 4.999)
            self.assertLess(slept, 8)
            self.check_answers(target)

    def test_computing(self):
        with State("computing") as target:
            for _ in range(3):
                self.take(target.pid)
            target.say(b"x")
            target.expect(b"checksums equal")

    def test_many_threads_allocating(self):
        with State("allocating") as target:
            for _ in range(3):
                before = target.progress()
                self.take(target.pid)
                wait_until(lambda: target.progress() > before, "the threads to go on")
            target.say(b"\n")
            target.expect(b"threads right")

    def test_blocked_in_recv(self):
        with State("receiving") as target:
            self.take(target.pid)
            self.check_answers(target)
            target.say(b"go\n")
            target.expect(b"received telegram")

    def test_deadlocked(self):
        with State("deadlocked") as target:
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.assertEqual("S", state_of(target.pid))

    def check_still_computes(self, mode, settle=0.3):
        with State(mode, settle=settle) as target:
            self.take(target.pid)
            before = processor_ticks(target.pid)
            wait_until(lambda: processor_ticks(target.pid) > before + 5, "the target to compute on")
            self.assertEqual([], children_of(target.pid))

    def test_catastrophic_regular_expression(self):
        self.check_still_computes("regex")

    def test_holding_the_gil_in_c(self):
        with State("holding_gil") as target:
            self.take(target.pid)
            target.expect(b"left 0")
            self.check_answers(target)

    def test_collecting_for_ever(self):
        with State("collecting") as target:
            for _ in range(3):
                before = target.progress()
                self.take(target.pid)
                wait_until(lambda: target.progress() > before, "the collections to go on")

    def test_blocked_in_a_finalizer_inside_a_collection(self):
        with State("blocking_del") as target:
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))

    def test_stopped_by_a_signal(self):
        with State("waiting") as target:
            target.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state_of(target.pid) == "T", "the target to stop")
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.assertEqual("T", state_of(target.pid))
            target.process.send_signal(signal.SIGCONT)
            self.check_answers(target)

    def test_two_hundred_threads(self):
        self.check_quiet("threads200")

    def test_children_of_its_own(self):
        with State("with_children") as target:
            self.take(target.pid)
            self.take(target.pid)
            target.expect(b"waited True 7")
            self.check_answers(target, signals=str([int(signal.SIGCHLD)]))

    def test_signal_in_flight(self):
        """Signals sent while snapshots are taken arrive, each of them."""
        with State("waiting") as target:
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
                target.process.send_signal(number)
                self.take(target.pid)
            got = sorted(map(int, target.ask("signals").strip("[]").split(",")))
            self.assertEqual(sorted([signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP]), got)

    def test_another_user(self):
        if os.getuid() != 0:
            self.skipTest("needs root")
        with State("other_user") as target:
            self.assertEqual("65534", status_field(target.pid, "Uid").split()[0])
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.check_answers(target)


class Confined(StateTest):
    """In namespaces, a chroot, or under a filter."""

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("needs root")

    def check_answers(self, target, signals="[]"):
        self.assertEqual("True", target.ask("check"))
        self.assertEqual(signals, target.ask("signals"))

    def inner_pid(self, target):
        """unshare(1) forks: the interpreter is its child."""
        wait_until(lambda: children_of(target.pid), "unshare to start the interpreter")
        return children_of(target.pid)[0]

    def test_other_pid_and_mount_namespace(self):
        with State("waiting", prefix=["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]) as target:
            inner = self.inner_pid(target)
            before = fingerprint(inner)
            self.take(inner)
            self.assertEqual([], differences(before, fingerprint(inner)))
            self.check_answers(target)

    def test_chroot_without_proc(self):
        with tempfile.TemporaryDirectory() as root:
            script = 'mount --make-rprivate / && mount --bind / "$0" && exec chroot "$0" "$@"'
            if harness.PYTHON[0] == "chroot":  # it has a root of its own, with no /proc in it
                prefix = []
            else:
                prefix = ["unshare", "--mount", "sh", "-c", script, root]
            with State("waiting", prefix=prefix) as target:
                self.assertEqual([], os.listdir(os.path.join("/proc/%d" % target.pid, "root", "proc")))
                before = fingerprint(target.pid)
                self.take(target.pid)
                self.assertEqual([], differences(before, fingerprint(target.pid)))
                self.check_answers(target)

    def test_dockers_filter_seen_from_outside(self):
        with State("waiting", prefix=[*CONFINED, "docker", "docker"]) as target:
            self.assertEqual("2", status_field(target.pid, "Seccomp"))
            before = fingerprint(target.pid)
            self.take(target.pid)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.check_answers(target)

    def test_dockers_filter_with_memsnap_inside_it_too(self):
        with State("waiting", prefix=[*CONFINED, "docker", "docker"]) as target:
            before = fingerprint(target.pid)
            self.take(target.pid, prefix=[*CONFINED, "docker", "docker"], methods=("freeze", "stop"))
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            self.check_answers(target)

    def test_filter_that_kills_at_a_clone(self):
        """Seen by root, who may suspend the filter, and by one who may not: then without a clone."""
        with State("waiting", prefix=[*CONFINED, "kill-clone", "all"]) as target:
            self.take(target.pid, methods=("freeze", "stop"))
            self.check_answers(target)
        with State("waiting", prefix=[*CONFINED, "kill-clone", "docker"]) as target:
            self.take(target.pid, prefix=[*CONFINED, "docker", "docker"], methods=("stop",))
            self.check_answers(target)


class Harmless(StateTest):
    def test_killed_memsnap_leaves_the_target_well(self):
        """SIGKILL at random moments; the next memsnap reaps what was left."""
        import random
        chance = random.Random(7)
        with State("allocating") as target:
            took = self.take(target.pid)["seconds"]
            for _ in range(int(os.environ.get("MEMSNAP_KILLS", "15"))):
                process = subprocess.Popen([harness.MEMSNAP, "snapshot", str(target.pid), "-o", self.file_name(), "-q"],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(chance.uniform(0, took))
                process.kill()
                process.wait()
                before = target.progress()
                wait_until(lambda: target.progress() > before, "the threads to go on after memsnap was killed")
                self.assertNotIn(state_of(target.pid), "tT")
            self.take(target.pid)
            wait_until(lambda: not children_of(target.pid), "the last memsnap to have reaped what was left", 5)
            target.say(b"\n")
            target.expect(b"threads right")


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
