//! Streams as a reader of events meets them.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::tests::{ask, at, code, registry};
use super::*;
use crate::registry::{Config, Registry};
use crate::serve::{handle, resume};
use crate::value::Value;

/// What a stream begins with.
pub(super) fn stream(registry: &mut Registry, target: &str, last: &str) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = [("accept", "text/html, Text/Event-Stream;q=0.9"), ("last-event-id", last)];
    handle(registry, &Request { method: "GET", path, query, headers: &headers, ..Request::default() }, at(1))
}

/// Events as a browser would read them: type, id, data.
pub(super) fn events(response: &Response) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    let (mut kind, mut id, mut data) = (String::new(), String::new(), String::new());
    let text = std::str::from_utf8(&response.body).unwrap();
    assert!(text.ends_with("\n\n") && !text.contains('\r'));
    for line in text.lines() {
        match line.split_once(": ").unwrap_or((line, "")) {
            ("event", word) => kind = word.into(),
            ("id", word) => id = word.into(),
            ("data", word) => data.push_str(word),
            ("", "") if !data.is_empty() => {
                let document = Value::from_json(core::mem::take(&mut data).as_bytes()).unwrap();
                found.push((core::mem::take(&mut kind), id.clone(), document));
            }
            ("retry" | "", _) => {}
            other => panic!("{other:?}"),
        }
    }
    found
}

fn ids(document: &Value, list: &str) -> Vec<String> {
    let id = |one: &Value| one.get("id").unwrap().as_str().unwrap().to_string();
    document.get(list).unwrap().as_list().unwrap().iter().map(id).collect()
}

fn piece(reply: Reply) -> (Response, crate::serve::Wait) {
    let Reply::Stream(piece, wait) = reply else { panic!("nothing is said: {reply:?}") };
    (piece, wait)
}

const WEB: &str = "/v1/instances/default/web?selector=env%3Dprod";
const PROD: &str = r#"{"metadata":{"env":"prod","text":"a"}}"#;

#[test]
fn a_slow_reader_gets_one_net_change_of_each() {
    let mut r = registry();
    ask(&mut r, "PUT /v1/instances/default/web/a", PROD, 0);
    let (first, wait) = piece(stream(&mut r, WEB, ""));
    assert!(first.headers.contains(&("content-type", "text/event-stream".into())) && first.body.starts_with(b"retry: 1000\n"));
    let told = events(&first);
    assert_eq!((told[0].0.as_str(), told[0].1.as_str(), ids(&told[0].2, "added")), ("delta", "1.1", vec!["a".to_string()]));
    // Another service: nothing to say until it has been quiet for long, and then no event.
    ask(&mut r, "PUT /v1/instances/default/other/a", "{}", 2);
    let Reply::Wait(wait) = resume(&mut r, wait, at(2)) else { panic!("another service is told of") };
    assert_eq!(wait.until, at(16));
    let (silence, wait) = piece(resume(&mut r, wait, at(16)));
    assert_eq!((silence.body.as_slice(), wait.until), (&b": nothing new\nid: 1.2\n\n"[..], at(31)));
    ask(&mut r, "PUT /v1/instances/default/web/b", PROD, 20);
    for round in 0..1_000 {
        ask(&mut r, "PUT /v1/instances/default/web/c", &format!(r#"{{"weight":{},"metadata":{{"env":"prod"}}}}"#, round % 7), 20);
    }
    ask(&mut r, "DELETE /v1/instances/default/web/b", "", 20);
    ask(&mut r, "PUT /v1/instances/default/web/a", r#"{"metadata":{"env":"test"}}"#, 20);
    let (piece, wait) = piece(resume(&mut r, wait, at(20)));
    let told = events(&piece);
    assert_eq!((told.len(), ids(&told[0].2, "added"), ids(&told[0].2, "removed")), (1, vec!["c".to_string()], vec!["a".to_string()]));
    assert!(piece.body.len() < 1_500 && matches!(resume(&mut r, wait, at(20)), Reply::Wait(_)));
}

#[test]
fn a_reader_goes_on_from_its_last_event() {
    let mut r = registry();
    for id in ["a", "b", "c"] {
        ask(&mut r, &format!("PUT /v1/instances/default/web/{id}"), PROD, 0);
    }
    ask(&mut r, "PUT /v1/instances/default/web/d", "{}", 0);
    ask(&mut r, "DELETE /v1/instances/default/web/b", "", 0);
    let mut told = |target: &str, last: &str| {
        let (piece, _) = piece(stream(&mut r, target, last));
        let (_, id, data) = events(&piece).into_iter().next()?;
        let lists = ["added", "updated", "removed"].map(|list| ids(&data, list).concat());
        Some(format!("{id} {} +{} ~{} -{}", data.get("reset").unwrap().as_bool().unwrap(), lists[0], lists[1], lists[2]))
    };
    // Whoever saw a and b: c is new, b has left, and d, of which nothing is remembered, is not there.
    assert_eq!(told(WEB, "1.2").as_deref(), Some("1.5 false + ~c -bd"));
    assert_eq!(told(&format!("{WEB}&epoch=1&revision=4"), "").as_deref(), Some("1.5 false + ~ -b"));
    assert_eq!(told(WEB, "1.5"), None);
    let everybody = Some("1.5 true +ac ~ -");
    for last in ["", "2.5", "1.6", "0.0"] {
        assert_eq!(told(WEB, last).as_deref(), everybody, "{last}");
    }
    // Where a limit decides who is in, the log alone does not tell.
    assert_eq!(told(&format!("{WEB}&limit=2"), "1.4").as_deref(), everybody);
    assert_eq!(told(&format!("{WEB}&limit=2"), "1.5"), None);
    for last in ["x", "1", "1.", ".1", "1.2.3", "-1.2", "1.2 ", "99999999999999999999.1"] {
        let Reply::Response(refused) = stream(&mut r, WEB, last) else { panic!("{last}") };
        let field = Value::from_json(&refused.body).unwrap();
        assert_eq!((refused.status, field.get("field").unwrap().as_str()), (400, Some("last-event-id")), "{last}");
    }
}

#[test]
fn the_change_log_is_a_stream() {
    let mut r = Registry::new(Config { log_capacity: 4, ..Config::default() }).unwrap();
    ask(&mut r, "PUT /v1/instances/default/web/a", "{}", 0);
    let status = |piece: &Response| -> Vec<String> {
        let word = |data: &Value| data.get("status").unwrap().as_str().unwrap().to_string();
        events(piece).iter().map(|(kind, id, data)| format!("{kind} {id} {}", word(data))).collect()
    };
    let (first, wait) = piece(stream(&mut r, "/v1/changes", ""));
    assert!(status(&first).is_empty());
    ask(&mut r, "PUT /v1/instances/default/web/b", "{}", 1);
    let (next, wait) = piece(resume(&mut r, wait, at(1)));
    assert_eq!(status(&next), ["changes 1.2 events"]);
    assert_eq!(status(&piece(stream(&mut r, "/v1/changes", "1.1")).0), ["changes 1.2 events"]);
    for round in 0..9 {
        ask(&mut r, "PUT /v1/instances/default/web/b", &format!(r#"{{"weight":{round}}}"#), 1);
    }
    assert_eq!(status(&piece(resume(&mut r, wait, at(1))).0), ["changes 1.11 compacted"]);
    assert_eq!(status(&piece(stream(&mut r, "/v1/changes?wait=30", "7.1")).0), ["changes 1.11 new-epoch"]);
    assert_eq!(code(&ask(&mut r, "GET /v1/changes", "", 1)), (400, "missing-field", "epoch"));
}
