//! etcd's JSON gateway: questions as bodies, answers as what they say. Keys and values are base64, numbers are strings, and what is zero or empty is not there.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::base64;
use crate::error::{Code, Error};
use crate::value::Value;

/// How many entries a page of a listing has: no more than fits the largest document, whatever they say.
const PAGE: u64 = 128;

/// A key and what is under it.
pub(super) struct Kv {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// When it was written last.
    pub(super) revision: u64,
    /// What it hangs on; 0 for nothing.
    pub(super) lease: u64,
    pub(super) gone: bool,
}

/// An operation on one key, on the condition that nobody has written it since a revision; 0 where it is not there.
pub(super) struct Change {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) since: u64,
    pub(super) hang: Hang,
}

/// What a key hangs on from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hang {
    Lease(u64),
    AsItDoes,
}

/// What an answer says.
pub(super) enum Said {
    /// A page of a listing.
    Page { revision: u64, kvs: Vec<Kv>, more: bool },
    /// Something of a watch. With an end, it tells no more.
    Events { kvs: Vec<Kv>, position: Option<u64>, end: bool },
}

pub(super) fn page(prefix: &str, from: Option<&[u8]>, revision: u64) -> String {
    let key = from.map_or_else(|| prefix.as_bytes().to_vec(), |last| [last, &[0]].concat());
    let mut body = alloc::vec![("key", bytes(&key)), ("range_end", bytes(&end_of(prefix))), ("limit", PAGE.to_string().as_str().into())];
    if revision > 0 {
        body.push(("revision", revision.to_string().as_str().into()));
    }
    text(&Value::map(body))
}

pub(super) fn watch(prefix: &str, after: u64) -> String {
    let start = after.saturating_add(1).to_string();
    let request = [
        ("key", bytes(prefix.as_bytes())),
        ("range_end", bytes(&end_of(prefix))),
        ("start_revision", start.as_str().into()),
        ("fragment", true.into()),
    ];
    text(&Value::map([("create_request", Value::map(request))]))
}

/// A question that is answered only by a server that can write, and says nothing else.
pub(super) fn ping(prefix: &str) -> String {
    text(&Value::map([("key", bytes(prefix.as_bytes()))]))
}

pub(super) fn grant(ttl: u64) -> String {
    text(&Value::map([("TTL", Value::from(ttl.to_string().as_str()))]))
}

/// A question about a lease: to keep it alive, or how long it lasts.
pub(super) fn lease(lease: u64) -> String {
    text(&Value::map([("ID", Value::from(lease.to_string().as_str()))]))
}

/// All of these or none; if none, what there is under each key instead.
pub(super) fn transaction(prefix: &str, changes: &[Change]) -> String {
    let key = |change: &Change| bytes([prefix, &change.key].concat().as_bytes());
    let condition = |change: &Change| {
        let since = change.since.to_string();
        Value::map([("key", key(change)), ("target", "MOD".into()), ("result", "EQUAL".into()), ("mod_revision", since.as_str().into())])
    };
    let write = |change: &Change| match &change.value {
        None => Value::map([("request_delete_range", Value::map([("key", key(change))]))]),
        Some(value) => {
            let hang = match change.hang {
                Hang::Lease(lease) => ("lease", Value::from(lease.to_string().as_str())),
                Hang::AsItDoes => ("ignore_lease", true.into()),
            };
            Value::map([("request_put", Value::map([("key", key(change)), ("value", bytes(value.as_bytes())), hang]))])
        }
    };
    let look = |change: &Change| Value::map([("request_range", Value::map([("key", key(change))]))]);
    text(&Value::map([
        ("compare", Value::List(changes.iter().map(condition).collect())),
        ("success", Value::List(changes.iter().map(write).collect())),
        ("failure", Value::List(changes.iter().map(look).collect())),
    ]))
}

/// What a transaction led to.
pub(super) enum Outcome {
    Done {
        revision: u64,
    },
    /// Somebody else was faster: what there is now, key by key; nothing where there is nothing.
    Changed {
        revision: u64,
        kvs: Vec<Option<Kv>>,
    },
}

