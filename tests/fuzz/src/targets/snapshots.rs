//! Snapshots: a registry that works, or an error.

use std::time::Duration;

use callboard::Timestamp;
use callboard::model::Registration;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use xxhash_rust::xxh3::xxh3_64;

use super::state;
use crate::bounds;

pub fn run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    // Mostly the checksum is made right, so that what is behind it is reached.
    if !bytes.len().is_multiple_of(8) {
        seal(&mut bytes);
    }
    let now = Timestamp::from_secs(1);
    let config = Config { allow_local_addresses: true, epoch: 1, ..Config::default() };
    let Ok(mut registry) = bounds::within(bounds::HEAP, || Registry::restore(&bytes, config.clone(), now)) else { return };
    let same = Registry::restore(&registry.snapshot(), config.clone(), registry.now()).expect("its own snapshot");
    assert_eq!(state(&same).1, state(&registry).1);

    let later = registry.now().saturating_add(Duration::from_secs(3));
    registry.advance(later);
    for handle in &registry.query(&Query::everything()).handles {
        registry.instance(*handle).expect("a handle of an answer names a record").registration.validate().expect("an instance");
    }
    registry.register(&Registration::new("fresh", "i"), Put::default(), later).expect("room for one more");
}

/// The header's length and checksum made right for the body.
fn seal(bytes: &mut [u8]) {
    const HEADER: usize = 22;
    if bytes.len() >= HEADER {
        let (length, print) = ((bytes.len() - HEADER) as u64, xxh3_64(&bytes[HEADER..]));
        bytes[6..14].copy_from_slice(&length.to_le_bytes());
        bytes[14..22].copy_from_slice(&print.to_le_bytes());
    }
}
