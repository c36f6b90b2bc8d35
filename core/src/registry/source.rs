//! Other registries' listings: each source owns its records, and its last good listing stands until a doubtful one is confirmed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::intern::chain;
use super::log::Cause;
use super::ops::{Check, Put};
use super::{LOCAL, Registry};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AddressClass, DEFAULT_NAMESPACE, Handle, Registration, check_id, check_name};
use crate::order;
use crate::time::Timestamp;
use crate::value::{Fields, Value};

/// What it means that a listing does not name a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The listing is all that there is, as far as the source knows. Whom it does not name has left; when that are too many, it is doubted first.
    #[default]
    Whole,
    /// The listing is all that there is, and follows from what the source said before. Whom it does not name has left, however many they are.
    Certain,
    /// The listing says nothing of those it does not name.
    Part,
}

impl Extent {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Certain => "certain",
            Self::Part => "part",
        }
    }
}

/// What a source has to say of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Who says it, such as `consul:dc1`. Not `local`.
    pub source: String,
    /// The namespace it speaks of; `default` when none is named.
    pub namespace: String,
    /// The service it speaks of; `None` for all services of the namespace.
    pub service: Option<String>,
    /// The instances.
    pub instances: Vec<Registration>,
    /// Records of the source that it says again just as they are on record. One that is gone, or that another source has, counts for nothing.
    pub same: Vec<Handle>,
    /// Instances, as service and id, that the source says are gone. It need not be doubted.
    pub removed: Vec<(String, String)>,
    /// Instances, as service and id, that the source names and that could not be read: their records stay as they are.
    pub kept: Vec<(String, String)>,
    /// Entries that could not be read, and why, by their places in the source's own list: `instances` are the others, in its order.
    pub unread: Vec<Skipped>,
    /// What it means that a record is not named.
    pub extent: Extent,
}

impl Listing {
    /// Reads `{source, namespace?, service?, instances, removed?}`. An instance is a registration's document, which may leave out
    /// the namespace and service that the listing names; of `removed`, each is `{service?, id}` or, when the listing names the
    /// service, an id. Instances that are not well-formed are told with the reason and do not spoil the listing.
    ///
    /// # Errors
    /// A typed error that names the field.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["source", "namespace", "service", "instances", "removed"])?;
        let namespace = fields.text("namespace")?.unwrap_or(DEFAULT_NAMESPACE);
        let service = fields.text("service")?;
        let mut listing = Self {
            source: fields.required_text("source")?.into(),
            namespace: namespace.into(),
            service: service.map(String::from),
            instances: Vec::new(),
            same: Vec::new(),
            removed: Vec::new(),
            kept: Vec::new(),
            unread: Vec::new(),
            extent: Extent::Whole,
        };
        let instances = fields.list("instances")?.ok_or_else(|| Error::new(Code::MissingField, "instances"))?;
        for (index, instance) in instances.iter().enumerate() {
            match Registration::from_value(&with_defaults(instance, namespace, service)) {
                Ok(registration) => listing.instances.push(registration),
                Err(error) => {
                    let own = instance.get("service").and_then(Value::as_str).or(service).unwrap_or_default();
                    listing.kept.push((own.into(), named(instance)));
                    listing.unread.push(Skipped { index, id: named(instance), error });
                }
            }
        }
        for (at, gone) in fields.list("removed")?.unwrap_or_default().iter().enumerate() {
            let inside = |error: Error| error.within(&alloc::format!("removed[{at}]"));
            let (own, id) = match gone.as_str() {
                Some(id) => (None, id),
                None => {
                    let fields = Fields::new(gone, "", &["service", "id"]).map_err(inside)?;
                    (fields.text("service").map_err(inside)?, fields.required_text("id").map_err(inside)?)
                }
            };
            let service = own.or(service).ok_or_else(|| inside(Error::new(Code::MissingField, "service")))?;
            listing.removed.push((service.into(), id.into()));
        }
        Ok(listing)
    }

    /// Tells what was refused, and what was not even read, by the places in the source's list.
    fn tell(&self, outcome: &mut Reconciled) {
        if self.unread.is_empty() {
            return;
        }
        let unread: BTreeSet<usize> = self.unread.iter().map(|skipped| skipped.index).collect();
        let mut places = (0..).filter(|place| !unread.contains(place)).enumerate();
        // Both go up.
        for skipped in &mut outcome.skipped {
            let place = places.find(|(at, _)| *at == skipped.index);
            skipped.index = place.map_or(skipped.index, |(_, place)| place);
        }
        outcome.skipped.extend(self.unread.iter().cloned());
        order::sort_few(&mut outcome.skipped, &mut |one, other| one.index.cmp(&other.index));
    }

    fn validate(&self) -> Result<(), Error> {
        check_id("source", &self.source)?;
        if self.source == "local" {
            return Err(Error::new(Code::InvalidName, "source").message("local records are registered, not reconciled"));
        }
        check_name("namespace", &self.namespace)?;
        self.service.as_deref().map_or(Ok(()), |service| check_name("service", service))
    }
}

