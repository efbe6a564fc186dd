#!/usr/bin/env python3
"""What a whole session leaves behind, and what its tables take: `python3 tests/bench/attach_bench.py [--rounds N] PYTHON [ARGUMENT...]`.

A process that is tracked and one that is not take turns with the same work: before tracking, while it lasts, and after it. Each
number is the median of the rounds' quotients of processor time, with its quartiles. Then: the memory of the tables for each live
block, asked of the kernel while 2 million small objects live. Needs the release build.
"""

import argparse
import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import harness  # noqa: E402

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
    low, middle, high = statistics.quantiles(found, n=4)
    return "%.2f (%.2f-%.2f)" % (middle, low, high)


def phases(mode, options, rounds, folder):
    with program(WORK) as tracked, program(WORK) as plain:
        loops = max(1, round(0.1 / ask(plain, 1)))
        row = [quotients(tracked, plain, loops, rounds)]
        memsnap("attach", tracked.pid, "--background", *options, "-f", "-o", folder / "capture")
        row.append(quotients(tracked, plain, loops, rounds))
        memsnap("detach", tracked.pid)
        row.append(quotients(tracked, plain, loops, rounds))
    print("| %s | %s |" % (mode, " | ".join(row)), flush=True)


def bytes_of_tables(pid):
    smaps = pathlib.Path("/proc/%d/smaps" % pid).read_text()
    return sum(int(size) * 1024 for size in re.findall(r"memfd:memsnap[^\n]*\n(?:[A-Z][^\n]*\n)*?Rss: +(\d+) kB", smaps))


def tables(folder):
    blocks = 2_000_000
    with program(LIVE) as process:
        memsnap("attach", process.pid, "--background", *MODES["every object"], "-o", folder / "live")
        ask(process, 1)
        empty = bytes_of_tables(process.pid)
        ask(process, blocks)
        full = bytes_of_tables(process.pid)
        memsnap("detach", process.pid)

    print("tables: %.1f MiB empty, %.1f B for each of %d tuples and their numbers" % (empty / 2**20, (full - empty) / (2 * blocks), blocks))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("python", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    harness.PYTHON[:] = arguments.python
    with tempfile.TemporaryDirectory(prefix="memsnap-attach-bench-") as folder:
        print("| %s | before | tracked | afterwards |\n| --- | --- | --- | --- |" % ".".join(map(str, harness.python_facts(arguments.python)[0])))
        for mode, options in MODES.items():
            phases(mode, options, arguments.rounds, pathlib.Path(folder))
        tables(pathlib.Path(folder))


if __name__ == "__main__":
    main()
