#!/usr/bin/env python3
# memsnap-test: once
"""The layout tables are what scripts/print_layout.py writes from the headers of the release that each names."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = sorted((ROOT / "snapshot" / "cpython" / "layouts").glob("*.inc"))


def header_folders():
    """Each installed release's folder of Python.h, by its version."""
    home = pathlib.Path.home()
    trees = pathlib.Path(os.environ.get("MEMSNAP_PYTHONS_DIR", home / ".cache" / "memsnap" / "pythons"))
    found = {}
    for pattern, base in (("versions/*/include/python3.*", pathlib.Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))),
                          ("*/usr/include/python3.*", trees)):
        for folder in sorted(base.glob(pattern)):
            patch_level = folder / "patchlevel.h"
            if not (folder / "Python.h").exists() or not patch_level.exists() or folder.name.endswith("d"):
                continue
            version = re.search(r'#define\s+PY_VERSION\s+"([^"]+)"', patch_level.read_text())
            found.setdefault(version.group(1), folder)
    return found


def main():
    folders = header_folders()
    compared = failed = 0
    for table in TABLES:
        text = table.read_text()
        release = re.match(r"// CPython (\S+),", text).group(1)
        since = re.search(r"\.since = (0x[0-9a-f]+)", text).group(1)
        if release not in folders:
            print(f"{table.name}: no headers of {release} here")
            continue
        again = subprocess.run([sys.executable, ROOT / "scripts" / "print_layout.py", folders[release], "--since", since],
                               stdout=subprocess.PIPE, text=True, check=True).stdout
        compared += 1
        if again != text:
            failed += 1
            print(f"{table.name} is not what the script writes from the headers of {release}")
    print(f"{compared} of {len(TABLES)} tables compared, {failed} differ")
    if compared == 0:
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
