//! Every case of `tests/vectors` against the core, each a test of its own, and every file against the schema.
//!
//! The output is that of Rust's own test harness; arguments select by a part of the name, `file: case`.

use std::process::ExitCode;

use callboard::Value;
use callboard_tests::{files, read, schema, vector};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let list = std::env::args().any(|word| word == "--list");
    let mut failures = Vec::new();
    let (mut passed, mut left_out) = (0, 0);
    let mut run = |name: String, test: &dyn Fn() -> Result<(), String>| {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            left_out += 1;
        } else if list {
            println!("{name}: test");
        } else if let Err(why) = test() {
            println!("test {name} ... FAILED");
            failures.push((name, why));
        } else {
            println!("test {name} ... ok");
            passed += 1;
        }
    };

    let rules = Value::from_json(read("tests/vectors/schema.json").as_bytes()).expect("a schema");
    let loaded = vector::load();
    run("index: names every file".into(), &|| {
        let known = ["index.json", "schema.json"];
        let stored = files("tests/vectors", ".json").len() - known.len();
        if stored == loaded.len() { Ok(()) } else { Err(format!("{stored} files, {} in the index", loaded.len())) }
    });
    for file in &loaded {
        run(format!("{}: schema", file.name), &|| schema::check(&rules, &file.document));
        for case in &file.cases {
            run(format!("{}: {}", file.name, case.name), &|| case.run());
        }
    }
    if list {
        return ExitCode::SUCCESS;
    }
    for (name, why) in &failures {
        println!("\n---- {name} ----\n{why}");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; {left_out} filtered out", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
