//! The WebAssembly side of the npm package.
//!
//! A method here converts, calls the core and converts; it decides nothing. What a user sees is the TypeScript
//! facade in `../js`, which keeps these classes to itself. Documents cross as JS values, everything on the way of a
//! pick as numbers and strings.

mod balancer;
mod convert;
mod errors;
#[cfg(feature = "formats")]
mod formats;
mod query;
mod registry;
#[cfg(feature = "store")]
mod replica;
#[cfg(feature = "serve")]
mod saved;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "store")]
mod store;

use callboard::balance::{self, Outcome};
use callboard::{Value, limits};
use wasm_bindgen::prelude::*;

use errors::Result;

/// The version of the package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The table of limits.
#[wasm_bindgen]
pub fn limit_table() -> Result<JsValue> {
    convert::object(&Value::map(limits::ALL.iter().map(|(name, limit)| (*name, Value::from(*limit)))))
}

/// Whether a call that ended so may be made again, by another instance.
#[wasm_bindgen]
pub fn is_repeatable(method: &str, outcome: JsValue) -> Result<bool> {
    Ok(balance::is_repeatable(method, &Outcome::from_value(&convert::value(outcome)?)?))
}
