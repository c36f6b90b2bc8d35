//! A consumer: it follows the board, picks an instance for every request, and says how the request went.
//!
//! ```text
//! CALLBOARD=http://127.0.0.1:7400 SERVICE=billing consumer-rust
//! ```
//! One JSON document a line on stdout; ends when stdin does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard::Timestamp;
use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::query::Query;
use callboard::registry::{Config, Registry};
use consumer_rust::Follower;
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Requests at a time, and the pause between two of one lane.
const LANES: usize = 4;
const PAUSE: Duration = Duration::from_millis(40);

struct Consumer {
    http: reqwest::Client,
    board: String,
    service: String,
    started: Instant,
    registry: RefCell<Registry>,
    balancer: RefCell<Balancer>,
    follower: RefCell<Follower>,
    requests: Cell<u64>,
    over: Cell<bool>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let from = |name, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let service = from("SERVICE", "billing");
    let seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos());
    // The providers of the demo are on this machine; addresses that a server has no business to name are refused otherwise.
    let config = Config { seed, allow_local_addresses: true, ..Config::default() };
    let consumer = Rc::new(Consumer {
        http: reqwest::Client::builder().no_proxy().build()?,
        board: from("CALLBOARD", "http://127.0.0.1:7400"),
        started: Instant::now(),
        registry: RefCell::new(Registry::new(config)?),
        balancer: RefCell::new(Balancer::new(Query::service(&service), Policy::least_request(), Options { seed, ..Options::default() })?),
        follower: RefCell::new(Follower::new("callboard", "default", &service)?),
        requests: Cell::new(0),
        over: Cell::new(false),
        service,
    });
    consumer.follow(0).await?;

    let (close, mut closed) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(close);
    });
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let following = tokio::task::spawn_local(Rc::clone(&consumer).follow_forever());
            let lanes: Vec<_> = (0..LANES).map(|_| tokio::task::spawn_local(Rc::clone(&consumer).lane())).collect();
            let _ = (&mut closed).await;
            consumer.over.set(true);
            for lane in lanes {
                lane.await?;
            }
            following.abort();
            say(&json!({ "event": "done", "requests": consumer.requests.get() }));
            Ok(())
        })
        .await
}

impl Consumer {
    /// One question to the server, and what its answer changes.
    async fn follow(&self, wait: u64) -> Result {
        let url = format!("{}{}", self.board, self.follower.borrow().path(wait));
        let response = self.http.get(url).timeout(Duration::from_secs(wait + 10)).send().await?.error_for_status()?;
        let body = response.bytes().await?;
        let mut registry = self.registry.borrow_mut();
        self.follower.borrow_mut().push(&mut registry, &body, self.now())?;
        let instances = registry.query(&Query::service(&self.service)).handles.into_iter().filter_map(|handle| registry.instance(handle));
        let view: serde_json::Map<_, _> =
            instances.map(|instance| (instance.registration.id.clone(), json!(instance.availability().as_str()))).collect();
        say(&json!({ "event": "view", "at": wall(), "instances": view }));
        Ok(())
    }

    async fn follow_forever(self: Rc<Self>) {
        loop {
            if let Err(error) = self.follow(30).await {
                eprintln!("no registry, going on with what is known: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn lane(self: Rc<Self>) {
        while !self.over.get() {
            self.requests.set(self.requests.get() + 1);
            self.request(&format!("user-{}", self.requests.get() % 97)).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Picks, sends, and tells the balancer and the reader of stdout how it went.
    async fn request(&self, key: &str) {
        let (at, started) = (wall(), Instant::now());
        let pick = self.pick(key);
        let (id, ok) = match &pick {
            Ok((token, id, url)) => {
                let ok = self.send(url, key).await.inspect_err(|error| eprintln!("{id}: {error}")).is_ok();
                let outcome = if ok { Outcome::success(started.elapsed()) } else { Outcome::failure() };
                self.balancer.borrow_mut().finish(*token, outcome, self.now());
                (Some(id), ok)
            }
            Err(error) => {
                eprintln!("{error}");
                (None, false)
            }
        };
        say(&json!({ "event": "request", "at": at, "ms": started.elapsed().as_secs_f64() * 1e3, "id": id, "key": key, "ok": ok }));
    }

    /// Token, id and URL of the chosen instance.
    fn pick(&self, key: &str) -> Result<(u64, String, String)> {
        let (registry, mut balancer) = (self.registry.borrow(), self.balancer.borrow_mut());
        balancer.follow(&registry); // one comparison when nothing is new
        let pick = balancer.pick(&Request::keyed(key.as_bytes()), self.now())?;
        let instance = registry.instance(pick.handle).ok_or("the pick names nobody")?;
        let url = instance.url().ok_or("the instance has no endpoint")?;
        Ok((pick.token, instance.registration.id, url))
    }

    async fn send(&self, url: &str, key: &str) -> Result {
        let request = self.http.get(format!("{url}/invoices?user={key}")).timeout(Duration::from_secs(5));
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.started.elapsed())
    }
}

/// Milliseconds of the wall clock, which the demo compares between processes.
fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

fn say(line: &serde_json::Value) {
    println!("{line}");
}
