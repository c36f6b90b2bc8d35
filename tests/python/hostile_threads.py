"""Eight threads on one registry and its balancers, with arguments that call back: `hostile_threads.py CALLS_OF_EACH`.

No deadlock, no RuntimeError ("already borrowed"), nothing that is not an error of callboard's.
"""

import faulthandler
import gc
import random
import sys
import threading

import callboard
from callboard import Balancer, Registry

THREADS = 8


def main(count):
    faulthandler.dump_traceback_later(1_800, exit=True)
    registry = Registry()
    for number in range(20):
        registry.register("billing", f"b{number}", endpoints=["http://10.0.0.1:80"])
    shared = Balancer(registry, "billing")
    watch = registry.watch("billing")
    failures, heard, done = [], [], [0] * THREADS

    def listen():
        # It is called while a registry changes, and asks it.
        heard.append(len(registry))
        if len(heard) > 1_000:
            heard.clear()
        registry.stats()

    listener = registry._listen(listen)

    class Meddling(dict):
        """A document that calls the registry when it is read."""

        def items(self):
            registry.renew("billing", "b1") if registry.lookup("billing", "b1") else None
            next(shared)
            return super().items()

        def __del__(self):
            # As the collector does it: in the middle of anything.
            registry.revision

    class Id(str):
        def __str__(self):
            shared.stats()
            return super().__str__()

    def work(number):
        chance = random.Random(number)
        own = Balancer(registry, "billing", "round-robin")

        def leave_and_return():
            name = f"b{chance.randrange(20)}"
            try:
                registry.deregister("billing", name)
            except callboard.NotFoundError:
                pass
            registry.register("billing", Id(name), metadata=Meddling(by=str(number)), ttl=30)

        def keep():
            with shared.pick() as instance:
                assert instance.service == "billing"

        def reconcile():
            registry.reconcile("consul", [Meddling(id=f"c{chance.randrange(5)}")], service="billing")

        calls = [
            leave_and_return,
            keep,
            keep,
            reconcile,
            lambda: next(shared).id,
            lambda: next(own).id,
            lambda: [instance.id for instance in registry.query("billing")],
            lambda: watch.poll(),
            lambda: registry.advance(),
            lambda: shared.stats(),
            lambda: shared.explain(),
            lambda: registry.snapshot() if chance.random() < 0.01 else None,
            lambda: gc.collect(0) if chance.random() < 0.01 else None,
        ]
        try:
            for at in range(count):
                try:
                    chance.choice(calls)()
                except callboard.NotFoundError:
                    # Somebody else was quicker.
                    pass
                done[number] = at + 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(5)
        threads[-1].join(5)
        print(f"{sum(done)} of {THREADS * count} calls", flush=True)
    faulthandler.cancel_dump_traceback_later()
    registry._unlisten(listener)
    assert not failures, failures
    assert shared.in_flight == 0
    print(f"{THREADS} threads x {count} calls: no deadlock, no error")


if __name__ == "__main__":
    main(int(sys.argv[1]))
