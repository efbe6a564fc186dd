"""Makes processes with a wanted pid: `pid_taker.py`. On stdin a pid a line; answered with "taken" once a Python process has it, or
with "no ERRNO". The word "end" ends that process, and is answered with its status: 7 when it is well.
"""

import ctypes
import os
import signal
import sys

CLONE3 = 435
PROGRAM = """
import os, signal, sys
for number in range(1, signal.SIGRTMAX + 1):
    try:
        signal.signal(number, lambda number, frame: os._exit(number))
    except (OSError, ValueError):
        pass
data = [str(n) for n in range(5000)]
os.write(1, b"x")
ended = os.read(0, 1) == b""
os._exit(7 if ended and data == [str(n) for n in range(5000)] else 8)
"""


def take(pid):
    """(the write end of its stdin, errno)."""
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    wanted = (ctypes.c_int * 1)(pid)
    arguments = (ctypes.c_uint64 * 11)()
    arguments[4] = signal.SIGCHLD
    arguments[8], arguments[9] = ctypes.addressof(wanted), 1
    inner, outer = os.pipe()
    told, tells = os.pipe()
    got = libc.syscall(CLONE3, arguments, 88)
    if got == 0:
        os.dup2(inner, 0)
        os.dup2(tells, 1)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", PROGRAM])
    number = ctypes.get_errno()
    os.close(inner)
    os.close(tells)
    if got > 0:
        os.read(told, 1)
    os.close(told)
    if got < 0:
        os.close(outer)
        return None, number
    return outer, 0


def main():
    pid, outer = 0, None
    for line in sys.stdin:
        if line.strip() != "end":
            pid = int(line)
            outer, number = take(pid)
            print("taken" if outer is not None else "no %d" % number, flush=True)
        else:
            os.close(outer)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


main()
