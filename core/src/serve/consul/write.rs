//! Instances in Consul's words.

use alloc::string::String;
use alloc::vec::Vec;

use crate::formats::consul;
use crate::model::{AdminState, Instance, LeaseState};
use crate::serve::server::Server;
use crate::value::Value;

/// The metadata key of a check's id where it is not the usual one. Consul reserves what starts so, and no client of it sees it.
pub(super) const CHECK: &str = "consul-check";

/// On which node an instance is, and as what.
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) id: &'a str,
}

impl<'a> Place<'a> {
    /// An id that starts with its own node's name is of that node; any other is of the agent's, whatever node it names.
    pub(super) fn of(server: &'a Server, own: &'a Instance) -> Self {
        let (id, node) = (own.registration.id.as_str(), own.registration.locality.node.as_str());
        let behind = id.strip_prefix(node).and_then(|rest| rest.strip_prefix('/')).filter(|rest| !rest.is_empty() && !node.is_empty());
        behind.map_or(Self { node: &server.node, id }, |id| Self { node, id })
    }

    pub(super) fn is_agents(&self, server: &Server) -> bool {
        self.node == server.node
    }
}

/// `passing`, `warning` or `critical`, the worst of what is said.
pub(super) fn status(own: &Instance) -> &'static str {
    match (own.admin_state(), status_of_check(own)) {
        (AdminState::Enabled, status) => status,
        _ => "critical",
    }
}

fn status_of_check(own: &Instance) -> &'static str {
    if own.lease == LeaseState::Suspect { "critical" } else { consul::status(own.registration.health) }
}

/// The id of an instance's check.
pub(super) fn check_id(own: &Instance, place: &Place<'_>) -> String {
    own.registration.metadata.get(CHECK).map_or_else(|| alloc::format!("service:{}", place.id), String::from)
}

/// The host and the port: nothing and 0 when there is no endpoint.
fn address(own: &Instance) -> (String, u64) {
    let endpoint = own.registration.endpoints.first();
    let host = endpoint.map_or(String::new(), |endpoint| endpoint.host.bare());
    (host, endpoint.and_then(|endpoint| endpoint.port).map_or(0, u64::from))
}

fn meta(own: &Instance) -> Value {
    let registration = &own.registration;
    let pairs = registration.metadata.iter().filter(|(key, _)| *key != CHECK);
    let mut pairs: Vec<(&str, Value)> = pairs.map(|(key, value)| (key, value.into())).collect();
    if let Some(version) = registration.version.as_ref().filter(|_| registration.metadata.get("version").is_none()) {
        pairs.push(("version", Value::from(version.text().as_str())));
    }
    Value::map(pairs)
}

/// Weights are whole numbers there; 0 stays 0, which is never picked.
fn weights(own: &Instance) -> Value {
    let thousandths = own.registration.weight.thousandths();
    let whole = if thousandths == 0 { 0 } else { (thousandths.saturating_add(500) / 1_000).max(1) };
    Value::map([("Passing", u64::from(whole)), ("Warning", u64::from(whole))].map(|(key, weight)| (key, Value::from(weight))))
}

fn index(own: &Instance) -> Value {
    own.revision.saturating_add(1).into()
}

