//! What there is to say to the engine.

use super::*;
use crate::registry::{Cause, Changes, Position, Touch};

impl Replica {
    /// Notes what has changed in the registry and is ours to say.
    pub(super) fn collect(&mut self, registry: &mut Registry) {
        let since = self.mark.map_or(0, |mark| mark.edition).saturating_add(1);
        for key in registry.take_heard() {
            self.wait(Name { kind: Kind::Instance, key }, Why::Heard, since);
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

    /// Everything that is other than the engine has it.
    fn collect_all(&mut self, registry: &Registry, since: u64) {
        let mut there = BTreeSet::new();
        for own in registry.locals() {
            let name = Name { kind: Kind::Instance, key: Key::of(&own) };
            if self.held.get(&name).is_none_or(|held| held.print != entry::print_of(&own)) {
                self.wait(name.clone(), Why::Said, since);
            }
            there.insert(name);
        }
        for ([namespace, service, id], own) in registry.admins() {
            let name = Name { kind: Kind::Override, key: Key::new(namespace, service, id) };
            if self.held.get(&name).is_none_or(|held| held.print != entry::print_of_admin(own)) {
                self.wait(name.clone(), Why::Word, since);
            }
            there.insert(name);
        }
        let missing: Vec<Name> = self.held.keys().filter(|name| !there.contains(name)).cloned().collect();
        for name in missing {
            let why = if name.kind == Kind::Instance { Why::Expired } else { Why::Ended };
            self.wait(name, why, since);
        }
    }

    pub(super) fn wait(&mut self, name: Name, why: Why, since: u64) {
        let late = self.settings.queue == 0 && self.is_away();
        let waiting = self.waiting.entry(name).or_insert(Waiting { why, since, asked: false, unsure: false, late });
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
        let doubted = |id: u64| self.doubted.values().any(|(lease, _)| *lease == id);
        let keeping = self.leases.iter().find(|(ttl, lease)| due(**ttl, lease.told) <= now || doubted(lease.id));
        if let Some((ttl, Kept { id, .. })) = keeping.map(|(ttl, lease)| (*ttl, *lease)) {
            self.doubted.values_mut().filter(|(lease, _)| *lease == id).for_each(|(_, asked)| *asked = true);
            return Some(Next::KeepAlive(ttl, id));
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
                        changes.push(change);
                        sent.push((name, held));
                    }
                }
            }
        }
        if !changes.is_empty() {
            for (name, _) in &sent {
                if let Some(waiting) = self.waiting.get_mut(name) {
                    waiting.asked = true;
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
        let key = entry::spell_of(name.kind == Kind::Override, &name.key);
        let write =
            |value: Option<String>, hang: Hang, held: Option<Held>| Wanted::Write(Change { key: key.clone(), value, since, hang }, held);
        let nothing = || match held {
            None if !unsure => Wanted::Nothing,
            _ => write(None, Hang::AsItDoes, None),
        };
        if name.kind == Kind::Override {
            let Some(own) = registry.admin(&name.key) else { return nothing() };
            let print = entry::print_of_admin(own);
            // Its end may have been put off, or somebody may have said another meanwhile.
            let is_word = self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Word);
            if !is_word && held.is_some_and(|held| held.print == print) {
                return Wanted::Nothing;
            }
            let value = entry::admin_text(own, registry.now());
            return write(Some(value), Hang::Lease(0), Some(Held { revision: 0, print, incarnation: 0, lease: 0 }));
        }
        let handle = registry.lookup(&name.key.namespace, &name.key.service, &name.key.id);
        let Some((handle, own)) = handle.and_then(|handle| Some((handle, registry.local(handle)?))) else { return nothing() };
        let hang = match own.lease.map(entry::lasting) {
            None => Hang::Lease(0),
            Some(_) if registry.is_held(handle) && held.is_some() => Hang::AsItDoes,
            Some(ttl) => match self.leases.get(&ttl) {
                Some(lease) => Hang::Lease(lease.id),
                None => return Wanted::Lease(ttl),
            },
        };
        let print = entry::print_of(&own);
        let hangs = |held: &Held| hang == Hang::AsItDoes || hang == Hang::Lease(held.lease);
        let again = self.waiting.get(name).is_some_and(|waiting| waiting.why == Why::Again);
        if !again && held.is_some_and(|held| held.print == print && hangs(held)) {
            return Wanted::Nothing;
        }
        let lease = match hang {
            Hang::Lease(lease) => lease,
            Hang::AsItDoes => held.map_or(0, |held| held.lease),
        };
        write(Some(entry::text(&own.to_value())), hang, Some(Held { revision: 0, print, incarnation: own.incarnation, lease }))
    }
}

/// What to ask.
pub(super) enum Next {
    KeepAlive(u64, u64),
    Grant(u64),
    Write(Vec<Change>, Vec<(Name, Option<Held>)>),
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
        let (kind, why) = match touch {
            Touch::Word => (Kind::Override, Why::Word),
            Touch::End => (Kind::Override, Why::Ended),
            Touch::Fence => (Kind::Instance, Why::Report),
            Touch::Said => (Kind::Instance, Why::Again),
        };
        all.push((Name { kind, key: key.clone() }, why));
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
        all.push((Name { kind: Kind::Instance, key: Key::new(&*change.namespace, &*change.service, change.id) }, why));
    }
    Some(all)
}
