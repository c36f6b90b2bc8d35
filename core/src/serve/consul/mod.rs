//! Consul's HTTP API, as far as discovery goes: one agent and its catalog, so that Consul's clients sign in and look up here unchanged.
//!
//! | Consul's | ours |
//! |---|---|
//! | a service of the agent | an instance; its id is the service id, unique in the namespace as it is on an agent |
//! | a service of another node, by `/v1/catalog/register` | an instance with the id `NODE/ID`, as callboard's readers of Consul name it |
//! | a TTL check | the lease: `TTL`, then `DeregisterCriticalServiceAfter` of grace, a day when none is named (Consul keeps such a service for ever) |
//! | the status of the check | the health; past the TTL, the lease being suspect, critical |
//! | maintenance | an override: disabled, with the reason |
//! | `X-Consul-Index` | the registry's revision and one |
//!
//! A service is registered again with the status that it had, as in Consul. Its `Address` is that of who asks when none is named.
//!
//! **Not as Consul does it.** Nobody runs checks here: one other than TTL is refused, and a service has one at most. What a check puts out is not
//! kept. A long poll wakes when something about its own service changes, and ends exactly after `wait`. Nodes are there as long as they have a
//! service. Services without an address, with a weight of a fraction, or not from Consul are told as near as Consul can say it.

mod agent;
mod catalog;
mod checks;
mod read;
mod span;
mod write;

pub(super) use read::{Watched, resume};

use super::call::{self, Call, Refusal, Route, refuse};
use super::http::{self, Parameters, Reply, Request, Response, segments};
use super::server::Server;
use crate::error::{Code, Error};
use crate::formats::document::{Document, Node};
use crate::model::Instance;
use crate::serve::desk::Desk;

/// Whether a path is one of Consul's.
pub(super) fn has(path: &str) -> bool {
    let below = |prefix| path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    ["/v1/agent/", "/v1/catalog/", "/v1/health/", "/v1/status/"].into_iter().any(below)
}

pub(super) fn is_heartbeat(request: &Request<'_>) -> bool {
    let reports = ["pass", "warn", "fail", "update"];
    let check = request.path.strip_prefix("/v1/agent/check/").and_then(|rest| rest.split_once('/'));
    request.method == "PUT" && check.is_some_and(|(word, _)| reports.contains(&word))
}

type Handler = fn(&mut Call<'_>) -> Result<Reply, Refusal>;

/// Every route: method, path with the open parts in braces, handler.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("PUT", "/v1/agent/service/register", agent::register),
    ("PUT", "/v1/agent/service/deregister/{id...}", agent::deregister),
    ("PUT", "/v1/agent/service/maintenance/{id...}", agent::maintenance),
    ("GET", "/v1/agent/service/{id...}", agent::service),
    ("GET", "/v1/agent/services", agent::services),
    ("GET", "/v1/agent/checks", agent::checks),
    ("GET", "/v1/agent/self", agent::own),
    ("GET", "/v1/agent/members", agent::members),
    ("GET", "/v1/agent/health/service/name/{service}", agent::health_by_name),
    ("GET", "/v1/agent/health/service/id/{id...}", agent::health_by_id),
    ("PUT", "/v1/agent/check/register", checks::register),
    ("PUT", "/v1/agent/check/deregister/{id...}", checks::deregister),
    ("PUT", "/v1/agent/check/pass/{id...}", checks::pass),
    ("PUT", "/v1/agent/check/warn/{id...}", checks::warn),
    ("PUT", "/v1/agent/check/fail/{id...}", checks::fail),
    ("PUT", "/v1/agent/check/update/{id...}", checks::update),
    ("PUT", "/v1/catalog/register", catalog::register),
    ("PUT", "/v1/catalog/deregister", catalog::deregister),
    ("GET", "/v1/catalog/datacenters", catalog::datacenters),
    ("GET", "/v1/catalog/services", read::services),
    ("GET", "/v1/catalog/service/{service}", read::service),
    ("GET", "/v1/catalog/nodes", read::nodes),
    ("GET", "/v1/catalog/node/{node}", read::node),
    ("GET", "/v1/health/service/{service}", read::health),
    ("GET", "/v1/health/checks/{service}", read::checks),
    ("GET", "/v1/health/state/{state}", read::state),
    ("GET", "/v1/health/node/{node}", read::node_checks),
    ("GET", "/v1/status/leader", catalog::leader),
    ("GET", "/v1/status/peers", catalog::peers),
];

pub(super) fn handle(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Reply {
    route(server, registry, request).unwrap_or_else(|Refusal(status, text)| {
        // Consul knows of no conflicts: what one may not change is denied.
        let status = if status == 409 { 403 } else { status };
        Reply::Response(Response::text(status, &text))
    })
}

fn route(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Result<Reply, Refusal> {
    let path = segments(request.path)?;
    let (names, handler) = match call::find(ROUTES, request.method, &path) {
        Route::To(names, handler) => (names, handler),
        Route::Allows(methods) => {
            let named = if request.method.bytes().all(|byte| byte.is_ascii_uppercase()) { request.method } else { "" };
            let refused = Response::text(405, &alloc::format!("method {named} not allowed"));
            return Ok(Reply::Response(refused.header("allow", methods)));
        }
        Route::Nowhere => return refuse(404, "Invalid URL path: not a recognized HTTP API endpoint"),
    };
    let parameters = Parameters::read_all(request.query)?;
    let mut call = Call { server, registry, request, names, parameters };
    if call.parameters.text("dc").is_some_and(|center| !center.is_empty() && center != server.datacenter) {
        return refuse(500, "No path to datacenter");
    }
    for part in ["ns", "partition", "peer"] {
        if call.parameters.text(part).is_some_and(|name| !matches!(name, "" | "default")) {
            return refuse(400, alloc::format!("Invalid query parameter: \"{part}\" is not served here"));
        }
    }
    handler(&mut call)
}

/// The body, which is a map.
fn document<'a>(request: &'a Request<'_>) -> Result<Document<'a>, Refusal> {
    let document = Document::json(request.body)
        .map_err(|error| Refusal(http::status(error.code()), alloc::format!("Request decode error: {error}")))?;
    if document.root().is_map() { Ok(document) } else { refuse(400, "Request decode error: expected a map") }
}

/// The service of the agent with an id.
fn find(call: &Call<'_>, id: &str) -> Option<Instance> {
    let found = call.registry.find(&call.server.namespace, id).into_iter();
    let mut own = found.filter_map(|handle| call.registry.instance(handle));
    own.find(|own| write::Place::of(call.server, own).is_agents(call.server))
}

/// A truth value as Go spells it; none for any other text.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Consul takes a key in any case, and with underscores.
fn get<'d>(map: Node<'d>, key: &str) -> Option<Node<'d>> {
    let is = |own: &str| {
        own.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).eq(key.bytes().map(|byte| byte.to_ascii_lowercase()))
    };
    map.pairs().find(|(own, node)| is(own) && !node.is_null()).map(|(_, node)| node)
}

/// The text at a key; empty when there is none.
///
/// # Errors
/// [`Code::InvalidArgument`] for anything that is no text.
fn text<'d>(map: Node<'d>, key: &str) -> Result<&'d str, Error> {
    match get(map, key) {
        None => Ok(""),
        Some(node) => node.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, key).message("expected a string")),
    }
}
