//! Nacos: the lists of instances of its APIs v1, v2 and v3, what it pushes over gRPC, and the failover files of its clients.
//!
//! | ours | Nacos' |
//! |---|---|
//! | id | `instanceId`, else `ip#port#clusterName#serviceName` |
//! | service | the one that was asked for, else `serviceName`, else `name` of the list; without `GROUP@@` |
//! | endpoint | `http`, `ip` and `port` |
//! | weight | `weight`; 1 when absent, 0 is never picked |
//! | health | `healthy`; healthy when absent |
//! | admin | disabled when `enabled` is false |
//! | zone | `clusterName`, save `DEFAULT` |
//! | version, metadata | `metadata.version`, `metadata` |
//!
//! With `reachProtectionThreshold` the server calls all of them healthy to protect those that are: then no `healthy` says anything. A service
//! that is not known is an empty list. `lastRefTime` is the time of a clock on a wall: it orders nothing.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::document::{Document, Node};
use super::{Context, Decoded, Entry, fit};
use crate::error::{Code, Error};
use crate::model::{AdminState, Endpoint, Health, Locality, Registration, Weight};
use crate::value::Value;

/// Reads a list of instances: as it is, in `data` of an answer, in `serviceInfo` of a push, or bare.
///
/// # Errors
/// [`Code::Malformed`] for an answer that tells an error, or that has no list; and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let document = Document::json(bytes)?;
    let root = document.root();
    if root.get("code").and_then(Node::whole).is_some_and(|code| !matches!(code, 0 | 200)) {
        return Err(Error::new(Code::Malformed, "code").message("the server tells an error"));
    }
    let list = root.any(&["data", "serviceInfo"]).unwrap_or(root);
    let said = list.is_map().then(|| list.pairs().find(|(key, _)| *key == "hosts")).flatten().map(|(_, hosts)| hosts);
    // One instance stands for a list of it.
    let alone = list.is_map() && list.get("ip").is_some();
    let hosts = if list.is_list() || alone { Some(list) } else { said };
    let hosts = hosts.filter(|hosts| hosts.is_list() || hosts.is_null() || alone);
    let hosts = hosts.ok_or_else(|| Error::new(Code::Malformed, "hosts").message("expected a list of instances"))?;
    let truth = |key| list.get(key).and_then(Node::truth).unwrap_or(false);
    let mut decoded = Decoded { fake_health: truth("reachProtectionThreshold"), ..Decoded::default() };
    decoded.ttl = list.get("cacheMillis").and_then(Node::whole).filter(|millis| *millis > 0).map(Duration::from_millis);
    let name = list.text("name");
    decoded.expect(hosts.items().filter(|host| host.get("ip").is_some()).count());
    for (index, host) in hosts.items().enumerate() {
        let named = (service(host, &name, context), id(host));
        decoded.take(index, entry(host, &named, context), || named.clone());
    }
    Ok(decoded)
}

fn service(host: Node<'_>, list: &str, context: &Context<'_>) -> String {
    if let Some(asked) = context.service {
        return asked.to_string();
    }
    let own = host.text("serviceName");
    let name = if own.is_empty() { list } else { &own };
    name.split_once("@@").map_or(name, |(_, name)| name).to_string()
}

fn id(host: Node<'_>) -> String {
    let id = host.text("instanceId");
    if !id.is_empty() || host.text("ip").is_empty() {
        return id.into_owned();
    }
    let [ip, port, cluster, service] = ["ip", "port", "clusterName", "serviceName"].map(|key| host.text(key));
    alloc::format!("{ip}#{port}#{cluster}#{service}")
}

fn entry(host: Node<'_>, (service, id): &(String, String), context: &Context<'_>) -> Result<Entry, Error> {
    if !host.is_map() {
        return Err(Error::new(Code::InvalidArgument, "instance").message("expected a map"));
    }
    let truth = |key| host.get(key).and_then(Node::truth).unwrap_or(true);
    let health = if truth("healthy") { Health::Healthy } else { Health::Unhealthy };
    let mut own = Registration::new(service.as_str(), id.as_str()).namespace(context.namespace).health(health);
    let port = host.get("port").map_or(Ok(None), |port| port.port("port"))?;
    own.endpoints = alloc::vec![Endpoint::new("http", &host.text("ip"), port).map_err(|error| error.within("ip"))?];
    own.weight = host.get("weight").and_then(Node::number).map_or(Ok(Weight::ONE), Weight::new)?;
    let cluster = host.text("clusterName");
    let zone = if cluster == "DEFAULT" { String::new() } else { fit::place(&cluster) };
    own.locality = Locality { zone, ..Locality::default() };
    let metadata = host.get("metadata");
    own.version = fit::version([&*metadata.map(|metadata| metadata.text("version")).unwrap_or_default()]);
    own.metadata = fit::metadata(fit::pairs(metadata));
    own.validate()?;
    let admin = if truth("enabled") { AdminState::Enabled } else { AdminState::Disabled };
    Ok(Entry { admin, ..Entry::new(0, own) })
}

/// Whether Nacos calls that healthy.
pub(crate) fn is_healthy(health: Health) -> bool {
    !matches!(health, Health::Unhealthy | Health::Starting)
}

