//! `cargo xtask sim`: the registry simulator, see `tests/src/simulator.rs`.
//!
//! Builds and runs the program `sim` of the tests crate; everything after `sim` is for it.

use crate::Result;
use crate::programs::PROOF;

pub fn command(args: &[String]) -> Result {
    let mut sim = PROOF.program("sim")?;
    // It has its own progress line and its own report.
    if sim.args(args).status()?.success() { Ok(()) } else { Err("".into()) }
}
