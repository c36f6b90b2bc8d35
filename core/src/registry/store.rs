//! Where the records are: columns by slot, shared values interned, each service's slots in order of id.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::arena::{Arena, Place};
use super::blob::{self, Reader, Spelled};
use super::facet::{Marks, Turn};
use super::intern::{Pools, Profile, Shared, chain};
use super::service::{Service, Services};
use crate::model::{AdminState, Availability, Endpoint, Handle, Health, LeaseState, Locality, Registration, Weight};
use crate::time::Timestamp;

/// Slots of a chunk.
const CHUNK: usize = 1 << 10;
/// When that comes up which has no lease; also a free slot.
pub(super) const NEVER: u64 = u64::MAX;
/// Set in the due time of what is overdue and waits for a pass, so that it does not come up.
const PARKED: u64 = 1 << 63;
/// No slot.
const NONE: u32 = u32::MAX;

/// What changes most about a record, and decides most, in one number.
///
/// | bits | what |
/// |---|---|
/// | 0..3 | health; 7 for a free slot |
/// | 3 | suspect |
/// | 4..6 | the operator's word |
/// | 6 | fenced: the incarnation is not 0 |
/// | 7..12 | source |
/// | 12..32 | generation |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    const FREE: u32 = 7;
    const SUSPECT: u32 = 1 << 3;
    const ADMIN: u32 = 4;
    const FENCED: u32 = 1 << 6;
    const SOURCE: u32 = 7;
    const GENERATION: u32 = 12;
    const GENERATIONS: u32 = 1 << (32 - Self::GENERATION);
    /// How many values the bits have that decide availability.
    pub(super) const STATES: usize = 1 << 6;

    const fn free(generation: u32) -> Self {
        Self(Self::FREE | generation << Self::GENERATION)
    }

    const fn is_free(self) -> bool {
        self.0 & 7 == Self::FREE
    }

    const fn generation(self) -> u32 {
        self.0 >> Self::GENERATION
    }

    const fn source(self) -> u8 {
        (self.0 >> Self::SOURCE & 31) as u8
    }

    const fn is_suspect(self) -> bool {
        self.0 & Self::SUSPECT != 0
    }

    /// The bits that decide availability, below [`Flags::STATES`].
    #[inline]
    pub(super) const fn state(self) -> usize {
        self.0 as usize & (Self::STATES - 1)
    }

    pub(super) fn health(self) -> Health {
        Health::ALL.get((self.0 & 7) as usize).copied().unwrap_or(Health::Unknown)
    }

    fn admin(self) -> AdminState {
        AdminState::ALL.get((self.0 >> Self::ADMIN & 3) as usize).copied().unwrap_or(AdminState::Enabled)
    }

    pub(super) fn availability(self) -> Availability {
        let lease = if self.is_suspect() { LeaseState::Suspect } else { LeaseState::Live };
        Availability::of(self.health(), self.admin(), lease)
    }

    const fn with(self, mask: u32, bits: u32) -> Self {
        Self(self.0 & !mask | bits)
    }
}

/// The columns of 1024 records, 40 bytes each.
#[derive(Clone, Debug)]
struct Chunk {
    /// When the record must be looked at: the end of being live, or of being suspect; or later, after a renewal.
    due: [u64; CHUNK],
    revision: [u64; CHUNK],
    flags: [u32; CHUNK],
    profile: [u32; CHUNK],
    metadata: [u32; CHUNK],
    locality: [u32; CHUNK],
    service: [u32; CHUNK],
    /// Of a free slot, the next free one.
    place: [u32; CHUNK],
    /// No record of the chunk is due before this.
    bound: u64,
}

impl Chunk {
    fn new() -> Box<Self> {
        Box::new(Self {
            due: [NEVER; CHUNK],
            revision: [0; CHUNK],
            flags: [Flags::free(0).0; CHUNK],
            profile: [0; CHUNK],
            metadata: [0; CHUNK],
            locality: [0; CHUNK],
            service: [0; CHUNK],
            place: [NONE; CHUNK],
            bound: NEVER,
        })
    }
}

