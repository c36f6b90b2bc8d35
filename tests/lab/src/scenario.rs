//! One scenario, parsed: who calls, who serves, what goes wrong.

use serde_json::Value;

use crate::fault::{Effect, Fault, Selection};
use crate::read::{Object, Result, list, number, numbers};
use crate::service::Service;
use crate::{Nanos, nanos};

/// The keys of a scenario; a variant may replace any of them.
pub const KEYS: &[&str] = &[
    "seed", "duration", "warmup", "clients", "arrivals", "servers", "service", "server", "timeout", "cancel", "attempts", "within", "keys",
    "faults", "windows", "watch",
];

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    /// How long calls arrive; what is under way then is waited for.
    pub duration: Nanos,
    /// What arrives before counts for nothing.
    pub warmup: Nanos,
    /// Each with a balancer of its own.
    pub clients: usize,
    pub arrivals: Arrivals,
    pub servers: Servers,
    pub service: Service,
    pub model: Model,
    /// When a client gives an attempt up.
    pub timeout: Option<Nanos>,
    /// Whether a server stops work that the client has given up.
    pub cancel: bool,
    /// How often a call is tried, never twice on the same server.
    pub attempts: usize,
    /// A call that takes longer is no success, though it is waited for.
    pub within: Option<Nanos>,
    /// How many different keys the calls have; none when 0.
    pub keys: usize,
    pub faults: Vec<Fault>,
    /// Spans of time that figures are wanted of, by name.
    pub windows: Vec<(String, [Nanos; 2])>,
    /// The servers whose share of the calls is measured.
    pub watch: Vec<usize>,
}

/// When calls arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// A Poisson process: from a time on, so many a second.
    Poisson(Vec<(Nanos, f64)>),
    /// So many calls at a time, so many in all.
    Closed { concurrency: usize, calls: u64 },
}

#[derive(Clone, Debug)]
pub struct Servers {
    pub count: usize,
    /// Server `i` is in zone `i` of the list, and round again.
    pub zones: Vec<String>,
    /// Weights in the registry, the same way.
    pub weights: Vec<f64>,
    /// How many times as long its work takes, the same way.
    pub scale: Vec<f64>,
}

/// What a server does with more than one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Calls do not disturb each other.
    Delay,
    /// So many are worked on at a time, first come first served; when so many wait, more are refused.
    Queue { workers: usize, room: usize },
    /// They share so many cores, each call using one at most.
    Shared { cores: f64, spare: Option<Spare> },
}

/// What others on the same machine leave a server: drawn anew at exponential intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Spare {
    /// Mean seconds between two draws.
    pub every: f64,
    /// Chance and cores.
    pub levels: Vec<(f64, f64)>,
}

impl Scenario {
    /// Reads an object whose keys were checked before.
    pub fn read(value: &Value, place: &str) -> Result<Self> {
        let object = Object::new(value, place, KEYS)?;
        let servers = Servers::read(object.must("servers")?, &object.place("servers"))?;
        let zones: Vec<&str> = (0..servers.count).map(|server| servers.zone(server)).collect();
        let faults: Vec<Fault> = object
            .list("faults")?
            .iter()
            .enumerate()
            .map(|(index, fault)| Fault::read(fault, &format!("{place}.faults[{index}]")))
            .collect::<Result<_>>()?;
        let watch = match object.get("watch") {
            Some(selection) => Selection::read(selection, &object.place("watch"))?.of(&zones, None),
            None => {
                let of = |fault: &Fault| if fault.servers == Selection::All { Vec::new() } else { fault.servers.of(&zones, None) };
                let mut found: Vec<usize> = faults.iter().filter(|fault| fault.moving.is_none()).flat_map(of).collect();
                found.sort_unstable();
                found.dedup();
                found
            }
        };
        let windows = object.pairs("windows")?.into_iter().map(|(name, span)| {
            let [from, to] = numbers(span, &format!("{place}.windows.{name}"))?;
            if from < to { Ok((name.to_owned(), [nanos(from), nanos(to)])) } else { Err(format!("{place}.windows.{name}: is empty")) }
        });
        let scenario = Self {
            seed: object.whole_or("seed", 1)?,
            duration: nanos(object.number("duration")?.ok_or_else(|| format!("{place}.duration: missing"))?),
            warmup: nanos(object.number_or("warmup", 0.0)?),
            clients: object.whole_or("clients", 1)?.max(1) as usize,
            arrivals: Arrivals::read(object.must("arrivals")?, &object.place("arrivals"))?,
            service: Service::read(object.must("service")?, &object.place("service"))?,
            model: match object.get("server") {
                Some(model) => Model::read(model, &object.place("server"))?,
                None => Model::Delay,
            },
            timeout: object.number("timeout")?.map(nanos),
            cancel: object.flag("cancel")?,
            attempts: object.whole_or("attempts", 1)?.max(1) as usize,
            within: object.number("within")?.map(nanos),
            keys: object.whole_or("keys", 0)? as usize,
            windows: windows.collect::<Result<_>>()?,
            servers,
            faults,
            watch,
        };
        let hangs = scenario.faults.iter().any(|fault| matches!(fault.effect, Effect::Hang | Effect::Gone | Effect::Replace(..)));
        if hangs && scenario.timeout.is_none() {
            return Err(format!("{place}: calls that are never answered need a timeout"));
        }
        Ok(scenario)
    }
}

