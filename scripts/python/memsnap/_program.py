"""Finding and running the program memsnap on this process.

Nothing is imported that a bare interpreter has not got anyway: what measures a session must not be most of it.
"""

import os
from _thread import RLock

SIGTERM, SIGKILL = 15, 9
PR_SET_PTRACER = 0x59616d61
ANYBODY = -1  # PR_SET_PTRACER_ANY
LEFT_BEHIND = 12  # exit code: the result is good, and something of memsnap stayed in the process
PATIENCE = 60  # seconds for a program that was asked to end


class MemsnapError(RuntimeError):
    """The program failed. `code` is its exit status, `hint` what can be done."""

    def __init__(self, code, message, hint=""):
        super().__init__(message + ("\n" + hint if hint else ""))
        self.code = code
        self.hint = hint


class ProgramNotFound(MemsnapError):
    """There is no program memsnap."""


def _is_program(path):
    return os.access(path, os.X_OK) and not os.path.isdir(path)


def find_program():
    """The path of the program: $MEMSNAP, beside this module or where it was installed with it, $PATH."""
    chosen = os.environ.get("MEMSNAP")
    if chosen:
        if _is_program(chosen):
            return chosen
        raise ProgramNotFound(127, "MEMSNAP is %r, and no program" % chosen, "name the memsnap program, or unset MEMSNAP")
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [here]
    # PREFIX/lib/python3/dist-packages/memsnap, PREFIX/lib/python3.12/site-packages/memsnap: the program is PREFIX/bin/memsnap.
    above = here
    for _ in range(4):
        above = os.path.dirname(above)
        folders.append(os.path.join(above, "bin"))
    folders += [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for folder in folders:
        program = os.path.join(folder, "memsnap")
        if _is_program(program):
            return program
    raise ProgramNotFound(127, "the program memsnap is not found: neither in $MEMSNAP, nor beside %s, nor in $PATH" % here,
                          "install it, or set MEMSNAP to its path")


def _yama_scope():
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def needs_allowance():
    """Under Yama's scope 1 a child may trace its parent only when the parent says so."""
    return os.geteuid() != 0 and _yama_scope() == 1


def _allow(pid):
    import ctypes  # only where it is needed: it is large

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PTRACER, ctypes.c_ulong(pid), 0, 0, 0)


class Allowances:
    """Who may trace this process, where it takes an allowance. The kernel keeps one: of several at work anybody may."""

    _pids = []
    _lock = RLock()

    @classmethod
    def add(cls, pid):
        with cls._lock:
            cls._pids.append(pid)
            cls._tell()

    @classmethod
    def remove(cls, pid):
        with cls._lock:
            cls._pids.remove(pid)
            cls._tell()

    @classmethod
    def _tell(cls):
        _allow(ANYBODY if len(cls._pids) > 1 else cls._pids[0] if cls._pids else 0)

    @classmethod
    def forget(cls):
        """After a fork: a lock that another thread held would never be free again."""
        cls._lock = RLock()
        cls._pids = []


class Child:
    """The program as a child of this process, allowed to trace it as long as it runs.

    `for_anybody`: so are those that it starts and leaves behind, whose pids are not known before.
    """

    def __init__(self, arguments, for_anybody=False):
        command = [find_program(), *arguments]
        self.status = None
        self._input = None
        # Files in memory, not pipes: a process that is looked at must never be needed to empty one.
        self._out, self._err = os.memfd_create("memsnap-out"), os.memfd_create("memsnap-err")
        files = [(os.POSIX_SPAWN_DUP2, self._out, 1), (os.POSIX_SPAWN_DUP2, self._err, 2)]
        self._is_allowed = needs_allowance()
        if self._is_allowed:
            # It may only begin when it is allowed, and its pid is known only when it has begun: a shell waits in its place.
            command = ["/bin/sh", "-c", 'read -r go && exec "$0" "$@" </dev/null', *command]
            read_end, self._input = os.pipe()
            files.append((os.POSIX_SPAWN_DUP2, read_end, 0))
        else:
            files.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
        try:
            # A process may have been started with signals ignored or blocked: its child must still be asked to end.
            self.pid = os.posix_spawn(command[0], command, os.environ, file_actions=files, setsigmask=[], setsigdef=[SIGTERM])
        except BaseException:
            self._close()
            raise
        finally:
            if self._is_allowed:
                os.close(read_end)
        if self._is_allowed:
            self._allowed = ANYBODY if for_anybody else self.pid
            Allowances.add(self._allowed)
            os.write(self._input, b"go\n")

    def poll(self):
        """Its exit status, None while it runs. A program that reaps all children may have taken it: then 0."""
        if self.status is None:
            self._wait(os.WNOHANG)
        return self.status

    def wait(self):
        while self.status is None:
            self._wait(0)
        return self.status

    def _wait(self, flags):
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid:
            self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)

    def send(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def end(self):
        """Asks it to end, which leaves this process as it was; only one that does not is killed."""
        if self.poll() is None:
            import time

            self.send(SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while self.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            self.send(SIGKILL)
            self.wait()
        self._close()

    def _close(self):
        for fd in (self._out, self._err, self._input):
            if fd is not None:
                os.close(fd)
        self._out = self._err = self._input = None
        if self._is_allowed and self.status is not None:
            Allowances.remove(self._allowed)

    @staticmethod
    def _text(fd):
        """Read in one piece: what is tracked meanwhile is to be the program's, not ours."""
        return os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "replace")

    def out(self):
        return self._text(self._out)

    def err(self):
        return self._text(self._err)

    def check(self):
        """Raises MemsnapError when it failed."""
        out, err = self.out(), self.err()
        if self.status == LEFT_BEHIND:
            import warnings

            warnings.warn("memsnap left something behind: " + err.strip(), RuntimeWarning, stacklevel=4)
        elif self.status != 0 or '"memsnap.error/1"' in out[:40]:
            raise error_of(self.status, out, err)


def error_of(code, out, err):
    """What the program said of its failure: a document on stdout, else the lines on stderr."""
    import json

    for line in reversed(out.splitlines()):
        try:
            said = json.loads(line)
            if said["schema"] == "memsnap.error/1":
                return MemsnapError(said["code"], said["message"], said["hint"])
        except (ValueError, KeyError, TypeError):
            pass
    return MemsnapError(code, err.strip() or "memsnap ended with status %s" % code)


def run(command, *arguments):
    """Runs a command of the program on this process, and returns the JSON document it prints. Raises MemsnapError."""
    child = Child([command, "--json", "-q", *map(str, arguments)])
    try:
        child.wait()
        child.check()
        return child.out()
    finally:
        child.end()


def number(document, key):
    """The whole number of a key that stands once in a document. Quotes in texts are escaped: no text has `"key":`."""
    _, found, rest = document.partition('"%s":' % key)
    digits = rest[:rest.find(",")] if "," in rest else rest.rstrip("}\n")
    digits = digits.rstrip("}\n")
    if not found or not digits.isdigit():
        raise MemsnapError(70, "memsnap printed no %s: %s" % (key, document[:200]), "is $MEMSNAP another program?")
    return int(digits)


os.register_at_fork(after_in_child=Allowances.forget)
