//! Entries: what of a registry stands under which key.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use super::{Changed, Write};
use crate::error::{Code, Error, escape};
use crate::hex::{hex, unhex};
use crate::limits;
use crate::model::{Lease, Override, Registration};
use crate::query::Query;
use crate::registry::{Config, Key, Op, Put, Registry, TokenDigest};
use crate::time::{Timestamp, micros, secs};
use crate::value::{Fields, Value};

/// Of the entries. One of another format is not read.
const FORMAT: u64 = 1;
pub(super) const REGISTRY: &str = "registry";
const INSTANCES: &str = "instances";
const OVERRIDES: &str = "overrides";
const QUERIES: &str = "queries";
/// The field of an instance's entry that a registration has not.
const TOKEN: &str = "token_digest";

/// The entries of what changed, or of everything.
pub(super) fn writes(registry: &Registry, changed: Option<&Changed>) -> Vec<Write> {
    let mut writes = Vec::new();
    match changed {
        Some(Changed { records, overrides, queries }) => {
            for key in records {
                let own = registry.lookup(&key.namespace, &key.service, &key.id).and_then(|handle| registry.local(handle));
                writes.push(instance(registry, key, own.as_ref()));
            }
            for key in overrides {
                writes.push(admin(key, registry.admin(key), registry.now()));
            }
            for (namespace, name) in queries {
                let value = registry.saved_query(namespace, name).map(|own| text(&own.query.to_value()));
                writes.push(Write { key: spell_names(QUERIES, [namespace, name]), value, ttl: None });
            }
        }
        None => {
            for own in registry.locals() {
                writes.push(instance(registry, &Key::of(&own), Some(&own)));
            }
            for ([namespace, service, id], own) in registry.admins() {
                writes.push(admin(&Key::new(namespace, service, id), Some(own), registry.now()));
            }
            for own in registry.saved_queries(None) {
                let key = spell_names(QUERIES, [&own.query.namespace, &own.name]);
                writes.push(Write { key, value: Some(text(&own.query.to_value())), ttl: None });
            }
        }
    }
    let head = [("format", FORMAT.into()), ("epoch", registry.epoch().into()), ("revision", registry.revision().into())];
    writes.push(Write { key: REGISTRY.into(), value: Some(text(&Value::map(head))), ttl: None });
    writes
}

fn instance(registry: &Registry, key: &Key, own: Option<&Registration>) -> Write {
    let ttl = own.and_then(|own| own.lease).map(lasting);
    Write { key: spell(INSTANCES, key), value: own.map(|own| registration(registry, key, own)), ttl }
}

/// The document of a registration, with the digest of its token if it has one.
fn registration(registry: &Registry, key: &Key, own: &Registration) -> String {
    let guard = registry.lookup(&key.namespace, &key.service, &key.id).and_then(|handle| registry.guard(handle));
    let Value::Map(mut pairs) = own.to_value() else { return String::new() };
    pairs.extend(guard.map(|guard| (TOKEN.into(), hex(&guard.digest.0).into())));
    text(&Value::Map(pairs))
}

/// How long an engine keeps what has a lease, in seconds. The third beyond the lease is for saying so again: at no time less than a whole lease is left.
pub(super) fn lasting(lease: Lease) -> u64 {
    let seconds = micros(lease.ttl).saturating_add(micros(lease.grace)).saturating_mul(4).div_ceil(3_000_000);
    // To an eighth of the power of two below it.
    let step = 1u64.checked_shl(seconds.max(8).ilog2().saturating_sub(3)).unwrap_or(1);
    seconds.div_ceil(step).saturating_mul(step)
}

fn admin(key: &Key, own: Option<&Override>, now: Timestamp) -> Write {
    Write { key: spell(OVERRIDES, key), value: own.map(|own| admin_text(own, now)), ttl: None }
}

pub(super) fn admin_text(own: &Override, now: Timestamp) -> String {
    let mut pairs = alloc::vec![("state", Value::from(own.state.as_str()))];
    if !own.reason.is_empty() {
        pairs.push(("reason", own.reason.as_str().into()));
    }
    if let Some(until) = own.until {
        pairs.push(("ttl", secs(until.saturating_since(now)).into()));
    }
    text(&Value::map(pairs))
}

pub(super) fn text(value: &Value) -> String {
    String::from_utf8(value.to_json()).unwrap_or_default()
}

/// The key of an instance, or of the override of one.
pub(super) fn spell_of(is_override: bool, key: &Key) -> String {
    spell(if is_override { OVERRIDES } else { INSTANCES }, key)
}

