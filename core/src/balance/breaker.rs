//! How many calls may be out at one instance, and at all of them.

use super::settings::{Settings, optional};
use super::trip::Trip;
use crate::error::Error;
use crate::limits;
use crate::value::Value;

/// How many calls may be out at once: a pick beyond it goes to another instance, or is refused. (Envoy's circuit breakers;
/// what opens for an instance that fails, and closes after
/// a probation, is [`Outliers`](super::Outliers).)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// At one instance: at least 1, by default any number.
    pub instance: u32,
    /// At all instances: at least 1, default 1024 (Envoy's `max_requests`).
    pub total: u32,
    /// When the whole service is left alone; by default never.
    pub trip: Option<Trip>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { instance: u32::MAX, total: 1_024, trip: None }
    }
}

impl Breaker {
    /// A breaker that never breaks.
    pub(super) const NONE: Self = Self { instance: u32::MAX, total: u32::MAX, trip: None };

    /// The same, as far as picks can be told apart.
    pub(super) fn clamped(self) -> Self {
        Self { total: self.total.min(limits::PICKS_IN_FLIGHT as u32), ..self }
    }

    /// Reads `{instance?, total?, trip?}`; the last is a document, or `"off"`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["instance", "total", "trip"])?;
        let default = Self::default();
        Ok(Self {
            instance: settings.count("instance", default.instance, 1)?,
            total: settings.count("total", default.total, 1)?,
            trip: settings.part("trip", default.trip, Trip::from_value)?,
        })
    }

    /// Writes `{instance, total, trip}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("instance", Value::from(u64::from(self.instance))),
            ("total", u64::from(self.total).into()),
            ("trip", optional(self.trip.as_ref(), Trip::to_value)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip() {
        for breaker in [Breaker::default(), Breaker { instance: 1, total: 1, trip: Some(Trip::default()) }] {
            assert_eq!(Breaker::from_value(&breaker.to_value()), Ok(breaker));
        }
        assert_eq!(Breaker::from_value(&Value::map([("total", Value::from(0u64))])).unwrap_err().field(), "total");
    }
}
