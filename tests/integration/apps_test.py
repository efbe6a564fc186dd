# memsnap-test: once full timeout=900
"""Real applications from Debian's packages, under HTTP load: snapshots fail no request and hold back no connection's end."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import harness
from harness import TARGETS, children_of, memsnap, state_of

APPS = TARGETS / "apps"
PYTHON = "/usr/bin/python3"
SECONDS = 8


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Apps(harness.LiveTest):
    def start(self, command, port, folder=APPS):
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(APPS))
        log = open(self.folder / "log", "w+")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.end, process)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    self.fail("%s does not serve:\n%s" % (command, log.read()))
                time.sleep(0.1)

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check(self, name, command, port, pids_of=lambda process: [process.pid], kept=500, folder=APPS):
        process = self.start(command, port, folder)
        pids = pids_of(process)
        load = subprocess.Popen([PYTHON, str(APPS / "load.py"), str(port), str(SECONDS)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.stdout.close)
        taken = []
        started = time.monotonic()
        while time.monotonic() < started + SECONDS - 1:
            for pid in pids:
                taken.append(self.snapshot(pid))
                self.assertEqual("freeze", taken[-1]["method"])
            time.sleep(0.5)
        out, _ = load.communicate(timeout=120)
        totals = json.loads(out)
        print("%s: %d requests, slowest %.3f s, latest end of a connection %.3f s; %d snapshots of %d objects, pause %s ms" % (
            name, totals["requests"], totals["slowest"], totals["latest_end"], len(taken), taken[-1]["objects"],
            sorted(round(answer["pause_ms"], 1) for answer in taken)), file=sys.stderr)
        self.assertEqual([], totals["failed"])
        self.assertGreater(totals["requests"], 100)
        self.assertLess(totals["slowest"], 3)
        self.assertLess(totals["latest_end"], 0.5)
        for pid in pids:
            self.assertNotIn(state_of(pid), "tTZ")
        for answer in taken[-len(pids):]:
            self.assertEqual(kept, self.types(answer["file"]).get("kept.Kept", (0, 0))[0])
        for answer in taken:
            self.assertEqual((False, True), (answer["partial"], answer["consistent"]))
            if answer["skipped"]:  # allowed when it is said which
                text = memsnap("info", answer["file"]).out
                self.assertRegex(text, "(?i)skipped")
                print(text, file=sys.stderr)
        return process

    def need(self, *modules):
        for module in modules:
            found = subprocess.run([PYTHON, "-c", "import " + module], stderr=subprocess.DEVNULL)
            if found.returncode:
                self.skipTest("no %s: scripts/setup --full installs it" % module)

    def test_gunicorn_and_django(self):
        self.need("gunicorn", "django")
        port = free_port()

        def workers(process):
            deadline = time.monotonic() + 30
            while len(children_of(process.pid)) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1)
            return children_of(process.pid)

        process = self.check("gunicorn + Django", [PYTHON, "-m", "gunicorn", "-w", "2", "-b", "127.0.0.1:%d" % port, "django_app"],
                             port, workers)
        self.assertEqual(2, len(children_of(process.pid)))

    def test_flask_and_gevent(self):
        self.need("flask", "gevent")
        port = free_port()
        self.check("Flask + gevent", [PYTHON, "flask_app.py", str(port)], port)

    def test_aiohttp_and_uvloop(self):
        self.need("aiohttp", "uvloop")
        port = free_port()
        self.check("aiohttp + uvloop", [PYTHON, "aiohttp_app.py", str(port)], port)

    def test_pandas(self):
        self.need("pandas")
        port = free_port()
        self.check("pandas", [PYTHON, "pandas_app.py", str(port)], port)

    def test_lxml_and_pillow(self):
        self.need("lxml", "PIL")
        port = free_port()
        self.check("lxml + Pillow", [PYTHON, "lxml_app.py", str(port)], port)

    def test_cython_module(self):
        self.need("Cython")
        for name in ("holder.pyx", "cython_app.py"):
            shutil.copy(APPS / name, self.folder)
        subprocess.run([PYTHON, "-m", "Cython.Build.Cythonize", "-i", "-q", "holder.pyx"], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL)
        port = free_port()
        self.check("Cython", [PYTHON, "cython_app.py", str(port)], port, folder=self.folder)


if __name__ == "__main__":
    harness.main()
