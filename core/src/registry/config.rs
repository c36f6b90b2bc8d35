//! The settings of a registry.

use core::time::Duration;

use crate::error::{Code, Error};
use crate::time::{Timestamp, duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// The settings of a registry. The defaults suit a service mesh of up to a million instances with leases of some seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Keys the hash tables, so that nobody who chooses names can slow them down. Give each process a secret one;
    /// no answer depends on it. Default 0.
    pub seed: u64,
    /// Names this life of the registry; below 2^53. Give each start a new one, such as the seconds since 1970, so that a
    /// client notices a restart. Default 1.
    pub epoch: u64,
    /// How much later than its deadline the host may call before the registry takes it that nobody was watching and
    /// counts every lease as renewed. Rule of thumb: ten times the host's timer error. Default 1 s.
    pub timer_slack: Duration,
    /// The time between two passes over a service that has more overdue instances than one pass may evict. Default 1 s.
    pub eviction_interval: Duration,
    /// How long protection may hold an instance that is overdue. Default 600 s (ServiceComb's bound).
    pub protection_limit: Duration,
    /// The share of a service's leased instances, in percent, that one pass may evict; at least one instance. 1 to 100, default 15 (Eureka).
    pub eviction_percent: u8,
    /// The share of a service's leased instances, in percent, that must be within their ttl for expiry to go on freely.
    /// 0 turns protection off. 0 to 100, default 85 (Eureka).
    pub renewal_percent: u8,
    /// How often a foreign source must repeat a listing that drops more than half of its records before it is believed. Default 3.
    pub confirm_repeats: u32,
    /// For how long it must have repeated it. Default 10 s.
    pub confirm_after: Duration,
    /// How many changes the log keeps for readers that lag. 1 to 16 777 216, default 16 384.
    pub log_capacity: u32,
    /// Whether foreign sources may name loopback, link-local, multicast and unspecified addresses. Default false.
    pub allow_local_addresses: bool,
    /// Instances of all services together. Default 1 000 000.
    pub max_instances: u32,
    /// Services of all namespaces together. Default 100 000.
    pub max_services: u32,
    /// Instances of one service. Default 100 000.
    pub max_instances_per_service: u32,
    /// Operator overrides. Default 100 000.
    pub max_overrides: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            epoch: 1,
            timer_slack: Duration::from_secs(1),
            eviction_interval: Duration::from_secs(1),
            protection_limit: Duration::from_secs(600),
            eviction_percent: 15,
            renewal_percent: 85,
            confirm_repeats: 3,
            confirm_after: Duration::from_secs(10),
            log_capacity: 16_384,
            allow_local_addresses: false,
            max_instances: 1_000_000,
            max_services: 100_000,
            max_instances_per_service: 100_000,
            max_overrides: 100_000,
        }
    }
}

const FIELDS: &[&str] = &[
    "seed",
    "epoch",
    "timer_slack",
    "eviction_interval",
    "protection_limit",
    "eviction_percent",
    "renewal_percent",
    "confirm_repeats",
    "confirm_after",
    "log_capacity",
    "allow_local_addresses",
    "max_instances",
    "max_services",
    "max_instances_per_service",
    "max_overrides",
];

