//! Kubernetes: EndpointSlices of `discovery.k8s.io/v1` and `v1beta1`: a list and single slices in JSON or as `kubectl -o yaml` prints them, and the
//! lines of a watch.
//!
//! | ours | Kubernetes' |
//! |---|---|
//! | service | the label `kubernetes.io/service-name`; with `.` and the namespace behind it when that is another than ours and no service was asked for |
//! | id | the uid of the target, else its address as RFC 5952 spells it |
//! | endpoints | the first address with every port of the slice; without a port when the slice has none |
//! | health, admin | `ready`: available; `serving` and `terminating`: draining; all else: unavailable. A `ready` or `serving` that is not there is true |
//! | locality | `zone` and `nodeName`, in v1beta1 the map `topology` |
//! | metadata | `pod`, `hostname`, and the hints as `hints.forZones` and `hints.forNodes` |
//!
//! Each slice is a part, and a change of one says nothing of the others. An instance that two slices name is the better of the two, and has the endpoints
//! of both when they are equal: that is how a pod of two address families is told. A slice without the label belongs to no service and says nothing.
//!
//! Kubernetes' own proxy uses the first of several addresses, and calls what is terminating and still serves when nothing else is left.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, Part, fit};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Endpoint, Health, Host, Registration};
use crate::registry::Extent;

/// The label that names the service of a slice.
const SERVICE: &str = "kubernetes.io/service-name";

/// Reads a list, a slice, or the lines of a watch.
///
/// # Errors
/// [`Code::Malformed`] for anything else, and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).peekable();
    let mut decoded = Decoded::default();
    // A list may be written over many lines, of which the first is no document.
    let first = lines.next().filter(|_| lines.peek().is_some()).and_then(|line| Document::json(line).ok());
    if let Some(first) = first {
        event(first.root(), context, &mut decoded)?;
        for line in lines {
            event(Document::json(line)?.root(), context, &mut decoded)?;
        }
        return Ok(decoded);
    }
    let document = Document::json_or_yaml(bytes)?;
    let root = document.root();
    match &*root.text("kind") {
        "EndpointSliceList" | "List" => list(root, context, &mut decoded)?,
        "EndpointSlice" => {
            decoded.extent = Extent::Part;
            slice(root, false, context, &mut decoded);
        }
        // A file of several documents, of which some may be of other kinds.
        _ if root.is_list() && root.items().any(|one| one.text("kind") == "EndpointSlice") => {
            decoded.extent = Extent::Part;
            root.items().filter(|one| one.text("kind") == "EndpointSlice").for_each(|one| slice(one, false, context, &mut decoded));
        }
        _ => event(root, context, &mut decoded)?,
    }
    Ok(decoded)
}

fn list(root: Node<'_>, context: &Context<'_>, decoded: &mut Decoded) -> Result<(), Error> {
    if root.get("items").is_some_and(|items| !items.is_list()) {
        return Err(Error::new(Code::Malformed, "items").message("expected a list of slices"));
    }
    root.list("items").for_each(|item| slice(item, false, context, decoded));
    let said = |key| root.path(&["metadata", key]).and_then(Node::scalar).filter(|text| !text.is_empty());
    if said("continue").is_some() {
        decoded.extent = Extent::Part;
    } else {
        decoded.cursor = said("resourceVersion").map(Cow::into_owned);
    }
    Ok(())
}

/// One line of a watch.
fn event(root: Node<'_>, context: &Context<'_>, decoded: &mut Decoded) -> Result<(), Error> {
    let wrong = || Error::new(Code::Malformed, "kind").message("not an EndpointSlice, a list of them, or an event of a watch");
    let object = root.get("object").filter(|object| object.is_map()).ok_or_else(wrong)?;
    decoded.extent = Extent::Part;
    match &*root.text("type") {
        "ADDED" | "MODIFIED" => slice(object, false, context, decoded),
        "DELETED" => slice(object, true, context, decoded),
        "BOOKMARK" => {}
        "ERROR" if object.get("code").and_then(Node::whole) == Some(410) => {
            decoded.resync = Some("what was asked from is gone");
            return Ok(());
        }
        "ERROR" => {
            decoded.resync = Some("the watch has failed");
            return Ok(());
        }
        _ => return Err(wrong()),
    }
    let version = object.path(&["metadata", "resourceVersion"]).and_then(Node::scalar).filter(|text| !text.is_empty());
    decoded.cursor = version.map(Cow::into_owned).or(decoded.cursor.take());
    Ok(())
}

