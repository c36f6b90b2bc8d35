//! The operator's words, by the names they are about, whether or not there is such a record now.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::ops::Key;
use crate::model::{AdminState, Override};
use crate::time::Timestamp;

type Names<T> = BTreeMap<String, T>;

/// The overrides in force and when they end.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    names: Names<Names<Names<Override>>>,
    ends: BTreeSet<(Timestamp, Key)>,
    count: usize,
}

impl Overrides {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, namespace: &str, service: &str, id: &str) -> Option<&Override> {
        self.names.get(namespace)?.get(service)?.get(id)
    }

    /// All of them in order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = ([&str; 3], &Override)> {
        self.names.iter().flat_map(|(namespace, services)| {
            services.iter().flat_map(move |(service, ids)| ids.iter().map(move |(id, own)| ([namespace.as_str(), service, id], own)))
        })
    }

    pub(super) fn set(&mut self, key: &Key, own: Override) {
        self.lift(key);
        if let Some(until) = own.until {
            self.ends.insert((until, key.clone()));
        }
        let services = self.names.entry(key.namespace.clone()).or_default();
        services.entry(key.service.clone()).or_default().insert(key.id.clone(), own);
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn lift(&mut self, key: &Key) -> Option<Override> {
        let services = self.names.get_mut(&key.namespace)?;
        let ids = services.get_mut(&key.service)?;
        let gone = ids.remove(&key.id)?;
        if ids.is_empty() {
            services.remove(&key.service);
        }
        if services.is_empty() {
            self.names.remove(&key.namespace);
        }
        if let Some(until) = gone.until {
            self.ends.remove(&(until, key.clone()));
        }
        self.count = self.count.saturating_sub(1);
        Some(gone)
    }

    /// When the next one ends.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Ends those that are due: a drain turns into disabled, anything else is lifted. Tells whom it was about.
    pub(super) fn end(&mut self, now: Timestamp) -> Vec<Key> {
        let mut ended = Vec::new();
        while let Some((until, key)) = self.ends.first().cloned()
            && until <= now
        {
            if let Some(own) = self.lift(&key)
                && own.state == AdminState::Draining
            {
                self.set(&key, Override { state: AdminState::Disabled, until: None, ..own });
            }
            ended.push(key);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_or_lifted_leaves_nothing() {
        let mut overrides = Overrides::default();
        let key = |service: &str| Key::new("n", service, "i");
        let own = |secs| Override { state: AdminState::Disabled, until: Some(Timestamp::from_secs(secs)), reason: String::new() };
        for (service, secs) in [("s", 1), ("s", 2), ("t", 3)] {
            overrides.set(&key(service), own(secs));
        }
        assert_eq!((overrides.len(), overrides.ends.len(), overrides.deadline()), (2, 2, Some(Timestamp::from_secs(2))));
        assert_eq!(overrides.lift(&key("s")), Some(own(2)));
        assert_eq!((overrides.get("n", "s", "i"), overrides.get("n", "t", "i")), (None, Some(&own(3))));
        assert_eq!(overrides.end(Timestamp::from_secs(3)), [key("t")]);
        assert!(overrides.names.is_empty() && overrides.ends.is_empty() && overrides.len() == 0);
    }
}
