//! Members for tests.

use alloc::vec::Vec;

use super::{Arrival, Members, Site};
use crate::model::{Availability, Handle};

impl Members {
    /// Members of one service with these weights, in order of slot, all available.
    pub(in crate::balance) fn fixture(weights: &[u32]) -> (Self, Vec<u32>) {
        let mut members = Self::default();
        for (index, weight) in (0u32..).zip(weights) {
            let id = alloc::format!("b{index:06}");
            let (handle, availability) = (Handle::new(index, 0), Availability::Available);
            members.place(
                Arrival { service: "s", id: &id, hash_key: "", groups: &[], handle, weight: *weight, availability, site: Site::default() },
                None,
                0,
            );
        }
        let slots: Vec<u32> = (0..weights.len() as u32).collect();
        members.enter(&slots);
        (members, slots)
    }
}
