//! Messages to the DNS server. What is sent back is a whole message of the same number, and no longer than may be sent.

use callboard::Timestamp;
use callboard::model::Registration;
use callboard::registry::{Put, Registry};
use callboard::serve::Server;
use xxhash_rust::xxh3::xxh3_64;

use super::registry;
use crate::bounds;

fn board() -> Registry {
    let mut registry = registry();
    for (service, count) in [("web", 3), ("many", 40), ("Mixed", 1)] {
        for number in 0..count {
            let own = Registration::new(service, format!("i{number}")).endpoint(&format!("http://10.0.1.{number}:80"));
            let own = own.and_then(|own| own.endpoint(&format!("http://[2001:db8::{number}]:80"))?.tags(["v1"])).expect("a registration");
            registry.register(&own, Put::default(), Timestamp::ZERO).expect("registered");
        }
    }
    registry
}

pub fn run(bytes: &[u8]) {
    thread_local!(static BOARD: std::cell::RefCell<Registry> = std::cell::RefCell::new(board()));
    BOARD.with_borrow_mut(|registry| {
        let udp = xxh3_64(bytes).is_multiple_of(2);
        let answer = bounds::within(bounds::HEAP, || Server::default().answer_dns(registry, bytes, udp, Timestamp::ZERO));
        let Some(answer) = answer else { return };
        assert!(answer.len() >= 12 && answer.len() <= if udp { 1_232 } else { 65_535 }, "{}", answer.len());
        assert_eq!(answer[..2], bytes[..2], "the number of another message");
        assert!(answer[2] & 0x80 != 0, "it answers with a question");
    });
}
