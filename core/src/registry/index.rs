//! Slots by the hash of their key.

use alloc::vec::Vec;

use hashbrown::HashTable;

/// A table that doubles moves everything it holds; of so many tables, each moves little at a time.
const SHARDS: usize = 64;

/// One of the tables. Its entries are never iterated; the list of tables is.
type Table = HashTable<u32>;

/// Slots by hash: never iterated, so that no order of hashes is ever seen.
#[derive(Clone, Debug)]
pub(super) struct Index {
    shards: Vec<Table>,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Table::new()).collect(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bits that a table of fewer than 2^32 slots has no use for.
    const fn shard(hash: u64) -> usize {
        (hash >> 32) as usize % SHARDS
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.shards.get(Self::shard(hash))?.find(hash, same).copied()
    }

    /// Adds a slot that is not there.
    pub(super) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(&u32) -> u64) {
        if let Some(shard) = self.shards.get_mut(Self::shard(hash)) {
            shard.insert_unique(hash, slot, hash_of);
            self.len = self.len.saturating_add(1);
        }
    }

    /// Makes room for so many slots more, as far as they spread evenly.
    pub(super) fn reserve(&mut self, slots: usize, hash_of: impl Fn(&u32) -> u64) {
        for shard in &mut self.shards {
            shard.reserve(slots / SHARDS, &hash_of);
        }
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let shard = self.shards.get_mut(Self::shard(hash));
        if let Some(Ok(found)) = shard.map(|shard| shard.find_entry(hash, |other| *other == slot)) {
            found.remove();
            self.len = self.len.saturating_sub(1);
        }
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let own = self.shards.capacity().saturating_mul(size_of::<Table>());
        self.shards.iter().fold(own, |sum, shard| sum.saturating_add(shard.allocation_size()))
    }
}
