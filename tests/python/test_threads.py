"""Many threads on one registry and one balancer: no deadlock, no lost object, no exception that is not ours."""

import faulthandler
import random
import threading

import callboard
from callboard import Balancer, Registry

THREADS = 8
CALLS = 3_000


def test_mixed_calls_from_many_threads():
    # A deadlock would be for ever: say where, and fail.
    faulthandler.dump_traceback_later(60, exit=True)
    registry = Registry()
    for number in range(20):
        registry.register("billing", f"b{number}", endpoints=["http://10.0.0.1:80"])
    shared = Balancer(registry, "billing")
    watch = registry.watch("billing")
    failures, heard = [], []
    listener = registry._listen(lambda: heard.append(registry.revision))

    def work(number):
        chance = random.Random(number)
        own = Balancer(registry, "billing", "round-robin")

        def leave_and_return():
            name = f"b{chance.randrange(20)}"
            try:
                registry.deregister("billing", name)
            except callboard.NotFoundError:
                pass
            registry.register("billing", name, metadata={"by": str(number)}, ttl=30)

        def keep():
            with shared.pick() as instance:
                assert instance.service == "billing"

        calls = [
            leave_and_return,
            keep,
            keep,
            lambda: next(shared).id,
            lambda: next(own).id,
            lambda: [instance.id for instance in registry.query("billing")],
            lambda: watch.poll(),
            lambda: registry.advance(),
            lambda: shared.stats(),
            lambda: registry.stats(),
            lambda: registry.lookup("billing", f"b{chance.randrange(20)}"),
            lambda: registry.changes(registry.position),
        ]
        try:
            for _ in range(CALLS):
                chance.choice(calls)()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faulthandler.cancel_dump_traceback_later()
    registry._unlisten(listener)
    assert not failures, failures
    assert len(registry) == 20 and shared.in_flight == 0 and heard
