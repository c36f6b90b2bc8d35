//! YAML into a [`Document`], as `kubectl -o yaml` and the files of Envoy and Prometheus are written.
//!
//! Plain scalars are what the core schema of YAML 1.2 makes of them: null, truth values, whole numbers, numbers with a point; all else is
//! text. Anchors and aliases are refused, so that nothing is more than the payload has in it. Tags mean nothing.
//!
//! YAML does not say where it ends: what was cut between two lines is a shorter document, so the transport must know whether it has it whole.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use granit_parser::{Event, Options, Parser, ScalarStyle};

use super::document::{Document, Item, text};
use crate::error::{Code, Error};
use crate::limits;

/// The longest key, characters, as long as a key of metadata may be: for so long the parser keeps all that might still belong to one.
const KEY: usize = limits::METADATA_KEY_BYTES;

impl<'a> Document<'a> {
    /// Reads JSON where the payload begins with a bracket, else YAML: one document, or the list of several.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::DuplicateKey`], [`Code::LimitExceeded`].
    pub(super) fn json_or_yaml(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.trim_ascii_start().first() {
            Some(b'{' | b'[') | None => Self::json(bytes),
            Some(_) => Self::yaml(bytes),
        }
    }

    fn yaml(bytes: &'a [u8]) -> Result<Self, Error> {
        let text = text(bytes)?;
        // Each thing stands behind one of these, or first in its line.
        let marks = bytes.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{' | b'-' | b'\n')).count();
        let mut document = Self::with_room(marks, bytes.len());
        // A list stands around the documents, as long as it is not known that there is but one.
        let all = document.open(0)?;
        let mut documents = 0usize;
        let mut open: Vec<(usize, bool)> = Vec::new();
        for event in Parser::new_from_str_with_options(text, options()) {
            let (event, span) = event.map_err(|error| {
                Error::new(Code::Malformed, "body").detail(alloc::format!("not YAML at line {}", error.marker().line()))
            })?;
            match event {
                Event::DocumentStart(..) => documents = documents.saturating_add(1),
                Event::SequenceStart(_, 0, _) => open.push((document.open(open.len())?, false)),
                Event::MappingStart(_, 0, _) => open.push((document.open(open.len())?, true)),
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some((at, true)) => document.close_map(at)?,
                    Some((at, false)) => document.close_list(at),
                    None => {}
                },
                Event::Scalar(text, style, 0, _) => scalar(&mut document, text, style)?,
                Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                    let here = alloc::format!("an anchor or alias at line {}, which is not taken", span.start.line());
                    return Err(Error::new(Code::Malformed, "body").detail(here));
                }
                _ => {}
            }
        }
        document.close_list(all);
        match documents {
            0 => return Err(Error::new(Code::Malformed, "body").message("no document")),
            1 => document.root_is(all.saturating_add(1)),
            _ => {}
        }
        Ok(document)
    }
}

/// The parser reads ahead of its events, so it must know itself how deep a document may be.
fn options() -> Options {
    let mut options = Options::default();
    options.simple_key_max_lookahead = KEY;
    options.flow_nesting_limit = limits::DOCUMENT_DEPTH;
    options.block_nesting_limit = limits::DOCUMENT_DEPTH;
    options
}

fn scalar<'a>(document: &mut Document<'a>, text: Cow<'a, str>, style: ScalarStyle) -> Result<(), Error> {
    if style == ScalarStyle::Plain
        && let Some(item) = plain(&text)
    {
        return document.push(item);
    }
    match text {
        Cow::Borrowed(text) => document.push_text(text),
        Cow::Owned(text) => document.push_unescaped(&text),
    }
}

/// What the core schema makes of a scalar without quotes, save text. Numbers of other bases are left as text.
fn plain(text: &str) -> Option<Item<'static>> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Item::Null),
        "true" | "True" | "TRUE" => return Some(Item::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Item::Bool(false)),
        _ => {}
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    if !numeric || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().map(Item::Int).ok().or_else(|| text.parse().ok().filter(|float: &f64| float.is_finite()).map(Item::Float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use std::format;
    use std::string::String;

    fn value(text: &str) -> Result<Value, Error> {
        Document::json_or_yaml(text.as_bytes()).map(|document| document.root().to_value())
    }

    #[test]
    fn it_reads_what_json_reads() {
        let text = "# a comment\nkind: List\nitems:\n- name: \"a\\tb\"\n  port: 8080\n  on: true\n  none: ~\n  empty:\n  hex: 0x1f\n  \
                    version: 1.2.0\n  share: 0.5\n  quoted: '80'\n  block: |\n    one\n    two\n- [1, -2, {k: v}]\n";
        let json = r#"{"kind":"List","items":[{"name":"a\tb","port":8080,"on":true,"none":null,"empty":null,"hex":"0x1f",
                    "version":"1.2.0","share":0.5,"quoted":"80","block":"one\ntwo\n"},[1,-2,{"k":"v"}]]}"#;
        assert_eq!(value(text), value(json));
    }

    #[test]
    fn documents_are_one_or_a_list() {
        assert_eq!(value("a: 1"), value(r#"{"a":1}"#));
        assert_eq!(value("---\na: 1\n---\nb: 2\n"), value(r#"[{"a":1},{"b":2}]"#));
        assert!(value("# nothing\n").is_err());
    }

    #[test]
    fn what_is_hostile_is_refused() {
        for text in ["a: &x 1\nb: *x", "a: 1\na: 2", "a: [", "a: 'x", "a: b: c"] {
            assert!(value(text).is_err(), "{text}");
        }
        for (length, taken) in [(KEY - 1, true), (KEY + 2, false)] {
            assert_eq!(value(&format!("{}: 1", "k".repeat(length))).is_ok(), taken, "{length}");
        }
        for depth in [limits::DOCUMENT_DEPTH, limits::DOCUMENT_DEPTH + 1, 10_000] {
            let text = format!("- {}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
            assert_eq!(value(&text).is_ok(), depth == limits::DOCUMENT_DEPTH, "{depth}");
            let text: String = (0..depth).map(|at| format!("{}k:\n", " ".repeat(at))).collect();
            assert_eq!(value(&text).is_ok(), depth <= limits::DOCUMENT_DEPTH, "{depth}");
        }
    }
}
