//! The registry as a whole: services, changes, batches, snapshot, health.

use super::{Call, OPENAPI, Reply, Response, Watched, events, waits};
use crate::error::{Code, Error};
use crate::registry::{Op, Position, ServiceSummary};
use crate::serve::desk::Desk;
use crate::serve::http::body;
use crate::value::{Fields, Value};

pub(super) fn services(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    crate::model::check_name("namespace", call.name(0))?;
    Ok(listed(call, Some(call.name(0))))
}

/// Those of every namespace that may be read.
pub(super) fn all_services(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    Ok(listed(call, None))
}

fn listed(call: &Call<'_>, namespace: Option<&str>) -> Reply {
    let services = call.registry.services(namespace);
    let list = Value::List(services.iter().map(ServiceSummary::to_value).collect());
    let position = call.registry.position();
    let document = Value::map([("services", list), ("revision", position.revision.into()), ("epoch", position.epoch.into())]);
    Reply::Response(Response::json(200, &document))
}

pub(super) fn changes(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&["epoch", "revision", "wait"])?;
    if events::are_asked(call.request) {
        return events::changes(call);
    }
    let missing = || Error::new(Code::MissingField, "epoch").message("changes since which epoch and revision");
    let (since, until) = call.wait()?.ok_or_else(missing)?;
    if since == call.registry.position() && until > call.registry.now {
        return Ok(waits(&call.registry, until, Watched::Changes(since)));
    }
    Ok(Reply::Response(changes_since(&call.registry, since)))
}

pub(super) fn changes_since(registry: &Desk<'_>, since: Position) -> Response {
    Response::json(200, &registry.changes(since).to_value())
}

pub(super) fn batch(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let document = body(call.request)?;
    let fields = Fields::new(&document, "", &["ops"])?;
    let ops = fields.value("ops").ok_or_else(|| Error::new(Code::MissingField, "ops"))?;
    let revision = call.registry.apply(&Op::list_from_value(ops, call.registry.clock())?)?;
    let document = Value::map([("revision", Value::from(revision)), ("epoch", call.registry.epoch().into())]);
    Ok(Reply::Response(Response::json(200, &document)))
}

pub(super) fn snapshot(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    Ok(Reply::Response(Response::bytes(200, "application/octet-stream", call.registry.snapshot()?)))
}

pub(super) fn health(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let Value::Map(mut pairs) = call.registry.stats()?.to_value() else { return Err(Error::new(Code::Malformed, "stats")) };
    pairs.insert(0, ("status".into(), "ok".into()));
    Ok(Reply::Response(Response::json(200, &Value::Map(pairs))))
}

pub(super) fn openapi(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    Ok(Reply::Response(Response::bytes(200, "application/json", OPENAPI.as_bytes().to_vec())))
}
