//! Envoy's endpoint discovery (EDS) in JSON or YAML: a `DiscoveryResponse`, one `ClusterLoadAssignment`, the endpoints of a config dump; camelCase or snake_case.
//!
//! | ours | Envoy's |
//! |---|---|
//! | service | the name of the cluster |
//! | id | address and port |
//! | endpoint | the socket address; the hostname is metadata |
//! | weight | `load_balancing_weight`; 1 when absent, at most 65 535 |
//! | health, admin | `health_status`: absent, `UNKNOWN` and `HEALTHY` are healthy, `DRAINING` is draining, `TIMEOUT` is unhealthy |
//! | locality | region, zone and sub-zone of the group |
//! | metadata | `priority` and `locality_weight` of the group, and the filter metadata `envoy.lb` |
//!
//! A response need not name every cluster: each is a part that replaces what was said of it, and a dump is all there is. When one service was asked for, its
//! assignment is all of that service. What we write has the whole registration as filter metadata `callboard`, and is read back as it was.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, Part, fit};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Endpoint, Health, Host, Registration, Weight};
use crate::registry::Extent;
use crate::value::Value;

/// The largest priority that Envoy takes.
const PRIORITIES: u64 = 128;

/// Reads a response, an assignment or a dump.
///
/// # Errors
/// [`Code::Malformed`] for anything else, and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json_or_yaml(bytes)?;
    let root = document.root();
    let mut decoded = Decoded { extent: Extent::Part, ..Decoded::default() };
    let version = root.any(&["versionInfo", "version_info"]);
    if let Some(resources) = root.get("resources").filter(|resources| !resources.is_null()) {
        if !resources.is_list() {
            return Err(wrong("resources"));
        }
        for resource in resources.items() {
            // In the incremental variant each resource is wrapped.
            assignment(resource.get("resource").unwrap_or(resource), context, &mut decoded)?;
        }
    } else if root.any(&["clusterName", "cluster_name"]).is_some() {
        assignment(root, context, &mut decoded)?;
    } else if version.is_none() {
        if !dump(root, 3, context, &mut decoded)? {
            return Err(wrong("resources"));
        }
        decoded.extent = Extent::Whole;
    }
    decoded.cursor = version.and_then(Node::scalar).filter(|version| !version.is_empty()).map(Cow::into_owned);
    if context.service.is_some() {
        // The assignment of the one service is all of it; that it is not named says nothing.
        decoded.extent = if decoded.parts.is_empty() { Extent::Part } else { Extent::Whole };
        decoded.parts.clear();
    }
    Ok(decoded)
}

fn wrong(field: &str) -> Error {
    Error::new(Code::Malformed, field).message("not a discovery response, an assignment or a dump of endpoints")
}

/// Reads a dump, also one that stands in maps by name. Tells whether there was one.
fn dump(node: Node<'_>, depth: u32, context: &Context<'_>, decoded: &mut Decoded) -> Result<bool, Error> {
    let mut found = node.text("@type").ends_with("EndpointsConfigDump");
    for keys in [["staticEndpointConfigs", "static_endpoint_configs"], ["dynamicEndpointConfigs", "dynamic_endpoint_configs"]] {
        for config in node.any(&keys).into_iter().flat_map(Node::items) {
            found = true;
            let own = config.any(&["endpointConfig", "endpoint_config"]).ok_or_else(|| wrong("endpoint_config"))?;
            assignment(own, context, decoded)?;
        }
    }
    if let Some(depth) = depth.checked_sub(1).filter(|_| !found) {
        let listed = node.get("configs").into_iter().flat_map(Node::items);
        let named = node.pairs().map(|(_, value)| value);
        for inner in listed.chain(named).filter(|inner| inner.is_map()) {
            found |= dump(inner, depth, context, decoded)?;
        }
    }
    Ok(found)
}

fn assignment(node: Node<'_>, context: &Context<'_>, decoded: &mut Decoded) -> Result<(), Error> {
    let cluster = node.any(&["clusterName", "cluster_name"]).and_then(Node::as_str).unwrap_or_default();
    if cluster.is_empty() {
        return Err(Error::new(Code::MissingField, "cluster_name"));
    }
    if context.service.is_some_and(|service| service != cluster) {
        return Ok(());
    }
    let part = decoded.parts.len();
    let mut told = Part { key: cluster.into(), ..Part::default() };
    for group in node.list("endpoints") {
        for one in group.any(&["lbEndpoints", "lb_endpoints"]).into_iter().flat_map(Node::items) {
            let index = decoded.instances.len().saturating_add(decoded.skipped_total);
            let read = instance(cluster, group, one, context);
            told.unread |= read.is_err();
            decoded.take(index, read.map(|entry| Entry { part, ..entry }), || (cluster.into(), id(one)));
        }
    }
    decoded.parts.push(told);
    Ok(())
}

