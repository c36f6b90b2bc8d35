//! Errors as values, from one catalogue that every language shares.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// What went wrong, where, and which limit it met.
///
/// Every error has a stable [`Code`], the field it concerns and, where a limit was met, that limit. The message
/// is one line of printable ASCII, at most 256 bytes of it from outside; metadata values never appear in it.
///
/// An operation that returns an error has changed nothing, with the one exception named at [`Code`].
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    field: Cow<'static, str>,
    limit: Option<u64>,
    message: Cow<'static, str>,
}

impl Error {
    /// An error about `field`. The field is a path such as `endpoints[2].port`; it is escaped and cut like a message.
    pub fn new(code: Code, field: impl AsRef<str>) -> Self {
        Self { code, field: Cow::Owned(escape(field.as_ref(), 128)), limit: None, message: Cow::Borrowed("") }
    }

    /// Names the limit that was met.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Says it in a sentence of our own.
    #[must_use]
    pub fn message(mut self, message: &'static str) -> Self {
        self.message = Cow::Borrowed(message);
        self
    }

    /// Says it with text from outside, which is escaped to one line and cut at 256 bytes. Never pass a metadata value.
    #[must_use]
    pub fn detail(mut self, detail: impl AsRef<str>) -> Self {
        self.message = Cow::Owned(escape(detail.as_ref(), 256));
        self
    }

    /// The same error with the path of the enclosing field put before its own.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        let joined = match self.field.as_ref() {
            "" => String::from(outer),
            inner if inner.starts_with('[') => alloc::format!("{outer}{inner}"),
            inner => alloc::format!("{outer}.{inner}"),
        };
        // Both halves are escaped already; only the length is left to hold.
        self.field = Cow::Owned(joined.chars().take(256).collect());
        self
    }

    /// A number or length above its limit.
    pub(crate) fn too_large(field: impl AsRef<str>, limit: u64) -> Self {
        Self::new(Code::LimitExceeded, field).limit(limit).message("above the limit")
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The path of the field it concerns; empty when it concerns no single field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The limit that was met, in the unit of the field.
    pub fn limit_value(&self) -> Option<u64> {
        self.limit
    }

    /// The sentence without code, field and limit; empty when the code says it all.
    pub fn text(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(limit) = self.limit {
            write!(f, " (limit {limit})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl core::error::Error for Error {}

/// The family a code belongs to. Each is one exception class in Python and one Error class in JS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The state of the registry does not allow the operation (`ConflictError`).
    Conflict,
    /// Bytes that are not what they should be (`DataError`).
    Data,
    /// An argument is wrong (`InvalidError`).
    Invalid,
    /// A limit or quota was met (`LimitError`).
    Limit,
    /// The thing named does not exist (`NotFoundError`).
    NotFound,
    /// No instance can take the call (`UnavailableError`).
    Unavailable,
    /// The object can no longer be used (`UsageError`).
    Usage,
}

impl Kind {
    /// Every kind, in alphabetical order.
    pub const ALL: &[Self] = &[Self::Conflict, Self::Data, Self::Invalid, Self::Limit, Self::NotFound, Self::Unavailable, Self::Usage];

    /// The class that carries errors of this kind in Python and JS.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Conflict => "ConflictError",
            Self::Data => "DataError",
            Self::Invalid => "InvalidError",
            Self::Limit => "LimitError",
            Self::NotFound => "NotFoundError",
            Self::Unavailable => "UnavailableError",
            Self::Usage => "UsageError",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal in $kind:ident,)+) => {
        /// The stable codes. State is unchanged after every one of them; an operation applied to a batch is atomic.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The kebab-case text, the same in every language.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The family of the code.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)+ }
            }
        }
    };
}

