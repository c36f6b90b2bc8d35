//! A middleware of `reqwest-middleware`: `http://billing/invoices` goes to an instance of `billing`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use callboard::balance::{Outcome, OutcomeKind};
use callboard::model::Instance;
use http::Extensions;
use http::header::HOST;
use reqwest::{Body, Request, Response, ResponseBuilderExt as _, Url};
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::BoxError;
use crate::body::{Tracked, answered};
use crate::call::{Call, Service};

/// The services that are called by name; calls to other hosts go where they say.
///
/// The client's `timeout` is that of an attempt. A redirect is followed by the client itself, and so past this middleware.
pub struct Services(HashMap<String, Arc<Service>>);

impl Services {
    /// # Errors
    /// A name that a URL cannot have as its host, or two that are the same there, where all is in lower case.
    pub fn new<N: AsRef<str>>(services: impl IntoIterator<Item = (N, Arc<Service>)>) -> std::result::Result<Self, BoxError> {
        let mut hosts = HashMap::new();
        for (name, service) in services {
            let name = name.as_ref().to_lowercase();
            let is_host = Url::parse(&format!("http://{name}")).is_ok_and(|url| url.host_str() == Some(&*name));
            if !is_host || hosts.insert(name.clone(), service).is_some() {
                return Err(format!("{name} cannot be told from another host").into());
            }
        }
        Ok(Self(hosts))
    }
}

#[async_trait]
impl Middleware for Services {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Some(service) = request.url().host_str().and_then(|name| self.0.get(name)) else {
            return next.run(request, extensions).await;
        };
        let mut call = service.call(request.method().as_str(), None).map_err(Error::middleware)?;
        let asked = request.url().clone();
        let mut upcoming = request;
        loop {
            call.delay().await;
            let spare = upcoming.try_clone();
            let (answer, outcome) = match place(&mut upcoming, call.instance()) {
                Some(()) => {
                    let answer = next.clone().run(upcoming, extensions).await;
                    let outcome = became(&answer);
                    (answer, outcome)
                }
                None => (Err(Error::middleware(std::io::Error::other("the instance has no endpoint"))), Outcome::of(OutcomeKind::Connect)),
            };
            match spare {
                Some(spare) if call.goes_on(outcome, true) => upcoming = spare,
                _ if answer.is_ok() => return answer.map(|response| kept(response, asked, call)),
                _ => {
                    call.finish(outcome);
                    return answer;
                }
            }
        }
    }
}

/// Sends the request to an instance, which is called by the name of its service.
fn place(request: &mut Request, instance: Option<Instance>) -> Option<()> {
    let place = Url::parse(&instance?.url()?).ok()?;
    let name = request.url().authority().parse().ok()?;
    request.headers_mut().entry(HOST).or_insert(name);
    let url = request.url_mut();
    url.set_scheme(place.scheme()).ok()?;
    url.set_host(place.host_str()).ok()?;
    url.set_port(place.port()).ok()
}

fn became(answer: &Result<Response>) -> Outcome {
    match answer {
        Ok(response) => answered(response.status(), response.headers()),
        Err(Error::Reqwest(error)) => {
            Outcome::of(if error.is_timeout() && !error.is_connect() { OutcomeKind::Timeout } else { OutcomeKind::Connect })
        }
        // Another middleware's doing.
        Err(Error::Middleware(_)) => Outcome::of(OutcomeKind::Cancelled),
    }
}

/// The response under the URL that was asked, whose body's end ends the call.
fn kept(response: Response, asked: Url, call: Call) -> Response {
    let (mut head, body) = Tracked::new(http::Response::<Body>::from(response), call).into_parts();
    if let Ok(named) = http::Response::builder().url(asked).body(()) {
        head.extensions.extend(named.into_parts().0.extensions);
    }
    Response::from(http::Response::from_parts(head, Body::wrap(body)))
}
