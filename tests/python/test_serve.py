"""The HTTP API as plain calls, and payloads of other registries."""

import asyncio
import itertools
import json

import callboard
import pytest
from callboard import Registry, Response, Wait, _watch, pieces, respond

SECOND = 1_000_000
PATH = "/v1/instances/default/billing"
CONSUL = """[{"Node": {"Node": "n1", "Address": "10.0.0.9"}, "Checks": [{"Status": "passing"}],
              "Service": {"ID": "w1", "Service": "web", "Address": "10.0.0.9", "Port": 80, "Meta": {"env": "prod"}}}]"""


def raises(code, field, call, *args, **kwargs):
    with pytest.raises(callboard.Error) as caught:
        call(*args, **kwargs)
    assert (caught.value.code, caught.value.field) == (code, field), str(caught.value)


def test_a_request_gets_a_response():
    registry = Registry()
    done = registry.handle("PUT", PATH + "/b1", "mode=create", json.dumps({"ttl": 30}), now=0)
    assert isinstance(done, Response) and done.status == 201
    assert json.loads(done.body)["handle"] == registry.lookup("billing", "b1").handle
    answer = registry.handle("GET", PATH, now=0)
    assert [one["id"] for one in json.loads(answer.body)["instances"]] == ["b1"]
    assert dict(answer.headers)["x-callboard-revision"] == "1"
    assert registry.handle("GET", "/nowhere").status == 404
    assert registry.handle("PUT", PATH + "/b1", "", b"\xff{").status == 400
    assert json.loads(registry.handle("GET", "/v1/openapi.json").body)["openapi"].startswith("3.")


def test_a_long_poll_waits_until_something_changes():
    registry = Registry()
    registry.register("billing", id="b1", now=0)
    position = f"epoch={registry.epoch}&revision={registry.revision}&wait=10"
    wait = registry.handle("GET", PATH, position, now=0)
    assert isinstance(wait, Wait) and wait.until == 10 * SECOND and "until" in repr(wait)
    registry.register("other", id="o1", now=SECOND)
    assert wait.resume(now=SECOND) is wait
    registry.register("billing", id="b2", now=2 * SECOND)
    assert len(json.loads(wait.resume(now=2 * SECOND).body)["instances"]) == 2


def test_a_long_poll_ends_in_time():
    registry = Registry()
    position = f"epoch={registry.epoch}&revision={registry.revision}&wait=10"
    wait = registry.handle("GET", PATH, position, now=0)
    assert wait.resume(now=10 * SECOND - 1) is wait
    assert wait.resume(now=10 * SECOND).status == 200


def test_asyncio_answers_a_long_poll():
    registry = Registry()

    def position(wait):
        return f"epoch={registry.epoch}&revision={registry.revision}&wait={wait}"

    async def main():
        poll = asyncio.create_task(respond(registry, "GET", PATH, position(60)))
        await asyncio.sleep(0.01)
        registry.register("other", id="o1")
        await asyncio.sleep(0.01)
        assert not poll.done()
        assert (await respond(registry, "PUT", PATH + "/b1", body=b"{}")).status == 201
        found = await asyncio.wait_for(poll, 10)
        late = await asyncio.wait_for(respond(registry, "GET", PATH, position(1)), 10)
        return found, late

    found, late = asyncio.run(main())
    assert len(json.loads(found.body)["instances"]) == 1 and late.status == 200


def test_a_change_wakes_only_the_polls_it_concerns(monkeypatch):
    registry = Registry()
    woken = []

    def counted(loop, event, real=_watch._waker):
        wake = real(loop, event)
        return lambda: (woken.append(event), wake())

    monkeypatch.setattr(_watch, "_waker", counted)
    position = f"epoch={registry.epoch}&revision={registry.revision}&wait=60"

    async def main():
        polls = [asyncio.create_task(respond(registry, "GET", f"/v1/instances/default/s{n % 10}", position)) for n in range(100)]
        await asyncio.sleep(0.05)
        registry.register("s3", id="a")
        await asyncio.sleep(0.05)
        assert [n % 10 for n, poll in enumerate(polls) if poll.done()] == [3] * 10
        # The ten, and the one that keeps time.
        assert len(woken) == len(set(woken)) == 11
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        assert not _watch._keepers[asyncio.get_running_loop()]

    asyncio.run(main())


