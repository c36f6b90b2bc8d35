//! What a host can ask of the registry, and whether it may.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{LOCAL, Registry};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{DEFAULT_NAMESPACE, Health, Override, Registration};
use crate::time::Timestamp;
use crate::value::{Fields, Value};

/// Whether a registration may make a record, change one, or either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Either.
    #[default]
    Upsert,
    /// Only make one; [`Code::AlreadyExists`] otherwise.
    Create,
    /// Only change one; [`Code::UnknownInstance`] otherwise.
    Update,
}

impl Mode {
    /// Reads `upsert`, `create` or `update`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(word: &str) -> Result<Self, Error> {
        match word {
            "upsert" => Ok(Self::Upsert),
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            _ => Err(Error::new(Code::InvalidArgument, "mode").message("one of upsert create update")),
        }
    }
}

/// On which condition a registration is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Put {
    /// Make or change.
    pub mode: Mode,
    /// Only if the record has this revision; [`Code::RevisionMismatch`] otherwise, and when there is no record. In a batch, the
    /// revision it had before the batch.
    pub if_revision: Option<u64>,
}

impl Put {
    /// Reads `{mode?, if_revision?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        Self::from_fields(&Fields::new(value, "", &["mode", "if_revision"])?)
    }

    fn from_fields(fields: &Fields<'_>) -> Result<Self, Error> {
        let mode = fields.text("mode")?.map_or(Ok(Mode::Upsert), Mode::parse)?;
        Ok(Self { mode, if_revision: fields.u64("if_revision")? })
    }
}

/// Names a record: three separate strings, never joined to compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The instance id.
    pub id: String,
}

impl Key {
    /// A key of these three.
    pub fn new(namespace: impl Into<String>, service: impl Into<String>, id: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), service: service.into(), id: id.into() }
    }

    /// The key of a registration.
    #[cfg(any(feature = "serve", feature = "store"))]
    pub(crate) fn of(own: &Registration) -> Self {
        Self::new(own.namespace.as_str(), own.service.as_str(), own.id.as_str())
    }

    fn from_fields(fields: &Fields<'_>) -> Result<Self, Error> {
        let namespace = fields.text("namespace")?.unwrap_or(DEFAULT_NAMESPACE);
        Ok(Self::new(namespace, fields.required_text("service")?, fields.required_text("id")?))
    }
}

/// One operation of an atomic batch.
// Most operations are registrations; a box each would cost more than it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// As [`Registry::register`].
    Register {
        /// What the provider says.
        registration: Registration,
        /// On which condition.
        put: Put,
    },
    /// As [`Registry::renew`].
    Renew {
        /// Whose lease.
        key: Key,
        /// Of which life.
        incarnation: u64,
    },
    /// As [`Registry::deregister`].
    Deregister {
        /// Who signs out.
        key: Key,
        /// Of which life; `None` for any.
        incarnation: Option<u64>,
    },
    /// As [`Registry::set_health`].
    SetHealth {
        /// Whose health.
        key: Key,
        /// What is reported.
        health: Health,
        /// Of which life; `None` for any.
        incarnation: Option<u64>,
    },
    /// As [`Registry::set_admin`].
    SetAdmin {
        /// About whom.
        key: Key,
        /// The operator's word; `None` lifts it.
        admin: Option<Override>,
    },
}

impl Op {
    /// Reads `{op: "register", instance, mode?, if_revision?}`, or `{op, namespace?, service, id, ...}` where op is
    /// `renew` (`incarnation?`), `deregister` (`incarnation?`), `set_health` (`health`, `incarnation?`) or
    /// `set_admin` (`admin`: `{state, ttl?, reason?}`, absent to lift it; its ttl counts from `now`).
    ///
    /// # Errors
    /// A typed error that names the field.
    pub fn from_value(value: &Value, now: Timestamp) -> Result<Self, Error> {
        let word = value.get("op").and_then(Value::as_str).unwrap_or_default();
        let own: &[&str] = match word {
            "register" => &["op", "instance", "mode", "if_revision"],
            "renew" | "deregister" => &["op", "namespace", "service", "id", "incarnation"],
            "set_health" => &["op", "namespace", "service", "id", "health", "incarnation"],
            "set_admin" => &["op", "namespace", "service", "id", "admin"],
            _ => return Err(Error::new(Code::InvalidArgument, "op").message("one of register renew deregister set_health set_admin")),
        };
        let fields = Fields::new(value, "", own)?;
        Ok(match word {
            "register" => {
                let instance = fields.value("instance").ok_or_else(|| Error::new(Code::MissingField, "instance"))?;
                let put = Put::from_fields(&fields)?;
                Self::Register { registration: Registration::from_value(instance).map_err(|error| error.within("instance"))?, put }
            }
            "renew" => Self::Renew { key: Key::from_fields(&fields)?, incarnation: fields.u64("incarnation")?.unwrap_or(0) },
            "deregister" => Self::Deregister { key: Key::from_fields(&fields)?, incarnation: fields.u64("incarnation")? },
            "set_health" => Self::SetHealth {
                key: Key::from_fields(&fields)?,
                health: Health::parse(fields.required_text("health")?)?,
                incarnation: fields.u64("incarnation")?,
            },
            _ => {
                let admin = fields.value("admin").map(|admin| Override::from_value(admin, now)).transpose();
                Self::SetAdmin { key: Key::from_fields(&fields)?, admin: admin.map_err(|error| error.within("admin"))? }
            }
        })
    }

