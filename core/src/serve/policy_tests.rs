//! Tenants beside each other: what each may do, and that no request does more.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::error::Code;
use crate::model::{Instance, Registration};
use crate::query::{HealthFilter, Query};
use crate::registry::{Config, Put};
use crate::rng::Rng;
use crate::value::Value;

fn hex(token: &str) -> String {
    crate::hex::hex(&hmac_sha256::Hash::hash(token.as_bytes()))
}

fn server(policy: &str) -> Server {
    Server::from_value(&Value::from_json(format!("{{\"policy\":{policy}}}").as_bytes()).unwrap()).unwrap()
}

fn tenants(may: [&str; 2]) -> Server {
    let grants = |service: &str, may: &str| {
        if may.is_empty() { "[]".to_string() } else { format!("[{{\"service\":\"{service}-*\",\"may\":\"{may}\"}}]") }
    };
    let one = |name: &str, may: &str| format!("{{\"name\":\"{name}\",\"tokens\":[\"{}\"],\"grants\":{}}}", hex(name), grants(name, may));
    let root = r#"{"name":"root","grants":[{"namespace":"*","may":"administer"}]}"#;
    server(&format!("[{},{},{root}]", one("ann", may[0]), one("bob", may[1])))
}

fn status(server: &Server, registry: &mut Registry, request: Request<'_>) -> u16 {
    match server.handle(registry, &request, Timestamp::from_secs(1)) {
        Reply::Response(response) | Reply::Stream(response, _) => response.status,
        Reply::Wait(_) => 0,
    }
}

