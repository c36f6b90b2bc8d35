//! `cargo xtask lives`: random lives of balancers with the core's answers, for the tests of the other languages; see `tests/src/lives.rs`.

use crate::programs::PROOF;
use crate::{Result, sh};

/// What the tests use: so many lives, of so many steps.
const COUNT: &str = "10000";
const STEPS: &str = "40";

pub fn command(args: &[String]) -> Result {
    let count = match args {
        [] => COUNT,
        [name, count] if name == "--count" && count.parse::<u32>().is_ok() => count.as_str(),
        _ => return Err("lives [--count N]: N random lives, by default 10000, into target/lives".into()),
    };
    sh::must("lives", PROOF.program("lives")?.args(["target/lives", count, STEPS]))?;
    Ok(())
}
