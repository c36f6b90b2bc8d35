//! The load simulator. `cargo xtask lab --help`.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use callboard_lab::plan::Plan;
use callboard_lab::policies::Policies;
use callboard_lab::runner::Outcomes;
use callboard_lab::{failures, plot, report, runner, sweep};

const HELP: &str = "\
cargo xtask lab [SCENARIO..] [--policy P].. [--quick] [--check] [--list]
cargo xtask lab failures [--quick] [--check] [--every]
cargo xtask lab sweep [SCENARIO..] [--quick]

Runs the scenarios of tests/lab/scenarios, or those named, under the policies that each names, or under those given. Prints
a table for each; figures over time go to target/lab/SCENARIO.json, their drawings to target/lab/SCENARIO[-VARIANT].svg.

  --policy P   a policy or group of tests/lab/policies.json; may be given again
  --quick      the short form of each scenario
  --check      compares with what the scenario files expect; a difference names its line and fails
  --every      all presets of callboard beside the policies of tests/lab/policies.json; those that go by keys have none here
  --list       the scenarios and what they show

failures runs the scenarios in which something fails: success, p50 and p99 of every policy in one table, and whether the p99 of
`adaptive` is at most 1.05 times that of the best classical policy. The table goes to target/lab/failures.txt, its drawing to
target/lab/failures.svg.

sweep runs the forms of `adaptive` that tests/lab/sweep.json names instead: each is held to what the scenarios expect of
`adaptive` (missed), and its tails are compared with the best classical policy's: the geometric mean of the ratios over all
scenarios and variants, and the worst. The table goes to target/lab/sweep.md, what was missed to target/lab/sweep.json.
";

struct Asked {
    scenarios: Vec<String>,
    policies: Vec<String>,
    quick: bool,
    check: bool,
    every: bool,
}

