"""Makes the vectors of what others have published of the hash policies, where it is published of hashes and not of keys.

    pip install xxhash && python tests/oracles/published.py

A key is found for every hash: XXH64 of 16 bytes can be taken back, so the second half of a key follows from the first half and the
hash; first halves are tried until the whole is printable. Great tables are built here by Envoy's rules and held to what is published of them;
then so many keys say whether callboard's is the same.
"""

import bisect
import math

import struct

import xxhash
from balance import balancer, pick, write

M64 = (1 << 64) - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def rotate(number, by):
    return (number << by | number >> (64 - by)) & M64


def back(number):
    return pow(number, -1, 1 << 64)


def key(wanted):
    """A key of 16 printable characters with this XXH64 (Collet, the reference's description)."""
    end = wanted
    end ^= end >> 32
    end = end * back(P3) & M64
    end ^= end >> 29 ^ end >> 58
    end = end * back(P2) & M64
    end ^= end >> 33
    for number in range(1 << 20):
        first = f"{number:08}".encode()
        lane = struct.unpack("<Q", first)[0]
        start = (P5 + 16) ^ rotate(lane * P2 & M64, 31) * P1 & M64
        start = (rotate(start, 27) * P1 + P4) & M64
        mixed = rotate((end - P4) * back(P1) & M64, 64 - 27) ^ start
        lane = rotate(mixed * back(P1) & M64, 64 - 31) * back(P2) & M64
        second = struct.pack("<Q", lane)
        if all(32 <= byte < 127 for byte in second):
            return (first + second).decode()
    raise ValueError(wanted)


def register(id, place, weight=1):
    return {"do": "register", "args": {"instance": {"service": "s", "id": id, "endpoints": [f"http://{place}"], "weight": weight}}}


def local(ports, weights=None):
    return [register(str(port), f"127.0.0.1:{port}", weight) for port, weight in zip(ports, weights or [1] * len(ports), strict=True)]


def case(name, hosts, policy, picks):
    return {"name": name, "steps": [*hosts, balancer(policy if isinstance(policy, str) else {"pick": policy}), *picks]}


def ring(**settings):
    return {"kind": "ring-hash", **settings}


SIX = local(range(90, 96))
TOP = M64
RINGS = [
    case(
        "six hosts of two points",
        SIX,
        ring(min_size=12, max_size=12),
        [
            *[pick(id, key=key(h)) for h, id in [(0, "94"), (TOP, "94"), (3551244743356806947, "95"), (3551244743356806948, "93"), (16117243373044804880, "90")]],
            pick("92", key=key(0), exclude=["94"]),
            pick("90", key=key(0), exclude=["92", "94"]),
        ],
    ),
    case(
        "points by MurmurHash2",
        local(range(80, 86)),
        ring(min_size=12, max_size=12, hash="murmur2"),
        [pick(id, key=key(h)) for h, id in [(0, "85"), (TOP, "85"), (1358027074129602068, "85"), (1358027074129602069, "83"), (10150910876324007730, "82")]],
    ),
    case(
        "points by name",
        SIX,
        ring(min_size=12, max_size=12, hash_key="id"),
        [pick(id, key=key(h)) for h, id in [(0, "95"), (TOP, "95"), (7225015537174310577, "92"), (6803900775736438537, "93")]],
    ),
    case(
        "weights 1, 2 and 3 on six points",
        local([90, 91, 92], [1, 2, 3]),
        ring(min_size=6, max_size=6),
        [
            pick(str(90 + at), key=key(h))
            for h, at in [(928266305478181108, 2), (4443673547860492590, 2), (5583722120771150861, 1), (6311230543546372928, 1), (13444792449719432967, 2), (16117243373044804889, 0)]
        ],
    ),
    case(
        "weights of hosts and of their localities, multiplied, on nine points",
        local([90, 91, 92, 93], [1, 2, 2, 4]),
        ring(min_size=9, max_size=9),
        [
            pick(str(90 + at), key=key(h))
            for h, at in [
                (928266305478181108, 2),
                (3851675632748031481, 3),
                (5583722120771150861, 1),
                (6311230543546372928, 1),
                (7700377290971790572, 3),
                (12559126875973811811, 3),
                (13444792449719432967, 2),
                (13784988426630141778, 3),
                (16117243373044804889, 0),
            ]
        ],
    ),
]


