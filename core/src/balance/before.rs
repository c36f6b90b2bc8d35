//! The parts of a policy that act before the pick, as settings.

use alloc::string::String;

use super::levels::Levels;
use super::settings::{optional, part};
use super::zones::Localities;
use crate::error::Error;
use crate::model::Registration;
use crate::value::{Fields, Value};

/// Among whom a policy chooses. Every part is off by default, and then costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// Who is a reserve for whom, and when all are called, well or not.
    pub levels: Option<Levels>,
    /// How much goes to which locality.
    pub localities: Option<Localities>,
}

impl Before {
    /// The keys of the policy's document that are read here.
    pub(super) const KEYS: [&str; 2] = ["levels", "localities"];

    /// Reads what the document changes.
    pub(super) fn read(self, fields: &Fields<'_>) -> Result<Self, Error> {
        Ok(Self {
            levels: part(fields, "levels", self.levels, Levels::from_value)?,
            localities: part(fields, "localities", self.localities, Localities::from_value)?,
        })
    }

    pub(super) fn pairs(&self) -> [(&'static str, Value); 2] {
        [
            ("levels", optional(self.levels.as_ref(), Levels::to_value)),
            ("localities", optional(self.localities.as_ref(), Localities::to_value)),
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

    /// Whether it matters where an instance stands.
    pub(super) fn wants_sites(&self) -> bool {
        self.levels.is_some() || self.localities.is_some()
    }

    /// The level and the locality of an instance.
    pub(super) fn site(&self, registration: &Registration) -> (u8, String) {
        let level = self.levels.as_ref().map_or(0, |levels| Levels::of(registration.metadata.get(&levels.key)));
        let path = self.localities.as_ref().map_or_else(String::new, |localities| localities.path(&registration.locality));
        (level, path)
    }
}
