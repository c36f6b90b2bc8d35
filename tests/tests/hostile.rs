//! Bytes and documents from an enemy: everything is a typed error with code and field, or is taken whole; nothing panics
//! (the build checks overflow and bounds), nothing changes that was refused, and the object goes on working.
//!
//! The HTTP API has its own such tests, in `core/src/serve/rest/hostile.rs`.

#[path = "hostile/snapshots.rs"]
mod snapshots;

use std::time::Duration;

use callboard::balance::{Balancer, Options, Outcome, Policy, Request};
use callboard::formats::{Context, Feed, FeedConfig, Format, decode};
use callboard::model::{AdminState, Endpoint, Health, Host, Override, Registration, Version, Weight};
use callboard::query::{Query, Selector, VersionRange};
use callboard::registry::{Config, Extent, Listing, Op, Position, Put, Registry};
use callboard::{Code, Error, Timestamp, Value};
use callboard_tests::dice::Dice;
use callboard_tests::document::json;

const SECRET: &str = "hunter2-canary";

/// What every error must be.
fn fair(error: &Error) {
    let text = error.to_string();
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "not one printable line: {text:?}");
    assert!(text.len() < 1_024, "{} bytes: {text}", text.len());
    assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET), "a secret came out: {text}");
    assert!(text.starts_with(error.code().as_str()), "{text}");
}

/// A registry with some of everything.
fn rich() -> Registry {
    let mut registry = Registry::new(Config::default()).expect("a registry");
    let now = Timestamp::from_secs(1);
    for number in 0..24u64 {
        let mut registration = Registration::new(["web", "api"][number as usize % 2], format!("i{number}"))
            .endpoint(&format!("http://10.0.0.{number}:80"))
            .and_then(|it| it.endpoint("grpcs://[2001:db8::1]:443"))
            .and_then(|it| it.version("1.4.2-rc.1"))
            .and_then(|it| it.metadata([("env", ["prod", "test"][number as usize % 2]), ("password", SECRET)]))
            .and_then(|it| it.tags(["x", "y"]))
            .and_then(|it| it.lease(Duration::from_secs(10 + number), Duration::from_secs(1)))
            .expect("a registration")
            .zone("z1")
            .incarnation(number);
        if number % 5 == 0 {
            registration.lease = None;
            registration.health = Health::Degraded;
        }
        registry.register(&registration, Put::default(), now).expect("a record");
    }
    let own = Override { state: AdminState::Draining, until: Some(Timestamp::from_secs(60)), reason: "upgrade".into() };
    registry.set_admin("default", "web", "i2", Some(own), now).expect("an override");
    let instances = vec![Registration::new("web", "f1"), Registration::new("web", "f2")];
    let listing = Listing {
        source: "consul:dc1".into(),
        namespace: "default".into(),
        service: Some("web".into()),
        instances,
        same: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        unread: Vec::new(),
        extent: Extent::Whole,
    };
    registry.reconcile(&listing, now).expect("a listing");
    registry
}

/// A registry that came out of damaged bytes must work like any other.
fn works(mut registry: Registry) {
    let later = registry.now().saturating_add(Duration::from_secs(3));
    registry.advance(later);
    let answer = registry.query(&Query::everything());
    for handle in &answer.handles {
        registry.instance(*handle).expect("a handle of an answer names a record").to_value();
    }
    registry.register(&Registration::new("fresh", "i"), Put::default(), later).expect("room for one more");
    let again = Registry::restore(&registry.snapshot(), registry.config().clone(), later).expect("its own snapshot");
    assert_eq!((again.len(), again.revision()), (registry.len(), registry.revision()));
}

/// A text of pieces that parsers trip over.
fn text(dice: &mut Dice, pieces: &[&str]) -> String {
    (0..dice.below(14))
        .map(|_| if dice.percent(85) { dice.of(pieces).to_owned() } else { char::from(dice.bits() as u8).to_string() })
        .collect()
}

