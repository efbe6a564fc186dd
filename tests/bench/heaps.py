"""The process that is looked at, and runs of memsnap with what they cost."""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import harness  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MEMSNAP_BUILD", ROOT / "build" / "release"))
PYTHON = "/usr/bin/python3"
HOUR = 3600

# KIND SIZE THREADS: a heap; threads that wait, of which one looks at the clock when it is told to; the rest is done from inside when asked.
PROGRAM = """
import mmap, os, sys, threading, time
kind, size, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])

class Session:
    def __init__(self, number):
        self.user, self.basket, self.seen = "user-%d" % number, [number, number + 1], datetime.datetime(2024, 1, 1)
        self.cache = {"key-%d" % (number % 1000): (number, None, 1.5 * number)}

if kind == "tuples":  # millions of objects
    KEPT = [(number, str(number)) for number in range(int(size * 1e6) // 3)]
elif kind == "sessions":  # millions, as a web service keeps them
    import datetime
    KEPT = {number: Session(number) for number in range(int(size * 1e6) // 11)}
elif kind == "payloads":  # GiB, in bytes objects of 4 KiB
    KEPT = {number: b"%063d" % number + b"x" * 4000 for number in range(int(size * (1 << 30)) // 4096)}
elif kind == "mapped":  # GiB, in pages of 4 KiB
    KEPT = mmap.mmap(-1, int(size * (1 << 30)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    KEPT.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, len(KEPT), 4096):
        KEPT[page] = 1
elif kind == "application":  # what can be imported of these, and syntax trees
    import ast, importlib
    KEPT = []
    for name in "asyncio concurrent.futures decimal django.db.models email.mime.text flask http.server logging.handlers lxml.etree".split() + (
            "multiprocessing numpy pandas pydoc sqlite3 unittest.mock xml.dom.minidom".split()):
        try:
            KEPT.append(importlib.import_module(name))
        except Exception:
            pass
    sources = [module.__file__ for module in list(sys.modules.values()) if (getattr(module, "__file__", "") or "").endswith(".py")]
    KEPT += [ast.parse(open(file, encoding="utf-8").read()) for file in sources]

stop = threading.Event()
for _ in range(threads - 2):
    threading.Thread(target=stop.wait, daemon=True).start()
longest, beating = 0.0, threading.Event()
def beat():
    global longest
    while beating.wait():
        longest, last = 0.0, time.perf_counter()
        while beating.is_set():
            now = time.perf_counter()
            longest = max(longest, now - last)
            last = now
        rested.set()
rested = threading.Event()
threading.Thread(target=beat, daemon=True).start()
def closure():
    import collections, gc
    seen, sizes, waiting = set(), collections.Counter(), gc.get_objects()
    while waiting:
        found = []
        for thing in waiting:
            if id(thing) not in seen:
                seen.add(id(thing))
                sizes[type(thing)] += sys.getsizeof(thing)
                found.append(thing)
        waiting = gc.get_referents(*found)
    return len(seen)
def counts():
    import objgraph
    return sum(objgraph.typestats(shortnames=False).values())
def change():  # a third of the sessions goes, a fifth is new
    global NEW
    count = len(KEPT)
    for number in range(0, count, 3):
        del KEPT[number]
    NEW = {number: Session(number) for number in range(count // 5)}
    return len(KEPT)

os.write(1, b"ready\\n")
while True:
    word = os.read(0, 1)
    if word == b"b":
        switch = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        rested.clear()
        beating.set()
        os.write(1, b"done\\n")
    elif word == b"l":
        beating.clear()
        rested.wait()
        sys.setswitchinterval(switch)
        os.write(1, b"done %.6f\\n" % longest)
    elif not word:
        break
    else:
        os.write(1, b"done %d\\n" % {b"c": closure, b"o": counts, b"x": change}[word]())
"""


class Process(harness.Target):
    def __init__(self, kind, size, threads=2):
        super().__init__(PROGRAM, kind, size, threads, python=[PYTHON], ready=None)
        try:
            self.expect(b"ready", timeout=HOUR)
        except BaseException:
            self.close()
            raise

    def ask(self, word):
        self.say(word)
        return self.expect(b"done", timeout=HOUR)

    def silence_of(self, work):
        """Seconds: the longest in which a thread of the process heard nothing meanwhile, and all of it."""
        self.ask(b"b")
        started = time.monotonic()
        work()
        took = time.monotonic() - started
        return float(self.ask(b"l")), took


def memsnap_with_cost(*arguments):
    """(JSON, seconds of processor time, peak bytes) of one run."""
    process = subprocess.Popen([harness.MEMSNAP, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise RuntimeError("memsnap %s: %s\n%s%s" % (arguments, status, out, err))
    return json.loads(out), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def snapshot_with_cost(process, file, *options):
    """The same of a snapshot, the copy's processor time included."""
    answer, processor, peak = memsnap_with_cost("snapshot", process.pid, "-f", "-o", file, "--json", "--max-pause", "60s", *options)
    return answer, processor + answer["child_cpu_ms"] / 1000, peak
