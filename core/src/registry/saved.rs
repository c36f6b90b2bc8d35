//! Queries under a name, as Consul's prepared queries: with their fallbacks they say once, for everybody, whom to ask for and whom instead.

#[cfg(any(feature = "serve", feature = "store"))]
use alloc::collections::BTreeSet;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use super::Registry;
use super::ops::Key;
use super::record::Touch;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::check_name;
use crate::query::Query;
use crate::time::Timestamp;
use crate::value::Value;

/// A query under a name of its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedQuery {
    /// The name, spelled as services are.
    pub name: String,
    /// The query.
    pub query: Query,
    /// The revision that saved it.
    pub revision: u64,
}

impl SavedQuery {
    /// Writes `{name, query, revision}`.
    pub fn to_value(&self) -> Value {
        Value::map([("name", self.name.as_str().into()), ("query", self.query.to_value()), ("revision", self.revision.into())])
    }
}

/// Namespace and name.
pub(crate) type SavedName = (String, String);

/// What is saved, and the names that changed last.
#[derive(Clone, Debug, Default)]
pub(super) struct Saved {
    names: BTreeMap<String, BTreeMap<String, SavedQuery>>,
    changed: VecDeque<(u64, SavedName)>,
    /// No change up to here is remembered.
    #[cfg_attr(not(any(feature = "serve", feature = "store")), allow(dead_code))]
    forgotten: u64,
}

impl Saved {
    pub(super) fn all(&self) -> impl Iterator<Item = &SavedQuery> {
        self.names.values().flat_map(BTreeMap::values)
    }

    /// Whether one more fits, of a name that is good.
    pub(super) fn check(&self, name: &str, query: &Query) -> Result<(), Error> {
        check_name("name", name)?;
        query.validate().map_err(|error| error.within("query"))?;
        let own = self.names.get(&query.namespace);
        if own.is_some_and(|own| own.len() >= limits::SAVED_QUERIES && !own.contains_key(name)) {
            return Err(Error::too_large("queries", limits::SAVED_QUERIES as u64));
        }
        Ok(())
    }

    pub(super) fn put(&mut self, own: SavedQuery) {
        let names = self.names.entry(own.query.namespace.clone()).or_default();
        names.insert(own.name.clone(), own);
    }

    fn note(&mut self, revision: u64, name: SavedName, capacity: usize) {
        while self.changed.len() >= capacity
            && let Some((gone, _)) = self.changed.pop_front()
        {
            self.forgotten = gone;
        }
        self.changed.push_back((revision, name));
    }
}

impl Registry {
    /// The query that is saved under a name.
    pub fn saved_query(&self, namespace: &str, name: &str) -> Option<&SavedQuery> {
        self.saved.names.get(namespace)?.get(name)
    }

    /// The saved queries of a namespace, or of all, in order of namespace and name.
    pub fn saved_queries(&self, namespace: Option<&str>) -> impl Iterator<Item = &SavedQuery> {
        self.saved.all().filter(move |own| namespace.is_none_or(|namespace| own.query.namespace == namespace))
    }

    /// Saves a query under a name of its namespace, in the place of what was there. Saving the same again makes no revision.
    ///
    /// # Errors
    /// [`Code::InvalidName`]; [`Code::LimitExceeded`] above 1 024 of a namespace; those of [`Query::validate`].
    pub fn save_query(&mut self, name: &str, query: &Query, now: Timestamp) -> Result<u64, Error> {
        self.observe(now);
        #[cfg(feature = "store")]
        self.is_open()?;
        self.put_query(name, query)?;
        Ok(self.commit())
    }

    pub(super) fn put_query(&mut self, name: &str, query: &Query) -> Result<(), Error> {
        self.saved.check(name, query)?;
        if self.saved_query(&query.namespace, name).is_some_and(|own| own.query == *query) {
            self.touch_again(&Key::new(query.namespace.as_str(), "", name), Touch::Saved);
            return Ok(());
        }
        let revision = self.saves((query.namespace.clone(), name.into()));
        self.saved.put(SavedQuery { name: name.into(), query: query.clone(), revision });
        Ok(())
    }

    /// Removes what is saved under a name.
    ///
    /// # Errors
    /// [`Code::UnknownQuery`].
    pub fn drop_query(&mut self, namespace: &str, name: &str, now: Timestamp) -> Result<u64, Error> {
        self.observe(now);
        #[cfg(feature = "store")]
        self.is_open()?;
        if !self.remove_query(namespace, name) {
            return Err(Error::new(Code::UnknownQuery, "name"));
        }
        Ok(self.commit())
    }

    /// Whether it was there.
    pub(super) fn remove_query(&mut self, namespace: &str, name: &str) -> bool {
        let removed = self.saved.names.get_mut(namespace).and_then(|names| names.remove(name)).is_some();
        if removed {
            self.saves((namespace.into(), name.into()));
        }
        removed
    }

    /// Notes that what is saved under a name changes, and the revision that this becomes.
    fn saves(&mut self, name: SavedName) -> u64 {
        self.dirty = true;
        let revision = self.revision.saturating_add(1);
        self.saved.note(revision, name, self.config.log_capacity as usize);
        revision
    }

    /// The names under which something else is saved than at a revision; none when that is forgotten.
    #[cfg(any(feature = "serve", feature = "store"))]
    pub(crate) fn saved_since(&self, revision: u64) -> Option<BTreeSet<&SavedName>> {
        let changed = &self.saved.changed;
        let start = changed.partition_point(|(at, _)| *at <= revision);
        (revision >= self.saved.forgotten).then(|| changed.range(start..).map(|(_, name)| name).collect())
    }
}
