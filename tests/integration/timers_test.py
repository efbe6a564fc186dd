# memsnap-test: once alone timeout=300
"""asyncio's call_later(10) fires by 10.5 s although a snapshot is taken every 2 s, on every interpreter found."""

import os
import pathlib
import sys
import time

import harness
from harness import Target, memsnap

AT_ONCE = 3  # interpreters watched together, so that the snapshots themselves keep up


def supported_pythons():
    lines = pathlib.Path(os.environ["MEMSNAP_PYTHONS"]).read_text().splitlines()
    found = [(line.split()[0], line.split()[2:]) for line in lines if line]
    return [(name, command) for name, command in found if "freethreaded" not in name]


class Timers(harness.LiveTest):
    def test_a_timer_is_not_put_off(self):
        pythons = supported_pythons()
        self.assertTrue(pythons)
        late = []
        for start in range(0, len(pythons), AT_ONCE):
            late += self.late_ones(pythons[start:start + AT_ONCE])
        self.assertEqual([], late)

    def late_ones(self, pythons):
        targets = []
        late = []
        try:
            for name, command in pythons:
                targets.append((name, Target("states.py", "timer", python=command)))
            started = time.monotonic()
            for turn in range(1, 5):
                time.sleep(max(0, started + 2 * turn - time.monotonic()))
                for name, target in targets:
                    result = memsnap("snapshot", target.pid, "-o", self.file_name(), "-q")
                    self.assertEqual(0, result.status, "%s: %s" % (name, result))
            for name, target in targets:
                fired = float(target.expect(b"fired"))
                print("%s: fired after %.3f s" % (name, fired), file=sys.stderr)
                if not 9.99 <= fired <= 10.5:
                    late.append("%s: %.3f s" % (name, fired))
        finally:
            for _, target in targets:
                target.close()
        return late


if __name__ == "__main__":
    harness.main()
