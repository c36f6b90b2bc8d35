//! One answer of another registry taken in, beside serde_json reading the same bytes into a `Value` and doing nothing with it.

use callboard::Timestamp;
use callboard::formats::{Feed, FeedConfig, Format, Payload, encode};
use callboard::model::{Health, Registration};
use callboard::registry::{Config, Registry};
use callboard_bench::measure::{Figure, time};
use callboard_bench::report;

/// What is written, and so can be measured without payloads of others, and what it is read as: an answer to a question for all.
const FORMATS: &[(Format, Format)] = &[
    (Format::ConsulHealth, Format::ConsulHealth),
    (Format::Envoy, Format::Envoy),
    (Format::EurekaApps, Format::EurekaVips),
    (Format::EurekaXml, Format::EurekaVips),
    (Format::Nacos, Format::Nacos),
    (Format::Prometheus, Format::Prometheus),
];

/// Instances of one service, the first `changed` of them of another weight and health.
fn instances(n: usize, changed: usize) -> Vec<Registration> {
    let one = |at: usize| {
        let (weight, health) = if at < changed { (3.0, Health::Unhealthy) } else { (1.0, Health::Healthy) };
        Registration::new("WEB", format!("node-{}/web-{at:05}", at % 100))
            .endpoint(&format!("http://10.{}.{}.{}:8080", at >> 16, at >> 8 & 255, at & 255))
            .and_then(|own| own.weight(weight))
            .and_then(|own| own.metadata([("zone", format!("z{}", at % 3).as_str()), ("stage", "prod")]))
            .expect("a registration")
            .zone(format!("z{}", at % 3))
            .health(health)
    };
    (0..n).map(one).collect()
}

/// Who takes answers in.
struct Ours {
    registry: Registry,
    feed: Feed,
    now: u64,
}

impl Ours {
    fn new(format: Format) -> Self {
        let registry = Registry::new(Config::default()).expect("a registry");
        Self { registry, feed: Feed::new(FeedConfig::new("them", format).service("WEB")).expect("a feed"), now: 0 }
    }

    /// How long it takes, in microseconds.
    fn push(&mut self, body: &[u8]) -> f64 {
        self.now += 1;
        let now = Timestamp::from_micros(self.now).expect("a time");
        let (taken, fed) = time(|| self.feed.push(&mut self.registry, &Payload::new(body), now));
        assert!(fed.problem.is_none() && fed.skipped.is_empty(), "{fed:?}");
        taken / 1e3
    }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let rounds = if quick { 5 } else { 15 };
    for n in if quick { &[1_000][..] } else { &[1_000, 10_000] } {
        for (format, read) in FORMATS {
            eprintln!("{}, n = {n}", format.name());
            let body = encode(*format, &instances(*n, 0)).expect("a format that is written");
            let news = encode(*format, &instances(*n, n / 100)).expect("a format that is written");
            let mut ours = Ours::new(*read);
            ours.push(&body);
            let [mut first, mut whole, mut bytes, mut changed, mut peer] = [const { Vec::new() }; 5];
            for round in 1..=rounds {
                first.push(Ours::new(*read).push(&body));
                bytes.push(ours.push(&body));
                // The same listing in other bytes: a blank more at the end each time.
                let mut longer = body.clone();
                longer.resize(body.len() + round, b' ');
                whole.push(ours.push(&longer));
                changed.push(ours.push(&news));
                ours.push(&body);
                if *format != Format::EurekaXml {
                    peer.push(time(|| serde_json::from_slice::<serde_json::Value>(&body)).0 / 1e3);
                }
            }
            for (what, samples) in
                [("the first listing", first), ("nothing has changed", whole), ("the same bytes", bytes), ("1 in 100 has changed", changed)]
            {
                let name = format!("Rust, {}, {n} instances, {what}", format.name());
                match peer.is_empty() {
                    true => report::alone(&name, "us", Figure::of(samples), "XML"),
                    false => report::compare(
                        &format!("{name}: serde_json, read only"),
                        "us",
                        Figure::of(samples),
                        Figure::of(peer.clone()),
                        None,
                    ),
                }
            }
        }
    }
}
