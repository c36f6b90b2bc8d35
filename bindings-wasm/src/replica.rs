//! Several servers over one engine.

use callboard::store::replica::{self, Settings};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, time};
use crate::registry::Registry;

/// A registry's part in an engine that several share.
#[wasm_bindgen]
pub struct Replica {
    inner: replica::Replica,
}

#[wasm_bindgen]
impl Replica {
    #[wasm_bindgen(constructor)]
    pub fn new(settings: JsValue) -> Result<Replica> {
        Ok(Self { inner: replica::Replica::new(Settings::from_value(&convert::value(settings)?)?) })
    }

    pub fn stale(&self) -> bool {
        self.inner.is_stale()
    }

    pub fn deadline(&self) -> Option<f64> {
        self.inner.deadline().map(|deadline| deadline.as_micros() as f64)
    }

    pub fn fate(&self, edition: f64) -> String {
        self.inner.fate(edition as u64).as_str().into()
    }

    pub fn follow(&self) -> Result<JsValue> {
        convert::object(&self.inner.follow().to_value())
    }

    pub fn ask(&mut self, registry: &mut Registry, now: f64) -> Result<JsValue> {
        self.inner.ask(&mut registry.inner, time(now)?).map_or(Ok(JsValue::UNDEFINED), |ask| convert::object(&ask.to_value()))
    }

    pub fn answer(&mut self, registry: &mut Registry, body: &[u8], now: f64) -> Result<JsValue> {
        convert::object(&self.inner.answer(&mut registry.inner, body, time(now)?)?.to_value())
    }

    pub fn failed(&mut self, registry: &mut Registry, now: f64) -> Result<()> {
        self.inner.failed(&mut registry.inner, time(now)?);
        Ok(())
    }

    pub fn push(&mut self, registry: &mut Registry, body: &[u8], now: f64) -> Result<JsValue> {
        convert::object(&self.inner.push(&mut registry.inner, body, time(now)?)?.to_value())
    }

    pub fn lost(&mut self, registry: &mut Registry, now: f64) -> Result<()> {
        self.inner.lost(&mut registry.inner, time(now)?);
        Ok(())
    }
}
