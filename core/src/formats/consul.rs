//! Consul: the answer of `GET /v1/health/service/:name`.
//!
//! | ours | Consul's |
//! |---|---|
//! | id | `Node.Node` `/` `Service.ID`: a service id alone is not unique among nodes |
//! | service | `Service.Service` |
//! | endpoint | `http`, `Service.Address` or, when that is empty, `Node.Address`; `Service.Port`, none when it is 0 |
//! | health | the worst of `Checks`: critical is unhealthy, warning is degraded, passing or no check is healthy; a maintenance check is critical |
//! | weight | `Service.Weights.Warning` when degraded, else `.Passing`; 1 when absent; 0 when a check has a status nobody knows (consul#4468) |
//! | region | `Service.Locality.Region`, `Node.Locality.Region`, or `Node.Datacenter` |
//! | zone | `Service.Locality.Zone`, `Node.Locality.Zone`, or the metadata `zone` of the service or the node |
//! | node | `Node.Node` |
//! | version | the metadata `version` or a tag `version=...`, when it is a semantic version, with or without a `v` |
//! | tags, metadata | `Service.Tags`, `Service.Meta`; one that is outside our limits is left out, the instance is not |

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::Decoded;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{Endpoint, Health, Metadata, Registration, Tags, Version, Weight};
use crate::registry::Skipped;
use crate::value::Value;

/// Reads the answer of `/v1/health/service/:name`.
///
/// # Errors
/// [`Code::Malformed`] when it is no list, and those of [`Value::from_json`].
pub fn health(bytes: &[u8], namespace: &str) -> Result<Decoded, Error> {
    let document = Value::from_json(bytes)?;
    let entries = match &document {
        Value::Null => &[][..],
        Value::List(entries) => entries,
        _ => return Err(Error::new(Code::Malformed, "body").message("expected a list of entries")),
    };
    let mut decoded = Decoded::default();
    for (index, value) in entries.iter().enumerate() {
        match entry(value, namespace) {
            Ok(registration) => decoded.instances.push(registration),
            Err(error) => {
                let (service, id) = name(value);
                decoded.skipped.push(Skipped { index, id: id.clone(), error });
                decoded.kept.push((service, id));
            }
        }
    }
    Ok(decoded)
}

/// The service and id of an entry, as far as it tells them.
fn name(entry: &Value) -> (String, String) {
    let part = |map, key| entry.get(map).map_or(Cow::Borrowed(""), |map| text(map, key)).into_owned();
    (
        part("Service", "Service"),
        alloc::format!("{}/{}", part("Node", "Node"), part("Service", "ID")).chars().take(limits::ID_BYTES).collect(),
    )
}

fn entry(entry: &Value, namespace: &str) -> Result<Registration, Error> {
    let part = |name| entry.get(name).filter(|part| part.as_map().is_some()).ok_or_else(|| Error::new(Code::MissingField, name));
    let (node, service) = (part("Node")?, part("Service")?);
    let id = match (text(node, "Node"), text(service, "ID")) {
        (_, id) if id.is_empty() => return Err(Error::new(Code::MissingField, "Service.ID")),
        (node, _) if node.is_empty() => return Err(Error::new(Code::MissingField, "Node.Node")),
        (node, id) => alloc::format!("{node}/{id}"),
    };
    let mut registration = Registration::new(text(service, "Service"), id).namespace(namespace);

    let host = Some(text(service, "Address")).filter(|host| !host.is_empty()).unwrap_or_else(|| text(node, "Address"));
    let port = port(service)?;
    registration.endpoints.push(Endpoint::new("http", &host, port).map_err(|error| error.within("Service"))?);

    let (health, known) = worst(entry.get("Checks").and_then(Value::as_list).unwrap_or_default());
    registration.health = health;
    registration.weight = if known { weight(service, health)? } else { Weight::ZERO };

    let places = [service.get("Locality"), node.get("Locality")];
    let place = |key| places.into_iter().flatten().map(|place| text(place, key)).find(|text| !text.is_empty()).unwrap_or_default();
    let meta =
        |key| [service.get("Meta"), node.get("Meta")].into_iter().flatten().map(|meta| text(meta, key)).find(|text| !text.is_empty());
    let locality = &mut registration.locality;
    locality.region = Some(place("Region")).filter(|region| !region.is_empty()).unwrap_or_else(|| text(node, "Datacenter")).into_owned();
    locality.zone = Some(place("Zone")).filter(|zone| !zone.is_empty()).or_else(|| meta("zone")).unwrap_or_default().into_owned();
    locality.node = text(node, "Node").into_owned();

    let tags: Vec<&str> = service.get("Tags").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    let tagged = || tags.iter().find_map(|tag| tag.strip_prefix("version=")).map(Cow::Borrowed);
    let own_version = service.get("Meta").map(|meta| text(meta, "version")).filter(|version| !version.is_empty());
    let version = own_version.or_else(tagged);
    registration.version = version.and_then(|version| Version::parse(version.strip_prefix('v').unwrap_or(&version)).ok());
    let fits = |tag: &&&str| Tags::new([**tag]).is_ok();
    registration.tags = Tags::new(tags.iter().filter(fits).take(limits::TAGS).copied())?;
    registration.metadata = metadata(service)?;
    registration.validate()?;
    Ok(registration)
}

