//! The same inputs give the same bytes in every language.

use super::report::Row;
use super::{Form, run};
use crate::setup::{self, Part};
use crate::{Result, sh};

const TARGET: &str = "10 000 lives of balancers and 1 000 streams of answers, done again to the same results";
const HOW: &str = "cargo xtask prove --only languages";

pub fn prove(_: Form) -> Result<Vec<Row>> {
    for part in [Part::WasmTarget, Part::Node, Part::Python] {
        part.ensure()?;
    }
    crate::wasm::command(&[])?;
    setup::python::install_package()?;
    crate::lives::command(&[])?;
    let mut python = sh::command(setup::python::program("pytest"));
    python.args(["--quiet", "-s", "tests/python/test_vectors.py", "-k", "test_lives"]);
    let mut node = sh::command("node");
    node.args(["--test", "--test-reporter=tap", "--test-name-pattern=random lives", "tests/packaging/packaging.test.mjs"]);
    let mut rows = Vec::new();
    for (name, command) in [("Rust and Python", &mut python), ("Rust, Node, Deno, Bun and workerd", &mut node)] {
        let done = run::watch(&format!("languages: {name}"), command)?;
        let lives = done.lines.iter().find(|line| line.ends_with(" lives")).map(|line| line.trim_start_matches("# > ").trim().to_owned());
        if !done.success {
            println!("{}", done.tail(30));
        }
        let figure = match (&lives, done.success) {
            (_, false) => "they differ".to_owned(),
            (Some(lives), true) => format!("{lives}, identical"),
            (None, true) => "identical".to_owned(),
        };
        rows.push(Row::new(&format!("one result in {name}"), figure, TARGET, done.success, HOW));
    }
    Ok(rows)
}
