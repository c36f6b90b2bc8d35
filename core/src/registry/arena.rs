//! Runs of bytes, one a slot, in chunks that are compacted one by one as they empty.

use alloc::vec::Vec;

/// Bytes of a full chunk. A record's text is below 40 KB.
const CHUNK: usize = 1 << 16;
/// Places are counted in fours, so that 14 bits say where in a chunk and 18 say which chunk.
const UNIT: usize = 4;
const UNIT_BITS: u32 = 14;
const CHUNKS: usize = 1 << (32 - UNIT_BITS);
/// Before each run: the slot it belongs to and its length.
const HEADER: usize = 6;
/// The slot of a run that was removed.
const DEAD: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    live: usize,
}

/// All runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that is being filled.
    open: usize,
    empty: Vec<u32>,
}

/// Where a run lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(pub(super) u32);

impl Place {
    const fn chunk(self) -> usize {
        (self.0 >> UNIT_BITS) as usize
    }

    const fn offset(self) -> usize {
        // Below 2^16.
        ((self.0 & ((1 << UNIT_BITS) - 1)) as usize).wrapping_mul(UNIT)
    }
}

/// Bytes a run takes.
fn size(run: &[u8]) -> usize {
    run.len().saturating_add(HEADER).next_multiple_of(UNIT)
}

impl Arena {
    /// Whether so many more runs surely fit.
    pub(super) fn has_room(&self, runs: usize) -> bool {
        // In the worst case each takes a chunk of its own.
        self.chunks.len().saturating_sub(self.empty.len()).saturating_add(runs) < CHUNKS
    }

    /// Keeps a run of at most 40 KB for a slot.
    pub(super) fn insert(&mut self, slot: u32, run: &[u8]) -> Place {
        let size = size(run);
        let full = |chunk: &Chunk| !chunk.bytes.is_empty() && chunk.bytes.len().saturating_add(size) > CHUNK;
        if self.chunks.get(self.open).is_none_or(full) {
            self.open = match self.empty.pop() {
                Some(chunk) => chunk as usize,
                None => {
                    self.chunks.push(Chunk::default());
                    self.chunks.len().saturating_sub(1)
                }
            };
        }
        let open = self.open;
        let Some(chunk) = self.chunks.get_mut(open) else { return Place::default() };
        let at = chunk.bytes.len();
        // A later chunk is sure to be filled, so it is taken whole; the first grows with the registry.
        if at == 0 && open > 0 {
            chunk.bytes.reserve_exact(CHUNK);
        }
        chunk.bytes.extend_from_slice(&slot.to_le_bytes());
        chunk.bytes.extend_from_slice(&(run.len() as u16).to_le_bytes());
        chunk.bytes.extend_from_slice(run);
        chunk.bytes.resize(at.saturating_add(size), 0);
        chunk.live = chunk.live.saturating_add(size);
        // `open` is below 2^18 (`has_room`) and `at` below 2^16.
        Place((open as u32) << UNIT_BITS | (at / UNIT) as u32)
    }

    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let bytes = self.chunks.get(place.chunk()).map_or(&[][..], |chunk| &chunk.bytes);
        match bytes.get(place.offset()..).unwrap_or_default() {
            [_, _, _, _, low, high, run @ ..] => run.get(..usize::from(u16::from_le_bytes([*low, *high]))).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Drops a run. When its chunk is more than half empty the others are moved out of it: `moved` is told where to.
    pub(super) fn remove(&mut self, place: Place, mut moved: impl FnMut(u32, Place)) {
        let (index, at, size) = (place.chunk(), place.offset(), size(self.get(place)));
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        if let Some(slot) = chunk.bytes.get_mut(at..at.saturating_add(4)) {
            slot.copy_from_slice(&DEAD.to_le_bytes());
        }
        chunk.live = chunk.live.saturating_sub(size);
        if index == self.open {
            if chunk.live == 0 {
                chunk.bytes.clear();
            }
            return;
        }
        if chunk.live.saturating_mul(2) >= chunk.bytes.len() {
            return;
        }
        let old = core::mem::take(chunk);
        let mut rest = old.bytes.as_slice();
        while let [a, b, c, d, low, high, tail @ ..] = rest {
            let slot = u32::from_le_bytes([*a, *b, *c, *d]);
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            if slot != DEAD {
                moved(slot, self.insert(slot, tail.get(..length).unwrap_or_default()));
            }
            rest = rest.get(length.saturating_add(HEADER).next_multiple_of(UNIT)..).unwrap_or_default();
        }
        // Only now, lest the runs are moved into the chunk they come from.
        self.empty.push(index as u32);
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let own = self.chunks.capacity().saturating_mul(size_of::<Chunk>()).saturating_add(self.empty.capacity().saturating_mul(4));
        self.chunks.iter().fold(own, |sum, chunk| sum.saturating_add(chunk.bytes.capacity()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn churn_does_not_grow_the_chunks() {
        let run = |slot: u32| format!("run-{slot:08}-{}", "x".repeat(slot as usize % 50)).into_bytes();
        let mut arena = Arena::default();
        let mut places: Vec<Place> = (0..4_000u32).map(|slot| arena.insert(slot, &run(slot))).collect();
        let mut peak = 0;
        for round in 0..50_000u32 {
            let slot = round.wrapping_mul(2_654_435_761) % 4_000;
            arena.remove(places[slot as usize], |slot, place| places[slot as usize] = place);
            places[slot as usize] = arena.insert(slot, &run(slot));
            peak = peak.max(arena.heap_bytes());
        }
        for (slot, place) in places.iter().enumerate() {
            assert_eq!(arena.get(*place), run(slot as u32));
        }
        assert!(peak < 8 * CHUNK, "{peak}");
        assert!(arena.chunks.len() < 16, "one that is empty is filled again");
        for slot in 0..places.len() {
            arena.remove(places[slot], |slot, place| places[slot as usize] = place);
        }
        assert!(arena.heap_bytes() <= 2 * CHUNK + 4_096);
    }

    #[test]
    fn a_chunk_that_is_mostly_in_use_is_left_where_it_is() {
        let mut arena = Arena::default();
        let places: Vec<Place> = (0..4_000u32).map(|slot| arena.insert(slot, &[7; 100])).collect();
        // Of a chunk's 606, half.
        for slot in (0..4_000).step_by(2) {
            arena.remove(places[slot], |slot, _| panic!("{slot} is moved"));
        }
        let mut moved = 0;
        for slot in (1..4_000).step_by(4) {
            arena.remove(places[slot], |_, _| moved += 1);
        }
        assert!(moved > 0);
    }

    #[test]
    fn little_takes_little_room() {
        let mut arena = Arena::default();
        arena.insert(0, &[7; 100]);
        assert!(arena.heap_bytes() < 1_024);
    }

    #[test]
    fn the_largest_run_is_kept() {
        let mut arena = Arena::default();
        let run = alloc::vec![7; 40_000];
        let places = [arena.insert(1, &run), arena.insert(2, &run)];
        assert!(places.iter().all(|place| arena.get(*place) == run));
        assert!(arena.get(Place(u32::MAX)).is_empty());
    }
}
