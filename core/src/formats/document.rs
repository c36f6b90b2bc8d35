//! A payload as the other systems write it, in JSON, YAML or XML: read once into a flat list of what stands there, and asked tolerantly.
//!
//! The list borrows the text, and its room is taken once, by a count of what could stand there. So a hostile document costs
//! no more than 12 bytes of heap for one of its own, and a listing of 10 000 instances costs no allocation for each name.
//! The manners are those of every format: null, absent and empty are one; a number may be a string and the other way round; one thing may
//! stand where a list of things is meant. A key that stands twice in one map, more than 64 levels, a string of more than 64 KiB and more than a
//! million values are errors, wherever they stand.

#![allow(dead_code, reason = "which questions are asked depends on the formats of the build")]

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::error::{Code, Error};
use crate::limits;
use crate::value::Value;

/// One thing that stands in the text. Lists and maps are followed by what is in them, up to `end`; a map by keys and values in turn.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A text with escapes, by its place in `unescaped`.
    Unescaped(u32, u32),
    List(u32),
    Map(u32),
}

/// A document.
pub(crate) struct Document<'a> {
    items: Vec<Item<'a>>,
    unescaped: String,
    root: usize,
}

impl<'a> Document<'a> {
    /// A document without anything in it yet, with room for so many things, of a payload of so many bytes.
    pub(crate) fn with_room(marks: usize, bytes: usize) -> Self {
        // No two things are less than two bytes apart, save brackets.
        let room = marks.saturating_add(16).min((bytes / 2).saturating_add(limits::DOCUMENT_DEPTH)).min(limits::DOCUMENT_NODES);
        Self { items: Vec::with_capacity(room), unescaped: String::new(), root: 0 }
    }

    /// Puts a thing at the end.
    pub(crate) fn push(&mut self, item: Item<'a>) -> Result<(), Error> {
        if self.items.len() >= limits::DOCUMENT_NODES {
            return Err(Error::too_large("values", limits::DOCUMENT_NODES as u64));
        }
        self.items.push(item);
        Ok(())
    }

    /// Puts a text of the payload at the end.
    pub(crate) fn push_text(&mut self, text: &'a str) -> Result<(), Error> {
        check(text)?;
        self.push(Item::Text(text))
    }

    /// Puts a text at the end that does not stand in the payload as it is.
    pub(crate) fn push_unescaped(&mut self, text: &str) -> Result<(), Error> {
        check(text)?;
        // A payload is at most 8 MiB.
        let start = self.unescaped.len() as u32;
        self.unescaped.push_str(text);
        let end = self.unescaped.len() as u32;
        self.push(Item::Unescaped(start, end))
    }

    /// Makes what stands at a place the root.
    pub(crate) fn root_is(&mut self, at: usize) {
        self.root = at;
    }

    /// The place of a list or map that begins here, within so many others.
    pub(crate) fn open(&mut self, depth: usize) -> Result<usize, Error> {
        if depth >= limits::DOCUMENT_DEPTH {
            return Err(Error::too_large("depth", limits::DOCUMENT_DEPTH as u64));
        }
        let at = self.items.len();
        self.push(Item::Null)?;
        Ok(at)
    }

    /// Ends the list that began at a place.
    pub(crate) fn close_list(&mut self, at: usize) {
        self.close(at, Item::List);
    }

    /// Ends the map that began at a place.
    ///
    /// # Errors
    /// [`Code::DuplicateKey`].
    pub(crate) fn close_map(&mut self, at: usize) -> Result<(), Error> {
        if self.has_twin(at) {
            return Err(Error::new(Code::DuplicateKey, "body").message("a key stands twice in one map"));
        }
        self.close(at, Item::Map);
        Ok(())
    }

    fn close(&mut self, at: usize, kind: fn(u32) -> Item<'a>) {
        // There are at most a million.
        let end = self.items.len() as u32;
        if let Some(item) = self.items.get_mut(at) {
            *item = kind(end);
        }
    }

