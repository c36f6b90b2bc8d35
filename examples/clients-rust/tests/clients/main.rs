//! The clients against servers that fail, hang, go away and come back. Each test is done with all three.

mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callboard::balance::{Budget, Hold, Options, Outliers, Policy, Retry, Stats};
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use clients_rust::balance::{Balance, BalanceLayer, Idempotent};
use clients_rust::board::Board;
use clients_rust::body::Replay;
use clients_rust::call::Service;
use clients_rust::discover::Instances;
use clients_rust::reqwest::Services;
use clients_rust::{BoxError, grpc, http as hyper_lines};
use http_body_util::{BodyExt as _, Full};
use servers::{Mood, Server, Text};
use tower::{Layer as _, ServiceExt as _};

const TIMEOUT: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hyper,
    Tonic,
    Reqwest,
}

type Connect = Box<dyn FnMut(&callboard::model::Instance) -> Line + Send + Unpin>;
type Line = hyper_lines::Line<Replay<Full<Bytes>>>;

enum Client {
    Hyper(Balance<Instances<Connect, Line>>),
    Tonic(grpc::Channel),
    Reqwest(reqwest_middleware::ClientWithMiddleware),
}

/// Three servers of a service, and a client that calls it by its name.
struct Shop {
    servers: Vec<Server>,
    service: Arc<Service>,
    client: Client,
}

impl Shop {
    async fn open(kind: Kind, policy: Policy) -> Self {
        let mut registry = Registry::new(Config { allow_local_addresses: true, ..Config::default() }).unwrap();
        let mut servers = Vec::new();
        for name in ["a", "b", "c"] {
            let server = Server::start(name).await;
            let registration = Registration::new("shop", name).endpoint(&format!("http://{}", server.address)).unwrap();
            registry.register(&registration, Put::default(), callboard::Timestamp::ZERO).unwrap();
            servers.push(server);
        }
        let board = Board::new(registry);
        let query = || Query::service("shop");
        let service = Service::new(Arc::clone(&board), query(), policy, Options::seeded(1)).unwrap();
        let client = match kind {
            Kind::Hyper => {
                let connect: Connect = Box::new(hyper_lines::connect(TIMEOUT));
                Client::Hyper(BalanceLayer(Arc::clone(&service)).layer(Instances::new(board, query(), connect).unwrap()))
            }
            Kind::Tonic => Client::Tonic(grpc::channel(Arc::clone(&service), query(), TIMEOUT).unwrap()),
            Kind::Reqwest => {
                let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
                let services = Services::new([("Shop", Arc::clone(&service))]).unwrap();
                assert!(["a/b", "a:1", "x@a", ""].iter().all(|name| Services::new([(name, Arc::clone(&service))]).is_err()));
                Client::Reqwest(reqwest_middleware::ClientBuilder::new(client).with(services).build())
            }
        };
        Self { servers, service, client }
    }

    /// The answer's body, or its status if it is none of success; `again` is whether the call may be done twice.
    async fn call(&self, again: bool, body: &str) -> Result<Result<String, u16>, BoxError> {
        match &self.client {
            Client::Hyper(balance) => {
                let request = http::Request::builder().method(if again { "PUT" } else { "POST" }).uri("http://shop/");
                let response = balance.clone().oneshot(request.body(Full::from(body.to_owned()))?).await?;
                let (head, body) = response.into_parts();
                let body = body.collect().await?.to_bytes();
                Ok(if head.status.is_success() { Ok(String::from_utf8(body.to_vec())?) } else { Err(head.status.as_u16()) })
            }
            Client::Tonic(channel) => {
                let mut client = tonic::client::Grpc::with_origin(channel.clone(), http::Uri::from_static("http://shop"));
                client.ready().await?;
                let mut request = tonic::Request::new(body.to_owned());
                if again {
                    request.extensions_mut().insert(Idempotent);
                }
                match client.unary(request, http::uri::PathAndQuery::from_static("/shop.Shop/Say"), Text).await {
                    Ok(response) => Ok(Ok(response.into_inner())),
                    // Told by the server, as HTTP would.
                    Err(status) if status.message() == "as told" => {
                        Ok(Err(if status.code() == tonic::Code::Unavailable { 503 } else { 429 }))
                    }
                    Err(status) => Err(status.into()),
                }
            }
            Client::Reqwest(client) => {
                let request =
                    client.request(if again { http::Method::PUT } else { http::Method::POST }, "http://shop/").body(body.to_owned());
                let response = request.send().await?;
                assert_eq!(response.url().as_str(), "http://shop/");
                let status = response.status();
                let body = response.text().await?;
                Ok(if status.is_success() { Ok(body) } else { Err(status.as_u16()) })
            }
        }
    }

