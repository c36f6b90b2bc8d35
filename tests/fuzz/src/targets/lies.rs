//! What may stand in etcd, and what is said to stand there.

use callboard::Value;
use callboard::store::replica::Ask;
use callboard_tests::etcd::encode;

use super::calls::Source;

pub(super) const PREFIX: &str = "callboard/";
/// What somebody may put under a key: damaged, of another format, of another instance, of a kind that keys are not.
pub(super) const DAMAGED: &[&str] = &["", "{", "null", "[]", "{\"service\":\"web\",\"id\":\"i9\"}", "{\"state\":\"asleep\"}", "\u{0}"];
pub(super) const FOREIGN: &[&str] =
    &["weather", "registry", "instances/default/web", "instances/default/web/i=30", "instances/=FF/web/i0", ""];

impl Source<'_> {
    /// One of few keys that are ours.
    pub(super) fn key(&mut self) -> String {
        let id = self.id();
        match self.byte() % 4 {
            0 => format!("overrides/default/web/{id}"),
            1 => format!("queries/default/{id}"),
            _ => format!("instances/default/web/{id}"),
        }
    }

    /// What a server may write under a key.
    pub(super) fn value(&mut self, key: &str) -> String {
        let id = key.rsplit('/').next().unwrap_or_default();
        let bits = self.byte();
        let weight = bits % 4 + 1;
        match key.split('/').next() {
            Some("overrides") => format!("{{\"state\":\"{}\",\"ttl\":{weight}}}", ["draining", "disabled"][usize::from(bits >> 7)]),
            Some("queries") => format!("{{\"service\":\"web\",\"limit\":{weight}}}"),
            _ => {
                let ttl = if bits & 4 > 0 { ",\"ttl\":5" } else { "" };
                let token = if bits & 8 > 0 { format!(",\"token_digest\":\"{:064x}\"", bits >> 7) } else { String::new() };
                let incarnation = bits >> 4 & 3;
                format!("{{\"service\":\"web\",\"id\":\"{id}\",\"weight\":{weight},\"incarnation\":{incarnation}{ttl}{token}}}")
            }
        }
    }

    fn number(&mut self) -> u64 {
        let byte = self.byte();
        match byte {
            0..240 => byte.into(),
            240..246 => u64::from(self.byte()) << (byte - 240) << 8,
            _ => [0, 1 << 53, (1 << 53) - 1, i64::MAX as u64, u64::MAX, u64::MAX - 1][usize::from(byte) % 6],
        }
    }
}

/// An answer that etcd has not given: the one that it gave, spoilt; one of the kind that was asked for; or anything.
pub(super) fn lie(source: &mut Source<'_>, ask: &Ask, answer: Option<&str>) -> Vec<u8> {
    let (how, header) = (source.byte(), |revision: u64| ("header", Value::map([("revision", text(revision))])));
    // A lease that somebody else has is not to be told from one's own.
    let may_spoil = how < 96 && ask.path != "/v3/lease/grant";
    if let (true, Some(mut answer)) = (may_spoil, answer.and_then(|answer| Value::from_json(answer.as_bytes()).ok())) {
        let (mut place, what) = (usize::from(source.byte()), source.byte());
        spoil(&mut answer, &mut place, what, source);
        return answer.to_json();
    }
    let revision = source.number();
    match (how % 8, ask.path) {
        (0, _) => {
            let length = usize::from(source.byte()).min(source.0.len());
            let (raw, rest) = source.0.split_at(length);
            source.0 = rest;
            raw.to_vec()
        }
        (1, _) => br#"{"error":"etcdserver: requested lease not found","code":5}"#.to_vec(),
        (2, _) | (_, "/v3/watch") => {
            let events = (0..source.byte() % 4).map(|_| {
                let gone = source.byte().is_multiple_of(4).then_some(("type", Value::from("DELETE")));
                Value::map([("kv", entry(source))].into_iter().chain(gone))
            });
            let events = Value::List(events.collect());
            let bits = source.byte();
            let flags = ["created", "canceled", "fragment"].into_iter().enumerate().filter(|(bit, _)| bits >> bit & 3 == 3);
            let flags: Vec<(&str, Value)> = flags.map(|(_, flag)| (flag, true.into())).collect();
            let result = [header(revision), ("events", events)].into_iter().chain(flags);
            Value::map([("result", Value::map(result))]).to_json()
        }
        (3, _) | (_, "/v3/kv/range") => {
            let kvs = Value::List((0..source.byte() % 6).map(|_| entry(source)).collect());
            Value::map([header(revision), ("kvs", kvs), ("more", (source.byte() > 127).into())]).to_json()
        }
        (4, _) | (_, "/v3/kv/txn") => {
            let responses = (0..source.byte() % 4).map(|_| {
                let kvs = Value::List((0..source.byte() % 3).map(|_| entry(source)).collect());
                Value::map([("response_range", Value::map([("kvs", kvs)]))])
            });
            let responses = Value::List(responses.collect());
            Value::map([header(revision), ("responses", responses), ("succeeded", (source.byte() > 127).into())]).to_json()
        }
        (_, "/v3/lease/grant") => Value::map([header(revision), ("ID", text(revision | 1 << 40))]).to_json(),
        _ => {
            let ttl = source.number();
            let said = [("ID", text(revision)), ("TTL", text(ttl)), ("grantedTTL", text(ttl))];
            Value::map(
                [("result", Value::map([header(revision)].into_iter().chain(said.clone())))]
                    .into_iter()
                    .chain([header(revision)])
                    .chain(said),
            )
            .to_json()
        }
    }
}

/// A key and what is under it, as etcd has not.
fn entry(source: &mut Source<'_>) -> Value {
    let bits = source.byte();
    let (key, value) = match bits % 8 {
        0 => (source.of(FOREIGN).to_owned(), source.of(DAMAGED).to_owned()),
        1 => (source.key(), source.of(DAMAGED).to_owned()),
        _ => {
            let key = source.key();
            let value = source.value(&key);
            (key, value)
        }
    };
    let mut bytes = [PREFIX, &key].concat().into_bytes();
    if bits >= 240 {
        bytes.push(bits);
    }
    let lease = if bits & 64 > 0 { source.number() } else { 0 };
    let revision = source.number();
    Value::map([("key", encode(&bytes)), ("value", encode(value.as_bytes())), ("mod_revision", text(revision)), ("lease", text(lease))])
}

fn text(number: u64) -> Value {
    number.to_string().as_str().into()
}

/// Makes something else of one place.
fn spoil(value: &mut Value, place: &mut usize, what: u8, source: &mut Source<'_>) {
    let next = place.checked_sub(1);
    *place = next.unwrap_or(usize::MAX);
    if next.is_none() {
        *value = match (what % 8, &*value) {
            (0, _) => Value::Null,
            (1, Value::List(items)) => Value::List(items.iter().rev().cloned().collect()),
            (2, Value::List(items)) => Value::List(items.iter().chain(items).cloned().collect()),
            (1 | 2, _) => true.into(),
            (3, _) => entry(source),
            (4, _) => Value::List(vec![entry(source)]),
            (5, _) => encode(source.of(DAMAGED).as_bytes()),
            _ => text(source.number()),
        };
        return;
    }
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| spoil(item, place, what, source)),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, value)| spoil(value, place, what, source)),
        _ => {}
    }
}
