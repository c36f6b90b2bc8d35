//! Where the records are: columns by slot, shared values interned, each service's slots in order of id.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::blob::{self, Reader};
use super::intern::{Interner, PortKind, Shape, chain};
use crate::model::{AdminState, Availability, Endpoint, Handle, Health, Lease, LeaseState, Metadata, Registration};
use crate::time::Timestamp;

/// The records. Knows nothing of time, of rules or of revisions: it is told them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) services: Services,
    pub(super) metadata: MetadataSets,
    pub(super) shapes: Interner<Shape>,
    kinds: Interner<PortKind>,
    rows: Rows,
    index: HashTable<u32>,
    free: Vec<u32>,
    arena: Vec<u8>,
    /// Bytes of the arena that no record uses.
    waste: usize,
    live: usize,
    seed: u64,
}

/// One column a field. A slot that is free has `LIVE` unset and keeps its generation.
#[derive(Clone, Debug, Default)]
struct Rows {
    generation: Vec<u32>,
    flags: Vec<u16>,
    source: Vec<u8>,
    service: Vec<u32>,
    metadata: Vec<u32>,
    /// Where the slot stands among those of its metadata set.
    place: Vec<u32>,
    shape: Vec<u32>,
    blob: Vec<u32>,
    revision: Vec<u64>,
    renewed: Vec<u64>,
}

const LIVE: u16 = 1;
const HEALTH_SHIFT: u32 = 1;
const ADMIN_SHIFT: u32 = 4;
const LEASE_SHIFT: u32 = 6;
/// Set when the incarnation is not 0: a renewal must name it.
const FENCED: u16 = 1 << 8;
/// No more than this many bytes of waste are worth a compaction.
const WASTE: usize = 1 << 16;

/// What to write into a record.
pub(super) struct Row<'a> {
    pub(super) registration: &'a Registration,
    pub(super) source: u8,
    pub(super) admin: AdminState,
    pub(super) revision: u64,
    pub(super) renewed: Timestamp,
}

fn at<T: Copy + Default>(column: &[T], slot: u32) -> T {
    column.get(slot as usize).copied().unwrap_or_default()
}

fn put<T>(column: &mut [T], slot: u32, value: T) {
    if let Some(cell) = column.get_mut(slot as usize) {
        *cell = value;
    }
}

/// Grows by an eighth: a million records must not carry a second million in slack.
pub(super) fn push<T>(column: &mut Vec<T>, value: T) {
    if column.len() == column.capacity() {
        column.reserve_exact((column.len() >> 3).max(16));
    }
    column.push(value);
}

impl Store {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            services: Services::default(),
            metadata: MetadataSets::new(seed),
            shapes: Interner::new(seed),
            kinds: Interner::new(seed),
            rows: Rows::default(),
            index: HashTable::new(),
            free: Vec::new(),
            arena: Vec::new(),
            waste: 0,
            live: 0,
            seed,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// One more than the largest slot ever used.
    pub(super) fn bound(&self) -> u32 {
        self.rows.flags.len() as u32
    }

    pub(super) fn is_live(&self, slot: u32) -> bool {
        at(&self.rows.flags, slot) & LIVE != 0
    }

