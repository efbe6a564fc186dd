"""A process that forged its own heap, and would crash if it looked at it again. argv: what to forge.

"ready" is said when all is forged; each line from stdin is then answered with "alive".
"""

import ctypes
import gc
import os
import sys

WORD = ctypes.c_uint64
WILD = 0xDEAD0000
ABOVE = 1 << 47
TERABYTE = 1 << 40

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE = 3, 0x4022


def put(address, word):
    WORD.from_address(address).value = word & (2**64 - 1)


def nothing(size):
    """Address space that reads as zero and costs nothing."""
    return libc.mmap(None, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0)


class Kept:
    pass


class Plain:
    pass


class First:
    pass


class Second(First):
    pass


kept = [Kept() for _ in range(1000)]
forged = []  # its items' own fields are forged; it is not


def new(value):
    forged.append(value)
    return id(value)


def sizes():
    for size in (1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, -1):
        put(new([1, 2]) + 16, size)
        put(new((1, 2)) + 16, size)
        put(new("text %d" % size) + 16, size)
        put(new(10**100 + size % 7) + 16, size)
        put(new({1, size}) + 32, size)  # mask
        put(new(bytearray(b"abc")) + 16, size)
        keys = WORD.from_address(new({"a%d" % size: 1}) + 32).value
        put(keys + 24, size)  # dk_nentries or what is near it
        put(keys + 8, size)  # dk_size or its logarithms


def pointers():
    for wild in (WILD, WILD + 1, ABOVE, ABOVE + id(kept), ~7, 8):
        put(new([1, 2]) + 24, wild)  # ob_item
        put(new({"b": 1}) + 32, wild)  # ma_keys
        put(new({"c": 1}) + 40, wild)  # ma_values
        put(new({1, 2}) + 40, wild)  # table
        put(new(Plain()) + 8, wild)  # ob_type
        put(new((1, 2)) + 24, wild)  # an item
        put(new(Plain()) - 16 - 8, wild)  # instance dict or values


def rings():
    item = new([1, 2])
    put(item + 24, item - 64)  # its items are its own fields
    put(id(First) + 256, id(Second))  # tp_base
    put(id(First) + 344, new(((1, 2), 3)))  # tp_mro
    keys = new({"d": 1})
    put(keys + 32, keys)
    new(First())
    new(Second())


def emptiness():
    space = nothing(TERABYTE)
    for address in (new([1, 2]), new([3, 4])):
        put(address + 24, space)
        put(address + 16, TERABYTE // 8)
        put(address + 32, TERABYTE // 8)
    table = new({1, 2})
    put(table + 32, TERABYTE // 16 - 1)
    put(table + 40, space)


def lists():
    """Links of the collector's lists: they lead in a circle beside the head, or into the wild."""
    first, second = [], []
    new(first)
    new(second)
    put(id(first) - 16, id(first) - 16)
    put(id(second) - 16, WILD)


def chunks():
    """Sizes of blocks of malloc: without end, none, and such that blocks overlap."""
    libc.malloc.restype = ctypes.c_void_p
    blocks = [libc.malloc(64) for _ in range(64)]
    for block, size in zip(blocks[::4], ((1 << 63) | 1, ~0, 0, 1, 17, 8 * 4096 + 1, (1 << 62) | 2, (1 << 47) | 5, 33, 49, 161)):
        put(block - 8, size)


def arenas():
    """argv has no room for it: the library's name is in the environment."""
    if ctypes.CDLL(os.environ["FORGED_LIBRARY"]).forge() != 0:
        sys.exit(1)


gc.disable()
for name in sys.argv[1:]:
    globals()[name]()
os.write(1, b"ready\n")
while os.read(0, 1):
    os.write(1, b"alive\n")
os._exit(0)
