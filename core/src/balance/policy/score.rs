//! What makes one of two candidates the better one.

use core::time::Duration;

use crate::balance::signals::Signal;
use crate::error::{Code, Error};
use crate::limits;
use crate::time::{duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// What candidates are compared by: the lowest wins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// `in-flight`: picks in flight divided by the weight. Exact, in integers.
    InFlight,
    /// `cost`: latency x load / success, each learnt from the outcomes.
    Cost(Cost),
}

/// The settings of the score `cost`: `latency x (in flight / weight + 1) / success^k`.
///
/// - *latency* is an exponentially weighted moving average, by the rule of Finagle's Peak EWMA where `peak` is set: a sample
///   above the average replaces it, one below it pulls with the weight of the time that passed.
/// - *success* is a moving average too: each outcome moves it by `gain` towards 0 or 1, and it recovers towards 1 with time.
///   As a factor it cannot be outweighed by a short latency, so an instance that fails fast attracts no traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// The time constant of the latency's average: 1 ms to 1 h, default 10 s (Finagle).
    pub tau: Duration,
    /// Whether a latency above the average replaces it; default true.
    pub peak: bool,
    /// Whether the average fades to nothing while no call ends, as in Finagle and tower; default false: it stays.
    pub fade: bool,
    /// Whether the age of the calls in flight is a lower bound of the latency, so that one that hangs is seen before it
    /// answers (an idea of kratos); default true.
    pub age: bool,
    /// What an instance costs that no call to has ended; default the median of its peers.
    pub unknown: Unknown,
    /// The latency that a failure counts as, if it is longer: at most 1 h; 0 times failures like successes. None by default:
    /// a failure counts only if it took longer than the average. 5 s in linkerd.
    pub penalty: Option<Duration>,
    /// The exponent k of the success: 0 to 4, default 3.
    pub exponent: u8,
    /// By how much an outcome moves the success: above 0 and at most 1, default 0.1.
    pub gain: f64,
    /// The time constant with which the success recovers: 1 ms to 1 h, default 10 s.
    pub recovery: Duration,
    /// An instance that was given no call for so long wins the comparison, at most one in thirty of them; none: never. 1 ms
    /// to 1 h, default 3 s (kratos).
    pub idle: Option<Duration>,
}

/// What an instance costs that no call to has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unknown {
    /// As much as the median of its peers.
    Median,
    /// Nothing while it is idle, and more than any other while it is not, so that one call finds out (Finagle).
    Explore,
    /// This latency (tower's and linkerd's `default_rtt`); at most 1 h.
    Latency(Duration),
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            tau: Duration::from_secs(10),
            peak: true,
            fade: false,
            age: true,
            unknown: Unknown::Median,
            penalty: None,
            exponent: 3,
            gain: 0.1,
            recovery: Duration::from_secs(10),
            idle: Some(Duration::from_secs(3)),
        }
    }
}

impl Score {
    /// Reads a name or `{kind, ..}`.
    ///
    /// # Errors
    /// [`Code::InvalidPolicy`] for a kind that is none, and what [`Cost::from_value`] returns.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let kind = value.as_str().or_else(|| value.get("kind")?.as_str());
        match kind.ok_or_else(|| Error::new(Code::MissingField, "kind"))? {
            "in-flight" if value.as_str().is_none() => Fields::new(value, "", &["kind"]).map(|_| Self::InFlight),
            "in-flight" => Ok(Self::InFlight),
            "cost" if value.as_str().is_none() => Cost::from_value(value).map(Self::Cost),
            "cost" => Ok(Self::Cost(Cost::default())),
            _ => Err(Error::new(Code::InvalidPolicy, "kind").message("one of in-flight cost")),
        }
    }

    /// Writes `{kind, ..}`.
    pub fn to_value(&self) -> Value {
        match self {
            Self::InFlight => Value::map([("kind", Value::from("in-flight"))]),
            Self::Cost(cost) => cost.to_value(),
        }
    }
}

