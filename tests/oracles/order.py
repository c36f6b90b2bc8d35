"""Makes the vectors of the policies that take turns (Envoy's EDF, gRPC's static stride) and of the cost that is learnt.

    pip install xxhash && python tests/oracles/order.py

Shares no code with the core: it follows the published rules named at each class.
"""

import heapq
import math

from balance import DONE, LeastRequest, balancer, counted, pick, picks, register, thousandths, write


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
    # After two turns of b a third of a's period is left, which is a 24th with a weight of 8; b has a whole third before it.
    cases.append({"name": "who is given another weight keeps what is left of its period", "steps": [
        *register({"a": 1, "b": 3}), balancer("envoy.round-robin"), picks(list("bb")), *register({"a": 8}), picks(list("aaaba"))]})
    # Envoy's WeightedLeastRequest: the load lowers the weight.
    model, ids = Edf({"a": 1, "b": 2}), []
    for _ in range(30):
        ids.append(model.pick(bias=1))
        model.open[ids[-1]] += 1
    cases.append({"name": "envoy.least-request with weights, open picks", "steps": [
        *register({"a": 1, "b": 2}), balancer("envoy.least-request"), picks(ids)]})
    # WeightedLeastRequest again, its loads held by calls that take no turn: they say whom they prefer.
    model, steps, phases = Edf({"a": 1, "b": 2}), [], [({}, "babbab"), ({"b": 1}, "babab"), ({"a": 1}, "abbbabbbba")]
    for number, (open_, ids) in enumerate(phases):
        model.open = {"a": 0, "b": 0} | open_
        assert "".join(model.pick(bias=1) for _ in ids) == ids
        held = [{**pick(host, prefer=[host]), "as": f"held{number}"} for host in open_]
        let_go = [{"do": "finish", "args": {"token": {"$": f"held{number}.token"}}} for _ in open_]
        steps += [*held, picks(list(ids), **DONE), *let_go]
    cases.append({"name": "envoy: weighted least request under three loads", "steps": [
        *register({"a": 1, "b": 2}), balancer({"preset": "envoy.least-request", "sticky": {}}), *steps]})
    unbiased = {"preset": "envoy.least-request", "sticky": {}, "pick": {"kind": "sample", "distinct": False, "uneven": {"bias": 0}}}
    cases.append({"name": "envoy: a bias of 0 takes no notice of the load", "steps": [
        *register({"a": 1, "b": 2}), balancer(unbiased), pick("b", prefer=["b"]), picks(list("babbab"), **DONE)]})
    # least_request_lb_simulation_test.cc: shares of 2/3 and 1/3; one call in flight makes them halves; a weight of 2 with four calls is one of 0.4.
    for name, weights, held, counts in [("2 and 1", {"a": 2, "b": 1}, 0, [200, 100]), ("2 with a call in flight, and 1", {"a": 2, "b": 1}, 1, [150, 150]),
                                        ("2 with four calls in flight, and 0.4", {"a": 2, "b": 0.4}, 4, [150, 150])]:
        model, ids = Edf(weights), []
        model.open["a"] = held
        ids = [model.pick(bias=1) for _ in range(300)]
        assert [ids.count(host) for host in weights] == counts
        cases.append({"name": f"envoy: weights {name}", "steps": [
            *register(weights), balancer({"preset": "envoy.least-request", "sticky": {}}), *[pick("a", prefer=["a"])] * held, counted(ids, **DONE)]})
    return "edf", "Earliest deadline first: Envoy's weighted round robin and weighted least request.", source, cases


