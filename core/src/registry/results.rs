//! What the registry answers.

use alloc::string::String;
use alloc::vec::Vec;

use super::Registry;
use crate::model::{Availability, Handle};
use crate::value::{Pairs, Value};

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Names the record: the fast way to renew it.
    pub handle: Handle,
    /// The revision the registry stands at.
    pub revision: u64,
    /// Whether the record is new.
    pub created: bool,
    /// Whether anything changed; saying the same again does not.
    pub changed: bool,
}

impl Registered {
    /// Writes `{handle, revision, created, changed}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("handle", self.handle.to_bits().into()),
            ("revision", self.revision.into()),
            ("created", self.created.into()),
            ("changed", self.changed.into()),
        ])
    }
}

/// What time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// How many instances expired.
    pub expired: u32,
    /// The revision the registry stands at.
    pub revision: u64,
}

impl Advanced {
    /// Writes `{expired, revision}`.
    pub fn to_value(&self) -> Value {
        Value::map([("expired", u64::from(self.expired).into()), ("revision", self.revision.into())])
    }
}

/// Who matches a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The instances, by service and id.
    pub handles: Vec<Handle>,
    /// The revision it is true of: what to read changes from.
    pub revision: u64,
    /// The life of the registry.
    pub epoch: u64,
    /// Which rung of the query found them: 0 is the query itself, 1 its first fallback.
    pub rung: u32,
    /// Whether a source in scope is held at its last good listing.
    pub stale: bool,
    /// Whether protection holds overdue instances of a service in scope.
    pub protected: bool,
}

impl Answer {
    pub(crate) fn write(&self, registry: &Registry, out: &mut impl Pairs) {
        let instances = self.handles.iter().filter_map(|handle| registry.instance(*handle));
        out.maps("instances", instances, |own, instance| instance.write(own));
        out.put("revision", self.revision);
        out.put("epoch", self.epoch);
        out.put("rung", u64::from(self.rung));
        out.put("stale", self.stale);
        out.put("protected", self.protected);
    }
}

/// One service at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSummary {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// How many instances are on record.
    pub instances: u32,
    /// How many are available without a caveat.
    pub available: u32,
    /// The revision that last changed one of them.
    pub revision: u64,
    /// Whether protection holds overdue instances.
    pub protected: bool,
}

impl ServiceSummary {
    /// Writes `{namespace, service, instances, available, revision, protected}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("namespace", self.namespace.as_str().into()),
            ("service", self.service.as_str().into()),
            ("instances", u64::from(self.instances).into()),
            ("available", u64::from(self.available).into()),
            ("revision", self.revision.into()),
            ("protected", self.protected.into()),
        ])
    }
}

/// The registry at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The life of the registry.
    pub epoch: u64,
    /// Where it stands.
    pub revision: u64,
    /// Instances on record.
    pub instances: u64,
    /// Services with an instance.
    pub services: u64,
    /// Instances with a lease.
    pub leased: u64,
    /// Instances whose lease is suspect.
    pub suspect: u64,
    /// Operator overrides.
    pub overrides: u64,
    /// Sources, `local` included.
    pub sources: u64,
    /// Services whose overdue instances are held.
    pub protected: u64,
    /// Instances that expired, ever.
    pub expired: u64,
    /// Times that ran backwards.
    pub backwards: u64,
    /// Gaps after which every lease counted as renewed.
    pub gaps: u64,
    /// Changes in the log.
    pub log: u64,
    /// Bytes of heap that the records take, near enough; the log, overrides and what sources hold are not counted.
    pub bytes: u64,
}

impl Stats {
    /// Writes the document of these fields.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("epoch", self.epoch.into()),
            ("revision", self.revision.into()),
            ("instances", self.instances.into()),
            ("services", self.services.into()),
            ("leased", self.leased.into()),
            ("suspect", self.suspect.into()),
            ("overrides", self.overrides.into()),
            ("sources", self.sources.into()),
            ("protected", self.protected.into()),
            ("expired", self.expired.into()),
            ("backwards", self.backwards.into()),
            ("gaps", self.gaps.into()),
            ("log", self.log.into()),
            ("bytes", Value::from(self.bytes)),
        ])
    }
}

impl Registry {
    /// The services of a namespace, or of all, in order of name.
    pub fn services(&self, namespace: Option<&str>) -> Vec<ServiceSummary> {
        let summary = |(_, service): (u32, &super::service::Service)| ServiceSummary {
            namespace: (*service.namespace).into(),
            service: (*service.name).into(),
            instances: service.members.len() as u32,
            available: service.members.iter().filter(|slot| self.store.availability(**slot) == Availability::Available).count() as u32,
            revision: service.revision,
            protected: service.protection.held > 0,
        };
        self.store.services.list(namespace).map(summary).collect()
    }

    /// The registry at a glance. Costs a look at each service and distinct value.
    pub fn stats(&self) -> Stats {
        let sum =
            |count: fn(&super::service::Service) -> u32| self.store.services.list(None).map(|(_, service)| u64::from(count(service))).sum();
        Stats {
            epoch: self.epoch,
            revision: self.revision,
            instances: self.store.len() as u64,
            services: self.store.services.len() as u64,
            leased: sum(|service| service.leased),
            suspect: sum(|service| service.suspects),
            overrides: self.overrides.len() as u64,
            sources: self.sources.len() as u64,
            protected: self.store.services.list(None).filter(|(_, service)| service.protection.held > 0).count() as u64,
            expired: self.expired,
            backwards: self.backwards,
            gaps: self.gaps,
            log: self.log.len() as u64,
            bytes: self.store.heap_bytes() as u64,
        }
    }
}
