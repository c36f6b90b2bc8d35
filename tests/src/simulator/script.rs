//! Scripts out of seeds.

use callboard::Value;

use super::check::QUERIES;
use crate::dice::Dice;

/// When a step is.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// So many microseconds after the step before.
    Plus(u64),
    /// So many before it: clocks do that.
    Back(u64),
    /// So many after the time at which something is due, negative for before; after the step before when nothing is.
    Due(i64),
    /// This time, which may be none.
    At(u64),
}

impl Clock {
    /// The time, from that of the latest step and that of what is due.
    pub fn resolve(self, now: u64, due: Option<u64>) -> u64 {
        match self {
            Self::Plus(micros) => now.saturating_add(micros),
            Self::At(micros) => micros,
            Self::Back(micros) => now.saturating_sub(micros),
            Self::Due(offset) => due.map_or(now + offset.unsigned_abs(), |due| due.saturating_add_signed(offset)),
        }
    }
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// When.
    pub clock: Clock,
    /// A verb of the vectors.
    pub verb: &'static str,
    /// Its arguments; for `renew_handle` the key.
    pub args: Value,
}

const SECOND: u64 = 1_000_000;
const IDS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"];
const SOURCES: &[&str] = &["consul:dc1", "nacos"];

/// The config and the steps of a seed.
pub fn random(seed: u64, steps: usize) -> (Value, Vec<Step>) {
    let mut dice = Dice(seed);
    let config = config(&mut dice);
    // Some seeds are about leases that all behave alike, as in a fleet; others about every kind at once.
    let fleet = dice.percent(40).then(|| dice.below(4));
    let mut wire = Wire::default();
    let script = (0..steps).map(|_| wire.pass(step(&mut dice, fleet), &mut dice)).collect();
    (config, script)
}

/// What stands between the registry and those who speak to it: it repeats and reorders what sources say, delivers it late, and is cut now and then.
#[derive(Default)]
struct Wire {
    /// What sources have said before.
    said: Vec<Value>,
    /// For so many steps nobody is heard; then comes what was said meanwhile.
    cut: u64,
    late: Vec<Value>,
}

impl Wire {
    fn pass(&mut self, step: Step, dice: &mut Dice) -> Step {
        const KEPT: usize = 6;
        if self.cut == 0 && dice.below(400) == 0 {
            self.cut = 5 + dice.below(40);
        }
        let is_cut = self.cut > 0;
        self.cut = self.cut.saturating_sub(1);
        if is_cut && matches!(step.verb, "renew" | "renew_handle" | "apply" | "reconcile") {
            if step.verb == "reconcile" && self.late.len() < KEPT {
                self.late.push(step.args);
            }
            return Step { verb: "advance", args: Value::Map(Vec::new()), ..step };
        }
        if step.verb != "reconcile" {
            return step;
        }
        if !self.late.is_empty() {
            // The latest does not come last.
            let at = dice.below(self.late.len() as u64) as usize;
            return Step { args: self.late.swap_remove(at), ..step };
        }
        if !self.said.is_empty() && dice.percent(40) {
            return Step { args: dice.of(&self.said), ..step };
        }
        if self.said.len() >= KEPT {
            self.said.remove(0);
        }
        self.said.push(step.args.clone());
        step
    }
}

fn config(dice: &mut Dice) -> Value {
    let mut pairs = vec![("epoch", Value::from(1 + dice.below(3)))];
    let mut maybe = |name, choices: &[f64]| {
        if dice.percent(30) {
            pairs.push((name, Value::from(dice.of(choices))));
        }
    };
    maybe("timer_slack", &[0.0, 0.1, 5.0, 60.0]);
    maybe("eviction_interval", &[0.001, 0.5, 5.0]);
    maybe("protection_limit", &[0.0, 3.0, 30.0]);
    maybe("eviction_percent", &[1.0, 50.0, 100.0]);
    maybe("renewal_percent", &[0.0, 50.0, 100.0]);
    maybe("confirm_repeats", &[1.0, 2.0]);
    maybe("confirm_after", &[0.0, 2.0]);
    maybe("log_capacity", &[1.0, 7.0, 40.0]);
    maybe("max_instances", &[5.0, 20.0]);
    maybe("max_instances_per_service", &[3.0, 8.0]);
    maybe("max_services", &[2.0, 3.0]);
    maybe("max_overrides", &[2.0]);
    Value::map(pairs)
}

