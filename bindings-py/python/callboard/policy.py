"""A policy as a document: its parts and their settings, named as the core reads them in every language. Durations are seconds.
A part that is absent is as the preset says, one that is `"off"` is left out.

For annotations: `policy: PolicyParts = {"preset": "round-robin", "breaker": {"instance": 8}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    # Of `typing` only since Python 3.11.
    from typing_extensions import Required

PolicyName: TypeAlias = Literal[
    "first", "random", "round-robin", "least-request", "rendezvous", "adaptive", "peak-ewma", "envoy.round-robin",
    "envoy.least-request", "envoy.client-side-wrr", "envoy.random", "grpc.pick-first", "grpc.round-robin",
    "grpc.weighted-round-robin", "grpc.least-request", "nginx.smooth", "nginx.random-two", "finagle.p2c-peak-ewma",
    "linkerd.peak-ewma", "prequal", "envoy.ring-hash", "envoy.maglev", "grpc.ring-hash", "nginx.hash", "ring-hash", "maglev",
    "ketama", "jump",
]
"""The name of a balancing policy."""

PickName: TypeAlias = Literal[
    "first", "random", "round-robin", "edf", "stride", "sample", "prequal", "rendezvous", "ring-hash", "maglev", "ketama",
    "jump",
]
"""The name of what chooses, as it is by default."""


class PolicyParts(TypedDict, total=False):
    """A preset, and what is other than it says."""

    preset: PolicyName
    """What the parts are like that are absent here; default `adaptive`."""
    pick: PickGenerator
    """What chooses among the instances that may be given the call."""
    subset: Subset | Literal["off"]
    """Which instances this client uses at all."""
    slow_start: SlowStart | Literal["off"]
    """How an instance that is new is spared. The preset's is not for a `pick` that goes by keys."""
    labels: Labels | Literal["off"]
    """Which instances a request asks for by labels."""
    sticky: Sticky | Literal["off"]
    """Whether a request may say who is tried first."""
    levels: Levels | Literal["off"]
    """Who is a reserve for whom, and when all are called, well or not."""
    localities: Localities | Literal["off"]
    """How much goes to which locality."""
    outliers: Outliers | Literal["envoy", "grpc", "adaptive", "off"]
    """Who is taken out of the picks because it does worse than it should, and how it comes back."""
    hold: Hold | Literal["off"]
    """For how long one that asks for it is spared."""
    breaker: Breaker | Literal["off"]
    """How many calls may be out at one instance, and at all."""
    retry: Retry | Literal["off"]
    """How many retries there may be, and when."""
    hedge: Hedge | Literal["off"]
    """When a call is worth sending twice."""
    reports: Reports | Literal["off"]
    """What instances weigh by what they report of their load."""
    limit: Limit | Literal["off"]
    """How many calls may be out at once."""


class PlainPick(TypedDict, total=False):
    """At random or in turn, by the weights."""

    kind: Required[Literal["random", "round-robin"]]


class First(TypedDict, total=False):
    """The first in a fixed order: one active instance, the others stand by."""

    kind: Required[Literal["first"]]
    shuffle: bool
    """Whether the order is drawn from the seed; default false: by service and id."""


class Edf(TypedDict, total=False):
    """In turn by deadline: the weighted round robin of Envoy."""

    kind: Required[Literal["edf"]]
    bias: float
    """How much the calls in flight lower the weight: 0 to 16, default 0: not at all."""


class Stride(TypedDict, total=False):
    """In turn by a counter: the weighted round robin of gRPC."""

    kind: Required[Literal["stride"]]
    clamp: bool
    """Whether weights are held between a tenth and ten times their mean; default true."""


