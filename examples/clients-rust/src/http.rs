//! hyper's client for the instances of a service.

use std::time::Duration;

use bytes::Bytes;
use callboard::model::Instance;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

use crate::BoxError;

/// An instance to send to.
pub type Line<B> = BoxCloneSyncService<Request<B>, Response<Incoming>, BoxError>;

/// What makes lines for [`Instances`](crate::discover::Instances): an answer must begin within `timeout`. One pool of connections for all of them.
pub fn connect<B>(timeout: Duration) -> impl FnMut(&Instance) -> Line<B> + Send + Unpin
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let client = Client::builder(TokioExecutor::new()).build::<_, B>(HttpConnector::new());
    move |instance| {
        let place = instance.url().and_then(|url| url.parse().ok());
        let placed = move |request| placed(request, place.as_ref());
        BoxCloneSyncService::new(ServiceBuilder::new().map_err(BoxError::from).timeout(timeout).map_request(placed).service(client.clone()))
    }
}

/// The request at an instance, which is called by the name of its service.
fn placed<B>(mut request: Request<B>, place: Option<&Uri>) -> Request<B> {
    let mut parts = request.uri().clone().into_parts();
    if let Some(host) = parts.authority.as_ref().and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    (parts.scheme, parts.authority) =
        place.map(|place| place.clone().into_parts()).map_or((None, None), |place| (place.scheme, place.authority));
    // Without a place it has none: the client says so.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request
}
