"""Snapshots of this process, and tracking what it allocates."""

import json
import os

from memsnap import _program

FOREVER = "3650d"
RESULT = "memsnap.capture/1"


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
    `result` is what memsnap says of it; it is there after the block. When the process ends within the block, the file is
    saved all the same. A child that is forked within the block leaves it without a trace: the block is its parent's.
    """

    def __init__(self, file, **options):
        self.file = os.fspath(file)
        self.result = None
        self._options = []
        for name, value in {"for_": FOREVER, **options}.items():
            if value is False or value is None:
                continue
            self._options.append("--" + name.rstrip("_").replace("_", "-"))
            if value is not True:
                self._options.append(str(value))
        self._owner = None  # the process whose block it is
        self._keeper = None
        self._log = os.path.splitext(os.path.abspath(self.file))[0] + ".log"
        self._log_begin = 0

    def __enter__(self):
        if self._owner == os.getpid():
            raise RuntimeError("this Tracker runs already")
        self.result = None
        self._log_begin = _size_of(self._log)
        # In the background: a memsnap that is no child of this process is waited for by none of its wait() calls, and is
        # not reached by Ctrl-C.
        child = _program.Child(["attach", "--json", "-q", "--background", "--require-tracking", *self._options, "-o",
                                self.file.replace("%", "%%"), "--", str(os.getpid())], for_anybody=True)
        try:
            child.wait()
            child.check()
            self._keeper = _program.number(child.out(), "keeper")
            if _program.needs_allowance():
                _program.Allowances.add(self._keeper)
        finally:
            child.end()
        self._owner = os.getpid()
        return self

    def __exit__(self, kind, *_):
        owner, self._owner = self._owner, None
        if owner != os.getpid():
            return
        try:
            # It may have ended before: at a limit, or by memsnap detach from elsewhere.
            if self._last_line().get("schema") != RESULT:
                _program.run("detach", "--", owner)
            self._take_result()
        except _program.MemsnapError as failed:
            if kind is None:
                raise
            import warnings

            warnings.warn("what was tracked is not saved: %s" % failed, RuntimeWarning, stacklevel=2)
        finally:
            if _program.needs_allowance():
                _program.Allowances.remove(self._keeper)

    def _last_line(self):
        """What the memsnap in the background said last: in the end, the result."""
        try:
            with open(self._log, "rb") as file:
                file.seek(self._log_begin)
                return json.loads(file.read().splitlines()[-1].decode("utf-8", "replace"))
        except (OSError, ValueError, IndexError):
            return {}

    def _take_result(self):
        said = self._last_line()
        if said.get("schema") != RESULT:
            why = said["msg"] if said.get("level") == "error" else "memsnap ended before it had a result"
            raise _program.MemsnapError(said.get("code", 7), why, "see " + self._log)
        self.result = said
        if self._log_begin == 0:
            os.unlink(self._log)  # it says no more


def _size_of(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
