"""Makes the vectors of explanations and of what each part of the pipeline did.

    pip install xxhash && python tests/oracles/explain.py

Worked out by hand from the rules of core/src/balance; where a key goes is tests/oracles/balance.py's to say.
"""

from balance import Rendezvous, balancer, pick, refused, register, thousandths, write
from before import KEYS, drawn, instance


def explain(expect, **args):
    return {"do": "explain", **({"args": args} if args else {}), "expect": expect}


def out(id, reason):
    return {"service": "s", "id": id, "reason": reason}


cases = []
cases.append(
    {
        "name": "why nobody may be called",
        "steps": [
            balancer("adaptive", 1, health="any"),
            explain(
                {
                    "policy": "adaptive",
                    "choice": None,
                    "matching": 0,
                    "eligible": 0,
                    "open": 0,
                    "shares": [],
                    "looks": [],
                    "left_out": [],
                    "text": "adaptive chooses nobody: no-instances: no instance matches the query\n  match the query   0\n  may be called     0\n  not excluded      0\n",
                }
            ),
            *register({"a": 0}),
            *register({"b": 1}, health="unhealthy"),
            *register({"c": 1}),
            {"do": "set_admin", "args": {"service": "s", "id": "c", "admin": {"state": "disabled"}}},
            explain(
                {
                    "choice": None,
                    "matching": 3,
                    "eligible": 0,
                    "open": 0,
                    "left_out": [out("a", "weight-0"), out("b", "unavailable"), out("c", "unavailable")],
                    "text": "adaptive chooses nobody: none-available: no instance may be given a call: all are unavailable or have weight 0\n  match the query   3\n  may be called     0\n  not excluded      0\n  left out, unavailable: b, c\n  left out, weight-0: a\n",
                }
            ),
            *register({"d": 1}),
            explain(
                {
                    "choice": None,
                    "matching": 4,
                    "eligible": 1,
                    "open": 0,
                    "left_out": [out("a", "weight-0"), out("b", "unavailable"), out("c", "unavailable"), out("d", "excluded")],
                },
                exclude=["d"],
            ),
            refused("all-excluded", exclude=["d"]),
            {"do": "balancer_stats", "expect": {"stages": {"all_excluded": 1, "none_available": 0, "no_instances": 0}}},
        ],
    }
)
hosts = {"b0": 1, "b1": 2, "b2": 0.5, "b3": 1, "b4": 4}
model = Rendezvous(thousandths(hosts))
steps = [*register(hosts), balancer("rendezvous")]
for key in KEYS[:6]:
    order = model.order(key)
    steps += [
        explain({"id": order[0], "service": "s", "matching": 5, "open": 5, "pool": "available"}, key=key),
        explain({"id": order[1], "open": 4, "left_out": [out(order[0], "excluded")]}, key=key, exclude=order[:1]),
        pick(order[0], key=key),
    ]
cases.append({"name": "where a key goes, and where its next try", "steps": steps})
cases.append(
    {
        "name": "what two were compared by",
        "steps": [
            *register({"a": 1, "b": 1}),
            balancer("least-request", 1),
            pick("a", exclude=["b"]),
            pick("a", exclude=["b"]),
            {**pick("b", exclude=["a"]), "as": "one"},
            {"do": "explain", "expect": {"id": "b", "open": 2, "eligible": 2}, "as": "told"},
            {"do": "finish", "args": {"token": {"$": "one.token"}}},
            {"do": "explain", "expect": {"id": "b"}},
            pick("b"),
        ],
    }
)
cases.append(
    {
        "name": "what became of levels and localities",
        "steps": [
            *[instance(f"l0-{n}", health="healthy" if n < 2 else "unhealthy", metadata={"priority": "0"}, locality={"zone": "z"}) for n in range(4)],
            *[instance(f"l1-{n}", metadata={"priority": "1"}, locality={"zone": "yx"[n % 2]}) for n in range(4)],
            balancer({"preset": "first", "levels": {}, "localities": {"mode": "weights", "weights": {"x": 3, "y": 1}}}),
            explain(
                {
                    "shares": [
                        {"kind": "healthy", "level": 0, "locality": "z", "instances": 2},
                        {"kind": "healthy", "level": 1, "locality": "x", "instances": 2},
                        {"kind": "healthy", "level": 1, "locality": "y", "instances": 2},
                    ]
                }
            ),
            # Half of the first level is well: it has 70 %. Of the rest x has three quarters.
            {"do": "set_health", "args": {"service": "s", "id": "l0-0", "health": "unhealthy"}},
            {"do": "set_health", "args": {"service": "s", "id": "l0-1", "health": "unhealthy"}},
            explain(
                {
                    "shares": [
                        {"kind": "healthy", "level": 1, "locality": "x", "instances": 2, "share": 0.75},
                        {"kind": "healthy", "level": 1, "locality": "y", "instances": 2, "share": 0.25},
                    ]
                }
            ),
            *[{"do": "set_health", "args": {"service": "s", "id": f"l1-{n}", "health": "unhealthy"}} for n in range(4)],
            explain(
                {
                    "shares": [{"kind": "panic", "level": 0, "instances": 4, "share": 0.5}, {"kind": "panic", "level": 1, "instances": 4, "share": 0.5}],
                    "pool": "unavailable",
                }
            ),
            {"do": "picks", "args": {"count": 10}},
            {"do": "balancer_stats", "expect": {"stages": {"panic": 10, "none_available": 0}}},
        ],
    }
)


