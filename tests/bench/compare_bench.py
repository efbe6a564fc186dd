#!/usr/bin/env python3
"""memsnap beside other ways to look at the heap of a running Python process, on the same processes, in turn.

usage: compare_bench.py [--sizes MILLIONS,...] [--turns N] [--write]

For each way: how long a thread of the process that looks at the clock hears nothing, how long it takes, and what it needs. Medians and, in
brackets, least and most. --write puts the tables into docs/benchmarks.md, and plots beside it. Wants a quiet machine, and 4 GiB for each
10 million objects.
"""

import argparse
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

from heaps import PYTHON, Process, harness
from section import Section, spread

LONG = ("--max-pause", "60s")


def run(*words):
    done = subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError("%s: %d\n%s" % (words, done.returncode, done.stderr))


def ways(process, folder):
    """{name: what is done}. Those that are not installed are left out."""
    log = ("--log", folder / "points")
    found = {
        "memsnap snapshot": lambda: run(harness.MEMSNAP, "snapshot", process.pid, "-q", "-f", "-o", folder / "x.msnap", *LONG),
        "memsnap attach --no-inject": lambda: run(harness.MEMSNAP, "attach", process.pid, "--no-inject", "--no-save", *LONG),
        "memsnap point": lambda: run(harness.MEMSNAP, "point", process.pid, *log),
        "memsnap point --objects": lambda: run(harness.MEMSNAP, "point", process.pid, "--objects", *log, *LONG),
        "gdb attach and detach": lambda: run("gdb", "-nx", "-batch", "-p", process.pid),
        "gcore": lambda: run("gcore", "-o", folder / "core", process.pid),
        "objgraph.typestats inside": lambda: process.ask(b"o"),
        "closure inside": lambda: process.ask(b"c"),
    }
    for name, program in (("gdb attach and detach", "gdb"), ("gcore", "gcore")):
        if shutil.which(program) is None:
            print("%s is not installed: left out" % program, file=sys.stderr)
            del found[name]
    if subprocess.run([PYTHON, "-c", "import objgraph"], stderr=subprocess.DEVNULL).returncode:
        print("python3-objgraph is not installed: left out", file=sys.stderr)
        del found["objgraph.typestats inside"]
    return found


def processor_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def compare(millions, turns):
    """{way: {"silence": [..], "took": [..], "processor": [..]}} in seconds, and the last snapshot's JSON."""
    with Process("sessions", millions) as process, tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        chosen = ways(process, folder)
        found = {way: {"silence": [], "took": [], "processor": []} for way in chosen}
        for _ in range(turns):
            for way, work in chosen.items():
                before = processor_seconds(resource.RUSAGE_CHILDREN)
                silence, took = process.silence_of(work)
                for key, value in (("silence", silence), ("took", took), ("processor", processor_seconds(resource.RUSAGE_CHILDREN) - before)):
                    found[way][key].append(value)
                for core in folder.glob("core*"):
                    core.unlink()
        facts = harness.memsnap("info", folder / "x.msnap", "--json").json()
    return found, facts


def describe(section, found, facts):
    section.line("%.2f M objects, %.0f MiB resident\n" % (facts["totals"]["objects"] / 1e6, facts["memory"]["rss"] / 2**20))
    section.table("", "longest silence, ms", "takes, s", "processor time outside, s")
    for way, values in found.items():
        outside = spread(values["processor"]) if "inside" not in way else ""
        section.row(way, spread(values["silence"], 1000), spread(values["took"]), outside)
    section.line()


def promises(section, found, facts):
    size = "%.1f M objects" % (facts["totals"]["objects"] / 1e6)

    def ratio(way, key, other, other_key):
        return [a / b for a, b in zip(found[way][key], found[other][other_key])]

    if "gcore" in found:
        section.promise("silence with gcore, times that of a snapshot, %s" % size, ratio("gcore", "silence", "memsnap snapshot", "silence"), least=10)
    section.promise("time of a closure inside, times the silence of `point --objects`, %s" % size,
                    ratio("closure inside", "took", "memsnap point --objects", "silence"), least=100)


def plots(section, results):
    for key, title, name, scale in (("silence", "Silence", "ms", 1000), ("took", "Time", "s", 1)):
        lines = {}
        for found, facts in results:
            for way, values in found.items():
                if statistics.median(values[key]) > 0:
                    lines.setdefault(way, []).append((facts["totals"]["objects"] / 1e6, statistics.median(values[key]) * scale))
        section.plot(title, "million objects", name, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="0.1,1,10,40")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    version = subprocess.run([PYTHON, "-c", "import platform; print(platform.python_version())"], stdout=subprocess.PIPE, text=True).stdout.strip()
    results = []
    with Section("compare", options.write) as section:
        section.line("CPython %s, Linux %s, %d processors; %d turns: medians (least-most).\n" % (
            version, platform.release().split("-")[0], os.cpu_count(), options.turns))
        for size in options.sizes.split(","):
            results.append(compare(float(size), options.turns))
            describe(section, *results[-1])
        plots(section, results)
        for result in results:
            if result[1]["totals"]["objects"] >= 1e6 or len(results) == 1:
                promises(section, *result)


if __name__ == "__main__":
    main()
