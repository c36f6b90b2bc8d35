//! What is told of a call: before it, what it asks for, and after it, what became of it.

use callboard::Value;
use callboard::balance::{Outcome, Request};
use callboard::model::Handle;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use crate::balance::Pick;
use crate::convert::{self, Payload, document, pairs, payload, text, value};
use crate::errors::Raise as _;
use crate::registry::handle_of;

/// What a call asks for, as it stands in the arguments.
#[derive(Clone, Copy)]
pub struct Call<'a, 'py> {
    pub key: Option<&'a Bound<'py, PyAny>>,
    pub exclude: Option<&'a Bound<'py, PyAny>>,
    pub labels: Option<&'a Bound<'py, PyAny>>,
    pub prefer: Option<&'a Bound<'py, PyAny>>,
}

impl Call<'_, '_> {
    /// Answers the request.
    #[inline]
    pub fn answer<T>(self, py: Python<'_>, answer: impl FnOnce(&Request<'_>) -> PyResult<T>) -> PyResult<T> {
        if let Self { key: None, exclude: None, labels: None, prefer: None } = self {
            return answer(&Request::default());
        }
        self.answer_in_full(py, answer)
    }

    #[inline(never)]
    fn answer_in_full<T>(self, py: Python<'_>, answer: impl FnOnce(&Request<'_>) -> PyResult<T>) -> PyResult<T> {
        let key = self.key.map(|key| payload(key, "key")).transpose()?;
        let exclude = excluded(self.exclude)?;
        let labels = self.labels.map(|labels| value(labels, "labels")).transpose()?;
        let labels = labels.as_ref().map_or_else(|| Ok(Vec::new()), Request::read_labels).raise(py)?;
        let prefer = self.prefer.map(|prefer| value(prefer, "prefer")).transpose()?;
        let prefer = prefer.as_ref().map_or_else(|| Ok(Vec::new()), Request::read_prefer).raise(py)?;
        answer(&Request { key: key.as_ref().map(Payload::as_bytes), exclude: &exclude, labels: &labels, prefer: &prefer })
    }
}

/// Handles to exclude: numbers, instances or picks, in any iterable.
fn excluded(exclude: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Handle>> {
    let Some(exclude) = exclude else { return Ok(Vec::new()) };
    let py = exclude.py();
    let items = exclude
        .try_iter()
        .or_else(|_| Err(convert::expected(py, "handles or instances", &exclude.get_type().name()?.to_string(), "exclude")))?;
    let mut handles = Vec::new();
    for item in items {
        handles.push(meant(item?)?);
        // One more than the core takes: it says which limit that is.
        if handles.len() > callboard::limits::EXCLUDED {
            break;
        }
    }
    Ok(handles)
}

/// The handle of an instance or a pick, or the handle itself.
pub fn meant(one: Bound<'_, PyAny>) -> PyResult<Handle> {
    let py = one.py();
    let handle = match one.cast::<Pick>() {
        Ok(pick) => pick.get().instance.bind(py).getattr(intern!(py, "handle"))?,
        Err(_) => one.getattr_opt(intern!(py, "handle"))?.unwrap_or(one),
    };
    handle_of(&handle)
}

pub fn outcome(ok: Option<&Bound<'_, PyAny>>, latency: Option<&Bound<'_, PyAny>>, rest: Option<&Bound<'_, PyDict>>) -> PyResult<Outcome> {
    if let Some(rest) = rest {
        let (Value::Map(mut all), Value::Map(more)) = (pairs([("ok", ok), ("latency", latency)])?, document([], Some(rest))?) else {
            return Ok(Outcome::default());
        };
        all.extend(more.into_iter().filter(|(_, value)| *value != Value::Null));
        return Outcome::from_value(&Value::Map(all)).raise(rest.py());
    }
    let truth = ok.map_or(Some(true), |ok| ok.cast::<PyBool>().ok().map(|ok| ok.is_true()));
    match (truth, ok, latency) {
        (Some(ok), _, None) => Ok(Outcome::new(ok, None)),
        (_, Some(any), _) | (_, _, Some(any)) => Outcome::from_value(&pairs([("ok", ok), ("latency", latency)])?).raise(any.py()),
        (None, None, None) => Ok(Outcome::default()),
    }
}

/// Whether a call by an HTTP method, or of a gRPC method of that idempotency level, that ended so may be made again, by another instance.
#[pyfunction]
#[pyo3(signature = (method, **outcome), text_signature = "(method, *, kind=None, status=None, grpc_status=None)")]
pub fn is_repeatable(method: &Bound<'_, PyAny>, outcome: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    Ok(callboard::balance::is_repeatable(&text(method, "method")?, &self::outcome(None, None, outcome)?))
}
