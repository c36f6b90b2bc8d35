//! What time does: leases become suspect and end, overrides end; and what keeps a pause, a partition or a clock
//! from emptying the house.
//!
//! - **A gap.** When the registry is called later than its earliest due time by more than `timer_slack`, nobody was
//!   watching: a renewal could not have arrived either. Every lease then counts as renewed at that moment. So lateness is
//!   always made up for, and nothing expires after a gap until a whole lease was observed (etcd extends leases so on a change
//!   of leader; Eureka adds the lateness).
//! - **A pass.** The instances of a service that are overdue are looked at together. At most `eviction_percent` of the
//!   leased ones (at least one) go in a pass, those first that are overdue the longest; if any stay, the next pass comes
//!   `eviction_interval` later.
//! - **Protection.** When fewer than `renewal_percent` of the leased instances are within their ttl and more than one
//!   is silent, it is likelier that the network failed than that they all did. Then only those go that were silent while a peer
//!   was heard: whose last beat is older than the service's newest by more than their own ttl (Polaris' window). The others are
//!   held, suspect, for at most `protection_limit`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::log::{Cause, ChangeKind};
use super::{Advanced, Registry};
use crate::model::{Lease, LeaseState};
use crate::time::Timestamp;

/// What the passes over one service remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// Since when overdue instances have been held.
    since: Option<Timestamp>,
    /// When the next pass is due.
    pub(super) next_pass: Option<Timestamp>,
    /// How many the last pass held.
    pub(super) held: u32,
}

impl Registry {
    /// Takes note of the time, and does what was due by then. The first thing every mutator does.
    pub(super) fn observe(&mut self, now: Timestamp) -> Advanced {
        let mut advanced = Advanced { expired: 0, revision: self.revision };
        self.backwards = self.backwards.saturating_add(u64::from(now < self.now));
        let now = now.max(self.now);
        if self.promised.is_some_and(|promised| now >= promised) {
            self.promised = self.settle();
            if let Some(due) = self.promised.filter(|due| now >= *due) {
                if now.saturating_since(due) > self.config.timer_slack {
                    self.pardon(now);
                }
                self.now = now;
                advanced.expired = self.run_due(now);
                advanced.revision = self.commit();
                self.promised = self.settle();
            }
        }
        self.now = now;
        advanced
    }

    /// The time a record's lease counts from.
    #[inline]
    pub(super) fn beat(&self, slot: u32) -> Timestamp {
        self.store.renewed(slot).max(self.pardoned)
    }

    /// When a lease must be looked at next: its end of being live, or its end.
    fn next_due(&self, slot: u32) -> Option<Timestamp> {
        let lease = self.store.lease(slot)?;
        let beat = self.beat(slot);
        Some(match self.store.lease_state(slot) {
            LeaseState::Suspect => end(beat, lease),
            _ => beat.saturating_add(lease.ttl),
        })
    }

    /// Arms the wheel for a record whose lease begins or goes on.
    pub(super) fn arm(&mut self, slot: u32) {
        if let Some(due) = self.next_due(slot) {
            self.wheel.arm(slot, due);
            self.promise(due);
        }
    }

    /// The deadline is now no later than this.
    pub(super) fn promise(&mut self, due: Timestamp) {
        self.promised = Some(self.promised.map_or(due, |promised| promised.min(due)));
    }

    /// The exact earliest due time. Moves entries of renewed leases on, each once per bucket.
    fn settle(&mut self) -> Option<Timestamp> {
        let lease = loop {
            let Some(begin) = self.wheel.buckets().next().map(|(begin, _)| begin) else { break None };
            let mut first: Option<Timestamp> = None;
            for slot in self.wheel.pop_first() {
                let Some(due) = self.next_due(slot).filter(|_| self.store.is_live(slot) && !self.is_overdue(slot)) else { continue };
                self.wheel.arm(slot, due);
                first = Some(first.map_or(due, |first| first.min(due)));
            }
            // All of the first bucket was renewed, or some of it stands where it stood.
            let stands = self.wheel.buckets().next().is_some_and(|(now_first, _)| now_first <= begin);
            if stands {
                break first;
            }
        };
        let others = [self.overrides.deadline(), self.passes.first().map(|(due, _)| *due)];
        others.into_iter().chain([lease]).flatten().min()
    }

    /// A deadline that the renewals of the meantime have moved, as far as a look at a few entries can tell. Never too late.
    pub(super) fn sharpen(&self, promised: Timestamp) -> Timestamp {
        const FEW: usize = 4_096;
        let others = [self.overrides.deadline(), self.passes.first().map(|(due, _)| *due)];
        let mut best = others.into_iter().flatten().min();
        let mut looks = 0usize;
        for (begin, slots) in self.wheel.buckets() {
            if best.is_some_and(|best| best <= begin) {
                break;
            }
            looks = looks.saturating_add(slots.len());
            if looks > FEW {
                // Nothing that was not looked at is due before its bucket begins.
                return best.map_or(begin, |best| best.min(begin)).max(promised);
            }
            let dues =
                slots.iter().filter(|slot| self.store.is_live(**slot) && !self.is_overdue(**slot)).filter_map(|slot| self.next_due(*slot));
            best = dues.chain(best).min();
        }
        best.unwrap_or(promised)
    }

    /// Whether a lease ended and its record waits for a pass.
    fn is_overdue(&self, slot: u32) -> bool {
        let waits = self.store.services.get(self.store.service(slot)).is_some_and(|service| service.protection.next_pass.is_some());
        waits && self.store.lease(slot).is_some_and(|lease| end(self.beat(slot), lease) <= self.now)
    }

