//! Prometheus: the answers of `http_sd`, the files of `file_sd` in JSON or YAML.
//!
//! | ours | Prometheus' |
//! |---|---|
//! | an instance | one target of a group |
//! | id | the target as it is written |
//! | service | the one that was asked for, else the label `job` |
//! | endpoint | the target: `host`, `host:port`, `[v6]:port`, with or without a scheme; the label `__scheme__` else |
//! | metadata | the labels of the group |
//!
//! A group that is no map spoils the document, as it does for Prometheus. What we write, we read back as it was: the label `__meta_callboard_id`
//! makes the targets of all groups with this id one instance, and the others of that prefix tell the rest of it. A name that no label can have is
//! escaped as Prometheus 3 escapes names (`U__` and hexadecimal code points between underscores).

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, fit};
use crate::error::{Code, Error};
use crate::model::{Endpoint, Health, Lease, Registration, Version, Weight};
use crate::time::{duration_from_secs, secs};
use crate::value::Value;

/// What our own labels begin with.
const OURS: &str = "__meta_callboard_";

/// Reads a list of groups.
///
/// # Errors
/// [`Code::Malformed`] when it is no list of maps, and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json_or_yaml(bytes)?;
    let root = document.root();
    if !root.is_list() {
        return Err(Error::new(Code::Malformed, "body").message("expected a list of groups"));
    }
    if let Some((at, _)) = root.items().enumerate().find(|(_, group)| !group.is_map()) {
        return Err(Error::new(Code::Malformed, alloc::format!("[{at}]")).message("expected a group of targets"));
    }
    let mut decoded = Decoded::default();
    let targets = root.items().flat_map(|group| group.list("targets"));
    decoded.expect(targets.filter(|target| target.as_str().is_some_and(|text| !text.is_empty())).count());
    let (mut index, mut written) = (0usize, BTreeMap::new());
    for (part, group) in root.items().enumerate() {
        let labels = group.get("labels");
        match labels.and_then(|labels| labels.get("__meta_callboard_id")) {
            Some(id) => {
                let id = id.scalar().unwrap_or_default().into_owned();
                let service = service(labels, context).into_owned();
                let known = written.get(&(service.clone(), id.clone())).and_then(|at: &usize| decoded.instances.get_mut(*at));
                match known {
                    Some(entry) => more(&mut entry.registration, group),
                    None => {
                        let read = ours(group, &service, &id, context);
                        if read.is_ok() {
                            written.insert((service.clone(), id.clone()), decoded.instances.len());
                        }
                        decoded.take(index, read.map(|own| Entry { part, ..Entry::new(index, own) }), || (service, id));
                    }
                }
                index = index.saturating_add(1);
            }
            None => {
                for target in group.list("targets") {
                    let read = theirs(target, labels, context);
                    let name = || (service(labels, context).into_owned(), target.scalar().unwrap_or_default().into_owned());
                    decoded.take(index, read.map(|own| Entry { part, ..Entry::new(index, own) }), name);
                    index = index.saturating_add(1);
                }
            }
        }
    }
    Ok(decoded)
}

fn service<'a>(labels: Option<Node<'a>>, context: &Context<'a>) -> Cow<'a, str> {
    context.service.map(Cow::Borrowed).or_else(|| labels.map(|labels| labels.text("job"))).unwrap_or_default()
}

fn theirs(target: Node<'_>, labels: Option<Node<'_>>, context: &Context<'_>) -> Result<Registration, Error> {
    let text = target.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, "targets").message("expected a string"))?;
    let mut own = Registration::new(service(labels, context), text).namespace(context.namespace);
    own.endpoints = alloc::vec![endpoint(text, labels)?];
    own.metadata = fit::metadata(fit::pairs(labels));
    own.validate()?;
    Ok(own)
}

fn endpoint(target: &str, labels: Option<Node<'_>>) -> Result<Endpoint, Error> {
    let text = |key| labels.map(|labels| labels.text(key)).unwrap_or_default();
    let parsed = Endpoint::parse(target).map_err(|error| error.within("targets"))?;
    let scheme = text("__scheme__");
    let scheme = if target.contains("://") || scheme.is_empty() { parsed.scheme.as_str() } else { &scheme };
    let secure = text("__meta_callboard_secure") == "true";
    Endpoint::build(&text("__meta_callboard_endpoint"), scheme, parsed.host.clone(), parsed.port, secure)
        .map_err(|error| error.within("labels"))
}

