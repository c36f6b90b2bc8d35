//! Requests that ask for instances by labels.

use super::*;
use crate::model::{Health, Registration};
use crate::registry::{Config, Put, Registry};
use crate::rng::Rng;
use crate::value::Value;

fn policy(name: &str, labels: &str) -> Policy {
    let mut policy = Policy::named(name).unwrap();
    policy.before.sticky = Some(Sticky::default());
    policy.before.labels = Some(Labels::from_value(&Value::from_json(labels.as_bytes()).unwrap()).unwrap());
    policy
}

fn register(registry: &mut Registry, id: &str, team: &str, health: Health) {
    let mut registration = Registration::new("s", id).metadata([("team", team)]).unwrap();
    registration.health = health;
    registry.register(&registration, Put::default(), at(0)).unwrap();
}

/// A life of changes, picks and outcomes under a policy, in which nobody gets a call that asked for others.
fn life(name: &str) -> Balancer {
    let policy = policy(name, r#"{"selectors": [["team"]], "keep": 2}"#);
    let mut registry = Registry::new(Config::default()).unwrap();
    let mut balancer = Balancer::new(Query::service("s"), policy, Options { trace: 10_000, ..Options::seeded(2) }).unwrap();
    let mut rng = Rng::new(9);
    let mut open = vec![];
    for step in 0..200u64 {
        let (id, team) = (rng.below(20).to_string(), rng.below(4).to_string());
        match rng.below(6) {
            0 => register(&mut registry, &id, &team, if rng.below(4) == 0 { Health::Unhealthy } else { Health::Healthy }),
            1 if !open.is_empty() => {
                let token = open.swap_remove(rng.below(open.len() as u32) as usize);
                balancer.finish(token, Outcome::new(rng.below(3) > 0, None), at(step));
            }
            _ => {
                balancer.follow(&registry);
                let labels = [("team", team.as_str())];
                let request = Request {
                    key: Some(id.as_bytes()),
                    labels: &labels,
                    prefer: if step % 3 == 0 { &["3", "7"] } else { &[] },
                    ..Request::default()
                };
                let told = balancer.explain(&request, at(step)).choice;
                let pick = balancer.pick(&request, at(step));
                assert_eq!(told.as_ref().ok(), pick.as_ref().ok().map(|pick| &pick.handle), "{name} {step}");
                if let Ok(pick) = pick {
                    assert_eq!(registry.registration(pick.handle).unwrap().metadata.get("team"), Some(team.as_str()), "{name}");
                    open.push(pick.token);
                }
            }
        }
    }
    balancer
}

#[test]
fn a_group_has_its_calls_under_every_policy() {
    for name in Policy::presets() {
        let trace = life(name).trace().unwrap();
        let replay = Balancer::replay(&trace).unwrap();
        assert!(replay.picks > 80 && replay.difference.is_none(), "{name} {replay:?}");
    }
}

#[test]
fn who_lacks_the_labels_is_left_out_for_it() {
    let mut registry = Registry::new(Config::default()).unwrap();
    for (id, team) in [("a", "x"), ("b", "y"), ("c", "x")] {
        register(&mut registry, id, team, Health::Healthy);
    }
    let mut balancer = Balancer::new(Query::service("s"), policy("first", r#"{"selectors": [["team"]]}"#), Options::default()).unwrap();
    balancer.follow(&registry);
    let told = balancer.explain(&Request { labels: &[("team", "x")], ..Request::default() }, at(1));
    assert_eq!(told.left_out.iter().map(|one| (&*one.id, one.reason)).collect::<Vec<_>>(), [("b", "labels")]);
    let told = balancer.explain(&Request { labels: &[("team", "z")], ..Request::default() }, at(1));
    assert_eq!(told.choice.unwrap_err().field(), "labels");
    assert_eq!(told.left_out.len(), 3);
}
