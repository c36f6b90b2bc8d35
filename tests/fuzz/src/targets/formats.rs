//! Readers and writers of formats.

use callboard::Timestamp;
use callboard::formats::{Ask, Context, Decoded, Feed, FeedConfig, Format, decode, encode};
use callboard::model::Registration;
use xxhash_rust::xxh3::xxh3_64;

use super::{registry, state};
use crate::bounds;
use crate::seeds;

/// Beyond this, writing and reading again is left out: it finds nothing more, and is slow.
const WRITTEN: usize = 16_384;

/// Reads; `thorough`, as far as it is, does something with what was read.
pub fn run(format: Format, bytes: &[u8], thorough: bool) {
    // The length says how the payload was asked for: spaces behind most payloads change nothing else.
    let (ask, service) = match bytes.len() % 4 {
        0 => (Ask::Full, Some("web")),
        1 => (Ask::Delta, Some("web")),
        2 => (Ask::Watch, Some("web")),
        _ => (Ask::Full, None),
    };
    // What comes after reading costs eight times as much as reading: one input in eight goes through all of it.
    let all = thorough && xxh3_64(bytes).is_multiple_of(8);
    let context = Context { service, ask, ..Context::new("default") };
    if let Ok(decoded) = bounds::within(bounds::of_payload(bytes), || decode(format, bytes, &context)) {
        for entry in &decoded.instances {
            entry.registration.validate().expect("what is read is an instance");
        }
        if all && bytes.len() <= WRITTEN {
            again(format, &decoded, &context);
        }
    }
    if all {
        feed(format, bytes, service);
    }
}

fn instances(decoded: &Decoded) -> Vec<Registration> {
    decoded.instances.iter().map(|entry| entry.registration.clone()).collect()
}

/// What a writer can say of what was read, is read again as it was written.
fn again(format: Format, decoded: &Decoded, context: &Context<'_>) {
    let context = Context { ask: Ask::Full, ..*context };
    let Ok(first) = encode(format, &instances(decoded)) else { return };
    // A listing without instances may name no service, and instances of several services are no answer about one.
    let Ok(once) = decode(format, &first, &context) else { return };
    let second = encode(format, &instances(&once)).expect("it has a writer");
    let twice = decode(format, &second, &context).expect("what is written can be read");
    assert_eq!(instances(&once), instances(&twice), "written {}", String::from_utf8_lossy(&second));
}

/// A feed that has taken a payload of the vectors takes this one: an error changes nothing.
fn feed(format: Format, bytes: &[u8], service: Option<&str>) {
    let mut registry = registry();
    let config = FeedConfig { service: service.map(str::to_owned), ..FeedConfig::new("source", format) };
    let mut feed = Feed::new(config).expect("a feed");
    let _ = feed.take(&mut registry, seeds::first(format), Timestamp::ZERO);
    let before = state(&registry);
    match feed.take(&mut registry, bytes, Timestamp::from_secs(1)) {
        Ok(_) => assert!(registry.revision() >= before.0.revision),
        Err(_) => assert_eq!(state(&registry), before),
    }
}
