//! Calls and their attempts, from arrival to the end.

use core::time::Duration;

use callboard::balance::{Outcome, OutcomeKind, Request};
use callboard::model::Handle;

use super::{Engine, Event, stream};
use crate::dice::Dice;
use crate::fleet::timestamp;
use crate::record::Call;
use crate::scenario::Arrivals;
use crate::server::{CallId, Next};
use crate::{Nanos, nanos};

/// When a call fails that a server has no room for.
const REFUSAL: Nanos = 1_000_000;

/// Calls that are not over, and attempts that somebody still holds.
#[derive(Default)]
pub(super) struct Calls {
    open: Vec<Open>,
    free: Vec<usize>,
    attempts: Vec<Attempt>,
    unused: Vec<u32>,
}

/// A call that is not over.
pub(super) struct Open {
    number: u64,
    client: usize,
    arrived: Nanos,
    key: [u8; 8],
    tried: Vec<Handle>,
    /// The attempts it waits for: two when it was hedged.
    out: Vec<CallId>,
}

/// An attempt; its id is good as long as the client or the server holds it.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    generation: u32,
    pub call: usize,
    pub client: usize,
    pub server: usize,
    token: u64,
    began: Nanos,
    /// How many requests the server had with this one when it came.
    among: u32,
    /// The client waits for it.
    waited_for: bool,
    /// The server has it among its calls.
    pub served: bool,
    /// How long the server had stood still in all when it began.
    pub stood_still: Nanos,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.open.len() == self.free.len()
    }

    fn open(&mut self, call: Open) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.open[index] = call;
                index
            }
            None => {
                self.open.push(call);
                self.open.len() - 1
            }
        }
    }

    fn attempt(&mut self, mut attempt: Attempt) -> CallId {
        let index = self.unused.pop().unwrap_or_else(|| {
            self.attempts.push(attempt);
            self.attempts.len() as u32 - 1
        });
        attempt.generation = self.attempts[index as usize].generation;
        self.attempts[index as usize] = attempt;
        u64::from(attempt.generation) << 32 | u64::from(index)
    }

    /// The attempt, while somebody holds it.
    pub(super) fn get(&mut self, id: CallId) -> Option<&mut Attempt> {
        self.attempts.get_mut(id as u32 as usize).filter(|attempt| u64::from(attempt.generation) == id >> 32)
    }

    /// Gives an attempt back when nobody holds it any more.
    fn release(&mut self, id: CallId) {
        if let Some(attempt) = self.get(id)
            && !attempt.waited_for
            && !attempt.served
        {
            attempt.generation = attempt.generation.wrapping_add(1);
            self.unused.push(id as u32);
        }
    }
}

