//! Saved queries, and why a query finds whom it finds.

use callboard::Value;
use callboard::registry as core;
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, time};
use crate::query::Query;
use crate::registry::{Registry, View};

#[wasm_bindgen]
impl Registry {
    /// Which condition of a query leaves each instance out.
    pub fn explain(&self, query: &Query) -> Result<JsValue> {
        convert::object(&self.inner.explain(&query.inner)?.to_value())
    }

    pub fn saved_query(&self, namespace: &str, name: &str) -> Result<JsValue> {
        self.inner.saved_query(namespace, name).map_or(Ok(JsValue::UNDEFINED), |own| convert::object(&own.query.to_value()))
    }

    pub fn saved_queries(&self, namespace: Option<String>) -> Result<JsValue> {
        let saved = self.inner.saved_queries(namespace.as_deref());
        convert::object(&Value::List(saved.map(core::SavedQuery::to_value).collect()))
    }

    pub fn save_query(&mut self, name: &str, query: &Query, now: f64) -> Result<f64> {
        Ok(self.inner.save_query(name, &query.inner, time(now)?)? as f64)
    }

    pub fn drop_query(&mut self, namespace: &str, name: &str, now: f64) -> Result<f64> {
        Ok(self.inner.drop_query(namespace, name, time(now)?)? as f64)
    }
}

#[wasm_bindgen]
impl View {
    /// What follows the query that is saved under a name.
    pub fn saved(namespace: &str, name: &str) -> Result<View> {
        Ok(Self { inner: core::View::saved(namespace, name)? })
    }
}
