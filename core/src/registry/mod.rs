//! Who is here now: leases, overrides, sources, protection, change log, views, snapshots.
//!
//! # What time does
//! The registry reads no clock: it learns the time from whoever calls it, and first does what had become due by then.
//!
//! - **Leases.** A record that was renewed at `t` is live before `t + ttl`, suspect from then on, and overdue from
//!   `t + ttl + grace`, to the microsecond. Who is overdue is removed by a pass over its service: at once, if nothing below says otherwise.
//! - **Gaps.** A call that comes later than the earliest due time by more than [`Config::timer_slack`] shows that nobody was
//!   watching: the process was frozen, the machine suspended. A renewal could not have arrived either, so every lease counts as renewed
//!   at that moment, and suspects are live again. So nothing ends after a gap until a whole lease was watched (etcd extends leases so on a
//!   change of leader; Eureka adds the lateness).
//! - **Passes.** At most [`Config::eviction_percent`] of a service's leased instances, rounded down but at least one, go in a pass; the
//!   longest overdue first, then by id. If any are left, the next pass over the service comes [`Config::eviction_interval`] later.
//! - **Protection.** When fewer than [`Config::renewal_percent`] of the leased instances are within their ttl and more than one is
//!   silent, it is likelier that the network failed than that they all did. Those that went lately count as leased and silent too, until
//!   the length of a lease (ttl and grace) has passed since the last of them went; each new instance with a lease makes them one fewer. So
//!   a silence of all is seen also where there is no grace in which it would add up. While it lasts, only those go whose last beat is
//!   older than the service's newest by more than their ttl: others were heard since (Polaris' window). The rest are held, suspect, for at
//!   most [`Config::protection_limit`]; then they go at the cap of each pass. The service is shown as `protected` while a pass has held
//!   somebody. One silent instance, of one or of many, is never held unless another went lately.
//! - **Overrides** that end: a drain turns into disabled, anything else is lifted.

#[cfg(feature = "serve")]
mod age;
mod arena;
mod blob;
mod columns;
mod config;
mod explain;
mod facet;
mod guard;
mod index;
mod intern;
mod lease;
mod log;
mod ops;
mod overrides;
mod pool;
mod protect;
mod record;
mod restore;
mod results;
mod saved;
mod select;
mod service;
mod snapshot;
mod source;
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "store")]
mod touched;
mod view;

use alloc::collections::BTreeSet;
use alloc::string::String;

use hmac_sha256::Hash;

pub use config::Config;
pub use explain::{ExplainedRung, QueryExplanation, Unmatched};
#[cfg(any(feature = "serve", feature = "store"))]
pub(crate) use guard::{Guard, TokenDigest};
pub use log::{Cause, Change, ChangeKind, Changes, Position};
pub use ops::{Key, Mode, Op, Put};
#[cfg(feature = "store")]
pub(crate) use record::Touch;
pub use results::{Advanced, Answer, Registered, ServiceSummary, Stats};
#[cfg(feature = "store")]
pub(crate) use saved::SavedName;
pub use saved::SavedQuery;
pub use source::{Extent, Listing, Reconciled, Skipped};
pub use view::{Delta, Departed, View};

use crate::error::{Code, Error};
use crate::hex::hex;
use crate::model::{AdminState, Availability, Endpoint, Handle, Health, Instance, Override, Registration, Weight};
use crate::time::Timestamp;
use crate::value::Value;
use columns::NEVER;
use log::Log;
use ops::Check;
use overrides::Overrides;
use source::Sources;
use store::Store;

/// A record, in brief.
pub(crate) struct Brief {
    pub(crate) service: String,
    pub(crate) id: String,
    pub(crate) weight: Weight,
    pub(crate) availability: Availability,
    pub(crate) health: Health,
    pub(crate) disabled: bool,
}

/// The number of the source `local`.
const LOCAL: u8 = 0;

