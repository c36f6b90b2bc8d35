//! Replays a recording of the demo (`cargo xtask demo` says what is in it) and prints what each policy chose.

use std::collections::HashMap;

use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::query::Query;
use callboard::registry::{Config, Registry};
use callboard::{Error, Timestamp, Value};
use consumer_rust::Follower;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: replay RECORDING")?;
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines().map(|line| Value::from_json(line.as_bytes()));
    let header = lines.next().ok_or("the recording is empty")??;
    let events = lines.collect::<Result<Vec<_>, _>>()?;
    for policy in header.get("policies").and_then(Value::as_list).unwrap_or_default() {
        let name = policy.as_str().unwrap_or_default();
        let picks = replay(&header, &events, Policy::named(name)?)?;
        println!("{}", serde_json::json!({ "policy": name, "picks": picks }));
    }
    Ok(())
}

fn replay(header: &Value, events: &[Value], policy: Policy) -> Result<Vec<String>, Error> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (seed, namespace, service) = (number(header, "seed"), text(header, "namespace"), text(header, "service"));

    let mut registry = Registry::new(Config { seed, allow_local_addresses: true, ..Config::default() })?;
    let mut balancer = Balancer::new(Query::service(&service).namespace(&namespace), policy, Options { seed, ..Options::default() })?;
    let mut follower = Follower::new(&text(header, "source"), &namespace, &service)?;
    let (mut picks, mut running) = (Vec::new(), HashMap::new());
    for event in events {
        let now = Timestamp::from_micros(number(event, "at"))?;
        match text(event, "do").as_str() {
            "feed" => {
                follower.push(&mut registry, &event.get("answer").unwrap_or(&Value::Null).to_json(), now)?;
            }
            "pick" => {
                balancer.follow(&registry);
                match balancer.pick(&Request::keyed(text(event, "key").as_bytes()), now) {
                    Ok(pick) => {
                        running.insert(number(event, "call"), pick.token);
                        picks.push(registry.instance(pick.handle).map_or_else(String::new, |instance| instance.registration.id));
                    }
                    Err(error) => picks.push(error.code().to_string()),
                }
            }
            _ => {
                if let Some(token) = running.remove(&number(event, "call")) {
                    let ok = event.get("ok").and_then(Value::as_bool).unwrap_or(false);
                    balancer.finish(token, Outcome::new(ok, None), now);
                }
            }
        }
    }
    Ok(picks)
}