fn indexes(pairs: &mut Vec<(&'static str, Value)>, own: &Instance) {
    pairs.push(("CreateIndex", index(own)));
    pairs.push(("ModifyIndex", index(own)));
}

/// A node, of which an instance is told.
pub(super) fn node(server: &Server, own: &Instance) -> Value {
    let mut pairs = alloc::vec![
        ("ID", Value::from("")),
        ("Node", Place::of(server, own).node.into()),
        ("Address", address(own).0.as_str().into()),
        ("Datacenter", server.datacenter.as_str().into()),
        ("TaggedAddresses", Value::Map(Vec::new())),
        ("Meta", Value::Map(Vec::new())),
    ];
    indexes(&mut pairs, own);
    Value::map(pairs)
}

/// `Service` of an answer about health, and a service of the agent.
pub(super) fn service(server: &Server, own: &Instance) -> Value {
    let (place, (host, port)) = (Place::of(server, own), address(own));
    let locality = &own.registration.locality;
    let mut pairs = alloc::vec![
        ("ID", Value::from(place.id)),
        ("Service", own.registration.service.as_str().into()),
        ("Tags", own.registration.tags.to_value()),
        ("Address", host.as_str().into()),
        ("TaggedAddresses", Value::Map(Vec::new())),
        ("Meta", meta(own)),
        ("Port", port.into()),
        ("Weights", weights(own)),
        ("EnableTagOverride", false.into()),
        ("Datacenter", server.datacenter.as_str().into()),
    ];
    if !locality.region.is_empty() || !locality.zone.is_empty() {
        let places = [("Region", &locality.region), ("Zone", &locality.zone)];
        pairs.push(("Locality", Value::map(places.map(|(key, place)| (key, Value::from(place.as_str()))))));
    }
    indexes(&mut pairs, own);
    Value::map(pairs)
}

/// The checks of an instance: the one that it reports, if there is something to say, and that of maintenance.
pub(super) fn checks(server: &Server, own: &Instance) -> Vec<Value> {
    let (registration, place) = (&own.registration, Place::of(server, own));
    let check = |id: &str, name: &str, status: &str, notes: &str, output: &str, kind: &str| {
        let mut pairs = alloc::vec![
            ("Node", Value::from(place.node)),
            ("CheckID", id.into()),
            ("Name", name.into()),
            ("Status", status.into()),
            ("Notes", notes.into()),
            ("Output", output.into()),
            ("ServiceID", place.id.into()),
            ("ServiceName", registration.service.as_str().into()),
            ("ServiceTags", registration.tags.to_value()),
            ("Type", kind.into()),
            ("Interval", "".into()),
            ("Timeout", "".into()),
            ("ExposedPort", 0u64.into()),
            ("Definition", Value::Map(Vec::new())),
        ];
        indexes(&mut pairs, own);
        Value::map(pairs)
    };
    let mut checks = Vec::new();
    let leased = own.lease != LeaseState::Persistent;
    if leased || status_of_check(own) != "passing" {
        let name = alloc::format!("Service '{}' check", registration.service);
        let output = if own.lease == LeaseState::Suspect { "TTL expired" } else { "" };
        checks.push(check(&check_id(own, &place), &name, status_of_check(own), "", output, if leased { "ttl" } else { "" }));
    }
    if let Some(admin) = own.admin.as_ref().filter(|admin| admin.state != AdminState::Enabled) {
        let id = alloc::format!("_service_maintenance:{}", place.id);
        checks.push(check(&id, "Service Maintenance Mode", "critical", &admin.reason, "", "maintenance"));
    }
    checks
}

/// One entry of `/v1/health/service/:name`.
pub(super) fn entry(server: &Server, own: &Instance) -> Value {
    Value::map([("Node", node(server, own)), ("Service", service(server, own)), ("Checks", Value::List(checks(server, own)))])
}

/// One entry of `/v1/catalog/service/:name`.
pub(super) fn flat(server: &Server, own: &Instance) -> Value {
    let (place, (host, port)) = (Place::of(server, own), address(own));
    let empty = || Value::Map(Vec::new());
    let mut pairs = alloc::vec![
        ("ID", Value::from("")),
        ("Node", place.node.into()),
        ("Address", host.as_str().into()),
        ("Datacenter", server.datacenter.as_str().into()),
        ("TaggedAddresses", empty()),
        ("NodeMeta", empty()),
        ("ServiceKind", "".into()),
        ("ServiceID", place.id.into()),
        ("ServiceName", own.registration.service.as_str().into()),
        ("ServiceTags", own.registration.tags.to_value()),
        ("ServiceAddress", host.as_str().into()),
        ("ServiceTaggedAddresses", empty()),
        ("ServiceWeights", weights(own)),
        ("ServiceMeta", meta(own)),
        ("ServicePort", port.into()),
        ("ServiceEnableTagOverride", false.into()),
    ];
    indexes(&mut pairs, own);
    Value::map(pairs)
}
