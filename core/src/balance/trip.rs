//! When the whole service is left alone: a circuit that opens, and is tried by one call at a time until it closes.
//!
//! The states are those of the circuit breaker of Nygard's Release It! (2007): closed, open, half-open. What an instance alone
//! does badly is the business of outlier detection.

use core::time::Duration;

use super::outcome::{Outcome, OutcomeKind};
use super::settings::{Settings, time};
use crate::error::{Code, Error};
use crate::time::micros;
use crate::value::Value;

/// After so many failures in a row, of whatever instances, every pick is refused for a while. Then one call is let through: if
/// it is a success the circuit is closed, if it fails the while is twice as long as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Failures in a row: at least 1, default 20.
    pub failures: u32,
    /// For how long picks are refused at first: 1 ms to 1 h, default 1 s.
    pub hold: Duration,
    /// For how long at most: up to 1 h, at least `hold`; default 30 s, or `hold` when that is longer.
    pub most: Duration,
}

impl Default for Trip {
    fn default() -> Self {
        Self { failures: 20, hold: Duration::from_secs(1), most: Duration::from_secs(30) }
    }
}

impl Trip {
    /// Reads `{failures?, hold?, most?}`; times are in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidDuration`], [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["failures", "hold", "most"])?;
        let default = Self::default();
        let hold = settings.span("hold", default.hold)?;
        let most = settings.time("most", default.most.max(hold))?;
        if most < hold {
            return Err(Error::new(Code::InvalidArgument, "most").message("at least `hold`"));
        }
        Ok(Self { failures: settings.count("failures", default.failures, 1)?, hold, most })
    }

    /// Writes `{failures, hold, most}`.
    pub fn to_value(&self) -> Value {
        Value::map([("failures", u64::from(self.failures).into()), ("hold", time(self.hold)), ("most", time(self.most))])
    }
}

/// The circuit of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circuit {
    settings: Trip,
    state: State,
    /// For how long it is opened next, microseconds.
    hold: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many failures in a row.
    Closed(u32),
    /// Until then.
    Open(u64),
    /// One call may go out.
    HalfOpen,
    /// It went out then. If nothing is heard of it until the other time, another may.
    Trying(u64, u64),
}

impl Circuit {
    pub(super) fn new(settings: Trip) -> Self {
        Self { settings, state: State::Closed(0), hold: micros(settings.hold) }
    }

    /// Whether every pick is refused.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Trying(..))
    }

    /// Whether the next pick is the call that tries it.
    pub(super) fn is_half_open(&self) -> bool {
        self.state == State::HalfOpen
    }

    /// When a call may be let through.
    pub(super) fn wake(&self) -> u64 {
        match self.state {
            State::Open(until) | State::Trying(_, until) => until,
            State::Closed(_) | State::HalfOpen => u64::MAX,
        }
    }

    /// Lets a call through, if the time has come.
    pub(super) fn advance(&mut self, now: u64) {
        if now >= self.wake() {
            self.state = State::HalfOpen;
        }
    }

    /// A call goes out to try it.
    pub(super) fn attempt(&mut self, now: u64) {
        self.state = State::Trying(now, now.saturating_add(self.hold));
    }

    /// Learns from a call that began then; whether it opened or closed.
    pub(super) fn learn(&mut self, outcome: &Outcome, began: u64, now: u64) -> bool {
        let failed = outcome.kind.is_failure();
        match self.state {
            State::Closed(failures) if failed => {
                let failures = failures.saturating_add(1);
                self.state = State::Closed(failures);
                if failures >= self.settings.failures {
                    self.open(now);
                }
            }
            State::Closed(_) if outcome.is_ok() => self.state = State::Closed(0),
            // Of calls that began before it opened nothing is learnt.
            State::Trying(since, _) if began >= since => match outcome.kind {
                OutcomeKind::Cancelled => self.state = State::HalfOpen,
                _ if failed => {
                    self.hold = self.hold.saturating_mul(2).min(micros(self.settings.most));
                    self.open(now);
                }
                _ => (self.state, self.hold) = (State::Closed(0), micros(self.settings.hold)),
            },
            _ => return false,
        }
        !matches!(self.state, State::Closed(1..))
    }

    fn open(&mut self, now: u64) {
        self.state = State::Open(now.saturating_add(self.hold));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_call_of_before_says_nothing_and_one_that_is_lost_is_replaced() {
        let mut circuit = Circuit::new(Trip { failures: 2, ..Trip::default() });
        for _ in 0..2 {
            assert!(!circuit.is_open());
            circuit.learn(&Outcome::failure(), 0, 5);
        }
        assert!(circuit.is_open() && circuit.wake() == SECOND + 5);
        circuit.advance(SECOND + 5);
        assert!(circuit.is_half_open());
        circuit.attempt(SECOND + 6);
        assert!(!circuit.learn(&Outcome::default(), SECOND + 4, SECOND + 7) && circuit.is_open());
        assert_eq!(circuit.wake(), 2 * SECOND + 6);
        circuit.advance(2 * SECOND + 6);
        circuit.attempt(2 * SECOND + 6);
        assert!(circuit.learn(&Outcome::of(OutcomeKind::Cancelled), 2 * SECOND + 6, 2 * SECOND + 7) && circuit.is_half_open());
        circuit.attempt(2 * SECOND + 8);
        assert!(circuit.learn(&Outcome::default(), 2 * SECOND + 8, 2 * SECOND + 9) && !circuit.is_open());
        assert_eq!(circuit.wake(), u64::MAX);
    }

    #[test]
    fn settings_round_trip() {
        let other = Trip { failures: 1, hold: Duration::from_secs(60), most: Duration::from_secs(60) };
        for trip in [Trip::default(), other] {
            assert_eq!(Trip::from_value(&trip.to_value()), Ok(trip));
        }
        assert_eq!(Trip::from_value(&Value::map([("hold", Value::from(60.0))])), Ok(Trip { failures: 20, ..other }));
        for (name, value) in [("failures", Value::from(0u64)), ("most", 0.5.into()), ("hold", 0.0.into())] {
            assert_eq!(Trip::from_value(&Value::map([(name, value)])).unwrap_err().field(), name);
        }
    }
}
