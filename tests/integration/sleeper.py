"""A Python process at rest, for tests that compare it with itself."""

import pathlib
import time

import harness

PROGRAM = """
import sys
data = [str(i) * 10 for i in range(5000)]
print("ready", flush=True)
sys.stdin.read()
"""


class Sleeper(harness.Target):
    def __init__(self):
        super().__init__(PROGRAM)

    def __enter__(self):
        # Said that it is ready, a target still has a few instructions to go, and memory to allocate.
        deadline = time.monotonic() + harness.PATIENCE
        while not pathlib.Path("/proc/%d/syscall" % self.pid).read_text().startswith("0 ") or harness.state_of(self.pid) != "S":
            if time.monotonic() > deadline:
                self.close()
                raise harness.Failed("the target does not come to rest")
            time.sleep(0.01)
        return self