codes! {
    /// A foreign source named a loopback, link-local, multicast or unspecified address and the host does not allow it. State is unchanged.
    AddressRefused = "address-refused" in Invalid,
    /// Every eligible instance is in the exclude list of the pick. State is unchanged.
    AllExcluded = "all-excluded" in Unavailable,
    /// A create-only registration met an existing record. State is unchanged.
    AlreadyExists = "already-exists" in Conflict,
    /// The object was disposed of (JS), or is used while it cannot be. State is unchanged.
    Disposed = "disposed" in Usage,
    /// A document names one key twice. State is unchanged.
    DuplicateKey = "duplicate-key" in Data,
    /// The engine that several servers share cannot be reached, and changes are refused until it can. State is unchanged.
    EngineUnreachable = "engine-unreachable" in Unavailable,
    /// Not a host, an IP address or an endpoint URL. State is unchanged.
    InvalidAddress = "invalid-address" in Invalid,
    /// An argument has the wrong type or a value outside its set. State is unchanged.
    InvalidArgument = "invalid-argument" in Invalid,
    /// Not a duration. State is unchanged.
    InvalidDuration = "invalid-duration" in Invalid,
    /// A metadata key has a character outside `[A-Za-z0-9_.-/]`, or a value has a control character. State is unchanged.
    InvalidMetadata = "invalid-metadata" in Invalid,
    /// A name, id, tag or locality has a character or form that is not allowed. State is unchanged.
    InvalidName = "invalid-name" in Invalid,
    /// Not a known policy, or a parameter of one is out of range. State is unchanged.
    InvalidPolicy = "invalid-policy" in Invalid,
    /// A selector does not parse; the message tells the column. State is unchanged.
    InvalidSelector = "invalid-selector" in Invalid,
    /// A time at or above 2^53 microseconds, negative or not a number. State is unchanged.
    InvalidTime = "invalid-time" in Invalid,
    /// Not a semantic version or version range. State is unchanged.
    InvalidVersion = "invalid-version" in Invalid,
    /// A weight that is negative, not a number or above 65 535. State is unchanged.
    InvalidWeight = "invalid-weight" in Invalid,
    /// A size, length, depth or count above its limit. State is unchanged.
    LimitExceeded = "limit-exceeded" in Limit,
    /// A document that is not well-formed. State is unchanged.
    Malformed = "malformed" in Data,
    /// A field that must be there is not. State is unchanged.
    MissingField = "missing-field" in Invalid,
    /// No instance matches the query. State is unchanged.
    NoInstances = "no-instances" in Unavailable,
    /// The instances of the service are all disabled, draining to their end or unhealthy. State is unchanged.
    NoneAvailable = "none-available" in Unavailable,
    /// The record belongs to another source. State is unchanged.
    NotOwner = "not-owner" in Conflict,
    /// The server has no room for one more: ask again a little later. State is unchanged.
    Overloaded = "overloaded" in Unavailable,
    /// Whoever asks may not do that, by the policy of the server. State is unchanged.
    PermissionDenied = "permission-denied" in Conflict,
    /// The registry, a namespace or a source holds as much as its quota allows. State is unchanged.
    QuotaExceeded = "quota-exceeded" in Limit,
    /// `if_revision` does not name the record's revision. State is unchanged.
    RevisionMismatch = "revision-mismatch" in Conflict,
    /// Snapshot bytes fail their checksum, are cut short or contradict themselves. State is unchanged.
    SnapshotCorrupt = "snapshot-corrupt" in Data,
    /// Snapshot bytes of a format version this release does not read. State is unchanged.
    SnapshotVersion = "snapshot-version" in Data,
    /// The incarnation is older than the record's. State is unchanged.
    StaleIncarnation = "stale-incarnation" in Conflict,
    /// A field nobody knows, such as `wieght`. State is unchanged.
    UnknownField = "unknown-field" in Invalid,
    /// No such instance. State is unchanged.
    UnknownInstance = "unknown-instance" in NotFound,
    /// A renewal for a record that is gone: register again. State is unchanged.
    UnknownLease = "unknown-lease" in NotFound,
    /// No query is saved under that name. State is unchanged.
    UnknownQuery = "unknown-query" in NotFound,
    /// A URL path or method the protocol does not have. State is unchanged.
    UnknownRoute = "unknown-route" in NotFound,
    /// No such service. State is unchanged.
    UnknownService = "unknown-service" in NotFound,
    /// A watch that was never opened or was closed. State is unchanged.
    UnknownWatch = "unknown-watch" in NotFound,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of printable ASCII: other characters become `\u{..}` escapes, and what goes past `limit` bytes becomes `...`.
pub(crate) fn escape(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        if c == '\\' || !(' '..='~').contains(&c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        if out.len() > limit {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn codes_are_sorted_unique_and_kebab() {
        let names: std::vec::Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.iter().all(|name| name.chars().all(|c| c == '-' || c.is_ascii_lowercase())), "{names:?}");
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn an_error_is_one_printable_line() {
        let error = Error::new(Code::InvalidName, "service\n").detail("a\r\nb\u{202e}\\").limit(63).within("ops[1]");
        assert_eq!(error.to_string(), "invalid-name: ops[1].service\\n: a\\r\\nb\\u{202e}\\\\ (limit 63)");
        let long = Error::new(Code::Malformed, "").detail("x".repeat(1_000));
        assert!(long.to_string().len() < 300);
    }
}
