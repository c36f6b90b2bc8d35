//! Among whom a pick is made: levels, panic, localities.

use super::*;
use crate::model::{AdminState, Health, Locality, Override, Registration, Weight};
use crate::registry::{Config, Put, Registry};

/// A registry of instances of the service `s`, and a balancer that follows it.
struct World {
    registry: Registry,
    balancer: Balancer,
}

impl World {
    fn new(policy: Policy) -> Self {
        let balancer = Balancer::new(Query::service("s"), policy, Options::seeded(1)).unwrap();
        Self { registry: Registry::new(Config::default()).unwrap(), balancer }
    }

    fn put(&mut self, id: &str, level: u8, zone: &str, health: Health) {
        let mut registration = Registration::new("s", id).metadata([("priority", level.to_string())]).unwrap();
        registration.locality = Locality { zone: zone.into(), ..Locality::default() };
        registration.health = health;
        self.registry.register(&registration, Put::default(), at(0)).unwrap();
    }

    /// How many of so many picks go to ids that begin like this, each finished at once.
    fn count(&mut self, picks: u32, prefixes: &[&str]) -> Vec<u32> {
        self.balancer.follow(&self.registry);
        let mut counts = vec![0; prefixes.len()];
        for number in 0..picks {
            let key = number.to_string();
            let pick = self.balancer.pick(&Request::keyed(key.as_bytes()), at(1)).unwrap();
            let id = self.registry.registration(pick.handle).unwrap().id;
            for (count, prefix) in counts.iter_mut().zip(prefixes) {
                *count += u32::from(id.starts_with(prefix));
            }
            self.balancer.finish(pick.token, Outcome::success(Duration::from_millis(1)), at(1));
        }
        counts
    }
}

fn near(count: u32, expected: u32) -> bool {
    count.abs_diff(expected) < 150
}

fn levels(name: &str) -> Policy {
    let mut policy = Policy::named(name).unwrap();
    policy.before.levels = Some(Levels::default());
    policy
}

#[test]
fn a_level_is_a_reserve_under_every_policy() {
    // First stays with one instance of a level; that is what it is for.
    for name in Policy::presets() {
        let mut world = World::new(levels(name));
        for place in 0..10 {
            world.put(&format!("a{place}"), 0, "", Health::Healthy);
            world.put(&format!("b{place}"), 3, "", Health::Healthy);
        }
        assert_eq!(world.count(200, &["a", "b"]), [200, 0], "{name}");
        for place in 0..5 {
            world.put(&format!("a{place}"), 0, "", Health::Unhealthy);
        }
        let counts = world.count(4_000, &["a", "b", "a0"]);
        assert!(near(counts[0], 2_800) && near(counts[1], 1_200) && counts[2] == 0, "{name} {counts:?}");
        for place in 5..10 {
            world.put(&format!("a{place}"), 0, "", Health::Degraded);
        }
        assert_eq!(world.count(200, &["a", "b"]), [0, 200], "{name}");
    }
}

#[test]
fn a_panic_spares_none_but_the_disabled_and_those_without_weight() {
    let mut world = World::new(levels("random"));
    world.put("a0", 0, "", Health::Healthy);
    for id in ["a1", "a2", "a3"] {
        world.put(id, 0, "", Health::Unhealthy);
    }
    world.put("b0", 1, "", Health::Healthy);
    for id in ["b1", "b2", "b3", "b4"] {
        world.put(id, 1, "", Health::Unhealthy);
    }
    // A quarter and a fifth are well: both levels panic, and are given what they have of all instances.
    let counts = world.count(4_000, &["a", "b", "a3", "b4"]);
    assert!(near(counts[0], 1_800) && near(counts[1], 2_200) && near(counts[2], 450) && near(counts[3], 440), "{counts:?}");
    let disabled = Override { state: AdminState::Disabled, until: None, reason: "".into() };
    world.registry.set_admin("default", "s", "b4", Some(disabled), at(0)).unwrap();
    let mut light = Registration::new("s", "a3");
    (light.weight, light.health) = (Weight::from_thousandths(0).unwrap(), Health::Unhealthy);
    world.registry.register(&light, Put::default(), at(0)).unwrap();
    let counts = world.count(1_000, &["a3", "b4", "b3"]);
    assert!(counts[0] == 0 && counts[1] == 0 && counts[2] > 100, "{counts:?}");
    // Well again, one after the other, and the panic is over.
    for id in ["a1", "a2"] {
        world.put(id, 0, "", Health::Healthy);
    }
    assert_eq!(world.count(300, &["a"]), [300]);
}

