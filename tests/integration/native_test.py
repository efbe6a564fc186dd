# memsnap-test: timeout=600
"""Native memory: what C code keeps for Python objects is found, and under the right object.

The target asks malloc itself what making each kind of object took (mallinfo).
"""

import json

import harness
from harness import Target, memsnap

PROGRAM = """
import ctypes, gc, json, os, sys

libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc.mallinfo.restype = Info
def in_use():
    info = libc.mallinfo()
    return info.uordblks + info.hblkhd

def compressors(count=40):
    import zlib
    return [zlib.compressobj() for _ in range(count)]
def compressors_of_lzma(count=2):
    import lzma
    return [lzma.LZMACompressor(preset=2) for _ in range(count)]
def databases(count=5):
    import sqlite3
    kept = []
    for _ in range(count):
        one = sqlite3.connect(":memory:")
        one.execute("create table t(a text)")
        one.executemany("insert into t values (?)", [("x" * 500,)] * 2000)
        one.commit()
        kept.append(one)
    return kept
def contexts(count=3):
    import ssl
    kept = []
    for _ in range(count):
        one = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        one.set_default_verify_paths()
        one.load_default_certs()
        kept.append(one)
    return kept
def buffers(count=20):
    return [ctypes.create_string_buffer(200000) for _ in range(count)]
def parsers(count=20):
    import pyexpat
    kept = []
    for _ in range(count):
        one = pyexpat.ParserCreate()
        one.Parse("<a>" + "".join("<b%d>" % n for n in range(300)), False)
        kept.append(one)
    return kept
KEPT, WARM = {}, []
for name in sys.argv[1:]:
    make = globals()[name]
    try:
        WARM.append(make(1))  # what a library makes once, for all
    except ImportError as error:
        os.write(1, json.dumps([name, None, str(error)]).encode() + b"\\n")
        continue
    gc.collect()
    os.write(1, b"warm\\n")
    os.read(0, 1)
    before = in_use()
    KEPT[name] = make()
    gc.collect()
    os.write(1, json.dumps([name, in_use() - before, ""]).encode() + b"\\n")
os.write(1, b"ready\\n")
os.read(0, 1)
"""

# What is made, and the type that shall own it.
KINDS = {"compressors": "zlib.Compress", "compressors_of_lzma": "_lzma.LZMACompressor", "databases": "sqlite3.Connection",
         "contexts": "ssl.SSLContext", "parsers": "pyexpat.xmlparser", "buffers": "ctypes.c_char_Array_200000"}


SLACK = 16 << 10  # bytes


class Native(harness.LiveTest):
    def measure(self, pid, type_name):
        """(what objects of the type retain, native memory of all objects)"""
        file = self.file_name()
        taken = memsnap("snapshot", pid, "-f", "-o", file, "--json")
        self.assertEqual(0, taken.status, str(taken))
        rows = memsnap("summary", file, "-n", "0", "--json").json()["types"]
        name = type_name.split(".")[-1]
        return (sum(row["retained"] for row in rows if row["type"].split(".")[-1] == name), sum(row["native"] or 0 for row in rows))

    def test_each_kind_lands_on_its_own_objects(self):
        for kind, type_name in KINDS.items():
            with self.subTest(kind), Target(PROGRAM, kind, ready=None) as target:
                line = target.line()
                if line != b"warm":
                    self.skipTest("no %s here: %s" % (kind, json.loads(line)[2]))
                before = self.measure(target.pid, type_name)
                target.say(b"\n")
                took = json.loads(target.line())[1]
                after = self.measure(target.pid, type_name)
                right = after[0] - before[0]
                wrong = max(0, after[1] - before[1] - right)
                print("%s: %d bytes taken, %.3f of them on its own objects, %.4f on others" % (kind, took, right / took, wrong / took))
                # malloc's count of a few small blocks is off by what it keeps for the thread.
                self.assertGreaterEqual(right, 0.9 * took - SLACK)
                self.assertLessEqual(wrong, 0.02 * took + SLACK)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