#[test]
fn an_instance_is_its_owners_alone() {
    let server = server(&format!(
        r#"[{{"name":"ann","tokens":["{}"],"grants":[{{"may":"register"}}]}},{{"name":"bob","grants":[{{"may":"register"}}]}},
            {{"name":"olga","grants":[{{"may":"operate"}}]}},{{"name":"root","grants":[{{"namespace":"*","may":"administer"}}]}}]"#,
        hex("ann's")
    ));
    let mut registry = Registry::new(Config::default()).unwrap();
    let path = "/v1/instances/default/web/a";
    let mut ask = |method, path, principal, headers: &[(&str, &str)], body: &[u8]| {
        status(&server, &mut registry, Request { method, path, principal, headers, body, ..Request::default() })
    };
    assert_eq!(ask("PUT", path, "", &[], b"{}"), 403, "nobody is anybody by default");
    assert_eq!(ask("PUT", path, "", &[("Authorization", "Bearer ann's")], br#"{"metadata":{"callboard-owner":"bob"}}"#), 201);
    assert_eq!(ask("PUT", path, "", &[("x-consul-token", "ann's")], br#"{"weight":2}"#), 200);
    assert_eq!(ask("GET", path, "", &[("authorization", "Bearer bob's")], b""), 403, "a token of nobody");
    assert_eq!(ask("GET", path, "eve", &[("authorization", "Bearer ann's")], b""), 403, "the host's word comes first");
    for (method, path) in
        [("PUT", path), ("DELETE", path), ("POST", "/v1/instances/default/web/a/renew"), ("PUT", "/v1/agent/service/deregister/a")]
    {
        assert_eq!(ask(method, path, "bob", &[], b"{}"), 403, "{method} {path}");
    }
    assert_eq!(ask("GET", path, "bob", &[], b""), 200, "who may register may read");
    assert_eq!(ask("PUT", "/v1/instances/default/web/a/admin", "ann", &[], br#"{"state":"disabled"}"#), 403);
    assert_eq!(ask("PUT", "/v1/instances/default/web/a/admin", "olga", &[], br#"{"state":"disabled"}"#), 200);
    assert_eq!(ask("PUT", path, "olga", &[], b"{}"), 200);
    assert_eq!(ask("DELETE", path, "bob", &[], b""), 403, "an operator's change does not give it away");
    assert_eq!((ask("GET", "/v1/snapshot", "olga", &[], b""), ask("GET", "/v1/health", "olga", &[], b"")), (403, 403));
    assert_eq!((ask("GET", "/v1/snapshot", "root", &[], b""), ask("DELETE", path, "root", &[], b"")), (200, 200));
}

#[test]
fn a_long_poll_ends_with_the_right_to_it() {
    let mut registry = Registry::new(Config::default()).unwrap();
    registry.register(&Registration::new("ann-web", "a"), Put::default(), Timestamp::ZERO).unwrap();
    let request = Request { method: "GET", path: "/v1/health/service/ann-web", query: "index=2", principal: "ann", ..Request::default() };
    let Reply::Wait(wait) = tenants(["read", ""]).handle(&mut registry, &request, Timestamp::ZERO) else { panic!() };
    registry.register(&Registration::new("ann-web", "b"), Put::default(), Timestamp::ZERO).unwrap();
    for (may, count) in [("read", 2), ("", 0)] {
        let Reply::Response(response) = tenants([may, ""]).resume(&mut registry, wait.clone(), Timestamp::ZERO) else { panic!() };
        assert_eq!(Value::from_json(&response.body).unwrap().as_list().unwrap().len(), count);
    }
}

#[test]
fn policies_are_read_strictly() {
    let digest = "0".repeat(64);
    for (policy, code, field) in [
        ("{}".into(), Code::InvalidArgument, "policy"),
        (r#"[{"name":"a b"}]"#.into(), Code::InvalidName, "policy[0].name"),
        (r#"[{"name":"a","tokens":["secret"]}]"#.into(), Code::InvalidArgument, "policy[0].tokens"),
        (r#"[{"name":"a","grants":[{"may":"all"}]}]"#.into(), Code::InvalidArgument, "policy[0].grants[0].may"),
        (r#"[{"name":"a","grants":[{"service":"a"}]}]"#.into(), Code::MissingField, "policy[0].grants[0].may"),
        (r#"[{"name":"a"},{"name":"a"}]"#.into(), Code::DuplicateKey, "policy[1]"),
        (format!(r#"[{{"name":"a","tokens":["{digest}"]}},{{"name":"b","tokens":["{digest}"]}}]"#), Code::DuplicateKey, "policy[1]"),
    ] {
        let error = Server::from_value(&Value::from_json(format!("{{\"policy\":{policy}}}").as_bytes()).unwrap()).unwrap_err();
        assert_eq!((error.code(), error.field()), (code, field), "{policy}");
    }
}

/// Requests about an instance of a service; `S` is the service, `I` the id.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("PUT", "/v1/instances/default/S/I", "", r#"{"metadata":{"x":"y"},"ttl":60}"#),
    ("GET", "/v1/instances/default/S/I", "", ""),
    ("DELETE", "/v1/instances/default/S/I", "", ""),
    ("POST", "/v1/instances/default/S/I/renew", "", ""),
    ("PUT", "/v1/instances/default/S/I/health", "", r#"{"health":"unhealthy"}"#),
    ("PUT", "/v1/instances/default/S/I/admin", "", r#"{"state":"disabled"}"#),
    ("DELETE", "/v1/instances/default/S/I/admin", "", ""),
    ("GET", "/v1/instances/default/S", "health=any", ""),
    ("GET", "/v1/instances/default", "health=any", ""),
    ("GET", "/v1/services/default", "", ""),
    ("GET", "/v1/services", "", ""),
    ("GET", "/v1/changes", "epoch=1&revision=0", ""),
    (
        "POST",
        "/v1/batch",
        "",
        r#"{"ops":[{"op":"deregister","service":"S","id":"I"},{"op":"set_admin","service":"S","id":"I","admin":{"state":"draining"}}]}"#,
    ),
    ("PUT", "/v1/queries/default/S", "", r#"{"service":"S","fallbacks":[{"service":"S"}]}"#),
    ("PUT", "/v1/queries/default/S", "", r#"{"health":"any"}"#),
    ("GET", "/v1/queries/default/S", "", ""),
    ("DELETE", "/v1/queries/default/S", "", ""),
    ("GET", "/v1/queries/default", "", ""),
    ("GET", "/v1/queries/default/S/instances", "", ""),
    ("GET", "/v1/queries/default/S/explain", "", ""),
    ("GET", "/v1/explain/default/S", "selector=secret%3Dx", ""),
    ("GET", "/v1/explain/default", "health=any&selector=secret%3Dx", ""),
    ("GET", "/v1/snapshot", "", ""),
    ("GET", "/v1/health", "", ""),
    ("PUT", "/v1/agent/service/register", "", r#"{"Name":"S","ID":"I","Address":"10.0.0.1","Check":{"TTL":"60s"}}"#),
    ("PUT", "/v1/agent/service/deregister/I", "", ""),
    ("PUT", "/v1/agent/service/maintenance/I", "enable=true", ""),
    ("PUT", "/v1/agent/check/fail/service:I", "", ""),
    ("PUT", "/v1/agent/check/register", "", r#"{"Name":"c","ServiceID":"I","TTL":"60s"}"#),
    ("PUT", "/v1/agent/check/deregister/service:I", "", ""),
    ("PUT", "/v1/catalog/register", "", r#"{"Node":"callboard","Address":"10.0.0.1","Service":{"ID":"I","Service":"S"}}"#),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"callboard"}"#),
    ("GET", "/v1/health/service/S", "", ""),
    ("GET", "/v1/health/state/any", "", ""),
    ("GET", "/v1/catalog/services", "", ""),
    ("GET", "/v1/catalog/nodes", "", ""),
    ("GET", "/v1/catalog/node/callboard", "", ""),
    ("GET", "/v1/agent/services", "", ""),
    ("GET", "/v1/agent/service/I", "", ""),
    ("GET", "/v1/agent/health/service/id/I", "", ""),
    (
        "POST",
        "/eureka/apps/S",
        "",
        r#"{"instance":{"instanceId":"I","hostName":"h","app":"S","ipAddr":"10.0.0.1","dataCenterInfo":{"name":"MyOwn"}}}"#,
    ),
    ("PUT", "/eureka/apps/S/I", "", ""),
    ("DELETE", "/eureka/apps/S/I", "", ""),
    ("PUT", "/eureka/apps/S/I/status", "value=OUT_OF_SERVICE", ""),
    ("PUT", "/eureka/apps/S/I/metadata", "k=v", ""),
    ("GET", "/eureka/apps", "", ""),
    ("GET", "/eureka/apps/delta", "", ""),
    ("GET", "/eureka/instances/I", "", ""),
    ("GET", "/eureka/vips/S", "", ""),
    ("POST", "/nacos/v1/ns/instance", "serviceName=S&ip=10.0.0.1&port=1", ""),
    ("DELETE", "/nacos/v1/ns/instance", "serviceName=S&ip=10.0.0.1&port=1", ""),
    ("PUT", "/nacos/v1/ns/instance/beat", "serviceName=S&ip=10.0.0.1&port=1", ""),
    ("GET", "/nacos/v1/ns/instance/list", "serviceName=S", ""),
    ("GET", "/nacos/v1/ns/service/list", "", ""),
];

/// The instances of a service as they are, without what time does.
fn state(registry: &Registry, service: &str) -> Vec<Instance> {
    let handles = registry.query(&Query::service(service).health(HealthFilter::Any)).handles;
    handles.into_iter().filter_map(|handle| registry.instance(handle)).collect()
}

#[test]
fn no_request_of_a_tenant_reaches_another() {
    let mut rng = Rng::new(11);
    let words = ["", "read", "register", "operate"];
    let (mut escapes, mut done, mut refused) = (0, 0, 0);
    for round in 0..400 {
        let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).unwrap();
        let may = [words[rng.below(4) as usize], words[rng.below(4) as usize]];
        let server = tenants(may);
        for tenant in ["ann", "bob"] {
            for id in ["i", "10.0.0.1#1#DEFAULT#DEFAULT_GROUP@@ann-web"] {
                let secret = format!("secret-of-{tenant}");
                let own = Registration::new(format!("{tenant}-web"), id)
                    .metadata([("secret", secret.as_str()), ("callboard-owner", tenant)])
                    .unwrap();
                registry.register(&own, Put::default(), Timestamp::ZERO).unwrap();
            }
            let secret = Query::service(format!("{tenant}-web")).selector(&format!("secret=secret-of-{tenant}")).unwrap();
            registry.save_query(&format!("{tenant}-web"), &secret, Timestamp::ZERO).unwrap();
        }
        for _ in 0..60 {
            let (method, path, query, body) = REQUESTS[rng.below(REQUESTS.len() as u32) as usize];
            let service = ["ann-web", "bob-web", "Ann-Web", "bob-new"][rng.below(4) as usize];
            let id = ["i", "new", "10.0.0.1%231%23DEFAULT%23DEFAULT_GROUP@@ann-web"][rng.below(3) as usize];
            let put = |text: &str| text.replace('S', service).replace('I', id);
            let fill = |text: &str| {
                let text = text
                    .replace("\"S\"", &format!("\"{service}\""))
                    .replace("\"I\"", &format!("\"{id}\""))
                    .replace("=S&", &format!("={service}&"));
                if text.ends_with("=S") { text.replace("=S", &format!("={service}")) } else { text }
            };
            let (path, query, body) = (
                path.split('/')
                    .map(|part| if ["S", "I", "service:I"].contains(&part) { put(part) } else { part.into() })
                    .collect::<Vec<String>>()
                    .join("/"),
                fill(query),
                fill(body),
            );
            let (who, other) = [("ann", "bob"), ("bob", "ann")][rng.below(2) as usize];
            let bearer = format!("Bearer {who}");
            let accept = ["*/*", "text/event-stream", "text/plain"][rng.below(3) as usize];
            let headers = [("authorization", bearer.as_str()), ("accept", accept), ("x-callboard-token", "0123456789abcdef")];
            let theirs = |registry: &Registry| {
                let saved = registry.saved_query("default", &format!("{other}-web")).cloned();
                (state(registry, &format!("{other}-web")), saved)
            };
            let before = theirs(&registry);
            let request = Request { method, path: &path, query: &query, headers: &headers, body: body.as_bytes(), ..Request::default() };
            let reply = server.handle(&mut registry, &request, Timestamp::from_secs(1));
            if let Reply::Response(response) | Reply::Stream(response, _) = reply {
                let text = String::from_utf8_lossy(&response.body);
                escapes += u32::from(text.contains(&format!("secret-of-{other}")));
                if response.status < 400 { done += 1 } else { refused += 1 }
            }
            let after = theirs(&registry);
            assert_eq!(before, after, "{who} ({may:?}) changed what is {other}'s: {method} {path} {query} {body} in round {round}");
            let rights = may[usize::from(who == "bob")];
            let own = state(&registry, &format!("{who}-web")).len();
            assert!(!rights.is_empty() || own >= 2, "{who} may do nothing and did: {method} {path}");
        }
    }
    assert_eq!(escapes, 0);
    assert!(done > 5_000 && refused > 5_000, "{done} {refused}");
}

/// However a namespace or a service is spelled, it is the one that is meant, or none.
#[test]
fn no_spelling_leads_out_of_a_namespace() {
    let policy = r#"[{"name":"ann","grants":[{"namespace":"ann","may":"operate"}]}]"#;
    let server = server(policy);
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).unwrap();
    for namespace in ["bob", "default", "ann"] {
        let own =
            Registration::new("web", "i").namespace(namespace).metadata([("secret", format!("secret-of-{namespace}").as_str())]).unwrap();
        registry.register(&own, Put::default(), Timestamp::ZERO).unwrap();
        registry.save_query("q", &Query::service("web").namespace(namespace), Timestamp::ZERO).unwrap();
    }
    let before = registry.snapshot();
    let spellings = [
        "bob",
        "%62ob",
        "%62%6F%62",
        "b%6fb",
        "Bob",
        "BOB",
        "bob%20",
        "%20bob",
        "+bob",
        "bob+",
        "bob%09",
        "bob%00",
        "%00bob",
        "bob%0d%0a",
        "bob%0A",
        "bob.",
        ".bob",
        "bob%2e",
        "bob/",
        "/bob",
        "//bob",
        "bob%2f",
        "%2fbob",
        "ann/../bob",
        "ann%2f..%2fbob",
        "ann%2F%2E%2E%2Fbob",
        "ann/%2e%2e/bob",
        "..%2fbob",
        "..;/bob",
        "./bob",
        "ann%5c..%5cbob",
        "ann\\..\\bob",
        "ann%252f..%252fbob",
        "%2562ob",
        "b%c3%b6b",
        "bo%e2%80%8bb",
        "bob%ef%bb%bf",
        "%ef%bd%82%ef%bd%8f%ef%bd%82",
        "%c0%af..%c0%afbob",
        "%e0%80%afbob",
        "b%c0%aeb",
        "bob%u0062",
        "%u0062ob",
        "bob;ann",
        "ann;bob",
        "ann,bob",
        "bob,ann",
        "ann@bob",
        "ann%40bob",
        "@@bob",
        "ann@@bob",
        "ann%00bob",
        "ann#bob",
        "ann%23bob",
        "ann%3fbob",
        "bob?",
        "*",
        "%2a",
        "b*",
        "b?b",
        "b%3fb",
        "",
        "%",
        "%zz",
        "bob%",
        "__proto__",
        "constructor",
        "xn--bob",
        "bob\u{0}",
        "b\u{f6}b",
        "\u{ff42}ob",
        "bob\u{202e}",
        "null",
        "undefined",
        "default",
        "de%66ault",
        "DEFAULT",
        "public",
        "-",
        "_",
        "all",
        "any",
        "%2525",
    ];
    let templates = [
        ("GET", "/v1/instances/N/web", "health=any", ""),
        ("GET", "/v1/instances/N", "health=any", ""),
        ("GET", "/v1/instances/N/web/i", "", ""),
        ("DELETE", "/v1/instances/N/web/i", "", ""),
        ("POST", "/v1/instances/N/web/i/renew", "", ""),
        ("PUT", "/v1/instances/N/web/i/admin", "", r#"{"state":"disabled"}"#),
        ("PUT", "/v1/instances/ann/web/j", "", r#"{"namespace":"N"}"#),
        ("GET", "/v1/services/N", "", ""),
        ("GET", "/v1/explain/N/web", "health=any", ""),
        ("GET", "/v1/queries/N", "", ""),
        ("GET", "/v1/queries/N/q/instances", "", ""),
        ("PUT", "/v1/queries/ann/r", "", r#"{"service":"web","namespace":"N"}"#),
        ("PUT", "/v1/queries/ann/r", "", r#"{"service":"none","fallbacks":[{"service":"web","namespace":"N"}]}"#),
        ("DELETE", "/v1/queries/N/q", "", ""),
        ("POST", "/v1/batch", "", r#"{"ops":[{"op":"deregister","namespace":"N","service":"web","id":"i"}]}"#),
        ("GET", "/v1/instances/ann/N", "health=any", ""),
        ("GET", "/v1/instances/ann/web/N", "", ""),
        ("GET", "/v1/health/service/web", "ns=N&namespace=N&dc=dc1", ""),
        ("GET", "/v1/catalog/services", "ns=N", ""),
        ("GET", "/nacos/v1/ns/instance/list", "serviceName=web&namespaceId=N", ""),
        ("GET", "/nacos/v1/ns/instance/list", "serviceName=N@@web", ""),
        ("DELETE", "/nacos/v1/ns/instance", "serviceName=web&namespaceId=N&ip=10.0.0.1&port=1", ""),
        ("GET", "/eureka/apps/N", "", ""),
        ("GET", "/eureka/apps/WEB/N", "", ""),
    ];
    for spelling in spellings {
        for (method, path, query, body) in templates {
            let (path, query, body) = (path.replace('N', spelling), query.replace('N', spelling), body.replace('N', spelling));
            let request = Request { method, path: &path, query: &query, body: body.as_bytes(), principal: "ann", ..Request::default() };
            if let Reply::Response(response) | Reply::Stream(response, _) = server.handle(&mut registry, &request, Timestamp::ZERO) {
                let text = String::from_utf8_lossy(&response.body);
                assert!(!text.contains("secret-of-bob") && !text.contains("secret-of-default"), "{method} {path}?{query} {body}: {text}");
            }
            assert!(registry.snapshot() == before, "{method} {path}?{query} {body} changed something");
        }
    }
}
