//! Protocols as pure functions: a request and the registry in, a response out, or that there is nothing to say yet.
//!
//! One registry answers all of them, told apart by the path. So far there is callboard's own HTTP API ([`rest`]). A protocol is a module with
//! its own `handle` and `resume` and an arm here.

mod http;
pub mod rest;

pub use http::{Reply, Request, Response};

use crate::registry::Registry;
use crate::time::Timestamp;

/// A request that has no answer yet: a long poll.
#[derive(Clone, Debug)]
pub struct Wait {
    /// When to answer all the same.
    pub until: Timestamp,
    watched: Watched,
}

/// What a long poll waits for, by protocol.
#[derive(Clone, Debug)]
enum Watched {
    Rest(rest::Watched),
}

/// Answers a request. Pure but for the registry: the same registry, request and time give the same reply.
pub fn handle(registry: &mut Registry, request: &Request<'_>, now: Timestamp) -> Reply {
    registry.advance(now);
    rest::handle(registry, request, now)
}

/// Asks again about a request that waits.
pub fn resume(registry: &mut Registry, wait: Wait, now: Timestamp) -> Reply {
    registry.advance(now);
    let Wait { until, watched } = wait;
    match watched {
        Watched::Rest(watched) => rest::resume(registry, watched, until, now),
    }
}
