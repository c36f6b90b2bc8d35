//! What the targets start from: the payloads, texts and requests of the vectors.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use callboard::formats::Format;
use callboard::store::Store;
use callboard::{Timestamp, Value};
use callboard_tests::dice::Dice;
use callboard_tests::document::unhex;
use callboard_tests::host::Host;
use callboard_tests::vector;

use crate::targets::requests::{BETWEEN, PROTOCOLS};

/// Longer ones slow a target down and show it nothing new.
const LENGTH: usize = 8_192;

/// The seeds of each target.
fn all() -> &'static BTreeMap<String, Vec<Vec<u8>>> {
    static ALL: OnceLock<BTreeMap<String, Vec<Vec<u8>>>> = OnceLock::new();
    ALL.get_or_init(gather)
}

/// Those of a target.
pub fn of(target: &str) -> &'static [Vec<u8>] {
    all().get(target).map_or(&[], Vec::as_slice)
}

/// A payload of the format: what a feed has heard before.
pub fn first(format: Format) -> &'static [u8] {
    of(format.name()).first().map_or(&[], Vec::as_slice)
}

fn gather() -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut seeds: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target: &str, bytes: Vec<u8>| {
        let own = seeds.entry(target.to_owned()).or_default();
        if bytes.len() <= LENGTH && !own.contains(&bytes) {
            own.push(bytes);
        }
    };
    for file in vector::load() {
        for case in file.document.get("cases").and_then(Value::as_list).unwrap_or_default() {
            let steps = case.get("steps").and_then(Value::as_list).unwrap_or_default();
            let mut requests = Vec::new();
            for step in steps {
                let (Some(verb), Some(args)) = (step.get("do").and_then(Value::as_str), step.get("args")) else { continue };
                let text = |name: &str| args.get(name).and_then(Value::as_str);
                match verb {
                    "balancer" => add("policy", without_name(args).to_json()),
                    "dns" => add("dns-server", unhex(text("hex").unwrap_or_default())),
                    "request" => requests.push((text("path").unwrap_or_default().to_owned(), request(args))),
                    "parse_selector" => add("selector", text("text").unwrap_or_default().into()),
                    "match" => {
                        let version = |of: &str| args.get(of).and_then(|own| own.get("version")).and_then(Value::as_str);
                        add("version-range", [version("query"), version("instance")].map(Option::unwrap_or_default).join("\n").into());
                    }
                    _ => {}
                }
                if let Some(selector) = args.get("query").and_then(|query| query.get("selector")).and_then(Value::as_str) {
                    add("selector", selector.into());
                }
                if let (Some(format), Some(body)) = (text("format"), body(args)) {
                    add(format, body);
                }
            }
            for (target, prefixes) in PROTOCOLS.iter().copied().chain([("rest", &[""][..])]) {
                let of_it = requests.iter().filter(|(path, _)| prefixes.iter().any(|prefix| path.starts_with(prefix)));
                let of_it: Vec<&[u8]> = of_it.map(|(_, request)| &request[..]).collect();
                if !of_it.is_empty() {
                    add(target, of_it.join(&BETWEEN));
                }
            }
            if let Some((snapshot, journal)) = kept(case, steps) {
                add("restore", snapshot);
                add("journal", journal);
            }
        }
    }
    let mut dice = Dice(1);
    for length in [20, 60, 200, 600] {
        for target in ["calls", "replica"] {
            add(target, (0..length).map(|_| dice.bits() as u8).collect());
        }
    }
    seeds
}

fn without_name(args: &Value) -> Value {
    Value::map(args.as_map().unwrap_or_default().iter().filter(|(key, _)| key != "balancer").cloned())
}

fn body(args: &Value) -> Option<Vec<u8>> {
    if let Some(hex) = args.get("hex").and_then(Value::as_str) {
        return Some(unhex(hex));
    }
    let body = args.get("body")?;
    Some(body.as_str().map_or_else(|| body.to_json(), |text| text.as_bytes().to_vec()))
}

fn request(args: &Value) -> Vec<u8> {
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let query = if text("query").is_empty() { String::new() } else { format!("?{}", text("query")) };
    let headers = args.get("headers").and_then(Value::as_map).unwrap_or_default().iter();
    let headers: String = headers.map(|(name, value)| format!("\t{name}: {}", value.as_str().unwrap_or_default())).collect();
    let line = format!("{} {}{query}{headers}\n", text("method"), text("path"));
    [line.into_bytes(), body(args).unwrap_or_default()].concat()
}

/// The snapshot of a registry after what a case writes into it, and the journal of how it came to that.
fn kept(case: &Value, steps: &[Value]) -> Option<(Vec<u8>, Vec<u8>)> {
    const WRITES: &[&str] = &["register", "set_admin", "set_health", "apply", "reconcile", "advance"];
    let mut host = Host::new(&case.get("config").cloned().unwrap_or(Value::Map(Vec::new()))).ok()?;
    let (mut store, mut journal) = (Store::new(), Vec::new());
    let mut now = 0;
    for step in steps {
        now = step.get("at").and_then(Value::as_u64).filter(|at| Timestamp::from_micros(*at).is_ok()).unwrap_or(now);
        let verb = step.get("do").and_then(Value::as_str).unwrap_or_default();
        if let (true, Some(args)) = (WRITES.contains(&verb), step.get("args")) {
            let _ = host.perform(verb, args, None, now);
            if let Some(frame) = store.frame(host.registry()) {
                if frame.replace {
                    journal.clear();
                }
                journal.extend(frame.bytes);
                store.written();
            }
        }
    }
    (!host.registry().is_empty()).then(|| (host.registry().snapshot(), journal))
}
