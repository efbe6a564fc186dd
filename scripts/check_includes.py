#!/usr/bin/env python3
"""Checks who includes whom: one way only, as docs/architecture.md says.

usage: check_includes.py [ROOT]     prints each breach as FILE:LINE: text; exit status 1 when there is one
"""

import pathlib
import re
import sys

BELOW_REPORT = ["attach/base", "attach", "inject/protocol", "inject/walker", "inject/control", "snapshot/model",
                "snapshot/analysis", "snapshot/cpython", "snapshot/memory", "snapshot/walk", "snapshot/threads", "snapshot/capture",
                "snapshot/store", "snapshot/points", "snapshot/session"]

# What a folder may include besides itself. A folder is named without those below it: "attach" is not "attach/base".
ALLOWED = {
    "attach/base": [],
    "attach": ["attach/base"],
    "inject/protocol": [],
    "inject/agent": ["inject/protocol"],
    "inject/walker": ["inject/protocol"],
    "inject/control": ["attach", "attach/base", "inject/protocol"],
    "snapshot/model": ["attach/base"],
    "snapshot/analysis": ["attach/base", "snapshot/model"],
    # inject/walker's headers hold the structural templates that the child and the reader from outside share.
    "snapshot/cpython": ["attach/base", "attach", "inject/control", "inject/protocol", "inject/walker", "snapshot/model"],
    "snapshot/memory": ["attach/base", "attach", "inject/protocol", "snapshot/model", "snapshot/cpython"],
    "snapshot/walk": ["attach/base", "attach", "inject/control", "inject/protocol", "inject/walker", "snapshot/model",
                      "snapshot/cpython"],
    "snapshot/threads": ["attach/base", "attach", "snapshot/cpython", "snapshot/model"],
    "snapshot/capture": ["attach/base", "attach", "inject/protocol", "snapshot/model", "snapshot/cpython"],
    "snapshot/store": ["attach/base", "attach", "inject/protocol", "snapshot/model"],
    "snapshot/points": ["attach/base", "snapshot/model", "snapshot/store"],
    "snapshot/session": BELOW_REPORT,
    "report": ["attach/base", "snapshot/model", "snapshot/analysis"],
    "report/cli": BELOW_REPORT + ["report"],
    "report/static": [],
}
# Code that runs inside another process: nothing of C++'s library that needs run-time support, no other library.
INSIDE_A_TARGET = ("inject/agent", "inject/walker", "inject/protocol")
FORBIDDEN_INSIDE = re.compile(r"(fmt|boost|absl|tsl)/|iostream|string$|vector$|map$|exception$|stdexcept$|memory$")

TOP_FOLDERS = ("attach", "inject", "snapshot", "report")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def folder_of(path):
    """The key in ALLOWED that a path like "snapshot/model/snapshot.h" belongs to, or None."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in ALLOWED:
            return "/".join(parts[:length])
    return None


def check_file(root, path):
    relative = path.relative_to(root).as_posix()
    folder = folder_of(relative)
    if folder is None:
        yield f"{relative}:1: this folder is not in the table of scripts/check_includes.py"
        return
    own_header = path.with_suffix(".h").relative_to(root).as_posix() if path.suffix == ".cpp" else None
    first = True
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        where = f"{relative}:{number}:"
        quoted, included = match.group(1) == '"', match.group(2)
        if first and own_header and (root / own_header).exists() and included != own_header:
            yield f"{where} the first include must be {own_header}"
        first = False
        if not quoted:
            if included.split("/")[0] in TOP_FOLDERS:
                yield f"{where} our own headers are included with quotes"
            if folder in INSIDE_A_TARGET and FORBIDDEN_INSIDE.search(included):
                yield f"{where} <{included}> may not run inside another process"
            continue
        target = folder_of(included)
        if target is None:
            yield f'{where} "{included}" is not written from the root'
        elif target != folder and target not in ALLOWED[folder]:
            yield f"{where} {folder} may not include {target}"


def check_tree(root):
    for top in TOP_FOLDERS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cpp", ".inc", ".c"):
                yield from check_file(root, path)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    breaches = list(check_tree(root))
    print("\n".join(breaches) if breaches else "includes: every folder keeps to the table")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
