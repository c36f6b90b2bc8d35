//! Distinct values, counted and named by small numbers.

use alloc::vec::Vec;

use hashbrown::HashTable;

/// Values with the number of their users, each named by a small number. Number 0 is the empty value and stays; the number
/// of a value that nobody uses any more is given out again.
#[derive(Clone, Debug)]
pub(super) struct Pool<T> {
    entries: Vec<Entry<T>>,
    index: HashTable<u32>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    hash: u64,
    /// None when the entry is free.
    users: u32,
    value: T,
}

impl<T: Default> Pool<T> {
    pub(super) fn new() -> Self {
        Self { entries: alloc::vec![Entry { hash: 0, users: 1, value: T::default() }], index: HashTable::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize).map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.entries.get_mut(number as usize).map(|entry| &mut entry.value)
    }

    pub(super) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |at| self.entries.get(*at as usize).is_some_and(|entry| entry.hash == hash && same(&entry.value))).copied()
    }

    /// One more user.
    pub(super) fn keep(&mut self, number: u32) {
        self.keep_more(number, 1);
    }

    /// So many more users.
    pub(super) fn keep_more(&mut self, number: u32, users: u32) {
        if let Some(entry) = self.entries.get_mut(number as usize).filter(|_| number != 0) {
            // Memory ends before 2^32 uses do.
            entry.users = entry.users.saturating_add(users);
        }
    }

    /// Keeps a value that [`Pool::find`] does not find, with one user.
    pub(super) fn add(&mut self, hash: u64, value: T) -> u32 {
        let entry = Entry { hash, users: 1, value };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(old) = self.entries.get_mut(number as usize) {
                    *old = entry;
                }
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len().saturating_sub(1) as u32
            }
        };
        let Self { entries, index, .. } = self;
        index.insert_unique(hash, number, |at| entries.get(*at as usize).map_or(0, |entry| entry.hash));
        number
    }

    pub(super) fn find_or_add(&mut self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        match self.find(hash, same) {
            Some(found) => {
                self.keep(found);
                found
            }
            None => self.add(hash, make()),
        }
    }

    /// One user less; the value when that was the last.
    pub(super) fn release(&mut self, number: u32) -> Option<T> {
        let entry = self.entries.get_mut(number as usize).filter(|_| number != 0)?;
        entry.users = entry.users.saturating_sub(1);
        if entry.users > 0 {
            return None;
        }
        let (hash, value) = (entry.hash, core::mem::take(&mut entry.value));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
        Some(value)
    }

    /// One past the highest number ever given out.
    pub(super) fn bound(&self) -> usize {
        self.entries.len()
    }

    /// How many use each value, by number.
    pub(super) fn users(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().map(|entry| (entry.users, &entry.value))
    }

    /// The values by number; those of free numbers are empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn heap_bytes(&self, own: impl Fn(&T) -> usize) -> usize {
        let tables = self.entries.capacity().saturating_mul(size_of::<Entry<T>>()).saturating_add(self.free.capacity().saturating_mul(4));
        let tables = tables.saturating_add(self.index.allocation_size());
        self.entries.iter().fold(tables, |sum, entry| sum.saturating_add(own(&entry.value)))
    }
}
