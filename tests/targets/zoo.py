"""A quiet process with many kinds of objects. It is run as `python -c ORACLE+ZOO COUNT [VARIANT...]`: see tests/integration/zoo.py.

VARIANT: freeze (half of it in the permanent generation), threads (six threads that wait, with values in their frames).
"""

import abc
import array
import asyncio
import collections
import contextvars
import dataclasses
import decimal
import enum
import fractions
import functools
import io
import itertools
import operator
import pathlib
import random
import sqlite3
import string
import tempfile
import threading
import uuid
import weakref
import xml.etree.ElementTree


class Plain:
    def __init__(self, number):
        self.number = number
        self.label = "label-%d" % number


class Grown(Plain):
    """Gets attributes in another order than its class's other instances."""

    def __init__(self, number):
        if number % 3 == 0:
            self.first = number * 1.5
        super().__init__(number)
        setattr(self, "extra_%d" % (number % 40), [number])


class Slotted:
    __slots__ = ("left", "right", "__weakref__")

    def __init__(self, left, right):
        self.left = left
        self.right = right


class SlottedChild(Slotted):
    __slots__ = ("third",)


class TextChild(str):
    pass


class IntChild(int):
    pass


class FloatChild(float):
    __slots__ = ()


class TupleChild(tuple):
    pass


class ListChild(list):
    def __init__(self, *items):
        super().__init__(items)
        self.note = len(items)


class DictChild(dict):
    pass


class SetChild(set):
    pass


class BytesChild(bytes):
    pass


class Failure(Exception):
    def __init__(self, code):
        super().__init__("failure %d" % code)
        self.code = code


class PythonSize:
    """Its __sizeof__ is Python code, and wrong: it is not to be run."""

    def __sizeof__(self):
        return 10 ** 6


@dataclasses.dataclass
class Record:
    key: int
    name: str
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    x: float
    y: float


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"
    BLUE = (0, 0, 1)


class Rights(enum.IntFlag):
    READ = 4
    WRITE = 2


class Meta(abc.ABCMeta):
    pass


class Abstract(metaclass=Meta):
    @abc.abstractmethod
    def act(self): ...

    @property
    def shown(self):
        return 1

    @staticmethod
    def helper():
        return 2

    @classmethod
    def make(cls):
        return cls()


class Acting(Abstract):
    def act(self):
        return 3


Point = collections.namedtuple("Point", "x y z")


def walk(limit):
    total = [limit]
    for number in range(limit):
        yield number + len(total)


async def wait_for(value):
    held = {"value": value}
    await asyncio.sleep(value)
    return held


async def produce(limit):
    for number in range(limit):
        yield number


def adder(base):
    offset = [base]

    def add(value, scale=2.5, *, shift=(1, 2)):
        return base + offset[0] + value * scale + shift[0]

    return add


@functools.lru_cache(maxsize=None)
def cached(number):
    return "cached %d" % number


@functools.lru_cache(maxsize=50)
def bounded(number, step=1):
    return [number, step]


def chain(length):
    """Lists in lists, a million deep in the large runs: no walk may recurse."""
    link = None
    for _ in range(length):
        link = [link]
    return link


def tuple_chain(length):
    link = ()
    for number in range(length):
        link = (number, link)
    return link


def cycle(length):
    nodes = [Slotted(None, None) for _ in range(length)]
    for index, node in enumerate(nodes):
        node.left = nodes[index - 1]
        node.right = nodes[(index + 1) % length]
    return nodes[0]


def failures(count):
    kept = []
    for code in range(count):
        try:
            try:
                raise KeyError(code)
            except KeyError as error:
                raise Failure(code) from error
        except Failure as error:
            kept.append(error)
    return kept


def suspended(count):
    generators = []
    for index in range(count):
        generator = walk(index + 2)
        next(generator)
        generators.append(generator)
    generators.append(walk(3))  # not started
    done = walk(0)
    list(done)
    generators.append(done)
    return generators


