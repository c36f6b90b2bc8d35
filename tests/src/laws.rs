//! The laws of merging what several sources say: held for every short script of a small alphabet, and for random worlds.
//!
//! Every script is run on the registry and on the naive model ([`simulator`](crate::simulator)), which compares everything after each step. The laws
//! themselves are asked of the registry alone: in which order sources speak does not matter, to say the same again changes nothing, a listing in parts is
//! the listing, a source that leaves takes what it brought and nothing else, and deltas fold to the state.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Extent, Listing, Put, Registry, View};
use callboard::{Timestamp, Value};

use crate::dice::Dice;
use crate::simulator::{Clock, Step, run};

/// What can be done in a small scope.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Three sources, two ids of each, and one name that all of them claim.
    Sources,
    /// Registrations, renewals, ends of leases and overrides of two instances, all in one instant or when something is due.
    Leases,
}

impl Scope {
    /// Every scope, with its name.
    pub const ALL: [(&'static str, Self); 2] = [("sources", Self::Sources), ("leases", Self::Leases)];

    /// The steps of which scripts are made.
    fn alphabet(self) -> Vec<Step> {
        let step = |clock, verb, args: String| Step { clock, verb, args: Value::from_json(args.as_bytes()).expect("JSON") };
        let now = Clock::Plus(0);
        match self {
            Self::Sources => {
                let mut steps = Vec::new();
                for source in ["a", "b", "c"] {
                    let listing = |ids: &[&str], removed: &str| {
                        let ids: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
                        let removed = if removed.is_empty() { String::new() } else { format!(r#","removed":["{removed}"]"#) };
                        format!(r#"{{"source":"{source}","service":"s","instances":[{}]{removed}}}"#, ids.join(","))
                    };
                    let own = format!("{source}1");
                    steps.push(step(now, "reconcile", listing(&[&own, "x"], "")));
                    steps.push(step(now, "reconcile", listing(&[], "")));
                    steps.push(step(now, "reconcile", listing(&[&own], "x")));
                }
                steps.push(step(now, "acknowledge", r#"{"source":"a"}"#.into()));
                steps.push(step(now, "register", r#"{"instance":{"service":"s","id":"x"}}"#.into()));
                steps.push(step(now, "deregister", r#"{"service":"s","id":"x"}"#.into()));
                steps.push(step(Clock::Plus(31_000_000), "advance", "{}".into()));
                steps
            }
            Self::Leases => vec![
                step(now, "register", r#"{"instance":{"service":"s","id":"a","ttl":2,"grace":1}}"#.into()),
                step(now, "register", r#"{"instance":{"service":"s","id":"a","ttl":5,"incarnation":2}}"#.into()),
                step(now, "register", r#"{"instance":{"service":"s","id":"b","ttl":2}}"#.into()),
                step(now, "renew", r#"{"service":"s","id":"a"}"#.into()),
                step(now, "renew", r#"{"service":"s","id":"b","incarnation":1}"#.into()),
                step(now, "deregister", r#"{"service":"s","id":"a"}"#.into()),
                step(now, "set_health", r#"{"service":"s","id":"a","health":"unhealthy"}"#.into()),
                step(now, "set_admin", r#"{"service":"s","id":"a","admin":{"state":"draining","ttl":1}}"#.into()),
                step(now, "set_admin", r#"{"service":"s","id":"a"}"#.into()),
                step(now, "restore", "{}".into()),
                step(Clock::Due(0), "advance", "{}".into()),
                step(Clock::Due(-1), "advance", "{}".into()),
                step(Clock::Plus(4_294_967_296_000), "advance", "{}".into()),
            ],
        }
    }

    /// How many scripts of so many steps there are.
    pub fn count(self, length: u32) -> u64 {
        (self.alphabet().len() as u64).pow(length)
    }

    /// Runs the scripts of so many steps whose numbers are in a range.
    ///
    /// # Errors
    /// The first difference between registry and model, with the script.
    pub fn exhaust(self, length: u32, scripts: std::ops::Range<u64>) -> Result<(), String> {
        let alphabet = self.alphabet();
        let config = Value::from_json(br#"{"confirm_repeats":2,"confirm_after":30,"epoch":1}"#).expect("JSON");
        for number in scripts {
            let mut rest = number;
            let script: Vec<Step> = (0..length)
                .map(|_| {
                    let step = alphabet[(rest % alphabet.len() as u64) as usize].clone();
                    rest /= alphabet.len() as u64;
                    step
                })
                .collect();
            run(&config, &script).map_err(|failure| format!("{self:?} {number}: {}\n{}", failure.why, failure.case))?;
        }
        Ok(())
    }
}

const SERVICES: &[&str] = &["s", "t"];

fn registry() -> Registry {
    Registry::new(Config { confirm_repeats: 1, confirm_after: Duration::ZERO, epoch: 1, ..Config::default() }).expect("a registry")
}

/// What is on record, without the numbers that tell when it came.
fn state(registry: &Registry) -> BTreeMap<(String, String), (String, Registration)> {
    let found = registry.query(&Query::everything()).handles;
    let instances = found.into_iter().filter_map(|handle| registry.instance(handle));
    instances.map(|own| ((own.registration.service.clone(), own.registration.id.clone()), (own.source, own.registration))).collect()
}

/// What a source has; names of others are among them only where they may collide.
fn listing(dice: &mut Dice, source: usize, collide: bool) -> Listing {
    let mut instances = Vec::new();
    for service in SERVICES {
        for number in 0..6 {
            if dice.percent(60) {
                let id = if collide && dice.percent(30) { format!("x{number}") } else { format!("{source}-{number}") };
                if instances.iter().all(|own: &Registration| own.service != *service || own.id != id) {
                    instances.push(Registration::new(*service, id).zone(dice.of(&["a", "b"])));
                }
            }
        }
    }
    Listing {
        source: format!("source{source}"),
        namespace: "default".into(),
        service: None,
        instances,
        same: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        unread: Vec::new(),
        extent: Extent::Whole,
    }
}

fn say(registry: &mut Registry, listings: &[&Listing]) -> Result<(), String> {
    let now = registry.now();
    listings.iter().try_for_each(|listing| registry.reconcile(listing, now).map(drop)).map_err(|error| error.to_string())
}

fn law(name: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("the law does not hold: {name}")) }
}

/// The laws in one random world.
///
/// # Errors
/// The law that does not hold.
pub fn hold(seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let count = 2 + dice.below(4) as usize;
    let listings: Vec<Listing> = (0..count).map(|source| listing(&mut dice, source, false)).collect();
    let all: Vec<&Listing> = listings.iter().collect();
    let mut shuffled = all.clone();
    for at in (1..count).rev() {
        shuffled.swap(at, dice.below(at as u64 + 1) as usize);
    }
    let (mut one, mut other) = (registry(), registry());
    say(&mut one, &all)?;
    say(&mut other, &shuffled)?;
    law("in which order sources speak does not matter", state(&one) == state(&other))?;

    let before = (one.position(), one.digest("default", "s"), one.digest("default", "t"));
    say(&mut one, &shuffled)?;
    law("to say the same again changes nothing", before == (one.position(), one.digest("default", "s"), one.digest("default", "t")))?;

    // In parts, in any order.
    let mut parts = Vec::new();
    for whole in &listings {
        let part = |service: &&str| {
            let instances = whole.instances.iter().filter(|own| own.service == **service).cloned().collect();
            Listing { service: Some((*service).to_owned()), instances, ..whole.clone() }
        };
        parts.extend(SERVICES.iter().map(part));
    }
    for at in (1..parts.len()).rev() {
        parts.swap(at, dice.below(at as u64 + 1) as usize);
    }
    let mut other = registry();
    say(&mut other, &parts.iter().collect::<Vec<_>>())?;
    law("a listing in parts is the listing", state(&one) == state(&other))?;

    // With names that collide: whoever was first has them, and who leaves takes what is its own.
    let colliding: Vec<Listing> = (0..count).map(|source| listing(&mut dice, source, true)).collect();
    let mut one = registry();
    let local = Registration::new("s", "x1");
    one.register(&local, Put::default(), Timestamp::ZERO).map_err(|error| error.to_string())?;
    say(&mut one, &colliding.iter().collect::<Vec<_>>())?;
    let before = state(&one);
    law("nobody takes a local record", before.get(&("s".into(), "x1".into())).is_some_and(|(source, _)| source == "local"))?;
    let leaving = dice.below(count as u64) as usize;
    let mut view = View::new(Query::everything()).map_err(|error| error.to_string())?;
    view.poll(&one);
    let nothing = Listing { instances: Vec::new(), ..colliding[leaving].clone() };
    say(&mut one, &[&nothing])?;
    let name = format!("source{leaving}");
    let rest: BTreeMap<_, _> = before.clone().into_iter().filter(|(_, (source, _))| *source != name).collect();
    law("a source that leaves takes what it brought and nothing else", state(&one) == rest)?;

    // What a watch tells, on top of what was there, is what is there.
    let mut folded = before;
    if let Some(delta) = view.poll(&one) {
        for gone in &delta.removed {
            law("a watch removes only what was there", folded.remove(&(gone.service.to_string(), gone.id.to_string())).is_some())?;
        }
    }
    law("deltas fold to the state", folded == state(&one))
}
