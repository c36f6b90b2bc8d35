//! The registry against the naive model: 2 000 scripts of 1 000 steps. `cargo xtask sim` runs others.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use callboard_tests::simulator;

const SEEDS: u64 = 2_000;
const STEPS: usize = 1_000;

#[test]
fn the_registry_is_the_naive_model() {
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS || failures.lock().is_ok_and(|failures| !failures.is_empty()) {
                        return;
                    }
                    if let Err(why) = simulator::seed(seed, STEPS) {
                        failures.lock().expect("the others go on").push(why);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("all are done");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_seed_always_makes_the_same_script() {
    let text = |seed| format!("{:?}", simulator::random(seed, 50).1.iter().map(|step| (step.clock, step.verb)).collect::<Vec<_>>());
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}
