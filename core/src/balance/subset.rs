//! Which instances a client uses when there are more than it should keep connections to.

use alloc::vec::Vec;

use xxhash_rust::xxh64::xxh64;

use super::settings::{Settings, spell, word};
use crate::error::Error;
use crate::value::Value;

/// A client uses some of the instances only. The choice is made when instances come or go, not when they fall ill: an
/// instance outside it is never picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subset {
    /// How they are chosen.
    pub kind: SubsetKind,
    /// How many: at least 1, default 20; for `aperture` the least width, default 12.
    pub size: u32,
    /// The number of this client among its peers, from 0: for `ring` and `aperture`.
    pub client: u32,
    /// How many clients there are: at least 1. For `aperture`.
    pub clients: u32,
    /// For `random`: give each client its own. Below 2^53 in documents, default 0.
    pub seed: u64,
}

/// How a client's instances are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubsetKind {
    /// `random`: those whose ids hash lowest with the client's seed (rendezvous hashing; gRPC A68). When one comes or goes at
    /// most one is exchanged. Some instances get twice the clients that others get.
    Random,
    /// `ring`: instances and clients stand on a ring at the bits of their numbers reversed, and a client uses those that
    /// follow it (Google's Ringsteady, 2022). All instances have nearly as many clients, and few are exchanged. The number of
    /// an instance ends its id, as in `web-7`; unless all ids end in different numbers it is its place by service and id, and
    /// then a new id in between moves those behind it.
    Ring,
    /// `aperture`: each client uses an arc of a ring that the instances share evenly, and of those at its ends a part (Finagle's
    /// deterministic aperture). All instances have the same load; more are exchanged.
    Aperture,
}

const KINDS: [(&str, SubsetKind); 3] = [("random", SubsetKind::Random), ("ring", SubsetKind::Ring), ("aperture", SubsetKind::Aperture)];

impl Default for Subset {
    fn default() -> Self {
        Self::of(SubsetKind::Random)
    }
}

impl Subset {
    /// A subset of the default size.
    pub const fn of(kind: SubsetKind) -> Self {
        Self { kind, size: if matches!(kind, SubsetKind::Aperture) { 12 } else { 20 }, client: 0, clients: 1, seed: 0 }
    }

    /// Reads `{kind?, size?, client?, clients?, seed?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["kind", "size", "client", "clients", "seed"])?;
        let default = Self::of(word(&KINDS, &settings, "kind", SubsetKind::Random)?);
        Ok(Self {
            kind: default.kind,
            size: settings.count("size", default.size, 1)?,
            client: settings.count("client", default.client, 0)?,
            clients: settings.count("clients", default.clients, 1)?,
            seed: settings.seed("seed")?,
        })
    }

    /// Writes `{kind, size, client, clients, seed}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("kind", Value::from(spell(&KINDS, &self.kind))),
            ("size", u64::from(self.size).into()),
            ("client", u64::from(self.client).into()),
            ("clients", u64::from(self.clients).into()),
            ("seed", self.seed.into()),
        ])
    }

    /// Which part of each instance the client uses, from 0 to 1, by their ids in order of service and id.
    pub(super) fn parts(&self, ids: &[&str]) -> Vec<f64> {
        if let SubsetKind::Aperture = self.kind {
            return self.aperture(ids.len() as u64);
        }
        let mut ranked: Vec<(u64, usize)> = match self.kind {
            SubsetKind::Random => ids.iter().map(|id| xxh64(id.as_bytes(), self.seed)).zip(0..).collect(),
            _ => {
                let start = u64::from(self.client).reverse_bits();
                numbers(ids).into_iter().map(|number| number.reverse_bits().wrapping_sub(start)).zip(0..).collect()
            }
        };
        ranked.sort_unstable();
        let mut parts: Vec<f64> = ids.iter().map(|_| 0.0).collect();
        for (_, place) in ranked.iter().take(self.size as usize) {
            if let Some(part) = parts.get_mut(*place) {
                *part = 1.0;
            }
        }
        parts
    }

    /// The arc of the client. The ring has as many units as there are pairs of a client and an instance.
    fn aperture(&self, count: u64) -> Vec<f64> {
        let clients = u64::from(self.clients.max(1));
        let ring = clients.saturating_mul(count);
        // As many clients' stretches as hold `size` instances.
        let stretches = u64::from(self.size).saturating_mul(clients).div_ceil(count.max(1)).min(clients);
        let begin = u64::from(self.client).checked_rem(clients).unwrap_or_default().saturating_mul(count);
        let end = begin.saturating_add(stretches.saturating_mul(count));
        let overlap = |place: u64, turn: u64| {
            let low = place.saturating_mul(clients).saturating_add(turn);
            low.saturating_add(clients).min(end).saturating_sub(low.max(begin))
        };
        // The arc may run past the end of the ring.
        (0..count).map(|place| overlap(place, 0).saturating_add(overlap(place, ring)) as f64 / clients as f64).collect()
    }
}