class Sample(TypedDict, total=False):
    """The best by a score of some drawn at random, in proportion to the weights."""

    kind: Required[Literal["sample"]]
    choices: int | Literal["all"]
    """How many are drawn: 2 to 32, default 2; `"all"` is a full scan."""
    most: int
    """How many are drawn at most while the best has calls in flight: up to 32, by default `choices`."""
    distinct: bool
    """Whether those drawn first must be distinct; default true."""
    score: Score
    """What they are compared by; default `in-flight`."""
    uneven: Uneven
    """What takes turns instead when the weights differ, as in Envoy's least request; by default nothing."""


class Uneven(TypedDict, total=False):
    """Turns by deadline, in the place of a sample."""

    kind: Literal["edf"]
    bias: float
    """How much the calls in flight lower the weight: 0 to 16, default 0: not at all."""


class InFlight(TypedDict, total=False):
    """By the calls in flight."""

    kind: Required[Literal["in-flight"]]


class Cost(TypedDict, total=False):
    """By latency x load / success, each learnt from the outcomes."""

    kind: Required[Literal["cost"]]
    tau: float
    """The time constant of the latency's average: 0.001 to 3600 s, default 10."""
    peak: bool
    """Whether a latency above the average replaces it; default true."""
    fade: bool
    """Whether the average fades to nothing while no call ends; default false: it stays."""
    age: bool
    """Whether the age of the calls in flight is a lower bound of the latency; default true."""
    unknown: float | Literal["median", "explore"]
    """What one costs that no call to has ended: that of its peers, nothing, or 0 to 3600 s; default `median`."""
    penalty: float | Literal["never"]
    """The latency that a failure counts as, if it is longer: 0 to 3600 s, default `never`."""
    exponent: int
    """The exponent of the success: 0 to 4, default 3."""
    gain: float
    """By how much an outcome moves the success: above 0 and up to 1, default 0.1."""
    recovery: float
    """The time constant with which the success recovers: 0.001 to 3600 s, default 10."""
    idle: float | Literal["never"]
    """After how long without a call an instance wins the comparison: 0.001 to 3600 s, default 3."""


class Prequal(TypedDict, total=False):
    """The hot and cold rule over a pool of probes."""

    kind: Required[Literal["prequal"]]
    pool: int
    """Probes in the pool: 2 to 64, default 16."""
    age: float
    """When a probe is too old: 0.001 to 3600 s, default 1."""
    rate: float
    """Probes sent for each pick: 0.1 to 16, default 3."""
    remove: float
    """Probes taken out after each pick: 0 to 16, default 1."""
    quantile: float
    """The quantile of the requests in flight above which an instance is hot: 0 to 1, default 0.84."""
    delta: float
    """By how much more a probe may be used than the rates ask for: 0 to 16, default 1."""


class Rendezvous(TypedDict, total=False):
    """The one that hashes highest with the request's key."""

    kind: Required[Literal["rendezvous"]]
    load_factor: float
    """The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none."""


class RingHash(TypedDict, total=False):
    """The next on a circle of points."""

    kind: Required[Literal["ring-hash"]]
    min_size: int
    """The fewest points of the ring: 1 to 8388608, default 1024."""
    max_size: int
    """The most points of the ring: 1 to 8388608, default 4096."""
    points: int
    """So many points for a weight of 1, in the place of the sizes: 1 to 65536; by default the sizes count."""
    hash: Literal["xxhash64", "murmur2"]
    """What the points are hashed by; default `xxhash64`."""
    hash_key: str
    """What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`."""
    load_factor: float
    """The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none."""


class Maglev(TypedDict, total=False):
    """The one that has the place of the key's hash in a table."""

    kind: Required[Literal["maglev"]]
    table_size: int
    """Places of the table: a prime up to 5000011, default 65537."""
    hash_key: str
    """What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`."""
    load_factor: float
    """The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none."""


class Ketama(TypedDict, total=False):
    """The next on a circle of 32-bit points."""

    kind: Required[Literal["ketama"]]
    layout: Literal["libketama", "nginx"]
    """Whose points; default `libketama`."""
    hash_key: str
    """What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`."""
    load_factor: float
    """The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none."""


