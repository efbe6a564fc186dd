"""Single objects of a real process: who refers to whom as its own gc module says, values, cycles, garbage, what is new."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import harness
from harness import Target, memsnap, python_facts

USAGE, NO, BAD_FILE = 2, 1, 10

# What gc does not show, besides names: it cannot be in a cycle, or the version leaves it out (the class under 3.8, keys
# of dicts that have only str, what the frame of a generator has from its function).
BESIDES = ("key", "class", ".f_globals", ".f_builtins")

# ZOO: name -> object. A survey is {name: [id, ids of gc.get_referents, ids of gc.get_referrers, ids of weak references]}.
ZOO = """
import collections, functools, gc, json, os, sys, types, weakref
gc.disable()
class Plain:
    def __init__(self, **members):
        for name, value in members.items():
            setattr(self, name, value)  # not by __dict__: 3.13 would keep a dict that gc does not show
    def method(self):
        return self
class Slots:
    __slots__ = ("first", "second", "__weakref__")
class Words(list):
    pass
class Table(dict):
    pass
def outer(free):
    def inner(value=MARK, *, other=MARK):
        return free, value, other
    return inner
def steps(argument):
    local = [argument]
    yield local
    yield argument
MARK = object()
SHARED = ["shared by all"]
slots = Slots()
slots.first, slots.second = SHARED, None
words = Words([SHARED, 1])
words.note = SHARED
generator = steps(SHARED)
next(generator)
linked = [SHARED]
linked.append(linked)
table = Table(key=SHARED)
table.note = SHARED
module = types.ModuleType("planted_module")
module.member = SHARED
ZOO = {
    "list": [SHARED, None, SHARED, 1.5], "tuple": (SHARED, "text", 10 ** 30), "dict": {"key": SHARED, "other": None},
    "dict_of_objects": {MARK: SHARED, (1, MARK): MARK}, "set": {MARK, "text", 1234567}, "frozenset": frozenset([MARK, "text"]),
    "plain": Plain(attribute=SHARED, number=77777), "slots": slots, "words": words, "table": table, "linked": linked,
    "function": outer(SHARED), "class": Plain, "method": Plain(attribute=SHARED).method, "module": module,
    "partial": functools.partial(print, SHARED, key=MARK), "deque": collections.deque([SHARED, MARK]),
    "ordered": collections.OrderedDict(key=SHARED), "default": collections.defaultdict(list, key=SHARED),
    "counter": collections.Counter("abcabc"), "cell": outer(SHARED).__closure__[0], "property": property(lambda self: SHARED),
    "static": staticmethod(outer(MARK)), "proxy": types.MappingProxyType({"key": SHARED}), "generator": generator,
    "exception": ValueError(SHARED), "namespace": types.SimpleNamespace(member=SHARED), "builtin": [].append,
    "shared": SHARED, "mark": MARK, "weak": weakref.ref(slots, print), "iterator": iter([SHARED, MARK]), "slice": slice(SHARED, MARK),
    "mixed": {1: SHARED, "key": SHARED}, "long": [None] * 1000 + [SHARED],
}
def survey():
    found, frame = {}, sys._getframe()
    for name in NAMES:
        thing = ZOO[name]
        referents = [id(other) for other in gc.get_referents(thing)]
        referrers = [id(other) for other in gc.get_referrers(thing) if other is not frame]
        found[name] = [id(thing), referents, referrers, gc.is_tracked(thing)]
    del frame
    return found
NAMES = list(ZOO)
gc.collect()
SURVEY = json.dumps(survey()).encode()
os.write(1, b"ready\\n" + SURVEY + b"\\n")
os.read(0, 1)
"""

SHOP = """
import gc, os, sys
gc.disable()
class Session:
    def __init__(self, text):
        self.text, self.items = text, list(range(5))
class Node:
    pass
def steps():
    pass
MARKED = "planted-value-one"
PLANTED = {"planted_key_two": Session("planted-value-three" * 20), "another": [b"planted-value-four"]}
EMPTY = [[], {}, set(), (), frozenset()]
LIVE = Node()
LIVE.other = Node()
LIVE.other.back = LIVE
class Lost:
    pass
