"""The middleware of aiohttp against servers that fail, hang, go away and come back."""

import asyncio
import contextlib
import functools
import socket
import time

import aiohttp
import callboard
import pytest
from aiohttp import web
from callboard import Registry
from callboard.aiohttp import Middleware

# Of an attempt, and of all.
TIMES = aiohttp.ClientTimeout(total=30, sock_connect=1, sock_read=0.5)


class Server:
    """A server of aiohttp that does as it is told, on a port that stays its own."""

    def __init__(self, name):
        self.name, self.status, self.headers, self.hangs, self.breaks, self.seen, self.port = name, 200, {}, False, False, [], 0

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self):
        await self.runner.cleanup()

    async def answer(self, request):
        self.seen.append((request.method, request.raw_path, request.headers["host"], await request.read()))
        if self.hangs:
            await asyncio.sleep(5)
        said = f"{self.name} {request.raw_path}".encode()
        if self.breaks:
            response = web.StreamResponse(headers={"content-length": str(len(said) + 1)})
            await response.prepare(request)
            await response.write(said)
            request.transport.close()
            return response
        return web.Response(status=self.status, headers=self.headers, body=said)


class Shop:
    """Three servers of a service, and a session that calls it by its name."""

    def __init__(self, **settings):
        self.servers = [Server(name) for name in "abc"]
        self.registry, self.settings = Registry(allow_local_addresses=True), {"seed": 1, **settings}

    async def __aenter__(self):
        for server in self.servers:
            await server.start()
            self.registry.register("shop", server.name, endpoints=[f"http://127.0.0.1:{server.port}"])
        self.middleware = Middleware(self.registry, ["shop"], **self.settings)
        self.session = aiohttp.ClientSession(middlewares=[self.middleware], timeout=TIMES)
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        for server in self.servers:
            await server.stop()
        stats = self.stats()
        assert (stats["inflight"], stats["reaped"]) == (0, 0), "a pick leaked"

    def stats(self):
        return self.middleware._balancers["shop"].stats()

    def seen(self):
        return [seen for server in self.servers for seen in server.seen]

    async def said(self, method="GET", url="http://shop/", **more):
        async with self.session.request(method, url, **more) as response:
            return response.status, (await response.text()).split()[0]


def in_a_loop(test):
    @functools.wraps(test)
    def run(*args, **more):
        asyncio.run(asyncio.wait_for(test(*args, **more), 60))

    return run


@in_a_loop
async def test_calls_go_to_all_of_them_under_the_services_name():
    async with Shop(policy="round-robin") as shop:
        answers = set()
        for _ in range(9):
            async with shop.session.get("http://shop/a%20b?c=d") as response:
                assert str(response.url) == "http://shop/a%20b?c=d"
                answers.add(await response.text())
        assert answers == {f"{name} /a%20b?c=d" for name in "abc"}
        assert {host for _, _, host, _ in shop.seen()} == {"shop"}
        other = f"http://127.0.0.1:{shop.servers[0].port}/"
        assert await shop.said(url=other) == (200, "a"), "a host that is no service is called as it is"
        assert shop.stats()["succeeded"] == 9


@in_a_loop
async def test_what_fails_is_tried_elsewhere_and_what_comes_back_is_called_again():
    async with Shop() as shop:
        a, b, _ = shop.servers
        await a.stop()
        b.status = 503
        assert {await shop.said() for _ in range(40)} == {(200, "c")}
        # Who fails is asked less and less.
        assert len(b.seen) < 15
        await a.start()
        b.status = 200
        start, said = time.monotonic(), set()
        while said != {(200, name) for name in "abc"}:
            said.add(await shop.said())
            assert time.monotonic() - start < 40, said
            await asyncio.sleep(0.01)


@in_a_loop
async def test_a_server_that_hangs_is_left():
    async with Shop() as shop:
        shop.servers[0].hangs = True
        start = time.monotonic()
        assert {await shop.said() for _ in range(30)} <= {(200, "b"), (200, "c")}
        assert time.monotonic() - start < 20
        assert shop.stats()["failed"] == len(shop.servers[0].seen) > 0


@in_a_loop
async def test_a_total_time_that_is_over_is_the_instances_fault_and_no_other_is_asked():
    async with Shop() as shop:
        for server in shop.servers:
            server.hangs = True
        with pytest.raises(asyncio.TimeoutError):
            await shop.said(timeout=aiohttp.ClientTimeout(total=0.3))
        stats = shop.stats()
        assert (stats["failed"], stats["cancelled"], len(shop.seen())) == (1, 0, 1)


