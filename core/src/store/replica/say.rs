//! What there is to say to the engine.

use super::*;
use crate::registry::{Cause, Changes, Position, Touch};

impl Replica {
    /// Notes what has changed in the registry and is ours to say.
    pub(super) fn collect(&mut self, registry: &mut Registry) {
        let since = self.mark.map_or(0, |mark| mark.edition).saturating_add(1);
        for key in registry.take_heard() {
            self.wait(Name::Instance(key), Why::Heard, since);
        }
        let mark = Mark::of(registry);
        if self.mark != Some(mark) {
            match self.mark.and_then(|held| changed(registry, held)) {
                Some(changed) => changed.into_iter().for_each(|(name, why)| self.wait(name, why, since)),
                None => self.collect_all(registry, since),
            }
            self.mark = Some(mark);
        }
        self.count(registry);
    }

    /// Everything that is other than the engine has it, but what we could not read there and whom we miss.
    fn collect_all(&mut self, registry: &Registry, since: u64) {
        let there: BTreeSet<Name> = entry::names(registry).collect();
        for name in &there {
            let is_missed = matches!(name, Name::Instance(key) if self.missed.contains_key(key));
            let print = self.held.get(name).map(|held| held.print);
            if !is_missed && print != Some(0) && print != entry::says(registry, name).map(|(_, print)| print) {
                self.wait(name.clone(), if matches!(name, Name::Instance(_)) { Why::Said } else { Why::Word }, since);
            }
        }
        let missing = self.held.iter().filter(|(name, held)| held.print != 0 && !there.contains(*name));
        let missing: Vec<Name> = missing.map(|(name, _)| name.clone()).collect();
        for name in missing {
            let why = if matches!(name, Name::Instance(_)) { Why::Expired } else { Why::Ended };
            self.wait(name, why, since);
        }
    }

    pub(super) fn wait(&mut self, name: Name, why: Why, since: u64) {
        let late = self.settings.queue == 0 && self.is_away();
        let waiting = self.waiting.entry(name).or_insert(Waiting { why, since, asked: false, unsure: false, late, token: 0 });
        waiting.asked = false;
        // A renewal says nothing new of who has just signed in or out, nor does a report.
        let adds = match why {
            Why::Heard => true,
            Why::Report => matches!(waiting.why, Why::Said | Why::Again | Why::Left | Why::Expired),
            Why::Again => waiting.why == Why::Said,
            _ => false,
        };
        if !adds {
            (waiting.why, waiting.late) = (why, late);
        }
    }

    pub(super) fn question(&mut self, registry: &Registry, now: Timestamp) -> Option<Next> {
        if self.position.is_none() || now < self.not_before {
            return None;
        }
        let asks = |id: u64| self.missed.values().any(|missed| missed.lease == id && missed.until.is_none());
        let keeping = self.leases.iter().find(|(ttl, lease)| due(**ttl, lease.told) <= now || asks(lease.id));
        let keeping = keeping.map(|(ttl, lease)| (lease.id, Next::KeepAlive(*ttl, lease.id)));
        let looking = self.missed.values().find(|missed| missed.until.is_none()).map(|missed| (missed.lease, Next::Look(missed.lease)));
        if let Some((id, next)) = keeping.or(looking) {
            self.missed.values_mut().filter(|missed| missed.lease == id).for_each(|missed| missed.asked = true);
            return Some(next);
        }
        let (mut changes, mut sent) = (Vec::new(), Vec::new());
        while changes.is_empty() && !self.waiting.is_empty() {
            let names: Vec<Name> = self.waiting.keys().take(AT_ONCE).cloned().collect();
            for name in names {
                match self.wanted(registry, &name) {
                    Wanted::Lease(ttl) => return Some(Next::Grant(ttl)),
                    Wanted::Nothing => {
                        self.waiting.remove(&name);
                    }
                    Wanted::Write(change, held) => {
                        sent.push(Sent { name, since: change.since, held });
                        changes.push(change);
                    }
                }
            }
        }
        if !changes.is_empty() {
            for Sent { name, held, .. } in &sent {
                if let Some(waiting) = self.waiting.get_mut(name) {
                    (waiting.asked, waiting.token) = (true, held.map_or(waiting.token, |held| held.token));
                }
            }
            return Some(Next::Write(changes, sent));
        }
        self.count(registry);
        (now.as_micros() >= self.answered.as_micros().saturating_add(PING)).then_some(Next::Ping)
    }

