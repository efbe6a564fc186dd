"""One process in one state: `python -c ... MODE [PROGRESS_FD]`.

Every mode keeps 1000 Marker objects, says "ready" when it is in its state (or is about to enter it, for those that cannot
speak from inside), counts every signal that it can catch, and answers lines on standard input where it is able to.
Those that run write a growing number to PROGRESS_FD.
"""

import ctypes
import gc
import hashlib
import os
import re
import signal
import socket
import sys
import threading
import time


class Marker:
    def __init__(self, number):
        self.number = number


MARKERS = [Marker(n) for n in range(1000)]
SIGNALS = []
MODE = sys.argv[1]
PROGRESS = int(sys.argv[2]) if len(sys.argv) > 2 else -1


def say(text):
    os.write(1, text.encode() + b"\n")


def progress(number):
    os.pwrite(PROGRESS, b"%20d" % number, 0)


def hear():
    """A line from the test; ends the process when the test has gone."""
    line = b""
    while not line.endswith(b"\n"):
        got = os.read(0, 1)
        if not got:
            os._exit(0)
        line += got
    return line.strip().decode()


def answer():
    """Tells what the test asks until it says go."""
    while True:
        word = hear()
        if word == "signals":
            say("signals %s" % SIGNALS)
        elif word == "check":
            say("check %s" % (sum(marker.number for marker in MARKERS) == 499500))
        elif word == "children":
            try:
                say("children %s" % (os.waitpid(-1, os.WNOHANG),))
            except ChildProcessError:
                say("children none")
        elif word == "go":
            return


def waiting():
    say("ready")
    answer()
    say("went on")


def sleeping():
    say("ready")
    started = time.monotonic()
    time.sleep(5)
    say("slept %.3f" % (time.monotonic() - started))
    answer()


def digest_loop(rounds, start):
    digest = start
    numbers = []
    for number in range(rounds):
        digest = hashlib.sha256(digest + str(number).encode()).digest()
        numbers.append(number * 0.5)
        if number % 1000 == 0:
            numbers = numbers[-10:]
            progress(number)
    return digest.hex(), sum(numbers)


def computing():
    expected = digest_loop(60000, b"start")
    say("ready")
    for _ in range(1000):
        if digest_loop(60000, b"start") != expected:
            say("wrong checksum")
            os._exit(1)
        if asked():
            say("checksums equal")
            answer()


def asked():
    import select
    return bool(select.select([0], [], [], 0)[0])


def allocating():
    stop = threading.Event()
    wrong = []
    turns = [0] * 8

    def work(index):
        kept = {}
        while not stop.is_set():
            for key in range(300):
                kept[key] = [key, str(key), {"key": (key, index)}]
            if sum(value[2]["key"][0] for value in kept.values()) != 44850:
                wrong.append(index)
            kept.clear()
            turns[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    say("ready")
    while not asked():
        time.sleep(0.02)
        progress(sum(turns))
    stop.set()
    for thread in threads:
        thread.join()
    say("wrong %s" % wrong if wrong else "threads right")
    answer()


def receiving():
    ours, theirs = socket.socketpair()

    def send_when_told():
        say("ready")
        answer()
        theirs.sendall(b"telegram")

    threading.Thread(target=send_when_told, daemon=True).start()
    say("received %s" % ours.recv(100).decode())
    answer()


def deadlocked():
    one, two = threading.Lock(), threading.Lock()
    first_held, second_held = threading.Event(), threading.Event()

    def take(mine, other, said, heard):
        with mine:
            said.set()
            heard.wait()
            with other:
                say("impossible")

    threads = [threading.Thread(target=take, args=(one, two, first_held, second_held)),
               threading.Thread(target=take, args=(two, one, second_held, first_held))]
    for thread in threads:
        thread.start()
    first_held.wait()
    second_held.wait()
    say("ready")
    threads[0].join()


def regex():
    say("ready")
    re.match(r"(a+)+$", "a" * 60 + "b")


def holding_gil():
    say("ready")
    left = ctypes.PyDLL(None).sleep(4)
    say("left %d" % left)
    answer()


def collecting():
    count = 0
    say("ready")
    while True:
        gc.collect()
        count += 1
        progress(count)


class Blocking:
    def __init__(self, lock):
        self.itself = self
        self.lock = lock

    def __del__(self):
        self.lock.acquire()


def blocking_del():
    lock = threading.Lock()
    lock.acquire()
    Blocking(lock)
    say("ready")
    gc.collect()
    say("impossible")


def threads200():
    stop = threading.Event()
    started = threading.Semaphore(0)

    def wait(number):
        words = ["thread", number]
        started.release()
        stop.wait()
        return words

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for _ in threads:
        started.acquire()
    say("ready")
    answer()
    stop.set()
    for thread in threads:
        thread.join()
    say("went on")
    answer()


def other_user():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    waiting()
    answer()


def with_children():
    """Has a child of its own, and waits for any child: memsnap's must never be what it gets."""
    child = os.fork()
    if child == 0:
        hear_nothing = os.open("/", os.O_RDONLY)
        os.close(hear_nothing)
        time.sleep(6)
        os._exit(7)
    say("ready")
    pid, status = os.waitpid(-1, 0)
    say("waited %s %d" % (pid == child, os.WEXITSTATUS(status)))
    answer()


def timer():
    """One call_later(10): when it fired."""
    import asyncio

    async def main():
        loop = asyncio.get_running_loop()
        fired = loop.create_future()
        started = time.monotonic()
        loop.call_later(10, lambda: fired.set_result(time.monotonic() - started))
        say("ready")
        return await fired

    say("fired %.3f" % asyncio.run(main()))
    answer()


def heartbeat():
    """The longest time between two beats of a thread that never waits for Python."""
    longest = 0.0
    last = time.perf_counter()
    say("ready")
    while not asked():
        for _ in range(2000):
            now = time.perf_counter()
            if now - last > longest:
                longest = now - last
            last = now
    say("longest %.6f" % longest)
    answer()


def main():
    for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGTRAP,
                   signal.SIGURG, signal.SIGPIPE):
        signal.signal(number, lambda number, frame: SIGNALS.append(int(number)))
    globals()[MODE]()


main()
