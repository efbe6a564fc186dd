"""Python sessions that import memsnap, also those of interpreters in a chroot, which has neither the program nor its libraries: there a
stand-in of the program hands its arguments out through a socket, and the program is run outside on the same process."""

import ast
import doctest
import json
import os
import pathlib
import shutil
import socket
import tempfile
import threading

import harness
from harness import Target, memsnap

MODULE = harness.ROOT / "scripts" / "python"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
IN_CHROOT = harness.PYTHON[0] == "chroot"

STAND_IN = """#!%s -S
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as outside:
    outside.connect(%r)
    outside.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    answer = json.loads(b"".join(iter(lambda: outside.recv(1 << 16), b"")))
os.write(1, answer["out"].encode())
os.write(2, answer["err"].encode())
sys.exit(answer["status"])
"""


class Place:
    """Where sessions find the module and the program, and where their logs are. Removed by close()."""

    def __init__(self):
        self.root = pathlib.Path(harness.PYTHON[1]) if IN_CHROOT else pathlib.Path("/")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="memsnap-module-", dir=self.root / "tmp"))
        self.inside = pathlib.Path("/") / self.folder.relative_to(self.root)
        self.logs = self.folder / "logs"
        self.environment = {"MEMSNAP_DIR": str(self.logs), "MEMSNAP": harness.MEMSNAP, "PYTHONPATH": str(MODULE), "PYTHONIOENCODING": "utf-8"}
        self._server = None
        if IN_CHROOT:
            shutil.copytree(MODULE / "memsnap", self.folder / "memsnap", ignore=shutil.ignore_patterns("__pycache__"))
            self._serve()

    def _serve(self):
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.folder / "s"))
        self._server.listen(50)
        program = self.folder / "program"
        program.write_text(STAND_IN % (harness.PYTHON[-1], str(self.inside / "s")))
        program.chmod(0o755)
        self.environment.update(MEMSNAP=str(self.inside / "program"), PYTHONPATH=str(self.inside))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection, connection.makefile("rb") as lines:
            result = memsnap(*json.loads(lines.readline()), directory=self.logs)
            connection.sendall(json.dumps({"out": result.out, "err": result.err, "status": result.status}).encode())

    def close(self):
        if self._server:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        shutil.rmtree(self.folder)

    def session(self, **environment):
        return Session(self, environment)


class Session(Target):
    """A Python session. -S: what an installation adds to every interpreter is not the session's."""

    def __init__(self, place, environment):
        settings = dict(place.environment, **environment)
        kept = {name: settings.pop(name) for name in list(settings) if name == "PYTHONPATH"}
        # The harness takes PYTHONPATH away from its targets: the session is told by its first statement.
        super().__init__("session.py", python=[*harness.PYTHON, "-S"], environment=settings)
        if kept.get("PYTHONPATH"):
            self.run("import sys; sys.path.insert(0, %r)" % kept["PYTHONPATH"])

    def run(self, statement):
        """What a statement prints."""
        self.say(ascii(statement + "\n").encode() + b"\n")
        line = self.line()
        if line is None:
            raise harness.Failed("the session ended in: " + statement)
        return ast.literal_eval(line.decode())

    def value(self, expression):
        return ast.literal_eval(self.run(expression))

    def examples(self, text):
        """Runs the examples of a text as doctest does; those that did not give what they say, as (statement, wanted, got)."""
        checker = doctest.OutputChecker()
        failed = []
        for example in doctest.DocTestParser().get_examples(text):
            got = self.run(example.source)
            flags = FLAGS
            for flag, on in example.options.items():
                flags = flags | flag if on else flags & ~flag
            if flags & doctest.SKIP:
                continue
            if example.exc_msg is not None:
                good = got.startswith("Traceback") and got.splitlines()[1].split(":")[0] == example.exc_msg.split(":")[0].split(".")[-1]
            else:
                good = checker.check_output(example.want, got, flags)
            if not good:
                failed.append((example.source.strip(), example.want, got))
        return failed
