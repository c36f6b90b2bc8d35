//! Three independent facts about an instance, and the one function of them.

use alloc::string::String;
use core::time::Duration;

use crate::error::{Code, Error};
use crate::limits;
use crate::time::{Timestamp, duration_from_secs, micros, secs};
use crate::value::{Fields, Pairs, Value};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $field:literal { $($(#[$item_doc:meta])* $item:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$item_doc])* $item,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$item,)+];

            /// The word for it in documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text,)+ }
            }

            /// Reads the word.
            ///
            /// # Errors
            /// [`Code::InvalidArgument`] for any other word.
            pub fn parse(word: &str) -> Result<Self, Error> {
                match word {
                    $($text => Ok(Self::$item),)+
                    _ => Err(Error::new(Code::InvalidArgument, $field).message(concat!("one of", $(" ", $text,)+))),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What is reported of an instance, by itself or by a checker.
    Health, "health" {
        /// Nothing was reported. Counts as healthy.
        Unknown = "unknown",
        /// Not ready yet.
        Starting = "starting",
        /// Can take traffic.
        Healthy = "healthy",
        /// Can take traffic, but others are better.
        Degraded = "degraded",
        /// Cannot take traffic.
        Unhealthy = "unhealthy",
    }
}

words! {
    /// The operator's word, which no heartbeat and no health report changes.
    AdminState, "state" {
        /// Takes part.
        Enabled = "enabled",
        /// Finishes what it has and gets nothing new; after its deadline it is disabled.
        Draining = "draining",
        /// Takes no part.
        Disabled = "disabled",
    }
}

words! {
    /// Where an instance stands in its lease. One that expired is gone and has no state.
    LeaseState, "lease" {
        /// There is no lease: the record stays until somebody removes it.
        Persistent = "persistent",
        /// Renewed within the ttl.
        Live = "live",
        /// Past the ttl, not yet past the grace; or held by protection.
        Suspect = "suspect",
    }
}

words! {
    /// Whether an instance may be given a call: a pure function of health, admin state and lease.
    Availability, "availability" {
        /// Yes.
        Available = "available",
        /// Yes, when none is available.
        Degraded = "degraded",
        /// Only as the last resort: it is on its way out and still serves.
        Draining = "draining",
        /// No.
        Unavailable = "unavailable",
    }
}

impl Availability {
    /// The one rule. The operator's word comes first, then the report, then the lease.
    pub const fn of(health: Health, admin: AdminState, lease: LeaseState) -> Self {
        match (admin, health, lease) {
            (AdminState::Disabled, ..) | (_, Health::Unhealthy | Health::Starting, _) => Self::Unavailable,
            (AdminState::Draining, ..) => Self::Draining,
            (_, Health::Degraded, _) | (_, _, LeaseState::Suspect) => Self::Degraded,
            _ => Self::Available,
        }
    }
}

/// How long a record lives without a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Live for this long after a renewal: 1 s to 24 h. Rule of thumb: three heartbeat intervals.
    pub ttl: Duration,
    /// Suspect for this long after that, then expired: 0 to 24 h.
    pub grace: Duration,
}

impl Lease {
    /// A lease of `ttl` and `grace`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`] outside 1 s to 24 h (ttl) or above 24 h (grace).
    pub fn new(ttl: Duration, grace: Duration) -> Result<Self, Error> {
        if micros(ttl) < limits::TTL_MIN_MICROS {
            return Err(Error::new(Code::LimitExceeded, "ttl").limit(limits::TTL_MIN_MICROS).message("a ttl is at least 1 s"));
        }
        for (field, duration) in [("ttl", ttl), ("grace", grace)] {
            if micros(duration) > limits::TTL_MAX_MICROS {
                return Err(Error::new(Code::LimitExceeded, field).limit(limits::TTL_MAX_MICROS).message("at most 24 h"));
            }
        }
        Ok(Self { ttl: Duration::from_micros(micros(ttl)), grace: Duration::from_micros(micros(grace)) })
    }

    /// Reads `ttl` and `grace` (seconds) of a document; no ttl is no lease.
    pub(crate) fn from_fields(fields: &Fields<'_>) -> Result<Option<Self>, Error> {
        let duration = |name| match fields.f64(name)? {
            Some(number) => duration_from_secs(name, number).map(Some),
            None => Ok(None),
        };
        match (duration("ttl")?, duration("grace")?) {
            (Some(ttl), grace) => Self::new(ttl, grace.unwrap_or_default()).map(Some),
            (None, Some(_)) => Err(fields.error(Code::MissingField, "ttl").message("a grace needs a ttl")),
            (None, None) => Ok(None),
        }
    }
}

/// The operator's word about one instance, kept apart from the record: it outlives re-registration, expiry and restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The state it puts the instance in.
    pub state: AdminState,
    /// When it ends: a drain turns into disabled, anything else is lifted. `None` lasts until it is lifted.
    pub until: Option<Timestamp>,
    /// Why, in at most 256 bytes; may be empty.
    pub reason: String,
}

impl Override {
    /// Reads `{state, ttl?, reason?}`; the ttl is seconds from `now`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidDuration`], [`Code::LimitExceeded`], [`Code::MissingField`], [`Code::UnknownField`].
    pub fn from_value(value: &Value, now: Timestamp) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["state", "ttl", "reason"])?;
        let ttl = fields.f64("ttl")?.map(|ttl| duration_from_secs("ttl", ttl)).transpose()?;
        let reason = String::from(fields.text("reason")?.unwrap_or_default());
        let parsed =
            Self { state: AdminState::parse(fields.required_text("state")?)?, until: ttl.map(|ttl| now.saturating_add(ttl)), reason };
        parsed.validate()?;
        Ok(parsed)
    }

    /// Checks the length of the reason.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`].
    pub fn validate(&self) -> Result<(), Error> {
        if self.reason.len() > limits::REASON_BYTES { Err(Error::too_large("reason", limits::REASON_BYTES as u64)) } else { Ok(()) }
    }

    /// Writes `{state, until?, reason?}`; the time is microseconds.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(super) fn write(&self, out: &mut impl Pairs) {
        out.text("state", self.state.as_str());
        if let Some(until) = self.until {
            out.put("until", until.as_micros());
        }
        if !self.reason.is_empty() {
            out.text("reason", &self.reason);
        }
    }
}

