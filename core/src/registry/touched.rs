//! What changed without a revision, and what else a [store](crate::store) must know.

use alloc::collections::VecDeque;

use super::ops::Key;
use super::{LOCAL, Registry};
use crate::model::{Handle, Override, Registration};
use crate::time::Timestamp;

/// The latest of those changes, in order.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    keys: VecDeque<Key>,
    capacity: usize,
    /// How many there were before those that are kept.
    gone: u64,
}

impl Touched {
    pub(super) fn new(capacity: u32) -> Self {
        Self { keys: VecDeque::new(), capacity: capacity as usize, gone: 0 }
    }

    pub(super) fn push(&mut self, key: Key) {
        while self.keys.len() >= self.capacity && self.keys.pop_front().is_some() {
            self.gone = self.gone.saturating_add(1);
        }
        self.keys.push_back(key);
    }
}

impl Registry {
    /// What was touched after so many; none when some of it is forgotten.
    pub(crate) fn touched_since(&self, count: u64) -> Option<impl Iterator<Item = &Key>> {
        let skip = usize::try_from(count.checked_sub(self.touched.gone)?).ok()?;
        Some(self.touched.keys.iter().skip(skip))
    }

    /// The registration of a record, if it is none of another source.
    pub(crate) fn local(&self, handle: Handle) -> Option<Registration> {
        let slot = self.store.resolve(handle).filter(|slot| self.store.source(*slot) == LOCAL)?;
        self.store.registration(slot)
    }

    /// The registrations of all records of no other source, in every namespace, in order of their names.
    pub(crate) fn locals(&self) -> impl Iterator<Item = Registration> {
        let slots = self.store.services.list(None).flat_map(|(_, service)| &service.members);
        slots.filter(|slot| self.store.source(**slot) == LOCAL).filter_map(|slot| self.store.registration(*slot))
    }

    /// The operator's word about a name.
    pub(crate) fn admin(&self, key: &Key) -> Option<&Override> {
        self.overrides.get(&key.namespace, &key.service, &key.id)
    }

    /// All of the operator's words in order of their names.
    pub(crate) fn admins(&self) -> impl Iterator<Item = ([&str; 3], &Override)> {
        self.overrides.iter()
    }

    /// Goes on where another life of an empty registry ended.
    pub(crate) fn resume(&mut self, epoch: u64, revision: u64, now: Timestamp) {
        self.now = now;
        self.epoch = self.config.epoch.max(epoch.saturating_add(1));
        self.revision = revision;
        self.log = super::Log::new(self.config.log_capacity, revision);
    }
}