def peak_ewma():
    """What Finagle, tower and linkerd publish of their averages; times in microseconds."""
    cases, names = [], iter(range(1000))
    def call(at, host, latency, kind="success", exclude=()):
        name = f"p{next(names)}"
        return [{**pick(host, **({"exclude": list(exclude)} if exclude else {})), "at": at, "as": name},
                {"do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": {"kind": kind, "latency": latency / 1e6}}}]
    def expected(**hosts):
        return {"do": "balancer_stats", "expect": {"instances": [{"id": id, "expected": None if us is None else us / 1e6} for id, us in hosts.items()]}}
    # tower: an estimate of 30 ms to begin with, then these samples, by time constants of 10 s.
    steps, estimate, before = [*call(0, "a", 30_000)], 30_000.0, 0
    for at, sample, published in [(1, 20_000, 29048.3741803596), (2, 200_000, 200_000.0), (3, 20_000, 182870.7352464727), (8, 20_000, 118786.09449692473),
                                  (18, 20_000, 56341.37323903796)]:
        weight = math.exp(-(at - before) / 10)
        estimate, before = sample if sample > estimate else estimate * weight + sample * (1 - weight), at
        assert abs(estimate / published - 1) < 1e-9
        steps += [*call(at * 1_000_000, "a", sample), expected(a=math.floor(published + 0.5))]
    cases.append({"name": "tower: an average that peaks, and ten seconds that wear it off", "steps": [*register({"a": 1}), balancer("peak-ewma"), *steps]})
    # It halves in 10 s x ln 2 while nothing ends.
    cases.append({"name": "finagle: half in 6.931 s", "steps": [
        *register({"a": 1}), balancer("finagle.p2c-peak-ewma"), *call(0, "a", 20_000), {"at": 6_931_472, "do": "reap"}, expected(a=10_000)]})
    # 20 ms and four pending cost 100 ms: more than 99, less than 101.
    for latency, chosen in [(99_000, "b"), (101_000, "a")]:
        cases.append({"name": f"four pending of 20 ms cost 100 ms: one of {latency // 1000} ms", "steps": [
            *register({"a": 1, "b": 1}), balancer("peak-ewma"), *call(0, "a", 20_000, exclude="b"), *call(0, "b", latency, exclude="a"),
            *[pick("a", exclude=["b"])] * 4, pick(chosen)]})
    # Nothing is known of b: it costs nothing until it is called, and then more than any other until it answers.
    cases.append({"name": "finagle: who is unknown is tried by one call", "steps": [
        *register({"a": 1, "b": 1}), balancer("finagle.p2c-peak-ewma"), *call(0, "a", 20_000, exclude="b"), pick("b"), *[pick("a")] * 20, expected(a=20_000, b=None)]})
    # linkerd: unknown is 1 s, a failure at least 5 s.
    for latency, chosen in [(999_000, "a"), (1_001_000, "b")]:
        cases.append({"name": f"linkerd: unknown is 1 s: one of {latency // 1000} ms", "steps": [
            *register({"a": 1, "b": 1}), balancer("linkerd.peak-ewma"), *call(0, "a", latency, exclude="b"), pick(chosen)]})
    cases.append({"name": "linkerd: a failure is 5 s, or as long as it was", "steps": [
        *register({"a": 1, "b": 1}), balancer("linkerd.peak-ewma"), *call(0, "a", 2_000, "error", "b"), *call(0, "b", 6_000_000, "gateway", "a"), expected(a=5_000_000, b=6_000_000)]})
    return "peak-ewma", "Averages of latencies as others publish them.", \
        "Finagle PeakEwma.scala, tower load/peak_ewma.rs, linkerd2-proxy's PenaltyPeakEwma (2026); python tests/oracles/order.py.", cases


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
    model, steps = Stride(dict.fromkeys("abcd", 1)), []
    for excluded in ["a", "a", "", "b", "bc", "bc", "", "d"]:
        got = next(id for _ in "abcd" if (id := model.pick()) not in excluded)
        steps.append(pick(got, exclude=list(excluded)) if excluded else pick(got))
    cases.append({"name": "who is excluded is passed over", "steps": [*register(dict.fromkeys("abcd", 1)), balancer("grpc.weighted-round-robin"), *steps]})
    return "stride", "gRPC's static stride scheduler.", source, cases


# What is learnt, without the ejection that tests/oracles/after.py shows.
SCORE = {"preset": "adaptive", "outliers": "off"}


SECOND = 1_000_000
HELD = {"do": "finish", "args": {"token": {"$": "asks.token"}, "outcome": {"kind": "throttled", "retry_after": 5}}}


def spared():
    """A time that is named holds; 429 alone is a failure like others, and so is a time that a success names."""
    held = lambda a: {"do": "balancer_stats", "expect": {"instances": [{"id": "a", "held": a}, {"id": "b", "held": None}]}}
    ends = lambda outcome: [{**pick("a", exclude=["b"]), "as": "plain"}, {"do": "finish", "args": {"token": {"$": "plain.token"}, "outcome": outcome}}]
    only = {"do": "picks", "args": {"count": 20, "finish": {"latency": 0.01}}, "expect": {"counts": {"a": None, "b": 20}}}
    return {"name": "who asks to be spared is, for as long as the answer says", "steps": [
        *register({"a": 1, "b": 1}), balancer("adaptive", 1), {"at": 0, **pick("b", exclude=["a"]), "as": "one"}, {"do": "finish", "args": {"token": {"$": "one.token"}}},
        *ends({"kind": "throttled"}), held(None), *ends({"latency": 0.01}), *ends({"ok": True, "retry_after": 9}), held(None),
        {"at": SECOND, **pick("a", exclude=["b"]), "as": "asks"}, HELD, held(True), only, {"at": 6 * SECOND - 1, **only}, held(True),
        # Better one that asked than nobody.
        {**pick("a", exclude=["b"]), "as": "last"}, {"do": "finish", "args": {"token": {"$": "last.token"}}},
        {"at": 6 * SECOND, "do": "reap"}, held(None), {**pick("a", exclude=["b"]), "as": "again"}]}


