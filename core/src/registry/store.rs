//! Where the records are: columns by slot, shared values interned, each service's slots in order of id.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::arena::{Arena, Place};
use super::blob::{self, Reader, Spelled};
use super::columns::{Bound, CHUNK, Cell, Chunk, Flags, NEVER, NONE, split};
use super::index::Index;
use super::intern::{Pools, Profile, Shared, chain};
use super::service::{Service, Services};
use crate::model::{AdminState, Availability, Endpoint, Handle, Health, LeaseState, Locality, Registration, Weight};
use crate::time::Timestamp;

/// The records. Knows nothing of rules or of revisions: it is told them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) services: Services,
    pub(super) pools: Pools,
    pub(super) chunks: Vec<Box<Chunk>>,
    /// Of each chunk.
    pub(super) bounds: Vec<Bound>,
    /// Slots ever used.
    bound: u32,
    /// The last slot freed, from which the others are linked.
    free: u32,
    index: Index,
    arena: Arena,
    seed: u64,
    scratch: Vec<u8>,
}

/// What to write into a record.
pub(super) struct Row<'a> {
    pub(super) registration: &'a Registration,
    pub(super) source: u8,
    pub(super) admin: AdminState,
    pub(super) renewed: Timestamp,
}

/// What a restored record is made of, beside its bytes.
#[derive(Clone, Copy)]
pub(super) struct Image {
    pub(super) service: u32,
    pub(super) shared: Shared,
    pub(super) health: Health,
    pub(super) admin: AdminState,
    pub(super) source: u8,
    pub(super) fenced: bool,
    pub(super) revision: u64,
    pub(super) renewed: Timestamp,
}

/// How to read and to write a part of a record, and what it reads as out of range.
macro_rules! columns {
    ($($get:ident, $set:ident: $type:ty = $none:expr, $column:ident |$own:ident| $part:expr;)+) => {
        $(
            #[inline]
            pub(super) fn $get(&self, slot: u32) -> $type {
                let (chunk, at) = split(slot);
                self.chunks.get(chunk).and_then(|chunk| chunk.$column.get(at)).map_or($none, |$own| $part)
            }

            #[inline]
            pub(super) fn $set(&mut self, slot: u32, value: $type) {
                let (chunk, at) = split(slot);
                if let Some($own) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.$column.get_mut(at)) {
                    $part = value;
                }
            }
        )+
    };
}

fn hash(seed: u64, service: u32, spelled: &[u8]) -> u64 {
    chain(seed.wrapping_add(u64::from(service).wrapping_mul(0x9e37_79b9_7f4a_7c15)), [spelled])
}

fn hash_of(seed: u64, chunks: &[Box<Chunk>], arena: &Arena, slot: u32) -> u64 {
    let (chunk, at) = split(slot);
    let Some(cell) = chunks.get(chunk).and_then(|chunk| chunk.cells.get(at)) else { return 0 };
    hash(seed, cell.service, Reader(arena.get(Place(cell.place))).id().unwrap_or_default())
}