cases.append(
    {
        "name": "of those left out 64 are listed",
        "steps": [
            *register({f"h{n:02}": 1 for n in range(65)}, health="unhealthy"),
            *register({"a": 1}),
            balancer("first"),
            explain({"id": "a", "matching": 66, "eligible": 1, "left_out": [out(f"h{n:02}", "unavailable") for n in range(64)]}),
        ],
    }
)
near = drawn("k", {"l0-0": 70, "l1-0": 30})
two = [*[instance(f"l0-{n}", health="healthy" if n < 2 else "unhealthy", metadata={"priority": "0"}) for n in range(4)], instance("l1-0", metadata={"priority": "1"})]
cases.append(
    {
        "name": "a share in words, with its locality where there is one",
        "steps": [
            *two,
            balancer({"preset": "first", "levels": {}}),
            explain(
                {
                    "id": near,
                    "text": f"first chooses {near}\n  match the query   5\n  may be called     3\n  not excluded      3\n  pool              available\n   70.0 % to level 0: 2 healthy\n   30.0 % to level 1: 1 healthy\n  left out, unavailable: l0-2, l0-3\n",
                },
                key="k",
            ),
            instance("z0", service="z", locality={"zone": "y"}),
            instance("z1", service="z", locality={"zone": "z"}),
            {"do": "balancer", "args": {"query": {"service": "z"}, "policy": {"preset": "first", "localities": {}}}},
            explain(
                {
                    "text": f"first chooses {(chosen := drawn('k', {'z0': 1, 'z1': 1}))}\n  match the query   2\n  may be called     2\n  not excluded      2\n  pool              available\n   50.0 % to level 0, y: 1 healthy\n   50.0 % to level 0, z: 1 healthy\n"
                },
                key="k",
            ),
            {"do": "pick", "args": {"key": "k"}, "expect": {"id": chosen}},
        ],
    }
)


def call(id, outcome, name, exclude=()):
    return [
        {**pick(id, **({"exclude": list(exclude)} if exclude else {})), "as": name},
        {"do": "finish", "args": {"token": {"$": f"{name}.token"}, "outcome": outcome}},
    ]


steps = [
    *register({"a": 1, "b": 1, "c": 1, "d": 1}),
    *register({"e": 1}, health="degraded"),
    *register({"f": 1}),
    {"do": "set_admin", "args": {"service": "s", "id": "f", "admin": {"state": "draining"}}},
    balancer({"preset": "first", "outliers": {"preset": "envoy", "most": 50}, "hold": {}, "breaker": {"instance": 2}}),
]
for n in range(5):
    steps += call("a", {"ok": False}, f"a{n}")
