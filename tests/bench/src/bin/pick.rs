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
use std::time::Duration;

use callboard::Timestamp;
use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard_bench::Random;
use callboard_bench::floor::Floor;
use callboard_bench::measure::{Figure, Figures, Rounds, time};
use callboard_bench::report::{alone, compare};
use poise_core::Policy as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tower::Service as _;
use weighted_rs::Weight as _;

/// What the least-request policy costs without its features.
const FLOOR: &str = "the floor: the same data layout without features";

/// A sample, in milliseconds.
const SAMPLE: f64 = 4.0;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (sizes, rounds): (&[usize], _) = if quick { (&[10, 1_000], 7) } else { (&[10, 100, 1_000, 10_000, 100_000], 21) };
    for n in sizes {
        report(*n, &run(*n, rounds));
    }
}

/// What is compared with what, and how many times faster ours is to be, at the sizes for which that was asked.
fn report(n: usize, figures: &Figures) {
    let at = |sizes: &[(usize, f64)]| sizes.iter().find(|(size, _)| *size == n).map(|(_, goal)| *goal);
    let row = |what: &str, ours: &str, peer: &str, goal: Option<f64>| {
        if let (Some(own), Some(theirs)) = (figures.get(ours), figures.get(peer)) {
            compare(&format!("{what}, n={n}: {peer}"), "ns", *own, *theirs, goal);
        }
    };
    alone(&format!("first, n={n}"), "ns", figures["first"], "nobody else offers it");
    let what = "random, equal weights";
    row(what, "random", "rand slice[random_range]", Some(1.0));
    row(what, "random", "poise-core Random", None);
    row(what, "random", "pingora Random", Some(50.0));
    let what = "random, equal weights, chosen and finished at once";
    row(what, "random, next", "rand slice[random_range]", None);
    row(what, "random, next", "pingora Random", None);
    let what = "random, weights 1 to 10";
    row(what, "random, weighted", "rand WeightedIndex", at(&[(100, 4.0), (10_000, 9.0)]));
    row(what, "random, weighted", "poise-core WeightedRandom", None);
    row(what, "random, weighted", "pingora Random, weighted", None);
    let what = "round-robin, equal weights";
    row(what, "round-robin", "poise-core RoundRobin", None);
    row(what, "round-robin", "pingora RoundRobin", Some(50.0));
    let what = "round-robin, weights 1 to 10";
    row(what, "round-robin, weighted", "weighted-rs SmoothWeight", at(&[(100, 10.0), (10_000, 400.0)]));
    row(what, "round-robin, weighted", "poise-core SmoothWeightedRoundRobin", None);
    row(what, "round-robin, weighted", "pingora RoundRobin, weighted", None);
    let what = "least-request of two";
    row(what, "least-request", FLOOR, Some(1.0 / 1.5));
    row(what, "least-request", "tower p2c PendingRequests", at(&[(1_000, 30.0), (10_000, 300.0)]));
    row(what, "least-request", "poise-core PowerOfTwoChoices", at(&[(1_000, 10.0)]));
    let what = "peak EWMA of two";
    row(what, "peak-ewma", "tower p2c PeakEwma", at(&[(1_000, 20.0)]));
    let what = "adaptive with outliers, holds, breaker, slow start";
    row(what, "adaptive", "our least-request", at(&[(1_000, 1.0 / 3.0)]));
    let what = "ring hash of 160 points a host, keys of 20 bytes";
    row(what, "ring-hash", "hashring HashRing, 160 points a host", at(&[(1_000, 8.0)]));
    row(what, "ring-hash", "pingora Consistent (ketama)", at(&[(1_000, 30.0)]));
    row("maglev, keys of 20 bytes", "maglev", "pingora Consistent (ketama)", None);
    let what = "one host leaves or comes, ring of 160 points a host";
    row(what, "ring change", "our whole new ring", at(&[(1_000, 20.0)]));
    let what = "rendezvous, keys of 20 bytes";
    row(what, "rendezvous", "poise-core Rendezvous", None);
    row(what, "rendezvous", "pingora Consistent (ketama)", None);
}

fn run(n: usize, rounds: usize) -> Figures {
    eprintln!("pick, n = {n}: preparing");
    let equal = vec![1; n];
    let weights: Vec<u32> = (0..n).map(|at| 1 + at as u32 % 10).collect();
    let keys = keys();
    let mut cases = Rounds::new();
    callboard(&mut cases, &equal, &weights, &keys);
    learning(&mut cases, &equal);
    change(&mut cases, n);
    plain(&mut cases, &weights, &keys);
    poise(&mut cases, &equal, &weights, &keys);
    tower(&mut cases, n);
    #[cfg(feature = "pingora")]
    pingora::add(&mut cases, &equal, &weights, &keys);
    cases.run(&format!("pick, n = {n}"), rounds)
}

/// As many points a host as the peers have.
const RING: &str = r#"{"preset":"ring-hash","pick":{"kind":"ring-hash","points":160}}"#;

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

/// A policy by its name or document.
fn policy(text: &str) -> Policy {
    let document = if text.starts_with('{') { callboard::Value::from_json(text.as_bytes()).unwrap() } else { text.into() };
    Policy::from_value(&document).unwrap()
}

fn registry(weights: &[u32]) -> Registry {
    let mut registry = Registry::new(Config::default()).unwrap();
    for (at, weight) in weights.iter().enumerate() {
        let registration = Registration::new("billing", format!("billing-{at:06}")).weight(f64::from(*weight)).unwrap();
        registry.register(&registration, Put::default(), Timestamp::ZERO).unwrap();
    }
    registry
}

