//! Every format against every kind of damage: an error or skipped entries, never a panic, never a routing table that an error has changed,
//! and no more heap than 20 times the payload and 64 KiB.
//!
//! The payloads are those of the vectors, so that each format is here as soon as it has one; a format without any fails the test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use callboard::formats::{Ask, Context, Feed, FeedConfig, Format, decode};
use callboard::registry::{Config, Registry};
use callboard::{Timestamp, Value};
use callboard_tests::document::unhex;
use callboard_tests::files;

/// Counts what this thread holds, and the most it has held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: everything is the system's allocator's; the counts allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A payload of a vector, with what it is asked for.
struct Sample {
    format: Format,
    service: Option<String>,
    body: Vec<u8>,
    document: Option<Value>,
}

/// The payloads of the vectors: at most six of a format, and none that takes long.
fn samples() -> Vec<Sample> {
    let mut found: Vec<Sample> = Vec::new();
    for path in files("tests/vectors", ".json") {
        let Ok(file) = Value::from_json(&std::fs::read(path).expect("a file")) else { continue };
        let cases = file.get("cases").and_then(Value::as_list).unwrap_or_default();
        let steps = cases.iter().filter_map(|case| case.get("steps")).flat_map(|steps| steps.as_list().unwrap_or_default());
        for step in steps {
            let Some(args) = step.get("args") else { continue };
            let text = |name: &str| args.get(name).and_then(Value::as_str);
            let Some(format) = text("format").and_then(|name| Format::parse(name).ok()) else { continue };
            let (body, document) = match (text("hex"), args.get("body")) {
                (Some(hex), _) => (unhex(hex), None),
                (None, Some(Value::Text(text))) => (text.as_bytes().to_vec(), Value::from_json(text.as_bytes()).ok()),
                (None, Some(body)) => (body.to_json(), Some(body.clone())),
                (None, None) => continue,
            };
            let own = found.iter().filter(|sample| sample.format == format);
            if body.len() <= 4_096 && own.count() < 6 {
                found.push(Sample { format, service: text("service").map(str::to_owned), body, document });
            }
        }
    }
    let missing: Vec<_> =
        Format::ALL.iter().filter(|format| found.iter().all(|own| own.format != **format)).map(|own| own.name()).collect();
    assert!(missing.is_empty(), "formats without a payload in the vectors: {missing:?}");
    found
}

/// Gives damaged bytes to a registry that holds what the payload said.
fn suffer(sample: &Sample, bytes: &[u8]) {
    let service = sample.service.clone().or_else(|| Some("web".into()));
    for ask in [Ask::Full, Ask::Delta, Ask::Watch] {
        let context = Context { service: service.as_deref(), ask, ..Context::new("default") };
        let before = HELD.get();
        PEAK.set(before);
        let decoded = decode(sample.format, bytes, &context);
        let peak = PEAK.get() - before;
        let most = bytes.len() as isize * 20 + 65_536;
        assert!(peak <= most, "{}: {peak} bytes of heap for {} of payload", sample.format.name(), bytes.len());
        if let Ok(decoded) = decoded {
            let fine = decoded.instances.iter().all(|entry| entry.registration.validate().is_ok());
            assert!(fine, "{}: an instance that is none", sample.format.name());
        }
    }
    let mut registry = Registry::new(Config { allow_local_addresses: true, ..Config::default() }).expect("a registry");
    let config = FeedConfig { service: sample.service.clone(), ..FeedConfig::new("source", sample.format) };
    let mut feed = Feed::new(config).expect("a feed");
    let _ = feed.take(&mut registry, &sample.body, Timestamp::ZERO);
    let (position, snapshot) = (registry.position(), registry.len());
    if feed.take(&mut registry, bytes, Timestamp::from_secs(1)).is_err() {
        assert_eq!((registry.position(), registry.len()), (position, snapshot), "{}", sample.format.name());
    }
}

#[test]
fn cut_at_every_byte() {
    for sample in samples() {
        for end in 0..sample.body.len() {
            suffer(&sample, &sample.body[..end]);
        }
    }
}

/// The document with the value of this number, in the order of the text, replaced.
fn replaced(value: &Value, number: &mut usize, by: &Value) -> Value {
    if *number == 0 {
        *number = usize::MAX;
        return by.clone();
    }
    *number -= 1;
    match value {
        Value::List(items) => Value::List(items.iter().map(|item| replaced(item, number, by)).collect()),
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(key, item)| (key.clone(), replaced(item, number, by))).collect()),
        other => other.clone(),
    }
}

fn values(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Map(pairs) => 1 + pairs.iter().map(|(_, item)| values(item)).sum::<usize>(),
        _ => 1,
    }
}

#[test]
fn every_value_replaced() {
    let deep = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let others = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-1),
        Value::Int(i64::MAX),
        Value::Float(1e308),
        Value::from(""),
        Value::from("x".repeat(9_000)),
        Value::from("\u{0}\r\n\u{202e}/../%00"),
        Value::List(Vec::new()),
        Value::List(vec![Value::Null; 2_000]),
        Value::Map(Vec::new()),
        Value::map([("__proto__", Value::from("x"))]),
        deep(63),
        deep(120),
    ];
    for sample in samples() {
        let Some(document) = &sample.document else { continue };
        for number in 0..values(document) {
            for other in &others {
                let mut left = number;
                suffer(&sample, &replaced(document, &mut left, other).to_json());
            }
        }
    }
}

