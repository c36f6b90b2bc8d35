//! What the engine says, taken into the registry: who wins, by the rules at [`replica`](super).

use alloc::string::String;

use super::*;
use crate::model::{Override, Registration};
use crate::registry::Op;

impl Replica {
    /// A page of a listing. At its end, what the engine no longer has is gone.
    pub(super) fn listed(&mut self, registry: &mut Registry, revision: u64, kvs: Vec<Kv>, more: bool, told: &mut Told) {
        told.again = true;
        let mut listing = self.listing.take().unwrap_or_else(|| Listing { revision, last: Vec::new(), names: BTreeSet::new() });
        if self.position.is_some_and(|position| listing.revision < position) {
            self.forget(registry);
        }
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
        (self.position, self.relist, self.current) = (Some(listing.revision), false, true);
    }

    /// What stands under a key, or that it is gone; whose, if it is one of ours.
    pub(super) fn take(&mut self, registry: &mut Registry, kv: Kv, told: &mut Told) -> Option<Name> {
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        let own = key.strip_prefix(self.settings.prefix.as_str()).unwrap_or(&key);
        let name = entry::name(own).map(|(is_override, key)| Name { kind: if is_override { Kind::Override } else { Kind::Instance }, key });
        let Some(name) = name else {
            // That of a server that had the engine for itself.
            if own != entry::REGISTRY && !kv.gone {
                told.skipped.push(entry::unread(own));
            }
            return None;
        };
        let known = self.held.get(&name).map(|held| held.revision).max(self.gone.get(&name).copied());
        if known.is_some_and(|known| known >= kv.revision) {
            return Some(name);
        }
        if kv.gone {
            self.take_gone(registry, &name, kv.revision);
            return Some(name);
        }
        let before = self.held.get(&name).copied();
        let mut held = Held { revision: kv.revision, print: 0, incarnation: before.map_or(0, |held| held.incarnation), lease: kv.lease };
        let read = match entry::read(own, &kv.value, registry.now()) {
            Ok(op) => op,
            Err(error) => {
                told.skipped.push(Unread::new(own, error));
                self.held.insert(name.clone(), held);
                return Some(name);
            }
        };
        let taken = match read {
            Op::Register { registration, .. } => {
                (held.print, held.incarnation) = (entry::print_of(&registration), registration.incarnation);
                self.held.insert(name.clone(), held);
                self.doubted.remove(&name.key);
                self.take_instance(registry, &name, &registration, held, before)
            }
            Op::SetAdmin { admin, .. } => {
                held.print = admin.as_ref().map_or(0, entry::print_of_admin);
                self.held.insert(name.clone(), held);
                self.take_override(registry, &name, admin, held)
            }
            _ => Ok(()),
        };
        if let Err(error) = taken {
            told.skipped.push(Unread::new(own, error));
        }
        Some(name)
    }

    fn take_instance(
        &mut self,
        registry: &mut Registry,
        name: &Name,
        own: &Registration,
        held: Held,
        before: Option<Held>,
    ) -> Result<(), Error> {
        let now = registry.now();
        let mine = held.lease != 0 && self.leases.values().any(|lease| lease.id == held.lease);
        let ours = registry.lookup(&name.key.namespace, &name.key.service, &name.key.id).and_then(|handle| registry.local(handle));
        let is_newer = |incarnation: u64| own.incarnation > incarnation;
        let is_other = before.is_none_or(|before| before.print != held.print);
        let late = self.waiting.get(name).is_some_and(|waiting| waiting.late && is_other && !mine);
        let gives_way = match (self.waiting.get(name).map(|waiting| waiting.why), &ours) {
            // An answer that we never got: what we have said since, or never said, is not known there.
            (None, None) if mine => {
                self.wait(name.clone(), Why::Left, self.kept.saturating_add(1));
                return Ok(());
            }
            (None, Some(_)) if mine => return Ok(()),
            (None, _) => true,
            (Some(Why::Said | Why::Again | Why::Heard), Some(ours)) if mine => is_newer(ours.incarnation),
            (Some(Why::Said | Why::Again), Some(ours)) => late || is_newer(ours.incarnation),
            (Some(Why::Report), Some(ours)) => {
                if is_newer(ours.incarnation) && !mine {
                    true
                } else {
                    let there = Registration { health: ours.health, incarnation: ours.incarnation.max(own.incarnation), ..own.clone() };
                    self.unask(name);
                    let is_ours = mine
                        || !registry
                            .lookup(&name.key.namespace, &name.key.service, &name.key.id)
                            .is_some_and(|handle| registry.is_held(handle));
                    return registry.share(&there, !is_ours, now);
                }
            }
            (Some(Why::Left), _) => late || is_newer(before.map_or(0, |before| before.incarnation)),
            (Some(Why::Expired), _) => !mine,
            _ => true,
        };
        if !gives_way {
            // Unless it is our own, told before the answer to it.
            if ours.as_ref().map(entry::print_of) != Some(held.print) {
                self.unask(name);
            }
            return Ok(());
        }
        self.waiting.remove(name);
        registry.share(own, held.lease != 0, now)?;
        if own.lease.is_some() && held.lease == 0 {
            // Nobody watches it.
            self.wait(name.clone(), Why::Heard, self.kept.saturating_add(1));
        }
        Ok(())
    }

