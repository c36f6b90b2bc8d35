//! Who wants to know that the registry changed: Python callables, called after the change, outside every lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

#[derive(Default)]
struct Table {
    next: u64,
    entries: Vec<(u64, Py<PyAny>)>,
}

/// The callables, by the number that takes each off again.
#[derive(Default)]
pub struct Listeners {
    /// Whether there is any: spares the lock of a registry nobody waits for.
    any: AtomicBool,
    table: Mutex<Table>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; the number takes it off.
    pub fn add(&self, callable: Py<PyAny>) -> u64 {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        table.entries.push((number, callable));
        self.any.store(true, Ordering::Release);
        number
    }

    /// Takes one off, and lets it go after the lock.
    pub fn remove(&self, number: u64) -> Option<Py<PyAny>> {
        let mut table = self.lock();
        let at = table.entries.iter().position(|(other, _)| *other == number)?;
        let (_, callable) = table.entries.remove(at);
        self.any.store(!table.entries.is_empty(), Ordering::Release);
        Some(callable)
    }

    /// Calls each.
    pub fn call(&self, py: Python<'_>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let callables = self.lock().entries.iter().map(|(_, callable)| callable.clone_ref(py)).collect();
        call(py, callables);
    }

    /// Shows the callables to the garbage collector: a waiting task refers to the registry it waits for.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The collector runs in any thread; a table in use is alive.
        let Ok(table) = self.table.try_lock() else { return Ok(()) };
        table.entries.iter().try_for_each(|(_, callable)| visit.call(callable))
    }

    /// Lets go of all.
    pub fn clear(&self) -> Vec<(u64, Py<PyAny>)> {
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut self.lock().entries)
    }
}

/// Calls each. One that raises concerns its owner, not the caller who changed the registry.
pub fn call(py: Python<'_>, callables: Vec<Py<PyAny>>) {
    for callable in callables {
        if let Err(error) = callable.call0(py) {
            error.write_unraisable(py, Some(callable.bind(py)));
        }
    }
}