/// Writes a list of instances as API v1 answers it, as far as Nacos can say it: one address, no tags, no lease.
pub(super) fn encode(instances: &[Registration]) -> Vec<u8> {
    let group = |service: &str| Value::from(alloc::format!("DEFAULT_GROUP@@{service}"));
    let service = instances.first().map_or("", |own| &own.service);
    Value::map([
        ("name", group(service)),
        ("groupName", "DEFAULT_GROUP".into()),
        ("clusters", "".into()),
        ("hosts", Value::List(instances.iter().map(|own| written(own, group(&own.service))).collect())),
        ("reachProtectionThreshold", false.into()),
        ("valid", true.into()),
    ])
    .to_json()
}

pub(crate) fn written(own: &Registration, service: Value) -> Value {
    let endpoint = own.endpoints.first();
    let ip = endpoint.map_or(String::new(), |endpoint| endpoint.host.bare());
    let mut metadata: Vec<(&str, Value)> = own.metadata.iter().map(|(key, value)| (key, value.into())).collect();
    if let Some(version) = own.version.as_ref().filter(|_| own.metadata.get("version").is_none()) {
        metadata.push(("version", Value::from(&*version.text())));
    }
    let cluster = if own.locality.zone.is_empty() { "DEFAULT" } else { &own.locality.zone };
    Value::map([
        ("instanceId", Value::from(own.id.as_str())),
        ("ip", ip.as_str().into()),
        ("port", u64::from(endpoint.and_then(|endpoint| endpoint.port).unwrap_or(0)).into()),
        ("weight", own.weight.as_f64().into()),
        ("healthy", is_healthy(own.health).into()),
        ("enabled", true.into()),
        ("ephemeral", true.into()),
        ("clusterName", cluster.into()),
        ("serviceName", service),
        ("metadata", Value::map(metadata)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    const ONE: &str = r#"{"instanceId":"10.0.0.1#80#c1#G@@web","ip":"10.0.0.1","port":"80","weight":2.5,"healthy":true,"enabled":true,
        "clusterName":"c1","serviceName":"G@@web","metadata":{"k":"v"}}"#;

    fn read(body: &str) -> Result<Decoded, Error> {
        decode(body.as_bytes(), &Context::new("default"))
    }

    fn one(from: &str, to: &str) -> Result<Entry, Error> {
        let mut decoded = read(&format!("[{}]", ONE.replacen(from, to, 1))).unwrap();
        decoded.instances.pop().ok_or_else(|| decoded.skipped.remove(0).error)
    }

    #[test]
    fn every_wrapping_holds_the_same_list() {
        let list = format!(r#"{{"name":"G@@web","cacheMillis":10000,"hosts":[{ONE}],"reachProtectionThreshold":true}}"#);
        for body in [&list, &format!(r#"{{"code":0,"message":"ok","data":{list}}}"#), &format!(r#"{{"serviceInfo":{list}}}"#)] {
            let decoded = read(body).unwrap();
            assert_eq!((decoded.instances.len(), decoded.fake_health, decoded.ttl), (1, true, Some(Duration::from_secs(10))));
            let own = &decoded.instances[0].registration;
            assert_eq!((own.service.as_str(), own.id.as_str(), own.weight.as_f64()), ("web", "10.0.0.1#80#c1#G@@web", 2.5));
            assert_eq!((format!("{}", own.endpoints[0]), own.locality.zone.as_str()), ("http://10.0.0.1:80".into(), "c1"));
            assert_eq!(read(&String::from_utf8(encode(core::slice::from_ref(own))).unwrap()).unwrap().instances[0].registration, *own);
        }
        assert_eq!(read(&format!(r#"{{"code":200,"data":[{ONE}]}}"#)).unwrap().instances.len(), 1);
        for nothing in [r#"{"name":"web","hosts":[]}"#, r#"{"hosts":null}"#, "[]"] {
            assert_eq!(read(nothing), Ok(Decoded::default()), "{nothing}");
        }
        for bad in ["", "{}", "null", "caused: nope", r#"{"code":20004,"data":"nope"}"#, r#"{"code":0,"data":"nope"}"#, r#"{"hosts":{}}"#] {
            assert_eq!(read(bad).unwrap_err().code(), Code::Malformed, "{bad}");
        }
    }

    #[test]
    fn flags_weights_and_ports_are_read_for_what_they_mean() {
        assert_eq!(one("\"healthy\":true", "\"healthy\":\"false\"").unwrap().registration.health, Health::Unhealthy);
        assert_eq!(one("\"healthy\":true", "\"healthy\":null").unwrap().registration.health, Health::Healthy);
        assert_eq!(one("\"enabled\":true", "\"enabled\":false").unwrap().admin, AdminState::Disabled);
        assert_eq!(one("2.5", "0").unwrap().registration.weight, Weight::ZERO);
        assert_eq!(one("\"clusterName\":\"c1\"", "\"clusterName\":\"DEFAULT\"").unwrap().registration.locality, Locality::default());
        assert_eq!(one("\"instanceId\":\"10.0.0.1#80#c1#G@@web\",", "").unwrap().registration.id, "10.0.0.1#80#c1#G@@web");
        assert_eq!(one("\"80\"", "-1").unwrap_err().field(), "port");
        assert_eq!(one("2.5", "-1").unwrap_err().code(), Code::InvalidWeight);
        assert_eq!(one("\"ip\":\"10.0.0.1\"", "\"ip\":\"\"").unwrap_err().code(), Code::MissingField);
        assert_eq!(read("[7]").unwrap().skipped.len(), 1);
    }
}
