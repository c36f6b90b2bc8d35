//! Queries: who matches.
//!
//! Conditions that read one shared part of a record are asked once per distinct value of the part. Where a query names metadata
//! pairs, tags or places that many records have, the bitmaps of these are intersected first, and only what is left is looked at.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use super::columns::Flags;
use super::facet::{Facet, Marks};
use super::intern::Pools;
use super::service::Service;
use super::store::Store;
use super::{Answer, Registry, blob};
use crate::model::{Availability, Health, Version, Weight};
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
        (answer.stale, answer.protected) = self.standing(compiled);
        answer
    }

    /// Whether a source in scope is held at its last good listing, and whether protection holds an instance.
    pub(super) fn standing(&self, compiled: &Compiled) -> (bool, bool) {
        let stale = self.sources.holds(compiled.namespace(), compiled.rungs().map(Compiled::service));
        #[cfg(feature = "store")]
        let stale = stale || self.touched.stale;
        (stale, compiled.rungs().any(|rung| self.is_protected(rung.namespace(), rung.service())))
    }

    pub(super) fn nobody(&self) -> Answer {
        Answer { handles: Vec::new(), revision: self.revision, epoch: self.epoch, rung: 0, stale: false, protected: false }
    }

    fn is_protected(&self, namespace: &str, service: Option<&str>) -> bool {
        let services = &self.store.services;
        let held = |service: &Service| service.protection.held > 0;
        match service {
            Some(service) => services.find(namespace, service).and_then(|number| services.get(number)).is_some_and(held),
            // A service with something to hold has a pass ahead.
            None => self.passes.iter().filter_map(|(_, number)| services.get(*number)).any(|own| *own.namespace == *namespace && held(own)),
        }
    }

    /// A record as a condition sees it.
    pub(super) fn subject(&self, slot: u32) -> impl Subject {
        Record::new(&self.store, slot)
    }

    /// Whether a record is in scope of one rung and all its conditions hold.
    pub(super) fn admits(&self, rung: &Compiled, slot: u32) -> bool {
        rung.matches(&Record::new(&self.store, slot))
    }

    /// The slots of one rung, by service and id, at most as many as its limit.
    fn rung(&self, rung: &Compiled) -> Vec<u32> {
        let store = &self.store;
        let limit = rung.limit().map_or(usize::MAX, |limit| limit as usize);
        let Some(filter) = Filter::new(store, rung) else { return Vec::new() };
        let service = rung.service().map(|service| store.services.find(rung.namespace(), service));
        let members = match service {
            Some(Some(service)) => store.services.get(service).map_or(0, |service| service.members.len()),
            Some(None) => return Vec::new(),
            None => store.len(),
        };
        if filter.is_worth_a_scan(members) {
            let mut found = filter.scan(service.flatten());
            sort_by_name(store, &mut found);
            found.truncate(limit);
            return found;
        }
        // Services and their members stand in order already.
        let admitted = |service: &Service| service.members.iter().copied().filter(|slot| filter.admits(*slot)).collect::<Vec<_>>();
        match service.flatten() {
            Some(service) => {
                let members = store.services.get(service).map_or(&[][..], |service| &service.members);
                members.iter().copied().filter(|slot| filter.admits(*slot)).take(limit).collect()
            }
            None => {
                let mut found = Vec::new();
                for (_, service) in store.services.list(Some(rung.namespace())) {
                    found.extend(admitted(service));
                    if found.len() >= limit {
                        break;
                    }
                }
                found.truncate(limit);
                found
            }
        }
    }
}

/// Sorts by service and id. The first bytes of the id decide most comparisons within a service.
fn sort_by_name(store: &Store, slots: &mut Vec<u32>) {
    let key = |slot: u32| (store.owner(slot).map_or(0, |service| service.rank), blob::text_prefix(store.spelled_id(slot)));
    let mut keyed: Vec<((u64, u64), u32)> = slots.iter().map(|slot| (key(*slot), *slot)).collect();
    let by_id = |one: u32, other: u32| blob::compare_ids(store.spelled_id(one), store.spelled_id(other));
    keyed.sort_unstable_by(|(one, slot), (other, other_slot)| one.cmp(other).then_with(|| by_id(*slot, *other_slot)));
    slots.clear();
    slots.extend(keyed.into_iter().map(|(_, slot)| slot));
}

/// The conditions of a rung by the part of a record they read, with the verdicts so far.
struct Filter<'a> {
    store: &'a Store,
    namespace: &'a str,
    /// Of each condition that is a set of dense facets, their bitmaps: one of them must have the slot.
    marks: Vec<Vec<&'a Marks>>,
    /// How many records the rarest of those conditions lets through.
    rarest: usize,
    metadata: Part<'a>,
    locality: Part<'a>,
    profile: Part<'a>,
    state: Part<'a>,
    rest: Vec<&'a Conjunct>,
    services: Verdicts,
}

/// Conditions on one part of a record, and the verdicts on its values.
struct Part<'a> {
    conjuncts: Vec<&'a Conjunct>,
    verdicts: Verdicts,
}

