"""What a user's type checker sees. Not run: mypy --strict and pyright read it, and each line must mean what it says."""

from __future__ import annotations

from collections.abc import Mapping

import callboard
from callboard import Balancer, Change, Instance, Query, Registry
from callboard.policy import PolicyParts
from typing_extensions import assert_type

registry = Registry(allow_local_addresses=True, timer_slack=0.5)
assert_type(registry.register("billing", "b1", endpoints=["http://10.0.0.5:8080"], metadata={"env": "prod"}, ttl=30).handle, int)
assert_type(registry.lookup("billing", "b1"), "Instance | None")
assert_type(registry.query(Query("billing", version="^1.4")).instances, "tuple[Instance, ...]")
assert_type([instance.url for instance in registry.query("billing")], "list[str | None]")
assert_type(registry.deadline, "int | None")
assert_type(registry.snapshot(), bytes)

balancer = Balancer(registry, Query("billing"), policy="round-robin", seed=7)
with balancer.pick(key=b"user", exclude=[3]) as instance:
    assert_type(instance, Instance)
    assert_type(instance.metadata, Mapping[str, str])
assert_type(next(balancer).weight, float)
assert_type(balancer.pick().finish(ok=False, latency=0.25), bool)

parts: PolicyParts = {
    "preset": "round-robin",
    "slow_start": {"window": 60},
    "breaker": {"instance": 8, "trip": {"failures": 5}},
    "outliers": {"preset": "adaptive", "latency": "off"},
    "retry": {"budget": {"kind": "tokens", "ratio": 0.1}},
    "limit": "vegas",
    "pick": {"kind": "sample", "choices": "all", "score": {"kind": "cost", "idle": "never"}},
}
Balancer(registry, "billing", parts)
Balancer(registry, "billing", {"breaker": {"instance": 8}, "labels": {"selectors": [["zone"], {"keys": ["env", "zone"]}]}})

Balancer(registry, "billing", {"braker": {"instance": 8}})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Balancer(registry, "billing", {"breaker": {"instances": 8}})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Balancer(registry, "billing", {"limit": {"kind": "vegas", "queue": 4}})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Balancer(registry, "billing", {"subset": {"kind": "rings"}})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
registry.register("billing")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
registry.register("billing", "b1", wieght=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
registry.set_health("billing", "b1", "ill")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Balancer(registry, "billing", policy="best")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
instance.id = "b2"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def follow() -> None:
    async for change in registry.watch("billing"):
        assert_type(change, Change)


try:
    registry.renew("billing", "b1")
except callboard.NotFoundError as error:
    assert_type(error.code, str)
    assert_type(error.limit, "int | None")
