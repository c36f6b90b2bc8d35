//! What changed without a revision, and what else a [store](crate::store) must know: also what it must do where several servers share one engine.
//!
//! A lease that another server hears of stands at "never due", which no lease does that is ours to watch: it is *held* for the other. A renewal here, or
//! a new word of the provider, takes it over: it is due as any other, and noted.

use alloc::collections::VecDeque;

use alloc::collections::BTreeSet;

use super::columns::NEVER;
use super::log::Cause;
use super::ops::{Check, Key, Op, Put};
use super::record::Touch;
use super::{LOCAL, Registry, TokenDigest};
use crate::error::{Code, Error};
use crate::model::{Handle, Health, Lease, Override, Registration};
use crate::query::Query;
use crate::time::Timestamp;

/// The latest of those changes, in order.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    /// And what became of them.
    keys: VecDeque<(Key, Touch)>,
    /// Whose leases were taken over.
    pub(super) heard: BTreeSet<Key>,
    /// Several servers share an engine.
    pub(super) shared: bool,
    /// Answers may be behind what other servers know.
    pub(super) stale: bool,
    /// Changes are refused.
    pub(super) frozen: bool,
    /// The latest time from which all leases began anew.
    pub(super) pardoned: Option<Timestamp>,
    capacity: usize,
    /// How many there were before those that are kept.
    gone: u64,
}

impl Touched {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            keys: VecDeque::new(),
            heard: BTreeSet::new(),
            shared: false,
            stale: false,
            frozen: false,
            pardoned: None,
            capacity: capacity as usize,
            gone: 0,
        }
    }

    pub(super) fn push(&mut self, key: Key, touch: Touch) {
        while self.keys.len() >= self.capacity && self.keys.pop_front().is_some() {
            self.gone = self.gone.saturating_add(1);
        }
        self.keys.push_back((key, touch));
    }
}

impl Registry {
    /// What was touched after so many, and how; none when some of it is forgotten.
    pub(crate) fn touched_since(&self, count: u64) -> Option<impl Iterator<Item = &(Key, Touch)>> {
        let skip = usize::try_from(count.checked_sub(self.touched.gone)?).ok()?;
        Some(self.touched.keys.iter().skip(skip))
    }

    /// The registration of a record, if it is none of another source.
    pub(crate) fn local(&self, handle: Handle) -> Option<Registration> {
        let slot = self.store.resolve(handle).filter(|slot| self.store.source(*slot) == LOCAL)?;
        self.store.registration(slot)
    }

    /// The lease of a record, if it has one.
    pub(crate) fn lease(&self, handle: Handle) -> Option<Lease> {
        self.store.profile(self.store.resolve(handle)?).lease()
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

    // For several servers over one engine.

    /// What another server was told by a provider, or was told through us, with whose token: `held` when the other watches its lease.
    pub(crate) fn share(
        &mut self,
        registration: &Registration,
        token: Option<TokenDigest>,
        held: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.observe(now);
        Check::single(self).register(registration, Put::default(), LOCAL)?;
        // Who speaks for it is another: so is this life of it, and no proof is good that was made before.
        let known = self.slot(&registration.namespace, &registration.service, &registration.id);
        if let Some(slot) = known.filter(|slot| self.guards.get(slot).map(|own| own.digest) != token) {
            self.remove(slot, Cause::Deregister);
        }
        self.touched.shared = false;
        self.put_record(registration, LOCAL, Cause::Register);
        if let Some(token) = token {
            self.set_guard(&Key::of(registration), token);
        }
        self.touched.shared = true;
        self.commit();
        if held && let Some(slot) = self.slot(&registration.namespace, &registration.service, &registration.id) {
            self.store.set_heard(slot, NEVER);
            self.touched.heard.remove(&Key::of(registration));
        }
        Ok(())
    }

    /// What another server was told of the health of a record whose lease is watched here: nobody was heard.
    pub(crate) fn share_health(&mut self, key: &Key, health: Health, incarnation: u64, now: Timestamp) {
        self.observe(now);
        self.touched.shared = false;
        self.perform(&Op::SetHealth { key: key.clone(), health, incarnation: Some(incarnation) });
        self.touched.shared = true;
        self.commit();
    }

    /// Another server watches the lease of a record.
    pub(crate) fn hold(&mut self, key: &Key) {
        if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) {
            self.settle_suspect(slot);
            self.store.set_heard(slot, NEVER);
            self.touched.heard.remove(key);
            self.commit();
        }
    }

