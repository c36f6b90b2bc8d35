//! The query: who is asked for.

use alloc::string::String;
use alloc::vec::Vec;

use super::compiled::{Compiled, Conjunct};
use super::condition::Condition;
use super::print;
use super::range::VersionRange;
use super::selector::{Attribute, Check, Selector};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{Availability, DEFAULT_NAMESPACE, Locality, Tags, check_name};
use crate::value::{Fields, Value};

/// The least availability asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthFilter {
    /// Every instance on record.
    Any,
    /// Those that can serve, be it as a last resort: available, degraded or draining.
    #[default]
    Serving,
    /// Those that are available without a caveat.
    Available,
}

impl HealthFilter {
    /// Every value, from the widest to the narrowest.
    pub const ALL: &[Self] = &[Self::Any, Self::Serving, Self::Available];

    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Serving => "serving",
            Self::Available => "available",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(word: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().find(|filter| filter.as_str() == word).copied();
        known.ok_or_else(|| Error::new(Code::InvalidArgument, "health").message("one of any serving available"))
    }

    /// Whether an instance of this availability is taken.
    pub const fn admits(self, availability: Availability) -> bool {
        match self {
            Self::Any => true,
            Self::Serving => !matches!(availability, Availability::Unavailable),
            Self::Available => matches!(availability, Availability::Available),
        }
    }
}

/// Who is asked for: the instances of one service, or of every service of a namespace, of which every condition holds.
///
/// ```
/// # use callboard::query::Query;
/// let query = Query::service("billing").version("^1.4")?.selector("env=prod, !canary")?.zone("eu-1a").limit(10);
/// # query.compile()?;
/// # Ok::<(), callboard::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The namespace; `default` when none is named.
    pub namespace: String,
    /// The service; `None` for every service of the namespace.
    pub service: Option<String>,
    /// The least availability; those that can serve when none is named.
    pub health: HealthFilter,
    /// The range the version must be in; an instance without a version is in none.
    pub version: Option<VersionRange>,
    /// The selector; the empty one takes every instance.
    pub selector: Selector,
    /// The parts of the locality that must be equal; those that are empty do not count.
    pub locality: Locality,
    /// The tags an instance must have, all of them.
    pub tags: Tags,
    /// At most so many instances, the first by service and id; at least 1. `None` for all.
    pub limit: Option<u32>,
    /// Whom to ask for instead, in this order, while nobody is found: the failover of a Consul prepared query. At most
    /// 8, of the same namespace, without fallbacks of their own.
    pub fallbacks: Vec<Query>,
}

/// Takes a condition: its part of the query, its text for whoever asks, and itself.
type Take<'a> = dyn FnMut(&'static str, &dyn Fn() -> String, Conjunct) + 'a;

/// The keys of a query document.
pub(crate) const FIELDS: &[&str] = &["namespace", "service", "health", "version", "selector", "locality", "tags", "limit", "fallbacks"];

impl Query {
    /// Every serving instance of a service of the default namespace.
    pub fn service(service: impl Into<String>) -> Self {
        Self { service: Some(service.into()), ..Self::everything() }
    }

    /// Every serving instance of every service of the default namespace.
    pub fn everything() -> Self {
        Self {
            namespace: DEFAULT_NAMESPACE.into(),
            service: None,
            health: HealthFilter::default(),
            version: None,
            selector: Selector::default(),
            locality: Locality::default(),
            tags: Tags::default(),
            limit: None,
            fallbacks: Vec::new(),
        }
    }

    /// Sets the namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the least availability.
    #[must_use]
    pub fn health(mut self, health: HealthFilter) -> Self {
        self.health = health;
        self
    }

    /// Sets the range of versions.
    ///
    /// # Errors
    /// As [`VersionRange::parse`].
    pub fn version(mut self, range: &str) -> Result<Self, Error> {
        self.version = Some(VersionRange::parse(range)?);
        Ok(self)
    }

