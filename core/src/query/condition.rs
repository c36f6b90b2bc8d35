//! What an instance may fail.

use alloc::string::String;
use core::fmt;

/// A condition of a query, or a fact about an instance, that leaves the instance out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    part: &'static str,
    text: String,
}

impl Condition {
    pub(crate) fn new(part: &'static str, text: impl Into<String>) -> Self {
        Self { part, text: text.into() }
    }

    /// What it is about: `health`, `admin` or `lease` of the instance; `version`, `locality`, `tags`, `selector` or `limit` of the query.
    pub fn part(&self) -> &str {
        self.part
    }

    /// Of the instance the word for its state, such as `unhealthy`; of the query what was asked. Never a value of the instance's metadata.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is about the state of the instance and not about what it is.
    pub(crate) fn is_state(&self) -> bool {
        ["health", "admin", "lease"].contains(&self.part)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.text)
    }
}
