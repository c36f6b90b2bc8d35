"""The channels of grpcio against servers that fail, hang, go away and come back."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import callboard
import grpc
import grpc.aio
import pytest
from callboard import Registry
from callboard.grpc import AsyncChannel, Channel

SAY, WRITE, MANY, CHAT, COUNT = (f"/shop.Shop/{name}" for name in ("Say", "Write", "Many", "Chat", "Count"))
PROMPT = {"retry": {"first": 0, "most": 0}, "hold": {}}


class Server:
    """A server of grpcio that does as it is told, on a port that stays its own."""

    def __init__(self, name):
        self.name, self.status, self.trailers, self.hangs, self.seen, self.port = name, grpc.StatusCode.OK, (), False, [], 0
        self.start()

    def start(self):
        self.server = grpc.server(ThreadPoolExecutor(8))
        unary = grpc.unary_unary_rpc_method_handler
        handlers = {
            "Say": unary(self.say),
            "Write": unary(self.say),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Count": grpc.stream_unary_rpc_method_handler(self.count),
        }
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Shop", handlers)])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()

    def say(self, request, context):
        self.seen.append(request)
        if self.hangs:
            time.sleep(1.2)
        context.set_trailing_metadata(self.trailers)
        if self.status != grpc.StatusCode.OK:
            context.abort(self.status, "as told")
        return self.name.encode()

    def many(self, request, context):
        for number in range(3):
            yield f"{self.name} {number}".encode()
            time.sleep(0.05)
            if self.status != grpc.StatusCode.OK:
                context.abort(self.status, "as told")

    def chat(self, requests, context):
        for request in requests:
            yield self.name.encode() + b" " + request

    def count(self, requests, context):
        return f"{self.name} {sum(1 for _ in requests)}".encode()


class Sync:
    """Calls by the synchronous channel."""

    def __init__(self, registry, **settings):
        self.channel = Channel(registry, "shop", idempotent=[SAY], attempt=0.5, **settings)
        self.balancer = self.channel._caller._balancer

    def call(self, method=SAY, request=b"hello", timeout=10):
        return self.channel.unary_unary(method)(request, timeout=timeout)

    def many(self):
        return list(self.channel.unary_stream(MANY)(b"", timeout=5))

    def chat(self):
        return list(self.channel.stream_stream(CHAT)(iter([b"1", b"2"]), timeout=5))

    def count(self):
        return self.channel.stream_unary(COUNT)(iter([b"1", b"2"]), timeout=5)

    def leave(self):
        """Begins to read a stream, and leaves it."""
        call = self.channel.unary_stream(MANY)(b"", timeout=5)
        assert next(call).endswith(b"0")
        assert self.balancer.in_flight == 1
        call.cancel()

    def read_while(self, change):
        call = self.channel.unary_stream(MANY)(b"", timeout=5)
        first = next(call)
        change()
        self.call()
        return [first, *call]

    def give_up(self):
        call = self.channel.unary_unary(SAY).future(b"hello")
        time.sleep(0.2)
        assert call.cancel()

    def rest(self):
        time.sleep(0.1)

    def close(self):
        self.channel.close()


class Futures(Sync):
    """The same, with calls for which nobody waits at once."""

    def call(self, method=SAY, request=b"hello", timeout=10):
        done = threading.Event()
        future = self.channel.unary_unary(method).future(request, timeout=timeout)
        future.add_done_callback(lambda own: done.set() if own is future else None)
        try:
            answer = future.result(30)
        except grpc.RpcError as error:
            assert future.exception() is error and future.code() == error.code()
            raise
        finally:
            assert done.wait(5) and future.done() and not future.cancel()
        assert future.code() == grpc.StatusCode.OK and not future.cancelled() and future.initial_metadata() is not None
        return answer

    def give_up(self):
        call = self.channel.unary_unary(SAY).future(b"hello")
        with pytest.raises(grpc.FutureTimeoutError):
            call.result(0.2)
        assert call.running() and call.cancel() and call.cancelled() and call.code() == grpc.StatusCode.CANCELLED
        with pytest.raises(grpc.FutureCancelledError):
            call.result()


class Async:
    """The same by the asynchronous one."""

    def __init__(self, registry, **settings):
        self.loop = asyncio.new_event_loop()
        self.channel = AsyncChannel(registry, "shop", idempotent=[SAY], attempt=0.5, **settings)
        self.balancer = self.channel._caller._balancer

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    def call(self, method=SAY, request=b"hello", timeout=10):
        async def call():
            begun = self.channel.unary_unary(method)(request, timeout=timeout)
            try:
                answer = await begun
            except grpc.RpcError as error:
                assert await begun.code() == error.code()
                raise
            assert await begun.code() == grpc.StatusCode.OK and begun.done() and await begun.initial_metadata() is not None
            return answer

        return self.run(call())

    def many(self):
        async def many():
            return [part async for part in self.channel.unary_stream(MANY)(b"", timeout=5)]

        return self.run(many())

    def chat(self):
        async def chat():
            call = self.channel.stream_stream(CHAT)(timeout=5)
            for request in (b"1", b"2"):
                await call.write(request)
            await call.done_writing()
            return [part async for part in call]

        return self.run(chat())

    def count(self):
        async def count():
            return await self.channel.stream_unary(COUNT)(iter([b"1", b"2"]), timeout=5)

        return self.run(count())

    def leave(self):
        async def leave():
            call = self.channel.unary_stream(MANY)(b"", timeout=5)
            assert (await call.read()).endswith(b"0")
            assert self.balancer.in_flight == 1
            call.cancel()

        self.run(leave())

    def read_while(self, change):
        async def begin():
            parts = aiter(self.channel.unary_stream(MANY)(b"", timeout=5))
            return parts, await anext(parts)

        async def end(parts):
            return [part async for part in parts]

        parts, first = self.run(begin())
        change()
        self.call()
        return [first, *self.run(end(parts))]

    def give_up(self):
        async def give_up():
            begun = self.channel.unary_unary(SAY)(b"hello")
            await asyncio.sleep(0.2)
            assert begun.cancel()
            with pytest.raises(asyncio.CancelledError):
                await begun
            assert await begun.code() == grpc.StatusCode.CANCELLED
            never = self.channel.unary_unary(SAY)(b"hello")
            never.cancel()
            assert await never.code() == grpc.StatusCode.CANCELLED

        self.run(give_up())

    def rest(self):
        self.run(asyncio.sleep(0.1))

    def close(self):
        self.run(self.channel.close())
        self.loop.close()


@pytest.fixture
def servers():
    all = [Server(name) for name in "abc"]
    yield all
    for server in all:
        server.stop()


@pytest.fixture
def registry(servers):
    registry = Registry(allow_local_addresses=True)
    for server in servers:
        registry.register("shop", server.name, endpoints=[f"http://127.0.0.1:{server.port}"])
    return registry


@pytest.fixture(params=[Sync, Futures, Async])
def open(request, registry):
    clients = []

    def open(**settings):
        clients.append(request.param(registry, seed=1, **{"policy": {"preset": "least-request", **PROMPT}, **settings}))
        return clients[0]

    yield open
    for client in clients:
        client.rest()
        stats = client.balancer.stats()
        client.close()
        assert (stats["inflight"], stats["reaped"]) == (0, 0), "a pick leaked"


def test_calls_go_to_all_of_them_and_streams_to_one_each(open):
    client = open(policy="round-robin")
    assert {client.call() for _ in range(6)} == {b"a", b"b", b"c"}
    assert {client.call(WRITE) for _ in range(6)} == {b"a", b"b", b"c"}
    assert {tuple(client.many()) for _ in range(6)} == {tuple(f"{name} {number}".encode() for number in range(3)) for name in "abc"}
    assert {tuple(client.chat()) for _ in range(6)} == {(name + b" 1", name + b" 2") for name in (b"a", b"b", b"c")}
    assert {client.count() for _ in range(6)} == {b"a 2", b"b 2", b"c 2"}
    client.rest()
    assert client.balancer.stats()["succeeded"] == 30


def test_what_fails_is_tried_elsewhere_and_what_comes_back_is_called_again(open, servers):
    client = open()
    client.call()
    servers[0].stop()
    servers[1].status = grpc.StatusCode.UNAVAILABLE
    assert {client.call() for _ in range(15)} == {b"c"}
    servers[0].start()
    servers[1].status = grpc.StatusCode.OK
    start, said = time.monotonic(), set()
    while said != {b"a", b"b", b"c"}:
        said.add(client.call())
        assert time.monotonic() - start < 30, said
        time.sleep(0.01)


def test_a_server_that_hangs_is_left(open, servers):
    client = open()
    servers[0].hangs = True
    while not servers[0].seen:
        assert client.call() in {b"b", b"c"}
    # All the time there is: nobody else is asked when it is over.
    before = sum(len(server.seen) for server in servers)
    for server in servers:
        server.hangs = True
    with pytest.raises(grpc.RpcError) as caught:
        client.call(timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert sum(len(server.seen) for server in servers) == before + 1


def test_what_may_not_be_done_twice_is_not(open, servers):
    client = open()
    for server in servers:
        server.status = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.RpcError):
        client.call(WRITE)
    assert sum(len(server.seen) for server in servers) == 1
    with pytest.raises(grpc.RpcError) as caught:
        client.call()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert sum(len(server.seen) for server in servers) == 1 + 3
    # What is nobody's fault is told at once.
    for server in servers:
        server.status = grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError):
        client.call()
    assert sum(len(server.seen) for server in servers) == 5


def test_who_asks_to_be_spared_is(open, servers):
    client = open()
    servers[0].status, servers[0].trailers = grpc.StatusCode.RESOURCE_EXHAUSTED, [("grpc-retry-pushback-ms", "60000")]
    while not servers[0].seen:
        client.call()
    assert {client.call() for _ in range(30)} <= {b"b", b"c"}
    assert len(servers[0].seen) == 1
    # Or that nobody is asked again.
    for server in servers:
        server.status, server.trailers = grpc.StatusCode.UNAVAILABLE, [("grpc-retry-pushback-ms", "-1")]
    before = sum(len(server.seen) for server in servers)
    with pytest.raises(grpc.RpcError):
        client.call()
    assert sum(len(server.seen) for server in servers) == before + 1


def test_nobody_is_a_typed_error(open, registry):
    client = open()
    for name in "abc":
        registry.deregister("shop", name)
    for call in (client.call, client.many):
        with pytest.raises(callboard.UnavailableError) as caught:
            call()
        assert caught.value.code == "no-instances"


def test_a_storm_is_stopped_by_the_budget(open, servers):
    client = open(policy={"preset": "least-request", "retry": {"first": 0, "most": 0, "budget": {"kind": "share", "reserve": 0, "share": 0.2}}})
    for server in servers:
        server.status = grpc.StatusCode.UNAVAILABLE
    for _ in range(60):
        with pytest.raises(grpc.RpcError):
            client.call()
    assert 61 <= sum(len(server.seen) for server in servers) <= 75


def test_a_stream_that_fails_or_is_left_is_told_of(open, servers):
    client = open()
    client.leave()
    client.rest()
    assert client.balancer.stats()["cancelled"] == 1
    for server in servers:
        server.status = grpc.StatusCode.INTERNAL
    with pytest.raises(grpc.RpcError):
        client.many()
    client.rest()
    stats = client.balancer.stats()
    assert (stats["failed"], stats["inflight"]) == (1, 0)


def test_a_call_that_is_given_up_is_in_flight_nowhere(open, servers):
    client = open(policy={"preset": "least-request", "retry": {"first": 30, "most": 30}})
    for server in servers:
        if type(client) is Sync:
            server.hangs = True
        else:
            server.status = grpc.StatusCode.UNAVAILABLE
    client.give_up()
    client.rest()
    stats = client.balancer.stats()
    assert (stats["inflight"], stats["cancelled"] > 0) == (0, True)


def test_the_channel_of_who_leaves_is_closed_when_its_last_call_is_over(open, servers, registry):
    client = open(policy="round-robin")
    lines = client.channel._caller.lines
    for _ in range(3):
        client.call()
    assert len(lines._lines) == 3

    def leave():
        for name in "abc":
            registry.deregister("shop", name)
        registry.register("shop", "d", endpoints=[f"http://127.0.0.1:{servers[0].port}"])

    assert len(client.read_while(leave)) == 3, "a stream goes on"
    client.rest()
    client.call()
    # Who moved is called where it is now.
    registry.register("shop", "d", endpoints=[f"http://127.0.0.1:{servers[2].port}"])
    assert {client.call() for _ in range(4)} == {b"c"}
    client.call()
    assert len(lines._lines) == 1 and not lines._left


def test_threads_share_a_channel(registry):
    with Channel(registry, "shop", policy="round-robin", seed=1) as channel:
        say = channel.unary_unary(SAY)
        said = []
        threads = [threading.Thread(target=lambda: said.extend(say(b"hello", timeout=10) for _ in range(20))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(said) == 80 and set(said) == {b"a", b"b", b"c"}
        assert channel._caller._balancer.stats()["succeeded"] == 80
