# memsnap-test: once
"""The command lines of scripts/recipes do what they say, with a process of the test in place of a service's."""

import os
import re
import shlex
import unittest

import harness
from harness import ROOT, Target, memsnap

RECIPES = ROOT / "scripts" / "recipes"
SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n"


def cron_lines():
    for line in (RECIPES / "memsnap.cron").read_text().splitlines():
        match = re.match(r"\S+ \S+ \S+ \S+ \S+ root (memsnap .*)", line)
        if match:
            yield match.group(1)


def started_by(unit):
    (line,) = re.findall(r"(?m)^ExecStart=(.*)$", (RECIPES / unit).read_text())
    return line.replace("%%", "%")


class Recipes(harness.LiveTest):
    def files_of(self, line, target):
        """Runs a command line; the snapshots there are then, in a folder of its own."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        words = shlex.split(line.replace(">/dev/null", "").replace("--jitter 60s", "--jitter 1ms").replace("500MiB", "1MiB"))
        self.assertEqual("memsnap", words[0])
        # A unit is one of systemd's; --tree names processes likewise.
        if "--unit" in words:
            at = words.index("--unit")
            words[at:at + 2] = ["--tree", str(target.pid)]
        words = ["%s/" % folder if word.startswith("/var/lib/memsnap") else word for word in words]
        result = memsnap(*words[1:], directory=folder)
        self.assertEqual((0, ""), (result.status, result.err), str(result))
        return list(folder.glob("*.msnap"))

    def test_cron(self):
        periodic, nightly, pruning = cron_lines()
        with Target(SLEEPER) as target:
            for line in (periodic, nightly):
                (file,) = self.files_of(line, target)
                self.assertEqual(target.pid, memsnap("info", file, "--json").json()["target"]["pid"])
            self.assertEqual([], self.files_of(pruning, target))

    def test_units(self):
        with Target(SLEEPER) as target:
            self.assertEqual(1, len(self.files_of(started_by("memsnap-snapshot@.service"), target)))
            self.assertEqual([], self.files_of(started_by("memsnap-watch@.service") + " --dry-run", target))

    def test_every_file_is_tried(self):
        self.assertEqual({"memsnap.cron", "memsnap-snapshot@.service", "memsnap-snapshot@.timer", "memsnap-watch@.service"},
                         {file.name for file in RECIPES.iterdir()})


if __name__ == "__main__":
    unittest.main(verbosity=2)
