# memsnap-test: once timeout=300
"""What scripts/torture found once: a killed memsnap's frozen copy, a limit of file sizes, too little memory."""

import os
import resource
import signal
import subprocess
import time

import harness
from harness import MEMSNAP, Target, children_of, memsnap, status_field

MANY_OBJECTS = """
import os
data = [[n] for n in range(400000)]
print("ready", flush=True)
os.read(0, 1)
"""
NO_MEMORY, CANNOT_WRITE, NOT_LOADED = 7, 9, 127
ARENA = 64 << 20


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


class Faults(harness.LiveTest):
    def setUp(self):
        super().setUp()
        self.target = Target(MANY_OBJECTS)
        self.addCleanup(self.target.close)
        self.pid = self.target.pid

    def killed_while_it_walks(self):
        """True: memsnap was killed after it had made its frozen copy, and before it took it back."""
        process = subprocess.Popen([MEMSNAP, "snapshot", str(self.pid), "-q", "-o", self.file_name()])
        while process.poll() is None and not any(status_field(child, "Name") == "memsnap-frozen" for child in children_of(self.pid)):
            time.sleep(0.001)
        process.kill()
        return process.wait() == -signal.SIGKILL and children_of(self.pid) != []

    def test_detach_reaps_the_copy_of_a_killed_memsnap(self):
        self.assertTrue(any(self.killed_while_it_walks() for _ in range(50)))
        result = memsnap("detach", self.pid, "--json")
        self.assertEqual(0, result.status, str(result))
        self.assertEqual((True, 1, []), tuple(result.json()[key] for key in ("found", "copies_reaped", "left_behind")))
        self.assertEqual([], children_of(self.pid))
        again = memsnap("detach", self.pid, "--json").json()
        self.assertEqual((False, 0), (again["found"], again["copies_reaped"]))

    def test_a_limit_of_file_sizes_is_an_error_of_writing(self):
        for command in (["snapshot", self.pid], ["attach", self.pid, "--for", "10ms"]):
            name = self.file_name()
            result = memsnap(*command, "-o", name, preexec_fn=limit(resource.RLIMIT_FSIZE, 1000))
            self.assertEqual(CANNOT_WRITE, result.status, str(result))
            self.assertEqual([], os.listdir(self.folder))
            self.assertEqual([], children_of(self.pid))

    def test_too_little_memory_is_no_internal_error(self):
        before = harness.fingerprint(self.pid)
        refused = 0
        for size in range(30, 200, 10):
            result = memsnap("snapshot", self.pid, "-o", self.file_name(), preexec_fn=limit(resource.RLIMIT_AS, size << 20))
            self.assertIn(result.status, (0, NO_MEMORY, NOT_LOADED), str(result))
            refused += result.status == NO_MEMORY
            self.assertEqual([], harness.differences(before, harness.fingerprint(self.pid)), str(result))
        self.assertGreater(refused, 0)

    def test_below_a_limit_threads_use_what_others_gave_back(self):
        """One that is refused an arena of its own (64 MiB, aligned) by glibc gets nothing at all when memory has run out."""
        command = [MEMSNAP, "attach", str(self.pid), "--no-save"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=limit(resource.RLIMIT_AS, 1 << 30)) as attached:
            self.assertIn(b"tracking", attached.stderr.readline())
            with open("/proc/%d/maps" % attached.pid) as maps:
                lines = [line.replace("-", " ", 1).split()[:3] for line in maps]
            attached.send_signal(signal.SIGINT)
            attached.communicate()
        arenas = [used for used, rest in zip(lines, lines[1:])
                  if rest[2] == "---p" and rest[0] == used[1] and int(used[0], 16) % ARENA == 0 and int(rest[1], 16) - int(used[0], 16) == ARENA]
        self.assertEqual([], arenas)

    def test_no_memory_at_all_is_said(self):
        """Just more than the loader needs. Where the loader has but some KiB too little it ends by a signal, before anything of ours."""
        def end(size):
            return memsnap("threads", self.pid, preexec_fn=limit(resource.RLIMIT_AS, size)).status

        ends = set()
        for size in range(10 << 19, 40 << 19, 1 << 19):
            status = end(size)
            if status == -signal.SIGSEGV and end(size - (16 << 10)) == NOT_LOADED:
                status = NOT_LOADED
            ends.add(status)
        self.assertLessEqual(ends, {0, NO_MEMORY, NOT_LOADED})
        self.assertIn(NO_MEMORY, ends)

    def test_a_small_stack_below_a_limit(self):
        """The stack is grown before memory can run out, and only as far as its own limit lets it."""
        for size in (300, 400, 512, 700, 1024, 1500, 2048):
            def limits():
                resource.setrlimit(resource.RLIMIT_STACK, (size << 10, size << 10))
                resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            for filled in (0, max(size // 4, 128) - 32):  # arguments and environment are on the stack too, a quarter of it at most
                environment = dict(os.environ, **{"FILLED_%d" % n: "x" * 1000 for n in range(filled)})
                result = memsnap("threads", self.pid, preexec_fn=limits, env=environment)
                self.assertEqual(0, result.status, "%d KiB of stack, %d of environment: %s" % (size, filled, result))



if __name__ == "__main__":
    harness.main()
