"""What a process is told, a word a line, and its answers."""

import os

from kind import say


class Lines:
    """What it is told, and the answers."""

    def __init__(self, kind):
        self.kind, self.buffer = kind, b""

    def take(self):
        """None, or the word that ends it."""
        return self.obey(self.line())

    def more(self):
        return b"\n" in self.buffer

    def line(self):
        while b"\n" not in self.buffer:
            got = os.read(0, 4096)
            if not got:
                os._exit(9)
            self.buffer += got
        word, _, self.buffer = self.buffer.partition(b"\n")
        return word.decode()

    def obey(self, word):
        kind = self.kind
        if word in ("check", "look"):  # "look": something of a killed memsnap may still be there, as a descriptor
            kind.check()
            if word == "check":
                kind.check_descriptors()
            harm, kind.harm = kind.harm, []
            say({"harm": harm, "steps": kind.steps, "checksum": kind.checksum, "starved": kind.starved, "children": sorted(kind.children),
                 "ignored": kind.own_descriptors()})
            if self.line() != "go":
                os._exit(8)
            return None
        if word == "fork":
            kind.fork()
            return None
        return word
