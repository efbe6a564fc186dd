"""The table of what was promised and what was measured: promises.py [--write] FILE, which all of a run's benches have added to."""

import argparse
import json
import os
import platform

from section import Section


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("file", type=argparse.FileType())
    options = parser.parse_args()
    with Section("promises", options.write) as section:
        section.line("Linux %s, %d processors. Median (least-most).\n" % (platform.release().split("-")[0], os.cpu_count()))
        section.table("figure", "promised", "measured", "")
        for line in options.file:
            found = json.loads(line)
            section.row(found["figure"], found["goal"], found["measured"], "" if found["kept"] else "**missed**")


if __name__ == "__main__":
    main()
