"""HTTP load, and a check of every answer: `load.py PORT numbers|any`. On stdin, a word a line: count (answered with a line of JSON),
pause (answered when nothing is under way), go PORT. Ends with its stdin.
"""

import json
import os
import select
import socket
import sys
import time

PATIENCE = 60


class Load:
    def __init__(self, port, numbers):
        self.port, self.numbers = port, numbers
        self.requests, self.failed, self.next = 0, [], 0
        self.connection = None
        self.left = 0

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(self):
        if self.connection is None:
            self.left = 20 if self.next % 2 else 1
            self.connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.left -= 1
        self.next += 1
        number = self.next * 7 % 5000
        self.connection.sendall(b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n\r\n" % (
            str(number).encode() if self.numbers else b"", b"keep-alive" if self.left else b"close"))
        closes = self.read_answer(number)
        self.requests += 1
        if self.left == 0 or closes:
            if self.connection.recv(1) != b"":
                raise ValueError("more than the answer came")
            self.close()

    def read_answer(self, number):
        """True when the server says that it will close."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        lower = head.lower()
        if int(head.split(None, 2)[1]) != 200:
            raise ValueError("status %r" % head)
        if b"content-length:" in lower:
            size = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < size:
                body += self.receive()
            if len(body) != size or not body:
                raise ValueError("%d bytes of %d" % (len(body), size))
        else:
            while not body.endswith(b"0\r\n\r\n"):  # chunked
                body += self.receive()
        if self.numbers and body != b"%d " % (number * number) + b"x" * (number % 3000):
            raise ValueError("a wrong answer to %d: %r" % (number, body[:50]))
        return b"connection: close" in lower

    def receive(self):
        got = self.connection.recv(65536)
        if not got:
            raise ValueError("the connection ended within an answer")
        return got

    @staticmethod
    def word():
        """No more than one: select() would not tell of what a buffer holds."""
        word = b""
        while not word.endswith(b"\n"):
            got = os.read(0, 1)
            if not got:
                os._exit(0)
            word += got
        return word.decode().strip()

    def obey(self, word):
        if word == "count":
            print(json.dumps({"requests": self.requests, "failed": self.failed}), flush=True)
        elif word == "pause":
            self.close()
            print("paused", flush=True)
            self.obey(self.word())
        elif word.startswith("go"):
            self.port = int(word.split()[1])
        else:
            os._exit(0)

    def run(self):
        while True:
            try:
                self.request()
            except (OSError, ValueError) as error:
                self.failed = (self.failed + ["%s %r" % (time.strftime("%H:%M:%S"), error)])[:5]
                self.close()
            if select.select([0], [], [], 0.02)[0]:
                self.obey(self.word())


if __name__ == "__main__":
    Load(int(sys.argv[1]), sys.argv[2] == "numbers").run()