/// Adds the endpoints of another group of the same instance; one that cannot be read is left out, as the instance has others.
fn more(own: &mut Registration, group: Node<'_>) {
    let labels = group.get("labels");
    let more = group.list("targets").filter_map(|target| endpoint(target.as_str()?, labels).ok());
    own.endpoints.extend(more.take(crate::limits::ENDPOINTS.saturating_sub(own.endpoints.len())));
}

/// An instance that we have written.
fn ours(group: Node<'_>, service: &str, id: &str, context: &Context<'_>) -> Result<Registration, Error> {
    let labels = group.get("labels");
    let text = |key: &str| labels.map(|labels| labels.text(&alloc::format!("{OURS}{key}"))).filter(|text| !text.is_empty());
    let number = |key: &str| labels.and_then(|labels| labels.get(&alloc::format!("{OURS}{key}"))).and_then(Node::number);
    let mut own = Registration::new(service, id).namespace(context.namespace);
    for target in group.list("targets") {
        let target = target.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, "targets").message("expected a string"))?;
        own.endpoints.push(endpoint(target, labels)?);
    }
    own.weight = number("weight").map_or(Ok(Weight::ONE), Weight::new)?;
    own.health = text("health").map_or(Ok(Health::Healthy), |health| Health::parse(&health))?;
    own.version = text("version").and_then(|version| Version::parse(&version).ok());
    own.incarnation = text("incarnation").and_then(|incarnation| incarnation.parse().ok()).unwrap_or(0);
    if let Some(ttl) = number("ttl") {
        let grace = number("grace").map_or(Ok(Duration::ZERO), |grace| duration_from_secs("grace", grace))?;
        own.lease = Some(Lease::new(duration_from_secs("ttl", ttl)?, grace)?);
    }
    let place = |key| text(key).map(|text| fit::place(&text)).unwrap_or_default();
    own.locality.region = place("region");
    own.locality.zone = place("zone");
    own.locality.subzone = place("subzone");
    own.locality.node = place("node");
    let pairs = || fit::pairs(labels).filter_map(|(label, value)| Some((label.strip_prefix(OURS)?, value)));
    let tags = pairs().filter_map(|(label, _)| unescape(label.strip_prefix("tag_")?));
    own.tags = fit::tags(tags.map(Cow::Owned));
    let metadata: Vec<(String, Cow<'_, str>)> =
        pairs().filter_map(|(label, value)| Some((unescape(label.strip_prefix("metadata_")?)?, value))).collect();
    own.metadata = fit::metadata(metadata.iter().map(|(key, value)| (key.as_str(), Cow::Borrowed(value.as_ref()))));
    own.validate()?;
    Ok(own)
}

/// Writes one group for each endpoint, with all that we know in labels.
pub(super) fn encode(instances: &[Registration]) -> Vec<u8> {
    let mut groups = Vec::new();
    for own in instances {
        let mut labels: Vec<(String, Value)> = alloc::vec![("job".into(), own.service.as_str().into())];
        let mut label = |key: &str, text: &str| {
            if !text.is_empty() {
                labels.push((alloc::format!("{OURS}{key}"), text.into()));
            }
        };
        label("id", &own.id);
        label("weight", &own.weight.to_string());
        label("health", own.health.as_str());
        label("version", &own.version.as_ref().map(Version::text).unwrap_or_default());
        for (key, part) in own.locality.parts() {
            label(key, part);
        }
        if own.incarnation > 0 {
            label("incarnation", &own.incarnation.to_string());
        }
        if let Some(lease) = own.lease {
            label("ttl", &secs(lease.ttl).to_string());
            label("grace", &secs(lease.grace).to_string());
        }
        for tag in own.tags.iter() {
            label(&alloc::format!("tag_{}", escape(tag)), "true");
        }
        labels.extend(own.metadata.iter().map(|(key, value)| (alloc::format!("{OURS}metadata_{}", escape(key)), value.into())));
        if own.endpoints.is_empty() {
            groups.push(group(Vec::new(), labels));
            continue;
        }
        for endpoint in &own.endpoints {
            let mut labels = labels.clone();
            let mut more = |key: &str, text: &str| labels.push((key.into(), text.into()));
            more("__scheme__", &endpoint.scheme);
            if !endpoint.name.is_empty() {
                more("__meta_callboard_endpoint", &endpoint.name);
            }
            if endpoint.secure {
                more("__meta_callboard_secure", "true");
            }
            let port = endpoint.port.map(|port| alloc::format!(":{port}")).unwrap_or_default();
            groups.push(group(alloc::vec![alloc::format!("{}{port}", endpoint.host).into()], labels));
        }
    }
    Value::List(groups).to_json()
}

