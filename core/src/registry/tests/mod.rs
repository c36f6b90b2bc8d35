//! The contract, one behaviour a test.

mod damage;
mod scale;
#[cfg(feature = "store")]
mod shared;
mod silence;

use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::limits;
use crate::model::{AdminState, LeaseState};
use crate::query::Query;
use crate::rng::Rng;

fn at(secs: f64) -> Timestamp {
    Timestamp::from_micros((secs * 1e6) as u64).unwrap()
}

fn leased(id: &str, ttl: u64, grace: u64) -> Registration {
    Registration::new("s", id).lease(Duration::from_secs(ttl), Duration::from_secs(grace)).unwrap()
}

fn registry() -> Registry {
    Registry::new(Config::default()).unwrap()
}

fn put(registry: &mut Registry, registration: &Registration, now: f64) -> Registered {
    registry.register(registration, Put::default(), at(now)).unwrap()
}

fn ids(registry: &Registry, query: &Query) -> Vec<String> {
    registry.query(query).handles.iter().map(|handle| registry.instance(*handle).unwrap().registration.id).collect()
}

fn lease(registry: &Registry, id: &str) -> Option<LeaseState> {
    Some(registry.instance(registry.lookup("default", "s", id)?)?.lease)
}

#[test]
fn a_lease_ends_exactly() {
    let mut registry = registry();
    put(&mut registry, &leased("a", 10, 5), 0.0);
    for id in ["b", "c", "d", "e", "f", "g"] {
        put(&mut registry, &leased(id, 100, 0), 0.0);
    }
    assert_eq!(registry.deadline(), Some(at(10.0)));
    registry.advance(at(9.999_999));
    assert_eq!(lease(&registry, "a"), Some(LeaseState::Live));
    registry.advance(at(10.0));
    assert_eq!((lease(&registry, "a"), registry.deadline()), (Some(LeaseState::Suspect), Some(at(15.0))));
    registry.advance(at(14.999_999));
    assert_eq!(lease(&registry, "a"), Some(LeaseState::Suspect));
    assert_eq!(registry.advance(at(15.0)).expired, 1);
    assert_eq!((lease(&registry, "a"), registry.deadline()), (None, Some(at(100.0))));
    assert_eq!(registry.renew("default", "s", "a", 0, at(15.0)).unwrap_err().code(), Code::UnknownLease);
}

#[test]
fn a_renewal_moves_the_end_and_revives_a_suspect() {
    let mut registry = registry();
    let handle = put(&mut registry, &leased("a", 10, 5), 0.0).handle;
    registry.renew_handle(handle, 0, at(8.0)).unwrap();
    assert_eq!((registry.deadline(), registry.revision()), (Some(at(18.0)), 1));
    registry.advance(at(18.0));
    assert_eq!((lease(&registry, "a"), registry.revision()), (Some(LeaseState::Suspect), 2));
    registry.renew("default", "s", "a", 0, at(19.0)).unwrap();
    assert_eq!((lease(&registry, "a"), registry.revision(), registry.deadline()), (Some(LeaseState::Live), 3, Some(at(29.0))));
    registry.advance(at(29.0));
    assert_eq!(registry.advance(at(34.0)).expired, 1);
    assert_eq!(registry.deadline(), None);
}

#[test]
fn after_a_gap_every_lease_counts_as_renewed() {
    let mut registry = registry();
    for id in ["a", "b", "c"] {
        put(&mut registry, &leased(id, 10, 0), 0.0);
    }
    // Late by no more than the slack: exact.
    let mut exact = registry.clone();
    exact.renew("default", "s", "b", 0, at(5.0)).unwrap();
    exact.renew("default", "s", "c", 0, at(5.0)).unwrap();
    assert_eq!((exact.advance(at(11.0)).expired, exact.len()), (1, 2));
    // Later: nobody was watching.
    assert_eq!(registry.advance(at(3_600.0)).expired, 0);
    assert_eq!((registry.len(), registry.stats().gaps, registry.deadline()), (3, 1, Some(at(3_610.0))));
    registry.renew("default", "s", "b", 0, at(3_609.0)).unwrap();
    registry.renew("default", "s", "c", 0, at(3_609.0)).unwrap();
    assert_eq!(registry.advance(at(3_610.0)).expired, 1);
    assert_eq!(lease(&registry, "a"), None);
}

