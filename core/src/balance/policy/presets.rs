//! The presets: policies by name, as one table.

use alloc::string::String;
use core::time::Duration;

use super::config::{Generator, Policy};
use super::edf::Edf;
use super::first::First;
use super::jump::Jump;
use super::ketama::{Ketama, KetamaLayout};
use super::maglev::Maglev;
use super::prequal::Prequal;
use super::rendezvous::Rendezvous;
use super::ring::{Layout, Ring};
use super::sample::Sample;
use super::score::{Cost, Score, Unknown};
use super::stride::Stride;
use crate::balance::hold::Hold;
use crate::balance::outlier::Outliers;
use crate::balance::reports::{Reports, Silent};
use crate::balance::slow_start::SlowStart;
use crate::error::{Code, Error};
use crate::limits;

/// A policy by name: what it is, where it comes from, and how it differs from there.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The paper or system whose behaviour it has.
    pub source: &'static str,
    /// What is other than there, on purpose; empty when nothing is.
    pub deviation: &'static str,
    make: fn() -> Policy,
}

/// The policy that has this generator and nothing else.
fn only(generator: Generator) -> Policy {
    Policy::of("", generator)
}

fn sample(score: Score) -> Policy {
    only(Generator::Sample(Sample::two(score)))
}

/// By weights that instances report.
fn reporting(generator: Generator, unknown: Silent) -> Policy {
    let mut policy = only(generator);
    policy.after.reports = Some(Reports { unknown, ..Reports::default() });
    policy
}

/// Every preset, callboard's own first.
const PRESETS: &[Preset] = &[
    Preset {
        name: "adaptive",
        about: "two drawn by weight, more while the best has calls in flight; the cheapest by latency x load / success³; outliers are out, a tenth at most and always one; who asks to be spared is; who is new has its share within 30 s",
        source: "callboard; parts of Finagle, linkerd, kratos, Envoy",
        deviation: "",
        make: adaptive,
    },
    Preset {
        name: "least-request",
        about: "two drawn by weight, the one with fewer calls in flight for its weight",
        source: "Mitzenmacher 2001; nginx random two",
        deviation: "two distinct ones",
        make: || sample(Score::InFlight),
    },
    Preset {
        name: "peak-ewma",
        about: "two drawn by weight, the one of less latency x load",
        source: "Finagle, linkerd, tower",
        deviation: "honours weights; does not put busy nodes back to draw again",
        make: || sample(Score::Cost(PEAK_EWMA)),
    },
    Preset {
        name: "prequal",
        about: "a pool of probes: of those not hot the fastest, else the least loaded",
        source: "Prequal, NSDI 2024",
        deviation: "probes are sent by weight; uses are rounded to the nearest",
        make: || only(Generator::Prequal(Prequal::DEFAULT)),
    },
    Preset {
        name: "round-robin",
        about: "in turn, spread as evenly as the weights allow",
        source: "nginx smooth weighted round robin",
        deviation: "turns outlive changes; the start is moved by the seed",
        make: || only(Generator::RoundRobin),
    },
    Preset {
        name: "random",
        about: "at random by weight",
        source: "Walker 1977, Vose 1991",
        deviation: "",
        make: || only(Generator::Random),
    },
    Preset {
        name: "rendezvous",
        about: "a key stays where it is: the highest hash",
        source: "Thaler and Ravishankar 1998",
        deviation: "",
        make: || only(Generator::Rendezvous(Rendezvous { load_factor: 0 })),
    },
    Preset {
        name: "ring-hash",
        about: "a key stays where it is: the next point of a circle of 1024 to 4096",
        source: "Envoy and gRPC ring_hash; Karger et al. 1997",
        deviation: "a retry goes to the next distinct host",
        make: || only(Generator::Ring(Ring::DEFAULT)),
    },
    Preset {
        name: "maglev",
        about: "a key stays where it is: the place of its hash in a table of 65 537",
        source: "Eisenbud et al. 2016; Envoy MAGLEV",
        deviation: "a retry never goes to an excluded host",
        make: || only(Generator::Maglev(Maglev::DEFAULT)),
    },
    Preset {
        name: "ketama",
        about: "a key stays where memcached clients put it",
        source: "libketama",
        deviation: "shares in exact numbers",
        make: || only(Generator::Ketama(Ketama::DEFAULT)),
    },
    Preset {
        name: "jump",
        about: "a key stays where it is, as long as only the last of the order comes and goes; ignores weights",
        source: "Lamping and Veach 2014",
        deviation: "",
        make: || only(Generator::Jump(Jump { load_factor: 0 })),
    },
    Preset {
        name: "first",
        about: "one active instance, the others stand by",
        source: "HAProxy first",
        deviation: "no limit of connections",
        make: || only(Generator::First(First { shuffle: false })),
    },
    Preset {
        name: "envoy.round-robin",
        about: "earliest deadline first",
        source: "Envoy ROUND_ROBIN",
        deviation: "turns outlive changes; a weight that changes counts for the turn that is running",
        make: || only(Generator::Edf(Edf { bias: 0.0 })),
    },
    Preset {
        name: "envoy.least-request",
        about: "two drawn evenly, the one with fewer calls; with weights, deadlines by weight / (calls + 1)",
        source: "Envoy LEAST_REQUEST",
        deviation: "turns outlive changes; a weight that changes counts for the turn that is running",
        make: || {
            let uneven = Some(Edf { bias: 1.0 });
            only(Generator::Sample(Sample { distinct: false, uneven, ..Sample::two(Score::InFlight) }))
        },
    },
    Preset {
        name: "envoy.client-side-wrr",
        about: "earliest deadline first over the weights that instances report",
        source: "Envoy client_side_weighted_round_robin",
        deviation: "an instance's own weight counts too; none is cut off at 32 bits; turns outlive changes",
        make: || reporting(Generator::Edf(Edf { bias: 0.0 }), Silent::Median),
    },
    Preset {
        name: "envoy.random",
        about: "at random",
        source: "Envoy RANDOM",
        deviation: "honours weights, which Envoy ignores",
        make: || only(Generator::Random),
    },
    Preset {
        name: "envoy.ring-hash",
        about: "the next point of a circle of 1024 to 8 388 608",
        source: "Envoy RING_HASH",
        deviation: "a retry goes to the next distinct host",
        make: || only(Generator::Ring(Ring { layout: Layout::Scaled { min: 1_024, max: limits::RING_POINTS }, ..Ring::DEFAULT })),
    },
    Preset {
        name: "envoy.maglev",
        about: "the place of the key's hash in a table of 65 537",
        source: "Envoy MAGLEV",
        deviation: "a retry never goes to an excluded host",
        make: || only(Generator::Maglev(Maglev::DEFAULT)),
    },
    Preset {
        name: "grpc.ring-hash",
        about: "the next point of a circle of 1024 to 4096",
        source: "gRPC ring_hash_experimental, A42",
        deviation: "",
        make: || only(Generator::Ring(Ring::DEFAULT)),
    },
    Preset {
        name: "grpc.pick-first",
        about: "the first of an order drawn from the seed by weight",
        source: "gRPC pick_first, A113",
        deviation: "no connection attempts: the host makes them",
        make: || only(Generator::First(First { shuffle: true })),
    },
    Preset {
        name: "grpc.round-robin",
        about: "in turn",
        source: "gRPC round_robin",
        deviation: "honours weights",
        make: || only(Generator::RoundRobin),
    },
    Preset {
        name: "grpc.weighted-round-robin",
        about: "static stride over the weights, which are those that instances report",
        source: "gRPC weighted_round_robin, A58",
        deviation: "an instance's own weight counts too",
        make: || reporting(Generator::Stride(Stride { clamp: true }), Silent::Mean),
    },
    Preset {
        name: "grpc.least-request",
        about: "two drawn, with replacement, the one with fewer calls",
        source: "gRPC least_request, A48",
        deviation: "honours weights",
        make: || only(Generator::Sample(Sample { distinct: false, ..Sample::two(Score::InFlight) })),
    },
    Preset {
        name: "nginx.smooth",
        about: "smooth weighted round robin",
        source: "nginx upstream",
        deviation: "failures do not lower the weight",
        make: || only(Generator::RoundRobin),
    },
    Preset {
        name: "nginx.hash",
        about: "a key stays where nginx puts it: the next of 160 points for a weight of 1",
        source: "nginx hash .. consistent",
        deviation: "",
        make: || only(Generator::Ketama(Ketama { layout: KetamaLayout::Nginx, ..Ketama::DEFAULT })),
    },
    Preset {
        name: "nginx.random-two",
        about: "two drawn by weight, the one with fewer calls for its weight",
        source: "nginx random two least_conn",
        deviation: "",
        make: || sample(Score::InFlight),
    },
    Preset {
        name: "finagle.p2c-peak-ewma",
        about: "as peak-ewma",
        source: "Finagle P2C with Peak EWMA",
        deviation: "honours weights; who may not be called is not drawn, so nothing is drawn again",
        make: || sample(Score::Cost(PEAK_EWMA)),
    },
    Preset {
        name: "linkerd.peak-ewma",
        about: "as peak-ewma; a failure counts as 5 s, an unknown instance as 1 s",
        source: "linkerd2-proxy PenaltyPeakEwma, 2026",
        deviation: "honours weights",
        make: || {
            let penalty = Some(Duration::from_secs(5));
            sample(Score::Cost(Cost { unknown: Unknown::Latency(Duration::from_secs(1)), penalty, ..PEAK_EWMA }))
        },
    },
];