fn balancer(named: &str, weights: &[u32]) -> Balancer {
    let registry = registry(weights);
    let mut balancer = Balancer::new(Query::service("billing"), policy(named), Options::seeded(1)).unwrap();
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
    let mut next = balancer("random", equal);
    cases.operation("random, next", SAMPLE, move |count| {
        for _ in 0..count {
            black_box(next.next(Timestamp::ZERO).unwrap());
        }
    });
    let mut floor = Floor::new(equal.len() as u32, 1);
    cases.operation(FLOOR, SAMPLE, move |count| {
        for _ in 0..count {
            let (handle, token) = floor.pick();
            black_box(handle);
            black_box(floor.finish(token));
        }
    });
    for (name, policy) in [("rendezvous", "rendezvous"), ("ring-hash", RING), ("maglev", "maglev")] {
        // The points of the largest are more than a ring may have.
        if name == "ring-hash" && equal.len() > 10_000 {
            continue;
        }
        let mut balancer = balancer(policy, equal);
        cases.operation(name, SAMPLE, move |count| {
            for at in 0..count as usize {
                let request = Request { key: Some(&keys[at % keys.len()]), ..Request::default() };
                let pick = balancer.pick(&request, Timestamp::ZERO).unwrap();
                black_box(pick.handle);
                balancer.finish(pick.token, Outcome::default(), Timestamp::ZERO);
            }
        });
    }
}

/// The policies that learn from outcomes: each pick is finished with a latency, and time goes on.
fn learning(cases: &mut Rounds<'_>, equal: &[u32]) {
    const ALL: &str = r#"{"preset":"adaptive","outliers":"adaptive","hold":{},"breaker":{},"slow_start":{"window":60}}"#;
    for (name, policy) in [("peak-ewma", "peak-ewma"), ("adaptive", ALL), ("our least-request", "least-request")] {
        let mut balancer = balancer(policy, equal);
        let (mut now, outcome) = (0, Outcome::success(Duration::from_micros(900)));
        cases.operation(name, SAMPLE, move |count| {
            for _ in 0..count {
                now += 1;
                let now = Timestamp::from_micros(now).unwrap();
                let pick = balancer.pick(&Request::default(), now).unwrap();
                black_box(pick.handle);
                balancer.finish(pick.token, outcome, now);
            }
        });
    }
}

/// A ring that one host leaves or comes to, beside one that is made anew.
fn change(cases: &mut Rounds<'_>, n: usize) {
    if n > 1_000 {
        return;
    }
    let mut registry = registry(&vec![1; n]);
    let balancer = || Balancer::new(Query::service("billing"), policy(RING), Options::seeded(1)).unwrap();
    let mut own = balancer();
    own.follow(&registry);
    let request = Request { key: Some(b"key"), ..Request::default() };
    cases.add(move |samples| {
        for _ in 0..2 {
            match registry.lookup("default", "billing", "billing-000000") {
                Some(_) => drop(registry.deregister("default", "billing", "billing-000000", None, Timestamp::ZERO).unwrap()),
                None => drop(registry.register(&Registration::new("billing", "billing-000000"), Put::default(), Timestamp::ZERO).unwrap()),
            }
            let settle = |balancer: &mut Balancer| {
                balancer.follow(&registry);
                black_box(balancer.pick(&request, Timestamp::ZERO).unwrap());
            };
            let (taken, ()) = time(|| settle(&mut own));
            samples.note("ring change", taken);
            let mut new = balancer();
            let (taken, ()) = time(|| settle(&mut new));
            samples.note("our whole new ring", taken);
        }
    });
}

/// The crates that choose from a list.
fn plain<'a>(cases: &mut Rounds<'a>, weights: &[u32], keys: &'a [[u8; 20]]) {
    if weights.len() <= 10_000 {
        let mut ring = hashring::HashRing::new();
        ring.batch_add((0..weights.len() as u32).flat_map(|at| (0..160u32).map(move |point| (at, point))).collect());
        cases.operation("hashring HashRing, 160 points a host", SAMPLE, move |count| {
            for at in 0..count as usize {
                black_box(ring.get(&keys[at % keys.len()]));
            }
        });
    }
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
    use tower::load::{CompleteOnResponse, PeakEwma, PendingRequests};
    let service = || tower::service_fn(|(): ()| std::future::ready(Ok::<(), Infallible>(())));
    macro_rules! add {
        ($name:literal, $load:expr) => {
            let discover = tower::discover::ServiceList::new((0..n).map(|_| $load).collect::<Vec<_>>());
            let mut balance = tower::balance::p2c::Balance::new(discover);
            cases.operation($name, SAMPLE, move |count| {
                let mut context = Context::from_waker(Waker::noop());
                for _ in 0..count {
                    assert!(matches!(balance.poll_ready(&mut context), Poll::Ready(Ok(()))));
                    let mut call = pin!(balance.call(()));
                    assert!(call.as_mut().poll(&mut context).is_ready());
                }
            });
        };
    }
    add!("tower p2c PendingRequests", PendingRequests::new(service(), CompleteOnResponse::default()));
    let (rtt, decay) = (Duration::from_millis(30), 10e9);
    add!("tower p2c PeakEwma", PeakEwma::new(service(), rtt, decay, CompleteOnResponse::default()));
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
