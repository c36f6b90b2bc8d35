//! What is recalled makes no difference: a feed that remembers entries and one that reads everything come to the same.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::{Feed, FeedConfig, Format, Payload};
use crate::registry::{Config, Registry};
use crate::rng::Rng;
use crate::time::Timestamp;

/// How a format writes one entry of a port and a weight, and the listing of several.
struct Style {
    format: Format,
    entry: fn(usize, u64) -> String,
    listing: fn(&[String], u64) -> String,
}

fn consul(id: usize, weight: u64) -> String {
    format!(
        r#"{{"Node":{{"Node":"n","Address":"{}.0.0.1"}},"Service":{{"ID":"w{id}","Service":"WEB","Port":{},"Weights":{{"Passing":{weight}}}}},"Checks":[{{"Status":"passing","Output":"a \"b\" ]}}"}}]}}"#,
        if weight == 3 { 127 } else { 10 },
        8000 + id
    )
}

fn nacos(id: usize, weight: u64) -> String {
    format!(
        r#"{{"instanceId":"w{id}","ip":"10.0.0.1","port":{},"weight":{weight},"healthy":{},"enabled":{}}}"#,
        8000 + id,
        weight != 3,
        weight != 4
    )
}

fn prometheus(id: usize, weight: u64) -> String {
    format!(r#"{{"targets":["10.0.0.1:{}","10.0.0.2:{}"],"labels":{{"w":"{weight}"}}}}"#, 8000 + id, 8000 + id)
}

fn envoy(id: usize, weight: u64) -> String {
    format!(
        r#"{{"endpoint":{{"address":{{"socket_address":{{"address":"10.0.0.1","port_value":{}}}}}}},"load_balancing_weight":{weight}}}"#,
        8000 + id
    )
}

fn eureka(id: usize, weight: u64) -> String {
    let status = if weight == 2 { "DOWN" } else { "UP" };
    format!(
        r#"{{"instanceId":"w{id}","app":"WEB","ipAddr":"10.0.0.1","port":{{"$":{},"@enabled":"true"}},"status":"{status}","metadata":{{"w":"{weight}"}}}}"#,
        8000 + id
    )
}

fn kubernetes(id: usize, weight: u64) -> String {
    // A registry refuses what is local.
    let net = if weight == 3 { 127 } else { 10 };
    let endpoint = |host: usize| format!(r#"{{"addresses":["{net}.0.{host}.{id}"],"conditions":{{"ready":{}}}}}"#, weight != 2);
    // Some pods are in two slices.
    format!(
        r#"{{"metadata":{{"name":"s{id}","labels":{{"kubernetes.io/service-name":"WEB"}}}},"ports":[{{"port":{}}}],"endpoints":[{},{}]}}"#,
        80 + weight,
        endpoint(0),
        endpoint(1).replace(&format!("0.1.{id}"), &format!("0.1.{}", id / 2))
    )
}

fn etcd(id: usize, weight: u64) -> String {
    // The value is {"Addr":"10.0.0.1:8000"} in base64; another weight is only another revision.
    let keys = ["d2ViL2E=", "d2ViL2I=", "d2ViL2M=", "d2ViL2Q=", "d2ViL2U=", "d2ViL2Y=", "d2ViL2c=", "d2ViL2g="];
    let value = "eyJBZGRyIjoiMTAuMC4wLjE6ODAwMCJ9";
    format!(r#"{{"key":"{}","value":"{value}","mod_revision":"{weight}"}}"#, keys[id % keys.len()])
}

fn curator(id: usize, weight: u64) -> String {
    format!(
        r#"{{"name":"WEB","id":"w{id}","address":"10.0.0.1","port":{},"enabled":{},"payload":{{"w":"{weight}"}}}}"#,
        8000 + id,
        weight != 3
    )
}

fn dubbo(id: usize, weight: u64) -> String {
    format!(r#""dubbo%3A%2F%2F10.0.0.1%3A{}%2FWEB%3Fweight%3D{weight}""#, 8000 + id)
}

const STYLES: &[Style] = &[
    Style { format: Format::ConsulHealth, entry: consul, listing: |all, _| format!("[{}]", all.join(", ")) },
    Style {
        format: Format::ConsulQuery,
        entry: consul,
        listing: |all, at| format!(r#"{{"Failovers":{},"Nodes":[{}]}}"#, at % 2, all.join(",")),
    },
    Style {
        format: Format::Nacos,
        entry: nacos,
        listing: |all, at| {
            format!(r#"{{"name":"G@@WEB","hosts":[{}],"lastRefTime":{at},"reachProtectionThreshold":{}}}"#, all.join(","), at % 5 == 0)
        },
    },
    Style {
        format: Format::Prometheus,
        entry: prometheus,
        listing: |all, at| format!("{}[{}]", " ".repeat(at as usize % 3), all.join(",")),
    },
    Style {
        format: Format::Envoy,
        entry: envoy,
        listing: |all, at| {
            let (one, two) = all.split_at(all.len() / 2);
            format!(
                r#"{{"version_info":"{}","resources":[{{"cluster_name":"WEB","endpoints":[{{"priority":{},"lb_endpoints":[{}]}},{{"lb_endpoints":[{}]}}]}}]}}"#,
                at / 4,
                at / 8 % 2,
                one.join(","),
                two.join(",")
            )
        },
    },
    Style {
        format: Format::EurekaVips,
        entry: eureka,
        listing: |all, at| {
            format!(
                r#"{{"applications":{{"versions__delta":"{}","application":[{{"name":"WEB","instance":[{}]}}]}}}}"#,
                at / 3,
                all.join(",")
            )
        },
    },
    Style { format: Format::Curator, entry: curator, listing: |all, _| format!("[{}]", all.join(",")) },
    Style { format: Format::Dubbo, entry: dubbo, listing: |all, _| format!("[{}]", all.join(",")) },
    Style {
        format: Format::Kubernetes,
        entry: kubernetes,
        listing: |all, at| format!(r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"{at}"}},"items":[{}]}}"#, all.join(",")),
    },
    Style {
        format: Format::EtcdGrpc,
        entry: etcd,
        listing: |all, at| format!(r#"{{"header":{{"revision":"{}"}},"kvs":[{}]}}"#, at + 10, all.join(",")),
    },
];

#[test]
fn what_is_recalled_makes_no_difference() {
    for style in STYLES {
        let mut recalled = 0;
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let mut below = |bound: u64| rng.below_u64(bound);
            let make = || {
                let mut config = FeedConfig::new("them", style.format);
                config.service = (style.format != Format::EtcdGrpc).then(|| "WEB".into());
                (Registry::new(Config::default()).unwrap(), Feed::new(config).unwrap())
            };
            let (mut one, mut other) = (make(), make());
            let mut all: Vec<(usize, u64)> = (0..8).map(|id| (id, 1)).collect();
            for at in 1..40u64 {
                let mut extra = Vec::new();
                match below(8) {
                    0 => all.reverse(),
                    1 => {
                        let place = below(all.len() as u64) as usize;
                        all[place].1 = 1 + below(4);
                    }
                    2 if all.len() > 5 => {
                        all.remove(below(all.len() as u64) as usize);
                    }
                    3 if all.len() < 8 => {
                        let free = (0..8).find(|id| all.iter().all(|(own, _)| own != id)).unwrap();
                        all.push((free, 1 + below(4)));
                    }
                    4 if below(3) == 0 => extra.push("{}".into()),
                    5 if below(3) == 0 => extra.push((style.entry)(all[0].0, 1 + below(2))),
                    6 => {
                        // Somebody else changes a record.
                        let service = "WEB";
                        let id = format!("w{}", below(8));
                        for (registry, _) in [&mut one, &mut other] {
                            let word =
                                crate::model::Override { state: crate::model::AdminState::Draining, until: None, reason: "test".into() };
                            let word = (at % 2 == 0).then_some(word);
                            let _ = registry.set_admin("default", service, &id, word, Timestamp::from_micros(at * 1_000_000).unwrap());
                        }
                    }
                    7 if below(4) == 0 => {
                        // A registry lives again: its records have other handles.
                        let now = Timestamp::from_micros(at * 1_000_000).unwrap();
                        for (registry, _) in [&mut one, &mut other] {
                            *registry = Registry::restore(&registry.snapshot(), Config::default(), now).unwrap();
                        }
                    }
                    _ => {}
                }
                let mut entries: Vec<String> = all.iter().map(|(id, weight)| (style.entry)(*id, *weight)).collect();
                entries.extend(extra);
                let mut body = (style.listing)(&entries, at);
                if below(12) == 0 {
                    body.truncate(body.len() - 1 - below(20) as usize);
                }
                if below(12) == 0 {
                    body = body.replacen("},{", "} {", 1);
                }
                let now = Timestamp::from_micros(at * 1_000_000).unwrap();
                recalled += usize::from(one.1.recalls(&one.0, body.as_bytes()));
                other.1.forget();
                let fed = [&mut one, &mut other].map(|(registry, feed)| feed.push(registry, &Payload::new(body.as_bytes()), now));
                assert_eq!(fed[0], fed[1], "{} {seed} {at}: {body}", style.format.name());
                assert_eq!(one.0.snapshot(), other.0.snapshot(), "{} {seed} {at}: {body}", style.format.name());
            }
        }
        assert!(recalled > 50, "{} recalled {recalled}", style.format.name());
    }
}
