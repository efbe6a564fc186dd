# memsnap-test: once
"""Report commands on files of tracked processes: what each shows, which of two parts it takes, and what it refuses."""

import csv
import io
import os
import pathlib
import subprocess
import tempfile
import unittest

import harness
from harness import memsnap

MAKE = pathlib.Path(os.environ.get("MEMSNAP_BUILD", harness.ROOT / "build" / "release")) / "bin" / "make_capture"
USAGE = 2


class CaptureReports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="memsnap-capture-")
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([MAKE, cls.folder.name], check=True)
        cls.alone, cls.later, cls.both = (cls.folder.name + "/%s.msnap" % name for name in ("allocations", "later", "both"))

    def answer(self, *arguments, status=0):
        result = memsnap(*arguments, "--json")
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def refused(self, *arguments):
        result = memsnap(*arguments)
        self.assertEqual((USAGE, ""), (result.status, result.out), str(result))
        return result.err

    def functions(self, *arguments):
        answer = self.answer("summary", *arguments, "--by", "function")
        self.assertEqual(("memsnap.summary/1", "allocations"), (answer["schema"], answer["of"]))
        return {row["function"]: row for row in answer["functions"]}

    def test_a_summary_by_function(self):
        rows = self.functions(self.alone)
        self.assertEqual({"function": "grow", "file": "/srv/app.py", "line": 12, "own": 1_000_000, "total": 1_000_000, "count": 100},
                         rows["grow"])
        self.assertEqual((0, 1_500_000, 150), tuple(rows["main"][key] for key in ("own", "total", "count")))
        self.assertIn("_find_and_load", rows)
        self.assertNotIn("_find_and_load", self.functions(self.alone, "--hide-imports"))

    def test_parts_of_the_allocations(self):
        self.assertNotIn("lose", self.functions(self.alone, "--leaks"))
        self.assertEqual(10_000, self.functions(self.alone, "--peak")["lose"]["own"])
        self.assertEqual((490_000, 49), tuple(self.functions(self.alone, "--temporary")["lose"][key] for key in ("own", "count")))
        self.assertIn("exclude each other", self.refused("summary", self.alone, "--leaks", "--peak"))

    def test_every_grouping_and_order(self):
        for by, key, name in (("line", "lines", None), ("file", "files", "/srv/app.py"), ("module", "modules", "app"),
                              ("thread", "threads", "MainThread"), ("allocator", "allocators", "malloc")):
            rows = self.answer("summary", self.alone, "--by", by)[key]
            self.assertTrue(name is None or name in [row[by] for row in rows], rows)
        for sort, first in (("own", "grow"), ("count", "<module>"), ("total", "<module>")):
            rows = self.answer("summary", self.alone, "--sort", sort)["functions"]
            keys = [row[sort] for row in rows]
            self.assertEqual((sorted(keys, reverse=True), True), (keys, first in (rows[0]["function"], rows[1]["function"])))
        self.assertIn("cannot be sorted by retained", self.refused("summary", self.alone, "--sort", "retained"))
        self.assertIn("cannot be sorted by own", self.refused("summary", self.both, "--sort", "own"))

    def test_a_file_with_both_shows_objects_unless_asked(self):
        self.assertIn("types", self.answer("summary", self.both))
        self.assertIn("types", self.answer("summary", self.both, "--by", "type"))
        for asked in (["--allocations"], ["--leaks"], ["--peak"], ["--by", "function"], ["--by", "thread"], ["--hide-imports"]):
            self.assertEqual("allocations", self.answer("summary", self.both, *asked)["of"], asked)
        self.assertEqual("allocations", self.answer("summary", self.both, "--by", "line", "--allocations")["of"])
        self.assertIn("nodes", self.answer("tree", self.both))
        self.assertIn("calls", self.answer("tree", self.both, "--allocations"))
        self.assertIn("calls", self.answer("tree", self.both, "--inverted"))
        self.assertIn("largest", self.answer("stats", self.both))
        self.assertIn("top_by_size", self.answer("stats", self.both, "--allocations"))
        self.assertIn("allocations", memsnap("summary", self.alone).out)

    def test_objects_by_where_they_were_allocated(self):
        answer = self.answer("summary", self.both, "--by", "line")
        self.assertEqual(("objects", 1), (answer["of"], answer["unknown"]["count"]))
        lines = {(row["function"], row["line"]): row for row in answer["lines"]}
        self.assertEqual((1064, 2), tuple(lines["grow", 12][key] for key in ("own", "count")))
        roots = self.answer("roots", self.both, "--type", "app.Item")
        self.assertEqual(["grow", "main", "<module>"], [call["function"] for call in roots["allocated"]["stack"]])
        address = self.answer("objects", self.both, "--type", "app.Item")["objects"][0]["address"]
        self.assertEqual("malloc", self.answer("inspect", self.both, address)["object"]["allocated"]["allocator"])
        self.assertRegex(memsnap("roots", self.both, "--type", "app.Item").out, r"allocated in grow srv/app.py:12, from main")

    def test_a_tree_of_calls(self):
        top = self.answer("tree", self.alone)["calls"][0]
        self.assertEqual(("all", 1_500_000, 150), (top["function"], top["total"], top["count"]))
        main = top["children"][0]["children"][0]
        self.assertEqual(["grow", "lose"], [call["function"] for call in main["children"]])
        everything = self.answer("tree", self.alone, "--all-frames")["calls"][0]["children"][0]["children"][0]
        self.assertEqual(["grow", "_find_and_load"], [call["function"] for call in everything["children"]])
        outward = self.answer("tree", self.alone, "--inverted", "--min", "0")["calls"][0]["children"][0]
        self.assertEqual(("grow", "main"), (outward["function"], outward["children"][0]["function"]))
        rows = list(csv.DictReader(io.StringIO(memsnap("tree", self.alone, "--csv").out)))
        self.assertEqual(("0", "all", "1500000"), (rows[0]["depth"], rows[0]["function"], rows[0]["total"]))
        self.assertIn("nothing holds", self.refused("tree", self.alone, "--by", "dominator"))

    def test_a_table(self):
        rows = list(csv.DictReader(io.StringIO(memsnap("table", self.alone, "--csv").out)))
        self.assertEqual(["size", "count", "mean", "allocator", "thread", "function", "file", "line"], list(rows[0]))
        self.assertEqual(("1000000", "malloc", "grow", "12"), tuple(rows[0][key] for key in ("size", "allocator", "function", "line")))
        grouped = self.answer("table", self.both, "--group-by", "thread", "--columns", "thread,size")["rows"]
        self.assertEqual([{"thread": "MainThread (4242)", "size": 1_500_000}], grouped)
        self.assertEqual("calloc", self.answer("table", self.alone, "--sort", "temporary", "-n", "1")["rows"][0]["allocator"])
        self.assertIn("no column 'sizes'", self.refused("table", self.alone, "--columns", "size,sizes"))
        self.assertIn("twice", self.refused("table", self.alone, "--columns", "size,size"))
        self.assertIn("no column ''", self.refused("table", self.alone, "--columns", ""))

    def test_totals(self):
        answer = self.answer("stats", self.alone)
        self.assertEqual((150, 1_500_000), (answer["capture"]["passed"]["count"], answer["capture"]["passed"]["bytes"]))
        self.assertEqual(15, answer["allocations_per_second"])
        self.assertEqual([{"from": 8192, "below": 16384, "count": 150}], answer["sizes"])
        self.assertEqual("grow", answer["top_by_size"][0]["function"])
        self.assertRegex(memsnap("stats", self.alone, "--ascii").out, r"150  ####")

    def test_differences(self):
        answer = self.answer("diff", self.alone, self.later)
        self.assertEqual(("memsnap.diff/1", 3_000_000), (answer["schema"], answer["delta"]["bytes"]))
        self.assertEqual([{"function": "grow", "file": "/srv/app.py", "line": 12, "old": {"count": 100, "bytes": 1_000_000},
                           "new": {"count": 100, "bytes": 4_000_000}, "delta": {"bytes": 3_000_000}}],
                         [{**row, "delta": {"bytes": row["delta"]["bytes"]}} for row in answer["functions"]])
        self.assertEqual(1, memsnap("diff", self.alone, self.later, "--fail-on", "largest > 2MB").status)
        self.assertEqual(0, memsnap("diff", self.alone, self.later, "--fail-on", "delta > 1GiB").status)
        self.assertEqual(1, memsnap("diff", self.alone, self.later, "--exit-code", "--by", "line").status)
        self.assertEqual(0, memsnap("diff", self.alone, self.alone, "--exit-code").status)
        self.assertIn("functions", self.answer("diff", self.alone, self.both))
        self.assertIn("types", self.answer("diff", self.both, self.both))
        self.assertIn("allocators", self.answer("diff", self.both, self.both, "--by", "allocator"))
        self.assertIn("allocations only", self.refused("diff", self.alone, self.both, "--by", "type"))

    def test_what_a_file_does_not_hold_is_refused(self):
        for arguments in (["roots", self.alone, "--largest"], ["objects", self.alone], ["summary", self.alone, "--by", "type"],
                          ["inspect", self.alone, "@1"]):
            self.assertIn("allocations only", self.refused(*arguments))
        self.assertNotIn("objects", memsnap("info", self.alone).out)
        answer = self.answer("info", self.alone)
        self.assertEqual(("allocations", True), (answer["snapshot"]["kind"], answer["intact"]))
        self.assertIn("profile", [part["part"] for part in answer["parts"]])


if __name__ == "__main__":
    harness.main()
