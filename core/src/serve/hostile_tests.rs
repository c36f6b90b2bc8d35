//! What no client should send: true requests with some of their bytes changed, and bytes that never were a request.

use std::string::String;
use std::vec::Vec;

use super::hostile_corpus::{TRUE, spoil};
use super::*;
use crate::error::Code;
use crate::registry::Config;
use crate::rng::Rng;
use crate::value::Value;

/// A value of metadata, which no error may repeat.
const SECRET: &str = "hunter2";

/// An answer that a client can rely on, whatever it sent.
fn check(request: &Request<'_>, response: &Response, changed: bool) {
    assert!(
        [200, 201, 204, 308, 400, 403, 404, 405, 409, 413, 429, 500, 503].contains(&response.status),
        "{request:?}: {}",
        response.status
    );
    for (name, value) in &response.headers {
        assert!(name.bytes().chain(value.bytes()).all(|byte| (b' '..=b'~').contains(&byte)), "{request:?}: {name}");
    }
    if response.status < 400 {
        assert!(!changed || request.method != "GET", "a read changed something: {request:?}");
        return;
    }
    assert!(!changed, "an error changed something: {request:?}");
    // The state of a service is a status in Consul; and this is how it says that there is another datacenter.
    let told = request.path.starts_with("/v1/agent/health/") || request.query.contains("dc=");
    assert!(response.status < 500 || told, "{request:?}: {}", response.status);
    if request.path.starts_with("/v1/agent/health/") {
        return;
    }
    let text = std::str::from_utf8(&response.body).unwrap();
    assert!(!text.contains(SECRET) && text.len() < 8_192, "{text}");
    if !response.headers.iter().any(|(name, value)| *name == "content-type" && value.ends_with("json")) {
        return assert!(!text.contains(char::is_control), "{text:?}");
    }
    let document = Value::from_json(&response.body).unwrap();
    if request.path.starts_with("/nacos/v3/") {
        return assert!(document.get("code").and_then(Value::as_u64) > Some(0), "{text}");
    }
    assert_eq!(document.get("status").and_then(Value::as_u64), Some(response.status.into()), "{text}");
    let code = document.get("code").and_then(Value::as_str).unwrap();
    assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{code}");
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.len() < 2_048, "{text}");
}

#[test]
fn spoilt_requests_are_answered_and_errors_change_nothing() {
    let mut rng = Rng::new(7);
    let mut registry = Registry::new(Config::default()).unwrap();
    let now = Timestamp::from_secs(1);
    let mut refused = 0;
    // A million of them: CALLBOARD_ROUNDS=1000000 when this is compiled.
    let rounds: u32 = option_env!("CALLBOARD_ROUNDS").map_or(10_000, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let (method, path, query, body) = TRUE[rng.below(TRUE.len() as u32) as usize];
        let mut parts: Vec<Vec<u8>> = [method, path, query, body].iter().map(|part| part.as_bytes().to_vec()).collect();
        // One round in eight is left as it is, so that there is something to spoil.
        if round % 8 > 0 {
            let at = rng.below(4) as usize;
            parts[at] = spoil(|bound| rng.below(bound as u32) as usize, [method, path, query, body][at]);
        }
        let texts: Vec<String> = parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        let request = Request { method: &texts[0], path: &texts[1], query: &texts[2], body: &parts[3], ..Request::default() };
        // What time does by itself is no fault of the request.
        registry.advance(now);
        let before = registry.snapshot();
        match handle(&mut registry, &request, now) {
            Reply::Response(response) => {
                refused += u32::from(response.status >= 400);
                check(&request, &response, registry.snapshot() != before);
            }
            Reply::Wait(wait) => {
                assert_eq!(registry.snapshot(), before);
                let until = wait.until;
                assert!(until > now && until <= Timestamp::from_secs(301));
                assert!(matches!(resume(&mut registry.clone(), wait, until), Reply::Response(_)));
            }
            Reply::Stream(response, wait) => {
                check(&request, &response, registry.snapshot() != before);
                let until = wait.until;
                assert!(matches!(resume(&mut registry.clone(), wait, until), Reply::Stream(..)));
            }
        }
    }
    assert!((rounds / 10 * 3..rounds / 10 * 9).contains(&refused), "{refused}");
}

