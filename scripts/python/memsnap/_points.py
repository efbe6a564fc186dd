"""Memory points: MEMPOINT, MEMLOGS and what belongs to them, with the meanings of tracemem."""

import os
import sys
from _thread import allocate_lock
from collections import namedtuple
from functools import partial, wraps

from memsnap import _program

LONGEST_ID = 1000  # bytes
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of code objects, as the module inspect has them

MemLog = namedtuple("MemLog", "ID memory")
MemLog.__doc__ = "A memory point: its ID and the memory in bytes."


class IncorrectUseOfMEMLOGSError(TypeError):
    """Something but MEMPOINT() tried to change MEMLOGS."""


class MemLogsList:
    """The memory points of this process, in their order. There is one, and only MEMPOINT() adds to it."""

    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance._points = []
        return cls._instance

    @property
    def IDs(self):
        return [point.ID for point in self._points]

    @property
    def memories(self):
        return [point.memory for point in self._points]

    def filter(self, predicate):
        """A list of the points for which the predicate holds."""
        return [point for point in self._points if predicate(point)]

    def map(self, function):
        """A list of what the function makes of each point."""
        return [function(point) for point in self._points]

    def __getitem__(self, index):
        """A point, or a list of points for a slice."""
        return self._points[index]

    def __len__(self):
        return len(self._points)

    def __iter__(self):
        return iter(self._points)

    def __contains__(self, point):
        return point in self._points

    def __reversed__(self):
        return reversed(self._points)

    def index(self, point, *bounds):
        return self._points.index(point, *bounds)

    def count(self, point):
        return self._points.count(point)

    def __repr__(self):
        return repr(self._points)

    def __eq__(self, other):
        return self._points == (other._points if isinstance(other, MemLogsList) else other)

    __hash__ = None

    def _refuse(self, what):
        raise IncorrectUseOfMEMLOGSError("MEMLOGS " + what)

    def __setitem__(self, index, value):
        self._refuse("does not accept item assignment")

    def __delitem__(self, index):
        self._refuse("does not accept the deletion of items")

    def __add__(self, other):
        self._refuse("cannot be added to anything")

    __radd__ = __iadd__ = __add__

    def __mul__(self, number):
        self._refuse("cannot be multiplied")

    __rmul__ = __imul__ = __mul__

    def _only_mempoint(self, *_, **__):
        self._refuse("can be updated only using the MEMPOINT() function")

    append = extend = insert = pop = remove = clear = sort = reverse = _only_mempoint


MEMLOGS = MemLogsList()

_adding = allocate_lock()


def _new_lock():
    global _adding
    _adding = allocate_lock()


os.register_at_fork(after_in_child=_new_lock)


def _counts_objects():
    metric = sys.modules["memsnap"].METRIC
    if metric not in ("objects", "rss"):
        raise ValueError('memsnap.METRIC is %r: "objects" or "rss" was expected' % (metric,))
    return metric == "objects"


def _text_of(ID):
    """One line of UTF-8, whatever the object is."""
    text = " ".join(str(ID).replace("\0", "\\x00").splitlines())
    encoded = text.encode("utf-8", "backslashreplace")
    return encoded[:LONGEST_ID].decode("utf-8", "ignore")


def _make_point(ID, note=""):
    objects = _counts_objects()
    arguments = ["--no-first"]
    if objects:
        arguments.append("--objects")
    if note:
        arguments += ["--note", note]
    log = sys.modules["memsnap"].LOG
    if log is not None:
        arguments += ["--log", os.fspath(log)]
    asked = _text_of(ID)
    with _adding:  # so that MEMLOGS has the order of the log
        made = _program.run("point", *arguments, "--", os.getpid(), asked)
        repeat = _program.number(made, "repeat")
        point = MemLog(asked if repeat == 1 else "%s-%d" % (asked, repeat),
                       _program.number(made, "pyobj" if objects else "rss"))
        MEMLOGS._points.append(point)
    return point


def MEMPOINT(ID=None, return_memory=False, *, id=None):
    """Makes a memory point. An ID that was used before becomes ID-2, ID-3; any object may be one, its str() is taken."""
    point = _make_point(ID if id is None else id)
    return point.memory if return_memory else None


def MEMORY():
    """The memory of this process now, in bytes; no point is made."""
    if _counts_objects():
        return _program.number(_program.run("memory", "--metric", "pyobj", "--", os.getpid()), "python_objects")
    return _program.number(_program.run("memory", "--metric", "rss", "--", os.getpid()), "rss")


def MB(memory):
    """Bytes, or the memory of a point, divided by 1024 * 1024."""
    return getattr(memory, "memory", memory) / 1024 / 1024


def MEMPRINT():
    """Prints MEMLOGS, a point on each line."""
    for i, point in enumerate(MEMLOGS):
        print("%2d %11s   → %s" % (i, "%.2f MiB" % MB(point), point.ID))


class _Calls:
    """The points around one call."""

    def __init__(self, name, ID_before, ID_after):
        self._before = ID_before or "Before %s()" % name
        self._after = ID_after or "After %s()" % name

    def __enter__(self):
        _make_point(self._before)

    def __exit__(self, kind, error, trace):
        # GeneratorExit: whoever used the generator had enough of it.
        raised = kind is not None and not issubclass(kind, GeneratorExit)
        try:
            _make_point(self._after, "raised %s" % kind.__name__ if raised else "")
        except _program.MemsnapError as failed:
            if kind is None:
                raise
            import warnings

            warnings.warn("no point %r: %s" % (self._after, failed), RuntimeWarning, stacklevel=2)


def _flags_of(func):
    while isinstance(func, partial):
        func = func.func
    code = getattr(getattr(func, "__func__", func), "__code__", None)
    return code.co_flags if code else 0


def MEMTRACE(func=None, ID_before=None, ID_after=None):
    """Decorator: a point "Before f()" and a point "After f()" around each call, also when it raises.

    Of a coroutine the call is from its first step to its end; of a generator from its first item to its end.
    """
    if func is None:
        return partial(MEMTRACE, ID_before=ID_before, ID_after=ID_after)
    name = getattr(func, "__name__", type(func).__name__)
    kind = _flags_of(func)

    if kind & CO_COROUTINE:
        @wraps(func)
        async def inner(*args, **kwargs):
            with _Calls(name, ID_before, ID_after):
                return await func(*args, **kwargs)
    elif kind & CO_ASYNC_GENERATOR:
        @wraps(func)
        async def inner(*args, **kwargs):
            with _Calls(name, ID_before, ID_after):
                generator = func(*args, **kwargs)
                try:
                    async for item in generator:
                        yield item
                finally:
                    await generator.aclose()
    elif kind & CO_GENERATOR:
        @wraps(func)
        def inner(*args, **kwargs):
            with _Calls(name, ID_before, ID_after):
                return (yield from func(*args, **kwargs))
    else:
        @wraps(func)
        def inner(*args, **kwargs):
            with _Calls(name, ID_before, ID_after):
                return func(*args, **kwargs)
    return inner
