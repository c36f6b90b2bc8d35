//! Untyped documents: the one form in which structured data crosses a language border.
//!
//! JSON text, Python objects and JS objects all become a [`Value`], and only this crate turns a `Value` into a
//! typed thing. So an unknown key, a wrong type or a number out of range is the same error, with the same code
//! and field, in every language.

mod pairs;

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};

use crate::error::{Code, Error};
use crate::limits;
#[cfg(feature = "serve")]
pub(crate) use pairs::Json;
pub(crate) use pairs::Pairs;

/// A document: what JSON can say, with integers apart from other numbers and maps in insertion order.
///
/// Reading one (through serde or [`Value::from_json`]) refuses duplicate keys, more than 64 levels
/// and more than a million values.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing. In a map it means the same as an absent key.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map in insertion order, its keys unique.
    Map(Vec<(String, Value)>),
}

/// Structure only: a document may carry metadata values, which never appear in diagnostics.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => write!(f, "list of {}", items.len()),
            Self::Map(pairs) => write!(f, "map of {}", pairs.len()),
            other => f.write_str(other.type_name()),
        }
    }
}

impl Value {
    /// A map from pairs; a later pair of the same key is dropped.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// The value at `key`, when this is a map that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value).filter(|value| !matches!(value, Self::Null))
    }

    /// The text, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The items, when this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The pairs, when this is a map.
    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        if let Self::Map(pairs) = self { Some(pairs) } else { None }
    }

    /// The whole number from 0 to 2^53 - 1, when this is one. A float with no fraction counts: JS has no other.
    pub fn as_u64(&self) -> Option<u64> {
        const MAX: u64 = (1 << 53) - 1;
        match *self {
            Self::Int(int) => u64::try_from(int).ok().filter(|int| *int <= MAX),
            Self::Float(float) if float >= 0.0 && float <= MAX as f64 && (float as u64) as f64 == float => Some(float as u64),
            _ => None,
        }
    }

    /// The number, when this is one.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Int(int) => Some(int as f64),
            Self::Float(float) => Some(float),
            _ => None,
        }
    }

    /// The truth value, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// What it is, in a word an error can use.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Reads JSON text.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] past 8 MiB, 64 levels or a million values; [`Code::DuplicateKey`];
    /// [`Code::Malformed`] for anything else that is not one JSON document.
    #[cfg(feature = "json")]
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > limits::PAYLOAD_BYTES {
            return Err(Error::too_large("body", limits::PAYLOAD_BYTES as u64));
        }
        let trouble = Cell::new(None);
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let seed = Seed { depth: 0, budget: &Cell::new(limits::DOCUMENT_NODES), trouble: &trouble };
        seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value)).map_err(|error| match trouble.get() {
            Some(trouble) => trouble.error(),
            None => {
                Error::new(Code::Malformed, "body").detail(alloc::format!("not JSON at line {} column {}", error.line(), error.column()))
            }
        })
    }

    /// Writes JSON text. A float that is not finite is written as null.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(String::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u64> for Value {
    /// Numbers of this crate's own are below 2^53; a larger one saturates at `i64::MAX`.
    fn from(int: u64) -> Self {
        Self::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    /// A float with no fraction becomes an integer, so that it prints alike in every language.
    fn from(float: f64) -> Self {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if float > -EXACT && float < EXACT && (float as i64) as f64 == float { Self::Int(float as i64) } else { Self::Float(float) }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Int(int) => serializer.serialize_i64(*int),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed { depth: 0, budget: &Cell::new(limits::DOCUMENT_NODES), trouble: &Cell::new(None) }.deserialize(deserializer)
    }
}

/// Why a document was refused, kept apart from the deserializer's own message.
#[derive(Clone, Copy)]
enum Trouble {
    Depth,
    Duplicate,
    Nodes,
    Text,
}

