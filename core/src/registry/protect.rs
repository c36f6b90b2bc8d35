//! What time does, by the rules at [`registry`](super): leases become suspect and end, overrides end; and what keeps a pause, a
//! partition or a clock from emptying the house.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::columns::NEVER;
use super::log::{Cause, ChangeKind};
use super::record::Touch;
use super::{Advanced, Registry, blob};
use crate::order;
use crate::time::{Timestamp, micros};

/// What the passes over one service remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// Since when overdue instances have been held.
    since: Option<Timestamp>,
    /// When the next pass is due.
    pub(super) next_pass: Option<Timestamp>,
    /// How many the last pass held.
    pub(super) held: u32,
    /// How many went lately, and until when that is.
    lost: u32,
    lost_until: u64,
    /// Who waits for a pass and when their leases ended; some have been renewed since.
    pub(super) overdue: Vec<(u64, u32)>,
}

impl Protection {
    /// A new instance with a lease has come.
    pub(super) fn came(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }
}

impl Registry {
    /// Takes note of the time, and does what was due by then. The first thing every mutator does.
    #[inline]
    pub(super) fn observe(&mut self, now: Timestamp) -> Advanced {
        if now < self.now {
            self.backwards = self.backwards.saturating_add(1);
        }
        self.now = self.clamp(now);
        let expired = if self.now.as_micros() < self.promised { 0 } else { self.settle() };
        Advanced { expired, revision: self.revision }
    }

    /// Does everything that is due; tells how many expired.
    #[cold]
    fn settle(&mut self) -> u32 {
        let now = self.now.as_micros();
        let mut due = self.store.take_due(now);
        let first = due.iter().map(|slot| self.store.due(*slot)).min().unwrap_or(NEVER).min(self.other_due());
        let mut expired = 0;
        if first <= now {
            if now.saturating_sub(first) > micros(self.config.timer_slack) {
                self.pardon();
                due.clear();
            }
            expired = self.run_due(due);
            self.commit();
        }
        self.promised = self.store.earliest().min(self.other_due());
        expired
    }

    /// When something other than a lease is due.
    fn other_due(&self) -> u64 {
        let others = [self.overrides.deadline(), self.passes.first().map(|(due, _)| *due)];
        others.into_iter().flatten().map(Timestamp::as_micros).min().unwrap_or(NEVER)
    }

    /// The deadline is now no later than this.
    #[inline]
    pub(super) fn promise(&mut self, due: u64) {
        self.promised = self.promised.min(due);
    }

    /// The earliest thing due, exactly while the records are few.
    pub(super) fn earliest_due(&self) -> Option<Timestamp> {
        /// A look at so many records costs some microseconds.
        const FEW: u32 = 4_096;
        let due = if self.store.bound() <= FEW { self.store.first_due().min(self.other_due()) } else { self.promised };
        (due < NEVER).then(|| Timestamp::clamped(due))
    }

    /// After a gap: every lease counts as renewed now.
    fn pardon(&mut self) {
        self.gaps = self.gaps.saturating_add(1);
        #[cfg(feature = "store")]
        {
            self.touched.pardoned = Some(self.now);
        }
        let services = self.store.services.list(None).filter(|(_, service)| service.suspects > 0);
        let members = services.flat_map(|(_, service)| service.members.iter().copied());
        let suspects: Vec<u32> = members.filter(|slot| self.store.is_suspect(*slot)).collect();
        for slot in suspects {
            self.revive(slot);
        }
        self.store.restart_leases(self.now);
    }

    /// A suspect is live again.
    pub(super) fn revive(&mut self, slot: u32) {
        self.store.settle_lease(slot);
        self.restart(slot);
        self.record(slot, ChangeKind::Updated, Cause::Lease);
    }

    /// A lease begins anew.
    pub(super) fn restart(&mut self, slot: u32) {
        self.store.start_lease(slot, self.now);
        self.promise(self.store.due(slot));
    }

