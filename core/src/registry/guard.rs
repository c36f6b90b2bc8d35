//! Whose a record is, where whoever signed it in holds a token: its digest, and the last sequence number that was taken with it.

use alloc::collections::BTreeMap;
use core::fmt;

#[cfg(any(feature = "serve", feature = "store"))]
use super::{Key, Registry};
#[cfg(any(feature = "serve", feature = "store"))]
use crate::model::Handle;

/// The SHA-256 of a token. It is not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest(pub(crate) [u8; 32]);

#[cfg(feature = "store")]
impl TokenDigest {
    /// As much of it as tells it from others.
    pub(crate) fn part(self) -> u64 {
        let (part, _) = self.0.split_at(8);
        part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// What is known of the token of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    pub(crate) digest: TokenDigest,
    #[cfg_attr(not(feature = "serve"), allow(dead_code))]
    /// Nothing up to this is taken again. It ends with the record and with the epoch, and so does whatever names them.
    pub(crate) sequence: u64,
}

/// Guards by slot.
pub(super) type Guards = BTreeMap<u32, Guard>;

#[cfg(any(feature = "serve", feature = "store"))]
impl Registry {
    /// What is known of the token of a record; none when anybody may speak for it.
    pub(crate) fn guard(&self, handle: Handle) -> Option<&Guard> {
        self.guards.get(&self.store.resolve(handle)?)
    }

    /// From now on only whoever holds the token speaks for the record.
    pub(crate) fn set_guard(&mut self, key: &Key, digest: TokenDigest) {
        let Some(slot) = self.slot(&key.namespace, &key.service, &key.id) else { return };
        let before = self.guards.get(&slot).copied();
        if before.is_none_or(|own| own.digest != digest) {
            // Who comes back to a token that was here before cannot be sent again what was sent with it.
            let sequence = before.map_or(0, |own| own.sequence);
            self.guards.insert(slot, Guard { digest, sequence });
            self.touch(key, super::record::Touch::Fence);
        }
    }
}

#[cfg(feature = "serve")]
impl Registry {
    /// Takes a sequence number, which nobody can take again.
    pub(crate) fn take_sequence(&mut self, handle: Handle, sequence: u64) {
        if let Some(guard) = self.store.resolve(handle).and_then(|slot| self.guards.get_mut(&slot)) {
            guard.sequence = guard.sequence.max(sequence);
        }
    }
}
