# memsnap-test: once
"""A gunicorn with --preload whose master is tracked: workers that it forks meanwhile carry the agent, serve all the same, and are cleaned
with it."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import urllib.request

import harness
from background_harness import BackgroundTest, no_trace, wait_until
from harness import children_of, memsnap

PYTHON = "/usr/bin/python3"  # Debian's packages are this one's
APPLICATION = """
import os, time
KEPT = [[number] for number in range(1000)]
def app(environ, start_response):
    KEPT.append({"path": environ["PATH_INFO"], "of": list(range(100))})
    time.sleep(0.05)  # the next request is another worker's
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"""


class Gunicorn(BackgroundTest):
    def setUp(self):
        super().setUp()
        if subprocess.run([PYTHON, "-c", "import gunicorn"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no gunicorn: scripts/setup installs it")
        (self.folder / "application.py").write_text(APPLICATION)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.master = subprocess.Popen([PYTHON, "-m", "gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:%d" % self.port, "application:app"],
                                       cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_master)
        self.pid = self.master.pid
        self.served_by(2)

    def end_master(self):
        self.master.send_signal(signal.SIGTERM)
        try:
            self.master.wait(30)
        except subprocess.TimeoutExpired:
            self.master.kill()
            self.master.wait()

    def answer(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen("http://127.0.0.1:%d/" % self.port, timeout=10) as response:
                return int(response.read())
        return None

    def served_by(self, count):
        """Waits until so many workers have answered, and returns them."""
        seen = set()

        def all_answered():
            with concurrent.futures.ThreadPoolExecutor(2 * count) as pool:
                seen.update(pool.map(lambda _: self.answer(), range(2 * count)))
            seen.intersection_update(children_of(self.pid))
            return len(seen) == count

        wait_until(all_answered, "an answer of each of %d workers" % count)
        return seen

    def test_workers_forked_meanwhile_are_cleaned_too(self):
        old = self.served_by(2)
        self.background("--sample", "1", "--allocators", "malloc,mmap,python")
        for count in (3, 4):
            self.master.send_signal(signal.SIGTTIN)  # one more worker
            wait_until(lambda count=count: len(children_of(self.pid)) == count, "another worker")
        every = self.served_by(4)
        self.assertLess(old, every)
        os.kill(min(old), signal.SIGTERM)  # the master starts another in its place
        wait_until(lambda: min(old) not in children_of(self.pid), "the end of a worker")
        every = self.served_by(4)
        carrying = [pid for pid in every if not no_trace(pid)]
        self.assertEqual(3, len(carrying), "those that were forked meanwhile")
        result = memsnap("detach", self.pid, "--json")
        self.assertEqual(0, result.status, str(result))
        self.assertEqual([], result.json()["left_behind"])
        for pid in [self.pid, *every]:
            self.assertTrue(no_trace(pid), "%d of %s" % (pid, every))
        self.assertEqual(every, self.served_by(4))


if __name__ == "__main__":
    harness.main()