/// The numbers that end the ids; their places unless all have one and no two the same.
fn numbers(ids: &[&str]) -> Vec<u64> {
    let number = |id: &&str| {
        let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
        id.get(id.len().saturating_sub(digits)..)?.parse::<u64>().ok()
    };
    let places = || (0u64..).zip(ids).map(|(place, _)| place).collect();
    let Some(numbers) = ids.iter().map(number).collect::<Option<Vec<u64>>>() else { return places() };
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() == numbers.len() { numbers } else { places() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::{format, vec};

    fn chosen(subset: Subset, ids: &[String]) -> Vec<usize> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let parts = subset.parts(&ids);
        parts.iter().enumerate().filter(|(_, part)| **part > 0.0).map(|(place, _)| place).collect()
    }

    fn ids(count: u32) -> Vec<String> {
        (0..count).map(|place| format!("endpoint-{place}")).collect()
    }

    #[test]
    fn random_is_as_the_a68_specification_says() {
        let subset = Subset { size: 5, ..Subset::default() };
        assert_eq!(chosen(subset, &ids(10)), [1, 2, 3, 5, 8]);
        assert_eq!(chosen(subset, &ids(4)), [0, 1, 2, 3]);
        // One that comes takes the place of one, or of none.
        for seed in 0..100 {
            let subset = Subset { size: 5, seed, ..Subset::default() };
            let (before, after) = (chosen(subset, &ids(30)), chosen(subset, &ids(31)));
            assert!(before.iter().filter(|place| !after.contains(place)).count() <= 1);
        }
    }

    /// The examples of flowblok.id.au 2023-08, by an author of the paper.
    #[test]
    fn ring_is_as_its_authors_say() {
        for (count, client, size, expected) in [
            (8, 0, 3, vec![0, 4, 2]),
            (8, 1, 3, vec![1, 5, 3]),
            (8, 3, 3, vec![3, 7, 0]),
            (10, 2, 4, vec![2, 6, 1, 9]),
            (11, 2, 4, vec![2, 10, 6, 1]),
        ] {
            let mut expected = expected;
            expected.sort_unstable();
            let subset = Subset { size, client, ..Subset::of(SubsetKind::Ring) };
            assert_eq!(chosen(subset, &ids(count)), expected, "{count} {client} {size}");
        }
        assert_eq!(numbers(&["web-7", "web-12"]), [7, 12]);
        assert_eq!(numbers(&["a", "b1"]), [0, 1]);
        assert_eq!(numbers(&["a1", "b1"]), [0, 1]);
        assert_eq!(numbers(&["a99999999999999999999999", "b1"]), [0, 1]);
        // The numbers count, not the places.
        let shuffled: Vec<String> = [5, 1, 7, 3, 0, 2, 6, 4].iter().map(|number: &u32| number.to_string()).collect();
        assert_eq!(chosen(Subset { size: 3, client: 1, ..Subset::of(SubsetKind::Ring) }, &shuffled), [0, 1, 3]);
    }

    /// The book's 300 clients of 90 among 300 instances: 57 to 109 of 90 there, by other draws.
    #[test]
    fn random_spreads_as_the_sre_book_says() {
        let mut clients = [0u32; 300];
        for client in 0..300u64 {
            for place in chosen(Subset { size: 90, seed: client, ..Subset::default() }, &ids(300)) {
                clients[place] += 1;
            }
        }
        let (least, most) = (clients.iter().min().unwrap(), clients.iter().max().unwrap());
        assert_eq!(clients.iter().sum::<u32>(), 300 * 90);
        assert!((57..=75).contains(least) && (105..=120).contains(most), "{least} {most}");
    }

    #[test]
    fn ring_gives_every_instance_as_many_clients() {
        let mut clients = [0u32; 300];
        for client in 0..300 {
            for place in chosen(Subset { size: 10, client, ..Subset::of(SubsetKind::Ring) }, &ids(300)) {
                clients[place] += 1;
            }
        }
        assert_eq!(clients, [10; 300]);
    }

    /// Finagle's widths, as fractions of the ring.
    #[test]
    fn aperture_is_as_wide_as_finagles() {
        for (clients, servers, width) in [(10, 20, 0.6), (3, 12, 1.0), (100, 30, 0.4), (7, 50, 2.0 / 7.0)] {
            let mut load = vec![0.0; servers as usize];
            for client in 0..clients {
                let parts = Subset { client, clients, ..Subset::of(SubsetKind::Aperture) }.aperture(servers);
                let sum: f64 = parts.iter().sum();
                assert!((sum / servers as f64 - width).abs() < 1e-12, "{clients} {servers} {sum}");
                load.iter_mut().zip(&parts).for_each(|(load, part)| *load += part);
            }
            // Every server has the same.
            assert!(load.iter().all(|one: &f64| (one / load[0] - 1.0).abs() < 1e-9), "{load:?}");
        }
        assert!(Subset::of(SubsetKind::Aperture).aperture(0).is_empty());
        assert_eq!(Subset { clients: u32::MAX, client: 3, ..Subset::of(SubsetKind::Aperture) }.aperture(2), [1.0, 1.0]);
    }

    #[test]
    fn settings_round_trip() {
        for kind in [SubsetKind::Random, SubsetKind::Ring, SubsetKind::Aperture] {
            let subset = Subset { client: 3, clients: 9, seed: 7, ..Subset::of(kind) };
            assert_eq!(Subset::from_value(&subset.to_value()), Ok(subset));
        }
        for (name, value) in [("size", Value::from(0u64)), ("clients", 0u64.into()), ("kind", "round".into())] {
            assert_eq!(Subset::from_value(&Value::map([(name, value)])).unwrap_err().field(), name);
        }
    }
}
