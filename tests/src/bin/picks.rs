//! Never dead, never foreign: `cargo xtask prove --only picks`. `picks COUNT [SEED]`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_tests::picks::life;

/// Picks of one life.
const LIFE: u64 = 200_000;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let (count, first) = (numbers.first().copied().unwrap_or(1_000_000), numbers.get(1).copied().unwrap_or(0));
    let (next, made, refused, wrong) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None::<String>));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                while made.load(Ordering::Relaxed) < count && wrong.lock().is_ok_and(|wrong| wrong.is_none()) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    match life(seed, LIFE.min(count)) {
                        Ok((well, ill)) => {
                            let so_far = made.fetch_add(well, Ordering::Relaxed) + well;
                            refused.fetch_add(ill, Ordering::Relaxed);
                            println!("{so_far} of {count} picks");
                        }
                        Err(why) => {
                            if let Ok(mut wrong) = wrong.lock() {
                                wrong.get_or_insert(format!("seed {seed}: {why}"));
                            }
                        }
                    }
                }
            });
        }
    });
    let (made, refused) = (made.into_inner(), refused.into_inner());
    match wrong.into_inner() {
        Ok(None) => {
            println!(
                "{made} picks, {refused} refused, 0 to an instance that is expired, removed, disabled, excluded, of weight 0 or of another place"
            );
            ExitCode::SUCCESS
        }
        Ok(Some(why)) => {
            println!("a wrong pick: {why}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}
