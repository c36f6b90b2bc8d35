//! Strict reading of JSON: an unknown key, a missing one and a wrong type are errors that name their place.

use serde_json::{Map, Value};

/// What reading returns; the text says where and what.
pub type Result<T> = std::result::Result<T, String>;

/// An object whose keys are known.
pub struct Object<'a> {
    map: &'a Map<String, Value>,
    place: String,
}

impl<'a> Object<'a> {
    /// Takes an object that has no other keys than these.
    pub fn new(value: &'a Value, place: &str, keys: &[&str]) -> Result<Self> {
        let map = value.as_object().ok_or_else(|| format!("{place}: must be an object"))?;
        match map.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(format!("{place}: unknown key {key:?}; there are {}", keys.join(" "))),
            None => Ok(Self { map, place: place.to_owned() }),
        }
    }

    /// Where a key of it is.
    pub fn place(&self, key: &str) -> String {
        format!("{}.{key}", self.place)
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The value of a key that must be there.
    pub fn must(&self, key: &str) -> Result<&'a Value> {
        self.get(key).ok_or_else(|| format!("{}: missing", self.place(key)))
    }

    /// A finite number that is not negative.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|value| number(value, &self.place(key))).transpose()
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    pub fn whole(&self, key: &str) -> Result<Option<u64>> {
        self.get(key).map(|value| value.as_u64().ok_or_else(|| format!("{}: must be a whole number", self.place(key)))).transpose()
    }

    pub fn whole_or(&self, key: &str, default: u64) -> Result<u64> {
        Ok(self.whole(key)?.unwrap_or(default))
    }

    pub fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{}: must be true or false", self.place(key))),
        }
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| format!("{}: must be a text", self.place(key)))).transpose()
    }

    pub fn must_text(&self, key: &str) -> Result<&'a str> {
        self.text(key)?.ok_or_else(|| format!("{}: missing", self.place(key)))
    }

    /// A list, empty when absent.
    pub fn list(&self, key: &str) -> Result<&'a [Value]> {
        self.get(key).map_or(Ok(&[]), |value| list(value, &self.place(key)))
    }

    /// The pairs of an object, in the order of their names; none when absent.
    pub fn pairs(&self, key: &str) -> Result<Vec<(&'a str, &'a Value)>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let map = value.as_object().ok_or_else(|| format!("{}: must be an object", self.place(key)))?;
        Ok(map.iter().map(|(key, value)| (key.as_str(), value)).collect())
    }

    /// Numbers, as many as asked for.
    pub fn numbers<const N: usize>(&self, key: &str) -> Result<Option<[f64; N]>> {
        self.get(key).map(|value| numbers(value, &self.place(key))).transpose()
    }
}

/// A finite number that is not negative.
pub fn number(value: &Value, place: &str) -> Result<f64> {
    value.as_f64().filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| format!("{place}: must be a number, 0 or more"))
}

/// Numbers, as many as asked for.
pub fn numbers<const N: usize>(value: &Value, place: &str) -> Result<[f64; N]> {
    let list = list(value, place)?;
    let wrong = || format!("{place}: must be {N} numbers");
    let read: Vec<f64> = list.iter().map(|value| number(value, place)).collect::<Result<_>>()?;
    read.try_into().map_err(|_| wrong())
}

pub fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value]> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{place}: must be a list"))
}

/// JSON Merge Patch (RFC 7396): objects are merged, null removes, everything else replaces.
pub fn merge(onto: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *onto = patch.clone();
        return;
    };
    if !onto.is_object() {
        *onto = Value::Object(Map::new());
    }
    let Value::Object(map) = onto else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistakes_name_their_place() {
        let value = json!({"rate": -1, "count": 1.5, "name": 3, "many": [1]});
        let object = Object::new(&value, "x.json", &["rate", "count", "name", "many"]).unwrap();
        assert_eq!(object.number("rate").unwrap_err(), "x.json.rate: must be a number, 0 or more");
        assert!(object.whole("count").unwrap_err().starts_with("x.json.count"));
        assert!(object.text("name").unwrap_err().starts_with("x.json.name"));
        assert!(object.numbers::<2>("many").is_err());
        assert!(object.must("other").unwrap_err().ends_with("missing"));
        assert!(Object::new(&value, "x.json", &["rate"]).is_err_and(|why| why.contains("\"count\"")));
    }

    #[test]
    fn patches_are_merged() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1, 2]});
        merge(&mut value, &json!({"a": {"b": null, "e": {"f": 3}}, "d": [4]}));
        assert_eq!(value, json!({"a": {"c": 2, "e": {"f": 3}}, "d": [4]}));
    }
}
