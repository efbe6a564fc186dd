"""Makes objects of many kinds, says where they are and what sys.getsizeof says of them, then waits to be looked at.

Run from stdin, where the file need not be readable by the interpreter. Each line is made of words between tabs:
    object ADDRESS SIZE LABEL TYPE        an object made here; TYPE is module.qualname as hex of its UTF-8
    heap   ADDRESS SIZE - TYPE            an object of the interpreter or the standard library
    type   ADDRESS NAME BASICSIZE ITEMSIZE DICTOFFSET PYTHON_SIZEOF
    fields ADDRESS COUNT                  a struct sequence type
    ready  PID HEXVERSION
"""

import abc
import array
import ast
import asyncio
import bisect
import collections
import contextvars
import csv
import ctypes
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import gc
import hashlib
import heapq
import io
import itertools
import json
import mmap
import operator
import os
import pickle
import queue
import random
import re
import select
import socket
import string
import struct
import sys
import tempfile
import threading
import time
import types
import typing
import unicodedata
import uuid
import weakref
import xml.etree.ElementTree as etree
import zlib

try:
    import sqlite3
except ImportError:
    sqlite3 = None
try:
    import numpy
except ImportError:
    numpy = None

made = []  # (label, object)


def add(label, *objects):
    for made_object in objects:
        made.append((label, made_object))


class Plain:
    def method(self):
        return self

    @classmethod
    def of_class(cls):
        return cls

    @staticmethod
    def static():
        return 0

    @property
    def prop(self):
        return 1


class Slots:
    __slots__ = ("a", "b", "__weakref__")


class NoSlots:
    __slots__ = ()


class SlotsAndDict(Slots):
    pass


class WithWeak:
    __slots__ = ("__weakref__",)


class Meta(type):
    pass


class WithMeta(metaclass=Meta):
    pass


class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self):
        return 0


class IntChild(int):
    pass


class BoolLike(int):
    __slots__ = ()


class StrChild(str):
    pass


class StrSlots(str):
    __slots__ = ("extra",)


class BytesChild(bytes):
    pass


class TupleChild(tuple):
    pass


class TupleSlots(tuple):
    __slots__ = ()


class ListChild(list):
    pass


class ListSlots(list):
    __slots__ = ("extra",)


class DictChild(dict):
    pass


class DictSlots(dict):
    __slots__ = ("extra",)


class SetChild(set):
    pass


class FrozenSetChild(frozenset):
    pass


class FloatChild(float):
    pass


class ComplexChild(complex):
    pass


class ByteArrayChild(bytearray):
    pass


class DequeChild(collections.deque):
    pass


class OrderedChild(collections.OrderedDict):
    pass


class ArrayChild(array.array):
    pass


class DecimalChild(decimal.Decimal):
    pass


class DateChild(datetime.datetime):
    pass


class ModuleChild(types.ModuleType):
    pass


class BytesIoChild(io.BytesIO):
    pass


class StringIoChild(io.StringIO):
    pass


class ElementChild(etree.Element):
    pass


class PartialChild(functools.partial):
    pass


class WeakChild(weakref.ref):
    pass


class Failure(Exception):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.detail = 1


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Data:
    a: int = 0
    b: str = ""


class PythonSizeof:
    def __sizeof__(self):
        return 123456


class PythonSizeofChild(PythonSizeof):
    pass


Point = collections.namedtuple("Point", "x y")
NamedTyped = typing.NamedTuple("NamedTyped", [("a", int)])


def numbers():
    add("int", 0, 1, -1, 2**30 - 1, 2**30, -(2**30), 2**60, 2**61, 10**100, -(10**1000), 1 << 100000)
    add("int subclass", IntChild(0), IntChild(5), IntChild(-5), IntChild(1 << 100), BoolLike(0), BoolLike(7))
    add("bool", True, False)
    add("float", 1.5, FloatChild(2.5), float("nan"))
    add("complex", 1j, ComplexChild(1j))
    add("decimal", decimal.Decimal(0), decimal.Decimal("-1.5"), decimal.Decimal("1" * 77), decimal.Decimal("1" * 1000),
        decimal.Decimal("nan"), DecimalChild("3"), DecimalChild("1" * 400), decimal.Decimal(2) ** 5000)
    add("decimal context", decimal.getcontext(), decimal.Context(prec=50))
    add("fraction", fractions.Fraction(1, 3))
    add("singletons", None, Ellipsis, NotImplemented)