/// The document of an instance with what the listing says for all of them.
fn with_defaults(instance: &Value, namespace: &str, service: Option<&str>) -> Value {
    let Value::Map(pairs) = instance else { return instance.clone() };
    let mut pairs = pairs.clone();
    for (key, default) in [("namespace", Some(namespace)), ("service", service)] {
        if let Some(default) = default.filter(|_| instance.get(key).is_none()) {
            pairs.retain(|(name, _)| name != key);
            pairs.push((key.into(), default.into()));
        }
    }
    Value::Map(pairs)
}

fn named(instance: &Value) -> String {
    instance.get("id").and_then(Value::as_str).unwrap_or_default().chars().take(limits::ID_BYTES).collect()
}

/// An instance of a listing that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the listing.
    pub index: usize,
    /// The id it names, possibly empty.
    pub id: String,
    /// Why.
    pub error: Error,
}

impl Skipped {
    /// Writes `{index, id, error: {code, field}}`.
    pub fn to_value(&self) -> Value {
        let error = Value::map([("code", Value::from(self.error.code().as_str())), ("field", self.error.field().into())]);
        Value::map([
            ("index", Value::from(self.index as u64)),
            ("id", crate::error::escape(&self.id, limits::ID_BYTES).into()),
            ("error", error),
        ])
    }
}

/// What became of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Records made.
    pub added: u32,
    /// Records changed.
    pub updated: u32,
    /// Records removed.
    pub removed: u32,
    /// Records that the listing does not name and that stay, until it is confirmed.
    pub held: u32,
    /// Instances that were not taken, and why.
    pub skipped: Vec<Skipped>,
    /// The revision the registry stands at.
    pub revision: u64,
}

impl Reconciled {
    /// Writes `{added, updated, removed, held, skipped, revision}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("added", u64::from(self.added).into()),
            ("updated", u64::from(self.updated).into()),
            ("removed", u64::from(self.removed).into()),
            ("held", u64::from(self.held).into()),
            ("skipped", Value::List(self.skipped.iter().map(Skipped::to_value).collect())),
            ("revision", Value::from(self.revision)),
        ])
    }
}

/// The sources, and what each has said that is not believed yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// By number from 1; `local` is 0.
    names: Vec<String>,
    held: BTreeMap<(u8, String, Option<String>), Held>,
}

/// A listing that drops too much to be believed at once.
#[derive(Clone, Debug)]
struct Held {
    /// A hash of the names it drops.
    print: u64,
    handles: Vec<Handle>,
    first: Timestamp,
    repeats: u32,
}

impl Sources {
    pub(super) fn len(&self) -> usize {
        self.names.len().saturating_add(1)
    }

    pub(super) fn name(&self, number: u8) -> &str {
        usize::from(number).checked_sub(1).map_or("local", |at| self.names.get(at).map_or("", String::as_str))
    }

    fn find(&self, name: &str) -> Option<u8> {
        let place = self.names.iter().position(|own| own == name)?;
        u8::try_from(place.saturating_add(1)).ok()
    }

    pub(super) fn enter(&mut self, name: &str) -> Result<u8, Error> {
        if let Some(number) = self.find(name) {
            return Ok(number);
        }
        if self.len() >= limits::SOURCES {
            return Err(Error::new(Code::QuotaExceeded, "source").limit(limits::SOURCES as u64));
        }
        self.names.push(name.into());
        // There are at most 32.
        Ok(self.names.len() as u8)
    }

    /// The names from number 1 on.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a source is held in a scope that one of these services is in.
    pub(super) fn holds<'a>(&self, namespace: &str, services: impl Iterator<Item = Option<&'a str>>) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let services: Vec<_> = services.collect();
        let meets = |own: &Option<String>| services.iter().any(|asked| asked.is_none() || own.is_none() || own.as_deref() == *asked);
        self.held.keys().any(|(_, own, service)| own == namespace && meets(service))
    }
}

