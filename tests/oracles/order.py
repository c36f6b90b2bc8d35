"""Makes the vectors of the policies that take turns (Envoy's EDF, gRPC's static stride) and of the cost that is learnt.

    pip install xxhash && python tests/oracles/order.py

Shares no code with the core: it follows the published rules named at each class.
"""

import heapq
import math

from balance import LeastRequest, balancer, pick, picks, register, thousandths, write


class Edf:
    """Envoy's EdfScheduler: deadline = now + 1 / weight, ties by order of entry, the weight read when a turn is taken."""

    def __init__(self, hosts, skip=0):
        self.hosts, self.open, self.now = hosts, dict.fromkeys(hosts, 0), 0.0
        self.entered = 0
        self.heap = []
        for host in hosts:
            self.enter(host)
        for _ in range(skip):
            self.pick()

    def enter(self, host, bias=0):
        heapq.heappush(self.heap, (self.now + 1.0 / self.weight(host, bias), self.entered, host))
        self.entered += 1

    def weight(self, host, bias):
        return self.hosts[host] / (self.open[host] + 1) ** bias

    def pick(self, tried=(), bias=0):
        aside = []
        while self.heap[0][2] in tried:
            aside.append(heapq.heappop(self.heap))
        deadline, _, host = heapq.heappop(self.heap)
        self.now = max(self.now, deadline)
        self.enter(host, bias)
        for turn in aside:
            heapq.heappush(self.heap, turn)
        return host


class Stride:
    """gRPC A58: scaled to 65535, passed over while (w * generation + i * 32767) mod 65535 < 65535 - w."""

    def __init__(self, hosts, sequence=0):
        self.names, weights = list(hosts), list(hosts.values())
        mean = sum(weights) / len(weights)
        top = min(max(weights), 10 * mean)
        clamped = [max(min(w, top), mean / 10) for w in weights]
        self.weights, self.sequence = [max(1, math.floor(w * 65535 / top + 0.5)) for w in clamped], sequence

    def pick(self):
        while True:
            i, generation = self.sequence % len(self.names), self.sequence // len(self.names)
            self.sequence = (self.sequence + 1) & 0xFFFFFFFF
            weight = self.weights[i]
            if (weight * generation + i * 32767) % 65535 >= 65535 - weight:
                return self.names[i]


