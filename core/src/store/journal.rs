//! A journal: entries as frames, one after the other.
//!
//! ```text
//! length of the body (8 bytes)  XXH3-64 of the body (8 bytes)  XXH3-64 of these 16 bytes (8 bytes)  body        all little endian
//! ```
//! The body is a [postcard](https://postcard.jamesmunns.com) row: the format, which state of the registry the frame follows on, which it leads to, and its
//! entries. The first frame follows on nothing and holds everything; each other one follows on the one before it, so that none can be missing, twice there
//! or in another's place.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Loaded, Mark, Write, load};
use crate::error::{Code, Error};
use crate::registry::{Config, Registry};
use crate::time::Timestamp;

const FORMAT: u16 = 1;
const HEADER: usize = 24;
/// What a disk writes whole.
const SECTOR: usize = 512;

/// Bytes for the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether they take the place of the file: write them beside it, make that durable, rename. Otherwise append them and make that durable.
    pub replace: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    format: u16,
    since: Option<Mark>,
    mark: Mark,
    #[serde(borrow)]
    writes: Vec<(&'a str, Option<&'a str>)>,
}

pub(super) fn write(since: Option<Mark>, mark: Mark, writes: &[Write]) -> Vec<u8> {
    let writes = writes.iter().map(|write| (write.key.as_str(), write.value.as_deref())).collect();
    let body = Body { format: FORMAT, since, mark, writes };
    // Writing to memory does not fail.
    let body = postcard::to_allocvec(&body).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER.saturating_add(body.len()));
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(xxh3_64(&body).to_le_bytes());
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// What a journal held.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The registry, as [`load`] makes it.
    pub registry: Registry,
    /// How many bytes at the end were left out: a frame of which only a part was written, and which nobody was told of.
    pub torn: u64,
}

/// The registry of a journal. The last frame may be torn, as a power cut leaves it: cut short, or with a sector of zeros (etcd's rule for its log). Any other
/// damage is an error. The next frame of a new [`Store`](super::Store) replaces the file.
///
/// # Errors
/// [`Code::SnapshotCorrupt`], [`Code::SnapshotVersion`], and those of [`load`].
pub fn recover(bytes: &[u8], config: Config, now: Timestamp) -> Result<Recovered, Error> {
    let mut entries = BTreeMap::new();
    let (mut at, mut held) = (0, None);
    while let Some(body) = frame(bytes, &mut at)? {
        let body: Body<'_> = postcard::from_bytes(body).map_err(|_| corrupt())?;
        if body.format != FORMAT {
            return Err(Error::new(Code::SnapshotVersion, "journal").limit(FORMAT.into()).message("a format this release does not read"));
        }
        if body.since != held {
            return Err(corrupt());
        }
        held = Some(body.mark);
        for (key, value) in body.writes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(key),
            };
        }
    }
    // The first frame is never torn: its file got its name when it was complete.
    held.ok_or_else(corrupt)?;
    let torn = bytes.len().saturating_sub(at) as u64;
    let Loaded { registry, skipped } = load(entries, config, now)?;
    // Frames are whole or not there: what is in them and cannot be read is another's, and would be lost with the next file.
    if skipped.is_empty() { Ok(Recovered { registry, torn }) } else { Err(corrupt()) }
}

/// The body of the frame that begins at `at`, which moves behind it; none at the end, or when what is there is torn.
fn frame<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, Error> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let Some((header, after)) = rest.split_at_checked(HEADER) else { return Ok(None) };
    let number = |from: usize| header.get(from..)?.first_chunk().copied().map(u64::from_le_bytes);
    if number(16) != header.get(..16).map(xxh3_64) {
        return torn(bytes, *at, bytes.len());
    }
    let Some(length) = number(0).and_then(|length| usize::try_from(length).ok()) else { return Ok(None) };
    let Some(body) = after.get(..length) else { return Ok(None) };
    let end = at.saturating_add(HEADER).saturating_add(length);
    if number(8) != Some(xxh3_64(body)) {
        return if end == bytes.len() { torn(bytes, *at, end) } else { Err(corrupt()) };
    }
    *at = end;
    Ok(Some(body))
}

/// Whether what is there was never written: a sector of it, by the file's own division, is zeros.
fn torn<T>(bytes: &[u8], start: usize, end: usize) -> Result<Option<T>, Error> {
    let mut from = start;
    while from < end {
        let to = from.saturating_add(SECTOR.saturating_sub(from % SECTOR)).min(end);
        if bytes.get(from..to).is_some_and(|sector| sector.iter().all(|byte| *byte == 0)) {
            return Ok(None);
        }
        from = to;
    }
    Err(corrupt())
}

fn corrupt() -> Error {
    Error::new(Code::SnapshotCorrupt, "journal").message("damaged, out of order or not a journal")
}
