"""What reports on snapshot files cost: `python3 tests/bench/report_bench.py [OBJECTS_IN_MILLIONS...]`, after the release build.

Two snapshots of one process, between which a third of its sessions go and new ones come. Prints the rows of docs/benchmarks.md:
medians of three runs of each report.
"""

import statistics
import sys
import tempfile

from live_bench import harness, memsnap_with_cost

SESSIONS = """
import datetime, os, sys
class Session:
    def __init__(self, number):
        self.user, self.basket, self.seen = "user-%d" % number, [number, number + 1], datetime.datetime(2024, 1, 1)
        self.cache = {"key-%d" % (number % 1000): (number, None, 1.5 * number)}
count = int(float(sys.argv[1]) * 1e6) // 11
KEPT = {number: Session(number) for number in range(count)}
os.write(1, b"ready\\n")
os.read(0, 1)
for number in range(0, count, 3):
    del KEPT[number]
NEW = {number: Session(number) for number in range(count // 5)}
os.write(1, b"changed\\n")
os.read(0, 1)
"""


def reports(old, new):
    yield "summary", ["summary", new]
    yield "tree", ["tree", new]
    yield "stats", ["stats", new]
    yield "objects -n 20", ["objects", new, "-n", "20"]
    yield "objects --cycles", ["objects", new, "--cycles"]
    yield "inspect @7", ["inspect", new, "@7"]
    yield "roots --largest", ["roots", new, "--largest"]
    yield "diff", ["diff", old, new]
    yield "diff --by path", ["diff", old, new, "--by", "path"]
    yield "growth, 3 files", ["growth", old, new, new]


def main():
    for millions in [float(word) for word in sys.argv[1:]] or [1, 10]:
        with harness.Target(SESSIONS, millions, python=["/usr/bin/python3"]) as target, tempfile.TemporaryDirectory() as folder:
            old, new = folder + "/old.msnap", folder + "/new.msnap"
            answer = memsnap_with_cost("snapshot", target.pid, "-o", old, "--json", "--max-pause", "5s")[0]
            target.say(b"x")
            target.expect(b"changed")
            later = memsnap_with_cost("snapshot", target.pid, "-o", new, "--json", "--max-pause", "5s")[0]
            print("\n%.1f M and %.1f M objects\n\n| report | CPU, s | peak memory, MiB |\n| --- | --- | --- |" % (
                answer["objects"] / 1e6, later["objects"] / 1e6))
            for name, arguments in reports(old, new):
                runs = [memsnap_with_cost(*arguments, "--json") for _ in range(3)]
                print("| %s | %.2f | %.0f |" % (name, statistics.median(run[1] for run in runs), runs[0][2] / (1 << 20)), flush=True)


if __name__ == "__main__":
    main()
