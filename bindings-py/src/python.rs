//! The part of the package that is written in Python: exceptions and the classes of results.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyModule, PyType};

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

/// Makes a result from its document: an object of the class of `callboard._types`.
pub fn result<'py>(py: Python<'py>, class: &str, document: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    module(py, &TYPES, "callboard._types")?.getattr(class)?.call_method1("_read", (document,))
}
