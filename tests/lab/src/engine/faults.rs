//! What is wrong with servers, and how that changes.

use callboard::model::Health;

use super::{Engine, Event};
use crate::fault::{Effect, Fault};
use crate::scenario::{Model, Scenario};
use crate::{Nanos, nanos, seconds};

/// What is wrong with a server, if anything.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    /// How many times as long its work takes when nothing is wrong.
    scale: f64,
    slow: f64,
    pub latency: Option<Nanos>,
    /// When calls fail, and how many of them.
    pub fails: Option<(Nanos, f64)>,
    pub hangs: bool,
    /// How many calls a second it takes, and when others are to come back.
    pub throttle: Option<(f64, Nanos)>,
    /// How many it would take now, and since when that is known.
    allowance: (f64, Nanos),
    /// How long it has stood still in all, the pause it is in to its end.
    pub stood_still: Nanos,
    pub stands_still_until: Nanos,
    cores: f64,
    /// Since when it is there, how many times as long its work took then, and when it was warm.
    born: Nanos,
    cold: f64,
    warm_after: Nanos,
}

impl Condition {
    pub(super) fn of(scenario: &Scenario, server: usize) -> Self {
        let cores = if let Model::Shared { cores, .. } = scenario.model { cores } else { 0.0 };
        Self {
            scale: scenario.servers.scale(server),
            slow: 1.0,
            latency: None,
            fails: None,
            hangs: false,
            throttle: None,
            allowance: (0.0, 0),
            stood_still: 0,
            stands_still_until: 0,
            cores,
            born: 0,
            cold: 1.0,
            warm_after: 0,
        }
    }

    /// How many times as long work takes that begins now.
    pub(super) fn factor(&self, now: Nanos) -> f64 {
        let left = self.warm_after.saturating_sub(now - self.born);
        let cold = if left == 0 { 1.0 } else { 1.0 + (self.cold - 1.0) * seconds(left) / seconds(self.warm_after) };
        self.scale * self.slow * cold
    }

    /// Whether it takes a call now. It saves up what it takes in a tenth of a second.
    pub(super) fn admits(&mut self, now: Nanos) -> bool {
        let Some((rate, _)) = self.throttle else { return true };
        let (saved, since) = self.allowance;
        let saved = (saved + rate * seconds(now - since)).min((rate / 10.0).max(1.0));
        let admits = saved >= 1.0;
        self.allowance = (if admits { saved - 1.0 } else { saved }, now);
        admits
    }
}