#[test]
fn time_that_runs_backwards_is_clamped_and_counted() {
    let mut registry = registry();
    put(&mut registry, &leased("a", 10, 0), 100.0);
    registry.renew("default", "s", "a", 0, at(50.0)).unwrap();
    assert_eq!((registry.now(), registry.deadline(), registry.stats().backwards), (at(100.0), Some(at(110.0)), 1));
}

#[test]
fn one_that_dies_alone_goes_on_time_and_a_silence_of_all_is_held() {
    let mut registry = Registry::new(Config { protection_limit: Duration::from_secs(60), ..Config::default() }).unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("i{n:02}")).collect();
    for id in &names {
        put(&mut registry, &leased(id, 10, 0), 0.0);
    }
    for id in &names[1..] {
        registry.renew("default", "s", id, 0, at(5.0)).unwrap();
    }
    assert_eq!(registry.advance(at(10.0)).expired, 1);
    // Now all are silent.
    assert_eq!(registry.advance(at(15.0)).expired, 0);
    let answer = registry.query(&Query::service("s"));
    assert_eq!((answer.handles.len(), answer.protected, registry.stats().suspect), (19, true, 19));
    let mut now = 15.0;
    while registry.len() == 19 {
        now = registry.deadline().unwrap().as_micros() as f64 / 1e6;
        registry.advance(at(now));
    }
    assert_eq!((now, registry.len()), (75.0, 17));
    // From then on 15 % a pass, to the end: the hold is bounded.
    while let Some(deadline) = registry.deadline() {
        registry.advance(deadline);
    }
    assert_eq!((registry.len(), registry.stats().protected), (0, 0));
}

#[test]
fn those_that_were_silent_while_peers_were_heard_go_though_many() {
    let mut registry = registry();
    for n in 0..5 {
        put(&mut registry, &leased(&format!("i{n}"), 10, 0), 0.0);
    }
    for now in [5.0, 9.0] {
        for n in 2..5 {
            registry.renew("default", "s", &format!("i{n}"), 0, at(now)).unwrap();
        }
    }
    registry.advance(at(10.0));
    // Two of five are silent, and the others were heard less than a ttl later: not yet.
    assert_eq!((registry.len(), registry.query(&Query::service("s")).protected), (5, true));
    for n in 2..5 {
        registry.renew("default", "s", &format!("i{n}"), 0, at(10.5)).unwrap();
    }
    registry.advance(at(11.0));
    assert_eq!(registry.len(), 4);
    registry.advance(at(12.0));
    assert_eq!((registry.len(), registry.query(&Query::service("s")).protected), (3, false));
}

#[test]
fn batches_are_whole_or_nothing() {
    let mut registry = registry();
    let register = |id: &str| Op::Register { registration: Registration::new("s", id), put: Put::default() };
    let gone = |id: &str| Op::Deregister { key: Key::new("default", "s", id), incarnation: None };
    assert_eq!(registry.apply(&[register("a"), register("b"), gone("a")], at(0.0)), Ok(1));
    let before = registry.snapshot();
    let error = registry.apply(&[gone("b"), register("c"), gone("b")], at(0.0)).unwrap_err();
    assert_eq!((error.code(), error.field()), (Code::UnknownInstance, "ops[2].id"));
    assert_eq!((registry.snapshot(), registry.revision()), (before, 1));
    let Changes::Events { events, .. } = registry.changes(Position { epoch: 1, revision: 0 }) else { panic!() };
    assert_eq!(events.iter().map(|event| (event.revision, event.kind)).collect::<Vec<_>>().len(), 3);
    assert!(registry.apply(&vec![register("a"); limits::BATCH_OPS], at(0.0)).is_ok());
    let error = registry.apply(&vec![register("a"); limits::BATCH_OPS + 1], at(0.0)).unwrap_err();
    assert_eq!(error.code(), Code::LimitExceeded);
}

