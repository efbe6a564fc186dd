"""The processes that are looked at, seen from outside."""

import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import harness  # noqa: E402

PATIENCE = 150  # for a hang, not for slowness
# The files of target/, each a module that may import those before it; the last one runs.
PROGRAM = json.dumps({name: (HERE / "target" / (name + ".py")).read_text()
                      for name in ("kind", "computing", "processes", "signalled", "lines", "server", "program")})
BOOT = """import json, os, sys, types
for name, text in json.loads(os.environ["TORTURE_PROGRAM"]).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
"""
SYSTEM_PYTHON = "/usr/bin/python3"
FROZEN = "memsnap-frozen"  # the name of a frozen copy
# Where every mapping can be accounted for: malloc's memory comes from the heap alone.
ONE_HEAP = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296",
            "GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296"}
# Ended by a word; their pid may run another program, or be another process.
INSIDE = ("busy", "threads", "gc", "forking", "signals", "pool", "server", "numpy")
# Applications of Debian's packages: the modules they need, how they are started.
APPLICATIONS = {"gunicorn": ("gunicorn", "django"), "flask": ("flask", "gevent"), "pandas": ("pandas", "numpy")}
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Harm(Exception):
    """Something that must never be; `lines` say what."""

    def __init__(self, lines):
        super().__init__("; ".join(lines))
        self.lines = lines


