//! Members for tests.

use alloc::vec::Vec;

use super::{Arrival, Members, Site};
use crate::model::{Availability, Handle};

impl Members {
    /// Members of one service with these weights, in order of slot, all available.
    pub(in crate::balance) fn fixture(weights: &[u32]) -> (Self, Vec<u32>) {
        let mut members = Self::default();
        let slots = (0u32..).zip(weights).map(|(index, weight)| members.seat_one(index, *weight)).collect();
        (members, slots)
    }

    /// One of them, in a slot that is free.
    pub(super) fn seat_one(&mut self, index: u32, weight: u32) -> u32 {
        let id = alloc::format!("b{index:06}");
        let (handle, availability) = (Handle::new(index, 0), Availability::Available);
        let arrival = Arrival { service: "s", id: &id, hash_key: "", groups: &[], handle, weight, availability, site: Site::default() };
        let slot = self.place(arrival, None, 0);
        self.enter(&[slot]);
        slot
    }
}
