//! A compiler for `wasm32-unknown-unknown`.
//!
//! In this order: the target that the active toolchain has; `rustup target add`; Debian's `rustc-web` with the
//! standard library built from its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::{Ready, apt};
use crate::{Result, sh};

pub const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/std";

/// The compiler to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compiler {
    /// The toolchain that built us, with the target's standard library installed.
    Active,
    /// Debian's `rustc-web`, which builds the standard library too.
    Debian,
}

impl Compiler {
    /// A `cargo build` for the target, up to the package selection. A small one has a standard library of its own, in which a panic
    /// is a trap and nothing else: no message is made, and no code that would make one is carried.
    pub fn build(self, small: bool) -> Command {
        let mut cargo = match self {
            Self::Active => {
                let mut cargo = sh::cargo();
                if small {
                    // What builds the standard library is not stable; the compiler stays the one that is active.
                    cargo.env("RUSTC_BOOTSTRAP", "1");
                }
                cargo
            }
            Self::Debian => {
                let mut cargo = sh::command("/usr/bin/cargo");
                // A rustup cargo exports these to us; they must not lead the other cargo back to it.
                for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER"] {
                    cargo.env_remove(name);
                }
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        };
        if small || self == Self::Debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        if small {
            cargo.arg("-Zbuild-std-features=optimize_for_size");
            cargo.args(["--config", &format!("target.{TARGET}.rustflags=['-Zunstable-options', '-Cpanic=immediate-abort']")]);
        }
        cargo.args(["build", "--target", TARGET]);
        cargo
    }

    fn name(self) -> &'static str {
        match self {
            Self::Active => "the active toolchain's wasm32-unknown-unknown",
            Self::Debian => "Debian's rustc-web, building the standard library itself",
        }
    }
}

/// The compiler, installed when there is none.
pub fn ensure() -> Result<(Compiler, Ready)> {
    if let Some(compiler) = find() {
        return Ok((compiler, Ready::found(compiler.name())));
    }
    let started = Instant::now();
    let rustup = if sh::which("rustup").is_none() {
        "there is no rustup".to_owned()
    } else {
        match sh::must("wasm target: rustup target add", sh::command("rustup").args(["target", "add", TARGET])) {
            Ok(_) => "it installed nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    if find().is_none() {
        println!("setup: wasm target   not from rustup, trying Debian's rustc-web ({})", rustup.lines().last().unwrap_or_default());
        apt::install("wasm target", &DEBIAN_PACKAGES).map_err(|error| {
            format!(
                "no standard library for {TARGET}. Either `rustup target add {TARGET}` ({}), or on Debian `apt-get install {}` ({error})",
                rustup.lines().last().unwrap_or_default(),
                DEBIAN_PACKAGES.join(" ")
            )
        })?;
    }
    let compiler = find().ok_or("installed, but the compiler still has no standard library for wasm32-unknown-unknown")?;
    Ok((compiler, Ready::installed(compiler.name(), started.elapsed())))
}

/// The sources of the standard library, which a small module is built from.
pub fn ensure_sources(compiler: Compiler) -> Result {
    let sysroot = sh::ask(sh::command("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    if compiler == Compiler::Debian || Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir() {
        return Ok(());
    }
    sh::must("wasm:  rustup component add rust-src", sh::command("rustup").args(["component", "add", "rust-src"]))?;
    Ok(())
}

fn find() -> Option<Compiler> {
    let rustc = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    let sysroot = sh::ask(sh::command(rustc).args(["--print", "sysroot"])).unwrap_or_default();
    if Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir() {
        return Some(Compiler::Active);
    }
    let debian = Path::new(DEBIAN_SOURCES).is_dir() && Path::new("/usr/bin/cargo").exists() && Path::new("/usr/bin/rustc").exists();
    debian.then_some(Compiler::Debian)
}
