//! The WebAssembly side of the npm package.
//!
//! A method here converts, calls the core and converts; it decides nothing. What a user sees is the TypeScript
//! facade in `../js`, which keeps these classes to itself.

mod errors;

use wasm_bindgen::prelude::*;

/// The version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
