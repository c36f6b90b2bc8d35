//! `maglev`: a table that the hosts fill in turn, each in an order of its own (Eisenbud et al., NSDI 2016).
//!
//! A host's order is `offset, offset + skip, offset + 2 skip, ..` modulo the size of the table, which is a prime, so the
//! order visits every place. The hosts take turns at the next free place of their orders; as in Envoy a host of a third of
//! the greatest weight sits out two turns of three. The offset is the xxHash64 of the host's key with seed 0, the skip that
//! with seed 1. A key belongs to the host at the place of its hash.
//!
//! A pick is one read of the table, whatever the number of hosts, and the shares are nearly exact; but a change builds the
//! table anew, and moves some keys of hosts that stay (about 0.6 % when 1 of 100 leaves a table of 65 537). The size should
//! be a hundred times the number of hosts.
//!
//! # Retries
//! As in Envoy the k-th next try is at the place of the hash with its bits exclusive-or'ed with 2^64 - k. Envoy gives up
//! after a few tries that find an excluded host; here the tries then go on along the table.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use xxhash_rust::xxh64::xxh64;

use super::hash::HashKey;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Fields, Value};

/// Maglev hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev {
    /// Places of the table: a prime up to 5 000 011; default 65 537.
    pub table_size: u32,
    /// What is hashed of a host; default its address.
    pub hash_key: HashKey,
    /// The bound on a host's load, as a percentage of its fair share: 100 to 10 000; 0, the default, for none.
    pub load_factor: u32,
}

impl Maglev {
    /// Envoy's table: 65 537 places, by address.
    pub const DEFAULT: Self = Self { table_size: 65_537, hash_key: HashKey::Address, load_factor: 0 };

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`]; [`Code::InvalidArgument`] for a size that is no prime.
    pub fn validate(&self) -> Result<(), Error> {
        if self.table_size > limits::MAGLEV_TABLE {
            return Err(Error::too_large("table_size", u64::from(limits::MAGLEV_TABLE)));
        }
        if !is_prime(self.table_size) {
            return Err(Error::new(Code::InvalidArgument, "table_size").message("a prime"));
        }
        super::bounded::validate(self.load_factor)?;
        self.hash_key.validate()
    }

    /// Reads `{kind?, table_size?, hash_key?, load_factor?}`.
    ///
    /// # Errors
    /// As [`Maglev::validate`]; [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "table_size", "hash_key", "load_factor"])?;
        let size = fields.u64("table_size")?.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        let maglev = Self {
            table_size: size.unwrap_or(Self::DEFAULT.table_size),
            hash_key: HashKey::from_fields(&fields)?,
            load_factor: super::bounded::from_fields(&fields)?,
        };
        maglev.validate()?;
        Ok(maglev)
    }

    /// Writes `{kind, table_size, hash_key, load_factor}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("kind", "maglev".into()),
            ("table_size", u64::from(self.table_size).into()),
            ("hash_key", self.hash_key.to_value()),
            ("load_factor", super::bounded::to_value(self.load_factor)),
        ])
    }
}

fn is_prime(number: u32) -> bool {
    let divides = |divisor: &u32| number.is_multiple_of(*divisor);
    number > 1
        && !(2u32..)
            .take_while(|divisor| u64::from(*divisor).saturating_mul(u64::from(*divisor)) <= u64::from(number))
            .any(|divisor| divides(&divisor))
}

/// Which host has each place of a table.
#[derive(Clone, Debug)]
pub(super) struct Places(Vec<u32>);

/// A place that nobody has yet.
const FREE: u32 = u32::MAX;

/// Where a host starts in the table, and how far it steps.
pub(super) fn permutation(key: &[u8], size: u32) -> (u32, u32) {
    let size = u64::from(size);
    let offset = xxh64(key, 0).checked_rem(size).unwrap_or_default();
    let skip = xxh64(key, 1).checked_rem(size.saturating_sub(1)).unwrap_or_default();
    (offset as u32, skip.saturating_add(1) as u32)
}

/// A host that fills the table: the place it asks for next, how far it steps, its share and the turn it has earned.
struct Filler {
    next: u32,
    skip: u32,
    share: f64,
    target: f64,
    owner: u32,
}

