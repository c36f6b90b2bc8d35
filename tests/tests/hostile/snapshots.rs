//! Snapshots: cut, turned, damaged behind a right checksum, made up.

use callboard::registry::{Config, Registry};
use callboard::{Code, Timestamp};
use callboard_tests::dice::Dice;
use xxhash_rust::xxh3::xxh3_64;

use super::{fair, rich, works};

fn restore(bytes: &[u8]) -> Option<Registry> {
    match Registry::restore(bytes, Config::default(), Timestamp::from_secs(1)) {
        Ok(registry) => Some(registry),
        Err(error) => {
            fair(&error);
            assert!(matches!(error.code(), Code::SnapshotCorrupt | Code::SnapshotVersion | Code::QuotaExceeded), "{error}");
            assert!(!error.field().is_empty());
            None
        }
    }
}

/// The header's length and checksum made right for the body, so that the damage gets past them.
fn seal(bytes: &mut [u8]) {
    const HEADER: usize = 22;
    if bytes.len() >= HEADER {
        let (length, print) = ((bytes.len() - HEADER) as u64, xxh3_64(&bytes[HEADER..]));
        bytes[6..14].copy_from_slice(&length.to_le_bytes());
        bytes[14..22].copy_from_slice(&print.to_le_bytes());
    }
}

#[test]
fn a_snapshot_cut_anywhere_is_refused() {
    let bytes = rich().snapshot();
    for length in 0..bytes.len() {
        assert!(restore(&bytes[..length]).is_none(), "{length} of {}", bytes.len());
    }
    let twice = [bytes.clone(), bytes.clone()].concat();
    assert!(restore(&twice).is_none());
    works(restore(&bytes).expect("the whole of it"));
}

#[test]
fn a_snapshot_with_any_bit_turned_is_refused() {
    let bytes = rich().snapshot();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(restore(&damaged).is_none(), "bit {bit}");
    }
}

#[test]
fn damage_behind_a_right_checksum_is_refused_or_a_registry_that_works() {
    let bytes = rich().snapshot();
    for bit in 22 * 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        seal(&mut damaged);
        restore(&damaged).into_iter().for_each(works);
    }
    for length in 0..bytes.len() {
        let mut cut = bytes[..length].to_vec();
        seal(&mut cut);
        assert!(restore(&cut).is_none(), "{length}");
    }
    let mut dice = Dice(1);
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=dice.below(6) {
            let at = 22 + dice.below(damaged.len() as u64 - 22) as usize;
            match dice.below(4) {
                0 => damaged[at] = dice.of(&[0, 1, 0x7f, 0x80, 0xff]),
                1 => damaged[at] = dice.bits() as u8,
                2 => drop(damaged.splice(at..at, (0..dice.below(9)).map(|_| 0xff).collect::<Vec<u8>>())),
                _ => drop(damaged.drain(at..(at + dice.below(20) as usize).min(damaged.len()))),
            }
            if damaged.len() <= 23 {
                break;
            }
        }
        seal(&mut damaged);
        restore(&damaged).into_iter().for_each(works);
    }
}

#[test]
fn random_bytes_are_no_snapshot() {
    let mut dice = Dice(2);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..dice.below(200)).map(|_| dice.bits() as u8).collect();
        if bytes.len() >= 22 && dice.percent(70) {
            bytes[..6].copy_from_slice(b"CBRD\x01\0");
            seal(&mut bytes);
        }
        restore(&bytes).into_iter().for_each(works);
    }
}
