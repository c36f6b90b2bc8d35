//! Base64, as the JSON of other systems carries bytes.

use alloc::string::String;
use alloc::vec::Vec;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads either alphabet, with or without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len().saturating_mul(3) / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            out.push((bits >> held) as u8);
        }
    }
    // A last letter alone is less than a byte.
    if held >= 6 { None } else { Some(out) }
}

/// Writes the usual alphabet, padded.
#[cfg(any(feature = "store", test))]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = match three.len() {
            1 => bits << 16,
            2 => bits << 8,
            _ => bits,
        };
        for (at, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            out.push(char::from(if at <= three.len() { letter } else { b'=' }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn it_is_read_in_either_alphabet_and_written_in_one() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")];
        for (text, written) in known {
            assert_eq!(encode(text.as_bytes()), written);
            assert_eq!(decode(written).unwrap(), text.as_bytes());
            assert_eq!(decode(written.trim_end_matches('=')).unwrap(), text.as_bytes());
        }
        assert_eq!(decode("-_8="), decode("+/8="));
        for bad in ["A", "Zm9vA", "Zm 9v", "Zm9v\n", "Zm=9"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
