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
            let (first, last) = (report.memory.first().unwrap_or(&0), report.memory.last().unwrap_or(&0));
            let most = report.memory.iter().max().unwrap_or(&0);
            println!(
                "hostile: {} sent, {} answered, {} of them refused and {} for want of room; memory {first} KiB at first, {most} at most, {last} at last",
                report.sent, report.answered, report.refused, report.overloaded
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("hostile: seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}
