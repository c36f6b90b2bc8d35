//! The laws of merging: `cargo xtask prove --only laws`. `laws LENGTH WORLDS`: every script of so many steps, and so many random worlds.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_tests::laws::{Scope, hold};

/// Scripts, or worlds, that a thread takes at once.
const CHUNK: u64 = 1_000;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (length, worlds) = (numbers.first().copied().unwrap_or(3) as u32, numbers.get(1).copied().unwrap_or(10_000));
    for length in 1..=length {
        for (name, scope) in Scope::ALL {
            let count = scope.count(length);
            if !each(&format!("{name}, {length} steps"), count, |range| scope.exhaust(length, range)) {
                return ExitCode::FAILURE;
            }
        }
    }
    if !each("worlds", worlds, |mut range| range.try_for_each(hold)) {
        return ExitCode::FAILURE;
    }
    let scripts: u64 = (1..=length).flat_map(|length| Scope::ALL.map(|(_, scope)| scope.count(length))).sum();
    println!("{scripts} scripts, {worlds} worlds: every law holds");
    ExitCode::SUCCESS
}

/// Does all numbers below `count`, on all processors; whether all went well.
fn each(what: &str, count: u64, work: impl Fn(std::ops::Range<u64>) -> Result<(), String> + Sync) -> bool {
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(None::<String>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                loop {
                    let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if start >= count || wrong.lock().is_ok_and(|wrong| wrong.is_some()) {
                        return;
                    }
                    if start.is_multiple_of(CHUNK * 20) {
                        println!("{what}: {start} of {count}");
                    }
                    if let Err(why) = work(start..(start + CHUNK).min(count))
                        && let Ok(mut wrong) = wrong.lock()
                    {
                        wrong.get_or_insert(why);
                    }
                }
            });
        }
    });
    match wrong.into_inner() {
        Ok(Some(why)) => println!("a law is broken: {what}: {why}"),
        Ok(None) => return true,
        Err(_) => {}
    }
    false
}
