//! The whole registry as bytes, and back.
//!
//! ```text
//! "CBRD"  version (2 bytes)  length of the body (8 bytes)  XXH3-64 of the body (8 bytes)  body        all little endian
//! ```
//! The body is [postcard](https://postcard.jamesmunns.com): tables of what records share, then the records of each service in order of
//! id, each a few numbers and the packed bytes of what is its own. The checksum finds accidents; everything is checked as if it came from an
//! enemy all the same.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::blob::{self, Reader};
use super::log::Log;
use super::ops::{Check, Key};
use super::store::Row;
use super::{Config, Registry};
use crate::error::{Code, Error};
use crate::model::{
    AdminState, Endpoint, Health, Host, Lease, Locality, Metadata, Override, Registration, Tags, Version, Weight, check_id,
};
use crate::time::{Timestamp, micros};

const MAGIC: [u8; 4] = *b"CBRD";
const VERSION: u16 = 1;
const HEADER: usize = 22;

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    epoch: u64,
    revision: u64,
    now: u64,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    /// By symbol; one that is not in use is empty.
    metadata: Vec<Vec<(&'a str, &'a str)>>,
    shapes: Vec<ShapeImage<'a>>,
    kinds: Vec<(&'a str, &'a str, bool)>,
    services: Vec<ServiceImage<'a>>,
    overrides: Vec<OverrideImage<'a>>,
}

#[derive(Serialize, Deserialize, Default)]
struct ShapeImage<'a> {
    #[serde(borrow)]
    tags: Vec<&'a str>,
    #[serde(borrow)]
    locality: [&'a str; 4],
    #[serde(borrow)]
    version: Cow<'a, str>,
    weight: u32,
    /// The ttl is 0 when there is no lease.
    ttl: u64,
    grace: u64,
}

