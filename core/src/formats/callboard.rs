//! Another callboard: the answer of `GET /v1/instances/{namespace}/{service}` of its HTTP API.
//!
//! A follower asks with the `epoch` and `revision` of the answer before, and `wait`; it feeds each answer as it comes. An instance keeps what it says of
//! itself, save its lease, which is the other registry's to watch: one that is suspect there is degraded here. The operator's word there becomes the
//! operator's word here, with the reason `told by SOURCE`, unless there is one of this registry's own.
//!
//! An answer that is `continued` follows from the one before in one life of that registry. Who is missing in it has left, for certain. One that is not may come
//! from a registry that has lost its memory, and the last-good rule decides.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::Decoded;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Health, Override, REGISTRATION_FIELDS, Registration};
use crate::query::{HealthFilter, Query};
use crate::registry::{Registry, Skipped};
use crate::time::Timestamp;
use crate::value::Value;

/// What of a registration is the other registry's affair. All that is no part of one is ignored: a newer registry may say more.
const THEIRS: &[&str] = &["namespace", "ttl", "grace"];

/// Reads the answer of a query.
///
/// # Errors
/// [`Code::Malformed`] when it has no list of instances, and those of [`Value::from_json`].
pub(super) fn answer(bytes: &[u8], namespace: &str) -> Result<Decoded, Error> {
    let document = Value::from_json(bytes)?;
    let instances = document.get("instances").and_then(Value::as_list);
    let instances = instances.ok_or_else(|| Error::new(Code::Malformed, "instances").message("expected a list of instances"))?;
    let mut decoded = Decoded::default();
    for (index, instance) in instances.iter().enumerate() {
        let name = |key| instance.get(key).and_then(Value::as_str).unwrap_or_default().chars().take(limits::ID_BYTES).collect::<String>();
        match entry(instance, namespace) {
            Ok((registration, state)) => {
                decoded.admin.push((registration.service.clone(), registration.id.clone(), state));
                decoded.instances.push(registration);
            }
            Err(error) => {
                decoded.skipped.push(Skipped { index, id: name("id"), error });
                decoded.kept.push((name("service"), name("id")));
            }
        }
    }
    // Of an entry that cannot be read it is not certain whom it names.
    let continued = document.get("continued").and_then(Value::as_bool).unwrap_or(false);
    decoded.complete = continued && decoded.skipped.is_empty();
    Ok(decoded)
}

fn entry(instance: &Value, namespace: &str) -> Result<(Registration, AdminState), Error> {
    let Value::Map(pairs) = instance else { return Err(Error::new(Code::InvalidArgument, "instance").message("expected a map")) };
    let ours = |key: &str| REGISTRATION_FIELDS.contains(&key) && !THEIRS.contains(&key);
    let own = pairs.iter().filter(|(key, _)| ours(key)).cloned();
    let mut registration = Registration::from_value(&Value::map(own.chain([("namespace".to_string(), namespace.into())])))?;
    let suspect = instance.get("lease").and_then(Value::as_str) == Some("suspect");
    if suspect && matches!(registration.health, Health::Healthy | Health::Unknown) {
        registration.health = Health::Degraded;
    }
    let state = instance.get("admin").and_then(|admin| admin.get("state")).and_then(Value::as_str);
    Ok((registration, state.map_or(Ok(AdminState::Enabled), AdminState::parse)?))
}

/// The records of a source that a complete answer does not name.
pub(super) fn departed(registry: &Registry, source: &str, namespace: &str, service: &str, decoded: &Decoded) -> Vec<(String, String)> {
    let all = Query::service(service).namespace(namespace).health(HealthFilter::Any);
    let named: BTreeSet<&str> = decoded.instances.iter().map(|instance| instance.id.as_str()).collect();
    let records = registry.query(&all).handles.into_iter().filter_map(|handle| registry.instance(handle));
    let gone = records.filter(|instance| instance.source == source && !named.contains(instance.registration.id.as_str()));
    gone.map(|instance| (instance.registration.service, instance.registration.id)).collect()
}

