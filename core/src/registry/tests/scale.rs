//! What holds for few must hold for many: past one chunk, past the bitmaps' thresholds, past the exact deadline.

use super::*;
use crate::query::HealthFilter;

/// Registrations of which some facets are shared by many and others are rare.
pub(super) fn varied(rng: &mut Rng, n: u32) -> Registration {
    let service = format!("s{}", rng.below(7));
    let mut registration = Registration::new(service, format!("i{n}"))
        .metadata([
            ("env", ["prod", "dev"][rng.below(2) as usize].to_string()),
            ("tier", format!("t{}", rng.below(5))),
            ("build", format!("b{}", rng.below(300))),
        ])
        .and_then(|r| r.tags((0..rng.below(3)).map(|tag| ["blue", "green", "canary"][tag as usize])))
        .and_then(|r| r.version(&format!("{}.{}.0", 1 + rng.below(3), rng.below(9))))
        .and_then(|r| r.weight(f64::from(rng.below(4))))
        .unwrap();
    if rng.below(3) > 0 {
        registration = registration.zone(format!("z{}", rng.below(3)));
    }
    registration.locality.node = format!("n{}", rng.below(500));
    registration.health(*[Health::Healthy, Health::Healthy, Health::Degraded, Health::Unhealthy].get(rng.below(4) as usize).unwrap())
}

#[test]
fn queries_find_what_a_look_at_each_finds() {
    let queries: Vec<Query> = [
        ("", ""),
        ("env=prod", ""),
        ("env=prod, tier=t1", "z1"),
        ("tier in (t1, t2), env!=prod", ""),
        ("build=b7", ""),
        ("build in (b7, b8, nothing)", "z2"),
        ("build=nothing", ""),
        ("nothing=prod", ""),
        ("!nothing, tags contains canary", ""),
        ("tags in (green, blue), node=n7", ""),
        ("tags notin (green), weight >= 2", "z0"),
        ("version ^2, zone", ""),
        ("env=prod or zone=z1", ""),
        ("id matches i1*, env=dev", ""),
        ("service in (s1, s2), health=degraded", ""),
    ]
    .into_iter()
    .flat_map(|(selector, zone)| {
        let all = Query::everything().selector(selector).unwrap().zone(zone);
        let one = Query { service: Some("s3".into()), ..all.clone() };
        let any = all.clone().health(HealthFilter::Any);
        let few = one.clone().limit(5);
        let other = all.clone().namespace("other");
        [all, one, any, few, other]
    })
    .collect();
    let mut rng = Rng::new(3);
    let mut registry = registry();
    let mut handles: Vec<Handle> = Vec::new();
    for round in 0..4 {
        for n in 0..1_500 {
            let registration = varied(&mut rng, round * 1_000 + n);
            handles.push(put(&mut registry, &registration, 0.0).handle);
        }
        put(&mut registry, &varied(&mut rng, 7).namespace("other"), 0.0);
        for query in &queries {
            let compiled = query.compile().unwrap();
            let mut expected: Vec<(String, String, Handle)> = handles
                .iter()
                .filter_map(|handle| registry.instance(*handle))
                .filter(|instance| compiled.matches(instance))
                .map(|instance| (instance.registration.service, instance.registration.id, instance.handle))
                .collect();
            expected.sort();
            expected.dedup();
            expected.truncate(query.limit.map_or(usize::MAX, |limit| limit as usize));
            let expected: Vec<Handle> = expected.into_iter().map(|(_, _, handle)| handle).collect();
            if query.namespace == "default" {
                assert_eq!(
                    registry.query(query).handles,
                    expected,
                    "round {round}: {:?}",
                    query.to_value().get("selector").and_then(Value::as_str)
                );
            }
        }
        // Most of them go, so that dense facets become rare.
        for handle in handles.split_off(handles.len() / 8) {
            if let Some(Registration { service, id, .. }) = registry.instance(handle).map(|instance| instance.registration) {
                registry.deregister("default", &service, &id, None, at(0.0)).unwrap();
            }
        }
        handles.retain(|handle| registry.instance(*handle).is_some());
    }
}

#[test]
fn leases_of_thousands_end_on_time() {
    let mut registry = Registry::new(Config { renewal_percent: 0, eviction_percent: 100, ..Config::default() }).unwrap();
    let mut rng = Rng::new(11);
    let mut ends: Vec<u64> = Vec::new();
    let mut handles = Vec::new();
    for n in 0..6_000 {
        let ttl = 1 + u64::from(rng.below(40));
        let registered = put(&mut registry, &leased(&format!("i{n}"), ttl, 0), 0.0);
        handles.push((registered.handle, ttl * 1_000_000));
        ends.push(ttl * 1_000_000);
    }
    let mut now = 0;
    while !registry.is_empty() {
        let due = registry.deadline().unwrap();
        let first = ends.iter().copied().filter(|end| *end > now).min().unwrap();
        assert!(due.as_micros() > now && due.as_micros() <= first, "{due} {now} {first}");
        now = due.as_micros().min(now + 250_000);
        let time = Timestamp::from_micros(now).unwrap();
        registry.advance(time);
        assert_eq!(registry.len(), ends.iter().filter(|end| **end > now).count(), "{now}");
        if now < 60_000_000 {
            for _ in 0..50 {
                let n = rng.below(6_000) as usize;
                let renewed = registry.renew_handle(handles[n].0, 0, time);
                assert_eq!(renewed.is_ok(), ends[n] > now);
                if renewed.is_ok() {
                    ends[n] = now + handles[n].1;
                }
            }
        }
    }
    assert_eq!((registry.deadline().is_none_or(|due| due.as_micros() > now), registry.stats().gaps), (true, 0));
}

