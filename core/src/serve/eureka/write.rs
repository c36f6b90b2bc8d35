//! Instances come, renew, report and go.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Call, Refusal, find, known, refuse, services};
use crate::formats::document::Node;
use crate::formats::{Context, Entry, eureka};
use crate::limits;
use crate::model::{AdminState, Health, Instance, Lease, Metadata, Override};
use crate::registry::{Key, Op, Put};
use crate::serve::http::Response;
use crate::time::micros;

/// How long a lease is that does not say.
const DURATION: u64 = 90;

/// What is kept for Eureka's clients in metadata: our key, and theirs.
pub(super) const KEPT: [(&str, &str); 7] = [
    ("eureka-host", "hostName"),
    ("eureka-vip", "vipAddress"),
    ("eureka-secure-vip", "secureVipAddress"),
    ("eureka-home", "homePageUrl"),
    ("eureka-status", "statusPageUrl"),
    ("eureka-health", "healthCheckUrl"),
    ("eureka-renewal", "renewalIntervalInSecs"),
];

pub(super) fn register(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let bytes = call.request.body;
    let document = eureka::parse(bytes)?;
    let Some(said) = document.root().get("instance").filter(|said| said.is_map()) else {
        return refuse(400, "Missing instance");
    };
    let app = said.text("app");
    let missing = [
        ("instanceId", "Missing instanceId"),
        ("hostName", "Missing hostname"),
        ("ipAddr", "Missing ip address"),
        ("app", "Missing appName"),
    ];
    if let Some((_, text)) = missing.into_iter().find(|(key, _)| said.text(key).is_empty()) {
        return refuse(400, text);
    }
    if !app.eq_ignore_ascii_case(call.name(0)) {
        return refuse(400, alloc::format!("Mismatched appName, expecting {} but was {app}", call.name(0)));
    }
    match said.get("dataCenterInfo") {
        None => return refuse(400, "Missing dataCenterInfo"),
        Some(center) if center.text("name").is_empty() => return refuse(400, "Missing dataCenterInfo Name"),
        Some(_) => {}
    }
    // One of several spellings is that of the application; a new one has none yet.
    let spelled = services(call, &app).into_iter().next().unwrap_or_else(|| app.to_ascii_lowercase());
    let context = Context { service: Some(&spelled), ..Context::new(&call.server.namespace) };
    let decoded = eureka::app(bytes, &context)?;
    if let Some(skipped) = decoded.skipped.into_iter().next() {
        return Err(skipped.error.into());
    }
    let Some(Entry { registration: mut own, state, .. }) = decoded.instances.into_iter().next() else {
        return refuse(400, "Missing instance");
    };
    if state == "OUT_OF_SERVICE" {
        own.health = Health::Unhealthy;
    }
    own.lease = Some(lease(said)?);
    own.metadata = kept(&own.metadata, said)?;
    let known = find(call, &own.service, &own.id).map_or(0, |before| before.registration.incarnation);
    own.incarnation = timestamp(said.get("lastDirtyTimestamp").and_then(Node::whole)).max(known);
    call.registry.apply(&[Op::Register { registration: own, put: Put::default() }])?;
    Ok(Response::text(204, ""))
}

/// A time as an incarnation; one that cannot be is none.
fn timestamp(millis: Option<u64>) -> u64 {
    millis.filter(|millis| *millis < 1 << 53).unwrap_or(0)
}

fn lease(said: Node<'_>) -> Result<Lease, Refusal> {
    let told = said.path(&["leaseInfo", "durationInSecs"]).and_then(Node::whole).filter(|secs| *secs > 0).unwrap_or(DURATION);
    let most = Duration::from_micros(limits::TTL_MAX_MICROS);
    Ok(Lease::new(Duration::from_secs(told).min(most), Duration::ZERO)?)
}

