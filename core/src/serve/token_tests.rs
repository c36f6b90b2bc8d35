//! Holders of tokens beside each other, where no policy keeps them apart.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::token::proof;
use super::*;
use crate::registry::Config;
use crate::rng::Rng;

const TOKENS: [&str; 2] = ["the-token-of-ann", "the-token-of-bob"];

/// What changes an instance of `web` by its id, in every protocol; the operator's word is nobody's own.
const CHANGES: &[(&str, &str, &str, &str)] = &[
    ("PUT", "/v1/instances/default/web/I", "", r#"{"weight":9}"#),
    ("PUT", "/v1/instances/default/web/I", "mode=update", r#"{"endpoints":["http://10.6.6.6:1"]}"#),
    ("DELETE", "/v1/instances/default/web/I", "", ""),
    ("POST", "/v1/instances/default/web/I/renew", "", ""),
    ("POST", "/v1/instances/default/web/I/renew", "incarnation=1", ""),
    ("PUT", "/v1/instances/default/web/I/health", "", r#"{"health":"unhealthy"}"#),
    ("POST", "/v1/batch", "", r#"{"ops":[{"op":"deregister","service":"web","id":"I"}]}"#),
    (
        "POST",
        "/v1/batch",
        "",
        r#"{"ops":[{"op":"register","instance":{"service":"x","id":"y"}},{"op":"set_health","service":"web","id":"I","health":"unhealthy"}]}"#,
    ),
    ("PUT", "/v1/agent/service/register", "", r#"{"Name":"web","ID":"I","Address":"10.6.6.6","Port":1}"#),
    ("PUT", "/v1/agent/service/deregister/I", "", ""),
    ("PUT", "/v1/agent/check/fail/service:I", "", ""),
    ("PUT", "/v1/catalog/deregister", "", r#"{"Node":"callboard","ServiceID":"I"}"#),
    (
        "POST",
        "/eureka/apps/WEB",
        "",
        r#"{"instance":{"instanceId":"I","hostName":"h","app":"WEB","ipAddr":"10.6.6.6","dataCenterInfo":{"name":"MyOwn"}}}"#,
    ),
    ("PUT", "/eureka/apps/WEB/I", "", ""),
    ("DELETE", "/eureka/apps/WEB/I", "", ""),
    ("PUT", "/eureka/apps/WEB/I/metadata", "k=v", ""),
];

/// A request with a proof, as somebody on the way saw it.
struct Seen {
    line: usize,
    proof: String,
}

#[test]
fn no_request_without_the_token_changes_an_instance() {
    let mut rng = Rng::new(3);
    let (mut done, mut refused) = (0u32, 0u32);
    for round in 0..300 {
        let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).unwrap();
        let server = Server::default();
        let now = Timestamp::from_secs(1);
        for (id, token) in ["ann", "bob"].into_iter().zip(TOKENS) {
            let path = format!("/v1/instances/default/web/{id}");
            let headers = [("x-callboard-token", token)];
            let body = br#"{"ttl":600,"metadata":{"consul-check":"x"}}"#;
            let request = Request { method: "PUT", path: &path, headers: &headers, body, ..Request::default() };
            let Reply::Response(made) = server.handle(&mut registry, &request, now) else { panic!() };
            assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        }
        let bob = registry.lookup("default", "web", "bob").unwrap();
        let mut seen: Vec<Seen> = Vec::new();
        for sequence in 1..40u64 {
            // Bob speaks for himself, and is overheard.
            let verbs = [(3, "renew"), (4, "renew"), (5, "health")];
            let (line, verb) = verbs[rng.below(3) as usize];
            let (method, path, query, body) = CHANGES[line];
            let shown = proof(TOKENS[1], verb, 1, bob, sequence, query, body.as_bytes()).unwrap();
            let (path, headers) = (path.replace('I', "bob"), [("x-callboard-proof", shown.as_str())]);
            let request = Request { method, path: &path, query, headers: &headers, body: body.as_bytes(), ..Request::default() };
            let Reply::Response(response) = server.handle(&mut registry, &request, now) else { panic!() };
            assert!(response.status == 200 || response.status == 409, "{} {path}", response.status);
            seen.push(Seen { line, proof: shown });
            let before = registry.instance(bob).unwrap();
            // Ann has her token, and whatever she saw.
            let one = &seen[rng.below(seen.len() as u32) as usize];
            let line = if rng.below(2) == 0 { one.line } else { rng.below(CHANGES.len() as u32) as usize };
            let (method, path, query, body) = CHANGES[line];
            let verb = ["renew", "health", "deregister"][rng.below(3) as usize];
            let own = proof(TOKENS[0], verb, 1, bob, sequence + 1, query, body.as_bytes()).unwrap();
            let higher = one.proof.replacen(|digit: char| digit.is_ascii_digit(), "9", 1);
            let shown = [one.proof.as_str(), own.as_str(), higher.as_str()][rng.below(3) as usize];
            let headers = [("x-callboard-proof", shown), ("x-callboard-token", TOKENS[0])];
            let headers = &headers[rng.below(3) as usize % 2..];
            let (path, body) = (path.replace('I', "bob"), body.replace('I', "bob"));
            let request = Request { method, path: &path, query, headers, body: body.as_bytes(), ..Request::default() };
            let Reply::Response(response) = server.handle(&mut registry, &request, now) else { panic!() };
            if response.status < 300 {
                done += 1
            } else {
                refused += 1
            }
            let after = registry.instance(bob);
            assert_eq!(after.as_ref(), Some(&before), "{method} {path}?{query} {body} {headers:?} in round {round}: {}", response.status);
        }
    }
    assert!(refused > 10_000 && done < 600, "{done} {refused}");
}
