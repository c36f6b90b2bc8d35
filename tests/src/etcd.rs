//! As much of etcd behind its JSON gateway as a replica asks of it, in memory and in steps: its rules as its documentation has them.

use std::collections::BTreeMap;

use callboard::Value;

type Bytes = Vec<u8>;

#[derive(Clone, Debug)]
struct Stored {
    value: Bytes,
    revision: u64,
    lease: u64,
}

/// A key-value store with one order of revisions, leases, and watches that may go back as far as nothing is compacted.
#[derive(Debug, Default)]
pub struct Etcd {
    revision: u64,
    keys: BTreeMap<Bytes, Stored>,
    /// Ttl and end, in seconds.
    leases: BTreeMap<u64, (u64, f64)>,
    granted: u64,
    history: Vec<(u64, Bytes, Option<Stored>)>,
    compacted: u64,
}

impl Etcd {
    /// The keys that are there, with their values.
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.keys.iter().map(move |(key, stored)| (text(key), text(&stored.value)))
    }

    /// Forgets what happened so far, but what is there.
    pub fn compact(&mut self) {
        self.compacted = self.revision;
    }

    /// Forgets everything, as a disk that was lost.
    pub fn wipe(&mut self) {
        *self = Self { granted: self.granted, ..Self::default() };
    }

    /// Goes on by so many revisions, as if somebody had written what nobody here follows.
    pub fn count_on(&mut self, count: u64) {
        self.revision += count;
    }

    /// After a restart or a change of leader every lease begins anew.
    pub fn restart(&mut self, now: f64) {
        self.leases.values_mut().for_each(|(ttl, end)| *end = now + *ttl as f64);
    }

    /// Removes what hangs on leases that have ended.
    pub fn advance(&mut self, now: f64) {
        let ended: Vec<u64> = self.leases.iter().filter(|(_, (_, end))| *end <= now).map(|(id, _)| *id).collect();
        for id in ended {
            self.leases.remove(&id);
            let keys: Vec<Bytes> = self.keys.iter().filter(|(_, stored)| stored.lease == id).map(|(key, _)| key.clone()).collect();
            if !keys.is_empty() {
                self.revision += 1;
                keys.into_iter().for_each(|key| self.delete(key));
            }
        }
    }

    /// Puts a value under a key, as somebody with a shell would.
    pub fn put(&mut self, key: &str, value: &str) {
        self.revision += 1;
        self.write(key.into(), value.into(), 0);
    }

    /// Removes a key likewise.
    pub fn remove(&mut self, key: &str) {
        self.revision += 1;
        self.delete(key.into());
    }

    fn write(&mut self, key: Bytes, value: Bytes, lease: u64) {
        let stored = Stored { value, revision: self.revision, lease };
        self.history.push((self.revision, key.clone(), Some(stored.clone())));
        self.keys.insert(key, stored);
    }

    fn delete(&mut self, key: Bytes) {
        if self.keys.remove(&key).is_some() {
            self.history.push((self.revision, key, None));
        }
    }

    /// Answers a question.
    pub fn post(&mut self, path: &str, body: &str, now: f64) -> String {
        self.advance(now);
        let body = Value::from_json(body.as_bytes()).expect("JSON");
        let answer = match path {
            "/v3/kv/range" => self.range(&body),
            "/v3/kv/txn" => self.transaction(&body),
            "/v3/lease/grant" => {
                self.granted += 1;
                let ttl = number(&body, "TTL");
                self.leases.insert(self.granted, (ttl, now + ttl as f64));
                self.with_header([("ID", text(self.granted)), ("TTL", text(ttl))])
            }
            "/v3/lease/keepalive" => {
                let id = number(&body, "ID");
                let lease = self.leases.get_mut(&id);
                let ttl = lease.map(|(ttl, end)| {
                    *end = now + *ttl as f64;
                    ("TTL", text(*ttl))
                });
                Value::map([("result", self.with_header([("ID", text(id))].into_iter().chain(ttl)))])
            }
            "/v3/lease/timetolive" => {
                let id = number(&body, "ID");
                let lasts = match self.leases.get(&id) {
                    Some((ttl, end)) => vec![("TTL", text((end - now) as u64)), ("grantedTTL", text(*ttl))],
                    None => vec![("TTL", Value::from("-1"))],
                };
                self.with_header([("ID", text(id))].into_iter().chain(lasts))
            }
            other => panic!("no {other} here"),
        };
        String::from_utf8(answer.to_json()).expect("UTF-8")
    }

    fn with_header(&self, pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let header = Value::map([("cluster_id", text(7)), ("revision", text(self.revision))]);
        Value::map([("header", header)].into_iter().chain(pairs))
    }

    fn range(&self, body: &Value) -> Value {
        let (from, limit) = (bytes(body, "key"), number(body, "limit"));
        let end = body.get("range_end").map(|_| bytes(body, "range_end"));
        let within = |key: &Bytes| end.as_ref().map_or(*key == from, |end| *key >= from && key < end);
        // What was so at an earlier revision is told by the history.
        let at = number(body, "revision");
        if at > self.revision {
            return error("mvcc: required revision is a future revision", 11);
        }
        if at > 0 && at < self.compacted {
            return error("mvcc: required revision has been compacted", 11);
        }
        let mut keys = self.keys.clone();
        if at > 0 {
            for (revision, key, _) in self.history.iter().rev().take_while(|(revision, ..)| *revision > at) {
                let before = self.history.iter().rev().find(|(then, name, _)| then < revision && name == key);
                match before.and_then(|(_, _, stored)| stored.clone()) {
                    Some(stored) => keys.insert(key.clone(), stored),
                    None => keys.remove(key),
                };
            }
        }
        let mut found: Vec<Value> = keys.iter().filter(|(key, _)| within(key)).map(|(key, stored)| kv(key, Some(stored), 0)).collect();
        let more = limit > 0 && found.len() as u64 > limit;
        if more {
            found.truncate(limit as usize);
        }
        let mut pairs = vec![("kvs", Value::List(found))];
        if more {
            pairs.push(("more", true.into()));
        }
        self.with_header(pairs)
    }

    fn transaction(&mut self, body: &Value) -> Value {
        let list = |name| body.get(name).and_then(Value::as_list).unwrap_or_default();
        let holds = |condition: &Value| {
            let there = self.keys.get(&bytes(condition, "key")).map_or(0, |stored| stored.revision);
            there == number(condition, "mod_revision")
        };
        if !list("compare").iter().all(holds) {
            let responses =
                list("failure").iter().map(|one| Value::map([("response_range", self.range(one.get("request_range").expect("a range")))]));
            let responses = Value::List(responses.collect());
            return self.with_header([("responses", responses)]);
        }
        let lost = |one: &Value| {
            one.get("request_put").is_some_and(|put| !matches!(number(put, "lease"), id if id == 0 || self.leases.contains_key(&id)))
        };
        if list("success").iter().any(lost) {
            return error("requested lease not found", 5);
        }
        let keeps = |one: &Value| one.get("request_put").filter(|put| put.get("ignore_lease").is_some()).map(|put| bytes(put, "key"));
        if list("success").iter().filter_map(keeps).any(|key| !self.keys.contains_key(&key)) {
            return error("key not found", 3);
        }
        self.revision += 1;
        for one in list("success") {
            if let Some(put) = one.get("request_put") {
                let (key, value) = (bytes(put, "key"), bytes(put, "value"));
                let lease = match put.get("ignore_lease") {
                    Some(_) => self.keys[&key].lease,
                    None => number(put, "lease"),
                };
                self.write(key, value, lease);
            } else if let Some(delete) = one.get("request_delete_range") {
                self.delete(bytes(delete, "key"));
            }
        }
        self.with_header([("succeeded", true.into())])
    }

    /// Begins a watch: where it stands, and the first line of it.
    pub fn watch(&self, body: &str) -> (u64, String) {
        let body = Value::from_json(body.as_bytes()).expect("JSON");
        let start = number(body.get("create_request").expect("a request"), "start_revision");
        let more: Vec<(&str, Value)> = if start <= self.compacted {
            vec![("canceled", true.into()), ("compact_revision", text(self.compacted + 1))]
        } else {
            vec![("created", true.into())]
        };
        (start, line(&self.with_header(more)))
    }

    /// The next line of a watch that stands somewhere, with so many events at most.
    pub fn events(&self, position: &mut u64, most: usize) -> Option<String> {
        if *position <= self.compacted {
            return Some(line(&self.with_header([("canceled", true.into()), ("compact_revision", text(self.compacted + 1))])));
        }
        let mut events: Vec<&(u64, Bytes, Option<Stored>)> = self.history.iter().filter(|(revision, ..)| revision >= position).collect();
        let last = events.get(most.saturating_sub(1)).or(events.last())?.0;
        // All of a revision together.
        events.retain(|(revision, ..)| *revision <= last);
        *position = last + 1;
        let events = events.into_iter().map(|(revision, key, stored)| {
            let kind = stored.is_none().then_some(("type", Value::from("DELETE")));
            Value::map([("kv", kv(key, stored.as_ref(), *revision))].into_iter().chain(kind))
        });
        Some(line(&self.with_header([("events", Value::List(events.collect()))])))
    }
}