@in_a_loop
async def test_a_total_time_that_is_over_while_connecting_is_the_instances_fault():
    async with Shop() as shop, contextlib.AsyncExitStack() as open_sockets:
        for name in "abc":
            shop.registry.deregister("shop", name)
        # A server that accepts nobody: when as many wait as may, the next one hears nothing.
        hole = socket.create_server(("127.0.0.1", 0), backlog=0)
        open_sockets.callback(hole.close)
        for _ in range(3):
            waiting = socket.socket()
            open_sockets.callback(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        shop.registry.register("shop", "hole", endpoints=[f"http://127.0.0.1:{hole.getsockname()[1]}"])
        with pytest.raises(asyncio.TimeoutError):
            await shop.said(timeout=aiohttp.ClientTimeout(total=0.3))
        stats = shop.stats()
        assert (stats["failed"], stats["cancelled"]) == (1, 0)


@in_a_loop
async def test_what_may_not_be_done_twice_is_not():
    async with Shop() as shop:
        for server in shop.servers:
            server.status = 503
        assert (await shop.said("POST", data=b"once"))[0] == 503
        assert len(shop.seen()) == 1

        async def stream():
            yield b"once"

        assert (await shop.said("PUT", data=stream()))[0] == 503
        assert len(shop.seen()) == 2


@pytest.mark.parametrize(
    ("body", "sent"), [({"data": b"again"}, b"again"), ({"json": [1]}, b"[1]"), ({"data": {"a": "b"}}, b"a=b"), ({"data": b"x" * 300_000}, b"x" * 300_000)]
)
@in_a_loop
async def test_a_body_that_can_be_sent_again_is(body, sent):
    async with Shop() as shop:
        for server in shop.servers:
            server.status = 503
        assert (await shop.said("PUT", **body))[0] == 503
        bodies = [seen for *_, seen in shop.seen()]
        assert len(bodies) > 1 and set(bodies) == {sent}


@in_a_loop
async def test_who_asks_to_be_spared_is():
    async with Shop() as shop:
        shop.servers[0].status, shop.servers[0].headers = 429, {"Retry-After": "60"}
        while not shop.servers[0].seen:
            assert (await shop.said())[0] == 200
        assert {await shop.said() for _ in range(40)} <= {(200, "b"), (200, "c")}
        assert len(shop.servers[0].seen) == 1


@in_a_loop
async def test_a_time_to_be_spared_that_nobody_can_mean_is_none():
    async with Shop() as shop:
        for server in shop.servers:
            server.status, server.headers = 429, {"Retry-After": "9" * 400}
        assert (await shop.said())[0] == 429


@in_a_loop
async def test_nobody_is_a_typed_error():
    async with Shop() as shop:
        for name in "abc":
            shop.registry.deregister("shop", name)
        with pytest.raises(callboard.UnavailableError) as caught:
            await shop.said()
        assert caught.value.code == "no-instances"


@in_a_loop
async def test_a_storm_is_stopped_by_the_budget():
    async with Shop(policy={"preset": "least-request", "retry": {"first": 0, "most": 0, "budget": {"kind": "share", "reserve": 0, "share": 0.2}}}) as shop:
        for server in shop.servers:
            server.status = 503
        for _ in range(100):
            assert (await shop.said())[0] == 503
        assert len(shop.seen()) <= 125


@in_a_loop
async def test_a_call_is_in_flight_until_its_body_is_read():
    async with Shop() as shop:
        async with shop.session.get("http://shop/" + "x" * 4000) as response:
            # Of a body that came with its headers, the end was there before anybody could ask.
            await response.read()
        assert shop.stats()["inflight"] == 0
        shop.servers[0].breaks = shop.servers[1].breaks = shop.servers[2].breaks = True
        with pytest.raises(aiohttp.ClientPayloadError):
            async with shop.session.get("http://shop/") as response:
                assert shop.stats()["inflight"] == 1
                await response.read()
        stats = shop.stats()
        assert (stats["succeeded"], stats["failed"], stats["inflight"]) == (1, 1, 0), "a body that broke off is a failure"


@in_a_loop
async def test_a_call_that_is_given_up_between_two_attempts_is_in_flight_nowhere():
    async with Shop(policy={"preset": "least-request", "retry": {"first": 30, "most": 30}}) as shop:
        for server in shop.servers:
            server.status = 503
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(shop.said(), 0.5)
        stats = shop.stats()
        assert (stats["inflight"], stats["failed"], stats["cancelled"]) == (0, 1, 1)


@in_a_loop
async def test_a_redirect_goes_by_the_name():
    async with Shop() as shop:
        for server in shop.servers:
            server.status, server.headers = 302, {"Location": "/there"}
        with pytest.raises(aiohttp.TooManyRedirects):
            await shop.said(max_redirects=5)
        assert {host for _, _, host, _ in shop.seen()} == {"shop"}
        assert len(shop.seen()) == 5


@in_a_loop
async def test_a_service_is_called_by_the_host_of_a_url():
    async with Shop() as shop:
        shop.registry.register("Shop", "a", endpoints=[f"http://127.0.0.1:{shop.servers[0].port}"])
        async with aiohttp.ClientSession(middlewares=[Middleware(shop.registry, ["Shop"])]) as session, session.get("http://Shop//there/x") as response:
            assert await response.text() == "a //there/x"
        for names in (["a/b"], ["a:1"], ["x@a"], [""], ["Shop", "shop"]):
            with pytest.raises(callboard.InvalidError) as caught:
                Middleware(shop.registry, names)
            assert caught.value.field in {"services", "service"}