def table(name, hosts, places, **settings):
    """One key for each place of the table."""
    policy = {"kind": "maglev", "table_size": len(places), **settings}
    return case(name, hosts, policy, [pick(str(90 + at), key=key(place)) for place, at in enumerate(places)])


MAGLEVS = [
    table("six hosts on 7 places", SIX, [2, 4, 0, 1, 5, 0, 3]),
    table("six hosts by name on 7 places", SIX, [2, 5, 0, 3, 4, 1, 0], hash_key="id"),
    table("weights 1 and 2 on 17 places", local([90, 91], [1, 2]), [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]),
    table("equal shares on 17 places", local([90, 91]), [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]),
    table("shares of 8 and 2 on 17 places", local([90, 91], [8, 2]), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]),
    case(
        "another try",
        SIX,
        {"kind": "maglev", "table_size": 7},
        [
            pick("91", key=key(10)),
            pick("90", key=key(10), exclude=["91"]),
            pick("95", key=key(10), exclude=["90", "91"]),
            {"do": "pick", "args": {"key": key(10), "exclude": [str(port) for port in range(90, 96)]}, "expect": {"error": {"code": "all-excluded"}}},
        ],
    ),
]


def digest(text, seed=0):
    return xxhash.xxh64_intdigest(text.encode(), seed)


