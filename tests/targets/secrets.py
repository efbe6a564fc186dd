"""Holds a secret in every shape in which Python has text. argv: none of them; the texts are made while it runs.

Each secret is a mark, its shape, and a tail: no literal of this file is one, so the source in the command line is none either.
"""

import array
import os
import sys
import threading
import time
import types

MARK = "".join(["qz", "secret", "zq"])
TAIL = "".join(["0tail", "9"]) * 3


def secret(shape):
    return MARK + shape + TAIL


class Holder:
    pass


class Slots:
    __slots__ = ("value",)


# Values: no option but prefix keeps any of them.
kept = {"ascii": secret("ascii"), "latin": secret("latin") + "\xe9", "two": secret("two") + "\u0416", "four": secret("four") + "\U0001f600"}
kept["bytes"] = secret("bytes").encode()
kept["bytearray"] = bytearray(secret("bytearray").encode())
kept["view"] = memoryview(bytearray(secret("view").encode()))
kept["array"] = array.array("b", secret("array").encode())
kept["list"] = [secret("list")]
kept["tuple"] = (secret("tuple"), (secret("nested"),))
kept["set"] = {secret("set")}
kept["interned"] = sys.intern(secret("interned"))
kept["holder"] = Holder()
kept["holder"].plain = secret("attribute")
kept["slots"] = Slots()
kept["slots"].value = secret("slot")
kept["bytes key"] = {secret("byteskey").encode(): 1}
kept["tuple key"] = {(secret("tuplekey"), 1): 1}
os.environ["MEMSNAP_TEST"] = secret("environment")
sys.argv.append(secret("argument"))
a_global = secret("global")
Holder.__doc__ = secret("doc")


def default(value=secret("default")):
    return value


try:
    raise ValueError(secret("exception"))
except ValueError as error:
    kept["error"] = error

# Names: what a report calls things by.
kept["keys"] = {secret("key"): 1, secret("keytwo") + "\u0416": 2}
setattr(kept["holder"], secret("attributename"), 1)
globals()[secret("globalname")] = 1
kept["type"] = type(secret("typename"), (Slots,), {"__slots__": (secret("slotname"),), "__module__": secret("typemodule")})()
sys.modules[secret("modulename")] = types.ModuleType(secret("modulename"))


def make_function(name, file):
    scope = {"wait": wait}
    exec(compile("def %s(%s):\n  wait(%s)\n" % (name, secret("localname"), secret("localname")), file, "exec"), scope)
    return scope[name]


running = threading.Event()


def wait(value):
    running.set()
    while True:  # allocations for a session to record
        bytearray(300000)
        time.sleep(0.01)


run = make_function(secret("functionname"), "/tmp/%s.py" % secret("filename"))
threading.Thread(target=run, args=(secret("local"),), name=secret("threadname"), daemon=True).start()
running.wait()
os.write(1, b"ready\n")
os.read(0, 1)
os._exit(0)
