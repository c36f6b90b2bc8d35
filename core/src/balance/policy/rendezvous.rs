//! `rendezvous`: highest random weight, so that a key stays where it is.
//!
//! A candidate's hash is `xxh3_64` of 16 bytes: the `xxh3_64` of the key, then the `xxh3_64` of its service, a zero
//! byte and its id, each as eight little-endian bytes. It depends on nothing else, neither the seed nor the peers,
//! so every client agrees, and when an instance comes, goes or changes its weight only its own keys move: the least
//! disruption there can be (Thaler and Ravishankar 1998). The order of the scores is an order for retries.
//!
//! # Weights without a logarithm
//! With u uniform in (0, 1), `-ln(u) / weight` is exponential at the rate `weight`, and the smallest of several
//! exponentials is each with a chance in proportion to its rate: the smallest score wins. A library's `ln` differs
//! from target to target in the last bit, so `-ln(u)` is made of `+ - * /`, which IEEE 754 rounds alike everywhere:
//!
//! - Let `x` be the complement of the hash and `t = (x + 1/2) / 2^64`, so `u = 1 - t`. Converting `x` keeps 53
//!   significant bits, so a small t, which is what wins, is as exact as a large one.
//! - For `u >= 3/4`: `-ln(1 - t) = 2 artanh(z)` with `z = t / (2 - t)`, and `0 < z <= 1/7`.
//! - For smaller u: `u = m 2^-k` with `3/4 <= m < 3/2`, so `-ln(u) = k ln 2 - 2 artanh((m - 1) / (m + 1))`, and
//!   `|z| <= 1/5`.
//! - `artanh(z) = z (1 + z²/3 + z⁴/5 + ...)`; eleven terms leave an error below 2^-53.
//!
//! Since `-ln(u) >= t`, a candidate whose `t / weight` is no better than the best score needs no logarithm, and all
//! but a few are passed over like that.
//!
//! A request without a key is given to one at random, in proportion to the weights.

use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use super::Candidates;
use super::bounded::{self, Bound};
use crate::balance::members::Members;
use crate::error::Error;
use crate::rng::Rng;
use crate::value::{Fields, Value};

/// Rendezvous hashing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rendezvous {
    /// The bound on a host's load, as a percentage of its fair share: 100 to 10 000; 0, the default, for none. A key whose
    /// highest is overloaded goes to the next highest.
    pub load_factor: u32,
}

impl Rendezvous {
    /// Checks the range of `load_factor`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded), [`Code::InvalidArgument`](crate::Code::InvalidArgument).
    pub fn validate(&self) -> Result<(), Error> {
        bounded::validate(self.load_factor)
    }

    /// Reads `{kind?, load_factor?}`.
    ///
    /// # Errors
    /// As [`Rendezvous::validate`]; [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "load_factor"])?;
        Ok(Self { load_factor: bounded::from_fields(&fields)? })
    }

    /// Writes `{kind, load_factor}`.
    pub fn to_value(&self) -> Value {
        Value::map([("kind", "rendezvous".into()), ("load_factor", bounded::to_value(self.load_factor))])
    }
}

/// What is needed of each candidate, in order, so that a pick reads memory straight through.
#[derive(Clone, Debug)]
pub(in crate::balance) struct Scores {
    entries: Vec<Entry>,
    bound: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mark: u64,
    weight: f64,
    slot: u32,
}

impl Scores {
    pub(super) fn build(rendezvous: Rendezvous, slots: &[u32], members: &Members) -> Self {
        let entry = |slot: &u32| Entry { mark: members.mark(*slot), weight: f64::from(members.weight(*slot)), slot: *slot };
        Self { entries: slots.iter().map(entry).collect(), bound: Bound::new(rendezvous.load_factor, slots, members) }
    }

