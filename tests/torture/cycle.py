"""One operation of memsnap with one fault on one living target, and what must hold afterwards."""

import contextlib
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

from targets import FROZEN, HERE, PATIENCE, SYSTEM_PYTHON, Harm, die_with_parent, harness, held_threads, look_outside, name_of, wait_for

DONE, NO_SUCH, NO_PERMISSION, UNSUPPORTED, BUSY, GAVE_UP, CANNOT_WRITE, ENDED, LEFT = 0, 3, 4, 5, 6, 7, 9, 11, 12
NOT_LOADED = 127  # the loader's: the limit does not hold the program itself
# What each fault may lead to. Whatever it was, a refusal for want of a moment or because of another memsnap is one.
STATUSES = {
    "none": {DONE, BUSY, GAVE_UP},
    "memsnap killed": {DONE, BUSY, GAVE_UP, -signal.SIGKILL},
    "target killed": {DONE, NO_SUCH, GAVE_UP, ENDED},
    "target execs": {DONE, NO_SUCH, UNSUPPORTED, BUSY, GAVE_UP, ENDED},
    "target forks": {DONE, BUSY, GAVE_UP},
    "target exits": {DONE, NO_SUCH, GAVE_UP, ENDED},
    "disk full": {DONE, BUSY, GAVE_UP, CANNOT_WRITE},
    "memory limit": {DONE, BUSY, GAVE_UP},
    "pid reused": {DONE, NO_SUCH, GAVE_UP, ENDED},
}
STANDS_LITTLE_MEMORY = ("busy", "gc")  # the others start threads or processes, which then fail
ENDING = ("target killed", "target exits", "pid reused")
PAGE = 4096


def shortened(output):
    lines = output.decode(errors="replace").splitlines()
    return "\n".join(lines if len(lines) <= 16 else [*lines[:6], "[...]", *lines[-10:]])