    /// After a gap: every lease counts as renewed now.
    fn pardon(&mut self, now: Timestamp) {
        self.gaps = self.gaps.saturating_add(1);
        self.pardoned = now;
        for slot in 0..self.store.bound() {
            if self.store.is_live(slot) && self.store.lease_state(slot) == LeaseState::Suspect {
                self.revive(slot);
            }
        }
    }

    /// A suspect is live again.
    pub(super) fn revive(&mut self, slot: u32) {
        self.store.set_lease_state(slot, LeaseState::Live);
        self.record(slot, ChangeKind::Updated, Cause::Lease);
        self.arm(slot);
    }

    /// Does everything that is due; tells how many expired.
    fn run_due(&mut self, now: Timestamp) -> u32 {
        for key in self.overrides.end(now) {
            self.refresh_admin(&key);
        }
        let mut suspects = Vec::new();
        let mut due_services = BTreeSet::new();
        for slot in self.wheel.due(now) {
            let Some(lease) = self.store.lease(slot).filter(|_| self.store.is_live(slot)) else { continue };
            let beat = self.beat(slot);
            if beat.saturating_add(lease.ttl) > now {
                self.arm(slot);
                continue;
            }
            if end(beat, lease) <= now {
                due_services.insert(self.store.service(slot));
            }
            suspects.push((slot, self.store.handle(slot)));
        }
        while let Some((due, service)) = self.passes.first().copied().filter(|(due, _)| *due <= now) {
            self.passes.remove(&(due, service));
            if let Some(own) = self.store.services.get_mut(service)
                && own.protection.next_pass == Some(due)
            {
                own.protection.next_pass = None;
                due_services.insert(service);
            }
        }
        let mut expired = 0u32;
        for service in self.in_order(due_services) {
            // A pass that is due later looks at those that have just become overdue as well.
            if self.store.services.get(service).is_some_and(|own| own.protection.next_pass.is_none()) {
                expired = expired.saturating_add(self.pass(service, now));
            }
        }
        // Those that did not go are suspect, in order of their names.
        let mut staying: Vec<u32> = suspects.into_iter().filter_map(|(_, handle)| self.store.resolve(handle)).collect();
        staying.sort_by_cached_key(|slot| self.names(*slot));
        for slot in staying {
            if self.store.lease_state(slot) == LeaseState::Live {
                self.store.set_lease_state(slot, LeaseState::Suspect);
                self.record(slot, ChangeKind::Updated, Cause::Lease);
            }
            if self.next_due(slot).is_some_and(|due| due > now) {
                self.arm(slot);
            }
        }
        expired
    }

    fn in_order(&self, services: BTreeSet<u32>) -> Vec<u32> {
        let mut order: Vec<u32> = services.into_iter().collect();
        let name = |number: &u32| self.store.services.get(*number).map(|service| (&service.namespace, &service.name));
        order.sort_by(|one, other| name(one).cmp(&name(other)));
        order
    }

    /// One look at the overdue instances of one service; tells how many went.
    fn pass(&mut self, number: u32, now: Timestamp) -> u32 {
        let Some(service) = self.store.services.get(number) else { return 0 };
        let mut protection = service.protection;
        let (mut leased, mut fresh, mut newest) = (0u64, 0u64, Timestamp::ZERO);
        let mut overdue = Vec::new();
        for slot in &service.members {
            let Some(lease) = self.store.lease(*slot) else { continue };
            let beat = self.beat(*slot);
            leased = leased.saturating_add(1);
            newest = newest.max(beat);
            if now < beat.saturating_add(lease.ttl) {
                fresh = fresh.saturating_add(1);
            } else if end(beat, lease) <= now {
                overdue.push((end(beat, lease), beat, lease, *slot));
            }
        }
        // Members stand in order of id, and the sort is stable.
        overdue.sort_by_key(|(end, ..)| *end);
        let silent = leased.saturating_sub(fresh);
        let enough = fresh.saturating_mul(100) >= leased.saturating_mul(self.config.renewal_percent.into());
        let mut allowed: Vec<u32> = Vec::new();
        if enough || silent <= 1 {
            protection.since = None;
            allowed.extend(overdue.iter().map(|(.., slot)| *slot));
        } else {
            let since = *protection.since.get_or_insert(now);
            let over = now.saturating_since(since) >= self.config.protection_limit;
            let isolated = |beat: Timestamp, lease: Lease| newest > beat.saturating_add(lease.ttl);
            allowed.extend(overdue.iter().filter(|(_, beat, lease, _)| over || isolated(*beat, *lease)).map(|(.., slot)| *slot));
        }
        protection.held = overdue.len().saturating_sub(allowed.len()) as u32;
        let cap = leased.saturating_mul(self.config.eviction_percent.into()).checked_div(100).unwrap_or(0).max(1) as usize;
        allowed.truncate(cap);
        if overdue.len() > allowed.len() {
            let next = now.saturating_add(self.config.eviction_interval);
            protection.next_pass = Some(next);
            self.passes.insert((next, number));
        } else {
            protection.since = None;
            protection.next_pass = None;
        }
        if let Some(service) = self.store.services.get_mut(number) {
            service.protection = protection;
        }
        for slot in &allowed {
            self.remove(*slot, Cause::Expire);
        }
        self.expired = self.expired.saturating_add(allowed.len() as u64);
        allowed.len() as u32
    }
}

/// When a lease ends.
fn end(beat: Timestamp, lease: Lease) -> Timestamp {
    beat.saturating_add(lease.ttl).saturating_add(lease.grace)
}
