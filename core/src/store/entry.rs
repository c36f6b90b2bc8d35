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
use crate::model::{Handle, Lease, Override, Registration};
use crate::query::Query;
use crate::registry::{Config, Key, Op, Put, Registry, SavedName, TokenDigest};
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

/// Which entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Instance(Key),
    Override(Key),
    Query(SavedName),
}

impl Name {
    /// The key it stands under.
    pub(super) fn spell(&self) -> String {
        match self {
            Self::Instance(key) => spell(INSTANCES, [&key.namespace, &key.service, &key.id]),
            Self::Override(key) => spell(OVERRIDES, [&key.namespace, &key.service, &key.id]),
            Self::Query((namespace, name)) => spell(QUERIES, [namespace, name]),
        }
    }

    /// Whose a key is, if it is spelled as one of ours.
    pub(super) fn read(key: &str) -> Option<Self> {
        let (kind, names) = key.split_once('/')?;
        let of_instance = |name: fn(Key) -> Self| {
            let [namespace, service, id] = unspell(names)?;
            Some(name(Key { namespace, service, id }))
        };
        let own = match kind {
            INSTANCES => of_instance(Self::Instance)?,
            OVERRIDES => of_instance(Self::Override)?,
            QUERIES => {
                let [namespace, name] = unspell(names)?;
                Self::Query((namespace, name))
            }
            _ => return None,
        };
        (own.spell() == key).then_some(own)
    }
}

/// What an entry says.
pub(super) enum Said {
    /// With the digest of its token, if it has one.
    Instance(Registration, Option<TokenDigest>),
    Override(Key, Override),
    Query(SavedName, Query),
}

/// The entries of what changed, or of everything.
pub(super) fn writes(registry: &Registry, changed: Option<&Changed>) -> Vec<Write> {
    let names: Vec<Name> = match changed {
        Some(Changed { records, overrides, queries }) => {
            let records = records.iter().cloned().map(Name::Instance);
            let overrides = overrides.iter().cloned().map(Name::Override);
            records.chain(overrides).chain(queries.iter().cloned().map(Name::Query)).collect()
        }
        None => names(registry).collect(),
    };
    let mut writes: Vec<Write> = names.iter().map(|name| write(registry, name)).collect();
    let head = [("format", FORMAT.into()), ("epoch", registry.epoch().into()), ("revision", registry.revision().into())];
    writes.push(Write { key: REGISTRY.into(), value: Some(text(&Value::map(head))), ttl: None });
    writes
}

/// Everything that a registry has and an engine keeps.
pub(super) fn names(registry: &Registry) -> impl Iterator<Item = Name> {
    let instances = registry.locals().map(|own| Name::Instance(Key::of(&own)));
    let overrides = registry.admins().map(|([namespace, service, id], _)| Name::Override(Key::new(namespace, service, id)));
    let queries = registry.saved_queries(None).map(|own| Name::Query((own.query.namespace.clone(), own.name.clone())));
    instances.chain(overrides).chain(queries)
}

/// What is to be written under a name now.
fn write(registry: &Registry, name: &Name) -> Write {
    let ttl = match name {
        Name::Instance(Key { namespace, service, id }) => registry.lookup(namespace, service, id).and_then(|handle| registry.lease(handle)),
        _ => None,
    };
    Write { key: name.spell(), value: says(registry, name).map(|(value, _)| value), ttl: ttl.map(lasting) }
}

/// What a registry has under a name, if it has anything, and a number for it.
pub(super) fn says(registry: &Registry, name: &Name) -> Option<(String, u64)> {
    let value = match name {
        Name::Instance(key) => local(registry, key).map(|(own, digest, _)| instance_text(&own, digest))?,
        Name::Override(key) => {
            let own = registry.admin(key)?;
            return Some((admin_text(own, registry.now()), print_of_admin(own)));
        }
        Name::Query((namespace, name)) => text(&registry.saved_query(namespace, name)?.query.to_value()),
    };
    let print = print(&value);
    Some((value, print))
}

impl Said {
    /// A number for it: that of what the registry [says] once it has taken it.
    pub(super) fn print(&self) -> u64 {
        match self {
            Self::Instance(own, digest) => print(instance_text(own, *digest)),
            Self::Override(_, own) => print_of_admin(own),
            Self::Query(_, own) => print(text(&own.to_value())),
        }
    }
}

