//! Hostile requests over the wire. `cargo xtask hostile` starts it.

use std::process::ExitCode;

use callboard_tests::hostile::{Server, run};

const HELP: &str =
    "hostile [--count N] [--seed S] -- COMMAND...: starts a host and sends it N (default 10000) requests that nobody should send";

fn main() -> ExitCode {
    let (mut count, mut seed) = (10_000, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next().filter(|name| name != "--") {
        match (name.as_str(), args.next().and_then(|value| value.parse().ok())) {
            ("--count", Some(value)) => count = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                eprintln!("{HELP}");
                return ExitCode::from(2);
            }
        }
    }
    let command: Vec<String> = args.collect();
    let done = Server::start(&command).and_then(|server| run(&server, count, seed, &|line| println!("hostile: {line}")));
    match done {
        Ok(report) => {
            // Each quarter by itself: what levels off has its growth in the first.
            let quarters = report.memory.chunks(report.memory.len().div_ceil(4).max(1));
            let most: Vec<String> = quarters.map(|some| some.iter().max().unwrap_or(&0).to_string()).collect();
            println!(
                "hostile: {} sent, {} answered, {} of them refused and {} for want of room; memory {} KiB at first, at most {} in each quarter",
                report.sent,
                report.answered,
                report.refused,
                report.overloaded,
                report.memory.first().unwrap_or(&0),
                most.join(", ")
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("hostile: seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}
