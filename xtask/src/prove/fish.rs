//! The net catches fish: bugs that others have had are put into a copy of the core, one by one, and the tests must find each.
//!
//! `tests/fish.json` has them, each as a text of the core's source and what it was where the bug was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Form;
use super::mutants::{self, Mutant};
use super::nets::{self, Cast, NETS, Net, Programs, Sources};
use super::report::Row;
use crate::{Result, sh};

/// A bug must be found within this.
const WITHIN: Duration = Duration::from_secs(60);

/// A bug.
pub struct Fish {
    name: String,
    bug: String,
    /// The net to cast first, and of which tests.
    net: String,
    filter: Option<String>,
    edits: Vec<Edit>,
}

struct Edit {
    file: String,
    from: String,
    to: String,
}

pub fn prove(_: Form) -> Result<Vec<Row>> {
    let (tree, fish, _, programs) = stock()?;
    let caught = nets::each("prove: fish", fish.len(), |number| try_one(&tree, number, &fish[number], &programs))?;
    report(&fish, caught)
}

/// A copy of the core with every bug in it, and with the changes of [`mutants`], which are behind the same switch so that both need one build.
pub fn stock() -> Result<(PathBuf, Vec<Fish>, Vec<Mutant>, Programs)> {
    let fish = read()?;
    let tree = sh::root().join("target/fish");
    let mutants = nets::copy(&tree, |sources| {
        put_in(sources, &fish)?;
        mutants::plant(sources)
    })?;
    let programs = nets::build(&tree)?;
    nets::still(&tree, &programs)?;
    Ok((tree, fish, mutants, programs))
}

/// What was caught of each fish: the net, what it said, and how long it took.
type Catch = Option<(String, String, Duration)>;

/// Casts the nets for a fish until one has it; for a canary all of them, each a catch of its own.
fn try_one(tree: &Path, number: usize, fish: &Fish, programs: &Programs) -> Result<Vec<Catch>> {
    let is_canary = fish.net.is_empty();
    let mut order: Vec<(&Net, Vec<&str>)> = Vec::new();
    if let Some(net) = NETS.iter().find(|net| net.name == fish.net) {
        order.push((net, net.args.iter().copied().chain(fish.filter.as_deref()).collect()));
    }
    order.extend(NETS.iter().map(|net| (net, net.args.to_vec())));
    let started = Instant::now();
    let mut catches = Vec::new();
    for (net, args) in order {
        let limit = if is_canary { WITHIN } else { WITHIN.saturating_sub(started.elapsed()) };
        match nets::cast(tree, &programs[net.program], &args, Some(number), limit, &mut || ())? {
            Cast::Caught(what) => catches.push(Some((net.name.to_owned(), what, started.elapsed()))),
            Cast::Nothing | Cast::TimeOut if is_canary => catches.push(None),
            Cast::Nothing => continue,
            Cast::TimeOut => break,
        }
        if !is_canary {
            break;
        }
    }
    if catches.is_empty() {
        catches.push(None);
    }
    Ok(catches)
}

