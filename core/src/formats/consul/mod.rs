//! Consul: `/v1/health/service/:name`, `/v1/query/:id/execute`, `/v1/catalog/service/:name`, `/v1/catalog/services` and `/v1/agent/services`.
//!
//! | ours | Consul's |
//! |---|---|
//! | id | `Node.Node` `/` `Service.ID`: a service id alone is not unique among nodes; of an agent's own services, the service id |
//! | service | `Service.Service`, `ServiceName` |
//! | endpoint | `http`, `Service.Address` or, when that is empty, `Node.Address`; `Service.Port`, none when it is 0 |
//! | health | the worst of `Checks`: critical is unhealthy, warning is degraded, passing or no check is healthy. The catalogue and the agent's services have no checks: unknown |
//! | maintenance | a check of maintenance mode, of the service or of the node, is critical: health, and no override, so that it never undoes the word of an operator of ours |
//! | weight | `Service.Weights.Warning` when degraded, else `.Passing`; 1 when absent; 0 when a check has a status nobody knows (consul#4468) |
//! | region | `Service.Locality.Region`, `Node.Locality.Region`, or `Node.Datacenter` |
//! | zone | `Service.Locality.Zone`, `Node.Locality.Zone`, or the metadata `zone` of the service or the node |
//! | node | `Node.Node` |
//! | version | the first that is a semantic version, with or without a `v`: the metadata `version`, then the tags `version=...` |
//! | tags, metadata | `Service.Tags`, `Service.Meta` |
//!
//! A tag, a pair of metadata or a part of the locality that is outside our limits is left out; the instance is not. What decides where calls
//! go (names, id, address, port, weight) is never guessed: an entry that is wrong there is skipped.

#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, fit};
use crate::error::{Code, Error};
use crate::model::{Endpoint, Health, Locality, Registration, Weight, check_name};
use crate::value::Value;

/// Where the keys of one kind of answer are: in maps of their own, or side by side with a prefix.
struct Keys {
    service: &'static str,
    id: &'static str,
    tags: &'static str,
    address: &'static str,
    port: &'static str,
    meta: &'static str,
    weights: &'static str,
    /// What errors name.
    within: &'static str,
}

const NESTED: Keys = Keys {
    service: "Service",
    id: "ID",
    tags: "Tags",
    address: "Address",
    port: "Port",
    meta: "Meta",
    weights: "Weights",
    within: "Service.",
};

const FLAT: Keys = Keys {
    service: "ServiceName",
    id: "ServiceID",
    tags: "ServiceTags",
    address: "ServiceAddress",
    port: "ServicePort",
    meta: "ServiceMeta",
    weights: "ServiceWeights",
    within: "",
};

/// Reads the answer of `/v1/health/service/:name`.
///
/// # Errors
/// [`Code::Malformed`] when it is no list, and those of the document.
pub(super) fn health(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    entries(document.root(), "body", |node| entry(node, context.namespace), name)
}

/// Reads the answer of `/v1/query/:id/execute`: the entries are in `Nodes`.
///
/// # Errors
/// [`Code::Malformed`] when it is no map of a service, and those of the document.
pub(super) fn query(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    let Some(nodes) = root.pairs().find(|(key, _)| *key == "Nodes").map(|(_, nodes)| nodes) else {
        return Err(Error::new(Code::Malformed, "Nodes").message("expected a list of entries"));
    };
    entries(nodes, "Nodes", |node| entry(node, context.namespace), name)
}

/// Reads the answer of `/v1/catalog/service/:name`: one flat map for each.
///
/// # Errors
/// [`Code::Malformed`] when it is no list, and those of the document.
pub(super) fn catalog(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let read = |map| flat(map).registration(context.namespace, Health::Unknown, true).map(|own| Entry::new(0, own));
    entries(document.root(), "body", read, |map| flat(map).name())
}

