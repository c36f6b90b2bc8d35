"""Makes the vectors of what others have published of the hash policies, where it is published of hashes and not of keys.

    pip install xxhash && python tests/oracles/published.py

A key is found for every hash: XXH64 of 16 bytes can be taken back, so the second half of a key follows from the first half and the
hash; first halves are tried until the whole is printable. Nothing else is computed here.
"""

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
    case("another try", SIX, {"kind": "maglev", "table_size": 7}, [pick("91", key=key(10)), pick("90", key=key(10), exclude=["91"])]),
]

write(
    "envoy-tables",
    "Ring hash and Maglev: the rings and tables of Envoy's own tests.",
    "Envoy test/common/upstream/ring_hash_lb_test.cc and maglev_lb_test.cc; keys by python tests/oracles/published.py",
    RINGS + MAGLEVS,
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


write(
    "bounded-load",
    "Bounded loads: whom Envoy asks instead of an overloaded host.",
    "Envoy test/common/upstream/bounded_load_hlb_test.cc: hosts by the Mersenne Twister's shuffle; keys by python tests/oracles/published.py",
    [bounded(2, 2, [2], 1), bounded(2, 2, [0, 1, 2], 4), bounded(6, 3, [3], 4), bounded(7, 3, [3], 0)],
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
