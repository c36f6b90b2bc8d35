//! Time as the host tells it.

use core::fmt;
use core::time::Duration;

use crate::error::{Code, Error};

/// Microseconds since a zero of the host's choosing, monotonic by contract.
///
/// Always below 2^53, so that it is an exact JS number: 285 years of range. Every mutator of this crate
/// takes the current time as its last argument; none reads a clock. A time that runs backwards is clamped
/// to the latest one seen and counted, never an error, because clocks do that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The host's zero.
    pub const ZERO: Self = Self(0);
    /// The last representable time, 2^53 - 1 microseconds.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Takes microseconds.
    ///
    /// # Errors
    /// [`Code::InvalidTime`] at 2^53 and above. State is unchanged.
    #[inline]
    pub fn from_micros(micros: u64) -> Result<Self, Error> {
        if micros > Self::MAX.0 { Err(Self::too_late()) } else { Ok(Self(micros)) }
    }

    #[cold]
    fn too_late() -> Error {
        Error::new(Code::InvalidTime, "now").limit(Self::MAX.0).message("a time must be below 2^53 microseconds")
    }

    /// Takes milliseconds, saturating at [`Timestamp::MAX`].
    pub const fn from_millis(millis: u64) -> Self {
        Self::clamped(millis.saturating_mul(1_000))
    }

    /// Takes seconds, saturating at [`Timestamp::MAX`].
    pub const fn from_secs(secs: u64) -> Self {
        Self::clamped(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the host's zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This time plus `duration`, saturating at [`Timestamp::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self::clamped(self.0.saturating_add(micros(duration)))
    }

    /// The time that passed from `earlier` to this; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn clamped(micros: u64) -> Self {
        if micros > Self::MAX.0 { Self::MAX } else { Self(micros) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// A duration in microseconds, saturating; sub-microsecond parts are dropped.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

/// Reads a duration in seconds, as documents of every language spell it (`30`, `1.5`), to the nearest
/// microsecond, halves up.
///
/// # Errors
/// [`Code::InvalidDuration`] when the number is NaN, infinite, negative or at least 2^53 microseconds.
pub(crate) fn duration_from_secs(field: &str, secs: f64) -> Result<Duration, Error> {
    let scaled = secs * 1e6 + 0.5;
    // Written so that NaN fails too.
    if !(secs >= 0.0 && scaled < Timestamp::MAX.0 as f64) {
        return Err(
            Error::new(Code::InvalidDuration, field).message("a duration is a number of seconds, at least 0 and below 2^53 microseconds")
        );
    }
    Ok(Duration::from_micros(scaled as u64))
}

/// The inverse of [`duration_from_secs`].
pub(crate) fn secs(duration: Duration) -> f64 {
    micros(duration) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_a_safe_js_integer() {
        assert!(Timestamp::from_micros((1 << 53) - 1).is_ok());
        let error = Timestamp::from_micros(1 << 53).unwrap_err();
        assert_eq!((error.code(), error.field(), error.limit_value()), (Code::InvalidTime, "now", Some((1 << 53) - 1)));
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_since(Timestamp::MAX), Duration::ZERO);
    }

    #[test]
    fn durations_in_seconds_round_to_the_microsecond() {
        for (text, us) in [(30.0, 30_000_000), (1.5, 1_500_000), (0.000_000_5, 1), (0.000_000_4, 0), (-0.0, 0)] {
            assert_eq!(duration_from_secs("ttl", text).unwrap(), Duration::from_micros(us));
        }
        for bad in [f64::NAN, f64::INFINITY, -1.0, -0.000_1, 1e300, 9_007_199_254.740_992] {
            assert_eq!(duration_from_secs("ttl", bad).unwrap_err().code(), Code::InvalidDuration);
        }
    }
}
