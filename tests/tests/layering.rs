//! Data flows one way, floor by floor: a module of the core uses only modules of lower floors.

use callboard_tests::source::{Source, sources};

/// The floors of the house, as `core/src/lib.rs` and CONTRIBUTING.md draw them.
const FLOORS: &[(u32, &[&str])] = &[
    (1, &["base64", "error", "hex", "limits", "order", "rng", "time", "value"]),
    (2, &["model"]),
    (3, &["query"]),
    (4, &["registry"]),
    (5, &["balance"]),
    (6, &["formats", "store"]),
    (7, &["serve"]),
];

/// What `lib.rs` lends from the ground floor; all of it may be used anywhere.
const LENT: &[&str] = &["Code", "Error", "Kind", "Timestamp", "Value"];

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// The module of a file below `core/src`, and how many modules deep it lies.
fn place(path: &str) -> (&str, usize) {
    let inner = path.trim_start_matches("core/src/").trim_end_matches(".rs").trim_end_matches("/mod");
    (inner.split('/').next().unwrap_or_default(), inner.split('/').count())
}

/// The modules a line of code names through `crate::`, and through a chain of `super` that reaches the root.
fn named(line: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let root = "super::".repeat(depth);
    for prefix in ["crate::", root.as_str()] {
        for (at, _) in line.match_indices(prefix) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || (prefix != "crate::" && c == ':')) {
                continue;
            }
            let rest = &line[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(tops(group)),
                None => found.extend(word(rest)),
            }
        }
    }
    found
}

/// The first words of the items of a `{a::b, c::{d, e}}` group, up to its end or the end of the line.
fn tops(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut found) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.extend(word(std::mem::take(&mut item).trim())),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    found.extend(word(item.trim()));
    found
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

fn arrows(source: &Source) -> Vec<String> {
    let (module, depth) = place(&source.path);
    let own = floor(module).unwrap_or_else(|| panic!("{}: {module:?} has no floor", source.path));
    let allowed = |other: &str| {
        LENT.contains(&other) || other == module || floor(other).is_some_and(|floor| floor < own || (floor == own && own == 1))
    };
    let mut upward = Vec::new();
    for (number, line) in source.code() {
        for other in named(&line, depth).into_iter().filter(|other| !allowed(other)) {
            upward.push(format!("{}:{number}: {module} (floor {own}) uses {other}", source.path));
        }
    }
    upward
}

#[test]
fn every_arrow_points_down() {
    let upward: Vec<String> = sources("core/src").iter().filter(|source| !source.path.ends_with("src/lib.rs")).flat_map(arrows).collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn an_upward_arrow_would_be_seen() {
    let upward = |path: &str, line: &str| arrows(&Source { path: path.into(), lines: vec![line.into()] }).len();
    assert_eq!(upward("core/src/model/names.rs", "use crate::registry::Registry;"), 1);
    assert_eq!(upward("core/src/model/names.rs", "use crate::{error::Error, query::{Query, Selector}, limits};"), 1);
    assert_eq!(upward("core/src/query/range.rs", "let x = super::super::registry::f();"), 1);
    assert_eq!(upward("core/src/time.rs", "let x = super::model::f();"), 1);
    assert_eq!(upward("core/src/formats/consul.rs", "use crate::store::Journal;"), 1);
    assert_eq!(upward("core/src/query/range.rs", "use super::parser; use crate::model::Version; use crate::Code;"), 0);
    assert_eq!(upward("core/src/time.rs", "use crate::error::{Code, Error};"), 0);
    assert_eq!(upward("core/src/balance/policy/mod.rs", "use super::filter; use crate::balance::members;"), 0);
}
