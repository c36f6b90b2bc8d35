//! `cargo xtask bench registry|formats|serve|pick|scale [--quick]`: ours beside the peers.
//!
//! The programs of `tests/bench` measure and print one row a line; here they are built, run, and their rows put in a table
//! and in `target/bench/NAME.json`. A goal that is not met is a result, not a failure.

mod programs;
mod table;

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
    ("pick", "one pick, in each language", &[programs::PICK, programs::PYTHON, programs::NODE, programs::DENO]),
];

pub fn command(args: &[String]) -> Result {
    let quick = args.iter().any(|arg| arg == "--quick");
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--quick").collect();
    if names.is_empty() || names.iter().any(|name| !BENCHES.iter().any(|(known, ..)| known == name)) {
        let known: Vec<String> = BENCHES.iter().map(|(name, what, _)| format!("  {name:<10} {what}")).collect();
        return Err(format!("say what to measure, and --quick for a short form:\n{}", known.join("\n")).into());
    }
    for (name, _, programs) in BENCHES.iter().filter(|(name, ..)| names.contains(name)) {
        bench(name, programs, quick)?;
    }
    Ok(())
}

fn bench(name: &str, programs: &[Program], quick: bool) -> Result {
    let mut rows: Vec<Value> = Vec::new();
    for program in programs {
        let prepared = (program.prepare)();
        let run = prepared.and_then(|mut command| {
            if quick {
                command.arg("--quick");
            }
            // A row is for the end; every other line tells how far it is.
            let done =
                sh::run(&format!("bench: {}", program.name), &mut command, |line| (!line.starts_with('{')).then(|| line.to_owned()))?;
            if done.success { Ok(done) } else { Err(format!("it failed:\n{}", done.tail(20)).into()) }
        });
        match run {
            Ok(done) => {
                println!("bench: {} measured in {}", program.name, ui::seconds(done.elapsed));
                rows.extend(done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object));
            }
            Err(error) => {
                println!("bench: {} could not be measured: {error}", program.name);
                rows.push(table::missing(program.name, &error.to_string()));
            }
        }
    }
    let folder = sh::root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.json")), format!("{:#}\n", Value::Array(rows.clone())))?;
    table::print(&rows);
    println!("bench: {}; target/bench/{name}.json", table::summary(&rows));
    Ok(())
}
