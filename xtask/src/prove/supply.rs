//! The supply chain: what a user of each package takes in with it; limits; and that no secret comes out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::report::Row;
use super::{Form, run};
use crate::programs::PROOF;
use crate::{Result, sh};

/// What the packages contain, and how many crates each may bring.
const PACKAGES: &[(&str, &[&str], usize)] =
    &[("callboard", &[], 15), ("callboard", &["--all-features"], 40), ("callboard-py", &[], 60), ("callboard-wasm", &[], 60)];
/// Licences that anybody may use what has them under.
const LICENCES: &[&str] = &[
    "ISC",
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "BSL-1.0",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
];

pub fn prove(_: Form) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let metadata = sh::ask(sh::cargo().args(["metadata", "--locked", "--format-version", "1"]))
        .ok_or("cargo metadata: the lockfile is not up to date")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let known: BTreeMap<String, &Value> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|own| Some((format!("{} v{}", own["name"].as_str()?, own["version"].as_str()?), own)))
        .collect();
    let mut all = BTreeSet::new();
    for (name, features, most) in PACKAGES {
        if !known.keys().any(|own| own.starts_with(&format!("{name} v"))) {
            return Err(format!("there is no package {name}").into());
        }
        let which = features.first().map_or(String::new(), |features| format!(" {features}"));
        let crates = |edges: &str| -> Result<BTreeSet<String>> {
            let mut cargo = sh::cargo();
            cargo.args(["tree", "--locked", "--edges", edges, "--prefix", "none", "--format", "{p}", "--package", name]).args(*features);
            let tree = sh::ask(&mut cargo).ok_or_else(|| format!("cargo tree does not know {name}"))?;
            let word = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            Ok(tree.lines().map(word).filter(|own| !own.is_empty() && !own.starts_with("callboard")).collect())
        };
        let (own, with_macros) = (crates("normal,no-proc-macro")?, crates("normal")?);
        rows.push(Row::new(
            &format!("crates in {name}{which}"),
            format!("{} at run time, {} more while it is built, for macros", own.len(), with_macros.len() - own.len()),
            format!("at most {most} at run time"),
            own.len() <= *most,
            format!("cargo tree --edges normal,no-proc-macro --package {name}{which}"),
        ));
        all.extend(with_macros);
    }
    rows.push(licences(&all, &known));
    rows.push(lockfiles()?);
    rows.extend(tests()?);
    Ok(rows)
}

fn licences(all: &BTreeSet<String>, known: &BTreeMap<String, &Value>) -> Row {
    let mut strange = Vec::new();
    for name in all {
        let Some(own) = known.get(name) else {
            strange.push(format!("{name}: not in the lockfile"));
            continue;
        };
        // `A OR B`, `A/B`: one that is on the list is enough; `A AND B`: both must be.
        let text = own["license"].as_str().unwrap_or_default().replace(['(', ')'], "");
        let fine =
            text.split(" AND ").all(|part| part.split(" OR ").flat_map(|part| part.split('/')).any(|word| LICENCES.contains(&word.trim())));
        if !fine {
            strange.push(format!("{name}: {text:?}"));
        }
        let source = own["source"].as_str().unwrap_or_default();
        if source != "registry+https://github.com/rust-lang/crates.io-index" {
            strange.push(format!("{name} is from {source:?}"));
        }
    }
    let figure = if strange.is_empty() { format!("{} crates, all permissive, all from crates.io", all.len()) } else { strange.join("; ") };
    Row::new("licences and sources", figure, "permissive; crates.io only", strange.is_empty(), "cargo xtask prove --only supply")
}

fn lockfiles() -> Result<Row> {
    let mut bad = Vec::new();
    let files = ["Cargo.lock", "tests/bench/Cargo.lock", "tests/fuzz/Cargo.lock"];
    for file in files {
        let text = std::fs::read_to_string(sh::root().join(file))?;
        for package in text.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = ")) {
            if !package.contains("\nchecksum = \"") {
                bad.push(format!("{file}: {} has no checksum", package.lines().nth(1).unwrap_or_default()));
            }
        }
    }
    let npm = "bindings-wasm/package-lock.json";
    let lock: Value = serde_json::from_slice(&std::fs::read(sh::root().join(npm))?)?;
    for (name, own) in lock["packages"].as_object().into_iter().flatten() {
        if own["resolved"].is_string() && !own["integrity"].is_string() {
            bad.push(format!("{npm}: {name} has no checksum"));
        }
    }
    let manifest: Value = serde_json::from_slice(&std::fs::read(sh::root().join("bindings-wasm/package.json"))?)?;
    if manifest["dependencies"].as_object().is_some_and(|own| !own.is_empty()) {
        bad.push("the npm package has dependencies".into());
    }
    let figure = if bad.is_empty() {
        format!("{} lockfiles with a checksum for each; the npm package depends on nothing", files.len() + 1)
    } else {
        bad.join("; ")
    };
    Ok(Row::new("lockfiles", figure, "a checksum for everything", bad.is_empty(), "cargo xtask prove --only supply"))
}

/// The tests of limits and of secrets.
fn tests() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (line, test, target) in [
        ("limits", "limits", "each at L-1, L and L+1"),
        ("a secret in metadata", "secrets", "in no error, Debug, explanation, trace, metric or statistic"),
    ] {
        let done = run::watch(&format!("supply: {test}"), PROOF.cargo("test").args(["--test", test]))?;
        let passed = done.lines.iter().filter(|line| line.starts_with("test ") && line.ends_with("... ok")).count();
        if !done.success {
            println!("{}", done.tail(30));
        }
        let figure = if done.success { format!("{passed} tests, all pass") } else { "a test fails".into() };
        rows.push(Row::new(line, figure, target, done.success, format!("cargo test --profile proof -p callboard-tests --test {test}")));
    }
    Ok(rows)
}