class Jump(TypedDict, total=False):
    """By number, without a table; ignores weights."""

    kind: Required[Literal["jump"]]
    load_factor: float
    """The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none."""


class Subset(TypedDict, total=False):
    """A client uses some of the instances only."""

    kind: Literal["random", "ring", "aperture"]
    """How they are chosen; default `random`."""
    size: int
    """How many: at least 1, default 20; for `aperture` the least width, by default 12."""
    client: int
    """The number of this client among its peers, for `ring` and `aperture`: from 0, default 0."""
    clients: int
    """How many clients there are, for `aperture`: at least 1, default 1."""
    seed: int
    """For `random`: give each client its own; below 2^53, default 0."""


class SlowStart(TypedDict, total=False):
    """A new instance, or one that is well again, has less weight at first."""

    window: float
    """How long it takes: 0.001 to 3600 s, default 30."""
    min: int
    """What it starts with, in percent of the weight: 1 to 100, default 10."""
    aggression: float
    """The weight grows as the share of the window to the power of 1 / this: 0.01 to 100, default 1."""
    rule: Literal["envoy", "dubbo"]
    """By whose rule; default `envoy`."""


class Labels(TypedDict, total=False):
    """Groups of instances that requests ask for by labels."""

    selectors: Required[Sequence[LabelSelector | Sequence[str]]]
    """The sets of keys that requests may name: at most 16; of two alike the first counts."""
    fallback: Literal["none", "any", "default"]
    """What becomes of a request that no selector fits, or whose labels nobody has; default `none`."""
    default: Mapping[str, str]
    """The labels of the instances that `default` means; by default all instances."""
    panic_any: bool
    """Whether a request for which the fallback has nobody who can be called may go to any instance; default false."""
    redundant: bool
    """Whether a request may have more labels than a selector has keys; default false."""
    list: str
    """What separates the elements of a value that is a list, of which any will do; none by default."""
    scale_localities: bool
    """Whether a locality's weight counts in proportion to how many of its instances the group has; default false."""
    keep: int
    """How many groups are kept ready to pick from: 1 to 4096, default 256."""


class LabelSelector(TypedDict, total=False):
    """A set of metadata keys."""

    keys: Required[Sequence[str]]
    """The keys: at least 1."""
    fallback: Literal["none", "any", "default", "keys"]
    """What becomes of a request whose labels nobody has; by default as the policy's fallback says."""
    fallback_keys: Sequence[str]
    """For `keys`: the labels that are left to look for: some of the keys, and not all."""


class Sticky(TypedDict, total=False):
    """Requests may name instances that are tried first, in order."""

    by: str
    """What the request calls an instance by: `address`, `id`, `hostname` or `metadata.KEY`; default `id`."""
    statuses: Sequence[Literal["available", "degraded", "draining", "ejected", "held", "unhealthy"]]
    """How it must be; default `available` and `degraded`."""
    strict: bool
    """Whether the call is refused when none of them may be given it; default false."""


class Levels(TypedDict, total=False):
    """Levels of priority: the instances of a level are given what the levels before it cannot take."""

    overprovisioning: int
    """The health of a level in percent for each percent of it that is well: 100 to 1000, default 140."""
    panic: int
    """A level panics when fewer than this percentage of it may be called: 0 (never) to 100, default 50."""
    key: str
    """The metadata key of the level, of at most 128 bytes; default `priority`."""


class Localities(TypedDict, total=False):
    """How the traffic of a level is divided among the localities of its instances."""

    mode: Literal["nearest", "weights"]
    """By what it is divided; default `nearest`."""
    scope: Literal["region", "zone", "subzone"]
    """How far down localities differ; default `zone`."""
    local: str
    """The path of the client's own locality, as in `eu/eu-1a`; without it nothing is near."""
    peers: Mapping[str, int]
    """How many clients like this one each locality has, by path; by default one in each."""
    weights: Mapping[str, int]
    """For `weights`: what each locality is given, by path; by default 1."""
    min_instances: int
    """A level with fewer well instances is not divided by nearness: default 6."""
    force_local: int
    """With as many well instances in the client's own locality all calls stay there: default 0: off."""
    by_weight: bool
    """Whether localities are compared by the weights of their instances instead of their number; default false."""
    overprovisioning: int
    """For `weights`: what a locality can take in percent for each percent of it that is well: 100 to 1000, default 140."""


