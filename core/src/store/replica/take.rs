//! What the engine says, taken into the registry: who wins, by the rules at [`replica`](super).

use alloc::string::String;

use super::*;
use crate::model::Registration;
use crate::registry::TokenDigest;
use crate::time::micros;

impl Replica {
    /// What was asked for is told: a line, or a page that is of its listing's revision and leads to the end of it.
    pub(super) fn check(&self, said: Said) -> Result<Said, Error> {
        match &said {
            Said::Page { revision, kvs, more } if self.is_listing() => {
                let (revision, before) = self.listing.as_ref().map_or((*revision, &[][..]), |listing| (listing.revision, &listing.last));
                if kvs.iter().any(|kv| kv.revision > revision) {
                    return Err(gateway::malformed("mod_revision"));
                }
                if *more && kvs.last().is_none_or(|kv| kv.key.as_slice() <= before) {
                    return Err(gateway::malformed("more"));
                }
                Ok(said)
            }
            Said::Events { .. } if !self.is_listing() => Ok(said),
            _ => Err(gateway::malformed("result")),
        }
    }

    /// A page of a listing. At its end, what the engine no longer has is gone.
    pub(super) fn listed(&mut self, registry: &mut Registry, revision: u64, kvs: Vec<Kv>, more: bool, told: &mut Told) {
        told.again = true;
        let is_late = self.listing.is_none() && revision < self.past;
        let mut listing = self.listing.take().unwrap_or_else(|| Listing { revision, last: Vec::new(), names: BTreeSet::new() });
        // What was written later than it says is in the history of an engine that is not there any more.
        let is_earlier = |kv: &Kv| {
            let held = self.name_of(kv).and_then(|name| self.held.get(&name));
            held.is_some_and(|held| kv.revision < held.revision && held.revision <= listing.revision)
        };
        if is_late || kvs.iter().any(is_earlier) {
            self.forget(registry);
        }
        self.newest = self.newest.max(listing.revision);
        self.gone.retain(|_, revision| *revision > listing.revision);
        for kv in kvs {
            listing.last.clone_from(&kv.key);
            listing.names.extend(self.take(registry, kv, told));
        }
        if more {
            self.listing = Some(listing);
            return;
        }
        let missing =
            |(name, held): (&Name, &Held)| (held.revision <= listing.revision && !listing.names.contains(name)).then(|| name.clone());
        let missing: Vec<Name> = self.held.iter().filter_map(missing).collect();
        for name in missing {
            self.take_gone(registry, &name, listing.revision);
        }
        // Whether it was there and is gone again, nobody tells: what somebody was told is not known must not come after what they said since.
        let is_said = |why| matches!(why, Why::Said | Why::Again | Why::Report | Why::Word);
        let late = self.waiting.iter().filter(|(name, waiting)| waiting.late && is_said(waiting.why) && !self.held.contains_key(*name));
        let late: Vec<(Name, u64)> = late.map(|(name, waiting)| (name.clone(), waiting.since)).collect();
        for (name, since) in late {
            self.waiting.remove(&name);
            remove(registry, &name);
            self.refuse(registry, since);
        }
        (self.position, self.relist, self.current) = (Some(listing.revision), false, true);
    }

    fn name_of(&self, kv: &Kv) -> Option<Name> {
        Name::read(core::str::from_utf8(&kv.key).ok()?.strip_prefix(self.settings.prefix.as_str())?)
    }