#[derive(Serialize, Deserialize)]
struct ServiceImage<'a> {
    namespace: &'a str,
    name: &'a str,
    revision: u64,
    #[serde(borrow)]
    records: Vec<RecordImage<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RecordImage<'a> {
    own: &'a [u8],
    metadata: u32,
    shape: u32,
    revision: u64,
    health: u8,
    source: u8,
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
    /// The whole registry as bytes: records, overrides, sources, revisions. Leases are not: they begin anew.
    pub fn snapshot(&self) -> Vec<u8> {
        let store = &self.store;
        let image = |shape: &super::intern::Shape| ShapeImage {
            tags: Vec::new(),
            locality: [""; 4],
            version: shape.version.as_ref().map_or(Cow::Borrowed(""), |version| Cow::Owned(version.text())),
            weight: shape.weight.thousandths(),
            ttl: shape.lease.map_or(0, |lease| micros(lease.ttl)),
            grace: shape.lease.map_or(0, |lease| micros(lease.grace)),
        };
        let mut shapes = Vec::with_capacity(store.shapes.bound());
        for symbol in 0..store.shapes.bound() as u32 {
            shapes.push(store.shapes.get(symbol).map_or_else(ShapeImage::default, |shape| ShapeImage {
                tags: shape.tags.iter().collect(),
                locality: shape.locality.parts().map(|(_, part)| part),
                ..image(shape)
            }));
        }
        let record = |slot: &u32| RecordImage {
            own: store.blob(*slot),
            metadata: store.metadata_symbol(*slot),
            shape: store.shape_symbol(*slot),
            revision: store.revision(*slot),
            health: store.health(*slot) as u8,
            source: store.source(*slot),
        };
        let service = |(_, service): (u32, &'_ super::store::Service)| -> (String, String, u64, Vec<u32>) {
            (service.namespace.clone(), service.name.clone(), service.revision, service.members.clone())
        };
        let services: Vec<_> = store.services.list(None).map(service).collect();
        let body = Body {
            epoch: self.epoch,
            revision: self.revision,
            now: self.now.as_micros(),
            sources: self.sources.names().iter().map(String::as_str).collect(),
            metadata: (0..store.metadata.bound() as u32)
                .map(|symbol| store.metadata.get(symbol).map_or_else(Vec::new, |set| set.iter().collect()))
                .collect(),
            shapes,
            kinds: store.kind_table(),
            services: services
                .iter()
                .map(|(namespace, name, revision, members)| ServiceImage {
                    namespace,
                    name,
                    revision: *revision,
                    records: members.iter().map(record).collect(),
                })
                .collect(),
            overrides: self
                .overrides
                .iter()
                .map(|(name, own)| OverrideImage {
                    name,
                    state: own.state as u8,
                    left: own.until.map(|until| micros(until.saturating_since(self.now))),
                    reason: &own.reason,
                })
                .collect(),
        };
        let mut bytes = alloc::vec![0; HEADER];
        // Writing to memory does not fail.
        bytes = postcard::to_extend(&body, bytes).unwrap_or_default();
        let (length, print) = bytes.split_at_checked(HEADER).map_or((0, 0), |(_, body)| (body.len() as u64, xxh3_64(body)));
        let header = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain(length.to_le_bytes()).chain(print.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = from;
        }
        bytes
    }

    /// The registry of a snapshot, in a new epoch: the larger of the configured one and the one after the snapshot's. Revisions go on from
    /// where they were; every lease begins anew at `now`; handles and views of the old registry are good no more.
    ///
    /// # Errors
    /// [`Code::SnapshotCorrupt`], [`Code::SnapshotVersion`]; [`Code::QuotaExceeded`] when it holds more than `config` allows; what
    /// [`Config::validate`] returns. Nothing is allocated because the bytes claim a size.
    pub fn restore(bytes: &[u8], config: Config, now: Timestamp) -> Result<Self, Error> {
        let mut registry = Self::new(config)?;
        registry.now = now;
        registry.fill(&open(bytes)?)?;
        Ok(registry)
    }

    fn fill(&mut self, body: &Body<'_>) -> Result<(), Error> {
        let safe = Timestamp::MAX.as_micros();
        if body.revision > safe || body.epoch >= safe {
            return Err(corrupt());
        }
        self.epoch = self.config.epoch.max(body.epoch.saturating_add(1));
        self.revision = body.revision;
        self.log = Log::new(self.config.log_capacity, body.revision);
        for name in &body.sources {
            check_id("source", name).map_err(|_| corrupt())?;
            if *name == "local" || usize::from(self.sources.enter(name).map_err(|_| corrupt())?) != self.sources.names().len() {
                return Err(corrupt());
            }
        }
        for image in &body.overrides {
            let [namespace, service, id] = image.name;
            let state = AdminState::ALL.get(usize::from(image.state)).copied().ok_or_else(corrupt)?;
            let until = image.left.map(|left| Timestamp::clamped(self.now.as_micros().saturating_add(left)));
            let own = Override { state, until, reason: image.reason.into() };
            Check::new(self).set_admin(namespace, service, id, Some(&own)).map_err(sieve)?;
            if let Some(until) = until {
                self.promise(until);
            }
            self.overrides.set(&Key::new(namespace, service, id), own);
        }
        let metadata: Vec<Metadata> =
            body.metadata.iter().map(|pairs| Metadata::new(pairs.iter().copied())).collect::<Result<_, _>>().map_err(|_| corrupt())?;
        let shapes: Vec<Parts> = body.shapes.iter().map(Parts::read).collect::<Result<_, _>>()?;
        for service in &body.services {
            for record in &service.records {
                self.put_back(body, service, record, &metadata, &shapes)?;
            }
            let known = self.store.services.find(service.namespace, service.name).and_then(|number| self.store.services.get_mut(number));
            match known {
                Some(own) if service.revision <= body.revision => own.revision = service.revision,
                _ => return Err(corrupt()),
            }
        }
        Ok(())
    }

    fn put_back(
        &mut self,
        body: &Body<'_>,
        service: &ServiceImage<'_>,
        record: &RecordImage<'_>,
        metadata: &[Metadata],
        shapes: &[Parts],
    ) -> Result<(), Error> {
        let mut reader = Reader(record.own);
        let id = blob::id_text(reader.id().ok_or_else(corrupt)?);
        let incarnation = reader.number().ok_or_else(corrupt)?;
        let count = reader.byte().ok_or_else(corrupt)?;
        let mut endpoints = Vec::new();
        for _ in 0..count {
            let packed = reader.endpoint().ok_or_else(corrupt)?;
            let (name, scheme, secure) = body.kinds.get(packed.kind as usize).ok_or_else(corrupt)?;
            let host = match packed.host {
                Host::Name(name) => Host::parse(&name).map_err(|_| corrupt())?,
                address => address,
            };
            endpoints.push(Endpoint::build(name, scheme, host, packed.port, *secure).map_err(|_| corrupt())?);
        }
        let parts = shapes.get(record.shape as usize).ok_or_else(corrupt)?;
        let registration = Registration {
            namespace: service.namespace.into(),
            service: service.name.into(),
            id,
            endpoints,
            locality: parts.locality.clone(),
            weight: parts.weight,
            version: parts.version.clone(),
            tags: parts.tags.clone(),
            metadata: metadata.get(record.metadata as usize).ok_or_else(corrupt)?.clone(),
            health: Health::ALL.get(usize::from(record.health)).copied().ok_or_else(corrupt)?,
            lease: parts.lease,
            incarnation,
        };
        if usize::from(record.source) > self.sources.names().len() || record.revision > body.revision || !reader.0.is_empty() {
            return Err(corrupt());
        }
        let put = super::Put { mode: super::Mode::Create, if_revision: None };
        Check::new(self).register(&registration, put, record.source).map_err(sieve)?;
        let Registration { namespace, service, id, lease, .. } = &registration;
        let admin = self.overrides.get(namespace, service, id).map_or(AdminState::Enabled, |own| own.state);
        let row = Row { registration: &registration, source: record.source, admin, revision: record.revision, renewed: self.now };
        let slot = self.store.insert(&row);
        self.leased = self.leased.saturating_add(usize::from(lease.is_some()));
        self.arm(slot);
        Ok(())
    }
}

