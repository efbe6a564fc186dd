#!/usr/bin/env python3
"""What tracking costs the target: CPU time of workloads with the agent at work, divided by that of the same without it.

usage: tracking_bench.py [--rounds N] [--modes malloc,objects,sampled,native,memray,memray objects,memray native] [--workloads a,b] [--seconds X]
                         [--write] PYTHON [ARGUMENT...]

A plain process and the tracked ones take turns, a round each; each number is the median of the rounds' quotients, with its quartiles. Needs
build/release (MEMSNAP_BUILD: another build). memray is run by the interpreter's own memray module, where there is one.
"""

import argparse
import contextlib
import math
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import agent_harness  # noqa: E402
import harness  # noqa: E402
from section import Section  # noqa: E402

WORKLOADS = {
    "calls": """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def work():
    fib(25)
""",
    "objects": """
class Node:
    def __init__(self, n):
        self.left = None
        self.value = (n, str(n))
def work():
    keep = [Node(i) for i in range(60000)]
    table = {i: [i] for i in range(60000)}
    del keep, table
""",
    "big blocks": """
def work():
    for i in range(1500):
        a = bytearray(100000 + i)
        b = [None] * 20000
        c = bytes(a)
""",
    "json": """
import json
data = {"k%d" % i: {"a": [i, i * 2.5, None, True], "b": "text %d" % i, "c": {"d": "x" * (i % 50)}} for i in range(1500)}
def work():
    for _ in range(10):
        json.loads(json.dumps(data))
""",
    "pickle": """
import pickle
data = [{"id": i, "name": "name %d" % i, "list": list(range(i % 20)), "t": (i, str(i))} for i in range(4000)]
def work():
    for _ in range(8):
        pickle.loads(pickle.dumps(data, 4))
""",
    "regex": """
import re
text = " ".join("word%d foo@example%d.org 12:%02d:%02d" % (i, i % 7, i % 60, i % 59) for i in range(3000))
word = re.compile(r"(\\w+)@(\\w+)\\.org|(\\d+):(\\d+)")
def work():
    for _ in range(6):
        for match in word.finditer(text):
            match.groups()
        word.sub(lambda m: m.group(0).upper(), text)
""",
    "threads": """
import threading
def part():
    keep = []
    for i in range(25000):
        keep.append([i, str(i) * 30, {"a": i}])
        if len(keep) > 500:
            del keep[:250]
def work():
    threads = [threading.Thread(target=part) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
""",
    "depth 100": """
def down(n):
    if n:
        return down(n - 1)
    keep = []
    for i in range(60000):
        keep.append([i] * 80)
        if len(keep) > 100:
            keep.clear()
    return len(keep)
def work():
    down(100)
""",
    "strings": """
def work():
    for _ in range(12):
        lines = ["%d,%s,%f" % (i, "field" * (i % 9), i / 3) for i in range(8000)]
        text = "\\n".join(lines)
        rows = [line.split(",") for line in text.split("\\n")]
        sum(len(row[1]) for row in rows)
""",
    "numpy": """
import numpy
def work():
    for i in range(1200):
        a = numpy.arange(3000.0)
        b = a * 2 + a[::-1]
        c = [numpy.zeros(20) for _ in range(40)]
        d = (a > b).sum()
""",
}

# A round each time that it is asked for one.
BODY = """
import sys, time
{prepare}
work = names["work"]
work()
{record}
for line in sys.stdin:
    begin = time.process_time()
    for _ in range(int(line)):
        work()
    print(time.process_time() - begin, flush=True)
{finish}
"""
# Else malloc gives memory back to the system and takes it again, or not, by what happens to lie at the end of its heap:
# that decides more than any tracking. Without it nothing but the work itself is left to compare with.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_TOP_PAD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
MODES = {
    "malloc": {"period": 1, "domains": False},
    "objects": {"period": 1, "domains": True},
    "sampled": {"period": 512 << 10, "domains": False},
    "native": {"period": 1, "domains": False, "native": True},
    "sampled native": {"period": 512 << 10, "domains": False, "native": True},
    "sampled objects": {"period": 512 << 10, "domains": True},
}
# At most, geometric mean and worst: of releases before 3.14, and since.
PROMISED = {
    "malloc": ((1.3, 2.5), (1.15, 1.5)),
    "objects": ((1.8, 5), (1.4, 2.0)),
    "sampled": ((1.05, 1.15), (1.05, 1.15)),
    "native": ((1.6, 3.5), (1.3, 2.0)),
}


