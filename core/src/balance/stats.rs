//! What a balancer has done, as plain data.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::outcome::{Ending, OutcomeKind};
use super::stages::Stages;
use crate::model::{Availability, Handle};
use crate::time::secs;
use crate::value::Value;

/// What became of picks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Finished well.
    pub succeeded: u64,
    /// Finished badly.
    pub failed: u64,
    /// Given up by the caller.
    pub cancelled: u64,
    /// Never finished, and reaped.
    pub reaped: u64,
    /// How many of the finished told their latency.
    pub timed: u64,
    /// The sum of those latencies, microseconds.
    pub latency: u64,
}

impl Tally {
    /// The mean latency of those that told it.
    pub fn mean_latency(&self) -> Option<Duration> {
        self.latency.checked_div(self.timed).map(Duration::from_micros)
    }

    #[inline]
    pub(super) fn count(&mut self, ending: Option<Ending>) {
        let Some(ending) = ending else {
            self.reaped = self.reaped.wrapping_add(1);
            return;
        };
        // A count of calls stays below 2^64, and so do 285 years of microseconds; the sum may saturate.
        let ended = match ending.kind {
            OutcomeKind::Success => &mut self.succeeded,
            OutcomeKind::Cancelled => &mut self.cancelled,
            _ => &mut self.failed,
        };
        *ended = ended.wrapping_add(1);
        if let Some(latency) = ending.latency() {
            self.timed = self.timed.wrapping_add(1);
            self.latency = self.latency.saturating_add(latency);
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_add(other.succeeded),
            failed: self.failed.saturating_add(other.failed),
            cancelled: self.cancelled.saturating_add(other.cancelled),
            reaped: self.reaped.saturating_add(other.reaped),
            timed: self.timed.saturating_add(other.timed),
            latency: self.latency.saturating_add(other.latency),
        }
    }

    pub(super) fn ended(&self) -> u64 {
        self.succeeded.saturating_add(self.failed).saturating_add(self.cancelled).saturating_add(self.reaped)
    }

    fn pairs(&self, in_flight: u64) -> Vec<(&'static str, Value)> {
        alloc::vec![
            ("picks", self.ended().saturating_add(in_flight).into()),
            ("inflight", in_flight.into()),
            ("succeeded", self.succeeded.into()),
            ("failed", self.failed.into()),
            ("cancelled", self.cancelled.into()),
            ("reaped", self.reaped.into()),
            ("latency", self.mean_latency().map(secs).into()),
        ]
    }
}

/// What a balancer knows of one instance of its view.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStats {
    /// The instance.
    pub handle: Handle,
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
    /// Whether it may be given a call.
    pub availability: Availability,
    /// Picks of it that are not finished.
    pub in_flight: u32,
    /// What became of the others.
    pub tally: Tally,
    /// Whether outlier detection has taken it out of the picks.
    pub ejected: bool,
    /// Whether it asked to be spared, and is.
    pub held: bool,
    /// The average latency that the policy has learnt, if it learns one and a call has told it.
    pub expected: Option<Duration>,
    /// The average success that the policy has learnt, from 0 to 1, if it learns one.
    pub success: Option<f64>,
}

/// What a balancer has done, in sum and by instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The policy's name.
    pub policy: String,
    /// Picks that are not finished, those of instances that have left the view included.
    pub in_flight: u32,
    /// What became of the others, those of instances that have left the view included.
    pub tally: Tally,
    /// How often the host's time ran backwards and was clamped.
    pub backwards: u64,
    /// What each part of the pipeline did.
    pub stages: Stages,
    /// The instances of the view, sorted by service and id.
    pub instances: Vec<InstanceStats>,
}

impl Stats {
    /// Writes `{policy, picks, inflight, succeeded, failed, cancelled, reaped, latency?, backwards, stages, instances: [{handle, service, id,
    /// availability, picks, inflight, succeeded, failed, cancelled, reaped, latency?, ejected?, held?, expected?, success?}]}`; `stages` as [`Stages::to_value`] has them; `ejected` and `held` are there when true; a latency is the mean in seconds, to the microsecond,
    /// and absent while none was told.
    pub fn to_value(&self) -> Value {
        let document = |pairs: Vec<(&'static str, Value)>| Value::map(pairs.into_iter().filter(|(_, value)| *value != Value::Null));
        let instance = |one: &InstanceStats| {
            let mut pairs = alloc::vec![
                ("handle", Value::from(one.handle.to_bits())),
                ("service", one.service.as_str().into()),
                ("id", one.id.as_str().into()),
                ("availability", one.availability.as_str().into()),
            ];
            pairs.extend(one.tally.pairs(u64::from(one.in_flight)));
            pairs.push(("ejected", one.ejected.then_some(true).into()));
            pairs.push(("held", one.held.then_some(true).into()));
            pairs.push(("expected", one.expected.map(secs).into()));
            pairs.push(("success", one.success.into()));
            document(pairs)
        };
        let mut pairs = alloc::vec![("policy", Value::from(self.policy.as_str()))];
        pairs.extend(self.tally.pairs(u64::from(self.in_flight)));
        pairs.push(("backwards", self.backwards.into()));
        pairs.push(("stages", self.stages.to_value()));
        pairs.push(("instances", Value::List(self.instances.iter().map(instance).collect())));
        document(pairs)
    }
}
