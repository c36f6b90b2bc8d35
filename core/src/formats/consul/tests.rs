//! Answers of Consul as they are, and as they should not be.

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
        [(0, Code::InvalidAddress), (2, Code::AddressRefused), (3, Code::DuplicateKey), (4, Code::MissingField), (5, Code::AddressRefused)]
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
