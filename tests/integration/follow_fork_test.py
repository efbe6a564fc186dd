# memsnap-test: timeout=300
"""memsnap attach --follow-fork: the children of a process that forks are tracked too, each into a capture of its own."""

import json
import os
import pathlib
import signal
import subprocess
import time

import harness
from background_harness import BackgroundTest, alive, no_trace, traces, wait_until
from harness import MEMSNAP, Target, memsnap

# A server with preloaded workers: forks when it is told to. Each worker allocates in a function of its own.
MASTER = """
import os, signal, sys, time
KEPT = []
def worker_0():
    KEPT.append(bytearray(30000))
def worker_1():
    KEPT.append(bytearray(30000))
def worker_2():
    KEPT.append(bytearray(30000))
def worker_3():
    KEPT.append(bytearray(30000))
def fork(work):
    pid = os.fork()
    if pid == 0:
        parent = os.getppid()
        while os.getppid() == parent:
            work()
            time.sleep(0.01)
        os._exit(0)
    return pid
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.write(1, b"ready\\n")
while True:
    command = os.read(0, 1)
    if command == b"f":
        print("forked", *[fork(work) for work in (worker_0, worker_1, worker_2, worker_3)], flush=True)
    elif command == b"n":  # grandchildren
        pid = os.fork()
        if pid == 0:
            time.sleep(1)
            print("forked", os.getpid(), fork(worker_1), flush=True)
            parent = os.getppid()
            while os.getppid() == parent:
                worker_0()
                time.sleep(0.01)
            os._exit(0)
    elif command == b"e":  # children that end, or run another program, at once
        for _ in range(10):
            if os.fork() == 0:
                os._exit(0)
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", "0.2"])
        print("forked", flush=True)
    else:
        os._exit(7)
"""


