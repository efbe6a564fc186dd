# memsnap-test: timeout=600
"""import memsnap: memory points of a session from within, as tracemem has them, on every interpreter.

MEMSNAP_TRACEMEM_README: the README.md of a release of tracemem that measures objects, whose examples are then run too, unchanged.
"""

import json
import os
import pathlib
import re
import time
import unittest

import harness
from harness import LiveTest, memsnap
from module_harness import IN_CHROOT, Place

# What tracemem documents, in our words: what it does, not how large its figures are.
INTERFACE = '''
The import makes the first point, and the names are builtins.

>>> import memsnap.auto as tracemem
>>> MEMLOGS
[MemLog(ID='tracemem import', memory=...)]
>>> MEMPOINT()
>>> MEMPOINT("another")
>>> MEMLOGS
[MemLog(ID='tracemem import', memory=...),
 MemLog(ID='None', memory=...),
 MemLog(ID='another', memory=...)]
>>> len(MEMLOGS)
3

An id is used once: the next is numbered. Any object may be one.

>>> MEMPOINT()
>>> MEMLOGS[-1].ID
'None-2'
>>> MEMPOINT(12.5)
>>> MEMLOGS[-1].ID
'12.5'

Memory follows what lives.

>>> numbers = [number for number in range(2_000_000)]
>>> MEMPOINT("with numbers")
>>> del numbers
>>> MEMPOINT("without")
>>> MEMLOGS[-2].memory > 10 * MEMLOGS[-1].memory
True
>>> MEMPOINT("returned", return_memory=True) == MEMLOGS[-1].memory
True

MEMLOGS is like a list that cannot be changed.

>>> type(MEMLOGS).__name__, type(MEMLOGS[0]).__name__, type(MEMLOGS[0].memory).__name__
('MemLogsList', 'MemLog', 'int')
>>> MEMLOGS[0][0], MEMLOGS[0].ID
('tracemem import', 'tracemem import')
>>> MEMLOGS.IDs
['tracemem import', 'None', 'another', 'None-2', '12.5', 'with numbers', 'without', 'returned']
>>> MEMLOGS.IDs == [point.ID for point in MEMLOGS]
True
>>> MEMLOGS.memories == [point.memory for point in MEMLOGS]
True
>>> MEMLOGS[20:25]
[]
>>> [point.ID for point in MEMLOGS[-2:]], [point.ID for point in MEMLOGS[:2]]
(['without', 'returned'], ['tracemem import', 'None'])
>>> MEMLOGS[0] = "wrong"
Traceback (most recent call last):
    ...
IncorrectUseOfMEMLOGSError: MEMLOGS does not accept item assignment
>>> MEMLOGS.append("wrong")
Traceback (most recent call last):
    ...
IncorrectUseOfMEMLOGSError: MEMLOGS can be updated only using the MEMPOINT() function
>>> MEMLOGS + [1]
Traceback (most recent call last):
    ...
IncorrectUseOfMEMLOGSError: MEMLOGS cannot be added to anything
>>> MEMLOGS * 2
Traceback (most recent call last):
    ...
IncorrectUseOfMEMLOGSError: MEMLOGS cannot be multiplied
>>> del MEMLOGS
Traceback (most recent call last):
    ...
NameError: name 'MEMLOGS' is not defined
>>> tracemem.MemLogsList() is MEMLOGS
True
>>> def large(point: tracemem.MemLog) -> bool:
...     return point.memory > 20_000_000
>>> MEMLOGS.filter(large)
[MemLog(ID='with numbers', memory=...)]
>>> MEMLOGS.filter(lambda point: "with" in point.ID)
[MemLog(ID='with numbers', memory=...), MemLog(ID='without', memory=...)]
>>> MEMLOGS.map(lambda point: point.ID.upper())[:3]
['TRACEMEM IMPORT', 'NONE', 'ANOTHER']
>>> MEMLOGS.map(MB) == [memory / 1024 / 1024 for memory in MEMLOGS.memories]
True
>>> MB(3 * 1024 * 1024)
3.0
>>> MEMPRINT()
 0 ... MiB   → tracemem import
 1 ... MiB   → None
 2 ... MiB   → another
 3 ... MiB   → None-2
 4 ... MiB   → 12.5
 5 ... MiB   → with numbers
 6 ... MiB   → without
 7 ... MiB   → returned

MEMORY() makes no point.

>>> type(MEMORY())
<class 'int'>
>>> len(MEMLOGS)
8

A function is measured by its decorator, also one that raises.

>>> @MEMTRACE
... def numbers(count):
...     return [number for number in range(count)]
>>> result = numbers(2_000_000)
>>> MEMLOGS[-2:]
[MemLog(ID='Before numbers()', memory=...), MemLog(ID='After numbers()', memory=...)]
>>> MEMLOGS[-1].memory > 10 * MEMLOGS[-2].memory
True
>>> del result
>>> @MEMTRACE
... def fails():
...     raise ValueError("wrong")
>>> fails()
Traceback (most recent call last):
    ...
ValueError: wrong
>>> MEMLOGS.IDs[-2:]
['Before fails()', 'After fails()']
>>> numbers.__name__
'numbers'
'''