#[test]
fn registrations_keep_their_conditions() {
    let mut registry = registry();
    let try_put = |registry: &mut Registry, mode, if_revision, incarnation| {
        registry
            .register(&Registration::new("s", "a").incarnation(incarnation), Put { mode, if_revision }, at(0.0))
            .map_err(|error| error.code())
    };
    assert_eq!(try_put(&mut registry, Mode::Update, None, 0), Err(Code::UnknownInstance));
    assert_eq!(try_put(&mut registry, Mode::Upsert, Some(0), 0), Err(Code::RevisionMismatch));
    assert!(try_put(&mut registry, Mode::Create, None, 5).unwrap().created);
    assert_eq!(try_put(&mut registry, Mode::Create, None, 5), Err(Code::AlreadyExists));
    assert_eq!(try_put(&mut registry, Mode::Upsert, None, 4), Err(Code::StaleIncarnation));
    assert!(!try_put(&mut registry, Mode::Update, Some(1), 5).unwrap().changed);
    assert!(try_put(&mut registry, Mode::Update, Some(1), 6).unwrap().changed);
    assert_eq!(try_put(&mut registry, Mode::Update, Some(1), 6), Err(Code::RevisionMismatch));
    assert_eq!(registry.renew("default", "s", "a", 5, at(0.0)).unwrap_err().code(), Code::StaleIncarnation);
    assert_eq!(registry.deregister("default", "s", "a", Some(5), at(0.0)).unwrap_err().code(), Code::StaleIncarnation);
    assert_eq!(registry.set_health("default", "s", "a", Health::Unhealthy, Some(5), at(0.0)).unwrap_err().code(), Code::StaleIncarnation);
}

#[test]
fn the_operators_word_outlives_the_record() {
    let mut registry = registry();
    let own = |state, until| Some(Override { state, until, reason: "upgrade".to_string() });
    let state = |registry: &Registry| registry.instance(registry.lookup("default", "s", "a").unwrap()).unwrap().admin_state();
    registry.set_admin("default", "s", "a", own(AdminState::Draining, Some(at(60.0))), at(0.0)).unwrap();
    put(&mut registry, &Registration::new("s", "a"), 1.0);
    assert_eq!(state(&registry), AdminState::Draining);
    registry.deregister("default", "s", "a", None, at(2.0)).unwrap();
    put(&mut registry, &Registration::new("s", "a"), 3.0);
    let mut restored = Registry::restore(&registry.snapshot(), Config::default(), at(1_000.0)).unwrap();
    assert_eq!((state(&restored), restored.deadline()), (AdminState::Draining, Some(at(1_057.0))));
    restored.advance(at(1_057.0));
    assert_eq!(state(&restored), AdminState::Disabled);
    assert!(ids(&restored, &Query::service("s")).is_empty());
    restored.set_admin("default", "s", "a", None, at(1_057.0)).unwrap();
    assert_eq!(state(&restored), AdminState::Enabled);
}

#[test]
fn the_edition_tells_what_a_snapshot_would() {
    let mut registry = registry();
    put(&mut registry, &leased("a", 10, 0).incarnation(1), 0.0);
    let drain = || Override { state: AdminState::Draining, until: Some(at(9.0)), reason: String::new() };
    let mut moved = |act: &mut dyn FnMut(&mut Registry)| {
        let (edition, revision) = (registry.edition(), registry.revision());
        act(&mut registry);
        (registry.edition() > edition, registry.revision() > revision)
    };
    let renew = |registry: &mut Registry, incarnation| registry.renew("default", "s", "a", incarnation, at(1.0)).map(|_| ()).unwrap();
    assert_eq!(moved(&mut |registry| renew(registry, 1)), (false, false));
    assert_eq!(moved(&mut |registry| renew(registry, 2)), (true, false));
    assert_eq!(moved(&mut |registry| assert!(registry.renew("default", "s", "a", 1, at(1.0)).is_err())), (false, false));
    let report = |registry: &mut Registry, health, incarnation| {
        registry.set_health("default", "s", "a", health, Some(incarnation), at(1.0)).map(|_| ()).unwrap();
    };
    assert_eq!(moved(&mut |registry| report(registry, Health::Healthy, 3)), (true, false));
    assert_eq!(moved(&mut |registry| report(registry, Health::Degraded, 3)), (true, true));
    let absent = |registry: &mut Registry, own| registry.set_admin("default", "s", "b", own, at(1.0)).map(|_| ()).unwrap();
    assert_eq!(moved(&mut |registry| absent(registry, Some(drain()))), (true, false));
    assert_eq!(moved(&mut |registry| absent(registry, Some(drain()))), (false, false));
    assert_eq!(moved(&mut |registry| assert_eq!(registry.advance(at(9.0)).expired, 0)), (true, false));
    assert_eq!(moved(&mut |registry| absent(registry, None)), (true, false));
    let here = (registry.edition(), registry.clamp(at(3.0)), registry.clamp(at(12.0)));
    assert!(here.0 > registry.revision());
    assert_eq!((here.1, here.2), (at(9.0), at(12.0)));
    let restored = Registry::restore(&registry.snapshot(), Config::default(), at(0.0)).unwrap();
    assert_eq!(restored.edition(), restored.revision());
}

