//! `first`: always the same one, as long as it may be given calls.
//!
//! By service and id; with `shuffle` in an order of this client's own, drawn from its seed, in which an instance comes
//! first with a chance in proportion to its weight (gRPC A113, after Efraimidis and Spirakis 2006).

use alloc::vec::Vec;

use super::Candidates;
use super::rendezvous::lottery;
use crate::balance::members::Members;
use crate::error::Error;
use crate::value::{Fields, Value};

/// The first in a fixed order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct First {
    /// Whether the order is drawn from the seed; default false: by service and id.
    pub shuffle: bool,
}

impl First {
    /// Reads `{kind?, shuffle?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::UnknownField`](crate::Code::UnknownField).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "shuffle"])?;
        Ok(Self { shuffle: fields.bool("shuffle")?.unwrap_or_default() })
    }

    /// Writes `{kind, shuffle}`.
    pub fn to_value(&self) -> Value {
        Value::map([("kind", Value::from("first")), ("shuffle", self.shuffle.into())])
    }
}

/// The candidates in order, when it is not that of the pool.
#[derive(Clone, Debug)]
pub(in crate::balance) struct Order(Option<Vec<u32>>);

impl Order {
    pub(super) fn build(first: First, slots: &[u32], members: &Members, seed: u64) -> Self {
        Self(first.shuffle.then(|| {
            let ticket = |slot: &u32| (lottery(seed, members.mark(*slot), members.weight(*slot)), *slot);
            let mut order: Vec<(f64, u32)> = slots.iter().map(ticket).collect();
            // Stable, so that equals stay in the order of the pool.
            order.sort_by(|one, other| one.0.total_cmp(&other.0));
            order.into_iter().map(|(_, slot)| slot).collect()
        }))
    }

    /// The first candidate that the request leaves.
    pub(super) fn pick(&self, candidates: &Candidates<'_>) -> Option<u32> {
        match &self.0 {
            None => candidates.open().next(),
            Some(order) => order.iter().copied().find(|slot| candidates.is_open(*slot)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_goes_by_weight() {
        let (members, slots) = Members::fixture(&[1_000, 2_000, 5_000]);
        let mut hits = [0u32; 3];
        for seed in 0..8_000 {
            let order = Order::build(First { shuffle: true }, &slots, &members, seed).0.unwrap();
            hits[order[0] as usize] += 1;
        }
        for (hits, expected) in hits.iter().zip([1_000.0, 2_000.0, 5_000.0]) {
            assert!((f64::from(*hits) - expected).abs() < 4.0 * f64::sqrt(expected), "{hits} {expected}");
        }
    }
}
