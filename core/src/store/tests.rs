use core::time::Duration;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::journal::recover;
use super::*;
use crate::error::Code;
use crate::model::{AdminState, Override, Registration};
use crate::registry::{Config, Listing, Put};
use crate::time::Timestamp;

const T0: Timestamp = Timestamp::ZERO;

fn provider(id: &str) -> Registration {
    let lease = Duration::from_secs(30);
    let plain = Registration::new("billing", id).endpoint("http://10.0.0.5:8080").unwrap().lease(lease, lease).unwrap();
    plain.version("1.4.2").unwrap().metadata([("env", "prod")]).unwrap()
}

/// All that a store keeps, whatever the epoch and the revisions are.
fn content(registry: &Registry) -> Vec<Write> {
    let mut writes = entry::writes(registry, None);
    writes.pop();
    for write in &mut writes {
        // What is left of an override counts from when it was written.
        if let Some((rest, _)) =
            write.value.as_ref().and_then(|value| value.split_once(",\"ttl\"").filter(|_| write.key.starts_with("overrides")))
        {
            write.value = Some(rest.into());
        }
    }
    writes
}

/// A key-value engine.
fn take(engine: &mut BTreeMap<String, String>, registry: &Registry, writes: Writes) {
    if writes.whole {
        for key in leftovers(registry, &*engine) {
            engine.remove(&key);
        }
    }
    for Write { key, value, .. } in writes.writes {
        match value {
            Some(value) => engine.insert(key, value),
            None => engine.remove(&key),
        };
    }
}

/// A life of a registry in steps, each a change that a store must keep.
fn live(registry: &mut Registry, step: u64) {
    let now = Timestamp::from_secs(step);
    let id = format!("b/{}", step % 7);
    let namespace = if step.is_multiple_of(3) { "default" } else { "dev" };
    let drain = Override { state: AdminState::Draining, until: Some(Timestamp::from_secs(step + 40)), reason: "deploy=1".into() };
    let _ = match step % 11 {
        0..5 => registry.register(&provider(&id).namespace(namespace), Put::default(), now).map(drop),
        5 => registry.renew(namespace, "billing", &id, step, now).map(drop),
        6 => registry.deregister(namespace, "billing", &id, None, now).map(drop),
        7 => registry.set_admin(namespace, "billing", &id, Some(drain), now).map(drop),
        8 => registry.set_admin(namespace, "billing", &id, None, now).map(drop),
        9 => registry.set_health(namespace, "billing", &id, crate::model::Health::Degraded, None, now).map(drop),
        _ => {
            registry.advance(Timestamp::from_secs(step + 1));
            Ok(())
        }
    };
}

#[test]
fn an_engine_holds_what_the_registry_holds_after_every_change() {
    for log_capacity in [1, 4, 1_024] {
        let mut registry = Registry::new(Config { log_capacity, ..Config::default() }).unwrap();
        let (mut store, mut engine) = (Store::new(), BTreeMap::new());
        let mut file: Vec<u8> = Vec::new();
        let (mut journal, mut replaced) = (Store::new(), 0);
        for step in 1..600 {
            live(&mut registry, step);
            // A write that fails now and then is made good by the next one.
            if let Some(writes) = store.writes(&registry)
                && step % 5 != 3
            {
                take(&mut engine, &registry, writes);
                store.written();
                assert_eq!(store.writes(&registry), None);
            }
            if let Some(frame) = journal.frame(&registry) {
                if frame.replace {
                    file.clear();
                    replaced += 1;
                }
                file.extend(frame.bytes);
                journal.written();
            }
            let back = recover(&file, Config::default(), T0).unwrap();
            assert_eq!(back.torn, 0);
            assert_eq!(back.registry.epoch(), registry.epoch() + 1);
            assert!(back.registry.revision() >= registry.revision());
            if step % 5 != 3 {
                let loaded = load(engine.clone(), Config::default(), registry.now()).unwrap();
                assert_eq!((content(&loaded.registry), loaded.skipped), (content(&registry), [].to_vec()), "step {step}");
            }
        }
        assert!(log_capacity == 1 || replaced < 20, "{replaced} times replaced");
    }
}

