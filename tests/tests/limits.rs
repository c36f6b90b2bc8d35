//! Every entry of the table of limits, through the public API, one below it, at it and one above it.

use std::time::Duration;

use callboard::balance::{Balancer, Options, Policy, Request};
use callboard::formats::{Context, Feed, FeedConfig, Format, decode};
use callboard::limits;
use callboard::model::{AdminState, Endpoint, Handle, Host, Lease, Metadata, Override, Registration, Tags, Version, Weight};
use callboard::query::{Query, Selector, VersionRange};
use callboard::registry::{Config, Extent, Listing, Op, Put, Registry};
use callboard::serve::Server;
use callboard::store::replica;
use callboard::{Code, Error, Timestamp, Value};

/// Makes something of a given size, or says why not.
type Probe = fn(u64) -> Result<(), Error>;

/// One probe or more for every limit.
const PROBES: &[(&str, Probe)] = &[
    ("name-bytes", |n| Registration::new(long(n), "i").validate()),
    ("name-bytes", |n| Registration::new("s", "i").namespace(long(n)).validate()),
    ("name-bytes", |n| Query::service(long(n)).validate()),
    ("id-bytes", |n| Registration::new("s", long(n)).validate()),
    ("id-bytes", |n| registry().reconcile(&listing(&long(n)), Timestamp::ZERO).map(drop)),
    ("endpoints", |n| {
        let mut registration = Registration::new("s", "i");
        registration.endpoints = vec![Endpoint::parse("a:1")?; n as usize];
        registration.validate()?;
        Registration::from_value(&registration.to_value()).map(drop)
    }),
    ("host-bytes", |n| Host::parse(&host(n)).map(drop)),
    ("label-bytes", |n| Endpoint::new(&long(n), "a", None).map(drop)),
    ("label-bytes", |n| Endpoint::from_value(&Value::map([("host", Value::from("a")), ("name", long(n).into())])).map(drop)),
    ("locality-bytes", |n| Registration::new("s", "i").zone(long(n)).validate()),
    ("locality-bytes", |n| Query::service("s").zone(long(n)).validate()),
    ("metadata-pairs", |n| Metadata::new((0..n).map(|at| (format!("k{at}"), ""))).map(drop)),
    ("metadata-key-bytes", |n| Metadata::new([(long(n), "")]).map(drop)),
    ("metadata-key-bytes", |n| Selector::parse(&format!("meta.{}", long(n))).map(drop)),
    ("metadata-value-bytes", |n| Metadata::new([("k", long(n))]).map(drop)),
    ("tags", |n| Tags::new((0..n).map(|at| format!("t{at}"))).map(drop)),
    ("tag-bytes", |n| Tags::new([long(n)]).map(drop)),
    ("version-bytes", |n| Version::parse(&format!("1.2.3-{}", long(n - 6))).map(drop)),
    ("version-bytes", |n| VersionRange::parse(&format!("^1.2.3-{}", long(n - 7))).map(drop)),
    ("weight-thousandths", |n| Weight::from_thousandths(n as u32).map(drop)),
    ("weight-thousandths", |n| Weight::new(n as f64 / 1_000.0).map(drop)),
    ("ttl-min-micros", |n| Lease::new(Duration::from_micros(n), Duration::ZERO).map(drop)),
    ("ttl-max-micros", |n| Lease::new(Duration::from_micros(n), Duration::ZERO).map(drop)),
    ("ttl-max-micros", |n| Lease::new(Duration::from_secs(1), Duration::from_micros(n)).map(drop)),
    ("reason-bytes", |n| Override { state: AdminState::Disabled, until: None, reason: long(n) }.validate()),
    ("selector-bytes", |n| Selector::parse(&format!("{}x", " ".repeat(n as usize - 1))).map(drop)),
    // Requirements are one node each, and so is the list that joins them.
    ("selector-nodes", |n| Selector::parse(&vec!["x"; n as usize - 1].join(",")).map(drop)),
    ("selector-depth", |n| Selector::parse(&format!("{}x{}", "(".repeat(n as usize), ")".repeat(n as usize))).map(drop)),
    ("fallbacks", |n| {
        let mut query = Query::service("s");
        query.fallbacks = vec![Query::service("t"); n as usize];
        query.validate()
    }),
    ("saved-queries", |n| {
        let mut registry = registry();
        (0..n).try_for_each(|at| registry.save_query(&format!("q{at}"), &Query::service("s"), Timestamp::ZERO).map(drop))
    }),
    // The registry's own source is one of them.
    ("sources", |n| {
        let mut registry = registry();
        (1..n).try_for_each(|at| registry.reconcile(&listing(&format!("s{at}")), Timestamp::ZERO).map(drop))
    }),
    ("batch-ops", |n| {
        let op = Value::map([("op", Value::from("renew")), ("service", "s".into()), ("id", "i".into())]);
        Op::list_from_value(&Value::List(vec![op; n as usize]), Timestamp::ZERO).map(drop)
    }),
    ("batch-ops", |n| {
        let op = Op::Register { registration: Registration::new("s", "i"), put: Put::default() };
        registry().apply(&vec![op; n as usize], Timestamp::ZERO).map(drop)
    }),
    ("queued-changes", |n| replica::Settings::from_value(&Value::map([("queue", n.into())])).map(drop)),
    ("held", |n| held("requests", n)),
    ("held", |n| held("bodies", n)),
    ("held", |n| held("waits", n)),
    ("payload-bytes", |n| Value::from_json(format!("{}1", " ".repeat(n as usize - 1)).as_bytes()).map(drop)),
    ("payload-instances", |n| {
        let targets = vec!["\"a\""; n as usize].join(",");
        let context = Context { service: Some("s"), ..Context::new("default") };
        decode(Format::Prometheus, format!("[{{\"targets\":[{targets}]}}]").as_bytes(), &context).map(drop)
    }),
    ("document-depth", |n| Value::from_json(format!("{}{}", "[".repeat(n as usize), "]".repeat(n as usize)).as_bytes()).map(drop)),
    // The list itself is one of the values.
    ("document-nodes", |n| Value::from_json(format!("[{}]", vec!["1"; n as usize - 1].join(",")).as_bytes()).map(drop)),
    ("document-string-bytes", |n| Value::from_json(format!("\"{}\"", long(n)).as_bytes()).map(drop)),
    ("document-string-bytes", |n| Value::from_json(format!("{{\"{}\":1}}", long(n)).as_bytes()).map(drop)),
    ("key-bytes", |n| balancer().pick(&Request::keyed(&vec![0; n as usize]), Timestamp::ZERO).map(drop)),
    ("excluded", |n| {
        let none: Vec<Handle> = (0..n).map(|at| Handle::from_bits(1_000 + at)).collect::<Result<_, _>>()?;
        balancer().pick(&Request::excluding(&none), Timestamp::ZERO).map(drop)
    }),
    ("reap-min-micros", |n| Options { reap_after: Duration::from_micros(n), ..Options::default() }.validate()),
    ("trace-events", |n| Options { trace: n as u32, ..Options::default() }.validate()),
    ("feed-span-min-micros", |n| feed(|config| config.interval = Some(Duration::from_micros(n)))),
    ("feed-span-min-micros", |n| feed(|config| config.wait = Duration::from_micros(n))),
    ("feed-span-max-micros", |n| feed(|config| config.interval = Some(Duration::from_micros(n)))),
    ("feed-span-max-micros", |n| feed(|config| config.wait = Duration::from_micros(n))),
    ("probes", |n| {
        let pick = Value::map([("kind", Value::from("prequal")), ("pool", n.into())]);
        Policy::from_value(&Value::map([("pick", pick)])).map(drop)
    }),
    ("ring-points", |n| pick_part("ring-hash", "max_size", n as f64)),
    ("host-points", |n| pick_part("ring-hash", "points", n as f64)),
    // A table's size is a prime: below the limit the next one down.
    ("maglev-table", |n| pick_part("maglev", "table_size", if n == 5_000_010 { 4_999_999.0 } else { n as f64 })),
    ("load-percent", |n| pick_part("jump", "load_factor", n as f64 / 100.0)),
    ("label-selectors", |n| labels_part("selectors", Value::List(vec![Value::List(vec!["k".into()]); n as usize]))),
    ("label-groups", |n| labels_part("keep", Value::from(n))),
    ("choices", |n| policy_part("choices", Value::from(n))),
    ("attempts", |n| callboard::balance::Retry::from_value(&Value::map([("attempts", n.into())])).map(drop)),
    ("span-min-micros", |n| score_part("tau", n)),
    ("span-max-micros", |n| score_part("tau", n)),
    ("span-max-micros", |n| {
        let start = Value::map([("window", Value::from(n as f64 / 1e6))]);
        Policy::from_value(&Value::map([("preset", Value::from("random")), ("slow_start", start)])).map(drop)
    }),
    ("reap-max-micros", |n| Options { reap_after: Duration::from_micros(n), ..Options::default() }.validate()),
    ("picks-in-flight", |n| {
        let mut balancer = balancer();
        (0..n).try_for_each(|_| balancer.pick(&Request::default(), Timestamp::ZERO).map(drop))
    }),
];