/// The metadata with what else Eureka's clients look at, where it says more than the rest does. What does not fit is left out.
fn kept(metadata: &Metadata, said: Node<'_>) -> Result<Metadata, Refusal> {
    let (app, address) = (said.text("app"), said.text("ipAddr"));
    let told = |key: &str| match key {
        "renewalIntervalInSecs" => said.get("leaseInfo").map(|lease| lease.text(key)).unwrap_or_default(),
        key => said.text(key),
    };
    let says_more = |key: &str, value: &str| match key {
        "hostName" => value != address,
        "vipAddress" => !value.eq_ignore_ascii_case(&app),
        "renewalIntervalInSecs" => value != "30",
        _ => true,
    };
    let extra: Vec<(&str, Cow<'_, str>)> = KEPT
        .iter()
        .map(|(own, key)| (*own, *key, told(key)))
        .filter(|(_, key, value)| !value.is_empty() && says_more(key, value))
        .map(|(own, _, value)| (own, value))
        .collect();
    let fits = |(key, value): &&(&str, Cow<'_, str>)| Metadata::new([(*key, value.as_ref())]).is_ok();
    let own = metadata.iter().filter(|(key, _)| !is_kept(key));
    let room = limits::METADATA_PAIRS.saturating_sub(metadata.len());
    let pairs = own.chain(extra.iter().filter(fits).take(room).map(|(key, value)| (*key, value.as_ref())));
    Ok(Metadata::new(pairs)?)
}

/// Whether metadata is what is kept for Eureka's clients, and none of the instance's own.
pub(super) fn is_kept(key: &str) -> bool {
    KEPT.iter().any(|(own, _)| *own == key)
}

pub(super) fn renew(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let own = known(call)?;
    let incarnation = own.registration.incarnation;
    // The provider has changed since: it is to register again.
    if call.parameters.number("lastDirtyTimestamp").is_ok_and(|told| told.is_some_and(|told| incarnation > 0 && told > incarnation)) {
        return refuse(404, "");
    }
    call.registry.beat(&own, own.registration.health)?;
    Ok(Response::text(200, ""))
}

pub(super) fn cancel(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let own = known(call)?;
    call.registry.apply(&[Op::Deregister { key: Key::of(&own.registration), incarnation: None }])?;
    Ok(Response::text(200, ""))
}

pub(super) fn set_status(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let own = known(call)?;
    let health = |health| Op::SetHealth { key: Key::of(&own.registration), health, incarnation: None };
    let admin = |state| {
        let word = Override { state, until: None, reason: String::new() };
        Op::SetAdmin { key: Key::of(&own.registration), admin: Some(word) }
    };
    let op = match call.parameters.text("value").unwrap_or_default() {
        "OUT_OF_SERVICE" => admin(AdminState::Disabled),
        "UP" => admin(AdminState::Enabled),
        "DOWN" => health(Health::Unhealthy),
        "STARTING" => health(Health::Starting),
        "UNKNOWN" => health(Health::Unknown),
        _ => return refuse(400, "value is one of UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN"),
    };
    call.registry.apply(&[op])?;
    Ok(Response::text(200, ""))
}

pub(super) fn lift_status(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let own = known(call)?;
    call.registry.apply(&[Op::SetAdmin { key: Key::of(&own.registration), admin: None }])?;
    Ok(Response::text(200, ""))
}

pub(super) fn set_metadata(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let Instance { mut registration, .. } = known(call)?;
    let mut pairs: Vec<(&str, &str)> = registration.metadata.iter().collect();
    for (key, value) in call.parameters.pairs().filter(|(key, _)| *key != "lastDirtyTimestamp" && !is_kept(key)) {
        pairs.retain(|(known, _)| *known != key);
        pairs.push((key, value));
    }
    registration.metadata = Metadata::new(pairs)?;
    call.registry.apply(&[Op::Register { registration, put: Put::default() }])?;
    Ok(Response::text(200, ""))
}

/// Whole seconds of a lease, rounded up.
pub(super) fn seconds(duration: Duration) -> u64 {
    micros(duration).div_ceil(1_000_000)
}
