//! What a provider says when it signs in.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::health::write_lease;
use super::{DEFAULT_NAMESPACE, Endpoint, Health, Lease, Locality, Metadata, Tags, Version, Weight, check_id, check_name};
use crate::error::Error;
use crate::limits;
use crate::time::Timestamp;
use crate::value::{Fields, Pairs, Value};

/// One provider of one service, as it describes itself.
///
/// ```
/// # use callboard::model::{Lease, Registration};
/// # use core::time::Duration;
/// let registration = Registration::new("billing", "b1")
///     .endpoint("http://10.0.0.5:8080")?
///     .version("1.4.2")?
///     .metadata([("env", "prod")])?
///     .lease(Duration::from_secs(30), Duration::ZERO)?;
/// # Ok::<(), callboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The namespace; `default` when none is named.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The instance id: opaque, unique in the service, not the address.
    pub id: String,
    /// Where it can be called, at most 100; the first is the one `url` names.
    pub endpoints: Vec<Endpoint>,
    /// Where it runs.
    pub locality: Locality,
    /// Its share of the traffic.
    pub weight: Weight,
    /// Its version.
    pub version: Option<Version>,
    /// Its tags.
    pub tags: Tags,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its health at the start; healthy when none is named.
    pub health: Health,
    /// Its lease; `None` stays until somebody removes it.
    pub lease: Option<Lease>,
    /// Which life of the provider this is: a later one is larger, below 2^53. An older incarnation never changes a newer record.
    pub incarnation: u64,
}

impl Registration {
    /// A healthy, persistent instance of weight 1 in the default namespace, with no endpoint yet.
    pub fn new(service: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            namespace: DEFAULT_NAMESPACE.into(),
            service: service.into(),
            id: id.into(),
            endpoints: Vec::new(),
            locality: Locality::default(),
            weight: Weight::ONE,
            version: None,
            tags: Tags::default(),
            metadata: Metadata::default(),
            health: Health::Healthy,
            lease: None,
            incarnation: 0,
        }
    }

    /// Puts it in a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Adds an endpoint by its URL.
    ///
    /// # Errors
    /// As [`Endpoint::parse`].
    pub fn endpoint(mut self, url: &str) -> Result<Self, Error> {
        self.endpoints.push(Endpoint::parse(url)?);
        Ok(self)
    }

    /// Sets the version.
    ///
    /// # Errors
    /// As [`Version::parse`].
    pub fn version(mut self, version: &str) -> Result<Self, Error> {
        self.version = Some(Version::parse(version)?);
        Ok(self)
    }

    /// Sets the metadata.
    ///
    /// # Errors
    /// As [`Metadata::new`].
    pub fn metadata(mut self, pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Result<Self, Error> {
        self.metadata = Metadata::new(pairs)?;
        Ok(self)
    }

    /// Sets the tags.
    ///
    /// # Errors
    /// As [`Tags::new`].
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        self.tags = Tags::new(tags)?;
        Ok(self)
    }

    /// Sets the weight.
    ///
    /// # Errors
    /// As [`Weight::new`].
    pub fn weight(mut self, weight: f64) -> Result<Self, Error> {
        self.weight = Weight::new(weight)?;
        Ok(self)
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.locality.zone = zone.into();
        self
    }

    /// Sets the health.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// Sets the lease.
    ///
    /// # Errors
    /// As [`Lease::new`].
    pub fn lease(mut self, ttl: Duration, grace: Duration) -> Result<Self, Error> {
        self.lease = Some(Lease::new(ttl, grace)?);
        Ok(self)
    }

    /// Sets the incarnation.
    #[must_use]
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = incarnation;
        self
    }

    /// Checks what the types of the fields do not: names, counts, the incarnation.
    ///
    /// # Errors
    /// [`Code::InvalidName`](crate::Code::InvalidName), [`Code::MissingField`](crate::Code::MissingField), [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::InvalidArgument`](crate::Code::InvalidArgument).
    pub fn validate(&self) -> Result<(), Error> {
        check_name("namespace", &self.namespace)?;
        check_name("service", &self.service)?;
        check_id("id", &self.id)?;
        if self.endpoints.len() > limits::ENDPOINTS {
            return Err(Error::too_large("endpoints", limits::ENDPOINTS as u64));
        }
        self.locality.validate().map_err(|error| error.within("locality"))?;
        check_incarnation(self.incarnation)
    }

    /// Reads the document `{namespace?, service, id, endpoints?, locality?, weight?, version?, tags?, metadata?,
    /// health?, ttl?, grace?, incarnation?}`; ttl and grace are seconds, endpoints URLs or maps.
    ///
    /// # Errors
    /// A typed error that names the field: [`Code::UnknownField`](crate::Code::UnknownField), [`Code::MissingField`](crate::Code::MissingField), [`Code::InvalidArgument`](crate::Code::InvalidArgument) and those of each part.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", FIELDS)?;
        let mut registration = Self::new(fields.required_text("service")?, fields.required_text("id")?);
        if let Some(namespace) = fields.text("namespace")? {
            registration.namespace = namespace.into();
        }
        for (at, endpoint) in fields.list("endpoints")?.unwrap_or_default().iter().enumerate() {
            if at >= limits::ENDPOINTS {
                return Err(Error::too_large("endpoints", limits::ENDPOINTS as u64));
            }
            registration.endpoints.push(Endpoint::from_value(endpoint).map_err(|error| error.within(&alloc::format!("endpoints[{at}]")))?);
        }
        if let Some(locality) = fields.value("locality") {
            registration.locality = Locality::from_value(locality, "locality")?;
        }
        if let Some(weight) = fields.f64("weight")? {
            registration.weight = Weight::new(weight)?;
        }
        registration.version = fields.text("version")?.map(Version::parse).transpose()?;
        if let Some(tags) = fields.value("tags") {
            registration.tags = Tags::from_value(tags)?;
        }
        if let Some(metadata) = fields.value("metadata") {
            registration.metadata = Metadata::from_value(metadata)?;
        }
        if let Some(health) = fields.text("health")? {
            registration.health = Health::parse(health)?;
        }
        registration.lease = Lease::from_fields(&fields)?;
        registration.incarnation = fields.u64("incarnation")?.unwrap_or(0);
        registration.validate()?;
        Ok(registration)
    }

    /// Writes the document that [`Registration::from_value`] reads.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(super) fn write(&self, out: &mut impl Pairs) {
        out.text("namespace", &self.namespace);
        out.text("service", &self.service);
        out.text("id", &self.id);
        out.maps("endpoints", self.endpoints.iter(), |own, endpoint| endpoint.write(own));
        out.map("locality", |own| self.locality.write(own));
        out.put("weight", self.weight.as_f64());
        if let Some(version) = &self.version {
            out.text("version", &version.text());
        }
        out.texts("tags", self.tags.iter());
        out.map("metadata", |own| self.metadata.write(own));
        out.text("health", self.health.as_str());
        write_lease(out, self.lease);
        out.put("incarnation", self.incarnation);
    }
}