fn error(text: &str, code: i64) -> Value {
    Value::map([("error", Value::from(format!("etcdserver: {text}").as_str())), ("code", Value::Int(code))])
}

fn line(result: &Value) -> String {
    String::from_utf8(Value::map([("result", result.clone())]).to_json()).expect("UTF-8")
}

fn kv(key: &[u8], stored: Option<&Stored>, gone: u64) -> Value {
    let mut pairs = vec![("key", encode(key)), ("mod_revision", text(stored.map_or(gone, |stored| stored.revision)))];
    if let Some(stored) = stored {
        pairs.push(("value", encode(&stored.value)));
        if stored.lease > 0 {
            pairs.push(("lease", text(stored.lease)));
        }
    }
    Value::map(pairs)
}

fn text(number: u64) -> Value {
    number.to_string().as_str().into()
}

fn number(value: &Value, name: &str) -> u64 {
    value
        .get(name)
        .map_or(0, |value| value.as_u64().unwrap_or_else(|| value.as_str().and_then(|text| text.parse().ok()).expect("a number")))
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as the gateway spells them.
pub fn encode(bytes: &[u8]) -> Value {
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4).for_each(|at| out.push(if at <= three.len() { LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char } else { '=' }));
    }
    out.as_str().into()
}

fn bytes(value: &Value, name: &str) -> Bytes {
    let text = value.get(name).and_then(Value::as_str).unwrap_or_default().trim_end_matches('=');
    let mut out = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.bytes() {
        bits = bits << 6 | LETTERS.iter().position(|letter| *letter == byte).expect("base64") as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
