//! The version of a provider.

use alloc::string::{String, ToString as _};
use core::fmt;

use crate::error::{Code, Error};
use crate::limits;

/// A semantic version, 2.0.0 of the specification: `1.4.2`, `2.0.0-rc.1+build.7`.
///
/// Ordered as the specification orders precedence; build metadata breaks ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// Reads a version of at most 128 bytes.
    ///
    /// # Errors
    /// [`Code::InvalidVersion`], [`Code::LimitExceeded`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > limits::VERSION_BYTES {
            return Err(Error::too_large("version", limits::VERSION_BYTES as u64));
        }
        semver::Version::parse(text).map(Self).map_err(|error| Error::new(Code::InvalidVersion, "version").detail(error.to_string()))
    }

    pub(crate) fn as_semver(&self) -> &semver::Version {
        &self.0
    }

    /// The text it was read from; semantic versions have one spelling.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        assert!(Version::parse("1.4.2").unwrap() > Version::parse("1.4.2-rc.1").unwrap());
        assert_eq!(Version::parse("2.0.0-rc.1+b.7").unwrap().text(), "2.0.0-rc.1+b.7");
        for bad in ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3 ", "18446744073709551616.0.0", "1.2.3-"] {
            assert_eq!(Version::parse(bad).unwrap_err().code(), Code::InvalidVersion, "{bad:?}");
        }
        let long = |length: usize| std::format!("1.2.3-{}", "a".repeat(length - 6));
        assert!(Version::parse(&long(limits::VERSION_BYTES)).is_ok());
        assert_eq!(Version::parse(&long(limits::VERSION_BYTES + 1)).unwrap_err().code(), Code::LimitExceeded);
    }
}