def die_with_parent():
    """Before a program is run: it is not for Ctrl-C to end it. No session of its own, or its pid could not be had again at once."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def name_of(pid):
    try:
        text = pathlib.Path("/proc/%d/stat" % pid).read_text()
    except OSError:
        return None
    return text[text.index("(") + 1:text.rindex(")")]


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def mapping_key(line):
    """A line of /proc/PID/maps that may be compared: the heap and the stack grow."""
    fields = line.split(None, 5)
    name = fields[5] if len(fields) > 5 else ""
    if name in ("[heap]", "[stack]"):
        return name
    return " ".join([fields[0], fields[1], name])


def strange_mapping(line):
    """One that a program of ours never makes while it works."""
    fields = line.split(None, 5)
    name = fields[5] if len(fields) > 5 else ""
    return "memsnap" in name or "/memfd:" in name or "x" in fields[1] or fields[1].endswith("s")


def outside(pid):
    """What a process looks like from outside."""
    found = harness.fingerprint(pid)
    for task in found["threads"]:
        base = "/proc/%d/task/%s/" % (pid, task)
        found["threads"][task]["State"] = pathlib.Path(base + "stat").read_text().rpartition(")")[2].split()[0]
        found["threads"][task]["Name"] = pathlib.Path(base + "comm").read_text().strip()
    found["maps"] = pathlib.Path("/proc/%d/maps" % pid).read_text().splitlines()
    found["settings"] = {name: pathlib.Path("/proc/%d/%s" % (pid, name)).read_text().strip()
                         for name in ("oom_score_adj", "coredump_filter", "personality")}
    return found


def look_outside(pid):
    """outside(), of a process whose threads may end meanwhile."""
    for attempt in range(20):
        try:
            return outside(pid)
        except (FileNotFoundError, ProcessLookupError):
            time.sleep(0.01)
    return outside(pid)


def what_stays(look):
    """What several looks at a process that runs have in common."""
    found = look()
    for _ in range(10):
        if not found:
            break
        time.sleep(0.01)
        again = look()
        found = [line for line in found if line in again]
    return found


class Target:
    """One of the kinds of target/."""

    def __init__(self, kind, interpreter, one_heap):
        self.kind, self.interpreter = kind, interpreter
        self.one_heap = one_heap
        self.load = None
        environment = dict(os.environ, TORTURE_BOOT=BOOT, TORTURE_PROGRAM=PROGRAM, PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore",
                           OPENBLAS_NUM_THREADS="2")
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environment.pop(name, None)
        environment.update(ONE_HEAP if one_heap else {})
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*interpreter.command, "-c", BOOT, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, env=environment, bufsize=0, preexec_fn=die_with_parent)
        self.pid = self.process.pid
        self.buffer = b""
        self.begin()

    def begin(self):
        answer = self.answer()
        if answer is None or answer.get("harm"):
            raise Harm(["it did not begin: %s" % answer])
        if self.kind == "server":
            if self.load is None:
                self.load = LoadProcess(answer["ready"], "numbers")
            else:
                self.load.say("go %d" % answer["ready"])
        self.before = None
        self.steps = -1
        self.check("check")  # twice: what comes about at first use is there then
        self.steps = -1
        self.before = None
        self.check("check")

    def say(self, word):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(word.encode() + b"\n")

    def answer(self):
        """A line of JSON; None when it ended."""
        deadline = time.monotonic() + PATIENCE
        fd = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Harm(["the target says nothing: %s" % self.states()])
            got = os.read(fd, 65536)
            if not got:
                return None
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def states(self):
        try:
            return {task: harness.pathlib.Path("/proc/%d/task/%s/stat" % (self.pid, task)).read_text().rpartition(")")[2].split()[0]
                    for task in os.listdir("/proc/%d/task" % self.pid)}
        except OSError:
            return "gone"

    def alive(self):
        return self.process.poll() is None

    def check(self, word):
        """Its own checks, and the same from outside. "look": something of a memsnap that was killed may still be in it."""
        self.say(word)
        answer = self.answer()
        if answer is None:
            raise Harm(["the target ended with status %s" % self.process.wait()])
        harm = ["from inside: " + line for line in answer["harm"]]
        if answer["steps"] <= self.steps and self.kind != "server":
            harm.append("from inside: no step since the last check")
        self.steps = answer["steps"]
        if answer["starved"] and not getattr(self, "limited", False):
            harm.append("from inside: memory ran out")
        if self.before is None:
            self.before = self.at_rest()
        else:
            found = self.differences if word == "check" else lambda after, answer: held_threads(after)
            harm += ["from outside: " + line for line in what_stays(lambda: found(look_outside(self.pid), answer))]
        self.say("go")
        if self.load is not None:
            harm += self.load.check()
        if harm:
            raise Harm(harm)

    def at_rest(self):
        """What is the same in two looks: a signal is blocked while its handler runs."""
        before = look_outside(self.pid)
        for _ in range(50):
            after = look_outside(self.pid)
            if {task: facts["SigBlk"] for task, facts in before["threads"].items()} == {
                    task: facts["SigBlk"] for task, facts in after["threads"].items()}:
                return after
            before = after
        return before

    def differences(self, after, answer):
        before, found = self.before, held_threads(after)
        ignored = {str(fd) for fd in answer["ignored"]}
        if set(after["children"]) != set(answer["children"]):
            found.append("children: it knows %s, and there are %s" % (answer["children"], [(pid, name_of(pid)) for pid in after["children"]]))
        for part in ("fds", "threads", "settings"):
            for key in sorted(set(before[part]) | set(after[part])):
                old, new = before[part].get(key), after[part].get(key)
                if isinstance(old, dict) and isinstance(new, dict):
                    names = [name for name in old if old[name] != new.get(name) and name not in ("State", "SigPnd", "ShdPnd")]
                    old, new = {name: old[name] for name in names}, {name: new.get(name) for name in names}
                if old != new and not (part == "fds" and key in ignored) and not (self.kind == "server" and part == "fds"):
                    found.append("%s %s: %s -> %s" % (part, key, old, new))
        return found + self.new_mappings(after)

    def new_mappings(self, after):
        if self.one_heap:
            old, new = ({mapping_key(line) for line in found["maps"]} for found in (self.before, after))
            return ["mappings: new %s" % line for line in sorted(new - old)] + ["mappings: gone %s" % line for line in sorted(old - new)]
        old = {mapping_key(line) for line in self.before["maps"]}
        return ["mappings: new %s" % line for line in after["maps"] if strange_mapping(line) and mapping_key(line) not in old]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def expect_end(self, status):
        """After the word exit."""
        answer = self.answer()
        got = self.process.wait(PATIENCE)
        if answer is None or "bye" not in answer or answer["harm"] or got != status:
            raise Harm(["at its end it said %s, with status %s" % (answer, got)])

    def close(self):
        if self.load is not None:
            self.load.close()
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def last_words(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").splitlines()[-12:]


def held_threads(found):
    return ["thread %s is held: state %s, tracer %s" % (task, facts["State"], facts["TracerPid"])
            for task, facts in found["threads"].items() if facts["State"] in "tTZX" or facts["TracerPid"] != "0"]


class LoadProcess:
    def __init__(self, port, answers):
        self.process = subprocess.Popen([SYSTEM_PYTHON, "-I", "-S", str(HERE / "load.py"), str(port), answers], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0, preexec_fn=die_with_parent)
        self.requests = 0

    def say(self, word):
        self.process.stdin.write(word.encode() + b"\n")

    def line(self):
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise Harm(["a request takes more than %d s" % PATIENCE])
        return self.process.stdout.readline()

    def pause(self):
        self.say("pause")
        self.line()

    def check(self):
        """Requests went on, and none failed."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.say("count")
            totals = json.loads(self.line())
            if totals["failed"]:
                return ["requests failed: %s" % totals["failed"]]
            if totals["requests"] > self.requests:
                self.requests = totals["requests"]
                return []
            if time.monotonic() > deadline:
                return ["no request was answered"]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
