"""A consumer: it follows the board, picks an instance for every request, and says how the request went.

    CALLBOARD=http://127.0.0.1:7400 SERVICE=billing python consumer.py

One JSON document a line on stdout; ends when stdin does.
"""

import asyncio
import json
import os
import sys
import time

import httpx
from callboard import Balancer, Error, Query, Registry
from follow import Follower

BOARD = os.environ.get("CALLBOARD", "http://127.0.0.1:7400")
SERVICE = os.environ.get("SERVICE", "billing")
LANES, PAUSE = 4, 0.04  # requests at a time, and seconds between two of one lane

# The providers of the demo are on this machine; addresses that a server has no business to name are refused otherwise.
registry = Registry(allow_local_addresses=True)
balancer = Balancer(registry, Query(SERVICE), policy="least-request")
follower = Follower(registry, "default", SERVICE)
over = asyncio.Event()
requests = 0


def say(event: str, **details: object) -> None:
    print(json.dumps({"event": event, **details}), flush=True)


async def follow(http: httpx.AsyncClient, wait: float) -> None:
    response = await http.get(BOARD + follower.path(wait), timeout=wait + 10)
    follower.feed(response.raise_for_status().content)
    say("view", at=time.time() * 1e3, instances={i.id: i.availability for i in registry.query(Query(SERVICE)).instances})


async def follow_forever(http: httpx.AsyncClient) -> None:
    while True:
        try:
            await follow(http, wait=30)
        except httpx.HTTPError as error:
            print(f"no registry, going on with what is known: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)


async def request(http: httpx.AsyncClient, key: str) -> None:
    at, id, ok = time.time() * 1e3, None, True
    try:
        with balancer.pick(key=key) as instance:  # a block that raises is a failure, any other a success
            id = instance.id
            (await http.get(f"{instance.url}/invoices?user={key}", timeout=5)).raise_for_status()
    except (httpx.HTTPError, Error) as error:
        ok = False
        print(f"{id}: {error!r}", file=sys.stderr, flush=True)
    say("request", at=at, ms=time.time() * 1e3 - at, id=id, key=key, ok=ok)


async def lane(http: httpx.AsyncClient) -> None:
    global requests
    while not over.is_set():
        requests += 1
        await request(http, key=f"user-{requests % 97}")
        await asyncio.sleep(PAUSE)


async def main() -> None:
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: over.set())
    async with httpx.AsyncClient(trust_env=False) as http:
        await follow(http, wait=0)
        following = asyncio.create_task(follow_forever(http))
        await asyncio.gather(*(lane(http) for _ in range(LANES)))
        following.cancel()
    say("done", requests=requests)


asyncio.run(main())
