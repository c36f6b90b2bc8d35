//! The verbs of a registry that is one of several over an engine.

use callboard::store::replica::{Ask, Replica, Settings};
use callboard::{Error, Timestamp, Value};

use super::Host;
use super::wire::body;

impl Host {
    pub(super) fn on_replica(&mut self, verb: &str, args: &Value, now: Timestamp) -> Result<Value, Error> {
        let Self { replica, registry, .. } = self;
        match verb {
            "replicate" => *replica = Replica::new(Settings::from_value(args)?),
            "ask" => return Ok(replica.ask(registry, now).map_or(Value::Map(Vec::new()), asked)),
            "answer" => return Ok(replica.answer(registry, &body(args)?, now)?.to_value()),
            "no_answer" => replica.failed(registry, now),
            "follow_engine" => return Ok(asked(replica.follow())),
            "tell" => return Ok(replica.push(registry, &body(args)?, now)?.to_value()),
            "stream_lost" => replica.lost(registry, now),
            _ => {
                let deadline = replica.deadline().map(|deadline| deadline.as_micros());
                let fate = replica.fate(registry.edition()).as_str();
                return Ok(Value::map([("fate", Value::from(fate)), ("stale", replica.is_stale().into()), ("deadline", deadline.into())]));
            }
        }
        Ok(Value::Map(Vec::new()))
    }
}

/// A question with its body parsed.
fn asked(ask: Ask) -> Value {
    let Value::Map(mut pairs) = ask.to_value() else { return Value::Null };
    for (name, value) in &mut pairs {
        if name == "body" {
            *value = Value::from_json(ask.body.as_bytes()).expect("a body is JSON");
        }
    }
    Value::Map(pairs)
}