fn socket(one: Node<'_>) -> Option<Node<'_>> {
    one.path(&["endpoint", "address"])?.any(&["socketAddress", "socket_address"])
}

/// Address and port, as a URL spells them.
fn id(one: Node<'_>) -> String {
    let Some(socket) = socket(one) else { return String::new() };
    let address = socket.text("address");
    let port = socket.any(&["portValue", "port_value"]).and_then(Node::scalar).unwrap_or_default();
    match Host::parse(&address) {
        Ok(host) => alloc::format!("{host}:{port}"),
        Err(_) => alloc::format!("{address}:{port}"),
    }
}

/// A number, or the map that Go's dumps make of one.
fn wrapped(node: Node<'_>, keys: &[&str]) -> Result<Option<u64>, Error> {
    let Some(said) = node.any(keys).map(|said| said.get("value").unwrap_or(said)).filter(|said| !said.is_null()) else { return Ok(None) };
    let field = keys.last().copied().unwrap_or_default();
    said.whole().map(Some).ok_or_else(|| Error::new(Code::InvalidArgument, field).message("expected a whole number"))
}

fn instance(cluster: &str, group: Node<'_>, one: Node<'_>, context: &Context<'_>) -> Result<Entry, Error> {
    let filters = one.get("metadata").and_then(|metadata| metadata.any(&["filterMetadata", "filter_metadata"]));
    if let Some(ours) = filters.and_then(|filters| filters.get("callboard")) {
        let pairs = ours.pairs().filter(|(key, _)| *key != "namespace").map(|(key, node)| (key, node.to_value()));
        let own = Registration::from_value(&Value::map(pairs.chain([("namespace", context.namespace.into())])))?;
        if own.service != cluster {
            return Err(Error::new(Code::InvalidArgument, "callboard.service").message("not the cluster's"));
        }
        return Ok(Entry::new(0, own));
    }
    let socket = socket(one).ok_or_else(|| Error::new(Code::InvalidAddress, "address").message("not the address of a socket"))?;
    let host = Host::parse(&socket.text("address")).map_err(|error| error.within("address"))?;
    let port = socket.any(&["portValue", "port_value"]).map_or(Ok(None), |port| port.port("port_value"))?;
    let port = port.ok_or_else(|| Error::new(Code::MissingField, "port_value"))?;
    let mut own = Registration::new(cluster, id(one)).namespace(context.namespace);
    own.endpoints.push(Endpoint::build("", "", host, Some(port), false)?);
    let most = u64::from(limits::WEIGHT_THOUSANDTHS / 1_000);
    if let Some(weight) = wrapped(one, &["loadBalancingWeight", "load_balancing_weight"])? {
        own.weight = Weight::new(weight.min(most) as f64)?;
    }
    let (health, admin) = status(one.any(&["healthStatus", "health_status"]))?;
    own.health = health;
    let place =
        |key: [&str; 2]| fit::place(&group.get("locality").and_then(|own| own.any(&key)).and_then(Node::scalar).unwrap_or_default());
    own.locality.region = place(["region", "region"]);
    own.locality.zone = place(["zone", "zone"]);
    own.locality.subzone = place(["subZone", "sub_zone"]);
    let number = |keys: &[&str]| wrapped(group, keys).map(|number| number.map(|number| Cow::<str>::Owned(number.to_string())));
    let priority = number(&["priority"])?.filter(|priority| priority != "0");
    let weight = number(&["loadBalancingWeight", "load_balancing_weight"])?;
    let hostname = one.path(&["endpoint", "hostname"]).and_then(Node::scalar).filter(|hostname| !hostname.is_empty());
    let said = [("priority", priority), ("locality_weight", weight), ("hostname", hostname)];
    let said = said.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let labels = fit::pairs(filters.and_then(|filters| filters.get("envoy.lb")));
    own.metadata = fit::metadata(said.chain(labels.filter(|(key, _)| !["priority", "locality_weight", "hostname"].contains(key))));
    own.validate()?;
    Ok(Entry { admin, ..Entry::new(0, own) })
}

/// The status by its name or number.
fn status(said: Option<Node<'_>>) -> Result<(Health, AdminState), Error> {
    let word = said.and_then(Node::scalar).unwrap_or_default();
    Ok(match &*word {
        "" | "UNKNOWN" | "0" | "HEALTHY" | "1" => (Health::Healthy, AdminState::Enabled),
        "DRAINING" | "3" => (Health::Healthy, AdminState::Draining),
        "DEGRADED" | "5" => (Health::Degraded, AdminState::Enabled),
        "UNHEALTHY" | "2" | "TIMEOUT" | "4" => (Health::Unhealthy, AdminState::Enabled),
        _ => return Err(Error::new(Code::InvalidArgument, "health_status")),
    })
}

/// Writes a response with one assignment for each service, which Envoy follows as a file.
///
/// An instance is its first endpoint with an IP address: Envoy refuses an assignment with names. One without such is left out. Weights are
/// written in thousandths where one of the service is no whole number. Envoy knows no weight of 0: such an instance is `DRAINING`.
pub(super) fn encode(instances: &[Registration]) -> Vec<u8> {
    let mut clusters: BTreeMap<&str, BTreeMap<_, Vec<(&Registration, &Endpoint)>>> = BTreeMap::new();
    for own in instances {
        if let Some(endpoint) = own.endpoints.iter().find(|endpoint| !matches!(endpoint.host, Host::Name(_))) {
            let priority = own.metadata.get("priority").and_then(|text| text.parse::<u64>().ok());
            let priority = priority.filter(|priority| *priority <= PRIORITIES).unwrap_or(0);
            let [region, zone, subzone, _] = own.locality.parts().map(|(_, part)| part);
            clusters.entry(&own.service).or_default().entry((priority, region, zone, subzone)).or_default().push((own, endpoint));
        }
    }
    let resources: Vec<Value> = clusters
        .iter()
        .map(|(cluster, groups)| {
            let whole = groups.values().flatten().all(|(own, _)| own.weight.thousandths().is_multiple_of(1_000));
            let endpoints = groups.iter().map(|((priority, region, zone, subzone), group)| {
                let place = [("region", *region), ("zone", *zone), ("sub_zone", *subzone)].into_iter().filter(|(_, part)| !part.is_empty());
                Value::map([
                    ("locality", Value::map(place.map(|(key, part)| (key, Value::from(part))))),
                    ("priority", Value::from(*priority)),
                    ("lb_endpoints", Value::List(group.iter().map(|(own, endpoint)| written(own, endpoint, whole)).collect())),
                ])
            });
            Value::map([
                ("@type", Value::from("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment")),
                ("cluster_name", (*cluster).into()),
                ("endpoints", Value::List(endpoints.collect())),
            ])
        })
        .collect();
    let resources = Value::List(resources);
    // The version is that of the content.
    let version = alloc::format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&resources.to_json()));
    Value::map([("version_info", version.into()), ("resources", resources)]).to_json()
}

