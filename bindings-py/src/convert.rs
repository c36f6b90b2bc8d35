//! Python objects ↔ the core's documents. Nothing here knows a field of a document.

use std::borrow::Cow;

use callboard::{Code, Error, Value, limits};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use crate::errors::raised;
use crate::python;
use crate::query::Query;

/// What an argument may hold until one of its limits is met: a deep or endless object costs no more than a document.
struct Budget {
    nodes: usize,
}

/// Reads a document. `field` is where it stands, empty at the top.
pub fn value(object: &Bound<'_, PyAny>, field: &str) -> PyResult<Value> {
    Budget { nodes: limits::DOCUMENT_NODES }.read(object, 0).map_err(|trouble| trouble.raise(object.py(), field))
}

/// Reads keyword arguments as one document, with arguments that stand before them put first.
pub fn document<const N: usize>(first: [(&str, &Bound<'_, PyAny>); N], rest: Option<&Bound<'_, PyDict>>) -> PyResult<Value> {
    let mut pairs = Vec::new();
    for (name, object) in first {
        pairs.push((name.to_owned(), value(object, name)?));
    }
    if let Some(rest) = rest
        && let Value::Map(rest) = value(rest.as_any(), "")?
    {
        pairs.extend(rest);
    }
    Ok(Value::Map(pairs))
}

/// Reads arguments as one document, without those that were not given.
pub fn pairs<const N: usize>(arguments: [(&str, Option<&Bound<'_, PyAny>>); N]) -> PyResult<Value> {
    let given = arguments.into_iter().filter_map(|(name, object)| Some((name, object?)));
    given.map(|(name, object)| Ok((name.to_owned(), value(object, name)?))).collect::<PyResult<_>>().map(Value::Map)
}

/// The bytes of an argument.
pub fn bytes<'a>(object: &'a Bound<'_, PyAny>, field: &str) -> PyResult<&'a [u8]> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(expected(object.py(), "bytes", &object.get_type().name()?.to_string(), field)),
    }
}

/// What an argument carries to the core unread: text, as UTF-8, or bytes.
pub enum Payload<'a> {
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

impl Payload<'_> {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The payload of an argument.
pub fn payload<'a>(object: &'a Bound<'_, PyAny>, field: &str) -> PyResult<Payload<'a>> {
    if let Ok(text) = object.cast::<PyString>()
        && let Ok(text) = text.to_cow()
    {
        return Ok(Payload::Text(text));
    }
    match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(Payload::Bytes(bytes.as_bytes())),
        Err(_) => Err(expected(object.py(), "a string or bytes", &object.get_type().name()?.to_string(), field)),
    }
}

/// A string argument.
pub fn text(object: &Bound<'_, PyAny>, field: &str) -> PyResult<String> {
    match value(object, field)? {
        Value::Text(text) => Ok(text),
        other => Err(expected(object.py(), "a string", other.type_name(), field)),
    }
}

/// A whole number below 2^53, as a document has it; `None` when the argument is.
pub fn whole(object: Option<&Bound<'_, PyAny>>, field: &str) -> PyResult<Option<u64>> {
    let Some(object) = object else { return Ok(None) };
    // A float that happens to be whole is a slip of the caller in Python, which tells them apart.
    if object.is_exact_instance_of::<PyInt>()
        && let Ok(int) = object.extract::<u64>()
        && int < 1 << 53
    {
        return Ok(Some(int));
    }
    match value(object, field)? {
        // Of a class of its own, such as an enum.
        Value::Int(int) if (0..1 << 53).contains(&int) => Ok(Some(int as u64)),
        other => Err(expected(object.py(), "a whole number from 0 to 2^53 - 1", other.type_name(), field)),
    }
}

/// An error about an argument of the wrong type.
pub fn expected(py: Python<'_>, wanted: &str, found: &str, field: &str) -> PyErr {
    raised(py, &Error::new(Code::InvalidArgument, field).detail(format!("expected {wanted}, found {found}")))
}

/// Why an object is no document, and the way to it.
enum Trouble {
    Document(Error),
    /// The object's own code raised.
    Python(PyErr),
}

impl Trouble {
    fn new(message: String) -> Self {
        Self::Document(Error::new(Code::InvalidArgument, "").detail(message))
    }

    fn limit(field: &str, limit: usize) -> Self {
        Self::Document(Error::new(Code::LimitExceeded, field).limit(limit as u64).message("above the limit"))
    }

    fn within(self, outer: &str) -> Self {
        match self {
            Self::Document(error) => Self::Document(error.within(outer)),
            python => python,
        }
    }

    fn raise(self, py: Python<'_>, field: &str) -> PyErr {
        match self {
            Self::Document(error) if field.is_empty() => raised(py, &error),
            Self::Document(error) => raised(py, &error.within(field)),
            Self::Python(error) => error,
        }
    }
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl Budget {
    fn read(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> Result<Value, Trouble> {
        self.nodes = self.nodes.checked_sub(1).ok_or_else(|| Trouble::limit("values", limits::DOCUMENT_NODES))?;
        if object.is_none() {
            Ok(Value::Null)
        } else if let Ok(text) = object.cast::<PyString>() {
            self.text(text).map(Value::Text)
        } else if let Ok(truth) = object.cast::<PyBool>() {
            Ok(Value::Bool(truth.is_true()))
        } else if let Ok(int) = object.cast::<PyInt>() {
            let int = int.extract().map_err(|_| Trouble::new("a whole number that does not fit 64 bits".into()))?;
            Ok(Value::Int(int))
        } else if let Ok(float) = object.cast::<PyFloat>() {
            Ok(Value::Float(float.value()))
        } else if let Ok(dict) = object.cast::<PyDict>() {
            self.map(dict.iter().map(Ok), depth)
        } else if let Ok(list) = object.cast::<PyList>() {
            self.list(list.iter(), depth)
        } else if let Ok(tuple) = object.cast::<PyTuple>() {
            self.list(tuple.iter(), depth)
        } else if let Ok(query) = object.cast::<Query>() {
            Ok(query.get().inner.to_value())
        } else if object.is_instance(python::document_class(object.py())?)? {
            self.read(&object.call_method0("to_dict")?, deeper(depth)?)
        } else if let Ok(mapping) = object.cast::<PyMapping>() {
            self.map(mapping.items()?.iter().map(|pair| pair.extract()), depth)
        } else {
            Err(Trouble::new(format!("a {} is no part of a document", object.get_type().name()?)))
        }
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> Result<String, Trouble> {
        let text = text.to_cow().map_err(|_| Trouble::new("a string with a lone surrogate".into()))?;
        if text.len() > limits::DOCUMENT_STRING_BYTES {
            return Err(Trouble::limit("string", limits::DOCUMENT_STRING_BYTES));
        }
        Ok(text.into_owned())
    }

    fn list<'py>(&mut self, objects: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> Result<Value, Trouble> {
        let depth = deeper(depth)?;
        let mut items = Vec::new();
        for (at, object) in objects.enumerate() {
            items.push(self.read(&object, depth).map_err(|trouble| trouble.within(&format!("[{at}]")))?);
        }
        Ok(Value::List(items))
    }

    fn map<'py>(
        &mut self,
        objects: impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>,
        depth: usize,
    ) -> Result<Value, Trouble> {
        let depth = deeper(depth)?;
        let mut pairs = Vec::new();
        for pair in objects {
            let (key, object) = pair?;
            let Ok(key) = key.cast::<PyString>() else {
                return Err(Trouble::new(format!("a key of a map is a string, not a {}", key.get_type().name()?)));
            };
            let key = self.text(key)?;
            let value = self.read(&object, depth).map_err(|trouble| trouble.within(&key))?;
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}

fn deeper(depth: usize) -> Result<usize, Trouble> {
    if depth >= limits::DOCUMENT_DEPTH { Err(Trouble::limit("depth", limits::DOCUMENT_DEPTH)) } else { Ok(depth + 1) }
}

/// Writes a document as dicts, lists, strings and numbers. The core's documents are shallow, so this may recurse.
pub fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Int(int) => int.into_pyobject(py)?.into_any(),
        Value::Float(float) => PyFloat::new(py, *float).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::List(items) => {
            let list = PyList::empty(py);
            items.iter().try_for_each(|item| list.append(object(py, item)?))?;
            list.into_any()
        }
        Value::Map(pairs) => {
            let dict = PyDict::new(py);
            pairs.iter().try_for_each(|(key, item)| dict.set_item(key, object(py, item)?))?;
            dict.into_any()
        }
    })
}

/// An argument that is a document: a dict, or an object of this package.
pub struct Document(pub Value);

impl<'a, 'py> FromPyObject<'a, 'py> for Document {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value(&object, "").map(Self)
    }
}
