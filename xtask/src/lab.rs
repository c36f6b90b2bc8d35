//! `cargo xtask lab`: the load simulator, see `tests/lab`.
//!
//! Builds and runs its program at speed; everything after `lab` is for it.

use crate::Result;
use crate::programs::PROOF;

pub fn command(args: &[String]) -> Result {
    let mut lab = PROOF.program("lab")?;
    // It has its own progress line and its own report.
    if lab.args(args).status()?.success() { Ok(()) } else { Err("".into()) }
}
