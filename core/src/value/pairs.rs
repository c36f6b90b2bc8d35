//! Documents that are written: what one has is said once, and becomes a [`Value`] or, where many are sent, JSON text at once.

use alloc::string::String;
use alloc::vec::Vec;

use super::Value;

/// A map that is being written.
pub(crate) trait Pairs {
    /// A string, a number, a truth value.
    fn put(&mut self, key: &str, value: impl Into<Value>);
    /// A string that need not be owned.
    fn text(&mut self, key: &str, text: &str);
    /// A list of strings.
    fn texts<'a>(&mut self, key: &str, items: impl Iterator<Item = &'a str>);
    /// A map.
    fn map(&mut self, key: &str, write: impl FnOnce(&mut Self));
    /// A list of maps.
    fn maps<T>(&mut self, key: &str, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T));
}

impl Pairs for Vec<(String, Value)> {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.push((key.into(), value.into()));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, text);
    }

    fn texts<'a>(&mut self, key: &str, items: impl Iterator<Item = &'a str>) {
        self.put(key, Value::List(items.map(Value::from).collect()));
    }

    fn map(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.put(key, Value::of(write));
    }

    fn maps<T>(&mut self, key: &str, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.put(key, Value::List(items.map(|item| Value::of(|own| write(own, item))).collect()));
    }
}

impl Value {
    /// The map that is written.
    pub(crate) fn of(write: impl FnOnce(&mut Vec<(String, Value)>)) -> Self {
        let mut pairs = Vec::new();
        write(&mut pairs);
        Self::Map(pairs)
    }
}

/// JSON text of a map, to the byte as [`Value::to_json`] writes the map.
#[cfg(feature = "serve")]
pub(crate) struct Json {
    bytes: Vec<u8>,
    /// Whether something stands before, so that a comma has to come.
    goes_on: bool,
}

#[cfg(feature = "serve")]
impl Json {
    /// The map that is written.
    pub(crate) fn of(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut json = Self { bytes: Vec::with_capacity(1_024), goes_on: false };
        json.braced(write);
        json.bytes
    }

    fn braced(&mut self, write: impl FnOnce(&mut Self)) {
        self.bytes.push(b'{');
        self.goes_on = false;
        write(self);
        self.bytes.push(b'}');
        self.goes_on = true;
    }

    fn listed<T>(&mut self, key: &str, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.key(key);
        self.bytes.push(b'[');
        self.goes_on = false;
        for item in items {
            if self.goes_on {
                self.bytes.push(b',');
            }
            write(self, item);
            self.goes_on = true;
        }
        self.bytes.push(b']');
        self.goes_on = true;
    }

    fn key(&mut self, key: &str) {
        if self.goes_on {
            self.bytes.push(b',');
        }
        self.string(key);
        self.bytes.push(b':');
        self.goes_on = true;
    }

    fn string(&mut self, text: &str) {
        self.bytes.push(b'"');
        let mut plain = text.as_bytes();
        // What has to be escaped is rare: runs of what has not are copied as they are.
        while let Some(at) = plain.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')) {
            let (before, rest) = plain.split_at(at);
            self.bytes.extend_from_slice(before);
            let Some((byte, rest)) = rest.split_first() else { break };
            let short = match byte {
                b'"' | b'\\' => Some(*byte),
                b'\n' => Some(b'n'),
                b'\r' => Some(b'r'),
                b'\t' => Some(b't'),
                0x08 => Some(b'b'),
                0x0c => Some(b'f'),
                _ => None,
            };
            match short {
                Some(letter) => self.bytes.extend_from_slice(&[b'\\', letter]),
                None => self.bytes.extend_from_slice(alloc::format!("\\u{byte:04x}").as_bytes()),
            }
            plain = rest;
        }
        self.bytes.extend_from_slice(plain);
        self.bytes.push(b'"');
    }

    /// A number that needs no float: its digits from the last.
    fn whole(&mut self, number: u64) {
        let mut digits = [0; 20];
        let (mut at, mut left) = (digits.len(), number);
        while let Some(place) = at.checked_sub(1)
            && let Some(digit) = digits.get_mut(place)
        {
            *digit = b'0' | (left % 10) as u8;
            (at, left) = (place, left / 10);
            if left == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(digits.get(at..).unwrap_or_default());
    }
}

#[cfg(feature = "serve")]
impl Pairs for Json {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.key(key);
        match value.into() {
            Value::Int(number) if number >= 0 => self.whole(number.unsigned_abs()),
            Value::Bool(truth) => self.bytes.extend_from_slice(if truth { b"true" } else { b"false" }),
            Value::Text(text) => self.string(&text),
            other => self.bytes.extend_from_slice(&other.to_json()),
        }
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.string(text);
    }

    fn texts<'a>(&mut self, key: &str, items: impl Iterator<Item = &'a str>) {
        self.listed(key, items, Self::string);
    }

    fn map(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        self.key(key);
        self.braced(write);
    }

    fn maps<T>(&mut self, key: &str, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.listed(key, items, |json, item| json.braced(|own| write(own, item)));
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;
    use std::vec;

    fn write(out: &mut impl Pairs) {
        out.map("empty", |_| {});
        out.texts("none", core::iter::empty());
        out.texts("texts", ["", "a\"b\\c", "\u{0}\u{1f} \u{7f}\n\r\t\u{8}\u{c}", "é\u{2028}😀</script>"].into_iter());
        out.maps("maps", 0..3, |own: &mut _, number: u64| {
            own.put("n", number);
            own.map("inner", |own| own.put("x", number > 0));
        });
        for number in [0, 9, 10, 1_234_567_890, (1 << 53) - 1, u64::MAX] {
            out.put("whole", number);
        }
        for number in [0.5, -1.0, -0.001, 1e300, f64::NAN, 65_535.0] {
            out.put("number", number);
        }
        out.put("nothing", Value::Null);
        out.put("list", Value::List(vec![Value::Null, 7_u64.into()]));
        out.text("\"key\n", "last");
    }

    #[test]
    fn both_write_the_same() {
        assert_eq!(Json::of(write), Value::of(write).to_json());
        assert_eq!(Json::of(|_| {}), b"{}");
    }
}
