//! Where the registry stood some time ago: for readers that say when they last asked, and not at which revision.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;

use super::{Position, Registry};
use crate::time::Timestamp;

/// Marks are this far apart at least, and reach back this far.
const APART: Duration = Duration::from_secs(1);
const REACH: Duration = Duration::from_secs(600);

/// Times and the revisions before what was committed then.
#[derive(Clone, Debug, Default)]
pub(super) struct Ages {
    marks: VecDeque<(Timestamp, u64)>,
    /// Since when all changes are marked.
    began: Option<Timestamp>,
}

impl Ages {
    /// Notes that something is committed on top of a revision.
    pub(super) fn mark(&mut self, now: Timestamp, before: u64) {
        self.began(now, before);
        if self.marks.back().is_none_or(|(time, _)| now >= time.saturating_add(APART)) {
            self.marks.push_back((now, before));
        }
        // The one before those that are asked for is what they are told from.
        while self.marks.get(1).is_some_and(|(time, _)| time.saturating_add(REACH) < now) {
            self.marks.pop_front();
        }
    }

    /// An empty registry has been marked from the beginning of time.
    fn began(&mut self, now: Timestamp, revision: u64) -> Timestamp {
        *self.began.get_or_insert(if revision == 0 { Timestamp::ZERO } else { now })
    }
}

impl Registry {
    /// The namespaces and services that changes since a position are about; none when that cannot be told.
    pub(crate) fn changed_services(&self, since: Position) -> Option<BTreeSet<(&str, &str)>> {
        if since.epoch != self.epoch || since.revision > self.revision {
            return None;
        }
        Some(self.log.since(since.revision)?.map(|change| (&*change.namespace, &*change.service)).collect())
    }

    /// A position at least as old as `age`, at most 600 s; none when this life of the registry is shorter.
    pub(crate) fn position_before(&mut self, age: Duration) -> Option<Position> {
        let then = self.now.as_micros().saturating_sub(age.min(REACH).as_micros() as u64);
        let then = Timestamp::from_micros(then).ok()?;
        if self.ages.began(self.now, self.revision) > then {
            return None;
        }
        // What was committed in the second of a mark may be later than that time; what the next one stands on is not.
        let later = self.ages.marks.iter().find(|(time, _)| time.saturating_add(APART) > then);
        Some(Position { revision: later.map_or(self.revision, |(_, before)| *before), ..self.position() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Registration;
    use crate::registry::{Config, Put};

    fn put(registry: &mut Registry, id: &str, secs: u64) {
        registry.register(&Registration::new("s", id), Put::default(), Timestamp::from_secs(secs)).unwrap();
    }

    fn before(registry: &mut Registry, age: u64, now: u64) -> Option<u64> {
        registry.advance(Timestamp::from_secs(now));
        registry.position_before(Duration::from_secs(age)).map(|position| position.revision)
    }

    #[test]
    fn what_was_asked_then_is_not_newer() {
        let mut registry = Registry::new(Config::default()).unwrap();
        assert_eq!(before(&mut registry, 180, 0), Some(0));
        for (at, id) in [(10, "a"), (10, "b"), (200, "c"), (300, "d")] {
            put(&mut registry, id, at);
        }
        for (age, revision) in [(0, 3), (99, 3), (100, 2), (101, 2), (200, 2), (289, 2), (290, 0), (299, 0), (300, 0), (9_000, 0)] {
            assert_eq!(before(&mut registry, age, 300), Some(revision), "{age}");
        }
        for at in 301..2_000 {
            put(&mut registry, &std::format!("x{at}"), at);
        }
        assert!(registry.ages.marks.len() < 605);
        assert_eq!(before(&mut registry, 100, 1_999), Some(4 + 1_598));
    }

    #[test]
    fn another_life_is_not_known() {
        let mut registry = Registry::new(Config::default()).unwrap();
        put(&mut registry, "a", 10);
        let mut again = Registry::restore(&registry.snapshot(), Config { epoch: 2, ..Config::default() }, Timestamp::ZERO).unwrap();
        assert_eq!(before(&mut again, 180, 5), None);
        put(&mut again, "b", 100);
        let told = [(30, 130), (180, 184), (180, 185)].map(|(age, now)| before(&mut again, age, now));
        assert_eq!(told, [Some(1), None, Some(1)]);
    }

    #[test]
    fn a_restored_life_is_known_from_its_first_change_on() {
        let mut old = Registry::new(Config::default()).unwrap();
        put(&mut old, "a", 10);
        let mut again = Registry::restore(&old.snapshot(), Config { epoch: 2, ..Config::default() }, Timestamp::ZERO).unwrap();
        put(&mut again, "b", 100);
        let told = [(51, 150), (50, 150), (40, 150)].map(|(age, now)| before(&mut again, age, now));
        assert_eq!(told, [None, Some(1), Some(2)]);
        // What changed since a position of the old one, or since one that is still to come, is not known.
        let since = |epoch, revision| again.changed_services(Position { epoch, revision }).map(|services| services.len());
        assert_eq!([since(1, 1), since(2, 3), since(2, 2), since(2, 1)], [None, None, Some(0), Some(1)]);
    }
}
