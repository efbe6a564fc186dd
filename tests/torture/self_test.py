"""Plants harm of seven kinds, and sees that each is found by the checks that are there for all cycles."""

import io
import os
import pathlib

from main import Torture
from plan import Plan
from targets import harness

CYCLES = 4
# What is done beside memsnap: the targets it is done to, and a word of what must be said.
PLANTED = {
    "nothing": (("busy", "signals", "threads"), None),
    "mapping": (("busy",), "from outside: mappings: new"),
    "signal": (("signals",), "times and arrived"),
    "thread": (("threads",), "is held: state t"),
    "descriptor": (("busy",), "from inside: descriptor"),
    "child": (("busy",), "from outside: children"),
    "sleep": (("busy",), "from inside: select returned after"),
    "memory": (("busy",), "from inside: memory that nobody writes"),
}


def program():
    build = pathlib.Path(os.environ.get("MEMSNAP_BUILD", pathlib.Path(harness.MEMSNAP).parent))
    return build / "bin" / "plant_harm"


class OneHeap(Plan):
    """All mappings accounted for."""

    def cycle(self, number):
        cycle = super().cycle(number)
        cycle.one_heap = True
        return cycle


def found(how, interpreter):
    """(what was said, cycles) of runs with one kind of harm."""
    kinds, wanted = PLANTED[how]
    if wanted:  # what was planted never comes: no need to wait long for it
        os.environ["TORTURE_PATIENCE"] = "5"
    plan = OneHeap(1, [(kind, interpreter) for kind in kinds], ["none"])
    run = Torture(plan, [str(program()), how, harness.MEMSNAP], len(kinds), out=io.StringIO(), most_harm=1)
    run.run([(10 * block, 10 * block + CYCLES) for block in range(len(kinds))])
    return [line for result in run.bad for line in result["harm"] + result["left"]], len(run.results)


def run(interpreters):
    if not os.access(program(), os.X_OK):
        print("scripts/torture: no program %s: cmake -DMEMSNAP_PLANT_HARM=ON" % program())
        return 1
    missed = 0
    for how, (_, wanted) in PLANTED.items():
        said, cycles = found(how, interpreters[0])
        caught = any(wanted in line for line in said) if wanted else not said and cycles > 0
        missed += not caught
        print("%s: %s in %d cycles: %s" % (how, ("caught" if caught else "MISSED") if wanted else "no harm" if caught else "HARM", cycles,
                                          said[:3] or "nothing was said"), flush=True)
    print("all of it was caught" if not missed else "%d of %d were not as they should be" % (missed, len(PLANTED)))
    return 1 if missed else 0
