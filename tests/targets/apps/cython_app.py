"""A Cython module, compiled for this test: extension types and a suspended generator."""

import holder
import kept
import plain_server

HOLDER = holder.Holder(tuple(kept.some()))
GENERATOR = holder.numbers(100)
next(GENERATOR)


def answer(_):
    return str(HOLDER.work(20000)).encode()


plain_server.serve(answer)
