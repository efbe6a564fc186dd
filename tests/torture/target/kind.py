"""What the kinds of processes have in common: how each looks from inside for harm."""

import binascii
import json
import os
import random
import select
import signal
import time

PATIENCE = float(os.environ.get("TORTURE_PATIENCE", "60"))  # the machine may be busy: this is for what never comes
MOST_DESCRIPTORS = 200
RT = signal.SIGRTMIN


def say(answer):
    text = json.dumps(answer).encode() + b"\n"
    while text:
        text = text[os.write(1, text):]


def descriptors():
    found = {}
    for fd in range(MOST_DESCRIPTORS):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        found[fd] = [status.st_dev, status.st_ino, status.st_mode]
    return found


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


class Kind:
    """What all have in common: a checksum of the work, every signal that arrives is counted, descriptors and children are known."""

    pause = 0.02  # between two steps; the processors are for memsnap

    def __init__(self):
        self.harm = []
        self.arrived = {}
        self.allowed = set()  # signals that may come in any number
        self.waited_for = set()  # signals that a thread takes: they may be pending at any moment
        self.children = set()
        self.forked = {}  # made by the word "fork": pid: the status that it is to end with
        self.steps = 0
        self.starved = 0
        self.checksum = self.right = 0  # of what came of its work, and of what had to
        self.block = bytearray(range(256)) * 256  # nobody has to do with it
        self.block_sum = binascii.crc32(self.block)
        self.random = random.Random(os.getpid())
        self.told, self.tells = os.pipe()
        os.set_blocking(self.told, False)
        os.set_blocking(self.tells, False)
        signal.set_wakeup_fd(self.tells)
        for number in [signal.SIGCHLD, signal.SIGCONT, signal.SIGTRAP, signal.SIGALRM, signal.SIGVTALRM, signal.SIGUSR1, signal.SIGUSR2,
                       signal.SIGURG, signal.SIGIO, *range(RT, signal.SIGRTMAX + 1)]:
            signal.signal(number, self.on_signal)

    def on_signal(self, number, frame):
        pass

    def start(self):
        pass

    def step(self):
        pass

    def end(self):
        pass

    def own_descriptors(self):
        """Numbers of those that come and go."""
        return []

    def check_kind(self):
        pass

    def did(self, what, got, wanted):
        """A piece of its work."""
        self.checksum = binascii.crc32(repr(got).encode(), self.checksum)
        self.right = binascii.crc32(repr(wanted).encode(), self.right)
        if got != wanted:
            self.say_harm("%s is %r, not %r" % (what, got, wanted))

    def say_harm(self, text):
        if len(self.harm) < 20:
            self.harm.append(text)

    def drain(self):
        while True:
            try:
                numbers = os.read(self.told, 4096)
            except BlockingIOError:
                return
            for number in numbers:
                self.arrived[number] = self.arrived.get(number, 0) + 1

    def ready(self):
        self.own = descriptors()
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def check(self):
        self.drain()
        self.check_kind()
        if self.checksum != self.right:
            self.say_harm("the checksum of its work is %d, not %d" % (self.checksum, self.right))
        if binascii.crc32(self.block) != self.block_sum:
            self.say_harm("memory that nobody writes holds something else")
        self.check_children()
        self.check_sleep()
        self.drain()
        for number, count in self.arrived.items():
            if number not in self.allowed:
                self.say_harm("signal %d arrived %d times, and nobody sent it" % (number, count))
        self.arrived = {number: count for number, count in self.arrived.items() if number in self.allowed}
        if signal.pthread_sigmask(signal.SIG_BLOCK, []) != self.mask:
            self.say_harm("signal mask: %s" % signal.pthread_sigmask(signal.SIG_BLOCK, []))
        if not wait_until(lambda: not signal.sigpending() - self.waited_for):
            self.say_harm("signals stay pending: %s" % signal.sigpending())

    def check_descriptors(self):
        now, ignored = descriptors(), self.own_descriptors()
        for fd in sorted(set(now) | set(self.own)):
            if now.get(fd) != self.own.get(fd) and fd not in ignored:
                self.say_harm("descriptor %d: %s -> %s" % (fd, self.own.get(fd), now.get(fd)))

    def check_children(self):
        for pid, wanted in list(self.forked.items()):
            got, status = os.waitpid(pid, 0)
            del self.forked[pid]
            if (got, status) != (pid, wanted << 8):
                self.say_harm("a forked child ended with %s" % ((got, status, wanted),))
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                self.say_harm("child %d ended with status %d and %s" % (pid, status, "is its own" if pid in self.children else "is unknown"))
            elif not self.children:
                self.say_harm("there is a child where there is none")
        except ChildProcessError:
            if self.children:
                self.say_harm("its children %s are gone" % sorted(self.children))

    def check_sleep(self):
        for wait in (time.sleep, lambda seconds: select.select([], [], [], seconds)):
            before = time.monotonic()
            wait(0.005)
            if time.monotonic() - before < 0.0049:
                self.say_harm("slept %.6f s where 0.005 were asked for" % (time.monotonic() - before))

    def fork(self):
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            data = [bytes([n % 256]) * 50 for n in range(3000)]
            time.sleep(0.1)
            os._exit(33 if sum(map(len, data)) == 150000 else 34)
        self.forked[pid] = 33
        self.allowed.add(signal.SIGCHLD)
