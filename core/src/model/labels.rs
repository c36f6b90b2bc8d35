//! Tags and metadata: what a provider says of itself in its own words.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::names::graphic;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Pairs, Value};

/// Key-value pairs sorted by key, at most 64, keys of `[A-Za-z0-9_.-/]` up to 128 bytes, values up to 512
/// bytes without control characters (Consul's limits).
///
/// Values may be secrets that somebody put there: they never appear in errors, `Debug` or logs.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// Takes pairs in any order.
    ///
    /// # Errors
    /// [`Code::DuplicateKey`], [`Code::InvalidMetadata`], [`Code::LimitExceeded`]; the field names the key.
    pub fn new(pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Result<Self, Error> {
        let mut sorted: Vec<(String, String)> = Vec::new();
        for (key, value) in pairs {
            if sorted.len() >= limits::METADATA_PAIRS {
                return Err(Error::too_large("metadata", limits::METADATA_PAIRS as u64));
            }
            let (key, value) = (key.into(), value.into());
            check_key(&key)?;
            check_value(&key, &value)?;
            match sorted.binary_search_by(|(name, _)| name.as_str().cmp(&key)) {
                Ok(_) => return Err(Error::new(Code::DuplicateKey, alloc::format!("metadata.{key}"))),
                Err(at) => sorted.insert(at, (key, value)),
            }
        }
        Ok(Self(sorted))
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(name, _)| name.as_str().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a map of strings.
    ///
    /// # Errors
    /// As [`Metadata::new`], and [`Code::InvalidArgument`] for a value that is no string.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let Value::Map(pairs) = value else {
            return Err(Error::new(Code::InvalidArgument, "metadata").detail(alloc::format!("expected a map, found {}", value.type_name())));
        };
        let mut texts = Vec::new();
        for (key, value) in pairs.iter().filter(|(_, value)| !matches!(value, Value::Null)) {
            let wrong = || {
                Error::new(Code::InvalidArgument, alloc::format!("metadata.{key}"))
                    .detail(alloc::format!("expected a string, found {}", value.type_name()))
            };
            texts.push((key.as_str(), value.as_str().ok_or_else(wrong)?));
        }
        Self::new(texts)
    }

    /// Writes a map of strings.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(super) fn write(&self, out: &mut impl Pairs) {
        self.iter().for_each(|(key, value)| out.text(key, value));
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > limits::METADATA_KEY_BYTES {
        return Err(Error::too_large("metadata key", limits::METADATA_KEY_BYTES as u64));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    if !key.is_empty() && key.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidMetadata, alloc::format!("metadata.{key}")).message("a key is letters, digits, '_', '.', '-' and '/'"))
}

fn check_value(key: &str, value: &str) -> Result<(), Error> {
    if value.len() > limits::METADATA_VALUE_BYTES {
        return Err(Error::too_large(alloc::format!("metadata.{key}"), limits::METADATA_VALUE_BYTES as u64));
    }
    if !value.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidMetadata, alloc::format!("metadata.{key}")).message("a value has no control characters"))
}

/// Words sorted and unique, at most 64 of at most 128 bytes each, printable ASCII without spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Takes tags in any order; a repeated one counts once.
    ///
    /// # Errors
    /// [`Code::InvalidName`], [`Code::LimitExceeded`], [`Code::MissingField`] for an empty one.
    pub fn new(tags: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        let mut sorted: Vec<String> = Vec::new();
        for tag in tags {
            let tag = tag.into();
            graphic("tags", &tag, limits::TAG_BYTES)?;
            if let Err(at) = sorted.binary_search(&tag) {
                if sorted.len() >= limits::TAGS {
                    return Err(Error::too_large("tags", limits::TAGS as u64));
                }
                sorted.insert(at, tag);
            }
        }
        Ok(Self(sorted))
    }

    /// Whether `tag` is among them.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.binary_search_by(|own| own.as_str().cmp(tag)).is_ok()
    }

    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a list of strings.
    ///
    /// # Errors
    /// As [`Tags::new`], and [`Code::InvalidArgument`] for an item that is no string.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let wrong = |found: &Value| {
            Error::new(Code::InvalidArgument, "tags").detail(alloc::format!("expected a list of strings, found {}", found.type_name()))
        };
        let items = value.as_list().ok_or_else(|| wrong(value))?;
        let texts = items.iter().map(|item| item.as_str().ok_or_else(|| wrong(item))).collect::<Result<Vec<_>, _>>()?;
        Self::new(texts)
    }

    /// Writes a list of strings.
    pub fn to_value(&self) -> Value {
        Value::List(self.iter().map(Value::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    #[test]
    fn metadata_is_sorted_and_secret() {
        let metadata = Metadata::new([("zeta", "hunter2"), ("__proto__", "x")]).unwrap();
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("__proto__", "x"), ("zeta", "hunter2")]);
        assert_eq!(format!("{metadata:?}"), r#"{"__proto__", "zeta"}"#);
        assert_eq!(metadata.get("zeta"), Some("hunter2"));
        assert_eq!(Metadata::new([("a", "1"), ("a", "2")]).unwrap_err().code(), Code::DuplicateKey);
        let error = Metadata::new([("password", "hunter2\n")]).unwrap_err();
        assert_eq!((error.code(), error.field()), (Code::InvalidMetadata, "metadata.password"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn limits_of_metadata_and_tags() {
        for delta in [-1i64, 0, 1] {
            let good = delta <= 0;
            let size = |limit: usize| (limit as i64 + delta) as usize;
            let pairs = (0..size(limits::METADATA_PAIRS)).map(|i| (format!("k{i}"), ""));
            assert_eq!(Metadata::new(pairs).is_ok(), good);
            assert_eq!(Metadata::new([("k".repeat(size(limits::METADATA_KEY_BYTES)), "")]).is_ok(), good);
            assert_eq!(Metadata::new([("k", "v".repeat(size(limits::METADATA_VALUE_BYTES)))]).is_ok(), good);
            assert_eq!(Tags::new((0..size(limits::TAGS)).map(|i| format!("t{i}"))).is_ok(), good);
            assert_eq!(Tags::new(["t".repeat(size(limits::TAG_BYTES))]).is_ok(), good);
        }
        assert_eq!(Tags::new(["b", "a", "b"]).unwrap().iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
