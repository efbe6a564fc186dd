# memsnap-test: timeout=300
"""An extension whose tp_traverse locks, writes shared memory, closes descriptors, loops, aborts, overflows the stack or follows
a wild pointer harms nothing, costs only its own types' edges, and is named."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import harness
from harness import PYTHON, TARGETS, Target, differences, fingerprint, memsnap

BAD = ["Locker", "SharedWriter", "Closer", "Looper", "Aborter", "Overflower", "Wild"]


def build_extension(folder):
    """Compiles badext.c for the interpreter; False when it has no headers. A chroot's interpreter has them inside it."""
    root = PYTHON[1] if PYTHON[0] == "chroot" else ""
    script = "import sysconfig; print(sysconfig.get_paths()['include']); print(sysconfig.get_config_var('EXT_SUFFIX'))"
    include, suffix = subprocess.run([*PYTHON, "-I", "-c", script], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    if not pathlib.Path(root + include, "Python.h").exists():
        return False
    # Debian keeps the part of the headers that differs by machine in a folder of its own, named from the root.
    includes = ["-I" + root + include, *(["-idirafter", root + "/usr/include"] if root else [])]
    command = ["gcc", "-std=gnu11", "-O1", "-shared", "-fPIC", "-w", *includes,
               str(TARGETS / "badext.c"), "-o", str(folder / ("badext" + suffix))]
    subprocess.run(command, check=True)
    return True


class BadExtension(harness.LiveTest):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(PYTHON[1]) if PYTHON[0] == "chroot" else pathlib.Path("/")
        self.built = pathlib.Path(tempfile.mkdtemp(prefix="memsnap-badext-", dir=self.root / "tmp"))
        self.addCleanup(shutil.rmtree, self.built)
        if not build_extension(self.built):
            self.skipTest("no headers for this interpreter")

    def test_nothing_is_harmed_and_every_culprit_is_named(self):
        with Target("badext_user.py", "/" + str(self.built.relative_to(self.root))) as target:
            before = fingerprint(target.pid)
            answer = self.snapshot(target.pid)
            print({key: answer[key] for key in ("method", "objects", "skipped", "pause_ms", "walk_ms", "seconds")},
                  answer["stderr"], file=sys.stderr)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            target.say(b"s")
            self.assertEqual(b"(0, 1, 1)", target.expect(b"state"))
            types = self.types(answer["file"])
            for name in ["Good", *BAD]:
                self.assertEqual(20, types.get("badext." + name, (0, 0))[0], name)
            # Found through the types' member tables, although their tp_traverse is of no use.
            self.assertEqual(160, types["__main__.Payload"][0])
            self.assertGreaterEqual(answer["skipped"], len(BAD))
            report = memsnap("info", answer["file"])
            self.assertEqual(0, report.status, str(report))
            for name in BAD:
                self.assertIn("badext." + name, report.out)
            self.assertNotIn("badext.Good", report.out)
            self.assertLess(answer["seconds"], 60)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