fn listing(ids: &[&str]) -> Listing {
    let instance = |id: &&str| Registration::new("s", *id).endpoint("http://10.0.0.1:80").unwrap();
    Listing {
        source: "consul:dc1".to_string(),
        namespace: "default".to_string(),
        service: Some("s".to_string()),
        instances: ids.iter().map(instance).collect(),
        same: Vec::new(),
        removed: vec![],
        kept: vec![],
        unread: vec![],
        extent: Extent::Whole,
    }
}

#[test]
fn a_listing_that_drops_too_much_is_held_until_it_is_confirmed() {
    let mut registry = registry();
    let outcome = registry.reconcile(&listing(&["a", "b", "c", "d"]), at(0.0)).unwrap();
    assert_eq!((outcome.added, outcome.revision), (4, 1));
    assert_eq!(registry.reconcile(&listing(&["a", "b", "c"]), at(1.0)).unwrap().removed, 1);
    let shrunk = registry.reconcile(&listing(&["a", "e"]), at(2.0)).unwrap();
    assert_eq!((shrunk.added, shrunk.removed, shrunk.held), (1, 0, 2));
    assert!(registry.query(&Query::service("s")).stale);
    for now in [5.0, 8.0] {
        assert_eq!(registry.reconcile(&listing(&["a", "e"]), at(now)).unwrap().held, 2);
    }
    let mut confirmed = registry.clone();
    assert_eq!(confirmed.reconcile(&listing(&["a", "e"]), at(12.0)).unwrap().removed, 2);
    assert!(!confirmed.query(&Query::service("s")).stale);
    assert_eq!(registry.acknowledge("consul:dc1", at(9.0)).unwrap().removed, 2);
    assert_eq!(ids(&registry, &Query::service("s")), ["a", "e"]);
    let mut told = listing(&[]);
    told.removed = vec![("s".to_string(), "a".to_string()), ("s".to_string(), "e".to_string())];
    assert_eq!(registry.reconcile(&told, at(9.0)).unwrap().removed, 2);
    assert!(registry.is_empty());
}

