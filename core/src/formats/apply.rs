//! From what a payload says to the records of its source.

use alloc::string::String;
use alloc::vec::Vec;

use super::parts::Parts;
use super::recall::{Read, Rest, Taken};
use super::{Coverage, Decoded, Entry, FeedConfig};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Health, Override};
use crate::registry::{Extent, Listing, Reconciled, Registry, Skipped};
use crate::time::Timestamp;

/// Makes the records of the source what a payload says: what was read of it, and the rest that was known. Tells what has become of what was read.
pub(super) fn apply(
    registry: &mut Registry,
    feed: &FeedConfig,
    parts: &mut Parts,
    mut decoded: Decoded,
    rest: &mut Rest,
    now: Timestamp,
) -> Result<(Reconciled, Read), Error> {
    let service = match feed.format.coverage() {
        Coverage::Service => Some(service(feed, &decoded)?),
        Coverage::Services => feed.service.clone(),
        Coverage::Names => {
            let done = Reconciled { skipped: decoded.skipped, revision: registry.revision(), ..Reconciled::default() };
            return Ok((done, Read::default()));
        }
    };
    let mut read = Read {
        clean: decoded.extent != Extent::Part && decoded.skipped_total == 0 && decoded.removed.is_empty() && !decoded.fake_health,
        parts: decoded.parts.iter().map(|part| (part.key.clone(), 0)).collect(),
        ..Read::default()
    };
    for entry in &decoded.instances {
        read.parts.get_mut(entry.part).into_iter().for_each(|(_, names)| *names = names.saturating_add(1));
    }
    let places: Vec<(usize, usize)> = decoded.instances.iter().map(|entry| (entry.index, entry.part)).collect();
    rest.place(&mut decoded.instances);
    let mut same = core::mem::take(&mut rest.same);
    let plain = parts.is_empty() && decoded.parts.is_empty();
    for name in parts.merge(&mut decoded, &rest.parts) {
        match registry.lookup(&feed.namespace, &name.0, &name.1).filter(|handle| registry.stands(*handle, rest.revision)) {
            Some(handle) => same.push(handle),
            None => decoded.instances.extend(parts.best(&name)),
        }
    }
    let asked = |entry: &Entry| {
        feed.format.coverage() == Coverage::Service || service.as_ref().is_none_or(|own| *own == entry.registration.service)
    };
    let mut entries: Vec<Entry> = decoded.instances.into_iter().filter(asked).collect();
    if decoded.fake_health {
        entries.iter_mut().for_each(|entry| keep_health(registry, feed, entry));
    }
    let words: Vec<(usize, AdminState)> = entries.iter().map(|entry| (entry.index, entry.admin)).collect();
    let listing = Listing {
        source: feed.source.clone(),
        namespace: feed.namespace.clone(),
        service,
        instances: entries.into_iter().map(|entry| entry.registration).collect(),
        same,
        removed: decoded.removed,
        kept: decoded.kept,
        unread: Vec::new(),
        extent: decoded.extent,
    };
    let before = registry.revision();
    let mut outcome = registry.reconcile(&listing, now)?;
    // What the registry does not take is told by its place in the payload, not in the listing.
    for skipped in &mut outcome.skipped {
        skipped.index = words.get(skipped.index).map_or(skipped.index, |(index, _)| *index);
    }
    let (obeyed, refused) = obey(registry, &listing, &words, before, now);
    outcome.updated = outcome.updated.saturating_add(obeyed);
    outcome.skipped.extend(refused);
    outcome.skipped.extend(decoded.skipped);
    outcome.skipped.sort_by_key(|skipped| skipped.index);
    outcome.revision = registry.revision();
    read.clean &= outcome.skipped.is_empty() && listing.instances.iter().all(|own| own.lease.is_none());
    if plain && read.clean && places.len() == listing.instances.len() {
        for ((index, part), own) in places.into_iter().zip(&listing.instances) {
            let handle = registry.lookup(&listing.namespace, &own.service, &own.id);
            read.instances.extend(handle.map(|handle| Taken { index, part, handle }));
        }
    }
    Ok((outcome, read))
}

/// The service that the payload of a format of one service is about.
fn service(feed: &FeedConfig, decoded: &Decoded) -> Result<String, Error> {
    let named = || decoded.instances.first().map(|entry| entry.registration.service.clone());
    let service = feed.service.clone().or_else(named);
    service.ok_or_else(|| Error::new(Code::MissingField, "service").message("an empty payload does not name its service"))
}

/// The source says of all that they are healthy: that of those on record stands, and that of the others is not known.
fn keep_health(registry: &Registry, feed: &FeedConfig, entry: &mut Entry) {
    let own = &mut entry.registration;
    let known = registry.lookup(&feed.namespace, &own.service, &own.id).and_then(|handle| registry.instance(handle));
    own.health = known.filter(|known| known.source == feed.source).map_or(Health::Unknown, |known| known.registration.health);
}

/// Lets the operator's word here be what it is there, save where there is one of our own. Tells how many records that have not changed
/// since `before` this changes, and what could not be taken over.
fn obey(registry: &mut Registry, listing: &Listing, words: &[(usize, AdminState)], before: u64, now: Timestamp) -> (u32, Vec<Skipped>) {
    let (mut obeyed, mut skipped) = (0u32, Vec::new());
    let source = listing.source.as_str();
    if words.iter().all(|(_, state)| *state == AdminState::Enabled) && !registry.has_overrides() {
        return (obeyed, skipped);
    }
    let reason: String = alloc::format!("told by {source}").chars().take(limits::REASON_BYTES).collect();
    for (registration, (index, state)) in listing.instances.iter().zip(words) {
        let (service, id) = (&registration.service, &registration.id);
        let Some(instance) = registry.lookup(&listing.namespace, service, id).and_then(|handle| registry.instance(handle)) else {
            continue;
        };
        let ours = instance.admin.as_ref().is_some_and(|own| own.reason != reason);
        if instance.source == source && !ours && instance.admin_state() != *state {
            let unchanged = instance.revision <= before;
            let word = Override { state: *state, until: None, reason: reason.clone() };
            let word = (*state != AdminState::Enabled).then_some(word);
            match registry.set_admin(&listing.namespace, service, id, word, now) {
                Ok(_) => obeyed = obeyed.saturating_add(u32::from(unchanged)),
                Err(error) => skipped.push(Skipped { index: *index, id: id.clone(), error }),
            }
        }
    }
    (obeyed, skipped)
}
