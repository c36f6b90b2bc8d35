//! The balancer as a whole: membership, exclusion, tiers, distributions, time.

use super::members::Site;
use super::*;
use crate::model::Availability::{self, Available, Degraded, Draining, Unavailable};
use core::time::Duration;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::{format, vec};

mod after;
mod before;
mod calm;
mod follow;
mod labels;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn balancer(policy: &str, seed: u64) -> Balancer {
    Balancer::new(Query::service("s"), Policy::named(policy).unwrap(), Options::seeded(seed)).unwrap()
}

/// A view under test: what was said last of each id, and the handles.
#[derive(Default)]
struct Stage {
    handles: BTreeMap<String, Handle>,
    count: u32,
}

impl Stage {
    fn put(&mut self, balancer: &mut Balancer, id: &str, weight: u32, availability: Availability) -> Handle {
        let handle = *self.handles.entry(id.to_string()).or_insert_with(|| {
            self.count += 1;
            Handle::new(self.count, 0)
        });
        balancer.apply(
            [Change::Put(Arrival { service: "s", id, hash_key: "", groups: &[], handle, weight, availability, site: Site::default() })]
                .into_iter(),
        );
        handle
    }

    fn remove(&mut self, balancer: &mut Balancer, id: &str) {
        self.handles.remove(id);
        balancer.apply([Change::Remove { service: "s", id }].into_iter());
    }

    fn id(&self, handle: Handle) -> &str {
        self.handles.iter().find(|(_, other)| **other == handle).map(|(id, _)| id.as_str()).unwrap()
    }
}

fn stage(policy: &str, seed: u64, weights: &[u32]) -> (Balancer, Stage, Vec<Handle>) {
    let (mut balancer, mut stage) = (balancer(policy, seed), Stage::default());
    let handles = (0..weights.len()).map(|i| stage.put(&mut balancer, &format!("b{i:03}"), weights[i], Available)).collect();
    (balancer, stage, handles)
}

#[test]
fn nobody_is_a_typed_reason() {
    for policy in Policy::presets() {
        let (mut balancer, mut stage) = (balancer(policy, 1), Stage::default());
        let refused = |balancer: &mut Balancer, request: &Request<'_>, code| {
            let before = balancer.clone();
            assert_eq!(balancer.pick(request, at(1)).unwrap_err().code(), code, "{policy:?}");
            assert_eq!(balancer.in_flight(), 0);
            // Nothing was drawn.
            assert_eq!(balancer.rng.next_u64(), before.rng.clone().next_u64());
        };
        refused(&mut balancer, &Request::default(), Code::NoInstances);
        stage.put(&mut balancer, "a", 1_000, Unavailable);
        stage.put(&mut balancer, "b", 0, Available);
        refused(&mut balancer, &Request::default(), Code::NoneAvailable);
        let a = stage.put(&mut balancer, "a", 1_000, Available);
        let c = stage.put(&mut balancer, "c", 1_000, Draining);
        refused(&mut balancer, &Request::excluding(&[a, c]), Code::AllExcluded);
        for handle in [a, c] {
            assert_ne!(balancer.pick(&Request::excluding(&[handle]), at(1)).unwrap().handle, handle);
        }
        stage.remove(&mut balancer, "a");
        stage.remove(&mut balancer, "c");
        assert_eq!((balancer.len(), balancer.pick(&Request::default(), at(1)).unwrap_err().code()), (1, Code::NoneAvailable));
        stage.remove(&mut balancer, "b");
        assert_eq!((balancer.len(), balancer.pick(&Request::default(), at(1)).unwrap_err().code()), (0, Code::NoInstances));
    }
}

