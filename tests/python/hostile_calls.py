"""Hostile calls through the Python package: `hostile_calls.py COUNT`.

Every call gets arguments that nobody should pass. It may raise an error of callboard's, or what Python itself raises for a wrong type; a panic
(`PanicException` is no `Exception`), a hang or memory that keeps growing is a failure.
"""

import faulthandler
import random
import resource
import sys

import callboard
from callboard import Balancer, Query, Registry


class Odd:
    """Lies about itself."""

    def __len__(self):
        return 1 << 60

    def __getitem__(self, key):
        raise KeyError(key)

    def __iter__(self):
        raise RuntimeError("no")

    def __index__(self):
        raise ValueError("no")

    def __str__(self):
        raise LookupError("no")

    __repr__ = __str__


def deep(levels):
    made = []
    for _ in range(levels):
        made = [made]
    return made


RECURSIVE = {}
RECURSIVE["self"] = RECURSIVE

# fmt: off
THINGS = [
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**400, -(2**63), 0.5, -0.0, float("nan"), float("inf"), -float("inf"), 1e308,
    "", "a", "web", "\0", "\ud800", "a" * 70_000, "é", "../..", "a/b", "dev2", b"", b"\xff\xfe", bytearray(b"x"), memoryview(b"x"), [], {}, (), set(),
    [None], {"a": None}, {1: 2}, {"service": "web", "id": "a"}, {"service": 1}, [{"op": "register"}], {"__class__": 1}, deep(70), deep(2_000),
    RECURSIVE, Odd(), object(), Registry, len, 1j, range(3), ..., iter([]), {"kind": "sample", "choices": 10**9}, "adaptive", "ring-hash",
    {"preset": "ring-hash", "pick": {"kind": "ring-hash", "min_size": 2**32}}, {"ttl": float("nan")}, "env in (", "(" * 5_000, "* " * 999,
]
# fmt: on
PLAIN = (TypeError, ValueError, OverflowError, KeyError, LookupError, AttributeError, RuntimeError, RecursionError, MemoryError, UnicodeError)


def methods(thing):
    names = [name for name in dir(thing) if not name.startswith("_") and callable(getattr(thing, name))]
    # Both would go on for ever: one waits for what the other threads of a host do.
    return [name for name in names if name not in ("wait",)]


def main(count):
    faulthandler.dump_traceback_later(600, exit=True)
    chance = random.Random(1)
    raised, returned, names = {}, 0, set()
    levels = []

    def world():
        board = Registry()
        for number in range(5):
            board.register("web", id=f"i{number}", endpoints=["http://10.0.0.1:80"], ttl=30)
        return [board, Balancer(board, "web"), Query("web"), board.watch("web"), callboard.Store()]

    objects = world()
    makers = [Registry, Balancer, Query, Registry.restore, Registry.load, Registry.recover, callboard.Store]
    for number in range(count):
        if number % 1_000 == 0:
            objects = world()
        if number % (max(count // 20, 1)) == 0:
            levels.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            print(f"{number} of {count} calls, {levels[-1]} KiB", flush=True)
        thing = chance.choice(objects)
        if chance.random() < 0.2:
            call = chance.choice(makers)
        else:
            name = chance.choice(methods(thing))
            names.add(f"{type(thing).__name__}.{name}")
            call = getattr(thing, name)
        args = [chance.choice(THINGS) for _ in range(chance.randrange(4))]
        words = ["now", "key", "exclude", "id", "ttl", "policy", "seed", "service", "selector", "metadata", "headers", "wieght"]
        keywords = {chance.choice(words): chance.choice(THINGS) for _ in range(chance.randrange(3))}
        try:
            call(*args, **keywords)
            returned += 1
        except callboard.Error as error:
            assert error.code in callboard.codes(), error
            raised[error.code] = raised.get(error.code, 0) + 1
        except PLAIN as error:
            raised[type(error).__name__] = raised.get(type(error).__name__, 0) + 1
        # Whatever else comes, a PanicException too, ends the program.
    faulthandler.cancel_dump_traceback_later()
    board = Registry()
    board.register("web", id="a")
    assert next(Balancer(board, "web")).id == "a"
    # What is held at its height after the first quarter is held at the end.
    early, late = levels[len(levels) // 4], levels[-1]
    assert late <= early * 1.3 + 20_000, f"memory grows: {levels}"
    print(f"{count} calls of {len(names)} methods: {returned} returned, {sum(raised.values())} raised {len(raised)} kinds of error, no panic; {early // 1024} MiB, then {late // 1024} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]))