#[test]
fn traffic_stays_near_for_keys_too() {
    for name in ["random", "rendezvous", "round-robin", "adaptive"] {
        let mut policy = Policy::named(name).unwrap();
        policy.before.localities = Some(Localities { local: "a".into(), ..Localities::default() });
        let mut world = World::new(policy);
        for (zone, count) in [("a", 2), ("b", 5), ("c", 5)] {
            for place in 0..count {
                world.put(&format!("{zone}{place}"), 0, zone, Health::Healthy);
            }
        }
        // A sixth of the instances, a third of the clients: half stays.
        let counts = world.count(4_000, &["a", "b", "c"]);
        assert!(near(counts[0], 2_000) && near(counts[1], 1_000) && near(counts[2], 1_000), "{name} {counts:?}");
        // One of the two here is ill: a quarter stays.
        world.put("a0", 0, "a", Health::Unhealthy);
        let counts = world.count(4_000, &["a", "b", "a0"]);
        assert!(near(counts[0], 1_090) && counts[2] == 0, "{name} {counts:?}");
    }
}

#[test]
fn an_exclusion_walks_on() {
    let mut policy = levels("round-robin");
    policy.before.localities = Some(Localities::default());
    let mut world = World::new(policy);
    world.put("a", 0, "z1", Health::Healthy);
    world.put("b", 0, "z2", Health::Healthy);
    world.put("c", 1, "z1", Health::Healthy);
    world.put("d", 1, "z1", Health::Unhealthy);
    world.balancer.follow(&world.registry);
    let mut tried = vec![];
    for _ in 0..3 {
        let pick = world.balancer.pick(&Request::excluding(&tried), at(1)).unwrap();
        assert!(!tried.contains(&pick.handle));
        tried.push(pick.handle);
    }
    let last = world.registry.registration(tried[2]).unwrap().id;
    assert_eq!(last, "c");
    let error = world.balancer.pick(&Request::excluding(&tried), at(1)).unwrap_err();
    assert_eq!(error.code(), Code::AllExcluded);
}

#[test]
fn a_trace_keeps_levels_and_localities() {
    let mut policy = levels("random");
    policy.before.localities = Some(Localities { local: "z0".into(), min_instances: 1, ..Localities::default() });
    policy.before.slow_start = Some(SlowStart { window: Duration::from_millis(40), ..SlowStart::default() });
    policy.before.subset = Some(Subset { size: 9, ..Subset::default() });
    let options = Options { trace: 10_000, ..Options::seeded(4) };
    let mut world = World::new(policy.clone());
    world.balancer = Balancer::new(Query::service("s"), policy, options).unwrap();
    let healths = [Health::Healthy, Health::Unhealthy, Health::Starting, Health::Degraded];
    for step in 0..300usize {
        let id = format!("i{}", step % 23);
        world.put(&id, (step % 3) as u8, &format!("z{}", step % 2), healths[step * step % 4]);
        world.balancer.follow(&world.registry);
        let _ = world.balancer.pick(&Request::default(), Timestamp::from_millis(step as u64));
    }
    let replay = Balancer::replay(&world.balancer.trace().unwrap()).unwrap();
    assert_eq!((replay.picks, replay.same), (300, 300), "{replay:?}");
}

#[test]
fn a_new_instance_is_spared_under_every_policy() {
    for name in ["random", "round-robin", "least-request", "rendezvous", "envoy.round-robin", "grpc.weighted-round-robin"] {
        let mut policy = Policy::named(name).unwrap();
        policy.before.slow_start = Some(SlowStart { window: Duration::from_secs(1_000), ..SlowStart::default() });
        let mut world = World::new(policy);
        for place in 0..4 {
            world.put(&format!("a{place}"), 0, "", Health::Healthy);
        }
        world.count(1, &[]);
        // The fleet is new.
        world.put("a4", 0, "", Health::Healthy);
        let counts = world.count(2_000, &["a4"]);
        assert!(near(counts[0], 400), "{name} {counts:?}");
        let share = |world: &mut World, secs: u64| {
            world.balancer.follow(&world.registry);
            let pick = world.balancer.pick(&Request::default(), at(secs)).unwrap();
            world.balancer.finish(pick.token, Outcome::success(Duration::from_millis(1)), at(secs));
            world.count(4_000, &["b"])[0]
        };
        share(&mut world, 1_001);
        world.put("b", 0, "", Health::Healthy);
        for (secs, expected) in [(2_000, 78), (2_500, 363), (3_000, 667), (4_000, 667)] {
            let count = share(&mut world, secs);
            assert!(count.abs_diff(expected) < 100, "{name} {secs} {count}");
        }
        // One that was ill is cold again.
        world.put("b", 0, "", Health::Unhealthy);
        world.count(1, &[]);
        world.put("b", 0, "", Health::Healthy);
        let count = share(&mut world, 4_000);
        assert!(count.abs_diff(78) < 60, "{name} {count}");
    }
}

