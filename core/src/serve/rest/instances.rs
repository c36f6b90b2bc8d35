//! `/v1/instances`: sign in, renew, sign out, report, override, look up, follow.

use alloc::boxed::Box;

use super::{Call, Reply, Response, Watched, events, waits};
use crate::error::{Code, Error};
use crate::model::{Health, Override, Registration};
use crate::query::Query;
use crate::registry::{Key, Mode, Op, Put, View};
use crate::serve::desk::Desk;
use crate::serve::http::body;
use crate::serve::poll::is_unchanged;
use crate::serve::token::Shown;
use crate::value::{Fields, Pairs as _, Value};

pub(super) const CONDITIONS: &[&str] = &["mode", "if_revision"];
/// What a query is made of, and after it where a long poll stands.
pub(super) const QUERY: &[&str] =
    &["selector", "version", "region", "zone", "subzone", "node", "tag", "health", "limit", "epoch", "revision", "wait"];
const CONDITIONS_OF_QUERY: &[&str] = QUERY.split_at(9).0;

pub(super) fn register(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(CONDITIONS)?;
    let mode = call.parameters.text("mode").map_or(Ok(Mode::Upsert), Mode::parse)?;
    let put = Put { mode, if_revision: call.parameters.number("if_revision")? };
    let document = with_names(call, body(call.request)?, &["namespace", "service", "id"])?;
    let registration = Registration::from_value(&document)?;
    call.registry.shown = Shown::token(call.request)?;
    let registered = call.registry.register(&registration, put)?;
    let Value::Map(mut pairs) = registered.to_value() else { return Err(Error::new(Code::Malformed, "")) };
    if let Some(secret) = call.server.secret.as_ref().filter(|_| registered.created && matches!(call.registry.shown, Shown::Nothing)) {
        let token = secret.token(call.registry.epoch(), registered.handle);
        call.registry.guard(&registration, &token);
        pairs.push(("token".into(), token.into()));
    }
    let status = if registered.created { 201 } else { 200 };
    Ok(response(status, with_epoch(Value::Map(pairs), &call.registry)))
}

/// The body with the names of the path. What the body says of them must agree.
pub(super) fn with_names(call: &Call<'_>, document: Value, names: &[&str]) -> Result<Value, Error> {
    let Value::Map(mut pairs) = document else {
        return Err(Error::new(Code::InvalidArgument, "body").message("expected a map"));
    };
    for (at, key) in names.iter().enumerate() {
        let own = call.name(at);
        match pairs.iter().find(|(name, _)| name == key) {
            Some((_, Value::Text(text))) if text == own => {}
            Some((_, Value::Null)) => pairs.retain(|(name, _)| name != key),
            Some(_) => return Err(Error::new(Code::InvalidArgument, *key).message("not the one of the path")),
            None => {}
        }
        if !pairs.iter().any(|(name, _)| name == key) {
            pairs.push(((*key).into(), own.into()));
        }
    }
    Ok(Value::Map(pairs))
}

pub(super) fn show(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let handle = call.registry.lookup(call.name(0), call.name(1), call.name(2));
    let instance = handle.and_then(|handle| call.registry.instance(handle));
    let instance = instance.ok_or_else(|| Error::new(Code::UnknownInstance, "id"))?;
    Ok(Reply::Response(Response::written(200, |out| instance.write(out))))
}

pub(super) fn deregister(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&["incarnation"])?;
    let incarnation = call.parameters.number("incarnation")?;
    let key = key(call);
    call.registry.shown = Shown::proof(call.request, "deregister")?;
    let revision = call.registry.apply(&[Op::Deregister { key, incarnation }])?;
    Ok(revised(call, revision))
}

pub(super) fn renew(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&["incarnation"])?;
    let incarnation = call.parameters.number("incarnation")?.unwrap_or(0);
    call.registry.shown = Shown::proof(call.request, "renew")?;
    call.registry.renew(&key(call), incarnation)?;
    let revision = call.registry.revision();
    Ok(revised(call, revision))
}

pub(super) fn set_health(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let document = body(call.request)?;
    let fields = Fields::new(&document, "", &["health", "incarnation"])?;
    let health = Health::parse(fields.required_text("health")?)?;
    let incarnation = fields.u64("incarnation")?;
    let key = key(call);
    call.registry.shown = Shown::proof(call.request, "health")?;
    let revision = call.registry.apply(&[Op::SetHealth { key, health, incarnation }])?;
    Ok(revised(call, revision))
}