def texts():
    add("str ascii", "", "a", "a" * 100, "x" * 100000)
    add("str latin-1", "\xe9", "\xe9" * 1000)
    add("str ucs2", "\u20ac", "\u20ac" * 1000)
    add("str ucs4", "\U0001f600", "\U0001f600" * 1000)
    encoded = ["caf\xe9 %d" % 1, "\u20ac %d" % 2, "\U0001f600 %d" % 3]
    for text in encoded:
        # The UTF-8 form is kept in the object.
        ctypes.pythonapi.PyUnicode_AsUTF8.restype = ctypes.c_char_p
        ctypes.pythonapi.PyUnicode_AsUTF8.argtypes = [ctypes.py_object]
        ctypes.pythonapi.PyUnicode_AsUTF8(text)
    add("str with utf8", *encoded)
    add("str subclass", StrChild(""), StrChild("abc"), StrChild("\xe9" * 10), StrChild("\u20ac" * 10), StrSlots("abcd"))
    if sys.version_info < (3, 12):
        wide = ["wide %d" % 1, "w\xe9 %d" % 2, "\u20ac %d" % 3, "\U0001f600 %d" % 4]
        function = ctypes.pythonapi.PyUnicode_AsUnicode
        function.restype = ctypes.c_void_p
        function.argtypes = [ctypes.py_object]
        for text in wide:
            function(text)
        add("str with wchar_t", *wide)
    add("bytes", b"", b"a", b"a" * 1000, BytesChild(b""), BytesChild(b"abc"))
    grown = bytearray()
    for i in range(1000):
        grown.append(i & 255)
    shrunk = bytearray(1000)
    del shrunk[:900]
    add("bytearray", bytearray(), bytearray(1), bytearray(100), grown, shrunk, ByteArrayChild(b"abc"))
    add("memoryview", memoryview(b"abc"), memoryview(bytearray(5)), memoryview(b"x" * 12).cast("i"),
        memoryview(b"x" * 24).cast("B", [2, 3, 4]))


def sequences():
    grown = []
    for i in range(1000):
        grown.append(i)
    popped = list(range(100))
    del popped[10:]
    add("list", [], [1], [1, 2, 3], list(range(1000)), grown, popped, ListChild([1, 2]), ListSlots([1]), [None] * 17)
    add("tuple", (), (1,), tuple(range(1000)), TupleChild(), TupleChild((1, 2, 3)), TupleSlots((1, 2)))
    add("namedtuple", Point(1, 2), NamedTyped(1))
    add("struct sequence", time.localtime(0), os.stat("/"), sys.version_info, sys.flags, sys.float_info, sys.hash_info,
        os.times(), os.uname(), sys.thread_info, sys.int_info)
    add("range", range(0), range(10), range(1, 10**30, 7))
    add("slice", slice(1), slice(1, 2, 3))
    shifted = collections.deque(range(2000))
    for _ in range(1990):
        shifted.popleft()
    add("deque", collections.deque(), collections.deque([1]), collections.deque(range(64)), collections.deque(range(1000)),
        collections.deque(range(10), maxlen=3), shifted, DequeChild(range(70)), collections.deque(range(33)))
    add("array", *(array.array(code, [1] * size) for code in "bBhHiIlLqQfd" for size in (0, 1, 10, 500)))
    add("array subclass", ArrayChild("d", [1, 2]))
    appended = array.array("i")
    for i in range(100):
        appended.append(i)
    add("array grown", appended)


