//! Eureka's HTTP API, in JSON and in XML: instances register, renew, cancel and are looked up here by Eureka's clients, unchanged.
//!
//! | Eureka's | ours |
//! |---|---|
//! | application | the service; an upper-case name is that of the service that is spelled so in any case, else in lower case |
//! | `instanceId` | the id |
//! | `leaseInfo.durationInSecs` | the lease, 90 s when it is not told; no grace, and never twice as long |
//! | `lastDirtyTimestamp` | the incarnation, which a registration only ever raises |
//! | `status` | the health; a registration that says `OUT_OF_SERVICE` is unhealthy |
//! | `PUT .../status?value=OUT_OF_SERVICE` or `UP` | the operator's word: disabled, enabled. Any other value is a report of health |
//! | the rest of `instance` that clients look at | metadata that starts with `eureka-`, which Eureka's clients do not see as such |
//!
//! A renewal is refused with 404, after which clients register again, when the instance is not on record or is newer than the record. The
//! delta is what changed in the last 180 s, as the log has it, with the hash of all; where the log does not reach back so far, or this life of the registry
//! does not, it is refused with 403, and clients ask for all. Answers are JSON when `Accept` names it, else XML, as there.
//!
//! **Not as Eureka does it.** There are no other regions, no replication between peers, and no times of a clock on a wall in answers.

mod read;
mod write;

use alloc::string::String;
use alloc::vec::Vec;

use super::call::{self, Call, Refusal, Route, refuse};
use super::http::{Parameters, Reply, Request, Response, segments};
use super::server::Server;
use crate::model::Instance;
use crate::serve::desk::Desk;

/// Whether a path is one of Eureka's.
pub(super) fn has(path: &str) -> bool {
    path.starts_with("/eureka/")
}

pub(super) fn is_heartbeat(request: &Request<'_>) -> bool {
    let below = request.path.strip_prefix("/eureka/").map(|path| path.strip_prefix("v2/").unwrap_or(path));
    request.method == "PUT" && below.is_some_and(|path| path.trim_end_matches('/').split('/').count() == 3)
}

type Handler = fn(&mut Call<'_>) -> Result<Response, Refusal>;

/// Every route below `/eureka` and `/eureka/v2`: method, path with the open parts in braces, handler.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET", "/apps", read::all),
    ("GET", "/apps/delta", read::delta),
    ("GET", "/apps/{app}", read::application),
    ("POST", "/apps/{app}", write::register),
    ("GET", "/apps/{app}/{id}", read::instance),
    ("PUT", "/apps/{app}/{id}", write::renew),
    ("DELETE", "/apps/{app}/{id}", write::cancel),
    ("PUT", "/apps/{app}/{id}/status", write::set_status),
    ("DELETE", "/apps/{app}/{id}/status", write::lift_status),
    ("PUT", "/apps/{app}/{id}/metadata", write::set_metadata),
    ("GET", "/instances/{id}", read::by_id),
    ("GET", "/vips/{vip}", read::vip),
    ("GET", "/svips/{vip}", read::secure_vip),
];

pub(super) fn handle(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Reply {
    let response = route(server, registry, request);
    Reply::Response(response.unwrap_or_else(|Refusal(status, text)| Response::text(status, &text)))
}

fn route(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Result<Response, Refusal> {
    let mut path = segments(request.path)?;
    // `/eureka`, in some clients with a version behind it, and in some with a slash at the end.
    path.drain(..if path.get(1).is_some_and(|part| part == "v2") { 2 } else { 1 });
    if path.last().is_some_and(String::is_empty) {
        path.pop();
    }
    match call::find(ROUTES, request.method, &path) {
        Route::To(names, handler) => {
            let parameters = Parameters::read_all(request.query)?;
            handler(&mut Call { server, registry, request, names, parameters })
        }
        Route::Allows(methods) => Ok(Response::text(405, "").header("allow", methods)),
        Route::Nowhere => refuse(404, ""),
    }
}

/// The services of an application: those of its name in any case.
fn services(call: &Call<'_>, app: &str) -> Vec<String> {
    let names = call.registry.service_names(&call.server.namespace);
    names.filter(|service| service.eq_ignore_ascii_case(app)).map(String::from).collect()
}

/// The instance of an application.
fn find(call: &Call<'_>, app: &str, id: &str) -> Option<Instance> {
    let found = call.registry.find(&call.server.namespace, id).into_iter();
    let mut own = found.filter_map(|handle| call.registry.instance(handle));
    own.find(|own| own.registration.service.eq_ignore_ascii_case(app))
}

/// The instance that the path names.
fn known(call: &Call<'_>) -> Result<Instance, Refusal> {
    find(call, call.name(0), call.name(1)).map_or_else(|| refuse(404, ""), Ok)
}