impl Part<'_> {
    fn of(&self, number: u32, subject: &impl Subject) -> bool {
        self.conjuncts.is_empty() || self.verdicts.of(number, || self.conjuncts.iter().all(|conjunct| conjunct.matches(subject)))
    }
}

/// The facets of which a record must have one, when a condition is as simple as that; none of them when no record can
/// match.
fn facets(store: &Store, conjunct: &Conjunct) -> Option<Vec<u32>> {
    let (attribute, values) = conjunct.as_one_of()?;
    let [region, zone, subzone, node] = Facet::PLACES;
    let key = match attribute {
        Attribute::Metadata(key) => match store.pools.find_key(key) {
            Some(key) => key,
            None => return Some(Vec::new()),
        },
        Attribute::Tags => Facet::TAG,
        Attribute::Region => region,
        Attribute::Zone => zone,
        Attribute::Subzone => subzone,
        Attribute::Node => node,
        _ => return None,
    };
    Some(values.iter().filter_map(|value| store.pools.find_facet(key, value)).collect())
}

impl<'a> Filter<'a> {
    /// None when no record can match.
    fn new(store: &'a Store, rung: &'a Compiled) -> Option<Self> {
        let pools = &store.pools;
        let part = |bound: usize| Part { conjuncts: Vec::new(), verdicts: Verdicts::new(bound) };
        let mut filter = Self {
            store,
            namespace: rung.namespace(),
            marks: Vec::new(),
            rarest: store.len(),
            metadata: part(pools.metadata.bound()),
            locality: part(pools.localities.bound()),
            profile: part(pools.profiles.bound()),
            state: part(Flags::STATES),
            rest: Vec::new(),
            services: Verdicts::new(store.services.bound()),
        };
        for conjunct in rung.conjuncts() {
            if let Some(facets) = facets(store, conjunct) {
                let facets: Vec<&Facet> = facets.into_iter().filter_map(|facet| pools.facets.get(facet)).collect();
                if facets.is_empty() {
                    return None;
                }
                if let Some(marks) = facets.iter().map(|facet| facet.marks.as_ref()).collect::<Option<Vec<_>>>() {
                    let records = facets.iter().fold(0usize, |sum, facet| sum.saturating_add(facet.records as usize));
                    filter.rarest = filter.rarest.min(records);
                    filter.marks.push(marks);
                    continue;
                }
            }
            let reads = conjunct.reads();
            let part = [
                (Reads::METADATA, &mut filter.metadata),
                (Reads::LOCALITY, &mut filter.locality),
                (Reads::TAGS | Reads::VERSION | Reads::WEIGHT, &mut filter.profile),
                (Reads::HEALTH | Reads::AVAILABILITY, &mut filter.state),
            ]
            .into_iter()
            .find(|(parts, _)| parts.contains(reads));
            match part {
                Some((_, part)) => part.conjuncts.push(conjunct),
                None => filter.rest.push(conjunct),
            }
        }
        Some(filter)
    }

    /// Whether to go through the bitmaps, and sort what is found, instead of through so many members in their order.
    fn is_worth_a_scan(&self, members: usize) -> bool {
        /// A word of every bitmap costs about as much as a look at so many members.
        const WORDS: usize = 8;
        /// To look at a record and sort it costs about as much as a look at so many members.
        const SORT: usize = 4;
        let words = (self.store.bound() as usize / 64).saturating_mul(self.marks.len()) / WORDS;
        !self.marks.is_empty() && words.saturating_add(self.rarest.saturating_mul(SORT)) < members.saturating_mul(SORT)
    }

    /// The slots that all bitmaps have and that match.
    fn scan(&self, service: Option<u32>) -> Vec<u32> {
        let store = self.store;
        let everywhere = service.is_none() && store.services.are_all_in(self.namespace);
        let in_scope = |slot: u32| {
            let own = store.service(slot);
            let in_namespace = || store.services.get(own).is_some_and(|service| *service.namespace == *self.namespace);
            everywhere || service.map_or_else(|| self.services.of(own, in_namespace), |service| own == service)
        };
        let mut found = Vec::new();
        for (word, first) in (0..store.bound().div_ceil(64) as usize).zip((0u32..).step_by(64)) {
            let mut bits = u64::MAX;
            for marks in &self.marks {
                bits &= marks.iter().fold(0, |any, marks| any | marks.words().get(word).copied().unwrap_or(0));
            }
            while bits != 0 {
                let slot = first.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
                if self.admits_unmarked(slot) && in_scope(slot) {
                    found.push(slot);
                }
            }
        }
        found
    }

    /// Whether a record that is in scope matches.
    fn admits(&self, slot: u32) -> bool {
        self.marks.iter().all(|marks| marks.iter().any(|marks| marks.has(slot))) && self.admits_unmarked(slot)
    }

