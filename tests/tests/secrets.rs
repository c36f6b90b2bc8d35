//! A secret in the metadata of an instance is for those who are answered with the instance, and for nobody else: it is in no error, no `Debug`, no
//! explanation, trace, statistic, metric, change or summary. (Spring Boot Admin put passwords into Eureka's metadata, and its log had them.)

use std::fmt::Debug;
use std::time::Duration;

use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::formats::{Context, Feed, FeedConfig, Format, Payload, decode};
use callboard::model::{Handle, Registration};
use callboard::query::Query;
use callboard::registry::{Config, Key, Listing, Op, Position, Put, Registry, View};
use callboard::serve::{Reply, Request as HttpRequest, Server};
use callboard::{Timestamp, Value};
use callboard_tests::dice::Dice;

const CANARY: &str = "hunter2-canary";
const KEYS: &[&str] = &["password", "secret", "token", "api_key", "credential", "auth", "note", "env"];

fn registration(dice: &mut Dice, id: &str) -> Registration {
    let pairs = [(dice.of(KEYS), CANARY), ("zone", "a")];
    let own = Registration::new("web", id).endpoint("http://10.0.0.1:80").and_then(|own| own.metadata(pairs)).expect("a registration");
    own.lease(Duration::from_secs(5), Duration::ZERO).expect("a lease")
}

/// What was seen, and where the secret was among it.
#[derive(Default)]
struct Seen(usize, Vec<String>);

impl Seen {
    fn text(&mut self, place: &str, text: &str) {
        self.0 += 1;
        if text.contains(CANARY) {
            self.1.push(format!("{place}: {text}"));
        }
    }

    fn debug(&mut self, place: &str, thing: &impl Debug) {
        self.text(place, &format!("{thing:?} {thing:#?}"));
    }

    fn value(&mut self, place: &str, value: &Value) {
        self.text(place, &String::from_utf8_lossy(&value.to_json()));
    }

    fn error<T>(&mut self, place: &str, result: Result<T, callboard::Error>) {
        let Err(error) = result else { return };
        self.text(place, &format!("{error} {error:?} {}", error.field()));
    }
}

/// What a caller gets wrong about an instance with a secret.
fn mistakes(seen: &mut Seen, registry: &mut Registry, dice: &mut Dice) {
    let now = registry.now();
    let own = registration(dice, "i0");
    let document = own.to_value();
    let mut pairs = document.as_map().unwrap_or_default().to_vec();
    for (name, value) in [
        ("wieght", Value::from(1u64)),
        ("id", Value::from("\u{7f}")),
        ("ttl", Value::from(-1.0)),
        ("weight", Value::from(f64::NAN)),
        ("version", "x".into()),
        ("metadata", Value::map([("password", Value::from(CANARY.repeat(100)))])),
        ("metadata", Value::map([("password", Value::List(vec![Value::from(CANARY)]))])),
        ("metadata", Value::List(vec![Value::from(CANARY)])),
        ("metadata", Value::from(CANARY)),
    ] {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name.into(), value));
        seen.error("a document", Registration::from_value(&Value::Map(pairs.clone())));
        let operation = Value::map([("op", Value::from("register")), ("instance", Value::Map(pairs.clone()))]);
        seen.error("an operation", Op::from_value(&operation, now));
        let listing = Value::map([("source", Value::from("s")), ("instances", Value::List(vec![Value::Map(pairs.clone())]))]);
        match Listing::from_value(&listing) {
            Ok(listing) => seen.debug("what of a listing was not read", &listing.unread),
            Err(error) => seen.error::<()>("a listing", Err(error)),
        }
        pairs = document.as_map().unwrap_or_default().to_vec();
    }
    seen.error("a mode", registry.register(&own, Put { if_revision: Some(99), ..Put::default() }, now));
    seen.error("a batch", registry.apply(&[Op::Register { registration: own, put: Put { if_revision: Some(99), ..Put::default() } }], now));
    seen.error("a key", registry.renew("default", "web", "nobody", 0, now));
}

/// Payloads of other systems with a secret in them, whole and damaged.
fn payloads(seen: &mut Seen, registry: &mut Registry, dice: &mut Dice) {
    let now = registry.now();
    for format in Format::ALL {
        let instances = [registration(dice, "a"), registration(dice, "b")];
        let body =
            callboard::formats::encode(*format, &instances).unwrap_or_else(|_| Value::map([("password", Value::from(CANARY))]).to_json());
        let mut bodies = vec![body.clone(), body[..body.len() / 2].to_vec(), format!("[{{\"password\":\"{CANARY}\"").into_bytes()];
        let mut turned = body;
        let at = dice.below(turned.len() as u64) as usize;
        turned[at] ^= 1 << dice.below(8);
        bodies.push(turned);
        for body in bodies {
            match decode(*format, &body, &Context { service: Some("web"), ..Context::new("default") }) {
                Ok(decoded) => seen.debug("what was skipped", &decoded.skipped),
                Err(error) => seen.error::<()>("a payload", Err(error)),
            }
            let mut feed = Feed::new(FeedConfig::new("them", *format).service("fed")).expect("a feed");
            let fed = feed.push(registry, &Payload::new(&body), now);
            seen.debug("what became of a payload", &fed);
            seen.value("what became of a payload", &fed.to_value());
        }
    }
}

