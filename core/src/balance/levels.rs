//! How much of the traffic each level of priority is given: Envoy's priorities, overprovisioning, degraded instances and panic,
//! in its whole-number arithmetic.
//!
//! A level's health is the share of its instances that are well, times the overprovisioning, up to 100. The levels' healths are
//! loads in order until 100 are given; then the degraded instances' are, in the same order. What the levels have together is
//! scaled up when it is less than 100, and a level that then has fewer than `panic` percent that may be called panics: its
//! calls go to all its instances, well or not, for few well ones would fall under a load that all were made for.

use alloc::string::String;
use alloc::vec::Vec;

use super::settings::Settings;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::Value;

/// Levels of priority: the instances of a level are given what the levels before it cannot take. (Envoy's priority levels.)
///
/// The level of an instance is a number in its metadata, 0 to 15; one without it, or with anything else there, is of level 0,
/// one beyond 15 of level 15. An instance that is `starting` does not count in its level; one that drains neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The health of a level in percent for each percent of its instances that is well: 100 to 1000, default 140. At 140 a level
    /// is given all until fewer than 72 % are well.
    pub overprovisioning: u32,
    /// A level panics when fewer than this percentage of it may be called and the levels together cannot take all: up to 100,
    /// default 50. At 0 none ever does.
    pub panic: u32,
    /// The metadata key of the level: 1 to 128 bytes, default `priority`.
    pub key: String,
}

impl Default for Levels {
    fn default() -> Self {
        Self { overprovisioning: 140, panic: 50, key: String::from("priority") }
    }
}

/// The last level.
const LAST: u8 = 15;

impl Levels {
    /// Reads `{overprovisioning?, panic?, key?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["overprovisioning", "panic", "key"])?;
        let default = Self::default();
        let key = settings.text("key")?.map_or(default.key, String::from);
        if key.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "key").message("a metadata key"));
        }
        if key.len() > limits::METADATA_KEY_BYTES {
            return Err(Error::too_large("key", limits::METADATA_KEY_BYTES as u64));
        }
        Ok(Self {
            overprovisioning: settings.overprovisioning(default.overprovisioning)?,
            panic: settings.percent("panic", default.panic)?,
            key,
        })
    }

    /// Writes `{overprovisioning, panic, key}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("overprovisioning", Value::from(u64::from(self.overprovisioning))),
            ("panic", u64::from(self.panic).into()),
            ("key", self.key.as_str().into()),
        ])
    }

    /// The level that a metadata value names.
    pub(super) fn of(text: Option<&str>) -> u8 {
        let Some(text) = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) else { return 0 };
        // One that does not fit is beyond the last.
        text.parse().unwrap_or(LAST).min(LAST)
    }
}

/// How many instances a level has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) total: u32,
    pub(super) healthy: u32,
    pub(super) degraded: u32,
    /// Of the total, those that do not count unless all levels panic.
    pub(super) excluded: u32,
}

/// What a level is given, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) healthy: u32,
    pub(super) degraded: u32,
    /// Whether it goes to all instances of the level instead.
    pub(super) panic: bool,
}

impl Census {
    fn counted(self) -> u32 {
        self.total.saturating_sub(self.excluded)
    }

    /// The health of so many of it, up to 100.
    fn health(self, count: u32, overprovisioning: u32) -> u32 {
        let health = u64::from(overprovisioning).saturating_mul(count.into()).checked_div(self.counted().into()).unwrap_or_default();
        health.min(100) as u32
    }

    fn is_below(self, percent: u32) -> bool {
        let well = u64::from(self.healthy).saturating_add(self.degraded.into());
        match self.counted() {
            0 => percent > 0,
            counted => well.saturating_mul(100) < u64::from(percent).saturating_mul(counted.into()),
        }
    }
}

