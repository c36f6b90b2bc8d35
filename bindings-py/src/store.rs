//! What an engine that keeps bytes has to write.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::store;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::python;
use crate::registry::Registry;

/// What an engine holds of a registry, and what it does not yet.
///
/// Ask `writes`, or `frame` for a file, after each change; write what it says; then call `written`, and only then acknowledge the change.
#[pyclass(frozen, module = "callboard")]
#[derive(Default)]
pub struct Store(Mutex<store::Store>);

impl Store {
    fn lock(&self) -> MutexGuard<'_, store::Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Store {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// The entries to write now, if any.
    fn writes<'py>(&self, py: Python<'py>, registry: &Bound<'py, Registry>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let writes = self.lock().writes(&registry.get().lock());
        writes.map(|writes| python::writes(py, &writes)).transpose()
    }

    /// Of the entries that an engine holds, the keys that go with a whole answer. What is not ours or cannot be read is not among them.
    #[staticmethod]
    fn leftovers(registry: &Bound<'_, Registry>, entries: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let read = crate::registry::entries(entries)?;
        Ok(store::leftovers(&registry.get().lock(), read))
    }

    /// The bytes to write to a file now, if any.
    fn frame<'py>(&self, py: Python<'py>, registry: &Bound<'py, Registry>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let frame = self.lock().frame(&registry.get().lock());
        frame.map(|frame| python::frame(py, frame.replace, PyBytes::new(py, &frame.bytes))).transpose()
    }

    /// The last answer is written, and will be there after a power cut.
    fn written(&self) {
        self.lock().written();
    }

    /// Nobody knows what the engine holds now: the next answer is whole.
    fn failed(&self) {
        self.lock().failed();
    }
}