/// Reads a duration of at most 1 h.
fn latency(fields: &Fields<'_>, name: &str) -> Result<Option<Duration>, Error> {
    let Some(number) = fields.f64(name)? else { return Ok(None) };
    let duration = duration_from_secs(name, number)?;
    if micros(duration) > limits::SPAN_MAX_MICROS {
        return Err(Error::too_large(name, limits::SPAN_MAX_MICROS));
    }
    Ok(Some(duration))
}

/// Reads a duration between 1 ms and 1 h.
fn span(fields: &Fields<'_>, name: &str) -> Result<Option<Duration>, Error> {
    let span = latency(fields, name)?;
    if span.is_some_and(|span| micros(span) < limits::SPAN_MIN_MICROS) {
        return Err(Error::new(Code::LimitExceeded, name).limit(limits::SPAN_MIN_MICROS).message("at least 1 ms"));
    }
    Ok(span)
}

impl Cost {
    /// Reads `{kind?, tau?, peak?, fade?, age?, unknown?, penalty?, exponent?, gain?, recovery?, idle?}`; times are in seconds,
    /// `unknown` is `median`, `explore` or a time, and `penalty` and `idle` may be `"never"`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidDuration`], [`Code::InvalidArgument`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let known = ["kind", "tau", "peak", "fade", "age", "unknown", "penalty", "exponent", "gain", "recovery", "idle"];
        let fields = Fields::new(value, "", &known)?;
        let default = Self::default();
        let never = |name: &str| fields.value(name).and_then(Value::as_str) == Some("never");
        let unknown = match fields.value("unknown") {
            None => default.unknown,
            Some(value) => match value.as_str() {
                Some("median") => Unknown::Median,
                Some("explore") => Unknown::Explore,
                Some(_) => return Err(Error::new(Code::InvalidArgument, "unknown").message("`median`, `explore` or a time in seconds")),
                None => Unknown::Latency(latency(&fields, "unknown")?.unwrap_or_default()),
            },
        };
        let exponent = fields.u64("exponent")?.unwrap_or(u64::from(default.exponent));
        let gain = fields.f64("gain")?.unwrap_or(default.gain);
        if exponent > 4 {
            return Err(Error::too_large("exponent", 4));
        }
        // Written so that NaN fails too.
        if !(gain > 0.0 && gain <= 1.0) {
            return Err(Error::new(Code::InvalidArgument, "gain").message("a number above 0 and at most 1"));
        }
        Ok(Self {
            tau: span(&fields, "tau")?.unwrap_or(default.tau),
            peak: fields.bool("peak")?.unwrap_or(default.peak),
            fade: fields.bool("fade")?.unwrap_or(default.fade),
            age: fields.bool("age")?.unwrap_or(default.age),
            unknown,
            penalty: if never("penalty") { None } else { latency(&fields, "penalty")?.or(default.penalty) },
            exponent: exponent as u8,
            gain,
            recovery: span(&fields, "recovery")?.unwrap_or(default.recovery),
            idle: if never("idle") { None } else { span(&fields, "idle")?.or(default.idle) },
        })
    }

    /// Writes what [`Cost::from_value`] reads.
    pub fn to_value(&self) -> Value {
        let optional = |time: Option<Duration>| time.map_or(Value::from("never"), |time| secs(time).into());
        Value::map([
            ("kind", Value::from("cost")),
            ("tau", secs(self.tau).into()),
            ("peak", self.peak.into()),
            ("fade", self.fade.into()),
            ("age", self.age.into()),
            (
                "unknown",
                match self.unknown {
                    Unknown::Median => "median".into(),
                    Unknown::Explore => "explore".into(),
                    Unknown::Latency(latency) => secs(latency).into(),
                },
            ),
            ("penalty", optional(self.penalty)),
            ("exponent", u64::from(self.exponent).into()),
            ("gain", self.gain.into()),
            ("recovery", secs(self.recovery).into()),
            ("idle", optional(self.idle)),
        ])
    }

    /// The rules in the units of the signals.
    pub(in crate::balance) fn rules(&self) -> Rules {
        let rate = |time: Duration| 1.0 / (micros(time).max(1) as f64);
        Rules {
            rate: rate(self.tau),
            peak: self.peak,
            fade: self.fade,
            age: self.age,
            unknown: self.unknown,
            penalty: self.penalty.map(|penalty| micros(penalty) as f64),
            exponent: self.exponent,
            gain: self.gain,
            recovery: rate(self.recovery),
            idle: self.idle.map_or(u64::MAX, micros),
        }
    }
}

