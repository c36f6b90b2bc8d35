"""Makes the vectors of the hash policies that place keys as Envoy does: ring hash and Maglev.

    pip install xxhash && python tests/oracles/hash.py

Shares no code with the core: Envoy's rules as its source states them (ring_hash_lb.cc, maglev_lb.cc), hashes from the
reference xxHash library.
"""

import bisect
import math

import xxhash

from balance import balancer, pick, write

MIN_RING, MAX_RING, TABLE = 1024, 4096, 65537


def ring(hosts):
    """Points `"<address>_<i>"` by XXH64; as many as the weight's share, scaled so that the lightest has whole points."""
    total = sum(hosts.values())
    shares = {h: w / total for h, w in hosts.items()}
    least = min(shares.values())
    scale = min(math.ceil(least * MIN_RING) / least, MAX_RING)
    points, current, target = [], 0.0, 0.0
    for host, share in shares.items():
        i, target = 0, target + scale * share
        while current < target:
            points.append((xxhash.xxh64_intdigest(f"{host}_{i}".encode()), host))
            i, current = i + 1, current + 1
    points.sort()
    hashes = [p[0] for p in points]

    def owner(key):
        at = bisect.bisect_left(hashes, xxhash.xxh64_intdigest(key.encode()))
        return points[at % len(points)][1]

    return owner


def fixed(hosts, points):
    """So many points each, whoever else is there."""
    ring = sorted((xxhash.xxh64_intdigest(f"{host}_{i}".encode()), host) for host in hosts for i in range(points))
    hashes = [point[0] for point in ring]
    return lambda key: ring[bisect.bisect_left(hashes, xxhash.xxh64_intdigest(key.encode())) % len(ring)][1]


def changes(count):
    """One joins, and leaves again, and another leaves: among few the ring is made anew, among many it is changed."""
    ids = {f"10.0.0.{i}:80": f"h{i}" for i in range(1, count + 2)}
    *hosts, last = ids
    join = lambda host: {"do": "register", "args": {"instance": {"service": "s", "id": ids[host], "endpoints": [f"http://{host}"]}}}
    leave = lambda host: {"do": "deregister", "args": {"service": "s", "id": ids[host]}}
    ask = lambda hosts: [pick(ids[fixed(hosts, 20)(key)], key=key) for key in [f"user-{i}" for i in range(30)]]
    return {"name": f"a ring of points of their own: one joins {count}, and leaves, and another leaves", "steps": [
        *map(join, hosts), balancer({"pick": {"kind": "ring-hash", "points": 20}}), *ask(hosts), join(last), *ask([*hosts, last]), leave(last), *ask(hosts),
        leave(hosts[0]), *ask(hosts[1:])]}


def maglev(hosts):
    """Each host in turn takes the next free place of its permutation; a lighter one plays fewer rounds."""
    names = list(hosts)
    offset = {h: xxhash.xxh64_intdigest(h.encode(), 0) % TABLE for h in names}
    skip = {h: xxhash.xxh64_intdigest(h.encode(), 1) % (TABLE - 1) + 1 for h in names}
    heaviest = max(hosts.values())
    taken, following, target, table, round_ = 0, dict.fromkeys(names, 0), dict.fromkeys(names, 0.0), [None] * TABLE, 0
    while taken < TABLE:
        round_ += 1
        for host in names:
            if taken == TABLE or round_ * hosts[host] < target[host]:
                continue
            target[host] += heaviest
            place = (offset[host] + skip[host] * following[host]) % TABLE
            while table[place] is not None:
                following[host] += 1
                place = (offset[host] + skip[host] * following[host]) % TABLE
            table[place], taken = host, taken + 1
            following[host] += 1
    return lambda key: table[xxhash.xxh64_intdigest(key.encode()) % TABLE]


def cases(policy, make):
    even = {f"10.0.0.{i}:8080": 1 for i in range(1, 7)}
    uneven = {f"10.0.0.{i}:8080": w for i, w in zip(range(1, 6), (1, 2, 3, 2, 1))}
    keys = [f"user-{i}" for i in range(60)] + ["", "é", "k" * 300]
    for name, hosts in (("equal weights", even), ("weights", uneven), ("one has left", {h: w for h, w in even.items() if h != "10.0.0.3:8080"})):
        owner, ids = make(hosts), {h: f"b{i}" for i, h in enumerate(hosts)}
        register = [{"do": "register", "args": {"instance": {"service": "s", "id": ids[h], "endpoints": [f"http://{h}"], "weight": w}}} for h, w in hosts.items()]
        yield {"name": name, "steps": [*register, balancer(policy), *[pick(ids[owner(key)], key=key) for key in keys]]}


write("ring-hash", "Ring hash: keys where Envoy and gRPC place them.", "Envoy ring_hash_lb.cc, XXH64; python tests/oracles/hash.py", [*cases("ring-hash", ring), changes(3), changes(16)])
write("maglev", "Maglev: keys where Envoy places them.", "Envoy maglev_lb.cc, XXH64, table of 65537; python tests/oracles/hash.py", list(cases("maglev", maglev)))