#[test]
fn long_leases_that_come_and_go_leave_nothing() {
    let mut registry = registry();
    let mut peak = 0;
    for n in 0..30_000u32 {
        let id = format!("i{}", n % 3);
        let registration = leased(&id, 86_400, 86_400).metadata([("unique", n.to_string())]).unwrap().tags([n.to_string()]).unwrap();
        put(&mut registry, &registration, f64::from(n) / 100.0);
        if n % 2 == 0 {
            registry.deregister("default", "s", &id, None, at(f64::from(n) / 100.0)).unwrap();
        }
        peak = peak.max(registry.stats().bytes);
    }
    // One chunk of records, two of texts, and little else.
    assert!(peak < 250_000, "{peak}");
}

#[test]
fn ids_of_every_form_stand_in_one_order() {
    let mut registry = registry();
    let mut names: Vec<String> = (0..200).map(|n| format!("{n:x}")).collect();
    names.extend((0..200u64).map(|n| format!("{:08x}-0000-4000-8000-{:012x}", n * 21_474_836, n)));
    names.extend((0..50).map(|n| format!("{n:02x}0E8400-E29B-41D4-A716-446655440000")));
    for name in names.iter().rev() {
        put(&mut registry, &Registration::new("s", name.as_str()).zone("z"), 0.0);
    }
    names.sort();
    assert_eq!(ids(&registry, &Query::service("s")), names);
    assert_eq!(ids(&registry, &Query::everything().zone("z")), names);
    let back = Registry::restore(&registry.snapshot(), Config::default(), at(0.0)).unwrap();
    assert_eq!((ids(&back, &Query::service("s")), back.digest("default", "s")), (names, registry.digest("default", "s")));
}

#[test]
fn what_many_have_has_a_bitmap_and_what_few_have_has_none() {
    let mut registry = registry();
    for n in 0..256 {
        let build = if n < 100 { "b1" } else { "b2" };
        let registration = Registration::new("s", format!("i{n:03}")).metadata([("env", "prod"), ("build", build)]).unwrap();
        put(&mut registry, &registration, 0.0);
    }
    let marked = |registry: &Registry, key: &str, value: &str| {
        let pools = &registry.store.pools;
        let facet = pools.find_key(key).and_then(|key| pools.find_facet(key, value)).and_then(|facet| pools.facets.get(facet)).unwrap();
        let slots = |marks: &facet::Marks| (0..registry.store.bound()).filter(|slot| marks.has(*slot)).count();
        (facet.records, facet.marks.as_ref().map(slots))
    };
    let restored = Registry::restore(&registry.snapshot(), Config::default(), at(0.0)).unwrap();
    for registry in [&registry, &restored] {
        assert_eq!((marked(registry, "env", "prod"), marked(registry, "build", "b1")), ((256, Some(256)), (100, None)));
    }
    // One that is full has others in it as soon as they come, and not those that say something else.
    put(&mut registry, &Registration::new("s", "i000").metadata([("build", "b1")]).unwrap(), 0.0);
    registry.deregister("default", "s", "i001", None, at(0.0)).unwrap();
    put(&mut registry, &Registration::new("s", "z").metadata([("env", "prod")]).unwrap(), 0.0);
    assert_eq!((marked(&registry, "env", "prod"), marked(&registry, "build", "b1")), ((255, Some(255)), (99, None)));
}

#[test]
fn lists_of_members_have_little_room_to_spare() {
    let mut registry = registry();
    let room = |registry: &Registry| {
        let service = registry.store.services.find("default", "s").and_then(|number| registry.store.services.get(number)).unwrap();
        (service.members.len(), service.members.capacity())
    };
    let mut sizes = Vec::new();
    for n in 0..1_000 {
        put(&mut registry, &Registration::new("s", format!("i{n:03}")), 0.0);
        let (members, room) = room(&registry);
        assert!(room <= members + members / 4 + 4, "{members} {room}");
        sizes.push(room);
    }
    // Nor are they moved with each member that comes.
    sizes.dedup();
    assert!(sizes.len() < 50, "{}", sizes.len());
    for n in 0..999 {
        registry.deregister("default", "s", &format!("i{n:03}"), None, at(0.0)).unwrap();
        let (members, room) = room(&registry);
        assert!(room <= members * 4, "{members} {room}");
    }
}

#[test]
fn what_changes_of_an_instance_leaves_nothing() {
    let mut registry = registry();
    let mut peak = 0;
    for n in 0..20_000u64 {
        let scheme = ["http", "grpc", "tcp"][n as usize % 3];
        let registration = leased("a", 30, 0).endpoint(&format!("{scheme}://10.0.0.1:80")).unwrap().incarnation(2 * n);
        let secs = n as f64 / 1_000.0;
        put(&mut registry, &registration, secs);
        put(&mut registry, &registration, secs);
        registry.renew("default", "s", "a", 2 * n + 1, at(secs)).unwrap();
        peak = peak.max(registry.stats().bytes);
    }
    assert_eq!(registry.store.pools.kinds.len(), 1);
    assert!(peak < 250_000, "{peak}");
    registry.deregister("default", "s", "a", None, at(20.0)).unwrap();
    assert_eq!(registry.store.pools.kinds.len(), 0);
}

#[test]
fn an_explanation_names_so_many_and_counts_the_others() {
    let mut registry = registry();
    for n in 0..explain::NAMED + 2 {
        put(&mut registry, &Registration::new("s", format!("i{n:03}")), 0.0);
    }
    let told = registry.explain(&Query::service("s").zone("z")).unwrap();
    assert_eq!((told.rungs[0].failed.len(), told.rungs[0].more), (explain::NAMED, 2));
}