    pub(super) fn pick(&self, candidates: &Candidates<'_>, key: Option<&[u8]>, rng: &mut Rng) -> Option<u32> {
        let key = key.map_or_else(|| rng.next_u64(), xxh3_64);
        let Some(bound) = &self.bound else { return self.best(key, candidates, |_| true) };
        let members = candidates.members;
        self.best(key, candidates, |slot| bound.factor(slot, members) <= 1.0).or_else(|| {
            // All are overloaded. The scores are distinct, so the least overloaded of equals is the one of most score.
            let order = |one: u32, other: u32| bound.factor(one, members).total_cmp(&bound.factor(other, members));
            let least = candidates.open().min_by(|one, other| order(*one, *other))?;
            self.best(key, candidates, |slot| order(slot, least).is_le())
        })
    }

    /// The highest of those that are asked for and that the request leaves.
    #[inline]
    fn best(&self, key: u64, candidates: &Candidates<'_>, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = (f64::INFINITY, None);
        for entry in &self.entries {
            let t = complement(hash(key, entry.mark));
            // The margin covers the rounding of both sides; what it lets through is compared exactly.
            if t * 0.999_999 >= best.0 * entry.weight {
                continue;
            }
            let score = exponential(t) / entry.weight;
            if score < best.0 && (candidates.excluded.is_empty() || candidates.is_open(entry.slot)) && wanted(entry.slot) {
                best = (score, Some(entry.slot));
            }
        }
        best.1
    }
}

/// The hash of a service and id that stands for an instance.
pub(in crate::balance) fn mark(service: &str, id: &str) -> u64 {
    let bytes: Vec<u8> = [service.as_bytes(), &[0], id.as_bytes()].concat();
    xxh3_64(&bytes)
}

/// An exponential number at the rate `weight`, fixed by a key and an instance: the smallest of several is each with a
/// chance in proportion to its weight.
pub(super) fn lottery(key: u64, mark: u64, weight: u32) -> f64 {
    exponential(complement(hash(key, mark))) / f64::from(weight.max(1))
}

fn hash(key: u64, mark: u64) -> u64 {
    let mut bytes = [0; 16];
    let (front, back) = bytes.split_at_mut(8);
    front.copy_from_slice(&key.to_le_bytes());
    back.copy_from_slice(&mark.to_le_bytes());
    xxh3_64(&bytes)
}

/// `1 - u` for a hash: (complement + 1/2) / 2^64, from 2^-65 to 1.
fn complement(hash: u64) -> f64 {
    const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;
    (!hash as f64 + 0.5) * SCALE
}

/// `-ln(1 - t)`.
fn exponential(t: f64) -> f64 {
    const LN_2: f64 = core::f64::consts::LN_2;
    if t <= 0.25 {
        return 2.0 * artanh(t / (2.0 - t));
    }
    // A t that rounded to 1 counts as the largest below it. 1 - t is exact from 1/2 on, and doubling always is.
    let mut m = 1.0 - if t < 1.0 { t } else { 1.0 - f64::EPSILON / 2.0 };
    let mut doublings = 0.0;
    while m < 0.75 {
        m *= 2.0;
        doublings += 1.0;
    }
    doublings * LN_2 - 2.0 * artanh((m - 1.0) / (m + 1.0))
}

/// The first eleven terms of the series, by Horner's rule, for |z| up to 1/5.
fn artanh(z: f64) -> f64 {
    let square = z * z;
    let mut sum = 0.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    z * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // The reference; this machine's own is good enough to compare with.
    #[allow(clippy::disallowed_methods)]
    fn the_logarithm_is_one() {
        for step in 1..100_000u32 {
            let t = f64::from(step) / 100_000.0;
            let exact = -(-t).ln_1p();
            assert!((exponential(t) / exact - 1.0).abs() < 1e-15, "{t}: {} {exact}", exponential(t));
        }
        // From the best hash to the worst.
        for (hash, exact) in [(u64::MAX, 2.710_505_431_213_761e-20), (0, 36.736_800_569_677_1)] {
            let score = exponential(complement(hash));
            assert!((score / exact - 1.0).abs() < 1e-12, "{score} {exact}");
        }
    }

    #[test]
    fn the_bound_that_saves_the_logarithm_holds() {
        let mut rng = Rng::new(5);
        for _ in 0..100_000 {
            let t = complement(rng.next_u64() >> rng.below(60));
            assert!(exponential(t) >= t * 0.999_999);
        }
    }
}
