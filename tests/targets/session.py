"""A Python session: runs statements from standard input (one literal a line) and answers what each printed (one literal a line).
Nothing is imported, so that the session is as small as a Python session is."""

import sys

REAL = sys.stdout
NAMES = {"__name__": "__main__"}


class Printed:
    def __init__(self):
        self.parts = []

    def write(self, text):
        self.parts.append(text)

    def flush(self):
        pass


print("ready", flush=True)
while True:
    LINE = sys.stdin.readline()
    if not LINE:
        break
    sys.stdout = Printed()
    try:
        exec(compile(eval(LINE), "<session>", "single"), NAMES)
    except BaseException as error:
        sys.stdout.write("Traceback (most recent call last):\n%s: %s\n" % (type(error).__name__, error))
    ANSWER = ascii("".join(sys.stdout.parts))
    sys.stdout = REAL
    REAL.write(ANSWER + "\n")
    REAL.flush()
