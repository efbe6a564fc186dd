# memsnap-test: once full timeout=600
"""Memory that real C libraries keep for Python objects: as many bytes as malloc says land on the objects that hold them."""

import json

import harness
from harness import Target, memsnap

PROGRAM = """
import ctypes, gc, json, os, sys
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
def in_use():
    info = mallinfo()
    return info.uordblks + info.hblkhd
def trees(count=10):
    from lxml import etree
    text = "<r>" + "".join("<a k='%d'><b>text %d</b></a>" % (i, i) for i in range(5000)) + "</r>"
    return [etree.fromstring(text) for _ in range(count)]
def images(count=10):
    from PIL import Image
    return [Image.new("RGB", (600, 500)) for _ in range(count)]
def cffi_arrays(count=50):
    import _cffi_backend as backend
    kind = backend.new_array_type(backend.new_pointer_type(backend.new_primitive_type("char")), None)
    return [backend.newp(kind, 100000) for _ in range(count)]
def numpy_arrays(count=20):
    import numpy
    return [numpy.ones(50000) for _ in range(count)]
def frames(count=5):
    import numpy, pandas
    return [pandas.DataFrame({"a": numpy.arange(500000)}) for _ in range(count)]
def tensors(count=20):
    import torch
    return [torch.ones(50000) for _ in range(count)]
make = globals()[sys.argv[1]]
WARM = make(1)  # what a library makes once, for all
gc.collect()
os.write(1, b"ready\\n")
os.read(0, 1)
before = in_use()
KEPT = make()
gc.collect()
os.write(1, json.dumps(in_use() - before).encode() + b"\\n")
os.read(0, 1)
"""

# What is made, and the types that hold it: an element holds its document's tree.
KINDS = {"trees": ("lxml.etree._Element", "lxml.etree._Document"), "images": ("builtins.ImagingCore",),
         "cffi_arrays": ("_cffi_backend.__CDataOwn",), "numpy_arrays": ("numpy.ndarray",), "frames": ("numpy.ndarray",),
         "tensors": ("torch.Tensor",)}


class NativeLibraries(harness.LiveTest):
    def by_type(self, pid):
        file = self.file_name()
        taken = memsnap("snapshot", pid, "-f", "-o", file, "--json")
        self.assertEqual(0, taken.status, str(taken))
        # numpy's data is part of an array's size, and so is what numpy's arrays are made of in pandas.
        return {row["type"]: (row["native"] or 0) + (row["size"] if row["type"] == "numpy.ndarray" else 0)
                for row in memsnap("summary", file, "-n", "0", "--json").json()["types"]}

    def test_the_bytes_land_on_the_objects_that_hold_them(self):
        for kind, holders in KINDS.items():
            with self.subTest(kind), Target(PROGRAM, kind, python=["/usr/bin/python3"]) as target:
                before = self.by_type(target.pid)
                target.say(b"\n")
                took = json.loads(target.line())
                after = self.by_type(target.pid)
                grown = {name: size - before.get(name, 0) for name, size in after.items()}
                right = sum(grown.get(name, 0) for name in holders)
                wrong = sum(size for name, size in grown.items() if name not in holders and size > 0)
                print("%s: %d bytes taken, %.3f of them on the right objects, %.4f on others" % (kind, took, right / took, wrong / took))
                self.assertGreaterEqual(right, 0.9 * took)
                self.assertLessEqual(right, 1.02 * took)
                self.assertLessEqual(wrong, 0.02 * took)


if __name__ == "__main__":
    harness.main()
