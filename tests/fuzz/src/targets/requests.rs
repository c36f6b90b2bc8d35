//! Requests to the HTTP API: a first line `METHOD PATH?QUERY`, then the body. A byte of 0x1e stands between two requests.

use callboard::serve::{Reply, Request, Server};
use callboard::{Timestamp, Value};

use super::{registry, state};
use crate::bounds;

/// Between two requests.
pub const BETWEEN: u8 = 0x1e;

pub fn run(bytes: &[u8]) {
    let mut registry = registry();
    for (number, part) in bytes.split(|byte| *byte == BETWEEN).take(32).enumerate() {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let Ok(line) = std::str::from_utf8(&part[..end]) else { continue };
        let (method, target) = line.split_once(' ').unwrap_or((line, ""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request { method, path, query, body: part.get(end + 1..).unwrap_or_default(), ..Request::default() };
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
            if is("application/json") && !path.starts_with("/v1/agent/health/") {
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
