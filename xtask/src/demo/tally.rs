//! What the consumers did, and which of it counts as lost.
//!
//! All times are microseconds of the machine's wall clock, which every process of the demo shares.
//!
//! A failed request counts as *after expiry* when it was **picked** at or after the moment at which the first
//! observer outside the registry (this program's own watch, or any consumer) was told that the instance is gone.
//! There is no allowance for the news to travel: a consumer that hears a millisecond later than the first one,
//! and picks the dead instance in that millisecond, makes the demo fail. A request counts once: nothing retries.

use std::collections::BTreeMap;

/// One attempt of one consumer.
pub struct Attempt {
    pub consumer: usize,
    /// When it was picked, and when its outcome was known.
    pub picked: u64,
    pub ended: u64,
    pub key: String,
    /// The chosen instance; none when nobody was eligible.
    pub provider: Option<String>,
    pub ok: bool,
}

/// What is known of one provider.
#[derive(Default)]
pub struct Provider {
    /// What the registry says, or `gone`.
    pub state: String,
    pub requests: Vec<u64>,
    pub failed: u64,
    /// When the first observer was told that it is gone, and when each consumer was.
    pub removed: Option<u64>,
    pub removed_from: Vec<Option<u64>>,
    /// When each consumer was told that it must not give it new calls.
    pub draining_at: Vec<Option<u64>>,
    /// When it was killed, for a provider that the play kills.
    pub killed: Option<u64>,
}

/// The whole play so far.
pub struct Tally {
    pub consumers: Vec<&'static str>,
    pub providers: BTreeMap<String, Provider>,
    pub attempts: Vec<Attempt>,
    /// What each consumer sees, and last what the watch of this program sees.
    views: Vec<BTreeMap<String, String>>,
}

/// Who was told something.
#[derive(Clone, Copy)]
pub enum Observer {
    Watch,
    Consumer(usize),
}

/// The counts of the last line.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    pub requests: usize,
    pub before_expiry: usize,
    pub after_expiry: usize,
    /// Failures that the play does not explain: the instance was never killed, or none was eligible.
    pub unexplained: usize,
    /// Requests picked for a draining instance after that consumer knew.
    pub to_draining: usize,
}

impl Tally {
    pub fn new(consumers: Vec<&'static str>) -> Self {
        let views = vec![BTreeMap::new(); consumers.len() + 1];
        Self { consumers, providers: BTreeMap::new(), attempts: Vec::new(), views }
    }

    /// The provider's row.
    pub fn provider(&mut self, id: &str) -> &mut Provider {
        let count = self.consumers.len();
        self.providers.entry(id.to_owned()).or_insert_with(|| Provider {
            requests: vec![0; count],
            removed_from: vec![None; count],
            draining_at: vec![None; count],
            ..Provider::default()
        })
    }

    pub fn attempt(&mut self, attempt: Attempt) {
        if let Some(id) = attempt.provider.clone() {
            let row = self.provider(&id);
            row.requests[attempt.consumer] += 1;
            row.failed += u64::from(!attempt.ok);
        }
        self.attempts.push(attempt);
    }

    /// An observer sees these instances now, by availability; the difference to what it saw before is the news.
    pub fn saw(&mut self, observer: Observer, at: u64, view: BTreeMap<String, String>) {
        let slot = match observer {
            Observer::Watch => self.consumers.len(),
            Observer::Consumer(index) => index,
        };
        for (id, availability) in &view {
            let row = self.provider(id);
            if let (Observer::Consumer(index), "draining") = (observer, availability.as_str()) {
                row.draining_at[index].get_or_insert(at);
            }
        }
        let before = std::mem::replace(&mut self.views[slot], view);
        for id in before.into_keys().filter(|id| !self.views[slot].contains_key(id)).collect::<Vec<_>>() {
            let row = self.provider(&id);
            row.removed = Some(row.removed.map_or(at, |earlier| earlier.min(at)));
            if let Observer::Consumer(index) = observer {
                row.removed_from[index].get_or_insert(at);
            }
        }
    }

    /// Whether every consumer's view has this instance.
    pub fn known_to_all(&self, id: &str) -> bool {
        self.views[..self.consumers.len()].iter().all(|view| view.contains_key(id))
    }

    /// When the last consumer learnt something that all of them have learnt.
    pub fn last(times: &[Option<u64>]) -> Option<u64> {
        times.iter().copied().collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts { requests: self.attempts.len(), before_expiry: 0, after_expiry: 0, unexplained: 0, to_draining: 0 };
        for attempt in &self.attempts {
            let row = attempt.provider.as_ref().and_then(|id| self.providers.get(id));
            if row.is_some_and(|row| row.draining_at[attempt.consumer].is_some_and(|at| attempt.picked > at)) {
                counts.to_draining += 1;
            }
            if attempt.ok {
                continue;
            }
            let removed = row.and_then(|row| row.removed);
            if removed.is_some_and(|at| attempt.picked >= at) {
                counts.after_expiry += 1;
            } else {
                counts.before_expiry += 1;
                let killed = row.and_then(|row| row.killed);
                // The request that the kill cut short was picked before it.
                counts.unexplained += usize::from(killed.is_none_or(|at| attempt.ended < at));
            }
        }
        counts
    }
}