    /// The slot of a handle whose record is still there. The renewal path: one comparison.
    #[inline]
    pub(super) fn resolve(&self, handle: Handle) -> Option<u32> {
        let slot = handle.slot();
        (at(&self.rows.generation, slot) == handle.generation() && self.is_live(slot)).then_some(slot)
    }

    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle::new(slot, at(&self.rows.generation, slot))
    }

    pub(super) fn find(&self, service: u32, id: &str) -> Option<u32> {
        let mut spelled = Vec::with_capacity(32);
        blob::encode_id(id, &mut spelled);
        self.find_spelled(service, &spelled)
    }

    fn find_spelled(&self, service: u32, spelled: &[u8]) -> Option<u32> {
        let same = |slot: &u32| at(&self.rows.service, *slot) == service && self.blob(*slot).starts_with(spelled);
        self.index.find(hash(self.seed, service, spelled), same).copied()
    }

    // What a record says. A slot out of range or free reads as zeros; callers hold live slots.

    pub(super) fn service(&self, slot: u32) -> u32 {
        at(&self.rows.service, slot)
    }

    pub(super) fn source(&self, slot: u32) -> u8 {
        at(&self.rows.source, slot)
    }

    pub(super) fn revision(&self, slot: u32) -> u64 {
        at(&self.rows.revision, slot)
    }

    #[inline]
    pub(super) fn renewed(&self, slot: u32) -> Timestamp {
        Timestamp::clamped(at(&self.rows.renewed, slot))
    }

    pub(super) fn metadata_symbol(&self, slot: u32) -> u32 {
        at(&self.rows.metadata, slot)
    }

    pub(super) fn shape_symbol(&self, slot: u32) -> u32 {
        at(&self.rows.shape, slot)
    }

    pub(super) fn shape(&self, slot: u32) -> Option<&Shape> {
        self.shapes.get(at(&self.rows.shape, slot))
    }

    pub(super) fn lease(&self, slot: u32) -> Option<Lease> {
        self.shape(slot)?.lease
    }

    pub(super) fn health(&self, slot: u32) -> Health {
        pick(Health::ALL, at(&self.rows.flags, slot) >> HEALTH_SHIFT & 7).unwrap_or(Health::Unknown)
    }

    pub(super) fn admin(&self, slot: u32) -> AdminState {
        pick(AdminState::ALL, at(&self.rows.flags, slot) >> ADMIN_SHIFT & 3).unwrap_or(AdminState::Enabled)
    }

    #[inline]
    pub(super) fn lease_state(&self, slot: u32) -> LeaseState {
        pick(LeaseState::ALL, at(&self.rows.flags, slot) >> LEASE_SHIFT & 3).unwrap_or(LeaseState::Persistent)
    }

    /// Whether a renewal of incarnation 0 has nothing to do but write the time: a local record of that incarnation that is
    /// live, or has no lease.
    #[inline]
    pub(super) fn is_plain(&self, slot: u32) -> bool {
        let flags = at(&self.rows.flags, slot);
        at(&self.rows.source, slot) == 0 && flags & FENCED == 0 && flags >> LEASE_SHIFT & 3 != LeaseState::Suspect as u16
    }

    pub(super) fn availability(&self, slot: u32) -> Availability {
        Availability::of(self.health(slot), self.admin(slot), self.lease_state(slot))
    }

    /// The id as the blob spells it.
    pub(super) fn spelled_id(&self, slot: u32) -> &[u8] {
        Reader(self.blob(slot)).id().unwrap_or_default()
    }

    pub(super) fn id(&self, slot: u32) -> String {
        blob::id_text(self.spelled_id(slot))
    }

    pub(super) fn incarnation(&self, slot: u32) -> u64 {
        let mut reader = Reader(self.blob(slot));
        reader.id().and_then(|_| reader.number()).unwrap_or(0)
    }

    pub(super) fn endpoints(&self, slot: u32) -> Vec<Endpoint> {
        self.try_endpoints(slot).unwrap_or_default()
    }

    fn try_endpoints(&self, slot: u32) -> Option<Vec<Endpoint>> {
        let mut reader = Reader(self.blob(slot));
        reader.id()?;
        reader.number()?;
        let count = reader.byte()?;
        let mut endpoints = Vec::with_capacity(count.into());
        for _ in 0..count {
            let packed = reader.endpoint()?;
            let PortKind { name, scheme, secure } = self.kinds.get(packed.kind)?.clone();
            endpoints.push(Endpoint { name, scheme, host: packed.host, port: packed.port, secure });
        }
        Some(endpoints)
    }

    /// The kinds of endpoints by symbol; one that is not in use is empty.
    pub(super) fn kind_table(&self) -> Vec<(&str, &str, bool)> {
        let kind = |symbol: u32| self.kinds.get(symbol).map_or(("", "", false), |kind| (&*kind.name, &*kind.scheme, kind.secure));
        (0..self.kinds.bound() as u32).map(kind).collect()
    }

    /// The registration of a record, put together anew.
    pub(super) fn registration(&self, slot: u32) -> Option<Registration> {
        let service = self.services.get(self.service(slot))?;
        let shape = self.shape(slot)?.clone();
        Some(Registration {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            id: self.id(slot),
            endpoints: self.endpoints(slot),
            locality: shape.locality,
            weight: shape.weight,
            version: shape.version,
            tags: shape.tags,
            metadata: self.metadata.get(self.metadata_symbol(slot))?.clone(),
            health: self.health(slot),
            lease: shape.lease,
            incarnation: self.incarnation(slot),
        })
    }

    // Writing.

    pub(super) fn insert(&mut self, row: &Row<'_>) -> u32 {
        let registration = row.registration;
        let service = self.services.enter(&registration.namespace, &registration.service);
        let slot = self.claim();
        put(&mut self.rows.service, slot, service);
        self.write(slot, row);
        let hash = hash(self.seed, service, self.spelled_id(slot));
        let mut index = core::mem::take(&mut self.index);
        index.insert_unique(hash, slot, |slot| self.hash_of(*slot));
        self.index = index;
        let place = self.member_place(service, self.spelled_id(slot)).unwrap_or_else(|place| place);
        if let Some(service) = self.services.get_mut(service) {
            if service.members.len() == service.members.capacity() {
                service.members.reserve_exact((service.members.len() >> 2).max(4));
            }
            service.members.insert(place, slot);
        }
        self.live = self.live.saturating_add(1);
        slot
    }

    pub(super) fn update(&mut self, slot: u32, row: &Row<'_>) {
        self.forget_contents(slot);
        self.write(slot, row);
        self.compact_if_worth();
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let service = self.service(slot);
        let hash = self.hash_of(slot);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        let place = self.member_place(service, self.spelled_id(slot));
        if let (Ok(place), Some(service)) = (place, self.services.get_mut(service)) {
            service.members.remove(place);
        }
        self.services.leave(service);
        self.forget_contents(slot);
        put(&mut self.rows.flags, slot, 0);
        let generation = at(&self.rows.generation, slot).wrapping_add(1) % Handle::GENERATIONS;
        put(&mut self.rows.generation, slot, generation);
        self.free.push(slot);
        self.live = self.live.saturating_sub(1);
        self.compact_if_worth();
    }

    #[inline]
    pub(super) fn set_renewed(&mut self, slot: u32, now: Timestamp) {
        put(&mut self.rows.renewed, slot, now.as_micros());
    }

    pub(super) fn set_revision(&mut self, slot: u32, revision: u64) {
        put(&mut self.rows.revision, slot, revision);
    }

    pub(super) fn set_health(&mut self, slot: u32, health: Health) {
        self.set_flag(slot, HEALTH_SHIFT, 7, health as u16);
    }

    pub(super) fn set_admin(&mut self, slot: u32, admin: AdminState) {
        self.set_flag(slot, ADMIN_SHIFT, 3, admin as u16);
    }

    pub(super) fn set_lease_state(&mut self, slot: u32, state: LeaseState) {
        self.set_flag(slot, LEASE_SHIFT, 3, state as u16);
    }

    pub(super) fn set_incarnation(&mut self, slot: u32, incarnation: u64) {
        if self.incarnation(slot) == incarnation {
            return;
        }
        let (id, endpoints) = (self.id(slot), self.endpoints(slot));
        self.forget_blob(slot);
        let bytes = blob::encode(&id, incarnation, &endpoints, &mut self.kinds);
        self.keep_blob(slot, &bytes);
        let flags = at(&self.rows.flags, slot);
        put(&mut self.rows.flags, slot, if incarnation > 0 { flags | FENCED } else { flags & !FENCED });
        self.compact_if_worth();
    }

    /// The place of an id among a service's members, or where it would stand.
    fn member_place(&self, service: u32, spelled: &[u8]) -> Result<usize, usize> {
        let members = self.services.get(service).map_or(&[][..], |service| &service.members);
        // Ids often arrive in order; then the end is the place.
        if members.last().is_none_or(|last| blob::compare_ids(self.spelled_id(*last), spelled).is_lt()) {
            return Err(members.len());
        }
        members.binary_search_by(|other| blob::compare_ids(self.spelled_id(*other), spelled))
    }

    fn set_flag(&mut self, slot: u32, shift: u32, mask: u16, value: u16) {
        let flags = at(&self.rows.flags, slot);
        put(&mut self.rows.flags, slot, flags & !(mask << shift) | value << shift);
    }

    fn claim(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.bound();
        let rows = &mut self.rows;
        push(&mut rows.generation, 0);
        push(&mut rows.flags, 0);
        push(&mut rows.source, 0);
        for column in [&mut rows.service, &mut rows.metadata, &mut rows.place, &mut rows.shape, &mut rows.blob] {
            push(column, 0);
        }
        push(&mut rows.revision, 0);
        push(&mut rows.renewed, 0);
        slot
    }

    fn write(&mut self, slot: u32, row: &Row<'_>) {
        let Registration { id, endpoints, locality, weight, version, tags, metadata, health, lease, incarnation, .. } = row.registration;
        let bytes = blob::encode(id, *incarnation, endpoints, &mut self.kinds);
        self.keep_blob(slot, &bytes);
        let shape = Shape { tags: tags.clone(), locality: locality.clone(), version: version.clone(), weight: *weight, lease: *lease };
        let shape = self.shapes.acquire(&shape).0;
        put(&mut self.rows.shape, slot, shape);
        let (symbol, place) = self.metadata.enter(metadata, slot);
        put(&mut self.rows.metadata, slot, symbol);
        put(&mut self.rows.place, slot, place);
        put(&mut self.rows.source, slot, row.source);
        put(&mut self.rows.revision, slot, row.revision);
        put(&mut self.rows.renewed, slot, row.renewed.as_micros());
        let lease_state = if lease.is_some() { LeaseState::Live } else { LeaseState::Persistent };
        let fenced = if *incarnation > 0 { FENCED } else { 0 };
        let flags =
            LIVE | fenced | (*health as u16) << HEALTH_SHIFT | (row.admin as u16) << ADMIN_SHIFT | (lease_state as u16) << LEASE_SHIFT;
        put(&mut self.rows.flags, slot, flags);
    }

    fn forget_contents(&mut self, slot: u32) {
        self.forget_blob(slot);
        self.shapes.release(at(&self.rows.shape, slot));
        if let Some(moved) = self.metadata.leave(at(&self.rows.metadata, slot), at(&self.rows.place, slot)) {
            let place = at(&self.rows.place, slot);
            put(&mut self.rows.place, moved, place);
        }
    }

    fn hash_of(&self, slot: u32) -> u64 {
        hash(self.seed, self.service(slot), self.spelled_id(slot))
    }

    // The arena: each blob behind its length in two bytes.

    pub(super) fn blob(&self, slot: u32) -> &[u8] {
        let mut reader = Reader(self.arena.get(at(&self.rows.blob, slot) as usize..).unwrap_or_default());
        let length = reader.take(2).and_then(|length| <[u8; 2]>::try_from(length).ok()).map_or(0, u16::from_le_bytes);
        reader.take(length.into()).unwrap_or_default()
    }

    fn keep_blob(&mut self, slot: u32, bytes: &[u8]) {
        let need = bytes.len().saturating_add(2);
        if self.arena.capacity().saturating_sub(self.arena.len()) < need {
            self.arena.reserve_exact(need.max(self.arena.len() >> 3));
        }
        put(&mut self.rows.blob, slot, self.arena.len() as u32);
        // 100 endpoints of at most 261 bytes and an id stay below 2^16.
        self.arena.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        self.arena.extend_from_slice(bytes);
    }

    fn forget_blob(&mut self, slot: u32) {
        let length = self.blob(slot).len();
        self.waste = self.waste.saturating_add(length).saturating_add(2);
        let mut reader = Reader(self.blob(slot));
        let mut kinds = Vec::new();
        if reader.id().is_some() && reader.number().is_some() {
            for _ in 0..reader.byte().unwrap_or(0) {
                kinds.extend(reader.endpoint().map(|packed| packed.kind));
            }
        }
        for kind in kinds {
            self.kinds.release(kind);
        }
    }

    /// Whether another record of the largest size still fits under the arena's 32-bit offsets.
    pub(super) fn has_room(&self) -> bool {
        self.arena.len() < (u32::MAX as usize).saturating_sub(1 << 20)
    }

    #[cfg(test)]
    pub(super) fn arena_len(&self) -> usize {
        self.arena.len()
    }

    fn compact_if_worth(&mut self) {
        if self.waste < WASTE || self.waste < self.arena.len() >> 1 {
            return;
        }
        let mut arena = Vec::with_capacity(self.arena.len().saturating_sub(self.waste));
        for slot in 0..self.bound() {
            if self.is_live(slot) {
                let start = arena.len() as u32;
                let bytes = self.blob(slot);
                arena.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
                arena.extend_from_slice(bytes);
                put(&mut self.rows.blob, slot, start);
            }
        }
        self.arena = arena;
        self.waste = 0;
    }
}

