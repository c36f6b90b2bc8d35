//! `cargo xtask lab`: the load simulator, see `tests/lab`.
//!
//! Builds and runs its program at speed; everything after `lab` is for it.

use crate::{Result, sh};

pub fn command(args: &[String]) -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "--locked", "--profile", "proof", "--package", "callboard-lab", "--bin", "lab", "--"]).args(args);
    // It has its own progress line and its own report.
    if cargo.status()?.success() { Ok(()) } else { Err("".into()) }
}
