"""asyncio's server under HTTP load."""

import asyncio
import time

from kind import Kind, descriptors, say
from lines import Lines


class Server(Kind):
    """asyncio under HTTP load from another process, which checks every answer."""

    def start(self):
        self.connections = set()

    async def answer(self, reader, writer):
        self.connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                number = int(head.split(b" ", 2)[1].lstrip(b"/"))
                await asyncio.sleep(0.001)
                self.did("a square", sum(range(1, 2 * number, 2)), number * number)
                body = b"%d " % (number * number) + b"x" * (number % 3000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
                self.steps += 1
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    async def serve(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.ready()
        say({"ready": self.port})
        lines = Lines(self)
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()

        def on_readable():
            answer = lines.take()
            while answer is None and lines.more():
                answer = lines.take()
            if answer is not None and not self.ended.done():
                self.ended.set_result(answer)

        loop.add_reader(0, on_readable)
        timers = loop.create_task(self.tick())
        answer = await self.ended
        timers.cancel()
        return answer

    async def tick(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            if time.monotonic() - before < 0.045:
                self.say_harm("asyncio.sleep(0.05) took %.6f s" % (time.monotonic() - before))
            self.drain()

    def own_descriptors(self):
        # Connections come and go; what is no socket is none of them.
        return [fd for fd, status in descriptors().items() if fd not in self.own and status[2] & 0o170000 == 0o140000]
