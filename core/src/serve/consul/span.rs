//! Durations as Go spells them: `10s`, `1m30s`, `1.5h`.

use core::time::Duration;

use crate::error::{Code, Error};

/// Reads a duration of Go: numbers with a unit behind each, from nanoseconds to hours; `0` needs none.
///
/// # Errors
/// [`Code::InvalidDuration`] for anything else, negative durations too, and past 584 years.
pub(super) fn parse(field: &str, text: &str) -> Result<Duration, Error> {
    let wrong = || Error::new(Code::InvalidDuration, field).message("a duration such as 10s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let (number, behind) = split(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, behind) = split(behind, |byte| !byte.is_ascii_digit() && byte != b'.');
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return Err(wrong()),
        };
        nanos += number.parse::<f64>().ok().filter(|number| *number >= 0.0).ok_or_else(wrong)? * unit;
        rest = behind;
    }
    if text.is_empty() || nanos >= u64::MAX as f64 { Err(wrong()) } else { Ok(Duration::from_nanos(nanos as u64)) }
}

/// The first bytes of a kind, and what is behind them.
fn split(text: &str, kind: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !kind(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, millis) in [
            ("0", 0),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            ("100us", 0),
            ("1h0m1s", 3_601_000),
            (".5s", 500),
        ] {
            assert_eq!(parse("wait", text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in ["", "10", "-1s", "+1s", "1d", "s", "1 s", "1s ", "..s", "1e3s", "99999999999999h", "é", "1é"] {
            assert_eq!(parse("wait", bad).unwrap_err().code(), Code::InvalidDuration, "{bad:?}");
        }
    }
}