class ModuleTest(LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def session(self, **environment):
        session = self.place.session(**environment)
        self.addCleanup(session.close)
        return session

    def points_of(self, session):
        result = memsnap("log", session.pid, "--json", directory=self.place.logs)
        self.assertEqual(0, result.status, str(result))
        return result.json()["points"]

    def test_what_tracemem_documents(self):
        session = self.session()
        self.assertEqual([], session.examples(INTERFACE))

    @unittest.skipUnless(os.environ.get("MEMSNAP_TRACEMEM_README"), "MEMSNAP_TRACEMEM_README is not set")
    def test_the_examples_of_tracemem_itself(self):
        text = pathlib.Path(os.environ["MEMSNAP_TRACEMEM_README"]).read_text()
        text = re.sub(r"(?m)^>>> import tracemem$", ">>> import memsnap.auto as tracemem", text)
        session = self.session()
        self.assertEqual([], session.examples(text))

    def test_points_are_in_the_log_of_the_process(self):
        session = self.session()
        session.run("import memsnap.auto")
        session.run("MEMPOINT('x'); MEMPOINT('x')")
        points = self.points_of(session)
        self.assertEqual([["tracemem import", "x", "x-2"]], [session.value("MEMLOGS.IDs")])
        self.assertEqual(session.value("MEMLOGS.IDs"), [point["id"] for point in points])
        self.assertEqual(session.value("MEMLOGS.memories"), [point["pyobj"] for point in points])

    def test_memory_is_that_of_all_objects(self):
        session = self.session()
        session.run("import memsnap, sys")
        session.run("memsnap.MEMPOINT('a'); memsnap.MEMPOINT('a')")
        session.run("items = [str(n) * 5 for n in range(100000)]")
        session.run("memsnap.MEMPOINT('b')")
        added = session.value("sys.getsizeof(items) + sum(sys.getsizeof(item) for item in items)")
        before, after = session.value("memsnap.MEMLOGS.memories")[-2:]
        self.assertLess(abs(after - before - added), 10000, (before, after, added))
        # From outside it is the same session, but for the call of the program.
        outside = memsnap("memory", session.pid, "--metric", "pyobj", "--units", "bytes")
        self.assertLess(abs(int(outside.out) - after), 20000, str(outside))

    def test_the_metric_can_be_the_rss(self):
        session = self.session()
        session.run("import memsnap")
        session.run("memsnap.METRIC = 'rss'")
        session.run("memsnap.MEMPOINT('a')")
        point = self.points_of(session)[-1]
        self.assertEqual((session.value("memsnap.MEMLOGS[-1].memory"), None), (point["rss"], point["pyobj"]))
        self.assertGreater(session.value("memsnap.MEMORY()"), 1 << 20)
        session.run("memsnap.METRIC = 'nonsense'")
        self.assertIn("ValueError: memsnap.METRIC is 'nonsense'", session.run("memsnap.MEMPOINT('b')"))

    def test_a_log_can_be_chosen(self):
        session = self.session()
        session.run("import memsnap")
        chosen = self.place.folder / "chosen.points"
        session.run("memsnap.LOG = %r" % str(chosen))
        session.run("memsnap.MEMPOINT('a')")
        result = memsnap("log", chosen, "--ids")
        self.assertEqual("a\n", result.out, str(result))

    def test_any_object_is_an_id(self):
        session = self.session()
        session.run("import memsnap")
        for id_, wanted in (("'two\\nlines'", "two lines"), ("'\\udcff'", "\\udcff"), ("'-x'", "-x"), ("''", ""), ("'é' * 1000", "é" * 500),
                            ("(1, 2)", "(1, 2)"), ("'a\\0b'", "a\\x00b"), ("'say \"x\", {y}'", 'say "x", {y}')):
            self.assertEqual("", session.run("memsnap.MEMPOINT(%s)" % id_))
            self.assertEqual(wanted, session.value("memsnap.MEMLOGS[-1].ID"))
        self.assertEqual(session.value("memsnap.MEMLOGS.IDs"), [point["id"] for point in self.points_of(session)])
        session.run("memsnap.MEMPOINT(id='named')")
        self.assertEqual("named", session.value("memsnap.MEMLOGS[-1].ID"))

    def test_calls_of_every_kind_are_traced_to_their_end(self):
        session = self.session()
        session.run("import memsnap.auto, asyncio")
        session.run("seen = []")
        session.run("@MEMTRACE\nasync def waits(n):\n    await asyncio.sleep(0)\n    seen.append(len(MEMLOGS))\n    return n\n")
        self.assertEqual(3, session.value("asyncio.new_event_loop().run_until_complete(waits(3))"))
        session.run("@MEMTRACE\ndef items(n):\n    for i in range(n):\n        seen.append(len(MEMLOGS)); yield i\n    return 'end'\n")
        self.assertEqual([0, 1], session.value("list(items(2))"))
        session.run("@MEMTRACE\nasync def stream(n):\n    for i in range(n):\n        seen.append(len(MEMLOGS)); yield i\n")
        session.run("async def read():\n    return [item async for item in stream(2)]\n")
        self.assertEqual([0, 1], session.value("asyncio.new_event_loop().run_until_complete(read())"))
        session.run("@MEMTRACE(ID_before='b', ID_after='a')\ndef named():\n    return 7\n")
        self.assertEqual(7, session.value("named()"))
        self.assertEqual(["tracemem import", "Before waits()", "After waits()", "Before items()", "After items()", "Before stream()",
                          "After stream()", "b", "a"], session.value("MEMLOGS.IDs"))
        self.assertEqual([2, 4, 4, 6, 6], session.value("seen"))  # between its two points
        session.run("class C:\n    @classmethod\n    @MEMTRACE\n    def m(cls): return cls.__name__\n")
        self.assertEqual("C", session.value("C.m()"))
        session.run("half = items(5); next(half); half.close()")
        session.run("@MEMTRACE\ndef fails(): raise KeyError('k')\n")
        self.assertIn("KeyError: 'k'", session.run("fails()"))
        notes = [(point["id"], point["note"]) for point in self.points_of(session)[-4:]]
        self.assertEqual([("Before items()-2", ""), ("After items()-2", ""), ("Before fails()", ""), ("After fails()", "raised KeyError")], notes)

    def test_the_program_is_found_or_missed_clearly(self):
        session = self.session(MEMSNAP="")
        session.run("import memsnap, os; os.environ['PATH'] = '/nonexistent'")
        self.assertRegex(session.run("memsnap.MEMPOINT()"), r"ProgramNotFound: the program memsnap is not found: neither in \$MEMSNAP")
        self.assertEqual(0, session.value("len(memsnap.MEMLOGS)"))
        program = self.place.environment["MEMSNAP"]
        found = self.place.folder / "bin"
        found.mkdir()
        os.symlink(program, found / "memsnap")
        session.run("os.environ['PATH'] = '/nonexistent:%s'" % (self.place.inside / "bin"))
        self.assertEqual("", session.run("memsnap.MEMPOINT()"))
        wrong = self.session(MEMSNAP="/nonexistent/memsnap")
        self.assertRegex(wrong.run("import memsnap.auto"), "ProgramNotFound: MEMSNAP is '/nonexistent/memsnap', and no program")

    def test_a_failure_of_the_program_is_an_exception(self):
        session = self.session()
        session.run("import memsnap")
        session.run("memsnap.LOG = '/nonexistent/a.points'")
        said = session.run("memsnap.MEMPOINT()")
        self.assertIn("MemsnapError: ", said)
        self.assertIn("/nonexistent", said)
        session.run("try: memsnap.MEMPOINT()\nexcept memsnap.MemsnapError as error: code = error.code\n")
        self.assertEqual(9, session.value("code"))
        self.assertEqual([], session.value("memsnap.MEMLOGS.IDs"))
        session.run("@memsnap.MEMTRACE\ndef f(): return 1\n")
        self.assertIn("MemsnapError", session.run("f()"))

    def test_threads_and_a_handler_that_reaps_children(self):
        session = self.session()
        session.run("import memsnap, os, signal, threading")
        session.run("def reap(*_):\n    try:\n        while os.waitpid(-1, os.WNOHANG)[0]: pass\n    except ChildProcessError: pass\n")
        session.run("previous = signal.signal(signal.SIGCHLD, reap)")
        session.run("def work(n):\n    for i in range(4): memsnap.MEMPOINT('%d/%d' % (n, i))\n")
        session.run("threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]")
        self.assertEqual("", session.run("for thread in threads: thread.start()\n"))
        self.assertEqual("", session.run("for thread in threads: thread.join()\n"))
        ids = session.value("memsnap.MEMLOGS.IDs")
        self.assertEqual(sorted("%d/%d" % (n, i) for n in range(6) for i in range(4)), sorted(ids))
        self.assertEqual(ids, [point["id"] for point in self.points_of(session)])

    def test_a_forked_child_has_points_of_its_own(self):
        session = self.session()
        session.run("import memsnap, os")
        session.run("memsnap.MEMPOINT('parent')")
        session.run("def child():\n    memsnap.MEMPOINT('child')\n    os._exit(len(memsnap.MEMLOGS))\n")
        session.run("pid = os.fork() or child()")
        self.assertEqual(2, session.value("os.waitpid(pid, 0)[1] >> 8"))
        self.assertEqual(["parent"], session.value("memsnap.MEMLOGS.IDs"))
        self.assertEqual(["parent"], [point["id"] for point in self.points_of(session)])
        logs = memsnap("log", session.value("pid"), "--ids", directory=self.place.logs)
        self.assertEqual("child\n", logs.out, str(logs))

    def test_under_yama_the_child_is_allowed_as_long_as_it_lives(self):
        session = self.session()
        session.run("import memsnap; from memsnap import _program")
        session.run("_program.needs_allowance = lambda: True")
        session.run("allowed = []; _program._allow = allowed.append")
        session.run("memsnap.MEMPOINT('x')")
        first, last = session.value("allowed")
        self.assertEqual(0, last)
        self.assertGreater(first, 1)
        self.assertEqual(["x"], session.value("memsnap.MEMLOGS.IDs"))
        session.run("memsnap.LOG = '/nonexistent/x'")
        session.run("memsnap.MEMPOINT('y')")
        self.assertEqual([True, 0], session.value("[allowed[2] > 1, allowed[3]]"))
        session.run("del _program._allow; memsnap.LOG = None")
        if not IN_CHROOT:  # with the real prctl(2), which this kernel may not know
            session.run("import importlib; importlib.reload(_program)")
            session.run("_program.needs_allowance = lambda: True")
            self.assertIn('"memsnap.memory/1"', session.run("_program.run('memory', '--metric', 'pyobj', '--', __import__('os').getpid())"))

    def test_nothing_stays_open_and_no_child_is_left(self):
        session = self.session()
        session.run("import memsnap, os")
        session.run("memsnap.MEMPOINT()")
        before = harness.fingerprint(session.pid)
        session.run("memsnap.MEMPOINT(); memsnap.MEMORY()")
        after = harness.fingerprint(session.pid)
        self.assertEqual((before["fds"], before["threads"], []), (after["fds"], after["threads"], after["children"]))

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_a_snapshot(self):
        session = self.session()
        session.run("import memsnap")
        wanted = str(self.folder / "100%.msnap")
        self.assertEqual(wanted, session.value("memsnap.snapshot(%r)" % wanted))
        self.assertEqual(0, memsnap("summary", wanted).status)
        self.assertIn("exists", session.run("memsnap.snapshot(%r)" % wanted))
        self.assertEqual(wanted, session.value("memsnap.snapshot(%r, kind='session', force=True)" % wanted))
        self.assertTrue(session.value("memsnap.snapshot()").startswith(str(self.place.logs)))

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_tracking(self):
        session = self.session()
        session.run("import memsnap")
        wanted = str(self.folder / "track.msnap")
        # As a service that a script started in the background.
        session.run("import signal; [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]")
        session.run("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])")
        session.run("def work(): return [bytearray(50000) for _ in range(200)]\n")
        self.assertEqual("", session.run("with memsnap.Tracker(%r, sample=1) as tracker: kept = work()\n" % wanted))
        self.assertEqual("memsnap.capture/1", session.value("tracker.result['schema']"))
        summary = memsnap("summary", wanted, "--allocations", "--json", "--by", "function", "-n", 0).json()
        (work,) = [row["total"] for row in summary["functions"] if row["function"] == "work"]
        self.assertGreaterEqual(work, 200 * 50000)
        self.assertLess(sum(row["own"] for row in summary["functions"]) - work, 3000000)  # the module's own, and an arena
        self.assertEqual([], harness.children_of(session.pid))
        self.assertNotIn("memsnap", pathlib.Path("/proc/%d/maps" % session.pid).read_text())
        self.assertEqual(["track-before.msnap", "track.msnap"], sorted(file.name for file in self.folder.iterdir()))
        self.assertIn("MemsnapError", session.run("with memsnap.Tracker(%r): pass\n" % wanted))  # it exists
        session.run("del tracker")
        said = session.run("with memsnap.Tracker(%r, force=True) as tracker: raise ValueError()\n" % wanted)
        self.assertIn("ValueError", said)
        self.assertEqual("memsnap.capture/1", session.value("tracker.result['schema']"))
        # Another one within the block is refused, and the first goes on.
        said = session.run("with tracker:\n    with memsnap.Tracker(%r): pass\n" % (wanted + "2"))
        self.assertIn("being tracked", said)
        self.assertEqual("", session.run("with tracker: pass\n"))

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_tracking_a_program_that_forks_and_waits_for_all_its_children(self):
        session = self.session()
        session.run("import memsnap, os")
        session.run("tracker = memsnap.Tracker(%r)" % str(self.folder / "forks.msnap"))
        session.run("""def work():
    with tracker:
        child = os.fork()
        if child == 0:
            return True
        ended = []
        while True:
            try:
                ended.append(os.wait())
            except ChildProcessError:
                return ended == [(child, 7 << 8)]
""")
        # The child leaves the block too: that ends nothing.
        session.run("good = work(); tracker.result is not None or os._exit(7)")
        self.assertTrue(session.value("good"))
        self.assertEqual("memsnap.capture/1", session.value("tracker.result['schema']"))

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_a_process_that_is_killed_while_it_is_tracked(self):
        session = self.session()
        session.run("import memsnap, os, signal")
        wanted = self.folder / "killed.msnap"
        session.run("tracker = memsnap.Tracker(%r).__enter__()" % str(wanted))
        keeper = session.value("tracker._keeper")
        session.process.kill()
        session.process.wait()
        deadline = time.monotonic() + harness.PATIENCE
        while os.path.exists("/proc/%d" % keeper) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(0, memsnap("summary", wanted, "--allocations").status)

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_a_memsnap_that_is_killed_while_it_tracks(self):
        session = self.session()
        session.run("import memsnap, os")
        end = "os.kill(tracker._keeper, 9)"
        for number, body, said in ((1, end, "MemsnapError: memsnap ended before it had a result"), (2, end + "; raise ValueError()", "ValueError")):
            session.run("tracker = memsnap.Tracker(%r)" % str(self.folder / ("%d.msnap" % number)))
            self.assertIn(said, session.run("with tracker: %s\n" % body))
            self.assertNotIn("memsnap", pathlib.Path("/proc/%d/maps" % session.pid).read_text())  # it is taken out all the same

    @unittest.skipIf(IN_CHROOT, "a file of the chroot has another name outside")
    def test_under_yama_who_tracks_is_allowed_until_the_end(self):
        session = self.session()
        session.run("import memsnap; from memsnap import _program")
        session.run("_program.needs_allowance = lambda: True")
        session.run("allowed = []; _program._allow = allowed.append")
        self.assertEqual("", session.run("with memsnap.Tracker(%r) as tracker: pass\n" % str(self.folder / "yama.msnap")))
        # Whoever is started, both, the one that tracks, that and detach, the one that tracks, nobody.
        keeper = session.value("tracker._keeper")
        self.assertEqual([-1, -1, keeper, -1, keeper, 0], session.value("allowed"))

    def test_the_session_stays_small(self):
        session = self.session()
        bare = int(memsnap("memory", session.pid, "--metric", "pyobj", "--units", "bytes").out)
        session.run("import memsnap.auto")
        self.assertLess(session.value("MEMLOGS[0].memory") - bare, 1500000)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