fn pick<T: Copy>(all: &[T], index: u16) -> Option<T> {
    all.get(usize::from(index)).copied()
}

fn hash(seed: u64, service: u32, spelled: &[u8]) -> u64 {
    chain(seed.wrapping_add(u64::from(service)), [spelled])
}

/// A service and its members.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Slots in order of id.
    pub(super) members: Vec<u32>,
    /// The revision that last changed one of them.
    pub(super) revision: u64,
    pub(super) protection: super::protect::Protection,
}

/// The services, by number and in order of name. One without members is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Services {
    all: Vec<Option<Box<Service>>>,
    names: BTreeMap<String, BTreeMap<String, u32>>,
    free: Vec<u32>,
    live: usize,
}

impl Services {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn get(&self, number: u32) -> Option<&Service> {
        self.all.get(number as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Service> {
        self.all.get_mut(number as usize)?.as_deref_mut()
    }

    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<u32> {
        self.names.get(namespace)?.get(name).copied()
    }

    /// The services of a namespace, or of all, in order.
    pub(super) fn list<'a>(&'a self, namespace: Option<&'a str>) -> impl Iterator<Item = (u32, &'a Service)> {
        let chosen = self.names.iter().filter(move |(name, _)| namespace.is_none_or(|wanted| wanted == name.as_str()));
        chosen.flat_map(|(_, services)| services.values()).filter_map(|number| Some((*number, self.get(*number)?)))
    }

