"""Calls services by name with httpx: `http://billing/invoices` goes to an instance of `billing`.

    import httpx
    from callboard.httpx import AsyncTransport

    async with httpx.AsyncClient(transport=AsyncTransport(registry, ["billing"])) as client:
        reply = await client.get("http://billing/invoices")

A call that failed goes to another instance, if `is_repeatable` says that it may, its body can be sent again and the policy's budget for retries
allows it. What became of each call is told to the balancer, which learns from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any

import httpx

from ._calls import Call, answered, hosts
from ._native import Registry
from ._types import Instance

__all__ = ["AsyncTransport", "Transport"]


class _Caller:
    """What both transports share: whom to call, and whether again."""

    def __init__(self, registry: Registry, services: Iterable[str], *, key: Callable[[httpx.Request], str] | None = None, **balancer: Any) -> None:
        self._balancers = hosts(registry, services, lambda url: httpx.URL(url).host, **balancer)
        self._key = key

    def call_of(self, request: httpx.Request) -> Call | None:
        """None for a host that is no service."""
        balancer = self._balancers.get(request.url.host)
        return None if balancer is None else Call(balancer, request.method, self._key(request) if self._key else None)

    @staticmethod
    def attempts(call: Call, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """What to send after `call.delay` seconds, until an answer is the answer.

        A response is sent into it, or the error thrown that came instead; an error that is the answer comes out again. Closed before that, it
        takes the call for one that was given up.
        """
        can_be_sent = isinstance(request.stream, httpx.ByteStream)
        while True:
            try:
                response = yield _sent_to(request, call.instance)
            except httpx.TransportError as error:
                if not call.goes_on(_failed(error), can_be_sent=can_be_sent):
                    call.finish()
                    raise
            except BaseException:
                call.give_up()
                raise
            else:
                outcome = answered(response.status_code, response.headers.get("retry-after"))
                if not call.goes_on(outcome, can_be_sent=can_be_sent):
                    return


def _sent_to(request: httpx.Request, instance: Instance) -> httpx.Request:
    place = httpx.URL(instance.url or "")
    url = request.url.copy_with(scheme=place.scheme, host=place.host, port=place.port)
    headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
    # The service's name is what the instance is called by.
    headers.append((b"Host", request.headers.get("host", place.netloc.decode()).encode()))
    return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)


def _failed(error: httpx.TransportError) -> dict[str, Any]:
    return {"kind": "timeout" if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) else "connect"}


class Transport(httpx.BaseTransport):
    """A transport of `httpx.Client` for `services`; calls to other hosts go where they say.

    `key` gives the routing key of a request, for a hashing policy; all else is as in `Balancer`: `policy`, `seed`. The policy is `adaptive`
    with a budget for `retry` when none is given. What is sent, is sent by `inner`, an `httpx.HTTPTransport` when none is given.
    """

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.BaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = self._caller.call_of(request)
        if call is None:
            return self._inner.handle_request(request)
        attempts = self._caller.attempts(call, request)
        sent = next(attempts)
        while True:
            try:
                time.sleep(call.delay)
                response = self._inner.handle_request(sent)
            except BaseException as error:
                sent = attempts.throw(error)
                continue
            try:
                sent = attempts.send(response)
            except StopIteration:
                return _kept(response, _Body(response, call))
            response.close()

    def close(self) -> None:
        self._inner.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`."""

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.AsyncBaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = self._caller.call_of(request)
        if call is None:
            return await self._inner.handle_async_request(request)
        attempts = self._caller.attempts(call, request)
        sent = next(attempts)
        while True:
            try:
                await asyncio.sleep(call.delay)
                response = await self._inner.handle_async_request(sent)
            except BaseException as error:
                sent = attempts.throw(error)
                continue
            try:
                sent = attempts.send(response)
            except StopIteration:
                return _kept(response, _AsyncBody(response, call))
            await response.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _kept(response: httpx.Response, body: _Body | _AsyncBody) -> httpx.Response:
    return httpx.Response(response.status_code, headers=response.headers, stream=body, extensions=response.extensions)


class _Body(httpx.SyncByteStream):
    """A body whose end ends the call: until then it is in flight."""

    def __init__(self, response: httpx.Response, call: Call) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        self._stream, self._call = response.stream, call

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.TransportError as error:
            self._call.finish(_failed(error))
            raise

    def close(self) -> None:
        self._stream.close()
        self._call.finish()


class _AsyncBody(httpx.AsyncByteStream):
    """The same of an asynchronous response."""

    def __init__(self, response: httpx.Response, call: Call) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream, self._call = response.stream, call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except httpx.TransportError as error:
            self._call.finish(_failed(error))
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._call.finish()
