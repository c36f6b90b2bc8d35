//! What one would write in an afternoon: a map of vectors, and the usual ways to expire leases.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

use crate::workload::{ENV, Seed, TIER, ZONE};

/// An instance with a text for each field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    pub service: String,
    pub id: String,
    pub host: String,
    pub port: u16,
    pub region: String,
    pub zone: String,
    pub version: String,
    pub metadata: HashMap<String, String>,
    pub deadline: u64,
}

impl From<&Seed> for Instance {
    fn from(seed: &Seed) -> Self {
        let pairs = [("env", seed.env), ("tier", &seed.tier), ("team", &seed.team), ("build", &seed.build)];
        Self {
            service: seed.service.clone(),
            id: seed.id.clone(),
            host: seed.host.clone(),
            port: seed.port,
            region: seed.region.into(),
            zone: seed.zone.into(),
            version: seed.version_text(),
            metadata: pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            deadline: 0,
        }
    }
}

/// A registry as a map from service to instances.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Registry(pub HashMap<String, Vec<Instance>>);

impl Registry {
    /// Adds an instance, or replaces the one of its id.
    pub fn register(&mut self, instance: Instance) {
        let Some(members) = self.0.get_mut(&instance.service) else {
            self.0.insert(instance.service.clone(), vec![instance]);
            return;
        };
        match members.iter_mut().find(|member| member.id == instance.id) {
            Some(member) => *member = instance,
            None => members.push(instance),
        }
    }

    /// The instances that the query of the workload asks for.
    pub fn query(&self, versions: &semver::VersionReq) -> Vec<&Instance> {
        let has = |instance: &Instance, key: &str, value: &str| instance.metadata.get(key).is_some_and(|found| found == value);
        let matches = |instance: &&Instance| {
            has(instance, "env", ENV)
                && has(instance, "tier", TIER)
                && instance.zone == ZONE
                && semver::Version::parse(&instance.version).is_ok_and(|version| versions.matches(&version))
        };
        self.0.values().flatten().filter(matches).collect()
    }
}

/// Leases of numbered instances, which all last equally long. Returns how many ran out.
pub trait Expiry {
    fn renew(&mut self, instance: u32, deadline: u64);
    fn advance(&mut self, now: u64) -> usize;
}

/// The deadlines in order, each renewal a removal and an insertion.
#[derive(Default)]
pub struct Tree {
    order: BTreeMap<(u64, u32), ()>,
    deadlines: Vec<u64>,
}

impl Expiry for Tree {
    fn renew(&mut self, instance: u32, deadline: u64) {
        let at = instance as usize;
        if at >= self.deadlines.len() {
            self.deadlines.resize(at + 1, 0);
        }
        self.order.remove(&(self.deadlines[at], instance));
        self.order.insert((deadline, instance), ());
        self.deadlines[at] = deadline;
    }

    fn advance(&mut self, now: u64) -> usize {
        let mut expired = 0;
        while let Some(entry) = self.order.first_entry() {
            if entry.key().0 > now {
                break;
            }
            entry.remove();
            expired += 1;
        }
        expired
    }
}

/// A heap that gets an entry at each renewal; old ones are thrown away when they come up.
#[derive(Default)]
pub struct PushHeap {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    deadlines: Vec<u64>,
}

impl Expiry for PushHeap {
    fn renew(&mut self, instance: u32, deadline: u64) {
        let at = instance as usize;
        if at >= self.deadlines.len() {
            self.deadlines.resize(at + 1, 0);
        }
        self.deadlines[at] = deadline;
        self.heap.push(Reverse((deadline, instance)));
    }

    fn advance(&mut self, now: u64) -> usize {
        let mut expired = 0;
        while let Some(Reverse((deadline, instance))) = self.heap.peek().copied() {
            if deadline > now {
                break;
            }
            self.heap.pop();
            expired += usize::from(self.deadlines[instance as usize] == deadline);
        }
        expired
    }
}

/// A heap with one entry an instance, put back when it comes up too early: the best of the simple ways.
#[derive(Default)]
pub struct LazyHeap {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    deadlines: Vec<u64>,
}

impl Expiry for LazyHeap {
    fn renew(&mut self, instance: u32, deadline: u64) {
        let at = instance as usize;
        if at >= self.deadlines.len() {
            self.deadlines.resize(at + 1, 0);
        }
        if self.deadlines[at] == 0 {
            self.heap.push(Reverse((deadline, instance)));
        }
        self.deadlines[at] = deadline;
    }

    fn advance(&mut self, now: u64) -> usize {
        let mut expired = 0;
        while let Some(mut entry) = self.heap.peek_mut() {
            let Reverse((deadline, instance)) = *entry;
            if deadline > now {
                break;
            }
            let actual = self.deadlines[instance as usize];
            if actual > now {
                *entry = Reverse((actual, instance));
            } else {
                std::collections::binary_heap::PeekMut::pop(entry);
                expired += 1;
            }
        }
        expired
    }
}

/// No expiry at all: a look at whom the handle means, and a store. What a renewal cannot do without.
#[derive(Default)]
pub struct Bare {
    generations: Vec<u32>,
    deadlines: Vec<u64>,
}

impl Expiry for Bare {
    fn renew(&mut self, instance: u32, deadline: u64) {
        let at = instance as usize;
        if at >= self.deadlines.len() {
            self.deadlines.resize(at + 1, 0);
            self.generations.resize(at + 1, 1);
        }
        if self.generations[at] == std::hint::black_box(1) {
            self.deadlines[at] = deadline;
        }
    }

    fn advance(&mut self, _: u64) -> usize {
        0
    }
}