fn group(targets: Vec<Value>, labels: Vec<(String, Value)>) -> Value {
    Value::map([("targets", Value::List(targets)), ("labels", Value::Map(labels))])
}

/// A name as the end of a label's name.
fn escape(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.bytes().all(plain) && !name.starts_with("U__") {
        return name.into();
    }
    let mut escaped = String::from("U__");
    for c in name.chars() {
        match c {
            '_' => escaped.push_str("__"),
            c if c.is_ascii_alphanumeric() => escaped.push(c),
            c => escaped.push_str(&alloc::format!("_{:x}_", u32::from(c))),
        }
    }
    escaped
}

fn unescape(label: &str) -> Option<String> {
    let Some(mut rest) = label.strip_prefix("U__") else { return Some(label.into()) };
    let mut name = String::new();
    while let Some((before, after)) = rest.split_once('_') {
        name.push_str(before);
        let (hex, after) = after.split_once('_')?;
        name.push(if hex.is_empty() { '_' } else { char::from_u32(u32::from_str_radix(hex, 16).ok()?)? });
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, service: Option<&str>) -> Result<Decoded, Error> {
        decode(text.as_bytes(), &Context { service, ..Context::new("default") })
    }

    #[test]
    fn targets_become_instances() {
        let text = r#"[{"targets":["10.0.0.1:9100","[2001:db8::1]:9100","node","https://a.example:1"],"labels":{"__meta_dc":"east","n":7,"bad key":"x"}},
                       {"targets":["10.0.0.2:9100","10.0.0.3:http",7,"::1"]},{"labels":null,"targets":null},{"targets":"10.0.0.4:1","labels":{"__scheme__":"grpcs"}}]"#;
        let decoded = read(text, Some("node")).unwrap();
        let urls: Vec<String> = decoded.instances.iter().map(|entry| entry.registration.endpoints[0].to_string()).collect();
        assert_eq!(
            urls,
            [
                "http://10.0.0.1:9100",
                "http://[2001:db8::1]:9100",
                "http://node",
                "https://a.example:1",
                "http://10.0.0.2:9100",
                "grpcs://10.0.0.4:1"
            ]
        );
        let places: Vec<_> = decoded.skipped.iter().map(|skipped| (skipped.index, skipped.error.code(), skipped.id.as_str())).collect();
        assert_eq!(places, [(5, Code::InvalidAddress, "10.0.0.3:http"), (6, Code::InvalidArgument, "7"), (7, Code::InvalidAddress, "::1")]);
        let first = &decoded.instances[0].registration;
        assert_eq!((first.service.as_str(), first.id.as_str()), ("node", "10.0.0.1:9100"));
        assert_eq!(first.metadata.iter().collect::<Vec<_>>(), [("__meta_dc", "east"), ("n", "7")]);
        // Without a service that was asked for, the job names it.
        assert_eq!(read(r#"[{"targets":["a:1"]}]"#, None).unwrap().skipped[0].error.code(), Code::MissingField);
        assert_eq!(read(r#"[{"targets":["a:1"],"labels":{"job":"j"}}]"#, None).unwrap().instances[0].registration.service, "j");
        for bad in [r#"[{"targets":["a:1"]},null]"#, "{}", "null", r#"["a:1"]"#] {
            assert_eq!(read(bad, None).unwrap_err().code(), Code::Malformed, "{bad}");
        }
        assert_eq!(read("[]", None).unwrap(), Decoded::default());
    }

    #[test]
    fn names_are_escaped_and_come_back() {
        for (name, label) in [("a_b", "a_b"), ("a.b", "U__a_2e_b"), ("a_b.c", "U__a__b_2e_c"), ("U__x", "U__U____x"), ("é/", "U___e9__2f_")]
        {
            assert_eq!((escape(name).as_str(), unescape(label).as_deref()), (label, Some(name)));
        }
        for bad in ["U__a_b", "U___", "U___zz_"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