fn slice(slice: Node<'_>, gone: bool, context: &Context<'_>, decoded: &mut Decoded) {
    let index = |decoded: &Decoded| decoded.instances.len().saturating_add(decoded.skipped_total);
    let said = |key| slice.path(&["metadata", key]).and_then(Node::scalar).unwrap_or_default();
    let (name, namespace) = (said("name"), said("namespace"));
    if name.is_empty() {
        return decoded.skip(index(decoded), String::new(), String::new(), Error::new(Code::MissingField, "metadata.name"));
    }
    let revision = slice.path(&["metadata", "resourceVersion"]).and_then(Node::whole);
    let part = decoded.parts.len();
    let mut told = Part { key: alloc::format!("{namespace}/{name}"), revision, gone, unread: false };
    let service = slice.path(&["metadata", "labels", SERVICE]).and_then(Node::scalar).filter(|service| !service.is_empty() && !gone);
    if let Some(service) = service {
        let foreign = context.service.is_none() && !namespace.is_empty() && namespace != context.namespace;
        let service = if foreign { alloc::format!("{service}.{namespace}") } else { service.into_owned() };
        let endpoints = slice.get("endpoints");
        if endpoints.is_some_and(|endpoints| !endpoints.is_null() && !endpoints.is_list()) {
            told.unread = true;
            decoded.skip(index(decoded), service.clone(), String::new(), Error::new(Code::InvalidArgument, "endpoints"));
        }
        for endpoint in slice.list("endpoints") {
            let at = index(decoded);
            let read = instance(slice, endpoint, &service, context);
            told.unread |= read.is_err();
            decoded.take(at, read.map(|entry| Entry { part, ..entry }), || (service.clone(), id(endpoint)));
        }
    }
    decoded.parts.push(told);
}

fn instance(slice: Node<'_>, endpoint: Node<'_>, service: &str, context: &Context<'_>) -> Result<Entry, Error> {
    let host = Host::parse(address(endpoint)).map_err(|error| error.within("addresses"))?;
    let fits = match &*slice.text("addressType") {
        "IPv4" => matches!(host, Host::V4(_)),
        "IPv6" => matches!(host, Host::V6(_)),
        _ => true,
    };
    if !fits {
        return Err(Error::new(Code::InvalidAddress, "addresses").message("not of the slice's address type"));
    }
    let mut own = Registration::new(service, id(endpoint)).namespace(context.namespace);
    for port in slice.list("ports").take(limits::ENDPOINTS) {
        own.endpoints.push(place(port, host.clone())?);
    }
    if own.endpoints.is_empty() {
        own.endpoints.push(Endpoint::build("", "", host, None, false)?);
    }
    let condition = |name, absent| match endpoint.path(&["conditions", name]).filter(|said| !said.is_null()) {
        None => Ok(absent),
        Some(said) => said.truth().ok_or_else(|| Error::new(Code::InvalidArgument, alloc::format!("conditions.{name}"))),
    };
    let (ready, serving, terminating) = (condition("ready", true)?, condition("serving", true)?, condition("terminating", false)?);
    own.health = if ready || serving && terminating { Health::Healthy } else { Health::Unhealthy };
    let admin = if terminating && !ready { AdminState::Draining } else { AdminState::Enabled };
    // v1beta1 has a map of labels; the slices of one cluster that was upgraded may have both.
    let topology = |keys: [&str; 2]| {
        let maps = ["topology", "deprecatedTopology"].into_iter().filter_map(|map| endpoint.get(map));
        let mut values = maps.flat_map(|map| keys.map(|key| map.text(key)));
        values.find(|text| !text.is_empty()).unwrap_or_default()
    };
    let or = |said: Cow<'_, str>, keys| fit::place(&if said.is_empty() { topology(keys) } else { said });
    own.locality.region = or(Cow::Borrowed(""), ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]);
    own.locality.zone = or(endpoint.text("zone"), ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]);
    own.locality.node = or(endpoint.text("nodeName"), ["kubernetes.io/hostname", "kubernetes.io/hostname"]);
    let hints = |key| {
        let names: Vec<Cow<'_, str>> =
            endpoint.get("hints").into_iter().flat_map(|hints| hints.list(key)).map(|one| one.text("name")).collect();
        Cow::<str>::Owned(names.join(","))
    };
    let pod = endpoint.path(&["targetRef", "name"]).and_then(Node::scalar).unwrap_or_default();
    let pairs = [
        ("pod", pod),
        ("hostname", endpoint.text("hostname")),
        ("hints.forZones", hints("forZones")),
        ("hints.forNodes", hints("forNodes")),
    ];
    own.metadata = fit::metadata(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
    own.validate()?;
    Ok(Entry { admin, ..Entry::new(0, own) })
}

fn address(endpoint: Node<'_>) -> &str {
    endpoint.list("addresses").next().and_then(Node::as_str).unwrap_or_default()
}

