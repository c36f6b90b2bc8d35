//! Random operations on the registry and on the naive [`model`](crate::model), compared after each.
//!
//! A seed makes a script of steps; each is a verb of the vectors with a clock that is relative to what is due, so that
//! leaving steps out leaves the others meaningful. A script that fails is made as short as it can be, and printed as a case of
//! the vectors' format.

mod check;
mod script;

use std::collections::BTreeMap;

use callboard::model::{Handle, Override, Registration};
use callboard::registry::{Config, Listing, Mode, Op, Put};
use callboard::{Code, Timestamp, Value};

use crate::document::{json, matches};
use crate::host::Host;
use crate::model::{Key, Model};
use check::Watched;
pub use script::{Clock, Step, random};

/// What went wrong, and with which steps.
#[derive(Debug)]
pub struct Failure {
    /// Number of the step that showed it.
    pub step: usize,
    /// What is different.
    pub why: String,
    /// The steps up to then as a vector case.
    pub case: String,
}

/// Both registries and the readers that follow the one.
pub struct World<'a> {
    host: Host,
    model: Model,
    config: Value,
    /// Handles as they were given, with the birth of the record in the model.
    handles: BTreeMap<Key, (Handle, u64)>,
    watches: BTreeMap<String, Watched>,
    /// The state as the change log tells it: revisions by key.
    folded: BTreeMap<Key, u64>,
    folded_to: u64,
    /// Where the log begins: the revision of a restore.
    log_base: u64,
    /// When each step was done, and with which arguments where these are not the script's.
    trace: Vec<(u64, &'a Step, Option<Value>)>,
}

/// Runs a script.
///
/// # Errors
/// The first difference between the two.
pub fn run(config: &Value, steps: &[Step]) -> Result<(), Box<Failure>> {
    let mut world = World::new(config);
    for (at, step) in steps.iter().enumerate() {
        let outcome = world.step(step).and_then(|()| world.check(at as u64));
        if let Err(why) = outcome {
            return Err(Box::new(Failure { step: at, why, case: world.case() }));
        }
    }
    Ok(())
}

/// Leaves out as many steps as it can while the script still fails.
pub fn shrink(config: &Value, steps: Vec<Step>, failure: Box<Failure>) -> (Vec<Step>, Box<Failure>) {
    let mut steps = steps;
    let mut failure = failure;
    steps.truncate(failure.step + 1);
    let mut chunk = steps.len().div_ceil(2);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < steps.len() {
            let rest: Vec<Step> = steps[..at].iter().chain(&steps[(at + chunk).min(steps.len())..]).cloned().collect();
            match run(config, &rest) {
                Err(found) => {
                    (steps, failure, shorter) = (rest, found, true);
                    steps.truncate(failure.step + 1);
                }
                Ok(()) => at += chunk,
            }
        }
        if chunk == 1 && !shorter {
            return (steps, failure);
        }
        chunk = chunk.div_ceil(2).max(1);
    }
}

/// One seed: its script, run; a failure is shrunk.
///
/// # Errors
/// What to print: the seed, the difference and the shortest script that shows it.
pub fn seed(seed: u64, steps: usize) -> Result<(), String> {
    let (config, script) = random(seed, steps);
    let Err(failure) = run(&config, &script) else { return Ok(()) };
    let first = failure.step;
    let (script, failure) = shrink(&config, script, failure);
    Err(format!(
        "seed {seed} (step {first}; shrunk to {} steps): {}\ncargo xtask sim --seed {seed} --seeds 1 --steps {steps}\n{}",
        script.len(),
        failure.why,
        failure.case
    ))
}

impl<'a> World<'a> {
    fn new(config: &Value) -> Self {
        let typed = Config::from_value(config).expect("a config");
        Self {
            host: Host::new(config).expect("a registry"),
            model: Model::new(typed),
            config: config.clone(),
            handles: BTreeMap::new(),
            watches: BTreeMap::new(),
            folded: BTreeMap::new(),
            folded_to: 0,
            log_base: 0,
            trace: Vec::new(),
        }
    }

    fn case(&self) -> String {
        let document = |(at, step, args): &(u64, &Step, Option<Value>)| {
            let args = args.as_ref().unwrap_or(&step.args).clone();
            json(&Value::map([("at", Value::from(*at)), ("do", step.verb.into()), ("args", args)]))
        };
        let steps: Vec<String> = self.trace.iter().map(|step| format!("  {}", document(step))).collect();
        format!("{{\"name\": \"\", \"config\": {}, \"steps\": [\n{}]}}", json(&self.config), steps.join(",\n"))
    }

    fn step(&mut self, step: &'a Step) -> Result<(), String> {
        let at = step.clock.resolve(self.model.now, self.model.deadline());
        let mut other = None;
        if step.verb == "renew_handle" {
            // Which handle that is only the run knows; it may be one of a record that is gone.
            let Some((handle, _)) = self.handles.get(&key_of(&step.args)) else { return Ok(()) };
            other = Some(Value::map([
                ("handle", Value::from(handle.to_bits())),
                ("incarnation", step.args.get("incarnation").cloned().unwrap_or_default()),
            ]));
        }
        self.trace.push((at, step, other.clone()));
        let args = other.as_ref().unwrap_or(&step.args);
        if at > Timestamp::MAX.as_micros() {
            // No time at all: the model knows nothing of it.
            return match self.host.perform(step.verb, args, None, at) {
                Err(error) if error.code() == Code::InvalidTime => Ok(()),
                other => Err(format!("{} at {at}: {:?}", step.verb, other.map(|value| json(&value)))),
            };
        }
        match step.verb {
            "watch" => self.watch(args, at),
            "poll" => self.poll(args, at),
            "restore" => self.restore(at),
            _ => {
                let ours = self.ours(step, at);
                let theirs = self.host.perform(step.verb, args, None, at);
                match (ours, theirs) {
                    (Ok(ours), Ok(theirs)) => matches(&ours, &theirs).map_err(|why| format!("{}: {why}", step.verb)),
                    (Err(ours), Err(theirs)) if ours == theirs.code() => Ok(()),
                    (ours, theirs) => {
                        let theirs = theirs.map(|value| json(&value)).map_err(|error| error.to_string());
                        Err(format!("{}: model {:?}, registry {theirs:?}", step.verb, ours.map(|value| json(&value))))
                    }
                }
            }
        }
    }