    /// Does what is due: overrides, and these leases.
    fn run_due(&mut self, due: Vec<u32>) -> u32 {
        for key in self.overrides.end(self.now) {
            self.touch(&key, Touch::End);
            self.refresh_admin(&key);
        }
        let mut suspects = Vec::new();
        let mut services = BTreeSet::new();
        for slot in due {
            if !self.store.is_suspect(slot) {
                suspects.push((slot, self.store.handle(slot)));
            }
            if self.store.fall_due(slot, self.now.as_micros()) {
                services.insert(self.store.service(slot));
            }
        }
        while let Some((due, number)) = self.passes.first().copied().filter(|(due, _)| *due <= self.now) {
            self.passes.remove(&(due, number));
            if let Some(service) = self.store.services.get_mut(number) {
                service.protection.next_pass = None;
                services.insert(number);
            }
        }
        let mut services: Vec<u32> = services.into_iter().collect();
        let rank = |number| self.store.services.get(number).map(|service| service.rank);
        order::sort_slots(&mut services, &mut |one, other| rank(one).cmp(&rank(other)));
        let mut expired = 0u32;
        for number in services {
            // A pass that is due later looks at those that have just become overdue as well.
            if self.store.services.get(number).is_some_and(|service| service.protection.next_pass.is_none()) {
                expired = expired.saturating_add(self.pass(number));
            }
        }
        // Those that did not go are suspect.
        let mut staying: Vec<u32> = suspects.into_iter().filter_map(|(_, handle)| self.store.resolve(handle)).collect();
        // Of more than the log can hold nobody ever sees the order.
        if staying.len() <= self.config.log_capacity as usize {
            order::sort_slots(&mut staying, &mut |one, other| self.compare(one, other));
        }
        for slot in staying {
            self.record(slot, ChangeKind::Updated, Cause::Lease);
        }
        expired
    }

    /// The order of two records by namespace, service and id.
    fn compare(&self, one: u32, other: u32) -> core::cmp::Ordering {
        let rank = |slot| self.store.owner(slot).map(|service| service.rank);
        rank(one).cmp(&rank(other)).then_with(|| blob::compare_ids(self.store.spelled_id(one), self.store.spelled_id(other)))
    }

    /// One look at the overdue instances of one service; tells how many went.
    fn pass(&mut self, number: u32) -> u32 {
        let Some(service) = self.store.services.get_mut(number) else { return 0 };
        let (leased, suspects) = (u64::from(service.leased), u64::from(service.suspects));
        let mut protection = core::mem::take(&mut service.protection);
        let mut overdue = core::mem::take(&mut protection.overdue);
        let store = &self.store;
        overdue.retain(|(end, slot)| store.is_parked(*slot, *end));
        // The longest overdue first, then by id.
        overdue.sort_unstable_by(|(end, one), (other_end, other)| {
            end.cmp(other_end).then_with(|| blob::compare_ids(store.spelled_id(*one), store.spelled_id(*other)))
        });
        overdue.dedup();
        let now = self.now.as_micros();
        if now >= protection.lost_until {
            protection.lost = 0;
        }
        let (fresh, lost) = (leased.saturating_sub(suspects), u64::from(protection.lost));
        let expected = leased.saturating_add(lost).saturating_mul(self.config.renewal_percent.into());
        let enough = fresh.saturating_mul(100) >= expected;
        let mut may_go: Vec<bool> = alloc::vec![true; overdue.len()];
        if enough || suspects.saturating_add(lost) <= 1 {
            protection.since = None;
        } else {
            let since = *protection.since.get_or_insert(self.now);
            if self.now.saturating_since(since) < self.config.protection_limit {
                let newest = self.newest_beat(number);
                for ((_, slot), may) in overdue.iter().zip(&mut may_go) {
                    *may = newest > store.beat(*slot).saturating_add(store.profile(*slot).ttl);
                }
            }
        }
        protection.held = may_go.iter().filter(|may| !**may).count() as u32;
        // At most 100 per cent of fewer than 2^32.
        let cap = (leased.saturating_mul(self.config.eviction_percent.into()) / 100).max(1) as usize;
        let mut going = Vec::new();
        let mut may_go = may_go.into_iter();
        overdue.retain(|(_, slot)| {
            let goes = may_go.next().unwrap_or(false) && going.len() < cap;
            if goes {
                going.push(*slot);
                let profile = store.profile(*slot);
                let until = now.saturating_add(profile.ttl).saturating_add(profile.grace);
                protection.lost_until = protection.lost_until.max(until);
            }
            !goes
        });
        protection.lost = protection.lost.saturating_add(going.len() as u32);
        if overdue.is_empty() {
            protection.since = None;
        } else {
            let next = self.now.saturating_add(self.config.eviction_interval);
            protection.next_pass = Some(next);
            self.passes.insert((next, number));
        }
        protection.overdue = overdue;
        if let Some(service) = self.store.services.get_mut(number) {
            service.protection = protection;
        }
        for slot in &going {
            self.remove(*slot, Cause::Expire);
        }
        let gone = going.len() as u32;
        self.expired = self.expired.saturating_add(gone.into());
        gone
    }

    /// When any of a service was last heard.
    fn newest_beat(&self, number: u32) -> u64 {
        let members = self.store.services.get(number).map_or(&[][..], |service| &service.members);
        // Of those that other servers watch it is not known.
        let watched = members.iter().filter(|slot| self.store.heard(**slot) != NEVER);
        watched.map(|slot| self.store.beat(*slot)).max().unwrap_or(0)
    }
}
