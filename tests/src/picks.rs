//! Never dead, never foreign: picks by the million from registries in which much happens, and whom no call may go to is written down beside them.
//!
//! What is written down follows from the calls that were made and from the time, never from what the registry or the balancer says. The registry is
//! configured to hold nobody back, so that who is overdue is gone on the dot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callboard::balance::{Balancer, Options, Outcome, OutcomeKind, Policy, Request};
use callboard::model::{AdminState, Handle, Health, Override, Registration, Weight};
use callboard::query::Query;
use callboard::registry::{Config, Extent, Listing, Put, Registry};
use callboard::{Timestamp, Value};

use crate::dice::Dice;

const SECOND: u64 = 1_000_000;
const IDS: u64 = 12;
/// Names that begin alike, the same names in two namespaces, and a source's own.
const PLACES: &[(&str, &str)] = &[("dev", "web"), ("dev2", "web"), ("dev", "web2"), ("default", "web")];
const PARTS: &[(&str, &str)] = &[
    ("outliers", r#""envoy""#),
    ("hold", "{}"),
    ("levels", "{}"),
    ("levels", r#"{"panic":70}"#),
    ("localities", r#"{"mode":"weights","weights":{"a":1,"b":2}}"#),
    ("slow_start", r#"{"window":60}"#),
    ("subset", r#"{"size":4}"#),
    ("sticky", "{}"),
];

type Key = (&'static str, &'static str, String);

/// What is known of an instance from what was done to it.
struct Known {
    handle: Handle,
    /// When its lease ends.
    end: u64,
    ttl: u64,
    foreign: bool,
    weightless: bool,
}

struct World {
    dice: Dice,
    registry: Registry,
    now: u64,
    known: BTreeMap<Key, Known>,
    disabled: BTreeSet<Key>,
}

/// Makes at least so many picks in the life of a seed; tells how many, and how many calls found nobody.
///
/// # Errors
/// Whom a call went to that no call may go to, and why.
pub fn life(seed: u64, picks: u64) -> Result<(u64, u64), String> {
    let config = Config {
        renewal_percent: 0,
        eviction_percent: 100,
        timer_slack: Duration::from_secs(86_400),
        epoch: 1,
        seed,
        confirm_repeats: 1,
        confirm_after: Duration::ZERO,
        ..Config::default()
    };
    let registry = Registry::new(config).map_err(|error| error.to_string())?;
    let mut world = World { dice: Dice(seed), registry, now: 0, known: BTreeMap::new(), disabled: BTreeSet::new() };
    for _ in 0..20 {
        world.happen()?;
    }
    let (mut made, mut refused) = (0, 0);
    while made + refused < picks {
        let place = world.dice.of(PLACES);
        let mut balancer = world.balancer(place)?;
        for _ in 0..20 {
            for _ in 0..world.dice.below(4) {
                world.happen()?;
            }
            let (well, ill) = world.pick(place, &mut balancer)?;
            (made, refused) = (made + well, refused + ill);
        }
    }
    // Somebody is there nearly always.
    if refused * 4 > made {
        return Err(format!("{refused} calls found nobody, and only {made} somebody"));
    }
    Ok((made, refused))
}

impl World {
    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now).expect("a time")
    }

    fn key(&mut self) -> Key {
        let (namespace, service) = self.dice.of(PLACES);
        (namespace, service, format!("i{}", self.dice.below(IDS)))
    }

    /// What time has ended.
    fn forget(&mut self) {
        let now = self.now;
        self.known.retain(|_, known| known.end > now);
    }

    /// Something happens.
    fn happen(&mut self) -> Result<(), String> {
        self.now += match self.dice.below(10) {
            0..5 => 0,
            5..9 => self.dice.below(SECOND / 2),
            _ => self.dice.below(4 * SECOND),
        };
        let now = self.time();
        self.registry.advance(now);
        self.forget();
        let text = |error: callboard::Error| error.to_string();
        let key = self.key();
        let (namespace, service, id) = (key.0, key.1, key.2.clone());
        match self.dice.below(100) {
            0..40 => {
                let ttl = self.dice.of(&[1, 2, 5, 3_600]) * SECOND;
                let weight = self.dice.of(&[0, 1_000, 1_000, 2_500, 65_535_000]);
                let mut own = Registration::new(service, id).namespace(namespace).zone(self.dice.of(&["a", "b", "c"]));
                own = own.lease(Duration::from_micros(ttl), Duration::ZERO).map_err(text)?;
                own = own.endpoint(&format!("http://10.0.0.{}:80", self.dice.below(250))).map_err(text)?;
                own = own.metadata([("priority", self.dice.of(&["0", "0", "1", "2"]))]).map_err(text)?;
                own.weight = Weight::from_thousandths(weight).map_err(text)?;
                own.health = self.dice.of(&[Health::Healthy, Health::Healthy, Health::Healthy, Health::Degraded, Health::Unhealthy]);
                if let Ok(done) = self.registry.register(&own, Put::default(), now) {
                    let known = Known { handle: done.handle, end: self.now + ttl, ttl, foreign: false, weightless: weight == 0 };
                    self.known.insert(key, known);
                }
            }
            40..60 => {
                if self.registry.renew(namespace, service, &id, 0, now).is_ok()
                    && let Some(known) = self.known.get_mut(&key)
                {
                    known.end = self.now + known.ttl;
                }
            }
            60..70 => {
                if self.registry.deregister(namespace, service, &id, None, now).is_ok() {
                    self.known.remove(&key);
                }
            }
            70..85 => {
                let state = self.dice.of(&[AdminState::Disabled, AdminState::Disabled, AdminState::Enabled, AdminState::Draining]);
                let own = Override { state, until: None, reason: String::new() };
                self.registry.set_admin(namespace, service, &id, Some(own), now).map_err(text)?;
                if state == AdminState::Disabled {
                    self.disabled.insert(key);
                } else {
                    self.disabled.remove(&key);
                }
            }
            85..90 => {
                let health = self.dice.of(&[Health::Healthy, Health::Degraded, Health::Unhealthy, Health::Starting]);
                let _ = self.registry.set_health(namespace, service, &id, health, None, now);
            }
            90..98 => self.reconcile(namespace, service)?,
            _ => {
                let config = self.registry.config().clone();
                self.registry = Registry::restore(&self.registry.snapshot(), config, now).map_err(text)?;
                for (key, known) in &mut self.known {
                    known.handle = self.registry.lookup(key.0, key.1, &key.2).ok_or("a restore lost somebody")?;
                    // Every lease begins anew.
                    known.end = if known.foreign { u64::MAX } else { self.now + known.ttl };
                }
            }
        }
        Ok(())
    }

    /// A source says whom it has, and is believed.
    fn reconcile(&mut self, namespace: &'static str, service: &'static str) -> Result<(), String> {
        let ids: Vec<String> = (0..IDS).map(|number| format!("f{number}")).filter(|_| self.dice.percent(50)).collect();
        let all: Vec<Key> = self.known.keys().filter(|key| (key.0, key.1) == (namespace, service)).cloned().collect();
        let gone = all.into_iter().filter(|key| self.known[key].foreign && !ids.contains(&key.2));
        let gone: Vec<Key> = gone.collect();
        let listing = Listing {
            source: "consul:dc1".into(),
            namespace: namespace.into(),
            service: Some(service.into()),
            instances: ids.iter().map(|id| Registration::new(service, id.as_str()).namespace(namespace)).collect(),
            same: Vec::new(),
            removed: gone.iter().map(|key| (key.1.to_owned(), key.2.clone())).collect(),
            kept: Vec::new(),
            unread: Vec::new(),
            extent: Extent::Whole,
        };
        self.registry.reconcile(&listing, self.time()).map_err(|error| error.to_string())?;
        for key in gone {
            self.known.remove(&key);
        }
        for id in ids {
            let handle = self.registry.lookup(namespace, service, &id).ok_or("a listing was not taken")?;
            let known = Known { handle, end: u64::MAX, ttl: 0, foreign: true, weightless: false };
            self.known.insert((namespace, service, id), known);
        }
        Ok(())
    }

    fn balancer(&mut self, (namespace, service): (&'static str, &'static str)) -> Result<Balancer, String> {
        let mut policy = vec![("preset", Value::from(self.dice.of(Policy::catalogue()).name))];
        for _ in 0..self.dice.below(4) {
            let (name, part) = self.dice.of(PARTS);
            if policy.iter().all(|(known, _)| *known != name) {
                policy.push((name, Value::from_json(part.as_bytes()).map_err(|error| error.to_string())?));
            }
        }
        let policy = Policy::from_value(&Value::map(policy)).map_err(|error| error.to_string())?;
        let options = Options::seeded(self.dice.below(1 << 53));
        Balancer::new(Query::service(service).namespace(namespace), policy, options).map_err(|error| error.to_string())
    }

    /// Some hundreds of picks at once; tells how many found somebody, and how many did not.
    fn pick(&mut self, place: (&'static str, &'static str), balancer: &mut Balancer) -> Result<(u64, u64), String> {
        let now = self.time();
        balancer.follow(&self.registry);
        let mut fair: Vec<(Handle, &str)> = self
            .known
            .iter()
            .filter(|(key, known)| (key.0, key.1) == place && known.end > self.now && !known.weightless && !self.disabled.contains(*key))
            .map(|(key, known)| (known.handle, key.2.as_str()))
            .collect();
        fair.sort_unstable();
        let (mut made, mut refused, mut open) = (0, 0, Vec::new());
        for _ in 0..400 {
            let number = self.dice.bits();
            let key = number.to_le_bytes();
            let exclude: Vec<Handle> =
                if number.is_multiple_of(8) { fair.iter().take(2).map(|(handle, _)| *handle).collect() } else { Vec::new() };
            let prefer: Vec<&str> = if number % 16 == 1 { fair.iter().take(1).map(|(_, id)| *id).collect() } else { Vec::new() };
            let request = Request { key: (!number.is_multiple_of(3)).then_some(&key[..]), exclude: &exclude, prefer: &prefer, labels: &[] };
            match balancer.pick(&request, now) {
                Ok(pick) => {
                    made += 1;
                    open.push(pick.token);
                    if exclude.contains(&pick.handle) {
                        return Err(format!("{} of {place:?} was excluded", balancer.policy().name()));
                    }
                    if fair.binary_search_by_key(&pick.handle, |(handle, _)| *handle).is_err() {
                        return Err(self.why(place, balancer, pick.handle));
                    }
                }
                Err(_) => refused += 1,
            }
            if open.len() > 8 {
                let outcome = Outcome::of(self.dice.of(OutcomeKind::ALL));
                balancer.finish(open.swap_remove(number as usize % open.len()), outcome, now);
            }
        }
        for token in open {
            balancer.finish(token, Outcome::success(Duration::from_millis(1)), now);
        }
        Ok((made, refused))
    }

    /// Why no call may go there.
    fn why(&self, place: (&str, &str), balancer: &Balancer, handle: Handle) -> String {
        let whom = self.known.iter().find(|(_, known)| known.handle == handle);
        let why = match whom {
            None => "it is gone".to_owned(),
            Some((key, _)) if (key.0, key.1) != place => format!("it is of {}/{}", key.0, key.1),
            Some((key, _)) if self.disabled.contains(key) => "it is disabled".to_owned(),
            Some((_, known)) if known.weightless => "its weight is 0".to_owned(),
            Some((_, known)) => format!("its lease ended at {}", known.end),
        };
        let policy = String::from_utf8(balancer.policy().to_value().to_json()).unwrap_or_default();
        format!("at {} a call to {place:?} went to {:?}: {why}; {policy}", self.now, whom.map(|(key, _)| &key.2))
    }
}
