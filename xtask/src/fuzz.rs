//! `cargo xtask fuzz`: coverage-guided fuzzing with libFuzzer; the targets are in `tests/fuzz`.
//!
//! Every input that reached something new is kept in `target/fuzz/corpus`. What was executed is added up in `tests/fuzz/ledger.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::ui::Progress;
use crate::{Result, sh, ui};

const HELP: &str = "\
fuzz [TARGET..] [--smoke | --seconds N | --until N] [--minimise]: fuzz every target, or the named ones

  --smoke       2 minutes a target; without it 10 minutes
  --seconds N   N seconds a target instead; 20 are enough to see that all is well
  --until N     each target until the ledger counts N inputs for it, however long that takes
  --jobs N      N targets at once, by default as many as there are processors
  --length N    inputs of N bytes at most: short ones go through a reader many times faster than long ones, which the others try
  --minimise    afterwards, replace tests/fuzz/corpus by inputs that together reach the most: 40 a target, of 750 bytes at most
  --list        the targets

With an input of at most 1 KiB a reader is given 15 small changes of it. The ledger, tests/fuzz/ledger.json, counts each as an input.

An input that breaks something is in target/fuzz/findings, and goes on being tried there:
  CALLBOARD_FUZZ=TARGET PROGRAM FILE";

const SMOKE: u64 = 120;
const LONG: u64 = 600;
/// libFuzzer runs for so many seconds at once: the ledger loses no more when it is stopped.
const SLICE: u64 = 60;
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

/// Whoever reads or writes the ledger holds this.
static LEDGER: Mutex<()> = Mutex::new(());

struct Wish {
    targets: Vec<String>,
    seconds: u64,
    until: Option<u64>,
    length: Option<usize>,
    jobs: usize,
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
    let broken = all(&program, &read(args, &known)?);
    if broken.is_empty() { Ok(()) } else { Err(format!("something broke in {}", broken.join(" ")).into()) }
}

