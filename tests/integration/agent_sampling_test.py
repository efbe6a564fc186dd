#!/usr/bin/env python3
"""What is sampled stands for what was not; a forked child, a lease that ran out and a record that is switched off record nothing."""

import sys
import unittest

import agent_harness
import harness

PROGRAM = '''
def small():
    return [bytes(100) for _ in range(60000)]
def large():
    return [bytes(20000 + i) for i in range(600)]
def program():
    kept = small()
    del kept[::3]
    for _ in range(20):
        large()
    return kept, large()
'''


def weights(dump, function, period):
    """(blocks, bytes) allocated, and live ones, as the samples say."""
    found = [0.0, 0.0, 0.0, 0.0]
    for site in dump["sites"]:
        if not any(frame[1] == function for frame in site["stack"]) or site["allocator"] != 1:  # calloc
            continue
        found[0] += site["count"]
        found[1] += site["bytes"]
        if site["live_blocks"]:
            size = site["live_bytes"] / site["live_blocks"]
            factor = 1 / (1 - 2.718281828459045 ** (-size / period))
            found[2] += site["live_blocks"] * factor
            found[3] += site["live_bytes"] * factor
    return found


class Sampling(harness.LiveTest):
    def test_estimates_are_near_the_truth(self):
        period = 4096
        dump = agent_harness.run(PROGRAM, period=period, environment={"PYTHONMALLOC": "malloc"}, warm=False)["dump"]
        small = weights(dump, "small", period)
        large = weights(dump, "large", period)

        # bytes(n) is one block of n + 33.
        self.assertLess(sum(site["samples"] for site in dump["sites"]), 30000)
        self.assertAlmostEqual(1, large[0] / (21 * 600), delta=0.02)
        self.assertAlmostEqual(1, large[1] / (21 * 600 * 20332.5), delta=0.02)
        self.assertAlmostEqual(1, large[3] / (600 * 20332.5), delta=0.02)
        self.assertAlmostEqual(1, small[0] / 60000, delta=0.15)
        self.assertAlmostEqual(1, small[2] / 40000, delta=0.2)

    def test_totals_of_a_thread_are_exact_all_the_same(self):
        exact, sampled = (agent_harness.run(PROGRAM, period=period, environment={"PYTHONMALLOC": "malloc"})["dump"]["threads"]
                          for period in (1, 512 << 10))

        for name in ("allocations", "bytes"):
            self.assertEqual(sum(thread[name] for thread in exact), sum(thread[name] for thread in sampled))

    def test_python_domains_are_sampled_too(self):
        period = 8192
        dump = agent_harness.run(PROGRAM, period=period, domains=True)["dump"]

        total = sum(thread["bytes"] for thread in dump["threads"])
        estimate = sum(site["bytes"] for site in dump["sites"])
        self.assertAlmostEqual(1, estimate / total, delta=0.03)
        self.assertEqual({"no_room": 0, "odd_address": 0, "broken_stack": 0, "mismatches": 0}, dump["lost"])


class Quiet(harness.LiveTest):
    def test_a_forked_child_records_nothing_and_works(self):
        source = '''
            import os
            def program():
                keep = [bytearray(5000)]
                for how in range(10):
                    child = os.fork()
                    if child == 0:
                        mine = [bytearray(3000 + i) for i in range(2000)]
                        text = str(list(range(10000)))
                        del keep[:], mine
                        grandchild = os.fork()
                        if grandchild == 0:
                            os._exit(len([bytearray(600) for _ in range(7)]))
                        os._exit(os.waitpid(grandchild, 0)[1] >> 8)
                    status = os.waitpid(child, 0)[1]
                    assert status == 7 << 8, status
                keep.append(bytearray(6000))
                return keep
            '''
        for domains in (False, True):
            dump = agent_harness.run(source, domains=domains, check=True)["dump"]
            sizes = [site["live_bytes"] for site in dump["sites"] if 4000 < site["live_bytes"] < 7000 and site["stack"][0][0] == "program.py"]

            self.assertEqual([5, 6], sorted(size // 1000 for size in sizes))
            self.assertEqual(0, dump["lost"]["mismatches"])
            self.assertFalse([site for site in dump["sites"] if 3000 <= site["live_bytes"] / max(1, site["live_blocks"]) < 5000])

    def test_children_that_share_memory_are_fine(self):
        source = '''
            import os, subprocess
            def program():
                keep = [bytearray(5000)]
                for _ in range(5):
                    subprocess.run(["/bin/true"], check=True, close_fds=False)
                    os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
                keep.append(bytearray(6000))
                return keep
            '''
        dump = agent_harness.run(source, check=True)["dump"]

        self.assertEqual(0, dump["lost"]["mismatches"])
        self.assertIn(6, [site["live_bytes"] // 1000 for site in dump["sites"]])

    def test_a_lease_that_ran_out_ends_it(self):
        source = '''
            import ctypes
            def program():
                agent.in_process_lease(ctypes.c_uint64(1))
                keep = [bytearray(700) for i in range(5000)]
                assert agent.in_process_mode() == 0
                agent.in_process_lease(ctypes.c_uint64((1 << 64) - 1))
                return keep
            '''
        dump = agent_harness.run(source, warm=False)["dump"]

        self.assertLess(sum(thread["allocations"] for thread in dump["threads"]), 1100)

    def test_threads_that_outlive_their_interpreter_are_left_alone(self):
        source = '''
            import threading, zlib, time
            data = bytes(range(256)) * 4000
            def busy():
                while True:
                    zlib.compress(data, 1)  # allocates without the GIL
            def program():
                for _ in range(4):
                    threading.Thread(target=busy, daemon=True).start()
                time.sleep(0.05)
            '''
        for domains in (False, True):
            for _ in range(4):
                agent_harness.run(source, body=agent_harness.PREPARE + "agent.in_process_record(1)\nprogram()\n", domains=domains, warm=False)

    def test_signal_handlers_and_threads_at_once(self):
        source = '''
            import signal, threading, time
            hits = []
            def program():
                signal.signal(signal.SIGALRM, lambda *_: hits.append(bytearray(600)))
                signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
                def work():
                    for i in range(3000):
                        [bytearray(700), str(i) * 200]
                threads = [threading.Thread(target=work) for _ in range(3)]
                for t in threads: t.start()
                for _ in range(200):
                    keep = [bytearray(800) for i in range(50)]
                for t in threads: t.join()
                signal.setitimer(signal.ITIMER_REAL, 0)
                return keep
            '''
        dump = agent_harness.run(source, domains=True, check=True)["dump"]

        self.assertEqual({"no_room": 0, "odd_address": 0, "broken_stack": 0, "mismatches": 0}, dump["lost"])


if __name__ == "__main__":
    harness.require_supported_python()
    if "bullseye" in " ".join(harness.PYTHON):
        print("skipped: the library that stands in for memsnap needs a newer libc")
        sys.exit(77)
    harness.main()
