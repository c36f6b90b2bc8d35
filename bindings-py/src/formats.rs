//! Other systems' payloads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::formats::{self as core, Context, FeedConfig, Format, Transport};
use callboard::model::DEFAULT_NAMESPACE;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::clock::{self, Time};
use crate::convert::{document, object, pairs, payload, text, value};
use crate::errors::Raise as _;
use crate::python::result;
use crate::registry::Registry;

/// Reads a payload of another registry: the registrations, and what was not taken and why, as dicts.
#[pyfunction]
#[pyo3(signature = (body, format, *, namespace=None, service=None), text_signature = "(body, format, *, namespace='default', service=None)")]
pub fn decode<'py>(
    py: Python<'py>,
    body: &Bound<'py, PyAny>,
    format: &Bound<'py, PyAny>,
    namespace: Option<&Bound<'py, PyAny>>,
    service: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let format = Format::parse(&text(format, "format")?).raise(py)?;
    let namespace = namespace.map_or_else(|| Ok(DEFAULT_NAMESPACE.to_owned()), |namespace| text(namespace, "namespace"))?;
    let service = service.map(|service| text(service, "service")).transpose()?;
    let context = Context { service: service.as_deref(), ..Context::new(&namespace) };
    object(py, &core::decode(format, payload(body, "body")?.as_bytes(), &context).raise(py)?.to_value())
}

/// Writes registrations, as `decode` has them, as another registry says them.
#[pyfunction]
#[pyo3(signature = (format, instances))]
pub fn encode<'py>(py: Python<'py>, format: &Bound<'py, PyAny>, instances: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let format = Format::parse(&text(format, "format")?).raise(py)?;
    let bytes = core::encode_value(format, &value(instances, "instances")?).raise(py)?;
    Ok(PyBytes::new(py, &bytes))
}

/// Follows one source: tells what to ask, and takes what is answered.
#[pyclass(frozen, module = "callboard")]
pub struct Feed {
    core: Mutex<core::Feed>,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, core::Feed> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Feed {
    #[new]
    #[pyo3(
        signature = (source, **scope),
        text_signature = "(source, *, format, namespace='default', service=None, seed=0, client='', interval=None, wait=60)"
    )]
    fn new(py: Python<'_>, source: &Bound<'_, PyAny>, scope: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let config = FeedConfig::from_value(&document([("source", source)], scope)?).raise(py)?;
        Ok(Self { core: Mutex::new(core::Feed::new(config).raise(py)?) })
    }

    /// What to ask next.
    #[getter]
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.lock().upcoming().to_value();
        result(py, "Next", &next)
    }

    /// Takes an answer. What is wrong with it is told in `problem`, and changes nothing but when to ask again.
    #[pyo3(
        signature = (registry, body, *, status=None, headers=None, complete=None, now=None),
        text_signature = "($self, registry, body, *, status=200, headers=None, complete=True, now=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn push<'py>(
        &self,
        py: Python<'py>,
        registry: &Bound<'py, Registry>,
        body: &Bound<'py, PyAny>,
        status: Option<&Bound<'py, PyAny>>,
        headers: Option<&Bound<'py, PyAny>>,
        complete: Option<&Bound<'py, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let transport = pairs([("status", status), ("headers", headers), ("complete", complete)])?;
        let transport = Transport::from_value(&transport).raise(py)?;
        let body = payload(body, "body")?;
        let act = |core: &mut _, now| Ok(transport.push(&mut self.lock(), core, body.as_bytes(), now));
        let fed = registry.get().change(py, clock::at(now), act)?;
        result(py, "Fed", &fed.to_value())
    }

    /// Notes that a question had no answer: no connection, a time-out. Gives what to ask next.
    #[pyo3(signature = (*, now=None))]
    fn failed<'py>(&self, py: Python<'py>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let next = self.lock().failed(clock::at(now)).to_value();
        result(py, "Next", &next)
    }

    fn __repr__(&self) -> String {
        let feed = self.lock();
        let config = feed.config();
        format!("<callboard.Feed of {:?} in {}>", config.source, config.format.name())
    }
}
