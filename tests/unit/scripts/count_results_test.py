"""count_results.py counts what ctest really said: run on a small project with one test of each outcome."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

COUNT = pathlib.Path(__file__).resolve().parents[2] / "count_results.py"
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(outcomes NONE)
enable_testing()
add_test(NAME good COMMAND ${CMAKE_COMMAND} -E true)
add_test(NAME also_good COMMAND ${CMAKE_COMMAND} -E true)
add_test(NAME bad COMMAND ${CMAKE_COMMAND} -E false)
add_test(NAME skipped COMMAND sh -c "exit 77")
set_tests_properties(skipped PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME says_skip COMMAND ${CMAKE_COMMAND} -E echo "not here")
set_tests_properties(says_skip PROPERTIES SKIP_REGULAR_EXPRESSION "not here")
add_test(NAME missing_program COMMAND /no/such/program)
"""


class CountResults(unittest.TestCase):
    def count(self, selection):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "CMakeLists.txt").write_text(PROJECT)
            subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", folder], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["ctest", "--test-dir", folder, "--output-junit", f"{folder}/out.xml", *selection],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            done = subprocess.run([sys.executable, COUNT, f"{folder}/out.xml"], stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout.splitlines()

    def test_each_outcome_is_counted_as_what_it_is(self):
        status, lines = self.count([])
        self.assertEqual("2 passed, 2 failed, 2 skipped", lines[-1])
        self.assertIn("failed: missing_program", lines)
        self.assertIn("skipped: says_skip", lines)
        self.assertEqual(1, status)

    def test_success_is_exit_status_0(self):
        status, lines = self.count(["-R", "good"])
        self.assertEqual(["2 passed, 0 failed, 0 skipped"], lines)
        self.assertEqual(0, status)

    def test_no_test_at_all_is_a_failure(self):
        self.assertEqual(1, self.count(["-R", "nothing"])[0])


if __name__ == "__main__":
    unittest.main()
