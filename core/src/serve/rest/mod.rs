//! callboard's own HTTP API, version 1. `openapi.json` describes it, and a test holds the two together.
//!
//! Bodies are JSON documents, as the rest of this crate reads and writes them; times are microseconds of the registry's clock, durations seconds. Every
//! answer carries `x-callboard-epoch`, `x-callboard-revision` and, to tell from it how far away another time is, the clock as `x-callboard-now`. An error
//! is problem details (RFC 9457): `{type, title, status, detail?, code, kind, field, limit?}`.
//!
//! A read with `wait` is a long poll: it answers at once when something has changed since `epoch` and `revision`, or when that position is unknown,
//! and otherwise when something does, at the latest after `wait` seconds. The same read is a stream of [events] for whoever accepts `text/event-stream`.

mod events;
#[cfg(test)]
mod events_tests;
mod instances;
mod metrics;
mod queries;
mod registry;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use super::call::{self, Call, Route};
use super::http::{Parameters, Reply, Request, Response, segments};
use super::server::Server;
use crate::error::{Code, Error};
use crate::registry::{Position, View};
use crate::serve::desk::Desk;
use crate::time::Timestamp;

/// The description of the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The longest and the usual `wait`, seconds.
const WAIT_MOST: u64 = 300;

type Handler = fn(&mut Call<'_>) -> Result<Reply, Error>;

/// Every route: method, path with the open parts in braces, handler.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("PUT", "/v1/instances/{namespace}/{service}/{id}", instances::register),
    ("GET", "/v1/instances/{namespace}/{service}/{id}", instances::show),
    ("DELETE", "/v1/instances/{namespace}/{service}/{id}", instances::deregister),
    ("POST", "/v1/instances/{namespace}/{service}/{id}/renew", instances::renew),
    ("PUT", "/v1/instances/{namespace}/{service}/{id}/health", instances::set_health),
    ("PUT", "/v1/instances/{namespace}/{service}/{id}/admin", instances::set_admin),
    ("DELETE", "/v1/instances/{namespace}/{service}/{id}/admin", instances::lift_admin),
    ("GET", "/v1/instances/{namespace}/{service}", instances::list),
    ("GET", "/v1/instances/{namespace}", instances::list),
    ("PUT", "/v1/queries/{namespace}/{name}", queries::save),
    ("GET", "/v1/queries/{namespace}/{name}", queries::show),
    ("DELETE", "/v1/queries/{namespace}/{name}", queries::drop),
    ("GET", "/v1/queries/{namespace}/{name}/instances", queries::answer),
    ("GET", "/v1/queries/{namespace}/{name}/explain", queries::explain),
    ("GET", "/v1/queries/{namespace}", queries::list),
    ("GET", "/v1/explain/{namespace}/{service}", instances::explain),
    ("GET", "/v1/explain/{namespace}", instances::explain),
    ("GET", "/v1/services/{namespace}", registry::services),
    ("GET", "/v1/services", registry::all_services),
    ("GET", "/v1/changes", registry::changes),
    ("POST", "/v1/batch", registry::batch),
    ("GET", "/v1/snapshot", registry::snapshot),
    ("GET", "/v1/health", registry::health),
    ("GET", "/v1/metrics", metrics::metrics),
    ("GET", "/v1/openapi.json", registry::openapi),
];

/// What a long poll waits for.
#[derive(Clone, Debug)]
pub(super) enum Watched {
    /// The answer of a query.
    Answer(Box<View>),
    /// The change log.
    Changes(Position),
    /// What is told as events.
    Stream(events::Stream),
}

pub(super) fn handle(server: &Server, mut registry: Desk<'_>, request: &Request<'_>) -> Reply {
    let reply = route(server, registry.lend(), request).unwrap_or_else(|error| Reply::Response(Response::error(&error)));
    with_position(reply, &registry)
}

pub(super) fn resume(registry: &Desk<'_>, mut watched: Watched, until: Timestamp, now: Timestamp) -> Reply {
    let over = now >= until;
    if let Watched::Stream(stream) = watched {
        return events::resume(registry, stream, until);
    }
    let response = match &mut watched {
        Watched::Answer(view) => (registry.is_new_to(view) || over).then(|| instances::followed(registry, view)),
        Watched::Changes(since) => (registry.position() != *since || over).then(|| registry::changes_since(registry, *since)),
        Watched::Stream(_) => None,
    };
    match response {
        Some(response) => with_position(Reply::Response(response), registry),
        None => waits(registry, until, watched),
    }
}

fn waits(registry: &Desk<'_>, until: Timestamp, watched: Watched) -> Reply {
    Reply::Wait(wait(registry, until, watched))
}

fn wait(registry: &Desk<'_>, until: Timestamp, watched: Watched) -> super::Wait {
    super::Wait { until, watched: super::Watched::Rest(watched), since: registry.position(), who: registry.who.clone() }
}

fn route(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Result<Reply, Error> {
    let unknown = || Error::new(Code::UnknownRoute, "path");
    match call::find(ROUTES, request.method, &segments(request.path)?) {
        Route::To(names, handler) => {
            let parameters = Parameters::read(request.query)?;
            handler(&mut Call { server, registry, request, names, parameters })
        }
        Route::Allows(methods) => Ok(Reply::Response(Response::refusal(405, &unknown()).header("allow", methods))),
        Route::Nowhere => Err(unknown()),
    }
}

fn with_position(reply: Reply, registry: &Desk<'_>) -> Reply {
    let positioned = |response: Response| {
        let response = response.header("x-callboard-epoch", registry.epoch().to_string());
        let response = response.header("x-callboard-revision", registry.revision().to_string());
        response.header("x-callboard-now", registry.clock().as_micros().to_string())
    };
    match reply {
        Reply::Response(response) => Reply::Response(positioned(response)),
        Reply::Stream(response, wait) => Reply::Stream(positioned(response), wait),
        Reply::Wait(wait) => Reply::Wait(wait),
    }
}

impl Call<'_> {
    /// The position that the parameters name, and until when to wait; none when this is no long poll.
    fn wait(&self) -> Result<Option<(Position, Timestamp)>, Error> {
        let (epoch, revision) = (self.parameters.number("epoch")?, self.parameters.number("revision")?);
        let wait = self.seconds()?;
        match (epoch, revision, wait) {
            (Some(epoch), Some(revision), wait) => {
                let until = self.registry.now.saturating_add(Duration::from_secs(wait.unwrap_or(0)));
                Ok(Some((Position { epoch, revision }, until)))
            }
            // A reader that knows nothing yet has nothing to wait for.
            (None, None, _) => Ok(None),
            _ => Err(Error::new(Code::MissingField, if epoch.is_none() { "epoch" } else { "revision" })
                .message("a long poll names epoch and revision")),
        }
    }

    /// Whether the reader of a long poll knew an earlier state of this life of the registry.
    fn is_continued(&self, wait: Option<(Position, Timestamp)>) -> bool {
        let here = self.registry.position();
        wait.is_some_and(|(since, _)| since.epoch == here.epoch && since.revision <= here.revision)
    }

    /// How long to wait at most.
    fn seconds(&self) -> Result<Option<u64>, Error> {
        match self.parameters.number("wait")? {
            Some(wait) if wait > WAIT_MOST => Err(Error::too_large("wait", WAIT_MOST)),
            wait => Ok(wait),
        }
    }
}
