//! When many fall silent at once, and when one does.

use super::*;
use crate::query::HealthFilter;

fn count(registry: &Registry) -> usize {
    ids(registry, &Query::service("s").health(HealthFilter::Any)).len()
}

/// So many instances of ttl 30 s that were renewed one after another, evenly over ten seconds.
fn staggered(instances: u64, grace: u64) -> Registry {
    let mut registry = registry();
    for n in 0..instances {
        let time = Timestamp::from_micros(n * 10_000_000 / instances).unwrap();
        registry.register(&leased(&format!("i{n:04}"), 30, grace), Put::default(), time).unwrap();
    }
    registry
}

/// Follows the deadlines until a time; renews everybody at each if asked to.
fn watch(registry: &mut Registry, until: f64) {
    while let Some(due) = registry.deadline().filter(|due| *due <= at(until)) {
        registry.advance(due);
    }
    registry.advance(at(until));
}

#[test]
fn a_silence_of_all_is_held_even_if_leases_end_one_by_one() {
    for grace in [0, 3, 60] {
        let mut registry = staggered(100, grace);
        watch(&mut registry, 120.0);
        // With no grace the first must go before the silence can be told from a single loss.
        let left = count(&registry);
        assert!(left >= 85, "grace {grace}: {left}");
        assert!(registry.query(&Query::service("s")).protected && registry.services(None)[0].protected);
        assert_eq!(registry.stats().protected, 1);
        // The network is back: nobody else is lost, and nothing is protected any more.
        for n in 0..100 {
            let _ = registry.renew("default", "s", &format!("i{n:04}"), 0, at(121.0));
        }
        watch(&mut registry, 123.0);
        assert_eq!((count(&registry), registry.stats().suspect, registry.stats().protected), (left, 0, 0), "grace {grace}");
    }
}

#[test]
fn a_hold_ends() {
    let mut registry = staggered(40, 0);
    watch(&mut registry, 600.0);
    assert!(count(&registry) >= 34);
    // Six go in each pass: 15 per cent of 40, then of what is left.
    watch(&mut registry, 700.0);
    assert_eq!((count(&registry), registry.deadline(), registry.len()), (0, None, 0));
}

#[test]
fn single_instances_and_single_losses_end_exactly() {
    let mut registry = registry();
    for service in ["a", "b", "c"] {
        let lone = Registration::new(service, "i").lease(Duration::from_secs(10), Duration::from_secs(5)).unwrap();
        registry.register(&lone, Put::default(), at(0.0)).unwrap();
    }
    for id in ["v", "w", "x", "y", "z"] {
        registry.register(&leased(id, 10, 5), Put::default(), at(0.0)).unwrap();
    }
    for second in 1..15 {
        registry.advance(at(f64::from(second)));
        for id in ["v", "w", "x", "z"] {
            registry.renew("default", "s", id, 0, at(f64::from(second))).unwrap();
        }
    }
    let last = at(15.0).as_micros() - 1;
    assert_eq!(registry.advance(Timestamp::from_micros(last).unwrap()).expired, 0);
    assert_eq!(registry.advance(at(15.0)).expired, 4);
    assert_eq!((registry.services(None).len(), count(&registry)), (1, 4));
}

#[test]
fn who_comes_stands_for_who_was_lost() {
    let mut registry = registry();
    // Every ten seconds one dies and another takes its place: that is no reason to hold anybody.
    for n in 0..20u32 {
        registry.register(&leased(&format!("i{n:02}"), 30, 0), Put::default(), at(0.0)).unwrap();
    }
    for second in 1..200u32 {
        registry.advance(at(second.into()));
        if second % 10 == 0 {
            registry.register(&leased(&format!("i{:02}", 19 + second / 10), 30, 0), Put::default(), at(second.into())).unwrap();
        }
        for n in second / 10..19 + second / 10 + 1 {
            let _ = registry.renew("default", "s", &format!("i{n:02}"), 0, at(second.into()));
        }
        let alive = 20 + second / 10 - second.saturating_sub(30) / 10;
        assert!(count(&registry).abs_diff(alive as usize) <= 1, "second {second}");
    }
}

#[test]
fn a_large_hold_ends_in_as_many_renewals() {
    let mut registry = staggered(5_000, 0);
    watch(&mut registry, 60.0);
    let left = count(&registry);
    assert!(left >= 4_000);
    for n in 0..5_000 {
        let _ = registry.renew("default", "s", &format!("i{n:04}"), 0, at(60.5));
    }
    watch(&mut registry, 62.0);
    assert_eq!((count(&registry), registry.stats().suspect, registry.stats().protected), (left, 0, 0));
}
