//! Selectors, ranges of versions, and documents of policies.

use callboard::balance::{Balancer, Policy, Request};
use callboard::model::{Registration, Version};
use callboard::query::{Query, Selector, VersionRange};
use callboard::registry::Put;
use callboard::{Timestamp, Value};

use super::registry;
use crate::bounds;

/// The entries of a ring or of a table that is built for every input.
const LARGE: u64 = 65_537;

fn instance(id: &str) -> Registration {
    let own = Registration::new("web", id).metadata([("env", "prod"), ("x", "1.5"), ("stage", "")]).expect("metadata");
    own.version("1.4.2-rc.1").expect("a version").tags(["a", "b"]).expect("tags").zone("z1")
}

/// A selector is an error, or a text that says the same when it is read again.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    bounds::within(bounds::HEAP, || {
        let Ok(selector) = Selector::parse(text) else { return };
        assert_eq!(Selector::parse(selector.text()).as_ref(), Ok(&selector));
        let mut query = Query::service("web");
        query.selector = selector;
        query.compile().expect("a valid query").matches(&instance("a"));
    });
}

/// A range in the first line, versions in the others.
pub fn range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    bounds::within(bounds::HEAP, || {
        let range = VersionRange::parse(lines.next().unwrap_or_default());
        if let Ok(range) = &range {
            assert_eq!(VersionRange::parse(&range.text()).as_ref(), Ok(range));
        }
        for line in lines.by_ref() {
            let Ok(version) = Version::parse(line) else { continue };
            assert_eq!(Version::parse(&version.text()).as_ref(), Ok(&version));
            if let Ok(range) = &range {
                range.matches(&version);
            }
        }
    });
}

/// The document of a balancer: an error, or a balancer that picks, whose policy is the same when it is written and read.
pub fn policy(bytes: &[u8]) {
    let Ok(document) = Value::from_json(bytes) else { return };
    let Ok(mut balancer) = bounds::within(bounds::HEAP, || Balancer::from_value(&document)) else { return };
    let written = balancer.policy().to_value();
    let again = Policy::from_value(&written).expect("what is written can be read");
    assert_eq!(again.to_value(), written);
    // A ring or a table as large as Envoy allows takes up to a second to build, and shows nothing that a smaller one does not.
    let size = |name| written.get("pick").and_then(|pick| pick.get(name)).and_then(Value::as_u64).unwrap_or(0);
    if size("min_size").max(size("table_size")) > LARGE {
        return;
    }

    let mut registry = registry();
    for number in 0..5 {
        registry.register(&instance(&format!("i{number}")), Put::default(), Timestamp::ZERO).expect("room");
    }
    bounds::within(bounds::HEAP, || balancer.follow(&registry));
    for number in 0..12u64 {
        let now = Timestamp::from_micros(number * 700_000).expect("a time");
        let key = number.to_le_bytes();
        let request = Request { key: (number % 2 == 0).then_some(&key[..]), ..Request::default() };
        if let Ok(pick) = balancer.pick(&request, now) {
            registry.instance(pick.handle).expect("an instance on record");
            balancer.finish(pick.token, callboard::balance::Outcome::new(number % 3 > 0, None), now);
        }
        balancer.may_retry(now);
        balancer.probe_requests(now);
    }
    balancer.stats();
}
