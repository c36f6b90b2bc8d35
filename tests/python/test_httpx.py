"""The transports of httpx against servers that fail, hang, go away and come back."""

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import callboard
import httpx
import pytest
from callboard import Registry
from callboard.httpx import AsyncTransport, Transport


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path, self.headers["host"], body))
        if self.server.hangs:
            time.sleep(1.5)
        said = f"{self.server.name} {self.path}".encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


def serve(name, port=0):
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.name, server.status, server.hangs, server.seen = name, 200, False, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def stop(server):
    server.shutdown()
    server.server_close()


@pytest.fixture
def servers():
    all = [serve(name) for name in ("a", "b", "c")]
    yield all
    for server in all:
        stop(server)


@pytest.fixture
def registry(servers):
    registry = Registry(allow_local_addresses=True)
    for server in servers:
        registry.register("shop", server.name, endpoints=[f"http://127.0.0.1:{server.server_port}"])
    return registry


class Sync:
    def __init__(self, registry, **more):
        self.client = httpx.Client(transport=Transport(registry, ["shop"], **more), timeout=0.5)

    def __call__(self, method, url, **more):
        return self.client.request(method, url, **more)


class Async:
    def __init__(self, registry, **more):
        self.loop = asyncio.new_event_loop()
        self.client = httpx.AsyncClient(transport=AsyncTransport(registry, ["shop"], **more), timeout=0.5)

    def __call__(self, method, url, **more):
        return self.loop.run_until_complete(self.client.request(method, url, **more))


both = pytest.mark.parametrize("client", [Sync, Async])


@both
def test_calls_go_to_all_of_them_under_the_services_name(client, servers, registry):
    call = client(registry, seed=1, policy="round-robin")
    said = {call("GET", "http://shop/a%20b?c=d").text for _ in range(9)}
    assert said == {f"{name} /a%20b?c=d" for name in "abc"}
    assert {host for server in servers for _, _, host, _ in server.seen} == {"shop"}
    other = f"http://127.0.0.1:{servers[0].server_port}/"
    assert call("GET", other).text == "a /", "a host that is no service is called as it is"


@both
def test_what_fails_is_tried_elsewhere_and_what_comes_back_is_called_again(client, servers, registry):
    call = client(registry, seed=1, policy={"preset": "adaptive"})
    port = servers[0].server_port
    stop(servers[0])
    servers[1].status = 503
    assert {call("GET", "http://shop/").text for _ in range(40)} == {"c /"}
    servers[0] = serve("a", port)
    servers[1].status = 200
    start = time.monotonic()
    said = set()
    while said != {"a /", "b /", "c /"}:
        said.add(call("GET", "http://shop/").text)
        assert time.monotonic() - start < 60, said
        time.sleep(0.01)


@both
def test_what_may_not_be_done_twice_is_not(client, servers, registry):
    call = client(registry, seed=1)
    for server in servers:
        server.status = 503
    assert call("POST", "http://shop/", content=b"once").status_code == 503
    assert sum(len(server.seen) for server in servers) == 1
    assert call("PUT", "http://shop/", content=b"again").status_code == 503
    bodies = [body for server in servers for method, _, _, body in server.seen if method == "PUT"]
    assert len(bodies) > 1 and set(bodies) == {b"again"}


def test_a_service_is_called_by_the_host_of_a_url(servers, registry):
    registry.register("Shop", "a", endpoints=[f"http://127.0.0.1:{servers[0].server_port}"])
    for kind in (Transport, AsyncTransport):
        for names in (["a/b"], ["a:1"], ["x@a"], [""], ["Shop", "shop"]):
            with pytest.raises(callboard.InvalidError) as caught:
                kind(registry, names)
            assert caught.value.field in {"services", "service"}
    with httpx.Client(transport=Transport(registry, ["Shop"])) as calls:
        assert calls.get("http://Shop/there").text == "a /there"


@both
def test_a_server_that_hangs_is_left(client, servers, registry):
    call = client(registry, seed=1)
    servers[0].hangs = True
    start = time.monotonic()
    assert {call("GET", "http://shop/").text for _ in range(30)} <= {"b /", "c /"}
    assert time.monotonic() - start < 20


def test_a_call_is_in_flight_until_its_body_is_read(registry):
    transport = Transport(registry, ["shop"], seed=1)
    balancer = transport._caller._balancers["shop"]
    with httpx.Client(transport=transport) as client:
        with client.stream("GET", "http://shop/") as response:
            assert balancer.in_flight == 1
            assert response.read()
        assert balancer.in_flight == 0
        assert balancer.stats()["succeeded"] == 1


def test_a_call_that_is_given_up_between_two_attempts_is_in_flight_nowhere(servers, registry):
    for server in servers:
        server.status = 503
    transport = AsyncTransport(registry, ["shop"], seed=1, policy={"preset": "least-request", "retry": {"first": 30, "most": 30}})

    async def give_up():
        async with httpx.AsyncClient(transport=transport) as client:
            await asyncio.wait_for(client.get("http://shop/"), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(give_up())
    stats = transport._caller._balancers["shop"].stats()
    assert (stats["inflight"], stats["failed"], stats["cancelled"]) == (0, 1, 1)
