//! Entries: what of a registry stands under which key.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::{Changed, Write};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{Override, Registration};
use crate::registry::{Config, Key, Op, Put, Registry};
use crate::time::{Timestamp, secs};
use crate::value::{Fields, Value};

/// Of the entries. One of another format is not read.
const FORMAT: u64 = 1;
const REGISTRY: &str = "registry";
const INSTANCES: &str = "instances";
const OVERRIDES: &str = "overrides";

/// The entries of what changed, or of everything.
pub(super) fn writes(registry: &Registry, changed: Option<&Changed>) -> Vec<Write> {
    let mut writes = Vec::new();
    match changed {
        Some(Changed { records, overrides }) => {
            for key in records {
                writes.push(Write { key: spell(INSTANCES, key), value: instance(registry, key) });
            }
            for key in overrides {
                let own = registry.admin(key).map(|own| admin(own, registry.now()));
                writes.push(Write { key: spell(OVERRIDES, key), value: own });
            }
        }
        None => {
            for own in registry.locals() {
                writes.push(Write { key: spell(INSTANCES, &Key::of(&own)), value: Some(text(&own.to_value())) });
            }
            for ([namespace, service, id], own) in registry.admins() {
                let key = Key::new(namespace, service, id);
                writes.push(Write { key: spell(OVERRIDES, &key), value: Some(admin(own, registry.now())) });
            }
        }
    }
    let head = [("format", FORMAT.into()), ("epoch", registry.epoch().into()), ("revision", registry.revision().into())];
    writes.push(Write { key: REGISTRY.into(), value: Some(text(&Value::map(head))) });
    writes
}

fn instance(registry: &Registry, key: &Key) -> Option<String> {
    let handle = registry.lookup(&key.namespace, &key.service, &key.id)?;
    Some(text(&registry.local(handle)?.to_value()))
}

fn admin(own: &Override, now: Timestamp) -> String {
    let mut pairs = alloc::vec![("state", Value::from(own.state.as_str()))];
    if !own.reason.is_empty() {
        pairs.push(("reason", own.reason.as_str().into()));
    }
    if let Some(until) = own.until {
        pairs.push(("ttl", secs(until.saturating_since(now)).into()));
    }
    text(&Value::map(pairs))
}

fn text(value: &Value) -> String {
    String::from_utf8(value.to_json()).unwrap_or_default()
}

fn spell(kind: &str, key: &Key) -> String {
    let mut spelled = String::from(kind);
    for name in [&key.namespace, &key.service, &key.id] {
        spelled.push('/');
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                spelled.push(char::from(byte));
            } else {
                // Writing to memory does not fail.
                let _ = write!(spelled, "={byte:02X}");
            }
        }
    }
    spelled
}

/// The registry of all entries of an engine, in a new epoch: the larger of the configured one and the one after theirs. Its revision is past theirs; every
/// lease begins anew at `now`. No entries make an empty registry.
///
/// # Errors
/// [`Code::SnapshotCorrupt`] that names the key which is missing, twice there, unknown or not what its key says; [`Code::SnapshotVersion`];
/// [`Code::QuotaExceeded`] when there are more than `config` allows; what [`Config::validate`] returns.
pub fn load<K: AsRef<str>, V: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = (K, V)>,
    config: Config,
    now: Timestamp,
) -> Result<Registry, Error> {
    let mut registry = Registry::new(config)?;
    let mut sorted = BTreeMap::new();
    for (key, value) in entries {
        if sorted.insert(String::from(key.as_ref()), value).is_some() {
            return Err(corrupt(key.as_ref()));
        }
    }
    if sorted.is_empty() {
        return Ok(registry);
    }
    let head = sorted.remove(REGISTRY).ok_or_else(|| corrupt(REGISTRY))?;
    let (epoch, revision) = read_head(head.as_ref())?;
    registry.resume(epoch, revision, now);
    let mut ops = Vec::new();
    for (key, value) in &sorted {
        ops.push(read(key, value.as_ref(), now)?);
        if ops.len() == limits::BATCH_OPS {
            registry.apply(&ops, now).map_err(unfit)?;
            ops.clear();
        }
    }
    registry.apply(&ops, now).map_err(unfit)?;
    Ok(registry)
}

fn read_head(bytes: &[u8]) -> Result<(u64, u64), Error> {
    let wrong = |_| corrupt(REGISTRY);
    let head = Value::from_json(bytes).map_err(wrong)?;
    if head.get("format").and_then(Value::as_f64) != Some(FORMAT as f64) {
        return Err(Error::new(Code::SnapshotVersion, REGISTRY).limit(FORMAT).message("a format this release does not read"));
    }
    let fields = Fields::new(&head, "", &["format", "epoch", "revision"]).map_err(wrong)?;
    let number =
        |name| fields.u64(name).ok().flatten().filter(|number| *number < Timestamp::MAX.as_micros()).ok_or_else(|| corrupt(REGISTRY));
    Ok((number("epoch")?, number("revision")?))
}

/// What an entry says, if its key is the one it belongs under.
fn read(key: &str, bytes: &[u8], now: Timestamp) -> Result<Op, Error> {
    let value = Value::from_json(bytes).map_err(|_| corrupt(key))?;
    let (kind, names) = key.split_once('/').ok_or_else(|| corrupt(key))?;
    let (own, op) = match kind {
        INSTANCES => {
            let registration = Registration::from_value(&value).map_err(|_| corrupt(key))?;
            (Key::of(&registration), Op::Register { registration, put: Put::default() })
        }
        OVERRIDES => {
            let own = unspell(names).ok_or_else(|| corrupt(key))?;
            let admin = Override::from_value(&value, now).map_err(|_| corrupt(key))?;
            (own.clone(), Op::SetAdmin { key: own, admin: Some(admin) })
        }
        _ => return Err(corrupt(key)),
    };
    if spell(kind, &own) == key { Ok(op) } else { Err(corrupt(key)) }
}

fn unspell(names: &str) -> Option<Key> {
    let mut parts = names.split('/').map(|part| {
        let (mut bytes, mut rest) = (Vec::new(), part.as_bytes());
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'=' => {
                    let (digits, after) = rest.split_at_checked(2)?;
                    bytes.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
                    rest = after;
                }
                byte => bytes.push(*byte),
            }
        }
        String::from_utf8(bytes).ok()
    });
    let key = Key::new(parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(key)
}

/// A quota is the host's affair and stays; any other fault is the entries'.
fn unfit(error: Error) -> Error {
    if error.code() == Code::QuotaExceeded { error } else { corrupt("instances") }
}

fn corrupt(key: &str) -> Error {
    // Keys come from outside: as much of one as helps to find it.
    let known: String = key.chars().take(80).flat_map(char::escape_default).collect();
    Error::new(Code::SnapshotCorrupt, "entries").detail(alloc::format!("{known}: missing, damaged or not an entry"))
}
