"""Threads parked in many kinds of calls; what Python itself says of their stacks is told when the test asks.

Says "ready" and then, for each line on standard input: "stacks" (JSON: by tid the frames of sys._current_frames()),
"faulthandler" (JSON: its text, with the tid of each ident), "end".
"""

import asyncio
import faulthandler
import functools
import json
import os
import re
import sys
import tempfile
import threading
import time
import traceback

NEVER = threading.Lock()
NEVER.acquire()
PARKED = threading.Semaphore(0)


def park():
    PARKED.release()
    NEVER.acquire()


def generator():
    yield 1
    park()
    yield 2


def delegating():
    yield from generator()


class Made:
    def __init__(self, depth):
        if depth:
            Made(depth - 1)
        else:
            park()

    @property
    def value(self):
        return (
            self.other(
                1,
                park()))

    def other(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        park()


def warm(parks):
    """Called often enough to be specialised (3.11+)."""
    if parks:
        Made(3)


def in_init():
    for _ in range(200):
        warm(False)
    for _ in range(100):
        object.__new__(Made).other(1)
    warm(True)


def in_generator():
    for _ in delegating():
        pass


def in_sorted():
    sorted([2, 1], key=lambda item: park())


def in_reduce():
    functools.reduce(lambda a, b: [x for x in (1,) if park()], [1, 2, 3])


def in_substitution():
    re.sub("a", lambda match: park(), "bab")


def in_property():
    object.__new__(Made).value


def in_exit():
    with object.__new__(Made):
        made = 1
    return made


def in_finally():
    try:
        raise KeyError(1)
    except KeyError:
        try:
            pass
        finally:
            park()


def in_coroutine():
    async def inner():
        await asyncio.sleep(0)
        park()

    async def outer():
        await asyncio.gather(inner())

    asyncio.run(outer())


def recursion(depth):
    if depth:
        return recursion(depth - 1) + 1
    park()


def in_recursion():
    recursion(900)


def in_exec():
    exec(compile("def odd():\n\n\n  park()\n\nodd()", "<made \u00fcp>\x1b[31m", "exec"), {"park": park})


def in_long_code():
    """Far more than 255 lines and bytes between two calls, and a line that lies before its call."""
    source = "def long():\n  a = 0\n" + "  a += 1\n" * 3000 + "\n" * 700 + "  return (a,\n\n\n park(), [a\n for a in ()])\n"
    space = {"park": park}
    exec(compile(source, "<long>", "exec"), space)
    space["long"]()


def in_class_body():
    class Body:
        x = park()


def in_del():
    class Dying:
        def __del__(self):
            park()

    Dying()


KINDS = [in_init, in_generator, in_sorted, in_reduce, in_substitution, in_property, in_exit, in_finally, in_coroutine,
         in_recursion, in_exec, in_long_code, in_class_body, in_del]


def frames_of(frame):
    found = []
    while frame is not None:
        found.append([frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return found


def tids():
    return {thread.ident: thread.native_id for thread in threading.enumerate()}


def answer():
    PARKED.acquire()
    time.sleep(0.2)
    print("ready %s" % json.dumps({thread.native_id: thread.name for thread in threading.enumerate()}), flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "stacks":
            known = tids()
            print(json.dumps({known[ident]: frames_of(frame) for ident, frame in sys._current_frames().items()}), flush=True)
        elif word == "faulthandler":
            with tempfile.TemporaryFile() as out:
                faulthandler.dump_traceback(out, all_threads=True)
                out.seek(0)
                print(json.dumps([tids(), out.read().decode()]), flush=True)
        else:
            os._exit(0)


def main():
    sys.setrecursionlimit(5000)
    threading.stack_size(64 << 20)
    for kind in KINDS:
        threading.Thread(target=kind, name="%s w\u00f6rker\x1b]0;" % kind.__name__, daemon=True).start()
    for _ in KINDS:
        PARKED.acquire()
    threading.Thread(target=answer, name="answers", daemon=True).start()
    park()


main()