    /// What stands under a key, or that it is gone; whose, if it is one of ours.
    pub(super) fn take(&mut self, registry: &mut Registry, kv: Kv, told: &mut Told) -> Option<Name> {
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        let own = key.strip_prefix(self.settings.prefix.as_str()).unwrap_or(&key);
        let Some(name) = Name::read(own) else {
            // That of a server that had the engine for itself.
            if own != entry::REGISTRY && !kv.gone {
                told.skipped.push(entry::unread(own));
            }
            return None;
        };
        let before = self.held.get(&name).copied();
        self.newest = self.newest.max(kv.revision);
        // At its own revision it is told again, or was never told rightly.
        let is_late = |held: Held| held.revision > kv.revision || held.revision == kv.revision && (kv.gone || held.is(&kv));
        if before.is_some_and(is_late) || self.gone.get(&name).is_some_and(|gone| *gone >= kv.revision) {
            return Some(name);
        }
        if kv.gone {
            self.take_gone(registry, &name, kv.revision);
            return Some(name);
        }
        let incarnation = before.map_or(0, |held| held.incarnation);
        let mut held = Held { revision: kv.revision, print: 0, incarnation, lease: kv.lease, token: 0 };
        let taken = entry::read(own, &kv.value, registry.now()).and_then(|said| {
            held.print = said.print();
            if before.is_some_and(|before| (before.revision, before.print, before.lease) == (held.revision, held.print, held.lease)) {
                return Ok(());
            }
            let now = registry.now();
            match said {
                entry::Said::Instance(own, token) => {
                    (held.incarnation, held.token) = (own.incarnation, token.map_or(0, TokenDigest::part));
                    self.held.insert(name.clone(), held);
                    self.take_instance(registry, &name, &own, token, held, before)
                }
                entry::Said::Override(key, admin) => {
                    self.take_word(registry, &name, held, |registry| registry.share_admin(&key, Some(admin), now))
                }
                entry::Said::Query((namespace, own), query) => {
                    self.take_word(registry, &name, held, |registry| registry.share_query([&namespace, &own], Some(&query), now))
                }
            }
        });
        if let Err(error) = taken {
            self.held.insert(name.clone(), Held { print: 0, ..held });
            told.skipped.push(Unread::new(own, error));
        }
        Some(name)
    }

    fn take_instance(
        &mut self,
        registry: &mut Registry,
        name: &Name,
        own: &Registration,
        token: Option<TokenDigest>,
        held: Held,
        before: Option<Held>,
    ) -> Result<(), Error> {
        let now = registry.now();
        let key = Key::of(own);
        self.missed.remove(&key);
        let mine = self.is_ours(held.lease);
        let there = entry::local(registry, &key);
        let guard = there.as_ref().and_then(|(_, guard, _)| *guard).map_or(0, TokenDigest::part);
        let (ours, handle) = there.map(|(ours, _, handle)| (ours, handle)).unzip();
        let waiting = self.waiting.get(name).copied();
        let is_newer = |incarnation: u64| own.incarnation > incarnation;
        let is_other = before.is_none_or(|before| before.print != held.print);
        let late = waiting.is_some_and(|waiting| waiting.late && is_other && !mine);
        // Ours was taken from somebody who did not know of the token that it has there now.
        let known = [0, guard, before.map_or(0, |before| before.token), waiting.map_or(0, |waiting| waiting.token)];
        let is_foreign = !known.contains(&held.token);
        let gives_way = is_foreign
            || match (waiting.map(|waiting| waiting.why), &ours) {
                // An answer that we never got: what we have said since, or never said, is not known there.
                (None, None) if mine => {
                    self.wait(name.clone(), Why::Left, self.kept.saturating_add(1));
                    return Ok(());
                }
                // Nobody writes on our lease but who was told how somebody is.
                (None, Some(ours)) if mine && held.token == guard && own.incarnation >= ours.incarnation && is_report(own, ours) => {
                    registry.share_health(&key, own.health, own.incarnation, now);
                    return Ok(());
                }
                (None, _) => true,
                // An engine that lost what it knew has lost the token, and must not be told so by who knew none.
                (Some(Why::Heard), Some(_)) if before.is_none() && guard != 0 && guard != held.token => false,
                (Some(Why::Said | Why::Again | Why::Heard), Some(ours)) if mine => is_newer(ours.incarnation),
                (Some(Why::Said | Why::Again), Some(ours)) => late || is_newer(ours.incarnation),
                (Some(Why::Report), Some(ours)) => {
                    if is_newer(ours.incarnation) && !mine {
                        true
                    } else {
                        let there = Registration { health: ours.health, incarnation: ours.incarnation.max(own.incarnation), ..own.clone() };
                        self.unask(name);
                        let is_ours = mine || !handle.is_some_and(|handle| registry.is_held(handle));
                        return registry.share(&there, token, !is_ours, now);
                    }
                }
                (Some(Why::Left), _) => late || is_newer(before.map_or(0, |before| before.incarnation)),
                (Some(Why::Expired), _) => !mine,
                _ => true,
            };
        if !gives_way {
            // Unless it is our own, told before the answer to it.
            self.unask_if_other(registry, name, held);
            return Ok(());
        }
        self.waiting.remove(name);
        let is_kept = entry::says(registry, name).is_some_and(|(_, print)| print == held.print);
        if ours.is_some_and(|ours| ours.incarnation > own.incarnation) {
            // It is another life of it, which knows nothing of ours.
            registry.unshare(&key, now);
        }
        let shared = registry.share(own, token, held.lease != 0 && !mine, now);
        if let Some(waiting) = waiting.filter(|_| (late || is_foreign) && !is_kept) {
            self.refuse(registry, waiting.since);
        }
        shared?;
        if own.lease.is_some() && held.lease == 0 {
            // Nobody watches it.
            self.wait(name.clone(), Why::Heard, self.kept.saturating_add(1));
        }
        Ok(())
    }

