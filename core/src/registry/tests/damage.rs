//! Snapshots that are not what they should be.

use super::*;
use crate::model::Override;
use crate::registry::snapshot::{FORMAT, HEADER, MAGIC, Tables};

/// A registry that uses everything a snapshot can hold.
fn full() -> Registry {
    let mut registry = registry();
    for n in 0..4 {
        let registration = leased(&format!("i{n}"), 30, 5)
            .metadata([("env", "prod"), ("empty", "")])
            .and_then(|r| r.tags(["canary", "blue"]))
            .and_then(|r| r.version("1.4.2-rc.1"))
            .and_then(|r| r.endpoint("grpcs://[2001:db8::1]:443"))
            .and_then(|r| r.endpoint("tcp://db-1.example"))
            .unwrap()
            .zone("z1")
            .incarnation(1 << 40);
        put(&mut registry, &registration, 0.0);
    }
    put(&mut registry, &Registration::new("t", "550e8400-e29b-41d4-a716-446655440000").namespace("other"), 0.0);
    let foreign = Registration::new("s", "foreign").endpoint("10.0.0.1:80").unwrap();
    let listing = Listing {
        source: "consul:dc1".into(),
        namespace: "default".into(),
        service: None,
        instances: vec![foreign],
        same: Vec::new(),
        removed: vec![],
        kept: vec![],
        unread: vec![],
        extent: Extent::Whole,
    };
    registry.reconcile(&listing, at(0.0)).unwrap();
    let drain = Override { state: AdminState::Draining, until: Some(at(60.0)), reason: "deploy".into() };
    registry.set_admin("default", "s", "i1", Some(drain), at(0.0)).unwrap();
    registry.set_health("default", "s", "i2", Health::Degraded, None, at(0.0)).unwrap();
    registry.save_query("near", &Query::service("s").zone("z1"), at(0.0)).unwrap();
    registry
}

fn restore(bytes: &[u8]) -> Result<Registry, Error> {
    Registry::restore(bytes, Config::default(), at(5.0))
}

#[test]
fn a_snapshot_of_everything_comes_back() {
    let registry = full();
    let back = restore(&registry.snapshot()).unwrap();
    assert_eq!((back.epoch(), back.revision(), back.stats().sources), (2, registry.revision(), 2));
    for (namespace, service) in [("default", "s"), ("other", "t")] {
        assert_eq!(back.digest(namespace, service), registry.digest(namespace, service));
    }
    for id in ["i0", "i1", "i2", "i3", "foreign"] {
        let [old, new] = [&registry, &back].map(|registry| registry.instance(registry.lookup("default", "s", id).unwrap()).unwrap());
        assert_eq!((&old.registration, old.revision, &old.source), (&new.registration, new.revision, &new.source));
        assert_eq!(new.admin.map(|own| (own.state, own.until)), old.admin.map(|own| (own.state, Some(at(65.0)))));
    }
    assert_eq!(back.snapshot()[30..], restore(&back.snapshot()).unwrap().snapshot()[30..].to_vec());
}

#[test]
fn the_largest_record_comes_back() {
    let mut registry = registry();
    let pairs = (0..limits::METADATA_PAIRS).map(|n| (format!("k{n:03}"), "v".to_string()));
    let mut largest = Registration::new("s", "a").metadata(pairs).unwrap();
    for n in 0..limits::ENDPOINTS {
        largest = largest.endpoint(&format!("http://10.0.0.1:{}", n + 1)).unwrap();
    }
    put(&mut registry, &largest, 0.0);
    let back = restore(&registry.snapshot()).unwrap();
    assert_eq!(back.instance(back.lookup("default", "s", "a").unwrap()).unwrap().registration, largest);
}