#[test]
fn what_others_say_and_what_leases_do_is_not_written() {
    let mut registry = Registry::new(Config::default()).unwrap();
    registry.register(&provider("b1"), Put::default(), T0).unwrap();
    let mut store = Store::new();
    assert!(store.writes(&registry).unwrap().whole);
    store.written();
    let listing =
        Value::from_json(br#"{"source":"consul","service":"web","instances":[{"id":"w1","endpoints":["http://10.0.0.9:80"]}]}"#).unwrap();
    registry.reconcile(&Listing::from_value(&listing).unwrap(), Timestamp::from_secs(1)).unwrap();
    registry.advance(Timestamp::from_secs(30));
    let writes = store.writes(&registry).unwrap();
    let keys: Vec<_> = writes.writes.iter().map(|write| write.key.as_str()).collect();
    assert_eq!((writes.whole, keys), (false, ["registry"].to_vec()));
    assert_eq!(content(&registry).len(), 1);
}

#[test]
fn a_journal_that_was_cut_or_spoilt_is_an_old_state_or_an_error() {
    let mut registry = Registry::new(Config::default()).unwrap();
    let (mut store, mut file, mut states) = (Store::new(), Vec::new(), Vec::new());
    for step in [1, 2, 7, 14] {
        live(&mut registry, step);
        file.extend(store.frame(&registry).unwrap().bytes);
        store.written();
        states.push((file.len(), content(&registry)));
    }
    let names = |registry: &Registry| content(registry).into_iter().map(|write| write.key).collect::<Vec<_>>();
    let keys = |state: &[Write]| state.iter().map(|write| write.key.clone()).collect::<Vec<_>>();
    for cut in 0..=file.len() {
        let whole = states.iter().rev().find(|(length, _)| *length <= cut);
        match (recover(&file[..cut], Config::default(), T0), whole) {
            (Ok(back), Some((length, state))) => {
                assert_eq!((names(&back.registry), back.torn), (keys(state), (cut - length) as u64), "cut at {cut}");
            }
            (Err(error), None) => assert_eq!(error.code(), Code::SnapshotCorrupt, "cut at {cut}"),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    // A file that grew and was not filled.
    for (zeros, torn) in [(1, 1), (600, 600), (5_000, 5_000)] {
        let grown: Vec<u8> = file.iter().copied().chain(core::iter::repeat_n(0, zeros)).collect();
        assert_eq!(recover(&grown, Config::default(), T0).unwrap().torn, torn);
    }
    for bit in 0..file.len() * 8 {
        let mut spoilt = file.clone();
        spoilt[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(recover(&spoilt, Config::default(), T0).unwrap_err().code(), Code::SnapshotCorrupt, "bit {bit}");
    }
    // A frame that is missing, twice there or in another's place.
    let (a, b, c) = (states[0].0, states[1].0, states[2].0);
    for order in [[0..a, b..c, c..c], [0..a, a..b, a..b], [0..a, b..c, a..b], [a..b, 0..a, b..c]] {
        let bytes: Vec<u8> = order.into_iter().flat_map(|part| file[part].to_vec()).collect();
        assert_eq!(recover(&bytes, Config::default(), T0).unwrap_err().code(), Code::SnapshotCorrupt);
    }
}

#[test]
fn what_is_not_ours_or_damaged_is_told_and_stays() {
    let mut registry = Registry::new(Config::default()).unwrap();
    registry.register(&provider("a/b.c"), Put::default(), T0).unwrap();
    registry.register(&provider("gone"), Put::default(), T0).unwrap();
    let mut engine = BTreeMap::new();
    take(&mut engine, &registry, Store::new().writes(&registry).unwrap());
    let own = engine["instances/default/billing/a=2Fb=2Ec"].clone();
    let foreign = [
        ("instances/default/billing/a=2fb=2Ec", own.as_str()),
        ("instances/default/billing/other", own.as_str()),
        ("instances/default/../x", own.as_str()),
        ("overrides/default/billing", r#"{"state":"disabled"}"#),
        ("overrides/default/billing/=zz", r#"{"state":"disabled"}"#),
        ("overrides/default/billing/x/y", r#"{"state":"disabled"}"#),
        ("overrides/default/billing/=+A", r#"{"state":"disabled"}"#),
        ("overrides/default/billing/z", "{}"),
        ("weather", "{}"),
        ("w\u{7}", ""),
    ];
    engine.extend(foreign.map(|(key, value)| (key.into(), value.into())));
    let loaded = load(engine.clone(), Config::default(), T0).unwrap();
    assert_eq!((loaded.registry.len(), loaded.registry.epoch()), (2, 2));
    let told: Vec<_> = loaded.skipped.iter().map(|unread| unread.key.as_str()).collect();
    let mut keys = foreign.map(|(key, _)| if key.starts_with("w\u{7}") { "w\\u{7}" } else { key });
    keys.sort_unstable();
    assert_eq!(told, keys);
    assert!(loaded.skipped.iter().all(|unread| unread.error.code() == Code::SnapshotCorrupt));
    // A whole answer removes what is over and ours, and nothing else.
    registry.deregister("default", "billing", "gone", None, T0).unwrap();
    take(&mut engine, &registry, Store::new().writes(&registry).unwrap());
    assert_eq!(engine.len(), 2 + foreign.len());
    assert!(foreign.iter().all(|(key, value)| engine.get(*key).map(String::as_str) == Some(value)));
    // A head that cannot be read costs the epoch; one of another release is not touched.
    for head in [None, Some("{}}"), Some(r#"{"format":1,"epoch":1}"#)] {
        engine.remove("registry");
        engine.extend(head.map(|head| ("registry".into(), head.into())));
        let loaded = load(engine.clone(), Config { epoch: 7, ..Config::default() }, T0).unwrap();
        assert_eq!((loaded.registry.len(), loaded.registry.epoch(), loaded.skipped.len()), (1, 7, foreign.len() + 1));
    }
    engine.insert("registry".into(), r#"{"format":2}"#.into());
    assert_eq!(load(engine, Config::default(), T0).unwrap_err().code(), Code::SnapshotVersion);
    let nothing: [(&str, &str); 0] = [];
    assert_eq!(load(nothing, Config::default(), T0).unwrap().skipped, []);
    let small = Config { max_instances: 1, ..Config::default() };
    registry.register(&provider("b"), Put::default(), T0).unwrap();
    let mut engine = BTreeMap::new();
    take(&mut engine, &registry, Store::new().writes(&registry).unwrap());
    assert_eq!(load(engine, small, T0).unwrap_err().code(), Code::QuotaExceeded);
}

#[test]
fn an_engine_is_told_how_long_to_keep_what_has_a_lease() {
    let mut registry = Registry::new(Config::default()).unwrap();
    let mut store = Store::new();
    let lease = |ttl: f64, grace: f64| {
        let own = Registration::new("s", "i").lease(Duration::from_secs_f64(ttl), Duration::from_secs_f64(grace)).unwrap();
        let mut registry = Registry::new(Config::default()).unwrap();
        registry.register(&own, Put::default(), T0).unwrap();
        Store::new().writes(&registry).unwrap().writes[0].ttl.unwrap()
    };
    // A third more, in whole seconds, to eighths of a power of two.
    for (ttl, grace, expected) in [
        (1.0, 0.0, 2),
        (10.0, 0.0, 14),
        (30.0, 0.0, 40),
        (30.0, 30.0, 80),
        (90.0, 0.0, 120),
        (31.0, 0.0, 44),
        (86_400.0, 86_400.0, 245_760),
    ] {
        assert_eq!(lease(ttl, grace), expected, "{ttl} + {grace}");
        assert!(expected as f64 >= (ttl + grace) * 4.0 / 3.0);
    }
    registry.register(&provider("leased"), Put::default(), T0).unwrap();
    registry.register(&Registration::new("s", "for-ever"), Put::default(), T0).unwrap();
    let ttls = |writes: &Writes| writes.writes.iter().map(|write| write.ttl).collect::<Vec<_>>();
    let writes = store.writes(&registry).unwrap();
    assert_eq!((ttls(&writes), writes.refresh), ([Some(80), None, None].to_vec(), [].to_vec()));
    store.written();
    registry.advance(Timestamp::from_secs(19));
    assert_eq!(store.writes(&registry), None);
    // A quarter of it later it begins anew; until that is done, again.
    registry.advance(Timestamp::from_secs(20));
    for _ in 0..2 {
        let writes = store.writes(&registry).unwrap();
        assert_eq!((writes.whole, writes.writes.len(), writes.refresh), (false, 0, [80].to_vec()));
    }
    store.written();
    assert_eq!(store.writes(&registry), None);
    // An engine that let go of the keys is told everything.
    store.failed();
    let writes = store.writes(&registry).unwrap();
    assert_eq!((writes.whole, writes.refresh), (true, [].to_vec()));
    // A journal keeps everything, and has nothing to be told again.
    let mut journal = Store::new();
    journal.frame(&registry).unwrap();
    journal.written();
    registry.advance(Timestamp::from_secs(29));
    assert_eq!(journal.frame(&registry), None);
}
