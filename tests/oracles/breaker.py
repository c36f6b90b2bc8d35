"""Makes the vectors of breakers: how many calls may be out, and the circuit of the whole service.

    pip install xxhash && python tests/oracles/breaker.py

Shares no code with the core. The circuit is the state machine of Nygard's Release It! (2007): closed, open, half-open.
"""

from balance import Rng, write

SECOND = 1_000_000


class Circuit:
    """Closed until so many failures in a row; open for a while; then one call, which closes it or doubles the while."""

    def __init__(self, failures=20, hold=1, most=30):
        self.failures, self.first, self.most = failures, hold * SECOND, most * SECOND
        self.row, self.hold, self.opens, self.trial = 0, self.first, None, None

    def admits(self, now):
        if self.opens is None:
            return True
        # A trial nothing is heard of counts as open for as long again.
        return now >= self.opens

    def began(self, now):
        if self.opens is not None:
            self.trial, self.opens = now, now + self.hold

    def ended(self, kind, began, now):
        failed = kind not in ("success", "cancelled")
        if self.opens is None:
            self.row = self.row + 1 if failed else 0 if kind == "success" else self.row
            if self.row >= self.failures:
                self.trial, self.opens = None, now + self.hold
        elif self.trial is not None and began >= self.trial and now < self.opens:
            if kind == "success":
                self.__init__(self.failures, self.first // SECOND, self.most // SECOND)
            elif failed:
                self.hold = min(2 * self.hold, self.most)
                self.trial, self.opens = None, now + self.hold
            else:
                self.trial, self.opens = None, now


class Script:
    def __init__(self, **trip):
        self.circuit, self.open, self.count = Circuit(**trip), [], 0
        policy = {"preset": "first", "breaker": {"trip": trip}}
        self.steps = [{"do": "register", "args": {"instance": {"service": "s", "id": "a"}}},
                      {"do": "balancer", "args": {"query": {"service": "s"}, "policy": policy}}]

    def pick(self, now):
        now = round(now * SECOND)
        step = {"at": now, "do": "pick"}
        if self.circuit.admits(now):
            self.circuit.began(now)
            name = f"p{self.count}"
            self.count += 1
            self.open.append((name, now))
            self.steps.append({**step, "expect": {"id": "a"}, "as": name})
        else:
            self.steps.append({**step, "expect": {"error": {"code": "none-available", "kind": "UnavailableError", "field": "breaker.trip"}}})
        return self

    def end(self, now, kind, which=-1):
        now = round(now * SECOND)
        name, began = self.open.pop(which)
        self.circuit.ended(kind, began, now)
        self.steps.append({"at": now, "do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": {"kind": kind}}, "expect": {"known": True}})
        return self

    def call(self, now, *kinds):
        for kind in kinds:
            self.pick(now).end(now, kind)
        return self

    def due(self, seconds):
        self.steps.append({"do": "balancer_deadline", "expect": {"deadline": seconds and round(seconds * SECOND)}})
        return self

    def case(self, name):
        return {"name": name, "steps": self.steps}


def life(name, seed, **trip):
    rng = Rng(seed)
    script, now = Script(**trip), 0
    for _ in range(200):
        now += rng.below(600_000) / SECOND
        if script.open and rng.below(2):
            script.end(now, ["success", "error", "error", "error", "timeout", "cancelled"][rng.below(6)], rng.below(len(script.open)))
        else:
            script.pick(now)
    return script.case(name)


