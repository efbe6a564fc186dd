"""Memory points of this process, from within: what tracemem offers, measured from outside by the program memsnap.

    import memsnap                       # or memsnap.auto: then the names are builtins, and a first point is made
    memsnap.MEMPOINT("after warm-up")
    memsnap.MEMLOGS[-1].memory           # bytes of all live Python objects; after memsnap.METRIC = "rss" the resident memory

The program is called on this process. It stops the process for milliseconds (METRIC "objects") or not at all ("rss"), and
adds each point to the log of the process, which "memsnap log PID" shows while the process runs and afterwards.
"""

from memsnap._points import (MB, MEMLOGS, MEMORY, MEMPOINT, MEMPRINT, MEMTRACE, IncorrectUseOfMEMLOGSError, MemLog,
                             MemLogsList)
from memsnap._program import MemsnapError, ProgramNotFound, find_program

# What .memory, MEMORY() and MEMPRINT() mean: "objects", the bytes of all live Python objects; "rss", the resident memory.
METRIC = "objects"
# The log that points are added to; None: one for each process in $MEMSNAP_DIR, else ~/.local/state/memsnap.
LOG = None

__all__ = ["IncorrectUseOfMEMLOGSError", "LOG", "MB", "MEMLOGS", "MEMORY", "MEMPOINT", "MEMPRINT", "MEMTRACE", "METRIC",
           "MemLog", "MemLogsList", "MemsnapError", "ProgramNotFound", "Tracker", "find_program", "snapshot"]


def __getattr__(name):
    # Loaded when it is used: a session that only makes points stays small.
    if name in ("Tracker", "snapshot"):
        from memsnap import _files

        return getattr(_files, name)
    raise AttributeError("module 'memsnap' has no attribute %r" % name)
