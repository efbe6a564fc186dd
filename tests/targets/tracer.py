"""Traces a process as a debugger does: `python3 tracer.py PID`. Says "ready"; lets it go at the end of standard input."""

import ctypes
import os
import sys

PTRACE_DETACH, PTRACE_SEIZE = 17, 0x4206
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

PID = int(sys.argv[1])
if LIBC.ptrace(PTRACE_SEIZE, PID, None, None):
    sys.exit("tracer.py: %s" % os.strerror(ctypes.get_errno()))
print("ready", flush=True)
sys.stdin.read()