fn metadata(service: &Value) -> Result<Metadata, Error> {
    let pairs = service.get("Meta").and_then(Value::as_map).unwrap_or_default();
    let texts = pairs.iter().filter_map(|(key, value)| Some((key.as_str(), scalar(value)?)));
    let fits = |(key, value): &(&str, Cow<'_, str>)| Metadata::new([(*key, value.as_ref())]).is_ok();
    Metadata::new(texts.filter(fits).take(limits::METADATA_PAIRS))
}

/// The worst of the checks, and whether all of their statuses are known.
fn worst(checks: &[Value]) -> (Health, bool) {
    let mut worst = Health::Healthy;
    let mut known = true;
    for check in checks {
        match &*text(check, "Status") {
            "passing" | "" => {}
            "warning" if worst == Health::Healthy => worst = Health::Degraded,
            "warning" => {}
            "critical" | "maintenance" => worst = Health::Unhealthy,
            _ => known = false,
        }
    }
    (worst, known)
}

fn weight(service: &Value, health: Health) -> Result<Weight, Error> {
    let key = if health == Health::Degraded { "Warning" } else { "Passing" };
    let Some(value) = service.get("Weights").and_then(|weights| weights.get(key)) else { return Ok(Weight::ONE) };
    let number = value.as_f64().or_else(|| value.as_str()?.parse::<u32>().ok().map(f64::from)).unwrap_or(f64::NAN);
    Weight::new(number).map_err(|error| error.within("Service.Weights"))
}

fn port(service: &Value) -> Result<Option<u16>, Error> {
    let Some(value) = service.get("Port") else { return Ok(None) };
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let port = number.and_then(|number| u16::try_from(number).ok());
    let wrong = || Error::new(Code::InvalidAddress, "Service.Port").limit(65_535).message("a port is 0 to 65535");
    Ok(Some(port.ok_or_else(wrong)?).filter(|port| *port != 0))
}

/// The text at a key; a number as its digits; empty for anything else.
fn text<'a>(map: &'a Value, key: &str) -> Cow<'a, str> {
    map.get(key).and_then(scalar).unwrap_or_default()
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Int(int) => Some(Cow::Owned(int.to_string())),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::formats::{Feed, Format};
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

    #[test]
    fn entries_become_registrations() {
        let decoded = health(TWO.as_bytes(), "default").unwrap();
        assert!(decoded.skipped.is_empty());
        let [one, two] = &decoded.instances[..] else { panic!() };
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
        let feed =
            Feed { source: "consul:dc1".into(), format: Format::ConsulHealth, namespace: "default".into(), service: Some("web".into()) };
        let push = |registry: &mut Registry, body: &str| feed.push(registry, body.as_bytes(), Timestamp::ZERO);
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

    #[test]
    fn every_cut_of_a_document_is_an_error() {
        for cut in 1..TWO.trim_end().len() {
            assert!(health(TWO.as_bytes().get(..cut).unwrap(), "default").is_err());
        }
    }
}