    fn enter(&mut self, namespace: &str, name: &str) -> u32 {
        if let Some(number) = self.find(namespace, name) {
            return number;
        }
        let service = Some(Box::new(Service { namespace: namespace.into(), name: name.into(), ..Service::default() }));
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.all.get_mut(number as usize) {
                    *place = service;
                }
                number
            }
            None => {
                self.all.push(service);
                // There are fewer services than instances.
                self.all.len().saturating_sub(1) as u32
            }
        };
        if !self.names.contains_key(namespace) {
            self.names.insert(namespace.into(), BTreeMap::new());
        }
        if let Some(services) = self.names.get_mut(namespace) {
            services.insert(name.into(), number);
        }
        self.live = self.live.saturating_add(1);
        number
    }

    /// Forgets a service that has no members left.
    fn leave(&mut self, number: u32) {
        if self.get(number).is_none_or(|service| !service.members.is_empty()) {
            return;
        }
        let Some(service) = self.all.get_mut(number as usize).and_then(Option::take) else { return };
        if let Some(services) = self.names.get_mut(&service.namespace) {
            services.remove(&service.name);
            if services.is_empty() {
                self.names.remove(&service.namespace);
            }
        }
        self.free.push(number);
        self.live = self.live.saturating_sub(1);
    }
}