class Changing(Learner):
    """The same while its hosts come, go and grow heavier: what is drawn and compared by follows, what was learnt stays."""

    def change(self, **weights):
        for host, weight in weights.items():
            self.known.setdefault(host, dict(latency=None, timed=0, success=1.0, judged=0, picked=self.now, began=[]))
            if weight is None:
                del self.hosts[host], self.known[host]
            else:
                self.hosts[host] = weight
        # The order of the ids.
        left = dict(sorted(self.hosts.items()))
        self.hosts.clear()
        self.hosts.update(left)
        self.mean, self.since = sum(self.hosts.values()) / len(self.hosts), 30

    def run(self, at, count, held=False):
        """Calls that end at once in 10 ms, or stay open until they all end."""
        self.now = at
        ids = []
        for _ in range(count):
            ids.append(self.pick())
            if not held:
                self.finish(ids[-1], at, True, 10_000)
        return {"at": at, "do": "picks", "args": {"count": count, **({} if held else {"finish": {"latency": 0.01}})}, "expect": {"ids": ids}}


def grown(age):
    """30 s, from a tenth, as the root of the share of the time; in thousandths."""
    return math.floor(1000 * (1 if age >= 30 else max(0.1, math.sqrt(age / 30))) + 0.5)


def newcomer():
    model = Changing(thousandths(dict.fromkeys("abc", 1)), 7)
    steps = [*register(dict.fromkeys("abc", 1)), balancer("adaptive", 7), model.run(0, 12)]
    # Who comes in the first 30 s is not new: a balancer that has just begun knows nobody longer.
    model.change(d=1000)
    steps += [*register({"d": 1}), model.run(29 * SECOND, 12), model.run(40 * SECOND, 12)]
    model.change(e=grown(0))
    steps += [*register({"e": 1}), model.run(40 * SECOND, 60)]
    for age in [7.5, 20, 30]:
        model.now = round((40 + age) * SECOND)
        model.change(e=grown(age))
        steps.append(model.run(model.now, 60))
    steps.append(model.run(71 * SECOND, 20, held=True))
    return {"name": "who is new is given a tenth at first, half after 7.5 s and all after 30 s", "steps": steps}


def all_anew():
    model = Changing(thousandths(dict.fromkeys("abc", 1)), 8)
    steps = [*register(dict.fromkeys("abc", 1)), balancer("adaptive", 8), model.run(0, 12), model.run(40 * SECOND, 12)]
    model.change(a=None, b=None, c=None, d=100, e=100, f=100)
    steps += [*register(dict.fromkeys("def", 1)), *[{"do": "deregister", "args": {"service": "s", "id": id}} for id in "abc"], model.run(40 * SECOND, 40)]
    steps.append(model.run(40 * SECOND, 12, held=True))
    return {"name": "a fleet that is new as a whole is shared evenly", "steps": steps}


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
    # Nothing is known of anybody: 30 calls at three times go out evenly, each time by the calls in flight.
    burst = [(0, {"a": 3, "b": 3, "c": 4}), (7, {"a": 3, "b": 4, "c": 3}), (20, {"a": 4, "b": 3, "c": 3})]
    cases.append({"name": "a burst before any call has ended is spread by the calls in flight", "steps": [
        *register(dict.fromkeys("abc", 1)), balancer("adaptive", 1),
        *[{"at": at, "do": "picks", "args": {"count": 10}, "expect": {"counts": counts}} for at, counts in burst]]})
    # 0/0 was somebody's average (Shopify/ingress#228).
    finish = lambda name, latency: {"do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": {"latency": latency}}, "expect": {"known": True}}
    cases.append({"name": "two answers in one instant, no time between them: the lower pulls with no weight, and the average is a number", "steps": [
        *register({"a": 1}), balancer("adaptive", 1), {"at": 0, **pick("a"), "as": "p0"}, {**pick("a"), "as": "p1"},
        {"at": 100_000, **finish("p0", 0.1)}, finish("p1", 0.05),
        {"do": "balancer_stats", "expect": {"instances": [{"id": "a", "expected": 0.1}]}}]})
    cases += [spared(), newcomer(), all_anew()]
    return "adaptive", "The cost that is learnt: latency, load and success; the idle get their turn, calls that hang show, who asks for it is spared, and who is new comes in slowly.", \
        "python tests/oracles/order.py: the rules of core/src/balance/policy/score.rs with the C library's exponential; " \
        "peak EWMA as published by Finagle and tower.", cases


if __name__ == "__main__":
    for make in (edf, peak_ewma, stride, adaptive):
        write(*make())