/// The keys of a registration document.
pub(crate) const FIELDS: &[&str] = &[
    "namespace",
    "service",
    "id",
    "endpoints",
    "locality",
    "weight",
    "version",
    "tags",
    "metadata",
    "health",
    "ttl",
    "grace",
    "incarnation",
];

/// An incarnation is an exact JS number.
pub(crate) fn check_incarnation(incarnation: u64) -> Result<(), Error> {
    let limit = Timestamp::MAX.as_micros();
    if incarnation > limit { Err(Error::too_large("incarnation", limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn documents_round_trip() {
        let full = Registration::new("billing", "b1")
            .namespace("shop")
            .endpoint("http://10.0.0.5:8080")
            .and_then(|r| r.endpoint("grpcs://[2001:db8::1]:443"))
            .and_then(|r| r.version("1.4.2"))
            .and_then(|r| r.metadata([("__proto__", "x"), ("env", "prod")]))
            .and_then(|r| r.tags(["canary"]))
            .and_then(|r| r.weight(2.5))
            .and_then(|r| r.lease(Duration::from_millis(1_500), Duration::from_secs(3)))
            .unwrap()
            .zone("z1")
            .health(Health::Degraded)
            .incarnation(7);
        for registration in [full, Registration::new("a", "b")] {
            assert_eq!(Registration::from_value(&registration.to_value()), Ok(registration));
        }
    }

    #[test]
    fn every_error_names_its_field() {
        let base = [("service", Value::from("s")), ("id", Value::from("i"))];
        for (key, value, code, field) in [
            ("wieght", Value::Int(1), Code::UnknownField, "wieght"),
            ("weight", Value::Int(-1), Code::InvalidWeight, "weight"),
            ("weight", Value::Float(f64::NAN), Code::InvalidWeight, "weight"),
            ("weight", Value::from("1"), Code::InvalidArgument, "weight"),
            ("service", Value::from("__proto__"), Code::InvalidName, "service"),
            ("service", Value::Null, Code::MissingField, "service"),
            ("ttl", Value::Float(f64::NAN), Code::InvalidDuration, "ttl"),
            ("ttl", Value::Int(-1), Code::InvalidDuration, "ttl"),
            ("ttl", Value::Float(0.5), Code::LimitExceeded, "ttl"),
            ("grace", Value::Int(1), Code::MissingField, "ttl"),
            ("incarnation", Value::Int(1 << 53), Code::InvalidArgument, "incarnation"),
            ("incarnation", Value::Float(1.5), Code::InvalidArgument, "incarnation"),
            ("version", Value::from("1"), Code::InvalidVersion, "version"),
            ("health", Value::from("ill"), Code::InvalidArgument, "health"),
            ("tags", Value::from("x"), Code::InvalidArgument, "tags"),
            ("metadata", Value::map([("k", Value::Int(1))]), Code::InvalidArgument, "metadata.k"),
            ("locality", Value::map([("zoen", Value::from("z"))]), Code::UnknownField, "locality.zoen"),
            ("endpoints", Value::List([Value::from("a:1"), Value::from("a:99999")].into()), Code::InvalidAddress, "endpoints[1].port"),
        ] {
            let pairs = base.iter().filter(|(name, _)| *name != key).cloned().chain([(key, value)]);
            let error = Registration::from_value(&Value::map(pairs)).unwrap_err();
            assert_eq!((error.code(), error.field()), (code, field), "{error}");
        }
    }

    #[test]
    fn endpoints_at_the_limit() {
        for (count, good) in [(limits::ENDPOINTS - 1, true), (limits::ENDPOINTS, true), (limits::ENDPOINTS + 1, false)] {
            let mut registration = Registration::new("s", "i");
            registration.endpoints = std::vec![Endpoint::parse("a:1").unwrap(); count];
            assert_eq!(registration.validate().is_ok(), good);
            assert_eq!(Registration::from_value(&registration.to_value()).is_ok(), good);
        }
    }
}
