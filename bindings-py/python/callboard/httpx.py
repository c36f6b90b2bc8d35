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

from ._errors import Error
from ._native import Balancer, Pick, Registry, is_repeatable

__all__ = ["AsyncTransport", "Transport"]


class _Caller:
    """What both transports share: whom to call, and whether again."""

    def __init__(self, registry: Registry, services: Iterable[str], *, key: Callable[[httpx.Request], str] | None = None, **balancer: Any) -> None:
        self._balancers = {service: Balancer(registry, service, **balancer) for service in services}
        self._key = key

    def balancer_of(self, request: httpx.Request) -> Balancer | None:
        return self._balancers.get(request.url.host)

    def calls(self, balancer: Balancer, request: httpx.Request) -> Generator[tuple[float, httpx.Request], httpx.Response, _Call]:
        """What to send and after how many seconds, until an answer is the answer.

        A response is sent into it, or the error thrown that came instead; an error that is the answer comes out again. Closed before that, it
        takes the call for one that was given up.
        """
        tried: list[Pick] = []
        pick, delay = self._pick(balancer, request, tried), 0.0
        while True:
            tried.append(pick)
            call = _Call(pick, delay)
            try:
                response = yield delay, self._sent_to(request, pick)
            except httpx.TransportError as error:
                call.failed(error)
                if (other := self._next(balancer, request, tried, call.outcome)) is None:
                    raise
            except BaseException:
                call.given_up()
                raise
            else:
                call.answered(response)
                if (other := self._next(balancer, request, tried, call.outcome)) is None:
                    return call
                call.finish()
            delay, pick = other

    def _pick(self, balancer: Balancer, request: httpx.Request, tried: list[Pick]) -> Pick:
        return balancer.pick(key=self._key(request) if self._key else None, exclude=tried)

    @staticmethod
    def _sent_to(request: httpx.Request, pick: Pick) -> httpx.Request:
        place = httpx.URL(pick.instance.url or "")
        url = request.url.copy_with(scheme=place.scheme, host=place.host, port=place.port)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        # The service's name is what the instance is called by.
        headers.append((b"Host", request.headers.get("host", place.netloc.decode()).encode()))
        return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)

    def _next(self, balancer: Balancer, request: httpx.Request, tried: list[Pick], outcome: dict[str, Any]) -> tuple[float, Pick] | None:
        """Whom to try instead, and after how many seconds; None when nobody else is to be."""
        can_be_sent = isinstance(request.stream, httpx.ByteStream)
        if not can_be_sent or not is_repeatable(request.method, **outcome):
            return None
        delay = balancer.retry_delay(len(tried))
        if delay is None or not balancer.may_retry():
            return None
        try:
            return delay, self._pick(balancer, request, tried)
        except Error:  # Nobody is left: what there was of an answer is the answer.
            return None


class _Call:
    """One call, and what became of it."""

    def __init__(self, pick: Pick, delay: float) -> None:
        self._pick = pick
        self._started = time.monotonic() + delay
        self._retry_after: float | None = None
        self.outcome: dict[str, Any] = {}

    def answered(self, response: httpx.Response) -> None:
        after = response.headers.get("retry-after", "")
        self._retry_after = float(after) if after.isdecimal() else None
        self.outcome = {"status": response.status_code}

    def failed(self, error: httpx.TransportError) -> None:
        self.outcome = {"kind": "timeout" if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) else "connect"}
        self._pick.finish(**self.outcome)

    def given_up(self) -> None:
        self._pick.finish(kind="cancelled")

    def finish(self) -> None:
        """Tells the balancer, when the body was read."""
        self._pick.finish(latency=time.monotonic() - self._started, retry_after=self._retry_after, **self.outcome)


class Transport(httpx.BaseTransport):
    """A transport of `httpx.Client` for `services`; calls to other hosts go where they say.

    `key` gives the routing key of a request, for a hashing policy; all else is as in `Balancer`: `policy`, `seed`. What is sent, is sent by `inner`, an
    `httpx.HTTPTransport` when none is given.
    """

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.BaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        balancer = self._caller.balancer_of(request)
        if balancer is None:
            return self._inner.handle_request(request)
        calls = self._caller.calls(balancer, request)
        delay, sent = next(calls)
        while True:
            try:
                time.sleep(delay)
                response = self._inner.handle_request(sent)
            except BaseException as error:
                delay, sent = calls.throw(error)
                continue
            try:
                delay, sent = calls.send(response)
            except StopIteration as done:
                return _kept(response, _Body(response, done.value))
            response.close()

    def close(self) -> None:
        self._inner.close()


class AsyncTransport(httpx.AsyncBaseTransport):
    """The same for `httpx.AsyncClient`."""

    def __init__(self, registry: Registry, services: Iterable[str], *, inner: httpx.AsyncBaseTransport | None = None, **settings: Any) -> None:
        self._caller = _Caller(registry, services, **settings)
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        balancer = self._caller.balancer_of(request)
        if balancer is None:
            return await self._inner.handle_async_request(request)
        calls = self._caller.calls(balancer, request)
        delay, sent = next(calls)
        while True:
            try:
                await asyncio.sleep(delay)
                response = await self._inner.handle_async_request(sent)
            except BaseException as error:
                delay, sent = calls.throw(error)
                continue
            try:
                delay, sent = calls.send(response)
            except StopIteration as done:
                return _kept(response, _AsyncBody(response, done.value))
            await response.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _kept(response: httpx.Response, body: _Body | _AsyncBody) -> httpx.Response:
    return httpx.Response(response.status_code, headers=response.headers, stream=body, extensions=response.extensions)


class _Body(httpx.SyncByteStream):
    """A body whose end ends the call: until then it is in flight."""

    def __init__(self, response: httpx.Response, call: _Call) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        self._stream, self._call = response.stream, call

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
        self._call.finish()


class _AsyncBody(httpx.AsyncByteStream):
    """The same of an asynchronous response."""

    def __init__(self, response: httpx.Response, call: _Call) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream, self._call = response.stream, call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._call.finish()
