//! Who asked to be spared, and until when.

use alloc::vec::Vec;
use core::time::Duration;

use super::outcome::{Outcome, OutcomeKind};
use super::settings::{Settings, time};
use crate::error::Error;
use crate::time::micros;
use crate::value::Value;

/// For how long an instance that asks to be spared (HTTP `Retry-After`, gRPC pushback) gets no call while there is another
/// (linkerd2-proxy, 2026).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The longest time that is granted: at most 1 h, default 300 s.
    pub most: Duration,
    /// The time for one that is `throttled` and names none: at most 1 h, default 0.
    pub unasked: Duration,
}

impl Default for Hold {
    fn default() -> Self {
        Self { most: Duration::from_secs(300), unasked: Duration::ZERO }
    }
}

impl Hold {
    /// Reads `{most?, unasked?}` in seconds.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::InvalidDuration`](crate::Code::InvalidDuration),
    /// [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["most", "unasked"])?;
        let default = Self::default();
        Ok(Self { most: settings.time("most", default.most)?, unasked: settings.time("unasked", default.unasked)? })
    }

    /// Writes `{most, unasked}`.
    pub fn to_value(&self) -> Value {
        Value::map([("most", time(self.most)), ("unasked", time(self.unasked))])
    }
}

/// Who is held.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    settings: Hold,
    /// Slots with the time at which they are let go, the first last.
    held: Vec<(u64, u32)>,
}

impl Holds {
    pub(super) fn new(settings: Hold) -> Self {
        Self { settings, held: Vec::new() }
    }

    /// Whether a slot that was not held is from now on. One that asks again is held for as long as it asks last.
    pub(super) fn learn(&mut self, slot: u32, outcome: &Outcome, now: u64) -> bool {
        if !outcome.kind.is_failure() {
            return false;
        }
        let unasked = (outcome.kind == OutcomeKind::Throttled).then_some(self.settings.unasked);
        let Some(span) = outcome.retry_after.or(unasked).map(|span| micros(span.min(self.settings.most))).filter(|span| *span > 0) else {
            return false;
        };
        let is_new = !self.forget(slot);
        let until = now.saturating_add(span);
        let place = self.held.partition_point(|(other, _)| *other > until);
        self.held.insert(place, (until, slot));
        is_new
    }

    /// Lets a slot go, whatever its time; false when it was not held.
    pub(super) fn forget(&mut self, slot: u32) -> bool {
        let place = self.held.iter().position(|(_, held)| *held == slot);
        place.map(|place| self.held.remove(place)).is_some()
    }

    /// When the next one is let go.
    pub(super) fn wake(&self) -> Option<u64> {
        self.held.last().map(|(until, _)| *until)
    }

    /// The next slot that is let go by now.
    pub(super) fn release(&mut self, now: u64) -> Option<u32> {
        self.held.pop_if(|(until, _)| *until <= now).map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn asking(kind: OutcomeKind, secs: u64) -> Outcome {
        Outcome { retry_after: Some(Duration::from_secs(secs)), ..Outcome::of(kind) }
    }

    #[test]
    fn they_are_let_go_in_the_order_of_their_times() {
        let mut holds = Holds::new(Hold::default());
        assert_eq!(holds.wake(), None);
        assert!(holds.learn(1, &asking(OutcomeKind::Throttled, 20), 0));
        assert!(holds.learn(2, &asking(OutcomeKind::Gateway, 10), 0));
        assert!(holds.learn(3, &asking(OutcomeKind::Throttled, 4_000), 0));
        assert!(!holds.learn(2, &asking(OutcomeKind::Gateway, 30), 0));
        assert_eq!((holds.wake(), holds.release(20 * SECOND - 1)), (Some(20 * SECOND), None));
        assert_eq!((holds.release(40 * SECOND), holds.release(40 * SECOND), holds.release(40 * SECOND)), (Some(1), Some(2), None));
        // At most five minutes.
        assert_eq!(holds.wake(), Some(300 * SECOND));
        assert!(holds.forget(3) && !holds.forget(3));
    }

    #[test]
    fn only_a_failure_that_names_a_time_holds() {
        let mut holds = Holds::new(Hold::default());
        for outcome in
            [asking(OutcomeKind::Success, 9), asking(OutcomeKind::Cancelled, 9), asking(OutcomeKind::Throttled, 0), Outcome::failure()]
        {
            assert!(!holds.learn(1, &outcome, 0));
        }
        let mut holds = Holds::new(Hold { unasked: Duration::from_secs(5), ..Hold::default() });
        assert!(holds.learn(1, &Outcome::of(OutcomeKind::Throttled), 0) && !holds.learn(2, &Outcome::failure(), 0));
        assert_eq!(holds.wake(), Some(5 * SECOND));
    }

    #[test]
    fn settings_round_trip() {
        let hold = Hold { most: Duration::from_secs(60), unasked: Duration::from_secs(5) };
        assert_eq!(Hold::from_value(&hold.to_value()), Ok(hold));
        assert_eq!(Hold::from_value(&Value::map([("most", Value::from(3_601.0))])).unwrap_err().field(), "most");
    }
}
