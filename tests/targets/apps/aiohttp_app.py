"""aiohttp on uvloop: what is kept is a local variable of a coroutine that waits."""

import asyncio
import sys

import uvloop
from aiohttp import web

import kept


async def page(request):
    await asyncio.sleep(0.002)
    return web.json_response({"numbers": list(range(100)), "path": request.path})


async def hold():
    held = tuple(kept.some())
    await asyncio.sleep(10000)
    return held


async def start(application):
    application["holder"] = asyncio.ensure_future(hold())


uvloop.install()
APPLICATION = web.Application()
APPLICATION.router.add_get("/", page)
APPLICATION.on_startup.append(start)
web.run_app(APPLICATION, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=asyncio.new_event_loop())