    async fn said(&self) -> String {
        self.call(true, "body").await.unwrap().unwrap()
    }

    fn seen(&self) -> usize {
        self.servers.iter().map(Server::seen).sum()
    }

    fn all_are(&self, mood: Mood) {
        self.servers.iter().for_each(|server| server.is(mood));
    }

    fn stats(&self) -> Stats {
        self.service.balancer(|balancer| balancer.stats())
    }

    async fn leave(&self) {
        let board = self.service.board();
        for name in ["a", "b", "c"] {
            board.change(|registry, now| registry.deregister("default", "shop", name, None, now)).unwrap();
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.service.balancer(|balancer| balancer.in_flight()), 0, "a pick leaked");
        }
    }
}

/// Every part that these tests are about, and retries at once.
fn policy() -> Policy {
    let mut policy = Policy::least_request();
    let retry = Retry { first: Duration::ZERO, most: Duration::ZERO, ..Retry::default() };
    (policy.after.hold, policy.after.retry) = (Some(Hold::default()), Some(retry));
    policy
}

fn names(said: &[&str]) -> BTreeSet<String> {
    said.iter().map(|name| (*name).to_owned()).collect()
}

async fn each(test: impl AsyncFn(Kind)) {
    for kind in [Kind::Hyper, Kind::Tonic, Kind::Reqwest] {
        println!("{kind:?}");
        tokio::time::timeout(PATIENCE, test(kind)).await.unwrap();
    }
}

#[tokio::test]
async fn calls_go_to_all_of_them_under_the_services_name() {
    each(async |kind| {
        let shop = Shop::open(kind, policy()).await;
        let mut said = BTreeSet::new();
        for _ in 0..40 {
            said.insert(shop.said().await);
        }
        assert_eq!(said, names(&["a", "b", "c"]));
        for server in &shop.servers {
            let seen = server.state.seen.lock().unwrap();
            assert!(seen.iter().all(|(host, body)| host == "shop" && body == "body"), "{seen:?}");
        }
        assert_eq!(shop.stats().tally.succeeded, 40);
    })
    .await;
}

