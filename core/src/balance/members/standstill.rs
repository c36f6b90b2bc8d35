//! Why an instance that cannot be called cannot.

use crate::model::{Availability, Health};
use crate::registry::Brief;

/// Why an instance that is unavailable is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::balance) enum Standstill {
    /// It is unhealthy.
    #[default]
    Sick,
    /// It is not ready yet.
    Starting,
    /// The operator says so.
    Disabled,
}

impl Standstill {
    /// The word for it in traces; none for the usual reason.
    pub(in crate::balance) fn word(self) -> Option<&'static str> {
        match self {
            Self::Sick => None,
            Self::Starting => Some("starting"),
            Self::Disabled => Some("disabled"),
        }
    }

    pub(in crate::balance) fn parse(word: Option<&str>) -> Self {
        [Self::Starting, Self::Disabled].into_iter().find(|known| word.is_some() && known.word() == word).unwrap_or_default()
    }

    /// Told for all, it matters for those that are unavailable.
    pub(in crate::balance) fn of(brief: &Brief) -> Self {
        match (brief.availability, brief.disabled, brief.health) {
            (Availability::Unavailable, true, _) => Self::Disabled,
            (Availability::Unavailable, _, Health::Starting) => Self::Starting,
            _ => Self::Sick,
        }
    }
}
