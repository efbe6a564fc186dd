"""Runs a program in the interpreter under test with the agent at work inside it, put there by a library of the tests and
not by memsnap: what the agent records is compared with what others say of the same program."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import textwrap

import harness

LIBRARIES = pathlib.Path(os.environ.get("MEMSNAP_BUILD", harness.ROOT / "build" / "release")) / "agent"

# In the target. `program` is defined by the test; all it allocates while recording is on is in the dump.
DRIVER = """
import ctypes, gc, os, sys
FOLDER, SETTINGS = {folder!r}, {settings!r}
agent = ctypes.CDLL(FOLDER + "/agent_in_process.so")
agent.in_process_counted.restype = agent.in_process_held.restype = ctypes.c_uint64
def start():
    agent.in_process_start((FOLDER + "/" + SETTINGS["image"]).encode(), ctypes.c_uint32(sys.hexversion), ctypes.c_uint64(SETTINGS["period"]),
                           int(SETTINGS["domains"]), ctypes.c_uint32(SETTINGS["depth"]), ctypes.c_uint64(SETTINGS["records"]), int(SETTINGS["native"]))
names = {{"__name__": "program", "agent": agent, "FOLDER": FOLDER}}
exec(compile({source!r}, "program.py", "exec"), names)
program = names["program"]
if SETTINGS["warm"]:
    program()
gc.collect()
gc.disable()
{body}
"""

# Both begin alike, with the interpreter's lists of free objects empty, so that both see the same allocations.
PREPARE = """
import json, tracemalloc
start()
gc.collect()
"""

RECORD = PREPARE + """
agent.in_process_record(1)
kept = program()
agent.in_process_dump((FOLDER + "/dump.json").encode())
print([agent.in_process_counted(i) for i in range(3)])
"""

TRACEMALLOC = PREPARE + """
tracemalloc.start(1)
kept = program()
found = tracemalloc.take_snapshot()
tracemalloc.stop()
lines = {}
for trace in found.traces:
    key = (trace.traceback[0].filename, trace.traceback[0].lineno)
    count, size = lines.get(key, (0, 0))
    lines[key] = (count + 1, size + trace.size)
json.dump(sorted([*key, *value] for key, value in lines.items()), open(FOLDER + "/traced.json", "w"))
"""


def tree_of(command):
    """The root of an interpreter that runs by chroot, or None."""
    return pathlib.Path(command[1]) if command[0] == "chroot" else None


@contextlib.contextmanager
def folder_in_reach():
    """A folder with the libraries, and the name it has for the interpreter."""
    tree = tree_of(harness.PYTHON)
    with tempfile.TemporaryDirectory(prefix="memsnap-agent-", dir=tree / "tmp" if tree else None) as folder:
        for library in LIBRARIES.glob("*.so"):
            shutil.copy(library, folder)
        yield pathlib.Path(folder), "/" + str(pathlib.Path(folder).relative_to(tree)) if tree else folder


@contextlib.contextmanager
def program(source, body=RECORD, period=1, domains=False, depth=1024, records=256, check=False, warm=True, count=False, environment=None,
            prefix=(), native=False):
    """(folder of what the program writes, arguments of Popen that run it)."""
    with folder_in_reach() as (folder, inside):
        settings = {"period": period, "domains": domains, "depth": depth, "records": records, "warm": warm, "native": native,
                    "image": "memsnap_agent_check.so" if check else "memsnap_agent.so"}
        text = DRIVER.format(folder=inside, settings=settings, source=textwrap.dedent(source), body=body)
        env = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", **(environment or {}))
        if count:
            env["LD_PRELOAD"] = inside + "/agent_counting.so"
        yield folder, {"args": [*prefix, *harness.PYTHON, "-c", text], "env": env, "stdout": subprocess.PIPE, "text": True}


def run(source, timeout=harness.PATIENCE, **settings):
    """{dump of the agent..., "counted": what the preloaded library counted, "printed": lines of the program}."""
    with program(source, **settings) as (folder, call):
        done = subprocess.run(**call, stderr=subprocess.PIPE, timeout=timeout)
        if done.returncode != 0:
            raise harness.Failed("status %s\n%s\n%s" % (done.returncode, done.stdout, done.stderr))
        result = {"printed": done.stdout.splitlines()}
        for name in ("dump", "traced"):
            if (folder / (name + ".json")).exists():
                result[name] = json.loads((folder / (name + ".json")).read_text())
        return result


def live_by_line(dump, file="program.py", allocators=None):
    """{line of the innermost frame: (blocks, bytes)} of what is still live."""
    lines = {}
    for site in dump["sites"]:
        if not site["stack"] or site["stack"][0][0] != file or not site["live_blocks"]:
            continue
        if allocators is not None and site["allocator"] not in allocators:
            continue
        count, size = lines.get(site["stack"][0][2], (0, 0))
        lines[site["stack"][0][2]] = (count + site["live_blocks"], size + site["live_bytes"])
    return lines
