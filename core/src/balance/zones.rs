//! How the traffic of a level is divided among localities: Envoy's zone-aware routing and its locality weights.

use alloc::string::String;
use alloc::vec::Vec;

use super::settings::{Settings, spell, word};
use crate::error::Error;
use crate::model::Locality;
use crate::value::Value;

/// How the traffic of a level is divided among the localities of its instances.
///
/// A locality is named by its path: the parts that are known, down to `scope`, with `/` between them, as in `eu/eu-1a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Localities {
    /// By what it is divided; by default by nearness.
    pub mode: LocalityMode,
    /// How far down localities differ: by default to the zone.
    pub scope: LocalityScope,
    /// The path of the client's own locality. Without it (the default) nothing is near.
    pub local: String,
    /// How many clients like this one each locality has, by path; by default one in each that has instances, and one in the
    /// client's own.
    pub peers: Vec<(String, u32)>,
    /// What each locality is given, by path, when all its instances are well: any number, default 1. For the mode `weights`.
    pub weights: Vec<(String, u32)>,
    /// A level with fewer well instances is not divided by nearness: default 6.
    pub min_instances: u32,
    /// With as many well instances in the client's own locality all calls stay there: 0 (the default) is off.
    pub force_local: u32,
    /// Whether localities are compared by the weights of their instances instead of their number. Default off.
    pub by_weight: bool,
    /// What a locality can take in percent for each percent of it that is well: 100 to 1000, default 140. For the mode `weights`.
    pub overprovisioning: u32,
}

/// By what traffic is divided among localities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityMode {
    /// `nearest`: as much stays in the client's own locality as leaves every instance everywhere with the same load, if every
    /// locality's clients do likewise. (Envoy's zone-aware routing.)
    Nearest,
    /// `weights`: by the localities' weights, less for one whose instances are not well. (Envoy's locality weighted load
    /// balancing, drawn instead of scheduled.)
    Weights,
}

/// How far down localities differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityScope {
    /// `region`.
    Region,
    /// `zone`.
    Zone,
    /// `subzone`.
    Subzone,
}

const MODES: [(&str, LocalityMode); 2] = [("nearest", LocalityMode::Nearest), ("weights", LocalityMode::Weights)];
const SCOPES: [(&str, LocalityScope); 3] =
    [("region", LocalityScope::Region), ("zone", LocalityScope::Zone), ("subzone", LocalityScope::Subzone)];

impl Default for Localities {
    fn default() -> Self {
        Self {
            mode: LocalityMode::Nearest,
            scope: LocalityScope::Zone,
            local: String::new(),
            peers: Vec::new(),
            weights: Vec::new(),
            min_instances: 6,
            force_local: 0,
            by_weight: false,
            overprovisioning: 140,
        }
    }
}

impl Localities {
    const KEYS: [&str; 9] = ["mode", "scope", "local", "peers", "weights", "min_instances", "force_local", "by_weight", "overprovisioning"];

    /// Reads `{mode?, scope?, local?, peers?, weights?, min_instances?, force_local?, by_weight?, overprovisioning?}`; `peers` and
    /// `weights` are maps from a path to a number.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &Self::KEYS)?;
        let default = Self::default();
        Ok(Self {
            mode: word(&MODES, &settings, "mode", default.mode)?,
            scope: word(&SCOPES, &settings, "scope", default.scope)?,
            local: settings.text("local")?.unwrap_or_default().into(),
            peers: settings.numbers("peers")?,
            weights: settings.numbers("weights")?,
            min_instances: settings.count("min_instances", default.min_instances, 0)?,
            force_local: settings.count("force_local", default.force_local, 0)?,
            by_weight: settings.flag("by_weight", default.by_weight)?,
            overprovisioning: settings.overprovisioning(default.overprovisioning)?,
        })
    }

    /// Writes what [`Localities::from_value`] reads.
    pub fn to_value(&self) -> Value {
        let table = |table: &[(String, u32)]| Value::map(table.iter().map(|(path, number)| (path.as_str(), u64::from(*number).into())));
        Value::map([
            ("mode", Value::from(spell(&MODES, &self.mode))),
            ("scope", spell(&SCOPES, &self.scope).into()),
            ("local", self.local.as_str().into()),
            ("peers", table(&self.peers)),
            ("weights", table(&self.weights)),
            ("min_instances", u64::from(self.min_instances).into()),
            ("force_local", u64::from(self.force_local).into()),
            ("by_weight", self.by_weight.into()),
            ("overprovisioning", u64::from(self.overprovisioning).into()),
        ])
    }

    /// The path of a locality.
    pub(super) fn path(&self, locality: &Locality) -> String {
        let parts = [&locality.region, &locality.zone, &locality.subzone];
        let depth = match self.scope {
            LocalityScope::Region => 1,
            LocalityScope::Zone => 2,
            LocalityScope::Subzone => 3,
        };
        let known: Vec<&str> = parts.into_iter().take(depth).map(String::as_str).filter(|part| !part.is_empty()).collect();
        known.join("/")
    }
}