def test_leases_end_while_only_polls_wait():
    registry = Registry()

    async def main():
        registry.register("billing", id="b1", ttl=1, grace=0)
        position = f"epoch={registry.epoch}&revision={registry.revision}&wait=60"
        polls = [respond(registry, "GET", PATH, position) for _ in range(3)]
        return await asyncio.wait_for(asyncio.gather(*polls), 10)

    assert all(json.loads(found.body)["instances"] == [] for found in asyncio.run(main()))


def test_a_stream_goes_on_piece_by_piece():
    registry = Registry()
    events = [("accept", "text/event-stream")]
    first = registry.handle("GET", PATH, headers=events, now=0)
    assert first.status == 200 and first.more.until == 15 * SECOND
    assert first.more.resume(now=SECOND) is first.more
    registry.register("billing", id="b1", now=SECOND)
    second = first.more.resume(now=SECOND)
    assert second.body.startswith(b"event: delta") and second.more is first.more and second.more.until == 16 * SECOND

    async def main():
        told = []
        response = await respond(registry, "GET", PATH, headers=events)
        async for piece in pieces(registry, response):
            told.append(piece)
            if len(told) == 3:
                return told
            registry.register("other", id=f"o{len(told)}")
            asyncio.get_running_loop().call_later(0.01, lambda: registry.register("billing", id=f"c{len(told)}"))

    told = asyncio.run(asyncio.wait_for(main(), 10))
    assert [text.count(b"event: delta") for text in told] == [1, 1, 1] and b'"c2"' in told[2]

    async def whole():
        return [piece async for piece in pieces(registry, await respond(registry, "GET", "/v1/health"))]

    assert len(asyncio.run(whole())) == 1


def test_what_there_is_no_room_for_is_refused_and_room_comes_back():
    registry = Registry()
    server = callboard.Server(bounds={"requests": 3, "bodies": 1, "waits": 1, "patience": 0.2})
    query = f"epoch={registry.epoch}&revision={registry.revision}&wait=60"

    async def slow(size, last=b"{}"):
        yield b" " * size
        await asyncio.sleep(0.4)
        yield last

    async def broken():
        yield b"{"
        raise ConnectionResetError

    def ask(method, path, query="", body=b""):
        return asyncio.ensure_future(respond(registry, method, path, query, body, server=server))

    def put(body):
        return ask("PUT", "/v1/instances/default/other/a", body=body)

    async def refused(answer, status, field):
        response = await answer
        assert (response.status, json.loads(response.body)["field"]) == (status, field)
        return dict(response.headers)

    async def main():
        waiting = ask("GET", PATH, query)
        await asyncio.sleep(0)
        assert (await refused(ask("GET", PATH, query), 503, "waits"))["retry-after"] == "1"
        large = put(slow(100_000))
        await asyncio.sleep(0)
        await refused(put(slow(100_000)), 503, "bodies")
        small = put(slow(10))
        await asyncio.sleep(0)
        await refused(ask("GET", "/v1/health"), 503, "requests")
        await refused(large, 408, "body")
        await refused(small, 408, "body")
        await refused(put(broken()), 400, "body")
        await refused(put(slow(8 * 1024 * 1024 + 1)), 413, "body")
        # Whoever is cancelled from without is no body that came late.
        cancelled = put(slow(10))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len([await put(b"{}") for _ in range(5)]) == 5
        assert registry.lookup("other", "a")
        with pytest.raises(callboard.InvalidError):
            await put(1)

    asyncio.run(asyncio.wait_for(main(), 20))
    with pytest.raises(callboard.Error) as caught:
        callboard.Server(bounds={"connections": 1})
    assert caught.value.field == "bounds.connections"


def test_a_saved_query_is_asked_and_watched():
    registry = Registry()
    registry.save_query("q", callboard.Query("billing", fallbacks=[{"service": "spare"}]), now=0)
    registry.register("spare", id="s", now=0)
    assert [one.id for one in registry.query(registry.saved_query("q")).instances] == ["s"]
    watch = registry.watch_saved("q")
    assert [one.id for one in watch.poll().added] == ["s"] and watch.query.service == "billing"
    registry.save_query("q", "other", now=0)
    assert [one.id for one in watch.poll().removed] == ["s"]
    raises("unknown-query", "name", registry.drop_query, "none")
    raises("invalid-argument", "name", registry.save_query, 1, "billing")
    raises("invalid-name", "name", registry.watch_saved, "a b")
    raises("invalid-argument", "verb", callboard.proof, "0123456789abcdef", "register", 1, 0, 1)
    raises("invalid-argument", "epoch", callboard.proof, "0123456789abcdef", "renew", -1, 0, 1)


