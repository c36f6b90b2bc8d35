//! Everything that can be seen of the registry, compared with the model after each step.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use callboard::model::{Availability, LeaseState};
use callboard::query::Query;
use callboard::registry::{Changes, Position};
use callboard::{Timestamp, Value};
use sha2::{Digest as _, Sha256};

use super::World;
use crate::document::json;
use crate::model::{Change, Key, Model, Record};

/// A change as the log tells it: revision, kind, cause; namespace, service and id.
type Told<'a> = (u64, &'a str, &'a str, (&'a str, &'a str, &'a str));

/// A condition as the model evaluates it.
type Condition = fn(&Model, &Key, &Record) -> bool;

/// A query as a document; at most so many; its rungs: namespace, service, condition.
pub type Asked = (&'static str, Option<usize>, &'static [(&'static str, Option<&'static str>, Condition)]);

fn serving(model: &Model, key: &Key, record: &Record) -> bool {
    model.availability(key, record) != Availability::Unavailable
}

fn pair(record: &Record, key: &str, value: &str) -> bool {
    record.registration.metadata.get(key) == Some(value)
}

/// What is asked.
pub const QUERIES: &[Asked] = &[
    (r#"{"service":"s"}"#, None, &[("default", Some("s"), serving)]),
    (r#"{"service":"s","health":"any"}"#, None, &[("default", Some("s"), |_, _, _| true)]),
    (
        r#"{"service":"s","health":"available"}"#,
        None,
        &[("default", Some("s"), |model, key, record| model.availability(key, record) == Availability::Available)],
    ),
    (r#"{}"#, None, &[("default", None, serving)]),
    (r#"{"namespace":"other","health":"any"}"#, None, &[("other", None, |_, _, _| true)]),
    (r#"{"service":"none"}"#, None, &[("default", Some("none"), serving)]),
    (
        r#"{"selector":"env=prod"}"#,
        None,
        &[("default", None, |model, key, record| serving(model, key, record) && pair(record, "env", "prod"))],
    ),
    (
        r#"{"service":"s","health":"any","selector":"env!=prod, n notin (3)"}"#,
        None,
        &[("default", Some("s"), |_, _, record| !pair(record, "env", "prod") && !pair(record, "n", "3"))],
    ),
    (
        r#"{"service":"s","tags":["x"]}"#,
        None,
        &[("default", Some("s"), |model, key, record| serving(model, key, record) && record.registration.tags.contains("x"))],
    ),
    (
        r#"{"service":"s","locality":{"zone":"z1"},"version":"^1.2"}"#,
        None,
        // Versions are 1.1.0 to 1.4.0.
        &[("default", Some("s"), |model, key, record| {
            let version = record.registration.version.as_ref().map(|version| version.text());
            serving(model, key, record) && record.registration.locality.zone == "z1" && version.is_some_and(|version| version != "1.1.0")
        })],
    ),
    (r#"{"limit":3}"#, Some(3), &[("default", None, serving)]),
    (
        r#"{"service":"t","selector":"weight >= 1","fallbacks":[{"service":"u"},{"service":"s"}]}"#,
        None,
        &[
            ("default", Some("t"), |model, key, record| serving(model, key, record) && record.registration.weight.thousandths() >= 1_000),
            ("default", Some("u"), serving),
            ("default", Some("s"), serving),
        ],
    ),
];

static TYPED: LazyLock<Vec<Query>> = LazyLock::new(|| {
    let read = |asked: &Asked| Query::from_value(&Value::from_json(asked.0.as_bytes()).expect("JSON")).expect("a query");
    QUERIES.iter().map(read).collect()
});

/// What the model answers: the keys, and the rung.
fn answer<'a>(model: &'a Model, asked: &Asked) -> (Vec<&'a Key>, u32) {
    for (number, (namespace, service, condition)) in asked.2.iter().enumerate() {
        let in_scope = |key: &Key| key.0 == *namespace && service.is_none_or(|service| key.1 == service);
        let mut found: Vec<&Key> =
            model.records.iter().filter(|(key, record)| in_scope(key) && condition(model, key, record)).map(|(key, _)| key).collect();
        found.truncate(asked.1.unwrap_or(usize::MAX));
        if !found.is_empty() {
            return (found, number as u32);
        }
    }
    (Vec::new(), 0)
}

/// A reader, with what the deltas have told it: handle and revision by service and id.
pub struct Watched {
    query: usize,
    members: BTreeMap<(String, String), (u64, u64)>,
    polled: bool,
}

macro_rules! same {
    ($what:expr, $ours:expr, $theirs:expr) => {
        let (ours, theirs) = (&$ours, &$theirs);
        if ours != theirs {
            return Err(format!("{}: model {ours:?}, registry {theirs:?}", $what));
        }
    };
}

impl World<'_> {
    /// Compares everything.
    pub(super) fn check(&mut self, step: u64) -> Result<(), String> {
        self.check_numbers()?;
        self.check_records(step)?;
        self.check_services(step)?;
        self.check_query(step as usize % QUERIES.len())?;
        self.check_changes(step)
    }

    fn check_numbers(&self) -> Result<(), String> {
        let (registry, model) = (self.host.registry(), &self.model);
        same!("revision", model.revision, registry.revision());
        same!("epoch", model.epoch, registry.epoch());
        same!("now", model.now, registry.now().as_micros());
        same!("length", model.records.len(), registry.len());
        let deadline = model.deadline().map(|due| due.min(Timestamp::MAX.as_micros()));
        same!("deadline", deadline, registry.deadline().map(Timestamp::as_micros));
        let stats = registry.stats();
        let count = |condition: Condition| model.records.iter().filter(|(key, record)| condition(model, key, record)).count() as u64;
        let protected = model.services().iter().filter(|(namespace, service)| model.is_protected(namespace, service)).count() as u64;
        same!("leased", count(|_, _, record| record.registration.lease.is_some()), stats.leased);
        same!("suspect", count(|model, _, record| model.lease_state(record) == LeaseState::Suspect), stats.suspect);
        same!("overrides", model.overrides.len() as u64, stats.overrides);
        same!("sources", model.sources.len() as u64 + 1, stats.sources);
        same!("protected", protected, stats.protected);
        same!("expired", model.expired, stats.expired);
        same!("backwards", model.backwards, stats.backwards);
        same!("gaps", model.gaps, stats.gaps);
        Ok(())
    }

    fn check_records(&mut self, step: u64) -> Result<(), String> {
        let registry = self.host.registry();
        for (key, record) in &self.model.records {
            let Some(handle) = registry.lookup(&key.0, &key.1, &key.2) else { return Err(format!("{key:?} is not on record")) };
            // What has not changed is read again in full now and then.
            if record.revision < self.model.revision && !step.is_multiple_of(4) {
                continue;
            }
            let Some(instance) = registry.instance(handle) else { return Err(format!("{key:?}: the handle names nothing")) };
            same!(format!("{key:?}: registration"), record.registration, instance.registration);
            same!(format!("{key:?}: revision"), record.revision, instance.revision);
            same!(format!("{key:?}: source"), record.source, instance.source);
            same!(format!("{key:?}: lease"), self.model.lease_state(record), instance.lease);
            same!(format!("{key:?}: availability"), self.model.availability(key, record), instance.availability());
            same!(format!("{key:?}: admin"), self.override_of(key), instance.admin.as_ref());
            // Now and then an old handle is kept, to be used when the record is another.
            match self.handles.get(key) {
                Some((_, born)) if *born != record.born && !step.is_multiple_of(4) => {}
                Some((known, born)) if *born == record.born => {
                    same!(format!("{key:?}: handle"), *known, handle);
                }
                _ => {
                    self.handles.insert(key.clone(), (handle, record.born));
                }
            }
        }
        if !step.is_multiple_of(8) {
            return Ok(());
        }
        for (key, (handle, born)) in &self.handles {
            if self.model.records.get(key).is_none_or(|record| record.born != *born) && registry.instance(*handle).is_some() {
                return Err(format!("{key:?}: the handle of a record that is gone names another"));
            }
        }
        Ok(())
    }

    fn check_services(&self, step: u64) -> Result<(), String> {
        let (registry, model) = (self.host.registry(), &self.model);
        let mut ours: BTreeMap<(&str, &str), (u32, u32)> = BTreeMap::new();
        for (key, record) in &model.records {
            let (instances, available) = ours.entry((&key.0, &key.1)).or_default();
            *instances += 1;
            *available += u32::from(model.availability(key, record) == Availability::Available);
        }
        let theirs = registry.services(None);
        same!("services", ours.len(), theirs.len());
        for (((namespace, service), (instances, available)), summary) in ours.into_iter().zip(&theirs) {
            let told = (summary.namespace.as_str(), summary.service.as_str(), summary.instances, summary.available, summary.protected);
            same!("service", (namespace, service, instances, available, model.is_protected(namespace, service)), told);
        }
        if !step.is_multiple_of(4) {
            return Ok(());
        }
        let mut digest = Sha256::new();
        let mut any = false;
        for (key, record) in model.records.iter().filter(|(key, _)| key.0 == "default" && key.1 == "s") {
            any = true;
            digest.update((key.2.len() as u32).to_le_bytes());
            digest.update(key.2.as_bytes());
            digest.update(record.revision.to_le_bytes());
        }
        let digest = any.then(|| digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        same!("digest", digest, registry.digest("default", "s"));
        Ok(())
    }

    fn check_query(&self, number: usize) -> Result<(), String> {
        let (registry, model, asked) = (self.host.registry(), &self.model, &QUERIES[number]);
        let theirs = registry.query(&TYPED[number]);
        let (ours, rung) = answer(model, asked);
        let handles: Vec<_> = ours.iter().filter_map(|key| registry.lookup(&key.0, &key.1, &key.2)).collect();
        same!(format!("query {}", asked.0), handles, theirs.handles);
        same!(format!("rung of {}", asked.0), rung, theirs.rung);
        same!("revision of an answer", (model.revision, model.epoch), (theirs.revision, theirs.epoch));
        let stale = asked.2.iter().any(|(namespace, service, _)| model.is_stale(namespace, *service));
        same!(format!("stale of {}", asked.0), stale, theirs.stale);
        let services = model.services();
        let protected = asked.2.iter().any(|(namespace, service, _)| {
            services
                .iter()
                .any(|(own, name)| own == namespace && service.is_none_or(|service| service == *name) && model.is_protected(own, name))
        });
        same!(format!("protected of {}", asked.0), protected, theirs.protected);
        Ok(())
    }

    /// The log since the last step is the model's, and the state is what the log tells; older positions are told gaplessly or refused.
    fn check_changes(&mut self, step: u64) -> Result<(), String> {
        let (registry, model) = (self.host.registry(), &self.model);
        let capacity = model.config.log_capacity as usize;
        // What a ring of that size has lost.
        let oldest = |log: &[Change]| log.len().checked_sub(capacity + 1).map_or(self.log_base, |lost| log[lost].0.max(self.log_base));
        let oldest = oldest(&model.log);
        let random = model.revision.saturating_sub(step * step % 23);
        for (since, folds) in [(self.folded_to, true), (random, false)] {
            match registry.changes(Position { epoch: model.epoch, revision: since }) {
                Changes::Events { events, position } => {
                    same!("position of changes", (model.epoch, model.revision), (position.epoch, position.revision));
                    if since < oldest {
                        return Err(format!("changes since {since} were told, but the log starts at {oldest}"));
                    }
                    let mut ours: Vec<Told<'_>> = model.log[model.log.partition_point(|change| change.0 <= since)..]
                        .iter()
                        .map(|(revision, kind, cause, (namespace, service, id))| {
                            (*revision, *kind, *cause, (&**namespace, &**service, &**id))
                        })
                        .collect();
                    let mut theirs: Vec<Told<'_>> = events
                        .iter()
                        .map(|event| {
                            let key = (&*event.namespace, &*event.service, &*event.id);
                            (event.revision, event.kind.as_str(), event.cause.as_str(), key)
                        })
                        .collect();
                    if !theirs.is_sorted_by_key(|change| change.0) {
                        return Err(format!("changes are out of order: {theirs:?}"));
                    }
                    if folds {
                        fold(&mut self.folded, &theirs)?;
                    }
                    // Changes of one revision stand in any order, those of one key in theirs.
                    ours.sort_by_key(|change| (change.0, change.3));
                    theirs.sort_by_key(|change| (change.0, change.3));
                    same!(format!("changes since {since}"), ours, theirs);
                }
                Changes::Compacted { oldest: told, .. } => {
                    if since >= oldest {
                        return Err(format!("changes since {since} are compacted, but the log starts at {oldest}"));
                    }
                    same!("oldest", oldest, told);
                    if folds {
                        self.folded = model.records.iter().map(|(key, record)| (key.clone(), record.revision)).collect();
                    }
                }
                Changes::NewEpoch { .. } => return Err("a new epoch out of nothing".into()),
            }
        }
        self.folded_to = model.revision;
        if !model.records.iter().map(|(key, record)| (key, &record.revision)).eq(&self.folded) {
            return Err(format!("state as the change log tells it: model {:?}, registry {:?}", model.records.keys(), self.folded));
        }
        let future = registry.changes(Position { epoch: model.epoch, revision: model.revision + 1 });
        let other = registry.changes(Position { epoch: model.epoch + 1, revision: model.revision });
        if !matches!((&future, &other), (Changes::Compacted { .. }, Changes::NewEpoch { .. })) {
            return Err("a position of the future or of another epoch was answered".into());
        }
        Ok(())
    }

    // Readers.

    pub(super) fn watch(&mut self, args: &Value, at: u64) -> Result<(), String> {
        self.host.perform("watch", args, None, at).map_err(|error| error.to_string())?;
        let text = args.get("query").map(json).unwrap_or_default();
        let same = |asked: &Asked| Value::from_json(asked.0.as_bytes()).is_ok_and(|query| json(&query) == text);
        let query = QUERIES.iter().position(same).ok_or("no such query")?;
        let name = args.get("watch").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.watches.insert(name, Watched { query, members: BTreeMap::new(), polled: false });
        Ok(())
    }

    pub(super) fn poll(&mut self, args: &Value, at: u64) -> Result<(), String> {
        let name = args.get("watch").and_then(Value::as_str).unwrap_or_default();
        let Some(watched) = self.watches.get_mut(name) else { return Ok(()) };
        let told = self.host.perform("poll", args, None, at).map_err(|error| error.to_string())?;
        match told.get("delta") {
            Some(delta) => {
                let told = ["epoch", "revision"].map(|name| delta.get(name).and_then(Value::as_u64));
                same!("position of a delta", [Some(self.model.epoch), Some(self.model.revision)], told);
                watched.take(delta)?;
            }
            None if watched.polled => {}
            None => return Err("the first poll told nothing".into()),
        }
        watched.polled = true;
        let registry = self.host.registry();
        let (keys, _) = answer(&self.model, &QUERIES[watched.query]);
        let ours: BTreeMap<(String, String), (u64, u64)> = keys
            .into_iter()
            .filter_map(|key| {
                let handle = registry.lookup(&key.0, &key.1, &key.2)?;
                Some(((key.1.clone(), key.2.clone()), (handle.to_bits(), self.model.records[key].revision)))
            })
            .collect();
        same!(format!("watch {}", QUERIES[watched.query].0), ours, watched.members);
        if self.host.perform("poll", args, None, at).is_ok_and(|again| again.get("delta").is_some()) {
            return Err("a second poll told something".into());
        }
        Ok(())
    }
}

impl Watched {
    /// Applies a delta, which must fit what was told before.
    fn take(&mut self, delta: &Value) -> Result<(), String> {
        let list = |name: &str| delta.get(name).and_then(Value::as_list).unwrap_or_default();
        let name = |entry: &Value| {
            let part = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            (part("service"), part("id"))
        };
        let number = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_u64).unwrap_or(u64::MAX);
        for gone in list("removed") {
            match self.members.remove(&name(gone)) {
                Some((handle, _)) if handle == number(gone, "handle") => {}
                other => return Err(format!("removed {:?}, but the reader knew {other:?}", name(gone))),
            }
        }
        for new in list("added") {
            if self.members.insert(name(new), (number(new, "handle"), number(new, "revision"))).is_some() {
                return Err(format!("added {:?} a second time", name(new)));
            }
        }
        for changed in list("updated") {
            let (handle, revision) = (number(changed, "handle"), number(changed, "revision"));
            match self.members.insert(name(changed), (handle, revision)) {
                Some((known, before)) if known == handle && before < revision => {}
                other => return Err(format!("updated {:?} to {revision}, but the reader knew {other:?}", name(changed))),
            }
        }
        for part in ["added", "updated", "removed"] {
            if !list(part).iter().map(name).is_sorted() {
                return Err(format!("{part} is not in order"));
            }
        }
        Ok(())
    }
}

/// Applies changes to what they have told so far.
fn fold(state: &mut BTreeMap<Key, u64>, changes: &[Told<'_>]) -> Result<(), String> {
    for (revision, kind, _, (namespace, service, id)) in changes {
        let key = (namespace.to_string(), service.to_string(), id.to_string());
        let known = match *kind {
            "removed" => state.remove(&key),
            _ => state.insert(key.clone(), *revision),
        };
        if known.is_some() != (*kind != "added") {
            return Err(format!("{kind} {key:?} at {revision}, which was {known:?}"));
        }
    }
    Ok(())
}
