//! The one way of every protocol to the registry: nothing is read or done but what whoever asks may do.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::policy::{Capability, Grant, denied};
use super::server::Server;
use super::token::{self, Shown};
use crate::error::{Code, Error};
use crate::model::{Handle, Health, Instance, Metadata, Registration};
use crate::query::{HealthFilter, Query};
use crate::registry::{
    Answer, Changes, Delta, Key, Op, Position, Put, QueryExplanation, Registered, Registry, SavedQuery, ServiceSummary, Stats, View,
};
use crate::time::Timestamp;
use crate::value::{Pairs, Value};

/// The metadata key of who signed an instance in, where there is a policy. Nobody else writes it.
const OWNER: &str = "callboard-owner";

/// A registry as somebody may see and change it.
pub(super) struct Desk<'a> {
    registry: &'a mut Registry,
    /// What whoever asks may do; everything where there is no policy.
    grants: Option<&'a [Grant]>,
    /// Who asks; empty where there is no policy.
    pub(super) who: String,
    /// What the request shows of an instance's token.
    pub(super) shown: Shown,
    /// When it is asked, as the host says; the registry's [`clock`](Self::clock) may be ahead.
    pub(super) now: Timestamp,
}

/// Every instance of a namespace, or of one service of it, whatever its health.
pub(super) fn everybody(namespace: &str, service: Option<&str>) -> Query {
    Query { service: service.map(String::from), ..Query::everything() }.namespace(namespace).health(HealthFilter::Any)
}

/// An error about one of several operations names it.
fn place(ops: &[Op], at: usize, error: Error) -> Error {
    if ops.len() > 1 { error.within(&alloc::format!("ops[{at}]")) } else { error }
}

impl<'a> Desk<'a> {
    pub(super) fn new(server: &'a Server, registry: &'a mut Registry, who: String, now: Timestamp) -> Self {
        let grants = server.policy.as_ref().map(|policy| policy.grants(&who));
        Self { registry, grants, who, shown: Shown::Nothing, now }
    }

