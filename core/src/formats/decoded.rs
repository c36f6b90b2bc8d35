//! What a payload says, whatever system wrote it.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::Ask;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Registration};
use crate::registry::{Extent, Skipped};
use crate::time::secs;
use crate::value::Value;

/// How many entries of one payload are told with the reason why they were not taken; a payload of nothing else must not cost much.
const SKIPPED: usize = 256;

/// What a reader of a payload is told besides the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The namespace the instances go to.
    pub namespace: &'a str,
    /// The service that was asked for. Formats that name no service (Prometheus, DNS) need it.
    pub service: Option<&'a str>,
    /// What was asked for: where a payload does not say itself whether it is all that there is.
    pub ask: Ask,
}

impl<'a> Context<'a> {
    /// An answer to a question for all that there is in a namespace.
    pub fn new(namespace: &'a str) -> Self {
        Self { namespace, service: None, ask: Ask::Full }
    }
}

/// One instance that a payload names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says of itself.
    pub registration: Registration,
    /// The operator's word at the source.
    pub admin: AdminState,
    /// Its place among all that the payload names, from 0, those that were not taken counted too.
    pub index: usize,
    /// The part of the payload that names it, as a place in [`Decoded::parts`]; when there are none, the place of the group it stands in
    /// (Prometheus).
    pub part: usize,
    /// The source's own word for its state, where a hash over such words is part of the protocol (Eureka's `UP`); else empty.
    pub state: &'static str,
}

impl Entry {
    /// An entry without a word of an operator.
    pub fn new(index: usize, registration: Registration) -> Self {
        Self { registration, admin: AdminState::Enabled, index, part: 0, state: "" }
    }
}

/// A named piece of a source's data that comes and goes as a whole: a key of etcd, an EndpointSlice.
///
/// What it said before is replaced by what it says now. An instance that two parts name is gone when the last of them is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name, unique at the source.
    pub key: String,
    /// Its revision, where the source orders them by number: an older one, or the same again, changes nothing.
    pub revision: Option<u64>,
    /// Whether it is gone.
    pub gone: bool,
    /// Whether something in it could not be read: what it said before and does not say now stays.
    pub unread: bool,
}

/// What a payload says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The instances.
    pub instances: Vec<Entry>,
    /// Entries that were not taken, and why: the first 256 of them.
    pub skipped: Vec<Skipped>,
    /// How many entries were not taken.
    pub skipped_total: usize,
    /// Names, as service and id, of entries that were not taken: their records stay as they are. An empty name may be anybody's.
    pub kept: Vec<(String, String)>,
    /// Instances, as service and id, that the source says are gone.
    pub removed: Vec<(String, String)>,
    /// Names of services without their instances: what there is to follow.
    pub services: Vec<String>,
    /// What it means that an instance is not named.
    pub extent: Extent,
    /// The parts the instances come in; empty for a source that does not divide its data.
    pub parts: Vec<Part>,
    /// Where the source stands after this: an index, a version, a revision. It goes into the next question.
    pub cursor: Option<String>,
    /// The newest revision that the source has, where it tells that and no more: one below the cursor is a source that was set back.
    pub newest: Option<u64>,
    /// The hash the source has of all of its instances' states, when this is a part that must fit the rest (Eureka's `apps__hashcode`).
    pub hash: Option<String>,
    /// Why all must be asked for again: a watch that has ended, a revision that is gone, an answer that was cut.
    pub resync: Option<&'static str>,
    /// Whether the source has made the health up to protect itself (Nacos' `reachProtectionThreshold`): the health on record stays.
    pub fake_health: bool,
    /// How long the source says this is good for (DNS, Nacos' `cacheMillis`).
    pub ttl: Option<Duration>,
}

impl Decoded {
    /// Takes an entry, or tells why not. `name` is asked for service and id only when it is needed.
    pub(super) fn take(&mut self, index: usize, read: Result<Entry, Error>, name: impl FnOnce() -> (String, String)) {
        match read {
            Ok(entry) => self.put(Entry { index, ..entry }),
            Err(error) => {
                let (service, id) = name();
                self.skip(index, service, id, error);
            }
        }
    }

