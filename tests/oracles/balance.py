"""Makes the vectors of the balancing policies: first, random, round-robin, least-request, rendezvous.

    pip install xxhash && python tests/oracles/balance.py

Shares no code with the core. It follows the published algorithms (named at each) and the rules that the module docs
of core/src/balance write down; hashes come from the reference xxHash library, logarithms from the C library.
"""

import json
import math
import pathlib

import xxhash

OUT = pathlib.Path(__file__).parent.parent / "vectors"
M64 = (1 << 64) - 1
TRIES = 8


class Rng:
    """xoshiro256++ 1.0 seeded by SplitMix64 (Blackman and Vigna, https://prng.di.unimi.it/)."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & M64
            z = seed
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
            self.s.append(z ^ (z >> 31))

    def next(self):
        s = self.s
        rotl = lambda x, k: (x << k | x >> (64 - k)) & M64
        result = (rotl((s[0] + s[3]) & M64, 23) + s[0]) & M64
        t = s[1] << 17 & M64
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result

    def below(self, n):
        return self.next() * n >> 64

    def two_distinct(self, n):
        """The lower half of one number says the first of n, the upper half the second of the n - 1 others."""
        bits = self.next()
        first, second = (bits & 0xFFFFFFFF) * n >> 32, (bits >> 32) * (n - 1) >> 32
        return first, second + (second >= first)


assert [Rng(0).next()] == [5987356902031041503]


class Random:
    """Vose's alias method (1991) in integers, its columns drawn as core/src/balance/policy/random.rs says."""

    def __init__(self, hosts, seed):
        self.hosts, self.rng = hosts, Rng(seed)

    def table(self):
        weights = list(self.hosts.values())
        n, total = len(weights), sum(weights)
        amounts = [w * n for w in weights]
        own, alias = [1 << 32] * n, list(range(n))
        light = [i for i in range(n) if amounts[i] < total]
        heavy = [i for i in range(n) if amounts[i] >= total]
        while light and heavy:
            low, high = light.pop(), heavy.pop()
            own[low], alias[low] = max(1, (amounts[low] << 32) // total), high
            amounts[high] -= total - amounts[low]
            (light if amounts[high] < total else heavy).append(high)
        return own, alias

    def draw(self):
        own, alias = self.table()
        bits = self.rng.next()
        place = (bits >> 32) * len(own) >> 32
        return list(self.hosts)[place if (bits & 0xFFFFFFFF) < own[place] else alias[place]]

    def pick(self, exclude=()):
        if not exclude:
            return self.draw()
        for _ in range(TRIES):
            host = self.draw()
            if host not in exclude:
                return host
        left = {h: w for h, w in self.hosts.items() if h not in exclude}
        at = self.rng.below(sum(left.values()))
        for host, weight in left.items():
            if at < weight:
                return host
            at -= weight


class RoundRobin:
    """ngx_http_upstream_get_peer of nginx 1.27 (src/http/ngx_http_upstream_round_robin.c), without failures."""

    def __init__(self, hosts):
        divisor = math.gcd(*hosts.values())
        self.peers = {h: [w // divisor, 0] for h, w in hosts.items()}

    def pick(self, tried=()):
        best, total = None, 0
        for host, peer in self.peers.items():
            if host in tried:
                continue
            peer[1] += peer[0]
            total += peer[0]
            if best is None or peer[1] > self.peers[best][1]:
                best = host
        self.peers[best][1] -= total
        return best

    def change(self, hosts):
        """callboard's rule for a changed pool: kept turns scale with the sum of the weights and average 0; a newcomer has 0."""
        old, before = self.peers, sum(p[0] for p in self.peers.values())
        self.__init__(hosts)
        total = sum(p[0] for p in self.peers.values())
        nearest = lambda a, b: (a + b // 2) // b
        kept = {h: nearest(nearest(old[h][1] << 32, before) * total, 1 << 32) for h in hosts if h in old}
        for host, current in kept.items():
            self.peers[host][1] = current - sum(kept.values()) // len(kept)


class LeastRequest:
    """Power of two choices (Mitzenmacher 2001) over distinct hosts drawn by weight: the lower in flight / weight, the first on a tie."""

    def __init__(self, hosts, seed):
        self.hosts, self.draws, self.open = hosts, Random(hosts, seed), dict.fromkeys(hosts, 0)

    def better(self, one, two):
        return one if self.open[one] * self.hosts[two] <= self.open[two] * self.hosts[one] else two

    def pick(self, exclude=()):
        host = self.choose(exclude)
        self.open[host] += 1
        return host

    def choose(self, exclude):
        names = list(self.hosts)
        if len(names) == 1:
            return names[0]
        if not exclude and len(set(self.hosts.values())) == 1:
            one, two = self.draws.rng.two_distinct(len(names))
            return self.better(names[one], names[two])
        one = self.draws.pick(exclude)
        for _ in range(TRIES):
            two = self.draws.pick(exclude)
            if two != one:
                return self.better(one, two)
        return one


class WithReplacement(LeastRequest):
    """Envoy's and gRPC's draw: one may be drawn twice."""

    def __init__(self, hosts, seed, choices=2):
        super().__init__(hosts, seed)
        self.choices = choices

    def choose(self, exclude):
        best = self.draws.pick(exclude)
        for _ in range(self.choices - 1):
            other = self.draws.pick(exclude)
            if other != best:
                best = self.better(best, other)
        return best


class Rendezvous:
    """Thaler and Ravishankar (1998), weighted by -ln(u) / weight; the hash is XXH3-64 of the two hashes."""

    def __init__(self, hosts, seed=0, service="s"):
        self.hosts, self.rng, self.service = hosts, Rng(seed), service

    def order(self, key):
        h = self.rng.next() if key is None else xxhash.xxh3_64_intdigest(key.encode())
        scores = []
        for host, weight in self.hosts.items():
            mark = xxhash.xxh3_64_intdigest(f"{self.service}\0{host}".encode())
            bits = xxhash.xxh3_64_intdigest(h.to_bytes(8, "little") + mark.to_bytes(8, "little"))
            t = ((M64 - bits) + 0.5) / 2.0**64
            scores.append((-math.log1p(-t) / weight, host))
        scores.sort()
        # So far apart that any logarithm worth the name gives this order.
        assert all(b[0] / a[0] > 1 + 1e-9 for a, b in zip(scores, scores[1:]))
        return [host for _, host in scores]

    def pick(self, key, exclude=()):
        return next(h for h in self.order(key) if h not in exclude)


# --- writing them down

def register(hosts, **more):
    return [{"do": "register", "args": {"instance": {"service": "s", "id": h, "weight": w, **more}}} for h, w in hosts.items()]


def thousandths(hosts):
    return {h: round(w * 1000) for h, w in hosts.items()}


def balancer(policy, seed=None, **query):
    args = {"query": {"service": "s", **query}, "policy": policy}
    return {"do": "balancer", "args": args | ({} if seed is None else {"options": {"seed": seed}})}


def pick(expect, **args):
    return {"do": "pick", **({"args": args} if args else {}), "expect": {"id": expect}}


def refused(code, kind="UnavailableError", field=None, **args):
    error = {"code": code, "kind": kind} | ({} if field is None else {"field": field})
    return {"do": "pick", **({"args": args} if args else {}), "expect": {"error": error}}


def picks(ids, **args):
    return {"do": "picks", "args": {"count": len(ids), **args}, "expect": {"ids": ids}}


def counted(ids, **args):
    counts = {h: ids.count(h) for h in sorted(set(ids))}
    return {"do": "picks", "args": {"count": len(ids), **args}, "expect": {"counts": counts}}


DONE = {"finish": {"ok": True}}


def first():
    abc = {"c": 1, "a": 0.5, "b": 7}
    finish = lambda name, known, **more: {"do": "finish", "args": {"token": {"$": f"{name}.token"}, **more}, "expect": {"known": known}}
    return "first", "The first by service and id; and what all policies share: tiers, refusals, tickets, reaping, stats.", \
        "The rules of core/src/balance, worked out by hand.", [
        {"name": "the first by id, whatever the order and weight", "steps": [
            *register(abc), balancer("first", 3), picks(["a"] * 3),
            pick("b", exclude=["a"]), pick("c", exclude=["b", "a"]), pick("a", exclude=["b", "c"], key="k"),
            refused("all-excluded", field="exclude", exclude=["a", "b", "c"]), pick("a")]},
        {"name": "available, then degraded, then draining, never unavailable", "steps": [
            *register({"a": 1}, health="unhealthy"), *register({"b": 1}), *register({"c": 1}, health="degraded"), *register({"d": 1, "e": 1}),
            {"do": "set_admin", "args": {"service": "s", "id": "b", "admin": {"state": "draining"}}},
            balancer("first"), pick("d"), pick("e", exclude=["d"]), pick("c", exclude=["d", "e"]), pick("b", exclude=["c", "d", "e"]),
            refused("all-excluded", exclude=["b", "c", "d", "e"]),
            {"do": "set_health", "args": {"service": "s", "id": "d", "health": "unhealthy"}}, pick("e"),
            {"do": "deregister", "args": {"service": "s", "id": "e"}}, pick("c"),
            {"do": "set_admin", "args": {"service": "s", "id": "c", "admin": {"state": "disabled"}}}, pick("b"),
            {"do": "set_health", "args": {"service": "s", "id": "b", "health": "starting"}}, refused("none-available"),
            {"do": "set_health", "args": {"service": "s", "id": "a", "health": "healthy"}}, pick("a")]},
        {"name": "a suspect instance is second choice", "steps": [
            *register({"a": 1}, ttl=10, grace=20), *register({"b": 1}), balancer("first"), pick("a"),
            {"at": 10_000_000, "do": "advance"}, pick("b"),
            {"do": "renew", "args": {"service": "s", "id": "a"}}, pick("a")]},
        {"name": "nobody is a typed reason", "steps": [
            balancer("first", 1, health="any"), refused("no-instances"),
            *register({"a": 0}), refused("none-available"), refused("none-available", exclude=["a"]),
            *register({"b": 1}, health="unhealthy"), refused("none-available"),
            *register({"a": 0.001}), pick("a"), refused("all-excluded", exclude=["a"])]},
        {"name": "a token is good once", "steps": [
            *register({"a": 1}), balancer("first"), {**pick("a"), "as": "one"}, {**pick("a"), "as": "two"},
            finish("one", True, outcome={"ok": True, "latency": 0.01}), finish("one", False), finish("two", True, outcome={"ok": False}),
            finish("two", False, outcome={"ok": False}),
            {"do": "finish", "args": {"token": 0}, "expect": {"known": False}},
            {"do": "finish", "args": {"token": 9007199254740991}, "expect": {"known": False}},
            {**pick("a"), "as": "three"},
            {"do": "finish_and_pick", "args": {"token": {"$": "three.token"}, "outcome": {"ok": True, "latency": 0.03}}, "expect": {"id": "a"}},
            {"do": "balancer_stats", "expect": {
                "policy": "first", "picks": 4, "inflight": 1, "succeeded": 2, "failed": 1, "reaped": 0, "latency": 0.02, "backwards": 0,
                "instances": [{"service": "s", "id": "a", "availability": "available", "picks": 4, "inflight": 1, "succeeded": 2, "failed": 1,
                               "reaped": 0, "latency": 0.02}]}}]},
        {"name": "a pick that is never finished is reaped", "steps": [
            *register({"a": 1}),
            {"do": "balancer", "args": {"query": {"service": "s"}, "policy": "first", "options": {"reap_after": 32}}},
            {"do": "balancer_deadline", "expect": {"deadline": None}},
            {"at": 5_000_000, **pick("a"), "as": "one"}, {"at": 20_000_000, **pick("a"), "as": "two"},
            {"do": "balancer_deadline", "expect": {"deadline": 37_000_000}},
            {"at": 36_999_999, "do": "reap", "expect": {"reaped": 0}}, {"at": 37_000_000, "do": "reap", "expect": {"reaped": 1}},
            finish("one", False), {"do": "balancer_deadline", "expect": {"deadline": 52_000_000}}, finish("two", True),
            {"do": "balancer_deadline", "expect": {"deadline": None}},
            {"at": 40_000_000, **pick("a"), "as": "three"}, {"at": 72_000_000, **finish("three", False)},
            {"do": "balancer_stats", "expect": {"picks": 3, "inflight": 0, "succeeded": 1, "reaped": 2}}]},
        {"name": "picks are counted through removal and return", "steps": [
            *register({"a": 1, "b": 1}), balancer("first"), {**pick("a"), "as": "one"}, {**pick("a"), "as": "two"},
            {"do": "deregister", "args": {"service": "s", "id": "a"}}, {**pick("b"), "as": "three"}, finish("one", True),
            {"do": "balancer_stats", "expect": {"inflight": 2, "succeeded": 1, "instances": [{"id": "b", "inflight": 1}]}},
            *register({"a": 1}), pick("a"), finish("two", True),
            {"do": "balancer_stats", "expect": {"inflight": 2, "instances": [
                {"id": "a", "inflight": 1, "succeeded": 2}, {"id": "b", "inflight": 1}]}}]},
        {"name": "who comes back after its last call has ended is new", "steps": [
            *register({"a": 1, "b": 1}), balancer("first"), {**pick("a"), "as": "one"}, {"do": "deregister", "args": {"service": "s", "id": "a"}},
            {"do": "balancer_stats", "expect": {"inflight": 1, "instances": [{"id": "b"}]}}, finish("one", True), *register({"a": 1}),
            {"do": "balancer_stats", "expect": {"succeeded": 1, "instances": [{"id": "a", "picks": 0, "succeeded": 0}, {"id": "b"}]}}]},
        {"name": "what makes no balancer", "steps": [
            {"do": "balancer", "args": {"query": {"service": "s"}, "policy": "best"}, "expect": {"error": {"code": "invalid-policy", "kind": "InvalidError"}}},
            *[{"do": "balancer", "args": {"query": {"service": "s"}, "policy": "first", "options": options}, "expect": {"error": error}} for options, error in [
                ({"reap_after": 0.0009}, {"code": "limit-exceeded", "limit": 1_000}),
                ({"reap_after": 86400.1}, {"code": "limit-exceeded", "limit": 86_400_000_000}),
                ({"reap_after": -1}, {"code": "invalid-duration"}), ({"seed": -1}, {"code": "invalid-argument"}),
                ({"seed": 0.5}, {"code": "invalid-argument"}), ({"sede": 1}, {"code": "unknown-field"})]]]},
        {"name": "a key is at most 4096 bytes", "steps": [
            *register({"a": 1}), balancer("first"), pick("a", key="k" * 4096),
            refused("limit-exceeded", "LimitError", "key", key="k" * 4097), refused("limit-exceeded", "LimitError", "key", key="é" * 2049),
            refused("all-excluded", key="k" * 4096, exclude=["a"])]},
        {"name": "at most 64 are excluded", "steps": [
            *register({f"h{n:02}": 1 for n in range(64)}), balancer("first"), refused("all-excluded", exclude=[f"h{n:02}" for n in range(64)]),
            refused("limit-exceeded", "LimitError", "exclude", exclude=["h00"] * 65)]},
    ]


def round_robin():
    nginx = "nginx commit 52327e0627f4, src/http/ngx_http_upstream_round_robin.c; openresty/lua-resty-balancer t/swrr.t"
    def published(name, weights, ids):
        model = RoundRobin(thousandths(weights))
        assert [model.pick() for _ in ids] == ids
        return {"name": name, "steps": [*register(weights), balancer("round-robin"), picks(ids)]}
    tried, steps = {"a": 5, "b": 3, "c": 1, "d": 3}, []
    model = RoundRobin(thousandths(tried))
    for round in range(40):
        exclude = [h for i, h in enumerate(tried) if round % 3 == 2 and (round * 5 + i * 3) % 4 < 2]
        steps.append(pick(model.pick(exclude), exclude=exclude) if exclude else pick(model.pick()))
    change, moves = {"a": 1, "b": 1, "c": 1, "d": 1}, []
    turns = RoundRobin(thousandths(change))
    def go(count):
        moves.append(picks([turns.pick() for _ in range(count)]))
    go(5)
    for hosts in [change | {"e": 1}, {"b": 1, "c": 1, "d": 1, "e": 1}, {"b": 3, "c": 1, "d": 1, "e": 1}, {"b": 3, "c": 1, "d": 1, "e": 1, "f": 2.5}]:
        for gone in change.keys() - hosts.keys():
            moves.append({"do": "deregister", "args": {"service": "s", "id": gone}})
        moves += register({h: w for h, w in hosts.items() if change.get(h) != w})
        change = hosts
        turns.change(thousandths(hosts))
        go(9)
    rotated = RoundRobin(thousandths({"a": 1, "b": 1, "c": 1}))
    big = RoundRobin(thousandths({"a": 6, "b": 3, "c": 1}))
    return "round-robin", "The smooth weighted round robin of nginx.", \
        f"Published sequences: {nginx}. The rest: python tests/oracles/balance.py, a transcription of that function.", [
        published("nginx: weights 5, 1, 1", {"a": 5, "b": 1, "c": 1}, list("aabacaa") * 2),
        published("resty: weights 4, 2, 1", {"a": 4, "b": 2, "c": 1}, list("abacaba") * 2),
        published("equal weights", {"a": 1, "b": 1, "c": 1}, list("abcabc")),
        published("only the ratio counts", {"a": 0.5, "b": 0.1, "c": 0.1}, list("aabacaa") * 2),
        {"name": "weights 6, 3, 1 are exact", "steps": [
            *register({"a": 6, "b": 3, "c": 1}), balancer("round-robin"), counted([big.pick() for _ in range(10_000)], **DONE)]},
        {"name": "the seed moves the start", "steps": [
            *register({"a": 1, "b": 1, "c": 1}), balancer("round-robin", 7), picks([rotated.pick() for _ in range(9)][7 % 3:])]},
        {"name": "nginx: peers a request was tried on keep their turn", "steps": [*register(tried), balancer("round-robin"), *steps]},
        {"name": "who is not eligible takes no turn", "steps": [
            *register({"a": 5, "b": 1, "c": 1}), balancer("round-robin"), picks(list("aab")),
            *register({"aa": 0}), *register({"ab": 9}, health="unhealthy"), *register({"z": 9}, health="degraded"), picks(list("acaa"))]},
        {"name": "turns outlive changes", "steps": [*register({"a": 1, "b": 1, "c": 1, "d": 1}), balancer("round-robin"), *moves]},
    ]


def random():
    even, uneven = {f"b{i}": 1 for i in range(5)}, {"a": 0.5, "b": 1, "c": 2.5, "d": 6, "e": 1}
    cases = []
    for name, hosts, seed in [("equal weights", even, 7), ("weights", uneven, 7), ("another seed", uneven, 9007199254740991),
                              ("one", {"a": 1}, 1), ("the lightest beside the heaviest", {"a": 0.001, "b": 65535}, 3)]:
        model = Random(thousandths(hosts), seed)
        cases.append({"name": name, "steps": [
            *register(hosts), balancer("random", seed), picks([model.pick() for _ in range(30)]),
            counted([model.pick() for _ in range(2_000)], **DONE)]})
    model, steps = Random(thousandths(uneven), 11), []
    for round in range(30):
        exclude = [["d"], ["d", "c"], ["a", "b", "c", "d"], ["d", "c", "b"], []][round % 5]
        steps.append(pick(model.pick(exclude), exclude=exclude) if exclude else pick(model.pick()))
    cases.append({"name": "exclusion", "steps": [*register(uneven), balancer("random", 11), *steps]})
    heavy = {"a": 1, "b": 2, "z": 60000}
    model = Random(thousandths(heavy), 5)
    cases.append({"name": "the exact draw after eight misses", "steps": [
        *register(heavy), balancer("random", 5), *[pick(model.pick(["z"]), exclude=["z"]) for _ in range(12)]]})
    model = Random(thousandths(even), 4)
    before = [model.pick() for _ in range(6)]
    cases.append({"name": "who is not eligible changes nothing, not even the draws", "steps": [
        *register(even), balancer("random", 4), picks(before), *register({"a": 0}), *register({"b2a": 5}, health="starting"),
        refused("all-excluded", exclude=list(even)), picks([model.pick() for _ in range(12)])]})
    return "random", "In proportion to the weights, by the alias method.", \
        "python tests/oracles/balance.py: xoshiro256++ and SplitMix64 as published, Vose's alias method, the draws of core/src/balance/policy/random.rs.", cases


def least_request():
    cases = []
    for name, hosts, seed in [("equal weights", {f"b{i}": 1 for i in range(5)}, 7), ("weights", {"a": 1, "b": 2, "c": 0.5, "d": 4}, 7), ("one", {"a": 1}, 7)]:
        model = LeastRequest(thousandths(hosts), seed)
        ids = [model.pick() for _ in range(40)]
        cases.append({"name": f"{name}: open picks", "steps": [*register(hosts), balancer("least-request", seed), picks(ids)]})
    hosts = {"a": 1, "b": 2, "c": 1, "d": 3}
    model, steps, names = LeastRequest(thousandths(hosts), 13), [], []
    for round in range(60):
        exclude = [h for i, h in enumerate(hosts) if round % 4 == 3 and (round + i) % 3]
        got = model.pick(exclude)
        steps.append({**(pick(got, exclude=exclude) if exclude else pick(got)), "as": f"p{round}"})
        names.append((f"p{round}", got))
        if round % 3:
            name, host = names.pop(round * 7 % len(names))
            model.open[host] -= 1
            steps.append({"do": "finish", "args": {"token": {"$": f"{name}.token"}}, "expect": {"known": True}})
    left = [{"id": h, "inflight": n} for h, n in model.open.items()]
    steps.append({"do": "balancer_stats", "expect": {"inflight": len(names), "instances": left}})
    cases.append({"name": "picks, exclusions and finishes", "steps": [*register(hosts), balancer("least-request", 13), *steps]})
    # Envoy's least_request_lb_simulation_test.cc: ten active on one of three; without replacement 0, 1/2, 1/2.
    model = LeastRequest({"a": 1000, "b": 1000, "c": 1000}, 2)
    busy = [pick(model.pick(["b", "c"]), exclude=["b", "c"]) for _ in range(10)]
    ids = []
    for _ in range(4_000):
        ids.append(model.pick())
        model.open[ids[-1]] -= 1
    assert ids.count("a") == 0 and abs(ids.count("b") / 4_000 - 0.5) < 0.02
    cases.append({"name": "envoy: the busiest is never picked, the others evenly", "steps": [
        *register({"a": 1, "b": 1, "c": 1}), balancer("least-request", 2), *busy, counted(ids, **DONE)]})
    two = LeastRequest({"a": 1000, "b": 1000}, 2)
    busy = [pick(two.pick(["b"]), exclude=["b"]) for _ in range(10)]
    cases.append({"name": "envoy: of two, always the idle one", "steps": [
        *register({"a": 1, "b": 1}), balancer("least-request", 2), *busy, counted(["b"] * 500, **DONE)]})
    # With replacement the busiest wins against itself; the shares are those of least_request_lb_simulation_test.cc and of #20420.
    for name, open_, choices, shares in [
            ("none is busy", [0, 0, 0], 2, [1 / 3] * 3), ("one of three is busy", [10, 0, 0], 2, [1 / 9, 4 / 9, 4 / 9]), ("one of two is busy", [10, 0], 2, [1 / 4, 3 / 4]),
            ("one of four is idle", [0, 1, 1, 1], 2, [7 / 16, 3 / 16, 3 / 16, 3 / 16]), ("one of thirty is idle, thirty are drawn", [0] + [1] * 29, 30, [1 - (29 / 30) ** 30])]:
        hosts = {f"b{i:02}": 1000 for i in range(len(open_))}
        model, ids = WithReplacement(hosts, 7, choices), []
        model.open = dict(zip(hosts, open_))
        for _ in range(10_000):
            ids.append(model.pick())
            model.open[ids[-1]] -= 1
        # Envoy's tolerance.
        assert all(abs(ids.count(host) / len(ids) - share) < 0.01 for host, share in zip(hosts, shares))
        policy = {"preset": "envoy.least-request", "sticky": {}, **({} if choices == 2 else {"pick": {"kind": "sample", "choices": choices, "distinct": False}})}
        busy = [pick(host, prefer=[host]) for host, count in model.open.items() for _ in range(count)]
        cases.append({"name": f"envoy: with replacement, {name}", "steps": [*register(dict.fromkeys(hosts, 1)), balancer(policy, 7), *busy, counted(ids, **DONE)]})
    scanning = {"preset": "least-request", "pick": {"kind": "sample", "choices": "all", "score": "in-flight"}}
    # Of those that are alike each is as likely: the n-th takes the place of the best with a chance of 1 in n.
    rng, ids = Rng(7), []
    for _ in range(30):
        best = "a"
        for ties, host in enumerate("bcd", 2):
            best = host if rng.below(ties) == 0 else best
        ids.append(best)
    assert min(map(ids.count, "abcd")) > 3
    cases.append({"name": "a full scan is fair to those that are alike", "steps": [
        *register(dict.fromkeys("abcd", 1)), balancer(scanning, 7), picks(ids, **DONE)]})
    return "least-request", "The power of two choices over distinct hosts.", \
        "Probabilities: Envoy least_request_lb_simulation_test.cc and envoyproxy/envoy#20420 (drawn without replacement). " \
        "Sequences: python tests/oracles/balance.py: xoshiro256++ and SplitMix64 as published, the rule of core/src/balance/policy/sample.rs.", cases


def rendezvous():
    hosts = {"b0": 1, "b1": 2, "b2": 0.5, "b3": 1, "b4": 4}
    keys = [f"user-{i}" for i in range(20)] + ["", "é", "k" * 300]
    full = Rendezvous(thousandths(hosts))
    def all_keys(model):
        return [pick(model.pick(key), key=key) for key in keys]
    without = Rendezvous(thousandths({h: w for h, w in hosts.items() if h != "b4"}))
    heavier = Rendezvous(thousandths(hosts | {"b2": 8}))
    even = Rendezvous(thousandths({f"n{i}": 1 for i in range(6)}))
    walk = []
    for key in keys[:6]:
        order = full.order(key)
        walk += [pick(order[n], key=key, exclude=order[:n]) if n else pick(order[0], key=key) for n in range(len(order))]
    loose = Rendezvous(thousandths(hosts), 21)
    return "rendezvous", "Weighted rendezvous hashing: a key stays with its instance.", \
        "python tests/oracles/balance.py: XXH3-64 of the reference library (python-xxhash), -ln(u) / weight by the C library; " \
        "Thaler and Ravishankar, 'Using name-based mappings to increase hit rates', 1998.", [
        {"name": "equal weights", "steps": [*register({f"n{i}": 1 for i in range(6)}), balancer("rendezvous"), *all_keys(even)]},
        {"name": "weights, removal, return, a heavier weight", "steps": [
            *register(hosts), balancer("rendezvous"), *all_keys(full),
            {"do": "deregister", "args": {"service": "s", "id": "b4"}}, *all_keys(without),
            *register({"b4": 4}), *all_keys(full), *register({"b2": 8}), *all_keys(heavier)]},
        {"name": "the seed changes no key", "steps": [*register(hosts), balancer("rendezvous", 99), *all_keys(full)]},
        {"name": "the walk for retries", "steps": [*register(hosts), balancer("rendezvous"), *walk]},
        {"name": "without a key, at random", "steps": [
            *register(hosts), balancer("rendezvous", 21), picks([loose.pick(None) for _ in range(20)])]},
        {"name": "who is not eligible owns no key", "steps": [
            *register(hosts), *register({"b5": 9}, health="unhealthy"), *register({"b6": 0}), *register({"b7": 9}, health="degraded"),
            balancer("rendezvous"), *all_keys(full)]},
    ]


def write(name, about, source, cases):
    for case in cases:
        assert sum(step["do"] == "balancer" for step in case["steps"]) >= 1
    head = {"name": name, "about": about, "source": source}
    lines = [f'  "{k}": {json.dumps(v, ensure_ascii=False)},' for k, v in head.items()]
    bodies = []
    for case in cases:
        steps = ",\n".join("      " + json.dumps(step, ensure_ascii=False) for step in case["steps"])
        bodies.append(f'    {{"name": {json.dumps(case["name"])}, "steps": [\n{steps}]}}')
    text = "{\n" + "\n".join(lines) + '\n  "cases": [\n' + ",\n".join(bodies) + "\n  ]\n}\n"
    json.loads(text)
    (OUT / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for made in [first(), random(), round_robin(), least_request(), rendezvous()]:
        write(*made)
