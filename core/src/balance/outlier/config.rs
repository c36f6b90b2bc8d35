//! The settings of outlier detection.

use core::time::Duration;

use crate::balance::settings::{Settings, kind, optional, time};
use crate::error::{Code, Error};
use crate::value::Value;

/// When an instance is taken out of the picks because it does worse than it should or than its peers, and how it comes back.
///
/// An instance that is out gets calls only when there is no other, and those that find out whether it is well again. It comes
/// back at once when the registry has it available after it had it otherwise, as after an active health check in Envoy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outliers {
    /// How often rates and latencies are compared: 1 ms to 1 h, default 10 s.
    pub interval: Duration,
    /// The share of the instances in percent at which no more are taken out: default 10. It is compared before one is.
    pub most: u32,
    /// Whether one may be taken out whatever `most` says; default false.
    pub always_one: bool,
    /// How one comes back; default after a time, as in Envoy.
    pub recovery: Recovery,
    /// Whether failures that were seen on this side (`connect`, `timeout`) are counted apart; else they count as gateway failures. Default false.
    pub split: bool,
    /// So many failures in a row; default 5.
    pub errors: Option<Streak>,
    /// So many gateway failures in a row; default 5, enforced never.
    pub gateway: Option<Streak>,
    /// So many failures on this side in a row, when they are counted apart; default 5.
    pub local: Option<Streak>,
    /// A success rate far below that of the peers.
    pub success_rate: Option<SuccessRate>,
    /// A share of failures.
    pub failures: Option<Failures>,
    /// A latency far above that of the peers; off by default, as Envoy has none.
    pub latency: Option<Slowness>,
}

/// How an instance comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recovery {
    /// `fixed`: at the first comparison after `base` times the number of times it was taken out lately (Envoy, gRPC A50).
    Fixed {
        /// Default 30 s.
        base: Duration,
        /// The longest time: default 300 s.
        most: Duration,
        /// Up to so much is drawn and added: default 0.
        jitter: Duration,
    },
    /// `probe`: a single call is sent to it now and then, the gap doubling; it is back when some went well.
    Probe {
        /// The gap before the first call: default 1 s.
        first: Duration,
        /// The longest gap: default 4 s.
        most: Duration,
        /// How many calls in a row must go well, one after the other: at least 1, default 3.
        successes: u32,
        /// Whether the host checks it in the place of calls, default false: then
        /// [`probe_requests`](crate::balance::Balancer::probe_requests) names it when it is due, and what
        /// [`probed`](crate::balance::Balancer::probed) tells went well; a check of which nothing is told did not.
        checks: bool,
    },
}

/// So many in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// How many: at least 1.
    pub count: u32,
    /// With which probability in percent the instance is taken out.
    pub enforcing: u32,
}

/// A success rate below the mean of the peers' by more than `factor` of their standard deviations (of the population).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    /// How many instances must have enough calls: default 5.
    pub hosts: u32,
    /// How many calls in an interval are enough: default 100.
    pub volume: u32,
    /// How many standard deviations: 0 to 100, default 1.9.
    pub factor: f64,
    /// With which probability in percent the instance is taken out: default 100.
    pub enforcing: u32,
}

/// A share of failures of so many percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many percent: default 85.
    pub threshold: u32,
    /// Whether it takes more than that, as in gRPC, and not just as much, as in Envoy; default false. With it those whose time
    /// is over come back after a comparison, as in gRPC, and not before.
    pub above: bool,
    /// How many instances must have enough calls: default 5.
    pub hosts: u32,
    /// How many calls in an interval are enough: default 50.
    pub volume: u32,
    /// With which probability in percent the instance is taken out: default 0.
    pub enforcing: u32,
}

/// A median latency above `factor` times the median of the peers' medians, and above it by `floor` at least.
///
/// Asked for in envoyproxy/envoy#288 since 2016. The median, since it takes half of the calls to move it; the floor, since
/// three times little is little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slowness {
    /// How many times: 1 to 1 000, default 3.
    pub factor: f64,
    /// At most 1 h, default 20 ms.
    pub floor: Duration,
    /// How many instances must have enough calls: default 3.
    pub hosts: u32,
    /// How many calls in an interval are enough: at least 1, default 20.
    pub volume: u32,
    /// With which probability in percent the instance is taken out: default 100.
    pub enforcing: u32,
}

/// Envoy's documented defaults.
impl Default for Outliers {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            most: 10,
            always_one: false,
            recovery: Recovery::default(),
            split: false,
            errors: Some(Streak::new(100)),
            gateway: Some(Streak::new(0)),
            local: Some(Streak::new(100)),
            success_rate: Some(SuccessRate::default()),
            failures: Some(Failures::default()),
            latency: None,
        }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self::Fixed { base: Duration::from_secs(30), most: Duration::from_secs(300), jitter: Duration::ZERO }
    }
}

impl Streak {
    const fn new(enforcing: u32) -> Self {
        Self { count: 5, enforcing }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { hosts: 5, volume: 100, factor: 1.9, enforcing: 100 }
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self { threshold: 85, above: false, hosts: 5, volume: 50, enforcing: 0 }
    }
}

