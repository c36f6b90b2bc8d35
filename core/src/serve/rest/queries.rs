//! `/v1/queries`: queries under a name.

use alloc::boxed::Box;
use alloc::string::String;

use super::{Call, Reply, Watched, events, instances, waits};
use crate::error::{Code, Error};
use crate::query::Query;
use crate::registry::{SavedQuery, View};
use crate::serve::desk::Desk;
use crate::serve::http::body;
use crate::serve::poll::is_unchanged;
use crate::value::Value;

/// What the reads of an answer take.
pub(super) const POSITION: &[&str] = &["epoch", "revision", "wait"];

pub(super) fn save(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let document = instances::with_names(call, body(call.request)?, &["namespace"])?;
    let (name, query) = (String::from(call.name(1)), Query::from_value(&document)?);
    let is_new = call.registry.save_query(&name, &query)?;
    let document = Value::map([("revision", Value::from(call.registry.revision())), ("created", is_new.into())]);
    Ok(instances::response(if is_new { 201 } else { 200 }, instances::with_epoch(document, &call.registry)))
}

pub(super) fn show(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    Ok(instances::response(200, named(&call.registry, call.name(0), call.name(1))?.to_value()))
}

pub(super) fn drop(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let (namespace, name) = (String::from(call.name(0)), String::from(call.name(1)));
    let revision = call.registry.drop_query(&namespace, &name)?;
    Ok(instances::revised(call, revision))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    crate::model::check_name("namespace", call.name(0))?;
    let list = Value::List(call.registry.saved_queries(call.name(0)).map(SavedQuery::to_value).collect());
    let document = Value::map([("queries", list), ("revision", call.registry.revision().into())]);
    Ok(instances::response(200, instances::with_epoch(document, &call.registry)))
}

/// Who matches, now or when that changes: be it by the instances, be it that another query is saved.
pub(super) fn answer(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(POSITION)?;
    let own = named(&call.registry, call.name(0), call.name(1))?;
    let mut view = Box::new(View::saved(call.name(0), call.name(1))?);
    if events::are_asked(call.request) {
        return events::answer(call, view);
    }
    let wait = call.wait()?;
    if let Some((since, until)) = wait
        && until > call.registry.now
        && own.revision <= since.revision
        && is_unchanged(&own.query, &call.registry, since)
    {
        call.registry.is_new_to(&mut view);
        return Ok(waits(&call.registry, until, Watched::Answer(view)));
    }
    let response = instances::answer(&call.registry, &own.query, call.is_continued(wait));
    Ok(Reply::Response(response))
}

/// Why it finds whom it finds.
pub(super) fn explain(call: &mut Call<'_>) -> Result<Reply, Error> {
    call.parameters.only(&[])?;
    let own = named(&call.registry, call.name(0), call.name(1))?;
    instances::explanation(call, &own.query)
}

fn named<'a>(desk: &'a Desk<'_>, namespace: &str, name: &str) -> Result<&'a SavedQuery, Error> {
    desk.saved_query(namespace, name).ok_or_else(|| Error::new(Code::UnknownQuery, "name"))
}
