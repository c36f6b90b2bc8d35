//! What listings of foreign sources do to the model.

use std::collections::BTreeSet;

use callboard::Code;
use callboard::model::AddressClass;
use callboard::registry::{Listing, Put};

use super::{Doubt, Key, Model, Reconciled, Refused, Scope, micros};

impl Model {
    /// Makes the records of a source in a scope what its listing says, as far as it is believed.
    pub fn reconcile(&mut self, listing: &Listing, now: u64) -> Result<Reconciled, Refused> {
        self.observe(now);
        if !self.sources.contains(&listing.source) && self.sources.len() + 1 >= callboard::limits::SOURCES {
            return Err(Code::QuotaExceeded);
        }
        self.sources.insert(listing.source.clone());
        let in_scope = |key: &Key| key.0 == listing.namespace && listing.service.as_ref().is_none_or(|service| *service == key.1);
        let mut outcome = Reconciled::default();
        let before: Vec<(Key, u64)> = self
            .records
            .iter()
            .filter(|(key, record)| in_scope(key) && record.source == listing.source)
            .map(|(key, record)| (key.clone(), record.born))
            .collect();
        let mut named = BTreeSet::new();
        for registration in &listing.instances {
            let key = (registration.namespace.clone(), registration.service.clone(), registration.id.clone());
            let ordinary = registration.endpoints.iter().all(|endpoint| endpoint.host.class() == AddressClass::Ordinary);
            let new = named.insert((key.1.clone(), key.2.clone()));
            let (known, pending) = (self.records.contains_key(&key), self.pending.len());
            if !in_scope(&key)
                || !new
                || !(ordinary || self.config.allow_local_addresses)
                || self.register(registration, Put::default(), &listing.source, "reconcile").is_err()
            {
                outcome.skipped += 1;
            } else if !known {
                outcome.added += 1;
            } else if self.pending.len() > pending {
                outcome.updated += 1;
            }
        }
        let is_named = |key: &Key| named.contains(&(key.1.clone(), key.2.clone()));
        let is_told = |key: &Key| listing.removed.contains(&(key.1.clone(), key.2.clone()));
        let unnamed = before.iter().filter(|(key, _)| !is_named(key));
        let (told, dropped): (Vec<_>, Vec<_>) = unnamed.cloned().partition(|(key, _)| is_told(key));
        for (key, _) in &told {
            self.remove(key, "reconcile");
        }
        outcome.removed = told.len() as u32;
        let left = before.len() - told.len();
        let scope = (listing.source.clone(), listing.namespace.clone(), listing.service.clone());
        // What was doubted stays so, though what came since may make it a smaller part.
        let again = self.doubts.get(&scope).is_some_and(|doubt| doubt.drops == dropped);
        let doubtful = again || dropped.len() == left || dropped.len() * 2 > left;
        if !dropped.is_empty() && doubtful && !self.confirms(&scope, &dropped) {
            outcome.held = dropped.len() as u32;
        } else {
            self.doubts.remove(&scope);
            for (key, _) in &dropped {
                self.remove(key, "reconcile");
            }
            outcome.removed += dropped.len() as u32;
        }
        self.commit();
        Ok(outcome)
    }

    /// Whether a source has said often and for long enough that these are gone.
    fn confirms(&mut self, scope: &Scope, drops: &[(Key, u64)]) -> bool {
        let first = Doubt { drops: drops.to_vec(), first: self.now, repeats: 0 };
        let doubt = self.doubts.entry(scope.clone()).or_insert_with(|| first.clone());
        if doubt.drops != drops {
            *doubt = first;
        }
        doubt.repeats += 1;
        doubt.repeats >= self.config.confirm_repeats && self.now - doubt.first >= micros(self.config.confirm_after)
    }

    /// Believes a source; tells how many records are gone for it.
    pub fn acknowledge(&mut self, source: &str, now: u64) -> u32 {
        self.observe(now);
        let mut removed = 0;
        let believed: Vec<Scope> = self.doubts.keys().filter(|scope| scope.0 == source).cloned().collect();
        for scope in believed {
            for (key, born) in self.doubts.remove(&scope).map(|doubt| doubt.drops).unwrap_or_default() {
                if self.records.get(&key).is_some_and(|record| record.born == born) {
                    self.remove(&key, "reconcile");
                    removed += 1;
                }
            }
        }
        self.commit();
        removed
    }

    /// Whether an answer about a service, or about all of a namespace, rests on a listing that is doubted.
    pub fn is_stale(&self, namespace: &str, service: Option<&str>) -> bool {
        let meets = |own: &Option<String>| service.is_none() || own.is_none() || own.as_deref() == service;
        self.doubts.keys().any(|(_, own, of)| own == namespace && meets(of))
    }
}