fn report(fish: &[Fish], caught: Vec<Vec<Catch>>) -> Result<Vec<Row>> {
    let (mut escaped, mut longest, mut total, mut canaries) = (Vec::new(), Duration::ZERO, 0, Vec::new());
    let mut told = Vec::new();
    for (fish, catches) in fish.iter().zip(&caught) {
        let of_net =
            |catch: &Catch| catch.as_ref().map(|(net, what, after)| json!({"net": net, "said": what, "seconds": after.as_secs_f64()}));
        told.push(json!({"name": fish.name, "bug": fish.bug, "caught": catches.iter().map(of_net).collect::<Vec<_>>()}));
        match fish.name.as_str() {
            "canary" => canaries.extend(
                NETS.iter().zip(catches).filter(|(_, catch)| catch.is_none()).map(|(net, _)| format!("{} misses the canary", net.name)),
            ),
            "decoy" => canaries.extend(catches.iter().flatten().map(|(net, ..)| format!("{net} takes the decoy for a fish"))),
            name => {
                total += 1;
                match catches.first() {
                    Some(Some((_, _, after))) => longest = longest.max(*after),
                    _ => escaped.push(name),
                }
            }
        }
    }
    std::fs::write(sh::root().join("target/fish.json"), serde_json::to_string_pretty(&told)?)?;
    for name in &escaped {
        println!("prove: fish: nobody caught {name}");
    }
    for why in &canaries {
        println!("prove: fish: {why}");
    }
    let caught = total - escaped.len();
    let figure = format!("{caught} of {total} bugs of the field found, the slowest after {:.0} s", longest.as_secs_f64());
    let how = "cargo xtask prove --only fish";
    let canary = format!(
        "{} of {} nets see the canary, the decoy {}",
        NETS.len() - canaries.iter().filter(|why| why.contains("canary")).count(),
        NETS.len(),
        if canaries.iter().any(|why| why.contains("decoy")) { "is taken for a fish" } else { "is left alone" }
    );
    Ok(vec![
        Row::new("the net catches fish", figure, "all, at least 20, each within 60 s", escaped.is_empty() && total >= 20, how),
        Row::new("canary", canary, "all nets; left alone", canaries.is_empty(), how),
    ])
}

fn read() -> Result<Vec<Fish>> {
    let text = std::fs::read(sh::root().join("tests/fish.json"))?;
    let list: Vec<Value> = serde_json::from_slice(&text)?;
    let word = |value: &Value, name: &str| {
        value[name].as_str().map(str::to_owned).ok_or_else(|| format!("tests/fish.json: a fish without {name}: {value}"))
    };
    let mut fish = Vec::new();
    for one in &list {
        let (net, filter) = match word(one, "net")?.split_once(' ') {
            Some((net, filter)) => (net.to_owned(), Some(filter.to_owned())),
            None => (word(one, "net")?, None),
        };
        let edits = one["edits"].as_array().into_iter().flatten();
        let edits = edits.map(|edit| Ok(Edit { file: word(edit, "file")?, from: word(edit, "from")?, to: word(edit, "to")? }));
        fish.push(Fish { name: word(one, "name")?, bug: word(one, "bug")?, net, filter, edits: edits.collect::<Result<_>>()? });
    }
    Ok(fish)
}

/// Puts every fish into the copy.
fn put_in(sources: &mut Sources, fish: &[Fish]) -> Result {
    // Several bugs may have been in one place.
    let mut places: BTreeMap<(&str, &str), Vec<(usize, &str)>> = BTreeMap::new();
    for (number, one) in fish.iter().enumerate() {
        for edit in &one.edits {
            places.entry((&edit.file, &edit.from)).or_default().push((number, &edit.to));
        }
    }
    for ((file, from), bugs) in places {
        let source = sources.get_mut(Path::new(file)).ok_or_else(|| format!("tests/fish.json: there is no {file}"))?;
        let text = std::str::from_utf8(source)?;
        let name = &fish[bugs[0].0].name;
        if text.matches(from).count() != 1 {
            return Err(format!("tests/fish.json: {name}: {file} has not one place that reads {from:?}: say anew where the bug was").into());
        }
        *source = text.replacen(from, &switched(from, &bugs), 1).into_bytes();
    }
    Ok(())
}

/// The place with the bugs in it: an expression, or statements when it ends as one does.
fn switched(from: &str, bugs: &[(usize, &str)]) -> String {
    let is_statement = from.ends_with(';');
    let (body, lead) = match from.strip_prefix("&& ") {
        Some(body) => (body, "&& "),
        None => (from, ""),
    };
    let strip = |text: &str| text.strip_prefix("&& ").unwrap_or(text).to_owned();
    let bugs: String = bugs.iter().map(|(number, to)| format!("if crate::fish::on({number}) {{ {} }} else ", strip(to))).collect();
    if is_statement { format!("{bugs}{{ {body} }}") } else { format!("{lead}({bugs}{{ {body} }})") }
}
