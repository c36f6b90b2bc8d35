//! JSON into a [`Document`].

use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::document::{Document, Item, text};
use crate::error::{Code, Error};

impl<'a> Document<'a> {
    /// Reads one JSON document. No bytes at all are none.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::DuplicateKey`], [`Code::LimitExceeded`].
    pub(crate) fn json(bytes: &'a [u8]) -> Result<Self, Error> {
        let text = text(bytes)?;
        // Each thing but the first stands behind one of these.
        let marks = bytes.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
        let mut document = Self::with_room(marks, bytes.len());
        let trouble = Cell::new(None);
        let mut json = serde_json::Deserializer::from_str(text);
        let seed = Seed { document: &mut document, depth: 0, trouble: &trouble };
        seed.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| {
            let here = || alloc::format!("not JSON at line {} column {}", error.line(), error.column());
            trouble.take().unwrap_or_else(|| Error::new(Code::Malformed, "body").detail(here()))
        })?;
        Ok(document)
    }
}

/// Writes what is read at the end of a document.
struct Seed<'s, 'a> {
    document: &'s mut Document<'a>,
    depth: usize,
    trouble: &'s Cell<Option<Error>>,
}

impl<'a> Seed<'_, 'a> {
    /// An error of ours on its way through an error of serde's.
    fn told<T, E: serde::de::Error>(&self, done: Result<T, Error>) -> Result<T, E> {
        done.map_err(|error| {
            self.trouble.set(Some(error));
            E::custom("refused")
        })
    }

    fn push<E: serde::de::Error>(self, item: Item<'a>) -> Result<(), E> {
        let done = self.document.push(item);
        self.told(done)
    }

    fn inner(&mut self) -> Seed<'_, 'a> {
        Seed { document: self.document, depth: self.depth.saturating_add(1), trouble: self.trouble }
    }
}

impl<'a> DeserializeSeed<'a> for Seed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Seed<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        self.push(Item::Bool(truth))
    }

    fn visit_i64<E: serde::de::Error>(self, int: i64) -> Result<(), E> {
        self.push(Item::Int(int))
    }

    fn visit_u64<E: serde::de::Error>(self, int: u64) -> Result<(), E> {
        self.push(i64::try_from(int).map_or(Item::Float(int as f64), Item::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, float: f64) -> Result<(), E> {
        self.push(Item::Float(float))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<(), E> {
        let done = self.document.push_text(text);
        self.told(done)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let done = self.document.push_unescaped(text);
        self.told(done)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push(Item::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        let at = self.document.open(self.depth);
        let at = self.told(at)?;
        while list.next_element_seed(self.inner())?.is_some() {}
        self.document.close_list(at);
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let at = self.document.open(self.depth);
        let at = self.told(at)?;
        while map.next_key_seed(self.inner())?.is_some() {
            map.next_value_seed(self.inner())?;
        }
        let done = self.document.close_map(at);
        self.told(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::value::Value;
    use std::format;
    use std::vec::Vec;

    fn value(text: &str) -> Result<Value, Error> {
        Document::json(text.as_bytes()).map(|json| json.root().to_value())
    }

    #[test]
    fn it_reads_what_the_documents_of_the_core_read() {
        let long = format!("[{}]", (0..40).map(|at| format!(r#"{{"k{at}":[{at},{{}}]}}"#)).collect::<Vec<_>>().join(","));
        let wide = format!("{{{}}}", (0..40).map(|at| format!(r#""k{at}":{at}"#)).collect::<Vec<_>>().join(","));
        for text in
            ["null", "[]", "{}", "-0.5", r#"{"a\n":"b\"c","d":[1,true,[null,"\u00e9x"],{"e":{}}]}"#, "18446744073709551615", &long, &wide]
        {
            assert_eq!(value(text), Value::from_json(text.as_bytes()), "{text}");
        }
        for text in
            ["", "[", "nul", "[1,]", "\u{feff}[]", "[] []", r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"\u0061":2}"#, r#"["\ud800"]"#, "1e400"]
        {
            assert_eq!(
                value(text).map_err(|error| error.code()),
                Value::from_json(text.as_bytes()).map_err(|error| error.code()),
                "{text}"
            );
        }
        for depth in [limits::DOCUMENT_DEPTH, limits::DOCUMENT_DEPTH + 1, 100_000] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(value(&text).is_ok(), depth == limits::DOCUMENT_DEPTH);
        }
        assert_eq!(value(&wide.replace("\"k7\"", "\"k39\"")).unwrap_err().code(), Code::DuplicateKey);
        assert_eq!(Document::json(b"\"\xff\"").map(|_| ()).unwrap_err().code(), Code::Malformed);
    }
}
