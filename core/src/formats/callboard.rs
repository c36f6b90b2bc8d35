//! Another callboard: the answer of `GET /v1/instances/{namespace}/{service}` of its HTTP API.
//!
//! A follower asks with the `epoch` and `revision` of the answer before, and `wait`; it feeds each answer as it comes. An instance keeps what it says of
//! itself, save its lease, which is the other registry's to watch: one that is suspect there is degraded here. The operator's word there becomes the
//! operator's word here, with the reason `told by SOURCE`, unless there is one of this registry's own.
//!
//! An answer that is `continued` follows from the one before in one life of that registry. Who is missing in it has left, for certain. One that is not may come
//! from a registry that has lost its memory, and the last-good rule decides.

use alloc::string::ToString as _;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry};
use crate::error::{Code, Error};
use crate::model::{AdminState, Health, REGISTRATION_FIELDS, Registration};
use crate::registry::Extent;
use crate::value::Value;

/// What of a registration is the other registry's affair. All that is no part of one is ignored: a newer registry may say more.
const THEIRS: &[&str] = &["namespace", "ttl", "grace"];

/// Reads the answer of a query.
///
/// # Errors
/// [`Code::Malformed`] when it has no list of instances, and those of the document.
pub(super) fn answer(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    let instances = root.get("instances").filter(|instances| instances.is_list());
    let instances = instances.ok_or_else(|| Error::new(Code::Malformed, "instances").message("expected a list of instances"))?;
    let mut decoded = Decoded::default();
    for (index, instance) in instances.items().enumerate() {
        let name = |key| instance.get(key).and_then(Node::as_str).unwrap_or_default().to_string();
        decoded.take(index, entry(instance, context.namespace), || (name("service"), name("id")));
    }
    // Of an entry that cannot be read it is not certain whom it names.
    let continued = root.get("continued").and_then(Node::truth).unwrap_or(false);
    if continued && decoded.skipped.is_empty() {
        decoded.extent = Extent::Certain;
    }
    let number = |key| root.get(key).and_then(Node::whole);
    decoded.cursor = number("epoch").zip(number("revision")).map(|(epoch, revision)| alloc::format!("epoch={epoch}&revision={revision}"));
    Ok(decoded)
}

fn entry(instance: Node<'_>, namespace: &str) -> Result<Entry, Error> {
    if !instance.is_map() {
        return Err(Error::new(Code::InvalidArgument, "instance").message("expected a map"));
    }
    let ours = |key: &str| REGISTRATION_FIELDS.contains(&key) && !THEIRS.contains(&key);
    let own = instance.pairs().filter(|(key, _)| ours(key)).map(|(key, node)| (key, node.to_value()));
    let mut registration = Registration::from_value(&Value::map(own.chain([("namespace", namespace.into())])))?;
    let suspect = instance.get("lease").and_then(Node::as_str) == Some("suspect");
    if suspect && matches!(registration.health, Health::Healthy | Health::Unknown) {
        registration.health = Health::Degraded;
    }
    let state = instance.path(&["admin", "state"]).and_then(Node::as_str);
    let admin = state.map_or(Ok(AdminState::Enabled), AdminState::parse)?;
    Ok(Entry { admin, ..Entry::new(0, registration) })
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use core::time::Duration;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;
    use crate::Timestamp;
    use crate::formats::{Feed, FeedConfig, Format};
    use crate::model::Availability;
    use crate::model::Override;
    use crate::query::{HealthFilter, Query};
    use crate::registry::{Config, Put, Registry};
    use crate::serve::{self, Reply, Request};

    /// One question and what its answer makes of the follower's registry: ids with their availability.
    fn follow(server: &mut Registry, local: &mut Registry, query: &str, now: Timestamp) -> Vec<(String, Availability)> {
        let request = Request { method: "GET", path: "/v1/instances/default/web", query, ..Request::default() };
        let Reply::Response(response) = serve::Server::default().handle(server, &request, now) else { panic!() };
        let mut feed = Feed::new(FeedConfig::new("board", Format::Callboard).service("web")).unwrap();
        feed.take(local, &response.body, now).unwrap();
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
        let mut feed = Feed::new(FeedConfig::new("board", Format::Callboard).service("web")).unwrap();
        let mut push = |list: &str| {
            let body = format!(r#"{{"instances":[{list}],"continued":true,"colour":1}}"#);
            let outcome = feed.take(&mut local, body.as_bytes(), Timestamp::ZERO).unwrap();
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