#[test]
fn a_client_uses_its_subset_only() {
    for kind in [SubsetKind::Random, SubsetKind::Ring, SubsetKind::Aperture] {
        let mut used = BTreeMap::<String, u32>::new();
        for client in 0..10 {
            let mut policy = Policy::named("random").unwrap();
            policy.before.subset = Some(Subset { kind, size: 4, client, clients: 10, seed: client.into() });
            let mut world = World::new(policy);
            for place in 0..20 {
                world.put(&format!("b{place}"), 0, "", Health::Healthy);
            }
            world.balancer.follow(&world.registry);
            let mut mine = std::collections::BTreeSet::new();
            for _ in 0..500 {
                let pick = world.balancer.pick(&Request::default(), at(1)).unwrap();
                mine.insert(world.registry.registration(pick.handle).unwrap().id);
            }
            assert_eq!(mine.len(), 4, "{kind:?}");
            let told = world.balancer.explain(&Request::default(), at(1));
            assert_eq!(told.left_out.iter().filter(|one| one.reason == "outside").count(), 16);
            // One that leaves is replaced; one that is ill is not.
            let gone = mine.first().unwrap().clone();
            world.registry.deregister("default", "s", &gone, None, at(1)).unwrap();
            world.balancer.follow(&world.registry);
            let told = world.balancer.explain(&Request::default(), at(1));
            assert!((4..=7).contains(&told.eligible), "{kind:?} {}", told.eligible);
            mine.into_iter().for_each(|id| *used.entry(id).or_default() += 1);
        }
        // A ring is even when there are as many as a power of two.
        let most = if kind == SubsetKind::Aperture { 2..=2 } else { 1..=3 };
        if kind != SubsetKind::Random {
            assert!(used.len() == 20 && used.values().all(|count| most.contains(count)), "{kind:?} {used:?}");
        }
    }
}

#[test]
fn an_explanation_tells_reserves_and_panic() {
    let mut world = World::new(levels("random"));
    for (id, level, health) in [("a", 0, Health::Healthy), ("b", 0, Health::Unhealthy), ("c", 1, Health::Healthy)] {
        world.put(id, level, "", health);
    }
    let told = |world: &mut World| {
        world.balancer.follow(&world.registry);
        let told = world.balancer.explain(&Request::default(), at(1));
        told.left_out.iter().map(|one| format!("{} {}", one.id, one.reason)).collect::<Vec<_>>()
    };
    // Half is well: seven tenths stay, the rest goes to the reserve.
    assert_eq!(told(&mut world), ["b unavailable"]);
    world.put("b", 0, "", Health::Healthy);
    assert_eq!(told(&mut world), ["c reserve"]);
    for id in ["a", "b", "c"] {
        world.put(id, 0, "", Health::Unhealthy);
    }
    assert_eq!(told(&mut world), Vec::<String>::new());
}

#[test]
fn who_joins_a_ring_has_its_bound_too() {
    for name in ["ring-hash", "ketama"] {
        let document = format!("{{\"preset\": \"{name}\", \"pick\": {{\"kind\": \"{name}\", \"load_factor\": 1.25}}}}");
        let policy = Policy::from_value(&Value::from_json(document.as_bytes()).unwrap()).unwrap();
        let mut balancer = Balancer::new(Query::service("s"), policy, Options::seeded(1)).unwrap();
        let mut stage = Stage::default();
        (0..16).for_each(|id| _ = stage.put(&mut balancer, &format!("b{id}"), 1_000, Available));
        balancer.pick(&Request::keyed(b"first"), at(0)).unwrap();
        let last = stage.put(&mut balancer, "b16", 1_000, Available);
        // Calls of few keys that stay: 1.25 times the even share is 12.5, and one more is let in below it.
        let mut counts = BTreeMap::<Handle, u32>::new();
        for call in 0..169u32 {
            let pick = balancer.pick(&Request::keyed(&(call % 40).to_le_bytes()), at(0)).unwrap();
            *counts.entry(pick.handle).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count <= 14), "{name}: {counts:?}");
        assert!(counts.get(&last).is_some_and(|count| *count >= 5), "{name}: {counts:?}");
    }
}
