//! The commands of this repository: `cargo xtask COMMAND`.
//!
//! One file per command; each is a row of [`COMMANDS`]. `ui` shows progress, `sh` runs other programs.

mod bench;
mod counts;
#[cfg(unix)]
mod demo;
mod fuzz;
mod hostile;
mod lab;
mod lives;
mod programs;
mod prove;
mod purity;
mod setup;
mod sh;
mod sim;
mod test;
mod ui;
mod wasm;

use std::process::ExitCode;

/// What a command returns; the text of an error is what the user reads.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Name, what it does, and the function that gets the arguments after the name.
type Command = (&'static str, &'static str, fn(&[String]) -> Result);

const COMMANDS: &[Command] = &[
    (
        "setup",
        "set up whatever is missing: wasm target, Python venv, npm packages, Chromium, dnsmasq, dig, etcd, ZooKeeper",
        setup::command,
    ),
    ("purity", "build the core for wasm and check that it imports nothing", purity::command),
    ("wasm [--small]", "build the npm package into bindings-wasm/dist; --small as it is published", wasm::command),
    #[cfg(unix)]
    ("demo [--ci]", "run the main job: a registry, providers, consumers in four runtimes, a crash, a drain", demo::command),
    ("sim [--seeds N]", "compare the registry with a naive model on random operations (--help)", sim::command),
    ("fuzz [TARGET..] [--smoke]", "fuzz readers, snapshots, requests and calls with libFuzzer (--help)", fuzz::command),
    ("hostile [--count N]", "send what nobody should send to the hosts of a registry, over the wire", hostile::command),
    ("lives [--count N]", "write random lives of balancers, which the tests hold every language to", lives::command),
    ("lab [SCENARIO..]", "simulate policies under loads and faults; tables, drawings (--help)", lab::command),
    ("prove [--long] [--only LINE]", "the reliability scorecard, into target/prove.json (--help)", prove::command),
    ("bench [NAME..] [--quick]", "measure ours beside the peers, all or some; --plot draws it", bench::command),
    ("counts [--write]", "count the instructions of a pick with callgrind, and compare them with what is on file", counts::command),
    ("test [SUITE..]", "run every test in every language, or the named suites (--list shows them)", test::command),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        help();
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        help();
        return ExitCode::SUCCESS;
    }
    let Some((_, _, run)) = COMMANDS.iter().find(|(usage, ..)| usage.split(' ').next() == Some(name)) else {
        eprintln!("xtask: no command {name:?}\n");
        help();
        return ExitCode::from(2);
    };
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Empty text: the command has said it all already.
            let text = error.to_string();
            if !text.is_empty() {
                eprintln!("xtask {name}: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

fn help() {
    println!("cargo xtask COMMAND\n");
    for (usage, what, _) in COMMANDS {
        println!("  {usage:<16} {what}");
    }
}