impl Engine<'_> {
    pub(super) fn arrive(&mut self) {
        let number = self.arrived;
        self.arrived += 1;
        let client = self.arrivals.below(self.balancers.len());
        match self.scenario.arrivals {
            Arrivals::Poisson(_) => self.schedule_arrival(),
            Arrivals::Closed { calls, .. } => self.arrived_all = self.arrived >= calls,
        }
        let key = if self.scenario.keys > 0 { self.keys.below(self.scenario.keys) as u64 } else { number };
        let call = Open { number, client, arrived: self.now, key: key.to_le_bytes(), tried: Vec::new(), out: Vec::new() };
        let call = self.calls.open(call);
        self.attempt(call);
    }

    /// Sends a call to a server, or gives it up when there is none.
    pub(super) fn attempt(&mut self, call: usize) {
        let open = &self.calls.open[call];
        let (client, number) = (open.client, open.number);
        let balancer = &mut self.balancers[client];
        balancer.follow(&self.fleet.registry);
        let request = Request { key: (self.scenario.keys > 0).then_some(&open.key[..]), exclude: &open.tried, ..Request::default() };
        let picked = balancer.pick(&request, timestamp(self.now)).ok().and_then(|pick| Some((pick, self.fleet.server(pick.handle)?)));
        let Some((pick, server)) = picked else {
            // A hedge that finds nobody changes nothing.
            if !open.out.is_empty() {
                return;
            }
            let refused = open.tried.is_empty();
            self.close(call, false, refused);
            return;
        };
        let tried = &mut self.calls.open[call].tried;
        tried.push(pick.handle);
        let is_first = tried.len() == 1;
        let mut dice = Dice::stream(self.scenario.seed, stream::WORK + 64 * number + tried.len() as u64);
        self.record.attempt(server, self.now);
        let attempt = self.calls.attempt(Attempt {
            generation: 0,
            call,
            client,
            server,
            token: pick.token,
            began: self.now,
            among: self.gauges[server].begin(self.now),
            waited_for: true,
            served: true,
            stood_still: self.conditions[server].stood_still,
        });
        self.calls.open[call].out.push(attempt);
        // What is tried again is not hedged.
        if is_first && let Some(delay) = self.balancers[client].hedge_delay(timestamp(self.now)) {
            self.schedule(self.now + delay.as_nanos() as Nanos, Event::Hedge(attempt));
        }
        if let Some(timeout) = self.scenario.timeout {
            self.schedule(self.now + timeout, Event::Timeout(attempt));
        }
        self.serve(attempt, server, &mut dice);
        self.probe(client);
    }

    /// Asks those that the client's policy wants asked. An answer takes no time; a server that hangs gives none.
    fn probe(&mut self, client: usize) {
        let now = timestamp(self.now);
        for handle in self.balancers[client].probe_requests(now) {
            if let Some(server) = self.fleet.server(handle).filter(|server| !self.conditions[*server].hangs) {
                let gauge = &self.gauges[server];
                self.balancers[client].probed(handle, gauge.in_flight, Duration::from_nanos(gauge.latency()), now);
            }
        }
    }

    /// An attempt comes to its server.
    fn serve(&mut self, id: CallId, server: usize, dice: &mut Dice) {
        let condition = &mut self.conditions[server];
        // Drawn first, so that the work is the same whatever the condition.
        let work = self.scenario.service.draw(dice) * condition.factor(self.now);
        if condition.hangs {
            self.leave(id);
        } else if let Some((after, _)) = condition.fails.filter(|(_, share)| dice.unit() < *share) {
            self.leave(id);
            self.schedule(self.now + after, Event::Over(id, false));
        } else if !condition.admits(self.now) {
            self.leave(id);
            self.schedule(self.now + REFUSAL, Event::Throttled(id));
        } else if let Some(latency) = condition.latency {
            self.leave(id);
            self.schedule(self.now + latency, Event::Over(id, true));
        } else {
            // One that begins while the server stands still begins when it goes on.
            let begins = self.now.max(condition.stands_still_until);
            let next = self.servers[server].begin(id, nanos(work), self.now);
            match next {
                Next::Refused => {
                    self.leave(id);
                    self.schedule(self.now + REFUSAL, Event::Over(id, false));
                }
                Next::Ends(id, at) => self.follow_up(server, Next::Ends(id, at + (begins - self.now))),
                next => self.follow_up(server, next),
            }
        }
    }

    /// The server's queue does not have it.
    fn leave(&mut self, id: CallId) {
        if let Some(attempt) = self.calls.get(id) {
            attempt.served = false;
        }
    }

    /// The time has come for an attempt to be over, unless the server stood still since.
    pub(super) fn over(&mut self, id: CallId, ok: bool) {
        let now = self.now;
        let Some(attempt) = self.calls.get(id) else { return };
        let server = attempt.server;
        if attempt.served {
            let stood_still = self.conditions[server].stood_still;
            let more = stood_still - std::mem::replace(&mut attempt.stood_still, stood_still);
            if more > 0 {
                self.schedule(now + more, Event::Over(id, ok));
                return;
            }
            let next = self.servers[server].end(id, now);
            self.begin_next(server, next);
        }
        self.answer(id, ok);
    }

    /// A call that waited at the server is worked on.
    fn begin_next(&mut self, server: usize, next: Next) {
        if let Next::Ends(id, _) = next
            && let Some(attempt) = self.calls.get(id)
        {
            attempt.stood_still = self.conditions[server].stood_still;
        }
        self.follow_up(server, next);
    }

    /// The server is done with an attempt.
    pub(super) fn answer(&mut self, id: CallId, ok: bool) {
        let Some(attempt) = self.calls.get(id) else { return };
        attempt.served = false;
        if attempt.waited_for {
            self.conclude(id, if ok { OutcomeKind::Success } else { OutcomeKind::Error });
        } else {
            self.calls.release(id);
        }
    }

    /// The server has no time for an attempt now.
    pub(super) fn turn_away(&mut self, id: CallId) {
        if self.calls.get(id).is_some_and(|attempt| attempt.waited_for) {
            self.conclude(id, OutcomeKind::Throttled);
        }
    }

    /// The client has waited long enough to ask another server as well, if the policy's budget allows it.
    pub(super) fn hedge(&mut self, id: CallId) {
        let Some(attempt) = self.calls.get(id).filter(|attempt| attempt.waited_for) else { return };
        let (call, client) = (attempt.call, attempt.client);
        if self.balancers[client].may_hedge(timestamp(self.now)) {
            self.attempt(call);
        }
    }

    /// The client gives an attempt up: it has waited too long, or the other attempt was answered.
    pub(super) fn give_up(&mut self, id: CallId, kind: OutcomeKind) {
        let cancel = self.scenario.cancel;
        let Some(attempt) = self.calls.get(id).filter(|attempt| attempt.waited_for) else { return };
        let (server, cancelled) = (attempt.server, cancel && attempt.served);
        if cancelled {
            attempt.served = false;
        }
        self.conclude(id, kind);
        if cancelled {
            let next = self.servers[server].end(id, self.now);
            self.begin_next(server, next);
        }
    }

    /// The client learns what became of an attempt, and what the server reports of its load when it answers.
    fn conclude(&mut self, id: CallId, kind: OutcomeKind) {
        let Some(attempt) = self.calls.get(id) else { return };
        attempt.waited_for = false;
        let Attempt { call, client, server, token, began, among, .. } = *attempt;
        let ok = kind == OutcomeKind::Success;
        self.gauges[server].end(among, ok.then_some(self.now - began), self.now);
        self.calls.release(id);
        let is_answered = !matches!(kind, OutcomeKind::Timeout | OutcomeKind::Cancelled);
        let load = is_answered.then(|| self.gauges[server].report(self.now));
        let throttle = self.conditions[server].throttle.filter(|(_, after)| kind == OutcomeKind::Throttled && *after > 0);
        let retry_after = throttle.map(|(_, after)| Duration::from_nanos(after));
        let outcome = Outcome { latency: Some(Duration::from_nanos(self.now - began)), load, retry_after, ..Outcome::of(kind) };
        let now = timestamp(self.now);
        self.balancers[client].finish(token, outcome, now);
        let open = &mut self.calls.open[call];
        open.out.retain(|other| *other != id);
        if ok {
            let others = std::mem::take(&mut open.out);
            others.into_iter().for_each(|other| self.give_up(other, OutcomeKind::Cancelled));
        } else if kind == OutcomeKind::Cancelled || !open.out.is_empty() {
            return;
        }
        let tries = self.calls.open[call].tried.len();
        if ok || tries >= self.scenario.attempts {
            self.close(call, ok, false);
            return;
        }
        // The policy's budget is asked only when its number of attempts allows one more.
        let balancer = &mut self.balancers[client];
        match balancer.retry_delay(tries as u32).filter(|_| balancer.may_retry(now)) {
            None => self.close(call, false, false),
            Some(Duration::ZERO) => self.attempt(call),
            Some(delay) => self.schedule(self.now + delay.as_nanos() as Nanos, Event::Retry(call)),
        }
    }

    /// A call is over.
    fn close(&mut self, call: usize, ok: bool, refused: bool) {
        self.record.call(&Call { arrived: self.calls.open[call].arrived, ended: self.now, ok, refused });
        self.calls.free.push(call);
        if matches!(self.scenario.arrivals, Arrivals::Closed { .. }) && !self.arrived_all {
            // A refusal takes no time, and time must pass.
            self.schedule(self.now + if refused { REFUSAL } else { 0 }, Event::Arrival);
        }
    }
}
