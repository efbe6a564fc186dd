"""Processes that compute, allocate in threads, keep the collector busy, use numpy."""

import binascii
import contextlib
import ctypes
import gc
import random
import threading
import time
import weakref

from kind import Kind, wait_until


class Busy(Kind):
    """Computes; each part must be what it was at the beginning."""

    def start(self):
        self.known = [self.work(part) for part in range(32)]

    @staticmethod
    def work(part):
        value = part + 1
        for n in range(4000):
            value = (value * 6364136223846793005 + n) % (1 << 64)
        return binascii.crc32(b"%d %.12f" % (value, (value % 1000003) ** 0.5))

    def step(self):
        part = self.steps % 32
        self.did("part %d" % part, self.work(part), self.known[part])


class Threads(Kind):
    """Four threads that allocate, and check what they have."""

    def start(self):
        with contextlib.suppress(OSError):  # else the C library opens it when the first thread ends, which is after join()
            self.libgcc = ctypes.CDLL("libgcc_s.so.1")
        self.counts = [0] * 4
        self.ending = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.allocate, args=(number,), daemon=True) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def allocate(self, number):
        chance, kept = random.Random(number), {}
        while not self.ending:
            for _ in range(50):
                key = chance.randrange(300)
                size = chance.choice((8, 100, 700, 3000, 20000))
                if key in kept:
                    block, text, numbers = kept.pop(key)
                    self.did("what a block of thread %d holds" % number, (block.count(key % 256), text, sum(numbers)),
                             (len(block), str(key) * 3, key * len(numbers)))
                kept[key] = (bytearray([key % 256]) * size, str(key) * 3, [key] * (size // 100))
            self.counts[number] += 1
            time.sleep(0.02)

    def did(self, what, got, wanted):
        with self.lock:
            super().did(what, got, wanted)

    def check_kind(self):
        before = list(self.counts)
        if not wait_until(lambda: all(now > then for now, then in zip(self.counts, before))):
            self.say_harm("a thread stands still: %s -> %s" % (before, self.counts))
        if not all(thread.is_alive() for thread in self.threads):
            self.say_harm("a thread is gone")

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()


class Node:
    ended = 0

    def __init__(self, other):
        self.other, self.data = other, [1] * 20

    def __del__(self):
        Node.ended += sum(self.data) // 20


class Collecting(Kind):
    """Makes cycles of objects with finalizers and weak references; collections begin anywhere."""

    def start(self):
        self.made = 0
        gc.set_threshold(60, 4, 4)

    def step(self):
        references = []
        for _ in range(200):
            first = Node(None)
            first.other = Node(first)
            references.append(weakref.ref(first))
            self.made += 2
        del first
        if self.steps % 8 == 0:
            gc.collect()
            self.did("the number of finalized objects", Node.ended, self.made)
            self.did("the number of weak references to what is gone", sum(reference() is not None for reference in references), 0)


class Numpy(Kind):
    """Arrays of numbers, of objects, and a product of matrices."""

    def start(self):
        import numpy

        self.numpy = numpy
        self.objects = numpy.array([str(n) for n in range(500)], dtype=object)

    def step(self):
        numpy, n = self.numpy, 40 + self.steps % 20
        self.did("a product of matrices", int((numpy.ones((n, n)) @ numpy.full((n, n), 2.0)).sum()), 2 * n ** 3)
        self.did("a sum", int(numpy.arange(30000 + n).sum()), (30000 + n) * (29999 + n) // 2)
        self.did("an element of an array", self.objects[n], str(n))
