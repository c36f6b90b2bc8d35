//! Queries: who matches.
//!
//! Conditions that read one interned part of a record are asked once per distinct part, and where a query names a
//! metadata pair, only the records that can have it are looked at.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};
use core::cmp::Ordering;

use super::intern::Shape;
use super::store::{Service, Store};
use super::{Answer, Registry, blob};
use crate::model::{Availability, Health, Metadata, Version, Weight};
use crate::query::{Attribute, Compiled, Conjunct, Query, Reads, Subject};

impl Registry {
    /// Who matches a query, by service and id. With fallbacks: who matches the first rung that finds anybody. A query that does not
    /// [validate](Query::validate) finds nobody.
    pub fn query(&self, query: &Query) -> Answer {
        query.compile().map_or_else(|_| self.nobody(), |compiled| self.select(&compiled))
    }

    /// As [`query`](Self::query), with the query compiled before: what to do with one that is asked often.
    pub fn select(&self, compiled: &Compiled) -> Answer {
        let mut answer = self.nobody();
        let mut rungs = compiled.rungs().zip(0u32..).peekable();
        while let Some((rung, number)) = rungs.next() {
            answer.handles = self.rung(rung).into_iter().map(|slot| self.store.handle(slot)).collect();
            answer.rung = number;
            if !answer.handles.is_empty() || rungs.peek().is_none() {
                break;
            }
        }
        if answer.handles.is_empty() {
            answer.rung = 0;
        }
        answer.stale = self.sources.holds(compiled.namespace(), compiled.rungs().map(Compiled::service));
        answer.protected = compiled.rungs().any(|rung| self.is_protected(rung.namespace(), rung.service()));
        answer
    }

    fn nobody(&self) -> Answer {
        Answer { handles: Vec::new(), revision: self.revision, epoch: self.epoch, rung: 0, stale: false, protected: false }
    }

    fn is_protected(&self, namespace: &str, service: Option<&str>) -> bool {
        let services = &self.store.services;
        let held = |service: &Service| service.protection.held > 0;
        match service {
            Some(service) => services.find(namespace, service).and_then(|number| services.get(number)).is_some_and(held),
            // A service with something to hold has a pass ahead.
            None => self.passes.iter().filter_map(|(_, number)| services.get(*number)).any(|own| own.namespace == namespace && held(own)),
        }
    }

    /// Whether a record is in scope of one rung and all its conditions hold.
    pub(super) fn admits(&self, rung: &Compiled, slot: u32) -> bool {
        rung.matches(&Record::new(&self.store, slot))
    }

    /// The slots of one rung, by service and id, at most as many as its limit.
    fn rung(&self, rung: &Compiled) -> Vec<u32> {
        let store = &self.store;
        let limit = rung.limit().map_or(usize::MAX, |limit| limit as usize);
        let filter = Filter::new(store, rung.conjuncts());
        match rung.service() {
            Some(service) => {
                let members = store.services.find(rung.namespace(), service).and_then(|number| store.services.get(number));
                members
                    .map_or(&[][..], |service| &service.members)
                    .iter()
                    .copied()
                    .filter(|slot| filter.admits(*slot))
                    .take(limit)
                    .collect()
            }
            None => match Self::pair(rung.conjuncts()).map(|(key, value)| store.metadata.with_pair(key, value)) {
                Some(sets) => {
                    let sets = sets.into_iter().flatten().filter(|set| filter.admits_metadata(**set));
                    let slots = sets.flat_map(|set| store.metadata.members(*set)).copied();
                    let mut found: Vec<u32> =
                        slots.filter(|slot| in_namespace(store, *slot, rung.namespace()) && filter.admits(*slot)).collect();
                    sort_by_name(store, &mut found);
                    found.truncate(limit);
                    found
                }
                None => {
                    let services = store.services.list(Some(rung.namespace()));
                    let slots = services.flat_map(|(_, service)| service.members.iter().copied());
                    slots.filter(|slot| filter.admits(*slot)).take(limit).collect()
                }
            },
        }
    }

    /// A metadata pair that every match has.
    fn pair(conjuncts: &[Conjunct]) -> Option<(&str, &str)> {
        conjuncts.iter().find_map(|conjunct| match conjunct.as_equality() {
            // The empty text stands for a key with an empty value; it is indexed like any other.
            Some((Attribute::Metadata(key), value)) => Some((key.as_str(), value)),
            _ => None,
        })
    }
}

fn in_namespace(store: &Store, slot: u32, namespace: &str) -> bool {
    store.services.get(store.service(slot)).is_some_and(|service| service.namespace == namespace)
}

/// Sorts by service and id. The first 16 bytes of the name of the service decide most comparisons.
fn sort_by_name(store: &Store, slots: &mut Vec<u32>) {
    let prefix = |slot: u32| {
        let mut bytes = [0; 16];
        let name = store.services.get(store.service(slot)).map_or("", |service| service.name.as_str());
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        u128::from_be_bytes(bytes)
    };
    let by_name = |one: u32, other: u32| -> Ordering {
        let name = |slot| store.services.get(store.service(slot)).map(|service| service.name.as_str());
        let ids = || blob::compare_ids(store.spelled_id(one), store.spelled_id(other));
        if store.service(one) == store.service(other) { ids() } else { name(one).cmp(&name(other)) }
    };
    let mut keyed: Vec<(u128, u32)> = slots.iter().map(|slot| (prefix(*slot), *slot)).collect();
    keyed.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| by_name(one.1, other.1)));
    slots.clear();
    slots.extend(keyed.into_iter().map(|(_, slot)| slot));
}

