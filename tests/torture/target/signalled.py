"""Processes to which signals come, and whose timers run."""

import ctypes
import json
import os
import random
import select
import signal
import threading
import time

from kind import PATIENCE, RT, Kind, wait_until

WAITED_SIGNAL, TIMER_SIGNAL = RT + 10, RT + 12
SENT = [RT + number for number in range(1, 7)] + [WAITED_SIGNAL]


def send_signals(target, commands, answers):
    """In a process of its own: sends numbered real-time signals, and says how many."""
    signal.set_wakeup_fd(-1)
    chance, counts = random.Random(target), {}
    while os.getppid() == target:
        number = chance.choice(SENT)
        os.kill(target, number)
        counts[number] = counts.get(number, 0) + 1
        if not select.select([commands], [], [], chance.uniform(0.001, 0.02))[0]:
            continue
        if os.read(commands, 1) != b"c":
            os._exit(0)
        os.write(answers, json.dumps(counts).encode() + b"\n")
        if os.read(commands, 1) != b"g":
            os._exit(0)
    os._exit(0)


class Signals(Kind):
    """Real-time signals from a second process, each of which must arrive once; timers, each of which must fire once."""

    def start(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [WAITED_SIGNAL])
        self.allowed = {*SENT, signal.SIGALRM, signal.SIGVTALRM, TIMER_SIGNAL}
        self.waited_for = {WAITED_SIGNAL}
        self.waited = 0
        self.ending = False
        self.armed = {signal.SIGALRM: 0, signal.SIGVTALRM: 0, TIMER_SIGNAL: 0}
        self.armed_at = {}
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        self.sender = os.fork()
        if self.sender == 0:
            os.close(self.commands)
            os.close(self.answers)
            send_signals(os.getppid(), commands, answers)
        os.close(commands)
        os.close(answers)
        self.children.add(self.sender)
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timer_create"):
            libc = ctypes.CDLL("librt.so.1", use_errno=True)
        self.libc, self.timer = libc, ctypes.c_void_p()
        event = (ctypes.c_int * 16)()
        event[2] = TIMER_SIGNAL  # after the 8 bytes of sigev_value; SIGEV_SIGNAL is 0
        if libc.timer_create(time.CLOCK_MONOTONIC, event, ctypes.byref(self.timer)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create")
        self.arm()

    def take(self):
        while True:  # without a time limit: with one, CPython returns what nobody sent when EINTR comes at its end
            got = signal.sigwaitinfo([WAITED_SIGNAL])
            if self.ending and got.si_pid == os.getpid():
                return
            self.waited += 1
            if (got.si_signo, got.si_pid) != (WAITED_SIGNAL, self.sender):
                self.say_harm("sigtimedwait returned what nobody sent: %s" % (got,))

    def arm(self):
        for number, armed in self.armed.items():
            if self.arrived.get(number, 0) < armed:
                continue
            late = time.monotonic() - self.armed_at.get(number, 0)
            if number != signal.SIGVTALRM and armed and late < 0.0149:
                self.say_harm("the timer of signal %d fired after %.6f s, not 0.015" % (number, late))
            self.armed[number] += 1
            self.armed_at[number] = time.monotonic()
            if number == TIMER_SIGNAL:
                self.libc.timer_settime(self.timer, 0, (ctypes.c_long * 4)(0, 0, 0, 15000000), None)
            else:
                signal.setitimer(signal.ITIMER_REAL if number == signal.SIGALRM else signal.ITIMER_VIRTUAL,
                                 0.015 if number == signal.SIGALRM else 0.004)

    def step(self):
        self.drain()
        self.arm()
        self.did("a sum", sum(range(3000)), 4498500)

    def check_kind(self):
        os.write(self.commands, b"c")
        sent = b""
        while not sent.endswith(b"\n"):
            if not select.select([self.answers], [], [], PATIENCE)[0]:
                return self.say_harm("the process that sends signals does not answer")
            sent += os.read(self.answers, 4096)
        sent = {int(number): count for number, count in json.loads(sent).items()}
        got = {}

        def all_came():
            self.drain()
            sum(range(20000))  # the timer of processor time fires only while there is work
            got.update(self.arrived)
            got[WAITED_SIGNAL] = self.waited
            return all(got.get(number, 0) >= count for number, count in {**sent, **self.armed}.items())

        wait_until(all_came)
        for number, count in {**sent, **self.armed}.items():
            if got.get(number, 0) != count:
                self.say_harm("signal %d was sent %d times and arrived %d times" % (number, count, got.get(number, 0)))
        os.write(self.commands, b"g")

    def end(self):
        self.ending = True
        os.kill(os.getpid(), WAITED_SIGNAL)
        self.thread.join()
        self.libc.timer_delete(self.timer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        os.close(self.commands)
        os.waitpid(self.sender, 0)
