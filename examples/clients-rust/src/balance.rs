//! A tower service that sends each request where callboard says: it picks, calls, and tells what became of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use callboard::balance::{Outcome, OutcomeKind};
use callboard::model::Handle;
use http_body::Body;
use tower::discover::{Change, Discover};
use tower::util::ServiceExt as _;
use tower::{Layer, Service as TowerService};

use crate::BoxError;
use crate::board::lock;
use crate::body::{Message, Replay, Tracked, answered, forbids};
use crate::call::Service;

/// In the extensions of a request: it may be done twice, whatever its method. Without it, a call of gRPC is not made again.
#[derive(Clone, Copy, Debug)]
pub struct Idempotent;

/// In the extensions of a request: what it is about, for a hashing policy.
#[derive(Clone, Debug)]
pub struct Key(pub Vec<u8>);

/// Balances over the services that a `Discover` brings.
#[derive(Clone)]
pub struct BalanceLayer(pub Arc<Service>);

impl<D: Discover<Key = Handle>> Layer<D> for BalanceLayer {
    type Service = Balance<D>;

    fn layer(&self, discover: D) -> Balance<D> {
        Balance { service: Arc::clone(&self.0), lines: Arc::new(Mutex::new(Lines { discover, services: HashMap::new() })) }
    }
}

/// The service. An error of callboard comes out as it is; what else goes wrong is an error of the service that was called.
pub struct Balance<D: Discover> {
    service: Arc<Service>,
    lines: Arc<Mutex<Lines<D>>>,
}

/// The services of the instances, as far as they were discovered.
struct Lines<D: Discover> {
    discover: D,
    services: HashMap<Handle, D::Service>,
}

impl<D: Discover<Key = Handle> + Unpin> Lines<D>
where
    D::Service: Clone,
{
    fn line(&mut self, handle: Handle) -> Option<D::Service> {
        // Every call asks for what is new, so nobody needs to be woken.
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(change))) = Pin::new(&mut self.discover).poll_discover(&mut context) {
            match change {
                Change::Insert(handle, service) => self.services.insert(handle, service),
                Change::Remove(handle) => self.services.remove(&handle),
            };
        }
        self.services.get(&handle).cloned()
    }
}

impl<D, B, R> TowerService<http::Request<B>> for Balance<D>
where
    D: Discover<Key = Handle> + Unpin + Send + 'static,
    D::Service: TowerService<http::Request<Replay<B>>, Response = http::Response<R>, Error: Into<BoxError>, Future: Send> + Clone + Send,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body,
{
    type Response = http::Response<Tracked<R>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (service, lines) = (Arc::clone(&self.service), Arc::clone(&self.lines));
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let method = if head.extensions.get::<Idempotent>().is_some() { "IDEMPOTENT" } else { head.method.as_str() };
            let mut call = service.call(method, head.extensions.get::<Key>().map(|key| &*key.0))?;
            let message = Message::new(body);
            loop {
                call.delay().await;
                let line = call.handle().and_then(|handle| lock(&lines).line(handle));
                let sent = http::Request::from_parts(head.clone(), message.copy());
                let answer = match line {
                    Some(line) => line.oneshot(sent).await.map_err(Into::into),
                    None => Err("the instance left".into()),
                };
                match answer {
                    Ok(response) => {
                        let can_be_sent = message.can_be_sent() && !forbids(response.headers());
                        if !call.goes_on(answered(response.status(), response.headers()), can_be_sent) {
                            return Ok(Tracked::new(response, call));
                        }
                    }
                    Err(error) => {
                        let outcome = failed(&*error);
                        if !call.goes_on(outcome, message.can_be_sent()) {
                            call.finish(outcome);
                            return Err(error);
                        }
                    }
                }
            }
        })
    }
}

impl<D: Discover> Clone for Balance<D> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), lines: Arc::clone(&self.lines) }
    }
}

/// How a call without an answer ended: a timeout is tower's or tonic's.
fn failed(error: &(dyn std::error::Error + 'static)) -> Outcome {
    let is_late =
        |error: &(dyn std::error::Error + 'static)| error.is::<tower::timeout::error::Elapsed>() || error.is::<tonic::TimeoutExpired>();
    let late = std::iter::successors(Some(error), |error| error.source()).any(is_late);
    Outcome::of(if late { OutcomeKind::Timeout } else { OutcomeKind::Connect })
}
