//! What the tests of callboard share.
//!
//! - [`vector`] reads the step scripts of `tests/vectors` and [`host`] runs them; [`document`] compares results.
//! - [`simulator`] compares the registry with [`model`] on random scripts.
//! - [`etcd`] is what a replica of a registry asks, in memory.
//! - [`hostile`] sends what nobody should send to a host that runs.
//! - [`schema`] checks the scripts against their JSON Schema.
//! - [`source`] reads the core's sources for the tidy tests.

pub mod dice;
pub mod document;
pub mod etcd;
pub mod host;
pub mod hostile;
pub mod laws;
pub mod lives;
pub mod model;
pub mod picks;
pub mod schema;
pub mod simulator;
pub mod source;
pub mod streams;
pub mod vector;

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// A file of the repository as text.
pub fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder of the repository that ends in `suffix`, sorted.
pub fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