/// The uid of the target, or the address in its one spelling.
fn id(endpoint: Node<'_>) -> String {
    let uid = endpoint.path(&["targetRef", "uid"]).and_then(Node::scalar).filter(|uid| !uid.is_empty());
    let spelled = || match Host::parse(address(endpoint)) {
        Ok(Host::V6(v6)) => v6.to_string(),
        Ok(host) => host.to_string(),
        Err(_) => address(endpoint).into(),
    };
    uid.map_or_else(spelled, Cow::into_owned)
}

/// A port, with the scheme of its application protocol, else of the first word of its name.
fn place(port: Node<'_>, host: Host) -> Result<Endpoint, Error> {
    let (name, app) = (port.text("name"), port.text("appProtocol"));
    let app = app.to_ascii_lowercase();
    let word = name.split('-').next().unwrap_or_default();
    let scheme = match (app.as_str(), &*port.text("protocol").to_ascii_uppercase()) {
        (_, "UDP") => "udp",
        (_, "SCTP") => "sctp",
        ("kubernetes.io/ws", _) => "ws",
        ("kubernetes.io/wss", _) => "wss",
        ("https" | "grpc" | "tcp" | "tls", _) => &app,
        ("", _) if ["https", "grpc", "tcp", "tls"].contains(&word) => word,
        _ => "http",
    };
    let number = port.get("port").map_or(Ok(None), |number| number.port("ports.port"))?;
    Endpoint::build(&name, scheme, host, number, false).map_err(|error| error.within("ports"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::formats::{Ask, Feed, FeedConfig, Format, Payload};
    use crate::model::Availability;
    use crate::query::{HealthFilter, Query};
    use crate::registry::{Config, Registry};
    use std::format;

    fn object(name: &str, version: u64, kind: &str, endpoints: &str) -> String {
        let metadata = format!(
            r#"{{"name":"{name}","namespace":"default","resourceVersion":"{version}","labels":{{"kubernetes.io/service-name":"web"}}}}"#
        );
        format!(
            r#"{{"kind":"EndpointSlice","metadata":{metadata},"addressType":"{kind}","endpoints":{endpoints},"ports":[{{"name":"","port":80}}]}}"#
        )
    }

    fn all(items: &[String], version: u64) -> String {
        format!(
            r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"{version}"}},"items":[{}]}}"#,
            items.join(",").replace(r#""kind":"EndpointSlice","#, "")
        )
    }

    fn pod(uid: &str, address: &str) -> String {
        format!(r#"{{"addresses":["{address}"],"targetRef":{{"kind":"Pod","name":"pod-{uid}","uid":"{uid}"}}}}"#)
    }

    fn event(kind: &str, object: &str) -> String {
        format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
    }

    fn ids(registry: &Registry) -> Vec<String> {
        let found = registry.query(&Query::service("web").health(HealthFilter::Any)).handles;
        found.into_iter().map(|handle| registry.instance(handle).unwrap().registration.id.clone()).collect()
    }

    #[test]
    fn conditions_that_are_not_there_are_good() {
        let cases = [
            ("null", Availability::Available),
            ("{}", Availability::Available),
            (r#"{"ready":null}"#, Availability::Available),
            (r#"{"ready":false}"#, Availability::Unavailable),
            (r#"{"ready":false,"serving":true}"#, Availability::Unavailable),
            (r#"{"ready":false,"serving":true,"terminating":true}"#, Availability::Draining),
            (r#"{"ready":false,"terminating":true}"#, Availability::Draining),
            (r#"{"ready":false,"serving":false,"terminating":true}"#, Availability::Unavailable),
            (r#"{"ready":true,"serving":true,"terminating":true}"#, Availability::Available),
        ];
        for (conditions, availability) in cases {
            let endpoints = format!(r#"[{{"addresses":["10.0.0.1"],"conditions":{conditions}}}]"#);
            let decoded = decode(object("a", 1, "IPv4", &endpoints).as_bytes(), &Context::new("default")).unwrap();
            let entry = &decoded.instances[0];
            let seen = Availability::of(entry.registration.health, entry.admin, crate::model::LeaseState::Persistent);
            assert_eq!(seen, availability, "{conditions}");
        }
    }

    #[test]
    fn fields_go_where_they_belong() {
        let text = r#"{"kind":"EndpointSlice","metadata":{"name":"a","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},
            "addressType":"IPv6","ports":[{"name":"https","port":8443},{"name":"m","port":"9","appProtocol":"kubernetes.io/h2c"},{"name":"dns","protocol":"UDP","port":53},{"port":null}],
            "endpoints":[{"addresses":["2001:0db8:0000::001","::2"],"zone":"z1","nodeName":"n1","hostname":"h","hints":{"forZones":[{"name":"z1"},{"name":"z2"}]}},
                         {"addresses":["2001:db8::2"],"topology":{"topology.kubernetes.io/region":"r","topology.kubernetes.io/zone":"z","kubernetes.io/hostname":"n"}},
                         {"addresses":["10.0.0.1"]},{"addresses":[]},null]}"#;
        let decoded = decode(text.as_bytes(), &Context::new("default")).unwrap();
        let [first, second] = [0, 1].map(|at: usize| &decoded.instances[at].registration);
        assert_eq!((first.service.as_str(), first.id.as_str(), decoded.parts[0].key.as_str()), ("web.shop", "2001:db8::1", "shop/a"));
        let urls: Vec<String> = first.endpoints.iter().map(Endpoint::to_string).collect();
        assert_eq!(urls, ["https://[2001:db8::1]:8443", "http://[2001:db8::1]:9", "udp://[2001:db8::1]:53", "http://[2001:db8::1]"]);
        assert_eq!((first.locality.zone.as_str(), first.locality.node.as_str()), ("z1", "n1"));
        assert_eq!(first.metadata.iter().collect::<Vec<_>>(), [("hints.forZones", "z1,z2"), ("hostname", "h")]);
        assert_eq!(second.locality.parts().map(|(_, part)| part), ["r", "z", "", "n"]);
        let codes: Vec<Code> = decoded.skipped.iter().map(|skipped| skipped.error.code()).collect();
        assert_eq!((codes, decoded.parts[0].unread), (std::vec![Code::InvalidAddress, Code::MissingField, Code::MissingField], true));
        for bad in
            ["", "null", "{}", "[]", r#"{"kind":"Status","code":410}"#, r#"{"kind":"List","items":{}}"#, r#"{"type":"NEWS","object":{}}"#]
        {
            assert!(decode(bad.as_bytes(), &Context::new("default")).is_err(), "{bad}");
        }
        for empty in [
            r#"{"kind":"EndpointSliceList","items":null}"#,
            r#"{"kind":"List","items":[{"metadata":{"name":"nobody's"},"endpoints":[{}]}]}"#,
        ] {
            let decoded = decode(empty.as_bytes(), &Context::new("default")).unwrap();
            assert_eq!((decoded.instances.len(), decoded.skipped.len(), decoded.kept.len()), (0, 0, 0));
        }
    }

    #[test]
    fn a_change_of_one_slice_says_nothing_of_the_others() {
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut feed = Feed::new(FeedConfig::new("kubernetes", Format::Kubernetes).service("web")).unwrap();
        let mut push = |registry: &mut Registry, text: &str, at| {
            let fed = feed.push(registry, &Payload::new(text.as_bytes()), Timestamp::from_secs(at));
            assert_eq!(fed.problem, None, "{text}");
            fed
        };
        let (a, b) = (pod("a", "10.0.0.1"), pod("b", "10.0.0.2"));
        let v4 = object("v4", 5, "IPv4", &format!("[{a},{b}]"));
        let v6 = object("v6", 6, "IPv6", &format!("[{}]", pod("a", "2001:db8::1")));
        let fed = push(&mut registry, &all(&[v4, v6], 10), 0);
        assert_eq!((fed.added, fed.next.ask), (2, Ask::Watch));
        assert_eq!(fed.next.query, "watch=true&allowWatchBookmarks=true&resourceVersion=10");
        let one = registry.instance(registry.lookup("default", "web", "a").unwrap()).unwrap();
        let urls: Vec<String> = one.registration.endpoints.iter().map(Endpoint::to_string).collect();
        assert_eq!(urls, ["http://10.0.0.1:80", "http://[2001:db8::1]:80"]);
        // A pod moves from slice to slice, and an old word comes late.
        let c = pod("c", "10.0.0.3");
        let lines = event("ADDED", &object("more", 11, "IPv4", &format!("[{b},{c}]")))
            + &event("MODIFIED", &object("v4", 12, "IPv4", &format!("[{a}]")))
            + &event("MODIFIED", &object("v4", 5, "IPv4", "[]"))
            + &event("BOOKMARK", r#"{"kind":"EndpointSlice","metadata":{"resourceVersion":"20"}}"#);
        let fed = push(&mut registry, &lines, 1);
        assert_eq!((fed.added, fed.removed, fed.next.cursor.as_deref()), (1, 0, Some("20")));
        assert_eq!(ids(&registry), ["a", "b", "c"]);
        let fed = push(&mut registry, &event("DELETED", &object("v4", 21, "IPv4", &format!("[{a}]"))), 2);
        assert_eq!((fed.updated, fed.removed), (1, 0));
        let fed = push(&mut registry, &event("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired"}"#), 3);
        assert_eq!((fed.next.ask, fed.next.cursor, fed.next.resync.is_some()), (Ask::Full, None, true));
        assert_eq!(ids(&registry), ["a", "b", "c"]);
    }
}
