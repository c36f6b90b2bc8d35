//! The picks that are not finished yet.

use alloc::vec::Vec;
use core::time::Duration;

use crate::limits;
use crate::time::{Timestamp, micros};

/// How many cohorts of picks are made during one reaping period.
const COHORTS_A_PERIOD: u64 = 32;
/// Cohorts that can be open at once: a full period's, the one being filled, and one that is due; rounded up to a power of two.
const COHORTS: usize = 64;
/// No entry.
const NONE: u32 = u32::MAX;
/// Bits of a token that name the entry; [`limits::PICKS_IN_FLIGHT`] entries fit.
const INDEX_BITS: u32 = 20;

/// A table of unfinished picks: token to host.
///
/// A token is an entry's index with the entry's generation, below 2^52. Generations are odd, and an entry has another each
/// time it is taken, so a token is good exactly once: a second `finish`, or one that comes after the reaping, finds nothing. (An
/// index would have to be reused 2^31 times for a stale token to fit again.) They begin at a number that the seed gives, so that a
/// token of a balancer with another seed is unknown.
///
/// Picks made within 1/32 of the reaping period form a cohort, which is reaped as one, when its youngest member
/// has reached the period. So an unfinished pick lives for one period at least and 33/32 of it at most, and a pick
/// pays no more for it than one comparison and one count.
#[derive(Clone, Debug)]
pub(super) struct Tickets {
    entries: Vec<Entry>,
    /// How many of those that are taken are calls that were tried before.
    retries: u32,
    /// The entry given back last, the first of a list through [`Entry::link`]; [`NONE`] when all are taken.
    free: u32,
    /// The first generation of an entry: odd, and that of few other tables.
    first: u32,
    cohorts: [Cohort; COHORTS],
    /// Sequence numbers of the oldest cohort that may have members, and of the one being filled.
    oldest: u32,
    newest: u32,
    /// When the cohort being filled is closed.
    closes: u64,
    /// Nothing is due before this time.
    wake: u64,
    period: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The generation while the entry is taken; while it is free that of its next owner, negated, which no token names.
    generation: u64,
    /// When it was issued.
    began: u64,
    /// The host while the entry is taken, the next free entry while it is not.
    link: u32,
    /// The place of the cohort, and [`RETRY`].
    cohort: u32,
}

impl Entry {
    fn is_taken(&self) -> bool {
        self.generation <= u64::from(u32::MAX)
    }
}

/// The bits of a cohort's number that say where it stands.
const PLACE: u32 = COHORTS as u32 - 1;
/// Set in [`Entry::cohort`] when the call was tried before.
const RETRY: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, Default)]
struct Cohort {
    live: u32,
    /// When its youngest member was picked.
    youngest: u64,
}

impl Tickets {
    pub(super) fn new(period: Duration, seed: u64) -> Self {
        // The upper half of a product with the golden ratio's fraction: near seeds are far apart.
        let first = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32 | 1;
        Self {
            first,
            entries: Vec::new(),
            retries: 0,
            free: NONE,
            cohorts: [Cohort::default(); COHORTS],
            oldest: 0,
            newest: 0,
            closes: 0,
            wake: u64::MAX,
            period: micros(period).max(1),
        }
    }