/// What is told of picks.
fn picks(seen: &mut Seen, registry: &mut Registry, dice: &mut Dice) {
    let now = registry.now();
    for preset in Policy::presets() {
        let options = Options { trace: 100, ..Options::seeded(dice.below(1 << 50)) };
        let mut balancer = Balancer::new(Query::service("web"), Policy::named(preset).expect("a preset"), options).expect("a balancer");
        balancer.follow(registry);
        seen.debug("an explanation", &balancer.explain(&Request::keyed(b"k"), now));
        seen.value("an explanation", &balancer.explain(&Request::keyed(b"k"), now).to_value());
        seen.text("an explanation", &balancer.explain(&Request::keyed(b"k"), now).to_text());
        for number in 0..5u8 {
            let pick = balancer.pick(&Request::keyed(&[number]), now).expect("somebody is there");
            balancer.finish(pick.token, Outcome::failure(), now);
        }
        seen.debug("statistics", &balancer.stats());
        seen.value("statistics", &balancer.stats().to_value());
        seen.text("metrics", &balancer.metrics());
        seen.value("a trace", &balancer.trace().expect("it is traced"));
        let all: Vec<Handle> = registry.query(&Query::service("web")).handles;
        seen.error("a refusal", balancer.pick(&Request::excluding(&all), now));
    }
}

/// What a registry tells beside the instances that are asked for.
fn registry(seen: &mut Seen, registry: &mut Registry) {
    let now = registry.now();
    seen.debug("statistics", &registry.stats());
    seen.value("statistics", &registry.stats().to_value());
    seen.debug("services", &registry.services(None));
    seen.debug("changes", &registry.changes(Position { epoch: registry.epoch(), revision: 0 }));
    seen.value("changes", &registry.changes(Position { epoch: registry.epoch(), revision: 0 }).to_value());
    let answer = registry.query(&Query::service("web"));
    seen.debug("an answer", &answer);
    for handle in &answer.handles {
        let instance = registry.instance(*handle).expect("it is there");
        seen.debug("an instance", &instance);
        seen.debug("its metadata", &instance.registration.metadata);
    }
    seen.debug("a key", &Key::new("default", "web", "i0"));
    let mut view = View::new(Query::service("web")).expect("a view");
    seen.debug("a delta", &view.poll(registry));
    seen.text("a digest", &registry.digest("default", "web").unwrap_or_default());
    for path in [
        "/v1/metrics",
        "/v1/stats",
        "/v1/services",
        "/v1/changes",
        "/v1/nowhere",
        "/v1/catalog/services",
        "/eureka/nowhere",
        "/nacos/v1/ns/nowhere",
    ] {
        let request = HttpRequest { method: "GET", path, ..HttpRequest::default() };
        if let Reply::Response(response) = Server::default().handle(registry, &request, now) {
            seen.text(path, &String::from_utf8_lossy(&response.body));
        }
    }
    for method in ["PUT", "POST"] {
        for path in [
            "/v1/instances",
            "/v1/instances/default/web/i0",
            "/v1/batch",
            "/v1/agent/service/register",
            "/eureka/apps/WEB",
            "/nacos/v1/ns/instance",
        ] {
            for body in [format!("{{\"password\":\"{CANARY}\"}}"), format!("x={CANARY}&\u{0}"), format!("[\"{CANARY}\"")] {
                let request = HttpRequest { method, path, body: body.as_bytes(), ..HttpRequest::default() };
                if let Reply::Response(response) = Server::default().handle(registry, &request, now) {
                    seen.text(path, &String::from_utf8_lossy(&response.body));
                }
            }
        }
    }
    // Bytes that are spoilt.
    let bytes = registry.snapshot();
    for cut in (0..bytes.len()).step_by(97) {
        seen.error("a snapshot", Registry::restore(&bytes[..cut], Config::default(), now));
    }
}

#[test]
fn a_secret_is_nowhere_but_in_the_instance() {
    let mut seen = Seen::default();
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let mut board = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
        for number in 0..4 {
            board.register(&registration(&mut dice, &format!("i{number}")), Put::default(), Timestamp::from_secs(1)).expect("registered");
        }
        registry(&mut seen, &mut board);
        mistakes(&mut seen, &mut board, &mut dice);
        payloads(&mut seen, &mut board, &mut dice);
        picks(&mut seen, &mut board, &mut dice);
    }
    assert!(seen.1.is_empty(), "the secret is out in {} of {} places: {:#?}", seen.1.len(), seen.0, &seen.1[..seen.1.len().min(5)]);
    assert!(seen.0 > 10_000, "{} places were looked at", seen.0);
}

#[test]
fn whoever_asks_for_the_instance_has_all_of_it() {
    let mut board = Registry::new(Config::default()).expect("a registry");
    let done = board.register(&registration(&mut Dice(1), "i"), Put::default(), Timestamp::ZERO).expect("registered");
    let document = board.instance(done.handle).expect("it is there").to_value();
    assert!(String::from_utf8_lossy(&document.to_json()).contains(CANARY));
}
