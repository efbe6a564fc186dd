# memsnap-test: once timeout=300
"""A program that is no Python but exports a forged _PyRuntime is refused in words, whatever it claims."""

import random
import subprocess

import harness
from harness import TARGETS, memsnap

PATIENCE = 60
UNSUPPORTED = 5
SEEDS = [0, 1, *random.Random().sample(range(2, 1 << 30), 6)]


class ForgedRuntime(harness.LiveTest):
    def build(self, name, *options):
        program = self.folder / name
        subprocess.run(["gcc", "-O1", "-w", "-rdynamic", *options, str(TARGETS / "forged_runtime.c"), "-o", str(program)], check=True)
        return str(program)

    def refused(self, program, *arguments):
        target = subprocess.Popen([program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            self.assertEqual(b"ready\n", target.stdout.readline())
            for command in (["snapshot", target.pid, "-o", self.file_name()], ["attach", target.pid], ["doctor", target.pid]):
                result = memsnap(*command, timeout=PATIENCE)
                self.assertEqual(UNSUPPORTED, result.status, "%s %s" % (arguments, result))
            target.stdin.write(b"x")
            self.assertEqual(b"alive\n", target.stdout.readline())
        finally:
            target.kill()
            target.communicate()

    def test_without_a_version(self):
        for seed in SEEDS:
            self.refused(self.build("python3.9"), seed)

    def test_that_says_its_version(self):
        for seed in SEEDS:
            self.refused(self.build("python3.11", "-DSAYS_VERSION=0x030b07f0"), seed)

    def test_with_offsets_for_debuggers(self):
        for seed in SEEDS:
            self.refused(self.build("python3.14"), seed, "030e00f0")


if __name__ == "__main__":
    harness.main()
