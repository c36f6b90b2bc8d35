//! One thing that can be asked for: a metadata pair, a tag, a zone; with the records that have it marked when they are many.

use alloc::vec::Vec;

use super::columns::CHUNK;
use super::intern::{Pools, Profile, Shared};
use super::store::Store;

/// Fewer records than this are not worth a bitmap.
const LEAST: u32 = 256;
/// A bitmap is made for a facet that one slot in so many has, and so costs an instance at most as many bits for each of
/// its facets;
const DENSE: u32 = 32;
/// and dropped when it is one in so many.
const SPARSE: u32 = 128;

/// A key and a value, and who has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Facet {
    /// The text of a metadata key, or what is reserved for other things.
    pub(super) key: u32,
    /// A text.
    pub(super) value: u32,
    /// How many records have it.
    pub(super) records: u32,
    /// Their slots, if they are many.
    pub(super) marks: Option<Marks>,
}

/// What becomes of a facet's bitmap when its number of records changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    /// It is worth a bitmap, which somebody must fill.
    Dense,
}

impl Facet {
    /// The key of tags.
    pub(super) const TAG: u32 = u32::MAX;
    /// The keys of region, zone, sub-zone and node.
    pub(super) const PLACES: [u32; 4] = [u32::MAX - 4, u32::MAX - 3, u32::MAX - 2, u32::MAX - 1];

    pub(super) const fn new(key: u32, value: u32) -> Self {
        Self { key, value, records: 0, marks: None }
    }

    /// Whether a key is no metadata key. Texts are numbered from 1 and fewer than 2^31.
    pub(super) const fn is_reserved(key: u32) -> bool {
        key >= u32::MAX - 4
    }

    pub(super) const fn is(&self, key: u32, value: u32) -> bool {
        self.key == key && self.value == value
    }

    /// A record at a slot has it, of so many slots.
    pub(super) fn enter(&mut self, slot: u32, slots: u32) -> Turn {
        self.records = self.records.saturating_add(1);
        if let Some(marks) = &mut self.marks {
            marks.set(slot);
        } else if self.records.is_multiple_of(LEAST) && self.records >= slots / DENSE {
            return Turn::Dense;
        }
        Turn::Stay
    }

    /// A record has it no more.
    pub(super) fn leave(&mut self, slot: u32, slots: u32) {
        self.records = self.records.saturating_sub(1);
        if self.records < LEAST / 2 || self.records < slots / SPARSE {
            self.marks = None;
        } else if let Some(marks) = &mut self.marks {
            marks.clear(slot);
        }
    }
}

/// A set of slots, one bit each.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    pub(super) fn set(&mut self, slot: u32) {
        let word = (slot / 64) as usize;
        if word >= self.0.len() {
            // Grows by an eighth, as the slots do.
            let more = word.saturating_add(1).saturating_sub(self.0.len());
            if self.0.capacity().saturating_sub(self.0.len()) < more {
                self.0.reserve_exact(more.max(self.0.len() >> 3));
            }
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (slot % 64);
        }
    }

    fn clear(&mut self, slot: u32) {
        if let Some(bits) = self.0.get_mut((slot / 64) as usize) {
            *bits &= !(1 << (slot % 64));
        }
    }

    pub(super) fn has(&self, slot: u32) -> bool {
        self.0.get((slot / 64) as usize).is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity().saturating_mul(8)
    }
}

/// Which dense facets each of many sets has, as places in the list of those.
struct Places {
    /// Where the places of each set begin; those of the next set begin where they end.
    starts: Vec<u32>,
    places: Vec<u16>,
}

