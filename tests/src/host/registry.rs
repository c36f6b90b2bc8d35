//! The verbs of the registry and of watches.

use callboard::model::{Handle, Health, Override, Registration};
use callboard::query::Query;
use callboard::registry::{Config, Listing, Mode, Op, Position, Put, Registry, View};
use callboard::{Error, Timestamp, Value};

use super::{Host, key, number, one, part, text, text_or};
use crate::document::unhex;

impl Host {
    pub(super) fn on_registry(&mut self, verb: &str, args: &Value, keep: Option<&str>, now: Timestamp) -> Result<Value, Error> {
        let registry = &mut self.registry;
        match verb {
            "register" => {
                let registration = Registration::from_value(part(args, "instance")?)?;
                let mode = args.get("mode").map_or(Ok(Mode::default()), |_| Mode::parse(text(args, "mode")?))?;
                let put = Put { mode, if_revision: number(args, "if_revision")? };
                Ok(registry.register(&registration, put, now)?.to_value())
            }
            "renew" => {
                let (namespace, service, id) = key(args)?;
                let handle = registry.renew(namespace, service, id, number(args, "incarnation")?.unwrap_or(0), now)?;
                Ok(one("handle", handle.to_bits()))
            }
            "renew_handle" => {
                let handle = Handle::from_bits(number(args, "handle")?.unwrap_or(u64::MAX))?;
                registry.renew_handle(handle, number(args, "incarnation")?.unwrap_or(0), now)?;
                Ok(Value::Map(Vec::new()))
            }
            "deregister" => {
                let (namespace, service, id) = key(args)?;
                Ok(one("revision", registry.deregister(namespace, service, id, number(args, "incarnation")?, now)?))
            }
            "set_health" => {
                let ((namespace, service, id), health) = (key(args)?, Health::parse(text(args, "health")?)?);
                Ok(one("revision", registry.set_health(namespace, service, id, health, number(args, "incarnation")?, now)?))
            }
            "set_admin" => {
                let (namespace, service, id) = key(args)?;
                let admin = args.get("admin").map(|admin| Override::from_value(admin, registry.clamp(now))).transpose()?;
                Ok(one("revision", registry.set_admin(namespace, service, id, admin, now)?))
            }
            "apply" => {
                let ops = Op::list_from_value(part(args, "ops")?, registry.clamp(now))?;
                Ok(one("revision", registry.apply(&ops, now)?))
            }
            "reconcile" => Ok(registry.reconcile(&Listing::from_value(args)?, now)?.to_value()),
            "acknowledge" => Ok(registry.acknowledge(text(args, "source")?, now)?.to_value()),
            "advance" => Ok(registry.advance(now).to_value()),
            "deadline" => Ok(one("deadline", registry.deadline().map(Timestamp::as_micros))),
            "lookup" => {
                let (namespace, service, id) = key(args)?;
                let instance = registry.lookup(namespace, service, id).and_then(|handle| registry.instance(handle));
                Ok(one("instance", instance.map(|instance| instance.to_value())))
            }
            "explain_query" => Ok(registry.explain(&Query::from_value(part(args, "query")?)?)?.to_value()),
            "save_query" => Ok(one("revision", registry.save_query(text(args, "name")?, &Query::from_value(part(args, "query")?)?, now)?)),
            "drop_query" => Ok(one("revision", registry.drop_query(text_or(args, "namespace", "default")?, text(args, "name")?, now)?)),
            "saved_query" => {
                let own = registry.saved_query(text_or(args, "namespace", "default")?, text(args, "name")?);
                Ok(one("query", own.map(|own| own.query.to_value())))
            }
            "saved_queries" => {
                let namespace = args.get("namespace").and_then(Value::as_str);
                Ok(one("queries", registry.saved_queries(namespace).map(|own| own.to_value()).collect::<Vec<_>>()))
            }
            "query" => {
                let answer = registry.query(&Query::from_value(part(args, "query")?)?);
                Ok(registry.answer_value(&answer))
            }
            "services" => {
                let namespace = args.get("namespace").map(|_| text(args, "namespace")).transpose()?;
                Ok(one("services", registry.services(namespace).iter().map(|summary| summary.to_value()).collect::<Vec<_>>()))
            }
            "position" => Ok(registry.position().to_value()),
            "changes" => Ok(registry.changes(Position::from_value(part(args, "since")?)?).to_value()),
            "digest" => Ok(one("digest", registry.digest(text_or(args, "namespace", "default")?, text(args, "service")?))),
            "stats" => Ok(registry.stats().to_value()),
            "snapshot" => {
                let bytes = registry.snapshot();
                let length = bytes.len() as u64;
                self.snapshots.insert(keep.unwrap_or("snapshot").to_owned(), bytes);
                Ok(one("bytes", length))
            }
            "restore" => {
                let config = Config::from_value(args.get("config").unwrap_or(&self.config))?;
                self.registry = Registry::restore(&self.bytes(args)?, config, now)?;
                Ok(self.registry.position().to_value())
            }
            "watch" => {
                let view = View::new(Query::from_value(part(args, "query")?)?)?;
                self.views.insert(text_or(args, "watch", "watch")?.to_owned(), view);
                Ok(Value::Map(Vec::new()))
            }
            "watch_saved" => {
                let view = View::saved(text_or(args, "namespace", "default")?, text(args, "name")?)?;
                self.views.insert(text_or(args, "watch", "watch")?.to_owned(), view);
                Ok(Value::Map(Vec::new()))
            }
            "poll" => {
                let name = text_or(args, "watch", "watch")?;
                let view = self.views.get_mut(name).unwrap_or_else(|| panic!("no watch {name:?}"));
                Ok(one("delta", view.poll(registry).map(|delta| delta.to_value(registry))))
            }
            other => panic!("no verb {other:?}"),
        }
    }

    /// The bytes of a kept snapshot, damaged as the step says.
    fn bytes(&self, args: &Value) -> Result<Vec<u8>, Error> {
        if args.get("hex").is_some() {
            return Ok(unhex(text(args, "hex")?));
        }
        let name = text_or(args, "from", "snapshot")?;
        let mut bytes = self.snapshots.get(name).unwrap_or_else(|| panic!("no snapshot {name:?}")).clone();
        bytes.truncate(bytes.len() - number(args, "cut")?.unwrap_or(0) as usize);
        if let Some(bit) = args.get("flip").and_then(Value::as_f64) {
            let bit = (bit as i64).rem_euclid(bytes.len() as i64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        Ok(bytes)
    }
}