class Outliers(TypedDict, total=False):
    """When an instance is taken out of the picks because it does worse than it should or than its peers. Defaults are those of the preset `envoy`."""

    preset: Literal["envoy", "grpc", "adaptive"]
    """What the fields are like that are absent here, by default `envoy`."""
    interval: float
    """How often rates and latencies are compared: 0.001 to 3600 s, default 10."""
    most: int
    """The share of the instances in percent at which no more are taken out: up to 100, default 10."""
    always_one: bool
    """Whether one may be taken out whatever `most` says; default false."""
    recovery: Recovery
    """How one comes back; default `fixed`."""
    split: bool
    """Whether failures that were seen on this side (`connect`, `timeout`) are counted apart; default false."""
    errors: Streak | Literal["off"]
    """So many failures in a row; default 5, always enforced."""
    gateway: Streak | Literal["off"]
    """So many gateway failures in a row; default 5, never enforced."""
    local: Streak | Literal["off"]
    """So many failures on this side in a row, when they are counted apart; default 5, always enforced."""
    success_rate: SuccessRate | Literal["off"]
    """A success rate far below that of the peers; on by default."""
    failures: Failures | Literal["off"]
    """A share of failures; on by default, never enforced."""
    latency: Slowness | Literal["off"]
    """A latency far above that of the peers; default `off`."""


class FixedRecovery(TypedDict, total=False):
    """After a time that grows with the number of times it was taken out lately."""

    kind: Required[Literal["fixed"]]
    base: float
    """How long it stays out for the first time: 0.001 to 3600 s, default 30."""
    most: float
    """The longest time: 0.001 to 3600 s, default 300."""
    jitter: float
    """Up to so much is drawn and added: 0 to 3600 s, default 0."""


class ProbeRecovery(TypedDict, total=False):
    """A single call is sent to it now and then, the gap doubling; it is back when some went well."""

    kind: Required[Literal["probe"]]
    first: float
    """The gap before the first call: 0.001 to 3600 s, default 1."""
    most: float
    """The longest gap: 0.001 to 3600 s, default 4."""
    successes: int
    """How many calls in a row must go well: at least 1, default 3."""
    checks: bool
    """Whether the host checks it in the place of calls, by `probe_requests` and `probed`; default false."""


class Streak(TypedDict, total=False):
    """So many in a row."""

    count: int
    """How many: at least 1, default 5."""
    enforcing: int
    """With which probability in percent the instance is taken out: 0 to 100, by default as the preset says."""


class SuccessRate(TypedDict, total=False):
    """A success rate below the mean of the peers' by so many of their standard deviations."""

    hosts: int
    """How many instances must have enough calls: default 5."""
    volume: int
    """How many calls in an interval are enough: at least 1, default 100."""
    factor: float
    """How many standard deviations: 0 to 100, default 1.9."""
    enforcing: int
    """With which probability in percent the instance is taken out: 0 to 100, default 100."""


class Failures(TypedDict, total=False):
    """A share of failures of so many percent."""

    threshold: int
    """How many percent: 0 to 100, default 85."""
    above: bool
    """Whether it takes more than that, as in gRPC, and not just as much, as in Envoy; default false."""
    hosts: int
    """How many instances must have enough calls: default 5."""
    volume: int
    """How many calls in an interval are enough: at least 1, default 50."""
    enforcing: int
    """With which probability in percent the instance is taken out: 0 to 100, default 0."""


