//! The discrete-event simulation of one scenario under one policy.

mod calls;
mod faults;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use callboard::Value as Document;
use callboard::balance::{Balancer, OutcomeKind};

use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::gauge::Gauge;
use crate::policies::Named;
use crate::record::Record;
use crate::scenario::{Arrivals, Model, Scenario};
use crate::server::{CallId, Next, Server};
use crate::{Nanos, nanos};
use calls::Calls;
use faults::Condition;

/// Streams of randomness; each is the same whatever the policy.
mod stream {
    pub const ARRIVALS: u64 = 1;
    pub const FAULTS: u64 = 2;
    pub const SPARE: u64 = 3;
    pub const KEYS: u64 = 4;
    /// The work of attempt `a` of call `n` is `WORK + 64 * n + a`.
    pub const WORK: u64 = 1 << 32;
}

/// Runs to the end: until nothing arrives any more and every call is over.
///
/// # Errors
/// A policy that callboard does not take.
pub fn run(scenario: &Scenario, policy: &Named) -> Result<Record, String> {
    let mut engine = Engine::new(scenario, policy)?;
    engine.begin();
    while let Some(Reverse(Scheduled { at, event, .. })) = engine.events.pop() {
        engine.now = at;
        engine.handle(event)?;
        if engine.arrived_all && engine.calls.is_empty() {
            break;
        }
    }
    Ok(engine.record)
}

struct Engine<'a> {
    scenario: &'a Scenario,
    now: Nanos,
    events: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    fleet: Fleet,
    balancers: Vec<Balancer>,
    servers: Vec<Server>,
    gauges: Vec<Gauge>,
    conditions: Vec<Condition>,
    calls: Calls,
    record: Record,
    arrivals: Dice,
    faults: Dice,
    spare: Dice,
    keys: Dice,
    arrived: u64,
    arrived_all: bool,
    /// The servers each fault is at, while it is on.
    struck: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// An attempt is over at its server, well or not.
    Over(CallId, bool),
    /// A server asked an attempt to come back later.
    Throttled(CallId),
    Timeout(CallId),
    /// The first attempt of a call has no answer yet, and it is time for another beside it.
    Hedge(CallId),
    /// An open call is tried again.
    Retry(usize),
    Tick(usize, u32),
    /// The other calls of the machine of a server change.
    Spare(usize),
    FaultBegins(usize),
    FaultEnds(usize),
    FaultMoves(usize),
    Pause(usize, usize),
    Resume(usize),
}

/// Events at the same time come in the order they were scheduled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scheduled {
    at: Nanos,
    sequence: u64,
    event: Event,
}

impl<'a> Engine<'a> {
    fn new(scenario: &'a Scenario, policy: &Named) -> Result<Self, String> {
        let fleet = Fleet::new(&scenario.servers).map_err(|error| error.to_string())?;
        let balancer = |client: usize| -> Result<Balancer, String> {
            let zone = scenario.servers.zone(client);
            let seed = (scenario.seed << 20) + client as u64;
            let document = policy.document(client, scenario.clients, zone, seed).to_string();
            let document = Document::from_json(document.as_bytes()).map_err(|error| error.to_string())?;
            let mut balancer = Balancer::from_value(&document).map_err(|error| format!("policy {}: {error}", policy.name))?;
            balancer.follow(&fleet.registry);
            Ok(balancer)
        };
        let dice = |number| Dice::stream(scenario.seed, number);
        Ok(Self {
            scenario,
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            balancers: (0..scenario.clients).map(balancer).collect::<Result<_, _>>()?,
            servers: vec![Server::new(&scenario.model); scenario.servers.count],
            gauges: vec![Gauge::new(&scenario.model); scenario.servers.count],
            conditions: (0..scenario.servers.count).map(|server| Condition::of(scenario, server)).collect(),
            calls: Calls::default(),
            record: Record::new(scenario),
            arrivals: dice(stream::ARRIVALS),
            faults: dice(stream::FAULTS),
            spare: dice(stream::SPARE),
            keys: dice(stream::KEYS),
            arrived: 0,
            arrived_all: false,
            struck: vec![Vec::new(); scenario.faults.len()],
            fleet,
        })
    }

    fn begin(&mut self) {
        for (fault, at) in self.scenario.faults.iter().map(|fault| fault.at).enumerate() {
            self.schedule(at, Event::FaultBegins(fault));
        }
        if let Model::Shared { spare: Some(_), .. } = &self.scenario.model {
            (0..self.servers.len()).for_each(|server| self.schedule(0, Event::Spare(server)));
        }
        match self.scenario.arrivals {
            Arrivals::Poisson(_) => self.schedule_arrival(),
            Arrivals::Closed { concurrency, .. } => (0..concurrency).for_each(|_| self.schedule(0, Event::Arrival)),
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrival => self.arrive(),
            Event::Over(call, ok) => self.over(call, ok),
            Event::Throttled(call) => self.turn_away(call),
            Event::Timeout(call) => self.give_up(call, OutcomeKind::Timeout),
            Event::Hedge(call) => self.hedge(call),
            Event::Retry(call) => self.attempt(call),
            Event::Tick(server, stamp) => {
                let mut over = Vec::new();
                let next = self.servers[server].tick(stamp, self.now, &mut over);
                self.follow_up(server, next);
                over.into_iter().for_each(|call| self.answer(call, true));
            }
            Event::Spare(server) => self.change_spare(server),
            Event::FaultBegins(fault) => return self.begin_fault(fault),
            Event::FaultEnds(fault) => return self.end_fault(fault),
            Event::FaultMoves(fault) => return self.move_fault(fault),
            Event::Pause(fault, server) => self.pause(fault, server),
            Event::Resume(server) => self.resume(server),
        }
        Ok(())
    }

    fn schedule(&mut self, at: Nanos, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse(Scheduled { at, sequence: self.sequence, event }));
    }

    /// What a server says happens next.
    fn follow_up(&mut self, server: usize, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Ends(call, at) => self.schedule(at, Event::Over(call, true)),
            Next::Tick(at, stamp) => self.schedule(at, Event::Tick(server, stamp)),
            Next::Refused => {}
        }
    }

    fn schedule_arrival(&mut self) {
        let mean = 1.0 / self.scenario.arrivals.rate(self.now);
        let at = self.now + nanos(self.arrivals.exponential(mean));
        if at < self.scenario.duration {
            self.schedule(at, Event::Arrival);
        } else {
            self.arrived_all = true;
        }
    }
}

#[cfg(test)]
mod tests;