impl Registry {
    /// Makes the records of a source in a scope what its listing says, as one revision, or none when nothing is different.
    ///
    /// A listing that names none of the records in scope, or fewer than half of two or more, without naming those it drops in
    /// `removed`, is not believed at once: what it adds and changes is taken, what it drops is `held`, and answers are `stale`, until the
    /// source has said the same for `confirm_repeats` listings and `confirm_after`, or the host [acknowledges](Self::acknowledge) it.
    ///
    /// An instance that cannot be taken is skipped with the reason, and a record it names stays as it is: a wrong name or address
    /// ([`Code::AddressRefused`]), a record of another source ([`Code::NotOwner`]), an old incarnation, a full registry, a name that
    /// stands twice ([`Code::DuplicateKey`]). To be named renews a lease.
    ///
    /// # Errors
    /// [`Code::InvalidName`], [`Code::MissingField`], [`Code::LimitExceeded`] for the scope, [`Code::QuotaExceeded`] for a 33rd source.
    pub fn reconcile(&mut self, listing: &Listing, now: Timestamp) -> Result<Reconciled, Error> {
        self.observe(now);
        listing.validate()?;
        let source = self.sources.enter(&listing.source)?;
        let before = match listing.extent {
            Extent::Part => self.told(source, listing),
            _ => self.owned(source, &listing.namespace, listing.service.as_deref()),
        };
        let mut outcome = Reconciled::default();
        let mut named = Slots::default();
        for handle in &listing.same {
            if let Some(slot) = self.store.resolve(*handle).filter(|slot| self.store.source(*slot) == source) {
                self.renew_slot(slot, 0);
                named.insert(slot);
            }
        }
        // Names without a record that were refused once.
        let mut refused: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (index, registration) in listing.instances.iter().enumerate() {
            let name = (registration.service.as_str(), registration.id.as_str());
            let known = self.slot(&listing.namespace, name.0, name.1);
            let fresh = known.map_or_else(|| !refused.contains(&name), |slot| named.insert(slot));
            let verdict = self.may_reconcile(listing, registration, fresh, source);
            if let Err(error) = verdict {
                if known.is_none() {
                    refused.insert(name);
                }
                outcome.skipped.push(Skipped { index, id: registration.id.clone(), error });
                continue;
            }
            let registered = self.put_record(registration, source, Cause::Reconcile);
            named.insert(registered.handle.slot());
            match (registered.created, registered.changed) {
                (true, _) => outcome.added = outcome.added.saturating_add(1),
                (false, true) => outcome.updated = outcome.updated.saturating_add(1),
                (false, false) => {}
            }
        }
        // An entry that could not be read and names no record may have been any of those that are absent.
        let mut unclear = false;
        for (service, id) in &listing.kept {
            match self.slot(&listing.namespace, service, id) {
                Some(slot) => {
                    named.insert(slot);
                }
                None => unclear = true,
            }
        }
        let mut told = Slots::default();
        for (service, id) in &listing.removed {
            self.slot(&listing.namespace, service, id).map(|slot| told.insert(slot));
        }
        let mut absent = Vec::new();
        for handle in &before {
            let Some(slot) = self.store.resolve(*handle).filter(|slot| !named.contains(*slot)) else { continue };
            if told.contains(slot) {
                self.remove(slot, Cause::Reconcile);
                outcome.removed = outcome.removed.saturating_add(1);
            } else {
                absent.push(*handle);
            }
        }
        let left = before.len().saturating_sub(outcome.removed as usize);
        // What was held stays doubtful, though what the source added since makes it a smaller part.
        let again = self.sources.held.get(&scope(listing, source)).is_some_and(|held| held.print == self.print(&absent));
        let many = absent.len() == left || absent.len().saturating_mul(2) > left;
        let doubtful = listing.extent != Extent::Certain && (again || unclear || many);
        if listing.extent == Extent::Part {
            // What is held stays held: a part confirms nothing.
            outcome.held = self.sources.held.get(&scope(listing, source)).map_or(0, |held| held.handles.len() as u32);
        } else if absent.is_empty() || !doubtful || self.is_confirmed(listing, source, &absent) {
            self.sources.held.remove(&scope(listing, source));
            outcome.removed = outcome.removed.saturating_add(self.remove_all(&absent));
        } else {
            outcome.held = absent.len() as u32;
        }
        outcome.revision = self.commit();
        listing.tell(&mut outcome);
        Ok(outcome)
    }