#[test]
fn limits_hold() {
    let (mut balancer, _, handles) = stage("random", 1, &[1, 1]);
    for (length, good) in [(limits::KEY_BYTES - 1, true), (limits::KEY_BYTES, true), (limits::KEY_BYTES + 1, false)] {
        let key = vec![b'x'; length];
        let error = balancer.pick(&Request::keyed(&key), at(0)).err().map(|error| (error.code(), error.field().to_string()));
        assert_eq!(error, (!good).then(|| (Code::LimitExceeded, "key".to_string())));
    }
    for (length, good) in [(limits::EXCLUDED - 1, true), (limits::EXCLUDED, true), (limits::EXCLUDED + 1, false)] {
        let exclude = vec![handles[0]; length];
        assert_eq!(balancer.pick(&Request::excluding(&exclude), at(0)).is_ok(), good);
    }
    while balancer.in_flight() < limits::PICKS_IN_FLIGHT - 1 {
        balancer.pick(&Request::default(), at(0)).unwrap();
    }
    let last = balancer.pick(&Request::default(), at(0)).unwrap();
    let error = balancer.pick(&Request::default(), at(0)).unwrap_err();
    assert_eq!((error.code(), error.field(), error.limit_value()), (Code::LimitExceeded, "picks", Some(1 << 20)));
    assert!(balancer.finish_and_pick(last.token, Outcome::default(), &Request::default(), at(0)).is_ok());
}

#[test]
fn better_tiers_come_first() {
    for policy in Policy::presets() {
        let (mut balancer, mut stage) = (balancer(policy, 1), Stage::default());
        stage.put(&mut balancer, "a", 1_000, Draining);
        stage.put(&mut balancer, "b", 1_000, Degraded);
        stage.put(&mut balancer, "c", 1_000, Available);
        stage.put(&mut balancer, "d", 1_000, Available);
        let mut exclude = vec![];
        for tier in [&["c", "d"][..], &["c", "d"], &["b"], &["a"]] {
            let pick = balancer.pick(&Request { key: Some(b"k"), ..Request::excluding(&exclude) }, at(0)).unwrap();
            assert!(tier.contains(&stage.id(pick.handle)), "{policy:?}");
            exclude.push(pick.handle);
        }
        stage.put(&mut balancer, "c", 1_000, Unavailable);
        stage.put(&mut balancer, "d", 0, Available);
        assert_eq!(stage.id(balancer.pick(&Request::default(), at(0)).unwrap().handle), "b");
    }
}

#[test]
fn shares_follow_the_weights() {
    let weights = [500, 1_000, 2_500, 6_000];
    for policy in ["random", "round-robin", "rendezvous"] {
        let (mut balancer, _, handles) = stage(policy, 42, &weights);
        let mut hits = [0u32; 4];
        for key in 0..100_000u32 {
            let pick = balancer.pick(&Request::keyed(&key.to_le_bytes()), at(0)).unwrap();
            hits[handles.iter().position(|handle| *handle == pick.handle).unwrap()] += 1;
            balancer.finish(pick.token, Outcome::default(), at(0));
        }
        for (hits, weight) in hits.iter().zip(weights) {
            // Four standard deviations of a binomial: 4 sqrt(n p (1 - p)).
            let expected = f64::from(weight) / 10_000.0;
            let bound = 4.0 * (100_000.0 * expected * (1.0 - expected)).sqrt();
            assert!((f64::from(*hits) - 100_000.0 * expected).abs() < bound, "{policy:?}: {hits} of {weight}");
        }
    }
}

#[test]
fn shares_among_the_rest_follow_the_weights() {
    // The heaviest is excluded, so that rejection fails often and the exact draw is used.
    let weights = [1_000, 2_000, 3_000, 60_000_000];
    for policy in ["random", "round-robin", "rendezvous"] {
        let (mut balancer, _, handles) = stage(policy, 42, &weights);
        let mut hits = [0u32; 4];
        for key in 0..60_000u32 {
            let request = Request { key: Some(&key.to_le_bytes()), ..Request::excluding(&handles[3..]) };
            let pick = balancer.pick(&request, at(0)).unwrap();
            hits[handles.iter().position(|handle| *handle == pick.handle).unwrap()] += 1;
            balancer.finish(pick.token, Outcome::default(), at(0));
        }
        assert_eq!(hits[3], 0);
        for (hits, expected) in hits.iter().zip([10_000.0f64, 20_000.0, 30_000.0]) {
            assert!((f64::from(*hits) - expected).abs() < 4.0 * (expected * (1.0 - expected / 60_000.0)).sqrt(), "{policy:?}: {hits}");
        }
    }
}

