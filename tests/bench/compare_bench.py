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
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
import harness  # noqa: E402
from svg_plot import plot  # noqa: E402

PYTHON = "/usr/bin/python3"
HOUR = 3600
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- by scripts/bench: -->\n", "<!-- end of what scripts/bench wrote -->\n"

# Sessions as a web service keeps them; a thread that looks at the clock; and what is done from inside.
PROGRAM = """
import collections, datetime, gc, os, sys, threading, time
class Session:
    def __init__(self, number):
        self.user, self.basket, self.seen = "user-%d" % number, [number, number + 1], datetime.datetime(2024, 1, 1)
        self.cache = {"key-%d" % (number % 1000): (number, None, 1.5 * number)}
KEPT = {"s%d" % number: Session(number) for number in range(int(float(sys.argv[1]) * 1e6) // 12)}
sys.setswitchinterval(0.0005)
longest, beating = 0.0, False
def beat():
    global longest
    last = time.perf_counter()
    while True:
        if not beating:
            time.sleep(0.001)
            last = time.perf_counter()
            continue
        now = time.perf_counter()
        longest = max(longest, now - last)
        last = now
def closure():
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
threading.Thread(target=beat, daemon=True).start()
os.write(1, b"ready\\n")
while True:
    word = os.read(0, 1)
    if word == b"b":
        longest, beating = 0.0, True
        os.write(1, b"ok\\n")
    elif word == b"l":
        beating = False
        os.write(1, b"longest %.6f\\n" % longest)
    elif word in (b"c", b"o"):
        os.write(1, b"done %d\\n" % (closure() if word == b"c" else counts()))
    elif not word:
        break
"""


def run(*words):
    done = subprocess.run(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError("%s: %d\n%s" % (words, done.returncode, done.stderr))


def inside(target, word):
    target.say(word)
    target.expect(b"done", timeout=HOUR)


def ways(target, folder):
    """{name: what is done}. Those that are not installed are left out."""
    file = folder / "x.msnap"
    found = {
        "memsnap snapshot": lambda: run(harness.MEMSNAP, "snapshot", target.pid, "-q", "-f", "-o", file, "--max-pause", "10s"),
        "memsnap attach --no-inject": lambda: run(harness.MEMSNAP, "attach", target.pid, "--no-inject", "--no-save", "--max-pause", "10s"),
        "gdb attach and detach": lambda: run("gdb", "-nx", "-batch", "-p", target.pid),
        "gcore": lambda: run("gcore", "-o", folder / "core", target.pid),
        "objgraph.typestats inside": lambda: inside(target, b"o"),
        "closure inside": lambda: inside(target, b"c"),
    }
    for name, program in (("gdb attach and detach", "gdb"), ("gcore", "gcore")):
        if not any(os.access(os.path.join(place, program), os.X_OK) for place in os.environ["PATH"].split(":")):
            print("%s is not installed: left out" % program, file=sys.stderr)
            del found[name]
    if subprocess.run([PYTHON, "-c", "import objgraph"], stderr=subprocess.DEVNULL).returncode:
        print("python3-objgraph is not installed: left out", file=sys.stderr)
        del found["objgraph.typestats inside"]
    return found


def measure(target, work):
    """Seconds: the longest silence of the thread, all of it, processor time of what was started."""
    target.say(b"b")
    target.expect(b"ok")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    took, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    target.say(b"l")
    silence = float(target.expect(b"longest"))
    return silence, took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values, scale=1.0):
    values = [value * scale for value in values]
    return "%.3g (%.3g-%.3g)" % (statistics.median(values), min(values), max(values))


def compare(millions, turns):
    """{way: {"silence": [..], "took": [..], "processor": [..]}}, and facts of the target."""
    with harness.Target(PROGRAM, millions, python=[PYTHON], ready=None) as target, tempfile.TemporaryDirectory() as name:
        target.expect(b"ready", timeout=HOUR)
        folder = pathlib.Path(name)
        chosen = ways(target, folder)
        found = {way: {"silence": [], "took": [], "processor": []} for way in chosen}
        for _ in range(turns):
            for way, work in chosen.items():
                for key, value in zip(("silence", "took", "processor"), measure(target, work)):
                    found[way][key].append(value)
                for core in folder.glob("core*"):
                    core.unlink()
        info = harness.memsnap("info", folder / "x.msnap", "--json").json()
        facts = {"objects": info["totals"]["objects"], "rss": info["memory"]["rss"],
                 "file": (folder / "x.msnap").stat().st_size}
    return found, facts


def tables(results):
    out = []
    for found, facts in results:
        out.append("%.2f M objects, %.0f MiB resident; the snapshot file has %.2f B an object\n" % (
            facts["objects"] / 1e6, facts["rss"] / 2**20, facts["file"] / facts["objects"]))
        out.append("| | longest silence, ms | takes, s | processor time outside, s |\n| --- | --- | --- | --- |")
        for way, values in found.items():
            of_its_own = spread(values["processor"]) if "inside" not in way else ""
            out.append("| %s | %s | %s | %s |" % (way, spread(values["silence"], 1000), spread(values["took"]), of_its_own))
        out.append("")
    return "\n".join(out)


def plots(results):
    """{file name: SVG}"""
    made = {}
    for key, title, name, scale in (("silence", "How long the process hears nothing", "ms", 1000), ("took", "How long it takes", "s", 1)):
        lines = {}
        for found, facts in results:
            for way, values in found.items():
                lines.setdefault(way, []).append((facts["objects"] / 1e6, statistics.median(values[key]) * scale))
        made["benchmarks-%s.svg" % key] = plot(title, "million objects", name, lines)
    return made


def write(text, images):
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    for name, image in images.items():
        (DOCUMENT.parent / name).write_text(image)
        text += "![%s](%s)\n\n" % (name, name)
    DOCUMENT.write_text(before + BEGIN + "\n" + text + END + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="0.1,1,10,40")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    results = []
    for size in options.sizes.split(","):
        results.append(compare(float(size), options.turns))
        print(tables(results[-1:]), flush=True)
    if options.write:
        text = "CPython %s, Linux %s, %d processors; %d turns: medians (least-most).\n\n" % (
            subprocess.run([PYTHON, "-c", "import platform; print(platform.python_version())"], stdout=subprocess.PIPE, text=True).stdout.strip(),
            platform.release().split("-")[0], os.cpu_count(), options.turns)
        write(text + tables(results), plots(results))


if __name__ == "__main__":
    main()
