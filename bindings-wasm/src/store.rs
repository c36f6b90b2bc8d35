//! What an engine that keeps bytes has to write.

use callboard::registry::Config;
use callboard::{Value, store};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, time};
use crate::registry::Registry;

/// What an engine holds of a registry.
#[wasm_bindgen]
#[derive(Default)]
pub struct Store {
    inner: store::Store,
    replaces: bool,
}

#[wasm_bindgen]
impl Store {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Store {
        Self::default()
    }

    pub fn writes(&mut self, registry: &Registry) -> Result<JsValue> {
        self.inner.writes(&registry.inner).map_or(Ok(JsValue::UNDEFINED), |writes| convert::object(&writes.to_value()))
    }

    /// `entries` are keys and values in turn.
    pub fn leftovers(registry: &Registry, entries: Vec<String>) -> Vec<String> {
        store::leftovers(&registry.inner, pairs(&entries))
    }

    /// The bytes; `replaces` tells the rest.
    pub fn frame(&mut self, registry: &Registry) -> Option<Vec<u8>> {
        let frame = self.inner.frame(&registry.inner)?;
        self.replaces = frame.replace;
        Some(frame.bytes)
    }

    pub fn replaces(&self) -> bool {
        self.replaces
    }

    pub fn written(&mut self) {
        self.inner.written();
    }

    pub fn failed(&mut self) {
        self.inner.failed();
    }
}

fn pairs(entries: &[String]) -> impl Iterator<Item = (&str, &str)> {
    entries.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]))
}

/// A registry, how much of its journal was torn, and which entries could not be read.
#[wasm_bindgen]
pub struct Recovered {
    registry: Option<Registry>,
    torn: u64,
    skipped: Vec<store::Unread>,
}

#[wasm_bindgen]
impl Recovered {
    pub fn torn(&self) -> f64 {
        self.torn as f64
    }

    pub fn skipped(&self) -> Result<JsValue> {
        convert::object(&Value::List(self.skipped.iter().map(store::Unread::to_value).collect()))
    }

    /// Once.
    pub fn registry(&mut self) -> Option<Registry> {
        self.registry.take()
    }
}

#[wasm_bindgen]
impl Registry {
    /// `entries` are keys and values in turn.
    pub fn load(entries: Vec<String>, config: JsValue, now: f64) -> Result<Recovered> {
        let config = Config::from_value(&convert::value(config)?)?;
        let loaded = store::load(pairs(&entries), config, time(now)?)?;
        Ok(Recovered { registry: Some(Self { inner: loaded.registry }), torn: 0, skipped: loaded.skipped })
    }

    pub fn recover(journal: &[u8], config: JsValue, now: f64) -> Result<Recovered> {
        let config = Config::from_value(&convert::value(config)?)?;
        let back = store::journal::recover(journal, config, time(now)?)?;
        Ok(Recovered { registry: Some(Self { inner: back.registry }), torn: back.torn, skipped: Vec::new() })
    }
}
