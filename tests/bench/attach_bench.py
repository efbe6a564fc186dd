#!/usr/bin/env python3
"""What a whole session costs, takes and leaves behind: `python3 tests/bench/attach_bench.py [--rounds N] [--write] PYTHON [ARGUMENT...]`.

A process that is tracked and one that is not take turns with the same work: before tracking, while it lasts, and after it. Each
number is the median of the rounds' quotients of processor time, with its quartiles. Then: the memory of the tables for each live
block, asked of the kernel while 2 million small objects live; and how long loading the agent into four busy threads takes. Needs the
release build.
"""

import argparse
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import harness  # noqa: E402
from section import Section  # noqa: E402

WORK = """
import sys, time
def work():
    keep = []
    for i in range(40000):
        keep.append([i, str(i) * 3, {"a": i}])
        if len(keep) > 500:
            del keep[:250]
print("ready", flush=True)
for line in sys.stdin:
    begin = time.process_time()
    for _ in range(int(line)):
        work()
    print(time.process_time() - begin, flush=True)
"""
LIVE = """
import sys
keep = []
print("ready", flush=True)
for line in sys.stdin:
    keep.extend((number,) for number in range(int(line)))
    print(0, flush=True)
"""
MODES = {"sampled": [], "every malloc": ["--sample", "1"], "every object": ["--sample", "1", "--allocators", "malloc,mmap,python"]}


@contextlib.contextmanager
def program(source):
    with subprocess.Popen([*harness.PYTHON, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the program did not come up")
            yield process
        finally:
            process.stdin.close()
            process.wait(harness.PATIENCE)


def ask(process, number):
    process.stdin.write("%d\n" % number)
    process.stdin.flush()
    return float(process.stdout.readline())


def memsnap(*arguments):
    done = subprocess.run([harness.MEMSNAP, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("memsnap %s: %s\n%s" % (" ".join(map(str, arguments)), done.returncode, done.stderr))
    return done.stdout


def quotients(tracked, plain, loops, rounds):
    found = []
    for number in range(rounds):
        order = (tracked, plain) if number % 2 == 0 else (plain, tracked)
        times = {process: ask(process, loops) for process in order}
        found.append(times[tracked] / times[plain])
    return found


def phases(section, mode, options, rounds, folder, version):
    with program(WORK) as tracked, program(WORK) as plain:
        loops = max(1, round(0.1 / ask(plain, 1)))
        found = [quotients(tracked, plain, loops, rounds)]
        memsnap("attach", tracked.pid, "--background", *options, "-f", "-o", folder / "capture")
        found.append(quotients(tracked, plain, loops, rounds))
        memsnap("detach", tracked.pid)
        found.append(quotients(tracked, plain, loops, rounds))
    section.row(mode, *("%.2f (%.2f-%.2f)" % (middle, low, high) for low, middle, high in (statistics.quantiles(phase, n=4) for phase in found)))
    section.promise("time of work after a session, of that of an untouched process, %s, CPython %s" % (mode, version), found[-1], most=1.05)


def bytes_of_tables(pid):
    smaps = pathlib.Path("/proc/%d/smaps" % pid).read_text()
    return sum(int(size) * 1024 for size in re.findall(r"memfd:memsnap[^\n]*\n(?:[A-Z][^\n]*\n)*?Rss: +(\d+) kB", smaps))


def tables(section, folder, version):
    blocks = 2_000_000
    with program(LIVE) as process:
        memsnap("attach", process.pid, "--background", *MODES["every object"], "-o", folder / "live")
        ask(process, 1)
        empty = bytes_of_tables(process.pid)
        ask(process, blocks)
        full = bytes_of_tables(process.pid)
        memsnap("detach", process.pid)
    each = (full - empty) / (2 * blocks)
    section.line("\nTables: %.1f MiB empty, %.1f B for each of %d tuples and their numbers." % (empty / 2**20, each, blocks))
    section.promise("tables of tracking, B a live block, CPython %s" % version, [each], most=45)


def loading(section, cycles, version):
    """By the test that does it again and again, which fails where the process is not as before."""
    environment = dict(os.environ, MEMSNAP_PYTHON=" ".join(harness.PYTHON), MEMSNAP_CYCLES=str(cycles))
    tests = harness.ROOT / "build" / "release" / "bin" / "integration_tests"
    done = subprocess.run([os.environ.get("MEMSNAP_TESTS", tests), "--gtest_filter=InjectPython.BusyThreads"],
                          env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = re.search(r"p50 of (\d+): start ([\d.]+) ms, stopped for it ([\d.]+) ms", done.stdout)
    if done.returncode != 0 or said is None:
        raise SystemExit(done.stdout)
    section.line("\nLoading the agent into four busy threads: %s ms, of which the process is stopped for %s ms (medians of %s)." % (said[2], said[3], said[1]))
    section.promise("loading the agent, ms, CPython %s" % version, [float(said[2])], most=15)
    section.promise("stopped for loading the agent, ms, CPython %s" % version, [float(said[3])], most=5)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("python", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    harness.PYTHON[:] = arguments.python
    version = "%d.%d" % harness.python_facts(arguments.python)[0][:2]
    with Section("sessions with " + version, arguments.write) as section, tempfile.TemporaryDirectory(prefix="memsnap-attach-bench-") as folder:
        section.table("CPython " + version, "before", "tracked", "afterwards")
        for mode, options in MODES.items():
            phases(section, mode, options, arguments.rounds, pathlib.Path(folder), version)
        tables(section, pathlib.Path(folder), version)
        loading(section, arguments.cycles, version)


if __name__ == "__main__":
    main()
