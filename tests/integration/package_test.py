# memsnap-test: once
"""The Debian package: installed, used, removed in copies of Debian's roots, and nothing of it is left. The machine's own stays as it is."""

import os
import pathlib
import subprocess
import sys

import harness

BUILD = pathlib.Path(os.environ.get("MEMSNAP_BUILD", harness.ROOT / "build" / "release"))
TREES = pathlib.Path(os.environ.get("MEMSNAP_PYTHONS_DIR", pathlib.Path.home() / ".cache/memsnap/pythons"))

# In a mount namespace of its own, whose last process takes all mounts with it: $1 a folder, $2 the root that is copied by an overlay,
# $3 the package, $4 the script that runs in the copy.
IN_A_COPY = """
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/merged"
mount -t proc none "$1/merged/proc"
mount -t tmpfs none "$1/merged/tmp"
cp "$3" "$1/merged/tmp/memsnap.deb"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C /usr/sbin/chroot "$1/merged" sh -ec "$4"
"""

# dpkg's own books and logs change by every installation.
LIST = "find / -xdev ! -path '/var/lib/dpkg/*' ! -path '/var/log/*' ! -path '/var/cache/*' | sort"
SCRIPT = """
%s > /tmp/before
dpkg -i /tmp/memsnap.deb > /dev/null
test "$(command -v memsnap)" = /usr/bin/memsnap
memsnap --version
memsnap ps --csv | head -1
memsnap help snapshot > /dev/null
for file in share/man/man1/memsnap.1.gz share/bash-completion/completions/memsnap share/zsh/vendor-completions/_memsnap \
            share/fish/vendor_completions.d/memsnap.fish share/doc/memsnap/copyright share/doc/memsnap/changelog.gz \
            share/doc/memsnap/README.md lib/python3/dist-packages/memsnap/auto.py; do
  test -s /usr/$file || { echo "missing: $file"; exit 1; }
done
memsnap help --completion bash | cmp - /usr/share/bash-completion/completions/memsnap
memsnap help --completion zsh | cmp - /usr/share/zsh/vendor-completions/_memsnap
memsnap help --completion fish | cmp - /usr/share/fish/vendor_completions.d/memsnap.fish
gzip -dc /usr/share/man/man1/memsnap.1.gz > /tmp/memsnap.1
memsnap help --man | cmp - /tmp/memsnap.1
python=$(ls /usr/bin/python3.[0-9]* | grep -E '[0-9]$' | tail -1)
(cd / && $python -c 'import memsnap; memsnap.METRIC = "rss"; memsnap.LOG = "/tmp/log.points"; memsnap.MEMPOINT("here"); print(len(memsnap.MEMLOGS), "point")')
echo "compiled: $(ls -d /usr/lib/python3/dist-packages/memsnap/__pycache__)"
dpkg -r memsnap > /dev/null
dpkg -P memsnap > /dev/null 2>&1 || true
! dpkg -s memsnap > /dev/null 2>&1
%s > /tmp/after
diff /tmp/before /tmp/after && echo "nothing is left"
""" % (LIST, LIST)


class Package(harness.LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.packed = harness.tempfile.TemporaryDirectory(prefix="memsnap-test-package-")
        cls.addClassCleanup(cls.packed.cleanup)
        done = subprocess.run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", cls.packed.name, "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip"],
                              cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise harness.Failed(done.stdout)
        [cls.package] = pathlib.Path(cls.packed.name).glob("*.deb")

    def in_a_copy_of(self, root):
        done = subprocess.run(["unshare", "--mount", "sh", "-c", IN_A_COPY, "sh", self.folder, root, self.package, SCRIPT],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout

    def check_in(self, suite):
        root = TREES / suite
        if not (root / "var/lib/dpkg/status").exists():
            self.skipTest("%s is not on this machine (scripts/pythons %s)" % (suite, suite))
        said = self.in_a_copy_of(root)
        self.assertRegex(said, r"^memsnap \d+\.\d+\.\d+\nbuild ")
        for line in ("\npid,user,", "\n1 point\n", "\ncompiled: /", "\nnothing is left\n"):
            self.assertIn(line, said)
        self.assertFalse(list((root / "usr/bin").glob("memsnap*")))

    def test_on_debian_11(self):
        self.check_in("bullseye")

    def test_on_debian_13(self):
        self.check_in("trixie")

    def test_its_name_and_fields(self):
        self.assertRegex(self.package.name, r"^memsnap_\d+\.\d+\.\d+_amd64\.deb$")
        fields = subprocess.run(["dpkg-deb", "--field", self.package], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn("\nArchitecture: amd64\n", "\n" + fields)
        self.assertNotIn("\nDepends:", fields)
        self.assertRegex(fields, r"(?m)^ The program is a single static file\.")


if __name__ == "__main__":
    if not (BUILD / "static" / "memsnap").exists():
        print("skipped: the static program, which is packed, is not built")
        sys.exit(77)
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: needs root, and mount namespaces")
        sys.exit(77)
    harness.main()
