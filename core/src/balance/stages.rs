//! How often each part of the pipeline had a say, beyond the plain pick.

use super::members::Members;
use crate::error::Code;
use crate::value::Value;

/// How often each part of the pipeline had a say, since the balancer was made. What every pick goes through is not counted: the other
/// picks are those of healthy instances, by the policy alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Picks of the instance that the request preferred.
    pub preferred: u64,
    /// Picks of whom a fallback names, for nobody had the labels that were asked for.
    pub fallback: u64,
    /// Picks of degraded instances.
    pub degraded: u64,
    /// Picks of any instance of a level that panics.
    pub panic: u64,
    /// Picks of instances that drain, for there were no others.
    pub draining: u64,
    /// Picks of instances that are out, for there were no others.
    pub out: u64,
    /// Picks of instances that are out, to find out whether they are well again.
    pub probes: u64,
    /// Picks that went elsewhere, for the breaker left no room at the first choice.
    pub spilled: u64,
    /// Picks that were refused: no instance matches, or none has the labels.
    pub no_instances: u64,
    /// Picks that were refused: no instance may be given a call.
    pub none_available: u64,
    /// Picks that were refused: all are excluded.
    pub all_excluded: u64,
    /// Picks that were refused: too many are out, or the request is too large.
    pub limit_exceeded: u64,
    /// How often an instance was taken out by outlier detection.
    pub ejected: u64,
    /// How often one came back.
    pub restored: u64,
    /// How often one was spared at its wish.
    pub held: u64,
    /// How often the circuit of the service opened.
    pub tripped: u64,
    /// Retries that were granted.
    pub retries: u64,
    /// Retries that were denied.
    pub retries_denied: u64,
    /// Hedges that were granted.
    pub hedges: u64,
    /// Hedges that were denied.
    pub hedges_denied: u64,
    /// Calls that were not admitted.
    pub turned_away: u64,
}

impl Stages {
    /// Each with its name, in the order of the fields.
    pub fn pairs(&self) -> [(&'static str, u64); 21] {
        [
            ("preferred", self.preferred),
            ("fallback", self.fallback),
            ("degraded", self.degraded),
            ("panic", self.panic),
            ("draining", self.draining),
            ("out", self.out),
            ("probes", self.probes),
            ("spilled", self.spilled),
            ("no_instances", self.no_instances),
            ("none_available", self.none_available),
            ("all_excluded", self.all_excluded),
            ("limit_exceeded", self.limit_exceeded),
            ("ejected", self.ejected),
            ("restored", self.restored),
            ("held", self.held),
            ("tripped", self.tripped),
            ("retries", self.retries),
            ("retries_denied", self.retries_denied),
            ("hedges", self.hedges),
            ("hedges_denied", self.hedges_denied),
            ("turned_away", self.turned_away),
        ]
    }

    /// Writes a map of all of them.
    pub fn to_value(&self) -> Value {
        Value::map(self.pairs().map(|(name, count)| (name, Value::from(count))))
    }
}

impl Members {
    /// Counts what a part did.
    pub(super) fn tell(&mut self, stage: impl FnOnce(&mut Stages) -> &mut u64) {
        let count = stage(&mut self.stages);
        // Calls do not run out before 2^64.
        *count = count.wrapping_add(1);
    }

    /// Counts a pick that was refused.
    pub(super) fn tell_refusal(&mut self, code: Code) {
        self.tell(|stages| match code {
            Code::NoInstances => &mut stages.no_instances,
            Code::NoneAvailable => &mut stages.none_available,
            Code::AllExcluded => &mut stages.all_excluded,
            _ => &mut stages.limit_exceeded,
        });
    }
}
