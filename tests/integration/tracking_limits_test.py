# memsnap-test: once
# memsnap-test: timeout=300
"""--max-overhead and --max-file: tracking ends by itself, and the capture is whole."""

import json
import os
import subprocess
import time

import harness
from background_harness import BackgroundTest, alive, traces, wait_until
from harness import MEMSNAP, memsnap

# Nothing but small allocations.
BUSY = """
import os, threading, time
def spin():
    while True:
        kept = [object() for _ in range(1000)]
threading.Thread(target=spin, daemon=True).start()
os.write(1, b"ready\\n")
os.read(0, 1)
os._exit(7)
"""
# Another stack for nearly every allocation: the profile grows and grows.
STACKS = """
import os, threading, time
KEPT = []
def step(path):
    if path:
        globals()["f%d" % (path % 8)](path // 8)
    else:
        KEPT.append(bytearray(1000))
for i in range(8):
    exec("def f%d(path):\\n" % i + "\\n" * i + "    step(path)\\n")
def work():
    for path in range(10 ** 9):
        step(path * 2654435761 % (1 << 36))
        if path % 100 == 0:
            time.sleep(0.005)
threading.Thread(target=work, daemon=True).start()
os.write(1, b"ready\\n")
os.read(0, 1)
os._exit(7)
"""


class Limits(BackgroundTest):
    def attach(self, *options):
        result = memsnap("attach", self.pid, "-f", "-o", self.folder / "session.msnap", "--json", *options, timeout=200)
        self.assertEqual(0, result.status, str(result))
        info = memsnap("info", self.folder / "session.msnap", "--json").json()
        self.assertTrue(info["intact"])
        return result.json(), info

    def test_too_expensive(self):
        self.start_target(BUSY)
        answer, info = self.attach("--for", "3m", "--sample", "1", "--allocators", "malloc,python", "--max-overhead", "2")
        self.assertIn("--max-overhead", answer["end"])
        self.assertTrue([text for text in info["snapshot"]["warnings"] if "--max-overhead" in text])
        self.assertGreater(info["tracking"]["overhead"], 2)
        self.assertLess(answer["seconds"], 120)
        self.check_healthy()

    def test_cheap_enough(self):
        self.start_target()
        answer, _ = self.attach("--for", "6s", "--max-overhead", "90")
        self.assertEqual("the time was over", answer["end"])
        self.check_healthy()

    def test_the_file_is_not_larger(self):
        self.start_target(STACKS)
        limit = 200 << 10
        answer, info = self.attach("--for", "3m", "--sample", "1", "--max-file", str(limit))
        self.assertIn("--max-file", answer["end"])
        self.assertLessEqual(os.path.getsize(answer["file"]), limit)
        self.assertGreater(os.path.getsize(answer["file"]), limit // 10)
        self.assertEqual("allocations", info["snapshot"]["kind"])  # the objects alone would be more
        self.assertIn("step", memsnap("summary", answer["file"], "--by", "function").out)
        self.assertEqual([], [name for name in os.listdir(self.folder) if name.endswith(".size")])
        self.check_healthy()


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
