//! A registry from the bytes of a [`snapshot`](super::snapshot).

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::blob::{self, Reader};
use super::intern::Shared;
use super::log::Log;
use super::ops::{Check, Key};
use super::snapshot::{FORMAT, HEADER, LEAST_RECORD, MAGIC, OverrideImage, ProfileImage, RecordImage, ServiceImage, Sets, Tables};
use super::store::Image;
use super::{Config, Registry};
use crate::error::{Code, Error};
use crate::model::{
    AdminState, Endpoint, Health, Host, Lease, Locality, Metadata, Override, Tags, Version, Weight, check_id, check_incarnation, check_name,
};
use crate::time::Timestamp;

impl Registry {
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
        let (tables, rest): (Tables<'_>, _) = next(body)?;
        let mut reader = Reader(rest);
        let sets = Sets::read(tables.sets, &mut reader).ok_or_else(corrupt)?;
        let mut rest = reader.0;
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
        let mut known = Known::new(&tables, sets);
        // No more than the bytes can hold.
        self.store.reserve((tables.records as usize).min(rest.len() / LEAST_RECORD));
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
        self.store.mark_all();
        if rest.is_empty() && self.store.len() == tables.records as usize { Ok(()) } else { Err(corrupt()) }
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
        rest: &'a [u8],
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
        let mut reader = Reader(rest);
        for member in 0..image.records as usize {
            let record = RecordImage::read(&mut reader).ok_or_else(corrupt)?;
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
            let number = *service.get_or_insert_with(|| {
                let number = self.store.services.enter(image.namespace, image.name);
                if let Some(own) = self.store.services.get_mut(number) {
                    let most = (reader.0.len() / LEAST_RECORD).saturating_add(1);
                    own.members.reserve_exact((image.records as usize).min(most));
                }
                number
            });
            let (revision, renewed) = (record.revision, self.now);
            let row = Image { service: number, shared, health, admin, source, fenced, revision, renewed };
            let slot = self.store.restore(&row, spelled, &bytes, member);
            self.promise(self.store.due(slot));
        }
        if let Some(own) = service.and_then(|number| self.store.services.get_mut(number)) {
            own.revision = image.revision;
        }
        Ok(reader.0)
    }
}

/// The numbers in the new registry of what stands in the tables; read, checked and acquired when a record first names it.
struct Known {
    sets: Sets,
    pairs: Vec<Option<u32>>,
    metadata: Vec<Option<u32>>,
    localities: Vec<Option<u32>>,
    profiles: Vec<Option<u32>>,
    kinds: Vec<Option<u32>>,
}

impl Known {
    fn new(tables: &Tables<'_>, sets: Sets) -> Self {
        Self {
            pairs: alloc::vec![None; tables.pairs.len()],
            metadata: alloc::vec![None; sets.starts.len()],
            localities: alloc::vec![None; tables.localities.len()],
            profiles: alloc::vec![None; tables.profiles.len()],
            kinds: alloc::vec![None; tables.kinds.len()],
            sets,
        }
    }

    /// One use of a metadata set that no record has named yet.
    fn metadata(&mut self, registry: &mut Registry, tables: &Tables<'_>, set: u32) -> Result<u32, Error> {
        let pairs = self.sets.get(set).ok_or_else(corrupt)?;
        if pairs.len() > crate::limits::METADATA_PAIRS {
            return Err(corrupt());
        }
        let mut facets = Vec::with_capacity(pairs.len());
        let mut last = "";
        for pair in pairs {
            let (key, value) = tables.pairs.get(*pair as usize).ok_or_else(corrupt)?;
            if *key <= last {
                return Err(corrupt());
            }
            last = key;
            let facet = match self.pairs.get(*pair as usize).copied().flatten() {
                Some(facet) => {
                    registry.store.pools.facets.keep(facet);
                    facet
                }
                None => {
                    Metadata::new([(*key, *value)]).map_err(|_| corrupt())?;
                    registry.store.pools.acquire_pair(key, value)
                }
            };
            put(&mut self.pairs, *pair, facet);
            facets.push(facet);
        }
        Ok(registry.store.pools.acquire_set(&facets))
    }

    /// One use of all that a record shares.
    fn shared(&mut self, registry: &mut Registry, tables: &Tables<'_>, record: &RecordImage<'_>) -> Result<Shared, Error> {
        let metadata = match self.metadata.get(record.metadata as usize).ok_or_else(corrupt)? {
            Some(number) => {
                registry.store.pools.metadata.keep(*number);
                *number
            }
            None => self.metadata(registry, tables, record.metadata)?,
        };
        let pools = &mut registry.store.pools;
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
    if version != Some(FORMAT) {
        return Err(Error::new(Code::SnapshotVersion, "snapshot").limit(FORMAT.into()).message("a version this release does not read"));
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
