#!/usr/bin/env python3
"""The agent's image needs no loader: image_test.py IMAGE"""

import re
import subprocess
import sys
import unittest

IMAGE = sys.argv.pop() if len(sys.argv) > 1 else None

HOOKS = """malloc free calloc realloc reallocarray posix_memalign aligned_alloc memalign valloc pvalloc cfree free_sized
free_aligned_sized mmap mmap64 munmap mremap dlopen dlmopen new_plain new_array new_nothrow new_array_nothrow new_aligned
new_array_aligned delete_plain delete_array delete_sized delete_array_sized delete_aligned delete_array_aligned mem_malloc
mem_calloc mem_realloc mem_free object_malloc object_calloc object_realloc object_free""".split()


def run(*command):
    return subprocess.run([*command, IMAGE], stdout=subprocess.PIPE, text=True, check=True).stdout


def body(name):
    """The instructions of a function."""
    lines = run("objdump", "-d", "--no-show-raw-insn", "--disassemble=" + name).splitlines()
    return [line.split("\t", 1)[1] for line in lines if re.match(r"\s+[0-9a-f]+:\t", line)]


class Image(unittest.TestCase):
    def test_it_exports_the_hooks_and_the_config_and_nothing_else(self):
        symbols = [line.split() for line in run("readelf", "-W", "--dyn-syms").splitlines() if re.match(r"\s+\d+:", line)]
        exported = {fields[7]: fields[3] for fields in symbols if len(fields) > 7 and fields[6] != "UND"}

        wanted = {"memsnap_" + name: "FUNC" for name in HOOKS}
        wanted["memsnap_agent_config"] = "OBJECT"
        self.assertEqual(wanted, exported)

    def test_nothing_is_undefined(self):
        symbols = [line.split() for line in run("readelf", "-W", "--syms", "--dyn-syms").splitlines() if re.match(r"\s+\d+:", line)]

        self.assertEqual([], [fields for fields in symbols if fields[6] == "UND" and len(fields) > 7])

    def test_no_library_is_needed_and_nothing_runs_at_load(self):
        tags = re.findall(r"\(([A-Z_]+)\)", run("readelf", "-Wd"))

        self.assertIn("SYMTAB", tags)
        for tag in ("NEEDED", "INIT", "FINI", "INIT_ARRAY", "FINI_ARRAY", "PREINIT_ARRAY", "TEXTREL", "JMPREL", "RPATH", "RUNPATH"):
            self.assertNotIn(tag, tags)

    def test_all_relocations_are_relative(self):
        kinds = set(re.findall(r"\bR_X86_64_\w+", run("readelf", "-Wr")))

        self.assertLessEqual(kinds, {"R_X86_64_RELATIVE"})

    def test_segments_are_plain_with_unwind_tables_and_no_thread_storage(self):
        headers = run("readelf", "-Wl")
        loads = [line.split()[6:-1] for line in headers.splitlines() if line.split()[:1] == ["LOAD"]]

        self.assertNotRegex(headers, r"\bTLS\b")
        self.assertNotIn(["R", "W", "E"], loads)
        self.assertIn(["R", "E"], loads)
        self.assertRegex(headers, r"GNU_EH_FRAME")
        self.assertRegex(run("readelf", "-WS"), r"\.eh_frame\b")

    def test_no_vector_register_is_touched(self):
        self.assertNotRegex(run("objdump", "-d", "--no-show-raw-insn"), r"%[xyz]mm\d|\bf(ld|st)p?\b")

    def test_the_loaders_hooks_jump_and_never_call(self):
        for name in ("memsnap_dlopen", "memsnap_dlmopen"):
            instructions = body(name)
            self.assertTrue(any(line.startswith("jmp") and "*" in line for line in instructions), name)
            self.assertFalse([line for line in instructions if line.startswith("call")], name)

    def test_a_throwing_new_is_jumped_to(self):
        for name in ("memsnap_new_plain", "memsnap_new_array", "memsnap_new_aligned", "memsnap_new_array_aligned"):
            self.assertTrue(any(line.startswith("jmp") and "*" in line for line in body(name)), name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
