//! `cargo xtask fuzz`: coverage-guided fuzzing with libFuzzer; the targets are in `tests/fuzz`.
//!
//! Every input that reached something new is kept in `target/fuzz/corpus`. What was executed is added up in `tests/fuzz/ledger.json`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::{Result, sh, ui};

const HELP: &str = "\
fuzz [TARGET..] [--smoke] [--seconds N] [--minimise]: fuzz every target, or the named ones

  --smoke       2 minutes a target; without it 10 minutes
  --seconds N   N seconds a target instead; 20 are enough to see that all is well
  --length N    inputs of N bytes at most: short ones go through a reader many times faster than long ones, which the others try
  --minimise    afterwards, replace tests/fuzz/corpus by inputs that together reach the most: 40 a target, of 750 bytes at most
  --list        the targets

An input that breaks something is in target/fuzz/findings, and goes on being tried there:
  CALLBOARD_FUZZ=TARGET PROGRAM FILE";

const SMOKE: u64 = 120;
const LONG: u64 = 600;
/// libFuzzer runs for so long at once: the ledger loses no more when it is stopped.
const SLICE: u64 = 600;
/// The longest input, bytes.
const LENGTH: usize = 65_536;
/// The longest where little more than that is refused for its length alone.
const LENGTHS: &[(&str, usize)] =
    &[("dns-server", 1_500), ("policy", 4_096), ("replica", 2_048), ("selector", 4_200), ("version-range", 600)];
/// What the committed corpus of a target may hold: files, and bytes together.
const KEPT: (usize, u64) = (40, 6_000);

/// The instruments that libFuzzer reads; they are in the stable compiler.
const INSTRUMENTS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

struct Wish {
    targets: Vec<String>,
    seconds: u64,
    length: Option<usize>,
    minimise: bool,
}

pub fn command(args: &[String]) -> Result {
    if args.iter().any(|arg| matches!(arg.as_str(), "--help" | "-h")) {
        println!("{HELP}");
        return Ok(());
    }
    let program = build()?;
    let known = seeds(&program)?;
    if args.iter().any(|arg| arg == "--list") {
        println!("{}", known.join("\n"));
        return Ok(());
    }
    let wish = read(args, &known)?;
    let mut broken = Vec::new();
    for target in &wish.targets {
        if !fuzz(&program, target, wish.seconds, wish.length)? {
            broken.push(target.as_str());
        }
        if wish.minimise {
            minimise(&program, target)?;
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("something broke in {}", broken.join(" ")).into()) }
}

fn read(args: &[String], known: &[String]) -> Result<Wish> {
    let mut wish = Wish { targets: Vec::new(), seconds: LONG, length: None, minimise: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--smoke" => wish.seconds = SMOKE,
            "--minimise" => wish.minimise = true,
            "--seconds" | "--length" => {
                let number = args.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
                let number: u64 = number.ok_or_else(|| format!("{arg} wants a number"))?;
                match arg.as_str() {
                    "--seconds" => wish.seconds = number,
                    _ => wish.length = Some(usize::try_from(number)?),
                }
            }
            name if known.iter().any(|own| own == name) => wish.targets.push(name.into()),
            other => return Err(format!("no target or option {other:?}; the targets: {}\n\n{HELP}", known.join(" ")).into()),
        }
    }
    if wish.targets.is_empty() {
        wish.targets = known.to_vec();
    }
    Ok(wish)
}

