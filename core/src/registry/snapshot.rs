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
use super::intern::Shared;
use super::log::Log;
use super::ops::{Check, Key};
use super::store::Image;
use super::{Config, Registry};
use crate::error::{Code, Error};
use crate::model::{
    AdminState, Endpoint, Health, Host, Lease, Locality, Metadata, Override, Tags, Version, Weight, check_id, check_incarnation, check_name,
};
use crate::time::{Timestamp, micros};

const MAGIC: [u8; 4] = *b"CBRD";
const VERSION: u16 = 1;
const HEADER: usize = 22;

/// What stands before the services. Tables are by number; a number that is not in use is empty.
#[derive(Serialize, Deserialize)]
struct Tables<'a> {
    epoch: u64,
    revision: u64,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    #[serde(borrow)]
    metadata: Vec<Vec<(&'a str, &'a str)>>,
    #[serde(borrow)]
    localities: Vec<[&'a str; 4]>,
    #[serde(borrow)]
    profiles: Vec<ProfileImage<'a>>,
    #[serde(borrow)]
    kinds: Vec<(&'a str, &'a str, bool)>,
    #[serde(borrow)]
    overrides: Vec<OverrideImage<'a>>,
    services: u32,
}

#[derive(Serialize, Deserialize)]
struct ProfileImage<'a> {
    #[serde(borrow)]
    tags: Vec<&'a str>,
    version: String,
    weight: u32,
    /// The ttl is 0 when there is no lease.
    ttl: u64,
    grace: u64,
}

/// A service; so many records follow.
#[derive(Serialize, Deserialize)]
struct ServiceImage<'a> {
    namespace: &'a str,
    name: &'a str,
    revision: u64,
    records: u32,
}

#[derive(Deserialize)]
struct RecordImage<'a> {
    own: &'a [u8],
    metadata: u32,
    locality: u32,
    profile: u32,
    revision: u64,
    /// Health in the lower three bits, the source above.
    state: u8,
}

#[derive(Serialize, Deserialize)]
struct OverrideImage<'a> {
    #[serde(borrow)]
    name: [&'a str; 3],
    state: u8,
    /// Microseconds that were left, when it ends.
    left: Option<u64>,
    reason: &'a str,
}

