//! What goes into a feed, and what comes out.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Feed;
use crate::error::{Code, Error};
use crate::registry::{Reconciled, Registry, Skipped};
use crate::time::{Timestamp, secs};
use crate::value::{Fields, Value};

/// An answer, as the transport has it.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The HTTP status; 200 for a transport that has none.
    pub status: u16,
    /// The headers by name, in any case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// Whether this is all of the answer. Of one that was cut, whom it does not name stays.
    pub complete: bool,
}

impl<'a> Payload<'a> {
    /// A whole answer of status 200 without headers.
    pub fn new(body: &'a [u8]) -> Self {
        Self { status: 200, headers: &[], body, complete: true }
    }

    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// What the transport of an answer knows, as a document says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The HTTP status. Default 200.
    pub status: u16,
    /// The headers by name.
    pub headers: Vec<(String, String)>,
    /// Whether this is all of the answer. Default true.
    pub complete: bool,
}

impl Transport {
    /// Reads `{status?, headers?, complete?}`; `headers` is a map of strings.
    ///
    /// # Errors
    /// A typed error that names the field.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["status", "headers", "complete"])?;
        let status = fields.u64("status")?.unwrap_or(200);
        let status = u16::try_from(status).map_err(|_| Error::too_large("status", u16::MAX.into()))?;
        let mut headers = Vec::new();
        if let Some(given) = fields.value("headers") {
            let wrong = || Error::new(Code::InvalidArgument, "headers").message("expected a map of strings");
            for (name, text) in given.as_map().ok_or_else(wrong)? {
                headers.push((name.clone(), text.as_str().ok_or_else(wrong)?.into()));
            }
        }
        Ok(Self { status, headers, complete: fields.bool("complete")?.unwrap_or(true) })
    }

    /// Gives a feed the answer with this body.
    pub fn push(&self, feed: &mut Feed, registry: &mut Registry, body: &[u8], now: Timestamp) -> Fed {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let payload = Payload { status: self.status, headers: &headers, body, complete: self.complete };
        feed.push(registry, &payload, now)
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ask {
    /// All that there is.
    #[default]
    Full,
    /// What has changed since the answer before (Eureka's `apps/delta`).
    Delta,
    /// A stream of changes from the cursor on.
    Watch,
}

impl Ask {
    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
            Self::Watch => "watch",
        }
    }

    /// Reads the name.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let known = [Self::Full, Self::Delta, Self::Watch].into_iter().find(|ask| ask.as_str() == name);
        known.ok_or_else(|| Error::new(Code::InvalidArgument, "ask").message("one of full delta watch"))
    }
}

/// The next question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// How long to wait before it.
    pub after: Duration,
    /// What to ask for.
    pub ask: Ask,
    /// What goes into the query of the URL: `index=42&wait=60s`. Often empty.
    pub query: String,
    /// What goes into the headers.
    pub headers: Vec<(&'static str, String)>,
    /// Where the source stood: an index, a version, a revision; none when it starts anew.
    pub cursor: Option<String>,
    /// Why it starts anew, when it does.
    pub resync: Option<&'static str>,
}

impl Next {
    /// Writes `{after, ask, query, headers, cursor?, resync?}`, `after` in seconds.
    pub fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![
            ("after", Value::from(secs(self.after))),
            ("ask", self.ask.as_str().into()),
            ("query", self.query.as_str().into()),
            ("headers", Value::map(self.headers.iter().map(|(name, value)| (*name, Value::from(value.as_str()))))),
        ];
        pairs.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor.into())));
        pairs.extend(self.resync.map(|reason| ("resync", reason.into())));
        Value::map(pairs)
    }
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Records made.
    pub added: u32,
    /// Records changed.
    pub updated: u32,
    /// Records removed.
    pub removed: u32,
    /// Records that the source no longer names and that stay until it is confirmed.
    pub held: u32,
    /// What was not taken, and why, by its place in the payload.
    pub skipped: Vec<Skipped>,
    /// Names of services that the answer lists without their instances.
    pub services: Vec<String>,
    /// Whether the answer was the one before again, and was not read.
    pub unchanged: bool,
    /// Whether the records are those of an earlier answer, in part or as a whole.
    pub stale: bool,
    /// What is wrong with the answer as a whole; it changed nothing then.
    pub problem: Option<Error>,
    /// The revision the registry stands at.
    pub revision: u64,
    /// What to ask next.
    pub next: Next,
}

impl Fed {
    pub(super) fn new(done: Reconciled, unchanged: bool, stale: bool, problem: Option<Error>, next: Next) -> Self {
        let Reconciled { added, updated, removed, held, skipped, revision } = done;
        Self { added, updated, removed, held, skipped, services: Vec::new(), unchanged, stale, problem, revision, next }
    }

    /// Writes `{added, updated, removed, held, skipped, services, unchanged, stale, problem, revision, next}`; `problem` is `{code, field, message}` or null.
    pub fn to_value(&self) -> Value {
        let problem = self.problem.as_ref().map(|error| {
            Value::map([("code", Value::from(error.code().as_str())), ("field", error.field().into()), ("message", error.text().into())])
        });
        let count = |number: u32| Value::from(u64::from(number));
        Value::map([
            ("added", count(self.added)),
            ("updated", count(self.updated)),
            ("removed", count(self.removed)),
            ("held", count(self.held)),
            ("skipped", Value::List(self.skipped.iter().map(Skipped::to_value).collect())),
            ("services", Value::List(self.services.iter().map(|name| Value::from(name.as_str())).collect())),
            ("unchanged", self.unchanged.into()),
            ("stale", self.stale.into()),
            ("problem", problem.unwrap_or_default()),
            ("revision", Value::from(self.revision)),
            ("next", self.next.to_value()),
        ])
    }
}