/// A locality's instances in a level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side<'a> {
    pub(super) path: &'a str,
    /// Those that count, well or not.
    pub(super) total: u32,
    /// Those that may be called, and their weights together.
    pub(super) well: u32,
    pub(super) weight: u64,
    /// Of how many instances of the locality these are some, when its weight is scaled by that; else none.
    pub(super) part: Option<(u32, u32)>,
}

/// What each locality is given, in parts of their sum.
pub(super) fn shares(localities: &Localities, sides: &[Side<'_>]) -> Vec<u64> {
    match localities.mode {
        LocalityMode::Weights => sides.iter().map(|side| weighted(localities, side)).collect(),
        LocalityMode::Nearest => nearest(localities, sides).unwrap_or_else(|| sides.iter().map(|side| side.weight).collect()),
    }
}

fn find(table: &[(String, u32)], path: &str) -> Option<u32> {
    table.iter().find(|(known, _)| known == path).map(|(_, number)| *number)
}

/// The effective weight of a locality.
fn weighted(localities: &Localities, side: &Side<'_>) -> u64 {
    // Enough for any two shares to differ as their weights do.
    const SCALE: u64 = 1_000_000;
    let weight = u64::from(find(&localities.weights, side.path).unwrap_or(1));
    let health = u64::from(localities.overprovisioning).saturating_mul(side.well.into()).saturating_mul(SCALE / 100);
    let share = weight.saturating_mul(health.checked_div(side.total.into()).unwrap_or_default().min(SCALE));
    let Some((some, all)) = side.part else { return share };
    // A part of a number below 2^64 is below it.
    u128::from(share).saturating_mul(some.into()).checked_div(all.into()).unwrap_or_default() as u64
}

/// The shares by nearness; none when they do not apply.
fn nearest(localities: &Localities, sides: &[Side<'_>]) -> Option<Vec<u64>> {
    let well = sides.iter().fold(0u32, |sum, side| sum.saturating_add(side.well));
    let local = sides.iter().position(|side| side.path == localities.local)?;
    if localities.local.is_empty() || sides.len() < 2 {
        return None;
    }
    let only = || sides.iter().enumerate().map(|(place, _)| u64::from(place == local)).collect();
    if localities.force_local > 0 && sides.get(local)?.well >= localities.force_local {
        return Some(only());
    }
    if well < localities.min_instances {
        return None;
    }
    let peers: Vec<u64> = if localities.peers.is_empty() {
        sides.iter().map(|_| 1).collect()
    } else {
        sides.iter().map(|side| find(&localities.peers, side.path).unwrap_or_default().into()).collect()
    };
    let strangers = localities.peers.iter().filter(|(path, _)| sides.iter().all(|side| side.path != path));
    let everybody = strangers.fold(sum(&peers), |sum, (_, count)| sum.saturating_add((*count).into()));
    let size = |side: &Side<'_>| if localities.by_weight { side.weight } else { side.well.into() };
    let sizes: Vec<u64> = sides.iter().map(size).collect();
    match split(local, &parts(&peers, everybody), &parts(&sizes, sum(&sizes))) {
        None => Some(only()),
        Some((stay, residuals)) => {
            let rest = sum(&residuals);
            // Rounding may leave nobody room though not all can stay: then it is anybody.
            let (residuals, rest) = if rest > 0 { (residuals, rest) } else { (sides.iter().map(|_| 1).collect(), sides.len() as u64) };
            let go = WHOLE.saturating_sub(stay);
            let share = |(place, residual): (usize, &u64)| {
                let near = if place == local { stay.saturating_mul(rest) } else { 0 };
                near.saturating_add(go.saturating_mul(*residual))
            };
            Some(residuals.iter().enumerate().map(share).collect())
        }
    }
}

/// All, in hundredths of a percent.
const WHOLE: u64 = 10_000;

fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, number| sum.saturating_add(*number))
}

