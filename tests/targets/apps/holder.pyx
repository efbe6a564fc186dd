# cython: language_level=3
"""What is kept is in fields of C structs."""

cdef class Inner:
    cdef object held

    def __init__(self, held):
        self.held = held


cdef class Holder:
    cdef object items
    cdef list inner
    cdef double total

    def __init__(self, items):
        self.items = None
        self.inner = [Inner(item) for item in items]
        self.total = 0

    def work(self, int count):
        cdef int n
        for n in range(count):
            self.total += n * 0.5
        return self.total


def numbers(limit):
    held = [limit]
    for n in range(limit):
        yield n + len(held)
