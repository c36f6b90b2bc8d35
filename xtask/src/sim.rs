//! `cargo xtask sim`: the registry simulator, see `tests/src/simulator.rs`.
//!
//! Builds and runs the program `sim` of the tests crate; everything after `sim` is for it.

use crate::{Result, sh};

pub fn command(args: &[String]) -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "--locked", "--profile", "proof", "--package", "callboard-tests", "--bin", "sim", "--"]).args(args);
    // It has its own progress line and its own report.
    if cargo.status()?.success() { Ok(()) } else { Err("".into()) }
}