/// The largest log.
const LOG_CAPACITY: u64 = 1 << 24;

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] with the field and its limit.
    pub fn validate(&self) -> Result<(), Error> {
        let number = |field, value: u64, least: u64, most: u64| {
            if value < least {
                return Err(Error::new(Code::LimitExceeded, field).limit(least).message("below the least"));
            }
            if value > most { Err(Error::too_large(field, most)) } else { Ok(()) }
        };
        number("epoch", self.epoch, 0, Timestamp::MAX.as_micros())?;
        number("eviction_percent", self.eviction_percent.into(), 1, 100)?;
        number("renewal_percent", self.renewal_percent.into(), 0, 100)?;
        number("confirm_repeats", self.confirm_repeats.into(), 1, u32::MAX.into())?;
        number("log_capacity", self.log_capacity.into(), 1, LOG_CAPACITY)?;
        // An eviction pass must not be due again at once.
        number("eviction_interval", micros(self.eviction_interval), 1_000, Timestamp::MAX.as_micros())
    }

    /// Reads a document of these fields, durations in seconds; what is absent keeps its default.
    ///
    /// # Errors
    /// As [`Config::validate`], with [`Code::UnknownField`], [`Code::InvalidArgument`] and [`Code::InvalidDuration`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", FIELDS)?;
        let number = |name: &str, default: u64, most: u64| match fields.u64(name)? {
            Some(number) if number > most => Err(Error::too_large(name, most)),
            other => Ok(other.unwrap_or(default)),
        };
        let count = |name: &str, default: u32| number(name, default.into(), u32::MAX.into()).map(|count| count as u32);
        let percent = |name: &str, default: u8| number(name, default.into(), 100).map(|percent| percent as u8);
        let duration = |name: &str, default| fields.f64(name)?.map_or(Ok(default), |secs| duration_from_secs(name, secs));
        let base = Self::default();
        let config = Self {
            seed: fields.u64("seed")?.unwrap_or(base.seed),
            epoch: fields.u64("epoch")?.unwrap_or(base.epoch),
            timer_slack: duration("timer_slack", base.timer_slack)?,
            eviction_interval: duration("eviction_interval", base.eviction_interval)?,
            protection_limit: duration("protection_limit", base.protection_limit)?,
            eviction_percent: percent("eviction_percent", base.eviction_percent)?,
            renewal_percent: percent("renewal_percent", base.renewal_percent)?,
            confirm_repeats: count("confirm_repeats", base.confirm_repeats)?,
            confirm_after: duration("confirm_after", base.confirm_after)?,
            log_capacity: count("log_capacity", base.log_capacity)?,
            allow_local_addresses: fields.bool("allow_local_addresses")?.unwrap_or(base.allow_local_addresses),
            max_instances: count("max_instances", base.max_instances)?,
            max_services: count("max_services", base.max_services)?,
            max_instances_per_service: count("max_instances_per_service", base.max_instances_per_service)?,
            max_overrides: count("max_overrides", base.max_overrides)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Writes the document, without the seed, which is a secret.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("epoch", self.epoch.into()),
            ("timer_slack", secs(self.timer_slack).into()),
            ("eviction_interval", secs(self.eviction_interval).into()),
            ("protection_limit", secs(self.protection_limit).into()),
            ("eviction_percent", u64::from(self.eviction_percent).into()),
            ("renewal_percent", u64::from(self.renewal_percent).into()),
            ("confirm_repeats", u64::from(self.confirm_repeats).into()),
            ("confirm_after", secs(self.confirm_after).into()),
            ("log_capacity", u64::from(self.log_capacity).into()),
            ("allow_local_addresses", self.allow_local_addresses.into()),
            ("max_instances", u64::from(self.max_instances).into()),
            ("max_services", u64::from(self.max_services).into()),
            ("max_instances_per_service", u64::from(self.max_instances_per_service).into()),
            ("max_overrides", u64::from(self.max_overrides).into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_round_trip_and_ranges_hold() {
        let config = Config { timer_slack: Duration::from_millis(250), renewal_percent: 0, ..Config::default() };
        assert_eq!(Config::from_value(&config.to_value()), Ok(config));
        for (field, value, code) in [
            ("eviction_percent", Value::Int(0), Code::LimitExceeded),
            ("eviction_percent", Value::Int(101), Code::LimitExceeded),
            ("renewal_percent", Value::Int(101), Code::LimitExceeded),
            ("log_capacity", Value::Int(0), Code::LimitExceeded),
            ("log_capacity", Value::Int((1 << 24) + 1), Code::LimitExceeded),
            ("eviction_interval", Value::Int(0), Code::LimitExceeded),
            ("timer_slack", Value::Int(-1), Code::InvalidDuration),
            ("seed", Value::Int(-1), Code::InvalidArgument),
            ("tiemr_slack", Value::Int(1), Code::UnknownField),
        ] {
            let error = Config::from_value(&Value::map([(field, value)])).unwrap_err();
            assert_eq!((error.code(), error.field()), (code, field));
        }
    }
}