def mappings():
    for size in (0, 1, 5, 6, 10, 11, 100, 200, 1000, 70000):
        add("dict of ints", dict.fromkeys(range(size)))
        add("dict of strs", {"key%d" % i: i for i in range(size)})
        add("dict of both", {(i if i % 2 else str(i)): i for i in range(size)})
    emptied = {i: i for i in range(100)}
    emptied.clear()
    deleted = {i: i for i in range(100)}
    for i in range(90):
        del deleted[i]
    add("dict changed", emptied, deleted, deleted.copy(), {}.copy(), dict(a=1), {**deleted})
    add("dict subclass", DictChild(), DictChild(a=1), DictSlots(a=1), collections.defaultdict(list), collections.Counter("abc"),
        collections.defaultdict(int, a=1), collections.ChainMap({}, {}))
    add("dict views", {1: 2}.keys(), {1: 2}.values(), {1: 2}.items(), iter({1: 2}), iter({1: 2}.items()))
    removed = collections.OrderedDict.fromkeys(range(50))
    for i in range(49):
        del removed[i]
    add("OrderedDict", collections.OrderedDict(), collections.OrderedDict(a=1), collections.OrderedDict.fromkeys(range(1000)),
        removed, OrderedChild(a=1), OrderedChild())
    add("OrderedDict views", collections.OrderedDict(a=1).keys(), iter(collections.OrderedDict(a=1)))
    for size in (0, 1, 4, 5, 8, 20, 100, 60000):
        add("set", set(range(size)), frozenset(range(size)))
    add("set subclass", SetChild(), SetChild(range(100)), FrozenSetChild(range(3)), FrozenSetChild(range(30)))
    add("mappingproxy", types.MappingProxyType({}), Plain.__dict__)
    if sys.version_info >= (3, 15):
        frozendict = __builtins__.frozendict
        add("frozendict", frozendict(), frozendict(a=1), frozendict({i: i for i in range(100)}))


def instances():
    few, many, shared, own = Plain(), Plain(), Plain(), Plain()
    few.a = 1
    for i in range(100):
        setattr(many, "attribute%d" % i, i)
    shared.a = 2
    own.__dict__ = {"z": 1}
    unusual = Plain()
    unusual.zz = 1
    unusual.a = 1
    add("instance", Plain(), few, many, shared, own, unusual, SlotsAndDict(), Data(), Data(1, "x"), Abstract, WithMeta())
    add("instance dict", few.__dict__, many.__dict__, own.__dict__, unusual.__dict__, Plain().__dict__)
    add("instance with slots", Slots(), NoSlots(), WithWeak(), object())
    add("enum", Color.RED, Color.BLUE, Bits.ONE, Bits.ONE | Bits.TWO)
    add("namespace", types.SimpleNamespace(), types.SimpleNamespace(a=1))
    add("exception", Exception(), Failure("x"), OSError(2, "x", "y"), KeyError(1), StopIteration(5),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "r"), ImportError("x", name="y"), SyntaxError("x"), SystemExit(1))
    if sys.version_info >= (3, 11):
        add("exception group", ExceptionGroup("x", [ValueError(1)]))
    add("module", sys, types.ModuleType("fresh"), ModuleChild("child"), os, _io_module())


def _io_module():
    return sys.modules["_io"]


def classes():
    add("class", Plain, Slots, NoSlots, Meta, WithMeta, Abstract, IntChild, TupleChild, Color, Bits, Data, Point, DictChild)
    add("static type", int, str, type, object, dict, list, Exception, types.FunctionType, types.CodeType, type(None), type(sys))
    add("C type", collections.deque, functools.partial, io.BytesIO, re.Pattern, array.array, struct.Struct, decimal.Decimal,
        pickle.Pickler, etree.Element, collections.OrderedDict, itertools.count, itertools.product, operator.itemgetter,
        time.struct_time, os.stat_result, datetime.datetime, weakref.ref, socket.socket, threading.Lock().__class__)
    add("typing", typing.List[int], typing.Optional[int], typing.TypeVar("T"), list[int] if sys.version_info >= (3, 9) else 0)
    if sys.version_info >= (3, 10):
        add("union", int | str)


class CtypesPoint(ctypes.Structure):
    _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double)]


class CtypesUnion(ctypes.Union):
    _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double)]


def ctypes_objects():
    matrix = ctypes.c_int * 5 * 6
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    add("ctypes type", CtypesPoint, CtypesUnion, matrix, callback, ctypes.c_int, ctypes.POINTER(ctypes.c_int),
        ctypes.Structure, type(CtypesPoint), ctypes.c_char_p)
    add("ctypes dict", *(type.__dict__["__dict__"].__get__(kind) for kind in (CtypesPoint, matrix)))
    for kind in (CtypesPoint, matrix, ctypes.c_int, ctypes.c_char_p):
        # Up to 3.12 a class of ctypes has a dict of its own kind.
        add("ctypes StgDict", *(item for item in gc.get_referents(kind) if type(item).__name__ == "StgDict"))
    add("ctypes object", CtypesPoint(1, 2), matrix(), ctypes.c_int(5), ctypes.create_string_buffer(100), callback(abs),
        ctypes.pointer(ctypes.c_int(1)), ctypes.pythonapi)


def generator(a, b=1, *rest):
    numbers_so_far = [a, b]
    for item in rest:
        numbers_so_far.append(item)
        yield numbers_so_far
    yield None


