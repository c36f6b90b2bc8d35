"""Watches: polled, and with asyncio."""

import asyncio
import gc
import threading
import weakref

from callboard import Query, Registry


def run(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, 20)

    return asyncio.run(bounded())


async def take(watch, count):
    seen = []
    async for change in watch:
        seen.append((change.kind, change.id))
        if len(seen) == count:
            return seen


def test_a_watch_is_polled():
    registry = Registry()
    registry.register("billing", "b1", metadata={"env": "prod"}, now=0)
    watch = registry.watch(Query("billing", selector="env=prod"))
    first = watch.poll()
    assert first.added == (registry.lookup("billing", "b1"),) and first.reset
    assert watch.poll() is None
    registry.register("billing", "b2", metadata={"env": "prod"}, now=0)
    registry.register("billing", "b1", metadata={"env": "test"}, now=0)
    registry.register("other", "o1", metadata={"env": "prod"}, now=0)
    delta = watch.poll()
    assert ([one.id for one in delta.added], delta.updated, [gone.id for gone in delta.removed]) == (["b2"], (), ["b1"])
    assert [(change.kind, change.id) for change in delta.changes] == [("removed", "b1"), ("added", "b2")]
    assert (delta.revision, delta.epoch) == (registry.revision, registry.epoch)


def test_a_slow_reader_gets_the_net_difference():
    registry = Registry(log_capacity=4)
    watch = registry.watch("billing")
    watch.poll()
    for number in range(100):
        registry.register("billing", f"b{number % 7}", weight=number, now=0)
        if number % 7:
            registry.deregister("billing", f"b{number % 7}", now=0)
    delta = watch.poll()
    assert [(one.id, one.weight) for one in delta.added] == [("b0", 98)] and delta.reset


def test_changes_arrive_as_they_happen():
    registry = Registry()
    registry.register("billing", "b1")

    async def main():
        seen = asyncio.create_task(take(registry.watch("billing"), 4))
        await asyncio.sleep(0)
        registry.register("billing", "b2")
        await asyncio.sleep(0.01)
        registry.set_health("billing", "b1", "degraded")
        await asyncio.sleep(0.01)
        registry.deregister("billing", "b2")
        return await seen

    assert run(main()) == [("added", "b1"), ("added", "b2"), ("updated", "b1"), ("removed", "b2")]


def test_another_thread_wakes_the_loop():
    registry = Registry()

    async def main():
        thread = threading.Timer(0.05, lambda: registry.register("billing", "b1"))
        thread.start()
        seen = await take(registry.watch("billing"), 1)
        thread.join()
        return seen

    assert run(main()) == [("added", "b1")]


def test_a_watch_ends_leases_while_nobody_calls():
    registry = Registry()
    registry.register("billing", "b1", ttl=1, grace=0)

    async def main():
        return await take(registry.watch("billing"), 2)

    assert run(main()) == [("added", "b1"), ("removed", "b1")]


def test_many_watches_each_see_all():
    registry = Registry()

    async def main():
        tasks = [asyncio.create_task(take(registry.watch(query), 10)) for query in ["billing"] * 20]
        for number in range(10):
            registry.register("billing", f"b{number}")
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks)

    assert run(main()) == [[("added", f"b{number}") for number in range(10)]] * 20


def test_a_cancelled_watch_leaves_nothing_behind():
    registry = Registry()

    async def main():
        task = asyncio.create_task(take(registry.watch("billing"), 1))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
    registry.register("billing", "b1")
    reference = weakref.ref(registry)
    del registry
    gc.collect()
    assert reference() is None


def test_a_loop_that_is_gone_harms_nobody():
    registry = Registry()
    loop = asyncio.new_event_loop()
    task = loop.create_task(take(registry.watch("billing"), 1))
    loop.run_until_complete(asyncio.sleep(0.01))
    task._log_destroy_pending = False
    loop.close()
    assert registry.register("billing", "b1").created


def test_an_abandoned_watch_and_its_registry_are_collected():
    registry = Registry()
    loop = asyncio.new_event_loop()
    task = loop.create_task(take(registry.watch("billing"), 1))
    loop.run_until_complete(asyncio.sleep(0.01))
    task._log_destroy_pending = False
    loop.close()
    reference = weakref.ref(registry)
    del registry, task, loop
    gc.collect()
    assert reference() is None