/// Puts `ttl` and `grace` of a lease into a document, in seconds.
pub(super) fn write_lease(out: &mut impl Pairs, lease: Option<Lease>) {
    if let Some(lease) = lease {
        out.put("ttl", secs(lease.ttl));
        out.put("grace", secs(lease.grace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_one_table() {
        use AdminState as A;
        use Availability as V;
        use Health as H;
        use LeaseState as L;
        for (health, admin, lease, expected) in [
            (H::Healthy, A::Enabled, L::Live, V::Available),
            (H::Unknown, A::Enabled, L::Persistent, V::Available),
            (H::Healthy, A::Enabled, L::Suspect, V::Degraded),
            (H::Degraded, A::Enabled, L::Live, V::Degraded),
            (H::Healthy, A::Draining, L::Suspect, V::Draining),
            (H::Unhealthy, A::Draining, L::Live, V::Unavailable),
            (H::Starting, A::Enabled, L::Live, V::Unavailable),
            (H::Healthy, A::Disabled, L::Live, V::Unavailable),
        ] {
            assert_eq!(Availability::of(health, admin, lease), expected);
        }
    }

    #[test]
    fn leases_keep_their_limits() {
        let us = Duration::from_micros;
        for (ttl, grace, good) in [
            (limits::TTL_MIN_MICROS - 1, 0, false),
            (limits::TTL_MIN_MICROS, 0, true),
            (limits::TTL_MAX_MICROS, limits::TTL_MAX_MICROS, true),
            (limits::TTL_MAX_MICROS + 1, 0, false),
            (limits::TTL_MIN_MICROS, limits::TTL_MAX_MICROS + 1, false),
        ] {
            assert_eq!(Lease::new(us(ttl), us(grace)).is_ok(), good);
        }
    }
}
