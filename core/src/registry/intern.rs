//! Values that many records share, kept once and counted: texts, facets, sets of facets, profiles, kinds of endpoints.

use alloc::boxed::Box;
use alloc::string::String;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::facet::{Facet, Marks};
use super::pool::Pool;
use crate::model::{Endpoint, Lease, Locality, Metadata, Registration, Tags, Version, Weight};
use crate::time::micros;

/// Folds parts into one hash; the seed of each part is the hash of those before, so that borders count.
pub(super) fn chain<'a>(seed: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    parts.into_iter().fold(seed, |hash, part| xxh3_64_with_seed(part, hash.wrapping_add(part.len() as u64)))
}

fn numbers<const N: usize>(seed: u64, numbers: [u64; N]) -> u64 {
    xxh3_64_with_seed(numbers.map(u64::to_le_bytes).as_flattened(), seed)
}

/// What is asked for together and differs in few ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) version: u32,
    pub(super) tags: u32,
    /// Thousandths.
    pub(super) weight: u32,
    /// Microseconds; 0 without a lease.
    pub(super) ttl: u64,
    pub(super) grace: u64,
}

impl Profile {
    pub(super) fn lease(&self) -> Option<Lease> {
        let span = core::time::Duration::from_micros;
        (self.ttl > 0).then(|| Lease { ttl: span(self.ttl), grace: span(self.grace) })
    }
}

/// What endpoints of many instances have alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PortKind {
    pub(super) name: String,
    pub(super) scheme: String,
    pub(super) secure: bool,
}

/// What a record shares, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) metadata: u32,
    pub(super) locality: u32,
    pub(super) profile: u32,
}

/// All that records share.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    seed: u64,
    texts: Pool<Box<str>>,
    pub(super) facets: Pool<Facet>,
    /// Facets in order of their keys.
    pub(super) metadata: Pool<Box<[u32]>>,
    /// Facets in order of the tags.
    pub(super) tags: Pool<Box<[u32]>>,
    /// Facets of region, zone, sub-zone, node; 0 for one that is not known.
    pub(super) localities: Pool<[u32; 4]>,
    pub(super) versions: Pool<Option<Version>>,
    pub(super) profiles: Pool<Profile>,
    pub(super) kinds: Pool<PortKind>,
}