    /// What the engine should have under a name.
    fn wanted(&self, registry: &Registry, name: &Name) -> Wanted {
        let held = self.held.get(name);
        let since = held.map_or(0, |held| held.revision);
        let unsure = self.waiting.get(name).is_some_and(|waiting| waiting.unsure);
        let key = name.spell();
        let write =
            |value: Option<String>, hang: Hang, held: Option<Held>| Wanted::Write(Change { key: key.clone(), value, since, hang }, held);
        let nothing = || match held {
            None if !unsure => Wanted::Nothing,
            _ => write(None, Hang::AsItDoes, None),
        };
        let Some((value, print)) = entry::says(registry, name) else { return nothing() };
        let Name::Instance(own) = name else {
            // Its end may have been put off, or somebody may have said another meanwhile.
            let is_word = self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Word);
            if !is_word && !unsure && held.is_some_and(|held| held.print == print) {
                return Wanted::Nothing;
            }
            return write(Some(value), Hang::Lease(0), Some(Held { revision: 0, print, incarnation: 0, lease: 0, token: 0 }));
        };
        let Some((own, digest, handle)) = entry::local(registry, own) else { return nothing() };
        let hang = match own.lease.map(entry::lasting) {
            None => Hang::Lease(0),
            Some(_) if registry.is_held(handle) && held.is_some() => Hang::AsItDoes,
            Some(ttl) => match self.leases.get(&ttl) {
                Some(lease) => Hang::Lease(lease.id),
                None => return Wanted::Lease(ttl),
            },
        };
        let hangs = |held: &Held| hang == Hang::AsItDoes || hang == Hang::Lease(held.lease);
        let again = self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Again);
        // What had no answer may be there.
        if !again && !unsure && held.is_some_and(|held| held.print == print && hangs(held)) {
            return Wanted::Nothing;
        }
        let lease = match hang {
            Hang::Lease(lease) => lease,
            Hang::AsItDoes => held.map_or(0, |held| held.lease),
        };
        let token = digest.map_or(0, |digest| digest.part());
        write(Some(value), hang, Some(Held { revision: 0, print, incarnation: own.incarnation, lease, token }))
    }
}

/// What to ask.
pub(super) enum Next {
    KeepAlive(u64, u64),
    Look(u64),
    Grant(u64),
    Write(Vec<Change>, Vec<Sent>),
    Ping,
}

/// What to do for a name.
enum Wanted {
    Nothing,
    /// First a lease of this ttl.
    Lease(u64),
    Write(Change, Option<Held>),
}

/// What of the changes since then is ours to say; none when that cannot be told.
fn changed(registry: &Registry, held: Mark) -> Option<Vec<(Name, Why)>> {
    let Changes::Events { events, .. } = registry.changes(Position { epoch: held.epoch, revision: held.revision }) else { return None };
    let mut all = Vec::new();
    for (key, touch) in registry.touched_since(held.edition.checked_sub(held.revision)?)? {
        let key = key.clone();
        all.push(match touch {
            Touch::Word => (Name::Override(key), Why::Word),
            Touch::End => (Name::Override(key), Why::Ended),
            Touch::Fence => (Name::Instance(key), Why::Report),
            Touch::Said => (Name::Instance(key), Why::Again),
            Touch::Saved => (Name::Query((key.namespace, key.id)), Why::Word),
        });
    }
    for change in events {
        let why = match change.cause {
            Cause::Register => Why::Said,
            Cause::Health => Why::Report,
            Cause::Deregister => Why::Left,
            Cause::Expire => Why::Expired,
            // What is said of it elsewhere, and what others say, is not ours to write.
            Cause::Admin | Cause::Lease | Cause::Reconcile => continue,
        };
        all.push((Name::Instance(Key::new(&*change.namespace, &*change.service, change.id)), why));
    }
    all.extend(registry.saved_since(held.revision)?.into_iter().map(|own| (Name::Query(own.clone()), Why::Word)));
    Some(all)
}