/// [`Cost`] as the pick path reads it: times in microseconds, time constants as rates per microsecond.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct Rules {
    pub(in crate::balance) rate: f64,
    pub(in crate::balance) peak: bool,
    pub(in crate::balance) fade: bool,
    pub(in crate::balance) age: bool,
    pub(in crate::balance) unknown: Unknown,
    pub(in crate::balance) penalty: Option<f64>,
    pub(in crate::balance) exponent: u8,
    pub(in crate::balance) gain: f64,
    pub(in crate::balance) recovery: f64,
    pub(in crate::balance) idle: u64,
}

/// What [`Unknown::Explore`] makes of an instance that is being explored: more than any latency, and still finite.
const EXPLORING: f64 = 1e15;

impl Rules {
    /// The cost of one candidate with `load` picks in flight for each unit of the average weight. `typical` is the median
    /// latency of the peers.
    #[inline]
    pub(in crate::balance) fn cost(&self, signal: &Signal, in_flight: u32, load: f64, typical: f64, now: u64) -> f64 {
        let mut latency = match signal.latency(self, now) {
            Some(latency) => latency,
            None => match self.unknown {
                Unknown::Median => typical,
                Unknown::Latency(latency) => micros(latency) as f64,
                Unknown::Explore if in_flight == 0 => return 0.0,
                Unknown::Explore => EXPLORING,
            },
        };
        if self.age && in_flight > 0 {
            let (ages, calls) = (signal.ages(in_flight, now), f64::from(in_flight));
            // No division unless their mean is the longer one.
            if ages > latency * calls {
                latency = ages / calls;
            }
        }
        // A latency of nothing would make the load count for nothing.
        latency = if latency < 1.0 { 1.0 } else { latency };
        latency * (load + 1.0) * signal.burden(self, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_round_trip_and_keep_their_limits() {
        let odd = Cost {
            unknown: Unknown::Latency(Duration::from_millis(30)),
            penalty: Some(Duration::from_secs(5)),
            idle: None,
            exponent: 0,
            fade: true,
            ..Cost::default()
        };
        for score in [Score::InFlight, Score::Cost(Cost::default()), Score::Cost(odd)] {
            assert_eq!(Score::from_value(&score.to_value()), Ok(score));
        }
        assert_eq!(Score::from_value(&Value::from("cost")), Ok(Score::Cost(Cost::default())));
        for (field, value, code) in [
            ("tau", Value::from(0.000_999), Code::LimitExceeded),
            ("tau", Value::from(3_600.001), Code::LimitExceeded),
            ("recovery", Value::from(-1.0), Code::InvalidDuration),
            ("exponent", Value::from(5u64), Code::LimitExceeded),
            ("gain", Value::from(0.0), Code::InvalidArgument),
            ("gain", Value::from(f64::NAN), Code::InvalidArgument),
            ("unknown", Value::from("mean"), Code::InvalidArgument),
            ("idel", Value::from(3u64), Code::UnknownField),
        ] {
            let error = Cost::from_value(&Value::map([(field, value)])).unwrap_err();
            assert_eq!((error.field(), error.code()), (field, code));
        }
        for good in [0.001, 3_600.0] {
            assert!(Cost::from_value(&Value::map([("tau", Value::from(good))])).is_ok());
        }
    }
}
