//! The parts of a policy that act after the pick, as settings.

use super::hedge::Hedge;
use super::limit::Limit;
use super::retry::Retry;
use super::settings::{optional, part};
use crate::error::Error;
use crate::value::{Fields, Value};

/// What a policy makes of the outcomes. Every part is off by default, and then costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct After {
    /// How many retries there may be, and when.
    pub retry: Option<Retry>,
    /// When a call is worth sending twice.
    pub hedge: Option<Hedge>,
    /// How many calls may be out at once.
    pub limit: Option<Limit>,
}

impl After {
    /// The keys of the policy's document that are read here.
    pub(super) const KEYS: [&str; 3] = ["retry", "hedge", "limit"];

    /// Reads what the document changes.
    pub(super) fn read(self, fields: &Fields<'_>) -> Result<Self, Error> {
        Ok(Self {
            retry: part(fields, "retry", self.retry, Retry::from_value)?,
            hedge: part(fields, "hedge", self.hedge, Hedge::from_value)?,
            limit: part(fields, "limit", self.limit, Limit::from_value)?,
        })
    }

    pub(super) fn pairs(&self) -> [(&'static str, Value); 3] {
        [
            ("retry", optional(self.retry.as_ref(), Retry::to_value)),
            ("hedge", optional(self.hedge.as_ref(), Hedge::to_value)),
            ("limit", optional(self.limit.as_ref(), Limit::to_value)),
        ]
    }

    /// Checks the ranges of all parts.
    ///
    /// # Errors
    /// As `from_value` of the parts.
    pub fn validate(&self) -> Result<(), Error> {
        let document = Value::map(self.pairs());
        Self::default().read(&Fields::new(&document, "", &Self::KEYS)?).map(drop).map_err(|error| error.within("policy"))
    }
}