/// Whose a key is, if it is spelled as one of an instance or of an override; whether it is of an override.
pub(super) fn name(key: &str) -> Option<(bool, Key)> {
    let (kind, names) = key.split_once('/')?;
    let own = unspell(names)?;
    let is_override = kind == OVERRIDES;
    (spell_of(is_override, &own) == key).then_some((is_override, own))
}

/// A key that is none of ours.
pub(super) fn unread(key: &str) -> Unread {
    Unread::new(key, corrupt(key))
}

/// A number for what a registration says.
pub(super) fn print_of(own: &Registration) -> u64 {
    xxh3_64(&own.to_value().to_json())
}

/// A number for what an override says, but for how long that is still so.
pub(super) fn print_of_admin(own: &Override) -> u64 {
    let ends = if own.until.is_some() { "for a while" } else { "for good" };
    xxh3_64([own.state.as_str(), ends, &own.reason].join(" ").as_bytes())
}

fn spell(kind: &str, key: &Key) -> String {
    spell_names(kind, [&key.namespace, &key.service, &key.id])
}

fn spell_names<const COUNT: usize>(kind: &str, names: [&String; COUNT]) -> String {
    let mut spelled = String::from(kind);
    for name in names {
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

/// What an engine held.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The registry.
    pub registry: Registry,
    /// What is no part of it, in order of the keys: for the host to tell somebody, and to leave as it is.
    pub skipped: Vec<Unread>,
}

/// An entry that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its key, or as much of it as helps to find it, escaped.
    pub key: String,
    /// Why.
    pub error: Error,
}

impl Unread {
    pub(super) fn new(key: &str, error: Error) -> Self {
        Self { key: escape(key, limits::ID_BYTES), error }
    }

    /// Writes `{key, error: {code, field}}`.
    pub fn to_value(&self) -> Value {
        let error = Value::map([("code", Value::from(self.error.code().as_str())), ("field", self.error.field().into())]);
        Value::map([("key", self.key.as_str().into()), ("error", error)])
    }
}

/// The registry of all entries of an engine, in a new epoch: the larger of the configured one and the one after theirs. Its revision is past theirs; every
/// lease begins anew at `now`. No entries make an empty registry. A key that is unknown, twice there or not what its value says, a value that is damaged: each
/// is skipped and told, and so is a `registry` that is missing, in whose place the configured epoch stands.
///
/// # Errors
/// [`Code::SnapshotVersion`]; [`Code::QuotaExceeded`] when there are more than `config` allows; what [`Config::validate`] returns.
pub fn load<K: AsRef<str>, V: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = (K, V)>,
    config: Config,
    now: Timestamp,
) -> Result<Loaded, Error> {
    let mut loaded = Loaded { registry: Registry::new(config)?, skipped: Vec::new() };
    let mut sorted = BTreeMap::new();
    for (key, value) in entries {
        if sorted.insert(String::from(key.as_ref()), value).is_some() {
            loaded.skip(key.as_ref(), corrupt(key.as_ref()));
        }
    }
    let head = sorted.remove(REGISTRY).map(|head| read_head(head.as_ref()));
    match head {
        Some(Ok((epoch, revision))) => loaded.registry.resume(epoch, revision, now),
        Some(Err(error)) if error.code() == Code::SnapshotVersion => return Err(error),
        None if sorted.is_empty() => return Ok(loaded),
        _ => {
            loaded.registry.resume(0, 0, now);
            loaded.skip(REGISTRY, corrupt(REGISTRY));
        }
    }
    let (mut keys, mut ops, mut guards) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in &sorted {
        match read_query(key, value.as_ref()) {
            Ok(None) => {}
            Ok(Some((name, query))) => {
                if let Err(error) = loaded.registry.save_query(&name, &query, now) {
                    loaded.skip(key, error);
                }
                continue;
            }
            Err(error) => {
                loaded.skip(key, error);
                continue;
            }
        }
        match read(key, value.as_ref(), now) {
            Ok(op) => {
                guards.extend(token_of(&op, value.as_ref()));
                keys.push(key.as_str());
                ops.push(op);
            }
            Err(error) => loaded.skip(key, error),
        }
        if ops.len() == limits::BATCH_OPS {
            loaded.apply(&mut keys, &mut ops, now)?;
        }
    }
    loaded.apply(&mut keys, &mut ops, now)?;
    for (key, digest) in guards {
        loaded.registry.set_guard(&key, digest);
    }
    loaded.skipped.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(loaded)
}

