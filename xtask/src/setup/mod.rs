//! `cargo xtask setup`: whatever is missing, and nothing that is there.
//!
//! Each part is a file with one function that returns at once when there is nothing to do.

pub mod apt;
pub mod chromium;
pub mod engines;
pub mod node;
pub mod python;
pub mod wasm_target;

use std::path::Path;

use crate::{Result, ui};

/// What a part of the set-up found or did, in a few words.
pub struct Ready {
    pub what: String,
    /// How long it took when something was missing.
    pub took: Option<std::time::Duration>,
}

impl Ready {
    fn found(what: impl Into<String>) -> Self {
        Self { what: what.into(), took: None }
    }

    fn installed(what: impl Into<String>, took: std::time::Duration) -> Self {
        Self { what: what.into(), took: Some(took) }
    }
}

/// A part of the set-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    WasmTarget,
    Python,
    Node,
    Chromium,
    Engines,
}

impl Part {
    const ALL: [Self; 5] = [Self::WasmTarget, Self::Python, Self::Node, Self::Chromium, Self::Engines];

    /// Sets it up when it is missing, and says what it did.
    pub fn ensure(self) -> Result {
        let (name, ready) = match self {
            Self::WasmTarget => ("wasm target", wasm_target::ensure().map(|(_, ready)| ready)),
            Self::Python => ("python", python::ensure()),
            Self::Node => ("npm packages", node::ensure()),
            Self::Chromium => ("chromium", chromium::ensure().map(|(_, ready)| ready)),
            Self::Engines => ("engines", engines::ensure()),
        };
        match ready {
            Ok(Ready { what, took: None }) => println!("setup: {name:<13} ready: {what}"),
            Ok(Ready { what, took: Some(took) }) => println!("setup: {name:<13} installed in {}: {what}", ui::seconds(took)),
            Err(error) => {
                println!("setup: {name:<13} MISSING: {error}");
                return Err(format!("{name} could not be set up").into());
            }
        }
        Ok(())
    }
}

pub fn command(_: &[String]) -> Result {
    let missing = Part::ALL.into_iter().filter(|part| part.ensure().is_err()).count();
    if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} parts could not be set up, see above", Part::ALL.len()).into()) }
}

/// Whether `stamp` was written for these bytes; a stamp lies in the folder it speaks of and goes with it.
fn stamped(stamp: &Path, bytes: &[u8]) -> bool {
    std::fs::read(stamp).is_ok_and(|found| found == bytes)
}
