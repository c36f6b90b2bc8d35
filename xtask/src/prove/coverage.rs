//! How much of the core the tests reach, by the compiler's own counters.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Form;
use super::report::Row;
use crate::{Result, setup, sh};

const HOW: &str = "cargo xtask prove --long --only coverage";
const LINES: f64 = 95.0;

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let target = format!("lines at least {LINES} %");
    if form == Form::Quick {
        return Ok(vec![Row::not_run("coverage of the core", "only in the long form: it builds everything with counters", target, HOW)]);
    }
    let (profdata, cov) = match tools() {
        Ok(tools) => tools,
        Err(why) => return Ok(vec![Row::not_run("coverage of the core", why.to_string(), target, HOW)]),
    };
    let folder = sh::root().join("target/coverage");
    let raw = folder.join("raw");
    std::fs::remove_dir_all(&raw).ok();
    std::fs::create_dir_all(&raw)?;
    let mut cargo = sh::cargo();
    cargo.args(["test", "--no-fail-fast", "--locked", "--all-features", "--message-format", "json", "--lib"]);
    cargo.args(["--package", "callboard", "--package", "callboard-tests"]);
    for test in ["vectors", "hostile", "payloads", "limits", "disruption", "presets", "secrets", "catalogue"] {
        cargo.args(["--test", test]);
    }
    cargo.env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", "-Cinstrument-coverage").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw"));
    let done = sh::run("prove: coverage", &mut cargo, |_| None)?;
    if !done.success {
        return Err(format!("a test fails where coverage is counted:\n{}", done.tail(20)).into());
    }
    let messages = done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<String> = messages.filter_map(|one| one["executable"].as_str().map(str::to_owned)).collect();
    let merged = folder.join("all.profdata");
    sh::must("prove: coverage: merge", Command::new(profdata).args(["merge", "-sparse", "-o"]).arg(&merged).arg(&raw))?;
    let mut export = Command::new(cov);
    export.args(["export", "-summary-only", "-ignore-filename-regex=/\\.cargo/|/rustc/|/tests/|/target/"]);
    export.arg(format!("-instr-profile={}", merged.display()));
    for (number, program) in programs.iter().enumerate() {
        if number > 0 {
            export.arg("-object");
        }
        export.arg(program);
    }
    let summary: Value = serde_json::from_str(&sh::ask(&mut export).ok_or("llvm-cov exports nothing")?)?;
    let totals = &summary["data"][0]["totals"];
    let percent = |what: &str| totals[what]["percent"].as_f64().unwrap_or(0.0);
    let (lines, regions, functions) = (percent("lines"), percent("regions"), percent("functions"));
    let figure = format!(
        "lines {lines:.1} % of {}, regions {regions:.1} %, functions {functions:.1} %; branches need a nightly compiler",
        totals["lines"]["count"]
    );
    Ok(vec![Row::new("coverage of the core", figure, target, lines >= LINES, HOW)])
}

/// llvm-profdata and llvm-cov of the compiler's own LLVM: others do not read what it writes.
fn tools() -> Result<(PathBuf, PathBuf)> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = sh::ask(Command::new(&rustc).arg("-vV")).unwrap_or_default();
    let word = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let major =
        word("LLVM version: ").and_then(|version| version.split('.').next().map(str::to_owned)).ok_or("rustc does not tell its LLVM")?;
    let host = word("host: ").ok_or("rustc does not tell its host")?;
    let root = sh::ask(Command::new(&rustc).args(["--print", "sysroot"])).unwrap_or_default();
    let own = Path::new(&root).join("lib/rustlib").join(host).join("bin");
    let find = |name: &str| Some(own.join(name)).filter(|path| path.is_file()).or_else(|| sh::which(&format!("{name}-{major}")));
    if find("llvm-profdata").is_none() {
        setup::apt::install("prove: coverage", &[&format!("llvm-{major}")])?;
    }
    let both = find("llvm-profdata").zip(find("llvm-cov"));
    both.ok_or_else(|| format!("neither rustup's llvm-tools nor llvm-{major} is here").into())
}
