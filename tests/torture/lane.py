"""A process that runs cycles one after the other; several of them run at once."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

from applications import Application
from cycle import CycleRun, ENDING, Lab, Outcome
from plan import BLOCK
from targets import APPLICATIONS, LIBC, PR_SET_CHILD_SUBREAPER, Harm, Target, die_with_parent

CLONE_NEWNS = 0x20000
MS_PRIVATE_REC = (1 << 18) | (1 << 14)
SMALL = b"size=48k"


def small_disk(folder):
    """A file system that is full after a few pages, seen by this process and its children alone. None without root."""
    place = folder / "small"
    place.mkdir()
    if os.getuid() != 0 or LIBC.unshare(CLONE_NEWNS) != 0:
        return None
    LIBC.mount(None, b"/", None, ctypes.c_ulong(MS_PRIVATE_REC), None)
    if LIBC.mount(b"tmpfs", bytes(place), b"tmpfs", ctypes.c_ulong(0), SMALL) != 0:
        return None
    return place


class Lane:
    def __init__(self, plan, program, only=None):
        self.plan, self.program, self.only = plan, program, only
        self.target = None
        self.ending = False

    def begin_end(self, *_):
        if not self.ending:  # Ctrl-C goes to all, and the program sends a signal too: the second is not to cut the end short
            self.ending = True
            sys.exit(1)

    def work(self, blocks, results):
        """`blocks`: a file of lines (first cycle, last cycle); `results`: the answers, a line of JSON for each cycle."""
        with tempfile.TemporaryDirectory(prefix="memsnap-torture-") as name:
            folder = pathlib.Path(name)
            disk = small_disk(folder)
            self.lab = Lab(self.program, folder, disk)
            try:
                self.run_blocks(blocks, results)
            finally:
                self.end_target()
                if self.lab.taker is not None:
                    self.lab.taker.kill()
                    self.lab.taker.wait()
                if disk is not None:
                    LIBC.umount2(bytes(disk), 2)

    def run_blocks(self, blocks, results):
        try:
            for line in blocks:
                first, last = json.loads(line)
                for number in range(first, last):
                    self.tell(results, self.cycle(number))
                self.end_target()
                print(json.dumps({"block": first}), file=results, flush=True)
        finally:
            self.ending = True

    def cycle(self, number):
        cycle = self.plan.cycle(number)
        started = time.monotonic()
        run = None
        try:
            if self.target is None:
                self.target = self.start(cycle)
            run = CycleRun(self.lab, cycle, self.target)
            outcome = run.run()
        except Harm as harm:  # a target that does not begin
            outcome = Outcome()
            outcome.harm += harm.lines
        except Exception:  # of this program: a result too, not an end
            outcome = run.outcome if run else Outcome()
            outcome.harm.append("the harness failed: " + traceback.format_exc())
        if (outcome.harm or outcome.left) and self.target is not None:
            outcome.told += ["the target said on stderr:", *self.target.last_words()]
        if outcome.harm or outcome.left or outcome.kept or cycle.fault in ENDING:
            self.end_target()
        return cycle, outcome, time.monotonic() - started

    def start(self, cycle):
        if cycle.kind in APPLICATIONS:
            return Application(cycle.kind, cycle.interpreter, self.lab.folder)
        return Target(cycle.kind, cycle.interpreter, cycle.one_heap)

    def end_target(self):
        if self.target is not None:
            self.target.close()
            self.target = None

    @staticmethod
    def tell(results, told):
        cycle, outcome, seconds = told
        bad = bool(outcome.harm or outcome.left)
        print(json.dumps({
            "cycle": cycle.number, "kind": cycle.kind, "interpreter": cycle.interpreter.name, "one_heap": cycle.one_heap,
            "operation": cycle.operation, "options": cycle.options, "fault": cycle.fault, "delay": outcome.delay, "variant": cycle.variant,
            "moment": cycle.moment, "status": outcome.status, "refused": outcome.refused, "kept": outcome.kept, "notes": outcome.notes,
            "not_run": outcome.not_run, "harm": outcome.harm,
            "left": outcome.left, "told": outcome.told if bad else [], "seconds": seconds}), file=results, flush=True)


class LaneProcess:
    """A lane as a child of the program, so that the children of each are told apart."""

    def __init__(self, lane):
        blocks, self.blocks = os.pipe()
        self.results, results = os.pipe()
        self.busy = False
        self.buffer = b""
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                die_with_parent()
                os.close(self.blocks)
                os.close(self.results)
                LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
                signal.signal(signal.SIGTERM, lane.begin_end)
                signal.signal(signal.SIGINT, lane.begin_end)
                lane.work(os.fdopen(blocks), os.fdopen(results, "w"))
                status = 0
            except SystemExit:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(blocks)
        os.close(results)

    def give(self, first, last):
        os.write(self.blocks, json.dumps([first, last]).encode() + b"\n")
        self.busy = True

    def read(self):
        """What it has said; raises EOFError when it has ended."""
        got = os.read(self.results, 1 << 20)
        if not got:
            raise EOFError
        *lines, self.buffer = (self.buffer + got).split(b"\n")
        found = [json.loads(line) for line in lines]
        if any("block" in line for line in found):
            self.busy = False
        return [line for line in found if "cycle" in line]

    def end(self):
        with contextlib.suppress(OSError):
            os.close(self.blocks)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.results)
        return status