impl Store {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            services: Services::new(seed),
            pools: Pools::new(seed),
            chunks: Vec::new(),
            bounds: Vec::new(),
            bound: 0,
            free: NONE,
            index: Index::new(),
            arena: Arena::default(),
            seed,
            scratch: Vec::new(),
        }
    }

    columns! {
        heard, set_heard: u64 = NEVER, heard |own| *own;
        flags, set_flags: Flags = Flags::free(0), flags |own| *own;
        revision, set_revision: u64 = 0, revisions |own| *own;
        profile_number, set_profile_number: u32 = 0, cells |cell| cell.profile;
        metadata_number, set_metadata_number: u32 = 0, cells |cell| cell.metadata;
        locality_number, set_locality_number: u32 = 0, cells |cell| cell.locality;
        place_number, set_place_number: u32 = 0, cells |cell| cell.place;
    }

    #[inline]
    pub(super) fn service(&self, slot: u32) -> u32 {
        let (chunk, at) = split(slot);
        self.chunks.get(chunk).and_then(|chunk| chunk.cells.get(at)).map_or(0, |cell| cell.service)
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// One more than the largest slot ever used.
    pub(super) fn bound(&self) -> u32 {
        self.bound
    }

    /// The slot of a handle whose record is still there.
    #[inline]
    pub(super) fn resolve(&self, handle: Handle) -> Option<u32> {
        let slot = handle.slot();
        self.flags(slot).are_of(handle).then_some(slot)
    }

    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle::new(slot, self.flags(slot).generation())
    }

    pub(super) fn find(&self, service: u32, id: &str) -> Option<u32> {
        let spelled = Spelled::new(id);
        let spelled = spelled.bytes();
        let same = |slot: &u32| self.service(*slot) == service && self.blob(*slot).starts_with(spelled);
        self.index.find(hash(self.seed, service, spelled), same)
    }

    // What a record says. Callers hold live slots.

    pub(super) fn owner(&self, slot: u32) -> Option<&Service> {
        self.services.get(self.service(slot))
    }

    pub(super) fn source(&self, slot: u32) -> u8 {
        self.flags(slot).source()
    }

    pub(super) fn shared(&self, slot: u32) -> Shared {
        Shared { metadata: self.metadata_number(slot), locality: self.locality_number(slot), profile: self.profile_number(slot) }
    }

    pub(super) fn profile(&self, slot: u32) -> Profile {
        self.pools.profile(self.profile_number(slot))
    }

    pub(super) fn weight(&self, slot: u32) -> Weight {
        Weight::from_thousandths(self.profile(slot).weight).unwrap_or_default()
    }

    pub(super) fn health(&self, slot: u32) -> Health {
        self.flags(slot).health()
    }

    pub(super) fn is_suspect(&self, slot: u32) -> bool {
        self.flags(slot).is_suspect()
    }

    pub(super) fn lease_state(&self, slot: u32) -> LeaseState {
        match (self.is_suspect(slot), self.profile(slot).ttl) {
            (true, _) => LeaseState::Suspect,
            (false, 0) => LeaseState::Persistent,
            (false, _) => LeaseState::Live,
        }
    }

    pub(super) fn availability(&self, slot: u32) -> Availability {
        self.flags(slot).availability()
    }

    #[inline]
    pub(super) fn blob(&self, slot: u32) -> &[u8] {
        self.arena.get(Place(self.place_number(slot)))
    }

    /// The id as the blob spells it.
    pub(super) fn spelled_id(&self, slot: u32) -> &[u8] {
        Reader(self.blob(slot)).id().unwrap_or_default()
    }

    pub(super) fn id(&self, slot: u32) -> String {
        blob::id_text(self.spelled_id(slot))
    }

    pub(super) fn incarnation(&self, slot: u32) -> u64 {
        if self.flags(slot).0 & Flags::FENCED == 0 {
            return 0;
        }
        let mut reader = Reader(self.blob(slot));
        reader.id().and_then(|_| reader.number()).unwrap_or(0)
    }

    pub(super) fn endpoints(&self, slot: u32) -> Option<Vec<Endpoint>> {
        let mut reader = Reader(self.blob(slot));
        reader.id()?;
        reader.number()?;
        let count = reader.byte()?;
        (0..count).map(|_| self.pools.endpoint(reader.endpoint()?)).collect()
    }

    /// The registration of a record, put together anew.
    pub(super) fn registration(&self, slot: u32) -> Option<Registration> {
        let service = self.services.get(self.service(slot))?;
        let (shared, pools) = (self.shared(slot), &self.pools);
        let profile = pools.profile(shared.profile);
        let [region, zone, subzone, node] = pools.places_of(shared.locality).map(String::from);
        Some(Registration {
            namespace: (*service.namespace).into(),
            service: (*service.name).into(),
            id: self.id(slot),
            endpoints: self.endpoints(slot)?,
            locality: Locality { region, zone, subzone, node },
            weight: Weight::from_thousandths(profile.weight).ok()?,
            version: pools.version_of(profile.version).cloned(),
            tags: crate::model::Tags::new(pools.tags_of(profile.tags)).ok()?,
            metadata: pools.metadata_of(shared.metadata),
            health: self.health(slot),
            lease: profile.lease(),
            incarnation: self.incarnation(slot),
        })
    }

    // Writing.

    fn write_blob(&mut self, spelled: &[u8], incarnation: u64, endpoints: &[Endpoint]) -> Vec<u8> {
        let mut bytes = core::mem::take(&mut self.scratch);
        bytes.clear();
        blob::encode(spelled, incarnation, endpoints, &mut self.pools, &mut bytes);
        bytes
    }

    pub(super) fn insert(&mut self, row: &Row<'_>) -> u32 {
        let registration = row.registration;
        let service = self.services.enter(&registration.namespace, &registration.service);
        let spelled = Spelled::new(&registration.id);
        let bytes = self.write_blob(spelled.bytes(), registration.incarnation, &registration.endpoints);
        let image = Image {
            service,
            shared: self.pools.acquire(registration),
            health: registration.health,
            admin: row.admin,
            source: row.source,
            fenced: registration.incarnation > 0,
            revision: 0,
            renewed: row.renewed,
        };
        let place = self.member_place(service, spelled.bytes()).unwrap_or_else(|place| place);
        let slot = self.restore(&image, spelled.bytes(), &bytes, place);
        self.mark(slot, image.shared);
        self.scratch = bytes;
        slot
    }

    /// Makes room for so many records more.
    pub(super) fn reserve(&mut self, records: usize) {
        let Self { seed, chunks, index, arena, .. } = self;
        index.reserve(records, |slot| hash_of(*seed, chunks, arena, *slot));
    }

    /// Puts a record in whose shares and kinds of endpoints have been acquired, at a place among its service's members. Its
    /// facets are still to be marked.
    pub(super) fn restore(&mut self, image: &Image, spelled: &[u8], bytes: &[u8], member: usize) -> u32 {
        let slot = self.claim();
        let place = self.arena.insert(slot, bytes).0;
        let Image { service, shared: Shared { metadata, locality, profile }, .. } = *image;
        let (chunk, at) = split(slot);
        if let Some(cell) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.cells.get_mut(at)) {
            *cell = Cell { profile, metadata, locality, service, place };
        }
        let generation = self.flags(slot).generation();
        self.set_flags(slot, Flags::new(image.health, image.admin, image.fenced, image.source, generation));
        self.set_revision(slot, image.revision);
        let Self { seed, chunks, index, arena, .. } = self;
        index.insert(hash(*seed, image.service, spelled), slot, |slot| hash_of(*seed, chunks, arena, *slot));
        let ttl = self.pools.profile(profile).ttl;
        if let Some(service) = self.services.get_mut(service) {
            let members = &mut service.members;
            if members.len() == members.capacity() {
                members.reserve_exact((members.len() >> 2).max(4));
            }
            members.insert(member.min(members.len()), slot);
            if ttl > 0 {
                service.leased = service.leased.saturating_add(1);
                service.protection.came();
            }
        }
        self.start_lease(slot, image.renewed);
        slot
    }

    /// Makes a record say what a registration says. Whether that is anything new; its lease is as it was if not.
    pub(super) fn update(&mut self, slot: u32, row: &Row<'_>) -> bool {
        let registration = row.registration;
        let spelled = Spelled::new(&registration.id);
        let bytes = self.write_blob(spelled.bytes(), registration.incarnation, &registration.endpoints);
        let (old, new) = (self.shared(slot), self.pools.acquire(registration));
        let same_bytes = self.blob(slot) == bytes;
        let changed = new != old || !same_bytes || registration.health != self.health(slot);
        if same_bytes {
            Reader(&bytes).kinds().for_each(|kind| self.pools.release_kind(kind));
        } else {
            self.replace_blob(slot, &bytes);
        }
        self.scratch = bytes;
        if changed {
            self.settle_lease(slot);
            if new != old {
                self.unmark(slot, old);
                self.set_shared(slot, new);
                self.mark(slot, new);
            }
            let fenced = if registration.incarnation > 0 { Flags::FENCED } else { 0 };
            self.set_flags(slot, self.flags(slot).with(7 | Flags::FENCED, registration.health as u32 | fenced));
            let (was, is) = (self.pools.profile(old.profile).ttl > 0, registration.lease.is_some());
            let number = self.service(slot);
            if let Some(service) = self.services.get_mut(number) {
                service.leased = service.leased.saturating_sub(u32::from(was)).saturating_add(u32::from(is));
            }
            self.start_lease(slot, row.renewed);
        }
        self.pools.release(old);
        changed
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let (service, shared) = (self.service(slot), self.shared(slot));
        self.settle_lease(slot);
        let hash = hash(self.seed, service, self.spelled_id(slot));
        self.index.remove(hash, slot);
        let place = self.member_place(service, self.spelled_id(slot));
        let leased = self.pools.profile(shared.profile).ttl > 0;
        if let (Ok(place), Some(service)) = (place, self.services.get_mut(service)) {
            let members = &mut service.members;
            members.remove(place);
            if members.len().saturating_mul(4) < members.capacity() {
                members.shrink_to(members.len().saturating_mul(2));
            }
            service.leased = service.leased.saturating_sub(u32::from(leased));
        }
        self.services.leave(service);
        self.unmark(slot, shared);
        self.drop_blob(slot);
        self.pools.release(shared);
        let generation = self.flags(slot).generation().wrapping_add(1) % Flags::GENERATIONS;
        self.set_flags(slot, Flags::free(generation));
        self.set_heard(slot, NEVER);
        self.set_place_number(slot, self.free);
        self.free = slot;
    }

    fn claim(&mut self) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            self.free = self.place_number(slot);
            return slot;
        }
        let slot = self.bound;
        // Quotas keep slots below 2^32.
        self.bound = slot.saturating_add(1);
        if slot as usize >= self.chunks.len().saturating_mul(CHUNK) {
            self.chunks.push(Chunk::new());
            self.bounds.push(Bound::NONE);
        }
        slot
    }

    fn set_shared(&mut self, slot: u32, shared: Shared) {
        self.set_metadata_number(slot, shared.metadata);
        self.set_locality_number(slot, shared.locality);
        self.set_profile_number(slot, shared.profile);
    }

    // Small changes.

    pub(super) fn set_health(&mut self, slot: u32, health: Health) {
        self.set_flags(slot, self.flags(slot).with(7, health as u32));
    }

    pub(super) fn set_admin(&mut self, slot: u32, admin: AdminState) {
        self.set_flags(slot, self.flags(slot).with(3 << Flags::ADMIN, (admin as u32) << Flags::ADMIN));
    }

    /// Whether it was another.
    pub(super) fn set_incarnation(&mut self, slot: u32, incarnation: u64) -> bool {
        if self.incarnation(slot) == incarnation {
            return false;
        }
        let mut reader = Reader(self.blob(slot));
        let (Some(id), Some(_)) = (reader.id(), reader.number()) else { return false };
        let mut bytes = id.to_vec();
        blob::push_number(&mut bytes, incarnation);
        bytes.extend_from_slice(reader.0);
        self.move_blob(slot, &bytes);
        self.set_flags(slot, self.flags(slot).with(Flags::FENCED, if incarnation > 0 { Flags::FENCED } else { 0 }));
        true
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

    /// Puts other bytes in the place of a record's.
    fn move_blob(&mut self, slot: u32, bytes: &[u8]) {
        let old = Place(self.place_number(slot));
        let new = self.arena.insert(slot, bytes);
        self.set_place_number(slot, new.0);
        self.forget_place(old);
    }

    fn replace_blob(&mut self, slot: u32, bytes: &[u8]) {
        self.release_kinds(slot);
        self.move_blob(slot, bytes);
    }

    fn drop_blob(&mut self, slot: u32) {
        self.release_kinds(slot);
        self.forget_place(Place(self.place_number(slot)));
    }

    fn release_kinds(&mut self, slot: u32) {
        let place = Place(self.place_number(slot));
        let Self { arena, pools, .. } = self;
        Reader(arena.get(place)).kinds().for_each(|kind| pools.release_kind(kind));
    }

    fn forget_place(&mut self, place: Place) {
        let Self { arena, chunks, .. } = self;
        arena.remove(place, |slot, place| {
            let (chunk, at) = split(slot);
            if let Some(cell) = chunks.get_mut(chunk).and_then(|chunk| chunk.cells.get_mut(at)) {
                cell.place = place.0;
            }
        });
    }

    /// Whether so many more records of the largest size still fit.
    pub(super) fn has_room(&self, records: usize) -> bool {
        self.arena.has_room(records)
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = self.chunks.len().saturating_mul(size_of::<Chunk>()).saturating_add(self.chunks.capacity().saturating_mul(8));
        let parts = [chunks, self.index.heap_bytes(), self.arena.heap_bytes(), self.pools.heap_bytes(), self.services.heap_bytes()];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}
