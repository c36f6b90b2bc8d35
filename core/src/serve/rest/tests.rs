//! The API as a client meets it, and against its description.

use std::collections::BTreeSet;
use std::string::{String, ToString};

use std::format;

use super::*;
use crate::registry::{Config, Registry};
use crate::rng::Rng;
use crate::serve::{handle, resume};
use crate::value::Value;

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn send(registry: &mut Registry, line: &str, body: &str, now: u64) -> Reply {
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    handle(registry, &Request { method, path, query, body: body.as_bytes(), ..Request::default() }, at(now))
}

pub(super) fn ask(registry: &mut Registry, line: &str, body: &str, now: u64) -> (u16, Value) {
    let Reply::Response(response) = send(registry, line, body, now) else { panic!("{line} waits") };
    (response.status, Value::from_json(&response.body).unwrap_or_default())
}

pub(super) fn code(reply: &(u16, Value)) -> (u16, &str, &str) {
    let error = &reply.1;
    (reply.0, error.get("code").unwrap().as_str().unwrap(), error.get("field").unwrap().as_str().unwrap())
}

pub(super) fn registry() -> Registry {
    Registry::new(Config::default()).unwrap()
}

#[test]
fn a_provider_comes_stays_and_goes() {
    let mut r = registry();
    let body = r#"{"endpoints":["http://10.0.0.1:80"],"ttl":10,"metadata":{"env":"prod"},"version":"1.4.2"}"#;
    let (status, registered) = ask(&mut r, "PUT /v1/instances/default/web/a", body, 0);
    assert_eq!((status, registered.get("created").unwrap().as_bool()), (201, Some(true)));
    assert_eq!(ask(&mut r, "PUT /v1/instances/default/web/a", body, 1).0, 200);
    assert_eq!(ask(&mut r, "POST /v1/instances/default/web/a/renew", "", 9).0, 200);
    let (_, answer) = ask(&mut r, "GET /v1/instances/default/web?selector=env%3Dprod&version=^1", "", 10);
    assert_eq!(answer.get("instances").unwrap().as_list().unwrap()[0].get("url").unwrap().as_str(), Some("http://10.0.0.1:80"));
    assert_eq!(ask(&mut r, "PUT /v1/instances/default/web/a/health", r#"{"health":"degraded"}"#, 10).0, 200);
    assert_eq!(ask(&mut r, "PUT /v1/instances/default/web/a/admin", r#"{"state":"draining","ttl":5}"#, 10).0, 200);
    let (_, instance) = ask(&mut r, "GET /v1/instances/default/web/a", "", 10);
    assert_eq!(instance.get("admin").unwrap().get("until").unwrap().as_u64(), Some(15_000_000));
    assert_eq!(ask(&mut r, "DELETE /v1/instances/default/web/a/admin", "", 10).0, 200);
    assert_eq!(ask(&mut r, "GET /v1/services/default", "", 10).1.get("services").unwrap().as_list().unwrap().len(), 1);
    assert_eq!(ask(&mut r, "DELETE /v1/instances/default/web/a", "", 11).0, 200);
    let gone = ask(&mut r, "POST /v1/instances/default/web/a/renew", "", 11);
    assert_eq!(code(&gone), (404, "unknown-lease", "id"));
    let (_, changes) = ask(&mut r, "GET /v1/changes?epoch=1&revision=0", "", 11);
    assert_eq!(changes.get("events").unwrap().as_list().unwrap().len(), 5);
    let batch = r#"{"ops":[{"op":"register","instance":{"service":"web","id":"b/1"}},{"op":"set_admin","service":"web","id":"b/1","admin":{"state":"disabled"}}]}"#;
    assert_eq!(ask(&mut r, "POST /v1/batch", batch, 12).0, 200);
    assert_eq!(ask(&mut r, "GET /v1/instances/default/web/b%2F1", "", 12).0, 200);
    let Reply::Response(snapshot) = send(&mut r, "GET /v1/snapshot", "", 12) else { panic!() };
    assert_eq!(Registry::restore(&snapshot.body, Config::default(), at(0)).unwrap().len(), 1);
    assert_eq!(ask(&mut r, "GET /v1/health", "", 12).1.get("status").unwrap().as_str(), Some("ok"));
}

#[test]
fn a_long_poll_answers_when_its_answer_changes() {
    let mut r = registry();
    ask(&mut r, "PUT /v1/instances/default/web/a", r#"{"metadata":{"env":"prod"}}"#, 0);
    let poll = "GET /v1/instances/default/web?selector=env=prod&epoch=1&revision=1&wait=30";
    assert!(matches!(send(&mut r, &poll.replace("epoch=1", "epoch=9"), "", 0), Reply::Response(_)));
    assert!(matches!(send(&mut r, &poll.replace("revision=1", "revision=0"), "", 0), Reply::Response(_)));
    let Reply::Wait(wait) = send(&mut r, poll, "", 0) else { panic!() };
    assert_eq!(wait.until, at(30));
    // Neither another service nor an instance that does not match ends the wait.
    ask(&mut r, "PUT /v1/instances/default/other/a", "{}", 1);
    ask(&mut r, "PUT /v1/instances/default/web/b", r#"{"metadata":{"env":"test"}}"#, 1);
    let Reply::Wait(wait) = resume(&mut r, wait, at(1)) else { panic!() };
    let Reply::Response(over) = resume(&mut r, wait.clone(), at(30)) else { panic!() };
    assert_eq!(over.status, 200);
    ask(&mut r, "DELETE /v1/instances/default/web/a", "", 31);
    let Reply::Response(response) = resume(&mut r, wait, at(31)) else { panic!() };
    let answer = Value::from_json(&response.body).unwrap();
    assert_eq!((answer.get("instances").unwrap().as_list().unwrap().len(), answer.get("revision").unwrap().as_u64()), (0, Some(4)));
    assert!(response.headers.contains(&("x-callboard-revision", "4".to_string())));
    let Reply::Wait(wait) = send(&mut r, "GET /v1/changes?epoch=1&revision=4&wait=5", "", 31) else { panic!() };
    ask(&mut r, "PUT /v1/instances/default/web/c", "{}", 32);
    assert!(matches!(resume(&mut r, wait, at(32)), Reply::Response(_)));
}

#[test]
fn what_is_wrong_is_named_and_changes_nothing() {
    let mut r = registry();
    ask(&mut r, "PUT /v1/instances/default/web/a", r#"{"incarnation":5}"#, 0);
    let before = r.snapshot();
    for (line, body, expected) in [
        ("GET /nowhere", "", (404, "unknown-route", "path")),
        ("PATCH /v1/health", "", (405, "unknown-route", "path")),
        ("GET v1/health", "", (400, "malformed", "path")),
        ("GET /v1/instances/a%00b/c", "", (400, "malformed", "path")),
        ("GET /v1/instances/a%2Fb/c", "", (400, "invalid-name", "namespace")),
        ("GET /v1/instances/default/web?selector=(", "", (400, "invalid-selector", "selector")),
        ("GET /v1/instances/default/web?verison=1", "", (400, "unknown-field", "verison")),
        ("GET /v1/instances/default/web?limit=-1", "", (400, "invalid-argument", "limit")),
        ("GET /v1/instances/default/web?wait=1&revision=1", "", (400, "missing-field", "epoch")),
        ("GET /v1/instances/default/web?epoch=1&revision=1&wait=301", "", (413, "limit-exceeded", "wait")),
        ("GET /v1/changes", "", (400, "missing-field", "epoch")),
        ("GET /v1/health?a=1&a=2", "", (400, "duplicate-key", "a")),
        ("PUT /v1/instances/default/web/b", "", (400, "malformed", "body")),
        ("PUT /v1/instances/default/web/b", "[]", (400, "invalid-argument", "body")),
        ("PUT /v1/instances/default/web/b", r#"{"wieght":1}"#, (400, "unknown-field", "wieght")),
        ("PUT /v1/instances/default/web/b", r#"{"id":"c"}"#, (400, "invalid-argument", "id")),
        ("PUT /v1/instances/default/web/b", r#"{"weight":1,"weight":2}"#, (400, "duplicate-key", "body")),
        ("PUT /v1/instances/default/__proto__/b", "{}", (400, "invalid-name", "service")),
        ("PUT /v1/instances/default/web/a?mode=create", r#"{"incarnation":5}"#, (409, "already-exists", "id")),
        ("PUT /v1/instances/default/web/a", "{}", (409, "stale-incarnation", "incarnation")),
        ("PUT /v1/instances/default/web/a?if_revision=9", r#"{"incarnation":6}"#, (409, "revision-mismatch", "if_revision")),
        ("PUT /v1/instances/default/web/a/health", r#"{"health":"ill"}"#, (400, "invalid-argument", "health")),
        ("PUT /v1/instances/default/web/a/admin", "{}", (400, "missing-field", "state")),
        (
            "POST /v1/batch",
            r#"{"ops":[{"op":"register","instance":{"service":"x","id":"y"}},{"op":"renew","service":"x","id":"z"}]}"#,
            (404, "unknown-lease", "ops[1].id"),
        ),
    ] {
        assert_eq!(code(&ask(&mut r, line, body, 0)), expected, "{line} {body}");
    }
    assert_eq!(r.snapshot(), before);
    let Reply::Response(response) = send(&mut r, "PATCH /v1/health", "", 0) else { panic!() };
    assert!(response.headers.contains(&("allow", "GET".to_string())));
    let big = format!("\"{}\"", "x".repeat(crate::limits::PAYLOAD_BYTES));
    assert_eq!(code(&ask(&mut r, "POST /v1/batch", &big, 0)), (413, "limit-exceeded", "body"));
}

/// Whatever the bytes, a response comes back whose headers are printable.
#[test]
fn any_bytes_get_an_answer() {
    let mut r = registry();
    let mut rng = Rng::new(1);
    let pieces = [
        "/",
        "v1",
        "instances",
        "default",
        "web",
        "a",
        "renew",
        "%2f",
        "%00",
        "%",
        "..",
        "\u{e9}",
        "admin",
        "changes",
        "?",
        "epoch=1",
        "&",
        "wait=1",
        "revision=0",
        "\r\n",
    ];
    let bodies = ["", "{}", "{\"ops\":[]}", "{\"health\":1}", "[[[[", "{\"state\":\"draining\",\"ttl\":1e300}", "nul", "\"\\ud800\""];
    for _ in 0..20_000 {
        let path: String = (0..rng.below(9)).map(|_| ["/", pieces[rng.below(20) as usize]].concat()).collect();
        let query: String = (0..rng.below(5)).map(|_| [pieces[rng.below(20) as usize], "&"].concat()).collect();
        let method = ["GET", "PUT", "POST", "DELETE", "", "get"][rng.below(6) as usize];
        let request = Request { method, path: &path, query: &query, body: bodies[rng.below(8) as usize].as_bytes(), ..Request::default() };
        if let Reply::Response(response) = handle(&mut r, &request, at(0)) {
            assert!((200..600).contains(&response.status));
            assert!(response.headers.iter().all(|(_, value)| value.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
        }
    }
}

/// The description names every route, every code and every field, and nothing else.
#[test]
fn the_description_is_true() {
    let api = Value::from_json(OPENAPI.as_bytes()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in api.get("paths").unwrap().as_map().unwrap() {
        for (method, operation) in methods.as_map().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            assert!(operation.get("responses").unwrap().get("default").is_some(), "{method} {path}");
        }
    }
    let routes: BTreeSet<(String, String)> = ROUTES.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    assert_eq!(described, routes);
    let schema = |name: &str| api.get("components").unwrap().get("schemas").unwrap().get(name).unwrap();
    let words =
        |value: &Value| -> BTreeSet<String> { value.as_list().unwrap().iter().map(|word| word.as_str().unwrap().to_string()).collect() };
    let error = schema("Error").get("properties").unwrap();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_string()).collect();
    assert_eq!(words(error.get("code").unwrap().get("enum").unwrap()), codes);
    let fields = |name: &str| -> BTreeSet<String> {
        schema(name).get("properties").unwrap().as_map().unwrap().iter().map(|(key, _)| key.clone()).collect()
    };
    let known: BTreeSet<String> = crate::model::REGISTRATION_FIELDS.iter().map(|name| name.to_string()).collect();
    assert_eq!(fields("Registration"), known);
    let mut r = registry();
    let body = r#"{"endpoints":["a:1"],"ttl":10,"version":"1.0.0","metadata":{"a":"b"},"tags":["t"],"locality":{"zone":"z"}}"#;
    let keys = |value: &Value| -> BTreeSet<String> { value.as_map().unwrap().iter().map(|(key, _)| key.clone()).collect() };
    let secret = Server::from_value(&Value::map([("secret", Value::from("x".repeat(32)))])).unwrap();
    let request = Request { method: "PUT", path: "/v1/instances/default/web/a", body: body.as_bytes(), ..Request::default() };
    let Reply::Response(registered) = secret.handle(&mut registry(), &request, at(0)) else { panic!("a registration waits") };
    assert_eq!(keys(&Value::from_json(&registered.body).unwrap()), fields("Registered"));
    ask(&mut r, "PUT /v1/instances/default/web/a", body, 0);
    assert_eq!(keys(&ask(&mut r, "GET /v1/instances/default/web/a", "", 0).1), fields("Instance"));
    assert_eq!(keys(&ask(&mut r, "GET /v1/instances/default/web", "", 0).1), fields("Answer"));
    let services = ask(&mut r, "GET /v1/services/default", "", 0).1;
    assert_eq!(keys(&services.get("services").unwrap().as_list().unwrap()[0]), fields("Service"));
    let changes = ask(&mut r, "GET /v1/changes?epoch=1&revision=0", "", 0).1;
    assert_eq!(keys(&changes.get("events").unwrap().as_list().unwrap()[0]), fields("Change"));
    let Reply::Stream(response, _) = events_tests::stream(&mut r, "/v1/instances/default/web", "") else { panic!("no stream") };
    assert_eq!(keys(&events_tests::events(&response)[0].2), fields("Delta"));
    let problem = keys(&ask(&mut r, &format!("PUT /v1/instances/default/web/{}", "x".repeat(254)), "{}", 0).1);
    assert_eq!(problem, fields("Error"));
    ask(&mut r, "PUT /v1/queries/default/q", r#"{"service":"web","selector":"z"}"#, 0);
    assert_eq!(keys(&ask(&mut r, "GET /v1/queries/default/q", "", 0).1), fields("SavedQuery"));
    assert_eq!(keys(&ask(&mut r, "GET /v1/queries/default/q/explain", "", 0).1), fields("Explanation"));
    assert_eq!(fields("Query"), crate::query::QUERY_FIELDS.iter().map(|name| name.to_string()).collect());
}

/// Every parameter that is described is taken, no other is, and every reference leads somewhere.
#[test]
fn the_description_is_whole() {
    let api = Value::from_json(OPENAPI.as_bytes()).unwrap();
    let find = |reference: &str| reference.strip_prefix("#/").unwrap().split('/').fold(&api, |at, key| at.get(key).expect(reference));
    let mut open = std::vec![&api];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            find(reference);
        }
        open.extend(value.as_list().unwrap_or_default());
        open.extend(value.as_map().unwrap_or_default().iter().map(|(_, inner)| inner));
    }
    let mut r = registry();
    for (path, methods) in api.get("paths").unwrap().as_map().unwrap() {
        for (method, operation) in methods.as_map().unwrap() {
            let line = format!("{} {}", method.to_uppercase(), path.replace(['{', '}'], ""));
            let unknown = |name: &str, r: &mut Registry| {
                let Reply::Response(response) = send(r, &format!("{line}?{name}=1"), "", 0) else { return false };
                let document = Value::from_json(&response.body).unwrap_or_default();
                let code = document.get("code").and_then(|code| code.as_str().map(String::from));
                code.as_deref() == Some("unknown-field")
            };
            let described = operation.get("parameters").and_then(Value::as_list).unwrap_or_default();
            let described = described.iter().map(|one| one.get("$ref").and_then(Value::as_str).map_or(one, &find));
            let queries = described.filter(|one| one.get("in").and_then(Value::as_str) == Some("query"));
            let names: BTreeSet<&str> = queries.map(|one| one.get("name").unwrap().as_str().unwrap()).collect();
            let known = instances::QUERY.iter().chain(instances::CONDITIONS).chain(&["incarnation", "other"]);
            for name in known {
                assert_eq!(unknown(name, &mut r), !names.contains(name), "{line} {name}");
            }
        }
    }
}

#[test]
fn flags_alone_end_no_wait_and_are_told_when_it_ends() {
    let mut r = registry();
    let listing = |ids: &[&str]| {
        let instances = ids.iter().map(|id| Value::map([("service", Value::from("web")), ("id", Value::from(*id))])).collect();
        let document = Value::map([("source", "consul:dc1".into()), ("service", "web".into()), ("instances", Value::List(instances))]);
        crate::registry::Listing::from_value(&document).unwrap()
    };
    r.reconcile(&listing(&["a", "b", "c"]), at(0)).unwrap();
    let here = r.revision();
    let line = format!("GET /v1/instances/default/web?epoch=1&revision={here}&wait=30");
    let Reply::Wait(wait) = send(&mut r, &line, "", 1) else { panic!("it has nothing to say") };
    // A listing that is suddenly empty is held: nothing changes but that the answer is stale.
    assert_eq!(r.reconcile(&listing(&[]), at(2)).unwrap().held, 3);
    assert_eq!(r.revision(), here);
    let Reply::Wait(wait) = resume(&mut r, wait, at(3)) else { panic!("a flag alone ended the wait") };
    assert_eq!(wait.until, at(31));
    let Reply::Response(response) = resume(&mut r, wait, at(31)) else { panic!("it waits too long") };
    let answer = Value::from_json(&response.body).unwrap();
    assert_eq!(answer.get("stale").unwrap().as_bool(), Some(true));
    assert_eq!(answer.get("instances").unwrap().as_list().unwrap().len(), 3);
}
