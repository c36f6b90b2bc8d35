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
        registration.endpoints.push(Endpoint::new("http", &host, port).map_err(|error| error.within("Service"))?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::formats::{Feed, FeedConfig, Format};
    use crate::limits;
    use crate::model::Version;
    use crate::query::Query;
    use crate::registry::{Config, Registry};
    use std::format;

    const TWO: &str = r#"[
      {"Node": {"Node": "n1", "Address": "10.1.0.1", "Datacenter": "dc1", "Meta": {"zone": "z1"}, "TaggedAddresses": null},
       "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 8080, "Tags": ["version=v1.4.2", "not ours", "blue"],
                   "Meta": {"env": "prod", "n": 7, "bad key": "x"}, "Weights": {"Passing": 10, "Warning": 1}, "Extra": [1]},
       "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "service:web-1", "Status": "warning"}]},
      {"Node": {"Node": "n2", "Address": "10.1.0.2"},
       "Service": {"ID": "web-1", "Service": "web", "Address": "fd00::2", "Port": "443", "Tags": null, "Meta": null},
       "Checks": null}]"#;

    fn read(text: &str) -> Result<Decoded, Error> {
        health(text.as_bytes(), &Context::new("default"))
    }

    #[test]
    fn entries_become_registrations() {
        let decoded = read(TWO).unwrap();
        assert!(decoded.skipped.is_empty());
        let [one, two] = &decoded.instances[..] else { panic!() };
        let (one, two) = (&one.registration, &two.registration);
        assert_eq!((one.id.as_str(), one.service.as_str(), one.health, one.weight), ("n1/web-1", "web", Health::Degraded, Weight::ONE));
        assert_eq!(format!("{}", one.endpoints[0]), "http://10.1.0.1:8080");
        assert_eq!((one.locality.region.as_str(), one.locality.zone.as_str(), one.locality.node.as_str()), ("dc1", "z1", "n1"));
        assert_eq!(one.version, Version::parse("1.4.2").ok());
        assert_eq!(one.tags.iter().collect::<Vec<_>>(), ["blue", "version=v1.4.2"]);
        assert_eq!(one.metadata.iter().collect::<Vec<_>>(), [("env", "prod"), ("n", "7")]);
        assert_eq!((two.id.as_str(), two.health), ("n2/web-1", Health::Healthy));
        assert_eq!(format!("{}", two.endpoints[0]), "http://[fd00::2]:443");
    }

    #[test]
    fn bad_entries_are_told_and_bad_documents_change_nothing() {
        let mut registry = Registry::new(Config::default()).unwrap();
        let config = FeedConfig::new("consul:dc1", Format::ConsulHealth).service("web");
        let push = |registry: &mut Registry, body: &str| Feed::new(config.clone())?.take(registry, body.as_bytes(), Timestamp::ZERO);
        assert_eq!(push(&mut registry, TWO).unwrap().added, 2);
        for (from, to, field) in [
            ("\"Port\": 8080", "\"Port\": 70000", "Service.Port"),
            ("\"Service\": {\"ID\": \"web-1\", \"Service\": \"web\", \"Address\": \"\"", "\"Service\": null, \"X\": {\"ID\": 1", "Service"),
            ("\"ID\": \"web-1\", \"Service\": \"web\", \"Address\": \"\"", "\"ID\": null", "Service.ID"),
            ("10.1.0.1", "0177.0.0.1", "Service.host"),
            ("\"Passing\": 10, \"Warning\": 1", "\"Warning\": -1", "Service.Weights.weight"),
        ] {
            let outcome = push(&mut registry, &TWO.replacen(from, to, 1)).unwrap();
            assert_eq!(outcome.skipped[0].error.field(), field);
            assert_eq!((outcome.removed, registry.len()), (0, 2), "{field}");
        }
        let before = registry.snapshot();
        for body in ["", "{}", "[", "<html>", r#"[{"Node":{},"Node":{}}]"#, "\"x\""] {
            assert!(push(&mut registry, body).is_err(), "{body}");
        }
        assert_eq!(registry.snapshot(), before);
        for body in ["[]", "null"] {
            assert_eq!(push(&mut registry, body).unwrap().held, 2);
        }
        assert_eq!(registry.query(&Query::service("web")).handles.len(), 2);
    }

    /// One entry with one part of it replaced by JSON text.
    fn one(part: &str, json: &str) -> Result<Registration, Error> {
        let mut parts = [("Node", r#"{"Node":"n1","Address":"10.1.0.1","Datacenter":"dc1"}"#), ("Service", "null"), ("Checks", "null")];
        let service = r#"{"ID":"w","Service":"web","Port":80}"#;
        parts[1].1 = service;
        for own in &mut parts {
            if own.0 == part {
                own.1 = json;
            }
        }
        let text: Vec<String> = parts.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        let mut decoded = read(&format!("[{{{}}}]", text.join(","))).unwrap();
        decoded.instances.pop().map(|entry| entry.registration).ok_or_else(|| decoded.skipped.remove(0).error)
    }

    fn service(more: &str) -> Result<Registration, Error> {
        one("Service", &format!(r#"{{"ID":"w","Service":"web",{more}}}"#))
    }

    #[test]
    fn ports_are_numbers_or_texts_and_none_when_zero() {
        for (json, port) in [("80", Some(80)), ("\"80\"", Some(80)), ("80.0", Some(80)), ("65535", Some(65_535)), ("1", Some(1))] {
            assert_eq!(service(&format!("\"Port\":{json}")).unwrap().endpoints[0].port, port, "{json}");
        }
        for json in ["0", "\"0\"", "null", "\"\""] {
            assert_eq!(service(&format!("\"Port\":{json}")).unwrap().endpoints[0].port, None, "{json}");
        }
        for json in ["65536", "-1", "80.5", "\"http\"", "\" 80\"", "\"1e3\"", "\"inf\"", "[80]", "{}", "true", "1e300", "\"65536\""] {
            let error = service(&format!("\"Port\":{json}")).unwrap_err();
            assert_eq!((error.code(), error.field(), error.limit_value()), (Code::InvalidAddress, "Service.Port", Some(65_535)), "{json}");
        }
    }

    #[test]
    fn health_is_the_worst_check() {
        let statuses = |list: &[&str]| -> (Health, Weight) {
            let checks: Vec<String> = list.iter().map(|status| format!(r#"{{"Status":"{status}"}}"#)).collect();
            let own = one("Checks", &format!("[{}]", checks.join(","))).unwrap();
            (own.health, own.weight)
        };
        assert_eq!(statuses(&[]), (Health::Healthy, Weight::ONE));
        assert_eq!(statuses(&["passing", "passing"]), (Health::Healthy, Weight::ONE));
        assert_eq!(statuses(&["warning", "passing"]), (Health::Degraded, Weight::ONE));
        assert_eq!(statuses(&["critical", "warning", "passing"]), (Health::Unhealthy, Weight::ONE));
        assert_eq!(statuses(&["warning", "critical"]), (Health::Unhealthy, Weight::ONE));
        assert_eq!(statuses(&["passing", "sleepy"]), (Health::Healthy, Weight::ZERO));
        for id in ["_node_maintenance", "_service_maintenance:w", "_service_maintenance"] {
            let checks = format!(r#"[{{"CheckID":"{id}","Status":"critical"}},{{"CheckID":"serfHealth","Status":"passing"}}]"#);
            assert_eq!(one("Checks", &checks).unwrap().health, Health::Unhealthy, "{id}");
        }
    }

    #[test]
    fn weights_go_by_health_and_may_be_texts() {
        let weigh = |json: &str| service(&format!("\"Weights\":{json}")).map(|own| own.weight.as_f64());
        for (json, weight) in [
            ("{\"Passing\":5}", 5.0),
            ("{\"Passing\":\"5\"}", 5.0),
            ("{\"Passing\":0}", 0.0),
            ("{}", 1.0),
            ("null", 1.0),
            ("{\"Passing\":null}", 1.0),
        ] {
            assert_eq!(weigh(json), Ok(weight), "{json}");
        }
        for json in ["-1", "65536", "\"many\"", "[1]"] {
            assert_eq!(weigh(&format!("{{\"Passing\":{json}}}")).unwrap_err().code(), Code::InvalidWeight, "{json}");
        }
    }

    #[test]
    fn what_only_describes_is_left_out_when_it_does_not_fit() {
        let long = "x".repeat(600);
        let own = service(&format!(
            r#""Tags":["ok","{long}","a b",7,null,{{}},"version=nope","version=2.0.0"],
               "Meta":{{"a":"{long}","b c":"1","d":true,"e":1.5,"f":[1],"g":"line\nbreak","version":"latest","zone":"my zone"}},
               "Locality":{{"Region":"{long}","Zone":""}}"#
        ))
        .unwrap();
        assert_eq!(own.tags.iter().collect::<Vec<_>>(), ["7", "ok", "version=2.0.0", "version=nope"]);
        assert_eq!(own.metadata.iter().collect::<Vec<_>>(), [("d", "true"), ("version", "latest"), ("zone", "my zone")]);
        assert_eq!(own.version, Version::parse("2.0.0").ok());
        assert_eq!(own.locality, Locality { node: "n1".into(), ..Locality::default() });
        let many: Vec<String> = (0..100).map(|i| format!("\"k{i:03}\":\"v\"")).collect();
        let tags: Vec<String> = (0..100).map(|i| format!("\"t{i:03}\"")).collect();
        let own = service(&format!("\"Meta\":{{{}}},\"Tags\":[{}]", many.join(","), tags.join(","))).unwrap();
        assert_eq!((own.metadata.len(), own.tags.iter().count()), (limits::METADATA_PAIRS, limits::TAGS));
        let own = one("Node", r#"{"Node":"n1","Address":"10.1.0.1","Datacenter":"dc1","Locality":{"Region":"r","Zone":"z"}}"#).unwrap();
        assert_eq!((own.locality.region.as_str(), own.locality.zone.as_str()), ("r", "z"));
    }

    #[test]
    fn what_decides_is_never_guessed() {
        for (part, json, code, field) in [
            ("Node", "null", Code::MissingField, "Node"),
            ("Node", "[]", Code::MissingField, "Node"),
            ("Node", r#"{"Address":"10.1.0.1"}"#, Code::MissingField, "Node.Node"),
            ("Node", r#"{"Node":"n1"}"#, Code::MissingField, "Service.host"),
            ("Node", r#"{"Node":"n 1","Address":"10.1.0.1"}"#, Code::InvalidName, "id"),
            ("Service", "\"web\"", Code::MissingField, "Service"),
            ("Service", r#"{"ID":"w"}"#, Code::MissingField, "service"),
            ("Service", r#"{"ID":"w","Service":"a web"}"#, Code::InvalidName, "service"),
            ("Service", r#"{"ID":"w","Service":"__proto__"}"#, Code::InvalidName, "service"),
            ("Service", r#"{"ID":"w","Service":"web","Address":"http://10.0.0.1:80"}"#, Code::InvalidAddress, "Service.host"),
            ("Service", r#"{"ID":"w","Service":"web","Address":"/run/web.sock"}"#, Code::InvalidAddress, "Service.host"),
        ] {
            let error = one(part, json).unwrap_err();
            assert_eq!((error.code(), error.field()), (code, field), "{part} {json}");
        }
        let long = format!(r#"{{"ID":"{}","Service":"web"}}"#, "i".repeat(limits::ID_BYTES));
        assert_eq!(one("Service", &long).unwrap_err().limit_value(), Some(limits::ID_BYTES as u64));
    }

    #[test]
    fn what_is_skipped_is_told_by_its_place_in_the_payload() {
        let entry = |id: &str, host: &str| {
            format!(r#"{{"Node":{{"Node":"n","Address":"{host}"}},"Service":{{"ID":"{id}","Service":"web","Port":80}}}}"#)
        };
        let body = [
            entry("a", "nowhere at all"),
            entry("b", "10.0.0.1"),
            entry("c", "127.0.0.1"),
            entry("b", "10.0.0.2"),
            "null".into(),
            entry("d", "169.254.1.1"),
        ];
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut feed = Feed::new(FeedConfig::new("consul:dc1", Format::ConsulHealth)).unwrap();
        // The first entry that was read names the service.
        let outcome = feed.take(&mut registry, format!("[{}]", body.join(",")).as_bytes(), Timestamp::ZERO).unwrap();
        let told: Vec<_> = outcome.skipped.iter().map(|skipped| (skipped.index, skipped.error.code())).collect();
        assert_eq!(
            told,
            [
                (0, Code::InvalidAddress),
                (2, Code::AddressRefused),
                (3, Code::DuplicateKey),
                (4, Code::MissingField),
                (5, Code::AddressRefused)
            ]
        );
        assert_eq!((outcome.added, registry.len()), (1, 1));
    }

    #[test]
    fn a_node_with_a_slash_in_its_name_is_written_as_it_was_read() {
        let entry = r#"[{"Node":{"Node":"/1","Address":"10.0.0.1"},"Service":{"ID":"a","Service":"web"}}]"#;
        let once = read(entry).unwrap().instances;
        assert_eq!(once[0].registration.id, "/1/a");
        let written = encode(&[once[0].registration.clone()]);
        assert_eq!(read(core::str::from_utf8(&written).unwrap()).unwrap().instances, once);
    }

    #[test]
    fn every_cut_of_a_document_is_an_error() {
        for cut in 1..TWO.trim_end().len() {
            assert!(read(TWO.get(..cut).unwrap()).is_err());
        }
    }
}