impl Places {
    fn new<'a>(sets: impl Iterator<Item = &'a [u32]>, dense: &[u32]) -> Self {
        let mut own = Self { starts: Vec::new(), places: Vec::new() };
        for set in sets {
            own.starts.push(own.places.len() as u32);
            // A record has at most 132 facets, and a facet is dense that one in 32 has: there are fewer than 2^13.
            own.places.extend(set.iter().filter_map(|facet| dense.binary_search(facet).ok()).map(|place| place as u16));
        }
        own.starts.push(own.places.len() as u32);
        own
    }

    fn of(&self, set: u32) -> &[u16] {
        let at = set as usize;
        let bounds = self.starts.get(at..at.saturating_add(2)).and_then(|pair| pair.first_chunk::<2>());
        bounds.and_then(|[start, end]| self.places.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

impl Store {
    pub(super) fn mark(&mut self, slot: u32, shared: Shared) {
        let mut dense = Vec::new();
        let slots = self.bound();
        self.each_facet(shared, |number, facet| {
            if facet.enter(slot, slots) == Turn::Dense {
                dense.push(number);
            }
        });
        for facet in dense {
            self.fill_marks(facet);
        }
    }

    pub(super) fn unmark(&mut self, slot: u32, shared: Shared) {
        let slots = self.bound();
        self.each_facet(shared, |_, facet| facet.leave(slot, slots));
    }

    fn each_facet(&mut self, shared: Shared, mut act: impl FnMut(u32, &mut Facet)) {
        let tags = self.pools.profile(shared.profile).tags;
        let Pools { facets, metadata, localities, tags: sets, .. } = &mut self.pools;
        let none: &[u32] = &[];
        let metadata = metadata.get(shared.metadata).map_or(none, |facets| facets);
        let tags = sets.get(tags).map_or(none, |facets| facets);
        let places = localities.get(shared.locality).map_or(none, |facets| facets);
        for number in metadata.iter().chain(tags).chain(places).filter(|number| **number != 0) {
            if let Some(facet) = facets.get_mut(*number) {
                act(*number, facet);
            }
        }
    }

    /// Marks the facets of all records, of which none is marked yet.
    pub(super) fn mark_all(&mut self) {
        let slots = self.bound();
        let Pools { facets, metadata, localities, tags, profiles, .. } = &mut self.pools;
        let none: &[u32] = &[];
        let tags_of = |profile: &Profile| tags.get(profile.tags).map_or(none, |facets| facets);
        // A set has as many users as there are records that have it.
        let mut count = |users: u32, set: &[u32]| {
            for number in set.iter().filter(|number| **number != 0) {
                if let Some(facet) = facets.get_mut(*number) {
                    facet.records = facet.records.saturating_add(users);
                }
            }
        };
        metadata.users().skip(1).for_each(|(users, set)| count(users, set));
        localities.users().skip(1).for_each(|(users, set)| count(users, set));
        profiles.users().skip(1).for_each(|(users, profile)| count(users, tags_of(profile)));
        let is_dense = |facet: &Facet| facet.records >= LEAST && facet.records >= slots / DENSE;
        let dense: Vec<u32> = facets.iter().zip(0u32..).filter(|(facet, _)| is_dense(facet)).map(|(_, number)| number).collect();
        let mut marks: Vec<Marks> = dense.iter().map(|_| Marks(alloc::vec![0; slots.div_ceil(64) as usize])).collect();
        let metadata = Places::new(metadata.iter().map(|set| &**set), &dense);
        let localities = Places::new(localities.iter().map(<[u32; 4]>::as_slice), &dense);
        let profiles = Places::new(profiles.iter().map(tags_of), &dense);
        for (chunk, first) in self.chunks.iter().zip((0u32..).step_by(CHUNK)) {
            for ((cell, _), slot) in chunk.cells.iter().zip(&chunk.flags).zip(first..).filter(|((_, flags), _)| !flags.is_free()) {
                for place in metadata.of(cell.metadata).iter().chain(localities.of(cell.locality)).chain(profiles.of(cell.profile)) {
                    if let Some(marks) = marks.get_mut(usize::from(*place)) {
                        marks.set(slot);
                    }
                }
            }
        }
        for (number, marks) in dense.iter().zip(marks) {
            if let Some(facet) = self.pools.facets.get_mut(*number) {
                facet.marks = Some(marks);
            }
        }
    }

    /// Marks every record that has a facet.
    fn fill_marks(&mut self, number: u32) {
        let has = |facets: &[u32]| facets.contains(&number);
        let tags: Vec<bool> = self.pools.tags.iter().map(|facets| has(facets)).collect();
        let of = |set: &[bool], at: u32| set.get(at as usize).copied().unwrap_or(false);
        let metadata: Vec<bool> = self.pools.metadata.iter().map(|facets| has(facets)).collect();
        let localities: Vec<bool> = self.pools.localities.iter().map(|facets| has(facets)).collect();
        let profiles: Vec<bool> = self.pools.profiles.iter().map(|profile| of(&tags, profile.tags)).collect();
        let mut marks = Marks::default();
        for (chunk, first) in self.chunks.iter().zip((0u32..).step_by(CHUNK)) {
            for ((cell, flags), slot) in chunk.cells.iter().zip(&chunk.flags).zip(first..) {
                let has = of(&metadata, cell.metadata) || of(&localities, cell.locality) || of(&profiles, cell.profile);
                if has && !flags.is_free() {
                    marks.set(slot);
                }
            }
        }
        if let Some(facet) = self.pools.facets.get_mut(number) {
            facet.marks = Some(marks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_facet_has_a_bitmap_while_it_is_dense() {
        let mut facet = Facet::new(1, 2);
        let turns: Vec<Turn> = (0..1_024).map(|slot| facet.enter(slot, slot.max(8_192))).collect();
        assert_eq!(turns.iter().position(|turn| *turn == Turn::Dense), Some(255));
        facet.marks = Some(Marks::default());
        facet.enter(9_000, 9_001);
        assert!(facet.marks.as_ref().unwrap().has(9_000) && !facet.marks.as_ref().unwrap().has(64_000_000));
        facet.leave(9_000, 9_001);
        assert!(!facet.marks.as_ref().unwrap().has(9_000));
        facet.leave(0, 1_000_000);
        assert!(facet.marks.is_none());
        let mut sparse = Facet::new(1, 2);
        assert!((0..1_024).all(|slot| sparse.enter(slot, 1_000_000) == Turn::Stay));
    }

    #[test]
    fn a_bitmap_has_at_most_an_eighth_too_much_room() {
        let (mut marks, mut sizes) = (Marks::default(), Vec::new());
        for slot in 0..100_000 {
            marks.set(slot);
            assert!(marks.heap_bytes() <= marks.words().len() * 9, "{slot}");
            sizes.push(marks.heap_bytes());
        }
        // Nor is it enlarged with each word.
        sizes.dedup();
        assert!(sizes.len() < 100, "{}", sizes.len());
    }
}