/// What each level is given.
pub(super) fn loads(levels: &[Census], overprovisioning: u32, panic: u32) -> Vec<Load> {
    let healthy: Vec<u32> = levels.iter().map(|level| level.health(level.healthy, overprovisioning)).collect();
    let degraded: Vec<u32> = levels.iter().map(|level| level.health(level.degraded, overprovisioning)).collect();
    let sum = healthy.iter().chain(&degraded).fold(0u32, |sum, health| sum.saturating_add(*health)).min(100);
    let mut loads: Vec<Load> = levels.iter().map(|level| Load { panic: sum != 100 && level.is_below(panic), ..Load::default() }).collect();
    if loads.iter().all(|load| load.panic) {
        let total = levels.iter().fold(0u32, |sum, level| sum.saturating_add(level.total));
        let mut rest = 100u32;
        for (load, level) in loads.iter_mut().zip(levels) {
            load.healthy = u64::from(level.total).saturating_mul(100).checked_div(total.into()).unwrap_or_default() as u32;
            rest = rest.saturating_sub(load.healthy);
        }
        let first = levels.iter().position(|level| level.total > 0).unwrap_or_default();
        if let Some(load) = loads.get_mut(first) {
            load.healthy = load.healthy.saturating_add(rest);
        }
        return loads;
    }
    let mut rest = 100u32;
    let mut take = |health: u32| {
        let load = health.saturating_mul(100).checked_div(sum).unwrap_or_default().min(rest);
        rest = rest.saturating_sub(load);
        load
    };
    for (load, health) in loads.iter_mut().zip(&healthy) {
        load.healthy = take(*health);
    }
    for (load, health) in loads.iter_mut().zip(&degraded) {
        load.degraded = take(*health);
    }
    // What rounding left.
    let first = |healths: &[u32]| healths.iter().position(|health| *health > 0);
    if let Some(load) = first(&healthy).and_then(|place| loads.get_mut(place)) {
        load.healthy = load.healthy.saturating_add(rest);
    } else if let Some(load) = first(&degraded).and_then(|place| loads.get_mut(place)) {
        load.degraded = load.degraded.saturating_add(rest);
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Total, healthy, degraded, excluded of each level; healthy load, degraded load; whether a level panics.
    type Row = (&'static [[u32; 4]], &'static [u32], &'static [u32], bool);

    /// Envoy load_balancer_impl_test.cc.
    const ENVOY: &[Row] = &[
        (&[[4, 2, 0, 0], [4, 2, 0, 0]], &[70, 30], &[0, 0], false),
        (&[[1, 1, 0, 0], [1, 1, 0, 0]], &[100, 0], &[0, 0], false),
        (&[[2, 1, 0, 0], [2, 1, 0, 0]], &[70, 30], &[0, 0], false),
        (&[[4, 1, 0, 0], [2, 2, 0, 0]], &[35, 65], &[0, 0], false),
        (&[[4, 1, 0, 0], [4, 1, 0, 0]], &[50, 50], &[0, 0], true),
        (&[[4, 1, 0, 3], [5, 1, 0, 0]], &[100, 0], &[0, 0], false),
        (&[[4, 0, 0, 4], [4, 1, 0, 0]], &[50, 50], &[0, 0], true),
        (&[[4, 0, 0, 1], [6, 1, 0, 2]], &[40, 60], &[0, 0], true),
        (&[[2, 1, 0, 0], [2, 1, 0, 0], [2, 1, 0, 0]], &[70, 30, 0], &[0, 0, 0], false),
        (&[[4, 1, 0, 0], [2, 2, 0, 0], [2, 1, 0, 0]], &[35, 65, 0], &[0, 0, 0], false),
        (&[[4, 1, 0, 0], [4, 1, 0, 0], [4, 1, 0, 0]], &[35, 35, 30], &[0, 0, 0], false),
        (&[[5, 1, 0, 0], [5, 1, 0, 0], [5, 1, 0, 0]], &[34, 33, 33], &[0, 0, 0], true),
        (&[[5, 0, 0, 0], [5, 0, 0, 0], [5, 5, 0, 0]], &[0, 0, 100], &[0, 0, 0], false),
        (&[[5, 0, 0, 0], [5, 0, 0, 0], [5, 4, 0, 0]], &[0, 0, 100], &[0, 0, 0], false),
        (&[[5, 0, 0, 0], [5, 0, 0, 0], [5, 2, 0, 0]], &[34, 33, 33], &[0, 0, 0], true),
        (&[[5, 0, 5, 0], [5, 2, 2, 0], [5, 2, 0, 0]], &[0, 56, 44], &[0, 0, 0], false),
        (&[[5, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0]], &[50, 30, 20], &[0, 0, 0], true),
        (&[[5, 0, 0, 0], [6, 2, 0, 0], [3, 1, 0, 0]], &[37, 42, 21], &[0, 0, 0], true),
        (&[[5, 0, 1, 0], [5, 0, 5, 0], [5, 1, 0, 0]], &[0, 0, 28], &[28, 44, 0], false),
        (&[[0, 0, 0, 0], [6, 0, 0, 0], [3, 0, 0, 0]], &[0, 67, 33], &[0, 0, 0], true),
        (&[[1, 0, 0, 0], [1, 0, 0, 0]], &[50, 50], &[0, 0], true),
        (&[[1, 0, 0, 0], [2, 0, 0, 0]], &[34, 66], &[0, 0], true),
    ];

    fn census(rows: &[[u32; 4]]) -> Vec<Census> {
        rows.iter()
            .map(|[total, healthy, degraded, excluded]| Census {
                total: *total,
                healthy: *healthy,
                degraded: *degraded,
                excluded: *excluded,
            })
            .collect()
    }

    #[test]
    fn envoy_gives_the_same_loads() {
        for (levels, healthy, degraded, panic) in ENVOY {
            let loads = loads(&census(levels), 140, 50);
            assert_eq!(loads.iter().map(|load| load.healthy).collect::<Vec<_>>(), *healthy, "{levels:?}");
            assert_eq!(loads.iter().map(|load| load.degraded).collect::<Vec<_>>(), *degraded, "{levels:?}");
            assert_eq!(loads.iter().any(|load| load.panic), *panic, "{levels:?}");
        }
    }

    #[test]
    fn options_change_the_loads() {
        let none = loads(&census(&[[5, 0, 0, 0], [5, 0, 2, 0], [5, 0, 1, 0]]), 140, 0);
        assert_eq!(
            none.iter().map(|load| (load.healthy, load.degraded, load.panic)).collect::<Vec<_>>(),
            [(0, 0, false), (0, 67, false), (0, 33, false)]
        );
        let even = loads(&census(&[[4, 2, 0, 0], [4, 2, 0, 0]]), 100, 50);
        assert_eq!(even.iter().map(|load| load.healthy).collect::<Vec<_>>(), [50, 50]);
        // Nobody is well, and nobody panics.
        assert!(loads(&census(&[[5, 0, 0, 0]]), 140, 0).iter().all(|load| !load.panic && load.healthy == 0));
    }

    /// The tables of Envoy's documentation: percentages of 100 instances that are well.
    #[test]
    fn envoy_documents_the_same_loads() {
        let tables: &[(&[u32], &[u32])] = &[
            (&[100, 100], &[100, 0]),
            (&[72, 100], &[100, 0]),
            (&[71, 100], &[99, 1]),
            (&[50, 100], &[70, 30]),
            (&[25, 100], &[35, 65]),
            (&[0, 100], &[0, 100]),
            (&[72, 72], &[100, 0]),
            (&[71, 71], &[99, 1]),
            (&[50, 50], &[70, 30]),
            (&[50, 60], &[70, 30]),
            (&[25, 25], &[50, 50]),
            (&[100, 100, 100], &[100, 0, 0]),
            (&[72, 72, 100], &[100, 0, 0]),
            (&[71, 71, 100], &[99, 1, 0]),
            (&[50, 50, 100], &[70, 30, 0]),
            (&[25, 100, 100], &[35, 65, 0]),
            (&[25, 25, 100], &[35, 35, 30]),
            // Its table says 36, 36, 28, which its code gives without panic only, rounded otherwise.
            (&[25, 25, 20], &[34, 33, 33]),
        ];
        for (well, load) in tables {
            let levels: Vec<_> = well.iter().map(|well| [100, *well, 0, 0]).collect();
            let loads = loads(&census(&levels), 140, 50);
            assert_eq!(loads.iter().map(|load| load.healthy).collect::<Vec<_>>(), *load, "{well:?}");
        }
        for ([healthy, degraded], load) in
            [([100, 0], (100, 0)), ([71, 0], (100, 0)), ([71, 29], (99, 1)), ([25, 65], (35, 65)), ([5, 0], (100, 0))]
        {
            let loads = loads(&census(&[[100, healthy, degraded, 0]]), 140, 50);
            assert_eq!((loads[0].healthy, loads[0].degraded), load, "{healthy} {degraded}");
        }
    }

    #[test]
    fn settings_round_trip_and_levels_are_read() {
        for levels in [Levels::default(), Levels { overprovisioning: 100, panic: 0, key: "tier".into() }] {
            assert_eq!(Levels::from_value(&levels.to_value()), Ok(levels));
        }
        for (name, value) in [("panic", 101u64), ("overprovisioning", 99), ("overprovisioning", 1001)] {
            assert_eq!(Levels::from_value(&Value::map([(name, Value::from(value))])).unwrap_err().field(), name);
        }
        assert_eq!(Levels::from_value(&Value::map([("key", Value::from(""))])).unwrap_err().field(), "key");
        let texts = [None, Some(""), Some("x"), Some("-1"), Some("0"), Some("7"), Some("15"), Some("16"), Some("99999")];
        assert_eq!(texts.map(Levels::of).to_vec(), vec![0, 0, 0, 0, 0, 7, 15, 15, 15]);
    }
}
