//! The columns that records are kept in.

use alloc::boxed::Box;

use crate::model::{AdminState, Availability, Handle, Health, LeaseState};

/// Slots of a chunk.
pub(super) const CHUNK: usize = 1 << 10;
/// When that comes up, and was heard, which has no lease that is watched here; also a free slot.
pub(super) const NEVER: u64 = u64::MAX;
/// Set in when somebody was heard who is overdue and waits for a pass, so that it does not come up.
pub(super) const PARKED: u64 = 1 << 63;
/// No slot.
pub(super) const NONE: u32 = u32::MAX;

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
pub(super) struct Flags(pub(super) u32);

impl Flags {
    pub(super) const FREE: u32 = 7;
    pub(super) const SUSPECT: u32 = 1 << 3;
    pub(super) const ADMIN: u32 = 4;
    pub(super) const FENCED: u32 = 1 << 6;
    pub(super) const SOURCE: u32 = 7;
    pub(super) const GENERATION: u32 = 12;
    pub(super) const GENERATIONS: u32 = 1 << (32 - Self::GENERATION);
    /// How many values the bits have that decide availability.
    pub(super) const STATES: usize = 1 << 6;

    pub(super) const fn free(generation: u32) -> Self {
        Self(Self::FREE | generation << Self::GENERATION)
    }

    /// Of a live record that is not suspect.
    pub(super) fn new(health: Health, admin: AdminState, fenced: bool, source: u8, generation: u32) -> Self {
        let fenced = if fenced { Self::FENCED } else { 0 };
        let source = (u32::from(source) & 31) << Self::SOURCE;
        Self(health as u32 | (admin as u32) << Self::ADMIN | fenced | source | generation << Self::GENERATION)
    }

    pub(super) const fn is_free(self) -> bool {
        self.0 & 7 == Self::FREE
    }

    pub(super) const fn generation(self) -> u32 {
        self.0 >> Self::GENERATION
    }

    /// Whether they are of the record that a handle names.
    #[inline]
    pub(super) fn are_of(self, handle: Handle) -> bool {
        self.generation() == handle.generation() && !self.is_free()
    }

    /// Whether a beat without an incarnation says all there is to say: the record is local, not fenced, and not suspect.
    #[inline]
    pub(super) fn are_plain(self) -> bool {
        self.0 & (Self::SUSPECT | Self::FENCED | 31 << Self::SOURCE) == 0
    }

    pub(super) const fn source(self) -> u8 {
        (self.0 >> Self::SOURCE & 31) as u8
    }

    pub(super) const fn is_suspect(self) -> bool {
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

    pub(super) fn admin(self) -> AdminState {
        AdminState::ALL.get((self.0 >> Self::ADMIN & 3) as usize).copied().unwrap_or(AdminState::Enabled)
    }

    pub(super) fn availability(self) -> Availability {
        let lease = if self.is_suspect() { LeaseState::Suspect } else { LeaseState::Live };
        Availability::of(self.health(), self.admin(), lease)
    }

    pub(super) const fn with(self, mask: u32, bits: u32) -> Self {
        Self(self.0 & !mask | bits)
    }
}

/// What is read together of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) profile: u32,
    pub(super) metadata: u32,
    pub(super) locality: u32,
    pub(super) service: u32,
    /// Of a free slot, the next free one.
    pub(super) place: u32,
}

/// 1024 records, 40 bytes each. Of these a renewal touches twelve, which lie close to those of others.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// When the lease counts from; `NEVER`, or `PARKED` beside the time.
    pub(super) heard: [u64; CHUNK],
    pub(super) flags: [Flags; CHUNK],
    pub(super) cells: [Cell; CHUNK],
    pub(super) revisions: [u64; CHUNK],
}

impl Chunk {
    pub(super) fn new() -> Box<Self> {
        let cell = Cell { profile: 0, metadata: 0, locality: 0, service: 0, place: NONE };
        Box::new(Self { heard: [NEVER; CHUNK], flags: [Flags::free(0); CHUNK], cells: [cell; CHUNK], revisions: [0; CHUNK] })
    }
}

/// What holds for every lease of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// None is due before this.
    pub(super) due: u64,
    /// None is shorter.
    pub(super) ttl: u64,
}

impl Bound {
    /// Of no leases.
    pub(super) const NONE: Self = Self { due: NEVER, ttl: NEVER };
}

/// The chunk of a slot, and where in it.
#[inline]
pub(super) const fn split(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}
