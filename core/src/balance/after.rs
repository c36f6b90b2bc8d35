//! The parts of a policy that act after the pick, as settings.

use super::breaker::Breaker;
use super::hedge::Hedge;
use super::hold::Hold;
use super::limit::Limit;
use super::outlier::Outliers;
use super::reports::Reports;
use super::retry::Retry;
use super::settings::{optional, part};
use crate::error::Error;
use crate::value::{Fields, Value};

/// What a policy makes of the outcomes. Every part is off by default, and then costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct After {
    /// Who is taken out of the picks because it does worse than it should, and how it comes back.
    pub outliers: Option<Outliers>,
    /// For how long one that asks for it is spared.
    pub hold: Option<Hold>,
    /// How many calls may be out at one instance, and at all.
    pub breaker: Option<Breaker>,
    /// How many retries there may be, and when.
    pub retry: Option<Retry>,
    /// When a call is worth sending twice.
    pub hedge: Option<Hedge>,
    /// What instances weigh by what they report of their load.
    pub reports: Option<Reports>,
    /// How many calls may be out at once.
    pub limit: Option<Limit>,
}

impl After {
    /// The keys of the policy's document that are read here.
    pub(super) const KEYS: [&str; 7] = ["outliers", "hold", "breaker", "retry", "hedge", "reports", "limit"];

    /// Reads what the document changes.
    pub(super) fn read(self, fields: &Fields<'_>) -> Result<Self, Error> {
        Ok(Self {
            outliers: part(fields, "outliers", self.outliers, Outliers::from_value)?,
            hold: part(fields, "hold", self.hold, Hold::from_value)?,
            breaker: part(fields, "breaker", self.breaker, Breaker::from_value)?,
            retry: part(fields, "retry", self.retry, Retry::from_value)?,
            hedge: part(fields, "hedge", self.hedge, Hedge::from_value)?,
            reports: part(fields, "reports", self.reports, Reports::from_value)?,
            limit: part(fields, "limit", self.limit, Limit::from_value)?,
        })
    }

    pub(super) fn pairs(&self) -> [(&'static str, Value); 7] {
        [
            ("outliers", optional(self.outliers.as_ref(), Outliers::to_value)),
            ("hold", optional(self.hold.as_ref(), Hold::to_value)),
            ("breaker", optional(self.breaker.as_ref(), Breaker::to_value)),
            ("retry", optional(self.retry.as_ref(), Retry::to_value)),
            ("hedge", optional(self.hedge.as_ref(), Hedge::to_value)),
            ("reports", optional(self.reports.as_ref(), Reports::to_value)),
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
