//! Reads the settings of a part of the pipeline from a document, each within its range.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Code, Error};
use crate::limits;
use crate::time::{duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// The fields of a part.
pub(super) struct Settings<'a>(Fields<'a>);

impl<'a> Settings<'a> {
    pub(super) fn new(value: &'a Value, known: &[&str]) -> Result<Self, Error> {
        Fields::new(value, "", known).map(Self)
    }

    /// A time of at most 1 h.
    pub(super) fn time(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        let Some(number) = self.0.f64(name)? else { return Ok(default) };
        let time = duration_from_secs(name, number)?;
        if micros(time) > limits::SPAN_MAX_MICROS {
            return Err(Error::too_large(name, limits::SPAN_MAX_MICROS));
        }
        Ok(time)
    }

    /// A time between 1 ms and 1 h.
    pub(super) fn span(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        let span = self.time(name, default)?;
        if micros(span) < limits::SPAN_MIN_MICROS {
            return Err(Error::new(Code::LimitExceeded, name).limit(limits::SPAN_MIN_MICROS).message("at least 1 ms"));
        }
        Ok(span)
    }

    /// A number from `low` to `high`.
    pub(super) fn number(&self, name: &str, default: f64, low: f64, high: f64) -> Result<f64, Error> {
        let number = self.0.f64(name)?.unwrap_or(default);
        // NaN is in no range.
        if (low..=high).contains(&number) {
            Ok(number)
        } else {
            Err(Error::new(Code::InvalidArgument, name).detail(alloc::format!("a number from {low} to {high}")))
        }
    }

    /// A whole number of at least `low`.
    pub(super) fn count(&self, name: &str, default: u32, low: u32) -> Result<u32, Error> {
        let Some(number) = self.0.u64(name)? else { return Ok(default) };
        let number = u32::try_from(number).map_err(|_| Error::too_large(name, u64::from(u32::MAX)))?;
        if number < low {
            return Err(Error::new(Code::InvalidArgument, name).detail(alloc::format!("at least {low}")));
        }
        Ok(number)
    }

    /// A share of a hundred.
    pub(super) fn percent(&self, name: &str, default: u32) -> Result<u32, Error> {
        let percent = self.count(name, default, 0)?;
        if percent > 100 { Err(Error::new(Code::InvalidArgument, name).message("at most 100")) } else { Ok(percent) }
    }

    /// Percent for a percent: 100 to 1000.
    pub(super) fn overprovisioning(&self, default: u32) -> Result<u32, Error> {
        let percent = self.count("overprovisioning", default, 100)?;
        if percent > 1_000 { Err(Error::new(Code::InvalidArgument, "overprovisioning").message("at most 1000")) } else { Ok(percent) }
    }

    /// A map from names to whole numbers; empty when there is none.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<(String, u32)>, Error> {
        let Some(value) = self.0.value(name) else { return Ok(Vec::new()) };
        let wrong = || Error::new(Code::InvalidArgument, name).message("a map from names to whole numbers");
        let pairs = value.as_map().ok_or_else(wrong)?.iter();
        pairs
            .map(|(key, value)| {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong)?;
                Ok((key.clone(), number))
            })
            .collect()
    }

    /// A seed, 0 when there is none.
    pub(super) fn seed(&self, name: &str) -> Result<u64, Error> {
        Ok(self.0.u64(name)?.unwrap_or_default())
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Error> {
        Ok(self.0.bool(name)?.unwrap_or(default))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.0.text(name)
    }

    /// A part that is always there.
    pub(super) fn document<T>(&self, name: &str, default: T, read: impl FnOnce(&Value) -> Result<T, Error>) -> Result<T, Error> {
        self.0.value(name).map_or(Ok(default), |value| read(value).map_err(|error| error.within(name)))
    }

    /// A part that `"off"` leaves out.
    pub(super) fn part<T>(
        &self,
        name: &str,
        default: Option<T>,
        read: impl FnOnce(&Value) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        part(&self.0, name, default, read)
    }
}

/// A part that `"off"` leaves out.
pub(super) fn part<T>(
    fields: &Fields<'_>,
    name: &str,
    default: Option<T>,
    read: impl FnOnce(&Value) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match fields.value(name) {
        None => Ok(default),
        Some(value) if value.as_str() == Some(OFF) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|error| error.within(name)),
    }
}

/// What leaves out a part.
pub(super) const OFF: &str = "off";

/// Writes a part that may be left out.
pub(super) fn optional<T>(part: Option<&T>, write: impl FnOnce(&T) -> Value) -> Value {
    part.map_or_else(|| OFF.into(), write)
}

/// The kind of a part that is a kind's name or `{kind, ..}`, and its other settings.
pub(super) fn kind(value: &Value) -> Result<(&str, &Value), Error> {
    const NONE: &Value = &Value::Map(Vec::new());
    if let Some(kind) = value.as_str() {
        return Ok((kind, NONE));
    }
    if value.as_map().is_none() {
        Settings::new(value, &[])?;
    }
    match value.get("kind") {
        None | Some(Value::Null) => Err(Error::new(Code::MissingField, "kind")),
        Some(kind) => Ok((kind.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, "kind").message("expected a string"))?, value)),
    }
}

/// Reads one of these words.
pub(super) fn word<T: Copy>(words: &[(&str, T)], settings: &Settings<'_>, name: &str, default: T) -> Result<T, Error> {
    let Some(text) = settings.text(name)? else { return Ok(default) };
    let known = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    known
        .ok_or_else(|| Error::new(Code::InvalidArgument, name).detail(words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ")))
}

/// Writes one of these words.
pub(super) fn spell<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, known)| known == meaning).map_or("", |(word, _)| word)
}

/// Writes a time in seconds.
pub(super) fn time(time: Duration) -> Value {
    secs(time).into()
}
