"""Takes memory of one kind each time a line names it, answers with what it took, and keeps it."""

import ctypes
import json
import mmap
import os
import sys
import threading

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.aligned_alloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
KEPT = []
PAGE = 4096


def touched(size, take=libc.malloc):
    block = take(size)
    libc.memset(block, 1, size)
    return block


def chunk(size):
    """What malloc takes for a block."""
    return max(32, (size + 8 + 15) // 16 * 16)


def holes(size, count):
    """Blocks of which every other one is freed: what is between two in use cannot be returned."""
    blocks = (ctypes.c_void_p * count)()
    for i in range(count):
        blocks[i] = touched(size)
    for i in range(0, count, 2):
        libc.free(blocks[i])
    KEPT.append(blocks)
    # The array of ctypes is native: sys.getsizeof does not count it.
    return {"malloc in use": count // 2 * chunk(size) + 8 * count, "malloc free": count // 2 * chunk(size)}


def native():
    return holes(1000, 20000)


def small_native():
    # Lists of freed small blocks: neither they nor their neighbours say that they are free.
    return holes(24, 100000)


def mapped_native():
    total = 0
    for size in (8 << 20, 3000001, 1 << 20):
        touched(size)
        total += (size + 16 + PAGE - 1) // PAGE * PAGE
    for alignment in (64, 4096, 65536):
        libc.memset(libc.aligned_alloc(alignment, 4 << 20), 1, 4 << 20)
        total += (4 << 20) + PAGE
    return {"malloc in use": total}


def untouched():
    libc.malloc(64 << 20)
    return {"malloc in use": 0}


def in_threads():
    """Arenas of their own, of several heaps each."""
    ready, hold, results = threading.Barrier(5), threading.Event(), []

    def run():
        blocks = [touched(30000) for _ in range(3000)]
        for block in blocks[::2]:
            libc.free(block)
        results.append(len(blocks) // 2 * chunk(30000))
        ready.wait()
        hold.wait()

    for _ in range(4):
        threading.Thread(target=run, daemon=True).start()
    ready.wait()
    KEPT.append(hold)
    return {"malloc in use": sum(results), "malloc free": sum(results)}


def stacks():
    """Stacks that are used from top to bottom, as far as ctypes' callbacks do that."""
    ready, hold = threading.Barrier(7), threading.Event()
    threading.stack_size(4 << 20)

    def run():
        deep = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda left: deep(left - 1) if left else (ready.wait(), hold.wait()))
        deep(60)

    for _ in range(6):
        threading.Thread(target=run, daemon=True).start()
    ready.wait()
    KEPT.append(hold)
    return {}


def arenas():
    blocks = [bytes(400) for _ in range(100000)]
    kept = blocks[::3]
    del blocks
    KEPT.append(kept)
    size = (sys.getsizeof(kept[0]) + 15) // 16 * 16
    pool = 16384 if sys.version_info >= (3, 10) else 4096
    in_pool = (pool - 48) // size
    lost = 100000 // in_pool * (pool - in_pool * size)
    return {"python objects": len(kept) * (size + 8), "pymalloc free": (100000 - len(kept)) * size + lost}


def buffers():
    one = bytearray(30 << 20)
    one[:] = bytes(range(256)) * (len(one) // 256)
    many = [bytearray(b"x" * 5000) for _ in range(2000)]
    items = [None] * 1000000
    numbers = {float(i): None for i in range(20000)}
    members = set(range(50000, 80000))
    KEPT.append((one, many, items, numbers, members))
    total = len(one) + 2000 * chunk(5001) + sys.getsizeof(items) + sys.getsizeof(numbers) + sys.getsizeof(members)
    return {"python objects": total + 2000 * 64 + 20000 * 32 + 30000 * 32, "malloc in use": 0}


def arrays():
    try:
        import numpy
    except ImportError:
        return {}
    KEPT.append((numpy.ones(5 << 20), [numpy.ones(300) for _ in range(5000)]))
    return {"python objects": (5 << 23) + 5000 * (chunk(2400) + 112 + 32)}


def interpreters():
    """Each has arenas of its own from 3.12 on."""
    if sys.version_info < (3, 12):
        return {}
    try:
        import _interpreters as module
    except ImportError:
        import _xxsubinterpreters as module
    for _ in range(3):
        made = module.create() if sys.version_info < (3, 13) else module.create("isolated")
        module.run_string(made, "kept = [bytes(400) for _ in range(20000)]")
        KEPT.append(made)
    return {"python objects": 3 * 20000 * ((sys.getsizeof(bytes(400)) + 15) // 16 * 16 + 8)}


def ended_threads():
    """Their stacks are kept for new ones."""
    threads = [threading.Thread(target=sum, args=(range(100),)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"malloc in use": 0}


def shared():
    KEPT.append(mmap.mmap(-1, 10 << 20))
    KEPT[-1].write(b"x" * (10 << 20))
    return {"shared": 10 << 20}


def own_mapping():
    KEPT.append(mmap.mmap(-1, 6 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    KEPT[-1].write(b"x" * (6 << 20))
    return {"other": 6 << 20}


os.write(1, b"ready\n")
for line in sys.stdin:
    took = globals()[line.strip()]()
    os.write(1, ("took %s\n" % json.dumps(took)).encode())
