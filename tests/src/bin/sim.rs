//! The registry simulator. `cargo xtask sim --help`.

use std::io::{IsTerminal as _, Write as _};
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const HELP: &str = "\
cargo xtask sim [--seeds N] [--steps M] [--seed S] [--threads T]

Runs N scripts (default 2000) of M random steps (default 500) each on the registry and on a naive model,
compares everything that can be seen after each step, and stops at the first difference, with the shortest
script that shows it. Seeds count up from S (default 0).
";

fn main() -> ExitCode {
    let (mut seeds, mut steps, mut first) = (2_000, 500, 0);
    let mut threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let target = match name.as_str() {
            "--seeds" => &mut seeds,
            "--steps" => &mut steps,
            "--seed" => &mut first,
            "--threads" => &mut threads,
            _ => {
                print!("{HELP}");
                return if name == "--help" { ExitCode::SUCCESS } else { ExitCode::from(2) };
            }
        };
        match args.next().map(|value| value.parse()) {
            Some(Ok(value)) => *target = value,
            _ => {
                eprintln!("{name} needs a whole number");
                return ExitCode::from(2);
            }
        }
    }

    let started = Instant::now();
    let (done, next, failure) = (AtomicU64::new(0), AtomicU64::new(first), Mutex::new(None::<String>));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failure.lock().is_ok_and(|failure| failure.is_some()) {
                        return;
                    }
                    let outcome = catch_unwind(|| callboard_tests::simulator::seed(seed, steps as usize));
                    if let Err(why) = outcome.unwrap_or_else(|_| Err(format!("seed {seed} panics"))) {
                        if let Ok(mut failure) = failure.lock() {
                            failure.get_or_insert(why);
                        }
                        return;
                    }
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if std::io::stdout().is_terminal() && count.is_multiple_of(16) {
                        print!("\rsim: {count} of {seeds} seeds, {:.0} s ", started.elapsed().as_secs_f64());
                        let _ = std::io::stdout().flush();
                    }
                }
            });
        }
    });
    if std::io::stdout().is_terminal() {
        print!("\r");
    }
    let count = done.load(Ordering::Relaxed);
    match failure.into_inner() {
        Ok(None) => {
            println!("sim: {count} seeds of {steps} steps from {first}: no difference ({:.1} s)", started.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Ok(Some(why)) => {
            println!("sim: after {count} seeds without a difference:\n{why}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}