/// What a provider said of itself, if it is none of another source, and the digest of its token.
pub(super) fn local(registry: &Registry, key: &Key) -> Option<(Registration, Option<TokenDigest>, Handle)> {
    let handle = registry.lookup(&key.namespace, &key.service, &key.id)?;
    Some((registry.local(handle)?, registry.guard(handle).map(|guard| guard.digest), handle))
}

/// The document of a registration, with the digest of its token if it has one.
fn instance_text(own: &Registration, digest: Option<TokenDigest>) -> String {
    let Value::Map(mut pairs) = own.to_value() else { return String::new() };
    pairs.extend(digest.map(|digest| (TOKEN.into(), hex(&digest.0).into())));
    text(&Value::Map(pairs))
}

/// How long an engine keeps what has a lease, in seconds. The third beyond the lease is for saying so again: at no time less than a whole lease is left.
pub(super) fn lasting(lease: Lease) -> u64 {
    let seconds = micros(lease.ttl).saturating_add(micros(lease.grace)).saturating_mul(4).div_ceil(3_000_000);
    // To an eighth of the power of two below it.
    let step = 1u64.checked_shl(seconds.max(8).ilog2().saturating_sub(3)).unwrap_or(1);
    seconds.div_ceil(step).saturating_mul(step)
}

fn admin_text(own: &Override, now: Timestamp) -> String {
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

/// A key that is none of ours.
pub(super) fn unread(key: &str) -> Unread {
    Unread::new(key, corrupt(key))
}

pub(super) fn print(text: impl AsRef<[u8]>) -> u64 {
    xxh3_64(text.as_ref())
}

/// A number for what an override says, but for how long that is still so.
fn print_of_admin(own: &Override) -> u64 {
    let ends = if own.until.is_some() { "for a while" } else { "for good" };
    print([own.state.as_str(), ends, &own.reason].join(" "))
}

fn spell<const COUNT: usize>(kind: &str, names: [&String; COUNT]) -> String {
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
        let op = match read(key, value.as_ref(), now) {
            Ok(Said::Query((_, name), query)) => {
                if let Err(error) = loaded.registry.save_query(&name, &query, now) {
                    loaded.skip(key, error);
                }
                continue;
            }
            Ok(Said::Instance(registration, digest)) => {
                guards.extend(digest.map(|digest| (Key::of(&registration), digest)));
                Op::Register { registration, put: Put::default() }
            }
            Ok(Said::Override(key, admin)) => Op::SetAdmin { key, admin: Some(admin) },
            Err(error) => {
                loaded.skip(key, error);
                continue;
            }
        };
        keys.push(key.as_str());
        ops.push(op);
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
    let is_over = |key: &str, value: &[u8]| {
        read(key, value, registry.now()).is_ok() && Name::read(key).is_some_and(|name| write(registry, &name).value.is_none())
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
pub(super) fn read(key: &str, bytes: &[u8], now: Timestamp) -> Result<Said, Error> {
    let wrong = || corrupt(key);
    let name = Name::read(key).ok_or_else(wrong)?;
    let mut value = Value::from_json(bytes).map_err(|_| wrong())?;
    let said = match name {
        Name::Instance(own) => {
            let digest = take_token(&mut value).map_err(|()| wrong())?;
            let registration = Registration::from_value(&value).ok().filter(|said| Key::of(said) == own);
            Said::Instance(registration.ok_or_else(wrong)?, digest)
        }
        Name::Override(own) => Said::Override(own, Override::from_value(&value, now).map_err(|_| wrong())?),
        Name::Query(own) => {
            let query = Query::from_value(&value).ok().filter(|said| said.namespace == own.0);
            Said::Query(own, query.ok_or_else(wrong)?)
        }
    };
    Ok(said)
}

/// Takes the digest of a token out of an entry.
fn take_token(value: &mut Value) -> Result<Option<TokenDigest>, ()> {
    let Value::Map(pairs) = value else { return Ok(None) };
    let Some(at) = pairs.iter().position(|(name, _)| name == TOKEN) else { return Ok(None) };
    let (_, digest) = pairs.remove(at);
    digest.as_str().and_then(unhex).map(|digest| Some(TokenDigest(digest))).ok_or(())
}

fn unspell<const COUNT: usize>(names: &str) -> Option<[String; COUNT]> {
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
