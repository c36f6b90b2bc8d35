//! Every verb of the vectors behind one export, so that the linker keeps everything the core can do.
//!
//! `cargo xtask purity` builds it for wasm32-unknown-unknown and looks at the module: it must import nothing.

use callboard::Value;
use callboard_tests::vector::File;

/// The scripts, as text; `tests/src/host.rs` is what reaches into the core.
const SCRIPTS: &[&str] = &[include_str!("../../vectors/names.json"), include_str!("../../vectors/selector.json")];

/// Runs one file: how many of its cases hold.
// No other code is linked in that could define the same name.
#[unsafe(no_mangle)]
pub extern "C" fn run(file: usize) -> usize {
    let Some(Ok(document)) = SCRIPTS.get(file).map(|text| Value::from_json(text.as_bytes())) else { return 0 };
    File::read(document).cases.iter().filter(|case| case.run().is_ok()).count()
}