/// Numbers at the ends of their ranges, names that mean something to some languages, and depth.
#[test]
fn extremes_are_answered() {
    let mut registry = Registry::new(Config::default()).unwrap();
    let now = Timestamp::MAX;
    let deep = "[".repeat(100_000);
    let many = std::format!("{{\"ops\":[{}]}}", ["{}"; 10_001].join(","));
    let long = "x".repeat(100_000);
    let wide: String = (0..100).map(|n| std::format!("k{n}=1&")).collect();
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        ("POST", "/v1/batch", "", &deep, "limit-exceeded"),
        ("POST", "/v1/batch", "", &many, "limit-exceeded"),
        ("GET", &std::format!("/{long}"), "", "", "limit-exceeded"),
        ("GET", "/v1/health", &long, "", "limit-exceeded"),
        ("GET", "/v1/health", &wide, "", "limit-exceeded"),
        (&long, "/v1/health", "", "", "unknown-route"),
        ("", "/v1/health", "", "", "unknown-route"),
        ("get", "/v1/health", "", "", "unknown-route"),
        ("GET", "/v1/health/", "", "", "unknown-route"),
        ("GET", "//v1/health", "", "", "unknown-route"),
        ("GET", "/v1/../v1/health", "", "", "unknown-route"),
        ("GET", "/v1/instances/default/constructor/__proto__", "", "", "unknown-instance"),
        ("GET", "/v1/instances/{namespace}/{service}/{id}", "", "", "unknown-instance"),
        ("PUT", "/v1/instances/default/web/a%20b", "", "{}", "invalid-name"),
        ("PUT", "/v1/instances/default/web/", "", "{}", "missing-field"),
        ("PUT", "/v1/instances/default/web/a", "", "{\"ttl\":1e308}", "invalid-duration"),
        ("PUT", "/v1/instances/default/web/a", "", "{\"weight\":-0.001}", "invalid-weight"),
        ("PUT", "/v1/instances/default/web/a", "", "{\"incarnation\":9007199254740992}", "invalid-argument"),
        ("PUT", "/v1/instances/default/web/a", "", "{\"__proto__\":{}}", "unknown-field"),
        ("PUT", "/v1/instances/default/web/a", "mode=", "{}", "invalid-argument"),
        ("PUT", "/v1/instances/default/web/a", "mode=create&mode=update", "{}", "duplicate-key"),
        ("GET", "/v1/instances/default/web", "tag=a,,b", "", "missing-field"),
        ("GET", "/v1/instances/default/web", "version=1..2", "", "invalid-version"),
        ("GET", "/v1/instances/default/web", "epoch=1&revision=9007199254740991&wait=301", "", "limit-exceeded"),
    ];
    for (method, path, query, body, code) in cases {
        let request = Request { method, path, query, body: body.as_bytes(), ..Request::default() };
        let Reply::Response(response) = handle(&mut registry, &request, now) else { panic!("{path} waits") };
        check(&request, &response, false);
        let document = Value::from_json(&response.body).unwrap();
        let found = document.get("code").and_then(Value::as_str);
        assert_eq!(found, Some(*code), "{} {} {}", &path[..path.len().min(60)], &query[..query.len().min(60)], &body[..body.len().min(60)]);
    }
    // A position of the future is not waited for, and at the end of time nobody waits.
    for query in ["epoch=1&revision=9007199254740991&wait=1", "epoch=1&revision=0&wait=300"] {
        let request = Request { method: "GET", path: "/v1/instances/default/web", query, body: b"", ..Request::default() };
        assert!(matches!(handle(&mut registry, &request, now), Reply::Response(_)));
    }
    assert!(registry.is_empty());
}
