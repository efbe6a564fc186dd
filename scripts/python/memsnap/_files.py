"""Snapshots of this process, and tracking what it allocates."""

import json
import os
import time

from memsnap import _program

FOREVER = "3650d"
PATIENCE = 120  # seconds until tracking must have begun


def snapshot(file=None, kind="heap", force=False):
    """Takes a snapshot of this process, and returns the name of the file. Without one it goes to the default folder."""
    arguments = ["snapshot", "--kind", kind]
    if file is not None:
        arguments += ["-o", os.fspath(file).replace("%", "%%")]
    if force:
        arguments.append("--force")
    return json.loads(_program.run(*arguments, "--", os.getpid()))["file"]


class Tracker:
    """Tracks what this process allocates while its block runs, and saves it with a snapshot of the end.

        with memsnap.Tracker("work.msnap"):
            work()

    Then: memsnap summary work.msnap. `options` are those of memsnap attach: sample="64KiB", native=True, depth=50.
    `result` is what memsnap attach --json says; it is there after the block.
    """

    def __init__(self, file, **options):
        self.file = os.fspath(file)
        self.result = None
        self._options = []
        for name, value in options.items():
            if value is False or value is None:
                continue
            self._options.append("--" + name.replace("_", "-"))
            if value is not True:
                self._options.append(str(value))
        self._child = None

    def __enter__(self):
        if self._child is not None:
            raise RuntimeError("this Tracker runs already")
        child = _program.Child(self._command())
        try:
            self._wait_until_tracked(child)
        except BaseException:
            child.end()
            raise
        self._child = child
        return self

    def __exit__(self, *_):
        child, self._child = self._child, None
        try:
            child.send(_program.SIGTERM)
            child.wait()
            child.check()
            self.result = json.loads(child.out())
        finally:
            child.end()

    def _command(self):
        return ["attach", "--json", "--log-format", "json", "--require-tracking", "--for", FOREVER, *self._options, "-o",
                self.file.replace("%", "%%"), "--", str(os.getpid())]

    @staticmethod
    def _wait_until_tracked(child):
        """memsnap says that it begins; a moment later its memory is among this process's mappings."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise _program.error_of(child.status, child.out(), child.err())
            if '"event":"tracking"' in child.err() and _agent_is_loaded():
                return
            time.sleep(0.01)
        raise _program.MemsnapError(7, "memsnap did not begin to track in %d s" % PATIENCE)


def _agent_is_loaded():
    try:
        with open("/proc/self/maps", "rb") as file:
            return b"/memfd:memsnap" in file.read()
    except OSError:
        return True  # no /proc in here: it must do without