    /// What the model makes of a step.
    fn ours(&mut self, step: &Step, at: u64) -> Result<Value, Code> {
        let model = &mut self.model;
        // What an override's `ttl` counts from: the registry's clock, which never runs backwards.
        let told = Timestamp::from_micros(at.max(model.now)).expect("a time");
        let code = |error: callboard::Error| error.code();
        let revision = |revision: u64| Value::map([("revision", Value::from(revision))]);
        match step.verb {
            "register" => {
                let registration = Registration::from_value(step.args.get("instance").unwrap_or(&Value::Null)).map_err(code)?;
                let mode = step.args.get("mode").and_then(Value::as_str).map_or(Ok(Mode::default()), Mode::parse).map_err(code)?;
                let put = Put { mode, if_revision: step.args.get("if_revision").and_then(Value::as_u64) };
                model.observe(at);
                let key = (registration.namespace.clone(), registration.service.clone(), registration.id.clone());
                let (before, known) = (model.revision, model.records.contains_key(&key));
                let after = model.apply(&[Op::Register { registration, put }], model.now)?;
                Ok(Value::map([("revision", after.into()), ("created", (!known).into()), ("changed", Value::from(after > before))]))
            }
            "renew_handle" => {
                let key = key_of(&step.args);
                model.observe(at);
                let born = self.handles.get(&key).map(|(_, born)| *born);
                if model.records.get(&key).map(|record| record.born) != born {
                    return Err(Code::UnknownLease);
                }
                let incarnation = step.args.get("incarnation").and_then(Value::as_u64).unwrap_or(0);
                let (namespace, service, id) = key;
                model.apply(&[Op::Renew { key: callboard::registry::Key::new(namespace, service, id), incarnation }], model.now)?;
                Ok(Value::Map(Vec::new()))
            }
            "apply" => {
                let ops = step.args.get("ops").and_then(Value::as_list).unwrap_or_default();
                let ops = ops.iter().map(|op| Op::from_value(op, told)).collect::<Result<Vec<_>, _>>().map_err(code)?;
                model.apply(&ops, at).map(revision)
            }
            "renew" | "deregister" | "set_health" | "set_admin" => {
                let mut pairs = step.args.as_map().unwrap_or_default().to_vec();
                pairs.push(("op".into(), step.verb.into()));
                let op = Op::from_value(&Value::Map(pairs), told).map_err(code)?;
                let after = model.apply(&[op], at)?;
                // A renewal tells the handle, which the model does not have.
                Ok(if step.verb == "renew" { Value::Map(Vec::new()) } else { revision(after) })
            }
            "reconcile" => {
                let listing = Listing::from_value(&step.args).map_err(code)?;
                let done = model.reconcile(&listing, at)?;
                assert!(listing.unread.is_empty(), "the simulator writes well-formed instances");
                let count = |number: u32| Value::from(u64::from(number));
                Ok(Value::map([
                    ("added", count(done.added)),
                    ("updated", count(done.updated)),
                    ("removed", count(done.removed)),
                    ("held", count(done.held)),
                    ("revision", model.revision.into()),
                ]))
            }
            "acknowledge" => {
                let removed = model.acknowledge(step.args.get("source").and_then(Value::as_str).unwrap_or_default(), at);
                Ok(Value::map([("removed", Value::from(u64::from(removed))), ("revision", model.revision.into())]))
            }
            "advance" => {
                let expired = model.observe(at);
                Ok(Value::map([("expired", Value::from(expired)), ("revision", model.revision.into())]))
            }
            other => unreachable!("no step {other}"),
        }
    }

    /// A snapshot, and a registry made of it in the place of the one there was.
    fn restore(&mut self, at: u64) -> Result<(), String> {
        let fail = |error: callboard::Error| error.to_string();
        self.host.perform("snapshot", &Value::Map(Vec::new()), None, at).map_err(fail)?;
        let position = self.host.perform("restore", &Value::Map(Vec::new()), None, at).map_err(fail)?;
        self.model = self.model.restored(self.model.epoch + 1, at);
        // Handles name records of a registry that is no more.
        self.handles.clear();
        self.folded = self.model.records.iter().map(|(key, record)| (key.clone(), record.revision)).collect();
        (self.folded_to, self.log_base) = (self.model.revision, self.model.revision);
        let ours = Value::map([("epoch", Value::from(self.model.epoch)), ("revision", self.model.revision.into())]);
        matches(&ours, &position).map_err(|why| format!("restore: {why}"))
    }

    fn override_of(&self, key: &Key) -> Option<&Override> {
        self.model.overrides.get(key)
    }
}

/// The key that arguments or a registration name.
fn key_of(args: &Value) -> Key {
    let part = |name: &str, default: &str| args.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    (part("namespace", "default"), part("service", ""), part("id", ""))
}