/// The distinct metadata sets, who has each, and which sets hold a pair.
#[derive(Clone, Debug)]
pub(super) struct MetadataSets {
    sets: Interner<Metadata>,
    members: Vec<Vec<u32>>,
    /// By the hash of a pair, the sets that hold it. Two pairs of one hash share an entry: a candidate is asked again.
    pairs: HashTable<(u64, BTreeSet<u32>)>,
    seed: u64,
}

impl MetadataSets {
    fn new(seed: u64) -> Self {
        Self { sets: Interner::new(seed), members: Vec::new(), pairs: HashTable::new(), seed }
    }

    pub(super) fn get(&self, symbol: u32) -> Option<&Metadata> {
        self.sets.get(symbol)
    }

    pub(super) fn bound(&self) -> usize {
        self.sets.bound()
    }

    pub(super) fn members(&self, symbol: u32) -> &[u32] {
        self.members.get(symbol as usize).map_or(&[], Vec::as_slice)
    }

    /// A superset of the sets that hold this pair.
    pub(super) fn with_pair(&self, key: &str, value: &str) -> Option<&BTreeSet<u32>> {
        let hash = pair_hash(self.seed, key, value);
        self.pairs.find(hash, |(other, _)| *other == hash).map(|(_, sets)| sets)
    }

