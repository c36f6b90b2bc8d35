//! Journals: a registry that works, or an error.

use callboard::Timestamp;
use callboard::registry::{Config, Registry};
use callboard::store::{Store, journal};
use xxhash_rust::xxh3::xxh3_64;

use crate::bounds;

pub fn run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    // Mostly the checksums are made right, so that what is behind them is reached.
    if !bytes.len().is_multiple_of(8) {
        seal(&mut bytes);
    }
    let now = Timestamp::from_secs(1);
    let config = Config { allow_local_addresses: true, epoch: 1, ..Config::default() };
    let Ok(back) = bounds::within(bounds::HEAP, || journal::recover(&bytes, config.clone(), now)) else { return };
    assert!(back.torn <= bytes.len() as u64);
    let frame = |registry: &Registry| Store::new().frame(registry).expect("the first frame");
    let first = frame(&back.registry);
    let again = journal::recover(&first.bytes, config, now).expect("its own journal");
    assert!(first.replace && again.torn == 0 && again.registry.len() == back.registry.len());
}

/// The headers made right for the lengths that they claim, as far as these lead.
fn seal(bytes: &mut [u8]) {
    const HEADER: usize = 24;
    let mut at = 0;
    while let Some(frame) = bytes.get_mut(at..).filter(|frame| frame.len() >= HEADER) {
        let (header, rest) = frame.split_at_mut(HEADER);
        let claimed = u64::from_le_bytes(header[..8].try_into().expect("eight bytes"));
        let length = usize::try_from(claimed).unwrap_or(usize::MAX).min(rest.len());
        header[..8].copy_from_slice(&(length as u64).to_le_bytes());
        header[8..16].copy_from_slice(&xxh3_64(&rest[..length]).to_le_bytes());
        let print = xxh3_64(&header[..16]);
        header[16..].copy_from_slice(&print.to_le_bytes());
        at += HEADER + length;
    }
}
