//! Random streams of answers of sources, written down as vector cases with what the core made of each, digests included.
//!
//! The answers are the payloads of the vectors: whole, cut, again, out of order, with a status or an index of any kind.

use callboard::Value;
use callboard::formats::Format;

use crate::dice::Dice;
use crate::document::{hex, unhex};
use crate::host::Host;
use crate::vector::describe;

/// A payload of a vector, by its format.
pub struct Sample {
    format: Format,
    service: Option<String>,
    body: Vec<u8>,
    /// Whether the vector has it in hexadecimal.
    binary: bool,
}

/// The payloads.
pub fn samples() -> Vec<Sample> {
    let steps = crate::vector::load().into_iter().flat_map(|file| {
        let cases = file.document.get("cases").and_then(Value::as_list).unwrap_or_default().to_vec();
        cases.into_iter().flat_map(|case| case.get("steps").and_then(Value::as_list).unwrap_or_default().to_vec())
    });
    let mut found = Vec::new();
    for step in steps {
        let Some(args) = step.get("args") else { continue };
        let text = |name: &str| args.get(name).and_then(Value::as_str);
        let Some(format) = text("format").and_then(|name| Format::parse(name).ok()) else { continue };
        let (body, binary) = match (text("hex"), args.get("body")) {
            (Some(hex), _) => (unhex(hex), true),
            (None, Some(body)) => (body.as_str().map_or_else(|| body.to_json(), |text| text.as_bytes().to_vec()), false),
            (None, None) => continue,
        };
        found.push(Sample { format, service: text("service").map(str::to_owned), body, binary });
    }
    found
}

/// The stream of a seed as a case, of so many answers.
pub fn stream(samples: &[Sample], seed: u64, answers: u32) -> Value {
    let mut dice = Dice(seed);
    let config = Value::map([("allow_local_addresses", Value::from(true)), ("epoch", 1u64.into()), ("seed", seed.into())]);
    let mut host = Host::new(&config).expect("a config");
    let mut steps = Vec::new();
    let mut now = 0;
    let mut perform = |verb: &str, args: Value, now: u64| {
        let expect = host.perform(verb, &args, None, now).unwrap_or_else(|error| Value::map([("error", describe(&error))]));
        steps.push(Value::map([("at", now.into()), ("do", verb.into()), ("args", args), ("expect", expect.clone())]));
        expect
    };
    let first = &samples[dice.below(samples.len() as u64) as usize];
    let own: Vec<&Sample> = samples.iter().filter(|sample| sample.format == first.format && sample.service == first.service).collect();
    let mut feed = vec![("source", Value::from("them")), ("format", first.format.name().into()), ("seed", seed.into())];
    feed.extend(first.service.as_deref().map(|service| ("service", service.into())));
    // A vector may be about a service that nobody can have.
    let refused = perform("follow", Value::map(feed), now).get("error").is_some();
    for _ in 0..if refused { 0 } else { answers } {
        now += dice.below(40_000_000);
        if dice.percent(5) {
            perform("lost", Value::Map(Vec::new()), now);
            continue;
        }
        perform("push", answer(&mut dice, &own), now);
        let services = perform("services", Value::Map(Vec::new()), now);
        for service in services.get("services").and_then(Value::as_list).unwrap_or_default() {
            let name = service.get("service").cloned().unwrap_or_default();
            perform("digest", Value::map([("service", name)]), now);
        }
    }
    Value::map([
        ("name", Value::from(format!("stream {seed} of {}", first.format.name()))),
        ("config", config),
        ("steps", Value::List(steps)),
    ])
}

fn answer(dice: &mut Dice, own: &[&Sample]) -> Value {
    let sample = own[dice.below(own.len() as u64) as usize];
    let mut body = sample.body.as_slice();
    if dice.percent(15) {
        let cut = dice.below(body.len() as u64 + 1) as usize;
        // Text ends where a character does.
        body = (0..=cut).rev().map(|at| &body[..at]).find(|cut| sample.binary || std::str::from_utf8(cut).is_ok()).unwrap_or_default();
    }
    let mut args = vec![match std::str::from_utf8(body) {
        Ok(text) if !sample.binary => ("body", Value::from(text)),
        _ => ("hex", Value::from(hex(body))),
    }];
    if dice.percent(15) {
        args.push(("status", u64::from(dice.of(&[200u16, 206, 304, 404, 410, 429, 500, 503])).into()));
    }
    if dice.percent(40) {
        let name = dice.of(&["X-Consul-Index", "ETag", "Retry-After", "x-consul-knownleader"]);
        args.push(("headers", Value::map([(name, Value::from(dice.of(&["0", "7", "9", "12", "\"a\"", "false"])))])));
    }
    if dice.percent(10) {
        args.push(("complete", false.into()));
    }
    Value::map(args)
}
