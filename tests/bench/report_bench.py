#!/usr/bin/env python3
"""What reports on files cost: on two snapshots of one process, between which a third of its sessions goes and new ones come, and on a
recording of an hour with 50,000 stacks. And what the analysis of made-up graphs costs before a file is there.

usage: report_bench.py [--objects MILLIONS,...] [--turns N] [--write]
"""

import argparse
import statistics
import subprocess
import tempfile

from heaps import BUILD, Process, memsnap_with_cost, snapshot_with_cost
from section import Section, spread

HEAP = ("summary", "tree", "stats", "objects -n 20", "objects --cycles", "inspect @7", "roots --largest")
RECORDING = ("summary", "summary --by line", "summary --leaks", "summary --peak", "tree", "tree --inverted", "table", "stats")


def costs(section, name, arguments, turns):
    """Processor seconds, after a row of it; and peak bytes."""
    runs = [memsnap_with_cost(*arguments, "--json") for _ in range(turns)]
    seconds, peak = [run[1] for run in runs], max(run[2] for run in runs)
    section.row("`%s`" % name, spread(seconds), "%.0f" % (peak / 2**20))
    return seconds, peak


def heads(section, what):
    section.line("\n%s\n" % what)
    section.table("report", "CPU, s", "peak memory, MiB")


def promise_slowest(section, found, name):
    slowest = max(found, key=lambda report: statistics.median(found[report]))
    section.promise("slowest of %d reports, `%s`, s, %s" % (len(found), slowest, name), found[slowest], most=1)


def on_snapshots(section, millions, turns):
    with tempfile.TemporaryDirectory() as folder:
        old, new = folder + "/old.msnap", folder + "/new.msnap"
        with Process("sessions", millions) as process:
            before, _, walking = snapshot_with_cost(process, old)
            process.ask(b"x")
            after = snapshot_with_cost(process, new)[0]
        heads(section, "%.1f M and %.1f M objects" % (before["objects"] / 1e6, after["objects"] / 1e6))
        name = "%.1f M objects" % (before["objects"] / 1e6)
        found = {}
        for report in HEAP:
            command, *options = report.split()
            found[report], _ = costs(section, report, [command, new, *options], turns)
        if millions <= 1:
            promise_slowest(section, found, name)
        for report, files in (("diff", [old, new]), ("diff --by path", [old, new]), ("growth", [old, new, new])):
            command, *options = report.split()
            seconds, peak = costs(section, report, [command, *files, *options], turns)
            if command == "diff" and millions >= 9:
                section.promise("%s, s, %s twice" % (report, name), seconds, most=10)
                section.promise("%s, memory, of what taking both snapshots needed, %s" % (report, name), [peak / (2 * walking)], most=1)


def on_a_recording(section, turns):
    with tempfile.NamedTemporaryFile(suffix=".msnap") as file:
        said = subprocess.run([BUILD / "bin" / "capture_bench", "record", file.name, "1"], stdout=subprocess.PIPE, text=True, check=True).stdout
        heads(section, said.strip())
        found = {}
        for report in RECORDING:
            command, *options = report.split()
            found[report], _ = costs(section, report, [command, file.name, *options], turns)
        promise_slowest(section, found, "a recording of an hour")


def on_made_up_graphs(section, objects):
    words = [str(BUILD / "bin" / "analysis_bench"), *(str(millions) for millions in objects if millions <= 10)]
    for line in subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        section.line(line)
        cells = line.strip("| ").split(" | ")
        if cells[0] in ("records", "aged") and float(cells[1]) >= 1:
            section.promise("dominators and retained sizes, M objects/s, %s, %s M" % tuple(cells[:2]), [float(cells[3])], least=5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", default="1,10,40")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    objects = [float(word) for word in options.objects.split(",")]
    with Section("analysis", options.write) as section:
        on_made_up_graphs(section, objects)
    with Section("reports", options.write) as section:
        for millions in objects:
            on_snapshots(section, millions, options.turns)
        on_a_recording(section, options.turns)


if __name__ == "__main__":
    main()
