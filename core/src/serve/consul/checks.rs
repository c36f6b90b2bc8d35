//! Checks: the TTL check of a service, which is its lease.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::agent::{done, health};
use super::write::{self, CHECK, Place};
use super::{Call, Refusal, document, find, get, refuse, span, text};
use crate::formats::document::Node;
use crate::limits;
use crate::model::{Health, Instance, Lease, LeaseState, Metadata, Registration};
use crate::query::{HealthFilter, Query, Selector};
use crate::registry::{Op, Put};
use crate::serve::http::Reply;

/// Consul takes a service out no sooner than this after it became critical.
const CRITICAL_LEAST: Duration = Duration::from_secs(60);

/// What tells a check of another kind than TTL: somebody would have to run it.
const RUN: [&str; 13] = [
    "HTTP",
    "TCP",
    "UDP",
    "GRPC",
    "Args",
    "ScriptArgs",
    "Script",
    "Shell",
    "DockerContainerID",
    "H2PING",
    "OSService",
    "AliasService",
    "AliasNode",
];

/// A TTL check as it is registered.
pub(super) struct Check {
    /// Its id, when it is not the usual one.
    id: Option<String>,
    lease: Lease,
    health: Option<Health>,
}

impl Check {
    /// The check in `Check` or `Checks` of a service.
    pub(super) fn of_service(said: Node<'_>, id: &str) -> Result<Option<Self>, Refusal> {
        let all: Vec<Node<'_>> = ["Check", "Checks"].into_iter().filter_map(|key| get(said, key)).flat_map(Node::items).collect();
        match all.as_slice() {
            [] => Ok(None),
            [one] => Self::read(*one, &alloc::format!("service:{id}")).map(Some),
            _ => refuse(400, "Invalid check: a service here has one check, of TTL"),
        }
    }

    /// Reads one, whose usual id is another's to know.
    fn read(said: Node<'_>, usual: &str) -> Result<Self, Refusal> {
        if !said.is_map() {
            return refuse(400, "Invalid check: expected a map");
        }
        let runs = |key: &&&str| get(said, key).is_some_and(|node| node.as_str() != Some("") && node.items().next().is_some());
        if let Some(kind) = RUN.iter().find(runs) {
            return refuse(400, alloc::format!("Invalid check: {kind} checks are not run here: report to a TTL check instead"));
        }
        let ttl = text(said, "TTL")?;
        if ttl.is_empty() {
            return refuse(400, "Invalid check: TTL must be > 0 for TTL checks");
        }
        let after = text(said, "DeregisterCriticalServiceAfter")?;
        let day = Duration::from_micros(limits::TTL_MAX_MICROS);
        let grace = if after.is_empty() { day } else { span::parse("DeregisterCriticalServiceAfter", after)?.clamp(CRITICAL_LEAST, day) };
        let status = text(said, "Status")?;
        let told = health(status);
        if told.is_none() && !status.is_empty() {
            return refuse(400, "Invalid check: Status for checks must 'passing', 'warning', 'critical'");
        }
        let id = [text(said, "CheckID")?, text(said, "ID")?].into_iter().find(|id| !id.is_empty() && *id != usual);
        Ok(Self { id: id.map(String::from), lease: Lease::new(span::parse("TTL", ttl)?, grace)?, health: told })
    }

    /// Makes it a service's check. One that was there before keeps its status, as in Consul.
    pub(super) fn put(self, own: &mut Registration, before: Option<&Instance>) -> Result<(), Refusal> {
        let kept = before.filter(|before| before.lease != LeaseState::Persistent).map(|before| before.registration.health);
        own.lease = Some(self.lease);
        own.health = kept.or(self.health).unwrap_or(Health::Unhealthy);
        own.metadata = with_check(&own.metadata, self.id.as_deref())?;
        Ok(())
    }
}

/// The metadata with another id of a check.
fn with_check(metadata: &Metadata, id: Option<&str>) -> Result<Metadata, Refusal> {
    let others = metadata.iter().filter(|(key, _)| *key != CHECK);
    Ok(Metadata::new(others.chain(id.map(|id| (CHECK, id))))?)
}

pub(super) fn register(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let document = document(call.request)?;
    let said = document.root();
    let name = text(said, "Name")?;
    if name.is_empty() {
        return refuse(400, "Missing check name");
    }
    let id = text(said, "ServiceID")?;
    if id.is_empty() {
        return refuse(400, "Invalid check: a check here is of a service: name its ServiceID");
    }
    let Some(before) = find(call, id) else {
        return refuse(404, alloc::format!("ServiceID \"{id}\" does not exist"));
    };
    let mut check = Check::read(said, &alloc::format!("service:{id}"))?;
    if check.id.is_none() && text(said, "CheckID")?.is_empty() && text(said, "ID")?.is_empty() {
        check.id = Some(name.into());
    }
    let mut own = before.registration.clone();
    check.put(&mut own, Some(&before))?;
    call.registry.apply(&[Op::Register { registration: own, put: Put::default() }])?;
    Ok(done())
}

pub(super) fn deregister(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut own = known(call)?.registration;
    own.metadata = with_check(&own.metadata, None)?;
    own.lease = None;
    own.health = Health::Healthy;
    call.registry.apply(&[Op::Register { registration: own, put: Put::default() }])?;
    Ok(done())
}

pub(super) fn pass(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    report(call, Health::Healthy)
}

pub(super) fn warn(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    report(call, Health::Degraded)
}

pub(super) fn fail(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    report(call, Health::Unhealthy)
}

pub(super) fn update(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let document = document(call.request)?;
    let status = text(document.root(), "Status")?;
    match health(status) {
        Some(health) => report(call, health),
        None => refuse(400, alloc::format!("Invalid check status: '{status}'")),
    }
}

fn report(call: &mut Call<'_>, health: Health) -> Result<Reply, Refusal> {
    let own = known(call)?;
    if own.lease == LeaseState::Persistent {
        return refuse(400, alloc::format!("CheckID \"{}\" does not have associated TTL", call.name(0)));
    }
    call.registry.beat(&own, health)?;
    Ok(done())
}

/// The service of the check that the path names.
fn known(call: &Call<'_>) -> Result<Instance, Refusal> {
    let id = call.name(0);
    let is = |own: &Instance| {
        let place = Place::of(call.server, own);
        place.is_agents(call.server) && write::check_id(own, &place) == id
    };
    let usual = id.strip_prefix("service:").and_then(|id| find(call, id)).filter(is);
    let found = match usual {
        Some(own) => Some(own),
        None => {
            let quoted = id.replace('\\', "\\\\").replace('"', "\\\"");
            let selector = Selector::parse(&alloc::format!("meta.{CHECK} = \"{quoted}\""))?;
            let query = Query { selector, ..Query::everything() }.namespace(call.server.namespace.as_str()).health(HealthFilter::Any);
            call.registry.instances(&query).into_iter().find(is)
        }
    };
    let unknown = || Refusal(404, alloc::format!("Unknown check ID \"{id}\". Ensure that the check ID is passed, not the check name."));
    found.ok_or_else(unknown)
}
