//! Every policy by name, among ten instances and among a million, each beside the floor in one run.
//!
//! Ours is the whole job: choose, count the call as in flight, finish it; policies that go by a key are given one. `--quick` takes
//! fewer sizes and rounds. See `report` for the output.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use callboard::Timestamp;
use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard_bench::Random;
use callboard_bench::floor::Floor;
use callboard_bench::measure::{Figure, Rounds};
use callboard_bench::report::{compare, missing};

/// A sample, in milliseconds.
const SAMPLE: f64 = 2.0;
/// The most of those that take minutes among more: one looks at every instance for a pick, one makes 160 points of each.
const SLOW: &[(&str, usize)] = &[("rendezvous", 10_000), ("ketama", 100_000)];
/// What a pick may cost more among 100 000 than among 100, beside what the same data costs more that is farther from the processor.
const FLAT: f64 = 1.0 / 1.5;
const FAR: usize = 100_000;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes: &[usize] = if quick { &[100, 1_000, 100_000] } else { &[10, 100, 1_000, 10_000, 100_000, 1_000_000] };
    let mut costs: BTreeMap<(&str, usize), (Figure, Figure)> = BTreeMap::new();
    let keys = keys();
    for n in sizes {
        eprintln!("n = {n}: filling");
        let registry = registry(*n);
        for name in Policy::presets() {
            if SLOW.iter().any(|(known, most)| known == &name && n > most) {
                continue;
            }
            eprintln!("n = {n}: {name}");
            match figures(&registry, name, *n, &keys, if quick { 5 } else { 11 }) {
                Ok((own, floor)) => {
                    compare(&format!("policy {name}, n={n}: the floor"), "ns", own, floor, None);
                    costs.insert((name, *n), (own, floor));
                }
                Err(error) => missing(&format!("policy {name}, n={n}"), &error.to_string()),
            }
        }
        if *n == FAR {
            report_growth(&costs);
        }
    }
}

/// What a pick costs more among many than among few.
fn report_growth(costs: &BTreeMap<(&str, usize), (Figure, Figure)>) {
    for name in Policy::presets() {
        if let (Some((few, near)), Some((many, far))) = (costs.get(&(name, 100)), costs.get(&(name, FAR))) {
            let growth = |few: &Figure, many: &Figure| Figure::exact(many.median / few.median);
            compare(
                &format!("growth from n=100 to 100 000, {name}: the floor's own"),
                "x",
                growth(few, many),
                growth(near, far),
                Some(FLAT),
            );
        }
    }
}

/// A pick with its finish, and the floor's, turn about.
fn figures(registry: &Registry, name: &str, n: usize, keys: &[[u8; 20]], rounds: usize) -> Result<(Figure, Figure), callboard::Error> {
    let policy = Policy::from_value(&name.into())?;
    let mut balancer = Balancer::new(Query::service("billing"), policy, Options::seeded(1))?;
    balancer.follow(registry);
    assert_eq!(balancer.len(), n);
    let (outcome, mut at) = (Outcome::success(Duration::from_micros(900)), 0);
    let mut floor = Floor::new(n as u32, 1);
    let mut cases = Rounds::new();
    cases.operation("own", SAMPLE, move |count| {
        for _ in 0..count {
            at += 1;
            let now = Timestamp::from_micros(at).unwrap();
            let request = Request { key: Some(&keys[at as usize % keys.len()]), ..Request::default() };
            let pick = balancer.pick(&request, now).unwrap();
            black_box(pick.handle);
            balancer.finish(pick.token, outcome, now);
        }
    });
    cases.operation("floor", SAMPLE, move |count| {
        for _ in 0..count {
            let (handle, token) = floor.pick();
            black_box(handle);
            black_box(floor.finish(token));
        }
    });
    let found = cases.run(&format!("n = {n}, {name}"), rounds);
    Ok((found["own"], found["floor"]))
}

/// Weights are equal, as most are.
fn registry(count: usize) -> Registry {
    let mut registry = Registry::new(Config { max_instances_per_service: 1_000_000, ..Config::default() }).unwrap();
    for at in 0..count {
        let registration = Registration::new("billing", format!("billing-{at:06}"));
        registry.register(&registration, Put::default(), Timestamp::ZERO).unwrap();
    }
    registry
}

/// A working set of keys.
fn keys() -> Vec<[u8; 20]> {
    let mut random = Random(7);
    (0..1_024).map(|_| std::array::from_fn(|_| b'a' + random.below(26) as u8)).collect()
}