    fn take_override(&mut self, registry: &mut Registry, name: &Name, admin: Option<Override>, held: Held) -> Result<(), Error> {
        if self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Word && !waiting.late) {
            // Unless it is our own, told before the answer to it.
            if registry.admin(&name.key).map(entry::print_of_admin) != Some(held.print) {
                self.unask(name);
            }
            return Ok(());
        }
        self.waiting.remove(name);
        let now = registry.now();
        registry.share_admin(&name.key, admin, now)
    }

    pub(super) fn take_gone(&mut self, registry: &mut Registry, name: &Name, revision: u64) {
        let Some(before) = self.held.get(name).copied().filter(|held| held.revision <= revision) else { return };
        self.held.remove(name);
        let now = registry.now();
        match self.waiting.get(name).map(|waiting| (waiting.why, waiting.late)) {
            Some((Why::Heard, _) | (Why::Said | Why::Again | Why::Word, false)) => return self.unask(name),
            Some((Why::Left | Why::Expired, _)) => {
                self.waiting.remove(name);
                return;
            }
            Some(_) | None => {
                self.waiting.remove(name);
            }
        }
        match name.kind {
            // What an override cannot be refused is its end.
            Kind::Override => drop(registry.share_admin(&name.key, None, now)),
            Kind::Instance if before.lease != 0 && self.leases.values().any(|lease| lease.id == before.lease) => {
                self.doubted.insert(name.key.clone(), (before.lease, false));
            }
            Kind::Instance => registry.unshare(&name.key, now),
        }
    }

    /// What is under way says something else than is so now.
    fn unask(&mut self, name: &Name) {
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.asked = false;
        }
    }

    /// What became of what we wrote.
    pub(super) fn written(&mut self, registry: &mut Registry, sent: Vec<(Name, Option<Held>)>, outcome: Outcome, told: &mut Told) {
        match outcome {
            Outcome::Done { revision } => {
                for (name, held) in sent {
                    if self.held.get(&name).is_none_or(|now| now.revision < revision) {
                        match held {
                            Some(held) => {
                                self.held.insert(name.clone(), Held { revision, ..held });
                                // What hangs on a lease of ours ends when we say so.
                                if self.leases.values().any(|lease| lease.id == held.lease) {
                                    registry.watch_lease(&name.key);
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
                for ((name, _), kv) in sent.iter().zip(kvs) {
                    match kv {
                        Some(kv) => drop(self.take(registry, kv, told)),
                        None => self.take_gone(registry, name, revision),
                    }
                    if let Some(waiting) = self.waiting.get_mut(name) {
                        (waiting.asked, waiting.unsure) = (false, false);
                    }
                }
            }
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
        let doubted = |(key, (lease, asked)): (&Key, &(u64, bool))| (*lease == id && *asked).then(|| key.clone());
        let removed: Vec<Key> = self.doubted.iter().filter_map(doubted).collect();
        for key in removed {
            self.doubted.remove(&key);
            registry.unshare(&key, now);
        }
    }

    /// The engine has ended a lease that we kept alive, and removes what hangs on it.
    fn lose(&mut self, registry: &mut Registry, id: u64) {
        let now = registry.now();
        let hanging =
            self.held.iter().filter(|(name, held)| name.kind == Kind::Instance && held.lease == id).map(|(name, _)| name.key.clone());
        let doubted = self.doubted.iter().filter(|(_, (lease, _))| *lease == id).map(|(key, _)| key.clone());
        let keys: BTreeSet<Key> = hanging.chain(doubted).collect();
        let since = self.kept.saturating_add(1);
        for key in keys {
            let is_gone = self.doubted.remove(&key).is_some();
            let Some(handle) = registry.lookup(&key.namespace, &key.service, &key.id) else { continue };
            let name = Name { kind: Kind::Instance, key };
            if registry.was_heard(handle) {
                self.wait(name, Why::Heard, since);
                continue;
            }
            if self.waiting.get(&name).is_some_and(|waiting| waiting.why == Why::Heard) {
                self.waiting.remove(&name);
            }
            if is_gone {
                registry.unshare(&name.key, now);
            } else {
                registry.hold(&name.key);
            }
        }
    }

    /// The engine knows less than before: what we know is said again, for those who are not heard any more until a lease has passed.
    fn forget(&mut self, registry: &mut Registry) {
        self.held.clear();
        self.leases.clear();
        self.doubted.clear();
        self.gone.clear();
        // An answer that is still to come is another engine's.
        (self.position, self.asked) = (None, None);
        let since = self.kept.saturating_add(1);
        let keys: Vec<Key> = registry.locals().map(|own| Key::of(&own)).collect();
        for key in keys {
            registry.watch_lease(&key);
            self.wait(Name { kind: Kind::Instance, key }, Why::Heard, since);
        }
        let words: Vec<Key> = registry.admins().map(|([namespace, service, id], _)| Key::new(namespace, service, id)).collect();
        for key in words {
            self.wait(Name { kind: Kind::Override, key }, Why::Ended, since);
        }
    }
}
