//! Hostile calls through the bindings: a million each, and many threads at once.

use super::report::Row;
use super::{Form, run};
use crate::setup::{self, Part};
use crate::{Result, sh};

pub fn prove(form: Form) -> Result<Vec<Row>> {
    for part in [Part::WasmTarget, Part::Node, Part::Python] {
        part.ensure()?;
    }
    crate::wasm::command(&[])?;
    setup::python::install_package()?;
    let calls = form.of("50000", "1000000");
    let each = form.of("5000", "200000");
    let python = |script: &str, count: &str| {
        let mut command = sh::command(setup::python::program("python"));
        command.args([script, count]);
        command
    };
    let mut node = sh::command("node");
    node.args(["--expose-gc", "tests/js/hostile_calls.mjs", calls]);
    let lines = [
        (
            "hostile calls through Python",
            format!("{calls} calls: no PanicException, memory levels off"),
            python("tests/python/hostile_calls.py", calls),
        ),
        ("hostile calls through wasm", format!("{calls} calls: no trap, memory levels off, prototypes unchanged"), node),
        (
            "Python threads",
            format!("8 x {each} mixed calls with callbacks that call back: no deadlock, no RuntimeError"),
            python("tests/python/hostile_threads.py", each),
        ),
    ];
    let mut rows = Vec::new();
    for (name, target, mut command) in lines {
        let how = format!("{} {}", if name.contains("wasm") { "node --expose-gc" } else { "target/venv/bin/python" }, arguments(&command));
        let done = run::watch(&format!("hostile: {name}"), &mut command)?;
        if !done.success {
            println!("{}", done.tail(30));
        }
        rows.push(Row::new(name, done.tail(1), target, done.success, how));
    }
    Ok(rows)
}

fn arguments(command: &std::process::Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).filter(|word| !word.starts_with("--")).collect();
    words.join(" ")
}
