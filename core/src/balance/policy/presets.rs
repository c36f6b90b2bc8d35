//! The presets: policies by name, as one table.

use alloc::string::String;
use core::time::Duration;

use super::config::{Generator, Policy};
use super::edf::Edf;
use super::first::First;
use super::sample::Sample;
use super::score::{Cost, Score, Unknown};
use super::stride::Stride;
use crate::error::{Code, Error};

/// Name and what it stands for.
type Preset = (&'static str, fn(&'static str) -> Policy);

/// Every preset, callboard's own first.
const PRESETS: &[Preset] = &[
    ("first", |name| Policy::of(name, Generator::First(First::default()))),
    ("random", |name| Policy::of(name, Generator::Random)),
    ("round-robin", |name| Policy::of(name, Generator::RoundRobin)),
    ("least-request", |name| Policy::of(name, Generator::Sample(Sample::two(Score::InFlight)))),
    ("adaptive", |name| Policy::of(name, Generator::Sample(Sample::two(Score::Cost(Cost::default()))))),
    ("peak-ewma", |name| Policy::of(name, Generator::Sample(Sample::two(Score::Cost(PEAK_EWMA))))),
    ("rendezvous", |name| Policy::of(name, Generator::Rendezvous)),
    ("envoy.round-robin", |name| Policy::of(name, Generator::Edf(Edf { bias: 0.0 }))),
    ("envoy.least-request", |name| {
        let even = Sample { distinct: false, uneven: Some(Edf { bias: 1.0 }), ..Sample::two(Score::InFlight) };
        Policy::of(name, Generator::Sample(even))
    }),
    ("envoy.random", |name| Policy::of(name, Generator::Random)),
    ("grpc.pick-first", |name| Policy::of(name, Generator::First(First { shuffle: true }))),
    ("grpc.round-robin", |name| Policy::of(name, Generator::RoundRobin)),
    ("grpc.weighted-round-robin", |name| Policy::of(name, Generator::Stride(Stride { clamp: true }))),
    ("grpc.least-request", |name| Policy::of(name, Generator::Sample(Sample { distinct: false, ..Sample::two(Score::InFlight) }))),
    ("nginx.smooth", |name| Policy::of(name, Generator::RoundRobin)),
    ("nginx.random-two", |name| Policy::of(name, Generator::Sample(Sample::two(Score::InFlight)))),
    ("finagle.p2c-peak-ewma", |name| Policy::of(name, Generator::Sample(Sample::two(Score::Cost(PEAK_EWMA))))),
    ("linkerd.peak-ewma", |name| {
        let cost = Cost { unknown: Unknown::Latency(Duration::from_secs(1)), penalty: Some(Duration::from_secs(5)), ..PEAK_EWMA };
        Policy::of(name, Generator::Sample(Sample::two(Score::Cost(cost))))
    }),
];

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

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

pub(super) fn find(name: &str) -> Result<Policy, Error> {
    let known = PRESETS.iter().find(|(known, _)| *known == name);
    known.map(|(name, make)| make(name)).ok_or_else(|| {
        let mut all = String::from("one of");
        for name in names() {
            all.push(' ');
            all.push_str(name);
        }
        Error::new(Code::InvalidPolicy, "policy").detail(all)
    })
}
