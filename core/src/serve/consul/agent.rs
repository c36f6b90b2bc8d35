//! The agent: services sign in and out, and are told.

use alloc::string::String;
use alloc::vec::Vec;

use super::checks::Check;
use super::write::{self, Place};
use super::{Call, Refusal, document, find, get, refuse, text, truth};
use crate::error::{Code, Error};
use crate::formats::document::Node;
use crate::formats::fit;
use crate::model::{AdminState, Endpoint, Health, Instance, Metadata, Override, Registration, Tags, Weight};
use crate::registry::{Key, Op, Put};
use crate::serve::http::{Reply, Response};
use crate::value::Value;

/// What a service says of itself: to the agent, or in the catalog, where its name is at another key.
pub(super) fn registration(call: &Call<'_>, said: Node<'_>, name: &str, otherwise: &str) -> Result<Registration, Refusal> {
    let service = text(said, name)?;
    if service.is_empty() {
        return refuse(400, "Missing service name");
    }
    let id = Some(text(said, "ID")?).filter(|id| !id.is_empty()).unwrap_or(service);
    let mut own = Registration::new(service, id).namespace(call.server.namespace.as_str());
    let host = Some(text(said, "Address")?).filter(|host| !host.is_empty()).unwrap_or(otherwise);
    let port = get(said, "Port").map_or(Ok(None), |port| port.port("Port"))?;
    if !host.is_empty() {
        own.endpoints.push(Endpoint::new("http", host, port).map_err(|error| error.within("Service"))?);
    } else if port.is_some() {
        return refuse(400, "Missing service address: a service here names its own");
    }
    let wrong = |field| Error::new(Code::InvalidArgument, field).message("expected strings");
    let strings = |node: Node<'_>| node.items().map(|tag| tag.as_str().map(String::from)).collect::<Option<Vec<_>>>();
    if let Some(tags) = get(said, "Tags") {
        own.tags = Tags::new(strings(tags).ok_or_else(|| wrong("Tags"))?)?;
    }
    if let Some(meta) = get(said, "Meta") {
        let pairs = meta.pairs().map(|(key, value)| Some((key, value.as_str()?))).collect::<Option<Vec<_>>>();
        let pairs = pairs.ok_or_else(|| wrong("Meta"))?;
        if pairs.iter().any(|(key, _)| key.starts_with("consul-")) {
            return refuse(400, "Invalid Service Meta: Key prefix 'consul-' is reserved for internal use");
        }
        own.metadata = Metadata::new(pairs)?;
    }
    let tagged = own.tags.iter().filter_map(|tag| tag.strip_prefix("version="));
    own.version = fit::version(own.metadata.get("version").into_iter().chain(tagged));
    if let Some(weight) = get(said, "Weights").and_then(|weights| get(weights, "Passing")).and_then(Node::number) {
        own.weight = Weight::new(weight).map_err(|error| error.within("Weights"))?;
    }
    let place = get(said, "Locality");
    let part = |key| place.map_or(Ok(""), |place| text(place, key));
    own.locality.region = part("Region")?.into();
    own.locality.zone = Some(part("Zone")?).filter(|zone| !zone.is_empty()).or(own.metadata.get("zone")).unwrap_or_default().into();
    Ok(own)
}

pub(super) fn register(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let document = document(call.request)?;
    let said = document.root();
    let mut own = registration(call, said, "Name", call.request.peer)?;
    own.locality.node.clone_from(&call.server.node);
    let before = find(call, &own.id);
    let check = Check::of_service(said, &own.id)?;
    if let Some(check) = check {
        check.put(&mut own, before.as_ref())?;
    }
    let mut ops = Vec::new();
    // An id is of one service at a time.
    if let Some(before) = before.filter(|before| before.registration.service != own.service) {
        ops.push(Op::Deregister { key: Key::of(&before.registration), incarnation: None });
    }
    ops.push(Op::Register { registration: own, put: Put::default() });
    call.registry.apply(&ops)?;
    Ok(done())
}

pub(super) fn deregister(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let own = known(call)?;
    call.registry.apply(&[Op::Deregister { key: Key::of(&own.registration), incarnation: None }])?;
    Ok(done())
}

pub(super) fn maintenance(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let enable = match call.parameters.text("enable") {
        Some("") | None => return refuse(400, "Missing value for enable"),
        Some(text) => truth(text).map_or_else(|| refuse(400, "Invalid value for enable"), Ok)?,
    };
    let own = known(call)?;
    let reason = Some(call.parameters.text("reason").unwrap_or_default()).filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or("Maintenance mode is enabled for this service, but no reason was provided. This is a default message.");
    let admin = enable.then(|| Override { state: AdminState::Disabled, until: None, reason: reason.into() });
    call.registry.apply(&[Op::SetAdmin { key: Key::of(&own.registration), admin }])?;
    Ok(done())
}

