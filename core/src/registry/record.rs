//! How records come, change and go, with the change log told of it.

use alloc::string::String;

use super::log::{Cause, Change, ChangeKind};
use super::ops::{Key, Op};
use super::store::Row;
use super::{LOCAL, Registered, Registry};
use crate::model::{AdminState, Registration};

/// What changes about a name without a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// The operator's word.
    Word,
    /// Time ended it.
    End,
    /// The incarnation is newer.
    Fence,
    /// A provider says the same again: where several servers share an engine, it may be news to them.
    Said,
    /// A query is saved again as it is, likewise. Its key has no service, and the name for an id.
    Saved,
}

impl Registry {
    /// An operation that was checked.
    pub(super) fn perform(&mut self, op: &Op) {
        match op {
            Op::Register { registration, .. } => {
                self.put_record(registration, LOCAL, Cause::Register);
            }
            Op::Renew { key, incarnation } => {
                if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) {
                    self.renew_slot(slot, *incarnation);
                }
            }
            Op::Deregister { key, .. } => {
                if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) {
                    self.remove(slot, Cause::Deregister);
                }
            }
            Op::SetHealth { key, health, incarnation } => {
                let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) else { return };
                if let Some(incarnation) = incarnation {
                    self.fence(slot, *incarnation);
                }
                if self.store.health(slot) != *health {
                    self.store.set_health(slot, *health);
                    self.record(slot, ChangeKind::Updated, Cause::Health);
                }
            }
            Op::SetAdmin { key, admin } => {
                let mut admin = admin.clone();
                // One that ends in the past ends at once; its end was not missed.
                if let Some(until) = admin.as_mut().and_then(|own| own.until.as_mut()) {
                    *until = (*until).max(self.now);
                    let until = until.as_micros();
                    self.promise(until);
                }
                if self.overrides.get(&key.namespace, &key.service, &key.id) == admin.as_ref() {
                    self.touch_again(key, Touch::Word);
                    return;
                }
                match admin {
                    Some(own) => self.overrides.set(key, own),
                    None => {
                        self.overrides.lift(key);
                    }
                }
                self.touch(key, Touch::Word);
                self.refresh_admin(key);
            }
        }
    }

    /// Lets nobody older speak for a record.
    fn fence(&mut self, slot: u32, incarnation: u64) {
        if self.store.set_incarnation(slot, incarnation)
            && let Some(service) = self.store.owner(slot)
        {
            let key = Key::new(&*service.namespace, &*service.name, self.store.id(slot));
            self.touch(&key, Touch::Fence);
        }
    }

    /// Something about a record changes without a revision.
    pub(super) fn touch(&mut self, key: &Key, touch: Touch) {
        self.quiet = self.quiet.saturating_add(1);
        #[cfg(feature = "store")]
        self.touched.push(key.clone(), touch);
        #[cfg(not(feature = "store"))]
        let _ = (key, touch);
    }

    /// Something is said that is known already, where several servers share an engine.
    pub(super) fn touch_again(&mut self, key: &Key, touch: Touch) {
        #[cfg(feature = "store")]
        if self.touched.shared {
            self.touch(key, touch);
        }
        #[cfg(not(feature = "store"))]
        let _ = (key, touch);
    }

    /// Writes a checked registration; the revision of the result is not final before the commit.
    pub(super) fn put_record(&mut self, registration: &Registration, source: u8, cause: Cause) -> Registered {
        let Registration { namespace, service, id, .. } = registration;
        let known = self.slot(namespace, service, id);
        let admin = self.overrides.get(namespace, service, id).map_or(AdminState::Enabled, |own| own.state);
        let row = Row { registration, source, admin, renewed: self.now };
        let (slot, kind) = match known {
            Some(slot) if !self.store.update(slot, &row) => {
                self.touch_again(&Key::new(namespace.as_str(), service.as_str(), id.as_str()), Touch::Said);
                let changed = self.renew_slot(slot, registration.incarnation);
                return Registered { handle: self.store.handle(slot), revision: self.revision, created: false, changed };
            }
            Some(slot) => (slot, ChangeKind::Updated),
            None => (self.store.insert(&row), ChangeKind::Added),
        };
        self.promise(self.store.due(slot));
        self.record(slot, kind, cause);
        Registered { handle: self.store.handle(slot), revision: self.revision, created: known.is_none(), changed: true }
    }

    /// Renews a lease that was checked; whether the record is live again for it.
    pub(super) fn renew_slot(&mut self, slot: u32, incarnation: u64) -> bool {
        if incarnation > 0 {
            self.fence(slot, incarnation);
        }
        #[cfg(feature = "store")]
        self.note_heard(slot);
        let suspect = self.store.is_suspect(slot);
        if suspect {
            self.revive(slot)
        } else {
            self.restart(slot)
        }
        suspect
    }

    pub(super) fn remove(&mut self, slot: u32, cause: Cause) {
        self.record(slot, ChangeKind::Removed, cause);
        // With its last member a service is forgotten, and its next pass with it.
        let number = self.store.service(slot);
        if let Some(service) = self.store.services.get(number).filter(|service| service.members.len() == 1)
            && let Some(due) = service.protection.next_pass
        {
            self.passes.remove(&(due, number));
        }
        self.guards.remove(&slot);
        self.store.remove(slot);
    }

    /// Lets a record, if there is one, stand as the operator's word has it.
    pub(super) fn refresh_admin(&mut self, key: &Key) {
        let state = self.overrides.get(&key.namespace, &key.service, &key.id).map_or(AdminState::Enabled, |own| own.state);
        if let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) {
            self.store.set_admin(slot, state);
            self.record(slot, ChangeKind::Updated, Cause::Admin);
        }
    }

    /// Notes a change of a record under the revision that the next commit makes.
    pub(super) fn record(&mut self, slot: u32, kind: ChangeKind, cause: Cause) {
        let revision = self.revision.saturating_add(1);
        self.dirty = true;
        self.store.set_revision(slot, revision);
        let (number, handle, id) = (self.store.service(slot), self.store.handle(slot), self.store.id(slot).into_boxed_str());
        if let Some(service) = self.store.services.get_mut(number) {
            service.revision = revision;
            let (namespace, service) = (service.namespace.clone(), service.name.clone());
            self.log.push(Change { revision, kind, cause, handle, namespace, service, id });
        }
    }

    pub(super) fn commit(&mut self) -> u64 {
        #[cfg(feature = "serve")]
        if self.dirty {
            self.ages.mark(self.now, self.revision);
        }
        self.revision = self.revision.saturating_add(u64::from(self.dirty));
        self.dirty = false;
        self.revision
    }

    pub(super) fn slot(&self, namespace: &str, service: &str, id: &str) -> Option<u32> {
        self.store.find(self.store.services.find(namespace, service)?, id)
    }

    /// The service and id of a record.
    pub(super) fn name(&self, slot: u32) -> (&str, String) {
        (self.store.owner(slot).map_or("", |service| &service.name), self.store.id(slot))
    }
}
