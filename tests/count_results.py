"""Adds up ctest's JUnit files and prints, as the last line, "N passed, N failed, N skipped".

What was skipped and what failed is named above it. Exit status 1 when a test failed, or when a file holds no test.
"""

import sys
import xml.etree.ElementTree


def outcome(case):
    """A test that could not even be started ("notrun" without having asked for it) has failed."""
    if case.get("status") == "run":
        return "passed"
    skipped = case.find("skipped")
    if skipped is not None and skipped.get("message", "").startswith("SKIP_"):
        return "skipped"
    return "failed"


def main():
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    empty = False
    for name in sys.argv[1:]:
        cases = list(xml.etree.ElementTree.parse(name).getroot().iter("testcase"))
        empty = empty or not cases
        for case in cases:
            result = outcome(case)
            totals[result] += 1
            if result != "passed":
                print(f"{result}: {case.get('name')}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals))
    return 1 if totals["failed"] or empty else 0


if __name__ == "__main__":
    sys.exit(main())
