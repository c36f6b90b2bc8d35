//! `cargo xtask counts [--write]`: how many instructions a pick with its finish costs, a renewal, a query, a decoded answer, a request; held to `tests/counts/counts.json`.
//!
//! Times depend on what else the machine does, instructions do not: callgrind counts the same for the same program in every run. What a
//! program is made of depends on the compiler, though; so the file names the one it was written with, and under another one the
//! figures are shown and held to nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::programs::DEMO;
use crate::setup::apt;
use crate::{Result, sh};

/// By how many percent a figure may exceed the one on file.
const MARGIN: f64 = 5.0;

pub fn command(args: &[String]) -> Result {
    let is_writing = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => return Err("counts [--write]: count instructions, and compare them with tests/counts/counts.json or write that".into()),
    };
    let found = count()?;
    let file = sh::root().join("tests/counts/counts.json");
    let builder = builder();
    if is_writing {
        let rows: serde_json::Map<String, Value> = found.iter().map(|(name, figure)| (name.clone(), json!(*figure as u64))).collect();
        std::fs::write(file, format!("{:#}\n", json!({ "builder": builder, "instructions": rows })))?;
    } else {
        compare(&found, &serde_json::from_slice(&std::fs::read(file)?)?, &builder)?;
    }
    Ok(())
}

/// The compiler, what it compiles for, and the library whose allocator is counted with what allocates.
fn builder() -> String {
    let version = sh::ask(sh::command("rustc").arg("--version")).unwrap_or_default();
    let library = sh::ask(sh::command("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_default();
    format!("{version}, {}, {library}", std::env::consts::ARCH)
}

/// Every case with its instructions for an operation.
fn count() -> Result<Vec<(String, f64)>> {
    if sh::which("valgrind").is_none() {
        apt::install("counts: valgrind", &["valgrind"])?;
    }
    let mut cargo = DEMO.cargo("build");
    // The same program whatever else was built before.
    cargo.args(["--bin", "counts"]).env("CARGO_INCREMENTAL", "0");
    sh::must("counts: build", &mut cargo)?;
    let program = DEMO.path("counts");
    let names = sh::ask(&mut sh::command(&program)).ok_or("the program of tests/counts says nothing")?;
    let mut found = Vec::new();
    for (operations, name) in names.lines().filter_map(|line| line.split_once(' ')) {
        // The second round finds everything built.
        let more = collect(&program, name, "2")? - collect(&program, name, "1")?;
        found.push((name.to_owned(), (more / operations.parse::<f64>()?).round()));
    }
    Ok(found)
}

/// The instructions of the whole program.
fn collect(program: &Path, name: &str, rounds: &str) -> Result<f64> {
    let mut valgrind = sh::command("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args([name, rounds]);
    let done = sh::must(&format!("counts: {name}"), &mut valgrind)?;
    let count = done.lines.iter().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    Ok(count.ok_or_else(|| format!("callgrind counted nothing:\n{}", done.tail(10)))?)
}

fn compare(found: &[(String, f64)], file: &Value, builder: &str) -> Result {
    let known = &file["instructions"];
    println!("{:<26} {:>6} {:>8} {:>8}", "a pick and its finish, ...", "now", "on file", "change");
    let mut worse = Vec::new();
    for (name, figure) in found {
        let Some(before) = known[name].as_f64() else {
            println!("{name:<26} {figure:>6}");
            worse.push(format!("{name} is not on file"));
            continue;
        };
        let change = (figure / before - 1.0) * 100.0;
        println!("{name:<26} {figure:>6} {before:>8} {change:>+7.1}%");
        if change > MARGIN {
            worse.push(format!("{name} costs {figure} instructions, not {before}"));
        }
    }
    if file["builder"] != builder {
        println!("nothing is held to these: the file is of {}, this is {builder}", file["builder"].as_str().unwrap_or_default());
        return Ok(());
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nIf that is what it must cost: cargo xtask counts --write", worse.join("\n")).into())
}