fn flat(map: Node<'_>) -> Said<'_> {
    Said { node: Some(map), service: map, keys: &FLAT }
}

/// Reads the answer of `/v1/agent/services`: a map by id. An agent does not say its own address: a service without one is skipped.
///
/// # Errors
/// [`Code::Malformed`] when it is no map, and those of the document.
pub(super) fn agent(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    if !root.is_map() && !root.is_null() {
        return Err(Error::new(Code::Malformed, "body").message("expected a map of services"));
    }
    let mut decoded = Decoded::default();
    for (index, (_, service)) in root.pairs().enumerate() {
        let said = Said { node: None, service, keys: &NESTED };
        let read = said.registration(context.namespace, Health::Unknown, true);
        decoded.take(index, read.map(|own| Entry::new(0, own)), || said.name());
    }
    Ok(decoded)
}

/// Reads the answer of `/v1/catalog/services`: names of services with their tags, and no instances.
///
/// # Errors
/// [`Code::Malformed`] when it is no map, and those of the document.
pub(super) fn services(bytes: &[u8], _: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    if !root.is_map() {
        return Err(Error::new(Code::Malformed, "body").message("expected a map of services"));
    }
    let mut decoded = Decoded::default();
    for (index, (name, _)) in root.pairs().enumerate() {
        match check_name("service", name) {
            Ok(()) => decoded.services.push(name.to_string()),
            Err(error) => decoded.skip(index, name.to_string(), String::new(), error),
        }
    }
    Ok(decoded)
}

fn entries<'d>(
    list: Node<'d>,
    field: &str,
    read: impl Fn(Node<'d>) -> Result<Entry, Error>,
    name: impl Fn(Node<'d>) -> (String, String),
) -> Result<Decoded, Error> {
    if !list.is_list() && !list.is_null() {
        return Err(Error::new(Code::Malformed, field).message("expected a list of entries"));
    }
    let mut decoded = Decoded::default();
    for (index, node) in list.items().enumerate() {
        decoded.take(index, read(node), || name(node));
    }
    Ok(decoded)
}

/// The service and id of an entry, as far as it tells them.
fn name(entry: Node<'_>) -> (String, String) {
    let service = entry.get("Service");
    service.map(|service| Said { node: entry.get("Node"), service, keys: &NESTED }.name()).unwrap_or_default()
}

fn entry(entry: Node<'_>, namespace: &str) -> Result<Entry, Error> {
    let part = |name| entry.get(name).filter(|part| part.is_map()).ok_or_else(|| Error::new(Code::MissingField, name));
    let (node, service) = (part("Node")?, part("Service")?);
    let (health, known) = worst(entry);
    let said = Said { node: Some(node), service, keys: &NESTED };
    Ok(Entry::new(0, said.registration(namespace, health, known)?))
}

/// What an answer says of one instance.
struct Said<'d> {
    node: Option<Node<'d>>,
    service: Node<'d>,
    keys: &'static Keys,
}

impl<'d> Said<'d> {
    fn error(&self, code: Code, key: &str) -> Error {
        Error::new(code, alloc::format!("{}{key}", self.keys.within))
    }

    fn of_node(&self, key: &str) -> Cow<'d, str> {
        self.node.map(|node| node.text(key)).unwrap_or_default()
    }

    fn name(&self) -> (String, String) {
        let (node, id) = (self.of_node("Node"), self.service.text(self.keys.id));
        let id = match (self.node, id.is_empty() || node.is_empty()) {
            (None, _) => id.into_owned(),
            (Some(_), true) => String::new(),
            (Some(_), false) => alloc::format!("{node}/{id}"),
        };
        (self.service.text(self.keys.service).into_owned(), id)
    }

    fn registration(&self, namespace: &str, health: Health, known: bool) -> Result<Registration, Error> {
        if self.service.text(self.keys.id).is_empty() {
            return Err(self.error(Code::MissingField, self.keys.id));
        }
        if self.node.is_some() && self.of_node("Node").is_empty() {
            return Err(Error::new(Code::MissingField, if self.keys.within.is_empty() { "Node" } else { "Node.Node" }));
        }
        let (service, id) = self.name();
        let mut registration = Registration::new(service, id).namespace(namespace).health(health);
        let host = Some(self.service.text(self.keys.address)).filter(|host| !host.is_empty()).unwrap_or_else(|| self.of_node("Address"));
        let field = alloc::format!("{}{}", self.keys.within, self.keys.port);
        let port = self.service.get(self.keys.port).map_or(Ok(None), |port| port.port(&field))?;
        registration.endpoints = alloc::vec![Endpoint::new("http", &host, port).map_err(|error| error.within("Service"))?];
        registration.weight = if known { self.weight(health)? } else { Weight::ZERO };
        registration.locality = self.locality();
        let tags: Vec<Cow<'_, str>> = self.service.list(self.keys.tags).filter_map(Node::scalar).collect();
        let own = self.service.get(self.keys.meta).map(|meta| meta.text("version")).unwrap_or_default();
        let tagged = tags.iter().filter_map(|tag| tag.strip_prefix("version="));
        registration.version = fit::version(core::iter::once(&*own).chain(tagged));
        registration.tags = fit::tags(tags.iter().map(|tag| Cow::Borrowed(&**tag)));
        registration.metadata = fit::metadata(fit::pairs(self.service.get(self.keys.meta)));
        registration.validate()?;
        Ok(registration)
    }

    fn weight(&self, health: Health) -> Result<Weight, Error> {
        let key = if health == Health::Degraded { "Warning" } else { "Passing" };
        match self.service.path(&[self.keys.weights, key]).and_then(Node::number) {
            Some(weight) => Weight::new(weight).map_err(|error| error.within(&alloc::format!("{}{}", self.keys.within, self.keys.weights))),
            None => Ok(Weight::ONE),
        }
    }

    fn locality(&self) -> Locality {
        let node = self.node.filter(|_| !self.keys.within.is_empty());
        let places = [self.service.get("Locality"), node.and_then(|node| node.get("Locality"))];
        let place = |key| places.into_iter().flatten().map(|place| place.text(key)).find(|text| !text.is_empty());
        let of_node = if self.keys.within.is_empty() { "NodeMeta" } else { "Meta" };
        let metas = [self.service.get(self.keys.meta), self.node.and_then(|node| node.get(of_node))];
        let zone = metas.into_iter().flatten().map(|meta| meta.text("zone")).find(|text| !text.is_empty());
        // An agent says the datacenter with the service.
        let center = self.node.unwrap_or(self.service).text("Datacenter");
        Locality {
            region: fit::place(&place("Region").unwrap_or(center)),
            zone: fit::place(&place("Zone").or(zone).unwrap_or_default()),
            subzone: String::new(),
            node: fit::place(&self.of_node("Node")),
        }
    }
}

