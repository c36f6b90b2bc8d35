//! JS values ↔ the core's documents. Nothing here knows a field of a document.
//!
//! What comes in was copied by the facade before (`../js/document.ts`): plain objects, arrays, strings, numbers and
//! truth values, of bounded depth. So no code of a user (a getter, a proxy) runs while a method is under way.

use callboard::{Code, Error, Value};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::errors::Result;

/// Reads a document.
pub fn value(object: JsValue) -> Result<Value> {
    serde_wasm_bindgen::from_value(object).map_err(|error| Error::new(Code::InvalidArgument, "").detail(error.to_string()).into())
}

/// Writes a document: maps as `Map`, so that `__proto__` is a key like any other. The facade makes frozen objects of them.
pub fn object(value: &Value) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_missing_as_null(true).serialize_maps_as_objects(false);
    value.serialize(&serializer).map_err(|error| Error::new(Code::InvalidArgument, "").detail(error.to_string()).into())
}
