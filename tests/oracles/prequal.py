"""Makes the vectors of `prequal`: whom it asks, and whom it picks by what they said.

    pip install xxhash && python tests/oracles/prequal.py

Shares no code with the core: it follows section 4 of the paper (Wydrowski, Kleinberg, Rumble and Archer, NSDI 2024,
arXiv 2312.10172), and where that leaves a choice, the module doc of core/src/balance/policy/prequal.rs.
"""

import math

from balance import Random, balancer, pick, register, thousandths, write

SECOND = 1_000_000


class Prequal:
    def __init__(self, hosts, seed, pool=16, age=1.0, rate=3.0, remove=1.0, quantile=0.84, delta=1.0):
        self.hosts, self.draws = hosts, Random(thousandths(hosts), seed)
        self.size, self.age, self.rate, self.remove, self.quantile, self.delta = pool, age, rate, remove, quantile, delta
        self.probes, self.seen, self.owed, self.removals, self.oldest_next = [], [], float(pool), 0.0, True

    def hot(self, probe):
        """Above the quantile of the requests in flight seen lately."""
        rank = math.floor(self.quantile * len(self.seen))
        return rank < len(self.seen) and probe["rif"] > sorted(self.seen)[rank]

    def requests(self):
        asked = []
        while self.owed >= 1:
            self.owed -= 1
            host = self.draws.draw()
            if host not in asked:
                asked.append(host)
        return asked

    def probed(self, host, rif, latency, now):
        if len(self.probes) == self.size:
            self.probes.pop(0)
        surplus = (1 - min(self.size / len(self.hosts), 1)) * self.rate - self.remove
        uses = max(1, math.floor(self.uses() + 0.5)) if surplus > 0 else self.size
        self.probes.append({"host": host, "rif": rif, "latency": latency, "at": now, "uses": uses})
        self.seen = [*self.seen, rif][-64:]

    def uses(self):
        """The paper's equation 1."""
        return max(1, (1 + self.delta) / ((1 - min(self.size / len(self.hosts), 1)) * self.rate - self.remove))

    def pick(self, now, exclude=()):
        self.probes = [probe for probe in self.probes if now - probe["at"] <= self.age]
        self.owed = min(self.owed + self.rate, self.size)
        rank = lambda probe: (True, probe["rif"]) if self.hot(probe) else (False, probe["latency"])
        open = [probe for probe in self.probes if probe["host"] not in exclude]
        if len(self.probes) < 2 or not open:
            return self.draws.pick(exclude)
        best = min(open, key=rank)
        best["rif"] += 1
        best["uses"] -= 1
        if best["uses"] == 0:
            self.probes.remove(best)
        self.removals += self.remove
        while self.removals >= 1:
            self.removals -= 1
            if self.probes:
                self.probes.remove(self.probes[0] if self.oldest_next else max(reversed(self.probes), key=rank))
            self.oldest_next = not self.oldest_next
        return best["host"]


def asked(ids, **args):
    return {"do": "probe_requests", **args, "expect": {"ids": ids}}


def told(id, rif, latency, used=True, **more):
    return {"do": "probed", "args": {"id": id, "rif": rif, "latency": latency, **more}, "expect": {"used": used}}


def life(name, count, weights=(1,), steps=40, seed=7, **settings):
    """A client that asks before each pick and hears at once; what the hosts say follows from their number and the step."""
    hosts = {f"h{place:03}": weights[place % len(weights)] for place in range(count)}
    model = Prequal(hosts, seed, **settings)
    script = [*register(hosts), balancer({"preset": "prequal", "pick": {"kind": "prequal", **settings}}, seed)]
    for step in range(steps):
        now = step * 0.02
        ids = model.requests()
        script.append(asked(ids, at=round(now * SECOND)))
        for id in ids:
            place = int(id[1:])
            rif, latency = (place * 7 + step * 3) % 11, ((place * 13 + step * 5) % 17 + 1) / 1000
            model.probed(id, rif, latency, now)
            script.append(told(id, rif, latency))
        exclude = [f"h{step % count:03}"] if step % 3 == 2 else []
        script.append(pick(model.pick(now, exclude), **({"exclude": exclude} if exclude else {})))
    return {"name": name, "steps": script}


def reused():
    """The rates of figure 8, for sixteen probes of a hundred hosts: how often each is used."""
    for rate, remove, uses in [(3, 1, 1.3157894736842106), (4, 0.25, 1), (2**1.5, 0.25, 1), (2, 0.25, 1.3986013986013988), (2**0.5, 0.25, 2.132333939932379),
                               (1, 0.25, 3.3898305084745766), (2**-0.5, 0.25, 5.8144656989094035), (0.5, 0.25, 11.764705882352942)]:
        assert abs(Prequal(dict.fromkeys(range(100), 1), 0, rate=rate, remove=remove).uses() - uses) < 1e-12
        yield life(f"a probe is used {round(uses, 2)} times, to the nearest: {round(rate, 3)} probes a call, {remove} taken out", 100, steps=24 if uses > 2 else 12, rate=rate, remove=remove)


def prequal():
    abc = {"a": 1, "b": 1, "c": 1}
    random = Random(thousandths(abc), 0)
    aged = Prequal(abc, 0)
    asks = aged.requests()
    for id, rif, latency in [("a", 1, 0.009), ("b", 1, 0.002)]:
        aged.probed(id, rif, latency, 0)
    wrong = {"error": {"code": "invalid-duration", "kind": "InvalidError", "field": "latency"}}
    return "prequal", "Whom prequal asks how they are, and whom it picks by what they said.", \
        "Wydrowski et al., Load is not what you should balance, NSDI 2024 (arXiv 2312.10172), section 4: tests/oracles/prequal.py.", [
        life("the pool of sixteen, one probe a call taken out", 100),
        life("fewer hosts than the pool: probes are used again", 8),
        life("by weight, and only by requests in flight", 20, weights=(1, 4, 0.5), quantile=0.0, seed=11),
        life("only by latency, a probe for every second call", 20, quantile=1.0, rate=0.5, remove=0.25, seed=12),
        *reused(),
        {"name": "a probe is too old after a second", "steps": [
            *register(abc), balancer("prequal", 0), asked(asks), told("a", 1, 0.009), told("b", 1, 0.002), {"at": SECOND, **pick(aged.pick(1.0))},
            {"at": SECOND + 1, **pick(aged.pick(1.000_001))}]},
        {"name": "what is of no use is told", "steps": [
            *register(abc), balancer("prequal", 0), asked(asks), told("a", 0, 0), {"do": "probed", "args": {"id": "a", "rif": 1, "latency": -1}, "expect": wrong},
            {"do": "set_health", "args": {"service": "s", "id": "c", "health": "unhealthy"}}, told("b", 4_294_967_296, 0.001), {"do": "pick"}, told("c", 1, 0.001, False)]},
        {"name": "a policy without probes asks nobody", "steps": [
            *register(abc), balancer("random", 0), pick(random.draw()), asked([]), told("a", 1, 0.001, False)]}]


if __name__ == "__main__":
    write(*prequal())
