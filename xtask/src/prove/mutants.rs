//! The mutation score: conditions are turned, their operators exchanged and statements left out, wherever the core has one, and a test must notice each.
//!
//! All stand behind one switch in one copy of the core, as the fish do. cargo-mutants builds the core and its tests for each, which takes minutes
//! where this takes seconds. The long form tries them all, for an hour or so; the quick one those that it left, and those that are new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Form;
use super::fish;
use super::nets::{self, Cast, Sources};
use super::report::Row;
use crate::{Result, sh};

/// Whose code it is about.
const FOLDERS: [&str; 3] = ["core/src/registry", "core/src/query", "core/src/balance"];
/// The nets that are cast, the quick ones first.
const CAST: [&str; 6] = ["vectors", "unit", "limits", "replicas", "sim", "picks"];
/// How many in a hundred must be noticed.
const WANTED: usize = 90;
/// A net that takes longer hangs, and that is noticed.
const HANGS: Duration = Duration::from_secs(90);

/// An operator, and what it becomes.
const OPERATORS: [(&str, &str); 8] = [
    (" && ", " || "),
    (" || ", " && "),
    (" <= ", " < "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" > ", " >= "),
    (" == ", " != "),
    (" != ", " == "),
];

/// What became of each, when it was tried last.
const TOLD: &str = "target/mutants.json";

/// The number of the first on the switch, beyond those of the fish.
const FIRST: usize = 1_000;

/// A changed place: file and line, and what it reads.
pub struct Mutant {
    place: String,
    text: String,
}

impl Mutant {
    /// File and text: what stays so while other code comes and goes.
    fn name(&self) -> (String, String) {
        (self.place.split(':').next().unwrap_or_default().to_owned(), self.text.clone())
    }
}

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let target = format!("at least {WANTED} % of the places in registry, query and balance");
    const HOW: &str = "cargo xtask prove --long --only mutants";
    let known = match form {
        Form::Long => BTreeMap::new(),
        Form::Quick => match known()? {
            Some(known) => known,
            None => return Ok(vec![Row::not_run("mutation score", "only after the long form", target, HOW)]),
        },
    };
    let (tree, _, mutants, programs) = fish::stock()?;
    let reasons: Vec<Value> = serde_json::from_slice(&std::fs::read(sh::root().join("tests/mutants.json"))?)?;
    let is_explained = |own: &Mutant| {
        let (file, text) = own.name();
        reasons.iter().any(|reason| reason["file"] == file.as_str() && reason["text"] == text.as_str())
    };
    let caught = nets::each("prove: mutants", mutants.len(), |number| {
        if let Some(by) = known.get(&mutants[number].name()) {
            return Ok(Some(by.clone()));
        }
        for net in nets::NETS.iter().filter(|net| CAST.contains(&net.name)) {
            match nets::cast(&tree, &programs[net.program], net.args, Some(FIRST + number), HANGS, &mut || ())? {
                Cast::Caught(what) => return Ok(Some(format!("{}: {what}", net.name))),
                Cast::TimeOut => return Ok(Some(format!("{} hangs", net.name))),
                Cast::Nothing => {}
            }
        }
        let own = &mutants[number];
        if !is_explained(own) {
            println!("prove: mutants: nobody notices {}: {}", own.place, own.text);
        }
        Ok(None)
    })?;
    let told: Vec<_> = mutants.iter().zip(&caught).map(|(own, by)| json!({"place": own.place, "text": own.text, "caught": by})).collect();
    std::fs::write(sh::root().join(TOLD), serde_json::to_string_pretty(&told)?)?;
    let unexplained = mutants.iter().zip(&caught).filter(|(own, by)| by.is_none() && !is_explained(own)).count();
    let (all, noticed) = (mutants.len(), caught.iter().flatten().count());
    let figure = format!(
        "{noticed} of {all} noticed, {:.0} %; of the other {} tests/mutants.json says why, save of {unexplained}",
        noticed as f64 * 100.0 / all.max(1) as f64,
        all - noticed
    );
    Ok(vec![Row::new("mutation score", figure, target, noticed * 100 >= WANTED * all && unexplained == 0, HOW)])
}

/// What noticed each, when they were tried last, by their names; of several of one name all were noticed.
fn known() -> Result<Option<BTreeMap<(String, String), String>>> {
    let Ok(told) = std::fs::read(sh::root().join(TOLD)) else { return Ok(None) };
    let (mut known, mut left) = (BTreeMap::new(), BTreeSet::new());
    for one in serde_json::from_slice::<Vec<Value>>(&told)? {
        let word = |name: &str| one[name].as_str().map(str::to_owned);
        let name = Mutant { place: word("place").unwrap_or_default(), text: word("text").unwrap_or_default() }.name();
        match word("caught") {
            Some(by) => _ = known.insert(name, by),
            None => _ = left.insert(name),
        }
    }
    known.retain(|name, _| !left.contains(name));
    Ok(Some(known))
}

/// Changes the places.
pub fn plant(sources: &mut Sources) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
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
            let changed = if is_over || is_const { None } else { change(path, code, before, FIRST + mutants.len()) };
            match changed {
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

/// Half of the conditions that have an operator are turned, and the others have another one; by their text, so that it stays so while other code comes and goes.
fn is_turned(path: &Path, code: &str) -> bool {
    // FNV-1a.
    let bytes = path.as_os_str().as_encoded_bytes().iter().chain(code.as_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    (hash >> 32) % 2 == 0
}

/// A condition turned, or a statement left out, when the line is one.
fn change(path: &Path, code: &str, before: &str, number: usize) -> Option<String> {
    let count = |what: char| code.chars().filter(|own| *own == what).count();
    let is_balanced = count('(') == count(')') && count('[') == count(']');
    let begins = [";", "{", "}"].iter().any(|end| before.ends_with(end));
    if !is_balanced || !begins || code.contains("let ") {
        return None;
    }
    for lead in ["if ", "} else if "] {
        if let Some(condition) = code.strip_prefix(lead).and_then(|rest| rest.strip_suffix(" {")) {
            if condition.contains(['{', '}', '\'', '"']) {
                return None;
            }
            let exchanged = OPERATORS.iter().find(|(own, _)| !is_turned(path, code) && condition.contains(own));
            return Some(match exchanged {
                Some((own, other)) => {
                    let changed = condition.replacen(own, other, 1);
                    format!("{lead}(if crate::fish::on({number}) {{ {changed} }} else {{ {condition} }}) {{")
                }
                None => format!("{lead}crate::fish::on({number}) != ({condition}) {{"),
            });
        }
    }
    let is_statement = code.starts_with("self.") && code.ends_with(';') && count('{') == 0 && count(';') == 1;
    is_statement.then(|| format!("if !crate::fish::on({number}) {{ {code} }}"))
}
