//! The services: their names in order, their members in order of id, and their counts.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use hashbrown::HashTable;

use super::intern::chain;
use super::protect::Protection;

/// A service and its members.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    /// Slots in order of id.
    pub(super) members: Vec<u32>,
    /// Members with a lease.
    pub(super) leased: u32,
    /// Members whose lease is suspect.
    pub(super) suspects: u32,
    /// The revision that last changed one of them.
    pub(super) revision: u64,
    /// Grows with the name among all services.
    pub(super) rank: u64,
    pub(super) protection: Protection,
}

/// How far apart the ranks of neighbours are at first.
const RANK_STEP: u64 = 1 << 32;

/// The services, by number, by name and in order of name. One without members is forgotten.
#[derive(Clone, Debug)]
pub(super) struct Services {
    seed: u64,
    all: Vec<Option<Box<Service>>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// In order of namespace and name.
    order: Vec<u32>,
}

impl Services {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, all: Vec::new(), free: Vec::new(), index: HashTable::new(), order: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// One past the highest number ever given out.
    pub(super) fn bound(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Service> {
        self.all.get(number as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Service> {
        self.all.get_mut(number as usize)?.as_deref_mut()
    }

    fn hash(seed: u64, namespace: &str, name: &str) -> u64 {
        chain(seed, [namespace.as_bytes(), name.as_bytes()])
    }

    #[inline]
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<u32> {
        let same = |at: &u32| self.get(*at).is_some_and(|own| *own.name == *name && *own.namespace == *namespace);
        self.index.find(Self::hash(self.seed, namespace, name), same).copied()
    }

    /// The services of a namespace, or of all, in order.
    pub(super) fn list(&self, namespace: Option<&str>) -> impl Iterator<Item = (u32, &Service)> {
        self.range(namespace).iter().filter_map(|number| Some((*number, self.get(*number)?)))
    }

    /// Whether every service is in this namespace.
    pub(super) fn are_all_in(&self, namespace: &str) -> bool {
        self.range(Some(namespace)).len() == self.order.len()
    }

    fn range(&self, namespace: Option<&str>) -> &[u32] {
        let Some(namespace) = namespace else { return &self.order };
        let up_to = |wanted: Ordering| {
            self.order.partition_point(|number| self.get(*number).is_some_and(|own| (*own.namespace).cmp(namespace) <= wanted))
        };
        self.order.get(up_to(Ordering::Less)..up_to(Ordering::Equal)).unwrap_or_default()
    }

    fn place(&self, namespace: &str, name: &str) -> usize {
        self.order.partition_point(|number| self.get(*number).is_some_and(|own| (&*own.namespace, &*own.name) < (namespace, name)))
    }

    /// The number of a service, made when it is new.
    pub(super) fn enter(&mut self, namespace: &str, name: &str) -> u32 {
        if let Some(number) = self.find(namespace, name) {
            return number;
        }
        let place = self.place(namespace, name);
        // A neighbour in the same namespace lends its copy of the name of it.
        let before = place.checked_sub(1).and_then(|at| self.order.get(at)).and_then(|number| self.get(*number));
        let shared = before.filter(|own| *own.namespace == *namespace).map(|own| own.namespace.clone());
        let service = Service {
            namespace: shared.unwrap_or_else(|| namespace.into()),
            name: name.into(),
            members: Vec::new(),
            leased: 0,
            suspects: 0,
            revision: 0,
            rank: 0,
            protection: Protection::default(),
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(slot) = self.all.get_mut(number as usize) {
                    *slot = Some(Box::new(service));
                }
                number
            }
            None => {
                self.all.push(Some(Box::new(service)));
                // There are no more services than instances.
                self.all.len().saturating_sub(1) as u32
            }
        };
        self.order.insert(place, number);
        self.rank(place);
        let Self { seed, all, index, .. } = self;
        index.insert_unique(Self::hash(*seed, namespace, name), number, |at| match all.get(*at as usize) {
            Some(Some(own)) => Self::hash(*seed, &own.namespace, &own.name),
            _ => 0,
        });
        number
    }

    /// Gives the service at a place of the order a rank between those of its neighbours; all of them new ones, when
    /// there is none.
    fn rank(&mut self, place: usize) {
        let rank = |place: Option<usize>| place.and_then(|place| self.order.get(place)).and_then(|at| self.get(*at)).map(|own| own.rank);
        let (before, after) = (rank(place.checked_sub(1)), rank(place.checked_add(1)));
        let low = before.unwrap_or(0);
        let middle = match after {
            Some(high) => low.midpoint(high),
            None => low.saturating_add(RANK_STEP),
        };
        if middle > low && after.is_none_or(|high| middle < high) {
            if let Some(own) = self.order.get(place).copied().and_then(|number| self.get_mut(number)) {
                own.rank = middle;
            }
            return;
        }
        for (number, place) in self.order.iter().zip(1u64..) {
            if let Some(Some(own)) = self.all.get_mut(*number as usize) {
                own.rank = RANK_STEP.saturating_mul(place);
            }
        }
    }

    /// Forgets a service that has no members left.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(own) = self.get(number).filter(|own| own.members.is_empty()) else { return };
        let (hash, place) = (Self::hash(self.seed, &own.namespace, &own.name), self.place(&own.namespace, &own.name));
        if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        if self.order.get(place) == Some(&number) {
            self.order.remove(place);
        }
        if let Some(slot) = self.all.get_mut(number as usize) {
            *slot = None;
        }
        self.free.push(number);
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.order.capacity().saturating_add(self.free.capacity()).saturating_mul(4);
        let tables = self.all.capacity().saturating_mul(8).saturating_add(self.index.allocation_size()).saturating_add(lists);
        let own = |service: &Service| {
            let members = service.members.capacity().saturating_mul(4);
            members.saturating_add(service.name.len()).saturating_add(size_of::<Service>()).saturating_add(16)
        };
        self.all.iter().flatten().fold(tables, |sum, service| sum.saturating_add(own(service)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String};

    #[test]
    fn services_stand_in_order_and_namespaces_apart() {
        let mut services = Services::new(3);
        for name in ["b", "a", "c", "a"] {
            for namespace in ["dev2", "dev", "prod"] {
                services.enter(namespace, name);
            }
        }
        let names = |services: &Services, namespace| -> Vec<String> {
            services.list(namespace).map(|(_, own)| format!("{}/{}", own.namespace, own.name)).collect()
        };
        assert_eq!(names(&services, Some("dev")), ["dev/a", "dev/b", "dev/c"]);
        assert_eq!(names(&services, Some("de")), [""; 0]);
        assert_eq!((names(&services, None).len(), services.are_all_in("dev")), (9, false));
        let number = services.find("dev", "b").unwrap();
        services.leave(number);
        assert_eq!((services.find("dev", "b"), services.len()), (None, 8));
        assert_eq!(services.enter("dev", "d"), number);
        assert_eq!(names(&services, Some("dev")), ["dev/a", "dev/c", "dev/d"]);
    }

    #[test]
    fn ranks_follow_the_order() {
        let mut services = Services::new(3);
        // Always in the same gap, so that it is used up again and again.
        for number in (0..200).rev() {
            for letter in ["m", "l"] {
                services.enter("n", &format!("{letter}{number:03}"));
                assert!(services.list(None).map(|(_, own)| own.rank).is_sorted_by(|one, other| one < other), "{letter}{number}");
            }
        }
        assert_eq!(services.len(), 400);
    }
}
