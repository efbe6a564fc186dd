"""What is done: every cycle follows from the seed and its number, so that any of them can be repeated alone."""

import dataclasses
import pathlib
import random
import subprocess

from targets import APPLICATIONS, INSIDE, SYSTEM_PYTHON

BLOCK = 10  # cycles in a row on targets of the same kind and interpreter: starting one is dear

NO_FAULT = "none"
# What happens while memsnap works.
FAULTS = {
    NO_FAULT: 5,
    "memsnap killed": 7,
    "target killed": 2,
    "target execs": 2,
    "target forks": 2,
    "target exits": 2,
    "disk full": 2,
    "memory limit": 2,
    "pid reused": 1,
}
OPERATIONS = {"snapshot": 8, "attach": 5, "track": 4, "detach": 4, "threads": 4, "point": 4}


@dataclasses.dataclass(frozen=True)
class Interpreter:
    name: str
    command: tuple

    def has(self, *modules):
        program = ";".join("import " + module for module in modules)
        return subprocess.run([*self.command, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


@dataclasses.dataclass
class Cycle:
    number: int
    kind: str
    interpreter: Interpreter
    one_heap: bool
    operation: str
    options: list
    fault: str
    moment: float  # when the fault comes, as a part of the time that the operation usually takes
    variant: float  # which of the ways to do it


def interpreters_of(file):
    found = []
    for line in pathlib.Path(file).read_text().splitlines():
        name, _, *command = line.split()
        if command and "freethreaded" not in name:
            found.append(Interpreter(name, tuple(command)))
    return found


def combinations(interpreters, kinds):
    """([(kind, interpreter)], {what: why it is not run})."""
    found, missing = [], {}
    for interpreter in interpreters:
        for kind in INSIDE:
            if kind not in kinds:
                continue
            if kind == "numpy" and not interpreter.has("numpy"):
                missing["numpy, " + interpreter.name] = "no numpy"
            else:
                found.append((kind, interpreter))
    debian = [interpreter for interpreter in interpreters if interpreter.command[0].startswith("/usr/bin/python3")]
    for kind, modules in APPLICATIONS.items():
        if kind not in kinds:
            continue
        lacking = [module for module in modules if not debian or not debian[0].has(module)]
        if lacking:
            missing[kind] = "no %s for %s: scripts/setup" % (", ".join(lacking), SYSTEM_PYTHON)
        else:
            found.append((kind, debian[0]))
    return found, missing


def options_of(operation, chance):
    """(options, options of the command that ends what goes on in the background)."""
    if operation == "snapshot":
        options = ["--method", chance.choice(("auto", "freeze", "stop", "read"))]
        options += ["--kind", "types"] if chance.random() < 0.4 else []
        return options + (["--native"] if chance.random() < 0.15 else [])
    if operation == "threads":
        options = ["--method", chance.choice(("auto", "stop", "freeze", "read"))]
        return options + (["--native"] if chance.random() < 0.25 and "read" not in options else [])
    if operation == "point":
        return ["--objects", "--method", chance.choice(("auto", "freeze", "stop"))] if chance.random() < 0.5 else []
    options = ["--sample", chance.choice(("1", "4KiB", "64KiB", "512KiB"))]
    options += ["--allocators", "malloc,python,mmap"] if chance.random() < 0.4 else []
    options += ["--native"] if chance.random() < 0.2 else []
    if operation == "attach":
        options += ["--for", "%dms" % chance.choice((10, 50, 150))]
    return options


def weighted(chance, weights):
    return chance.choices(list(weights), list(weights.values()))[0]


class Plan:
    def __init__(self, seed, pairs, faults=tuple(FAULTS), operations=tuple(OPERATIONS)):
        self.seed, self.faults = seed, faults
        self.operations = {operation: weight for operation, weight in OPERATIONS.items() if operation in operations}
        self.order = list(pairs)
        random.Random("%s:order" % seed).shuffle(self.order)

    def cycle(self, number):
        block = number // BLOCK
        kind, interpreter = self.order[block % len(self.order)]
        one_heap = random.Random("%s:heap:%d" % (self.seed, block)).random() < 0.6 and kind in ("busy", "threads", "gc", "forking", "signals")
        chance = random.Random("%s:%d" % (self.seed, number))
        # A worker of gunicorn runs no other program: it would be a master, on the same port.
        faults = {fault: weight for fault, weight in FAULTS.items()
                  if fault in self.faults and (kind, fault) != ("gunicorn", "target execs")}
        operation = weighted(chance, self.operations)
        return Cycle(number, kind, interpreter, one_heap, operation, options_of(operation, chance), weighted(chance, faults or {NO_FAULT: 1}),
                     chance.random(), chance.random())
