"""Processes that fork, or keep others at work."""

import os
import select
import signal
import subprocess
import sys

from kind import PATIENCE, Kind

class Forking(Kind):
    """Forks children; each must end with its own status."""

    def start(self):
        self.allowed = {signal.SIGCHLD}

    def step(self):
        if self.steps % 3:
            return
        wanted = self.random.randrange(100)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            data = {n: str(n) for n in range(500)}
            os._exit(wanted if len(data) == 500 else 101)
        got, status = os.waitpid(pid if self.forked or self.steps % 2 else -1, 0)
        self.did("the child that was waited for, and its status", (got, status), (pid, wanted << 8))


WORKER = """
import sys
for line in sys.stdin:
    print(sum(n * n for n in range(int(line))), flush=True)
"""


class Pool(Kind):
    """Keeps worker processes busy by pipes, and replaces them."""

    def start(self):
        self.allowed = {signal.SIGCHLD}
        self.workers = [self.new_worker() for _ in range(2)]
        self.next = 0

    def new_worker(self):
        worker = subprocess.Popen([sys.executable, "-I", "-S", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.children.add(worker.pid)
        return worker

    def end_worker(self, worker):
        worker.stdin.close()
        status = worker.wait()
        worker.stdout.close()
        self.children.discard(worker.pid)
        if status != 0:
            self.say_harm("a worker ended with status %s" % status)

    def step(self):
        worker = self.workers[self.steps % 2]
        number = self.random.randrange(1000)
        worker.stdin.write(b"%d\n" % number)
        answer = b""
        while not answer.endswith(b"\n"):
            if not select.select([worker.stdout], [], [], PATIENCE)[0]:
                return self.say_harm("a worker does not answer")
            got = os.read(worker.stdout.fileno(), 100)
            if not got:
                return self.say_harm("a worker is gone: %s" % worker.poll())
            answer += got
        self.did("a worker's answer for %d" % number, int(answer), (number - 1) * number * (2 * number - 1) // 6)
        if self.steps % 25 == 24:
            self.next = 1 - self.next
            self.end_worker(self.workers[self.next])
            self.workers[self.next] = self.new_worker()

    def own_descriptors(self):
        return [pipe.fileno() for worker in self.workers for pipe in (worker.stdin, worker.stdout)]

    def end(self):
        for worker in self.workers:
            self.end_worker(worker)
