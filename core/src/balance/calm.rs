//! The short way of a pick: while nothing stands between a call and its policy, none of what may stand there is looked at.
//!
//! Whether that is so is found out after a pick that took the long way, for a span of time: until somebody is to be reaped, a
//! weight grows, or whatever else comes with time. A change of the view, or of who is out of the picks, ends it at once. So the
//! stages of the pipeline that a policy has not, or that rest, cost a pick one comparison together.

use super::Balancer;
use super::outcome::{Ending, Outcome};
use super::pick::{Pick, Request};
use crate::error::Error;
use crate::model::Handle;
use crate::time::Timestamp;

/// Until when what may be left out, in microseconds; 0 while nothing may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calm {
    /// All but the breaker's bounds.
    pub(super) picks: u64,
    /// Those too, and what is learnt of an instance.
    swift: u64,
    /// What hears of the end of a call, but for the counters.
    ends: u64,
}

/// In place of a token: there was none.
const NONE: u64 = u64::MAX;

impl Calm {
    /// Something is to be done at that time.
    #[inline]
    pub(super) fn end_by(&mut self, at: u64) {
        *self = Self { picks: self.picks.min(at), swift: self.swift.min(at), ends: self.ends.min(at) };
    }
}

impl Balancer {
    /// Finds out whether there is anything to look at, and until when there is not.
    pub(super) fn calm_down(&mut self) {
        let is_plain = self.trace.is_none() && self.tickets.is_small() && self.tiers.is_plain();
        let spans = [self.tickets.wake(), self.alarm, self.wake, self.probe_at];
        let picks = if is_plain { spans.into_iter().fold(u64::MAX, u64::min) } else { 0 };
        let learns = self.members.learns();
        let swift = if learns || self.breaker.is_bounded() { 0 } else { picks };
        let ends = if learns || self.feedback.is_some() || self.members.has_leaving() { 0 } else { picks };
        self.calm = Calm { picks, swift, ends };
    }

    /// Ends the calm: there may be something to look at.
    #[inline]
    pub(super) fn stir(&mut self) {
        self.calm = Calm::default();
    }

    /// A pick that excludes nobody and needs nothing but a choice; none when it may need more, and then nothing has changed but that the first
    /// choice, whom the breaker leaves no room, may have been made.
    #[inline]
    pub(super) fn pick_calmly(&mut self, key: Option<&[u8]>, now: Timestamp) -> Option<Pick> {
        let (handle, token) = match key {
            None => self.pick_shortly(now),
            Some(key) => self.look_up(key, now),
        };
        (token != NONE).then(|| Pick { handle: Handle::of_bits(handle), token })
    }

    /// Numbers in two registers, which is what an answer costs least as.
    #[inline(never)]
    fn pick_shortly(&mut self, now: Timestamp) -> (u64, u64) {
        let at = now.as_micros();
        if now >= self.now
            && at < self.calm.swift
            && let Some(slot) = self.tiers.pick_shortly(&self.members, &mut self.rng)
        {
            self.now = now;
            let handle = self.members.seat(slot).map_or(0, Handle::to_bits);
            return match self.tickets.enter(slot, false, at) {
                Some(token) => (handle, token),
                None => self.crowd(slot, handle, at),
            };
        }
        self.pick_cheaply(now)
    }

    /// The cheaper of two. Apart from the others, which would make its frame as large as theirs.
    #[inline(never)]
    fn pick_cheaply(&mut self, now: Timestamp) -> (u64, u64) {
        if self.is_calm(now)
            && let Some(slot) = self.tiers.pick_cheaper(&self.members, &mut self.rng, now.as_micros())
        {
            return self.begin(slot, now);
        }
        self.pick_plainly(None, now)
    }

    /// The owner of a key.
    #[inline(never)]
    fn look_up(&mut self, key: &[u8], now: Timestamp) -> (u64, u64) {
        if self.is_calm(now)
            && let Some(slot) = self.tiers.look_up(key)
        {
            return self.begin(slot, now);
        }
        self.pick_plainly(Some(key), now)
    }

    #[inline(never)]
    fn pick_plainly(&mut self, key: Option<&[u8]>, now: Timestamp) -> (u64, u64) {
        if self.is_calm(now)
            && let Some(slot) = self.tiers.pick(&self.members, key, &mut self.rng, now.as_micros())
        {
            return self.begin(slot, now);
        }
        (0, NONE)
    }

