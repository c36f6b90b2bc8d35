use std::vec::Vec;

use core::time::Duration;

use super::*;
use crate::Timestamp;
use crate::formats::{Feed, FeedConfig, Format, Payload};
use crate::registry::{Config, Registry};

/// An answer for the addresses of `web.`, with records of so many seconds.
fn addresses(count: u16, ttl: u32) -> Vec<u8> {
    let mut bytes = std::vec![0, 0, 0x84, 0, 0, 1];
    bytes.extend(count.to_be_bytes());
    bytes.extend(b"\0\0\0\0\x03web\0\0\x01\0\x01");
    for number in 0..count {
        bytes.extend(b"\xc0\x0c\0\x01\0\x01");
        bytes.extend(ttl.to_be_bytes());
        let [high, low] = number.to_be_bytes();
        bytes.extend([0, 4, 10, 0, high, low]);
    }
    bytes
}

#[test]
fn the_time_to_live_tells_when_to_ask_again() {
    for (ttl, from, to) in [(1, 0.9, 1.1), (20, 18.0, 22.0), (3_600, 3_240.0, 3_960.0), (u32::MAX >> 1, 3_240.0, 3_960.0), (0, 27.0, 33.0)]
    {
        for seed in 0..20 {
            let mut registry = Registry::new(Config::default()).unwrap();
            let mut feed = Feed::new(FeedConfig { seed, ..FeedConfig::new("dns", Format::Dns) }).unwrap();
            let fed = feed.push(&mut registry, &Payload::new(&addresses(2, ttl)), Timestamp::ZERO);
            assert_eq!((fed.added, fed.problem), (2, None));
            let [from, to] = [from, to].map(Duration::from_secs_f64);
            assert!(fed.next.after >= from && fed.next.after <= to, "{ttl}: {:?}", fed.next.after);
        }
    }
}

#[test]
fn a_message_is_as_long_as_its_length_can_say() {
    let context = Context::new("default");
    let mut message = addresses(2, 9);
    for (length, good) in [(65_534, true), (65_535, true), (65_536, false)] {
        message.resize(length, 0);
        let outcome = decode(&message, &context);
        assert_eq!(outcome.is_ok(), good);
        assert!(good || outcome.unwrap_err().limit_value() == Some(65_535));
    }
}

#[test]
fn what_is_made_of_a_message_is_bounded_and_the_rest_is_told() {
    let decoded = decode(&addresses(150, 9), &Context::new("default")).unwrap();
    assert_eq!((decoded.instances.len(), decoded.skipped_total), (150, 0));
    let decoded = decode(&addresses(4_000, 9), &Context::new("default")).unwrap();
    assert!(decoded.instances.len() > 1_000 && decoded.instances.len() < 4_000);
    assert_eq!((decoded.skipped_total, decoded.skipped[0].error.code()), (1, Code::LimitExceeded));
    // Whom it names beyond that stays, whoever it is.
    assert_eq!(decoded.kept, [("web".into(), String::new())]);
}

#[test]
fn what_does_not_fit_is_cut_and_says_so() {
    let own = |number: u32| {
        let (high, low) = (number / 250, number % 250 + 1);
        Registration::new("web", std::format!("web-{number}")).endpoint(&std::format!("http://10.0.{high}.{low}:80")).unwrap()
    };
    for (count, fits) in [(500, true), (1_000, false), (10_000, false)] {
        let all: Vec<Registration> = (0..count).map(own).collect();
        let bytes = encode(&all);
        assert!(bytes.len() <= 65_535);
        let decoded = decode(&bytes, &Context::new("default")).unwrap();
        assert_eq!((decoded.resync.is_none(), decoded.extent == Extent::Whole), (fits, fits), "{count}");
        assert!(!fits || decoded.instances.iter().map(|entry| &entry.registration).eq(&all));
    }
}
