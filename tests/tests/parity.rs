//! `tests/parity.json` names everything public, here its Rust column against the sources of the core.
//!
//! Every public type and free function must stand there, and every public method of the types that do something. The
//! methods of documents (builders, `from_value`, `to_value`) need not: the other languages have the documents.

use std::collections::BTreeSet;

use callboard::Value;
use callboard::error::Kind;
use callboard_tests::read;
use callboard_tests::source::{Source, sources};

/// The types whose methods are listed.
const DOERS: &[&str] = &["Server", "Balancer", "Error", "Feed", "Query", "Registry", "Replica", "Store", "View"];

/// Types that a macro writes, and what marks them in its input.
const WRITTEN: &[(&str, &str)] = &[
    ("Format", " {"),
    ("AdminState", ", \"state\" {"),
    ("Availability", ", \"availability\" {"),
    ("Health", ", \"health\" {"),
    ("LeaseState", ", \"lease\" {"),
];

fn rows() -> Vec<Value> {
    let document = Value::from_json(read("tests/parity.json").as_bytes()).expect("JSON");
    document.as_list().expect("a list").to_vec()
}

fn named(line: &str, keyword: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").filter(|_| keyword == "fn").unwrap_or(rest);
    let name: String = rest.strip_prefix(keyword)?.strip_prefix(' ')?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    Some(name)
}

/// The public names of one file.
fn public(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or_default().to_owned();
    let (mut found, mut owner) = (Vec::new(), None::<String>);
    for line in &source.lines {
        if line.starts_with("impl") {
            let target = line.trim_start_matches("impl").trim_start_matches("<'_>").trim_start_matches("<'a>").trim_start();
            let name: String = target.chars().take_while(|c| c.is_alphanumeric()).collect();
            owner = (!line.contains(" for ")).then_some(name);
        } else if line.starts_with('}') {
            owner = None;
        }
        for keyword in ["struct", "enum", "trait"] {
            found.extend(named(line, keyword).filter(|_| !line.starts_with(' ')));
        }
        if let Some(function) = named(line, "fn") {
            match &owner {
                Some(owner) if line.starts_with("    pub") && DOERS.contains(&owner.as_str()) => found.push(format!("{owner}.{function}")),
                None if line.starts_with("pub") => found.push(format!("{stem}::{function}")),
                _ => {}
            }
        }
        for (name, mark) in WRITTEN {
            if line.trim_start() == format!("{name}{mark}") {
                found.push((*name).to_owned());
            }
        }
    }
    found
}

#[test]
fn every_public_name_of_the_core_is_listed_and_every_listed_one_exists() {
    let exported: BTreeSet<String> = sources("core/src").iter().flat_map(public).collect();
    let listed: BTreeSet<String> = rows().iter().filter_map(|row| row.get("rust").and_then(Value::as_str).map(str::to_owned)).collect();
    // Constants and variants, which the sources' scan does not see: each is checked by its use here.
    let mut others: BTreeSet<String> = Kind::ALL.iter().map(|kind| format!("Kind::{kind:?}")).collect();
    others.extend(["Code::ALL", "limits::ALL", "Code", "Compiled.matches"].map(str::to_owned));
    let missing: Vec<_> = exported.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&exported).filter(|name| !others.contains(*name)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in tests/parity.json: {missing:#?}\nno longer in the core: {gone:#?}");
}

#[test]
fn every_absence_has_its_reason() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        let text = |column| row.get(column).and_then(Value::as_str);
        let names = ["rust", "python", "js"].map(text);
        let reason = text("why").is_some_and(|why| why.len() > 5);
        assert_eq!(names.iter().any(Option::is_none), reason, "{names:?}: a reason stands where a name is missing, and only there");
        assert!(names.iter().any(Option::is_some));
        for (column, name) in ["rust", "python", "js"].iter().zip(names) {
            let name = name.unwrap_or_default().to_owned();
            assert!(name.is_empty() || seen.insert((*column, name.clone())), "{name} stands twice in {column}");
        }
    }
}