/// Each part is there for what `tests/lab/RESULTS.md` measured with and without it.
fn adaptive() -> Policy {
    let mut policy = only(Generator::Sample(Sample { most: 32, ..Sample::two(Score::Cost(Cost::default())) }));
    // A tenth, as in Envoy: the score alone spares what is bad, and the lab is as well with a tenth as with half.
    policy.after.outliers = Some(Outliers { most: 10, ..Outliers::adaptive() });
    // Only who names a time is held: 429 alone counts as a failure, which the score weighs. When all servers refuse a little, holds that
    // nobody asked for would lay everybody's load on those that are left.
    policy.after.hold = Some(Hold::default());
    // Fast at first: steady growth lays too much on the other one of two, and does no better elsewhere.
    policy.before.slow_start = Some(SlowStart { aggression: 2.0, ..SlowStart::default() });
    // No `levels`, and so no panic: a pick is never of one that is said to be unhealthy, and the registry guards against mass expiry itself.
    policy
}

/// Finagle's Peak EWMA: latency and load, failures timed like successes, an unknown instance explored by one call.
const PEAK_EWMA: Cost = Cost {
    tau: Duration::from_secs(10),
    peak: true,
    fade: true,
    age: false,
    unknown: Unknown::Explore,
    penalty: Some(Duration::ZERO),
    exponent: 0,
    gain: 0.1,
    recovery: Duration::from_secs(10),
    idle: None,
};

pub(super) fn all() -> &'static [Preset] {
    PRESETS
}

pub(super) fn find(name: &str) -> Result<Policy, Error> {
    let known = PRESETS.iter().find(|known| known.name == name);
    known.map(|preset| (preset.make)().called(preset.name)).ok_or_else(|| {
        let mut all = String::from("one of");
        for preset in PRESETS {
            all.push(' ');
            all.push_str(preset.name);
        }
        Error::new(Code::InvalidPolicy, "policy").detail(all)
    })
}
