//! What each piece of a source's data said last: for sources that tell their changes piece by piece.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Decoded, Entry, FeedConfig, Part};
use crate::limits;
use crate::model::{AdminState, Health};
use crate::registry::Extent;

/// Pieces that are gone are remembered by their revision, so that an old word does not bring them back: so many more than there are pieces.
const GONE: usize = 1_024;

/// A service and an id.
pub(super) type Name = (String, String);

#[derive(Clone, Debug, Default)]
struct Piece {
    revision: Option<u64>,
    entries: Vec<Entry>,
}

/// The pieces by key, who is in them, and the states that a hash is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    pieces: BTreeMap<String, Piece>,
    owners: BTreeMap<Name, BTreeSet<String>>,
    gone: usize,
    /// The revision of the last listing: what is no later is in it.
    floor: u64,
    states: BTreeMap<Name, &'static str>,
}

impl Parts {
    /// Whether the states after a payload of changes have the hash that the source says: `UP_2_` for two that are up (Eureka's `appsHashCode`).
    pub(super) fn fits(&mut self, config: &FeedConfig, decoded: &Decoded) -> bool {
        let Some(hash) = decoded.hash.as_deref() else { return true };
        let mut states = if decoded.extent == Extent::Part { self.states.clone() } else { BTreeMap::new() };
        for name in &decoded.removed {
            states.remove(name);
        }
        states.extend(decoded.instances.iter().map(|entry| (name(entry), entry.state)));
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for state in states.values() {
            let count = counts.entry(state).or_default();
            *count = count.saturating_add(1);
        }
        let own: String = counts.iter().map(|(state, count)| alloc::format!("{state}_{count}_")).collect();
        // Of a listing, and of some of the services only, there is nothing to compare; of what was skipped, nothing is known.
        let fits = decoded.extent != Extent::Part || config.service.is_some() || decoded.skipped_total > 0 || own == hash;
        if fits {
            self.states = states;
        }
        fits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Turns what the pieces say now into what the instances are now. Pieces that are known say what they said; whom they alone name
    /// is told.
    pub(super) fn merge(&mut self, decoded: &mut Decoded, known: &BTreeSet<String>) -> Vec<Name> {
        if decoded.parts.is_empty() && self.pieces.is_empty() {
            return Vec::new();
        }
        let mut entries: Vec<Vec<Entry>> = decoded.parts.iter().map(|_| Vec::new()).collect();
        for entry in core::mem::take(&mut decoded.instances) {
            if let Some(part) = entries.get_mut(entry.part) {
                part.push(entry);
            }
        }
        let pieces = core::mem::take(&mut decoded.parts).into_iter().zip(entries);
        let part = decoded.extent == Extent::Part;
        let touched = if part { self.change(pieces) } else { self.replace(pieces, decoded.cursor.as_deref(), known) };
        let read = part || known.is_empty();
        let untouched = if read { Vec::new() } else { self.owners.keys().filter(|name| !touched.contains(*name)).cloned().collect() };
        for name in touched {
            match self.best(&name) {
                Some(entry) => decoded.instances.push(entry),
                None if part => decoded.removed.push(name),
                // That a listing does not name it is for the registry to believe.
                None => {}
            }
        }
        untouched
    }

    /// A listing: what it does not name is gone. Tells whom it is about, save those that only known pieces name.
    fn replace(
        &mut self,
        pieces: impl Iterator<Item = (Part, Vec<Entry>)>,
        cursor: Option<&str>,
        known: &BTreeSet<String>,
    ) -> BTreeSet<Name> {
        let pieces: Vec<(Part, Vec<Entry>)> = pieces.collect();
        let mut touched = BTreeSet::new();
        let keys: Vec<String> = self.pieces.keys().filter(|key| !known.contains(*key)).cloned().collect();
        let mut old: BTreeMap<String, Piece> = keys.into_iter().map(|key| (key.clone(), self.lift(&key, &mut touched))).collect();
        self.floor = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        for (part, entries) in pieces {
            let old = old.remove(&part.key).unwrap_or_else(|| self.lift(&part.key, &mut touched));
            touched.extend(entries.iter().chain(&old.entries).map(name));
            self.put(part, old, entries);
        }
        touched
    }

    /// Takes a piece out, and notes whom it named.
    fn lift(&mut self, key: &str, touched: &mut BTreeSet<Name>) -> Piece {
        let old = self.pieces.remove(key).unwrap_or_default();
        if old.entries.is_empty() && old.revision.is_some() {
            self.gone = self.gone.saturating_sub(1);
        }
        for entry in &old.entries {
            let name = name(entry);
            if let Some(keys) = self.owners.get_mut(&name) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owners.remove(&name);
                }
            }
            touched.insert(name);
        }
        old
    }

    /// Changes, in their order. Tells whom they are about.
    fn change(&mut self, pieces: impl Iterator<Item = (Part, Vec<Entry>)>) -> BTreeSet<Name> {
        let mut touched = BTreeSet::new();
        for (part, entries) in pieces {
            let old = self.pieces.get(&part.key);
            let known = old.and_then(|piece| piece.revision).unwrap_or(0).max(self.floor);
            if part.revision.is_some_and(|revision| revision <= known) {
                continue;
            }
            let old = self.lift(&part.key, &mut touched);
            touched.extend(entries.iter().map(name));
            self.put(part, old, entries);
        }
        touched
    }

    fn put(&mut self, part: Part, old: Piece, mut entries: Vec<Entry>) {
        if part.unread {
            let named: BTreeSet<Name> = entries.iter().map(name).collect();
            entries.extend(old.entries.into_iter().filter(|entry| !named.contains(&name(entry))));
        }
        if part.gone {
            entries.clear();
        }
        if entries.is_empty() && part.revision.is_none() {
            return;
        }
        if entries.is_empty() {
            self.gone = self.gone.saturating_add(1);
        }
        for entry in &entries {
            self.owners.entry(name(entry)).or_default().insert(part.key.clone());
        }
        self.pieces.insert(part.key, Piece { revision: part.revision, entries });
        if self.gone > GONE.saturating_add(self.pieces.len().saturating_sub(self.gone)) {
            // What is forgotten is older than all that is known: the floor keeps it from coming back.
            let newest = self.pieces.values().filter(|piece| piece.entries.is_empty()).filter_map(|piece| piece.revision).max();
            self.floor = self.floor.max(newest.unwrap_or(0));
            self.pieces.retain(|_, piece| !piece.entries.is_empty());
            self.gone = 0;
        }
    }

    /// What the pieces say of an instance: the best of them, so that one that moves from piece to piece is not taken out on the way. Those that are
    /// equally good each add their endpoints: a pod of two address families is in two slices.
    pub(super) fn best(&self, name: &Name) -> Option<Entry> {
        let keys = self.owners.get(name)?;
        let said = keys.iter().filter_map(|key| self.pieces.get(key)).flat_map(|piece| &piece.entries);
        let said = said.filter(|entry| entry.registration.service == name.0 && entry.registration.id == name.1);
        let mut best = said.clone().min_by_key(|entry| badness(entry)).cloned()?;
        let bar = badness(&best);
        for entry in said.filter(|entry| badness(entry) == bar) {
            for endpoint in &entry.registration.endpoints {
                let own = &mut best.registration.endpoints;
                if own.len() < limits::ENDPOINTS && !own.contains(endpoint) {
                    own.push(endpoint.clone());
                }
            }
        }
        Some(best)
    }
}

fn name(entry: &Entry) -> Name {
    (entry.registration.service.clone(), entry.registration.id.clone())
}

fn badness(entry: &Entry) -> (u8, u8) {
    let admin = match entry.admin {
        AdminState::Enabled => 0,
        AdminState::Draining => 1,
        AdminState::Disabled => 2,
    };
    let health = match entry.registration.health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Unhealthy => 3,
        _ => 2,
    };
    (admin, health)
}
