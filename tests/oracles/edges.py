"""Makes the vectors of what nobody should ask of a balancer, for every policy of the table in the README.

    pip install xxhash && python tests/oracles/edges.py

Nothing is computed here: who is left when nobody else may be picked, and how many calls were counted.
"""

import pathlib
import re

from balance import register, write

README = pathlib.Path(__file__).parents[2] / "README.md"
PRESETS = re.findall(r"^\| `([a-z.0-9-]+)` \|", README.read_text().split("<!-- policies")[1], re.M)
assert len(PRESETS) > 20
cases = []
named = lambda policy, name, seed=0: {"do": "balancer", "args": {"query": {"service": "s"}, "policy": policy, "options": {"seed": seed}, "balancer": name}}
heavy = {f"h{n:02}": 65535 for n in range(70)}
steps = [*register({"none": 0}), *register(heavy)]
for p in PRESETS:
    if p == "nginx.hash":
        continue
    steps += [
        named(p, p),
        {"do": "picks", "args": {"count": 90, "balancer": p, "key": "k", "finish": {"ok": True}}, "expect": {"counts": {"none": None}}},
        {"do": "picks", "args": {"count": 90, "balancer": p}, "expect": {"counts": {"none": None}}},
        {"do": "balancer_stats", "args": {"balancer": p}, "expect": {"picks": 180, "inflight": 90, "succeeded": 90}},
    ]
cases.append({"name": "weights that add up to more than 32 bits, and none", "steps": steps})
cases.append(
    {
        "name": "the heaviest beside the lightest and none, on nginx' points",
        "steps": [
            *register({"a": 65535, "b": 0.001, "c": 0}),
            named("nginx.hash", "b"),
            {"do": "picks", "args": {"count": 90, "balancer": "b", "key": "k"}, "expect": {"counts": {"c": None}}},
        ],
    }
)
steps = [named(p, p) for p in PRESETS]
who = lambda p, expect, **args: {"do": "pick", "args": {"balancer": p, **args}, "expect": expect}
err = lambda code: {"error": {"code": code, "kind": "UnavailableError"}}
steps += [who(p, err("no-instances"), key="k") for p in PRESETS] + register({"a": 0}) + [who(p, err("none-available")) for p in PRESETS] + register({"a": 3})
for p in PRESETS:
    steps += [who(p, {"id": "a"}), who(p, {"id": "a"}, key="k"), who(p, err("all-excluded"), exclude=["a"]), who(p, {"id": "a"})]
steps += register({"b": 5}) + [
    step
    for p in PRESETS
    for step in (who(p, {"id": "b"}, exclude=["a"]), who(p, {"id": "a"}, exclude=["b"], key="k"), who(p, err("all-excluded"), exclude=["a", "b"]))
]
steps += [{"do": "set_admin", "args": {"service": "s", "id": i, "admin": {"state": "disabled"}}} for i in "ab"] + [
    who(p, err("none-available")) for p in PRESETS
]
cases.append({"name": "nobody, one, and all excluded", "steps": steps})
steps = [*register({"a": 1, "b": 1})]
for p in PRESETS:
    steps += [
        {"at": 50_000_000, **named(p, p)},
        {"at": 50_000_000, **who(p, {"service": "s"}, key="k"), "as": "one"},
        {"at": 10, **who(p, {"service": "s"}, key="k"), "as": "two"},
        {"at": 0, "do": "finish", "args": {"balancer": p, "token": {"$": "one.token"}, "outcome": {"latency": 3600}}, "expect": {"known": True}},
        {"at": 60_000_000, "do": "finish", "args": {"balancer": p, "token": {"$": "two.token"}, "outcome": {"latency": 0}}, "expect": {"known": True}},
        {"at": 59_999_999, "do": "picks", "args": {"balancer": p, "count": 50, "finish": {"ok": False}}},
        {"at": 0, "do": "balancer_stats", "args": {"balancer": p}, "expect": {"picks": 52, "inflight": 0, "succeeded": 2, "failed": 50}},
    ]