steps += call("b", {"kind": "throttled", "retry_after": 30}, "b0")
steps += [
    pick("c"),
    pick("c"),
    explain(
        {
            "id": "d",
            "pool": "available",
            "left_out": [out("a", "ejected"), out("b", "held"), out("c", "full"), out("e", "degraded"), out("f", "draining")],
            "text": "first chooses d\n  match the query   6\n  may be called     6\n  not excluded      6\n  pool              available\n  left out, ejected: a\n  left out, held: b\n  left out, full: c\n  left out, degraded: e\n  left out, draining: f\n",
        }
    ),
    pick("d"),
    pick("e", exclude=["c", "d"]),
    pick("f", exclude=["c", "d", "e"]),
    pick("a", exclude=["c", "d", "e", "f"]),
    {
        "do": "balancer_stats",
        "expect": {"stages": {"ejected": 1, "restored": 0, "held": 1, "spilled": 1, "degraded": 1, "draining": 1, "out": 1, "probes": 0, "panic": 0}},
    },
]
cases.append({"name": "who is out, and why", "steps": steps})
cases.append(
    {
        "name": "who is outside the subset, lacks the labels, or is in reserve",
        "steps": [
            *register({f"web-{n}": 1 for n in range(4)}),
            balancer({"preset": "first", "subset": {"kind": "ring", "size": 2}}),
            explain({"id": "web-0", "eligible": 2, "left_out": [out("web-1", "outside"), out("web-3", "outside")]}),
            instance("x1", metadata={"t": "x"}),
            instance("y1", metadata={"t": "y"}),
            balancer({"preset": "first", "labels": {"selectors": [["t"]], "fallback": "default", "default": {"t": "y"}}}),
            explain({"id": "x1", "left_out": [*[out(f"web-{n}", "labels") for n in range(4)], out("y1", "labels")]}, labels={"t": "x"}),
            pick("x1", labels={"t": "x"}),
            pick("y1", labels={"t": "z"}),
            pick("y1"),
            {"do": "balancer_stats", "expect": {"stages": {"fallback": 1}}},
            {"do": "pick", "args": {"labels": {"t": "z"}, "exclude": ["y1"]}, "expect": {"error": {"code": "all-excluded"}}},
            instance("w1", service="w", metadata={"priority": "0"}),
            instance("w2", service="w", metadata={"priority": "1"}),
        ],
    }
)
cases[-1]["steps"] = cases[-1]["steps"][:-2]
cases.append(
    {
        "name": "the last pick, when that is asked for",
        "steps": [
            *register({"a": 1, "b": 1}),
            balancer("first"),
            pick("a"),
            {"do": "explained", "expect": {"told": None}},
            {"do": "balancer", "args": {"query": {"service": "s"}, "policy": "first", "options": {"explain": True}}},
            {"do": "explained", "expect": {"told": None}},
            pick("a"),
            {"do": "explained", "expect": {"told": {"id": "a", "policy": "first", "open": 2, "left_out": []}}},
            pick("b", exclude=["a"]),
            {"do": "explained", "expect": {"told": {"id": "b", "open": 1, "left_out": [out("a", "excluded")]}}},
            refused("all-excluded", exclude=["a", "b"]),
            {"do": "explained", "expect": {"told": {"id": None, "error": {"code": "all-excluded"}, "open": 0}}},
        ],
    }
)
cases.append(
    {
        "name": "what the parts did",
        "steps": [
            *register({"a": 1, "b": 1}),
            balancer(
                {
                    "preset": "first",
                    "sticky": {},
                    "retry": {"budget": {"kind": "share", "reserve": 0, "share": 1}},
                    "hedge": {"load": 0.5},
                    "limit": {"kind": "fixed", "max": 2},
                    "breaker": {"total": 2, "trip": {"failures": 2}},
                }
            ),
            pick("b", prefer=["b"]),
            {**pick("a"), "as": "one"},
            {"do": "admit", "expect": {"may": False}},
            {"do": "pick", "expect": {"error": {"code": "limit-exceeded"}}},
            {"do": "finish", "args": {"token": {"$": "one.token"}}},
            {"do": "may_retry", "expect": {"may": True}},
            {"do": "may_retry", "expect": {"may": False}},
            {"do": "may_hedge", "expect": {"may": False}},
            *call("a", {"ok": False}, "two"),
            *call("a", {"ok": False}, "three"),
            refused("none-available"),
            {
                "do": "balancer_stats",
                "expect": {
                    "stages": {
                        "preferred": 1,
                        "turned_away": 1,
                        "limit_exceeded": 1,
                        "retries": 1,
                        "retries_denied": 1,
                        "hedges": 0,
                        "hedges_denied": 1,
                        "tripped": 1,
                        "none_available": 1,
                    }
                },
            },
        ],
    }
)
write(
    "explain",
    "Why a pick chooses whom it chooses, and how often each part of the pipeline had a say.",
    "The rules of core/src/balance, worked out by hand; keys by python tests/oracles/balance.py.",
    cases,
)
