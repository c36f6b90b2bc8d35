//! The documents of a policy as the types of Python and JS have them, against what the core reads.
//!
//! Both languages name the same fields, with the same words and the same text. The core names them too, in what it says of one
//! that it does not know; which words it takes, its defaults and its bounds are tried through [`Policy::from_value`].

use std::collections::{BTreeMap, BTreeSet};

use callboard::Value;
use callboard::balance::Policy;
use callboard::error::Code;
use callboard_tests::read;
use callboard_tests::source::sources;

/// Each document with a policy that has it, `@` standing for its own fields.
const PLACES: &[(&str, &str)] = &[
    ("PolicyParts", "{@}"),
    ("PlainPick", r#"{"pick": {"kind": "random", @}}"#),
    ("First", r#"{"pick": {"kind": "first", @}}"#),
    ("Edf", r#"{"pick": {"kind": "edf", @}}"#),
    ("Stride", r#"{"pick": {"kind": "stride", @}}"#),
    ("Sample", r#"{"pick": {"kind": "sample", @}}"#),
    ("Uneven", r#"{"pick": {"kind": "sample", "uneven": {@}}}"#),
    ("InFlight", r#"{"pick": {"kind": "sample", "score": {"kind": "in-flight", @}}}"#),
    ("Cost", r#"{"pick": {"kind": "sample", "score": {"kind": "cost", @}}}"#),
    ("Prequal", r#"{"pick": {"kind": "prequal", @}}"#),
    ("Rendezvous", r#"{"pick": {"kind": "rendezvous", @}}"#),
    ("RingHash", r#"{"pick": {"kind": "ring-hash", @}}"#),
    ("Maglev", r#"{"pick": {"kind": "maglev", @}}"#),
    ("Ketama", r#"{"pick": {"kind": "ketama", @}}"#),
    ("Jump", r#"{"pick": {"kind": "jump", @}}"#),
    ("Subset", r#"{"subset": {@}}"#),
    ("SlowStart", r#"{"slow_start": {@}}"#),
    ("Labels", r#"{"labels": {"selectors": [["zone"]], @}}"#),
    ("LabelSelector", r#"{"labels": {"selectors": [{"keys": ["zone"], @}]}}"#),
    ("Sticky", r#"{"sticky": {@}}"#),
    ("Levels", r#"{"levels": {@}}"#),
    ("Localities", r#"{"localities": {@}}"#),
    ("Outliers", r#"{"outliers": {@}}"#),
    ("FixedRecovery", r#"{"outliers": {"recovery": {"kind": "fixed", @}}}"#),
    ("ProbeRecovery", r#"{"outliers": {"recovery": {"kind": "probe", @}}}"#),
    ("Streak", r#"{"outliers": {"errors": {@}}}"#),
    ("SuccessRate", r#"{"outliers": {"success_rate": {@}}}"#),
    ("Failures", r#"{"outliers": {"failures": {@}}}"#),
    ("Slowness", r#"{"outliers": {"latency": {@}}}"#),
    ("Hold", r#"{"hold": {@}}"#),
    ("Breaker", r#"{"breaker": {@}}"#),
    ("Trip", r#"{"breaker": {"trip": {@}}}"#),
    ("Retry", r#"{"retry": {@}}"#),
    ("ShareBudget", r#"{"retry": {"budget": {"kind": "share", @}}}"#),
    ("TokenBudget", r#"{"retry": {"budget": {"kind": "tokens", @}}}"#),
    ("Hedge", r#"{"hedge": {@}}"#),
    ("Reports", r#"{"reports": {@}}"#),
    ("FixedLimit", r#"{"limit": {"kind": "fixed", @}}"#),
    ("Gradient", r#"{"limit": {"kind": "gradient", @}}"#),
    ("Gradient2", r#"{"limit": {"kind": "gradient2", @}}"#),
    ("Vegas", r#"{"limit": {"kind": "vegas", @}}"#),
    ("Aimd", r#"{"limit": {"kind": "aimd", @}}"#),
];

/// What the sources say of a type: of a document its fields, of an alias its alternatives.
#[derive(Debug, Default, PartialEq)]
struct Type {
    about: String,
    fields: BTreeMap<String, Field>,
    alternatives: BTreeSet<String>,
}

#[derive(Debug, PartialEq)]
struct Field {
    about: String,
    required: bool,
    alternatives: BTreeSet<String>,
}

type Types = BTreeMap<String, Type>;

/// The alternatives of a type, each in the words of TypeScript; lists and maps as they are.
fn alternatives(text: &str) -> BTreeSet<String> {
    let (mut found, mut depth, mut part) = (BTreeSet::new(), 0, String::new());
    for letter in text.chars().chain(['|']) {
        depth += match letter {
            '(' | '<' | '[' => 1,
            ')' | '>' | ']' => -1,
            _ => 0,
        };
        if letter != '|' || depth > 0 {
            part.push(letter);
            continue;
        }
        let one = std::mem::take(&mut part);
        let one = one.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(words) = one.strip_prefix("Literal[") {
            found.extend(words.trim_end_matches(']').split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()));
        } else if let Some(items) = one.strip_prefix("Sequence[") {
            found.insert(list(items.strip_suffix(']').unwrap_or(items)));
        } else if let Some(items) = one.strip_prefix("readonly ") {
            let items = items.strip_suffix("[]").unwrap_or(items);
            found.insert(list(items.trim_start_matches('(').trim_end_matches(')')));
        } else if !one.is_empty() {
            let one = one.replace("Readonly<Record<string, ", "map of ").replace("Mapping[str, ", "map of ");
            let one = one.trim_end_matches(['>', ']']).replace("bool", "boolean").replace("booleanean", "boolean");
            let one =
                if one.ends_with("int") || one.ends_with("float") { one.replace("int", "number").replace("float", "number") } else { one };
            found.insert(if one.ends_with("str") { one.replace("str", "string") } else { one });
        }
    }
    found
}

fn list(items: &str) -> String {
    format!("list of {}", alternatives(items).into_iter().collect::<Vec<_>>().join(" | "))
}

/// Reads `policy.ts`.
fn typescript(text: &str) -> Types {
    let (mut types, mut about, mut owner) = (Types::new(), String::new(), String::new());
    for statement in statements(text) {
        let statement = statement.trim();
        if let Some(comment) = statement.strip_prefix("/** ") {
            about = comment.trim_end_matches(" */").to_owned();
        } else if let Some(name) = statement.strip_prefix("export interface ") {
            owner = name.trim_end_matches(" {").to_owned();
            types.insert(owner.clone(), Type { about: std::mem::take(&mut about), ..Type::default() });
        } else if let Some((name, text)) = statement.strip_prefix("export type ").and_then(|rest| rest.split_once('=')) {
            let alias =
                Type { about: std::mem::take(&mut about), alternatives: alternatives(text.trim_end_matches(';')), ..Type::default() };
            types.insert(name.trim().to_owned(), alias);
        } else if let Some((name, text)) = statement.strip_prefix("readonly ").and_then(|rest| rest.split_once(": ")) {
            let required = !name.ends_with('?');
            let field = Field { about: std::mem::take(&mut about), required, alternatives: alternatives(text.trim_end_matches(';')) };
            types.entry(owner.clone()).or_default().fields.insert(name.trim_end_matches('?').to_owned(), field);
        }
    }
    types
}

/// The lines, those of an alias as one.
fn statements(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        match found.last_mut() {
            Some(last) if last.starts_with("export type ") && !last.ends_with(';') => last.push_str(line),
            Some(last) if last.ends_with("Literal[") || (last.contains("TypeAlias = Literal[") && !last.ends_with(']')) => {
                last.push_str(line)
            }
            _ => found.push(line.to_owned()),
        }
    }
    found
}

/// Reads `policy.py`.
fn python(text: &str) -> Types {
    let (mut types, mut owner, mut last) = (Types::new(), String::new(), None::<String>);
    for statement in statements(text) {
        let line = statement.trim();
        if let Some(name) = line.strip_prefix("class ").and_then(|rest| rest.strip_suffix("(TypedDict, total=False):")) {
            (owner, last) = (name.to_owned(), None);
            types.insert(owner.clone(), Type::default());
        } else if let Some((name, text)) = line.split_once(": TypeAlias = ") {
            (owner, last) = (name.to_owned(), None);
            types.insert(owner.clone(), Type { alternatives: alternatives(text), ..Type::default() });
        } else if let Some(comment) = line.strip_prefix("\"\"\"").and_then(|rest| rest.strip_suffix("\"\"\"")) {
            let Some(found) = types.get_mut(&owner) else { continue };
            match last.as_ref().and_then(|name| found.fields.get_mut(name)) {
                Some(field) => field.about = comment.to_owned(),
                None => found.about = comment.to_owned(),
            }
        } else if let Some((name, text)) = line.split_once(": ").filter(|_| statement.starts_with("    ") && types.contains_key(&owner)) {
            let inner = text.strip_prefix("Required[").and_then(|text| text.strip_suffix(']'));
            let field = Field { about: String::new(), required: inner.is_some(), alternatives: alternatives(inner.unwrap_or(text)) };
            types.entry(owner.clone()).or_default().fields.insert(name.to_owned(), field);
            last = Some(name.to_owned());
        }
    }
    types
}

fn js() -> Types {
    typescript(&read("bindings-wasm/js/policy.ts"))
}

/// The policy of a place with these fields.
fn policy(place: &str, fields: &str) -> Result<Policy, callboard::Error> {
    let text = if fields.is_empty() { place.replace(", @", "").replace('@', "") } else { place.replace('@', fields) };
    Policy::from_value(&Value::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// Whether a field is refused when it has this value.
fn refused(place: &str, name: &str, value: &str) -> bool {
    let is_about = |field: &str| field.split(['.', '[']).any(|part| part == name);
    policy(place, &format!("\"{name}\": {value}")).is_err_and(|error| is_about(error.field()) || error.code() == Code::InvalidPolicy)
}

#[test]
fn both_languages_say_the_same() {
    let (js, python) = (js(), python(&read("bindings-py/python/callboard/policy.py")));
    for name in js.keys().chain(python.keys()) {
        assert_eq!(js.get(name), python.get(name), "{name}: policy.ts, and then policy.py");
    }
}

#[test]
fn every_document_has_its_place_and_every_field_its_line() {
    let js = js();
    let documents: BTreeSet<&str> = js.iter().filter(|(_, one)| one.alternatives.is_empty()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(documents, PLACES.iter().map(|(name, _)| *name).collect());
    for (name, one) in &js {
        assert!(!one.about.is_empty(), "{name}: what is it?");
        for (field, found) in one.fields.iter().filter(|(field, _)| *field != "kind") {
            assert!(found.about.ends_with('.'), "{name}.{field}: what is it?");
        }
    }
}

#[test]
fn the_fields_are_those_that_the_core_reads() {
    let js = js();
    for (name, place) in PLACES {
        let error = policy(place, "\"nobody\": null").unwrap_err();
        assert_eq!(error.code(), Code::UnknownField, "{name}");
        let known = error.text().strip_prefix("known fields are ").expect("the names of the fields");
        let known: BTreeSet<&str> = known.split(", ").collect();
        assert_eq!(js[*name].fields.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{name}: policy.ts, and then the core");
    }
}

/// Every word of the sources that might be one of a document.
fn words() -> BTreeSet<String> {
    let lines = sources("core/src/balance").into_iter().flat_map(|source| source.lines);
    let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    let is_word =
        |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    quoted.filter(is_word).collect()
}

/// The words among alternatives, those of aliases and of lists too.
fn literals(types: &Types, alternatives: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for one in alternatives {
        if let Some(alias) = types.get(one) {
            found.extend(literals(types, &alias.alternatives));
        } else {
            found.extend(one.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_words_are_those_that_the_core_takes() {
    let (js, words) = (js(), words());
    assert!(words.len() > 100, "{words:?}");
    for (name, place) in PLACES {
        for (field, found) in js[*name].fields.iter().filter(|(field, _)| *field != "kind" || *name == "Subset") {
            let named = |alternative: &String| alternative.contains("string");
            if found.alternatives.iter().any(named) {
                continue;
            }
            let is_list = found.alternatives.iter().any(|one| one.starts_with("list"));
            let spelled = |word: &str| if is_list { format!("[\"{word}\"]") } else { format!("\"{word}\"") };
            let taken: BTreeSet<String> = words.iter().filter(|word| !refused(place, field, &spelled(word))).cloned().collect();
            assert_eq!(literals(&js, &found.alternatives), taken, "{name}.{field}: policy.ts, and then the core");
        }
    }
}

/// The number that starts a text, or ends it.
fn number(text: &str) -> Option<f64> {
    text.trim_end_matches([',', ';', ':', '.']).parse().ok()
}

#[test]
fn the_bounds_and_defaults_are_those_of_the_core() {
    let (js, mut seen) = (js(), 0);
    for (name, place) in PLACES {
        let whole = policy(place, "").unwrap_or_else(|error| panic!("{name}: {error}")).to_value();
        for (field, found) in js[*name].fields.iter().filter(|(_, found)| !found.required) {
            let words: Vec<&str> = found.about.split(' ').collect();
            let holds = |value: f64, good: bool| {
                assert_eq!(!refused(place, field, &value.to_string()), good, "{name}.{field}: {value}, but {}", found.about);
            };
            for at in 0..words.len() {
                let (here, next) = (words[at], words.get(at + 1).copied().unwrap_or_default());
                let after = words.get(at + 2).and_then(|word| number(word));
                match (number(here), next, after) {
                    (Some(least), "to", Some(most)) => {
                        holds(least, true);
                        holds(most, true);
                        holds(most + 1.0, false);
                        // What is no more than a word for another case, as a bound of 0 for none, is not below the range.
                        if least > 0.0 {
                            holds(if least > 1.0 { least - 1.0 } else { least / 2.0 }, false);
                        }
                        seen += 1;
                    }
                    _ if here == "up" && next == "to" => {
                        let most = after.expect("a number");
                        holds(most, true);
                        holds(most + 1.0, false);
                        seen += 1;
                    }
                    _ if here == "least" && number(next).is_some() => {
                        holds(number(next).unwrap_or_default(), true);
                        holds(0.0, false);
                        seen += 1;
                    }
                    _ if here == "default" && (at == 0 || words[at - 1] != "by") => {
                        let default = next.trim_end_matches([',', ';', ':', '.']).trim_matches('`');
                        assert_default(&format!("{name}.{field}"), default, &found_in(&whole, place, field));
                        seen += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} bounds and defaults were read");
}

/// The value of a field in the document of a place.
fn found_in(whole: &Value, place: &str, field: &str) -> Value {
    let mut open: Vec<&str> = Vec::new();
    for part in place.split('@').next().unwrap_or_default().split_inclusive(['{', '[', '}', ']']) {
        let name = part.trim_end_matches(['{', '[', ' ', ':']).strip_suffix('"').and_then(|text| text.rsplit('"').next());
        match part.chars().last() {
            Some('{' | '[') => open.push(name.unwrap_or_default()),
            Some('}' | ']') => drop(open.pop()),
            _ => {}
        }
    }
    let inner = |value: &Value, name: &&str| match value {
        Value::List(items) => items.first().cloned(),
        map if name.is_empty() => Some(map.clone()),
        map => map.get(name).cloned(),
    };
    let document = open.iter().try_fold(whole.clone(), |value, name| inner(&value, name)).unwrap_or(Value::Null);
    document.get(field).cloned().unwrap_or(Value::Null)
}

fn assert_default(name: &str, said: &str, found: &Value) {
    let is = match (number(said), found) {
        (_, Value::Map(pairs)) => pairs.iter().any(|(_, value)| value.as_str() == Some(said) || value.as_f64() == number(said)),
        (_, Value::List(items)) => items.first().and_then(Value::as_str) == Some(said),
        (Some(number), value) => value.as_f64() == Some(number),
        (None, value) => value.as_str() == Some(said) || value.as_bool().map(|flag| flag.to_string()).as_deref() == Some(said),
    };
    assert!(is, "{name}: default {said}, and the core has {found:?}");
}
