# memsnap-test: once timeout=300
"""Who may look at what: users, capabilities, namespaces. Where it is refused, the hint that is printed is followed, and works."""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import pty
import pwd
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
import termios
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


# In a root of its own, whose old one is gone for it, it allocates all the time and keeps the same.
IN_ITS_ROOT = """
import ctypes, os, threading, time
assert ctypes.CDLL(None, use_errno=True).umount2(b"/mnt", 2) == 0, ctypes.get_errno()
assert os.getpid() == 1 and os.listdir("/mnt") == [] and os.listdir("/proc") == []
class Session:
    pass
kept = [Session() for _ in range(123)]
def work():
    while True:
        made = [bytes(700 + number) for number in range(20)]
        time.sleep(0.005)
def begin():
    for _ in range(100):
        made = [bytes(700 + number) for number in range(20)]
begin()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
os.write(1, b"ready\\n")
while os.read(0, 1):
    os.write(1, b"alive\\n")
"""
PIVOT = 'mount --make-rprivate / && mount --bind "$0" "$0" && cd "$0" && pivot_root . mnt && exec "$@"'
TREES = pathlib.Path(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))) / "memsnap" / "pythons"

# A security module that is there without a configuration: whom it confines may not trace a process outside.
LANDLOCK_CREATE, LANDLOCK_RESTRICT, LANDLOCK_VERSION, MAKE_BLOCK_DEVICES = 444, 446, 1, 1 << 11
LIBC = ctypes.CDLL(None, use_errno=True)


