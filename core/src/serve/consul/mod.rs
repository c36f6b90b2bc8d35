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

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

pub(super) use read::{Watched, resume};

use super::http::{self, Parameters, Reply, Request, Response, segments};
use super::route::names;
use super::server::Server;
use crate::error::{Code, Error, Kind};
use crate::formats::document::{Document, Node};
use crate::model::{Handle, Instance};
use crate::query::{HealthFilter, Query};
use crate::serve::desk::Desk;
use crate::time::Timestamp;

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

/// What a call has to work with.
struct Call<'a> {
    server: &'a Server,
    registry: Desk<'a>,
    request: &'a Request<'a>,
    /// The parts of the path that the route leaves open.
    names: Vec<String>,
    parameters: Parameters,
    now: Timestamp,
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

/// Why a request is refused: a status, and a text as Consul words it.
#[derive(Debug)]
struct Refusal(u16, String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.code().kind() {
            Kind::Conflict => 403,
            _ => http::status(error.code()),
        };
        Self(status, error.to_string())
    }
}

fn refuse<T>(status: u16, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, text.into()))
}

pub(super) fn handle(server: &Server, registry: Desk<'_>, request: &Request<'_>, now: Timestamp) -> Reply {
    route(server, registry, request, now).unwrap_or_else(|Refusal(status, text)| Reply::Response(Response::text(status, &text)))
}

fn route(server: &Server, registry: Desk<'_>, request: &Request<'_>, now: Timestamp) -> Result<Reply, Refusal> {
    let path = segments(request.path)?;
    let fits = || ROUTES.iter().filter_map(|(method, template, handler)| Some((*method, names(template, &path)?, *handler)));
    let Some((_, names, handler)) = fits().find(|(method, ..)| *method == request.method) else {
        let methods: Vec<&str> = fits().map(|(method, ..)| method).collect();
        if methods.is_empty() {
            return refuse(404, "Invalid URL path: not a recognized HTTP API endpoint");
        }
        let named = if request.method.bytes().all(|byte| byte.is_ascii_uppercase()) { request.method } else { "" };
        let refused = Response::text(405, &alloc::format!("method {named} not allowed"));
        return Ok(Reply::Response(refused.header("allow", methods.join(", "))));
    };
    let parameters = Parameters::read_all(request.query)?;
    let mut call = Call { server, registry, request, names, parameters, now };
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

impl Call<'_> {
    /// The open part of the path at a place.
    fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }

    /// The body, which is a map.
    fn document(&self) -> Result<Document<'_>, Refusal> {
        let document = Document::json(self.request.body)
            .map_err(|error| Refusal(http::status(error.code()), alloc::format!("Request decode error: {error}")))?;
        if document.root().is_map() { Ok(document) } else { refuse(400, "Request decode error: expected a map") }
    }

    /// The service of the agent with an id.
    fn find(&self, id: &str) -> Option<Instance> {
        let found = self.registry.find(&self.server.namespace, id).into_iter();
        let mut own = found.filter_map(|handle| self.registry.instance(handle));
        own.find(|own| write::Place::of(self.server, own).is_agents(self.server))
    }

    /// The instances that a query about any of them takes.
    fn all(&self, query: &Query) -> Vec<Instance> {
        instances(&self.registry, query)
    }
}

/// Every instance of a namespace, or of one service of it, whatever its health.
fn everybody(server: &Server, service: Option<&str>) -> Query {
    Query { service: service.map(String::from), ..Query::everything() }.namespace(server.namespace.as_str()).health(HealthFilter::Any)
}

fn instances(registry: &Desk<'_>, query: &Query) -> Vec<Instance> {
    let handles: Vec<Handle> = registry.query(query).handles;
    handles.into_iter().filter_map(|handle| registry.instance(handle)).collect()
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
