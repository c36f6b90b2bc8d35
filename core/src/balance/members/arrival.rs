//! What is told of an instance.

use alloc::string::String;

use super::Standstill;
use crate::model::{Availability, Handle};

/// What an instance is to the levels and localities; nothing when the policy has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) struct Site<'a> {
    pub(in crate::balance) level: u8,
    /// The path of its locality.
    pub(in crate::balance) locality: &'a str,
    pub(in crate::balance) standstill: Standstill,
}

/// What the view says of an instance that is in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::balance) struct Arrival<'a> {
    pub(in crate::balance) service: &'a str,
    pub(in crate::balance) id: &'a str,
    /// What the policy hashes of it; empty when that is its id, or nothing.
    pub(in crate::balance) hash_key: &'a str,
    /// The names of the groups it belongs to.
    pub(in crate::balance) groups: &'a [String],
    pub(in crate::balance) handle: Handle,
    /// In thousandths.
    pub(in crate::balance) weight: u32,
    pub(in crate::balance) availability: Availability,
    pub(in crate::balance) site: Site<'a>,
}
