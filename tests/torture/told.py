"""Runs a program as it is, but for two signals: at SIGRTMIN+8 it forks a child, which must end well, at SIGRTMIN+9 it runs itself anew.
`told.py FILE|-m MODULE ARGUMENTS...`
"""

import os
import runpy
import signal
import sys

COMMAND = [sys.executable, *sys.argv]
FORK, WAIT, EXECUTE = os.fork, os.waitpid, os.execv  # gevent puts its own in their places


def fork(number, frame):
    pid = FORK()
    if pid == 0:
        data = [bytes([n % 256]) * 50 for n in range(3000)]
        os._exit(33 if sum(map(len, data)) == 150000 else 34)
    if WAIT(pid, 0) != (pid, 33 << 8):
        os._exit(99)


signal.signal(signal.SIGRTMIN + 8, fork)
signal.signal(signal.SIGRTMIN + 9, lambda number, frame: EXECUTE(COMMAND[0], COMMAND))
del sys.argv[0]
sys.path[0] = os.getcwd()
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