impl Filler {
    /// Takes the next free place of its order; there is one.
    fn take(&mut self, places: &mut [u32]) {
        let size = places.len() as u64;
        for _ in 0..size {
            let place = self.next as usize;
            // Both are below the size, which is below 2^32.
            let next = u64::from(self.next).wrapping_add(u64::from(self.skip));
            self.next = if next < size { next } else { next.wrapping_sub(size) } as u32;
            if let Some(place) = places.get_mut(place)
                && *place == FREE
            {
                *place = self.owner;
                return;
            }
        }
    }

    /// The first turn that is not sat out, at the earliest this one. As Envoy tells it: a turn counts as many times the
    /// share as it has a number, and that must have reached what was taken so far, in units of the greatest share.
    fn due(&self, turn: u64) -> u64 {
        let waits = |turn: u64| (turn as f64) * self.share < self.target;
        if !waits(turn) {
            return turn;
        }
        // The quotient is as good as exact, but the product decides. The conversion saturates.
        let mut due = ((self.target / self.share) as u64).saturating_sub(1).max(turn);
        while waits(due) && due < u64::MAX {
            due = due.saturating_add(1);
        }
        due
    }
}

impl Places {
    /// A table of hosts, each with its permutation, its share of the weight and who it is.
    pub(super) fn build(hosts: impl Iterator<Item = ((u32, u32), f64, u32)>, size: u32) -> Self {
        let filler = |((offset, skip), share, owner)| Filler { next: offset, skip, share, target: 0.0, owner };
        let mut fillers: Vec<Filler> = hosts.map(filler).filter(|filler| filler.share > 0.0).collect();
        let most = fillers.iter().fold(0.0, |most: f64, filler| if filler.share > most { filler.share } else { most });
        if fillers.is_empty() {
            return Self(Vec::new());
        }
        let mut places = vec![FREE; size as usize];
        let mut left = size;
        if fillers.iter().all(|filler| filler.share >= most) {
            while left > 0 {
                for filler in fillers.iter_mut().take(left as usize) {
                    filler.take(&mut places);
                    left = left.saturating_sub(1);
                }
            }
            return Self(places);
        }
        // By turn, then by host: who sits turns out is not asked in them, so that a very light host costs nothing.
        let mut queue: BinaryHeap<Reverse<(u64, u32)>> = (0u32..).zip(&fillers).map(|(at, _)| Reverse((1, at))).collect();
        while left > 0
            && let Some(mut first) = queue.peek_mut()
        {
            let Reverse((turn, at)) = *first;
            let Some(filler) = fillers.get_mut(at as usize) else { break };
            filler.take(&mut places);
            filler.target += most;
            *first = Reverse((filler.due(turn.saturating_add(1)), at));
            left = left.saturating_sub(1);
        }
        Self(places)
    }

    /// Who has the place of a hash.
    #[inline]
    pub(super) fn owner(&self, hash: u64) -> Option<u32> {
        self.0.get(hash.checked_rem(self.0.len() as u64)? as usize).copied()
    }

    /// Who is asked from a hash on: by `tries` more hashes, then along the table, once around.
    pub(super) fn walk(&self, hash: u64, tries: u64) -> impl Iterator<Item = u32> {
        let rehashed = (0..=tries).filter_map(move |attempt| self.owner(retry(hash, attempt)));
        let start = hash.checked_rem(self.0.len() as u64).unwrap_or_default() as usize;
        let (before, after) = self.0.split_at_checked(start).unwrap_or_default();
        rehashed.chain(after.iter().chain(before).copied())
    }
}

