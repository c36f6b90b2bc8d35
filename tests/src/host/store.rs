//! The verbs of stores: an engine of keys and values, and a file.

use std::collections::BTreeMap;

use callboard::registry::Config;
use callboard::store::journal::recover;
use callboard::store::{Store, Unread, leftovers, load};
use callboard::{Error, Timestamp, Value};

use super::{Host, number, text};

/// An engine of keys and values, and a file, each with what keeps it.
#[derive(Default)]
pub struct Engine {
    entries: BTreeMap<String, String>,
    store: Store,
    file: Vec<u8>,
    journal: Store,
}

impl Host {
    pub(super) fn on_store(&mut self, verb: &str, args: &Value, now: Timestamp) -> Result<Value, Error> {
        let Engine { entries, store, file, journal } = &mut self.engine;
        let config = || Config::from_value(args.get("config").unwrap_or(&self.config));
        match verb {
            "put_entries" => {
                for entry in args.get("entries").and_then(Value::as_list).unwrap_or_default() {
                    entries.insert(text(entry, "key")?.into(), text(entry, "value")?.into());
                }
                Ok(Value::Map(Vec::new()))
            }
            "entries" => Ok(Value::map([("keys", Value::List(entries.keys().map(|key| key.as_str().into()).collect()))])),
            "let_go" => {
                store.failed();
                Ok(Value::Map(Vec::new()))
            }
            "store" => {
                let Some(writes) = store.writes(&self.registry) else { return Ok(Value::Map(Vec::new())) };
                if args.get("fails").is_some() {
                    return Ok(writes.to_value());
                }
                if writes.whole {
                    for key in leftovers(&self.registry, &*entries) {
                        entries.remove(&key);
                    }
                }
                for write in &writes.writes {
                    match &write.value {
                        Some(value) => entries.insert(write.key.clone(), value.clone()),
                        None => entries.remove(&write.key),
                    };
                }
                store.written();
                Ok(writes.to_value())
            }
            "load" => {
                let mut given = entries.clone();
                for entry in args.get("entries").and_then(Value::as_list).unwrap_or_default() {
                    given.insert(text(entry, "key")?.into(), text(entry, "value")?.into());
                }
                let loaded = load(given, config()?, now)?;
                self.registry = loaded.registry;
                let position = self.registry.position();
                let skipped = Value::List(loaded.skipped.iter().map(Unread::to_value).collect());
                Ok(Value::map([("epoch", position.epoch.into()), ("revision", position.revision.into()), ("skipped", skipped)]))
            }
            "journal" => {
                let Some(frame) = journal.frame(&self.registry) else { return Ok(Value::Map(Vec::new())) };
                if frame.replace {
                    file.clear();
                }
                file.extend(&frame.bytes);
                journal.written();
                Ok(Value::map([("replace", frame.replace.into()), ("bytes", (frame.bytes.len() as u64).into())]))
            }
            _ => {
                let mut bytes = file.clone();
                bytes.truncate(bytes.len() - number(args, "cut")?.unwrap_or(0) as usize);
                if let Some(bit) = number(args, "flip")? {
                    let bit = bit as usize;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                let back = recover(&bytes, config()?, now)?;
                self.registry = back.registry;
                let position = self.registry.position();
                Ok(Value::map([("epoch", position.epoch.into()), ("revision", position.revision.into()), ("torn", back.torn.into())]))
            }
        }
    }
}
