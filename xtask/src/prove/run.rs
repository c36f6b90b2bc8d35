//! Programs that a line runs.

use std::process::Command;

use crate::programs::PROOF;
use crate::{Result, sh};

/// Runs a program of the tests crate at speed, and gives what it printed.
pub fn program(label: &str, name: &str, args: &[String]) -> Result<sh::Finished> {
    watch(label, PROOF.program(name)?.args(args))
}

/// Runs a command; its latest line is the progress.
pub fn watch(label: &str, command: &mut Command) -> Result<sh::Finished> {
    sh::run(&format!("prove: {label}"), command, |line| Some(line.to_owned()))
}
