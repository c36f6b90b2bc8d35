"""Makes the vectors of what follows from outcomes: outliers, holds, retry-budget, limits.

    python tests/oracles/after.py

Shares no code with the core. The cases of Envoy, gRPC and Finagle are the published ones, their numbers made smaller where
only a ratio counts; the limits are computed here by the published rules of Netflix' concurrency-limits.
"""

import json
import math
import pathlib

OUT = pathlib.Path(__file__).parent.parent / "vectors"
SECOND = 1_000_000
tokens = iter(range(1_000_000))


def register(*ids):
    return [{"do": "register", "args": {"instance": {"service": "s", "id": id}}} for id in ids]


def balancer(pick="first", **parts):
    return {"do": "balancer", "args": {"query": {"service": "s"}, "policy": {"preset": pick, **parts}}}


def at(seconds, step):
    return {"at": round(seconds * SECOND), **step}


def pick(id, **args):
    return {"do": "pick", **({"args": args} if args else {}), "expect": {"id": id}}


def call(id, outcome, exclude=()):
    """A pick of `id` and how it ends: a kind, or an outcome."""
    name = f"p{next(tokens)}"
    outcome = {"kind": outcome} if isinstance(outcome, str) else outcome
    return [{**pick(id, **({"exclude": list(exclude)} if exclude else {})), "as": name},
            {"do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": outcome}, "expect": {"known": True}}]


def calls(id, *outcomes, hosts=()):
    exclude = [other for other in hosts if other != id]
    return [step for outcome in outcomes for step in call(id, outcome, exclude)]


def started(time, steps):
    return [at(time, steps[0]), *steps[1:]]


def out(**ids):
    return {"do": "balancer_stats", "expect": {"instances": [{"id": id, "ejected": gone or None} for id, gone in ids.items()]}}


def stages(**counts):
    return {"do": "balancer_stats", "expect": {"stages": counts}}


def rows(table, **hosts):
    """Calls of each host: how many well, how many badly."""
    return [step for id, (good, bad) in table.items() for step in calls(id, *["success"] * good, *["error"] * bad, hosts=table)]


def checks(*ids):
    return {"do": "probe_requests", "expect": {"ids": list(ids)}}


def checked(id, used=True):
    return {"do": "probed", "args": {"id": id, "rif": 0, "latency": 0.001}, "expect": {"used": used}}


ENVOY = "Envoy outlier_detection_impl_test.cc"


