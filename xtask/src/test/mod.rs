//! `cargo xtask test`: every test in every language, set-up included.
//!
//! The last line is `N passed, N failed`, the sum over all suites.

mod parse;
mod suites;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::programs::DEMO;
use crate::ui::Progress;
use crate::{Result, sh, ui};
use parse::Count;
use suites::{Need, SUITES, Suite};

/// Lines of a failing suite's output that are shown.
const SHOWN: usize = 80;

pub fn command(names: &[String]) -> Result {
    if names.iter().any(|name| name == "--list") {
        for suite in SUITES {
            println!("{:<12} {}", suite.name, suite.what);
        }
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| !SUITES.iter().any(|suite| suite.name == **name)) {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        return Err(format!("no suite {unknown:?}; there are {}", known.join(", ")).into());
    }
    let chosen: Vec<&Suite> = SUITES.iter().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name)).collect();
    let total = run_all(&chosen);
    println!("{} passed, {} failed", total.passed, total.failed);
    // The line above is the last one; main prints nothing more for an empty error.
    if total.failed == 0 { Ok(()) } else { Err("".into()) }
}

/// In the order of the table; the suites that leave room for others go one after the other beside those.
fn run_all(chosen: &[&'static Suite]) -> Count {
    let mut total = Count::default();
    let mut needs = BTreeMap::new();
    let (send, beside) = mpsc::channel::<&Suite>();
    let lane = std::thread::spawn(move || {
        let mut total = Count::default();
        for suite in beside {
            total += run(suite, Progress::silent());
        }
        total
    });
    for suite in chosen {
        match ready(suite, &mut needs) {
            Ok(()) if suite.beside => {
                println!("test:  {:<13} started, beside what follows", suite.name);
                // It listens until `send` is dropped.
                let _ = send.send(suite);
            }
            Ok(()) => total += run(suite, Progress::start(&label(suite))),
            Err(count) => total += count,
        }
    }
    drop(send);
    let mut progress = Progress::start("test:  the suites beside");
    while !lane.is_finished() {
        progress.tick("");
        std::thread::sleep(Duration::from_millis(100));
    }
    progress.end();
    total += lane.join().unwrap_or(Count { passed: 0, failed: 1 });
    total
}

/// Needs that were met, or why they were not, by their names.
type Met = BTreeMap<String, std::result::Result<(), String>>;

/// Whether the suite can run: what it needs is there; or how it counts when it cannot.
fn ready(suite: &Suite, met: &mut Met) -> std::result::Result<(), Count> {
    let name = suite.name;
    if let Some(why) = (suite.skip)() {
        println!("test:  {name:<13} skipped: {why}");
        return Err(Count::default());
    }
    for need in suite.needs {
        let outcome = met.entry(format!("{need:?}")).or_insert_with(|| meet(*need).map_err(|error| error.to_string()));
        if let Err(why) = outcome {
            println!("test:  {name:<13} FAILED to start: {why}");
            return Err(Count { passed: 0, failed: 1 });
        }
    }
    Ok(())
}

fn label(suite: &Suite) -> String {
    format!("test:  {}", suite.name)
}

fn run(suite: &Suite, progress: Progress) -> Count {
    let name = suite.name;
    let mut command = (suite.command)();
    let done = match sh::run_showing(progress, &label(suite), &mut command, |line| parse::current(suite.format, line)) {
        Ok(done) => done,
        Err(error) => {
            println!("test:  {name:<13} FAILED to run: {error}");
            return Count { passed: 0, failed: 1 };
        }
    };
    let count = parse::count(suite.format, &done.lines, done.success);
    let log = write_log(name, &done.lines);
    println!("test:  {name:<13} {} passed, {} failed ({})", count.passed, count.failed, ui::seconds(done.elapsed));
    // What a test itself wants seen, such as one line for each runtime.
    for line in done.lines.iter().filter_map(|line| line.strip_prefix("# > ")) {
        println!("  {line}");
    }
    if count.failed > 0 {
        println!("  ---- why{}", log.map_or(String::new(), |path| format!("; all of its output: {}", path.display())));
        println!("{}\n  ----", parse::reasons(suite.format, &done.lines, SHOWN).join("\n"));
    }
    count
}

fn meet(need: Need) -> Result {
    match need {
        Need::Part(part) => part.ensure(),
        Need::Lives => crate::lives::command(&[]),
        Need::NpmPackage => crate::wasm::command(&[]),
        Need::PythonPackage => crate::setup::python::install_package(),
        Need::Example(name) => DEMO.build(&format!("test: {name}"), &[name]),
    }
}

fn write_log(name: &str, lines: &[String]) -> Option<PathBuf> {
    let folder = sh::root().join("target/test-logs");
    std::fs::create_dir_all(&folder).ok()?;
    let path = folder.join(format!("{name}.log"));
    std::fs::write(&path, lines.join("\n")).ok()?;
    Some(path.strip_prefix(sh::root()).map(PathBuf::from).unwrap_or(path))
}
