"""One pick in Python, beside the standard library and the class one would write.

Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes fewer sizes and rounds.
"""

import itertools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import callboard
import uhashring

SAMPLE_NS = 4_000_000
# A block of calls without a loop in between: the loop would cost as much as a call.
BLOCK = 20
# More than a cache would hold, as long as a session's name.
KEYS = [f"session-{at:012}" for at in range(8_192)]


class P2C:
    """Power of two choices, as one would write it."""

    __slots__ = ("hosts", "in_flight")

    def __init__(self, hosts: list[object]) -> None:
        self.hosts = hosts
        self.in_flight = [0] * len(hosts)

    def pick(self) -> int:
        count = len(self.hosts)
        one = int(random.random() * count)
        other = int(random.random() * (count - 1))
        if other >= one:
            other += 1
        in_flight = self.in_flight
        chosen = one if in_flight[one] <= in_flight[other] else other
        in_flight[chosen] += 1
        return chosen

    def finish(self, chosen: int) -> None:
        self.in_flight[chosen] -= 1


class Smooth:
    """Smooth weighted round robin, as one would write it."""

    __slots__ = ("current", "hosts", "total", "weights")

    def __init__(self, hosts: list[object], weights: list[int]) -> None:
        self.hosts, self.weights, self.current, self.total = hosts, weights, [0] * len(hosts), sum(weights)

    def pick(self) -> object:
        current, best = self.current, 0
        for at, weight in enumerate(self.weights):
            current[at] += weight
            if current[at] > current[best]:
                best = at
        current[best] -= self.total
        return self.hosts[best]


def cases(n: int) -> dict[str, Callable[[int], None]]:
    registry = callboard.Registry()
    weights = [1 + at % 10 for at in range(n)]
    for at in range(n):
        registry.register("equal", f"host-{at:05}", now=1)
        registry.register("weighted", f"host-{at:05}", weight=weights[at], now=1)
    hosts = list(registry.query("equal").instances)
    assert len(hosts) == n
    least = callboard.Balancer(registry, "equal", "least-request", seed=1)
    even = callboard.Balancer(registry, "equal", "random", seed=1)
    uneven = callboard.Balancer(registry, "weighted", "random", seed=1)
    smooth = callboard.Balancer(registry, "weighted", "round-robin", seed=1)
    p2c, by_hand = P2C(hosts), Smooth(hosts, weights)
    cumulative = list(itertools.accumulate(weights))
    choice, choices = random.choice, random.choices
    # The object of an instance is made when it is first picked: once in its life, and not what is measured here.
    for balancer in (least, even, uneven, smooth):
        for _ in range(20 * n):
            next(balancer)
    last = least.pick()

    def chained(count: int) -> None:
        nonlocal last
        for _ in range(count):
            last = least.finish_and_pick(last.token)

    keys = itertools.cycle(KEYS)
    found = {
        "empty": block("pass", {}),
        "next": block("next(b)", {"b": even}),
        "next, weighted": block("next(b)", {"b": uneven}),
        "next, smooth": block("next(b)", {"b": smooth}),
        "next, least": block("next(b)", {"b": least}),
        "pick and finish": block("b.pick().finish()", {"b": least}),
        "by token": block("b.finish(b.pick().token)", {"b": least}),
        "finish and pick": chained,
        "choice": block("choice(hosts)", {"choice": choice, "hosts": hosts}),
        "choices": block("choices(hosts, cum_weights=weights)", {"choices": choices, "hosts": hosts, "weights": cumulative}),
        "P2C": block("b.finish(b.pick())", {"b": p2c}),
        "Smooth": block("b.pick()", {"b": by_hand}),
    }
    # The points of more are above what a ring may have.
    if n <= 1_000:
        ring = callboard.Balancer(registry, "equal", {"preset": "ring-hash", "pick": {"kind": "ring-hash", "points": 160}}, seed=1)
        # As many points: 40 places of four each.
        peer = uhashring.HashRing([host.id for host in hosts], hash_fn="ketama")
        found["ring"] = block("b.finish(b.pick(key=next(keys)).token)", {"b": ring, "keys": keys})
        found["uhashring"] = block("b.get_node(next(keys))", {"b": peer, "keys": keys})
    return found



