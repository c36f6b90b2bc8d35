//! A query that is followed: what changed in its answer since it was last asked.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Position, Registry};
use crate::error::Error;
use crate::model::{Handle, check_name};
use crate::order;
use crate::query::{Compiled, Query};
use crate::value::Value;

/// Follows the answer of a query: a watch, and what a balancer chooses from.
///
/// It belongs to its reader and the registry knows nothing of it. [`poll`](Self::poll) folds the change log into what is different
/// now, so a reader that is slow gets one net change per instance, never loses state, and costs no more than the live set. An
/// instance that stops matching is removed; one that matches again, or is another record under the same name, is added.
#[derive(Clone, Debug)]
pub struct View {
    query: Query,
    compiled: Compiled,
    position: Option<Position>,
    members: BTreeMap<Name, (Handle, u64)>,
    rung: u32,
    saved: Option<Saved>,
}

/// The name of the query that is followed, and the revision that saved it; none while nothing is saved.
#[derive(Clone, Debug)]
struct Saved {
    name: Box<str>,
    defined: Option<u64>,
}

type Name = (Box<str>, Box<str>);

/// An instance that left a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The handle it had.
    pub handle: Handle,
    /// Its service.
    pub service: Box<str>,
    /// Its id.
    pub id: Box<str>,
}

/// What is different in a view since the poll before. Each list is in order of service and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Instances that are new to the view, or are another record under a name it knew.
    pub added: Vec<Handle>,
    /// Instances that changed.
    pub updated: Vec<Handle>,
    /// Instances that are gone, or match no more.
    pub removed: Vec<Departed>,
    /// What the view is now true of.
    pub position: Position,
    /// Whether the view was read anew, because it is the first time, the log did not reach back, or the epoch is another.
    pub reset: bool,
    /// Which rung of the query finds the members.
    pub rung: u32,
}

impl Delta {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }

    /// Writes `{added, updated, removed, epoch, revision, reset, rung}`: instances as the registry that was polled has them, of
    /// those removed `{handle, service, id}`.
    pub fn to_value(&self, registry: &Registry) -> Value {
        let instances =
            |handles: &[Handle]| Value::List(handles.iter().filter_map(|handle| Some(registry.instance(*handle)?.to_value())).collect());
        let departed = |gone: &Departed| {
            Value::map([("handle", gone.handle.to_bits().into()), ("service", Value::from(&*gone.service)), ("id", Value::from(&*gone.id))])
        };
        Value::map([
            ("added", instances(&self.added)),
            ("updated", instances(&self.updated)),
            ("removed", Value::List(self.removed.iter().map(departed).collect())),
            ("epoch", self.position.epoch.into()),
            ("revision", self.position.revision.into()),
            ("reset", self.reset.into()),
            ("rung", u64::from(self.rung).into()),
        ])
    }
}

impl View {
    /// A view that has seen nothing yet.
    ///
    /// # Errors
    /// As [`Query::validate`].
    pub fn new(query: Query) -> Result<Self, Error> {
        let compiled = query.compile()?;
        Ok(Self { query, compiled, position: None, members: BTreeMap::new(), rung: 0, saved: None })
    }

    /// A view of the query that is [saved](Registry::save_query) under a name, whatever it is at the time of a poll; while there is none, nobody matches.
    ///
    /// # Errors
    /// [`Code::InvalidName`](crate::Code::InvalidName).
    pub fn saved(namespace: impl Into<String>, name: &str) -> Result<Self, Error> {
        check_name("name", name)?;
        let saved = Some(Saved { name: name.into(), defined: None });
        Ok(Self { saved, ..Self::new(Query::everything().namespace(namespace))? })
    }