impl Registry {
    /// The whole registry as bytes: records, overrides, sources, revisions. Leases are not: they begin anew. What an override with an end
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
        let pairs = |set: &[u32]| set.iter().map(|facet| (pools.key(*facet), pools.value(*facet))).collect();
        let tables = Tables {
            epoch: self.epoch,
            revision: self.revision,
            sources: self.sources.names().iter().map(String::as_str).collect(),
            metadata: pools.metadata.iter().map(|set| pairs(set)).collect(),
            localities: (0..pools.localities.bound() as u32).map(|number| pools.places_of(number)).collect(),
            profiles: pools.profiles.iter().map(profile).collect(),
            kinds: pools.kinds.iter().map(|kind| (&*kind.name, &*kind.scheme, kind.secure)).collect(),
            overrides: self.overrides.iter().map(|(name, own)| self.override_image(name, own)).collect(),
            services: store.services.len() as u32,
        };
        // Records of the usual size need no growth.
        let mut bytes = Vec::with_capacity(store.len().saturating_mul(48).saturating_add(1_024));
        bytes.resize(HEADER, 0);
        bytes = append(&tables, bytes);
        for (_, service) in store.services.list(None) {
            let (namespace, name) = (&*service.namespace, &*service.name);
            let image = ServiceImage { namespace, name, revision: service.revision, records: service.members.len() as u32 };
            bytes = append(&image, bytes);
            for slot in &service.members {
                let Shared { metadata, locality, profile } = store.shared(*slot);
                let own = store.blob(*slot);
                // A `RecordImage` as postcard writes it, without its detours: there may be a million of them.
                blob::push_number(&mut bytes, own.len() as u64);
                bytes.extend_from_slice(own);
                for number in [metadata.into(), locality.into(), profile.into(), store.revision(*slot)] {
                    blob::push_number(&mut bytes, number);
                }
                bytes.push(store.health(*slot) as u8 | store.source(*slot) << 3);
            }
        }
        let (length, print) = bytes.split_at_checked(HEADER).map_or((0, 0), |(_, body)| (body.len() as u64, xxh3_64(body)));
        let header = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain(length.to_le_bytes()).chain(print.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = from;
        }
        bytes
    }

    fn override_image<'a>(&self, name: [&'a str; 3], own: &'a Override) -> OverrideImage<'a> {
        let left = own.until.map(|until| micros(until.saturating_since(self.now)));
        OverrideImage { name, state: own.state as u8, left, reason: &own.reason }
    }

    /// The registry of a snapshot, in a new epoch: the larger of the configured one and the one after the snapshot's. Revisions go on from
    /// where they were; every lease begins anew at `now`; handles of the old registry are good no more.
    ///
    /// # Errors
    /// [`Code::SnapshotCorrupt`], [`Code::SnapshotVersion`]; [`Code::QuotaExceeded`] when it holds more than `config` allows; what
    /// [`Config::validate`] returns. Nothing is allocated because the bytes claim a size.
    pub fn restore(bytes: &[u8], config: Config, now: Timestamp) -> Result<Self, Error> {
        let mut registry = Self::new(config)?;
        registry.now = now;
        registry.fill(open(bytes)?)?;
        Ok(registry)
    }

    fn fill(&mut self, body: &[u8]) -> Result<(), Error> {
        let (tables, mut rest): (Tables<'_>, _) = next(body)?;
        let safe = Timestamp::MAX.as_micros();
        if tables.revision > safe || tables.epoch >= safe {
            return Err(corrupt());
        }
        self.epoch = self.config.epoch.max(tables.epoch.saturating_add(1));
        self.revision = tables.revision;
        self.log = Log::new(self.config.log_capacity, tables.revision);
        for name in &tables.sources {
            check_id("source", name).map_err(|_| corrupt())?;
            if *name == "local" || usize::from(self.sources.enter(name).map_err(|_| corrupt())?) != self.sources.names().len() {
                return Err(corrupt());
            }
        }
        self.fill_overrides(&tables.overrides)?;
        let mut known = Known::new(&tables);
        let mut last = ("", "");
        for _ in 0..tables.services {
            let (image, after): (ServiceImage<'_>, _) = next(rest)?;
            rest = after;
            let name = (image.namespace, image.name);
            if image.records == 0 || image.revision > tables.revision || name <= last {
                return Err(corrupt());
            }
            last = name;
            rest = self.fill_service(&tables, &image, &mut known, rest)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(corrupt()) }
    }

    fn fill_overrides(&mut self, images: &[OverrideImage<'_>]) -> Result<(), Error> {
        for image in images {
            let [namespace, service, id] = image.name;
            let state = AdminState::ALL.get(usize::from(image.state)).copied().ok_or_else(corrupt)?;
            let until = image.left.map(|left| Timestamp::clamped(self.now.as_micros().saturating_add(left)));
            let own = Override { state, until, reason: image.reason.into() };
            Check::single(self).set_admin(namespace, service, id, Some(&own)).map_err(sieve)?;
            if let Some(until) = until {
                self.promise(until.as_micros());
            }
            self.overrides.set(&Key::new(namespace, service, id), own);
        }
        Ok(())
    }

    /// Reads the records of one service; what is left of the bytes.
    fn fill_service<'a>(
        &mut self,
        tables: &Tables<'_>,
        image: &ServiceImage<'_>,
        known: &mut Known,
        mut rest: &'a [u8],
    ) -> Result<&'a [u8], Error> {
        check_name("namespace", image.namespace).and_then(|()| check_name("service", image.name)).map_err(|_| corrupt())?;
        let quota = |field, limit: u32| Err(Error::new(Code::QuotaExceeded, field).limit(limit.into()));
        if self.store.services.len() >= self.config.max_services as usize {
            return quota("services", self.config.max_services);
        }
        if image.records > self.config.max_instances_per_service {
            return quota("service", self.config.max_instances_per_service);
        }
        let mut service = None;
        let mut last: &[u8] = &[];
        let mut bytes = Vec::new();
        for member in 0..image.records as usize {
            let (record, after): (RecordImage<'_>, _) = next(rest)?;
            rest = after;
            if self.store.len() >= self.config.max_instances as usize || !self.store.has_room(1) {
                return quota("instances", self.config.max_instances);
            }
            let spelled = Reader(record.own).id().ok_or_else(corrupt)?;
            let ordered = last.is_empty() || blob::compare_ids(last, spelled).is_lt();
            let source = record.state >> 3;
            if !ordered || usize::from(source) > self.sources.names().len() || record.revision > tables.revision {
                return Err(corrupt());
            }
            last = spelled;
            if !blob::is_spelled(spelled) {
                return Err(corrupt());
            }
            let health = Health::ALL.get(usize::from(record.state & 7)).copied().ok_or_else(corrupt)?;
            let admin = match self.overrides.len() {
                0 => None,
                _ => self.overrides.get(image.namespace, image.name, &blob::id_text(spelled)),
            };
            let admin = admin.map_or(AdminState::Enabled, |own| own.state);
            let shared = known.shared(self, tables, &record)?;
            bytes.clear();
            let fenced = known.pack(self, tables, record.own, &mut bytes)?;
            // Only now, lest a service without records stay behind.
            let number = *service.get_or_insert_with(|| self.store.services.enter(image.namespace, image.name));
            let (revision, renewed) = (record.revision, self.now);
            let row = Image { service: number, shared, health, admin, source, fenced, revision, renewed };
            let slot = self.store.restore(&row, spelled, &bytes, member);
            self.promise(self.store.due(slot));
        }
        if let Some(own) = service.and_then(|number| self.store.services.get_mut(number)) {
            own.revision = image.revision;
        }
        Ok(rest)
    }
}

/// The numbers in the new registry of what stands in the tables; read, checked and acquired when a record first names it.
struct Known {
    metadata: Vec<Option<u32>>,
    localities: Vec<Option<u32>>,
    profiles: Vec<Option<u32>>,
    kinds: Vec<Option<u32>>,
}

impl Known {
    fn new(tables: &Tables<'_>) -> Self {
        Self {
            metadata: alloc::vec![None; tables.metadata.len()],
            localities: alloc::vec![None; tables.localities.len()],
            profiles: alloc::vec![None; tables.profiles.len()],
            kinds: alloc::vec![None; tables.kinds.len()],
        }
    }

    /// One use of all that a record shares.
    fn shared(&mut self, registry: &mut Registry, tables: &Tables<'_>, record: &RecordImage<'_>) -> Result<Shared, Error> {
        let pools = &mut registry.store.pools;
        let metadata = match self.metadata.get(record.metadata as usize).ok_or_else(corrupt)? {
            Some(number) => {
                pools.metadata.keep(*number);
                *number
            }
            None => {
                let pairs = tables.metadata.get(record.metadata as usize).ok_or_else(corrupt)?;
                pools.acquire_metadata(&Metadata::new(pairs.iter().copied()).map_err(|_| corrupt())?)
            }
        };
        put(&mut self.metadata, record.metadata, metadata);
        let locality = match self.localities.get(record.locality as usize).ok_or_else(corrupt)? {
            Some(number) => {
                pools.localities.keep(*number);
                *number
            }
            None => {
                let [region, zone, subzone, node] = tables.localities.get(record.locality as usize).ok_or_else(corrupt)?.map(String::from);
                let locality = Locality { region, zone, subzone, node };
                locality.validate().map_err(|_| corrupt())?;
                pools.acquire_locality(&locality)
            }
        };
        put(&mut self.localities, record.locality, locality);
        let profile = match self.profiles.get(record.profile as usize).ok_or_else(corrupt)? {
            Some(number) => {
                pools.profiles.keep(*number);
                *number
            }
            None => {
                let image = tables.profiles.get(record.profile as usize).ok_or_else(corrupt)?;
                let (tags, version, weight, lease) = image.read().map_err(|_| corrupt())?;
                pools.acquire_profile(&tags, version.as_ref(), weight, lease)
            }
        };
        put(&mut self.profiles, record.profile, profile);
        Ok(Shared { metadata, locality, profile })
    }

    /// Checks the bytes of a record and packs them anew; whether its incarnation is not 0.
    fn pack(&mut self, registry: &mut Registry, tables: &Tables<'_>, own: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let mut reader = Reader(own);
        let spelled = reader.id().ok_or_else(corrupt)?;
        let incarnation = reader.number().ok_or_else(corrupt)?;
        check_incarnation(incarnation).map_err(|_| corrupt())?;
        let count = reader.byte().ok_or_else(corrupt)?;
        if usize::from(count) > crate::limits::ENDPOINTS {
            return Err(corrupt());
        }
        out.extend_from_slice(spelled);
        blob::push_number(out, incarnation);
        out.push(count);
        for _ in 0..count {
            let packed = reader.endpoint().ok_or_else(corrupt)?;
            if let Host::Name(name) = &packed.host
                && Host::parse(name).as_ref() != Ok(&packed.host)
            {
                return Err(corrupt());
            }
            let kind = match self.kinds.get(packed.kind as usize).ok_or_else(corrupt)? {
                Some(kind) => {
                    registry.store.pools.kinds.keep(*kind);
                    *kind
                }
                None => {
                    let (name, scheme, secure) = tables.kinds.get(packed.kind as usize).ok_or_else(corrupt)?;
                    let built = Endpoint::build(name, scheme, packed.host.clone(), packed.port, *secure).map_err(|_| corrupt())?;
                    registry.store.pools.acquire_kind(&built.name, &built.scheme, built.secure)
                }
            };
            put(&mut self.kinds, packed.kind, kind);
            blob::push_endpoint(kind, &packed.host, packed.port, out);
        }
        if reader.0.is_empty() { Ok(incarnation > 0) } else { Err(corrupt()) }
    }
}

fn put(known: &mut [Option<u32>], at: u32, number: u32) {
    if let Some(place) = known.get_mut(at as usize) {
        *place = Some(number);
    }
}

impl ProfileImage<'_> {
    fn read(&self) -> Result<(Tags, Option<Version>, Weight, Option<Lease>), Error> {
        let span = core::time::Duration::from_micros;
        let version = if self.version.is_empty() { None } else { Some(Version::parse(&self.version)?) };
        let lease = if self.ttl == 0 { None } else { Some(Lease::new(span(self.ttl), span(self.grace))?) };
        Ok((Tags::new(self.tags.iter().copied())?, version, Weight::from_thousandths(self.weight)?, lease))
    }
}