def block(statement: str, names: dict[str, object]) -> Callable[[int], None]:
    """A function that executes the statement so many times; its names are locals, as in a user's function."""
    parameters = "".join(f", {name}={name}" for name in names)
    body = "\n".join([f"        {statement}"] * BLOCK)
    source = f"def run(count{parameters}):\n    for _ in range(0, count, {BLOCK}):\n{body}\n"
    space = dict(names)
    exec(source, space)
    return space["run"]  # type: ignore[return-value]


def measure(cases: dict[str, Callable[[int], None]], label: str, rounds: int) -> dict[str, list[float]]:
    clock = time.thread_time_ns
    shuffled = random.Random(1)
    counts: dict[str, int] = {}
    for name, run in cases.items():
        count = BLOCK
        while True:
            started = clock()
            run(count)
            elapsed = clock() - started
            if elapsed >= SAMPLE_NS / 4:
                break
            count *= 2
        counts[name] = max(BLOCK, int(count * SAMPLE_NS / elapsed) // BLOCK * BLOCK)
    samples: dict[str, list[float]] = {name: [] for name in cases}
    order = list(cases)
    for number in range(rounds):
        print(f"{label}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        shuffled.shuffle(order)
        for name in order:
            started = clock()
            cases[name](counts[name])
            samples[name].append((clock() - started) / counts[name])
    return samples


def report(name: str, ours: list[float], peer: list[float], goal: float | None) -> None:
    def figure(samples: list[float]) -> tuple[float, list[float]]:
        tenths = statistics.quantiles(samples, n=10)
        return round(statistics.median(samples), 2), [round(tenths[0], 2), round(tenths[-1], 2)]

    (our, our_noise), (their, their_noise) = figure(ours), figure(peer)
    ratio = their / our
    print(
        json.dumps(
            {
                "name": name,
                "unit": "ns",
                "ours": our,
                "peer": their,
                "ratio": round(ratio, 4),
                "goal": goal,
                "met": None if goal is None else ratio >= goal,
                "noise": {"ours": our_noise, "peer": their_noise},
            }
        ),
        flush=True,
    )


def main() -> None:
    quick = "--quick" in sys.argv
    for n in (10, 1_000) if quick else (10, 100, 1_000, 10_000):
        found = measure(cases(n), f"n = {n}", 7 if quick else 21)
        # The loop is in all of them.
        empty = statistics.median(found.pop("empty"))
        net = {name: [max(sample - empty, 0.1) for sample in samples] for name, samples in found.items()}

        def row(what: str, ours: str, peer: str, goal: float | None) -> None:
            report(f"Python, {what}", net[ours], net[peer], goal)

        row(f"next(balancer), random, n={n}: random.choice", "next", "choice", 10)
        row(f"next(balancer), least-request, n={n}: random.choice", "next, least", "choice", None)
        row(f"next(balancer), random, weights 1 to 10, n={n}: random.choices(cum_weights)", "next, weighted", "choices", 50 if n == 100 else None)
        row(f"next(balancer), round-robin, weights 1 to 10, n={n}: smooth class", "next, smooth", "Smooth", None)
        row(f"pick() and its finish(), least-request, n={n}: P2C class", "pick and finish", "P2C", 4)
        row(f"pick() and finish() by token, least-request, n={n}: P2C class", "by token", "P2C", None)
        row(f"finish_and_pick(), least-request, n={n}: P2C class", "finish and pick", "P2C", None)
        if n <= 1_000:
            row(f"pick() by a key and its finish(), ring of 160 points a host, n={n}: uhashring, ketama", "ring", "uhashring", None)


main()
