"""scripts/torture: tries to make memsnap harm a process, and counts what comes of it."""

import argparse
import collections
import os
import pathlib
import random
import select
import signal
import sys
import time

import report
from lane import Lane, LaneProcess
from plan import BLOCK, FAULTS, OPERATIONS, Plan, combinations, interpreters_of
from targets import APPLICATIONS, INSIDE, harness

ROOT = harness.ROOT
SHORT = 1000
MOST_HARM = 10  # then it ends


class Torture:
    """`cycles` cycles of a plan, on several lanes at once."""

    def __init__(self, plan, program, jobs, out=sys.stdout, most_harm=MOST_HARM):
        self.plan, self.program, self.jobs, self.out, self.most_harm = plan, program, jobs, out, most_harm
        self.results = []
        self.bad = []
        self.ending = False

    def say(self, *words):
        print(*words, file=self.out, flush=True)

    def run(self, numbers):
        """`numbers`: pairs (first, last) of cycles that share targets."""
        waiting = collections.deque(numbers)
        total = sum(last - first for first, last in waiting)
        lanes = [LaneProcess(Lane(self.plan, self.program)) for _ in range(min(self.jobs, len(waiting)))]
        try:
            while (waiting and not self.ending) or any(lane.busy for lane in lanes):
                for lane in lanes:
                    if not lane.busy and waiting and not self.ending:
                        lane.give(*waiting.popleft())
                readable, _, _ = select.select([lane.results for lane in lanes], [], [], 1)
                for lane in lanes:
                    if lane.results in readable:
                        for result in lane.read():
                            self.take(result, total)
                if self.ending and len(self.bad) >= self.most_harm:
                    break
        finally:
            for lane in lanes:
                lane.end()

    def take(self, result, total):
        self.results.append(result)
        if result["harm"] or result["left"]:
            self.bad.append(result)
            self.say(report.failure(result, self.plan.seed))
            if len(self.bad) >= self.most_harm:
                self.ending = True
                self.say("%d cycles did harm: that is enough" % len(self.bad))
        for note in result["notes"]:
            self.say("cycle %d, code 12: %s" % (result["cycle"], note))
        if len(self.results) % 100 == 0:
            self.say("%d of %d cycles" % (len(self.results), total))


def blocks_of(cycles):
    return [(first, min(first + BLOCK, cycles)) for first in range(0, cycles, BLOCK)]


def whole(least):
    """A number that is not less."""
    def number(text):
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError("a whole number from %d on, not '%s'" % (least, text))
        return int(text)

    return number


def some_of(known):
    def words(text):
        for word in text.split(","):
            if word not in known:
                raise argparse.ArgumentTypeError("'%s' is none of %s" % (word, ", ".join(known)))
        return text.split(",")

    return words


def options():
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__.partition(": ")[2])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--short", action="store_true", help="%d cycles (default)" % SHORT)
    what.add_argument("--cycles", type=whole(0), metavar="N", help="so many; 0: until Ctrl-C")
    what.add_argument("--cycle", type=whole(0), metavar="N", help="only cycle N of that seed, --times often")
    what.add_argument("--self-test", action="store_true", help="plant harm, and see that it is found")
    parser.add_argument("--seed", type=whole(0), help="what all random choices follow from; printed")
    parser.add_argument("--times", type=whole(1), default=20, metavar="N", help="with --cycle; default 20")
    parser.add_argument("--report", metavar="FILE", help="write the counts there, as Markdown")
    parser.add_argument("--jobs", type=whole(1), default=2 * (os.cpu_count() or 1), help="targets at once; default two for each processor")
    parser.add_argument("--interpreters", default="", metavar="TEXT", help="only those with this in their names")
    parser.add_argument("--kinds", type=some_of((*INSIDE, *APPLICATIONS)), default=[*INSIDE, *APPLICATIONS], metavar="KIND,...",
                        help="of targets: %s" % ", ".join((*INSIDE, *APPLICATIONS)))
    parser.add_argument("--operations", type=some_of(OPERATIONS), default=list(OPERATIONS), metavar="OPERATION,...",
                        help=", ".join(OPERATIONS))
    parser.add_argument("--faults", type=some_of(FAULTS), default=list(FAULTS), metavar="FAULT,...", help=", ".join(FAULTS))
    return parser.parse_args()


def interpreters(chosen):
    file = pathlib.Path(os.environ.get("MEMSNAP_PYTHONS", ROOT / "build" / "release" / "pythons.txt"))
    found = [one for one in interpreters_of(file) if chosen in one.name]
    if not found:
        sys.exit("no interpreters in %s" % file)
    return found


def torture(wanted):
    seed = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(1 << 31)
    found = interpreters(wanted.interpreters)
    pairs, missing = combinations(found, wanted.kinds)
    plan = Plan(seed, pairs, wanted.faults, wanted.operations)
    if not pairs:
        sys.exit("scripts/torture: nothing to run: %s" % "; ".join("%s (%s)" % item for item in missing.items()))
    run = Torture(plan, [harness.MEMSNAP], wanted.jobs)
    run.say("seed %d; %d interpreters, %d kinds of targets on them; %d at once" % (seed, len(found), len(pairs), wanted.jobs))
    for what, why in missing.items():
        run.say("not run: %s (%s)" % (what, why))
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if wanted.cycle is not None:
            run.jobs = 1
            run.run([(wanted.cycle, wanted.cycle + 1)] * wanted.times)
        else:
            cycles = SHORT if wanted.cycles is None else wanted.cycles or 1 << 30
            run.run(blocks_of(cycles))
    except KeyboardInterrupt:
        run.say("ended by Ctrl-C")
    counts = report.Counts(run.results, missing, time.monotonic() - started)
    run.say(counts.text())
    if wanted.report:
        pathlib.Path(wanted.report).write_text(report.page(counts, found, seed, wanted))
    return 0 if run.results and not run.bad else 1


def main():
    wanted = options()
    if not os.access(harness.MEMSNAP, os.X_OK):
        sys.exit("scripts/torture: no program %s: cmake --preset release && cmake --build --preset release" % harness.MEMSNAP)
    if wanted.self_test:
        import self_test

        sys.exit(self_test.run(interpreters("system") or interpreters("")))
    sys.exit(torture(wanted))


if __name__ == "__main__":
    main()