/// Who is here now.
///
/// Every mutation of a registry takes the time; what became due by then happens first, so the change log is in order of time.
/// After any mutation [`deadline`](Self::deadline) tells when [`advance`](Self::advance) must be called next: the only timer a
/// host needs.
///
/// - **Getters** change nothing, not even a counter: [`epoch`](Self::epoch), [`revision`](Self::revision), [`edition`](Self::edition),
///   [`position`](Self::position), [`now`](Self::now), [`clamp`](Self::clamp), [`len`](Self::len), [`deadline`](Self::deadline), [`stats`](Self::stats),
///   [`lookup`](Self::lookup), [`instance`](Self::instance), [`services`](Self::services), [`query`](Self::query), [`explain`](Self::explain),
///   [`saved_query`](Self::saved_query), [`saved_queries`](Self::saved_queries), [`changes`](Self::changes), [`digest`](Self::digest).
/// - **Mutators that take `now`**: [`register`](Self::register), [`renew`](Self::renew), [`renew_handle`](Self::renew_handle),
///   [`deregister`](Self::deregister), [`set_health`](Self::set_health), [`set_admin`](Self::set_admin), [`apply`](Self::apply),
///   [`reconcile`](Self::reconcile), [`acknowledge`](Self::acknowledge), [`save_query`](Self::save_query), [`drop_query`](Self::drop_query). One that returns an error has changed nothing but
///   what time had made due.
/// - **Polling**: [`advance`](Self::advance); a [`View`] follows a query.
/// - **Persistence**: [`snapshot`](Self::snapshot), [`restore`](Self::restore).
#[derive(Clone, Debug)]
pub struct Registry {
    config: Config,
    store: Store,
    sources: Sources,
    overrides: Overrides,
    guards: guard::Guards,
    saved: saved::Saved,
    log: Log,
    #[cfg(feature = "serve")]
    ages: age::Ages,
    /// When a service has its next pass over overdue instances.
    passes: BTreeSet<(Timestamp, u32)>,
    epoch: u64,
    revision: u64,
    /// Whether changes have been recorded under the next revision.
    dirty: bool,
    /// What changed without a revision.
    quiet: u64,
    #[cfg(feature = "store")]
    touched: touched::Touched,
    now: Timestamp,
    /// Nothing is due before this.
    promised: u64,
    backwards: u64,
    gaps: u64,
    expired: u64,
}

impl Registry {
    /// An empty registry.
    ///
    /// # Errors
    /// As [`Config::validate`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            store: Store::new(config.seed),
            sources: Sources::default(),
            overrides: Overrides::default(),
            guards: guard::Guards::new(),
            saved: saved::Saved::default(),
            log: Log::new(config.log_capacity, 0),
            #[cfg(feature = "serve")]
            ages: age::Ages::default(),
            passes: BTreeSet::new(),
            epoch: config.epoch,
            revision: 0,
            dirty: false,
            quiet: 0,
            #[cfg(feature = "store")]
            touched: touched::Touched::new(config.log_capacity),
            now: Timestamp::ZERO,
            promised: NEVER,
            backwards: 0,
            gaps: 0,
            expired: 0,
            config,
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Names this life of the registry; a restored one has another.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many batches of changes were committed. Renewals make none.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Another number whenever a [`snapshot`](Self::snapshot) would be another: grows with every revision, and with what makes none, which
    /// is a newer incarnation that came with a renewal or a report, and an override of an instance that is not on record. Not part of a
    /// snapshot itself: a restored registry starts at its revision.
    pub fn edition(&self) -> u64 {
        self.revision.saturating_add(self.quiet)
    }

