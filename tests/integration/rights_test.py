# memsnap-test: once timeout=300
"""Who may look at what: users, capabilities, namespaces. Where it is refused, the hint that is printed is followed, and works."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import MEMSNAP, Target, differences, fingerprint, memsnap

DONE, NO_SUCH_PROCESS, NO_PERMISSION, GAVE_UP, CANNOT_WRITE = 0, 3, 4, 7, 9
NOBODY = 65534
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
SYSTEM = ["/usr/bin/python3"]

WAIT = """
import os
class Session:
    pass
kept = [Session() for _ in range(123)]
os.write(1, b"ready\\n")
while os.read(0, 1):
    os.write(1, b"alive\\n")
"""
# As a service that has given up its rights, and must not be looked at by its own user.
NOT_DUMPABLE = "import ctypes\nassert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0\n" + WAIT


class Rights(harness.LiveTest):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("needs root")
        self.folder.chmod(0o777)

    def look(self, pid, *options, status=DONE, **more):
        """A snapshot of it; the JSON of what was said."""
        result = memsnap("snapshot", pid, "-o", self.folder / ("%d-%d.msnap" % (pid, len(os.listdir(self.folder)))), "--json", *options, **more)
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def check_found(self, answer):
        types = memsnap("summary", answer["file"], "-n", "0", "--json").json()["types"]
        self.assertEqual([123], [row["count"] for row in types if row["type"] == "__main__.Session"])

    def check_alive(self, target):
        target.say(b"x")
        target.expect(b"alive")

    def of_nobody(self, program, prefix=()):
        return Target(program, python=SYSTEM, prefix=[*AS_NOBODY, *prefix])

    def test_own_process_without_any_capability(self):
        with self.of_nobody(WAIT) as target:
            before = fingerprint(target.pid)
            self.check_found(self.look(target.pid, user=NOBODY, group=NOBODY, extra_groups=[]))
            self.assertEqual([], differences(before, fingerprint(target.pid)))

    def test_the_capability_alone(self):
        program = harness.copy_for_everybody()
        capable = [*AS_NOBODY, "--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"]
        with Target(WAIT, python=SYSTEM) as target:
            before = fingerprint(target.pid)
            file = self.folder / "capable.msnap"
            done = subprocess.run([*capable, program, "snapshot", str(target.pid), "-q", "-o", file], capture_output=True, text=True)
            self.assertEqual(DONE, done.returncode, done.stderr)
            self.check_found({"file": file})
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            attach = [program, "attach", str(target.pid), "--for", "300ms", "--sample", "1", "--require-tracking", "--json", "-o",
                      self.folder / "tracked.msnap"]
            refused = subprocess.run([*capable, *attach], capture_output=True, text=True)
            self.assertEqual(GAVE_UP, refused.returncode, refused.stderr)
            self.assertIn("CAP_DAC_OVERRIDE is needed", refused.stderr)
            self.assertEqual([], differences(before, fingerprint(target.pid)))
            both = [word.replace("+sys_ptrace", "+sys_ptrace,+dac_override") for word in capable]
            done = subprocess.run([*both, *attach, "-f"], capture_output=True, text=True)
            self.assertEqual(DONE, done.returncode, done.stderr)
            self.assertEqual([], harness.json.loads(done.stdout)["left_behind"])
            self.check_alive(target)
            changed = [line for line in differences(before, fingerprint(target.pid)) if not line.startswith("maps:")]
            self.assertEqual([], changed)

    def follow(self, said):
        """Runs what a refusal said after `try: sudo`, as sudo would."""
        [line] = [line for line in said.splitlines() if line.strip().startswith("try: sudo ")]
        return subprocess.run(shlex.split(line.strip()[len("try: sudo "):]), capture_output=True, text=True)

    def test_not_dumpable(self):
        with self.of_nobody(NOT_DUMPABLE) as target:
            file = self.folder / "x.msnap"
            refused = memsnap("snapshot", target.pid, "-o", file, user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(NO_PERMISSION, refused.status, str(refused))
            self.assertIn("not dumpable", refused.err)
            self.check_alive(target)
            done = self.follow(refused.err)
            self.assertEqual(DONE, done.returncode, done.stderr)
            self.check_found({"file": file})
            self.check_alive(target)

    def test_of_another_user(self):
        with Target(WAIT, python=SYSTEM) as target:
            file = self.folder / "x.msnap"
            refused = memsnap("snapshot", target.pid, "-o", file, user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(NO_PERMISSION, refused.status, str(refused))
            done = self.follow(refused.err)
            self.assertEqual(DONE, done.returncode, done.stderr)
            self.check_found({"file": file})

    def test_user_namespaces(self):
        inside = ["unshare", "--user", "--map-root-user"]
        with self.of_nobody(WAIT, inside) as target:
            self.check_found(self.look(target.pid))
            self.check_alive(target)
        with Target(WAIT, python=SYSTEM) as target:  # root in a namespace is nobody outside of it
            refused = memsnap("snapshot", target.pid, "-o", self.folder / "x.msnap", prefix=[*AS_NOBODY, *inside], user=0)
            self.assertEqual(NO_PERMISSION, refused.status, str(refused))
            self.assertIn("user namespace", refused.err)
            self.check_alive(target)

    def test_a_new_root_by_pivot_root_with_another_libc(self):
        pythons = pathlib.Path(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))) / "memsnap" / "pythons"
        tree = pythons / "bullseye"
        if not (tree / "usr/bin/python3.9").exists():
            self.skipTest("scripts/pythons has not fetched Debian 11")
        script = 'mount --bind "$0" "$0" && cd "$0" && pivot_root . mnt && exec "$@"'
        with Target(WAIT, python=["/usr/bin/python3.9"], prefix=["unshare", "--mount", "sh", "-ec", script, str(tree)]) as target:
            self.assertEqual("/usr/bin/python3.9", os.readlink("/proc/%d/exe" % target.pid))
            before = fingerprint(target.pid)
            self.check_found(self.look(target.pid))
            self.assertEqual([], differences(before, fingerprint(target.pid)))

    def test_hints_of_other_refusals(self):
        with Target("big.py", 1000000, python=SYSTEM) as target:
            file = self.folder / "x.msnap"
            refused = memsnap("snapshot", target.pid, "-o", file, "--max-pause", "1us")
            self.assertEqual(GAVE_UP, refused.status, str(refused))
            allowed = re.search(r"allow it with (--max-pause) (\S+)", refused.err).groups()
            allowed = (allowed[0], "%dms" % (10 * int(allowed[1][:-2])))  # what is said is for a machine that has time for it
            self.assertEqual(DONE, memsnap("snapshot", target.pid, "-o", file, *allowed).status)
            refused = memsnap("snapshot", target.pid, "-o", file)
            self.assertEqual(CANNOT_WRITE, refused.status, str(refused))
            self.assertIn("-f replaces it", refused.err)
            self.assertEqual(DONE, memsnap("snapshot", target.pid, "-o", file, "-f").status)

    def test_no_hint_weakens_the_machine(self):
        program = pathlib.Path(MEMSNAP).read_bytes()
        for words in (b"setcap ", b"ptrace_scope=0", b"chmod 777", b"--privileged", b"seccomp=unconfined"):
            self.assertNotIn(words, program)


class Environment(harness.LiveTest):
    """Options from the environment and from home are for the user who types: not for root, not for a set-uid program."""

    def setUp(self):
        super().setUp()
        if os.getuid() != 0:
            self.skipTest("needs root")
        home = self.folder / "home"
        (home / "memsnap").mkdir(parents=True)
        (home / "memsnap" / "config").write_text("[snapshot]\nkind = types\n")
        for path in (self.folder, home, home / "memsnap"):
            path.chmod(0o777)
        (home / "memsnap" / "config").chmod(0o644)
        self.home = dict(os.environ, XDG_CONFIG_HOME=str(home))
        self.variable = dict(os.environ, MEMSNAP_KIND="types")

    def kind(self, program, target, environment, **popen):
        file = self.folder / ("%d.msnap" % len(os.listdir(self.folder)))
        done = subprocess.run([program, "snapshot", str(target.pid), "-o", file, "--json"], env=environment, capture_output=True, text=True, **popen)
        self.assertEqual(DONE, done.returncode, done.stderr)
        return harness.json.loads(done.stdout)["kind"]

    def test_who_is_heard(self):
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        program = harness.copy_for_everybody()
        folder = tempfile.mkdtemp(prefix="memsnap-test-setuid-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        privileged = shutil.copy(MEMSNAP, folder)
        os.chmod(privileged, 0o4755)
        with Target(WAIT, python=SYSTEM, prefix=AS_NOBODY) as target:
            for environment in (self.home, self.variable):
                self.assertEqual("types", self.kind(program, target, environment, **nobody))
                self.assertEqual("heap", self.kind(program, target, environment))
                self.assertEqual("heap", self.kind(privileged, target, environment, **nobody))


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
