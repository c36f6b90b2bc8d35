//! The policies: each in a file of its own, each a function of the candidates, the request and the generator.

mod bounded;
mod config;
mod cycle;
mod digest;
mod edf;
mod first;
mod hash;
mod jump;
mod ketama;
mod maglev;
mod points;
mod prequal;
mod presets;
mod random;
mod rendezvous;
mod ring;
mod round_robin;
mod sample;
mod score;
mod stride;

pub use config::{Generator, Policy};
pub use edf::Edf;
pub use first::First;
pub use hash::HashKey;
pub use jump::Jump;
pub use ketama::{Ketama, KetamaLayout};
pub use maglev::Maglev;
pub(super) use prequal::Parked;
pub use prequal::Prequal;
pub use presets::Preset;
pub use rendezvous::Rendezvous;
pub(super) use rendezvous::mark;
pub use ring::{Layout, Ring, RingHash};
pub use sample::Sample;
pub(super) use score::Rules;
pub use score::{Cost, Score, Unknown};
pub use stride::Stride;

use alloc::vec::Vec;
use core::cell::RefCell;

use super::filter::Excluded;
use super::members::Members;
use crate::model::Handle;
use crate::rng::Rng;

/// The candidates of one pick: a pool's instances, sorted by service and id, and those the request rules out.
pub(super) struct Candidates<'a> {
    /// Slots of `members`; all have a weight above 0.
    pub(super) slots: &'a [u32],
    pub(super) members: &'a Members,
    pub(super) excluded: Excluded<'a>,
    /// Microseconds.
    pub(super) now: u64,
    /// Where it is written down what was looked at, when somebody wants it explained.
    pub(super) log: Option<&'a RefCell<Vec<Look>>>,
}

/// A candidate that was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) slot: u32,
    /// By what it was compared; the lowest wins.
    pub(super) score: f64,
}

impl Candidates<'_> {
    /// All of a pool, for a request that excludes nobody and that nobody wants explained.
    #[inline]
    pub(super) fn all<'a>(slots: &'a [u32], members: &'a Members, now: u64) -> Candidates<'a> {
        Candidates { slots, members, excluded: Excluded(&[]), now, log: None }
    }

    #[inline]
    fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The candidate at a place; there is one below [`Candidates::len`].
    #[inline]
    fn slot(&self, place: u32) -> Option<u32> {
        self.slots.get(place as usize).copied()
    }

    /// Whether the request leaves it.
    #[inline]
    fn is_open(&self, slot: u32) -> bool {
        self.members.handle(slot).is_some_and(|handle| !self.excluded.has(handle))
    }

    /// Those the request leaves, in order.
    fn open(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().copied().filter(|slot| self.is_open(*slot))
    }

    /// Writes down what was looked at, once each.
    #[inline]
    fn note(&self, look: impl FnOnce() -> Look) {
        if let Some(log) = self.log {
            let look = look();
            // Nobody else holds the log, and a pick looks at few.
            if let Ok(mut log) = log.try_borrow_mut()
                && log.iter().all(|other| other.slot != look.slot)
            {
                log.push(look);
            }
        }
    }

    /// Whether the request leaves any. Looks at no more of them than the request excludes, and one.
    pub(super) fn any_open(&self) -> bool {
        if self.slots.len() > self.excluded.len() { true } else { self.open().next().is_some() }
    }
}

/// What a policy keeps for one pool, built when the pool has changed and a pick is asked of it.
#[derive(Clone, Debug)]
// A tag of its own: one that is hidden in a variant costs each pick a computation.
#[repr(u8)]
pub(super) enum Picker {
    First(first::Order),
    Edf(edf::Schedule),
    Stride(stride::Strides),
    Prequal(prequal::Pool),
    Random(random::Table),
    RoundRobin(round_robin::Turns),
    Sample(sample::Sampler),
    Rendezvous(rendezvous::Scores),
    Hash(hash::Owners),
}