    /// How many of the unfinished picks are calls that were tried before.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    pub(super) fn is_full(&self) -> bool {
        !self.has_free() && self.entries.len() >= limits::PICKS_IN_FLIGHT
    }

    /// Whether a pick can be entered without more memory.
    #[inline]
    pub(super) fn has_free(&self) -> bool {
        (self.free as usize) < self.entries.len()
    }

    /// Until when picks are entered without a look at the cohorts, and none is due.
    pub(super) fn calm(&self) -> u64 {
        self.closes.min(self.wake)
    }

    /// Enters a pick of `host`. The table must not be full.
    #[inline]
    pub(super) fn issue(&mut self, host: u32, is_retry: bool, now: Timestamp) -> u64 {
        let now = now.as_micros();
        if now >= self.closes {
            self.open_cohort(now);
        }
        if self.free == NONE {
            self.grow();
        }
        self.retries = self.retries.wrapping_add(u32::from(is_retry));
        // The list of free entries names entries, and one is left after growing.
        self.enter(host, if is_retry { RETRY } else { 0 }, now).unwrap_or(u64::MAX)
    }

    /// [`Tickets::issue`] when there is a free entry and the cohort is open.
    #[inline]
    pub(super) fn enter(&mut self, host: u32, retry: u32, now: u64) -> Option<u64> {
        let (index, place) = (self.free, self.newest & PLACE);
        let entry = self.entries.get_mut(index as usize)?;
        let cohort = self.cohorts.get_mut(place as usize)?;
        cohort.live = cohort.live.wrapping_add(1);
        cohort.youngest = now;
        self.free = entry.link;
        let generation = entry.generation.wrapping_neg();
        *entry = Entry { generation, began: now, link: host, cohort: place | retry };
        Some(generation << INDEX_BITS | u64::from(index))
    }

    /// Gives an entry back.
    #[inline]
    fn give_back(entry: &mut Entry, index: u32, free: &mut u32, retries: &mut u32) {
        // Generations wrap at 2^32, and stay odd.
        entry.generation = u64::from((entry.generation as u32).wrapping_add(2)).wrapping_neg();
        entry.link = core::mem::replace(free, index);
        if entry.cohort & RETRY > 0 {
            *retries = retries.wrapping_sub(1);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let index = self.entries.len() as u32;
        self.entries.push(Entry { generation: u64::from(self.first).wrapping_neg(), began: 0, link: NONE, cohort: 0 });
        self.free = index;
    }

    /// Takes a pick out and tells its host and when it began, in microseconds, unless the token is unknown, finished or reaped.
    #[inline]
    pub(super) fn redeem(&mut self, token: u64) -> Option<(u32, u64)> {
        let index = token as u32 & ((1 << INDEX_BITS) - 1);
        let entry = self.entries.get_mut(index as usize)?;
        if entry.generation != token >> INDEX_BITS {
            return None;
        }
        let ended = (entry.link, entry.began);
        Self::give_back(entry, index, &mut self.free, &mut self.retries);
        if let Some(cohort) = self.cohorts.get_mut(entry.cohort as usize % COHORTS) {
            cohort.live = cohort.live.wrapping_sub(1);
        }
        Some(ended)
    }

    /// Whether [`Tickets::reap`] may have something to do.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.as_micros() >= self.wake
    }

    /// Takes out every pick of the cohorts that are due and names each one's host, and when it began.
    pub(super) fn reap(&mut self, now: Timestamp, mut each: impl FnMut(u32, u64)) {
        // At most COHORTS rounds: `oldest` only moves towards `newest`.
        while let Some((cohort, due)) = self.first_due() {
            if due > now.as_micros() {
                break;
            }
            if cohort.live > 0 {
                for (index, entry) in (0u32..).zip(&mut self.entries) {
                    if entry.is_taken() && (entry.cohort ^ self.oldest) & PLACE == 0 {
                        each(entry.link, entry.began);
                        Self::give_back(entry, index, &mut self.free, &mut self.retries);
                    }
                }
            }
            self.pass_oldest();
        }
        self.wake = self.first_due().map_or(u64::MAX, |(_, due)| due);
    }

    /// When the oldest unfinished pick is reaped, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let span = 0..=self.newest.wrapping_sub(self.oldest);
        let live = span.map(|age| self.cohort(self.oldest.wrapping_add(age))).find(|cohort| cohort.live > 0)?;
        Some(Timestamp::clamped(live.youngest.saturating_add(self.period)))
    }

    fn cohort(&self, number: u32) -> Cohort {
        self.cohorts.get(number as usize % COHORTS).copied().unwrap_or_default()
    }

    /// The oldest cohort and when it is due; none when the table was empty since the last one was passed.
    fn first_due(&self) -> Option<(Cohort, u64)> {
        let cohort = self.cohort(self.oldest);
        let idle = self.closes == 0 || (self.oldest == self.newest && cohort.live == 0);
        (!idle).then(|| (cohort, cohort.youngest.saturating_add(self.period)))
    }

    fn pass_oldest(&mut self) {
        if let Some(cohort) = self.cohorts.get_mut(self.oldest as usize % COHORTS) {
            *cohort = Cohort::default();
        }
        if self.oldest == self.newest {
            // The one being filled is due, so it is closed too.
            self.closes = 0;
        } else {
            self.oldest = self.oldest.wrapping_add(1);
        }
    }

    #[cold]
    #[inline(never)]
    fn open_cohort(&mut self, now: u64) {
        // Passing over cohorts that are empty keeps the span of the open ones below COHORTS: each that has
        // members is at most one period and one window old, because a pick reaps what is due before it is entered.
        while self.oldest != self.newest && self.cohort(self.oldest).live == 0 {
            self.pass_oldest();
        }
        if self.cohort(self.newest).live > 0 {
            self.newest = self.newest.wrapping_add(1);
        }
        self.closes = now.saturating_add((self.period / COHORTS_A_PERIOD).max(1));
        if self.oldest == self.newest {
            self.wake = now.saturating_add(self.period);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const PERIOD: Duration = Duration::from_secs(32);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    impl Tickets {
        fn taken(&self) -> usize {
            self.entries.iter().filter(|entry| entry.is_taken()).count()
        }
    }

    #[test]
    fn a_token_is_good_once() {
        let mut tickets = Tickets::new(PERIOD, 0);
        let token = tickets.issue(7, false, at(0));
        assert!(token < 1 << 53);
        assert_eq!(tickets.redeem(token), Some((7, 0)));
        assert_eq!(tickets.redeem(token), None);
        let next = tickets.issue(8, false, at(0));
        assert_ne!(token, next);
        assert_eq!((tickets.redeem(token), tickets.redeem(next)), (None, Some((8, 0))));
        for forged in [0, 1, next + (1 << 20), u64::MAX, 1 << 52] {
            assert_eq!(tickets.redeem(forged), None, "{forged}");
        }
        assert_eq!(tickets.taken(), 0);
    }

    #[test]
    fn a_lone_pick_is_reaped_exactly_at_its_deadline() {
        let mut tickets = Tickets::new(PERIOD, 0);
        assert_eq!(tickets.deadline(), None);
        let token = tickets.issue(7, false, at(5));
        assert_eq!(tickets.deadline(), Some(at(37)));
        let mut reaped = vec![];
        tickets.reap(Timestamp::from_micros(at(37).as_micros() - 1).unwrap(), |host, _| reaped.push(host));
        assert!(reaped.is_empty());
        assert!(tickets.is_due(at(37)));
        tickets.reap(at(37), |host, _| reaped.push(host));
        assert_eq!((reaped, tickets.redeem(token), tickets.deadline(), tickets.taken()), (vec![7], None, None, 0));
        tickets.issue(9, false, at(100));
        assert_eq!(tickets.deadline(), Some(at(132)));
    }

    #[test]
    fn picks_live_between_one_period_and_33_32ths() {
        let mut rng = crate::rng::Rng::new(3);
        let mut tickets = Tickets::new(PERIOD, 0);
        let mut open: std::collections::BTreeMap<u32, (u64, u64)> = Default::default();
        let (mut now, mut reaped) = (0u64, 0);
        for host in 0..200_000u32 {
            now += u64::from(rng.below(if host % 1_000 == 0 { 70_000_000 } else { 4_000 }));
            let time = Timestamp::from_micros(now).unwrap();
            if tickets.is_due(time) {
                tickets.reap(time, |host, _| {
                    let (_, picked) = open.remove(&host).unwrap();
                    assert!(now - picked >= 32_000_000);
                    reaped += 1;
                });
            }
            assert!(open.values().next().is_none_or(|(_, picked)| now - picked <= 33_000_000));
            assert_eq!(tickets.taken(), open.len());
            let token = tickets.issue(host, false, time);
            open.insert(host, (token, now));
            if rng.below(20) > 0 {
                let victim = *open.keys().nth(rng.below(open.len().min(64) as u32) as usize).unwrap();
                let (token, _) = open.remove(&victim).unwrap();
                assert_eq!(tickets.redeem(token).map(|(host, _)| host), Some(victim));
            }
            let deadline = tickets.deadline().map(Timestamp::as_micros);
            assert_eq!(deadline.is_some(), !open.is_empty());
        }
        assert!(reaped > 1_000, "{reaped}");
    }

    #[test]
    fn the_table_is_full_at_its_limit() {
        let mut tickets = Tickets::new(PERIOD, 0);
        let first = tickets.issue(0, false, at(0));
        for _ in 1..limits::PICKS_IN_FLIGHT {
            assert!(!tickets.is_full());
            tickets.issue(0, false, at(0));
        }
        assert!(tickets.is_full());
        tickets.redeem(first);
        assert!(!tickets.is_full());
    }
}