impl Arrivals {
    /// Reads `{rate}`, `{rates: [[from, rate], ..]}` or `{concurrency, calls}`.
    fn read(value: &Value, place: &str) -> Result<Self> {
        let object = Object::new(value, place, &["rate", "rates", "concurrency", "calls"])?;
        let steps: Vec<(Nanos, f64)> = if let Some(rate) = object.number("rate")? {
            vec![(0, rate)]
        } else if object.has("rates") {
            let row = |row| numbers::<2>(row, place).map(|[from, rate]| (nanos(from), rate));
            object.list("rates")?.iter().map(row).collect::<Result<_>>()?
        } else {
            let must = |key| object.whole(key)?.filter(|number| *number > 0).ok_or_else(|| format!("{place}.{key}: missing"));
            return Ok(Self::Closed { concurrency: must("concurrency")? as usize, calls: must("calls")? });
        };
        let rising = steps.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if rising && steps.first().is_some_and(|step| step.0 == 0) && steps.iter().all(|step| step.1 > 0.0) {
            Ok(Self::Poisson(steps))
        } else {
            Err(format!("{place}: rates are positive, and rise in time from 0"))
        }
    }

    /// The rate at a time, in calls a second; 0 when it is not a matter of time.
    pub fn rate(&self, at: Nanos) -> f64 {
        match self {
            Self::Poisson(steps) => steps.iter().rev().find(|step| step.0 <= at).map_or(0.0, |step| step.1),
            Self::Closed { .. } => 0.0,
        }
    }
}

impl Servers {
    /// Reads `{count, zones?, weights?, scale?}`.
    fn read(value: &Value, place: &str) -> Result<Self> {
        let object = Object::new(value, place, &["count", "zones", "weights", "scale"])?;
        let numbers = |key| -> Result<Vec<f64>> { object.list(key)?.iter().map(|value| number(value, &object.place(key))).collect() };
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{place}.zones: names"));
        Ok(Self {
            count: object.whole("count")?.filter(|count| *count > 0).ok_or_else(|| format!("{place}.count: missing"))? as usize,
            zones: object.list("zones")?.iter().map(text).collect::<Result<_>>()?,
            weights: numbers("weights")?,
            scale: numbers("scale")?,
        })
    }

    /// The zone of a server, empty when there are none.
    pub fn zone(&self, server: usize) -> &str {
        self.zones.get(server % self.zones.len().max(1)).map_or("", String::as_str)
    }

    pub fn weight(&self, server: usize) -> f64 {
        self.weights.get(server % self.weights.len().max(1)).copied().unwrap_or(1.0)
    }

    pub fn scale(&self, server: usize) -> f64 {
        self.scale.get(server % self.scale.len().max(1)).copied().unwrap_or(1.0)
    }
}

impl Model {
    /// Reads `{workers, room?}`, `{cores, spare?: {every, levels: [[chance, cores], ..]}}` or `{}`.
    fn read(value: &Value, place: &str) -> Result<Self> {
        let object = Object::new(value, place, &["workers", "room", "cores", "spare"])?;
        if let Some(workers) = object.whole("workers")? {
            let room = object.whole("room")?.unwrap_or(u64::MAX) as usize;
            return Ok(Self::Queue { workers: workers.max(1) as usize, room });
        }
        let Some(cores) = object.number("cores")? else { return Ok(Self::Delay) };
        let spare = match object.get("spare") {
            None => None,
            Some(value) => {
                let place = object.place("spare");
                let object = Object::new(value, &place, &["every", "levels"])?;
                let row = |row| numbers::<2>(row, &place).map(|[chance, cores]| (chance, cores));
                let levels: Vec<(f64, f64)> = list(object.must("levels")?, &place)?.iter().map(row).collect::<Result<_>>()?;
                if (levels.iter().map(|level| level.0).sum::<f64>() - 1.0).abs() > 1e-9 {
                    return Err(format!("{place}: the chances of the levels must add up to 1"));
                }
                Some(Spare { every: object.number_or("every", 10.0)?, levels })
            }
        };
        Ok(Self::Shared { cores, spare })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Value {
        json!({"duration": 1, "arrivals": {"rate": 5}, "servers": {"count": 4, "zones": ["a", "b"]}, "service": {"constant": 1}})
    }

    #[test]
    fn defaults() {
        let scenario = Scenario::read(&base(), "x").unwrap();
        assert_eq!((scenario.clients, scenario.attempts, scenario.model), (1, 1, Model::Delay));
        assert_eq!((scenario.servers.zone(3), scenario.servers.weight(3), scenario.arrivals.rate(7)), ("b", 1.0, 5.0));
    }

    #[test]
    fn mistakes_are_refused() {
        for (key, bad) in [
            ("arrivals", json!({"rates": [[1, 5]]})),
            ("arrivals", json!({"concurrency": 5})),
            ("servers", json!({"count": 0})),
            ("server", json!({"cores": 1, "spare": {"levels": [[0.5, 1]]}})),
            ("windows", json!({"w": [2, 2]})),
            ("faults", json!([{"servers": "all", "hang": true}])),
            ("duration", json!(-1)),
            ("durations", json!(1)),
        ] {
            let mut value = base();
            value[key] = bad.clone();
            assert!(Scenario::read(&value, "x").is_err(), "{key} {bad}");
        }
    }

    #[test]
    fn the_servers_of_the_faults_are_watched() {
        let mut value = base();
        value["faults"] = json!([{"servers": {"first": 1}, "slow": 2}, {"servers": {"these": [2, 0]}, "slow": 3}]);
        assert_eq!(Scenario::read(&value, "x").unwrap().watch, [0, 2]);
        value["watch"] = json!({"share": 0.5, "zone": "b"});
        assert_eq!(Scenario::read(&value, "x").unwrap().watch, [1]);
    }
}
