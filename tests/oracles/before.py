"""Makes the vectors of what comes before the pick: priorities, zones, slow start, subsetting.

    pip install xxhash && python tests/oracles/before.py

Shares no code with the core: the arithmetic is that of the systems named, written again in fractions; the hashes come
from the reference xxHash library.
"""

from fractions import Fraction

import xxhash

from balance import Rendezvous, balancer, pick, picks, refused, register, write
from order import Edf

# callboard's: a key chooses its pool by XXH3-64 under this seed, so that the pool tells nothing of the choice in it.
STREAM = int.from_bytes(b"levels", "big")


def drawn(key, shares):
    """The pool that a key falls into when they follow one another, each with its share."""
    at = Fraction(xxhash.xxh3_64_intdigest(key.encode(), STREAM), 1 << 64) * sum(shares.values())
    edge = Fraction(0)
    for pool, share in shares.items():
        # No key stands so near an edge that the rounding of a share matters.
        assert edge == 0 or abs(at - edge) > Fraction(1, 1 << 30)
        edge += share
        if at < edge:
            return pool


KEYS = [f"user-{i}" for i in range(40)]


def instance(id, **more):
    return {"do": "register", "args": {"instance": {"service": "s", "id": id, **more}}}


def fleet(levels):
    """Instances of each level: total, healthy, degraded, starting. The healthy come first by id, then the degraded."""
    steps = []
    for level, (total, healthy, degraded, starting) in enumerate(levels):
        for place in range(total):
            health = ["healthy"] * healthy + ["degraded"] * degraded + ["starting"] * starting + ["unhealthy"] * total
            kind = {"healthy": "h", "degraded": "d"}.get(health[place], "u")
            steps.append(instance(f"l{level}-{kind}{place}", health=health[place], metadata={"priority": str(level)}))
    return steps


def first_of(pool, levels):
    """Who is the first by id of a pool: h, d, or p when all of the level are in it."""
    kind, level = pool
    total, healthy, degraded, starting = levels[level]
    if kind == "h":
        return f"l{level}-h0"
    if kind == "d":
        return min(f"l{level}-d{place}" for place in range(healthy, healthy + degraded))
    # In a panic: d sorts before h before u.
    return f"l{level}-d{healthy}" if degraded else f"l{level}-h0" if healthy else f"l{level}-u0"