async def coroutine(a):
    await asyncio.sleep(a)


async def async_generator(a):
    for i in range(a):
        yield i


def outer(a, b):
    def inner(c=1, *, d: int = 2):
        return a + b + c + d

    return inner


def frames():
    return sys._getframe()


def nested_frame(a, b, c):
    def inner():
        return a + b

    inner()
    local = [a, b, c]
    return sys._getframe(), local


def callables():
    started, finished = generator(1), generator(1)
    started.send(None)
    for _ in finished:
        pass
    add("generator", generator(1), started, finished, (i for i in range(3)))
    made_coroutine = coroutine(1)
    closed = coroutine(1)
    closed.close()
    add("coroutine", made_coroutine, closed)
    add("async generator", async_generator(1), async_generator(2).__anext__())
    add("frame", frames(), nested_frame(1, 2, 3)[0], sys._getframe(), started.gi_frame)
    add("function", outer, outer(1, 2), lambda: 0, generator)
    add("cell", *outer(1, 2).__closure__)
    for code in (outer.__code__, outer(1, 2).__code__, generator.__code__, callables.__code__, coroutine.__code__,
                 compile("", "x", "exec"), compile("x = 1", "y", "single"), compile("1", "z", "eval")):
        add("code", code)
    add("bound method", Plain().method, Plain.of_class, [].append, "".join, len, {}.get, os.getcwd, object().__str__)
    add("descriptor", str.join, dict.__dict__["fromkeys"], type.__dict__["__module__"], int.__add__, Slots.a,
        Plain.__dict__["of_class"], Plain.__dict__["static"], Plain.__dict__["prop"], functools.cached_property(len))
    add("partial", functools.partial(int), functools.partial(int, base=2), PartialChild(int))
    add("lru_cache", functools.lru_cache(maxsize=10)(outer), functools.lru_cache(maxsize=None)(lambda x: x))
    add("operator", operator.itemgetter(1), operator.itemgetter(1, 2), operator.attrgetter("a.b"), operator.methodcaller("x", 1))
    add("key function", functools.cmp_to_key(lambda a, b: 0))
    hot = hot_function
    for i in range(3000):
        hot(i)
    add("code run often", hot.__code__)


def hot_function(x):
    return len([x]) + abs(x) + Plain.static() + sys.maxsize


def iterators():
    pool = [1, 2, 3]
    add("iterator", iter(pool), iter((1,)), iter("abc"), iter({1}), iter(range(3)), iter(b"ab"), reversed(pool), enumerate(pool),
        zip(pool, pool), map(str, pool), filter(None, pool), iter(int, 1), iter(collections.deque()), re.finditer("a", "aa"))
    add("itertools", itertools.count(), itertools.cycle(pool), itertools.repeat(1), itertools.chain(pool), itertools.islice(pool, 2),
        itertools.accumulate(pool), itertools.compress(pool, pool), itertools.dropwhile(len, pool), itertools.groupby(pool),
        itertools.starmap(len, []), itertools.takewhile(len, pool), *itertools.tee(pool), itertools.zip_longest(pool),
        itertools.filterfalse(None, pool))
    started = itertools.permutations(range(9), 4)
    next(started)
    add("product", itertools.product(), itertools.product(pool, pool), itertools.product(pool, repeat=20))
    add("combinations", itertools.combinations(pool, 0), itertools.combinations(range(20), 7),
        itertools.combinations_with_replacement(pool, 9), itertools.combinations(pool, 9))
    add("permutations", itertools.permutations(pool), itertools.permutations(range(30), 2), started)


def weak_references():
    target = Plain()
    keys = weakref.WeakKeyDictionary()
    keys[target] = 1
    values = weakref.WeakValueDictionary(a=target)
    add("weakref", weakref.ref(target), WeakChild(target), weakref.proxy(target), weakref.ref(target, len), weakref.proxy(len),
        weakref.WeakSet([target]), keys, values, weakref.WeakMethod(target.method), weakref.finalize(target, list), target)


