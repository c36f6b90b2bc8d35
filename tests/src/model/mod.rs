//! A naive registry: one sorted list, looked through from end to end for everything.
//!
//! Written from the documented rules and not from the registry's code, to be compared with it (see
//! [`simulator`](crate::simulator)). Slow and obvious on purpose: what is suspect, due or overdue is worked out from the
//! times each time it is asked, never kept.

mod sources;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use callboard::model::{AdminState, Availability, Health, LeaseState, Override, Registration};
use callboard::registry::{Config, Mode, Op, Put};
use callboard::{Code, Timestamp};

/// Namespace, service, id.
pub type Key = (String, String, String);

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What the provider said, with the health and incarnation last heard.
    pub registration: Registration,
    /// Whose it is.
    pub source: String,
    /// The revision that last changed it.
    pub revision: u64,
    /// The last renewal, microseconds.
    pub beat: u64,
    /// Tells records of one key apart, as handles do.
    pub born: u64,
}

/// What became of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Records made.
    pub added: u32,
    /// Records changed.
    pub updated: u32,
    /// Records removed.
    pub removed: u32,
    /// Records that should be gone and stay.
    pub held: u32,
    /// Instances that were not taken.
    pub skipped: usize,
}

/// A listing that is not believed yet: what it drops, since when, how often.
#[derive(Clone)]
struct Doubt {
    drops: Vec<(Key, u64)>,
    first: u64,
    repeats: u32,
}

/// A source and what it speaks of.
type Scope = (String, String, Option<String>);

/// One change: revision, kind, cause, key.
pub type Change = (u64, &'static str, &'static str, Key);

/// What passes over one service remember.
#[derive(Clone, Copy, Debug, Default)]
struct Passes {
    since: Option<u64>,
    next: Option<u64>,
    held: usize,
    lost: usize,
    lost_until: u64,
}

/// The naive registry.
#[derive(Clone)]
pub struct Model {
    /// Its settings.
    pub config: Config,
    /// The latest time it was told.
    pub now: u64,
    /// Its life.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// The records by key.
    pub records: BTreeMap<Key, Record>,
    /// The operator's words by key.
    pub overrides: BTreeMap<Key, Override>,
    /// Every change there ever was.
    pub log: Vec<Change>,
    /// How often time ran backwards.
    pub backwards: u64,
    /// How many leases ended.
    pub expired: u64,
    /// How often nobody was watching.
    pub gaps: u64,
    /// Everybody who ever spoke for others.
    pub sources: BTreeSet<String>,
    doubts: BTreeMap<Scope, Doubt>,
    born: u64,
    /// Leases renewed before this count as renewed then.
    floor: u64,
    passes: BTreeMap<(String, String), Passes>,
    /// Changes under the next revision.
    pending: Vec<(&'static str, &'static str, Key)>,
}

/// A refusal: the code is what the comparison is about.
pub type Refused = Code;

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