@contextlib.contextmanager
def running(name, mode):
    """The process that does the work of `name`, asked for rounds by its standard input."""
    prepare, record, finish = "pass", "", ""
    options = {"records": 4096}  # as memsnap makes them
    if mode in MODES:
        prepare, record, finish = "start()", "agent.in_process_record(1)", "agent.in_process_record(0)"
        options |= MODES[mode]
    elif mode.startswith("memray"):
        prepare = "import memray, os; tracker = memray.Tracker('/tmp/memray-%d' % os.getpid(), trace_python_allocators=" + str("objects" in mode) + ", native_traces=" + str("native" in mode) + ")"
        record, finish = "tracker.__enter__()", "tracker.__exit__(None, None, None); os.unlink('/tmp/memray-%d' % os.getpid())"
        if harness.PYTHON[0] == "chroot":  # memray reads /proc, which the tree does not have
            options["prefix"] = ["unshare", "-m", "sh", "-c", 'mount --bind /proc "$2/proc" && exec "$@"', "sh"]
    body = BODY.format(prepare=prepare, record=record, finish=finish)
    with agent_harness.program(WORKLOADS[name] + "\nprogram = None\n", body=body, warm=False, environment=MALLOC, **options) as (_, call):
        with subprocess.Popen(**call, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            yield process
            with contextlib.suppress(BrokenPipeError):  # of work that cannot be done here
                process.stdin.close()


def round_of(process, loops):
    """CPU seconds of so many loops, or None when the workload or the tool is not here."""
    try:
        process.stdin.write("%d\n" % loops)
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    return float(line) if line else None


def compare(name, modes, rounds, seconds):
    """{mode: quotients by round, None: not here}, or None when the work cannot be done here. Rounds of all modes take turns,
    so that what else the machine does meets all of them."""
    with contextlib.ExitStack() as stack:
        processes = {mode: stack.enter_context(running(name, mode)) for mode in ["plain", *modes]}
        once = round_of(processes["plain"], 1)
        if once is None:
            return None
        loops = max(1, round(seconds / once))
        found = {mode: [] if round_of(process, loops) is not None else None for mode, process in processes.items()}
        for number in range(rounds):
            order = [mode for mode in processes if found[mode] is not None]
            times = {mode: round_of(processes[mode], loops) for mode in (order if number % 2 == 0 else reversed(order))}
            for mode in order:
                found[mode].append(times[mode] / times["plain"])
        return found


def geometric_mean(ratios):
    return math.exp(statistics.mean(map(math.log, ratios)))


def measure(section, arguments, version):
    modes = arguments.modes.split(",")
    section.table("CPython %d.%d.%d" % version, *modes)
    ratios = {mode: [] for mode in modes}
    for name in arguments.workloads.split(","):
        found = compare(name, modes, arguments.rounds, arguments.seconds)
        if found is None:
            section.row(name, *["not here"] * len(modes))
            continue
        row = []
        for mode in modes:
            if found[mode] is None:
                row.append("not here")
                continue
            low, middle, high = statistics.quantiles(found[mode], n=4)
            ratios[mode].append(middle)
            row.append("%.2f (%.2f-%.2f)" % (middle, low, high))
        section.row(name, *row)
    for number, (label, pick) in enumerate((("geometric mean", geometric_mean), ("worst", max))):
        section.row(label, *("%.2f" % pick(ratios[mode]) if ratios[mode] else "" for mode in modes))
        for mode in modes:
            if mode in PROMISED and ratios[mode] and arguments.workloads == ",".join(WORKLOADS):
                section.promise("tracking, %s, CPython %d.%d, %s" % (mode, *version[:2], label), [pick(ratios[mode])],
                                most=PROMISED[mode][version >= (3, 14)][number])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--modes", default="malloc,objects,sampled,native")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time of one plain round")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("python", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    harness.PYTHON[:] = arguments.python
    version = harness.python_facts(arguments.python)[0]
    with Section("tracking with %d.%d" % version[:2], arguments.write) as section:
        measure(section, arguments, version)


if __name__ == "__main__":
    main()
