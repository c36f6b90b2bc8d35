"""Calls services by name with aiohttp: `http://billing/invoices` goes to an instance of `billing`.

    import aiohttp
    from callboard.aiohttp import Middleware

    timeout = aiohttp.ClientTimeout(total=10, sock_connect=1, sock_read=3)
    async with aiohttp.ClientSession(middlewares=[Middleware(registry, ["billing"])], timeout=timeout) as session:
        async with session.get("http://billing/invoices") as reply:
            print(await reply.text())

A call that failed goes to another instance, if `is_repeatable` says that it may, its body can be sent again (bytes, text, JSON and plain forms can; files,
streams and multipart forms cannot) and the policy's budget for retries allows it. What became of each call is told to the balancer, which learns
from it. Of the times of a `ClientTimeout`, `sock_connect` and `sock_read` are those of an attempt; `total` is that of all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import aiohttp
from yarl import URL

from ._calls import Call, answered, hosts
from ._native import Registry
from ._types import Instance

__all__ = ["Middleware"]

# How the network fails; what else aiohttp raises is the caller's doing.
_FAILURES = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError, asyncio.TimeoutError)


class Middleware:
    """A middleware of `aiohttp.ClientSession` for `services`; calls to other hosts go where they say.

    `key` gives the routing key of a request, for a hashing policy; all else is as in `Balancer`: `policy`, `seed`. The policy is `adaptive`
    with a budget for `retry` when none is given.
    """

    def __init__(self, registry: Registry, services: Iterable[str], *, key: Callable[[aiohttp.ClientRequest], str] | None = None, **balancer: Any) -> None:
        self._balancers = hosts(registry, services, lambda url: URL(url).host, **balancer)
        self._key = key

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        balancer = self._balancers.get(request.url.host or "")
        if balancer is None:
            return await handler(request)
        call = Call(balancer, request.method, self._key(request) if self._key else None)
        can_be_sent = not request.body or isinstance(request.body, aiohttp.BytesPayload)
        # It names the service still in its `Host`, and so does the response, for cookies and redirects.
        asked = request.url
        try:
            while True:
                await asyncio.sleep(call.delay)
                try:
                    request.url = _placed(asked, call.instance)
                    with _total(request):
                        response = await handler(request)
                except _FAILURES as error:
                    # When the total time is over, nobody is there to wait for another.
                    is_over = isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError)
                    if not call.goes_on(_failed(error), can_be_sent=can_be_sent and not is_over):
                        call.finish()
                        raise
                else:
                    if not call.goes_on(answered(response.status, response.headers.get("Retry-After")), can_be_sent=can_be_sent):
                        return _kept(response, call)
                    response.close()
                # The body may still be on its way to whom it does not concern any more.
                await request.close()
        except BaseException:
            call.give_up()
            raise


def _placed(url: URL, instance: Instance) -> URL:
    place = URL(instance.url or "")
    if place.host is None:
        raise aiohttp.ClientConnectionError(f"{instance!r} has no endpoint")
    return url.with_scheme(place.scheme).with_host(place.host).with_port(place.port)


def _total(request: aiohttp.ClientRequest) -> Any:
    """Tells a total time that ran out, also while connecting, from a caller who left: for a middleware both are a cancelled task."""
    return getattr(request, "_timer", nullcontext())


def _failed(error: BaseException) -> dict[str, Any]:
    if isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
        return {"kind": "timeout"}
    # What is no HTTP is an error of who said it.
    return {"kind": "error" if isinstance(error, aiohttp.ClientResponseError) else "connect"}


def _kept(response: aiohttp.ClientResponse, call: Call) -> aiohttp.ClientResponse:
    """The response, whose body's end ends the call: until then it is in flight."""
    connection = response.connection
    if connection is None:
        call.finish()
        return response

    def released() -> None:
        error = response.content.exception()
        broke = isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerTimeoutError, aiohttp.ClientOSError))
        call.finish(_failed(error) if broke and error else None)

    connection.add_callback(released)
    return response
