//! What a call may cost: heap and work, for inputs made to cost much. `cargo xtask prove --only bounds`.
//!
//! `bounds` prints the most heap that each family of inputs takes at 64 KiB, and fails when one takes more than 20 times its input and 64 KiB, or than it is known to take; with a word only those whose name begins with it. `bounds work`
//! does each family at 16 and at 32 KiB through `callboard_measured`, whose instructions callgrind counts; `bounds list` names them in that order.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard::balance::Balancer;
use callboard::formats::{Ask, Context, Feed, FeedConfig, Format, decode};
use callboard::model::Registration;
use callboard::query::{Query, Selector, VersionRange};
use callboard::registry::{Config, Put, Registry};
use callboard::serve::{Request, Server};
use callboard::store::journal;
use callboard::{Timestamp, Value};
use xxhash_rust::xxh3::xxh3_64;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// More is not had: to make room for what an input merely claims would take a minute.
const MOST: usize = 1 << 30;

// SAFETY: everything is the system's allocator's; the counts allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if HELD.load(Ordering::Relaxed).saturating_add(layout.size()) > MOST {
            return std::ptr::null_mut();
        }
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Inputs of a kind: the name, one of about so many bytes, and what is done with it.
struct Family {
    name: &'static str,
    input: fn(usize) -> Vec<u8>,
    work: fn(&[u8]),
}

/// A beginning, as many of a piece as there is room for, each with its number for `@`, and an end.
fn many(length: usize, begin: &str, piece: &str, between: &str, end: &str) -> Vec<u8> {
    let mut text = begin.to_owned();
    let mut number = 0;
    while text.len() + end.len() < length {
        if number > 0 {
            text.push_str(between);
        }
        text.push_str(&piece.replace('@', &number.to_string()));
        number += 1;
    }
    text.push_str(end);
    text.into_bytes()
}

fn nested(length: usize, open: &str, close: &str) -> Vec<u8> {
    let depth = length / (open.len() + close.len());
    (open.repeat(depth) + &close.repeat(depth)).into_bytes()
}

fn read(format: Format, bytes: &[u8], service: Option<&str>) {
    let _ = black_box(decode(format, bytes, &Context { service, ask: Ask::Full, ..Context::new("default") }));
}

macro_rules! reads {
    ($format:ident) => {
        |bytes| read(Format::$format, bytes, Some("web"))
    };
}

fn take(format: Format, bytes: &[u8]) {
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
    let mut feed = Feed::new(FeedConfig::new("them", format).service("web")).expect("a feed");
    let _ = black_box(feed.take(&mut registry, bytes, Timestamp::ZERO));
}

fn handle(method: &str, path: &str, body: &[u8]) {
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
    let request = Request { method, path, body, ..Request::default() };
    black_box(Server::default().handle(&mut registry, &request, Timestamp::ZERO));
}

fn dns(bytes: &[u8]) {
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
    black_box(Server::default().answer_dns(&mut registry, bytes, false, Timestamp::ZERO));
}

fn selector(bytes: &[u8]) {
    let Ok(parsed) = Selector::parse(std::str::from_utf8(bytes).unwrap_or_default()) else { return };
    let mut query = Query::service("web");
    query.selector = parsed;
    let own = Registration::new("web", "i").metadata([("env", &*"a".repeat(500))]).expect("metadata");
    black_box(query.compile().map(|compiled| compiled.matches(&own))).ok();
}

/// The header of a snapshot made right for a body.
fn sealed(body: Vec<u8>) -> Vec<u8> {
    let real = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry").snapshot();
    let mut bytes = real[..6].to_vec();
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(xxh3_64(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn restore(bytes: &[u8]) {
    let _ = black_box(Registry::restore(bytes, Config { epoch: 1, ..Config::default() }, Timestamp::ZERO));
}

/// A snapshot of many small records.
fn snapshot(length: usize) -> Vec<u8> {
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
    let mut bytes = registry.snapshot();
    while bytes.len() < length {
        for _ in 0..100 {
            let own = Registration::new("web", format!("i{}", registry.len()));
            registry.register(&own, Put::default(), Timestamp::ZERO).expect("room");
        }
        bytes = registry.snapshot();
    }
    bytes
}

fn two_records() -> Vec<u8> {
    let mut registry = Registry::new(Config { epoch: 1, ..Config::default() }).expect("a registry");
    for id in ["a", "b"] {
        registry.register(&Registration::new("web", id), Put::default(), Timestamp::ZERO).expect("room");
    }
    registry.snapshot()
}

/// Each byte of a snapshot in turn gives way to the greatest number that a count can have.
fn claims(bytes: &[u8]) {
    let body = &bytes[22..];
    for at in 0..body.len() {
        let claim: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];
        restore(&sealed([&body[..at], claim, &body[at + 1..]].concat()));
    }
}

/// A DNS message that claims as many records as can be, and points back as often as it can.
fn pointers(length: usize) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0x84, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 3, b'w', b'e', b'b', 0, 0, 33, 0, 1];
    while bytes.len() < length {
        bytes.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0, 80, 0xc0, 12]);
    }
    bytes
}

