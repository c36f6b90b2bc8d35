//! The one way of every protocol to the registry: nothing is read or done but what whoever asks may do.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::policy::{Capability, Policy, denied};
use super::server::Server;
use crate::error::Error;
use crate::model::{Handle, Instance, Metadata, Registration};
use crate::query::Query;
use crate::registry::{Answer, Changes, Key, Op, Position, Put, Registered, Registry, ServiceSummary, Stats, View};
use crate::time::Timestamp;
use crate::value::Value;

/// The metadata key of who signed an instance in, where there is a policy. Nobody else writes it.
const OWNER: &str = "callboard-owner";

/// A registry as somebody may see and change it.
pub(super) struct Desk<'a> {
    registry: &'a mut Registry,
    policy: Option<&'a Policy>,
    /// Who asks; counts only where there is a policy.
    pub(super) who: String,
    now: Timestamp,
}

impl<'a> Desk<'a> {
    pub(super) fn new(server: &'a Server, registry: &'a mut Registry, who: String, now: Timestamp) -> Self {
        Self { registry, policy: server.policy.as_ref(), who, now }
    }

    /// The same for a shorter time.
    pub(super) fn lend(&mut self) -> Desk<'_> {
        Desk { registry: self.registry, policy: self.policy, who: self.who.clone(), now: self.now }
    }

    fn may(&self, capability: Capability, namespace: &str, service: &str) -> bool {
        self.policy.is_none_or(|policy| policy.allows(&self.who, capability, namespace, service))
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

    pub(super) fn now(&self) -> Timestamp {
        self.registry.now()
    }

    pub(super) fn position_before(&mut self, age: Duration) -> Option<Position> {
        self.registry.position_before(age)
    }

    // Reading: what may not be read is not there.

    pub(super) fn instance(&self, handle: Handle) -> Option<Instance> {
        let own = self.registry.instance(handle)?;
        self.may_read(&own.registration.namespace, &own.registration.service).then_some(own)
    }

    pub(super) fn registration(&self, handle: Handle) -> Option<Registration> {
        let own = self.registry.registration(handle)?;
        self.may_read(&own.namespace, &own.service).then_some(own)
    }

    pub(super) fn lookup(&self, namespace: &str, service: &str, id: &str) -> Option<Handle> {
        self.registry.lookup(namespace, service, id).filter(|_| self.may_read(namespace, service))
    }

    pub(super) fn find(&self, namespace: &str, id: &str) -> Vec<Handle> {
        let found = self.registry.find(namespace, id).into_iter();
        found.filter(|handle| self.instance(*handle).is_some()).collect()
    }

    pub(super) fn services(&self, namespace: Option<&str>) -> Vec<ServiceSummary> {
        let mut all = self.registry.services(namespace);
        all.retain(|summary| self.may_read(&summary.namespace, &summary.service));
        all
    }

    pub(super) fn query(&self, query: &Query) -> Answer {
        let mut answer = self.registry.query(query);
        if self.policy.is_some() {
            answer.handles.retain(|handle| self.instance(*handle).is_some());
        }
        answer
    }

    pub(super) fn answer_value(&self, answer: &Answer) -> Value {
        self.registry.answer_value(answer)
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

    /// Whether what a view follows has changed. It is for whoever asks to be told what may be read of it.
    pub(super) fn is_new_to(&self, view: &mut View) -> bool {
        view.poll(self.registry).is_some()
    }

    // The registry as a whole.

    pub(super) fn snapshot(&self) -> Result<Vec<u8>, Error> {
        self.check(Capability::Administer, "", "").map(|()| self.registry.snapshot())
    }

    pub(super) fn stats(&self) -> Result<Stats, Error> {
        self.check(Capability::Administer, "", "").map(|()| self.registry.stats())
    }

    // Changing.

    pub(super) fn apply(&mut self, ops: &[Op], now: Timestamp) -> Result<u64, Error> {
        let place = |at: usize, error: Error| if ops.len() > 1 { error.within(&alloc::format!("ops[{at}]")) } else { error };
        if self.policy.is_none() {
            return self.registry.apply(ops, now);
        }
        let checked = ops.iter().enumerate().map(|(at, op)| self.checked(op).map_err(|error| place(at, error)));
        let checked = checked.collect::<Result<Vec<_>, _>>()?;
        self.registry.apply(&checked, now)
    }

    /// An operation that may be done, with whose it is.
    fn checked(&self, op: &Op) -> Result<Op, Error> {
        match op {
            Op::Register { registration, put } => Ok(Op::Register { registration: self.owned(registration)?, put: *put }),
            Op::Renew { key, .. } | Op::Deregister { key, .. } | Op::SetHealth { key, .. } => self.check_own(key).map(|()| op.clone()),
            Op::SetAdmin { key, .. } => self.check(Capability::Operate, &key.namespace, &key.service).map(|()| op.clone()),
        }
    }

    /// Whether an instance may be changed: it is one's own, or one may change those of others. Who may not know of it is told the same either way.
    fn check_own(&self, key: &Key) -> Result<(), Error> {
        self.check(Capability::Register, &key.namespace, &key.service)?;
        let handle = self.registry.lookup(&key.namespace, &key.service, &key.id);
        let Some(handle) = handle else { return Ok(()) };
        let is_own = self.registry.metadata_value(handle, OWNER).is_some_and(|owner| owner == self.who);
        if is_own { Ok(()) } else { self.check(Capability::Operate, &key.namespace, &key.service) }
    }

    /// A registration with whose it is. That of another stays the other's.
    fn owned(&self, own: &Registration) -> Result<Registration, Error> {
        self.check_own(&Key::new(own.namespace.as_str(), own.service.as_str(), own.id.as_str()))?;
        let before = self.registry.lookup(&own.namespace, &own.service, &own.id);
        let owner = before.and_then(|handle| self.registry.metadata_value(handle, OWNER)).unwrap_or_else(|| self.who.clone());
        let others = own.metadata.iter().filter(|(key, _)| *key != OWNER);
        Ok(Registration { metadata: Metadata::new(others.chain([(OWNER, owner.as_str())]))?, ..own.clone() })
    }

    pub(super) fn register(&mut self, registration: &Registration, put: Put, now: Timestamp) -> Result<Registered, Error> {
        if self.policy.is_none() {
            return self.registry.register(registration, put, now);
        }
        let owned = self.owned(registration)?;
        self.registry.register(&owned, put, now)
    }

    pub(super) fn renew(&mut self, namespace: &str, service: &str, id: &str, incarnation: u64, now: Timestamp) -> Result<(), Error> {
        if self.policy.is_some() {
            self.check_own(&Key::new(namespace, service, id))?;
        }
        self.registry.renew(namespace, service, id, incarnation, now).map(|_| ())
    }

    pub(super) fn renew_handle(&mut self, handle: Handle, incarnation: u64, now: Timestamp) -> Result<(), Error> {
        if self.policy.is_some()
            && let Some(own) = self.registry.registration(handle)
        {
            self.check_own(&Key::new(own.namespace, own.service, own.id))?;
        }
        self.registry.renew_handle(handle, incarnation, now)
    }
}
