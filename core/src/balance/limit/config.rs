//! The settings of the limit.

use core::time::Duration;

use crate::balance::settings::{Settings, kind, time};
use crate::error::{Code, Error};
use crate::value::Value;

/// How many calls of one balancer may be out at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// `fixed`: this many: at least 1 (Envoy's `max_requests`, 1024 there and by default).
    Fixed(u32),
    /// `gradient`: follows the ratio of the lowest latency to the present one.
    Gradient(Gradient),
    /// `gradient2`: follows the ratio of the long-term latency to the present one.
    Gradient2(Gradient2),
    /// `vegas`: follows the queue that the latency tells of, as TCP Vegas.
    Vegas(Vegas),
    /// `aimd`: one more while it is used, a share less when a call is dropped.
    Aimd(Aimd),
}

/// The settings of `gradient`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient {
    /// The limit at first: at least 1, default 50.
    pub initial: u32,
    /// The lowest limit: at least 1, default 1.
    pub min: u32,
    /// The highest limit: default 1000.
    pub max: u32,
    /// How much of a lower limit is taken on: above 0 and at most 1, default 0.2.
    pub smoothing: f64,
    /// How many calls may wait, or the square root of the limit when that is more: default 4.
    pub queue: u32,
    /// By how much the latency may be above the lowest before the limit shrinks, as a factor: 1 to 100, default 2.
    pub tolerance: f64,
    /// What is left of the limit after a drop: 0.5 to 1, default 0.9.
    pub backoff: f64,
    /// The lowest latency is measured anew after one to two times so many calls: at least 1, default 1000.
    pub probe: u32,
}

/// The settings of `gradient2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient2 {
    /// The limit at first: at least 1, default 20.
    pub initial: u32,
    /// The lowest limit: at least 1, default 20.
    pub min: u32,
    /// The highest limit: default 200.
    pub max: u32,
    /// How much of a new limit is taken on: above 0 and at most 1, default 0.2.
    pub smoothing: f64,
    /// How many calls may wait: default 4.
    pub queue: u32,
    /// The window of the long-term latency, in calls: at least 1, default 600.
    pub window: u32,
    /// By how much the latency may grow before the limit shrinks, as a factor: 1 to 100, default 1.5.
    pub tolerance: f64,
}

/// The settings of `vegas`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vegas {
    /// The limit at first: at least 1, default 20.
    pub initial: u32,
    /// The highest limit: default 1000.
    pub max: u32,
    /// How much of a new limit is taken on: above 0 and at most 1, default 1.
    pub smoothing: f64,
    /// The lowest latency is measured anew after about this many times as many calls as the limit: at least 1, default 30.
    pub probe: u32,
}

/// The settings of `aimd`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aimd {
    /// The limit at first: at least 1, default 20.
    pub initial: u32,
    /// The lowest limit: at least 1, default 20.
    pub min: u32,
    /// The highest limit: default 200.
    pub max: u32,
    /// What is left of the limit after a drop: 0.5 to 1, default 0.9.
    pub backoff: f64,
    /// A call that took longer counts as dropped: 1 ms to 1 h, default 5 s.
    pub timeout: Duration,
}

impl Default for Limit {
    fn default() -> Self {
        Self::Gradient2(Gradient2::default())
    }
}

impl Default for Gradient {
    fn default() -> Self {
        Self { initial: 50, min: 1, max: 1_000, smoothing: 0.2, queue: 4, tolerance: 2.0, backoff: 0.9, probe: 1_000 }
    }
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self { initial: 20, min: 20, max: 200, smoothing: 0.2, queue: 4, window: 600, tolerance: 1.5 }
    }
}

impl Default for Vegas {
    fn default() -> Self {
        Self { initial: 20, max: 1_000, smoothing: 1.0, probe: 30 }
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Self { initial: 20, min: 20, max: 200, backoff: 0.9, timeout: Duration::from_secs(5) }
    }
}

