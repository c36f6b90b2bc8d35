//! A channel for tonic's clients: each call goes to the instance that callboard picks.

use std::sync::Arc;
use std::time::Duration;

use callboard::Error;
use callboard::model::Instance;
use callboard::query::Query;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::ServiceBuilder;
use tower::util::{BoxCloneSyncService, MapErr};

use crate::BoxError;
use crate::balance::{Balance, BalanceLayer};
use crate::body::Replay;
use crate::call::Service;
use crate::discover::Instances;

/// An instance to call: a channel of tonic.
pub type Line = BoxCloneSyncService<http::Request<Replay<Body>>, http::Response<Body>, BoxError>;

/// What a client that tonic generates takes in place of its own channel.
pub type Channel = MapErr<Balance<Instances<Connect, Line>>, fn(BoxError) -> BoxError>;
type Connect = Box<dyn FnMut(&Instance) -> Line + Send>;

/// A channel for the instances of `query`, which are those that `service` picks of. An attempt must have an answer within `timeout`; a call whose
/// request has [`Idempotent`](crate::balance::Idempotent) among its extensions is made again elsewhere.
///
/// # Errors
/// Those of [`Instances::new`].
pub fn channel(service: Arc<Service>, query: Query, timeout: Duration) -> Result<Channel, Error> {
    let connect: Connect = Box::new(move |instance| {
        let endpoint = instance.url().ok_or_else(|| "the instance has no endpoint".into());
        let endpoint = endpoint.and_then(|url| Endpoint::from_shared(url).map_err(|error| error.to_string()));
        match endpoint {
            Ok(mut endpoint) => {
                // An instance is called by the name of its service, if that can be one.
                if let Ok(name) = format!("http://{}", instance.registration.service).parse() {
                    endpoint = endpoint.origin(name);
                }
                let channel = endpoint.connect_timeout(timeout).timeout(timeout).connect_lazy();
                let body = |request: http::Request<Replay<Body>>| request.map(Body::new);
                BoxCloneSyncService::new(ServiceBuilder::new().map_err(BoxError::from).map_request(body).service(channel))
            }
            Err(error) => BoxCloneSyncService::new(tower::service_fn(move |_| std::future::ready(Err(error.clone().into())))),
        }
    });
    let instances = Instances::new(Arc::clone(service.board()), query, connect)?;
    Ok(ServiceBuilder::new().map_err(unavailable as fn(BoxError) -> BoxError).layer(BalanceLayer(service)).service(instances))
}

/// That nobody can be called is UNAVAILABLE, with callboard's error as its source.
fn unavailable(error: BoxError) -> BoxError {
    match error.downcast::<Error>() {
        Ok(error) => {
            let mut status = Status::unavailable(error.to_string());
            status.set_source(Arc::new(*error));
            status.into()
        }
        Err(other) => other,
    }
}
