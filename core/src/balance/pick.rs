//! What a caller asks, and what it is answered.

use alloc::vec::Vec;

use super::{labels, sticky};
use crate::error::Error;
use crate::limits;
use crate::model::Handle;
use crate::value::Value;

/// What is known of a call that needs an instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// What the call is about, for policies that send the same key to the same instance; at most 4096 bytes.
    pub key: Option<&'a [u8]>,
    /// The instances it must not go to, because it was tried on them; at most 64. A handle that is unknown,
    /// or whose instance is gone, excludes nothing.
    pub exclude: &'a [Handle],
    /// The labels that the instance must have, for policies with `labels`: keys, each once, and values; at most 64.
    pub labels: &'a [(&'a str, &'a str)],
    /// The instances to try first, in order, for policies with `sticky`: ids, or what else they are to be called by; at most 64.
    pub prefer: &'a [&'a str],
}

impl<'a> Request<'a> {
    /// A request about `key`.
    pub const fn keyed(key: &'a [u8]) -> Self {
        Self { key: Some(key), exclude: &[], labels: &[], prefer: &[] }
    }

    /// A request that must not go to `exclude`.
    pub const fn excluding(exclude: &'a [Handle]) -> Self {
        Self { key: None, exclude, labels: &[], prefer: &[] }
    }

    /// Reads labels as a document has them: a map from keys to strings.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::LimitExceeded`](crate::Code::LimitExceeded).
    pub fn read_labels(value: &'a Value) -> Result<Vec<(&'a str, &'a str)>, Error> {
        labels::pairs(value).map_err(|error| error.within("labels"))
    }

    /// Reads what is preferred as a document has it: a list of strings.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument), [`Code::LimitExceeded`](crate::Code::LimitExceeded).
    pub fn read_prefer(value: &'a Value) -> Result<Vec<&'a str>, Error> {
        sticky::names(value)
    }

    /// Whether the call was tried before: then it must not go there again.
    #[inline]
    pub(super) fn is_retry(&self) -> bool {
        !self.exclude.is_empty()
    }

    /// Whether it asks for nothing but an instance. What it has beside is of no account where nobody asks for it.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.exclude.is_empty() && self.key.is_none_or(|key| key.len() <= limits::KEY_BYTES)
    }

    /// Labels that are too many or too long fit nobody, so they are not looked at here.
    #[inline]
    pub(super) fn is_within_limits(&self) -> bool {
        self.key.is_none_or(|key| key.len() <= limits::KEY_BYTES) && self.exclude.len() <= limits::EXCLUDED
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.key.is_some_and(|key| key.len() > limits::KEY_BYTES) {
            return Err(Error::too_large("key", limits::KEY_BYTES as u64));
        }
        if self.exclude.len() > limits::EXCLUDED {
            return Err(Error::too_large("exclude", limits::EXCLUDED as u64));
        }
        sticky::check(self.prefer)?;
        labels::check(self.labels).map_err(|error| error.within("labels"))
    }
}

/// The instance a call should go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The instance.
    pub handle: Handle,
    /// Names the pick when the call is finished; below 2^53. It is good once, and until the pick is reaped.
    pub token: u64,
}

impl Pick {
    /// Writes `{handle, token}`.
    pub fn to_value(&self) -> Value {
        Value::map([("handle", Value::from(self.handle.to_bits())), ("token", self.token.into())])
    }
}
