"""A process that works, and looks from inside for harm: KIND is its only argument. The files of this folder are handed over in the
environment (TORTURE_PROGRAM), since an interpreter may run in a chroot that holds neither the checkout nor /proc. Python 3.8 to 3.15.

On stdin it is told, a word a line: check, look, go (on after one of these), fork, exec, exit. It answers with a line of JSON each.
"""

import asyncio
import os
import select
import signal
import sys
import time

from computing import Busy, Collecting, Numpy, Threads
from kind import say
from lines import Lines
from processes import Forking, Pool
from server import Server
from signalled import Signals

KINDS = {"busy": Busy, "threads": Threads, "gc": Collecting, "forking": Forking, "signals": Signals, "pool": Pool, "numpy": Numpy,
         "server": Server}


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
        os.execv(sys.executable, [sys.executable, "-c", os.environ["TORTURE_BOOT"], name, "again"])
    say({"bye": kind.checksum, "harm": kind.harm})
    os._exit(7)


main()