def input_and_output():
    shared, owned, written = io.BytesIO(b"abc" * 100), io.BytesIO(b"x"), io.BytesIO()
    written.write(b"abc" * 1000)
    exported = io.BytesIO(b"y" * 50)
    value = exported.getvalue()
    add("BytesIO", io.BytesIO(), shared, owned, written, exported, BytesIoChild(b"q" * 10), value)
    text = io.StringIO()
    text.write("abc" * 100)
    add("StringIO", io.StringIO(), io.StringIO("abc"), text, StringIoChild("a"))
    file = tempfile.TemporaryFile()
    reader = open(os.devnull, "rb")
    small = open(os.devnull, "rb", buffering=100)
    writer = open(os.devnull, "wb")
    text_file = open(os.devnull)
    raw = open(os.devnull, "rb", buffering=0)
    detached = io.BufferedReader(io.BytesIO(b"x"), 64)
    add("buffered", file, getattr(file, "file", None), reader, small, writer, detached, io.BufferedWriter(io.BytesIO()),
        io.BufferedRWPair(io.BytesIO(), io.BytesIO()), sys.stdin.buffer)
    add("text file", text_file, sys.stderr, sys.stdin, io.TextIOWrapper(io.BytesIO()))
    add("raw file", raw, reader.raw)
    left, right = socket.socketpair()
    add("socket", left, right, select.epoll(), select.poll())
    add("mmap", mmap.mmap(-1, 4096))
    memo = pickle.Pickler(io.BytesIO(), protocol=2)
    memo.dump(["%d" % i for i in range(1000)])
    unpickler = pickle.Unpickler(io.BytesIO(pickle.dumps(["%d" % i for i in range(1000)])), encoding="latin-1", errors="ignore")
    unpickler.load()
    lines = pickle.Unpickler(io.BufferedReader(io.BytesIO(pickle.dumps([1.5, "a\n"], 0))))
    lines.load()
    add("pickler", pickle.Pickler(io.BytesIO()), memo)
    add("unpickler", pickle.Unpickler(io.BytesIO()), unpickler, lines)
    add("csv", csv.reader([]), csv.writer(io.StringIO()), csv.Dialect)
    add("json", json.JSONDecoder(), json.JSONEncoder(), json.scanner.make_scanner(json.JSONDecoder()))


def library():
    add("Struct", *(struct.Struct(form) for form in ("", "i", "3i2s", "iqdhb", "<10s5h3x", "0s")))
    tree = etree.Element("a", {"k": "v"})
    for i in range(20):
        child = etree.SubElement(tree, "b%d" % i)
        child.text = "x"
    few = etree.Element("c")
    for i in range(3):
        etree.SubElement(few, "d")
    add("Element", tree, few, tree[0], etree.Element("e"), ElementChild("f"), etree.Element("g", a="1"), etree.ElementTree(tree),
        etree.TreeBuilder(), etree.XMLParser())
    add("regex", re.compile("a"), re.compile("(a|b)*[c-f]{2,3}"), re.compile(b"x"), re.match("(a)(b)?", "ab"), re.match("", ""),
        re.compile("a").scanner("aaa"))
    zone = datetime.timezone(datetime.timedelta(hours=1))
    add("datetime", datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=zone), datetime.date(2020, 1, 1),
        datetime.time(1), datetime.time(1, tzinfo=zone), datetime.timedelta(1), zone, DateChild(2020, 1, 1, tzinfo=zone))
    add("lock", threading.Lock(), threading.RLock(), threading.Condition(), threading.Event(), threading.local(),
        threading.Semaphore())
    add("queue", queue.Queue(), queue.SimpleQueue())
    filled = queue.SimpleQueue()
    for i in range(100):
        filled.put(i)
    add("queue filled", filled)
    variable = contextvars.ContextVar("v", default=1)
    token = variable.set(2)
    add("context", variable, token, contextvars.copy_context())
    add("hash", hashlib.md5(), hashlib.sha256(b"x"), hashlib.blake2b(b"x"), hashlib.sha3_256())
    add("zlib", zlib.compressobj(), zlib.decompressobj())
    add("random", random.Random(), random.SystemRandom(), uuid.uuid4(), string.Template("$a"), string.Formatter())
    loop = asyncio.new_event_loop()
    add("asyncio", loop, loop.create_future())
    add("ast", ast.parse("a = b + 1"), ast.parse("1").body[0])
    if sqlite3 is not None:
        connection = sqlite3.connect(":memory:")
        cursor = connection.execute("select 1 as a, 'x' as b")
        connection.row_factory = sqlite3.Row
        add("sqlite", connection, cursor, connection.execute("select 2").fetchone())
    add("ucd", unicodedata.ucd_3_2_0)
    add("heap", heapq, bisect)


