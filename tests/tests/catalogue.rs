//! One catalogue of error codes for every language: `tests/errors.json`.

use callboard::error::Kind;
use callboard::{Code, Value};
use callboard_tests::{document::json, read};

fn catalogue() -> Value {
    let entry = |code: &Code| Value::map([("code", Value::from(code.as_str())), ("kind", code.kind().class().into())]);
    Value::List(Code::ALL.iter().map(entry).collect())
}

#[test]
fn the_committed_catalogue_is_the_one_of_the_core() {
    let committed = Value::from_json(read("tests/errors.json").as_bytes()).expect("JSON");
    // The right text is in the failure, so that a new code is one copy away.
    assert!(committed == catalogue(), "tests/errors.json should read\n{}", lines(&catalogue()));
}

#[test]
fn codes_are_sorted_and_every_kind_is_used() {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(codes.is_sorted());
    for kind in Kind::ALL {
        assert!(Code::ALL.iter().any(|code| code.kind() == *kind), "{kind:?}");
        assert!(kind.class().ends_with("Error"));
    }
}

fn lines(value: &Value) -> String {
    let items: Vec<_> = value.as_list().unwrap_or_default().iter().map(|item| format!("  {}", json(item))).collect();
    format!("[\n{}\n]", items.join(",\n"))
}
