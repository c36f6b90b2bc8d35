//! How many calls may be out at one instance, and at all of them.

use super::settings::{Settings, optional};
use super::trip::Trip;
use crate::error::Error;
use crate::limits;
use crate::value::Value;

/// How many calls may be out at once, from their pick to their end: a pick beyond it goes to another instance, or is refused, and
/// the error names the bound. It holds in a panic too. (Envoy's circuit breakers, per host and in all. Those on connections and on what
/// waits for one are the host's, which has them; a limit that finds itself is [`Limit`](super::Limit); what opens for an
/// instance that fails, and closes after a probation, is [`Outliers`](super::Outliers).)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// At one instance: at least 1, by default any number.
    pub instance: u32,
    /// At all instances: at least 1, default 1024 (Envoy's `max_requests`).
    pub total: u32,
    /// Of calls that were tried before, which are those whose request excludes somebody: at least 1, by default any number (Envoy's
    /// `max_retries`, 3 there).
    pub retries: u32,
    /// That many, or as many as this percentage of the calls that are out, when it is more: up to 100, default 0 (Envoy's
    /// `retry_budget`, 20 there).
    pub retry_percent: u32,
    /// When the whole service is left alone; by default never.
    pub trip: Option<Trip>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { total: 1_024, ..Self::NONE }
    }
}

impl Breaker {
    /// A breaker that never breaks.
    pub(super) const NONE: Self = Self { instance: u32::MAX, total: u32::MAX, retries: u32::MAX, retry_percent: 0, trip: None };

    /// The same, as far as picks can be told apart.
    pub(super) fn clamped(self) -> Self {
        Self { total: self.total.min(limits::PICKS_IN_FLIGHT as u32), ..self }
    }

    /// Whether it says how many calls may be out, beyond what holds for all.
    pub(super) fn is_bounded(self) -> bool {
        self.instance < u32::MAX || (self.total as usize) < limits::PICKS_IN_FLIGHT
    }

    /// How many calls that were tried before may be out when so many calls are.
    #[inline]
    pub(super) fn retries_of(&self, calls: u32) -> u32 {
        let share = u64::from(calls).saturating_mul(u64::from(self.retry_percent)).div_euclid(100);
        self.retries.max(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// Reads `{instance?, total?, retries?, retry_percent?, trip?}`; the last is a document, or `"off"`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["instance", "total", "retries", "retry_percent", "trip"])?;
        let default = Self::default();
        Ok(Self {
            instance: settings.count("instance", default.instance, 1)?,
            total: settings.count("total", default.total, 1)?,
            retries: settings.count("retries", default.retries, 1)?,
            retry_percent: settings.percent("retry_percent", default.retry_percent)?,
            trip: settings.part("trip", default.trip, Trip::from_value)?,
        })
    }

    /// Writes `{instance, total, retries, retry_percent, trip}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("instance", Value::from(u64::from(self.instance))),
            ("total", u64::from(self.total).into()),
            ("retries", u64::from(self.retries).into()),
            ("retry_percent", u64::from(self.retry_percent).into()),
            ("trip", optional(self.trip.as_ref(), Trip::to_value)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip() {
        for breaker in [Breaker::default(), Breaker { instance: 1, total: 1, retries: 3, retry_percent: 20, trip: Some(Trip::default()) }] {
            assert_eq!(Breaker::from_value(&breaker.to_value()), Ok(breaker));
        }
        for (field, bad) in [("instance", 0u64), ("total", 0), ("retries", 0), ("retry_percent", 101)] {
            assert_eq!(Breaker::from_value(&Value::map([(field, Value::from(bad))])).unwrap_err().field(), field);
        }
    }

    #[test]
    fn the_share_of_retries_is_a_floor_above_the_number() {
        let breaker = Breaker { retries: 3, retry_percent: 20, ..Breaker::default() };
        let bounds = [0, 15, 19, 20, 24, 25, 1 << 20].map(|calls| breaker.retries_of(calls));
        assert_eq!(bounds, [3, 3, 3, 4, 4, 5, 209_715]);
        assert_eq!(Breaker::NONE.retries_of(u32::MAX), u32::MAX);
    }
}