    /// Reads a list of operations.
    ///
    /// # Errors
    /// As [`Op::from_value`], the field behind `ops[i]`; [`Code::LimitExceeded`] above 10 000.
    pub fn list_from_value(value: &Value, now: Timestamp) -> Result<Vec<Self>, Error> {
        let ops = value.as_list().ok_or_else(|| Error::new(Code::InvalidArgument, "ops").message("expected a list"))?;
        if ops.len() > limits::BATCH_OPS {
            return Err(Error::too_large("ops", limits::BATCH_OPS as u64));
        }
        let read = |(at, op)| Self::from_value(op, now).map_err(|error: Error| error.within(&alloc::format!("ops[{at}]")));
        ops.iter().enumerate().map(read).collect()
    }
}

/// What is known of a key while a batch is checked: the registry's record, as the operations before would leave it.
#[derive(Clone, Copy, Debug)]
struct Facts {
    present: bool,
    source: u8,
    incarnation: u64,
    revision: u64,
}

/// Checks operations in order without doing any, so that a batch is done whole or not at all.
pub(super) struct Check<'a> {
    registry: &'a Registry,
    /// What the operations so far would have changed; empty for a single operation.
    ahead: BTreeMap<(&'a str, &'a str, &'a str), Facts>,
    /// By how much they would change the count of instances, of each service's and of services.
    instances: i64,
    services: BTreeMap<(&'a str, &'a str), i64>,
    service_count: i64,
    /// Which overrides they would set and lift, and by how much that changes the count.
    overrides: BTreeMap<(&'a str, &'a str, &'a str), bool>,
    override_count: i64,
    /// Whether there is only one operation, so that nothing need be noted for those after it.
    single: bool,
}

impl<'a> Check<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            ahead: BTreeMap::new(),
            instances: 0,
            services: BTreeMap::new(),
            service_count: 0,
            overrides: BTreeMap::new(),
            override_count: 0,
            single: false,
        }
    }

    /// For an operation by itself.
    pub(super) fn single(registry: &'a Registry) -> Self {
        Self { single: true, ..Self::new(registry) }
    }

    /// Whether the operation may follow those that were checked before.
    pub(super) fn op(&mut self, op: &'a Op) -> Result<(), Error> {
        match op {
            Op::Register { registration, put } => self.register(registration, *put, LOCAL),
            Op::Renew { key, incarnation } => self.renew(&key.namespace, &key.service, &key.id, *incarnation),
            Op::Deregister { key, incarnation } => self.deregister(&key.namespace, &key.service, &key.id, *incarnation),
            Op::SetHealth { key, incarnation, .. } => self.set_health(&key.namespace, &key.service, &key.id, *incarnation),
            Op::SetAdmin { key, admin } => self.set_admin(&key.namespace, &key.service, &key.id, admin.as_ref()),
        }
    }

    pub(super) fn register(&mut self, registration: &'a Registration, put: Put, source: u8) -> Result<(), Error> {
        registration.validate()?;
        let Registration { namespace, service, id, incarnation, .. } = registration;
        let facts = self.facts(namespace, service, id);
        match (facts.present, put.mode) {
            (true, Mode::Create) => return Err(Error::new(Code::AlreadyExists, "id")),
            (false, Mode::Update) => return Err(Error::new(Code::UnknownInstance, "id")),
            _ => {}
        }
        if put.if_revision.is_some_and(|wanted| wanted == 0 || wanted != facts.revision) {
            return Err(Error::new(Code::RevisionMismatch, "if_revision"));
        }
        if facts.present {
            may_touch(facts.source, source, facts.incarnation, Some(*incarnation))?;
        } else {
            self.room(namespace, service)?;
            self.count(namespace, service, 1);
        }
        // One that the batch has made has no revision yet; they start at 1.
        let revision = if facts.present { facts.revision } else { 0 };
        self.note(namespace, service, id, Facts { present: true, source, incarnation: *incarnation, revision });
        Ok(())
    }

    pub(super) fn renew(&mut self, namespace: &'a str, service: &'a str, id: &'a str, incarnation: u64) -> Result<(), Error> {
        crate::model::check_incarnation(incarnation)?;
        let facts = self.facts(namespace, service, id);
        if !facts.present {
            return Err(Error::new(Code::UnknownLease, "id").message("register again"));
        }
        may_touch(facts.source, LOCAL, facts.incarnation, Some(incarnation))?;
        self.note(namespace, service, id, Facts { incarnation, ..facts });
        Ok(())
    }

    pub(super) fn deregister(&mut self, namespace: &'a str, service: &'a str, id: &'a str, incarnation: Option<u64>) -> Result<(), Error> {
        let facts = self.existing(namespace, service, id, incarnation)?;
        self.note(namespace, service, id, Facts { present: false, ..facts });
        self.count(namespace, service, -1);
        Ok(())
    }

    fn set_health(&mut self, namespace: &'a str, service: &'a str, id: &'a str, incarnation: Option<u64>) -> Result<(), Error> {
        let facts = self.existing(namespace, service, id, incarnation)?;
        let incarnation = incarnation.unwrap_or(facts.incarnation);
        self.note(namespace, service, id, Facts { incarnation, ..facts });
        Ok(())
    }

    /// The record of a local instance that this incarnation may touch.
    fn existing(&mut self, namespace: &'a str, service: &'a str, id: &'a str, incarnation: Option<u64>) -> Result<Facts, Error> {
        crate::model::check_incarnation(incarnation.unwrap_or(0))?;
        let facts = self.facts(namespace, service, id);
        if !facts.present {
            return Err(Error::new(Code::UnknownInstance, "id"));
        }
        may_touch(facts.source, LOCAL, facts.incarnation, incarnation)?;
        Ok(facts)
    }

    pub(super) fn set_admin(&mut self, namespace: &'a str, service: &'a str, id: &'a str, admin: Option<&Override>) -> Result<(), Error> {
        crate::model::check_name("namespace", namespace)?;
        crate::model::check_name("service", service)?;
        crate::model::check_id("id", id)?;
        admin.map_or(Ok(()), Override::validate)?;
        let stored = || self.registry.overrides.get(namespace, service, id).is_some();
        let before = self.overrides.get(&(namespace, service, id)).copied().unwrap_or_else(stored);
        let change = i64::from(admin.is_some()).saturating_sub(before.into());
        let limit = self.registry.config.max_overrides;
        if change > 0 && (self.registry.overrides.len() as i64).saturating_add(self.override_count) >= limit.into() {
            return Err(Error::new(Code::QuotaExceeded, "overrides").limit(limit.into()));
        }
        self.override_count = self.override_count.saturating_add(change);
        self.overrides.insert((namespace, service, id), admin.is_some());
        Ok(())
    }

    fn note(&mut self, namespace: &'a str, service: &'a str, id: &'a str, facts: Facts) {
        if !self.single {
            self.ahead.insert((namespace, service, id), facts);
        }
    }

    fn facts(&self, namespace: &'a str, service: &'a str, id: &'a str) -> Facts {
        if let Some(facts) = self.ahead.get(&(namespace, service, id)) {
            return *facts;
        }
        let store = &self.registry.store;
        let absent = Facts { present: false, source: LOCAL, incarnation: 0, revision: 0 };
        self.registry.slot(namespace, service, id).map_or(absent, |slot| Facts {
            present: true,
            source: store.source(slot),
            incarnation: store.incarnation(slot),
            revision: store.revision(slot),
        })
    }

    /// Whether one more instance of a service fits the quotas.
    fn room(&self, namespace: &'a str, service: &'a str) -> Result<(), Error> {
        let (config, store) = (&self.registry.config, &self.registry.store);
        let quota = |field, limit: u32| Err(Error::new(Code::QuotaExceeded, field).limit(limit.into()));
        if (store.len() as i64).saturating_add(self.instances) >= i64::from(config.max_instances)
            || !store.has_room(self.ahead.len().saturating_add(1))
        {
            return quota("instances", config.max_instances);
        }
        let members = self.members(namespace, service);
        if members >= i64::from(config.max_instances_per_service) {
            return quota("service", config.max_instances_per_service);
        }
        if members == 0 && (store.services.len() as i64).saturating_add(self.service_count) >= i64::from(config.max_services) {
            return quota("services", config.max_services);
        }
        Ok(())
    }

    /// How many instances a service would have.
    fn members(&self, namespace: &'a str, service: &'a str) -> i64 {
        let services = &self.registry.store.services;
        let known = services.find(namespace, service).and_then(|number| services.get(number));
        let ahead = self.services.get(&(namespace, service)).copied().unwrap_or(0);
        known.map_or(0, |service| service.members.len() as i64).saturating_add(ahead)
    }

    fn count(&mut self, namespace: &'a str, service: &'a str, change: i64) {
        if self.single {
            return;
        }
        let before = self.members(namespace, service);
        let after = before.saturating_add(change);
        self.instances = self.instances.saturating_add(change);
        self.service_count = self.service_count.saturating_add(i64::from(after > 0)).saturating_sub(i64::from(before > 0));
        let ahead = self.services.entry((namespace, service)).or_insert(0);
        *ahead = ahead.saturating_add(change);
    }
}

/// Whether a caller of this source and incarnation may touch a record.
pub(super) fn may_touch(owner: u8, source: u8, fence: u64, incarnation: Option<u64>) -> Result<(), Error> {
    if owner != source {
        return Err(Error::new(Code::NotOwner, "id").message("the record belongs to another source"));
    }
    match incarnation {
        Some(incarnation) if incarnation < fence => {
            Err(Error::new(Code::StaleIncarnation, "incarnation").limit(fence).message("older than the record's"))
        }
        _ => Ok(()),
    }
}
