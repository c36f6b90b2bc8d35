//! Coverage-guided fuzzing: one program for all targets, started by `cargo xtask fuzz`.
//!
//! `CALLBOARD_FUZZ` names the target. With `CALLBOARD_FUZZ_SEEDS` the program writes what every target starts from into that
//! folder, prints the names of the targets, and ends.

#![no_main]

mod bounds;
mod seeds;
mod targets;
mod variants;

use std::path::Path;
use std::sync::OnceLock;

use targets::Target;
use xxhash_rust::xxh3::xxh3_64;

#[global_allocator]
static ALLOCATOR: bounds::Counting = bounds::Counting;

static TARGET: OnceLock<Target> = OnceLock::new();

fn start() {
    if let Some(folder) = std::env::var_os("CALLBOARD_FUZZ_SEEDS") {
        write_seeds(Path::new(&folder)).expect("a folder to write into");
        Target::all().iter().for_each(|target| println!("{}", target.name()));
        std::process::exit(0);
    }
    let name = std::env::var("CALLBOARD_FUZZ").unwrap_or_default();
    let target = Target::all().into_iter().find(|target| target.name() == name);
    let _ = TARGET.set(target.unwrap_or_else(|| panic!("CALLBOARD_FUZZ names no target: {name:?}")));
}

/// Writes `FOLDER/TARGET/HASH` for each seed.
fn write_seeds(folder: &Path) -> std::io::Result<()> {
    for target in Target::all() {
        let own = folder.join(target.name());
        std::fs::create_dir_all(&own)?;
        for seed in seeds::of(target.name()) {
            std::fs::write(own.join(format!("{:016x}", xxh3_64(seed))), seed)?;
        }
    }
    Ok(())
}

libfuzzer_sys::fuzz_target!(init: start(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target.run(bytes);
    }
});
