//! The objects a balancer hands out, beside what picks them: a pick finds its object without another lock.

use callboard::model::Handle;
use pyo3::prelude::*;

/// Objects by handle: open addressing, filled as instances are picked, emptied when the view changes.
#[derive(Default)]
pub struct Table {
    /// A power of two of places, at most three quarters of them taken; or none at all.
    places: Vec<Option<(Handle, Py<PyAny>)>>,
    taken: usize,
    /// How often it was emptied.
    generation: u64,
}

impl Table {
    /// Where to look for a handle first. Slots are dense, so their product with an odd number is spread well.
    #[inline]
    fn first(&self, handle: Handle) -> usize {
        let spread = u64::from(handle.slot()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        spread as usize & self.places.len().wrapping_sub(1)
    }

    /// The object of a handle.
    #[inline]
    pub fn get(&self, py: Python<'_>, handle: Handle) -> Option<Py<PyAny>> {
        let mut at = self.first(handle);
        // Ends at a place that is free: there always is one.
        while let Some((other, object)) = self.places.get(at)? {
            if *other == handle {
                return Some(object.clone_ref(py));
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        None
    }

    /// Names what the table holds now; another after it was emptied.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Keeps an object that was found while the table was of `generation`. What is not kept comes back, to be dropped
    /// after the lock.
    pub fn put(&mut self, handle: Handle, object: Py<PyAny>, generation: u64) -> Option<Py<PyAny>> {
        if generation != self.generation {
            return Some(object);
        }
        if (self.taken + 1) * 4 > self.places.len() * 3 {
            let size = (self.places.len() * 2).max(8);
            let old = std::mem::replace(&mut self.places, (0..size).map(|_| None).collect());
            old.into_iter().flatten().for_each(|(handle, object)| drop(self.place(handle, object)));
        }
        let refused = self.place(handle, object);
        self.taken += usize::from(refused.is_none());
        refused
    }

    fn place(&mut self, handle: Handle, object: Py<PyAny>) -> Option<Py<PyAny>> {
        let mut at = self.first(handle);
        while let Some(Some((other, _))) = self.places.get(at) {
            if *other == handle {
                return Some(object);
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some((handle, object));
        }
        None
    }

    /// Empties it. What was in it comes back, to be dropped after the lock.
    pub fn empty(&mut self) -> impl Drop + use<> {
        self.generation += 1;
        self.taken = 0;
        std::mem::take(&mut self.places)
    }
}