pub(super) fn set_admin(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    // The registry's clock may be ahead of a host's that ran backwards.
    let own = Override::from_value(&body(call.request)?, call.registry.clock())?;
    admin(call, Some(own))
}

pub(super) fn lift_admin(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    admin(call, None)
}

fn admin(call: &mut Call<'_>, own: Option<Override>) -> Result<Reply, Error> {
    let key = key(call);
    let revision = call.registry.apply(&[Op::SetAdmin { key, admin: own }])?;
    Ok(revised(call, revision))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(QUERY)?;
    let query = query(call)?;
    events::may_follow(&call.registry, &query)?;
    if events::are_asked(call.request) {
        return events::answer(call, Box::new(View::new(query)?));
    }
    let wait = call.wait()?;
    if let Some((since, until)) = wait
        && until > call.registry.now
        && is_unchanged(&query, &call.registry, since)
    {
        let mut view = View::new(query)?;
        call.registry.is_new_to(&mut view);
        return Ok(waits(&call.registry, until, Watched::Answer(Box::new(view))));
    }
    Ok(Reply::Response(answer(&call.registry, &query, call.is_continued(wait))))
}

/// Who matches. `continued` when the reader knew an earlier state of this life of the registry: then who is missing has left, unless a
/// limit cut the answer short.
pub(super) fn answer(registry: &Desk<'_>, query: &Query, continued: bool) -> Response {
    let found = registry.query(query);
    Response::written(200, |out| {
        registry.write_answer(&found, out);
        out.put("continued", continued && query.limit.is_none());
    })
}

/// Why these match: as text for whoever accepts only that.
pub(super) fn explain(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(CONDITIONS_OF_QUERY)?;
    explanation(call, &query(call)?)
}

pub(super) fn explanation(call: &Call<'_>, query: &Query) -> Result<Reply, Error> {
    events::may_follow(&call.registry, query)?;
    let explanation = call.registry.explain(query)?;
    if call.request.header("accept").trim_ascii().eq_ignore_ascii_case("text/plain") {
        let text = Response::bytes(200, "text/plain; charset=utf-8", explanation.text().into_bytes());
        return Ok(Reply::Response(text.header("x-content-type-options", "nosniff")));
    }
    Ok(response(200, explanation.to_value()))
}

/// Who matches the query that a view follows; its end when it is no longer saved.
pub(super) fn followed(registry: &Desk<'_>, view: &View) -> Response {
    if view.is_absent() {
        return Response::error(&Error::new(Code::UnknownQuery, "name"));
    }
    answer(registry, view.query(), true)
}

fn query(call: &Call<'_>) -> Result<Query, Error> {
    let parameters = &call.parameters;
    let mut pairs: alloc::vec::Vec<(&str, Value)> = alloc::vec![("namespace", call.name(0).into())];
    if let Some(service) = call.names.get(1) {
        pairs.push(("service", service.as_str().into()));
    }
    for name in ["selector", "version", "health"] {
        pairs.push((name, parameters.text(name).map(Value::from).into()));
    }
    let places = ["region", "zone", "subzone", "node"];
    pairs.push(("locality", Value::map(places.map(|name| (name, Value::from(parameters.text(name).map(Value::from)))))));
    if let Some(tags) = parameters.text("tag") {
        pairs.push(("tags", Value::List(tags.split(',').map(Value::from).collect())));
    }
    pairs.push(("limit", parameters.number("limit")?.into()));
    Query::from_value(&Value::map(pairs))
}

fn key(call: &Call<'_>) -> Key {
    Key::new(call.name(0), call.name(1), call.name(2))
}

pub(super) fn revised(call: &Call<'_>, revision: u64) -> Reply {
    response(200, with_epoch(Value::map([("revision", revision.into())]), &call.registry))
}

pub(super) fn with_epoch(document: Value, registry: &Desk<'_>) -> Value {
    let Value::Map(mut pairs) = document else { return document };
    pairs.push(("epoch".into(), registry.epoch().into()));
    Value::Map(pairs)
}

pub(super) fn response(status: u16, document: Value) -> Reply {
    Reply::Response(Response::json(status, &document))
}