class Slowness(TypedDict, total=False):
    """A median latency above so many times the median of the peers' medians."""

    factor: float
    """How many times: 1 to 1000, default 3."""
    floor: float
    """By how much it must be above it at least: 0 to 3600 s, default 0.02."""
    hosts: int
    """How many instances must have enough calls: default 3."""
    volume: int
    """How many calls in an interval are enough: at least 1, default 20."""
    enforcing: int
    """With which probability in percent the instance is taken out: 0 to 100, default 100."""


class Hold(TypedDict, total=False):
    """For how long an instance that asks to be spared gets no call while there is another."""

    most: float
    """The longest time that is granted: 0 to 3600 s, default 300."""
    unasked: float
    """The time for one that is `throttled` and names none: 0 to 3600 s, default 0."""


class Breaker(TypedDict, total=False):
    """How many calls may be out at once: a pick beyond it goes to another instance, or is refused."""

    instance: int
    """At one instance: at least 1, by default any number."""
    total: int
    """At all instances: at least 1, default 1024."""
    retries: int
    """Of calls that were tried before, which are those that exclude somebody: at least 1, by default any number."""
    retry_percent: int
    """That many, or this percentage of the calls that are out, when it is more: 0 to 100, default 0."""
    trip: Trip | Literal["off"]
    """When the whole service is left alone; default `off`."""


class Trip(TypedDict, total=False):
    """After so many failures in a row every pick is refused for a while; then one call is let through to find out."""

    failures: int
    """Failures in a row: at least 1, default 20."""
    hold: float
    """For how long picks are refused at first: 0.001 to 3600 s, default 1."""
    most: float
    """For how long at most: `hold` to 3600 s, default 30, or `hold` when that is longer."""


class Retry(TypedDict, total=False):
    """How many retries there may be, and when."""

    budget: Budget | Literal["off"]
    """How many retries there may be; default `share`."""
    attempts: int
    """How often one call may be tried in all: 1 to 100, default 5."""
    first: float
    """The delay before the first retry: 0 to 3600 s, default 0.1."""
    factor: float
    """By how much the delay grows from one retry to the next: 1 to 100, default 2."""
    most: float
    """The longest delay: 0 to 3600 s, default 1."""
    jitter: float
    """The share by which a delay is drawn longer or shorter: 0 to 1, default 0.2."""


class ShareBudget(TypedDict, total=False):
    """Some for each call that ended, and some for each second."""

    kind: Required[Literal["share"]]
    window: float
    """How long what was earned can be spent: 0.001 to 3600 s, default 10."""
    reserve: float
    """Retries a second that need no calls: 0 to 1000000, default 10."""
    share: float
    """Retries for each call: 0 to 1000, default 0.2."""


class TokenBudget(TypedDict, total=False):
    """A failure takes a token, a success gives back a part of one, and retries need more than half of them."""

    kind: Required[Literal["tokens"]]
    most: float
    """How many there are at most, and at first: 0.001 to 1000, default 10."""
    ratio: float
    """What a success gives back: 0.001 to 1000, default 0.1."""


class Hedge(TypedDict, total=False):
    """When a call that has no answer yet is sent to a second instance as well."""

    quantile: float
    """The share of the calls that are answered before: 0.001 to 0.9999, default 0.95."""
    least: float
    """The shortest delay: 0 to 3600 s, default 0.001."""
    load: float
    """How many calls more there may be, as a share of those that ended: 0 to 1, default 0.05."""
    window: float
    """A latency is forgotten after one to two of these: 0.001 to 3600 s, default 30."""
    samples: int
    """How many latencies are needed: at least 1, default 20."""


class Reports(TypedDict, total=False):
    """Weights by reports of load."""

    blackout: float
    """For how long reports must have come before they count: 0 to 3600 s, default 10."""
    expiration: float
    """When the last report is too old: 0.001 to 3600 s, default 180."""
    update: float
    """How often the weights are worked out: 0.1 to 3600 s, default 1."""
    penalty: float
    """What a share of errors adds to the utilization: 0 to 1000, default 1."""
    unknown: Literal["mean", "median"]
    """What an instance weighs whose report does not count, of the others' weights; default `mean`."""