def enter_landlock():
    handled = ctypes.c_uint64(MAKE_BLOCK_DEVICES)
    rules = LIBC.syscall(LANDLOCK_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if rules < 0 or LIBC.syscall(LANDLOCK_RESTRICT, rules, 0) != 0:
        os._exit(99)


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
            self.assertIn("with both capabilities", refused.stderr)
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
            self.check_followed(refused.err, target, "user namespace", "run it as root outside of what confines memsnap")
            self.assertNotIn("sudo", refused.err)

    def check_in_its_root(self, tree, python):
        """Its own root by pivot_root, pid and mount namespaces, another glibc: looked at, tracked, left as it was."""
        prefix = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", PIVOT, str(tree)]
        with Target(IN_ITS_ROOT, python=[python], prefix=prefix) as target:
            [pid] = harness.children_of(target.pid)
            self.assertEqual(python, os.readlink("/proc/%d/exe" % pid))
            before = fingerprint(pid)
            self.check_found(self.look(pid))
            self.check_found(self.look(pid, "--method", "stop", "--max-pause", "10s"))
            self.assertEqual([], differences(before, fingerprint(pid)))
            tracked = memsnap("attach", pid, "--for", "500ms", "--sample", "1", "--require-tracking", "--native", "--json", "-o", self.folder / "t.msnap", "-f")
            self.assertEqual(DONE, tracked.status, str(tracked))
            self.assertEqual((True, []), (tracked.json()["tracked"], tracked.json()["left_behind"]))
            self.check_found(tracked.json())
            functions = memsnap("summary", tracked.json()["file"], "--by", "function", "-n", "0", "--json").json()["functions"]
            self.assertIn("work", {row["function"].split(".")[-1] for row in functions})
            self.assertEqual(DONE, memsnap("threads", pid, "--native").status)
            self.check_alive(target)
            self.assertEqual([], differences(before, fingerprint(pid)))

    def test_a_new_root_by_pivot_root_with_another_libc(self):
        found = [(tree, python) for tree, python in (("bullseye", "3.9"), ("trixie", "3.13"), ("sid", "3.14"))
                 if (TREES / tree / "usr/bin" / ("python" + python)).exists()]
        if not found:
            self.skipTest("scripts/pythons has fetched no other Debian")
        for tree, python in found:
            with self.subTest(tree):
                self.check_in_its_root(TREES / tree, "/usr/bin/python" + python)

    def refused(self, *command, status=NO_PERMISSION, **more):
        result = memsnap(*command, **more)
        self.assertEqual(status, result.status, str(result))
        return result.err

    def test_each_command_says_what_to_do(self):
        """Of another user's process: why, what to do, and the command with sudo, which is then run."""
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with Target(WAIT, python=SYSTEM) as target:
            pid = target.pid
            commands = [["memory", pid], ["memory", pid, "--metric", "all"], ["memory", "--tree", pid], ["point", pid, "--log", self.folder / "log.points"],
                        ["threads", pid], ["snapshot", pid, "-o", self.folder / "x.msnap"], ["attach", pid, "--no-save", "--for", "10ms"],
                        ["live", pid, "--once", "--interval", "100ms"], ["roots", pid, "--type", "__main__.Session"], ["detach", pid],
                        ["watch", pid, "--rss-over", "1", "--max", "1", "-o", self.folder / "w.msnap"]]
            for command in commands:
                with self.subTest(command[0]):
                    said = self.refused(*command, **nobody)
                    for words in ("it belongs to user root, and memsnap does not have CAP_SYS_PTRACE", "run it as root"):
                        self.assertIn(words, said)
                    done = self.follow(said)
                    self.assertEqual(DONE, done.returncode, done.stderr)
            doctor = memsnap("doctor", pid, **nobody)
            self.assertEqual(NO_PERMISSION, doctor.status, str(doctor))
            self.assertRegex(doctor.out, r"it belongs to user root, and memsnap does not have CAP_SYS_PTRACE; run it as root")
            self.assertEqual(DONE, memsnap("doctor", pid).status)
            self.check_alive(target)

    def check_followed(self, said, target, *words):
        """What is said is true, and where nothing confines memsnap, as root, it works."""
        for word in words:
            self.assertIn(word, said)
        self.check_found(self.look(target.pid))
        self.check_alive(target)

    def test_sudo_is_not_named_where_it_cannot_help(self):
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with Target(WAIT, python=SYSTEM) as target:
            command = ["snapshot", target.pid, "-o", self.folder / "x.msnap"]
            said = self.refused(*command, prefix=["setpriv", "--no-new-privs"], **nobody)
            self.assertNotIn("sudo", said)
            self.check_followed(said, target, "run it as root")
            # Yama is not in every kernel: what it says is bound over the place where it would.
            fake = self.folder / "scope"
            fake.write_text("3\n")
            script = 'mount -t tmpfs none /proc/sys/kernel && mkdir /proc/sys/kernel/yama && cp -T "$0" /proc/sys/kernel/yama/ptrace_scope && exec "$@"'
            under_yama = ["unshare", "--mount", "sh", "-ec", script, str(fake), *AS_NOBODY]
            said = self.refused(*command, prefix=under_yama, user=0)
            self.assertIn("ptrace_scope is 3: nobody may attach until the next boot", said)
            self.assertNotIn("root", said.replace("user root", ""))
            self.assertNotIn("sudo", said)
            for scope in ("1", "2"):
                fake.write_text(scope)
                said = self.refused(*command, prefix=under_yama, user=0)
                self.assertIn("kernel.yama.ptrace_scope is " + scope, said)
                self.check_followed(said, target, "run it as root")

    def test_a_security_module(self):
        probe = subprocess.run(["true"], preexec_fn=enter_landlock)
        if probe.returncode != 0:
            self.skipTest("this kernel has no Landlock")
        with Target(WAIT, python=SYSTEM) as target:
            said = self.refused("snapshot", target.pid, "-o", self.folder / "x.msnap", preexec_fn=enter_landlock)
            self.check_followed(said, target, "a security module", "outside of what confines memsnap")

    def test_a_filter_around_memsnap(self):
        with Target(WAIT, python=SYSTEM) as target:
            said = self.refused("snapshot", target.pid, "-o", self.folder / "x.msnap",
                                prefix=["/usr/bin/python3", harness.TARGETS / "confined.py", "no-ptrace", "all"])
            self.check_followed(said, target, "memsnap runs under a seccomp filter", "outside of what confines memsnap")

    def test_tracked_by_another_user(self):
        """A process of nobody's that root tracks: its user is told whom to ask, and as root each of it works."""
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with self.of_nobody(WAIT) as target:
            started = memsnap("attach", target.pid, "--background", "-o", self.folder / "b.msnap")
            self.assertEqual(DONE, started.status, str(started))
            self.addCleanup(memsnap, "detach", target.pid)
            said = self.refused("live", target.pid, "--once", "--interval", "100ms", **nobody)
            self.assertIn("tracked by another memsnap", said)
            self.assertEqual(DONE, self.follow(said).returncode)
            for options in ([], ["--force"]):
                said = self.refused("detach", target.pid, *options, **nobody)
                self.assertIn("and is another user's", said)
            said = self.refused("detach", target.pid, **nobody)
            done = self.follow(said)
            self.assertEqual(DONE, done.returncode, done.stderr)
            self.check_alive(target)

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
        """Neither what the program says, nor documents, scripts and examples."""
        program = pathlib.Path(MEMSNAP).read_bytes()
        for words in (b"setcap ", b"ptrace_scope=0", b"chmod 777", b"--privileged", b"unconfined", b"profile=sysadmin", b"NOPASSWD"):
            self.assertNotIn(words, program)
        texts = {path: path.read_text() for folder in ("docs", "scripts", "cmake") for path in (harness.ROOT / folder).rglob("*")
                 if path.is_file() and "__pycache__" not in path.parts}
        texts[harness.ROOT / "README.md"] = (harness.ROOT / "README.md").read_text()
        weak = re.compile(r"\bsetcap\b|ptrace_scope ?= ?0|ptrace_scope=|echo 0 *> */proc/sys|chmod (777|[ugo]*\+s|[46][0-7]{3})\b|--privileged|unconfined"
                          r"|profile=sysadmin|setenforce|aa-(disable|complain|teardown)|NOPASSWD|sysctl -w")
        for name, text in texts.items():
            self.assertEqual(None, weak.search(text), name)


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

    def test_where_files_go(self):
        """Where the shell says, or --dir; a set-uid program does not ask the shell."""
        chosen = self.folder / "chosen"
        chosen.mkdir()
        chosen.chmod(0o777)
        environment = dict(os.environ, MEMSNAP_DIR=str(chosen), HOME=str(chosen))
        plan = ["snapshot", "--dry-run", "--json"]
        with Target(WAIT, python=SYSTEM, prefix=AS_NOBODY) as target:
            def place(*options, **popen):
                return pathlib.Path(memsnap(*options, *plan, target.pid, env=environment, **popen).json()["file"]).parent

            self.assertEqual(chosen, place(user=NOBODY, group=NOBODY, extra_groups=[]))
            self.assertEqual(chosen, place())
            self.assertEqual(self.folder, place("--dir", self.folder))
            privileged = shutil.copy(MEMSNAP, harness.copy_for_everybody() + "-setuid")
            os.chmod(privileged, 0o4755)
            done = subprocess.run([privileged, *plan, str(target.pid)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  user=NOBODY, group=NOBODY, extra_groups=[])
            self.assertEqual(pathlib.Path(pwd.getpwuid(NOBODY).pw_dir) / ".local/state/memsnap", pathlib.Path(json.loads(done.stdout)["file"]).parent)

    def test_which_pager_runs(self):
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        program = harness.copy_for_everybody()
        planted = self.folder / "planted"
        environment = dict(os.environ, PAGER="touch %s; cat" % planted, LESSOPEN="|touch %s; cat %%s" % planted, TERM="xterm")
        environment.pop("MEMSNAP_PAGER", None)

        def page(**popen):
            main, side = pty.openpty()
            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 80, 0, 0))
            with subprocess.Popen([program, "help"], stdin=side, stdout=side, stderr=side, env=environment, start_new_session=True, **popen):
                os.close(side)
                os.write(main, b"q")
                with contextlib.suppress(OSError):
                    while os.read(main, 65536):
                        pass
            os.close(main)
            existed = planted.exists()
            planted.unlink(missing_ok=True)
            return existed

        self.assertTrue(page(**nobody))
        self.assertFalse(page())
        privileged = shutil.copy(MEMSNAP, program + "-setuid")
        os.chmod(privileged, 0o4755)
        program = privileged
        self.assertFalse(page(**nobody))


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
