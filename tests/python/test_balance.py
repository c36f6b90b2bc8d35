"""The balancer as Python sees it. Which instance it picks is the vectors' business."""

import asyncio
import time

import callboard
import pytest
from callboard import Balancer, Query, Registry

SECOND = 1_000_000


@pytest.fixture
def registry():
    registry = Registry()
    for name in ("b1", "b2", "b3"):
        registry.register("billing", name, endpoints=[f"http://10.0.0.{name[1]}:8080"], now=0)
    return registry


def raises(code, field, call, *args, **kwargs):
    with pytest.raises(callboard.Error) as caught:
        call(*args, **kwargs)
    assert (caught.value.code, caught.value.field) == (code, field), str(caught.value)


def tally(balancer):
    stats = balancer.stats()
    return {name: stats[name] for name in ("inflight", "succeeded", "failed", "reaped")}


def test_a_block_is_a_success_or_a_failure(registry):
    balancer = Balancer(registry, "billing", seed=1)
    with balancer.pick() as instance:
        assert instance is registry.instance(instance.handle)
        assert balancer.in_flight == 1
        time.sleep(0.01)
    with pytest.raises(ZeroDivisionError), balancer.pick():
        1 / 0
    assert tally(balancer) == {"inflight": 0, "succeeded": 1, "failed": 1, "reaped": 0}
    assert balancer.stats()["latency"] >= 0.005


def test_a_pick_is_finished_once(registry):
    balancer = Balancer(registry, "billing")
    pick = balancer.pick()
    assert pick.finish(False, latency=0.25) and not pick.finish()
    assert balancer.stats()["latency"] == 0.25
    pick = balancer.pick(now=7 * SECOND)
    assert balancer.finish(pick.token, now=8 * SECOND) and not balancer.finish(pick.token, now=8 * SECOND)
    assert tally(balancer) == {"inflight": 0, "succeeded": 1, "failed": 1, "reaped": 0}


def test_the_times_of_a_pick_are_told_or_read_never_mixed(registry):
    balancer = Balancer(registry, "billing")
    with balancer.pick(now=2**52):
        pass
    assert "latency" not in balancer.stats()
    balancer.pick(now=2**52).finish(now=2**52 + SECOND)
    assert balancer.stats()["latency"] == 1


def test_one_crossing_a_call(registry):
    balancer = Balancer(registry, "billing", "round-robin", seed=1)
    pick, ids = balancer.pick(), []
    for _ in range(6):
        ids.append(pick.instance.id)
        pick = balancer.finish_and_pick(pick.token, ok=True, latency=0.001)
    assert sorted(ids) == ["b1", "b1", "b2", "b2", "b3", "b3"]
    assert balancer.in_flight == 1


def test_next_is_a_pick_without_feedback(registry):
    balancer = Balancer(registry, "billing", "round-robin", seed=1)
    assert {next(balancer).id for _ in range(3)} == {"b1", "b2", "b3"}
    assert balancer.in_flight == 0
    assert [instance.service for instance, _ in zip(balancer, range(4))] == ["billing"] * 4


def test_it_follows_the_registry(registry):
    balancer = Balancer(registry, Query("billing", selector="!gone"), "round-robin")
    assert len(balancer) == 3
    registry.deregister("billing", "b1", now=0)
    registry.register("billing", "b2", metadata={"gone": "yes"}, now=0)
    assert {next(balancer).id for _ in range(4)} == {"b3"}
    registry.deregister("billing", "b3", now=0)
    raises("no-instances", "", balancer.pick)
    raises("no-instances", "", lambda: next(balancer))
    registry.register("billing", "b4", weight=3, now=0)
    assert next(balancer).weight == 3


def test_an_update_gives_a_new_object(registry):
    balancer = Balancer(registry, "billing", "first")
    first = next(balancer)
    registry.register("billing", "b9", now=0)
    assert next(balancer) is first
    registry.register("billing", "b1", weight=2, now=0)
    assert next(balancer) is not first and next(balancer).weight == 2


def test_a_pick_ends_leases_that_are_due():
    registry = Registry()
    registry.register("billing", "b1", ttl=1, now=0)
    balancer = Balancer(registry, "billing")
    assert balancer.pick(now=0).instance.id == "b1"
    raises("no-instances", "", balancer.pick, now=SECOND)
    assert len(registry) == 0


def test_a_key_goes_to_one_instance(registry):
    balancer = Balancer(registry, "billing", "rendezvous")
    assert len({balancer.pick("user-7").instance.id for _ in range(20)}) == 1
    assert balancer.pick("é").instance is balancer.pick("é".encode()).instance
    assert len({balancer.pick(str(user)).instance.id for user in range(50)}) == 3


def test_what_was_tried_is_excluded(registry):
    balancer = Balancer(registry, "billing")
    first = balancer.pick()
    second = balancer.pick(exclude=[first])
    third = balancer.pick(exclude={first.instance.handle, second.instance})
    assert {pick.instance.id for pick in (first, second, third)} == {"b1", "b2", "b3"}
    raises("all-excluded", "exclude", balancer.pick, exclude=[first, second, third])


