//! The protocols as plain calls: the host brings the socket.

use std::sync::{Arc, Mutex, PoisonError};

use callboard::serve::{self, Reply, Request, Response};
use callboard::{Code, Error, limits};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::clock::{self, Time};
use crate::convert::{document, payload, text, whole};
use crate::errors::Raise as _;
use crate::python;
use crate::registry::{Registry, handle_of};

/// Under which names the protocols serve, and to whom: `Server(namespace="default", datacenter="dc1", node="callboard", domain="callboard",
/// dns_ttl=5, secret=None, policy=None, bounds=None)`.
#[pyclass(frozen, module = "callboard")]
pub struct Server(Arc<serve::Server>);

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self(Arc::new(serve::Server::from_value(&document([], settings)?).raise(py)?)))
    }
}

/// The server that is meant: one as it is by default when none is named. A policy may be large, and is not copied.
fn meant(server: Option<&Bound<'_, Server>>) -> Arc<serve::Server> {
    server.map(|server| Arc::clone(&server.get().0)).unwrap_or_default()
}

/// A request as it is given: what is text, and its headers.
pub struct Given<'a, 'py> {
    pub texts: [&'a Bound<'py, PyAny>; 4],
    pub headers: Option<&'a Bound<'py, PyAny>>,
    pub peer: Option<String>,
    pub principal: Option<String>,
    pub server: Option<&'a Bound<'py, Server>>,
}

/// Answers a request: `Registry.handle`.
pub fn handle<'py>(registry: &Bound<'py, Registry>, given: &Given<'_, 'py>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
    let [method, path, query, body] = given.texts;
    let (method, path, query, body) = (text(method, "method")?, text(path, "path")?, text(query, "query")?, payload(body, "body")?);
    let headers = given.headers.map_or_else(|| Ok(Vec::new()), read_headers)?;
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let peer = given.peer.as_deref().unwrap_or_default();
    let principal = given.principal.as_deref().unwrap_or_default();
    let request = Request { method: &method, path: &path, query: &query, headers: &headers, body: body.as_bytes(), peer, principal };
    let server = meant(given.server);
    let reply = registry.get().change(registry.py(), clock::at(now), |core, now| Ok(server.handle(core, &request, now)))?;
    let wait = |core| Bound::new(registry.py(), Wait { registry: registry.clone().unbind(), server, core: Mutex::new(core) });
    match reply {
        Reply::Response(response) => respond(registry.py(), &response, None),
        Reply::Stream(response, core) => respond(registry.py(), &response, Some(wait(core)?)),
        Reply::Wait(core) => Ok(wait(core)?.into_any()),
    }
}

/// The headers of a request: pairs of strings, one after the other, as what is given may lie about its length.
fn read_headers(given: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for pair in given.try_iter()? {
        if headers.len() >= limits::DOCUMENT_NODES {
            return Err(Error::new(Code::LimitExceeded, "headers").limit(limits::DOCUMENT_NODES as u64)).raise(given.py());
        }
        headers.push(pair?.extract()?);
    }
    Ok(headers)
}

/// Whether a request only says that somebody is still there.
#[pyfunction]
#[pyo3(signature = (method, path, query=None), text_signature = "(method, path, query='')")]
pub fn is_heartbeat(method: &Bound<'_, PyAny>, path: &Bound<'_, PyAny>, query: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let (method, path) = (text(method, "method")?, text(path, "path")?);
    let query = query.map_or_else(|| Ok(String::new()), |query| text(query, "query"))?;
    Ok(Request { method: &method, path: &path, query: &query, ..Request::default() }.is_heartbeat())
}

/// What goes into `x-callboard-proof`: that whoever sends a request holds the token of an instance.
#[pyfunction]
#[pyo3(
    signature = (token, verb, epoch, handle, sequence, *, query=None, body=None),
    text_signature = "(token, verb, epoch, handle, sequence, *, query='', body=b'')"
)]
#[allow(clippy::too_many_arguments)]
pub fn proof(
    py: Python<'_>,
    token: &Bound<'_, PyAny>,
    verb: &Bound<'_, PyAny>,
    epoch: &Bound<'_, PyAny>,
    handle: &Bound<'_, PyAny>,
    sequence: &Bound<'_, PyAny>,
    query: Option<&Bound<'_, PyAny>>,
    body: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let (token, verb) = (text(token, "token")?, text(verb, "verb")?);
    let query = query.map_or_else(|| Ok(String::new()), |query| text(query, "query"))?;
    let body = body.map(|body| payload(body, "body")).transpose()?;
    let body = body.as_ref().map_or(&b""[..], |body| body.as_bytes());
    serve::token::proof(
        &token,
        &verb,
        whole(Some(epoch), "epoch")?.unwrap_or_default(),
        handle_of(handle)?,
        whole(Some(sequence), "sequence")?.unwrap_or_default(),
        &query,
        body,
    )
    .raise(py)
}

