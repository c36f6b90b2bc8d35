"""The registry with asyncio. The core never waits; this turns its polling into `async for` and `await`."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._native import Wait, now
from ._types import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Sequence

    from typing_extensions import Self

    from ._native import Place, Query, Registry, Server, View
    from ._types import Change, Delta


def _waker(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    """What sets the event from any thread."""

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(event.set)
        except RuntimeError:  # The loop was closed while somebody waited: nobody is left to wake.
            pass

    return wake


async def _changed(registry: Registry, revision: int, until: int | None = None) -> None:
    """Return when the registry's revision is no longer `revision`, or at `until`.

    Woken from any thread that changes the registry; also does the registry's timed work when it is due, so that
    leases end while nobody else calls.
    """
    event = asyncio.Event()
    listener = registry._listen(_waker(asyncio.get_running_loop(), event))
    try:
        while registry.revision == revision and (until is None or now() < until):
            due = [time for time in (registry.deadline, until) if time is not None]
            delay = max(min(due) - now(), 0) / 1e6 if due else None
            try:
                await asyncio.wait_for(event.wait(), delay)
            except asyncio.TimeoutError:
                registry.advance()
            event.clear()
    finally:
        registry._unlisten(listener)


async def respond(
    registry: Registry,
    method: str,
    path: str,
    query: str = "",
    body: bytes | str | AsyncIterable[bytes] = b"",
    *,
    headers: Sequence[tuple[str, str]] | None = None,
    peer: str | None = None,
    principal: str | None = None,
    server: Server | None = None,
) -> Response:
    """`Registry.handle` for a server with asyncio: a long poll waits without holding anything up. `pieces` has the whole body of a stream.

    What is in hand stays within the `bounds` of the server: what there is no room for is answered 503. So that this holds of bodies too, give them piece by
    piece, by an iterator that raises an `OSError` or an `EOFError` when there is no more though there should be.
    """
    place = registry._enter(server)
    if isinstance(place, Response):
        return place
    try:
        whole: Any = body
        if not isinstance(body, (bytes, str)) and hasattr(body, "__aiter__"):
            whole = await _whole(place, body)
            if isinstance(whole, Response):
                return whole
        reply = registry.handle(method, path, query, whole, headers=headers, peer=peer, principal=principal, server=server)
        return await _settled(registry, reply)
    finally:
        place.leave()


async def _whole(place: Place, parts: AsyncIterable[bytes]) -> bytes | Response:
    """The body, or what it is refused with."""
    read = bytearray()
    limit = _Limit(place.patience)
    try:
        with limit:
            async for part in parts:
                read += part
                if read and (refused := place.take(len(read))) is not None:
                    return refused
    except asyncio.CancelledError:
        if not limit.over:
            raise
        return place.late()
    except (OSError, EOFError):
        return place.cut()
    place.read()
    return bytes(read)


class _Limit:
    """Cancels the task that is in it when so many seconds are over. `asyncio.wait_for` would make another task for every body."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._seconds = seconds

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def _end(self) -> None:
        self.over = True
        if self._task is not None:
            self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.over and self._task is not None and sys.version_info >= (3, 11):
            # It was no one else's will that it ends.
            self._task.uncancel()


async def pieces(registry: Registry, response: Response) -> AsyncIterator[bytes]:
    """The body of a response, piece by piece: one, or of a stream as many as there are until whoever reads them has enough."""
    yield response.body
    while response.more is not None:
        response = await _settled(registry, response.more.resume())
        if response.status != 200:  # There is no room to wait on.
            return
        yield response.body


async def _settled(registry: Registry, reply: Response | Wait) -> Response:
    while isinstance(reply, Wait):
        if (refused := reply._refused()) is not None:
            return refused
        with _keeping_time(registry):
            await _concerned(reply)
        reply = reply.resume()
    return reply


async def _concerned(wait: Wait) -> None:
    """Return when something has changed that `wait` is about, or when it is over."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    number = wait._listen(_waker(loop, event))
    if number is None:
        return
    try:
        await asyncio.wait_for(event.wait(), max(wait.until - now(), 0) / 1e6)
    except asyncio.TimeoutError:
        pass
    finally:
        wait._unlisten(number)


# The tasks that do the timed work of registries on a loop while long polls wait there, one for each however many wait.
_keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Registry, _Keeper]] = WeakKeyDictionary()


class _Keeper:
    def __init__(self, registry: Registry) -> None:
        self.waiting = 0
        self.task = asyncio.ensure_future(self.keep(registry))

    async def keep(self, registry: Registry) -> None:
        while True:
            await _changed(registry, registry.revision)


@contextmanager
def _keeping_time(registry: Registry) -> Generator[None, None, None]:
    keepers = _keepers.setdefault(asyncio.get_running_loop(), {})
    keeper = keepers.get(registry) or keepers.setdefault(registry, _Keeper(registry))
    keeper.waiting += 1
    try:
        yield
    finally:
        keeper.waiting -= 1
        if not keeper.waiting:
            del keepers[registry]
            keeper.task.cancel()


class Watch:
    """What matches a query, change by change. Made by `Registry.watch`.

    The first changes are an `added` for every instance that matches already. Changes that pass unread are folded
    into one per instance: a slow reader gets the net difference and never loses state. `poll()` it or iterate over it,
    not both.
    """

    __slots__ = ("_pending", "_registry", "_view")

    def __init__(self, registry: Registry, view: View) -> None:
        self._registry = registry
        self._view = view
        self._pending: deque[Change] = deque()

    @property
    def query(self) -> Query:
        """Who is asked for."""
        return self._view.query

    def poll(self) -> Delta | None:
        """What is different since the last call; None when nothing is. Never waits."""
        return self._view.poll()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._pending:
            revision = self._registry.revision
            if (delta := self._view.poll()) is not None:
                self._pending.extend(delta.changes)
            else:
                await _changed(self._registry, revision)
        return self._pending.popleft()
