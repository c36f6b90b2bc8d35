//! Other systems' payloads.

use callboard::formats::{self, Context, Format};
use callboard::model::DEFAULT_NAMESPACE;
use pyo3::prelude::*;

use crate::convert::{object, payload, text};
use crate::errors::Raise as _;

/// Reads a payload of another registry: the registrations, and what was not taken and why, as dicts.
#[pyfunction]
#[pyo3(signature = (body, format, *, namespace=None), text_signature = "(body, format, *, namespace='default')")]
pub fn decode<'py>(
    py: Python<'py>,
    body: &Bound<'py, PyAny>,
    format: &Bound<'py, PyAny>,
    namespace: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let format = Format::parse(&text(format, "format")?).raise(py)?;
    let namespace = namespace.map_or_else(|| Ok(DEFAULT_NAMESPACE.to_owned()), |namespace| text(namespace, "namespace"))?;
    let decoded = formats::decode(format, payload(body, "body")?.as_bytes(), &Context::new(&namespace)).raise(py)?;
    object(py, &decoded.to_value())
}
