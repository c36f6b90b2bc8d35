//! The rows: on the screen, in `target/prove.json` and in the README.

use std::fmt;
use std::process::Command;

use serde_json::{Value, json};

use crate::{Result, sh};

/// One row of the scorecard.
pub struct Row {
    pub line: String,
    pub figure: String,
    pub target: String,
    /// None when it could not be run here; the figure says why.
    pub met: Option<bool>,
    pub how: String,
    /// That it is not met is known, and nothing has become worse: it is written down, and is no failure.
    pub known: bool,
}

impl Row {
    pub fn new(line: &str, figure: impl Into<String>, target: impl Into<String>, met: bool, how: impl Into<String>) -> Self {
        Self { line: line.into(), figure: figure.into(), target: target.into(), met: Some(met), how: how.into(), known: false }
    }

    /// The same, where it is known that it is not met.
    pub fn known(self) -> Self {
        Self { known: true, ..self }
    }

    /// A row for what could not be run here.
    pub fn not_run(line: &str, why: impl Into<String>, target: impl Into<String>, how: impl Into<String>) -> Self {
        Self { line: line.into(), figure: why.into(), target: target.into(), met: None, how: how.into(), known: false }
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "not run",
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (target: {}): {}", self.line, self.figure, self.target, verdict(self.met))
    }
}

const PLACE: &str = "target/prove.json";
const BEGIN: &str = "<!-- scorecard: written by cargo xtask prove --readme -->\n";
const END: &str = "<!-- /scorecard -->";

fn kept() -> Vec<Value> {
    let read = std::fs::read(sh::root().join(PLACE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.unwrap_or_default()
}

/// The commit that is run, asked for before it is.
pub fn commit() -> String {
    let commit = sh::ask(sh::command("git").args(["rev-parse", "--short=10", "HEAD"])).unwrap_or_default();
    let changed = sh::ask(sh::command("git").args(["status", "--porcelain", "--untracked-files=no"])).is_some_and(|text| !text.is_empty());
    if changed { format!("{commit}, changed") } else { commit }
}

/// Keeps the rows of a line in the place of those it had in this form.
pub fn keep(name: &str, form: &str, commit: &str, rows: Vec<Row>) -> Result {
    let date = sh::ask(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let mut all = kept();
    all.retain(|row| row["of"] != name || row["form"] != form);
    all.extend(rows.into_iter().map(|row| {
        json!({
            "line": row.line, "figure": row.figure, "target": row.target, "met": row.met, "how_to_reproduce": row.how,
            "of": name, "form": form, "date": date, "commit": commit,
        })
    }));
    let order = |row: &Value| super::LINES.iter().position(|line| row["of"] == line.name);
    all.sort_by_key(order);
    let path = sh::root().join(PLACE);
    std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
    Ok(std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&all)?))?)
}

/// Writes the kept rows into the README: of each line the long form, if it was run.
pub fn publish() -> Result {
    let all = kept();
    let has_long = |row: &Value| all.iter().any(|other| other["of"] == row["of"] && other["form"] == "long");
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().replace('|', "\\|");
    let mut table = String::from("| what | figure | target | | with | form, date, commit |\n|---|---|---|---|---|---|\n");
    for row in all.iter().filter(|row| row["form"] == "long" || !has_long(row)) {
        let met = match verdict(row["met"].as_bool()) {
            "NOT MET" => "**NOT MET**",
            other => other,
        };
        let [line, figure, target, how] = ["line", "figure", "target", "how_to_reproduce"].map(|name| text(row, name));
        let [form, date, commit] = ["form", "date", "commit"].map(|name| text(row, name));
        table.push_str(&format!("| {line} | {figure} | {target} | {met} | `{how}` | {form}, {date}, {commit} |\n"));
    }
    let path = sh::root().join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(BEGIN).ok_or("the README has no place for the scorecard")?;
    let (_, after) = rest.split_once(END).ok_or("the place for the scorecard has no end")?;
    std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}"))?;
    println!("prove: {} rows into README.md", all.len());
    Ok(())
}