/// Limits from below: one less is too little.
const LEAST: &[&str] = &["ttl-min-micros", "reap-min-micros", "span-min-micros", "feed-span-min-micros"];

fn held(name: &str, number: u64) -> Result<(), Error> {
    let bounds = Value::map([(name, Value::from(number))]);
    Server::from_value(&Value::map([("bounds", bounds)])).map(drop)
}

fn long(bytes: u64) -> String {
    "a".repeat(bytes as usize)
}

/// A DNS name of so many bytes, in labels of at most 63.
fn host(bytes: u64) -> String {
    let mut name = vec![long(60); bytes as usize / 61].join(".");
    while (name.len() as u64) < bytes {
        name.push(if name.len() % 61 == 60 { '.' } else { 'b' });
    }
    if name.ends_with('.') { name.replace('.', "b") } else { name }
}

/// A policy of this generator, with this setting.
fn pick_part(kind: &str, name: &str, number: f64) -> Result<(), Error> {
    let pick = Value::map([("kind", Value::from(kind)), (name, Value::from(number))]);
    Policy::from_value(&Value::map([("pick", pick)]))?.generator.validate()
}

/// A policy with labels, with this setting.
fn labels_part(name: &str, value: Value) -> Result<(), Error> {
    let labels = Value::map([("selectors", Value::List(vec![])), (name, value)].into_iter().skip(usize::from(name == "selectors")));
    Policy::from_value(&Value::map([("labels", labels)])).map(drop)
}

