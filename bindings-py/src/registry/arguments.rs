//! What the methods of a registry are passed, read.

use callboard::model::{DEFAULT_NAMESPACE, Handle};
use callboard::registry::Config;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::clock;
use crate::convert::{document, payload, text, whole};
use crate::errors::Raise as _;

/// A namespace as an argument has it.
pub(super) fn namespace_of(namespace: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
    namespace.map_or_else(|| Ok(DEFAULT_NAMESPACE.to_owned()), |namespace| text(namespace, "namespace"))
}

/// An instance key as arguments have it.
pub(super) fn key(namespace: Option<&Bound<'_, PyAny>>, service: &Bound<'_, PyAny>, id: &Bound<'_, PyAny>) -> PyResult<[String; 3]> {
    Ok([namespace_of(namespace)?, text(service, "service")?, text(id, "id")?])
}

/// A handle as an argument has it.
pub fn handle_of(handle: &Bound<'_, PyAny>) -> PyResult<Handle> {
    let bits = whole(Some(handle), "handle")?.unwrap_or_default();
    Handle::from_bits(bits).raise(handle.py())
}

/// The settings of a registry. What the core cannot know the host fills in: a seed that nobody guesses, and an epoch
/// that is larger in each life.
pub(super) fn config(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Config> {
    let settings = document([], settings)?;
    let mut config = Config::from_value(&settings).raise(py)?;
    if settings.get("seed").is_none() {
        config.seed = clock::seed();
    }
    if settings.get("epoch").is_none() {
        config.epoch = clock::epoch();
    }
    Ok(config)
}

/// The entries of an engine: pairs of a key and its value.
pub fn entries(entries: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Vec<u8>)>> {
    let mut read = Vec::new();
    for entry in entries.try_iter()? {
        let (key, value): (String, Bound<'_, PyAny>) = entry?.extract()?;
        read.push((key, payload(&value, "entries")?.as_bytes().to_vec()));
    }
    Ok(read)
}