impl Limit {
    /// Reads a kind's name, `{kind: "fixed", max?}`, `{kind: "gradient", initial?, min?, max?, smoothing?, queue?, tolerance?,
    /// backoff?, probe?}`, `{kind: "gradient2", initial?, min?, max?, smoothing?, queue?, window?,
    /// tolerance?}`, `{kind: "vegas", initial?, max?, smoothing?, probe?}` or `{kind: "aimd", initial?, min?, max?, backoff?,
    /// timeout?}`; the timeout is in seconds.
    ///
    /// # Errors
    /// [`Code::MissingField`], [`Code::LimitExceeded`], [`Code::InvalidDuration`], [`Code::InvalidArgument`],
    /// [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let (kind, document) = kind(value)?;
        match kind {
            "fixed" => Settings::new(document, &["kind", "max"])?.count("max", 1_024, 1).map(Self::Fixed),
            "gradient" => Gradient::read(document).map(Self::Gradient),
            "gradient2" => Gradient2::read(document).map(Self::Gradient2),
            "vegas" => Vegas::read(document).map(Self::Vegas),
            "aimd" => Aimd::read(document).map(Self::Aimd),
            _ => Err(Error::new(Code::InvalidArgument, "kind").message("one of fixed gradient gradient2 vegas aimd")),
        }
    }

    /// Writes `{kind, ..}`.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Fixed(max) => Value::map([("kind", Value::from("fixed")), ("max", u64::from(*max).into())]),
            Self::Gradient(one) => Value::map([
                ("kind", Value::from("gradient")),
                ("initial", u64::from(one.initial).into()),
                ("min", u64::from(one.min).into()),
                ("max", u64::from(one.max).into()),
                ("smoothing", one.smoothing.into()),
                ("queue", u64::from(one.queue).into()),
                ("tolerance", one.tolerance.into()),
                ("backoff", one.backoff.into()),
                ("probe", u64::from(one.probe).into()),
            ]),
            Self::Gradient2(one) => Value::map([
                ("kind", Value::from("gradient2")),
                ("initial", u64::from(one.initial).into()),
                ("min", u64::from(one.min).into()),
                ("max", u64::from(one.max).into()),
                ("smoothing", one.smoothing.into()),
                ("queue", u64::from(one.queue).into()),
                ("window", u64::from(one.window).into()),
                ("tolerance", one.tolerance.into()),
            ]),
            Self::Vegas(one) => Value::map([
                ("kind", Value::from("vegas")),
                ("initial", u64::from(one.initial).into()),
                ("max", u64::from(one.max).into()),
                ("smoothing", one.smoothing.into()),
                ("probe", u64::from(one.probe).into()),
            ]),
            Self::Aimd(one) => Value::map([
                ("kind", Value::from("aimd")),
                ("initial", u64::from(one.initial).into()),
                ("min", u64::from(one.min).into()),
                ("max", u64::from(one.max).into()),
                ("backoff", one.backoff.into()),
                ("timeout", time(one.timeout)),
            ]),
        }
    }
}

/// The lowest smoothing.
const SMOOTHEST: f64 = 0.001;

impl Gradient {
    fn read(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["kind", "initial", "min", "max", "smoothing", "queue", "tolerance", "backoff", "probe"])?;
        let default = Self::default();
        Ok(Self {
            initial: settings.count("initial", default.initial, 1)?,
            min: settings.count("min", default.min, 1)?,
            max: settings.count("max", default.max, 1)?,
            smoothing: settings.number("smoothing", default.smoothing, SMOOTHEST, 1.0)?,
            queue: settings.count("queue", default.queue, 0)?,
            tolerance: settings.number("tolerance", default.tolerance, 1.0, 100.0)?,
            backoff: settings.number("backoff", default.backoff, 0.5, 1.0)?,
            probe: settings.count("probe", default.probe, 1)?,
        })
    }
}

impl Gradient2 {
    fn read(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["kind", "initial", "min", "max", "smoothing", "queue", "window", "tolerance"])?;
        let default = Self::default();
        Ok(Self {
            initial: settings.count("initial", default.initial, 1)?,
            min: settings.count("min", default.min, 1)?,
            max: settings.count("max", default.max, 1)?,
            smoothing: settings.number("smoothing", default.smoothing, SMOOTHEST, 1.0)?,
            queue: settings.count("queue", default.queue, 0)?,
            window: settings.count("window", default.window, 1)?,
            tolerance: settings.number("tolerance", default.tolerance, 1.0, 100.0)?,
        })
    }
}

impl Vegas {
    fn read(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["kind", "initial", "max", "smoothing", "probe"])?;
        let default = Self::default();
        Ok(Self {
            initial: settings.count("initial", default.initial, 1)?,
            max: settings.count("max", default.max, 1)?,
            smoothing: settings.number("smoothing", default.smoothing, SMOOTHEST, 1.0)?,
            probe: settings.count("probe", default.probe, 1)?,
        })
    }
}

impl Aimd {
    fn read(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["kind", "initial", "min", "max", "backoff", "timeout"])?;
        let default = Self::default();
        Ok(Self {
            initial: settings.count("initial", default.initial, 1)?,
            min: settings.count("min", default.min, 1)?,
            max: settings.count("max", default.max, 1)?,
            backoff: settings.number("backoff", default.backoff, 0.5, 1.0)?,
            timeout: settings.span("timeout", default.timeout)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip() {
        for limit in [
            Limit::Fixed(9),
            Limit::default(),
            Limit::Gradient(Gradient::default()),
            Limit::Vegas(Vegas::default()),
            Limit::Aimd(Aimd::default()),
        ] {
            assert_eq!(Limit::from_value(&limit.to_value()), Ok(limit));
        }
        assert_eq!(Limit::from_value(&"aimd".into()), Ok(Limit::Aimd(Aimd::default())));
        let bad = |pairs: &[(&'static str, Value)]| Limit::from_value(&Value::map(pairs.to_vec())).unwrap_err();
        assert_eq!(bad(&[("kind", "vega".into())]).field(), "kind");
        assert_eq!(bad(&[("kind", "vegas".into()), ("queue", 1u64.into())]).code(), Code::UnknownField);
        assert_eq!(bad(&[("kind", "aimd".into()), ("max", 0u64.into())]).field(), "max");
        assert_eq!(bad(&[("max", 1u64.into())]).code(), Code::MissingField);
    }
}
