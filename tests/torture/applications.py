"""Applications of Debian's packages, seen from outside."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess

from targets import FROZEN, HERE, PATIENCE, Harm, LoadProcess, Target, die_with_parent, harness, held_threads, look_outside, name_of, wait_for, what_stays

APPS = harness.TARGETS / "apps"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Application(Target):
    """An application of Debian's packages, which knows nothing of this test: its requests are checked, and what is seen from outside."""

    def __init__(self, kind, interpreter, folder):
        self.kind, self.interpreter, self.one_heap = kind, interpreter, False
        self.load = None
        port = free_port()
        self.port = port
        program = [*interpreter.command, str(HERE / "told.py")]
        program += {"gunicorn": ["-m", "gunicorn", "-w", "1", "-t", "300", "--graceful-timeout", "2", "-b", "127.0.0.1:%d" % port, "django_app"],
                    "flask": ["flask_app.py", str(port)], "pandas": ["pandas_app.py", str(port)]}[kind]
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(APPS), OPENBLAS_NUM_THREADS="2")
        self.errors = self.log = open(folder / ("%s.log" % kind), "w+b")
        self.process = subprocess.Popen(program, cwd=APPS, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        preexec_fn=die_with_parent)
        if not wait_for(lambda: self.process.poll() is not None or self.serves(port)) or self.process.poll() is not None:
            raise Harm(["%s does not serve: %s" % (kind, (folder / ("%s.log" % kind)).read_text()[-2000:])])
        self.load = LoadProcess(port, "any")
        self.pid = self.process.pid
        if kind == "gunicorn":
            wait_for(lambda: harness.children_of(self.process.pid))
            self.pid = harness.children_of(self.process.pid)[0]
        self.load.check()
        self.before = look_outside(self.pid)

    def say(self, word):
        """By a signal (told.py); to a worker of gunicorn "exit" is SIGTERM."""
        numbers = {"fork": signal.SIGRTMIN + 8, "exec": signal.SIGRTMIN + 9, "exit": signal.SIGTERM}
        with contextlib.suppress(OSError):
            self.image = self.where_random_bytes_are()
            os.kill(self.pid, numbers[word])

    def where_random_bytes_are(self):
        """Another place after an exec."""
        return pathlib.Path("/proc/%d/auxv" % self.pid).read_bytes()

    def begin(self):
        """After an exec."""
        wait_for(lambda: self.process.poll() is not None or self.where_random_bytes_are() != self.image and self.serves(self.port))
        if self.process.poll() is not None or not self.serves(self.port):
            raise Harm(["%s does not serve again" % self.kind])
        self.load.say("go %d" % self.port)
        self.load.check()
        self.before = look_outside(self.pid)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait_for_end()

    def wait_for_end(self):
        if self.pid == self.process.pid:
            return self.process.wait(PATIENCE)
        wait_for(lambda: name_of(self.pid) is None)  # its master waits for it

    def expect_end(self, status):
        """Without a handler SIGTERM ends it; the worker of gunicorn ends by itself."""
        got = self.wait_for_end()
        if got not in (None, -signal.SIGTERM):
            raise Harm(["at its end its status was %s" % got])

    @staticmethod
    def serves(port):
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(PATIENCE)
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return connection.recv(1) != b""
        except OSError:
            return False

    def alive(self):
        return self.process.poll() is None and name_of(self.pid) is not None

    def check(self, word):
        if not self.alive():
            raise Harm(["the target ended"])
        harm = self.load.check()
        harm += ["from outside: " + line for line in what_stays(lambda: held_threads(look_outside(self.pid)))]
        after = look_outside(self.pid)
        if self.kind == "gunicorn" and harness.children_of(self.process.pid) != [self.pid]:
            harm.append("the worker is another: %s" % harness.children_of(self.process.pid))
        if word == "check":
            strange = [(pid, name_of(pid)) for pid in after["children"] if name_of(pid) == FROZEN]
            harm += ["from outside: child %s" % (child,) for child in strange]
            harm += ["from outside: %s" % line for line in self.new_mappings(after)]
            harm += ["from outside: descriptor %s: %s" % (fd, name) for fd, name in after["fds"].items() if "memfd" in name]
        if harm:
            raise Harm(harm)

    def close(self):
        if self.load:
            self.load.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