#[test]
fn selectors_of_any_text() {
    const PIECES: &[&str] = &[
        "env",
        "=",
        "==",
        "!=",
        " ",
        ",",
        "(",
        ")",
        "in",
        "notin",
        "not",
        "and",
        "or",
        "!",
        "version",
        "zone",
        "tags",
        "contains",
        "matches",
        "*",
        "?",
        "^1.4",
        ">=",
        "<",
        "1.5",
        "-0",
        "1e9",
        "'",
        "\"",
        "\\",
        "\u{e9}",
        "meta.",
        "weight",
        "a*b*c",
        "x in (a,b)",
        "\n",
        "&&",
        "0x1",
    ];
    let instance = Registration::new("s", "i").metadata([("env", "1.5"), ("x", "a")]).expect("metadata");
    let mut dice = Dice(3);
    let mut good = 0;
    for _ in 0..200_000 {
        match Selector::parse(&text(&mut dice, PIECES)) {
            Ok(selector) => {
                good += 1;
                assert_eq!(Selector::parse(selector.text()).as_ref(), Ok(&selector));
                let mut query = Query::service("s");
                query.selector = selector;
                query.compile().expect("a valid query").matches(&instance);
            }
            Err(error) => {
                fair(&error);
                assert!(error.field().starts_with("selector") || error.field() == "version", "{error}");
            }
        }
    }
    assert!(good > 1_000, "only {good} were selectors");
    for bomb in ["(", "!(", "not ", "a and ", "a or ", "a,", "((", "x in (", "x in (a,", "'", "*", "a=", "version ^1,", "!", "a matches *a"]
    {
        for count in [1, 31, 32, 33, 300, 4_096, 100_000] {
            if let Err(error) = Selector::parse(&bomb.repeat(count)) {
                fair(&error);
            }
        }
    }
}

#[test]
fn versions_ranges_hosts_and_endpoints_of_any_text() {
    const PIECES: &[&str] =
        &["1", "0", ".", "^", "~", ">=", "<", "=", "*", "x", "-", "+", "rc", ",", " ", "99999999999999999999", "v", "\u{e9}", "\0"];
    const PLACES: &[&str] = &[
        "http",
        "://",
        ":",
        "[",
        "]",
        "::1",
        "127.0.0.1",
        "a",
        ".",
        "-",
        "/",
        "@",
        "%25",
        "0",
        "65536",
        "80",
        "?",
        "#",
        "\u{e9}",
        "xn--",
        "_",
        "0x7f",
        "1.2",
    ];
    let mut dice = Dice(4);
    for _ in 0..100_000 {
        let version = text(&mut dice, PIECES);
        Version::parse(&version)
            .map_or_else(|error| fair(&error), |version| assert_eq!(Version::parse(&version.text()), Ok(version.clone())));
        VersionRange::parse(&version).map_or_else(|error| fair(&error), |range| assert_eq!(VersionRange::parse(&range.text()), Ok(range)));
        let place = text(&mut dice, PLACES);
        Host::parse(&place).map_or_else(|error| fair(&error), |host| assert_eq!(Host::parse(&host.to_string()), Ok(host)));
        match Endpoint::parse(&place) {
            Ok(endpoint) => assert_eq!(Endpoint::from_value(&endpoint.to_value()), Ok(endpoint)),
            Err(error) => fair(&error),
        }
    }
}

/// A document with one part exchanged for something else.
fn mutate(dice: &mut Dice, value: &Value) -> Value {
    let odd = |dice: &mut Dice| {
        dice.of(&[
            Value::Null,
            Value::Bool(true),
            Value::Int(-1),
            Value::Int(0),
            Value::Int(i64::MAX),
            Value::Int(1 << 53),
            Value::Float(f64::NAN),
            Value::Float(f64::INFINITY),
            Value::Float(-0.0),
            Value::Float(1e308),
            Value::Float(0.5),
            Value::Text(String::new()),
            Value::from("__proto__"),
            Value::from("\u{202e}\n\0"),
            Value::from("x".repeat(5_000)),
            Value::List(Vec::new()),
            Value::List(vec![Value::Null; 200]),
            Value::Map(Vec::new()),
            Value::map([("__proto__", Value::Int(1)), ("constructor", Value::Null)]),
        ])
    };
    match value {
        Value::Map(pairs) if !pairs.is_empty() && dice.percent(90) => {
            let at = dice.below(pairs.len() as u64) as usize;
            let mut pairs = pairs.clone();
            match dice.below(6) {
                0 => pairs[at].0 = dice.of(&["wieght", "__proto__", "", "constructor"]).to_owned(),
                1 => drop(pairs.remove(at)),
                2 => pairs.push(("extra".into(), odd(dice))),
                _ => pairs[at].1 = mutate(dice, &pairs[at].1),
            }
            Value::Map(pairs)
        }
        Value::List(items) if !items.is_empty() && dice.percent(80) => {
            let at = dice.below(items.len() as u64) as usize;
            let mut items = items.clone();
            items[at] = mutate(dice, &items[at]);
            Value::List(items)
        }
        _ => odd(dice),
    }
}

