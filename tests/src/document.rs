//! Comparing documents the way the vectors do, and printing them in full.

use std::collections::BTreeMap;

use callboard::Value;

/// Results of earlier steps by their names.
pub type Kept = BTreeMap<String, Value>;

/// The bytes that hexadecimal digits stand for.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8)).collect()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `actual` has everything that `expected` names; else where and how they differ.
///
/// Maps match by the keys of `expected`, lists element by element at the same length; null matches absence; numbers
/// are equal when they are the same number; all else must be equal.
pub fn matches(expected: &Value, actual: &Value) -> Result<(), String> {
    compare(expected, actual, "")
}

fn compare(expected: &Value, actual: &Value, path: &str) -> Result<(), String> {
    let differ = || Err(format!("{}: expected {}, found {}", if path.is_empty() { "result" } else { path }, json(expected), json(actual)));
    match (expected, actual) {
        (Value::Map(pairs), Value::Map(_)) => pairs.iter().try_for_each(|(key, value)| {
            let found = actual.get(key).unwrap_or(&Value::Null);
            compare(value, found, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") })
        }),
        (Value::List(items), Value::List(found)) if items.len() == found.len() => {
            items.iter().zip(found).enumerate().try_for_each(|(at, (item, found))| compare(item, found, &format!("{path}[{at}]")))
        }
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) if expected.as_f64() == actual.as_f64() => Ok(()),
        _ if expected == actual => Ok(()),
        _ => differ(),
    }
}

/// Puts the parts of kept results in the place of every `{"$": "name.path"}`.
pub fn resolve(value: &Value, kept: &Kept) -> Result<Value, String> {
    Ok(match value {
        Value::Map(pairs) => match pairs.as_slice() {
            [(key, Value::Text(path))] if key == "$" => part(path, kept)?,
            _ => Value::Map(pairs.iter().map(|(key, value)| Ok((key.clone(), resolve(value, kept)?))).collect::<Result<Vec<_>, String>>()?),
        },
        Value::List(items) => Value::List(items.iter().map(|item| resolve(item, kept)).collect::<Result<Vec<_>, String>>()?),
        other => other.clone(),
    })
}

fn part(path: &str, kept: &Kept) -> Result<Value, String> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut value = kept.get(name).ok_or_else(|| format!("no result is kept as {name:?}"))?;
    for step in rest.split('.').filter(|step| !step.is_empty()) {
        let inner = match value {
            Value::List(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
            map => map.get(step),
        };
        value = inner.ok_or_else(|| format!("{path:?}: there is no {step:?}"))?;
    }
    Ok(value.clone())
}

/// The document as JSON.
pub fn json(value: &Value) -> String {
    String::from_utf8_lossy(&value.to_json()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::from_json(text.as_bytes()).expect("JSON")
    }

    #[test]
    fn matching_is_partial_and_exact() {
        for (expected, actual, good) in [
            (r#"{"a":1}"#, r#"{"a":1.0,"b":2}"#, true),
            (r#"{"a":null}"#, r#"{"b":2}"#, true),
            (r#"{"a":null}"#, r#"{"a":0}"#, false),
            (r#"{"a":[{"b":1}]}"#, r#"{"a":[{"b":1,"c":2}]}"#, true),
            (r#"{"a":[{"b":1}]}"#, r#"{"a":[{"b":1},{"b":1}]}"#, false),
            (r#"{"a":[]}"#, r#"{"a":[1]}"#, false),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, false),
            (r#"{"a":{"b":1}}"#, r#"{}"#, false),
            (r#"{"a":{}}"#, r#"{"a":null}"#, false),
        ] {
            assert_eq!(matches(&value(expected), &value(actual)).is_ok(), good, "{expected} {actual}");
        }
        assert_eq!(matches(&value(r#"{"a":[{"b":1}]}"#), &value(r#"{"a":[{"b":2}]}"#)).unwrap_err(), "a[0].b: expected 1, found 2");
    }

    #[test]
    fn references_are_parts_of_kept_results() {
        let kept = Kept::from([("p".to_owned(), value(r#"{"token":7,"list":[{"id":"x"}]}"#))]);
        assert_eq!(resolve(&value(r#"{"t":{"$":"p.token"},"l":[{"$":"p.list.0.id"}]}"#), &kept), Ok(value(r#"{"t":7,"l":["x"]}"#)));
        assert!(resolve(&value(r#"{"$":"q"}"#), &kept).is_err());
        assert!(resolve(&value(r#"{"$":"p.none"}"#), &kept).is_err());
    }
}