    /// Sets the selector.
    ///
    /// # Errors
    /// As [`Selector::parse`].
    pub fn selector(mut self, selector: &str) -> Result<Self, Error> {
        self.selector = Selector::parse(selector)?;
        Ok(self)
    }

    /// Sets the parts of the locality that must be equal.
    #[must_use]
    pub fn locality(mut self, locality: Locality) -> Self {
        self.locality = locality;
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.locality.zone = zone.into();
        self
    }

    /// Sets the tags that an instance must have.
    ///
    /// # Errors
    /// As [`Tags::new`].
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        self.tags = Tags::new(tags)?;
        Ok(self)
    }

    /// Sets the limit.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Adds whom to ask for when neither this nor an earlier fallback finds anybody.
    #[must_use]
    pub fn fallback(mut self, query: Query) -> Self {
        self.fallbacks.push(query);
        self
    }

    /// Checks what the types of the fields do not: names, locality, the limit, the fallbacks.
    ///
    /// # Errors
    /// [`Code::InvalidName`], [`Code::MissingField`], [`Code::LimitExceeded`], [`Code::InvalidArgument`]; each names its field.
    pub fn validate(&self) -> Result<(), Error> {
        if self.fallbacks.len() > limits::FALLBACKS {
            return Err(Error::too_large("fallbacks", limits::FALLBACKS as u64));
        }
        for (at, fallback) in self.fallbacks.iter().enumerate() {
            let inside = |error: Error| error.within(&alloc::format!("fallbacks[{at}]"));
            if fallback.namespace != self.namespace {
                return Err(inside(
                    Error::new(Code::InvalidArgument, "namespace").message("a fallback stays in the namespace of its query"),
                ));
            }
            if !fallback.fallbacks.is_empty() {
                return Err(inside(Error::new(Code::InvalidArgument, "fallbacks").message("a fallback has no fallbacks of its own")));
            }
            fallback.validate_alone().map_err(inside)?;
        }
        self.validate_alone()
    }

    fn validate_alone(&self) -> Result<(), Error> {
        check_name("namespace", &self.namespace)?;
        if let Some(service) = &self.service {
            check_name("service", service)?;
        }
        self.locality.validate().map_err(|error| error.within("locality"))?;
        if self.limit == Some(0) {
            return Err(Error::new(Code::InvalidArgument, "limit").message("at least 1"));
        }
        Ok(())
    }

    /// Makes it ready to be asked of instances.
    ///
    /// # Errors
    /// As [`Query::validate`].
    pub fn compile(&self) -> Result<Compiled, Error> {
        self.validate()?;
        let mut compiled = self.compile_alone();
        compiled.fallbacks = self.fallbacks.iter().map(Self::compile_alone).collect();
        Ok(compiled)
    }

    fn compile_alone(&self) -> Compiled {
        let mut conjuncts = Vec::new();
        self.each_condition(&mut |_, _, conjunct| conjuncts.push(conjunct));
        let fallbacks = Vec::new();
        Compiled { namespace: self.namespace.clone(), service: self.service.clone(), limit: self.limit, conjuncts, fallbacks }
    }

    /// What must hold of an instance in scope, each with what it is; the health first.
    pub(crate) fn conditions(&self) -> Vec<(Condition, Conjunct)> {
        let mut all = Vec::new();
        self.each_condition(&mut |part, text, conjunct| all.push((Condition::new(part, text()), conjunct)));
        all
    }

    /// The same without a text where nobody reads it.
    fn each_condition(&self, take: &mut Take<'_>) {
        if self.health != HealthFilter::Any {
            take("health", &|| self.health.as_str().into(), Conjunct::of(Check::Health(self.health)));
        }
        if let Some(range) = &self.version {
            take("version", &|| range.text(), Conjunct::of(Check::Version(alloc::vec![range.clone()])));
        }
        let places = [Attribute::Region, Attribute::Zone, Attribute::Subzone, Attribute::Node];
        for (attribute, (name, part)) in places.into_iter().zip(self.locality.parts()).filter(|(_, (_, part))| !part.is_empty()) {
            let check = Check::OneOf(attribute, alloc::vec![part.into()]);
            take("locality", &|| alloc::format!("{name}={part}"), Conjunct::of(check));
        }
        for tag in self.tags.iter() {
            take("tags", &|| tag.into(), Conjunct::of(Check::OneOf(Attribute::Tags, alloc::vec![tag.into()])));
        }
        let nodes = &self.selector.nodes;
        for (at, wanted) in Conjunct::places(nodes) {
            take("selector", &|| print::part(nodes, at, wanted), Conjunct::at(nodes, at, wanted));
        }
    }

    /// The least availability, if that is what a condition of this query asks for.
    pub(crate) fn health_of(&self, condition: &Condition) -> Option<HealthFilter> {
        (condition.part() == "health").then_some(self.health)
    }

    /// Reads the document `{namespace?, service?, health?, version?, selector?, locality?, tags?, limit?, fallbacks?}`;
    /// a fallback is such a document, in the namespace of the query when it names none.
    ///
    /// # Errors
    /// A typed error that names the field: [`Code::UnknownField`], [`Code::InvalidArgument`] and those of each part.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", FIELDS)?;
        let mut query = Self::alone_from_fields(&fields, DEFAULT_NAMESPACE)?;
        for (at, fallback) in fields.list("fallbacks")?.unwrap_or_default().iter().enumerate() {
            if at >= limits::FALLBACKS {
                return Err(Error::too_large("fallbacks", limits::FALLBACKS as u64));
            }
            let inside = |error: Error| error.within(&alloc::format!("fallbacks[{at}]"));
            let without_fallbacks = FIELDS.split_last().map_or(FIELDS, |(_, rest)| rest);
            let fields = Fields::new(fallback, "", without_fallbacks).map_err(inside)?;
            query.fallbacks.push(Self::alone_from_fields(&fields, &query.namespace).map_err(inside)?);
        }
        query.validate()?;
        Ok(query)
    }

    fn alone_from_fields(fields: &Fields<'_>, namespace: &str) -> Result<Self, Error> {
        let mut query = Self::everything().namespace(fields.text("namespace")?.unwrap_or(namespace));
        query.service = fields.text("service")?.map(String::from);
        if let Some(health) = fields.text("health")? {
            query.health = HealthFilter::parse(health)?;
        }
        query.version = fields.text("version")?.map(VersionRange::parse).transpose()?;
        if let Some(selector) = fields.text("selector")? {
            query.selector = Selector::parse(selector)?;
        }
        if let Some(locality) = fields.value("locality") {
            query.locality = Locality::from_value(locality, "locality")?;
        }
        if let Some(tags) = fields.value("tags") {
            query.tags = Tags::from_value(tags)?;
        }
        let limit = fields.u64("limit")?.map(u32::try_from).transpose();
        query.limit = limit.map_err(|_| Error::too_large("limit", u64::from(u32::MAX)))?;
        Ok(query)
    }

    /// Writes the document that [`Query::from_value`] reads, without what it does not ask.
    pub fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![("namespace", Value::from(self.namespace.as_str()))];
        if let Some(service) = &self.service {
            pairs.push(("service", service.as_str().into()));
        }
        pairs.push(("health", self.health.as_str().into()));
        if let Some(version) = &self.version {
            pairs.push(("version", version.text().into()));
        }
        if !self.selector.is_empty() {
            pairs.push(("selector", self.selector.text().into()));
        }
        if !self.locality.is_empty() {
            pairs.push(("locality", self.locality.to_value()));
        }
        if !self.tags.is_empty() {
            pairs.push(("tags", self.tags.to_value()));
        }
        if let Some(limit) = self.limit {
            pairs.push(("limit", u64::from(limit).into()));
        }
        if !self.fallbacks.is_empty() {
            pairs.push(("fallbacks", Value::List(self.fallbacks.iter().map(Self::to_value).collect())));
        }
        Value::map(pairs)
    }
}