def outliers():
    fixed = {"kind": "fixed", "base": 10}
    only = {"errors": "off", "gateway": "off", "local": "off", "success_rate": "off", "failures": "off"}
    five = ["a", "b", "c", "d", "e"]
    timeline = []
    for time, before, eject in [(0, "a", True), (10, "a", True), (20, "b", False), (30, "a", True), (40, "b", False), (50, "b", False),
                                (60, "a", False), (70, "a", False), (80, "a", True), (90, "b", False), (100, "a", False),
                                (600, "a", False), (610, "a", True), (620, "a", False)]:
        timeline.append(at(time, pick(before)))
        if eject:
            timeline += [*calls("a", *["error"] * 5), pick("b")]
    def probed(time, ok):
        return started(time, calls("a", "success" if ok else "error"))
    ten = "abcdefghij"
    slow, fast = {"latency": 0.09}, {"latency": 0.01}
    return "outliers", "Who is taken out of the picks because it does badly, and how it comes back.", f"{ENVOY}; gRPC A50; callboard's rules of latency and probes worked out by hand: tests/oracles/after.py.", [
        {"name": "envoy: five errors in a row, a success starts again", "steps": [
            *register("a", "b"), balancer(outliers="envoy"), *calls("a", "error", "success", *["error"] * 4), pick("a"),
            *calls("a", "error"), pick("b"), out(a=True, b=False)]},
        {"name": "envoy: an error that is no gateway failure starts those again", "steps": [
            *register("a", "b"), balancer(outliers={"errors": "off", "gateway": {"count": 5, "enforcing": 100}}),
            *calls("a", "gateway", "error", *["gateway"] * 4), pick("a"), *calls("a", "gateway"), pick("b")]},
        {"name": "envoy: failures of this side count as gateway failures, or apart", "steps": [
            *register("a", "b"), balancer(outliers="envoy"), *calls("a", "connect", "timeout", "connect", "timeout"), pick("a"), *calls("a", "error"), pick("b"),
            balancer(outliers={"split": True}), *calls("a", *["connect"] * 4, *["error"] * 4, *["timeout"] * 4), pick("a"), *calls("a", "timeout"), pick("b")]},
        {"name": "envoy: the time out grows with each and shrinks with each healthy interval", "steps": [
            *register("a", "b"), balancer(outliers={"recovery": fixed, "success_rate": "off"}), *timeline]},
        {"name": "envoy: the deadline is the comparison at which it comes back", "steps": [
            *register("a", "b"), balancer(outliers={"recovery": {"kind": "fixed", "base": 12}}), *calls("a", *["error"] * 5),
            {"do": "balancer_deadline", "expect": {"deadline": 20 * SECOND}}, at(19.999_999, out(a=True, b=False)), at(20, {"do": "reap"}), out(a=False, b=False)]},
        {"name": "envoy: the share is compared before one is taken out", "steps": [
            *register("a", "b"), balancer(outliers={"most": 1}), *calls("a", *["error"] * 5), pick("b"), *calls("b", *["error"] * 9), pick("b"), out(a=True, b=False),
            balancer(outliers={"most": 0}), *calls("a", *["error"] * 9), pick("a"),
            balancer(outliers={"most": 0, "always_one": True}), *calls("a", *["error"] * 5), pick("b"), *calls("b", *["error"] * 9), out(a=True, b=False)]},
        {"name": "envoy: 1.9 standard deviations below the mean: 50 is below 52", "steps": [
            *register(*five), balancer(outliers={**only, "success_rate": {"volume": 4}}),
            *rows({"a": (2, 2), "b": (4, 0), "c": (4, 0), "d": (4, 0), "e": (4, 0)}), at(9.999_999, pick("a")), at(10, pick("b")), out(a=True, b=False, c=False, d=False, e=False)]},
        {"name": "envoy: too few calls say nothing", "steps": [
            *register(*five), balancer(outliers={**only, "success_rate": {"volume": 5}}),
            *rows({"a": (2, 2), "b": (4, 0), "c": (4, 0), "d": (4, 0), "e": (4, 0)}), at(10, pick("a"))]},
        {"name": "envoy: five of six failed stay, six of seven go", "steps": [
            *register(*five), balancer(outliers={**only, "failures": {"volume": 6, "enforcing": 100}}),
            *rows({"a": (1, 6), "b": (1, 5), "c": (6, 0), "d": (6, 0), "e": (6, 0)}), at(10, pick("b")), out(a=True, b=False, c=False, d=False, e=False)]},
        {"name": "envoy takes as much as the threshold, grpc more", "steps": [
            *register("a", "b"),
            *[step for number, (above, id) in enumerate([(False, "b"), (True, "a")]) for step in [
                at(100 * number, balancer(outliers={**only, "most": 50, "failures": {"threshold": 50, "above": above, "hosts": 1, "volume": 4, "enforcing": 100}})),
                *rows({"a": (2, 2), "b": (4, 0)}), at(100 * number + 10, pick(id))]]]},
        {"name": "three times the latency of the peers, and probes until it is gone", "steps": [
            *register("a", "b", "c"), balancer(outliers={"preset": "adaptive", "latency": {"volume": 3}}),
            *[step for id in "abc" for step in calls(id, *[slow if id == "a" else fast] * 3, hosts="abc")],
            at(10, pick("b")), *started(11, calls("a", slow)), pick("b"), at(12.999_999, pick("b")),
            *started(13, calls("a", fast, fast, fast)), pick("a"), out(a=False, b=False, c=False)]},
        {"name": "one that fails is probed ever more rarely, and is back after three successes", "steps": [
            *register("a", "b"), balancer(outliers="adaptive"), *calls("a", *["timeout"] * 5), pick("b"), at(0.999_999, pick("b")),
            *probed(1, False), at(2.999_999, pick("b")), *probed(3, False), at(6.999_999, pick("b")), *probed(7, False), at(10.999_999, pick("b")),
            *probed(11, True), *probed(11, True), *probed(11, False), pick("b"), at(14.999_999, pick("b")),
            *probed(15, True), *probed(15, True), *probed(15, True), pick("a"), out(a=False, b=False), stages(ejected=1, restored=1, probes=9)]},
        {"name": "a probe that is excluded comes a gap later", "steps": [
            *register("a", "b"), balancer(outliers="adaptive"), *calls("a", *["error"] * 5), at(1, pick("b", exclude=["a"])), stages(probes=0), pick("b"), at(2, pick("a")),
            stages(probes=1)]},
        {"name": "one that is out is checked by the host, and no call goes there until three checks went well", "steps": [
            *register("a", "b"), balancer(outliers={"preset": "adaptive", "recovery": {"kind": "probe", "checks": True}}), *calls("a", *["error"] * 5), pick("b"),
            checks(), {"do": "balancer_deadline", "expect": {"deadline": SECOND}}, at(0.999_999, checks()), at(1, checks("a")), checks(), pick("b"), checked("a"), checks("a"),
            # Nothing is told of the next: it did not go well, so the successes start again and the gap is twice as long.
            at(2, checks("a")), at(3.999_999, checks()), at(4, checks("a")), checked("b", used=False), checked("a"), checked("a", used=False), checks("a"), checked("a"),
            pick("b"), checks("a"), checked("a"), out(a=False, b=False), checks(), pick("a"),
            {"do": "balancer_stats", "expect": {"stages": {"ejected": 1, "restored": 1, "probes": 0}}}]},
        {"name": "a call that began before says nothing of one that is out", "steps": [
            *register("a", "b"), balancer(outliers="adaptive"), {**pick("a"), "as": "before"}, *calls("a", *["error"] * 5),
            at(0.5, {"do": "finish", "args": {"token": {"$": "before.token"}}}), out(a=True, b=False)]},
        {"name": "cancelled and throttled calls are no failures", "steps": [
            *register("a", "b"), balancer(outliers="envoy"), *calls("a", *["error"] * 4, "cancelled", "throttled", *["error"] * 4), pick("a"),
            {"do": "balancer_stats", "expect": {"succeeded": 0, "failed": 9, "cancelled": 1}}]},
        {"name": "when all are out, they are picked all the same", "steps": [
            *register("a", "b"), balancer(outliers={"preset": "envoy", "most": 100}), *calls("a", *["error"] * 5), *calls("b", *["error"] * 5), out(a=True, b=True), pick("a")]},
        {"name": "one that leaves and comes back is in", "steps": [
            *register("a", "b"), balancer(outliers="envoy"), *calls("a", *["error"] * 5), pick("b"),
            {"do": "deregister", "args": {"service": "s", "id": "a"}}, pick("b"), *register("a"), pick("a")]},
        {"name": "one that leaves while a call is out and comes back is in", "steps": [
            *register("a", "b"), balancer(outliers="envoy", hold={"unasked": 60}), pick("a"), *calls("a", *["error"] * 5, "throttled", hosts="ab"), pick("b"),
            {"do": "deregister", "args": {"service": "s", "id": "a"}}, pick("b"), *register("a"), out(a=False, b=False), pick("a")]},
        {"name": "envoy: a health check that finds it well brings it back", "steps": [
            *register("a", "b"), balancer(outliers="envoy"), *calls("a", *["error"] * 5), pick("b"),
            {"do": "set_health", "args": {"service": "s", "id": "a", "health": "unhealthy"}}, pick("b"), {"do": "set_health", "args": {"service": "s", "id": "a", "health": "healthy"}}, pick("a")]},
        {"name": "the preset adaptive has one of ten out, no second, and back after three probes", "steps": [
            *register(*ten), balancer("adaptive"), *calls("a", *["error"] * 5, hosts=ten), *calls("b", *["error"] * 5, hosts=ten),
            out(**{id: id == "a" for id in ten}), *started(1, calls("a", "success", "success", "success")), out(**dict.fromkeys(ten, False))]},
        {"name": "of two the preset adaptive has one out", "steps": [
            *register("a", "b"), balancer("adaptive"), *calls("a", *["timeout"] * 5, hosts="ab"), pick("b"), out(a=True, b=False),
            *calls("b", *["timeout"] * 5, hosts="ab"), out(a=True, b=False)]},
        {"name": "who is back begins anew: what was learnt of it before is forgotten", "steps": [
            *register("a", "b"), balancer("adaptive"), *calls("a", slow, *["error"] * 5, hosts="ab"), {"do": "balancer_stats", "expect": {"instances": [{"expected": 0.09}, {"expected": None}]}},
            *started(1, calls("a", slow, slow, slow)), {"do": "balancer_stats", "expect": {"instances": [{"expected": None, "success": 1}, {"success": 1}]}}]},
        {"name": "what makes no outlier detection", "steps": [
            {**balancer(outliers=document), "expect": {"error": {"code": code, "field": f"policy.outliers.{field}"}}}
            for document, code, field in [({"errors": {"count": 0}}, "invalid-argument", "errors.count"), ({"most": 101}, "invalid-argument", "most"),
                                          ({"interval": 0.0009}, "limit-exceeded", "interval"), ({"latency": {"factr": 3}}, "unknown-field", "latency.factr"),
                                          ("istio", "invalid-argument", "preset")]] + [balancer(outliers={"interval": 0.001})]},
    ]