#[test]
fn two_choices_keep_the_longest_queue_short() {
    // Balls into bins: with n balls in n bins the fullest has ln ln n / ln 2 + O(1); 20 runs at n = 1000 gave a
    // mean of 3.0 against 5.65 for one choice. In the heavily loaded case the gap to the mean stays constant.
    for (balls, bound) in [(1_000, 4), (100_000, 104)] {
        let (mut balancer, _, _) = stage("least-request", 9, &[1_000; 1_000]);
        for _ in 0..balls {
            balancer.pick(&Request::default(), at(0)).unwrap();
        }
        let fullest = balancer.stats().instances.iter().map(|instance| instance.in_flight).max().unwrap();
        assert!(fullest <= bound, "{fullest}");
    }
}

#[test]
fn two_choices_are_distinct_and_weighted() {
    // The busiest of two is never picked.
    let (mut balancer, _, handles) = stage("least-request", 9, &[1_000, 1_000]);
    let busy = balancer.pick(&Request::excluding(&handles[1..]), at(0)).unwrap();
    for _ in 0..1_000 {
        let pick = balancer.pick(&Request::default(), at(0)).unwrap();
        assert_eq!(pick.handle, handles[1]);
        balancer.finish(pick.token, Outcome::default(), at(0));
    }
    assert!(balancer.finish(busy.token, Outcome::failure(), at(0)));
    // Open calls settle in proportion to the weights.
    let (mut balancer, _, _) = stage("least-request", 9, &[1_000, 2_000, 3_000, 4_000]);
    for _ in 0..10_000 {
        balancer.pick(&Request::default(), at(0)).unwrap();
    }
    for (instance, expected) in balancer.stats().instances.iter().zip([1_000u32, 2_000, 3_000, 4_000]) {
        assert!(instance.in_flight.abs_diff(expected) <= 20, "{instance:?}");
    }
}

#[test]
fn a_key_moves_only_with_its_instance() {
    let keys: Vec<Vec<u8>> = (0..5_000u32).map(|key| format!("user-{key}").into_bytes()).collect();
    let owners = |balancer: &mut Balancer| -> Vec<Handle> {
        keys.iter().map(|key| balancer.pick(&Request::keyed(key), at(0)).unwrap().handle).collect()
    };
    let (mut balancer, mut stage, handles) = stage("rendezvous", 1, &[1_000, 2_000, 1_000, 500, 1_000, 3_000]);
    let before = owners(&mut balancer);
    // Another seed is another client: it must agree.
    let (mut other, _, _) = self::stage("rendezvous", 2, &[1_000, 2_000, 1_000, 500, 1_000, 3_000]);
    assert_eq!(before, owners(&mut other));
    // The retry of a key goes where it would live without its owner.
    let retries: Vec<Handle> = keys
        .iter()
        .zip(&before)
        .map(|(key, owner)| balancer.pick(&Request { key: Some(key), ..Request::excluding(&[*owner]) }, at(0)).unwrap().handle)
        .collect();

    stage.remove(&mut balancer, "b001");
    for ((old, new), retry) in before.iter().zip(owners(&mut balancer)).zip(&retries) {
        assert_eq!(new, if *old == handles[1] { *retry } else { *old });
    }
    let returned = stage.put(&mut balancer, "b001", 2_000, Available);
    for (old, new) in before.iter().zip(owners(&mut balancer)) {
        assert_eq!(new, if *old == handles[1] { returned } else { *old });
    }
    // A heavier weight only attracts, and only as much as it weighs.
    stage.put(&mut balancer, "b000", 4_000, Available);
    let mut moved = 0;
    for (old, new) in before.iter().zip(owners(&mut balancer)) {
        let same = if *old == handles[1] { new == returned } else { new == *old };
        assert!(same || new == handles[0]);
        moved += u32::from(!same);
    }
    // From 1/8.5 to 4/11.5 of the keys, 1151 of 5000; four standard deviations are below 130.
    assert!(moved.abs_diff(1_151) < 130, "{moved}");
}

