//! Instances and services as Nacos' clients read them.

use alloc::string::String;
use alloc::vec::Vec;

use super::write::ENABLED;
use super::{Call, Named, wrapped};
use crate::error::{Code, Error};
use crate::formats::nacos;
use crate::model::{AdminState, Instance, LeaseState, Metadata, Registration};
use crate::serve::http::Response;
use crate::value::Value;

/// After how many milliseconds clients ask again.
const CACHE: u64 = 10_000;

/// Whether an instance is healthy, and whether it is enabled.
fn state(own: &Instance) -> (bool, bool) {
    let healthy = nacos::is_healthy(own.registration.health) && own.lease != LeaseState::Suspect;
    (healthy, own.admin_state() == AdminState::Enabled && own.registration.metadata.get(ENABLED).is_none())
}

fn tell(own: &Instance, named: &Named) -> Value {
    let mine = own.registration.metadata.iter().filter(|(key, _)| *key != ENABLED);
    let plain = Registration { metadata: Metadata::new(mine).unwrap_or_default(), ..own.registration.clone() };
    let Value::Map(mut pairs) = nacos::written(&plain, named.grouped().as_str().into()) else { return Value::Null };
    let (healthy, enabled) = state(own);
    for (key, value) in [("healthy", healthy), ("enabled", enabled), ("ephemeral", own.lease != LeaseState::Persistent)] {
        pairs.retain(|(known, _)| known != key);
        pairs.push((key.into(), value.into()));
    }
    Value::Map(pairs)
}

/// The instances that are asked for, and the service.
fn asked(call: &Call<'_>) -> Result<(Vec<Instance>, Named), Error> {
    let named = call.named(call.required("serviceName")?);
    let clusters: Vec<&str> = [call.text("clusters"), call.text("clusterName")]
        .into_iter()
        .flat_map(|text| text.split(','))
        .filter(|name| !name.is_empty())
        .collect();
    let healthy_only = call.truth("healthyOnly")?.unwrap_or(false);
    let mut all = call.registry.everybody(&named.namespace, Some(&named.service()));
    let zone =
        |own: &Instance| if own.registration.locality.zone.is_empty() { "DEFAULT".into() } else { own.registration.locality.zone.clone() };
    all.retain(|own| (clusters.is_empty() || clusters.contains(&zone(own).as_str())) && (!healthy_only || state(own).0));
    Ok((all, named))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Response, Error> {
    let (all, named) = asked(call)?;
    let hosts = all.iter().map(|own| tell(own, &named)).collect();
    let pairs = [
        ("name", Value::from(named.grouped().as_str())),
        ("groupName", named.group.as_str().into()),
        ("dom", named.name.as_str().into()),
        ("clusters", call.text("clusters").into()),
        ("cacheMillis", CACHE.into()),
        ("hosts", Value::List(hosts)),
        ("lastRefTime", call.registry.clock().as_micros().div_euclid(1_000).into()),
        ("checksum", "".into()),
        ("allIPs", false.into()),
        ("reachProtectionThreshold", false.into()),
        ("valid", true.into()),
    ];
    Ok(Response::json(200, &Value::map(pairs)))
}

pub(super) fn list_wrapped(call: &mut Call<'_>) -> Result<Response, Error> {
    let (mut all, named) = asked(call)?;
    all.retain(|own| state(own).1);
    Ok(wrapped(200, 0, "success", Value::List(all.iter().map(|own| tell(own, &named)).collect())))
}

pub(super) fn instance(call: &mut Call<'_>) -> Result<Response, Error> {
    let (ip, port) = (String::from(call.required("ip")?), String::from(call.required("port")?));
    let (all, named) = asked(call)?;
    let told = all.iter().map(|own| tell(own, &named));
    let text = |told: &Value, key| told.get(key).and_then(Value::as_str).map(String::from);
    let port = |told: &Value| told.get("port").and_then(Value::as_u64).is_some_and(|own| port.parse() == Ok(own));
    let found = told.into_iter().find(|told| text(told, "ip").as_deref() == Some(&ip) && port(told));
    let Some(Value::Map(mut pairs)) = found else { return Err(Error::new(Code::UnknownInstance, "ip").message("no matched ip found")) };
    pairs.push(("service".into(), named.grouped().as_str().into()));
    Ok(Response::json(200, &Value::Map(pairs)))
}

/// Pages of names of services of a group.
pub(super) fn services(call: &mut Call<'_>) -> Result<Response, Error> {
    let number = |name: &str, usual: u64| call.parameters.number(name).map(|number| number.unwrap_or(usual));
    let (page, size) = (number("pageNo", 1)?.max(1), number("pageSize", 20)?.clamp(1, 10_000));
    let group = if call.text("groupName").is_empty() { super::DEFAULT_GROUP } else { call.text("groupName") };
    let all = call.registry.service_names(call.namespace());
    let named = all.map(|service| Named::of(call.namespace(), service)).filter(|named| named.group == group);
    let names: Vec<String> = named.map(|named| named.name).collect();
    let skip = usize::try_from(page.saturating_sub(1).saturating_mul(size)).unwrap_or(usize::MAX);
    let doms = names.iter().skip(skip).take(usize::try_from(size).unwrap_or(usize::MAX)).map(|name| name.as_str().into()).collect();
    Ok(Response::json(200, &Value::map([("count", Value::from(names.len() as u64)), ("doms", Value::List(doms))])))
}

pub(super) fn metrics(_: &mut Call<'_>) -> Result<Response, Error> {
    Ok(Response::json(200, &Value::map([("status", Value::from("UP"))])))
}