class Learner(LeastRequest):
    """P2C by latency x (in flight / weight + 1) / success^3, more looks while the best is busy, as core/src/balance/policy/score.rs documents it."""

    TAU, GAIN, RECOVERY, IDLE = 10e6, 0.1, 10e6, 3e6

    def __init__(self, hosts, seed):
        super().__init__(hosts, seed)
        self.known = {h: dict(latency=None, timed=0, success=1.0, judged=0, picked=0, began=[]) for h in hosts}
        self.now, self.ended, self.typical, self.mean = 0, 0, 0.0, sum(hosts.values()) / len(hosts)
        self.since = 30

    def success(self, s):
        return 1 - (1 - s["success"]) * math.exp(-(self.now - s["judged"]) / self.RECOVERY)

    def cost(self, host):
        s = self.known[host]
        latency = self.typical if s["latency"] is None else s["latency"]
        if s["began"]:
            latency = max(latency, self.now - sum(s["began"]) / len(s["began"]))
        load = len(s["began"]) * self.mean / self.hosts[host]
        return max(latency, 1.0) * (load + 1) / max(self.success(s), 1 / 128) ** 3

    def better(self, one, two):
        a, b = self.cost(one), self.cost(two)
        # Equal, or so far apart that the last bits of an exponential do not matter.
        assert a == b or abs(a / b - 1) > 1e-6, (a, b)
        winner, loser = (one, two) if a <= b else (two, one)
        self.since += 1
        if self.now - self.known[loser]["picked"] >= self.IDLE and self.since > 30:
            self.since = 0
            return loser
        return winner

    def pick(self, exclude=()):
        host = self.choose(exclude)
        for _ in range(30 if len(self.hosts) > 1 else 0):
            if not self.known[host]["began"]:
                break
            other = self.draws.pick(exclude)
            if other != host:
                host = self.better(host, other)
        self.known[host]["picked"] = self.now
        self.known[host]["began"].append(self.now)
        return host

    def finish(self, host, began, ok, latency):
        s = self.known[host]
        s["began"].remove(began)
        if ok or (s["latency"] is not None and latency > s["latency"]):
            if s["latency"] is None or latency > s["latency"]:
                s["latency"] = latency
            else:
                w = math.exp(-(self.now - s["timed"]) / self.TAU)
                s["latency"] = s["latency"] * w + latency * (1 - w)
            s["timed"] = self.now
        success = self.success(s)
        s["success"], s["judged"] = success + ((1 if ok else 0) - success) * self.GAIN, self.now
        if self.ended % 65 == 0:
            known = sorted(s["latency"] for s in self.known.values() if s["latency"] is not None)
            self.typical = known[len(known) // 2] if known else self.typical
        self.ended += 1


def edf():
    source = "Envoy load_balancer_impl_test.cc and edf_scheduler_test.cc; traefik#6205; the rest: python tests/oracles/order.py"
    published = [({"a": 1, "b": 2}, 0, "babbab"), ({"a": 2, "b": 1, "c": 3}, 0, "cacbaccaccba"), ({"a": 1, "b": 4}, 0, "bbbabbbbab"),
                 ({"a": 1, "b": 2}, 1, "abbabb"), ({"a": 11, "b": 3}, 0, "aaabaaaabaaaba")]
    cases = []
    for weights, seed, ids in published:
        model = Edf(weights, seed)
        assert [model.pick() for _ in ids] == list(ids), (weights, ids)
        cases.append({"name": f"weights {', '.join(map(str, weights.values()))}, seed {seed}", "steps": [
            *register(weights), balancer("envoy.round-robin", seed), picks(list(ids))]})
    weights = {"a": 5, "b": 3, "c": 1, "d": 2}
    model, steps = Edf(weights), []
    for round in range(40):
        exclude = [h for i, h in enumerate(weights) if round % 3 == 2 and (round * 5 + i * 3) % 4 < 2]
        steps.append(pick(model.pick(exclude), exclude=exclude) if exclude else pick(model.pick()))
    cases.append({"name": "who is passed over keeps the deadline", "steps": [*register(weights), balancer("envoy.round-robin"), *steps]})
    # Envoy's WeightedLeastRequest: the load lowers the weight.
    model, ids = Edf({"a": 1, "b": 2}), []
    for _ in range(30):
        ids.append(model.pick(bias=1))
        model.open[ids[-1]] += 1
    cases.append({"name": "envoy.least-request with weights, open picks", "steps": [
        *register({"a": 1, "b": 2}), balancer("envoy.least-request"), picks(ids)]})
    return "edf", "Earliest deadline first: Envoy's weighted round robin and weighted least request.", source, cases


def stride():
    source = "gRPC Java WeightedRoundRobinLoadBalancerTest; the rest: python tests/oracles/order.py, the rule of gRPC A58"
    cases = []
    for name, weights, seed, count, ids in [
            ("weights 2, 3, 6", {"a": 2, "b": 3, "c": 6}, 0, 6, list("bccabc")),
            ("the counter wraps", {"a": 2, "b": 3, "c": 6}, 4294967295, 6, list("bccabc")),
            ("100 and almost nothing", {"a": 100, "b": 0.001}, 0, 105, None),
            ("five weights", {"a": 1.3, "b": 2.5, "c": 3.23, "d": 4.11, "e": 7.001}, 0, 60, None)]:
        model = Stride(weights, seed)
        got = [model.pick() for _ in range(count)]
        assert ids is None or got == ids
        if name.startswith("100"):
            assert (got.count("a"), got.count("b")) == (100, 5)
        cases.append({"name": name, "steps": [*register(weights), balancer("grpc.weighted-round-robin", seed), picks(got)]})
    return "stride", "gRPC's static stride scheduler.", source, cases


# What is learnt, without the ejection that tests/oracles/after.py shows.
SCORE = {"preset": "adaptive", "outliers": "off"}


def adaptive():
    cases = []
    for name, hosts, seed, slow, bad in [("a slow one and a failing one", {"a": 1, "b": 1, "c": 1, "d": 1}, 5, "b", "d"),
                                         ("with weights", {"a": 1, "b": 3, "c": 2, "d": 1}, 6, "c", "a")]:
        model, steps, out = Learner(thousandths(hosts), seed), [], []
        for round in range(150):
            model.now = round * 37_003 + (4_000_000 if round > 120 else 0)
            got = model.pick()
            steps.append({**pick(got), "at": model.now, "as": f"p{round}"})
            out.append((f"p{round}", got, model.now))
            while len(out) > 3:
                name_, host, began = out.pop(round * 7 % 3)
                ok, latency = host != bad or round % 5 == 0, (90_000 if host == slow else 11_000) + round * 13
                if host == bad:
                    latency = 900
                model.finish(host, began, ok, latency)
                outcome = {"ok": ok, "latency": latency / 1e6}
                steps.append({"do": "finish", "args": {"token": {"$": f"{name_}.token"}, "outcome": outcome}, "expect": {"known": True}})
        cases.append({"name": name, "steps": [*register(hosts), balancer(SCORE, seed), *steps]})
    # Twelve calls hang on one of two: nothing answers, and still it is seen.
    model, steps = Learner(thousandths({"a": 1, "b": 1}), 1), []
    steps.append({**pick(model.pick(["b"]), exclude=["b"]), "at": 0})
    for round in range(1, 40):
        model.now = round * 10_007
        got = model.pick()
        steps.append({**pick(got), "at": model.now, "as": f"p{round}"})
        if got == "b":
            model.finish("b", model.now, True, 5_000)
            steps.append({"do": "finish", "args": {"token": {"$": f"p{round}.token"}, "outcome": {"latency": 0.005}}})
    cases.append({"name": "calls that hang show", "steps": [*register({"a": 1, "b": 1}), balancer(SCORE, 1), *steps]})
    return "adaptive", "The cost that is learnt: latency, load and success; the idle get their turn, and calls that hang show.", \
        "python tests/oracles/order.py: the rules of core/src/balance/policy/score.rs with the C library's exponential; " \
        "peak EWMA as published by Finagle and tower.", cases


for make in (edf, stride, adaptive):
    write(*make())
