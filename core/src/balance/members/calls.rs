//! What a call changes: the counters when it begins and ends, and what is learnt from how it ended.

use super::Members;
use crate::balance::outcome::Ending;
use crate::model::Handle;

impl Members {
    /// Counts a pick as in flight, and names its instance.
    #[inline]
    pub(in crate::balance) fn begin(&mut self, slot: u32, now: u64) -> Option<Handle> {
        if let Some(signal) = self.signals.get_mut(slot as usize) {
            signal.begin(now);
        }
        self.seat(slot)
    }

    /// [`Members::begin`] when nothing is learnt.
    #[inline]
    pub(in crate::balance) fn seat(&mut self, slot: u32) -> Option<Handle> {
        let seat = self.seats.get_mut(slot as usize)?;
        // Bounded by the table of tickets.
        seat.in_flight = seat.in_flight.wrapping_add(1);
        self.begun = self.begun.wrapping_add(1);
        Some(seat.handle)
    }

    /// Counts a pick that ends at once, well, when nothing is learnt.
    #[inline]
    pub(in crate::balance) fn pass(&mut self, slot: u32) -> Option<Handle> {
        let (seat, tally) = (self.seats.get(slot as usize)?, self.tallies.get_mut(slot as usize)?);
        tally.succeeded = tally.succeeded.wrapping_add(1);
        Some(seat.handle)
    }

    /// Ends a pick that began then, with what became of it; nothing when it was reaped.
    pub(in crate::balance) fn end(&mut self, slot: u32, began: u64, ending: Option<Ending>, now: u64) {
        self.count(slot, ending);
        self.learn(slot, began, ending, now);
        if self.leaving > 0 {
            self.release(slot);
        }
    }

    /// The part of [`Members::end`] that counts.
    #[inline]
    pub(in crate::balance) fn count(&mut self, slot: u32, ending: Option<Ending>) {
        if let Some(seat) = self.seats.get_mut(slot as usize)
            && let Some(tally) = self.tallies.get_mut(slot as usize)
        {
            // Each ticket is redeemed once, so there is one to take away.
            seat.in_flight = seat.in_flight.wrapping_sub(1);
            self.ended = self.ended.wrapping_add(1);
            tally.count(ending);
        }
    }

    /// The part of [`Members::end`] that learns.
    #[inline]
    pub(in crate::balance) fn learn(&mut self, slot: u32, began: u64, ending: Option<Ending>, now: u64) {
        let Some(signal) = self.signals.get_mut(slot as usize) else { return };
        signal.end(began);
        if let (Some(rules), Some(ending)) = (&self.rules, ending) {
            let known = signal.is_known();
            signal.learn(rules, ending, began, now);
            if self.unknown > 0 {
                self.unknown = self.unknown.saturating_sub(u32::from(signal.is_known() && !known));
                self.compare_latencies(now);
            }
        }
    }

    /// Whether anything is learnt of the instances.
    pub(in crate::balance) fn learns(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether somebody has left and waits for the last pick.
    pub(in crate::balance) fn has_leaving(&self) -> bool {
        self.leaving > 0
    }
}
