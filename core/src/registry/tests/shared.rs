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
fn what_goes_on_goes_on_at_its_time() {
    let mut registry = registry();
    registry.resume(7, 9, at(5.0));
    assert_eq!((registry.epoch(), registry.revision(), registry.now()), (8, 9, at(5.0)));
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
fn a_word_that_is_said_again_is_to_be_written_again_by_one_of_several() {
    let word = Override { state: AdminState::Draining, until: None, reason: String::new() };
    for shared in [false, true] {
        let mut registry = registry();
        registry.touched.shared = shared;
        for _ in 0..2 {
            registry.set_admin("default", "s", "a", Some(word.clone()), at(0.0)).unwrap();
        }
        let words = registry.touched_since(0).unwrap().filter(|(own, touch)| *own == key() && *touch == Touch::Word).count();
        assert_eq!(words, 1 + usize::from(shared));
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
        registry.share_admin(&key(), Some(word.clone()), at(0.0)).unwrap();
        registry.share_query(["default", "near"], Some(&query), at(0.0)).unwrap();
    }
    let touched: Vec<_> = registry.touched_since(0).unwrap().map(|(_, touch)| *touch).filter(|touch| *touch != Touch::Word).collect();
    assert!(touched.is_empty(), "{touched:?}");
}