    /// Whether nothing but the breaker stands between a call and its policy, which has room.
    #[inline]
    fn is_calm(&self, now: Timestamp) -> bool {
        now >= self.now && now.as_micros() < self.calm.picks && self.members.picks() < self.breaker.total
    }

    /// Counts a pick that was made calmly.
    #[inline]
    fn begin(&mut self, slot: u32, now: Timestamp) -> (u64, u64) {
        self.now = now;
        let at = now.as_micros();
        if self.members.in_flight(slot).is_none_or(|count| count >= self.breaker.instance) {
            self.is_choice_full = true;
            return (0, NONE);
        }
        let handle = self.members.begin(slot, at).map_or(0, Handle::to_bits);
        match self.tickets.enter(slot, false, at) {
            Some(token) => (handle, token),
            None => self.crowd(slot, handle, at),
        }
    }

    /// Enters a pick that was counted when the entry whose turn it is is taken.
    #[cold]
    #[inline(never)]
    fn crowd(&mut self, slot: u32, handle: u64, at: u64) -> (u64, u64) {
        // While it is calm fewer are out than may be. The table may be so large now that they are to be counted.
        let token = self.tickets.issue(slot, false, at, self.members.picks().saturating_sub(1));
        if !self.tickets.is_small() {
            self.stir();
        }
        (handle, token)
    }

    /// Chooses an instance for a call of whose end nothing will be told: a [`pick`](Self::pick) that is finished at once, well. For
    /// policies that learn from outcomes that is no answer.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    #[inline]
    pub fn next(&mut self, now: Timestamp) -> Result<Handle, Error> {
        match self.next_calmly(now) {
            Some(handle) => Ok(handle),
            None => self.next_with_care(now),
        }
    }

    #[inline(never)]
    fn next_with_care(&mut self, now: Timestamp) -> Result<Handle, Error> {
        let pick = self.pick(&Request::default(), now)?;
        self.finish(pick.token, Outcome::default(), now);
        Ok(pick.handle)
    }

    /// The instance of a pick that is finished at once, well; none when there may be more to do, and then nothing has changed.
    #[inline]
    pub(super) fn next_calmly(&mut self, now: Timestamp) -> Option<Handle> {
        let handle = self.next_shortly(now);
        (handle != NONE).then(|| Handle::of_bits(handle))
    }

    #[inline(never)]
    fn next_shortly(&mut self, now: Timestamp) -> u64 {
        let at = now.as_micros();
        if now >= self.now
            && at < self.calm.swift
            && at < self.calm.ends
            && let Some(slot) = self.tiers.pick_shortly(&self.members, &mut self.rng)
        {
            self.now = now;
            return self.members.pass(slot).map_or(NONE, Handle::to_bits);
        }
        NONE
    }

    /// The end of a call of which no part of the policy hears: whether the token was good. None when there is more to do, and then nothing
    /// has changed.
    #[inline]
    pub(super) fn finish_quietly(&mut self, token: u64, ending: Ending, now: Timestamp) -> Option<bool> {
        match self.end_quietly(token, ending, now) {
            LOUD => None,
            known => Some(known == KNOWN),
        }
    }

    #[inline(never)]
    fn end_quietly(&mut self, token: u64, ending: Ending, now: Timestamp) -> u8 {
        if now < self.now || now.as_micros() >= self.calm.ends {
            return self.end_attentively(token, ending, now);
        }
        self.now = now;
        let Some((slot, _)) = self.tickets.redeem(token) else { return UNKNOWN };
        self.members.count(slot, Some(ending));
        KNOWN
    }

    /// The same when the averages of the instance are to be moved.
    #[inline(never)]
    fn end_attentively(&mut self, token: u64, ending: Ending, now: Timestamp) -> u8 {
        let is_calm = now >= self.now && now.as_micros() < self.calm.picks;
        if !is_calm || self.feedback.is_some() || self.members.has_leaving() {
            return LOUD;
        }
        self.now = now;
        let Some((slot, began)) = self.tickets.redeem(token) else { return UNKNOWN };
        self.members.count(slot, Some(ending));
        self.members.learn(slot, began, Some(ending), now.as_micros());
        KNOWN
    }
}

/// What the end of a call comes to: one byte, which costs less than an option.
const UNKNOWN: u8 = 0;
const KNOWN: u8 = 1;
const LOUD: u8 = 2;
