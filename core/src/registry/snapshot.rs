//! The whole registry as bytes, and back.
//!
//! ```text
//! "CBRD"  version (2 bytes)  length of the body (8 bytes)  XXH3-64 of the body (8 bytes)  body        all little endian
//! ```
//! The body is a row of [postcard](https://postcard.jamesmunns.com) values: tables of what records share, then each service with its
//! records in order of id, each a few numbers and the packed bytes of what is its own. The checksum finds accidents; everything is checked
//! as if it came from an enemy all the same.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::blob::{self, Reader};
use super::facet::Facet;
use super::intern::Shared;
use super::{Registry, SavedQuery};
use crate::model::{Locality, Override, Tags, Version};
use crate::query::{HealthFilter, Query, Selector, VersionRange};
use crate::time::micros;

pub(super) const MAGIC: [u8; 4] = *b"CBRD";
pub(super) const FORMAT: u16 = 1;
pub(super) const HEADER: usize = 22;

/// What stands before the services. Tables are by number; a number that is not in use is empty.
#[derive(Serialize, Deserialize)]
pub(super) struct Tables<'a> {
    pub(super) epoch: u64,
    pub(super) revision: u64,
    #[serde(borrow)]
    pub(super) sources: Vec<&'a str>,
    /// Metadata pairs.
    #[serde(borrow)]
    pub(super) pairs: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    pub(super) localities: Vec<[&'a str; 4]>,
    #[serde(borrow)]
    pub(super) profiles: Vec<ProfileImage<'a>>,
    #[serde(borrow)]
    pub(super) kinds: Vec<(&'a str, &'a str, bool)>,
    #[serde(borrow)]
    pub(super) overrides: Vec<OverrideImage<'a>>,
    /// Metadata sets; so many follow the tables.
    pub(super) sets: u32,
    /// Services; so many follow the sets.
    pub(super) services: u32,
    pub(super) records: u32,
}

/// Metadata sets, each as the numbers of its pairs.
pub(super) struct Sets {
    /// Where each set begins; the next one begins where it ends.
    pub(super) starts: Vec<u32>,
    pub(super) pairs: Vec<u32>,
}

impl Sets {
    /// Each set is written as postcard would: how many, then each.
    fn write<'a>(sets: impl Iterator<Item = &'a [u32]>, bytes: &mut Vec<u8>) {
        for set in sets {
            blob::push_number(bytes, set.len() as u64);
            set.iter().for_each(|pair| blob::push_number(bytes, (*pair).into()));
        }
    }

    pub(super) fn read(count: u32, reader: &mut Reader<'_>) -> Option<Self> {
        let mut sets = Self { starts: Vec::new(), pairs: Vec::new() };
        for _ in 0..count {
            sets.starts.push(sets.pairs.len() as u32);
            for _ in 0..reader.number()? {
                sets.pairs.push(u32::try_from(reader.number()?).ok()?);
            }
        }
        sets.starts.push(sets.pairs.len() as u32);
        Some(sets)
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(super) fn get(&self, set: u32) -> Option<&[u32]> {
        let at = set as usize;
        let [start, end] = self.starts.get(at..at.checked_add(2)?)?.first_chunk()?;
        self.pairs.get(*start as usize..*end as usize)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ProfileImage<'a> {
    #[serde(borrow)]
    pub(super) tags: Vec<&'a str>,
    pub(super) version: String,
    pub(super) weight: u32,
    /// The ttl is 0 when there is no lease.
    pub(super) ttl: u64,
    pub(super) grace: u64,
}

/// A service; so many records follow.
#[derive(Serialize, Deserialize)]
pub(super) struct ServiceImage<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) revision: u64,
    pub(super) records: u32,
}

/// A record, written and read as postcard would, but without its detours: there may be a million of them.
pub(super) struct RecordImage<'a> {
    pub(super) own: &'a [u8],
    pub(super) metadata: u32,
    pub(super) locality: u32,
    pub(super) profile: u32,
    pub(super) revision: u64,
    /// Health in the lower three bits, the source above.
    pub(super) state: u8,
}

/// No record takes fewer bytes: the length of its own, an id of two, incarnation, number of endpoints, four numbers and the state.
pub(super) const LEAST_RECORD: usize = 10;

impl<'a> RecordImage<'a> {
    fn write(&self, bytes: &mut Vec<u8>) {
        blob::push_number(bytes, self.own.len() as u64);
        bytes.extend_from_slice(self.own);
        for number in [self.metadata.into(), self.locality.into(), self.profile.into(), self.revision] {
            blob::push_number(bytes, number);
        }
        bytes.push(self.state);
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let length = usize::try_from(reader.number()?).ok()?;
        let own = reader.take(length)?;
        let mut small = || u32::try_from(reader.number()?).ok();
        let (metadata, locality, profile) = (small()?, small()?, small()?);
        Some(Self { own, metadata, locality, profile, revision: reader.number()?, state: reader.byte()? })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct OverrideImage<'a> {
    #[serde(borrow)]
    pub(super) name: [&'a str; 3],
    pub(super) state: u8,
    /// Microseconds that were left, when it ends.
    pub(super) left: Option<u64>,
    pub(super) reason: &'a str,
}

/// What stands after the services, if there is any of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Tail<'a> {
    #[serde(borrow)]
    pub(super) queries: Vec<QueryImage<'a>>,
    /// Namespace, service and id of a record, and the digest of its token.
    #[serde(borrow)]
    pub(super) guards: Vec<([&'a str; 3], [u8; 32])>,
}

/// A saved query.
#[derive(Serialize, Deserialize)]
pub(super) struct QueryImage<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) revision: u64,
    /// The query itself, then its fallbacks.
    #[serde(borrow)]
    pub(super) rungs: Vec<RungImage<'a>>,
}

/// One rung of a saved query.
#[derive(Serialize, Deserialize)]
pub(super) struct RungImage<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) health: u8,
    pub(super) version: Option<String>,
    pub(super) selector: &'a str,
    pub(super) locality: [&'a str; 4],
    #[serde(borrow)]
    pub(super) tags: Vec<&'a str>,
    pub(super) limit: Option<u32>,
}