def holds():
    def spared(seconds, kind="throttled"):
        return {"kind": kind, "retry_after": seconds}
    nine = "abcdefghi"
    def held(**ids):
        return {"do": "balancer_stats", "expect": {"instances": [{"id": id, "held": is_held or None} for id, is_held in ids.items()]}}
    return "holds", "Who asks to be spared is; and how many calls may be out at one instance.", "linkerd2-proxy's load biaser of 2026 (the cap of 300 s); Envoy's circuit breakers; worked out by hand: tests/oracles/after.py.", [
        {"name": "one that asks is spared until then", "steps": [
            *register("a", "b"), balancer(hold={}), *calls("a", spared(30)), pick("b"), held(a=True, b=False), {"do": "balancer_deadline", "expect": {"deadline": 30 * SECOND}},
            at(29.999_999, pick("b")), at(30, pick("a")), held(a=False, b=False)]},
        {"name": "it is spared until then on a ring that outlives changes", "steps": [
            *register(*nine), {"do": "balancer", "args": {"query": {"service": "s"}, "policy": {"pick": {"kind": "ring-hash", "points": 10}, "hold": {}}}},
            *calls("a", spared(5), hosts=nine), at(4.999_999, {"do": "picks", "args": {"count": 9, "each": "k"}, "expect": {"counts": {"a": None}}}), held(**{id: id == "a" for id in nine}),
            at(5, {"do": "picks", "args": {"count": 9, "each": "k"}}), held(**dict.fromkeys(nine, False))]},
        {"name": "a later wish takes the place of the first, whichever ends first", "steps": [
            *register("a", "b"), balancer(hold={}), {**pick("a"), "as": "one"}, *calls("a", spared(30)),
            at(1, {"do": "finish", "args": {"token": {"$": "one.token"}, "outcome": spared(5, "gateway")}}), at(5.999_999, pick("b")), at(6, pick("a"))]},
        {"name": "when all ask, the first is picked all the same", "steps": [
            *register("a", "b"), balancer(hold={}), *calls("a", spared(30)), *calls("b", spared(10)), pick("a"), at(10, pick("b")), at(30, pick("a"))]},
        {"name": "a wish counts for 300 s at most", "steps": [
            *register("a", "b"), balancer(hold={}), *calls("a", spared(86_400)), at(299.999_999, pick("b")), at(300, pick("a"))]},
        {"name": "a success asks for nothing, and a refusal without a time for what the policy says", "steps": [
            *register("a", "b"), balancer(hold={}), *calls("a", spared(30, "success"), "throttled", "error"), pick("a"),
            balancer(hold={"unasked": 2}), *calls("a", "error", "throttled"), pick("b"), at(2, pick("a"))]},
        {"name": "a wish is not heard without the part", "steps": [*register("a", "b"), balancer(), *calls("a", spared(30)), pick("a")]},
        {"name": "a full one sends to the next, and then refuses", "steps": [
            *register("a", "b"), balancer(breaker={"instance": 2}), {**pick("a"), "as": "one"}, pick("a"), pick("b"), pick("b"),
            {"do": "pick", "expect": {"error": {"code": "limit-exceeded", "field": "breaker.instance", "limit": 2}}},
            {"do": "pick", "args": {"exclude": ["a", "b"]}, "expect": {"error": {"code": "all-excluded"}}},
            {"do": "finish", "args": {"token": {"$": "one.token"}}}, pick("a")]},
        {"name": "no more than so many in all", "steps": [
            *register("a", "b"), balancer(breaker={"total": 2}), {**pick("a"), "as": "one"}, pick("a"),
            {"do": "pick", "expect": {"error": {"code": "limit-exceeded", "field": "breaker.total", "limit": 2}}},
            {"do": "finish", "args": {"token": {"$": "one.token"}}}, pick("a")]},
    ]