#[tokio::test]
async fn what_fails_is_tried_elsewhere_and_what_comes_back_is_called_again() {
    each(async |kind| {
        let mut shop = Shop::open(kind, policy()).await;
        shop.said().await;
        shop.servers[0].stop().await;
        shop.servers[1].is(Mood::Unavailable);
        for _ in 0..20 {
            assert_eq!(shop.said().await, "c");
        }
        shop.servers[0].come_back().await;
        shop.servers[1].is(Mood::Well);
        let mut said = BTreeSet::new();
        while said != names(&["a", "b", "c"]) {
            said.insert(shop.said().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_dead_is_avoided() {
    each(async |kind| {
        let mut policy = policy();
        policy.after.outliers = Some(Outliers::default());
        let mut shop = Shop::open(kind, policy).await;
        shop.servers[0].is(Mood::Unavailable);
        while shop.servers[0].seen() < 5 {
            shop.said().await;
        }
        for _ in 0..40 {
            shop.said().await;
        }
        assert_eq!(shop.servers[0].seen(), 5, "five failures in a row are enough");
        shop.servers[0].stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    each(async |kind| {
        let shop = Shop::open(kind, policy()).await;
        shop.servers[0].is(Mood::Hangs);
        for _ in 0..8 {
            assert_ne!(shop.said().await, "a");
        }
        while shop.servers[0].seen() == 0 {
            assert_ne!(shop.said().await, "a");
        }
        // What hung and may not be done twice is an error.
        shop.all_are(Mood::Hangs);
        let before = shop.seen();
        let started = Instant::now();
        shop.call(false, "once").await.unwrap_err();
        assert!(started.elapsed() >= TIMEOUT && shop.seen() == before + 1);
    })
    .await;
}

#[tokio::test]
async fn who_asks_to_be_spared_is() {
    each(async |kind| {
        let shop = Shop::open(kind, policy()).await;
        shop.servers[0].is(Mood::Throttled);
        while shop.servers[0].seen() == 0 {
            assert_ne!(shop.said().await, "a");
        }
        for _ in 0..40 {
            shop.said().await;
        }
        assert_eq!(shop.servers[0].seen(), 1);
    })
    .await;
}

#[tokio::test]
async fn nobody_is_a_typed_error() {
    each(async |kind| {
        let shop = Shop::open(kind, policy()).await;
        shop.leave().await;
        let error = shop.call(true, "").await.unwrap_err();
        let found = match error.downcast_ref::<reqwest_middleware::Error>() {
            Some(reqwest_middleware::Error::Middleware(error)) => error.downcast_ref::<callboard::Error>(),
            _ => std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |error| error.source())
                .find_map(|error| error.downcast_ref::<callboard::Error>()),
        };
        assert_eq!(found.map(callboard::Error::code), Some(callboard::Code::NoInstances), "{error:?}");
        if let Some(status) = error.downcast_ref::<tonic::Status>() {
            assert_eq!(status.code(), tonic::Code::Unavailable);
        }
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_done_twice_is_not() {
    each(async |kind| {
        let shop = Shop::open(kind, policy()).await;
        shop.all_are(Mood::Unavailable);
        assert_eq!(shop.call(false, "once").await.unwrap(), Err(503));
        assert_eq!(shop.seen(), 1);
        assert_eq!(shop.call(true, "again").await.unwrap(), Err(503));
        assert_eq!(shop.seen(), 1 + 3);
        let bodies = shop.servers.iter().map(|server| server.state.seen.lock().unwrap().last().unwrap().1.clone());
        assert!(bodies.into_iter().all(|body| body == "again"));
        // Text that is at hand can be sent again by reqwest; what tower sees is a stream, of which not too much is kept.
        let big = "x".repeat(100_000);
        assert_eq!(shop.call(true, &big).await.unwrap(), Err(503));
        assert_eq!(shop.seen(), 4 + if kind == Kind::Reqwest { 3 } else { 1 });
    })
    .await;
}

#[tokio::test]
async fn a_storm_is_stopped_by_the_budget() {
    each(async |kind| {
        let mut policy = policy();
        let budget = Budget::Share { window: Duration::from_secs(10), reserve: 0.0, share: 0.2 };
        policy.after.retry = policy.after.retry.map(|retry| Retry { budget, ..retry });
        let shop = Shop::open(kind, policy).await;
        shop.all_are(Mood::Unavailable);
        for _ in 0..100 {
            assert_eq!(shop.call(true, "").await.unwrap(), Err(503));
        }
        assert!((101..=125).contains(&shop.seen()), "{}", shop.seen());
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_given_up_between_two_attempts_is_in_flight_nowhere() {
    each(async |kind| {
        let mut policy = policy();
        let long = Duration::from_secs(30);
        policy.after.retry = policy.after.retry.map(|retry| Retry { first: long, most: long, ..retry });
        let shop = Shop::open(kind, policy).await;
        shop.all_are(Mood::Unavailable);
        tokio::time::timeout(Duration::from_millis(500), shop.call(true, "")).await.unwrap_err();
        let total = shop.stats().tally;
        assert_eq!((total.failed, total.cancelled), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_call_is_in_flight_until_its_body_is_read() {
    let shop = Shop::open(Kind::Hyper, policy()).await;
    let Client::Hyper(balance) = &shop.client else { unreachable!() };
    let request = || http::Request::get("http://shop/").body(Full::default()).unwrap();
    let response = balance.clone().oneshot(request()).await.unwrap();
    assert_eq!(shop.service.balancer(|balancer| balancer.in_flight()), 1);
    response.into_body().collect().await.unwrap();
    assert_eq!(shop.stats().tally.succeeded, 1);
    drop(balance.clone().oneshot(request()).await.unwrap());
    assert_eq!(shop.stats().tally.succeeded, 2);
}

#[tokio::test]
async fn towers_own_balancer_follows_the_instances_too() {
    let shop = Shop::open(Kind::Hyper, policy()).await;
    let connect: Connect = Box::new(hyper_lines::connect(TIMEOUT));
    let mut instances = Instances::new(Arc::clone(shop.service.board()), Query::service("shop"), connect).unwrap();
    let mut next =
        async || std::future::poll_fn(|context| futures_core::Stream::poll_next(std::pin::Pin::new(&mut instances), context)).await;
    for _ in 0..3 {
        assert!(matches!(next().await, Some(Ok(tower::discover::Change::Insert(..)))));
    }
    // Whoever waits is woken.
    let board = Arc::clone(shop.service.board());
    let waiting = async { tokio::time::timeout(PATIENCE, next()).await.unwrap() };
    let leaving = async {
        tokio::task::yield_now().await;
        board.change(|registry, now| registry.deregister("default", "shop", "b", None, now)).unwrap();
    };
    let (change, ()) = tokio::join!(waiting, leaving);
    assert!(matches!(change, Some(Ok(tower::discover::Change::Remove(_)))));
}