fn clock(dice: &mut Dice) -> Clock {
    match dice.below(100) {
        0..35 => Clock::Plus(0),
        35..50 => Clock::Plus(dice.below(100_000)),
        50..66 => Clock::Plus(dice.below(2 * SECOND)),
        66..82 => Clock::Due(0),
        82..90 => Clock::Due(dice.of(&[-1, 1, 500_000, 999_999, 1_000_000, 1_000_001, 5_000_001])),
        90..96 => Clock::Plus(dice.of(&[1_000, SECOND, 10 * SECOND, 30 * SECOND, 3_600 * SECOND, 4_294_967_296_000])),
        96..99 => Clock::Back(dice.of(&[1, 1_000, SECOND, 3_600 * SECOND, u64::MAX])),
        // Times that are none, and seldom the last of all.
        _ if dice.percent(30) => Clock::At(dice.of(&[1 << 53, i64::MAX as u64, u64::MAX])),
        _ if dice.percent(1) => Clock::At((1 << 53) - 1),
        _ => Clock::Back(SECOND),
    }
}

fn step(dice: &mut Dice, fleet: Option<u64>) -> Step {
    let clock = clock(dice);
    let (verb, args) = match dice.below(100) {
        0..24 => ("register", register(dice, fleet)),
        24..40 => ("renew", renew(dice)),
        40..50 => ("apply", renewals(dice)),
        50..56 => ("renew_handle", renew(dice)),
        56..60 => ("deregister", with_incarnation(dice)),
        60..65 => ("set_health", health(dice)),
        65..70 => ("set_admin", admin(dice)),
        70..75 => ("apply", batch(dice, fleet)),
        75..82 => ("reconcile", listing(dice)),
        82..83 => ("acknowledge", Value::map([("source", Value::from(dice.of(SOURCES)))])),
        83..89 => ("advance", Value::Map(Vec::new())),
        89..90 => ("restore", Value::Map(Vec::new())),
        90..92 => ("watch", watch(dice)),
        _ => ("poll", Value::map([("watch", Value::from(dice.of(&["quick", "slow", "lame"])))])),
    };
    // A lame reader is hardly ever there.
    let clock = if verb == "poll" { Clock::Plus(0) } else { clock };
    Step { clock, verb, args }
}

fn service(dice: &mut Dice) -> (&'static str, &'static str) {
    match dice.below(10) {
        0..7 => ("default", "s"),
        7 => ("default", "t"),
        8 => ("default", "u"),
        _ => ("other", "s"),
    }
}

fn key(dice: &mut Dice) -> Vec<(&'static str, Value)> {
    let (namespace, service) = service(dice);
    vec![("namespace", namespace.into()), ("service", service.into()), ("id", dice.of(IDS).into())]
}

fn with_incarnation(dice: &mut Dice) -> Value {
    let mut pairs = key(dice);
    if dice.percent(30) {
        pairs.push(("incarnation", dice.below(4).into()));
    }
    Value::map(pairs)
}

fn renew(dice: &mut Dice) -> Value {
    with_incarnation(dice)
}