pub(super) fn read_transaction(body: &[u8]) -> Result<Outcome, Error> {
    let root = document(body)?;
    let revision = revision(&root)?;
    if root.get("succeeded").and_then(Value::as_bool) == Some(true) {
        return Ok(Outcome::Done { revision });
    }
    let of = |response: &Value| response.get("response_range")?.get("kvs")?.as_list()?.first().and_then(kv);
    let responses = root.get("responses").and_then(Value::as_list).unwrap_or_default();
    Ok(Outcome::Changed { revision, kvs: responses.iter().map(of).collect() })
}

/// The number of the lease that was granted.
pub(super) fn read_grant(body: &[u8]) -> Result<u64, Error> {
    let root = document(body)?;
    root.get("ID").and_then(number).filter(|id| *id > 0).ok_or_else(|| malformed("ID"))
}

/// Whether the lease is there.
pub(super) fn read_keep_alive(body: &[u8]) -> Result<bool, Error> {
    let root = document(body)?;
    let result = root.get("result").ok_or_else(|| malformed("result"))?;
    revision(result)?;
    Ok(result.get("TTL").and_then(number).is_some_and(|ttl| ttl > 0))
}

/// Whether a lease is there, for however short a time.
pub(super) fn read_time_to_live(body: &[u8]) -> Result<bool, Error> {
    let root = document(body)?;
    revision(&root)?;
    Ok(root.get("grantedTTL").and_then(number).is_some_and(|ttl| ttl > 0))
}

pub(super) fn read_ping(body: &[u8]) -> Result<(), Error> {
    revision(&document(body)?).map(drop)
}

/// Whether an error says that a lease is not there.
pub(super) fn is_lease_lost(body: &[u8]) -> bool {
    let says = |root: &Value| root.get("error").or_else(|| root.get("message"))?.as_str().map(|text| text.contains("lease not found"));
    Value::from_json(body).ok().as_ref().and_then(says).unwrap_or(false)
}

/// A page of a listing, or a line of a watch.
pub(super) fn read(body: &[u8]) -> Result<Said, Error> {
    let root = document(body)?;
    let Some(result) = root.get("result") else {
        let kvs = root.get("kvs").and_then(Value::as_list).unwrap_or_default().iter().filter_map(kv).collect();
        let more = root.get("more").and_then(Value::as_bool).unwrap_or(false);
        return Ok(Said::Page { revision: revision(&root)?, kvs, more });
    };
    let newest = revision(result)?;
    let is = |name: &str| result.get(name).and_then(Value::as_bool).unwrap_or(false);
    let event = |event: &Value| {
        let gone = event.get("type").and_then(Value::as_str) == Some("DELETE");
        kv(event.get("kv")?).map(|kv| Kv { gone, ..kv })
    };
    let kvs: Vec<Kv> = result.get("events").and_then(Value::as_list).unwrap_or_default().iter().filter_map(event).collect();
    // Whoever catches up is told the store's own revision: only where nothing else is told is that where we stand. A revision may come in parts.
    let told = kvs.iter().map(|kv| kv.revision).max();
    let position = match told {
        Some(told) => Some(told.saturating_sub(is("fragment").into())),
        None => (!is("created")).then_some(newest),
    };
    let compacted = result.get("compact_revision").and_then(number).is_some_and(|revision| revision > 0);
    Ok(Said::Events { kvs, position, end: compacted || is("canceled") })
}

fn document(body: &[u8]) -> Result<Value, Error> {
    let root = Value::from_json(body)?;
    if root.get("error").is_some() { Err(malformed("error")) } else { Ok(root) }
}

fn revision(root: &Value) -> Result<u64, Error> {
    root.get("header").and_then(|header| header.get("revision")).and_then(number).ok_or_else(|| malformed("header.revision"))
}

fn kv(kv: &Value) -> Option<Kv> {
    let bytes = |name: &str| kv.get(name).map_or(Some(Vec::new()), |text| base64::decode(text.as_str()?));
    let number = |name: &str| kv.get(name).and_then(number).unwrap_or(0);
    Some(Kv { key: bytes("key")?, value: bytes("value")?, revision: number("mod_revision"), lease: number("lease"), gone: false })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn bytes(bytes: &[u8]) -> Value {
    base64::encode(bytes).as_str().into()
}

/// The first key behind all with this prefix.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // Text has no byte that is not followed by another.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

fn text(value: &Value) -> String {
    String::from_utf8(value.to_json()).unwrap_or_default()
}

pub(super) fn malformed(field: &str) -> Error {
    Error::new(Code::Malformed, field).message("not an answer of etcd's gateway")
}
