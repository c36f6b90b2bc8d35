"""Several servers over one etcd: a provider that signs in at one is seen at all, renews at any, and survives each of them.

    CALLBOARD_SHARE=http://127.0.0.1:2379 uvicorn registry:app --port 7401
    CALLBOARD_SHARE=http://127.0.0.1:2379 uvicorn registry:app --port 7402

While etcd is away, what is known is served and says that it is stale, renewals are taken, and changes are refused; with `CALLBOARD_QUEUE=1000`, so many are taken
and written when it is back. Who writes what and who wins is callboard's decision (`Replica`); this file carries its questions to etcd's JSON gateway.

pip install httpx
"""

import asyncio
import contextlib
import sys

import httpx

from callboard import Error, Registry, Replica, now

PATIENCE = 2  # seconds for an answer
SILENCE = 60  # seconds after which a watch that says nothing is asked again: its connection may be gone without a word


class Shared:
    """A registry's part in an etcd that several servers share. It lives on the loop that calls `start`."""

    def __init__(self, registry: Registry, url: str, *, queue: int = 0) -> None:
        self.registry, self.url, self.replica = registry, url, Replica(queue=queue)
        self.changed, self.answered = asyncio.Event(), asyncio.Event()
        self.tasks: list[asyncio.Task] = []

    def start(self) -> None:
        self.http = httpx.AsyncClient(base_url=self.url, timeout=PATIENCE, trust_env=False)
        self.tasks = [asyncio.create_task(work()) for work in (self.speak, self.listen)]

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def kept(self) -> bool:
        """Whether etcd has all that was changed so far, or it may wait for etcd."""
        edition = self.registry.edition
        self.changed.set()
        while True:
            news = self.answered
            match self.replica.fate(edition):
                case "waiting":
                    await news.wait()
                case fate:
                    return fate == "kept"

    async def speak(self) -> None:
        """Says what there is to say, one question after the other."""
        while True:
            self.changed.clear()
            ask = self.replica.ask(self.registry)
            if ask is None:
                due = self.replica.deadline
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), None if due is None else max((due - now()) / 1e6, 0.001))
                continue
            try:
                answer = await asyncio.wait_for(self.http.post(ask.path, content=ask.body), PATIENCE)
                report(self.replica.answer(self.registry, answer.content))
            except (httpx.HTTPError, TimeoutError) as problem:
                print(f"etcd does not answer: {problem!r}", file=sys.stderr)
                self.replica.failed(self.registry)
            except Error as problem:
                print(f"etcd answers strangely: {problem!r}", file=sys.stderr)
            news, self.answered = self.answered, asyncio.Event()
            news.set()

    async def listen(self) -> None:
        """Hears what the others say."""
        while True:
            ask = self.replica.follow()
            await asyncio.sleep(ask.after)
            patience = httpx.Timeout(PATIENCE, read=SILENCE if ask.stream else PATIENCE)
            try:
                async with self.http.stream("POST", ask.path, content=ask.body, timeout=patience) as answer:
                    async for part in answer.aiter_lines() if ask.stream else whole(answer):
                        told = report(self.replica.push(self.registry, part))
                        self.changed.set()
                        if told.again:
                            break
                    else:
                        self.replica.lost(self.registry)
            except httpx.HTTPError:
                self.replica.lost(self.registry)
            except Error as problem:
                print(f"etcd says strange things: {problem!r}", file=sys.stderr)


async def whole(answer):
    yield await answer.aread()


def report(told):
    for unread in told.skipped:
        print(f"{unread.key} is left alone: {unread.error['code']}", file=sys.stderr)
    return told
