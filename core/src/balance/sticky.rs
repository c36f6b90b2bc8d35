//! Who is tried first because the request says so: sticky sessions (Envoy's stateful session and override host, gRPC A55).
//!
//! The host keeps the name of the instance that served a session, in a cookie or a header, and hands it back. What is other
//! than in Envoy: labels that the request asks for count for the instance it prefers too, and nobody is given a call who is
//! disabled, has weight 0 or is not of the client's subset.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::members::{EJECTED, HELD, Members, Standstill};
use super::policy::HashKey;
use super::settings::Settings;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{Availability, Handle, Registration};
use crate::registry::Registry;
use crate::value::Value;

/// Requests may name instances that are tried first, in order; the first that may be given the call has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What the request calls an instance by; default `id`.
    pub by: HashKey,
    /// How it must be; default `available` and `degraded`.
    pub statuses: Vec<Status>,
    /// Whether the call is refused when none of them may be given it; default false.
    pub strict: bool,
}

/// How an instance is that a request prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `available`.
    Available,
    /// `degraded`.
    Degraded,
    /// `draining`.
    Draining,
    /// `ejected` by outlier detection.
    Ejected,
    /// `held` at its own wish.
    Held,
    /// `unhealthy`.
    Unhealthy,
}

impl Status {
    const WORDS: &[(&str, Self)] = &[
        ("available", Self::Available),
        ("degraded", Self::Degraded),
        ("draining", Self::Draining),
        ("ejected", Self::Ejected),
        ("held", Self::Held),
        ("unhealthy", Self::Unhealthy),
    ];

    fn of(members: &Members, slot: u32) -> Option<Self> {
        let availability = members.availability(slot)?;
        Some(match availability {
            Availability::Unavailable => {
                return (members.site(slot).standstill == Standstill::Sick).then_some(Self::Unhealthy);
            }
            _ if members.is_out(slot, EJECTED) => Self::Ejected,
            _ if members.is_out(slot, HELD) => Self::Held,
            Availability::Available => Self::Available,
            Availability::Degraded => Self::Degraded,
            Availability::Draining => Self::Draining,
        })
    }
}

impl Default for Sticky {
    fn default() -> Self {
        Self { by: HashKey::Id, statuses: alloc::vec![Status::Available, Status::Degraded], strict: false }
    }
}

impl Sticky {
    /// Reads `{by?, statuses?, strict?}`; `by` is `id`, `address`, `hostname` or `metadata.KEY`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["by", "statuses", "strict"])?;
        let default = Self::default();
        let by = settings.text("by")?.map_or(Ok(default.by), |text| HashKey::parse(text).ok_or_else(|| HashKey::wrong("by")))?;
        by.validate().map_err(|_| Error::too_large("by", limits::METADATA_KEY_BYTES as u64))?;
        let known = |word: &Value| Status::WORDS.iter().find(|(known, _)| word.as_str() == Some(*known)).map(|(_, status)| *status);
        let statuses = value.get("statuses").map(|list| list.as_list().and_then(|list| list.iter().map(known).collect()));
        let wrong =
            || Error::new(Code::InvalidArgument, "statuses").message("a list of available degraded draining ejected held unhealthy");
        let statuses = statuses.map_or(Ok(default.statuses), |list: Option<Vec<Status>>| list.ok_or_else(wrong))?;
        Ok(Self { by, statuses, strict: settings.flag("strict", default.strict)? })
    }

    /// Writes `{by, statuses, strict}`.
    pub fn to_value(&self) -> Value {
        let word = |status: &Status| Value::from(super::settings::spell(Status::WORDS, status));
        Value::map([
            ("by", self.by.to_value()),
            ("statuses", Value::List(self.statuses.iter().map(word).collect())),
            ("strict", self.strict.into()),
        ])
    }

    /// The name of the group of those that a request calls so.
    pub(super) fn group(text: &str) -> String {
        // No name of a group of labels begins like this.
        let mut name = "@".to_string();
        name.push_str(text);
        name
    }

    /// The group of an instance.
    pub(super) fn group_of(&self, registry: &Registry, handle: Handle, registration: &Registration) -> String {
        Self::group(self.by.text(registry, handle).as_deref().unwrap_or(&registration.id))
    }

    /// Whether an instance that a request prefers may be given its call.
    pub(super) fn admits(&self, members: &Members, slot: u32) -> bool {
        members.weight(slot) > 0 && Status::of(members, slot).is_some_and(|status| self.statuses.contains(&status))
    }
}

/// Reads names as a document has them: a list of strings.
pub(super) fn names(value: &Value) -> Result<Vec<&str>, Error> {
    let names: Option<Vec<&str>> = value.as_list().and_then(|list| list.iter().map(Value::as_str).collect());
    let names = names.ok_or_else(|| Error::new(Code::InvalidArgument, "prefer").message("a list of strings"))?;
    check(&names).map(|()| names)
}

/// Whether names are within their limits.
pub(super) fn check(names: &[&str]) -> Result<(), Error> {
    let longest = names.iter().map(|name| name.len()).max().unwrap_or_default();
    for (size, limit) in [(names.len(), limits::EXCLUDED), (longest, limits::METADATA_VALUE_BYTES)] {
        if size > limit {
            return Err(Error::too_large("prefer", limit as u64));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip() {
        let read = |json: &str| Sticky::from_value(&Value::from_json(json.as_bytes()).unwrap());
        for json in ["{}", r#"{"by": "address", "statuses": ["held", "unhealthy"], "strict": true}"#, r#"{"by": "metadata.x"}"#] {
            let sticky = read(json).unwrap();
            assert_eq!(Sticky::from_value(&sticky.to_value()), Ok(sticky));
        }
        for (json, field) in [(r#"{"by": "ip"}"#, "by"), (r#"{"statuses": ["well"]}"#, "statuses"), (r#"{"statuses": "held"}"#, "statuses")]
        {
            assert_eq!(read(json).unwrap_err().field(), field);
        }
    }
}
