"""Objects that no collector's list shows: they are only found by following whatever holds them."""


class Kept:
    __slots__ = ()


def some(count=500):
    return [Kept() for _ in range(count)]
