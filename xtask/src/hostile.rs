//! `cargo xtask hostile`: what nobody should send, over the wire to the hosts in Rust and Python, see `tests/src/hostile`.

use std::process::Command;

use crate::setup::{Part, python};
use crate::{Result, sh};

const HELP: &str = "\
hostile [--count N] [--seed S]: send N (default 1000000) hostile requests over every protocol, nine of ten to the host on axum, the others to the one on ASGI";

pub fn command(args: &[String]) -> Result {
    let (mut count, mut seed) = (1_000_000, 1);
    for pair in args.chunks(2) {
        match (pair[0].as_str(), pair.get(1).and_then(|value| value.parse::<u64>().ok())) {
            ("--count", Some(value)) => count = value,
            ("--seed", Some(value)) => seed = value,
            _ => return Err(HELP.into()),
        }
    }
    build(&["--profile", "proof", "--package", "callboard-tests", "--bin", "hostile"])?;
    build(&["--profile", "demo", "--package", "registry-server"])?;
    Part::Python.ensure()?;
    python::install_package()?;
    let server = sh::root().join("target/demo/registry-server");
    let mut axum = hostile(count / 10 * 9, seed);
    axum.arg(server).args(["--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--domain", "consul"]);
    let mut asgi = hostile(count / 10, seed);
    asgi.arg(python::program("python")).args(["-m", "uvicorn", "--app-dir", "examples/registry-asgi", "--port", "0", "--no-access-log"]);
    asgi.args(["registry:app"]);
    for (name, mut command) in [("axum", axum), ("ASGI", asgi)] {
        let done = sh::run(&format!("hostile: {name}"), &mut command, |line| Some(line.to_owned()))?;
        if !done.success {
            return Err(format!("{name}: {}", done.tail(5)).into());
        }
        println!("{name}: {}", done.tail(1));
    }
    Ok(())
}

fn build(args: &[&str]) -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--locked"]).args(args);
    sh::must(&format!("hostile: build {}", args.last().unwrap_or(&"")), &mut cargo)?;
    Ok(())
}

fn hostile(count: u64, seed: u64) -> Command {
    let mut command = sh::command(sh::root().join("target/proof/hostile"));
    command.current_dir(sh::root());
    command.args(["--count", &count.to_string(), "--seed", &seed.to_string(), "--"]);
    command
}