impl<'a> QueryImage<'a> {
    fn of(own: &'a SavedQuery) -> Self {
        let rung = |query: &'a Query| RungImage {
            service: query.service.as_deref(),
            health: query.health as u8,
            version: query.version.as_ref().map(VersionRange::text),
            selector: query.selector.text(),
            locality: query.locality.parts().map(|(_, part)| part),
            tags: query.tags.iter().collect(),
            limit: query.limit,
        };
        let rungs = core::iter::once(&own.query).chain(&own.query.fallbacks).map(rung).collect();
        Self { namespace: &own.query.namespace, name: &own.name, revision: own.revision, rungs }
    }

    /// The query, if every part of it is good.
    pub(super) fn query(&self) -> Option<Query> {
        let rung = |image: &RungImage<'_>| {
            let [region, zone, subzone, node] = image.locality.map(String::from);
            Some(Query {
                namespace: self.namespace.into(),
                service: image.service.map(String::from),
                health: *HealthFilter::ALL.get(usize::from(image.health))?,
                version: image.version.as_deref().map(VersionRange::parse).transpose().ok()?,
                selector: Selector::parse(image.selector).ok()?,
                locality: Locality { region, zone, subzone, node },
                tags: Tags::new(image.tags.iter().copied()).ok()?,
                limit: image.limit,
                fallbacks: Vec::new(),
            })
        };
        let mut rungs = self.rungs.iter().map(rung);
        let mut query = rungs.next()??;
        query.fallbacks = rungs.collect::<Option<_>>()?;
        Some(query)
    }
}

impl Registry {
    /// The whole registry as bytes: records, overrides, saved queries, sources, revisions. Leases are not: they begin anew. What an override with an end
    /// has left is left of it after a restore.
    pub fn snapshot(&self) -> Vec<u8> {
        let (store, pools) = (&self.store, &self.store.pools);
        let profile = |profile: &super::intern::Profile| ProfileImage {
            tags: pools.tags_of(profile.tags).collect(),
            version: pools.version_of(profile.version).map_or_else(String::new, Version::text),
            weight: profile.weight,
            ttl: profile.ttl,
            grace: profile.grace,
        };
        let pair = |facet: &Facet| if Facet::is_reserved(facet.key) { ("", "") } else { (pools.text(facet.key), pools.text(facet.value)) };
        let tables = Tables {
            epoch: self.epoch,
            revision: self.revision,
            sources: self.sources.names().iter().map(String::as_str).collect(),
            pairs: pools.facets.iter().map(pair).collect(),
            localities: (0..pools.localities.bound() as u32).map(|number| pools.places_of(number)).collect(),
            profiles: pools.profiles.iter().map(profile).collect(),
            kinds: pools.kinds.iter().map(|kind| (&*kind.name, &*kind.scheme, kind.secure)).collect(),
            overrides: self.overrides.iter().map(|(name, own)| self.override_image(name, own)).collect(),
            sets: pools.metadata.bound() as u32,
            services: store.services.len() as u32,
            records: store.len() as u32,
        };
        // Records of the usual size need no growth.
        let mut bytes = Vec::with_capacity(store.len().saturating_mul(48).saturating_add(1_024));
        bytes.resize(HEADER, 0);
        bytes = append(&tables, bytes);
        Sets::write(pools.metadata.iter().map(|set| &**set), &mut bytes);
        for (_, service) in store.services.list(None) {
            let (namespace, name) = (&*service.namespace, &*service.name);
            let image = ServiceImage { namespace, name, revision: service.revision, records: service.members.len() as u32 };
            bytes = append(&image, bytes);
            for slot in &service.members {
                let Shared { metadata, locality, profile } = store.shared(*slot);
                let (own, revision) = (store.blob(*slot), store.revision(*slot));
                let state = store.health(*slot) as u8 | store.source(*slot) << 3;
                RecordImage { own, metadata, locality, profile, revision, state }.write(&mut bytes);
            }
        }
        let names: Vec<_> = self.guards.iter().map(|(slot, own)| (store.owner(*slot), store.id(*slot), own.digest.0)).collect();
        let guards = names.iter().filter_map(|(owner, id, digest)| {
            let owner = owner.as_ref()?;
            Some(([&*owner.namespace, &*owner.name, id.as_str()], *digest))
        });
        let mut tail = Tail { queries: self.saved.all().map(QueryImage::of).collect(), guards: guards.collect() };
        tail.guards.sort_unstable();
        if !tail.queries.is_empty() || !tail.guards.is_empty() {
            bytes = append(&tail, bytes);
        }
        let (length, print) = bytes.split_at_checked(HEADER).map_or((0, 0), |(_, body)| (body.len() as u64, xxh3_64(body)));
        let header = MAGIC.into_iter().chain(FORMAT.to_le_bytes()).chain(length.to_le_bytes()).chain(print.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = from;
        }
        bytes
    }

    fn override_image<'a>(&self, name: [&'a str; 3], own: &'a Override) -> OverrideImage<'a> {
        let left = own.until.map(|until| micros(until.saturating_since(self.now)));
        OverrideImage { name, state: own.state as u8, left, reason: &own.reason }
    }
}

fn append(value: &impl Serialize, bytes: Vec<u8>) -> Vec<u8> {
    // Writing to memory does not fail.
    postcard::to_extend(value, bytes).unwrap_or_default()
}
