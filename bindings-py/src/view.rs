//! `View`: what matches a query, and how it changes.

use std::sync::{Mutex, PoisonError};

use callboard::model::Handle;
use callboard::registry as core;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::errors::Raise as _;
use crate::python;
use crate::query::{Asked, Query};
use crate::registry::Registry;

/// The instances that match a query, followed change by change.
#[pyclass(frozen, module = "callboard")]
pub struct View {
    registry: Py<Registry>,
    core: Mutex<core::View>,
}

impl View {
    /// A view that has seen nothing yet.
    pub fn new(registry: &Bound<'_, Registry>, query: Asked) -> PyResult<Self> {
        let view = core::View::new(query.0).raise(registry.py())?;
        Ok(Self::of(registry, view))
    }

    /// A view of a registry.
    pub fn of(registry: &Bound<'_, Registry>, view: core::View) -> Self {
        Self { registry: registry.clone().unbind(), core: Mutex::new(view) }
    }
}

#[pymethods]
impl View {
    /// Who is asked for.
    #[getter]
    fn query(&self) -> Query {
        Query { inner: self.core.lock().unwrap_or_else(PoisonError::into_inner).query().clone() }
    }

    /// What is different since the last call; None when nothing is.
    fn poll<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let registry = self.registry.get();
        let (delta, added, updated) = {
            let mut view = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            let core = registry.lock();
            let Some(delta) = view.poll(&core) else { return Ok(None) };
            let found = |handles: &[Handle]| handles.iter().filter_map(|handle| registry.find(py, &core, *handle)).collect::<Vec<_>>();
            let (added, updated) = (found(&delta.added), found(&delta.updated));
            (delta, added, updated)
        };
        python::delta(py, registry.objects(py, added)?, registry.objects(py, updated)?, &delta).map(Some)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.registry)
    }
}