def may(*answers, verb="may_retry"):
    return [{"do": verb, "expect": {"may": answer}} for answer in answers]


def retry_budget():
    def ended(count, ok=True):
        return {"do": "picks", "args": {"count": count, "finish": {"ok": ok}}}
    def told(count):
        return {"do": "picks", "args": {"count": count, "finish": {"latency": 0.01}}}
    def waits(delay):
        return {"do": "hedge_delay", "expect": {"delay": delay}}
    no_wait = {"jitter": 0, "attempts": 7}
    delays = [min(0.1 * 2 ** (n - 1), 1.0) for n in range(1, 7)]
    return "retry-budget", "Whether a call may be tried again, and when; when to send it twice.", "Finagle's RetryBudget and tower's TpsBudget; gRPC A6; Dean and Barroso 2013; worked out by hand: tests/oracles/after.py.", [
        {"name": "finagle: a fifth of the calls of ten seconds, and what the reserve has", "steps": [
            *register("a"), balancer(retry={"budget": {"kind": "share", "reserve": 0.1}}), *may(True, False), ended(6), *may(True, False), ended(5), *may(False), ended(1), *may(True, False),
            at(9.999_999, ended(11)), *may(True, True, False), at(10, may(True)[0]), *may(False), at(30, may(True)[0]), *may(False)]},
        {"name": "tower: without a share only the reserve", "steps": [
            *register("a"), balancer(retry={"budget": {"kind": "share", "window": 10, "reserve": 1, "share": 0}}), ended(50), *may(*[True] * 10, False), ended(50), *may(False),
            balancer(retry={"budget": {"kind": "share", "reserve": 0, "share": 0}}), ended(50), *may(False)]},
        {"name": "a call that was paid for earns nothing", "steps": [
            *register("a"), balancer(retry={"budget": {"kind": "share", "reserve": 0, "share": 1}}), ended(3), *may(True, True, True, False), ended(3), *may(False), ended(1), *may(True, False)]},
        {"name": "grpc: the fifth of ten tokens stops retries, ten successes make up for a failure", "steps": [
            *register("a"), balancer(retry={"budget": "tokens"}), ended(4, False), *may(True, True), ended(1, False), *may(False), ended(1), *may(True), ended(1, False), *may(False),
            ended(9), *may(False), ended(1), *may(True)]},
        {"name": "grpc: delays double up to the longest", "steps": [
            balancer(retry=no_wait), *[{"do": "retry_delay", "args": {"retry": n}, "expect": {"delay": delay}} for n, delay in enumerate(delays, 1)],
            {"do": "retry_delay", "args": {"retry": 7}, "expect": {"delay": None}}, {"do": "retry_delay", "args": {"retry": 0}, "expect": {"delay": None}}]},
        {"name": "no part, no bound", "steps": [balancer(), *may(*[True] * 3), *may(False, verb="may_hedge"), {"do": "retry_delay", "expect": {"delay": 0}}, {"do": "hedge_delay", "expect": {"delay": None}}, {"do": "admit", "expect": {"may": True, "limit": None}}]},
        {"name": "a hedge waits for 19 of 20 calls and costs a twentieth", "steps": [
            *register("a"), balancer(hedge={}),
            *[{"do": "picks", "args": {"count": 1, "finish": {"latency": ms / 1000}}} for ms in range(1, 20)], {"do": "hedge_delay", "expect": {"delay": None}},
            # The 19th of 20 is 19 ms, in the bucket from 18 432 to 20 480 microseconds.
            {"do": "picks", "args": {"count": 1, "finish": {"latency": 0.02}}}, {"do": "hedge_delay", "expect": {"delay": (18_432 + 20_480) / 2e6}},
            *may(True, False, verb="may_hedge"), {"do": "hedge_delay", "expect": {"delay": None}}]},
        {"name": "what a hedge may cost is earned for thirty seconds", "steps": [
            *register("a"), balancer(hedge={}), ended(20), at(60, may(False, verb="may_hedge")[0]), ended(20), may(True, verb="may_hedge")[0], ended(40),
            # The latencies are forgotten by then, too.
            at(120, {"do": "hedge_delay", "expect": {"delay": None}})]},
        {"name": "a latency counts for one to two windows", "steps": [
            # 10 ms is in the bucket from 9216 to 10240 microseconds; of each window that ends one call is not enough.
            *register("a"), balancer(hedge={"load": 1}), told(20), at(31, told(1)), waits(0.009_728), at(50, told(1)), at(60.999_999, waits(0.009_728)), at(61, waits(None)),
            told(20), at(121, told(1)), waits(None), told(20), at(160, told(1)), waits(0.009_728), at(220, told(1)), waits(None)]},
        {"name": "what makes no budget", "steps": [
            {**balancer(**part), "expect": {"error": {"code": code, "field": f"policy.{field}"}}}
            for part, code, field in [({"retry": {"attempts": 101}}, "limit-exceeded", "retry.attempts"), ({"retry": {"budget": {"kind": "tokens", "ratio": 0}}}, "invalid-argument", "retry.budget.ratio"),
                                      ({"hedge": {"quantile": 1}}, "invalid-argument", "hedge.quantile"), ({"hedge": {"load": 0.1, "lode": 1}}, "unknown-field", "hedge.lode")]]},
    ]