    /// What the document is.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { document: self, at: self.root }
    }

    fn item(&self, at: usize) -> Item<'_> {
        self.items.get(at).copied().unwrap_or(Item::Null)
    }

    fn text(&self, at: usize) -> Option<&str> {
        match self.item(at) {
            Item::Text(text) => Some(text),
            Item::Unescaped(start, end) => self.unescaped.get(start as usize..end as usize),
            _ => None,
        }
    }

    /// The place behind all that belongs to the thing at a place.
    fn behind(&self, at: usize) -> usize {
        match self.item(at) {
            Item::List(end) | Item::Map(end) => end as usize,
            _ => at.saturating_add(1),
        }
    }

    fn has_twin(&self, map: usize) -> bool {
        let keys = || Keys { document: self, at: map.saturating_add(1), end: self.items.len() };
        if keys().count() < 16 {
            return keys().enumerate().any(|(count, key)| keys().take(count).any(|other| other == key));
        }
        let mut sorted: Vec<&str> = Vec::with_capacity(keys().count());
        sorted.extend(keys());
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

struct Keys<'d> {
    document: &'d Document<'d>,
    at: usize,
    end: usize,
}

impl<'d> Iterator for Keys<'d> {
    type Item = &'d str;

    fn next(&mut self) -> Option<&'d str> {
        if self.at >= self.end {
            return None;
        }
        let key = self.document.text(self.at);
        self.at = self.document.behind(self.at.saturating_add(1));
        key
    }
}

/// One thing in a document.
#[derive(Clone, Copy)]
pub(crate) struct Node<'d> {
    document: &'d Document<'d>,
    at: usize,
}

/// Structure only: what is in a document may be a secret.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

impl<'d> Node<'d> {
    fn item(self) -> Item<'d> {
        self.document.item(self.at)
    }

    /// What it is, in a word an error can use.
    pub(crate) fn type_name(self) -> &'static str {
        match self.item() {
            Item::Null => "null",
            Item::Bool(_) => "a boolean",
            Item::Int(_) | Item::Float(_) => "a number",
            Item::Text(_) | Item::Unescaped(..) => "a string",
            Item::List(_) => "a list",
            Item::Map(_) => "a map",
        }
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.item(), Item::Null)
    }

    pub(crate) fn is_map(self) -> bool {
        matches!(self.item(), Item::Map(_))
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.item(), Item::List(_))
    }

    /// What stands at a key, when this is a map that has it and it is not null.
    pub(crate) fn get(self, key: &str) -> Option<Node<'d>> {
        self.pairs().find(|(name, _)| *name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// What stands at the first of some keys that is there: `socketAddress` or `socket_address`.
    pub(crate) fn any(self, keys: &[&str]) -> Option<Node<'d>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// What stands at the end of a path of keys.
    pub(crate) fn path(self, keys: &[&str]) -> Option<Node<'d>> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The pairs of a map in their order; none of anything else.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (&'d str, Node<'d>)> {
        let Node { document, at } = self;
        let end = if self.is_map() { document.behind(at) } else { 0 };
        let mut at = at.saturating_add(1);
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let value = at.saturating_add(1);
            let key = document.text(at)?;
            at = document.behind(value);
            Some((key, Node { document, at: value }))
        })
    }

    /// What is in a list; of null nothing, and anything else is a list of itself.
    pub(crate) fn items(self) -> impl Iterator<Item = Node<'d>> {
        let Node { document, at } = self;
        let (mut at, end) = match self.item() {
            Item::Null => (0, 0),
            Item::List(end) => (at.saturating_add(1), end as usize),
            _ => (at, document.behind(at)),
        };
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let node = Node { document, at };
            at = document.behind(at);
            Some(node)
        })
    }

    /// What is in the list at a key.
    pub(crate) fn list(self, key: &str) -> impl Iterator<Item = Node<'d>> {
        self.get(key).into_iter().flat_map(Node::items)
    }

    /// The text, when this is a string.
    pub(crate) fn as_str(self) -> Option<&'d str> {
        self.document.text(self.at)
    }

    /// The text of a string, a whole number or a truth value.
    pub(crate) fn scalar(self) -> Option<Cow<'d, str>> {
        match self.item() {
            Item::Int(int) => Some(Cow::Owned(int.to_string())),
            Item::Bool(truth) => Some(Cow::Borrowed(if truth { "true" } else { "false" })),
            _ => self.as_str().map(Cow::Borrowed),
        }
    }

    /// The text at a key, also of a whole number or a truth value; empty for anything else.
    pub(crate) fn text(self, key: &str) -> Cow<'d, str> {
        self.get(key).and_then(Node::scalar).unwrap_or_default()
    }

    /// The number, also when text spells it; NaN when it is something else; none when it is null or empty text.
    pub(crate) fn number(self) -> Option<f64> {
        match self.item() {
            Item::Null => None,
            Item::Int(int) => Some(int as f64),
            Item::Float(float) => Some(float),
            _ => match self.as_str() {
                Some("") => None,
                Some(text) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Some(text.parse().unwrap_or(f64::NAN)),
                _ => Some(f64::NAN),
            },
        }
    }

    /// The whole number from 0 to 2^64 - 1, also when text spells it; none for anything else.
    pub(crate) fn whole(self) -> Option<u64> {
        match self.item() {
            Item::Int(int) => u64::try_from(int).ok(),
            Item::Float(float) if (0.0..18_446_744_073_709_551_616.0).contains(&float) && (float as u64) as f64 == float => {
                Some(float as u64)
            }
            _ => self.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok()),
        }
    }

    /// The truth value, also when text spells it.
    pub(crate) fn truth(self) -> Option<bool> {
        match self.item() {
            Item::Bool(truth) => Some(truth),
            _ => self.as_str().and_then(|text| match text {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            }),
        }
    }

    /// The port: none when it is absent or 0.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`] about `field` for anything that is no whole number from 0 to 65 535.
    pub(crate) fn port(self, field: &str) -> Result<Option<u16>, Error> {
        let Some(number) = self.number() else { return Ok(None) };
        let port = number as u16;
        if f64::from(port) != number {
            return Err(Error::new(Code::InvalidAddress, field).limit(65_535).message("a port is 0 to 65535"));
        }
        Ok(Some(port).filter(|port| *port != 0))
    }

    /// The same as a document of ours.
    pub(crate) fn to_value(self) -> Value {
        match self.item() {
            Item::Null => Value::Null,
            Item::Bool(truth) => Value::Bool(truth),
            Item::Int(int) => Value::Int(int),
            Item::Float(float) => Value::Float(float),
            Item::Text(_) | Item::Unescaped(..) => self.as_str().unwrap_or_default().into(),
            Item::List(_) => Value::List(self.items().map(Node::to_value).collect()),
            Item::Map(_) => Value::map(self.pairs().map(|(key, node)| (key, node.to_value()))),
        }
    }
}