impl Model {
    /// An empty one.
    pub fn new(config: Config) -> Self {
        Self {
            epoch: config.epoch,
            config,
            now: 0,
            revision: 0,
            records: BTreeMap::new(),
            overrides: BTreeMap::new(),
            log: Vec::new(),
            backwards: 0,
            expired: 0,
            gaps: 0,
            sources: BTreeSet::new(),
            doubts: BTreeMap::new(),
            born: 0,
            floor: 0,
            passes: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    /// What a restored registry knows: records and overrides; every lease begins anew.
    pub fn restored(&self, epoch: u64, now: u64) -> Self {
        let mut restored = Self::new(self.config.clone());
        (restored.epoch, restored.revision, restored.now) = (epoch, self.revision, now);
        (restored.records, restored.born) = (self.records.clone(), self.born);
        restored.sources = self.sources.clone();
        restored.overrides = self.overrides.clone();
        for until in restored.overrides.values_mut().filter_map(|own| own.until.as_mut()) {
            // What was left of it is left of it, as far as time goes.
            let end = now + until.as_micros().saturating_sub(self.now);
            *until = Timestamp::from_micros(end.min(Timestamp::MAX.as_micros())).expect("a time");
        }
        for record in restored.records.values_mut() {
            record.beat = now;
        }
        restored
    }

    // What can be asked of a record.

    /// Where it stands in its lease.
    pub fn lease_state(&self, record: &Record) -> LeaseState {
        match record.registration.lease {
            None => LeaseState::Persistent,
            Some(_) if self.is_suspect(record) => LeaseState::Suspect,
            Some(_) => LeaseState::Live,
        }
    }

    /// The services that have records, in order.
    pub fn services(&self) -> Vec<(&str, &str)> {
        let mut services: Vec<_> = self.records.keys().map(|key| (key.0.as_str(), key.1.as_str())).collect();
        services.dedup();
        services
    }

    /// Whether it may be given a call.
    pub fn availability(&self, key: &Key, record: &Record) -> Availability {
        let admin = self.overrides.get(key).map_or(AdminState::Enabled, |own| own.state);
        match (admin, record.registration.health, self.lease_state(record)) {
            (AdminState::Disabled, ..) | (_, Health::Unhealthy | Health::Starting, _) => Availability::Unavailable,
            (AdminState::Draining, ..) => Availability::Draining,
            (_, Health::Degraded, _) | (.., LeaseState::Suspect) => Availability::Degraded,
            _ => Availability::Available,
        }
    }

    // Operations. A batch is done on a copy, so that it is done whole or not at all; a single one checks before it changes anything.

    /// Does a batch as one revision.
    pub fn apply(&mut self, ops: &[Op], now: u64) -> Result<u64, Refused> {
        self.observe(now);
        if let [op] = ops {
            self.operate(op)?;
            self.commit();
            return Ok(self.revision);
        }
        // The log only grows, and is long.
        let log = std::mem::take(&mut self.log);
        let mut copy = self.clone();
        self.log = log;
        ops.iter().try_for_each(|op| copy.operate(op))?;
        copy.log = std::mem::take(&mut self.log);
        copy.commit();
        *self = copy;
        Ok(self.revision)
    }

    fn operate(&mut self, op: &Op) -> Result<(), Refused> {
        match op {
            Op::Register { registration, put } => self.register(registration, *put, "local", "register"),
            Op::Renew { key, incarnation } => {
                let key = owned(key);
                if !self.records.contains_key(&key) {
                    return Err(Code::UnknownLease);
                }
                self.touch(&key, Some(*incarnation))?;
                self.renew(&key);
                Ok(())
            }
            Op::Deregister { key, incarnation } => {
                let key = owned(key);
                self.touch(&key, *incarnation)?;
                self.remove(&key, "deregister");
                Ok(())
            }
            Op::SetHealth { key, health, incarnation } => {
                let key = owned(key);
                self.touch(&key, *incarnation)?;
                let record = self.records.get_mut(&key).expect("it may be touched");
                if record.registration.health != *health {
                    record.registration.health = *health;
                    self.touched(key, "health");
                }
                Ok(())
            }
            Op::SetAdmin { key, admin } => {
                let key = owned(key);
                let mut admin = admin.clone();
                // One that ends in the past ends at once, and nobody is late for it.
                for until in admin.iter_mut().filter_map(|own| own.until.as_mut()) {
                    *until = (*until).max(Timestamp::from_micros(self.now).expect("a time"));
                }
                if self.overrides.get(&key) == admin.as_ref() {
                    return Ok(());
                }
                if !self.overrides.contains_key(&key) && self.overrides.len() >= self.config.max_overrides as usize {
                    return Err(Code::QuotaExceeded);
                }
                match admin {
                    Some(own) => self.overrides.insert(key.clone(), own),
                    None => self.overrides.remove(&key),
                };
                self.touched(key, "admin");
                Ok(())
            }
        }
    }

    /// Whether a local caller of this incarnation may change the record; takes note of the incarnation.
    fn touch(&mut self, key: &Key, incarnation: Option<u64>) -> Result<(), Refused> {
        let record = self.records.get_mut(key).ok_or(Code::UnknownInstance)?;
        if record.source != "local" {
            return Err(Code::NotOwner);
        }
        if let Some(incarnation) = incarnation {
            if incarnation < record.registration.incarnation {
                return Err(Code::StaleIncarnation);
            }
            record.registration.incarnation = incarnation;
        }
        Ok(())
    }

    fn register(&mut self, registration: &Registration, put: Put, source: &str, cause: &'static str) -> Result<(), Refused> {
        let key = (registration.namespace.clone(), registration.service.clone(), registration.id.clone());
        let known = self.records.get(&key);
        match (known, put.mode) {
            (Some(_), Mode::Create) => return Err(Code::AlreadyExists),
            (None, Mode::Update) => return Err(Code::UnknownInstance),
            _ => {}
        }
        // The revision from before the batch; a record that the batch has made has none.
        if put.if_revision.is_some_and(|wanted| wanted == 0 || known.map(|known| known.revision) != Some(wanted)) {
            return Err(Code::RevisionMismatch);
        }
        if let Some(known) = known {
            if known.source != source {
                return Err(Code::NotOwner);
            }
            if registration.incarnation < known.registration.incarnation {
                return Err(Code::StaleIncarnation);
            }
        } else {
            self.room(&key)?;
        }
        self.put(registration, source, cause);
        Ok(())
    }

    fn room(&self, key: &Key) -> Result<(), Refused> {
        let of_service = self.records.keys().filter(|other| (&other.0, &other.1) == (&key.0, &key.1)).count();
        let full = self.records.len() >= self.config.max_instances as usize
            || of_service >= self.config.max_instances_per_service as usize
            || (of_service == 0 && self.services().len() >= self.config.max_services as usize);
        if full { Err(Code::QuotaExceeded) } else { Ok(()) }
    }

    /// Writes a registration that was let in.
    fn put(&mut self, registration: &Registration, source: &str, cause: &'static str) {
        let key = (registration.namespace.clone(), registration.service.clone(), registration.id.clone());
        let kind = match self.records.get(&key) {
            Some(known) if known.registration == *registration => return self.renew(&key),
            Some(_) => "updated",
            None => {
                if let Some(passes) = self.passes.get_mut(&(key.0.clone(), key.1.clone()))
                    && registration.lease.is_some()
                {
                    passes.lost = passes.lost.saturating_sub(1);
                }
                "added"
            }
        };
        self.born += 1;
        let (born, revision) = self.records.get(&key).map_or((self.born, 0), |known| (known.born, known.revision));
        let record = Record { registration: registration.clone(), source: source.into(), revision, beat: self.now, born };
        self.records.insert(key.clone(), record);
        self.pending.push((kind, cause, key));
    }

    fn renew(&mut self, key: &Key) {
        let suspect = self.is_suspect(&self.records[key]);
        self.records.get_mut(key).expect("it is there").beat = self.now;
        if suspect {
            self.touched(key.clone(), "lease");
        }
    }

    /// Takes a record out.
    fn remove(&mut self, key: &Key, cause: &'static str) {
        if self.records.remove(key).is_some() {
            self.pending.push(("removed", cause, key.clone()));
            // A service without instances is forgotten, and what its passes knew.
            if !self.records.keys().any(|other| (&other.0, &other.1) == (&key.0, &key.1)) {
                self.passes.remove(&(key.0.clone(), key.1.clone()));
            }
        }
    }

    /// Notes that something about a record is different, if there is such a record.
    fn touched(&mut self, key: Key, cause: &'static str) {
        if self.records.contains_key(&key) {
            self.pending.push(("updated", cause, key));
        }
    }

    /// Makes what is pending one revision.
    fn commit(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.revision += 1;
        for (kind, cause, key) in std::mem::take(&mut self.pending) {
            if let Some(record) = self.records.get_mut(&key) {
                record.revision = self.revision;
            }
            self.log.push((self.revision, kind, cause, key));
        }
    }
}

fn owned(key: &callboard::registry::Key) -> Key {
    (key.namespace.clone(), key.service.clone(), key.id.clone())
}