class Gradient:
    """Netflix/concurrency-limits GradientLimit.java with its SquareRootFunction, before its first probe."""

    def __init__(self, initial=50, low=1, high=1000, smoothing=0.2, queue=4, tolerance=2.0, backoff=0.9):
        self.limit, self.low, self.high, self.smoothing, self.least, self.tolerance, self.backoff = float(initial), low, high, smoothing, queue, tolerance, backoff
        self.base = math.inf

    def sample(self, rtt, inflight, dropped):
        queue = max(self.least, int(math.sqrt(int(self.limit))))
        self.base = min(self.base, rtt)
        gradient = max(0.5, min(1.0, self.tolerance * self.base / rtt))
        if dropped:
            limit = self.limit * self.backoff
        elif inflight < self.limit / 2:
            return
        else:
            limit = self.limit * gradient + queue
        if limit < self.limit:
            limit = max(self.low, self.limit * (1 - self.smoothing) + self.smoothing * limit)
        self.limit = max(queue, min(self.high, limit))


class Gradient2:
    """Netflix/concurrency-limits Gradient2Limit.java and ExpAvgMeasurement.java."""

    def __init__(self, initial=20, low=20, high=200, smoothing=0.2, queue=4, window=600, tolerance=1.5, warm=10):
        self.limit, self.low, self.high, self.smoothing, self.queue, self.tolerance = float(initial), low, high, smoothing, queue, tolerance
        self.window, self.warm, self.seen, self.total, self.long = window, warm, 0, 0.0, 0.0

    def sample(self, rtt, inflight, dropped):
        if self.seen < self.warm:
            self.seen, self.total = self.seen + 1, self.total + rtt
            self.long = self.total / self.seen
        else:
            factor = 2 / (self.window + 1)
            self.long = self.long * (1 - factor) + rtt * factor
        long = self.long
        if long / rtt > 2:
            self.long *= 0.95
        if inflight < self.limit / 2:
            return
        gradient = max(0.5, min(1.0, self.tolerance * long / rtt))
        target = self.limit * gradient + self.queue
        self.limit = max(self.low, min(self.high, self.limit * (1 - self.smoothing) + target * self.smoothing))


