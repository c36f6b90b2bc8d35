"""A call of a service by a client of the network, whichever it is: whom to call, and whether again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ._errors import Error, InvalidError
from ._native import Balancer, is_repeatable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._native import Pick, Registry
    from ._types import Instance
    from .policy import Policy


def balancers(registry: Registry, services: Iterable[str], *, policy: Policy | None = None, **options: Any) -> dict[str, Balancer]:
    """Who names no policy makes no more retries than a share of the calls."""
    return {service: Balancer(registry, service, {"retry": {}} if policy is None else policy, **options) for service in services}


def hosts(registry: Registry, services: Iterable[str], host_of: Callable[[str], str | None], **settings: Any) -> dict[str, Balancer]:
    """The balancers by the host that a URL of theirs has, which is in lower case."""
    found: dict[str, Balancer] = {}
    for name, balancer in balancers(registry, services, **settings).items():
        try:
            host = host_of(f"http://{name}")
        except Exception:  # Each client has its own for what is no URL.
            host = None
        if host is None or host != name.lower() or host in found:
            raise InvalidError(f"{name} cannot be told from another host", "invalid-name", "services")
        found[host] = balancer
    return found


class Call:
    """A call: the attempt that is under way, and those that failed before it.

    A client sends to `instance` after `delay` seconds and tells what became of it: `goes_on` says whether another instance is to be tried, which is
    then `instance`; when it is not, `finish` ends the call.
    """

    def __init__(self, balancer: Balancer, method: str, key: bytes | str | None = None) -> None:
        self._balancer, self._method, self._key = balancer, method, key
        self._tried: list[Pick] = []
        self._outcome: dict[str, Any] = {}
        self._begin(self._pick(), 0.0)

    @property
    def instance(self) -> Instance:
        return self._tried[-1].instance

    def goes_on(self, outcome: dict[str, Any], *, can_be_sent: bool = True) -> bool:
        """Whether the call is made again elsewhere after an attempt that ended so; the outcome is kept for `finish` when it is not."""
        self._outcome = outcome
        if not can_be_sent or not is_repeatable(self._method, **outcome):
            return False
        delay = self._balancer.retry_delay(len(self._tried))
        if delay is None or not self._balancer.may_retry():
            return False
        try:
            pick = self._pick()
        except Error:  # Nobody is left: what there was of an answer is the answer.
            return False
        self.finish()
        self._begin(pick, delay)
        return True

    def finish(self, outcome: dict[str, Any] | None = None) -> None:
        """Tells the balancer what became of the attempt, and with what latency; once."""
        self._tried[-1].finish(latency=max(time.monotonic() - self._started, 0), **(self._outcome if outcome is None else outcome))

    def give_up(self) -> None:
        """The caller left: that says nothing of the instance."""
        self.finish({"kind": "cancelled"})

    def _pick(self) -> Pick:
        return self._balancer.pick(key=self._key, exclude=self._tried)

    def _begin(self, pick: Pick, delay: float) -> None:
        self._tried.append(pick)
        self.delay, self._started = delay, time.monotonic() + delay


def answered(status: int, retry_after: str | None) -> dict[str, Any]:
    """The outcome that an HTTP answer tells, with its `Retry-After` if that is a number of seconds."""
    outcome: dict[str, Any] = {"status": status}
    # A number without end is no time to be spared.
    if retry_after and retry_after.isascii() and retry_after.isdecimal() and len(retry_after) < 10:
        outcome["retry_after"] = float(retry_after)
    return outcome