def numpy_arrays():
    if numpy is None:
        return
    grid = numpy.zeros((3, 4, 5))
    add("ndarray", numpy.array(5), numpy.zeros(0), numpy.zeros(1000, "i2"), grid, grid[1:], grid.T, numpy.array(["abc", "de"]),
        numpy.array([1, "x", None], dtype=object), numpy.zeros(3, [("a", "i4"), ("b", "f8")]), numpy.asfortranarray(grid),
        numpy.matrix([[1, 2]]), numpy.broadcast_to(1, (100, 100)), numpy.ma.array([1, 2], mask=[0, 1]), numpy.zeros((0, 5)))
    add("numpy scalar", numpy.float64(1), numpy.int8(1), numpy.bool_(True), numpy.datetime64("2020-01-01"),
        numpy.zeros(1, [("a", "i4"), ("b", "f8")])[0], numpy.str_("abc"), numpy.bytes_(b"abc"), numpy.longdouble(1), numpy.complex64(1))
    add("dtype", numpy.dtype("f8"), numpy.dtype([("a", "i4")]))


def sizeof_in_python(kind):
    for base in kind.__mro__:
        method = type.__dict__["__dict__"].__get__(base).get("__sizeof__")
        if method is not None:
            return isinstance(method, types.FunctionType)
    return False


def name_of(kind):
    module = kind.__module__
    if not isinstance(module, str):
        return None
    return (module + "." + kind.__qualname__).encode("utf-8", "replace").hex()


def all_types():
    found, waiting = {}, [object]
    while waiting:
        kind = waiting.pop()
        if id(kind) not in found:
            found[id(kind)] = kind
            waiting.extend(type.__subclasses__(kind))
    return list(found.values())


def everything_reachable(own):
    """What the collector's objects refer to, but not what this script measures with."""
    seen, waiting = {}, gc.get_objects()
    skipped = {id(item) for item in own}
    while waiting:
        item = waiting.pop()
        # Small numbers and keys are most of what there is, and all alike.
        if type(item) is int or id(item) in seen or id(item) in skipped or len(seen) >= 120000:
            continue
        seen[id(item)] = item
        # A reference to its buffer would make it a shared one, which is not counted.
        if not isinstance(item, io.BytesIO):
            waiting.extend(gc.get_referents(item))
    return list(seen.values())


def measure(things, ok):
    return [sys.getsizeof(item) if ok.get(id(type(item)), False) else -1 for item in things]


def main():
    for make in (numbers, texts, sequences, mappings, instances, classes, ctypes_objects, callables, iterators,
                 weak_references, input_and_output, library, numpy_arrays):
        make()
    add("python sizeof", PythonSizeof(), PythonSizeofChild())
    kinds = all_types()
    lines = []
    ok = {}
    names = {}  # found before anything is measured: what runs often changes its code object
    for kind in kinds:
        try:
            in_python, name = sizeof_in_python(kind), name_of(kind)
        except Exception:
            continue
        if name is None:
            continue
        ok[id(kind)] = not in_python
        names[id(kind)] = name
        lines.append("type\t%d\t%s\t%d\t%d\t%d\t%d" % (id(kind), name, kind.__basicsize__, kind.__itemsize__, kind.__dictoffset__,
                                                     in_python))
        if issubclass(kind, tuple) and hasattr(kind, "n_sequence_fields"):
            lines.append("fields\t%d\t%d" % (id(kind), kind.n_fields))
    gc.collect()
    gc.disable()
    things = [item for _, item in made]
    sizes = measure(things, ok)
    heap = everything_reachable([made, things, sizes, lines, kinds, ok, names, sys.stdout, sys.stdout.buffer, sys._getframe()])
    first = measure(heap, ok)
    second = measure(heap, ok)
    for (label, item), size in zip(made, sizes):
        if size >= 0 and id(type(item)) in ok:
            lines.append("object\t%d\t%d\t%s\t%s" % (id(item), size, label, names[id(type(item))]))
    unchanged = {id(first), id(second), id(heap)}
    for item, size, again in zip(heap, first, second):
        if size >= 0 and size == again and id(item) not in unchanged:
            lines.append("heap\t%d\t%d\t-\t%s" % (id(item), size, names[id(type(item))]))
    lines.append("ready\t%d\t%d\n" % (os.getpid(), sys.hexversion))
    text = "\n".join(lines).encode()
    while text:
        text = text[os.write(1, text):]
    time.sleep(300)


main()
