//! One answer of another registry taken in, beside serde_json reading the same bytes into a `Value` and doing nothing with it.

use callboard::Timestamp;
use callboard::formats::{Feed, FeedConfig, Format, Payload, encode};
use callboard::model::{Health, Registration};
use callboard::registry::{Config, Registry};
use callboard_bench::measure::{Figure, time};
use callboard_bench::report;
use serde_json::{Value, json};

/// What is measured, and what it is read as: an answer to a question for all.
const FORMATS: &[(Format, Format)] = &[
    (Format::ConsulHealth, Format::ConsulHealth),
    (Format::Envoy, Format::Envoy),
    (Format::EurekaApps, Format::EurekaVips),
    (Format::EurekaXml, Format::EurekaVips),
    (Format::Nacos, Format::Nacos),
    (Format::Prometheus, Format::Prometheus),
    (Format::Curator, Format::Curator),
    (Format::Dubbo, Format::Dubbo),
    (Format::EtcdGrpc, Format::EtcdGrpc),
    (Format::Kubernetes, Format::Kubernetes),
];

/// A listing in a format: what the library does not write itself, as its system writes it.
fn write(format: Format, listed: &[Registration]) -> Vec<u8> {
    let host = |own: &Registration| own.endpoints[0].host.to_string();
    let place = |own: &Registration| format!("{}:8080", host(own));
    let up = |own: &Registration| own.health == Health::Healthy;
    let document = match format {
        Format::Curator => Value::Array(listed.iter().map(|own| {
            let metadata = json!({"zone": own.metadata.get("zone"), "stage": "prod"});
            json!({"name": "WEB", "id": own.id, "address": host(own), "port": 8080, "enabled": up(own), "payload": {"@class": "a.Payload", "metadata": metadata}})
        }).collect()),
        Format::Dubbo => Value::Array(listed.iter().map(|own| {
            let url = format!("dubbo://{}/WEB?application=web&side=provider&weight={}", place(own), own.weight.as_f64());
            Value::String(url.replace(':', "%3A").replace('/', "%2F").replace('?', "%3F").replace('=', "%3D").replace('&', "%26"))
        }).collect()),
        Format::EtcdGrpc => {
            let kv = |own: &Registration| {
                let value = json!({"Op": 0, "Addr": place(own), "Metadata": {"weight": own.weight.as_f64(), "zone": own.metadata.get("zone")}});
                let number = own.id.bytes().fold(u64::from(up(own)), |sum, byte| sum * 7 % 999_983 + u64::from(byte));
                json!({"key": base64(&format!("WEB/{}", place(own))), "value": base64(&value.to_string()), "mod_revision": number.to_string()})
            };
            json!({"header": {"revision": "9999999"}, "kvs": listed.iter().map(kv).collect::<Vec<_>>(), "count": listed.len().to_string()})
        }
        Format::Kubernetes => {
            let endpoint = |own: &Registration| json!({
                "addresses": [host(own)],
                "conditions": {"ready": up(own), "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "name": format!("pod-{}", own.id), "uid": own.id},
                "zone": own.locality.zone,
            });
            let item = |slice: &[Registration]| json!({
                "metadata": {"name": slice[0].id, "namespace": "default", "labels": {"kubernetes.io/service-name": "WEB"}},
                "addressType": "IPv4",
                "endpoints": slice.iter().map(endpoint).collect::<Vec<_>>(),
                "ports": [{"name": "http", "port": 8080}],
            });
            json!({"kind": "EndpointSliceList", "metadata": {"resourceVersion": "7"}, "items": listed.chunks(100).map(item).collect::<Vec<_>>()})
        }
        _ => return encode(format, listed).expect("a format that is written"),
    };
    document.to_string().into_bytes()
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = text.as_bytes().chunks(3).flat_map(|chunk| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4).map(move |at| if at > chunk.len() { '=' } else { LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char })
    });
    letters.collect()
}

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
            let body = write(*format, &instances(*n, 0));
            let news = write(*format, &instances(*n, n / 100));
            // The same listing in other bytes: it begins elsewhere, and has a blank more at the end.
            let turned = [100, 300, 500].map(|cut| {
                let mut same = instances(*n, 0);
                same.rotate_left(cut);
                let mut body = write(*format, &same);
                body.push(b' ');
                body
            });
            let mut ours = Ours::new(*read);
            ours.push(&body);
            let [mut first, mut whole, mut bytes, mut changed, mut peer] = [const { Vec::new() }; 5];
            for round in 1..=rounds {
                first.push(Ours::new(*read).push(&body));
                bytes.push(ours.push(&body));
                whole.extend(turned.get(round % turned.len()).map(|body| ours.push(body)));
                changed.push(ours.push(&news));
                ours.push(&body);
                if *format != Format::EurekaXml {
                    peer.push(time(|| serde_json::from_slice::<Value>(&body)).0 / 1e3);
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
