# memsnap-test: once timeout=1200
"""A process whose heap is forged gives a partial snapshot that counts what was unreadable, or a refusal; never a crash or a hang."""

import os
import subprocess
import unittest

import harness
from harness import TARGETS, Target, memsnap

TAKES_LONG = unittest.skipIf(os.environ.get("MEMSNAP_SANITIZED"), "takes minutes with the sanitizers")
PATIENCE = 240  # seconds for one run of memsnap, which needs ten of CPU time: a hang here would take hours


class ForgedHeap(harness.LiveTest):
    def check(self, *forgeries, method="auto", environment=None):
        with Target("forged.py", *forgeries, environment=environment) as target:
            result = memsnap("snapshot", target.pid, "-o", self.file_name(), "--json", "--method", method, timeout=PATIENCE)
            self.assertEqual(0, result.status, str(result))
            answer = result.json()
            target.say(b"x")
            self.assertEqual(b"alive", target.line())
            doctor = memsnap("doctor", target.pid, timeout=PATIENCE)
            self.assertIn(doctor.status, (0, 1), str(doctor))
        types = self.types(answer["file"])
        for report in ("tree", "info", "summary"):
            result = memsnap(report, answer["file"])
            self.assertEqual(0, result.status, str(result))
        return answer, types

    def good_objects_are_found(self, *forgeries, **more):
        answer, types = self.check(*forgeries, **more)
        self.assertEqual(1000, types["__main__.Kept"][0], types)
        return answer

    def test_absurd_sizes(self):
        self.good_objects_are_found("sizes")

    def test_wild_pointers(self):
        answer = self.good_objects_are_found("pointers")
        self.assertGreater(answer["unreadable"] + answer["skipped"], 0, answer)

    def test_rings_of_types_and_containers(self):
        self.good_objects_are_found("rings")

    @TAKES_LONG
    def test_a_terabyte_of_nothing(self):
        self.assertGreater(self.good_objects_are_found("emptiness")["unreadable"], 0)

    def test_all_at_once_read_from_outside(self):
        answer = self.good_objects_are_found("sizes", "pointers", "rings", method="stop")
        self.assertGreater(answer["unreadable"], 0, answer)

    @TAKES_LONG
    def test_a_terabyte_of_nothing_read_from_outside(self):
        self.good_objects_are_found("emptiness", method="stop")

    def test_broken_lists_of_the_collector(self):
        # Kept is reached from its module all the same.
        self.good_objects_are_found("lists")

    def test_sizes_of_blocks_of_malloc(self):
        self.good_objects_are_found("chunks")

    def test_arenas_that_overlap_without_end(self):
        library = self.folder / "forged_arenas.so"
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", TARGETS / "forged_arenas.c", "-o", library], check=True)
        self.good_objects_are_found("arenas", environment={"FORGED_LIBRARY": str(library)})


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
