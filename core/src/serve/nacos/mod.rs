//! Nacos' HTTP APIs for naming, v1 and v3: instances register, beat and are listed here by Nacos' clients, unchanged.
//!
//! | Nacos' | ours |
//! |---|---|
//! | `namespaceId` | the namespace; none and `public` are the server's own |
//! | group and service | the service; of another group than `DEFAULT_GROUP` it is `GROUP__service` |
//! | ip, port, cluster | the id `ip#port#cluster#GROUP@@service`; the cluster is the zone too, save `DEFAULT` |
//! | an ephemeral instance | one with a lease: 15 s until it is not healthy, 30 s until it is gone, or as its metadata `preserved.heart.beat.timeout` and `preserved.ip.delete.timeout` say |
//! | one that is not ephemeral | one without a lease |
//! | `healthy` | the health; past the first time, the lease being suspect, not healthy |
//! | `enabled=false` | unhealthy, with the metadata `nacos-enabled`, which Nacos' clients do not see; and what the operator drained or disabled |
//! | weight, metadata | weight, metadata |
//!
//! `cacheMillis`, after which clients ask again, is 10 s. Nothing is pushed over UDP. Version 2.x clients of Java speak gRPC, which is not served.

mod read;
mod write;

use alloc::string::{String, ToString as _};

use super::call::{self, Call, Route};
use super::http::{self, Parameters, Reply, Request, Response, segments};
use super::server::Server;
use crate::error::{Code, Error};
use crate::serve::desk::Desk;
use crate::value::Value;

/// Whether a path is one of Nacos'.
pub(super) fn has(path: &str) -> bool {
    path.starts_with("/nacos/")
}

pub(super) fn is_heartbeat(request: &Request<'_>) -> bool {
    let beats = request.path.starts_with("/nacos/v3/") && request.query.split('&').any(|part| part.eq_ignore_ascii_case("heartBeat=true"));
    request.path == "/nacos/v1/ns/instance/beat" || (request.method == "POST" && beats)
}

/// The version of the API, which says how answers are wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    V1,
    V3,
}

type Handler = fn(&mut Call<'_>) -> Result<Response, Error>;

/// Every route: method, path, handler.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("POST", "/nacos/v1/ns/instance", write::register),
    ("PUT", "/nacos/v1/ns/instance", write::register),
    ("DELETE", "/nacos/v1/ns/instance", write::deregister),
    ("GET", "/nacos/v1/ns/instance", read::instance),
    ("PUT", "/nacos/v1/ns/instance/beat", write::beat),
    ("GET", "/nacos/v1/ns/instance/list", read::list),
    ("GET", "/nacos/v1/ns/service/list", read::services),
    ("GET", "/nacos/v1/ns/operator/metrics", read::metrics),
    ("POST", "/nacos/v3/client/ns/instance", write::register_or_beat),
    ("DELETE", "/nacos/v3/client/ns/instance", write::deregister_wrapped),
    ("GET", "/nacos/v3/client/ns/instance/list", read::list_wrapped),
];

pub(super) fn handle(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Reply {
    let api = if request.path.starts_with("/nacos/v3/") { Api::V3 } else { Api::V1 };
    Reply::Response(route(server, registry, request).unwrap_or_else(|error| refusal(api, &error)))
}

/// An error in the words of a version.
fn refusal(api: Api, error: &Error) -> Response {
    let status = http::status(error.code());
    match (api, error.code()) {
        (Api::V1, _) => Response::text(status, &alloc::format!("caused: {error};")),
        // The client is to register again.
        (Api::V3, Code::UnknownLease | Code::UnknownInstance) => wrapped(404, 21_003, "instance not found", Value::Null),
        (Api::V3, Code::MissingField) => wrapped(400, 10_000, "parameter missing", error.to_string().as_str().into()),
        (Api::V3, _) => wrapped(status, 10_001, "parameter validate error", error.to_string().as_str().into()),
    }
}

/// An answer of version 3.
fn wrapped(status: u16, code: u64, message: &str, data: Value) -> Response {
    Response::json(status, &Value::map([("code", Value::from(code)), ("message", message.into()), ("data", data)]))
}

fn route(server: &Server, registry: Desk<'_>, request: &Request<'_>) -> Result<Response, Error> {
    let path = segments(request.path)?;
    let (names, handler) = match call::find(ROUTES, request.method, &path) {
        Route::To(names, handler) => (names, handler),
        Route::Allows(methods) => return Ok(Response::text(405, "").header("allow", methods)),
        Route::Nowhere => return Err(Error::new(Code::UnknownRoute, "path")),
    };
    let form = request.header("content-type").starts_with("application/x-www-form-urlencoded");
    let body =
        if form { core::str::from_utf8(request.body).map_err(|_| Error::new(Code::Malformed, "body").message("not UTF-8"))? } else { "" };
    let parameters = Parameters::read_all(&[request.query, body].join("&"))?;
    handler(&mut Call { server, registry, request, names, parameters })
}

/// A service as Nacos names it.
struct Named {
    namespace: String,
    group: String,
    /// Without the group.
    name: String,
}

const DEFAULT_GROUP: &str = "DEFAULT_GROUP";

/// Between a group and a service, in our names of them.
const BETWEEN: &str = "__";

impl Named {
    /// Ours.
    fn service(&self) -> String {
        if self.group == DEFAULT_GROUP { self.name.clone() } else { [&self.group, BETWEEN, &self.name].concat() }
    }

    /// With the group before it.
    fn grouped(&self) -> String {
        [&self.group, "@@", &self.name].concat()
    }

    /// One of ours.
    fn of(namespace: &str, service: &str) -> Self {
        let (group, name) = service.split_once(BETWEEN).unwrap_or((DEFAULT_GROUP, service));
        Self { namespace: namespace.into(), group: group.into(), name: name.into() }
    }
}

impl Call<'_> {
    fn text(&self, name: &str) -> &str {
        self.parameters.text(name).unwrap_or_default()
    }

    fn required(&self, name: &str) -> Result<&str, Error> {
        Some(self.text(name)).filter(|text| !text.is_empty()).ok_or_else(|| Error::new(Code::MissingField, name))
    }

    /// The truth value of a parameter.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`].
    fn truth(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.text(name) {
            "" => Ok(None),
            "true" | "True" | "TRUE" => Ok(Some(true)),
            "false" | "False" | "FALSE" => Ok(Some(false)),
            _ => Err(Error::new(Code::InvalidArgument, name).message("true or false")),
        }
    }

    fn namespace(&self) -> &str {
        match self.text("namespaceId") {
            "" | "public" => &self.server.namespace,
            own => own,
        }
    }

    /// The service that is asked about; its group stands before its name, or in a parameter of its own.
    fn named(&self, service: &str) -> Named {
        let (group, name) = service.split_once("@@").unwrap_or((self.text("groupName"), service));
        let group = if group.is_empty() { DEFAULT_GROUP } else { group };
        Named { namespace: self.namespace().into(), group: group.into(), name: name.into() }
    }

    /// The name of the cluster; some clients write that there is none.
    fn cluster(&self) -> &str {
        let told = [self.text("clusterName"), self.text("cluster")].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        cluster_or_default(told)
    }
}

fn cluster_or_default(told: &str) -> &str {
    match told {
        "" | "None" | "null" => "DEFAULT",
        name => name,
    }
}