/// The conditions of a rung by the part of a record they read, with the verdicts so far.
struct Filter<'a> {
    store: &'a Store,
    metadata: Vec<&'a Conjunct>,
    shape: Vec<&'a Conjunct>,
    rest: Vec<&'a Conjunct>,
    metadata_verdicts: Verdicts,
    shape_verdicts: Verdicts,
}

impl<'a> Filter<'a> {
    fn new(store: &'a Store, conjuncts: &'a [Conjunct]) -> Self {
        let shape_parts = Reads::TAGS | Reads::LOCALITY | Reads::VERSION | Reads::WEIGHT;
        let (metadata, others): (Vec<_>, Vec<_>) = conjuncts.iter().partition(|conjunct| Reads::METADATA.contains(conjunct.reads()));
        let (shape, rest) = others.into_iter().partition(|conjunct| shape_parts.contains(conjunct.reads()));
        Self {
            store,
            metadata,
            shape,
            rest,
            metadata_verdicts: Verdicts::new(store.metadata.bound()),
            shape_verdicts: Verdicts::new(store.shapes.bound()),
        }
    }

    fn admits(&self, slot: u32) -> bool {
        let store = self.store;
        self.admits_metadata(store.metadata_symbol(slot))
            && (self.shape.is_empty()
                || self.shape_verdicts.of(store.shape_symbol(slot), |symbol| {
                    store.shapes.get(symbol).is_some_and(|shape| self.shape.iter().all(|conjunct| conjunct.matches(&ShapePart(shape))))
                }))
            && self.rest.iter().all(|conjunct| conjunct.matches(&Record::new(store, slot)))
    }

    fn admits_metadata(&self, symbol: u32) -> bool {
        let store = self.store;
        self.metadata.is_empty()
            || self.metadata_verdicts.of(symbol, |symbol| {
                store.metadata.get(symbol).is_some_and(|set| self.metadata.iter().all(|conjunct| conjunct.matches(&MetadataPart(set))))
            })
    }
}

/// One verdict a symbol, found when it is first asked.
struct Verdicts {
    known: OnceCell<Vec<Cell<u8>>>,
    bound: usize,
}

impl Verdicts {
    fn new(bound: usize) -> Self {
        Self { known: OnceCell::new(), bound }
    }

    fn of(&self, symbol: u32, judge: impl Fn(u32) -> bool) -> bool {
        let known = self.known.get_or_init(|| alloc::vec![Cell::new(0); self.bound]);
        let Some(cell) = known.get(symbol as usize) else { return judge(symbol) };
        if cell.get() == 0 {
            cell.set(1 | u8::from(judge(symbol)) << 1);
        }
        cell.get() & 2 != 0
    }
}

/// One metadata set.
struct MetadataPart<'a>(&'a Metadata);

impl Subject for MetadataPart<'_> {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.0.get(key)
    }
}

/// What many records have alike besides their metadata.
struct ShapePart<'a>(&'a Shape);

impl Subject for ShapePart<'_> {
    fn has_tag(&self, tag: &str) -> bool {
        self.0.tags.contains(tag)
    }
    fn region(&self) -> &str {
        &self.0.locality.region
    }
    fn zone(&self) -> &str {
        &self.0.locality.zone
    }
    fn subzone(&self) -> &str {
        &self.0.locality.subzone
    }
    fn node(&self) -> &str {
        &self.0.locality.node
    }
    fn version(&self) -> Option<&Version> {
        self.0.version.as_ref()
    }
    fn weight(&self) -> Weight {
        self.0.weight
    }
}

/// A whole record. Its id is put together only if a condition asks for it.
struct Record<'a> {
    store: &'a Store,
    slot: u32,
    id: OnceCell<String>,
}

impl<'a> Record<'a> {
    fn new(store: &'a Store, slot: u32) -> Self {
        Self { store, slot, id: OnceCell::new() }
    }

    fn owner(&self) -> Option<&'a Service> {
        self.store.services.get(self.store.service(self.slot))
    }

    fn shape(&self) -> Option<&'a Shape> {
        self.store.shape(self.slot)
    }
}

impl Subject for Record<'_> {
    fn namespace(&self) -> &str {
        self.owner().map_or("", |service| &service.namespace)
    }
    fn service(&self) -> &str {
        self.owner().map_or("", |service| &service.name)
    }
    fn id(&self) -> &str {
        self.id.get_or_init(|| self.store.id(self.slot))
    }
    fn metadata(&self, key: &str) -> Option<&str> {
        self.store.metadata.get(self.store.metadata_symbol(self.slot))?.get(key)
    }
    fn has_tag(&self, tag: &str) -> bool {
        self.shape().is_some_and(|shape| shape.tags.contains(tag))
    }
    fn region(&self) -> &str {
        self.shape().map_or("", |shape| &shape.locality.region)
    }
    fn zone(&self) -> &str {
        self.shape().map_or("", |shape| &shape.locality.zone)
    }
    fn subzone(&self) -> &str {
        self.shape().map_or("", |shape| &shape.locality.subzone)
    }
    fn node(&self) -> &str {
        self.shape().map_or("", |shape| &shape.locality.node)
    }
    fn version(&self) -> Option<&Version> {
        self.shape()?.version.as_ref()
    }
    fn weight(&self) -> Weight {
        self.shape().map_or(Weight::ZERO, |shape| shape.weight)
    }
    fn health(&self) -> Health {
        self.store.health(self.slot)
    }
    fn availability(&self) -> Availability {
        self.store.availability(self.slot)
    }
}
