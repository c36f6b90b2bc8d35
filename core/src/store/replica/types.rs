//! What a host passes in and gets out.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::Error;
use crate::limits;
use crate::store::Unread;
use crate::value::{Fields, Value};

/// How servers share an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What stands before every key; default `callboard/`.
    pub prefix: String,
    /// How many changes may wait for an engine that is away; 0, the default, refuses them all.
    pub queue: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prefix: "callboard/".into(), queue: 0 }
    }
}

impl Settings {
    /// Reads `{prefix?, queue?}`.
    ///
    /// # Errors
    /// [`Code::UnknownField`](crate::Code::UnknownField), [`Code::InvalidArgument`](crate::Code::InvalidArgument),
    /// [`Code::LimitExceeded`](crate::Code::LimitExceeded).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["prefix", "queue"])?;
        let prefix = fields.text("prefix")?.unwrap_or("callboard/");
        if prefix.is_empty() || prefix.len() > limits::ID_BYTES {
            return Err(Error::too_large("prefix", limits::ID_BYTES as u64).message("a prefix has 1 to 253 bytes"));
        }
        let queue = fields.u64("queue")?.unwrap_or(0);
        let queue = u32::try_from(queue).ok().filter(|queue| *queue <= limits::QUEUED_CHANGES);
        let queue = queue.ok_or_else(|| Error::too_large("queue", limits::QUEUED_CHANGES.into()))?;
        Ok(Self { prefix: prefix.into(), queue })
    }
}

/// A question to etcd's JSON gateway: a body to `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where to.
    pub path: &'static str,
    /// What to ask.
    pub body: String,
    /// Whether the answer is a stream of lines; otherwise it is one body.
    pub stream: bool,
    /// How long to wait before.
    pub after: Duration,
}

impl Ask {
    /// Writes `{path, body, stream, after}`, in seconds.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("path", self.path.into()),
            ("body", self.body.as_str().into()),
            ("stream", self.stream.into()),
            ("after", crate::time::secs(self.after).into()),
        ])
    }
}

/// What an answer led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether [`Replica::follow`] has another question; otherwise the stream goes on.
    pub again: bool,
    /// What is not ours or could not be read.
    pub skipped: Vec<Unread>,
}

impl Told {
    /// Writes `{again, skipped: [{key, error: {code, field}}]}`.
    pub fn to_value(&self) -> Value {
        let skipped = Value::List(self.skipped.iter().map(Unread::to_value).collect());
        Value::map([("again", self.again.into()), ("skipped", skipped)])
    }
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The engine has it, or it may wait for the engine: acknowledge it.
    Kept,
    /// Ask again after the next answer.
    Waiting,
    /// The engine is away. Whether it will have the change is not known.
    Unknown,
}

impl Fate {
    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
        }
    }
}