impl Loaded {
    fn skip(&mut self, key: &str, error: Error) {
        self.skipped.push(Unread::new(key, error));
    }

    /// At once, or without those that cannot be. A quota is the host's affair.
    fn apply(&mut self, keys: &mut Vec<&str>, ops: &mut Vec<Op>, now: Timestamp) -> Result<(), Error> {
        match self.registry.apply(ops, now) {
            Ok(_) => {}
            Err(error) if error.code() == Code::QuotaExceeded => return Err(error),
            Err(_) => {
                for (key, op) in keys.iter().zip(ops.iter()) {
                    if let Err(error) = self.registry.apply(core::slice::from_ref(op), now) {
                        self.skip(key, error);
                    }
                }
            }
        }
        keys.clear();
        ops.clear();
        Ok(())
    }
}

/// Of the entries that an engine holds, the keys that go with a [whole](super::Writes::whole) answer: what they say is no longer so. A key that is not ours, or
/// whose value cannot be read, is not among them.
pub fn leftovers<K: AsRef<str>, V: AsRef<[u8]>>(registry: &Registry, entries: impl IntoIterator<Item = (K, V)>) -> Vec<String> {
    let is_gone = |key: &str, value: &[u8]| match read(key, value, registry.now()) {
        Ok(Op::Register { registration: Registration { namespace, service, id, .. }, .. }) => {
            registry.lookup(&namespace, &service, &id).and_then(|handle| registry.local(handle)).is_none()
        }
        Ok(Op::SetAdmin { key, .. }) => registry.admin(&key).is_none(),
        _ => false,
    };
    let is_over = |key: &str, value: &[u8]| match read_query(key, value) {
        Ok(Some((name, query))) => registry.saved_query(&query.namespace, &name).is_none(),
        Ok(None) => is_gone(key, value),
        Err(_) => false,
    };
    entries.into_iter().filter(|(key, value)| is_over(key.as_ref(), value.as_ref())).map(|(key, _)| key.as_ref().into()).collect()
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
pub(super) fn read(key: &str, bytes: &[u8], now: Timestamp) -> Result<Op, Error> {
    let mut value = Value::from_json(bytes).map_err(|_| corrupt(key))?;
    let (kind, names) = key.split_once('/').ok_or_else(|| corrupt(key))?;
    let (own, op) = match kind {
        INSTANCES => {
            take_token(&mut value).map_err(|()| corrupt(key))?;
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

/// Whose token the entry of an instance has.
fn token_of(op: &Op, bytes: &[u8]) -> Option<(Key, TokenDigest)> {
    let Op::Register { registration, .. } = op else { return None };
    let digest = take_token(&mut Value::from_json(bytes).ok()?).ok()??;
    Some((Key::of(registration), digest))
}

/// Takes the digest of a token out of an entry.
fn take_token(value: &mut Value) -> Result<Option<TokenDigest>, ()> {
    let Value::Map(pairs) = value else { return Ok(None) };
    let Some(at) = pairs.iter().position(|(name, _)| name == TOKEN) else { return Ok(None) };
    let (_, digest) = pairs.remove(at);
    digest.as_str().and_then(unhex).map(|digest| Some(TokenDigest(digest))).ok_or(())
}

/// The name and the query of an entry that is one.
fn read_query(key: &str, bytes: &[u8]) -> Result<Option<(String, Query)>, Error> {
    let Some(names) = key.strip_prefix(QUERIES).and_then(|rest| rest.strip_prefix('/')) else { return Ok(None) };
    let query = Value::from_json(bytes).and_then(|value| Query::from_value(&value)).map_err(|_| corrupt(key))?;
    let [namespace, name] = unspell_names(names).ok_or_else(|| corrupt(key))?;
    let is_own = namespace == query.namespace && spell_names(QUERIES, [&namespace, &name]) == key;
    if is_own { Ok(Some((name, query))) } else { Err(corrupt(key)) }
}

fn unspell(names: &str) -> Option<Key> {
    let [namespace, service, id] = unspell_names(names)?;
    Some(Key { namespace, service, id })
}

fn unspell_names<const COUNT: usize>(names: &str) -> Option<[String; COUNT]> {
    let parts = names.split('/').map(|part| {
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
    parts.collect::<Option<Vec<String>>>()?.try_into().ok()
}

fn corrupt(key: &str) -> Error {
    // Keys come from outside: as much of one as helps to find it.
    let known: String = key.chars().take(80).flat_map(char::escape_default).collect();
    Error::new(Code::SnapshotCorrupt, "entries").detail(alloc::format!("{known}: missing, damaged or not an entry"))
}
