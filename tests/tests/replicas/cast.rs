//! The cast: servers, and the clients that go from one to another.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::model::Registration;
use callboard::query::{HealthFilter, Query};
use callboard::registry::{Config, Put, Registry};
use callboard::serve::token::proof;
use callboard::serve::{Reply, Request, Server as Protocols};
use callboard::store::replica::{Replica, Settings};
use callboard::{Code, Timestamp};

use super::LEASE;

pub struct Server {
    pub registry: Registry,
    pub replica: Replica,
    /// The answer to its question, and when it comes; `None` for one that never comes.
    pub coming: Option<(u64, Option<String>)>,
    /// Where its watch stands.
    pub watch: Option<u64>,
    pub not_before: u64,
    /// Frozen until then.
    pub frozen: u64,
}

impl Server {
    pub fn new(number: u64, queue: u32) -> Self {
        // Without protection, which holds on purpose whom nobody hears of when they are many.
        let config = Config { epoch: number + 1, seed: number, renewal_percent: 0, eviction_percent: 100, ..Config::default() };
        Self {
            registry: Registry::new(config).unwrap(),
            replica: Replica::new(Settings { queue, ..Settings::default() }),
            coming: None,
            watch: None,
            not_before: 0,
            frozen: 0,
        }
    }

    /// What a provider or somebody else asks for an instance, with what it shows; the status of the answer.
    pub fn ask(&mut self, method: &str, id: &str, query: &str, body: &str, shown: [&str; 2], now: Timestamp) -> u16 {
        let verb = if method == "POST" { "/renew" } else { "" };
        let path = format!("/v1/instances/default/s/{id}{verb}");
        let headers = [(shown[0], shown[1])];
        let request = Request { method, path: &path, query, headers: &headers, body: body.as_bytes(), ..Request::default() };
        match Protocols::default().handle(&mut self.registry, &request, now) {
            Reply::Response(response) => response.status,
            _ => panic!("{path} waits"),
        }
    }

    /// A proof that is good here now, if the instance is on record.
    pub fn prove(&self, id: &str, verb: &str, query: &str, sequence: u64) -> String {
        let Some(handle) = self.registry.lookup("default", "s", id) else { return format!("1.{:064}", 0) };
        proof(&token(id), verb, self.registry.epoch(), handle, sequence, query, b"").unwrap()
    }

    pub fn says(&self) -> BTreeMap<String, String> {
        let answer = self.registry.query(&Query::everything().health(HealthFilter::Any));
        let own = |handle| {
            let instance = self.registry.instance(handle).unwrap();
            let mut said = instance.registration.to_value();
            if let callboard::Value::Map(pairs) = &mut said {
                pairs.retain(|(key, _)| key != "incarnation");
            }
            let word = instance.admin.map_or("", |own| own.state.as_str());
            (instance.registration.id, format!("{} {word}", String::from_utf8(said.to_json()).unwrap()))
        };
        let queries = self.registry.saved_queries(None).map(|own| (own.name.clone(), format!("\"weight\":{},", own.query.limit.unwrap())));
        answer.handles.into_iter().map(own).chain(queries).collect()
    }
}

pub fn token(id: &str) -> String {
    format!("the-token-of-{id}-0123456789")
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Provider,
    /// One that holds a token.
    Holder,
    /// An operator, who saves and drops a query.
    Saver,
}

/// Somebody who is told to sign in and out, and does so until somebody says that it is done.
pub struct Client {
    pub id: String,
    pub kind: Kind,
    pub server: usize,
    pub leased: bool,
    pub wants: Option<u32>,
    /// What it was last told is so.
    pub told: Option<u32>,
    /// Under way: at which server, for which edition of which of its lives, and what.
    pub asked: Option<(usize, u64, u64, Option<u32>)>,
    pub incarnation: u64,
    pub beat: u64,
    /// It is gone without a word.
    pub dead: bool,
    /// What somebody has seen: the method, the query and the proof.
    pub seen: Vec<(&'static str, String, String)>,
}

impl Client {
    /// Says what it wants to be so; whether it is taken.
    pub fn say(&mut self, there: &mut Server, now: Timestamp) -> Result<(), Code> {
        let Self { id, kind, leased, wants, incarnation, seen, .. } = self;
        let registry = &mut there.registry;
        let done = match (*kind, *wants) {
            (Kind::Saver, Some(weight)) => {
                let query = Query::service("s").limit(weight / 1_000);
                registry.save_query(id, &query, now).map(drop)
            }
            (Kind::Saver, None) => registry.drop_query("default", id, now).map(drop),
            (Kind::Provider, Some(weight)) => {
                let mut own = Registration::new("s", id.as_str()).weight(f64::from(weight) / 1_000.0).unwrap();
                own.incarnation = *incarnation;
                if *leased {
                    own = own.lease(Duration::from_secs(LEASE), Duration::ZERO).unwrap();
                }
                registry.register(&own, Put::default(), now).map(drop)
            }
            (Kind::Provider, None) => registry.deregister("default", "s", id, Some(*incarnation), now).map(drop),
            (Kind::Holder, wants) => {
                let status = match wants {
                    Some(weight) => {
                        let ttl = if *leased { format!("\"ttl\":{LEASE},") } else { String::new() };
                        let body = format!("{{{ttl}\"weight\":{},\"incarnation\":{incarnation}}}", weight / 1_000);
                        there.ask("PUT", id, "", &body, ["x-callboard-token", &token(id)], now)
                    }
                    None => {
                        let query = format!("incarnation={incarnation}");
                        let shown = there.prove(id, "deregister", &query, now.as_micros());
                        let status = there.ask("DELETE", id, &query, "", ["x-callboard-proof", &shown], now);
                        seen.extend((status < 300).then_some(("DELETE", query, shown)));
                        status
                    }
                };
                return match status {
                    200..300 => Ok(()),
                    403 => Err(Code::PermissionDenied),
                    404 => Err(Code::UnknownInstance),
                    409 => Err(Code::StaleIncarnation),
                    503 => Err(Code::EngineUnreachable),
                    other => panic!("{other}"),
                };
            }
        };
        done.map_err(|error| error.code())
    }

    /// Says that it is alive.
    pub fn renew(&mut self, there: &mut Server, now: Timestamp) -> Result<(), Code> {
        let Self { id, kind, incarnation, seen, .. } = self;
        if *kind == Kind::Provider {
            return there.registry.renew("default", "s", id, *incarnation, now).map(drop).map_err(|error| error.code());
        }
        let query = format!("incarnation={incarnation}");
        let shown = there.prove(id, "renew", &query, now.as_micros());
        match there.ask("POST", id, &query, "", ["x-callboard-proof", &shown], now) {
            200 => {
                // Where somebody else was first, without a token, it is no proof of anything.
                if there.ask("POST", id, &query, "", ["x-callboard-proof", &shown], now) == 403 {
                    seen.push(("POST", query, shown));
                }
                Ok(())
            }
            403 => Err(Code::PermissionDenied),
            404 => Err(Code::UnknownLease),
            409 => Err(Code::StaleIncarnation),
            other => panic!("{other}"),
        }
    }
}
