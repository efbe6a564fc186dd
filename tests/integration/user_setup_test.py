# memsnap-test: once full timeout=3000
"""scripts/setup --user: a user without root builds memsnap on a machine that has none of the packages. The machine is a copy of this one,
an overlay in a mount namespace of its own, with the packages removed."""

import os
import shlex
import shutil
import subprocess
import sys

import harness

REMOVED = """cmake cmake-data ninja-build libelf-dev libdw-dev libunwind-dev libboost-program-options-dev libboost-program-options1.74-dev
libboost1.74-dev libfmt-dev libzstd-dev libsqlite3-dev libabsl-dev robin-map-dev libgtest-dev googletest zlib1g-dev liblzma-dev libbz2-dev"""

# $1 a folder, $2 the sources, $3 the packages, $4 the script that the user runs in the copy.
AS_A_USER = """
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/merged"
mount -t proc none "$1/merged/proc"
mount --bind /dev "$1/merged/dev"
mount -t tmpfs none "$1/merged/tmp"
mkdir "$1/merged/tmp/home"
cp -r "$2" "$1/merged/tmp/source"
chown -R 65534:65534 "$1/merged/tmp/home" "$1/merged/tmp/source"
chroot "$1/merged" env DEBIAN_FRONTEND=noninteractive apt-get -q -y remove --purge $3
exec env -i PATH=/usr/bin:/bin HOME=/tmp/home /usr/sbin/chroot "$1/merged" setpriv --reuid 65534 --regid 65534 --clear-groups bash -ec "$4"
"""

SCRIPT = """
cd /tmp/source
if command -v cmake; then exit 1; fi
scripts/setup --user
. /tmp/home/.cache/memsnap/deps/environment
scripts/setup
cmake --preset release
cmake --build --preset release --target memsnap memsnap_static unit_tests
build/release/bin/unit_tests --gtest_brief=1 --gtest_filter='Preflight.*:MemoryMap.*:ParseOptions.*:HeapGraph.*'
build/release/memsnap --version
build/release/static/memsnap --version
python3 -I -c "$TARGET" < <(sleep 600) > /tmp/home/said &
pid=$!
until grep -q ready /tmp/home/said; do sleep 0.1; done
for program in build/release/memsnap build/release/static/memsnap; do
  $program snapshot $pid -f -o /tmp/home/own.msnap
  $program attach $pid --for 200ms --require-tracking --no-save > /dev/null
  $program summary /tmp/home/own.msnap -n 3
done
kill $pid
echo "$(id -u) looked at a process of its own"
scripts/setup --user
"""


# Under Yama only a parent may look at it, unless it says otherwise.
TARGET = """
import ctypes, os
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)
kept = [str(number) for number in range(1000)]
os.write(1, b"ready\\n")
os.read(0, 1)
"""


class UserSetup(harness.LiveTest):
    def test_a_user_builds_with_what_was_unpacked(self):
        source = self.folder / "source"
        shutil.copytree(harness.ROOT, source, ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
        copy = self.folder / "copy"
        copy.mkdir()
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", AS_A_USER, "sh", copy, source, REMOVED,
                               "TARGET=%s\n" % shlex.quote(TARGET) + SCRIPT],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(0, done.returncode, done.stdout[-6000:])
        self.assertEqual(2, done.stdout.count("\nCPython 3.8 to 3.15"), done.stdout[-2000:])
        self.assertIn("65534 looked at a process of its own", done.stdout)
        self.assertIn("PASSED", done.stdout)
        self.assertTrue(done.stdout.endswith("nothing is missing\n"), done.stdout[-2000:])
        self.assertTrue(shutil.which("cmake"))


if __name__ == "__main__":
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: needs root, and namespaces, to make a machine without the packages")
        sys.exit(77)
    harness.main()
