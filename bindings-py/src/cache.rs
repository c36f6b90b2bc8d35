//! Python objects by handle: an instance that did not change is the same object each time, and costs nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::model::{Handle, Instance};
use pyo3::prelude::*;

use crate::python;

/// The object of a record, and what tells whether it is still good.
struct Entry {
    handle: Handle,
    revision: u64,
    incarnation: u64,
    object: Py<PyAny>,
}

/// One entry a slot of the registry, made when first asked for; a slot that is used again replaces it.
#[derive(Default)]
pub struct Cache(Mutex<Vec<Option<Entry>>>);

/// A place in an answer: an object that is there, or the record to make one of.
pub enum Found {
    /// It is there.
    Object(Py<PyAny>),
    /// It is to be made of the record.
    Record(Box<Instance>),
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of a handle whose record is at `revision` and of `incarnation`.
    pub fn get(&self, py: Python<'_>, handle: Handle, revision: u64, incarnation: u64) -> Option<Py<PyAny>> {
        let entries = self.lock();
        let entry = entries.get(handle.slot() as usize)?.as_ref()?;
        let same = entry.handle == handle && entry.revision == revision && entry.incarnation == incarnation;
        same.then(|| entry.object.clone_ref(py))
    }

    /// The object for a place in an answer. Not to be called while a lock is held.
    pub fn object(&self, py: Python<'_>, found: Found) -> PyResult<Py<PyAny>> {
        let record = match found {
            Found::Object(object) => return Ok(object),
            Found::Record(record) => record,
        };
        let object = python::result(py, "Instance", &record.to_value())?.unbind();
        let (handle, revision, incarnation) = (record.handle, record.revision, record.registration.incarnation);
        let entry = Entry { handle, revision, incarnation, object: object.clone_ref(py) };
        // What was there is dropped after the lock: its end may run Python code.
        let _old = self.put(entry);
        Ok(object)
    }

    fn put(&self, entry: Entry) -> Option<Entry> {
        let (mut entries, slot) = (self.lock(), entry.handle.slot() as usize);
        if entries.len() <= slot {
            entries.resize_with(slot + 1, || None);
        }
        entries.get_mut(slot)?.replace(entry)
    }
}
