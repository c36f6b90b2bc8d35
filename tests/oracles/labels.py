"""Makes the vectors of requests that ask for instances by labels.

    pip install xxhash && python tests/oracles/labels.py

Shares no code with the core: groups are found here by comparing the metadata of every host with every request, as Envoy's
documentation tells it (load_balancing/subsets and the API of LbSubsetConfig).
"""

from fractions import Fraction

from balance import Rng, balancer, pick, write
from before import KEYS, drawn, instance

HOSTS = {"host1": {"v": "1.0", "stage": "prod"}, "host2": {"v": "1.0", "stage": "prod"},
         "host3": {"v": "1.1", "stage": "canary"}, "host4": {"v": "1.2-pre", "stage": "dev"}}


class Subsets:
    """Who may be given a request, in the order of `first`: by id, the healthy before the degraded."""

    def __init__(self, rules):
        self.rules = rules
        self.selectors = [{"keys": one} if isinstance(one, list) else one for one in rules["selectors"]]
        self.hosts = {}

    def having(self, labels):
        by = self.rules.get("list")
        has = lambda value, wanted: value is not None and wanted in (value.split(by) if by else [value])
        return [id for id, (metadata, _) in sorted(self.hosts.items()) if all(has(metadata.get(k), v) for k, v in labels.items())]

    def serving(self, ids):
        rank = {"healthy": 0, "degraded": 1}
        return sorted((id for id in ids if self.hosts[id][1] in rank), key=lambda id: rank[self.hosts[id][1]])

    def fall(self, fallback):
        """The hosts a fallback means; None when it is nobody."""
        if fallback == "any":
            return list(sorted(self.hosts))
        return (self.having(self.rules.get("default", {})) or None) if fallback == "default" else None

    def selector(self, labels):
        fits = [one for one in self.selectors if set(one["keys"]) == set(labels) or self.rules.get("redundant") and set(one["keys"]) <= set(labels)]
        return max(fits, key=lambda one: len(set(one["keys"])), default=None)

    def choose(self, labels, exclude=()):
        """The hosts for a request, or the code of its refusal. Who was tried is as good as nobody to the panic."""
        chosen = self.selector(labels)
        if chosen:
            group = self.having({key: labels[key] for key in chosen["keys"]})
            if group:
                return self.serving(group) or "none-available"
            fallback = chosen.get("fallback")
            if fallback == "keys":
                return self.choose({key: labels[key] for key in chosen["fallback_keys"]}, exclude)
            if fallback:
                return self.told(self.fall(fallback))
        fallback = self.rules.get("fallback", "none")
        found = self.fall(fallback)
        if self.rules.get("panic_any") and fallback != "none" and set(self.serving(found or [])) <= set(exclude):
            found = self.fall("any")
        return self.told(found)

    def told(self, ids):
        return "no-instances" if ids is None else self.serving(ids) or "none-available"


class Script:
    def __init__(self, rules, policy="first"):
        self.model, self.rules, self.policy = Subsets(rules), rules, policy
        self.steps = []

    def put(self, hosts, health="healthy"):
        for id, metadata in hosts.items():
            self.model.hosts[id] = (metadata, health)
            self.steps.append({"do": "register", "args": {"instance": {"service": "s", "id": id, "metadata": metadata, "health": health}}})
        return self

    def drop(self, id):
        del self.model.hosts[id]
        self.steps.append({"do": "deregister", "args": {"service": "s", "id": id}})
        return self

    def start(self):
        policy = {"preset": self.policy, "labels": self.rules}
        self.steps.append({"do": "balancer", "args": {"query": {"service": "s", "health": "any"}, "policy": policy}})
        return self

    def ask(self, labels, exclude=(), expect=None):
        found = self.model.choose(labels, exclude)
        assert exclude or expect is None or found == expect, (labels, found, expect)
        if isinstance(found, list):
            found = next((id for id in found if id not in exclude), "all-excluded")
        error = {"no-instances": "labels", "all-excluded": "exclude", "none-available": ""}
        args = {**({"labels": labels} if labels else {}), **({"exclude": list(exclude)} if exclude else {})}
        told = {"error": {"code": found, "field": error[found]}} if found in error else {"id": found}
        self.steps.append({"do": "pick", "args": args, "expect": told})
        return self

    def all(self, labels, expect=None):
        """Every host of the group, one after the other, and then nobody."""
        found = self.model.choose(labels)
        for count in range(len(found) + 1 if isinstance(found, list) else 1):
            self.ask(labels, found[:count] if isinstance(found, list) else (), None if count else expect)
        return self

    def case(self, name):
        return {"name": name, "steps": self.steps}


