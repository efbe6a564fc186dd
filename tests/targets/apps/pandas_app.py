"""pandas: what is kept is in a column of objects."""

import numpy
import pandas

import kept
import plain_server

FRAME = pandas.DataFrame({"kept": kept.some(), "group": numpy.arange(500) % 7, "value": numpy.random.rand(500),
                          "when": pandas.date_range("2024-01-01", periods=500, freq="H"), "text": ["t%d" % n for n in range(500)]})
LARGE = pandas.DataFrame(numpy.random.rand(20000, 8)).assign(label=lambda frame: frame.index.astype(str))


def answer(_):
    return FRAME.groupby("group")["value"].agg(["mean", "sum"]).to_json().encode()


plain_server.serve(answer)