fn check(text: &str) -> Result<(), Error> {
    if text.len() > limits::DOCUMENT_STRING_BYTES {
        return Err(Error::too_large("string", limits::DOCUMENT_STRING_BYTES as u64));
    }
    Ok(())
}

/// The text of a payload.
///
/// # Errors
/// [`Code::LimitExceeded`] for one of more than 8 MiB, [`Code::Malformed`] for one that is not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > limits::PAYLOAD_BYTES {
        return Err(Error::too_large("body", limits::PAYLOAD_BYTES as u64));
    }
    core::str::from_utf8(bytes).map_err(|_| Error::new(Code::Malformed, "body").message("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_answered_tolerantly() {
        let text = r#"{"n":null,"i":7,"s":"7","f":1.5,"t":"true","b":false,"l":[1,null],"m":{"k":"v"},"e":"","x":"0x7"}"#;
        let json = Document::json(text.as_bytes()).unwrap();
        let root = json.root();
        let at = |key| root.get(key);
        assert!(at("n").is_none() && at("absent").is_none());
        assert_eq!((at("i").unwrap().whole(), at("s").unwrap().whole(), at("f").unwrap().whole()), (Some(7), Some(7), None));
        assert_eq!((at("s").unwrap().number(), at("f").unwrap().number(), at("e").unwrap().number()), (Some(7.0), Some(1.5), None));
        assert!(at("x").unwrap().number().unwrap().is_nan() && at("m").unwrap().number().unwrap().is_nan());
        assert_eq!((at("t").unwrap().truth(), at("b").unwrap().truth(), at("i").unwrap().truth()), (Some(true), Some(false), None));
        assert_eq!((root.text("i"), root.text("b"), root.text("l")), ("7".into(), "false".into(), "".into()));
        assert_eq!((root.list("l").count(), root.list("m").count(), root.list("n").count(), root.list("i").count()), (2, 1, 0, 1));
        assert_eq!(root.path(&["m", "k"]).and_then(Node::as_str), Some("v"));
        assert_eq!(root.any(&["M", "m"]).map(Node::type_name), Some("a map"));
        assert_eq!((at("s").unwrap().port("p"), at("e").unwrap().port("p")), (Ok(Some(7)), Ok(None)));
        assert_eq!(at("x").unwrap().port("p").unwrap_err().field(), "p");
    }
}
