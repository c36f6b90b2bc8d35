//! What the registry says of a provider.

use alloc::string::{String, ToString};
use core::fmt;

use super::{AdminState, Availability, LeaseState, Override, Registration};
use crate::error::{Code, Error};
use crate::time::Timestamp;
use crate::value::{Pairs, Value};

/// Names a record inside one process, for as long as it lives: a slot number with a generation, so that a handle
/// of a removed record never names its successor. As bits it is below 2^53, an exact JS number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    slot: u32,
    generation: u32,
}

impl Handle {
    /// Generations wrap at 2^21.
    pub(crate) const GENERATIONS: u32 = 1 << 21;

    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation: generation % Self::GENERATIONS }
    }

    /// The slot: small, dense, reused. Hosts index their caches by it.
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many records the slot held before this one, modulo 2^21.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The handle as one number below 2^53.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The handle that these are the bits of.
    #[inline]
    pub(crate) const fn of_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// The inverse of [`Handle::to_bits`].
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] at 2^53 and above.
    pub fn from_bits(bits: u64) -> Result<Self, Error> {
        if bits > Timestamp::MAX.as_micros() {
            return Err(Error::new(Code::InvalidArgument, "handle").limit(Timestamp::MAX.as_micros()));
        }
        Ok(Self::of_bits(bits))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({}.{})", self.slot, self.generation)
    }
}

/// A record of the registry at one revision: what the provider said, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What the provider says, with the health last reported.
    pub registration: Registration,
    /// Names the record in this registry.
    pub handle: Handle,
    /// The revision that last changed it.
    pub revision: u64,
    /// Where it came from; `local` for registrations, a source's name for reconciled ones.
    pub source: String,
    /// The operator's word, when there is one.
    pub admin: Option<Override>,
    /// Where it stands in its lease.
    pub lease: LeaseState,
}

impl Instance {
    /// The admin state in force.
    pub fn admin_state(&self) -> AdminState {
        self.admin.as_ref().map_or(AdminState::Enabled, |admin| admin.state)
    }

    /// Whether it may be given a call.
    pub fn availability(&self) -> Availability {
        Availability::of(self.registration.health, self.admin_state(), self.lease)
    }

    /// The URL of its first endpoint, without a path.
    pub fn url(&self) -> Option<String> {
        self.registration.endpoints.first().map(ToString::to_string)
    }

    /// Writes the registration's document with `handle, revision, source, url?, admin, lease, availability`.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(crate) fn write(&self, out: &mut impl Pairs) {
        self.registration.write(out);
        out.put("handle", self.handle.to_bits());
        out.put("revision", self.revision);
        out.text("source", &self.source);
        if let Some(url) = self.url() {
            out.text("url", &url);
        }
        out.map("admin", |own| match &self.admin {
            Some(admin) => admin.write(own),
            None => own.text("state", AdminState::Enabled.as_str()),
        });
        out.text("lease", self.lease.as_str());
        out.text("availability", self.availability().as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_a_safe_js_integer() {
        let handle = Handle::new(u32::MAX, Handle::GENERATIONS - 1);
        assert_eq!(handle.to_bits(), (1 << 53) - 1);
        assert_eq!(Handle::from_bits(handle.to_bits()), Ok(handle));
        assert!(Handle::from_bits(1 << 53).is_err());
        assert_eq!(Handle::new(3, Handle::GENERATIONS), Handle::new(3, 0));
    }
}
