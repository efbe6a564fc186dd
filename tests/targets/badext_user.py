"""Holds objects of badext's types: `python -c ... FOLDER_OF_BADEXT`. Answers s with what the extension says of itself."""

import gc
import os
import sys

sys.path.insert(0, sys.argv[1])
import badext  # noqa: E402


class Payload:
    pass


NAMES = ["Good", "Locker", "SharedWriter", "Closer", "Looper", "Aborter", "Overflower", "Wild"]
KEPT = [getattr(badext, name)(Payload()) for name in NAMES for _ in range(20)]
gc.collect()
gc.disable()
badext.arm()
os.write(1, b"ready\n")
while os.read(0, 1) == b"s":
    os.write(1, b"state %s\n" % str(badext.state()).encode())
os._exit(0)
