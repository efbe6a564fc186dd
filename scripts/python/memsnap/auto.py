"""import memsnap.auto: the names become builtins, as tracemem's do, and the first memory point is made."""

import builtins

from memsnap import (MB, MEMLOGS, MEMORY, MEMPOINT, MEMPRINT, MEMTRACE, IncorrectUseOfMEMLOGSError, MemLog, MemLogsList)

__all__ = ["IncorrectUseOfMEMLOGSError", "MB", "MEMLOGS", "MEMORY", "MEMPOINT", "MEMPRINT", "MEMTRACE", "MemLog",
           "MemLogsList"]

# tracemem's own name of this point: what was written for it goes on to hold.
FIRST_ID = "tracemem import"

for _name in ("MB", "MEMLOGS", "MEMORY", "MEMPOINT", "MEMPRINT", "MEMTRACE"):
    setattr(builtins, _name, globals()[_name])
del _name

if not MEMLOGS:
    MEMPOINT(FIRST_ID)