def data_base():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.execute("create table item (id integer, name text, price real)")
    connection.executemany("insert into item values (?, ?, ?)", [(n, "item %d" % n, n / 3) for n in range(9)])
    rows = connection.execute("select * from item").fetchall()
    cursor = connection.execute("select id from item")
    cursor.fetchone()
    return [connection, cursor, rows]


def streams():
    text = io.StringIO("some text\nand more" * 20)
    binary = io.BytesIO(b"bytes" * 100)
    grown = io.BytesIO()
    grown.write(b"x" * 1000)
    file = tempfile.TemporaryFile("w+")
    file.write("line\n" * 30)
    raw = tempfile.TemporaryFile("w+b")
    raw.write(b"1234")
    return [text, binary, grown, file, raw, io.TextIOWrapper(io.BytesIO(b"wrapped")), raw.raw]


def times(count):
    zone = datetime.timezone(datetime.timedelta(hours=2), "summer")
    start = datetime.datetime(2024, 2, 29, 12, tzinfo=zone)
    return [[start + datetime.timedelta(minutes=n), datetime.date(2000 + n % 50, 1, 2), datetime.time(n % 24, tzinfo=zone),
             datetime.timedelta(seconds=n), datetime.datetime(2001, 1, 1)] for n in range(count)]


def numbers(count):
    return [[n * 1000003, 1 << (n % 200), -n - 300, float(n) + 0.5, complex(n, 1), decimal.Decimal(n) / 7,
             fractions.Fraction(n, 7), n % 2 == 0, IntChild(n), FloatChild(n)] for n in range(count)]


def texts(count):
    return [["plain ascii %d" % n, "latin é %d" % n, "двa %d" % n, "\U0001F40D %d" % n, b"bytes %d" % n, bytearray(n % 90),
             TextChild(n), BytesChild(b"b" * (n % 7))] for n in range(count)]


def containers(count):
    made = []
    for n in range(count):
        ordered = collections.OrderedDict((("k%d" % (k % 9)), k) for k in range(n % 12))
        ordered.pop("k0", None)
        default = collections.defaultdict(list, {n: [n]})
        made.append([ordered, default, collections.deque(range(n % 150), maxlen=200 if n % 2 else None),
                     collections.Counter("abc" * (n % 4)), collections.ChainMap({n: 1}, {}), {n, n + 1, str(n)},
                     frozenset(range(n % 40)), array.array("d", [n] * (n % 9)), TupleChild((n, None)), ListChild(n, n),
                     DictChild({n: n}), SetChild([n]), Point(n, n, None), {str(k): k for k in range(n % 20)},
                     {(k, k): k for k in range(n % 7)}, [None] * (n % 33), range(n, n * 2 + 400, 3), slice(n, None, "x"),
                     memoryview(bytes(n % 60)), collections.UserDict({n: n}), string.Template("$x %d" % n)])
    return made


def callables(count):
    made = []
    for n in range(count):
        plain = Plain(n)
        made.append([adder(n), lambda value, n=n: value + n, functools.partial(adder, n, key=n), plain.__init__, [].append,
                     operator.attrgetter("a.b"), operator.itemgetter(n, 1), operator.methodcaller("m", n), weakref.ref(plain),
                     weakref.proxy(plain), weakref.WeakValueDictionary({n: plain}), plain, str.join, "x".join,
                     property(len), staticmethod(len), classmethod(len), functools.partialmethod(len, n), plain.__str__])
    return made


def iterators(count):
    made = []
    for n in range(count):
        items = [n, n + 1, n + 2]
        made.append([iter(items), iter((n,)), iter({n: n}), iter({n}), iter(range(n, n + 900)), reversed(items), enumerate(items),
                     zip(items, items), map(str, items), filter(None, items), itertools.count(n * 1000), itertools.chain(items),
                     itertools.cycle(items), itertools.repeat(n), itertools.islice(items, 2), itertools.product(items, items),
                     iter("text"), iter(b"bytes"), {n: n}.items(), {n: 1}.keys(), {n: 2}.values()])
    return made