fn read(args: &[String], known: &[String]) -> Result<Wish> {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut wish = Wish { targets: Vec::new(), seconds: LONG, until: None, length: None, jobs, minimise: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--smoke" => wish.seconds = SMOKE,
            "--minimise" => wish.minimise = true,
            "--seconds" | "--length" | "--until" | "--jobs" => {
                let number = args.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
                let number: u64 = number.ok_or_else(|| format!("{arg} wants a number"))?;
                match arg.as_str() {
                    "--seconds" => wish.seconds = number,
                    "--until" => wish.until = Some(number),
                    "--jobs" => wish.jobs = usize::try_from(number)?,
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

/// Several targets at a time; those in which something broke.
fn all(program: &Path, wish: &Wish) -> Vec<String> {
    let (next, broken, status) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Status::default());
    thread::scope(|scope| {
        let work = || {
            while let Some(target) = wish.targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = fuzz(program, target, wish, &status);
                let done = done.and_then(|fine| if fine && wish.minimise { minimise(program, target).map(|()| fine) } else { Ok(fine) });
                status.far(target, None);
                let fine = done.unwrap_or_else(|why| {
                    status.say(format!("fuzz: {target}: {why}"));
                    false
                });
                if !fine {
                    lock(&broken).push(target.clone());
                }
            }
        };
        let jobs: Vec<_> = (0..wish.jobs.min(wish.targets.len())).map(|_| scope.spawn(work)).collect();
        let mut progress = Progress::start("fuzz");
        loop {
            let over = jobs.iter().all(|job| job.is_finished());
            lock(&status.lines).drain(..).for_each(|line| progress.say(&line));
            if over {
                break;
            }
            progress.tick(&status.text());
            thread::sleep(Duration::from_millis(100));
        }
        progress.end();
    });
    broken.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What those that fuzz have to tell.
#[derive(Default)]
struct Status {
    /// How far each target is.
    far: Mutex<BTreeMap<String, String>>,
    /// Lines to print.
    lines: Mutex<Vec<String>>,
}

impl Status {
    fn far(&self, target: &str, far: Option<String>) {
        let mut all = lock(&self.far);
        match far {
            Some(far) => all.insert(target.to_owned(), far),
            None => all.remove(target),
        };
    }

    fn say(&self, line: String) {
        lock(&self.lines).push(line);
    }

    fn text(&self) -> String {
        lock(&self.far).iter().map(|(target, far)| format!("{target} {far}")).collect::<Vec<_>>().join(", ")
    }
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
fn fuzz(program: &Path, target: &str, wish: &Wish, status: &Status) -> Result<bool> {
    let corpora = [folder("target/fuzz/corpus", target)?, folder("tests/fuzz/corpus", target)?, folder("target/fuzz/seeds", target)?];
    let findings = folder("target/fuzz/findings", target)?;
    let longest = LENGTHS.iter().find(|(name, _)| *name == target).map_or(LENGTH, |(_, longest)| *longest);
    let longest = wish.length.unwrap_or(longest);
    let (mut left, mut sum) = (wish.seconds, so_far(target)?);
    while wish.until.map_or(left > 0, |until| sum < until) {
        let slice = wish.until.map_or(left.min(SLICE), |_| SLICE);
        left = left.saturating_sub(slice);
        let mut command = sh::command(program);
        command.env("CALLBOARD_FUZZ", target).args(&corpora).args([
            format!("-max_total_time={slice}"),
            format!("-max_len={longest}"),
            format!("-artifact_prefix={}/", findings.display()),
            // What a call may take is measured by what its thread had; this is for one without an end, and counts what others do as well.
            "-timeout=300".into(),
            "-rss_limit_mb=1024".into(),
            "-print_final_stats=1".into(),
        ]);
        let (mut read, mut reached) = (0, String::new());
        let done = sh::run_showing(Progress::silent(), &format!("fuzz: {target}"), &mut command, |line| {
            if let Some(number) = number_after(line, "read: ") {
                read = number;
            } else if let Some(now) = progress(line) {
                reached = now;
                status.far(target, Some(format!("{read} inputs, {reached}")));
            }
            None
        })?;
        // The program tells of many inputs at a time; of a few, libFuzzer does.
        let units = done.lines.iter().find_map(|line| number_after(line, "stat::number_of_executed_units:")).unwrap_or(0);
        let read = read.max(units);
        sum = enter(target, read, done.elapsed.as_secs(), done.success)?;
        status.say(format!("fuzz: {target:<16} {read:>10} inputs in {}, {sum} so far; {reached}", ui::seconds(done.elapsed)));
        if !done.success {
            status.say(format!("{}\n", done.tail(30)));
            status.say(format!("fuzz: {target} broke; try it again with CALLBOARD_FUZZ={target} {} FILE", program.display()));
            return Ok(false);
        }
    }
    Ok(true)
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

/// `#4096 NEW cov: 812 ft: 1999 corp: 60/3Kb ...` in a few words.
fn progress(line: &str) -> Option<String> {
    let words: Vec<&str> = line.strip_prefix('#')?.split_whitespace().collect();
    let after = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    Some(format!("{} places, {} in the corpus", after("cov:")?, after("corp:")?))
}

fn path_of_ledger() -> PathBuf {
    sh::root().join("tests/fuzz/ledger.json")
}

fn ledger() -> Result<Map<String, Value>> {
    std::fs::read(path_of_ledger()).map_or_else(|_| Ok(Map::new()), |bytes| Ok(serde_json::from_slice(&bytes)?))
}

/// The inputs that a target was given.
fn so_far(target: &str) -> Result<u64> {
    let _turn = lock(&LEDGER);
    Ok(ledger()?.get(target).and_then(|row| row["executions"].as_u64()).unwrap_or(0))
}

/// Adds a run to the ledger; the inputs that the target was given by now.
fn enter(target: &str, executions: u64, seconds: u64, fine: bool) -> Result<u64> {
    let _turn = lock(&LEDGER);
    let mut ledger = ledger()?;
    let known = ledger.get(target).cloned().unwrap_or_default();
    let so_far = |name: &str| known.get(name).and_then(Value::as_u64).unwrap_or(0);
    let date = sh::ask(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let commit = sh::ask(sh::command("git").args(["rev-parse", "--short=10", "HEAD"])).unwrap_or_default();
    let sum = so_far("executions") + executions;
    let row = json!({
        "executions": sum,
        "seconds": so_far("seconds") + seconds,
        "broken": so_far("broken") + u64::from(!fine),
        "last": {"date": date, "commit": commit},
    });
    ledger.insert(target.to_owned(), row);
    // One line a target, in their order, so that two runs seldom touch the same line.
    let mut rows: Vec<String> = ledger.iter().map(|(name, row)| format!("  {}: {row}", json!(name))).collect();
    rows.sort();
    std::fs::write(path_of_ledger(), format!("{{\n{}\n}}\n", rows.join(",\n")))?;
    Ok(sum)
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
    sh::must_showing(Progress::silent(), &format!("fuzz: {target}: minimise"), &mut command)?;
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
