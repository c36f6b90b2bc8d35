//! The verbs of the vectors, done in Rust through the public API.

mod balance;
mod registry;
mod replica;
mod store;
mod wire;

use std::collections::BTreeMap;

use callboard::balance::Balancer;
use callboard::formats::Feed;
use callboard::model::{DEFAULT_NAMESPACE, Registration};
use callboard::query::{Query, Selector, VersionRange};
use callboard::registry::{Config, Registry, View};
use callboard::serve::{Server, Wait};
use callboard::{Code, Error, Timestamp, Value};

/// Everything one case works on.
pub struct Host {
    config: Value,
    registry: Registry,
    views: BTreeMap<String, View>,
    snapshots: BTreeMap<String, Vec<u8>>,
    balancers: BTreeMap<String, Balancer>,
    waits: BTreeMap<String, (Server, Wait)>,
    feeds: BTreeMap<String, Feed>,
    engine: store::Engine,
    replica: callboard::store::replica::Replica,
}

impl Host {
    /// A host with a new registry.
    ///
    /// # Errors
    /// What is wrong with the config.
    pub fn new(config: &Value) -> Result<Self, Error> {
        Ok(Self {
            config: config.clone(),
            registry: Registry::new(Config::from_value(config)?)?,
            views: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            balancers: BTreeMap::new(),
            waits: BTreeMap::new(),
            feeds: BTreeMap::new(),
            engine: store::Engine::default(),
            replica: callboard::store::replica::Replica::new(Default::default()),
        })
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Does one verb. `keep` is the name under which what is no document (snapshot bytes, a wait) is kept.
    ///
    /// # Errors
    /// Those of the core.
    pub fn perform(&mut self, verb: &str, args: &Value, keep: Option<&str>, now: u64) -> Result<Value, Error> {
        let now = Timestamp::from_micros(now)?;
        match verb {
            "parse_selector" => Ok(one("text", Selector::parse(text(args, "text")?)?.text())),
            "match" => {
                let compiled = Query::from_value(part(args, "query")?)?.compile()?;
                Ok(one("match", compiled.matches(&Registration::from_value(part(args, "instance")?)?)))
            }
            "version_match" => {
                let range = VersionRange::parse(text(args, "range")?)?;
                Ok(one("match", range.matches(&callboard::model::Version::parse(text(args, "version")?)?)))
            }
            "is_repeatable" => {
                let outcome = callboard::balance::Outcome::from_value(part(args, "outcome")?)?;
                Ok(one("repeatable", callboard::balance::is_repeatable(text(args, "method")?, &outcome)))
            }
            "balancer" | "pick" | "picks" | "finish" | "finish_and_pick" | "reap" | "balancer_deadline" | "balancer_stats"
            | "may_retry" | "retry_delay" | "hedge_delay" | "may_hedge" | "admit" | "probe_requests" | "probed" | "explain"
            | "explained" => self.balance(verb, args, now),
            "decode" | "encode" | "feed" | "follow" | "push" | "lost" | "dns" | "request" | "resume" => self.wire(verb, args, keep, now),
            "replicate" | "ask" | "answer" | "no_answer" | "follow_engine" | "tell" | "stream_lost" | "fate" => {
                self.on_replica(verb, args, now)
            }
            "store" | "put_entries" | "entries" | "let_go" | "load" | "journal" | "recover" => self.on_store(verb, args, now),
            _ => self.on_registry(verb, args, keep, now),
        }
    }
}

fn one(name: &str, value: impl Into<Value>) -> Value {
    Value::map([(name, value.into())])
}

fn part<'a>(args: &'a Value, name: &str) -> Result<&'a Value, Error> {
    args.get(name).ok_or_else(|| Error::new(Code::MissingField, name))
}

fn text<'a>(args: &'a Value, name: &str) -> Result<&'a str, Error> {
    part(args, name)?.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, name))
}

fn text_or<'a>(args: &'a Value, name: &str, default: &'a str) -> Result<&'a str, Error> {
    args.get(name).map_or(Ok(default), |_| text(args, name))
}

fn number(args: &Value, name: &str) -> Result<Option<u64>, Error> {
    let read = |value: &Value| value.as_u64().ok_or_else(|| Error::new(Code::InvalidArgument, name));
    args.get(name).map(read).transpose()
}

/// Namespace, service, id.
fn key(args: &Value) -> Result<(&str, &str, &str), Error> {
    Ok((text_or(args, "namespace", DEFAULT_NAMESPACE)?, text(args, "service")?, text(args, "id")?))
}
