//! XML into a [`Document`], in the shape that XStream gives the same things in JSON, as Eureka's servers write both.
//!
//! An element with nothing in it but text is that text; one with nothing at all is null. Any other is a map: of its attributes with `@` before
//! their names, of its own text at `$`, and of its elements by name, those of one name as a list. The document is a map of the root.
//! Document types and namespaces are refused: nobody writes them here, and with them a payload is more than it has in it.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use roxmltree::{Node, ParsingOptions, StringStorage};

use super::document::{Document, Item, text};
use crate::error::{Code, Error};
use crate::value::Value;

/// The most `=` between one `<` and the next: attributes of one element are compared each with each.
const ATTRIBUTES: usize = 256;
/// The most bytes of the tree for one `<` or `=`.
const NODE: usize = 64;

impl<'a> Document<'a> {
    /// Reads one XML document.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::LimitExceeded`].
    pub(crate) fn xml(bytes: &'a [u8]) -> Result<Self, Error> {
        let text = text(bytes)?;
        let wrong = |what| Error::new(Code::Malformed, "body").message(what);
        if text.contains("xmlns") {
            return Err(wrong("namespaces are not taken"));
        }
        // The tree takes its room by these two before it reads: what is nothing but marks would cost much more than it is.
        let marks = bytes.iter().filter(|byte| matches!(byte, b'<' | b'=')).count();
        if marks.saturating_mul(NODE) > bytes.len().saturating_mul(12).saturating_add(16_384) {
            return Err(Error::new(Code::LimitExceeded, "body").limit(12).message("more marks than text"));
        }
        let crowded = |piece: &[u8]| piece.iter().filter(|byte| **byte == b'=').count() > ATTRIBUTES;
        if bytes.split(|byte| *byte == b'<').any(crowded) {
            return Err(Error::too_large("attributes", ATTRIBUTES as u64));
        }
        let roomy = bytes.len().saturating_mul(14).div_euclid(3 * NODE);
        let nodes_limit = u32::try_from(marks.max(roomy).saturating_add(128)).unwrap_or(u32::MAX);
        let tree = roxmltree::Document::parse_with_options(text, ParsingOptions { nodes_limit, ..ParsingOptions::default() });
        let tree = tree.map_err(|error| match error {
            roxmltree::Error::NodesLimitReached => Error::too_large("elements", u64::from(nodes_limit)),
            _ => wrong("not XML"),
        })?;
        let mut document = Self::with_room(marks, bytes.len());
        let at = document.open(0)?;
        document.push_text(tree.root_element().tag_name().name())?;
        put(&mut document, tree.root_element(), 1)?;
        document.close_map(at)?;
        Ok(document)
    }
}

fn put<'a>(document: &mut Document<'a>, element: Node<'_, 'a>, depth: usize) -> Result<(), Error> {
    let mut inner: Vec<Node<'_, 'a>> = element.children().filter(Node::is_element).collect();
    let own = element.children().filter(Node::is_text).filter_map(|node| node.text_storage()).find(|text| !text.trim_ascii().is_empty());
    if inner.is_empty() && element.attributes().len() == 0 {
        return match own {
            Some(own) => put_text(document, own, false),
            None => document.push(Item::Null),
        };
    }
    let at = document.open(depth)?;
    for attribute in element.attributes() {
        document.push_unescaped(&alloc::format!("@{}", attribute.name()))?;
        put_text(document, attribute.value_storage(), false)?;
    }
    if let Some(own) = own {
        document.push_text("$")?;
        put_text(document, own, true)?;
    }
    inner.sort_by_key(|node| node.tag_name().name());
    for same in inner.chunk_by(|one, other| one.tag_name().name() == other.tag_name().name()) {
        let Some(first) = same.first() else { continue };
        document.push_text(first.tag_name().name())?;
        match same {
            [one] => put(document, *one, depth.saturating_add(1))?,
            several => {
                let list = document.open(depth.saturating_add(1))?;
                for one in several {
                    put(document, *one, depth.saturating_add(2))?;
                }
                document.close_list(list);
            }
        }
    }
    document.close_map(at)
}

fn put_text<'a>(document: &mut Document<'a>, text: &StringStorage<'a>, trim: bool) -> Result<(), Error> {
    let trimmed = |text: &'a str| if trim { text.trim_ascii() } else { text };
    match text {
        StringStorage::Borrowed(text) => document.push_text(trimmed(text)),
        StringStorage::Owned(text) => document.push_unescaped(if trim { text.trim_ascii() } else { text }),
    }
}