impl Engine<'_> {
    fn fault(&self, fault: usize) -> &Fault {
        &self.scenario.faults[fault]
    }

    pub(super) fn begin_fault(&mut self, fault: usize) -> Result<(), String> {
        let scenario = self.scenario;
        let zones: Vec<&str> = (0..scenario.servers.count).map(|server| scenario.servers.zone(server)).collect();
        let Fault { servers, moving, flap, until, effect, .. } = self.fault(fault).clone();
        let dice = moving.is_some().then_some(&mut self.faults);
        self.struck[fault] = servers.of(&zones, dice);
        let struck = self.struck[fault].clone();
        match effect {
            Effect::Replace(cold, warm_after) => {
                for server in struck {
                    self.fleet.replace(server, self.now).map_err(|error| error.to_string())?;
                    let condition = &mut self.conditions[server];
                    (condition.born, condition.cold, condition.warm_after) = (self.now, cold, warm_after);
                }
            }
            Effect::Gone => {
                for server in &struck {
                    self.fleet.remove(*server, self.now).map_err(|error| error.to_string())?;
                }
                self.strike(&struck);
            }
            Effect::Sick => self.tell(&struck, Health::Unhealthy)?,
            Effect::Pause(..) => struck.iter().for_each(|server| self.schedule_pause(fault, *server)),
            _ => self.strike(&struck),
        }
        let ends = flap.map_or(Nanos::MAX, |[on, _]| self.now + on).min(until);
        if ends < Nanos::MAX {
            self.schedule(ends, Event::FaultEnds(fault));
        }
        if let Some(moving) = moving {
            self.schedule(self.now + moving, Event::FaultMoves(fault));
        }
        Ok(())
    }

    pub(super) fn end_fault(&mut self, fault: usize) -> Result<(), String> {
        let Fault { flap, until, effect, .. } = self.fault(fault).clone();
        let struck = std::mem::take(&mut self.struck[fault]);
        if effect == Effect::Gone {
            for server in &struck {
                self.fleet.add(*server, self.now).map_err(|error| error.to_string())?;
            }
        }
        if effect == Effect::Sick {
            self.tell(&struck, Health::Healthy)?;
        }
        self.strike(&struck);
        if let Some([_, off]) = flap
            && self.now.saturating_add(off) < until
        {
            self.schedule(self.now + off, Event::FaultBegins(fault));
        }
        Ok(())
    }

    pub(super) fn move_fault(&mut self, fault: usize) -> Result<(), String> {
        // It ended meanwhile, or never struck anybody.
        if self.struck[fault].is_empty() {
            return Ok(());
        }
        let scenario = self.scenario;
        let zones: Vec<&str> = (0..scenario.servers.count).map(|server| scenario.servers.zone(server)).collect();
        let next = scenario.faults[fault].servers.of(&zones, Some(&mut self.faults));
        let last = std::mem::replace(&mut self.struck[fault], next.clone());
        self.strike(&last);
        self.strike(&next);
        if let Some(moving) = scenario.faults[fault].moving {
            self.schedule(self.now + moving, Event::FaultMoves(fault));
        }
        Ok(())
    }

    fn tell(&mut self, servers: &[usize], health: Health) -> Result<(), String> {
        servers.iter().try_for_each(|server| self.fleet.tell(*server, health, self.now)).map_err(|error| error.to_string())
    }

    /// Adds up what is wrong with these servers.
    fn strike(&mut self, servers: &[usize]) {
        for server in servers {
            let condition = &mut self.conditions[*server];
            (condition.slow, condition.latency, condition.fails, condition.hangs) = (1.0, None, None, false);
            condition.throttle = None;
            let at_it = self.scenario.faults.iter().zip(&self.struck).filter(|(_, struck)| struck.contains(server));
            for (fault, _) in at_it {
                match fault.effect {
                    Effect::Slow(factor) => condition.slow *= factor,
                    Effect::Latency(latency) => condition.latency = Some(latency),
                    Effect::Fail(after, share) => condition.fails = Some((after, share)),
                    Effect::Hang | Effect::Gone => condition.hangs = true,
                    Effect::Throttle(rate, after) => condition.throttle = Some((rate, after)),
                    Effect::Replace(..) | Effect::Pause(..) | Effect::Sick => {}
                }
            }
        }
    }

    fn schedule_pause(&mut self, fault: usize, server: usize) {
        let Fault { effect: Effect::Pause(every, _), until, .. } = *self.fault(fault) else { return };
        let at = self.now + nanos(self.faults.exponential(every));
        if at < until {
            self.schedule(at, Event::Pause(fault, server));
        }
    }

    /// A server stands still.
    pub(super) fn pause(&mut self, fault: usize, server: usize) {
        let Effect::Pause(_, length) = self.fault(fault).effect else { return };
        let condition = &mut self.conditions[server];
        let until = self.now + length;
        condition.stood_still += until - self.now.max(condition.stands_still_until).min(until);
        condition.stands_still_until = condition.stands_still_until.max(until);
        let next = self.servers[server].set_cores(0.0, self.now);
        self.follow_up(server, next);
        self.schedule(until, Event::Resume(server));
        self.schedule_pause(fault, server);
    }

    pub(super) fn resume(&mut self, server: usize) {
        if self.now >= self.conditions[server].stands_still_until {
            let cores = self.conditions[server].cores;
            let next = self.servers[server].set_cores(cores, self.now);
            self.follow_up(server, next);
        }
    }

    /// Others on the machine take more, or less.
    pub(super) fn change_spare(&mut self, server: usize) {
        let Model::Shared { spare: Some(spare), .. } = &self.scenario.model else { return };
        let mut chance = self.spare.unit();
        let level = spare.levels.iter().find(|(share, _)| {
            chance -= share;
            chance < 0.0
        });
        let cores = level.or(spare.levels.last()).map_or(0.0, |level| level.1);
        let again = self.now + nanos(self.spare.exponential(spare.every));
        self.conditions[server].cores = cores;
        self.gauges[server].set_cores(cores, self.now);
        if self.now >= self.conditions[server].stands_still_until {
            let next = self.servers[server].set_cores(cores, self.now);
            self.follow_up(server, next);
        }
        self.schedule(again, Event::Spare(server));
    }
}
