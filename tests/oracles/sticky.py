"""Makes the vectors of requests that say who is to be tried first.

    pip install xxhash && python tests/oracles/sticky.py

Shares no code with the core. The rules are those of Envoy's documentation: the names are tried in order, the first that is there
and of an allowed status has the call, the rest serve retries; else the policy chooses, or with `strict` nobody does.
"""

from balance import Rng, write

HEALTH = {"available": {}, "degraded": {"health": "degraded"}, "unhealthy": {"health": "unhealthy"}}
IDS = [f"h{n}" for n in range(9)]


class Script:
    """Hosts under `first`: the first by id, the available before the degraded before the draining."""

    def __init__(self, **sticky):
        self.sticky, self.hosts, self.steps = sticky, {}, []

    def put(self, id, status="available", weight=1, **more):
        self.hosts[id] = (status, weight)
        self.steps.append({"do": "register", "args": {"instance": {"service": "s", "id": id, "weight": weight, **HEALTH.get(status, {}), **more}}})
        if status == "draining":
            self.steps.append({"do": "set_admin", "args": {"service": "s", "id": id, "admin": {"state": "draining"}}})
        return self

    def start(self, **policy):
        policy = {"preset": "first", "sticky": self.sticky, **policy}
        self.steps.append({"do": "balancer", "args": {"query": {"service": "s"}, "policy": policy}})
        return self

    def pick(self, *prefer, exclude=()):
        fits = lambda id: self.hosts[id][0] in self.sticky.get("statuses", ["available", "degraded"]) and self.hosts[id][1] > 0
        callable = any(status != "unhealthy" and weight > 0 for status, weight in self.hosts.values())
        chosen = next((id for id in prefer if id in self.hosts and id not in exclude and fits(id)), None)
        if chosen is None and not (prefer and self.sticky.get("strict")):
            rank = {"available": 0, "degraded": 1, "draining": 2}
            usual = sorted((rank[status], id) for id, (status, weight) in self.hosts.items() if status in rank and weight > 0 and id not in exclude)
            chosen = usual[0][1] if usual else None
        args = {**({"prefer": list(prefer)} if prefer else {}), **({"exclude": list(exclude)} if exclude else {})}
        strict = {"code": "none-available", "kind": "UnavailableError", "field": "prefer"}
        told = {"id": chosen} if chosen else {"error": strict if prefer and self.sticky.get("strict") else {"code": "all-excluded" if callable else "none-available"}}
        self.steps.append({"do": "pick", "args": args, "expect": told})
        return self

    def add(self, *steps):
        self.steps += steps
        return self

    def case(self, name):
        return {"name": name, "steps": self.steps}


def plain(expect, *prefer, **args):
    return {"do": "pick", "args": {"prefer": list(prefer), **args}, "expect": expect}


def life(name, seed, **sticky):
    rng = Rng(seed)
    draw = lambda choices: choices[rng.below(len(choices))]
    script = Script(**sticky).put("h0").start()
    for _ in range(100):
        if rng.below(3) == 0:
            id = draw(IDS)
            # The operator's word outlives a registration, so a host drains for good.
            status = "draining" if script.hosts.get(id, ("",))[0] == "draining" else draw(["available", "available", "degraded", "unhealthy", "draining"])
            script.put(id, status, draw([1, 1, 2, 0]))
        else:
            script.pick(*(draw(IDS) for _ in range(rng.below(4))), exclude=[draw(sorted(script.hosts)) for _ in range(rng.below(3))])
    return script.case(name)


def at(seconds, step):
    return {"at": round(seconds * 1_000_000), **step}


