//! Several inputs for one of libFuzzer's. What it does after each costs several times what a reader does with a short one; with small changes of an
//! input tried as well, that is paid once for all of them. What any of them reaches counts for the input they were made of.

use std::sync::atomic::{AtomicU64, Ordering};

use callboard_tests::dice::Dice;
use xxhash_rust::xxh3::xxh3_64;

/// So many changes of an input.
const COUNT: usize = 15;
/// None of a longer one: reading it costs more than what is saved.
const SHORT: usize = 1_024;
/// Bytes that mean something to some reader.
const MARKS: &[u8] = b"{}[]<>()\"'`\\/,;:.=!?&%#*@-+_~^$| \t\r\n0129aezAZ\0\x01\x07\x0a\x12\x1a\x22\x7f\x80\xc0\xe2\xfe\xff";

/// Inputs read so far.
static READ: AtomicU64 = AtomicU64::new(0);
/// After so many it is told.
const OFTEN: u64 = 1 << 16;

/// Counts an input, and tells `cargo xtask fuzz` of the sum now and then.
pub fn count() {
    let read = READ.fetch_add(1, Ordering::Relaxed) + 1;
    if read.is_multiple_of(OFTEN) {
        eprintln!("read: {read}");
    }
}

/// Runs small changes of an input, which are always the same for it: a byte is another, the end is missing, a part is missing or comes twice.
pub fn each(bytes: &[u8], mut run: impl FnMut(&[u8])) {
    if bytes.is_empty() || bytes.len() > SHORT {
        return;
    }
    let mut dice = Dice(xxh3_64(bytes));
    let mut variant = Vec::with_capacity(bytes.len() + 32);
    for _ in 0..COUNT {
        let at = dice.below(bytes.len() as u64) as usize;
        let (kind, other) = (dice.below(6), dice.bits() as u8);
        let mark = usize::from(other) % MARKS.len();
        let end = (at + 1 + usize::from(other % 32)).min(bytes.len());
        // What stands where `at` is, and where the rest begins.
        let (between, rest): (&[u8], usize) = match kind {
            0 => (&[], bytes.len()),
            1 => (&[other], at + 1),
            2 => (&MARKS[mark..=mark], at + 1),
            3 => (&MARKS[mark..=mark], at),
            4 => (&bytes[at..end], at),
            _ => (&[], end),
        };
        variant.clear();
        for part in [&bytes[..at], between, &bytes[rest..]] {
            variant.extend_from_slice(part);
        }
        run(&variant);
    }
}