fn instance(dice: &mut Dice, key: Vec<(&'static str, Value)>, fleet: Option<u64>) -> Value {
    let mut pairs = key;
    let (ttl, grace) = match fleet {
        Some(kind) => [(2.0, 0.0), (2.0, 1.0), (10.0, 5.0), (30.0, 0.0)][kind as usize],
        None => (dice.of(&[0.0, 1.0, 2.0, 2.5, 10.0, 30.0, 86_400.0]), dice.of(&[0.0, 0.0, 0.5, 5.0])),
    };
    if ttl > 0.0 {
        pairs.push(("ttl", ttl.into()));
        pairs.push(("grace", grace.into()));
    }
    // Mostly the same content, so that saying it again is often saying the same.
    let variant = if dice.percent(75) { 0 } else { dice.below(5) };
    if variant > 0 {
        pairs.push(("weight", Value::from(variant as f64 / 2.0)));
        pairs.push((
            "metadata",
            Value::map([("env", Value::from(["prod", "test"][variant as usize % 2])), ("n", variant.to_string().into())]),
        ));
        pairs.push(("tags", Value::from(vec![["x", "y", "z"][variant as usize % 3]])));
        pairs.push(("version", format!("1.{variant}.0").into()));
        pairs.push(("locality", Value::map([("zone", Value::from(["z1", "z2"][variant as usize % 2]))])));
        pairs.push(("endpoints", Value::from(vec![format!("http://10.0.0.{variant}:80")])));
    }
    if dice.percent(10) {
        pairs.push(("health", dice.of(&["unknown", "starting", "degraded", "unhealthy"]).into()));
    }
    if dice.percent(10) {
        pairs.push(("incarnation", dice.below(4).into()));
    }
    Value::map(pairs)
}

fn register(dice: &mut Dice, fleet: Option<u64>) -> Value {
    let key = key(dice);
    let mut pairs = vec![("instance", instance(dice, key, fleet))];
    if dice.percent(15) {
        pairs.push(("mode", dice.of(&["create", "update", "upsert"]).into()));
    }
    if dice.percent(5) {
        pairs.push(("if_revision", dice.below(30).into()));
    }
    Value::map(pairs)
}

/// Many of a service renew at once, some are silent.
fn renewals(dice: &mut Dice) -> Value {
    let (namespace, service) = service(dice);
    let start = dice.below(IDS.len() as u64) as usize;
    let count = dice.below(IDS.len() as u64 + 1) as usize;
    let op = |id: &&str| {
        Value::map([("op", "renew".into()), ("namespace", namespace.into()), ("service", service.into()), ("id", Value::from(*id))])
    };
    Value::map([("ops", Value::List(IDS.iter().cycle().skip(start).take(count).map(op).collect()))])
}

fn health(dice: &mut Dice) -> Value {
    let mut pairs = key(dice);
    pairs.push(("health", dice.of(&["unknown", "starting", "healthy", "degraded", "unhealthy"]).into()));
    if dice.percent(20) {
        pairs.push(("incarnation", dice.below(4).into()));
    }
    Value::map(pairs)
}

fn admin(dice: &mut Dice) -> Value {
    let mut pairs = key(dice);
    if dice.percent(70) {
        let mut own = vec![("state", Value::from(dice.of(&["enabled", "draining", "draining", "disabled"])))];
        if dice.percent(60) {
            own.push(("ttl", dice.of(&[0.0, 0.5, 2.0, 30.0, 4_000_000.0]).into()));
        }
        pairs.push(("admin", Value::map(own)));
    }
    Value::map(pairs)
}

fn batch(dice: &mut Dice, fleet: Option<u64>) -> Value {
    let ops = (0..dice.below(6)).map(|_| {
        let (word, args) = match dice.below(6) {
            0 | 1 => ("register", register(dice, fleet)),
            2 => ("renew", renew(dice)),
            3 => ("deregister", with_incarnation(dice)),
            4 => ("set_health", health(dice)),
            _ => ("set_admin", admin(dice)),
        };
        let mut pairs = args.as_map().unwrap_or_default().to_vec();
        pairs.push(("op".into(), word.into()));
        Value::Map(pairs)
    });
    Value::map([("ops", Value::List(ops.collect()))])
}

/// What a source says: all it has, less, nothing, twice the same, what is not its own, what nobody can reach.
fn listing(dice: &mut Dice) -> Value {
    let (namespace, service) = service(dice);
    let scoped = dice.percent(70);
    let (share, shown) = match dice.below(10) {
        0 => (0, 14),
        1 | 2 => (30, 14),
        _ => (80, 14),
    };
    let ids: Vec<&str> = IDS.iter().take(shown).copied().filter(|_| dice.percent(share)).collect();
    let mut instances = Vec::new();
    for id in ids {
        // Most sources have names of their own; now and then one claims another's.
        let id = if dice.percent(5) { id.to_owned() } else { format!("f{id}") };
        let mut pairs = vec![("id", Value::from(id))];
        if !scoped {
            pairs.push(("service", dice.of(&["s", "t"]).into()));
        }
        if dice.percent(3) {
            pairs.push((
                "endpoints",
                Value::from(vec![dice.of(&["http://127.0.0.1:80", "http://[::ffff:169.254.169.254]:80", "http://10.1.1.1:80"])]),
            ));
        }
        if dice.percent(3) {
            pairs.push(("namespace", "elsewhere".into()));
        }
        if dice.percent(10) {
            pairs.push(("ttl", Value::from(5.0)));
        }
        if dice.percent(10) {
            pairs.push(("weight", Value::from(dice.below(3) as f64)));
        }
        instances.push(Value::map(pairs.clone()));
        if dice.percent(2) {
            instances.push(Value::map(pairs));
        }
    }
    let mut pairs = vec![("source", Value::from(dice.of(SOURCES))), ("namespace", namespace.into()), ("instances", Value::List(instances))];
    if scoped {
        pairs.push(("service", service.into()));
    }
    if dice.percent(25) {
        let gone = (0..dice.below(8)).map(|_| Value::map([("service", Value::from(service)), ("id", format!("f{}", dice.of(IDS)).into())]));
        pairs.push(("removed", Value::List(gone.collect())));
    }
    Value::map(pairs)
}

fn watch(dice: &mut Dice) -> Value {
    let query = QUERIES[dice.below(QUERIES.len() as u64) as usize].0;
    let name = dice.of(&["quick", "slow", "lame"]);
    Value::map([("watch", Value::from(name)), ("query", Value::from_json(query.as_bytes()).expect("JSON"))])
}
