# memsnap-test: once timeout=600
"""memsnap as root writes into folders where anybody may write, and reads files that anybody made: no link is followed, nothing hangs."""

import contextlib
import os
import shutil
import stat
import subprocess
import unittest

import background_harness
import harness
from harness import MEMSNAP, Target, memsnap

NOBODY = 65534
CANNOT_WRITE, BAD_FILE, NOT_STARTED = 9, 10, 125
PATIENCE = 60
TARGET = "import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n"
# The name of its temporary file is known to who knows its pid: here the pid is that of the shell it replaces.
PLANTED_TEMPORARY = 'ln -s "$0" "$1.tmp.$$" && chown -h 65534 "$1.tmp.$$" && exec "$2" snapshot "$3" -q -o "$1"'


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class HostileTest(harness.LiveTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        os.chown(self.shared, NOBODY, NOBODY)
        os.chmod(self.shared, 0o1777)
        self.victim = self.folder / "victim"
        self.victim.write_bytes(b"untouched")
        self.victim.chmod(0o640)
        self.before = os.lstat(self.victim)
        self.addCleanup(self.check_victim)

    def check_victim(self):
        """Not written, not replaced, its mode and owner the same."""
        self.assertEqual(b"untouched", self.victim.read_bytes())
        now = os.lstat(self.victim)
        for field in ("st_ino", "st_mode", "st_uid", "st_nlink", "st_mtime_ns"):
            self.assertEqual(getattr(self.before, field), getattr(now, field), field)

    def plant(self, name, to=None):
        """A link that nobody made."""
        path = self.shared / name
        os.symlink(to or self.victim, path)
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        return path

    def target(self):
        target = Target(TARGET)
        self.addCleanup(target.close)
        return target

    def fails(self, status, *arguments, **more):
        result = memsnap(*arguments, timeout=PATIENCE, **more)
        self.assertEqual(status, result.status, str(result))
        return result

    def is_private_file(self, path):
        self.assertTrue(stat.S_ISREG(os.lstat(path).st_mode), path)
        self.assertEqual(0, mode_of(path) & 0o077, "%s %o" % (path, mode_of(path)))


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class SharedFolder(HostileTest):
    def test_a_snapshot_in_place_of_a_link(self):
        target, link = self.target(), self.plant("a.msnap")
        self.fails(CANNOT_WRITE, "snapshot", target.pid, "-o", link)
        self.assertTrue(link.is_symlink())
        self.fails(0, "snapshot", target.pid, "-f", "-o", link)
        self.is_private_file(link)

    def test_a_link_in_place_of_the_temporary_file(self):
        file = self.shared / "b.msnap"
        subprocess.run(["sh", "-c", PLANTED_TEMPORARY, self.victim, file, MEMSNAP, str(self.target().pid)], check=True,
                       timeout=PATIENCE, stdout=subprocess.DEVNULL)
        self.is_private_file(file)
        self.assertEqual([file.name], os.listdir(self.shared))

    def test_reports_and_metrics(self):
        target = self.target()
        file = self.snapshot(target.pid)["file"]
        report, metrics = self.plant("report.txt"), self.plant("m.prom")
        self.fails(CANNOT_WRITE, "summary", file, "-o", report)
        self.fails(0, "summary", file, "-f", "-o", report)
        self.is_private_file(report)
        self.fails(0, "snapshot", target.pid, "-q", "-o", self.shared / "c.msnap", "--metrics", metrics)
        self.assertFalse(metrics.is_symlink())

    def test_the_lock(self):
        target, link = self.target(), self.plant("lock")
        self.fails(CANNOT_WRITE, "snapshot", target.pid, "-o", self.shared / "d.msnap", "--lock", link)
        fifo = self.shared / "fifo"
        os.mkfifo(fifo)
        result = memsnap("snapshot", target.pid, "-o", self.shared / "d.msnap", "--lock", fifo, timeout=PATIENCE)
        self.assertIn(result.status, (0, CANNOT_WRITE), str(result))

    def test_the_report_of_a_program(self):
        marker = self.folder / "started"
        result = self.fails(NOT_STARTED, "run", "--report", self.plant("run.txt"), "-o", self.shared / "e.msnap", "--",
                            "/usr/bin/python3", "-c", "open(%r, 'w')" % str(marker))
        self.assertIn("cannot write", result.err)
        self.assertFalse(marker.exists())

    def test_the_log_of_points(self):
        target = self.target()
        own = self.folder / "own.points"
        self.fails(0, "point", target.pid, "--log", own)
        before = own.read_bytes()
        link = self.plant("a.points", own)
        self.fails(BAD_FILE, "point", target.pid, "--log", link)
        self.fails(BAD_FILE, "log", link)
        self.assertEqual(before, own.read_bytes())
        self.fails(BAD_FILE, "point", target.pid, "--log", self.plant("b.points"))
        # Root's own link is root's business.
        os.symlink(own, self.folder / "link.points")
        self.fails(0, "point", target.pid, "--log", self.folder / "link.points")
        self.assertNotEqual(before, own.read_bytes())

    def test_what_lies_beside_a_log(self):
        target = self.target()
        for end in ("-wal", "-shm", "-journal"):
            log = self.shared / ("log%s.points" % end)
            self.fails(0, "point", target.pid, "--log", log)
            before = log.read_bytes()
            link = self.plant(log.name + end)
            self.fails(BAD_FILE, "point", target.pid, "--log", log)
            self.fails(BAD_FILE, "log", log)
            link.unlink()
            link.write_bytes(b"what another user says was written last")
            os.chown(link, NOBODY, NOBODY)
            self.fails(BAD_FILE, "point", target.pid, "--log", log)
            self.assertEqual(before, log.read_bytes())
            link.unlink()
            self.fails(0, "point", target.pid, "--log", log)

    def test_the_log_of_a_session_in_the_background(self):
        target = self.target()

        def refused(name, put):
            log = self.shared / (name + ".log")
            put(log)
            result = self.fails(CANNOT_WRITE, "attach", target.pid, "--background", "-o", self.shared / (name + ".msnap"))
            self.assertIn("cannot write the log", result.err)
            self.assertEqual([], background_harness.traces(target.pid))
            log.unlink()

        def of_another_user(log):
            log.write_bytes(b"")
            os.chown(log, NOBODY, NOBODY)

        refused("link", lambda log: self.plant(log.name))
        refused("name", lambda log: os.link(self.victim, log))
        refused("user", of_another_user)

    def test_what_a_session_puts_beside_its_file(self):
        file = self.shared / "s.msnap"
        for name in ("s-before.msnap", "s.msnap.size"):
            self.plant(name)
        self.fails(0, "attach", self.target().pid, "--for", "1s", "--max-file", "50M", "-f", "-o", file)
        self.is_private_file(file)
        self.is_private_file(self.shared / "s-before.msnap")


class PrivateFiles(HostileTest):
    def test_whatever_the_umask(self):
        target = self.target()
        file, log, lock = self.shared / "u.msnap", self.shared / "u.points", self.shared / "u.lock"
        bare = {"preexec_fn": lambda: os.umask(0)}
        self.fails(0, "snapshot", target.pid, "-o", file, "--lock", lock, **bare)
        self.fails(0, "summary", file, "-o", self.shared / "u.txt", **bare)
        for _ in range(2):
            self.fails(0, "point", target.pid, "--log", log, **bare)
        for name in os.listdir(self.shared):
            self.is_private_file(self.shared / name)

    def test_a_session_in_the_background(self):
        target = self.target()
        file = self.shared / "v.msnap"
        self.fails(0, "attach", target.pid, "--background", "-o", file, preexec_fn=lambda: os.umask(0))
        self.fails(0, "detach", target.pid)
        for path in (file, file.with_suffix(".log")):
            self.is_private_file(path)


class FilesOfTheTarget(HostileTest):
    """In place of the program that runs, and of what its debug information is said to be in."""

    def hostile(self, path):
        """One after the other: what must neither hang nor be taken for the file."""
        os.mkfifo(path)
        yield "fifo"
        path.unlink()
        path.symlink_to("/dev/zero")
        yield "device"
        path.unlink()
        with open(path, "wb") as file:
            file.truncate(8 << 40)
        yield "holes"
        with open(path, "r+b") as file:
            file.write(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0")
        yield "forged"
        path.unlink()
        path.symlink_to(path)
        yield "circle"
        path.unlink()

    def test_the_program_that_runs(self):
        python = self.folder / "python3"
        shutil.copy(os.path.realpath("/usr/bin/python3"), python)
        python.chmod(0o755)
        users = [{}]
        if os.geteuid() == 0:  # who may not open /proc/PID/map_files goes by the path
            users.append({"user": NOBODY, "group": NOBODY, "extra_groups": []})
        for user in users:
            target = Target(TARGET, python=[str(python)], environment={"PYTHONHOME": "/usr"}, popen=user)
            with target, contextlib.ExitStack() as undo:
                python.rename(self.folder / "real")
                undo.callback((self.folder / "real").rename, python)
                for kind in self.hostile(python):
                    with self.subTest(kind=kind, user=user):
                        arguments = ("snapshot", target.pid, "-q", "--native", "-f", "-o", self.shared / "p.msnap")
                        result = memsnap(*arguments, timeout=PATIENCE, **user)
                        self.assertEqual(0, result.status, str(result))
                self.assertTrue(target.alive())

    def test_debug_information(self):
        (self.folder / "stay.c").write_text("#include <unistd.h>\nvoid stay(void) { write(1, \"ready\\n\", 6); for (;;) pause(); }\n")
        library, debug = self.folder / "libstay.so", self.folder / "libstay.debug"
        subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-Wl,--build-id=none", "stay.c", "-o", library], check=True, cwd=self.folder)
        subprocess.run(["objcopy", "--only-keep-debug", library, debug], check=True)
        subprocess.run(["objcopy", "--strip-debug", "--add-gnu-debuglink=%s" % debug, library], check=True)
        with Target("import ctypes\nctypes.CDLL(%r).stay()\n" % str(library)) as target:
            found = self.fails(0, "threads", target.pid, "--native")
            self.assertIn("stay.c:2", found.out)
            debug.unlink()
            for kind in self.hostile(debug):
                with self.subTest(kind=kind):
                    found = self.fails(0, "threads", target.pid, "--native")
                    self.assertIn("stay", found.out)
                    self.assertNotIn("stay.c", found.out)

    def test_a_file_system_of_its_own_is_only_read(self):
        """Its own mount namespace, with programs and debug files that memsnap would leave traces of having used."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        trap = self.folder / "trap"
        (trap / "bin").mkdir(parents=True)
        (trap / ".build-id").mkdir()
        marker = self.folder / "was-run"
        for name in ("sh", "debuginfod-find", "gdb", "memsnap"):
            (trap / "bin" / name).write_text("#!/bin/sh\necho $0 >> %s\n" % marker)
            (trap / "bin" / name).chmod(0o755)
        before = self.tree(trap)
        prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                  'mount --bind "$0" /usr/local && exec "$@"', str(trap)]
        try:
            target = Target(TARGET, prefix=prefix)
        except harness.Failed:
            self.skipTest("no mount namespace can be made here")
        with target:
            self.fails(0, "attach", target.pid, "--for", "1s", "--native", "-o", self.shared / "m.msnap")
            self.fails(0, "threads", target.pid, "--native")
            self.assertTrue(target.alive())
        self.assertEqual(before, self.tree(trap))
        self.assertFalse(marker.exists())

    @staticmethod
    def tree(folder):
        found = {}
        for path in sorted(folder.rglob("*")):
            status = os.lstat(path)
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return found


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
