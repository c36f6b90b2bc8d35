"""A registry in an ASGI app: callboard's HTTP API and those of Consul, Eureka and Nacos.

    pip install callboard uvicorn
    uvicorn registry:app --port 7400 --timeout-graceful-shutdown 5

uvicorn waits for streams that are open when it stops, and they have no end of their own: hence the time it may wait. Or inside the app you already
have, below a path of its own (Starlette, FastAPI):

    app.mount("/registry", Board())

Everything that is decided is decided by callboard; this file brings the socket, the clock and the tasks. The registry is in memory: one process
serves it, and with several workers each would have its own. `CALLBOARD_STORE` names an engine that keeps it (`stores.py` beside this file):

    CALLBOARD_STORE=sqlite:registry.db uvicorn registry:app --port 7400

A change is then acknowledged when the engine has it. While the engine is down, changes are answered 503 and stay in memory until it is back; reads and
heartbeats go on. Several servers may share an etcd instead (`shared.py`).

What is in hand has bounds: requests, large bodies, long polls, and how long a body may take. `CALLBOARD_BOUNDS='{"waits": 100}'` sets others than are usual; what
comes above them is answered 503. How many connections there are, and for how long they say nothing, is uvicorn's affair: where strangers may connect, a proxy
before it is to bound them.

With TLS: `uvicorn registry:app --ssl-certfile cert.pem --ssl-keyfile key.pem`.
"""

import asyncio
import json
import os
import sys
from urllib.parse import quote

from callboard import Registry, Server, is_heartbeat, now, pieces, respond


class Board:
    """An ASGI application over one registry."""

    def __init__(self, registry: Registry | None = None, server: Server | None = None, engine=None, shared=None) -> None:
        self.registry = registry or (engine.recover() if engine else Registry())
        self.server, self.engine, self.keeping = server or Server(), engine, asyncio.Lock()
        # Made of the registry, with etcd's address and more.
        self.shared = shared and shared(self.registry)
        self.timer: asyncio.Task | None = None

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            return await self.live(receive, send)
        if scope["type"] != "http":
            raise RuntimeError(f"a registry speaks HTTP, not {scope['type']}")
        # An app that is mounted in another is told of no lifespan.
        if self.timer is None:
            self.start()
        read = asyncio.Event()
        # As it was sent: an escaped slash is no slash. What it is mounted below is not ours.
        path = scope.get("raw_path") or quote(scope["path"]).encode()
        path = path.decode("ascii", "replace").removeprefix(quote(scope.get("root_path", "")))
        reply = asyncio.ensure_future(self.serve(scope, path, parts(receive, read), send))
        gone = asyncio.ensure_future(hung_up(receive, read))
        # A long poll, and a stream, end with the connection of whoever asked.
        await asyncio.wait({reply, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not reply.done():
            reply.cancel()
            return
        reply.result()

    async def serve(self, scope, path: str, body, send) -> None:
        method, query = scope["method"], scope["query_string"].decode("ascii", "replace")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        peer = scope["client"][0] if scope.get("client") else None
        response = await respond(self.registry, method, path, query, body, headers=headers, peer=peer, server=self.server)
        if method != "GET":
            if is_heartbeat(method, path, query):
                # It may be news to other servers, but waits for nobody.
                self.wake()
            elif response.status < 400 and (problem := await self.keep()):
                return await answer(send, 503, [("content-type", "text/plain")], f"{problem}\n".encode())
        if response.more is None:
            return await answer(send, response.status, response.headers, response.body)
        await start(send, response.status, response.headers)
        async for piece in pieces(self.registry, response):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    def start(self) -> None:
        self.timer = asyncio.create_task(self.keep_time())
        if self.shared:
            self.shared.start()

    def wake(self) -> None:
        if self.shared:
            self.shared.changed.set()

    async def keep(self) -> Exception | str | None:
        """Has the engine keep what has changed; why it could not. Whoever waits meanwhile shares the next write."""
        if self.shared:
            return None if await self.shared.kept() else "whether this is kept is not known: the engine does not answer"
        if self.engine is None:
            return None
        async with self.keeping:
            try:
                # By another thread: the registry may be changed and asked meanwhile.
                await asyncio.to_thread(self.engine.keep, self.registry)
            except Exception as problem:
                print(f"the engine did not take what has changed: {problem!r}", file=sys.stderr)
                return problem
        return None

    async def keep_time(self) -> None:
        """Lets leases end when they are due, also when nobody asks."""
        while True:
            due = self.registry.deadline
            # A change may have brought an earlier one, but none within a second: that is the shortest lease.
            await asyncio.sleep(0.5 if due is None else min(max(due - now(), 0) / 1e6, 0.5))
            self.registry.advance()
            # What time did, and what an engine did not take before.
            if self.shared:
                self.wake()
            else:
                await self.keep()

    async def live(self, receive, send) -> None:
        await receive()
        self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.timer.cancel()
        if self.shared:
            self.shared.stop()
        await send({"type": "lifespan.shutdown.complete"})


async def parts(receive, read: asyncio.Event):
    """The body, piece by piece."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("whoever asked hung up before the end")
        more = message.get("more_body", False)
        yield message.get("body", b"")
    read.set()


async def hung_up(receive, read: asyncio.Event) -> None:
    await read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def start(send, status, headers) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def answer(send, status, headers, body) -> None:
    await start(send, status, [*headers, ("content-length", str(len(body)))])
    await send({"type": "http.response.body", "body": body})


def engine_of(url):
    from stores import engine

    return engine(url)


def shared_at(url, queue):
    from shared import Shared

    return lambda registry: Shared(registry, url, queue=queue)


app = Board(
    server=Server(bounds=json.loads(os.environ.get("CALLBOARD_BOUNDS", "{}"))),
    engine=engine_of(os.environ["CALLBOARD_STORE"]) if "CALLBOARD_STORE" in os.environ else None,
    shared=shared_at(os.environ["CALLBOARD_SHARE"], int(os.environ.get("CALLBOARD_QUEUE", "0"))) if "CALLBOARD_SHARE" in os.environ else None,
)
