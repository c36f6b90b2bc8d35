//! `cargo xtask prove`: the reliability scorecard.
//!
//! Each line is a file beside this one: it runs the real thing and tells what it saw. A figure that is read from a ledger says so.

mod bounds;
mod coverage;
mod fish;
mod fuzz;
mod hostile;
mod languages;
mod laws;
mod mutants;
mod nets;
mod picks;
mod report;
mod run;
mod sim;
mod supply;

use crate::{Result, ui};
use report::Row;

const HELP: &str = "\
prove [--quick | --long] [--only LINE].. [--readme]: the reliability scorecard

  --quick       the short form, which is the default: some minutes
  --ci          the short form of the lines that take seconds and are no other suite's
  --long        the form that the published figures are from: hours
  --only LINE   only this line; more than one may be named
  --readme      write the scorecard of target/prove.json into the README, and run nothing
  --list        the lines

The rows are kept in target/prove.json, each with its form, date and commit; a line that is run again replaces its own.";

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Enough to see that all is well.
    Quick,
    /// What the published figures are from.
    Long,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Long => "long",
        }
    }

    /// One of these.
    pub fn of<T>(self, quick: T, long: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Long => long,
        }
    }
}

/// A line of the scorecard.
struct Line {
    name: &'static str,
    what: &'static str,
    /// Whether `cargo xtask test` has it, by `prove --ci`.
    ci: bool,
    prove: fn(Form) -> Result<Vec<Row>>,
}

const LINES: &[Line] = &[
    Line { name: "sim", what: "the registry against a naive model, on random scripts", ci: false, prove: sim::prove },
    Line { name: "fish", what: "bugs of the field, put in one by one, are found", ci: false, prove: fish::prove },
    Line { name: "picks", what: "no pick of an instance that no call may go to", ci: true, prove: picks::prove },
    Line { name: "fuzz", what: "what was fuzzed, by the ledger", ci: false, prove: fuzz::prove },
    Line { name: "bounds", what: "heap and work of inputs made to cost much", ci: true, prove: bounds::prove },
    Line { name: "laws", what: "merging what sources say, in small scopes and at random", ci: true, prove: laws::prove },
    Line { name: "hostile", what: "hostile calls through Python and wasm, many threads", ci: false, prove: hostile::prove },
    Line { name: "languages", what: "the same results in every language", ci: false, prove: languages::prove },
    Line { name: "coverage", what: "how much of the core the tests reach", ci: false, prove: coverage::prove },
    Line { name: "mutants", what: "changes of the core, line by line, are found", ci: false, prove: mutants::prove },
    Line { name: "supply", what: "crates, licences, lockfiles, limits, secrets", ci: false, prove: supply::prove },
];

pub fn command(args: &[String]) -> Result {
    let (mut form, mut only) = (Form::Quick, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            "--list" => {
                LINES.iter().for_each(|line| println!("{:<10} {}", line.name, line.what));
                return Ok(());
            }
            "--readme" => return report::publish(),
            "--quick" => form = Form::Quick,
            "--ci" => only.extend(LINES.iter().filter(|line| line.ci).map(|line| line.name)),
            "--long" => form = Form::Long,
            "--only" => {
                let name = args.next().map(String::as_str).unwrap_or_default();
                let known = LINES.iter().find(|line| line.name == name);
                only.push(known.ok_or_else(|| format!("no line {name:?}; --list shows them"))?.name);
            }
            other => return Err(format!("no option {other:?}\n\n{HELP}").into()),
        }
    }
    let mut failed = Vec::new();
    for line in LINES.iter().filter(|line| only.is_empty() || only.contains(&line.name)) {
        let (started, commit) = (std::time::Instant::now(), report::commit());
        let rows = (line.prove)(form)?;
        for row in &rows {
            println!("prove: {row}");
            if row.met == Some(false) && !row.known {
                failed.push(row.line.clone());
            }
        }
        report::keep(line.name, form.name(), &commit, rows)?;
        println!("prove: {} took {}", line.name, ui::seconds(started.elapsed()));
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not met: {}", failed.join(", ")).into()) }
}