class Long:
    """Says that it is longer than any memory."""

    def __len__(self):
        return 1 << 60

    def __getitem__(self, at):
        raise ValueError(at)


def test_hostile_requests():
    registry = Registry()
    for bad in (None, 1, b"GET", "\ud800"):
        raises("invalid-argument", "method", registry.handle, bad, "/")
        raises("invalid-argument", "path", registry.handle, "GET", bad)
        if bad is not None:
            raises("invalid-argument", "query", registry.handle, "GET", "/", bad)
    for body in (1, bytearray(b"{}"), "\ud800", {}):
        raises("invalid-argument", "body", registry.handle, "PUT", "/", "", body)
    raises("invalid-time", "now", registry.handle, "GET", "/v1/health", now=-1)
    raises("limit-exceeded", "headers", registry.handle, "GET", "/", headers=itertools.repeat(("a", "b")))
    for headers in (1, Long(), [("a",)], [("a", 1)], ["ab"]):
        with pytest.raises((TypeError, ValueError)):
            registry.handle("GET", "/", headers=headers)
    with pytest.raises(TypeError):
        Wait()


def test_a_payload_of_consul_is_fed():
    registry = Registry()
    done = registry.feed("consul:dc1", CONSUL, format="consul-health", now=0)
    assert (done.added, done.skipped) == (1, ())
    web = registry.lookup("web", "n1/w1")
    assert (web.source, web.url, web.metadata["env"]) == ("consul:dc1", "http://10.0.0.9:80", "prod")
    assert registry.feed("consul:dc1", CONSUL.encode(), format="consul-health", service="web", now=0).added == 0
    assert registry.feed("consul:dc1", b"[]", format="consul-health", service="web", now=0).held == 1
    assert callboard.decode(CONSUL, "consul-health")["instances"][0]["id"] == "n1/w1"


def test_a_payload_is_written():
    instances = callboard.decode(CONSUL, "consul-health")["instances"]
    body = callboard.encode("consul-health", instances)
    assert isinstance(body, bytes)
    assert callboard.decode(body, "consul-health")["instances"] == instances
    raises("invalid-argument", "format", callboard.encode, 1, [])
    raises("invalid-argument", "instances", callboard.encode, "prometheus", None)
    raises("invalid-argument", "instances[0]", callboard.encode, "prometheus", [object()])


def test_one_callboard_follows_another():
    server, client = Registry(), Registry()
    server.register("billing", "b1", endpoints=["http://10.0.0.5:8080"])
    body = server.handle("GET", PATH).body
    assert client.feed("callboard", body, format="callboard", service="billing").added == 1
    assert client.lookup("billing", "b1").url == "http://10.0.0.5:8080"


def test_hostile_payloads():
    registry = Registry()
    before = registry.position
    for body in ("", "{", "[{]", b"\xff", '{"a":1,"a":2}', "[" * 100):
        for format in ("consul-health", "callboard"):
            with pytest.raises((callboard.DataError, callboard.LimitError)):
                registry.feed("s", body, format=format, service="web")
            with pytest.raises((callboard.DataError, callboard.LimitError)):
                callboard.decode(body, format)
    raises("invalid-argument", "format", registry.feed, "s", "[]", format="yaml")
    raises("invalid-argument", "format", callboard.decode, "[]", 1)
    raises("invalid-argument", "body", registry.feed, "s", None, format="callboard")
    raises("missing-field", "service", registry.feed, "s", "[]", format="consul-health")
    raises("missing-field", "format", registry.feed, "s", "[]")
    raises("unknown-field", "sevice", registry.feed, "s", "[]", format="consul-health", sevice="web")
    raises("invalid-name", "namespace", callboard.decode, "[]", "consul-health", namespace="__proto__")
    assert registry.position == before
