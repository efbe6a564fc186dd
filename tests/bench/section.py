"""Where a bench says what it measured: on standard output, in its section of docs/benchmarks.md, and to the table of promises."""

import json
import os
import pathlib
import statistics

from svg_plot import plot

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def spread(values, scale=1.0):
    """Median, and least to most."""
    values = [value * scale for value in values]
    return "%.3g (%.3g-%.3g)" % (statistics.median(values), min(values), max(values))


class Section:
    """`with Section("pauses", write) as section`: what stands between its two marks in the document is replaced at the end, where
    `write` is set; MEMSNAP_PROMISES names the file to which promised figures are added, a JSON object a line."""

    def __init__(self, name, write):
        self.name, self.write, self.lines = name, write, []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.write:
            self.replace()

    def line(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def table(self, *heads):
        self.line("| %s |" % " | ".join(heads))
        self.line("|" + " --- |" * len(heads))

    def row(self, *cells):
        self.line("| %s |" % " | ".join(map(str, cells)))

    def plot(self, title, x_name, y_name, lines):
        """`lines`: {name: [(x, y), ...]}"""
        file = "benchmarks-%s.svg" % "-".join(title.lower().split())
        if self.write:
            (DOCUMENT.parent / file).write_text(plot(title, x_name, y_name, lines))
        self.lines.append("![%s](%s)\n" % (title, file))

    def promise(self, figure, values, most=None, least=None):
        """A figure that was promised: its median is at `most`, or at `least`, this."""
        middle = statistics.median(values)
        kept = middle <= most if most is not None else middle >= least
        goal = "at most %g" % most if most is not None else "at least %g" % least
        print("%s: %s, promised %s%s" % (figure, spread(values), goal, "" if kept else ": MISSED"), flush=True)
        if "MEMSNAP_PROMISES" in os.environ:
            with open(os.environ["MEMSNAP_PROMISES"], "a") as file:
                print(json.dumps({"figure": figure, "goal": goal, "measured": spread(values), "kept": kept}), file=file)

    def replace(self):
        begin, end = ("<!-- %s: by scripts/bench -->\n" % self.name, "<!-- end of %s -->\n" % self.name)
        before, rest = DOCUMENT.read_text().split(begin)
        _, after = rest.split(end)
        DOCUMENT.write_text(before + begin + "\n" + "\n".join(self.lines).strip() + "\n\n" + end + after)