impl Trouble {
    fn error(self) -> Error {
        match self {
            Self::Depth => Error::too_large("depth", limits::DOCUMENT_DEPTH as u64),
            Self::Duplicate => Error::new(Code::DuplicateKey, "body").message("a key stands twice in one map"),
            Self::Nodes => Error::too_large("values", limits::DOCUMENT_NODES as u64),
            Self::Text => Error::too_large("string", limits::DOCUMENT_STRING_BYTES as u64),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    budget: &'a Cell<usize>,
    trouble: &'a Cell<Option<Trouble>>,
}

impl Seed<'_> {
    fn fail<E: serde::de::Error>(self, trouble: Trouble) -> E {
        self.trouble.set(Some(trouble));
        E::custom(trouble.error())
    }

    fn spend<E: serde::de::Error>(self) -> Result<(), E> {
        match self.budget.get().checked_sub(1) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => Err(self.fail(Trouble::Nodes)),
        }
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= limits::DOCUMENT_DEPTH {
            return Err(self.fail(Trouble::Depth));
        }
        Ok(Self { depth: self.depth.saturating_add(1), ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(i64::try_from(int).map_or(Value::Float(int as f64), Value::Int))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        if text.len() > limits::DOCUMENT_STRING_BYTES {
            return Err(self.fail(Trouble::Text));
        }
        Ok(Value::Text(String::from(text)))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(seed)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut seen = alloc::collections::BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key.len() > limits::DOCUMENT_STRING_BYTES {
                return Err(self.fail(Trouble::Text));
            }
            // A short map is scanned; a long one pays for a set, so that 10^5 keys stay linear.
            let twice = if pairs.len() < 16 {
                pairs.iter().any(|(name, _)| *name == key)
            } else {
                if seen.is_empty() {
                    seen.extend(pairs.iter().map(|(name, _)| name.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                return Err(self.fail(Trouble::Duplicate));
            }
            let value = map.next_value_seed(seed)?;
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}

/// Reads the fields of one map of a document, each typed, none unknown.
///
/// Null counts as absent. Every error carries the path of the field.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    pairs: &'a [(String, Value)],
    path: &'a str,
}

impl<'a> Fields<'a> {
    /// `path` is where the map stands in the whole document, empty at the top.
    pub(crate) fn new(value: &'a Value, path: &'a str, known: &[&str]) -> Result<Self, Error> {
        let Value::Map(pairs) = value else {
            return Err(Error::new(Code::InvalidArgument, path).detail(alloc::format!("expected a map, found {}", value.type_name())));
        };
        let fields = Self { pairs, path };
        match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(fields.error(Code::UnknownField, key).detail(alloc::format!("known fields are {}", known.join(", ")))),
            None => Ok(fields),
        }
    }

    /// An error about one field, with its full path.
    pub(crate) fn error(&self, code: Code, name: &str) -> Error {
        let error = Error::new(code, name);
        if self.path.is_empty() { error } else { error.within(self.path) }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| !matches!(value, Value::Null))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<&'a str, Error> {
        self.text(name)?.ok_or_else(|| self.error(Code::MissingField, name))
    }

    pub(crate) fn u64(&self, name: &str) -> Result<Option<u64>, Error> {
        self.typed(name, "a whole number from 0 to 2^53 - 1", Value::as_u64)
    }

    pub(crate) fn f64(&self, name: &str) -> Result<Option<f64>, Error> {
        self.typed(name, "a number", Value::as_f64)
    }

    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        self.typed(name, "a list", Value::as_list)
    }

    fn typed<T>(&self, name: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(typed) => Ok(Some(typed)),
            None => Err(self.error(Code::InvalidArgument, name).detail(alloc::format!("expected {expected}, found {}", value.type_name()))),
        }
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn json_round_trips_in_order() {
        let text = br#"{"b":[1,-2,0.5,null,true],"a":{"__proto__":"x"},"c":"\u00e9"}"#;
        let value = Value::from_json(text).unwrap();
        assert_eq!(Value::from_json(&value.to_json()).unwrap(), value);
        assert_eq!(value.get("a").unwrap().get("__proto__").unwrap().as_str(), Some("x"));
        assert_eq!(value.as_map().unwrap()[0].0, "b");
    }

    #[test]
    fn hostile_json_is_a_typed_error() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        let many = format!("[{}1]", "1,".repeat(1_000_000));
        let long_keys = format!("{{{}}}", (0..100).map(|i| format!("\"k{}\":1", i % 99)).collect::<Vec<_>>().join(","));
        for (text, code, field) in [
            ("{\"a\":1,\"\\u0061\":2}", Code::DuplicateKey, "body"),
            (&long_keys, Code::DuplicateKey, "body"),
            ("", Code::Malformed, "body"),
            ("1 2", Code::Malformed, "body"),
            ("[1e400]", Code::Malformed, "body"),
            ("\u{feff}{}", Code::Malformed, "body"),
            (&deep(65), Code::LimitExceeded, "depth"),
            (&deep(100_000), Code::LimitExceeded, "depth"),
            (&many, Code::LimitExceeded, "values"),
        ] {
            let error = Value::from_json(text.as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.field()), (code, field), "{error}");
        }
        assert!(Value::from_json(deep(64).as_bytes()).is_ok());
    }

    #[test]
    fn fields_name_what_is_wrong() {
        let value = Value::from_json(br#"{"wieght":1,"port":"x"}"#).unwrap();
        let error = Fields::new(&value, "endpoints[0]", &["port", "weight"]).err().unwrap();
        assert_eq!((error.code(), error.field()), (Code::UnknownField, "endpoints[0].wieght"));
        let fields = Fields::new(&value, "", &["port", "wieght"]).ok().unwrap();
        assert_eq!(fields.u64("port").unwrap_err().field(), "port");
        assert_eq!(fields.u64("absent").unwrap(), None);
    }
}
