//! One pick, beside the load balancers of other crates.
//!
//! Ours is the whole job in every row: choose an instance, count the call as in flight, finish it. A peer does what it
//! offers: most choose and keep no account. Each has one owner and one thread; n is the number of instances.
//!
//! `--quick` takes fewer sizes and rounds. See `report` for the output.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use callboard::Timestamp;
use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard_bench::Random;
use callboard_bench::measure::{Figures, Rounds};
use callboard_bench::report::{alone, compare};
use poise_core::Policy as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tower::Service as _;
use weighted_rs::Weight as _;

/// A sample, in milliseconds.
const SAMPLE: f64 = 4.0;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (sizes, rounds): (&[usize], _) = if quick { (&[10, 1_000], 7) } else { (&[10, 100, 1_000, 10_000, 100_000], 21) };
    for n in sizes {
        report(*n, &run(*n, rounds));
    }
}

/// What is compared with what, and how many times faster ours is to be: as the limits suggest that were measured
/// before there was a callboard, by size where they depend on it, and else as fast at least.
fn report(n: usize, figures: &Figures) {
    let by_size = |goals: [f64; 5]| Some(goals[(n.ilog10() as usize - 1).min(4)]);
    let row = |what: &str, ours: &str, peer: &str, goal: Option<f64>| {
        if let Some(theirs) = figures.get(peer) {
            compare(&format!("{what}, n={n}: {peer}"), "ns", figures[ours], *theirs, goal);
        }
    };
    alone(&format!("first, n={n}"), "ns", figures["first"], "nobody else offers it");
    let as_fast = Some(1.0);
    let what = "random, equal weights";
    row(what, "random", "rand slice[random_range]", as_fast);
    row(what, "random", "poise-core Random", as_fast);
    row(what, "random", "pingora Random", Some(50.0));
    let what = "random, weights 1 to 10";
    row(what, "random, weighted", "rand WeightedIndex", by_size([1.0, 4.0, 4.0, 9.0, 9.0]));
    row(what, "random, weighted", "poise-core WeightedRandom", as_fast);
    row(what, "random, weighted", "pingora Random, weighted", Some(50.0));
    let what = "round-robin, equal weights";
    row(what, "round-robin", "poise-core RoundRobin", as_fast);
    row(what, "round-robin", "pingora RoundRobin", Some(50.0));
    let what = "round-robin, weights 1 to 10";
    row(what, "round-robin, weighted", "weighted-rs SmoothWeight", by_size([1.0, 15.0, 15.0, 400.0, 400.0]));
    row(what, "round-robin, weighted", "poise-core SmoothWeightedRoundRobin", as_fast);
    row(what, "round-robin, weighted", "pingora RoundRobin, weighted", as_fast);
    let what = "least-request of two";
    row(what, "least-request", "tower p2c PendingRequests", by_size([40.0, 40.0, 40.0, 300.0, 300.0]));
    row(what, "least-request", "poise-core PowerOfTwoChoices", as_fast);
    let what = "rendezvous, keys of 20 bytes";
    row(what, "rendezvous", "poise-core Rendezvous", as_fast);
    row(what, "rendezvous", "pingora Consistent (ketama)", None);
}

fn run(n: usize, rounds: usize) -> Figures {
    eprintln!("pick, n = {n}: preparing");
    let equal = vec![1; n];
    let weights: Vec<u32> = (0..n).map(|at| 1 + at as u32 % 10).collect();
    let keys = keys();
    let mut cases = Rounds::new();
    callboard(&mut cases, &equal, &weights, &keys);
    plain(&mut cases, &weights);
    poise(&mut cases, &equal, &weights, &keys);
    tower(&mut cases, n);
    #[cfg(feature = "pingora")]
    pingora::add(&mut cases, &equal, &weights, &keys);
    cases.run(&format!("pick, n = {n}"), rounds)
}

