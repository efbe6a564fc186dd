# memsnap-test: once
"""A program's file that claims to hold gigabytes of sections costs memsnap no memory."""

import os
import shutil
import struct
import subprocess

import harness

SLEEP = shutil.which("sleep")
MOST = 256 << 20
SYMBOLS_OR_NOTES = (2, 7)  # SHT_SYMTAB, SHT_NOTE


class HostileFile(harness.LiveTest):
    def look_at(self, forge):
        """Runs a copy of sleep whose section headers were forged (the kernel needs none) and looks at it."""
        name = os.path.join(self.folder, "sleep")
        shutil.copy(SLEEP, name)
        with open(name, "r+b") as file:
            header = file.read(64)
            forge(file, *struct.unpack_from("<Q", header, 40), *struct.unpack_from("<H", header, 60))
        target = subprocess.Popen([name, "1000"])
        try:
            with subprocess.Popen([harness.MEMSNAP, "doctor", str(target.pid)], stdout=subprocess.PIPE) as looking:
                said = looking.stdout.read().decode()
                _, status, used = os.wait4(looking.pid, 0)
                looking.returncode = os.waitstatus_to_exitcode(status)
        finally:
            target.kill()
            target.wait()
        self.assertEqual(5, looking.returncode, said)
        self.assertIn("is not Python", said)
        self.assertLess(used.ru_maxrss << 10, MOST)

    def test_millions_of_sections(self):
        def forge(file, _table, _count):
            count, table = 1 << 22, 1 << 30
            file.truncate(table + count * 64)
            file.seek(table)
            file.write(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, count, 1, 0, 0, 0))
            file.seek(40)
            file.write(struct.pack("<Q", table))
            file.seek(60)
            file.write(struct.pack("<HH", 0, 0xFFFF))

        self.look_at(forge)

    def test_huge_sections(self):
        def forge(file, table, count):
            forged = 0
            file.truncate(3 << 30)
            for at in range(table, table + count * 64, 64):
                file.seek(at + 4)
                if struct.unpack("<I", file.read(4))[0] in SYMBOLS_OR_NOTES:
                    file.seek(at + 32)
                    file.write(struct.pack("<Q", 1 << 30))
                    forged += 1
            self.assertGreater(forged, 0)

        self.look_at(forge)


if __name__ == "__main__":
    harness.main()