def patterns(count):
    made = []
    for n in range(count):
        pattern = re.compile("(?P<word>a+)(b%d)?" % n)
        match = pattern.match("aaab%d tail" % n)
        if n % 2:
            match.regs
        made.append([pattern, match, struct.Struct("<%dI" % (n % 9 + 1)), uuid.UUID(int=n), pathlib.PurePosixPath("/a/b") / str(n)])
    return made


def trees(count):
    root = xml.etree.ElementTree.Element("root", kind="tree")
    for n in range(count):
        child = xml.etree.ElementTree.SubElement(root, "child", number=str(n))
        child.text = "text %d" % n
        child.tail = "tail %d" % n
    return root


def contexts(count):
    variable = contextvars.ContextVar("variable", default=[1])
    made = [variable]
    for n in range(count):
        context = contextvars.copy_context()
        context.run(variable.set, ("value", n))
        made.append(context)
    return made


def classes(count):
    return [type("Made%d" % n, (Plain,) if n % 2 else (Slotted, Abstract), {"__slots__": ("s%d" % n,), "value": n})
            for n in range(count)]


def modules(count):
    made = []
    for n in range(count):
        module = types.ModuleType("made_module_%d" % n, "A module of its own.")
        module.__dict__.update(here=n, items=[n], name=types.SimpleNamespace(a=n, b=str(n)))
        made.append(module)
    return made


def odds_and_ends():
    coroutine = wait_for(1)
    started = wait_for(2)
    event_loop = asyncio.new_event_loop()
    producer = produce(4)
    chosen = random.Random(5)
    return [coroutine, started, event_loop, producer, chosen, Colour.RED, Rights.READ | Rights.WRITE, Acting(), Ellipsis,
            NotImplemented, PythonSize(), [PythonSize() for _ in range(20)], threading.Lock(), threading.RLock(),
            threading.Condition(), threading.local(), types.MappingProxyType({"a": [1]}), sys.flags, sys.version_info,
            os.stat("/"), sys.stdout, object(), type(None), super(SlottedChild, SlottedChild(1, 2)), compile("a = 1\ndef f(): 2", "x", "exec"),
            data_base(), streams(), failures(30), suspended(40)]


def build(count):
    unit = max(count // 560, 4)
    return {
        "numbers": numbers(unit), "texts": texts(unit * 2), "containers": containers(unit // 2), "callables": callables(unit // 2),
        "iterators": iterators(unit // 2), "patterns": patterns(min(unit // 4, 300)), "times": times(unit),
        "trees": trees(unit), "contexts": contexts(unit // 4), "classes": classes(min(unit // 8, 200)), "modules": modules(unit // 8),
        "plain": [Plain(n) for n in range(unit * 6)], "grown": [Grown(n) for n in range(unit * 2)],
        "slots": [SlottedChild(n, str(n)) for n in range(unit * 4)], "records": [Record(n, "r%d" % n, [n]) for n in range(unit * 3)],
        "frozen": [FrozenRecord(n / 3, n / 7) for n in range(unit * 3)], "cycles": [cycle(n % 20 + 1) for n in range(unit)],
        "chain": chain(count), "tuple_chain": tuple_chain(count // 10),
        "cached": [cached(n) for n in range(unit)], "bounded": [bounded(n, step=2) for n in range(200)], "rest": odds_and_ends(),
    }


def idle(started, stop, number):
    words = ["kept by a frame", number, {"number": number}]
    started.release()
    stop.wait()
    return words


def start_threads():
    started = threading.Semaphore(0)
    stop = threading.Event()
    for number in range(6):
        threading.Thread(target=idle, args=(started, stop, number), daemon=True, name="idle-%d" % number).start()
    for _ in range(6):
        started.acquire()
    return stop


ZOO = build(int(sys.argv[1]))
for _ in range(4):
    gc.collect()
if "freeze" in sys.argv:
    gc.freeze()
    LATER = build(int(sys.argv[1]) // 10)
if "threads" in sys.argv:
    STOP = start_threads()
gc.collect()
serve(os.environ.get("MEMSNAP_REFERENCE_OBJECTS"))
