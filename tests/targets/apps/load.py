"""HTTP load on 127.0.0.1: `python3 load.py PORT SECONDS`. Prints JSON when it is over.

Half of the connections are kept for 20 requests, the others ask to be closed after one; for these it is measured how long after
the answer the end of the connection comes. At most 6 connections at a time and 20,000 requests.
"""

import asyncio
import json
import sys
import time

MOST = 20000


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(None, 2)[1])
    lower = head.lower()
    if b"content-length:" in lower:
        body = await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
    elif b"chunked" in lower:
        body = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            part = await reader.readexactly(size + 2)
            if size == 0:
                break
            body += part[:-2]
    else:
        body = await reader.read()
    return status, body, b"connection: close" in lower


async def visitor(port, until, totals, keep):
    while time.monotonic() < until and totals["requests"] < MOST:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 10)
            for turn in range(20 if keep else 1):
                started = time.monotonic()
                wanted = b"keep-alive" if keep and turn < 19 else b"close"
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: " + wanted + b"\r\n\r\n")
                status, body, closing = await asyncio.wait_for(read_answer(reader), 10)
                answered = time.monotonic()
                totals["requests"] += 1
                totals["slowest"] = max(totals["slowest"], answered - started)
                if status != 200 or not body:
                    totals["failed"].append("status %d" % status)
                if closing or wanted == b"close":
                    await asyncio.wait_for(reader.read(), 10)
                    totals["latest_end"] = max(totals["latest_end"], time.monotonic() - answered)
                    break
                if time.monotonic() > until:
                    break
            writer.close()
        except Exception as error:  # any of them is a request that failed
            totals["failed"].append(repr(error))
        if len(totals["failed"]) > 20:
            return


async def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    totals = {"requests": 0, "slowest": 0.0, "latest_end": 0.0, "failed": []}
    until = time.monotonic() + seconds
    await asyncio.gather(*(visitor(port, until, totals, number % 2 == 0) for number in range(6)))
    print(json.dumps(totals))


asyncio.run(main())