def sticky():
    three = lambda **sticky: Script(**sticky).put("a").put("b").put("c").start()
    endpoint = lambda host: {"endpoints": [f"http://{host}:80"]}
    address = Script(by="address").put("a", **endpoint("10.0.0.1")).put("b", **endpoint("10.0.0.2")).put("c", **endpoint("10.0.0.2")).start()
    address.add(plain({"id": "b"}, "10.0.0.2:80"), plain({"id": "c"}, "10.0.0.2:80", exclude=["b"]), plain({"id": "a"}, "10.0.0.2:80", exclude=["b", "c"]),
                plain({"id": "a"}, "b")).put("b", **endpoint("10.0.0.9")).add(plain({"id": "c"}, "10.0.0.2:80"), plain({"id": "b"}, "10.0.0.9:80"),
                {"do": "deregister", "args": {"service": "s", "id": "b"}}, plain({"id": "a"}, "10.0.0.9:80"))
    fail = lambda name: [{**plain({"id": "b"}, "b"), "as": name}, {"do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": {"kind": "error"}}}]
    outliers = {"errors": {"count": 2}, "recovery": {"kind": "fixed", "base": 10}, "most": 100, "success_rate": "off"}
    ejected = three().start(outliers=outliers).add(*fail("one"), *fail("two"), plain({"id": "a"}, "b"), plain({"id": "a"}))
    anyway = three(statuses=["available", "ejected"]).start(outliers=outliers).add(*fail("one"), *fail("two"), plain({"id": "b"}, "b"), plain({"id": "a"}))
    held = three().start(hold={}).add({**plain({"id": "b"}, "b"), "as": "one"}, {"do": "finish", "args": {"token": {"$": "one.token"}, "outcome": {"kind": "throttled", "retry_after": 5}}},
                                      plain({"id": "a"}, "b"), at(4.9, plain({"id": "a"}, "b")), at(5, plain({"id": "b"}, "b")))
    full = three().start(breaker={"instance": 1}).add(plain({"id": "b"}, "b"), plain({"id": "a"}, "b"), plain({"id": "c"}, "b"))
    bound = three(strict=True).start(breaker={"instance": 1}).add(plain({"id": "b"}, "b"), plain({"error": {"code": "limit-exceeded", "field": "breaker.instance"}}, "b"))
    team = lambda team: {"metadata": {"team": team}}
    labels = Script().put("a", **team("x")).put("b", **team("y")).put("c", **team("x")).start(labels={"selectors": [["team"]]})
    labels.add(plain({"id": "c"}, "b", "c", labels={"team": "x"}), plain({"id": "a"}, "b", labels={"team": "x"}), plain({"id": "b"}, "b", labels={"team": "y"}))
    off = Script().put("a").put("b")
    off.add({"do": "balancer", "args": {"query": {"service": "s"}, "policy": "first"}}, plain({"id": "a"}, "b"))
    wrong = three().add(plain({"error": {"code": "limit-exceeded", "field": "prefer", "limit": 64}}, *["x"] * 65), plain({"error": {"code": "invalid-argument", "field": "prefer"}}, 7),
                        plain({"error": {"code": "limit-exceeded", "field": "prefer", "limit": 512}}, "x" * 513), plain({"id": "a"}, *["x"] * 64))
    return "sticky", "Requests that say who is to be tried first.", \
        "The rules of Envoy's documentation (upstream/load_balancing/override_host, stateful_session) and gRPC A55: tests/oracles/sticky.py.", [
        three().pick("b").pick("c", "b").pick("x", "b").pick("x").pick().case("the first that is there has the call"),
        three().pick("c", "b", exclude=["c"]).pick("c", "b", exclude=["c", "b"]).pick("b", exclude=["a", "b", "c"]).case("the next serve retries"),
        three().put("b", "degraded").pick("b").put("b", "unhealthy").pick("b").pick("b", "c").put("b", "draining").pick("b").put("c", weight=0).pick("c").case("its status counts"),
        three(statuses=["draining", "unhealthy"]).pick("b").put("b", "unhealthy").pick("b").put("c", "draining").pick("c").case("by the statuses of the policy"),
        three(strict=True).pick("b").pick("x", "c").pick("x").pick("b", exclude=["b"]).put("b", "unhealthy").pick("b").pick().case("strict: nobody else will do"),
        address.case("by address; of two alike the first"), ejected.case("one that was ejected is left alone"), anyway.case("unless the statuses say so"),
        held.case("one that asked to be spared is spared"), full.case("one that is full is left alone"), bound.case("strict: full is refused"),
        labels.case("labels count for it too"), off.case("a policy without sticky requests takes no notice"), wrong.case("names that are too many or none"),
        life("a random life", 1), life("a random life with other statuses", 2, statuses=["available", "draining", "unhealthy"]), life("a random strict life", 3, strict=True)]


if __name__ == "__main__":
    write(*sticky())