def priorities():
    # Envoy load_balancer_impl_test.cc: levels (total, healthy, degraded, excluded), healthy load, degraded load, which panic.
    rows = [
        ("overprovisioning", [(4, 2, 0, 0), (4, 2, 0, 0)], [70, 30], [0, 0], ""),
        ("all are well", [(1, 1, 0, 0), (1, 1, 0, 0)], [100, 0], [0, 0], ""),
        ("a quarter is well", [(4, 1, 0, 0), (2, 2, 0, 0)], [35, 65], [0, 0], ""),
        ("two levels panic", [(4, 1, 0, 0), (4, 1, 0, 0)], [50, 50], [0, 0], "01"),
        ("those that start do not count", [(4, 1, 0, 3), (5, 1, 0, 0)], [100, 0], [0, 0], ""),
        ("in a panic they do", [(4, 0, 0, 1), (6, 1, 0, 2)], [40, 60], [0, 0], "01"),
        ("three levels", [(4, 1, 0, 0), (4, 1, 0, 0), (4, 1, 0, 0)], [35, 35, 30], [0, 0, 0], ""),
        ("only the last is well", [(5, 0, 0, 0), (5, 0, 0, 0), (5, 4, 0, 0)], [0, 0, 100], [0, 0, 0], ""),
        ("all panic", [(5, 0, 0, 0), (5, 0, 0, 0), (5, 2, 0, 0)], [34, 33, 33], [0, 0, 0], "012"),
        ("degraded ones are not needed", [(5, 0, 5, 0), (5, 2, 2, 0), (5, 2, 0, 0)], [0, 56, 44], [0, 0, 0], ""),
        ("all are down", [(5, 0, 0, 0), (3, 0, 0, 0), (2, 0, 0, 0)], [50, 30, 20], [0, 0, 0], "012"),
        ("degraded ones are needed", [(5, 0, 1, 0), (5, 0, 5, 0), (5, 1, 0, 0)], [0, 0, 28], [28, 44, 0], ""),
        ("the first level is empty", [(0, 0, 0, 0), (6, 0, 0, 0), (3, 0, 0, 0)], [0, 67, 33], [0, 0, 0], "12"),
        ("half are well", [(2, 1, 0, 0), (2, 1, 0, 0)], [70, 30], [0, 0], ""),
        ("a level of those that start", [(4, 0, 0, 4), (4, 1, 0, 0)], [50, 50], [0, 0], "01"),
        ("the third of three is not needed", [(2, 1, 0, 0), (2, 1, 0, 0), (2, 1, 0, 0)], [70, 30, 0], [0, 0, 0], ""),
        ("a quarter, all and half", [(4, 1, 0, 0), (2, 2, 0, 0), (2, 1, 0, 0)], [35, 65, 0], [0, 0, 0], ""),
        ("a fifth of each of three", [(5, 1, 0, 0), (5, 1, 0, 0), (5, 1, 0, 0)], [34, 33, 33], [0, 0, 0], "012"),
        ("all of the last", [(5, 0, 0, 0), (5, 0, 0, 0), (5, 5, 0, 0)], [0, 0, 100], [0, 0, 0], ""),
        ("what is rounded off goes to the first", [(5, 0, 0, 0), (6, 2, 0, 0), (3, 1, 0, 0)], [37, 42, 21], [0, 0, 0], "012"),
        ("one and one are down", [(1, 0, 0, 0), (1, 0, 0, 0)], [50, 50], [0, 0], "01"),
        ("one and two are down", [(1, 0, 0, 0), (2, 0, 0, 0)], [34, 66], [0, 0], "01"),
        # The tables of Envoy's documentation on priorities and on degraded endpoints: parts of a hundred that are well.
        ("72, 100", [(25, 18, 0, 0), (1, 1, 0, 0)], [100, 0], [0, 0], ""),
        ("71, 100", [(100, 71, 0, 0), (1, 1, 0, 0)], [99, 1], [0, 0], ""),
        ("50, 100", [(2, 1, 0, 0), (1, 1, 0, 0)], [70, 30], [0, 0], ""),
        ("25, 100", [(4, 1, 0, 0), (1, 1, 0, 0)], [35, 65], [0, 0], ""),
        ("0, 100", [(1, 0, 0, 0), (1, 1, 0, 0)], [0, 100], [0, 0], ""),
        ("72, 72", [(25, 18, 0, 0), (25, 18, 0, 0)], [100, 0], [0, 0], ""),
        ("50, 60", [(2, 1, 0, 0), (5, 3, 0, 0)], [70, 30], [0, 0], ""),
        ("72, 72, 100", [(25, 18, 0, 0), (25, 18, 0, 0), (1, 1, 0, 0)], [100, 0, 0], [0, 0, 0], ""),
        ("50, 50, 100", [(2, 1, 0, 0), (2, 1, 0, 0), (1, 1, 0, 0)], [70, 30, 0], [0, 0, 0], ""),
        ("25, 100, 100", [(4, 1, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0)], [35, 65, 0], [0, 0, 0], ""),
        ("25, 25, 100", [(4, 1, 0, 0), (4, 1, 0, 0), (1, 1, 0, 0)], [35, 35, 30], [0, 0, 0], ""),
        ("100, 100, 100", [(1, 1, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0)], [100, 0, 0], [0, 0, 0], ""),
        ("71, 71", [(100, 71, 0, 0), (100, 71, 0, 0)], [99, 1], [0, 0], ""),
        ("71, 71, 100", [(100, 71, 0, 0), (100, 71, 0, 0), (1, 1, 0, 0)], [99, 1, 0], [0, 0, 0], ""),
        ("71 well and 29 degraded", [(100, 71, 29, 0)], [99], [1], ""),
        ("25 well and 65 degraded", [(20, 5, 13, 0)], [35], [65], ""),
        ("71 well and none degraded", [(100, 71, 0, 0)], [100], [0], ""),
        ("5 well and none degraded", [(20, 1, 0, 0)], [100], [0], "0"),
        # Two rows of the documentation are not what Envoy's code does: they say 7 and 93, and 36, 36 and 28.
        ("5, 65", [(20, 1, 0, 0), (20, 13, 0, 0)], [8, 92], [0, 0], "0"),
        ("25, 25, 20", [(20, 5, 0, 0), (20, 5, 0, 0), (20, 4, 0, 0)], [34, 33, 33], [0, 0, 0], "012"),
    ]
    cases = []
    for name, levels, healthy, degraded, panics in rows:
        shares = {("h", level): load for level, load in enumerate(healthy) if load and str(level) not in panics}
        shares |= {("d", level): load for level, load in enumerate(degraded) if load and str(level) not in panics}
        shares |= {("p", level): healthy[level] + degraded[level] for level in map(int, panics) if healthy[level] + degraded[level]}
        steps = [pick(first_of(drawn(key, shares), levels), key=key) for key in KEYS]
        cases.append({"name": f"envoy: {name}", "steps": [*fleet(levels), balancer({"preset": "first", "levels": {}}), *steps]})
    quiet = [(5, 0, 0, 0), (5, 0, 2, 0), (5, 0, 1, 0)]
    shares = {("d", 1): 67, ("d", 2): 33}
    cases.append({"name": "envoy: without panic", "steps": [
        *fleet(quiet), balancer({"preset": "first", "levels": {"panic": 0}}),
        *[pick(first_of(drawn(key, shares), quiet), key=key) for key in KEYS]]})
    even = [(4, 2, 0, 0), (4, 2, 0, 0)]
    shares = {("h", 0): 50, ("h", 1): 50}
    cases.append({"name": "envoy: without overprovisioning", "steps": [
        *fleet(even), balancer({"preset": "first", "levels": {"overprovisioning": 100}}),
        *[pick(first_of(drawn(key, shares), even), key=key) for key in KEYS]]})
    cases.append({"name": "an exclusion walks on; who drains comes last", "steps": [
        *fleet([(2, 2, 0, 0), (1, 1, 0, 0)]), instance("l0-x", metadata={"priority": "0"}),
        {"do": "set_admin", "args": {"service": "s", "id": "l0-x", "admin": {"state": "draining"}}},
        balancer({"preset": "first", "levels": {}}), pick("l0-h0"), pick("l0-h1", exclude=["l0-h0"]),
        pick("l1-h0", exclude=["l0-h0", "l0-h1"]), pick("l0-x", exclude=["l0-h0", "l0-h1", "l1-h0"]),
        refused("all-excluded", exclude=["l0-h0", "l0-h1", "l1-h0", "l0-x"])]})
    # Three of five are well: 84 %, all of what there is. Nobody of the first level is, so it panics, but has no part.
    cases.append({"name": "a level that panics and is given nothing is not called", "steps": [
        *fleet([(2, 0, 0, 0), (5, 3, 0, 0)]), balancer({"preset": "first", "levels": {}}), pick("l1-h0"),
        refused("all-excluded", exclude=["l1-h0", "l1-h1", "l1-h2"])]})
    cases.append({"name": "a panic spares the disabled and those of weight 0", "steps": [
        instance("a", health="unhealthy"), instance("b", health="unhealthy", weight=0), instance("c", health="unhealthy"),
        balancer({"preset": "first", "levels": {}}), pick("a"), pick("c", exclude=["a"]), refused("all-excluded", exclude=["a", "c"]),
        {"do": "set_admin", "args": {"service": "s", "id": "a", "admin": {"state": "disabled"}}}, pick("c"),
        balancer({"preset": "first", "levels": {"panic": 0}}), refused("none-available")]})
    bad = lambda levels, field: {"do": "balancer", "args": {"query": {"service": "s"}, "policy": {"levels": levels}}, "expect": {
        "error": {"code": "invalid-argument", "field": field}}}
    cases.append({"name": "the level is any metadata key, 0 to 15", "steps": [
        instance("a", metadata={"tier": "99"}), instance("b", metadata={"tier": "14"}), instance("c", metadata={"priority": "1"}, health="degraded"),
        balancer({"preset": "first", "levels": {"key": "tier"}}), pick("b"), pick("a", exclude=["b"]),
        bad({"panic": 101}, "policy.levels.panic"), bad({"overprovisioning": 99}, "policy.levels.overprovisioning"), bad({"key": ""}, "policy.levels.key")]})
    return "priorities", "Levels, overprovisioning, degraded instances and panic.", \
        "Loads: Envoy test/common/upstream/load_balancer_impl_test.cc. Which key goes where: python tests/oracles/before.py.", cases


