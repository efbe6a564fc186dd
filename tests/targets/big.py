"""A heap that takes a while to walk: `python -c ... OBJECTS`. Answers e (exec something else), x (exit)."""

import os
import sys

KEPT = [(n, str(n), [n]) for n in range(int(sys.argv[1]) // 4)]
os.write(1, b"ready\n")
COMMAND = os.read(0, 1)
if COMMAND == b"e":
    os.execv("/bin/sleep", ["sleep", "100"])
os._exit(5)
