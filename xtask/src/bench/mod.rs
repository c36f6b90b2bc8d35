//! `cargo xtask bench [NAME..] [--quick]`: ours beside the peers, in all suites or in those that are named.
//!
//! The programs of `tests/bench` measure and print one row a line; here they are built, run, and their rows put in a table
//! and in `target/bench/NAME.json`. A goal that is not met is a result, not a failure; a program that cannot be run is a row
//! that says why. `--plot` draws what was measured last.

mod plot;
mod programs;
mod table;

use std::path::PathBuf;

use serde_json::Value;

use crate::{Result, sh, ui};
use programs::Program;

/// Name, what it measures, and the programs that do.
type Bench = (&'static str, &'static str, &'static [Program]);

const BENCHES: &[Bench] = &[
    ("registry", "memory, renewal, selection and snapshots at scale", &[programs::REGISTRY]),
    (
        "formats",
        "an answer of another registry taken in, in each language",
        &[programs::FORMATS, programs::FORMATS_PYTHON, programs::FORMATS_NODE],
    ),
    ("serve", "registries over loopback in each host, beside etcd", &[programs::SERVE]),
    ("scale", "one, two and three servers over one etcd, and none", &[programs::SCALE]),
    (
        "pick",
        "one pick, in each language",
        &[programs::PICK, programs::PYTHON, programs::NODE, programs::DENO, programs::BUN, programs::WORKERD],
    ),
    ("policies", "every policy among ten instances to a million", &[programs::POLICIES]),
    ("package", "what the npm package weighs, and what a start costs with it", &[programs::PACKAGE]),
];

pub fn command(args: &[String]) -> Result {
    if args == ["--plot"] {
        return plot::draw();
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--quick").collect();
    if names.iter().any(|name| !BENCHES.iter().any(|(known, ..)| known == name)) {
        let known: Vec<String> = BENCHES.iter().map(|(name, what, _)| format!("  {name:<10} {what}")).collect();
        let known = known.join("\n");
        return Err(format!("bench [NAME..] [--quick], or --plot to draw what was measured last; without a name all of:\n{known}").into());
    }
    let chosen = || BENCHES.iter().filter(|(name, ..)| names.is_empty() || names.contains(name));
    let count = chosen().count();
    let mut all = Vec::new();
    for (at, (name, what, programs)) in chosen().enumerate() {
        println!("bench: {name}, {} of {count}: {what}", at + 1);
        let rows = bench(programs, quick);
        let file = file(name);
        std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
        std::fs::write(&file, format!("{:#}\n", Value::Array(rows.clone())))?;
        println!("bench: {name}: {}; target/bench/{name}.json", table::summary(&rows));
        all.push((*name, rows));
    }
    table::print(all.iter().flat_map(|(_, rows)| rows));
    table::print_summary(&all);
    Ok(())
}

/// Where the rows of a suite are.
fn file(name: &str) -> PathBuf {
    sh::root().join("target/bench").join(name).with_extension("json")
}

/// The rows of all programs; of one that could not be run, why.
fn bench(programs: &[Program], quick: bool) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    for program in programs {
        let run = (program.prepare)().and_then(|mut command| {
            if quick {
                command.arg("--quick");
            }
            // A row is for the end; every other line tells how far it is.
            let done = sh::run_within(sh::LONG, &format!("bench: {}", program.name), &mut command, |line| {
                (!line.starts_with('{')).then(|| line.to_owned())
            })?;
            // What it printed before it failed was measured.
            rows.extend(done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object));
            if done.success { Ok(done) } else { Err(format!("it failed:\n{}", done.tail(20)).into()) }
        });
        match run {
            Ok(done) => println!("bench: {} measured in {}", program.name, ui::seconds(done.elapsed)),
            Err(error) => {
                println!("bench: {} could not be measured: {error}", program.name);
                rows.push(table::missing(program.name, &error.to_string()));
            }
        }
    }
    rows
}