class Vegas:
    """Netflix/concurrency-limits VegasLimit.java, before its first probe."""

    def __init__(self, initial=20, high=1000):
        self.limit, self.high, self.base = float(initial), high, 0

    def sample(self, rtt, inflight, dropped):
        if self.base == 0 or rtt < self.base:
            self.base = rtt
            return
        step = max(1, int(math.log10(int(self.limit))))
        queue = math.ceil(self.limit * (1 - self.base / rtt))
        if dropped:
            limit = self.limit - step
        elif inflight * 2 < self.limit:
            return
        elif queue <= step:
            limit = self.limit + 6 * step
        elif queue < 3 * step:
            limit = self.limit + step
        elif queue > 6 * step:
            limit = self.limit - step
        else:
            return
        self.limit = max(1, min(self.high, limit))


class Aimd:
    """Netflix/concurrency-limits AIMDLimit.java."""

    def __init__(self, initial=20, low=20, high=200, backoff=0.9, timeout=5_000_000):
        self.limit, self.low, self.high, self.backoff, self.timeout = initial, low, high, backoff, timeout

    def sample(self, rtt, inflight, dropped):
        if dropped or rtt > self.timeout:
            self.limit = int(self.limit * self.backoff)
        elif inflight * 2 >= self.limit:
            self.limit += 1
        self.limit = min(self.high, max(self.low, self.limit))