def test_hostile_arguments(registry):
    balancer = Balancer(registry, "billing")
    before = balancer.in_flight
    for key in (1, 1.5, ["a"], "\ud800", object()):
        raises("invalid-argument", "key", balancer.pick, key)
    raises("limit-exceeded", "key", balancer.pick, "k" * 4_097)
    for exclude in (1, [None], ["b1"], [-1], [2**53], [float("nan")], [True]):
        raises("invalid-argument", "exclude" if exclude == 1 else "handle", balancer.pick, exclude=exclude)
    raises("limit-exceeded", "exclude", balancer.pick, exclude=range(65))
    for token in (-1, 2**53, 1.0, "1", None, True, float("nan")):
        raises("invalid-argument", "token", balancer.finish, token)
        raises("invalid-argument", "token", balancer.finish_and_pick, token)
    assert not balancer.finish(0) and not balancer.finish(2**53 - 1)
    pick = balancer.pick()
    raises("invalid-argument", "ok", pick.finish, 1)
    for latency in (-1, float("nan"), float("inf"), 2**53):
        raises("invalid-duration", "latency", pick.finish, True, latency)
    raises("invalid-argument", "latency", pick.finish, True, "1")
    for now in (-1, 2**53, 1.0, float("nan"), "1", True):
        for call in (balancer.pick, pick.finish, balancer.advance):
            raises("invalid-time", "now", call, now=now)
    assert pick.finish()
    assert balancer.in_flight == before
    raises("invalid-policy", "policy", Balancer, registry, "billing", "best")
    raises("invalid-argument", "policy", Balancer, registry, "billing", 1)
    raises("unknown-field", "sede", Balancer, registry, "billing", sede=1)
    raises("limit-exceeded", "reap_after", Balancer, registry, "billing", reap_after=0)
    raises("invalid-name", "service", Balancer, registry, "__proto__")
    with pytest.raises(TypeError):
        Balancer(None, "billing")
    with pytest.raises(TypeError):
        callboard.Pick()


def test_unreturned_picks_are_reaped(registry):
    balancer = Balancer(registry, "billing", reap_after=10)
    pick = balancer.pick(now=0)
    assert SECOND < balancer.deadline < 12 * SECOND
    assert balancer.advance(now=12 * SECOND) == 1
    assert not pick.finish(now=12 * SECOND)
    assert tally(balancer) == {"inflight": 0, "succeeded": 0, "failed": 0, "reaped": 1}


def test_one_seed_gives_the_same_picks(registry):
    def picks(seed):
        balancer = Balancer(registry, "billing", "random", seed=seed)
        return [next(balancer).id for _ in range(20)]

    assert picks(7) == picks(7) != picks(8)


def test_it_tells_what_it_is(registry):
    balancer = Balancer(registry, Query("billing"), "first")
    assert (balancer.policy, balancer.query, balancer.registry) == ("first", Query("billing"), registry)
    assert "first" in repr(balancer) and "b1" in repr(balancer.pick())


def test_blocks_of_tasks_count_as_in_flight_while_they_wait(registry):
    balancer = Balancer(registry, "billing", seed=1)

    async def call(everybody):
        with balancer.pick() as instance:
            waiting.append(instance.id)
            if len(waiting) == 30:
                everybody.set()
            await everybody.wait()
            return instance.id

    async def main():
        everybody = asyncio.Event()
        return await asyncio.gather(*(call(everybody) for _ in range(30)))

    waiting = []

    ids = asyncio.run(main())
    # Least request sees the calls that wait.
    assert {name: ids.count(name) for name in set(ids)}.keys() == {"b1", "b2", "b3"} and max(map(ids.count, ids)) <= 12
    assert balancer.in_flight == 0


def test_a_pick_is_explained_before_it_is_made() -> None:
    registry = callboard.Registry()
    for at in range(4):
        registry.register("s", f"b{at}", now=1)
    registry.register("s", "sick", health="unhealthy", now=1)
    balancer = callboard.Balancer(registry, "s", "adaptive", seed=3, trace=100)
    told = balancer.explain(now=2)
    pick = balancer.pick(now=2)
    assert told["choice"] == pick.instance.handle
    assert (told["matching"], told["eligible"], told["pool"]) == (5, 4, "available")
    assert told["left_out"] == [{"service": "s", "id": "sick", "reason": "unavailable"}]
    assert told["text"].startswith(f"adaptive chooses {pick.instance.id}\n")
    everybody = [pick.instance, *registry.query("s").instances]
    assert balancer.explain(exclude=everybody, now=2)["error"]["code"] == "all-excluded"


def test_a_trace_is_replayed() -> None:
    registry = callboard.Registry()
    balancer = callboard.Balancer(registry, "s", "adaptive", seed=3, trace=1000)
    assert callboard.Balancer(registry, "s").trace() is None
    for at in range(50):
        registry.register("s", f"b{at % 7}", now=at * 1000)
        balancer.pick(now=at * 1000).finish(at % 3 > 0, 0.001 * at, now=at * 1000 + 10)
    trace = balancer.trace()
    assert trace is not None
    assert callboard.Balancer.replay(trace) == {"picks": 50, "same": 50}
    other = {**trace, "options": {**trace["options"], "seed": 4}}
    assert callboard.Balancer.replay(other)["same"] < 50
    with pytest.raises(callboard.InvalidError) as error:
        callboard.Balancer.replay({**trace, "events": [{"do": "jump"}]})
    assert error.value.field == "events[0].do"


def test_metrics_are_openmetrics() -> None:
    registry = callboard.Registry()
    registry.register("s", 'a"b', now=1)
    balancer = callboard.Balancer(registry, "s", "adaptive", seed=3)
    balancer.pick(now=2).finish(True, 0.5, now=3)
    text = balancer.metrics()
    assert 'callboard_latency_seconds_sum{policy="adaptive",service="s",id="a\\"b"} 0.5\n' in text
    assert text.endswith("# EOF\n")