/// Lets the operator's word here be what it is there, save where there is one of our own. Tells what could not be taken over.
pub(super) fn obey(registry: &mut Registry, source: &str, namespace: &str, decoded: &Decoded, now: Timestamp) -> Vec<Skipped> {
    let reason: String = alloc::format!("told by {source}").chars().take(limits::REASON_BYTES).collect();
    let mut skipped = Vec::new();
    for (index, (service, id, state)) in decoded.admin.iter().enumerate() {
        let Some(instance) = registry.lookup(namespace, service, id).and_then(|handle| registry.instance(handle)) else { continue };
        let ours = instance.admin.as_ref().is_some_and(|own| own.reason != reason);
        if instance.source == source && !ours && instance.admin_state() != *state {
            let word = Override { state: *state, until: None, reason: reason.clone() };
            let word = (*state != AdminState::Enabled).then_some(word);
            if let Err(error) = registry.set_admin(namespace, service, id, word, now) {
                skipped.push(Skipped { index, id: id.clone(), error });
            }
        }
    }
    skipped
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use core::time::Duration;
    use std::format;
    use std::vec::Vec;

    use super::*;
    use crate::formats::{Feed, Format};
    use crate::model::Availability;
    use crate::registry::{Config, Put};
    use crate::serve::{Reply, Request, rest};

    /// One question and what its answer makes of the follower's registry: ids with their availability.
    fn follow(server: &mut Registry, local: &mut Registry, query: &str, now: Timestamp) -> Vec<(String, Availability)> {
        let request = Request { method: "GET", path: "/v1/instances/default/web", query, body: b"" };
        let Reply::Response(response) = rest::handle(server, &request, now) else { panic!() };
        let feed = Feed { source: "board".into(), format: Format::Callboard, namespace: "default".into(), service: Some("web".into()) };
        feed.push(local, &response.body, now).unwrap();
        let all = Query::service("web").health(HealthFilter::Any);
        let seen = local.query(&all).handles.into_iter().map(|handle| local.instance(handle).unwrap());
        seen.map(|instance| (instance.registration.id.clone(), instance.availability())).collect()
    }

    #[test]
    fn a_follower_is_what_it_follows() {
        let (mut server, mut local) = (Registry::new(Config::default()).unwrap(), Registry::new(Config::default()).unwrap());
        let at = Timestamp::from_secs;
        for id in ["a", "b", "c"] {
            let lease = |r: Registration| r.lease(Duration::from_secs(10), Duration::from_secs(10)).unwrap();
            server.register(&lease(Registration::new("web", id).endpoint("http://10.0.0.1:80").unwrap()), Put::default(), at(0)).unwrap();
        }
        let all = follow(&mut server, &mut local, "", at(0));
        assert_eq!(all.len(), 3);
        let drain = Override { state: AdminState::Draining, until: None, reason: String::new() };
        server.set_admin("default", "web", "a", Some(drain), at(1)).unwrap();
        for id in ["a", "c"] {
            server.renew("default", "web", id, 0, at(9)).unwrap();
        }
        server.advance(at(10));
        let seen = follow(&mut server, &mut local, &format!("epoch=1&revision={}", 3), at(10));
        let [a, b, c] = ["a", "b", "c"].map(String::from);
        assert_eq!(seen, [(a, Availability::Draining), (b, Availability::Degraded), (c.clone(), Availability::Available)]);
        // All but one leave: in one life of the server that is believed at once.
        server.set_admin("default", "web", "a", None, at(11)).unwrap();
        server.deregister("default", "web", "a", None, at(11)).unwrap();
        server.deregister("default", "web", "b", None, at(11)).unwrap();
        assert_eq!(follow(&mut server, &mut local, "epoch=1&revision=4", at(11)), [(c, Availability::Available)]);
        // An empty answer of another life is not.
        let mut reborn = Registry::new(Config { epoch: 9, ..Config::default() }).unwrap();
        assert_eq!(follow(&mut reborn, &mut local, "epoch=1&revision=4", at(12)).len(), 1);
        server.deregister("default", "web", "c", None, at(13)).unwrap();
        assert_eq!(follow(&mut server, &mut local, "epoch=1&revision=7", at(13)), []);
    }

    /// A newer registry may say more of an instance, and an entry that cannot be read may be any of those that are missing.
    #[test]
    fn what_is_not_understood_removes_nobody() {
        let mut local = Registry::new(Config::default()).unwrap();
        let feed = Feed { source: "board".into(), format: Format::Callboard, namespace: "default".into(), service: Some("web".into()) };
        let mut push = |list: &str| {
            let body = format!(r#"{{"instances":[{list}],"continued":true,"colour":1}}"#);
            let outcome = feed.push(&mut local, body.as_bytes(), Timestamp::ZERO).unwrap();
            (outcome.added, outcome.removed, outcome.held, outcome.skipped.len())
        };
        let one = |id: &str| format!(r#"{{"service":"web","id":"{id}","shade":{{"x":1}},"ttl":"?"}}"#);
        assert_eq!(push(&[one("a"), one("b"), one("c")].join(",")), (3, 0, 0, 0));
        assert_eq!(push(&[one("a"), "null".into()].join(",")), (0, 0, 2, 1));
        assert_eq!(push(&[one("a"), r#"{"service":"web","id":"b","weight":-1}"#.into()].join(",")), (0, 1, 0, 1));
        assert_eq!(push(&one("a")), (0, 1, 0, 0));
        assert_eq!(push(""), (0, 1, 0, 0));
    }

    #[test]
    fn a_word_of_our_own_stands() {
        let (mut server, mut local) = (Registry::new(Config::default()).unwrap(), Registry::new(Config::default()).unwrap());
        server.register(&Registration::new("web", "a"), Put::default(), Timestamp::ZERO).unwrap();
        let own = Override { state: AdminState::Disabled, until: None, reason: "ours".into() };
        local.set_admin("default", "web", "a", Some(own), Timestamp::ZERO).unwrap();
        assert_eq!(follow(&mut server, &mut local, "", Timestamp::ZERO)[0].1, Availability::Unavailable);
    }
}