def spread(name, policy):
    """A policy that spreads its calls spreads them over the group only."""
    script = Script({"selectors": [["stage"]]}, policy).put(HOSTS).start()
    script.steps.append({"do": "picks", "args": {"count": 40, "labels": {"stage": "prod"}, "key": "k"} if policy in ("maglev", "ring-hash")
                         else {"count": 40, "labels": {"stage": "prod"}, "finish": {"ok": True}},
                         "expect": {"counts": {"host3": None, "host4": None, **({"host1": 20, "host2": 20} if policy == "round-robin" else {})}}})
    return script.case(name)


def life(name, seed, rules, steps=120):
    rng = Rng(seed)
    draw = lambda choices: choices[rng.below(len(choices))]
    metadata = lambda: {key: draw("123") for key in "abc" if rng.below(4)}
    script = Script(rules).start()
    for _ in range(steps):
        what = rng.below(8)
        if what < 2 or len(script.model.hosts) < 3:
            script.put({f"h{rng.below(12)}": metadata()}, draw(["healthy", "healthy", "healthy", "degraded", "unhealthy"]))
        elif what == 2:
            script.drop(draw(sorted(script.model.hosts)))
        else:
            script.ask(metadata(), [draw(sorted(script.model.hosts))] if what == 3 else ())
    return script.case(name)


def tried():
    """Envoy's fallback list and its merges of metadata: labels that the host of the balancer tries, or puts together, itself."""
    script = Script({"selectors": [["version", "hardware"], ["version"]]}).put({"old": {"version": "1.0", "hardware": "c32"}, "new": {"version": "3.0"}}).start()
    base = {"version": "1.0"}
    tries = [base | overlay for overlay in [{"version": "2.0", "hardware": "c64"}, {"hardware": "c32"}, {"version": "3.0"}]]
    assert tries == [{"version": "2.0", "hardware": "c64"}, {"version": "1.0", "hardware": "c32"}, {"version": "3.0", **{}}]
    for labels, hosts in zip(tries, ["no-instances", ["old"], ["new"]], strict=True):
        script.all(labels, hosts)
    merged = Script({"selectors": [["v", "stage"], ["stage"], ["v"]]}).put(HOSTS).start()
    for route, cluster, labels, hosts in [
            ({"stage": "canary"}, {"stage": "prod"}, {"stage": "prod"}, ["host1", "host2"]), ({"v": "1.0"}, {"stage": "prod"}, {"v": "1.0", "stage": "prod"}, ["host1", "host2"]),
            ({"v": "1.0", "stage": "prod"}, {"stage": "canary"}, {"v": "1.0", "stage": "canary"}, "no-instances"),
            ({"v": "1.0", "stage": "prod"}, {"v": "1.1", "stage": "canary"}, {"v": "1.1", "stage": "canary"}, ["host3"]),
            ({}, {"v": "1.0"}, {"v": "1.0"}, ["host1", "host2"]), ({"v": "1.0"}, {}, {"v": "1.0"}, ["host1", "host2"])]:
        assert route | cluster == labels
        merged.all(labels, hosts)
    return script.case("envoy: a list of fallback metadata, tried one after the other"), merged.case("envoy: metadata of a route and of a cluster, the latter's over the former's")


def scaled():
    """Envoy's scale_locality_weight: the weights of localities times the share of their hosts that the subset has."""
    steps, hosts = [], {"a": ["x", "y", "y", "y"], "b": ["x", "x", "y"]}
    for zone, groups in hosts.items():
        steps += [instance(f"{zone}{n}", locality={"zone": zone}, metadata={"t": group}) for n, group in enumerate(groups)]
    policy = {"preset": "first", "localities": {"mode": "weights", "weights": {"a": 4, "b": 3}}, "labels": {"selectors": [["t"]], "scale_localities": True}}
    steps.append(balancer(policy))
    def ask(group):
        shares = {zone: Fraction({"a": 4, "b": 3}[zone] * groups.count(group), len(groups)) for zone, groups in hosts.items()}
        first = {zone: f"{zone}{groups.index(group)}" for zone, groups in hosts.items()}
        return [pick(first[drawn(key, shares)], key=key, labels={"t": group}) for key in KEYS[:25]]
    steps += ask("x") + ask("y")
    # One that leaves another group changes what part of its locality a group has.
    steps.append({"do": "deregister", "args": {"service": "s", "id": "a3"}})
    hosts["a"] = ["x", "y", "y"]
    return {"name": "envoy: the weights of localities, scaled by what of them the group has", "steps": steps + ask("x")}