/// A policy that samples, with this setting.
fn policy_part(name: &str, value: Value) -> Result<(), Error> {
    let pick = Value::map([("kind", Value::from("sample")), (name, value)]);
    Policy::from_value(&Value::map([("pick", pick)])).map(drop)
}

/// A policy that scores by cost, with this setting in microseconds.
fn score_part(name: &str, us: u64) -> Result<(), Error> {
    policy_part("score", Value::map([("kind", Value::from("cost")), (name, Value::from(us as f64 / 1e6))]))
}

/// A feed with this setting.
fn feed(set: impl FnOnce(&mut FeedConfig)) -> Result<(), Error> {
    let mut config = FeedConfig::new("consul:dc1", Format::Callboard);
    set(&mut config);
    Feed::new(config).map(drop)
}

fn registry() -> Registry {
    Registry::new(Config::default()).expect("a registry")
}

fn listing(source: &str) -> Listing {
    Listing {
        source: source.into(),
        namespace: "default".into(),
        service: None,
        instances: Vec::new(),
        same: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        unread: Vec::new(),
        extent: Extent::Whole,
    }
}

/// A balancer over one instance.
fn balancer() -> Balancer {
    let mut registry = registry();
    registry.register(&Registration::new("s", "i"), Put::default(), Timestamp::ZERO).expect("a record");
    let mut balancer =
        Balancer::new(Query::service("s"), Policy::named("first").expect("a preset"), Options::default()).expect("a balancer");
    balancer.follow(&registry);
    balancer
}

#[test]
fn every_limit_holds_below_at_and_above() {
    for (name, limit) in limits::ALL {
        assert!(PROBES.iter().any(|(probed, _)| probed == name), "nobody tests the limit {name}");
        for (_, probe) in PROBES.iter().filter(|(probed, _)| probed == name) {
            let least = LEAST.contains(name);
            for (size, good) in [(limit - 1, !least), (*limit, true), (limit + 1, least)] {
                match probe(size) {
                    Ok(()) => assert!(good, "{name}: {size} was taken"),
                    Err(error) => {
                        assert!(!good, "{name}: {size} was refused: {error}");
                        assert!(matches!(error.code(), Code::LimitExceeded | Code::InvalidWeight | Code::QuotaExceeded), "{name}: {error}");
                        assert!(error.limit_value().is_some_and(|told| told == *limit || told == limit / 1_000), "{name}: {error}");
                        assert!(!error.field().is_empty(), "{name}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_probe_is_of_a_limit() {
    for (name, _) in PROBES {
        assert!(limits::ALL.iter().any(|(known, _)| known == name), "{name}");
    }
    let text = callboard_tests::read("core/src/limits.rs");
    let constants = text.lines().filter(|line| line.starts_with("pub const ") && !line.contains(" ALL")).count();
    assert_eq!(constants, limits::ALL.len(), "a constant is missing in limits::ALL");
}