#[test]
fn what_is_restored_is_counted_as_what_is_registered() {
    let mut back = restore(&full().snapshot()).unwrap();
    for (namespace, service, id) in [
        ("default", "s", "i0"),
        ("default", "s", "i1"),
        ("default", "s", "i2"),
        ("default", "s", "i3"),
        ("other", "t", "550e8400-e29b-41d4-a716-446655440000"),
    ] {
        back.deregister(namespace, service, id, None, at(5.0)).unwrap();
    }
    let gone = Listing {
        source: "consul:dc1".into(),
        namespace: "default".into(),
        service: Some("s".into()),
        instances: vec![],
        same: Vec::new(),
        removed: vec![("s".into(), "foreign".into())],
        kept: vec![],
        unread: vec![],
        extent: Extent::Whole,
    };
    assert_eq!(back.reconcile(&gone, at(5.0)).unwrap().removed, 1);
    let pools = &back.store.pools;
    assert_eq!((pools.facets.len(), pools.metadata.len(), pools.localities.len()), (0, 0, 0));
    assert_eq!((pools.profiles.len(), pools.versions.len(), pools.tags.len(), pools.kinds.len()), (0, 0, 0, 0));
    assert_eq!((back.len(), back.services(None).len(), back.stats().leased), (0, 0, 0));
}

#[test]
fn a_large_snapshot_answers_as_what_it_was_taken_of() {
    let mut rng = Rng::new(9);
    let mut registry = registry();
    for n in 0..3_000 {
        put(&mut registry, &scale::varied(&mut rng, n), 0.0);
    }
    let mut back = restore(&registry.snapshot()).unwrap();
    // Whoever comes afterwards is found as well.
    for n in 3_000..4_000 {
        let registration = scale::varied(&mut rng, n);
        for registry in [&mut registry, &mut back] {
            put(registry, &registration, 5.0);
        }
    }
    for (selector, zone) in [("env=prod", "z1"), ("tier in (t1, t2)", ""), ("tags contains canary, build=b7", ""), ("", "z2")] {
        let query = Query::everything().selector(selector).unwrap().zone(zone);
        assert_eq!(ids(&back, &query), ids(&registry, &query));
    }
    // The counts behind the bitmaps are right too: all can go, and others come.
    for handle in back.query(&Query::everything().health(crate::query::HealthFilter::Any)).handles {
        let Registration { service, id, .. } = back.instance(handle).unwrap().registration;
        back.deregister("default", &service, &id, None, at(5.0)).unwrap();
    }
    assert_eq!((back.len(), back.store.pools.facets.len()), (0, 0));
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let bytes = full().snapshot();
    for cut in 0..bytes.len() {
        assert_eq!(restore(&bytes[..cut]).unwrap_err().code(), Code::SnapshotCorrupt);
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let code = restore(&damaged).unwrap_err().code();
        let expected = if (32..48).contains(&bit) { Code::SnapshotVersion } else { Code::SnapshotCorrupt };
        assert_eq!(code, expected, "bit {bit}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(restore(&longer).unwrap_err().code(), Code::SnapshotCorrupt);
    assert!(restore(&[bytes.as_slice(), bytes.as_slice()].concat()).is_err());
}

/// A snapshot of this body, with its checksum.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut sealed = [MAGIC.as_slice(), &FORMAT.to_le_bytes()].concat();
    sealed.extend_from_slice(&(body.len() as u64).to_le_bytes());
    sealed.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(body).to_le_bytes());
    sealed.extend_from_slice(body);
    sealed
}