    /// Whether the conditions hold that are not known from bitmaps.
    #[inline]
    fn admits_unmarked(&self, slot: u32) -> bool {
        let store = self.store;
        let (pools, shared, flags) = (&store.pools, store.shared(slot), store.flags(slot));
        self.state.of(flags.state() as u32, &StatePart(flags))
            && self.profile.of(shared.profile, &ProfilePart(pools, shared.profile))
            && self.metadata.of(shared.metadata, &MetadataPart(pools, shared.metadata))
            && self.locality.of(shared.locality, &LocalityPart(pools, shared.locality))
            && (self.rest.is_empty() || {
                let record = Record::new(store, slot);
                self.rest.iter().all(|conjunct| conjunct.matches(&record))
            })
    }
}

/// One verdict a number, found when it is first asked.
struct Verdicts {
    known: OnceCell<Vec<Cell<u8>>>,
    bound: usize,
}

impl Verdicts {
    fn new(bound: usize) -> Self {
        Self { known: OnceCell::new(), bound }
    }

    #[inline]
    fn of(&self, number: u32, judge: impl FnOnce() -> bool) -> bool {
        let known = self.known.get_or_init(|| alloc::vec![Cell::new(0); self.bound]);
        let Some(cell) = known.get(number as usize) else { return judge() };
        if cell.get() == 0 {
            cell.set(1 | u8::from(judge()) << 1);
        }
        cell.get() & 2 != 0
    }
}

/// One state of health, operator's word and lease.
struct StatePart(Flags);

impl Subject for StatePart {
    fn health(&self) -> Health {
        self.0.health()
    }
    fn availability(&self) -> Availability {
        self.0.availability()
    }
}

/// One metadata set.
struct MetadataPart<'a>(&'a Pools, u32);

impl Subject for MetadataPart<'_> {
    fn metadata(&self, key: &str) -> Option<&str> {
        let facets = self.0.metadata.get(self.1)?;
        let at = facets.binary_search_by(|facet| self.0.key(*facet).cmp(key)).ok()?;
        facets.get(at).map(|facet| self.0.value(*facet))
    }
}

/// One locality.
struct LocalityPart<'a>(&'a Pools, u32);

impl LocalityPart<'_> {
    fn part(&self, part: usize) -> &str {
        self.0.localities.get(self.1).and_then(|facets| facets.get(part)).map_or("", |facet| self.0.value(*facet))
    }
}

impl Subject for LocalityPart<'_> {
    fn region(&self) -> &str {
        self.part(0)
    }
    fn zone(&self) -> &str {
        self.part(1)
    }
    fn subzone(&self) -> &str {
        self.part(2)
    }
    fn node(&self) -> &str {
        self.part(3)
    }
}

/// One profile.
struct ProfilePart<'a>(&'a Pools, u32);

impl Subject for ProfilePart<'_> {
    fn has_tag(&self, tag: &str) -> bool {
        let tags = self.0.tags.get(self.0.profile(self.1).tags);
        tags.is_some_and(|tags| tags.binary_search_by(|facet| self.0.value(*facet).cmp(tag)).is_ok())
    }
    fn version(&self) -> Option<&Version> {
        self.0.version_of(self.0.profile(self.1).version)
    }
    fn weight(&self) -> Weight {
        Weight::from_thousandths(self.0.profile(self.1).weight).unwrap_or_default()
    }
}

/// A whole record. Its id is put together only if a condition asks for it.
struct Record<'a> {
    store: &'a Store,
    slot: u32,
    metadata: MetadataPart<'a>,
    locality: LocalityPart<'a>,
    profile: ProfilePart<'a>,
    id: OnceCell<String>,
}

impl<'a> Record<'a> {
    fn new(store: &'a Store, slot: u32) -> Self {
        let (pools, shared) = (&store.pools, store.shared(slot));
        Self {
            store,
            slot,
            metadata: MetadataPart(pools, shared.metadata),
            locality: LocalityPart(pools, shared.locality),
            profile: ProfilePart(pools, shared.profile),
            id: OnceCell::new(),
        }
    }
}

impl Subject for Record<'_> {
    fn namespace(&self) -> &str {
        self.store.owner(self.slot).map_or("", |service| &service.namespace)
    }
    fn service(&self) -> &str {
        self.store.owner(self.slot).map_or("", |service| &service.name)
    }
    fn id(&self) -> &str {
        self.id.get_or_init(|| self.store.id(self.slot))
    }
    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.metadata(key)
    }
    fn has_tag(&self, tag: &str) -> bool {
        self.profile.has_tag(tag)
    }
    fn region(&self) -> &str {
        self.locality.region()
    }
    fn zone(&self) -> &str {
        self.locality.zone()
    }
    fn subzone(&self) -> &str {
        self.locality.subzone()
    }
    fn node(&self) -> &str {
        self.locality.node()
    }
    fn version(&self) -> Option<&Version> {
        self.profile.version()
    }
    fn weight(&self) -> Weight {
        self.profile.weight()
    }
    fn health(&self) -> Health {
        self.store.health(self.slot)
    }
    fn availability(&self) -> Availability {
        self.store.availability(self.slot)
    }
}
