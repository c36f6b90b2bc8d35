//! The part of the package that is written in Python: exceptions and the classes of results.

use callboard::Value;
use callboard::registry::{Answer, Delta};
use callboard::store::Writes;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyModule, PyTuple, PyType};

use crate::convert;
use crate::registry::Registry;
use crate::serve::Wait;
use crate::view::View;

/// A module of the package, imported once.
fn module<'py>(py: Python<'py>, cell: &'static PyOnceLock<Py<PyModule>>, name: &str) -> PyResult<&'py Bound<'py, PyModule>> {
    cell.get_or_try_init(py, || py.import(name).map(Bound::unbind)).map(|module| module.bind(py))
}

/// A class of `callboard._errors`.
pub fn error_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    module(py, &ERRORS, "callboard._errors")?.getattr(name)
}

/// The base class of results, whose objects can stand wherever a document can.
pub fn document_class<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "callboard._types", "Document")
}

/// A class of `callboard._types`.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    module(py, &TYPES, "callboard._types")?.getattr(name)
}

/// Makes a result of a class of `callboard._types` from its document. Not to be called while a lock is held.
pub fn result<'py>(py: Python<'py>, name: &str, document: &Value) -> PyResult<Bound<'py, PyAny>> {
    class(py, name)?.call_method1("from_dict", (convert::object(py, document)?,))
}

/// An answer: the instances, where they stand and how far that can be trusted.
pub fn answer<'py>(py: Python<'py>, instances: Bound<'py, PyTuple>, answer: &Answer) -> PyResult<Bound<'py, PyAny>> {
    class(py, "Answer")?.call1((instances, answer.revision, answer.epoch, answer.rung, answer.stale, answer.protected))
}

/// What is different in a view.
pub fn delta<'py>(py: Python<'py>, added: Bound<'py, PyTuple>, updated: Bound<'py, PyTuple>, delta: &Delta) -> PyResult<Bound<'py, PyAny>> {
    let departed = class(py, "Departed")?;
    let removed = delta.removed.iter().map(|gone| departed.call1((gone.handle.to_bits(), &*gone.service, &*gone.id)));
    let removed = PyTuple::new(py, removed.collect::<PyResult<Vec<_>>>()?)?;
    let position = delta.position;
    class(py, "Delta")?.call1((added, updated, removed, position.epoch, position.revision, delta.reset, delta.rung))
}

/// Entries for an engine.
pub fn writes<'py>(py: Python<'py>, writes: &Writes) -> PyResult<Bound<'py, PyAny>> {
    let entries = PyTuple::new(py, writes.writes.iter().map(|write| (&*write.key, write.value.as_deref(), write.ttl)))?;
    class(py, "Writes")?.call1((writes.whole, entries, PyTuple::new(py, &writes.refresh)?))
}

/// Bytes for a file.
pub fn frame<'py>(py: Python<'py>, replace: bool, bytes: Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    class(py, "Frame")?.call1((replace, bytes))
}

/// A response of the HTTP API.
pub fn response<'py>(
    py: Python<'py>,
    status: u16,
    headers: &[(&str, String)],
    body: Bound<'py, PyBytes>,
    more: Option<Bound<'py, Wait>>,
) -> PyResult<Bound<'py, PyAny>> {
    let headers = PyTuple::new(py, headers.iter().map(|(name, value)| (*name, value.as_str())))?;
    class(py, "Response")?.call1((status, headers, body, more))
}

/// A view for asyncio.
pub fn watch<'py>(registry: &Bound<'py, Registry>, view: Bound<'py, View>) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(registry.py(), "callboard._watch", "Watch")?.call1((registry, view))
}