fn append(value: &impl Serialize, bytes: Vec<u8>) -> Vec<u8> {
    // Writing to memory does not fail.
    postcard::to_extend(value, bytes).unwrap_or_default()
}

fn next<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Error> {
    postcard::take_from_bytes(bytes).map_err(|_| corrupt())
}

/// Takes the header off.
fn open(bytes: &[u8]) -> Result<&[u8], Error> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or_else(corrupt)?;
    let mut reader = Reader(header);
    let magic = reader.take(4);
    let version = reader.take(2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_le_bytes);
    let mut number = || reader.take(8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(u64::from_le_bytes);
    let (length, print) = (number(), number());
    if magic != Some(&MAGIC) {
        return Err(corrupt());
    }
    if version != Some(VERSION) {
        return Err(Error::new(Code::SnapshotVersion, "snapshot").limit(VERSION.into()).message("a version this release does not read"));
    }
    if length != Some(body.len() as u64) || print != Some(xxh3_64(body)) {
        return Err(corrupt());
    }
    Ok(body)
}

/// A quota is the host's affair and stays; any other fault is the snapshot's.
fn sieve(error: Error) -> Error {
    if error.code() == Code::QuotaExceeded { error } else { corrupt() }
}

fn corrupt() -> Error {
    Error::new(Code::SnapshotCorrupt, "snapshot").message("cut short, damaged or not a snapshot")
}