fn written(own: &Registration, endpoint: &Endpoint, whole: bool) -> Value {
    let address = endpoint.host.bare();
    let port = endpoint.port.unwrap_or(if endpoint.secure { 443 } else { 80 });
    let socket = Value::map([("address", Value::from(address)), ("port_value", u64::from(port).into())]);
    let weight = own.weight.thousandths().checked_div(if whole { 1_000 } else { 1 }).unwrap_or(0);
    let status = match own.health {
        _ if weight == 0 => "DRAINING",
        Health::Healthy => "HEALTHY",
        Health::Unknown => "UNKNOWN",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy | Health::Starting => "UNHEALTHY",
    };
    Value::map([
        ("endpoint", Value::map([("address", Value::map([("socket_address", socket)]))])),
        ("health_status", status.into()),
        ("load_balancing_weight", u64::from(weight.max(1)).into()),
        ("metadata", Value::map([("filter_metadata", Value::map([("callboard", own.to_value())]))])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn read(text: &str) -> Result<Decoded, Error> {
        decode(text.as_bytes(), &Context::new("default"))
    }

    const GROUP: &str = r#"[{"locality":{"region":"r","sub_zone":"s"},"priority":2,"load_balancing_weight":{"value":3},"lb_endpoints":[
        {"endpoint":{"hostname":"h","address":{"socket_address":{"address":"10.0.0.1","port_value":80}}},"load_balancing_weight":5},
        {"endpoint":{"address":{"socketAddress":{"address":"2001:db8::001","portValue":"81"}}},"healthStatus":"DRAINING","metadata":{"filterMetadata":{"envoy.lb":{"stage":"canary"}}}},
        {"endpoint":{"address":{"pipe":{"path":"/x"}}}},{"endpoint":{"address":{"socketAddress":{"address":"10.0.0.2","portValue":80}}},"healthStatus":4}]}]"#;

    #[test]
    fn every_wrapper_says_the_same() {
        let one = format!(r#"{{"cluster_name":"api","endpoints":{GROUP}}}"#);
        let dumped = format!(
            r#"{{"@type":"type.googleapis.com/envoy.admin.v3.EndpointsConfigDump","dynamicEndpointConfigs":[{{"endpointConfig":{one}}}]}}"#
        );
        let response = read(&format!(r#"{{"versionInfo":"7","resources":[{one}]}}"#)).unwrap();
        assert_eq!((response.cursor.as_deref(), response.extent, response.parts.len()), (Some("7"), Extent::Part, 1));
        for text in [one, format!(r#"{{"configs":[{{"@type":"other"}},{dumped}]}}"#), format!(r#"{{"default":{{"eg":{dumped}}}}}"#)] {
            let decoded = read(&text).unwrap();
            assert_eq!((&decoded.instances, &decoded.skipped), (&response.instances, &response.skipped));
        }
        let [a, b, c] = [0, 1, 2].map(|at: usize| &response.instances[at]);
        assert_eq!((a.registration.id.as_str(), a.registration.weight.as_f64()), ("10.0.0.1:80", 5.0));
        let pairs: Vec<_> = a.registration.metadata.iter().collect();
        assert_eq!(pairs, [("hostname", "h"), ("locality_weight", "3"), ("priority", "2")]);
        assert_eq!(a.registration.locality.parts().map(|(_, part)| part), ["r", "", "s", ""]);
        assert_eq!(
            (b.registration.id.as_str(), b.admin, b.registration.metadata.get("stage")),
            ("[2001:db8::1]:81", AdminState::Draining, Some("canary"))
        );
        assert_eq!((c.registration.health, response.skipped[0].index, response.parts[0].unread), (Health::Unhealthy, 2, true));
    }

    #[test]
    fn what_is_absent_is_empty_and_what_is_wrong_is_refused() {
        // Consul's answer when there is nothing.
        let decoded = read(r#"{"versionInfo":"00000001","nonce":"00000001"}"#).unwrap();
        assert_eq!((decoded.instances.len(), decoded.extent), (0, Extent::Part));
        let asked = Context { service: Some("api"), ..Context::new("default") };
        for (text, extent) in [(r#"{"clusterName":"api"}"#, Extent::Whole), (r#"{"clusterName":"other"}"#, Extent::Part)] {
            assert_eq!(decode(text.as_bytes(), &asked).unwrap().extent, extent);
        }
        for bad in
            ["", "null", "{}", "[]", r#"{"resources":{}}"#, r#"{"resources":[null]}"#, r#"{"configs":[]}"#, r#"{"a":{"b":{"c":{}}}}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_envoy_reads_is_read_back() {
        let at = |id: &str, url: &str, weight: f64| Registration::new("api", id).endpoint(url).and_then(|own| own.weight(weight)).unwrap();
        let all = [
            at("a", "http://10.0.0.1:80", 2.0).health(Health::Starting).incarnation(7),
            at("b", "grpcs://[2001:db8::1]", 0.0),
            at("c", "http://10.0.0.3:1", 3.0).zone("z").metadata([("priority", "1")]).unwrap(),
        ];
        let bytes = encode(&all);
        let back: Vec<Registration> =
            decode(&bytes, &Context::new("default")).unwrap().instances.into_iter().map(|entry| entry.registration).collect();
        assert_eq!(back, all);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.contains(r#""health_status":"DRAINING","load_balancing_weight":1"#) && text.contains(r#""load_balancing_weight":3"#),
            "{text}"
        );
        assert!(!String::from_utf8(encode(&[at("n", "http://a.example:1", 1.0)])).unwrap().contains("a.example"));
        assert!(String::from_utf8(encode(&[at("f", "http://10.0.0.1:1", 2.5)])).unwrap().contains(r#""load_balancing_weight":2500"#));
    }
}