/// The records. Knows nothing of rules or of revisions: it is told them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) services: Services,
    pub(super) pools: Pools,
    chunks: Vec<Box<Chunk>>,
    /// Slots ever used.
    bound: u32,
    /// The last slot freed, from which the others are linked.
    free: u32,
    index: HashTable<u32>,
    arena: Arena,
    seed: u64,
    /// Leases that were renewed before this count as renewed then.
    pub(super) floor: u64,
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

macro_rules! columns {
    ($($get:ident, $set:ident: $column:ident $type:ty;)+) => {
        $(
            #[inline]
            fn $get(&self, slot: u32) -> $type {
                let (chunk, at) = split(slot);
                self.chunks.get(chunk).and_then(|chunk| chunk.$column.get(at)).copied().unwrap_or_default()
            }

            #[inline]
            fn $set(&mut self, slot: u32, value: $type) {
                let (chunk, at) = split(slot);
                if let Some(cell) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.$column.get_mut(at)) {
                    *cell = value;
                }
            }
        )+
    };
}

#[inline]
const fn split(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

fn hash(seed: u64, service: u32, spelled: &[u8]) -> u64 {
    chain(seed.wrapping_add(u64::from(service).wrapping_mul(0x9e37_79b9_7f4a_7c15)), [spelled])
}

impl Store {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            services: Services::new(seed),
            pools: Pools::new(seed),
            chunks: Vec::new(),
            bound: 0,
            free: NONE,
            index: HashTable::new(),
            arena: Arena::default(),
            seed,
            floor: 0,
            scratch: Vec::new(),
        }
    }

    columns! {
        due, set_due: due u64;
        revision_of, put_revision: revision u64;
        flag_bits, put_flag_bits: flags u32;
        profile_number, set_profile_number: profile u32;
        metadata_number, set_metadata_number: metadata u32;
        locality_number, set_locality_number: locality u32;
        service_number, set_service_number: service u32;
        place_number, set_place_number: place u32;
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// One more than the largest slot ever used.
    pub(super) fn bound(&self) -> u32 {
        self.bound
    }

    #[inline]
    pub(super) fn flags(&self, slot: u32) -> Flags {
        Flags(self.flag_bits(slot))
    }

    fn set_flags(&mut self, slot: u32, flags: Flags) {
        self.put_flag_bits(slot, flags.0);
    }

    /// The slot of a handle whose record is still there. The renewal path: one comparison.
    #[inline]
    pub(super) fn resolve(&self, handle: Handle) -> Option<u32> {
        let slot = handle.slot();
        let flags = self.flags(slot);
        (slot < self.bound && flags.generation() == handle.generation() && !flags.is_free()).then_some(slot)
    }

    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle::new(slot, self.flags(slot).generation())
    }

    pub(super) fn find(&self, service: u32, id: &str) -> Option<u32> {
        let spelled = Spelled::new(id);
        let spelled = spelled.bytes();
        let same = |slot: &u32| self.service_number(*slot) == service && self.blob(*slot).starts_with(spelled);
        self.index.find(hash(self.seed, service, spelled), same).copied()
    }

    // What a record says. A slot out of range or free reads as zeros; callers hold live slots.

    pub(super) fn service(&self, slot: u32) -> u32 {
        self.service_number(slot)
    }

    pub(super) fn owner(&self, slot: u32) -> Option<&Service> {
        self.services.get(self.service(slot))
    }

    pub(super) fn source(&self, slot: u32) -> u8 {
        self.flags(slot).source()
    }

    pub(super) fn revision(&self, slot: u32) -> u64 {
        self.revision_of(slot)
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

    /// Renews at once what needs no more than that: a local record of incarnation 0 that is not suspect. Whether it did.
    #[inline]
    pub(super) fn renew_plainly(&mut self, slot: u32, now: Timestamp) -> bool {
        let (chunk, at) = split(slot);
        let Some(chunk) = self.chunks.get_mut(chunk) else { return false };
        let (Some(flags), Some(profile), Some(due)) = (chunk.flags.get(at), chunk.profile.get(at), chunk.due.get_mut(at)) else {
            return false;
        };
        if flags & (Flags::SUSPECT | Flags::FENCED | 31 << Flags::SOURCE) != 0 {
            return false;
        }
        let ttl = self.pools.profile(*profile).ttl;
        if ttl > 0 {
            // It only moves on, so the bound of the chunk holds.
            *due = now.as_micros().saturating_add(ttl);
        }
        true
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

    fn endpoints(&self, slot: u32) -> Option<Vec<Endpoint>> {
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

    /// When a lease counts from.
    pub(super) fn beat(&self, slot: u32) -> u64 {
        let profile = self.profile(slot);
        let grace = if self.is_suspect(slot) { profile.grace } else { 0 };
        (self.due(slot) & !PARKED).saturating_sub(profile.ttl).saturating_sub(grace).max(self.floor)
    }

    /// When a record must be looked at, the floor taken into account; `NEVER` for one that waits for a pass.
    pub(super) fn next_due(&self, slot: u32) -> u64 {
        let due = self.due(slot);
        if due & PARKED != 0 {
            return NEVER;
        }
        let profile = self.profile(slot);
        let grace = if self.is_suspect(slot) { profile.grace } else { 0 };
        due.max(self.floor.saturating_add(profile.ttl).saturating_add(grace))
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
        self.scratch = bytes;
        slot
    }

    /// Puts a record in whose shares and kinds of endpoints have been acquired, at a place among its service's members.
    pub(super) fn restore(&mut self, image: &Image, spelled: &[u8], bytes: &[u8], member: usize) -> u32 {
        let slot = self.claim();
        let place = self.arena.insert(slot, bytes);
        let generation = self.flags(slot).generation();
        let fenced = if image.fenced { Flags::FENCED } else { 0 };
        let source = (u32::from(image.source) & 31) << Flags::SOURCE;
        let flags = image.health as u32 | (image.admin as u32) << Flags::ADMIN | fenced | source;
        self.set_flags(slot, Flags(flags | generation << Flags::GENERATION));
        self.set_service_number(slot, image.service);
        self.put_revision(slot, image.revision);
        self.set_place_number(slot, place.0);
        self.set_shared(slot, image.shared);
        self.mark(slot, image.shared);
        let Self { seed, chunks, index, arena, .. } = self;
        index.insert_unique(hash(*seed, image.service, spelled), slot, |slot| {
            let (chunk, at) = split(*slot);
            let Some(chunk) = chunks.get(chunk) else { return 0 };
            let (service, place) = (chunk.service.get(at).copied(), chunk.place.get(at).copied());
            let run = arena.get(Place(place.unwrap_or_default()));
            hash(*seed, service.unwrap_or_default(), Reader(run).id().unwrap_or_default())
        });
        let leased = self.pools.profile(image.shared.profile).ttl > 0;
        if let Some(service) = self.services.get_mut(image.service) {
            let members = &mut service.members;
            if members.len() == members.capacity() {
                members.reserve_exact((members.len() >> 2).max(4));
            }
            members.insert(member.min(members.len()), slot);
            service.leased = service.leased.saturating_add(u32::from(leased));
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
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
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
        self.set_due(slot, NEVER);
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
        }
        slot
    }

    fn set_shared(&mut self, slot: u32, shared: Shared) {
        self.set_metadata_number(slot, shared.metadata);
        self.set_locality_number(slot, shared.locality);
        self.set_profile_number(slot, shared.profile);
    }

    // Leases, as far as columns and counts go.

    /// A lease begins, live.
    pub(super) fn start_lease(&mut self, slot: u32, now: Timestamp) {
        let ttl = self.profile(slot).ttl;
        self.arm(slot, if ttl > 0 { now.as_micros().saturating_add(ttl) } else { NEVER });
    }

    /// The record must be looked at then.
    fn arm(&mut self, slot: u32, due: u64) {
        let (chunk, at) = split(slot);
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.bound = chunk.bound.min(due);
            if let Some(cell) = chunk.due.get_mut(at) {
                *cell = due;
            }
        }
    }

    /// Makes a record that is due suspect, or lets it wait for a pass when it is overdue; whether it is.
    pub(super) fn fall_due(&mut self, slot: u32, now: u64) -> bool {
        let (due, number) = (self.next_due(slot), self.service(slot));
        let end = if self.is_suspect(slot) { due } else { due.saturating_add(self.profile(slot).grace) };
        if !self.is_suspect(slot) {
            self.set_suspect(slot, true);
        }
        if end > now {
            self.arm(slot, end);
            return false;
        }
        self.set_due(slot, end | PARKED);
        if let Some(service) = self.services.get_mut(number) {
            service.protection.overdue.push((end, slot));
        }
        true
    }

    /// Whether a record still waits for a pass since that time.
    pub(super) fn is_parked(&self, slot: u32, end: u64) -> bool {
        self.due(slot) == end | PARKED
    }

    /// Takes back that a record is suspect.
    pub(super) fn settle_lease(&mut self, slot: u32) {
        if self.is_suspect(slot) {
            self.set_suspect(slot, false);
        }
    }

    fn set_suspect(&mut self, slot: u32, suspect: bool) {
        self.set_flags(slot, self.flags(slot).with(Flags::SUSPECT, if suspect { Flags::SUSPECT } else { 0 }));
        let number = self.service(slot);
        if let Some(service) = self.services.get_mut(number) {
            service.suspects = if suspect { service.suspects.saturating_add(1) } else { service.suspects.saturating_sub(1) };
        }
    }

    /// The records that are due by `now`, in no order that matters. The bounds of the chunks that were looked at no longer
    /// count these.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<u32> {
        let mut found = Vec::new();
        for chunk in 0..self.chunks.len() {
            let first = chunk.saturating_mul(CHUNK) as u32;
            let Some(own) = self.chunks.get(chunk).filter(|own| own.bound <= now) else { continue };
            let ripe: Vec<u32> = own.due.iter().zip(first..).filter(|(due, _)| **due <= now).map(|(_, slot)| slot).collect();
            for slot in ripe {
                let due = self.next_due(slot);
                if due <= now {
                    found.push(slot);
                } else {
                    self.set_due(slot, due);
                }
            }
            if let Some(own) = self.chunks.get_mut(chunk) {
                own.bound = own.due.iter().copied().filter(|due| *due > now && due & PARKED == 0).min().unwrap_or(NEVER);
            }
        }
        found
    }

    /// Has records that were taken come up again.
    pub(super) fn put_back(&mut self, slots: &[u32]) {
        for slot in slots {
            self.arm(*slot, self.next_due(*slot));
        }
    }

    /// A time before which no lease is due; `NEVER` without leases.
    pub(super) fn earliest(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bound).min().unwrap_or(NEVER)
    }

    // Small changes.

    pub(super) fn set_revision(&mut self, slot: u32, revision: u64) {
        self.put_revision(slot, revision);
    }

    pub(super) fn set_health(&mut self, slot: u32, health: Health) {
        self.set_flags(slot, self.flags(slot).with(7, health as u32));
    }

    pub(super) fn set_admin(&mut self, slot: u32, admin: AdminState) {
        self.set_flags(slot, self.flags(slot).with(3 << Flags::ADMIN, (admin as u32) << Flags::ADMIN));
    }

    pub(super) fn set_incarnation(&mut self, slot: u32, incarnation: u64) {
        if self.incarnation(slot) == incarnation {
            return;
        }
        let mut reader = Reader(self.blob(slot));
        let (Some(id), Some(_)) = (reader.id(), reader.number()) else { return };
        let mut bytes = id.to_vec();
        blob::push_number(&mut bytes, incarnation);
        bytes.extend_from_slice(reader.0);
        self.move_blob(slot, &bytes);
        self.set_flags(slot, self.flags(slot).with(Flags::FENCED, if incarnation > 0 { Flags::FENCED } else { 0 }));
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
        let Self { arena, pools, .. } = self;
        let (chunk, at) = split(slot);
        let place = self.chunks.get(chunk).and_then(|chunk| chunk.place.get(at)).copied().unwrap_or_default();
        Reader(arena.get(Place(place))).kinds().for_each(|kind| pools.release_kind(kind));
    }

    fn forget_place(&mut self, place: Place) {
        let Self { arena, chunks, .. } = self;
        arena.remove(place, |slot, place| {
            let (chunk, at) = split(slot);
            if let Some(cell) = chunks.get_mut(chunk).and_then(|chunk| chunk.place.get_mut(at)) {
                *cell = place.0;
            }
        });
    }

    /// Whether so many more records of the largest size still fit.
    pub(super) fn has_room(&self, records: usize) -> bool {
        self.arena.has_room(records)
    }

    // Facets.

    fn mark(&mut self, slot: u32, shared: Shared) {
        let mut dense = Vec::new();
        let slots = self.bound;
        self.each_facet(shared, |number, facet| {
            if facet.enter(slot, slots) == Turn::Dense {
                dense.push(number);
            }
        });
        for facet in dense {
            self.fill_marks(facet);
        }
    }

    fn unmark(&mut self, slot: u32, shared: Shared) {
        let slots = self.bound;
        self.each_facet(shared, |_, facet| facet.leave(slot, slots));
    }

    fn each_facet(&mut self, shared: Shared, mut act: impl FnMut(u32, &mut super::facet::Facet)) {
        let tags = self.pools.profile(shared.profile).tags;
        let Pools { facets, metadata, localities, tags: sets, .. } = &mut self.pools;
        let none: &[u32] = &[];
        let metadata = metadata.get(shared.metadata).map_or(none, |facets| facets);
        let tags = sets.get(tags).map_or(none, |facets| facets);
        let places = localities.get(shared.locality).map_or(none, |facets| facets);
        for number in metadata.iter().chain(tags).chain(places).filter(|number| **number != 0) {
            if let Some(facet) = facets.get_mut(*number) {
                act(*number, facet);
            }
        }
    }

    /// Marks every record that has a facet.
    fn fill_marks(&mut self, number: u32) {
        let has = |facets: &[u32]| facets.contains(&number);
        let tags: Vec<bool> = self.pools.tags.iter().map(|facets| has(facets)).collect();
        let of = |set: &[bool], at: u32| set.get(at as usize).copied().unwrap_or(false);
        let metadata: Vec<bool> = self.pools.metadata.iter().map(|facets| has(facets)).collect();
        let localities: Vec<bool> = self.pools.localities.iter().map(|facets| has(facets)).collect();
        let profiles: Vec<bool> = self.pools.profiles.iter().map(|profile| of(&tags, profile.tags)).collect();
        let mut marks = Marks::default();
        for (chunk, first) in self.chunks.iter().zip((0u32..).step_by(CHUNK)) {
            let shares = chunk.metadata.iter().zip(&chunk.locality).zip(&chunk.profile);
            for ((((set, locality), profile), flags), slot) in shares.zip(&chunk.flags).zip(first..) {
                if !Flags(*flags).is_free() && (of(&metadata, *set) || of(&localities, *locality) || of(&profiles, *profile)) {
                    marks.set(slot);
                }
            }
        }
        if let Some(facet) = self.pools.facets.get_mut(number) {
            facet.marks = Some(marks);
        }
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = self.chunks.len().saturating_mul(size_of::<Chunk>()).saturating_add(self.chunks.capacity().saturating_mul(8));
        let parts = [chunks, self.index.allocation_size(), self.arena.heap_bytes(), self.pools.heap_bytes(), self.services.heap_bytes()];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}
