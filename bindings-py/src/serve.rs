//! callboard's HTTP API as plain calls: the host brings the socket.

use std::sync::{Mutex, PoisonError};

use callboard::serve::{self, Reply, Request, Response};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::clock::{self, Time};
use crate::convert::{payload, text};
use crate::python;
use crate::registry::Registry;

/// Answers a request: `Registry.handle`.
pub fn handle<'py>(registry: &Bound<'py, Registry>, parts: [&Bound<'py, PyAny>; 4], now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
    let [method, path, query, body] = parts;
    let (method, path, query, body) = (text(method, "method")?, text(path, "path")?, text(query, "query")?, payload(body, "body")?);
    let request = Request { method: &method, path: &path, query: &query, body: body.as_bytes() };
    let reply = registry.get().change(registry.py(), clock::at(now), |core, now| Ok(serve::handle(core, &request, now)))?;
    match reply {
        Reply::Response(response) => respond(registry.py(), &response),
        Reply::Wait(core) => {
            let wait = Wait { registry: registry.clone().unbind(), until: core.until.as_micros(), core: Mutex::new(core) };
            Ok(Bound::new(registry.py(), wait)?.into_any())
        }
    }
}

fn respond<'py>(py: Python<'py>, response: &Response) -> PyResult<Bound<'py, PyAny>> {
    python::response(py, response.status, &response.headers, PyBytes::new(py, &response.body))
}

/// A request that has no answer yet: a long poll.
#[pyclass(frozen, module = "callboard")]
pub struct Wait {
    registry: Py<Registry>,
    /// When it is answered all the same, in microseconds.
    #[pyo3(get)]
    until: u64,
    core: Mutex<serve::Wait>,
}

#[pymethods]
impl Wait {
    /// Asks again: when the registry's revision has changed, and at the latest at `until`. Gives the response, or this
    /// object when there is still none.
    #[pyo3(signature = (*, now=None))]
    fn resume<'py>(slf: &Bound<'py, Self>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let (wait, py) = (slf.get(), slf.py());
        let waiting = wait.core.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match wait.registry.get().change(py, clock::at(now), |core, now| Ok(serve::resume(core, waiting, now)))? {
            Reply::Response(response) => respond(py, &response),
            Reply::Wait(core) => {
                *wait.core.lock().unwrap_or_else(PoisonError::into_inner) = core;
                Ok(slf.clone().into_any())
            }
        }
    }

    fn __repr__(&self) -> String {
        format!("<Wait until={}>", self.until)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.registry)
    }
}