#[test]
fn who_is_never_picked_changes_nothing() {
    for policy in Policy::presets() {
        let run = |strangers: bool| {
            let (mut balancer, mut stage, _) = stage(policy, 5, &[1_000, 2_000, 1_000]);
            let mut picks = vec![];
            for round in 0..200u32 {
                if strangers && round % 3 == 0 {
                    let (weight, availability) = [(0, Available), (1_000, Unavailable), (1_000, Degraded)][round as usize / 3 % 3];
                    stage.put(&mut balancer, &format!("a{:02}", round % 7), weight, availability);
                    stage.put(&mut balancer, &format!("z{:02}", round % 7), weight, availability);
                }
                let pick = balancer.pick(&Request::keyed(&round.to_le_bytes()), at(0)).unwrap();
                picks.push(stage.id(pick.handle).to_string());
                if round % 2 == 0 {
                    balancer.finish(pick.token, Outcome::default(), at(0));
                }
            }
            picks
        };
        assert_eq!(run(false), run(true), "{policy:?}");
    }
}

#[test]
fn turns_outlive_changes() {
    // Removing and adding others never starves a newcomer, nor one that stays.
    let (mut balancer, mut stage, _) = stage("round-robin", 0, &[1_000; 20]);
    let mut waits: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..20_000u32 {
        let pick = balancer.pick(&Request::default(), at(0)).unwrap();
        balancer.finish(pick.token, Outcome::default(), at(0));
        let picked = stage.id(pick.handle).to_string();
        waits.retain(|id, _| stage.handles.contains_key(id));
        for id in stage.handles.keys() {
            *waits.entry(id.clone()).or_default() += 1;
        }
        waits.insert(picked, 0);
        if round % 7 == 0 {
            let id = format!("b{:03}", round / 7 % 20);
            let old = stage.handles.keys().find(|other| other.starts_with(&id)).cloned().unwrap();
            stage.remove(&mut balancer, &old);
            stage.put(&mut balancer, &format!("{id}-{round}"), 1_000, Available);
        }
        let longest = waits.values().max().copied().unwrap();
        assert!(longest <= 24, "round {round}: {longest}");
    }
}

#[test]
fn time_that_runs_backwards_is_clamped() {
    let (mut balancer, _, _) = stage("first", 0, &[1]);
    let early = balancer.pick(&Request::default(), at(1_000)).unwrap();
    let late = balancer.pick(&Request::default(), at(10)).unwrap();
    assert_eq!(balancer.deadline(), Some(at(1_600)));
    assert_eq!((balancer.advance(at(1_599)), balancer.advance(at(1_600))), (0, 2));
    assert!(!balancer.finish(early.token, Outcome::default(), at(1_600)));
    assert!(!balancer.finish(late.token, Outcome::default(), Timestamp::MAX));
    let stats = balancer.stats();
    assert_eq!((stats.backwards, stats.tally.reaped, stats.in_flight, balancer.deadline()), (1, 2, 0, None));
}

#[test]
fn a_pick_that_is_due_is_reaped_before_anything_else() {
    let options = Options { reap_after: Duration::from_secs(1), ..Options::default() };
    let mut balancer = Balancer::new(Query::service("s"), Policy::named("first").unwrap(), options).unwrap();
    Stage::default().put(&mut balancer, "a", 1, Available);
    let pick = balancer.pick(&Request::default(), at(0)).unwrap();
    assert!(!balancer.finish(pick.token, Outcome::default(), at(1)));
    assert_eq!(balancer.stats().tally, Tally { reaped: 1, ..Tally::default() });
}

/// What a naive bookkeeper would write: a list of open picks, and counters by id.
#[derive(Default)]
struct Model {
    open: Vec<(u64, String, u64)>,
    tallies: BTreeMap<String, (u64, u64, u64)>,
}

