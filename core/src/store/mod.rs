//! A registry in an engine that keeps bytes: what has to be written after a change, and the registry that was written.
//!
//! Two shapes for one content. **Entries** are keys and values for any key-value engine: SQLite, Redis, etcd, NATS, Workers KV, the storage of a Durable
//! Object. A **[journal](journal)** is the same entries as frames to append to a file. A [`Store`] tells which are due; a host writes them and says so.
//!
//! | key | value (JSON) |
//! |---|---|
//! | `registry` | `{format, epoch, revision}` |
//! | `instances/NAMESPACE/SERVICE/ID` | the registration's document |
//! | `overrides/NAMESPACE/SERVICE/ID` | `{state, reason?, ttl?}`; the ttl is what was left in seconds when it was written |
//! | `queries/NAMESPACE/NAME` | the document of a saved query |
//!
//! A name in a key is spelled in letters, digits, `-` and `_`; any other byte is `=` and two digits (NATS allows no more). Leases are not written: after a
//! load each begins anew. But an engine that lets go of keys by itself is told how long to keep those of instances with a lease ([`Write::ttl`]), and again and
//! again that they are still there ([`Writes::refresh`]): who died while no server ran is not there when one comes back. Records of other sources are not
//! written: their sources list them again. A [snapshot](crate::registry::Registry::snapshot) keeps those as well, and every record's revision.
//!
//! An engine may hold what is not ours, or ours and damaged: [`load`] tells it and goes on without, and [`leftovers`] never names it for removal.

mod entry;
pub mod journal;
pub mod replica;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use entry::{Loaded, Unread, leftovers, load};

use crate::registry::{Cause, Changes, Key, Position, Registry, SavedName, Touch};
use crate::time::Timestamp;
use crate::value::Value;

/// Microseconds in a quarter of a second.
const QUARTER: u64 = 250_000;

/// The state of a registry that a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    epoch: u64,
    revision: u64,
    edition: u64,
}

impl Mark {
    fn of(registry: &Registry) -> Self {
        Self { epoch: registry.epoch(), revision: registry.revision(), edition: registry.edition() }
    }
}

/// One entry to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key, below whatever prefix the host puts before all of them.
    pub key: String,
    /// The value; `None` removes the key, whether or not it is there.
    pub value: Option<String>,
    /// For how many seconds an engine that can has to keep it without being told again, by [`Writes::refresh`]: the instance's lease with its grace and a third
    /// more, rounded up to one of few numbers, so that many keys may share what ends them. `None`: for ever.
    pub ttl: Option<u64>,
}

/// What has to be written, at once if the engine can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writes {
    /// Whether these are all entries that there are: of the others that the engine holds, the [`leftovers`] go.
    pub whole: bool,
    /// In order of their keys, but `registry` last: an engine that takes one at a time holds no more than that says.
    pub writes: Vec<Write>,
    /// Which [`ttl`](Write::ttl)s begin anew for all keys that were written with them, from a quarter of each on. If the engine has let go of the keys, say
    /// [`failed`](Store::failed) and ask again. Nothing to do for an engine that keeps everything.
    pub refresh: Vec<u64>,
}

impl Writes {
    /// Writes `{whole, writes: [{key, value?, ttl?}], refresh}`.
    pub fn to_value(&self) -> Value {
        let write = |write: &Write| {
            let value = write.value.as_ref().map(|value| ("value", Value::from(value.as_str())));
            let ttl = write.ttl.map(|ttl| ("ttl", ttl.into()));
            Value::map([("key", Value::from(write.key.as_str()))].into_iter().chain(value).chain(ttl))
        };
        let refresh = self.refresh.iter().map(|ttl| (*ttl).into()).collect();
        let writes = Value::List(self.writes.iter().map(write).collect());
        Value::map([("whole", self.whole.into()), ("writes", writes), ("refresh", Value::List(refresh))])
    }
}