cases.append({"name": "time that runs backwards", "steps": steps})
steps = [*register({"a": 1, "b": 1})]
for p in PRESETS:
    steps += [
        named(p, p),
        {"at": 7, "do": "picks", "args": {"balancer": p, "count": 3000, "key": "k", "finish": {"latency": 0}}},
        {"at": 7, "do": "picks", "args": {"balancer": p, "count": 1000, "finish": {"ok": False, "latency": 0.001}}},
        {"do": "balancer_stats", "args": {"balancer": p}, "expect": {"inflight": 0, "failed": 1000, "succeeded": 3000}},
    ]
cases.append({"name": "time that stands still", "steps": steps})
fin = lambda b, token, known, **more: {"do": "finish", "args": {"balancer": b, "token": token, **more}, "expect": {"known": known}}
t = lambda name: {"$": f"{name}.token"}
cases.append(
    {
        "name": "tokens that are unknown, finished, or another's",
        "steps": [
            *register({"a": 1}),
            named("first", "one", 1),
            named("first", "two", 2),
            fin("one", 0, False),
            fin("one", 9007199254740991, False),
            fin("one", 1048576, False),
            {**who("one", {"id": "a"}), "as": "mine"},
            {**who("two", {"id": "a"}), "as": "yours"},
            fin("one", t("yours"), False, outcome={"ok": False}),
            fin("two", t("mine"), False, outcome={"ok": False}),
            {"do": "balancer_stats", "args": {"balancer": "one"}, "expect": {"inflight": 1, "failed": 0}},
            fin("one", t("mine"), True),
            fin("one", t("mine"), False),
            fin("two", t("yours"), True, outcome={"ok": False}),
            fin("two", t("yours"), False),
            {"do": "balancer_stats", "args": {"balancer": "two"}, "expect": {"inflight": 0, "failed": 1}},
            {**who("one", {"id": "a"}), "as": "again"},
            fin("one", t("mine"), False),
            fin("one", t("again"), True),
        ],
    }
)
bad = lambda outcome, code, field: {
    "do": "finish",
    "args": {"balancer": "b", "token": t("one"), "outcome": outcome},
    "expect": {"error": {"code": code, "field": field}},
}
cases.append(
    {
        "name": "outcomes that cannot be",
        "steps": [
            *register({"a": 1}),
            named("adaptive", "b"),
            {**who("b", {"id": "a"}), "as": "one"},
            *[bad({"load": {name: -0.5}}, "invalid-argument", f"load.{name}") for name in ("utilization", "cpu", "qps", "eps", "rif")],
            bad({"latency": -1}, "invalid-duration", "latency"),
            bad({"latency": -1e-9}, "invalid-duration", "latency"),
            bad({"latency": 1e300}, "invalid-duration", "latency"),
            bad({"kind": "throttled", "retry_after": -1}, "invalid-duration", "retry_after"),
            {"do": "balancer_stats", "args": {"balancer": "b"}, "expect": {"inflight": 1, "failed": 0, "succeeded": 0}},
            fin("b", t("one"), True, outcome={"latency": 0}),
            {
                "do": "balancer_stats",
                "args": {"balancer": "b"},
                "expect": {"inflight": 0, "succeeded": 1, "instances": [{"id": "a", "expected": 0, "success": 1}]},
            },
        ],
    }
)
made = lambda policy, code, field, limit=None: {
    "do": "balancer",
    "args": {"query": {"service": "s"}, "policy": {"pick": policy}},
    "expect": {"error": {"code": code, "field": field, **({} if limit is None else {"limit": limit})}},
}
cases.append(
    {
        "name": "tables beyond the caps",
        "steps": [
            {"do": "balancer", "args": {"query": {"service": "s"}, "policy": "first"}},
            made({"kind": "maglev", "table_size": 5_000_012}, "limit-exceeded", "policy.pick.table_size", 5_000_011),
            made({"kind": "maglev", "table_size": 9007199254740991}, "limit-exceeded", "policy.pick.table_size", 5_000_011),
            made({"kind": "maglev", "table_size": 65_536}, "invalid-argument", "policy.pick.table_size"),
            made({"kind": "ring-hash", "max_size": 8_388_609}, "limit-exceeded", "policy.pick.max_size", 8_388_608),
            made({"kind": "ring-hash", "min_size": 8_388_609}, "limit-exceeded", "policy.pick.min_size", 8_388_608),
            made({"kind": "ring-hash", "points": 65_537}, "limit-exceeded", "policy.pick.points"),
            made({"kind": "maglev", "load_factor": 100.01}, "limit-exceeded", "policy.pick.load_factor"),
            made({"kind": "sample", "choices": 33}, "limit-exceeded", "policy.pick.choices", 32),
            made({"kind": "prequal", "pool": 65}, "limit-exceeded", "policy.pick.pool", 64),
        ],
    }
)
cases.append(
    {
        "name": "half of a hundred are down, and none of them is picked",
        "steps": [
            *register({f"up-{n:02}": 1 for n in range(50)}),
            *register({f"down-{n:02}": 1 for n in range(50)}, health="unhealthy"),
            *[
                step
                for p in ("finagle.p2c-peak-ewma", "adaptive")
                for step in (
                    named(p, p, 3),
                    {
                        "do": "picks",
                        "args": {"balancer": p, "count": 2000, "finish": {"latency": 0.01}},
                        "expect": {"counts": {f"down-{n:02}": None for n in range(50)}},
                    },
                )
            ],
        ],
    }
)
cases.append(
    {
        "name": "who has weight 0 or is disabled is never picked, panic or not",
        "steps": [
            *register({"a": 0}, health="unhealthy"),
            *register({"b": 1}, health="unhealthy"),
            *register({"c": 1}, health="unhealthy"),
            {"do": "set_admin", "args": {"service": "s", "id": "c", "admin": {"state": "disabled"}}},
            *[
                step
                for p in PRESETS
                for step in (
                    named({"preset": p, "levels": {}}, p),
                    {"do": "picks", "args": {"balancer": p, "count": 40, "key": "k"}, "expect": {"counts": {"b": 40, "a": None, "c": None}}},
                    who(p, err("all-excluded"), exclude=["b"]),
                )
            ],
            *register({"b": 0}, health="unhealthy"),
            *[who(p, err("none-available")) for p in PRESETS],
        ],
    }
)
# The first and the last of each range: 1 ms to 1 h, keys of 128 bytes, and what else the documents of the parts say.
edge = lambda policy, **options: {"do": "balancer", "args": {"query": {"service": "s"}, "policy": policy, "options": options}}
cost = lambda **settings: {"pick": {"kind": "sample", "score": {"kind": "cost", **settings}}}
cases.append(
    {
        "name": "the first and the last of a range are in it",
        "steps": [
            *[edge("first", reap_after=time) for time in (0.001, 86_400)],
            *[edge("first", trace=events) for events in (0, 1 << 20)],
            *[edge({"preset": "first", "slow_start": {"window": time}}) for time in (0.001, 3_600)],
            *[edge({"preset": "first", "hold": {"most": time, "unasked": time}}) for time in (0, 3_600)],
            *[edge({"preset": "first", "retry": {"attempts": attempts, "factor": factor}}) for attempts, factor in ((1, 1), (100, 100))],
            *[edge({"preset": "first", "reports": {"update": time}}) for time in (0.1, 3_600)],
            edge({"preset": "first", "levels": {"key": "k" * 128, "panic": 100, "overprovisioning": 1000}}),
            edge({"preset": "first", "labels": {"selectors": [["k" * 128, str(n)] for n in range(16)], "keep": 4_096}}),
            edge({"preset": "first", "sticky": {"by": "metadata." + "k" * 128}}),
            *[edge(cost(tau=time, idle=time, exponent=exponent, gain=1)) for time, exponent in ((0.001, 0), (3_600, 4))],
            edge({"pick": {"kind": "sample", "choices": 32, "most": 32}}),
            *[edge({"pick": {"kind": "ring-hash", **sizes}}) for sizes in ({"min_size": 9, "max_size": 9}, {"points": 1}, {"points": 65_536})],
            *[edge({"pick": {"kind": "maglev", "load_factor": factor}}) for factor in (0, 1, 100)],
        ],
    }
)
write(
    "edges",
    "What nobody should ask of a balancer: every policy gives a typed answer, counts right, and goes on.",
    "The rules of core/src/balance, worked out by hand.",
    cases,
)
