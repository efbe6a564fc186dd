# memsnap-test: once
"""A server and its workers in one report: what they have together, and what is still shared since the fork."""

import unittest

import harness
from harness import Target, memsnap

MB = 1000000
# Forks workers after it has made a table; each makes some of its own, and the second writes over half of the table.
SERVER = """
import os, sys
table = bytearray(b'x' * 60000000)
children = []
end, alive = os.pipe()  # a worker ends when nobody has the other end any more
for number in range(2):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        own = bytearray(b'y' * 20000000)
        if number == 1:
            table[:30000000] = b'z' * 30000000
        os.write(write, b'.')
        os.close(alive)
        os.read(end, 1)
        os._exit(0)
    os.read(read, 1)
    children.append(child)
print('ready', *children, flush=True)
sys.stdin.readline()
os.close(alive)
for child in children:
    os.waitpid(child, 0)
"""


POOL = """
import multiprocessing, sys
table = bytearray(b'x' * 60000000)
def work(number):
    return number
with multiprocessing.get_context('fork').Pool(2) as pool:
    pool.map(work, range(2))
    print('ready', flush=True)
    sys.stdin.readline()
"""


class GroupMemory(harness.LiveTest):
    def test_of_a_pool(self):
        with Target(POOL) as target:
            answer = memsnap("memory", "--tree", target.pid, "--json").json()
            self.assertEqual(3, answer["count"])
            self.assertLess(answer["pss"], answer["rss"] - 100 * MB)
            self.assertGreater(answer["copy_on_write"], 55 * MB)
            target.say(b"\n")
            target.process.wait(harness.PATIENCE)

    def test_of_a_server_that_forked(self):
        with Target(SERVER, ready=b"") as target:
            first, second = (int(word) for word in target.expect(b"ready").split())
            answer = memsnap("memory", "--tree", target.pid, "--json").json()
            self.assertEqual(("memsnap.memory_group/1", 3), (answer["schema"], answer["count"]))
            rows = {row["pid"]: row for row in answer["processes"]}
            self.assertEqual({target.pid, first, second}, set(rows))
            self.assertEqual([target.pid, target.pid], [rows[pid]["parent"] for pid in (first, second)])
            for pid, own, shared in ((target.pid, 0, 60), (first, 20, 60), (second, 50, 30)):
                self.assertGreater(rows[pid]["uss"], own * MB, rows[pid])
                self.assertLess(rows[pid]["uss"], (own + 25) * MB, rows[pid])
                self.assertGreater(rows[pid]["copy_on_write"], shared * MB, rows[pid])
                self.assertLess(rows[pid]["copy_on_write"], (shared + 25) * MB, rows[pid])
            self.assertEqual(answer["rss"], sum(row["rss"] for row in rows.values()))
            self.assertLess(answer["pss"], answer["rss"] - 80 * MB)
            self.assertEqual(answer["shared"], answer["pss"] - answer["uss"])
            text = memsnap("memory", "--tree", target.pid).out
            self.assertIn("3 processes have together", text)
            self.assertEqual(4, len(memsnap("memory", "--tree", target.pid, "--csv").out.splitlines()))
            each = memsnap("memory", "--tree", target.pid, "--each", "--jsonl").out.splitlines()
            self.assertEqual(3, len(each))
            table = memsnap("memory", "--tree", target.pid, "--each", "--metric", "pss", "--units", "bytes").out.splitlines()
            self.assertEqual(["PID", "PSS", "NAME"], table[0].split())
            self.assertEqual({str(pid) for pid in rows}, {line.split()[0] for line in table[1:]})
            alone = memsnap("memory", first, "--metric", "pyobj", "--csv").out.splitlines()
            self.assertEqual("pid,python_objects,name", alone[0])
            self.assertRegex(alone[1], r"^%d,\d{6,}," % first)
            target.say(b"\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
