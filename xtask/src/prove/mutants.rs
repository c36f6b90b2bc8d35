//! The mutation score: conditions are turned and statements left out, here and there in the core, and a test must notice each.
//!
//! All stand behind one switch in one copy of the core, as the fish do. cargo-mutants, which builds the core for each, would take days for the same.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::Form;
use super::nets::{self, Cast, Sources};
use super::report::Row;
use crate::{Result, sh};

/// Whose code it is about.
const FOLDERS: [&str; 3] = ["core/src/registry", "core/src/query", "core/src/balance"];
/// The nets that are cast, the quick ones first.
const CAST: [&str; 4] = ["vectors", "unit", "sim", "picks"];
/// One place in so many is changed.
const EVERY: usize = 8;
/// How many in a hundred must be noticed.
const WANTED: usize = 90;
/// A net that takes longer hangs, and that is noticed.
const HANGS: Duration = Duration::from_secs(90);

/// A changed place: file and line, and what it reads.
struct Mutant {
    place: String,
    text: String,
}

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let target = format!("at least {WANTED} % of one place in {EVERY} of registry, query and balance");
    const HOW: &str = "cargo xtask prove --long --only mutants";
    if form == Form::Quick {
        return Ok(vec![Row::not_run("mutation score", "only in the long form", target, HOW)]);
    }
    let tree = sh::root().join("target/mutants");
    let mutants = nets::copy(&tree, plant)?;
    let programs = nets::build(&tree)?;
    nets::still(&tree, &programs)?;
    let caught = nets::each("prove: mutants", mutants.len(), |number| {
        for net in nets::NETS.iter().filter(|net| CAST.contains(&net.name)) {
            match nets::cast(&tree, &programs[net.program], net.args, Some(number), HANGS, &mut || ())? {
                Cast::Caught(what) => return Ok(Some(format!("{}: {what}", net.name))),
                Cast::TimeOut => return Ok(Some(format!("{} hangs", net.name))),
                Cast::Nothing => {}
            }
        }
        Ok(None)
    })?;
    let told: Vec<_> = mutants.iter().zip(&caught).map(|(own, by)| json!({"place": own.place, "text": own.text, "caught": by})).collect();
    std::fs::write(sh::root().join("target/mutants.json"), serde_json::to_string_pretty(&told)?)?;
    for (own, _) in mutants.iter().zip(&caught).filter(|(_, by)| by.is_none()) {
        println!("prove: mutants: nobody notices {}: {}", own.place, own.text);
    }
    let (all, noticed) = (mutants.len(), caught.iter().flatten().count());
    let figure =
        format!("{noticed} of {all} noticed, {:.0} %; the others are in target/mutants.json", noticed as f64 * 100.0 / all.max(1) as f64);
    Ok(vec![Row::new("mutation score", figure, target, noticed * 100 >= WANTED * all, HOW)])
}

/// Changes the places.
fn plant(sources: &mut Sources) -> Result<Vec<Mutant>> {
    let (mut mutants, mut seen) = (Vec::new(), 0);
    let is_test = |path: &Path| path.to_string_lossy().contains("tests");
    for (path, source) in sources.iter_mut().filter(|(path, _)| FOLDERS.iter().any(|folder| path.starts_with(folder)) && !is_test(path)) {
        let text = std::str::from_utf8(source)?;
        let mut lines: Vec<String> = Vec::new();
        let (mut before, mut is_const, mut is_over) = ("{", false, false);
        for (number, line) in text.lines().enumerate() {
            let code = line.trim();
            is_over |= code.starts_with("#[cfg(test)]");
            if code.contains("fn ") {
                is_const = code.contains("const fn ");
            }
            let changed = if is_over || is_const { None } else { change(code, before, mutants.len()) };
            seen += usize::from(changed.is_some());
            match changed.filter(|_| seen % EVERY == 0) {
                Some(changed) => {
                    mutants.push(Mutant { place: format!("{}:{}", path.display(), number + 1), text: code.to_owned() });
                    lines.push(changed);
                }
                None => lines.push(line.to_owned()),
            }
            if !code.is_empty() && !code.starts_with("//") {
                before = code;
            }
        }
        *source = (lines.join("\n") + "\n").into_bytes();
    }
    Ok(mutants)
}

/// A condition turned, or a statement left out, when the line is one.
fn change(code: &str, before: &str, number: usize) -> Option<String> {
    let count = |what: char| code.chars().filter(|own| *own == what).count();
    let is_balanced = count('(') == count(')') && count('[') == count(']');
    let begins = [";", "{", "}"].iter().any(|end| before.ends_with(end));
    if !is_balanced || !begins || code.contains("let ") {
        return None;
    }
    for lead in ["if ", "} else if "] {
        if let Some(condition) = code.strip_prefix(lead).and_then(|rest| rest.strip_suffix(" {")) {
            let is_plain = !condition.contains(['{', '}', '\'', '"']);
            return is_plain.then(|| format!("{lead}crate::fish::on({number}) != ({condition}) {{"));
        }
    }
    let is_statement = code.starts_with("self.") && code.ends_with(';') && count('{') == 0 && count(';') == 1;
    is_statement.then(|| format!("if !crate::fish::on({number}) {{ {code} }}"))
}
