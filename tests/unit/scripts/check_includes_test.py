"""check_includes.py finds each kind of breach, and accepts what the table allows."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
import check_includes  # noqa: E402


class CheckIncludes(unittest.TestCase):
    def breaches(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return list(check_includes.check_tree(root))

    def test_downward_includes_are_accepted(self):
        self.assertEqual([], self.breaches({
            "attach/memory_map.cpp": '#include "attach/memory_map.h"\n#include <string>\n#include "attach/base/error.h"\n',
            "attach/memory_map.h": "#pragma once\n",
            "report/cli/main.cpp": '#include "snapshot/session/session.h"\n#include "report/summary_renderer.h"\n',
            "snapshot/walk/heap_walker.cpp": '#include "inject/walker/structural.h"\n#include "snapshot/cpython/py_layout.h"\n',
        }))

    def test_upward_include_is_a_breach(self):
        found = self.breaches({"attach/x.cpp": '#include "snapshot/model/snapshot.h"\n'})
        self.assertEqual(["attach/x.cpp:1: attach may not include snapshot/model"], found)

    def test_base_may_not_include_its_parent(self):
        self.assertEqual(1, len(self.breaches({"attach/base/x.h": '#include "attach/process_id.h"\n'})))

    def test_report_may_not_reach_for_a_process(self):
        self.assertEqual(1, len(self.breaches({"report/x.cpp": '#include "attach/process_memory.h"\n'})))

    def test_include_not_from_the_root_is_a_breach(self):
        self.assertEqual(1, len(self.breaches({"attach/x.cpp": '#include "error.h"\n'})))

    def test_own_header_comes_first(self):
        found = self.breaches({"attach/x.cpp": '#include "attach/base/error.h"\n#include "attach/x.h"\n', "attach/x.h": ""})
        self.assertEqual(["attach/x.cpp:1: the first include must be attach/x.h"], found)

    def test_a_library_inside_the_target_is_a_breach(self):
        self.assertEqual(1, len(self.breaches({"inject/walker/x.cpp": "#include <fmt/format.h>\n"})))

    def test_an_unknown_folder_is_a_breach(self):
        self.assertEqual(1, len(self.breaches({"snapshot/new_thing/x.h": ""})))


if __name__ == "__main__":
    unittest.main()
