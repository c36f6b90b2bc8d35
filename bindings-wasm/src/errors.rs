//! The catalogue of errors.

use callboard::Code;
use wasm_bindgen::prelude::*;

/// The catalogue: codes and classes in turn, so that the facade can be checked against it.
#[wasm_bindgen]
pub fn catalogue() -> Vec<String> {
    Code::ALL.iter().flat_map(|code| [code.as_str().to_owned(), code.kind().class().to_owned()]).collect()
}