fn folder(name: &str, target: &str) -> Result<PathBuf> {
    let folder = sh::root().join(name).join(target);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn build() -> Result<PathBuf> {
    let about = sh::ask(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV")).unwrap_or_default();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not tell its host")?;
    let mut cargo = sh::cargo();
    // With a target named, build scripts and macros are built without the instruments.
    cargo.args([
        "build",
        "--locked",
        "--release",
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
        "--target",
        host,
    ]);
    sh::must("fuzz: build", cargo.env("RUSTFLAGS", INSTRUMENTS).env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    Ok(sh::root().join(format!("target/fuzz/{host}/release/callboard-fuzz{}", std::env::consts::EXE_SUFFIX)))
}

/// Writes what the targets start from; the names of the targets.
fn seeds(program: &Path) -> Result<Vec<String>> {
    let folder = folder("target/fuzz", "seeds")?;
    let names = sh::ask(sh::command(program).env("CALLBOARD_FUZZ_SEEDS", folder)).ok_or("the seeds could not be written")?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Whether nothing broke.
fn fuzz(program: &Path, target: &str, seconds: u64, most: Option<usize>) -> Result<bool> {
    let corpora = [folder("target/fuzz/corpus", target)?, folder("tests/fuzz/corpus", target)?, folder("target/fuzz/seeds", target)?];
    let findings = folder("target/fuzz/findings", target)?;
    let longest = LENGTHS.iter().find(|(name, _)| *name == target).map_or(LENGTH, |(_, longest)| *longest);
    let longest = most.unwrap_or(longest);
    let mut left = seconds;
    while left > 0 {
        let slice = left.min(SLICE);
        left -= slice;
        let mut command = sh::command(program);
        command.env("CALLBOARD_FUZZ", target).args(&corpora).args([
            format!("-max_total_time={slice}"),
            format!("-max_len={longest}"),
            format!("-artifact_prefix={}/", findings.display()),
            "-timeout=10".into(),
            "-rss_limit_mb=1024".into(),
            "-print_final_stats=1".into(),
        ]);
        let mut reached = String::new();
        let done = sh::run(&format!("fuzz: {target}"), &mut command, |line| {
            reached = progress(line)?;
            Some(reached.clone())
        })?;
        let executions = done.lines.iter().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let executions = executions.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        enter(target, executions, done.elapsed.as_secs(), done.success)?;
        println!("fuzz: {target:<16} {executions:>10} executions in {}; {reached}", ui::seconds(done.elapsed));
        if !done.success {
            println!("{}\n", done.tail(30));
            println!("fuzz: {target} broke; try it again with CALLBOARD_FUZZ={target} {} FILE", program.display());
            return Ok(false);
        }
    }
    Ok(true)
}

/// `#4096 NEW cov: 812 ft: 1999 corp: 60/3Kb ...` in a few words.
fn progress(line: &str) -> Option<String> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let words: Vec<&str> = words.collect();
    let after = |name: &str| words.windows(2).find(|pair| pair[0] == name).map_or("0", |pair| pair[1]);
    Some(format!("{number} inputs, {} places, {} in the corpus", after("cov:"), after("corp:")))
}

/// Adds a run to the ledger.
fn enter(target: &str, executions: u64, seconds: u64, fine: bool) -> Result {
    let path = sh::root().join("tests/fuzz/ledger.json");
    let mut ledger: Map<String, Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => Map::new(),
    };
    let known = ledger.get(target).cloned().unwrap_or_default();
    let so_far = |name: &str| known.get(name).and_then(Value::as_u64).unwrap_or(0);
    let date = sh::ask(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let commit = sh::ask(sh::command("git").args(["rev-parse", "--short=10", "HEAD"])).unwrap_or_default();
    let row = json!({
        "executions": so_far("executions") + executions,
        "seconds": so_far("seconds") + seconds,
        "broken": so_far("broken") + u64::from(!fine),
        "last": {"date": date, "commit": commit},
    });
    ledger.insert(target.to_owned(), row);
    // One line a target, in their order, so that two runs seldom touch the same line.
    let mut rows: Vec<String> = ledger.iter().map(|(name, row)| format!("  {}: {row}", json!(name))).collect();
    rows.sort();
    Ok(std::fs::write(path, format!("{{\n{}\n}}\n", rows.join(",\n")))?)
}

/// Replaces the committed corpus by inputs that together reach what all of them reach, as far as there is room.
fn minimise(program: &Path, target: &str) -> Result {
    let (all, merged) = (folder("target/fuzz/corpus", target)?, folder("target/fuzz/merged", target)?);
    let kept = folder("tests/fuzz/corpus", target)?;
    std::fs::remove_dir_all(&merged)?;
    std::fs::create_dir_all(&merged)?;
    let mut command = sh::command(program);
    // What the seeds reach, they reach again whenever they are written.
    command.env("CALLBOARD_FUZZ", target).args(["-merge=1", "-max_len=1024"]).args([&merged, &kept, &all]);
    sh::must(&format!("fuzz: {target}: minimise"), &mut command)?;
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(&merged)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    // The larger ones of those that fit reach the most.
    files.sort_by(|one, other| other.cmp(one));
    std::fs::remove_dir_all(&kept)?;
    std::fs::create_dir_all(&kept)?;
    let mut left = KEPT.1;
    for (length, path) in files.into_iter().filter(|(length, _)| *length * 8 <= KEPT.1).take(KEPT.0) {
        if let Some(rest) = left.checked_sub(length) {
            left = rest;
            std::fs::copy(&path, kept.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}
