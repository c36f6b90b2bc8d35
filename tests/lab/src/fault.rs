//! What goes wrong, where and when.

use serde_json::Value;

use crate::dice::Dice;
use crate::read::{Object, Result, list};
use crate::{Nanos, nanos};

/// Something that is wrong with some servers for some time.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Nanos,
    pub until: Nanos,
    pub servers: Selection,
    pub effect: Effect,
    /// It is on for the first of these times, off for the second, and so on.
    pub flap: Option<[Nanos; 2]>,
    /// It moves to other servers, drawn anew, each time this has passed.
    pub moving: Option<Nanos>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Work takes so many times as long.
    Slow(f64),
    /// Every call takes this long, whatever it is.
    Latency(Nanos),
    /// A call fails after this time, with this chance.
    Fail(Nanos, f64),
    /// A call is never answered.
    Hang,
    /// The registry does not know it; calls to it are never answered.
    Gone,
    /// Another takes its place in the registry, whose work takes so many times as long at first and then less, until
    /// this time has passed.
    Replace(f64, Nanos),
    /// It stands still for the second time, each time that the first has passed on average.
    Pause(f64, Nanos),
    /// It takes so many calls a second; others are asked to come back after this time, or at no named time when it is 0.
    Throttle(f64, Nanos),
    /// The registry is told that it is unhealthy.
    Sick,
}

/// Some servers.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    All,
    /// The first ones.
    First(usize),
    /// By number.
    These(Vec<usize>),
    /// This share of a zone, or of all.
    Share(f64, Option<String>),
}

impl Fault {
    /// Reads `{at, until?, servers, EFFECT, flap?, moving?}` with one of `slow`, `latency`, `fail`, `hang`, `gone`, `replace`,
    /// `pause`, `throttle` and `sick`.
    pub fn read(value: &Value, place: &str) -> Result<Self> {
        let effects = ["slow", "latency", "fail", "hang", "gone", "replace", "pause", "throttle", "sick"];
        let keys = ["at", "until", "servers", "flap", "moving"];
        let object = Object::new(value, place, &[&effects[..], &keys[..]].concat())?;
        if effects.iter().filter(|key| object.has(key)).count() != 1 {
            return Err(format!("{place}: must have one of {}", effects.join(" ")));
        }
        let effect = if let Some(factor) = object.number("slow")? {
            Effect::Slow(factor)
        } else if let Some(latency) = object.number("latency")? {
            Effect::Latency(nanos(latency))
        } else if let Some([after, share]) = object.numbers("fail")? {
            Effect::Fail(nanos(after), share)
        } else if object.flag("hang")? {
            Effect::Hang
        } else if object.flag("gone")? {
            Effect::Gone
        } else if let Some([factor, over]) = object.numbers("replace")? {
            Effect::Replace(factor, nanos(over))
        } else if let Some([every, length]) = object.numbers("pause")? {
            Effect::Pause(every, nanos(length))
        } else if let Some([rate, after]) = object.numbers("throttle")? {
            Effect::Throttle(rate, nanos(after))
        } else if object.flag("sick")? {
            Effect::Sick
        } else {
            return Err(format!("{place}: hang, gone and sick are true, or absent"));
        };
        let fault = Self {
            at: nanos(object.number_or("at", 0.0)?),
            until: object.number("until")?.map_or(Nanos::MAX, nanos),
            servers: Selection::read(object.must("servers")?, &object.place("servers"))?,
            effect,
            flap: object.numbers("flap")?.map(|times: [f64; 2]| times.map(nanos)),
            moving: object.number("moving")?.map(nanos),
        };
        if fault.flap.is_some() && fault.moving.is_some() {
            return Err(format!("{place}: it flaps or moves, not both"));
        }
        if fault.until <= fault.at || fault.flap.is_some_and(|times| times.contains(&0)) || fault.moving == Some(0) {
            return Err(format!("{place}: it must last"));
        }
        Ok(fault)
    }
}

impl Selection {
    /// Reads `"all"`, `{first}`, `{these: [..]}` or `{share, zone?}`.
    pub fn read(value: &Value, place: &str) -> Result<Self> {
        if value == "all" {
            return Ok(Self::All);
        }
        let object = Object::new(value, place, &["first", "these", "share", "zone"])?;
        if let Some(count) = object.whole("first")? {
            Ok(Self::First(count as usize))
        } else if object.has("these") {
            let number = |value: &Value| value.as_u64().ok_or_else(|| format!("{place}: numbers of servers"));
            Ok(Self::These(list(object.must("these")?, place)?.iter().map(|value| Ok(number(value)? as usize)).collect::<Result<_>>()?))
        } else {
            let share = object.number("share")?.ok_or_else(|| format!("{place}: \"all\", first, these or share"))?;
            Ok(Self::Share(share, object.text("zone")?.map(str::to_owned)))
        }
    }

    /// Their numbers: of a share the first ones, or with dice a random choice.
    pub fn of(&self, zones: &[&str], dice: Option<&mut Dice>) -> Vec<usize> {
        let all = 0..zones.len();
        match self {
            Self::All => all.collect(),
            Self::First(count) => all.take(*count).collect(),
            Self::These(numbers) => numbers.iter().copied().filter(|number| all.contains(number)).collect(),
            Self::Share(share, zone) => {
                let mut found: Vec<usize> = all.filter(|number| zone.as_ref().is_none_or(|zone| zones[*number] == zone)).collect();
                if let Some(dice) = dice {
                    (1..found.len()).rev().for_each(|last| found.swap(last, dice.below(last + 1)));
                }
                found.truncate((share * found.len() as f64).round() as usize);
                found.sort_unstable();
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selections() {
        let zones = ["a", "b", "a", "b", "a", "b", "a", "b"];
        let of = |value: Value| Selection::read(&value, "x").unwrap().of(&zones, None);
        assert_eq!(of(json!("all")).len(), 8);
        assert_eq!(of(json!({"first": 2})), [0, 1]);
        assert_eq!(of(json!({"these": [3, 9]})), [3]);
        assert_eq!(of(json!({"share": 0.5})), [0, 1, 2, 3]);
        assert_eq!(of(json!({"share": 0.5, "zone": "b"})), [1, 3]);
        assert_eq!(Selection::Share(0.5, None).of(&zones, Some(&mut Dice::stream(1, 1))).len(), 4);
    }

    #[test]
    fn a_fault_has_one_effect_and_lasts() {
        let read = |value: Value| Fault::read(&value, "x");
        assert_eq!(read(json!({"at": 1, "servers": "all", "fail": [0.001, 1]})).unwrap().effect, Effect::Fail(1_000_000, 1.0));
        for bad in [
            json!({"servers": "all"}),
            json!({"servers": "all", "hang": true, "gone": true}),
            json!({"servers": "all", "hang": false}),
            json!({"servers": "all", "hang": true, "at": 2, "until": 2}),
            json!({"servers": "all", "hang": true, "flap": [0, 1]}),
            json!({"hang": true}),
            json!({"servers": "some", "hang": true}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
