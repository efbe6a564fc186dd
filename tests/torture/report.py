"""What the counts look like, on a terminal and as a page."""

import collections
import os
import platform
import shlex
import subprocess

from plan import FAULTS, OPERATIONS


def failure(result, seed):
    """All that is needed to see it again."""
    lines = ["", "cycle %d HARM" % result["cycle"] if result["harm"] else "cycle %d LEFT BEHIND" % result["cycle"]]
    lines += ["  " + line for line in result["harm"] + result["left"]]
    lines += ["  target: %s on %s%s" % (result["kind"], result["interpreter"], ", all memory from one heap" if result["one_heap"] else ""),
              "  operation: %s %s" % (result["operation"], " ".join(result["options"])),
              "  fault: %s after %.4f s (moment %.4f, variant %.4f)" % (result["fault"], result["delay"], result["moment"], result["variant"]),
              "  again: scripts/torture --seed %d --cycle %d" % (seed, result["cycle"])]
    lines += ["  | " + line for text in result["told"] for line in text.rstrip().splitlines()]
    return "\n".join(lines)


METHODS = ("auto", "freeze", "stop", "read")
ROWS = [*("snapshot --method " + method for method in METHODS), *(operation for operation in OPERATIONS if operation != "snapshot")]


def row_of(result):
    """Snapshots by each method."""
    if result["operation"] != "snapshot":
        return result["operation"]
    return "snapshot --method " + result["options"][result["options"].index("--method") + 1]


def table_of(results, rows, row_of, columns, column_of):
    """Rows of text, with sums."""
    cells = collections.Counter((row_of(result), column_of(result)) for result in results)
    counts = [[cells[row, column] for column in columns] for row in rows]
    lines = [[row, *map(str, line), str(sum(line))] for row, line in zip(rows, counts)]
    sums = [sum(column) for column in zip(*counts)]
    return [["", *columns, "all"], *lines, ["all", *map(str, sums), str(sum(sums))]]


def markdown(rows):
    return ["| %s |" % " | ".join(rows[0]), "|%s" % (" --- |" * len(rows[0])), *("| %s |" % " | ".join(row) for row in rows[1:]), ""]


class Counts:
    def __init__(self, results, missing, seconds):
        self.results, self.missing, self.seconds = results, missing, seconds
        self.refused = collections.Counter((result["fault"], result["status"]) for result in results if result["refused"])
        self.harm = sum(1 for result in results if result["harm"])
        self.left = sum(1 for result in results if result["left"])
        self.kept = sum(1 for result in results if result["kept"])
        self.faults = sum(1 for result in results if result["fault"] != "none" and not result["not_run"])
        self.survived = sum(1 for result in results
                            if result["fault"] != "none" and not result["not_run"] and not result["harm"] and not result["left"])
        self.not_run = collections.Counter(result["not_run"] for result in results if result["not_run"])

    def table(self):
        """Operations by faults."""
        return table_of(self.results, ROWS, row_of, list(FAULTS), lambda result: result["fault"])

    def tables_of_kinds(self):
        """Kinds of targets by operations, and by faults."""
        kinds = sorted({result["kind"] for result in self.results})
        return (table_of(self.results, kinds, lambda result: result["kind"], list(OPERATIONS), lambda result: result["operation"]),
                table_of(self.results, kinds, lambda result: result["kind"], list(FAULTS), lambda result: result["fault"]))

    def totals(self):
        lines = ["cycles run: %d in %.0f s" % (len(self.results), self.seconds),
                 "faults survived: %d of %d" % (self.survived, self.faults),
                 "refused, with a documented exit code: %d%s" % (sum(self.refused.values()), "".join(
                     "; %s: %d with code %s" % (fault, count, status) for (fault, status), count in sorted(self.refused.items(), key=str))),
                 "harm found: %d" % self.harm, "leftovers: %d" % self.left,
                 "an agent that was left in, passing everything through, since something may lead into it (code 12): %d" % self.kept,
                 "not run: %d" % (sum(self.not_run.values()) + len(self.missing))]
        lines += ["  %d cycles: %s" % (count, why) for why, count in self.not_run.items()]
        return lines + ["  %s: %s" % item for item in self.missing.items()]

    def text(self):
        rows = self.table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths)))
                 for row in rows]
        return "\n".join(["", *lines, "", *self.totals()])


def glibc_of(interpreter):
    program = "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"
    return subprocess.run([*interpreter.command, "-I", "-c", program], stdout=subprocess.PIPE, text=True).stdout.strip()


def page(counts, interpreters, seed, wanted):
    command = "scripts/torture --cycles %d --seed %d --report docs/reliability.md" % (len(counts.results), seed)
    of = collections.Counter(result["interpreter"] for result in counts.results)
    operations, faults = counts.tables_of_kinds()
    lines = [INTRODUCTION % command,
             "## What was run", "",
             "Linux %s, %d processors." % (platform.release().split("-")[0], os.cpu_count() or 1), "",
             "| interpreter | C library | cycles |", "| --- | --- | --- |",
             *("| %s | %s | %d |" % (one.name, glibc_of(one), of[one.name]) for one in interpreters), "",
             "## Cycles, by operation and fault", "", *markdown(counts.table()),
             "## Cycles, by kind of target and operation", "", *markdown(operations),
             "## Cycles, by kind of target and fault", "", *markdown(faults), "## Counts", "", *("- " + line.strip() for line in counts.totals()), ""]
    return "\n".join(lines)


INTRODUCTION = """# Reliability

Written by this command, which anybody can repeat:

    %s

One cycle is one operation of memsnap, with one fault, on one living process. Each target keeps a checksum of its work, and looks
from inside for harm: memory that nobody writes, descriptors, children, signals (numbered real-time signals from another process, each
of which must arrive once), timers (each must fire once, and not early), threads that stand still, requests that fail. The same is
looked at from outside: mappings, descriptors, threads, their states, tracers and signal masks, children. What a killed memsnap left has
to be gone after `memsnap detach`.
Applications of Debian's packages (gunicorn with Django, Flask, pandas) know nothing of the test: their answers are checked, and what is
seen from outside; gunicorn's worker is the one that is looked at, and it runs no other program.

`scripts/torture --self-test` proves that harm would be seen: it leaks one mapping, loses one signal, leaves one thread stopped, leaks one
descriptor, leaves one dead child, ends one sleep early, changes one byte of memory, one run for each, and passes when each is found.

What the faults are: memsnap is killed by SIGKILL at a random moment, all its processes or only one; the target is killed, runs another
program, forks, or exits meanwhile; the output goes to a full file system or beyond a limit of file sizes; memsnap or the target has but
little memory (RLIMIT_AS); the target ends and another Python process has its pid. In "track" the session is in the background and is
ended by detach, in "detach" the fault comes while a session is ended.
"""
