"""A process that has its own interpreter's file mapped as data, as debuggers and profilers do, is found all the same."""

import harness
from harness import Target, memsnap

# Mapped last, so below the real one; a chroot without /proc has its interpreter in one file.
MAPS_ITS_INTERPRETER = """
import mmap, os, sys
try:
    with open("/proc/self/maps") as maps:
        paths = [line.split()[-1] for line in maps if "/libpython" in line]
except OSError:
    paths = []
path = paths[0] if paths else os.path.realpath(sys.executable)
with open(path, "rb") as file:
    kept = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
os.write(1, b"ready " + path.encode() + b"\\n")
os.read(0, 1)
"""


class MappedLibrary(harness.LiveTest):
    def test_the_loaded_one_is_read(self):
        with Target(MAPS_ITS_INTERPRETER) as target:
            result = memsnap("snapshot", target.pid, "-o", self.file_name(), "--json")
        self.assertEqual(0, result.status, str(result))
        self.assertTrue(result.json()["consistent"])
        self.assertGreater(result.json()["objects"], 1000)


if __name__ == "__main__":
    harness.main()
