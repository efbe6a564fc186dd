# memsnap-test: once alone timeout=900
"""scripts/demo, as a visitor would run it: shows where the pretend shop's memory is, and ends what it started."""

import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Demo(unittest.TestCase):
    def test_the_demo_names_the_leak_and_leaves_no_process(self):
        done = subprocess.run([ROOT / "scripts" / "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, timeout=880)

        print(done.stdout)
        self.assertEqual(0, done.returncode)
        for expected in ("shop.cart.Session", "shop.catalog.Article", "RSS", "module shop.cart", ".CACHE", "nothing left behind", "shop/cart.py"):
            self.assertIn(expected, done.stdout)
        pid = int(re.search(r"attach (\d+) --for", done.stdout).group(1))
        self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())


if __name__ == "__main__":
    unittest.main()