def round_and_round():
    """Of two groups one is kept; each goes on where it was."""
    script = Script({"selectors": [["stage"]], "keep": 1}, "round-robin").put(HOSTS).start()
    of = lambda stage, id: {"do": "pick", "args": {"labels": {"stage": stage}}, "expect": {"id": id}}
    script.steps += [step for id in ["host1", "host2", "host1", "host2"] for step in (of("prod", id), of("canary", "host3"))]
    return script.case("a group that is made anew goes on where it was")


def labels():
    listed = Script({"selectors": [["stage"], ["stage", "v"]], "list": ",", "fallback": "default", "default": {"v": "2"}}) \
        .put({"a": {"stage": "prod,canary", "v": "1"}, "b": {"stage": "canary", "v": "1,2"}, "c": {"stage": "dev", "v": "2"}}).start() \
        .all({"stage": "prod"}, ["a"]).all({"stage": "canary"}, ["a", "b"]).all({"stage": "prod,canary"}, ["b", "c"]).all({"stage": "canary", "v": "2"}, ["b"]) \
        .all({"stage": "canary", "v": "1"}, ["a", "b"]).put({"a": {"stage": "prod", "v": "1"}}).all({"stage": "canary"}, ["b"])
    published = {"fallback": "default", "default": {"stage": "prod"}, "selectors": [["v", "stage"], {"keys": ["stage"], "fallback": "none"}]}
    docs = Script(published).put(HOSTS).start()
    for request, hosts in [({"stage": "canary"}, ["host3"]), ({"v": "1.2-pre", "stage": "dev"}, ["host4"]), ({"v": "1.0"}, ["host1", "host2"]),
                           ({"other": "x"}, ["host1", "host2"]), ({}, ["host1", "host2"]), ({"stage": "test"}, "no-instances")]:
        docs.all(request, hosts)
    keys = {"selectors": [{"keys": ["stage", "v", "hw"], "fallback": "keys", "fallback_keys": ["stage", "v"]},
                          {"keys": ["stage", "v"], "fallback": "keys", "fallback_keys": ["stage"]}, {"keys": ["stage"], "fallback": "any"}, ["v"]]}
    ladder = Script(keys).put(HOSTS).start().all({"stage": "prod", "v": "1.0", "hw": "x"}, ["host1", "host2"]) \
        .all({"stage": "canary", "v": "9", "hw": "x"}, ["host3"]).all({"stage": "x", "v": "9", "hw": "x"}, sorted(HOSTS)).all({"v": "9"}, "no-instances").all({})
    health = Script({"selectors": [["stage"]], "fallback": "any"}).put(HOSTS).start().put({"host3": HOSTS["host3"]}, "unhealthy") \
        .all({"stage": "canary"}, "none-available").put({"host1": HOSTS["host1"]}, "degraded").all({"stage": "prod"}, ["host2", "host1"]).drop("host3") \
        .all({"stage": "canary"}, ["host2", "host4", "host1"]).put({"host3": HOSTS["host3"]}).all({"stage": "canary"}, ["host3"])
    panic = Script({"selectors": [["stage"]], "fallback": "default", "default": {"stage": "prod"}, "panic_any": True}).put(HOSTS).start() \
        .all({"stage": "x"}, ["host1", "host2"]).put({"host1": HOSTS["host1"], "host2": HOSTS["host2"]}, "unhealthy") \
        .all({"stage": "x"}, ["host3", "host4"]).all({"stage": "prod"}, "none-available").drop("host1").drop("host2").all({"stage": "prod"}, ["host3", "host4"])
    redundant = Script({"selectors": [["stage"], ["v"], ["stage", "v"]], "redundant": True}).put(HOSTS).start() \
        .all({"stage": "prod", "x": "y"}, ["host1", "host2"]).all({"stage": "dev", "v": "1.2-pre", "x": "y"}, ["host4"]).all({"stage": "dev", "v": "1.0"}, "no-instances")
    exact = Script({"selectors": [["stage"], ["v"]]}).put(HOSTS).start().all({"stage": "prod", "v": "1.0"}, "no-instances").all({"v": "1.1"}, ["host3"])
    changes = Script({"selectors": [["stage"]]}).put(HOSTS).start().all({"stage": "prod"}).put({"host2": {"stage": "dev"}}).all({"stage": "prod"}, ["host1"]) \
        .all({"stage": "dev"}, ["host2", "host4"]).put({"host1": {}}).all({"stage": "prod"}, "no-instances")
    few = Script({"selectors": [["v"]], "keep": 1}).put({f"h{n}": {"v": str(n % 4)} for n in range(12)}).start()
    for n in [0, 1, 0, 2, 3, 3, 1]:
        few.ask({"v": str(n)})
    few.put({"h1": {"v": "0"}}).all({"v": "0"}).all({"v": "1"})
    wrong = Script({"selectors": [["v"]]}).put(HOSTS).start()
    wrong.steps.append({"do": "pick", "args": {"labels": {"v": 1}}, "expect": {"error": {"code": "invalid-argument", "field": "labels"}}})
    wrong.steps.append({"do": "pick", "args": {"labels": {"v": "x" * 513}}, "expect": {"error": {"code": "limit-exceeded", "field": "labels", "limit": 512}}})
    for most in ({"v": "x" * 512}, {"k" * 128: "x"}, {f"k{n}": "x" for n in range(64)}):
        wrong.ask(most, expect="no-instances")
    levels = {"do": "balancer", "args": {"query": {"service": "s", "health": "any"}, "policy": {"preset": "first", "labels": {"selectors": [["t"]]}, "levels": {}}}}
    put = lambda id, priority, health="healthy": {"do": "register", "args": {"instance": {"service": "s", "id": id, "health": health, "metadata": {"t": id[0], "priority": priority}}}}
    of = lambda id, **args: {"do": "pick", "args": {"labels": {"t": "x"}, **args}, "expect": {"id": id}}
    own = {"name": "a group has levels and a panic of its own", "steps": [
        *[put(f"y{n}", "0") for n in range(9)], put("x1", "0"), put("x2", "1"), levels, of("x1"), put("x1", "0", "unhealthy"), of("x2"),
        put("x2", "1", "unhealthy"), {"do": "picks", "args": {"count": 20, "labels": {"t": "x"}}, "expect": {"counts": {"y0": None}}}]}
    return "labels", "Requests that ask for instances by labels, and who serves them when nobody has these.", \
        "Envoy's documentation of the subset load balancer (load_balancing/subsets, LbSubsetConfig), whose example is the first case; the others: tests/oracles/labels.py.", [
        docs.case("the example of Envoy's documentation"), ladder.case("fewer keys, one step after the other"),
        health.case("health counts within the group; a group of the ill is no reason to fall back"), panic.case("when the default has nobody either"),
        redundant.case("more labels than a selector has: the most keys win"), exact.case("without that, the keys must be the same"),
        changes.case("a change of metadata is a change of groups"), few.case("groups that are not kept are made anew"), own,
        spread("round robin goes round the group", "round-robin"), spread("adaptive stays in the group", "adaptive"), spread("a key stays in the group", "maglev"),
        round_and_round(), wrong.case("labels that are none"), listed.case("envoy: any element of a list will do"), scaled(), *tried(),
        life("a random life: nobody falls back", 1, {"selectors": [["a"], ["a", "b"], ["c"]]}),
        life("a random life: any", 2, {"selectors": [["a", "b"], {"keys": ["a", "b", "c"], "fallback": "keys", "fallback_keys": ["b", "c"]}, ["b", "c"]], "fallback": "any", "keep": 2}),
        life("a random life: default, redundant labels and panic", 3, {"selectors": [["a"], {"keys": ["b", "c"], "fallback": "none"}], "fallback": "default",
                                                                     "default": {"a": "1", "b": "1"}, "panic_any": True, "redundant": True})]


if __name__ == "__main__":
    write(*labels())