def bounds():
    def case(name, policy, *steps, options=None, health="healthy", **parts):
        hosts = [{"do": "register", "args": {"instance": {"service": "s", "id": id, **({} if health == "healthy" else {"health": health})}}} for id in "ab"]
        args = {"query": {"service": "s"}, "policy": {"preset": "first", "breaker": policy, **parts}, **({"options": options} if options else {})}
        return {"name": name, "steps": [*hosts, {"do": "balancer", "args": args}, *steps]}
    pick = lambda id, **more: {"do": "pick", "expect": {"id": id}, **more}
    again = lambda tried, id, **more: {"do": "pick", "args": {"exclude": list(tried)}, "expect": {"id": id}, **more}
    refused = lambda field, limit, tried="": {"do": "pick", **({"args": {"exclude": list(tried)}} if tried else {}), "expect": {"error": {"code": "limit-exceeded", "field": field, "limit": limit}}}
    may = lambda may, verb="may_retry": {"do": verb, "expect": {"may": may}}
    end = lambda name: {"do": "finish", "args": {"token": {"$": f"{name}.token"}}, "expect": {"known": True}}
    return [case("so many calls at one instance, and the next has the others", {"instance": 2}, pick("a", **{"as": "one"}), pick("a"), pick("b"), end("one"), pick("a"),
                 pick("b", **{"as": "two"}), refused("breaker.instance", 2), end("two"), pick("b")),
            case("so many calls in all", {"total": 3}, pick("a"), pick("a"), pick("a", **{"as": "one"}), refused("breaker.total", 3), end("one"), pick("a"), refused("breaker.total", 3)),
            case("a call to one that left counts among all", {"total": 1}, pick("a", **{"as": "one"}), {"do": "deregister", "args": {"service": "s", "id": "a"}},
                 refused("breaker.total", 1), end("one"), pick("b"), refused("breaker.total", 1)),
            # A second and a thirty-second of it at the latest.
            case("a call that is never heard of makes room when it is reaped", {"total": 1}, pick("a", at=0), {"at": 999_999, **refused("breaker.total", 1)}, pick("a", at=1_040_000),
                 options={"reap_after": 1}),
            case("who has no room is not excluded", {"instance": 1}, pick("a"), again("a", "b"), refused("breaker.instance", 1, "a"),
                 {"do": "pick", "args": {"exclude": ["a", "b"]}, "expect": {"error": {"code": "all-excluded"}}}),
            case("in a panic too", {"instance": 1}, pick("a", **{"as": "one"}), pick("b"), refused("breaker.instance", 1), end("one"), pick("a"), health="unhealthy", levels={}),
            case("so many calls that were tried before", {"retries": 1}, may(True), pick("a"), may(True), again("a", "b", **{"as": "one"}), may(False), may(False, "may_hedge"),
                 refused("breaker.retries", 1, "a"), pick("a"), end("one"), may(True), again("a", "b", **{"as": "two"}), refused("breaker.retries", 1, "b"), end("two"), again("b", "a")),
            case("retries are bounded by their budget too", {"retries": 2}, may(True), may(False), again("a", "b"), again("a", "b"), refused("breaker.retries", 2, "a"),
                 retry={"budget": {"kind": "share", "reserve": 0.1}}),
            shares(again, refused, pick, case)]


def shares(again, refused, pick, case):
    """Envoy's retry_budget: at most a percentage of the calls that are out, or a number when it is more."""
    steps, out, retries, rng = [], 0, 0, Rng(3)
    for _ in range(60):
        bound = max(3, out * 20 // 100)
        if rng.below(2):
            steps.append(pick("a"))
            out += 1
        elif retries < bound:
            steps.append(again("a", "b"))
            out, retries = out + 1, retries + 1
        else:
            steps.append(refused("breaker.retries", bound, "a"))
    return case("or so many for each hundred calls", {"retries": 3, "retry_percent": 20}, *steps)


def breaker():
    few = {"failures": 3, "hold": 2, "most": 5}
    return "breaker", "How many calls may be out, and when the whole service is left alone.", \
        "Envoy's circuit breakers (max_requests, max_retries, retry_budget) and the circuit of Nygard, Release It! (2007): tests/oracles/breaker.py.", [
        *bounds(),
        Script(**few).call(0, "error", "error", "success", "error", "timeout", "cancelled").due(None).call(0, "connect").due(2).pick(0).pick(1.999_999)
            .pick(2).pick(2).end(2.5, "success").due(None).call(2.5, "error", "error", "success").case("three failures in a row open it, one success closes it"),
        Script(**few).call(0, "error", "error", "error").call(2, "error").pick(5.999_999).call(6, "error").pick(10.999_999).call(11, "error").pick(15.999_999)
            .call(16, "success", "error", "error", "error").pick(17.999_999).call(18, "success").case("a failure doubles the while, up to the most"),
        Script(**few).pick(0).pick(0).call(0, "error", "error", "error").end(1, "success").pick(1).pick(2).end(2.1, "success", 0).pick(2.2).end(2.3, "success").pick(2.3)
            .case("a call that began before says nothing"),
        Script(**few).call(0, "error", "error", "error").pick(2).pick(3.999_999).pick(4).end(4.1, "success").pick(4.2).case("a call that is never heard of is followed by another"),
        Script(**few).call(0, "error", "error", "error").call(2, "cancelled").pick(2).pick(2).end(2, "success").call(2, "success").case("one that was cancelled leaves it to the next"),
        life("a random life", 1, failures=2, hold=1, most=3), life("a random life that fails at once", 2, failures=1, hold=1, most=30)]


if __name__ == "__main__":
    write(*breaker())
