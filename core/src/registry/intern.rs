//! Values that many records share are kept once, counted, and named by a small number.

use alloc::vec::Vec;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::{Lease, Locality, Metadata, Tags, Version, Weight};
use crate::time::micros;

/// What an interner can hold.
pub(super) trait Interned: Clone + PartialEq {
    fn digest(&self, seed: u64) -> u64;
}

/// Distinct values with a count of their users. The number of a value that nobody uses any more is given out again.
#[derive(Clone, Debug)]
pub(super) struct Interner<T> {
    items: Vec<Option<Item<T>>>,
    table: HashTable<u32>,
    free: Vec<u32>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Item<T> {
    value: T,
    users: u32,
    hash: u64,
}

impl<T: Interned> Interner<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { items: Vec::new(), table: HashTable::new(), free: Vec::new(), seed }
    }

    /// The number of a value, with one more user; true when the value is new.
    pub(super) fn acquire(&mut self, value: &T) -> (u32, bool) {
        let hash = value.digest(self.seed);
        let items = &self.items;
        let found = self.table.find(hash, |symbol| item(items, *symbol).is_some_and(|item| item.value == *value)).copied();
        if let Some(symbol) = found {
            if let Some(Some(item)) = self.items.get_mut(symbol as usize) {
                item.users = item.users.saturating_add(1);
            }
            return (symbol, false);
        }
        let fresh = Some(Item { value: value.clone(), users: 1, hash });
        let symbol = match self.free.pop() {
            Some(symbol) => {
                if let Some(place) = self.items.get_mut(symbol as usize) {
                    *place = fresh;
                }
                symbol
            }
            None => {
                self.items.push(fresh);
                // Each symbol has a user among fewer than 2^32 records.
                self.items.len().saturating_sub(1) as u32
            }
        };
        let items = &self.items;
        self.table.insert_unique(hash, symbol, |symbol| item(items, *symbol).map_or(0, |item| item.hash));
        (symbol, true)
    }

    /// Takes a user away; gives back the value when that was the last.
    pub(super) fn release(&mut self, symbol: u32) -> Option<T> {
        let place = self.items.get_mut(symbol as usize)?;
        let item = place.as_mut()?;
        item.users = item.users.saturating_sub(1);
        if item.users > 0 {
            return None;
        }
        let gone = place.take()?;
        if let Ok(entry) = self.table.find_entry(gone.hash, |other| *other == symbol) {
            entry.remove();
        }
        self.free.push(symbol);
        Some(gone.value)
    }

    #[inline]
    pub(super) fn get(&self, symbol: u32) -> Option<&T> {
        item(&self.items, symbol).map(|item| &item.value)
    }

    /// One more than the largest symbol ever given out.
    pub(super) fn bound(&self) -> usize {
        self.items.len()
    }
}

fn item<T>(items: &[Option<Item<T>>], symbol: u32) -> Option<&Item<T>> {
    items.get(symbol as usize)?.as_ref()
}

/// Folds parts into one hash; the seed of each part is the hash of those before, so that borders count.
pub(super) fn chain<'a>(seed: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    parts.into_iter().fold(seed, |hash, part| xxh3_64_with_seed(part, hash.wrapping_add(part.len() as u64)))
}

impl Interned for Metadata {
    fn digest(&self, seed: u64) -> u64 {
        chain(seed, self.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]))
    }
}

/// What a registration says besides its name, its endpoints and its metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) tags: Tags,
    pub(super) locality: Locality,
    pub(super) version: Option<Version>,
    pub(super) weight: Weight,
    pub(super) lease: Option<Lease>,
}

impl Interned for Shape {
    fn digest(&self, seed: u64) -> u64 {
        let lease = self.lease.map_or([0; 2], |lease| [micros(lease.ttl), micros(lease.grace)]);
        let numbers = [u64::from(self.weight.thousandths()).to_le_bytes(), lease[0].to_le_bytes(), lease[1].to_le_bytes()];
        let hash = chain(seed, numbers.iter().map(<[u8; 8]>::as_slice));
        let hash = chain(hash, self.locality.parts().map(|(_, part)| part.as_bytes()));
        let hash = chain(hash, self.tags.iter().map(str::as_bytes));
        self.version.as_ref().map_or(hash, |version| {
            let semver = version.as_semver();
            let numbers = [semver.major, semver.minor, semver.patch].map(u64::to_le_bytes);
            let hash = chain(hash, numbers.iter().map(<[u8; 8]>::as_slice));
            chain(hash, [semver.pre.as_bytes(), semver.build.as_bytes()])
        })
    }
}

/// What endpoints of many instances share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PortKind {
    pub(super) name: alloc::string::String,
    pub(super) scheme: alloc::string::String,
    pub(super) secure: bool,
}

impl Interned for PortKind {
    fn digest(&self, seed: u64) -> u64 {
        chain(seed, [self.name.as_bytes(), self.scheme.as_bytes(), &[u8::from(self.secure)]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_once_and_forgotten_after_their_last_user() {
        let set = |value: &str| Metadata::new([("k", value)]).unwrap();
        let mut sets = Interner::new(7);
        assert_eq!([sets.acquire(&set("a")), sets.acquire(&set("b")), sets.acquire(&set("a"))], [(0, true), (1, true), (0, false)]);
        assert_eq!(sets.release(0), None);
        assert_eq!(sets.release(0), Some(set("a")));
        assert_eq!((sets.get(0), sets.get(1)), (None, Some(&set("b"))));
        for round in 0..1_000 {
            let (symbol, _) = sets.acquire(&set(&std::format!("{round}")));
            assert_eq!(symbol, 0);
            sets.release(symbol);
        }
        assert_eq!(sets.bound(), 2);
    }
}