    /// Who is asked for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The namespaces, and the services of them, that it looks at; of no service, that is at all of a namespace.
    #[cfg(feature = "serve")]
    pub(crate) fn scopes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.compiled.rungs().map(|rung| (rung.namespace(), rung.service()))
    }

    /// What it is true of; none before the first poll.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The handles of the instances in it, by service and id.
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.members.values().map(|(handle, _)| *handle)
    }

    /// How many instances are in it.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is different now; none when nothing is. The first poll answers even if nobody matches. A view is polled against one
    /// registry, or one restored from its snapshot: any other may share its epoch.
    #[inline]
    pub fn poll(&mut self, registry: &Registry) -> Option<Delta> {
        if self.position == Some(registry.position()) { None } else { self.catch_up(registry) }
    }

    /// The first poll for a reader that knows what was true at a position, such as one whose connection broke: what is different since then, if the
    /// log tells, and all of it as by [`poll`](Self::poll) if not. Nobody remembers what it was told: who is there is `updated`, also when new, and who is not
    /// is `removed`, also when it never was.
    #[cfg(feature = "serve")]
    pub(crate) fn poll_from(&mut self, registry: &Registry, known: Position) -> Option<Delta> {
        let all = self.poll(registry)?;
        let here = all.position;
        let since = || registry.log.since(known.revision).filter(|_| known.epoch == here.epoch && known.revision <= here.revision);
        let is_same = self.saved.as_ref().is_none_or(|saved| saved.defined.is_some_and(|defined| defined <= known.revision));
        let Some(changes) = since().filter(|_| is_same) else { return Some(all) };
        let mut names = BTreeMap::new();
        for change in changes.filter(|change| self.compiled.rungs().any(|rung| is_about(rung, change))) {
            names.insert((&*change.service, &*change.id), change.handle);
        }
        // Who takes the place of whom when a limit or a fallback decides is not in the log.
        if !names.is_empty() && (!self.query.fallbacks.is_empty() || self.query.limit.is_some()) {
            return Some(all);
        }
        let mut delta = Delta { position: here, rung: all.rung, ..Delta::default() };
        for ((service, id), handle) in names {
            match self.members.get(&(service.into(), id.into())) {
                Some((handle, _)) => delta.updated.push(*handle),
                None => delta.removed.push(Departed { handle, service: service.into(), id: id.into() }),
            }
        }
        (!delta.is_empty()).then_some(delta)
    }

    /// Whether a source in scope is held at its last good listing, and whether protection holds an instance.
    #[cfg(feature = "serve")]
    pub(crate) fn standing(&self, registry: &Registry) -> (bool, bool) {
        registry.standing(&self.compiled)
    }

    #[cold]
    fn catch_up(&mut self, registry: &Registry) -> Option<Delta> {
        let position = registry.position();
        let before = self.position.replace(position);
        let known = before.filter(|before| before.epoch == position.epoch && before.revision <= position.revision);
        let redefined = self.redefine(registry, known.is_none());
        let simple = self.query.fallbacks.is_empty() && self.query.limit.is_none();
        let touched = match known {
            _ if redefined => None,
            Some(_) if self.is_absent() => return None,
            Some(known) if self.is_untouched(registry, known.revision) => return None,
            Some(known) if simple => registry.log.since(known.revision).map(|changes| self.touched(changes)),
            _ => None,
        };
        let mut delta = match touched {
            Some(names) => self.fold(registry, names),
            None => self.reread(registry),
        };
        (delta.position, delta.rung) = (position, self.rung);
        // After a new epoch nothing that the reader knows by revision or handle is good any more.
        delta.reset = known.is_none() || (simple && known.is_some_and(|known| registry.log.since(known.revision).is_none()));
        (delta.reset || !delta.is_empty()).then_some(delta)
    }

    /// Takes the query that is saved now, if it is not the one that was; whether it is not. In a new epoch a revision alone does not tell.
    fn redefine(&mut self, registry: &Registry, anew: bool) -> bool {
        let Some(saved) = &mut self.saved else { return false };
        let own = registry.saved_query(&self.query.namespace, &saved.name);
        let before = core::mem::replace(&mut saved.defined, own.map(|own| own.revision));
        let changed = anew || before != saved.defined;
        if let Some((own, compiled)) = own.filter(|_| changed).and_then(|own| Some((own, own.query.compile().ok()?))) {
            (self.query, self.compiled) = (own.query.clone(), compiled);
        }
        changed
    }

    /// The name of the saved query that it follows, if it follows one.
    #[cfg(feature = "serve")]
    pub(crate) fn saved_name(&self) -> Option<&str> {
        self.saved.as_ref().map(|saved| &*saved.name)
    }

    /// Whether there is no query to follow.
    pub(crate) fn is_absent(&self) -> bool {
        self.saved.as_ref().is_some_and(|saved| saved.defined.is_none())
    }

    /// Whether no service that the query names has changed since.
    fn is_untouched(&self, registry: &Registry, revision: u64) -> bool {
        let services = &registry.store.services;
        let same = |rung: &Compiled| {
            let name = rung.service()?;
            match services.find(rung.namespace(), name).and_then(|number| services.get(number)) {
                Some(service) => Some(service.revision <= revision),
                None => Some(!self.members.keys().any(|(service, _)| **service == *name)),
            }
        };
        self.compiled.rungs().all(|rung| same(rung) == Some(true))
    }

    /// The names in scope that changes are about.
    fn touched<'a>(&self, changes: impl Iterator<Item = &'a super::Change>) -> BTreeSet<(&'a str, &'a str)> {
        // One by one: to collect them would bring a sort of its own.
        let mut names = BTreeSet::new();
        for change in changes.filter(|change| is_about(&self.compiled, change)) {
            names.insert((&*change.service, &*change.id));
        }
        names
    }

    /// Looks at these names again.
    fn fold(&mut self, registry: &Registry, names: BTreeSet<(&str, &str)>) -> Delta {
        let mut delta = Delta::default();
        for (service, id) in names {
            let slot = registry.slot(self.compiled.namespace(), service, id).filter(|slot| registry.admits(&self.compiled, *slot));
            let name: Name = (service.into(), id.into());
            match slot {
                Some(slot) => {
                    let entry = (registry.store.handle(slot), registry.store.revision(slot));
                    let before = self.members.insert(name.clone(), entry);
                    delta.note(name, before, entry);
                }
                None => {
                    if let Some((handle, _)) = self.members.remove(&name) {
                        delta.removed.push(Departed { handle, service: name.0, id: name.1 });
                    }
                }
            }
        }
        delta
    }

    /// Asks the whole query again.
    fn reread(&mut self, registry: &Registry) -> Delta {
        let answer = if self.is_absent() { registry.nobody() } else { registry.select(&self.compiled) };
        self.rung = answer.rung;
        let mut before = core::mem::take(&mut self.members);
        let mut delta = Delta::default();
        for handle in answer.handles {
            let slot = handle.slot();
            let (service, id) = registry.name(slot);
            let name: Name = (service.into(), id.into());
            let entry = (handle, registry.store.revision(slot));
            delta.note(name.clone(), before.remove(&name), entry);
            self.members.insert(name, entry);
        }
        let gone = before.into_iter().map(|((service, id), (handle, _))| Departed { handle, service, id });
        // One that another record replaced is named already, among others that were replaced.
        delta.removed.extend(gone);
        order::sort_few(&mut delta.removed, &mut |one, other| (&one.service, &one.id).cmp(&(&other.service, &other.id)));
        delta
    }
}

/// Whether a change is about a record in scope of a rung.
fn is_about(rung: &Compiled, change: &super::Change) -> bool {
    *change.namespace == *rung.namespace() && rung.service().is_none_or(|service| service == &*change.service)
}

impl Delta {
    /// Notes what an instance was and is. Another record under the same name is a removal and an addition.
    fn note(&mut self, name: Name, before: Option<(Handle, u64)>, now: (Handle, u64)) {
        match before {
            None => self.added.push(now.0),
            Some(before) if before == now => {}
            Some((handle, _)) if handle == now.0 => self.updated.push(now.0),
            Some((handle, _)) => {
                self.removed.push(Departed { handle, service: name.0, id: name.1 });
                self.added.push(now.0);
            }
        }
    }
}
