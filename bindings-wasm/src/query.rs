//! `Query`: who is asked for, parsed once.

use callboard::model::Registration;
use callboard::query;
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::Result;

#[wasm_bindgen]
pub struct Query {
    pub(crate) inner: query::Query,
}

#[wasm_bindgen]
impl Query {
    #[wasm_bindgen(constructor)]
    pub fn new(document: JsValue) -> Result<Query> {
        Ok(Self { inner: query::Query::from_value(&convert::value(document)?)? })
    }

    /// The document of the query.
    pub fn document(&self) -> Result<JsValue> {
        convert::object(&self.inner.to_value())
    }

    /// Whether an instance registered so would be found.
    pub fn matches(&self, registration: JsValue) -> Result<bool> {
        let registration = Registration::from_value(&convert::value(registration)?)?;
        Ok(self.inner.compile()?.matches(&registration))
    }
}
