//! callboard's own HTTP API, version 1. `openapi.json` describes it, and a test holds the two together.
//!
//! Bodies are JSON documents, as the rest of this crate reads and writes them; times are microseconds of the registry's clock, durations seconds. Every
//! answer carries `x-callboard-epoch` and `x-callboard-revision`. An error is `{"error": {code, kind, field, limit?, message}}`.
//!
//! A read with `wait` is a long poll: it answers at once when something has changed since `epoch` and `revision`, or when that position is unknown,
//! and otherwise when something does, at the latest after `wait` seconds.

mod instances;
mod registry;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::http::{Parameters, Reply, Request, Response, segments};
use super::route::names;
use crate::error::{Code, Error};
use crate::registry::{Position, View};
use crate::serve::desk::Desk;
use crate::time::Timestamp;

/// The description of the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The longest and the usual `wait`, seconds.
const WAIT_MOST: u64 = 300;

/// What a call has to work with.
struct Call<'a> {
    registry: Desk<'a>,
    request: &'a Request<'a>,
    /// The parts of the path that the route leaves open.
    names: Vec<String>,
    parameters: Parameters,
    now: Timestamp,
}

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
    ("GET", "/v1/services/{namespace}", registry::services),
    ("GET", "/v1/changes", registry::changes),
    ("POST", "/v1/batch", registry::batch),
    ("GET", "/v1/snapshot", registry::snapshot),
    ("GET", "/v1/health", registry::health),
    ("GET", "/v1/openapi.json", registry::openapi),
];

/// What a long poll waits for.
#[derive(Clone, Debug)]
pub(super) enum Watched {
    /// The answer of a query.
    Answer(Box<View>),
    /// The change log.
    Changes(Position),
}

pub(super) fn handle(mut registry: Desk<'_>, request: &Request<'_>, now: Timestamp) -> Reply {
    let reply = route(registry.lend(), request, now).unwrap_or_else(|error| Reply::Response(refusal(&error, request)));
    with_position(reply, &registry)
}

pub(super) fn resume(registry: &Desk<'_>, mut watched: Watched, until: Timestamp, now: Timestamp) -> Reply {
    let over = now >= until;
    let response = match &mut watched {
        Watched::Answer(view) => (registry.is_new_to(view) || over).then(|| instances::answer(registry, view.query(), true)),
        Watched::Changes(since) => (registry.position() != *since || over).then(|| registry::changes_since(registry, *since)),
    };
    match response {
        Some(response) => with_position(Reply::Response(response), registry),
        None => waits(registry, until, watched),
    }
}

fn waits(registry: &Desk<'_>, until: Timestamp, watched: Watched) -> Reply {
    Reply::Wait(super::Wait { until, watched: super::Watched::Rest(watched), who: registry.who.clone() })
}

fn route(registry: Desk<'_>, request: &Request<'_>, now: Timestamp) -> Result<Reply, Error> {
    let path = segments(request.path)?;
    let mut fits = ROUTES.iter().filter_map(|(method, template, handler)| Some((*method, names(template, &path)?, *handler)));
    let (_, names, handler) = fits.find(|(method, ..)| *method == request.method).ok_or_else(|| Error::new(Code::UnknownRoute, "path"))?;
    let parameters = Parameters::read(request.query)?;
    handler(&mut Call { registry, request, names, parameters, now })
}

/// An error as a response; a known path with another method tells the methods it has.
fn refusal(error: &Error, request: &Request<'_>) -> Response {
    let response = Response::error(error);
    if error.code() != Code::UnknownRoute {
        return response;
    }
    let path = segments(request.path).unwrap_or_default();
    let methods: Vec<&str> =
        ROUTES.iter().filter(|(_, template, _)| names(template, &path).is_some()).map(|(method, ..)| *method).collect();
    if methods.is_empty() { response } else { Response { status: 405, ..response }.header("allow", methods.join(", ")) }
}

fn with_position(reply: Reply, registry: &Desk<'_>) -> Reply {
    match reply {
        Reply::Response(response) => Reply::Response(
            response
                .header("x-callboard-epoch", registry.epoch().to_string())
                .header("x-callboard-revision", registry.revision().to_string()),
        ),
        wait => wait,
    }
}

impl Call<'_> {
    /// The open part of the path at a place.
    fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// The position that the parameters name, and until when to wait; none when this is no long poll.
    fn wait(&self) -> Result<Option<(Position, Timestamp)>, Error> {
        let (epoch, revision) = (self.parameters.number("epoch")?, self.parameters.number("revision")?);
        let wait = self.parameters.number("wait")?;
        if wait.is_some_and(|wait| wait > WAIT_MOST) {
            return Err(Error::too_large("wait", WAIT_MOST));
        }
        match (epoch, revision, wait) {
            (Some(epoch), Some(revision), wait) => {
                let until = self.now.saturating_add(Duration::from_secs(wait.unwrap_or(0)));
                Ok(Some((Position { epoch, revision }, until)))
            }
            // A reader that knows nothing yet has nothing to wait for.
            (None, None, _) => Ok(None),
            _ => Err(Error::new(Code::MissingField, if epoch.is_none() { "epoch" } else { "revision" })
                .message("a long poll names epoch and revision")),
        }
    }
}