fn parts(numbers: &[u64], total: u64) -> Vec<u64> {
    numbers.iter().map(|number| number.saturating_mul(WHOLE).checked_div(total).unwrap_or_default()).collect()
}

/// How much of what arises locally stays, and what room the others have, when clients and instances are so distributed; none
/// when all can stay.
fn split(local: usize, clients: &[u64], instances: &[u64]) -> Option<(u64, Vec<u64>)> {
    let (here, room) = (*clients.get(local)?, *instances.get(local)?);
    if room >= here {
        return None;
    }
    let stay = room.saturating_mul(WHOLE).checked_div(here).unwrap_or(WHOLE);
    Some((stay, clients.iter().zip(instances).map(|(clients, instances)| instances.saturating_sub(*clients)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const PATHS: [&str; 3] = ["a", "b", "c"];

    fn sides(counts: &[u32]) -> Vec<Side<'static>> {
        counts
            .iter()
            .zip(PATHS)
            .map(|(well, path)| Side { path, total: *well, well: *well, weight: u64::from(*well) * 1_000, part: None })
            .collect()
    }

    fn table(numbers: &[u32]) -> Vec<(String, u32)> {
        PATHS.iter().map(|path| String::from(*path)).zip(numbers.iter().copied()).collect()
    }

    fn near(peers: &[u32]) -> Localities {
        Localities { local: "a".into(), peers: table(peers), ..Localities::default() }
    }

    /// Envoy load_balancer_impl.cc and its test.
    #[test]
    fn envoy_splits_alike() {
        let divided = |clients: &[u64], instances: &[u64]| split(0, &parts(clients, sum(clients)), &parts(instances, sum(instances)));
        assert_eq!(divided(&[4, 4, 2], &[25, 50, 25]), Some((6_250, vec![0, 1_000, 500])));
        assert_eq!(divided(&[1, 1, 1], &[1, 2, 2]), Some((6_000, vec![0, 667, 667])));
        assert_eq!(divided(&[45_000, 55_000], &[44_999, 55_001]), Some((9_997, vec![0, 0])));
        assert_eq!(divided(&[2, 8], &[1, 9]), Some((5_000, vec![0, 1_000])));
        assert_eq!(divided(&[1, 1, 1], &[3, 3, 3]), None);
    }

    #[test]
    fn traffic_stays_as_near_as_is_fair() {
        assert_eq!(shares(&near(&[1, 1, 1]), &sides(&[3, 3, 3])), [1, 0, 0]);
        // Of a zone with a fifth of the instances and a third of the clients three fifths stay.
        let got = shares(&Localities { min_instances: 5, ..near(&[1, 1, 1]) }, &sides(&[1, 2, 2]));
        assert_eq!(got, [6_000 * 1_334, 4_000 * 667, 4_000 * 667]);
        // By default there is one client in each.
        assert_eq!(shares(&Localities { min_instances: 5, ..near(&[]) }, &sides(&[1, 2, 2])), got);
        // Rounding leaves no room: one in 3 333 goes anywhere.
        assert_eq!(shares(&near(&[45_000, 55_000]), &sides(&[44_999, 55_001])), [9_997 * 2 + 3, 3]);
        // Too few, or a client from elsewhere: as if there were no zones.
        assert_eq!(shares(&near(&[1, 1, 1]), &sides(&[1, 2, 2])), [1_000, 2_000, 2_000]);
        assert_eq!(shares(&Localities { local: "d".into(), ..near(&[]) }, &sides(&[1, 2, 9])), [1_000, 2_000, 9_000]);
        assert_eq!(shares(&Localities { force_local: 2, ..near(&[9, 1, 1]) }, &sides(&[2, 20, 20])), [1, 0, 0]);
        // A zone of clients only counts as clients.
        let strangers = Localities { peers: vec![("a".into(), 1), ("z".into(), 1)], ..near(&[]) };
        assert_eq!(shares(&strangers, &sides(&[5, 5])), [1, 0]);
        // Half the weight is here, though a tenth of the instances.
        let mut heavy = sides(&[1, 9]);
        heavy[0].weight = 9_000;
        assert_eq!(shares(&Localities { by_weight: true, ..near(&[1, 1]) }, &heavy), [1, 0]);
        assert_ne!(shares(&near(&[1, 1]), &heavy), [1, 0]);
    }

    /// Every locality's clients together load all instances alike: Envoy's zone-aware simulations.
    #[test]
    fn everybody_together_is_fair() {
        for (clients, instances) in [
            ([1, 1, 1], [3, 3, 3]),
            ([1, 1, 1], [2, 5, 5]),
            ([1, 1, 1], [5, 5, 6]),
            ([1, 1, 1], [10, 8, 8]),
            ([20, 20, 21], [4, 5, 5]),
            ([3, 2, 5], [4, 5, 5]),
            ([3, 2, 5], [3, 4, 5]),
        ] {
            let mut load = [0.0; 3];
            for (place, path) in PATHS.iter().enumerate() {
                let got = shares(&Localities { local: (*path).into(), ..near(&clients) }, &sides(&instances));
                let all = sum(&got) as f64;
                for (load, share) in load.iter_mut().zip(&got) {
                    *load += f64::from(clients[place]) * *share as f64 / all;
                }
            }
            let even = f64::from(clients.iter().sum::<u32>()) / f64::from(instances.iter().sum::<u32>());
            for (load, count) in load.iter().zip(instances) {
                assert!((load / f64::from(count) / even - 1.0).abs() < 0.002, "{clients:?} {instances:?} {load}");
            }
        }
    }

    /// The table of Envoy's documentation, but for the third row, where it says 32.
    #[test]
    fn localities_have_weights() {
        let localities = Localities { mode: LocalityMode::Weights, weights: table(&[1, 2]), ..Localities::default() };
        for (well, percent) in [(100, 33), (70, 33), (69, 33), (50, 26), (25, 15), (0, 0)] {
            let sides = [
                Side { path: "a", total: 100, well, weight: 1, part: None },
                Side { path: "b", total: 100, well: 100, weight: 1, part: None },
            ];
            let got = shares(&localities, &sides);
            assert_eq!((200 * got[0] + sum(&got)) / (2 * sum(&got)), percent, "{well}");
        }
        assert_eq!(shares(&Localities { mode: LocalityMode::Weights, ..Localities::default() }, &sides(&[3, 4])), [1_000_000; 2]);
    }

    #[test]
    fn settings_round_trip() {
        let other = Localities {
            mode: LocalityMode::Weights,
            scope: LocalityScope::Subzone,
            local: "eu/a".into(),
            peers: table(&[1, 2, 3]),
            weights: table(&[4]),
            min_instances: 0,
            force_local: 3,
            by_weight: true,
            overprovisioning: 100,
        };
        for localities in [Localities::default(), other] {
            assert_eq!(Localities::from_value(&localities.to_value()), Ok(localities));
        }
        for (name, value) in [("mode", Value::from("near")), ("scope", "node".into()), ("peers", "x".into()), ("local", 1u64.into())] {
            assert_eq!(Localities::from_value(&Value::map([(name, value)])).unwrap_err().field(), name);
        }
        let place = Locality { region: "eu".into(), zone: "a".into(), subzone: "r1".into(), node: "n".into() };
        let path = |scope| Localities { scope, ..Localities::default() }.path(&place);
        assert_eq!([path(LocalityScope::Region), path(LocalityScope::Zone), path(LocalityScope::Subzone)], ["eu", "eu/a", "eu/a/r1"]);
    }
}
