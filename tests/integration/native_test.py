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


class Native(harness.LiveTest):
    def retained_by_type(self, pid):
        taken = memsnap("snapshot", pid, "--native-memory", "-f", "-o", self.folder / "x.msnap", "--json")
        self.assertEqual(0, taken.status, str(taken))
        self.summary = memsnap("summary", self.folder / "x.msnap", "-n", "0", "--json").json()
        return {row["type"]: row["retained"] for row in self.summary["types"]}

    def test_each_kind_lands_on_its_own_objects(self):
        for kind, type_name in KINDS.items():
            with self.subTest(kind), Target(PROGRAM, kind, ready=None) as target:
                _, took, reason = json.loads(target.line())
                target.expect(b"ready")
                if took is None:
                    self.skipTest("no %s here: %s" % (kind, reason))
                retained = self.retained_by_type(target.pid)
                own = sum(size for name, size in retained.items() if name.split(".")[-1] == type_name.split(".")[-1])
                # One more than was measured is there. Remains of other blocks in memory that was not cleared mislead a
                # conservative scan: the goal is 90 % (docs/memory_parts.md).
                count = {"compressors": 40, "compressors_of_lzma": 2, "databases": 5, "contexts": 3, "parsers": 20, "buffers": 20}[kind]
                self.assertGreaterEqual(own, 0.75 * took * (count + 1) / count, (kind, took, self.summary["totals"]))
                native = self.summary["totals"]["native"]
                self.assertLessEqual(native["bytes"] - own, 0.25 * native["bytes"] + 300000, (kind, own, native))


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
