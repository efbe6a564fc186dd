"""What a snapshot of a running process costs: `python3 tests/bench/live_bench.py [OBJECTS_IN_MILLIONS...]`, after the release build.

Ratios are of runs side by side, medians of several; rates are objects for each second of processor time. Prints the rows of
docs/benchmarks.md. Wants a quiet machine and, for 10 million objects, 4 GiB.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
import harness  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MEMSNAP_BUILD", ROOT / "build" / "release"))
BARE_CLONE = BUILD / "bin" / "bare_clone"

SMALL_OBJECTS = """
import os, sys
KEPT = [(number, str(number)) for number in range(int(float(sys.argv[1]) * 1e6) // 3)]
os.write(1, b"ready\\n")
while os.read(0, 1):
    pass
"""

WEB = """
import os, sys, collections, datetime
class Session:
    def __init__(self, number):
        self.user, self.basket, self.seen = "user-%d" % number, [number, number + 1], datetime.datetime(2024, 1, 1)
        self.cache = {"key-%d" % (number % 1000): (number, None, 1.5 * number)}
KEPT = {"s%d" % number: Session(number) for number in range(int(float(sys.argv[1]) * 1e6) // 12)}
os.write(1, b"ready\\n")
while os.read(0, 1):
    pass
"""

# A gigabyte in small pieces that the kernel maps in 4 KiB pages, THREADS that wait, and a thread that looks at the clock.
GIGABYTE = """
import ctypes, mmap, os, sys, threading, time
KEPT = mmap.mmap(-1, int(float(sys.argv[1]) * (1 << 30)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
KEPT.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, len(KEPT), 4096):
    KEPT[page] = 1
stop = threading.Event()
for _ in range(int(sys.argv[2]) - 1):
    threading.Thread(target=stop.wait, daemon=True).start()
longest = 0.0
beating = False
def beat():
    global longest
    last = time.perf_counter()
    while True:
        now = time.perf_counter()
        longest = max(longest, now - last) if beating else 0.0
        last = now
if "beat" in sys.argv:
    threading.Thread(target=beat, daemon=True).start()
os.write(1, b"ready\\n")
while True:
    word = os.read(0, 1)
    if word == b"b":
        longest = 0.0
        beating = True
        os.write(1, b"ok\\n")
    elif word == b"l":
        beating = False
        os.write(1, b"longest %.6f\\n" % longest)
    elif not word:
        break
"""


def memsnap_with_cost(*arguments):
    """(JSON, seconds of processor time, peak bytes) of one run."""
    process = subprocess.Popen([harness.MEMSNAP, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out = process.stdout.read()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if status:
        raise RuntimeError("memsnap %s: %s\n%s%s" % (arguments, status, out, err))
    return json.loads(out), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def pauses(gigabytes, threads, turns=7):
    """Medians: the bare clone, memsnap's own figure; side by side on the same process."""
    bare, ours = [], []
    with harness.Target(GIGABYTE, gigabytes, threads, python=["/usr/bin/python3"]) as target, tempfile.TemporaryDirectory() as folder:
        for turn in range(turns):
            done = subprocess.run([BARE_CLONE, str(target.pid), "1"], stdout=subprocess.PIPE, text=True, check=True)
            bare.append(float(done.stdout))
            answer, _, _ = memsnap_with_cost("snapshot", target.pid, "-o", "%s/%d" % (folder, turn), "--json", "--max-pause", "5s")
            assert answer["method"] == "freeze", answer
            ours.append(answer["pause_ms"])
    return statistics.median(bare), statistics.median(ours)


def heartbeat(gigabytes, turns=5):
    """Medians of the longest silence of a thread: with a snapshot, and in the same time without."""
    quiet, held = [], []
    with harness.Target(GIGABYTE, gigabytes, 2, "beat", python=["/usr/bin/python3"]) as target, tempfile.TemporaryDirectory() as folder:
        for turn in range(turns):
            for kept, work in ((quiet, False), (held, True)):
                target.say(b"b")
                target.expect(b"ok")
                started = time.monotonic()
                if work:
                    memsnap_with_cost("snapshot", target.pid, "-o", "%s/%d" % (folder, turn), "--json", "--max-pause", "5s")
                    took = time.monotonic() - started
                else:
                    time.sleep(0.5 if not held else took)
                target.say(b"l")
                kept.append(float(target.expect(b"longest")) * 1000)
    return statistics.median(quiet), statistics.median(held)


def walk(name, program, millions, turns=3):
    """One row: medians of the seconds; the first turn also pays for memory that the machine itself has to find."""
    children, walks, snapshots, attaches = [], [], [], []
    with harness.Target(program, millions, python=["/usr/bin/python3"]) as target, tempfile.TemporaryDirectory() as folder:
        file = "%s/x.msnap" % folder
        for _ in range(turns):
            answer, processor, peak = memsnap_with_cost("snapshot", target.pid, "-f", "-o", file, "--json", "--max-pause", "5s")
            child = answer["child_cpu_ms"] / 1000
            children.append(child)
            walks.append(answer["walk_cpu_ms"] / 1000 + child)
            snapshots.append(processor + child)
            attaches.append(memsnap_with_cost("attach", target.pid, "--no-save", "--no-inject", "--json", "--max-pause", "5s")[1] + child)
        objects = answer["objects"]
        rates = [objects / 1e6 / statistics.median(seconds) for seconds in (children, walks, snapshots)]
        print("| %s | %.2f | %.2f | %.2f | %.1f | %.1f | %.1f | %.2f | %.0f | %.2f |" % (
            name, objects / 1e6, answer["edges"] / objects, statistics.median(children), *rates,
            statistics.median(attaches), peak / objects, os.path.getsize(file) / objects), flush=True)


def main():
    sizes = [float(word) for word in sys.argv[1:]] or [1, 10]
    print("| memory | threads | bare clone, ms | memsnap's pause, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for gigabytes, threads in ((0.1, 1), (1, 1), (1, 8), (2, 8), (0.1, 200)):
        bare, ours = pauses(gigabytes, threads)
        print("| %s GB | %d | %.1f | %.1f | %.2f |" % (gigabytes, threads, bare, ours, ours / bare), flush=True)
    quiet, held = heartbeat(1)
    print("\nlongest silence of a thread, 1 GB: %.1f ms with a snapshot, %.1f ms in the same time without\n" % (held, quiet))
    print("| heap | M objects | references an object | child, CPU s | M objects/s in the child | M objects/s walked | M objects/s in all | "
          "attach to report, CPU s | peak memory, B/object | file, B/object |\n| --- " + "| --- " * 9 + "|")
    for millions in sizes:
        walk("tuples, ints, strings", SMALL_OBJECTS, millions)
        walk("sessions", WEB, millions)


if __name__ == "__main__":
    main()
