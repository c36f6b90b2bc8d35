"""Calls a service with grpcio: a channel that follows who is there, each call to the instance that the balancer picks.

    from callboard.grpc import Channel  # AsyncChannel in place of grpc.aio's

    with Channel(registry, "billing", idempotent=["/billing.Billing/Get"], attempt=2) as channel:
        invoice = BillingStub(channel).Get(request, timeout=10)

A unary call of an `idempotent` method that failed goes to another instance, if `is_repeatable` says that it may and the policy's budget for retries allows
it; so does its `future`, between whose attempts nobody waits. A call that streams is one attempt: of its messages some may have been sent or read, and only
who calls knows what to do about that. What became of each is told to the balancer, which learns from it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio

from ._calls import Call, balancers
from ._native import Registry
from ._types import Instance

__all__ = ["AsyncChannel", "Channel"]

C = TypeVar("C")

if TYPE_CHECKING:
    _FutureBase = grpc.Future[Any]
else:
    _FutureBase = grpc.Future

# It is callboard that says who is called again, and when: a channel should know soon that its instance is back.
OPTIONS = [("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]


def _target(instance: Instance) -> str:
    return urlsplit(instance.url or "").netloc


def _open(instance: Instance) -> grpc.Channel:
    return grpc.insecure_channel(_target(instance), options=OPTIONS)


def _open_async(instance: Instance) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(_target(instance), options=OPTIONS)


class _Line(Generic[C]):
    """The channel of an instance."""

    def __init__(self, channel: C, url: str | None) -> None:
        self.channel, self.url = channel, url
        self.calls = 0
        self.callables: dict[object, Any] = {}


class _Lines(Generic[C]):
    """A channel for each instance that is called; one whose instance left is given to who closes it when its last call is over."""

    def __init__(self, registry: Registry, service: str, connect: Callable[[Instance], C]) -> None:
        self._registry, self._connect = registry, connect
        self._watch = registry.watch(service)
        self._lines: dict[int, _Line[C]] = {}
        self._left: list[_Line[C]] = []
        self._lock = threading.Lock()

    def take(self, instance: Instance) -> _Line[C]:
        with self._lock:
            line = self._lines.get(instance.handle)
            if line is None or line.url != instance.url:
                if line is not None:
                    self._left.append(line)
                line = self._lines[instance.handle] = _Line(self._connect(instance), instance.url)
            line.calls += 1
            return line

    def give_back(self, line: _Line[C]) -> None:
        with self._lock:
            line.calls -= 1

    def over(self) -> list[C]:
        """The channels that nobody needs any more."""
        with self._lock:
            if (delta := self._watch.poll()) is not None:
                self._left += [self._lines.pop(gone.handle) for gone in delta.removed if gone.handle in self._lines]
            over = [line.channel for line in self._left if line.calls == 0]
            self._left = [line for line in self._left if line.calls]
            return over

    def all(self) -> list[C]:
        with self._lock:
            lines = [*self._lines.values(), *self._left]
            self._lines, self._left = {}, []
            return [line.channel for line in lines]


class _Caller(Generic[C]):
    """What both channels share: whom to call, and whether again."""

    def __init__(
        self,
        registry: Registry,
        service: str,
        connect: Callable[[Instance], C],
        idempotent: Iterable[str] = (),
        attempt: float | None = None,
        key: Callable[[str, Any], str] | None = None,
        **balancer: Any,
    ) -> None:
        self._balancer = balancers(registry, [service], **balancer)[service]
        self.lines = _Lines(registry, service, connect)
        self._idempotent, self._attempt, self._key = frozenset(idempotent), attempt, key

    def begin(self, method: _Method[C], request: Any, timeout: float | None) -> _Attempts[C]:
        level = "IDEMPOTENT" if method.name in self._idempotent else "IDEMPOTENCY_UNKNOWN"
        call = Call(self._balancer, level, self._key(method.name, request) if self._key else None)
        return _Attempts(call, self.lines, method, self._attempt, None if timeout is None else time.monotonic() + timeout)


class _Method(Generic[C]):
    """A method, called through whichever channel."""

    def __init__(self, caller: _Caller[C], kind: str, name: str, serializer: Any, deserializer: Any) -> None:
        self.caller, self.kind, self.name = caller, kind, name
        self._serializer, self._deserializer = serializer, deserializer

    def through(self, line: _Line[C]) -> Any:
        found = line.callables.get(self)
        if found is None:
            make = getattr(line.channel, self.kind)
            found = line.callables[self] = make(self.name, request_serializer=self._serializer, response_deserializer=self._deserializer)
        return found


class _Attempts(Generic[C]):
    """A call, with the channel of its attempt."""

    def __init__(self, call: Call, lines: _Lines[C], method: _Method[C], attempt: float | None, deadline: float | None) -> None:
        self._call, self._lines, self._method, self._attempt, self._deadline = call, lines, method, attempt, deadline
        self._line: _Line[C] | None = None

    @property
    def delay(self) -> float:
        return self._call.delay

    def begin(self, *, streams: bool = False) -> tuple[Any, float | None]:
        """What to call, and within how many seconds."""
        self._line = self._lines.take(self._call.instance)
        times = [self.time_remaining(), None if streams else self._attempt]
        return self._method.through(self._line), min((time for time in times if time is not None), default=None)

    def goes_on(self, error: Any) -> bool:
        """Whether the call is made again elsewhere after that error."""
        outcome, can_be_sent = _outcome(error.code(), error.trailing_metadata())
        self._give_back()
        if not self._call.goes_on(outcome, can_be_sent=can_be_sent):
            self._call.finish()
            return False
        left = self.time_remaining()
        if left is not None and left <= self._call.delay:
            # Nobody would wait for another.
            self._call.give_up()
            return False
        return True

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0)

    def end(self, code: grpc.StatusCode | None, trailers: Any = None) -> None:
        outcome, _ = _outcome(code, trailers)
        self._call.finish(outcome)
        self._give_back()

    def give_up(self) -> None:
        self._call.give_up()
        self._give_back()

    def _give_back(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._lines.give_back(line)


def _outcome(code: grpc.StatusCode | None, trailers: Any) -> tuple[dict[str, Any], bool]:
    """What a status tells, and whether the server lets the call be made again."""
    outcome: dict[str, Any] = {"grpc_status": code.value[0] if code else 2}
    pushback = next((value for name, value in trailers or () if name == "grpc-retry-pushback-ms"), None)
    if pushback is None:
        return outcome, True
    if not (isinstance(pushback, str) and pushback.isascii() and pushback.isdecimal() and len(pushback) < 10):
        return outcome, False
    return {**outcome, "retry_after": int(pushback) / 1000}, True


class Channel(grpc.Channel):
    """A channel to `service`.

    `idempotent` are the names of the methods that may be done twice, as `/package.Service/Method`; `attempt` is how many seconds one attempt of a unary call
    may take, beside the call's own `timeout`, which is that of all; `key` gives the routing key of a method's name and a request (None for a stream of
    them), for a hashing policy; `connect` makes the channel of an instance, in place of `grpc.insecure_channel`. All else is as in `Balancer`: `policy`,
    `seed`; the policy is `adaptive` with a budget for `retry` when none is given.
    """

    def __init__(self, registry: Registry, service: str, *, connect: Callable[[Instance], grpc.Channel] = _open, **settings: Any) -> None:
        self._caller = _Caller(registry, service, connect, **settings)

    def unary_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _Unary(self._caller, "unary_unary", method, request_serializer, response_deserializer)

    def unary_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _Streaming(self._caller, "unary_stream", method, request_serializer, response_deserializer)

    def stream_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _FromStream(self._caller, "stream_unary", method, request_serializer, response_deserializer)

    def stream_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _Streaming(self._caller, "stream_stream", method, request_serializer, response_deserializer)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool | None = False) -> None:
        """As there is a channel for each instance, there is no connectivity of all."""
        raise NotImplementedError("a channel of many has no connectivity; ask the registry who is there")

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        pass

    def close(self) -> None:
        for channel in self._caller.lines.all():
            channel.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _SyncMethod(_Method[grpc.Channel]):
    def begin(self, request: Any, timeout: float | None) -> _Attempts[grpc.Channel]:
        for channel in self.caller.lines.over():
            channel.close()
        return self.caller.begin(self, request, timeout)

    def once(self, how: str, request: Any, timeout: float | None, *more: Any, **named: Any) -> Any:
        """One attempt that ends when it ends, whoever waits for it."""
        attempts = self.begin(None if self.kind.startswith("stream") else request, timeout)
        try:
            begun, left = attempts.begin(streams=True)
            call = getattr(begun, how)(request, left, *more, **named)
        except BaseException:
            attempts.give_up()
            raise

        def over() -> None:
            attempts.end(call.code(), call.trailing_metadata())

        if not call.add_callback(over):
            over()
        return call


class _Unary(_SyncMethod):
    def __call__(self, request: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        return self.with_call(request, timeout, *more, **named)[0]

    def with_call(self, request: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        attempts = self.begin(request, timeout)
        try:
            while True:
                time.sleep(attempts.delay)
                begun, left = attempts.begin()
                try:
                    answer, call = begun.with_call(request, left, *more, **named)
                except grpc.RpcError as error:
                    if not attempts.goes_on(error):
                        raise
                else:
                    attempts.end(grpc.StatusCode.OK)
                    return answer, call
        except BaseException:
            attempts.give_up()
            raise

    def future(self, request: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        return _Future(self.begin(request, timeout), request, more, named)


class _Future(_FutureBase, grpc.Call):
    """A unary call, over one or more attempts, for which nobody waits; what it tells is of the last of them."""

    def __init__(self, attempts: _Attempts[grpc.Channel], request: Any, more: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._attempts, self._call = attempts, (request, more, named)
        self._changed = threading.Condition()
        self._last: Any = None
        # Until the next attempt; whoever takes it away goes on with the call.
        self._pause: threading.Timer | None = None
        self._is_cancelled = self._is_over = False
        self._callbacks: list[Callable[[], object]] = []
        self._begin()

    def _begin(self) -> None:
        request, more, named = self._call
        try:
            begun, left = self._attempts.begin()
            last = begun.future(request, left, *more, **named)
        except BaseException:
            self._attempts.give_up()
            raise
        with self._changed:
            self._last = last
            is_cancelled = self._is_cancelled
        if is_cancelled:
            last.cancel()
        last.add_done_callback(self._ended)

    def _ended(self, last: Any) -> None:
        if last.code() is grpc.StatusCode.OK or self._is_cancelled or last.cancelled():
            self._attempts.end(last.code(), last.trailing_metadata())
            self._end()
        elif not self._attempts.goes_on(last):
            self._end()
        else:
            # In a thread of its own: this one belongs to the channel.
            pause = threading.Timer(self._attempts.delay, self._again)
            pause.daemon = True
            with self._changed:
                self._pause = pause
            pause.start()

    def _again(self) -> None:
        with self._changed:
            if self._pause is None:
                return
            self._pause = None
        try:
            self._begin()
        except Exception:
            # The channel was closed meanwhile: what it tells is of the attempt before.
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            callback()

    def cancel(self) -> bool:
        with self._changed:
            if self._is_over:
                return False
            self._is_cancelled = True
            last, pause, self._pause = self._last, self._pause, None
        if pause is not None:
            pause.cancel()
            self._attempts.give_up()
            self._end()
        elif last is not None:
            last.cancel()
        return True

    def cancelled(self) -> bool:
        return self._is_over and self._is_cancelled

    def running(self) -> bool:
        return not self._is_over

    def done(self) -> bool:
        return self._is_over

    def is_active(self) -> bool:
        return not self._is_over

    def time_remaining(self) -> float | None:  # type: ignore[override]
        return self._attempts.time_remaining()

    def result(self, timeout: float | None = None) -> Any:
        return self._over(timeout, cancelled=False).result()

    def exception(self, timeout: float | None = None) -> Any:
        return self._over(timeout, cancelled=False).exception()

    def traceback(self, timeout: float | None = None) -> Any:
        return self._over(timeout, cancelled=False).traceback()

    def initial_metadata(self) -> Any:
        return self._over().initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._over().trailing_metadata()

    def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = self._over().code()
        return grpc.StatusCode.CANCELLED if self._is_cancelled else code

    def details(self) -> Any:
        return self._over().details()

    def add_callback(self, callback: Callable[[], object]) -> bool:
        with self._changed:
            if not self._is_over:
                self._callbacks.append(callback)
            return not self._is_over

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        if not self.add_callback(lambda: fn(self)):
            fn(self)

    def _over(self, timeout: float | None = None, *, cancelled: bool = True) -> Any:
        """The last attempt, when there will be no other."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_over, timeout):
                raise grpc.FutureTimeoutError
        if self._is_cancelled and not cancelled:
            raise grpc.FutureCancelledError
        return self._last


