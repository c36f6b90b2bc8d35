//! Applications, instances, VIPs and the delta, as Eureka's clients read them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::write::{KEPT, is_kept, seconds};
use super::{Call, Refusal, known, refuse, services};
use crate::formats::{eureka, xml};
use crate::model::{AdminState, Instance, Metadata, Registration};
use crate::registry::{ChangeKind, Changes};
use crate::serve::http::Response;
use crate::value::Value;

/// How far back the delta reaches: six times as long as clients let pass between two questions.
const DELTA: Duration = Duration::from_secs(180);

/// An instance as it is told: in full, or that it has left.
struct Told {
    app: String,
    state: &'static str,
    value: Value,
}

pub(super) fn all(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let told = everybody(call);
    Ok(applications(call, &hash(&told), told))
}

/// The hash of these.
fn hash(told: &[Told]) -> String {
    eureka::hash(told.iter().map(|told| told.state))
}

pub(super) fn delta(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let Some(since) = call.registry.position_before(DELTA) else { return refuse(403, "") };
    let Changes::Events { events, .. } = call.registry.changes(since) else { return refuse(403, "") };
    let mut changed: BTreeMap<(String, String), bool> = BTreeMap::new();
    for event in events.iter().filter(|event| *event.namespace == *call.server.namespace) {
        let came = event.kind == ChangeKind::Added;
        let before = changed.entry((event.service.to_string(), event.id.to_string())).or_insert(came);
        *before = *before || came;
    }
    let tell = |((service, id), came): ((String, String), bool)| {
        let own = call.registry.lookup(&call.server.namespace, &service, &id).and_then(|handle| call.registry.instance(handle));
        match own {
            Some(own) => tell(&own, if came { "ADDED" } else { "MODIFIED" }),
            None => gone(service, id),
        }
    };
    let told = changed.into_iter().map(tell).collect();
    let hash = hash(&everybody(call));
    Ok(applications(call, &hash, told))
}

pub(super) fn application(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let services = services(call, call.name(0));
    let told: Vec<Told> = services.iter().flat_map(|service| instances(call, Some(service))).collect();
    let Some(first) = told.first() else { return refuse(404, "") };
    let name = first.app.clone();
    let application = eureka::application(&name, told.into_iter().map(|told| told.value).collect());
    Ok(answer(call, &Value::map([("application", application)])))
}

pub(super) fn instance(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let own = known(call)?;
    Ok(one(call, &own))
}

fn one(call: &Call<'_>, own: &Instance) -> Response {
    answer(call, &Value::map([("instance", tell(own, "ADDED").value)]))
}

pub(super) fn by_id(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let found = call.registry.find(&call.server.namespace, call.name(0));
    match found.first().and_then(|handle| call.registry.instance(*handle)) {
        Some(own) => Ok(one(call, &own)),
        None => refuse(404, ""),
    }
}

pub(super) fn vip(call: &mut Call<'_>) -> Result<Response, Refusal> {
    of_vip(call, "vipAddress")
}

pub(super) fn secure_vip(call: &mut Call<'_>) -> Result<Response, Refusal> {
    of_vip(call, "secureVipAddress")
}

fn of_vip(call: &mut Call<'_>, key: &str) -> Result<Response, Refusal> {
    let mut told = everybody(call);
    let is = |told: &Told| {
        let said = told.value.get(key).and_then(Value::as_str).unwrap_or_default();
        said.split(',').any(|vip| vip.trim().eq_ignore_ascii_case(call.name(0)))
    };
    told.retain(is);
    if told.is_empty() {
        return refuse(404, "");
    }
    Ok(applications(call, &hash(&told), told))
}

fn everybody(call: &Call<'_>) -> Vec<Told> {
    instances(call, None)
}

fn instances(call: &Call<'_>, service: Option<&str>) -> Vec<Told> {
    call.registry.everybody(&call.server.namespace, service).iter().map(|own| tell(own, "ADDED")).collect()
}