/// The hash of the k-th next try.
#[inline]
pub(super) fn retry(hash: u64, attempt: u64) -> u64 {
    hash ^ attempt.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn addresses(ports: core::ops::Range<u32>) -> Vec<String> {
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    fn table(keys: &[String], weights: &[f64], size: u32) -> Vec<u32> {
        let total: f64 = weights.iter().sum();
        let host = |(at, key): (u32, &String)| (permutation(key.as_bytes(), size), weights[at as usize] / total, at);
        Places::build((0u32..).zip(keys).map(host), size).0
    }

    /// Envoy's maglev_lb_test.cc.
    #[test]
    fn tables_are_envoys() {
        let six = addresses(90..96);
        assert_eq!(table(&six, &[1.0; 6], 7), [2, 4, 0, 1, 5, 0, 3]);
        let names: Vec<String> = (90..96).map(|port| format!("{port}")).collect();
        assert_eq!(table(&names, &[1.0; 6], 7), [2, 5, 0, 3, 4, 1, 0]);
        let two = addresses(90..92);
        assert_eq!(table(&two, &[1.0, 2.0], 17), [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
        assert_eq!(table(&two, &[0.5, 0.5], 17), [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]);
        assert_eq!(table(&two, &[0.8, 0.2], 17), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
        let count = |table: &[u32], host: u32| table.iter().filter(|owner| **owner == host).count();
        // The documentation's example, and the lopsided one: a locality of one host with weight 127 beside one of 1023.
        let documented = table(&two, &[1.0, 2.0], 65_537);
        assert_eq!((count(&documented, 0), count(&documented, 1)), (21_846, 43_691));
        let mut weights = vec![1.0 / 1_023.0 / 128.0; 1_024];
        weights[0] = 127.0 / 128.0;
        let lopsided = table(&addresses(0..1_024), &weights, 65_537);
        assert_eq!(count(&lopsided, 0), 64_514);
        assert!((1..1_024).all(|host| count(&lopsided, host) == 1));
    }

    /// Envoy's maglev_lb_test.cc, on its basic table.
    #[test]
    fn retries_are_envoys() {
        let keys = addresses(90..96);
        let places = Places::build((0u32..).zip(&keys).map(|(at, key)| (permutation(key.as_bytes(), 7), 1.0, at)), 7);
        let tries: Vec<u32> = places.walk(10, 2).take(3).collect();
        assert_eq!(tries, [1, 0, 5]);
    }

    /// The worked example known from the paper, and that of dgryski/go-maglev, by their permutations.
    #[test]
    fn worked_examples_come_out() {
        let build = |hosts: &[(u32, (u32, u32))]| Places::build(hosts.iter().map(|(owner, steps)| (*steps, 1.0, *owner)), 7).0;
        let paper = [(0, (3, 4)), (1, (0, 2)), (2, (3, 1))];
        assert_eq!(build(&paper), [1, 0, 1, 0, 2, 2, 0]);
        assert_eq!(build(&[paper[0], paper[2]]), [0, 0, 0, 0, 2, 2, 2]);
        let dgryski = [(0, (2, 4)), (1, (0, 5)), (2, (1, 2))];
        assert_eq!(build(&dgryski), [1, 2, 0, 2, 0, 1, 0]);
        assert_eq!(build(&[dgryski[0], dgryski[2]]), [0, 2, 0, 2, 0, 2, 0]);
    }

    /// The queue of turns is an invention; asking every host in every turn is what Envoy does.
    #[test]
    fn turns_that_are_sat_out_need_not_be_asked() {
        let keys = addresses(1..40);
        let weights: Vec<f64> = (1..40).map(|at| f64::from(at * at % 37 + 1)).collect();
        let total: f64 = weights.iter().sum();
        let size = 4_099;
        let mut plain = vec![FREE; size];
        let filler = |(at, key): (u32, &String)| {
            let (next, skip) = permutation(key.as_bytes(), size as u32);
            Filler { next, skip, share: weights[at as usize] / total, target: 0.0, owner: at }
        };
        let mut fillers: Vec<Filler> = (0u32..).zip(&keys).map(filler).collect();
        let most = fillers.iter().map(|filler| filler.share).fold(0.0, f64::max);
        let mut left = size;
        for turn in 1u32.. {
            for filler in &mut fillers {
                if left > 0 && f64::from(turn) * filler.share >= filler.target {
                    filler.target += most;
                    filler.take(&mut plain);
                    left -= 1;
                }
            }
            if left == 0 {
                break;
            }
        }
        assert_eq!(table(&keys, &weights, size as u32), plain);
    }

    #[test]
    fn a_size_is_a_prime() {
        for (size, good) in [(0, false), (1, false), (2, true), (9, false), (65_537, true), (5_000_010, false), (5_000_011, true)] {
            assert_eq!(Maglev { table_size: size, ..Maglev::DEFAULT }.validate().is_ok(), good, "{size}");
        }
        assert_eq!(Maglev { table_size: 5_000_077, ..Maglev::DEFAULT }.validate().unwrap_err().code(), Code::LimitExceeded);
    }
}
