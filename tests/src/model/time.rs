//! What time does to the model: leases, ends of overrides, passes, protection.

use std::collections::BTreeSet;

use callboard::Timestamp;
use callboard::model::{AdminState, Lease};

use super::{Key, Model, Passes, Record, micros};

impl Model {
    /// When the lease of a record counts from.
    fn beat(&self, record: &Record) -> u64 {
        record.beat.max(self.floor)
    }

    /// When it stops being live, and when it ends.
    fn ends(&self, record: &Record) -> Option<(u64, u64)> {
        let Lease { ttl, grace } = record.registration.lease?;
        let live = self.beat(record) + micros(ttl);
        Some((live, live + micros(grace)))
    }

    pub(super) fn is_suspect(&self, record: &Record) -> bool {
        self.ends(record).is_some_and(|(live, _)| live <= self.now)
    }

    fn is_overdue(&self, record: &Record) -> bool {
        self.ends(record).is_some_and(|(_, end)| end <= self.now)
    }

    fn suspects(&self) -> BTreeSet<Key> {
        self.records.iter().filter(|(_, record)| self.is_suspect(record)).map(|(key, _)| key.clone()).collect()
    }

    fn passes_over(&self, namespace: &str, service: &str) -> Option<&Passes> {
        self.passes.iter().find(|((own, name), _)| own == namespace && name == service).map(|(_, passes)| passes)
    }

    fn next_pass(&self, key: &Key) -> Option<u64> {
        self.passes_over(&key.0, &key.1).and_then(|passes| passes.next)
    }

    /// The earliest time at which something happens by itself.
    pub fn deadline(&self) -> Option<u64> {
        let leases = self.records.iter().filter_map(|(key, record)| {
            let (live, end) = self.ends(record)?;
            match () {
                () if live > self.now => Some(live),
                () if end > self.now || self.next_pass(key).is_none() => Some(end),
                // It waits for the pass.
                () => None,
            }
        });
        let overrides = self.overrides.values().filter_map(|own| own.until.map(Timestamp::as_micros));
        let passes = self.passes.values().filter_map(|passes| passes.next);
        leases.chain(overrides).chain(passes).min()
    }

    /// Lets time pass; tells how many leases ended.
    pub fn observe(&mut self, now: u64) -> u64 {
        self.backwards += u64::from(now < self.now);
        let now = now.max(self.now);
        let Some(due) = self.deadline().filter(|due| *due <= now) else {
            self.now = now;
            return 0;
        };
        let before = self.suspects();
        self.now = now;
        // Nobody was watching: every lease counts as renewed now.
        if now - due > micros(self.config.timer_slack) {
            self.floor = now;
            self.gaps += 1;
            let still = self.suspects();
            self.pending.extend(before.difference(&still).map(|key| ("updated", "lease", key.clone())));
        }
        self.end_overrides();
        let expired = self.run_passes();
        for key in self.suspects().difference(&before) {
            self.pending.push(("updated", "lease", key.clone()));
        }
        self.expired += expired;
        self.commit();
        expired
    }

    /// A drain turns into disabled, anything else is lifted.
    fn end_overrides(&mut self) {
        let mut ended: Vec<_> = self.overrides.iter().filter_map(|(key, own)| Some((own.until?.as_micros(), key.clone()))).collect();
        ended.retain(|(until, _)| *until <= self.now);
        ended.sort();
        for (_, key) in ended {
            let mut own = self.overrides.remove(&key).expect("it was listed");
            if own.state == AdminState::Draining {
                (own.state, own.until) = (AdminState::Disabled, None);
                self.overrides.insert(key.clone(), own);
            }
            self.touched(key, "admin");
        }
    }

    /// A pass over each service that has overdue instances, unless its next one is later.
    fn run_passes(&mut self) -> u64 {
        let overdue = self.records.iter().filter(|(_, record)| self.is_overdue(record)).map(|(key, _)| (key.0.clone(), key.1.clone()));
        let called =
            self.passes.iter().filter(|(_, passes)| passes.next.is_some_and(|next| next <= self.now)).map(|(name, _)| name.clone());
        let services: BTreeSet<_> = overdue.chain(called).collect();
        services.into_iter().map(|service| self.pass(service)).sum()
    }

    fn pass(&mut self, service: (String, String)) -> u64 {
        let mut passes = self.passes.get(&service).copied().unwrap_or_default();
        if passes.next.is_some_and(|next| next > self.now) {
            return 0;
        }
        let leased: Vec<_> = self
            .records
            .iter()
            .filter(|(key, record)| (&key.0, &key.1) == (&service.0, &service.1) && record.registration.lease.is_some())
            .collect();
        let fresh = leased.iter().filter(|(_, record)| !self.is_suspect(record)).count();
        let newest = leased.iter().map(|(_, record)| self.beat(record)).max().unwrap_or(0);
        let mut overdue: Vec<_> = leased.iter().filter(|(_, record)| self.is_overdue(record)).collect();
        // Those that are overdue the longest go first; of one time, in order of id, as they stand already.
        overdue.sort_by_key(|(_, record)| self.ends(record).map(|(_, end)| end));
        // Those that went lately count as silent.
        if self.now >= passes.lost_until {
            passes.lost = 0;
        }
        let gate_open = fresh * 100 >= (leased.len() + passes.lost) * usize::from(self.config.renewal_percent)
            || leased.len() + passes.lost - fresh <= 1;
        let (count, all) = (leased.len(), overdue.len());
        let mut going: Vec<Key> = if gate_open {
            passes.since = None;
            overdue.iter().map(|(key, _)| (*key).clone()).collect()
        } else {
            let since = *passes.since.get_or_insert(self.now);
            let over = self.now - since >= micros(self.config.protection_limit);
            // Silent for longer than its ttl at the time when a peer was last heard.
            let isolated = |record: &Record| self.ends(record).is_some_and(|(live, _)| newest > live);
            overdue.iter().filter(|(_, record)| over || isolated(record)).map(|(key, _)| (*key).clone()).collect()
        };
        passes.held = all - going.len();
        going.truncate((count * usize::from(self.config.eviction_percent) / 100).max(1));
        if going.len() < all {
            passes.next = Some((self.now + micros(self.config.eviction_interval)).min(Timestamp::MAX.as_micros()));
        } else {
            (passes.since, passes.next) = (None, None);
        }
        passes.lost += going.len();
        for record in going.iter().map(|key| &self.records[key]) {
            passes.lost_until = passes.lost_until.max(self.now + self.ends(record).map_or(0, |(_, end)| end - self.beat(record)));
        }
        self.passes.insert(service, passes);
        for key in &going {
            self.remove(key, "expire");
        }
        going.len() as u64
    }

    /// Whether protection holds back instances of a service.
    pub fn is_protected(&self, namespace: &str, service: &str) -> bool {
        self.passes_over(namespace, service).is_some_and(|passes| passes.held > 0)
    }
}
