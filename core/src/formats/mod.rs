//! Other systems' payloads: bytes in, registrations out, and what could not be taken with the reason.
//!
//! Manners that hold for every format: unknown fields are ignored; null, absent and empty are one; a number may be a string and the other
//! way round; a bad entry is skipped and told; a bad document is an error and changes nothing; a key that stands twice is an error.

mod callboard;
pub mod consul;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Code, Error};
use crate::model::{AdminState, DEFAULT_NAMESPACE, Registration};
use crate::registry::{Listing, Reconciled, Registry, Skipped};
use crate::time::Timestamp;
use crate::value::{Fields, Value};

/// A payload that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The answer of another callboard's `GET /v1/instances/{namespace}/{service}`: how a client follows a registry server.
    Callboard,
    /// Consul's `/v1/health/service/:name`.
    ConsulHealth,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] = &[Self::Callboard, Self::ConsulHealth];

    /// The name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callboard => "callboard",
            Self::ConsulHealth => "consul-health",
        }
    }

    /// Reads the name.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().copied().find(|format| format.name() == name);
        known.ok_or_else(|| Error::new(Code::InvalidArgument, "format").message("one of callboard consul-health"))
    }
}

/// What a payload says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The instances.
    pub instances: Vec<Registration>,
    /// Entries that were not taken, and why.
    pub skipped: Vec<Skipped>,
    /// Names, as service and id, of entries that were not taken.
    pub kept: Vec<(String, String)>,
    /// Whether the payload vouches for itself that who is missing has left.
    pub complete: bool,
    /// The operator's word at the source, by service and id.
    pub admin: Vec<(String, String, AdminState)>,
}

impl Decoded {
    /// The places in the payload of the entries that were taken.
    fn taken(&self) -> Vec<usize> {
        let skipped: BTreeSet<usize> = self.skipped.iter().map(|skipped| skipped.index).collect();
        let all = self.instances.len().saturating_add(skipped.len());
        (0..all).filter(|index| !skipped.contains(index)).collect()
    }

    /// Writes `{instances, skipped}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("instances", Value::List(self.instances.iter().map(Registration::to_value).collect())),
            ("skipped", Value::List(self.skipped.iter().map(Skipped::to_value).collect())),
        ])
    }
}

/// Reads a payload; its instances go to `namespace`.
///
/// # Errors
/// [`Code::Malformed`], [`Code::DuplicateKey`], [`Code::LimitExceeded`] for the document as a whole, [`Code::InvalidName`] for the namespace.
pub fn decode(format: Format, bytes: &[u8], namespace: &str) -> Result<Decoded, Error> {
    crate::model::check_name("namespace", namespace)?;
    match format {
        Format::Callboard => callboard::answer(bytes, namespace),
        Format::ConsulHealth => consul::health(bytes, namespace),
    }
}

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
    /// As [`decode`] and [`Registry::reconcile`]; [`Code::MissingField`] when neither the feed nor the payload names the service. Nothing has changed.
    pub fn push(&self, registry: &mut Registry, bytes: &[u8], now: Timestamp) -> Result<Reconciled, Error> {
        let decoded = decode(self.format, bytes, &self.namespace)?;
        let taken = decoded.taken();
        let named = || decoded.instances.first().map(|instance| instance.service.clone());
        let service = self.service.clone().or_else(named);
        let service =
            service.ok_or_else(|| Error::new(Code::MissingField, "service").message("an empty payload does not name its service"))?;
        let mut decoded = decoded;
        let gone = || callboard::departed(registry, &self.source, &self.namespace, &service, &decoded);
        let removed = if decoded.complete { gone() } else { Vec::new() };
        let listing = Listing {
            source: self.source.clone(),
            namespace: self.namespace.clone(),
            service: Some(service),
            instances: core::mem::take(&mut decoded.instances),
            removed,
            kept: core::mem::take(&mut decoded.kept),
        };
        let mut outcome = registry.reconcile(&listing, now)?;
        outcome.skipped.extend(callboard::obey(registry, &self.source, &self.namespace, &decoded, now));
        outcome.revision = registry.revision();
        // What the registry does not take is told by its place in the payload, not in the listing.
        for skipped in &mut outcome.skipped {
            skipped.index = taken.get(skipped.index).copied().unwrap_or(skipped.index);
        }
        outcome.skipped.extend(decoded.skipped);
        outcome.skipped.sort_by_key(|skipped| skipped.index);
        Ok(outcome)
    }
}
