#!/usr/bin/env python3
"""What tracking costs the target: CPU time of workloads with the agent at work, divided by that of the same without it.

usage: tracking_bench.py [--runs N] [--modes malloc,objects,sampled,native,memray,memray native] [--workloads a,b] [--seconds X] PYTHON [ARGUMENT...]

Plain and tracked runs alternate; each number is a quotient of medians. Needs build/release (MEMSNAP_BUILD: another build).
memray is run by the interpreter's own memray module, where there is one.
"""

import argparse
import math
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import agent_harness  # noqa: E402
import harness  # noqa: E402

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

BODY = """
import time
{prepare}
work = names["work"]
work()
{record}
begin = time.process_time()
for _ in range({loops}):
    work()
took = time.process_time() - begin
{finish}
print(took)
"""
MODES = {
    "malloc": {"period": 1, "domains": False},
    "objects": {"period": 1, "domains": True},
    "sampled": {"period": 512 << 10, "domains": False},
    "native": {"period": 1, "domains": False, "native": True},
    "sampled native": {"period": 512 << 10, "domains": False, "native": True},
    "sampled objects": {"period": 512 << 10, "domains": True},
}


def run(name, mode, loops):
    """CPU seconds, or None when the workload cannot run here."""
    source = WORKLOADS[name] + "\nprogram = None\n"
    prepare, record, finish = "import json", "", ""
    options = {}
    if mode in MODES:
        prepare, record, finish = "import json; start()", "agent.in_process_record(1)", "agent.in_process_record(0)"
        options = MODES[mode]
    elif mode.startswith("memray"):
        prepare = "import json, memray, os; tracker = memray.Tracker('/tmp/memray-%d' % os.getpid(), trace_python_allocators=" + str("objects" in mode) + ", native_traces=" + str("native" in mode) + ")"
        record, finish = "tracker.__enter__()", "tracker.__exit__(None, None, None); os.unlink('/tmp/memray-%d' % os.getpid())"
        if harness.PYTHON[0] == "chroot":  # memray reads /proc, which the tree does not have
            options["prefix"] = ["unshare", "-m", "sh", "-c", 'mount --bind /proc "$2/proc" && exec "$@"', "sh"]
    try:
        result = agent_harness.run(source, body=BODY.format(prepare=prepare, record=record, finish=finish, loops=loops), warm=False, **options)
    except harness.Failed as failure:
        if "ModuleNotFoundError" in str(failure):
            return None
        raise
    return float(result["printed"][-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--modes", default="malloc,objects,sampled,native")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=0.3, help="CPU time of one plain run")
    parser.add_argument("python", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    harness.PYTHON[:] = arguments.python
    modes = arguments.modes.split(",")
    version = ".".join(map(str, harness.python_facts(arguments.python)[0]))
    print("%-12s %s" % (version, "".join("%16s" % mode for mode in modes)))
    ratios = {mode: [] for mode in modes}
    for name in arguments.workloads.split(","):
        once = run(name, "plain", 1)
        if once is None:
            print("%-12s not here" % name)
            continue
        loops = max(1, round(arguments.seconds / once))
        times = {mode: [] for mode in ["plain", *modes]}
        for _ in range(arguments.runs):
            for mode in times:
                times[mode].append(run(name, mode, loops))
        row = []
        for mode in modes:
            if None in times[mode]:
                row.append("%16s" % "-")
                continue
            ratio = statistics.median(times[mode]) / statistics.median(times["plain"])
            ratios[mode].append(ratio)
            row.append("%16.2f" % ratio)
        print("%-12s %s" % (name, "".join(row)), flush=True)
    for label, pick in (("geomean", lambda r: math.exp(statistics.mean(map(math.log, r)))), ("worst", max)):
        print("%-12s %s" % (label, "".join("%16.2f" % pick(ratios[mode]) if ratios[mode] else "%16s" % "-" for mode in modes)))


if __name__ == "__main__":
    main()