def nearest(clients, instances, least=6):
    """Envoy's zone-aware routing for a client in the first zone: the share of each zone; none when it does not apply."""
    if sum(instances.values()) < least:
        return None
    part = lambda sizes, zone: sizes.get(zone, 0) * 10000 // sum(sizes.values())
    here = next(iter(clients))
    if part(instances, here) >= part(clients, here):
        return {here: Fraction(1)}
    stay = part(instances, here) * 10000 // part(clients, here)
    room = {zone: max(0, part(instances, zone) - part(clients, zone)) for zone in instances}
    shares = {zone: Fraction((10000 - stay) * room[zone], sum(room.values())) for zone in instances}
    shares[here] += stay
    return {zone: share for zone, share in sorted(shares.items()) if share}


def exact(clients, instances):
    """The same without Envoy's rounding to ten thousandths."""
    part = lambda sizes, zone: Fraction(sizes.get(zone, 0), sum(sizes.values()))
    here = next(iter(clients))
    if part(instances, here) >= part(clients, here):
        return {here: Fraction(1)}
    stay = part(instances, here) / part(clients, here)
    room = {zone: max(Fraction(0), part(instances, zone) - part(clients, zone)) for zone in instances}
    shares = {zone: (1 - stay) * room[zone] / sum(room.values()) for zone in instances}
    shares[here] += stay
    return {zone: share for zone, share in sorted(shares.items()) if share}


