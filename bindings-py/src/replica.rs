//! Several servers over one engine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::store::replica::{self, Settings};
use callboard::{Error, Timestamp};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::clock::{self, Time};
use crate::convert::{document, payload};
use crate::errors::Raise as _;
use crate::python;
use crate::registry::Registry;

/// A registry's part in an etcd that several servers share: `Replica(prefix="callboard/", queue=0)`.
#[pyclass(frozen, module = "callboard")]
pub struct Replica(Mutex<replica::Replica>);

impl Replica {
    fn lock(&self) -> MutexGuard<'_, replica::Replica> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        registry: &Bound<'_, Registry>,
        now: Option<Time>,
        act: impl FnOnce(&mut replica::Replica, &mut callboard::registry::Registry, Timestamp) -> Result<T, Error>,
    ) -> PyResult<T> {
        registry.get().change(registry.py(), clock::at(now), |core, now| act(&mut self.lock(), core, now))
    }
}

#[pymethods]
impl Replica {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let settings = Settings::from_value(&document([], settings)?).raise(py)?;
        Ok(Self(Mutex::new(replica::Replica::new(settings))))
    }

    /// Whether what the registry says may be behind what other servers know.
    #[getter]
    fn stale(&self) -> bool {
        self.lock().is_stale()
    }

    /// When `ask` has a question next, if nothing changes before.
    #[getter]
    fn deadline(&self) -> Option<u64> {
        self.lock().deadline().map(Timestamp::as_micros)
    }

    /// What became of all changes up to an edition of the registry.
    fn fate(&self, edition: u64) -> &'static str {
        self.lock().fate(edition).as_str()
    }

    /// What to follow the others with.
    fn follow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ask = self.lock().follow();
        python::result(py, "Ask", &ask.to_value())
    }

    /// The next question about what there is to say, if any.
    #[pyo3(signature = (registry, *, now=None))]
    fn ask<'py>(&self, registry: &Bound<'py, Registry>, now: Option<Time>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let ask = self.with(registry, now, |replica, core, now| Ok(replica.ask(core, now)))?;
        ask.map(|ask| python::result(registry.py(), "Ask", &ask.to_value())).transpose()
    }

    /// Takes the answer to the last question.
    #[pyo3(signature = (registry, body, *, now=None))]
    fn answer<'py>(&self, registry: &Bound<'py, Registry>, body: &Bound<'py, PyAny>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let body = payload(body, "body")?;
        let told = self.with(registry, now, |replica, core, now| replica.answer(core, body.as_bytes(), now))?;
        python::result(registry.py(), "Told", &told.to_value())
    }

    /// There was no answer to the last question, or none in time.
    #[pyo3(signature = (registry, *, now=None))]
    fn failed(&self, registry: &Bound<'_, Registry>, now: Option<Time>) -> PyResult<()> {
        self.with(registry, now, |replica, core, now| {
            replica.failed(core, now);
            Ok(())
        })
    }

    /// Takes a body or a line that `follow` was answered with.
    #[pyo3(signature = (registry, body, *, now=None))]
    fn push<'py>(&self, registry: &Bound<'py, Registry>, body: &Bound<'py, PyAny>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let body = payload(body, "body")?;
        let told = self.with(registry, now, |replica, core, now| replica.push(core, body.as_bytes(), now))?;
        python::result(registry.py(), "Told", &told.to_value())
    }

    /// The stream, or the question for it, ended.
    #[pyo3(signature = (registry, *, now=None))]
    fn lost(&self, registry: &Bound<'_, Registry>, now: Option<Time>) -> PyResult<()> {
        self.with(registry, now, |replica, core, now| {
            replica.lost(core, now);
            Ok(())
        })
    }
}