impl Pools {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            texts: Pool::new(),
            facets: Pool::new(),
            metadata: Pool::new(),
            tags: Pool::new(),
            localities: Pool::new(),
            versions: Pool::new(),
            profiles: Pool::new(),
            kinds: Pool::new(),
        }
    }

    /// Takes one use of everything a registration shares, endpoints apart.
    pub(super) fn acquire(&mut self, registration: &Registration) -> Shared {
        let Registration { tags, version, weight, lease, .. } = registration;
        Shared {
            metadata: self.acquire_metadata(&registration.metadata),
            locality: self.acquire_locality(&registration.locality),
            profile: self.acquire_profile(tags, version.as_ref(), *weight, *lease),
        }
    }

    /// Gives it up.
    pub(super) fn release(&mut self, shared: Shared) {
        self.release_metadata(shared.metadata);
        self.release_locality(shared.locality);
        self.release_profile(shared.profile);
    }

    fn release_metadata(&mut self, number: u32) {
        if let Some(facets) = self.metadata.release(number) {
            facets.iter().for_each(|facet| self.release_facet(*facet));
        }
    }

    fn release_locality(&mut self, number: u32) {
        if let Some(facets) = self.localities.release(number) {
            facets.iter().for_each(|facet| self.release_facet(*facet));
        }
    }

    fn release_profile(&mut self, number: u32) {
        if let Some(profile) = self.profiles.release(number) {
            self.versions.release(profile.version);
            self.release_tags(profile.tags);
        }
    }

    fn release_tags(&mut self, number: u32) {
        if let Some(facets) = self.tags.release(number) {
            facets.iter().for_each(|facet| self.release_facet(*facet));
        }
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number).map_or("", |text| text)
    }

    fn find_text(&self, text: &str) -> Option<u32> {
        if text.is_empty() {
            return Some(0);
        }
        self.texts.find(xxh3_64_with_seed(text.as_bytes(), self.seed), |own| **own == *text)
    }

    fn acquire_text(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        self.texts.find_or_add(xxh3_64_with_seed(text.as_bytes(), self.seed), |own| **own == *text, || text.into())
    }

    /// The facet of a key, which is a text or one of those of [`Facet`], and a value, if any record has it.
    pub(super) fn find_facet(&self, key: u32, value: &str) -> Option<u32> {
        let value = self.find_text(value)?;
        self.facets.find(numbers(self.seed, [key.into(), value.into()]), |own| own.is(key, value))
    }

    /// The number of a metadata key, if any record has it.
    pub(super) fn find_key(&self, key: &str) -> Option<u32> {
        self.find_text(key).filter(|key| *key != 0)
    }

    fn acquire_facet(&mut self, key: u32, value: &str) -> u32 {
        let value = self.acquire_text(value);
        let hash = numbers(self.seed, [key.into(), value.into()]);
        let found = self.facets.find(hash, |own| own.is(key, value));
        match found {
            Some(found) => {
                // The facet holds its texts once.
                self.texts.release(value);
                if !Facet::is_reserved(key) {
                    self.texts.release(key);
                }
                self.facets.keep(found);
                found
            }
            None => self.facets.add(hash, Facet::new(key, value)),
        }
    }

    fn release_facet(&mut self, number: u32) {
        if let Some(facet) = self.facets.release(number) {
            self.texts.release(facet.value);
            if !Facet::is_reserved(facet.key) {
                self.texts.release(facet.key);
            }
        }
    }

    /// The text a facet's value is.
    pub(super) fn value(&self, facet: u32) -> &str {
        self.facets.get(facet).map_or("", |facet| self.text(facet.value))
    }

    /// The text of a metadata facet's key.
    pub(super) fn key(&self, facet: u32) -> &str {
        self.facets.get(facet).map_or("", |facet| self.text(facet.key))
    }

    pub(super) fn acquire_metadata(&mut self, metadata: &Metadata) -> u32 {
        if metadata.is_empty() {
            return 0;
        }
        let hash = chain(self.seed, metadata.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]));
        let same = |own: &[u32]| {
            own.len() == metadata.len()
                && own.iter().zip(metadata.iter()).all(|(facet, (key, value))| self.key(*facet) == key && self.value(*facet) == value)
        };
        if let Some(found) = self.metadata.find(hash, |own| same(own)) {
            self.metadata.keep(found);
            return found;
        }
        let facets = metadata.iter().map(|(key, value)| self.acquire_pair(key, value)).collect();
        self.metadata.add(hash, facets)
    }

    /// One use of a metadata pair that is valid.
    pub(super) fn acquire_pair(&mut self, key: &str, value: &str) -> u32 {
        let key = self.acquire_text(key);
        self.acquire_facet(key, value)
    }

    /// One use of the set of these facets, which are pairs in order of their keys, for one use of each.
    pub(super) fn acquire_set(&mut self, facets: &[u32]) -> u32 {
        if facets.is_empty() {
            return 0;
        }
        let texts = facets.iter().flat_map(|facet| [self.key(*facet).as_bytes(), self.value(*facet).as_bytes()]);
        let hash = chain(self.seed, texts);
        let Some(found) = self.metadata.find(hash, |own| **own == *facets) else { return self.metadata.add(hash, facets.into()) };
        self.metadata.keep(found);
        facets.iter().for_each(|facet| self.release_facet(*facet));
        found
    }

    fn acquire_tags(&mut self, tags: &Tags) -> u32 {
        if tags.is_empty() {
            return 0;
        }
        let hash = chain(self.seed, tags.iter().map(str::as_bytes));
        let same =
            |own: &[u32]| own.len() == tags.iter().count() && own.iter().zip(tags.iter()).all(|(facet, tag)| self.value(*facet) == tag);
        if let Some(found) = self.tags.find(hash, |own| same(own)) {
            self.tags.keep(found);
            return found;
        }
        let facets = tags.iter().map(|tag| self.acquire_facet(Facet::TAG, tag)).collect();
        self.tags.add(hash, facets)
    }

    pub(super) fn acquire_locality(&mut self, locality: &Locality) -> u32 {
        if locality.is_empty() {
            return 0;
        }
        let parts = locality.parts().map(|(_, part)| part);
        let hash = chain(self.seed, parts.map(str::as_bytes));
        let same = |own: &[u32; 4]| own.iter().zip(parts).all(|(facet, part)| self.value(*facet) == part);
        if let Some(found) = self.localities.find(hash, same) {
            self.localities.keep(found);
            return found;
        }
        let mut facets = [0; 4];
        for ((facet, part), key) in facets.iter_mut().zip(parts).zip(Facet::PLACES) {
            if !part.is_empty() {
                *facet = self.acquire_facet(key, part);
            }
        }
        self.localities.add(hash, facets)
    }

    fn acquire_version(&mut self, version: Option<&Version>) -> u32 {
        let Some(version) = version else { return 0 };
        let parts = version.as_semver();
        let hash = numbers(self.seed, [parts.major, parts.minor, parts.patch]);
        let hash = chain(hash, [parts.pre.as_bytes(), parts.build.as_bytes()]);
        self.versions.find_or_add(hash, |own| own.as_ref() == Some(version), || Some(version.clone()))
    }

    pub(super) fn acquire_profile(&mut self, tags: &Tags, version: Option<&Version>, weight: Weight, lease: Option<Lease>) -> u32 {
        let profile = Profile {
            version: self.acquire_version(version),
            tags: self.acquire_tags(tags),
            weight: weight.thousandths(),
            ttl: lease.map_or(0, |lease| micros(lease.ttl)),
            grace: lease.map_or(0, |lease| micros(lease.grace)),
        };
        let Profile { version, tags, weight, ttl, grace } = profile;
        let hash = numbers(self.seed, [version.into(), tags.into(), weight.into(), ttl, grace]);
        if let Some(found) = self.profiles.find(hash, |own| *own == profile) {
            self.profiles.keep(found);
            // The profile holds its version and tags once.
            self.versions.release(version);
            self.tags.release(tags);
            return found;
        }
        self.profiles.add(hash, profile)
    }

    #[inline]
    pub(super) fn profile(&self, number: u32) -> Profile {
        self.profiles.get(number).copied().unwrap_or_default()
    }

    /// The number of what an endpoint has in common with others, with one more user.
    pub(super) fn acquire_kind(&mut self, name: &str, scheme: &str, secure: bool) -> u32 {
        let hash = chain(self.seed, [name.as_bytes(), scheme.as_bytes(), &[u8::from(secure)]]);
        let same = |own: &PortKind| own.scheme == scheme && own.name == name && own.secure == secure;
        self.kinds.find_or_add(hash, same, || PortKind { name: name.into(), scheme: scheme.into(), secure })
    }

    pub(super) fn release_kind(&mut self, number: u32) {
        self.kinds.release(number);
    }

    pub(super) fn metadata_of(&self, number: u32) -> Metadata {
        let facets = self.metadata.get(number).map_or(&[][..], |facets| facets);
        // What was taken from a metadata makes one again.
        Metadata::new(facets.iter().map(|facet| (self.key(*facet), self.value(*facet)))).unwrap_or_default()
    }

    pub(super) fn tags_of(&self, number: u32) -> impl Iterator<Item = &str> {
        self.tags.get(number).map_or(&[][..], |facets| facets).iter().map(|facet| self.value(*facet))
    }

    pub(super) fn places_of(&self, number: u32) -> [&str; 4] {
        self.localities.get(number).copied().unwrap_or_default().map(|facet| self.value(facet))
    }

    pub(super) fn version_of(&self, number: u32) -> Option<&Version> {
        self.versions.get(number)?.as_ref()
    }

    pub(super) fn endpoint(&self, packed: super::blob::Packed) -> Option<Endpoint> {
        let PortKind { name, scheme, secure } = self.kinds.get(packed.kind)?.clone();
        Some(Endpoint { name, scheme, host: packed.host, port: packed.port, secure })
    }

    /// Bytes of heap in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let sizes = [
            self.texts.heap_bytes(|text| text.len()),
            self.facets.heap_bytes(|facet| facet.marks.as_ref().map_or(0, Marks::heap_bytes)),
            self.metadata.heap_bytes(|facets| size_of_val(&**facets)),
            self.tags.heap_bytes(|facets| size_of_val(&**facets)),
            self.localities.heap_bytes(|_| 0),
            self.versions.heap_bytes(|_| 0),
            self.profiles.heap_bytes(|_| 0),
            self.kinds.heap_bytes(|kind| kind.name.capacity().saturating_add(kind.scheme.capacity())),
        ];
        sizes.into_iter().fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use std::format;

    fn registration(number: u32) -> Registration {
        let mut registration = Registration::new("s", "i")
            .metadata([("env", format!("e{number}")), ("tier", "web".into()), ("empty", String::new())])
            .and_then(|r| r.tags([format!("t{number}"), "shared".into()]))
            .and_then(|r| r.version(&format!("1.{number}.0-rc.1+b{number}")))
            .and_then(|r| r.weight(f64::from(number) + 0.5))
            .and_then(|r| r.lease(Duration::from_secs(30), Duration::from_secs(3)))
            .unwrap()
            .zone(format!("z{number}"));
        registration.locality.node = "n".into();
        registration
    }

    #[test]
    fn what_is_shared_comes_back() {
        let mut pools = Pools::new(1);
        let full = registration(1);
        let one = pools.acquire(&full);
        let none = pools.acquire(&Registration::new("s", "i"));
        let profile = pools.profile(one.profile);
        assert_eq!(pools.metadata_of(one.metadata), full.metadata);
        assert!(pools.tags_of(profile.tags).eq(full.tags.iter()));
        assert_eq!(pools.places_of(one.locality), ["", "z1", "", "n"]);
        assert_eq!((pools.version_of(profile.version), profile.lease()), (full.version.as_ref(), full.lease));
        assert_eq!((none.metadata, none.locality, pools.profile(none.profile).lease()), (0, 0, None));
        assert_eq!(pools.acquire(&full), one);
        assert_eq!((pools.metadata.len(), pools.profiles.len(), pools.versions.len()), (1, 2, 1));
        let env = pools.find_key("env").unwrap();
        assert!(pools.find_facet(env, "e1").is_some() && pools.find_facet(env, "n").is_none());
    }

    #[test]
    fn churn_of_unique_values_does_not_grow() {
        let mut pools = Pools::new(1);
        let mut held = pools.acquire(&registration(0));
        let mut peak = 0;
        for number in 1..10_000 {
            let next = pools.acquire(&registration(number));
            // Another that says the same comes and goes.
            let same = pools.acquire(&registration(number));
            pools.release(same);
            pools.release(held);
            held = next;
            peak = peak.max(pools.heap_bytes());
        }
        assert!(peak < 8_192, "{peak}");
        pools.release(held);
        assert_eq!((pools.texts.len(), pools.facets.len(), pools.metadata.len(), pools.tags.len()), (0, 0, 0, 0));
        assert_eq!((pools.localities.len(), pools.versions.len(), pools.profiles.len()), (0, 0, 0));
    }

    #[test]
    fn a_set_is_there_while_anybody_uses_it() {
        let mut pools = Pools::new(1);
        let [one, other] = [(); 2].map(|()| {
            let pair = pools.acquire_pair("env", "prod");
            pools.acquire_set(&[pair])
        });
        assert_eq!(one, other);
        pools.release_metadata(one);
        assert_eq!(pools.metadata_of(other).get("env"), Some("prod"));
        pools.release_metadata(other);
        assert_eq!((pools.texts.len(), pools.facets.len(), pools.metadata.len()), (0, 0, 0));
    }
}
