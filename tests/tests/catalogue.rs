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
#[test]
fn every_code_is_produced_and_says_what_becomes_of_the_state() {
    let source = read("core/src/error.rs");
    let all: String = callboard_tests::source::sources("core/src")
        .iter()
        .filter(|source| !source.path.ends_with("core/src/error.rs"))
        .flat_map(|source| source.code().map(|(_, line)| line).collect::<Vec<_>>())
        .collect();
    // What only a binding can meet is named there by its text.
    let faces: String = ["bindings-wasm/js", "bindings-wasm/src", "bindings-py/src", "bindings-py/python"]
        .into_iter()
        .flat_map(|folder| callboard_tests::files(folder, ""))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    for code in Code::ALL {
        let name = format!("{code:?}");
        let at = source.find(&format!("    {name} = ")).unwrap_or_else(|| panic!("{name}"));
        let doc = source[..at].trim_end().lines().next_back().unwrap_or_default();
        assert!(doc.ends_with("State is unchanged."), "{name}: {doc}");
        let returned = all.contains(&format!("Code::{name}"))
            || faces.contains(&format!("\"{}\"", code.as_str()))
            || faces.contains(&format!("Code::{name}"));
        assert!(returned, "nothing ever returns {name}");
    }
}