/// The service that the path names.
fn known(call: &Call<'_>) -> Result<Instance, Refusal> {
    let unknown = || {
        let text = "Ensure that the service ID is passed, not the service name.";
        Refusal(404, alloc::format!("Unknown service ID \"{}\". {text}", call.name(0)))
    };
    find(call, call.name(0)).ok_or_else(unknown)
}

pub(super) fn service(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match find(call, call.name(0)) {
        Some(own) => Ok(json(200, &write::service(call.server, &own))),
        None => refuse(404, alloc::format!("unknown service ID: {}", call.name(0))),
    }
}

/// The services of the agent.
fn own_services(call: &Call<'_>) -> Vec<Instance> {
    let mut all = call.registry.everybody(&call.server.namespace, None);
    all.retain(|own| Place::of(call.server, own).is_agents(call.server));
    all
}

pub(super) fn services(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let all = own_services(call);
    Ok(json(200, &by_id(all.iter().map(|own| (own.registration.id.clone(), write::service(call.server, own))))))
}

pub(super) fn checks(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let all = own_services(call);
    let checks = all.iter().flat_map(|own| write::checks(call.server, own));
    let id = |check: &Value| check.get("CheckID").and_then(Value::as_str).unwrap_or_default().into();
    Ok(json(200, &by_id(checks.map(|check| (id(&check), check)))))
}

fn by_id(pairs: impl Iterator<Item = (String, Value)>) -> Value {
    Value::map(pairs.collect::<alloc::collections::BTreeMap<_, _>>())
}

pub(super) fn own(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let text = |text: &str| Value::from(text);
    let config = Value::map([
        ("Datacenter", text(&call.server.datacenter)),
        ("NodeName", text(&call.server.node)),
        ("Server", true.into()),
        ("Revision", text("")),
        ("Version", text("1.20.0")),
    ]);
    Ok(json(200, &Value::map([("Config", config), ("Member", member(call)), ("Meta", Value::Map(Vec::new()))])))
}

pub(super) fn members(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(json(200, &Value::List(alloc::vec![member(call)])))
}

fn member(call: &Call<'_>) -> Value {
    let tags = Value::map([("dc", Value::from(call.server.datacenter.as_str())), ("role", "consul".into())]);
    let name = Value::from(call.server.node.as_str());
    Value::map([("Name", name), ("Addr", "127.0.0.1".into()), ("Port", 8301u64.into()), ("Tags", tags), ("Status", 1u64.into())])
}

pub(super) fn health_by_name(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let all = own_services(call);
    let told: Vec<&Instance> = all.iter().filter(|own| own.registration.service == call.name(0)).collect();
    aggregated(call, &told, true)
}

pub(super) fn health_by_id(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let own = find(call, call.name(0));
    aggregated(call, &own.iter().collect::<Vec<_>>(), false)
}

/// The state as a status: 200 passing, 429 warning, 503 critical, 404 unknown.
fn aggregated(call: &Call<'_>, all: &[&Instance], list: bool) -> Result<Reply, Refusal> {
    let worst = all.iter().map(|own| write::status(own)).max_by_key(|status| rank(status));
    let one = |own: &&Instance| {
        Value::map([
            ("AggregatedStatus", Value::from(write::status(own))),
            ("Service", write::service(call.server, own)),
            ("Checks", Value::List(write::checks(call.server, own))),
        ])
    };
    let status = worst.map_or(404, |status| [200, 429, 503].get(rank(status)).copied().unwrap_or(503));
    if call.parameters.text("format") == Some("text") {
        return Ok(Reply::Response(Response::text(status, worst.unwrap_or("critical"))));
    }
    let mut told = all.iter().map(one);
    let document = if list { Value::List(told.collect()) } else { told.next().unwrap_or(Value::Null) };
    Ok(json(status, &document))
}

fn rank(status: &str) -> usize {
    match status {
        "passing" => 0,
        "warning" => 1,
        _ => 2,
    }
}

/// What Consul says when something was done: nothing.
pub(super) fn done() -> Reply {
    Reply::Response(Response::text(200, ""))
}

pub(super) fn json(status: u16, document: &Value) -> Reply {
    Reply::Response(Response::json(status, document))
}

/// The health that a status tells.
pub(super) fn health(status: &str) -> Option<Health> {
    match status {
        "passing" => Some(Health::Healthy),
        "warning" => Some(Health::Degraded),
        "critical" => Some(Health::Unhealthy),
        _ => None,
    }
}