    /// An operator's word, or a saved query: the later one stays.
    fn take_word(
        &mut self,
        registry: &mut Registry,
        name: &Name,
        held: Held,
        share: impl FnOnce(&mut Registry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.held.insert(name.clone(), held);
        if self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Word && !waiting.late) {
            // Unless it is our own, told before the answer to it.
            self.unask_if_other(registry, name, held);
            return Ok(());
        }
        let is_kept = entry::says(registry, name).is_some_and(|(_, print)| print == held.print);
        let waiting = self.waiting.remove(name).filter(|waiting| waiting.why == Why::Word && !is_kept);
        let shared = share(registry);
        if let Some(waiting) = waiting {
            self.refuse(registry, waiting.since);
        }
        shared
    }

    pub(super) fn take_gone(&mut self, registry: &mut Registry, name: &Name, revision: u64) {
        let Some(before) = self.held.get(name).copied().filter(|held| held.revision <= revision) else { return };
        self.held.remove(name);
        match self.waiting.get(name).map(|waiting| (waiting.why, waiting.late)) {
            Some((Why::Heard, _) | (Why::Said | Why::Again | Why::Word, false)) => return self.unask(name),
            Some((Why::Left | Why::Expired, _)) => {
                self.waiting.remove(name);
                return;
            }
            Some(_) | None => {}
        }
        let waiting = self.waiting.remove(name).filter(|waiting| waiting.late);
        match name {
            Name::Instance(key) if self.is_ours(before.lease) || self.may_be_missed(registry, key, before.lease) => {
                self.missed.insert(key.clone(), Missed { lease: before.lease, asked: false, until: None });
            }
            _ => remove(registry, name),
        }
        if let Some(waiting) = waiting {
            self.refuse(registry, waiting.since);
        }
    }

    /// What was said since then gave way: whoever still waits to hear whether it is kept must not be told so.
    fn refuse(&mut self, registry: &Registry, since: u64) {
        let (first, last) = self.refused;
        self.refused = (if since > last { since } else { since.min(first) }, registry.edition());
    }

    fn is_ours(&self, lease: u64) -> bool {
        lease != 0 && self.leases.values().any(|own| own.id == lease)
    }

    /// Whether an entry may have vanished because the engine, while it was away, could not be told that the lease goes on. Its server has said so
    /// every quarter of it.
    fn may_be_missed(&self, registry: &Registry, key: &Key, lease: u64) -> bool {
        let handle = registry.lookup(&key.namespace, &key.service, &key.id).filter(|_| lease != 0);
        let lasting = handle.and_then(|handle| registry.lease(handle)).map(|own| entry::lasting(own).saturating_mul(1_000_000));
        let steady = registry.now().as_micros().saturating_sub(self.steady.as_micros());
        lasting.is_some_and(|lasting| steady < lasting || lasting.saturating_sub(lasting / 4) <= SILENCE)
    }

