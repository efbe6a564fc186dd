"""A process that works, and looks from inside for harm: `target.py KIND`. Its text is handed over in the environment (TORTURE_PROGRAM),
since an interpreter may run in a chroot that holds neither the checkout nor /proc. Python 3.8 to 3.15.

On stdin it is told, a word a line: check, go (on after a check), fork, exec, exit. It answers with a line of JSON each.
"""

import asyncio
import binascii
import ctypes
import errno
import gc
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import weakref

PATIENCE = float(os.environ.get("TORTURE_PATIENCE", "60"))  # the machine may be busy: this is for what never comes
MOST_DESCRIPTORS = 200
BOOT = "import os; exec(compile(os.environ['TORTURE_PROGRAM'], 'target.py', 'exec'))"
RT = signal.SIGRTMIN
WAITED_SIGNAL, TIMER_SIGNAL = RT + 10, RT + 12
SENT = [RT + number for number in range(1, 7)] + [WAITED_SIGNAL]


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
    """What all have in common: every signal that arrives is counted, descriptors and children are known."""

    pause = 0.02  # between two steps; the processors are for memsnap

    def __init__(self):
        self.harm = []
        self.arrived = {}
        self.allowed = set()  # signals that may come in any number
        self.children = set()
        self.forked = {}  # made by the word "fork": pid: the status that it is to end with
        self.steps = 0
        self.starved = 0
        self.checksum = 0
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
        self.check_children()
        self.check_sleep()
        self.drain()
        for number, count in self.arrived.items():
            if number not in self.allowed:
                self.say_harm("signal %d arrived %d times, and nobody sent it" % (number, count))
        self.arrived = {number: count for number, count in self.arrived.items() if number in self.allowed}
        if signal.pthread_sigmask(signal.SIG_BLOCK, []) != self.mask:
            self.say_harm("signal mask: %s" % signal.pthread_sigmask(signal.SIG_BLOCK, []))
        pending = signal.sigpending() - {WAITED_SIGNAL}
        if pending and not wait_until(lambda: not signal.sigpending() - {WAITED_SIGNAL}):
            self.say_harm("signals stay pending: %s" % pending)

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


class Busy(Kind):
    """Computes; each part twice must be the same."""

    known = {}

    def work(self, part):
        value = part + 1
        for n in range(4000):
            value = (value * 6364136223846793005 + n) % (1 << 64)
        return binascii.crc32(b"%d %.12f" % (value, (value % 1000003) ** 0.5))

    def step(self):
        part = self.steps % 32
        got = self.work(part)
        if self.known.setdefault(part, got) != got:
            self.say_harm("part %d was %d and is %d" % (part, self.known[part], got))
        self.checksum = binascii.crc32(b"%d" % got, self.checksum)


