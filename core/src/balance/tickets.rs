//! The picks that are not finished yet.

use alloc::vec::Vec;
use core::time::Duration;

use crate::limits;
use crate::time::{Timestamp, micros};

/// A table of unfinished picks: token to host.
///
/// Tokens are numbers in a row, below 2^53, and the lower bits of one say where its entry is: picks go round the table, and one
/// that is still out when its entry's turn comes again is passed over. So a token is good exactly once, for no other pick ever has
/// it: a second `finish`, or one that comes after the reaping, finds nothing. (2^52 picks are centuries.) They begin at a number that the
/// seed gives, so that a token of a balancer with another seed is unknown.
///
/// The table is twice as large as the most that were ever out, so that few are passed over. As tokens are in order of time, the
/// one that is reaped first is the lowest.
#[derive(Clone, Debug)]
pub(super) struct Tickets {
    /// None, or a power of two of them.
    entries: Vec<Entry>,
    /// The token of the next pick.
    next: u64,
    /// No pick of a lower token is out.
    oldest: u64,
    /// Nothing is due before this time.
    wake: u64,
    /// How many of those that are out are calls that were tried before.
    retries: u32,
    period: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The pick that is out. When it is back, all bits are turned, so that no token that leads here is this one.
    token: u64,
    /// When it was issued.
    began: u64,
    host: u32,
    is_retry: bool,
}

/// The first table.
const FEWEST: usize = 8;

impl Entry {
    const fn free(token: u64) -> Self {
        Self { token: !token, began: 0, host: 0, is_retry: false }
    }

    #[inline]
    fn is_taken(&self) -> bool {
        self.token >> 63 == 0
    }
}

impl Tickets {
    pub(super) fn new(period: Duration, seed: u64) -> Self {
        // The upper bits of a product with the golden ratio's fraction: near seeds are far apart.
        let first = (seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12) | 1;
        Self { entries: Vec::new(), next: first, oldest: first, wake: 0, retries: 0, period: micros(period).max(1) }
    }

    /// How many of the unfinished picks are calls that were tried before.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Whether the table has room for more than may be out, so that nobody need count them.
    pub(super) fn is_small(&self) -> bool {
        self.entries.len() < limits::PICKS_IN_FLIGHT
    }

    /// Where the entry of a token is.
    #[inline]
    fn place(&self, token: u64) -> usize {
        token as usize & self.entries.len().wrapping_sub(1)
    }

    /// Enters a pick of `host` when so many are out, which must be fewer than may be.
    pub(super) fn issue(&mut self, host: u32, is_retry: bool, now: u64, out: u32) -> u64 {
        self.retries = self.retries.wrapping_add(u32::from(is_retry));
        match self.enter(host, is_retry, now) {
            Some(token) => token,
            None => {
                self.make_room(out as usize);
                // There is an entry now.
                self.enter(host, is_retry, now).unwrap_or(u64::MAX)
            }
        }
    }

    /// [`Tickets::issue`] when the entry whose turn it is is free; else none.
    #[inline(always)]
    pub(super) fn enter(&mut self, host: u32, is_retry: bool, now: u64) -> Option<u64> {
        let token = self.next;
        let place = self.place(token);
        let entry = self.entries.get_mut(place).filter(|entry| !entry.is_taken())?;
        *entry = Entry { token, began: now, host, is_retry };
        self.next = token.wrapping_add(1);
        Some(token)
    }