const FAMILIES: &[Family] = &[
    Family { name: "json: nulls", input: |n| many(n, "[", "null", ",", "]"), work: reads!(ConsulHealth) },
    Family { name: "json: lists in lists", input: |n| nested(n, "[", "]"), work: reads!(ConsulHealth) },
    Family { name: "json: maps in maps", input: |n| nested(n, r#"{"a":"#, "}"), work: reads!(Nacos) },
    Family { name: "json: empty strings", input: |n| many(n, "[", "\"\"", ",", "]"), work: reads!(Prometheus) },
    Family { name: "json: escapes", input: |n| many(n, "[\"", "\\u0041", "", "\"]"), work: reads!(Dubbo) },
    Family { name: "json: many keys", input: |n| many(n, "{", "\"k@\":0", ",", "}"), work: reads!(ConsulServices) },
    Family { name: "json: one key again", input: |n| many(n, "{", "\"k\":0", ",", "}"), work: reads!(ConsulAgent) },
    Family { name: "json: one long string", input: |n| many(n, "[\"", "x", "", "\"]"), work: reads!(Dubbo) },
    Family { name: "json: numbers", input: |n| many(n, "[", "1e308", ",", "]"), work: reads!(Envoy) },
    Family { name: "json: cut short", input: |n| many(n, "[", "{\"a\":[1", ",", ""), work: reads!(Kubernetes) },
    Family {
        name: "consul: small entries",
        input: |n| many(n, "[", r#"{"Node":{},"Service":{"ID":"@","Service":"web","Address":"10.0.0.1","Port":80}}"#, ",", "]"),
        work: |bytes| take(Format::ConsulHealth, bytes),
    },
    Family { name: "consul: empty entries", input: |n| many(n, "[", "{}", ",", "]"), work: reads!(ConsulCatalog) },
    Family {
        name: "nacos: small hosts",
        input: |n| many(n, r#"{"hosts":["#, r#"{"ip":"10.0.0.1","port":@}"#, ",", "]}"),
        work: |bytes| take(Format::Nacos, bytes),
    },
    Family {
        name: "kubernetes: addresses",
        input: |n| {
            many(
                n,
                r#"{"kind":"EndpointSlice","metadata":{"name":"a","labels":{"kubernetes.io/service-name":"web"}},"endpoints":["#,
                r#"{"addresses":["10.0.0.@"]}"#,
                ",",
                "]}",
            )
        },
        work: |bytes| take(Format::Kubernetes, bytes),
    },
    Family {
        name: "kubernetes: events",
        input: |n| many(n, "", r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"@"}}}"#, "\n", ""),
        work: reads!(Kubernetes),
    },
    Family {
        name: "envoy: endpoints",
        input: |n| many(n, r#"{"cluster_name":"web","endpoints":[{"lb_endpoints":["#, "{}", ",", "]}]}"),
        work: reads!(Envoy),
    },
    Family { name: "eureka: xml elements", input: |n| many(n, "<applications>", "<a/>", "", "</applications>"), work: reads!(EurekaXml) },
    Family { name: "eureka: xml in xml", input: |n| nested(n, "<a>", "</a>"), work: reads!(EurekaXml) },
    Family { name: "eureka: xml attributes", input: |n| many(n, "<a ", "a@=''", " ", "/>"), work: reads!(EurekaXml) },
    Family {
        name: "eureka: xml entities",
        input: |n| many(n, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>", "&b;", "", "</a>"),
        work: reads!(EurekaXml),
    },
    Family {
        name: "prometheus: targets",
        input: |n| many(n, r#"[{"targets":["#, "\"10.0.0.1:@\"", ",", "]}]"),
        work: |bytes| take(Format::Prometheus, bytes),
    },
    Family { name: "yaml: aliases", input: |n| many(n, "a: &a [x]\nb: [", "*a", ",", "]"), work: reads!(Prometheus) },
    Family { name: "yaml: flow in flow", input: |n| nested(n, "[", "]"), work: reads!(Prometheus) },
    Family { name: "yaml: lines", input: |n| many(n, "", "- a: @", "\n", ""), work: reads!(Prometheus) },
    Family {
        name: "dubbo: urls",
        input: |n| many(n, "[", "\"dubbo://10.0.0.1:@/web\"", ",", "]"),
        work: |bytes| take(Format::Dubbo, bytes),
    },
    Family { name: "dubbo: parameters", input: |n| many(n, "[\"dubbo://10.0.0.1:1/web?", "k@=v", "&", "\"]"), work: reads!(Dubbo) },
    Family {
        name: "etcd: values",
        input: |n| many(n, r#"{"kvs":["#, r#"{"key":"d2Vi","value":"e30="}"#, ",", "]}"),
        work: reads!(EtcdGrpc),
    },
    Family { name: "dns: pointers", input: pointers, work: reads!(Dns) },
    Family { name: "dns server: questions", input: pointers, work: dns },
    Family { name: "selector: ors", input: |n| many((n / 8).min(4_000), "a", " or b@", "", ""), work: selector },
    Family { name: "selector: parentheses", input: |n| nested((n / 8).min(4_000), "(", ")"), work: selector },
    Family { name: "selector: stars", input: |n| many((n / 8).min(4_000), "env matches \"", "*a", "", "\""), work: selector },
    Family {
        name: "range: ors",
        input: |n| many(n, "^1", " || ^@", "", ""),
        work: |bytes| drop(black_box(VersionRange::parse(std::str::from_utf8(bytes).unwrap_or_default()))),
    },
    Family {
        name: "policy: unknown keys",
        input: |n| many(n, "{", "\"k@\":{}", ",", "}"),
        work: |bytes| drop(black_box(Value::from_json(bytes).map(|value| Balancer::from_value(&value)))),
    },
    Family { name: "snapshot: small records", input: snapshot, work: restore },
    Family { name: "snapshot: claims", input: |n| sealed(vec![0xff; n]), work: restore },
    Family { name: "snapshot: claims everywhere", input: |_| two_records(), work: claims },
    Family { name: "snapshot: zeros", input: |n| sealed(vec![0; n]), work: restore },
    Family {
        name: "journal: zeros",
        input: |n| vec![0; n],
        work: |bytes| drop(black_box(journal::recover(bytes, Config::default(), Timestamp::ZERO))),
    },
    Family {
        name: "rest: a batch",
        input: |n| many(n, "[", r#"{"op":"renew","service":"s","id":"@"}"#, ",", "]"),
        work: |bytes| handle("POST", "/v1/batch", bytes),
    },
    Family {
        name: "rest: a registration",
        input: |n| many(n, r#"{"service":"s","id":"i","tags":["#, "\"t@\"", ",", "]}"),
        work: |bytes| handle("PUT", "/v1/instances/default/s/i", bytes),
    },
    Family {
        name: "consul server: a registration",
        input: |n| many(n, r#"{"Name":"web","Tags":["#, "\"t@\"", ",", "]}"),
        work: |bytes| handle("PUT", "/v1/agent/service/register", bytes),
    },
    Family {
        name: "eureka server: a registration",
        input: |n| many(n, r#"{"instance":{"app":"WEB","metadata":{"#, "\"k@\":\"v\"", ",", "}}}"),
        work: |bytes| handle("POST", "/eureka/apps/WEB", bytes),
    },
    Family {
        name: "nacos server: a form",
        input: |n| many(n, "serviceName=web&", "k@=v", "&", ""),
        work: |bytes| handle("POST", "/nacos/v1/ns/instance", bytes),
    },
];

/// Families whose instances are a few bytes each, and take up the room of an instance in the listing and the registry: how many times their input they
/// are known to take. More is a failure.
const KNOWN: &[(&str, usize)] = &[("nacos: small hosts", 30), ("prometheus: targets", 57), ("dubbo: urls", 33)];

/// What callgrind looks at.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn callboard_measured(family: usize, input: *const Vec<u8>) {
    // SAFETY: the only caller is below, with a vector that it holds.
    (FAMILIES[family].work)(unsafe { &*input });
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("list") => FAMILIES.iter().for_each(|family| println!("{}", family.name)),
        Some("work") => {
            for (number, family) in FAMILIES.iter().enumerate() {
                for length in [16_384, 32_768] {
                    let input = (family.input)(length);
                    callboard_measured(number, &raw const input);
                }
            }
        }
        word => return heap(word.unwrap_or_default()),
    }
    ExitCode::SUCCESS
}

fn heap(word: &str) -> ExitCode {
    let (mut count, mut above, mut broken, mut worst) = (0, 0, 0, (0.0, ""));
    for family in FAMILIES.iter().filter(|family| family.name.starts_with(word)) {
        count += 1;
        let input = (family.input)(65_536);
        (family.work)(&input);
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        (family.work)(&input);
        let peak = PEAK.load(Ordering::Relaxed) - before;
        let known = KNOWN.iter().find(|(name, _)| *name == family.name).map_or(20, |(_, times)| *times);
        let times = peak.saturating_sub(65_536) as f64 / input.len() as f64;
        if times > worst.0 {
            worst = (times, family.name);
        }
        above += u32::from(times > 20.0);
        broken += u32::from(times > known as f64);
        let word = if times > known as f64 { "TOO MUCH" } else { "" };
        println!("{:<32} {:>9} bytes of input {peak:>10} of heap, {times:>6.1} x beyond 64 KiB {word}", family.name, input.len());
    }
    println!(
        "{count} families, {above} above 20 x their input + 64 KiB, where an instance is named in 14 to 27 bytes and takes an instance's room; the most is {:.0} x ({}); {broken} above what is known",
        worst.0, worst.1
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
