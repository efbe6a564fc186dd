"""Usage: freestanding_test.py OBJECT. Code for a frozen child calls nothing, has no data, and needs no relocation but its own."""

import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    path = sys.argv[1]
    wrong = []
    undefined = [line.split()[-1] for line in output("nm", "--undefined-only", path).splitlines() if line.strip()]
    wrong += ["undefined symbol " + name for name in undefined if name != "_GLOBAL_OFFSET_TABLE_"]
    defined = output("nm", "--defined-only", path)
    if "memsnap_test_size" not in defined:
        wrong.append("memsnap_test_size is not in " + path)
    for line in output("readelf", "--wide", "--section-headers", path).splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) < 6 or not words[0].startswith("["):
            continue
        name, size = words[1], words[5]
        if name.startswith((".data", ".bss", ".tdata", ".tbss", ".init_array", ".ctors")) and int(size, 16) != 0:
            wrong.append("section %s of %s bytes" % (name, size))
    section = ""
    for line in output("readelf", "--wide", "--relocs", path).splitlines():
        if line.startswith("Relocation section"):
            section = line.split("'")[1]
        elif "R_X86_64_" in line and not section.startswith((".rela.debug", ".rela.eh_frame")):
            kind = next(word for word in line.split() if word.startswith("R_X86_64_"))
            if not section.startswith(".rela.text") or kind not in ("R_X86_64_PC32", "R_X86_64_PLT32"):
                wrong.append("%s in %s" % (kind, section))
    for problem in wrong:
        print(problem)
    return 1 if wrong else 0


sys.exit(main())
