//! Requests to the HTTP APIs: a first line `METHOD PATH?QUERY`, with headers behind tabs, then the body. A byte of 0x1e stands between two requests.
//! There is a target for each protocol, which leaves out what is another's, and `rest` for all of them on one registry.

use callboard::serve::{Reply, Request, Server};
use callboard::{Timestamp, Value};

use super::{registry, state};
use crate::bounds;

/// Between two requests.
pub const BETWEEN: u8 = 0x1e;

/// The protocols that have a target of their own, and what their paths begin with.
pub const PROTOCOLS: &[(&str, &[&str])] = &[
    ("consul-server", &["/v1/agent/", "/v1/catalog/", "/v1/health/", "/v1/status/"]),
    ("eureka-server", &["/eureka/"]),
    ("nacos-server", &["/nacos/"]),
];

pub fn rest(bytes: &[u8]) {
    run(bytes, &[""]);
}

pub fn consul(bytes: &[u8]) {
    run(bytes, PROTOCOLS[0].1);
}

pub fn eureka(bytes: &[u8]) {
    run(bytes, PROTOCOLS[1].1);
}

pub fn nacos(bytes: &[u8]) {
    run(bytes, PROTOCOLS[2].1);
}

fn run(bytes: &[u8], prefixes: &[&str]) {
    let mut registry = registry();
    for (number, part) in bytes.split(|byte| *byte == BETWEEN).take(32).enumerate() {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let Ok(line) = std::str::from_utf8(&part[..end]) else { continue };
        let mut line = line.split('\t');
        let first = line.next().unwrap_or_default();
        let headers: Vec<(&str, &str)> = line.take(8).filter_map(|header| header.split_once(": ")).collect();
        let (method, target) = first.split_once(' ').unwrap_or((first, ""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !prefixes.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        let body = part.get(end + 1..).unwrap_or_default();
        let request = Request { method, path, query, headers: &headers, body, ..Request::default() };
        let now = Timestamp::from_secs(number as u64);
        registry.advance(now);
        let before = state(&registry);
        // What takes long is tried again, and then on a registry that has been changed.
        let reply = bounds::within(bounds::HEAP, || Server::default().handle(&mut registry, &request, now));
        let response = match reply {
            Reply::Response(response) | Reply::Stream(response, _) => response,
            Reply::Wait(wait) => match Server::default().resume(&mut registry, wait.clone(), wait.until) {
                Reply::Response(response) | Reply::Stream(response, _) => response,
                Reply::Wait(_) => panic!("it waits for longer than it said"),
            },
        };
        for (name, value) in &response.headers {
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
        }
        if response.status >= 400 {
            assert_eq!(state(&registry), before, "{}", response.status);
            let is = |kind: &str| response.headers.iter().any(|(name, value)| *name == "content-type" && value == kind);
            if (is("application/json") || is("application/problem+json")) && !path.starts_with("/v1/agent/health/") {
                let document = Value::from_json(&response.body).expect("JSON");
                let code = document.get("error").unwrap_or(&document).get("code");
                assert!(code.is_some(), "{path}");
            }
        }
        // The state of a service is a status in Consul, and so it says that there is another datacenter.
        let told = path.starts_with("/v1/agent/health/") || query.contains("dc=");
        assert!(response.status < 500 || told, "{}", response.status);
    }
}