#[cfg(feature = "json")]
#[test]
fn an_entry_that_cannot_be_read_keeps_its_record() {
    let mut registry = registry();
    registry.reconcile(&listing(&["a", "b", "c", "d"]), at(0.0)).unwrap();
    let value = |port: &str| {
        format!(r#"{{"source":"consul:dc1","service":"s","instances":[{{"id":"a"}},{{"id":"b"}},{{"id":"c","endpoints":["h:{port}"]}}]}}"#)
    };
    let listing = Listing::from_value(&Value::from_json(value("0").as_bytes()).unwrap()).unwrap();
    let done = registry.reconcile(&listing, at(1.0)).unwrap();
    assert_eq!((done.skipped[0].id.as_str(), done.skipped[0].error.field()), ("c", "endpoints[0].port"));
    assert_eq!(done.removed, 1);
    assert_eq!(ids(&registry, &Query::service("s")), ["a", "b", "c"]);
}

#[test]
fn a_source_keeps_to_its_own() {
    let mut registry = registry();
    put(&mut registry, &Registration::new("s", "a"), 0.0);
    let outcome = registry.reconcile(&listing(&["a", "b", "b"]), at(0.0)).unwrap();
    let codes: Vec<Code> = outcome.skipped.iter().map(|skipped| skipped.error.code()).collect();
    assert_eq!((outcome.added, codes), (1, vec![Code::NotOwner, Code::DuplicateKey]));
    assert_eq!(registry.deregister("default", "s", "b", None, at(0.0)).unwrap_err().code(), Code::NotOwner);
    let mut spoofed = listing(&["x"]);
    spoofed.instances[0].endpoints[0] = Endpoint::parse("http://169.254.169.254").unwrap();
    let skipped = registry.reconcile(&spoofed, at(0.0)).unwrap().skipped;
    assert_eq!((skipped[0].error.code(), skipped[0].error.field()), (Code::AddressRefused, "endpoints[0].host"));
    for n in 0..limits::SOURCES {
        let mut other = listing(&[]);
        other.source = format!("s{n}");
        assert_eq!(registry.reconcile(&other, at(0.0)).is_ok(), n + 2 < limits::SOURCES, "{n}");
    }
}

#[test]
fn the_log_tells_when_it_cannot() {
    let mut registry = Registry::new(Config { log_capacity: 3, ..Config::default() }).unwrap();
    for id in ["a", "b", "c", "d", "e"] {
        put(&mut registry, &Registration::new("s", id), 0.0);
    }
    let changes = |epoch, revision| registry.changes(Position { epoch, revision });
    assert!(matches!(changes(1, 2), Changes::Events { events, .. } if events.len() == 3));
    assert!(matches!(changes(1, 5), Changes::Events { events, .. } if events.is_empty()));
    assert!(matches!(changes(1, 1), Changes::Compacted { oldest: 2, .. }));
    assert!(matches!(changes(1, 6), Changes::Compacted { .. }));
    assert!(matches!(changes(2, 2), Changes::NewEpoch { .. }));
}

#[test]
fn quotas_hold_at_their_limits() {
    let config = Config { max_instances: 4, max_services: 2, max_instances_per_service: 2, max_overrides: 1, ..Config::default() };
    let mut registry = Registry::new(config.clone()).unwrap();
    let mut code = |service: &str, id: &str| {
        registry.register(&Registration::new(service, id), Put::default(), at(0.0)).err().map(|error| error.field().to_string())
    };
    assert_eq!([code("s", "a"), code("s", "b")], [None, None]);
    assert_eq!(code("s", "c").as_deref(), Some("service"));
    assert_eq!([code("t", "a"), code("u", "a"), code("t", "b")], [None, Some("services".to_string()), None]);
    assert_eq!(code("t", "c").as_deref(), Some("instances"));
    let own = Some(Override { state: AdminState::Disabled, until: None, reason: String::new() });
    assert!(registry.set_admin("default", "s", "a", own.clone(), at(0.0)).is_ok());
    assert_eq!(registry.set_admin("default", "s", "b", own, at(0.0)).unwrap_err().code(), Code::QuotaExceeded);
    let small = Config { max_instances: 3, ..config };
    assert_eq!(Registry::restore(&registry.snapshot(), small, at(0.0)).unwrap_err().code(), Code::QuotaExceeded);
}

#[test]
fn snapshots_restore_everything_and_damage_is_found() {
    let mut registry = registry();
    put(&mut registry, &leased("6f1e9c52-8b0a-4f6e-9d3b-0123456789ab", 30, 0), 0.0);
    let full = Registration::new("t", "b").endpoint("grpcs://[2001:db8::1]:443").and_then(|r| r.version("1.2.3-rc.1")).unwrap();
    put(&mut registry, &full.tags(["x"]).unwrap().metadata([("__proto__", "y")]).unwrap().zone("z").incarnation(7), 0.0);
    registry.reconcile(&listing(&["a"]), at(0.0)).unwrap();
    let bytes = registry.snapshot();
    let restored = Registry::restore(&bytes, Config::default(), at(5.0)).unwrap();
    assert_eq!((restored.epoch(), restored.revision(), restored.deadline()), (2, 3, Some(at(35.0))));
    for service in ["s", "t"] {
        assert_eq!(restored.digest("default", service), registry.digest("default", service));
        let records = |registry: &Registry| -> Vec<Value> {
            registry
                .query(&Query::service(service))
                .handles
                .iter()
                .map(|handle| registry.instance(*handle).unwrap().registration.to_value())
                .collect()
        };
        assert_eq!(records(&restored), records(&registry));
    }
    for cut in 0..bytes.len() {
        let error = Registry::restore(&bytes[..cut], Config::default(), at(0.0)).unwrap_err();
        assert_eq!(error.code(), Code::SnapshotCorrupt);
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let code = Registry::restore(&damaged, Config::default(), at(0.0)).unwrap_err().code();
        assert!(matches!(code, Code::SnapshotCorrupt | Code::SnapshotVersion), "bit {bit}");
    }
}

#[test]
fn fallbacks_answer_while_nobody_is_found_and_views_follow() {
    let mut registry = registry();
    put(&mut registry, &Registration::new("backup", "z"), 0.0);
    let query = Query::service("s").fallback(Query::service("backup"));
    let mut view = View::new(query.clone()).unwrap();
    assert_eq!((ids(&registry, &query), registry.query(&query).rung), (vec!["z".to_string()], 1));
    assert_eq!(view.poll(&registry).unwrap().rung, 1);
    put(&mut registry, &Registration::new("s", "a"), 0.0);
    let delta = view.poll(&registry).unwrap();
    assert_eq!((delta.added.len(), delta.removed.len(), delta.rung), (1, 1, 0));
    assert_eq!(view.poll(&registry), None);
}

/// A view that is polled now and then always equals the query, and the changes folded always equal the state.
#[test]
fn views_and_logs_fold_to_the_state() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut registry = Registry::new(Config { log_capacity: 20, seed, ..Config::default() }).unwrap();
        let queries = [
            Query::service("s0"),
            Query::everything().selector("env=a").unwrap(),
            Query::everything().selector("env!=a").unwrap().version("^1").unwrap(),
            Query::everything().limit(3),
            Query::service("s1").selector("env=b").unwrap().fallback(Query::service("s2")),
        ];
        let mut views: Vec<View> = queries.iter().map(|query| View::new(query.clone()).unwrap()).collect();
        let mut now = 0u64;
        for _ in 0..300 {
            now += u64::from(rng.below(900_000));
            let time = Timestamp::from_micros(now).unwrap();
            let (service, id) = (format!("s{}", rng.below(4)), format!("i{}", rng.below(6)));
            let registration = Registration::new(&service, &id)
                .metadata([("env", ["a", "b", "c"][rng.below(3) as usize])])
                .and_then(|r| r.version(["1.0.0", "1.5.0", "2.0.0"][rng.below(3) as usize]))
                .and_then(|r| r.lease(Duration::from_secs(1 + u64::from(rng.below(5))), Duration::from_secs(u64::from(rng.below(3)))))
                .unwrap();
            let _ = match rng.below(7) {
                0..=2 => registry.register(&registration, Put::default(), time).map(|_| ()),
                3 => registry.renew("default", &service, &id, 0, time).map(|_| ()),
                4 => registry.deregister("default", &service, &id, None, time).map(|_| ()),
                5 => registry.set_health("default", &service, &id, Health::ALL[rng.below(5) as usize], None, time).map(|_| ()),
                _ => {
                    registry.advance(time);
                    Ok(())
                }
            };
            for (view, query) in views.iter_mut().zip(&queries) {
                if rng.below(4) == 0 {
                    view.poll(&registry);
                    assert_eq!(view.handles().collect::<Vec<_>>(), registry.query(query).handles, "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn churn_of_unique_values_reclaims_its_memory() {
    let mut registry = registry();
    for n in 0..20_000u32 {
        let registration = Registration::new("s", format!("i{n}")).metadata([("build", format!("{n}"))]).unwrap().zone(format!("z{n}"));
        put(&mut registry, &registration, 0.0);
        registry.deregister("default", "s", &format!("i{n}"), None, at(0.0)).unwrap();
    }
    let pools = &registry.store.pools;
    assert_eq!((registry.store.bound(), pools.metadata.bound(), pools.localities.bound(), pools.profiles.bound()), (1, 2, 2, 2));
    // One chunk of records, one of texts, and little else.
    assert!(registry.stats().bytes < 150_000, "{}", registry.stats().bytes);
}

#[test]
fn every_mutator_tells_the_time() {
    let mut registry = registry();
    put(&mut registry, &leased("a", 10, 0), 0.0);
    registry.save_query("near", &Query::service("s"), at(1.0)).unwrap();
    assert_eq!(registry.now(), at(1.0));
    registry.drop_query("default", "near", at(2.0)).unwrap();
    assert_eq!(registry.now(), at(2.0));
    // One that fails does so too.
    assert!(registry.drop_query("default", "near", at(3.0)).is_err());
    assert!(registry.renew("default", "s", "b", 0, at(4.0)).is_err());
    assert_eq!(registry.now(), at(4.0));
    registry.reconcile(&listing(&["x"]), at(5.0)).unwrap();
    assert_eq!(registry.now(), at(5.0));
    registry.acknowledge("consul:dc1", at(6.0)).unwrap();
    assert_eq!(registry.now(), at(6.0));
}

#[test]
fn who_is_named_as_it_is_keeps_its_incarnation_and_renews_its_lease() {
    let mut registry = registry();
    let mut first = listing(&["a"]);
    first.instances = vec![leased("a", 10, 0).incarnation(7)];
    registry.reconcile(&first, at(0.0)).unwrap();
    let handle = registry.lookup("default", "s", "a").unwrap();
    let again = Listing { same: vec![handle], ..listing(&[]) };
    assert_eq!(registry.reconcile(&again, at(1.0)).unwrap().held, 0);
    assert_eq!((registry.instance_incarnation(handle), registry.deadline()), (Some(7), Some(at(11.0))));
}