#[test]
fn counters_agree_with_a_naive_bookkeeper_under_churn() {
    for (seed, policy) in (0..).zip(Policy::presets()) {
        let mut rng = Rng::new(seed);
        let options = Options { seed, reap_after: Duration::from_secs(20), trace: 0, explain: false };
        let mut balancer = Balancer::new(Query::service("s"), Policy::named(policy).unwrap(), options).unwrap();
        let (mut stage, mut model, mut now) = (Stage::default(), Model::default(), 0u64);
        let mut reaped = 0;
        for step in 0..20_000u32 {
            now += 700_000;
            let time = Timestamp::from_micros(now).unwrap();
            reaped += balancer.advance(time);
            let (due, open): (Vec<_>, Vec<_>) = model.open.drain(..).partition(|(_, _, picked)| picked + 20_000_000 <= now);
            model.open = open;
            for (_, id, _) in due {
                model.tallies.entry(id).or_default().2 += 1;
            }
            let id = format!("b{:02}", rng.below(12));
            match rng.below(10) {
                0 => stage.remove(&mut balancer, &id),
                1 | 2 => {
                    let weight = rng.below(4) * 500;
                    stage.put(&mut balancer, &id, weight, Availability::ALL[rng.below(4) as usize]);
                }
                3..=6 => {
                    if let Ok(pick) = balancer.pick(&Request::default(), time) {
                        model.open.push((pick.token, stage.id(pick.handle).to_string(), now));
                    }
                }
                _ if !model.open.is_empty() && step % 5000 < 4000 => {
                    let (token, id, _) = model.open.swap_remove(rng.below(model.open.len() as u32) as usize);
                    let ok = rng.below(2) == 0;
                    assert!(balancer.finish(token, Outcome::new(ok, None), time));
                    assert!(!balancer.finish(token, Outcome::new(ok, None), time));
                    let tally = model.tallies.entry(id).or_default();
                    if ok { tally.0 += 1 } else { tally.1 += 1 }
                }
                _ => {}
            }
            let stats = balancer.stats();
            assert_eq!(stats.instances.len(), stage.handles.len());
            assert_eq!(
                stats.instances.iter().map(|one| one.handle).collect::<Vec<_>>(),
                stage.handles.values().copied().collect::<Vec<_>>()
            );
            for one in &stats.instances {
                let open = model.open.iter().filter(|(_, id, _)| *id == one.id).count();
                assert_eq!(one.in_flight as usize, open, "{policy:?} step {step}: {}", one.id);
            }
            assert_eq!(stats.in_flight as usize, model.open.len());
            let sum = model.tallies.values().fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
            assert_eq!((stats.tally.succeeded, stats.tally.failed, stats.tally.reaped), sum);
        }
        assert!(reaped > 0, "{policy:?}");
        // With nobody left and nothing open, nothing is kept.
        for id in stage.handles.clone().keys() {
            stage.remove(&mut balancer, id);
        }
        balancer.advance(Timestamp::MAX);
        assert_eq!((balancer.members.order().len(), balancer.in_flight(), balancer.len()), (0, 0, 0));
    }
}

#[test]
fn who_returns_finds_its_picks() {
    let (mut balancer, mut stage, handles) = stage("least-request", 3, &[1_000, 1_000]);
    let picks: Vec<Pick> = (0..4).map(|_| balancer.pick(&Request::excluding(&handles[1..]), at(0)).unwrap()).collect();
    stage.remove(&mut balancer, "b000");
    assert!(balancer.finish(picks[0].token, Outcome::default(), at(1)));
    assert_eq!(balancer.stats().in_flight, 3);
    let returned = stage.put(&mut balancer, "b000", 1_000, Available);
    assert_ne!(returned, handles[0]);
    assert_eq!(balancer.stats().instances[0].in_flight, 3);
    // It is the busier one, so it is left alone.
    assert_eq!(balancer.pick(&Request::default(), at(2)).unwrap().handle, handles[1]);
    for pick in &picks[1..] {
        assert!(balancer.finish(pick.token, Outcome::success(Duration::from_millis(10)), at(3)));
    }
    let stats = balancer.stats();
    let tally = stats.instances[0].tally;
    assert_eq!((tally.succeeded, tally.mean_latency()), (4, Some(Duration::from_millis(10))));
}