/// The worst of the checks, and whether all of their statuses are known.
fn worst(entry: Node<'_>) -> (Health, bool) {
    let mut worst = Health::Healthy;
    let mut known = true;
    for check in entry.list("Checks") {
        let id = check.text("CheckID");
        if id == "_node_maintenance" || id.starts_with("_service_maintenance") {
            worst = Health::Unhealthy;
            continue;
        }
        match &*check.text("Status") {
            "passing" | "" => {}
            "warning" if worst == Health::Healthy => worst = Health::Degraded,
            "warning" => {}
            "critical" => worst = Health::Unhealthy,
            _ => known = false,
        }
    }
    (worst, known)
}

/// Writes the answer of `/v1/health/service/:name`, as far as Consul can say it: one HTTP address, no sub-zone, no lease.
///
/// An id `NODE/ID` is taken apart; any other is that of a service on the instance's node, or on the node `callboard`.
pub(super) fn encode(instances: &[Registration]) -> Vec<u8> {
    Value::List(instances.iter().map(written).collect()).to_json()
}

/// The status of a check that says this.
pub(crate) fn status(health: Health) -> &'static str {
    match health {
        Health::Degraded => "warning",
        Health::Unhealthy | Health::Starting => "critical",
        Health::Healthy | Health::Unknown => "passing",
    }
}

fn written(own: &Registration) -> Value {
    let locality = &own.locality;
    let otherwise = if locality.node.is_empty() { "callboard" } else { &locality.node };
    // A node may have a slash in its name.
    let behind_node = own.id.strip_prefix(locality.node.as_str()).and_then(|rest| rest.strip_prefix('/')).map(|id| (&*locality.node, id));
    let split = behind_node.or_else(|| own.id.split_once('/')).filter(|(node, id)| !node.is_empty() && !id.is_empty());
    let (node, id) = split.unwrap_or((otherwise, &own.id));
    let status = status(own.health);
    let endpoint = own.endpoints.first();
    let address = endpoint.map_or(String::new(), |endpoint| endpoint.host.bare());
    let port = endpoint.and_then(|endpoint| endpoint.port).map_or(0, u64::from);
    let text = |text: &str| Value::from(text);
    let mut meta: Vec<(&str, Value)> = own.metadata.iter().map(|(key, value)| (key, text(value))).collect();
    let tagged = own.tags.iter().filter_map(|tag| tag.strip_prefix("version="));
    let told = fit::version(own.metadata.get("version").into_iter().chain(tagged));
    if let Some(version) = own.version.as_ref().filter(|version| told.as_ref() != Some(*version)) {
        meta.retain(|(key, _)| *key != "version");
        meta.push(("version", text(&version.text())));
    }
    let weight = Value::from(own.weight.as_f64());
    let check = Value::map([
        ("Node", text(node)),
        ("CheckID", alloc::format!("service:{id}").into()),
        ("Status", text(status)),
        ("ServiceID", text(id)),
    ]);
    Value::map([
        ("Node", Value::map([("Node", text(node)), ("Address", text(&address)), ("Datacenter", text(&locality.region))])),
        (
            "Service",
            Value::map([
                ("ID", text(id)),
                ("Service", text(&own.service)),
                ("Tags", own.tags.to_value()),
                ("Address", text(&address)),
                ("Meta", Value::map(meta)),
                ("Port", port.into()),
                ("Weights", Value::map([("Passing", weight.clone()), ("Warning", weight)])),
                ("Locality", Value::map([("Region", text(&locality.region)), ("Zone", text(&locality.zone))])),
            ]),
        ),
        ("Checks", Value::List(alloc::vec![check])),
    ])
}
