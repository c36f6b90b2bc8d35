//! How much of the core the tests reach, by the compiler's own counters.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Form;
use super::report::Row;
use crate::{Result, setup, sh};

const HOW: &str = "cargo xtask prove --long --only coverage";
const LINES: f64 = 95.0;
/// The tests that are run besides those that stand beside the code.
const TESTS: [&str; 9] = ["vectors", "replicas", "hostile", "payloads", "limits", "disruption", "presets", "secrets", "catalogue"];

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
    let mut tests = vec!["--lib"];
    tests.extend(TESTS.iter().flat_map(|test| ["--test", *test]));
    let built = sh::must("prove: coverage: build", cargo(&folder, &raw).args(["--no-run", "--message-format", "json"]).args(&tests))?;
    let messages = built.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<String> = messages.filter_map(|one| one["executable"].as_str().map(str::to_owned)).collect();
    // One after the other: together they take longer than a program may.
    for test in [&["--lib"][..]].into_iter().chain(tests[1..].chunks(2)) {
        sh::must(&format!("prove: coverage: {}", test.join(" ")), cargo(&folder, &raw).args(test))?;
    }
    let merged = folder.join("all.profdata");
    sh::must("prove: coverage: merge", Command::new(profdata).args(["merge", "-sparse", "-o"]).arg(&merged).arg(&raw))?;
    let mut export = Command::new(cov);
    export.args(["export", "-format=lcov", "-ignore-filename-regex=/\\.cargo/|/rustc/|/tests/|tests\\.rs|corpus\\.rs|/target/"]);
    export.arg(format!("-instr-profile={}", merged.display()));
    for (number, program) in programs.iter().enumerate() {
        if number > 0 {
            export.arg("-object");
        }
        export.arg(program);
    }
    let reached = read(&sh::ask(&mut export).ok_or("llvm-cov exports nothing")?)?;
    let mut told = String::new();
    for file in reached.iter().filter(|file| !file.missed.is_empty()) {
        told.push_str(&format!("{}: {} of {} lines: {:?}\n", file.path, file.missed.len(), file.lines, file.missed));
    }
    std::fs::write(folder.join("missed.txt"), told)?;
    let sum = |what: fn(&Reached) -> usize| reached.iter().map(what).sum::<usize>();
    let percent = |missed: usize, all: usize| 100.0 - missed as f64 * 100.0 / all.max(1) as f64;
    let (all, branches) = (sum(|file| file.lines), sum(|file| file.branches));
    let lines = percent(sum(|file| file.missed.len()), all);
    let figure = format!(
        "{lines:.1} % of {all} lines, {:.1} % of {branches} branches; what is not reached is in target/coverage/missed.txt",
        percent(sum(|file| file.missed_branches), branches)
    );
    Ok(vec![Row::new("coverage of the core", figure, target, lines >= LINES, HOW)])
}

/// How much of a file was reached, without the tests that stand in it.
#[derive(Default)]
struct Reached {
    path: String,
    lines: usize,
    missed: Vec<usize>,
    branches: usize,
    missed_branches: usize,
}

fn read(lcov: &str) -> Result<Vec<Reached>> {
    let (mut files, mut code) = (Vec::<Reached>::new(), usize::MAX);
    for line in lcov.lines() {
        let (word, rest) = line.split_once(':').unwrap_or((line, ""));
        let numbers: Vec<usize> = rest.split(',').map(|number| number.parse().unwrap_or(0)).collect();
        let Some(file) = files.last_mut().filter(|_| word != "SF") else {
            let text = std::fs::read_to_string(rest)?;
            // A file ends with its tests.
            code = text.lines().position(|line| line.starts_with("mod tests {")).unwrap_or(usize::MAX);
            let path = rest.strip_prefix(&format!("{}/", sh::root().display())).unwrap_or(rest).to_owned();
            files.push(Reached { path, ..Reached::default() });
            continue;
        };
        match (word, numbers[..].first()) {
            ("DA" | "BRDA", Some(at)) if *at > code => {}
            ("DA", Some(at)) => {
                file.lines += 1;
                if numbers.get(1) == Some(&0) {
                    file.missed.push(*at);
                }
            }
            ("BRDA", _) => {
                file.branches += 1;
                file.missed_branches += usize::from(numbers.get(3).is_none_or(|count| *count == 0));
            }
            _ => {}
        }
    }
    Ok(files)
}

/// `cargo test` where everything counts how often it is reached.
fn cargo(folder: &Path, raw: &Path) -> Command {
    let mut cargo = sh::cargo();
    cargo.args(["test", "--locked", "--all-features", "--package", "callboard", "--package", "callboard-tests"]);
    // Branches are an unstable option of the stable compiler.
    cargo.env("RUSTFLAGS", "-Cinstrument-coverage -Zcoverage-options=branch").env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_DIR", folder).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    cargo.env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw"));
    cargo
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