class FixedLimit(TypedDict, total=False):
    """Always as many."""

    kind: Required[Literal["fixed"]]
    max: int
    """How many: at least 1, default 1024."""


class Gradient(TypedDict, total=False):
    """Follows the ratio of the lowest latency to the present one."""

    kind: Required[Literal["gradient"]]
    initial: int
    """The limit at first: at least 1, default 50."""
    min: int
    """The lowest limit: at least 1, default 1."""
    max: int
    """The highest limit: at least 1, default 1000."""
    smoothing: float
    """How much of a lower limit is taken on: 0.001 to 1, default 0.2."""
    queue: int
    """How many calls may wait, or the square root of the limit when that is more: default 4."""
    tolerance: float
    """By how much the latency may be above the lowest before the limit shrinks, as a factor: 1 to 100, default 2."""
    backoff: float
    """What is left of the limit after a drop: 0.5 to 1, default 0.9."""
    probe: int
    """The lowest latency is measured anew after one to two times so many calls: at least 1, default 1000."""


class Gradient2(TypedDict, total=False):
    """Follows the ratio of the long-term latency to the present one."""

    kind: Required[Literal["gradient2"]]
    initial: int
    """The limit at first: at least 1, default 20."""
    min: int
    """The lowest limit: at least 1, default 20."""
    max: int
    """The highest limit: at least 1, default 200."""
    smoothing: float
    """How much of a new limit is taken on: 0.001 to 1, default 0.2."""
    queue: int
    """How many calls may wait: default 4."""
    window: int
    """The window of the long-term latency, in calls: at least 1, default 600."""
    tolerance: float
    """By how much the latency may grow before the limit shrinks, as a factor: 1 to 100, default 1.5."""


class Vegas(TypedDict, total=False):
    """Follows the queue that the latency tells of, as TCP Vegas."""

    kind: Required[Literal["vegas"]]
    initial: int
    """The limit at first: at least 1, default 20."""
    max: int
    """The highest limit: at least 1, default 1000."""
    smoothing: float
    """How much of a new limit is taken on: 0.001 to 1, default 1."""
    probe: int
    """The lowest latency is measured anew after about this many times as many calls as the limit: at least 1, default 30."""


class Aimd(TypedDict, total=False):
    """One more while it is used, a share less when a call is dropped."""

    kind: Required[Literal["aimd"]]
    initial: int
    """The limit at first: at least 1, default 20."""
    min: int
    """The lowest limit: at least 1, default 20."""
    max: int
    """The highest limit: at least 1, default 200."""
    backoff: float
    """What is left of the limit after a drop: 0.5 to 1, default 0.9."""
    timeout: float
    """A call that took longer counts as dropped: 0.001 to 3600 s, default 5."""


# Aliases are evaluated, so they stand after what they name.
PickGenerator: TypeAlias = PickName | PlainPick | First | Edf | Stride | Sample | Prequal | Rendezvous | RingHash | Maglev | Ketama | Jump
"""What chooses among the instances that may be given the call."""

Score: TypeAlias = InFlight | Cost | Literal["in-flight", "cost"]
"""What sampled instances are compared by."""

Recovery: TypeAlias = FixedRecovery | ProbeRecovery | Literal["fixed", "probe"]
"""How an instance comes back."""

Budget: TypeAlias = ShareBudget | TokenBudget | Literal["share", "tokens"]
"""How many retries there may be."""

Limit: TypeAlias = FixedLimit | Gradient | Gradient2 | Vegas | Aimd | Literal["fixed", "gradient", "gradient2", "vegas", "aimd"]
"""How many calls of one balancer may be out at once; `admit` asks it."""

Policy: TypeAlias = PolicyName | PolicyParts
"""How an instance is chosen: a preset by its name, or a preset and what is other than it says."""