    fn enter(&mut self, metadata: &Metadata, slot: u32) -> (u32, u32) {
        let (symbol, new) = self.sets.acquire(metadata);
        if new {
            for (key, value) in metadata.iter() {
                let hash = pair_hash(self.seed, key, value);
                match self.pairs.find_mut(hash, |(other, _)| *other == hash) {
                    Some((_, sets)) => {
                        sets.insert(symbol);
                    }
                    None => {
                        self.pairs.insert_unique(hash, (hash, BTreeSet::from([symbol])), |(hash, _)| *hash);
                    }
                }
            }
        }
        if self.members.len() <= symbol as usize {
            self.members.resize_with((symbol as usize).saturating_add(1), Vec::new);
        }
        let Some(members) = self.members.get_mut(symbol as usize) else { return (symbol, 0) };
        let place = members.len() as u32;
        push(members, slot);
        (symbol, place)
    }

    /// Takes a member out; tells which slot moved into its place.
    fn leave(&mut self, symbol: u32, place: u32) -> Option<u32> {
        let members = self.members.get_mut(symbol as usize)?;
        if (place as usize) < members.len() {
            members.swap_remove(place as usize);
        }
        let moved = members.get(place as usize).copied();
        if let Some(gone) = self.sets.release(symbol) {
            for (key, value) in gone.iter() {
                let hash = pair_hash(self.seed, key, value);
                if let Ok(mut entry) = self.pairs.find_entry(hash, |(other, _)| *other == hash) {
                    let sets = &mut entry.get_mut().1;
                    sets.remove(&symbol);
                    if sets.is_empty() {
                        entry.remove();
                    }
                }
            }
        }
        moved
    }
}

fn pair_hash(seed: u64, key: &str, value: &str) -> u64 {
    chain(seed, [key.as_bytes(), value.as_bytes()])
}
