//! The presets: policies by name, as one table.

use alloc::string::String;

use super::config::{Generator, Policy};
use crate::error::{Code, Error};

/// Name and what it stands for.
type Preset = (&'static str, fn(&'static str) -> Policy);

/// Every preset, callboard's own first.
const PRESETS: &[Preset] = &[
    ("first", |name| Policy::of(name, Generator::First)),
    ("random", |name| Policy::of(name, Generator::Random)),
    ("round-robin", |name| Policy::of(name, Generator::RoundRobin)),
    ("least-request", |name| Policy::of(name, Generator::LeastRequest)),
    ("rendezvous", |name| Policy::of(name, Generator::Rendezvous)),
];

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
