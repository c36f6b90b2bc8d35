//! Numbers as text, compared exactly.

use core::cmp::Ordering;
use core::fmt;

/// A decimal number such as `-12.50`, read in place: an optional sign, digits, optionally a point and digits.
///
/// No exponent, no infinity. Comparing digits instead of floats makes the order exact at any length (a 64-bit
/// build number does not lose its last digits) and the same on every target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    negative: bool,
    /// Without leading zeros; empty for 0.
    whole: &'a str,
    /// Without trailing zeros; empty for 0.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match rest.split_once('.') {
            Some((whole, fraction)) if digits(fraction) => (whole, fraction.trim_end_matches('0')),
            Some(_) => return None,
            None => (rest, ""),
        };
        if !digits(whole) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        Some(Self { negative: negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction })
    }

    /// How this number stands to a whole number of thousandths.
    pub(super) fn cmp_thousandths(self, thousandths: u32) -> Ordering {
        if self.negative {
            return Ordering::Less;
        }
        // A whole part too long for u64 is larger than any weight.
        let whole = if self.whole.is_empty() { Ok(0) } else { self.whole.parse::<u64>() };
        let Ok(whole) = whole else { return Ordering::Greater };
        let digits = self.fraction.bytes().map(|byte| u64::from(byte.saturating_sub(b'0'))).chain([0; 3]).take(3);
        let own = digits.fold(whole, |sum, digit| sum.saturating_mul(10).saturating_add(digit));
        let rest = if self.fraction.len() > 3 { Ordering::Greater } else { Ordering::Equal };
        own.cmp(&u64::from(thousandths)).then(rest)
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |number: &Self| number.whole.len();
        let magnitude =
            size(self).cmp(&size(other)).then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction));
        match (self.negative, other.negative) {
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The one spelling of the number: `-0.50` and `+007` are `-0.5` and `7`.
impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.negative { "-" } else { "" })?;
        f.write_str(if self.whole.is_empty() { "0" } else { self.whole })?;
        f.write_str(if self.fraction.is_empty() { "" } else { "." })?;
        f.write_str(self.fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_order_is_that_of_the_numbers() {
        let rising = ["-10", "-9.5", "-9", "-0.51", "-0.5", "0", "0.05", "0.5", "0.51", "9", "10", "9007199254740992", "9007199254740993"];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(Decimal::parse(a).unwrap().cmp(&Decimal::parse(b).unwrap()), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [("0", "-0.0"), ("+7", "007"), ("1.50", "1.5"), ("2.", "")] {
            assert_eq!(Decimal::parse(a).map(|n| n.to_string()), Decimal::parse(b).map(|n| n.to_string()), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "-", "+", ".", "1.", ".5", "1e5", "inf", "NaN", "0x1", "1 ", "--1", "1.2.3", "\u{661}"] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn weights_compare_in_thousandths() {
        for (text, thousandths, expected) in [
            ("1", 1_000, Ordering::Equal),
            ("1.5", 1_500, Ordering::Equal),
            ("1.5001", 1_500, Ordering::Greater),
            ("0.001", 1, Ordering::Equal),
            ("0.0009", 1, Ordering::Less),
            ("-1", 0, Ordering::Less),
            ("-0", 0, Ordering::Equal),
            ("99999999999999999999999999", u32::MAX, Ordering::Greater),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().cmp_thousandths(thousandths), expected, "{text} {thousandths}");
        }
    }
}