impl Picker {
    pub(super) fn build(generator: &Generator, slots: &[u32], members: &mut Members, seed: u64) -> Self {
        match generator {
            Generator::First(first) => Self::First(first::Order::build(*first, slots, members, seed)),
            Generator::Edf(edf) => Self::Edf(edf::Schedule::build(edf.bias, slots, members, seed)),
            Generator::Stride(stride) => Self::Stride(stride::Strides::build(*stride, slots, members, seed)),
            Generator::Prequal(prequal) => Self::Prequal(prequal::Pool::build(*prequal, slots, members)),
            Generator::Random => Self::Random(random::Table::build(slots, members)),
            Generator::RoundRobin => Self::RoundRobin(round_robin::Turns::build(slots, members, seed)),
            Generator::Sample(Sample { uneven: Some(edf), .. }) if !members.are_even(slots) => {
                Self::Edf(edf::Schedule::build(edf.bias, slots, members, seed))
            }
            Generator::Sample(sample) => Self::Sample(sample::Sampler::build(sample, slots, members)),
            Generator::Rendezvous(rendezvous) => Self::Rendezvous(rendezvous::Scores::build(*rendezvous, slots, members)),
            Generator::Ring(_) | Generator::Maglev(_) | Generator::Ketama(_) | Generator::Jump(_) => {
                Self::Hash(hash::Owners::build(generator, slots, members))
            }
        }
    }

    /// Gives back to the members what must outlive this build. Called before the members or the pool change.
    pub(super) fn park(&mut self, slots: &[u32], members: &mut Members) {
        match self {
            Self::RoundRobin(turns) => turns.park(slots, members),
            Self::Edf(schedule) => schedule.park(slots, members),
            Self::Stride(strides) => strides.park(slots, members),
            Self::Prequal(pool) => pool.park(members),
            _ => {}
        }
    }

    /// Whom to probe; nobody for a policy that needs no probes.
    pub(super) fn probe_requests(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Vec<Handle> {
        if let Self::Prequal(pool) = self { pool.requests(candidates, rng) } else { Vec::new() }
    }

    /// Takes what a probe brought; false for a policy that needs none.
    pub(super) fn probed(&mut self, slot: u32, handle: Handle, load: f64, latency: f64, count: usize, now: u64) -> bool {
        let Self::Prequal(pool) = self else { return false };
        pool.enter(slot, handle, load, latency, count, now);
        true
    }

    /// Told before an instance that may be in the pool changes: whether it keeps up with changes, and need not be parked.
    pub(super) fn leave(&mut self, slot: u32, members: &Members) -> bool {
        match self {
            Self::Hash(owners) if owners.is_elastic() => {
                owners.leave(slot, members);
                true
            }
            _ => false,
        }
    }

    /// Whether it keeps up with changes.
    pub(super) fn is_elastic(&self) -> bool {
        matches!(self, Self::Hash(owners) if owners.is_elastic())
    }

    /// Told after a change, with those that joined and all that are there now, if it keeps up with changes. False when it
    /// is cheaper to build it anew.
    pub(super) fn settle(&mut self, joining: &[u32], slots: &[u32], members: &Members) -> bool {
        if let Self::Hash(owners) = self { owners.settle(joining, slots, members) } else { false }
    }

    /// Chooses among all of the pool without a key, by a policy that then needs nothing but these; none when it needs more, and
    /// then nothing has changed.
    #[inline(always)]
    pub(super) fn pick_shortly(&mut self, slots: &[u32], members: &Members, rng: &mut Rng) -> Option<u32> {
        match self {
            Self::Sample(sampler) => sampler.pick_of_two(slots, members, rng),
            Self::Random(table) => table.draw(slots, rng),
            Self::RoundRobin(turns) => turns.read(slots),
            _ => None,
        }
    }

    /// Chooses; none only when the request leaves no candidate, and then nothing has changed.
    #[inline]
    pub(super) fn pick(&mut self, candidates: &Candidates<'_>, key: Option<&[u8]>, rng: &mut Rng) -> Option<u32> {
        match self {
            Self::First(order) => order.pick(candidates),
            Self::Edf(schedule) => schedule.pick(candidates),
            Self::Stride(strides) => strides.pick(candidates),
            Self::Prequal(pool) => pool.pick(candidates, rng),
            Self::Random(table) => table.pick(candidates, rng),
            Self::RoundRobin(turns) => turns.pick(candidates),
            Self::Sample(sampler) => sampler.pick(candidates, rng),
            Self::Rendezvous(scores) => scores.pick(candidates, key, rng),
            Self::Hash(owners) => owners.pick(candidates, key, rng),
        }
    }
}