    /// What another server said is gone.
    pub(crate) fn unshare(&mut self, key: &Key, now: Timestamp) {
        self.observe(now);
        if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id).filter(|slot| self.store.source(*slot) == LOCAL) {
            self.remove(slot, Cause::Deregister);
            self.commit();
        }
    }

    /// An operator's word that was said elsewhere.
    pub(crate) fn share_admin(&mut self, key: &Key, admin: Option<Override>, now: Timestamp) -> Result<(), Error> {
        self.observe(now);
        let op = Op::SetAdmin { key: key.clone(), admin };
        Check::single(self).op(&op)?;
        self.touched.shared = false;
        self.perform(&op);
        self.touched.shared = true;
        self.commit();
        Ok(())
    }

    /// A query that was saved elsewhere, or dropped.
    pub(crate) fn share_query(&mut self, [namespace, name]: [&str; 2], query: Option<&Query>, now: Timestamp) -> Result<(), Error> {
        self.observe(now);
        self.touched.shared = false;
        let shared = match query {
            Some(query) => self.put_query(name, query),
            None => {
                self.remove_query(namespace, name);
                Ok(())
            }
        };
        self.touched.shared = true;
        self.commit();
        shared
    }

    /// Whether another server watches the lease of a record.
    pub(crate) fn is_held(&self, handle: Handle) -> bool {
        self.store.resolve(handle).is_some_and(|slot| self.store.is_held(slot))
    }

    /// Whether somebody was heard here about a record since the last time from which all leases began anew.
    pub(crate) fn was_heard(&self, handle: Handle) -> bool {
        let beat = self.store.resolve(handle).filter(|slot| !self.store.is_held(*slot)).map(|slot| self.store.beat(slot));
        beat.is_some_and(|beat| self.touched.pardoned.is_none_or(|then| beat > then.as_micros()))
    }

    /// Watches the lease of a record from now on.
    pub(crate) fn watch_lease(&mut self, key: &Key) {
        if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id).filter(|slot| self.store.is_held(*slot)) {
            self.restart(slot);
        }
    }

    /// Whose leases were taken over since this was asked last.
    pub(crate) fn take_heard(&mut self) -> BTreeSet<Key> {
        core::mem::take(&mut self.touched.heard)
    }

    /// A lease that another server watches is to begin here.
    pub(super) fn note_heard(&mut self, slot: u32) {
        if self.store.is_held(slot)
            && let Some(service) = self.store.owner(slot)
        {
            let key = Key::new(&*service.namespace, &*service.name, self.store.id(slot));
            self.touched.heard.insert(key);
        }
    }

    fn settle_suspect(&mut self, slot: u32) {
        if self.store.is_suspect(slot) {
            self.revive(slot);
        }
    }

    /// Whether changes are taken.
    pub(super) fn is_open(&self) -> Result<(), Error> {
        let refused = || Error::new(Code::EngineUnreachable, "").message("changes are refused until it is back; renewals are taken");
        if self.touched.frozen { Err(refused()) } else { Ok(()) }
    }

    /// Whether answers may be behind what other servers know, and whether changes are refused meanwhile.
    pub(crate) fn set_apart(&mut self, stale: bool, frozen: bool) {
        (self.touched.shared, self.touched.stale, self.touched.frozen) = (true, stale, frozen);
    }
}

impl super::Store {
    pub(super) fn is_held(&self, slot: u32) -> bool {
        self.heard(slot) == NEVER && self.profile(slot).ttl > 0
    }
}
