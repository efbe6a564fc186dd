#!/usr/bin/env python3
"""What a snapshot of a running process costs, and how that grows: pauses beside those of a bare clone, walks, memory, files, reports.

usage: live_bench.py [--objects MILLIONS,...] [--memory GIB,...] [--turns N] [--write]

Ratios are of runs side by side, medians of several; rates are objects for each second of processor time, that of the copy included. Needs
the release build, a quiet machine, and 4 GiB for each 10 million objects.
"""

import argparse
import os
import statistics
import subprocess
import tempfile

from heaps import BUILD, Process, memsnap_with_cost, snapshot_with_cost
from section import Section, spread

BARE_CLONE = BUILD / "bin" / "bare_clone"


def pauses(section, gigabytes, threads, turns):
    """The bare clone, memsnap's own figure, and the longest silence of a thread, on one process in turn."""
    bare, ours, heard, quiet = [], [], [], []
    with Process("mapped", gigabytes, threads) as process, tempfile.TemporaryDirectory() as folder:
        for _ in range(turns):
            done = subprocess.run([BARE_CLONE, str(process.pid), "1"], stdout=subprocess.PIPE, text=True, check=True)
            bare.append(float(done.stdout))
            answer = snapshot_with_cost(process, folder + "/x")[0]
            assert answer["method"] == "freeze", answer
            ours.append(answer["pause_ms"])
            silence, took = process.silence_of(lambda: snapshot_with_cost(process, folder + "/x"))
            heard.append(1000 * silence)
            quiet.append(1000 * process.silence_of(lambda: subprocess.run(["sleep", str(took)], check=True))[0])
    ratios = [mine / other for mine, other in zip(ours, bare)]
    section.row("%g GiB" % gigabytes, threads, spread(bare), spread(ours), spread(ratios), spread(heard), spread(quiet))
    name = "%g GiB and %d threads" % (gigabytes, threads)
    if gigabytes >= 1 and threads <= 8:
        section.promise("pause, times a bare clone's, " + name, ratios, most=1.3)
    else:
        section.promise("pause above a bare clone's, ms, " + name, [mine - other for mine, other in zip(ours, bare)], most=2 + 0.05 * threads)
    if threads == 2:  # with more the scheduler is measured
        section.promise("silence of a thread above a bare clone's pause, ms, " + name, [mine - other for mine, other in zip(heard, bare)],
                        most=statistics.median(bare) * 0.3 + 2.05)


def walk(section, kind, size, turns):
    """A row, and what of it is plotted. The first turn, which pays for memory that the machine itself has to find, is not counted."""
    pause, walked, rates, children, attached, peaks = [], [], [], [], [], []
    with Process(kind, size) as process, tempfile.TemporaryDirectory() as folder:
        file = folder + "/x.msnap"
        for turn in range(turns + 1):
            answer, processor, peak = snapshot_with_cost(process, file)
            if turn == 0:
                continue
            child, objects = answer["child_cpu_ms"] / 1000, answer["objects"]
            pause.append(answer["pause_ms"])
            walked.append(processor)
            peaks.append(peak)
            children.append(objects / child / 1e6)
            rates.append(objects / (answer["walk_cpu_ms"] / 1000 + child) / 1e6)
            attached.append(memsnap_with_cost("attach", process.pid, "--no-save", "--no-inject", "--json", "--max-pause", "60s")[1] + child)
        plain = snapshot_with_cost(process, folder + "/plain.msnap", "--kind", "heap", "--strings", "names", "--no-native-memory")[0]
        reports = {name: [memsnap_with_cost(name, file, "--json")[1] for _ in range(turns)] for name in ("summary", "tree")}
        paths = memsnap_with_cost("roots", file, "--largest", "--json")[1]
        stored = os.path.getsize(file)
    rss = answer["memory"]["rss"]
    section.row(kind, "%.2f" % (objects / 1e6), "%.1f" % (rss / 2**30), spread(pause), spread(children), spread(rates), spread(walked), spread(attached),
                "%.0f" % (statistics.median(peaks) / 2**20), "%.1f" % (stored / 2**20), spread(reports["summary"]), spread(reports["tree"]))
    name = "%s, %.1f M objects" % (kind, objects / 1e6)
    if objects >= 3e5 and kind != "payloads":
        section.promise("closure, M objects/s of the copy's processor time, " + name, children, least=5 if kind == "application" else 10)
        section.promise("with sizes, references and names, M objects/s, " + name, rates, least=3)
        section.promise("file, B an object, " + name, [plain["file_bytes"] / objects], most=15)
    if objects >= 9e6:
        section.promise("attach to report, s for each 10 M objects, " + name, [seconds / objects * 1e7 for seconds in attached], most=15)
        section.promise("the same and paths to the largest, µs an object, " + name, [(seconds + paths) / objects * 1e6 for seconds in attached], most=1.5)
        section.promise("memsnap's memory, B an object, " + name, [peak / objects for peak in peaks], most=150)
    return {"objects": objects / 1e6, "rss": rss / 2**30, "pause": statistics.median(pause) / 1000, "snapshot": statistics.median(walked),
            "attach --no-inject": statistics.median(attached), "summary": statistics.median(reports["summary"]), "tree": statistics.median(reports["tree"]),
            "memory": statistics.median(peaks) / 2**20, "file": stored / 2**20}


def plots(section, rows, x, x_name, title):
    seconds = ("pause", "snapshot", "attach --no-inject", "summary", "tree")
    section.plot(title, x_name, "s", {key: [(row[x], row[key]) for row in rows] for key in seconds})
    section.plot(title + " memory", x_name, "MiB", {key: [(row[x], row[key]) for row in rows] for key in ("memory", "file")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", default="0.1,1,10,40")
    parser.add_argument("--memory", default="1,2,4,8")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    objects, memory = ([float(word) for word in words.split(",")] for words in (options.objects, options.memory))
    with Section("pauses", options.write) as section:
        section.table("memory", "threads", "bare clone, ms", "memsnap's pause, ms", "ratio", "longest silence of a thread, ms", "in the same time without, ms")
        for gigabytes, threads in [(0.1, 2), (0.1, 200), (1, 8), *((size, 2) for size in memory)]:
            pauses(section, gigabytes, threads, max(options.turns, 5))
    with Section("scale", options.write) as section:
        section.table("heap", "M objects", "GiB", "pause, ms", "M objects/s in the copy", "M objects/s walked", "snapshot, CPU s", "attach to report, CPU s",
                      "memsnap's memory, MiB", "file, MiB", "summary, CPU s", "tree, CPU s")
        walk(section, "application", 0, options.turns)
        walk(section, "tuples", max(size for size in objects if size <= 10), options.turns)
        by_objects = [walk(section, "sessions", size, options.turns) for size in objects]
        by_memory = [walk(section, "payloads", size, options.turns) for size in memory]
        section.line()
        if len(objects) > 1:
            plots(section, by_objects, "objects", "million objects", "Objects")
        if len(memory) > 1:
            plots(section, by_memory, "rss", "GiB", "Resident")


if __name__ == "__main__":
    main()
