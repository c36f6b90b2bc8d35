//! Instances come, beat and go.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Call, Named, cluster_or_default, wrapped};
use crate::error::{Code, Error};
use crate::formats::document::{Document, Node};
use crate::formats::fit;
use crate::model::{Endpoint, Health, Instance, Lease, Metadata, Registration, Weight};
use crate::registry::{Key, Op, Put};
use crate::serve::http::Response;
use crate::value::Value;

/// The metadata key of an instance that is not enabled.
pub(super) const ENABLED: &str = "nacos-enabled";

/// Until an instance that does not beat is not healthy, and until it is gone, unless its metadata says so; milliseconds.
const BEAT_TIMEOUT: (&str, u64) = ("preserved.heart.beat.timeout", 15_000);
const DELETE_TIMEOUT: (&str, u64) = ("preserved.ip.delete.timeout", 30_000);
/// How often it beats.
pub(super) const BEAT_INTERVAL: (&str, u64) = ("preserved.heart.beat.interval", 5_000);

/// What an instance says of itself.
struct Said {
    named: Named,
    ip: String,
    port: u16,
    cluster: String,
    weight: f64,
    metadata: Metadata,
    ephemeral: bool,
    healthy: bool,
    enabled: bool,
}

impl Said {
    fn id(&self) -> String {
        alloc::format!("{}#{}#{}#{}", self.ip, self.port, self.cluster, self.named.grouped())
    }

    fn of_parameters(call: &Call<'_>) -> Result<Self, Error> {
        let number = |name: &str| call.text(name).parse::<f64>().ok();
        let weight =
            if call.text("weight").is_empty() { 1.0 } else { number("weight").ok_or_else(|| Error::new(Code::InvalidWeight, "weight"))? };
        let enabled = call.truth("enabled")?.or(call.truth("enable")?);
        Ok(Self {
            named: call.named(call.required("serviceName")?),
            ip: call.required("ip")?.into(),
            port: port(call.required("port")?)?,
            cluster: call.cluster().into(),
            weight,
            metadata: metadata(call.text("metadata"))?,
            ephemeral: call.truth("ephemeral")?.unwrap_or(true),
            healthy: call.truth("healthy")?.unwrap_or(true),
            enabled: enabled.unwrap_or(true),
        })
    }

    /// Of the JSON of a beat, which names the service again.
    fn of_beat(call: &Call<'_>, beat: Node<'_>) -> Result<Self, Error> {
        let told = beat.text("serviceName");
        let service = if call.text("serviceName").is_empty() { &*told } else { call.text("serviceName") };
        let wrong = |field| Error::new(Code::MissingField, field).within("beat");
        Ok(Self {
            named: call.named(Some(service).filter(|service| !service.is_empty()).ok_or_else(|| wrong("serviceName"))?),
            ip: Some(beat.text("ip").into_owned()).filter(|ip| !ip.is_empty()).ok_or_else(|| wrong("ip"))?,
            port: port(&beat.text("port")).map_err(|error| error.within("beat"))?,
            cluster: cluster_or_default(&beat.text("cluster")).into(),
            weight: beat.get("weight").and_then(Node::number).unwrap_or(1.0),
            metadata: fit::metadata(fit::pairs(beat.get("metadata"))),
            ephemeral: true,
            healthy: true,
            enabled: true,
        })
    }

    fn registration(&self) -> Result<Registration, Error> {
        let mut own = Registration::new(self.named.service(), self.id()).namespace(self.named.namespace.as_str());
        own.endpoints.push(Endpoint::new("http", &self.ip, Some(self.port).filter(|port| *port > 0)).map_err(|error| error.within("ip"))?);
        own.weight = Weight::new(self.weight)?;
        own.locality.zone = if self.cluster == "DEFAULT" { String::new() } else { self.cluster.clone() };
        own.version = fit::version(self.metadata.get("version"));
        own.health = if self.healthy && self.enabled { Health::Healthy } else { Health::Unhealthy };
        own.lease = self.ephemeral.then(|| lease(&self.metadata)).transpose()?;
        let enabled = (!self.enabled).then_some((ENABLED, "false"));
        own.metadata = Metadata::new(self.metadata.iter().filter(|(key, _)| *key != ENABLED).chain(enabled))?;
        Ok(own)
    }
}

