//! Picks that are finished, by a balancer over a hundred instances.

use std::hint::black_box;
use std::time::Duration;

use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard::{Error, Timestamp, Value};

use super::Case;

/// Name, policy, whether the weights differ, whether requests have keys.
const CASES: &[(&str, &str, bool, bool)] = &[
    ("random", "random", false, false),
    ("random, weighted", "random", true, false),
    ("round-robin, weighted", "round-robin", true, false),
    ("least-request", "least-request", false, false),
    ("least-request, weighted", "least-request", true, false),
    ("peak-ewma", "peak-ewma", false, false),
    ("adaptive", "adaptive", false, false),
    ("adaptive, every part", "", false, false),
    ("ring-hash", "ring-hash", false, true),
    ("maglev", "maglev", false, true),
];

const INSTANCES: u32 = 100;
const PICKS: u64 = 20_000;

pub fn cases() -> impl Iterator<Item = (&'static str, u64, Case<'static>)> {
    CASES.iter().map(|(name, policy, weighted, keyed)| {
        let run = move |count| picks(policy, *weighted, *keyed, count);
        (*name, PICKS, Box::new(run) as Case<'static>)
    })
}

/// So many picks that succeed, each a microsecond after the one before.
fn picks(policy: &str, weighted: bool, keyed: bool, count: u64) -> Result<(), Error> {
    let mut registry = Registry::new(Config::default())?;
    for at in 0..INSTANCES {
        let weight = if weighted { 1.0 + f64::from(at % 10) } else { 1.0 };
        let registration = Registration::new("billing", format!("billing-{at:03}")).weight(weight)?;
        registry.register(&registration, Put::default(), Timestamp::ZERO)?;
    }
    let mut balancer = Balancer::new(Query::service("billing"), self::policy(policy)?, Options::seeded(1))?;
    balancer.follow(&registry);
    let keys: Vec<[u8; 20]> = (0..64u8).map(|at| std::array::from_fn(|byte| b'a' + (at + byte as u8 * 7) % 26)).collect();
    let keys = if keyed { keys.as_slice() } else { &[] };
    let outcome = Outcome::success(Duration::from_micros(900));
    for at in 0..count {
        let now = Timestamp::from_micros(at)?;
        let key = keys.get(at as usize % keys.len().max(1)).map(|key| key.as_slice());
        let pick = balancer.pick(&Request { key, ..Request::default() }, now)?;
        black_box(pick.handle);
        balancer.finish(pick.token, outcome, now);
    }
    Ok(())
}

/// A policy by its name; the empty one is `adaptive` with every part that looks at outcomes or at time.
fn policy(name: &str) -> Result<Policy, Error> {
    match name {
        "" => Policy::from_value(&Value::map([
            ("preset", Value::from("adaptive")),
            ("hold", Value::map::<&str>([])),
            ("breaker", Value::map::<&str>([])),
            ("retry", Value::map::<&str>([])),
            ("hedge", Value::map::<&str>([])),
            ("slow_start", Value::map([("window", Value::from(60u64))])),
        ])),
        name => Policy::from_value(&name.into()),
    }
}