fn main() -> ExitCode {
    let mut asked = Asked { scenarios: Vec::new(), policies: Vec::new(), quick: false, check: false, every: false };
    let mut list = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--quick" => asked.quick = true,
            "--check" => asked.check = true,
            "--every" => asked.every = true,
            "--list" => list = true,
            "--policy" => asked.policies.extend(args.next()),
            name if !name.starts_with('-') => asked.scenarios.push(name.to_owned()),
            other => {
                eprint!("lab: no option {other:?}\n\n{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    let sweeping = asked.scenarios.first().is_some_and(|first| first == "sweep");
    if sweeping {
        asked.scenarios.remove(0);
    }
    let failing = asked.scenarios.first().is_some_and(|first| first == "failures");
    if failing {
        asked.scenarios = failures::SCENARIOS.map(str::to_owned).to_vec();
        asked.policies.push("*".to_owned());
    }
    let done = policies().and_then(|mut policies| {
        if asked.every {
            policies.add_presets();
        }
        let plans = plans(&asked, &policies)?;
        if list {
            plans.iter().for_each(|plan| println!("{:<20} {}", plan.name, plan.what));
            return Ok(true);
        }
        match (sweeping, failing) {
            (true, _) => sweep(plans, &policies),
            (_, true) => fail(&plans, &policies, &asked),
            _ => lab(&plans, &policies, &asked),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("lab: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Where this crate is; the scenarios are beside its sources.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn policies() -> Result<Policies, String> {
    let text = read(&home().join("policies.json"))?;
    let policies = serde_json::from_str(&text).map_err(|error| format!("policies.json: {error}"))?;
    Policies::read(&policies, "policies.json")
}

fn plans(asked: &Asked, policies: &Policies) -> Result<Vec<Plan>, String> {
    let folder = home().join("scenarios");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    let mut plans = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if asked.scenarios.is_empty() || asked.scenarios.iter().any(|wanted| *wanted == name) {
            let mut plan = Plan::read(&name, &read(&file)?, policies, asked.quick)?;
            if !asked.policies.is_empty() {
                let words: Vec<serde_json::Value> = asked.policies.iter().map(|word| word.as_str().into()).collect();
                // One of the scenario's own is meant by its name.
                let own: Vec<_> = plan.policies.iter().filter(|named| asked.policies.contains(&named.name)).cloned().collect();
                plan.policies = if own.len() == words.len() { own } else { policies.select(&words, "--policy")? };
            }
            plans.push(plan);
        }
    }
    match asked.scenarios.iter().find(|wanted| plans.iter().all(|plan| plan.name != **wanted)) {
        Some(unknown) => Err(format!("no scenario {unknown:?}; --list shows them")),
        None => Ok(plans),
    }
}

/// False when something is not as expected.
fn lab(plans: &[Plan], policies: &Policies, asked: &Asked) -> Result<bool, String> {
    let started = Instant::now();
    let outcomes = runner::run(plans, &progress(started))?;
    clear();
    let folder = results_folder()?;
    let (mut made, mut wrong) = (0, Vec::new());
    for (plan, outcomes) in plans.iter().zip(&outcomes) {
        print!("{}", report::table(plan, outcomes));
        keep(plan, outcomes, &folder)?;
        if asked.check {
            for expected in &plan.expect {
                let (count, different) = expected.check(outcomes);
                made += count;
                wrong.extend(different);
            }
        }
    }
    let common: Vec<String> = policies.named("*").unwrap_or_default().into_iter().map(|named| named.name).collect();
    let summary = report::summary(&outcomes, &common, "p99", 1);
    std::fs::write(folder.join("summary.md"), &summary).map_err(|error| format!("summary.md: {error}"))?;
    if plans.len() > 1 {
        println!("\np99 of all, in ms\n{summary}");
    }
    println!("\nTimes in ms; `never`: more calls failed than the quantile leaves out; share: attempts to the watched servers;");
    println!("spread: busiest server over the mean; retries: per call. Lines over time and drawings: target/lab.");
    println!("lab: {} scenarios in {:.1} s", plans.len(), started.elapsed().as_secs_f64());
    if asked.check {
        wrong.iter().for_each(|why| println!("NOT AS EXPECTED {why}"));
        println!("lab: {} of {made} expectations hold", made - wrong.len());
    }
    Ok(wrong.is_empty())
}

/// One table of all failures. False when `--check` was asked for and a bound is not held.
fn fail(plans: &[Plan], policies: &Policies, asked: &Asked) -> Result<bool, String> {
    let started = Instant::now();
    let outcomes = runner::run(plans, &progress(started))?;
    clear();
    let names = |word| policies.named(word).unwrap_or_default().into_iter().map(|named| named.name).collect::<Vec<String>>();
    let cases = failures::cases(&outcomes, &names("*"), &names(sweep::PEERS), sweep::SWEPT);
    let text = failures::text(&cases, sweep::SWEPT);
    let folder = results_folder()?;
    std::fs::write(folder.join("failures.txt"), &text).map_err(|error| format!("failures.txt: {error}"))?;
    failures::draw(&cases, &folder.join("failures.svg")).map_err(|error| format!("failures.svg: {error}"))?;
    print!("{text}");
    println!("Times in ms; `never`: more calls failed than the quantile leaves out. {:.1} s", started.elapsed().as_secs_f64());
    Ok(!asked.check || cases.iter().all(failures::Case::held))
}

/// The forms of one policy instead.
fn sweep(plans: Vec<Plan>, policies: &Policies) -> Result<bool, String> {
    let started = Instant::now();
    let forms = sweep::forms(&read(&home().join("sweep.json"))?)?;
    let plans = sweep::prepare(plans, policies, &forms);
    let outcomes = runner::run(&plans, &progress(started))?;
    clear();
    let standings = sweep::results(&plans, &outcomes, policies, &forms);
    let table = sweep::table(&standings);
    let missed: Vec<_> = standings.iter().map(|found| serde_json::json!({ "form": found.form, "missed": found.missed })).collect();
    let folder = results_folder()?;
    for (name, text) in [("sweep.md", table.clone()), ("sweep.json", format!("{:#}\n", serde_json::Value::from(missed)))] {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    print!("\n{table}");
    println!("\nmissed: expectations that do not hold; p99, p99.9: over the best classical policy's, geometric mean of all cases.");
    println!("lab: {} forms of {} in {} scenarios, {:.1} s", forms.len(), sweep::SWEPT, plans.len(), started.elapsed().as_secs_f64());
    Ok(true)
}

fn results_folder() -> Result<PathBuf, String> {
    let folder = home().join("../../target/lab");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn keep(plan: &Plan, outcomes: &Outcomes, folder: &Path) -> Result<(), String> {
    let file = folder.join(format!("{}.json", plan.name));
    std::fs::write(&file, format!("{}\n", outcomes.to_json(plan))).map_err(|error| format!("{}: {error}", file.display()))?;
    plot::draw(plan, outcomes, folder).map(|_| ()).map_err(|error| format!("{}: {error}", plan.name))
}

/// A line that changes on a terminal, one now and then elsewhere.
fn progress(started: Instant) -> impl Fn(usize, usize, &str) + Sync {
    let spoke = Mutex::new(Duration::ZERO);
    let terminal = std::io::stdout().is_terminal();
    move |done, all, what| {
        let elapsed = started.elapsed();
        if terminal {
            print!("\r\x1b[2Klab: {done} of {all} runs, {:.0} s: {what}", elapsed.as_secs_f64());
            let _ = std::io::stdout().flush();
        } else if let Ok(mut spoke) = spoke.lock()
            && elapsed.saturating_sub(*spoke) >= Duration::from_secs(10)
        {
            *spoke = elapsed;
            println!("lab: {done} of {all} runs, {:.0} s: {what}", elapsed.as_secs_f64());
        }
    }
}

fn clear() {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[2K");
    }
}