/// A working set of keys.
fn keys() -> Vec<[u8; 20]> {
    let mut random = Random(7);
    let key = |_| {
        let mut key = [0; 20];
        key.iter_mut().for_each(|byte| *byte = b'a' + random.below(26) as u8);
        key
    };
    (0..1_024).map(key).collect()
}

fn balancer(policy: &str, weights: &[u32]) -> Balancer {
    let mut registry = Registry::new(Config::default()).unwrap();
    for (at, weight) in weights.iter().enumerate() {
        let registration = Registration::new("billing", format!("billing-{at:06}")).weight(f64::from(*weight)).unwrap();
        registry.register(&registration, Put::default(), Timestamp::ZERO).unwrap();
    }
    let mut balancer = Balancer::new(Query::service("billing"), Policy::named(policy).unwrap(), Options::seeded(1)).unwrap();
    balancer.follow(&registry);
    assert_eq!(balancer.len(), weights.len());
    balancer
}

fn callboard<'a>(cases: &mut Rounds<'a>, equal: &[u32], weights: &[u32], keys: &'a [[u8; 20]]) {
    for (name, policy, weights) in [
        ("first", "first", equal),
        ("random", "random", equal),
        ("random, weighted", "random", weights),
        ("round-robin", "round-robin", equal),
        ("round-robin, weighted", "round-robin", weights),
        ("least-request", "least-request", equal),
    ] {
        let mut balancer = balancer(policy, weights);
        cases.operation(name, SAMPLE, move |count| {
            for _ in 0..count {
                let pick = balancer.pick(&Request::default(), Timestamp::ZERO).unwrap();
                black_box(pick.handle);
                balancer.finish(pick.token, Outcome::default(), Timestamp::ZERO);
            }
        });
    }
    let mut balancer = balancer("rendezvous", equal);
    cases.operation("rendezvous", SAMPLE, move |count| {
        for at in 0..count as usize {
            let request = Request { key: Some(&keys[at % keys.len()]), ..Request::default() };
            let pick = balancer.pick(&request, Timestamp::ZERO).unwrap();
            black_box(pick.handle);
            balancer.finish(pick.token, Outcome::default(), Timestamp::ZERO);
        }
    });
}

/// The crates that choose from a list.
fn plain(cases: &mut Rounds<'_>, weights: &[u32]) {
    let mut rng = SmallRng::seed_from_u64(1);
    let slots: Vec<u32> = (0..weights.len() as u32).collect();
    cases.operation("rand slice[random_range]", SAMPLE, move |count| {
        for _ in 0..count {
            black_box(slots[rng.random_range(0..slots.len())]);
        }
    });
    let mut rng = SmallRng::seed_from_u64(1);
    let index = WeightedIndex::new(weights).unwrap();
    cases.operation("rand WeightedIndex", SAMPLE, move |count| {
        for _ in 0..count {
            black_box(index.sample(&mut rng));
        }
    });
    let mut smooth = weighted_rs::SmoothWeight::new();
    weights.iter().enumerate().for_each(|(at, weight)| smooth.add(at, *weight as isize));
    cases.operation("weighted-rs SmoothWeight", SAMPLE, move |count| {
        for _ in 0..count {
            black_box(smooth.next());
        }
    });
}

