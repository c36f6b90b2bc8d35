//! The short way of a pick: while nothing stands between a call and its policy, none of what may stand there is looked at.
//!
//! Whether that is so is found out after a pick that took the long way, for a span of time: until somebody is to be reaped, a
//! weight grows, or whatever else comes with time. A change of the view, or of who is out of the picks, ends it at once. So the
//! stages of the pipeline that a policy has not, or that rest, cost a pick one comparison together.

use super::Balancer;
use super::outcome::Ending;
use super::pick::Pick;
use crate::limits;
use crate::model::Handle;
use crate::time::Timestamp;

/// In place of a token: there was none.
const NONE: u64 = u64::MAX;

impl Balancer {
    /// Finds out whether there is anything to look at, and until when there is not.
    pub(super) fn calm_down(&mut self) {
        let is_bounded = self.breaker.instance < u32::MAX || (self.breaker.total as usize) < limits::PICKS_IN_FLIGHT;
        let is_plain = self.trace.is_none() && !is_bounded && self.tiers.is_plain();
        let spans = [self.tickets.calm(), self.alarm, self.wake, self.probe_at];
        self.calm = if is_plain { spans.into_iter().fold(u64::MAX, u64::min) } else { 0 };
        self.quiet = if self.feedback.is_some() || self.members.learns() || self.members.has_leaving() { 0 } else { self.calm };
    }

    /// Ends the calm: there may be something to look at.
    #[inline]
    pub(super) fn stir(&mut self) {
        (self.calm, self.quiet) = (0, 0);
    }

    /// A pick that excludes nobody and needs nothing but a choice; none when it may need more, and then nothing has changed.
    #[inline]
    pub(super) fn pick_calmly(&mut self, key: Option<&[u8]>, now: Timestamp) -> Option<Pick> {
        let (handle, token) = match key {
            None => self.pick_shortly(now),
            Some(_) => self.pick_plainly(key, now),
        };
        (token != NONE).then(|| Pick { handle: Handle::of_bits(handle), token })
    }

    /// Numbers in two registers, which is what an answer costs least as.
    #[inline(never)]
    fn pick_shortly(&mut self, now: Timestamp) -> (u64, u64) {
        if now >= self.now
            && now.as_micros() < self.calm
            && self.tickets.has_free()
            && let Some(slot) = self.tiers.pick_shortly(&self.members, &mut self.rng)
        {
            self.now = now;
            let handle = self.members.seat(slot).map_or(0, Handle::to_bits);
            return (handle, self.tickets.enter(slot, 0, now.as_micros()).unwrap_or(NONE));
        }
        self.pick_plainly(None, now)
    }

    #[inline(never)]
    fn pick_plainly(&mut self, key: Option<&[u8]>, now: Timestamp) -> (u64, u64) {
        if now >= self.now
            && now.as_micros() < self.calm
            && self.tickets.has_free()
            && let Some(slot) = self.tiers.pick(&self.members, key, &mut self.rng, now.as_micros())
        {
            self.now = now;
            let handle = self.members.begin(slot, now.as_micros()).map_or(0, Handle::to_bits);
            return (handle, self.tickets.enter(slot, 0, now.as_micros()).unwrap_or(NONE));
        }
        (0, NONE)
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
        if now < self.now || now.as_micros() >= self.quiet {
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
        let is_calm = now >= self.now && now.as_micros() < self.calm;
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