class Threads(Kind):
    """Four threads that allocate, and check what they have."""

    def start(self):
        self.counts = [0] * 4
        self.ending = False
        self.threads = [threading.Thread(target=self.allocate, args=(number,), daemon=True) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def allocate(self, number):
        chance, kept = random.Random(number), {}
        while not self.ending:
            for _ in range(50):
                key = chance.randrange(300)
                size = chance.choice((8, 100, 700, 3000, 20000))
                if key in kept:
                    block, text, numbers = kept.pop(key)
                    if block.count(key % 256) != len(block) or text != str(key) * 3 or sum(numbers) != key * len(numbers):
                        self.say_harm("a block of thread %d holds something else" % number)
                kept[key] = (bytearray([key % 256]) * size, str(key) * 3, [key] * (size // 100))
            self.counts[number] += 1
            time.sleep(0.02)

    def check_kind(self):
        before = list(self.counts)
        if not wait_until(lambda: all(now > then for now, then in zip(self.counts, before))):
            self.say_harm("a thread stands still: %s -> %s" % (before, self.counts))
        if not all(thread.is_alive() for thread in self.threads):
            self.say_harm("a thread is gone")

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()


class Node:
    ended = 0

    def __init__(self, other):
        self.other, self.data = other, [1] * 20

    def __del__(self):
        Node.ended += sum(self.data) // 20


class Collecting(Kind):
    """Makes cycles of objects with finalizers and weak references; collections begin anywhere."""

    def start(self):
        self.made = 0
        gc.set_threshold(60, 4, 4)

    def step(self):
        references = []
        for _ in range(200):
            first = Node(None)
            first.other = Node(first)
            references.append(weakref.ref(first))
            self.made += 2
        del first
        if self.steps % 8 == 0:
            gc.collect()
            if Node.ended != self.made:
                self.say_harm("%d of %d objects were finalized" % (Node.ended, self.made))
            if any(reference() is not None for reference in references):
                self.say_harm("a weak reference leads to an object that is gone")


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
        if (got, status) != (pid, wanted << 8):
            self.say_harm("child %d with status %d was waited for, and %d with %d came" % (pid, wanted, got, status >> 8))


def send_signals(target, commands, answers):
    """In a process of its own: sends numbered real-time signals, and says how many."""
    signal.set_wakeup_fd(-1)
    chance, counts = random.Random(target), {}
    while os.getppid() == target:
        number = chance.choice(SENT)
        os.kill(target, number)
        counts[number] = counts.get(number, 0) + 1
        if not select.select([commands], [], [], chance.uniform(0.001, 0.02))[0]:
            continue
        if os.read(commands, 1) != b"c":
            os._exit(0)
        os.write(answers, json.dumps(counts).encode() + b"\n")
        if os.read(commands, 1) != b"g":
            os._exit(0)
    os._exit(0)


class Signals(Kind):
    """Real-time signals from a second process, each of which must arrive once; timers, each of which must fire once."""

    def start(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [WAITED_SIGNAL])
        self.allowed = {*SENT, signal.SIGALRM, signal.SIGVTALRM, TIMER_SIGNAL}
        self.waited = 0
        self.ending = False
        self.armed = {signal.SIGALRM: 0, signal.SIGVTALRM: 0, TIMER_SIGNAL: 0}
        self.armed_at = {}
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        self.sender = os.fork()
        if self.sender == 0:
            os.close(self.commands)
            os.close(self.answers)
            send_signals(os.getppid(), commands, answers)
        os.close(commands)
        os.close(answers)
        self.children.add(self.sender)
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timer_create"):
            libc = ctypes.CDLL("librt.so.1", use_errno=True)
        self.libc, self.timer = libc, ctypes.c_void_p()
        event = (ctypes.c_int * 16)()
        event[2] = TIMER_SIGNAL  # after the 8 bytes of sigev_value; SIGEV_SIGNAL is 0
        if libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(self.timer)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create")
        self.arm()

    def take(self):
        while True:  # without a time limit: with one, CPython returns what nobody sent when EINTR comes at its end
            got = signal.sigwaitinfo([WAITED_SIGNAL])
            if self.ending and got.si_pid == os.getpid():
                return
            self.waited += 1
            if (got.si_signo, got.si_pid) != (WAITED_SIGNAL, self.sender):
                self.say_harm("sigtimedwait returned what nobody sent: %s" % (got,))

    def arm(self):
        for number, armed in self.armed.items():
            if self.arrived.get(number, 0) < armed:
                continue
            late = time.monotonic() - self.armed_at.get(number, 0)
            if number != signal.SIGVTALRM and armed and late < 0.0149:
                self.say_harm("the timer of signal %d fired after %.6f s, not 0.015" % (number, late))
            self.armed[number] += 1
            self.armed_at[number] = time.monotonic()
            if number == TIMER_SIGNAL:
                self.libc.timer_settime(self.timer, 0, (ctypes.c_long * 4)(0, 0, 0, 15000000), None)
            else:
                signal.setitimer(signal.ITIMER_REAL if number == signal.SIGALRM else signal.ITIMER_VIRTUAL,
                                 0.015 if number == signal.SIGALRM else 0.004)

    def step(self):
        self.drain()
        self.arm()
        sum(range(3000))

    def check_kind(self):
        os.write(self.commands, b"c")
        sent = b""
        while not sent.endswith(b"\n"):
            if not select.select([self.answers], [], [], PATIENCE)[0]:
                return self.say_harm("the process that sends signals does not answer")
            sent += os.read(self.answers, 4096)
        sent = {int(number): count for number, count in json.loads(sent).items()}
        got = {}

        def all_came():
            self.drain()
            sum(range(20000))  # the timer of processor time fires only while there is work
            got.update(self.arrived)
            got[WAITED_SIGNAL] = self.waited
            return all(got.get(number, 0) >= count for number, count in {**sent, **self.armed}.items())

        wait_until(all_came)
        for number, count in {**sent, **self.armed}.items():
            if got.get(number, 0) != count:
                self.say_harm("signal %d was sent %d times and arrived %d times" % (number, count, got.get(number, 0)))
        os.write(self.commands, b"g")

    def end(self):
        self.ending = True
        os.kill(os.getpid(), WAITED_SIGNAL)
        self.thread.join()
        self.libc.timer_delete(self.timer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        os.close(self.commands)
        os.waitpid(self.sender, 0)


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
        if int(answer) != (number - 1) * number * (2 * number - 1) // 6:
            self.say_harm("a worker answered %r for %d" % (answer, number))
        if self.steps % 25 == 24:
            self.next = 1 - self.next
            self.end_worker(self.workers[self.next])
            self.workers[self.next] = self.new_worker()

    def own_descriptors(self):
        return [pipe.fileno() for worker in self.workers for pipe in (worker.stdin, worker.stdout)]

    def end(self):
        for worker in self.workers:
            self.end_worker(worker)


class Numpy(Kind):
    """Arrays of numbers, of objects, and a product of matrices."""

    def start(self):
        import numpy

        self.numpy = numpy
        self.objects = numpy.array([str(n) for n in range(500)], dtype=object)

    def step(self):
        numpy, n = self.numpy, 40 + self.steps % 20
        if int((numpy.ones((n, n)) @ numpy.full((n, n), 2.0)).sum()) != 2 * n ** 3:
            self.say_harm("a product of matrices is wrong")
        if int(numpy.arange(30000 + n).sum()) != (30000 + n) * (29999 + n) // 2 or self.objects[n] != str(n):
            self.say_harm("an array holds something else")


class Server(Kind):
    """asyncio under HTTP load from another process, which checks every answer."""

    def start(self):
        self.connections = set()

    async def answer(self, reader, writer):
        self.connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                number = int(head.split(b" ", 2)[1].lstrip(b"/"))
                await asyncio.sleep(0.001)
                body = b"%d " % (number * number) + b"x" * (number % 3000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
                self.steps += 1
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    async def serve(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.ready()
        say({"ready": self.port})
        lines = Lines(self)
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()

        def on_readable():
            answer = lines.take()
            while answer is None and lines.more():
                answer = lines.take()
            if answer is not None and not self.ended.done():
                self.ended.set_result(answer)

        loop.add_reader(0, on_readable)
        timers = loop.create_task(self.tick())
        answer = await self.ended
        timers.cancel()
        return answer

    async def tick(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            if time.monotonic() - before < 0.045:
                self.say_harm("asyncio.sleep(0.05) took %.6f s" % (time.monotonic() - before))
            self.drain()

    def own_descriptors(self):
        # Connections come and go; what is no socket is none of them.
        return [fd for fd, status in descriptors().items() if fd not in self.own and status[2] & 0o170000 == 0o140000]


KINDS = {"busy": Busy, "threads": Threads, "gc": Collecting, "forking": Forking, "signals": Signals, "pool": Pool, "numpy": Numpy,
         "server": Server}


class Lines:
    """What it is told, and the answers."""

    def __init__(self, kind):
        self.kind, self.buffer = kind, b""

    def take(self):
        """None, or the word that ends it."""
        return self.obey(self.line())

    def more(self):
        return b"\n" in self.buffer

    def line(self):
        while b"\n" not in self.buffer:
            got = os.read(0, 4096)
            if not got:
                os._exit(9)
            self.buffer += got
        word, _, self.buffer = self.buffer.partition(b"\n")
        return word.decode()

    def obey(self, word):
        kind = self.kind
        if word in ("check", "look"):  # "look": something of a killed memsnap may still be there, as a descriptor
            kind.check()
            if word == "check":
                kind.check_descriptors()
            harm, kind.harm = kind.harm, []
            say({"harm": harm, "steps": kind.steps, "checksum": kind.checksum, "starved": kind.starved, "children": sorted(kind.children),
                 "ignored": kind.own_descriptors()})
            if self.line() != "go":
                os._exit(8)
            return None
        if word == "fork":
            kind.fork()
            return None
        return word


def work(kind):
    """Until a word ends it."""
    lines = Lines(kind)
    while True:
        try:
            kind.step()
        except MemoryError:  # the harness may have set a limit
            kind.starved += 1
        kind.steps += 1
        kind.drain()
        before = time.monotonic()
        readable = lines.more() or select.select([0], [], [], kind.pause)[0]
        if not readable and time.monotonic() - before < kind.pause - 0.0005:
            kind.say_harm("select returned after %.6f s, not %.3f" % (time.monotonic() - before, kind.pause))
        if readable:
            word = lines.take()
            if word is not None:
                return word


def main():
    name = sys.argv[1]
    kind = KINDS[name]()
    kind.start()
    if "again" in sys.argv:  # the kernel sends it for any child that ends after an exec by its parent, even one without a signal
        kind.allowed.add(signal.SIGCHLD)
    if name == "server":
        word = asyncio.run(kind.serve())
    else:
        for _ in range(40):
            kind.step()
            kind.steps += 1
        kind.ready()
        kind.check()
        say({"ready": 0, "harm": kind.harm})
        word = work(kind)
    kind.end()
    kind.check_descriptors() if name not in ("signals", "pool", "server") else None
    if word == "exec":
        for pid in kind.forked:
            os.waitpid(pid, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execv(sys.executable, [sys.executable, "-c", BOOT, name, "again"])
    say({"bye": kind.checksum, "harm": kind.harm})
    os._exit(7)


main()