class Ring:
    """Envoy's ring (ring_hash_lb.cc): as many points of a host as its share, scaled so that the lightest has whole ones."""

    def __init__(self, shares, least, most):
        lightest = min(shares.values())
        scale = min(math.ceil(lightest * least) / lightest, most)
        self.counts, points, current, target = dict.fromkeys(shares, 0), [], 0.0, 0.0
        for place, share in shares.items():
            target += scale * share
            while current < target:
                points.append((digest(f"{place}_{self.counts[place]}"), place))
                self.counts[place] += 1
                current += 1
        points.sort()
        self.hashes, self.owners = [point[0] for point in points], [point[1] for point in points]

    def owner(self, number):
        return self.owners[bisect.bisect_left(self.hashes, number) % len(self.owners)]

    def swept(self, steps):
        found = [self.owner(step * (TOP // steps)) for step in range(steps)]
        return [found.count(place) for place in self.counts]


def filled(shares, size):
    """Envoy's table (maglev_lb.cc): in turn the next free place of each host's order; a lighter one sits turns out."""
    places, heaviest, target, turn = [None] * size, max(shares.values()), dict.fromkeys(shares, 0.0), 0
    at = {place: [digest(place) % size, digest(place, 1) % (size - 1) + 1] for place in shares}
    left = size
    while left:
        turn += 1
        for place, share in shares.items():
            if not left or turn * share < target[place]:
                continue
            target[place] += heaviest
            while places[at[place][0]] is not None:
                at[place][0] = sum(at[place]) % size
            places[at[place][0]] = place
            left -= 1
    return places


KEYS = 20_000


def seen(owner, ids, count=KEYS):
    """How many of the keys key-0, key-1, .. each has."""
    found = [owner(digest(f"key-{at}")) for at in range(count)]
    expect = {id: found.count(place) or None for place, id in ids.items()}
    return {"do": "picks", "args": {"count": count, "each": "key-", "finish": {"ok": True}}, "expect": {"counts": expect}}


def shared(weights, first=90):
    """Hosts of these weights: their shares by place, their ids, and how they are registered."""
    places = {f"127.0.0.1:{first + at}": weight / sum(weights) for at, weight in enumerate(weights)}
    ids = {place: place.split(":")[1] for place in places}
    return places, ids, local(range(first, first + len(weights)), weights)


def large(name, weights, settings, published, sweep):
    shares, ids, hosts = shared(weights)
    made = Ring(shares, settings["min_size"], settings["max_size"])
    assert made.swept(sweep) == published, made.swept(sweep)
    return case(name, hosts, ring(**settings), [seen(made.owner, ids)])


TOO_SMALL, TWO_OF_FOUR, FOUR = Ring(*[shared([1] * 4)[0], 2, 2]), *shared([1] * 4)[1:]
assert sorted(TOO_SMALL.counts.values()) == [0, 0, 1, 1] and list(Ring(shared([1, 1])[0], 1023, 1023).counts.values()) == [512, 511]
LARGE = [
    large("a ring of 6144 points and more, weights 1, 2 and 3", [1, 2, 3], {"min_size": 6_144, "max_size": 8_388_608}, [987, 1932, 3081], 6_000),
    large("a ring of 9216 points and more, weights of hosts and of their localities", [1, 2, 2, 4], {"min_size": 9_216, "max_size": 8_388_608}, [924, 2009, 2053, 4014], 9_000),
    large("a ring of 1023 points, 512 and 511", [1, 1], {"min_size": 1_023, "max_size": 1_023}, [526, 497], 1_023),
    case("a ring of two points for four hosts", FOUR, ring(min_size=2, max_size=2), [seen(TOO_SMALL.owner, TWO_OF_FOUR, 500)]),
]
TWO, TWO_IDS, TWO_HOSTS = shared([1, 2])
PLACES = filled(TWO, 65_537)
assert [PLACES.count(place) for place in TWO] == [21_846, 43_691]
LARGE.append(case("21846 and 43691 of 65537 places", TWO_HOSTS, "maglev", [seen(lambda number: PLACES[number % 65_537], TWO_IDS)]))


def lopsided():
    """A locality of one host that weighs 127 beside one of 1023 that weigh 1 together."""
    weights = [127 * 1023 * 0.5] + [0.5] * 1023
    shares, _, _ = shared(weights, 0)
    points = Ring(shares, 1024, 1024)
    assert points.counts["127.0.0.1:0"] == 1016
    published = {11664790346325243808: 1, 15894554872961148518: 128, 13958138884277627155: 256, 15803774069438192949: 384, 3829253010855396576: 512, 17918147347826565154: 640, 6442769608292299103: 768, 5881074926069334434: 896}
    places = filled(shares, 65_537)
    assert [places.count(f"127.0.0.1:{at}") for at in range(1024)] == [64_514] + [1] * 1023
    # Nobody has a port of 0, so the place is metadata; and the ids have the order of the ports.
    place, by = lambda at: f"127.0.0.1:{at}", "metadata.place"
    one = lambda at, weight: {"service": "s", "id": f"{at:04}", "weight": weight, "metadata": {"place": place(at)}}
    ids = {place(at): f"{at:04}" for at in range(1024)}
    hosts = {"do": "apply", "args": {"ops": [{"op": "register", "instance": one(at, weight)} for at, weight in enumerate(weights)]}}
    light = [at for at, owner in enumerate(places) if owner != place(0)]
    heavy = {place(0): ids[place(0)]}
    return {"name": "one of 1024 weighs 127 times as much as the others together", "steps": [
        hosts, balancer({"pick": ring(min_size=1_024, max_size=1_024, hash_key=by)}), *[pick(ids[place(at)], key=key(number)) for number, at in published.items()],
        seen(points.owner, heavy, 5_000), balancer({"pick": {"kind": "maglev", "hash_key": by}}), seen(lambda number: places[number % 65_537], heavy),
        *[pick(ids[places[at]], key=key(at)) for at in light[::16]]]}


LARGE.append(lopsided())


def permuted(name, wanted, tables):
    """Hosts with these permutations, of 7 places; who has which place, of all and of some."""
    def has(port, steps):
        return (digest(f"127.0.0.1:{port}") % 7, digest(f"127.0.0.1:{port}", 1) % 6 + 1) == steps
    ports = []
    for steps in wanted:
        ports.append(next(port for port in range(max([1000, *ports]) + 1, 9000) if has(port, steps)))
    policy, picks, there = {"kind": "maglev", "table_size": 7}, [], set(range(len(wanted)))
    for owners in tables:
        picks += [{"do": "deregister", "args": {"service": "s", "id": str(ports[gone])}} for gone in sorted(there - set(owners))]
        there &= set(owners)
        picks += [pick(str(ports[owner]), key=key(place)) for place, owner in enumerate(owners)]
    return case(name, local(ports), policy, picks)


LARGE += [
    permuted("the worked example of the paper", [(3, 4), (0, 2), (3, 1)], [[1, 0, 1, 0, 2, 2, 0], [0, 0, 0, 0, 2, 2, 2]]),
    permuted("the worked example of dgryski/go-maglev", [(2, 4), (0, 5), (1, 2)], [[1, 2, 0, 2, 0, 1, 0], [0, 2, 0, 2, 0, 2, 0]]),
]

write(
    "envoy-tables",
    "Ring hash and Maglev: the rings and tables of others' own tests.",
    "Envoy test/common/upstream/ring_hash_lb_test.cc and maglev_lb_test.cc; Eisenbud et al. 2016 and dgryski/go-maglev; keys by python tests/oracles/published.py",
    RINGS + MAGLEVS + LARGE,
)


def owner(ports, number, size=5):
    """Which of equal hosts has a hash in Envoy's Maglev table (maglev_lb.cc)."""
    digests = [[xxhash.xxh64_intdigest(f"127.0.0.1:{port}".encode(), seed) for seed in (0, 1)] for port in ports]
    walks = [iter([(first + (second % (size - 1) + 1) * step) % size for step in range(size)]) for first, second in digests]
    found = {}
    while len(found) < size:
        for host, walk in enumerate(walks):
            if len(found) < size:
                found[next(place for place in walk if place not in found)] = host
    return found[number % size]


def bounded(number, hashed, overloaded, expected):
    """Of five hosts the one with the hash has too much to do, as have some others: who is asked instead."""
    ports = next(ports for first in range(1000, 9000) if owner(ports := range(first, first + 5), number) == hashed)
    ids = [str(port) for port in ports]
    busy = [pick(ids[at], key="k", exclude=[id for id in ids if id != ids[at]]) for at in overloaded for _ in range(4)]
    policy = {"kind": "maglev", "table_size": 5, "load_factor": 1}
    name = f"the hash {number} of host {hashed}, with too much on {', '.join(map(str, overloaded))}"
    return case(name, local(ports), policy, [pick(ids[hashed], key=key(number)), *busy, pick(ids[expected], key=key(number))])


def alone(names, ids, busy):
    """Calls that stay open at each of these, which the others are excluded for."""
    steps = []
    for at, count in busy.items():
        for _ in range(count):
            steps.append({**pick(ids[at], key="k", exclude=[id for id in ids if id != ids[at]]), "as": next(names)})
    return steps


def ended(name):
    return {"do": "finish", "args": {"token": {"$": f"{name}.token"}}}


def shuffled(number, order):
    """The hash's own host is the first of its order. As one after the other has too much to do, the next is asked."""
    ports = next(ports for first in range(1000, 9000) if owner(ports := range(first, first + len(order)), number) == order[0])
    ids, names, steps = [str(port) for port in ports], (f"c{at}" for at in range(100)), []
    for turn, at in enumerate(order):
        steps += [{**pick(ids[at], key=key(number)), "as": f"p{turn}"}, ended(f"p{turn}"), *alone(names, ids, {at: 6})]
    return case(f"the shuffle of the hash {number}", local(ports), {"kind": "maglev", "table_size": 5, "load_factor": 1}, steps)


def bound(in_flight, percent, hosts, slots):
    """With so many calls in flight, the hash's own host has as many as it may have; then one more of them."""
    size = next(size for size in (5, 11, 101) if size >= hosts)
    ports = range(1000, 1000 + hosts)
    first = owner(ports, 3, size)
    ids, names = [str(port) for port in ports], (f"c{at}" for at in range(1000))
    spread = [at for at in range(hosts) if at != first]
    # More than can be excluded are called by a key of their own.
    own = {owner(ports, number, size): number for number in range(size)} if hosts > 64 else None
    def opened(busy):
        if own is None:
            return alone(names, ids, busy)
        return [{**pick(ids[at], key=key(own[at])), "as": next(names)} for at, count in busy.items() for _ in range(count)]
    others = {at: 0 for at in spread}
    for call in range(in_flight - slots):
        others[spread[call % len(spread)]] += 1
    steps = [*opened(others), *opened({first: slots}), {**pick(ids[first], key=key(3)), "as": "p"}, ended("p")]
    steps += [*([ended("c0")] if in_flight > slots else []), *opened({first: 1})]
    # Elsewhere, wherever that is.
    steps.append({"do": "picks", "args": {"count": 1, "key": key(3)}, "expect": {"counts": {ids[first]: None}}})
    name = f"{slots} slots of a host of {hosts}, with {in_flight} calls in flight and {percent} %"
    return case(name, local(ports), {"kind": "maglev", "table_size": size, "load_factor": percent / 100}, steps)


def filled(number, hashed, busy, expected, name):
    """Of five hosts some have so many calls; where the hash of one of them goes."""
    ports = next(ports for first in range(1000, 9000) if owner(ports := range(first, first + 5), number) == hashed)
    ids = [str(port) for port in ports]
    return case(name, local(ports), {"kind": "maglev", "table_size": 5, "load_factor": 1}, [*alone((f"c{at}" for at in range(100)), ids, busy), pick(ids[expected], key=key(number))])


def alike():
    """Three of five are excluded, and the other two have as much too much: then the key stays where it belongs."""
    ports = next(ports for first in range(1000, 9000) if owner(ports := range(first, first + 5), 2) == 2)
    ids = [str(port) for port in ports]
    steps = [*alone((f"c{at}" for at in range(100)), ids, {2: 4, 1: 4}), pick(ids[2], key=key(2), exclude=[ids[at] for at in (0, 3, 4)])]
    return case("two have as much too much: the key stays", local(ports), {"kind": "maglev", "table_size": 5, "load_factor": 1}, steps)


def joined():
    """Sixteen on a ring have 18 calls each. With a seventeenth, and a call more, each may have 17."""
    ids = "abcdefghijklmnop"
    full = [{"do": "picks", "args": {"count": 18, "exclude": [other for other in ids if other != id]}, "expect": {"counts": {id: 18}}} for id in ids]
    policy = {"pick": {"kind": "ring-hash", "points": 10, "load_factor": 1}}
    return {"name": "who joins a ring that outlives changes counts at once", "steps": [
        *[register(id, f"10.0.0.{at}:80") for at, id in enumerate(ids, 1)], balancer(policy), *full, register("q", "10.0.0.17:80"),
        {"do": "pick", "args": {"key": "user-0"}, "expect": {"id": "q"}}]}


NO_FACTOR = [{"do": "balancer", "args": {"query": {"service": "s"}, "policy": {"pick": {"kind": "maglev", "load_factor": factor}}},
              "expect": {"error": {"code": "invalid-argument", "field": "policy.pick.load_factor"}}} for factor in (-1, -0.001, 0.001, 0.5, 0.99)]


write(
    "bounded-load",
    "Bounded loads: whom Envoy asks instead of an overloaded host.",
    "Envoy test/common/upstream/bounded_load_hlb_test.cc: hosts by the Mersenne Twister's shuffle; keys by python tests/oracles/published.py",
    [
        *[bounded(2, 2, [2], 1), bounded(2, 2, [0, 1, 2], 4), bounded(6, 3, [3], 4), bounded(7, 3, [3], 0)],
        filled(2, 2, {2: 4, 1: 2}, 1, "the hash 2 of host 2, with as much on the next as it may have"),
        alike(),
        joined(),
        {"name": "what makes no bound", "steps": NO_FACTOR},
        *[shuffled(2, [2, 1, 0, 4, 3]), shuffled(6, [4, 0, 2, 3, 1]), shuffled(7, [0, 1, 4, 3, 2]), shuffled(0, [1, 2, 0])],
        # thread_aware_lb_impl.cc; with nobody in flight the least is one slot, which shows when one is.
        *[bound(1, 150, 5, 1), bound(9, 150, 10, 2), bound(99, 125, 10, 13), bound(99, 100, 10, 10), bound(99, 200, 100, 2)],
    ],
)


def shard(at):
    return register(f"s-{at:03}", f"10.1.0.{at}:80")


def grown(number, buckets):
    """Where a key is as one bucket after another is added."""
    steps = [shard(0), balancer("jump")]
    for count, bucket in enumerate(buckets, 1):
        steps += [shard(count - 1)] if count > 1 else []
        steps.append(pick(f"s-{bucket:03}", key=key(number)))
    return {"name": f"the key {number} from 1 bucket to {len(buckets)}", "steps": steps}


GROWN = {
    0: [0] * 20,
    1: [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 17, 17],
    0xDEADBEEF: [0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16],
    998690804919562253: [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 15, 15, 15, 15],
}
GOLDEN = [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83]
ELEVEN = {10863919174838991: 6, 2016238256797177309: 3, 1673758223894951030: 5}
write(
    "jump",
    "Jump consistent hash: the buckets that its implementations agree on.",
    "dgryski/go-jump jump_test.go; Guava's HashingTest.consistentHash; keys by python tests/oracles/published.py",
    [
        *[grown(number, buckets) for number, buckets in GROWN.items()],
        case("20 keys on 100 buckets", [shard(at) for at in range(100)], "jump", [pick(f"s-{at:03}", key=key(number)) for number, at in enumerate(GOLDEN)]),
        case("11 buckets", [shard(at) for at in range(11)], "jump", [pick(f"s-{at:03}", key=key(number)) for number, at in ELEVEN.items()]),
    ],
)
