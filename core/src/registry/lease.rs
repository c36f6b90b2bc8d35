//! When leases must be looked at: a lazy timer wheel.
//!
//! A renewal writes one time into one column and touches nothing else. Each leased slot stands in one bucket of the
//! wheel, that of the next time it had to be looked at when it was put there; when the bucket comes up, a slot that was
//! renewed in the meantime moves on. After Varghese and Lauck's hashed wheels, with the buckets in an ordered map, so that
//! a long sleep costs nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::store::push;
use crate::time::Timestamp;

/// 2^16 microseconds: how far apart the entries of one bucket are at the most.
const TICK_BITS: u32 = 16;
/// No bucket.
const UNARMED: u64 = u64::MAX;

/// Which slots to look at when.
#[derive(Clone, Debug, Default)]
pub(super) struct Wheel {
    buckets: BTreeMap<u64, Vec<u32>>,
    /// By slot, the bucket of its one valid entry; other entries of the slot are stale.
    armed: Vec<u64>,
}

impl Wheel {
    /// Looks at `slot` at `due` and not at the time it was armed for before.
    pub(super) fn arm(&mut self, slot: u32, due: Timestamp) {
        while self.armed.len() <= slot as usize {
            push(&mut self.armed, UNARMED);
        }
        let tick = due.as_micros() >> TICK_BITS;
        if let Some(armed) = self.armed.get_mut(slot as usize)
            && *armed != tick
        {
            *armed = tick;
            push(self.buckets.entry(tick).or_default(), slot);
        }
    }

    /// The slots of all buckets that have begun by `now`. Each was armed for a time before the end of its bucket, and is armed no more.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<u32> {
        let tick = now.as_micros() >> TICK_BITS;
        let mut slots = Vec::new();
        while let Some(bucket) = self.buckets.first_entry()
            && *bucket.key() <= tick
        {
            let (tick, entries) = bucket.remove_entry();
            slots.extend(entries.into_iter().filter(|slot| self.take(*slot, tick)));
        }
        slots
    }

    /// The buckets in order, each with the time it begins; their entries may be stale.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Timestamp, &[u32])> {
        self.buckets.iter().map(|(tick, slots)| (Timestamp::clamped(*tick << TICK_BITS), slots.as_slice()))
    }

    /// Takes the valid slots of the first bucket out, and drops it.
    pub(super) fn pop_first(&mut self) -> Vec<u32> {
        let Some((tick, mut entries)) = self.buckets.pop_first() else { return Vec::new() };
        entries.retain(|slot| self.take(*slot, tick));
        entries
    }

    /// Whether the entry of a slot in this bucket is its valid one; it is armed no more.
    fn take(&mut self, slot: u32, tick: u64) -> bool {
        match self.armed.get_mut(slot as usize) {
            Some(armed) if *armed == tick => {
                *armed = UNARMED;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_slot_comes_up_once_and_by_its_latest_arming() {
        let mut wheel = Wheel::default();
        let second = Timestamp::from_secs;
        wheel.arm(3, second(9));
        wheel.arm(3, second(5));
        wheel.arm(1, second(5));
        assert_eq!(wheel.due(second(4)), Vec::<u32>::new());
        assert_eq!(wheel.due(second(5)), vec![3, 1]);
        assert_eq!(wheel.due(second(100)), Vec::<u32>::new());
        assert_eq!(wheel.buckets().count(), 0);
    }
}