/// What an engine holds of a registry, and what it does not yet.
///
/// Ask [`writes`](Self::writes) or, for a file, [`frame`](Self::frame) after each change; write what it says; then call [`written`](Self::written), and only
/// then acknowledge the change. Without that call the next answer holds the same again: repeating entries does no harm. A frame that may have been written
/// in part must not be repeated: call [`failed`](Self::failed). One answer at a time: `written` speaks of the last one, so a host whose writes could overlap
/// lets them wait for each other. The first answer is whole, and so is one after more changes than the log holds.
#[derive(Clone, Debug, Default)]
pub struct Store {
    held: Option<Mark>,
    /// What it holds when the last answer is written.
    asked: Option<Mark>,
    /// When the engine was last told of each ttl, and when it will have been by the last answer.
    told: BTreeMap<u64, Timestamp>,
    telling: BTreeMap<u64, Timestamp>,
    /// Bytes of the file, and how many of them are the frame it began with.
    size: u64,
    base: u64,
    /// The length of the last answer's frame, and whether it replaces the file.
    frame: (u64, bool),
}

impl Store {
    /// Of an engine that holds nothing, or nothing that is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// What has to be written now, if anything.
    pub fn writes(&mut self, registry: &Registry) -> Option<Writes> {
        let entries = self.entries(registry);
        let now = registry.now();
        let due = |ttl: u64, told: Timestamp| now.as_micros().saturating_sub(told.as_micros()) >= ttl.saturating_mul(QUARTER);
        let refresh: Vec<u64> = self.told.iter().filter(|(ttl, told)| due(**ttl, **told)).map(|(ttl, _)| *ttl).collect();
        if entries.is_none() && refresh.is_empty() {
            return None;
        }
        let (whole, writes) = entries.unwrap_or_default();
        let new = writes.iter().filter_map(|write| write.ttl).filter(|ttl| !self.told.contains_key(ttl));
        self.telling = refresh.iter().copied().chain(new).map(|ttl| (ttl, now)).collect();
        Some(Writes { whole, writes, refresh })
    }

    fn entries(&mut self, registry: &Registry) -> Option<(bool, Vec<Write>)> {
        self.asked = Some(Mark::of(registry));
        if self.asked == self.held {
            return None;
        }
        let changed = self.held.and_then(|held| changed(registry, held));
        Some((changed.is_none(), entry::writes(registry, changed.as_ref())))
    }

    /// What has to be written to a file now, if anything. When what was appended outgrows what the file began with, and 64 KiB, the file is replaced.
    pub fn frame(&mut self, registry: &Registry) -> Option<journal::Frame> {
        let outgrown = self.size.saturating_sub(self.base) > self.base.max(64 * 1_024);
        if outgrown && self.held != Some(Mark::of(registry)) {
            self.held = None;
        }
        let since = self.held;
        let (replace, writes) = self.entries(registry)?;
        let since = since.filter(|_| !replace);
        let bytes = journal::write(since, Mark::of(registry), &writes);
        self.frame = (bytes.len() as u64, replace);
        Some(journal::Frame { replace, bytes })
    }

    /// The last answer is written, and will be there after a power cut.
    pub fn written(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        self.held = Some(asked);
        self.told.append(&mut self.telling);
        let (length, replaces) = core::mem::take(&mut self.frame);
        if replaces {
            (self.base, self.size) = (length, 0);
        }
        self.size = self.size.saturating_add(length);
    }

    /// Nobody knows what the engine holds now: the next answer is whole.
    pub fn failed(&mut self) {
        *self = Self::default();
    }
}

/// What may be other than it was.
struct Changed {
    records: BTreeSet<Key>,
    overrides: BTreeSet<Key>,
    queries: BTreeSet<SavedName>,
}

/// What changed since then; none when that cannot be told.
fn changed(registry: &Registry, held: Mark) -> Option<Changed> {
    let position = Position { epoch: held.epoch, revision: held.revision };
    let Changes::Events { events, .. } = registry.changes(position) else { return None };
    let (mut records, mut overrides) = (BTreeSet::new(), BTreeSet::new());
    for (key, touch) in registry.touched_since(held.edition.checked_sub(held.revision)?)?.filter(|(_, touch)| *touch != Touch::Saved) {
        // With an override a record is touched, if there is one.
        records.insert(key.clone());
        if matches!(touch, Touch::Word | Touch::End) {
            overrides.insert(key.clone());
        }
    }
    // What a lease does is not written, nor what another source says.
    let ours = events.into_iter().filter(|change| !matches!(change.cause, Cause::Lease | Cause::Reconcile));
    records.extend(ours.map(|change| Key::new(&*change.namespace, &*change.service, change.id)));
    let queries = registry.saved_since(held.revision)?.into_iter().cloned().collect();
    Some(Changed { records, overrides, queries })
}
