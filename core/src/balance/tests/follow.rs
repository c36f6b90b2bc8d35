//! The balancer on top of a registry.

use super::*;
use crate::model::{AdminState, Health, Override, Registration, Weight};
use crate::registry::Registry;
use crate::registry::{Config, Put};

fn registered(registry: &mut Registry, service: &str, id: &str, weight: f64) -> Handle {
    let mut registration = Registration::new(service, id);
    registration.weight = Weight::new(weight).unwrap();
    registry.register(&registration, Put::default(), at(0)).unwrap().handle
}

#[test]
fn a_registry_is_followed() {
    let mut registry = Registry::new(Config::default()).unwrap();
    let mut balancer = balancer("round-robin", 0);
    assert!(balancer.follow(&registry) && !balancer.follow(&registry));
    assert_eq!(balancer.pick(&Request::default(), at(0)).unwrap_err().code(), Code::NoInstances);
    let a = registered(&mut registry, "s", "a", 2.0);
    let b = registered(&mut registry, "s", "b", 1.0);
    assert!(balancer.follow(&registry) && !balancer.follow(&registry));
    let picks = |balancer: &mut Balancer, count| -> Vec<Handle> {
        (0..count).map(|_| balancer.pick(&Request::default(), at(0)).unwrap().handle).collect()
    };
    assert_eq!(picks(&mut balancer, 3), [a, b, a]);
    registered(&mut registry, "another", "a", 1.0);
    assert!(!balancer.follow(&registry), "another service");

    // What cannot serve stays in view, so that the reason is known.
    registry.set_health("default", "s", "a", Health::Unhealthy, None, at(0)).unwrap();
    let drain = Override { state: AdminState::Draining, until: None, reason: String::new() };
    registry.set_admin("default", "s", "b", Some(drain), at(0)).unwrap();
    assert!(balancer.follow(&registry));
    assert_eq!((picks(&mut balancer, 2), balancer.len()), (vec![b, b], 2));
    registry.deregister("default", "s", "b", None, at(0)).unwrap();
    balancer.follow(&registry);
    assert_eq!(balancer.pick(&Request::default(), at(0)).unwrap_err().code(), Code::NoneAvailable);
    assert_eq!((balancer.len(), balancer.in_flight()), (1, 5));

    // Gone and back between two looks: another record under the same name.
    registry.deregister("default", "s", "a", None, at(0)).unwrap();
    let again = registered(&mut registry, "s", "a", 2.0);
    assert!(balancer.follow(&registry));
    assert_ne!(a, again);
    assert_eq!(picks(&mut balancer, 1), [again]);
    assert_eq!(balancer.stats().instances[0].in_flight, 3);
}

#[test]
fn a_restored_registry_is_followed() {
    let mut registry = Registry::new(Config::default()).unwrap();
    for id in ["a", "b", "c"] {
        registered(&mut registry, "s", id, 1.0);
    }
    let mut balancer = balancer("least-request", 0);
    balancer.follow(&registry);
    let tokens: Vec<u64> = (0..30).map(|_| balancer.pick(&Request::default(), at(0)).unwrap().token).collect();
    let bytes = registry.snapshot();
    let config = Config { epoch: 2, ..Config::default() };
    let mut registry = Registry::restore(&bytes, config, at(0)).unwrap();
    registry.deregister("default", "s", "b", None, at(0)).unwrap();
    let d = registered(&mut registry, "s", "d", 1.0);
    assert!(balancer.follow(&registry));
    let counts: Vec<u32> = balancer.stats().instances.iter().map(|one| one.in_flight).collect();
    assert_eq!(counts, [10, 10, 0]);
    for instance in balancer.stats().instances {
        assert_eq!(registry.lookup("default", "s", &instance.id), Some(instance.handle));
    }
    assert_eq!(balancer.pick(&Request::default(), at(0)).map(|pick| pick.handle), Ok(d));
    assert!(tokens.iter().all(|token| balancer.finish(*token, Outcome::default(), at(0))));
}

#[test]
fn a_limit_is_taken_at_its_word() {
    let mut registry = Registry::new(Config::default()).unwrap();
    for id in ["a", "b", "c"] {
        registered(&mut registry, "s", id, 1.0);
    }
    registry.set_health("default", "s", "a", Health::Unhealthy, None, at(0)).unwrap();
    let mut balancer = Balancer::new(Query::service("s").limit(1), Policy::named("first").unwrap(), Options::default()).unwrap();
    balancer.follow(&registry);
    let pick = balancer.pick(&Request::default(), at(0)).unwrap();
    assert_eq!((registry.lookup("default", "s", "b"), balancer.len()), (Some(pick.handle), 1));
}

#[test]
fn ids_of_several_services_are_apart() {
    let mut registry = Registry::new(Config::default()).unwrap();
    for service in ["s", "t"] {
        registered(&mut registry, service, "a", 1.0);
    }
    let mut balancer = Balancer::new(Query::everything(), Policy::named("rendezvous").unwrap(), Options::default()).unwrap();
    balancer.follow(&registry);
    let mut hits = [0; 2];
    for key in 0..1_000u32 {
        let pick = balancer.pick(&Request::keyed(&key.to_le_bytes()), at(0)).unwrap();
        hits[usize::from(registry.lookup("default", "t", "a") == Some(pick.handle))] += 1;
    }
    assert!(hits[0] > 400 && hits[1] > 400, "{hits:?}");
}

#[test]
fn documents_make_balancers() {
    let document = |policy: &str| {
        let query = Query::service("s").to_value();
        let options = Value::map([("seed", Value::from(7u64)), ("reap_after", 1.5.into())]);
        Value::map([("query", query), ("policy", policy.into()), ("options", options)])
    };
    for policy in Policy::presets() {
        let balancer = Balancer::from_value(&document(policy)).unwrap();
        assert_eq!((balancer.policy().name(), balancer.query()), (policy, &Query::service("s")));
        assert_eq!(balancer.options(), Options { seed: 7, reap_after: Duration::from_millis(1_500), trace: 0, explain: false });
    }
    assert_eq!(Balancer::from_value(&document("best")).unwrap_err().code(), Code::InvalidPolicy);
    assert_eq!(Balancer::from_value(&Value::map([("policy", Value::from("first"))])).unwrap_err().code(), Code::MissingField);
}