/// Answers a message of DNS: `Registry.answer_dns`.
pub fn answer_dns<'py>(
    registry: &Bound<'py, Registry>,
    message: &Bound<'py, PyAny>,
    udp: bool,
    server: Option<&Bound<'py, Server>>,
    now: Option<Time>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let message = payload(message, "message")?;
    let server = meant(server);
    let answer =
        registry.get().change(registry.py(), clock::at(now), |core, now| Ok(server.answer_dns(core, message.as_bytes(), udp, now)))?;
    Ok(answer.map(|answer| PyBytes::new(registry.py(), &answer)))
}

fn respond<'py>(py: Python<'py>, response: &Response, more: Option<Bound<'py, Wait>>) -> PyResult<Bound<'py, PyAny>> {
    python::response(py, response.status, &response.headers, PyBytes::new(py, &response.body), more)
}

/// Lets a request in: `Registry._enter`.
pub fn enter<'py>(registry: &Bound<'py, Registry>, server: Option<&Bound<'py, Server>>) -> PyResult<Bound<'py, PyAny>> {
    let (py, server) = (registry.py(), meant(server));
    let entered = registry.get().room().enter(server.bounds());
    match entered {
        Ok(core) => Ok(Bound::new(py, Place { registry: registry.clone().unbind(), server, core: Mutex::new(Some(core)) })?.into_any()),
        Err(refusal) => respond(py, &refusal, None),
    }
}

/// The place of a request among those that are in hand.
#[pyclass(frozen, module = "callboard._native")]
pub struct Place {
    registry: Py<Registry>,
    server: Arc<serve::Server>,
    /// None when it was given back.
    core: Mutex<Option<serve::Place>>,
}

#[pymethods]
impl Place {
    /// Seconds that the body may take.
    #[getter]
    fn patience(&self) -> f64 {
        self.server.bounds().patience.as_secs_f64()
    }

    /// Nothing when so many bytes of the body may be held, or what the request is refused with.
    fn take<'py>(&self, py: Python<'py>, bytes: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let refused = {
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            core.as_mut().and_then(|core| self.registry.get().room().take(self.server.bounds(), core, bytes).err())
        };
        refused.map(|refusal| respond(py, &refusal, None)).transpose()
    }

    /// The body was read.
    fn read(&self) {
        if let Some(core) = self.core.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            self.registry.get().room().read(core);
        }
    }

    fn leave(&self) {
        if let Some(core) = self.core.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.registry.get().room().leave(core);
        }
    }

    /// What a body is refused with that did not come in time.
    #[staticmethod]
    fn late(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        respond(py, &Response::late(), None)
    }

    /// What a body is refused with of which only a part came.
    #[staticmethod]
    fn cut(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        respond(py, &Response::cut(), None)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.registry)
    }
}

/// A request that has no answer yet, a long poll, or none that is complete, a stream.
#[pyclass(frozen, module = "callboard")]
pub struct Wait {
    registry: Py<Registry>,
    server: Arc<serve::Server>,
    core: Mutex<serve::Wait>,
}

#[pymethods]
impl Wait {
    /// When to ask again all the same, in microseconds.
    #[getter]
    fn until(&self) -> u64 {
        self.core.lock().unwrap_or_else(PoisonError::into_inner).until.as_micros()
    }

    /// Asks again: when something has changed that it is about, and at the latest at `until`. Gives the response, or the next piece of one, or this
    /// object when there is still none.
    #[pyo3(signature = (*, now=None))]
    fn resume<'py>(slf: &Bound<'py, Self>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let (wait, py) = (slf.get(), slf.py());
        let waiting = wait.core.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reply = wait.registry.get().change(py, clock::at(now), |core, now| Ok(wait.server.resume(core, waiting, now)))?;
        let keep = |core| *wait.core.lock().unwrap_or_else(PoisonError::into_inner) = core;
        match reply {
            Reply::Response(response) => respond(py, &response, None),
            Reply::Stream(response, core) => {
                keep(core);
                respond(py, &response, Some(slf.clone()))
            }
            Reply::Wait(core) => {
                keep(core);
                Ok(slf.clone().into_any())
            }
        }
    }

    /// What it is refused with when there is no room for one more that waits.
    fn _refused<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let refused = self.registry.get().waits().refuses(&self.server);
        refused.map(|refusal| respond(py, &refusal, None)).transpose()
    }

    /// Calls `callable` once, from the thread that changes what it waits for, unless `_unlisten` gets the number before. None when that
    /// has changed already.
    fn _listen(&self, callable: Py<PyAny>) -> Option<u64> {
        let registry = self.registry.get();
        let core = registry.lock();
        let wait = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        registry.waits().add(&core, &wait, callable)
    }

    fn _unlisten(&self, number: u64) {
        // Dropped here, after the lock.
        let _callable = self.registry.get().waits().remove(number);
    }

    fn __repr__(&self) -> String {
        format!("<Wait until={}>", self.until())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.registry)
    }
}
