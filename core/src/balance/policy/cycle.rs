//! A sequence of picks that repeats itself, written down during its first round.

use alloc::vec::Vec;

/// The longest round that is written down: 256 KiB.
const LONGEST: i64 = 1 << 16;

/// One round of a smooth round robin: as many picks as the sum of the weights, after which the state is what it was.
///
/// The first round is written down while it is made; if it brought the state back, the next ones are read off.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    picks: Vec<u32>,
    length: usize,
    /// The next pick to read; none while the round is written down.
    next: Option<usize>,
}

impl Cycle {
    /// A cycle for this sum of weights, unless it is too long.
    pub(super) fn new(total: i64) -> Option<Self> {
        let length = usize::try_from(total).ok()?;
        (total > 0 && total <= LONGEST).then(|| Self { picks: Vec::with_capacity(length), length, next: None })
    }

    /// The next pick, when a round is written down.
    #[inline(always)]
    pub(super) fn read(&mut self) -> Option<u32> {
        let next = self.next?;
        let after = next.wrapping_add(1);
        self.next = Some(if after < self.length { after } else { 0 });
        self.picks.get(next).copied()
    }

    /// Writes a pick down; true when the round is full, and [`Cycle::close`] must follow.
    pub(super) fn write(&mut self, place: u32) -> bool {
        self.picks.push(place);
        self.picks.len() >= self.length
    }

    /// Says whether the round brought the state back.
    pub(super) fn close(&mut self, is_round: bool) {
        if is_round {
            self.next = Some(0);
        } else {
            self.picks.clear();
        }
    }

    /// Stops reading, and starts to write anew. Hands over the picks that were read and are not part of the state yet.
    pub(super) fn interrupt<T>(&mut self, take: impl FnOnce(&[u32]) -> T) -> T {
        let read = self.next.take().unwrap_or_default();
        let taken = take(self.picks.get(..read).unwrap_or_default());
        self.picks.clear();
        taken
    }

    /// The picks of the round so far.
    pub(super) fn picks(&self) -> &[u32] {
        &self.picks
    }
}
