"""Says what it knows of its own interpreter, one "KEY VALUE" a line, then sleeps: tests/integration/layout_test.cpp reads the
same from outside. Runs on 3.8 to 3.15; given on stdin, since a chroot does not have the file."""

import builtins
import gc
import sys
import threading
import time


def say(key, value):
    sys.stdout.write("%s %s\n" % (key, value))


def make_interpreter():
    """One more interpreter, by whichever module this release has. It must outlive this call."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = __import__(name)
        except ImportError:
            continue
        try:
            return module.create()
        except TypeError:
            return module.create("isolated")
    return None


def leaf():
    say("objects_now", len(gc.get_objects()) + gc.get_freeze_count())
    say("ready", 1)
    sys.stdout.flush()
    time.sleep(600)


def middle():
    yield leaf()


def outer():
    for _ in middle():
        pass


class Planted:
    pass


def main():
    sub = make_interpreter()
    gc.collect()
    gc.freeze()
    gc.disable()
    thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
    thread.start()
    time.sleep(0.1)
    planted = [Planted() for _ in range(50)]
    say("version", sys.hexversion)
    say("debug", int(hasattr(sys, "gettotalrefcount")))
    say("type", id(type))
    say("modules", id(sys.modules))
    say("sysdict", id(sys.__dict__))
    say("builtins", id(builtins.__dict__))
    say("interpreters", 1 if sub is None else 2)
    say("frozen", gc.get_freeze_count())
    if hasattr(threading, "get_native_id"):
        say("native_id", threading.get_native_id())
    for one in planted:
        say("planted", id(one))
    outer()


main()