def limits():
    def run(name, model, settings, phases):
        """Each phase: how many are out when the calls begin to end, their latencies in microseconds, their kind."""
        steps = [*register("a"), balancer(limit=settings)]
        for number, (open_, latencies, kind) in enumerate(phases):
            held = [f"{name}{number}-{place}" for place in range(open_ - 1)]
            steps += [{**pick("a"), "as": held_name} for held_name in held]
            for latency in latencies:
                outcome = {"latency": latency / 1e6, **({} if kind == "success" else {"kind": kind})}
                steps += [step for step in [{"do": "picks", "args": {"count": 1, "finish": outcome}}]]
                if kind not in ("error", "gateway", "cancelled"):
                    model.sample(latency, open_, kind != "success")
            steps.append({"do": "admit", "expect": {"limit": int(model.limit), "may": open_ - 1 < int(model.limit)}})
            # A call that was given up says nothing.
            steps += [{"do": "finish", "args": {"token": {"$": f"{held_name}.token"}, "outcome": {"kind": "cancelled"}}} for held_name in held]
        return steps
    def zigzag(count, low, high):
        return [low + place * 7919 % (high - low) for place in range(count)]
    gradient = [(30, zigzag(40, 9_000, 11_000), "success"), (20, zigzag(15, 40_000, 60_000), "success"), (3, zigzag(9, 9_000, 10_000), "success"),
                (25, zigzag(30, 3_000, 4_000), "success"), (25, [1_000] * 3, "error"), (25, [30_000] * 2, "timeout")]
    vegas = [(20, [10_000, 10_000, 10_100], "success"), (30, zigzag(6, 10_000, 16_000), "success"), (5, [10_000] * 2, "success"), (30, [20_000] * 3, "timeout"),
             (30, [20_000] * 3, "error"), (30, [10_000] * 2, "success")]
    aimd = [(10, [1_000] * 3, "success"), (30, [1_000] * 9, "success"), (30, [5_000_001], "success"), (30, [1_000] * 2, "throttled"), (30, [1_000] * 2, "error"), (2, [1_000], "success"), (30, [5_000_000], "success")]
    return "limits", "How many calls may be out at once.", "Netflix/concurrency-limits (GradientLimit, Gradient2Limit, VegasLimit, AIMDLimit), transcribed in tests/oracles/after.py.", [
        {"name": "a fixed limit", "steps": [
            *register("a"), balancer(limit={"kind": "fixed", "max": 2}), {"do": "admit", "expect": {"may": True, "limit": 2}}, {**pick("a"), "as": "one"}, pick("a"),
            {"do": "admit", "expect": {"may": False}}, {"do": "finish", "args": {"token": {"$": "one.token"}}}, {"do": "admit", "expect": {"may": True}}]},
        {"name": "a call that is never heard of makes room when it is reaped", "steps": [
            *register("a"), balancer(limit={"kind": "fixed", "max": 1}), pick("a"), at(599.999_999, {"do": "admit", "expect": {"may": False}}), at(600, {"do": "admit", "expect": {"may": True}})]},
        {"name": "gradient", "steps": run("o", Gradient(), "gradient", gradient)},
        {"name": "gradient with a high floor", "steps": run("h", Gradient(initial=20, low=15, smoothing=0.5, queue=2, tolerance=1.2, backoff=0.5),
                                                            {"kind": "gradient", "initial": 20, "min": 15, "smoothing": 0.5, "queue": 2, "tolerance": 1.2, "backoff": 0.5}, gradient)},
        {"name": "gradient2", "steps": run("g", Gradient2(), "gradient2", gradient)},
        {"name": "gradient2 with a low floor", "steps": run("f", Gradient2(low=2, smoothing=0.5, queue=1), {"kind": "gradient2", "min": 2, "smoothing": 0.5, "queue": 1}, gradient)},
        {"name": "vegas", "steps": run("v", Vegas(), "vegas", vegas)},
        {"name": "aimd", "steps": run("a", Aimd(low=5), {"kind": "aimd", "min": 5}, aimd)},
        # As many out as half of the limit are enough to learn from; of Vegas the first call says only what is short.
        {"name": "half of the limit is enough to learn from", "steps": [
            *run("i", Gradient(initial=20), {"kind": "gradient", "initial": 20}, [(10, [10_000], "success")]),
            *run("j", Gradient2(initial=40, smoothing=1), {"kind": "gradient2", "initial": 40, "smoothing": 1}, [(20, [10_000], "success")]),
            *run("k", Vegas(initial=20), {"kind": "vegas", "initial": 20}, [(10, [10_000] * 2, "success")])]},
        # The eleventh call is the first that is weighed, here with all the weight there is.
        {"name": "gradient2: ten calls are averaged before one is weighed", "steps": run(
            "w", Gradient2(initial=20, low=1, smoothing=1, queue=1, window=1, tolerance=1),
            {"kind": "gradient2", "initial": 20, "min": 1, "smoothing": 1, "queue": 1, "window": 1, "tolerance": 1}, [(40, [10_000] * 10 + [20_000], "success")])},
        {"name": "what makes no limit", "steps": [
            {**balancer(limit=document), "expect": {"error": {"code": code, "field": f"policy.limit.{field}"}}}
            for document, code, field in [("vega", "invalid-argument", "kind"), ({"max": 1}, "missing-field", "kind"), ({"kind": "aimd", "queue": 1}, "unknown-field", "queue"),
                                          ({"kind": "fixed", "max": 0}, "invalid-argument", "max"), ({"kind": "vegas", "smoothing": 2}, "invalid-argument", "smoothing")]]},
    ]


def write(name, about, source, cases):
    lines = []
    for case in cases:
        steps = ",\n".join("      " + json.dumps(step, ensure_ascii=False) for step in case["steps"])
        lines.append(f'    {{"name": {json.dumps(case["name"])}, "steps": [\n{steps}]}}')
    head = f'{{\n  "name": {json.dumps(name)},\n  "about": {json.dumps(about)},\n  "source": {json.dumps(source)},\n  "cases": [\n'
    (OUT / f"{name}.json").write_text(head + ",\n".join(lines) + "\n  ]\n}\n")


for file in [outliers, holds, retry_budget, limits]:
    write(*file())