/// The text of a document with the first key of the map of this number written twice.
fn doubled(value: &Value, number: &mut usize) -> String {
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(|item| doubled(item, number)).collect::<Vec<_>>().join(",")),
        Value::Map(pairs) => {
            let here = *number == 0;
            *number = number.wrapping_sub(1);
            let text = |text: &str| String::from_utf8(Value::from(text).to_json()).expect("UTF-8");
            let mut parts: Vec<String> = pairs.iter().map(|(key, item)| format!("{}:{}", text(key), doubled(item, number))).collect();
            if here && let Some((key, _)) = pairs.first() {
                parts.push(format!("{}:null", text(key)));
            }
            format!("{{{}}}", parts.join(","))
        }
        other => String::from_utf8(other.to_json()).expect("UTF-8"),
    }
}

#[test]
fn a_key_that_stands_twice_is_an_error_wherever_it_stands() {
    for sample in samples() {
        let Some(document) = &sample.document else { continue };
        let mut maps = usize::MAX;
        let plain = doubled(document, &mut maps);
        for number in 0..usize::MAX - maps {
            let mut left = number;
            let text = doubled(document, &mut left);
            suffer(&sample, text.as_bytes());
            if text != plain {
                let context = Context { service: Some("web"), ..Context::new("default") };
                assert!(decode(sample.format, text.as_bytes(), &context).is_err(), "{}: {text}", sample.format.name());
            }
        }
    }
}

#[test]
fn bombs() {
    let parts =
        ["[", "{\"a\":", "[{\"a\":", "[[],", "0,", "[0,", "\"", "\\", "{}\n", "<a>", "<a b=\"", "\u{0}", "\u{ff}", "- a\n", "&a;", ":"];
    let mut bombs: Vec<String> = parts.iter().flat_map(|part| [1, 65, 1_000, 100_000].map(|times| part.repeat(times))).collect();
    for item in ["0", "null", "{}", "[]", "\"\"", "[[]]", "{\"targets\":[\"\"]}", "{\"Node\":{}}"] {
        bombs.push(format!("[{}]", vec![item; 20_000].join(",")));
        bombs.push(format!("{{\"instances\":[{}]}}", vec![item; 20_000].join(",")));
    }
    let mut seen = Vec::new();
    for sample in samples() {
        if !seen.contains(&sample.format) {
            bombs.iter().for_each(|bomb| suffer(&sample, bomb.as_bytes()));
            seen.push(sample.format);
        }
    }
}

#[test]
fn every_byte_of_what_is_no_text_replaced() {
    for sample in samples().into_iter().filter(|sample| sample.format == Format::Dns) {
        for at in 0..sample.body.len() {
            for by in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff, sample.body[at] ^ 1, sample.body[at] ^ 0x80] {
                let mut bytes = sample.body.clone();
                bytes[at] = by;
                suffer(&sample, &bytes);
            }
        }
    }
}

/// A record of DNS with this owner, type and data.
fn record(owner: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    [owner, &[0, kind, 0, 1, 0, 0, 0, 9], &(data.len() as u16).to_be_bytes(), data].concat()
}

#[test]
fn records_of_a_few_bytes_that_share_a_long_name_with_many_addresses_and_strings() {
    const QUESTION: &[u8] = b"\x04_web\x04_tcp\x03web\0\0";
    let (asked, first) = ([0xc0, 12], [0xc0, 12 + QUESTION.len() as u8 + 3]);
    let long = [&[&[63][..], &[b'a'; 63]].concat().repeat(3)[..], b"\0"].concat();
    let strings: Vec<u8> = (0..64).flat_map(|at| [&[255, b'a' + at % 26, b'a' + at / 26, b'='][..], &[b'v'; 252]].concat()).collect();
    let mut shared = vec![record(&long, 16, &strings)];
    shared.extend((0..90).map(|at| record(&first, 1, &[10, 0, 0, at])));
    // PTR, SRV, A, AAAA, TXT, CNAME, SOA and NS, each as the answer to what leads to it.
    for (kind, question) in [(12, 12), (33, 33), (1, 1), (28, 28), (16, 33), (5, 1), (6, 1), (2, 1)] {
        for (count, shares) in [(10u16, false), (10, true), (300, false), (300, true), (4_000, false), (4_000, true)] {
            let target = if shares { first } else { asked };
            let data = |at: u16| match (kind, at.to_be_bytes()) {
                (33, [high, low]) => [&[0, 1, 0, 1, high, low][..], &target].concat(),
                (1, [high, low]) => vec![10, 9, high, low],
                (28, [high, low]) => [&[0xfd; 14][..], &[high, low]].concat(),
                (16, [_, low]) => vec![1, low],
                (_, [high, low]) => [&[2, high | 1, low | 1][..], &target].concat(),
            };
            let own = (0..count).map(|at| record(&asked, kind, &data(at)));
            let (mut body, mut records) = ([&[0, 0, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], QUESTION, &[question, 0, 1]].concat(), 0u16);
            for record in shared.iter().filter(|_| shares).cloned().chain(own) {
                if body.len() + record.len() <= usize::from(u16::MAX) {
                    body.extend(record);
                    records += 1;
                }
            }
            body[6..8].copy_from_slice(&records.to_be_bytes());
            suffer(&Sample { format: Format::Dns, service: None, body: body.clone(), document: None }, &body);
        }
    }
}
