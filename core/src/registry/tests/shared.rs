//! One of several servers over one engine: what another says, and what must be said again.

use super::*;
use crate::model::Override;
use crate::registry::record::Touch;

fn key() -> Key {
    Key::new("default", "s", "a")
}

#[test]
fn a_lease_that_another_watches_is_no_suspect_here() {
    let mut registry = registry();
    put(&mut registry, &leased("a", 10, 50), 0.0);
    put(&mut registry, &leased("b", 100, 0), 0.0);
    registry.advance(at(11.0));
    assert_eq!(lease(&registry, "a"), Some(LeaseState::Suspect));
    let revision = registry.revision();
    registry.hold(&key());
    assert_eq!(lease(&registry, "a"), Some(LeaseState::Live));
    assert!(registry.revision() > revision);
    registry.advance(at(90.0));
    assert_eq!(lease(&registry, "a"), Some(LeaseState::Live));
}

#[test]
fn what_has_no_lease_is_nobody_s_to_watch() {
    let mut registry = registry();
    let handle = put(&mut registry, &Registration::new("s", "a"), 0.0).handle;
    registry.hold(&key());
    assert!(!registry.is_held(handle));
    registry.watch_lease(&key());
    assert_eq!(registry.deadline(), None);
}

#[test]
fn what_goes_on_goes_on_at_its_time() {
    let mut registry = registry();
    registry.resume(7, 9, at(5.0));
    assert_eq!((registry.epoch(), registry.revision(), registry.now()), (8, 9, at(5.0)));
    assert!(matches!(registry.changes(Position { epoch: 8, revision: 8 }), Changes::Compacted { oldest: 9, .. }));
}

#[test]
fn nobody_was_heard_since_all_leases_began_anew() {
    let mut registry = registry();
    let handle = put(&mut registry, &leased("a", 10, 0), 1.0).handle;
    assert!(registry.was_heard(handle));
    // The host slept.
    registry.advance(at(1_000.0));
    assert_eq!(registry.stats().gaps, 1);
    assert!(!registry.was_heard(handle));
    registry.renew_handle(handle, 0, at(1_001.0)).unwrap();
    assert!(registry.was_heard(handle));
}

#[test]
fn what_is_said_again_is_to_be_written_again_by_one_of_several() {
    let word = Override { state: AdminState::Draining, until: None, reason: String::new() };
    for shared in [false, true] {
        let mut registry = registry();
        registry.touched.shared = shared;
        for _ in 0..2 {
            registry.set_admin("default", "s", "a", Some(word.clone()), at(0.0)).unwrap();
            put(&mut registry, &leased("a", 10, 0), 0.0);
        }
        let count = |what| registry.touched_since(0).unwrap().filter(|(own, touch)| *own == key() && *touch == what).count();
        assert_eq!((count(Touch::Word), count(Touch::Said)), (1 + usize::from(shared), usize::from(shared)));
    }
}

#[test]
fn what_another_says_is_not_to_be_written_here() {
    let mut registry = registry();
    registry.touched.shared = true;
    let query = Query::service("s");
    let word = Override { state: AdminState::Draining, until: None, reason: String::new() };
    for _ in 0..2 {
        registry.share(&leased("a", 10, 0), None, false, at(0.0)).unwrap();
        assert!(registry.touched.shared);
        registry.share_admin(&key(), Some(word.clone()), at(0.0)).unwrap();
        assert!(registry.touched.shared);
        registry.share_query(["default", "near"], Some(&query), at(0.0)).unwrap();
        assert!(registry.touched.shared);
    }
    // A word that is another is noted whoever says it; what the engine has is not written again.
    let touched: Vec<_> = registry.touched_since(0).unwrap().map(|(_, touch)| *touch).collect();
    assert_eq!(touched, [Touch::Word]);
}

#[test]
fn what_another_says_is_a_revision_at_its_time() {
    let mut registry = registry();
    let stands = |registry: &Registry| (registry.now(), registry.revision());
    registry.share(&leased("a", 10, 0), None, false, at(1.0)).unwrap();
    assert_eq!(stands(&registry), (at(1.0), 1));
    // Another token is another record.
    registry.share(&leased("a", 10, 0), Some(TokenDigest([7; 32])), false, at(2.0)).unwrap();
    assert_eq!(stands(&registry), (at(2.0), 2));
    let word = Override { state: AdminState::Disabled, until: None, reason: String::new() };
    registry.share_admin(&key(), Some(word), at(3.0)).unwrap();
    assert_eq!(stands(&registry), (at(3.0), 3));
    registry.share_query(["default", "near"], Some(&Query::service("s")), at(4.0)).unwrap();
    assert_eq!(stands(&registry), (at(4.0), 4));
    registry.unshare(&key(), at(5.0));
    assert_eq!((stands(&registry), registry.len()), ((at(5.0), 5), 0));
    let Changes::Events { events, .. } = registry.changes(Position { epoch: 1, revision: 1 }) else { panic!() };
    let told: Vec<_> = events.iter().map(|event| (event.revision, event.cause)).collect();
    assert_eq!(told, [(2, Cause::Deregister), (2, Cause::Register), (3, Cause::Admin), (5, Cause::Deregister)]);
}

#[test]
fn a_lease_that_was_taken_over_and_is_another_s_again_is_not_to_be_told() {
    let share = |registry: &mut Registry| registry.share(&leased("a", 10, 0), None, true, at(0.0)).unwrap();
    let again: [fn(&mut Registry); 2] =
        [|registry| registry.hold(&key()), |registry| registry.share(&leased("a", 10, 0), None, true, at(2.0)).unwrap()];
    for again in again {
        let mut registry = registry();
        share(&mut registry);
        assert_eq!(registry.deadline(), None);
        for _ in 0..2 {
            registry.renew("default", "s", "a", 0, at(1.0)).unwrap();
        }
        assert_eq!(registry.deadline(), Some(at(11.0)));
        assert!(registry.clone().take_heard().into_iter().eq([key()]));
        again(&mut registry);
        assert!(registry.take_heard().is_empty());
        assert_eq!(registry.deadline(), None);
    }
}

#[test]
fn of_what_was_touched_the_latest_is_known() {
    let mut registry = Registry::new(Config { log_capacity: 2, ..Config::default() }).unwrap();
    for id in ["a", "b", "c"] {
        let word = Override { state: AdminState::Disabled, until: None, reason: String::new() };
        registry.set_admin("default", "s", id, Some(word), at(0.0)).unwrap();
    }
    let ids = |count| registry.touched_since(count).map(|touched| touched.map(|(key, _)| key.id.as_str()).collect::<Vec<_>>());
    assert_eq!([ids(0), ids(1), ids(2), ids(3)], [None, Some(vec!["b", "c"]), Some(vec!["c"]), Some(vec![])]);
}