    /// What is under way says something else than is so now.
    fn unask(&mut self, name: &Name) {
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.asked = false;
        }
    }

    fn unask_if_other(&mut self, registry: &Registry, name: &Name, held: Held) {
        if entry::says(registry, name).map(|(_, print)| print) != Some(held.print) {
            self.unask(name);
        }
    }

    /// What became of what we wrote.
    pub(super) fn written(&mut self, registry: &mut Registry, sent: Vec<Sent>, outcome: Outcome, told: &mut Told) -> Result<(), Error> {
        match outcome {
            Outcome::Done { revision } => {
                self.newest = self.newest.max(revision);
                for Sent { name, held, .. } in sent {
                    if self.held.get(&name).is_none_or(|now| now.revision < revision) {
                        match held {
                            Some(held) => {
                                self.held.insert(name.clone(), Held { revision, ..held });
                                // What hangs on a lease of ours ends when we say so.
                                if let Name::Instance(key) = &name {
                                    self.missed.remove(key);
                                    if self.is_ours(held.lease) {
                                        registry.watch_lease(key);
                                    }
                                }
                            }
                            None => {
                                self.held.remove(&name);
                                self.gone.insert(name.clone(), revision);
                            }
                        }
                    }
                    match self.waiting.get_mut(&name) {
                        Some(waiting) if waiting.asked => drop(self.waiting.remove(&name)),
                        Some(waiting) => waiting.unsure = false,
                        None => {}
                    }
                }
            }
            Outcome::Changed { revision, kvs } => {
                let is_same = |(sent, kv): (&Sent, &Option<Kv>)| kv.as_ref().map_or(0, |kv| kv.revision) == sent.since;
                if kvs.len() != sent.len() || sent.iter().zip(&kvs).all(is_same) {
                    return Err(gateway::malformed("succeeded"));
                }
                for (Sent { name, since, .. }, kv) in sent.iter().zip(kvs) {
                    let waiting = self.waiting.get_mut(name);
                    let is_asked = waiting.as_ref().is_some_and(|waiting| waiting.asked);
                    waiting.into_iter().for_each(|waiting| (waiting.asked, waiting.unsure) = (false, false));
                    if is_asked {
                        self.doubt(name, *since, kv.as_ref());
                    } else if self.position >= Some(revision) {
                        // The watch has told it, and maybe that it is gone.
                        continue;
                    }
                    match kv {
                        Some(kv) => drop(self.take(registry, kv, told)),
                        None => self.take_gone(registry, name, revision),
                    }
                }
            }
        }
        Ok(())
    }

    /// What the engine has is newer than what was held when it was asked, whatever that claimed.
    fn doubt(&mut self, name: &Name, since: u64, kv: Option<&Kv>) {
        match self.held.get_mut(name) {
            Some(held) if held.revision == since && kv.is_none_or(|kv| kv.revision < since) => held.revision = 0,
            Some(_) => {}
            None => drop(self.gone.remove(name)),
        }
    }

    /// Whether one of our leases is there.
    pub(super) fn kept_alive(&mut self, registry: &mut Registry, ttl: u64, id: u64, alive: bool) {
        let now = registry.now();
        if !alive {
            self.leases.retain(|_, lease| lease.id != id);
            return self.lose(registry, id);
        }
        if let Some(lease) = self.leases.get_mut(&ttl) {
            lease.told = now;
        }
        // Then somebody else removed them.
        for key in self.asked_about(id) {
            self.missed.remove(&key);
            registry.unshare(&key, now);
        }
    }

    /// Whether a lease is there that another server kept alive.
    pub(super) fn looked(&mut self, registry: &mut Registry, lease: u64, alive: bool) {
        let now = registry.now();
        for key in self.asked_about(lease) {
            let missed = self.missed.remove(&key);
            // Unless it was heard here meanwhile.
            let held = entry::local(registry, &key).filter(|(.., handle)| registry.is_held(*handle));
            match (held, missed) {
                (Some(_), _) if alive => registry.unshare(&key, now),
                (Some((own, ..)), Some(missed)) => self.miss(registry, key, &own, missed.lease),
                _ => {}
            }
        }
    }

    /// Whose entries vanished with this lease before we asked about it.
    fn asked_about(&self, id: u64) -> Vec<Key> {
        let asked = self.missed.iter().filter(|(_, missed)| missed.lease == id && missed.asked && missed.until.is_none());
        asked.map(|(key, _)| key.clone()).collect()
    }

    /// An instance stays as long as whoever hears it may take to write it again: a lease.
    fn miss(&mut self, registry: &mut Registry, key: Key, own: &Registration, lease: u64) {
        let lasts = own.lease.map_or(0, |lease| micros(lease.ttl).saturating_add(micros(lease.grace)));
        let until = Timestamp::clamped(registry.now().as_micros().saturating_add(lasts.max(WAIT)));
        self.missed.insert(key, Missed { lease, asked: false, until: Some(until) });
    }

    /// Nobody has written again whom we missed.
    pub(super) fn miss_no_more(&mut self, registry: &mut Registry) {
        let now = registry.now();
        let over = |(key, missed): (&Key, &Missed)| missed.until.is_some_and(|until| until <= now).then(|| key.clone());
        let over: Vec<Key> = self.missed.iter().filter_map(over).collect();
        if over.is_empty() {
            return;
        }
        for key in over {
            self.missed.remove(&key);
            let is_unheard = entry::local(registry, &key).is_some_and(|(.., handle)| registry.is_held(handle));
            if is_unheard && !self.held.contains_key(&Name::Instance(key.clone())) {
                registry.unshare(&key, now);
            }
        }
        self.finish(registry);
    }

    /// The engine has ended a lease that we kept alive, and removes what hangs on it.
    fn lose(&mut self, registry: &mut Registry, id: u64) {
        let hanging = self.held.iter().filter(|(_, held)| held.lease == id).filter_map(|(name, _)| match name {
            Name::Instance(key) => Some(key.clone()),
            _ => None,
        });
        let missed = self.missed.iter().filter(|(_, missed)| missed.lease == id).map(|(key, _)| key.clone());
        let keys: BTreeSet<Key> = hanging.chain(missed).collect();
        let since = self.kept.saturating_add(1);
        for key in keys {
            let is_gone = self.missed.remove(&key).is_some();
            let Some((own, _, handle)) = entry::local(registry, &key) else { continue };
            let name = Name::Instance(key.clone());
            if registry.was_heard(handle) {
                self.wait(name, Why::Heard, since);
                continue;
            }
            if self.waiting.get(&name).is_some_and(|waiting| waiting.why == Why::Heard) {
                self.waiting.remove(&name);
            }
            registry.hold(&key);
            if is_gone {
                self.miss(registry, key, &own, id);
            }
        }
    }

    /// The engine knows less than before: what we know is said again, for those who are not heard any more until a lease has passed.
    fn forget(&mut self, registry: &mut Registry) {
        self.held.clear();
        self.leases.clear();
        self.missed.clear();
        self.gone.clear();
        // An answer that is still to come is another engine's.
        (self.position, self.asked) = (None, None);
        (self.newest, self.past) = (0, 0);
        let since = self.kept.saturating_add(1);
        let names: Vec<Name> = entry::names(registry).collect();
        for name in names {
            if let Name::Instance(key) = &name {
                registry.watch_lease(key);
            }
            let why = if matches!(name, Name::Instance(_)) { Why::Heard } else { Why::Ended };
            self.wait(name, why, since);
        }
    }
}

/// Whether one says no more than how the other is, and in which life.
fn is_report(one: &Registration, other: &Registration) -> bool {
    Registration { health: other.health, incarnation: other.incarnation, ..one.clone() } == *other
}

/// The engine has nothing under a name.
fn remove(registry: &mut Registry, name: &Name) {
    let now = registry.now();
    // What a word cannot be refused is its end.
    match name {
        Name::Instance(key) => registry.unshare(key, now),
        Name::Override(key) => drop(registry.share_admin(key, None, now)),
        Name::Query((namespace, name)) => drop(registry.share_query([namespace, name], None, now)),
    }
}