class Run:
    """Commands of memsnap, one after the other, in a thread, so that a fault can come at any moment."""

    def __init__(self, program, commands, folder, limits):
        self.program, self.commands, self.folder, self.limits = program, commands, folder, limits
        self.results = []  # (arguments, status, output)
        self.process = None
        self.killed = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.started = time.monotonic()
        self.seconds = None
        self.thread.start()

    def run(self):
        for pause, arguments in self.commands:
            time.sleep(pause)
            if self.killed:
                break
            self.one(arguments)
        self.seconds = time.monotonic() - self.started

    def one(self, arguments):
        with open(self.folder / "output", "w+b") as output:  # not a pipe: a keeper would hold it open
            environment = dict(os.environ, MEMSNAP_DIR=str(self.folder), HOME=str(self.folder))
            self.process = subprocess.Popen([*self.program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, env=environment, preexec_fn=self.set_limits)
            hung = ""
            try:
                status = self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                hung = "hung for %d s\n" % PATIENCE
                self.process.kill()
                status = self.process.wait()
            output.seek(0)
            self.results.append((arguments, "hung" if hung else status, hung + shortened(output.read())))

    def set_limits(self):
        for limit, value in self.limits.items():
            resource.setrlimit(limit, (value, value))

    def wait(self):
        self.thread.join()

    def told(self):
        return ["memsnap %s: status %s\n%s" % (" ".join(map(str, arguments)), status, output) for arguments, status, output in self.results]


class Outcome:
    def __init__(self):
        self.status = None  # of the command that matters
        self.survived = False  # the fault came about, and all is well
        self.refused = False
        self.kept = False  # an agent that passes everything through, which memsnap said it left (code 12)
        self.notes = []
        self.not_run = ""
        self.harm = []
        self.left = []
        self.told = []
        self.delay = 0.0


def children_of_this(known):
    found = [pid for pid in harness.children_of(os.getpid()) if pid not in known]
    for pid in list(found):
        with contextlib.suppress(OSError):
            found += harness.children_of(pid)
    return found


class Lab:
    """What the cycles of one lane share: folders, the process that takes pids, how long operations take."""

    def __init__(self, program, folder, small_disk):
        self.program, self.folder = program, folder
        self.small_disk = small_disk  # a file system that is soon full; None: only the limit of file sizes
        self.usual = {}
        self.taker = None
        self.known = set()

    def known_children(self, target):
        known = {target.process.pid}
        known |= {target.load.process.pid} if target.load else set()
        return known | ({self.taker.pid} if self.taker else set())

    def take_pid(self, pid):
        if self.taker is None:
            self.taker = subprocess.Popen([SYSTEM_PYTHON, "-I", str(HERE / "pid_taker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          bufsize=0, preexec_fn=die_with_parent, start_new_session=True)
        return self.ask_taker(pid)

    def ask_taker(self, word):
        self.taker.stdin.write(b"%s\n" % str(word).encode())
        if not select.select([self.taker.stdout], [], [], PATIENCE)[0]:
            raise Harm(["the process with the pid of another does not end"])
        return self.taker.stdout.readline().decode().strip()


class CycleRun:
    def __init__(self, lab, cycle, target):
        self.lab, self.cycle, self.target = lab, cycle, target
        self.outcome = Outcome()
        self.folder = lab.folder / "cycle"
        self.limits = {}
        self.output = self.folder / "out"
        self.bystander = False
        self.left_something = False  # by its own words

    def run(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        try:
            self.prepare()
            run = Run(self.lab.program, self.commands(), self.folder, self.limits)
            self.fault(run)
            run.wait()
            self.outcome.told += run.told()
            self.judge(run)
            self.look_after(run)
        except Harm as harm:
            self.outcome.harm += harm.lines
        finally:
            self.clean()
        self.outcome.survived = not self.outcome.harm and not self.outcome.left
        return self.outcome

    # What is run.

    def prepare(self):
        cycle = self.cycle
        if cycle.fault == "disk full":
            if cycle.variant < 0.5 or self.lab.small_disk is None:
                self.limits = {resource.RLIMIT_FSIZE: int(cycle.moment * 40000)}
            else:
                self.output = self.lab.small_disk / "out"
        if cycle.fault == "memory limit" and (cycle.variant < 0.5 or cycle.kind not in STANDS_LITTLE_MEMORY):
            self.limits = {resource.RLIMIT_AS: int((10 + cycle.moment * 150) * (1 << 20))}
        if cycle.operation == "detach" and not self.run_to_its_end("attach", self.target.pid, "--background", "-o", self.folder / "first", *cycle.options):
            self.outcome.not_run = "the session before the detach was refused"

    def commands(self):
        cycle, pid = self.cycle, self.target.pid
        output = ["-o", self.output, "-f", "--min-free", "0"]
        if cycle.operation in ("snapshot", "attach"):
            return [(0, [cycle.operation, pid, *cycle.options, *output])]
        if cycle.operation == "track":
            return [(0, ["attach", pid, "--background", *cycle.options, *output]), (cycle.variant * 0.1, ["detach", pid])]
        if cycle.operation == "detach":
            return [(0, ["detach", pid])]
        if cycle.operation == "threads":
            return [(0, ["threads", pid, *cycle.options, "-o", self.output, "-f"])]
        return [(0, ["point", pid, "--log", self.output, *cycle.options])]

    def run_to_its_end(self, *arguments):
        """True: it did what it is for. Without faults."""
        return self.status_of(*arguments) == DONE

    def status_of(self, *arguments):
        run = Run(self.lab.program, [(0, list(arguments))], self.folder, {})
        run.wait()
        self.outcome.told += run.told()
        status = run.results[0][1]
        if status not in (DONE, BUSY, GAVE_UP, LEFT):
            raise Harm(["memsnap %s: status %s" % (arguments[0], status)])
        return status

    # What happens meanwhile.

    def fault(self, run):
        cycle, key = self.cycle, (self.cycle.operation, self.cycle.kind)
        usual = self.lab.usual.get(key, 0.4)
        if cycle.fault in ("none", "disk full"):
            run.wait()
            self.lab.usual[key] = 0.7 * usual + 0.3 * run.seconds
            return
        if cycle.fault == "memory limit":  # memsnap's own, or the target's
            self.limit_target(run) if not self.limits else run.wait()
            return
        self.outcome.delay = cycle.moment * usual
        run.thread.join(self.outcome.delay)
        {"memsnap killed": self.kill_memsnap, "target killed": self.kill_target, "target execs": self.exec_target,
         "target forks": lambda run: self.target.say("fork"), "target exits": lambda run: self.target.say("exit"),
         "pid reused": self.reuse_pid}[cycle.fault](run)

    def limit_target(self, run):
        """It may have but little more memory than it has."""
        pid = self.target.pid
        size = int(pathlib.Path("/proc/%d/statm" % pid).read_text().split()[0]) * PAGE
        before = resource.prlimit(pid, resource.RLIMIT_AS)
        self.target.limited = True
        resource.prlimit(pid, resource.RLIMIT_AS, (size + int(self.cycle.moment ** 3 * (8 << 20)), before[1]))
        run.wait()
        resource.prlimit(pid, resource.RLIMIT_AS, before)

    def memsnaps(self):
        return [pid for pid in children_of_this(self.lab.known_children(self.target)) if name_of(pid) != FROZEN]

    def kill_memsnap(self, run):
        """All of it at one moment; now and then only one process of it."""
        run.killed = True
        for attempt in range(5):  # one that was being forked
            pids = self.memsnaps()
            for pid in pids[:1] if self.cycle.variant < 0.3 else pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.cycle.variant < 0.3 or not pids:
                break
        run.wait()

    def kill_target(self, run):
        self.target.kill()

    def exec_target(self, run):
        if self.target.load is not None:
            self.target.load.pause()
        self.target.say("exec")

    def reuse_pid(self, run):
        pid = self.target.pid
        self.target.kill()
        answer = self.lab.take_pid(pid)
        deadline = time.monotonic() + 5
        while answer != "taken" and time.monotonic() < deadline:  # a frozen copy may be its child still, or somebody of its group
            time.sleep(0.002)
            answer = self.lab.take_pid(pid)
        self.bystander = answer == "taken"
        if not self.bystander:
            self.outcome.not_run = "the pid could not be had again: %s" % answer

    # What must hold afterwards.

    def judge(self, run):
        allowed = set(STATUSES[self.cycle.fault])
        if self.cycle.fault == "memory limit" and self.limits:
            allowed.add(NOT_LOADED)
        if "read" in self.cycle.options:
            allowed.add(UNSUPPORTED)  # what changed under its eyes: "try again"
        for arguments, status, output in run.results:
            if status == LEFT:  # said; whether a later detach takes it out is looked at
                self.left_something = True
                self.outcome.notes += [line.strip() for line in output.splitlines() if line.startswith(("  the agent", "  a dead child"))]
                continue
            if status not in allowed:
                self.outcome.harm.append("memsnap %s: status %s" % (arguments[0], status))
        self.outcome.status = max((status for _, status, _ in run.results if isinstance(status, int)), default=None)
        self.outcome.refused = self.outcome.refused or any(status not in (DONE, -signal.SIGKILL) for _, status, _ in run.results)

    def look_after(self, run):
        target, fault = self.target, self.cycle.fault
        if fault == "target exits":
            target.expect_end(7)
        if fault in ENDING:
            self.look_at_bystander()
            self.nothing_lives()
            return
        if fault == "target execs":  # what the new program is like has yet to be seen, without memsnap
            self.clean_up()
            target.begin()
        else:
            target.check("look")
            self.clean_up()
        target.check("look" if self.outcome.kept else "check")
        if fault != "memsnap killed":
            self.no_files_left(run)

    def clean_up(self):
        """What memsnap offers for it, once more when the moment was bad."""
        if self.left_something:
            pass
        elif self.cycle.fault == "none" and self.cycle.operation not in ("track", "detach") and not self.outcome.refused:
            return self.no_keeper()
        elif self.cycle.fault != "memsnap killed" and self.cycle.operation in ("snapshot", "threads", "point"):
            return self.no_keeper()
        deadline = time.monotonic() + PATIENCE
        for attempt in range(1000):
            status = self.status_of("detach", self.target.pid)
            self.reap()
            # Where one process of it was killed another may only be beginning: it is ended when it has begun.
            if status == DONE and not self.memsnaps():
                return
            if status == LEFT and attempt >= 8:
                self.outcome.kept = True  # memsnap says that it must not be taken out yet; the target is used no more
                return
            if time.monotonic() > deadline:
                break
            time.sleep(min(0.05 * attempt, 0.5))
        self.outcome.left.append("detach does not take out what a memsnap left: code %s; processes %s" % (status, self.memsnaps()))

    def no_keeper(self):
        if not wait_for(lambda: not self.reap() and not self.memsnaps(), 60):
            self.outcome.left.append("processes of memsnap go on: %s" % [(pid, name_of(pid)) for pid in self.memsnaps()])

    def reap(self):
        """Of processes whose parent has ended. True: one that is dead is still there."""
        known = self.lab.known_children(self.target)
        for pid in harness.children_of(os.getpid()):
            if pid not in known:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG | 0x40000000)  # __WALL: a frozen copy has no exit signal
        return False

    def look_at_bystander(self):
        if not self.bystander:
            return
        found = look_outside(self.target.pid)
        harm = ["the process with the same pid: " + line for line in held_threads(found)]
        harm += ["the process with the same pid: %s" % line for line in found["maps"] if "memsnap" in line]
        harm += ["the process with the same pid has children: %s" % found["children"]] if found["children"] else []
        status = self.lab.ask_taker("end")
        self.bystander = False
        if status != "7":
            harm.append("the process with the same pid ended with %s" % status)
        if harm:
            raise Harm(harm)

    def nothing_lives(self):
        """Of a target that ended nothing goes on: no frozen copy, no keeper."""
        if not wait_for(lambda: not self.reap() and not children_of_this(self.lab.known_children(self.target)), 60):
            self.outcome.left.append("processes go on after the target's end: %s" % [
                (pid, name_of(pid)) for pid in children_of_this(self.lab.known_children(self.target))])

    def no_files_left(self, run):
        names = {path.name for path in self.folder.iterdir()} - {"output", "out", "first", "out.log", "first.log"}
        names -= {"out-before", "first-before"}
        if self.cycle.operation == "point" and self.cycle.fault == "disk full":
            names -= {"out-wal", "out-shm", "out-journal"}  # of the database, which holds on to what it could not write
        if self.output.parent != self.folder:
            names |= {path.name for path in self.output.parent.iterdir()} - {"out", "out.log", "out-before", "out-wal", "out-shm"}
        if names:
            self.outcome.left.append("files: %s" % sorted(names))

    def clean(self):
        if self.bystander:
            with contextlib.suppress(Harm):
                self.lab.ask_taker("end")
        if self.lab.small_disk is not None:
            for path in self.lab.small_disk.iterdir():
                path.unlink()