/// Writes a map of one root in the same shape. What XML has no way to say is left out: keys that are no names of it, control characters.
pub(crate) fn write(document: &Value) -> Vec<u8> {
    let mut out = String::new();
    for (name, value) in document.as_map().unwrap_or_default() {
        element(&mut out, name, value);
    }
    out.into_bytes()
}

fn element(out: &mut String, name: &str, value: &Value) {
    if !is_name(name) {
        return;
    }
    if let Some(list) = value.as_list() {
        return list.iter().for_each(|one| element(out, name, one));
    }
    out.push('<');
    out.push_str(name);
    let pairs = value.as_map().unwrap_or_default();
    for (key, attribute) in pairs.iter().filter_map(|(key, value)| Some((key.strip_prefix('@')?, value))).filter(|(key, _)| is_name(key)) {
        out.push(' ');
        out.push_str(key);
        out.push_str("=\"");
        content(out, attribute);
        out.push('"');
    }
    out.push('>');
    for (key, inner) in pairs {
        match key.as_str() {
            "$" => content(out, inner),
            key => element(out, key, inner),
        }
    }
    content(out, value);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

fn content(out: &mut String, value: &Value) {
    let text = match value {
        Value::Text(text) => text.as_str(),
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Int(int) => return out.push_str(&int.to_string()),
        Value::Float(float) => return out.push_str(&float.to_string()),
        _ => return,
    };
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&alloc::format!("&#{};", u32::from(letter))),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_ascii_control() => {}
            letter => out.push(letter),
        }
    }
}

/// Whether this is a name of XML in ASCII without a colon.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use std::format;

    fn value(text: &str) -> Result<Value, Error> {
        Document::xml(text.as_bytes()).map(|document| document.root().to_value())
    }

    #[test]
    fn it_has_the_shape_of_the_same_in_json() {
        let text =
            "<?xml version=\"1.0\"?><!-- hello --><apps>\n  <n>1</n><app><id>a &amp; b</id><port enabled=\"true\"> 80 </port><e/></app>
            <hash><![CDATA[UP_2_]]></hash><app><id>c</id></app>\n</apps>";
        let json = r#"{"apps":{"app":[{"e":null,"id":"a & b","port":{"@enabled":"true","$":"80"}},{"id":"c"}],"hash":"UP_2_","n":"1"}}"#;
        assert_eq!(String::from_utf8(value(text).unwrap().to_json()).unwrap(), json);
        assert_eq!(value("<a/>"), Value::from_json(br#"{"a":null}"#));
        let again = write(&Value::from_json(json.as_bytes()).unwrap());
        assert_eq!(Document::xml(&again).unwrap().root().to_value(), Value::from_json(json.as_bytes()).unwrap());
        let odd = Value::map([("a", Value::map([("b c", "x".into()), ("d", " <\"&\n\u{1}\u{e9}> ".into()), ("e><f", "x".into())]))]);
        assert_eq!(write(&odd), "<a><d> &lt;&quot;&amp;&#10;\u{e9}&gt; </d></a>".as_bytes());
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let laughs = "<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        for text in ["", "a", "<a>", "<a></b>", "<a/><b/>", "<a x='1' x='2'/>", "<a>&b;</a>", laughs, "<a xmlns='b'/>"] {
            assert!(value(text).is_err(), "{text}");
        }
        assert_eq!(value(&"<a/>".repeat(100_000)).unwrap_err().code(), Code::LimitExceeded);
        assert_eq!(value(&"<".repeat(100_000)).unwrap_err().code(), Code::LimitExceeded);
        let many = |count| format!("<a {}/>", (0..count).map(|at| format!("a{at}='x' ")).collect::<String>());
        assert_eq!((value(&many(256)).is_ok(), value(&many(257)).unwrap_err().field()), (true, "attributes"));
        for depth in [limits::DOCUMENT_DEPTH, limits::DOCUMENT_DEPTH + 1, 2_000] {
            let text = format!("{}text{}", "<aaaaaaaaaa>".repeat(depth), "</aaaaaaaaaa>".repeat(depth));
            assert_eq!(value(&text).is_ok(), depth <= limits::DOCUMENT_DEPTH, "{depth}");
        }
    }
}
