//! As much of JSON Schema as `tests/vectors/schema.json` uses. A keyword that is not known here is an error, so that
//! the schema cannot say something that nobody checks.

use callboard::Value;

use crate::document::json;

/// Checks `value` against the schema at `root`.
pub fn check(root: &Value, value: &Value) -> Result<(), String> {
    Checker { root }.node(root, value, "")
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn node(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let pairs = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Map(pairs) => pairs,
            _ => return Err(format!("{path}: nothing may stand here")),
        };
        pairs.iter().try_for_each(|(keyword, rule)| self.keyword(schema, keyword, rule, value, path))
    }

    fn keyword(&self, schema: &Value, keyword: &str, rule: &Value, value: &Value, path: &str) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{path}: {} {why} {}", json(value), json(rule)));
        let length = |value: &Value| value.as_str().map(str::len).or(value.as_list().map(<[Value]>::len));
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "then" => Ok(()),
            "$ref" => {
                let name = rule.as_str().and_then(|name| name.strip_prefix("#/$defs/")).unwrap_or_default();
                let target = self.root.get("$defs").and_then(|defs| defs.get(name)).ok_or(format!("no definition {name:?}"))?;
                self.node(target, value, path)
            }
            "type" if rule.as_str() != Some(type_of(value)) => fail("is not of the type"),
            "enum" if !rule.as_list().unwrap_or_default().contains(value) => fail("is none of"),
            "const" if rule != value => fail("is not"),
            "minLength" | "minItems" if length(value) < rule.as_u64().map(|least| least as usize) => fail("is shorter than"),
            "minimum" if value.as_f64() < rule.as_f64() => fail("is less than"),
            "pattern" if !pattern(rule.as_str().unwrap_or_default(), value.as_str().unwrap_or_default()) => fail("does not match"),
            "type" | "enum" | "const" | "minLength" | "minItems" | "minimum" | "pattern" => Ok(()),
            "required" => {
                let missing = rule.as_list().unwrap_or_default().iter().find(|name| !has(value, name.as_str().unwrap_or_default()));
                missing.map_or(Ok(()), |name| Err(format!("{path}: {} is missing", json(name))))
            }
            "properties" => rule.as_map().unwrap_or_default().iter().try_for_each(|(name, inner)| {
                let found = value.as_map().unwrap_or_default().iter().find(|(key, _)| key == name);
                found.map_or(Ok(()), |(_, found)| self.node(inner, found, &format!("{path}/{name}")))
            }),
            "additionalProperties" if *rule == Value::Bool(false) => {
                let known = schema.get("properties").and_then(Value::as_map).unwrap_or_default();
                let unknown = value.as_map().unwrap_or_default().iter().find(|(key, _)| !known.iter().any(|(name, _)| name == key));
                unknown.map_or(Ok(()), |(key, _)| Err(format!("{path}: {key:?} is not known")))
            }
            "items" => value
                .as_list()
                .unwrap_or_default()
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| self.node(rule, item, &format!("{path}/{at}"))),
            "allOf" => rule.as_list().unwrap_or_default().iter().try_for_each(|inner| self.node(inner, value, path)),
            "if" => match (self.node(rule, value, path), schema.get("then")) {
                (Ok(()), Some(then)) => self.node(then, value, path),
                _ => Ok(()),
            },
            other => Err(format!("the schema uses {other:?}, which nobody checks")),
        }
    }
}

fn has(value: &Value, name: &str) -> bool {
    value.as_map().unwrap_or_default().iter().any(|(key, _)| key == name)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Float(_) => "number",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

/// `^[SET]+$`, where the set is of letters, digits, ranges and a final `-`.
fn pattern(pattern: &str, text: &str) -> bool {
    let set: Vec<char> = pattern.strip_prefix("^[").and_then(|rest| rest.strip_suffix("]+$")).expect("a plain pattern").chars().collect();
    let in_set = |c: char| {
        let range = |at: usize| set.get(at + 1) == Some(&'-') && set.get(at + 2).is_some_and(|end| (set[at]..=*end).contains(&c));
        (0..set.len()).any(|at| set[at] == c || range(at))
    };
    !text.is_empty() && text.chars().all(in_set)
}
