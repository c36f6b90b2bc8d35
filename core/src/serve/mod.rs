//! Protocols as pure functions: a request and the registry in, a response out, or that there is nothing to say yet.
//!
//! One registry answers all of them at once, told apart by the path, so that a provider of one is seen by the clients of every other:
//!
//! | path | protocol |
//! |---|---|
//! | `/v1/agent/...`, `/v1/catalog/...`, `/v1/health/.../...`, `/v1/status/...` | Consul's HTTP API ([`consul`]) |
//! | `/eureka/...` | Eureka's, in JSON and XML ([`eureka`]) |
//! | `/nacos/...` | Nacos', versions 1 and 3 ([`nacos`]) |
//! | `/ui` | a page for people, which reads the registry through the last ([`ui`]) |
//! | any other | callboard's own HTTP API ([`rest`]) |

mod call;
pub mod consul;
mod desk;
pub mod dns;
pub mod eureka;
#[cfg(test)]
mod hostile_corpus;
#[cfg(test)]
mod hostile_tests;
mod http;
pub mod nacos;
mod policy;
#[cfg(test)]
mod policy_tests;
mod poll;
pub mod rest;
mod room;
mod server;
pub mod token;
#[cfg(test)]
mod token_tests;
pub mod ui;
mod waits;

use alloc::string::String;

use desk::Desk;
pub use http::{Reply, Request, Response};
pub use room::{Bounds, Place, Room};
pub use server::Server;
pub use waits::Waits;

use crate::registry::{Position, Registry};
use crate::time::Timestamp;

/// A request that has no answer yet, a long poll, or none that is complete, a stream.
#[derive(Clone, Debug)]
pub struct Wait {
    /// When to ask again all the same.
    pub until: Timestamp,
    watched: Watched,
    /// Up to where there is nothing to say.
    since: Position,
    /// Who waits; what may be told is asked again.
    who: String,
}

/// What is waited for, by protocol.
#[derive(Clone, Debug)]
enum Watched {
    Rest(rest::Watched),
    Consul(consul::Watched),
}

impl Request<'_> {
    /// Whether it only says that somebody is still there. A host that stores what it acknowledges need not wait for that with these: who beats
    /// will beat again.
    pub fn is_heartbeat(&self) -> bool {
        match self.path {
            path if consul::has(path) => consul::is_heartbeat(self),
            path if eureka::has(path) => eureka::is_heartbeat(self),
            path if nacos::has(path) => nacos::is_heartbeat(self),
            path => self.method == "POST" && path.ends_with("/renew"),
        }
    }
}

impl Server {
    /// Answers a request. Pure but for the registry: the same registry, request and time give the same reply.
    pub fn handle(&self, registry: &mut Registry, request: &Request<'_>, now: Timestamp) -> Reply {
        if ui::has(request.path) {
            return Reply::Response(ui::handle(request));
        }
        registry.advance(now);
        let who = match self.policy.as_ref().map_or(Ok(String::new()), |policy| policy.whose(request)) {
            Ok(who) => who,
            Err(error) => return Reply::Response(Response::error(&error)),
        };
        let desk = Desk::new(self, registry, who, now);
        match request.path {
            path if consul::has(path) => consul::handle(self, desk, request),
            path if eureka::has(path) => eureka::handle(self, desk, request),
            path if nacos::has(path) => nacos::handle(self, desk, request),
            _ => rest::handle(self, desk, request),
        }
    }

    /// Answers a message of DNS ([`dns`]): nothing where nothing is to be sent. What came over UDP is answered in as many bytes as may be sent
    /// back so, and says when that is not all.
    pub fn answer_dns(&self, registry: &mut Registry, message: &[u8], udp: bool, now: Timestamp) -> Option<alloc::vec::Vec<u8>> {
        registry.advance(now);
        let anonymous = policy::ANONYMOUS.into();
        dns::answer(self, &Desk::new(self, registry, anonymous, now), message, udp)
    }

    /// Asks again about a request that waits.
    pub fn resume(&self, registry: &mut Registry, wait: Wait, now: Timestamp) -> Reply {
        registry.advance(now);
        let Wait { until, watched, who, .. } = wait;
        let desk = Desk::new(self, registry, who, now);
        match watched {
            Watched::Rest(watched) => rest::resume(&desk, watched, until, now),
            Watched::Consul(watched) => consul::resume(self, &desk, watched, until, now),
        }
    }
}

/// [`Server::handle`] of a server as it is by default.
#[cfg(test)]
fn handle(registry: &mut Registry, request: &Request<'_>, now: Timestamp) -> Reply {
    Server::default().handle(registry, request, now)
}

/// [`Server::resume`] of a server as it is by default.
#[cfg(test)]
fn resume(registry: &mut Registry, wait: Wait, now: Timestamp) -> Reply {
    Server::default().resume(registry, wait, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_are_told_from_what_must_be_stored() {
        for (method, path, query, expected) in [
            ("POST", "/v1/instances/default/web/a/renew", "", true),
            ("PUT", "/v1/instances/default/web/a", "", false),
            ("PUT", "/v1/agent/check/pass/service:a", "", true),
            ("PUT", "/v1/agent/check/update/a/b", "", true),
            ("PUT", "/v1/agent/check/deregister/a", "", false),
            ("PUT", "/v1/agent/service/register", "", false),
            ("PUT", "/eureka/apps/WEB/i", "status=UP", true),
            ("PUT", "/eureka/v2/apps/WEB/i", "", true),
            ("PUT", "/eureka/apps/WEB/i/status", "value=UP", false),
            ("POST", "/eureka/apps/WEB", "", false),
            ("DELETE", "/eureka/apps/WEB/i", "", false),
            ("PUT", "/nacos/v1/ns/instance/beat", "", true),
            ("PUT", "/nacos/v1/ns/instance", "", false),
            ("POST", "/nacos/v3/client/ns/instance", "ip=1&heartBeat=true", true),
            ("POST", "/nacos/v3/client/ns/instance", "ip=1", false),
        ] {
            assert_eq!(Request { method, path, query, ..Request::default() }.is_heartbeat(), expected, "{method} {path}");
        }
    }
}