#[test]
fn numbers_that_no_registry_reaches_and_another_order_are_damage() {
    let bytes = full().snapshot();
    let with = |change: fn(&mut Tables<'_>)| {
        let (mut tables, rest) = postcard::take_from_bytes::<Tables<'_>>(&bytes[HEADER..]).unwrap();
        change(&mut tables);
        restore(&sealed(&[&postcard::to_allocvec(&tables).unwrap(), rest].concat())).map(drop).map_err(|error| error.code())
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with(|tables| tables.revision = Timestamp::MAX.as_micros()), Ok(()));
    assert_eq!(with(|tables| tables.revision = Timestamp::MAX.as_micros() + 1), Err(Code::SnapshotCorrupt));
    assert_eq!(with(|tables| tables.epoch = Timestamp::MAX.as_micros()), Err(Code::SnapshotCorrupt));
    // A set of metadata that names one pair twice. The empty set comes first.
    let (_, rest) = postcard::take_from_bytes::<Tables<'_>>(&bytes[HEADER..]).unwrap();
    let sets = bytes.len() - rest.len() - HEADER;
    assert_eq!(rest[..2], [0, 2]);
    let mut body = bytes[HEADER..].to_vec();
    body[sets + 3] = body[sets + 2];
    assert_eq!(restore(&sealed(&body)).unwrap_err().code(), Code::SnapshotCorrupt);
    // A name that nobody may save a query under.
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| &bytes[*at..*at + 4] == b"near").collect();
    let [place] = places[..] else { panic!("{places:?}") };
    let mut body = bytes[HEADER..].to_vec();
    body[place - HEADER + 1] = b' ';
    assert_eq!(restore(&sealed(&body)).unwrap_err().code(), Code::SnapshotCorrupt);
    // A query that was saved in a revision that is still to come.
    let mut body = bytes[HEADER..].to_vec();
    body[place - HEADER + 4] = 0x7f;
    assert_eq!(restore(&sealed(&body)).unwrap_err().code(), Code::SnapshotCorrupt);
    // A service that changed in such a revision.
    let name = b"\x07default\x01s";
    let places: Vec<usize> = (HEADER..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    let service = *places.iter().find(|at| bytes[**at + name.len() + 1] == 5).unwrap();
    let mut body = bytes[HEADER..].to_vec();
    body[service - HEADER + name.len()] = 0x7f;
    assert_eq!(restore(&sealed(&body)).unwrap_err().code(), Code::SnapshotCorrupt);
    // A service without records.
    let (mut tables, rest) = postcard::take_from_bytes::<Tables<'_>>(&bytes[HEADER..]).unwrap();
    let (sets, services) = rest.split_at(service + rest.len() - bytes.len());
    let with = |tables: &Tables<'_>, more: &[u8]| {
        restore(&sealed(&[&postcard::to_allocvec(tables).unwrap(), sets, more, services].concat())).map(drop).map_err(|error| error.code())
    };
    assert_eq!(with(&tables, &[]), Ok(()));
    tables.services += 1;
    assert_eq!(with(&tables, b"\x07default\x01a\x01\x00"), Err(Code::SnapshotCorrupt));
    // The first of four records in order of id becomes the last.
    let places: Vec<usize> = (0..bytes.len() - 1).filter(|at| &bytes[*at..*at + 2] == b"i0").collect();
    let [place] = places[..] else { panic!("{places:?}") };
    let mut body = bytes[HEADER..].to_vec();
    body[place - HEADER + 1] = b'9';
    assert_eq!(restore(&sealed(&body)).unwrap_err().code(), Code::SnapshotCorrupt);
}

#[test]
fn a_body_with_a_true_checksum_is_not_believed_either() {
    let bytes = full().snapshot();
    let body = &bytes[HEADER..];
    assert!(restore(&sealed(body)).is_ok());
    let mut rng = Rng::new(5);
    let check = |body: &[u8]| match restore(&sealed(body)) {
        Ok(registry) => {
            // What was taken is whole: it can be written, read and asked.
            let again = restore(&registry.snapshot()).unwrap();
            assert_eq!(again.len(), registry.len());
            for summary in registry.services(None) {
                assert_eq!(again.digest(&summary.namespace, &summary.service), registry.digest(&summary.namespace, &summary.service));
            }
        }
        Err(error) => assert!(matches!(error.code(), Code::SnapshotCorrupt | Code::QuotaExceeded), "{error}"),
    };
    for at in 0..body.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, body[at].wrapping_add(1), body[at].wrapping_sub(1), rng.below(256) as u8] {
            let mut damaged = body.to_vec();
            damaged[at] = value;
            check(&damaged);
        }
        check(&body[..at]);
        let mut shorter = body.to_vec();
        shorter.remove(at);
        check(&shorter);
        let mut longer = body.to_vec();
        longer.insert(at, rng.below(256) as u8);
        check(&longer);
    }
}

#[test]
fn quotas_hold_for_snapshots_too() {
    let bytes = full().snapshot();
    let with = |config: Config| {
        Registry::restore(&bytes, config, at(5.0)).map(|registry| registry.len()).map_err(|error| (error.code(), error.limit_value()))
    };
    let base = Config::default();
    for (fits, more) in [
        (Config { max_instances: 6, ..base.clone() }, Config { max_instances: 5, ..base.clone() }),
        (Config { max_services: 2, ..base.clone() }, Config { max_services: 1, ..base.clone() }),
        (Config { max_instances_per_service: 5, ..base.clone() }, Config { max_instances_per_service: 4, ..base.clone() }),
    ] {
        assert_eq!(with(fits), Ok(6));
        assert!(matches!(with(more), Err((Code::QuotaExceeded, Some(1 | 4 | 5)))));
    }
}
