//! A registry from the bytes of a [`snapshot`](super::snapshot).

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::blob::{self, Reader};
use super::guard::{Guard, TokenDigest};
use super::intern::{Pools, Shared};
use super::log::Log;
use super::ops::{Check, Key};
use super::pool::Pool;
use super::saved::{SavedName, SavedQuery};
use super::snapshot::{
    FORMAT, HEADER, LEAST_RECORD, MAGIC, OverrideImage, ProfileImage, QueryImage, RecordImage, ServiceImage, Sets, Tables, Tail,
};
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
        known.settle(&mut self.store.pools);
        self.store.mark_all();
        if !rest.is_empty() {
            let (tail, after): (Tail<'_>, _) = next(rest)?;
            if tail.queries.is_empty() && tail.guards.is_empty() || !after.is_empty() {
                return Err(corrupt());
            }
            self.fill_queries(&tail.queries)?;
            for ([namespace, service, id], digest) in tail.guards {
                let slot = self.slot(namespace, service, id).ok_or_else(corrupt)?;
                if self.guards.insert(slot, Guard { digest: TokenDigest(digest), sequence: 0 }).is_some() {
                    return Err(corrupt());
                }
            }
        }
        if self.store.len() == tables.records as usize { Ok(()) } else { Err(corrupt()) }
    }

    fn fill_queries(&mut self, images: &[QueryImage<'_>]) -> Result<(), Error> {
        let mut last = SavedName::default();
        for image in images {
            let QueryImage { name, revision, .. } = image;
            let query = image.query().ok_or_else(corrupt)?;
            self.saved.check(name, &query).map_err(|_| corrupt())?;
            let own = (query.namespace.clone(), String::from(*name));
            if *revision > self.revision || own <= last {
                return Err(corrupt());
            }
            last = own;
            self.saved.put(SavedQuery { name: (*name).into(), query, revision: *revision });
        }
        Ok(())
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
            let shared = known.shared(&mut self.store.pools, tables, &record)?;
            bytes.clear();
            let fenced = known.pack(&mut self.store.pools, tables, record.own, &mut bytes)?;
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

/// The numbers in the new registry of the values of one table.
struct Numbers(Vec<Number>);

/// One of them.
#[derive(Clone, Copy, Default)]
struct Number {
    /// None while no record has named the value: only then is it read, checked and acquired.
    number: Option<core::num::NonZeroU32>,
    /// How many uses it has beside the first. They are noted here, close together, and not in the pools.
    more: u32,
}

impl Numbers {
    fn new(count: usize) -> Self {
        Self(alloc::vec![Number::default(); count])
    }

    /// The number of a value, with one more use; `new` acquires it when it is the first.
    fn take(&mut self, at: u32, new: impl FnOnce() -> Result<u32, Error>) -> Result<u32, Error> {
        let known = self.0.get_mut(at as usize).ok_or_else(corrupt)?;
        if let Some(number) = known.number {
            known.more = known.more.saturating_add(1);
            return Ok(number.get());
        }
        let number = new()?;
        // The empty value, number 0, is cheap to find each time.
        known.number = core::num::NonZeroU32::new(number);
        Ok(number)
    }

    /// Notes the uses in the pool.
    fn settle<T: Default>(self, pool: &mut Pool<T>) {
        for known in self.0 {
            if let Some(number) = known.number {
                pool.keep_more(number.get(), known.more);
            }
        }
    }
}

/// What of the tables is in the new registry.
struct Known {
    sets: Sets,
    pairs: Numbers,
    metadata: Numbers,
    localities: Numbers,
    profiles: Numbers,
    kinds: Numbers,
}

impl Known {
    fn new(tables: &Tables<'_>, sets: Sets) -> Self {
        Self {
            pairs: Numbers::new(tables.pairs.len()),
            metadata: Numbers::new(sets.len()),
            localities: Numbers::new(tables.localities.len()),
            profiles: Numbers::new(tables.profiles.len()),
            kinds: Numbers::new(tables.kinds.len()),
            sets,
        }
    }

    /// Notes all uses in the pools.
    fn settle(self, pools: &mut Pools) {
        self.metadata.settle(&mut pools.metadata);
        self.localities.settle(&mut pools.localities);
        self.profiles.settle(&mut pools.profiles);
        self.kinds.settle(&mut pools.kinds);
    }

    /// One use of all that a record shares.
    fn shared(&mut self, pools: &mut Pools, tables: &Tables<'_>, record: &RecordImage<'_>) -> Result<Shared, Error> {
        let Self { sets, pairs, metadata, localities, profiles, .. } = self;
        Ok(Shared {
            metadata: metadata.take(record.metadata, || acquire_set(pools, tables, sets, pairs, record.metadata))?,
            locality: localities.take(record.locality, || {
                let [region, zone, subzone, node] = tables.localities.get(record.locality as usize).ok_or_else(corrupt)?.map(String::from);
                let locality = Locality { region, zone, subzone, node };
                // An empty part is one that is not known.
                locality.validate().map_err(|_| corrupt())?;
                Ok(pools.acquire_locality(&locality))
            })?,
            profile: profiles.take(record.profile, || {
                let image = tables.profiles.get(record.profile as usize).ok_or_else(corrupt)?;
                let (tags, version, weight, lease) = image.read().map_err(|_| corrupt())?;
                Ok(pools.acquire_profile(&tags, version.as_ref(), weight, lease))
            })?,
        })
    }

    /// Checks the bytes of a record and packs them anew; whether its incarnation is not 0.
    fn pack(&mut self, pools: &mut Pools, tables: &Tables<'_>, own: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
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
            let (image, place) = reader.raw_endpoint().ok_or_else(corrupt)?;
            // Addresses are valid whatever their bytes; a name is spelled as names are.
            if place.first() == Some(&0) && !Reader(place).place().is_some_and(|(host, _)| is_host(&host)) {
                return Err(corrupt());
            }
            let kind = self.kinds.take(image, || {
                let (name, scheme, secure) = tables.kinds.get(image as usize).ok_or_else(corrupt)?;
                let (host, port) = Reader(place).place().ok_or_else(corrupt)?;
                let built = Endpoint::build(name, scheme, host, port, *secure).map_err(|_| corrupt())?;
                Ok(pools.acquire_kind(&built.name, &built.scheme, built.secure))
            })?;
            blob::push_number(out, kind.into());
            out.extend_from_slice(place);
        }
        if reader.0.is_empty() { Ok(incarnation > 0) } else { Err(corrupt()) }
    }
}

/// One use of a metadata set that no record has named yet.
fn acquire_set(pools: &mut Pools, tables: &Tables<'_>, sets: &Sets, known: &mut Numbers, set: u32) -> Result<u32, Error> {
    let pairs = sets.get(set).ok_or_else(corrupt)?;
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
        // Noted at once: a set that is there already gives back its uses.
        let mut fresh = false;
        let facet = known.take(*pair, || {
            fresh = true;
            Metadata::new([(*key, *value)]).map_err(|_| corrupt())?;
            Ok(pools.acquire_pair(key, value))
        })?;
        if !fresh {
            pools.facets.keep(facet);
        }
        facets.push(facet);
    }
    Ok(pools.acquire_set(&facets))
}

fn is_host(host: &Host) -> bool {
    match host {
        Host::Name(name) => Host::parse(name).as_ref() == Ok(host),
        _ => true,
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