#[test]
fn documents_of_any_shape_change_nothing_when_refused() {
    let read = |text: &str| Value::from_json(text.as_bytes()).expect("JSON");
    let registration = read(
        r#"{"namespace":"default","service":"web","id":"i1","endpoints":["http://10.0.0.5:80",{"name":"m","scheme":"http","host":"a","port":1,"secure":true}],"locality":{"region":"r","zone":"z","subzone":"s","node":"n"},"weight":1.5,"version":"1.2.3","tags":["x"],"metadata":{"password":"hunter2-canary"},"health":"degraded","ttl":30,"grace":1.5,"incarnation":7}"#,
    );
    let instances = Value::List(vec![registration.clone(), read(r#"{"service":"web","id":"f1"}"#)]);
    let listing = Value::map([
        ("source", "consul:dc1".into()),
        ("instances", instances),
        ("removed", Value::List(vec![read(r#"{"service":"web","id":"f2"}"#)])),
    ]);
    let op = |word: &str, rest: &str| read(&format!(r#"{{"op":"{word}","namespace":"default","service":"web","id":"i4"{rest}}}"#));
    let ops = Value::List(vec![
        Value::map([
            ("op", "register".into()),
            ("instance", registration.clone()),
            ("mode", "upsert".into()),
            ("if_revision", Value::Int(3)),
        ]),
        op("renew", r#","incarnation":4"#),
        op("set_health", r#","health":"starting","incarnation":4"#),
        op("set_admin", r#","admin":{"state":"draining","ttl":30,"reason":"hunter2-canary"}"#),
        op("deregister", r#","incarnation":4"#),
    ]);
    let query = read(
        r#"{"namespace":"default","service":"web","health":"any","version":"^1","selector":"env=prod","locality":{"zone":"z1"},"tags":["x"],"limit":3,"fallbacks":[{"service":"api"}]}"#,
    );
    let policy = read(
        r#"{"preset":"adaptive","outliers":{"preset":"adaptive","interval":5,"errors":{"count":3,"enforcing":50},"recovery":{"kind":"fixed","base":1,"most":9,"jitter":0.5},"success_rate":{"factor":1.9},"failures":{"threshold":50},"latency":{"factor":3,"floor":0.02}},"hold":{"most":60},"breaker":{"instance":9,"total":99},"retry":{"budget":{"kind":"tokens","most":10,"ratio":0.1},"attempts":3},"hedge":{"quantile":0.9},"limit":{"kind":"gradient2","max":90},"subset":{"kind":"ring","size":3,"client":1},"slow_start":{"window":60,"aggression":2},"levels":{"panic":40,"key":"tier"},"localities":{"local":"z1","peers":{"z1":2},"weights":{"z1":3}}}"#,
    );
    let balancer = Value::map([("query", query.clone()), ("policy", policy), ("options", read(r#"{"seed":1,"reap_after":600}"#))]);
    let mut registry = rich();
    let mut dice = Dice(5);
    let now = Timestamp::from_secs(2);
    for round in 0..60_000 {
        if round % 1_000 == 0 {
            registry = rich();
        }
        let print = (registry.position(), registry.digest("default", "web"), registry.len());
        let (part, times) = (dice.below(8), 1 + dice.below(2));
        let damaged = |dice: &mut Dice, value: &Value| (0..times).fold(value.clone(), |value, _| mutate(dice, &value));
        let outcome: Result<(), Error> = match part {
            0 => Registration::from_value(&damaged(&mut dice, &registration))
                .and_then(|registration| registry.register(&registration, Put::default(), now).map(drop)),
            1 => Listing::from_value(&damaged(&mut dice, &listing)).and_then(|listing| {
                registry.reconcile(&listing, now).map(|done| done.skipped.iter().for_each(|skipped| fair(&skipped.error)))
            }),
            2 => Op::list_from_value(&damaged(&mut dice, &ops), now).and_then(|ops| registry.apply(&ops, now).map(drop)),
            3 => Query::from_value(&damaged(&mut dice, &query)).map(|query| drop(registry.query(&query))),
            4 => Balancer::from_value(&damaged(&mut dice, &balancer)).map(drop),
            5 => Config::from_value(&damaged(&mut dice, &Config::default().to_value())).and_then(|config| Registry::new(config).map(drop)),
            6 => Position::from_value(&damaged(&mut dice, &registry.position().to_value())).map(|since| drop(registry.changes(since))),
            _ => Outcome::from_value(&damaged(&mut dice, &Outcome::success(Duration::from_secs(1)).to_value()))
                .and(Options::from_value(&damaged(&mut dice, &Options::default().to_value())))
                .map(drop),
        };
        if let Err(error) = outcome {
            fair(&error);
            // The whole document may be wrong, and a key may be the empty text.
            let nameless = matches!(error.code(), Code::InvalidArgument | Code::UnknownField);
            assert!(!error.field().is_empty() || nameless, "{error}");
            assert_eq!(print, (registry.position(), registry.digest("default", "web"), registry.len()), "{error}");
        }
    }
}

#[test]
fn payloads_cut_bent_and_made_up() {
    const PAYLOAD: &str = r#"[{"Node":{"Node":"n1","Address":"10.1.1.1","Datacenter":"dc1","Meta":{"k":"v"}},"Service":{"ID":"web-1","Service":"web","Tags":["x","version=1.2.3"],"Address":"10.0.0.1","Port":80,"Meta":{"version":"1.4.2","password":"hunter2-canary"},"Weights":{"Passing":10,"Warning":1}},"Checks":[{"CheckID":"serfHealth","Status":"passing"},{"CheckID":"c","Status":"warning"}]},{"Node":{"Node":"n2","Address":"10.1.1.2"},"Service":{"ID":"web-2","Service":"web","Port":"81"},"Checks":[]}]"#;
    let now = Timestamp::from_secs(2);
    let mut feed = Feed::new(FeedConfig::new("consul:dc1", Format::ConsulHealth).service("web")).expect("a feed");
    let mut registry = rich();
    let mut push = |bytes: &[u8]| {
        if let Ok(decoded) = decode(Format::ConsulHealth, bytes, &Context::new("default")) {
            decoded.skipped.iter().for_each(|skipped| fair(&skipped.error));
            assert!(decoded.instances.iter().all(|instance| instance.registration.validate().is_ok()), "{}", json(&decoded.to_value()));
        }
        let before = (registry.position(), registry.digest("default", "web"));
        match feed.take(&mut registry, bytes, now) {
            Ok(done) => done.skipped.iter().for_each(|skipped| fair(&skipped.error)),
            Err(error) => {
                fair(&error);
                assert!(!error.field().is_empty(), "{error}");
                assert_eq!(before, (registry.position(), registry.digest("default", "web")), "{error}");
            }
        }
    };
    for length in 0..PAYLOAD.len() {
        push(&PAYLOAD.as_bytes()[..length]);
    }
    for bit in 0..PAYLOAD.len() * 8 {
        let mut bent = PAYLOAD.as_bytes().to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        push(&bent);
    }
    let document = Value::from_json(PAYLOAD.as_bytes()).expect("JSON");
    let mut dice = Dice(6);
    for _ in 0..20_000 {
        let bent = (0..=dice.below(3)).fold(document.clone(), |value, _| mutate(&mut dice, &value));
        push(&bent.to_json());
        push(&(0..dice.below(40)).map(|_| dice.bits() as u8).collect::<Vec<_>>());
    }
    for bomb in ["[", "{\"a\":", "[[{\"Node\":", "\"", "0", "[{},", "\u{feff}", "nul"] {
        for count in [1, 64, 65, 10_000, 1_000_000] {
            push(bomb.repeat(count).as_bytes());
        }
    }
}

#[test]
fn numbers_at_every_edge() {
    let mut registry = rich();
    for micros in [0, 1, u64::MAX >> 11, (1 << 53) - 1, 1 << 53, u64::MAX] {
        match Timestamp::from_micros(micros) {
            Ok(now) => {
                registry.advance(now);
                registry
                    .register(
                        &Registration::new("edge", "i").lease(Duration::from_secs(86_400), Duration::from_secs(86_400)).expect("a lease"),
                        Put::default(),
                        now,
                    )
                    .expect("a record");
                let own = Override { state: AdminState::Draining, until: Some(Timestamp::MAX), reason: String::new() };
                registry.set_admin("default", "edge", "i", Some(own), now).expect("an override");
                registry.renew("default", "edge", "i", 0, now).expect("a renewal");
            }
            Err(error) => {
                assert_eq!((error.code(), error.field()), (Code::InvalidTime, "now"));
                assert!(micros >= 1 << 53);
            }
        }
    }
    for incarnation in [(1 << 53) - 1, 1 << 53, u64::MAX] {
        let outcome = registry.renew("default", "edge", "i", incarnation, Timestamp::ZERO);
        assert_eq!(outcome.is_ok(), incarnation < 1 << 53);
        let outcome = registry.set_health("default", "edge", "i", Health::Degraded, Some(incarnation), Timestamp::ZERO);
        assert_eq!(outcome.is_ok(), incarnation < 1 << 53);
    }
    let outcome = registry.deregister("default", "edge", "i", Some(u64::MAX), Timestamp::ZERO);
    assert_eq!(outcome.map_err(|error| error.code()), Err(Code::LimitExceeded));
    works(registry);
}

/// Every policy, a million picks at one time: nobody of weight 0, and every number is one.
#[test]
fn time_that_stands_still() {
    const PICKS: u64 = 1_000_000;
    let mut registry = Registry::new(Config::default()).expect("a registry");
    let weights = [("a", 0.0), ("b", 0.001), ("c", 1.0), ("d", 65_535.0), ("e", 65_535.0)];
    for (id, weight) in weights {
        let mut registration = Registration::new("s", id);
        registration.weight = Weight::new(weight).expect("a weight");
        registry.register(&registration, Put::default(), Timestamp::ZERO).expect("a record");
    }
    let none = registry.lookup("default", "s", "a").expect("on record");
    let hostile = [0, 1, u64::MAX / 3, u64::MAX].map(|micros| Outcome::success(Duration::from_micros(micros)));
    let now = Timestamp::from_secs(9);
    for preset in Policy::presets() {
        let query = Query::service("s");
        let mut balancer = Balancer::new(query, Policy::named(preset).expect("a preset"), Options::seeded(1)).expect("a balancer");
        balancer.follow(&registry);
        for step in 0..PICKS {
            let key = step.to_le_bytes();
            let pick = balancer.pick(&Request::keyed(&key), now).expect("somebody");
            assert_ne!(pick.handle, none, "{preset}");
            let outcome = if step % 7 == 0 { Outcome::failure() } else { hostile[step as usize % hostile.len()] };
            assert!(balancer.finish(pick.token, outcome, now), "{preset}");
        }
        let stats = balancer.stats();
        assert_eq!((stats.in_flight, stats.tally.succeeded + stats.tally.failed, stats.backwards), (0, PICKS, 0), "{preset}");
        assert!(stats.instances.iter().all(|one| one.success.is_none_or(|success| (0.0..=1.0).contains(&success))), "{preset}");
        let told = balancer.explain(&Request::keyed(b"k"), now);
        assert!(told.choice.is_ok() && told.looks.iter().all(|look| look.score.is_finite() && look.score >= 0.0), "{preset}");
    }
}

#[test]
fn latencies_that_are_none() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE, f64::MAX] {
        for field in ["latency", "retry_after"] {
            let error =
                Outcome::from_value(&Value::map([("kind", Value::from("throttled")), (field, bad.into())])).expect_err("no duration");
            assert_eq!((error.code(), error.field()), (Code::InvalidDuration, field), "{bad}");
        }
        assert_eq!(Outcome::measured(true, Some(bad)).map_err(|error| error.code()), Err(Code::InvalidDuration), "{bad}");
        for field in ["utilization", "cpu", "qps", "eps", "rif"] {
            let load = Outcome::from_value(&Value::map([("load", Value::map([(field, Value::from(bad))]))]));
            assert_eq!(load.is_ok(), bad == f64::MAX, "{field} {bad}");
        }
    }
}

#[test]
fn secrets_stay_inside() {
    let registry = rich();
    let handle = registry.lookup("default", "web", "i2").expect("on record");
    let instance = registry.instance(handle).expect("on record");
    assert_eq!(instance.registration.metadata.get("password"), Some(SECRET));
    for text in [
        format!("{instance:?}"),
        format!("{:?}", instance.registration),
        format!("{:?}", instance.to_value()),
        format!("{:?}", instance.registration.metadata),
    ] {
        assert!(!text.contains(SECRET), "{text}");
    }
}