/// A shape, checked.
struct Parts {
    tags: Tags,
    locality: Locality,
    version: Option<Version>,
    weight: Weight,
    lease: Option<Lease>,
}

impl Parts {
    fn read(image: &ShapeImage<'_>) -> Result<Self, Error> {
        let [region, zone, subzone, node] = image.locality.map(String::from);
        let span = core::time::Duration::from_micros;
        let parts = || -> Result<Self, Error> {
            Ok(Self {
                tags: Tags::new(image.tags.iter().copied())?,
                locality: Locality { region, zone, subzone, node },
                version: if image.version.is_empty() { None } else { Some(Version::parse(&image.version)?) },
                weight: Weight::from_thousandths(image.weight)?,
                lease: if image.ttl == 0 { None } else { Some(Lease::new(span(image.ttl), span(image.grace))?) },
            })
        };
        parts().map_err(|_| corrupt())
    }
}

/// Takes the header off and reads the body.
fn open(bytes: &[u8]) -> Result<Body<'_>, Error> {
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
    match postcard::take_from_bytes(body) {
        Ok((body, [])) => Ok(body),
        _ => Err(corrupt()),
    }
}

/// A quota is the host's affair and stays; any other fault is the snapshot's.
fn sieve(error: Error) -> Error {
    if error.code() == Code::QuotaExceeded { error } else { corrupt() }
}

fn corrupt() -> Error {
    Error::new(Code::SnapshotCorrupt, "snapshot").message("cut short, damaged or not a snapshot")
}