fn port(text: &str) -> Result<u16, Error> {
    let wrong = || Error::new(Code::InvalidAddress, "port").limit(65_535).message("a port is 0 to 65535");
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

/// Metadata as JSON, or as `a=1,b=2`.
fn metadata(text: &str) -> Result<Metadata, Error> {
    if text.trim_ascii_start().starts_with('{') {
        let document = Document::json(text.as_bytes()).map_err(|error| error.within("metadata"))?;
        let wrong = || Error::new(Code::InvalidArgument, "metadata").message("expected a map of texts");
        let pairs = document.root().pairs().map(|(key, value)| Some((key, value.scalar()?)));
        return Metadata::new(pairs.collect::<Option<Vec<_>>>().ok_or_else(wrong)?);
    }
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('='));
    let wrong = || Error::new(Code::Malformed, "metadata").message("JSON, or a=1,b=2");
    // What is no key may be anything: it is not repeated.
    Metadata::new(pairs.collect::<Option<Vec<_>>>().ok_or_else(wrong)?).map_err(|_| wrong())
}

fn millis(metadata: &Metadata, (key, usual): (&str, u64)) -> u64 {
    metadata.get(key).and_then(|text| text.parse().ok()).filter(|millis| *millis > 0).unwrap_or(usual)
}

fn lease(metadata: &Metadata) -> Result<Lease, Error> {
    let beat = millis(metadata, BEAT_TIMEOUT);
    let delete = millis(metadata, DELETE_TIMEOUT);
    Lease::new(Duration::from_millis(beat.max(1_000)), Duration::from_millis(delete.saturating_sub(beat)))
}

pub(super) fn register(call: &mut Call<'_>) -> Result<Response, Error> {
    put(call, &Said::of_parameters(call)?)?;
    Ok(ok())
}

fn put(call: &mut Call<'_>, said: &Said) -> Result<(), Error> {
    call.registry.apply(&[Op::Register { registration: said.registration()?, put: Put::default() }])?;
    Ok(())
}

fn ok() -> Response {
    Response::text(200, "ok")
}

pub(super) fn deregister(call: &mut Call<'_>) -> Result<Response, Error> {
    let said = Said::of_parameters(call)?;
    if let Some(own) = find(call, &said) {
        call.registry.apply(&[Op::Deregister { key: Key::of(&own.registration), incarnation: None }])?;
    }
    Ok(ok())
}

pub(super) fn deregister_wrapped(call: &mut Call<'_>) -> Result<Response, Error> {
    deregister(call).map(|_| wrapped(200, 0, "success", "ok".into()))
}

fn find(call: &Call<'_>, said: &Said) -> Option<Instance> {
    let handle = call.registry.lookup(&said.named.namespace, &said.named.service(), &said.id())?;
    call.registry.instance(handle)
}

/// Renews, and makes healthy again what a missed beat or a report had made unhealthy; who is not enabled stays so. Whether there was anybody.
fn renew(call: &mut Call<'_>, said: &Said) -> Result<bool, Error> {
    let Some(own) = find(call, said) else { return Ok(false) };
    let enabled = own.registration.metadata.get(ENABLED).is_none();
    call.registry.beat(&own, if enabled { Health::Healthy } else { own.registration.health })?;
    Ok(true)
}

pub(super) fn beat(call: &mut Call<'_>) -> Result<Response, Error> {
    let text = String::from(call.text("beat"));
    let (said, may_register) = if text.is_empty() {
        (Said::of_parameters(call)?, false)
    } else {
        let document = Document::json(text.as_bytes()).map_err(|error| error.within("beat"))?;
        (Said::of_beat(call, document.root())?, true)
    };
    let mut known = renew(call, &said)?;
    if !known && may_register {
        put(call, &said)?;
        known = true;
    }
    let code: u64 = if known { 10_200 } else { 20_404 };
    let interval = millis(&said.metadata, BEAT_INTERVAL);
    let pairs = [("clientBeatInterval", Value::from(interval)), ("code", code.into()), ("lightBeatEnabled", true.into())];
    Ok(Response::json(200, &Value::map(pairs)))
}

pub(super) fn register_or_beat(call: &mut Call<'_>) -> Result<Response, Error> {
    let said = Said::of_parameters(call)?;
    if call.truth("heartBeat")? == Some(true) {
        if !renew(call, &said)? {
            return Err(Error::new(Code::UnknownLease, "ip"));
        }
    } else {
        put(call, &said)?;
    }
    Ok(wrapped(200, 0, "success", "ok".into()))
}
