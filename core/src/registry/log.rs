//! The change log: ordered, gapless, bounded.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::Error;
use crate::model::Handle;
use crate::value::{Fields, Value};

/// Where a reader stands: everything up to this revision of this epoch is known to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the registry.
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
}

impl Position {
    /// Reads `{epoch, revision}`.
    ///
    /// # Errors
    /// [`Code::UnknownField`](crate::Code::UnknownField), [`Code::InvalidArgument`](crate::Code::InvalidArgument).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["epoch", "revision"])?;
        Ok(Self { epoch: fields.u64("epoch")?.unwrap_or(0), revision: fields.u64("revision")?.unwrap_or(0) })
    }

    /// Writes `{epoch, revision}`.
    pub fn to_value(self) -> Value {
        Value::map([("epoch", self.epoch.into()), ("revision", self.revision.into())])
    }
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Something about it is different, its availability included.
    Updated,
    /// It is gone.
    Removed,
}

impl ChangeKind {
    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Removed => "removed",
        }
    }
}

/// Why it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The operator's word, or the end of it.
    Admin,
    /// It signed out.
    Deregister,
    /// Its lease ended.
    Expire,
    /// A report of its health.
    Health,
    /// Its lease became suspect, or live again.
    Lease,
    /// A listing of its source.
    Reconcile,
    /// It signed in, or said something new of itself.
    Register,
}

impl Cause {
    /// The word for it in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Deregister => "deregister",
            Self::Expire => "expire",
            Self::Health => "health",
            Self::Lease => "lease",
            Self::Reconcile => "reconcile",
            Self::Register => "register",
        }
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision it is part of; entries of one batch share one.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// Why.
    pub cause: Cause,
    /// The record it happened to. That of a removed one names nothing any more.
    pub handle: Handle,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The instance id.
    pub id: Box<str>,
}

impl Change {
    /// Writes `{revision, kind, cause, namespace, service, id, handle}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("revision", self.revision.into()),
            ("kind", self.kind.as_str().into()),
            ("cause", self.cause.as_str().into()),
            ("namespace", Value::from(&*self.namespace)),
            ("service", Value::from(&*self.service)),
            ("id", Value::from(&*self.id)),
            ("handle", self.handle.to_bits().into()),
        ])
    }
}

/// What a reader at a position has missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// All of it, in order, and where the reader stands with it.
    Events {
        /// The changes, ordered by revision.
        events: Vec<Change>,
        /// Read on from here.
        position: Position,
    },
    /// The log does not reach back so far, or the position is in the future: list again.
    Compacted {
        /// The oldest revision that can be read on from.
        oldest: u64,
        /// Where the registry stands.
        position: Position,
    },
    /// Another life of the registry: list again.
    NewEpoch {
        /// Where the registry stands.
        position: Position,
    },
}

impl Changes {
    /// Writes `{status, events?, oldest?, epoch, revision}`; the status is `events`, `compacted` or `new-epoch`.
    pub fn to_value(&self) -> Value {
        let (status, position) = match self {
            Self::Events { position, .. } => ("events", position),
            Self::Compacted { position, .. } => ("compacted", position),
            Self::NewEpoch { position } => ("new-epoch", position),
        };
        let mut pairs = alloc::vec![("status", Value::from(status))];
        match self {
            Self::Events { events, .. } => pairs.push(("events", Value::List(events.iter().map(Change::to_value).collect()))),
            Self::Compacted { oldest, .. } => pairs.push(("oldest", (*oldest).into())),
            Self::NewEpoch { .. } => {}
        }
        pairs.push(("epoch", position.epoch.into()));
        pairs.push(("revision", position.revision.into()));
        Value::map(pairs)
    }
}

/// The entries that are kept.
#[derive(Clone, Debug)]
pub(super) struct Log {
    entries: VecDeque<Change>,
    capacity: usize,
    /// A reader that knows everything up to here misses nothing.
    oldest: u64,
}

impl Log {
    pub(super) fn new(capacity: u32, oldest: u64) -> Self {
        Self { entries: VecDeque::new(), capacity: capacity as usize, oldest }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn push(&mut self, change: Change) {
        while self.entries.len() >= self.capacity
            && let Some(gone) = self.entries.pop_front()
        {
            // Half a revision is no good to anybody, and a reader that knows it all needs none of it.
            self.oldest = self.oldest.max(gone.revision);
        }
        self.entries.push_back(change);
    }

    /// The entries after a revision; none when some of them are gone.
    pub(super) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        if revision < self.oldest {
            return None;
        }
        let start = self.entries.partition_point(|change| change.revision <= revision);
        Some(self.entries.range(start..))
    }
}
