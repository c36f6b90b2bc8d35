//! What no client should send: true requests with some of their bytes changed, and bytes that never were a request.

use std::string::String;
use std::vec::Vec;

use super::*;
use crate::error::Code;
use crate::registry::Config;
use crate::rng::Rng;
use crate::value::Value;

/// A value of metadata, which no error may repeat.
const SECRET: &str = "hunter2";

/// Method, path, query, body.
const TRUE: &[(&str, &str, &str, &str)] = &[
    (
        "PUT",
        "/v1/instances/default/web/a",
        "mode=upsert&if_revision=1",
        r#"{"endpoints":["http://10.0.0.1:80",{"host":"::1","port":1}],"weight":1.5,"ttl":30,"metadata":{"password":"hunter2"},"tags":["t"]}"#,
    ),
    (
        "PUT",
        "/v1/instances/default/web/b",
        "",
        r#"{"version":"1.2.3","locality":{"zone":"z"},"health":"degraded","incarnation":7,"grace":1,"ttl":2}"#,
    ),
    ("GET", "/v1/instances/default/web/a", "", ""),
    ("DELETE", "/v1/instances/default/web/b", "incarnation=7", ""),
    ("POST", "/v1/instances/default/web/a/renew", "incarnation=0", ""),
    ("PUT", "/v1/instances/default/web/a/health", "", r#"{"health":"unhealthy","incarnation":1}"#),
    ("PUT", "/v1/instances/default/web/a/admin", "", r#"{"state":"draining","ttl":30,"reason":"moving"}"#),
    ("DELETE", "/v1/instances/default/web/a/admin", "", ""),
    ("GET", "/v1/instances/default/web", "selector=meta.env%3Dprod+or+not+(zone+in+(a,b))&version=%5E1&tag=t,u&health=any&limit=3", ""),
    ("GET", "/v1/instances/default", "epoch=1&revision=1&wait=5&region=r&subzone=s&node=n&zone=z", ""),
    ("GET", "/v1/services/default", "", ""),
    ("GET", "/v1/changes", "epoch=1&revision=0&wait=300", ""),
    (
        "POST",
        "/v1/batch",
        "",
        r#"{"ops":[{"op":"register","instance":{"service":"web","id":"c","metadata":{"password":"hunter2"}}},{"op":"renew","service":"web","id":"a"}]}"#,
    ),
    ("GET", "/v1/snapshot", "", ""),
    ("GET", "/v1/health", "", ""),
    ("GET", "/v1/openapi.json", "", ""),
    ("GET", "/ui", "", ""),
    ("HEAD", "/ui/page.js", "", ""),
    (
        "PUT",
        "/v1/agent/service/register",
        "replace-existing-checks=true",
        r#"{"ID":"a","Name":"web","Address":"10.0.0.1","Port":80,"Tags":["t"],"Meta":{"password":"hunter2"},"Check":{"TTL":"10s","DeregisterCriticalServiceAfter":"1m"}}"#,
    ),
    ("PUT", "/v1/agent/check/pass/service:a", "note=well", ""),
    ("PUT", "/v1/agent/check/update/service%3Aa", "", r#"{"Status":"warning"}"#),
    ("PUT", "/v1/agent/service/maintenance/a", "enable=true&reason=r", ""),
    ("PUT", "/v1/agent/service/deregister/a", "", ""),
    ("GET", "/v1/health/service/web", "passing=1&tag=t&index=3&wait=5s", ""),
    ("GET", "/v1/catalog/services", "index=1&wait=1m30s&dc=dc1", ""),
    ("GET", "/v1/agent/health/service/id/a", "format=text", ""),
    (
        "PUT",
        "/v1/catalog/register",
        "",
        r#"{"Node":"n","Address":"10.0.0.2","Service":{"Service":"db","Port":1},"Check":{"Status":"passing"}}"#,
    ),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"n","ServiceID":"db"}"#),
    (
        "POST",
        "/eureka/apps/WEB",
        "",
        r#"{"instance":{"instanceId":"i","hostName":"h","app":"WEB","ipAddr":"10.0.0.3","status":"UP","port":{"$":80,"@enabled":"true"},"dataCenterInfo":{"name":"MyOwn"},"metadata":{"password":"hunter2"},"leaseInfo":{"durationInSecs":90},"lastDirtyTimestamp":"1"}}"#,
    ),
    (
        "POST",
        "/eureka/v2/apps/web",
        "",
        "<instance><instanceId>x</instanceId><hostName>h</hostName><app>web</app><ipAddr>10.0.0.4</ipAddr><status>UP</status><port enabled=\"true\">80</port><dataCenterInfo><name>MyOwn</name></dataCenterInfo></instance>",
    ),
    ("PUT", "/eureka/apps/WEB/i", "status=UP&lastDirtyTimestamp=1", ""),
    ("PUT", "/eureka/apps/WEB/i/status", "value=OUT_OF_SERVICE", ""),
    ("PUT", "/eureka/apps/WEB/i/metadata", "k=v", ""),
    ("DELETE", "/eureka/apps/WEB/i", "", ""),
    ("GET", "/eureka/apps/delta", "", ""),
    ("GET", "/eureka/vips/web", "", ""),
    (
        "POST",
        "/nacos/v1/ns/instance",
        "serviceName=G%40%40web&ip=10.0.0.5&port=80&clusterName=c&weight=2&enable=true&ephemeral=True&metadata=%7B%22password%22%3A%22hunter2%22%7D",
        "",
    ),
    (
        "PUT",
        "/nacos/v1/ns/instance/beat",
        "serviceName=G%40%40web&beat=%7B%22ip%22%3A%2210.0.0.5%22%2C%22port%22%3A80%2C%22serviceName%22%3A%22G%40%40web%22%7D",
        "",
    ),
    ("DELETE", "/nacos/v1/ns/instance", "serviceName=G%40%40web&ip=10.0.0.5&port=80&cluster=c", ""),
    ("GET", "/nacos/v1/ns/instance/list", "serviceName=web&groupName=G&clusters=c&healthyOnly=true&namespaceId=public", ""),
    ("GET", "/nacos/v1/ns/service/list", "pageNo=1&pageSize=10", ""),
    ("POST", "/nacos/v3/client/ns/instance", "serviceName=web&ip=10.0.0.5&port=80&heartBeat=true", ""),
    ("GET", "/nacos/v3/client/ns/instance/list", "serviceName=web", ""),
];

/// Pieces that parsers trip over.
const BITS: &[&[u8]] = &[
    b"%00",
    b"%2F",
    b"%",
    b"%%",
    b"..",
    b"//",
    b"\0",
    b"\r\n",
    b"&",
    b"=",
    b"+",
    b"\"",
    b"{",
    b"[[[[[[[[",
    b"}",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc3\xa9",
    b"-1",
    b"1e999",
    b"NaN",
    b"9007199254740992",
    b"18446744073709551616",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"__proto__",
    b"(((((((",
];

fn spoil(rng: &mut Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() as u32 + 1) as usize;
        match rng.below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = rng.below(256) as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            _ => drop(bytes.splice(at..at, BITS[rng.below(BITS.len() as u32) as usize].iter().copied())),
        }
    }
    bytes
}

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
    if !response.headers.iter().any(|(name, value)| *name == "content-type" && value == "application/json") {
        return assert!(!text.contains(char::is_control), "{text:?}");
    }
    let document = Value::from_json(&response.body).unwrap();
    if request.path.starts_with("/nacos/v3/") {
        return assert!(document.get("code").and_then(Value::as_u64) > Some(0), "{text}");
    }
    let error = document.get("error").unwrap();
    let code = error.get("code").and_then(Value::as_str).unwrap();
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
            parts[at] = spoil(&mut rng, [method, path, query, body][at]);
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
        let found = document.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
        assert_eq!(found, Some(*code), "{} {} {}", &path[..path.len().min(60)], &query[..query.len().min(60)], &body[..body.len().min(60)]);
    }
    // A position of the future is not waited for, and at the end of time nobody waits.
    for query in ["epoch=1&revision=9007199254740991&wait=1", "epoch=1&revision=0&wait=300"] {
        let request = Request { method: "GET", path: "/v1/instances/default/web", query, body: b"", ..Request::default() };
        assert!(matches!(handle(&mut registry, &request, now), Reply::Response(_)));
    }
    assert!(registry.is_empty());
}
