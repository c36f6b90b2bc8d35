"""Makes the vectors of weights that instances report.

    pip install xxhash && python tests/oracles/reports.py

Shares no code with the core. The weights are those of gRPC's A58 and of Envoy's client-side weighted round robin; the turns those of
tests/oracles/order.py.
"""

import math
import statistics

from balance import Rng, balancer, write
from order import Edf, Stride


class Weights:
    """The state machine of A58, worked out once an update; an instance without a weight has the mean, or in Envoy the median."""

    def __init__(self, hosts, blackout=10, expiration=180, update=1, penalty=1.0, average=statistics.fmean):
        self.hosts, self.average, self.penalty = hosts, average, penalty
        self.blackout, self.expiration, self.update = blackout, expiration, update
        self.since, self.last, self.value, self.due = {}, {}, {}, None
        self.now = dict.fromkeys(hosts, 1000)

    def report(self, host, now, qps, eps=0, utilization=0, cpu=0):
        used = utilization or cpu
        if not used or not qps:
            return
        if host not in self.last or now - self.last[host] >= self.expiration:
            self.since[host] = now
        self.last[host], self.value[host] = now, qps / (used + eps / qps * self.penalty)
        if self.due is None:
            self.due = now + self.update

    def step(self, now):
        """Whether the weights are worked out now."""
        if self.due is None or now < self.due:
            return False
        alive = [host for host in self.hosts if host in self.last and now - self.last[host] < self.expiration]
        self.due = now + self.update if alive else None
        usable = {host: self.value[host] for host in alive if now - self.since[host] >= self.blackout}
        if not usable:
            self.now = dict.fromkeys(self.hosts, 1000)
            return True
        top, other = max(usable.values()), self.average(usable.values())
        # The heaviest is 65535.
        self.now = {host: math.floor(65535 * usable.get(host, other) / top + 0.5) for host in self.hosts}
        return True


JAVA = [(22, 0.12, 19.7), (40, 0.28, 0.998), (100, 0.86, 3.14159)]


def at(seconds, step):
    return {"at": round(seconds * 1_000_000), **step}


class Script:
    def __init__(self, hosts, policy, stride=True, seed=0, **rules):
        self.hosts = list(hosts)
        self.model = Weights(self.hosts, **rules)
        self.stride, self.turns, self.tokens = stride, Stride(self.model.now, seed), 0
        self.steps = [{"do": "register", "args": {"instance": {"service": "s", "id": id}}} for id in hosts] + [balancer(policy, seed)]

    def pick(self, now, **more):
        if self.model.step(now):
            self.turns = Stride(self.model.now, self.turns.sequence)
        if self.stride:
            host = self.turns.pick()
        self.steps.append(at(now, {"do": "pick", **more, **({"expect": {"id": host}} if self.stride else {})}))
        return host if self.stride else None

    def call(self, now, loads):
        """A call whose answer reports the load of whoever had it."""
        name = f"p{self.tokens}"
        self.tokens += 1
        host = self.pick(now, **{"as": name})
        load = loads(host)
        outcome = {} if load is None else {"outcome": {"ok": True, "load": load}}
        self.steps.append({"do": "finish", "args": {"token": {"$": f"{name}.token"}, **outcome}, "expect": {"known": True}})
        if load:
            self.model.report(host, now, load.get("qps", 0), load.get("eps", 0), load.get("utilization", 0), load.get("cpu", 0))

    def case(self, name):
        return {"name": name, "steps": self.steps}


def published(name, until=16, **more):
    script = Script("abc", "grpc.weighted-round-robin")
    loads = {host: {"qps": qps, "utilization": used, "eps": eps} for host, (qps, used, eps) in zip("abc", JAVA)}
    for place in range(until * 4):
        script.call(place / 4, loads.get)
    return script.case(name)


def silent(name):
    """One never reports, one stops: the mean of the others, and none after the expiration."""
    script = Script("abc", {"preset": "grpc.weighted-round-robin", "reports": {"expiration": 20, "blackout": 2, "update": 0.5}}, expiration=20, blackout=2, update=0.5)
    for place in range(160):
        now = place / 4
        loads = {"a": {"qps": 100, "utilization": 0.5} if now < 10 else None, "b": {"qps": 50, "cpu": 0.8}, "c": {"qps": 10} if place % 2 else None}
        script.call(now, loads.get)
    return script.case(name)


def left():
    """A report is its instance's: who comes after it has the mean."""
    steps = [{"do": "register", "args": {"instance": {"service": "s", "id": id}}} for id in "ab"]
    steps.append(balancer({"preset": "grpc.weighted-round-robin", "reports": {"blackout": 0}}, 0))
    for id, other, used in [("a", "b", 0.25), ("b", "a", 1)]:
        steps += [{"do": "pick", "args": {"exclude": [other]}, "expect": {"id": id}, "as": id},
                  {"do": "finish", "args": {"token": {"$": f"{id}.token"}, "outcome": {"load": {"qps": 100, "utilization": used}}}}]
    return {"name": "the report of one that left is no report of who comes", "steps": [
        *steps, {"do": "deregister", "args": {"service": "s", "id": "a"}},
        {"do": "pick", "expect": {"id": "b"}}, {"do": "register", "args": {"instance": {"service": "s", "id": "d"}}},
        at(4, {"do": "picks", "args": {"count": 10}, "expect": {"counts": {"b": 5, "d": 5}}})]}