    /// Epoch and revision: from where [`changes`](Self::changes) can go on.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision }
    }

    /// The latest time it was told.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What a host's `now` counts as: no earlier than the latest time it was told. A relative time in a document, such as the `ttl` of an
    /// override, counts from there.
    pub fn clamp(&self, now: Timestamp) -> Timestamp {
        now.max(self.now)
    }

    /// How many instances are on record.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether an operator's word is on record.
    #[cfg(feature = "feed")]
    pub(crate) fn has_overrides(&self) -> bool {
        self.overrides.len() > 0
    }

    /// The revision that last changed a record of a service.
    #[cfg(feature = "feed")]
    pub(crate) fn service_revision(&self, namespace: &str, service: &str) -> Option<u64> {
        let services = &self.store.services;
        services.find(namespace, service).and_then(|number| services.get(number)).map(|service| service.revision)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When [`advance`](Self::advance) must be called next; none while nothing is due ever. Exact up to 4096 records; with more it may
    /// be earlier after renewals, never later: then `advance` does nothing, and the next deadline is a later one.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.earliest_due()
    }

    /// The handle of a key, if there is such a record.
    pub fn lookup(&self, namespace: &str, service: &str, id: &str) -> Option<Handle> {
        self.slot(namespace, service, id).map(|slot| self.store.handle(slot))
    }

    /// Whether a record is there and has not changed since a revision.
    #[cfg(feature = "feed")]
    pub(crate) fn stands(&self, handle: Handle, since: u64) -> bool {
        self.store.resolve(handle).is_some_and(|slot| self.store.revision(slot) <= since)
    }

    /// The names of the services of a namespace, in order.
    #[cfg(feature = "serve")]
    pub(crate) fn service_names(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.store.services.list(Some(namespace)).map(|(_, service)| &*service.name)
    }

    /// The namespace and the service of a record.
    #[cfg(feature = "serve")]
    pub(crate) fn owner(&self, handle: Handle) -> Option<(&str, &str)> {
        let service = self.store.owner(self.store.resolve(handle)?)?;
        Some((&service.namespace, &service.name))
    }

    /// The records of an id in any service of a namespace: a look at each service.
    #[cfg(feature = "serve")]
    pub(crate) fn find(&self, namespace: &str, id: &str) -> alloc::vec::Vec<Handle> {
        let services = self.store.services.list(Some(namespace));
        services.filter_map(|(number, _)| Some(self.store.handle(self.store.find(number, id)?))).collect()
    }

    /// The record of a handle, if it is still there.
    pub fn instance(&self, handle: Handle) -> Option<Instance> {
        let slot = self.store.resolve(handle)?;
        let registration = self.store.registration(slot)?;
        let admin = self.overrides.get(&registration.namespace, &registration.service, &registration.id).cloned();
        Some(Instance {
            handle,
            revision: self.store.revision(slot),
            source: self.sources.name(self.store.source(slot)).into(),
            admin,
            lease: self.store.lease_state(slot),
            registration,
        })
    }

    /// What a balancer needs of a record.
    pub(crate) fn brief(&self, handle: Handle) -> Option<Brief> {
        let slot = self.store.resolve(handle)?;
        let service = (*self.store.owner(slot)?.name).into();
        Some(Brief {
            service,
            id: self.store.id(slot),
            weight: self.store.weight(slot),
            availability: self.store.availability(slot),
            health: self.store.health(slot),
            disabled: self.store.flags(slot).admin() == AdminState::Disabled,
        })
    }

    /// The registration of a record, put together anew.
    pub(crate) fn registration(&self, handle: Handle) -> Option<Registration> {
        self.store.registration(self.store.resolve(handle)?)
    }

    /// The first endpoint of a record, if it has any.
    pub(crate) fn first_endpoint(&self, handle: Handle) -> Option<Endpoint> {
        let slot = self.store.resolve(handle)?;
        self.store.endpoints(slot)?.into_iter().next()
    }

    /// The value a record has under a metadata key.
    pub(crate) fn metadata_value(&self, handle: Handle, key: &str) -> Option<String> {
        let slot = self.store.resolve(handle)?;
        let metadata = self.store.pools.metadata_of(self.store.shared(slot).metadata);
        metadata.get(key).map(String::from)
    }

    /// The revision that last changed the record of a handle, if it is still there: whether what a host keeps of it is still good.
    pub fn instance_revision(&self, handle: Handle) -> Option<u64> {
        self.store.resolve(handle).map(|slot| self.store.revision(slot))
    }

    /// The incarnation of the record of a handle, if it is still there: the one part of a record that a renewal changes, which makes no
    /// revision.
    pub fn instance_incarnation(&self, handle: Handle) -> Option<u64> {
        self.store.resolve(handle).map(|slot| self.store.incarnation(slot))
    }

    /// A strong digest of a service: SHA-256, in lower-case hexadecimal, over its instances in order of id, each as the length
    /// of the id (4 bytes), the id and the revision (8 bytes), little endian. None when there is no such service.
    pub fn digest(&self, namespace: &str, service: &str) -> Option<String> {
        let service = self.store.services.get(self.store.services.find(namespace, service)?)?;
        let mut sha = Hash::new();
        for slot in &service.members {
            let id = self.store.id(*slot);
            sha.update((id.len() as u32).to_le_bytes());
            sha.update(id.as_bytes());
            sha.update(self.store.revision(*slot).to_le_bytes());
        }
        Some(hex(&sha.finalize()))
    }

    /// What happened since a position, in order and without a gap, or why that cannot be told.
    pub fn changes(&self, since: Position) -> Changes {
        let position = self.position();
        if since.epoch != self.epoch {
            return Changes::NewEpoch { position };
        }
        match self.log.since(since.revision) {
            Some(events) if since.revision <= self.revision => Changes::Events { events: events.cloned().collect(), position },
            _ => Changes::Compacted { oldest: self.log.oldest(), position },
        }
    }

    /// Signs a provider in, or takes what it says anew. Saying the same again renews its lease and makes no revision.
    ///
    /// # Errors
    /// Those of [`Registration::validate`]; [`Code::AlreadyExists`], [`Code::UnknownInstance`], [`Code::RevisionMismatch`] by `put`;
    /// [`Code::NotOwner`], [`Code::StaleIncarnation`], [`Code::QuotaExceeded`].
    pub fn register(&mut self, registration: &Registration, put: Put, now: Timestamp) -> Result<Registered, Error> {
        self.observe(now);
        #[cfg(feature = "store")]
        self.is_open()?;
        Check::single(self).register(registration, put, LOCAL)?;
        let registered = self.put_record(registration, LOCAL, Cause::Register);
        Ok(Registered { revision: self.commit(), ..registered })
    }

    /// Renews a lease by key. A record without a lease has nothing to renew, which is no error.
    ///
    /// # Errors
    /// [`Code::UnknownLease`] when there is no such record: register again. [`Code::StaleIncarnation`], [`Code::NotOwner`].
    pub fn renew(&mut self, namespace: &str, service: &str, id: &str, incarnation: u64, now: Timestamp) -> Result<Handle, Error> {
        self.observe(now);
        let slot = self.slot(namespace, service, id).ok_or_else(|| unknown_lease("id"))?;
        self.check_renewal(slot, incarnation)?;
        self.renew_slot(slot, incarnation);
        self.commit();
        Ok(self.store.handle(slot))
    }

    /// Renews a lease by handle: the fast way, a comparison and a store when the lease is live.
    ///
    /// # Errors
    /// As [`renew`](Self::renew), the field being `handle`.
    #[inline]
    pub fn renew_handle(&mut self, handle: Handle, incarnation: u64, now: Timestamp) -> Result<(), Error> {
        self.observe(now);
        if incarnation == 0 && self.store.renew_plainly(handle, self.now) { Ok(()) } else { self.renew_slowly(handle, incarnation) }
    }

    #[cold]
    fn renew_slowly(&mut self, handle: Handle, incarnation: u64) -> Result<(), Error> {
        let slot = self.store.resolve(handle).ok_or_else(|| unknown_lease("handle"))?;
        self.check_renewal(slot, incarnation)?;
        self.renew_slot(slot, incarnation);
        self.commit();
        Ok(())
    }

    fn check_renewal(&self, slot: u32, incarnation: u64) -> Result<(), Error> {
        crate::model::check_incarnation(incarnation)?;
        ops::may_touch(self.store.source(slot), LOCAL, self.store.incarnation(slot), Some(incarnation))
    }

    /// Signs an instance out. `incarnation`, when given, must not be older than the record's.
    ///
    /// # Errors
    /// [`Code::UnknownInstance`], [`Code::StaleIncarnation`], [`Code::NotOwner`].
    pub fn deregister(&mut self, namespace: &str, service: &str, id: &str, incarnation: Option<u64>, now: Timestamp) -> Result<u64, Error> {
        self.observe(now);
        #[cfg(feature = "store")]
        self.is_open()?;
        Check::single(self).deregister(namespace, service, id, incarnation)?;
        if let Some(slot) = self.slot(namespace, service, id) {
            self.remove(slot, Cause::Deregister);
        }
        Ok(self.commit())
    }

    /// Takes a report of an instance's health.
    ///
    /// # Errors
    /// [`Code::UnknownInstance`], [`Code::StaleIncarnation`], [`Code::NotOwner`].
    pub fn set_health(
        &mut self,
        namespace: &str,
        service: &str,
        id: &str,
        health: Health,
        incarnation: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.apply(&[Op::SetHealth { key: Key::new(namespace, service, id), health, incarnation }], now)
    }

    /// Sets the operator's word about an instance, or lifts it. The instance need not be on record: the word waits for it, and
    /// outlives its re-registration, its expiry and a restore.
    ///
    /// # Errors
    /// [`Code::InvalidName`], [`Code::LimitExceeded`], [`Code::QuotaExceeded`].
    pub fn set_admin(&mut self, namespace: &str, service: &str, id: &str, admin: Option<Override>, now: Timestamp) -> Result<u64, Error> {
        self.apply(&[Op::SetAdmin { key: Key::new(namespace, service, id), admin }], now)
    }

    /// Does operations in order as one revision, or none of them.
    ///
    /// # Errors
    /// That of the first operation that cannot be done, its field behind `ops[i]`, when there are several;
    /// [`Code::LimitExceeded`] above 10 000 operations.
    pub fn apply(&mut self, ops: &[Op], now: Timestamp) -> Result<u64, Error> {
        self.observe(now);
        if ops.len() > crate::limits::BATCH_OPS {
            return Err(Error::too_large("ops", crate::limits::BATCH_OPS as u64));
        }
        #[cfg(feature = "store")]
        if ops.iter().any(|op| !matches!(op, Op::Renew { .. })) {
            self.is_open()?;
        }
        let mut check = if ops.len() == 1 { Check::single(self) } else { Check::new(self) };
        for (at, op) in ops.iter().enumerate() {
            let place = |error: Error| if ops.len() > 1 { error.within(&alloc::format!("ops[{at}]")) } else { error };
            check.op(op).map_err(place)?;
        }
        for op in ops {
            self.perform(op);
        }
        Ok(self.commit())
    }

    /// Does what became due by `now`: leases become suspect or end, overrides end. To be called at [`deadline`](Self::deadline).
    pub fn advance(&mut self, now: Timestamp) -> Advanced {
        self.observe(now)
    }

    /// The document of an answer: `{instances, revision, epoch, rung, stale, protected}`.
    pub fn answer_value(&self, answer: &Answer) -> Value {
        Value::of(|out| answer.write(self, out))
    }
}

#[cold]
fn unknown_lease(field: &'static str) -> Error {
    Error::new(Code::UnknownLease, field).message("register again")
}
