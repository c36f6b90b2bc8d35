//! What became of a call.

use core::time::Duration;

use crate::error::Error;
use crate::time::{duration_from_secs, secs};
use crate::value::{Fields, Value};

/// What became of a call: whether it went well, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the instance did its job. A refusal that is the caller's fault is a success.
    pub ok: bool,
    /// From the pick to the end of the call, when the host measured it; to the microsecond.
    pub latency: Option<Duration>,
}

impl Outcome {
    /// It went well, in `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self { ok: true, latency: Some(latency) }
    }

    /// It failed.
    pub const fn failure() -> Self {
        Self { ok: false, latency: None }
    }

    /// What a host measured, the latency in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidDuration`](crate::Code::InvalidDuration).
    pub fn measured(ok: bool, latency: Option<f64>) -> Result<Self, Error> {
        Ok(Self { ok, latency: latency.map(|latency| duration_from_secs("latency", latency)).transpose()? })
    }

    /// Reads `{ok?, latency?}`: `ok` is true when absent, the latency is in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::InvalidDuration`](crate::Code::InvalidDuration),
    /// [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["ok", "latency"])?;
        Self::measured(fields.bool("ok")?.unwrap_or(true), fields.f64("latency")?)
    }

    /// Writes `{ok, latency?}`.
    pub fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![("ok", Value::from(self.ok))];
        if let Some(latency) = self.latency {
            pairs.push(("latency", secs(latency).into()));
        }
        Value::map(pairs)
    }
}

/// A success of unknown latency.
impl Default for Outcome {
    fn default() -> Self {
        Self { ok: true, latency: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn outcomes_round_trip() {
        for outcome in [Outcome::default(), Outcome::failure(), Outcome::success(Duration::from_millis(10))] {
            assert_eq!(Outcome::from_value(&outcome.to_value()), Ok(outcome));
        }
        assert_eq!(Outcome::from_value(&Value::Map(Default::default())), Ok(Outcome::default()));
        let bad = Value::map([("latency", Value::from(-1.0))]);
        assert_eq!(Outcome::from_value(&bad).unwrap_err().code(), Code::InvalidDuration);
    }
}
