//! What the core never takes from the machine: the time of a call that passes none, chance, and the name of a life.
//! They are read here only.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use callboard::{Code, Error, Timestamp};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};

use crate::errors::{Raise as _, raised};

/// The zero of the default clock: when it was first read.
static ZERO: OnceLock<Instant> = OnceLock::new();

/// A time that was passed: whole microseconds from 0 to 2^53 - 1.
#[derive(Clone, Copy)]
pub struct Time(pub Timestamp);

impl<'a, 'py> FromPyObject<'a, 'py> for Time {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let whole = object.cast::<PyInt>().is_ok() && object.cast::<PyBool>().is_err();
        // One that is whole and does not fit 64 bits is out of range like one that is just too large.
        let micros = if whole { object.extract::<u64>().ok() } else { None };
        let error = || {
            Error::new(Code::InvalidTime, "now")
                .limit(Timestamp::MAX.as_micros())
                .message("a time is a whole number of microseconds, at least 0 and below 2^53")
        };
        let micros = micros.ok_or_else(|| raised(py, &error()))?;
        Timestamp::from_micros(micros).map(Self).raise(py)
    }
}

/// The time of a call.
pub fn at(now: Option<Time>) -> Timestamp {
    now.map_or_else(read, |time| time.0)
}

/// Reads the clock.
#[inline]
pub fn read() -> Timestamp {
    let since = ZERO.get_or_init(Instant::now).elapsed();
    let micros = since.as_secs().saturating_mul(1_000_000).saturating_add(since.subsec_micros().into());
    // 2^53 microseconds are 285 years of uptime.
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

/// Chance, for what names no seed: below 2^53.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}

/// An epoch for a new life of a registry: the wall clock's microseconds, larger than those of earlier lives.
pub fn epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).clamp(1, Timestamp::MAX.as_micros())
}

/// The time in whole microseconds of the monotonic clock that a call without `now` reads. Its zero is the first reading in this process.
#[pyfunction]
pub fn now() -> u64 {
    read().as_micros()
}