def zones():
    cases = []
    def case(name, settings, clients, instances, shares):
        steps = [instance(f"{zone}{place}", locality={"zone": zone}) for zone, count in instances.items() for place in range(count)]
        settings = {"peers": clients, **settings}
        steps.append(balancer({"preset": "first", "localities": settings}))
        steps += [pick(f"{drawn(key, shares)}0", key=key) for key in KEYS]
        cases.append({"name": name, "steps": steps})
    def near(name, clients, instances, **settings):
        shares = nearest(clients, instances, settings.get("min_instances", 6))
        case(name, {"local": next(iter(clients)), **settings}, clients, instances, shares or {z: Fraction(n) for z, n in instances.items()})
    assert nearest({"a": 4, "b": 4, "c": 2}, {"a": 25, "b": 50, "c": 25}) == {
        "a": 6250, "b": Fraction(3750 * 1000, 1500), "c": Fraction(3750 * 500, 1500)}
    near("envoy: 62.5 % stay", {"a": 4, "b": 4, "c": 2}, {"a": 25, "b": 50, "c": 25})
    near("envoy: a small zone keeps 60 %", {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 2}, min_instances=5)
    near("too few instances: as if there were no zones", {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 2})
    near("envoy: half stay", {"a": 2, "b": 8}, {"a": 1, "b": 9})
    near("all stay", {"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 3, "c": 3})
    case("the local zone is forced", {"local": "a", "force_local": 2}, {"a": 9, "b": 1}, {"a": 2, "b": 9}, {"a": Fraction(1)})
    case("no local zone", {}, {}, {"a": 2, "b": 9}, {"a": Fraction(2), "b": Fraction(9)})
    case("envoy: weights of localities", {"mode": "weights", "weights": {"a": 1, "b": 2}}, {}, {"a": 3, "b": 3}, {"a": Fraction(1), "b": Fraction(2)})
    # load_balancer_simulation_test.cc: clients in three zones, and instances that are well and that are there. All clients together load all alike.
    for clients, well, there in [((1, 1, 1), (3, 3, 3), (3, 3, 3)), ((1, 1, 1), (2, 5, 5), (2, 5, 5)), ((1, 1, 1), (5, 5, 6), (5, 5, 6)), ((1, 1, 1), (10, 8, 8), (10, 10, 10)),
                                 ((20, 20, 21), (4, 5, 5), (4, 5, 5)), ((3, 2, 5), (4, 5, 5), (4, 5, 5)), ((3, 2, 5), (3, 4, 5), (3, 4, 5))]:
        steps, load = [], dict.fromkeys("abc", Fraction(0))
        for zone, good, all_ in zip("abc", well, there):
            steps += [instance(f"{zone}{place}", locality={"zone": zone}, **({} if place < good else {"health": "unhealthy"})) for place in range(all_)]
        for zone, count in zip("abc", clients):
            order = [zone, *"abc".replace(zone, "")]
            shares = exact({z: clients["abc".index(z)] for z in order}, {z: well["abc".index(z)] for z in "abc"})
            for other, share in shares.items():
                load[other] += count * share
            policy = {"preset": "first", "localities": {"local": zone, "peers": dict(zip("abc", clients))}}
            steps.append({"do": "balancer", "args": {"query": {"service": "s"}, "policy": policy, "balancer": zone}})
            steps += [pick(f"{drawn(key, shares)}0", key=key, balancer=zone) for key in KEYS[:15]]
        assert all(load[zone] / good == Fraction(sum(clients), sum(well)) for zone, good in zip("abc", well))
        cases.append({"name": f"envoy: clients {clients}, instances {well} of {there}", "steps": steps})
    # LowPrecisionForDistribution: in ten thousandths 4499 of 4500 stay, and nobody has room for the rest, so it is anybody's.
    for here, shares in [("a", {"a": Fraction(9997 * 2 + 3, 20_000), "b": Fraction(3, 20_000)}), ("b", {"b": Fraction(1)})]:
        steps = [instance(f"{zone}0", locality={"zone": zone}, weight=weight) for zone, weight in [("a", 44_999), ("b", 55_001)]]
        peers = {"local": here, "peers": {"a": 45_000, "b": 55_000}, "by_weight": True, "min_instances": 2}
        steps.append(balancer({"preset": "first", "localities": peers}))
        cases.append({"name": f"envoy: a hundred thousand, nearly even, from {here}", "steps": [*steps, *[pick(f"{drawn(key, shares)}0", key=key) for key in KEYS]]})
    # The table of Envoy's documentation: 26 % for half of a zone, 33 for 70 %, 15 for 25 %, none for none; for 69 % it says 32, which is 32.57.
    for name, well, count in [("half", 2, 4), ("70 %", 7, 10), ("69 %", 69, 100), ("a quarter", 1, 4), ("nothing", 0, 1)]:
        steps = [instance(f"{zone}{place}", locality={"zone": zone}, health="unhealthy" if zone == "a" and place >= well else "healthy")
                 for zone in "ab" for place in range(count)]
        shares = {"a": min(Fraction(1), Fraction(140 * well, 100 * count)), "b": Fraction(2)}
        shares = {zone: share for zone, share in shares.items() if share}
        cases.append({"name": f"envoy: {name} of a locality is well", "steps": [
            *steps, balancer({"preset": "first", "levels": {}, "localities": {"mode": "weights", "weights": {"a": 1, "b": 2}}}),
            *[pick(f"{drawn(key, shares)}0", key=key) for key in KEYS]]})
    scopes = [("region", "eu", ["x", "y"]), ("zone", "eu/a", ["x"]), ("subzone", "eu/a/r", ["x"])]
    places = [instance("x", locality={"region": "eu", "zone": "a", "subzone": "r"}), instance("y", locality={"region": "eu", "zone": "b"}),
              instance("z", locality={"region": "us", "zone": "a"})]
    for scope, local, order in scopes:
        cases.append({"name": f"a path down to the {scope}", "steps": [
            *places, balancer({"preset": "first", "localities": {"scope": scope, "local": local, "force_local": 1}}), pick("x", key="k"),
            *([pick("y", key="k", exclude=["x"])] if order[1:] else [])]})
    return "zones", "How much of the traffic goes to which locality.", \
        "Shares: Envoy source/extensions/load_balancing_policies/common/load_balancer_impl.cc and its documentation. " \
        "Which key goes where: python tests/oracles/before.py.", cases


def sequences(factor):
    """Envoy's LoadBalancerTest: turns of hosts that are new. It makes its schedule anew before each sequence; here each has a balancer that
    was asked for no call before. Weights are whole thousandths, so thirds are those of a weight of 3."""
    cases = []
    def late(settings, ages, weight=1, preset="envoy.round-robin"):
        """Instances a, b, c: of one with an age it is that of the new one at the time of the sequence, in seconds."""
        ids = dict(zip("abc", ages))
        window, start = settings["window"], 1000
        steps = [instance(id, weight=weight) for id, age in ids.items() if age is None] or [instance("old")]
        steps += [balancer({"preset": preset, "slow_start": settings, "sticky": {}}), {"at": 0, "do": "balancer_stats"}, {"do": "reap"}]
        for id, age in sorted(((id, age) for id, age in ids.items() if age is not None), key=lambda one: -one[1]):
            steps += [{"at": (start - age) * 1_000_000, **instance(id, weight=weight)}, {"do": "balancer_stats"}, {"do": "reap"}]
        if all(age is not None for age in ids.values()):
            steps.append({"do": "deregister", "args": {"service": "s", "id": "old"}})
        least, aggression = settings.get("min", 10) / 100, settings.get("aggression", 1)
        weights = {id: weight if age is None else round(weight * 1000 * factor(age, window, aggression, least)) / 1000 for id, age in ids.items()}
        return steps, weights, start * 1_000_000
    for settings, ages, weight, published in [
            ({"window": 60}, (None, 12), 1, "aaaab"), ({"window": 60}, (None, 20), 3, "aab"), ({"window": 60}, (None, 36), 1, "abaa"), ({"window": 60}, (30, None), 1, "babbab"),
            ({"window": 60}, (None, 30, 30), 1, "abcaa"), ({"window": 60, "aggression": 2}, (None, 6), 1, "aaab"), ({"window": 60, "aggression": 2}, (None, 26), 1, "abaababa"),
            ({"window": 60, "min": 35}, (None, 12), 1, "aabaaab"), ({"window": 60, "min": 35}, (None, 30), 1, "abaabaa")]:
        steps, weights, at = late(settings, ages, weight)
        model = Edf(weights)
        assert "".join(model.pick() for _ in published) == published, (weights, published)
        name = f"envoy: in turn, ages {', '.join('old' if age is None else f'{age} s' for age in ages)}" + "".join(f", {k} {v}" for k, v in settings.items() if k != "window")
        cases.append({"name": name, "steps": [*steps, {"at": at, **picks(list(published), finish={"ok": True})}]})
    # By load: a has a call in flight.
    busy = pick("a", prefer=["a"])
    steps, weights, at = late({"window": 60}, (None, 40), 3, "envoy.least-request")
    assert weights == {"a": 3, "b": 2.0}
    model = Edf({"a": weights["a"] / 2, "b": weights["b"]})
    assert "".join(model.pick() for _ in range(7)) == "bababab"
    cases.append({"name": "envoy: by load, ages old, 40 s", "steps": [*steps, {"at": at, **busy}, picks(list("bababab"), finish={"ok": True})]})
    # Envoy's schedule is made while a is idle; here its first call is the one that stays in flight.
    steps, weights, at = late({"window": 60}, (None, 10), 6, "envoy.least-request")
    cases.append({"name": "envoy: by load, ages old, 10 s", "steps": [*steps, {"at": at, **pick("a")}, picks(list("aab"), finish={"ok": True})]})
    steps, weights, at = late({"window": 10, "aggression": 0.9}, (7, 8), 1, "envoy.least-request")
    biased = {"kind": "sample", "distinct": False, "uneven": {"bias": 0.9}}
    next(step for step in steps if step["do"] == "balancer")["args"]["policy"]["pick"] = biased
    assert abs(factor(7, 10, 0.9) / 2**0.9 - 0.3605451974519604) < 1e-12
    model = Edf({"a": weights["a"] / 2**0.9, "b": weights["b"]})
    assert "".join(model.pick() for _ in range(13)) == "bbabbabbabbab"
    cases.append({"name": "envoy: by load with a bias of 0.9, ages 7 s, 8 s", "steps": [*steps, {"at": at, **busy}, picks(list("bbabbabbabbab"), finish={"ok": True})]})
    return cases


def slow_start():
    def factor(age, window, aggression=1, least=0.1):
        return 1 if age >= window else max(least, (max(age, 0.001) / window) ** (1 / aggression))
    # Envoy load_balancer_impl_test.cc
    assert abs(factor(6, 60, 2) - 0.31622776601683794) < 1e-15 and factor(12, 60, 1, 0.35) == 0.35
    cases = []
    for name, settings, args in [("steadily", {"window": 60}, (60,)), ("fast at first", {"window": 60, "aggression": 2}, (60, 2)),
                                 ("a higher start", {"window": 60, "min": 35}, (60, 1, 0.35))]:
        base = {"a": 1, "b": 2, "c": 1}
        steps = [*register(base), balancer({"preset": "rendezvous", "slow_start": settings}), {"at": 1_000_000, **pick(
            Rendezvous({h: w * 1000 for h, w in base.items()}).pick("k"), key="k")}]
        # One that comes while all are new has its weight at once.
        steps += register({"d": 1})
        full = {"a": 1000, "b": 2000, "c": 1000, "d": 1000}
        steps += [pick(Rendezvous(full).pick(key), key=key) for key in KEYS[:10]]
        steps += [{"at": 100_000_000, **pick(Rendezvous(full).pick("k"), key="k")}, *register({"e": 4})]
        for age in [0, 12, 20, 30, 54, 60]:
            now = full | {"e": round(4000 * factor(age, *args))}
            steps.append({"at": (100 + age) * 1_000_000, **pick(Rendezvous(now).pick("k"), key="k")})
            steps += [pick(Rendezvous(now).pick(key), key=key) for key in KEYS]
        cases.append({"name": name, "steps": steps})
    cases += sequences(factor)
    # Dubbo AbstractLoadBalanceTest: the weight of 100 after so many minutes of ten.
    base = {"a": 100, "b": 100}
    full = {"a": 100_000, "b": 100_000}
    steps = [*register(base), balancer({"preset": "rendezvous", "slow_start": {"window": 600, "rule": "dubbo"}}),
             {"at": 0, **pick(Rendezvous(full).pick("k"), key="k")}, {"at": 600_000_000, **pick(Rendezvous(full).pick("k"), key="k")}, *register({"c": 100})]
    for minutes, weight in [(0, 1), (1, 10), (2, 20), (5, 50), (9, 90), (10, 100)]:
        model = Rendezvous(full | {"c": weight * 1000})
        steps.append({"at": (600 + minutes * 60) * 1_000_000, **pick(model.pick("k"), key="k")})
        steps += [pick(model.pick(key), key=key) for key in KEYS]
    cases.append({"name": "dubbo: warm-up", "steps": steps})
    back = {"a": 1000, "b": 1000, "c": 1000}
    cold = Rendezvous(back | {"c": 100})
    health = lambda word: {"do": "set_health", "args": {"service": "s", "id": "c", "health": word}}
    cases.append({"name": "one that is well again is new", "steps": [
        *register({h: 1 for h in back}), balancer({"preset": "rendezvous", "slow_start": {}}),
        {"at": 0, **pick(Rendezvous(back).pick("k"), key="k")}, {"at": 30_000_000, **pick(Rendezvous(back).pick("k"), key="k")},
        health("unhealthy"), pick(Rendezvous({"a": 1000, "b": 1000}).pick("k"), key="k"), health("healthy"),
        *[pick(cold.pick(key), key=key) for key in KEYS]]})
    words = lambda word: [{"do": "set_health", "args": {"service": "s", "id": id, "health": word}} for id in back]
    cases.append({"name": "a fleet that comes back as a whole has all its weight, and so has who was new when it fell", "steps": [
        *register({"a": 1, "b": 1}), balancer({"preset": "rendezvous", "slow_start": {}}),
        {"at": 0, **pick(Rendezvous({"a": 1000, "b": 1000}).pick("k"), key="k")}, {"at": 30_000_000, **pick(Rendezvous({"a": 1000, "b": 1000}).pick("k"), key="k")},
        *register({"c": 1}), *[pick(cold.pick(key), key=key) for key in KEYS[:20]], *words("unhealthy"), refused("none-available"), *words("healthy"),
        *[pick(Rendezvous(back).pick(key), key=key) for key in KEYS[:20]]]})
    cases.append({"name": "a fleet that takes the place of another has all its weight, though one of the other was new", "steps": [
        *register({"a": 1, "b": 1}), balancer({"preset": "rendezvous", "slow_start": {}}),
        {"at": 0, **pick(Rendezvous({"a": 1000, "b": 1000}).pick("k"), key="k")}, {"at": 30_000_000, **pick(Rendezvous({"a": 1000, "b": 1000}).pick("k"), key="k")},
        *register({"c": 1}), *[pick(cold.pick(key), key=key) for key in KEYS[:20]],
        *[{"do": "deregister", "args": {"service": "s", "id": id}} for id in back], refused("no-instances"), *register({"a": 1, "b": 1, "c": 1}),
        *[pick(Rendezvous(back).pick(key), key=key) for key in KEYS[:20]]]})
    # A pick by keys takes no slow start from the preset whose other parts it has.
    steps = [*register({"a": 1, "b": 2}), balancer({"pick": "rendezvous"}), balancer({"pick": "rendezvous", "slow_start": {}}) | {"as": "slow"}]
    steps[-1]["args"] |= {"balancer": "slow"}
    two, late = {"a": 1000, "b": 2000}, {"a": 1000, "b": 2000, "c": 4000}
    for at in [0, 40]:
        steps += [{"at": at * 1_000_000, **pick(Rendezvous(two).pick("k"), key="k", **more)} for more in ({}, {"balancer": "slow"})]
    steps += register({"c": 4})
    steps += [pick(Rendezvous(late).pick(key), key=key) for key in KEYS[:20]]
    steps += [pick(Rendezvous(late | {"c": 400}).pick(key), key=key, balancer="slow") for key in KEYS[:20]]
    cases.append({"name": "keys move at once to who is new, unless the policy says otherwise", "steps": steps})
    return "slow-start", "A new instance is given its share little by little, whatever the policy.", \
        "Factors: Envoy load_balancer_impl_test.cc and Dubbo AbstractLoadBalanceTest.java. Keys: python tests/oracles/before.py.", cases


def subsetting():
    cases = []
    def case(name, settings, ids, expected):
        """Each instance of the subset is picked once, in order of id, then nobody is left."""
        steps = [instance(id) for id in ids]
        steps.append(balancer({"preset": "first", "subset": settings}))
        order = sorted(expected)
        steps += [pick(id, exclude=order[:place]) if place else pick(id) for place, id in enumerate(order)]
        steps.append(refused("all-excluded", exclude=order))
        cases.append({"name": name, "steps": steps})
    def random(ids, size, seed):
        return sorted(ids, key=lambda id: xxhash.xxh64_intdigest(id.encode(), seed))[:size]
    ids = [f"endpoint-{i}" for i in range(10)]
    assert random(ids, 5, 0) == ["endpoint-1", "endpoint-3", "endpoint-5", "endpoint-2", "endpoint-8"]
    case("grpc A68: random", {"size": 5}, ids, random(ids, 5, 0))
    case("grpc A68: another seed", {"size": 5, "seed": 99}, ids, random(ids, 5, 99))
    case("fewer than the size", {"size": 50}, ids, ids)
    corput = lambda number: int(f"{number:064b}"[::-1], 2)
    def ring(ids, client, size):
        number = lambda id: int(id.split("-")[1])
        return sorted(ids, key=lambda id: (corput(number(id)) - corput(client)) % (1 << 64))[:size]
    for count, client, size, expected in [(8, 0, 3, [0, 4, 2]), (8, 1, 3, [1, 5, 3]), (8, 3, 3, [3, 7, 0]), (10, 2, 4, [2, 6, 1, 9]), (11, 2, 4, [2, 10, 6, 1])]:
        ids = [f"web-{i}" for i in range(count)]
        assert ring(ids, client, size) == [f"web-{i}" for i in expected]
        case(f"ringsteady: client {client} of {count} instances", {"kind": "ring", "size": size, "client": client}, ids, ring(ids, client, size))
    def aperture(count, client, clients, size):
        # Finagle's width, in strides of a client; the part of each instance's arc that it covers.
        width = min(Fraction(1), Fraction(-(-size * clients // count), clients))
        begin = Fraction(client, clients)
        cover = lambda low, high, left, right: max(Fraction(0), min(high, right) - max(low, left))
        return [sum(cover(Fraction(i, count) + turn, Fraction(i + 1, count) + turn, begin, begin + width) for turn in (0, 1)) for i in range(count)]
    for clients, count, width in [(10, 20, Fraction(6, 10)), (3, 12, 1), (100, 30, Fraction(4, 10)), (7, 50, Fraction(2, 7))]:
        ids = [f"web-{i:02}" for i in range(count)]
        for client in {0, clients // 2, clients - 1}:
            parts = aperture(count, client, clients, 12)
            assert sum(parts) == width
            case(f"finagle: client {client} of {clients}, {count} instances", {"kind": "aperture", "client": client, "clients": clients}, ids,
                 [id for id, part in zip(ids, parts) if part])
    parts = aperture(50, 3, 7, 12)
    ids = [f"web-{i:02}" for i in range(50)]
    weights = {id: int(part * 50 * 1000 + Fraction(1, 2)) for id, part in zip(ids, parts) if part}
    model = Rendezvous(weights)
    cases.append({"name": "finagle: those at the ends count in part", "steps": [
        *[instance(id) for id in ids], balancer({"preset": "rendezvous", "subset": {"kind": "aperture", "client": 3, "clients": 7}}),
        *[pick(model.pick(key), key=key) for key in KEYS]]})
    cases.append({"name": "who leaves is replaced, who is ill is not", "steps": [
        *[instance(f"web-{i}") for i in range(4)], balancer({"preset": "first", "subset": {"kind": "ring", "size": 2, "client": 0}}),
        pick("web-0"), pick("web-2", exclude=["web-0"]),
        {"do": "set_health", "args": {"service": "s", "id": "web-0", "health": "unhealthy"}}, pick("web-2"), refused("all-excluded", exclude=["web-2"]),
        {"do": "deregister", "args": {"service": "s", "id": "web-0"}}, pick("web-1"), pick("web-2", exclude=["web-1"])]})
    # On the ring of the client 0 the fourth stands before the second.
    assert ring([f"web-{i}" for i in range(5)], 0, 2) == ["web-0", "web-4"]
    cases.append({"name": "who comes takes the place of another, be it only well enough for the last resort", "steps": [
        *[instance(f"web-{i}") for i in range(4)], balancer({"preset": "first", "subset": {"kind": "ring", "size": 2, "client": 0}}),
        pick("web-0"), pick("web-2", exclude=["web-0"]), instance("web-4", health="degraded"),
        pick("web-0"), pick("web-4", exclude=["web-0"]), refused("all-excluded", exclude=["web-0", "web-4"])]})
    return "subsetting", "A client uses some of the instances only.", \
        "gRPC A68 with the XXH64 of the reference library; the Ringsteady examples of flowblok.id.au 2023-08; the widths of Finagle's " \
        "deterministic aperture. python tests/oracles/before.py.", cases


if __name__ == "__main__":
    for made in [priorities(), zones(), slow_start(), subsetting()]:
        write(*made)
