# memsnap-test: once
"""Metrics for Prometheus: the file of --metrics and export; read by promtool, node_exporter and Prometheus where they are.

Those three are of Debian; scripts/setup --full puts them beside the interpreters.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

import harness
from harness import Target, memsnap

USAGE, NO_PROCESS = 2, 3
SLEEPER = "import time\nclass Kept: pass\nKEPT = [Kept() for _ in range(5000)]\nprint('ready', flush=True)\ntime.sleep(1000)\n"
MONITORING = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "memsnap" / "monitoring" / "usr" / "bin"
needs_monitoring = unittest.skipUnless((MONITORING / "promtool").exists(), "no Prometheus: scripts/setup --full fetches it")


def values(text, name):
    return {labels or "": float(value) for labels, value in re.findall(r"(?m)^%s(\{.*\})? (\S+)$" % name, text)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Metrics(harness.LiveTest):
    def write(self, target, *more, status=0):
        file = self.folder / "memsnap.prom"
        result = memsnap("snapshot", target.pid, "-o", "%s/" % self.folder, "-f", "-q", "--metrics", file, *more)
        self.assertEqual(status, result.status, str(result))
        return file

    def test_of_a_run(self):
        with Target(SLEEPER) as target:
            file = self.write(target)
            text = file.read_text()
            self.assertEqual(0o644, file.stat().st_mode & 0o777)
            (rss,) = values(text, "memsnap_process_resident_bytes").values()
            self.assertGreater(rss, 5e6)
            kept = {labels: value for labels, value in values(text, "memsnap_type_objects").items() if "__main__.Kept" in labels}
            self.assertEqual([5000], list(kept.values()))
            self.assertEqual(({"": 0}, {"": 1}, {"": 0}), tuple(values(text, "memsnap_" + name) for name in ("last_run_exit_code", "targets", "targets_failed")))
            self.assertEqual([], [name for name in os.listdir(self.folder) if ".tmp." in name])
        # It is gone: the run says so, and what was there is no longer.
        self.write(target, status=NO_PROCESS)
        text = file.read_text()
        self.assertEqual({"": NO_PROCESS}, values(text, "memsnap_last_run_exit_code"))
        self.assertEqual({}, values(text, "memsnap_process_resident_bytes"))

    def test_a_worker_that_is_skipped_keeps_its_number(self):
        with Target(SLEEPER) as old, Target("import time\nkept = b'x' * 50000000\nprint('ready', flush=True)\ntime.sleep(1000)\n") as young:
            file = self.folder / "memsnap.prom"
            result = memsnap("snapshot", "--children", os.getpid(), "--each", "-o", "%s/" % self.folder, "-q", "--metrics", file,
                             "--if-rss-over", "45MB")
            self.assertEqual(0, result.status, str(result))
            text = file.read_text()
            self.assertTrue(old.alive() and young.alive())
        self.assertEqual(['{app="python -c",worker="1"}'], [re.sub('app="[^"]*"', 'app="python -c"', labels)
                                                            for labels in values(text, "memsnap_process_resident_bytes")])
        self.assertEqual(({"": 2}, {"": 0}), (values(text, "memsnap_targets"), values(text, "memsnap_targets_failed")))

    def test_export(self):
        with Target(SLEEPER) as target:
            taken = self.snapshot(target.pid)
        text = memsnap("export", taken["file"], "--format", "openmetrics").out
        self.assertTrue(text.endswith("# EOF\n"))
        self.assertEqual([float(taken["memory"]["rss"])], list(values(text, "memsnap_process_resident_bytes").values()))
        self.assertEqual(USAGE, memsnap("export", taken["file"]).status)

    def test_wrong_questions(self):
        self.assertEqual(USAGE, memsnap("snapshot", os.getpid(), "--metrics", "metrics.txt").status)

    @needs_monitoring
    def test_promtool_finds_no_fault(self):
        with Target(SLEEPER) as target:
            text = self.write(target).read_bytes()
        for given, status in ((text, 0), (text.replace(b'app="', b'app=', 1), 1)):
            check = subprocess.run([MONITORING / "promtool", "check", "metrics"], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual((status, b""), (check.returncode, check.stdout if status == 0 else b""), check.stdout)

    @needs_monitoring
    def test_prometheus_scrapes_it_from_node_exporter(self):
        with Target(SLEEPER) as target:
            rss = list(values(self.write(target).read_text(), "memsnap_process_resident_bytes").values())
        exporter, prometheus = free_port(), free_port()
        config = self.folder / "prometheus.yml"
        config.write_text("scrape_configs:\n- job_name: node\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:%d']\n" % exporter)
        self.start("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile", "--collector.textfile.directory",
                   self.folder, "--web.listen-address", "127.0.0.1:%d" % exporter)
        self.start("prometheus", "--config.file", config, "--storage.tsdb.path", self.folder / "data", "--web.listen-address",
                   "127.0.0.1:%d" % prometheus)
        question = "http://127.0.0.1:%d/api/v1/query?%s" % (prometheus, urllib.parse.urlencode({"query": "memsnap_process_resident_bytes"}))
        deadline = time.monotonic() + harness.PATIENCE
        found = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.3)
            try:
                found = json.load(urllib.request.urlopen(question, timeout=5))["data"]["result"]
            except OSError:
                continue
        self.assertEqual(rss, [float(series["value"][1]) for series in found])

    def start(self, program, *arguments):
        process = subprocess.Popen([MONITORING / program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)


if __name__ == "__main__":
    unittest.main(verbosity=2)
