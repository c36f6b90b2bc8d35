//! Reading the catalog and health, with long polls.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::write::{self, Place};
use super::{Call, Refusal, refuse, span, truth};
use crate::model::Instance;
use crate::registry::{Position, View};
use crate::serve::desk::{Desk, everybody};
use crate::serve::http::{Reply, Response};
use crate::serve::poll::is_unchanged;
use crate::serve::server::Server;
use crate::serve::{self, Wait};
use crate::time::Timestamp;
use crate::value::Value;

/// How long a long poll lasts when it does not say, and at most.
const WAIT: Duration = Duration::from_secs(300);
const WAIT_MOST: Duration = Duration::from_secs(600);

/// What is asked for.
#[derive(Clone, Debug)]
struct Asked {
    what: What,
    /// The service, node or state.
    name: String,
    /// Tags that all must be there.
    tags: Vec<String>,
    passing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Health,
    Service,
    Checks,
    Services,
    Nodes,
    Node,
    NodeChecks,
    State,
}

/// What a long poll waits for.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Watched {
    asked: Asked,
    pub(in crate::serve) view: Box<View>,
}

pub(super) fn health(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Health)
}

pub(super) fn service(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Service)
}

pub(super) fn checks(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Checks)
}

pub(super) fn services(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Services)
}

pub(super) fn nodes(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Nodes)
}

pub(super) fn node(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::Node)
}

pub(super) fn node_checks(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    read(call, What::NodeChecks)
}

pub(super) fn state(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.name(0) {
        "any" | "passing" | "warning" | "critical" => read(call, What::State),
        _ => refuse(400, "Invalid state: one of any, passing, warning, critical"),
    }
}

fn read(call: &mut Call<'_>, what: What) -> Result<Reply, Refusal> {
    let parameters = &call.parameters;
    if parameters.text("filter").is_some_and(|filter| !filter.is_empty()) {
        return refuse(400, "Failed to create boolean expression evaluator: filters are not served here");
    }
    let passing = match parameters.text("passing") {
        None => false,
        Some("") => true,
        Some(text) => truth(text).map_or_else(|| refuse(400, "Invalid value for ?passing"), Ok)?,
    };
    let tags = parameters.all("tag").map(String::from).collect();
    let asked = Asked { what, name: call.name(0).into(), tags, passing };
    let wait = match parameters.text("wait") {
        Some(text) if !text.is_empty() => span::parse("wait", text).map_err(|_| Refusal(400, "Invalid wait time".into()))?,
        _ => WAIT,
    };
    let wait = if wait.is_zero() { WAIT } else { wait.min(WAIT_MOST) };
    let index = match parameters.text("index") {
        Some(text) if !text.is_empty() => text.parse::<u64>().map_err(|_| Refusal(400, "Invalid index".into()))?,
        _ => 0,
    };
    let here = call.registry.position();
    // An index that is not from here is answered at once, with a lower one, from which clients start anew.
    if let Some(revision) = index.checked_sub(1).filter(|revision| *revision <= here.revision) {
        let query = everybody(&call.server.namespace, asked.service());
        if is_unchanged(&query, &call.registry, Position { revision, ..here }) {
            let mut view = View::new(query)?;
            call.registry.is_new_to(&mut view);
            let watched = Watched { asked, view: Box::new(view) };
            return Ok(waits(&call.registry, call.registry.now.saturating_add(wait), watched));
        }
    }
    Ok(Reply::Response(answer(call.server, &call.registry, &asked)))
}

pub(in crate::serve) fn resume(server: &Server, registry: &Desk<'_>, mut watched: Watched, until: Timestamp, now: Timestamp) -> Reply {
    if registry.is_new_to(&mut watched.view) || now >= until {
        return Reply::Response(answer(server, registry, &watched.asked));
    }
    waits(registry, until, watched)
}

fn waits(registry: &Desk<'_>, until: Timestamp, watched: Watched) -> Reply {
    Reply::Wait(Wait { until, watched: serve::Watched::Consul(watched), since: registry.position(), who: registry.who.clone() })
}

fn answer(server: &Server, registry: &Desk<'_>, asked: &Asked) -> Response {
    let mut all = registry.everybody(&server.namespace, asked.service());
    let has_tags = |own: &Instance| asked.tags.iter().all(|tag| own.registration.tags.contains(tag));
    all.retain(|own| has_tags(own) && (!asked.passing || write::status(own) == "passing"));
    let on_node = |own: &&Instance| Place::of(server, own).node == asked.name;
    let list = |tell: fn(&Server, &Instance) -> Value| Value::List(all.iter().map(|own| tell(server, own)).collect());
    let document = match asked.what {
        What::Health => list(write::entry),
        What::Service => list(write::flat),
        What::Checks => Value::List(all.iter().flat_map(|own| write::checks(server, own)).collect()),
        What::State => {
            let is = |check: &Value| asked.name == "any" || check.get("Status").and_then(Value::as_str) == Some(&asked.name);
            Value::List(all.iter().flat_map(|own| write::checks(server, own)).filter(is).collect())
        }
        What::NodeChecks => Value::List(all.iter().filter(on_node).flat_map(|own| write::checks(server, own)).collect()),
        What::Services => tags_by_service(&all),
        What::Nodes => {
            let mut seen = BTreeSet::new();
            let first = |own: &&Instance| seen.insert(String::from(Place::of(server, own).node));
            Value::List(all.iter().filter(first).map(|own| write::node(server, own)).collect())
        }
        What::Node => {
            let mut on_it = all.iter().filter(on_node).peekable();
            match on_it.peek() {
                None => Value::Null,
                Some(first) => {
                    let node = write::node(server, first);
                    let services = on_it.map(|own| (Place::of(server, own).id.to_string(), write::service(server, own)));
                    Value::map([("Node", node), ("Services", Value::map(services.collect::<BTreeMap<_, _>>()))])
                }
            }
        }
    };
    // Revisions start at 0, and an index of 0 is none.
    let index = registry.revision().saturating_add(1);
    Response::json(200, &document)
        .header("x-consul-index", index.to_string())
        .header("x-consul-knownleader", "true")
        .header("x-consul-lastcontact", "0")
        .header("x-consul-effective-consistency", "default")
}

/// Every service with the tags of its instances.
fn tags_by_service(all: &[Instance]) -> Value {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for own in all {
        services.entry(&own.registration.service).or_default().extend(own.registration.tags.iter());
    }
    Value::map(services.into_iter().map(|(service, tags)| (service, Value::List(tags.into_iter().map(Value::from).collect()))))
}

impl Asked {
    /// The one service that the answer is about.
    fn service(&self) -> Option<&str> {
        matches!(self.what, What::Health | What::Service | What::Checks).then_some(&self.name)
    }
}
