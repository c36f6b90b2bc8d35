//! Ranges of semantic versions.

use alloc::string::{String, ToString as _};
use core::fmt;

use crate::error::{Code, Error};
use crate::limits;
use crate::model::Version;

/// A set of semantic versions, written and understood as in Cargo: `^1.4`, `~1.4.2`, `>=1.2, <2`, `1.*`, `=1.4.2`, `*`.
///
/// Comparators are joined by commas and must all hold. The corner cases are Cargo's:
///
/// | range | versions |
/// |---|---|
/// | `1.4`, `^1.4` | `>=1.4.0, <2.0.0`: a bare version is a caret range |
/// | `^0.3`, `^0.3.2` | `<0.4.0`: below 1.0.0 the minor number is the breaking one |
/// | `^0.0.3` | `0.0.3` only |
/// | `^0`, `~0`, `0.*` | `<1.0.0` |
/// | `~1.4.2`, `~1.4`, `~1` | `>=1.4.2, <1.5.0`; `>=1.4.0, <1.5.0`; `>=1.0.0, <2.0.0` |
/// | `=1.4` | every `1.4.x` |
/// | `>1.4` | from `1.5.0` on: a part left out means all of them |
/// | `<=1.4` | up to the last `1.4.x` |
/// | `*` | every release |
///
/// A pre-release (`1.5.0-rc.1`) is in a range only when a comparator names a pre-release of the same
/// `major.minor.patch`: `>=1.5.0-alpha` takes `1.5.0-rc.1` and `1.5.0` and `1.6.0`, but not `1.6.0-rc.1`; `*`
/// takes none. Build metadata (`+build.7`) is ignored.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VersionRange(semver::VersionReq);

impl VersionRange {
    /// Reads a range of at most 128 bytes, as written and as printed, and at most 32 comparators.
    ///
    /// # Errors
    /// [`Code::InvalidVersion`], [`Code::LimitExceeded`]; the field is `version`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = |text: &str| match text.len() {
            0..=limits::VERSION_BYTES => Ok(()),
            _ => Err(Error::too_large("version", limits::VERSION_BYTES as u64)),
        };
        fits(text)?;
        let range =
            semver::VersionReq::parse(text).map_err(|error| Error::new(Code::InvalidVersion, "version").detail(error.to_string()))?;
        // `1,1,1` prints as `^1, ^1, ^1`: what was read must be readable when it is printed.
        fits(&range.to_string())?;
        Ok(Self(range))
    }

    /// Whether `version` is in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.0.matches(version.as_semver())
    }

    /// The text of the range in one spelling: comparators with their operators, joined by a comma and a space.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Whether it is one comparator, such as `>=1.2`.
    pub(super) fn is_single(&self) -> bool {
        self.0.comparators.len() == 1
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionRange({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    #[test]
    fn ranges_print_and_read_back() {
        for (text, printed) in [
            ("1.4", "^1.4"),
            ("^1.4", "^1.4"),
            ("~ 1.4.2", "~1.4.2"),
            (">=1.2,<2", ">=1.2, <2"),
            ("1.*", "1.*"),
            ("1.4.x", "1.4.*"),
            ("=1.4.2-rc.1+b", "=1.4.2-rc.1"),
            ("*", "*"),
        ] {
            let range = VersionRange::parse(text).unwrap();
            assert_eq!(range.text(), printed);
            assert_eq!(VersionRange::parse(&range.text()), Ok(range));
        }
    }

    #[test]
    fn what_is_no_range() {
        for text in ["", " ", "v1", "1.4.2.1", "^", ">=1.2 <2", "1 || 2", "01", "1.*.2", "latest", ">=1.2,", "1,\0", "99999999999999999999"]
        {
            let error = VersionRange::parse(text).unwrap_err();
            assert_eq!((error.code(), error.field()), (Code::InvalidVersion, "version"), "{text:?}");
        }
    }

    #[test]
    fn ranges_keep_their_limits() {
        let pre = |length: usize| format!("^1.2.3-{}", "a".repeat(length - 7));
        for (length, good) in [(limits::VERSION_BYTES - 1, true), (limits::VERSION_BYTES, true), (limits::VERSION_BYTES + 1, false)] {
            assert_eq!(VersionRange::parse(&pre(length)).is_ok(), good);
        }
        let many = |count: usize| std::vec!["<9"; count].join(",");
        assert!(VersionRange::parse(&many(32)).is_ok());
        assert_eq!(VersionRange::parse(&many(33)).unwrap_err().code(), Code::InvalidVersion);
        // 32 bare majors are 63 bytes as written and 126 as printed; with two digits each they no longer fit.
        let bare: Vec<_> = (0..32).map(|_| "1").collect();
        assert!(VersionRange::parse(&bare.join(",")).is_ok());
        let error = VersionRange::parse(&bare.join(",").replace('1', "11")).unwrap_err();
        assert_eq!((error.code(), error.limit_value()), (Code::LimitExceeded, Some(128)));
    }
}