    /// Makes room for so many entries at once, where it is known how many a payload has: growing takes twice as much.
    pub(super) fn expect(&mut self, count: usize) {
        self.instances.reserve_exact(count.min(limits::PAYLOAD_INSTANCES));
    }

    /// Takes an entry, while there is room; one above the limit only counts, for the payload as a whole to be refused.
    pub(super) fn put(&mut self, entry: Entry) {
        if self.instances.len() <= limits::PAYLOAD_INSTANCES {
            self.instances.push(entry);
        }
    }

    /// Notes an entry that cannot be taken. The name may be as long as the payload has it.
    pub(super) fn skip(&mut self, index: usize, service: String, id: String, error: Error) {
        let cut = |name: String| match name.char_indices().nth(limits::ID_BYTES) {
            Some((at, _)) => name.get(..at).unwrap_or_default().to_string(),
            None => name,
        };
        let (service, id) = (cut(service), cut(id));
        self.skipped_total = self.skipped_total.saturating_add(1);
        // Many of nobody are as good as one.
        let nobody = id.is_empty() && self.kept.iter().next_back().is_some_and(|(_, id)| id.is_empty());
        if self.skipped.len() < SKIPPED {
            self.skipped.push(Skipped { index, id: id.clone(), error });
        }
        if !nobody {
            self.kept.push((service, id));
        }
    }

    /// Writes `{instances, skipped, removed?, services?, extent?, parts?, cursor?, hash?, resync?, fake_health?, ttl?}`.
    pub fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![
            ("instances", Value::List(self.instances.iter().map(Entry::to_value).collect())),
            ("skipped", Value::List(self.skipped.iter().map(Skipped::to_value).collect())),
        ];
        let named = |(service, id): &(String, String)| Value::map([("service", service.as_str().into()), ("id", Value::from(id.as_str()))]);
        if !self.removed.is_empty() {
            pairs.push(("removed", Value::List(self.removed.iter().map(named).collect())));
        }
        if !self.services.is_empty() {
            pairs.push(("services", Value::List(self.services.iter().map(|name| Value::from(name.as_str())).collect())));
        }
        if self.extent != Extent::Whole {
            pairs.push(("extent", self.extent.as_str().into()));
        }
        if !self.parts.is_empty() {
            pairs.push(("parts", Value::List(self.parts.iter().map(Part::to_value).collect())));
        }
        let texts = [("cursor", self.cursor.as_deref()), ("hash", self.hash.as_deref()), ("resync", self.resync)];
        pairs.extend(texts.into_iter().filter_map(|(key, text)| Some((key, Value::from(text?)))));
        if self.fake_health {
            pairs.push(("fake_health", true.into()));
        }
        pairs.extend(self.ttl.map(|ttl| ("ttl", secs(ttl).into())));
        Value::map(pairs)
    }
}

impl Entry {
    /// Reads a registration's document, with `admin` where it is not `enabled`.
    ///
    /// # Errors
    /// Those of [`Registration::from_value`]; [`Code::InvalidArgument`] about `admin`.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let Value::Map(pairs) = value else { return Registration::from_value(value).map(|own| Self::new(0, own)) };
        let (admin, own): (Vec<_>, Vec<_>) = pairs.iter().cloned().partition(|(key, _)| key == "admin");
        let entry = Self::new(0, Registration::from_value(&Value::Map(own))?);
        let Some((_, word)) = admin.first().filter(|(_, word)| *word != Value::Null) else { return Ok(entry) };
        let wrong = |_| Error::new(Code::InvalidArgument, "admin").message("one of enabled draining disabled");
        Ok(Self { admin: AdminState::parse(word.as_str().unwrap_or_default()).map_err(wrong)?, ..entry })
    }

    /// Writes the registration's document, with `admin` where it is not `enabled`.
    fn to_value(&self) -> Value {
        let mut document = self.registration.to_value();
        if let Value::Map(pairs) = &mut document
            && self.admin != AdminState::Enabled
        {
            pairs.push(("admin".into(), self.admin.as_str().into()));
        }
        document
    }
}

impl Part {
    fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![("key", Value::from(self.key.as_str())), ("gone", self.gone.into())];
        pairs.extend(self.revision.map(|revision| ("revision", Value::from(revision))));
        Value::map(pairs)
    }
}
