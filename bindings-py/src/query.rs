//! `Query`: who is asked for.

use callboard::model::Registration;
use callboard::{Value, query};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::convert::{self, Document};
use crate::errors::Raise as _;

/// Who is asked for: the instances of a service of which every condition holds.
///
/// Parsed once; immutable, hashable, picklable. Without a service it asks for every service of the namespace.
#[pyclass(frozen, eq, module = "callboard")]
#[derive(PartialEq)]
pub struct Query {
    pub inner: query::Query,
}

impl Query {
    fn document<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::object(py, &self.inner.to_value())
    }

    fn field<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        convert::object(py, self.inner.to_value().get(name).unwrap_or(&Value::Null))
    }
}

/// A query as an argument: a `Query`, the name of a service, or a query document.
pub struct Asked(pub query::Query);

impl<'a, 'py> FromPyObject<'a, 'py> for Asked {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(query) = object.cast::<Query>() {
            return Ok(Self(query.get().inner.clone()));
        }
        let document = match convert::value(&object, "")? {
            service @ Value::Text(_) => Value::map([("service", service)]),
            document => document,
        };
        query::Query::from_value(&document).raise(object.py()).map(Self)
    }
}

#[pymethods]
impl Query {
    #[new]
    #[pyo3(
        signature = (service=None, **conditions),
        text_signature = "(service=None, *, namespace='default', health='serving', version=None, selector=None, locality=None, tags=(), limit=None, fallbacks=())"
    )]
    fn new(py: Python<'_>, service: Option<Bound<'_, PyAny>>, conditions: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let service = service.unwrap_or_else(|| py.None().into_bound(py));
        let document = convert::document([("service", &service)], conditions)?;
        query::Query::from_value(&document).raise(py).map(|inner| Self { inner })
    }

    /// Reads a query document, such as `to_dict` writes.
    #[staticmethod]
    fn from_dict(py: Python<'_>, document: Document) -> PyResult<Self> {
        query::Query::from_value(&document.0).raise(py).map(|inner| Self { inner })
    }

    /// The query as a document.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.document(py)
    }

    /// Whether an instance registered so would be found: a registration document.
    fn matches(&self, py: Python<'_>, registration: Document) -> PyResult<bool> {
        let registration = Registration::from_value(&registration.0).raise(py)?;
        Ok(self.inner.compile().raise(py)?.matches(&registration))
    }

    /// The namespace.
    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "namespace")
    }

    /// The service; None for every service of the namespace.
    #[getter]
    fn service<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "service")
    }

    /// The least availability.
    #[getter]
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "health")
    }

    /// The range of versions.
    #[getter]
    fn version<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "version")
    }

    /// The selector, as the parser prints it.
    #[getter]
    fn selector<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, "selector")
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.__repr__(py)?.into_pyobject(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let document = self.inner.to_value();
        let mut parts = vec![self.service(py)?.repr()?.to_string()];
        for (name, value) in document.as_map().unwrap_or_default().iter().filter(|(name, _)| name != "service") {
            parts.push(format!("{name}={}", convert::object(py, value)?.repr()?));
        }
        Ok(format!("Query({})", parts.join(", ")))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let read = py.get_type::<Self>().getattr("from_dict")?;
        Ok((read, PyTuple::new(py, [self.document(py)?])?))
    }
}