impl Default for Slowness {
    fn default() -> Self {
        Self { factor: 3.0, floor: Duration::from_millis(20), hosts: 3, volume: 20, enforcing: 100 }
    }
}

impl Outliers {
    /// callboard's own: five failures in a row, half of the calls failing, or three times the peers' median latency; up to half
    /// of the instances; brought back by probes. No success rate: among like peers the worst is often 1.9 standard deviations off.
    pub fn adaptive() -> Self {
        Self {
            most: 50,
            always_one: true,
            recovery: Recovery::Probe { first: Duration::from_secs(1), most: Duration::from_secs(4), successes: 3, checks: false },
            gateway: None,
            local: None,
            success_rate: None,
            failures: Some(Failures { threshold: 50, above: false, hosts: 1, volume: 20, enforcing: 100 }),
            latency: Some(Slowness::default()),
            ..Self::default()
        }
    }

    /// gRPC's, by A50: only rates, and the failures must be above the threshold. Both rates are off there until configured, so
    /// these are the settings they have when they are.
    pub fn grpc() -> Self {
        Self {
            errors: None,
            gateway: None,
            local: None,
            failures: Some(Failures { above: true, enforcing: 100, ..Failures::default() }),
            ..Self::default()
        }
    }

    /// Reads a preset's name (`envoy`, `grpc`, `adaptive`) or `{preset?, interval?, most?, always_one?, recovery?, split?,
    /// errors?, gateway?, local?, success_rate?, failures?, latency?}`, each rule being a document or `"off"`. Times are in
    /// seconds; the preset is `envoy` when absent.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidDuration`], [`Code::InvalidArgument`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        if let Some(name) = value.as_str() {
            return Self::named(name);
        }
        let known = [
            "preset",
            "interval",
            "most",
            "always_one",
            "recovery",
            "split",
            "errors",
            "gateway",
            "local",
            "success_rate",
            "failures",
            "latency",
        ];
        let settings = Settings::new(value, &known)?;
        let default = Self::named(settings.text("preset")?.unwrap_or("envoy"))?;
        let streak = |name: &str, default: Option<Streak>| {
            settings.part(name, default, |value| {
                let settings = Settings::new(value, &["count", "enforcing"])?;
                let default = default.unwrap_or(Streak::new(100));
                Ok(Streak {
                    count: settings.count("count", default.count, 1)?,
                    enforcing: settings.percent("enforcing", default.enforcing)?,
                })
            })
        };
        Ok(Self {
            interval: settings.span("interval", default.interval)?,
            most: settings.percent("most", default.most)?,
            always_one: settings.flag("always_one", default.always_one)?,
            recovery: settings.document("recovery", default.recovery, Recovery::from_value)?,
            split: settings.flag("split", default.split)?,
            errors: streak("errors", default.errors)?,
            gateway: streak("gateway", default.gateway)?,
            local: streak("local", default.local)?,
            success_rate: settings
                .part("success_rate", default.success_rate, |value| SuccessRate::read(value, default.success_rate.unwrap_or_default()))?,
            failures: settings.part("failures", default.failures, |value| Failures::read(value, default.failures.unwrap_or_default()))?,
            latency: settings.part("latency", default.latency, |value| Slowness::read(value, default.latency.unwrap_or_default()))?,
        })
    }

    fn named(name: &str) -> Result<Self, Error> {
        match name {
            "envoy" => Ok(Self::default()),
            "grpc" => Ok(Self::grpc()),
            "adaptive" => Ok(Self::adaptive()),
            _ => Err(Error::new(Code::InvalidArgument, "preset").message("one of envoy grpc adaptive")),
        }
    }

    /// Writes all but the preset of what [`Outliers::from_value`] reads.
    pub fn to_value(&self) -> Value {
        let count = |number: u32| Value::from(u64::from(number));
        let streak = |streak: Option<Streak>| {
            optional(streak.as_ref(), |streak| Value::map([("count", count(streak.count)), ("enforcing", count(streak.enforcing))]))
        };
        let success_rate = |rule: &SuccessRate| {
            let (hosts, volume, enforcing) = (count(rule.hosts), count(rule.volume), count(rule.enforcing));
            Value::map([("hosts", hosts), ("volume", volume), ("factor", rule.factor.into()), ("enforcing", enforcing)])
        };
        let failures = |rule: &Failures| {
            Value::map([
                ("threshold", count(rule.threshold)),
                ("above", rule.above.into()),
                ("hosts", count(rule.hosts)),
                ("volume", count(rule.volume)),
                ("enforcing", count(rule.enforcing)),
            ])
        };
        let latency = |rule: &Slowness| {
            Value::map([
                ("factor", Value::from(rule.factor)),
                ("floor", time(rule.floor)),
                ("hosts", count(rule.hosts)),
                ("volume", count(rule.volume)),
                ("enforcing", count(rule.enforcing)),
            ])
        };
        Value::map([
            ("interval", time(self.interval)),
            ("most", count(self.most)),
            ("always_one", self.always_one.into()),
            ("recovery", self.recovery.to_value()),
            ("split", self.split.into()),
            ("errors", streak(self.errors)),
            ("gateway", streak(self.gateway)),
            ("local", streak(self.local)),
            ("success_rate", optional(self.success_rate.as_ref(), success_rate)),
            ("failures", optional(self.failures.as_ref(), failures)),
            ("latency", optional(self.latency.as_ref(), latency)),
        ])
    }
}

