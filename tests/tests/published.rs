//! What others publish of balancing, and that what is said to hold it is there: `published.json`.

use std::collections::BTreeSet;

use callboard::Value;
use callboard_tests::{read, root};

fn words<'a>(row: &'a Value, key: &str) -> Vec<&'a str> {
    row.get(key).and_then(Value::as_list).unwrap_or_default().iter().map(|word| word.as_str().expect("text")).collect()
}

#[test]
fn every_row_is_held_or_says_why_not() {
    let document = Value::from_json(read("tests/published.json").as_bytes()).expect("JSON");
    let mut cases = BTreeSet::new();
    let index = Value::from_json(read("tests/vectors/index.json").as_bytes()).expect("JSON");
    for file in words(&index, "files") {
        let vector = Value::from_json(read(&format!("tests/vectors/{file}")).as_bytes()).expect("JSON");
        let name = vector.get("name").and_then(Value::as_str).expect("a name");
        for case in vector.get("cases").and_then(Value::as_list).expect("cases") {
            cases.insert(format!("{name}: {}", case.get("name").and_then(Value::as_str).expect("a name")));
        }
    }
    let mut sources = BTreeSet::new();
    for row in document.get("rows").and_then(Value::as_list).expect("rows") {
        let source = row.get("source").and_then(Value::as_str).expect("a source");
        assert!(sources.insert(source), "twice: {source}");
        let (held, unit, lab) = (words(row, "held"), words(row, "unit"), words(row, "lab"));
        for case in &held {
            assert!(cases.contains(*case), "{source}: no case {case:?}");
        }
        for test in &unit {
            let (file, name) = test.split_once(": ").expect("a file and a test");
            assert!(read(file).contains(&format!("fn {name}(")), "{source}: no test {test:?}");
        }
        for scenario in &lab {
            assert!(root().join(format!("tests/lab/scenarios/{scenario}.json")).is_file(), "{source}: no scenario {scenario:?}");
        }
        let why = row.get("why").and_then(Value::as_str).unwrap_or_default();
        assert!(!(held.is_empty() && unit.is_empty() && lab.is_empty() && why.is_empty()), "{source}: held by nothing, and no reason");
    }
    assert!(sources.len() > 150, "rows are missing: {}", sources.len());
}
