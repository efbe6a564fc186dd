# memsnap-test: once timeout=600
"""What cannot be done is said in one line, with one line of what to do, and by an exit status of its own."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import harness
from harness import TARGETS, Target, fingerprint, differences, memsnap, state_of

HOME = pathlib.Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
NO_SUCH_PROCESS, NO_PERMISSION, UNSUPPORTED, BUSY, GAVE_UP, CANNOT_WRITE, BAD_FILE = 3, 4, 5, 6, 7, 9, 10
WAIT = "import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n"


def found_pythons():
    """Lines of the list that cmake made: (name, version, command)."""
    listing = pathlib.Path(os.environ.get("MEMSNAP_PYTHONS", "/nonexistent"))
    lines = listing.read_text().splitlines() if listing.exists() else []
    return [(words[0], words[1], words[2:]) for words in map(str.split, lines) if words]


class Errors(harness.LiveTest):
    def check(self, result, status, *patterns):
        """One line what, at least one line what to do, the exit status; the same as JSON."""
        print("%s -> %s\n%s" % (" ".join(map(str, result.arguments)), result.status, result.err.strip()), file=sys.stderr)
        self.assertEqual(status, result.status, str(result))
        lines = result.err.strip().splitlines()
        self.assertTrue(lines[0].startswith("memsnap: "), result.err)
        self.assertGreaterEqual(len(lines), 2, "no line says what to do: " + result.err)
        for pattern in patterns:
            self.assertRegex(result.err, pattern)
        self.assertNotIn("terminate called", result.err)

    def refuse(self, pid, status, *patterns, options=(), **more):
        """A snapshot that is refused: no file is left, and the JSON says the same."""
        name = self.file_name()
        self.check(memsnap("snapshot", pid, "-o", name, *options, **more), status, *patterns)
        self.assertEqual([], os.listdir(self.folder))
        answer = memsnap("snapshot", pid, "-o", name, "--json", *options, **more)
        self.assertEqual(status, answer.status)
        said = answer.json()
        self.assertEqual(("memsnap.error/1", status), (said["schema"], said["code"]))
        self.assertTrue(said["message"] and said["hint"], said)

    def test_no_such_process(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        self.refuse(gone.pid, NO_SUCH_PROCESS, str(gone.pid))

    def test_zombie(self):
        zombie = subprocess.Popen(["true"])
        self.addCleanup(zombie.wait)
        while state_of(zombie.pid) != "Z":
            time.sleep(0.01)
        self.refuse(zombie.pid, NO_SUCH_PROCESS)

    def test_kernel_thread(self):
        if not pathlib.Path("/proc/2/status").exists() or harness.status_field(2, "PPid") != "0":
            self.skipTest("no kernel threads in this pid namespace")
        self.assertIn(memsnap("snapshot", 2, "-o", self.file_name()).status, (NO_PERMISSION, UNSUPPORTED))

    def test_not_python(self):
        other = subprocess.Popen(["sleep", "100"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        self.refuse(other.pid, UNSUPPORTED, "not Python")

    def test_old_versions_are_named(self):
        seen = 0
        for version in ("2.7.18", "3.6.15", "3.7.16"):
            python = HOME / version / "bin" / ("python2" if version[0] == "2" else "python3")
            if not python.exists():
                continue
            seen += 1
            with Target(WAIT, python=[str(python)]) as target:
                before = fingerprint(target.pid)
                self.refuse(target.pid, UNSUPPORTED, re.escape(version[:3]))
                self.assertEqual([], differences(before, fingerprint(target.pid)))
        if not seen:
            self.skipTest("no 2.7, 3.6 or 3.7 on this machine")

    def test_free_threaded_is_refused_by_that_word(self):
        builds = [command for name, _, command in found_pythons() if "freethreaded" in name]
        if not builds:
            self.skipTest("no free-threaded build on this machine")
        for command in builds:
            with Target(WAIT, python=command) as target:
                self.refuse(target.pid, UNSUPPORTED, "free-threaded")

    def test_already_traced(self):
        """By whom is said; reading without a stop works meanwhile."""
        with Target(WAIT) as target, \
                Target((TARGETS / "tracer.py").read_text(), target.pid, python=["/usr/bin/python3"]) as tracer:
            self.refuse(target.pid, BUSY, str(tracer.pid))
            answer = self.snapshot(target.pid, "--method", "read")
            self.assertEqual(("read", False), (answer["method"], answer["consistent"]))
            self.assertGreater(answer["objects"], 10000)
            self.assertTrue(tracer.alive() and target.alive())

    def test_not_permitted(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to have something that is not permitted")
        with Target(WAIT) as target:
            self.folder.chmod(0o777)
            self.refuse(target.pid, NO_PERMISSION, "cannot|not permitted", "sudo|root", user=65534, group=65534, extra_groups=[])

    def test_unknown_option_and_abbreviation(self):
        with Target(WAIT) as target:
            for option in ("--nonsense", "--out", "--js"):
                result = memsnap("snapshot", target.pid, option, "x")
                self.assertEqual(2, result.status, str(result))
        self.assertEqual(2, memsnap("nonsense").status)
        self.assertEqual(2, memsnap("snapshot").status)
        self.assertEqual(2, memsnap("snapshot", "abc").status)

    def test_output_exists(self):
        with Target(WAIT) as target:
            name = pathlib.Path(self.file_name())
            name.write_text("mine")
            self.check(memsnap("snapshot", target.pid, "-o", name), CANNOT_WRITE, re.escape(name.name))
            self.assertEqual("mine", name.read_text())
            self.assertEqual(0, memsnap("snapshot", target.pid, "-o", name, "-f").status)
            self.assertNotEqual("mine", name.read_bytes()[:4])
            self.assertEqual(0o600, name.stat().st_mode & 0o777)

    def test_output_cannot_be_written(self):
        with Target(WAIT) as target:
            self.check(memsnap("snapshot", target.pid, "-o", "/nonexistent/x.msnap"), CANNOT_WRITE)

    def test_disk_full(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to mount a small disk")
        script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" snapshot "$3" -o "$1/x.msnap" --min-free 0'
        with Target("big.py", 400000) as target:
            command = ["unshare", "--mount", "sh", "-c", script, "sh", str(self.folder), harness.MEMSNAP, str(target.pid)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE)
            self.assertEqual(CANNOT_WRITE, done.returncode, done.stderr)
            self.assertRegex(done.stderr, "(?i)space|full")
            self.assertTrue(target.alive())

    def test_files_cut_short_or_damaged(self):
        with Target(WAIT) as target:
            whole = pathlib.Path(self.snapshot(target.pid)["file"])
        data = whole.read_bytes()
        damaged = pathlib.Path(self.file_name())
        cases = [data[:cut] for cut in (0, 1, 7, 8, 20, 100, len(data) // 2, len(data) - 1)]
        for at in range(0, len(data), max(1, len(data) // 40)):
            cases.append(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:])
        cases.append(b"\x7fELF" + bytes(1000))
        for number, case in enumerate(cases):
            damaged.write_bytes(case)
            for command in (["summary", damaged], ["tree", damaged]):
                result = memsnap(*command, timeout=60)
                self.assertEqual(BAD_FILE, result.status, "case %d: %s" % (number, result))
                self.assertIn("memsnap: ", result.err)
        self.check(memsnap("summary", self.folder / "missing.msnap"), BAD_FILE)

    def test_target_that_ends_or_execs_during_the_walk(self):
        """0 with what was seen; else it had gone before, or was another program already; never a hang, a crash or a lie."""
        for command in (b"x", b"e", None):
            with Target("big.py", 2000000) as target:
                name = self.file_name()
                process = subprocess.Popen([harness.MEMSNAP, "snapshot", str(target.pid), "-o", name, "--json"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                time.sleep(0.15)
                if command:
                    target.say(command)
                else:
                    target.process.send_signal(signal.SIGKILL)
                out, err = process.communicate(timeout=harness.PATIENCE)
                print(command, process.returncode, out.strip(), err.strip(), file=sys.stderr)
                self.assertIn(process.returncode, (0, UNSUPPORTED, GAVE_UP) if command == b"e" else (0, NO_SUCH_PROCESS), err)
                if process.returncode == 0:
                    answer = json.loads(out)
                    self.assertTrue(answer["partial"] or answer["objects"] > 1000000, out)
                if command == b"x":
                    self.assertEqual(5, target.process.wait(10))

    def test_pause_over_the_limit_is_refused_untouched(self):
        with Target("big.py", 4000000) as target:
            before = fingerprint(target.pid)
            self.refuse(target.pid, GAVE_UP, options=("--max-pause", "1us"))
            self.assertEqual([], differences(before, fingerprint(target.pid)))

    def test_two_matches_are_listed(self):
        with Target(WAIT + "# twin-target\n"), Target(WAIT + "# twin-target\n"):
            self.assertEqual(2, memsnap("snapshot", "--name", "twin-target", "-o", self.file_name()).status)


if __name__ == "__main__":
    harness.main()