class Ring:
    pass
kept = []
for number in range(3):
    lost, ring = Lost(), Ring()
    lost.ring, ring.lost = ring, lost
    kept.append("%x" % id(lost))
del lost, ring
os.write(1, b"ready " + " ".join(["%x" % id(PLANTED), "%x" % id(MARKED), "%x" % id(PLANTED["another"])] + kept).encode() + b"\\n")
os.read(0, 1)
NEW = Session("new" * 10000)
os.write(1, b"grown %x\\n" % id(NEW))
os.read(0, 1)
"""


def as_number(address):
    return int(address, 16)


class References(harness.LiveTest):
    def setUp(self):
        super().setUp()
        with Target(ZOO) as target:
            self.survey = json.loads(target.line())
            self.file = self.snapshot(target.pid, "--strings", "prefix=200")["file"]

    def inspect(self, address, *options):
        result = memsnap("inspect", self.file, "%#x" % address, "-n", "0", "--json", *options)
        self.assertEqual(0, result.status, str(result))
        return result.json()

    def test_referents_are_those_of_gc(self):
        for name, (address, referents, _, _) in self.survey.items():
            with self.subTest(name):
                found = [one for one in self.inspect(address)["referents"] if not one["weak"]]
                missing = collections.Counter(referents) - collections.Counter(as_number(one["address"]) for one in found)
                more = [one for one in found if as_number(one["address"]) not in referents]
                self.assertEqual({}, dict(missing))
                self.assertEqual([], [one for one in more if one["label"] not in BESIDES and one["type"] != "builtins.str"])

    def test_referrers_are_those_of_gc(self):
        for name, (address, _, referrers, _) in self.survey.items():
            with self.subTest(name):
                found = {as_number(one["address"]): one for one in self.inspect(address)["referrers"] if not one["weak"]}
                self.assertEqual(set(), set(referrers) - set(found))
                more = [one for address, one in found.items() if one["tracked"] and address not in referrers]
                self.assertEqual([], more)


class Shop(harness.LiveTest):
    """A heap whose cycles, garbage, texts and growth are planted."""

    def start(self, *options):
        target = Target(SHOP, ready=None)
        self.addCleanup(target.close)
        self.target = target
        self.planted, self.marked, self.another, *self.lost = target.expect(b"ready").decode().split()
        self.file = self.snapshot(target.pid, *options)["file"]

    def run_json(self, *arguments, status=0):
        result = memsnap(*arguments, "--json")
        self.assertEqual(status, result.status, str(result))
        return result.json()

    def objects(self, *options):
        answer = self.run_json("objects", self.file, *options)
        self.assertEqual("memsnap.objects/1", answer["schema"])
        return answer

    def test_lists_are_sorted_and_limited(self):
        self.start()
        for sort, key in (("size", "size"), ("retained", "retained"), ("refs", "refs"), ("len", "len")):
            rows = self.objects("--sort", sort, "-n", "200")["objects"]
            self.assertEqual(200, len(rows))
            values = [row[key] or 0 for row in rows]
            self.assertEqual(sorted(values, reverse=True), values)
        answer = self.objects("--type", "__main__.Session")
        self.assertEqual((1, 1, 0), (answer["count"], len(answer["objects"]), answer["objects_hidden"]))
        everything = self.objects("-n", "0")
        self.assertEqual(list(range(1, everything["count"] + 1)), [row["rank"] for row in everything["objects"]])
        totals = self.run_json("summary", self.file)["totals"]
        self.assertEqual((totals["objects"], totals["bytes"]), (everything["count"], everything["bytes"]))
        large = self.objects("--sort", "size", "--min", "10KiB", "-n", "0")
        self.assertEqual(sum(row["size"] >= 10240 for row in everything["objects"]), large["count"])

    def test_lengths_and_referrers_are_counted(self):
        self.start()
        by_address = {row["address"]: row for row in self.objects("-n", "0")["objects"]}
        self.assertEqual(2, by_address["0x" + self.planted]["len"])
        self.assertEqual(1, by_address["0x" + self.another]["len"])
        lengths = [row["len"] for row in by_address.values() if row["type"] in (
            "builtins.list", "builtins.tuple", "builtins.dict", "builtins.set", "builtins.frozenset")]
        self.assertNotIn(None, lengths)
        self.assertIn(0, lengths)
        inspected = self.run_json("inspect", self.file, "0x" + self.planted, "-n", "0")
        referrers = {one["address"] for one in inspected["referrers"] if not one["weak"]}
        self.assertEqual(len(referrers), by_address["0x" + self.planted]["refs"])

    def test_a_number_names_one_object_everywhere(self):
        self.start()
        for row in self.objects("-n", "5")["objects"]:
            number = "@%d" % row["rank"]
            inspected = self.run_json("inspect", self.file, number)["object"]
            self.assertEqual((row["address"], row["rank"], row["retained"]),
                             (inspected["address"], inspected["rank"], inspected["retained"]))
            self.assertEqual(self.run_json("roots", self.file, row["address"]), self.run_json("roots", self.file, number))
        newest = memsnap("inspect", "@1", "--json", directory=self.folder)
        self.assertEqual(self.run_json("inspect", self.file, "@1"), newest.json())

    def test_garbage_in_cycles_is_found(self):
        self.start()
        rows = self.objects("--unreachable", "-n", "0")["objects"]
        addresses = {row["address"] for row in rows}
        self.assertTrue({"0x" + address for address in self.lost} <= addresses)
        self.assertNotIn("0x" + self.planted, addresses)
        self.assertEqual(3, self.objects("--unreachable", "--type", "__main__.Ring")["count"])
        for number in range(3):
            self.run_json("roots", self.file, "0x" + self.lost[number])  # from an unknown root
        cycles = self.objects("--cycles", "-n", "0")
        members = {}
        for row in cycles["objects"]:
            members.setdefault(row["cycle"], []).append(row)
        self.assertEqual((cycles["cycles"], cycles["objects_in_cycles"]), (len(members), len(cycles["objects"])))
        self.assertEqual(sorted(members), list(members))
        for number, rows in members.items():
            self.assertEqual({len(rows)}, {row["cycle_objects"] for row in rows})
        lost = [rows for rows in members.values() if any(row["type"] == "__main__.Lost" for row in rows)]
        self.assertEqual(3, len(lost))
        self.assertTrue(all(sum(row["type"] == "__main__.Ring" for row in rows) == 1 for rows in lost))
        live = [rows for rows in members.values() if any(row["type"] == "__main__.Node" for row in rows)]
        self.assertEqual([2], [sum(row["type"] == "__main__.Node" for row in rows) for rows in live])

    def test_one_object_is_told_with_names_and_holders(self):
        self.start("--strings", "prefix=40")
        answer = self.run_json("inspect", self.file, "0x" + self.planted, "--depth", "4")
        self.assertEqual("memsnap.inspect/1", answer["schema"])
        self.assertEqual(("builtins.dict", 2, "builtins", ["tracked"]),
                         tuple(answer["object"][key] for key in ("type", "len", "module", "flags")))
        self.assertEqual("module __main__", answer["root"])
        self.assertEqual("builtins.module", answer["dominators"][-1]["type"])
        self.assertEqual("['PLANTED']", answer["dominators"][0]["label"])
        labels = [one["label"] for one in answer["referents"]]
        self.assertEqual(["key", "['planted_key_two']", "key", "['another']"], labels)
        session = answer["referents"][1]
        self.assertEqual("__main__.Session", session["type"])
        text = json.dumps(session)
        self.assertIn("planted-value-three", text)
        self.assertIn("[4]", text)
        self.assertEqual("['PLANTED']", answer["referrers"][0]["label"])
        shown = memsnap("inspect", self.file, "0x" + self.planted).out
        self.assertRegex(shown, r"held by +\['PLANTED'\] of 0x[0-9a-f]+ dict")
        self.assertRegex(shown, r"\n refers to 4\n")
        session = self.run_json("inspect", self.file, session["address"])
        self.assertEqual("__main__", session["object"]["module"])
        self.assertEqual(["planted_key_two"], re.findall(r"planted_key_two", session["dominators"][0]["label"]))
        only = self.run_json("inspect", self.file, "0x" + self.planted, "--referrers")
        self.assertEqual((False, True), ("referents" in only, "referrers" in only))

    def test_a_value_is_shown_as_far_as_it_was_kept(self):
        self.start("--strings", "prefix=300")
        rows = self.objects("--type", "str", "-n", "0")["objects"]
        row = next(row for row in rows if (row["value"] or "").startswith("planted-value-three"))
        self.assertTrue(row["value"].endswith("...") and len(row["value"]) == 83, row)
        whole = self.run_json("inspect", self.file, row["address"], "--value")["object"]["value"]
        self.assertEqual(("planted-value-three" * 20)[:300], whole)

    def test_what_the_policy_did_not_keep_is_not_shown(self):
        commands = (["objects", "-n", "0"], ["objects", "-n", "0", "--cycles"], ["inspect", "PLANTED", "--depth", "9", "--value"],
                    ["inspect", "MARKED", "--value"], ["roots", "PLANTED", "--paths", "9"], ["roots", "PLANTED", "--dot"])
        for policy, absent, present in (("none", ["planted-value", "planted_key", "MARKED"], []),
                                        ("names", ["planted-value"], ["planted_key_two"])):
            self.start("--strings", policy)
            out = ""
            for command, *options in commands:
                words = {"PLANTED": "0x" + self.planted, "MARKED": "0x" + self.marked}
                result = memsnap(command, self.file, *[words.get(option, option) for option in options])
                self.assertEqual(0, result.status, str(result))
                out += result.out
                if "--dot" not in options:
                    answer = self.run_json(command, self.file, *[words.get(option, option) for option in options])
                    del answer["target"]  # its command line is the program's text
                    out += json.dumps(answer)
            for text in absent:
                self.assertNotIn(text, out, policy)
            for text in present:
                self.assertIn(text, out, policy)
            self.assertIn("not kept (--strings %s)" % policy, out)

    def test_a_running_process_is_asked_without_a_file(self):
        self.start()
        before = harness.fingerprint(self.target.pid)
        here = self.folder / "none"
        result = memsnap("inspect", self.target.pid, "0x" + self.planted, "--json", directory=here)
        self.assertEqual(0, result.status, str(result))
        self.assertEqual([], harness.differences(before, harness.fingerprint(self.target.pid)))
        self.assertFalse((self.folder / "none").exists())
        answer, of_file = result.json(), self.run_json("inspect", self.file, "0x" + self.planted)
        self.assertEqual(of_file["object"], answer["object"])
        self.assertEqual(of_file["referents"], answer["referents"])
        shown = memsnap("inspect", self.target.pid, "0x" + self.marked, "--strings", "prefix=40").out
        self.assertIn("planted-value-one", shown)
        self.assertNotIn("planted-value", memsnap("inspect", self.target.pid, "0x" + self.marked).out)

    def test_what_is_new_is_told(self):
        self.start()
        first = self.file
        self.target.say(b"x")
        new = self.target.expect(b"grown ").decode()
        self.file = self.snapshot(self.target.pid)["file"]
        rows = self.objects("--new-since", first, "-n", "0")["objects"]
        by_pid = memsnap("objects", "--new-since", "%d@-2" % self.target.pid, "-n", "0", "--json", directory=self.folder)
        self.assertEqual((0, rows), (by_pid.status, by_pid.status == 0 and by_pid.json()["objects"]), str(by_pid))
        self.assertIn("0x" + new, {row["address"] for row in rows})
        self.assertNotIn("0x" + self.planted, {row["address"] for row in rows})
        self.assertEqual(1, self.objects("--new-since", first, "--type", "__main__.Session")["count"])
        self.assertEqual(2, self.objects("--type", "__main__.Session")["count"])
        paths = self.run_json("roots", self.file, "--new", first, "--type", "__main__.Session", "--paths", "1")["paths"]
        self.assertEqual("0x" + new, paths[0][-1]["address"])
        self.assertEqual("['NEW']", paths[0][-1]["name"])
        largest = self.run_json("roots", self.file, "--new", first)["paths"]
        self.assertEqual(max(row["retained"] for row in rows), largest[0][-1]["retained"])
        self.run_json("roots", first, "--new", first, status=NO)
        self.assertEqual(0, self.run_json("objects", first, "--new-since", first)["count"])
        self.start()
        for wrong in (["objects", self.file, "--new-since", first], ["roots", self.file, "--new", first]):
            self.assertIn("another process", self.run_json(*wrong, status=USAGE)["message"])

    def test_an_address_inside_an_object_is_explained(self):
        self.start()
        planted = int(self.planted, 16)
        for offset, expected in ((16, "lies inside the dict at 0x%s, +16" % self.planted),
                                 (-8, "lies in the collector's header of the dict at 0x%s, -8" % self.planted)):
            for command in ("inspect", "roots"):
                answer = self.run_json(command, self.file, "%#x" % (planted + offset), status=USAGE)
                self.assertIn("no object", answer["message"])
                self.assertIn(expected, answer["hint"])

    def test_wrong_questions(self):
        self.start()
        types = self.snapshot(self.target.pid, "--kind", "types")["file"]
        for wrong in (["inspect", self.file, "0x1"], ["inspect", self.file, "@0"], ["inspect", self.file, "@99999999"],
                      ["inspect", self.file, "@18446744073709551617"], ["inspect", self.file, "@-1"], ["inspect", self.file],
                      ["inspect", self.file, "nonsense"], ["inspect", self.file, "@1", "--strings", "none"],
                      ["objects", self.file, "--type", "no.such.Type"], ["objects", types], ["inspect", types, "@1"],
                      ["roots", self.file, "@1", "--largest"], ["roots", self.file, "@1", "--dot"]):
            self.run_json(*wrong, status=USAGE)

    def test_a_damaged_or_truncated_file_is_refused(self):
        self.start()
        whole = pathlib.Path(self.file).read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 0x55
        for content in (whole[:len(whole) // 2], bytes(damaged), b""):
            bad = self.folder / "bad.msnap"
            bad.write_bytes(content)
            for command in (["objects", bad], ["inspect", bad, "@1"], ["roots", bad, "@1", "--dot"],
                            ["objects", self.file, "--new-since", bad]):
                result = memsnap(*command)
                self.assertEqual((BAD_FILE, ""), (result.status, result.out), str(result))

    def test_paths_are_a_graph_for_graphviz(self):
        self.start()
        drawn = memsnap("roots", self.file, "0x" + self.planted, "--dot", "--paths", "5")
        self.assertEqual(0, drawn.status, str(drawn))
        self.assertIn("module __main__", drawn.out)
        self.assertIn("['PLANTED']", drawn.out)
        file = self.folder / "paths.dot"
        for more, status in (([], 0), ([], 9), (["-f"], 0)):
            done = memsnap("roots", self.file, "0x" + self.planted, "--dot", "--paths", "5", "-o", file, *more)
            self.assertEqual((status, ""), (done.status, done.out), str(done))
        self.assertEqual(drawn.out, file.read_text())
        for word in ("--json", "--jsonl"):
            self.assertEqual(USAGE, memsnap("roots", self.file, "@1", "--dot", word).status)

    @unittest.skipUnless(shutil.which("dot"), "no graphviz here: object_reports_test.cpp reads the syntax itself")
    def test_graphviz_draws_the_paths_whatever_the_names(self):
        self.start()
        golden = (harness.ROOT / "tests" / "golden" / "planted_paths.dot").read_text()
        for text in (memsnap("roots", self.file, "0x" + self.planted, "--dot").out, golden):
            drawn = subprocess.run(["dot", "-Tsvg"], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual((0, ""), (drawn.returncode, drawn.stderr))
            nodes = len(re.findall(r"(?m)^  [nr][0-9a-f_]+ \[", text))
            self.assertEqual(nodes, drawn.stdout.count('class="node"'))
        self.assertIn("&amp;lt;", drawn.stdout)


if __name__ == "__main__":
    harness.require_supported_python()
    harness.main()
