//! Which strings may name things.

use crate::error::{Code, Error};
use crate::limits;

/// A namespace or service name: 1 to 63 bytes of `[A-Za-z0-9._-]`, the first and last a letter or digit
/// (the rule of Kubernetes label values). Case counts; nothing is folded, so no two spellings are one name.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::new(Code::MissingField, field));
    }
    if name.len() > limits::NAME_BYTES {
        return Err(Error::too_large(field, limits::NAME_BYTES as u64));
    }
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if edge(name.bytes().next()) && edge(name.bytes().last()) && name.bytes().all(inner) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidName, field).message("letters, digits, '.', '_' and '-', starting and ending with a letter or digit"))
}

/// An instance id or source: opaque, 1 to 253 bytes of printable ASCII without spaces.
pub(crate) fn check_id(field: &str, id: &str) -> Result<(), Error> {
    graphic(field, id, limits::ID_BYTES)
}

/// 1 to `limit` bytes of printable ASCII without spaces.
pub(crate) fn graphic(field: &str, text: &str, limit: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(Code::MissingField, field));
    }
    if text.len() > limit {
        return Err(Error::too_large(field, limit as u64));
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidName, field).message("printable ASCII without spaces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_label_value_rule() {
        for good in ["a", "A1", "billing-api", "v2.posts", "a_b", "constructor"] {
            assert_eq!(check_name("service", good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "..", "a/b", "a%2fb", "a\0b", "a b", "__proto__", "é", "a\n"] {
            assert_eq!(check_name("service", bad).unwrap_err().field(), "service", "{bad:?}");
        }
        assert!(check_id("id", "10.0.0.1#80#DEFAULT#g@@s/node:7").is_ok());
        assert!(check_id("id", "a b").is_err());
    }

    #[test]
    fn lengths_at_the_limit() {
        for (length, good) in [(limits::NAME_BYTES - 1, true), (limits::NAME_BYTES, true), (limits::NAME_BYTES + 1, false)] {
            assert_eq!(check_name("service", &"a".repeat(length)).is_ok(), good);
        }
        for (length, good) in [(limits::ID_BYTES - 1, true), (limits::ID_BYTES, true), (limits::ID_BYTES + 1, false)] {
            let outcome = check_id("id", &"a".repeat(length));
            assert_eq!(outcome.is_ok(), good);
            assert!(good || outcome.unwrap_err().limit_value() == Some(limits::ID_BYTES as u64));
        }
    }
}