def life(name, seed, **rules):
    rng = Rng(seed)
    policy = {"preset": "grpc.weighted-round-robin", "reports": rules} if rules else "grpc.weighted-round-robin"
    script, now = Script("abcdefg", policy, seed=seed, **rules), 0
    for _ in range(200):
        now += rng.below(400_000) / 1_000_000 + (30 if rng.below(60) == 0 else 0)
        now = round(now, 6)
        load = {"qps": rng.below(90), "utilization": rng.below(3) / 2, "cpu": rng.below(5) / 4, "eps": rng.below(10)}
        script.call(now, lambda host: load if rng.below(4) else None)
    return script.case(name)


def envoy():
    """Envoy's weights with its median: of 1000/.5 and two of 1000/1, one that is silent has 1000; 8 picks of 5 turns each."""
    steps = [{"do": "register", "args": {"instance": {"service": "s", "id": id}}} for id in "abcd"]
    steps.append(balancer({"preset": "envoy.client-side-wrr", "reports": {"unknown": "median", "blackout": 0}}, 0))
    turns = Edf(dict.fromkeys("abcd", 1.0))
    used = {"a": 0.5, "b": 1, "c": 1}
    for number in range(4):
        host = turns.pick()
        steps.append({"do": "pick", "expect": {"id": host}, "as": f"p{number}"})
        outcome = {"outcome": {"ok": True, "load": {"qps": 1000, "utilization": used[host]}}} if host in used else {}
        steps.append({"do": "finish", "args": {"token": {"$": f"p{number}.token"}, **outcome}})
    # In a second the weights are 2, 1, 1 and the median, 1: of forty turns sixteen and three times eight.
    steps.append(at(1, {"do": "picks", "args": {"count": 40}, "expect": {"counts": {"a": 16, "b": 8, "c": 8, "d": 8}}}))
    return {"name": "envoy: weights by the median, deadlines by the weights", "steps": steps}


def ratio(name, reports, count, counts, policy="envoy.client-side-wrr", **settings):
    """Each reports once; an update later so many picks are shared so."""
    steps = [{"do": "register", "args": {"instance": {"service": "s", "id": id}}} for id in reports]
    steps.append(balancer({"preset": policy, "reports": {"blackout": 0, **settings, "unknown": "median" if policy.startswith("envoy") else "mean"}}, 0))
    for number, (id, load) in enumerate(reports.items()):
        others = [other for other in reports if other != id]
        steps.append({"do": "pick", "args": {"exclude": others}, "expect": {"id": id}, "as": f"p{number}"})
        steps.append({"do": "finish", "args": {"token": {"$": f"p{number}.token"}, **({"outcome": {"load": load}} if load else {})}})
    steps.append(at(1, {"do": "picks", "args": {"count": count, "finish": {"ok": True}}, "expect": {"counts": dict(zip(reports, counts))}}))
    return {"name": name, "steps": steps}


def rows():
    """Envoy's client_side_weighted_round_robin_lb_test.cc: 1000 a second at 0.5 weigh 2000, or 1428 with 100 errors that count twice; a weight is
    at most 2^32 - 1 there, here it is as large as it is, and the lightest has a thousandth beside 65.535. grpc-java: who says nothing of use has the mean."""
    assert (1000 / 0.5, math.floor(1000 / (0.5 + 100 / 1000 * 2.0))) == (2000, 1428)
    used = lambda weight: {"qps": weight, "utilization": 1}
    return [
        ratio("envoy: a weight of 2000 and one of 1428", {"a": {"qps": 1000, "utilization": 0.5}, "b": {"qps": 1000, "utilization": 0.5, "eps": 100}}, 24, [14, 10], penalty=2),
        ratio("envoy: errors count for nothing without a penalty", {"a": {"qps": 1000, "utilization": 0.5}, "b": {"qps": 1000, "utilization": 0.5, "eps": 100}}, 24, [12, 12], penalty=0),
        ratio("envoy: a weight beyond 32 bits", {"a": {"qps": 1e13, "utilization": 1e-7}, "b": used(2000)}, 65536, [65535, 1]),
        *[ratio(f"grpc: weights {', '.join(map(str, weights))}", dict(zip("abc", [used(weight) if weight > 0 else {"qps": 0, "utilization": 1} for weight in weights])), 6, counts,
                "grpc.weighted-round-robin") for weights, counts in [([1, 2, 3], [1, 2, 3]), ([3, 0, 1], [3, 2, 1]), ([1, 1, 1], [2, 2, 2]), ([0, 0, 0], [2, 2, 2])]]]


def reports():
    return "reports", "Weights by the load that instances report.", \
        "gRPC A58 with the weights of grpc-java's WeightedRoundRobinLoadBalancerTest; Envoy's client_side_weighted_round_robin: tests/oracles/reports.py.", [
        published("grpc: the published loads, which count after ten seconds"), silent("grpc: who is silent has the mean; reports expire"), envoy(), *rows(), left(),
        life("a random life", 1), life("a random life without a blackout", 2, blackout=0), life("a random life that forgets soon", 3, blackout=1, expiration=5, update=0.1, penalty=3)]


if __name__ == "__main__":
    write(*reports())
