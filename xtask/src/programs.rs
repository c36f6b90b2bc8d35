//! The programs of the workspace that commands run.
//!
//! What is built together shares its libraries. Cargo gives a package that is chosen alone fewer features than it has beside others, and would build
//! the core anew for each.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, sh};

/// Packages that are always built together.
pub struct Set {
    pub profile: &'static str,
    packages: &'static [&'static str],
}

/// What computes, with the checks of a debug build: simulators, vectors, nets.
pub const PROOF: Set = Set { profile: "proof", packages: &["callboard-tests", "callboard-lab"] };
/// What serves, calls and is counted.
pub const DEMO: Set = Set { profile: "demo", packages: &["callboard-counts", "consumer-rust", "follower-rust", "registry-server"] };

impl Set {
    /// `cargo build` or `cargo test`.
    pub fn cargo(&self, command: &str) -> Command {
        let mut cargo = sh::cargo();
        cargo.args([command, "--locked", "--profile", self.profile]);
        self.packages.iter().for_each(|package| _ = cargo.args(["--package", package]));
        cargo
    }

    /// Builds programs.
    pub fn build(&self, label: &str, names: &[&str]) -> Result {
        let mut cargo = self.cargo("build");
        names.iter().for_each(|name| _ = cargo.args(["--bin", name]));
        sh::must(label, &mut cargo)?;
        Ok(())
    }

    /// Where a program is once it is built.
    pub fn path(&self, name: &str) -> PathBuf {
        sh::root().join("target").join(self.profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Builds a program; a command that runs it.
    pub fn program(&self, name: &str) -> Result<Command> {
        self.build(&format!("{name}: build"), &[name])?;
        Ok(sh::command(self.path(name)))
    }
}
