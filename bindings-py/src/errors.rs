//! The one place where an error of the core becomes a Python exception.

use callboard::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::python;

/// The exception for an error: of the class its kind names, with the code, the field and the limit.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let build = || {
        let class = python::error_class(py, error.code().kind().class())?;
        class.call1((error.to_string(), error.code().as_str(), error.field(), error.limit_value()))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

/// `Result<T, Error>` to `PyResult<T>`.
pub trait Raise<T> {
    /// Raises the error.
    fn raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> Raise<T> for Result<T, Error> {
    fn raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}

/// Every error code with the name of the exception class that carries it.
#[pyfunction]
pub fn codes(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let codes = PyDict::new(py);
    Code::ALL.iter().try_for_each(|code| codes.set_item(code.as_str(), code.kind().class()))?;
    Ok(codes)
}
