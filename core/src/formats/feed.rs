//! Who says a payload, and of what it is all that there is.

use alloc::string::String;

use super::{Context, Format, apply, decode};
use crate::error::Error;
use crate::model::DEFAULT_NAMESPACE;
use crate::registry::{Reconciled, Registry};
use crate::time::Timestamp;
use crate::value::{Fields, Value};

/// Who says a payload, and of what it is all that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The source, such as `consul:dc1`.
    pub source: String,
    /// The format.
    pub format: Format,
    /// The namespace its instances go to.
    pub namespace: String,
    /// The service that was asked for. When none is named, the payload must name one.
    pub service: Option<String>,
}

impl Feed {
    /// Reads `{source, format, namespace?, service?}`.
    ///
    /// # Errors
    /// A typed error that names the field.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["source", "format", "namespace", "service"])?;
        Ok(Self {
            source: fields.required_text("source")?.into(),
            format: Format::parse(fields.required_text("format")?)?,
            namespace: fields.text("namespace")?.unwrap_or(DEFAULT_NAMESPACE).into(),
            service: fields.text("service")?.map(String::from),
        })
    }

    /// Reads a payload and makes the records of the source what it says, by the rules of [`Registry::reconcile`]. An entry that could not be
    /// read leaves the record it names as it is.
    ///
    /// # Errors
    /// As [`decode`] and [`Registry::reconcile`]; [`Code::MissingField`](crate::Code::MissingField) when neither the feed nor the payload names the service. Nothing has changed.
    pub fn push(&self, registry: &mut Registry, bytes: &[u8], now: Timestamp) -> Result<Reconciled, Error> {
        let decoded = decode(self.format, bytes, &Context { namespace: &self.namespace, service: self.service.as_deref() })?;
        apply::apply(registry, self, decoded, now)
    }
}