class _Streaming(_SyncMethod):
    def __call__(self, request: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        return self.once("__call__", request, timeout, *more, **named)


class _FromStream(_SyncMethod):
    def __call__(self, requests: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        return self.future(requests, timeout, *more, **named).result()

    def with_call(self, requests: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        call = self.future(requests, timeout, *more, **named)
        return call.result(), call

    def future(self, requests: Any, timeout: float | None = None, *more: Any, **named: Any) -> Any:
        return self.once("future", requests, timeout, *more, **named)


class AsyncChannel(grpc.aio.Channel):
    """The same in place of a channel of `grpc.aio`."""

    def __init__(self, registry: Registry, service: str, *, connect: Callable[[Instance], grpc.aio.Channel] = _open_async, **settings: Any) -> None:
        self._caller = _Caller(registry, service, connect, **settings)
        self._tasks: set[asyncio.Task[Any]] = set()

    def unary_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _AsyncMethod(self._spawn, self._caller, "unary_unary", method, request_serializer, response_deserializer).unary

    def unary_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _AsyncMethod(self._spawn, self._caller, "unary_stream", method, request_serializer, response_deserializer).once

    def stream_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _AsyncMethod(self._spawn, self._caller, "stream_unary", method, request_serializer, response_deserializer).once

    def stream_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool | None = False) -> Any:
        return _AsyncMethod(self._spawn, self._caller, "stream_stream", method, request_serializer, response_deserializer).once

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        raise NotImplementedError("a channel of many has no connectivity; ask the registry who is there")

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        self.get_state()

    async def channel_ready(self) -> None:
        self.get_state()

    async def close(self, grace: float | None = None) -> None:
        await asyncio.gather(*(channel.close(grace) for channel in self._caller.lines.all()))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> AsyncChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _AsyncMethod(_Method[grpc.aio.Channel]):
    def __init__(self, spawn: Callable[[Any], asyncio.Task[Any]], *method: Any) -> None:
        super().__init__(*method)
        self._spawn = spawn

    def _begin(self, request: Any, timeout: float | None) -> _Attempts[grpc.aio.Channel]:
        for channel in self.caller.lines.over():
            self._spawn(channel.close())
        return self.caller.begin(self, request, timeout)

    def unary(self, request: Any, *, timeout: float | None = None, **more: Any) -> _AsyncUnary:
        attempts = self._begin(request, timeout)
        return _AsyncUnary(lambda call: self._spawn(call.run(attempts, request, more)), attempts)

    def once(self, *request: Any, timeout: float | None = None, **more: Any) -> Any:
        """One attempt that ends when it ends, whoever waits for it."""
        attempts = self._begin(None if self.kind.startswith("stream") else request[0], timeout)
        try:
            begun, left = attempts.begin(streams=True)
            call = begun(*request, timeout=left, **more)
        except BaseException:
            attempts.give_up()
            raise
        self._spawn(_over(attempts, call))
        return call


async def _over(attempts: _Attempts[grpc.aio.Channel], call: grpc.aio.Call) -> None:
    try:
        attempts.end(await call.code(), await call.trailing_metadata())
    except BaseException:
        attempts.give_up()
        raise


class _AsyncUnary:
    """A unary call, over one or more attempts; what it tells is of the last of them."""

    def __init__(self, start: Callable[[_AsyncUnary], asyncio.Task[Any]], attempts: _Attempts[grpc.aio.Channel]) -> None:
        self._attempts = attempts
        self._last: Any = None
        self._task = start(self)
        # One that was cancelled before it began gave up nothing itself.
        self._task.add_done_callback(lambda _: attempts.give_up())

    async def run(self, attempts: _Attempts[grpc.aio.Channel], request: Any, more: dict[str, Any]) -> Any:
        try:
            while True:
                self._last = None
                await asyncio.sleep(attempts.delay)
                begun, left = attempts.begin()
                self._last = begun(request, timeout=left, **more)
                try:
                    answer = await self._last
                except grpc.aio.AioRpcError as error:
                    if not attempts.goes_on(error):
                        raise
                else:
                    attempts.end(grpc.StatusCode.OK)
                    return answer
        except BaseException:
            attempts.give_up()
            raise

    def __await__(self) -> Generator[Any, None, Any]:
        return self._task.__await__()

    def cancelled(self) -> bool:
        return self._task.cancelled()

    def done(self) -> bool:
        return self._task.done()

    def cancel(self) -> bool:
        return self._task.cancel()

    def time_remaining(self) -> float | None:
        return self._attempts.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    async def initial_metadata(self) -> Any:
        call = await self._over()
        return await call.initial_metadata() if call else grpc.aio.Metadata()

    async def trailing_metadata(self) -> Any:
        call = await self._over()
        return await call.trailing_metadata() if call else grpc.aio.Metadata()

    async def code(self) -> grpc.StatusCode:
        call = await self._over()
        return await call.code() if call else grpc.StatusCode.CANCELLED

    async def details(self) -> str | None:
        call = await self._over()
        return await call.details() if call else None

    async def wait_for_connection(self) -> None:
        await self._over()

    async def _over(self) -> Any:
        """The last attempt; None when it was cancelled before that began."""
        await asyncio.wait([self._task])
        return self._last
