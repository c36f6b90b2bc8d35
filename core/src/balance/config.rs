//! What a balancer is told when it is made.

use core::time::Duration;

use crate::error::{Code, Error};
use crate::limits;
use crate::time::{duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// What a balancer is told beside the query and the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Seeds the generator; below 2^53 in documents, default 0. Give each client a seed of its own, lest all start
    /// with the same instance; give a fixed one to have the same picks again.
    pub seed: u64,
    /// How long a pick may stay unfinished before it is reaped: 1 ms to 24 h, default 600 s. It is reaped at
    /// the latest 1/32 of this time later.
    pub reap_after: Duration,
    /// How many events are written down for [`trace`](super::Balancer::trace): up to 1 048 576, default 0, which costs nothing.
    pub trace: u32,
    /// Whether each pick is explained before it is made, for [`explained`](super::Balancer::explained): default false, which costs
    /// nothing.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, reap_after: Duration::from_secs(600), trace: 0, explain: false }
    }
}

impl Options {
    /// Options with a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Checks the ranges of `reap_after` and `trace`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`].
    pub fn validate(&self) -> Result<(), Error> {
        let reap_after = micros(self.reap_after);
        if reap_after < limits::REAP_MIN_MICROS {
            return Err(Error::new(Code::LimitExceeded, "reap_after").limit(limits::REAP_MIN_MICROS).message("at least 1 ms"));
        }
        if reap_after > limits::REAP_MAX_MICROS {
            return Err(Error::too_large("reap_after", limits::REAP_MAX_MICROS));
        }
        if self.trace > limits::TRACE_EVENTS {
            return Err(Error::too_large("trace", u64::from(limits::TRACE_EVENTS)));
        }
        Ok(())
    }

    /// Reads `{seed?, reap_after?, trace?, explain?}`; the time is in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidDuration`],
    /// [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["seed", "reap_after", "trace", "explain"])?;
        let default = Self::default();
        let reap_after = fields.f64("reap_after")?.map(|number| duration_from_secs("reap_after", number)).transpose()?;
        let trace = fields.u64("trace")?.unwrap_or_default();
        let options = Self {
            seed: fields.u64("seed")?.unwrap_or(default.seed),
            reap_after: reap_after.unwrap_or(default.reap_after),
            // One that does not fit is far above the limit.
            trace: u32::try_from(trace).unwrap_or(u32::MAX),
            explain: fields.bool("explain")?.unwrap_or_default(),
        };
        options.validate()?;
        Ok(options)
    }

    /// Writes `{seed, reap_after, trace, explain}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("seed", Value::from(self.seed)),
            ("reap_after", secs(self.reap_after).into()),
            ("trace", u64::from(self.trace).into()),
            ("explain", self.explain.into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_keep_their_limits() {
        for (us, good) in [
            (limits::REAP_MIN_MICROS - 1, false),
            (limits::REAP_MIN_MICROS, true),
            (limits::REAP_MAX_MICROS, true),
            (limits::REAP_MAX_MICROS + 1, false),
        ] {
            let options = Options { seed: 7, reap_after: Duration::from_micros(us), trace: 9, explain: true };
            assert_eq!(options.validate().is_ok(), good, "{us}");
            assert_eq!(Options::from_value(&options.to_value()).is_ok(), good, "{us}");
        }
        let unknown = Value::map([("sede", Value::from(1u64))]);
        assert_eq!(Options::from_value(&unknown).unwrap_err().code(), Code::UnknownField);
        assert_eq!(Options::from_value(&Value::Map(Default::default())), Ok(Options::default()));
    }
}