impl Recovery {
    fn from_value(value: &Value) -> Result<Self, Error> {
        let (kind, document) = kind(value)?;
        let secs = Duration::from_secs;
        match kind {
            "fixed" => {
                let settings = Settings::new(document, &["kind", "base", "most", "jitter"])?;
                Ok(Self::Fixed {
                    base: settings.span("base", secs(30))?,
                    most: settings.span("most", secs(300))?,
                    jitter: settings.time("jitter", Duration::ZERO)?,
                })
            }
            "probe" => {
                let settings = Settings::new(document, &["kind", "first", "most", "successes", "checks"])?;
                Ok(Self::Probe {
                    first: settings.span("first", secs(1))?,
                    most: settings.span("most", secs(4))?,
                    successes: settings.count("successes", 3, 1)?,
                    checks: settings.flag("checks", false)?,
                })
            }
            _ => Err(Error::new(Code::InvalidArgument, "kind").message("one of fixed probe")),
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::Fixed { base, most, jitter } => {
                Value::map([("kind", "fixed".into()), ("base", time(base)), ("most", time(most)), ("jitter", time(jitter))])
            }
            Self::Probe { first, most, successes, checks } => Value::map([
                ("kind", "probe".into()),
                ("first", time(first)),
                ("most", time(most)),
                ("successes", u64::from(successes).into()),
                ("checks", checks.into()),
            ]),
        }
    }
}

impl SuccessRate {
    fn read(value: &Value, default: Self) -> Result<Self, Error> {
        let settings = Settings::new(value, &["hosts", "volume", "factor", "enforcing"])?;
        Ok(Self {
            hosts: settings.count("hosts", default.hosts, 0)?,
            volume: settings.count("volume", default.volume, 1)?,
            factor: settings.number("factor", default.factor, 0.0, 100.0)?,
            enforcing: settings.percent("enforcing", default.enforcing)?,
        })
    }
}

impl Failures {
    fn read(value: &Value, default: Self) -> Result<Self, Error> {
        let settings = Settings::new(value, &["threshold", "above", "hosts", "volume", "enforcing"])?;
        Ok(Self {
            threshold: settings.percent("threshold", default.threshold)?,
            above: settings.flag("above", default.above)?,
            hosts: settings.count("hosts", default.hosts, 0)?,
            volume: settings.count("volume", default.volume, 1)?,
            enforcing: settings.percent("enforcing", default.enforcing)?,
        })
    }
}

impl Slowness {
    fn read(value: &Value, default: Self) -> Result<Self, Error> {
        let settings = Settings::new(value, &["factor", "floor", "hosts", "volume", "enforcing"])?;
        Ok(Self {
            factor: settings.number("factor", default.factor, 1.0, 1_000.0)?,
            floor: settings.time("floor", default.floor)?,
            hosts: settings.count("hosts", default.hosts, 0)?,
            volume: settings.count("volume", default.volume, 1)?,
            enforcing: settings.percent("enforcing", default.enforcing)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip() {
        for outliers in [Outliers::default(), Outliers::grpc(), Outliers::adaptive()] {
            assert_eq!(Outliers::from_value(&outliers.to_value()), Ok(outliers));
        }
        for (name, preset) in [("envoy", Outliers::default()), ("grpc", Outliers::grpc()), ("adaptive", Outliers::adaptive())] {
            assert_eq!(Outliers::from_value(&name.into()), Ok(preset));
            assert_eq!(Outliers::from_value(&Value::map([("preset", Value::from(name))])), Ok(preset));
        }
    }

    #[test]
    fn a_wrong_one_is_told() {
        let error = |text: &str| Outliers::from_value(&Value::from_json(text.as_bytes()).unwrap()).unwrap_err();
        for (text, field) in [
            (r#"{"errors": {"count": 0}}"#, "errors.count"),
            (r#"{"errors": {"enforcing": 101}}"#, "errors.enforcing"),
            (r#"{"most": 101}"#, "most"),
            (r#"{"latency": {"factor": 0.5}}"#, "latency.factor"),
            (r#"{"recovery": "later"}"#, "recovery.kind"),
            (r#"{"recovery": "off"}"#, "recovery.kind"),
            (r#"{"recovery": {"kind": "fixed", "successes": 1}}"#, "recovery.successes"),
            (r#"{"recovery": {"kind": "probe", "successes": 0}}"#, "recovery.successes"),
            (r#"{"interval": 0.0001}"#, "interval"),
            (r#""istio""#, "preset"),
        ] {
            assert_eq!(error(text).field(), field);
        }
    }
}
