//! Other systems' payloads.

use callboard::formats::{self as core, Context, FeedConfig, Format, Transport};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, time};
use crate::registry::Registry;

/// Reads a payload of another registry.
#[wasm_bindgen]
pub fn decode(body: &[u8], format: &str, namespace: &str, service: Option<String>) -> Result<JsValue> {
    let context = Context { service: service.as_deref(), ..Context::new(namespace) };
    convert::object(&core::decode(Format::parse(format)?, body, &context)?.to_value())
}

/// Writes registrations as another registry says them.
#[wasm_bindgen]
pub fn encode(format: &str, instances: JsValue) -> Result<Vec<u8>> {
    Ok(core::encode_value(Format::parse(format)?, &convert::value(instances)?)?)
}

#[wasm_bindgen]
impl Registry {
    /// Takes over a payload of another registry. `feed` says whose it is.
    pub fn feed(&mut self, feed: JsValue, body: &[u8], now: f64) -> Result<JsValue> {
        let mut feed = core::Feed::new(FeedConfig::from_value(&convert::value(feed)?)?)?;
        convert::object(&feed.take(&mut self.inner, body, time(now)?)?.to_value())
    }
}

#[wasm_bindgen]
pub struct Feed {
    inner: core::Feed,
}

#[wasm_bindgen]
impl Feed {
    #[wasm_bindgen(constructor)]
    pub fn new(config: JsValue) -> Result<Feed> {
        Ok(Self { inner: core::Feed::new(FeedConfig::from_value(&convert::value(config)?)?)? })
    }

    pub fn upcoming(&self) -> Result<JsValue> {
        convert::object(&self.inner.upcoming().to_value())
    }

    pub fn push(&mut self, registry: &mut Registry, body: &[u8], transport: JsValue, now: f64) -> Result<JsValue> {
        let (transport, now) = (Transport::from_value(&convert::value(transport)?)?, time(now)?);
        convert::object(&transport.push(&mut self.inner, &mut registry.inner, body, now).to_value())
    }

    pub fn failed(&mut self, now: f64) -> Result<JsValue> {
        convert::object(&self.inner.failed(time(now)?).to_value())
    }
}