    /// The same for a shorter time.
    pub(super) fn lend(&mut self) -> Desk<'_> {
        Desk { registry: self.registry, grants: self.grants, who: self.who.clone(), shown: self.shown.clone(), now: self.now }
    }

    fn may(&self, capability: Capability, namespace: &str, service: &str) -> bool {
        self.grants.is_none_or(|grants| grants.iter().any(|grant| grant.allows(capability, namespace, service)))
    }

    /// Refuses what may not be done to a service.
    ///
    /// # Errors
    /// [`Code::PermissionDenied`](crate::Code::PermissionDenied).
    pub(super) fn check(&self, capability: Capability, namespace: &str, service: &str) -> Result<(), Error> {
        if self.may(capability, namespace, service) { Ok(()) } else { Err(denied(capability)) }
    }

    fn may_read(&self, namespace: &str, service: &str) -> bool {
        self.may(Capability::Read, namespace, service)
    }

    // What says nothing of anybody.

    pub(super) fn position(&self) -> Position {
        self.registry.position()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.registry.epoch()
    }

    pub(super) fn revision(&self) -> u64 {
        self.registry.revision()
    }

    pub(super) fn clock(&self) -> Timestamp {
        self.registry.now()
    }

    pub(super) fn position_before(&mut self, age: Duration) -> Option<Position> {
        self.registry.position_before(age)
    }

    // Reading: what may not be read is not there.

    /// Whether a record is there and may be read.
    fn is_readable(&self, handle: Handle) -> bool {
        self.registry.owner(handle).is_some_and(|(namespace, service)| self.may_read(namespace, service))
    }

    pub(super) fn instance(&self, handle: Handle) -> Option<Instance> {
        if self.is_readable(handle) { self.registry.instance(handle) } else { None }
    }

    pub(super) fn registration(&self, handle: Handle) -> Option<Registration> {
        if self.is_readable(handle) { self.registry.registration(handle) } else { None }
    }

    pub(super) fn lookup(&self, namespace: &str, service: &str, id: &str) -> Option<Handle> {
        self.registry.lookup(namespace, service, id).filter(|_| self.may_read(namespace, service))
    }

    pub(super) fn find(&self, namespace: &str, id: &str) -> Vec<Handle> {
        let mut found = self.registry.find(namespace, id);
        found.retain(|handle| self.is_readable(*handle));
        found
    }

    pub(super) fn services(&self, namespace: Option<&str>) -> Vec<ServiceSummary> {
        let mut all = self.registry.services(namespace);
        all.retain(|summary| self.may_read(&summary.namespace, &summary.service));
        all
    }

    pub(super) fn has_service(&self, namespace: &str, service: &str) -> bool {
        self.registry.service_revision(namespace, service).is_some() && self.may_read(namespace, service)
    }

    pub(super) fn service_names(&self, namespace: &str) -> impl Iterator<Item = &str> {
        let names = self.registry.service_names(namespace);
        names.filter(move |service| self.may_read(namespace, service))
    }

    pub(super) fn query(&self, query: &Query) -> Answer {
        let mut answer = self.registry.query(query);
        if self.grants.is_some() {
            answer.handles.retain(|handle| self.is_readable(*handle));
        }
        answer
    }

    /// Those whom a query finds.
    pub(super) fn instances(&self, query: &Query) -> Vec<Instance> {
        self.query(query).handles.into_iter().filter_map(|handle| self.registry.instance(handle)).collect()
    }

    /// [`everybody`]. A name that nothing can have has no instances.
    pub(super) fn everybody(&self, namespace: &str, service: Option<&str>) -> Vec<Instance> {
        self.instances(&everybody(namespace, service))
    }

    pub(super) fn write_answer(&self, answer: &Answer, out: &mut impl Pairs) {
        answer.write(self.registry, out);
    }

    pub(super) fn changes(&self, since: Position) -> Changes {
        match self.registry.changes(since) {
            Changes::Events { mut events, position } => {
                events.retain(|event| self.may_read(&event.namespace, &event.service));
                Changes::Events { events, position }
            }
            other => other,
        }
    }

    /// The namespaces and services that changes since a position are about; none when that cannot be told.
    pub(super) fn changed_services(&self, since: Position) -> Option<impl Iterator<Item = (&str, &str)>> {
        let changed = self.registry.changed_services(since)?;
        Some(changed.into_iter().filter(|(namespace, service)| self.may_read(namespace, service)))
    }

    /// Whether what a view follows has changed. It is for whoever asks to be told what may be read of it.
    pub(super) fn is_new_to(&self, view: &mut View) -> bool {
        view.poll(self.registry).is_some()
    }

    /// What has changed in the answer that a view follows, of what may be read of it.
    pub(super) fn delta(&self, view: &mut View) -> Option<Delta> {
        view.poll(self.registry).and_then(|delta| self.readable(delta, &view.query().namespace))
    }

    /// The same of a view that is new, for a reader that knows what was true at a position.
    pub(super) fn delta_from(&self, view: &mut View, known: Position) -> Option<Delta> {
        view.poll_from(self.registry, known).and_then(|delta| self.readable(delta, &view.query().namespace))
    }

    fn readable(&self, mut delta: Delta, namespace: &str) -> Option<Delta> {
        if self.grants.is_some() {
            delta.added.retain(|handle| self.is_readable(*handle));
            delta.updated.retain(|handle| self.is_readable(*handle));
            delta.removed.retain(|gone| self.may_read(namespace, &gone.service));
        }
        (delta.reset || !delta.is_empty()).then_some(delta)
    }

    pub(super) fn delta_value(&self, delta: &Delta) -> Value {
        delta.to_value(self.registry)
    }

    /// Whether the answer that a view follows is stale, and whether it is protected.
    pub(super) fn standing(&self, view: &View) -> (bool, bool) {
        view.standing(self.registry)
    }

    /// Why a query finds whom it finds, of what may be read.
    pub(super) fn explain(&self, query: &Query) -> Result<QueryExplanation, Error> {
        self.registry.explain_to(query, &|service| self.may_read(&query.namespace, service))
    }

    // Saved queries: there for whoever may read every service that they name, and saved by whoever may operate it.

    /// Refuses what may not be done to every service that a query names, or to those of the whole namespace where it names none.
    fn check_query(&self, capability: Capability, query: &Query) -> Result<(), Error> {
        let may = |rung: &Query| match &rung.service {
            Some(service) => self.may(capability, &rung.namespace, service),
            None => self.grants.is_none_or(|grants| grants.iter().any(|grant| grant.allows_all(capability, &rung.namespace))),
        };
        let all = core::iter::once(query).chain(&query.fallbacks).all(may);
        if all { Ok(()) } else { Err(denied(capability)) }
    }

    pub(super) fn saved_query(&self, namespace: &str, name: &str) -> Option<&SavedQuery> {
        self.registry.saved_query(namespace, name).filter(|own| self.check_query(Capability::Read, &own.query).is_ok())
    }

    pub(super) fn saved_queries(&self, namespace: &str) -> impl Iterator<Item = &SavedQuery> {
        self.registry.saved_queries(Some(namespace)).filter(move |own| self.check_query(Capability::Read, &own.query).is_ok())
    }

    /// Saves a query; whether there was none of that name.
    pub(super) fn save_query(&mut self, name: &str, query: &Query) -> Result<bool, Error> {
        self.check_query(Capability::Operate, query)?;
        let before = self.registry.saved_query(&query.namespace, name);
        before.map_or(Ok(()), |own| self.check_query(Capability::Operate, &own.query))?;
        let is_new = before.is_none();
        self.registry.save_query(name, query, self.now).map(|_| is_new)
    }

    pub(super) fn drop_query(&mut self, namespace: &str, name: &str) -> Result<u64, Error> {
        self.saved_query(namespace, name).map_or(Ok(()), |own| self.check_query(Capability::Operate, &own.query))?;
        if self.saved_query(namespace, name).is_none() {
            return Err(Error::new(Code::UnknownQuery, "name"));
        }
        self.registry.drop_query(namespace, name, self.now)
    }

    // The registry as a whole.

    pub(super) fn snapshot(&self) -> Result<Vec<u8>, Error> {
        self.check(Capability::Administer, "", "").map(|()| self.registry.snapshot())
    }

    pub(super) fn stats(&self) -> Result<Stats, Error> {
        self.check(Capability::Administer, "", "").map(|()| self.registry.stats())
    }

    // Changing.

    /// Refuses what only whoever holds an instance's token may do, and takes the proof of it: an operator whom a policy names needs none.
    fn check_token(&mut self, namespace: &str, service: &str, id: &str) -> Result<(), Error> {
        let Some(handle) = self.registry.lookup(namespace, service, id) else { return Ok(()) };
        let Some(guard) = self.registry.guard(handle) else { return Ok(()) };
        if self.grants.is_some() && self.may(Capability::Operate, namespace, service) {
            return Ok(());
        }
        if let Some(sequence) = self.shown.opens(guard, self.registry.epoch(), handle)? {
            self.registry.take_sequence(handle, sequence);
        }
        Ok(())
    }

    fn check_tokens(&mut self, ops: &[Op]) -> Result<(), Error> {
        for (at, op) in ops.iter().enumerate() {
            let checked = match op {
                Op::Register { registration: own, .. } => self.check_token(&own.namespace, &own.service, &own.id),
                Op::Renew { key, .. } | Op::Deregister { key, .. } | Op::SetHealth { key, .. } => {
                    self.check_token(&key.namespace, &key.service, &key.id)
                }
                Op::SetAdmin { .. } => Ok(()),
            };
            checked.map_err(|error| place(ops, at, error))?;
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, ops: &[Op]) -> Result<u64, Error> {
        let checked = match self.grants {
            None => None,
            Some(_) => {
                let checked = ops.iter().enumerate().map(|(at, op)| self.checked(op).map_err(|error| place(ops, at, error)));
                Some(checked.collect::<Result<Vec<_>, _>>()?)
            }
        };
        self.check_tokens(ops)?;
        self.registry.apply(checked.as_deref().unwrap_or(ops), self.now)
    }

    /// An operation that may be done, with whose it is.
    fn checked(&self, op: &Op) -> Result<Op, Error> {
        match op {
            Op::Register { registration, put } => Ok(Op::Register { registration: self.owned(registration)?, put: *put }),
            Op::Renew { key, .. } | Op::Deregister { key, .. } | Op::SetHealth { key, .. } => {
                self.owner(&key.namespace, &key.service, &key.id).map(|_| op.clone())
            }
            Op::SetAdmin { key, .. } => self.check(Capability::Operate, &key.namespace, &key.service).map(|()| op.clone()),
        }
    }

    /// Whose an instance is, if it is on record and anybody's.
    ///
    /// # Errors
    /// [`Code::PermissionDenied`](crate::Code::PermissionDenied) when it may not be changed: it is not one's own, and one may not change those of others.
    fn owner(&self, namespace: &str, service: &str, id: &str) -> Result<Option<String>, Error> {
        self.check(Capability::Register, namespace, service)?;
        let Some(handle) = self.registry.lookup(namespace, service, id) else { return Ok(None) };
        let owner = self.registry.metadata_value(handle, OWNER);
        if owner.as_ref() != Some(&self.who) {
            self.check(Capability::Operate, namespace, service)?;
        }
        Ok(owner)
    }

    /// A registration with whose it is. That of another stays the other's.
    fn owned(&self, own: &Registration) -> Result<Registration, Error> {
        let owner = self.owner(&own.namespace, &own.service, &own.id)?;
        let owner = owner.as_ref().unwrap_or(&self.who);
        let others = own.metadata.iter().filter(|(key, _)| *key != OWNER);
        Ok(Registration { metadata: Metadata::new(others.chain([(OWNER, owner.as_str())]))?, ..own.clone() })
    }

    pub(super) fn register(&mut self, registration: &Registration, put: Put) -> Result<Registered, Error> {
        let owned = if self.grants.is_some() { Some(self.owned(registration)?) } else { None };
        self.check_token(&registration.namespace, &registration.service, &registration.id)?;
        let registered = self.registry.register(owned.as_ref().unwrap_or(registration), put, self.now)?;
        if let Shown::Token(digest) = self.shown {
            self.registry.set_guard(&Key::of(registration), digest);
        }
        Ok(registered)
    }

    /// Gives a record that is new a token.
    pub(super) fn guard(&mut self, registration: &Registration, token: &str) {
        self.registry.set_guard(&Key::of(registration), token::digest(token));
    }

    pub(super) fn renew(&mut self, key: &Key, incarnation: u64) -> Result<(), Error> {
        if self.grants.is_some() {
            self.owner(&key.namespace, &key.service, &key.id)?;
        }
        self.check_token(&key.namespace, &key.service, &key.id)?;
        self.registry.renew(&key.namespace, &key.service, &key.id, incarnation, self.now).map(|_| ())
    }

    /// Renews the lease of an instance, which reports its health with that.
    pub(super) fn beat(&mut self, own: &Instance, health: Health) -> Result<(), Error> {
        let Instance { registration, handle, .. } = own;
        let incarnation = registration.incarnation;
        if registration.health != health {
            let key = Key::of(registration);
            let report = Op::SetHealth { key: key.clone(), health, incarnation: None };
            return self.apply(&[report, Op::Renew { key, incarnation }]).map(|_| ());
        }
        if self.grants.is_some() {
            self.owner(&registration.namespace, &registration.service, &registration.id)?;
        }
        self.check_token(&registration.namespace, &registration.service, &registration.id)?;
        self.registry.renew_handle(*handle, incarnation, self.now)
    }
}
