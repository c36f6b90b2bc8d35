"""Calls services by name with httpx: `http://billing/invoices` goes to an instance of `billing`.

    import httpx
    from callboard.httpx import AsyncTransport

    async with httpx.AsyncClient(transport=AsyncTransport(registry, ["billing"])) as client:
        reply = await client.get("http://billing/invoices")

A call that failed before an answer, or was answered 502, 503, 504 or 429, goes to another instance, if it is one that may be made twice and the policy's
budget for retries allows it. What became of each call is told to the balancer, which learns from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import httpx

from ._errors import Error
from ._native import Balancer, Pick, Registry

__all__ = ["AsyncTransport", "Transport"]

# RFC 9110: what may be done twice.
_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
_ELSEWHERE = {429, 502, 503, 504}


class _Caller:
    """What both transports share: whom to call, and whether again."""

    def __init__(self, registry: Registry, services: Iterable[str], *, key: Callable[[httpx.Request], str] | None = None, **balancer: Any) -> None:
        self._balancers = {service: Balancer(registry, service, **balancer) for service in services}
        self._key = key

    def balancer_of(self, request: httpx.Request) -> Balancer | None:
        return self._balancers.get(request.url.host)

    def pick(self, balancer: Balancer, request: httpx.Request, tried: list[Pick]) -> Pick:
        return balancer.pick(key=self._key(request) if self._key else None, exclude=tried)

    @staticmethod
    def sent_to(request: httpx.Request, pick: Pick) -> httpx.Request:
        place = httpx.URL(pick.instance.url or "")
        url = request.url.copy_with(scheme=place.scheme, host=place.host, port=place.port)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        # The service's name is what the instance is called by.
        headers.append((b"Host", request.headers.get("host", place.netloc.decode()).encode()))
        return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)

    def next(self, balancer: Balancer, request: httpx.Request, tried: list[Pick]) -> tuple[float, Pick] | None:
        """Whom to try instead, and after how many seconds; None when nobody else is to be."""
        is_whole = isinstance(request.stream, httpx.ByteStream)
        delay = balancer.retry_delay(len(tried)) if request.method in _IDEMPOTENT and is_whole else None
        if delay is None or not balancer.may_retry():
            return None
        try:
            return delay, self.pick(balancer, request, tried)
        except Error:  # Nobody is left: what there was of an answer is the answer.
            return None

    @staticmethod
    def failed(pick: Pick, error: httpx.TransportError) -> None:
        pick.finish(kind="timeout" if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) else "connect")

    @staticmethod
    def answered(pick: Pick, response: httpx.Response, started: float) -> None:
        after = response.headers.get("retry-after", "")
        retry_after = float(after) if after.isdecimal() else None
        pick.finish(status=response.status_code, latency=time.monotonic() - started, retry_after=retry_after)


class Transport(httpx.BaseTransport):
    """A transport of `httpx.Client` for `services`; calls to other hosts go where they say.

    `key` gives the routing key of a request, for a hashing policy; all else is as in `Balancer`: `policy`, `seed`. What is sent, is sent by `inner`, an
    `httpx.HTTPTransport` when none is given.
    """

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.BaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        caller, balancer = self._caller, self._caller.balancer_of(request)
        if balancer is None:
            return self._inner.handle_request(request)
        tried: list[Pick] = []
        pick = caller.pick(balancer, request, tried)
        while True:
            tried.append(pick)
            started = time.monotonic()
            try:
                response = self._inner.handle_request(caller.sent_to(request, pick))
            except httpx.TransportError as error:
                caller.failed(pick, error)
                if (other := caller.next(balancer, request, tried)) is None:
                    raise
            except BaseException:
                pick.finish(kind="cancelled")
                raise
            else:
                other = caller.next(balancer, request, tried) if response.status_code in _ELSEWHERE else None
                if other is None:
                    return httpx.Response(
                        response.status_code, headers=response.headers, stream=_Body(response, pick, started), extensions=response.extensions
                    )
                caller.answered(pick, response, started)
                response.close()
            delay, pick = other
            time.sleep(delay)

    def close(self) -> None:
        self._inner.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`."""

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.AsyncBaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        caller, balancer = self._caller, self._caller.balancer_of(request)
        if balancer is None:
            return await self._inner.handle_async_request(request)
        tried: list[Pick] = []
        pick = caller.pick(balancer, request, tried)
        while True:
            tried.append(pick)
            started = time.monotonic()
            try:
                response = await self._inner.handle_async_request(caller.sent_to(request, pick))
            except httpx.TransportError as error:
                caller.failed(pick, error)
                if (other := caller.next(balancer, request, tried)) is None:
                    raise
            except BaseException:
                pick.finish(kind="cancelled")
                raise
            else:
                other = caller.next(balancer, request, tried) if response.status_code in _ELSEWHERE else None
                if other is None:
                    return httpx.Response(
                        response.status_code, headers=response.headers, stream=_AsyncBody(response, pick, started), extensions=response.extensions
                    )
                caller.answered(pick, response, started)
                await response.aclose()
            delay, pick = other
            await asyncio.sleep(delay)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx.SyncByteStream):
    """A body whose end ends the call: until then it is in flight."""

    def __init__(self, response: httpx.Response, pick: Pick, started: float) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        self._stream = response.stream
        self._call = (pick, response, started)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
        _Caller.answered(*self._call)


class _AsyncBody(httpx.AsyncByteStream):
    """The same of an asynchronous response."""

    def __init__(self, response: httpx.Response, pick: Pick, started: float) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._call = (pick, response, started)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
        _Caller.answered(*self._call)