fn poise<'a>(cases: &mut Rounds<'a>, equal: &[u32], weights: &[u32], keys: &'a [[u8; 20]]) {
    type Candidate = poise_core::Backend<u32, (), u32>;
    let candidates = |weights: &[u32]| -> Vec<Candidate> {
        let weight = |weight: u32| poise_core::Weight::new(weight).unwrap();
        weights.iter().enumerate().map(|(at, own)| poise_core::Backend::new(at as u32).with_load(0).with_weight(weight(*own))).collect()
    };
    fn add<'a>(cases: &mut Rounds<'a>, name: &str, candidates: &[Candidate], mut policy: impl poise_core::Policy<Candidate> + 'a) {
        let candidates = candidates.to_vec();
        cases.operation(name, SAMPLE, move |count| {
            for _ in 0..count {
                black_box(policy.pick(&candidates, &())).unwrap();
            }
        });
    }
    let (equal, weighted) = (candidates(equal), candidates(weights));
    let rng = || SmallRng::seed_from_u64(1);
    use poise_core::policy;
    add(cases, "poise-core Random", &equal, policy::Random::with_rng(rng()));
    add(cases, "poise-core WeightedRandom", &weighted, policy::WeightedRandom::with_rng(rng()));
    add(cases, "poise-core RoundRobin", &equal, policy::RoundRobin::new());
    add(cases, "poise-core SmoothWeightedRoundRobin", &weighted, policy::SmoothWeightedRoundRobin::new());
    add(cases, "poise-core PowerOfTwoChoices", &equal, policy::PowerOfTwoChoices::with_rng(rng()));
    let mut rendezvous = policy::Rendezvous::new();
    cases.operation("poise-core Rendezvous", SAMPLE, move |count| {
        for at in 0..count as usize {
            black_box(rendezvous.pick(&equal, &keys[at % keys.len()])).unwrap();
        }
    });
}

fn tower(cases: &mut Rounds<'_>, n: usize) {
    let service = || tower::service_fn(|(): ()| std::future::ready(Ok::<(), Infallible>(())));
    let services = (0..n).map(|_| tower::load::PendingRequests::new(service(), tower::load::CompleteOnResponse::default()));
    let discover = tower::discover::ServiceList::new(services.collect::<Vec<_>>());
    let mut balance = tower::balance::p2c::Balance::new(discover);
    cases.operation("tower p2c PendingRequests", SAMPLE, move |count| {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..count {
            assert!(matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))));
            let mut call = pin!(balance.call(()));
            assert!(call.as_mut().poll(&mut context).is_ready());
        }
    });
}

#[cfg(feature = "pingora")]
mod pingora {
    use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery, selection};

    use super::*;

    /// The most it says it can tell apart.
    const MOST: usize = 1 << 16;
    /// How many it may try to find one that is healthy; all are.
    const TRIES: usize = 16;

    fn balancer<S>(weights: &[u32]) -> LoadBalancer<S>
    where
        S: selection::BackendSelection + 'static,
        S::Iter: selection::BackendIter,
    {
        let backend = |(at, weight): (usize, &u32)| {
            let address = format!("10.{}.{}.{}:80", at >> 16, at >> 8 & 0xFF, at & 0xFF);
            Backend::new_with_weight(&address, *weight as usize).unwrap()
        };
        let found = weights.iter().enumerate().map(backend).collect();
        let balancer = LoadBalancer::from_backends(Backends::new(discovery::Static::new(found)));
        // A static discovery never waits.
        assert!(pin!(balancer.update()).as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        balancer
    }

    pub fn add<'a>(cases: &mut Rounds<'a>, equal: &[u32], weights: &[u32], keys: &'a [[u8; 20]]) {
        if equal.len() > MOST {
            return;
        }
        fn keyless<'a, S>(cases: &mut Rounds<'a>, name: &str, weights: &[u32])
        where
            S: selection::BackendSelection + Send + Sync + 'static,
            S::Iter: selection::BackendIter,
        {
            let balancer = balancer::<S>(weights);
            cases.operation(name, SAMPLE, move |count| {
                for _ in 0..count {
                    black_box(balancer.select(b"", TRIES)).unwrap();
                }
            });
        }
        keyless::<selection::Random>(cases, "pingora Random", equal);
        keyless::<selection::Random>(cases, "pingora Random, weighted", weights);
        keyless::<selection::RoundRobin>(cases, "pingora RoundRobin", equal);
        keyless::<selection::RoundRobin>(cases, "pingora RoundRobin, weighted", weights);
        let ketama = balancer::<selection::Consistent>(equal);
        cases.operation("pingora Consistent (ketama)", SAMPLE, move |count| {
            for at in 0..count as usize {
                black_box(ketama.select(&keys[at % keys.len()], TRIES)).unwrap();
            }
        });
    }
}