fn applications(call: &Call<'_>, hash: &str, told: Vec<Told>) -> Response {
    let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for told in told {
        by_name.entry(told.app).or_default().push(told.value);
    }
    answer(call, &eureka::document(&call.registry.revision().to_string(), hash, by_name))
}

fn answer(call: &Call<'_>, document: &Value) -> Response {
    // XML is what Eureka's servers write unless they are asked for JSON.
    let is_json = call.request.header("accept").to_ascii_lowercase().contains("json");
    if is_json { Response::json(200, document) } else { Response::bytes(200, "application/xml", xml::write(document)) }
}

/// Health and the operator's word as one state.
fn state(own: &Instance) -> &'static str {
    match own.admin_state() {
        AdminState::Enabled => eureka::state(own.registration.health),
        _ => "OUT_OF_SERVICE",
    }
}

fn tell(own: &Instance, action: &str) -> Told {
    let (state, app) = (state(own), own.registration.service.to_ascii_uppercase());
    let lease = own.registration.lease;
    let kept = |wanted: &str| {
        let key = KEPT.iter().find(|(_, key)| *key == wanted).map_or("", |(own, _)| own);
        own.registration.metadata.get(key)
    };
    let mine = own.registration.metadata.iter().filter(|(key, _)| !is_kept(key));
    let plain = Registration { metadata: Metadata::new(mine).unwrap_or_default(), ..own.registration.clone() };
    let Value::Map(mut pairs) = eureka::written(&plain, &app, state) else { return gone(app, plain.id) };
    let mut put = |key: &str, value: Value| {
        pairs.retain(|(known, _)| known != key);
        pairs.push((key.into(), value));
    };
    let overridden = own.admin.as_ref().map_or("UNKNOWN", |admin| match admin.state {
        AdminState::Enabled => "UP",
        _ => "OUT_OF_SERVICE",
    });
    // Java reads the one, others the other.
    for key in ["overriddenStatus", "overriddenstatus"] {
        put(key, overridden.into());
    }
    let whole = |number: u64| Value::from(number);
    let interval = kept("renewalIntervalInSecs").and_then(|secs| secs.parse::<u64>().ok()).unwrap_or(30);
    let lease = [
        ("renewalIntervalInSecs", whole(interval)),
        ("durationInSecs", whole(lease.map_or(90, |lease| seconds(lease.ttl)))),
        ("registrationTimestamp", whole(0)),
        ("lastRenewalTimestamp", whole(0)),
        ("evictionTimestamp", whole(0)),
        ("serviceUpTimestamp", whole(0)),
    ];
    put("leaseInfo", Value::map(lease));
    for (_, key) in KEPT.iter().filter(|(_, key)| *key != "renewalIntervalInSecs") {
        if let Some(value) = kept(key) {
            put(key, value.into());
        }
    }
    if kept("vipAddress").is_none() {
        put("vipAddress", own.registration.service.as_str().into());
    }
    put("isCoordinatingDiscoveryServer", "false".into());
    put("lastUpdatedTimestamp", own.revision.to_string().as_str().into());
    put("lastDirtyTimestamp", own.registration.incarnation.to_string().as_str().into());
    put("actionType", action.into());
    Told { app, state, value: Value::Map(pairs) }
}

/// One that has left: there is nobody to ask for more.
fn gone(service: String, id: String) -> Told {
    let registration = Registration::new(service.to_ascii_uppercase(), id);
    let Value::Map(mut pairs) = eureka::written(&registration, &registration.service, "DOWN") else {
        return Told { app: registration.service, state: "DOWN", value: Value::Null };
    };
    pairs.retain(|(key, _)| key != "actionType");
    pairs.push(("actionType".into(), "DELETED".into()));
    Told { app: registration.service, state: "DOWN", value: Value::Map(pairs) }
}