class FollowFork(BackgroundTest):
    def setUp(self):
        super().setUp()
        self.start_target(MASTER)

    def fork(self, command):
        self.target.say(command)
        return [int(pid) for pid in self.target.expect(b"forked").split()]

    def start(self, *options):
        session = subprocess.Popen([MEMSNAP, "attach", str(self.pid), "--follow-fork", "--sample", "1", "--for", "10m", "--json",
                                    "-f", "-o", self.folder / "session.msnap", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(session.stdout.close)
        self.addCleanup(session.stderr.close)
        self.addCleanup(session.wait)
        self.addCleanup(session.kill)
        wait_until(lambda: traces(self.pid), "the tracking")
        return session

    def file_of(self, pid):
        return str(self.folder / ("session-%d.msnap" % pid))

    def wait_until_tracked(self, pids):
        for pid in pids:
            wait_until(lambda pid=pid: traces(pid), "the tracking of child %d" % pid)
        time.sleep(0.3)

    def check_captures(self, workers):
        """{pid: its function}: each capture shows the allocations of its own worker only."""
        groups = set()
        for pid, function in workers.items():
            rows = memsnap("summary", self.file_of(pid), "--by", "function", "--leaks", "-n", "0", "--json").json()["functions"]
            found = {row["function"] for row in rows if row["function"].startswith("worker_")}
            self.assertEqual({function}, found)
            self.assertGreater([row["own"] for row in rows if row["function"] == function][0], 30000)
            info = memsnap("info", self.file_of(pid), "--json").json()
            self.assertEqual(pid, info["target"]["pid"])
            groups.add(info["tracking"]["group"])
        groups.add(memsnap("info", self.folder / "session.msnap", "--json").json()["tracking"]["group"])
        self.assertEqual(1, len(groups))
        self.assertNotIn(None, groups)

    def check_clean(self, pids):
        for pid in [self.pid, *pids]:
            self.assertTrue(no_trace(pid), pathlib.Path("/proc/%d/maps" % pid).read_text())
            self.assertTrue(alive(pid))

    def test_each_child_has_its_own_capture(self):
        session = self.start()
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual(0, session.returncode, err)
        answer = json.loads(out)
        self.assertEqual([], answer["left_behind"])
        self.assertEqual({pid: (0, self.file_of(pid)) for pid in workers},
                         {child["pid"]: (child["status"], child["file"]) for child in answer["children"]})
        self.check_captures({pid: "worker_%d" % i for i, pid in enumerate(workers)})
        self.check_clean(workers)

    def test_in_the_background(self):
        self.background("--follow-fork", "--sample", "1")
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        ended = self.detach()
        self.assertEqual([], ended["left_behind"])
        self.assertEqual(sorted(map(self.file_of, workers)), sorted(ended["child_files"]))
        self.check_captures({pid: "worker_%d" % i for i, pid in enumerate(workers)})
        self.check_clean(workers)

    def test_grandchildren(self):
        session = self.start()
        child, grandchild = self.fork(b"n")
        self.wait_until_tracked([child, grandchild])
        session.send_signal(signal.SIGTERM)
        session.communicate(timeout=harness.PATIENCE)
        self.assertEqual(0, session.returncode)
        self.check_captures({child: "worker_0", grandchild: "worker_1"})
        self.check_clean([child, grandchild])

    def test_children_that_end_or_run_programs_are_no_failure(self):
        session = self.start()
        for _ in range(5):
            self.fork(b"e")
            time.sleep(0.1)
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, []), (session.returncode, json.loads(out)["left_behind"]), err)
        self.assertEqual([0] * len(json.loads(out)["children"]), [child["status"] for child in json.loads(out)["children"]])
        self.check_captures({pid: "worker_%d" % i for i, pid in enumerate(workers)})
        self.check_clean(workers)

    def test_no_more_than_max_children(self):
        session = self.start("--max-children", "2")
        workers = self.fork(b"f")
        wait_until(lambda: sum(bool(traces(pid)) for pid in workers) == 2, "the tracking of two")
        time.sleep(0.3)
        self.assertEqual(2, sum(bool(traces(pid)) for pid in workers))
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, 2), (session.returncode, len(json.loads(out)["children"])), err)
        self.assertIn("--max-children", err)
        self.check_clean(workers)

    def test_a_child_that_is_killed(self):
        session = self.start()
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(harness.children_of(session.pid)) == 3, "the end of its memsnap")
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, []), (session.returncode, json.loads(out)["left_behind"]), err)
        self.assertTrue(pathlib.Path(self.file_of(workers[0])).exists(), err)
        info = memsnap("info", self.file_of(workers[0]), "--json").json()
        self.assertEqual(("the process ended", "allocations"), (info["tracking"]["end"], info["snapshot"]["kind"]))
        self.check_captures({pid: "worker_%d" % i for i, pid in enumerate(workers)})
        self.check_clean(workers[1:])

    def test_memsnap_is_killed(self):
        session = self.start()
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        followers = harness.children_of(session.pid)
        self.assertEqual(4, len(followers))
        session.send_signal(signal.SIGKILL)
        session.wait()
        for follower in followers:  # they end by themselves, with their captures
            wait_until(lambda follower=follower: not alive(follower), "the end of a follower")
        for pid in workers:
            self.assertEqual([], traces(pid))
            self.assertTrue(pathlib.Path(self.file_of(pid)).exists())
        self.detach()
        self.check_clean(workers)

    def test_all_of_them_are_killed(self):
        session = self.start()
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        for memsnap_pid in [*harness.children_of(session.pid), session.pid]:
            os.kill(memsnap_pid, signal.SIGKILL)
        session.wait()
        self.assertTrue(self.detach()["found"])
        self.check_clean(workers)

    def test_a_follower_is_killed(self):
        session = self.start()
        workers = self.fork(b"f")
        self.wait_until_tracked(workers)
        os.kill(harness.children_of(session.pid)[0], signal.SIGKILL)
        time.sleep(0.2)
        session.send_signal(signal.SIGINT)
        out, err = session.communicate(timeout=harness.PATIENCE)
        self.assertEqual((0, []), (session.returncode, json.loads(out)["left_behind"]), err)
        self.assertEqual([0, 0, 0, 128 + signal.SIGKILL], sorted(child["status"] for child in json.loads(out)["children"]))
        self.check_clean(workers)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