    /// Believes a source: what its latest listings dropped and was held is removed, as one revision.
    ///
    /// # Errors
    /// [`Code::MissingField`] and the like for a name that no source can have. A source with nothing held is no error.
    pub fn acknowledge(&mut self, source: &str, now: Timestamp) -> Result<Reconciled, Error> {
        self.observe(now);
        check_id("source", source)?;
        let mut outcome = Reconciled::default();
        if let Some(number) = self.sources.find(source) {
            let (held, others) = core::mem::take(&mut self.sources.held).into_iter().partition(|((own, ..), _)| *own == number);
            self.sources.held = others;
            let held: BTreeMap<_, Held> = held;
            for held in held.values() {
                outcome.removed = outcome.removed.saturating_add(self.remove_all(&held.handles));
            }
        }
        outcome.revision = self.commit();
        Ok(outcome)
    }

    /// The records of a source in a scope, by service and id.
    fn owned(&self, source: u8, namespace: &str, service: Option<&str>) -> Vec<Handle> {
        let services = &self.store.services;
        let own = |members: &[u32]| -> Vec<Handle> {
            members.iter().filter(|slot| self.store.source(**slot) == source).map(|slot| self.store.handle(*slot)).collect()
        };
        match service {
            Some(service) => services
                .find(namespace, service)
                .and_then(|number| services.get(number))
                .map_or_else(Vec::new, |service| own(&service.members)),
            None => services.list(Some(namespace)).flat_map(|(_, service)| own(&service.members)).collect(),
        }
    }

    /// The records of a source that a listing says are gone, once each.
    fn told(&self, source: u8, listing: &Listing) -> Vec<Handle> {
        let ours = |service: &str| listing.service.as_ref().is_none_or(|own| own == service);
        let mut names = BTreeSet::new();
        for (service, id) in listing.removed.iter().filter(|(service, _)| ours(service)) {
            names.insert((service.as_str(), id.as_str()));
        }
        let slots = names.into_iter().filter_map(|(service, id)| self.slot(&listing.namespace, service, id));
        slots.filter(|slot| self.store.source(*slot) == source).map(|slot| self.store.handle(slot)).collect()
    }

    fn may_reconcile(&self, listing: &Listing, registration: &Registration, fresh: bool, source: u8) -> Result<(), Error> {
        if registration.namespace != listing.namespace {
            return Err(Error::new(Code::InvalidName, "namespace").message("not the namespace of the listing"));
        }
        if listing.service.as_ref().is_some_and(|service| registration.service != *service) {
            return Err(Error::new(Code::InvalidName, "service").message("not the service of the listing"));
        }
        if !fresh {
            return Err(Error::new(Code::DuplicateKey, "id"));
        }
        let ordinary = |endpoint: &crate::model::Endpoint| endpoint.host.class() == AddressClass::Ordinary;
        if !self.config.allow_local_addresses
            && let Some(at) = registration.endpoints.iter().position(|endpoint| !ordinary(endpoint))
        {
            return Err(Error::new(Code::AddressRefused, alloc::format!("endpoints[{at}].host")));
        }
        Check::single(self).register(registration, Put::default(), source)
    }

    /// Whether a source has said often and long enough that these are gone; notes that it says so.
    fn is_confirmed(&mut self, listing: &Listing, source: u8, absent: &[Handle]) -> bool {
        let print = self.print(absent);
        let (now, config) = (self.now, &self.config);
        let fresh = Held { print, handles: absent.to_vec(), first: now, repeats: 0 };
        let held = self.sources.held.entry(scope(listing, source)).or_insert_with(|| fresh.clone());
        if held.print != print {
            *held = fresh;
        }
        held.repeats = held.repeats.saturating_add(1);
        held.repeats >= config.confirm_repeats && now.saturating_since(held.first) >= config.confirm_after
    }

    /// A hash of records, to tell whether the same ones are dropped again.
    fn print(&self, handles: &[Handle]) -> u64 {
        handles.iter().fold(self.config.seed, |print, handle| chain(print, [handle.to_bits().to_le_bytes().as_slice()]))
    }

    fn remove_all(&mut self, handles: &[Handle]) -> u32 {
        let mut removed = 0u32;
        for handle in handles {
            if let Some(slot) = self.store.resolve(*handle).filter(|slot| self.store.source(*slot) != LOCAL) {
                self.remove(slot, Cause::Reconcile);
                removed = removed.saturating_add(1);
            }
        }
        removed
    }
}

fn scope(listing: &Listing, source: u8) -> (u8, String, Option<String>) {
    (source, listing.namespace.clone(), listing.service.clone())
}

/// A set of slots, one bit for each.
#[derive(Default)]
struct Slots(Vec<u64>);

impl Slots {
    /// Whether it was not in it before.
    fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1u64 << (slot % 64));
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        let Some(word) = self.0.get_mut(word) else { return false };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }
}
