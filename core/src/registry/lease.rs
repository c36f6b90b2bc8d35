//! When leases must be looked at, as far as columns and counts go.
//!
//! A renewal writes one time into one column and reads one other: it is when the record was heard that is kept, and when it is due
//! follows. Each chunk of 1024 records keeps a bound below all of its due times, which renewals leave as it is, since they only put the
//! time off. When the bound comes up, the chunk is looked through and has a new one. So a renewal costs one store, and a look at
//! one number some time later.

use alloc::vec::Vec;

use super::columns::{Bound, CHUNK, Flags, NEVER, PARKED, split};
use super::store::Store;
use crate::model::Handle;
use crate::time::Timestamp;

impl Store {
    /// When a lease counts from.
    pub(super) fn beat(&self, slot: u32) -> u64 {
        self.heard(slot) & !PARKED
    }

    /// When a record must be looked at; `NEVER` without a lease that is watched here, and while it waits for a pass.
    pub(super) fn due(&self, slot: u32) -> u64 {
        if self.heard(slot) < PARKED { self.end(slot) } else { NEVER }
    }

    /// When a lease ends to be live, or to be suspect, whichever it is.
    fn end(&self, slot: u32) -> u64 {
        let profile = self.profile(slot);
        let grace = if self.is_suspect(slot) { profile.grace } else { 0 };
        self.beat(slot).saturating_add(profile.ttl).saturating_add(grace)
    }

    /// Renews at once what needs no more than that: a local record of incarnation 0 that is not suspect and that no other server
    /// watches. Whether it did.
    #[inline]
    pub(super) fn renew_plainly(&mut self, handle: Handle, now: Timestamp) -> bool {
        let (chunk, at) = split(handle.slot());
        let Some(chunk) = self.chunks.get_mut(chunk) else { return false };
        let (Some(flags), Some(heard)) = (chunk.flags.get(at), chunk.heard.get_mut(at)) else { return false };
        if !flags.are_of(handle) || !flags.are_plain() {
            return false;
        }
        if *heard == NEVER {
            // Without a lease there is nothing to renew.
            return chunk.cells.get(at).is_some_and(|cell| self.pools.profile(cell.profile).ttl == 0);
        }
        // It only moves on, so the bound of the chunk holds.
        *heard = now.as_micros();
        true
    }

    /// A lease begins, live.
    pub(super) fn start_lease(&mut self, slot: u32, now: Timestamp) {
        if self.profile(slot).ttl > 0 {
            self.set_heard(slot, now.as_micros());
            self.arm(slot);
        } else {
            self.set_heard(slot, NEVER);
        }
    }

    /// The record must be looked at when it is due.
    fn arm(&mut self, slot: u32) {
        let (due, ttl) = (self.due(slot), self.profile(slot).ttl);
        let (chunk, _) = split(slot);
        if let Some(bound) = self.bounds.get_mut(chunk) {
            *bound = Bound { due: due.min(bound.due), ttl: ttl.min(bound.ttl) };
        }
    }

    /// Makes a record that is due suspect, or lets it wait for a pass when it is overdue; whether it is.
    pub(super) fn fall_due(&mut self, slot: u32, now: u64) -> bool {
        if !self.is_suspect(slot) {
            self.set_suspect(slot, true);
        }
        let end = self.end(slot);
        if end > now {
            self.arm(slot);
            return false;
        }
        self.set_heard(slot, self.heard(slot) | PARKED);
        let number = self.service(slot);
        if let Some(service) = self.services.get_mut(number) {
            service.protection.overdue.push((end, slot));
            // Those that were renewed while they waited stay until the next pass; not too many of them.
            if service.protection.overdue.len() > service.members.len().saturating_mul(2).saturating_add(64) {
                let mut overdue = core::mem::take(&mut service.protection.overdue);
                overdue.retain(|(end, slot)| self.is_parked(*slot, *end));
                if let Some(service) = self.services.get_mut(number) {
                    service.protection.overdue = overdue;
                }
            }
        }
        true
    }

    /// Whether a record still waits for a pass since that time.
    pub(super) fn is_parked(&self, slot: u32, end: u64) -> bool {
        self.heard(slot) & PARKED != 0 && self.end(slot) == end
    }

    /// Takes back that a record is suspect.
    pub(super) fn settle_lease(&mut self, slot: u32) {
        if self.is_suspect(slot) {
            self.set_suspect(slot, false);
        }
    }

    fn set_suspect(&mut self, slot: u32, suspect: bool) {
        self.set_flags(slot, self.flags(slot).with(Flags::SUSPECT, if suspect { Flags::SUSPECT } else { 0 }));
        let number = self.service(slot);
        if let Some(service) = self.services.get_mut(number) {
            service.suspects = if suspect { service.suspects.saturating_add(1) } else { service.suspects.saturating_sub(1) };
        }
    }

    /// The records that are due by `now`, in no order that matters. The bounds of the chunks that were looked at no longer
    /// count these.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<u32> {
        let mut found = Vec::new();
        let mut bounds = core::mem::take(&mut self.bounds);
        for (chunk, bound) in bounds.iter_mut().enumerate().filter(|(_, bound)| bound.due <= now) {
            bound.due = self.look_through(chunk, bound.ttl, now, NEVER, &mut found);
        }
        self.bounds = bounds;
        found
    }

    /// Has every live lease begin anew.
    pub(super) fn restart_leases(&mut self, now: Timestamp) {
        for (chunk, bound) in self.chunks.iter_mut().zip(&mut self.bounds) {
            bound.due = NEVER;
            for heard in chunk.heard.iter_mut().filter(|heard| **heard < PARKED) {
                *heard = now.as_micros();
                bound.due = heard.saturating_add(bound.ttl);
            }
        }
    }

    /// A time before which no lease is due; `NEVER` without leases.
    pub(super) fn earliest(&self) -> u64 {
        self.bounds.iter().map(|bound| bound.due).min().unwrap_or(NEVER)
    }

    /// When the first lease is due. Costs a look at every record of the chunks in question.
    pub(super) fn first_due(&self) -> u64 {
        let look = |first: u64, (chunk, bound): (usize, &Bound)| {
            if bound.due < first { self.look_through(chunk, bound.ttl, 0, first, &mut Vec::new()) } else { first }
        };
        self.bounds.iter().enumerate().fold(NEVER, look)
    }

    /// Finds the records of a chunk that are due by `now`, and tells when the first of the others is, if before `next`, which is after
    /// `now`. No lease of the chunk is shorter than `ttl`.
    fn look_through(&self, chunk: usize, ttl: u64, now: u64, mut next: u64, found: &mut Vec<u32>) -> u64 {
        let Some(heard) = self.chunks.get(chunk).map(|chunk| &chunk.heard) else { return next };
        for (heard, slot) in heard.iter().zip(chunk.saturating_mul(CHUNK) as u32..self.bound()) {
            // Whoever was heard later than that is not due before `next`, whatever the lease.
            if *heard >= next.saturating_sub(ttl) {
                continue;
            }
            let due = self.due(slot);
            if due <= now {
                found.push(slot);
            } else {
                next = next.min(due);
            }
        }
        next
    }
}