    /// Makes the table larger when half of it is taken, and passes over the entries that are.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, out: usize) {
        if out >= self.entries.len() / 2 {
            let count = self.entries.len().saturating_mul(2).max(FEWEST);
            let mut entries: Vec<Entry> = (0..count as u64).map(Entry::free).collect();
            for entry in self.entries.iter().filter(|entry| entry.is_taken()) {
                // Those that had places of their own among fewer have them among more.
                if let Some(place) = entries.get_mut(entry.token as usize & count.wrapping_sub(1)) {
                    *place = *entry;
                }
            }
            self.entries = entries;
        }
        while self.entries.get(self.place(self.next)).is_some_and(Entry::is_taken) {
            self.next = self.next.wrapping_add(1);
        }
    }

    /// Takes a pick out and tells its host and when it began, in microseconds, unless the token is unknown, finished or reaped.
    #[inline(always)]
    pub(super) fn redeem(&mut self, token: u64) -> Option<(u32, u64)> {
        let place = self.place(token);
        let entry = self.entries.get_mut(place)?;
        if entry.token != token {
            return None;
        }
        entry.token = !token;
        if entry.is_retry {
            self.retries = self.retries.wrapping_sub(1);
        }
        Some((entry.host, entry.began))
    }

    /// Whether [`Tickets::reap`] may have something to do.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.as_micros() >= self.wake
    }

    /// Until when no pick is due, be it out or still to come.
    pub(super) fn wake(&self) -> u64 {
        self.wake
    }

    /// Takes out every pick that is due and names each one's host, and when it began; the oldest first.
    pub(super) fn reap(&mut self, now: Timestamp, mut each: impl FnMut(u32, u64)) {
        let now = now.as_micros();
        self.wake = loop {
            let Some(oldest) = self.first() else {
                self.oldest = self.next;
                break now.saturating_add(self.period);
            };
            self.oldest = oldest.token;
            let due = oldest.began.saturating_add(self.period);
            if due > now {
                break due;
            }
            if let Some((host, began)) = self.redeem(oldest.token) {
                each(host, began);
            }
        };
    }

    /// When the oldest unfinished pick is reaped, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(Timestamp::clamped(self.first()?.began.saturating_add(self.period)))
    }

    /// The oldest that is out. It costs a step for each pick that was made since the oldest that was known, and at the most a look at
    /// the whole table.
    fn first(&self) -> Option<Entry> {
        let tokens = (self.oldest..self.next).take(self.entries.len());
        let mut entries = tokens.filter_map(|token| self.entries.get(self.place(token)).filter(|entry| entry.token == token));
        let left = self.next.wrapping_sub(self.oldest) > self.entries.len() as u64;
        match entries.next() {
            None if left => self.entries.iter().filter(|entry| entry.is_taken()).min_by_key(|entry| entry.token).copied(),
            found => found.copied(),
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

        fn take(&mut self, host: u32, now: Timestamp) -> u64 {
            let out = self.taken() as u32;
            self.issue(host, false, now.as_micros(), out)
        }
    }

    #[test]
    fn a_token_is_good_once() {
        let mut tickets = Tickets::new(PERIOD, 0);
        let token = tickets.take(7, at(0));
        assert!(token < 1 << 52);
        assert_eq!(tickets.redeem(token), Some((7, 0)));
        assert_eq!(tickets.redeem(token), None);
        let next = tickets.take(8, at(0));
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
        let token = tickets.take(7, at(5));
        assert_eq!(tickets.deadline(), Some(at(37)));
        let mut reaped = vec![];
        tickets.reap(Timestamp::from_micros(at(37).as_micros() - 1).unwrap(), |host, _| reaped.push(host));
        assert!(reaped.is_empty());
        assert!(tickets.is_due(at(37)));
        tickets.reap(at(37), |host, _| reaped.push(host));
        assert_eq!((reaped, tickets.redeem(token), tickets.deadline(), tickets.taken()), (vec![7], None, None, 0));
        tickets.take(9, at(100));
        assert_eq!(tickets.deadline(), Some(at(132)));
    }

    #[test]
    fn picks_live_for_a_period() {
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
            assert!(open.values().next().is_none_or(|(_, picked)| now - picked < 32_000_000));
            assert_eq!(tickets.taken(), open.len());
            let token = tickets.take(host, time);
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
    fn the_table_holds_as_many_as_may_be_out() {
        let mut tickets = Tickets::new(PERIOD, 0);
        let tokens: Vec<u64> = (0..limits::PICKS_IN_FLIGHT as u32).map(|out| tickets.issue(out, false, 0, out)).collect();
        assert!(!tickets.is_small() && tickets.entries.len() <= 2 * limits::PICKS_IN_FLIGHT);
        // Every other one ends, and the new ones find their places.
        for pair in tokens.chunks(2) {
            assert_eq!(tickets.redeem(pair[0]).map(|(host, _)| host), Some((pair[0] - tokens[0]) as u32));
        }
        let more: Vec<u64> = (0..1_000).map(|host| tickets.issue(host, false, 1, limits::PICKS_IN_FLIGHT as u32 / 2)).collect();
        assert!(more.iter().all(|token| tickets.redeem(*token).is_some() && tickets.redeem(*token).is_none()));
        assert_eq!(tickets.deadline(), Some(at(32)));
    }
}
