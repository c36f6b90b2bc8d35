//! A registry of the core under a lock, and what may be asked of it without one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::model::Handle;
use callboard::registry as core;
use callboard::serve::{Room, Waits};
use callboard::{Error, Timestamp};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::cache::{Cache, Found};
use crate::errors::Raise as _;
use crate::listeners::{self, Listeners};

/// In place of a deadline: there is none, and no time is as late.
const NEVER: u64 = u64::MAX;
/// In place of a deadline: it has to be asked for, and every time is as late.
const UNKNOWN: u64 = 0;

/// Who is here now: registrations with their leases, other registries' listings, and every change in order.
///
/// Does no I/O. Every method that takes `now` reads the monotonic clock when none is passed: whole microseconds,
/// see `callboard.now()`. Safe to share between threads.
#[pyclass(frozen, weakref, module = "callboard")]
pub struct Registry {
    core: Mutex<core::Registry>,
    /// Copies for those who only ask whether there is something to do, such as a pick.
    revision: AtomicU64,
    deadline: AtomicU64,
    cache: Cache,
    pub(super) listeners: Listeners,
    /// Whom to tell of a change that concerns a long poll. Locked after the core.
    pub(super) waits: Mutex<Waits<Py<PyAny>>>,
    room: Mutex<Room>,
}

impl Registry {
    pub(super) fn holding(core: core::Registry) -> Self {
        let registry = Self {
            core: Mutex::new(core),
            revision: AtomicU64::new(0),
            deadline: AtomicU64::new(UNKNOWN),
            cache: Cache::default(),
            listeners: Listeners::default(),
            waits: Mutex::default(),
            room: Mutex::default(),
        };
        registry.publish(&registry.lock());
        registry
    }

    pub fn lock(&self) -> MutexGuard<'_, core::Registry> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The long polls that wait.
    pub fn waits(&self) -> MutexGuard<'_, Waits<Py<PyAny>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `respond` has in hand.
    pub fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision, without the lock.
    pub fn seen(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Whether time will ever do something.
    #[inline]
    pub fn is_timeless(&self) -> bool {
        self.deadline.load(Ordering::Acquire) == NEVER
    }

    /// Whether `advance` has something to do.
    #[inline]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.as_micros() >= self.deadline.load(Ordering::Acquire) && self.is_really_due(now)
    }

    #[cold]
    fn is_really_due(&self, now: Timestamp) -> bool {
        self.fresh_deadline(&self.lock()).is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn fresh_deadline(&self, core: &core::Registry) -> Option<Timestamp> {
        let deadline = core.deadline();
        self.deadline.store(deadline.map_or(NEVER, Timestamp::as_micros), Ordering::Release);
        deadline
    }

    /// Notes that there may be a new revision, and tells whether there is.
    fn publish(&self, core: &core::Registry) -> bool {
        self.revision.swap(core.revision(), Ordering::AcqRel) != core.revision()
    }

    /// The one way to change the registry: under the lock, then tells who listens.
    pub fn change<T>(
        &self,
        py: Python<'_>,
        now: Timestamp,
        act: impl FnOnce(&mut core::Registry, Timestamp) -> Result<T, Error>,
    ) -> PyResult<T> {
        // Asked for when it is needed: to find it costs more than most changes.
        self.renewal(py, now, |core, now| {
            let result = act(core, now);
            self.deadline.store(UNKNOWN, Ordering::Release);
            result
        })
    }

    /// A change that brings no deadline nearer.
    pub(super) fn renewal<T>(
        &self,
        py: Python<'_>,
        now: Timestamp,
        act: impl FnOnce(&mut core::Registry, Timestamp) -> Result<T, Error>,
    ) -> PyResult<T> {
        let (result, woken) = {
            let mut core = self.lock();
            let result = act(&mut core, now);
            (result, self.publish(&core).then(|| self.waits().woken(&core)))
        };
        if let Some(woken) = woken {
            listeners::call(py, woken);
            self.listeners.call(py);
        }
        result.raise(py)
    }

    /// What stands in an answer for a handle. Called under the lock of `core`; `Cache::object` makes the rest after it.
    pub fn find(&self, py: Python<'_>, core: &core::Registry, handle: Handle) -> Option<Found> {
        match self.cache.get(py, handle, core.instance_revision(handle)?, core.instance_incarnation(handle)?) {
            Some(object) => Some(Found::Object(object)),
            None => core.instance(handle).map(|record| Found::Record(Box::new(record))),
        }
    }

    /// The objects of what was found. Not to be called while a lock is held.
    pub fn objects<'py>(&self, py: Python<'py>, found: Vec<Found>) -> PyResult<Bound<'py, PyTuple>> {
        let objects = found.into_iter().map(|found| self.cache.object(py, found)).collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, objects)
    }

    /// The `Instance` of a handle; the same object for as long as the record does not change.
    pub fn object(&self, py: Python<'_>, handle: Handle) -> PyResult<Option<Py<PyAny>>> {
        let found = self.find(py, &self.lock(), handle);
        found.map(|found| self.cache.object(py, found)).transpose()
    }
}
